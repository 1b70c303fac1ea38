/** The pool of the page: made, made anew, closed; every job of the page goes through here. */
import { Pool, type BuiltIns, type CloseReport, type Input, type Job, type JobResult, type Output, type RunOptions } from 'weirpool';
import { Turn } from './dom';
import { poolOptions, type Settings } from './settings';

export type JobName = 'simulate' | 'sha256' | 'gzip' | 'mandelbrot';

/** How a job ended, or that it was refused: one line of the results. */
export interface Ending {
  id: number;
  job: string;
  ok: boolean;
  value?: unknown;
  error?: unknown;
  wait?: number;
  run?: number;
  /** Absent where it is `normal`. */
  priority?: RunOptions['priority'];
  /** Absent where it never ran. */
  worker?: number;
}

/** What changed about the pool as a whole. */
export type Change =
  | { is: 'opening' | 'closing' | 'paused' | 'resumed' }
  | { is: 'opened'; pool: Pool<BuiltIns> }
  | { is: 'failed'; error: unknown }
  | { is: 'closed'; report: CloseReport };

/** Results that may come in one go, between two turns of the page. */
const BUFFER = 65_536;

export class Host {
  #pool: Pool<BuiltIns> | undefined;
  #settings: Settings | undefined;
  #unsettled = new Set<Job<unknown>>();
  /** By job id, where it is not `normal`, until the job ends. */
  #priorities = new Map<number, RunOptions['priority']>();
  #endings = new Set<(ending: Ending) => void>();
  #changes = new Set<(change: Change) => void>();
  #opening: Promise<unknown> = Promise.resolve();
  #open = false;
  /** The pool whose stream of results is being read. */
  #followed: Pool<BuiltIns> | undefined;
  paused = false;

  /** The pool, open or closed; undefined while there is none. */
  get pool(): Pool<BuiltIns> | undefined {
    return this.#pool;
  }

  /** What the latest pool was asked to be. */
  get settings(): Settings | undefined {
    return this.#settings;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Tells the listener how each job ends, until the returned function is called. */
  onEnding(listener: (ending: Ending) => void): () => void {
    this.#endings.add(listener);
    return () => this.#endings.delete(listener);
  }

  onChange(listener: (change: Change) => void): void {
    this.#changes.add(listener);
  }

  /** Closes the pool there is and makes one by these settings. One at a time, in the order asked for. */
  open(settings: Settings, leave: 'drain' | 'abort' = 'drain'): Promise<boolean> {
    const opened = this.#opening.then(() => this.#replace(settings, leave));
    this.#opening = opened;
    return opened;
  }

  async #replace(settings: Settings, leave: 'drain' | 'abort'): Promise<boolean> {
    if (this.#pool !== undefined && this.#open) await this.close(leave);
    this.#settings = settings;
    this.#say({ is: 'opening' });
    try {
      this.#pool = await Pool.create(poolOptions(settings));
    } catch (error) {
      this.#pool = undefined;
      this.#say({ is: 'failed', error });
      return false;
    }
    this.#open = true;
    this.paused = false;
    this.#priorities.clear();
    void this.#follow(this.#pool);
    this.#say({ is: 'opened', pool: this.#pool });
    return true;
  }

  /** Gives a job to the pool. How it ends goes to the results as well as to the caller's promise. */
  run<K extends JobName>(name: K, input: Input<BuiltIns, K>, options: RunOptions = {}): Job<Output<BuiltIns, K>> {
    if (this.#pool === undefined) throw new Error('there is no pool');
    const job = this.#pool.run(name, input, options);
    this.#unsettled.add(job);
    const { priority = 'normal' } = options;
    if (priority !== 'normal') this.#priorities.set(job.id, priority);
    job.then(
      () => this.#unsettled.delete(job),
      (error: unknown) => {
        this.#unsettled.delete(job);
        // The stream of results ends with the pool: what is refused after that is told by its promise.
        if (this.#followed === undefined) this.#end({ id: job.id, job: name, ok: false, error });
      },
    );
    return job;
  }

  /** Cancels every job that has not settled; returns how many heard of it. */
  async cancelAll(): Promise<number> {
    const turn = new Turn();
    let cancelled = 0;
    for (const job of [...this.#unsettled]) {
      if (job.cancel()) cancelled += 1;
      if (turn.over()) await turn.next();
    }
    return cancelled;
  }

  pause(): void {
    this.#pool?.pause();
    this.paused = true;
    this.#say({ is: 'paused' });
  }

  resume(): void {
    this.#pool?.resume();
    this.paused = false;
    this.#say({ is: 'resumed' });
  }

  async close(mode: 'drain' | 'abort'): Promise<void> {
    const pool = this.#pool;
    if (pool === undefined || !this.#open) return;
    // A pool that closes resumes by itself.
    this.paused = false;
    this.#open = false;
    this.#say({ is: 'closing' });
    const report = await pool.close({ mode });
    this.#say({ is: 'closed', report });
  }

  async #follow(pool: Pool<BuiltIns>): Promise<void> {
    this.#followed = pool;
    for await (const result of pool.results({ buffer: BUFFER })) this.#end(ending(result));
    if (this.#followed === pool) this.#followed = undefined;
  }

  #end(ending: Ending): void {
    const priority = this.#priorities.get(ending.id);
    if (this.#priorities.delete(ending.id)) ending.priority = priority;
    for (const listener of this.#endings) listener(ending);
  }

  #say(change: Change): void {
    for (const listener of this.#changes) listener(change);
  }
}

function ending(result: JobResult): Ending {
  const { id, job, wait, run, worker } = result;
  const line = { id, job, wait, run, ...(worker >= 0 && { worker }) };
  return result.ok ? { ...line, ok: true, value: result.value } : { ...line, ok: false, error: result.error };
}
