// `map`, a stream of results for a stream of inputs; and `sizeBelow`.
import assert from 'node:assert/strict';
import { MODES, packageTests } from '../support/browser.mjs';

const test = await packageTests({ modes: MODES });

test('results come in the order of the inputs, whenever they end', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 4 });
    const inputs = Array.from({ length: 300 }, (_, i) => i);
    const values = [];
    for await (const value of pool.map('echo', inputs)) values.push(value);
    const [job, slow] = takes(30);
    const kinds = [];
    // The first takes longest.
    for await (const value of pool.map(job, [slow, ...Array(6).fill(takes(1)[1])])) kinds.push(value ?? 'none');
    const empty = [];
    for await (const value of pool.map('echo', [])) empty.push(value);
    for await (const value of pool.map('echo', 'äb')) kinds.push(value);
    return { values, kinds, empty, sums: law(pool.stats()), waiting: pool.stats().waiting };
  });
  assert.deepEqual(result.values, Array.from({ length: 300 }, (_, i) => i));
  assert.deepEqual([result.kinds.length, result.kinds.slice(7), result.empty, result.waiting], [9, ['ä', 'b'], [], 0]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('unordered results come as they end, each once', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    const values = [];
    for await (const value of pool.map('echo', Array.from({ length: 200 }, (_, i) => i), { ordered: false, concurrency: 7 })) values.push(value);
    // The first one holds a worker for good: inline, there is no other.
    const stop = new AbortController();
    const over = [];
    const inputs = mode === 'inline' ? [0, 0, 600_000] : [600_000, 0, 0].map((duration) => ({ duration }));
    const mixed = (async () => {
      for await (const value of pool.map(takes(0)[0], inputs, { ordered: false, signal: stop.signal })) over.push(value ?? 'none');
    })();
    await until(() => over.length === 2, 'those that end do not wait for the first');
    stop.abort('enough');
    return { values, over, end: await outcome(mixed) };
  });
  assert.deepEqual(result.values.sort((a, b) => a - b), Array.from({ length: 200 }, (_, i) => i));
  assert.deepEqual(result.over, ['none', 'none']);
  assert.equal(result.end.error.thrown, 'enough');
});

test('no more inputs are read than `concurrency`, of an endless source too', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    let read = 0;
    let closed = 0;
    const ahead = [];
    function* endless() {
      try {
        for (;;) yield read++;
      } finally {
        closed++;
      }
    }
    let taken = 0;
    const before = pool.map('echo', endless(), { concurrency: 5 });
    const untouched = read;
    for await (const value of before) {
      if (value !== taken++) throw new Error(`${value} comes after ${taken - 2}`);
      await until(() => pool.stats().completed === read, 'all that was read is done');
      ahead.push(read - taken);
      if (taken === 50) break;
    }
    const at = read;
    await pool.idle();
    return { untouched, ahead: Math.max(...ahead), at, read, closed, stats: pool.stats() };
  });
  assert.equal(result.untouched, 0, 'nothing is read before somebody asks');
  assert.equal(result.ahead, 5);
  assert.deepEqual([result.at, result.read, result.closed], [55, 55, 1]);
  assert.equal(result.stats.running + result.stats.queued, 0);
});

test('a chunk of inputs is one job, and each has its own result', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, createWorker: moduleWorker('/own-worker.js') });
    const inputs = [Uint8Array.of(1, 2, 3), 'ä€😀', '', 5.5, false, null, { a: [1] }, [[]], new Uint8Array(), 'x'.repeat(100_000)];
    const gather = async (...args) => {
      const values = [];
      for await (const value of pool.map(...args)) values.push(value instanceof Uint8Array ? [...value] : value);
      return values;
    };
    const sent = inputs.map((value) => (value instanceof Uint8Array ? [...value] : value));
    const same = [];
    const jobs = [];
    // A built-in job and one of the caller's.
    for (const job of ['echo', 'same']) {
      for (const chunkSize of [1, 3, 10, 4096]) {
        const before = pool.stats().completed;
        same.push(await gather(job, inputs, { chunkSize }));
        jobs.push(pool.stats().completed - before);
      }
    }
    const kinds = await gather('kind', [...inputs, undefined], { chunkSize: 4 });
    const [nothing] = await gather('nothing', [1, 2], { chunkSize: 2 });
    const many = Array.from({ length: 1000 }, (_, i) => i);
    const unordered = await gather('echo', many, { ordered: false, chunkSize: 7, concurrency: 30 });
    const large = await gather('large', [2_000_000, 3], { chunkSize: 2 });
    return {
      sent, same, jobs, kinds, nothing: nothing === undefined, unordered, large: large.map(({ length }) => length), sums: law(pool.stats()),
    };
  });
  for (const values of result.same) assert.deepEqual(values, result.sent);
  assert.deepEqual(result.jobs, [10, 4, 1, 1, 10, 4, 1, 1]);
  assert.deepEqual(result.kinds, ['bytes', 'string', 'string', 'number', 'boolean', 'null', 'object', 'object', 'bytes', 'string', 'undefined']);
  assert.equal(result.nothing, true);
  assert.deepEqual(result.unordered.sort((a, b) => a - b), Array.from({ length: 1000 }, (_, i) => i));
  assert.deepEqual(result.large, [2_000_000, 3]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('a chunk that is not full does not wait for inputs that wait for its results', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    let taken = 0;
    async function* inputs() {
      for (let i = 0; i < 20; i++) {
        await until(() => taken >= i, 'the result before is taken');
        yield i;
      }
    }
    const values = [];
    await within((async () => {
      for await (const value of pool.map('echo', inputs(), { chunkSize: 8 })) {
        values.push(value);
        taken++;
      }
    })());
    return values;
  });
  assert.deepEqual(result, Array.from({ length: 20 }, (_, i) => i));
});

test('what goes wrong in a chunk ends the iteration; a chunk that is cancelled stops between two inputs', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, createWorker: moduleWorker('/own-worker.js') });
    const end = (...args) => outcome((async () => {
      for await (const _ of pool.map(...args));
    })());
    const ends = [
      await end('sum', [...Array(4).fill({ numbers: [1] }), 5, { numbers: [2] }], { chunkSize: 3 }),
      await end('simulate', [{ duration: 0 }, { duration: -1 }], { chunkSize: 2 }),
      await end('simulate', [{ duration: 0 }, { duration: 0, outcome: 'panic' }], { chunkSize: 2 }),
      await end('echo', [1, new Blob(['text'])], { chunkSize: 2 }),
      await end('func', [1, 2], { chunkSize: 2 }),
      ...(mode === 'threads' ? [await end('later', [1, 2], { chunkSize: 2 })] : []),
    ].map(({ error }) => [error.code, error.cause?.name, error.index]);
    const later = [];
    if (mode !== 'threads') for await (const value of pool.map('later', [1, 2, 3], { chunkSize: 2 })) later.push(value);
    // A hundred that each take 100 ms, of which at most one is run out.
    const stop = new AbortController();
    const naps = end(mode === 'threads' ? 'busy' : 'sleep', Array(100).fill(100), { chunkSize: 100, signal: stop.signal });
    await until(() => pool.stats().running === 1, 'it runs');
    stop.abort('enough');
    const { error } = await within(naps);
    await until(() => pool.stats().abandoned === 0, 'the worker is free again');
    return { ends, later, thrown: error.thrown, after: await within(pool.run('echo', 1)), sums: law(pool.stats()) };
  });
  const threads = result.ends.length === 6;
  assert.deepEqual(result.ends.slice(0, 5), [
    ['ERR_JOB_FAILED', 'TypeError', 3], ['ERR_DATA', 'Error', 0], ['ERR_PANIC', 'Error', 0], ['ERR_DATA', undefined, 0], ['ERR_DATA', 'Error', 0],
  ]);
  if (threads) assert.deepEqual(result.ends[5], ['ERR_UNSUPPORTED', 'TypeError', 0]);
  assert.deepEqual(result.later, threads ? [] : [1, 1, 1]);
  assert.deepEqual([result.thrown, result.after], ['enough', 1]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('a chunk that is cut short is no result', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js') });
    const ends = [];
    for (const limit of ['timeout', 'totalTimeout']) {
      const options = { chunkSize: 200, [limit]: 60, retry: { attempts: 2, backoff: 0, timeouts: true } };
      const { error } = await outcome((async () => {
        for await (const _ of pool.map('busy', Array(200).fill(2), options));
      })());
      ends.push([error?.code, error?.own.phase]);
    }
    return ends;
  });
  assert.deepEqual(result, [['ERR_TIMEOUT', 'run'], ['ERR_TIMEOUT', 'total']]);
});

test('the rate limit does not break chunks up, nor does a slow consumer', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, rateLimit: { limit: 5, interval: 100, burst: 1 } });
    const values = [];
    for await (const value of pool.map('echo', Array.from({ length: 40 }, (_, i) => i), { chunkSize: 10 })) values.push(value);
    const { accepted } = pool.stats();
    pool.rateLimit.set(false);
    for await (const value of pool.map('echo', values, { chunkSize: 10, concurrency: 10 })) await new Promise((resolve) => setTimeout(resolve, 1));
    return { values, accepted, after: pool.stats().accepted - accepted };
  });
  assert.deepEqual(result, { values: Array.from({ length: 40 }, (_, i) => i), accepted: 4, after: 4 });
});

test('the error of a job ends the iteration, cancels the rest and closes the source', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    let closed = 0;
    function* inputs() {
      try {
        yield* [{ duration: 50 }, 1];
        for (;;) yield { duration: 50 };
      } finally {
        closed++;
      }
    }
    const values = [];
    const end = await outcome((async () => {
      for await (const value of pool.map('simulate', inputs(), { concurrency: 8 })) values.push(value);
    })());
    await within(pool.idle());
    const { cancelled, failed, completed, queued, running } = pool.stats();
    return { end, closed, values, cancelled, failed, completed, queued, running, sums: law(pool.stats()), after: await within(pool.run('echo', 1)) };
  });
  // `1` is not what simulate takes.
  assert.deepEqual([result.end.error.code, result.end.error.index], ['ERR_DATA', 1]);
  assert.deepEqual([result.closed, result.queued, result.running, result.after], [1, 0, 0, 1]);
  assert.ok(result.values.length <= 1, 'at most the result before it');
  assert.ok(result.cancelled > 0, 'the rest was cancelled');
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('leaving the loop cancels what is open', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    let closed = 0;
    async function* inputs() {
      try {
        yield 0;
        for (;;) yield 600_000;
      } finally {
        closed++;
      }
    }
    // Inline, the page has to get its turn back.
    const job = mode === 'inline' ? 'sleep' : 'simulate';
    async function* given() {
      for await (const duration of inputs()) yield mode === 'inline' ? duration : { duration };
    }
    for await (const _ of pool.map(job, given(), { concurrency: 4 })) {
      await until(() => pool.stats().running + pool.stats().queued > 0, 'the next ones are under way');
      break;
    }
    await within(pool.idle());
    return { closed, stats: pool.stats(), sums: law(pool.stats()) };
  });
  assert.equal(result.closed, 1);
  assert.ok(result.stats.cancelled > 0);
  assert.deepEqual([result.stats.queued, result.stats.running], [0, 0]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('a signal ends the iteration at once, before it begins or while it waits', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const early = await outcome(pool.map('echo', [1], { signal: AbortSignal.abort('early') }).next());
    const stop = new AbortController();
    let closed = 0;
    const source = { [Symbol.iterator]: () => ({ next: () => ({ done: false, value: long[1] }), return: () => { closed++; return {}; } }) };
    const next = pool.map(long[0], source, { signal: stop.signal, concurrency: 3 }).next();
    await until(() => pool.stats().running === 1);
    stop.abort('late');
    const late = await outcome(next);
    await until(() => pool.stats().abandoned === 0);
    return { early, late, closed, stats: pool.stats(), sums: law(pool.stats()), after: await within(pool.run('echo', 'on')) };
  });
  assert.equal(result.early.error.thrown, 'early');
  assert.equal(result.late.error.thrown, 'late');
  assert.deepEqual([result.closed, result.stats.cancelled, result.after], [1, 3, 'on']);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('an async source is read one by one; one that throws ends the iteration with its error', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    let reading = 0;
    let most = 0;
    let left = 40;
    const source = {
      [Symbol.asyncIterator]: () => ({
        async next() {
          most = Math.max(most, ++reading);
          await new Promise((resolve) => setTimeout(resolve));
          reading--;
          return left-- > 0 ? { done: false, value: left } : { done: true, value: undefined };
        },
      }),
    };
    const values = [];
    for await (const value of pool.map('echo', source)) values.push(value);
    const ends = [];
    for (const broken of [function* () { yield 1; throw new Error('sync'); }, async function* () { yield 1; throw new Error('async'); }]) {
      ends.push(await outcome((async () => { for await (const _ of pool.map('echo', broken())); })()));
    }
    // Nobody answers: leaving does not wait for it.
    let closed = 0;
    const silent = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}), return: () => (closed++, new Promise(() => {})) }) };
    const stop = new AbortController();
    const next = pool.map('echo', silent, { signal: stop.signal }).next();
    await new Promise((resolve) => setTimeout(resolve));
    stop.abort('gone');
    ends.push(await outcome(next));
    return { values, most, ends, closed, sums: law(pool.stats()) };
  });
  assert.deepEqual(result.values, Array.from({ length: 40 }, (_, i) => 39 - i));
  assert.equal(result.most, 1);
  assert.deepEqual(result.ends.map(({ error }) => error?.message ?? error?.thrown), ['sync', 'async', 'gone']);
  assert.equal(result.closed, 1);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('a full pool and a rate limit slow it down, and it never fails for that', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const inputs = Array.from({ length: 60 }, (_, i) => i);
    const all = async (pool, options) => {
      const values = [];
      for await (const value of pool.map('echo', inputs, options)) values.push(value);
      return values;
    };
    const small = await Pool.create({ workers: 1, queue: { capacity: 2, maxWaiting: 0 }, maxInFlight: 3 });
    const full = await within(Promise.all([all(small, { concurrency: 20 }), all(small)]));
    const limited = await Pool.create({ workers: 1, rateLimit: { limit: 20, interval: 100 } });
    return { full, rate: await within(all(limited)), refused: limited.stats().refusedRate, sums: law(small.stats()) };
  });
  const inputs = Array.from({ length: 60 }, (_, i) => i);
  assert.deepEqual([...result.full, result.rate], [inputs, inputs, inputs]);
  assert.ok(result.refused > 0, 'the rate limit was met');
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('a pool that is closed meanwhile ends the iteration', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    function* endless() {
      for (;;) yield 1;
    }
    let taken = 0;
    const end = await outcome((async () => {
      for await (const _ of pool.map('echo', endless())) if (++taken === 10) void pool.close();
    })());
    await within(pool.close());
    const after = await outcome(pool.map('echo', [1]).next());
    return { end, after, taken, sums: law(pool.stats()) };
  });
  assert.equal(result.end.error.code, 'ERR_POOL_CLOSED');
  assert.equal(result.after.error.code, 'ERR_POOL_CLOSED');
  assert.ok(result.taken >= 10);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('wrong arguments throw at once', {}, async (page) => {
  const names = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const calls = [
      () => pool.map(1, []), () => pool.map('echo'), () => pool.map('echo', 5), () => pool.map('echo', {}),
      () => pool.map('echo', [], null), () => pool.map('echo', [], { ordered: 1 }), () => pool.map('echo', [], { concurrency: 0 }),
      () => pool.map('echo', [], { whenFull: 'wait' }), () => pool.map('echo', [], { chunk: 2 }), () => pool.map('echo', [], { signal: 1 }),
      () => pool.sizeBelow(), () => pool.sizeBelow(0), () => pool.sizeBelow('1'),
    ];
    return calls.map((call) => { try { call(); return 'nothing'; } catch (error) { return error.name; } });
  });
  assert.deepEqual(names, [
    'TypeError', 'TypeError', 'TypeError', 'TypeError', 'TypeError', 'TypeError', 'RangeError', 'TypeError', 'TypeError', 'TypeError',
    'TypeError', 'RangeError', 'TypeError',
  ]);
});

test('sizeBelow resolves when fewer jobs wait, also for room, and when the pool is closed', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, queue: { capacity: 3 } });
    const settled = [];
    const busy = await occupy(pool, 1);
    await within(pool.sizeBelow(1));
    const jobs = Array.from({ length: 5 }, (_, i) => pool.run('echo', i, { whenFull: 'wait' }));
    for (const size of [1, 3, 5, 6]) void pool.sizeBelow(size).then(() => settled.push(size));
    await new Promise((resolve) => setTimeout(resolve, 20));
    const before = [...settled];
    jobs[4].catch(() => {});
    jobs[4].cancel();
    await until(() => settled.includes(5));
    const between = [...settled];
    await busy.release();
    await within(pool.sizeBelow(1));
    const left = pool.stats().queued + pool.stats().waiting;
    const values = await Promise.all(jobs.slice(0, 4));
    pool.pause();
    const last = outcome(pool.run('echo', 9));
    const closing = pool.sizeBelow(1);
    const report = await within(pool.close({ mode: 'cancel-queued' }));
    await within(closing);
    await within(pool.sizeBelow(1));
    return { before, between, left, values, aborted: report.aborted, last: await last };
  });
  assert.deepEqual(result.before, [6]);
  assert.deepEqual(result.between, [6, 5]);
  assert.deepEqual([result.left, result.values, result.aborted, result.last.error.code], [0, [0, 1, 2, 3], 1, 'ERR_POOL_CLOSED']);
});
