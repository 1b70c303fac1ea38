// Inline: the executor without workers. The page runs the jobs itself, one at a time, each in a task of
// its own.

import { Dispatch } from './dispatch.ts';
import type { Engine } from './engine.ts';
import { PoolError } from './errors.ts';
import type { Executor } from './executor.ts';
import { collect } from './handlers.ts';
import { macrotask } from './macrotask.ts';
import { DIFFERENT } from './messages.ts';
import { errorAnswer, OrderContext, Performer, UNWANTED, type Answer, type Order } from './perform.ts';
import { Outcome } from './record.ts';
import type { Table } from './table.ts';
import { describe } from './thrown.ts';
import type { WorkerStats } from './types.ts';

export class Inline implements Executor {
  readonly #engine: Engine;
  readonly #table: Table;
  readonly #dispatch: Dispatch;
  #performer: Performer | undefined;
  /** The job that runs, or -1. */
  #token = -1;
  #context: OrderContext | undefined;
  #jobsDone = 0;
  #scheduled = false;
  #over = false;
  #left: (() => void) | undefined;

  constructor(engine: Engine, table: Table) {
    this.#engine = engine;
    this.#table = table;
    this.#dispatch = new Dispatch(engine, table);
  }

  async start(): Promise<string[]> {
    const { settings } = this.#engine;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not within ${settings.startupTimeout} ms`)), settings.startupTimeout);
    });
    try {
      const handlers = await Promise.race([this.#collect(), late]);
      const names = [...handlers.keys()];
      if (names.join() !== (this.#engine.names ?? names).join()) throw new TypeError(DIFFERENT);
      this.#performer = new Performer([...handlers.values()], false);
      this.#engine.emit('workerstart', () => ({ worker: 0 }));
      this.wake();
      return names;
    } catch (cause) {
      throw new PoolError('ERR_WORKER_LOAD', `the handlers could not be loaded: ${String(cause)}`, { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  /** There is always one. */
  resize(): void {}

  get count(): number {
    return 1;
  }

  get isResized(): boolean {
    return true;
  }

  wake(): void {
    if (this.#scheduled || this.#token >= 0 || this.#performer === undefined) return;
    this.#scheduled = true;
    macrotask(() => {
      this.#scheduled = false;
      void this.#runNext();
    });
  }

  drain(): void {
    this.#dispatch.drain();
    this.wake();
  }

  abandon(): number {
    if (this.#context !== undefined) this.#context.stopped = true;
    return Infinity;
  }

  killRunaways(): number {
    return Infinity;
  }

  watch(token: number): void {
    if (token === this.#token && this.#context !== undefined) this.#context.watched = true;
  }

  workers(): WorkerStats[] {
    const job = this.#table.tasks[this.#token]?.id;
    const state = this.#token >= 0 ? 'busy' : this.#over ? 'left' : 'idle';
    const stats = { id: 0, state, jobsDone: this.#jobsDone } as const;
    return [job === undefined ? stats : { ...stats, job }];
  }

  halt(): void {
    this.#over = true;
  }

  drainAll(): void {
    this.#dispatch.drainAll();
  }

  get size(): number {
    return this.#token >= 0 ? 1 : 0;
  }

  leave(): Promise<void> {
    if (this.#token < 0 || this.#over) return Promise.resolve();
    return new Promise((resolve) => (this.#left = resolve));
  }

  terminate(reason: string): boolean {
    this.#over = true;
    if (this.#performer !== undefined) this.#engine.emit('workerexit', () => ({ worker: 0, reason }));
    this.#performer = undefined;
    // A handler that waits for something goes on, but nobody waits for it.
    this.abandon();
    this.#dispatch.stop();
    this.#left?.();
    return false;
  }

  async #collect(): ReturnType<typeof collect> {
    const { handlers, jobs } = this.#engine.settings;
    const given = await handlers?.();
    if (handlers !== undefined && (typeof given !== 'object' || given === null)) {
      throw new TypeError('`handlers` must resolve with an object of functions');
    }
    return collect(given ?? {}, 'handlers', jobs);
  }

  async #runNext(): Promise<void> {
    if (this.#over || this.#token >= 0) return;
    const token = (this.#token = this.#dispatch.take(0));
    // What was settled instead of run.
    this.#dispatch.drain();
    if (token < 0) return;
    let answer: Answer | undefined;
    try {
      const order = await this.#dispatch.order(token);
      answer = await this.#perform(order);
    } catch (error) {
      // There is no memory for a copy of the input.
      answer = errorAnswer(Outcome.ERROR, describe(error));
    }
    if (this.#over || answer === undefined) return;
    this.#jobsDone++;
    this.#token = -1;
    this.#dispatch.finish(token, answer);
    this.#left?.();
    this.drain();
  }

  /** Undefined when the memory is lost. */
  async #perform(order: Order): Promise<Answer | undefined> {
    const { token } = order;
    if (this.#over) return undefined;
    // Settled while a large input was copied.
    if (this.#table.tasks[token] === undefined) return UNWANTED;
    const { watches } = this.#engine;
    const task = this.#table.tasks[token]!;
    const report = (done: number, total: number) => watches.get(task)?.report({ done, total });
    this.#context = new OrderContext(order, watches.has(task), report);
    try {
      return await this.#performer!.perform(order, this.#context);
    } catch (error) {
      const engine = this.#engine;
      if (this.#over) return undefined;
      // Or a worker of another pool has brought the module down, and will say so.
      // A stack overflow is a RangeError, or Firefox's InternalError.
      if (error instanceof WebAssembly.RuntimeError || /^(Range|Internal)Error$/.test((error as Error).name)) {
        engine.instance.reset(`the handler trapped: ${(error as Error).message}`, [{ engine, token, verdict: 'ERR_PANIC' }]);
      } else {
        engine.instance.suspect(error);
      }
      return undefined;
    }
  }
}
