// Watchdog: one timer a pool, for time-outs and for handlers that run too long.

/** How long it may sleep at most, in ms: what a timer can hold. */
const LONGEST = 2 ** 31 - 1;

export class Watchdog {
  readonly #look: () => number;
  readonly #busy: () => boolean;
  /** The shortest limit of any job since the pool was last idle, in ms. */
  #period = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the timer fires, in ms on the page's clock. */
  #due = Infinity;

  /** `look` does what is due and returns in how many ms there is something known to do. */
  constructor(look: () => number, busy: () => boolean) {
    this.#look = look;
    this.#busy = busy;
  }

  /**
   * There is a job with this limit, in ms. A job's running limit counts from a start that the page
   * does not hear of; looking at least once in the shortest limit finds every start early enough to
   * know its deadline before it comes.
   */
  expect(limit: number): void {
    if (limit < this.#period) {
      this.#period = limit;
      this.#arm(limit);
    } else if (this.#timer === undefined && limit !== Infinity) {
      this.#arm(this.#period);
    }
  }

  /** There is something to do in `ms`. */
  by(ms: number): void {
    if (this.#timer === undefined || performance.now() + ms < this.#due) this.#arm(ms);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#period = Infinity;
  }

  #arm(ms: number): void {
    clearTimeout(this.#timer);
    const delay = Math.min(Math.max(Math.ceil(ms), 1), LONGEST);
    this.#due = performance.now() + delay;
    this.#timer = setTimeout(() => this.#fire(), delay);
  }

  #fire(): void {
    this.#timer = undefined;
    const next = this.#look();
    if (!this.#busy()) {
      this.#period = Infinity;
      return;
    }
    // `look` may have replaced the memory, and armed the timer.
    if (this.#timer === undefined) this.#arm(Math.min(next, this.#period));
  }
}
