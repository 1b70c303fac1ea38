// Options: what callers give, checked, with the defaults filled in.

import {
  callable, choice, flag, matching, missing, MAX_DURATION, object, orFalse, time, toggle, url, whole, wrongType, type Check,
  type Checked,
} from './check.ts';
import { PoolError } from './errors.ts';
import type { MapSettings } from './map.ts';
import type { Mode } from './mode.ts';
import { parallelism } from './node.ts';
import { termsOf, type RetryPolicy } from './retry.ts';
import type { CloseOptions, MapOptions, PoolOptions, PriorityName, RunOptions, WorkerRange } from './types.ts';

/** A pool's jobs, those that run included (wasm/src/pool.rs). */
const MAX_JOBS = 4096;
const MAX_WORKERS = 64;
const MAX_CAPACITY = MAX_JOBS - MAX_WORKERS;
const MAX_CONCURRENCY = 64;
const MAX_COUNT = 2 ** 32 - 1;
/** How long an idle worker of a dynamic pool stays, in ms. Shorter, and it is started again and again: piscina warns of
 * that for its 0 ms; poolifier takes 60 s. */
const IDLE_TIMEOUT = 30_000;
/** Tokens a ms. */
const MAX_RATE = 10_000;
/** In ms. */
const MAX_HORIZON = 3 * 24 * 3_600_000;
const MAX_BACKOFF = 3_600_000;
const MAX_WINDOW = 24 * 3_600_000;

/** Between how many workers a pool may have. */
export type Range = Required<WorkerRange>;

/** Pool options with every default filled in; `Infinity` stands for none. */
export interface Settings {
  mode: Mode | 'auto';
  range: Range;
  concurrency: number;
  capacity: number;
  wait: boolean;
  maxWaiting: number;
  timeout: number;
  queueTimeout: number;
  totalTimeout: number;
  killAfter: number;
  killGrace: number;
  createWorker: (() => Worker) | undefined;
  handlers: (() => Promise<object>) | undefined;
  jobs: string[];
  wasmUrl: URL | undefined;
  workerUrl: URL | undefined;
  startupTimeout: number;
  hasBreaker: boolean;
  breakerPerJob: boolean;
  retry: RetryPolicy | undefined;
  /** What `pool_create` takes. */
  config: Float64Array;
}

/** The settings of a pool whose mode is chosen. */
export interface PoolSettings extends Settings {
  mode: Mode;
  reason: string;
}

/** A job's options, checked. */
export interface JobSettings {
  /** `termsOf` its priority and its retries. */
  terms: number;
  /** Of a retry policy of its own, in ms. */
  backoff: number;
  maxBackoff: number;
  signal: AbortSignal | undefined;
  timeout: number;
  queueTimeout: number;
  totalTimeout: number;
  wait: boolean;
  submitTimeout: number;
  /** Whoever gives it bounds how many of its jobs wait: `maxWaiting` does not hold for it. */
  bounded: boolean;
}

export const PRIORITIES: Record<PriorityName, number> = { low: 0, normal: 1, high: 2, critical: 3 };

const workers: Check<Range> = (given, name) => {
  if (typeof given !== 'object' || given === null) {
    const count = whole(1, MAX_WORKERS)(given, name);
    return { min: count, max: count, idleTimeout: IDLE_TIMEOUT };
  }
  const range = RANGE(given, name);
  const max = range.max ?? missing(`${name}.max`);
  const min = range.min ?? missing(`${name}.min`);
  if (min > max) throw new RangeError(`${name}.min must not be over ${name}.max`);
  return { min, max, idleTimeout: range.idleTimeout ?? IDLE_TIMEOUT };
};
const RANGE = object({ min: whole(1, MAX_WORKERS), max: whole(1, MAX_WORKERS), idleTimeout: time() });

/** A duration that is without limit unless given. */
const limit = time(MAX_DURATION, undefined, true);
const whenFull = choice('reject', 'wait');

const RETRY = {
  attempts: whole(1, 255), backoff: time(MAX_BACKOFF, 0), maxBackoff: time(MAX_BACKOFF, 0), timeouts: flag, panics: flag,
};

const POOL = object({
  mode: choice('auto', 'threads', 'isolated', 'inline'),
  workers,
  concurrency: whole(1, MAX_CONCURRENCY),
  queue: object({
    capacity: whole(1, MAX_CAPACITY), whenFull, maxWaiting: whole(0, MAX_COUNT), ageing: orFalse(time()),
    order: choice('fifo', 'deadline'), horizon: time(MAX_HORIZON),
  }),
  maxInFlight: maxInFlightOf,
  adaptive: toggle({ target: time(MAX_WINDOW), window: time(MAX_WINDOW), min: whole(1, MAX_JOBS) }),
  rateLimit: rateNumbers,
  breaker: toggle({
    per: choice('pool', 'job'), consecutive: orFalse(whole(1, 40)), failureRate: orFalse(whole(1, 100)),
    slowRate: orFalse(whole(1, 100)), slowCall: time(), window: whole(1, 40), minimumCalls: whole(1, 40), pause: time(),
    maxPause: time(), probes: whole(1, 40), lease: time(), countSubmitTimeouts: flag,
  }),
  retry: toggle({ ...RETRY, budget: orFalse(whole(1, 1000)) }),
  timeout: limit,
  queueTimeout: limit,
  totalTimeout: limit,
  killAfter: limit,
  killGrace: limit,
  createWorker: callable<() => Worker>('a function that returns a Worker'),
  handlers: callable<() => Promise<object>>('a function that imports your jobs'),
  jobs: urls,
  wasmUrl: url,
  workerUrl: url,
  startupTimeout: time(),
});
type GivenPool = ReturnType<typeof POOL>;

const TRY = {
  priority: choice(...(Object.keys(PRIORITIES) as PriorityName[])),
  signal: matching<AbortSignal>(
    (given) => typeof (given as AbortSignal | null)?.aborted === 'boolean' && typeof (given as AbortSignal).addEventListener === 'function',
    'an AbortSignal',
  ),
  timeout: limit,
  queueTimeout: limit,
  totalTimeout: limit,
  retry: toggle(RETRY),
};
const RUN = { ...TRY, whenFull, submitTimeout: limit };
const RUN_OPTIONS = object(RUN);
const TRY_OPTIONS = object(TRY);
const MAP_OPTIONS = object({ ...TRY, submitTimeout: limit, ordered: flag, concurrency: whole(1, MAX_JOBS), chunkSize: whole(1, MAX_JOBS) });
const CLOSE_OPTIONS = object({ mode: choice('drain', 'cancel-queued', 'abort'), deadline: time(MAX_DURATION, 0, true) });
const RESULTS_OPTIONS = object({ buffer: whole(1, 2 ** 24) });
const RATE_OPTIONS = object({ limit: whole(1, MAX_COUNT), interval: time(), burst: whole(1, MAX_COUNT) });

export function poolSettings(options: PoolOptions = {}): Settings {
  const given = POOL(options, 'options');
  const { capacity = 1024, ageing = 1000, horizon, order, maxWaiting = 1024, whenFull } = given.queue ?? {};
  const byDeadline = order === 'deadline';
  if (horizon !== undefined && !byDeadline) throw new TypeError("queue.horizon needs queue.order 'deadline'");
  if (given.createWorker !== undefined && given.workerUrl !== undefined) {
    throw new TypeError('createWorker and workerUrl exclude each other');
  }
  const range = given.workers ?? workers(defaultWorkers(), 'workers');
  const breaker = given.breaker || undefined;
  const breakerPerJob = breaker?.per === 'job';
  const retry = retryPolicy(given.retry, undefined);
  const {
    mode = 'auto', concurrency = 1, timeout = Infinity, queueTimeout = Infinity, totalTimeout = Infinity, killAfter = Infinity,
    killGrace = Infinity, createWorker, handlers, jobs = [], wasmUrl, workerUrl, startupTimeout = 10_000,
  } = given;
  // The order that `pool_create` (wasm/src/api.rs) expects; -1 stands for none, times are in µs.
  const config = Float64Array.of(
    capacity, 1, range.min, ageing === false ? -1 : ageing * 1000, given.maxInFlight ?? -1,
    ...(given.rateLimit ?? rateNumbers(false)), ...breakerNumbers(breaker), byDeadline ? (horizon ?? 60_000) * 1000 : -1,
    Number(breaker?.countSubmitTimeouts ?? 0), ...retryNumbers(retry), ...budget(given.retry), Number(breakerPerJob),
    ...adaptiveNumbers(given.adaptive),
  );
  return {
    mode, range, concurrency, capacity, wait: whenFull === 'wait', maxWaiting, timeout, queueTimeout, totalTimeout, killAfter,
    killGrace, createWorker, handlers, jobs, wasmUrl, workerUrl, startupTimeout, hasBreaker: breaker !== undefined,
    breakerPerJob, retry, config,
  };
}

/** What the settings come to in a mode. */
export function forMode(given: Settings, chosen: { mode: Mode; reason: string }): PoolSettings {
  const { mode } = chosen;
  if (mode === 'inline' && (given.killAfter !== Infinity || given.killGrace !== Infinity)) {
    throw new PoolError('ERR_UNSUPPORTED', `killAfter and killGrace need workers, and the pool runs inline: ${chosen.reason}`);
  }
  const concurrency = mode === 'isolated' ? given.concurrency : 1;
  const range = inMode(given.range, { mode, concurrency, capacity: given.capacity });
  const config = given.config.slice();
  // Without threads of its own, the pool's jobs are handed out on the page.
  if (mode !== 'threads') config[THREADS] = 0;
  config[LIMIT] = range.min * concurrency;
  return { ...given, ...chosen, range, concurrency, config };
}
const THREADS = 1;
const LIMIT = 2;
/** Where the limits that may change lie in `config`. */
export const MAX_IN_FLIGHT = 4;
export const RATE = 5;

/** What `resize` takes. */
export function workerRange(given: unknown, pool: PoolSettings): Range {
  return inMode(workers(given, 'workers'), pool);
}

function inMode(range: Range, { mode, concurrency, capacity }: Pick<PoolSettings, 'mode' | 'concurrency' | 'capacity'>): Range {
  if (mode === 'inline') return { ...range, min: 1, max: 1 };
  const most = MAX_JOBS - capacity;
  if (range.max * concurrency > most) {
    throw new RangeError(`workers times concurrency must be at most ${most} beside a queue of ${capacity}`);
  }
  return range;
}

/** Without `waits`, the job never waits for room. */
export function jobSettings(options: RunOptions, pool: Settings, waits: boolean): JobSettings {
  if (typeof options !== 'object') throw wrongType('options', 'an object (a job takes one input, before them)', options);
  const given: Checked<typeof RUN> = (waits ? RUN_OPTIONS : TRY_OPTIONS)(options, 'options');
  return settled(given, pool, waits && (given.whenFull === undefined ? pool.wait : given.whenFull === 'wait'));
}

function settled(given: Checked<typeof RUN>, pool: Settings, wait: boolean): JobSettings {
  const retry = given.retry === undefined ? pool.retry : retryPolicy(given.retry, pool.retry, true);
  return {
    terms: termsOf(PRIORITIES[given.priority ?? 'normal'], retry),
    backoff: retry?.backoff ?? 0,
    maxBackoff: retry?.maxBackoff ?? 0,
    signal: given.signal,
    timeout: given.timeout ?? pool.timeout,
    queueTimeout: given.queueTimeout ?? pool.queueTimeout,
    totalTimeout: given.totalTimeout ?? pool.totalTimeout,
    wait,
    submitTimeout: given.submitTimeout ?? Infinity,
    bounded: false,
  };
}

/** What was given of them. */
export function closeSettings(options: CloseOptions = {}): CloseOptions {
  return CLOSE_OPTIONS(options, 'options');
}

/** The options of `map`: its own, and those of its jobs. */
export function mapSettings(options: MapOptions = {}, pool: PoolSettings): MapSettings & { job: JobSettings } {
  const running = pool.range.max * pool.concurrency;
  const { ordered = true, chunkSize = 1, concurrency: given, signal, ...job } = MAP_OPTIONS(options, 'options');
  // One job that waits for each that runs keeps the workers busy.
  const concurrency = given ?? (running + Math.min(running, pool.capacity)) * chunkSize;
  return { ordered, concurrency, chunkSize, signal, job: { ...settled(job, pool, true), bounded: true } };
}

/** What `sizeBelow` takes. */
export function backlogSize(size: unknown): number {
  return whole(1, 2 ** 32)(size, 'size');
}

/** The buffer of `results()`. */
export function bufferSize(options: { buffer?: number } = {}): number {
  return RESULTS_OPTIONS(options, 'options').buffer ?? 1024;
}

export function jobName(name: unknown): string {
  if (typeof name !== 'string') throw wrongType('job', 'the name of a job', name);
  return name;
}

/** The inputs of `map`. */
export function iterable(inputs: unknown): Iterable<unknown> | AsyncIterable<unknown> {
  const given = inputs as { [Symbol.iterator]?: unknown; [Symbol.asyncIterator]?: unknown } | null | undefined;
  if (typeof given?.[Symbol.asyncIterator] !== 'function' && typeof given?.[Symbol.iterator] !== 'function') {
    throw wrongType('inputs', 'an iterable or an async iterable', inputs);
  }
  return inputs as Iterable<unknown>;
}

function defaultWorkers(): number {
  const cores = parallelism() ?? globalThis.navigator?.hardwareConcurrency ?? 4;
  return Math.max(1, Math.min(cores - 1, 16));
}

export function maxInFlightOf(given: unknown, name = 'maxInFlight'): number {
  return given === Infinity ? -1 : whole(1, MAX_COUNT)(given, name);
}

/** What is left out is `pool`'s, or the default. */
function retryPolicy(given: Checked<typeof RETRY> | false | undefined, pool: RetryPolicy | undefined, own = false): RetryPolicy | undefined {
  if (!given) return undefined;
  if (pool !== undefined && Object.keys(given).length === 0) return pool;
  const usual = pool ?? { attempts: 3, backoff: 100, maxBackoff: 10_000, timeouts: false, panics: false };
  const maxBackoff = given.maxBackoff ?? Math.max(usual.maxBackoff, given.backoff ?? 0);
  const backoff = given.backoff ?? Math.min(usual.backoff, maxBackoff);
  if (maxBackoff < backoff) throw new RangeError('retry.maxBackoff must not be under retry.backoff');
  const { attempts = usual.attempts, timeouts = usual.timeouts, panics = usual.panics } = given;
  return { attempts, backoff, maxBackoff, timeouts, panics, pools: !own };
}

function retryNumbers(retry: RetryPolicy | undefined): number[] {
  if (retry === undefined) return [0, 0, 0, 0, 0, 0];
  const { attempts, backoff, maxBackoff, panics, timeouts } = retry;
  return [1, attempts, backoff * 1000, maxBackoff * 1000, Number(panics), Number(timeouts)];
}

/** Per cent, and how many are saved up. */
function budget(retry: GivenPool['retry']): [number, number] {
  const { budget = 20 } = retry || {};
  return budget === false ? [65_535, 65_535] : [budget, 10];
}

function adaptiveNumbers(given: GivenPool['adaptive']): [number, number, number] {
  if (!given) return [-1, 0, 0];
  const { target = 1000, window = Math.max(1000, target), min = 1 } = given;
  if (window < target) throw new RangeError('adaptive.window must not be under adaptive.target');
  return [target * 1000, window * 1000, min];
}

/** The rate limit as `pool_create` takes it. */
export function rateNumbers(given: unknown, name = 'rateLimit'): [number, number, number] {
  if (given === false) return [-1, 0, 0];
  const { limit = missing(`${name}.limit`), interval = missing(`${name}.interval`), burst = limit } = RATE_OPTIONS(given, name);
  if (limit / interval > MAX_RATE) throw new RangeError(`${name}: at most 10 million a second`);
  return [limit, interval * 1000, burst];
}

function breakerNumbers(given: Exclude<GivenPool['breaker'], false>): number[] {
  if (given === undefined) return [0, -1, -1, 0, 0, -1, -1, 0, 0, 0, 0];
  const { consecutive = 5, failureRate = 50, slowRate = false, slowCall, window = 20, pause = 10_000, probes = 3, lease = 30_000 } = given;
  if (slowRate !== false && slowCall === undefined) missing('breaker.slowCall (slowRate is given)');
  const { minimumCalls = Math.min(10, window), maxPause = Math.max(60_000, pause) } = given;
  if (minimumCalls > window) throw new RangeError(`breaker.minimumCalls must not be over breaker.window (${window})`);
  if (maxPause < pause) throw new RangeError('breaker.maxPause must not be under breaker.pause');
  const orNone = (value: number | false) => (value === false ? -1 : value);
  return [
    1, orNone(consecutive), orNone(failureRate), window, minimumCalls, orNone(slowRate),
    slowCall === undefined ? -1 : slowCall * 1000, pause * 1000, maxPause * 1000, probes, lease * 1000,
  ];
}

function urls(given: unknown, name: string): string[] {
  if (!Array.isArray(given)) throw wrongType(name, 'an array of URLs', given);
  return given.map((item, i) => url(item, `${name}[${i}]`).href);
}
