// Closing a pool: lets its jobs end as asked, then its workers leave, all before a deadline.

import { before } from './deadline.ts';
import type { Engine } from './engine.ts';
import { PoolError } from './errors.ts';
import { hold, release } from './node.ts';
import type { Task } from './job.ts';
import type { CloseOptions, CloseReport, WorkerStats } from './types.ts';

/** Closes the pool; `last` is called with the workers that it had, when all is counted and nothing is freed yet. */
export async function close(
  engine: Engine,
  { mode, deadline }: Required<CloseOptions>,
  last: (workers: WorkerStats[]) => void,
): Promise<CloseReport> {
  hold();
  const began = performance.now();
  const left = () => Math.max(0, deadline - (performance.now() - began));
  const wasOpen = engine.open;
  const cutOff = (task: Task) =>
    new PoolError('ERR_POOL_CLOSED', `the pool was closed before job ${task.id} (${task.name}) ended`, { jobId: task.id });
  engine.closed ??= new PoolError('ERR_POOL_CLOSED', 'the pool is closed');
  engine.staff.end(engine.closed);
  let aborted = 0;
  if (mode === 'abort') aborted += engine.settlement.endAll(cutOff);
  else if (mode === 'cancel-queued') {
    aborted += engine.settlement.endQueued(cutOff);
    engine.afterDelay = (task) => {
      if (engine.settlement.cancel(task, cutOff(task))) aborted++;
    };
  }
  // Whoever still waits for room was never accepted: a drain is of accepted jobs.
  else engine.admission.endWaiting(cutOff, true);
  // Jobs that wait would never end in a paused pool.
  if (engine.paused && engine.open > 0 && !engine.instance.broken) engine.setPaused(false);
  await before(left(), engine.settlement.idle());
  if (engine.open > 0) aborted += engine.settlement.endAll(cutOff);
  const workers = engine.executor.workers();
  engine.stop();
  await before(left(), engine.executor.leave());
  engine.executor.drain();
  const terminated = engine.executor.size;
  last(workers);
  engine.dispose();
  release();
  return {
    mode,
    clean: terminated === 0 && (mode !== 'drain' || aborted === 0),
    finished: wasOpen - aborted,
    aborted,
    terminated,
    duration: performance.now() - began,
  };
}
