// The shapes of the public interface. All times are in ms.

import type { PoolError, ErrorCode } from './errors.ts';
import type { Mode } from './mode.ts';

/** Functions that run as jobs, by name: `(input, context?) => output`. */
export type Handlers = { [name: string]: any };

/** The functions among a module's exports: `typeof import('./my-jobs.js')` as handlers. */
export type JobName<H> = { [K in keyof H]: H[K] extends (...args: any[]) => any ? K : never }[keyof H] & string;

/** What job `K` takes. */
export type Input<H, K extends keyof H> = H[K] extends (...args: infer A) => any
  ? A extends [] ? undefined : BlobToo<A[0]>
  : never;

/** What job `K` gives. */
export type Output<H, K extends keyof H> = H[K] extends (...args: any[]) => infer R ? Awaited<R> : never;

/** Handlers get bytes as a `Uint8Array`; the caller may also give a buffer, a `Blob` or a `File`. */
type BlobToo<T> = Uint8Array extends T ? T | ArrayBuffer | Blob : T;

/** What the built-in `simulate` does. */
export interface SimulateInput {
  /** How long it takes, in ms. */
  duration: number;
  /** How it ends: `'success'` unless given. */
  outcome?: 'success' | 'error' | 'panic' | 'trap' | 'runaway';
}

/** A tile of a picture of the Mandelbrot set. */
export interface MandelbrotInput {
  /** The whole picture, in pixels. */
  width: number;
  height: number;
  /** The tile's rectangle in it, in pixels. */
  x: number;
  y: number;
  w: number;
  h: number;
  /** The middle of the view. */
  centerX: number;
  centerY: number;
  /** The height of the view in the complex plane. */
  scale: number;
  maxIterations: number;
}

/** The jobs that every pool has. */
export interface BuiltIns {
  /** Returns its input. */
  echo<T = unknown>(input?: T): T;
  /** Takes a while and ends as it is told. */
  simulate(input: SimulateInput): undefined;
  /** The SHA-256 digest of bytes, or of a string's UTF-8, in hexadecimal. */
  sha256(input: Uint8Array | ArrayBuffer | Blob | string): string;
  /** Compresses bytes. */
  gzip(input: Uint8Array | ArrayBuffer | Blob | string): Uint8Array<ArrayBuffer>;
  /** Decompresses bytes. */
  gunzip(input: Uint8Array | ArrayBuffer | Blob): Uint8Array<ArrayBuffer>;
  /** The tile's pixels, RGBA, row by row. */
  mandelbrot(input: MandelbrotInput): Uint8Array<ArrayBuffer>;
}

export type PriorityName = 'low' | 'normal' | 'high' | 'critical';

/** How one job is run. */
export interface RunOptions {
  /** `'normal'` unless given. */
  priority?: PriorityName;
  /** Cancels the job; its promise then rejects with `signal.reason`. */
  signal?: AbortSignal;
  /** Longest time of running, of each attempt. */
  timeout?: number;
  /** Longest time in the queue, before the first attempt. */
  queueTimeout?: number;
  /** Longest time from the call to the result. */
  totalTimeout?: number;
  /** Whether and how it is tried again: the pool's setting unless given. What is left out is the pool's, too. */
  retry?: Omit<RetryOptions, 'budget'> | boolean;
  /** What to do when there is no room: the pool's setting unless given. */
  whenFull?: 'reject' | 'wait';
  /** Longest time until the job is accepted: waiting for room and reading its input. */
  submitTimeout?: number;
}

/** How a job is run that never waits for room. */
export type TryOptions = Omit<RunOptions, 'whenFull' | 'submitTimeout'>;

/** How failed jobs are tried again. */
export interface RetryOptions {
  /** Most attempts in all: 3; at most 255. */
  attempts?: number;
  /** The pause after the first attempt, which doubles each time: 100 ms. Half of each pause is random. */
  backoff?: number;
  /** The longest pause: 10 s; at most an hour. */
  maxBackoff?: number;
  /** Also after the run time-out, which then only takes effect when the handler has returned or is killed. */
  timeouts?: boolean;
  /** Also after a panic or trap of a built-in job. */
  panics?: boolean;
  /**
   * For the whole pool: how many retries a hundred completed jobs pay for, 20; ten are saved up at the beginning.
   * `false`: as many as there are failures.
   */
  budget?: number | false;
}

/** How `map` runs its jobs. */
export interface MapOptions extends Omit<RunOptions, 'whenFull'> {
  /** Whether results come in the order of their inputs, not as they end: `true`. */
  ordered?: boolean;
  /** The most inputs that are read and whose results are not taken: twice as many as can run at once. */
  concurrency?: number;
  /** Ends the iteration, which then rejects with `signal.reason`. */
  signal?: AbortSignal;
}

/** When the breaker opens and closes; `false` turns a condition off. */
export interface BreakerOptions {
  /** Whether there is one breaker for the whole pool, which is the default, or one for each job by its name. */
  per?: 'pool' | 'job';
  /** Opens after this many failures in a row: 5. */
  consecutive?: number | false;
  /** Opens when this many per cent of the window failed: 50. */
  failureRate?: number | false;
  /** Opens when this many per cent of the window took longer than `slowCall`: off. */
  slowRate?: number | false;
  slowCall?: number;
  /** How many calls are looked at: 20, at most 40. */
  window?: number;
  /** How many calls there must be before a rate counts: 10. */
  minimumCalls?: number;
  /** How long it stays open the first time; doubles at each failed probe: 10 s. */
  pause?: number;
  /** How long it stays open at most: 60 s. */
  maxPause?: number;
  /** How many calls are let through while half-open: 3. */
  probes?: number;
  /** How long a probe may take before its place is given to another: 30 s. */
  lease?: number;
  /** Whether a job that waited for room for too long counts as a failure: no. */
  countSubmitTimeouts?: boolean;
}

/** A limit on the jobs that run at once that finds its own value: it falls to 7/8 when more than a tenth of a window's
 * runs took longer than `target`, and rises by one when it was reached and they did not. */
export interface AdaptiveOptions {
  /** How long nine runs of ten may take, in ms: 1000. */
  target?: number;
  /** How often the limit may change, in ms: 1000, at least `target`, at most 24 hours. */
  window?: number;
  /** What the limit does not fall below: 1. It never rises above the workers (times `concurrency`). */
  min?: number;
}

/** A pool that grows while jobs wait and every worker is busy, and shrinks while workers are idle. */
export interface WorkerRange {
  /** It starts with so many. */
  min: number;
  max: number;
  /** A worker that has had no job for so long is let go: 30 s; it may be a quarter longer. */
  idleTimeout?: number;
}

/** How a pool is made. */
export interface PoolOptions {
  /** Where jobs run: `'auto'`, the best that the page allows, unless given. */
  mode?: Mode | 'auto';
  /** How many workers: `max(1, min(hardwareConcurrency − 1, 16))`; at most 64. With a range, as many as there is work for. */
  workers?: number | WorkerRange;
  /** How many jobs an isolated worker runs at once, for asynchronous handlers: 1; at most 64. */
  concurrency?: number;
  queue?: {
    /** How many jobs may be queued: 1024; at most 4096. */
    capacity?: number;
    /** What to do when there is no room: `'reject'`. */
    whenFull?: 'reject' | 'wait';
    /** How many jobs may wait for room: 1024. */
    maxWaiting?: number;
    /** After how long a queued job moves up one priority: 1000 ms; `false`: strict priority. */
    ageing?: number | false;
    /** What goes first within a priority: `'fifo'`, or the earliest deadline by `totalTimeout`. */
    order?: 'fifo' | 'deadline';
    /** How far deadlines count, in ms: 60 s, at most three days. No job is put off for longer than that. */
    horizon?: number;
  };
  /** How many jobs may be accepted and not yet settled. */
  maxInFlight?: number;
  /** At most `limit` jobs in `interval` ms are accepted, up to 10 million a second. */
  rateLimit?: RateLimitOptions;
  /** Refuses jobs while they mostly fail: off unless given. */
  breaker?: BreakerOptions | boolean;
  /** Adapts how many jobs run at once to how long they take. Off unless given. */
  adaptive?: AdaptiveOptions | boolean;
  /** Tries failed jobs again: off unless given. */
  retry?: RetryOptions | boolean;
  /** Longest time of running, for all jobs. */
  timeout?: number;
  /** Longest time in the queue, for all jobs. */
  queueTimeout?: number;
  /** Longest time from the call to the result, for all jobs. */
  totalTimeout?: number;
  /** A handler that runs for longer is killed; other jobs may be lost with it. Not in inline mode. */
  killAfter?: number;
  /**
   * How long a handler may ignore its cancellation before it is killed. Not in inline mode. An isolated worker that
   * runs nothing else is replaced after 250 ms at the latest.
   */
  killGrace?: number;
  /** Makes a worker from your own file, which calls `serve` of `weirpool/worker`. */
  createWorker?: () => Worker;
  /** Imports your jobs for inline mode: `() => import('./my-jobs.js')`. */
  handlers?: () => Promise<object>;
  /** Modules whose exported functions each worker imports as handlers. */
  jobs?: (string | URL)[];
  /** Where `weirpool.wasm` is, if not beside the script. */
  wasmUrl?: string | URL;
  /** Where `default-worker.js` is, if not beside the script. */
  workerUrl?: string | URL;
  /** How long workers may take to start: 10 s. */
  startupTimeout?: number;
}

/** At most `limit` jobs in `interval` ms, `burst` (`limit` unless given) of them at once. */
export interface RateLimitOptions {
  limit: number;
  interval: number;
  burst?: number;
}

/** Where a job stands; `'delayed'`: it waits for its next attempt, or for the breaker. */
export type JobState =
  | 'waiting' | 'queued' | 'delayed' | 'running' | 'completed' | 'failed' | 'timed-out' | 'cancelled' | 'refused';

/** How long a settled job took, in ms. */
export interface Timing {
  /** In the queue. */
  readonly wait: number;
  /** Running. */
  readonly run: number;
  /** From acceptance to the end. */
  readonly total: number;
}

/** Why `tryRun` did not take a job. */
export interface Refusal {
  readonly refused: ErrorCode;
  readonly retryAfter?: number;
  readonly error: PoolError;
}

/** How one job ended, as `results()` gives it. */
export type JobResult = {
  readonly id: number;
  readonly job: string;
  readonly wait: number;
  readonly run: number;
  readonly total: number;
  /** From 1; 0 when it never ran. */
  readonly attempt: number;
  /** Which worker ran it; -1 when none did. */
  readonly worker: number;
} & ({ readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: unknown });

/** How a pool is closed. */
export interface CloseOptions {
  /** `'drain'`: all jobs still run; `'cancel-queued'`: only running ones; `'abort'`: none. */
  mode?: 'drain' | 'cancel-queued' | 'abort';
  /** After this many ms the rest is aborted and the workers are terminated: 30 s. */
  deadline?: number;
}

/** What came of closing. */
export interface CloseReport {
  readonly mode: 'drain' | 'cancel-queued' | 'abort';
  /** True when every job and worker ended by itself before the deadline. */
  readonly clean: boolean;
  /** Jobs that ended by themselves after the call of `close`. */
  readonly finished: number;
  /** Jobs that were cut off with ERR_POOL_CLOSED. */
  readonly aborted: number;
  /** Workers that had to be terminated while busy. */
  readonly terminated: number;
  /** In ms. */
  readonly duration: number;
}

export type BreakerState = 'closed' | 'open' | 'half-open' | 'forced-open' | 'disabled';

/** Why a breaker changed its state. */
export type BreakerCause =
  | 'consecutive' | 'failure-rate' | 'slow-rate' | 'probe-failed' | 'pause-over' | 'lease-over' | 'probes-succeeded'
  | 'tripped' | 'reset' | 'disabled';

/** One change of a breaker's state. */
export interface BreakerChange {
  /** When, in ms on the clock of `performance.now()`. */
  readonly at: number;
  readonly from: BreakerState;
  readonly to: BreakerState;
  readonly cause: BreakerCause;
  /** The number of the change. */
  readonly generation: number;
}

/** The rate limit of a pool. */
export interface RateLimit {
  /** `Infinity` when there is no limit; the others are 0 then. */
  readonly limit: number;
  /** In ms. */
  readonly interval: number;
  readonly burst: number;
  /** Changes it, or ends it by `false`. What was used before still counts. */
  set(options: RateLimitOptions | false): void;
}

/** A circuit breaker. */
export interface Breaker {
  /** `disabled` in a pool that has none, or one for each job. */
  readonly state: BreakerState;
  /** The last eight changes of its state, oldest first. */
  readonly log: readonly BreakerChange[];
  /** Opens it until `reset`. */
  trip(): void;
  /** Closes it and forgets what it counted. */
  reset(): void;
  /** Lets everything pass and counts nothing until `reset`. */
  disable(): void;
  /** The breaker of one job, in a pool that was made with `breaker: { per: 'job' }`. */
  of(job: string): Breaker;
}

export interface WorkerStats {
  readonly id: number;
  readonly state: 'starting' | 'idle' | 'busy' | 'left';
  /** The id of the job it runs. */
  readonly job?: number;
  readonly jobsDone: number;
}

/** A distribution of times, in ms. */
export interface TimeStats {
  readonly count: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** A pool's metrics at one moment. */
export interface PoolStats {
  readonly mode: Mode;
  readonly submitted: number;
  readonly accepted: number;
  readonly refusedFull: number;
  readonly refusedRate: number;
  readonly refusedBreaker: number;
  readonly refusedInFlight: number;
  readonly refusedClosed: number;
  readonly refusedTimeout: number;
  readonly refusedAbort: number;
  readonly refusedInput: number;
  readonly started: number;
  readonly completed: number;
  readonly failed: number;
  readonly timedOut: number;
  readonly cancelled: number;
  readonly retried: number;
  readonly panicked: number;
  readonly stale: number;
  readonly workerCrashes: number;
  readonly resets: number;
  readonly waiting: number;
  readonly queued: number;
  readonly delayed: number;
  readonly running: number;
  readonly abandoned: number;
  readonly activeWorkers: number;
  readonly limit: number;
  readonly capacity: number;
  readonly utilization: number;
  readonly memoryBytes: number;
  readonly bufferBytes: number;
  readonly wait: TimeStats;
  readonly run: TimeStats;
  readonly total: TimeStats;
  readonly breaker: {
    readonly state: BreakerState;
    readonly generation: number;
    readonly failureRate: number;
    readonly slowRate: number;
    readonly opened: number;
    readonly stale: number;
    readonly retryAfter: number;
  };
  /** By the jobs' names, where each has a breaker of its own. */
  readonly breakers?: Readonly<Record<string, BreakerState>>;
  readonly workers: readonly WorkerStats[];
}

/** The details of each event. */
export interface PoolEventMap {
  jobqueued: CustomEvent<{ id: number; job: string }>;
  jobstart: CustomEvent<{ id: number; job: string; worker: number }>;
  jobend: CustomEvent<JobResult>;
  /** An attempt failed; the next one may begin at `at`, in ms on the clock of `performance.now()`. None comes once the job
   * has ended. */
  jobretry: CustomEvent<{ id: number; job: string; attempt: number; error: PoolError; at: number }>;
  refused: CustomEvent<{ id: number; job: string; error: unknown }>;
  /** `job` is given where each has a breaker of its own. */
  breakerchange: CustomEvent<{ from: BreakerState; to: BreakerState; job?: string }>;
  workerstart: CustomEvent<{ worker: number }>;
  workerexit: CustomEvent<{ worker: number; reason: string }>;
  saturated: CustomEvent<{ capacity: number }>;
  drain: CustomEvent<undefined>;
  reset: CustomEvent<{ reason: string; carried: number; lost: number }>;
  close: CustomEvent<CloseReport>;
}
