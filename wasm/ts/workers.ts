// Crew: a pool's workers, from their start to their end.

import { PoolError, show } from './errors.ts';
import type { Settings } from './options.ts';

/** What the page sends each worker, once. */
export interface Init {
  weirpool: 1;
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  /** The address to enter by. */
  receiver: number;
  worker: number;
  pool: number;
  /** The page's performance.timeOrigin. */
  origin: number;
  /** Modules to import handlers from. */
  jobs: string[];
}

/** What a worker says. */
export type Message =
  | { weirpool: 'ready'; worker: number; handlers: string[] }
  | { weirpool: 'exit'; worker: number }
  | { weirpool: 'trap'; worker: number; message: string }
  | { weirpool: 'error'; worker: number; message: string; stack?: string };

/** Who wants to hear of the workers once they run. */
export interface Listener {
  started(worker: number): void;
  /** A worker trapped, or ended unasked. */
  crashed(worker: number, message: string): void;
  exited(worker: number): void;
}

export class Crew {
  readonly #workers: Worker[] = [];
  readonly #running = new Set<number>();
  readonly #listener: Listener;
  #leaving = false;
  #allLeft: (() => void) | undefined;
  /** Ends the start-up early. */
  #abandon: ((error: unknown) => void) | undefined;

  constructor(listener: Listener) {
    this.#listener = listener;
  }

  /**
   * Starts the workers; resolves with the names of their handlers when all are in the
   * pool. When it rejects, some may be in.
   */
  async start(settings: Settings, init: Omit<Init, 'worker' | 'weirpool' | 'jobs' | 'origin'>): Promise<string[]> {
    const names: string[][] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#abandon = reject;
        timer = setTimeout(
          () => reject(loadError(`the workers did not start within ${settings.startupTimeout} ms: does the worker file call serve()?`)),
          settings.startupTimeout,
        );
        for (let id = 0; id < settings.workers; id++) {
          const worker = makeWorker(settings);
          this.#workers.push(worker);
          worker.onmessage = (event: MessageEvent<Message>) => {
            const message = event.data;
            switch (message?.weirpool) {
              case 'ready':
                names[id] = message.handlers;
                this.#running.add(id);
                this.#listener.started(id);
                if (this.#running.size === settings.workers) resolve();
                break;
              case 'error': {
                const cause = new Error(message.message);
                if (message.stack !== undefined) cause.stack = message.stack;
                reject(loadError(`a worker failed to start: ${message.message}`, cause));
                break;
              }
              case 'trap':
                if (this.#running.has(id)) this.#listener.crashed(id, message.message);
                else reject(loadError(`a worker failed to start: ${message.message}`));
                break;
              case 'exit':
                this.#left(id);
                break;
            }
          };
          worker.onerror = (event) => {
            event.preventDefault();
            const text = event.message ? event.message : 'its file could not be loaded (not found, or refused by the content security policy?)';
            if (this.#running.has(id)) this.#listener.crashed(id, text);
            else reject(loadError(`a worker failed to start: ${text}`, event.error));
          };
          worker.onmessageerror = () => reject(loadError('a worker could not receive the memory'));
          worker.postMessage({
            weirpool: 1, ...init, worker: id, origin: performance.timeOrigin, jobs: settings.jobs,
          } satisfies Init);
        }
      });
    } finally {
      clearTimeout(timer);
      this.#abandon = undefined;
    }
    const first = names[0]!;
    if (names.some((other) => other.join() !== first.join())) {
      throw loadError('the workers do not have the same handlers');
    }
    return first;
  }

  /** How many are in the pool. */
  get size(): number {
    return this.#running.size;
  }

  /** Resolves when all have left the pool, which was stopped; or at the deadline. */
  leave(deadline: number): Promise<void> {
    this.#leaving = true;
    if (this.#running.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = deadline === Infinity ? undefined : setTimeout(resolve, deadline);
      this.#allLeft = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Ends them all; returns how many were still in the pool. */
  terminate(): number {
    const busy = this.#running.size;
    for (const worker of this.#workers) {
      worker.onmessage = worker.onerror = worker.onmessageerror = null;
      worker.terminate();
    }
    this.#workers.length = 0;
    this.#running.clear();
    this.#allLeft?.();
    this.#abandon?.(loadError('the workers were terminated while they started'));
    return busy;
  }

  #left(id: number): void {
    if (!this.#running.delete(id)) return;
    if (this.#leaving) {
      this.#listener.exited(id);
      if (this.#running.size === 0) this.#allLeft?.();
    } else {
      this.#listener.crashed(id, 'it left the pool unasked');
    }
  }
}

function makeWorker(settings: Settings): Worker {
  try {
    if (settings.createWorker !== undefined) {
      const worker = settings.createWorker();
      if (!(worker instanceof Worker)) {
        throw new TypeError(`createWorker must return a Worker, not ${show(worker)}`);
      }
      return worker;
    }
    if (settings.workerUrl !== undefined) return new Worker(settings.workerUrl, { type: 'module' });
    return new Worker(new URL('./default-worker.js', import.meta.url), { type: 'module' });
  } catch (cause) {
    throw loadError(`a worker could not be made: ${String(cause)}`, cause);
  }
}

function loadError(message: string, cause?: unknown): PoolError {
  return new PoolError('ERR_WORKER_LOAD', message, cause === undefined ? {} : { cause });
}
