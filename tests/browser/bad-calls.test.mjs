// Bad calls: what each throws or rejects with, and that its message names the culprit. In every mode, and a good call
// works after all of them.
import assert from 'node:assert/strict';
import { MODES, packageTests } from '../support/browser.mjs';

const test = await packageTests({ modes: MODES });

/** Runs the table that `make` returns on the page; each row is a call, how it is to fail, and what its message must hold. */
async function check(page, make) {
  const { wrong, after, sums } = await page.evaluate(`(async () => {
    const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js') });
    const rows = await (${make})(pool);
    const wrong = [];
    for (const [call, expected, named] of rows) {
      const { thrown, ok, value, error } = await outcome(call);
      const failed = value?.refused !== undefined ? \`refused \${value.refused}\`
        : ok ? 'accepted' : \`\${thrown ? 'throws' : 'rejects'} \${error.code ?? error.name}\`;
      const message = (error ?? value?.error)?.message;
      if (failed !== expected || !message?.includes(named)) wrong.push({ call: String(call), expected, failed, named, message });
    }
    return { wrong, after: await outcome(pool.run('upper', 'after')), sums: law(pool.stats()) };
  })()`);
  assert.deepEqual(wrong, []);
  assert.equal(after.value, 'AFTER');
  for (const [name, [left, right]] of Object.entries(sums)) assert.equal(left, right, name);
}

test('bad pool options', {}, async (page) => {
  await check(page, () => {
    const TYPE = 'rejects TypeError';
    const RANGE = 'rejects RangeError';
    const bad = [
      [5, TYPE, 'options'], ['options', TYPE, 'options'], [null, TYPE, 'options'], [[], TYPE, 'options'],
      [{ worker: 2 }, TYPE, '"worker"'], [{ queue: { size: 2 } }, TYPE, '"queue.size"'],
      [{ mode: 1 }, TYPE, 'mode'], [{ mode: 'fast' }, RANGE, 'mode'],
      [{ workers: '2' }, TYPE, 'workers'], [{ workers: 0 }, RANGE, 'workers'], [{ workers: 65 }, RANGE, 'workers'],
      [{ workers: 1.5 }, RANGE, 'workers'], [{ workers: NaN }, RANGE, 'workers'], [{ workers: Infinity }, RANGE, 'workers'],
      [{ concurrency: '2' }, TYPE, 'concurrency'], [{ concurrency: 0 }, RANGE, 'concurrency'],
      [{ queue: 5 }, TYPE, 'queue'], [{ queue: { capacity: '10' } }, TYPE, 'queue.capacity'],
      [{ queue: { capacity: 0 } }, RANGE, 'queue.capacity'], [{ queue: { capacity: 1e12 } }, RANGE, 'queue.capacity'],
      [{ queue: { whenFull: true } }, TYPE, 'queue.whenFull'], [{ queue: { whenFull: 'drop' } }, RANGE, 'queue.whenFull'],
      [{ queue: { maxWaiting: '1' } }, TYPE, 'queue.maxWaiting'], [{ queue: { maxWaiting: -1 } }, RANGE, 'queue.maxWaiting'],
      [{ queue: { ageing: 'slow' } }, TYPE, 'queue.ageing'], [{ queue: { ageing: -5 } }, RANGE, 'queue.ageing'],
      [{ maxInFlight: '2' }, TYPE, 'maxInFlight'], [{ maxInFlight: 0 }, RANGE, 'maxInFlight'],
      [{ rateLimit: 5 }, TYPE, 'rateLimit'], [{ rateLimit: { limit: 1 } }, TYPE, 'rateLimit.interval'],
      [{ rateLimit: { interval: 1 } }, TYPE, 'rateLimit.limit'], [{ rateLimit: { limit: '5', interval: 1000 } }, TYPE, 'rateLimit.limit'],
      [{ rateLimit: { limit: 0, interval: 1000 } }, RANGE, 'rateLimit.limit'], [{ rateLimit: { limit: 5, interval: 0 } }, RANGE, 'rateLimit.interval'],
      [{ rateLimit: { limit: 20_000_000, interval: 1000 } }, RANGE, 'rateLimit'], [{ rateLimit: { limit: 5, interval: 1000, burst: 0 } }, RANGE, 'rateLimit.burst'],
      [{ breaker: 5 }, TYPE, 'breaker'], [{ breaker: { consecutive: '5' } }, TYPE, 'breaker.consecutive'],
      [{ breaker: { consecutive: 0 } }, RANGE, 'breaker.consecutive'], [{ breaker: { failureRate: 101 } }, RANGE, 'breaker.failureRate'],
      [{ breaker: { window: 1000 } }, RANGE, 'breaker.window'], [{ breaker: { window: 5, minimumCalls: 6 } }, RANGE, 'breaker.minimumCalls'],
      [{ breaker: { slowRate: 50 } }, TYPE, 'breaker.slowCall'], [{ breaker: { pause: -1 } }, RANGE, 'breaker.pause'],
      [{ breaker: { pause: 100, maxPause: 50 } }, RANGE, 'breaker.maxPause'], [{ breaker: { probes: 0 } }, RANGE, 'breaker.probes'],
      [{ breaker: { lease: -1 } }, RANGE, 'breaker.lease'], [{ breaker: { per: 'worker' } }, RANGE, 'breaker.per'],
      [{ adaptive: 5 }, TYPE, 'adaptive'], [{ adaptive: { limit: 5 } }, TYPE, '"adaptive.limit"'],
      [{ adaptive: { target: 0 } }, RANGE, 'adaptive.target'], [{ adaptive: { target: 50, window: 20 } }, RANGE, 'adaptive.window'],
      [{ adaptive: { min: 0 } }, RANGE, 'adaptive.min'], [{ workers: 1, adaptive: { min: 2 } }, RANGE, 'minimum'],
      [{ timeout: '5' }, TYPE, 'timeout'], [{ timeout: 0 }, RANGE, 'timeout'], [{ timeout: NaN }, RANGE, 'timeout'], [{ timeout: 2 ** 31 }, RANGE, 'timeout'],
      [{ queueTimeout: -1 }, RANGE, 'queueTimeout'], [{ totalTimeout: '1' }, TYPE, 'totalTimeout'],
      [{ killAfter: '1' }, TYPE, 'killAfter'], [{ killAfter: -1 }, RANGE, 'killAfter'], [{ killGrace: 0 }, RANGE, 'killGrace'],
      [{ startupTimeout: '1' }, TYPE, 'startupTimeout'], [{ startupTimeout: -1 }, RANGE, 'startupTimeout'],
      [{ createWorker: 5 }, TYPE, 'createWorker'], [{ createWorker() {}, workerUrl: '/w.js' }, TYPE, 'createWorker and workerUrl'],
      [{ handlers: {} }, TYPE, 'handlers'], [{ jobs: './jobs.js' }, TYPE, 'jobs'], [{ jobs: [5] }, TYPE, 'jobs[0]'],
      [{ wasmUrl: 5 }, TYPE, 'wasmUrl'], [{ wasmUrl: 'http://' }, TYPE, 'wasmUrl'], [{ wasmUrl: '/other.wasm' }, TYPE, '/weirpool/weirpool.wasm'],
      [{ workerUrl: {} }, TYPE, 'workerUrl'],
    ];
    return bad.map(([options, expected, named]) => {
      const call = () => Pool.create(options);
      call.toString = () => JSON.stringify(options);
      return [call, expected, named];
    });
  });
});

test('bad arguments', {}, async (page) => {
  await check(page, (pool) => {
    const bad = [
      [5, 'TypeError', 'options'], ['fast', 'TypeError', 'options'], [{ prio: 'high' }, 'TypeError', '"prio"'],
      [{ priority: 1 }, 'TypeError', 'priority'], [{ priority: 'urgent' }, 'RangeError', 'priority'], [{ priority: 'constructor' }, 'RangeError', 'priority'],
      [{ signal: {} }, 'TypeError', 'signal'], [{ signal: 'stop' }, 'TypeError', 'signal'],
      [{ timeout: '5' }, 'TypeError', 'timeout'], [{ timeout: -1 }, 'RangeError', 'timeout'], [{ timeout: NaN }, 'RangeError', 'timeout'],
      [{ queueTimeout: null }, 'TypeError', 'queueTimeout'], [{ totalTimeout: NaN }, 'RangeError', 'totalTimeout'],
    ];
    // `tryRun` never waits: they are no options of it.
    const waits = [
      [{ whenFull: 'maybe' }, 'RangeError', 'whenFull'], [{ submitTimeout: '1' }, 'TypeError', 'submitTimeout'], [{ submitTimeout: -5 }, 'RangeError', 'submitTimeout'],
    ];
    const options = (method, table) => table.map(([given, expected, named]) => {
      const call = () => pool[method]('echo', 1, given);
      call.toString = () => `${method} with ${JSON.stringify(given)}`;
      return [call, `throws ${expected}`, named];
    });
    return [
      ...options('run', [...bad, ...waits]), ...options('submit', [...bad, ...waits]), ...options('tryRun', bad),
      [() => pool.tryRun('echo', 1, { whenFull: 'wait' }), 'throws TypeError', '"whenFull"'],
      [() => pool.run(), 'throws TypeError', 'job must be'],
      [() => pool.run(5), 'throws TypeError', 'job must be'],
      [() => pool.run({ toString: () => 'echo' }), 'throws TypeError', 'job must be'],
      [() => pool.run(Symbol('echo')), 'throws TypeError', 'Symbol(echo)'],
      [() => pool.run('echo', 1, 2), 'throws TypeError', 'a job takes one input'],
      [() => pool.rateLimit.set(), 'throws TypeError', 'rateLimit must be an object'],
      [() => pool.rateLimit.set(null), 'throws TypeError', 'rateLimit must be an object'],
      [() => pool.results({ buffer: 0 }), 'throws RangeError', 'buffer'],
      [() => pool.results({ size: 1 }), 'throws TypeError', '"size"'],
      [() => pool.close({ mode: 'now' }), 'throws RangeError', 'mode'],
      [() => pool.close({ deadline: '1' }), 'throws TypeError', 'deadline'],
      [() => pool.breaker.trip(), 'throws TypeError', 'breaker'], [() => pool.breaker.of('echo'), 'throws TypeError', 'breaker.per'],
      [() => new Pool(), 'throws TypeError', 'Pool.create()'],
      [() => { 'use strict'; pool.rateLimit = { limit: 1, interval: 1 }; }, 'throws TypeError', 'rateLimit'],
      [() => { 'use strict'; pool.mode = 'inline'; }, 'throws TypeError', 'mode'],
    ];
  });
});

test('bad jobs and inputs', {}, async (page) => {
  await check(page, async (pool) => {
    const closed = await Pool.create({ workers: 1 });
    await closed.close();
    const closing = await Pool.create({ workers: 1 });
    const cycle = { list: [] };
    cycle.list.push(cycle);
    const revoked = Proxy.revocable({}, {});
    revoked.revoke();
    const detached = new Uint8Array(100);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    const gone = new Error('the user left');
    class Broken extends Blob {
      arrayBuffer() { return Promise.reject(new DOMException('gone', 'NotReadableError')); }
      slice() { return new Broken(['xx']); }
    }
    const tile = { width: 9, height: 9, x: 0, y: 0, w: 9, h: 9, centerX: 0, centerY: 0, scale: 1, maxIterations: 9 };
    return [
      ...['nobody', '', 'Echo', 'echo ', 'constructor', '__proto__', 'toString'].map((name) =>
        [() => pool.run(name, 1), 'rejects ERR_UNKNOWN_JOB', `there is no job ${JSON.stringify(name)}; there are: `]),
      [() => pool.tryRun('nobody', 1), 'refused ERR_UNKNOWN_JOB', '"nobody"'],
      [() => closed.run('echo', 1), 'rejects ERR_POOL_CLOSED', 'closed'],
      [() => closed.run('nobody', 1n), 'rejects ERR_POOL_CLOSED', 'closed'],
      [() => closed.tryRun('echo', 1), 'refused ERR_POOL_CLOSED', 'closed'],
      [() => pool.run('echo', 1, { signal: AbortSignal.abort(gone) }), 'rejects Error', 'the user left'],
      [() => pool.tryRun('echo', 1, { signal: AbortSignal.abort(gone) }), 'refused ERR_CANCELLED', 'aborted before it began'],

      [() => pool.run('echo', () => {}), 'rejects ERR_DATA', 'a function cannot travel'],
      [() => pool.run('echo', class Thing {}), 'rejects ERR_DATA', 'a function cannot travel'],
      [() => pool.run('echo', Symbol('s')), 'rejects ERR_DATA', 'a symbol cannot travel'],
      [() => pool.run('echo', 1n), 'rejects ERR_DATA', 'a bigint cannot travel'],
      [() => pool.run('echo', { n: [1n] }), 'rejects ERR_DATA', 'written as JSON'],
      [() => pool.run('echo', cycle), 'rejects ERR_DATA', 'written as JSON'],
      [() => pool.run('echo', { toJSON() { throw new Error('hostile'); } }), 'rejects ERR_DATA', 'hostile'],
      [() => pool.run('echo', { toJSON() { throw { get message() { throw new Error('hostile'); } }; } }), 'rejects ERR_DATA', '(echo)'],
      [() => pool.run('echo', { toJSON: () => undefined }), 'rejects ERR_DATA', 'toJSON returned nothing'],
      [() => closing.run('echo', { toJSON: () => void closing.close() }), 'rejects ERR_DATA', 'toJSON returned nothing'],
      [() => closing.run('echo', { toJSON: () => 1 }), 'rejects ERR_POOL_CLOSED', 'closed'],
      [() => pool.run('echo', { get x() { throw new Error('hostile'); } }), 'rejects ERR_DATA', 'hostile'],
      [() => pool.run('echo', revoked.proxy), 'rejects ERR_DATA', '(echo)'],
      [() => pool.run('echo', detached), 'rejects ERR_DATA', "Uint8Array's buffer is detached"],
      [() => pool.run('echo', detached.buffer), 'rejects ERR_DATA', 'ArrayBuffer is detached'],
      [() => pool.run('echo', new Float64Array(2)), 'rejects ERR_DATA', 'Float64Array cannot travel'],
      [() => pool.run('echo', new DataView(new ArrayBuffer(8))), 'rejects ERR_DATA', 'DataView cannot travel'],
      [() => pool.run('echo', sharedBuffer()), 'rejects ERR_DATA', 'SharedArrayBuffer cannot travel'],
      [() => pool.run('echo', Promise.resolve(1)), 'rejects ERR_DATA', 'await it'],
      [() => pool.run('echo', new Map([[1, 2]])), 'rejects ERR_DATA', 'Map cannot travel'],
      [() => pool.run('echo', new WeakSet()), 'rejects ERR_DATA', 'WeakSet cannot travel'],
      [() => pool.run('sha256', new Broken(['xx'])), 'rejects ERR_DATA', 'gone'],
      [() => pool.tryRun('echo', 1n), 'refused ERR_DATA', 'a bigint cannot travel'],
      [() => pool.run('echo', { file: new Blob(['text']) }), 'rejects ERR_DATA', 'Blob cannot travel (it is at "file"): bytes travel only by themselves'],
      [() => pool.run('echo', [[new Uint8Array(2)]]), 'rejects ERR_DATA', 'Uint8Array cannot travel (it is at 0)'],
      [() => pool.run('echo', { seen: { ids: new Set([1]) } }), 'rejects ERR_DATA', 'Set cannot travel (it is at "ids")'],
      [() => pool.run('echo', { done() {} }), 'rejects ERR_DATA', 'a function cannot travel (it is at "done")'],
      [() => pool.run('echo', new FormData()), 'rejects ERR_DATA', 'FormData cannot travel'],
      [() => pool.run('echo', new Error('lost')), 'rejects ERR_DATA', 'Error cannot travel'],

      [() => pool.run('simulate', 'text'), 'rejects ERR_DATA', 'simulate'],
      [() => pool.run('simulate'), 'rejects ERR_DATA', 'simulate'],
      [() => pool.run('simulate', {}), 'rejects ERR_DATA', 'duration'],
      [() => pool.run('simulate', { duration: 'long' }), 'rejects ERR_DATA', 'duration'],
      [() => pool.run('simulate', { duration: -1 }), 'rejects ERR_DATA', 'duration'],
      [() => pool.run('simulate', { duration: 0, outcome: 'odd' }), 'rejects ERR_DATA', 'outcome'],
      ...['sha256', 'gzip'].flatMap((name) => [undefined, null, 5, {}, []].map((input) =>
        [() => pool.run(name, input), 'rejects ERR_DATA', 'expected bytes or a string'])),
      ...[undefined, {}, 'text'].map((input) => [() => pool.run('gunzip', input), 'rejects ERR_DATA', 'expected bytes']),
      [() => pool.run('gunzip', new Uint8Array(100)), 'rejects ERR_JOB_FAILED', 'gunzip'],
      [() => pool.run('mandelbrot', {}), 'rejects ERR_DATA', 'width'],
      [() => pool.run('mandelbrot', { ...tile, w: 1e6, h: 1e6 }), 'rejects ERR_DATA', 'mandelbrot'],
      [() => pool.run('mandelbrot', { ...tile, width: 0 }), 'rejects ERR_DATA', 'width'],

      [() => pool.run('func', 1), 'rejects ERR_DATA', 'the result'],
      [() => pool.run('nested', 1), 'rejects ERR_DATA', 'Map cannot travel (it is at "map")'],
      [() => pool.run('big', 1), 'rejects ERR_DATA', 'a bigint cannot travel'],
      [() => pool.run('cycle', 1), 'rejects ERR_DATA', '(cycle)'],
      [() => pool.run('hostile', 1), 'rejects ERR_DATA', 'hostile'],
      [() => pool.run('blob', 1), 'rejects ERR_DATA', 'a Blob cannot be read'],
      [() => pool.run('laterFails', 1), ...(mode === 'threads' ? ['rejects ERR_UNSUPPORTED', 'promise'] : ['rejects ERR_JOB_FAILED', 'lost'])],
      [() => pool.run('fails', 1), 'rejects ERR_JOB_FAILED', 'too much'],
      [() => pool.run('throwsText', 1), 'rejects ERR_JOB_FAILED', 'only text'],
      [() => pool.run('throwsNothing', 1), 'rejects ERR_JOB_FAILED', 'undefined'],
      [() => pool.run('throwsHostile', 1), 'rejects ERR_JOB_FAILED', 'cannot be described'],
    ];
  });
});

const files = { expectProblems: /404|broken at import|Unexpected|SyntaxError|MIME|missing|disallowed|error loading|export|import/i };

test('bad files', files, async (page) => {
  await check(page, () => {
    const bring = (path) => () => Pool.create({ workers: 1, jobs: [path], startupTimeout: 5000 });
    const workers = [
      [() => Pool.create({ createWorker: () => { throw new Error('not today'); } }), 'rejects ERR_WORKER_LOAD', 'not today'],
      [() => {
        const worker = moduleWorker('/own-worker.js')();
        return Pool.create({ workers: 2, createWorker: () => worker });
      }, 'rejects ERR_WORKER_LOAD', 'a new Worker at each call'],
      [() => Pool.create({ createWorker: () => new Worker('/own-worker.js') }), 'rejects ERR_WORKER_LOAD', "{ type: 'module' }"],
      [() => Pool.create({ createWorker: () => undefined }), 'rejects ERR_WORKER_LOAD', 'createWorker must return a Worker, not undefined'],
      [() => Pool.create({ createWorker: moduleWorker('/own-worker.js'), jobs: ['/same-jobs.js'] }), 'rejects ERR_WORKER_LOAD', '"upper"'],
    ];
    const inline = [
      [() => Pool.create({ handlers: () => { throw new Error('not today'); } }), 'rejects ERR_WORKER_LOAD', 'not today'],
      [() => Pool.create({ handlers: async () => 5 }), 'rejects ERR_WORKER_LOAD', '`handlers`'],
      [() => Pool.create({ handlers: () => new Promise(() => {}), startupTimeout: 100 }), 'rejects ERR_WORKER_LOAD', '100 ms'],
      [() => Pool.create({ handlers: async () => ({ echo: () => 1 }) }), 'rejects TypeError', '"echo"'],
      [() => Pool.create({ jobs: ['/same-jobs.js'] }), 'rejects ERR_WORKER_LOAD', '"upper"'],
      [() => Pool.create({ killAfter: 1000 }), 'rejects ERR_UNSUPPORTED', 'killAfter'],
    ];
    return [
      [bring('/no-such-jobs.js'), 'rejects ERR_WORKER_LOAD', '/no-such-jobs.js'],
      [bring('/throwing-module.js'), 'rejects ERR_WORKER_LOAD', 'broken at import'],
      [bring('/syntax-error-worker.js'), 'rejects ERR_WORKER_LOAD', '/syntax-error-worker.js'],
      [bring('/missing-export.js'), 'rejects ERR_WORKER_LOAD', '/missing-export.js'],
      [bring('/index.html'), 'rejects ERR_WORKER_LOAD', '/index.html'],
      [bring('/default-jobs.js'), 'rejects ERR_WORKER_LOAD', '/default-jobs.js: there is no function to be a job'],
      [bring('/shadow-jobs.js'), 'rejects TypeError', '"echo"'],
      ...(mode === 'inline' ? inline : workers),
    ];
  });
});
