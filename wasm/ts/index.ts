// weirpool: run many jobs at once and keep control of them.

export { Pool } from './pool.ts';
export type { RunArguments } from './pool.ts';
export type { Job } from './job.ts';
export type { Results } from './results.ts';
export type { Mode } from './mode.ts';
export { PoolError } from './errors.ts';
export type { ErrorCode } from './errors.ts';
export type {
  Breaker, BreakerOptions, BreakerState, BuiltIns, CloseOptions, CloseReport, Handlers, Input, JobName,
  JobResult, JobState, MandelbrotInput, MapOptions, Output, PoolEventMap, PoolOptions, PoolStats, PriorityName,
  Refusal, RunOptions, SimulateInput, TimeStats, Timing, TryOptions, WorkerRange, WorkerStats,
} from './types.ts';
