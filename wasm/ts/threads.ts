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

  constructor(engine: Engine, table: Table) {
    this.#engine = engine;
    this.#table = table;
    this.#completions = new Completions(
      table,
      () => engine.hearOfDelays(),
      (token) => engine.settlement.settle(token),
      () => engine.batchEnd(),
      () => engine.busy,
    );
  }

  start(): Promise<string[]> {
    const engine = this.#engine;
    const { pool } = this.#table;
    const receiver = glue.pool_start(pool);
    const { module, memory } = engine.instance;
    const shared = { memory, receiver, pool, origin: performance.timeOrigin };
    this.#crew = new Crew(engine.settings, { module, shared }, {
      started: (worker) => engine.emit('workerstart', () => ({ worker })),
      exited: (worker) => engine.emit('workerexit', () => ({ worker, reason: 'the pool was closed' })),
      crashed: (worker, message) => {
        engine.emit('workerexit', () => ({ worker, reason: message }));
        const token = this.#running(worker);
        const culprits: Culprit[] = token < 0 ? [] : [{ engine, token, verdict: 'ERR_PANIC' }];
        engine.instance.reset(`worker ${worker} trapped: ${message}`, culprits);
      },
    });
    return this.#crew.start();
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
    for (let id = 0; id < engine.settings.workers; id++) {
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
    if (culprits.length > 0) engine.instance.reset('a handler ran for too long', culprits);
    return next;
  }

  progress(token: number): Progress | undefined {
    const { i32, workers, workerStride } = this.#table;
    for (let id = 0; id < this.#engine.settings.workers; id++) {
      if (this.#running(id) !== token) continue;
      const progress = readProgress(i32, workers + id * workerStride);
      if (this.#running(id) === token) return progress;
    }
    return undefined;
  }

  workers(): WorkerStats[] {
    const { i32, workers, workerStride, tasks } = this.#table;
    return Array.from({ length: this.#engine.settings.workers }, (_, id) => {
      const entry = workers + id * workerStride;
      const job = tasks[this.#running(id)]?.id;
      const state = ACTIVITIES[Atomics.load(i32, entry + WorkerEntry.ACTIVITY)] ?? 'left';
      const jobsDone = Atomics.load(i32, entry + WorkerEntry.DONE) >>> 0;
      return job === undefined ? { id, state, jobsDone } : { id, state, job, jobsDone };
    });
  }

  halt(): void {
    Atomics.store(this.#table.i32, this.#table.halt, 1);
  }

  drainAll(): void {
    this.#completions.drainAll();
  }

  get size(): number {
    return this.#crew?.size ?? 0;
  }

  leave(deadline: number): Promise<void> {
    return this.#crew?.leave(deadline) ?? Promise.resolve();
  }

  terminate(): boolean {
    this.#completions.stop();
    // A worker that is cut off may hold a lock of this memory.
    return (this.#crew?.terminate() ?? 0) > 0;
  }

  /** The token of the job that a worker runs, or -1. */
  #running(worker: number): number {
    const { i32, workers, workerStride } = this.#table;
    return Atomics.load(i32, workers + worker * workerStride + WorkerEntry.TOKEN) - 1;
  }
}

const ACTIVITIES = ['starting', 'idle', 'busy', 'left'] as const;
