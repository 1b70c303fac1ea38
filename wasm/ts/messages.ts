// What a page and its workers say to each other.

import { port } from './node.ts';
import type { Answer, Order } from './perform.ts';

/** What the page sends each worker first. */
export interface Init {
  weirpool: 1;
  module: WebAssembly.Module;
  worker: number;
  /** Modules to import handlers from. */
  jobs: string[];
  /** The names of the handlers that the pool's other workers have, if any have said so. */
  expected: string[] | undefined;
  /** Undefined for a worker with a memory of its own. */
  shared: Shared | undefined;
}

/** What a worker must know to share the page's memory. */
export interface Shared {
  memory: WebAssembly.Memory;
  pool: number;
  /** The page's performance.timeOrigin. */
  origin: number;
}

/** What the page says later to workers that do not share its memory. */
export type ToWorker = ({ weirpool: 'job'; watched: boolean } & Order) | { weirpool: 'cancel' | 'watch'; token: number };

/** What a worker says. */
export type Message =
  | { weirpool: 'ready'; worker: number; handlers: string[] }
  | { weirpool: 'exit'; worker: number }
  | { weirpool: 'bell' }
  | ({ weirpool: 'done'; worker: number; token: number } & Answer)
  | { weirpool: 'progress'; worker: number; token: number; done: number; total: number }
  | { weirpool: 'trap'; worker: number; message: string; token?: number }
  /** It ended because another worker that shares its memory had trapped. */
  | { weirpool: 'felled'; worker: number; message: string }
  | { weirpool: 'error'; worker: number; message: string; stack?: string };

/** What is wrong when a handler's number means different things to two workers. */
export const DIFFERENT = 'the workers do not have the same handlers';

/** Speaks to the page, from a worker. */
export function say(message: Message, transfer: Transferable[] = []): void {
  port.postMessage(message, transfer);
}
