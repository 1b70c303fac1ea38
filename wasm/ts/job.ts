// Job: the promise of a result; Task: what the pool keeps of a job until it is settled.

import type { JobState, JobResult, Timing } from './types.ts';
import type { Engine } from './engine.ts';
import type { JobSettings } from './options.ts';
import type { Progress } from './progress.ts';
import type { Encoded } from './value.ts';

/** @internal What the pool keeps of a job. */
export class Task {
  readonly engine: Engine;
  readonly id: number;
  readonly name: string;
  handler: number;
  /** Which record it has, or -1. */
  token = -1;
  /** Undefined once settled, and for jobs without a promise. */
  resolve: ((value: unknown) => void) | undefined = undefined;
  reject: ((error: unknown) => void) | undefined = undefined;
  /** `'waiting'` also stands for queued and running: the record knows better. */
  state: JobState = 'waiting';
  /** Whether somebody heard of its start. */
  announced = false;
  wait = 0;
  run = 0;
  total = 0;
  attempt = 0;
  worker = -1;
  /** All that a plain job does without. */
  extra: Extra | undefined = undefined;

  constructor(engine: Engine, id: number, name: string, handler: number) {
    this.engine = engine;
    this.id = id;
    this.name = name;
    this.handler = handler;
  }
}

/** @internal The part of a task that only options and detours need. */
export interface Extra {
  settings: JobSettings;
  kind: number;
  /** The input, until it is in memory. */
  data: Encoded;
  /** When `run` was called, in µs on the page's clock. */
  since: number;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** The input's bytes in memory, if already there: address and length. */
  loaded: { address: number; length: number } | undefined;
  /** For a job from before a reset that is to be adopted: when it was submitted, in µs. */
  adopted: number | undefined;
  /** How many attempts it had before the reset. */
  attempts: number;
  /** When its next attempt may begin at the earliest, in µs on the page's clock. */
  notBefore: number;
}

// The executor is shared by all jobs and leaves its arguments here: a closure a job costs more.
let resolveNew: (value: any) => void;
let rejectNew: (error: unknown) => void;
const executor = (resolve: (value: any) => void, reject: (error: unknown) => void) => {
  resolveNew = resolve;
  rejectNew = reject;
};

/**
 * The promise of a job's result, with the job's id, state and times. It rejects with a `PoolError`, or with the reason of
 * `cancel` or `signal`. `then` gives plain promises.
 */
export class Job<T> extends Promise<T> {
  /** The job's number in its pool, from 1. */
  readonly id: number;
  readonly #task: Task;

  /** @internal */
  constructor(task: Task) {
    super(executor);
    task.resolve = resolveNew;
    task.reject = rejectNew;
    this.id = task.id;
    this.#task = task;
  }

  /** Where the job stands. */
  get state(): JobState {
    return this.#task.engine.stateOf(this.#task);
  }

  /**
   * The reports of its handler while it runs, at most one per frame (16 ms), the latest only; ends with the job, and never
   * rejects.
   */
  get progress(): AsyncIterable<Progress> {
    return this.#task.engine.watch(this.#task);
  }

  /** How long it took, once it is settled. */
  get timing(): Timing {
    const { wait, run, total } = this.#task;
    return { wait, run, total };
  }

  /**
   * Takes the job out of the queue, or tells its running handler that nobody waits for it. The
   * promise rejects at once, with `reason` or a `PoolError` of code `ERR_CANCELLED`. Returns false if
   * the job has ended already.
   */
  cancel(reason?: unknown): boolean {
    return this.#task.engine.settlement.cancel(this.#task, reason);
  }
}

// `then`, and so `await`, of a promise whose constructor is Promise itself takes the engine's fast
// path and makes plain promises; a subclass would make Jobs, which no pool knows.
Object.defineProperty(Job.prototype, 'constructor', { value: Promise, writable: true, configurable: true });

/** @internal Whether it has been settled. */
export function isOver(task: Task): boolean {
  return task.state !== 'waiting';
}

/** @internal */
export function resultOf(task: Task, ok: boolean, value: unknown): JobResult {
  const { id, name: job, wait, run, total, attempt, worker } = task;
  const common = { id, job, wait, run, total, attempt, worker };
  return ok ? { ...common, ok, value } : { ...common, ok, error: value };
}
