// What only pages without shared memory have: asynchronous handlers, several at once on a worker, and workers that are
// lost and replaced one at a time; and jobs on the page itself.
import assert from 'node:assert/strict';
import { packageTests } from '../support/browser.mjs';

const isolated = await packageTests({ modes: ['isolated'] });
const inline = await packageTests({ modes: ['inline'] });
const both = await packageTests({ modes: ['isolated', 'inline'] });
const threads = await packageTests();
const withoutWaitAsync = await packageTests({ without: 'waitAsync' });

isolated('asynchronous handlers run several at once on a worker, as many as `concurrency`', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, concurrency: 3, createWorker: moduleWorker('/own-worker.js') });
    const jobs = Array.from({ length: 8 }, () => pool.run('hold', null));
    for (const job of jobs) job.catch(() => {});
    await until(() => pool.stats().running === 6, 'six of them run');
    const { running, queued, limit, activeWorkers } = pool.stats();
    // Those that run leave room for others as they hear of their cancellation.
    for (const job of jobs.slice(0, 6)) job.cancel();
    await until(() => jobs[6].state === 'running' && jobs[7].state === 'running', 'the others run');
    const { resets, workerCrashes } = pool.stats();
    for (const job of jobs) job.cancel();
    await until(() => pool.stats().abandoned === 0);
    const values = await within(Promise.all(Array.from({ length: 40 }, (_, i) => pool.run(i % 2 ? 'sleep' : 'sum', i % 2 ? 1 : { numbers: [i] }))));
    return { running, queued, limit, activeWorkers, resets, workerCrashes, values, stats: pool.stats(), sums: law(pool.stats()) };
  });
  assert.deepEqual([result.running, result.queued, result.limit, result.activeWorkers], [6, 2, 6, 2]);
  assert.deepEqual(result.values.filter((value) => value).map(({ sum }) => sum), Array.from({ length: 20 }, (_, i) => 2 * i));
  assert.deepEqual([result.stats.cancelled, result.stats.completed, result.resets, result.workerCrashes], [8, 40, 0, 0]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

isolated('a kill takes the other jobs of that worker along, and no other worker', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, concurrency: 2, killAfter: 1500, createWorker: moduleWorker('/own-worker.js') });
    const exits = [];
    pool.addEventListener('workerexit', ({ detail }) => exits.push(detail));
    // Each worker gets one; then one more each.
    const [never, spared] = [pool.run('never', null), pool.run('sleep', 0)];
    await within(spared);
    const beside = [pool.run('sleep', 1200), pool.run('sleep', 1200), pool.run('sleep', 1200)];
    await until(() => beside.every((job) => job.state === 'running'));
    const values = await within(Promise.all(beside));
    // 1,200 ms are gone: what shares a worker with `never` now goes down with it.
    const victims = [1, 2, 3].map(() => pool.run('sleep', 1000));
    const killed = await outcome(never);
    const lost = await Promise.all(victims.map((job) => outcome(job)));
    const after = await within(Promise.all(Array.from({ length: 20 }, (_, i) => pool.run('upper', `${i}`))));
    return { killed, values, lost, after, exits, stats: pool.stats(), sums: law(pool.stats()) };
  });
  assert.equal(result.killed.error.code, 'ERR_KILLED');
  assert.equal(result.killed.error.attempt, 1);
  assert.equal(result.values.length, 3);
  const crashed = result.lost.filter(({ ok }) => !ok);
  assert.deepEqual(crashed.map(({ error }) => [error.code, error.retryable]), [['ERR_WORKER_CRASHED', true]]);
  assert.equal(result.exits.length, 1);
  assert.match(result.exits[0].reason, /ran for too long/);
  assert.deepEqual([result.stats.workerCrashes, result.stats.failed, result.stats.resets], [1, 2, 0]);
  assert.deepEqual(result.after, Array.from({ length: 20 }, (_, i) => `${i}`));
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

isolated('an uncaught error in a worker costs that worker; its only job is to blame', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js') });
    const broken = await outcome(pool.run('throwsLater', null));
    return { broken, after: await outcome(pool.run('upper', 'on')), stats: pool.stats() };
  });
  assert.equal(result.broken.error.code, 'ERR_PANIC');
  assert.match(result.broken.error.message, /too late/);
  assert.equal(result.after.value, 'ON');
  assert.deepEqual([result.stats.panicked, result.stats.workerCrashes], [1, 0]);
});

isolated('a worker that cannot be replaced ends the pool, with the reason', {}, async (page) => {
  const result = await page.evaluate(async () => {
    let made = 0;
    const createWorker = () => {
      if (++made > 2) throw new Error('no more workers');
      return moduleWorker('/own-worker.js')();
    };
    const pool = await Pool.create({ workers: 2, createWorker });
    const beside = outcome(pool.run('never', null));
    const trap = outcome(pool.run('simulate', { duration: 10, outcome: 'trap' }));
    const outcomes = [await trap, await beside, await outcome(pool.run('upper', 'late'))];
    const report = await within(pool.close(), 5000, 'close');
    return { outcomes, report, sums: law(pool.stats()) };
  });
  assert.deepEqual(result.outcomes.map(({ error }) => error?.code), ['ERR_PANIC', 'ERR_WORKER_LOAD', 'ERR_WORKER_LOAD']);
  assert.match(result.outcomes[2].error.message, /no more workers/);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

isolated('a job cancelled while its large input is copied never runs, and its worker goes on', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const bytes = await fetchBytes(60_000_000, 9);
    const job = pool.run('echo', bytes);
    await until(() => job.state === 'running');
    job.cancel();
    const cancelled = await outcome(job);
    return { cancelled, after: await outcome(pool.run('echo', 1)), sums: law(pool.stats()) };
  });
  assert.equal(result.cancelled.error.code, 'ERR_CANCELLED');
  assert.equal(result.after.value, 1);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

isolated('workers times concurrency must fit', {}, async (page) => {
  const { error } = await page.evaluate(() => outcome(Pool.create({ workers: 64, concurrency: 64 }), 5000));
  assert.equal(error?.name, 'RangeError');
});

threads('a reset of one pool’s memory does not stop an isolated pool on the same page', { expectProblems: /unreachable|RuntimeError/ }, async (page) => {
  const result = await page.evaluate(async () => {
    const [shared, own, onPage] = await within(Promise.all([
      Pool.create({ workers: 1 }), Pool.create({ mode: 'isolated', workers: 1 }), Pool.create({ mode: 'inline' }),
    ]));
    const [running] = (await occupy(own, 1)).jobs;
    const queued = [own.run('echo', 'own'), onPage.run('echo', 'page')];
    const culprit = await outcome(shared.run('simulate', { duration: 5, outcome: 'trap' }));
    return { culprit, running: await outcome(running), values: await within(Promise.all(queued)), after: await within(shared.run('echo', 'shared')), sums: law(own.stats()) };
  });
  assert.equal(result.culprit.error.code, 'ERR_PANIC');
  assert.equal(result.running.error.code, 'ERR_WORKER_CRASHED');
  assert.deepEqual([...result.values, result.after], ['own', 'page', 'shared']);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

both('an asynchronous handler sees its cancellation and its time-out, and its place is free', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js') });
    const job = pool.run('hold', null);
    await until(() => job.state === 'running');
    job.cancel('enough');
    const outcomes = [await outcome(job), await outcome(pool.run('hold', null, { timeout: 30 }))];
    await until(() => pool.stats().abandoned === 0, 'both have returned');
    const { stale, workers } = pool.stats();
    return { outcomes, stale, done: workers[0].jobsDone, after: await within(pool.run('upper', 'on')) };
  });
  assert.equal(result.outcomes[0].error.thrown, 'enough');
  assert.deepEqual([result.outcomes[1].error.code, result.outcomes[1].error.phase], ['ERR_TIMEOUT', 'run']);
  assert.deepEqual([result.stale, result.done, result.after], [2, 2, 'ON']);
});

inline('jobs take turns with the page', {}, async (page) => {
  const { turns, values } = await page.evaluate(async () => {
    const pool = await Pool.create();
    let turns = 0;
    let over = false;
    (function turn() {
      turns++;
      if (!over) setTimeout(turn);
    })();
    const values = await within(Promise.all(Array.from({ length: 30 }, (_, i) => pool.run('simulate', { duration: 10 }).then(() => i))));
    over = true;
    return { turns, values };
  });
  assert.deepEqual(values, Array.from({ length: 30 }, (_, i) => i));
  assert.ok(turns > 10, `the page had ${turns} turns`);
});

inline('a handler that never ends holds its pool up, but not its closing', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create();
    const never = pool.run('never', null);
    await until(() => never.state === 'running');
    const [stuck, queued] = [outcome(never), outcome(pool.run('upper', 'x'))];
    const report = await within(pool.close({ mode: 'cancel-queued', deadline: 100 }), 5000, 'close');
    const other = await Pool.create();
    return { stuck: await stuck, queued: await queued, report, value: await within(other.run('upper', 'other')), sums: law(pool.stats()) };
  });
  for (const { error } of [result.stuck, result.queued]) assert.equal(error.code, 'ERR_POOL_CLOSED');
  assert.deepEqual([result.report.clean, result.report.aborted], [false, 2]);
  assert.equal(result.value, 'OTHER');
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

withoutWaitAsync('a page without Atomics.waitAsync hears of its results by message', { expectProblems: /unreachable|RuntimeError/ }, async (page) => {
  const { sums, report, ...result } = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, queue: { capacity: 64, whenFull: 'wait' } });
    const missing = Atomics.waitAsync === undefined;
    const values = await within(Promise.all(Array.from({ length: 300 }, (_, i) => pool.run('echo', i))));
    // One after the other, each on a pool that was idle.
    for (let i = 0; i < 5; i++) await within(pool.run('sha256', `${i}`));
    const busy = await occupy(pool, 2);
    // The page ends this one itself.
    const late = await outcome(pool.run('echo', 'late', { queueTimeout: 20 }));
    busy.jobs[0].cancel();
    const between = await within(pool.run('echo', 'between'));
    await busy.release();
    await until(() => pool.stats().abandoned === 0, 'the handlers have returned');
    const trap = outcome(pool.run('simulate', { duration: 5, outcome: 'trap' }));
    const survivor = pool.run('echo', 'survivor');
    const codes = [late.error.code, (await trap).error.code];
    const survived = await within(survivor);
    return { missing, mode: pool.mode, right: values.every((value, i) => value === i), between, codes, survived, report: await within(pool.close()), sums: law(pool.stats()) };
  });
  assert.deepEqual(result, {
    missing: true, mode: 'threads', right: true, between: 'between', codes: ['ERR_TIMEOUT', 'ERR_PANIC'], survived: 'survivor',
  });
  assert.equal(report.clean, true);
  for (const [name, [left, right]] of Object.entries(sums)) assert.equal(left, right, name);
});
