// The errors of a pool's jobs, in words.

import { burst } from './burst.ts';
import type { Engine } from './engine.ts';
import { PoolError, type ErrorDetails } from './errors.ts';
import type { Verdict } from './instance.ts';
import type { Task } from './job.ts';
import * as R from './record.ts';
import { isNode } from './node.ts';
import { Kind, Outcome, Refused } from './record.ts';
import type { Table } from './table.ts';
import { reviveError, type ErrorData } from './thrown.ts';
import type { JobState } from './types.ts';
import { DataError, decode } from './value.ts';

export function unknownJob(task: Task, { handlerNames, settings }: Engine): PoolError {
  const { mode, handlers, createWorker, workerUrl, jobs } = settings;
  const own = mode === 'inline' ? handlers : (createWorker ?? workerUrl);
  const hint = own !== undefined || jobs.length > 0
    ? ''
    : ` (in mode ${mode} your own come from the option \`${mode === 'inline' ? 'handlers' : isNode ? 'workerUrl' : 'createWorker'}\`)`;
  const message = `there is no job ${JSON.stringify(task.name)}; there are: ${handlerNames.join(', ')}${hint}`;
  return new PoolError('ERR_UNKNOWN_JOB', message, { jobId: task.id });
}

/** The pool is `closed`, and why; each job has an error of its own. */
export function poolClosed(task: Task, { code, message, cause }: PoolError): PoolError {
  return new PoolError(code, message, { jobId: task.id, ...(cause === undefined ? {} : { cause }) });
}

export function queueFull(task: Task, message: string): PoolError {
  return new PoolError('ERR_QUEUE_FULL', message, { jobId: task.id });
}

/** Why `submit` refused a job; `undefined` when the queue was full. */
export function refusal(task: Task, code: number, { gates, table }: Engine, token: number): PoolError | undefined {
  const counted = table.f64[(table.recordOf(token) >> 1) + R.RETRY_AFTER]!;
  const retryAfter = Math.max(counted - burst.age(), 1) / 1000;
  const jobId = task.id;
  switch (code) {
    case Refused.RATE:
      return new PoolError('ERR_RATE_LIMITED', `the rate limit is reached; again in ${format(retryAfter)}`, { jobId, retryAfter });
    case Refused.BREAKER:
      return circuitOpen(task, retryAfter, { jobId });
    case Refused.IN_FLIGHT:
      return new PoolError('ERR_IN_FLIGHT_LIMIT', `the limit of ${gates.maxInFlight} jobs in flight is reached (maxInFlight)`, { jobId });
    case Refused.CLOSED:
      return new PoolError('ERR_POOL_CLOSED', 'the pool is closed', { jobId });
    default:
      return undefined;
  }
}

/** A value that cannot travel. */
export function badData(task: Task, thrown: unknown, what = 'input'): PoolError {
  const message = thrown instanceof DataError ? thrown.message : `it could not be read: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
  const cause = thrown instanceof DataError ? thrown.cause : thrown;
  return new PoolError('ERR_DATA', `the ${what} of job ${task.id} (${task.name}) cannot travel: ${message}`, {
    jobId: task.id, ...(cause === undefined ? {} : { cause }),
  });
}

/** How a job or an attempt ended that has no result; `output` is its error where that is not in memory. */
export function failure(task: Task, outcome: number, table: Table, token: number, output?: Uint8Array<ArrayBuffer>): PoolError {
  const record = table.recordOf(token);
  const who = `job ${task.id} (${task.name})`;
  const details: ErrorDetails = { jobId: task.id };
  if (task.attempt > 0) details.attempt = task.attempt;
  const { timeout, queueTimeout, totalTimeout } = task.extra?.settings ?? task.engine.settings;
  const timedOut = (what: string, phase: 'queue' | 'run' | 'total', limit: number) =>
    new PoolError('ERR_TIMEOUT', `${who} ${what}: over ${format(limit)}`, { ...details, phase });
  switch (outcome) {
    case Outcome.CIRCUIT_OPEN:
      return circuitOpen(task, table.f64[(record >> 1) + R.RETRY_AFTER]! / 1000, details);
    case Outcome.TIMED_OUT_QUEUE:
      return timedOut('waited too long in the queue', 'queue', queueTimeout);
    case Outcome.TIMED_OUT_RUN:
    // An attempt that returned after its time-out and may be repeated: the core does not let the result count.
    case Outcome.COMPLETED:
      return timedOut('ran too long', 'run', timeout);
    case Outcome.TIMED_OUT_TOTAL:
      return timedOut('took too long', 'total', totalTimeout);
    case Outcome.CANCELLED:
      return new PoolError('ERR_CANCELLED', `${who} was cancelled`, details);
  }
  const description = described(output ?? table.output(record));
  const cause = reviveError(description);
  const text = description.message ?? '';
  switch (outcome) {
    case Outcome.KILLED:
      return lostJob(task, 'ERR_KILLED', text);
    case Outcome.TRAPPED:
      return lostJob(task, 'ERR_PANIC', text);
    case Outcome.CRASHED:
      return lostJob(task, 'ERR_WORKER_CRASHED', text);
    case Outcome.PANIC:
      return new PoolError('ERR_PANIC', `${who} panicked: ${text} (${description.location ?? 'unknown place'})`, { ...details, cause });
    case Outcome.BAD_OUTPUT:
      return new PoolError('ERR_DATA', `the result of ${who} cannot travel: ${text}`, { ...details, cause });
    case Outcome.BAD_INPUT:
      return new PoolError('ERR_DATA', `${who} does not take this input: ${text}`, { ...details, cause });
    default:
      if (description.code === 'ERR_UNSUPPORTED') {
        return new PoolError('ERR_UNSUPPORTED', `${who}: ${text}`, { ...details, cause });
      }
      return new PoolError('ERR_JOB_FAILED', `${who} failed: ${text}`, { ...details, cause }, description.retryable ?? false);
  }
}

/** The end of a job that was lost with its worker. */
export function lostJob(task: Task, verdict: Verdict, reason: string): PoolError {
  const who = `job ${task.id} (${task.name})`;
  const details = { jobId: task.id, attempt: task.attempt };
  switch (verdict) {
    case 'ERR_PANIC':
      return new PoolError(verdict, `${who} trapped: ${reason}`, details);
    case 'ERR_KILLED':
      return new PoolError(verdict, `${who} was killed: ${reason}`, details);
    default:
      return new PoolError(verdict, `${who} was lost with its worker: ${reason}`, details);
  }
}

export function stateAfter(outcome: number): JobState {
  switch (outcome) {
    case Outcome.TIMED_OUT_QUEUE:
    case Outcome.TIMED_OUT_RUN:
    case Outcome.TIMED_OUT_TOTAL:
      return 'timed-out';
    case Outcome.CANCELLED:
      return 'cancelled';
    default:
      return 'failed';
  }
}

function described(output: Uint8Array<ArrayBuffer>): ErrorData {
  try {
    return decode(Kind.JSON, output) as ErrorData;
  } catch {
    return { message: 'its error could not be read' };
  }
}

/** `retryAfter` is `Infinity` for a breaker that is open until somebody resets it. */
function circuitOpen({ engine, name }: Task, retryAfter: number, details: ErrorDetails): PoolError {
  const which = engine.settings.breakerPerJob ? `the circuit breaker of ${name}` : 'the circuit breaker';
  if (retryAfter === Infinity) return new PoolError('ERR_CIRCUIT_OPEN', `${which} is open until it is reset`, details);
  return new PoolError('ERR_CIRCUIT_OPEN', `${which} is open; again in ${format(retryAfter)}`, { ...details, retryAfter });
}

function format(ms: number): string {
  return `${ms < 10 ? ms.toFixed(2) : Math.round(ms)} ms`;
}
