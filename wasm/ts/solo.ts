// Solo: runs built-in jobs on this thread's wasm instance, one at a time, by one record of its own.

import type { Answer, Order, OrderContext } from './perform.ts';
import { errorAnswer } from './perform.ts';
import * as R from './record.ts';
import { Outcome } from './record.ts';
import * as glue from './wasm.js';

export class Solo {
  /** How many handlers are built in. */
  readonly handlers: number;
  readonly #mayBlock: boolean;

  constructor(mayBlock: boolean) {
    this.handlers = glue.handler_names().split(',').filter((name) => name !== '').length;
    this.#mayBlock = mayBlock;
  }

  /** Throws when the handler traps. */
  perform({ handler, kind, bytes, attempt, remaining, lenient }: Order, context: OrderContext): Answer {
    const { length } = bytes;
    // Without arguments: the present exports, which a reset of the page replaces.
    const { memory } = glue.initSync();
    const record = glue.solo_record() >>> 2;
    const address = length === 0 ? 0 : glue.alloc(length) >>> 0;
    if (length > 0 && address === 0) {
      return errorAnswer(Outcome.BAD_INPUT, { name: 'RangeError', message: `its ${length} bytes do not fit into memory` });
    }
    if (length > 0) new Uint8Array(memory.buffer).set(bytes, address);
    const before = new Int32Array(memory.buffer);
    before[record + R.HANDLER] = handler;
    before[record + R.KIND] = kind;
    before[record + R.INPUT] = address;
    before[record + R.INPUT_LEN] = length;
    const report = context.watched ? (done: number, total: number) => context.progress(done, total) : undefined;
    const marks = glue.solo_run(remaining * 1000, attempt, lenient, this.#mayBlock, report);
    // The memory may have grown.
    const i32 = new Int32Array(memory.buffer);
    const output = i32[record + R.OUTPUT]! >>> 0;
    const answer = {
      outcome: i32[record + R.OUTCOME]!,
      kind: i32[record + R.OUTPUT_KIND]!,
      bytes: new Uint8Array(memory.buffer).slice(output, output + (i32[record + R.OUTPUT_LEN]! >>> 0)) as Uint8Array<ArrayBuffer>,
      marks,
    };
    glue.solo_clear();
    if (length > 0) glue.free(address, length);
    return answer;
  }
}
