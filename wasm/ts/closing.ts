// Closing a pool: lets its jobs end as asked, then its workers leave, all before a deadline.

import type { Engine } from './engine.ts';
import { PoolError } from './errors.ts';
import { hold, release } from './node.ts';
import type { Task } from './job.ts';
import type { CloseOptions, CloseReport, WorkerStats } from './types.ts';

/** How a pool may close, the stricter the later. */
const MODES = ['drain', 'cancel-queued', 'abort'] as const;

export class Closing {
  readonly report: Promise<CloseReport>;
  readonly #engine: Engine;
  #mode = -1;
  #aborted = 0;
  /** When the deadline is, in ms on the page's clock. */
  #end = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #alarm!: () => void;
  readonly #late = new Promise<void>((resolve) => (this.#alarm = resolve));

  /** `last` is called with the workers that it had, when all is counted and nothing is freed yet. */
  constructor(engine: Engine, options: Required<CloseOptions>, last: (workers: WorkerStats[]) => void) {
    this.#engine = engine;
    hold();
    engine.closed ??= new PoolError('ERR_POOL_CLOSED', 'the pool is closed');
    engine.staff.end(engine.closed);
    this.report = this.#close(options, last);
  }

  /** Goes on in a stricter mode, or to an earlier deadline. */
  hurry({ mode, deadline }: Required<CloseOptions>): void {
    const rank = MODES.indexOf(mode);
    if (rank > this.#mode) {
      this.#mode = rank;
      this.#begin(mode);
    }
    const end = performance.now() + deadline;
    if (end >= this.#end) return;
    this.#end = end;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#alarm, deadline);
  }

  #begin(mode: (typeof MODES)[number]): void {
    const engine = this.#engine;
    if (mode === 'abort') this.#aborted += engine.settlement.endAll(cutOff);
    else if (mode === 'cancel-queued') {
      this.#aborted += engine.settlement.endQueued(cutOff);
      engine.afterDelay = (task) => {
        if (engine.settlement.cancel(task, cutOff(task))) this.#aborted++;
      };
    }
    // Whoever still waits for room was never accepted: a drain is of accepted jobs.
    else engine.admission.endWaiting(cutOff, true);
  }

  async #close(options: Required<CloseOptions>, last: (workers: WorkerStats[]) => void): Promise<CloseReport> {
    const engine = this.#engine;
    const began = performance.now();
    const wasOpen = engine.open;
    this.hurry(options);
    // Jobs that wait would never end in a paused pool.
    if (engine.paused && engine.open > 0 && !engine.instance.broken) engine.setPaused(false);
    await Promise.race([engine.settlement.idle(), this.#late]);
    if (engine.open > 0) this.#aborted += engine.settlement.endAll(cutOff);
    const workers = engine.executor.workers();
    engine.stop();
    await Promise.race([engine.executor.leave(), this.#late]);
    clearTimeout(this.#timer);
    engine.executor.drain();
    const terminated = engine.executor.size;
    last(workers);
    engine.dispose();
    release();
    const mode = MODES[this.#mode]!;
    // Nothing can be hurried any more.
    this.#mode = MODES.length;
    this.#end = 0;
    const report = {
      mode,
      clean: terminated === 0 && (mode !== 'drain' || this.#aborted === 0),
      finished: wasOpen - this.#aborted,
      aborted: this.#aborted,
      terminated,
      duration: performance.now() - began,
    };
    engine.emit('close', () => report);
    return report;
  }
}

function cutOff(task: Task): PoolError {
  return new PoolError('ERR_POOL_CLOSED', `the pool was closed before job ${task.id} (${task.name}) ended`, { jobId: task.id });
}
