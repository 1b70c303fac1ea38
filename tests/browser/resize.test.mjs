// The number of workers: changed by a call, by the work there is, and through everything else that may go on meanwhile.
import assert from 'node:assert/strict';
import { MODES, packageTests } from '../support/browser.mjs';

const test = await packageTests({ modes: MODES });
const WORKERS = { modes: ['threads', 'isolated'] };
const trap = { expectProblems: /unreachable|RuntimeError|trap/i };
const lawful = ({ sums }) => {
  for (const [name, [left, right]] of Object.entries(sums)) assert.equal(left, right, name);
};

test('a pool grows and shrinks under load, and every job ends once', {}, async (page, { mode }) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, queue: { whenFull: 'wait', maxWaiting: 100_000 } });
    const events = { start: 0, exit: 0, problems: [] };
    pool.addEventListener('workerstart', () => events.start++);
    pool.addEventListener('workerexit', ({ detail }) => { events.exit++; events.problems.push(detail.reason); });
    const ended = new Map();
    let wrong = 0;
    const jobs = Array.from({ length: 4000 }, (_, i) =>
      pool.run('echo', i).then((value) => { ended.set(i, (ended.get(i) ?? 0) + 1); if (value !== i) wrong++; }));
    // Some that take a while, so that there is always somebody at work.
    for (let i = 0; i < 60; i++) jobs.push(pool.run(...takes(3)));
    const sizes = [];
    for (const size of [4, 1, 3, 2, 4, 1]) {
      await within(pool.resize(size), 15_000, `resize to ${size}`);
      const { limit, workers } = pool.stats();
      // A pool that has grown does not wait for those that its new workers replace.
      sizes.push([limit, size === 1 ? workers.length : limit]);
      for (let i = 0; i < 30; i++) jobs.push(pool.run(...takes(1)));
    }
    await within(Promise.all(jobs));
    const stats = pool.stats();
    const report = await within(pool.close());
    return { sizes, wrong, ended: ended.size, twice: [...ended.values()].filter((count) => count !== 1).length, events, stats, report, sums: law(stats) };
  });
  assert.deepEqual(result.sizes, (mode === 'inline' ? [1, 1, 1, 1, 1, 1] : [4, 1, 3, 2, 4, 1]).map((size) => [size, size]));
  assert.deepEqual([result.wrong, result.ended, result.twice], [0, 4000, 0]);
  assert.deepEqual([result.stats.completed, result.stats.failed, result.stats.resets], [4240, 0, 0]);
  assert.equal(result.report.clean, true);
  if (mode !== 'inline') {
    assert.ok(result.events.start >= 7, `${result.events.start} came`);
    assert.equal(result.events.exit, result.events.start + 1, 'and as many went, and the first one');
    assert.ok(result.events.problems.every((reason) => /closed|smaller/.test(reason)), String(result.events.problems));
  }
  lawful(result);
});

test('workers beyond the number go when their jobs have ended; what waits runs on the others', WORKERS, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 3 });
    const [one, two] = (await occupy(pool, 2)).jobs;
    const shrunk = pool.resize(2);
    await until(() => pool.stats().limit === 2, 'the limit is in force');
    // The two that run have the two places.
    const queued = Array.from({ length: 50 }, (_, i) => pool.run('echo', i));
    const during = [pool.stats().running, pool.stats().queued];
    one.cancel();
    const values = await within(Promise.all(queued), 10_000, 'what was queued');
    const grown = pool.resize(4);
    const more = Array.from({ length: 3 }, () => pool.run('simulate', { duration: 600_000 }));
    for (const job of more) job.catch(() => {});
    await until(() => more.every((job) => job.state === 'running'), 'four run');
    const four = pool.stats().running;
    await within(grown, 10_000, 'growing, beside one that still runs');
    await within(shrunk, 10_000, 'shrinking, which is not wanted any more');
    for (const job of [two, ...more]) job.cancel();
    await until(() => pool.stats().abandoned === 0 && pool.stats().workers.length === 4, 'those beyond the number are gone');
    const stats = pool.stats();
    return { during, values, four, workers: stats.workers.length, limit: stats.limit, report: await within(pool.close()), sums: law(stats) };
  });
  assert.deepEqual(result.during, [2, 50]);
  assert.deepEqual(result.values, Array.from({ length: 50 }, (_, i) => i));
  assert.deepEqual([result.four, result.workers, result.limit], [4, 4, 4]);
  assert.equal(result.report.clean, true);
  lawful(result);
});

test('several calls at once: the last one wins, all of them settle', {}, async (page, { mode }) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    const jobs = Array.from({ length: 200 }, (_, i) => pool.run('echo', i));
    const calls = [5, 1, 4, 2, 3].map((size) => pool.resize(size));
    await within(Promise.all(calls));
    const stats = pool.stats();
    await within(pool.idle());
    await until(() => mode === 'inline' || pool.stats().workers.length === 3);
    return { values: await within(Promise.all(jobs)), limit: stats.limit, workers: stats.workers.length >= stats.limit, after: pool.stats().workers.length, sums: law(pool.stats()) };
  });
  assert.deepEqual(result.values, Array.from({ length: 200 }, (_, i) => i));
  assert.deepEqual([result.limit, result.workers, result.after], mode === 'inline' ? [1, true, 1] : [3, true, 3]);
  lawful(result);
});

test('workers that say that they run and come in late have their places, whatever is resized meanwhile', { modes: ['threads'] }, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/late-worker.js') });
    const resets = [];
    pool.addEventListener('reset', ({ detail }) => resets.push(detail.reason));
    const { jobs: [busy] } = await occupy(pool, 1);
    const jobs = Array.from({ length: 20 }, (_, i) => pool.run('echo', i));
    await within(pool.resize(3));
    // Of these three nobody is in yet, and the first one is still in the pool before.
    const smaller = pool.resize(2);
    busy.cancel();
    await within(smaller);
    const values = await within(Promise.all(jobs));
    return { resets, values, stats: pool.stats(), report: await within(pool.close()) };
  });
  assert.deepEqual(result.resets, []);
  assert.deepEqual([result.values.length, result.stats.resets, result.report.clean], [20, 0, true]);
});

test('at rest the same workers go on', { modes: ['threads'] }, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    await Promise.all(Array.from({ length: 20 }, (_, i) => pool.run('echo', i)));
    await until(() => pool.stats().workers.every(({ state }) => state === 'idle'));
    const started = [];
    pool.addEventListener('workerstart', ({ detail }) => started.push(detail.worker));
    await within(pool.resize(1));
    const one = [...started];
    await within(pool.resize(3));
    const values = await within(Promise.all(Array.from({ length: 20 }, (_, i) => pool.run('echo', i))));
    return { one, started: started.length, values, stats: pool.stats() };
  });
  assert.deepEqual([result.one, result.started], [[], 2]);
  assert.equal(result.values.length, 20);
  assert.equal(result.stats.workers.length, 3);
});

test('a paused pool is resized too', {}, async (page, { mode }) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    pool.pause();
    const jobs = Array.from({ length: 20 }, (_, i) => pool.run('echo', i));
    await within(pool.resize(4));
    await within(pool.resize(1));
    const { queued, limit } = pool.stats();
    pool.resume();
    return { queued, limit, values: await within(Promise.all(jobs)) };
  });
  assert.deepEqual([result.queued, result.limit], [20, 1]);
  assert.equal(result.values.length, 20);
  assert.ok(mode);
});

test('a reset while it is resized: the new memory has the new number', { ...trap, ...WORKERS }, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    const rounds = [];
    for (const [size, duration] of [[4, 0], [1, 0], [3, 15], [2, 40]]) {
      const culprit = outcome(pool.run('simulate', { duration, outcome: 'trap' }));
      const jobs = Array.from({ length: 50 }, (_, i) => pool.run('echo', i));
      await within(pool.resize(size), 15_000, `resize to ${size}`);
      const ends = await Promise.all(jobs.map((job) => outcome(job)));
      const { error } = await culprit;
      await until(() => pool.stats().workers.length === size, `${size} workers`);
      rounds.push([error.code, ends.every(({ ok, error }) => ok || error.code === 'ERR_WORKER_CRASHED'), pool.stats().limit]);
    }
    const values = await within(Promise.all(Array.from({ length: 20 }, (_, i) => pool.run('echo', i))));
    const stats = pool.stats();
    return { rounds, values: values.length, stats, report: await within(pool.close()), sums: law(stats) };
  });
  assert.deepEqual(result.rounds.map(([code, ends, limit]) => [code, ends, limit]), [4, 1, 3, 2].map((size) => ['ERR_PANIC', true, size]));
  assert.deepEqual([result.values, result.report.clean], [20, true]);
  lawful(result);
});

test('a runaway among workers on their way out is killed', WORKERS, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, killAfter: 300, createWorker: moduleWorker('/own-worker.js') });
    const runaway = outcome(pool.run('forever', null));
    await until(() => pool.stats().running === 1);
    const shrunk = outcome(pool.resize(1));
    const end = await runaway;
    return { end, shrunk: await shrunk, value: await within(pool.run('upper', 'on')), workers: pool.stats().workers.length };
  });
  assert.equal(result.end.error.code, 'ERR_KILLED');
  assert.deepEqual([result.shrunk.ok, result.value, result.workers], [true, 'ON', 1]);
});

test('a pool that is closed settles what is being resized, and is resized no more', {}, async (page, { mode }) => {
  const result = await page.evaluate(async () => {
    const ends = [];
    for (const [from, to] of [[1, 4], [4, 1]]) {
      const pool = await Pool.create({ workers: from });
      const jobs = Array.from({ length: 100 }, (_, i) => pool.run('echo', i));
      const busy = pool.run(...takes(20));
      const resized = outcome(pool.resize(to));
      const report = await within(pool.close());
      ends.push({ resized: await resized, report, values: (await Promise.all(jobs)).length, busy: await outcome(busy), late: await outcome(pool.resize(2)), sums: law(pool.stats()) });
    }
    return ends;
  });
  for (const { resized, report, values, busy, late, sums } of result) {
    // Workers that have nothing to do go at once, where each has a memory of its own.
    assert.ok(resized.ok ? mode !== 'threads' : resized.error.code === 'ERR_POOL_CLOSED', JSON.stringify(resized));
    assert.deepEqual([report.clean, values, busy.ok, late.error?.code], [true, 100, true, 'ERR_POOL_CLOSED']);
    lawful({ sums });
  }
});

test('workers that cannot be started leave the pool as it was', WORKERS, async (page) => {
  const result = await page.evaluate(async () => {
    let broken = false;
    const createWorker = () => {
      if (broken) throw new Error('no more workers');
      return moduleWorker('/own-worker.js')();
    };
    const pool = await Pool.create({ workers: 2, createWorker });
    broken = true;
    // One that hears of its end, or its worker would have to be replaced.
    const busy = pool.run(...(mode === 'isolated' ? ['hold', null] : long));
    await until(() => busy.state === 'running');
    const grown = await outcome(pool.resize(4));
    const { limit, workers } = pool.stats();
    busy.cancel();
    await outcome(busy);
    const values = await within(Promise.all(Array.from({ length: 20 }, () => pool.run('upper', 'on'))));
    broken = false;
    await within(pool.resize(4));
    return { grown, limit, workers: workers.length, values: values.length, after: pool.stats().limit, sums: law(pool.stats()) };
  });
  assert.equal(result.grown.error.code, 'ERR_WORKER_LOAD');
  assert.match(result.grown.error.message, /no more workers/);
  assert.deepEqual([result.limit, result.workers, result.values, result.after], [2, 2, 20, 4]);
  lawful(result);
});

test('a busy pool that cannot have new workers does not shrink either, and says so', { modes: ['threads'] }, async (page) => {
  const result = await page.evaluate(async () => {
    let broken = false;
    const createWorker = () => {
      if (broken) throw new Error('no more workers');
      return moduleWorker('/own-worker.js')();
    };
    const pool = await Pool.create({ workers: 3, createWorker });
    const busy = await occupy(pool, 1);
    broken = true;
    const shrunk = await outcome(pool.resize(2));
    const limit = pool.stats().limit;
    await busy.release();
    await until(() => pool.stats().workers.every(({ state }) => state === 'idle'));
    // At rest none is needed.
    await within(pool.resize(2));
    return { shrunk, limit, after: pool.stats().limit, values: await within(Promise.all([1, 2, 3].map((n) => pool.run('echo', n)))), report: await within(pool.close()) };
  });
  assert.equal(result.shrunk.error?.code, 'ERR_WORKER_LOAD');
  assert.deepEqual([result.limit, result.after, result.values, result.report.clean], [3, 2, [1, 2, 3], true]);
});

test('a worker with other handlers is not let in', WORKERS, async (page) => {
  const result = await page.evaluate(async () => {
    let made = 0;
    const pool = await Pool.create({ workers: 1, createWorker: () => moduleWorker(++made > 1 ? '/weirpool/default-worker.js' : '/own-worker.js')() });
    const grown = await outcome(pool.resize(2));
    return { grown, value: await within(pool.run('upper', 'on')), limit: pool.stats().limit };
  });
  assert.equal(result.grown.error?.code, 'ERR_WORKER_LOAD');
  assert.match(result.grown.error.message, /same handlers/);
  assert.deepEqual([result.value, result.limit], ['ON', 1]);
});

test('a dynamic pool grows while jobs wait, and shrinks while workers are idle', WORKERS, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: { min: 1, max: 3, idleTimeout: 200 } });
    const sizes = [pool.stats().limit];
    let exits = 0;
    pool.addEventListener('workerexit', () => exits++);
    // As many as there may be, and more that wait.
    const jobs = Array.from({ length: 5 }, () => pool.run('simulate', { duration: 600_000 }));
    for (const job of jobs) job.catch(() => {});
    await until(() => jobs.slice(0, 3).every((job) => job.state === 'running'), 'three run');
    sizes.push(pool.stats().limit, pool.stats().workers.length);
    for (const job of jobs) job.cancel();
    await until(() => exits >= 2 && pool.stats().limit === 1, 'two have gone');
    sizes.push(pool.stats().limit, pool.stats().workers.length);
    // And again, from there; a new range holds at once.
    const again = Array.from({ length: 2 }, () => pool.run('simulate', { duration: 600_000 }));
    for (const job of again) job.catch(() => {});
    await until(() => again.every((job) => job.state === 'running'), 'two run');
    await within(pool.resize({ min: 4, max: 5 }));
    sizes.push(pool.stats().limit, pool.stats().running);
    for (const job of again) job.cancel();
    const values = await within(Promise.all(Array.from({ length: 300 }, (_, i) => pool.run('echo', i))));
    await until(() => pool.stats().abandoned === 0);
    return { sizes, values: values.length, report: await within(pool.close()), sums: law(pool.stats()) };
  });
  assert.deepEqual(result.sizes, [1, 3, 3, 1, 1, 4, 2]);
  assert.deepEqual([result.values, result.report.clean], [300, true]);
  lawful(result);
});

test('a dynamic pool that cannot grow goes on with what it has', WORKERS, async (page) => {
  const result = await page.evaluate(async () => {
    let made = 0;
    const createWorker = () => {
      if (++made > 1) throw new Error('no more workers');
      return moduleWorker('/own-worker.js')();
    };
    const pool = await Pool.create({ workers: { min: 1, max: 3 }, createWorker });
    const first = pool.run(...(mode === 'isolated' ? ['hold', null] : long));
    const rest = Array.from({ length: 20 }, () => pool.run('upper', 'on'));
    await until(() => made > 1, 'it tried');
    first.cancel();
    await outcome(first);
    return { values: await within(Promise.all(rest)), limit: pool.stats().limit, report: await within(pool.close()) };
  });
  assert.deepEqual([result.values.length, result.limit, result.report.clean], [20, 1, true]);
});

test('the memory does not grow with the number of resizes', { modes: ['threads'], timeout: 120_000 }, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    const sizes = [];
    for (let i = 0; i < 60; i++) {
      const busy = i % 2 ? pool.run('simulate', { duration: 5 }) : undefined;
      await within(pool.resize(1 + (i % 3)));
      await busy;
      sizes.push(pool.stats().memoryBytes);
    }
    await until(() => pool.stats().workers.length === 3, 'those beyond the number are gone');
    return sizes;
  });
  // More than a hundred workers came and went, each with a stack of 2 MB.
  assert.ok(result.at(-1) - result[10] < 10e6, String(result));
});
