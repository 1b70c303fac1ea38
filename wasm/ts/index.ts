// weirpool: run many jobs at once and keep control of them.

export { Pool } from './pool.ts';
export type { RunArguments } from './pool.ts';
export type { Job } from './job.ts';
export type { Results } from './results.ts';
export type { Mode } from './mode.ts';
export type { Progress } from './progress.ts';
export { PoolError } from './errors.ts';
export type { ErrorCode } from './errors.ts';
export type {
  AdaptiveOptions, Breaker, BreakerCause, BreakerChange, BreakerOptions, BreakerState, BuiltIns, CloseOptions, CloseReport, Handlers, Input, JobName,
  JobResult, JobState, MandelbrotInput, MapOptions, Output, PoolEventMap, PoolOptions, PoolStats, PriorityName,
  RateLimit, RateLimitOptions, Refusal, RetryOptions, RunOptions, SimulateInput, TimeStats, Timing, TryOptions, WorkerRange,
  WorkerStats,
} from './types.ts';
