// weirpool/worker: runs your functions as jobs. Your own worker file calls `serve`.

import { collect, type Handler } from './handlers.ts';
import { enterIsolated } from './isolated-worker.ts';
import { DIFFERENT, say, type Init } from './messages.ts';
import { port } from './node.ts';
import { enterThreads } from './threads-worker.ts';
import { describe } from './thrown.ts';
import type { JobOf } from './types.ts';
import * as glue from './wasm.js';

export type { Context } from './context.ts';
export type { Handler } from './handlers.ts';

// Listens from the first moment on: the page's message may come before `serve` is called. And until the end: a
// thread of Node's that listens to nothing ends.
const received = new Promise<Init>((resolve) => {
  port.addEventListener('message', ({ data }) => {
    if ((data as Partial<Init> | null)?.weirpool === 1) resolve(data as Init);
  });
});
let served = false;

/**
 * Offers the functions among `handlers` as jobs, by their names, and makes this worker a part of the pool that started
 * it. `default`, classes and whatever is no function are passed over (if that is all there is, the pool rejects with
 * `ERR_WORKER_LOAD`); the types want the others to be jobs, as `JobName` does.
 * Call it once, in your own worker file; a second call throws a TypeError:
 *
 * ```js
 * import { serve } from 'weirpool/worker';
 * import * as jobs from './my-jobs.js';
 * serve(jobs);
 * ```
 */
export function serve<H extends object & Members<H>>(handlers?: H & Served<H>): void;
export function serve(handlers: object = {}): void {
  if (typeof handlers !== 'object' || handlers === null) {
    throw new TypeError('serve() takes an object of functions');
  }
  if (served) throw new TypeError('serve() may be called once in a worker');
  served = true;
  void received.then((init) => enter(init, handlers));
}

/** Whatever an object has. The union names `Handler` so that a function that is written in the call knows its parameters. */
type Members<H> = { [K in keyof H]: Handler | object | string | number | boolean | bigint | symbol | null | undefined };

/** What is served: the functions must be jobs. */
type Served<H> = { [K in keyof H]: K extends 'default' ? unknown : H[K] extends (...args: never) => unknown ? JobOf<H[K]> : unknown };

async function enter({ worker, module, jobs, expected, shared }: Init, given: object): Promise<void> {
  try {
    const handlers = await collect(given, 'serve()', jobs);
    if (expected !== undefined && expected.join() !== [...handlers.keys()].join()) throw new TypeError(DIFFERENT);
    const exports = glue.initSync(shared === undefined ? { module } : { module, memory: shared.memory });
    if (shared === undefined) enterIsolated(worker, handlers);
    else enterThreads(shared, worker, handlers, exports);
  } catch (error) {
    const { message, stack } = describe(error);
    say({ weirpool: 'error', worker, message: message ?? '', ...(stack === undefined ? {} : { stack }) });
  }
}
