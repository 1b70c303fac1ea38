// Table: the jobs by token, and their records in the present memory. A pool has a new one after a reset.

import * as glue from './wasm.js';
import type { Instance } from './instance.ts';
import type { Extra, Task } from './job.ts';
import * as R from './record.ts';
import { Layout } from './record.ts';
import { utf8, writeAscii, type Encoded } from './value.ts';

export class Table {
  readonly instance: Instance;
  /** The pool's number in this memory. */
  readonly pool: number;
  readonly i32: Int32Array;
  readonly f64: Float64Array;
  /** Where the pool's parts lie, in words of `i32`. */
  readonly records: number;
  readonly stride: number;
  readonly completions: number;
  readonly doorbell: number;
  /** The list of jobs that have to wait. */
  readonly delayed: number;
  readonly generation: number;
  readonly workers: number;
  readonly workerStride: number;
  /** What outlives the memory. */
  readonly ledger: Uint8Array;
  /** The jobs by token. */
  readonly tasks: (Task | undefined)[];
  /** Tokens that no job has. */
  readonly free: number[];
  /** Tokens of settled jobs whose handler still runs, and when it is to be killed (ms). */
  readonly abandoned = new Map<number, number>();
  readonly #inlineOffset: number;
  readonly #inlineBytes: number;

  constructor(instance: Instance, pool: number) {
    this.instance = instance;
    this.pool = pool;
    const layout = glue.pool_layout(pool);
    const [address, length] = glue.ledger(pool) as unknown as [number, number];
    const { buffer } = instance.memory;
    const tokens = layout[Layout.TOKENS]!;
    this.i32 = new Int32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.records = layout[Layout.RECORDS]! >>> 2;
    this.stride = layout[Layout.STRIDE]! >>> 2;
    this.completions = layout[Layout.COMPLETIONS]! >>> 2;
    this.doorbell = layout[Layout.DOORBELL]! >>> 2;
    this.delayed = layout[Layout.DELAYED]! >>> 2;
    this.generation = layout[Layout.GENERATION]! >>> 2;
    this.workers = layout[Layout.WORKERS]! >>> 2;
    this.workerStride = layout[Layout.WORKER_STRIDE]! >>> 2;
    this.ledger = new Uint8Array(buffer, address, length);
    this.tasks = new Array<Task | undefined>(tokens).fill(undefined);
    this.free = Array.from({ length: tokens }, (_, i) => tokens - 1 - i);
    this.#inlineOffset = layout[Layout.INLINE_OFFSET]!;
    this.#inlineBytes = layout[Layout.INLINE_BYTES]!;
  }

  /** Where a token's record begins, in words of `i32`. */
  recordOf(token: number): number {
    return this.records + token * this.stride;
  }

  /** The task has no token any more. */
  part(task: Task, token: number): void {
    this.tasks[token] = undefined;
    task.token = -1;
  }

  /** Writes an input into the record, or beside it. False when there is no memory for it now. */
  writeInput(token: number, kind: number, data: Encoded): boolean {
    const { i32 } = this;
    const record = this.records + token * this.stride;
    i32[record + R.KIND] = kind;
    if (data === undefined) {
      i32[record + R.INPUT_LEN] = 0;
      return true;
    }
    let bytes: Uint8Array;
    const inline = this.#inlineAddress(token);
    if (typeof data === 'string') {
      if (
        data.length <= this.#inlineBytes &&
        writeAscii(this.instance.bytes(inline + this.#inlineBytes), inline, data)
      ) {
        i32[record + R.INPUT] = inline;
        i32[record + R.INPUT_LEN] = data.length;
        return true;
      }
      bytes = utf8(data);
    } else {
      bytes = data as Uint8Array;
    }
    const length = bytes.length;
    let address = inline;
    if (length > this.#inlineBytes) {
      if (!this.instance.loader.fits(length)) return false;
      address = this.instance.alloc(length);
      if (address === 0) return false;
    }
    this.instance.bytes(address + length).set(bytes, address);
    i32[record + R.INPUT] = address;
    i32[record + R.INPUT_LEN] = length;
    return true;
  }

  /** As `writeInput`, with an input that the loader has brought into memory. */
  writeLoaded(token: number, extra: Extra): void {
    const { i32 } = this;
    const record = this.recordOf(token);
    const { address, length } = extra.loaded!;
    i32[record + R.KIND] = extra.kind;
    i32[record + R.INPUT] = address;
    i32[record + R.INPUT_LEN] = length;
    if (length > this.#inlineBytes) return;
    // Short inputs live in the record.
    const to = this.#inlineAddress(token);
    const bytes = this.instance.bytes(address + length);
    bytes.copyWithin(to, address, address + length);
    i32[record + R.INPUT] = to;
    extra.loaded = undefined;
    extra.data = bytes.slice(to, to + length);
    if (length > 0) this.instance.free(address, length);
  }

  /** A job's output. A copy on plain memory: hardly any API of the browser takes a view of shared memory. */
  output(record: number): Uint8Array<ArrayBuffer> {
    const address = this.i32[record + R.OUTPUT]! >>> 0;
    const length = this.i32[record + R.OUTPUT_LEN]! >>> 0;
    return this.instance.bytes(address + length).slice(address, address + length) as Uint8Array<ArrayBuffer>;
  }

  /** Gives a token back whose job was not taken in. */
  giveUp(token: number, extra: Extra): void {
    // The input is still the extra's.
    if (extra.loaded !== undefined) this.i32[this.recordOf(token) + R.INPUT_LEN] = 0;
    this.reclaim(token);
  }

  /** The token is the page's again: frees what hangs on it. */
  reclaim(token: number): void {
    const record = this.recordOf(token);
    if (this.i32[record + R.OUTPUT_CAPACITY] !== 0) this.instance.ask(() => glue.free_output(this.pool, token));
    this.#freeInput(record);
    this.free.push(token);
  }

  /** Frees the inputs of the tokens that have not come back. */
  freeInputs(): void {
    const back = new Set(this.free);
    for (let token = 0; token < this.tasks.length; token++) if (!back.has(token)) this.#freeInput(this.recordOf(token));
  }

  #freeInput(record: number): void {
    const length = this.i32[record + R.INPUT_LEN]! >>> 0;
    if (length > this.#inlineBytes) this.instance.free(this.i32[record + R.INPUT]! >>> 0, length);
    this.i32[record + R.INPUT_LEN] = 0;
  }

  #inlineAddress(token: number): number {
    return this.recordOf(token) * 4 + this.#inlineOffset;
  }
}
