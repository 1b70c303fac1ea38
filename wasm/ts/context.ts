// Context: what a JavaScript handler may ask about its job.

import { CANCELLED, ATTEMPT, RUN_TIMEOUT, STARTED, SUBMITTED, TOTAL_TIMEOUT } from './record.ts';
import { isLenient } from './retry.ts';

/** What a handler may ask about its job, at any time while it runs. */
export interface Context {
  /** True once nobody waits for the result any more: the handler should return soon. */
  readonly cancelled: boolean;
  /** How many ms are left until the job's deadline; `Infinity` without one. */
  readonly remaining: number;
  /** Which attempt this is, from 1. */
  readonly attempt: number;
  /** Tells whoever reads `job.progress` that `done` of `total` are done, in any unit. Costs next to nothing. */
  progress(done: number, total: number): void;
}

/** The context of the job whose record begins at this word. */
export class RecordContext implements Context {
  readonly attempt: number;
  readonly #i32: Int32Array;
  readonly #record: number;
  /** In µs on the page's clock. */
  readonly #deadline: number;
  /** Whether nobody but the handler itself ends the attempt at its deadline. */
  readonly #lenient: boolean;
  readonly #now: () => number;
  readonly #report: (done: number, total: number) => void;

  constructor(
    i32: Int32Array,
    f64: Float64Array,
    record: number,
    now: () => number,
    report: (done: number, total: number) => void,
  ) {
    this.#report = report;
    this.#lenient = isLenient(i32, record);
    this.#i32 = i32;
    this.#record = record;
    this.#now = now;
    this.attempt = i32[record + ATTEMPT]!;
    this.#deadline = deadlineOf(f64, record);
  }

  get cancelled(): boolean {
    return Atomics.load(this.#i32, this.#record + CANCELLED) !== 0 || (this.#lenient && this.remaining === 0);
  }

  get remaining(): number {
    return Math.max(0, (this.#deadline - this.#now()) / 1000);
  }

  progress(done: number, total: number): void {
    this.#report(done, total);
  }
}

/** The deadline of the running job whose record begins at this word, in µs on the page's clock. */
export function deadlineOf(f64: Float64Array, record: number): number {
  const floats = record >> 1;
  return Math.min(
    f64[floats + STARTED]! + f64[floats + RUN_TIMEOUT]!,
    f64[floats + SUBMITTED]! + f64[floats + TOTAL_TIMEOUT]!,
  );
}
