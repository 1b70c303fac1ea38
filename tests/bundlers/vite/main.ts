import { Pool } from 'weirpool';

async function use() {
  // The package's own worker and wasm, found by the bundler.
  const plain = await Pool.create({ workers: 2 });
  const hash = await plain.run('sha256', 'abc');
  await plain.close();

  // One's own worker file.
  const own = await Pool.create<typeof import('./my-jobs.ts')>({
    workers: 2,
    createWorker: () => new Worker(new URL('./my-worker.ts', import.meta.url), { type: 'module' }),
  });
  const upper = await own.run('upper', 'own job');
  const failure = await own.run('divide', { a: 1, b: 0 }).catch((error) => [error.code, error.cause.code]);
  const echo = await own.run('echo', { built: 'in' });
  const completed = own.stats().completed;
  await own.close();
  return { mode: own.mode, hash, upper, failure, echo, completed };
}

Object.assign(globalThis, { used: use().catch((error) => ({ error: `${error.code} ${error.stack}` })) });
