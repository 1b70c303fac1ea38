// Progress: what handlers report, as their callers see it.
import assert from 'node:assert/strict';
import { MODES, packageTests } from '../support/browser.mjs';

const test = await packageTests({ modes: MODES });

test('a job reports its progress, whoever watches and however late', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 2, createWorker: moduleWorker('/own-worker.js') });
    const read = async (progress) => {
      const seen = [];
      for await (const { done, total } of progress) seen.push([done, total]);
      return seen;
    };
    // Inline the page sees nothing while a synchronous handler runs.
    const name = mode === 'inline' ? 'stepsLater' : 'steps';
    const job = pool.run(name, 10);
    const early = read(job.progress);
    const beside = pool.run(name, 7);
    const late = until(() => beside.state === 'running').then(() => read(beside.progress));
    const value = await within(job);
    const seen = { early: await within(early), late: mode === 'threads' ? await within(late) : [] };
    await within(beside);
    const ended = await within(read(job.progress));
    return { value, seen, ended };
  });
  assert.equal(result.value, 10);
  for (const [reports, total] of [[result.seen.early, 10], [result.seen.late, 7]]) {
    if (reports.length === 0) continue;
    assert.ok(reports.every(([done, of], i) => of === total && done >= 1 && done <= total && (i === 0 || done > reports[i - 1][0])), JSON.stringify(reports));
  }
  // Each step takes longer than two looks.
  assert.ok(result.seen.early.length >= 3, JSON.stringify(result.seen.early));
  assert.deepEqual(result.ended, [], 'of a job that has ended there is nothing to come');
});

test('progress is that of its own job, on a worker that ran another before', { modes: ['threads', 'isolated'] }, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js') });
    await pool.run('steps', 3);
    const silent = pool.run('slowFirst', false);
    const seen = [];
    const reading = (async () => {
      for await (const report of silent.progress) seen.push(report);
    })();
    await until(() => silent.state === 'running');
    await new Promise((resolve) => setTimeout(resolve, 100));
    silent.cancel();
    await outcome(silent);
    await within(reading);
    return seen;
  });
  assert.deepEqual(result, []);
});

test('a watcher that leaves does not hold the job up, and cancelling ends the reports', {}, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1, createWorker: moduleWorker('/own-worker.js') });
    const job = pool.run(mode === 'inline' ? 'stepsLater' : 'steps', 1000);
    const end = outcome(job);
    let first;
    for await (const { done } of job.progress) {
      first = done;
      break;
    }
    const reading = (async () => {
      for await (const _ of job.progress);
      return 'ended';
    })();
    job.cancel();
    return { first, reading: await within(reading), end: await end };
  });
  assert.ok(result.first >= 1);
  assert.equal(result.reading, 'ended');
  assert.equal(result.end.error.code, 'ERR_CANCELLED');
});

test('the built-in jobs that take long report theirs', { modes: ['threads', 'isolated'] }, async (page) => {
  const result = await page.evaluate(async () => {
    const pool = await Pool.create({ workers: 1 });
    const bytes = new Uint8Array(48 << 20);
    const packed = await pool.run('gzip', bytes.slice());
    const jobs = {
      simulate: [{ duration: 500 }, 500],
      sha256: [bytes.slice(), bytes.length],
      gzip: [bytes.slice(), bytes.length],
      gunzip: [packed, packed.length],
      mandelbrot: [{ width: 1000, height: 1000, x: 0, y: 0, w: 600, h: 600, centerX: -0.5, centerY: 0, scale: 2.5, maxIterations: 2000 }, 360_000],
    };
    const seen = {};
    for (const [name, [input, total]] of Object.entries(jobs)) {
      const job = pool.run(name, input);
      const reports = (seen[name] = []);
      for await (const report of job.progress) reports.push(report);
      await within(job);
      seen[name] = { reports, total };
    }
    return seen;
  });
  for (const [name, { reports, total }] of Object.entries(result)) {
    assert.ok(reports.length > 0, `${name} reports`);
    for (const [i, report] of reports.entries()) {
      assert.equal(report.total, total, name);
      assert.ok(report.done >= 0 && report.done <= total && (i === 0 || report.done > reports[i - 1].done), `${name}: ${JSON.stringify(reports)}`);
    }
  }
});
