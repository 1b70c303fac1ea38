// Staff: how many workers a pool is to have, and when that changes: by a call of `resize`, or by itself.

import type { Engine } from './engine.ts';
import { hold, release } from './node.ts';
import type { Range } from './options.ts';

/** How long jobs wait until the pool grows by a worker, in ms: a worker takes longer than that to start, and what is
 * over sooner needs none. */
const PATIENCE = 10;
/** How long a pool that could not grow waits until it tries again, in ms. */
const RETRY = 1000;
/** How often in `idleTimeout` it looks for idle workers. */
const LOOKS = 4;

export class Staff {
  /** The workers that there are to be. */
  size: number;
  /** Whether it may grow by itself. */
  grows = false;
  readonly #engine: Engine;
  #range: Range;
  /** Those who wait until it is so. */
  #waiting: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  #growth: ReturnType<typeof setTimeout> | undefined;
  #decline: ReturnType<typeof setTimeout> | undefined;
  /** For each worker: the jobs it had done, and since when that has not changed, in ms. */
  #idle = new Map<number, { jobsDone: number; since: number }>();

  constructor(engine: Engine, range: Range) {
    this.#engine = engine;
    this.#range = range;
    this.size = range.min;
    this.#plan();
  }

  /** The most workers that it may come to have. */
  get most(): number {
    return this.#range.max;
  }

  /** Resolves when the pool has as many workers as its last call asks for. */
  resize(range: Range): Promise<void> {
    const { closed } = this.#engine;
    if (closed !== undefined) return Promise.reject(closed);
    this.#range = range;
    clearTimeout(this.#decline);
    this.#decline = undefined;
    this.#set(Math.min(Math.max(this.size, range.min), range.max));
    hold();
    return new Promise<void>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.look();
    }).finally(release);
  }

  /** Workers have come or gone. */
  look(): void {
    if (this.#waiting.length === 0 || this.#engine.instance.broken || !this.#engine.executor.isResized) return;
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  /** Of the `wanted` workers some could not be started: there are `size`. */
  failed(wanted: number, size: number, error: unknown): void {
    // Or another number is wanted by now.
    if (this.size !== wanted) return;
    const { min, max } = this.#range;
    this.#range = { ...this.#range, min: min === max ? size : Math.min(min, size), max: min === max ? size : Math.max(max, size) };
    this.#set(size);
    if (this.grows) this.#growSoon(RETRY);
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  /** A job has come. Called only while `grows`. */
  expect(): void {
    if (this.#growth === undefined) this.#growSoon(PATIENCE);
  }

  /** The pool ends, with `error`. */
  end(error: unknown): void {
    this.grows = false;
    clearTimeout(this.#growth);
    clearTimeout(this.#decline);
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  #set(size: number): void {
    this.size = size;
    this.#plan();
    if (!this.#engine.instance.broken) this.#engine.executor.resize();
  }

  #plan(): void {
    if (this.#engine.closed !== undefined) return;
    this.grows = this.size < this.#range.max;
    if (this.size > this.#range.min) this.#decline ??= setTimeout(() => this.#shrink(), this.#range.idleTimeout / LOOKS);
  }

  #growSoon(ms: number): void {
    clearTimeout(this.#growth);
    this.#growth = setTimeout(() => {
      this.#growth = undefined;
      this.#grow();
    }, ms);
  }

  #grow(): void {
    const { backlog, executor, instance, paused, settings } = this.#engine;
    if (!this.grows || instance.broken || backlog.size === 0) return;
    const numbers = this.#engine.snapshot();
    const busy = numbers.get('running')! + numbers.get('abandoned')!;
    if (!paused && busy >= executor.count * settings.concurrency) this.#set(this.size + 1);
    if (this.grows) this.expect();
  }

  #shrink(): void {
    this.#decline = undefined;
    const { executor, instance } = this.#engine;
    const now = performance.now();
    const before = this.#idle;
    this.#idle = new Map();
    if (!instance.broken) {
      const workers = executor.workers();
      for (const { id, state, jobsDone } of workers) {
        const known = before.get(id);
        const rested = state === 'idle' && known?.jobsDone === jobsDone;
        this.#idle.set(id, rested ? known : { jobsDone, since: now });
      }
      const idle = [...this.#idle.values()].filter(({ since }) => now - since >= this.#range.idleTimeout).length;
      // Some may be on their way out anyway.
      const spare = idle - Math.max(workers.length - executor.count, 0);
      if (spare > 0) this.#set(Math.max(this.size - spare, this.#range.min));
    }
    this.#plan();
  }
}
