// Checks what callers give, and fills in the defaults. A wrong type is a TypeError, a wrong value a
// RangeError; an option that does not exist is a TypeError that names it.

import { PoolError, show } from './errors.ts';
import type { MapSettings } from './map.ts';
import type { Mode } from './mode.ts';
import { parallelism } from './node.ts';
import { termsOf, type RetryPolicy } from './retry.ts';
import type {
  AdaptiveOptions, BreakerOptions, CloseOptions, MapOptions, PoolOptions, PriorityName, RetryOptions, RunOptions, WorkerRange,
} from './types.ts';

/** Durations are at most this many ms (24 days): what a timer can hold. */
export const MAX_DURATION = 2 ** 31 - 1;
const MAX_CAPACITY = 4096;
const MAX_WORKERS = 64;
const MAX_CONCURRENCY = 64;
/** How long an idle worker of a dynamic pool stays, in ms. Shorter, and it is started again and again: piscina warns of
 * that for its 0 ms; poolifier takes 60 s. */
const IDLE_TIMEOUT = 30_000;
/** Tokens a second. */
const MAX_RATE = 10_000_000;
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

export function poolSettings(options: PoolOptions = {}): Settings {
  const given = object(options, 'options', [
    'mode', 'workers', 'concurrency', 'queue', 'maxInFlight', 'adaptive', 'rateLimit', 'breaker', 'retry', 'timeout', 'queueTimeout',
    'totalTimeout', 'killAfter', 'killGrace', 'createWorker', 'handlers', 'jobs', 'wasmUrl', 'workerUrl',
    'startupTimeout',
  ]);
  const queue = object(given.queue ?? {}, 'queue', ['capacity', 'whenFull', 'maxWaiting', 'ageing', 'order', 'horizon']);
  const range = rangeOf(given.workers === undefined ? defaultWorkers() : given.workers);
  const capacity = integer(queue.capacity, 'queue.capacity', 1, MAX_CAPACITY) ?? 1024;
  const ageing = queue.ageing === false ? undefined : (duration(queue.ageing, 'queue.ageing') ?? 1000);
  const rate = rateNumbers(given.rateLimit);
  const breaker = breakerNumbers(given.breaker);
  const horizon = between(queue.horizon, 'queue.horizon', Number.MIN_VALUE, MAX_HORIZON) ?? 60_000;
  const byDeadline = choice(queue.order, 'queue.order', ['fifo', 'deadline']) === 'deadline';
  if (queue.horizon !== undefined && !byDeadline) throw new TypeError("queue.horizon needs queue.order 'deadline'");
  const retry = retryPolicy(given.retry, undefined);
  const createWorker = given.createWorker;
  if (createWorker !== undefined && typeof createWorker !== 'function') {
    throw wrongType('createWorker', 'a function that returns a Worker', createWorker);
  }
  const { handlers } = given;
  if (handlers !== undefined && typeof handlers !== 'function') {
    throw wrongType('handlers', 'a function that imports your jobs', handlers);
  }
  const settings: Settings = {
    mode: choice(given.mode, 'mode', ['auto', 'threads', 'isolated', 'inline']) ?? 'auto',
    range,
    concurrency: integer(given.concurrency, 'concurrency', 1, MAX_CONCURRENCY) ?? 1,
    capacity,
    wait: (choice(queue.whenFull, 'queue.whenFull', ['reject', 'wait']) ?? 'reject') === 'wait',
    maxWaiting: integer(queue.maxWaiting, 'queue.maxWaiting', 0, 2 ** 31 - 1) ?? 1024,
    timeout: limit(given.timeout, 'timeout'),
    queueTimeout: limit(given.queueTimeout, 'queueTimeout'),
    totalTimeout: limit(given.totalTimeout, 'totalTimeout'),
    killAfter: limit(given.killAfter, 'killAfter'),
    killGrace: limit(given.killGrace, 'killGrace'),
    createWorker: createWorker as (() => Worker) | undefined,
    handlers: handlers as (() => Promise<object>) | undefined,
    jobs: urls(given.jobs),
    wasmUrl: url(given.wasmUrl, 'wasmUrl'),
    workerUrl: url(given.workerUrl, 'workerUrl'),
    startupTimeout: duration(given.startupTimeout, 'startupTimeout') ?? 10_000,
    hasBreaker: breaker[0] === 1,
    breakerPerJob: perJob(given.breaker as PoolOptions['breaker']),
    retry,
    config: new Float64Array(0),
  };
  if (createWorker !== undefined && settings.workerUrl !== undefined) {
    throw new TypeError('createWorker and workerUrl exclude each other');
  }
  const maxInFlight = integer(given.maxInFlight, 'maxInFlight', 1, 2 ** 32 - 1);
  // The order that `pool_create` (wasm/src/api.rs) expects; -1 stands for none, times are in µs.
  settings.config = Float64Array.of(
    capacity, 1, range.min, ageing === undefined ? -1 : ageing * 1000, maxInFlight ?? -1,
    ...rate, ...breaker, byDeadline ? horizon * 1000 : -1, countsSubmitTimeouts(given.breaker as PoolOptions['breaker']),
    ...retryNumbers(retry), ...budget(given.retry as PoolOptions['retry']), settings.breakerPerJob ? 1 : 0,
    ...adaptiveNumbers(given.adaptive),
  );
  return settings;
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
export function workerRange(workers: unknown, pool: PoolSettings): Range {
  return inMode(rangeOf(workers), pool);
}

function rangeOf(workers: unknown): Range {
  if (typeof workers !== 'object' || workers === null) {
    const count = integer(workers, 'workers', 1, MAX_WORKERS) ?? missing('workers');
    return { min: count, max: count, idleTimeout: IDLE_TIMEOUT };
  }
  const given = object(workers, 'workers', ['min', 'max', 'idleTimeout']);
  const max = integer(given.max, 'workers.max', 1, MAX_WORKERS) ?? missing('workers.max');
  const min = integer(given.min, 'workers.min', 1, max) ?? missing('workers.min');
  return { min, max, idleTimeout: duration(given.idleTimeout, 'workers.idleTimeout') ?? IDLE_TIMEOUT };
}

function inMode(range: Range, { mode, concurrency, capacity }: Pick<PoolSettings, 'mode' | 'concurrency' | 'capacity'>): Range {
  if (mode === 'inline') return { ...range, min: 1, max: 1 };
  const most = Math.max(MAX_CAPACITY - capacity, MAX_WORKERS);
  if (range.max * concurrency > most) {
    throw new RangeError(`workers times concurrency must be at most ${most} beside a queue of ${capacity}`);
  }
  return range;
}

export function jobSettings(
  options: RunOptions,
  pool: Settings,
  waits: boolean,
): JobSettings {
  const names = ['priority', 'signal', 'timeout', 'queueTimeout', 'totalTimeout', 'retry'];
  const given = object(options, 'options', waits ? [...names, 'whenFull', 'submitTimeout'] : names);
  const signal = given.signal;
  if (signal !== undefined && !isAbortSignal(signal)) {
    throw wrongType('signal', 'an AbortSignal', signal);
  }
  const whenFull = choice(given.whenFull, 'whenFull', ['reject', 'wait']);
  const priority = PRIORITIES[choice(given.priority, 'priority', PRIORITY_NAMES) ?? 'normal'];
  const retry = given.retry === undefined ? pool.retry : retryPolicy(given.retry, pool.retry, true);
  return {
    terms: termsOf(priority, retry),
    backoff: retry?.backoff ?? 0,
    maxBackoff: retry?.maxBackoff ?? 0,
    signal,
    timeout: given.timeout === undefined ? pool.timeout : limit(given.timeout, 'timeout'),
    queueTimeout:
      given.queueTimeout === undefined ? pool.queueTimeout : limit(given.queueTimeout, 'queueTimeout'),
    totalTimeout:
      given.totalTimeout === undefined ? pool.totalTimeout : limit(given.totalTimeout, 'totalTimeout'),
    wait: waits && (whenFull === undefined ? pool.wait : whenFull === 'wait'),
    submitTimeout: limit(given.submitTimeout, 'submitTimeout'),
    bounded: false,
  };
}
const PRIORITY_NAMES = Object.keys(PRIORITIES) as PriorityName[];

export function closeSettings(options: CloseOptions = {}): Required<CloseOptions> {
  const given = object(options, 'options', ['mode', 'deadline']);
  return {
    mode: choice(given.mode, 'mode', ['drain', 'cancel-queued', 'abort']) ?? 'drain',
    deadline: given.deadline === undefined ? 30_000 : limit(given.deadline, 'deadline', 0),
  };
}

/** The options of `map`: its own, and those of its jobs. */
export function mapSettings(options: MapOptions = {}, pool: PoolSettings): MapSettings & { job: JobSettings } {
  const { ordered, concurrency, ...rest } = object(options, 'options') as MapOptions;
  if ('whenFull' in rest) throw new TypeError('there is no option "whenFull": map waits for room');
  if (ordered !== undefined && typeof ordered !== 'boolean') throw wrongType('ordered', 'true or false', ordered);
  const job = jobSettings(rest, pool, true);
  const running = pool.range.max * pool.concurrency;
  return {
    ordered: ordered ?? true,
    // One job that waits for each that runs keeps the workers busy.
    concurrency: integer(concurrency, 'concurrency', 1, MAX_CAPACITY) ?? running + Math.min(running, pool.capacity),
    signal: job.signal,
    job: { ...job, signal: undefined, wait: true, bounded: true },
  };
}

/** What `sizeBelow` takes. */
export function backlogSize(size: unknown): number {
  return integer(size, 'size', 1, 2 ** 32) ?? missing('size');
}

/** The buffer of `results()`. */
export function bufferSize(options: { buffer?: number } = {}): number {
  return integer(object(options, 'options', ['buffer']).buffer, 'buffer', 1, 2 ** 24) ?? 1024;
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

export function maxInFlightOf(given: unknown): number {
  return given === Infinity ? -1 : (integer(given, 'maxInFlight', 1, 2 ** 32 - 1) ?? missing('maxInFlight'));
}

/** What is left out is `pool`'s, or the default. */
function retryPolicy(given: unknown, pool: RetryPolicy | undefined, own = false): RetryPolicy | undefined {
  if (given === undefined || given === false) return undefined;
  if (given === true && pool !== undefined) return pool;
  const names = ['attempts', 'backoff', 'maxBackoff', 'timeouts', 'panics'];
  const options: RetryOptions = given === true ? {} : object(given, 'retry', own ? names : [...names, 'budget']);
  const usual = pool ?? { attempts: 3, backoff: 100, maxBackoff: 10_000, timeouts: false, panics: false };
  let backoff = between(options.backoff, 'retry.backoff', 0, MAX_BACKOFF);
  let maxBackoff = between(options.maxBackoff, 'retry.maxBackoff', 0, MAX_BACKOFF);
  maxBackoff ??= Math.max(usual.maxBackoff, backoff ?? 0);
  backoff ??= Math.min(usual.backoff, maxBackoff);
  if (maxBackoff < backoff) throw new RangeError('retry.maxBackoff must not be under retry.backoff');
  return {
    attempts: integer(options.attempts, 'retry.attempts', 1, 255) ?? usual.attempts,
    backoff,
    maxBackoff,
    timeouts: flag(options.timeouts, 'retry.timeouts') ?? usual.timeouts,
    panics: flag(options.panics, 'retry.panics') ?? usual.panics,
    pools: !own,
  };
}

function retryNumbers(retry: RetryPolicy | undefined): number[] {
  if (retry === undefined) return [0, 0, 0, 0, 0, 0];
  const { attempts, backoff, maxBackoff, panics, timeouts } = retry;
  return [1, attempts, backoff * 1000, maxBackoff * 1000, panics ? 1 : 0, timeouts ? 1 : 0];
}

/** Per cent, and how many are saved up. */
function budget(retry: PoolOptions['retry']): [number, number] {
  const given = typeof retry === 'object' ? retry.budget : undefined;
  if (given === false) return [65_535, 65_535];
  return [integer(given, 'retry.budget', 1, 1000) ?? 20, 10];
}

function countsSubmitTimeouts(breaker: PoolOptions['breaker']): number {
  return typeof breaker === 'object' && flag(breaker.countSubmitTimeouts, 'breaker.countSubmitTimeouts') ? 1 : 0;
}

function perJob(breaker: PoolOptions['breaker']): boolean {
  return typeof breaker === 'object' && choice(breaker.per, 'breaker.per', ['pool', 'job']) === 'job';
}

function adaptiveNumbers(given: unknown): [number, number, number] {
  if (given === undefined || given === false) return [-1, 0, 0];
  const options: AdaptiveOptions = given === true ? {} : object(given, 'adaptive', ['target', 'window', 'min']);
  const target = between(options.target, 'adaptive.target', Number.MIN_VALUE, MAX_WINDOW) ?? 1000;
  const window = between(options.window, 'adaptive.window', Number.MIN_VALUE, MAX_WINDOW) ?? Math.max(1000, target);
  if (window < target) throw new RangeError('adaptive.window must not be under adaptive.target');
  return [target * 1000, window * 1000, integer(options.min, 'adaptive.min', 1, MAX_CAPACITY) ?? 1];
}

export function rateNumbers(given: unknown): [number, number, number] {
  if (given === undefined) return [-1, 0, 0];
  const rate = object(given, 'rateLimit', ['limit', 'interval', 'burst']);
  const most = integer(rate.limit, 'rateLimit.limit', 1, 2 ** 32 - 1) ?? missing('rateLimit.limit');
  const interval = duration(rate.interval, 'rateLimit.interval') ?? missing('rateLimit.interval');
  if (most / interval > MAX_RATE / 1000) {
    throw new RangeError('rateLimit: at most 10 million a second');
  }
  return [most, interval * 1000, integer(rate.burst, 'rateLimit.burst', 1, 2 ** 32 - 1) ?? most];
}

function breakerNumbers(given: unknown): number[] {
  if (given === undefined || given === false) return [0, -1, -1, 0, 0, -1, -1, 0, 0, 0, 0];
  const options: BreakerOptions = given === true ? {} : (object(given, 'breaker', [
    'per', 'consecutive', 'failureRate', 'slowRate', 'slowCall', 'window', 'minimumCalls', 'pause',
    'maxPause', 'probes', 'lease', 'countSubmitTimeouts',
  ]) as BreakerOptions);
  const off = (value: number | false | undefined, otherwise: number, check: () => number | undefined) =>
    value === false ? -1 : (check() ?? otherwise);
  const slowRate = off(options.slowRate, -1, () => integer(options.slowRate, 'breaker.slowRate', 1, 100));
  const slowCall = duration(options.slowCall, 'breaker.slowCall');
  if (slowRate !== -1 && slowCall === undefined) missing('breaker.slowCall (slowRate is given)');
  const window = integer(options.window, 'breaker.window', 1, 40) ?? 20;
  const minimumCalls = integer(options.minimumCalls, 'breaker.minimumCalls', 1, 40) ?? Math.min(10, window);
  if (minimumCalls > window) {
    throw new RangeError(`breaker.minimumCalls must not be over breaker.window (${window})`);
  }
  const pause = duration(options.pause, 'breaker.pause') ?? 10_000;
  const maxPause = duration(options.maxPause, 'breaker.maxPause') ?? Math.max(60_000, pause);
  if (maxPause < pause) throw new RangeError('breaker.maxPause must not be under breaker.pause');
  const lease = duration(options.lease, 'breaker.lease') ?? 30_000;
  return [
    1,
    off(options.consecutive, 5, () => integer(options.consecutive, 'breaker.consecutive', 1, 40)),
    off(options.failureRate, 50, () => integer(options.failureRate, 'breaker.failureRate', 1, 100)),
    window,
    minimumCalls,
    slowRate,
    slowCall === undefined ? -1 : slowCall * 1000,
    pause * 1000,
    maxPause * 1000,
    integer(options.probes, 'breaker.probes', 1, 40) ?? 3,
    lease * 1000,
  ];
}

function object(given: unknown, name: string, known?: string[]): Record<string, unknown> {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw wrongType(name, 'an object', given);
  }
  for (const key of Object.keys(given)) {
    if (known !== undefined && !known.includes(key)) {
      const path = name === 'options' ? key : `${name}.${key}`;
      throw new TypeError(`there is no option ${JSON.stringify(path)}; there are: ${known.join(', ')}`);
    }
  }
  return given as Record<string, unknown>;
}

function number(given: unknown, name: string): number {
  if (typeof given !== 'number') throw wrongType(name, 'a number', given);
  return given;
}

function integer(given: unknown, name: string, least: number, most: number): number | undefined {
  if (given === undefined) return undefined;
  const value = number(given, name);
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new RangeError(`${name} must be a whole number from ${least} to ${most}, not ${value}`);
  }
  return value;
}

function between(given: unknown, name: string, least: number, most: number): number | undefined {
  if (given === undefined) return undefined;
  const value = number(given, name);
  if (!(value >= least && value <= most)) {
    throw new RangeError(`${name} must be ${least === 0 ? 'at least 0' : 'over 0'} and at most ${most} ms, not ${value}`);
  }
  return value;
}

function flag(given: unknown, name: string): boolean | undefined {
  if (given !== undefined && typeof given !== 'boolean') throw wrongType(name, 'true or false', given);
  return given;
}

/** More than no time, and finite. */
function duration(given: unknown, name: string): number | undefined {
  return between(given, name, Number.MIN_VALUE, MAX_DURATION);
}

/** A duration that may also be infinite, which is the default. */
function limit(given: unknown, name: string, least = Number.MIN_VALUE): number {
  if (given === undefined) return Infinity;
  const value = number(given, name);
  if (value !== Infinity && !(value >= least && value <= MAX_DURATION)) {
    const low = least === 0 ? 'at least 0' : 'over 0';
    throw new RangeError(`${name} must be ${low} and at most ${MAX_DURATION} ms, or Infinity, not ${value}`);
  }
  return value;
}

function choice<T extends string>(given: unknown, name: string, among: readonly T[]): T | undefined {
  if (given === undefined) return undefined;
  if (typeof given !== 'string') throw wrongType(name, `one of ${among.join(', ')}`, given);
  if (!among.includes(given as T)) {
    throw new RangeError(`${name} must be one of ${among.join(', ')}, not ${show(given)}`);
  }
  return given as T;
}

function urls(given: unknown): string[] {
  if (given === undefined) return [];
  if (!Array.isArray(given)) throw wrongType('jobs', 'an array of URLs', given);
  return given.map((item, i) => url(item, `jobs[${i}]`)?.href ?? missing(`jobs[${i}]`));
}

function url(given: unknown, name: string): URL | undefined {
  if (given === undefined) return undefined;
  if (typeof given !== 'string' && !(given instanceof URL)) throw wrongType(name, 'a URL', given);
  const base = (globalThis.document as Document | undefined)?.baseURI ?? globalThis.location?.href;
  try {
    return new URL(given, base);
  } catch {
    const hint = base === undefined ? ' (without a page: new URL(…, import.meta.url))' : '';
    throw new TypeError(`${name} is not a URL: ${show(String(given))}${hint}`);
  }
}

function isAbortSignal(value: unknown): value is AbortSignal {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as AbortSignal).aborted === 'boolean' &&
    typeof (value as AbortSignal).addEventListener === 'function'
  );
}

function missing(name: string): never {
  throw new TypeError(`${name} is missing`);
}

function wrongType(name: string, wanted: string, given: unknown): TypeError {
  return new TypeError(`${name} must be ${wanted}, not ${show(given)}`);
}
