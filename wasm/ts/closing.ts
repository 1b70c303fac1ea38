// Closing a pool: lets its jobs end as asked, then its workers leave, all before a deadline.

import { before } from './deadline.ts';
import type { Engine } from './engine.ts';
import { PoolError } from './errors.ts';
import { hold, release } from './node.ts';
import type { Task } from './job.ts';
import type { CloseOptions, CloseReport, WorkerStats } from './types.ts';

/** How a pool may close, the stricter the later. */
const MODES = ['drain', 'cancel-queued', 'abort'] as const;
/** How long it may take unless told, in ms. */
const DEADLINE = 30_000;
const ABORT_DEADLINE = 1000;

/** How long workers whose jobs were just cut off may take to leave, in ms. */
const GRACE = 50;

export class Closing {
  readonly report: Promise<CloseReport>;
  readonly #engine: Engine;
  #settle!: (report: Promise<CloseReport>) => void;
  #mode = -1;
  #aborted = 0;
  /** When the deadline is, in ms on the page's clock. */
  #end = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #alarm!: () => void;
  readonly #late = new Promise<void>((resolve) => (this.#alarm = resolve));

  constructor(engine: Engine) {
    this.#engine = engine;
    this.report = new Promise((resolve) => (this.#settle = resolve));
  }

  /** Begins; `last` is called with the workers that it had, when all is counted and nothing is freed yet. */
  start(options: CloseOptions, last: (workers: WorkerStats[]) => void): void {
    hold();
    const engine = this.#engine;
    engine.closed ??= new PoolError('ERR_POOL_CLOSED', 'the pool is closed');
    engine.staff.end(engine.closed);
    const deadline = options.mode === 'abort' ? ABORT_DEADLINE : DEADLINE;
    this.#settle(this.#close({ mode: 'drain', deadline, ...options }, last));
  }

  /** Goes on in a stricter mode, or to an earlier deadline. */
  hurry({ mode, deadline }: CloseOptions): void {
    const rank = mode === undefined ? -1 : MODES.indexOf(mode);
    const stricter = rank > this.#mode;
    if (stricter) {
      this.#mode = rank;
      this.#begin(mode!);
    }
    const left = deadline ?? (stricter && mode === 'abort' ? ABORT_DEADLINE : Infinity);
    const end = performance.now() + left;
    if (end >= this.#end) return;
    this.#end = end;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#alarm, left);
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
    // Whoever still waits for room was never accepted.
    else this.#aborted += engine.admission.endWaiting(cutOff, true);
  }

  async #close(options: CloseOptions, last: (workers: WorkerStats[]) => void): Promise<CloseReport> {
    const engine = this.#engine;
    const began = performance.now();
    const wasOpen = engine.open;
    this.hurry(options);
    // Jobs that wait would never end in a paused pool.
    if (engine.paused && engine.open > 0) engine.setPaused(false);
    await Promise.race([engine.settlement.idle(), this.#late]);
    if (engine.open > 0) this.#aborted += engine.settlement.endAll(cutOff);
    const workers = engine.executor.workers();
    engine.stop();
    const left = engine.executor.leave();
    await Promise.race([left, this.#late]);
    await before(GRACE, left);
    clearTimeout(this.#timer);
    this.#aborted += engine.settlement.endRest(cutOff);
    await engine.settlement.copied();
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
