// Backlog: the jobs that wait, and who waits for them to become fewer.

import type { Engine } from './engine.ts';

/** How long until the next look while somebody waits, in ms: the page does not hear of a job that leaves the queue
 * for a worker. */
const LOOK_AGAIN = 2;

export class Backlog {
  readonly #engine: Engine;
  #waiters: { below: number; resolve: () => void }[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Jobs that have been given to the pool and do not run yet. */
  get size(): number {
    const { admission, pool } = this.#engine;
    if (pool < 0) return 0;
    const numbers = this.#engine.snapshot();
    return admission.unadmitted + numbers.get('queued')! + (numbers.get('delayed') ?? 0);
  }

  /** Resolves when fewer than `count` jobs wait. */
  below(count: number): Promise<void> {
    if (this.size < count) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiters.push({ below: count, resolve });
      this.#lookSoon();
    });
  }

  /** Some jobs may have left. */
  look(): void {
    if (this.#waiters.length === 0) return;
    const { size } = this;
    this.#waiters = this.#waiters.filter(({ below, resolve }) => {
      if (size >= below) return true;
      resolve();
      return false;
    });
    this.#lookSoon();
  }

  #lookSoon(): void {
    if (this.#waiters.length === 0 || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.look();
    }, LOOK_AGAIN);
  }
}
