import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  backlogSize, closeSettings, forMode, iterable, jobSettings, mapSettings, poolSettings, workerRange,
} from '../options.ts';
import type { PoolOptions, RunOptions } from '../types.ts';

const pool: [unknown, 'TypeError' | 'RangeError'][] = [
  [null, 'TypeError'],
  [[], 'TypeError'],
  ['threads', 'TypeError'],
  [{ retry: 3 }, 'TypeError'],
  [{ retry: { times: 3 } }, 'TypeError'],
  [{ retry: { attempts: 0 } }, 'RangeError'],
  [{ retry: { attempts: 256 } }, 'RangeError'],
  [{ retry: { backoff: -1 } }, 'RangeError'],
  [{ retry: { backoff: 20, maxBackoff: 10 } }, 'RangeError'],
  [{ retry: { maxBackoff: 3_600_001 } }, 'RangeError'],
  [{ retry: { timeouts: 1 } }, 'TypeError'],
  [{ retry: { budget: 0 } }, 'RangeError'],
  [{ pool: true }, 'TypeError'],
  [{ handlers: {} }, 'TypeError'],
  [{ mode: 1 }, 'TypeError'],
  [{ mode: 'thread' }, 'RangeError'],
  [{ workers: '4' }, 'TypeError'],
  [{ workers: null }, 'TypeError'],
  [{ workers: [1, 2] }, 'TypeError'],
  [{ workers: { min: 1 } }, 'TypeError'],
  [{ workers: { max: 2 } }, 'TypeError'],
  [{ workers: { min: 0, max: 2 } }, 'RangeError'],
  [{ workers: { min: 3, max: 2 } }, 'RangeError'],
  [{ workers: { min: 1, max: 65 } }, 'RangeError'],
  [{ workers: { min: 1, max: 2, idleTimeout: 0 } }, 'RangeError'],
  [{ workers: { min: 1, max: 2, idle: 5 } }, 'TypeError'],
  [{ workers: 0 }, 'RangeError'],
  [{ workers: 65 }, 'RangeError'],
  [{ workers: 1.5 }, 'RangeError'],
  [{ workers: NaN }, 'RangeError'],
  [{ queue: 5 }, 'TypeError'],
  [{ queue: { order: 'lifo' } }, 'RangeError'],
  [{ queue: { horizon: 1000 } }, 'TypeError'],
  [{ queue: { order: 'deadline', horizon: 0 } }, 'RangeError'],
  [{ breaker: { countSubmitTimeouts: 1 } }, 'TypeError'],
  [{ queue: { capacity: 0 } }, 'RangeError'],
  [{ queue: { capacity: 4033 } }, 'RangeError'],
  [{ queue: { whenFull: 'drop' } }, 'RangeError'],
  [{ queue: { maxWaiting: -1 } }, 'RangeError'],
  [{ queue: { ageing: true } }, 'TypeError'],
  [{ queue: { ageing: 0 } }, 'RangeError'],
  [{ maxInFlight: 0 }, 'RangeError'],
  [{ rateLimit: { interval: 1 } }, 'TypeError'],
  [{ rateLimit: { limit: 1 } }, 'TypeError'],
  [{ rateLimit: { limit: 1, interval: 0 } }, 'RangeError'],
  [{ rateLimit: { limit: 10_001, interval: 1 } }, 'RangeError'],
  [{ breaker: 'on' }, 'TypeError'],
  [{ breaker: { per: 'worker' } }, 'RangeError'],
  [{ breaker: { per: 1 } }, 'TypeError'],
  [{ adaptive: 5 }, 'TypeError'],
  [{ adaptive: { limit: 5 } }, 'TypeError'],
  [{ adaptive: { target: 0 } }, 'RangeError'],
  [{ adaptive: { target: 50, window: 49 } }, 'RangeError'],
  [{ adaptive: { window: 86_400_001 } }, 'RangeError'],
  [{ adaptive: { min: 0 } }, 'RangeError'],
  [{ breaker: { failureRate: 101 } }, 'RangeError'],
  [{ breaker: { window: 41 } }, 'RangeError'],
  [{ breaker: { window: 5, minimumCalls: 6 } }, 'RangeError'],
  [{ breaker: { slowRate: 50 } }, 'TypeError'],
  [{ breaker: { pause: 100, maxPause: 50 } }, 'RangeError'],
  [{ timeout: 0 }, 'RangeError'],
  [{ timeout: -1 }, 'RangeError'],
  [{ timeout: NaN }, 'RangeError'],
  [{ timeout: 2 ** 31 }, 'RangeError'],
  [{ killAfter: '1s' }, 'TypeError'],
  [{ createWorker: './worker.js' }, 'TypeError'],
  [{ createWorker: () => {}, workerUrl: 'http://a/w.js' }, 'TypeError'],
  [{ jobs: 'http://a/jobs.js' }, 'TypeError'],
  [{ jobs: [1] }, 'TypeError'],
  [{ wasmUrl: 'http://' }, 'TypeError'],
  [{ startupTimeout: 0 }, 'RangeError'],
];

test('wrong pool options are refused by kind', () => {
  for (const [options, name] of pool) {
    assert.throws(() => poolSettings(options as never), { name }, JSON.stringify(options));
  }
});

test('wrong job options are refused by kind', () => {
  const settings = poolSettings({ workers: 1 });
  const bad: [unknown, 'TypeError' | 'RangeError'][] = [
    [null, 'TypeError'],
    [{ retry: 3 }, 'TypeError'],
    [{ retry: { budget: 20 } }, 'TypeError'],
    [{ priority: 2 }, 'TypeError'],
    [{ priority: 'urgent' }, 'RangeError'],
    [{ signal: {} }, 'TypeError'],
    [{ timeout: '5' }, 'TypeError'],
    [{ timeout: 0 }, 'RangeError'],
    [{ queueTimeout: -5 }, 'RangeError'],
    [{ totalTimeout: NaN }, 'RangeError'],
    [{ whenFull: 'block' }, 'RangeError'],
    [{ submitTimeout: 0 }, 'RangeError'],
  ];
  for (const [options, name] of bad) {
    assert.throws(() => jobSettings(options as never, settings, true), { name }, JSON.stringify(options));
  }
  assert.throws(() => jobSettings({ whenFull: 'wait' }, settings, false), { name: 'TypeError' });
  assert.throws(() => closeSettings({ mode: 'now' as never }), { name: 'RangeError' });
  assert.equal(closeSettings({ deadline: 0 }).deadline, 0);
});

test('wrong options of map, sizeBelow and resize are refused by kind', () => {
  const settings = forMode(poolSettings({ workers: 3, concurrency: 4, queue: { capacity: 4000 } }), { mode: 'isolated', reason: '' });
  const bad: [() => unknown, 'TypeError' | 'RangeError'][] = [
    [() => mapSettings(null as never, settings), 'TypeError'],
    [() => mapSettings({ ordered: 'no' as never }, settings), 'TypeError'],
    [() => mapSettings({ concurrency: 0 }, settings), 'RangeError'],
    [() => mapSettings({ concurrency: 1.5 }, settings), 'RangeError'],
    [() => mapSettings({ chunkSize: 0 }, settings), 'RangeError'],
    [() => mapSettings({ whenFull: 'reject' } as never, settings), 'TypeError'],
    [() => mapSettings({ timeout: -1 }, settings), 'RangeError'],
    [() => iterable(5), 'TypeError'],
    [() => iterable(undefined), 'TypeError'],
    [() => backlogSize(undefined), 'TypeError'],
    [() => backlogSize(0), 'RangeError'],
    [() => workerRange(undefined, settings), 'TypeError'],
    [() => workerRange('2', settings), 'TypeError'],
    [() => workerRange(0, settings), 'RangeError'],
    [() => workerRange({ min: 2 }, settings), 'TypeError'],
    [() => workerRange({ min: 2, max: 1 }, settings), 'RangeError'],
    // 25 workers with 4 jobs each do not fit beside a queue of 4000.
    [() => workerRange(25, settings), 'RangeError'],
  ];
  for (const [call, name] of bad) assert.throws(call, { name }, String(call));
  assert.deepEqual(workerRange(24, settings), { min: 24, max: 24, idleTimeout: 30_000 });
  assert.equal(mapSettings({}, settings).concurrency, 24);
  assert.equal(mapSettings({}, { ...settings, capacity: 2 }).concurrency, 14);
  assert.equal(mapSettings({ chunkSize: 10 }, settings).concurrency, 240);
  assert.deepEqual(workerRange({ min: 2, max: 5 }, { ...settings, mode: 'inline' }), { min: 1, max: 1, idleTimeout: 30_000 });
});

test('defaults are those of the documentation', () => {
  const settings = poolSettings({ workers: 3, breaker: true, rateLimit: { limit: 10, interval: 1000 } });
  assert.equal(settings.capacity, 1024);
  assert.equal(settings.maxWaiting, 1024);
  assert.equal(settings.timeout, Infinity);
  assert.deepEqual(
    [...settings.config],
    [
      1024, 1, 3, 1e6, -1, 10, 1e6, 10, 1, 5, 50, 20, 10, -1, -1, 10e6, 60e6, 3, 30e6,
      -1, 0, 0, 0, 0, 0, 0, 0, 20, 10, 0, -1, 0, 0,
    ],
  );
  const some = poolSettings({ workers: 3, breaker: { per: 'job' }, adaptive: { target: 2500, min: 2 } });
  assert.deepEqual([...some.config.slice(29)], [1, 2.5e6, 2.5e6, 2]);
  assert.deepEqual([...poolSettings({ workers: 3, adaptive: true }).config.slice(29)], [0, 1e6, 1e6, 1]);
  // The classic pool's breaker pauses for longer than the default maximum.
  assert.equal(poolSettings({ workers: 1, breaker: { pause: 300_000 } }).config[16], 300e6);
});

test('retries: off, the defaults, and a job that changes a part of the pool\'s', () => {
  const terms = (pool: PoolOptions, job: RunOptions) => jobSettings(job, poolSettings({ workers: 1, ...pool }), true);
  assert.equal(terms({}, {}).terms, 1);
  assert.equal(terms({ retry: true }, { retry: false }).terms, 1);
  assert.equal(terms({ retry: true }, { priority: 'low' }).terms, (3 << 8) | (1 << 2));
  assert.equal(terms({ retry: true }, { retry: true }).terms, (3 << 8) | (1 << 2) | 1);
  const own = terms({ retry: { attempts: 5, panics: true, maxBackoff: 50 } }, { retry: { timeouts: true, maxBackoff: 70 } });
  assert.equal(own.terms, (5 << 8) | (1 << 5) | (1 << 4) | (2 << 2) | 1);
  assert.deepEqual([own.backoff, own.maxBackoff], [50, 70]);
  const { config } = poolSettings({ workers: 1, retry: { budget: 50, backoff: 30_000 } });
  assert.deepEqual([...config.slice(21, 29)], [1, 3, 30e6, 30e6, 0, 0, 50, 10]);
});
