// Engine: the inside of a pool. Admits jobs into shared memory, settles them, and carries them over
// a reset. wasm decides, this moves values.

import * as glue from './wasm.js';
import { Completions } from './drain.ts';
import { PoolError, reviveError, type ErrorData, type ErrorDetails } from './errors.ts';
import type { Culprit, Instance, Verdict } from './instance.ts';
import { resultOf, Task, type Extra } from './job.ts';
import { isLarge, LARGE, type Load } from './loader.ts';
import { macrotask, nextTask, SLICE } from './macrotask.ts';
import type { JobSettings, Settings } from './options.ts';
import * as R from './record.ts';
import { Kind, Layout, Outcome, Phase, Refused, WorkerEntry } from './record.ts';
import type { Results } from './results.ts';
import type { JobState, WorkerStats } from './types.ts';
import { DataError, decode, encode, kindOf, utf8, writeAscii, type Encoded } from './value.ts';
import { burst } from './burst.ts';
import { Watchdog } from './watchdog.ts';
import { Crew } from './workers.ts';

/** Why a job was not taken; an abort's reason may be any value. */
export interface Refusing {
  error: unknown;
}

/** What `note_refused` takes. */
const Noted = { TIMEOUT: 0, ABORT: 1, INPUT: 2 } as const;

/** How long a job that waits for room waits until it looks again, in ms: the page does not hear of
 * a job that leaves the queue for a worker. */
const LOOK_AGAIN = 2;

/** The page's part of the metrics: what wasm cannot know, or counted twice. */
export interface Corrections {
  submitted: number;
  refusedFull: number;
  refusedInFlight: number;
  refusedClosed: number;
  refusedTimeout: number;
  refusedAbort: number;
  refusedInput: number;
}

/** Where the pool's parts lie in the present memory; offsets in words of the view they index. */
interface Place {
  i32: Int32Array;
  f64: Float64Array;
  records: number;
  stride: number;
  tokens: number;
  halt: number;
  workers: number;
  workerStride: number;
  inlineOffset: number;
  inlineBytes: number;
  ledger: Uint8Array;
}

/** What `evacuate` saved from the old memory. */
export interface Evacuated {
  carried: Task[];
  /** What became of each job that ran. */
  lost: Verdict[];
  ledger: Uint8Array;
}

export class Engine {
  readonly instance: Instance;
  readonly settings: Settings;
  readonly corrections: Corrections = {
    submitted: 0, refusedFull: 0, refusedInFlight: 0, refusedClosed: 0, refusedTimeout: 0,
    refusedAbort: 0, refusedInput: 0,
  };
  readonly streams = new Set<Results>();
  /** Sends an event if somebody listens. Set by the pool. */
  emit: (type: string, detail: () => unknown) => void = () => {};
  /** Whether somebody listens to anything. Set by the pool. */
  listening = false;
  /** Called after each batch of settled jobs. Set by the pool. */
  afterBatch: () => void = () => {};
  /** The pool's number; -1 once freed. */
  pool = -1;
  crew: Crew | undefined;
  /** Jobs that are not settled. */
  open = 0;
  paused = false;
  /** Why nothing is admitted any more. */
  closed: PoolError | undefined;
  lastId = 0;

  #ready!: Promise<string[]>;
  #stopped = false;
  #snapshot: ReadonlyMap<string, number> = new Map();
  #place!: Place;
  #completions!: Completions;
  /** The jobs by token. */
  #tasks: (Task | undefined)[] = [];
  #free: number[] = [];
  /** Tokens of settled jobs whose handler still runs, and when it is to be killed (ms). */
  readonly #abandoned = new Map<number, number>();
  readonly #handlers = new Map<string, number>();
  #lastName: string | undefined;
  #lastHandler = -1;
  /** Wait to be admitted, in order. */
  readonly #pending = new Set<Task>();
  readonly #loads = new Map<Task, Load>();
  /** Of those pending, how many come from before a reset: all others let them pass. */
  #carrying = 0;
  #pumping = false;
  #pumpTimer: ReturnType<typeof setTimeout> | undefined;
  #idlers: (() => void)[] = [];
  readonly #watchdog: Watchdog;
  /** The shortest limit of a job without options. */
  readonly #usualLimit: number;

  constructor(instance: Instance, settings: Settings) {
    this.instance = instance;
    this.settings = settings;
    const { timeout, queueTimeout, totalTimeout, killAfter } = settings;
    this.#usualLimit = Math.min(timeout, queueTimeout, totalTimeout, killAfter);
    this.#watchdog = new Watchdog(
      () => this.#lookAround(),
      () => this.busy,
    );
  }

  /** Makes the pool and starts its workers. */
  async start(): Promise<void> {
    try {
      this.#attach();
    } catch (error) {
      throw new RangeError(`these options cannot be had: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.instance.engines.add(this);
    try {
      this.#startCrew();
      const names = await this.#started();
      const builtIns = glue.handler_names().split(',').filter((name) => name !== '');
      const shadow = names.find((name) => builtIns.includes(name));
      if (shadow !== undefined) throw new TypeError(`the handler ${JSON.stringify(shadow)} shadows a built-in job`);
      [...builtIns, ...names].forEach((name, id) => this.#handlers.set(name, id));
      this.snapshot();
    } catch (error) {
      this.stop();
      await this.crew?.leave(START_UNDONE);
      this.dispose();
      throw error;
    }
  }

  /** The workers' handlers, once all have started; also when a reset started them anew meanwhile. */
  async #started(): Promise<string[]> {
    for (;;) {
      const ready = this.#ready;
      try {
        return await ready;
      } catch (error) {
        if (this.#ready === ready) throw error;
      }
    }
  }

  /** Admits nothing any more, and lets the workers leave when they are done. */
  stop(): void {
    this.#stopped = true;
    if (this.instance.broken) return;
    try {
      glue.close(this.pool);
      glue.pool_stop(this.pool);
    } catch (error) {
      this.instance.suspect(error);
    }
  }

  /** Takes what the workers pushed last. */
  drain(): void {
    this.#completions.drain();
  }

  /** Whether jobs are open or handlers run. */
  get busy(): boolean {
    return this.open > 0 || this.#free.length < this.#tasks.length;
  }

  /** Jobs that wait to be admitted. */
  get waiting(): number {
    return this.#pending.size - this.#carrying + this.#loads.size;
  }

  get handlerNames(): string[] {
    return [...this.#handlers.keys()];
  }

  // ---- admission -------------------------------------------------------------------------------

  /** A new task; its promise, if any, is the caller's to make. */
  task(name: string): Task {
    if (name !== this.#lastName) {
      this.#lastHandler = this.#handlers.get(name) ?? -1;
      this.#lastName = name;
    }
    return new Task(this, ++this.lastId, name, this.#lastHandler);
  }

  /** Takes the job, now or as soon as it can; or says why not. Counts either. */
  admit(task: Task, input: unknown, settings: JobSettings | undefined): Refusing | undefined {
    if (this.closed !== undefined) return this.#refusedClosed(task);
    if (task.handler < 0) {
      this.#note(Noted.INPUT);
      return { error: new PoolError('ERR_UNKNOWN_JOB', `there is no job ${JSON.stringify(task.name)}; there are: ${this.handlerNames.join(', ')}`, { jobId: task.id }) };
    }
    const signal = settings?.signal;
    if (signal?.aborted) {
      this.#note(Noted.ABORT);
      return { error: signal.reason };
    }
    let data: Encoded;
    try {
      data = encode(input);
    } catch (error) {
      this.#note(Noted.INPUT);
      return { error: this.#dataError(task, error) };
    }
    // A toJSON of the caller's has run: it may have closed the pool.
    if (this.closed !== undefined) return this.#refusedClosed(task);
    const kind = kindOf(input);
    if (settings === undefined && data === undefined && this.#carrying === 0 && !this.settings.wait) {
      return this.#admitPlain(task);
    }
    return this.#admitAny(task, kind, data, settings);
  }

  /** Refuses a job that nobody has seen accepted. */
  refuse(task: Task, error: unknown): void {
    task.state = 'refused';
    this.open++;
    this.#finish(task, false, error);
    this.emit('refused', () => ({ id: task.id, job: task.name, error }));
  }

  /** Tells of a refusal that the caller has in hand. */
  tellRefused(task: Task, error: unknown): void {
    this.emit('refused', () => ({ id: task.id, job: task.name, error }));
  }

  /** The shortest way in: no input, no options. */
  #admitPlain(task: Task): Refusing | undefined {
    const token = this.#takeToken();
    if (token < 0) return this.#admitAny(task, Kind.NONE, undefined, undefined);
    const { i32, records, stride } = this.#place;
    const record = records + token * stride;
    i32[record + R.KIND] = Kind.NONE;
    i32[record + R.INPUT_LEN] = 0;
    this.#writeCommon(task, token, undefined);
    const code = this.#submit(task, token);
    return code === 0 ? undefined : this.#admitRefused(task, token, code, undefined);
  }

  #admitAny(task: Task, kind: number, data: Encoded, settings: JobSettings | undefined): Refusing | undefined {
    const waits = settings?.wait ?? this.settings.wait;
    if (settings === undefined && !waits && this.#carrying === 0 && !needsLoading(data)) {
      const token = this.#takeToken();
      if (token >= 0) {
        if (this.#writeInput(token, kind, data)) {
          this.#writeCommon(task, token, undefined);
          const code = this.#submit(task, token);
          return code === 0 ? undefined : this.#admitRefused(task, token, code, { kind, data });
        }
        this.#free.push(token);
      }
    }
    this.#addExtra(task, kind, data, settings);
    if (needsLoading(data)) {
      this.#opened(task);
      this.#load(task);
      return undefined;
    }
    // Those who wait have been here longer.
    if (this.#carrying > 0 || (waits && this.#pending.size > 0)) return this.#queueUp(task);
    const refused = this.#tryIn(task);
    if (refused === undefined) {
      this.open++;
      return undefined;
    }
    if (refused === Later) return this.#queueUp(task);
    this.#dropExtra(task);
    return refused;
  }

  /** Lets a task wait for its admission. */
  #queueUp(task: Task): Refusing | undefined {
    if (this.#carrying === 0 && this.waiting >= this.settings.maxWaiting) {
      this.corrections.submitted++;
      this.corrections.refusedFull++;
      this.#dropExtra(task);
      return { error: this.#fullError(task) };
    }
    this.#opened(task);
    this.#pending.add(task);
    this.#pumpSoon();
    if (!this.instance.broken) this.emit('saturated', () => ({ capacity: this.settings.capacity }));
    return undefined;
  }

  /** The task is open though not accepted: its limits and its signal hold from now on. */
  #opened(task: Task): void {
    this.open++;
    const { settings, since } = task.extra!;
    const limit = Math.min(settings.submitTimeout, settings.totalTimeout);
    if (limit !== Infinity) {
      const phase = settings.totalTimeout < settings.submitTimeout ? 'total' : 'submit';
      const left = limit - (now() - since) / 1000;
      task.extra!.timer = setTimeout(() => {
        this.#note(Noted.TIMEOUT);
        const error = new PoolError('ERR_TIMEOUT', `job ${task.id} (${task.name}) was not accepted within ${limit} ms`, { phase, jobId: task.id });
        this.#withdraw(task, 'timed-out', error);
      }, left);
    }
  }

  #addExtra(task: Task, kind: number, data: Encoded, given: JobSettings | undefined): void {
    const { timeout, queueTimeout, totalTimeout, wait } = this.settings;
    const settings = given ?? {
      priority: 1, signal: undefined, timeout, queueTimeout, totalTimeout, wait, submitTimeout: Infinity,
    };
    const extra: Extra = {
      settings, kind, data, since: now(), onAbort: undefined, timer: undefined, loaded: undefined, adopted: undefined,
    };
    task.extra = extra;
    const { signal } = settings;
    if (signal !== undefined) {
      extra.onAbort = () => void this.cancel(task, signal.reason, signal);
      signal.addEventListener('abort', extra.onAbort, { once: true });
    }
  }

  #dropExtra(task: Task): void {
    const { extra } = task;
    if (extra === undefined) return;
    task.extra = undefined;
    clearTimeout(extra.timer);
    if (extra.onAbort !== undefined) extra.settings.signal!.removeEventListener('abort', extra.onAbort);
    if (extra.loaded !== undefined && extra.loaded.length > 0) {
      this.instance.free(extra.loaded.address, extra.loaded.length);
    }
  }

  #load(task: Task): void {
    const { data } = task.extra!;
    // An empty input is there at once.
    let over = false;
    const load = this.instance.loader.load(
      data as string | Uint8Array | Blob,
      (address, length) => {
        over = true;
        this.#loads.delete(task);
        task.extra!.loaded = { address, length };
        this.#afterLoad(task);
      },
      (error) => {
        over = true;
        this.#loads.delete(task);
        if (task.extra!.adopted === undefined) this.#note(Noted.INPUT);
        task.state = 'refused';
        this.#finish(task, false, this.#dataError(task, error));
      },
    );
    if (!over) this.#loads.set(task, load);
  }

  #afterLoad(task: Task): void {
    const { settings, adopted } = task.extra!;
    if (this.#carrying > 0 || this.instance.broken || (settings.wait && this.#pending.size > 0)) {
      this.#hold(task);
      return;
    }
    const refused = this.#tryIn(task);
    if (refused === undefined) return;
    if (refused === Later || adopted !== undefined) this.#hold(task);
    else {
      task.state = 'refused';
      this.#finish(task, false, refused.error);
      this.emit('refused', () => ({ id: task.id, job: task.name, error: refused.error }));
    }
  }

  #hold(task: Task): void {
    this.#pending.add(task);
    if (task.extra!.adopted !== undefined) this.#carrying++;
    this.#pumpSoon();
  }

  /** Admits those who wait, in order, as far as there is room. */
  #pump(): void {
    if (this.#pumping || this.#pending.size === 0 || this.instance.broken) return;
    this.#pumping = true;
    const end = performance.now() + SLICE;
    for (const task of this.#pending) {
      const adopted = task.extra?.adopted !== undefined;
      if (needsLoading(task.extra!.data) && task.extra!.loaded === undefined && !isOver(task)) {
        this.#unhold(task, adopted);
        this.#load(task);
        continue;
      }
      const refused = this.#tryIn(task);
      if (refused === Later) break;
      this.#unhold(task, adopted);
      if (refused !== undefined) {
        task.state = 'refused';
        this.#finish(task, false, refused.error);
        this.emit('refused', () => ({ id: task.id, job: task.name, error: refused.error }));
      }
      if (performance.now() > end) {
        macrotask(() => this.#pump());
        break;
      }
    }
    this.#pumping = false;
    this.#pumpSoon();
  }

  #unhold(task: Task, adopted: boolean): void {
    this.#pending.delete(task);
    if (adopted) this.#carrying--;
  }

  #pumpSoon(): void {
    if (this.#pending.size === 0 || this.#pumpTimer !== undefined) return;
    this.#pumpTimer = setTimeout(() => {
      this.#pumpTimer = undefined;
      this.#pump();
    }, LOOK_AGAIN);
  }

  /** Admits a task that has its extra; `Later` when it must wait. */
  #tryIn(task: Task): Refusing | Later | undefined {
    const token = this.#takeToken();
    if (token < 0) return Later;
    const extra = task.extra!;
    const { i32, f64, records, stride } = this.#place;
    const record = records + token * stride;
    if (extra.loaded !== undefined) {
      i32[record + R.KIND] = extra.kind;
      i32[record + R.INPUT] = extra.loaded.address;
      i32[record + R.INPUT_LEN] = extra.loaded.length;
      if (extra.loaded.length <= this.#place.inlineBytes) {
        // Short inputs live in the record.
        const { address, length } = extra.loaded;
        const to = this.#inlineAddress(token);
        const bytes = this.instance.bytes(address + length);
        bytes.copyWithin(to, address, address + length);
        i32[record + R.INPUT] = to;
        extra.loaded = undefined;
        extra.data = bytes.slice(to, to + length);
        if (length > 0) this.instance.free(address, length);
      }
    } else if (!this.#writeInput(token, extra.kind, isOver(task) ? undefined : extra.data)) {
      this.#free.push(token);
      return Later;
    }
    this.#writeCommon(task, token, extra);
    if (extra.adopted !== undefined) {
      f64[(record >> 1) + R.SUBMITTED] = extra.adopted;
      return this.#adopt(task, token) ? undefined : Later;
    }
    // The record has it now, unless the job is refused.
    const { loaded } = extra;
    extra.loaded = undefined;
    const code = this.#submit(task, token, false);
    if (code !== 0) extra.loaded = loaded;
    if (code === 0) {
      extra.data = undefined;
      clearTimeout(extra.timer);
      return undefined;
    }
    const full = code === Refused.FULL || code === Refused.IN_FLIGHT;
    if (code < 0 || (full && extra.settings.wait)) {
      if (code === Refused.FULL) this.corrections.refusedFull--;
      if (code === Refused.IN_FLIGHT) this.corrections.refusedInFlight--;
      // It was counted as submitted and refused, and is neither yet.
      if (code > 0) this.corrections.submitted--;
      this.#giveUp(token, extra);
      return Later;
    }
    const error = this.#refusal(task, token, code);
    this.#giveUp(token, extra);
    return { error };
  }

  /** Gives a token back whose job was not taken. */
  #giveUp(token: number, extra: Extra): void {
    if (extra.loaded !== undefined) this.#word(token, R.INPUT_LEN, 0);
    this.#reclaim(token);
  }

  #adopt(task: Task, token: number): boolean {
    try {
      if (!glue.adopt(this.pool, token)) {
        this.#giveUp(token, task.extra!);
        return false;
      }
      if (isOver(task)) {
        // Settled while it was between two memories: only the counters still have to know.
        if (glue.cancel(this.pool, token) === 1) this.#reclaim(token);
        task.extra = undefined;
        return true;
      }
    } catch (error) {
      this.instance.suspect(error);
      return false;
    }
    const extra = task.extra!;
    extra.adopted = extra.loaded = extra.data = undefined;
    this.#entered(task, token);
    return true;
  }

  #admitRefused(
    task: Task,
    token: number,
    code: number,
    input: { kind: number; data: Encoded } | undefined,
  ): Refusing | undefined {
    if (code < 0) {
      // The module was terminated under the call: the job goes in after the reset.
      this.#free.push(token);
      this.#addExtra(task, input?.kind ?? Kind.NONE, input?.data, undefined);
      this.#opened(task);
      this.#pending.add(task);
      return undefined;
    }
    const error = this.#refusal(task, token, code);
    this.#reclaim(token);
    return { error };
  }

  /** 0 when accepted, a refusal, or -1 when the module is terminated. */
  #submit(task: Task, token: number, opens = true): number {
    let code: number;
    try {
      code = this.instance.exports.submit(this.pool, token, burst.time());
    } catch (error) {
      this.instance.suspect(error);
      return -1;
    }
    if (code === 0) {
      if (opens) this.open++;
      this.#entered(task, token);
    }
    return code;
  }

  #entered(task: Task, token: number): void {
    this.#tasks[token] = task;
    task.token = token;
    this.#completions.listen();
    const extra = task.extra;
    if (extra === undefined) {
      if (this.#usualLimit !== Infinity) this.#watchdog.expect(this.#usualLimit);
    } else {
      const { timeout, queueTimeout, totalTimeout } = extra.settings;
      this.#watchdog.expect(Math.min(timeout, queueTimeout, totalTimeout, this.settings.killAfter));
    }
    if (this.listening) this.emit('jobqueued', () => ({ id: task.id, job: task.name }));
  }

  #takeToken(): number {
    if (this.instance.broken) return -1;
    if (this.#free.length === 0) {
      // Tokens of finished jobs lie on the list: a caller in a long loop gets here.
      this.#completions.drain();
      if (this.#free.length === 0) return -1;
    }
    return this.#free.pop()!;
  }

  #writeCommon(task: Task, token: number, extra: Extra | undefined): void {
    const { i32, f64, records, stride } = this.#place;
    const record = records + token * stride;
    const floats = record >> 1;
    const { timeout, queueTimeout, totalTimeout } = extra === undefined ? this.settings : extra.settings;
    i32[record + R.CANCELLED] = 0;
    i32[record + R.HANDLER] = task.handler;
    i32[record + R.OUTPUT_CAPACITY] = 0;
    i32[record + R.PRIORITY] = extra === undefined ? 1 : extra.settings.priority;
    f64[floats + R.QUEUE_TIMEOUT] = queueTimeout * 1000;
    f64[floats + R.RUN_TIMEOUT] = timeout * 1000;
    // The time before the admission counts.
    f64[floats + R.TOTAL_TIMEOUT] =
      extra === undefined || extra.adopted !== undefined || totalTimeout === Infinity
        ? totalTimeout * 1000
        : Math.max(totalTimeout * 1000 - (now() - extra.since), 1);
  }

  /** False when there is no memory for it now. */
  #writeInput(token: number, kind: number, data: Encoded): boolean {
    const { i32, records, stride, inlineBytes } = this.#place;
    const record = records + token * stride;
    i32[record + R.KIND] = kind;
    if (data === undefined) {
      i32[record + R.INPUT_LEN] = 0;
      return true;
    }
    let bytes: Uint8Array;
    const inline = this.#inlineAddress(token);
    if (typeof data === 'string') {
      if (data.length <= inlineBytes && writeAscii(this.instance.bytes(inline + inlineBytes), inline, data)) {
        i32[record + R.INPUT] = inline;
        i32[record + R.INPUT_LEN] = data.length;
        return true;
      }
      bytes = utf8(data);
    } else {
      bytes = data as Uint8Array;
    }
    const length = bytes.length;
    let address = inline;
    if (length > inlineBytes) {
      if (!this.instance.loader.fits(length)) return false;
      address = this.instance.alloc(length);
      if (address === 0) return false;
    }
    this.instance.bytes(address + length).set(bytes, address);
    i32[record + R.INPUT] = address;
    i32[record + R.INPUT_LEN] = length;
    return true;
  }

  #inlineAddress(token: number): number {
    const { records, stride, inlineOffset } = this.#place;
    return (records + token * stride) * 4 + inlineOffset;
  }

  // ---- settlement ------------------------------------------------------------------------------

  /** Cancels a job: the promise rejects now. False when it has ended. */
  cancel(task: Task, reason: unknown, signal?: AbortSignal): boolean {
    if (isOver(task)) return false;
    const error = signal !== undefined || reason !== undefined
      ? reason
      : new PoolError('ERR_CANCELLED', `job ${task.id} (${task.name}) was cancelled`, { jobId: task.id });
    return this.#end(task, error);
  }

  /** Ends an open task with `error`, wherever it is, as cancelled. */
  #end(task: Task, error: unknown): boolean {
    if (task.token < 0) {
      if (task.extra?.adopted === undefined) this.#note(Noted.ABORT);
      this.#withdraw(task, 'cancelled', error);
      return true;
    }
    const { token } = task;
    let code: number;
    try {
      code = this.instance.broken ? 2 : glue.cancel(this.pool, token);
    } catch (thrown) {
      this.instance.suspect(thrown);
      code = 2;
    }
    if (code === 0) return false;
    this.#part(task, token);
    if (code === 1) this.#reclaim(token);
    else this.#abandon(token);
    task.state = 'cancelled';
    this.#finish(task, false, error);
    return true;
  }

  /** Ends a task that has no token. */
  #withdraw(task: Task, state: JobState, error: unknown): void {
    const adopted = task.extra?.adopted !== undefined;
    const load = this.#loads.get(task);
    if (load !== undefined) {
      this.#loads.delete(task);
      this.instance.loader.cancel(load);
    }
    if (!adopted) this.#pending.delete(task);
    else if (load !== undefined) this.#hold(task);
    task.state = state;
    const { extra } = task;
    this.#finish(task, false, error);
    if (adopted) {
      // It stays among the carried ones so that the counters of the new memory hear of its end.
      task.extra = extra!;
      extra!.data = undefined;
      extra!.loaded = undefined;
    }
  }

  /** Its handler runs on without a job. */
  #abandon(token: number): void {
    Atomics.store(this.#place.i32, this.#recordOf(token) + R.CANCELLED, 1);
    const { killGrace, killAfter } = this.settings;
    this.#abandoned.set(token, performance.now() + killGrace);
    this.#watchdog.expect(Math.min(killGrace, killAfter));
  }

  /** One token from the completions list. */
  #settle(token: number): void {
    const { i32, f64 } = this.#place;
    const record = this.#recordOf(token);
    const task = this.#tasks[token];
    if (task === undefined) {
      this.#abandoned.delete(token);
      this.#reclaim(token);
      return;
    }
    const floats = record >> 1;
    task.wait = f64[floats + R.WAIT]! / 1000;
    task.run = f64[floats + R.RUN]! / 1000;
    task.total = f64[floats + R.TOTAL]! / 1000;
    task.attempt = i32[record + R.ATTEMPT]!;
    if (task.attempt > 0) {
      task.worker = i32[record + R.WORKER]!;
      this.#announce(task);
    }
    this.#part(task, token);
    const outcome = i32[record + R.OUTCOME]!;
    if (outcome === Outcome.COMPLETED) {
      const length = i32[record + R.OUTPUT_LEN]! >>> 0;
      if (length > LARGE) {
        void this.#settleLarge(task, token, length);
        return;
      }
      const kind = i32[record + R.OUTPUT_KIND]!;
      let value: unknown;
      if (kind !== Kind.NONE) {
        try {
          value = decode(kind, this.#output(record, length));
        } catch (error) {
          this.#reclaim(token);
          task.state = 'failed';
          this.#finish(task, false, this.#dataError(task, error, 'result'));
          return;
        }
      }
      this.#reclaim(token);
      task.state = 'completed';
      this.#finish(task, true, value);
      return;
    }
    const error = this.#outcomeError(task, record, outcome);
    this.#reclaim(token);
    task.state = stateAfter(outcome);
    this.#finish(task, false, error);
  }

  /** Copies a large result out in slices, then settles. The memory may be given up meanwhile. */
  async #settleLarge(task: Task, token: number, length: number): Promise<void> {
    const { instance } = this;
    const { epoch } = instance;
    const place = this.#place;
    const record = this.#recordOf(token);
    const address = place.i32[record + R.OUTPUT]! >>> 0;
    const kind = place.i32[record + R.OUTPUT_KIND]!;
    const memory = instance.bytes(address + length);
    // It has ended, though nobody knows yet: a cancellation comes too late.
    task.state = 'completed';
    try {
      const copy = new Uint8Array(length);
      let end = performance.now() + SLICE;
      for (let from = 0; from < length; from += LARGE) {
        if (performance.now() > end) {
          await nextTask();
          end = performance.now() + SLICE;
        }
        copy.set(memory.subarray(address + from, address + Math.min(from + LARGE, length)), from);
      }
      this.#finish(task, true, decode(kind, copy));
    } catch (error) {
      task.state = 'failed';
      this.#finish(task, false, this.#dataError(task, error, 'result'));
    }
    if (instance.epoch === epoch && this.pool >= 0) {
      this.#reclaim(token);
      this.#batchEnd();
    }
  }

  #output(record: number, length: number): Uint8Array<ArrayBuffer> {
    const address = this.#place.i32[record + R.OUTPUT]! >>> 0;
    // A copy on plain memory: hardly any API of the browser takes a view of shared memory.
    return this.instance.bytes(address + length).slice(address, address + length) as Uint8Array<ArrayBuffer>;
  }

  /** The task has no token any more. */
  #part(task: Task, token: number): void {
    this.#tasks[token] = undefined;
    task.token = -1;
  }

  /** The token is the page's again: frees what hangs on it. */
  #reclaim(token: number): void {
    const { i32, inlineBytes } = this.#place;
    const record = this.#recordOf(token);
    if (!this.instance.broken) {
      if (i32[record + R.OUTPUT_CAPACITY] !== 0) {
        try {
          glue.free_output(this.pool, token);
        } catch (error) {
          this.instance.suspect(error);
        }
      }
      const length = i32[record + R.INPUT_LEN]! >>> 0;
      if (length > inlineBytes) {
        this.instance.free(i32[record + R.INPUT]! >>> 0, length);
      }
    }
    i32[record + R.INPUT_LEN] = 0;
    this.#free.push(token);
  }

  /** Settles the task's promise, and tells whoever wants to know. */
  #finish(task: Task, ok: boolean, value: unknown): void {
    if (task.extra !== undefined) this.#dropExtra(task);
    const { resolve, reject } = task;
    task.resolve = task.reject = undefined;
    if (ok) resolve?.(value);
    else reject?.(value);
    this.open--;
    if (this.streams.size > 0) {
      const result = resultOf(task, ok, value);
      for (const stream of this.streams) stream.push(result);
    }
    if (this.listening && task.state !== 'refused') this.emit('jobend', () => resultOf(task, ok, value));
    if (this.open === 0) this.#becameIdle();
  }

  #becameIdle(): void {
    if (this.listening) this.emit('drain', () => undefined);
    for (const idler of this.#idlers.splice(0)) idler();
  }

  /** Resolves when no job is open. */
  idle(): Promise<void> {
    if (this.open === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idlers.push(resolve));
  }

  #batchEnd(): void {
    this.#pump();
    this.instance.loader.next();
    this.afterBatch();
  }

  #announce(task: Task): void {
    if (!this.listening || task.announced) return;
    task.announced = true;
    this.emit('jobstart', () => ({ id: task.id, job: task.name, worker: task.worker }));
  }

  // ---- time ------------------------------------------------------------------------------------

  /** Settles what is overdue, kills what runs away; returns when to look again, in ms. */
  #lookAround(): number {
    if (this.instance.broken || this.pool < 0) return Infinity;
    let next: number;
    try {
      for (;;) {
        const due = glue.poll(this.pool);
        if (due < 0) {
          next = (-1 - due - now()) / 1000;
          break;
        }
        this.#timedOut(Math.floor(due / 16), due % 16);
      }
    } catch (error) {
      this.instance.suspect(error);
      return Infinity;
    }
    this.#completions.drain();
    return Math.min(Math.max(next, 0), this.#killRunaways());
  }

  #timedOut(token: number, outcome: number): void {
    const task = this.#tasks[token];
    if (task === undefined) return;
    task.worker = this.#place.i32[this.#recordOf(token) + R.WORKER]!;
    task.attempt = this.#place.i32[this.#recordOf(token) + R.ATTEMPT]!;
    this.#announce(task);
    const error = this.#outcomeError(task, this.#recordOf(token), outcome);
    this.#part(task, token);
    this.#abandon(token);
    task.state = 'timed-out';
    this.#finish(task, false, error);
  }

  /** Returns in how many ms the next kill is due. */
  #killRunaways(): number {
    const { killAfter, killGrace } = this.settings;
    if (killAfter === Infinity && killGrace === Infinity) return Infinity;
    const time = performance.now();
    let next = Infinity;
    const culprits: Culprit[] = [];
    const { i32, workers, workerStride } = this.#place;
    for (let id = 0; id < this.settings.workers; id++) {
      const entry = workers + id * workerStride;
      const token = Atomics.load(i32, entry + WorkerEntry.TOKEN) - 1;
      const started = Atomics.load(i32, entry + WorkerEntry.STARTED);
      if (token < 0) continue;
      // Milliseconds modulo 2³², the difference too.
      const age = (Math.floor(time) - started) | 0;
      const left = Math.min(killAfter - age, (this.#abandoned.get(token) ?? Infinity) - time);
      if (left > 0) next = Math.min(next, left);
      // The same job still: a worker that went on meanwhile has another token or start.
      else if (
        Atomics.load(i32, entry + WorkerEntry.STARTED) === started &&
        Atomics.load(i32, entry + WorkerEntry.TOKEN) === token + 1
      ) {
        culprits.push({ engine: this, token, verdict: 'ERR_KILLED' });
      }
    }
    if (culprits.length > 0) this.instance.reset('a handler ran for too long', culprits);
    return next;
  }

  // ---- reset -----------------------------------------------------------------------------------

  /** Tells the workers of this memory to take no more jobs. */
  halt(): void {
    Atomics.store(this.#place.i32, this.#place.halt, 1);
  }

  /** Settles what is done and what is lost, and keeps what was only queued. Calls no export. */
  evacuate(reason: string, culprits: readonly Culprit[]): Evacuated {
    const { i32, f64 } = this.#place;
    const memory = this.instance.bytes(0);
    this.#completions.drainAll();
    const carried: Task[] = [];
    this.#tasks.forEach((task, token) => {
      if (task === undefined) return;
      const record = this.#recordOf(token);
      // A worker that takes the job at this moment loses it here, or we lose it to the worker.
      if (Atomics.compareExchange(i32, record + R.PHASE, Phase.QUEUED, Phase.CARRIED) !== Phase.QUEUED) return;
      const floats = record >> 1;
      const ms = (offset: number) => f64[floats + offset]! / 1000;
      const length = i32[record + R.INPUT_LEN]! >>> 0;
      const address = i32[record + R.INPUT]! >>> 0;
      const whole = address + length > memory.length ? this.instance.bytes(address + length) : memory;
      if (task.extra === undefined) this.#addExtra(task, 0, undefined, undefined);
      const extra = task.extra!;
      extra.kind = i32[record + R.KIND]!;
      extra.data = length === 0 && extra.kind === Kind.NONE ? undefined : whole.subarray(address, address + length);
      extra.loaded = undefined;
      extra.adopted = f64[floats + R.SUBMITTED]!;
      extra.settings = {
        ...extra.settings, priority: i32[record + R.PRIORITY]!, timeout: ms(R.RUN_TIMEOUT),
        queueTimeout: ms(R.QUEUE_TIMEOUT), totalTimeout: ms(R.TOTAL_TIMEOUT),
      };
      this.#part(task, token);
      carried.push(task);
    });
    // Whoever was between its end and the list has pushed by now, or never will.
    this.#completions.drainAll();
    const lost: Verdict[] = [];
    this.#tasks.forEach((task, token) => {
      if (task === undefined) return;
      const verdict: Verdict =
        culprits.find((culprit) => culprit.engine === this && culprit.token === token)?.verdict ?? 'ERR_WORKER_CRASHED';
      lost.push(verdict);
      task.attempt = Math.max(task.attempt, 1);
      this.#part(task, token);
      task.state = 'failed';
      this.#finish(task, false, this.#crashError(task, verdict, reason));
    });
    for (const task of this.#pending) if (task.extra!.loaded !== undefined) this.#saveLoaded(task);
    this.#completions.stop();
    this.#abandoned.clear();
    this.crew?.terminate();
    return { carried: carried.sort((a, b) => a.id - b.id), lost, ledger: this.#place.ledger.slice() };
  }

  /** The loaded input of one who waits is carried over like a queued one's. */
  #saveLoaded(task: Task): void {
    const extra = task.extra!;
    const { address, length } = extra.loaded!;
    extra.data = this.instance.bytes(address + length).subarray(address, address + length);
    extra.loaded = undefined;
  }

  /** Goes on in the new memory. */
  reopen(reason: string, saved: Evacuated): void {
    const { carried, lost, ledger } = saved;
    this.#attach();
    this.#place.ledger.set(ledger);
    glue.recovered(this.pool);
    for (const verdict of lost) glue.note_lost(this.pool, LOST[verdict]);
    if (this.paused) glue.pause(this.pool);
    const others = [...this.#pending];
    this.#pending.clear();
    for (const task of [...carried, ...others]) this.#pending.add(task);
    this.#carrying = others.filter((task) => task.extra?.adopted !== undefined).length + carried.length;
    // Threads first: a job that is taken in wakes one.
    if (!this.#stopped) this.#startCrew();
    this.#pump();
    if (this.#stopped) return;
    const ready = this.#ready;
    ready.then(
      () => this.emit('reset', () => ({ reason, carried: carried.length, lost: lost.length })),
      (error: unknown) => {
        // Or it was cut short by the next reset.
        if (this.#ready === ready) this.fail(error);
      },
    );
  }

  /** The pool cannot go on: every job ends with `error`. */
  fail(error: unknown): void {
    this.closed ??= error instanceof PoolError
      ? error
      : new PoolError('ERR_WORKER_LOAD', `the pool's workers could not be started: ${String(error)}`, { cause: error });
    this.endAll(() => this.closed!);
    this.crew?.terminate();
  }

  /** Ends every open job, as cancelled: queued ones first, or a worker whose job ends would take the next one. */
  endAll(error: (task: Task) => unknown): number {
    let ended = this.endQueued(error);
    for (const task of this.#tasks) {
      if (task !== undefined && this.#end(task, error(task))) ended++;
    }
    return ended;
  }

  /** Ends the jobs that are not accepted yet, and, unless they are to be spared, those on their way
   * through a reset. */
  endWaiting(error: (task: Task) => unknown, spareCarried = false): number {
    const tasks = [...this.#pending, ...this.#loads.keys()].filter(
      (task) => !isOver(task) && !(spareCarried && task.extra!.adopted !== undefined),
    );
    for (const task of tasks) {
      if (task.extra!.adopted === undefined) {
        this.corrections.submitted++;
        this.corrections.refusedClosed++;
      }
      this.#withdraw(task, 'cancelled', error(task));
    }
    return tasks.length;
  }

  /** Ends the jobs that are queued. */
  endQueued(error: (task: Task) => unknown): number {
    let ended = this.endWaiting(error);
    if (this.instance.broken) return ended;
    for (;;) {
      let token: number;
      try {
        token = glue.abort_next(this.pool);
      } catch (thrown) {
        this.instance.suspect(thrown);
        return ended;
      }
      if (token < 0) return ended;
      const task = this.#tasks[token];
      if (task !== undefined) {
        this.#part(task, token);
        task.state = 'cancelled';
        this.#finish(task, false, error(task));
        ended++;
      }
      this.#reclaim(token);
    }
  }

  /** Stops all timers and lets go of the memory's parts; the workers must be out, or terminated. */
  dispose(): void {
    this.#watchdog.stop();
    clearTimeout(this.#pumpTimer);
    this.#completions.stop();
    const cutOff = (this.crew?.terminate() ?? 0) > 0;
    this.instance.engines.delete(this);
    for (const stream of this.streams) stream.end();
    this.streams.clear();
    const number = this.pool;
    this.pool = -1;
    if (this.instance.broken) return;
    // A worker that was cut off may hold a lock of this memory: nobody may go on with it.
    if (cutOff) {
      if (this.instance.engines.size > 0) this.instance.reset('a closing pool had to terminate its workers', []);
      else this.instance.broken = true;
    } else {
      try {
        glue.pool_free(number);
      } catch (error) {
        this.instance.suspect(error);
      }
    }
  }

  // ---- the memory ------------------------------------------------------------------------------

  #attach(): void {
    const { instance, settings } = this;
    this.pool = glue.pool_create(settings.config);
    const layout = glue.pool_layout(this.pool);
    const [address, length] = glue.ledger(this.pool) as unknown as [number, number];
    const buffer = instance.memory.buffer;
    const records = layout[Layout.RECORDS]! >>> 2;
    const stride = layout[Layout.STRIDE]! >>> 2;
    const tokens = layout[Layout.TOKENS]!;
    const i32 = new Int32Array(buffer);
    this.#place = {
      i32,
      f64: new Float64Array(buffer),
      records,
      stride,
      tokens,
      halt: layout[Layout.HALT]! >>> 2,
      workers: layout[Layout.WORKERS]! >>> 2,
      workerStride: layout[Layout.WORKER_STRIDE]! >>> 2,
      inlineOffset: layout[Layout.INLINE_OFFSET]!,
      inlineBytes: layout[Layout.INLINE_BYTES]!,
      ledger: new Uint8Array(buffer, address, length),
    };
    this.#tasks = new Array<Task | undefined>(tokens).fill(undefined);
    this.#free = Array.from({ length: tokens }, (_, i) => tokens - 1 - i);
    this.#completions = new Completions(
      i32, layout[Layout.COMPLETIONS]! >>> 2, layout[Layout.DOORBELL]! >>> 2, records, stride,
      (token) => this.#settle(token),
      () => this.#batchEnd(),
      () => this.busy,
    );
  }

  #startCrew(): void {
    const receiver = glue.pool_start(this.pool);
    const { module, memory } = this.instance;
    this.crew = new Crew({
      started: (worker) => this.emit('workerstart', () => ({ worker })),
      exited: (worker) => this.emit('workerexit', () => ({ worker, reason: 'the pool was closed' })),
      crashed: (worker, message) => {
        this.emit('workerexit', () => ({ worker, reason: message }));
        const { i32, workers, workerStride } = this.#place;
        const token = Atomics.load(i32, workers + worker * workerStride + WorkerEntry.TOKEN) - 1;
        const culprits: Culprit[] = token < 0 ? [] : [{ engine: this, token, verdict: 'ERR_PANIC' }];
        this.instance.reset(`worker ${worker} trapped: ${message}`, culprits);
      },
    });
    this.#ready = this.crew.start(this.settings, { module, memory, receiver, pool: this.pool });
  }

  #recordOf(token: number): number {
    return this.#place.records + token * this.#place.stride;
  }

  #word(token: number, offset: number, value: number): void {
    this.#place.i32[this.#recordOf(token) + offset] = value;
  }

  // ---- what others see -------------------------------------------------------------------------

  stateOf(task: Task): JobState {
    if (task.token < 0) return task.state === 'waiting' && task.extra?.adopted !== undefined ? 'queued' : task.state;
    const phase = Atomics.load(this.#place.i32, this.#recordOf(task.token) + R.PHASE);
    return phase === Phase.QUEUED ? 'queued' : 'running';
  }

  /** wasm's metrics by name; while the memory is given up, those of the last time. */
  snapshot(): ReadonlyMap<string, number> {
    if (!this.instance.broken) {
      try {
        const values = glue.snapshot(this.pool);
        this.#snapshot = new Map(glue.snapshot_names().split(',').map((name, i) => [name, values[i]!]));
      } catch (error) {
        this.instance.suspect(error);
      }
    }
    return this.#snapshot;
  }

  /** Each worker, and what it is at. */
  workerStats(): WorkerStats[] {
    const { i32, workers, workerStride } = this.#place;
    return Array.from({ length: this.settings.workers }, (_, id) => {
      const entry = workers + id * workerStride;
      const job = this.#tasks[Atomics.load(i32, entry + WorkerEntry.TOKEN) - 1]?.id;
      const state = ACTIVITIES[Atomics.load(i32, entry + WorkerEntry.ACTIVITY)] ?? 'left';
      const jobsDone = Atomics.load(i32, entry + WorkerEntry.DONE) >>> 0;
      return job === undefined ? { id, state, jobsDone } : { id, state, job, jobsDone };
    });
  }

  // ---- errors ----------------------------------------------------------------------------------

  /** Counts a refusal of ours. */
  #note(kind: number): void {
    if (this.pool >= 0 && !this.instance.broken) {
      try {
        glue.note_refused(this.pool, kind);
        return;
      } catch (error) {
        this.instance.suspect(error);
      }
    }
    const { corrections } = this;
    corrections.submitted++;
    if (kind === Noted.TIMEOUT) corrections.refusedTimeout++;
    else if (kind === Noted.ABORT) corrections.refusedAbort++;
    else corrections.refusedInput++;
  }

  #refusedClosed(task: Task): Refusing {
    this.corrections.submitted++;
    this.corrections.refusedClosed++;
    const { code, message, cause } = this.closed!;
    return { error: new PoolError(code, message, { jobId: task.id, ...(cause === undefined ? {} : { cause }) }) };
  }

  #fullError(task: Task): PoolError {
    return new PoolError('ERR_QUEUE_FULL', `the queue is full (${this.settings.capacity})`, { jobId: task.id });
  }

  #refusal(task: Task, token: number, code: number): PoolError {
    const counted = this.#place.f64[(this.#recordOf(token) >> 1) + R.RETRY_AFTER]!;
    const retryAfter = Math.max(counted - burst.age(), 1) / 1000;
    const jobId = task.id;
    switch (code) {
      case Refused.RATE:
        return new PoolError('ERR_RATE_LIMITED', `the rate limit is reached; again in ${format(retryAfter)}`, { jobId, retryAfter });
      case Refused.BREAKER:
        return new PoolError('ERR_CIRCUIT_OPEN', openMessage(retryAfter), { jobId, retryAfter });
      case Refused.IN_FLIGHT:
        return new PoolError('ERR_IN_FLIGHT_LIMIT', 'too many jobs are in flight', { jobId });
      case Refused.CLOSED:
        return new PoolError('ERR_POOL_CLOSED', 'the pool is closed', { jobId });
      default:
        this.emit('saturated', () => ({ capacity: this.settings.capacity }));
        return this.#fullError(task);
    }
  }

  #dataError(task: Task, thrown: unknown, what = 'input'): PoolError {
    const message = thrown instanceof DataError ? thrown.message : `it could not be read: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
    const cause = thrown instanceof DataError ? thrown.cause : thrown;
    return new PoolError('ERR_DATA', `the ${what} of job ${task.id} (${task.name}) cannot travel: ${message}`, {
      jobId: task.id, ...(cause === undefined ? {} : { cause }),
    });
  }

  #outcomeError(task: Task, record: number, outcome: number): PoolError {
    const who = `job ${task.id} (${task.name})`;
    const details: ErrorDetails = { jobId: task.id };
    if (task.attempt > 0) details.attempt = task.attempt;
    switch (outcome) {
      case Outcome.CIRCUIT_OPEN: {
        details.retryAfter = this.#place.f64[(record >> 1) + R.RETRY_AFTER]! / 1000;
        return new PoolError('ERR_CIRCUIT_OPEN', openMessage(details.retryAfter), details);
      }
      case Outcome.TIMED_OUT_QUEUE:
        return new PoolError('ERR_TIMEOUT', `${who} waited too long in the queue`, { ...details, phase: 'queue' });
      case Outcome.TIMED_OUT_RUN:
        return new PoolError('ERR_TIMEOUT', `${who} ran too long`, { ...details, phase: 'run' });
      case Outcome.TIMED_OUT_TOTAL:
        return new PoolError('ERR_TIMEOUT', `${who} took too long`, { ...details, phase: 'total' });
      case Outcome.CANCELLED:
        return new PoolError('ERR_CANCELLED', `${who} was cancelled`, details);
    }
    const description = this.#errorOutput(record);
    const cause = reviveError(description);
    const text = description.message ?? '';
    switch (outcome) {
      case Outcome.PANIC:
        return new PoolError('ERR_PANIC', `${who} panicked: ${text} (${description.location ?? 'unknown place'})`, { ...details, cause });
      case Outcome.BAD_OUTPUT:
        return new PoolError('ERR_DATA', `the result of ${who} cannot travel: ${text}`, { ...details, cause });
      case Outcome.BAD_INPUT:
        return new PoolError('ERR_DATA', `${who} does not take this input: ${text}`, { ...details, cause });
      default:
        if (description.code === 'ERR_UNSUPPORTED') {
          return new PoolError('ERR_UNSUPPORTED', `${who}: ${text}`, { ...details, cause });
        }
        return new PoolError('ERR_JOB_FAILED', `${who} failed: ${text}`, { ...details, cause }, description.retryable ?? false);
    }
  }

  #errorOutput(record: number): ErrorData {
    const length = this.#place.i32[record + R.OUTPUT_LEN]! >>> 0;
    try {
      return decode(Kind.JSON, this.#output(record, length)) as ErrorData;
    } catch {
      return { message: 'its error could not be read' };
    }
  }

  #crashError(task: Task, verdict: Verdict, reason: string): PoolError {
    const who = `job ${task.id} (${task.name})`;
    const details = { jobId: task.id, attempt: task.attempt };
    switch (verdict) {
      case 'ERR_PANIC':
        return new PoolError(verdict, `${who} trapped: ${reason}`, details);
      case 'ERR_KILLED':
        return new PoolError(verdict, `${who} was killed: ${reason}`, details);
      default:
        return new PoolError(verdict, `${who} was lost with its worker: ${reason}`, details);
    }
  }
}

/** How long workers that did start may take to leave when others did not, in ms. */
const START_UNDONE = 1000;

/** It must wait. */
type Later = typeof Later;
const Later = Symbol('later');

/** What `note_lost` takes. */
const LOST: Record<Verdict, number> = { ERR_KILLED: 0, ERR_PANIC: 1, ERR_WORKER_CRASHED: 2 };

const ACTIVITIES = ['starting', 'idle', 'busy', 'left'] as const;

/** µs on the page's clock. */
function now(): number {
  return performance.now() * 1000;
}

function needsLoading(data: Encoded): boolean {
  return data !== undefined && isLarge(data);
}

function isOver(task: Task): boolean {
  return task.state !== 'waiting';
}

function stateAfter(outcome: number): JobState {
  switch (outcome) {
    case Outcome.TIMED_OUT_QUEUE:
    case Outcome.TIMED_OUT_RUN:
    case Outcome.TIMED_OUT_TOTAL:
      return 'timed-out';
    case Outcome.CANCELLED:
      return 'cancelled';
    default:
      return 'failed';
  }
}

function openMessage(retryAfter: number): string {
  return retryAfter < Infinity ? `the circuit breaker is open; again in ${format(retryAfter)}` : 'the circuit breaker is open';
}

function format(ms: number): string {
  return `${ms < 10 ? ms.toFixed(2) : Math.round(ms)} ms`;
}
