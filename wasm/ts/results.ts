// `results()`: every job's result from the call on, as a stream with a bounded buffer.

import type { JobResult } from './types.ts';

/** The results of a pool's jobs as they come; ends when the pool is closed. */
export class Results implements AsyncIterableIterator<JobResult> {
  /** How many results were dropped, oldest first, because nobody took them in time. */
  missed = 0;
  readonly #buffer: (JobResult | undefined)[];
  readonly #leave: (self: Results) => void;
  #first = 0;
  #count = 0;
  #ended = false;
  /** Those who wait for a result; only when the buffer is empty. */
  #takers: ((result: IteratorResult<JobResult, undefined>) => void)[] = [];

  /** @internal */
  constructor(size: number, leave: (self: Results) => void) {
    this.#buffer = new Array(size).fill(undefined);
    this.#leave = leave;
  }

  /** The next result, as soon as there is one; `done` once the pool is closed and all were taken. */
  next(): Promise<IteratorResult<JobResult, undefined>> {
    if (this.#count > 0) {
      const value = this.#buffer[this.#first]!;
      this.#buffer[this.#first] = undefined;
      this.#first = (this.#first + 1) % this.#buffer.length;
      this.#count--;
      return Promise.resolve({ done: false, value });
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  /** Ends the stream and drops what it holds: what leaving a `for await` loop does. */
  return(): Promise<IteratorResult<JobResult, undefined>> {
    this.#leave(this);
    this.#first = this.#count = 0;
    this.#buffer.fill(undefined);
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Itself: a stream is read once. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** @internal */
  push(value: JobResult): void {
    const taker = this.#takers.shift();
    if (taker !== undefined) {
      taker({ done: false, value });
      return;
    }
    const size = this.#buffer.length;
    this.#buffer[(this.#first + this.#count) % size] = value;
    if (this.#count < size) {
      this.#count++;
    } else {
      this.#first = (this.#first + 1) % size;
      this.missed++;
    }
  }

  /** @internal */
  end(): void {
    this.#ended = true;
    for (const taker of this.#takers.splice(0)) taker({ done: true, value: undefined });
  }
}
