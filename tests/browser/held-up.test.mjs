// Whoever is held up, a worker, the page or a message between them, loses nothing by it.
import assert from 'node:assert/strict';
import { packageTests } from '../support/browser.mjs';

const test = await packageTests();
const isolated = { modes: ['isolated'] };
const trap = { expectProblems: /unreachable|RuntimeError|trap/i };

test('who hears of one pool in a reset may call another', trap, async (page) => {
  const result = await page.evaluate(async () => {
    const [pool, other] = [await Pool.create({ workers: 1 }), await Pool.create({ workers: 1 })];
    let heard = 0;
    pool.addEventListener('jobqueued', () => { heard++; other.stats(); });
    const culprit = outcome(pool.run('simulate', { duration: 50, outcome: 'trap' }));
    const jobs = Array.from({ length: 50 }, (_, i) => pool.run('echo', i));
    const { error } = await culprit;
    const values = await within(Promise.all(jobs));
    const beside = await within(other.run('echo', 'beside'));
    return { code: error.code, values, heard, beside, resets: [pool, other].map((one) => one.stats().resets) };
  });
  assert.deepEqual(result.values, Array.from({ length: 50 }, (_, i) => i));
  assert.deepEqual([result.code, result.heard, result.beside, result.resets], ['ERR_PANIC', 101, 'beside', [1, 1]]);
});

test('a page that is held up until the deadline of its close settles every job', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, createWorker: moduleWorker('/own-worker.js') });
    const jobs = Array.from({ length: 1000 }, () => pool.run('large', 50_000));
    const closing = pool.close({ deadline: 300 });
    for (const end = performance.now() + 1500; performance.now() < end; );
    const ends = await within(Promise.allSettled(jobs));
    return { report: await within(closing), done: ends.filter(({ status }) => status === 'fulfilled').length };
  });
  const { finished, aborted } = result.report;
  assert.deepEqual([finished, finished + aborted], [result.done, 1000]);
});

test('workers that fail to start take no number and no job of others', isolated, async (page) => {
  const result = await page.evaluate(async () => {
    const files = ['own', 'throwing', 'slow'];
    const pool = await Pool.create({ workers: 1, createWorker: () => new Worker(`/${files.shift() ?? 'own'}-worker.js`, { type: 'module' }) });
    let started = 0;
    pool.addEventListener('workerstart', () => started++);
    const first = outcome(pool.resize(3));
    await until(() => pool.stats().workers.length === 2, 'the one that throws is gone');
    const second = outcome(pool.resize(4));
    await until(() => started >= 2, 'the new ones run');
    const jobs = Array.from({ length: 4 }, () => pool.run('hold', null));
    for (const job of jobs) job.catch(() => {});
    await until(() => pool.stats().running === 4, 'all have a job');
    const resized = [(await first).ok, (await second).ok];
    for (const job of jobs) job.cancel();
    await within(pool.idle());
    return { resized, workers: pool.stats().workers.length, report: await within(pool.close()) };
  });
  assert.deepEqual([result.resized, result.workers, result.report.clean], [[true, true], 4, true]);
});

test('workers that do not start are asked for again if another number is wanted by then', { modes: ['threads', 'isolated'] }, async (page) => {
  const result = await page.evaluate(async () => {
    const files = ['own', 'silent', 'silent'];
    const pool = await Pool.create({ workers: 1, startupTimeout: 3000, createWorker: () => new Worker(`/${files.shift() ?? 'own'}-worker.js`, { type: 'module' }) });
    const first = outcome(pool.resize(3));
    await until(() => files.length === 0);
    const second = outcome(pool.resize(4));
    return { resized: [(await first).ok, (await second).ok], workers: pool.stats().workers.length };
  });
  assert.deepEqual([result.resized, result.workers], [[true, true], 4]);
});

for (const before of [['late'], ['late', 'late'], ['late', 'late', 'late']]) {
  const others = before.length - 1;
  test(`a worker that comes late when another one fails has its place, or is replaced: one, beside ${others}`, {}, async (page) => {
    const result = await page.evaluate(async (before) => {
      const files = [...before, 'throwing'];
      const pool = await Pool.create({ workers: 1, createWorker: () => new Worker(`/${files.shift() ?? 'late'}-worker.js`, { type: 'module' }) });
      const resized = await outcome(pool.resize(files.length + 1));
      const values = await within(Promise.all(Array.from({ length: 20 }, (_, i) => pool.run('echo', i))));
      await until(() => pool.stats().workers.length === before.length, 'there are those that started');
      await within(pool.resize(before.length));
      return { code: resized.error?.code, values: values.length, resets: pool.stats().resets, report: await within(pool.close()) };
    }, before);
    assert.deepEqual([result.code, result.values, result.resets, result.report.clean], ['ERR_WORKER_LOAD', 20, 0, true]);
  });
}

test('workers that have started and not said so yet are not missed', trap, async (page) => {
  const result = await page.evaluate(async () => {
    // The page hears late of the second generation's workers, but for the last one.
    let made = 0;
    class Late extends Worker {
      #delay = made < 6 ? 300 : 0;
      set onmessage(listener) {
        super.onmessage = listener && ((event) => setTimeout(() => super.onmessage && listener(event), this.#delay));
      }
      get onmessage() {
        return super.onmessage;
      }
    }
    const pool = await Pool.create({ workers: 3, createWorker: () => new (++made > 3 ? Late : Worker)('/own-worker.js', { type: 'module' }) });
    await outcome(pool.run('simulate', { duration: 0, outcome: 'trap' }));
    await within(pool.resize(2));
    await until(() => pool.stats().workers.length === 2);
    return { value: await within(pool.run('echo', 1)), resets: pool.stats().resets };
  });
  assert.deepEqual(result, { value: 1, resets: 1 });
});

test('a pool that closes while its workers start again costs the others nothing', trap, async (page) => {
  const resets = await page.evaluate(async () => {
    const files = ['own'];
    const other = await Pool.create({ workers: 1 });
    const pool = await Pool.create({ workers: 1, createWorker: () => new Worker(`/${files.shift() ?? 'slow'}-worker.js`, { type: 'module' }) });
    await outcome(pool.run('simulate', { duration: 0, outcome: 'trap' }));
    await within(pool.close({ mode: 'abort', deadline: 0 }));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await within(other.run('echo', 1));
    return other.stats().resets;
  });
  // One for the trap, and one for the workers that were cut off.
  assert.ok(resets <= 2, `${resets} resets`);
});

test('workers that come back with other handlers end the pool', trap, async (page) => {
  const result = await page.evaluate(async () => {
    const files = ['/own-worker.js'];
    const pool = await Pool.create({ workers: 1, createWorker: () => new Worker(files.shift() ?? '/weirpool/default-worker.js', { type: 'module' }) });
    const culprit = outcome(pool.run('simulate', { duration: 20, outcome: 'trap' }));
    const queued = outcome(pool.run('upper', 'text'));
    return [await culprit, await queued, await outcome(pool.run('echo', 1))].map(({ error }) => error?.code);
  });
  assert.deepEqual(result[0], 'ERR_PANIC');
  assert.deepEqual(result.slice(1), ['ERR_WORKER_LOAD', 'ERR_WORKER_LOAD']);
});

test('calls between a trap and its news do no harm', trap, async (page) => {
  const result = await page.evaluate(async () => {
    const calls = {
      pause: (pool) => { pool.pause(); pool.resume(); },
      limits: (pool) => { pool.maxInFlight = 50; pool.rateLimit.set({ limit: 1000, interval: 1000 }); },
      breaker: (pool) => pool.breaker.disable(),
      create: () => Pool.create({ workers: 1 }),
      close: (pool) => pool.close(),
    };
    const ends = {};
    for (const [name, call] of Object.entries(calls)) {
      const pool = await Pool.create({ workers: 1, breaker: true });
      const culprit = outcome(pool.run('simulate', { duration: 100, outcome: 'trap' }));
      await until(() => pool.stats().running === 1);
      const queued = pool.run('echo', 1);
      if (name === 'close') pool.pause();
      // The worker traps, and the page does not hear of it yet.
      for (const end = performance.now() + 300; performance.now() < end; );
      const { ok, error } = await outcome(() => Promise.resolve(call(pool)));
      ends[name] = [ok, error?.message, (await culprit).error.code];
      const { maxInFlight, rateLimit: { limit } } = pool;
      if (name === 'limits') ends.limits.push(maxInFlight, limit);
      await within(queued);
      await within(pool.close());
    }
    return ends;
  });
  const fine = [true, undefined, 'ERR_PANIC'];
  assert.deepEqual(result, { pause: fine, limits: [...fine, 50, 1000], breaker: fine, create: fine, close: fine });
});

test('jobs that are cut off at the deadline leave no input behind', isolated, async (page) => {
  const bytes = await page.evaluate(async () => {
    const other = await Pool.create({ workers: 1 });
    for (let i = 0; i < 3; i++) {
      const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js') });
      const job = pool.run('never', new Uint8Array(1 << 20));
      job.catch(() => {});
      await until(() => job.state === 'running');
      await within(pool.close({ deadline: 0 }));
    }
    return other.stats().bufferBytes;
  });
  assert.equal(bytes, 0);
});

test('a worker that never started does not leave', isolated, async (page) => {
  const events = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const counts = { start: 0, exit: 0 };
    pool.addEventListener('workerstart', () => counts.start++);
    pool.addEventListener('workerexit', () => counts.exit++);
    const grown = outcome(pool.resize(4));
    await within(pool.resize(1));
    await grown;
    return counts;
  });
  assert.equal(events.exit, events.start);
});

const withoutBell = await packageTests({ without: 'waitAsync' });

withoutBell('a job that waits for a place finds it when those that held it have left', {}, async (page) => {
  const value = await page.evaluate(async () => {
    class Late extends Worker {
      set onmessage(listener) {
        super.onmessage = listener && ((event) => {
          if (event.data.weirpool === 'bell') setTimeout(() => listener(event), 200);
          else listener(event);
        });
      }
    }
    const pool = await Pool.create({ workers: 2, createWorker: () => new Late('/own-worker.js', { type: 'module' }) });
    const { jobs } = await occupy(pool, 2);
    const queued = pool.run('echo', 'queued');
    const resized = pool.resize(1);
    await until(() => pool.stats().limit === 1, 'the new size holds');
    for (const job of jobs) job.cancel();
    await within(resized);
    return within(queued);
  });
  assert.equal(value, 'queued');
});
