//! What the page and the workers call. Internal to the npm package: `wasm/ts/glue.d.ts` is its
//! TypeScript side, and only that code calls it.
//!
//! A pool is a number (its place in `POOLS`), times are f64 µs on the page's clock.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use wasm_bindgen::prelude::*;
use weirpool_core::adaptive;
use weirpool_core::breaker;
use weirpool_core::error::ConfigError;
use weirpool_core::pool::{Allowance, Config, Lost, Order, Policy, Refusal};
use weirpool_core::rate::Quota;
use weirpool_core::time::Instant;

use crate::pool::{Activity, Cancelled, MAX_WORKERS, SLOTS, SharedPool, WORKER_IDS, WorkerState};
use crate::record::{INLINE_BYTES, Record, Token};
use crate::runner::Marks;
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

/// Makes a pool; without `threads`, the page hands its jobs out. The numbers of `config` are listed
/// in `glue.d.ts`.
#[wasm_bindgen]
pub fn pool_create(config: Vec<f64>) -> Result<u32, JsError> {
    let (config, threads) = read_config(&config)?;
    let number = POOLS
        .iter()
        .position(|pool| pool.load(Ordering::Relaxed).is_null())
        .ok_or_else(|| JsError::new("a page can have at most 64 pools at once"))?;
    let workers = if threads { WORKER_IDS } else { 0 };
    let pool = SharedPool::new(config, workers).map_err(js_error)?;
    POOLS[number].store(Box::into_raw(Box::new(pool)), Ordering::Relaxed);
    Ok(number as u32)
}

fn read_config(config: &[f64]) -> Result<(Config, bool), JsError> {
    let &[
        capacity,
        threads,
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
        horizon,
        count_submit_timeouts,
        retry_on,
        attempts,
        backoff,
        max_backoff,
        retry_panics,
        retry_timeouts,
        budget,
        reserve,
        breaker_per_job,
        target,
        adaptive_window,
        least,
    ] = config
    else {
        return Err(JsError::new("the configuration has another length"));
    };
    // -1 stands for none.
    let some = |number: f64| (number >= 0.0).then_some(number);
    let duration = |us: f64| core::time::Duration::from_micros(us as u64);
    let rate = quota(rate_limit, rate_interval, rate_burst)?;
    let retry = if retry_on != 0.0 {
        let mut policy = Policy::new(attempts as u8, duration(backoff), duration(max_backoff))
            .map_err(js_error)?;
        if retry_panics != 0.0 {
            policy = policy.after_panics();
        }
        if retry_timeouts != 0.0 {
            policy = policy.after_timeouts();
        }
        Some(policy)
    } else {
        None
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
    let per_job = breaker_per_job != 0.0;
    let config = Config {
        capacity: capacity as usize,
        limit: limit as u16,
        // As many as fit, for a pool that is made larger.
        most_running: SLOTS
            .saturating_sub(capacity as usize)
            .max(MAX_WORKERS)
            .max(limit as usize) as u16,
        ageing: some(ageing).map(duration),
        max_in_flight: some(max_in_flight).map(|n| n as u32),
        rate,
        breaker: breaker.filter(|_| !per_job),
        order: some(horizon).map_or(Order::Fifo, |horizon| Order::Deadline {
            horizon: duration(horizon),
        }),
        count_submit_timeouts: count_submit_timeouts != 0.0,
        adaptive: some(target).map(|target| adaptive::Config {
            target: duration(target),
            window: duration(adaptive_window),
            min: least as u16,
        }),
        kind_breaker: breaker.filter(|_| per_job),
        retry,
        retry_budget: Allowance {
            percent: budget as u16,
            reserve: reserve as u16,
        },
    };
    Ok((config, threads != 0.0))
}

/// A rate limit of so many in an interval (µs); a negative limit is none.
fn quota(limit: f64, interval: f64, burst: f64) -> Result<Option<Quota>, JsError> {
    if limit < 0.0 {
        return Ok(None);
    }
    let interval = core::time::Duration::from_micros(interval as u64);
    Quota::new(limit as u32, interval)
        .and_then(|quota| quota.try_with_burst(burst as u32))
        .map(Some)
        .map_err(js_error)
}

fn js_error(error: ConfigError) -> JsError {
    JsError::new(&error.to_string())
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
        (&raw const pool.generation).addr() as u32,
        pool.workers.as_ptr().addr() as u32,
        size_of::<WorkerState>() as u32,
        handlers::all().count() as u32,
        Record::INLINE_OFFSET as u32,
        INLINE_BYTES as u32,
        pool.retries.0.address(),
    ]
}

/// Builds threads, which are not in charge yet.
#[wasm_bindgen]
pub fn threads_build(number: u32, threads: u32) -> Result<(), JsError> {
    let built = pool(number).threads.build(threads);
    built.map_err(|_| JsError::new("the threads could not be made"))
}

/// Lets `workers` more workers in: there is a place for each among the threads that were built last.
#[wasm_bindgen]
pub fn threads_open(number: u32, workers: u32) {
    pool(number).threads.open(workers);
}

/// Takes back what `threads_build` did, if those are not in charge yet, and all places; workers that find none leave.
#[wasm_bindgen]
pub fn threads_discard(number: u32) {
    pool(number).threads.discard();
}

/// Puts `workers` of the threads that were built last in charge; the workers of the others enter those where a place
/// is open, or leave, when their jobs have ended. With `at_rest`, only if none runs a job; false if one does.
#[wasm_bindgen]
pub fn threads_switch(number: u32, workers: u32, at_rest: bool) -> Result<bool, JsError> {
    Ok(pool(number).switch(workers, at_rest)?)
}

/// Lets `workers` of the threads in charge (0 without threads) and at most `limit` jobs run at once.
#[wasm_bindgen]
pub fn pool_resize(number: u32, workers: u32, limit: u32) -> Result<(), JsError> {
    Ok(pool(number).resize(workers, limit)?)
}

/// Wakes as many threads as there is work for.
#[wasm_bindgen]
pub fn wake(number: u32) {
    pool(number).wake_all();
}

/// Lets the workers leave when they have nothing to run.
#[wasm_bindgen]
pub fn pool_stop(number: u32) {
    pool(number).threads.stop();
}

/// Frees a stopped pool. False, and nothing is done, while a worker is still inside.
#[wasm_bindgen]
pub fn pool_free(number: u32) -> bool {
    let outside = |worker: &WorkerState| {
        let activity = worker.activity.load(Ordering::Acquire);
        activity == Activity::Left as u32 || activity == Activity::Never as u32
    };
    if !pool(number).workers.iter().all(outside) {
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
        unsafe { pool.records[token as usize].fields() }.retry_after = clock::micros(retry_after);
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

/// Counts a refusal of a handler's job that the page decided: 0 time-out, 1 abort, 2 input.
#[wasm_bindgen]
pub fn note_refused(number: u32, reason: u32, handler: u32) {
    let pool = pool(number);
    pool.core.note_refused(
        match reason {
            0 => Refusal::Timeout,
            1 => Refusal::Abort,
            _ => Refusal::Input,
        },
        pool.kind(handler),
        clock::instant(clock::now()),
    );
}

/// Counts the end of a handler's job that a reset could not carry over: 0 killed, 1 trapped, 2 another job's
/// trap or kill, 3 cancelled meanwhile.
#[wasm_bindgen]
pub fn note_lost(number: u32, how: u32, handler: u32) {
    let pool = pool(number);
    let now = clock::instant(clock::now());
    pool.core.note_lost(lost(how), pool.kind(handler), now);
}

/// When a job that was lost in the same way is tried again (µs), with its terms, times and attempts in the record of a
/// token that is not submitted; or -1 when it is not, which is counted as by `note_lost`.
#[wasm_bindgen]
pub fn retry_lost(number: u32, token: Token, kind: u32) -> f64 {
    micros_or_never(pool(number).retry_lost(token, lost(kind)))
}

fn lost(kind: u32) -> Lost {
    match kind {
        0 => Lost::Killed,
        1 => Lost::Trapped,
        2 => Lost::Crashed,
        _ => Lost::Cancelled,
    }
}

fn micros_or_never(at: Option<Instant>) -> f64 {
    at.map_or(-1.0, |at| at.as_micros() as f64)
}

/// The news of jobs that are tried again since the last call, oldest first, seven numbers each: token, until when it
/// waits (µs), the attempt that failed (0: it waits now), its outcome, and its error's address, length and the length to
/// `free`, if not 0.
#[wasm_bindgen]
pub fn delayed_jobs(number: u32) -> Vec<f64> {
    let mut numbers = Vec::new();
    for (token, notice) in pool(number).delayed_jobs() {
        let failed = notice.failed.map_or([0; 5], |failed| {
            let output = &failed.output;
            [
                failed.attempt,
                failed.outcome,
                output.address,
                output.length,
                output.capacity,
            ]
        });
        numbers.extend([f64::from(token), notice.at]);
        numbers.extend(failed.map(f64::from));
    }
    numbers
}

/// The rate limit from now on; a negative `limit` is none. `interval` in µs.
#[wasm_bindgen]
pub fn set_quota(number: u32, limit: f64, interval: f64, burst: f64) -> Result<(), JsError> {
    let quota = quota(limit, interval, burst)?;
    pool(number)
        .core
        .set_quota(quota, clock::instant(clock::now()));
    Ok(())
}

/// Most jobs in flight from now on; a negative number is no limit.
#[wasm_bindgen]
pub fn set_max_in_flight(number: u32, most: f64) -> Result<(), JsError> {
    let most = (most >= 0.0).then_some(most as u32);
    pool(number).core.set_max_in_flight(most).map_err(js_error)
}

/// Opens a handler's breaker: the pool's, unless each handler has its own; so with the others here.
#[wasm_bindgen]
pub fn breaker_trip(number: u32, handler: u32) {
    let now = clock::instant(clock::now());
    pool(number).breaker(handler).trip(now);
}

#[wasm_bindgen]
pub fn breaker_reset(number: u32, handler: u32) {
    let now = clock::instant(clock::now());
    pool(number).breaker(handler).reset(now);
}

#[wasm_bindgen]
pub fn breaker_disable(number: u32, handler: u32) {
    let now = clock::instant(clock::now());
    pool(number).breaker(handler).disable(now);
}

/// The state of a handler's breaker, by its number.
#[wasm_bindgen]
pub fn breaker_state(number: u32, handler: u32) -> u32 {
    let now = clock::instant(clock::now());
    pool(number).breaker(handler).state(now) as u32
}

/// Its last changes of state, oldest first, five numbers each: when (µs), from and to which state, the cause, the
/// generation.
#[wasm_bindgen]
pub fn breaker_log(number: u32, handler: u32) -> Vec<f64> {
    let transitions = pool(number)
        .breaker(handler)
        .transitions(clock::instant(clock::now()));
    let numbers = |change: &breaker::Transition| {
        [
            change.at.as_micros() as f64,
            f64::from(change.from as u32),
            f64::from(change.to as u32),
            f64::from(change.cause as u32),
            change.generation.into(),
        ]
    };
    transitions.iter().flat_map(numbers).collect()
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

/// Ends an attempt of a job that was handed out, in the way that the page wrote into its record; `marks` is what its
/// error says about itself. When it is tried again (µs), or -1.
#[wasm_bindgen]
pub fn hand_in(number: u32, token: Token, marks: u32) -> f64 {
    micros_or_never(pool(number).hand_in(token, Marks(marks)))
}

/// The address of the record by which this instance runs built-in jobs for a pool in another memory.
#[wasm_bindgen]
pub fn solo_record() -> u32 {
    ptr::from_ref(&solo::RECORD).addr() as u32
}

/// Runs the job in that record; returns what its error says about itself. `remaining` is the time left to it in µs, after
/// which a `lenient` attempt ends itself, `may_block` whether this thread may sleep; `progress` hears of its progress.
#[wasm_bindgen]
pub fn solo_run(
    remaining: f64,
    attempt: u32,
    lenient: bool,
    may_block: bool,
    progress: Option<js_sys::Function>,
) -> u32 {
    let report = |done: f64, total: f64| {
        if let Some(progress) = &progress {
            // It is ours, and does not throw.
            let _ = progress.call2(&JsValue::NULL, &done.into(), &total.into());
        }
    };
    solo::run(remaining, attempt, lenient, may_block, &report).0
}

/// Frees the output of that job.
#[wasm_bindgen]
pub fn solo_clear() {
    solo::clear();
}

/// Enters the pool as a worker; returns when there is no place for it, or none any more.
#[wasm_bindgen]
pub fn worker_enter(number: u32, worker: u16, origin: f64, javascript: js_sys::Function) {
    let pool = pool(number);
    let state = &pool.workers[usize::from(worker)];
    state.enter();
    threads::enter_worker(worker, origin, javascript);
    while pool.threads.enter() {}
    state.leave();
}
