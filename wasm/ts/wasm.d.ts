// The wasm module's functions (wasm/src/api.rs), as wasm-bindgen's glue exports them. Pools are
// numbers, addresses are byte addresses, times are µs on the page's clock.
export interface Exports {
  readonly memory: WebAssembly.Memory;
  __wbindgen_thread_destroy(): void;
  /** As the function of this name below, without its look at whether the module was terminated. */
  submit(pool: number, token: number, now: number): number;
}
/** Without arguments, on an initialised module: its present exports. */
export function initSync(options?: {
  module: WebAssembly.Module;
  memory?: WebAssembly.Memory;
}): Exports;
/** Replaces the module's instance and memory by new ones. */
export function __wbg_reset_state(): void;

export function enter_page(origin: number): void;
export function handler_names(): string;
/** The order of the numbers is that of `configNumbers` in options.ts. */
export function pool_create(config: Float64Array): number;
/** The order is that of `Layout` in record.ts. */
export function pool_layout(pool: number): Uint32Array;
/** Returns the address that the workers enter by. */
export function pool_start(pool: number): number;
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
export function note_refused(pool: number, kind: number): void;
/** A job that a reset did not carry: 0 killed, 1 trapped, 2 another one's trap or kill. */
export function note_lost(pool: number, kind: number): void;
export function breaker_trip(pool: number): void;
export function breaker_reset(pool: number): void;
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
/** Ends a job that was handed out, by its record's OUTCOME. */
export function hand_in(pool: number, token: number): void;
/** The address of the record by which this instance runs built-in jobs for others. */
export function solo_record(): number;
/** Runs the job in it; `remaining` in µs. */
export function solo_run(remaining: number, attempt: number, mayBlock: boolean): void;
export function solo_clear(): void;

export function worker_enter(
  entrance: number,
  pool: number,
  worker: number,
  origin: number,
  call: (handler: number, token: number) => number,
): void;
