// A pool's life: pause, priorities, results, numbers, and the three ways to close it.
import assert from 'node:assert/strict';
import { MODES, packageTests } from '../support/browser.mjs';

const test = await packageTests({ modes: MODES });

test('pause keeps jobs queued and lets running ones end; resume goes on', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    const running = pool.run(...takes(50));
    await until(() => running.state === 'running');
    pool.pause();
    const jobs = [1, 2, 3].map((n) => pool.run('echo', n));
    const ended = await outcome(running);
    const paused = jobs.map((job) => job.state);
    const { queued } = pool.stats();
    pool.pause(); // twice is fine
    pool.resume();
    return { ended: ended.ok, paused, queued, values: await within(Promise.all(jobs)) };
  });
  assert.deepEqual(result, { ended: true, paused: ['queued', 'queued', 'queued'], queued: 3, values: [1, 2, 3] });
});

test('higher priorities go first, and within one the first come', {}, async (page) => {
  const order = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, queue: { ageing: false } });
    pool.pause();
    const order = [];
    const jobs = [];
    for (let i = 0; i < 3; i++)
      for (const priority of ['low', 'critical', 'normal', 'high'])
        jobs.push(pool.run('echo', `${priority} ${i}`, { priority }).then((value) => order.push(value)));
    jobs.push(pool.run('echo', 'plain', {}).then((value) => order.push(value))); // normal, last come
    pool.resume();
    await within(Promise.all(jobs));
    return order;
  });
  const lane = (priority) => [0, 1, 2].map((i) => `${priority} ${i}`);
  assert.deepEqual(order, [...lane('critical'), ...lane('high'), ...lane('normal'), 'plain', ...lane('low')]);
});

test('ageing lets an old low job overtake young critical ones', {}, async (page) => {
  const order = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, queue: { ageing: 10 } });
    pool.pause();
    const order = [];
    const low = pool.run('echo', 'low', { priority: 'low' }).then((value) => order.push(value));
    const aged = performance.now() + 200;
    await until(() => performance.now() > aged);
    const critical = [1, 2, 3].map((n) => pool.run('echo', `critical ${n}`, { priority: 'critical' }).then((value) => order.push(value)));
    pool.resume();
    await within(Promise.all([low, ...critical]));
    return order;
  });
  assert.deepEqual(order, ['low', 'critical 1', 'critical 2', 'critical 3']);
});

test('results() is a stream of every result from the call on, and ends at close', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    await pool.run('echo', 'before');
    const results = pool.results();
    const collected = [];
    const reading = (async () => { for await (const result of results) collected.push(result); })();
    const ids = [];
    for (let i = 0; i < 20; i++) ids.push(pool.submit(i % 5 === 0 ? 'simulate' : 'echo', i % 5 === 0 ? { duration: 1, outcome: 'error' } : i));
    const own = pool.run('echo', 'own promise');
    ids.push(own.id);
    await within(own);
    await within(pool.close());
    await within(reading, 5000, 'the end of results()');
    return {
      ids, missed: results.missed,
      collected: collected.map(({ id, job, ok, value, error, wait, run, total, attempt, worker }) =>
        ({ id, job, ok, value, code: error?.code, wait, run, total, attempt, worker })),
    };
  });
  assert.equal(result.missed, 0);
  assert.deepEqual(result.collected.map(({ id }) => id).sort((a, b) => a - b), result.ids);
  for (const entry of result.collected) {
    const i = result.ids.indexOf(entry.id);
    const fails = i < 20 && i % 5 === 0;
    assert.equal(entry.job, fails ? 'simulate' : 'echo');
    assert.equal(entry.ok, !fails);
    if (fails) assert.equal(entry.code, 'ERR_JOB_FAILED');
    else assert.equal(entry.value, i === 20 ? 'own promise' : i);
    assert.equal(entry.attempt, 1);
    assert.ok([0, 1].includes(entry.worker), `worker ${entry.worker}`);
    for (const name of ['wait', 'run', 'total']) assert.ok(entry[name] >= 0);
  }
});

test('a stream that nobody reads drops the oldest or newest, counts them, and blocks nobody', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    const results = pool.results({ buffer: 4 });
    await within(Promise.all(Array.from({ length: 100 }, (_, i) => pool.run('echo', i))));
    await within(pool.close());
    let read = 0;
    for await (const _ of results) read++;
    return { read, missed: results.missed };
  });
  assert.deepEqual(result, { read: 4, missed: 96 });
});

test('breaking out of results() stops only that reader', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const [first, second] = [pool.results(), pool.results()];
    const seen = [];
    const reading = (async () => { for await (const { value } of second) seen.push(value); })();
    pool.submit('echo', 1);
    for await (const { value } of first) { if (value === 1) break; }
    pool.submit('echo', 2);
    await until(() => seen.length === 2);
    await within(pool.close());
    await within(reading);
    return seen;
  });
  assert.deepEqual(result, [1, 2]);
});

test('refused submissions are known to submit(), too', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, queue: { capacity: 1 } });
    const busy = await occupy(pool, 1);
    const collected = [];
    const results = pool.results();
    const reading = (async () => { for await (const result of results) collected.push([result.id, result.ok, result.error?.code]); })();
    const ids = [pool.submit('echo', 1), pool.submit('echo', 2), pool.submit('nobody', 3)];
    await busy.release();
    await within(pool.close());
    await within(reading);
    return { ids, collected, sums: law(pool.stats()) };
  });
  const of = (id) => result.collected.find(([other]) => other === id);
  assert.equal(of(result.ids[0])?.[1], true);
  assert.equal(of(result.ids[1])?.[2], 'ERR_QUEUE_FULL');
  assert.equal(of(result.ids[2])?.[2], 'ERR_UNKNOWN_JOB');
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('stats() has every counter and gauge, report() says them in words', {}, async (page, { mode }) => {
  const workers = mode === 'inline' ? [0] : [0, 1];
  const { stats, busyStats, report } = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, queue: { capacity: 10 }, breaker: true });
    const busy = await occupy(pool, 1);
    const busyStats = pool.stats();
    await busy.release();
    for (let i = 0; i < 7; i++) await pool.run('simulate', { duration: 2 });
    await outcome(pool.run('simulate', { duration: 0, outcome: 'error' }));
    await until(() => pool.stats().workers.every(({ state }) => state === 'idle'));
    return { stats: pool.stats(), busyStats, report: pool.report() };
  });
  const counters = 'submitted accepted refusedFull refusedRate refusedBreaker refusedInFlight refusedClosed refusedTimeout refusedAbort refusedInput started completed failed timedOut cancelled panicked stale workerCrashes resets';
  const gauges = 'waiting queued running abandoned activeWorkers limit capacity utilization memoryBytes bufferBytes';
  for (const name of [...counters.split(' '), ...gauges.split(' ')])
    assert.ok(Number.isFinite(stats[name]) && stats[name] >= 0, `${name} = ${stats[name]}`);
  assert.deepEqual(
    [stats.submitted, stats.accepted, stats.started, stats.completed, stats.failed, stats.cancelled, stats.workers.length, stats.capacity],
    [9, 9, 9, 7, 1, 1, workers.length, 10],
  );
  assert.deepEqual([busyStats.running, busyStats.activeWorkers, busyStats.utilization], [1, 1, 1 / workers.length]);
  assert.ok(stats.memoryBytes > 100_000);
  assert.deepEqual(stats.workers.map(({ id, state }) => [id, state]), workers.map((id) => [id, 'idle']));
  assert.equal(stats.workers.reduce((sum, { jobsDone }) => sum + jobsDone, 0), 9);
  assert.deepEqual(busyStats.workers.map(({ state }) => state).sort(), ['busy', 'idle'].slice(0, workers.length));
  for (const histogram of ['wait', 'run', 'total'])
    for (const name of ['p50', 'p90', 'p99', 'p999', 'max', 'mean'])
      assert.ok(Number.isFinite(stats[histogram]?.[name]), `${histogram}.${name} = ${stats[histogram]?.[name]}`);
  assert.ok(stats.run.p50 >= 1.5 && stats.run.p50 < 1000, `the run time is in ms: ${stats.run.p50}`);
  assert.ok(stats.run.p50 <= stats.run.max);
  assert.equal(stats.breaker.state, 'closed');
  for (const word of ['completed', 'failed', 'closed', '7']) assert.match(report, new RegExp(word, 'i'));
});

test('a listener that closes the pool while it closes, and jobs that still waited for room', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, queue: { capacity: 1, whenFull: 'wait' } });
    let closed = 0;
    const inner = [];
    pool.addEventListener('close', () => closed++);
    pool.addEventListener('jobend', () => inner.push(pool.close({ mode: 'abort' })));
    const job = outcome(pool.run(...long));
    await until(() => pool.stats().running === 1);
    const others = [1, 2, 3].map((i) => outcome(pool.run('echo', i)));
    const report = await within(pool.close({ mode: 'abort' }), 10_000, 'close');
    const codes = (await Promise.all([job, ...others])).map(({ error }) => error.code);
    return { codes, closed, same: (await Promise.all(inner)).every((other) => other === report), aborted: report.aborted, finished: report.finished };
  });
  assert.deepEqual(result, { codes: Array(4).fill('ERR_POOL_CLOSED'), closed: 1, same: true, aborted: 4, finished: 0 });
});

test('a drain counts those that waited for room as cut off; at its deadline workers may still leave', {}, async (page, { mode }) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, queue: { capacity: 1, whenFull: 'wait' } });
    const jobs = [takes(50), ['echo', 1], ['echo', 2]];
    const ends = [];
    for (const job of jobs) ends.push(outcome(pool.run(...job)));
    await until(() => pool.stats().running === 1 && pool.stats().waiting > 0);
    const waiting = pool.stats().waiting;
    const { aborted, finished, clean } = await within(pool.close(), 10_000, 'close');
    const late = await Pool.create({ workers: 1 });
    const cut = outcome(late.run(...long));
    await until(() => late.stats().running === 1);
    const report = await within(late.close({ deadline: 50 }), 10_000, 'close');
    return { codes: (await Promise.all(ends)).map(({ ok, error }) => (ok ? 'ok' : error.code)), waiting, aborted, finished, clean, cut: (await cut).error.code, terminated: report.terminated };
  });
  assert.deepEqual(result.codes.filter((code) => code !== 'ok'), Array(result.waiting).fill('ERR_POOL_CLOSED'));
  assert.deepEqual([result.aborted, result.finished, result.clean, result.cut], [result.waiting, 3 - result.waiting, false, 'ERR_POOL_CLOSED']);
  // Elsewhere a running job does not hear of it in time.
  if (mode === 'threads') assert.equal(result.terminated, 0);
});

test('a second call of close hurries the first: by a stricter mode, by an earlier deadline', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const reports = [];
    for (const options of [{ mode: 'abort' }, { mode: 'cancel-queued', deadline: 200 }, { deadline: 200 }, { mode: 'drain' }]) {
      const pool = await Pool.create({ workers: 1 });
      // The last one is let drain.
      const running = outcome(pool.run(...(options.mode === 'drain' ? takes(100) : long)));
      const queued = outcome(pool.run('echo', 1));
      await until(() => pool.stats().running === 1);
      const first = pool.close();
      const same = first === pool.close(options);
      const report = await within(first, 10_000, 'close');
      const again = await within(pool.close({ mode: 'abort', deadline: 0 }));
      const codes = [await running, await queued].map(({ ok, error }) => (ok ? 'ok' : error.code));
      reports.push({ same: same && again === report, codes, mode: report.mode, aborted: report.aborted, sums: law(pool.stats()) });
    }
    return reports;
  });
  const closed = 'ERR_POOL_CLOSED';
  assert.deepEqual(result.map(({ same, codes, mode, aborted }) => [same, codes, mode, aborted]), [
    [true, [closed, closed], 'abort', 2],
    [true, [closed, closed], 'cancel-queued', 2],
    [true, [closed, closed], 'drain', 2],
    [true, ['ok', 'ok'], 'drain', 0],
  ]);
  for (const { sums } of result) for (const [name, [left, right]] of Object.entries(sums)) assert.equal(left, right, name);
});

test('close drains by default: what was accepted runs, what comes later is refused', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const jobs = [1, 2, 3].map((n) => pool.run('simulate', { duration: 5 }).then(() => n));
    const closing = pool.close();
    const second = pool.close();
    const late = [await outcome(pool.run('echo', 1)), pool.tryRun('echo', 1)];
    const values = await within(Promise.all(jobs));
    const report = await within(closing);
    const after = [await outcome(pool.run('echo', 1)), pool.tryRun('echo', 1)];
    pool.pause();
    pool.resume();
    const stats = pool.stats();
    return { same: closing === second, late, after, values, report, stats, sums: law(stats), text: pool.report() };
  });
  assert.equal(result.same, true, 'a second call returns the first promise');
  for (const [run, tried] of [result.late, result.after]) {
    assert.equal(run.error.code, 'ERR_POOL_CLOSED');
    assert.equal(tried.refused, 'ERR_POOL_CLOSED');
  }
  assert.deepEqual(result.values, [1, 2, 3]);
  assert.equal(result.stats.refusedClosed, 4);
  assert.deepEqual(result.stats.workers, [{ id: 0, state: 'left', jobsDone: 3 }]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
  assert.deepEqual([result.report.mode, result.report.clean, result.report.finished, result.report.aborted, result.report.terminated], ['drain', true, 3, 0, 0]);
  assert.ok(result.text.length > 0);
});

test('a drain does not lose what is still being read', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const inputs = [new Blob(['file']), new Uint8Array(4 << 20), 'x'.repeat(3 << 20)];
    const jobs = inputs.map((input) => pool.run('echo', input));
    const waiting = jobs.map((job) => job.state);
    const report = await within(pool.close());
    return { waiting, sizes: (await within(Promise.all(jobs))).map(({ length }) => length), report, sums: law(pool.stats()) };
  });
  assert.deepEqual(result.waiting, Array(3).fill('waiting'));
  assert.deepEqual(result.sizes, [4, 4 << 20, 3 << 20]);
  assert.deepEqual([result.report.clean, result.report.finished, result.report.aborted], [true, 3, 0]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('close with cancel-queued lets running jobs end and cancels the rest', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const running = pool.run(...takes(100));
    running.catch(() => {});
    await until(() => running.state === 'running');
    const queued = [1, 2, 3].map((n) => outcome(pool.run('echo', n)));
    const report = await within(pool.close({ mode: 'cancel-queued' }));
    return { running: await outcome(running), queued: await Promise.all(queued), report, stats: pool.stats(), sums: law(pool.stats()) };
  });
  assert.equal(result.running.ok, true);
  for (const { error } of result.queued) assert.match(error.code, /^ERR_(CANCELLED|POOL_CLOSED)$/);
  assert.deepEqual([result.stats.completed, result.stats.cancelled], [1, 3]);
  assert.deepEqual([result.report.mode, result.report.clean, result.report.finished], ['cancel-queued', true, 1]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('close with abort ends everything with ERR_POOL_CLOSED', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const running = pool.run(...long);
    running.catch(() => {});
    await until(() => running.state === 'running');
    const queued = [1, 2, 3].map((n) => outcome(pool.run('echo', n)));
    const report = await within(pool.close({ mode: 'abort' }), 5000, 'close');
    return { running: await outcome(running), queued: await Promise.all(queued), report, stats: pool.stats(), sums: law(pool.stats()) };
  });
  for (const { error } of [result.running, ...result.queued]) assert.equal(error.code, 'ERR_POOL_CLOSED');
  assert.equal(result.stats.cancelled, 4);
  assert.deepEqual([result.report.mode, result.report.finished, result.report.aborted], ['abort', 0, 4]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('a paused pool drains', {}, async (page) => {
  const values = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    pool.pause();
    const jobs = [pool.run('echo', 1), pool.run('echo', 2)];
    await within(pool.close({ mode: 'drain', deadline: 10_000 }), 12_000, 'close');
    return Promise.all(jobs.map((job) => outcome(job)));
  });
  assert.deepEqual(values.map(({ value }) => value), [1, 2]);
});

test('the close deadline is kept even when a worker never returns', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, createWorker: moduleWorker('/own-worker.js') });
    const blocked = pool.run(mode === 'inline' ? 'never' : 'forever', null);
    await until(() => blocked.state === 'running');
    const beside = pool.run(...long);
    for (const job of [blocked, beside]) job.catch(() => {});
    const queued = Array.from({ length: 3 }, (_, i) => outcome(pool.run('echo', i)));
    const started = performance.now();
    const report = await within(pool.close({ mode: 'drain', deadline: 300 }), 10_000, 'close');
    const took = performance.now() - started;
    const outcomes = [await outcome(blocked), await outcome(beside), ...(await Promise.all(queued))];
    const again = await Pool.create({ workers: 1 });
    const value = await within(again.run('echo', 'a new pool'));
    return { took, report, outcomes, value, sums: law(pool.stats()) };
  });
  assert.ok(result.took >= 290, `not before the deadline: ${result.took}`);
  for (const { error } of result.outcomes) assert.match(error?.code ?? 'none', /^ERR_(POOL_CLOSED|KILLED|WORKER_CRASHED)$/);
  assert.deepEqual([result.report.clean, result.report.terminated >= 1], [false, true]);
  assert.equal(result.value, 'a new pool');
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('an abort does not wait long for a handler that never returns', { modes: ['threads', 'isolated'] }, async (page) => {
  const [report, hurried] = await page.evaluate(async () => {
    const reports = [];
    for (const hurry of [false, true]) {
      const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js') });
      const blocked = pool.run('forever', null);
      blocked.catch(() => {});
      await until(() => blocked.state === 'running');
      if (hurry) void pool.close();
      // The deadline of a drain is 30 s.
      reports.push(await within(pool.close({ mode: 'abort' }), 15_000, 'close'));
    }
    return reports;
  });
  for (const { mode, clean, aborted, terminated } of [report, hurried]) {
    assert.deepEqual([mode, clean, aborted, terminated], ['abort', false, 1, 1]);
  }
});

test('await using closes the pool', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const job = pool.run('simulate', { duration: 5 });
    await within(pool[Symbol.asyncDispose]());
    return { job: await outcome(job), after: (await outcome(pool.run('echo', 1))).error.code };
  });
  assert.equal(result.job.ok, true);
  assert.equal(result.after, 'ERR_POOL_CLOSED');
});

test('a page that is left takes its workers along, and works when somebody comes back', { modes: ['threads', 'isolated'] }, async (page) => {
  const url = page.url();
  await page.evaluate(async () => {
    globalThis.left = await Pool.create({ workers: 2, createWorker: moduleWorker('/own-worker.js') });
    for (const job of [left.run('forever', null), left.run('echo', 1), ...Array.from({ length: 100 }, (_, i) => left.run('simulate', { duration: i }))]) job.catch(() => {});
    await until(() => left.stats().running === 2);
  });
  assert.equal(page.workers().length, 2);
  await page.goto(`${url}&left`);
  for (let i = 0; i < 250 && page.workers().length > 0; i++) await new Promise((done) => setTimeout(done, 20));
  assert.equal(page.workers().length, 0, 'no worker of the page that was left');
  await page.goBack();
  const used = await page.evaluate(async () => {
    // The same page, if the browser kept it.
    const pool = globalThis.left ?? (await Pool.create({ workers: 2 }));
    const value = await within(pool.run('echo', 'back'));
    await within(pool.close({ mode: 'abort', deadline: 500 }));
    return value;
  });
  assert.equal(used, 'back');
});

test('two pools on one page work side by side, and one outlives the other', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const [a, b] = await Promise.all([Pool.create({ workers: 1 }), Pool.create({ workers: 1, queue: { capacity: 2 } })]);
    const values = await within(Promise.all(Array.from({ length: 60 }, (_, i) => (i % 2 ? a : b).run('echo', i, { whenFull: 'wait' }))));
    const counts = [a.stats().completed, b.stats().completed];
    await within(a.close());
    const after = await outcome(b.run('sha256', 'still'));
    await within(b.close());
    return { values, counts, after: after.ok };
  });
  assert.deepEqual(result.values, Array.from({ length: 60 }, (_, i) => i));
  assert.deepEqual(result.counts, [30, 30]);
  assert.equal(result.after, true);
});

test('pools made and closed again and again leave nothing behind', {}, async (page) => {
  const { memory, workers } = await page.evaluate(async () => {
    const memory = [];
    for (let i = 0; i < 40; i++) {
      const pool = await within(Pool.create({ workers: 2 }));
      await within(Promise.all(Array.from({ length: 50 }, (_, n) => pool.run('echo', 'x'.repeat(n * 100)))));
      memory.push(pool.stats().memoryBytes);
      await within(pool.close());
    }
    return { memory };
  }).then(async (result) => {
    // The browser tells of a worker's end a little later.
    for (let i = 0; i < 100 && page.workers().length > 0; i++) await new Promise((done) => setTimeout(done, 20));
    return { ...result, workers: page.workers().length };
  });
  // A worker's stack (2 MiB) may still be in use when the next pool's worker asks for one, or be broken up by smaller
  // things; of that, there are a few at most. A leak would come again with each pool.
  assert.ok(memory.at(-1) - memory[3] < 8 << 20, `memory grew: ${memory}`);
  assert.equal(workers, 0, 'no worker is left');
});

test('events tell what happens', {}, async (page) => {
  const { names, details } = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, queue: { capacity: 1 }, breaker: { consecutive: 1, pause: 60_000 } });
    const names = [];
    const details = {};
    for (const name of ['jobqueued', 'jobstart', 'jobend', 'refused', 'breakerchange', 'saturated', 'drain', 'workerexit', 'close'])
      pool.addEventListener(name, ({ detail }) => {
        names.push(name);
        details[name] = detail && { id: detail.id, job: detail.job, ok: detail.ok, from: detail.from, to: detail.to, code: detail.error?.code, mode: detail.mode };
      });
    const busy = await occupy(pool, 1);
    const queued = pool.run('echo', 1);
    await outcome(pool.run('echo', 2)); // no room
    await busy.release();
    await within(queued);
    await outcome(pool.run('simulate', { duration: 0, outcome: 'error' }));
    await until(() => names.includes('breakerchange'), 'the change of the breaker is told');
    await within(pool.close());
    return { names, details };
  });
  for (const name of ['jobqueued', 'jobstart', 'jobend', 'refused', 'breakerchange', 'saturated', 'drain', 'workerexit', 'close'])
    assert.ok(names.includes(name), `${name} was heard of`);
  assert.equal(names.filter((name) => name === 'jobend').length, 3);
  assert.equal(details.refused.code, 'ERR_QUEUE_FULL');
  assert.deepEqual([details.breakerchange.from, details.breakerchange.to], ['closed', 'open']);
  assert.deepEqual([details.jobend.job, details.jobend.ok, details.jobend.code], ['simulate', false, 'ERR_JOB_FAILED']);
  assert.equal(details.close.mode, 'drain');
});
