// Engine: the inside of a pool: its core in memory, the way in (admission), the way out (settlement) and
// whoever runs the jobs (executor). wasm decides, this moves values.

import * as glue from './wasm.js';
import { Admission, Noted } from './admission.ts';
import { Backlog } from './backlog.ts';
import { before } from './deadline.ts';
import { PoolError } from './errors.ts';
import type { Executor } from './executor.ts';
import { Inline } from './inline.ts';
import type { Instance } from './instance.ts';
import { Isolated } from './isolated.ts';
import { failure, lostJob, poolClosed } from './failures.ts';
import { isOver, type Task } from './job.ts';
import { hold } from './node.ts';
import { MAX_IN_FLIGHT, RATE, type PoolSettings } from './options.ts';
import { Watch } from './progress.ts';
import { PHASE, Phase } from './record.ts';
import { LOST, type Evacuated, type Lost } from './reset.ts';
import type { Results } from './results.ts';
import { Settlement } from './settlement.ts';
import { Staff } from './staff.ts';
import { Table } from './table.ts';
import { Threads } from './threads.ts';
import { BREAKER_STATES } from './stats.ts';
import type { BreakerState, JobState } from './types.ts';
import { messageOf } from './value.ts';
import { Watchdog } from './watchdog.ts';

/** The page's part of the metrics: what wasm cannot know, or counted twice. */
export interface Corrections {
  submitted: number;
  refusedFull: number;
  refusedInFlight: number;
  refusedClosed: number;
  refusedTimeout: number;
  refusedAbort: number;
  refusedInput: number;
  workerCrashes: number;
}

export class Engine {
  readonly instance: Instance;
  readonly settings: PoolSettings;
  readonly admission: Admission;
  readonly settlement: Settlement;
  readonly watchdog: Watchdog;
  readonly backlog = new Backlog(this);
  readonly staff: Staff;
  /** The jobs in the present memory. */
  table!: Table;
  executor!: Executor;
  /** The names of the caller's handlers, once the first workers have told them: later ones must have the same. */
  names: string[] | undefined;
  /** The handlers' numbers, by name. */
  readonly handlers = new Map<string, number>();
  readonly corrections: Corrections = {
    submitted: 0, refusedFull: 0, refusedInFlight: 0, refusedClosed: 0, refusedTimeout: 0,
    refusedAbort: 0, refusedInput: 0, workerCrashes: 0,
  };
  readonly streams = new Set<Results>();
  /** The jobs whose progress somebody watches. */
  readonly watches = new Map<Task, Watch>();
  /** Sends an event if somebody listens. Set by the pool. */
  emit: (type: string, detail: () => unknown) => void = () => {};
  /** Whether somebody listens to anything. Set by the pool. */
  listening = false;
  /** Called after each batch of settled jobs. Set by the pool. */
  afterBatch: () => void = () => {};
  /** Called when a job has to wait. Set while the pool closes. */
  afterDelay: ((task: Task) => void) | undefined;
  /** The pool's number; -1 once freed. */
  pool = -1;
  /** Jobs that are not settled. */
  open = 0;
  paused = false;
  /** Why nothing is admitted any more. */
  closed: PoolError | undefined;

  #ready!: Promise<string[]>;
  #stopped = false;
  /** Whether the rate limit is not the one that the pool was made with. */
  #quotaChanged = false;
  #snapshot: ReadonlyMap<string, number> = new Map();
  #breakers: Readonly<Record<string, BreakerState>> = {};

  constructor(instance: Instance, settings: PoolSettings) {
    this.instance = instance;
    this.settings = settings;
    this.admission = new Admission(this);
    this.settlement = new Settlement(this);
    this.staff = new Staff(this, settings.range);
    this.watchdog = new Watchdog(
      () => this.#lookAround(),
      () => this.busy,
    );
  }

  /** Makes the pool and starts its workers. */
  async start(): Promise<void> {
    for (;;) {
      try {
        this.#attach();
        break;
      } catch (error) {
        if (!this.instance.isDown) throw new RangeError(`these options cannot be had: ${messageOf(error)}`);
        this.instance.suspect(error);
        await this.instance.mended();
      }
    }
    this.instance.engines.add(this);
    try {
      this.#ready = this.executor.start();
      const names = (this.names = await this.#started());
      const builtIns = glue.handler_names().split(',').filter((name) => name !== '');
      const shadow = names.find((name) => builtIns.includes(name));
      if (shadow !== undefined) throw new TypeError(`the handler ${JSON.stringify(shadow)} shadows a built-in job`);
      [...builtIns, ...names].forEach((name, id) => this.handlers.set(name, id));
      if (this.settings.breakerPerJob && this.handlers.size > MAX_BREAKERS) {
        throw new RangeError(`breaker.per 'job' is for at most ${MAX_BREAKERS} jobs, and there are ${this.handlers.size}`);
      }
      this.snapshot();
    } catch (error) {
      this.staff.end(error);
      this.stop();
      await before(START_UNDONE, this.executor.leave());
      this.dispose();
      throw error;
    }
  }

  /** The workers' handlers, once all have started; also when a reset started them anew meanwhile. */
  async #started(): Promise<string[]> {
    for (;;) {
      const ready = this.#ready;
      try {
        return await ready;
      } catch (error) {
        if (this.#ready === ready) throw error;
      }
    }
  }

  /** Admits nothing any more, and lets the workers leave when they are done. */
  stop(): void {
    this.#stopped = true;
    this.instance.ask(() => {
      glue.close(this.pool);
      glue.pool_stop(this.pool);
    });
  }

  /** Stops all timers and lets go of the memory's parts; the workers must be out, or terminated. */
  dispose(): void {
    this.watchdog.stop();
    this.admission.stop();
    const spoilt = this.executor.terminate('the pool was closed');
    this.instance.engines.delete(this);
    for (const stream of this.streams) stream.end();
    this.streams.clear();
    const number = this.pool;
    this.pool = -1;
    this.backlog.look();
    if (this.instance.broken) return;
    if (spoilt) {
      if (this.instance.engines.size > 0) this.instance.reset('a closing pool had to terminate its workers', []);
      else this.instance.broken = true;
    } else {
      // Of jobs that did not come back the inputs are left.
      this.table.freeInputs();
      this.instance.ask(() => glue.pool_free(number));
      this.instance.loader.next();
    }
  }

  /** The pool cannot go on: every job ends with `error`. */
  fail(error: unknown): void {
    if (this.#stopped) return;
    this.closed ??= error instanceof PoolError
      ? error
      : new PoolError('ERR_WORKER_LOAD', `the pool's workers could not be started: ${String(error)}`, { cause: error });
    this.staff.end(this.closed);
    const ended = (task: Task) => poolClosed(task, this.closed!);
    this.settlement.endAll(ended);
    this.settlement.endRest(ended);
    this.#stopped = true;
    const spoilt = this.executor.terminate(this.closed.message);
    if (spoilt && !this.instance.broken) this.instance.reset('a pool that failed had to terminate its workers', []);
  }

  /** Takes its place in the new memory. */
  restart(ledger: Uint8Array): void {
    this.#attach();
    this.table.ledger.set(ledger);
    glue.recovered(this.pool);
    if (this.#quotaChanged) this.#setQuota();
    if (this.paused) glue.pause(this.pool);
    if (this.#stopped) return;
    this.#ready = this.executor.start();
    // `reopen` hears of it, and does not come to that if another pool cannot be started.
    this.#ready.catch(() => {});
  }

  /** Goes on with the jobs of the old memory. */
  reopen(reason: string, { carried, lost }: Evacuated): void {
    const retried = lost.filter((one) => this.#retryLost(one, reason)).length;
    this.admission.pump();
    if (this.#stopped) return;
    const ready = this.#ready;
    ready.then(
      () => {
        this.emit('reset', () => ({ reason, carried: carried + retried, lost: lost.length - retried }));
        // It may have changed while they started.
        this.executor.resize();
        this.staff.look();
      },
      (error: unknown) => {
        // Or it was cut short, by the next reset or by a close: that is no failure.
        if (this.#ready === ready) this.fail(error);
      },
    );
  }

  /** One more job is open. */
  opened(): void {
    if (this.open++ === 0) hold();
  }

  /** Whether jobs are open or handlers run. */
  get busy(): boolean {
    return this.open > 0 || this.table.free.length < this.table.tasks.length;
  }

  get handlerNames(): string[] {
    return [...this.handlers.keys()];
  }

  stateOf(task: Task): JobState {
    if (task.token < 0) {
      if (isOver(task) || task.extra?.adopted === undefined) return task.state;
    } else if (Atomics.load(this.table.i32, this.table.recordOf(task.token) + PHASE) !== Phase.QUEUED) {
      return 'running';
    }
    return (task.extra?.notBefore ?? 0) > performance.now() * 1000 ? 'delayed' : 'queued';
  }

  /** The reports of a job's progress. */
  watch(task: Task): Watch {
    let watch = this.watches.get(task);
    if (watch === undefined) {
      const polls = this.settings.mode === 'threads';
      watch = new Watch(polls ? () => (task.token < 0 ? undefined : this.executor.progress?.(task.token)) : undefined);
      if (isOver(task)) watch.end();
      else {
        this.watches.set(task, watch);
        if (task.token >= 0) this.executor.watch?.(task.token);
      }
    }
    return watch;
  }

  unwatch(task: Task): void {
    this.watches.get(task)?.end();
    this.watches.delete(task);
  }

  /** A job waits until `at` (µs), after an attempt if `error` makes what that ended by. */
  delayed(task: Task, at: number, error?: () => PoolError): void {
    if (task.extra === undefined) this.admission.addExtra(task, 0, undefined, undefined);
    // A worker that is held up tells late that it waited.
    task.extra!.notBefore = Math.max(task.extra!.notBefore, at);
    this.watchdog.by(at / 1000 - performance.now());
    if (error !== undefined && this.listening) {
      const { id, name: job, attempt } = task;
      this.emit('jobretry', () => ({ id, job, attempt, error: error(), at: at / 1000 }));
    }
    this.afterDelay?.(task);
  }

  /** The rate limit and the most jobs in flight, as `pool_create` takes them: Infinity for none, the interval in µs. */
  get gates(): { rate: [number, number, number]; maxInFlight: number } {
    const limit = (at: number) => (this.settings.config[at]! < 0 ? Infinity : this.settings.config[at]!);
    const rate: [number, number, number] = [limit(RATE), this.settings.config[RATE + 1]!, this.settings.config[RATE + 2]!];
    return { rate, maxInFlight: limit(MAX_IN_FLIGHT) };
  }

  /** Changes the rate limit, given as `pool_create` takes it. */
  setRate(rate: readonly [number, number, number]): void {
    const { config } = this.settings;
    const before = config.slice(RATE, RATE + 3);
    config.set(rate, RATE);
    this.#quotaChanged = true;
    try {
      if (this.pool >= 0 && !this.instance.broken) this.#setQuota();
    } catch (error) {
      // The new memory is told.
      if (this.instance.isDown) return this.instance.suspect(error);
      config.set(before, RATE);
      throw new RangeError(`rateLimit: ${messageOf(error)}`);
    }
  }

  setMaxInFlight(most: number): void {
    this.settings.config[MAX_IN_FLIGHT] = most;
    // A new memory is made by the same numbers.
    if (this.pool >= 0) this.instance.ask(() => glue.set_max_in_flight(this.pool, most));
    this.admission.pump();
  }

  /** Several jobs have been settled: there may be room. */
  batchEnd(): void {
    this.admission.pump();
    this.instance.loader.next();
    this.backlog.look();
    this.afterBatch();
  }

  /** Starts no more jobs, or does again. */
  setPaused(paused: boolean): void {
    this.paused = paused;
    // After a reset the new memory is told.
    this.instance.ask(() => {
      if (paused) glue.pause(this.pool);
      else {
        glue.resume(this.pool);
        this.executor.wake();
      }
    });
  }

  /** Counts a refusal of ours, of a job of `handler`. */
  note(kind: number, handler: number): void {
    const { corrections, instance, pool } = this;
    const noted = () => {
      glue.note_refused(pool, kind, handler);
      return true;
    };
    if (pool >= 0 && instance.ask(noted, false)) return;
    corrections.submitted++;
    if (kind === Noted.TIMEOUT) corrections.refusedTimeout++;
    else if (kind === Noted.ABORT) corrections.refusedAbort++;
    else corrections.refusedInput++;
  }

  /** wasm's metrics by name; while the memory is given up, those of the last time. */
  snapshot(): ReadonlyMap<string, number> {
    return (this.#snapshot = this.instance.ask(() => {
      const values = glue.snapshot(this.pool);
      return new Map(glue.snapshot_names().split(',').map((name, i) => [name, values[i]!]));
    }, this.#snapshot));
  }

  /** The state of each job's breaker, by the job's name; while the memory is given up, that of the last time. */
  breakers(): Readonly<Record<string, BreakerState>> {
    return (this.#breakers = this.instance.ask(() => Object.fromEntries([...this.handlers].map(
      ([name, handler]) => [name, BREAKER_STATES[glue.breaker_state(this.pool, handler)]!],
    )), this.#breakers));
  }

  /** Settles what is overdue; returns the time at which more will be, in ms. */
  settleDue(): number {
    for (;;) {
      const due = glue.poll(this.pool);
      if (due < 0) return (-1 - due) / 1000;
      this.settlement.timedOut(Math.floor(due / 16), due % 16);
    }
  }

  /** Settles what is overdue, kills what runs away; returns when to look again, in ms. */
  #lookAround(): number {
    if (this.pool < 0) return Infinity;
    const next = this.instance.ask(() => this.settleDue() - performance.now(), Infinity);
    if (this.instance.broken) return Infinity;
    this.executor.drain();
    return Math.min(Math.max(next, 0), this.executor.killRunaways());
  }

  /** News of jobs that are tried again or have to wait. */
  hearOfDelays(): void {
    const { instance, table } = this;
    instance.ask(() => {
      const numbers = glue.delayed_jobs(this.pool);
      const news = Array.from({ length: numbers.length / 7 }, (_, i) => {
        const [token, at, attempt, outcome, address, length, capacity] = numbers.subarray(7 * i) as unknown as [
          number, number, number, number, number, number, number,
        ];
        const error = instance.bytes(address + length).slice(address, address + length) as Uint8Array<ArrayBuffer>;
        if (capacity !== 0) glue.free(address, capacity);
        return { task: table.tasks[token], token, at, attempt, outcome, error };
      });
      for (const { task, token, at, attempt, outcome, error } of news) {
        // Whoever heard of one may have ended another.
        if (task === undefined || isOver(task)) continue;
        if (attempt === 0) {
          this.delayed(task, at);
        } else {
          task.attempt = attempt;
          this.delayed(task, at, () => failure(task, outcome, table, token, error));
        }
      }
    });
  }

  /** Whether a job that was lost is tried again; else it has failed. */
  #retryLost({ task, handler, verdict }: Lost, reason: string): boolean {
    if (task === undefined) {
      glue.note_lost(this.pool, LOST[verdict], handler);
      return false;
    }
    // Cancelled meanwhile, by somebody who was told of another job: the new memory hears of it when it is taken in.
    if (isOver(task)) return true;
    const error = lostJob(task, verdict, reason);
    const at = this.admission.retryLost(task, LOST[verdict]);
    if (at >= 0) {
      this.delayed(task, at, () => error);
      return true;
    }
    task.state = 'failed';
    this.settlement.finish(task, false, error);
    return false;
  }

  #setQuota(): void {
    const [limit, interval, burst] = this.settings.config.subarray(RATE) as unknown as [number, number, number];
    glue.set_quota(this.pool, limit, interval, burst);
  }

  #attach(): void {
    const pool = glue.pool_create(this.settings.config);
    this.table = new Table(this.instance, pool);
    this.executor = new EXECUTORS[this.settings.mode](this, this.table);
    this.pool = pool;
  }
}

const EXECUTORS = { threads: Threads, isolated: Isolated, inline: Inline };

/** As many jobs as may have a breaker of their own (`KINDS` in wasm/src/pool.rs). */
const MAX_BREAKERS = 127;

/** How long workers that did start may take to leave when others did not, in ms. */
const START_UNDONE = 1000;
