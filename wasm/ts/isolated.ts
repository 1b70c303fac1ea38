// Isolated: the executor whose workers have memories of their own. The page hands the jobs out by
// message. A worker that is lost takes nothing with it but what ran on it.

import { Dispatch } from './dispatch.ts';
import type { Engine } from './engine.ts';
import type { Executor } from './executor.ts';
import { errorAnswer, UNWANTED, type Answer, type Order } from './perform.ts';
import { Outcome } from './record.ts';
import { lenientEnd } from './retry.ts';
import type { Table } from './table.ts';
import { describe } from './thrown.ts';
import type { WorkerStats } from './types.ts';
import { Crew } from './workers.ts';
import * as glue from './wasm.js';

/** How long a worker that runs nothing but settled jobs is waited for, in ms: a synchronous handler cannot hear
 * that it was cancelled. */
const GRACE = 250;

/** A worker's side of the page. */
interface Seat {
  state: WorkerStats['state'];
  /** The jobs it has, by token. */
  readonly jobs: Map<number, Stay>;
  jobsDone: number;
  /** It has not started yet, and replaces nobody. */
  coming: boolean;
  /** It takes no more jobs, and goes when it has none. */
  leaving: boolean;
}

/** A job's time on a worker, in ms. */
interface Stay {
  readonly since: number;
  /** When the job was settled while its handler runs on. */
  abandoned: number | undefined;
}

export class Isolated implements Executor {
  readonly #engine: Engine;
  readonly #table: Table;
  readonly #dispatch: Dispatch;
  readonly #crew: Crew;
  /** By the workers' numbers. */
  readonly #seats = new Map<number, Seat>();
  #dispatching = false;
  #over = false;
  /** Set while the pool closes: resolves its `leave`. */
  #leaving: (() => void) | undefined;
  #cutOff = 0;

  constructor(engine: Engine, table: Table) {
    const { settings, instance } = engine;
    this.#engine = engine;
    this.#table = table;
    this.#dispatch = new Dispatch(engine, table);
    this.#crew = new Crew(settings, { module: instance.module, shared: undefined }, {
      started: (worker) => {
        const seat = this.#seats.get(worker)!;
        seat.state = 'idle';
        seat.coming = false;
        engine.emit('workerstart', () => ({ worker }));
        this.#enforce();
        engine.staff.look();
        this.wake();
      },
      done: (worker, token, answer) => this.#ended(worker, token, answer),
      progress: (token, progress) => {
        const task = table.tasks[token];
        if (task !== undefined) engine.watches.get(task)?.report(progress);
      },
      crashed: (worker, message, token) => {
        // What a worker runs alone has brought it down.
        const { jobs } = this.#seats.get(worker)!;
        const culprit = token ?? (jobs.size === 1 ? [...jobs.keys()][0]! : -1);
        this.#lose(worker, message, (other) => (other === culprit ? Outcome.TRAPPED : Outcome.CRASHED));
      },
      failed: (error) => engine.fail(error),
    }, engine.names);
  }

  start(): Promise<string[]> {
    const { size } = this.#engine.staff;
    for (let id = 0; id < size; id++) this.#seats.set(id, newSeat(false));
    return this.#crew.start(size);
  }

  resize(): void {
    if (this.#over || this.#leaving !== undefined) return;
    const { staff } = this.#engine;
    // Those go first that are on their way out, then those that have not started, then those with the fewest jobs.
    const worth = ({ leaving, state, jobs }: Seat) => (leaving ? -2 : state === 'starting' ? -1 : jobs.size);
    const seats = [...this.#seats.values()].sort((a, b) => worth(b) - worth(a));
    seats.forEach((seat, place) => (seat.leaving = place >= staff.size));
    if (seats.length < staff.size) void this.#hire(staff.size - seats.length);
    for (const worker of this.#seats.keys()) this.#dismissIdle(worker);
    this.#enforce();
    this.wake();
  }

  get count(): number {
    return [...this.#seats.values()].filter(({ coming, leaving }) => !coming && !leaving).length;
  }

  get isResized(): boolean {
    const seats = [...this.#seats.values()];
    return seats.length === this.#engine.staff.size && seats.every(({ state }) => state === 'idle');
  }

  wake(): void {
    if (this.#dispatching) return;
    this.#dispatching = true;
    // Not now: jobs that come in one go are to go out by their priorities, and in one batch.
    queueMicrotask(() => {
      this.#dispatching = false;
      this.#handOut();
    });
  }

  drain(): void {
    this.#dispatch.drain();
    this.wake();
  }

  abandon(token: number): number {
    for (const [worker, { jobs }] of this.#seats) {
      const stay = jobs.get(token);
      if (stay === undefined) continue;
      stay.abandoned = performance.now();
      this.#crew.post(worker, { weirpool: 'cancel', token });
    }
    return Math.min(this.#engine.settings.killGrace, GRACE);
  }

  killRunaways(): number {
    const { killAfter, killGrace } = this.#engine.settings;
    const time = performance.now();
    let next = Infinity;
    [...this.#seats].forEach(([worker, { jobs }]) => {
      const alone = jobs.size === 1 || [...jobs.values()].every(({ abandoned }) => abandoned !== undefined);
      const grace = alone ? Math.min(killGrace, GRACE) : killGrace;
      const left = (token: number, { since, abandoned }: Stay) => {
        const late = abandoned ?? lenientEnd(this.#table, this.#table.recordOf(token));
        return Math.min(since + killAfter, late + grace) - time;
      };
      const least = Math.min(...[...jobs].map(([token, stay]) => left(token, stay)));
      if (least > 0) {
        next = Math.min(next, least);
        return;
      }
      const culprits = new Set([...jobs].filter(([token, stay]) => left(token, stay) <= 0).map(([token]) => token));
      this.#lose(worker, 'a handler ran for too long', (token) => (culprits.has(token) ? Outcome.KILLED : Outcome.CRASHED));
    });
    return next;
  }

  watch(token: number): void {
    for (const [worker, { jobs }] of this.#seats) {
      if (jobs.has(token)) this.#crew.post(worker, { weirpool: 'watch', token });
    }
  }

  workers(): WorkerStats[] {
    const { tasks } = this.#table;
    return [...this.#seats].map(([id, { state, jobs, jobsDone }]) => {
      const job = tasks[[...jobs.keys()][0] ?? -1]?.id;
      const stats = { id, state: jobs.size > 0 ? ('busy' as const) : state, jobsDone };
      return job === undefined ? stats : { ...stats, job };
    });
  }

  halt(): void {
    this.#over = true;
  }

  drainAll(): void {
    this.#dispatch.drainAll();
  }

  get size(): number {
    return this.#cutOff + [...this.#seats.values()].filter(({ jobs }) => jobs.size > 0).length;
  }

  leave(): Promise<void> {
    if (this.#over) return Promise.resolve();
    return new Promise((resolve) => {
      this.#leaving = resolve;
      for (const worker of this.#seats.keys()) this.#dismissIdle(worker);
      this.#lookLeft();
    });
  }

  terminate(reason: string): boolean {
    this.#over = true;
    for (const [worker, { state }] of this.#seats) {
      if (state !== 'starting') this.#engine.emit('workerexit', () => ({ worker, reason }));
    }
    this.#dispatch.stop();
    this.#crew.terminate();
    this.#seats.clear();
    this.#leaving?.();
    return false;
  }

  /** Gives every free worker a job; those with the fewest come first. */
  #handOut(): void {
    const { concurrency } = this.#engine.settings;
    if (this.#over) return;
    deal: for (let load = 0; load < concurrency; load++) {
      for (const [worker, seat] of this.#seats) {
        if (seat.state !== 'idle' || seat.leaving || seat.jobs.size !== load) continue;
        const token = this.#dispatch.take(worker);
        if (token < 0) break deal;
        const stay: Stay = { since: performance.now(), abandoned: undefined };
        seat.jobs.set(token, stay);
        const order = this.#dispatch.order(token);
        if (order instanceof Promise) {
          order.then(
            (late) => this.#send(worker, stay, late),
            // There is no memory for the copy.
            (error: unknown) => this.#ended(worker, token, errorAnswer(Outcome.ERROR, describe(error)), stay),
          );
        } else {
          this.#send(worker, stay, order);
        }
      }
    }
    this.#dispatch.drain();
  }

  #send(worker: number, stay: Stay, order: Order): void {
    // Copying a large input takes a while: the worker, or the whole memory, may be another one by now,
    if (this.#over || this.#seats.get(worker)?.jobs.get(order.token) !== stay) return;
    // or the job settled.
    if (stay.abandoned !== undefined) {
      this.#ended(worker, order.token, UNWANTED);
      return;
    }
    this.#crew.post(worker, { weirpool: 'job', ...order, watched: this.#dispatch.isWatched(order.token) }, [order.bytes.buffer]);
  }

  /** A worker has answered; `stay` is given where the worker may be another one by now. */
  #ended(worker: number, token: number, answer: Answer, stay?: Stay): void {
    const seat = this.#seats.get(worker);
    if (this.#over || (stay !== undefined && seat?.jobs.get(token) !== stay) || !seat?.jobs.delete(token)) return;
    seat.jobsDone++;
    this.#dispatch.finish(token, answer);
    this.#dismissIdle(worker);
    if (this.#leaving === undefined) this.#handOut();
  }

  /** Ends a worker with all its jobs, and starts another one in its place. */
  #lose(worker: number, reason: string, outcomeOf: (token: number) => number): void {
    if (this.#over) return;
    const { tasks } = this.#table;
    const { corrections, emit } = this.#engine;
    const seat = this.#seats.get(worker)!;
    const lost = [...seat.jobs.keys()];
    seat.jobs.clear();
    seat.jobsDone += lost.length;
    emit('workerexit', () => ({ worker, reason }));
    if (this.#leaving === undefined && !seat.leaving) {
      seat.state = 'starting';
      this.#crew.replace(worker);
    } else {
      if (this.#leaving !== undefined) this.#cutOff++;
      this.#seats.delete(worker);
      this.#crew.dismiss(worker);
    }
    for (const token of lost) {
      const outcome = outcomeOf(token);
      const wanted = tasks[token] !== undefined;
      const settled = this.#dispatch.finish(token, errorAnswer(outcome, { message: reason }));
      // The core does not know of workers that it does not see.
      if (outcome === Outcome.CRASHED && wanted && settled) corrections.workerCrashes++;
    }
    this.#dispatch.drain();
    this.#lookLeft();
    this.#engine.staff.look();
  }

  /** Lets a worker go that has nothing to do, if it is to. */
  #dismissIdle(worker: number): void {
    const seat = this.#seats.get(worker);
    const closing = this.#leaving !== undefined;
    if (seat === undefined || seat.jobs.size > 0 || !(seat.leaving || closing)) return;
    this.#seats.delete(worker);
    this.#crew.dismiss(worker);
    if (seat.state !== 'starting') {
      this.#engine.emit('workerexit', () => ({ worker, reason: closing ? 'the pool was closed' : 'the pool became smaller' }));
    }
    this.#lookLeft();
    this.#engine.staff.look();
  }

  #lookLeft(): void {
    if (this.#seats.size === 0) this.#leaving?.();
  }

  async #hire(count: number): Promise<void> {
    const { staff } = this.#engine;
    const { size } = staff;
    const { error } = await this.#crew.hire(count, (id) => {
      const seat = newSeat(true);
      this.#seats.set(id, seat);
      return () => {
        if (this.#seats.get(id) !== seat) return;
        this.#seats.delete(id);
        this.#crew.dismiss(id);
      };
    });
    if (this.#over || this.#leaving !== undefined) return;
    if (error !== undefined) {
      staff.failed(size, this.count, error);
      // If another number is wanted by now, nobody has asked for it again.
      this.resize();
    }
    staff.look();
  }

  /** As many jobs at once as the workers that there are can take. */
  #enforce(): void {
    const { instance, settings } = this.#engine;
    if (this.#over) return;
    instance.ask(() => glue.pool_resize(this.#table.pool, 0, Math.max(this.count, 1) * settings.concurrency));
  }
}

function newSeat(coming: boolean): Seat {
  return { state: 'starting', jobs: new Map(), jobsDone: 0, coming, leaving: false };
}
