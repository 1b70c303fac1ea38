// `prometheus()`: the metrics in Prometheus' text exposition format, version 0.0.4.

import { BREAKER_STATES, numberOf, REFUSALS } from './stats.ts';
import type { BreakerState, PoolStats, TimeStats } from './types.ts';

type Sample = [labels: string, value: number, suffix?: string];

const COUNTERS = {
  submitted: 'Jobs that were submitted.',
  accepted: 'Jobs that were accepted.',
  started: 'Attempts that began.',
  completed: 'Jobs that gave a result.',
  failed: 'Jobs that failed.',
  timed_out: 'Accepted jobs whose time-out passed.',
  cancelled: 'Accepted jobs that were cancelled.',
  retried: 'Failed attempts that were followed by another.',
  panicked: 'Jobs that failed by a panic.',
  stale: 'Results that came after their job had settled.',
  worker_crashes: 'Jobs that were lost because another one took their worker down.',
  resets: 'Moves to a fresh memory.',
};
const GAUGES = {
  waiting: 'Jobs that wait to be accepted.',
  queued: 'Jobs that wait in line.',
  delayed: 'Jobs that wait for the time of their next attempt.',
  running: 'Jobs that run.',
  abandoned: 'Settled jobs whose handlers still run.',
  workers: 'Workers.',
  active_workers: 'Workers that run a job.',
  limit: 'Most jobs that run at once.',
  capacity: 'Most jobs that wait in line.',
  utilization: 'Share of the workers that run a job.',
  memory_bytes: 'Size of the memory.',
  buffer_bytes: 'Inputs in memory.',
};
const BREAKER_GAUGES = { failure_rate: 'Failures among the last calls.', slow_rate: 'Slow calls among the last ones.' };
const BREAKER_COUNTERS = { opened: 'How often the breaker opened.', stale: 'Results that came too late for the breaker.' };

/** The metrics as text for Prometheus. Counts are of the pool's life, times in seconds. */
export function expose(stats: PoolStats): string {
  const { breaker, breakers } = stats;
  const lines: string[] = [];
  const family = (name: string, type: string, help: string, samples: Sample[]) => {
    lines.push(`# HELP weirpool_${name} ${help}`, `# TYPE weirpool_${name} ${type}`);
    for (const [labels, value, suffix = ''] of samples) {
      lines.push(`weirpool_${name}${suffix}${labels === '' ? '' : `{${labels}}`} ${text(value)}`);
    }
  };
  const single = (type: string, names: Readonly<Record<string, string>>, values: object, group = '') => {
    for (const [name, help] of Object.entries(names)) {
      family(group + name + (type === 'counter' ? '_total' : ''), type, help, [['', numberOf(values, name)]]);
    }
  };
  const all = { ...stats, workers: stats.workers.length };

  family('refused_total', 'counter', 'Jobs that were not accepted, by the reason.', REFUSALS.map(
    (reason): Sample => [`reason="${reason}"`, numberOf(stats, `refused_${reason}`)],
  ));
  single('counter', COUNTERS, all);
  single('gauge', GAUGES, all);
  const times = (name: string, help: string, { count, mean, p50, p90, p99, p999 }: TimeStats) => {
    const quantile = (q: number, ms: number): Sample => [`quantile="${q}"`, count === 0 ? NaN : ms / 1000];
    family(`${name}_seconds`, 'summary', help, [
      quantile(0.5, p50), quantile(0.9, p90), quantile(0.99, p99), quantile(0.999, p999),
      ['', count === 0 ? 0 : (mean * count) / 1000, '_sum'],
      ['', count, '_count'],
    ]);
  };
  times('wait', 'Of every attempt, from when it could begin to its start.', stats.wait);
  times('run', 'Of every attempt whose job was not cancelled, from its start to its end.', stats.run);
  times('total', 'Of every job that ran and was not cancelled, from its acceptance to its end.', stats.total);
  const states = (now: BreakerState, job = '') => BREAKER_STATES.map(
    (state): Sample => [`${job}state="${state}"`, state === now ? 1 : 0],
  );
  family('breaker_state', 'gauge', '1 for the state of the circuit breaker.', breakers === undefined
    ? states(breaker.state)
    : Object.entries(breakers).flatMap(([job, now]) => states(now, `job="${escape(job)}",`)));
  // Those of one breaker.
  if (breakers === undefined) {
    single('gauge', BREAKER_GAUGES, breaker, 'breaker_');
    single('counter', BREAKER_COUNTERS, breaker, 'breaker_');
    family('breaker_retry_after_seconds', 'gauge', 'How long a call would have to wait.', [['', breaker.retryAfter / 1000]]);
  }
  return `${lines.join('\n')}\n`;
}

function escape(label: string): string {
  return label.replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n');
}

function text(value: number): string {
  return value === Infinity ? '+Inf' : value === -Infinity ? '-Inf' : String(value);
}
