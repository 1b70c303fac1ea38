//! The runner: the rayon task that takes jobs and runs them until there is none.
//!
//! One task a running permit, not one a job: an idle worker sleeps in rayon, the limit moves while
//! running, and a job's own `par_iter` finds the pool's other threads.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use js_sys::JSON;
use wasm_bindgen::JsValue;
use weirpool_core::pool::{Outcome, Running, Take, WorkerId};

use crate::context::{Context, JobError};
use crate::handlers;
use crate::pool::{Activity, SharedPool, WorkerState};
use crate::record::{OutcomeCode, Record, Token};
use crate::value::{Kind, Value};
use crate::{clock, panic, threads};

/// Runs jobs until the pool has none.
pub fn run(pool: &'static SharedPool) {
    if IN_JOB.get() {
        // A job of this thread waits for rayon tasks of its own and got this one instead. Running
        // other jobs inside it would delay it without bound; its runner goes on when it is done.
        pool.runners.0.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let worker = threads::worker();
    let state = &pool.workers[usize::from(worker)];
    state.set_activity(Activity::Busy);
    let mut now = clock::now();
    // A memory that the page has given up settles nothing any more.
    while pool.halt.load(Ordering::Relaxed) == 0 {
        match pool.core.take(WorkerId(worker), clock::instant(now)) {
            Take::Job(running) => match run_job(pool, state, running, now) {
                Some(end) => now = end,
                None => return,
            },
            Take::Settled(completion) => pool.settle(completion),
            Take::Delayed { .. } => {}
            Take::Stale(token) => pool.release(token),
            Take::Empty { .. } => {
                state.set_activity(Activity::Idle);
                // The other half of `SharedPool::wake`.
                pool.runners.0.fetch_sub(1, Ordering::Relaxed);
                if !pool.enlist() {
                    return;
                }
                state.set_activity(Activity::Busy);
                now = clock::now();
            }
        }
    }
}

thread_local! {
    static IN_JOB: Cell<bool> = const { Cell::new(false) };
}

/// Runs one job; returns the time at its end, or `None` when the page has carried the job over to
/// another memory.
fn run_job(
    pool: &SharedPool,
    state: &WorkerState,
    running: Running<Token>,
    now: f64,
) -> Option<f64> {
    let token = *running.job();
    let record = &pool.records[token as usize];
    if !record.start() {
        return None;
    }
    state.begin(token, now);
    let deadline = running
        .deadline()
        .map_or(f64::INFINITY, |at| at.as_micros() as f64);
    // SAFETY: the token was taken from the queue: it is ours until it is given back.
    unsafe { record.begin(&running, now) };
    let context = Context {
        cancelled: &|| record.is_cancelled() || pool.halt.load(Ordering::Relaxed) != 0,
        now: clock::now,
        deadline,
        attempt: running.attempt(),
        may_block: true,
    };
    IN_JOB.set(true);
    let outcome = execute(record, token, &context);
    IN_JOB.set(false);
    let end = clock::now();
    state.end();
    pool.finish(running, outcome, clock::instant(end));
    Some(end)
}

/// Runs the job's handler and writes what came of it into the record, whose token is the caller's.
pub fn execute(record: &Record, token: Token, context: &Context<'_>) -> Outcome {
    // SAFETY: the token is ours, and no other borrow of the fields is alive.
    let number = unsafe { record.fields() }.handler as usize;
    let Some(handler) = handlers::get(number) else {
        return match threads::call_javascript(number as u32, token) {
            Ok(0) => Outcome::Success,
            Ok(_) => Outcome::Failure,
            Err(message) => fail(record, OutcomeCode::Error, ("name", "Error"), message),
        };
    };
    // SAFETY: the token is ours until it is given back, which is after this borrow.
    let input = unsafe { record.input() };
    match panic::catch(|| handler(&input, context)) {
        Ok(Ok(output)) => {
            // SAFETY: the token is ours, and no borrow of the fields is alive.
            unsafe { record.set_output(output) };
            Outcome::Success
        }
        Ok(Err(JobError::Failed { name, message })) => {
            fail(record, OutcomeCode::Error, ("name", name), &message)
        }
        Ok(Err(JobError::BadInput(message))) => {
            fail(record, OutcomeCode::BadInput, ("name", "Error"), &message);
            // The caller's mistake says nothing about the handler's health.
            Outcome::Ignored
        }
        Err(panic) => {
            let location = ("location", &*panic.location);
            fail(record, OutcomeCode::Panic, location, &panic.message);
            Outcome::Panic
        }
    }
}

/// Writes an error into the record as the page reads it: a JSON object of its message and one more field.
fn fail(record: &Record, code: OutcomeCode, (field, text): (&str, &str), message: &str) -> Outcome {
    let (text, message) = (quoted(text), quoted(message));
    let json = format!(r#"{{"{field}":{text},"message":{message}}}"#);
    // SAFETY: the token is ours, and no borrow of the fields is alive.
    unsafe {
        record.set_output(Value {
            kind: Kind::Json,
            bytes: json.into_bytes().into(),
        });
        record.fields().outcome = code as u32;
    }
    Outcome::Failure
}

/// A string as JSON. The host has the code for it.
fn quoted(text: &str) -> String {
    JSON::stringify(&JsValue::from_str(text)).map_or_else(|_| "null".to_owned(), String::from)
}
