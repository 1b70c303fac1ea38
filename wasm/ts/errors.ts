// PoolError: why a job has no result.

/**
 * What went wrong, for programs. (r): `retryable` is true.
 *
 * - `ERR_JOB_FAILED`: the handler threw or returned an error, which is the `cause`; `retryable` if that says so.
 * - `ERR_PANIC`: a built-in job panicked or trapped, or a job ended its worker.
 * - `ERR_TIMEOUT`: a time-out passed; `phase` says which.
 * - `ERR_CANCELLED`: `job.cancel()`.
 * - `ERR_CIRCUIT_OPEN` (r): the breaker is open; `retryAfter`, unless it is open until somebody resets it.
 * - `ERR_KILLED`: the handler ran past `killAfter`, or ignored its cancellation past `killGrace`.
 * - `ERR_WORKER_CRASHED` (r): another job took the worker down.
 * - `ERR_POOL_CLOSED`: the pool is closed, or was before the job ended.
 * - `ERR_QUEUE_FULL` (r): the queue has no room, or too many wait for it.
 * - `ERR_RATE_LIMITED` (r): the rate limit is reached; `retryAfter`.
 * - `ERR_IN_FLIGHT_LIMIT` (r): `maxInFlight` jobs are under way.
 * - `ERR_DATA`: the input or the result cannot travel, or a built-in job does not take that input.
 * - `ERR_UNKNOWN_JOB`: the pool has no job of that name.
 * - `ERR_WORKER_LOAD`: the wasm, a worker file or a module of jobs could not be loaded, or did not start in time.
 * - `ERR_UNSUPPORTED`: the page lacks what the options ask for, or a handler returned a promise in threads mode.
 */
export type ErrorCode =
  | 'ERR_JOB_FAILED'
  | 'ERR_PANIC'
  | 'ERR_TIMEOUT'
  | 'ERR_CANCELLED'
  | 'ERR_CIRCUIT_OPEN'
  | 'ERR_KILLED'
  | 'ERR_WORKER_CRASHED'
  | 'ERR_POOL_CLOSED'
  | 'ERR_QUEUE_FULL'
  | 'ERR_RATE_LIMITED'
  | 'ERR_IN_FLIGHT_LIMIT'
  | 'ERR_DATA'
  | 'ERR_UNKNOWN_JOB'
  | 'ERR_WORKER_LOAD'
  | 'ERR_UNSUPPORTED';

/** The details of a `PoolError`. */
export interface ErrorDetails {
  retryAfter?: number;
  phase?: 'submit' | 'queue' | 'run' | 'total';
  jobId?: number;
  attempt?: number;
  cause?: unknown;
}

const RETRYABLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ERR_QUEUE_FULL',
  'ERR_RATE_LIMITED',
  'ERR_IN_FLIGHT_LIMIT',
  'ERR_CIRCUIT_OPEN',
  'ERR_WORKER_CRASHED',
]);

/** Why a job has no result; or why a pool could not be made. */
export class PoolError extends Error {
  /** What went wrong, for programs. */
  readonly code: ErrorCode;
  /** Whether the same call may succeed later; of a handler's error, what its own `retryable` says. */
  readonly retryable: boolean;
  /** The wait in ms after which a refused call may succeed, where that is known. */
  declare readonly retryAfter?: number;
  /** Which time-out it was, of an ERR_TIMEOUT. */
  declare readonly phase?: 'submit' | 'queue' | 'run' | 'total';
  /** The id of the job. */
  declare readonly jobId?: number;
  /** Which attempt it was, from 1; left out where none began. */
  declare readonly attempt?: number;

  /** @internal */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, retryable?: boolean) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined);
    this.code = code;
    this.retryable = retryable ?? RETRYABLE.has(code);
    const { cause: _, ...fields } = details;
    Object.assign(this, fields);
  }
}
Object.defineProperty(PoolError.prototype, 'name', {
  value: 'PoolError',
  configurable: true,
  writable: true,
});

/** An error of a handler, as it travels. */
export interface ErrorData {
  name?: string;
  message?: string;
  stack?: string;
  code?: string | number;
  retryable?: boolean;
  location?: string;
  data?: Record<string, unknown>;
  cause?: ErrorData;
}

const KNOWN: Record<string, new (message?: string) => Error> = {
  EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError,
};

/** How long a chain of causes may be. */
const CAUSES = 8;

/** Describes what was thrown. */
export function describeError(thrown: unknown, causes = CAUSES): ErrorData {
  const { message } = (thrown ?? {}) as Error;
  const description: ErrorData = thrown instanceof Error
    ? { name: String(thrown.name), message: String(message) }
    : { name: 'Error', message: typeof thrown === 'string' ? thrown : typeof message === 'string' ? message : `threw ${show(thrown)}` };
  if (typeof thrown !== 'object' || thrown === null) return description;
  const { stack, cause } = thrown as Error;
  if (typeof stack === 'string') description.stack = stack;
  if (cause !== undefined && causes > 0) description.cause = describeError(cause, causes - 1);
  const data: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(thrown)) {
    if (key === 'code' && (typeof value === 'string' || typeof value === 'number')) {
      description.code = value;
    } else if (key === 'retryable' && typeof value === 'boolean') {
      description.retryable = value;
    } else if (key !== 'name' && key !== 'message' && key !== 'stack' && key !== 'cause' && travels(value)) {
      data[key] = value;
    }
  }
  if (Object.keys(data).length > 0) description.data = data;
  return description;
}

/** Even an error whose fields throw when they are read is described. */
export function describe(thrown: unknown): ErrorData {
  try {
    return describeError(thrown);
  } catch {
    return { name: 'Error', message: 'the handler threw something that cannot be described' };
  }
}

/** Makes the error anew on the other side. */
export function reviveError(description: ErrorData): Error {
  const Known = Object.hasOwn(KNOWN, description.name ?? '') ? KNOWN[description.name!]! : Error;
  const error = new Known(description.message ?? '');
  const set = (key: string, value: unknown, enumerable: boolean) =>
    Object.defineProperty(error, key, { value, enumerable, writable: true, configurable: true });
  if (description.name !== undefined && description.name !== error.name) {
    set('name', description.name, false);
  }
  if (description.stack !== undefined) set('stack', description.stack, false);
  if (description.cause !== undefined) set('cause', reviveError(description.cause), false);
  for (const [key, value] of Object.entries(description.data ?? {})) set(key, value, true);
  for (const key of ['code', 'retryable', 'location'] as const) {
    if (description[key] !== undefined) set(key, description[key], true);
  }
  return error;
}

/** A value in a message. */
export function show(value: unknown): string {
  try {
    if (typeof value === 'string') return JSON.stringify(value);
    if (typeof value === 'function') return 'a function';
    if (typeof value === 'object' && value !== null) {
      return Array.isArray(value) ? 'an array' : `an object (${Object.prototype.toString.call(value).slice(8, -1)})`;
    }
    return String(value);
  } catch {
    return 'an object';
  }
}

function travels(value: unknown): boolean {
  try {
    return JSON.stringify(value) !== undefined;
  } catch {
    return false;
  }
}
