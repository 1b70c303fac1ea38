//! What the page and the workers call. Internal to the npm package: `wasm/ts/glue.d.ts` is its
//! TypeScript side, and only that code calls it.
//!
//! A pool is a number (its place in `POOLS`), times are f64 µs on the page's clock.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crossbeam_channel::Receiver;
use rayon::ThreadBuilder;
use wasm_bindgen::prelude::*;
use weirpool_core::breaker;
use weirpool_core::pool::{Config, Lost, Refusal};
use weirpool_core::rate::Quota;

use crate::pool::{Activity, Cancelled, MAX_WORKERS, SharedPool, WorkerState};
use crate::record::{INLINE_BYTES, Record, Token};
use crate::{clock, handlers, heap, panic, solo, threads};

/// The pools of this memory, by number. Written by the page's thread alone.
static POOLS: [AtomicPtr<SharedPool>; 64] = [const { AtomicPtr::new(ptr::null_mut()) }; 64];

fn pool(number: u32) -> &'static SharedPool {
    let pool = POOLS[number as usize].load(Ordering::Relaxed);
    assert!(!pool.is_null(), "no such pool");
    // SAFETY: the pointer is that of a leaked box, which `pool_free` takes back only when no worker
    // is left and the page will not use it again.
    unsafe { &*pool }
}

/// Makes the calling thread the page. Once in a memory's life, before anything else.
#[wasm_bindgen]
pub fn enter_page(origin: f64) {
    heap::enter_page();
    clock::set_origin(origin);
    panic::install_hook();
}

/// The names of the handlers in Rust, by number, separated by commas.
#[wasm_bindgen]
pub fn handler_names() -> String {
    let mut names = String::new();
    for (name, _) in handlers::all() {
        if !names.is_empty() {
            names.push(',');
        }
        names.push_str(name);
    }
    names
}

/// Makes a pool of `workers` threads; without any, the page hands its jobs out. The numbers of `config` are listed
/// in `glue.d.ts`.
#[wasm_bindgen]
pub fn pool_create(config: Vec<f64>) -> Result<u32, JsError> {
    let (config, workers) = read_config(&config)?;
    let number = POOLS
        .iter()
        .position(|pool| pool.load(Ordering::Relaxed).is_null())
        .ok_or_else(|| JsError::new("a page can have at most 64 pools at once"))?;
    let pool =
        SharedPool::new(config, workers).map_err(|error| JsError::new(&error.to_string()))?;
    POOLS[number].store(Box::into_raw(Box::new(pool)), Ordering::Relaxed);
    Ok(number as u32)
}

fn read_config(config: &[f64]) -> Result<(Config, usize), JsError> {
    let &[
        capacity,
        workers,
        limit,
        ageing,
        max_in_flight,
        rate_limit,
        rate_interval,
        rate_burst,
        breaker_on,
        consecutive,
        failure_rate,
        window,
        minimum_calls,
        slow_rate,
        slow_call,
        pause,
        max_pause,
        probes,
        lease,
    ] = config
    else {
        return Err(JsError::new("the configuration has another length"));
    };
    // -1 stands for none.
    let some = |number: f64| (number >= 0.0).then_some(number);
    let duration = |us: f64| core::time::Duration::from_micros(us as u64);
    if !(0.0..=MAX_WORKERS as f64).contains(&workers) {
        return Err(JsError::new("workers must be at most 64"));
    }
    let rate = match some(rate_limit) {
        None => None,
        Some(limit) => Some(
            Quota::new(limit as u32, duration(rate_interval))
                .and_then(|quota| quota.try_with_burst(rate_burst as u32))
                .map_err(|error| JsError::new(&error.to_string()))?,
        ),
    };
    let breaker = (breaker_on != 0.0).then(|| breaker::Config {
        consecutive: some(consecutive).map(|n| n as u32),
        failure_rate: some(failure_rate).map(|n| n as u8),
        slow_rate: some(slow_rate).map(|n| n as u8),
        slow_call: some(slow_call).map(duration),
        window: window as u8,
        minimum_calls: minimum_calls as u8,
        pause: duration(pause),
        max_pause: duration(max_pause),
        probes: probes as u8,
        lease: duration(lease),
    });
    let config = Config {
        capacity: capacity as usize,
        limit: limit as u16,
        most_running: (limit as u16).max(MAX_WORKERS as u16),
        ageing: some(ageing).map(duration),
        max_in_flight: some(max_in_flight).map(|n| n as u32),
        rate,
        breaker,
        ..Config::DEFAULT
    };
    Ok((config, workers as usize))
}

/// Where the page finds a pool's parts in memory; the order is that of `glue.d.ts`.
#[wasm_bindgen]
pub fn pool_layout(number: u32) -> Vec<u32> {
    let pool = pool(number);
    vec![
        pool.records.as_ptr().addr() as u32,
        size_of::<Record>() as u32,
        pool.records.len() as u32,
        pool.completions.0.address(),
        (&raw const pool.doorbell).addr() as u32,
        (&raw const pool.halt).addr() as u32,
        pool.workers.as_ptr().addr() as u32,
        size_of::<WorkerState>() as u32,
        handlers::all().count() as u32,
        Record::INLINE_OFFSET as u32,
        INLINE_BYTES as u32,
    ]
}

/// Builds the pool's threads; returns the address that each worker must be given to enter by.
#[wasm_bindgen]
pub fn pool_start(number: u32) -> Result<*const Receiver<ThreadBuilder>, JsError> {
    let pool = pool(number);
    pool.threads
        .start(pool.workers.len())
        .map_err(|_| JsError::new("the threads could not be made"))
}

/// Lets the workers leave when they have nothing to run.
#[wasm_bindgen]
pub fn pool_stop(number: u32) {
    pool(number).threads.stop();
}

/// Frees a stopped pool. False, and nothing is done, while a worker is still inside.
#[wasm_bindgen]
pub fn pool_free(number: u32) -> bool {
    let left =
        |worker: &WorkerState| worker.activity.load(Ordering::Acquire) == Activity::Left as u32;
    if !pool(number).workers.iter().all(left) {
        return false;
    }
    let pool = POOLS[number as usize].swap(ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: made by `Box::into_raw`; no worker is inside, and the page holds no other reference.
    drop(unsafe { Box::from_raw(pool) });
    true
}

/// Submits the job in the token's record at `now` (the caller's: an import costs more than an
/// argument): 0, or why it is refused (1 full, 2 closed, 3 rate, 4 breaker, 5 in flight;
/// `retryAfter` is then in the record).
#[wasm_bindgen]
pub fn submit(number: u32, token: Token, now: f64) -> u32 {
    let pool = pool(number);
    let Err(refused) = pool.submit(token, now) else {
        return 0;
    };
    if let Some(retry_after) = refused.retry_after() {
        // SAFETY: refused: the page holds the token.
        unsafe { pool.records[token as usize].fields() }.retry_after =
            retry_after.as_micros() as f64;
    }
    match refused.reason() {
        Refusal::Closed => 2,
        Refusal::Rate => 3,
        Refusal::Breaker => 4,
        Refusal::InFlight => 5,
        // The core refuses for no other reason.
        _ => 1,
    }
}

/// Takes over a job from before a reset; false when there is no room.
#[wasm_bindgen]
pub fn adopt(number: u32, token: Token) -> bool {
    pool(number).adopt(token)
}

/// Cancels a job: 0 settled already, 1 removed from the queue, 2 signalled while it runs.
#[wasm_bindgen]
pub fn cancel(number: u32, token: Token) -> u32 {
    match pool(number).cancel(token) {
        None => 0,
        Some(Cancelled::Removed) => 1,
        Some(Cancelled::Signalled) => 2,
    }
}

/// Settles what is due: a running job that has passed its deadline as `token * 16 + outcome`, or a
/// negative number when there is none left; to be called until then.
#[wasm_bindgen]
pub fn poll(number: u32) -> f64 {
    match pool(number).poll() {
        Ok((token, outcome)) => f64::from(token) * 16.0 + f64::from(outcome as u32),
        // -1 − the next time at which there is something to do.
        Err(next) => -1.0 - next,
    }
}

#[wasm_bindgen]
pub fn pause(number: u32) {
    pool(number).core.pause();
}

#[wasm_bindgen]
pub fn resume(number: u32) {
    let pool = pool(number);
    pool.core.resume();
    pool.wake_all();
}

/// Admits nothing any more; what is queued still runs.
#[wasm_bindgen]
pub fn close(number: u32) {
    pool(number).core.close();
}

/// Removes one queued job, as cancelled: its token, or -1.
#[wasm_bindgen]
pub fn abort_next(number: u32) -> i32 {
    pool(number).abort_next().map_or(-1, |token| token as i32)
}

/// Counts a refusal that the page decided: 0 time-out, 1 abort, 2 input.
#[wasm_bindgen]
pub fn note_refused(number: u32, kind: u32) {
    pool(number).core.note_refused(
        match kind {
            0 => Refusal::Timeout,
            1 => Refusal::Abort,
            _ => Refusal::Input,
        },
        clock::instant(clock::now()),
    );
}

/// Counts the end of a job that a reset could not carry over: 0 killed, 1 trapped, 2 another job's
/// trap or kill, 3 cancelled meanwhile.
#[wasm_bindgen]
pub fn note_lost(number: u32, kind: u32) {
    let lost = match kind {
        0 => Lost::Killed,
        1 => Lost::Trapped,
        2 => Lost::Crashed,
        _ => Lost::Cancelled,
    };
    pool(number)
        .core
        .note_lost(lost, clock::instant(clock::now()));
}

#[wasm_bindgen]
pub fn breaker_trip(number: u32) {
    pool(number)
        .core
        .breaker()
        .trip(clock::instant(clock::now()));
}

#[wasm_bindgen]
pub fn breaker_reset(number: u32) {
    pool(number)
        .core
        .breaker()
        .reset(clock::instant(clock::now()));
}

/// The names of the numbers of `snapshot`, in their order, separated by commas.
#[wasm_bindgen]
pub fn snapshot_names() -> String {
    crate::stats::NAMES.to_owned()
}

/// The pool's metrics: counts, µs, and the breaker's rates as fractions.
#[wasm_bindgen]
pub fn snapshot(number: u32) -> Vec<f64> {
    crate::stats::numbers(&pool(number).core, clock::instant(clock::now()))
}

/// Memory for an input or for a JavaScript handler's result, or 0 when there is none.
#[wasm_bindgen]
pub fn alloc(length: u32) -> u32 {
    let mut bytes = Vec::<u8>::new();
    if bytes.try_reserve_exact(length as usize).is_err() {
        return 0;
    }
    assert_eq!(bytes.capacity(), length as usize);
    let mut bytes = std::mem::ManuallyDrop::new(bytes);
    bytes.as_mut_ptr().expose_provenance() as u32
}

/// Frees what `alloc` returned for this length.
#[wasm_bindgen]
pub fn free(address: u32, length: u32) {
    let block = ptr::with_exposed_provenance_mut::<u8>(address as usize);
    // SAFETY: the page passes what `alloc` returned, once.
    drop(unsafe { Vec::from_raw_parts(block, 0, length as usize) });
}

/// Frees the output of a settled job.
#[wasm_bindgen]
pub fn free_output(number: u32, token: Token) {
    // SAFETY: the page holds the token of a settled job.
    unsafe { pool(number).records[token as usize].free_output() };
}

/// Address and length of what a new memory must know of this pool, as plain bytes.
#[wasm_bindgen]
pub fn ledger(number: u32) -> Vec<u32> {
    let ledger = pool(number).core.ledger();
    vec![
        ptr::from_ref(ledger).addr() as u32,
        size_of_val(ledger) as u32,
    ]
}

/// To be called after the ledger's bytes were replaced by those of an earlier memory.
#[wasm_bindgen]
pub fn recovered(number: u32) {
    pool(number).core.recovered();
}

/// Takes the next job for a worker that does not share this memory: its token, or -1 when there is none now.
#[wasm_bindgen]
pub fn hand_out(number: u32, worker: u16) -> i32 {
    pool(number)
        .hand_out(worker)
        .map_or(-1, |token| token as i32)
}

/// Ends a job that was handed out, in the way that the page wrote into its record.
#[wasm_bindgen]
pub fn hand_in(number: u32, token: Token) {
    pool(number).hand_in(token);
}

/// The address of the record by which this instance runs built-in jobs for a pool in another memory.
#[wasm_bindgen]
pub fn solo_record() -> u32 {
    ptr::from_ref(&solo::RECORD).addr() as u32
}

/// Runs the job in that record; `remaining` is the time left to it in µs, `may_block` whether this thread may sleep.
#[wasm_bindgen]
pub fn solo_run(remaining: f64, attempt: u32, may_block: bool) {
    solo::run(remaining, attempt, may_block);
}

/// Frees the output of that job.
#[wasm_bindgen]
pub fn solo_clear() {
    solo::clear();
}

/// Enters the pool as a worker; returns when the pool was stopped.
#[wasm_bindgen]
pub fn worker_enter(
    entrance: *const Receiver<ThreadBuilder>,
    number: u32,
    worker: u16,
    origin: f64,
    javascript: js_sys::Function,
) {
    let state = &pool(number).workers[usize::from(worker)];
    state.set_activity(Activity::Idle);
    threads::enter(entrance, worker, origin, javascript);
    state.set_activity(Activity::Left);
}
