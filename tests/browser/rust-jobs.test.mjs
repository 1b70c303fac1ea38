// A crate's own handlers in Rust: the package that `cargo xtask package` makes of `tests/rust-jobs`.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MODES, packageTests, rustJobsFolder } from '../support/browser.mjs';

const test = await packageTests({ modes: MODES, folder: rustJobsFolder });

test('own handlers run beside the built-in ones that the crate asked for', {}, async (page, { mode }) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    const result = {
      words: await within(pool.run('countWords', 'to be or not to be')),
      primes: await within(pool.run('countPrimes', { from: 0, to: 10_000 })),
      average: await within(pool.run('average', [1, 2, 6])),
      echo: await within(pool.run('echo', 'built in')),
      missing: await outcome(pool.run('sha256', '')),
    };
    await within(pool.close());
    return result;
  });
  assert.deepEqual(result.words, { words: 6, longest: 'not' });
  assert.deepEqual(result.primes, { count: 1229, threads: mode === 'threads' ? 2 : 1 }, 'par_iter finds the pool’s threads');
  assert.equal(result.average, 3);
  assert.equal(result.echo, 'built in');
  assert.equal(result.missing.error?.code, 'ERR_UNKNOWN_JOB');
});

test('a panic and a wrong input fail their jobs alone, and say where and why', {}, async (page) => {
  const { panicked, wrong, stats, after } = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    return {
      panicked: await outcome(pool.run('average', [])),
      wrong: await outcome(pool.run('average', {})),
      stats: pool.stats(),
      after: await outcome(pool.run('average', [4])),
    };
  });
  assert.equal(panicked.error?.code, 'ERR_PANIC');
  assert.match(panicked.error.message, /divide by zero.*src\/lib\.rs:\d+:\d+/);
  assert.equal(wrong.error?.code, 'ERR_DATA');
  assert.match(wrong.error.message, /invalid type: map/);
  assert.deepEqual([stats.panicked, stats.resets], [1, 0]);
  assert.equal(after.value, 4);
});

test('a handler that ends by its cancellation alone gives its worker back', { modes: ['threads', 'isolated'] }, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const late = await outcome(pool.run('wait', null, { timeout: 50 }));
    const waits = pool.run('wait');
    await until(() => waits.state === 'running');
    waits.cancel();
    return { late, cancelled: await outcome(waits), after: await outcome(pool.run('average', [4])), stats: pool.stats() };
  });
  assert.deepEqual([result.late.error?.code, result.late.error?.phase], ['ERR_TIMEOUT', 'run']);
  assert.equal(result.cancelled.error?.code, 'ERR_CANCELLED');
  assert.equal(result.after.value, 4);
  assert.equal(result.stats.resets, 0);
});

test('a stack that overflows and memory that runs out cost the jobs that run, and no other', { expectProblems: /unreachable|RuntimeError|Maximum call stack/ }, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2 });
    const fits = [await outcome(pool.run('descend', 40)), await outcome(pool.run('reserve', 1_000_000))];
    const lost = [];
    for (const [job, much] of [['descend', 1_000], ['reserve', 2_000_000_000], ['descend', 100_000]]) {
      pool.pause();
      const culprit = pool.run(job, much, { priority: 'critical' });
      // Others' inputs lie in memory while it overflows.
      const queued = Array.from({ length: 200 }, (_, i) => pool.run('echo', `${i}`.repeat(i)));
      pool.resume();
      const { error } = await within(outcome(culprit));
      const ends = await within(Promise.all(queued.map((end) => outcome(end))));
      lost.push([error?.code, ends.every(({ ok, value, error }, i) => (ok ? value === `${i}`.repeat(i) : error.code === 'ERR_WORKER_CRASHED'))]);
    }
    const after = await outcome(pool.run('average', [4]));
    const sums = law(pool.stats());
    return { fits, lost, after, sums, report: await within(pool.close()) };
  });
  assert.deepEqual(result.fits.map(({ value }) => value), [40, 1_000_000]);
  assert.deepEqual(result.lost, [['ERR_PANIC', true], ['ERR_PANIC', true], ['ERR_PANIC', true]]);
  assert.deepEqual([result.after.value, result.report.clean], [4, true]);
  for (const [name, [left, right]] of Object.entries(result.sums)) assert.equal(left, right, name);
});

test('the package is the crate’s: its name, its version, no path of the machine that built it', { modes: ['threads'] }, async () => {
  const { name, version, exports } = JSON.parse(readFileSync(join(rustJobsFolder, 'package.json'), 'utf8'));
  assert.deepEqual([name, version, exports['./worker'].default], ['my-jobs', '1.2.3', './worker.js']);
  const module = readFileSync(join(rustJobsFolder, 'weirpool.wasm'), 'latin1');
  assert.ok(!module.includes(join(rustJobsFolder, '../../..')));
});
