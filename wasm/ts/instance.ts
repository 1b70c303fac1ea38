// Instance: the wasm module and its shared memory, one for all pools of a page; and its replacement
// after a trap or a kill.

import * as glue from './wasm.js';
import { PoolError } from './errors.ts';
import { Loader } from './loader.ts';
import { readFile } from './node.ts';
import type { Engine } from './engine.ts';
import { evacuate } from './reset.ts';

/** How a job that ran when the memory was given up is to be told so. */
export type Verdict = 'ERR_PANIC' | 'ERR_KILLED' | 'ERR_WORKER_CRASHED';

/** Who caused a reset: a worker or a job of one pool. */
export interface Culprit {
  engine: Engine;
  token: number;
  verdict: 'ERR_PANIC' | 'ERR_KILLED';
}

/** How long a page that sees the module terminated waits for the worker to say why, in ms. */
const EXPLAIN = 500;

export class Instance {
  readonly module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  /** The present exports, for the one call that is made for every job. A module that a worker has brought down
   * meanwhile takes the job in as any other time, and the reset carries it over. */
  exports: glue.Exports;
  /** Counts the memories. */
  epoch = 0;
  /** Bytes of inputs in memory. */
  held = 0;
  /** The module is terminated: no export may be called until the reset. */
  broken = false;
  readonly engines = new Set<Engine>();
  readonly loader: Loader;
  #bytes: Uint8Array;

  constructor(module: WebAssembly.Module, exports: glue.Exports) {
    this.module = module;
    this.exports = exports;
    this.memory = exports.memory;
    this.#bytes = new Uint8Array(this.memory.buffer);
    this.loader = new Loader(this);
    glue.enter_page(performance.timeOrigin);
  }

  /** All of the memory, at least up to `end`. A view of shared memory goes short when it grows. */
  bytes(end: number): Uint8Array {
    if (end > this.#bytes.length) this.#bytes = new Uint8Array(this.memory.buffer);
    return this.#bytes;
  }

  /** Memory for an input, or 0. */
  alloc(length: number): number {
    return this.ask(() => {
      const address = glue.alloc(length) >>> 0;
      if (address !== 0) this.held += length;
      return address;
    }, 0);
  }

  free(address: number, length: number): void {
    this.held -= length;
    this.ask(() => glue.free(address, length));
  }

  /** What a call of the module's exports returns, or `otherwise` while no export may be called. */
  ask(call: () => void): void;
  ask<T>(call: () => T, otherwise: T): T;
  ask<T>(call: () => T, otherwise?: T): T | undefined {
    if (this.broken) return otherwise;
    try {
      return call();
    } catch (error) {
      this.suspect(error);
      return otherwise;
    }
  }

  /** An export threw: some worker has trapped, and will say so by message. */
  suspect(error: unknown): void {
    if (this.broken) return;
    this.broken = true;
    const epoch = this.epoch;
    setTimeout(() => {
      if (this.epoch === epoch) this.reset(`the module was terminated: ${String(error)}`, []);
    }, EXPLAIN);
  }

  /** Whether some thread has brought the module down, also if nobody has told the page yet. */
  get isDown(): boolean {
    return new Int32Array(this.memory.buffer, this.exports.__instance_terminated.value, 1)[0] !== 0;
  }

  /** Resolves when exports may be called again. */
  async mended(): Promise<void> {
    while (this.broken && this.engines.size > 0) await new Promise((done) => setTimeout(done, EXPLAIN / 4));
    // The last pool may have left a worker behind that could not be stopped.
    if (!this.broken) return;
    this.renew();
    this.loader.restart();
  }

  /** Gives this memory up, and goes on with a new one: queued jobs are carried over. */
  reset(reason: string, culprits: readonly Culprit[]): void {
    this.broken = true;
    const engines = [...this.engines];
    for (const engine of engines) engine.executor.halt();
    const lost = engines.map((engine) => evacuate(engine, reason, culprits));
    try {
      this.renew();
      // Whoever makes a worker, or hears of one pool's jobs, may call any pool: so no call counts before all have started.
      this.broken = true;
      engines.forEach((engine, i) => engine.restart(lost[i]!.ledger));
      this.broken = false;
      engines.forEach((engine, i) => engine.reopen(reason, lost[i]!));
    } catch (cause) {
      this.broken = true;
      const error = new PoolError('ERR_WORKER_CRASHED', `the pool could not be started again after: ${reason}`, { cause });
      for (const engine of engines) engine.fail(error);
    }
    this.loader.restart();
  }

  /** Replaces module instance and memory. */
  renew(): void {
    glue.__wbg_reset_state();
    // At once, so that nothing else comes in between: a module of this size on a page's thread needs Chrome 114.
    this.exports = glue.initSync();
    this.memory = this.exports.memory;
    this.#bytes = new Uint8Array(this.memory.buffer);
    this.epoch++;
    this.held = 0;
    this.broken = false;
    glue.enter_page(performance.timeOrigin);
  }
}

let current: Promise<Instance> | undefined;
let currentUrl = '';

/** The page's instance, made at the first call. */
export async function acquire(url: URL | undefined): Promise<Instance> {
  const location = url ?? new URL('./weirpool.wasm', import.meta.url);
  if (current !== undefined && currentUrl !== location.href) {
    throw new TypeError(`pools of one page share one wasm instance: wasmUrl must be ${currentUrl}`);
  }
  currentUrl = location.href;
  current ??= instantiate(location).catch((cause: unknown) => {
    current = undefined;
    throw new PoolError('ERR_WORKER_LOAD', `${location.href} could not be loaded: ${String(cause)}`, { cause });
  });
  const instance = await current;
  await instance.mended();
  return instance;
}

async function instantiate(url: URL): Promise<Instance> {
  const file = await readFile(url);
  if (file !== undefined) return make(await WebAssembly.compile(file));
  const response = await fetch(url);
  if (!response.ok) throw new Error(`HTTP status ${response.status}`);
  const type = response.headers.get('content-type') ?? '';
  // What servers of single-page apps send for a file that is not there.
  if (type.startsWith('text/html')) throw new Error('a page was sent in its place: was weirpool.wasm copied?');
  const streams = type.startsWith('application/wasm');
  return make(streams ? await WebAssembly.compileStreaming(response) : await WebAssembly.compile(await response.arrayBuffer()));
}

async function make(module: WebAssembly.Module): Promise<Instance> {
  return new Instance(module, await glue.init(module));
}
