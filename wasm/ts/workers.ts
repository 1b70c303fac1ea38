// Crew: a pool's workers, from their start to their end.

import { PoolError } from './errors.ts';
import { DIFFERENT, type Init, type Message, type ToWorker } from './messages.ts';
import { adapt, isNode, startThread, workerClass } from './node.ts';
import type { Settings } from './options.ts';
import type { Answer } from './perform.ts';
import type { Progress } from './progress.ts';
import { show } from './thrown.ts';

/** Who wants to hear of the workers once they run. */
export interface Listener {
  started(worker: number): void;
  /** A worker trapped, or ended unasked; `token` is that of the job that did it, where the worker knows. */
  crashed(worker: number, message: string, token: number | undefined): void;
  /** A worker that shares memory rings the page's doorbell by message. */
  rung?(): void;
  /** A worker that shares memory ended by another one's trap. */
  felled?(message: string): void;
  /** A worker that shares memory has left the pool. */
  exited?(worker: number): void;
  /** A job of a worker with a memory of its own has ended. */
  done?(worker: number, token: number, answer: Answer): void;
  /** How far such a job is. */
  progress?(token: number, progress: Progress): void;
  /** A worker that was to replace another one did not start. */
  failed?(error: unknown): void;
}

/** What came of starting workers. */
export interface Hired {
  /** How many run. */
  started: number;
  /** Why another one does not. */
  error: unknown;
}

export class Crew {
  readonly #settings: Settings;
  readonly #init: Pick<Init, 'module' | 'shared'>;
  readonly #listener: Listener;
  readonly #workers: (Worker | undefined)[] = [];
  readonly #running = new Set<number>();
  /** The names of the handlers, once a worker has told them: all must have the same. */
  #handlers: string[] | undefined;
  #allLeft: (() => void) | undefined;
  /** Those that have not started yet. */
  readonly #starting = new Map<number, { resolve: () => void; reject: (error: unknown) => void }>();

  constructor(settings: Settings, init: Pick<Init, 'module' | 'shared'>, listener: Listener, handlers: string[] | undefined) {
    this.#settings = settings;
    this.#init = init;
    this.#listener = listener;
    this.#handlers = handlers;
  }

  /** Starts the first workers; resolves with the names of their handlers when all run. When it rejects, some may. */
  async start(count: number): Promise<string[]> {
    await Promise.all(Array.from({ length: count }, () => this.#hire(this.#free())));
    return this.#handlers!;
  }

  /**
   * Starts more workers, and waits until each runs or has failed to. Calls `starting` with the number of each, and what
   * that returns if it fails: the number may be another one's by then.
   */
  async hire(count: number, starting = (_: number) => () => {}): Promise<Hired> {
    const hired: Hired = { started: 0, error: undefined };
    await Promise.all(Array.from({ length: count }, () => {
      const id = this.#free();
      const failed = starting(id);
      return this.#hire(id).then(() => hired.started++, (error: unknown) => {
        hired.error ??= error;
        failed();
      });
    }));
    return hired;
  }

  /** Ends a worker, whatever it is at, and starts another one in its place. */
  replace(id: number): void {
    this.dismiss(id);
    this.#hire(id).catch((error: unknown) => {
      // Unless all of them were terminated.
      if (this.#workers.length > 0) this.#listener.failed?.(error);
    });
  }

  /** Ends a worker, whatever it is at. */
  dismiss(id: number): void {
    this.#running.delete(id);
    this.#discharge(id);
    // Nobody waits for it any more.
    this.#starting.get(id)?.resolve();
  }

  post(id: number, message: ToWorker, transfer: Transferable[] = []): void {
    this.#workers[id]?.postMessage(message, transfer);
  }

  /** Those that run. */
  get running(): ReadonlySet<number> {
    return this.#running;
  }

  /** Those that run or start. */
  get members(): number[] {
    return [...new Set([...this.#running, ...this.#starting.keys()])].sort((a, b) => a - b);
  }

  /** Resolves when all have left the pool, which was stopped. */
  leave(): Promise<void> {
    return new Promise((resolve) => {
      this.#allLeft = resolve;
      this.#lookLeft();
    });
  }

  /** Ends them all; returns how many still ran, or were on their way. */
  terminate(): number {
    const busy = this.#running.size + this.#starting.size;
    for (const worker of this.#workers.splice(0)) if (worker !== undefined) end(worker);
    this.#running.clear();
    this.#allLeft?.();
    for (const { reject } of this.#starting.values()) reject(loadError('the workers were terminated while they started'));
    return busy;
  }

  /** Starts one worker; resolves when it runs. */
  #hire(id: number): Promise<void> {
    const { startupTimeout, jobs } = this.#settings;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let entry: { resolve: () => void; reject: (error: unknown) => void } | undefined;
    return new Promise<void>((resolve, reject) => {
      entry = { resolve, reject };
      this.#starting.set(id, entry);
      timer = setTimeout(
        () => reject(loadError(`the workers did not start within ${startupTimeout} ms: does the worker file call serve()?`)),
        startupTimeout,
      );
      const worker = makeWorker(this.#settings);
      if (this.#workers.includes(worker)) throw loadError('createWorker must return a new Worker at each call');
      this.#workers[id] = worker;
      adapt(worker);
      const fail = (message: string, cause?: unknown) => {
        reject(loadError(`a worker failed to start: ${message}`, cause));
        this.#discharge(id);
      };
      worker.onmessage = ({ data: message }: MessageEvent<Message>) => {
        switch (message?.weirpool) {
          case 'ready':
            this.#handlers ??= message.handlers;
            if (message.handlers.join() !== this.#handlers.join()) {
              reject(loadError(DIFFERENT));
              break;
            }
            this.#running.add(id);
            resolve();
            this.#listener.started(id);
            break;
          case 'error': {
            const cause = new Error(message.message);
            if (message.stack !== undefined) cause.stack = message.stack;
            fail(message.message, cause);
            break;
          }
          case 'done':
            this.#listener.done?.(id, message.token, message);
            break;
          case 'progress':
            this.#listener.progress?.(message.token, { done: message.done, total: message.total });
            break;
          case 'trap':
            if (this.#running.has(id)) this.#listener.crashed(id, message.message, message.token);
            else fail(message.message);
            break;
          case 'bell':
            this.#listener.rung?.();
            break;
          case 'felled':
            this.#listener.felled?.(message.message);
            break;
          case 'exit':
            this.#left(id);
            break;
        }
      };
      worker.onerror = (event) => {
        event.preventDefault();
        let text = event.message || 'its file could not be loaded (not found, refused by the content security policy, or sent to an isolated page without Cross-Origin-Embedder-Policy?)';
        // Firefox has no word for what Chrome says of a module that is run as a script.
        if (!event.message || /import statement/.test(text)) text += "; is it made with { type: 'module' }?";
        if (this.#running.has(id)) this.#listener.crashed(id, text, undefined);
        else fail(text, event.error);
      };
      worker.onmessageerror = () => reject(loadError('a worker could not receive the memory'));
      worker.postMessage({ weirpool: 1, ...this.#init, worker: id, jobs, expected: this.#handlers } satisfies Init);
    }).finally(() => {
      clearTimeout(timer);
      if (this.#starting.get(id) === entry) this.#starting.delete(id);
      this.#lookLeft();
    });
  }

  /** The lowest number that nobody has. */
  #free(): number {
    for (let id = 0; ; id++) if (this.#workers[id] === undefined) return id;
  }

  #left(id: number): void {
    if (!this.#running.delete(id)) return;
    this.#discharge(id);
    this.#listener.exited?.(id);
    this.#lookLeft();
  }

  /** Ends a worker that is at nothing. */
  #discharge(id: number): void {
    const worker = this.#workers[id];
    this.#workers[id] = undefined;
    if (worker !== undefined) end(worker);
  }

  #lookLeft(): void {
    if (this.#running.size === 0 && this.#starting.size === 0) this.#allLeft?.();
  }
}

function end(worker: Worker): void {
  worker.onmessage = worker.onerror = worker.onmessageerror = null;
  worker.terminate();
}

function makeWorker(settings: Settings): Worker {
  try {
    if (settings.createWorker !== undefined) {
      const worker = settings.createWorker();
      if (!(worker instanceof workerClass()!)) {
        throw new TypeError(`createWorker must return a Worker, not ${show(worker)}`);
      }
      return worker;
    }
    const thread = startThread(settings.workerUrl);
    if (thread !== undefined) return thread;
    if (settings.workerUrl !== undefined) return new Worker(settings.workerUrl, { type: 'module' });
    return new Worker(new URL('./default-worker.js', import.meta.url), { type: 'module' });
  } catch (cause) {
    const hint = settings.createWorker !== undefined && isNode ? ' (in Node give `workerUrl` instead of `createWorker`)' : '';
    throw loadError(`a worker could not be made: ${String(cause)}${hint}`, cause);
  }
}

function loadError(message: string, cause?: unknown): PoolError {
  return new PoolError('ERR_WORKER_LOAD', message, cause === undefined ? {} : { cause });
}
