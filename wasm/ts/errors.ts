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
  /** Of `map`: which input it was, from 0; of a chunk its first. */
  declare readonly index?: number;

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
