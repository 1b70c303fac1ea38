// Settlement: a job's end. However it comes about, it happens once, and here.

import { Noted } from './admission.ts';
import type { Engine } from './engine.ts';
import { PoolError } from './errors.ts';
import { badData, failure, stateAfter } from './failures.ts';
import { isOver, resultOf, type Task } from './job.ts';
import { copyOut, LARGE } from './loader.ts';
import { release } from './node.ts';
import * as R from './record.ts';
import { Cancelled, Kind, Outcome, Phase } from './record.ts';
import { decode } from './value.ts';
import * as glue from './wasm.js';

export class Settlement {
  readonly #engine: Engine;
  #idlers: (() => void)[] = [];
  /** Large results on their way out of memory. */
  readonly #copies = new Set<Promise<void>>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Cancels a job: the promise rejects now. False when it has ended. */
  cancel(task: Task, reason: unknown, signal?: AbortSignal): boolean {
    if (isOver(task)) return false;
    const error = signal !== undefined || reason !== undefined
      ? reason
      : new PoolError('ERR_CANCELLED', `job ${task.id} (${task.name}) was cancelled`, { jobId: task.id });
    return this.#end(task, error);
  }

  /** Ends an open task with `error`, wherever it is, as cancelled. */
  #end(task: Task, error: unknown): boolean {
    if (task.token < 0) {
      if (task.extra?.adopted === undefined) this.#engine.note(Noted.ABORT, task.handler);
      this.#engine.admission.withdraw(task, 'cancelled', error);
      return true;
    }
    const { token } = task;
    const { instance, pool, table } = this.#engine;
    // Before: its handler may return at once.
    this.measure(task, token, Atomics.load(table.i32, table.recordOf(token) + R.PHASE) === Phase.RUNNING);
    // While no export may be called, the reset finds that nobody waits for it.
    const code = instance.ask(() => glue.cancel(pool, token), Cancelled.SIGNALLED);
    if (code === Cancelled.OVER) return false;
    table.part(task, token);
    if (code === Cancelled.REMOVED) table.reclaim(token);
    else this.#abandon(token);
    task.state = 'cancelled';
    this.finish(task, false, error);
    return true;
  }

  /** Notes how long a job took that ends before the core tells its times. */
  measure(task: Task, token: number, runs: boolean): void {
    if (runs) this.started(token);
    const { f64 } = this.#engine.table;
    const floats = this.#engine.table.recordOf(token) >> 1;
    const now = performance.now();
    const submitted = f64[floats + R.SUBMITTED]! / 1000;
    const started = runs ? Math.max(f64[floats + R.STARTED]! / 1000, submitted) : now;
    task.wait = started - submitted;
    task.run = now - started;
    task.total = now - submitted;
  }

  /** Its handler runs on without a job. */
  #abandon(token: number): void {
    const { executor, table, watchdog, settings } = this.#engine;
    const grace = executor.abandon(token);
    table.abandoned.set(token, performance.now() + grace);
    watchdog.expect(Math.min(grace, settings.killAfter));
  }

  /** Settles a token that has come back; `output` is the job's where that is not in memory. */
  settle(token: number, output?: Uint8Array<ArrayBuffer>): void {
    const { table } = this.#engine;
    const { i32, f64 } = table;
    const record = table.recordOf(token);
    const task = table.tasks[token];
    if (task === undefined) {
      table.abandoned.delete(token);
      table.reclaim(token);
      return;
    }
    const floats = record >> 1;
    task.wait = f64[floats + R.WAIT]! / 1000;
    task.run = f64[floats + R.RUN]! / 1000;
    task.total = f64[floats + R.TOTAL]! / 1000;
    task.attempt = i32[record + R.ATTEMPT]!;
    if (task.attempt > 0) {
      task.worker = i32[record + R.WORKER]!;
      this.#announce(task);
    }
    table.part(task, token);
    const outcome = i32[record + R.OUTCOME]!;
    if (outcome === Outcome.COMPLETED) {
      const length = i32[record + R.OUTPUT_LEN]! >>> 0;
      if (length > LARGE) {
        const copy = this.#settleLarge(task, token, length);
        this.#copies.add(copy);
        void copy.finally(() => this.#copies.delete(copy));
        return;
      }
      const kind = i32[record + R.OUTPUT_KIND]!;
      let value: unknown;
      if (kind !== Kind.NONE) {
        try {
          value = decode(kind, output ?? table.output(record));
        } catch (error) {
          table.reclaim(token);
          task.state = 'failed';
          this.finish(task, false, badData(task, error, 'result'));
          return;
        }
      }
      table.reclaim(token);
      task.state = 'completed';
      this.finish(task, true, value);
      return;
    }
    const error = failure(task, outcome, table, token, output);
    table.reclaim(token);
    task.state = stateAfter(outcome);
    this.finish(task, false, error);
  }

  /** Copies a large result out in slices, then settles. The memory may be given up meanwhile. */
  async #settleLarge(task: Task, token: number, length: number): Promise<void> {
    const { table, instance } = this.#engine;
    const record = table.recordOf(token);
    const address = table.i32[record + R.OUTPUT]! >>> 0;
    const kind = table.i32[record + R.OUTPUT_KIND]!;
    const memory = instance.bytes(address + length);
    // It has ended, though nobody knows yet: a cancellation comes too late.
    task.state = 'completed';
    try {
      this.finish(task, true, decode(kind, await copyOut(memory, address, length)));
    } catch (error) {
      task.state = 'failed';
      this.finish(task, false, badData(task, error, 'result'));
    }
    if (this.#engine.table === table && this.#engine.pool >= 0) {
      table.reclaim(token);
      this.#engine.batchEnd();
    }
  }

  /** Settles the task's promise, and tells whoever wants to know. */
  finish(task: Task, ok: boolean, value: unknown): void {
    const engine = this.#engine;
    if (task.extra !== undefined) engine.admission.dropExtra(task);
    if (engine.watches.size > 0) engine.unwatch(task);
    const { resolve, reject } = task;
    task.resolve = task.reject = undefined;
    if (ok) resolve?.(value);
    else reject?.(value);
    engine.open--;
    if (engine.streams.size > 0) {
      const result = resultOf(task, ok, value);
      for (const stream of engine.streams) stream.push(result);
    }
    if (engine.listening && task.state !== 'refused') engine.emit('jobend', () => resultOf(task, ok, value));
    if (engine.open === 0) this.#becameIdle();
  }

  #becameIdle(): void {
    release();
    if (this.#engine.listening) this.#engine.emit('drain', () => undefined);
    for (const idler of this.#idlers.splice(0)) idler();
  }

  /** Resolves when no job is open. */
  idle(): Promise<void> {
    if (this.#engine.open === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idlers.push(resolve));
  }

  #announce(task: Task): void {
    if (!this.#engine.listening || task.announced) return;
    task.announced = true;
    this.#engine.emit('jobstart', () => ({ id: task.id, job: task.name, worker: task.worker }));
  }

  /** A job runs. */
  started(token: number): void {
    const { i32, tasks } = this.#engine.table;
    const task = tasks[token];
    if (task === undefined) return;
    const record = this.#engine.table.recordOf(token);
    task.worker = i32[record + R.WORKER]!;
    task.attempt = i32[record + R.ATTEMPT]!;
    this.#announce(task);
  }

  /** A running job has passed its deadline. */
  timedOut(token: number, outcome: number): void {
    const { table } = this.#engine;
    // Before its end those of its attempts that failed. Whoever hears of them may bring about a reset: then it has no token.
    this.#engine.hearOfDelays();
    const task = table.tasks[token];
    if (task === undefined) return;
    this.measure(task, token, true);
    const error = failure(task, outcome, table, token);
    table.part(task, token);
    this.#abandon(token);
    task.state = 'timed-out';
    this.finish(task, false, error);
  }

  /** Ends every open job, as cancelled: queued ones first, or a worker whose job ends would take the next one. */
  endAll(error: (task: Task) => unknown): number {
    let ended = this.endQueued(error);
    for (const task of this.#engine.table.tasks) {
      if (task !== undefined && this.#end(task, error(task))) ended++;
    }
    return ended;
  }

  /** Ends every job that has ended already and does not come back, since its worker is held up. Those that have come back
   * are settled first. */
  endRest(error: (task: Task) => unknown): number {
    const { executor, table } = this.#engine;
    executor.drainAll();
    const rest = table.tasks.filter((task) => task !== undefined);
    for (const task of rest) {
      this.measure(task, task.token, true);
      table.part(task, task.token);
      task.state = 'cancelled';
      this.finish(task, false, error(task));
    }
    return rest.length;
  }

  /** Resolves when no result is on its way out of memory any more. */
  async copied(): Promise<void> {
    await Promise.all(this.#copies);
  }

  /** Ends the jobs that are queued. */
  endQueued(error: (task: Task) => unknown): number {
    const { admission, instance, table, pool } = this.#engine;
    let ended = admission.endWaiting(error);
    for (;;) {
      const token = instance.ask(() => glue.abort_next(pool), -1);
      if (token < 0) return ended;
      const task = table.tasks[token];
      if (task !== undefined) {
        this.measure(task, token, false);
        table.part(task, token);
        task.state = 'cancelled';
        this.finish(task, false, error(task));
        ended++;
      }
      table.reclaim(token);
    }
  }
}
