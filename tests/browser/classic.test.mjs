// The classic worker pool: its complete example runs, and each of its defects is shown to be absent.
import assert from 'node:assert/strict';
import { MODES, packageTests } from '../support/browser.mjs';

const test = await packageTests({ modes: MODES });
// Those that look at jobs while they run, or at the workers.
const WORKERS = { modes: ['threads', 'isolated'] };

test('the complete example: 50 jobs at once, results as they come, a report, a graceful stop', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 5, maxInFlight: 10, timeout: 30_000, breaker: { consecutive: 5, pause: 300_000 } });
    const results = [];
    const reading = (async () => { for await (const result of pool.results()) results.push(result); })();
    let seed = 7;
    const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
    // At most ten in flight: a caller who is refused comes again after the next result.
    let next = 0;
    const submitAll = async () => {
      const pending = new Set();
      while (next < 50) {
        const job = pool.tryRun('simulate', { duration: Math.floor(random() * 100) });
        if ('refused' in job) {
          if (job.refused !== 'ERR_IN_FLIGHT_LIMIT') throw new Error(job.refused);
          await Promise.race(pending);
        } else {
          next++;
          pending.add(job);
          job.finally(() => pending.delete(job));
        }
      }
    };
    await within(submitAll(), 30_000, 'all submissions');
    const report = await within(pool.close());
    await within(reading);
    return { results: results.map(({ ok, run }) => [ok, run]), stats: pool.stats(), text: pool.report(), report, sums: law(pool.stats()) };
  });
  assert.equal(result.results.length, 50);
  assert.ok(result.results.every(([ok]) => ok));
  assert.deepEqual([result.stats.accepted, result.stats.completed, result.stats.failed, result.stats.activeWorkers], [50, 50, 0, 0]);
  assert.ok(result.stats.run.mean > 0 && result.stats.run.mean < 1000);
  assert.match(result.text, /50/);
  assert.equal(result.report.clean, true);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('defect absent: stopping under running workers crashes nothing and loses no result', WORKERS, async (page) => {
  const outcomes = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    const jobs = Array.from({ length: 20 }, () => pool.run('simulate', { duration: 5 }));
    await until(() => pool.stats().running > 0);
    await within(pool.close());
    return Promise.all(jobs.map((job) => outcome(job)));
  });
  assert.ok(outcomes.every(({ ok }) => ok));
});

test('defect absent: a closed queue feeds no empty jobs to the workers', {}, async (page) => {
  const { started, completed, results } = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    let results = 0;
    const reading = (async () => { for await (const _ of pool.results()) results++; })();
    await Promise.all([pool.run('echo', 1), pool.run('echo', 2), pool.run('echo', 3)]);
    await within(pool.close());
    await within(reading);
    const { started, completed } = pool.stats();
    return { started, completed, results };
  });
  assert.deepEqual([started, completed, results], [3, 3, 3]);
});

test('defect absent: the wait for the workers ends, and they are gone', WORKERS, async (page) => {
  const before = await page.evaluate(async () => {
    globalThis.pool = await Pool.create({ workers: 3 });
    await pool.run('echo', 1);
  }).then(() => page.workers().length);
  await page.evaluate(() => within(pool.close(), 5000, 'close'));
  assert.equal(before, 3);
  // The driver hears of their end a moment later.
  for (let tries = 0; page.workers().length > 0 && tries < 500; tries++) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(page.workers().length, 0);
});

test('defect absent: completed, active and the mean time are kept up to date', WORKERS, async (page) => {
  const { during, after } = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    const busy = await occupy(pool, 2);
    const during = pool.stats();
    await busy.release();
    await Promise.all([pool.run('simulate', { duration: 20 }), pool.run('simulate', { duration: 20 })]);
    await until(() => pool.stats().activeWorkers === 0);
    return { during, after: pool.stats() };
  });
  assert.deepEqual([during.activeWorkers, during.running, during.completed], [2, 2, 0]);
  assert.deepEqual([after.activeWorkers, after.running, after.completed], [0, 0, 2]);
  assert.ok(after.run.mean >= 10);
});

test('defect absent: the rate limit limits the rate, not the number at once', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, rateLimit: { limit: 2, interval: 3_600_000 } });
    // One after another, never two at once: a limit of concurrency would let all of them through.
    const codes = [];
    for (let i = 0; i < 4; i++) codes.push((await outcome(pool.run('echo', i))).error?.code ?? 'ok');
    return codes;
  });
  assert.deepEqual(result, ['ok', 'ok', 'ERR_RATE_LIMITED', 'ERR_RATE_LIMITED']);
});

test('defect absent: half-open lets only the probes through', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, breaker: { consecutive: 1, pause: 100, probes: 1 } });
    await outcome(pool.run('simulate', { duration: 0, outcome: 'error' }));
    await until(() => pool.breaker.state === 'half-open');
    const probe = pool.run(...long);
    await until(() => probe.state === 'running');
    const others = await Promise.all(Array.from({ length: 10 }, (_, i) => outcome(pool.run('echo', i))));
    const state = pool.breaker.state;
    probe.cancel();
    await outcome(probe);
    return { codes: others.map(({ error }) => error?.code), state };
  });
  assert.deepEqual(result.codes, Array(10).fill('ERR_CIRCUIT_OPEN'));
  assert.equal(result.state, 'half-open');
});

test('defect absent: a success while closed clears the count of failures', {}, async (page) => {
  const states = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, breaker: { consecutive: 3, failureRate: 100, minimumCalls: 20, window: 20, pause: 60_000 } });
    const end = async (how) => { await outcome(pool.run('simulate', { duration: 0, outcome: how })); return pool.breaker.state; };
    const states = [];
    for (const how of ['error', 'error', 'success', 'error', 'error', 'success', 'error', 'error', 'error']) states.push(await end(how));
    return states;
  });
  assert.deepEqual(states, [...Array(8).fill('closed'), 'open']);
});

test('defect absent: a late result does not count for a later period of the breaker', WORKERS, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, breaker: { consecutive: 1, pause: 20, probes: 1 } });
    const early = pool.run('simulate', { duration: 1500 }); // starts while closed, succeeds while half-open
    await until(() => early.state === 'running');
    await outcome(pool.run('simulate', { duration: 0, outcome: 'error' }));
    await until(() => pool.breaker.state === 'half-open');
    const stillRunning = early.state;
    await within(early);
    return { stillRunning, state: pool.breaker.state };
  });
  assert.deepEqual(result, { stillRunning: 'running', state: 'half-open' });
});

test('defect absent: a panicking job takes nothing else down', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const jobs = ['panic', 'success', 'panic', 'success'].map((how) => outcome(pool.run('simulate', { duration: 0, outcome: how })));
    const codes = (await Promise.all(jobs)).map(({ error }) => error?.code ?? 'ok');
    return { codes, resets: pool.stats().resets };
  });
  assert.deepEqual(result, { codes: ['ERR_PANIC', 'ok', 'ERR_PANIC', 'ok'], resets: 0 });
});

test('defect absent: nobody reading the results blocks nobody', {}, async (page) => {
  const completed = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, queue: { capacity: 4, whenFull: 'wait' } });
    pool.results(); // never read
    for (let i = 0; i < 500; i++) pool.submit('echo', i);
    await until(() => pool.stats().completed === 500);
    await within(pool.close());
    return pool.stats().completed;
  });
  assert.equal(completed, 500);
});

test('a submit time-out is no failure of the breaker', {}, async (page) => {
  const { codes, state } = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, queue: { capacity: 1, whenFull: 'wait' }, breaker: { consecutive: 2, pause: 60_000 } });
    const busy = await occupy(pool, 1);
    const queued = pool.run('echo', 1);
    const codes = [];
    for (let i = 0; i < 3; i++) codes.push((await outcome(pool.run('echo', 2, { submitTimeout: 5 }))).error.code);
    const { state } = pool.breaker;
    await busy.release();
    await within(queued);
    return { codes, state };
  });
  assert.deepEqual(codes, ['ERR_TIMEOUT', 'ERR_TIMEOUT', 'ERR_TIMEOUT']);
  assert.equal(state, 'closed');
});
