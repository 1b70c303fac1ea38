//! The runner: the rayon task that takes jobs and runs them until there is none.
//!
//! One task a running permit, not one a job: an idle worker sleeps in rayon, the limit moves while
//! running, and a job's own `par_iter` finds the pool's other threads.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use js_sys::JSON;
use wasm_bindgen::JsValue;
use weirpool_core::pool::{Outcome, Running, Take, WorkerId};

use crate::context::{Context, JobError};
use crate::handlers;
use crate::pool::{Activity, SharedPool, WorkerState};
use crate::record::{OutcomeCode, Record, Token};
use crate::threads::Team;
use crate::value::{Kind, Value};
use crate::{chunk, clock, panic, threads};

/// Runs jobs on one of the threads of `team` until the pool has none, or until newer threads than those of `generation`
/// do.
pub fn run(pool: &'static SharedPool, team: &Arc<Team>, generation: u32) {
    if IN_JOB.get() {
        // A job of this thread waits for rayon tasks of its own and got this one instead. Running
        // other jobs inside it would delay it without bound; its runner goes on when it is done.
        pool.runners.0.leave(generation);
        return;
    }
    let worker = threads::worker();
    let state = &pool.workers[usize::from(worker)];
    state.set_activity(Activity::Busy);
    let mut now = clock::now();
    // A memory that the page has given up settles nothing any more. What else is queued when a newer generation begins
    // is for that one: the page wakes it then, and at each end of a job that still ran here.
    while pool.generation.load(Ordering::Relaxed) == generation {
        match pool.core.take(WorkerId(worker), clock::instant(now)) {
            Take::Job(running) => {
                // The limit may have risen at the end of the last job, with nobody else to see it. (Only the page calls
                // `wake`.)
                if pool.adapts && pool.enlist(generation) {
                    team.spawn(move |team| run(pool, team, generation));
                }
                match run_job(pool, state, running, now) {
                    Some(end) => now = end,
                    None => return,
                }
            }
            Take::Settled(completion) => pool.settle(completion),
            Take::Delayed { handle, at } => pool.delayed(handle, at),
            Take::Stale(token) => pool.release(token),
            Take::Empty { .. } => {
                state.set_activity(Activity::Idle);
                // The other half of `SharedPool::wake`.
                pool.runners.0.leave(generation);
                if !pool.enlist(generation) {
                    return;
                }
                state.set_activity(Activity::Busy);
                now = clock::now();
            }
        }
    }
    state.set_activity(Activity::Idle);
}

thread_local! {
    static IN_JOB: Cell<bool> = const { Cell::new(false) };
}

/// Runs one job; returns the time at its end, or `None` when the page has given this memory up, and takes care of the job
/// itself.
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
    let deadline = running
        .deadline()
        .map_or(f64::INFINITY, |at| at.as_micros() as f64);
    let attempt = running.attempt();
    // SAFETY: the token was taken from the queue: it is ours until it is given back.
    let lenient = unsafe {
        record.begin(&running, now);
        record.fields().terms.is_lenient(attempt)
    };
    // After the record, where the page looks up when the time of the job that it sees here is up.
    state.begin(token, now);
    let job = state.done.load(Ordering::Relaxed);
    let context = Context {
        cancelled: &|| {
            record.is_cancelled() || pool.is_halted() || (lenient && clock::now() >= deadline)
        },
        progress: &|done, total| state.progress.report(job, done, total),
        now: clock::now,
        deadline,
        attempt,
        may_block: true,
    };
    IN_JOB.set(true);
    let outcome = execute(record, token, &context);
    IN_JOB.set(false);
    if pool.is_halted() {
        // It may have stopped for that alone: the page tells the job what has become of it.
        return None;
    }
    let end = clock::now();
    state.end();
    pool.finish(running, outcome, clock::instant(end));
    Some(end)
}

/// Runs the job's handler and writes what came of it into the record, whose token is the caller's.
pub fn execute(record: &Record, token: Token, context: &Context<'_>) -> Outcome {
    // SAFETY: the token is ours, and no other borrow of the fields is alive.
    let fields = unsafe { record.fields() };
    let (number, is_chunk) = (fields.handler as usize, fields.kind == chunk::KIND);
    let Some(handler) = handlers::get(number) else {
        return match threads::call_javascript(number as u32, token) {
            Ok(0) => Outcome::Success,
            Ok(failed) => Marks(failed - 1).outcome(),
            Err(message) => fail(record, OutcomeCode::Error, ("name", "Error"), message),
        };
    };
    // SAFETY: the token is ours until it is given back, which is after this borrow.
    let input = unsafe { record.input() };
    let run = || {
        if is_chunk {
            chunk::each(&input.bytes, |value| handler(value, context))
        } else {
            handler(&input, context)
        }
    };
    match panic::catch(run) {
        Ok(Ok(output)) => {
            // SAFETY: the token is ours, and no borrow of the fields is alive.
            unsafe {
                record.set_output(output);
                if is_chunk {
                    record.fields().output_kind = chunk::KIND;
                }
            }
            Outcome::Success
        }
        Ok(Err(JobError::Failed {
            name,
            message,
            permanent,
            ignored,
        })) => {
            fail(record, OutcomeCode::Error, ("name", name), &message);
            Marks::new(permanent, ignored).outcome()
        }
        Ok(Err(JobError::BadInput(message))) => {
            fail(record, OutcomeCode::BadInput, ("name", "Error"), &message);
            // The caller's mistake says nothing about the handler's health.
            Outcome::Permanent { ignored: true }
        }
        Err(panic) => {
            let location = ("location", &*panic.location);
            fail(record, OutcomeCode::Panic, location, &panic.message);
            Outcome::Panic
        }
    }
}

/// What a handler's error says about itself: 1 that another attempt would only repeat it, 2 that the breaker is not to
/// count it. `wasm/ts/retry.ts` writes the same.
#[derive(Clone, Copy)]
pub struct Marks(pub u32);

impl Marks {
    pub const fn new(permanent: bool, ignored: bool) -> Self {
        Self(permanent as u32 | (ignored as u32) << 1)
    }

    pub const fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ignored => Self::new(false, true),
            Outcome::Permanent { ignored } => Self::new(true, ignored),
            _ => Self::new(false, false),
        }
    }

    pub const fn outcome(self) -> Outcome {
        let ignored = self.0 & 2 != 0;
        match self.0 & 1 {
            1 => Outcome::Permanent { ignored },
            _ if ignored => Outcome::Ignored,
            _ => Outcome::Failure,
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
