// Node: what it has in place of web workers, of reading files by fetch, and of a page that stays open. It is asked
// for its modules by a function: an `import` would be seen by bundlers and browsers.

import type * as WorkerThreads from 'node:worker_threads';

/** Also in Deno, which has web workers. */
const builtIn = globalThis.process?.getBuiltinModule;
const threads = typeof Worker === 'undefined' ? builtIn?.('node:worker_threads') : undefined;

/** Whether workers are threads of Node's. */
export const isNode = threads !== undefined;

/** The class of workers: web workers, or Node's threads; undefined where there are none. */
export const workerClass = (): Function | undefined => globalThis.Worker ?? threads?.Worker;

/** Where a worker hears from the pool, and speaks to it. */
export const port = (threads?.parentPort ?? globalThis) as {
  postMessage: Worker['postMessage'];
  addEventListener(type: 'message', listener: (event: MessageEvent) => void): void;
};

/** How many threads of Node's can run at once. */
export const parallelism = (): number | undefined => threads && builtIn!('node:os').availableParallelism();

/** The content of a file on disk; undefined where nothing but fetch reads files. */
export function readFile(url: URL): Promise<Uint8Array<ArrayBuffer>> | undefined {
  return url.protocol === 'file:' ? builtIn?.('node:fs/promises').readFile(url) : undefined;
}

/** Starts a thread of Node's, if that is what workers are here. */
export function startThread(url: URL | undefined): Worker | undefined {
  // Bundlers would take `new URL('./…', import.meta.url)` for a file to copy.
  return threads && (new threads.Worker(url ?? new URL('default-worker.js', new URL(import.meta.url))) as unknown as Worker);
}

/** Lets a thread of Node's speak like a web worker. */
export function adapt(worker: Worker): void {
  if (threads === undefined) return;
  const thread = worker as unknown as WorkerThreads.Worker;
  const failed = (error: unknown) =>
    worker.onerror?.({ message: String(error), error, preventDefault() {} } as ErrorEvent);
  thread.on('message', (data) => worker.onmessage?.({ data } as MessageEvent));
  thread.on('messageerror', () => worker.onmessageerror?.({} as MessageEvent));
  thread.on('error', failed);
  thread.on('exit', (code) => failed(code === 0 ? 'its thread ended: does its file call serve()?' : `its thread ended with exit code ${code}`));
  // Open jobs keep the process alive, idle workers do not.
  thread.unref();
}

let holders = 0;
let timer: ReturnType<typeof setInterval> | undefined;

/** Keeps the process alive until `release`. */
export function hold(): void {
  if (builtIn !== undefined && holders++ === 0) timer = setInterval(() => {}, 2 ** 31 - 1);
}

export function release(): void {
  if (builtIn !== undefined && --holders === 0) clearInterval(timer);
}
