// A job's record in shared memory: the offsets of wasm/src/record.rs.

/** Indices into the numbers of `pool_layout`. */
export const Layout = {
  RECORDS: 0,
  STRIDE: 1,
  TOKENS: 2,
  COMPLETIONS: 3,
  DOORBELL: 4,
  GENERATION: 5,
  WORKERS: 6,
  WORKER_STRIDE: 7,
  BUILT_INS: 8,
  INLINE_OFFSET: 9,
  INLINE_BYTES: 10,
  DELAYED: 11,
} as const;

/** Offsets in 32-bit words. */
export const NEXT = 0;
export const PHASE = 1;
export const OUTCOME = 2;
export const OUTPUT_KIND = 3;
export const OUTPUT = 4;
export const OUTPUT_LEN = 5;
/** 0: the output lies inline or is the input, and there is nothing to free. */
export const OUTPUT_CAPACITY = 6;
export const WORKER = 7;
export const ATTEMPT = 8;
export const INPUT_LEN = 9;
export const KIND = 16;
export const INPUT = 17;
/** `termsOf` in retry.ts. */
export const TERMS = 18;
export const HANDLER = 19;
export const CANCELLED = 32;

/** Offsets in 64-bit floats. The backoffs of a retry policy of its own go into WAIT and RUN, and the time before which
 * a job from before a reset must not start into STARTED. */
export const WAIT = 5;
export const RUN = 6;
export const TOTAL = 7;
export const QUEUE_TIMEOUT = 10;
export const RUN_TIMEOUT = 11;
export const TOTAL_TIMEOUT = 12;
export const SUBMITTED = 13;
export const STARTED = 14;
export const RETRY_AFTER = 15;

/** Values of PHASE. */
export const Phase = { FREE: 0, QUEUED: 1, RUNNING: 2, DONE: 3, CARRIED: 4 } as const;

/** Values of KIND and OUTPUT_KIND. */
export const Kind = { BYTES: 0, TEXT: 1, JSON: 2, NONE: 3, CHUNK: 4 } as const;

/** Values of OUTCOME. */
export const Outcome = {
  COMPLETED: 0,
  ERROR: 1,
  PANIC: 2,
  CIRCUIT_OPEN: 3,
  TIMED_OUT_QUEUE: 4,
  TIMED_OUT_RUN: 5,
  TIMED_OUT_TOTAL: 6,
  CANCELLED: 7,
  RELEASED: 8,
  BAD_OUTPUT: 9,
  BAD_INPUT: 10,
  KILLED: 11,
  TRAPPED: 12,
  CRASHED: 13,
} as const;

/** What `submit` returns. */
export const Refused = { FULL: 1, CLOSED: 2, RATE: 3, BREAKER: 4, IN_FLIGHT: 5 } as const;

/** What `cancel` returns: the job is over, was taken out of the queue, or runs and is told. */
export const Cancelled = { OVER: 0, REMOVED: 1, SIGNALLED: 2 } as const;

/** Offsets in a worker's entry, in 32-bit words. */
export const WorkerEntry = { TOKEN: 0, STARTED: 1, DONE: 2, ACTIVITY: 3, PROGRESS: 4 } as const;
