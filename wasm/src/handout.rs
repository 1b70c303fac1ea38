//! Handing jobs out: the page takes them for workers that do not share this memory, and hands in how they ended.

use std::sync::Mutex;

use weirpool_core::pool::{Finish, Outcome, Running, Take, WorkerId};
use weirpool_core::time::Instant;

use crate::clock;
use crate::pool::SharedPool;
use crate::record::{Fields, OutcomeCode, Phase, Token};
use crate::runner::Marks;

/// The jobs that are handed out.
pub struct HandedOut {
    /// In no order: there are as many as workers, or a few times that. Used by the page's thread alone; the mutex is
    /// never contended.
    jobs: Mutex<Vec<Running<Token>>>,
}

impl HandedOut {
    pub const fn new() -> Self {
        Self {
            jobs: Mutex::new(Vec::new()),
        }
    }

    fn push(&self, job: Running<Token>) {
        self.jobs
            .try_lock()
            .expect("only the page gets here")
            .push(job);
    }

    fn remove(&self, token: Token) -> Option<Running<Token>> {
        let mut jobs = self.jobs.try_lock().expect("only the page gets here");
        let at = jobs.iter().position(|job| *job.job() == token)?;
        Some(jobs.swap_remove(at))
    }
}

impl SharedPool {
    /// Takes the next job for `worker`. What is settled instead of run goes on the completions list.
    pub fn hand_out(&self, worker: u16) -> Option<Token> {
        let now = clock::now();
        loop {
            match self.core.take(WorkerId(worker), clock::instant(now)) {
                Take::Job(running) => {
                    let token = *running.job();
                    let record = &self.records[token as usize];
                    record.set_phase(Phase::Running);
                    // SAFETY: the token was taken from the queue by the page's thread, which keeps it.
                    unsafe { record.begin(&running, now) };
                    self.handed_out.push(running);
                    return Some(token);
                }
                Take::Settled(completion) => self.settle(completion),
                Take::Delayed { handle, at } => self.delayed(handle, at),
                Take::Stale(token) => self.release(token),
                Take::Empty { .. } => return None,
            }
        }
    }

    /// Ends an attempt of a job that was handed out, by the outcome that the page wrote into its record. When it is to
    /// be tried again, if at all; else the token is the page's.
    pub fn hand_in(&self, token: Token, marks: Marks) -> Option<Instant> {
        let running = self.handed_out.remove(token)?;
        let record = &self.records[token as usize];
        // SAFETY: this is the page's thread, and the token never left it.
        let outcome = outcome(unsafe { record.fields() }, marks);
        // Nobody else looks at it meanwhile.
        record.set_phase(Phase::Done);
        let now = clock::instant(clock::now());
        match self.end(running, outcome, now, &mut |_| ()) {
            Finish::Settled(completion) => self.note_end(&completion),
            // Settled before; the page knows.
            Finish::Stale(_) => {}
            Finish::Retry { at } => {
                record.set_phase(Phase::Queued);
                return Some(at);
            }
        }
        None
    }
}

/// What the core makes of an attempt's end.
fn outcome(fields: &Fields, marks: Marks) -> Outcome {
    const COMPLETED: u32 = OutcomeCode::Completed as u32;
    const PANIC: u32 = OutcomeCode::Panic as u32;
    const TRAPPED: u32 = OutcomeCode::Trapped as u32;
    const BAD_INPUT: u32 = OutcomeCode::BadInput as u32;
    const BAD_OUTPUT: u32 = OutcomeCode::BadOutput as u32;
    const KILLED: u32 = OutcomeCode::Killed as u32;
    const CRASHED: u32 = OutcomeCode::Crashed as u32;
    match fields.outcome {
        COMPLETED => Outcome::Success,
        PANIC | TRAPPED => Outcome::Panic,
        // Neither says anything about the handler's health.
        BAD_INPUT => Outcome::Permanent { ignored: true },
        CRASHED => Outcome::Ignored,
        BAD_OUTPUT => Outcome::Permanent { ignored: false },
        // A kill is to retries what a run time-out is.
        KILLED if !fields.terms.retries_timeouts() => Outcome::Permanent { ignored: false },
        _ => marks.outcome(),
    }
}
