// `prometheus()`: the metrics in Prometheus' text exposition format, version 0.0.4.

import { BREAKER_STATES } from './stats.ts';
import type { BreakerState, PoolStats, TimeStats } from './types.ts';

type Sample = [labels: string, value: number, suffix?: string];

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
  const counter = (name: string, help: string, value: number) => family(`${name}_total`, 'counter', help, [['', value]]);
  const gauge = (name: string, help: string, value: number) => family(name, 'gauge', help, [['', value]]);

  counter('submitted', 'Jobs that were submitted.', stats.submitted);
  counter('accepted', 'Jobs that were accepted.', stats.accepted);
  family('refused_total', 'counter', 'Jobs that were not accepted, by the reason.', [
    ['reason="full"', stats.refusedFull],
    ['reason="rate"', stats.refusedRate],
    ['reason="breaker"', stats.refusedBreaker],
    ['reason="in_flight"', stats.refusedInFlight],
    ['reason="closed"', stats.refusedClosed],
    ['reason="timeout"', stats.refusedTimeout],
    ['reason="abort"', stats.refusedAbort],
    ['reason="input"', stats.refusedInput],
  ]);
  counter('started', 'Attempts that began.', stats.started);
  counter('completed', 'Jobs that gave a result.', stats.completed);
  counter('failed', 'Jobs that failed.', stats.failed);
  counter('timed_out', 'Accepted jobs whose time-out passed.', stats.timedOut);
  counter('cancelled', 'Accepted jobs that were cancelled.', stats.cancelled);
  counter('retried', 'Failed attempts that were followed by another.', stats.retried);
  counter('panicked', 'Jobs that failed by a panic.', stats.panicked);
  counter('stale', 'Results that came after their job had settled.', stats.stale);
  counter('worker_crashes', 'Jobs that were lost because another one took their worker down.', stats.workerCrashes);
  counter('resets', 'Moves to a fresh memory.', stats.resets);
  gauge('waiting', 'Jobs that wait to be accepted.', stats.waiting);
  gauge('queued', 'Jobs that wait in line.', stats.queued);
  gauge('delayed', 'Jobs that wait for the time of their next attempt.', stats.delayed);
  gauge('running', 'Jobs that run.', stats.running);
  gauge('abandoned', 'Settled jobs whose handlers still run.', stats.abandoned);
  gauge('workers', 'Workers.', stats.workers.length);
  gauge('active_workers', 'Workers that run a job.', stats.activeWorkers);
  gauge('limit', 'Most jobs that run at once.', stats.limit);
  gauge('capacity', 'Most jobs that wait in line.', stats.capacity);
  gauge('utilization', 'Share of the workers that run a job.', stats.utilization);
  gauge('memory_bytes', 'Size of the memory.', stats.memoryBytes);
  gauge('buffer_bytes', 'Inputs in memory.', stats.bufferBytes);
  const times = (name: string, help: string, { count, mean, p50, p90, p99, p999 }: TimeStats) => {
    const quantile = (q: number, ms: number): Sample => [`quantile="${q}"`, count === 0 ? NaN : ms / 1000];
    family(`${name}_seconds`, 'summary', help, [
      quantile(0.5, p50), quantile(0.9, p90), quantile(0.99, p99), quantile(0.999, p999),
      ['', count === 0 ? 0 : (mean * count) / 1000, '_sum'],
      ['', count, '_count'],
    ]);
  };
  times('wait', 'Of every attempt, from when it could begin to its start.', stats.wait);
  times('run', 'Of every attempt, from its start to its end.', stats.run);
  times('total', 'Of every job that ran, from its acceptance to its end.', stats.total);
  const states = (now: BreakerState, job = '') => BREAKER_STATES.map(
    (state): Sample => [`${job}state="${state}"`, state === now ? 1 : 0],
  );
  family('breaker_state', 'gauge', '1 for the state of the circuit breaker.', breakers === undefined
    ? states(breaker.state)
    : Object.entries(breakers).flatMap(([job, now]) => states(now, `job="${escape(job)}",`)));
  // Those of one breaker.
  if (breakers === undefined) {
    gauge('breaker_failure_rate', 'Failures among the last calls.', breaker.failureRate);
    gauge('breaker_slow_rate', 'Slow calls among the last ones.', breaker.slowRate);
    counter('breaker_opened', 'How often the breaker opened.', breaker.opened);
    counter('breaker_stale', 'Results that came too late for the breaker.', breaker.stale);
    gauge('breaker_retry_after_seconds', 'How long a call would have to wait.', breaker.retryAfter / 1000);
  }
  return `${lines.join('\n')}\n`;
}

function escape(label: string): string {
  return label.replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n');
}

function text(value: number): string {
  return value === Infinity ? '+Inf' : value === -Infinity ? '-Inf' : String(value);
}
