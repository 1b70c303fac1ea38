// Executor: runs a pool's jobs. It is all that differs between the modes.

import type { Progress } from './progress.ts';
import type { WorkerStats } from './types.ts';

/** Runs a pool's jobs. A pool has a new one after a reset. */
export interface Executor {
  /** Starts whatever runs the jobs; resolves with the names of the caller's handlers. */
  start(): Promise<string[]>;
  /** Brings the number of workers to that of the staff, one step after another; tells the staff of each. To be called
   * whenever that number has changed. */
  resize(): void;
  /** The workers that take jobs. Others may be on their way in or out. */
  readonly count: number;
  /** Whether there are as many workers as there are to be, and no others. */
  readonly isResized: boolean;
  /** A job is in the queue. */
  wake(): void;
  /** Settles the jobs that have ended. */
  drain(): void;
  /** The job is settled while its handler runs on: tells the handler; returns in how many ms it is to be killed. */
  abandon(token: number): number;
  /** Kills handlers that have run for too long; returns in how many ms the next kill is due. */
  killRunaways(): number;
  /** Somebody watches the job from now on. */
  watch?(token: number): void;
  /** How far the running job is, where that must be looked up. */
  progress?(token: number): Progress | undefined;
  /** Each worker, and what it is at. */
  workers(): WorkerStats[];
  /** Lets nobody take another job: the memory is about to be given up. */
  halt(): void;
  /** Settles all that has ended, at once. Needs no call into wasm, for the memory may be given up. */
  drainAll(): void;
  /** How many workers are at work, or were cut off while the pool was closing. */
  readonly size: number;
  /** Resolves when the workers of the stopped pool have left, or are terminated. */
  leave(): Promise<void>;
  /** Ends everything at once; tells of the workers that still were there. True when that may have spoilt the page's memory. */
  terminate(reason: string): boolean;
}
