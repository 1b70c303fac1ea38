/// <reference lib="esnext.disposable" preserve="true" />
// Pool: what callers hold.

import { Closing } from './closing.ts';
import type { Refusing } from './admission.ts';
import { Engine } from './engine.ts';
import { PoolError } from './errors.ts';
import { acquire } from './instance.ts';
import { Job, Task } from './job.ts';
import { chooseMode, type Mode } from './mode.ts';
import { map } from './map.ts';
import {
  backlogSize, bufferSize, closeSettings, forMode, iterable, jobName, jobSettings, mapSettings, maxInFlightOf,
  poolSettings, rateNumbers, workerRange, type JobSettings,
} from './options.ts';
import { makeBreaker } from './breaker.ts';
import { expose } from './prometheus.ts';
import { format } from './report.ts';
import { Results } from './results.ts';
import { collect } from './stats.ts';
import type {
  Breaker, BreakerChange, BuiltIns, CloseOptions, CloseReport, Handlers, Input, JobName, MapOptions, Output,
  PoolEventMap, PoolOptions, PoolStats, RateLimit, Refusal, RunOptions, TryOptions, WorkerRange, WorkerStats,
} from './types.ts';

/** The arguments of `run` after a job's name; the input may be left out where it may be undefined. */
export type RunArguments<H, K extends keyof H, O> = undefined extends Input<H, K>
  ? [input?: Input<H, K>, options?: O]
  : [input: Input<H, K>, options?: O];

/**
 * A pool of workers that runs jobs: bounded, cancellable, observable.
 *
 * ```js
 * const pool = await Pool.create({ workers: 4, timeout: 30_000 });
 * const digest = await pool.run('sha256', file, { priority: 'high' });
 * await pool.close();
 * ```
 */
export class Pool<H extends Handlers = BuiltIns> extends EventTarget implements AsyncDisposable {
  /** Where jobs run. */
  readonly mode: Mode;
  /** Why they run there, and what the page lacks for a better mode, for people. */
  readonly reason: string;
  /** The circuit breaker: its state, and a hand on it. */
  readonly breaker: Breaker;
  /** The rate limit, which may be changed at any time. */
  readonly rateLimit: RateLimit;
  readonly #engine: Engine;
  readonly #heard = new Set<string>();
  #closing: Closing | undefined;
  /** The metrics at the end of a closed pool. */
  #last: PoolStats | undefined;
  #refusedBefore = 0;
  /** The last change of each breaker that was told, by the job's name; that of the whole pool by ''. */
  readonly #changes = new Map<string, number>();

  /**
   * Makes a pool; resolves when all its workers have started. Rejects with a TypeError or RangeError for wrong options (a
   * handler that shadows a built-in job, and another `wasmUrl` than that of the page's other pools, are TypeErrors), and
   * with a `PoolError` when a file cannot be loaded or is late (`ERR_WORKER_LOAD`), or when the page lacks what the options
   * ask for (`ERR_UNSUPPORTED`).
   */
  static async create<H extends Handlers = {}>(options?: PoolOptions): Promise<Pool<BuiltIns & H>> {
    const given = poolSettings(options);
    const settings = forMode(given, chooseMode(given.mode));
    const engine = new Engine(await acquire(settings.wasmUrl), settings);
    await engine.start();
    return make<BuiltIns & H>(engine);
  }

  /** @internal */
  constructor(engine: Engine) {
    super();
    if (!(engine instanceof Engine)) throw new TypeError('use Pool.create()');
    this.#engine = engine;
    this.mode = engine.settings.mode;
    this.reason = engine.settings.reason;
    engine.emit = (type, detail) => {
      if (this.#heard.has(type)) this.dispatchEvent(new CustomEvent(type, { detail: detail() }));
    };
    engine.afterBatch = () => {
      if (this.#heard.has('breakerchange')) this.#lookAtBreaker();
    };
    this.breaker = makeBreaker(engine, () => this.stats());
    this.rateLimit = {
      get limit() {
        return engine.gates.rate[0];
      },
      get interval() {
        return engine.gates.rate[1] / 1000;
      },
      get burst() {
        return engine.gates.rate[2];
      },
      set: (options) => engine.setRate(rateNumbers(options)),
    };
    // `maxInFlight` can be assigned: these must not seem to be.
    for (const name of ['mode', 'reason', 'breaker', 'rateLimit']) Object.defineProperty(this, name, { writable: false });
  }

  /**
   * Runs a job; the promise is its result. Throws a TypeError or RangeError for wrong arguments;
   * everything else is a rejection: a `PoolError`, or the reason of `signal`.
   */
  run<K extends JobName<H>>(job: K, ...rest: RunArguments<H, K, RunOptions>): Job<Output<H, K>>;
  run(job: string, input?: unknown, options?: RunOptions): Job<unknown> {
    const name = jobName(job);
    return this.#run(name, input, options === undefined ? undefined : jobSettings(options, this.#engine.settings, true));
  }

  /**
   * Runs a job if it can be accepted now; else says why not, `'refused' in it`. Never waits for room. An input that is read
   * first (a `Blob`, or a large one) may still be refused afterwards: then the promise rejects. Throws as `run` does.
   */
  tryRun<K extends JobName<H>>(job: K, ...rest: RunArguments<H, K, TryOptions>): Job<Output<H, K>> | Refusal;
  tryRun(job: string, input?: unknown, options: TryOptions = {}): Job<unknown> | Refusal {
    const engine = this.#engine;
    const settings = jobSettings(options, engine.settings, false);
    const task = engine.admission.task(jobName(job));
    const promise = new Job<unknown>(task);
    const refused = engine.admission.admit(task, input, settings);
    if (refused === undefined) return promise;
    // Nobody holds the promise, and the results are of jobs that were taken.
    engine.admission.tellRefused(task, refused.error);
    return refusal(refused, task);
  }

  /** Runs a job without a promise; its result comes by `results()`. Returns its id. Throws as `run` does. */
  submit<K extends JobName<H>>(job: K, ...rest: RunArguments<H, K, RunOptions>): number;
  submit(job: string, input?: unknown, options?: RunOptions): number {
    const engine = this.#engine;
    const name = jobName(job);
    const settings = options === undefined ? undefined : jobSettings(options, engine.settings, true);
    const task = engine.admission.task(name);
    const refused = engine.admission.admit(task, input, settings);
    if (refused !== undefined) engine.admission.refuse(task, refused.error);
    return task.id;
  }

  /**
   * Runs a job for each input, and gives their results: in the order of the inputs, or, with `ordered: false`, as they
   * end. Reads at most `concurrency` inputs ahead of the results that were taken, and waits where the pool is full or
   * its rate limit is reached. The first error of a job, of `inputs` or of `signal` ends the iteration; that, or leaving
   * the loop, cancels the jobs under way and closes `inputs`.
   */
  map<K extends JobName<H>>(
    job: K,
    inputs: Iterable<Input<H, K>> | AsyncIterable<Input<H, K>>,
    options?: MapOptions,
  ): AsyncGenerator<Output<H, K>, void, undefined>;
  map(job: string, inputs: Iterable<unknown> | AsyncIterable<unknown>, options?: MapOptions): AsyncGenerator<unknown, void, undefined> {
    const engine = this.#engine;
    const name = jobName(job);
    const { job: settings, ...own } = mapSettings(options, engine.settings);
    return map((input) => this.#run(name, input, settings), iterable(inputs), own);
  }

  /**
   * Every job's result, from this call on, in the order in which they end; ends when the pool is
   * closed. Holds `buffer` results (1024) for a slow reader, then drops the oldest and counts them
   * in `missed`.
   */
  results(options?: { buffer?: number }): Results {
    const { streams } = this.#engine;
    const results = new Results(bufferSize(options), (self) => streams.delete(self));
    if (this.#last === undefined) streams.add(results);
    else results.end();
    return results;
  }

  /** Starts no more jobs until `resume`; those that run go on, and jobs are still accepted. Time-outs go on, too. */
  pause(): void {
    this.#setPaused(true);
  }

  /** Starts jobs again after `pause`. */
  resume(): void {
    this.#setPaused(false);
  }

  /**
   * Changes the number of workers, or, with a range, between which numbers the pool changes it itself. Jobs go on: a
   * worker that is too many leaves when its job has ended. Resolves when there are as many as the last call asks for;
   * rejects when one could not be started, and when the pool is closed first. Inline, there is always one.
   */
  resize(workers: number | WorkerRange): Promise<void> {
    const engine = this.#engine;
    return engine.staff.resize(workerRange(workers, engine.settings));
  }

  /** Resolves when no job is waiting, queued, delayed or running; handlers of cancelled jobs may still be. */
  idle(): Promise<void> {
    return this.#engine.settlement.idle();
  }

  /** Resolves when fewer than `size` jobs (at least 1) wait, for room or in the queue. */
  sizeBelow(size: number): Promise<void> {
    return this.#engine.backlog.below(backlogSize(size));
  }

  /** The metrics at this moment; those at the end, once the pool is closed. */
  stats(): PoolStats {
    if (this.#last === undefined) return this.#collect();
    // Only refusals still happen to a closed pool.
    const late = this.#engine.corrections.refusedClosed - this.#refusedBefore;
    const { submitted, refusedClosed } = this.#last;
    return { ...this.#last, submitted: submitted + late, refusedClosed: refusedClosed + late };
  }

  /** The metrics as a table for people. */
  report(): string {
    return format(this.stats());
  }

  /** The metrics in Prometheus' text format, for a page or a server to pass on. */
  prometheus(): string {
    return expose(this.stats());
  }

  /**
   * Most jobs that are accepted and not settled; `Infinity` is no limit. May be set at any time, to 1 or more: less is a
   * RangeError.
   */
  get maxInFlight(): number {
    return this.#engine.gates.maxInFlight;
  }

  /** Jobs that are over it already stay. */
  set maxInFlight(most: number) {
    this.#engine.setMaxInFlight(maxInFlightOf(most));
  }

  /**
   * Closes the pool: nothing is accepted any more, its jobs end as `mode` says, its workers leave. Resolves with what came
   * of it, at the latest 50 ms after `deadline` (large results are still copied out), and does not reject. A second call
   * returns the first one's promise; if it is given a stricter mode or an earlier deadline, that holds from then on.
   */
  close(options?: CloseOptions): Promise<CloseReport> {
    const settings = closeSettings(options);
    const last = (workers: WorkerStats[]) => {
      this.#last = { ...this.#collect(), workers: workers.map(({ id, jobsDone }) => ({ id, state: 'left', jobsDone })) };
      this.#refusedBefore = this.#engine.corrections.refusedClosed;
    };
    if (this.#closing !== undefined) this.#closing.hurry(settings);
    else {
      // First: what ends now may be heard of by a listener that closes the pool, too.
      this.#closing = new Closing(this.#engine);
      this.#closing.start(settings, last);
    }
    return this.#closing.report;
  }

  /** Closes the pool as `close()` does: `await using pool = await Pool.create()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Hears of an event from now on; `PoolEventMap` says which there are. */
  override addEventListener<K extends keyof PoolEventMap>(
    type: K,
    listener: ((event: PoolEventMap[K]) => void) | { handleEvent(event: PoolEventMap[K]): void } | null,
    options?: Parameters<EventTarget['addEventListener']>[2],
  ): void;
  override addEventListener(type: string, listener: any, options?: Parameters<EventTarget['addEventListener']>[2]): void {
    super.addEventListener(type, listener, options);
    if (listener === null || listener === undefined) return;
    this.#heard.add(type);
    this.#engine.listening = true;
    if (type === 'breakerchange' && this.#last === undefined) this.#readBreakers(() => {});
  }

  /** Hears of it no more. */
  override removeEventListener<K extends keyof PoolEventMap>(
    type: K,
    listener: ((event: PoolEventMap[K]) => void) | { handleEvent(event: PoolEventMap[K]): void } | null,
    options?: Parameters<EventTarget['removeEventListener']>[2],
  ): void;
  override removeEventListener(type: string, listener: any, options?: Parameters<EventTarget['removeEventListener']>[2]): void {
    super.removeEventListener(type, listener, options);
  }

  #run(name: string, input: unknown, settings: JobSettings | undefined): Job<unknown> {
    const { admission } = this.#engine;
    const task = admission.task(name);
    const promise = new Job<unknown>(task);
    const refused = admission.admit(task, input, settings);
    if (refused !== undefined) admission.refuse(task, refused.error);
    return promise;
  }

  #collect(): PoolStats {
    return collect(this.#engine);
  }

  #setPaused(paused: boolean): void {
    const engine = this.#engine;
    if (engine.closed !== undefined || engine.paused === paused) return;
    engine.setPaused(paused);
  }

  #lookAtBreaker(): void {
    if (this.#engine.pool < 0 || this.#engine.instance.broken) return;
    this.#readBreakers((job, { from, to }) =>
      this.dispatchEvent(new CustomEvent('breakerchange', { detail: job === '' ? { from, to } : { from, to, job } })));
  }

  /** Calls `tell` with each change that was not told. */
  #readBreakers(tell: (job: string, change: BreakerChange) => void): void {
    const { handlerNames, settings } = this.#engine;
    for (const job of settings.breakerPerJob ? handlerNames : ['']) {
      const { log } = job === '' ? this.breaker : this.breaker.of(job);
      for (const change of log) {
        if (change.generation <= (this.#changes.get(job) ?? 0)) continue;
        this.#changes.set(job, change.generation);
        tell(job, change);
      }
    }
  }
}

/** Not in the class: one that names itself gets another name from the bundler. */
function make<H extends Handlers>(engine: Engine): Pool<H> {
  return new Pool<H>(engine);
}

function refusal({ error }: Refusing, task: Task): Refusal {
  const known = error instanceof PoolError
    ? error
    : new PoolError('ERR_CANCELLED', `job ${task.id} (${task.name}) was aborted before it began`, { jobId: task.id, cause: error });
  const { code: refused, retryAfter } = known;
  return retryAfter === undefined ? { refused, error: known } : { refused, retryAfter, error: known };
}
