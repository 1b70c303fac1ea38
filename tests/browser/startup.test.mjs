// Starting: what is missing or broken is said by a code, soon, and a later try can still succeed.
import assert from 'node:assert/strict';
import { packageTests } from '../support/browser.mjs';

const test = await packageTests();
const notIsolated = await packageTests({ modes: ['isolated'] });
const noWorkers = await packageTests({
  policy: "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'none'; connect-src 'self'",
});
const noWasm = await packageTests({ policy: "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'" });

test('a good pool says its mode and why', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create();
    return { mode: pool.mode, reason: pool.reason, workers: pool.stats().workers.length, wanted: Math.max(1, Math.min(navigator.hardwareConcurrency - 1, 16)) };
  });
  assert.equal(result.mode, 'threads');
  assert.ok(result.reason.length > 0);
  assert.equal(result.workers, result.wanted);
});

notIsolated('without the isolation headers the pool is isolated, and says which headers to add', {}, async (page) => {
  const { mode, reason, stats, value, threads } = await page.evaluate(async () => {
    const pool = await within(Pool.create({ workers: 2 }));
    const value = await within(pool.run('sha256', 'abc'));
    return { mode: pool.mode, reason: pool.reason, stats: pool.stats().mode, value, threads: await outcome(Pool.create({ mode: 'threads' }), 1000) };
  });
  assert.deepEqual([mode, stats], ['isolated', 'isolated']);
  for (const header of ['Cross-Origin-Opener-Policy: same-origin', 'Cross-Origin-Embedder-Policy: require-corp']) {
    assert.ok(reason.includes(header), reason);
    assert.ok(threads.error.message.includes(header));
  }
  assert.match(value, /^ba7816bf/);
  assert.equal(threads.error.code, 'ERR_UNSUPPORTED', 'what is asked for is not replaced');
});

notIsolated('without workers the pool runs inline, and says so', {}, async (page) => {
  const result = await page.evaluate(async () => {
    delete globalThis.Worker;
    const pool = await within(Pool.create({ workers: 4 }));
    const value = await within(pool.run('sha256', 'abc'));
    const others = [];
    for (const options of [{ mode: 'threads' }, { mode: 'isolated' }, { killAfter: 1000 }, { killGrace: 1000 }])
      others.push((await outcome(Pool.create(options), 1000)).error?.code);
    return { mode: pool.mode, reason: pool.reason, workers: pool.stats().workers.length, value, others };
  });
  assert.deepEqual([result.mode, result.reason, result.workers], ['inline', 'there are no web workers here', 1]);
  assert.match(result.value, /^ba7816bf/);
  assert.deepEqual(result.others, Array(4).fill('ERR_UNSUPPORTED'));
});

test('each mode can be asked for where the page allows all', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pools = await within(Promise.all(['threads', 'isolated', 'inline'].map((mode) => Pool.create({ mode, workers: 1 }))));
    return { echoes: await within(Promise.all(pools.map((pool) => pool.run('echo', pool.mode)))), reasons: pools.map((pool) => pool.reason.length > 0) };
  });
  assert.deepEqual(result.echoes, ['threads', 'isolated', 'inline']);
  assert.deepEqual(result.reasons, [true, true, true]);
});

noWorkers('a policy that forbids workers is ERR_WORKER_LOAD', { expectProblems: /Content.Security.Policy|Refused/i }, async (page) => {
  const { error } = await page.evaluate(() => outcome(Pool.create(), 12_000));
  assert.equal(error?.code, 'ERR_WORKER_LOAD');
});

noWasm('a policy that forbids wasm is ERR_WORKER_LOAD', { expectProblems: /Content.Security.Policy|Refused|wasm/i }, async (page) => {
  const { error } = await page.evaluate(() => outcome(Pool.create(), 12_000));
  assert.equal(error?.code, 'ERR_WORKER_LOAD');
});

const broken = { expectProblems: /404|broken at import|Unexpected|SyntaxError|MIME/i };

for (const [name, path] of [
  ['that is not there', '/no-such-worker.js'],
  ['that throws on import', '/throwing-worker.js'],
  ['that is not JavaScript', '/syntax-error-worker.js'],
  ['that is a page', '/index.html'],
]) {
  test(`a worker file ${name} is ERR_WORKER_LOAD, by createWorker and by workerUrl`, { ...broken, modes: ['threads', 'isolated'] }, async (page) => {
    const result = await page.evaluate(async (path) => {
      const byFunction = await outcome(Pool.create({ workers: 2, createWorker: moduleWorker(path) }), 5000);
      const byUrl = await outcome(Pool.create({ workers: 2, workerUrl: path }), 5000);
      const pool = await within(Pool.create({ workers: 1 }));
      return { byFunction, byUrl, after: await outcome(pool.run('echo', 'after')) };
    }, path);
    assert.equal(result.byFunction.error?.code, 'ERR_WORKER_LOAD');
    assert.equal(result.byUrl.error?.code, 'ERR_WORKER_LOAD');
    assert.equal(result.after.value, 'after', 'a later pool still starts');
  });
}

test('a worker that never answers is given up at startupTimeout', { modes: ['threads', 'isolated'] }, async (page) => {
  const result = await page.evaluate(async () => {
    const silent = await outcome(Pool.create({ workers: 1, createWorker: moduleWorker('/silent-worker.js'), startupTimeout: 300 }), 5000);
    const pool = await within(Pool.create({ workers: 1 }));
    return { silent, after: await outcome(pool.run('echo', 'after')) };
  });
  assert.equal(result.silent.error?.code, 'ERR_WORKER_LOAD');
  assert.equal(result.after.value, 'after');
});

test('a wasm file that is not there, or is something else, is ERR_WORKER_LOAD', { expectProblems: /404|wasm|MIME/i }, async (page) => {
  const result = await page.evaluate(async () => {
    const missing = await outcome(Pool.create({ workers: 1, wasmUrl: '/no-such.wasm' }), 5000);
    const other = await outcome(Pool.create({ workers: 1, wasmUrl: '/index.html' }), 5000);
    const pool = await within(Pool.create({ workers: 1 }));
    return { missing, other, after: await outcome(pool.run('echo', 'after')) };
  });
  assert.equal(result.missing.error?.code, 'ERR_WORKER_LOAD');
  assert.equal(result.other.error?.code, 'ERR_WORKER_LOAD');
  assert.match(result.other.error.message, /a page was sent in its place/);
  assert.equal(result.after.value, 'after');
});

test('the URLs of worker and wasm may be given', {}, async (page) => {
  const value = await page.evaluate(async () => {
    const pool = await within(Pool.create({ workers: 1, wasmUrl: new URL('/weirpool/weirpool.wasm', location.href), workerUrl: '/weirpool/default-worker.js' }));
    return within(pool.run('echo', 'here'));
  });
  assert.equal(value, 'here');
});

test('several pools started at the same moment all come up', {}, async (page) => {
  const values = await page.evaluate(async () => {
    const pools = await within(Promise.all(Array.from({ length: 4 }, () => Pool.create({ workers: 1 }))));
    return within(Promise.all(pools.map((pool, i) => pool.run('echo', i))));
  });
  assert.deepEqual(values, [0, 1, 2, 3]);
});
