// A pool's metrics: the numbers of wasm with the page's share, under their public names.

import type { Engine } from './engine.ts';
import type { BreakerState, PoolStats } from './types.ts';

/** By the numbers of the core's `breaker::State`. */
export const BREAKER_STATES: readonly BreakerState[] = ['closed', 'open', 'half-open', 'forced-open', 'disabled'];

/** Why jobs are refused: `refused_full` and so on. */
export const REFUSALS = ['full', 'rate', 'breaker', 'in_flight', 'closed', 'timeout', 'abort', 'input'] as const;

/** The metrics of an open pool. */
export function collect(engine: Engine): PoolStats {
  const { settings, instance, corrections } = engine;
  const { stats, times, breaker } = sort(engine.snapshot());
  for (const [name, more] of Object.entries(corrections)) stats[name] = (stats[name] ?? 0) + more;
  const workers = engine.executor.workers();
  const waiting = engine.admission.waiting;
  stats['submitted'] = stats['submitted']! + waiting;
  return {
    capacity: settings.capacity,
    ...stats,
    ...times,
    mode: settings.mode,
    waiting,
    activeWorkers: workers.filter((worker) => worker.state === 'busy').length,
    utilization: workers.filter((worker) => worker.state === 'busy').length / Math.max(workers.length, 1),
    memoryBytes: instance.memory.buffer.byteLength,
    bufferBytes: instance.held,
    breaker: { ...breaker, state: BREAKER_STATES[breaker['state']!]! },
    ...(settings.breakerPerJob ? { breakers: engine.breakers() } : {}),
    workers,
  } as unknown as PoolStats;
}

/** The number that is called `snake_case` in metrics. */
export function numberOf(stats: object, name: string): number {
  return (stats as Record<string, number>)[camelCase(name)]!;
}

/** Sorts wasm's flat names: `wait_p50` to the times, `breaker_state` to the breaker; µs become ms. */
export function sort(numbers: ReadonlyMap<string, number>): {
  stats: Record<string, number>;
  times: Record<string, Record<string, number>>;
  breaker: Record<string, number>;
} {
  const stats: Record<string, number> = {};
  const times: Record<string, Record<string, number>> = { wait: {}, run: {}, total: {} };
  const breaker: Record<string, number> = {};
  for (const [name, value] of numbers) {
    const [, group, rest] = /^(wait|run|total|breaker)_(.+)$/.exec(name) ?? [];
    if (group === undefined) stats[camelCase(name)] = value;
    else if (group === 'breaker') breaker[camelCase(rest!)] = rest === 'retry_after' ? value / 1000 : value;
    else times[group]![rest!] = rest === 'count' ? value : value / 1000;
  }
  return { stats, times, breaker };
}

function camelCase(name: string): string {
  return name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}
