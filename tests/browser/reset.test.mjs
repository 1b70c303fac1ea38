// Traps and runaways: the instance is lost, the jobs are not.
import assert from 'node:assert/strict';
import { MODES, packageTests } from '../support/browser.mjs';

const test = await packageTests({ modes: MODES });
// A browser may report the trap itself; the pool's own report is what counts.
const trap = { expectProblems: /unreachable|RuntimeError|trap/i };
const WORKERS = { modes: ['threads', 'isolated'] };
/** How many resets `count` losses are: a worker with a memory of its own is replaced alone. */
const resets = (mode, count) => (mode === 'isolated' ? 0 : count);

test('after a trap queued jobs run with their own input, running ones fail by name', { ...trap, ...WORKERS }, async (page, { mode }) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    const [beside] = (await occupy(pool, 1)).jobs;
    pool.pause();
    const culprit = pool.run('simulate', { duration: 20, outcome: 'trap' }, { priority: 'critical' });
    const inputs = Array.from({ length: 200 }, (_, i) => (i % 2 ? `text ${i} ` + 'x'.repeat(i * 10) : Uint8Array.from({ length: i * 7 }, (_, k) => k + i)));
    const jobs = inputs.map((input) => pool.run('echo', input));
    const ids = jobs.map((job) => job.id);
    pool.resume();
    const crashed = [await outcome(culprit)];
    // Spared where it has a memory of its own.
    if (mode === 'isolated') beside.cancel();
    crashed.push(await outcome(beside));
    // Submitted while the reset goes on: staged, then run.
    const staged = Array.from({ length: 20 }, (_, i) => pool.run('echo', `staged ${i}`));
    const values = await within(Promise.all(jobs));
    const wrong = values.filter((value, i) => (typeof value === 'string' ? value !== inputs[i] : value.length !== inputs[i].length || value.some((byte, k) => byte !== inputs[i][k]))).length;
    const stagedValues = await within(Promise.all(staged));
    const stats = pool.stats();
    await within(pool.close());
    return { crashed, wrong, stagedValues, sameIds: jobs.every((job, i) => job.id === ids[i]), stats, sums: law(stats) };
  });
  assert.equal(result.crashed[0].error.code, 'ERR_PANIC');
  assert.equal(result.crashed[1].error.code, mode === 'isolated' ? 'ERR_CANCELLED' : 'ERR_WORKER_CRASHED');
  assert.equal(result.crashed[1].error.retryable, mode !== 'isolated');
  assert.equal(result.wrong, 0);
  assert.deepEqual(result.stagedValues, Array.from({ length: 20 }, (_, i) => `staged ${i}`));
  assert.equal(result.sameIds, true);
  assert.equal(result.stats.resets, resets(mode, 1));
  assert.equal(result.stats.workerCrashes, resets(mode, 1));
  assert.deepEqual([result.stats.completed, result.stats.failed + result.stats.cancelled], [220, 2]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('a handler that stops because of a reset is not told that it failed', { modes: ['threads'] }, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 3, killGrace: 20, queue: { capacity: 4000 } });
    const runaway = pool.run('simulate', { duration: 0, outcome: 'runaway' });
    const beside = (await occupy(pool, 2)).jobs;
    // So many that the page is still at it when those beside have stopped.
    const queued = Array.from({ length: 3000 }, (_, i) => pool.run('echo', i));
    runaway.cancel();
    const ends = await Promise.all([runaway, ...beside].map((job) => outcome(job)));
    return { codes: ends.map(({ error }) => error.code), values: (await within(Promise.all(queued))).length, sums: law(pool.stats()) };
  });
  assert.deepEqual(result.codes, ['ERR_CANCELLED', 'ERR_WORKER_CRASHED', 'ERR_WORKER_CRASHED']);
  assert.equal(result.values, 3000);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('traps one after another, and the pool still works', trap, async (page, { mode }) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    const codes = [];
    for (let i = 0; i < 4; i++) {
      const after = pool.run('simulate', { duration: 30, outcome: 'trap' });
      const queued = Array.from({ length: 10 }, (_, n) => pool.run('echo', n));
      codes.push((await outcome(after)).error?.code);
      for (const job of queued) { const { ok, error } = await outcome(job); if (!ok) codes.push(error.code); }
    }
    const value = await within(pool.run('sha256', 'abc'));
    return { codes: codes.filter((code) => code !== 'ERR_WORKER_CRASHED'), value, stats: pool.stats(), sums: law(pool.stats()) };
  });
  assert.deepEqual(result.codes, Array(4).fill('ERR_PANIC'));
  assert.equal(result.value, 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  assert.equal(result.stats.resets, resets(mode, 4));
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('a trap while both workers trap is one clean reset', { ...trap, ...WORKERS }, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    const traps = [1, 2].map(() => outcome(pool.run('simulate', { duration: 20, outcome: 'trap' })));
    const value = outcome(pool.run('echo', 'after'));
    return { traps: await Promise.all(traps), value: await value, after: await outcome(pool.run('echo', 1)), sums: law(pool.stats()) };
  });
  assert.ok(result.traps.some(({ error }) => error.code === 'ERR_PANIC'));
  for (const { error } of result.traps) assert.match(error.code, /^ERR_(PANIC|WORKER_CRASHED)$/);
  assert.equal(result.value.value, 'after');
  assert.equal(result.after.value, 1);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('of busy workers the one that trapped is blamed, and a job that comes at that moment counts once', { ...trap, modes: ['threads'] }, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 3 });
    const codes = [];
    const others = new Set();
    for (let round = 0; round < 12; round++) {
      let over = false;
      const culprit = outcome(pool.run('simulate', { duration: round % 4, outcome: 'trap' })).finally(() => { over = true; });
      const jobs = [];
      while (!over) {
        for (let i = 0; i < 20; i++) jobs.push(outcome(pool.run('echo', i)));
        // A task for each: the workers sleep and are woken again and again.
        await new Promise((done) => { const { port1, port2 } = new MessageChannel(); port1.onmessage = done; port2.postMessage(0); });
      }
      codes.push((await culprit).error.code);
      for (const { ok, error } of await within(Promise.all(jobs))) if (!ok) others.add(error.code);
    }
    others.delete('ERR_WORKER_CRASHED');
    others.delete('ERR_QUEUE_FULL');
    const stats = pool.stats();
    await within(pool.close());
    return { codes, others: [...others], sums: law(stats) };
  });
  assert.deepEqual([new Set(result.codes), result.others], [new Set(['ERR_PANIC']), []]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('counters, breaker, rate and waiting callers survive a reset', trap, async (page, { mode }) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({
      workers: 1, queue: { capacity: 2, whenFull: 'wait' }, rateLimit: { limit: 20, interval: 3_600_000 },
      breaker: { consecutive: 40, failureRate: 100, window: 20, minimumCalls: 20 },
    });
    for (let i = 0; i < 5; i++) await pool.run('echo', i);
    const before = pool.stats();
    const culprit = outcome(pool.run('simulate', { duration: 50, outcome: 'trap' }));
    // Inline nobody sees it run.
    if (mode !== 'inline') await until(() => pool.stats().running === 1);
    const order = [];
    const jobs = Array.from({ length: 6 }, (_, i) => pool.run('echo', i));
    for (const job of jobs) job.then((value) => order.push(value));
    const { waiting } = pool.stats();
    const crashed = await culprit;
    await within(Promise.all(jobs));
    const after = pool.stats();
    const left = [];
    for (let i = 0; i < 10; i++) left.push((await outcome(pool.run('echo', i, { whenFull: 'reject' }))).error?.code ?? 'ok');
    return { before, waiting, crashed, order, after, left, sums: law(after) };
  });
  assert.equal(result.crashed.error.code, 'ERR_PANIC');
  assert.equal(result.waiting, mode === 'inline' ? 5 : 4);
  assert.deepEqual(result.order, [0, 1, 2, 3, 4, 5]);
  assert.deepEqual([result.before.completed, result.after.completed, result.after.resets], [5, 11, resets(mode, 1)]);
  // 5 + 1 + 6 tokens are gone: 8 are left of 20.
  assert.deepEqual(result.left, [...Array(8).fill('ok'), 'ERR_RATE_LIMITED', 'ERR_RATE_LIMITED']);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('an open breaker is still open after a reset', { ...trap, ...WORKERS }, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, breaker: { consecutive: 2, pause: 60_000 } });
    const trap = outcome(pool.run('simulate', { duration: 100, outcome: 'trap' }));
    for (let i = 0; i < 2; i++) await outcome(pool.run('simulate', { duration: 0, outcome: 'error' }));
    const before = pool.breaker.state;
    const crashed = (await trap).error.code;
    if (mode !== 'isolated') await until(() => pool.stats().resets === 1);
    return { before, crashed, after: pool.breaker.state, refused: pool.tryRun('echo', 1).refused };
  });
  assert.deepEqual(result, { before: 'open', crashed: 'ERR_PANIC', after: 'open', refused: 'ERR_CIRCUIT_OPEN' });
});

test('time-outs and cancels go on across a reset', { ...trap, ...WORKERS }, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const culprit = outcome(pool.run('simulate', { duration: 30, outcome: 'trap' }));
    const blocker = pool.run(...long);
    blocker.catch(() => {});
    const timedOut = outcome(pool.run('echo', 1, { queueTimeout: 600 }));
    const cancelled = pool.run('echo', 2);
    const controller = new AbortController();
    const aborted = pool.run('echo', 3, { signal: controller.signal });
    await culprit;
    cancelled.catch(() => {}); // looked at below
    cancelled.cancel(); // perhaps in the middle of the reset
    await until(() => (mode === 'isolated' || pool.stats().resets === 1) && blocker.state === 'running', 'the next job runs');
    controller.abort('late');
    const outcomes = [await outcome(cancelled), await outcome(aborted), await timedOut];
    blocker.cancel();
    return { outcomes, after: await outcome(pool.run('echo', 4)), sums: law(pool.stats()) };
  });
  assert.equal(result.outcomes[0].error.code, 'ERR_CANCELLED');
  assert.equal(result.outcomes[1].error.thrown, 'late');
  assert.deepEqual([result.outcomes[2].error.code, result.outcomes[2].error.phase], ['ERR_TIMEOUT', 'queue']);
  assert.equal(result.after.value, 4);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('a runaway past killAfter is killed, and the rest carries on', WORKERS, async (page, { mode }) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, killAfter: 300 });
    let workers = 2;
    pool.addEventListener('workerstart', () => workers++);
    pool.addEventListener('workerexit', () => workers--);
    const runaway = pool.run('simulate', { duration: 0, outcome: 'runaway' });
    await until(() => runaway.state === 'running');
    const queued = Array.from({ length: 20 }, (_, i) => pool.run('echo', i));
    const quick = await within(Promise.all(queued)); // the other worker goes on
    const outcomeOfRunaway = await outcome(runaway);
    const after = await within(Promise.all(Array.from({ length: 20 }, (_, i) => pool.run('echo', i))));
    await until(() => pool.stats().workers.every(({ state }) => state === 'idle'), 'all have started again');
    const there = workers;
    const [stats, sums] = [pool.stats(), law(pool.stats())];
    await within(pool.close());
    return { quick, runaway: outcomeOfRunaway, after, there, left: workers, stats, sums };
  });
  assert.deepEqual([result.there, result.left], [2, 0], 'events tell of each worker that comes and goes');
  assert.equal(result.runaway.error.code, 'ERR_KILLED');
  assert.equal(result.quick.length, 20);
  assert.deepEqual(result.after, Array.from({ length: 20 }, (_, i) => i));
  assert.equal(result.stats.resets, resets(mode, 1));
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('a runaway that blocks every worker is killed, queued and staged jobs run', WORKERS, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, killAfter: 300, createWorker: moduleWorker('/own-worker.js') });
    const runaway = outcome(pool.run('forever', null));
    const queued = Array.from({ length: 10 }, (_, i) => pool.run('upper', `queued ${i}`));
    const killed = await runaway;
    const staged = Array.from({ length: 10 }, (_, i) => pool.run('upper', `staged ${i}`));
    return { killed, values: await within(Promise.all([...queued, ...staged])), sums: law(pool.stats()) };
  });
  assert.equal(result.killed.error.code, 'ERR_KILLED');
  assert.deepEqual(result.values, [...Array.from({ length: 10 }, (_, i) => `QUEUED ${i}`), ...Array.from({ length: 10 }, (_, i) => `STAGED ${i}`)]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('a timed-out runaway settles at its time-out and is killed later', WORKERS, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, killAfter: 400 });
    const timedOut = await outcome(pool.run('simulate', { duration: 0, outcome: 'runaway' }, { timeout: 50 }));
    const { abandoned } = pool.stats();
    const next = await outcome(pool.run('echo', 'next'));
    const stats = pool.stats();
    return { timedOut, abandoned, next, stats, sums: law(stats) };
  });
  assert.deepEqual([result.timedOut.error.code, result.timedOut.error.phase], ['ERR_TIMEOUT', 'run']);
  assert.equal(result.abandoned, 1);
  assert.equal(result.next.value, 'next');
  assert.deepEqual([result.stats.abandoned, result.stats.timedOut, result.stats.failed], [0, 1, 0]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('a trap in one pool spares the queued jobs of the other', { ...trap, ...WORKERS }, async (page, { mode }) => {
  const result = await page.evaluate(async () => {
    const [a, b] = [await Pool.create({ workers: 1 }), await Pool.create({ workers: 1 })];
    const [running] = (await occupy(b, 1)).jobs;
    const queued = Array.from({ length: 10 }, (_, i) => b.run('echo', i));
    const culprit = await outcome(a.run('simulate', { duration: 0, outcome: 'trap' }));
    // Spared where it has a memory of its own.
    if (mode === 'isolated') running.cancel();
    const crashed = await outcome(running);
    const values = await within(Promise.all(queued));
    const after = [await outcome(a.run('echo', 'a')), await outcome(b.run('echo', 'b'))];
    return { culprit, crashed, values, after, sums: [law(a.stats()), law(b.stats())] };
  });
  assert.equal(result.culprit.error.code, 'ERR_PANIC');
  assert.equal(result.crashed.error.code, mode === 'isolated' ? 'ERR_CANCELLED' : 'ERR_WORKER_CRASHED');
  assert.deepEqual(result.values, Array.from({ length: 10 }, (_, i) => i));
  assert.deepEqual(result.after.map(({ value }) => value), ['a', 'b']);
  for (const sums of result.sums) for (const [name, [left, right]] of Object.entries(sums)) assert.equal(left, right, name);
});

test('a pool closed during its reset still settles everything', trap, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const culprit = outcome(pool.run('simulate', { duration: 0, outcome: 'trap' }));
    const queued = Array.from({ length: 10 }, (_, i) => outcome(pool.run('echo', i)));
    const crashed = await culprit;
    await within(pool.close({ mode: 'drain' }));
    return { crashed, values: (await Promise.all(queued)).map(({ value, error }) => value ?? error.code) };
  });
  assert.equal(result.crashed.error.code, 'ERR_PANIC');
  assert.deepEqual(result.values, Array.from({ length: 10 }, (_, i) => i));
});

test('a handler that ignores its cancellation is killed after killGrace', WORKERS, async (page, { mode }) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, killGrace: 200, createWorker: moduleWorker('/own-worker.js') });
    const deaf = pool.run('forever', null);
    await until(() => deaf.state === 'running');
    deaf.cancel();
    const next = outcome(pool.run('upper', 'next'));
    return { deaf: await outcome(deaf), next: await next, stats: pool.stats(), sums: law(pool.stats()) };
  });
  assert.equal(result.deaf.error.code, 'ERR_CANCELLED');
  assert.equal(result.next.value, 'NEXT');
  assert.deepEqual([result.stats.resets, result.stats.cancelled, result.stats.failed], [resets(mode, 1), 1, 0]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('large inputs survive a reset: queued, being copied in, and waiting', trap, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const bytes = await fetchBytes(20_000_000, 3);
    const digest = hex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
    const small = hex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes.subarray(0, 3_000_000))));
    const blocker = (await occupy(pool, 1)).jobs[0];
    const culprit = outcome(pool.run('simulate', { duration: 0, outcome: 'trap' }, { priority: 'critical' }));
    const queued = pool.run('sha256', bytes.subarray(0, 3_000_000));
    await until(() => queued.state === 'queued', 'the input is in');
    const copied = [pool.run('sha256', bytes), pool.run('sha256', new Blob([bytes]))];
    blocker.cancel(); // the trap comes while these are copied in, or soon after
    const crashed = await culprit;
    const late = pool.run('sha256', bytes);
    const values = await within(Promise.all([queued, ...copied, late]), 30_000);
    return { crashed: crashed.error.code, right: values.map((value, i) => value === (i === 0 ? small : digest)), sums: law(pool.stats()) };
  });
  assert.equal(result.crashed, 'ERR_PANIC');
  assert.deepEqual(result.right, [true, true, true, true]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('a large result on its way out survives a reset', trap, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    const bytes = await fetchBytes(30_000_000, 4);
    const echo = pool.run('echo', bytes);
    await until(() => pool.stats().completed === 1, 'the result is there');
    const culprit = outcome(pool.run('simulate', { duration: 0, outcome: 'trap' }));
    const value = await within(echo, 30_000);
    return { crashed: (await culprit).error.code, same: value.length === bytes.length && value.every((byte, i) => byte === bytes[i]), after: await within(pool.run('echo', 1)) };
  });
  assert.deepEqual(result, { crashed: 'ERR_PANIC', same: true, after: 1 });
});
