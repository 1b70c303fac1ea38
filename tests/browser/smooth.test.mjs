// The page stays smooth: 100 MB and a thousand small files are hashed with no long task on the page's thread.
//
// A task is judged by the processor time that it used on the page's thread (from Chromium's trace): its wall time
// also holds whatever else the machine was doing. Wall time and the widest gap of the event loop are reported beside,
// with an idle page as the control.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { packageTests, traced } from '../support/browser.mjs';
import { sample } from '../support/server.mjs';

const test = await packageTests({ only: 'chromium' });
const LONGEST_MS = 50;

test('100 MB and a thousand small files are hashed without a long task', { timeout: 120_000 }, async (page, { diagnostic }) => {
  await page.evaluate(async () => {
    globalThis.pool = await Pool.create({ workers: 2 });
    await pool.run('sha256', 'warm');
    globalThis.large = await fetchBlob(100_000_000, 5);
    const bytes = await fetchBytes(20_000, 6);
    globalThis.small = Array.from({ length: 1000 }, (_, i) => new File([bytes.subarray(0, i * 20)], `${i}.bin`));
    // How long the event loop was away, at the worst, while `work` went on; and what the browser calls a long task.
    globalThis.meter = async (work) => {
      const longTasks = [];
      const observer = new PerformanceObserver((list) => longTasks.push(...list.getEntries().map(({ duration }) => duration)));
      observer.observe({ entryTypes: ['longtask'] });
      const channel = new MessageChannel();
      let [gap, last, over] = [0, performance.now(), false];
      channel.port1.onmessage = () => {
        const now = performance.now();
        gap = Math.max(gap, now - last);
        last = now;
        // Through a timer, so that the meter does not keep the thread busy itself.
        if (!over) setTimeout(() => channel.port2.postMessage(0), 4);
      };
      channel.port2.postMessage(0);
      const value = await work();
      over = true;
      observer.disconnect();
      return { value, gap, longTasks };
    };
  });
  const idle = await traced(page, () => page.evaluate(() => meter(() => new Promise((resolve) => setTimeout(resolve, 1000)))));
  const big = await traced(page, () => page.evaluate(() => meter(() => within(pool.run('sha256', large), 60_000))));
  const many = await traced(page, () => page.evaluate(() =>
    meter(() => within(Promise.all(small.map((file) => pool.run('sha256', file, { whenFull: 'wait' }))), 60_000))));

  for (const [name, { processor, wall, result }] of Object.entries({ idle, '100 MB': big, '1,000 files': many }))
    diagnostic(`${name}: longest task ${processor.toFixed(1)} ms of processor, ${wall.toFixed(1)} ms of wall time; ` +
      `widest gap ${result.gap.toFixed(1)} ms; browser's long tasks: ${result.longTasks.map((ms) => ms.toFixed(0)).join(', ') || 'none'}`);

  const hash = (bytes) => createHash('sha256').update(bytes).digest('hex');
  assert.equal(big.result.value, hash(sample(100_000_000, 5)));
  const bytes = sample(20_000, 6);
  assert.deepEqual(many.result.value, Array.from({ length: 1000 }, (_, i) => hash(bytes.subarray(0, i * 20))));
  const stats = await page.evaluate(() => pool.stats());
  assert.deepEqual([stats.completed, stats.failed, stats.queued, stats.running, stats.waiting], [1002, 0, 0, 0, 0]);
  for (const [name, { processor }] of Object.entries({ '100 MB': big, '1,000 files': many }))
    assert.ok(processor <= LONGEST_MS, `${name}: a task of ${processor} ms on the page's thread`);
});

test('100 MB of bytes in memory go in without a long task', { timeout: 120_000 }, async (page, { diagnostic }) => {
  await page.evaluate(async () => {
    globalThis.pool = await Pool.create({ workers: 1 });
    globalThis.bytes = await fetchBytes(100_000_000, 7);
  });
  const { result, processor, wall } = await traced(page, () => page.evaluate(() => within(pool.run('sha256', bytes), 60_000)));
  diagnostic(`longest task ${processor.toFixed(1)} ms of processor, ${wall.toFixed(1)} ms of wall time`);
  assert.equal(result, createHash('sha256').update(sample(100_000_000, 7)).digest('hex'));
  assert.ok(processor <= LONGEST_MS, `a task of ${processor} ms on the page's thread`);
});
