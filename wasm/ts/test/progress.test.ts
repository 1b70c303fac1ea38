import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readProgress, Watch, writeProgress, type Progress } from '../progress.ts';
import { WorkerEntry } from '../record.ts';

const at = (done: number): Progress => ({ done, total: 10 });

test('a slow reader gets the latest report, and the end with the job', async () => {
  const watch = new Watch(undefined);
  const seen: number[] = [];
  const reading = (async () => {
    for await (const { done } of watch) seen.push(done);
  })();
  watch.report(at(1));
  watch.report(at(2));
  await new Promise((resolve) => setTimeout(resolve));
  watch.report(at(3));
  watch.end();
  await reading;
  assert.deepEqual(seen, [2, 3]);
  // Whoever comes late still sees how far it came.
  const late = watch[Symbol.asyncIterator]();
  assert.deepEqual(await late.next(), { done: false, value: at(3) });
  assert.deepEqual(await late.next(), { done: true, value: undefined });
});

test('several readers, and one that leaves while it waits', async () => {
  const watch = new Watch(undefined);
  const [one, other] = [watch[Symbol.asyncIterator](), watch[Symbol.asyncIterator]()];
  const [first, second] = [one.next(), other.next()];
  await other.return!();
  assert.deepEqual(await second, { done: true, value: undefined });
  watch.report(at(4));
  assert.deepEqual(await first, { done: false, value: at(4) });
});

test('shared memory is looked at while somebody waits, and then no more', async () => {
  let looks = 0;
  const watch = new Watch(() => {
    looks++;
    return looks < 3 ? undefined : at(looks);
  });
  const reader = watch[Symbol.asyncIterator]();
  assert.deepEqual(await reader.next(), { done: false, value: at(3) });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(looks, 3);
  watch.end();
});

test('a report is that of the present job, and whole', () => {
  const i32 = new Int32Array(new SharedArrayBuffer(80));
  const worker = 4;
  assert.equal(readProgress(i32, worker), undefined);
  writeProgress(i32, worker, 2 ** 53 - 1, 1e300);
  assert.deepEqual(readProgress(i32, worker), { done: 2 ** 53 - 1, total: 1e300 });
  i32[worker + WorkerEntry.PROGRESS]! += 1;
  assert.equal(readProgress(i32, worker), undefined, 'while it is written');
  i32[worker + WorkerEntry.PROGRESS]! += 1;
  i32[worker + WorkerEntry.DONE]! += 1;
  assert.equal(readProgress(i32, worker), undefined, 'of the job before');
});
