// What the page does in every project, and what came of it, for the test to read.
import { Pool, type PoolOptions } from 'weirpool';

/** `own`: where the project's own jobs are; `files`: where the package's are, if the bundler does not find them. */
export function use(own: PoolOptions, files: PoolOptions = {}): void {
  const used = run(own, files).catch((error) => ({ error: `${error.code} ${error.stack}` }));
  Object.assign(globalThis, { used });
}

async function run(own: PoolOptions, files: PoolOptions) {
  // The package's own worker and wasm.
  const plain = await Pool.create({ workers: 2, ...files });
  const hash = await plain.run('sha256', 'abc');
  await plain.close();

  // The project's own worker file.
  const { wasmUrl } = files;
  const pool = await Pool.create<typeof import('./my-jobs.ts')>({ workers: 2, ...(wasmUrl ? { wasmUrl } : {}), ...own });
  const upper: string = await pool.run('upper', 'own job');
  const failure = await pool.run('divide', { a: 1, b: 0 }).catch((error) => [error.code, error.cause.code]);
  const echo = await pool.run('echo', { built: 'in' });
  const { completed } = pool.stats();
  await pool.close();
  return { mode: pool.mode, hash, upper, failure, echo, completed };
}
