// Completions: takes finished jobs from shared memory, in batches that leave the page smooth, and
// sleeps on one doorbell while there are none.

import type { Engine } from './engine.ts';
import { macrotask, SLICE } from './macrotask.ts';
import { NEXT } from './record.ts';
import type { Table } from './table.ts';

/** Jobs settled between two looks at the clock. */
const BATCH = 32;

type Wait = { async: true; value: Promise<string> } | { async: false; value: string };
type WaitAsync = (words: Int32Array, index: number, value: number) => Wait;
const waitAsync = (Atomics as { waitAsync?: WaitAsync }).waitAsync;

/** What the doorbell is set to: how a worker is to ring it. Without `Atomics.waitAsync`, by a message. */
const BELL = waitAsync === undefined ? 2 : 1;

export class Completions {
  readonly #engine: Engine;
  readonly #words: Int32Array;
  readonly #head: number;
  readonly #doorbell: number;
  readonly #delayed: number;
  readonly #records: number;
  readonly #stride: number;
  readonly #batchEnd: () => void;
  /** Taken from memory and not settled yet, oldest first: token + 1, linked like the list. Refilled only when empty. */
  #first = 0;
  /** The doorbell is set, or a task that will look is on its way. */
  #armed = false;
  #settling = false;
  #stopped = false;

  constructor(engine: Engine, table: Table, batchEnd = () => engine.batchEnd()) {
    this.#engine = engine;
    this.#words = table.i32;
    this.#head = table.completions;
    this.#doorbell = table.doorbell;
    this.#delayed = table.delayed;
    this.#records = table.records;
    this.#stride = table.stride;
    this.#batchEnd = batchEnd;
  }

  /** To be called after a submission: makes sure that the page hears of its end. */
  listen(): void {
    if (!this.#armed) this.#arm();
  }

  /** Settles what is there; the rest in later tasks when it takes long. */
  drain(): void {
    if (this.#settling || this.#stopped) return;
    this.#settling = true;
    const end = performance.now() + SLICE;
    let left = BATCH;
    try {
      for (;;) {
        if (this.#first === 0) this.#take();
        if (this.#first === 0) break;
        this.#settleFirst();
        if (--left === 0) {
          left = BATCH;
          if (performance.now() > end) break;
        }
      }
    } finally {
      this.#settling = false;
    }
    if (this.#first !== 0) macrotask(() => this.drain());
    this.#batchEnd();
  }

  /** Settles everything at once. Needs no call into wasm, for the memory may be given up. */
  drainAll(): void {
    this.#settling = true;
    for (;;) {
      if (this.#first === 0) this.#take();
      if (this.#first === 0) break;
      this.#settleFirst();
    }
    this.#settling = false;
  }

  /** Never looks again. */
  stop(): void {
    this.#stopped = true;
    // Ends the pending sleep, which would keep the old memory alive.
    Atomics.notify(this.#words, this.#doorbell);
  }

  #settleFirst(): void {
    const token = this.#first - 1;
    this.#first = this.#words[this.#records + token * this.#stride + NEXT]!;
    this.#engine.settlement.settle(token);
  }

  /** Moves the list, newest first in memory, behind what waits here, oldest first. */
  #take(): void {
    const words = this.#words;
    let token = Atomics.exchange(words, this.#head, 0);
    // Not before: all failed attempts of the jobs on the list have been told of by now (wasm/src/retries.rs).
    if (Atomics.load(words, this.#delayed) !== 0) this.#engine.hearOfDelays();
    if (token === 0) return;
    let newer = 0;
    while (token !== 0) {
      const link = this.#records + (token - 1) * this.#stride + NEXT;
      const older = words[link]!;
      words[link] = newer;
      newer = token;
      token = older;
    }
    this.#first = newer;
  }

  /** The doorbell has been rung. */
  rung(): void {
    this.#armed = false;
    if (this.#stopped) return;
    this.drain();
    this.#arm();
  }

  #arm(): void {
    if (this.#stopped) return;
    this.#armed = true;
    // First the bell, then one more look: a worker pushes first and then looks at the bell.
    Atomics.store(this.#words, this.#doorbell, BELL);
    if (Atomics.load(this.#words, this.#head) !== 0 || Atomics.load(this.#words, this.#delayed) !== 0) {
      macrotask(() => this.rung());
      return;
    }
    if (waitAsync === undefined) return;
    const wait = waitAsync(this.#words, this.#doorbell, BELL);
    if (wait.async) {
      void wait.value.then(() => this.rung());
    } else {
      macrotask(() => this.rung());
    }
  }
}
