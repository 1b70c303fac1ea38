// Each way a job can end, seen by its code, its counter, and what is left usable afterwards.
import assert from 'node:assert/strict';
import { MODES, packageTests } from '../support/browser.mjs';

const test = await packageTests({ modes: MODES });

test('a failing job rejects with ERR_JOB_FAILED and its own error as the cause', {}, async (page) => {
  const { failed, isError, id, stats, after } = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const job = pool.run('simulate', { duration: 0, outcome: 'error' });
    const failed = await outcome(job);
    const isError = await job.catch((error) => [error instanceof Error, error.cause instanceof Error]);
    return { failed, isError, id: job.id, stats: pool.stats(), after: await outcome(pool.run('echo', 1)) };
  });
  assert.equal(failed.ok, false);
  assert.equal(failed.error.code, 'ERR_JOB_FAILED');
  assert.ok(failed.error.pool, 'a PoolError');
  assert.deepEqual(isError, [true, true]);
  assert.equal(failed.error.name, 'PoolError');
  assert.ok(failed.error.cause.message, 'the cause says something');
  assert.equal(failed.error.jobId, id);
  assert.equal(failed.error.attempt, 1);
  assert.deepEqual([stats.failed, stats.panicked, stats.completed], [1, 0, 0]);
  assert.equal(after.value, 1);
});

test('a panic fails its own job with message and place; the pool goes on', {}, async (page) => {
  const { panics, stats, after } = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    const beside = pool.run('simulate', { duration: 100 });
    const panics = await Promise.all(
      Array.from({ length: 20 }, () => outcome(pool.run('simulate', { duration: 0, outcome: 'panic' }))),
    );
    const after = await Promise.all([outcome(beside), ...Array.from({ length: 20 }, (_, i) => outcome(pool.run('echo', i)))]);
    return { panics, stats: pool.stats(), after };
  });
  for (const { error } of panics) {
    assert.equal(error.code, 'ERR_PANIC');
    assert.match(JSON.stringify(error), /\.rs:\d+/, 'where it panicked');
    assert.equal(error.retryable, false);
  }
  assert.ok(after.every(({ ok }) => ok));
  assert.deepEqual([stats.failed, stats.panicked, stats.completed, stats.resets, stats.workerCrashes], [20, 20, 21, 0, 0]);
});

test('a queued job is cancelled at once and its place is free at once', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, queue: { capacity: 2 } });
    const busy = await occupy(pool, 1);
    const queued = [pool.run('echo', 1), pool.run('echo', 2)];
    const full = await outcome(pool.run('echo', 3));
    const states = queued.map((job) => job.state);
    const first = queued[0].cancel();
    const again = queued[0].cancel();
    const cancelled = await outcome(queued[0]);
    const next = pool.run('echo', 4);
    await busy.release();
    const rest = [await outcome(queued[1]), await outcome(next)];
    return { full, states, first, again, late: next.cancel(), cancelled, rest, stats: pool.stats(), law: law(pool.stats()) };
  });
  assert.equal(result.full.error.code, 'ERR_QUEUE_FULL');
  assert.deepEqual(result.states, ['queued', 'queued']);
  assert.equal(result.first, true);
  assert.equal(result.again, false, 'a second cancel does nothing');
  assert.equal(result.late, false, 'nor does one after the end');
  assert.equal(result.cancelled.error.code, 'ERR_CANCELLED');
  assert.deepEqual(result.rest.map(({ value }) => value), [2, 4]);
  for (const [left, right] of Object.values(result.law)) assert.equal(left, right);
});

test('churn of submit and cancel behind a waiting head does not use the queue up', {}, async (page) => {
  const { refused, last, stats } = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, queue: { capacity: 4 } });
    const busy = await occupy(pool, 1);
    const head = pool.run('echo', 'head');
    let refused = 0;
    for (let i = 0; i < 20_000; i++) {
      const job = pool.tryRun('echo', i);
      if ('refused' in job) refused++;
      else {
        job.catch(() => {});
        job.cancel();
      }
    }
    await busy.release();
    const last = await outcome(head);
    await until(() => pool.stats().running === 0);
    return { refused, last, stats: pool.stats() };
  });
  assert.equal(refused, 0);
  assert.equal(last.value, 'head');
  assert.equal(stats.cancelled, 20_001);
});

test('a running job is cancelled at once, and its worker is free soon after', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const job = pool.run(...long);
    await until(() => job.state === 'running');
    const accepted = job.cancel();
    const cancelled = await outcome(job);
    const next = await outcome(pool.run('echo', 'next'));
    await until(() => pool.stats().abandoned === 0, 'the handler has returned');
    return { accepted, cancelled, next, stats: pool.stats() };
  });
  assert.equal(result.accepted, true);
  assert.equal(result.cancelled.error.code, 'ERR_CANCELLED');
  assert.equal(result.next.value, 'next');
  assert.deepEqual([result.stats.cancelled, result.stats.completed, result.stats.running], [1, 1, 0]);
});

test('many jobs with one signal cost it one listener', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const user = new AbortController();
    const { signal } = user;
    let listeners = 0;
    let most = 0;
    for (const [name, change] of [['addEventListener', 1], ['removeEventListener', -1]]) {
      signal[name] = (...args) => {
        listeners += change;
        most = Math.max(most, listeners);
        AbortSignal.prototype[name].apply(signal, args);
      };
    }
    const values = await within(Promise.all(Array.from({ length: 50 }, (_, i) => pool.run('echo', i, { signal }))));
    const between = listeners;
    const jobs = Array.from({ length: 50 }, () => pool.run(...long, { signal }));
    user.abort('enough');
    const thrown = (await Promise.all(jobs.map((job) => outcome(job)))).map(({ error }) => error.thrown);
    return { values: values.length, most, between, after: listeners, thrown: [...new Set(thrown)], count: thrown.length };
  });
  assert.deepEqual(result, { values: 50, most: 1, between: 0, after: 0, thrown: ['enough'], count: 50 });
});

test('an abort signal rejects with its own reason: before, while queued, while running', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const same = async (promise, reason) => promise.then(() => 'resolved', (error) => error === reason);
    const reason = { why: 'because' };

    const before = await same(pool.run('echo', 1, { signal: AbortSignal.abort(reason) }), reason);

    const running = new AbortController();
    const job = pool.run(...long, { signal: running.signal });
    await until(() => job.state === 'running');
    const queued = new AbortController();
    const waiting = pool.run('echo', 2, { signal: queued.signal });
    queued.abort(reason);
    const whileQueued = await same(within(waiting), reason);
    running.abort();
    const whileRunning = await within(job).catch((error) => error.name);

    const late = new AbortController();
    const done = await within(pool.run('echo', 3, { signal: late.signal }));
    late.abort();
    const { cancelled, refusedAbort, completed } = pool.stats();
    return { before, whileQueued, whileRunning, done, cancelled, refusedAbort, completed, law: law(pool.stats()) };
  });
  assert.equal(result.before, true);
  assert.equal(result.whileQueued, true);
  assert.equal(result.whileRunning, 'AbortError');
  assert.equal(result.done, 3);
  assert.deepEqual([result.cancelled, result.refusedAbort, result.completed], [2, 1, 1]);
  for (const [left, right] of Object.values(result.law)) assert.equal(left, right);
});

test('time-outs end a job in each phase, and the worker is free again', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, breaker: { consecutive: 40, failureRate: 100, minimumCalls: 20 } });
    const busy = await occupy(pool, 1);
    const queue = await outcome(pool.run('echo', 1, { queueTimeout: 30 }));
    const totalQueued = await outcome(pool.run('echo', 1, { totalTimeout: 30 }));
    await busy.release();
    const run = await outcome(pool.run(...long, { timeout: 30 }));
    const total = await outcome(pool.run(...long, { totalTimeout: 60 }));
    const earlier = await outcome(pool.run(...long, { timeout: 30, totalTimeout: 30_000 }));
    const inTime = await outcome(pool.run('echo', 'in time', { timeout: 10_000, queueTimeout: 10_000, totalTimeout: 10_000 }));
    await until(() => pool.stats().abandoned === 0, 'the handlers have returned');
    return { queue, totalQueued, run, total, earlier, inTime, stats: pool.stats(), law: law(pool.stats()) };
  });
  const phases = { queue: 'queue', totalQueued: 'total', run: 'run', total: 'total', earlier: 'run' };
  for (const [name, phase] of Object.entries(phases)) {
    assert.equal(result[name].error?.code, 'ERR_TIMEOUT', name);
    assert.equal(result[name].error.phase, phase, name);
  }
  assert.equal(result.inTime.value, 'in time');
  assert.equal(result.stats.timedOut, 5);
  for (const [left, right] of Object.values(result.law)) assert.equal(left, right);
});

test("the pool's own time-outs hold for every job, a job's own go first", {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, timeout: 50, queueTimeout: 500 });
    const run = await outcome(pool.run(...long));
    await within(pool.run('echo', 'free again', { queueTimeout: Infinity }));
    const busy = pool.run(...long, { timeout: 10_000 });
    busy.catch(() => {});
    await until(() => busy.state === 'running');
    const queue = await outcome(pool.run('echo', 1));
    const still = busy.state;
    busy.cancel();
    return { run, queue, still };
  });
  assert.deepEqual([result.run.error.code, result.run.error.phase], ['ERR_TIMEOUT', 'run']);
  assert.deepEqual([result.queue.error.code, result.queue.error.phase], ['ERR_TIMEOUT', 'queue']);
  assert.equal(result.still, 'running');
});

test('a handler that holds up whoever could look times out all the same', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, ...(mode === 'inline' ? {} : { createWorker: moduleWorker('/own-worker.js') }) });
    const ends = [];
    for (const limits of [{ timeout: 20 }, { totalTimeout: 20 }]) ends.push(await within(outcome(pool.run('busy', 80, limits))));
    await until(() => pool.stats().abandoned === 0);
    const { timedOut, completed } = pool.stats();
    return { ends, counts: [timedOut, completed], sums: law(pool.stats()), after: await within(pool.run('upper', 'on')) };
  });
  assert.deepEqual(result.ends.map(({ error }) => [error?.code, error?.phase]), [['ERR_TIMEOUT', 'run'], ['ERR_TIMEOUT', 'total']]);
  assert.deepEqual([result.counts, result.after], [[2, 0], 'ON']);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('jobs that are cut off have their times too', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, mode });
    const seen = [];
    pool.addEventListener('jobend', ({ detail: { attempt, worker } }) => seen.push([attempt, worker]));
    const running = pool.run(...takes(10_000));
    const queued = pool.run('echo', 1);
    await until(() => running.state === 'running');
    await new Promise((done) => setTimeout(done, 30));
    queued.cancel();
    running.cancel();
    await Promise.allSettled([running, queued]);
    const late = pool.run(...takes(10_000), { timeout: 40 });
    await outcome(late);
    return { timings: [running, queued, late].map(({ timing }) => timing), seen };
  });
  const { timings: [running, queued, late], seen } = result;
  assert.deepEqual(seen, [[0, -1], [1, 0], [1, 0]], 'attempt and worker');
  assert.ok(running.run >= 20 && running.total >= running.run && running.total < 60_000, JSON.stringify(running));
  assert.ok(queued.run === 0 && queued.wait >= 20 && queued.total === queued.wait, JSON.stringify(queued));
  assert.ok(late.run >= 39 && late.total >= late.run && late.total < 60_000, JSON.stringify(late));
  for (const { wait, run, total } of result.timings) assert.ok(Math.abs(wait + run - total) < 1, 'one attempt: nothing between');
});

test('a job carries its id, state and timing', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const busy = await occupy(pool, 1);
    const job = pool.run('echo', 1);
    const isPromise = job instanceof Promise;
    const queued = job.state;
    await busy.release();
    const value = await within(job);
    const { wait, run, total } = job.timing;
    return { isPromise, queued, value, end: job.state, id: job.id, others: busy.jobs[0].id, wait, run, total };
  });
  assert.equal(result.isPromise, true);
  assert.equal(result.queued, 'queued');
  assert.equal(result.value, 1);
  assert.equal(result.end, 'completed');
  assert.ok(Number.isSafeInteger(result.id) && result.id !== result.others);
  for (const name of ['wait', 'run', 'total']) assert.ok(result[name] >= 0, `${name} = ${result[name]}`);
  assert.ok(Math.abs(result.wait + result.run - result.total) < 5, 'wait and run make the total');
});

test('at quiescence the counters add up, after every outcome at once', {}, async (page) => {
  const { sums, stats, settled } = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, queue: { capacity: 64 }, maxInFlight: 60 });
    const jobs = [];
    const kinds = ['success', 'success', 'error', 'panic'];
    for (let i = 0; i < 400; i++) {
      const controller = new AbortController();
      const job = i % 31 === 0
        ? pool.run('nobody', 1)
        : pool.run('simulate', { duration: i % 3, outcome: kinds[i % 4] }, {
            priority: ['low', 'normal', 'high', 'critical'][i % 4],
            signal: controller.signal,
            ...(i % 7 === 0 ? { queueTimeout: 1 } : {}),
            ...(i % 11 === 0 ? { timeout: 1 } : {}),
          });
      jobs.push(job);
      job.catch(() => {});
      if (i % 13 === 0) job.cancel();
      if (i % 17 === 0) controller.abort();
      if (i % 20 === 0) await new Promise((resolve) => setTimeout(resolve));
    }
    const settled = (await within(Promise.allSettled(jobs))).length;
    await until(() => pool.stats().abandoned === 0 && pool.stats().running === 0, 'quiescence');
    const stats = pool.stats();
    return { sums: law(stats), stats, settled };
  });
  assert.equal(settled, 400);
  assert.equal(stats.submitted, 400);
  for (const name of ['completed', 'failed', 'panicked', 'cancelled', 'refusedInput', 'refusedInFlight'])
    assert.ok(stats[name] > 0, `${name} was provoked`);
  for (const [name, [left, right]] of Object.entries(sums)) assert.equal(left, right, name);
});
