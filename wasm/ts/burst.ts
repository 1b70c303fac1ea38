// Burst: the time of a submission, read once for several that are made in one go.

/** Submissions that may share a time. */
const SHARED = 16;

/**
 * The page's clock for submissions. `performance.now()` takes longer than all the gates of the pool together, and
 * `Date.now()` a quarter of it: so up to 16 submissions within one millisecond share the time of the first.
 */
class Burst {
  #time = 0;
  #millisecond = -1;
  #left = 0;

  /** µs on the page's clock; never later than now, and earlier by less than 2 ms. */
  time(): number {
    const millisecond = Date.now();
    if (this.#left-- <= 0 || millisecond !== this.#millisecond) {
      this.#millisecond = millisecond;
      this.#left = SHARED - 1;
      this.#time = performance.now() * 1000;
    }
    return this.#time;
  }

  /** How long ago that time was, in µs: what a wait that was counted from it must be shorter by. */
  age(): number {
    return performance.now() * 1000 - this.#time;
  }
}

export const burst = new Burst();
