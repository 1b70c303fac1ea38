// Dispatch: hands the jobs of a pool out on the page, for executors whose workers do not share its
// memory, and hands in how they ended.

import { deadlineOf } from './context.ts';
import { Completions } from './drain.ts';
import type { Engine } from './engine.ts';
import { failure } from './failures.ts';
import { copyOut, LARGE } from './loader.ts';
import type { Answer, Order } from './perform.ts';
import * as R from './record.ts';
import { isLenient } from './retry.ts';
import type { Table } from './table.ts';
import * as glue from './wasm.js';

export class Dispatch {
  readonly #engine: Engine;
  readonly #table: Table;
  /** What the core settles by itself: jobs that waited too long, or that the breaker does not let run. */
  readonly #completions: Completions;

  constructor(engine: Engine, table: Table) {
    this.#engine = engine;
    this.#table = table;
    this.#completions = new Completions(engine, table);
  }

  /** The next job for `worker`: its token, or -1 when there is none now. */
  take(worker: number): number {
    const { instance, settlement } = this.#engine;
    return instance.ask(() => {
      const token = glue.hand_out(this.#table.pool, worker);
      if (token >= 0) settlement.started(token);
      return token;
    }, -1);
  }

  /** A job as it travels. A large input is copied in slices. */
  order(token: number): Order | Promise<Order> {
    const { i32, f64 } = this.#table;
    const record = this.#table.recordOf(token);
    const address = i32[record + R.INPUT]! >>> 0;
    const length = i32[record + R.INPUT_LEN]! >>> 0;
    const memory = this.#engine.instance.bytes(address + length);
    const order = {
      token,
      handler: i32[record + R.HANDLER]!,
      kind: i32[record + R.KIND]!,
      attempt: i32[record + R.ATTEMPT]!,
      remaining: deadlineOf(f64, record) / 1000 - performance.now(),
      lenient: isLenient(i32, record),
    };
    // Plain memory: a view of shared memory cannot be sent.
    if (length <= LARGE) {
      return { ...order, bytes: memory.slice(address, address + length) as Uint8Array<ArrayBuffer> };
    }
    return copyOut(memory, address, length).then((bytes) => ({ ...order, bytes }));
  }

  /** Whether somebody wants to hear of the job's progress. */
  isWatched(token: number): boolean {
    return this.#engine.watches.has(this.#table.tasks[token]!);
  }

  /** The attempt has ended: settles the job, unless it was settled before or is tried again; false then. */
  finish(token: number, answer: Answer): boolean {
    const engine = this.#engine;
    const { instance, settlement } = engine;
    // Whatever ran when a memory is given up is lost.
    if (instance.broken) return false;
    const { i32, f64 } = this.#table;
    const record = this.#table.recordOf(token);
    const { outcome, kind, bytes, marks } = answer;
    i32[record + R.OUTCOME] = outcome;
    i32[record + R.OUTPUT_KIND] = kind;
    // The output never goes into this memory.
    i32[record + R.OUTPUT_LEN] = 0;
    let again: number;
    try {
      // A handler that held the page up: nobody could look before it returned.
      if (performance.now() * 1000 >= deadlineOf(f64, record)) engine.settleDue();
      again = glue.hand_in(this.#table.pool, token, marks);
    } catch (error) {
      instance.suspect(error);
      return false;
    }
    if (again >= 0) {
      const task = this.#table.tasks[token]!;
      engine.delayed(task, again, () => failure(task, outcome, this.#table, token, bytes));
      return false;
    }
    settlement.settle(token, bytes);
    return true;
  }

  drain(): void {
    this.#completions.drain();
  }

  drainAll(): void {
    this.#completions.drainAll();
  }

  stop(): void {
    this.#completions.stop();
  }
}
