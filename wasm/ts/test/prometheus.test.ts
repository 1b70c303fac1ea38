import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expose } from '../prometheus.ts';
import type { PoolStats } from '../types.ts';

const times = { count: 4, mean: 250, p50: 200, p90: 400, p99: 401, p999: 402, max: 403 };
const stats = {
  mode: 'threads', submitted: 12, accepted: 9, refusedFull: 2, refusedRate: 1, refusedBreaker: 0, refusedInFlight: 0,
  refusedClosed: 0, refusedTimeout: 0, refusedAbort: 0, refusedInput: 0, started: 8, completed: 3, failed: 1, timedOut: 0,
  cancelled: 0, retried: 5, panicked: 0, stale: 0, workerCrashes: 0, resets: 0, waiting: 0, queued: 1, delayed: 2, running: 2,
  abandoned: 0, activeWorkers: 2, limit: 4, capacity: 1024, utilization: 0.5, memoryBytes: 2 ** 24, bufferBytes: 77,
  wait: { ...times, count: 0, mean: 0 }, run: times, total: times,
  breaker: { state: 'half-open', generation: 3, failureRate: 0.25, slowRate: 0, opened: 1, stale: 2, retryAfter: 1500 },
  workers: Array.from({ length: 4 }, (_, id) => ({ id, state: 'idle', jobsDone: 0 })),
} satisfies PoolStats as PoolStats;

interface Family {
  type: string;
  samples: Map<string, number>;
}

/** Reads the text format, version 0.0.4, and takes nothing that is not allowed there. */
function parse(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  let help = '';
  let current: Family | undefined;
  let name = '';
  assert.ok(text.endsWith('\n'), 'the last line ends');
  for (const line of text.slice(0, -1).split('\n')) {
    const [, helped] = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) \S.*$/.exec(line) ?? [];
    if (helped !== undefined) {
      assert.ok(!families.has(helped), `${helped} comes once`);
      help = helped;
      continue;
    }
    const [, typed, type] = /^# TYPE (\S+) (counter|gauge|histogram|summary|untyped)$/.exec(line) ?? [];
    if (typed !== undefined) {
      assert.equal(typed, help, 'after its HELP');
      name = typed;
      current = { type: type!, samples: new Map() };
      families.set(name, current);
      continue;
    }
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*"\})? (NaN|[+-]Inf|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/.exec(line);
    assert.ok(sample !== null && current !== undefined, line);
    const [, full, labels = '', value] = sample;
    const suffix = full!.slice(name.length);
    assert.ok(full!.startsWith(name) && (suffix === '' || (current.type === 'summary' && /^_(sum|count)$/.test(suffix))), line);
    if (current.type === 'counter') assert.match(name, /_total$/);
    if (current.type === 'summary' && suffix === '') assert.match(labels, /^\{quantile="0\.\d+"\}$/);
    assert.ok(!current.samples.has(suffix + labels), `${line}: once`);
    current.samples.set(suffix + labels, Number(value!.replace('Inf', 'Infinity')));
  }
  return families;
}

test('the text is that of the format, with times in seconds', () => {
  const families = parse(expose(stats));
  const value = (name: string, sample = '') => families.get(`weirpool_${name}`)?.samples.get(sample);
  assert.equal(value('submitted_total'), 12);
  assert.equal(value('refused_total', '{reason="full"}'), 2);
  assert.equal(value('retried_total'), 5);
  assert.equal(value('delayed'), 2);
  assert.equal(value('workers'), 4);
  assert.equal(families.get('weirpool_run_seconds')?.type, 'summary');
  assert.equal(value('run_seconds', '{quantile="0.9"}'), 0.4);
  assert.equal(value('run_seconds', '_sum'), 1);
  assert.equal(value('run_seconds', '_count'), 4);
  assert.ok(Number.isNaN(value('wait_seconds', '{quantile="0.5"}')), 'no quantile of nothing');
  assert.equal(value('wait_seconds', '_sum'), 0);
  assert.equal(value('breaker_state', '{state="half-open"}'), 1);
  assert.equal(value('breaker_state', '{state="closed"}'), 0);
  assert.equal(value('breaker_retry_after_seconds'), 1.5);
});

test('every number of the metrics is there', () => {
  const names = [...parse(expose(stats)).keys()].map((name) => name.slice('weirpool_'.length).replace(/_(total|seconds)$/, ''));
  const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  for (const name of Object.keys(stats)) {
    if (name === 'mode') continue;
    const wanted = /^refused/.test(name) ? 'refused' : name === 'breaker' ? 'breaker_state' : snake(name);
    assert.ok(names.includes(wanted), name);
  }
});
