// `use.js MODE`: uses a pool in that mode, prints what came of it, and closes it.
import { Pool, PoolError } from 'weirpool';

const [mode] = globalThis.Deno?.args ?? process.argv.slice(2);
const pool = await Pool.create({
  ...(mode === 'auto' ? {} : { mode }),
  workers: 2,
  workerUrl: new URL('./my-worker.js', import.meta.url),
  handlers: () => import('./my-jobs.js'),
});
const failed = (job) => job.then((value) => `no failure, but ${value}`, (error) => [error.code ?? error.message, error.cause?.code ?? null]);
const used = { mode: pool.mode, reason: pool.reason, classes: [pool.constructor.name, Pool.name, PoolError.name] };

used.hash = await pool.run('sha256', 'abc');
const large = new Uint8Array(3_000_000).map((_, i) => i % 7);
const unpacked = await pool.run('gunzip', await pool.run('gzip', new Blob([large])));
used.large = unpacked.length === large.length && unpacked.every((byte, i) => byte === large[i]);
used.many = (await Promise.all(Array.from({ length: 500 }, (_, i) => pool.run('echo', i)))).every((value, i) => value === i);

used.upper = await pool.run('upper', 'own job');
used.names = await failed(pool.run('default', null));
used.failure = await failed(pool.run('divide', { a: 1, b: 0 }));
used.panic = await failed(pool.run('simulate', { duration: 1, outcome: 'panic' }));
used.later = await pool.run('later', 20).catch((error) => error.code);

const job = pool.run('simulate', { duration: 100 });
job.cancel();
used.cancelled = await failed(job);
used.aborted = await failed(pool.run('echo', 1, { signal: AbortSignal.abort(new Error('enough')) }));
used.unknown = await failed(pool.run('nobody', 1));

// A trap, and the queued job that survives it.
const trap = failed(pool.run('simulate', { duration: 1, outcome: 'trap' }));
const survivor = pool.run('echo', 'survivor');
used.trap = await trap;
used.survivor = await survivor;

// A handler that ends its thread; only Node lets it.
if (!globalThis.Deno && mode !== 'inline') used.exits = await failed(pool.run('exits', null));

used.clean = (await pool.close()).clean;
used.closed = await failed(pool.run('echo', 1));
console.log(JSON.stringify(used));
// Deno cannot end a thread that sleeps, and a trap leaves such threads behind.
if (globalThis.Deno && pool.mode === 'threads') Deno.exit();
