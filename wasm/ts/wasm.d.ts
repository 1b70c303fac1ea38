// The wasm module's functions (wasm/src/api.rs), as wasm-bindgen's glue exports them. Pools are
// numbers, addresses are byte addresses, times are µs on the page's clock.
export interface Exports {
  readonly memory: WebAssembly.Memory;
  __wbindgen_thread_destroy(): void;
  /** Between which addresses this instance's stack must stay. */
  __set_stack_limits(highest: number, lowest: number): void;
  /** The lowest address of a thread's stack. */
  readonly __stack_alloc: WebAssembly.Global;
  /** As the function of this name below, without its look at whether the module was terminated. */
  submit(pool: number, token: number, now: number): number;
  /** Works in the pool until it ends. Unlike with the other functions, a trap does not terminate the module. */
  worker_enter(pool: number, worker: number, origin: number, call: (handler: number, token: number) => number): void;
  /** The address of the word that is not 0 once the module is terminated. */
  readonly __instance_terminated: WebAssembly.Global;
}
/** Without arguments, on an initialised module: its present exports. */
export function initSync(options?: {
  module: WebAssembly.Module;
  memory?: WebAssembly.Memory;
}): Exports;
/** Makes the first instance. */
export function init(module: WebAssembly.Module): Promise<Exports>;
/** Replaces the module's instance and memory by new ones. */
export function __wbg_reset_state(): void;

export function enter_page(origin: number): void;
export function handler_names(): string;
/** The order of the numbers is that of `configNumbers` in options.ts. */
export function pool_create(config: Float64Array): number;
/** The order is that of `Layout` in record.ts. */
export function pool_layout(pool: number): Uint32Array;
/** Builds threads that are not in charge yet: workers that enter from now on become these. */
export function threads_build(pool: number, threads: number): void;
/** Lets more workers become the threads that were built last. */
export function threads_open(pool: number, workers: number): void;
/** Takes back what `threads_build` did, if those are not in charge yet; their workers leave. */
export function threads_discard(pool: number): void;
/** Puts threads that were built in charge; those before go when their jobs have ended. With `atRest`, only if none runs one. */
export function threads_switch(pool: number, workers: number, atRest: boolean): boolean;
/** Lets so many workers of the threads in charge (0 without threads) and so many jobs run at once. */
export function pool_resize(pool: number, workers: number, limit: number): void;
/** Wakes as many threads as there is work for. */
export function wake(pool: number): void;
export function pool_stop(pool: number): void;
/** False while a worker is inside. */
export function pool_free(pool: number): boolean;
/** 0, or why it is refused. */
export function submit(pool: number, token: number, now: number): number;
export function adopt(pool: number, token: number): boolean;
/** 0 settled already, 1 removed from the queue, 2 signalled while it runs. */
export function cancel(pool: number, token: number): number;
/** A running job past its deadline as token * 16 + outcome; or −1 − the next time to call. */
export function poll(pool: number): number;
export function pause(pool: number): void;
export function resume(pool: number): void;
export function close(pool: number): void;
/** The token of a job taken from the queue, or −1. */
export function abort_next(pool: number): number;
/** 0 time-out, 1 abort, 2 input. */
export function note_refused(pool: number, reason: number, handler: number): void;
/** A job that a reset did not carry: 0 killed, 1 trapped, 2 another one's trap or kill. */
export function note_lost(pool: number, how: number, handler: number): void;
/** When such a job is tried again, by what `adopt` would find in the token's record; or −1 after `note_lost`. */
export function retry_lost(pool: number, token: number, kind: number): number;
/** Seven numbers a job: token, until when, attempt, outcome; address, length and capacity of its error. */
export function delayed_jobs(pool: number): Float64Array;
/** A negative limit is none; these two throw where the core refuses. */
export function set_quota(pool: number, limit: number, interval: number, burst: number): void;
export function set_max_in_flight(pool: number, most: number): void;
/** The breaker of a handler's jobs: the pool's, unless each handler has its own. */
export function breaker_trip(pool: number, handler: number): void;
export function breaker_reset(pool: number, handler: number): void;
export function breaker_disable(pool: number, handler: number): void;
export function breaker_state(pool: number, handler: number): number;
/** Five numbers a change: when, from, to, cause, generation. */
export function breaker_log(pool: number, handler: number): Float64Array;
export function snapshot(pool: number): Float64Array;
export function snapshot_names(): string;
export function alloc(length: number): number;
export function free(address: number, length: number): void;
export function free_output(pool: number, token: number): void;
/** Address and length. */
export function ledger(pool: number): Uint32Array;
export function recovered(pool: number): void;

/** The token of the next job for a worker that does not share this memory, or −1. */
export function hand_out(pool: number, worker: number): number;
/** Ends an attempt of a job that was handed out, by its record's OUTCOME and its error's marks: when the next one may
 * begin, or −1. */
export function hand_in(pool: number, token: number, marks: number): number;
/** The address of the record by which this instance runs built-in jobs for others. */
export function solo_record(): number;
/** Runs the job in it, returns its error's marks; `remaining` in µs. */
export function solo_run(
  remaining: number,
  attempt: number,
  lenient: boolean,
  mayBlock: boolean,
  progress: ((done: number, total: number) => void) | undefined,
): number;
export function solo_clear(): void;
