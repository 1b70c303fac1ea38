// A pool's way through a reset: what is queued is carried from the old memory into the new one.

import type { Engine } from './engine.ts';
import { lostJob } from './failures.ts';
import type { Culprit, Verdict } from './instance.ts';
import type { Task } from './job.ts';
import * as R from './record.ts';
import { Kind, Phase } from './record.ts';

/** What is saved from the old memory. */
export interface Evacuated {
  carried: Task[];
  /** What became of each job that ran. */
  lost: Verdict[];
  ledger: Uint8Array;
}

/** Settles what is done and what is lost, and keeps what was only queued. Calls no export. */
export function evacuate(engine: Engine, reason: string, culprits: readonly Culprit[]): Evacuated {
  const { admission, executor, instance, settlement, table } = engine;
  const { i32, f64, tasks } = table;
  const memory = instance.bytes(0);
  executor.drainAll();
  const carried: Task[] = [];
  tasks.forEach((task, token) => {
    if (task === undefined) return;
    const record = table.recordOf(token);
    // A worker that takes the job at this moment loses it here, or we lose it to the worker.
    if (Atomics.compareExchange(i32, record + R.PHASE, Phase.QUEUED, Phase.CARRIED) !== Phase.QUEUED) return;
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
      ...extra.settings, priority: i32[record + R.PRIORITY]!, timeout: ms(R.RUN_TIMEOUT),
      queueTimeout: ms(R.QUEUE_TIMEOUT), totalTimeout: ms(R.TOTAL_TIMEOUT),
    };
    table.part(task, token);
    carried.push(task);
  });
  // Whoever was between its end and the list has pushed by now, or never will.
  executor.drainAll();
  const lost: Verdict[] = [];
  tasks.forEach((task, token) => {
    if (task === undefined) return;
    const verdict: Verdict =
      culprits.find((culprit) => culprit.engine === engine && culprit.token === token)?.verdict ?? 'ERR_WORKER_CRASHED';
    lost.push(verdict);
    task.attempt = Math.max(task.attempt, 1);
    table.part(task, token);
    task.state = 'failed';
    settlement.finish(task, false, lostJob(task, verdict, reason));
  });
  admission.saveLoaded();
  executor.terminate();
  return { carried: carried.sort((a, b) => a.id - b.id), lost, ledger: table.ledger.slice() };
}

/** What `note_lost` takes. */
export const LOST: Record<Verdict, number> = { ERR_KILLED: 0, ERR_PANIC: 1, ERR_WORKER_CRASHED: 2 };
