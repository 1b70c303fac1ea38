// Retries: what is tried again and what is not, and everything that may happen to a job that waits for its next attempt.
import assert from 'node:assert/strict';
import { MODES, packageTests } from '../support/browser.mjs';

const test = await packageTests({ modes: MODES });
const withoutBell = await packageTests({ without: 'bell' });
const trap = { expectProblems: /unreachable|RuntimeError|trap/i };

function assertLaw(sums) {
  for (const [name, [left, right]] of Object.entries(sums)) assert.equal(left, right, name);
}

test('a failed job is tried again with its own input until it succeeds', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({
      workers: 2, createWorker: moduleWorker('/own-worker.js'), retry: { attempts: 4, backoff: 4, maxBackoff: 10, budget: false },
    });
    const retries = [];
    pool.addEventListener('jobretry', ({ detail }) => retries.push({ ...detail, error: describe(detail.error) }));
    // Short and long ones: where an input lies depends on it, and a failed attempt leaves its error somewhere too.
    const inputs = Array.from({ length: 40 }, (_, i) => ({ attempt: 1 + (i % 4), i, text: 'x'.repeat(i % 3 === 0 ? 0 : i * 9) }));
    const before = performance.now();
    const jobs = inputs.map((input) => pool.run('onAttempt', input));
    const values = await within(Promise.all(jobs));
    const stats = pool.stats();
    return { inputs, values, retries, ids: jobs.map(({ id }) => id), before, after: performance.now(), stats, sums: law(stats) };
  });
  assert.deepEqual(result.values, result.inputs);
  const expected = result.inputs.flatMap(({ attempt }, i) => Array.from({ length: attempt - 1 }, (_, n) => [result.ids[i], n + 1]));
  const seen = result.retries.map(({ id, attempt }) => [id, attempt]);
  assert.deepEqual(seen.sort(([a, b], [c, d]) => a - c || b - d), expected);
  for (const { error, attempt, job, at } of result.retries) {
    assert.deepEqual([error.code, error.attempt, error.cause.message, job], ['ERR_JOB_FAILED', attempt, 'no', 'onAttempt']);
    assert.ok(at > result.before && at < result.after, 'when the next attempt was to come');
  }
  const { completed, failed, retried, started, delayed } = result.stats;
  assert.deepEqual({ completed, failed, retried, started, delayed }, { completed: 40, failed: 0, retried: 60, started: 100, delayed: 0 });
  assertLaw(result.sums);
});

test('after its last attempt a job fails as any other', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, retry: { attempts: 3, backoff: 1 } });
    const error = await outcome(pool.run('simulate', { duration: 0, outcome: 'error' }));
    const off = await outcome(pool.run('simulate', { duration: 0, outcome: 'error' }, { retry: false }));
    return { error, off, stats: pool.stats(), sums: law(pool.stats()) };
  });
  assert.deepEqual([result.error.error.code, result.error.error.attempt], ['ERR_JOB_FAILED', 3]);
  assert.deepEqual([result.off.error.code, result.off.error.attempt], ['ERR_JOB_FAILED', 1]);
  assert.deepEqual([result.stats.failed, result.stats.retried], [2, 2]);
  assertLaw(result.sums);
});

test('a job may have retries of its own', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js') });
    const retry = { attempts: 5, backoff: 0, maxBackoff: 1 };
    return [
      await outcome(pool.run('onAttempt', { attempt: 5 }, { retry })),
      await outcome(pool.run('onAttempt', { attempt: 6 }, { retry })),
      await outcome(pool.run('onAttempt', { attempt: 2 })),
    ];
  });
  assert.equal(result[0].value.attempt, 5);
  assert.equal(result[1].error.attempt, 5);
  assert.equal(result[2].error.attempt, 1);
});

test('what another attempt would only repeat is not tried again', {}, async (page, { mode }) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js'), retry: { backoff: 1 } });
    const calls = [
      ['onAttempt', { attempt: 9, error: { retryable: false } }], ['big', null], ['sha256', undefined], ['simulate', { duration: 'x' }],
      ['simulate', { duration: 0, outcome: 'panic' }], ['later', null],
    ];
    const outcomes = [];
    for (const [job, input] of calls) outcomes.push(await outcome(pool.run(job, input)));
    return { outcomes, stats: pool.stats() };
  });
  const codes = result.outcomes.map(({ ok, error }) => (ok ? 'ok' : error.code));
  const later = mode === 'threads' ? 'ERR_UNSUPPORTED' : 'ok';
  assert.deepEqual(codes, ['ERR_JOB_FAILED', 'ERR_DATA', 'ERR_DATA', 'ERR_DATA', 'ERR_PANIC', later]);
  assert.equal(result.stats.retried, 0);
});

test('panics are tried again when asked', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, retry: { panics: true, backoff: 1 } });
    const error = await outcome(pool.run('simulate', { duration: 0, outcome: 'panic' }));
    return { error, stats: pool.stats() };
  });
  assert.deepEqual([result.error.error.code, result.error.error.attempt], ['ERR_PANIC', 3]);
  assert.deepEqual([result.stats.retried, result.stats.panicked, result.stats.failed], [2, 1, 1]);
});

test('an error that marks itself ignored says nothing to the breaker', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js'), breaker: { consecutive: 2 } });
    const states = [];
    for (const ignored of [true, true, true, false, false]) {
      const { error } = await outcome(pool.run('onAttempt', { attempt: 2, error: { ignored } }));
      states.push([error.cause.own.ignored, pool.breaker.state]);
    }
    return states;
  });
  assert.deepEqual(result, [[true, 'closed'], [true, 'closed'], [true, 'closed'], [false, 'closed'], [false, 'open']]);
});

test('retries end with the budget', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const run = async (budget) => {
      const pool = await Pool.create({ workers: 1, retry: { attempts: 2, backoff: 0, ...budget } });
      await Promise.all(Array.from({ length: 15 }, () => outcome(pool.run('simulate', { duration: 0, outcome: 'error' }))));
      const { retried } = pool.stats();
      await pool.close();
      return retried;
    };
    return [await run({}), await run({ budget: false })];
  });
  assert.deepEqual(result, [10, 15]);
});

test('a job that waits for its next attempt is delayed, and can be cancelled', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, queue: { capacity: 1 }, retry: { backoff: 600_000, maxBackoff: 600_000 } });
    const job = pool.run('simulate', { duration: 0, outcome: 'error' });
    await until(() => job.state === 'delayed');
    const { delayed, queued, running } = pool.stats();
    const full = pool.tryRun('echo', 1).refused;
    const sums = law(pool.stats());
    const cancelled = job.cancel('enough');
    const error = await outcome(job);
    return { delayed, queued, running, full, sums, cancelled, error, next: await outcome(pool.run('echo', 'next')), after: law(pool.stats()), stats: pool.stats() };
  });
  assert.deepEqual([result.delayed, result.queued, result.running], [1, 0, 0]);
  assert.equal(result.full, 'ERR_QUEUE_FULL', 'it keeps its place');
  assert.equal(result.cancelled, true);
  assert.deepEqual(result.error.error, { thrown: 'enough' });
  assert.equal(result.next.value, 'next');
  assert.deepEqual([result.stats.cancelled, result.stats.delayed], [1, 0]);
  for (const sums of [result.sums, result.after]) assertLaw(sums);
});

test('a delayed job ends at its total time-out, and no attempt begins that could only come later', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, breaker: { consecutive: 1, pause: 600_000 } });
    pool.pause();
    const failing = outcome(pool.run('simulate', { duration: 0, outcome: 'error' }));
    // It waits for the breaker until its time is up: that comes first.
    const retry = { attempts: 2, backoff: 600_000, maxBackoff: 600_000 };
    const waits = outcome(pool.run('echo', 1, { retry, totalTimeout: 600 }));
    pool.resume();
    const outcomes = [await failing, await waits];
    pool.breaker.reset();
    outcomes.push(await outcome(pool.run('simulate', { duration: 0, outcome: 'error' }, { retry, totalTimeout: 60_000 })));
    return { outcomes, sums: law(pool.stats()) };
  });
  assert.equal(result.outcomes[0].error.code, 'ERR_JOB_FAILED');
  // The breaker opens for longer than it has.
  assert.equal(result.outcomes[1].error.code, 'ERR_CIRCUIT_OPEN');
  assert.deepEqual([result.outcomes[2].error.code, result.outcomes[2].error.attempt], ['ERR_JOB_FAILED', 1]);
  assertLaw(result.sums);
});

test('a job with retries waits for the breaker instead of failing', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, breaker: { consecutive: 1, pause: 300, probes: 1 } });
    pool.pause();
    const failing = outcome(pool.run('simulate', { duration: 0, outcome: 'error' }));
    const waits = pool.run('echo', 'at last', { retry: true });
    const fails = outcome(pool.run('echo', 'never'));
    pool.resume();
    await failing;
    await until(() => waits.state === 'delayed');
    const { delayed } = pool.stats();
    return { delayed, value: await outcome(waits), fails: await fails, stats: pool.stats(), state: pool.breaker.state, sums: law(pool.stats()) };
  });
  assert.equal(result.delayed, 1);
  assert.equal(result.value.value, 'at last');
  assert.equal(result.fails.error.code, 'ERR_CIRCUIT_OPEN');
  assert.equal(result.stats.retried, 0, 'that was no attempt');
  assert.equal(result.state, 'closed');
  assertLaw(result.sums);
});

test('closing ends delayed jobs, or lets them have their attempts', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const close = async (mode, backoff) => {
      const pool = await Pool.create({ workers: 1, retry: { backoff, maxBackoff: backoff }, createWorker: moduleWorker('/own-worker.js') });
      const job = pool.run('onAttempt', { attempt: 2 });
      const end = outcome(job);
      if (backoff > 1000) await until(() => job.state === 'delayed');
      const report = await within(pool.close({ mode }));
      return { end: await end, aborted: report.aborted, clean: report.clean, sums: law(pool.stats()) };
    };
    // Of one that runs when the pool closes there is no other attempt.
    const pool = await Pool.create({ workers: 1, retry: { backoff: 600_000, maxBackoff: 600_000 } });
    const job = pool.run('simulate', { duration: 200, outcome: 'error' });
    const late = outcome(job);
    if (mode !== 'inline') await until(() => job.state === 'running');
    const { aborted, clean } = await within(pool.close({ mode: 'cancel-queued' }));
    return [
      await close('abort', 600_000), await close('cancel-queued', 600_000), { end: await late, aborted, clean, sums: law(pool.stats()) },
      await close('drain', 50),
    ];
  });
  for (const { end, aborted } of result.slice(0, 3)) assert.deepEqual([end.error.code, aborted], ['ERR_POOL_CLOSED', 1]);
  assert.equal(result[2].clean, true);
  assert.deepEqual([result[3].end.value, result[3].aborted, result[3].clean], [{ attempt: 2 }, 0, true]);
  for (const { sums } of result) assertLaw(sums);
});

test('an attempt that takes too long is told so, and tried again when asked', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js'), timeout: 200, retry: { timeouts: true, backoff: 1 } });
    const value = await outcome(pool.run('slowFirst', false));
    return { value, stats: pool.stats(), sums: law(pool.stats()) };
  });
  assert.equal(result.value.value, 2);
  assert.deepEqual([result.stats.retried, result.stats.timedOut, result.stats.resets], [1, 0, 0]);
  assertLaw(result.sums);
});

test('one that does not listen is killed, and tried again', { modes: ['threads', 'isolated'] }, async (page) => {
  const result = await page.evaluate(async () => {
    const options = { workers: 1, createWorker: moduleWorker('/own-worker.js'), timeout: 300 };
    const pool = await Pool.create({ ...options, killGrace: 100, retry: { timeouts: true, backoff: 1 } });
    const value = await outcome(pool.run('slowFirst', true));
    const { retried, timedOut, failed } = pool.stats();
    const sums = law(pool.stats());
    await pool.close();
    // A kill is no error: it is not tried again unless time-outs are.
    const other = await Pool.create({ ...options, timeout: 10_000, killAfter: 300, retry: { backoff: 1 } });
    const killed = await outcome(other.run('slowFirst', true));
    return { value, retried, timedOut, failed, sums, killed, after: law(other.stats()) };
  });
  assert.equal(result.value.value, 2);
  assert.deepEqual([result.retried, result.timedOut, result.failed], [1, 0, 0]);
  assert.deepEqual([result.killed.error.code, result.killed.error.attempt], ['ERR_KILLED', 1]);
  for (const sums of [result.sums, result.after]) assertLaw(sums);
});

test('a trap leaves delayed jobs alone', trap, async (page, { mode }) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js'), retry: { attempts: 3, backoff: 700, budget: false } });
    const retries = [];
    pool.addEventListener('jobretry', ({ detail }) => retries.push([detail.id, detail.attempt]));
    const inputs = [{ attempt: 2 }, { attempt: 3, text: 'x'.repeat(500) }];
    const jobs = inputs.map((input) => pool.run('onAttempt', input));
    const last = pool.run('onAttempt', { attempt: 9 });
    const end = outcome(last);
    await until(() => [...jobs, last].every((job) => job.state === 'delayed'));
    const culprit = await outcome(pool.run('simulate', { duration: 0, outcome: 'trap' }));
    const states = jobs.map((job) => job.state);
    const values = await within(Promise.all(jobs));
    return { inputs, values, culprit, states, end: await end, retries, ids: [...jobs, last].map(({ id }) => id), stats: pool.stats(), sums: law(pool.stats()) };
  });
  assert.equal(result.culprit.error.code, 'ERR_PANIC');
  assert.deepEqual(result.states, ['delayed', 'delayed']);
  assert.deepEqual(result.values, result.inputs);
  assert.equal(result.end.error.attempt, 3, 'attempts count on');
  const [a, b, c] = result.ids;
  assert.deepEqual(result.retries.sort(([x, m], [y, n]) => x - y || m - n), [[a, 1], [b, 1], [b, 2], [c, 1], [c, 2]]);
  assert.deepEqual([result.stats.resets, result.stats.retried], [mode === 'isolated' ? 0 : 1, 5]);
  assertLaw(result.sums);
});

test('a job that another one takes down is tried again', { ...trap, modes: ['threads', 'isolated'] }, async (page, { mode }) => {
  const result = await page.evaluate(async () => {
    const options = { workers: mode === 'threads' ? 3 : 1, concurrency: 3, createWorker: moduleWorker('/own-worker.js') };
    const pool = await Pool.create({ ...options, retry: { backoff: 1 } });
    const errors = [];
    pool.addEventListener('jobretry', ({ detail }) => errors.push([detail.attempt, detail.error.code]));
    const victim = pool.run(...(mode === 'threads' ? ['simulate', { duration: 600 }] : ['sleep', 600]));
    const alone = pool.run(...(mode === 'threads' ? ['simulate', { duration: 600 }] : ['sleep', 600]), { retry: false });
    const ends = [outcome(victim), outcome(alone)];
    await until(() => victim.state === 'running' && alone.state === 'running');
    const culprit = await outcome(pool.run('simulate', { duration: 10, outcome: 'trap' }));
    return { culprit, ends: await Promise.all(ends), errors, stats: pool.stats(), sums: law(pool.stats()) };
  });
  assert.equal(result.culprit.error.code, 'ERR_PANIC');
  assert.equal(result.ends[0].ok, true);
  assert.equal(result.ends[1].error.code, 'ERR_WORKER_CRASHED');
  assert.deepEqual(result.errors, [[1, 'ERR_WORKER_CRASHED']]);
  const { completed, failed, retried, workerCrashes } = result.stats;
  assert.deepEqual({ completed, failed, retried, workerCrashes }, { completed: 1, failed: 2, retried: 1, workerCrashes: 1 });
  assertLaw(result.sums);
});

test('thousands of retries, cancellations and new jobs at once lose nothing', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({
      workers: 4, createWorker: moduleWorker('/own-worker.js'), queue: { whenFull: 'wait', maxWaiting: 10_000 },
      retry: { attempts: 3, backoff: 0, maxBackoff: 2, budget: false },
    });
    const ends = { ok: 0, cancelled: 0, failed: 0, wrong: 0 };
    const jobs = Array.from({ length: 3000 }, (_, i) => {
      const input = { attempt: 1 + (i % 4), i };
      const job = pool.run('onAttempt', input);
      return job.then(
        (value) => (value.i === i && value.attempt === input.attempt ? ends.ok++ : ends.wrong++),
        (error) => (error.code === 'ERR_CANCELLED' ? ends.cancelled++ : error.attempt === 3 && input.attempt === 4 ? ends.failed++ : ends.wrong++),
      );
    });
    const cancels = Array.from({ length: 300 }, () => pool.run('onAttempt', { attempt: 3 }));
    const cancelled = cancels.map((job) => outcome(job));
    for (const [i, job] of cancels.entries()) setTimeout(() => job.cancel(), i % 40);
    await within(Promise.all([...jobs, ...cancelled]), 40_000);
    await within(pool.idle());
    const stats = pool.stats();
    return { ends, stats, sums: law(stats), left: stats.delayed + stats.queued + stats.running };
  });
  assert.deepEqual(result.ends, { ok: 2250, cancelled: 0, failed: 750, wrong: 0 });
  assert.equal(result.left, 0);
  assertLaw(result.sums);
});

test('what an attempt returns after its time-out is no result: it is tried again, and times out in the end', {}, async (page, { mode }) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js') });
    const errors = [];
    pool.addEventListener('jobretry', ({ detail }) => errors.push([detail.error.code, detail.error.phase, detail.attempt]));
    const retry = { attempts: 2, backoff: 1, timeouts: true };
    const end = await within(outcome(pool.run(...(mode === 'threads' ? ['yields', 9] : ['busy', 60]), { timeout: 30, retry })));
    await until(() => pool.stats().abandoned === 0);
    const { timedOut, retried, completed } = pool.stats();
    return { end, errors, counts: [timedOut, retried, completed], sums: law(pool.stats()), after: await within(pool.run('upper', 'on')) };
  });
  assert.deepEqual([result.end.error.code, result.end.error.phase, result.end.error.attempt], ['ERR_TIMEOUT', 'run', 2]);
  assert.deepEqual(result.errors, [['ERR_TIMEOUT', 'run', 1]]);
  assert.deepEqual([result.counts, result.after], [[1, 1, 0], 'ON']);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('a result that comes too late leaves no memory behind', { modes: ['threads'] }, async (page) => {
  const grown = await page.evaluate(async () => {
    const pool = await Pool.create({
      workers: 1, createWorker: moduleWorker('/own-worker.js'), timeout: 5, retry: { attempts: 3, backoff: 0, timeouts: true, budget: false },
    });
    const run = async (jobs) => {
      for (let i = 0; i < jobs; i++) await within(outcome(pool.run('yields', 4 << 20)));
      await until(() => pool.stats().abandoned === 0);
      return pool.stats().memoryBytes;
    };
    return -(await run(3)) + (await run(20));
  });
  assert.ok(grown < 16 << 20, `${grown} bytes of some 170 million`);
});

test('an attempt that failed is told though its job is over and another one has the place', { modes: ['threads'] }, async (page) => {
  const events = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js'), retry: { attempts: 2, backoff: 0 } });
    const events = [];
    for (const type of ['jobretry', 'jobend']) pool.addEventListener(type, ({ detail }) => events.push([type, detail.id, detail.attempt]));
    const first = pool.run('onAttempt', { attempt: 2 });
    while (pool.stats().completed === 0);
    const next = pool.run('upper', 'next');
    await within(Promise.all([first, next]));
    return events;
  });
  assert.deepEqual(events, [['jobretry', 1, 1], ['jobend', 1, 2], ['jobend', 2, 1]]);
});

withoutBell('a page that finds a job timed out hears first of its attempt that failed', {}, async (page) => {
  const events = await page.evaluate(async () => {
    const pool = await Pool.create({
      workers: 1, createWorker: moduleWorker('/own-worker.js'), timeout: 30, retry: { attempts: 2, backoff: 0, budget: false },
    });
    const events = [];
    for (const type of ['jobretry', 'jobend']) pool.addEventListener(type, ({ detail }) => events.push([type, detail.attempt, detail.error.code]));
    const end = outcome(pool.run('slowSecond', null));
    // It does not look before both attempts are over.
    while (pool.stats().started < 2);
    for (const start = performance.now(); performance.now() < start + 60;);
    await within(end);
    return events;
  });
  assert.deepEqual(events, [['jobretry', 1, 'ERR_JOB_FAILED'], ['jobend', 2, 'ERR_TIMEOUT']]);
});
