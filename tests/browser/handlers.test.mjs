// A caller's own JavaScript handlers, by `serve` in the caller's own worker file and by the `jobs` option.
import assert from 'node:assert/strict';
import { MODES, packageTests } from '../support/browser.mjs';

const test = await packageTests({ modes: MODES });

test('own handlers take and return every kind of value, beside the built-ins', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, createWorker: moduleWorker('/own-worker.js') });
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i);
    const untouched = bytes.slice();
    const scribbled = await within(pool.run('scribble', bytes));
    const kinds = [];
    for (const value of [bytes, 'text', 5, true, null, undefined, {}, []]) kinds.push(await within(pool.run('kind', value)));
    const same = [];
    for (const value of ['ä€😀', '', 5.5, false, null, { a: [1] }, [[]]]) same.push([value, await within(pool.run('same', value))]);
    const result = {
      upper: await within(pool.run('upper', 'abc ü')),
      reverse: [...(await within(pool.run('reverse', bytes))).slice(0, 3)],
      sum: await within(pool.run('sum', { numbers: [1, 2, 3] })),
      nothing: await within(pool.run('nothing', 1)) === undefined,
      large: (await within(pool.run('large', 3_000_000))).every((byte) => byte === 7),
      empty: (await within(pool.run('large', 0))).length,
      scribbled, safe: bytes.every((byte, i) => byte === untouched[i]),
      kinds, same, builtin: await within(pool.run('sha256', '')),
    };
    await within(pool.close());
    return result;
  });
  assert.equal(result.upper, 'ABC Ü');
  assert.deepEqual(result.reverse, [231, 230, 229]);
  assert.deepEqual(result.sum, { sum: 6 });
  assert.equal(result.nothing, true);
  assert.equal(result.large, true);
  assert.equal(result.empty, 0);
  assert.deepEqual([result.scribbled, result.safe], [1000, true], "a handler cannot change the caller's bytes");
  assert.deepEqual(result.kinds, ['bytes', 'string', 'number', 'boolean', 'null', 'undefined', 'object', 'object']);
  for (const [sent, got] of result.same) assert.deepEqual(got, sent);
  assert.match(result.builtin, /^e3b0c442/);
});

test('a handler that throws keeps name, message, code and own fields', {}, async (page) => {
  const { failed, exhausted, deep, odd, alone, thrown, stats, after } = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js') });
    const failed = await outcome(pool.run('fails', 1));
    const exhausted = await outcome(pool.run('exhausts', 1));
    const deep = await outcome(pool.run('failsDeeply', 1));
    const thrown = await outcome(pool.run('throwsObject', 1));
    const odd = await outcome(pool.run('failsOddly', 1));
    const alone = await pool.run('self', 1);
    return { failed, exhausted, deep, odd, alone, thrown, stats: pool.stats(), after: await outcome(pool.run('upper', 'on')) };
  });
  assert.equal(failed.error.code, 'ERR_JOB_FAILED');
  const { cause } = failed.error;
  assert.deepEqual([cause.name, cause.message, cause.code, cause.own.limit], ['LimitError', 'too much', 'E_LIMIT', 5]);
  assert.deepEqual([deep.error.cause.message, deep.error.cause.cause.name, deep.error.cause.cause.message], ['outer', 'RangeError', 'inner']);
  assert.deepEqual([thrown.error.retryable, thrown.error.cause.code, thrown.error.cause.own.limit], [true, 'E_OBJECT', 5]);
  const { name, message, code, own } = odd.error.cause;
  assert.deepEqual([name, message, code, own.limit], ['LimitError', 'odd', 'E_LIMIT', 5], 'one field that cannot travel costs no other');
  assert.equal(alone, true, 'a handler is called with nothing but its arguments');
  assert.equal(exhausted.error?.code, 'ERR_JOB_FAILED');
  assert.match(exhausted.error.cause.message, /call stack|recursion/i);
  assert.equal(stats.resets, 0, 'none of them cost a reset');
  assert.equal(after.value, 'ON');
});

test('a promise is a result, but in threads mode an error', {}, async (page, { mode }) => {
  const { later, laterFails, stats } = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js') });
    return { later: await outcome(pool.run('later', 1)), laterFails: await outcome(pool.run('laterFails', 1)), stats: pool.stats() };
  });
  if (mode === 'threads') {
    for (const { error } of [later, laterFails]) assert.equal(error?.code, 'ERR_UNSUPPORTED');
    assert.match(JSON.stringify(later.error), /promise/, 'says that a promise came back');
  } else {
    assert.equal(later.value, 1);
    assert.deepEqual([laterFails.error?.code, laterFails.error?.cause?.message], ['ERR_JOB_FAILED', 'lost']);
  }
  assert.equal(stats.resets, 0);
});

test('a running handler sees its cancellation, its time-out, and its context', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js') });
    const told = mode === 'inline' ? 'hold' : 'untilCancelled';
    const cancelled = pool.run(told, null);
    await until(() => cancelled.state === 'running');
    cancelled.cancel();
    const outcomes = [await outcome(cancelled), await outcome(pool.run(told, null, { timeout: 50 }))];
    const free = await outcome(pool.run('upper', 'free'));
    const bounded = await within(pool.run('context', null, { timeout: 60_000 }));
    const unbounded = await within(pool.run('context', null));
    await until(() => pool.stats().abandoned === 0);
    return { outcomes, free, bounded, unbounded, unboundedKeys: Object.keys(unbounded), stats: pool.stats() };
  });
  assert.equal(result.outcomes[0].error.code, 'ERR_CANCELLED');
  assert.deepEqual([result.outcomes[1].error.code, result.outcomes[1].error.phase], ['ERR_TIMEOUT', 'run']);
  assert.equal(result.free.value, 'FREE');
  assert.equal(result.bounded.cancelled, false);
  assert.equal(result.bounded.attempt, 1);
  assert.ok(result.bounded.remaining > 50_000 && result.bounded.remaining <= 60_000, `remaining ${result.bounded.remaining}`);
  assert.equal(result.stats.resets, 0);
});

test('jobs: modules named by URL are served without a worker file of one’s own', {}, async (page) => {
  const values = await page.evaluate(async () => {
    const pool = await within(Pool.create({ workers: 2, jobs: ['/job-module.js'] }));
    const values = await within(Promise.all([pool.run('triple', 14), pool.run('echo', 'built in')]));
    await within(pool.close());
    return values;
  });
  assert.deepEqual(values, [42, 'built in']);
});

test('what is not a function, and the default, is no job', {}, async (page) => {
  const codes = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js') });
    const codes = {};
    for (const name of ['default', 'version', 'settings', 'missing', 'upper'])
      codes[name] = (await outcome(pool.run(name, 'job'))).error?.code;
    return codes;
  });
  const { upper, ...others } = codes;
  assert.equal(upper, undefined);
  for (const [name, code] of Object.entries(others)) assert.equal(code, 'ERR_UNKNOWN_JOB', name);
});

test('own handlers come back after a reset', { expectProblems: /unreachable|RuntimeError|trap/i }, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, createWorker: moduleWorker('/own-worker.js') });
    const queued = [];
    pool.pause();
    const trap = outcome(pool.run('simulate', { duration: 10, outcome: 'trap' }, { priority: 'critical' }));
    for (let i = 0; i < 10; i++) queued.push(pool.run('sum', { numbers: [i, 1] }, { priority: 'low' }));
    pool.resume();
    const code = (await trap).error.code;
    const outcomes = await Promise.all(queued.map((job) => outcome(job)));
    const after = await within(pool.run('upper', 'again'));
    return { code, outcomes, after };
  });
  assert.equal(result.code, 'ERR_PANIC');
  // One of them may have been running beside the trap; every other one has its own result.
  const crashed = result.outcomes.filter(({ error }) => error?.code === 'ERR_WORKER_CRASHED').length;
  assert.ok(crashed <= 1);
  result.outcomes.forEach(({ ok, value }, i) => ok && assert.deepEqual(value, { sum: i + 1 }));
  assert.equal(result.outcomes.filter(({ ok }) => ok).length, 10 - crashed);
  assert.equal(result.after, 'AGAIN');
});
