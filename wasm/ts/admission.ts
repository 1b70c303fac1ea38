// Admission: a job's way into the queue. It goes in at once, or waits for room, for its input or for
// the end of a reset; or it is refused.

import { burst } from './burst.ts';
import type { Engine } from './engine.ts';
import { PoolError } from './errors.ts';
import { badData, poolClosed, queueFull, refusal, unknownJob } from './failures.ts';
import { isOver, Task, type Extra } from './job.ts';
import { isLarge, type Load } from './loader.ts';
import { macrotask, SLICE } from './macrotask.ts';
import { PRIORITIES, type JobSettings } from './options.ts';
import * as R from './record.ts';
import { hasPolicy, termsOf } from './retry.ts';
import { Cancelled, Kind, Phase, Refused } from './record.ts';
import type { JobState } from './types.ts';
import { encode, kindOf, type Encoded } from './value.ts';
import * as glue from './wasm.js';

/** Why a job was not taken; an abort's reason may be any value. */
export interface Refusing {
  error: unknown;
}

/** The open jobs that a signal aborts, and its listener. */
interface Heeded {
  tasks: Set<Task>;
  abort: () => void;
}

/** What `note_refused` takes. */
export const Noted = { TIMEOUT: 0, ABORT: 1, INPUT: 2 } as const;

/** How long a job that waits for room waits until it looks again, in ms: the page does not hear of
 * a job that leaves the queue for a worker. */
const LOOK_AGAIN = 2;

export class Admission {
  readonly #engine: Engine;
  #lastId = 0;
  #lastName: string | undefined;
  #lastHandler = -1;
  /** Wait to be admitted, in order. */
  readonly #pending = new Set<Task>();
  readonly #loads = new Map<Task, Load>();
  /** Of those pending, how many come from before a reset: all others let them pass. */
  #carrying = 0;
  /** The signals of open jobs. */
  readonly #heeded = new Map<AbortSignal, Heeded>();
  #pumping = false;
  #pumpTimer: ReturnType<typeof setTimeout> | undefined;
  /** The shortest limit of a job without options. */
  readonly #usualLimit: number;
  /** The terms of a job without options. */
  readonly #usualTerms: number;

  constructor(engine: Engine) {
    this.#engine = engine;
    const { timeout, queueTimeout, totalTimeout, killAfter } = engine.settings;
    this.#usualLimit = Math.min(timeout, queueTimeout, totalTimeout, killAfter);
    this.#usualTerms = termsOf(PRIORITIES.normal, engine.settings.retry);
  }

  /** Jobs that wait to be admitted. */
  get waiting(): number {
    return this.#pending.size - this.#carrying + this.#loads.size;
  }

  /** As `waiting`, with those on their way through a reset. */
  get unadmitted(): number {
    return this.#pending.size + this.#loads.size;
  }

  /** A new task; its promise, if any, is the caller's to make. */
  task(name: string): Task {
    if (name !== this.#lastName) {
      this.#lastHandler = this.#engine.handlers.get(name) ?? -1;
      this.#lastName = name;
    }
    return new Task(this.#engine, ++this.#lastId, name, this.#lastHandler);
  }

  /** Takes the job, now or as soon as it can; or says why not. Counts either. */
  admit(task: Task, input: unknown, settings: JobSettings | undefined): Refusing | undefined {
    if (this.#engine.closed !== undefined) return this.#refusedClosed(task);
    if (task.handler < 0) {
      this.#engine.note(Noted.INPUT, task.handler);
      return { error: unknownJob(task, this.#engine) };
    }
    const signal = settings?.signal;
    if (signal?.aborted) return this.#refusedAborted(task, signal);
    let data: Encoded;
    try {
      data = encode(input);
    } catch (error) {
      this.#engine.note(Noted.INPUT, task.handler);
      return { error: badData(task, error) };
    }
    // A toJSON of the caller's has run: it may have done so.
    if (this.#engine.closed !== undefined) return this.#refusedClosed(task);
    if (signal?.aborted) return this.#refusedAborted(task, signal);
    const kind = kindOf(input);
    if (settings === undefined && data === undefined && this.#carrying === 0 && !this.#engine.settings.wait) {
      return this.#admitPlain(task);
    }
    return this.#admitAny(task, kind, data, settings);
  }

  /** Refuses a job that nobody has seen accepted. */
  refuse(task: Task, error: unknown): void {
    this.#engine.opened();
    this.#refuseOpen(task, error);
  }

  #refuseOpen(task: Task, error: unknown): void {
    task.state = 'refused';
    this.#engine.settlement.finish(task, false, error);
    this.tellRefused(task, error);
  }

  /** Tells of a refusal that the caller has in hand. */
  tellRefused(task: Task, error: unknown): void {
    this.#engine.emit('refused', () => ({ id: task.id, job: task.name, error }));
  }

  /** The shortest way in: no input, no options. */
  #admitPlain(task: Task): Refusing | undefined {
    const token = this.#takeToken();
    if (token < 0) return this.#admitAny(task, Kind.NONE, undefined, undefined);
    const { i32, records, stride } = this.#engine.table;
    const record = records + token * stride;
    i32[record + R.KIND] = Kind.NONE;
    i32[record + R.INPUT_LEN] = 0;
    this.#writeCommon(task, token, undefined);
    const code = this.#submit(task, token);
    return code === 0 ? undefined : this.#admitRefused(task, token, code, undefined);
  }

  #admitAny(task: Task, kind: number, data: Encoded, settings: JobSettings | undefined): Refusing | undefined {
    const waits = settings?.wait ?? this.#engine.settings.wait;
    if (settings === undefined && !waits && this.#carrying === 0 && !needsLoading(data)) {
      const token = this.#takeToken();
      if (token >= 0) {
        if (this.#engine.table.writeInput(token, kind, data)) {
          this.#writeCommon(task, token, undefined);
          const code = this.#submit(task, token);
          return code === 0 ? undefined : this.#admitRefused(task, token, code, { kind, data });
        }
        this.#engine.table.free.push(token);
      }
    }
    this.addExtra(task, kind, data, settings);
    if (needsLoading(data)) {
      this.#opened(task);
      this.#load(task);
      return undefined;
    }
    // Those who wait have been here longer.
    if (this.#carrying > 0 || (waits && this.#pending.size > 0)) return this.#queueUp(task);
    const refused = this.#tryIn(task);
    if (refused === undefined) {
      this.#engine.opened();
      return undefined;
    }
    if (refused === Later) return this.#queueUp(task);
    this.dropExtra(task);
    return refused;
  }

  /** Lets a task wait for its admission. */
  #queueUp(task: Task): Refusing | undefined {
    const { settings } = this.#engine;
    if (this.#carrying === 0 && !task.extra!.settings.bounded && this.waiting >= settings.maxWaiting) {
      this.#engine.corrections.submitted++;
      this.#engine.corrections.refusedFull++;
      this.dropExtra(task);
      return { error: queueFull(task, `${settings.maxWaiting} wait for room already (queue.maxWaiting)`) };
    }
    this.#opened(task);
    this.#pending.add(task);
    this.#pumpSoon();
    if (!this.#engine.instance.broken) this.#engine.emit('saturated', () => ({ capacity: settings.capacity }));
    return undefined;
  }

  /** The task is open though not accepted: its limits and its signal hold from now on. */
  #opened(task: Task): void {
    this.#engine.opened();
    const { settings, since } = task.extra!;
    const limit = Math.min(settings.submitTimeout, settings.totalTimeout);
    if (limit !== Infinity) {
      const phase = settings.totalTimeout < settings.submitTimeout ? 'total' : 'submit';
      const left = limit - (now() - since) / 1000;
      task.extra!.timer = setTimeout(() => {
        this.#engine.note(Noted.TIMEOUT, task.handler);
        const error = new PoolError('ERR_TIMEOUT', `job ${task.id} (${task.name}) was not accepted within ${limit} ms`, { phase, jobId: task.id });
        this.withdraw(task, 'timed-out', error);
      }, left);
    }
  }

  addExtra(task: Task, kind: number, data: Encoded, given: JobSettings | undefined): void {
    const { timeout, queueTimeout, totalTimeout, wait } = this.#engine.settings;
    const settings = given ?? {
      terms: this.#usualTerms, backoff: 0, maxBackoff: 0, signal: undefined,
      timeout, queueTimeout, totalTimeout, wait, submitTimeout: Infinity, bounded: false,
    };
    const extra: Extra = {
      settings, kind, data, since: now(), timer: undefined, loaded: undefined, adopted: undefined,
      attempts: 0, notBefore: 0,
    };
    task.extra = extra;
    const { signal } = settings;
    if (signal !== undefined) this.#heed(signal).tasks.add(task);
  }

  /** Many jobs may have one signal, which warns of many listeners: it gets one. */
  #heed(signal: AbortSignal): Heeded {
    let heeded = this.#heeded.get(signal);
    if (heeded === undefined) {
      const tasks = new Set<Task>();
      const abort = () => {
        for (const task of [...tasks]) this.#engine.settlement.cancel(task, signal.reason, signal);
      };
      heeded = { tasks, abort };
      this.#heeded.set(signal, heeded);
      signal.addEventListener('abort', abort);
    }
    return heeded;
  }

  dropExtra(task: Task): void {
    const { extra } = task;
    if (extra === undefined) return;
    task.extra = undefined;
    clearTimeout(extra.timer);
    const { signal } = extra.settings;
    const heeded = signal && this.#heeded.get(signal);
    if (heeded?.tasks.delete(task) && heeded.tasks.size === 0) {
      this.#heeded.delete(signal!);
      signal!.removeEventListener('abort', heeded.abort);
    }
    if (extra.loaded !== undefined && extra.loaded.length > 0) {
      this.#engine.instance.free(extra.loaded.address, extra.loaded.length);
    }
  }

  #load(task: Task): void {
    const { data } = task.extra!;
    // An empty input is there at once.
    let over = false;
    const load = this.#engine.instance.loader.load(
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
        if (task.extra!.adopted === undefined) {
          this.#engine.note(Noted.INPUT, task.handler);
          this.#refuseOpen(task, badData(task, error));
        } else {
          this.#hold(task);
          this.withdraw(task, 'failed', badData(task, error));
        }
      },
    );
    if (!over) this.#loads.set(task, load);
  }

  #afterLoad(task: Task): void {
    const { settings, adopted } = task.extra!;
    if (this.#carrying > 0 || this.#engine.instance.broken || (settings.wait && this.#pending.size > 0)) {
      this.#hold(task);
      return;
    }
    const refused = this.#tryIn(task);
    if (refused === undefined) return;
    if (refused === Later || adopted !== undefined) this.#hold(task);
    else this.#refuseOpen(task, refused.error);
  }

  #hold(task: Task): void {
    this.#pending.add(task);
    if (task.extra!.adopted !== undefined) this.#carrying++;
    this.#pumpSoon();
  }

  /** Admits those who wait, in order, as far as there is room. */
  pump(): void {
    if (this.#pumping || this.#pending.size === 0 || this.#engine.instance.broken || this.#engine.pool < 0) return;
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
      if (refused !== undefined) this.#refuseOpen(task, refused.error);
      if (performance.now() > end) {
        macrotask(() => this.pump());
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
      this.pump();
    }, LOOK_AGAIN);
  }

  /** Admits a task that has its extra; `Later` when it must wait. */
  #tryIn(task: Task): Refusing | Later | undefined {
    const token = this.#takeToken();
    if (token < 0) return Later;
    const extra = task.extra!;
    const { table } = this.#engine;
    if (extra.loaded !== undefined) {
      table.writeLoaded(token, extra);
    } else if (!table.writeInput(token, extra.kind, isOver(task) ? undefined : extra.data)) {
      table.free.push(token);
      return Later;
    }
    this.#writeCommon(task, token, extra);
    if (extra.adopted !== undefined) {
      this.#writePast(token, extra);
      return this.#adopt(task, token) ? undefined : Later;
    }
    // The record has it now, unless the job is refused.
    const { loaded } = extra;
    extra.loaded = undefined;
    const code = this.#submit(task, token, false);
    if (code !== 0) extra.loaded = loaded;
    else {
      extra.data = undefined;
      clearTimeout(extra.timer);
      return undefined;
    }
    const full = code === Refused.FULL || code === Refused.IN_FLIGHT;
    if (code < 0 || (full && extra.settings.wait)) {
      const { corrections } = this.#engine;
      if (code === Refused.FULL) corrections.refusedFull--;
      if (code === Refused.IN_FLIGHT) corrections.refusedInFlight--;
      // It was counted as submitted and refused, and is neither yet.
      if (code > 0) corrections.submitted--;
      table.giveUp(token, extra);
      return Later;
    }
    const error = this.#refusal(task, token, code);
    table.giveUp(token, extra);
    return { error };
  }

  #adopt(task: Task, token: number): boolean {
    const { pool, table, instance } = this.#engine;
    try {
      if (!glue.adopt(pool, token)) {
        table.giveUp(token, task.extra!);
        return false;
      }
      if (isOver(task)) {
        // Settled while it was between two memories: only the counters still have to know.
        if (glue.cancel(pool, token) === Cancelled.REMOVED) table.reclaim(token);
        task.extra = undefined;
        return true;
      }
    } catch (error) {
      instance.suspect(error);
      return false;
    }
    const extra = task.extra!;
    extra.adopted = extra.loaded = extra.data = undefined;
    this.#entered(task, token);
    if (extra.notBefore > 0) this.#engine.delayed(task, extra.notBefore);
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
      this.#engine.table.free.push(token);
      this.addExtra(task, input?.kind ?? Kind.NONE, input?.data, undefined);
      this.#opened(task);
      this.#pending.add(task);
      return undefined;
    }
    const error = this.#refusal(task, token, code);
    this.#engine.table.reclaim(token);
    return { error };
  }

  /** 0 when accepted, a refusal, or -1 when the module is terminated. */
  #submit(task: Task, token: number, opens = true): number {
    let code: number;
    const time = burst.time();
    try {
      code = this.#engine.instance.exports.submit(this.#engine.pool, token, time);
    } catch (error) {
      this.#engine.instance.suspect(error);
      if (!this.#isIn(token, time)) return -1;
      code = 0;
    }
    if (code === 0) {
      if (opens) this.#engine.opened();
      this.#entered(task, token);
    }
    return code;
  }

  /** Whether a submission that threw had put its job into the queue: then it failed to wake a worker. */
  #isIn(token: number, time: number): boolean {
    const { i32, f64 } = this.#engine.table;
    const record = this.#engine.table.recordOf(token);
    return f64[(record >> 1) + R.SUBMITTED] === time && Atomics.load(i32, record + R.PHASE) !== Phase.FREE;
  }

  #entered(task: Task, token: number): void {
    const engine = this.#engine;
    engine.table.tasks[token] = task;
    task.token = token;
    engine.executor.wake();
    if (engine.staff.grows) engine.staff.expect();
    const extra = task.extra;
    if (extra === undefined) {
      if (this.#usualLimit !== Infinity) engine.watchdog.expect(this.#usualLimit);
    } else {
      const { timeout, queueTimeout, totalTimeout } = extra.settings;
      engine.watchdog.expect(Math.min(timeout, queueTimeout, totalTimeout, engine.settings.killAfter));
    }
    if (engine.listening) engine.emit('jobqueued', () => ({ id: task.id, job: task.name }));
  }

  /** A token for a new job, or -1. */
  #takeToken(): number {
    const engine = this.#engine;
    if (engine.instance.broken) return -1;
    const { free } = engine.table;
    if (free.length === 0) {
      // Tokens of finished jobs lie on the list: a caller in a long loop gets here.
      engine.executor.drain();
      if (free.length === 0) return -1;
    }
    return free.pop()!;
  }

  #writeCommon(task: Task, token: number, extra: Extra | undefined): void {
    const { i32, f64, records, stride } = this.#engine.table;
    const record = records + token * stride;
    const floats = record >> 1;
    const { timeout, queueTimeout, totalTimeout } = extra === undefined ? this.#engine.settings : extra.settings;
    i32[record + R.CANCELLED] = 0;
    i32[record + R.HANDLER] = task.handler;
    i32[record + R.OUTPUT_CAPACITY] = 0;
    const terms = extra === undefined ? this.#usualTerms : extra.settings.terms;
    i32[record + R.TERMS] = terms;
    if (hasPolicy(terms)) {
      i32[record + R.ATTEMPT] = 0;
      if (extra !== undefined) {
        f64[floats + R.WAIT] = extra.settings.backoff * 1000;
        f64[floats + R.RUN] = extra.settings.maxBackoff * 1000;
      }
    }
    f64[floats + R.QUEUE_TIMEOUT] = queueTimeout * 1000;
    f64[floats + R.RUN_TIMEOUT] = timeout * 1000;
    // The time before the admission counts.
    f64[floats + R.TOTAL_TIMEOUT] =
      extra === undefined || extra.adopted !== undefined || totalTimeout === Infinity
        ? totalTimeout * 1000
        : Math.max(totalTimeout * 1000 - (now() - extra.since), 1);
  }

  /** What a job brings along over a reset. */
  #writePast(token: number, { adopted, attempts, notBefore }: Extra): void {
    const { i32, f64 } = this.#engine.table;
    const record = this.#engine.table.recordOf(token);
    i32[record + R.ATTEMPT] = attempts;
    f64[(record >> 1) + R.SUBMITTED] = adopted!;
    f64[(record >> 1) + R.STARTED] = notBefore;
  }

  // ---- a reset and the end --------------------------------------------------------------------

  /** The memory is given up: the loaded inputs of those who wait are carried over like queued ones'. */
  saveLoaded(): void {
    for (const task of this.#pending) {
      const extra = task.extra!;
      if (extra.loaded === undefined) continue;
      const { address, length } = extra.loaded;
      extra.data = this.#engine.instance.bytes(address + length).subarray(address, address + length);
      extra.loaded = undefined;
    }
  }

  /** When a carried job whose worker was lost is tried again, in µs; -1, and it is not carried, when it is not. */
  retryLost(task: Task, kind: number): number {
    const { pool, table } = this.#engine;
    // Only to be read.
    const token = table.free[table.free.length - 1]!;
    this.#writeCommon(task, token, task.extra);
    this.#writePast(token, task.extra!);
    const at = glue.retry_lost(pool, token, kind);
    if (at < 0) this.#unhold(task, true);
    return at;
  }

  /** Lets jobs that come from before a reset wait in front of all others. */
  carry(carried: readonly Task[]): void {
    const others = [...this.#pending];
    this.#pending.clear();
    for (const task of [...carried, ...others]) this.#pending.add(task);
    this.#carrying = others.filter((task) => task.extra?.adopted !== undefined).length + carried.length;
  }

  /** Ends a task that has no token. */
  withdraw(task: Task, state: JobState, error: unknown): void {
    const adopted = task.extra?.adopted !== undefined;
    const load = this.#loads.get(task);
    if (load !== undefined) {
      this.#loads.delete(task);
      this.#engine.instance.loader.cancel(load);
    }
    if (!adopted) this.#pending.delete(task);
    else if (load !== undefined) this.#hold(task);
    task.state = state;
    const { extra } = task;
    this.#engine.settlement.finish(task, false, error);
    if (adopted) {
      // It stays among the carried ones so that the counters of the new memory hear of its end.
      task.extra = extra!;
      extra!.data = undefined;
      extra!.loaded = undefined;
    }
  }

  /** Ends the jobs that are not accepted yet; when the pool `drains` not those that need no room but time: to be read, or
   * to get through a reset. */
  endWaiting(error: (task: Task) => unknown, drains = false): number {
    const { broken } = this.#engine.instance;
    const tasks = [...this.#pending, ...(drains ? [] : this.#loads.keys())].filter(
      (task) => !isOver(task) && !(drains && (broken || task.extra!.adopted !== undefined)),
    );
    const { corrections } = this.#engine;
    for (const task of tasks) {
      if (task.extra!.adopted === undefined) {
        corrections.submitted++;
        corrections.refusedClosed++;
      }
      this.withdraw(task, 'cancelled', error(task));
    }
    return tasks.length;
  }

  stop(): void {
    clearTimeout(this.#pumpTimer);
  }

  // ---- errors ----------------------------------------------------------------------------------

  #refusedAborted(task: Task, signal: AbortSignal): Refusing {
    this.#engine.note(Noted.ABORT, task.handler);
    return { error: signal.reason };
  }

  #refusedClosed(task: Task): Refusing {
    const { corrections, closed } = this.#engine;
    corrections.submitted++;
    corrections.refusedClosed++;
    return { error: poolClosed(task, closed!) };
  }

  #refusal(task: Task, token: number, code: number): PoolError {
    const { capacity } = this.#engine.settings;
    const error = refusal(task, code, this.#engine, token);
    if (error !== undefined) return error;
    this.#engine.emit('saturated', () => ({ capacity }));
    return queueFull(task, `the queue is full (queue.capacity is ${capacity}); \`whenFull: 'wait'\` and \`map\` wait for room`);
  }
}

/** It must wait. */
type Later = typeof Later;
const Later = Symbol('later');

/** µs on the page's clock. */
function now(): number {
  return performance.now() * 1000;
}

function needsLoading(data: Encoded): boolean {
  return data !== undefined && isLarge(data);
}
