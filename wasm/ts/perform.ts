// Performing a job that came as a message: on this thread, with this thread's own wasm instance, which
// knows nothing of the pool.

import type { Context } from './context.ts';
import { wanted, type Handler } from './handlers.ts';
import { Kind, Outcome } from './record.ts';
import { marksOf } from './retry.ts';
import { Solo } from './solo.ts';
import { describe, type ErrorData } from './thrown.ts';
import { Chunk, DataError, decode, encode, isThenable, kindOf, utf8 } from './value.ts';

/** A job on its way to whoever performs it. */
export interface Order {
  token: number;
  handler: number;
  kind: number;
  bytes: Uint8Array<ArrayBuffer>;
  attempt: number;
  /** How many ms are left to it. */
  remaining: number;
  /** Whether nobody but the handler itself ends the attempt after that. */
  lenient: boolean;
}

/** How it ended: an `Outcome`, and its result or its error. */
export interface Answer {
  outcome: number;
  kind: number;
  bytes: Uint8Array<ArrayBuffer>;
  /** What its error says about itself. */
  marks: number;
}

/** The context of a job without a record. */
export class OrderContext implements Context {
  /** Nobody waits for it any more. */
  stopped = false;
  /** Somebody wants to hear of its progress. */
  watched: boolean;
  readonly attempt: number;
  readonly #deadline: number;
  readonly #lenient: boolean;
  readonly #report: (done: number, total: number) => void;

  constructor(
    { attempt, remaining, lenient }: Order,
    watched: boolean,
    report: (done: number, total: number) => void,
  ) {
    this.attempt = attempt;
    this.watched = watched;
    this.#deadline = performance.now() + remaining;
    this.#lenient = lenient;
    this.#report = report;
  }

  get cancelled(): boolean {
    return this.stopped || (this.#lenient && this.remaining === 0);
  }

  get remaining(): number {
    return Math.max(0, this.#deadline - performance.now());
  }

  progress(done: number, total: number): void {
    if (this.watched) this.#report(+done, +total);
  }
}

export class Performer {
  readonly #handlers: readonly Handler[];
  readonly #solo: Solo;

  /** `mayBlock`: whether this thread may sleep. */
  constructor(handlers: readonly Handler[], mayBlock: boolean) {
    this.#handlers = handlers;
    this.#solo = new Solo(mayBlock);
  }

  /** Rejects only when a built-in handler trapped; the wasm instance is then lost. */
  async perform(order: Order, context: OrderContext): Promise<Answer> {
    const handler = this.#handlers[order.handler - this.#solo.handlers];
    if (handler === undefined) return this.#solo.perform(order, context);
    let output: unknown;
    try {
      const input = decode(order.kind, order.bytes);
      if (order.kind === Kind.CHUNK) {
        const outputs: unknown[] = [];
        for (const one of input as unknown[]) outputs.push(await handler(wanted(one, context), context));
        output = new Chunk(outputs);
      } else {
        output = handler(input, context);
        if (isThenable(output)) output = await output;
      }
    } catch (error) {
      return errorAnswer(Outcome.ERROR, describe(error));
    }
    try {
      return { outcome: Outcome.COMPLETED, kind: kindOf(output), bytes: bytesOf(output), marks: 0 };
    } catch (error) {
      return errorAnswer(Outcome.BAD_OUTPUT, describe(error));
    }
  }
}

/** The end of a job that was settled before anybody had it: nobody reads it. */
export const UNWANTED: Answer = { outcome: Outcome.CANCELLED, kind: Kind.NONE, bytes: new Uint8Array(0), marks: 0 };

/** The end of a job that has no result. */
export function errorAnswer(outcome: number, error: ErrorData): Answer {
  return { outcome, kind: Kind.JSON, bytes: utf8(JSON.stringify(error)), marks: marksOf(error) };
}

/** A result's bytes, in a buffer of their own that may be transferred. */
function bytesOf(output: unknown): Uint8Array<ArrayBuffer> {
  const data = encode(output);
  if (data === undefined) return new Uint8Array(0);
  if (typeof data === 'string') return utf8(data);
  if (data instanceof Uint8Array) return new Uint8Array(data);
  throw new DataError('a Blob cannot be read synchronously: return its bytes');
}
