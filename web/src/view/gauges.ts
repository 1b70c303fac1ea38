/** The live view: gauges, workers, times and counters, read from the pool ten times a second. */
import type { PoolStats } from 'weirpool';
import { byId, element, schedule, setText } from '../dom';
import { count, ms } from '../format';
import type { Host } from '../pool';
import { BreakerView } from './breaker';
import { Chart } from './chart';

const EVERY = 100;

type Counter = { [K in keyof PoolStats]-?: PoolStats[K] extends number ? K : never }[keyof PoolStats];

const COUNTERS: readonly (readonly [Counter, string, 'good' | 'bad' | 'plain'])[] = [
  ['submitted', 'submitted', 'plain'],
  ['accepted', 'accepted', 'plain'],
  ['completed', 'completed', 'good'],
  ['failed', 'failed', 'bad'],
  ['panicked', 'panicked', 'bad'],
  ['timedOut', 'timed out', 'bad'],
  ['cancelled', 'cancelled', 'plain'],
  ['refusedFull', 'refused: full', 'bad'],
  ['refusedRate', 'refused: rate', 'bad'],
  ['refusedBreaker', 'refused: breaker', 'bad'],
  ['refusedInFlight', 'refused: in flight', 'bad'],
  ['refusedClosed', 'refused: closed', 'bad'],
  ['refusedTimeout', 'refused: time-out', 'bad'],
  ['refusedAbort', 'refused: aborted', 'plain'],
  ['refusedInput', 'refused: input', 'bad'],
  ['stale', 'stale', 'plain'],
  ['workerCrashes', 'worker crashes', 'bad'],
  ['resets', 'resets', 'bad'],
];

/** The colour of a worker, far from its neighbours' whatever their number. */
export function workerColour(worker: number): string {
  return `hsl(${Math.round((190 + worker * 137.5) % 360)} 70% 50%)`;
}

export function setUpGauges(host: Host): void {
  const gauges = new Gauges(host);
  let next = 0;
  let due = false;
  const step = (): boolean => {
    due = false;
    if (host.pool !== undefined) gauges.show(host.pool.stats(), performance.now());
    return false;
  };
  // Frames stop in a hidden tab, and so does this.
  const tick = (now: number): void => {
    if (now >= next && !due) {
      next = now + EVERY;
      due = true;
      schedule(step);
    }
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

class Gauges {
  readonly #breaker: BreakerView;
  readonly #depth = new Chart('chart-depth', '');
  readonly #throughput = new Chart('chart-throughput', ' per second');
  readonly #counters = new Map<Counter, HTMLElement>();
  readonly #workers = byId('workers', HTMLElement);
  readonly #tank = byId('gauge-queued', HTMLElement).parentElement as HTMLElement;
  readonly #calm = matchMedia('(prefers-reduced-motion: reduce)');
  #settled: { at: number; jobs: number }[] = [];
  #drawn = 0;

  constructor(host: Host) {
    this.#breaker = new BreakerView(host);
    const list = byId('counters', HTMLElement);
    for (const [name, label, kind] of COUNTERS) {
      const value = element('dd', { id: `counter-${name}` }, '0');
      list.append(element('div', { class: kind }, element('dt', {}, label), value));
      this.#counters.set(name, value);
    }
    host.onChange((change) => {
      if (change.is !== 'opened') return;
      this.#settled = [];
      this.#depth.clear();
      this.#throughput.clear();
      this.#workers.replaceChildren();
      this.show(change.pool.stats(), performance.now());
    });
  }

  show(stats: PoolStats, now: number): void {
    const settled = stats.completed + stats.failed + stats.timedOut + stats.cancelled;
    const rate = this.#rate(now, settled);
    gauge('waiting', stats.waiting);
    gauge('queued', stats.queued);
    gauge('capacity', stats.capacity);
    gauge('running', stats.running);
    gauge('workers', stats.workers.length);
    setText(byId('gauge-workers-noun', HTMLElement), stats.workers.length === 1 ? 'worker' : 'workers');
    gauge('settled', settled);
    gauge('rate', Math.round(rate));
    const level = stats.capacity > 0 ? Math.min(1, stats.queued / stats.capacity) : 0;
    this.#tank.style.setProperty('--level', `${Math.round(level * 100)}%`);
    for (const name of ['wait', 'run', 'total'] as const) {
      const { p50, p99, max } = stats[name];
      setText(byId(`${name}-p50`, HTMLElement), ms(p50));
      setText(byId(`${name}-p99`, HTMLElement), ms(p99));
      setText(byId(`${name}-max`, HTMLElement), ms(max));
    }
    for (const [name, value] of this.#counters) {
      setText(value, count(stats[name]));
      value.parentElement?.toggleAttribute('data-zero', stats[name] === 0);
    }
    this.#showWorkers(stats);
    this.#breaker.show(stats.breaker);
    this.#depth.add(now, stats.queued + stats.waiting);
    this.#throughput.add(now, rate);
    // Whoever wants less motion gets a new picture every two seconds.
    if (now - this.#drawn < (this.#calm.matches ? 2000 : 0)) return;
    this.#drawn = now;
    this.#depth.draw(now);
    this.#throughput.draw(now);
  }

  /** Jobs settled a second, over the last second. */
  #rate(now: number, jobs: number): number {
    this.#settled.push({ at: now, jobs });
    while ((this.#settled[1]?.at ?? now) < now - 1000) this.#settled.shift();
    const first = this.#settled[0];
    if (first === undefined || now - first.at < 50) return 0;
    return ((jobs - first.jobs) * 1000) / (now - first.at);
  }

  #showWorkers({ workers }: PoolStats): void {
    while (this.#workers.childElementCount > workers.length) this.#workers.lastElementChild?.remove();
    for (const [index, { id, state, job }] of workers.entries()) {
      const line = this.#workers.children[index] ?? this.#workers.appendChild(workerLine(id));
      if (!(line instanceof HTMLElement)) continue;
      line.dataset['state'] = state;
      setText(line, job === undefined ? `${id} ${state}` : `${id} job ${job}`);
    }
  }
}

function gauge(name: string, value: number): void {
  setText(byId(`gauge-${name}`, HTMLElement), count(value));
}

function workerLine(id: number): HTMLElement {
  const line = element('li', { 'data-worker': String(id) });
  line.style.setProperty('--worker', workerColour(id));
  return line;
}
