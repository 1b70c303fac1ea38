// Progress: how far a job is, from its handler to whoever watches it.

import { WorkerEntry } from './record.ts';

/** How far a job is, in the handler's own unit. */
export interface Progress {
  readonly done: number;
  readonly total: number;
}

/** How often shared memory is looked at while somebody waits for a report, in ms. Reports that come in shorter
 * distances are left out in every mode: nobody sees more than a frame. */
export const FRAME = 16;

/** The reports of one job. Only the latest counts: a slow reader misses those between. */
export class Watch implements AsyncIterable<Progress> {
  /** Looks for a report in shared memory; undefined where reports come by themselves. */
  readonly #look: (() => Progress | undefined) | undefined;
  #latest: Progress | undefined;
  /** Counts the reports. */
  #version = 0;
  #ended = false;
  #waiting: (() => void)[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(look: (() => Progress | undefined) | undefined) {
    this.#look = look;
  }

  report(latest: Progress): void {
    if (latest.done === this.#latest?.done && latest.total === this.#latest.total) return;
    this.#latest = latest;
    this.#version++;
    this.#wake();
  }

  /** The job is settled. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#wake();
  }

  [Symbol.asyncIterator](): AsyncIterator<Progress, undefined> {
    let seen = 0;
    let left = false;
    return {
      next: async () => {
        for (;;) {
          this.#refresh();
          if (left) return { done: true, value: undefined };
          if (this.#version !== seen) {
            seen = this.#version;
            return { done: false, value: this.#latest! };
          }
          if (this.#ended) return { done: true, value: undefined };
          await this.#next();
        }
      },
      return: () => {
        left = true;
        this.#wake();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  /** Resolves when there may be something new. */
  #next(): Promise<void> {
    if (this.#look !== undefined) this.#timer ??= setTimeout(() => this.#wake(), FRAME);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #refresh(): void {
    if (this.#ended || this.#look === undefined) return;
    const found = this.#look();
    if (found !== undefined) this.report(found);
  }

  #wake(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

// Two numbers and their halves.
const floats = new Float64Array(2);
const halves = new Int32Array(floats.buffer);

/** Writes a report into the entry of the worker that runs the job (wasm/src/progress.rs says how). */
export function writeProgress(i32: Int32Array, worker: number, done: number, total: number): void {
  const at = worker + WorkerEntry.PROGRESS;
  const version = i32[at]!;
  floats[0] = done;
  floats[1] = total;
  Atomics.store(i32, at, version + 1);
  Atomics.store(i32, at + 1, i32[worker + WorkerEntry.DONE]!);
  for (let i = 0; i < 4; i++) Atomics.store(i32, at + 2 + i, halves[i]!);
  Atomics.store(i32, at, version + 2);
}

/** The last report of the job that the worker runs now; undefined without one, or while it is being written. */
export function readProgress(i32: Int32Array, worker: number): Progress | undefined {
  const at = worker + WorkerEntry.PROGRESS;
  const version = Atomics.load(i32, at);
  const job = Atomics.load(i32, at + 1);
  for (let i = 0; i < 4; i++) halves[i] = Atomics.load(i32, at + 2 + i);
  // Never written, or just now.
  if (version === 0 || (version & 1) !== 0 || Atomics.load(i32, at) !== version) return undefined;
  if (Atomics.load(i32, worker + WorkerEntry.DONE) !== job) return undefined;
  return { done: floats[0]!, total: floats[1]! };
}
