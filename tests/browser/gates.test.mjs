// The gates: each refusal by its code, with when to come back, without touching what it has no business with.
import assert from 'node:assert/strict';
import { MODES, packageTests } from '../support/browser.mjs';

const test = await packageTests({ modes: MODES });

test('a full queue refuses with ERR_QUEUE_FULL, exactly at its capacity', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, queue: { capacity: 5 } });
    const busy = await occupy(pool, most(2));
    const jobs = Array.from({ length: 12 }, (_, i) => pool.run('echo', i));
    const refusal = pool.tryRun('echo', 1);
    const outcomes = Promise.all(jobs.map((job) => outcome(job)));
    const { queued, refusedFull } = pool.stats();
    await busy.release();
    return { outcomes: await outcomes, refusal, queued, refusedFull };
  });
  assert.deepEqual(result.outcomes.slice(0, 5).map(({ value }) => value), [0, 1, 2, 3, 4]);
  for (const { error } of result.outcomes.slice(5)) assert.equal(error.code, 'ERR_QUEUE_FULL');
  assert.ok(result.outcomes[5].error.retryable, 'worth another try');
  assert.equal(result.refusal.refused, 'ERR_QUEUE_FULL');
  assert.deepEqual([result.queued, result.refusedFull], [5, 8]);
});

test('tryRun hands back a job or a refusal, and never waits', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, queue: { capacity: 1, whenFull: 'wait' } });
    const busy = await occupy(pool, 1);
    const job = pool.tryRun('echo', 'accepted');
    const refusal = pool.tryRun('echo', 'refused');
    const isPromise = [job instanceof Promise, refusal instanceof Promise];
    await busy.release();
    return { value: await within(job), refusal: refusal.refused, isPromise, waiting: pool.stats().waiting };
  });
  assert.deepEqual(result, { value: 'accepted', refusal: 'ERR_QUEUE_FULL', isPromise: [true, false], waiting: 0 });
});

test('callers may wait for room, first come first served', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, queue: { capacity: 1, whenFull: 'wait', maxWaiting: 6 } });
    const busy = await occupy(pool, 1);
    const order = [];
    const jobs = Array.from({ length: 7 }, (_, i) => pool.run('echo', i));
    for (const job of jobs) job.then((value) => order.push(value));
    const states = jobs.map((job) => job.state);
    const tooMany = await outcome(pool.run('echo', 'too many'));
    const refusedByOption = await outcome(pool.run('echo', 'no', { whenFull: 'reject' }));
    const { waiting, queued } = pool.stats();
    const sums = law(pool.stats());
    await busy.release();
    await within(Promise.all(jobs));
    return { states, tooMany, refusedByOption, waiting, queued, order, sums, after: law(pool.stats()) };
  });
  assert.deepEqual(result.states, ['queued', ...Array(6).fill('waiting')]);
  assert.equal(result.tooMany.error.code, 'ERR_QUEUE_FULL');
  assert.match(result.tooMany.error.message, /^6 .*queue\.maxWaiting/);
  assert.equal(result.refusedByOption.error.code, 'ERR_QUEUE_FULL');
  assert.match(result.refusedByOption.error.message, /queue\.capacity is 1\b.*whenFull/);
  assert.deepEqual([result.waiting, result.queued], [6, 1]);
  assert.deepEqual(result.order, [0, 1, 2, 3, 4, 5, 6]);
  for (const sums of [result.sums, result.after])
    for (const [name, [left, right]] of Object.entries(sums)) assert.equal(left, right, name);
});

test('the wait for room ends at submitTimeout, at an abort, at a cancel and at close', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, queue: { capacity: 1, whenFull: 'wait' } });
    const busy = await occupy(pool, 1);
    const queued = pool.run('echo', 'queued');
    const timedOut = await outcome(pool.run('echo', 1, { submitTimeout: 30 }));
    const controller = new AbortController();
    const aborted = pool.run('echo', 2, { signal: controller.signal });
    controller.abort('enough');
    const abortReason = await within(aborted).catch((reason) => reason);
    const cancelled = pool.run('echo', 3);
    cancelled.cancel();
    const cancelOutcome = await outcome(cancelled);
    const waiting = outcome(pool.run('echo', 4));
    const closing = pool.close({ mode: 'drain' });
    const closed = await waiting;
    await busy.release();
    const value = await within(queued);
    await within(closing);
    return { timedOut, abortReason, cancelOutcome, closed, value, stats: pool.stats(), sums: law(pool.stats()) };
  });
  assert.deepEqual([result.timedOut.error.code, result.timedOut.error.phase], ['ERR_TIMEOUT', 'submit']);
  assert.equal(result.abortReason, 'enough');
  assert.equal(result.cancelOutcome.error.code, 'ERR_CANCELLED');
  assert.equal(result.closed.error.code, 'ERR_POOL_CLOSED');
  assert.equal(result.value, 'queued');
  assert.deepEqual([result.stats.refusedTimeout, result.stats.refusedClosed, result.stats.waiting], [1, 1, 0]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('the rate limit refuses with an exact retryAfter, then lets through', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const slow = await Pool.create({ workers: 1, rateLimit: { limit: 3, interval: 60_000 } });
    const outcomes = [];
    for (let i = 0; i < 5; i++) outcomes.push(await outcome(slow.run('echo', i)));
    const refusal = slow.tryRun('echo', 1);
    const { refusedRate } = slow.stats();
    await slow.close();

    const quick = await Pool.create({ workers: 1, rateLimit: { limit: 1, interval: 200, burst: 1 } });
    await quick.run('echo', 1);
    const refused = quick.tryRun('echo', 2);
    const come = performance.now() + refused.retryAfter;
    await until(() => performance.now() >= come + 1);
    const again = await outcome(quick.run('echo', 3));
    return { outcomes, refusal, refusedRate, refused, again };
  });
  assert.deepEqual(result.outcomes.slice(0, 3).map(({ ok }) => ok), [true, true, true]);
  for (const { error } of result.outcomes.slice(3)) {
    assert.equal(error.code, 'ERR_RATE_LIMITED');
    assert.ok(error.retryAfter > 15_000 && error.retryAfter <= 20_000, `retryAfter ${error.retryAfter}`);
    assert.ok(error.retryable);
  }
  assert.equal(result.refusal.refused, 'ERR_RATE_LIMITED');
  assert.ok(result.refusal.retryAfter > 15_000 && result.refusal.retryAfter <= 20_000);
  assert.equal(result.refusedRate, 3);
  assert.ok(result.refused.retryAfter > 0 && result.refused.retryAfter <= 200);
  assert.equal(result.again.value, 3);
});

test('a refusal further on gives the rate token back', {}, async (page) => {
  const codes = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, queue: { capacity: 1 }, rateLimit: { limit: 4, interval: 3_600_000 } });
    const busy = await occupy(pool, 1); // the first token
    pool.run('echo', 1); // the second
    const codes = [];
    for (let i = 0; i < 10; i++) codes.push((await outcome(pool.run('echo', i))).error?.code);
    await busy.release();
    await within(pool.idle());
    codes.push((await outcome(pool.run('echo', 1))).ok, (await outcome(pool.run('echo', 1))).ok);
    codes.push((await outcome(pool.run('echo', 1))).error?.code);
    return codes;
  });
  assert.deepEqual(codes, [...Array(10).fill('ERR_QUEUE_FULL'), true, true, 'ERR_RATE_LIMITED']);
});

test('the limit of jobs in flight holds, and falls with each end', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, maxInFlight: most(2) + 1 });
    const busy = await occupy(pool, most(2));
    const third = pool.run('echo', 'third');
    const refused = await outcome(pool.run('echo', 'fourth'));
    const refusal = pool.tryRun('echo', 'fourth');
    await busy.release();
    const value = await within(third);
    const after = await outcome(pool.run('echo', 'later'));
    return { refused, refusal, value, after, count: pool.stats().refusedInFlight };
  });
  assert.equal(result.refused.error.code, 'ERR_IN_FLIGHT_LIMIT');
  assert.match(result.refused.error.message, /limit of [23] .*maxInFlight/);
  assert.equal(result.refusal.refused, 'ERR_IN_FLIGHT_LIMIT');
  assert.equal(result.value, 'third');
  assert.equal(result.after.value, 'later');
  assert.equal(result.count, 2);
});

test('the breaker opens, refuses with retryAfter, lets probes through and closes', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, breaker: { consecutive: 3, pause: 150, probes: 2 } });
    const fail = () => outcome(pool.run('simulate', { duration: 0, outcome: 'error' }));
    const states = [pool.breaker.state];
    for (let i = 0; i < 3; i++) await fail();
    states.push(pool.breaker.state);
    const refused = await outcome(pool.run('echo', 1));
    const refusal = pool.tryRun('echo', 1);
    const { refusedBreaker } = pool.stats();
    await until(() => pool.breaker.state !== 'open', 'the pause is over');
    states.push(pool.breaker.state);
    const probes = [await outcome(pool.run('echo', 'probe')), await outcome(pool.run('echo', 'probe'))];
    states.push(pool.breaker.state);
    const after = await outcome(pool.run('echo', 'normal'));
    return { states, refused, refusal, refusedBreaker, probes, after };
  });
  assert.deepEqual(result.states, ['closed', 'open', 'half-open', 'closed']);
  assert.equal(result.refused.error.code, 'ERR_CIRCUIT_OPEN');
  assert.ok(result.refused.error.retryAfter > 0 && result.refused.error.retryAfter <= 150);
  assert.equal(result.refusal.refused, 'ERR_CIRCUIT_OPEN');
  assert.ok(result.refusal.retryAfter > 0 && result.refusal.retryAfter <= 150);
  assert.equal(result.refusedBreaker, 2);
  assert.ok(result.probes.every(({ ok }) => ok));
  assert.equal(result.after.value, 'normal');
});

test('a failed probe opens the breaker again, for longer', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, breaker: { consecutive: 1, pause: 200, maxPause: 60_000, probes: 1 } });
    const fail = () => outcome(pool.run('simulate', { duration: 0, outcome: 'error' }));
    await fail();
    const first = pool.tryRun('echo', 1).retryAfter;
    await until(() => pool.breaker.state === 'half-open');
    const probe = await fail();
    const second = pool.tryRun('echo', 1).retryAfter;
    return { first, probe: probe.error.code, state: pool.breaker.state, second };
  });
  assert.ok(result.first <= 200);
  assert.equal(result.probe, 'ERR_JOB_FAILED');
  assert.equal(result.state, 'open');
  assert.ok(result.second > 200 && result.second <= 400, `the second pause: ${result.second}`);
});

test('jobs already queued when the breaker opens fail fast, and are counted as failed', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, breaker: { consecutive: 1, pause: 60_000 } });
    pool.pause();
    const jobs = [pool.run('simulate', { duration: 0, outcome: 'error' }), pool.run('echo', 1), pool.run('echo', 2)];
    pool.resume();
    const outcomes = await Promise.all(jobs.map((job) => outcome(job)));
    return { outcomes, stats: pool.stats() };
  });
  assert.deepEqual(result.outcomes.map(({ error }) => error?.code), ['ERR_JOB_FAILED', 'ERR_CIRCUIT_OPEN', 'ERR_CIRCUIT_OPEN']);
  assert.ok(result.outcomes[1].error.retryAfter > 0);
  assert.deepEqual([result.stats.failed, result.stats.refusedBreaker], [3, 0]);
});

test('trip and reset force the breaker by hand', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, breaker: true });
    pool.breaker.trip();
    const tripped = [(await outcome(pool.run('echo', 1))).error?.code, pool.breaker.state];
    pool.breaker.reset();
    return { tripped, after: await outcome(pool.run('echo', 1)), state: pool.breaker.state };
  });
  assert.equal(result.tripped[0], 'ERR_CIRCUIT_OPEN');
  assert.notEqual(result.tripped[1], 'closed');
  assert.equal(result.after.value, 1);
  assert.equal(result.state, 'closed');
});

test('refusals, cancels and queue time-outs teach the breaker nothing', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({
      workers: 1, maxInFlight: 3, queue: { capacity: 2 },
      breaker: { consecutive: 2, failureRate: 20, window: 10, minimumCalls: 2, pause: 60_000 },
    });
    const busy = await occupy(pool, 1);
    const codes = {};
    const note = async (promise) => { const { error } = await outcome(promise); codes[error.code] = (codes[error.code] ?? 0) + 1; };
    for (let i = 0; i < 10; i++) await note(pool.run('echo', i, { queueTimeout: 1 }));
    for (let i = 0; i < 10; i++) { const job = pool.run('echo', i); job.cancel(); await note(job); }
    const held = [pool.run('echo', 1), pool.run('echo', 2)];
    for (let i = 0; i < 10; i++) await note(pool.run('echo', i));
    for (let i = 0; i < 10; i++) await note(pool.run('nobody', i));
    for (let i = 0; i < 10; i++) await note(pool.run('echo', () => {}));
    const state = pool.breaker.state;
    await busy.release(); // running and cancelled: nothing either
    await Promise.all(held);
    return { codes, state, end: pool.breaker.state };
  });
  assert.equal(result.codes.ERR_TIMEOUT, 10);
  assert.equal(result.codes.ERR_CANCELLED, 10);
  assert.equal(Object.values(result.codes).reduce((a, b) => a + b), 50);
  assert.deepEqual([result.state, result.end], ['closed', 'closed']);
});

test('run time-outs do count as failures of the breaker', {}, async (page) => {
  const state = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, breaker: { consecutive: 2, pause: 60_000 } });
    for (let i = 0; i < 2; i++) await outcome(pool.run(...long, { timeout: 10 }));
    return pool.breaker.state;
  });
  assert.equal(state, 'open');
});

test('a value nested too deeply for JSON is ERR_DATA; where JSON takes it, it travels', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const deep = [];
    let inner = deep;
    for (let i = 0; i < 200_000; i++) inner.push((inner = []));
    const { ok, value, error } = await outcome(() => pool.run('echo', deep));
    let depth = 0;
    // The value itself would be too deep for the way out of the page.
    for (let level = value; level?.length === 1; [level] = level) depth++;
    return { ok, depth, code: error?.code, sums: law(pool.stats()), after: await outcome(pool.run('echo', 'fine')) };
  });
  if (result.ok) assert.equal(result.depth, 200_000);
  else assert.equal(result.code, 'ERR_DATA');
  assert.equal(result.after.value, 'fine');
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('the rate limit changes while the pool works', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, rateLimit: { limit: 2, interval: 3_600_000 } });
    const { rateLimit } = pool;
    const numbers = () => [rateLimit.limit, rateLimit.interval, rateLimit.burst];
    const taken = async (count) => {
      const all = await Promise.all(Array.from({ length: count }, () => outcome(pool.run('echo', 1))));
      return all.filter(({ ok }) => ok).length;
    };
    const seen = [numbers(), await taken(5)];
    rateLimit.set({ limit: 10, interval: 3_600_000, burst: 6 });
    // Two tokens are owed still.
    seen.push(numbers(), await taken(10));
    rateLimit.set(false);
    seen.push(numbers().map(String), await taken(50));
    const wrong = [{ limit: 0, interval: 1 }, { limit: 1 }, { limit: 1, interval: 1, most: 1 }, { limit: 1, interval: 2 ** 31 - 1 }];
    const errors = wrong.map((options) => {
      try {
        rateLimit.set(options);
      } catch (error) {
        return error.name;
      }
    });
    return { seen, errors, after: numbers().map(String), open: await taken(5) };
  });
  assert.deepEqual(result.seen, [[2, 3_600_000, 2], 2, [10, 3_600_000, 6], 4, ['Infinity', '0', '0'], 50]);
  assert.deepEqual(result.errors, ['RangeError', 'TypeError', 'TypeError', 'RangeError']);
  assert.deepEqual([result.after[0], result.open], ['Infinity', 5], 'a wrong limit changes nothing');
});

test('the limit of jobs in flight changes while the pool works, and lets those in that wait', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, maxInFlight: 1 });
    const seen = [pool.maxInFlight];
    const busy = await occupy(pool, 1);
    const refused = await outcome(pool.run('echo', 1));
    const waits = pool.run('echo', 2, { whenFull: 'wait' });
    const before = waits.state;
    pool.maxInFlight = 2;
    await until(() => waits.state === 'queued');
    seen.push(pool.maxInFlight);
    pool.maxInFlight = Infinity;
    seen.push(String(pool.maxInFlight));
    const many = Array.from({ length: 100 }, (_, i) => pool.run('echo', i));
    await busy.release();
    await within(Promise.all(many));
    const errors = [0, 1.5, '2', undefined].map((value) => {
      try {
        pool.maxInFlight = value;
      } catch (error) {
        return error.name;
      }
    });
    return { refused, before, value: await within(waits), seen, errors };
  });
  assert.equal(result.refused.error.code, 'ERR_IN_FLIGHT_LIMIT');
  assert.deepEqual([result.before, result.value], ['waiting', 2]);
  assert.deepEqual(result.seen, [1, 2, 'Infinity']);
  assert.deepEqual(result.errors, ['RangeError', 'RangeError', 'TypeError', 'TypeError']);
});

test('changed gates survive a reset', { expectProblems: /unreachable|RuntimeError|trap/i, modes: ['threads', 'inline'] }, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, rateLimit: { limit: 100, interval: 3_600_000 }, maxInFlight: 50 });
    pool.rateLimit.set({ limit: 3, interval: 3_600_000 });
    pool.maxInFlight = 2;
    await outcome(pool.run('simulate', { duration: 0, outcome: 'trap' }));
    await until(() => pool.stats().resets === 1);
    const codes = [];
    for (let i = 0; i < 3; i++) codes.push((await outcome(pool.run('echo', i))).error?.code ?? 'ok');
    return { codes, limit: pool.rateLimit.limit, maxInFlight: pool.maxInFlight };
  });
  assert.deepEqual(result, { codes: ['ok', 'ok', 'ERR_RATE_LIMITED'], limit: 3, maxInFlight: 2 });
});

test('the breaker tells what happened to it, and can be switched off', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const start = performance.now();
    const pool = await Pool.create({ workers: 1, breaker: { consecutive: 2, pause: 50, probes: 1 } });
    const fail = () => outcome(pool.run('simulate', { duration: 0, outcome: 'error' }));
    const empty = pool.breaker.log;
    await fail();
    await fail();
    await until(() => pool.breaker.state === 'half-open');
    await outcome(pool.run('echo', 1));
    pool.breaker.trip();
    pool.breaker.disable();
    for (let i = 0; i < 5; i++) await fail();
    const { state } = pool.breaker;
    pool.breaker.reset();
    const { log } = pool.breaker;
    const { breaker } = pool.stats();
    await pool.close();
    const without = await Pool.create({ workers: 1 });
    const errors = ['trip', 'reset', 'disable'].map((name) => {
      try {
        without.breaker[name]();
      } catch (error) {
        return error.name;
      }
    });
    return { empty, state, log, breaker, end: performance.now(), start, closed: pool.breaker.log, without: [without.breaker.state, without.breaker.log], errors };
  });
  assert.deepEqual(result.empty, []);
  assert.equal(result.state, 'disabled');
  assert.deepEqual(
    result.log.map(({ from, to, cause }) => [from, to, cause]),
    [
      ['closed', 'open', 'consecutive'], ['open', 'half-open', 'pause-over'], ['half-open', 'closed', 'probes-succeeded'],
      ['closed', 'forced-open', 'tripped'], ['forced-open', 'disabled', 'disabled'], ['disabled', 'closed', 'reset'],
    ],
  );
  result.log.forEach(({ at, generation }, i) => {
    assert.ok(at >= (result.log[i - 1]?.at ?? result.start) && at <= result.end, 'in order, on the page\'s clock');
    assert.equal(generation, i + 1);
  });
  assert.deepEqual(
    [result.breaker.state, result.breaker.opened, result.breaker.generation, result.breaker.failureRate, result.breaker.stale],
    ['closed', 2, 6, 0, 0],
  );
  assert.deepEqual(result.closed, result.log, 'also once the pool is closed');
  assert.deepEqual(result.without, ['disabled', []]);
  assert.deepEqual(result.errors, Array(3).fill('TypeError'));
});

test('inside a priority the earliest deadline goes first, as far as the horizon', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const run = async (queue) => {
      const pool = await Pool.create({ workers: 1, queue });
      pool.pause();
      const order = [];
      const jobs = [
        ['whenever', {}], ['late', { totalTimeout: 50_000 }], ['soon', { totalTimeout: 20_000 }],
        ['far', { totalTimeout: 600_000 }], ['first', { priority: 'critical' }],
      ].map(([name, options]) => pool.run('echo', name, options).then((value) => order.push(value)));
      pool.resume();
      await within(Promise.all(jobs));
      await pool.close();
      return order;
    };
    return [await run({ ageing: false }), await run({ ageing: false, order: 'deadline' }), await run({ ageing: false, order: 'deadline', horizon: 10_000 })];
  });
  assert.deepEqual(result[0], ['first', 'whenever', 'late', 'soon', 'far']);
  assert.deepEqual(result[1], ['first', 'soon', 'late', 'whenever', 'far'], 'past the horizon in their order');
  assert.deepEqual(result[2], ['first', 'whenever', 'late', 'soon', 'far'], 'all are past a short horizon');
});

test('time-outs of submissions count for the breaker when asked', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const run = async (countSubmitTimeouts) => {
      const pool = await Pool.create({ workers: 1, queue: { capacity: 1, whenFull: 'wait' }, breaker: { consecutive: 2, countSubmitTimeouts } });
      const busy = await occupy(pool, 1);
      const queued = outcome(pool.run('echo', 1));
      const late = await Promise.all([1, 2].map(() => outcome(pool.run('echo', 2, { submitTimeout: 20 }))));
      const { state } = pool.breaker;
      await busy.release();
      await queued;
      await pool.close();
      return [state, ...late.map(({ error }) => error.phase)];
    };
    return [await run(true), await run(false)];
  });
  assert.deepEqual(result, [['open', 'submit', 'submit'], ['closed', 'submit', 'submit']]);
});

test('the metrics come as text for Prometheus and for people', {}, async (page) => {
  const { text, report, stats } = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, retry: { attempts: 2, backoff: 1 } });
    await outcome(pool.run('simulate', { duration: 0, outcome: 'error' }));
    await within(pool.run('echo', 1));
    await pool.close();
    return { text: pool.prometheus(), report: pool.report(), stats: pool.stats() };
  });
  const value = (name) => Number(new RegExp(`^weirpool_${name} (.*)$`, 'm').exec(text)?.[1]);
  assert.deepEqual(
    [value('accepted_total'), value('failed_total'), value('retried_total'), value('started_total'), value('run_seconds_count')],
    [2, 1, 1, 3, 3],
  );
  assert.equal(value('memory_bytes'), stats.memoryBytes);
  assert.match(report, /^retried +1$/m);
  assert.match(report, /^queued +0 of 1024 \(delayed 0\)$/m);
});

test('with a breaker for each job, one that fails leaves the others alone, also after a reset', { expectProblems: /unreachable|RuntimeError/ }, async (page, { mode }) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, breaker: { per: 'job', consecutive: 3, pause: 60_000 } });
    const changes = [];
    pool.addEventListener('breakerchange', ({ detail }) => changes.push(detail));
    const fails = await Promise.all(Array.from({ length: 3 }, () => outcome(pool.run('simulate', { duration: 0, outcome: 'error' }))));
    const open = await outcome(pool.run('simulate', { duration: 0 }));
    const other = await outcome(pool.run('echo', 'runs'));
    const { breaker, breakers } = pool.stats();
    const text = [pool.prometheus(), pool.report()];
    const simulate = pool.breaker.of('simulate');
    const causes = simulate.log.map(({ cause }) => cause);
    const wrong = [];
    for (const call of [() => pool.breaker.trip(), () => pool.breaker.of('no such job'), () => simulate.of('echo')]) {
      try { call(); } catch (error) { wrong.push(error.name); }
    }
    simulate.reset();
    pool.breaker.of('echo').trip();
    const trapped = await outcome(pool.run('simulate', { duration: 0, outcome: 'trap' }));
    const after = await Promise.all([outcome(pool.run('echo', 1)), outcome(pool.run('sha256', 'x'))]);
    const states = [pool.breaker.of('echo').state, simulate.state, pool.breaker.state];
    const sums = law(pool.stats());
    await within(pool.close());
    return { fails, open, other, breaker, breakers, text, causes, wrong, trapped, after, states, changes, sums, last: simulate.state };
  });
  for (const { error } of result.fails) assert.equal(error.code, 'ERR_JOB_FAILED');
  assert.equal(result.open.error.code, 'ERR_CIRCUIT_OPEN');
  assert.equal(result.other.value, 'runs');
  assert.deepEqual([result.breaker.state, result.breakers.simulate, result.breakers.echo], ['disabled', 'open', 'closed']);
  assert.match(result.text[0], /^weirpool_breaker_state\{job="simulate",state="open"\} 1$/m);
  assert.match(result.text[1], /^breaker of simulate +open$/m);
  assert.deepEqual([result.causes, result.wrong], [['consecutive'], ['TypeError', 'TypeError', 'TypeError']]);
  assert.equal(result.trapped.error.code, 'ERR_PANIC');
  assert.deepEqual(result.after.map(({ ok, error }) => ok || error.code), ['ERR_CIRCUIT_OPEN', true]);
  assert.deepEqual([result.states, result.last], [['forced-open', 'closed', 'disabled'], 'closed']);
  assert.deepEqual(result.changes, [
    { from: 'closed', to: 'open', job: 'simulate' }, { from: 'open', to: 'closed', job: 'simulate' },
    { from: 'closed', to: 'forced-open', job: 'echo' },
  ]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
  assert.ok(mode);
});

test('an adaptive limit falls while jobs take longer than its target, and rises again', {}, async (page, { mode }) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({
      workers: 4, adaptive: { target: 100, window: 100 }, queue: { whenFull: 'wait', maxWaiting: 100_000 },
    });
    const limits = [pool.stats().limit];
    await within(Promise.all(Array.from({ length: 36 }, () => pool.run('simulate', { duration: 120 }))));
    limits.push(pool.stats().limit);
    const slow = pool.stats().completed;
    await until(async () => {
      await Promise.all(Array.from({ length: 40 }, () => pool.run('simulate', { duration: 5 })));
      return pool.stats().limit === limits[0];
    }, 'the limit has risen', 20_000);
    const sums = law(pool.stats());
    return { limits, slow, report: await within(pool.close()), sums };
  });
  assert.deepEqual(result.limits, mode === 'inline' ? [1, 1] : [4, 1]);
  assert.deepEqual([result.slow, result.report.clean], [36, true]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('a breaker that was tripped names no time; a listener hears of every change', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, breaker: { consecutive: 1, pause: 20, probes: 1 } });
    const changes = [];
    pool.addEventListener('breakerchange', ({ detail: { from, to } }) => changes.push(`${from} ${to}`));
    await outcome(pool.run('simulate', { duration: 0, outcome: 'error' }));
    await new Promise((done) => setTimeout(done, 40));
    await outcome(pool.run('simulate', { duration: 0, outcome: 'error' }));
    await new Promise((done) => setTimeout(done, 80));
    await outcome(pool.run('simulate', { duration: 0 }));
    pool.breaker.trip();
    const refused = await outcome(pool.run('echo', 1));
    const { retryAfter } = pool.stats().breaker;
    const text = /^weirpool_breaker_retry_after_seconds (.*)$/m.exec(pool.prometheus())[1];
    return { changes, refused, retryAfter: String(retryAfter), text };
  });
  assert.deepEqual(result.changes, [
    'closed open', 'open half-open', 'half-open open', 'open half-open', 'half-open closed', 'closed forced-open',
  ]);
  assert.deepEqual([result.refused.error.code, result.refused.error.retryAfter], ['ERR_CIRCUIT_OPEN', undefined]);
  assert.match(result.refused.error.message, /until it is reset/);
  assert.deepEqual([result.retryAfter, result.text], ['Infinity', '+Inf']);
});

test('what says that there is no limit may be given', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ maxInFlight: Infinity, rateLimit: false, breaker: false, adaptive: false, retry: false });
    return [String(pool.maxInFlight), String(pool.rateLimit.limit), await within(pool.run('echo', 1))];
  });
  assert.deepEqual(result, ['Infinity', 'Infinity', 1]);
});
