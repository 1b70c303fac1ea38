// Threads: the executor whose workers share the page's memory. They take jobs from it themselves and
// push the ended ones on a list there.

import * as glue from './wasm.js';
import { Completions } from './drain.ts';
import type { Engine } from './engine.ts';
import type { Executor } from './executor.ts';
import type { Culprit } from './instance.ts';
import { CANCELLED, WorkerEntry } from './record.ts';
import type { Table } from './table.ts';
import { readProgress, type Progress } from './progress.ts';
import { lenientEnd } from './retry.ts';
import type { WorkerStats } from './types.ts';
import { Crew } from './workers.ts';

export class Threads implements Executor {
  readonly #engine: Engine;
  readonly #table: Table;
  readonly #completions: Completions;
  #crew: Crew | undefined;
  /** The workers in charge. Beside them there may be some on their way in or out. */
  #size = 0;
  /** How many of the present threads there may be. */
  #built = 0;
  #resizing = false;
  /** The last change was to fewer. */
  #shrinks = false;
  #over = false;

  constructor(engine: Engine, table: Table) {
    this.#engine = engine;
    this.#table = table;
    this.#completions = new Completions(engine, table, () => {
      if (this.size > this.#size) this.#wakeNewest();
      engine.batchEnd();
    });
  }

  start(): Promise<string[]> {
    const engine = this.#engine;
    const { pool } = this.#table;
    const { size, most } = engine.staff;
    this.#build(most);
    glue.threads_open(pool, size);
    glue.threads_switch(pool, size, false);
    this.#size = size;
    const { module, memory } = engine.instance;
    const shared = { memory, pool, origin: performance.timeOrigin };
    this.#crew = new Crew(engine.settings, { module, shared }, {
      started: (worker) => engine.emit('workerstart', () => ({ worker })),
      exited: (worker) => this.#exited(worker),
      crashed: (worker, message) => this.#crashed(worker, message),
      rung: () => this.#completions.rung(),
      // Whoever trapped says so itself.
      felled: (message) => engine.instance.suspect(message),
    }, engine.names);
    return this.#crew.start(size);
  }

  resize(): void {
    if (!this.#resizing) void this.#resize();
  }

  get count(): number {
    return this.#size;
  }

  get isResized(): boolean {
    const { size } = this;
    const members = this.#crew?.members ?? [];
    if (this.#resizing || this.#size !== this.#engine.staff.size || size < this.#size) return false;
    // A pool that has grown need not wait for those that its new workers replace.
    return !this.#shrinks || (size === this.#size && members.length === size);
  }

  wake(): void {
    this.#completions.listen();
  }

  drain(): void {
    this.#completions.drain();
  }

  abandon(token: number): number {
    const { i32 } = this.#table;
    Atomics.store(i32, this.#table.recordOf(token) + CANCELLED, 1);
    return this.#engine.settings.killGrace;
  }

  killRunaways(): number {
    const engine = this.#engine;
    const { killAfter, killGrace } = engine.settings;
    if (killAfter === Infinity && killGrace === Infinity) return Infinity;
    const time = performance.now();
    let next = Infinity;
    const culprits: Culprit[] = [];
    const { i32, workers, workerStride, abandoned } = this.#table;
    for (const id of this.#crew?.members ?? []) {
      const entry = workers + id * workerStride;
      const token = this.#running(id);
      const started = Atomics.load(i32, entry + WorkerEntry.STARTED);
      if (token < 0) continue;
      // Milliseconds modulo 2³², the difference too.
      const age = (Math.floor(time) - started) | 0;
      const late = abandoned.get(token) ?? lenientEnd(this.#table, this.#table.recordOf(token)) + killGrace;
      const left = Math.min(killAfter - age, late - time);
      if (left > 0) next = Math.min(next, left);
      // The same job still: a worker that went on meanwhile has another token or start.
      else if (Atomics.load(i32, entry + WorkerEntry.STARTED) === started && this.#running(id) === token) {
        culprits.push({ engine, token, verdict: 'ERR_KILLED' });
      }
    }
    if (culprits.length > 0) {
      const { instance } = engine;
      // The last chance to hear it. (Where a worker has died already, a call might wait for its lock.)
      for (const one of instance.engines) one.hearOfDelays();
      instance.reset('a handler ran for too long', culprits);
    }
    return next;
  }

  progress(token: number): Progress | undefined {
    const { i32, workers, workerStride } = this.#table;
    for (const id of this.#crew?.members ?? []) {
      if (this.#running(id) !== token) continue;
      const progress = readProgress(i32, workers + id * workerStride);
      if (this.#running(id) === token) return progress;
    }
    return undefined;
  }

  workers(): WorkerStats[] {
    const { i32, workers, workerStride, tasks } = this.#table;
    const crew = this.#crew;
    return (crew?.members ?? []).map((id) => {
      const entry = workers + id * workerStride;
      const job = tasks[this.#running(id)]?.id;
      // A worker that starts may have the number of one that has left.
      const state = crew!.running.has(id) ? ACTIVITIES[Atomics.load(i32, entry + WorkerEntry.ACTIVITY)]! : 'starting';
      const jobsDone = Atomics.load(i32, entry + WorkerEntry.DONE) >>> 0;
      return job === undefined ? { id, state, jobsDone } : { id, state, job, jobsDone };
    });
  }

  halt(): void {
    Atomics.store(this.#table.i32, this.#table.generation, HALTED);
  }

  drainAll(): void {
    this.#completions.drainAll();
  }

  get size(): number {
    return this.#crew?.running.size ?? 0;
  }

  leave(): Promise<void> {
    this.#over = true;
    return this.#crew?.leave() ?? Promise.resolve();
  }

  terminate(reason: string): boolean {
    this.#over = true;
    for (const worker of this.#crew?.running ?? []) this.#engine.emit('workerexit', () => ({ worker, reason }));
    this.#completions.stop();
    // A worker that is cut off may hold a lock of this memory.
    return (this.#crew?.terminate() ?? 0) > 0;
  }

  async #resize(): Promise<void> {
    const { staff, instance } = this.#engine;
    this.#resizing = true;
    try {
      // Each step looks at the size that is asked for by then.
      for (;;) {
        this.#countMissing();
        if (this.#size === staff.size || this.#isLost || !this.#hasNumbers(staff.size)) break;
        await this.#step(staff.size);
      }
    } catch (error) {
      if (!this.#isLost) instance.suspect(error);
    }
    this.#resizing = false;
    if (!this.#isLost) staff.look();
  }

  /** Nothing that was begun can be ended. */
  get #isLost(): boolean {
    return this.#over || this.#engine.instance.broken;
  }

  /** Whether so many workers can be numbered: not while too many are on their way out. */
  #hasNumbers(size: number): boolean {
    return this.#crew!.members.length + size <= WORKER_IDS;
  }

  async #step(size: number): Promise<void> {
    const { pool } = this.#table;
    if (size > this.#size && size <= this.#built) {
      const missing = size - this.#size;
      glue.threads_open(pool, missing);
      await this.#hire(missing, (started) => {
        this.#size += started;
        glue.pool_resize(pool, this.#size, this.#size);
      });
      return;
    }
    this.#build(Math.max(size, this.#engine.staff.most));
    this.#shrinks = size < this.#size;
    const stay = Math.min(size, this.#size);
    glue.threads_open(pool, stay);
    // Where no job runs, all workers are free to go over at once.
    if (stay > 0 && glue.threads_switch(pool, stay, true)) {
      this.#size = stay;
      return;
    }
    // A worker that has no job is held by the others' jobs: so there are new ones first.
    glue.threads_open(pool, size - stay);
    await this.#hire(size, (started) => {
      if (started < size) return;
      glue.threads_switch(pool, size, false);
      this.#size = size;
    });
  }

  /** Starts workers, and goes on with those that run; when some do not, the pool grows no more by itself. */
  async #hire(count: number, goOn: (started: number) => void): Promise<void> {
    const { staff } = this.#engine;
    const { size } = staff;
    const { started, error } = await this.#crew!.hire(count);
    if (this.#isLost) return;
    goOn(started);
    if (error === undefined) return;
    // Whoever is late finds no place.
    glue.threads_discard(this.#table.pool);
    this.#built = this.#size;
    staff.failed(size, this.#size, error);
  }

  #build(threads: number): void {
    glue.threads_build(this.#table.pool, threads);
    this.#built = threads;
  }

  #exited(worker: number): void {
    const reason = this.#over ? 'the pool was closed' : 'the pool became smaller';
    this.#engine.emit('workerexit', () => ({ worker, reason }));
    if (this.#over) return;
    this.#wakeNewest();
    this.resize();
  }

  /** A worker in charge that came too late for its place is gone: another one is to come. While some start nobody knows. */
  #countMissing(): void {
    const { length } = this.#crew!.members;
    if (length < this.#size) this.#size = this.#built = length;
  }

  #crashed(worker: number, message: string): void {
    const engine = this.#engine;
    const token = this.#running(worker);
    const culprits: Culprit[] = token < 0 ? [] : [{ engine, token, verdict: 'ERR_PANIC' }];
    engine.instance.reset(`worker ${worker} trapped: ${message}`, culprits);
  }

  /** A job may have ended on a thread that takes no more: its place is for a thread in charge, which does not hear of it. */
  #wakeNewest(): void {
    if (!this.#isLost) this.#engine.instance.ask(() => glue.wake(this.#table.pool));
  }

  /** The token of the job that a worker runs, or -1. */
  #running(worker: number): number {
    const { i32, workers, workerStride } = this.#table;
    return Atomics.load(i32, workers + worker * workerStride + WorkerEntry.TOKEN) - 1;
  }
}

const ACTIVITIES = ['starting', 'idle', 'busy', 'left'] as const;
/** What tells the workers that the memory is given up: no generation's number (wasm/src/pool.rs). */
const HALTED = -1;
/** As many numbers as there are for workers (wasm/src/pool.rs). */
const WORKER_IDS = 256;
