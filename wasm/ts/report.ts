// `report()`: the metrics as a table for people.

import { numberOf, REFUSALS } from './stats.ts';
import type { PoolStats, TimeStats } from './types.ts';

/** The metrics as text, one topic a line. */
export function format(stats: PoolStats): string {
  const refused = REFUSALS.map((reason) => ({ reason, count: numberOf(stats, `refused_${reason}`) }));
  const some = refused.filter(({ count }) => count > 0).map(({ reason, count }) => `${reason.replace('_', ' ')} ${count}`);
  const sum = refused.reduce((total, { count }) => total + count, 0);
  const rows: [string, string][] = [
    ['mode', stats.mode],
    ['submitted', `${stats.submitted} (accepted ${stats.accepted}, waiting ${stats.waiting})`],
    ['refused', sum === 0 ? '0' : `${sum} (${some.join(', ')})`],
    ['completed', `${stats.completed}`],
    ['failed', `${stats.failed} (panicked ${stats.panicked}, lost to crashes ${stats.workerCrashes})`],
    ['timed out', `${stats.timedOut}`],
    ['cancelled', `${stats.cancelled}`],
    ['retried', `${stats.retried}`],
    ['queued', `${stats.queued} of ${stats.capacity} (delayed ${stats.delayed})`],
    ['running', `${stats.running} of ${stats.limit} (abandoned ${stats.abandoned})`],
    ['workers', `${stats.activeWorkers} of ${stats.workers.length} active`],
    ...(stats.breakers === undefined
      ? [['breaker', stats.breaker.state === 'disabled' ? 'disabled' : `${stats.breaker.state} (opened ${stats.breaker.opened}×)`] as [string, string]]
      : Object.entries(stats.breakers).map(([job, state]): [string, string] => [`breaker of ${job}`, state])),
    ['resets', `${stats.resets}`],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = rows.map(([name, text]) => `${name.padEnd(width)}  ${text}`);
  const columns = ['mean', 'p50', 'p90', 'p99', 'max'] as const;
  lines.push('', ['times in ms'.padEnd(11), ...columns.map((name) => name.padStart(10))].join(''));
  for (const name of ['wait', 'run', 'total'] as const) {
    const times: TimeStats = stats[name];
    lines.push([name.padEnd(11), ...columns.map((column) => number(times[column]).padStart(10))].join(''));
  }
  return lines.join('\n');
}

function number(ms: number): string {
  return Number.isFinite(ms) ? ms.toFixed(ms < 10 ? 3 : 1) : '-';
}
