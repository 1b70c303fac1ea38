// weirpool/worker: runs your functions as jobs. Your own worker file calls `serve`.

import type { Context } from './context.ts';
import { describeError, type ErrorData } from './errors.ts';
import * as R from './record.ts';
import { Layout, Outcome } from './record.ts';
import { DataError, decode, encode, kindOf, utf8, writeAscii } from './value.ts';
import { RecordContext } from './context.ts';
import type { Init, Message } from './workers.ts';
import * as glue from './wasm.js';

export type { Context } from './context.ts';

/** A function that runs as a job, in a worker. In threads mode it must be synchronous. */
export type Handler = (input: any, context: Context) => unknown;

// Listens from the first moment on: the page's message may come before `serve` is called.
const received = new Promise<Init>((resolve) => {
  const listen = ({ data }: MessageEvent) => {
    if ((data as Partial<Init> | null)?.weirpool !== 1) return;
    removeEventListener('message', listen);
    resolve(data as Init);
  };
  addEventListener('message', listen);
});
let served = false;

/**
 * Offers `handlers` as jobs, by their names, and makes this worker a part of the pool that started
 * it. Call it once, in your own worker file:
 *
 * ```js
 * import { serve } from 'weirpool/worker';
 * import * as jobs from './my-jobs.js';
 * serve(jobs);
 * ```
 */
export function serve(handlers: Readonly<Record<string, unknown>> = {}): void {
  if (typeof handlers !== 'object' || handlers === null) {
    throw new TypeError('serve() takes an object of functions');
  }
  if (served) throw new TypeError('serve() may be called once in a worker');
  served = true;
  void received.then((init) => enter(init, handlers));
}

async function enter(init: Init, given: Readonly<Record<string, unknown>>): Promise<void> {
  const { worker } = init;
  let exports: glue.Exports;
  let table: Handler[];
  let call: (handler: number, token: number) => number;
  try {
    const handlers = new Map<string, Handler>();
    add(handlers, given, 'serve()');
    for (const url of init.jobs) {
      add(handlers, (await import(/* @vite-ignore */ /* webpackIgnore: true */ url)) as object, url);
    }
    exports = glue.initSync({ module: init.module, memory: init.memory });
    const names = [...handlers.keys()].sort();
    table = names.map((name) => handlers.get(name)!);
    call = caller(init, table);
    say({ weirpool: 'ready', worker, handlers: names });
  } catch (error) {
    const { message, stack } = describeError(error);
    say({ weirpool: 'error', worker, message: message ?? '', ...(stack === undefined ? {} : { stack }) });
    return;
  }
  try {
    glue.worker_enter(init.receiver, init.pool, worker, init.origin, call);
    // Frees this thread's stack: nothing may run on it afterwards.
    exports.__wbindgen_thread_destroy();
    say({ weirpool: 'exit', worker });
  } catch (error) {
    say({ weirpool: 'trap', worker, message: String(error) });
  }
}

/** Adds the functions among an object's or a module's own members. */
function add(handlers: Map<string, Handler>, from: object, where: string): void {
  const isModule = Object.prototype.toString.call(from) === '[object Module]';
  for (const [name, handler] of Object.entries(from)) {
    if (typeof handler !== 'function') {
      // A module may export more than jobs.
      if (isModule) continue;
      throw new TypeError(`${where}: the handler ${JSON.stringify(name)} is not a function`);
    }
    if (isModule && name === 'default') continue;
    if (handlers.has(name)) throw new TypeError(`${where}: there are two handlers ${JSON.stringify(name)}`);
    handlers.set(name, handler as Handler);
  }
}

/** What wasm calls for each job that is not built in. It must not throw. */
function caller(init: Init, table: readonly Handler[]): (handler: number, token: number) => number {
  const layout = glue.pool_layout(init.pool);
  const { memory } = init;
  const i32 = new Int32Array(memory.buffer);
  const f64 = new Float64Array(memory.buffer);
  const records = layout[Layout.RECORDS]! >>> 2;
  const stride = layout[Layout.STRIDE]! >>> 2;
  const builtIns = layout[Layout.BUILT_INS]!;
  const inlineOffset = layout[Layout.INLINE_OFFSET]!;
  const inlineBytes = layout[Layout.INLINE_BYTES]!;
  let u8 = new Uint8Array(memory.buffer);
  /** The memory at least up to `end`: a view goes short when the memory grows. */
  const bytes = (end: number) => {
    if (end > u8.length) u8 = new Uint8Array(memory.buffer);
    return u8;
  };
  const now = () => (performance.timeOrigin - init.origin + performance.now()) * 1000;

  const write = (record: number, value: unknown): void => {
    const data = encode(value);
    i32[record + R.OUTPUT_KIND] = kindOf(value);
    i32[record + R.OUTPUT_CAPACITY] = 0;
    const inline = record * 4 + inlineOffset;
    i32[record + R.OUTPUT] = inline;
    if (data === undefined) {
      i32[record + R.OUTPUT_LEN] = 0;
      return;
    }
    if (typeof data === 'string' && data.length <= inlineBytes && writeAscii(u8, inline, data)) {
      i32[record + R.OUTPUT_LEN] = data.length;
      return;
    }
    if (!(typeof data === 'string' || data instanceof Uint8Array)) {
      throw new DataError('a Blob cannot be read synchronously: return its bytes');
    }
    const output = typeof data === 'string' ? utf8(data) : data;
    const { length } = output;
    let address = inline;
    if (length > inlineBytes) {
      address = glue.alloc(length) >>> 0;
      if (address === 0) throw new DataError(`its ${length} bytes do not fit into memory`);
      i32[record + R.OUTPUT_CAPACITY] = length;
    }
    bytes(address + length).set(output, address);
    i32[record + R.OUTPUT] = address;
    i32[record + R.OUTPUT_LEN] = length;
  };

  const fail = (record: number, outcome: number, error: ErrorData): number => {
    i32[record + R.OUTCOME] = outcome;
    try {
      write(record, error);
    } catch {
      // Too large, most likely: its message will do.
      write(record, { name: 'Error', message: (error.message ?? '').slice(0, 1000) });
    }
    return outcome;
  };

  return (handler, token) => {
    const record = records + token * stride;
    try {
      const length = i32[record + R.INPUT_LEN]! >>> 0;
      const address = i32[record + R.INPUT]! >>> 0;
      // A copy on plain memory: hardly any API takes a view of shared memory.
      const input = decode(
        i32[record + R.KIND]!,
        bytes(address + length).slice(address, address + length) as Uint8Array<ArrayBuffer>,
      );
      const output = table[handler - builtIns]!(input, new RecordContext(i32, f64, record, now));
      if (isThenable(output)) {
        return fail(record, Outcome.ERROR, {
          name: 'TypeError',
          message: 'the handler returned a promise; in threads mode handlers are synchronous',
          code: 'ERR_UNSUPPORTED',
        });
      }
      try {
        write(record, output);
      } catch (error) {
        return fail(record, Outcome.BAD_OUTPUT, describeError(error));
      }
      i32[record + R.OUTCOME] = Outcome.COMPLETED;
      return 0;
    } catch (error) {
      return fail(record, Outcome.ERROR, describe(error));
    }
  };
}

/** Even an error whose fields throw when they are read is described. */
function describe(thrown: unknown): ErrorData {
  try {
    return describeError(thrown);
  } catch {
    return { name: 'Error', message: 'the handler threw something that cannot be described' };
  }
}

function isThenable(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { then } = value as { then?: unknown };
  if (typeof then !== 'function') return false;
  // Nobody will ever look at it: a rejection must not count as unhandled.
  try {
    then.call(value, () => {}, () => {});
  } catch {
    // Its own business.
  }
  return true;
}

function say(message: Message): void {
  postMessage(message);
}
