// The package, imported as it is, and small helpers, as globals of a test page.
import * as weirpool from '/weirpool/index.js';

/** An error as plain data that can leave the page. */
function describe(error) {
  if (!(error instanceof Error)) return { thrown: error };
  const { name, message, code, retryable, retryAfter, phase, jobId, attempt, index, cause } = error;
  return {
    name, message, code, retryable, retryAfter, phase, jobId, attempt, index,
    own: Object.fromEntries(Object.entries(error).filter(([, value]) => typeof value !== 'object')),
    pool: error instanceof weirpool.PoolError,
    ...(cause === undefined ? {} : { cause: describe(cause) }),
  };
}

/** What a call came to: its value, its rejection, or what it threw at once; never longer than `ms`. */
async function outcome(promiseOrCall, ms = 15_000) {
  let promise;
  try {
    promise = typeof promiseOrCall === 'function' ? promiseOrCall() : promiseOrCall;
  } catch (error) {
    return { thrown: true, error: describe(error) };
  }
  try {
    return { ok: true, value: await within(promise, ms) };
  } catch (error) {
    return { ok: false, error: describe(error) };
  }
}

/** `promise`, or an error when it takes longer than `ms`: a lost promise must fail its test, not hang it. */
function within(promise, ms = 15_000, what = 'promise') {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not settle in ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Resolves once `condition()` holds. */
async function until(condition, what = String(condition), ms = 15_000) {
  const end = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not in ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** The mode that the test runs in, if it asked for one. */
const mode = new URL(location.href).searchParams.get('mode') ?? undefined;

/** Pools of that mode; inline ones have the handlers that others have from `own-worker.js`. */
class Pool extends weirpool.Pool {
  static create(options) {
    // Isolated is what a page without the headers gets by itself.
    if (mode !== 'inline' || typeof (options ?? {}) !== 'object' || options === null || Array.isArray(options)) return weirpool.Pool.create(options);
    return weirpool.Pool.create({ mode, handlers: async () => (await import('./own-jobs.js')).jobs, ...options });
  }
}

/** A job that only ends when it is told to, and one that takes so many ms; they do not hold the page up. */
const long = mode === 'inline' ? ['hold', null] : ['simulate', { duration: 600_000 }];
const takes = (duration) => (mode === 'inline' ? ['sleep', duration] : ['simulate', { duration }]);

/** How many jobs may run at once where `count` are wanted. */
const most = (count) => (mode === 'inline' ? 1 : count);

/** Shared memory, also where its class has no name. */
const sharedBuffer = () => new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer;

/** Occupies `count` workers of `pool` by jobs that only end when released. */
async function occupy(pool, count) {
  const jobs = Array.from({ length: count }, () => pool.run(...long));
  for (const job of jobs) job.catch(() => {});
  await until(() => jobs.every((job) => job.state === 'running'), 'the workers are occupied');
  return {
    jobs,
    async release() {
      for (const job of jobs) job.cancel();
      await Promise.allSettled(jobs);
    },
  };
}

/** The sums of the design's first law at a quiescent point: each pair must be equal. */
function law(stats) {
  const refused =
    stats.refusedFull + stats.refusedRate + stats.refusedBreaker + stats.refusedInFlight +
    stats.refusedClosed + stats.refusedTimeout + stats.refusedAbort + stats.refusedInput;
  return {
    submitted: [stats.submitted, stats.accepted + refused + stats.waiting],
    accepted: [
      stats.accepted,
      stats.completed + stats.failed + stats.timedOut + stats.cancelled +
        stats.queued + (stats.delayed ?? 0) + stats.running,
    ],
  };
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

const fetchBytes = async (size, seed = 1) =>
  new Uint8Array(await (await fetch(`/data?size=${size}&seed=${seed}`)).arrayBuffer());
const fetchBlob = async (size, seed = 1) => (await fetch(`/data?size=${size}&seed=${seed}`)).blob();
const upload = (name, body) => fetch(`/upload?name=${encodeURIComponent(name)}`, { method: 'POST', body });

const moduleWorker = (path) => () => new Worker(path, { type: 'module' });

Object.assign(globalThis, {
  weirpool, Pool, mode, long, takes, most, sharedBuffer, PoolError: weirpool.PoolError,
  describe, outcome, within, until, occupy, law, hex, fetchBytes, fetchBlob, upload, moduleWorker,
});
