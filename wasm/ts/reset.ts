// A pool's way through a reset: what is queued is carried from the old memory into the new one.

import type { Engine } from './engine.ts';
import { lostJob } from './failures.ts';
import type { Culprit, Verdict } from './instance.ts';
import type { Task } from './job.ts';
import * as R from './record.ts';
import { Kind, Phase } from './record.ts';
import { hasPolicy, hasRetries } from './retry.ts';

/** What is saved from the old memory. */
export interface Evacuated {
  /** How many queued jobs were saved. */
  carried: number;
  /** The jobs that ran. */
  lost: Lost[];
  ledger: Uint8Array;
}

/** A job that ran. */
export interface Lost {
  verdict: Verdict;
  handler: number;
  /** Undefined once it has failed; else it may be tried again. */
  task: Task | undefined;
}

/** Settles what is done and what is lost, and keeps what was only queued. Calls no export. */
export function evacuate(engine: Engine, reason: string, culprits: readonly Culprit[]): Evacuated {
  const { admission, executor, instance, settlement, table } = engine;
  const { i32, f64, tasks } = table;
  const memory = instance.bytes(0);
  executor.drainAll();
  const carried: Task[] = [];
  const save = (task: Task, token: number, record: number) => {
    const floats = record >> 1;
    const ms = (offset: number) => f64[floats + offset]! / 1000;
    const length = i32[record + R.INPUT_LEN]! >>> 0;
    const address = i32[record + R.INPUT]! >>> 0;
    const whole = address + length > memory.length ? instance.bytes(address + length) : memory;
    if (task.extra === undefined) admission.addExtra(task, 0, undefined, undefined);
    const extra = task.extra!;
    extra.kind = i32[record + R.KIND]!;
    extra.data = length === 0 && extra.kind === Kind.NONE ? undefined : whole.subarray(address, address + length);
    extra.loaded = undefined;
    extra.adopted = f64[floats + R.SUBMITTED]!;
    extra.settings = {
      ...extra.settings, terms: i32[record + R.TERMS]!, timeout: ms(R.RUN_TIMEOUT),
      queueTimeout: ms(R.QUEUE_TIMEOUT), totalTimeout: ms(R.TOTAL_TIMEOUT),
    };
    table.part(task, token);
    carried.push(task);
  };
  tasks.forEach((task, token) => {
    if (task === undefined) return;
    const record = table.recordOf(token);
    // A worker that takes the job at this moment loses it here, or we lose it to the worker.
    if (Atomics.compareExchange(i32, record + R.PHASE, Phase.QUEUED, Phase.CARRIED) !== Phase.QUEUED) return;
    save(task, token, record);
    task.extra!.attempts = hasPolicy(i32[record + R.TERMS]!) ? i32[record + R.ATTEMPT]! : 0;
  });
  const queued = carried.length;
  // Whoever was between its end and the list has pushed by now, or never will.
  executor.drainAll();
  const lost: Lost[] = [];
  tasks.forEach((task, token) => {
    if (task === undefined) return;
    const verdict: Verdict =
      culprits.find((culprit) => culprit.engine === engine && culprit.token === token)?.verdict ?? 'ERR_WORKER_CRASHED';
    const record = table.recordOf(token);
    task.attempt = Math.max(task.attempt, 1);
    if (hasRetries(i32[record + R.TERMS]!)) {
      task.attempt = Math.max(task.attempt, i32[record + R.ATTEMPT]!);
      lost.push({ verdict, handler: task.handler, task });
      save(task, token, record);
      task.extra!.attempts = task.attempt;
      return;
    }
    lost.push({ verdict, handler: task.handler, task: undefined });
    settlement.measure(task, token, true);
    table.part(task, token);
    task.state = 'failed';
    settlement.finish(task, false, lostJob(task, verdict, reason));
  });
  admission.saveLoaded();
  admission.carry(carried.sort((a, b) => a.id - b.id));
  executor.terminate(reason);
  return { carried: queued, lost, ledger: table.ledger.slice() };
}

/** What `note_lost` takes. */
export const LOST: Record<Verdict, number> = { ERR_KILLED: 0, ERR_PANIC: 1, ERR_WORKER_CRASHED: 2 };
