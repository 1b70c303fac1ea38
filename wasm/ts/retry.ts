// Retry: how a job is tried again, in the words of a record (wasm/src/terms.rs) and of a handler's error.

import { ATTEMPT, RUN_TIMEOUT, STARTED, TERMS } from './record.ts';
import type { Table } from './table.ts';
import type { ErrorData } from './thrown.ts';

/** How a job is tried again, checked. */
export interface RetryPolicy {
  attempts: number;
  /** In ms. */
  backoff: number;
  maxBackoff: number;
  panics: boolean;
  timeouts: boolean;
  /** Whether it is the pool's. */
  pools: boolean;
}

/** Priority and retries as one word. */
export function termsOf(priority: number, retry: RetryPolicy | undefined): number {
  if (retry === undefined) return priority;
  const rules = (retry.pools ? 1 << 2 : 2 << 2) | (retry.panics ? 1 << 4 : 0) | (retry.timeouts ? 1 << 5 : 0);
  return priority | rules | (retry.attempts << 8);
}

/** Whether these terms have a policy. */
export function hasPolicy(terms: number): boolean {
  return (terms & (3 << 2)) !== 0;
}

/** Whether another attempt may be made of a job with these terms: then its input must last. */
export function hasRetries(terms: number): boolean {
  return terms >> 8 > 1;
}

/** Whether the time-out of the present attempt is left to its handler, since another attempt may follow. */
export function isLenient(i32: Int32Array, record: number): boolean {
  const terms = i32[record + TERMS]!;
  return (terms & (1 << 5)) !== 0 && i32[record + ATTEMPT]! < terms >> 8;
}

/** When the time of a running, lenient attempt is up, in ms; `Infinity` for any other. */
export function lenientEnd({ i32, f64 }: Table, record: number): number {
  if (!isLenient(i32, record)) return Infinity;
  return (f64[(record >> 1) + STARTED]! + f64[(record >> 1) + RUN_TIMEOUT]!) / 1000;
}

const PERMANENT = 1;
const IGNORED = 2;

/** What an error says about itself: that another attempt would only repeat it, that the breaker is not to count it. */
export function marksOf({ retryable, data }: ErrorData): number {
  return (retryable === false ? PERMANENT : 0) | (data?.['ignored'] === true ? IGNORED : 0);
}
