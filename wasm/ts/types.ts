// The shapes of the public interface. All times are in ms.

import type { Arrives } from './arrives.ts';
import type { Context } from './context.ts';
import type { PoolError, ErrorCode } from './errors.ts';
import type { Mode } from './mode.ts';

/** Functions that run as jobs, by name: `(input, context?) => output`; the context is that of `weirpool/worker`. */
export type Handlers = { [name: string]: any };

/**
 * The jobs among a module's exports, `typeof import('./my-jobs.js')` as handlers: the functions that take one input as
 * it arrives (a `Date` as a string, a `Blob` as a `Uint8Array`), and after it nothing or the `Context`.
 */
export type JobName<H> = {
  [K in keyof H]: K extends 'default' ? never : H[K] extends JobOf<H[K]> ? K : never;
}[keyof H] & string;

/** What job `K` takes; where that is bytes, also a buffer, a `Blob` or a `File`. What cannot travel is `never`. */
export type Input<H, K extends keyof H> = H[K] extends (...args: infer A) => any
  ? A extends [] ? undefined : BlobToo<Arrives<A[0]>>
  : never;

/**
 * What the promise of job `K` resolves with: what arrives of its result. A `Date`, or what else has `toJSON`, is what that
 * returns; what cannot travel is `never`.
 */
export type Output<H, K extends keyof H> = H[K] extends (...args: any[]) => infer R ? Arrives<Exclude<Awaited<R>, Blob>> : never;

/** What function `F` must be to be a job: one that takes what arrives of its own input. Of some nothing does. */
export type JobOf<F> = F extends (...args: infer A) => any
  ? [Arrives<A[0]>] extends [never] ? 'an input of this type cannot travel' : (input: Arrives<A[0]>, context: Context) => unknown
  : never;

/** Handlers get bytes as a `Uint8Array`; the caller may also give a buffer, a `Blob` or a `File`. */
type BlobToo<T> = Uint8Array<ArrayBuffer> extends T ? T | Uint8Array | ArrayBuffer | Blob : T;

/** What the built-in job `simulate` does. */
export interface SimulateInput {
  /** How long it takes, in ms: 0 to a day. */
  duration: number;
  /**
   * How it ends: `'success'` unless given. `'error'` is a handler's error (`ERR_JOB_FAILED`), `'panic'` and `'trap'` are
   * `ERR_PANIC`; a `'runaway'` never ends and ignores its cancellation: see `killAfter`.
   */
  outcome?: 'success' | 'error' | 'panic' | 'trap' | 'runaway';
}

/** A tile of a picture of the Mandelbrot set; it must lie inside the picture. */
export interface MandelbrotInput {
  /** The width of the whole picture, in pixels: 1 to 16384. */
  width: number;
  /** The height of the whole picture, in pixels: 1 to 16384. */
  height: number;
  /** The tile's left edge, in pixels. */
  x: number;
  /** The tile's upper edge, in pixels. */
  y: number;
  /** The tile's width, in pixels. */
  w: number;
  /** The tile's height, in pixels. */
  h: number;
  /** The real part of the picture's middle. */
  centerX: number;
  /** The imaginary part of the picture's middle. */
  centerY: number;
  /** The height of the picture in the complex plane: over 0. */
  scale: number;
  /** After how many steps a point counts as one of the set: 1 to 250000. */
  maxIterations: number;
}

/** The jobs that every pool has. An input that one does not take is `ERR_DATA`. */
export interface BuiltIns {
  /** Returns its input. */
  echo(input?: any): any;
  /** Takes a while and ends as it is told: for trying a pool out. */
  simulate(input: SimulateInput): undefined;
  /** The SHA-256 digest of bytes, or of a string's UTF-8, in hexadecimal. */
  sha256(input: Uint8Array | ArrayBuffer | Blob | string): string;
  /** Compresses bytes, or a string's UTF-8, as gzip. */
  gzip(input: Uint8Array | ArrayBuffer | Blob | string): Uint8Array<ArrayBuffer>;
  /** Decompresses gzip, also several members in a row; what is not gzip is `ERR_JOB_FAILED`. */
  gunzip(input: Uint8Array | ArrayBuffer | Blob): Uint8Array<ArrayBuffer>;
  /** The tile's pixels, RGBA, row by row. */
  mandelbrot(input: MandelbrotInput): Uint8Array<ArrayBuffer>;
}

/**
 * What goes first: `'critical'`, then `'high'`, `'normal'`, `'low'`. A queued job moves up one priority per
 * `queue.ageing`, so that none starves.
 */
export type PriorityName = 'low' | 'normal' | 'high' | 'critical';

/**
 * How one job is run. Times are over 0 and at most 2³¹ − 1 ms (24 days), or `Infinity`; those left out are the pool's,
 * which has none unless given.
 */
export interface RunOptions {
  /** `'normal'` unless given. */
  priority?: PriorityName;
  /** Cancels the job, wherever it is; its promise then rejects at once with `signal.reason`. */
  signal?: AbortSignal;
  /** Longest time of running, of each attempt: `ERR_TIMEOUT` with phase `'run'`. */
  timeout?: number;
  /** Longest time in the queue, before the first attempt: `ERR_TIMEOUT` with phase `'queue'`. */
  queueTimeout?: number;
  /** Longest time from the call to the result, all attempts and pauses included: `ERR_TIMEOUT` with phase `'total'`. */
  totalTimeout?: number;
  /** Whether and how it is tried again: the pool's setting unless given. What is left out is the pool's, too. */
  retry?: Omit<RetryOptions, 'budget'> | boolean;
  /**
   * What to do when the queue is full or `maxInFlight` is reached: reject with `ERR_QUEUE_FULL` or
   * `ERR_IN_FLIGHT_LIMIT`, or wait for room. The pool's setting unless given.
   */
  whenFull?: 'reject' | 'wait';
  /**
   * Longest time until the job is accepted, which is waiting for room and reading its input: `ERR_TIMEOUT` with phase
   * `'submit'`.
   */
  submitTimeout?: number;
}

/** How a job is run by `tryRun`, which never waits for room. */
export type TryOptions = Omit<RunOptions, 'whenFull' | 'submitTimeout'>;

/** How failed jobs are tried again. */
export interface RetryOptions {
  /** Most attempts in all, the first one included: 3 unless given; 1 to 255. */
  attempts?: number;
  /**
   * The pause after the first attempt, in ms, which doubles after each: 100 unless given; 0 to an hour. Half of each
   * pause is random.
   */
  backoff?: number;
  /** The longest pause, in ms: 10 s unless given; at least `backoff`, at most an hour. */
  maxBackoff?: number;
  /**
   * Whether also after a kill and after a run time-out: `false` unless given. Such a time-out takes effect when the handler
   * has returned, whatever it returns, or is killed (`killGrace`).
   */
  timeouts?: boolean;
  /** Whether also after a panic or trap of a built-in job: `false` unless given. */
  panics?: boolean;
  /**
   * For the whole pool: how many retries a hundred completed jobs pay for, 20 unless given; 1 to 1000. Ten are saved up
   * at the beginning. `false`: as many as there are failures.
   */
  budget?: number | false;
}

/** How `map` runs its jobs; what it shares with `run` holds for each of them. */
export interface MapOptions extends Omit<RunOptions, 'whenFull'> {
  /** Whether results come in the order of their inputs, not as they end: `true` unless given. */
  ordered?: boolean;
  /**
   * Most inputs that are read and whose results are not taken, 1 to 4096: twice what can run at once unless given, times
   * `chunkSize`.
   */
  concurrency?: number;
  /**
   * How many inputs make one job, which runs them one after another: 1 unless given; 1 to 4096. For small inputs, no
   * `Blob`s. All that holds for a job, time-outs, retries, limits and counts, then holds for a chunk. One that is not full
   * is run when there is nothing else to do. At least twice as much `concurrency` keeps the workers busy; with less than
   * `chunkSize`, chunks are that small.
   */
  chunkSize?: number;
  /** Ends the iteration, which then rejects with `signal.reason`, and cancels its jobs. */
  signal?: AbortSignal;
}

/**
 * When the breaker opens and closes; `false` turns a condition off. Failures are handlers' errors (unless they say
 * `ignored: true`), panics, kills and run and total time-outs; cancelled and refused jobs do not count.
 */
export interface BreakerOptions {
  /**
   * Whether there is one breaker for the whole pool, `'pool'` unless given, or one for each job by its name: `'job'`, whose
   * breakers are `pool.breaker.of(job)`.
   */
  per?: 'pool' | 'job';
  /** Opens after this many failures in a row: 5 unless given; 1 to 40. */
  consecutive?: number | false;
  /** Opens when this many per cent of the window failed: 50 unless given; 1 to 100. */
  failureRate?: number | false;
  /** Opens when this many per cent of the window took longer than `slowCall`: off unless given; 1 to 100. */
  slowRate?: number | false;
  /** A call that ran for longer than this, in ms, is slow: needed with `slowRate`. */
  slowCall?: number;
  /** How many of the last calls are looked at: 20 unless given; 1 to 40. */
  window?: number;
  /** How many calls there must be before a rate counts: 10 unless given, or `window` if that is less. */
  minimumCalls?: number;
  /** How long it stays open the first time, in ms; doubles at each failed probe: 10 s unless given. */
  pause?: number;
  /** How long it stays open at most, in ms: 60 s unless given, or `pause` if that is more. */
  maxPause?: number;
  /** How many calls are let through while half-open, all of which must succeed: 3 unless given; 1 to 40. */
  probes?: number;
  /** How long a probe may take before its place is given to another, in ms: 30 s unless given. */
  lease?: number;
  /** Whether a job whose `submitTimeout` passed counts as a failure: `false` unless given. */
  countSubmitTimeouts?: boolean;
}

/**
 * A limit on the jobs that run at once that finds its own value: it falls to 7/8 when more than a tenth of a window's
 * runs took longer than `target`, and rises by one when it was reached and they did not. It is never over the number of
 * workers (times `concurrency`).
 */
export interface AdaptiveOptions {
  /** How long nine runs of ten may take, in ms: 1000 unless given; at most a day. */
  target?: number;
  /** How often the limit may change, in ms: 1000 unless given, or `target` if that is more; at least `target`, at most a day. */
  window?: number;
  /** What the limit does not fall below: 1 unless given; 1 to 4096. */
  min?: number;
}

/** A pool that grows while jobs wait and every worker is busy, and shrinks while workers are idle. */
export interface WorkerRange {
  /** Fewest workers, with which it starts: at least 1. */
  min: number;
  /** Most workers: at least `min`, at most 64. */
  max: number;
  /** A worker that has had no job for so long, in ms, is let go: 30 s unless given; it may be a quarter longer. */
  idleTimeout?: number;
}

/** A web worker, where the types have it: those of Node do not. */
type WebWorker = typeof globalThis extends { Worker: { prototype: infer W } } ? W : never;

/** How a pool is made. A wrong type is a `TypeError`, a wrong value a `RangeError`, an unknown option a `TypeError`. */
export interface PoolOptions {
  /**
   * Where jobs run: `'auto'`, the best that the page allows, unless given. One that the page does not allow is
   * `ERR_UNSUPPORTED`.
   */
  mode?: Mode | 'auto';
  /**
   * How many workers: `max(1, min(hardwareConcurrency − 1, 16))` unless given; 1 to 64. With a range, as many as there is
   * work for. Inline there is always one, which is the page.
   */
  workers?: number | WorkerRange;
  /**
   * How many jobs an isolated worker runs at once, for asynchronous handlers: 1 unless given; 1 to 64. Without effect in
   * the other modes, which run one at a time on a worker.
   */
  concurrency?: number;
  /** How jobs wait for a worker. */
  queue?: {
    /** How many jobs may be queued: 1024 unless given; 1 to 4032. */
    capacity?: number;
    /**
     * What to do when the queue is full or `maxInFlight` is reached: `'reject'` unless given, with `ERR_QUEUE_FULL` or
     * `ERR_IN_FLIGHT_LIMIT`; or `'wait'` for room.
     */
    whenFull?: 'reject' | 'wait';
    /** How many jobs may wait for room; one more is `ERR_QUEUE_FULL`: 1024 unless given. */
    maxWaiting?: number;
    /** After how long in the queue a job moves up one priority, in ms: 1000 unless given. `false`: strict priority. */
    ageing?: number | false;
    /** What goes first within a priority: `'fifo'` unless given, or the earliest deadline by `totalTimeout`. */
    order?: 'fifo' | 'deadline';
    /**
     * With `order: 'deadline'`: how far deadlines count, in ms: 60 s unless given; at most three days. No job is put off
     * for longer than that.
     */
    horizon?: number;
  };
  /** Most jobs that are accepted and not settled; one more is `ERR_IN_FLIGHT_LIMIT`. `Infinity`, no limit, unless given. */
  maxInFlight?: number;
  /** How many jobs are accepted in a time; one more is `ERR_RATE_LIMITED`. `false`, no limit, unless given. */
  rateLimit?: RateLimitOptions | false;
  /** Refuses jobs with `ERR_CIRCUIT_OPEN` while they mostly fail. Off unless given; `true`: with the defaults. */
  breaker?: BreakerOptions | boolean;
  /** Lets fewer jobs run at once while they take too long. Off unless given; `true`: with the defaults. */
  adaptive?: AdaptiveOptions | boolean;
  /** Tries failed jobs again. Off unless given; `true`: with the defaults. */
  retry?: RetryOptions | boolean;
  /** Longest time of running, of each attempt, for jobs without a `timeout` of theirs, in ms. None unless given. */
  timeout?: number;
  /** Longest time in the queue, for jobs without a `queueTimeout` of theirs, in ms. None unless given. */
  queueTimeout?: number;
  /** Longest time from the call to the result, for jobs without a `totalTimeout` of theirs, in ms. None unless given. */
  totalTimeout?: number;
  /**
   * A handler that runs for longer than this, in ms, is killed: its job fails with `ERR_KILLED`, others that run on the
   * workers it takes down (with threads all those of the page's pools, isolated its own) with `ERR_WORKER_CRASHED`. Never
   * unless given; inline `ERR_UNSUPPORTED`.
   */
  killAfter?: number;
  /**
   * How long a handler may ignore its cancellation or time-out, in ms, before it is killed. For ever unless given, but an
   * isolated worker that runs nothing else is replaced after 250 ms at the latest. Inline `ERR_UNSUPPORTED`.
   */
  killGrace?: number;
  /**
   * Makes a worker of your own file, which calls `serve` of `weirpool/worker`. Excludes `workerUrl`, which is for Node; unused
   * inline.
   */
  createWorker?: () => WebWorker;
  /** Imports your jobs for inline mode, `() => import('./my-jobs.js')`. Unused with workers. */
  handlers?: () => Promise<object>;
  /** Modules that each worker, or inline the page, imports, and whose exported functions are jobs: for no bundler. */
  jobs?: (string | URL)[];
  /** Where `weirpool.wasm` is, if not beside the script. All pools of a page share one. */
  wasmUrl?: string | URL;
  /**
   * Where the worker file is, if it is not `default-worker.js` beside the script: in Node, and on pages without a bundler,
   * which would not see it. Excludes `createWorker`.
   */
  workerUrl?: string | URL;
  /** How long workers may take to start, in ms; longer is `ERR_WORKER_LOAD`: 10 s unless given. */
  startupTimeout?: number;
}

/** How many jobs are accepted in a time: up to 10 million a second. */
export interface RateLimitOptions {
  /** Most jobs in `interval`: 1 to 2³² − 1. */
  limit: number;
  /** In ms: over 0, at most 24 days. */
  interval: number;
  /** Most jobs at once, after a time without any: `limit` unless given. */
  burst?: number;
}

/**
 * Where a job stands: `'waiting'` to be accepted (for room, or for its input to be read), `'queued'`, `'delayed'` (until
 * its next attempt, or for the breaker), `'running'`; then how it ended.
 */
export type JobState =
  | 'waiting' | 'queued' | 'delayed' | 'running' | 'completed' | 'failed' | 'timed-out' | 'cancelled' | 'refused';

/** How long a job took, in ms: 0 until it has settled, and where it was never accepted. */
export interface Timing {
  /** In the queue, before its last attempt; all of it, for a job that never ran. */
  readonly wait: number;
  /** Running, of its last attempt; until it was settled, where its handler went on. */
  readonly run: number;
  /** From the acceptance to the end. */
  readonly total: number;
}

/** Why `tryRun` did not take a job. */
export interface Refusal {
  /** The code of `error`; `ERR_CANCELLED` where `signal` was aborted already. */
  readonly refused: ErrorCode;
  /** The wait in ms after which it may be taken, where that is known. */
  readonly retryAfter?: number;
  /** What `run` would have rejected with. */
  readonly error: PoolError;
}

/** How one job ended, as `results()` gives it: `ok` with its `value`, or not with its `error`. */
export type JobResult = {
  /** The job's number in its pool. */
  readonly id: number;
  /** The job's name. */
  readonly job: string;
  /** As in `Timing`. */
  readonly wait: number;
  /** As in `Timing`. */
  readonly run: number;
  /** As in `Timing`. */
  readonly total: number;
  /** Which attempt was the last, from 1; 0 when it never ran. */
  readonly attempt: number;
  /** Which worker ran it; -1 when none did. */
  readonly worker: number;
} & ({
  /** Whether it gave a result. */
  readonly ok: true;
  /** What its promise resolves with. */
  readonly value: unknown;
} | {
  /** Whether it gave a result. */
  readonly ok: false;
  /** What its promise rejects with. */
  readonly error: unknown;
});

/** How a pool is closed. */
export interface CloseOptions {
  /**
   * `'drain'`, unless given: every job still runs but those that wait for room; `'cancel-queued'`: only running ones end;
   * `'abort'`: none. Jobs that are cut off reject with `ERR_POOL_CLOSED`.
   */
  mode?: 'drain' | 'cancel-queued' | 'abort';
  /**
   * After this many ms the rest is aborted, and workers that do not leave within another 50 ms are terminated (with threads
   * that costs the running jobs of other pools, too): unless given 30 s, with `'abort'` 1 s; `Infinity`: never.
   */
  deadline?: number;
}

/** What came of closing. */
export interface CloseReport {
  /** How it was closed. */
  readonly mode: 'drain' | 'cancel-queued' | 'abort';
  /** Whether every worker ended by itself before the deadline and, with `'drain'`, every job. */
  readonly clean: boolean;
  /** Jobs that ended by themselves after the call of `close`. */
  readonly finished: number;
  /** Jobs that were cut off with `ERR_POOL_CLOSED`. */
  readonly aborted: number;
  /** Workers that had to be terminated, since a handler did not return; with threads that are all of them, which leave together. */
  readonly terminated: number;
  /** How long closing took, in ms. */
  readonly duration: number;
}

/**
 * Whether jobs pass a breaker: all (`'closed'`, `'disabled'`), none (`'open'`, until its pause is over; `'forced-open'`,
 * until `reset`), or a few to find out (`'half-open'`). A pool without a breaker has a `'disabled'` one.
 */
export type BreakerState = 'closed' | 'open' | 'half-open' | 'forced-open' | 'disabled';

/** Why a breaker changed its state. */
export type BreakerCause =
  | 'consecutive' | 'failure-rate' | 'slow-rate' | 'probe-failed' | 'pause-over' | 'lease-over' | 'probes-succeeded'
  | 'tripped' | 'reset' | 'disabled';

/** One change of a breaker's state. */
export interface BreakerChange {
  /** When, in ms on the clock of `performance.now()`. */
  readonly at: number;
  /** The state before. */
  readonly from: BreakerState;
  /** The state from then on. */
  readonly to: BreakerState;
  /** Why. */
  readonly cause: BreakerCause;
  /** The number of the change. */
  readonly generation: number;
}

/** The rate limit of a pool. */
export interface RateLimit {
  /** Most jobs in `interval`; `Infinity` when there is no limit, the others are 0 then. */
  readonly limit: number;
  /** In ms. */
  readonly interval: number;
  /** Most jobs at once. */
  readonly burst: number;
  /**
   * Changes it, or ends it by `false`. What was used before still counts. A wrong value is a `RangeError` and changes
   * nothing.
   */
  set(options: RateLimitOptions | false): void;
}

/**
 * A circuit breaker: the pool's, or that of one job. Where there is none, `trip`, `reset` and `disable` throw a
 * `TypeError`.
 */
export interface Breaker {
  /**
   * What it does now; `'half-open'` from the end of its pause on. `'disabled'` in a pool without a breaker, or with one for
   * each job.
   */
  readonly state: BreakerState;
  /** The last eight changes of its state, oldest first; none where there is no breaker. */
  readonly log: readonly BreakerChange[];
  /** Opens it until `reset` or `disable`. */
  trip(): void;
  /** Closes it and forgets what it counted. */
  reset(): void;
  /** Lets everything pass and counts nothing until `reset`. */
  disable(): void;
  /** The breaker of one job, in a pool made with `breaker: { per: 'job' }`; in another, or without such a job, a `TypeError`. */
  of(job: string): Breaker;
}

/** What a worker does. */
export interface WorkerStats {
  /** Its number, as in `JobResult.worker`. A number may be used again once its worker has left. */
  readonly id: number;
  /** What it does; `'left'` in a pool that is closed. */
  readonly state: 'starting' | 'idle' | 'busy' | 'left';
  /** The id of the job it runs, or of one of them; left out when it runs none, or one that has settled. */
  readonly job?: number;
  /** How many jobs it has ended, however they ended. */
  readonly jobsDone: number;
}

/** A distribution of times, in ms; all 0 while there is none. */
export interface TimeStats {
  /** How many times were recorded. */
  readonly count: number;
  /** Their sum by their number. */
  readonly mean: number;
  /** The median. */
  readonly p50: number;
  /** Nine of ten do not exceed it. */
  readonly p90: number;
  /** 99 of 100 do not exceed it. */
  readonly p99: number;
  /** 999 of 1000 do not exceed it. */
  readonly p999: number;
  /** The largest. */
  readonly max: number;
}

/**
 * A pool's metrics at one moment: counts of its life, gauges of now, times. The sums hold whenever nothing is on its way
 * between two of them.
 */
export interface PoolStats {
  /** Where jobs run. */
  readonly mode: Mode;
  /** Jobs that were given to the pool: `accepted`, all `refused…` and `waiting`. */
  readonly submitted: number;
  /** Jobs that were accepted: `completed + failed + timedOut + cancelled + queued + delayed + running`. */
  readonly accepted: number;
  /** Refused because the queue was full, or too many waited for room. */
  readonly refusedFull: number;
  /** Refused by the rate limit. */
  readonly refusedRate: number;
  /** Refused by the circuit breaker. */
  readonly refusedBreaker: number;
  /** Refused because `maxInFlight` was reached. */
  readonly refusedInFlight: number;
  /** Refused because the pool was closed. */
  readonly refusedClosed: number;
  /** Given up after waiting for too long to be accepted. */
  readonly refusedTimeout: number;
  /** Cancelled before they were accepted. */
  readonly refusedAbort: number;
  /** Refused for their input or their name. */
  readonly refusedInput: number;
  /** Attempts that began. */
  readonly started: number;
  /** Jobs that gave a result. */
  readonly completed: number;
  /** Jobs that failed: handlers' errors, panics, kills, lost workers, a breaker that opened meanwhile. */
  readonly failed: number;
  /** Accepted jobs whose time-out passed. */
  readonly timedOut: number;
  /** Accepted jobs that were cancelled. */
  readonly cancelled: number;
  /** Failed attempts that were followed by another. */
  readonly retried: number;
  /** Jobs that failed by a panic; they are in `failed` too. */
  readonly panicked: number;
  /** Results that came after their job had settled. */
  readonly stale: number;
  /** Jobs that were lost because another one took their worker down; they are in `failed` too. */
  readonly workerCrashes: number;
  /** Moves to a fresh memory, after a trap or a kill. */
  readonly resets: number;
  /** Now: jobs that wait to be accepted. */
  readonly waiting: number;
  /** Now: jobs that wait for a worker. */
  readonly queued: number;
  /** Now: jobs that wait for their next attempt, or for the breaker. */
  readonly delayed: number;
  /** Now: jobs that run and are not settled. */
  readonly running: number;
  /** Now: settled jobs whose handlers still run. */
  readonly abandoned: number;
  /** Now: workers that run a handler. */
  readonly activeWorkers: number;
  /** Most jobs that run at once: the workers that there are, times `concurrency`, or fewer by `adaptive`. */
  readonly limit: number;
  /** Most jobs that are queued or delayed. */
  readonly capacity: number;
  /** Now: `activeWorkers` by the number of workers, 0 to 1. */
  readonly utilization: number;
  /** Size of the page's WebAssembly memory, which all pools of the page share. It never shrinks, but for a reset. */
  readonly memoryBytes: number;
  /** Now: bytes of inputs in that memory. */
  readonly bufferBytes: number;
  /** Of every attempt, from when it could begin to its start. */
  readonly wait: TimeStats;
  /** Of every attempt, from its start to its end or its deadline; those of jobs that were cancelled are left out. */
  readonly run: TimeStats;
  /** Of every job that ran and was not cancelled, from its acceptance to its end. */
  readonly total: TimeStats;
  /** The circuit breaker; `'disabled'` and 0 in a pool without one, or with one for each job. */
  readonly breaker: {
    /** Its state. */
    readonly state: BreakerState;
    /** How often its state changed, modulo 2¹⁴. */
    readonly generation: number;
    /** Failures among the last calls, 0 to 1. */
    readonly failureRate: number;
    /** Slow calls among the last ones, 0 to 1. */
    readonly slowRate: number;
    /** How often it opened. */
    readonly opened: number;
    /** Results that came too late to count: of calls from before a change of its state. */
    readonly stale: number;
    /** How long a job would have to wait to pass, in ms; 0 if it would pass now, `Infinity` until a `reset`. */
    readonly retryAfter: number;
  };
  /** The states of the breakers by the jobs' names, where each job has one. */
  readonly breakers?: Readonly<Record<string, BreakerState>>;
  /** Each worker. */
  readonly workers: readonly WorkerStats[];
}

/** The details of each event, `event.detail`. An event is made only when somebody listens. */
export interface PoolEventMap {
  /** A job was accepted. */
  jobqueued: CustomEvent<{
    /** The job's number. */
    id: number;
    /** The job's name. */
    job: string;
  }>;
  /** A job began to run. With threads the page hears of it only when the job ends, just before `jobend`. */
  jobstart: CustomEvent<{
    /** The job's number. */
    id: number;
    /** The job's name. */
    job: string;
    /** The worker's number. */
    worker: number;
  }>;
  /** A job that was not refused has ended. */
  jobend: CustomEvent<JobResult>;
  /** An attempt failed, and another will follow, `at` the earliest on the clock of `performance.now()`. None comes once the
   * job has ended. */
  jobretry: CustomEvent<{
    /** The job's number. */
    id: number;
    /** The job's name. */
    job: string;
    /** Which attempt failed, from 1. */
    attempt: number;
    /** What the job would have failed with. */
    error: PoolError;
    /** When the next attempt may begin, in ms on the clock of `performance.now()`. */
    at: number;
  }>;
  /** A job was not accepted. */
  refused: CustomEvent<{
    /** The job's number. */
    id: number;
    /** The job's name. */
    job: string;
    /** Why: what its promise rejects with. */
    error: unknown;
  }>;
  /** The breaker's state changed. */
  breakerchange: CustomEvent<{
    /** The state before. */
    from: BreakerState;
    /** The state from now on. */
    to: BreakerState;
    /** Whose breaker, where each job has one. */
    job?: string;
  }>;
  /** A worker runs. */
  workerstart: CustomEvent<{
    /** Its number. */
    worker: number;
  }>;
  /** A worker has left, or was lost. */
  workerexit: CustomEvent<{
    /** Its number. */
    worker: number;
    /** Why, for people. */
    reason: string;
  }>;
  /** A job found no room: it is refused, or waits. */
  saturated: CustomEvent<{
    /** The queue's capacity. */
    capacity: number;
  }>;
  /** The last open job has ended; also one that was refused. */
  drain: CustomEvent<undefined>;
  /** With threads: the pool goes on in a fresh memory, after a trap or a kill; its workers have started. */
  reset: CustomEvent<{
    /** Why, for people. */
    reason: string;
    /** Jobs that were carried over. */
    carried: number;
    /** Jobs that were running and have failed. */
    lost: number;
  }>;
  /** The pool is closed. */
  close: CustomEvent<CloseReport>;
}
