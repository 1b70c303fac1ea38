// A worker's work in threads mode: it shares the page's memory, and never returns from wasm while the
// pool lives.

import { RecordContext } from './context.ts';
import { wanted, type Handler } from './handlers.ts';
import { say, type Shared } from './messages.ts';
import * as R from './record.ts';
import { Kind, Layout, Outcome } from './record.ts';
import { writeProgress } from './progress.ts';
import { hasRetries, marksOf } from './retry.ts';
import { describe, type ErrorData } from './thrown.ts';
import { Chunk, DataError, decode, encode, isThenable, kindOf, utf8, writeAscii, type Encoded } from './value.ts';
import * as glue from './wasm.js';

export function enterThreads(
  { memory, pool, origin }: Shared,
  worker: number,
  handlers: ReadonlyMap<string, Handler>,
  exports: glue.Exports,
): void {
  exports.__set_stack_limits(-1, exports.__stack_alloc.value);
  const call = caller(memory, pool, worker, origin, [...handlers.values()]);
  say({ weirpool: 'ready', worker, handlers: [...handlers.keys()] });
  try {
    exports.worker_enter(pool, worker, origin, call);
    // Frees this thread's stack: nothing may run on it afterwards. It does so on another one.
    exports.__set_stack_limits(-1, 0);
    exports.__wbindgen_thread_destroy();
    say({ weirpool: 'exit', worker });
  } catch (error) {
    // Once the module is terminated, any worker that calls an import traps too: the culprit is who terminated it.
    const terminated = new Int32Array(memory.buffer, exports.__instance_terminated.value, 1);
    const first = Atomics.compareExchange(terminated, 0, 0, 1) === 0;
    say({ weirpool: first ? 'trap' : 'felled', worker, message: String(error) });
  }
}

/** Not a handler: the page is to be told by message that a job has ended. */
const RING = 0xffff_ffff;

/** What wasm calls for each job that is not built in. It must not throw. */
function caller(
  memory: WebAssembly.Memory,
  pool: number,
  worker: number,
  origin: number,
  table: readonly Handler[],
): (handler: number, token: number) => number {
  const layout = glue.pool_layout(pool);
  const i32 = new Int32Array(memory.buffer);
  const f64 = new Float64Array(memory.buffer);
  const records = layout[Layout.RECORDS]! >>> 2;
  const stride = layout[Layout.STRIDE]! >>> 2;
  const entry = (layout[Layout.WORKERS]! + worker * layout[Layout.WORKER_STRIDE]!) >>> 2;
  const builtIns = layout[Layout.BUILT_INS]!;
  const inlineOffset = layout[Layout.INLINE_OFFSET]!;
  const inlineBytes = layout[Layout.INLINE_BYTES]!;
  let u8 = new Uint8Array(memory.buffer);
  /** The memory at least up to `end`: a view goes short when the memory grows. */
  const bytes = (end: number) => {
    if (end > u8.length) u8 = new Uint8Array(memory.buffer);
    return u8;
  };
  const report = (done: number, total: number) => writeProgress(i32, entry, done, total);
  const now = () => (performance.timeOrigin - origin + performance.now()) * 1000;

  const write = (record: number, kind: number, data: Encoded): void => {
    i32[record + R.OUTPUT_KIND] = kind;
    i32[record + R.OUTPUT_CAPACITY] = 0;
    // Another attempt may need the input, which may lie there.
    const room = hasRetries(i32[record + R.TERMS]!) ? 0 : inlineBytes;
    const inline = record * 4 + inlineOffset;
    i32[record + R.OUTPUT] = inline;
    if (data === undefined) {
      i32[record + R.OUTPUT_LEN] = 0;
      return;
    }
    if (typeof data === 'string' && data.length <= room && writeAscii(u8, inline, data)) {
      i32[record + R.OUTPUT_LEN] = data.length;
      return;
    }
    if (!(typeof data === 'string' || data instanceof Uint8Array)) {
      throw new DataError('a Blob cannot be read synchronously: return its bytes');
    }
    const output = typeof data === 'string' ? utf8(data) : data;
    const { length } = output;
    let address = inline;
    if (length > room) {
      address = glue.alloc(length) >>> 0;
      if (address === 0) throw new DataError(`its ${length} bytes do not fit into memory`);
      i32[record + R.OUTPUT_CAPACITY] = length;
    }
    bytes(address + length).set(output, address);
    i32[record + R.OUTPUT] = address;
    i32[record + R.OUTPUT_LEN] = length;
  };

  /** What `call_javascript` (wasm/src/threads.rs) takes for a failure: 1 + the error's marks. */
  const fail = (record: number, outcome: number, error: ErrorData): number => {
    i32[record + R.OUTCOME] = outcome;
    try {
      write(record, Kind.JSON, JSON.stringify(error));
    } catch {
      // Too large, most likely: its message will do.
      write(record, Kind.JSON, JSON.stringify({ name: 'Error', message: (error.message ?? '').slice(0, 1000) }));
    }
    return 1 + marksOf(error);
  };

  return (handler, token) => {
    // A number that Rust passes as unsigned may arrive as either.
    if (handler === RING) {
      say({ weirpool: 'bell' });
      return 0;
    }
    const record = records + token * stride;
    try {
      const length = i32[record + R.INPUT_LEN]! >>> 0;
      const address = i32[record + R.INPUT]! >>> 0;
      // A copy on plain memory: hardly any API takes a view of shared memory.
      const kind = i32[record + R.KIND]!;
      const input = decode(kind, bytes(address + length).slice(address, address + length) as Uint8Array<ArrayBuffer>);
      const context = new RecordContext(i32, f64, record, now, report);
      const perform = table[handler - builtIns]!;
      const run = (one: unknown) => {
        const output = perform(one, context);
        if (!isThenable(output)) return output;
        ignore(output);
        throw Object.assign(
          new TypeError('the handler returned a promise; in threads mode handlers are synchronous (mode `isolated` takes asynchronous ones)'),
          { code: 'ERR_UNSUPPORTED', retryable: false },
        );
      };
      const output = kind === Kind.CHUNK
        ? new Chunk((input as unknown[]).map((one) => run(wanted(one, context))))
        : run(input);
      try {
        write(record, kindOf(output), encode(output));
      } catch (error) {
        return fail(record, Outcome.BAD_OUTPUT, { ...describe(error), retryable: false });
      }
      i32[record + R.OUTCOME] = Outcome.COMPLETED;
      return 0;
    } catch (error) {
      return fail(record, Outcome.ERROR, describe(error));
    }
  };
}

/** Nobody will ever look at it: a rejection must not count as unhandled. */
function ignore(promise: PromiseLike<unknown>): void {
  try {
    promise.then(() => {}, () => {});
  } catch {
    // Its own business.
  }
}
