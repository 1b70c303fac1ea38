//! What happened so far, as far as those know who use the pool, and what must not happen.

use std::collections::HashMap;

use weirpool_core::{
    pool::{Completion, Handle, Priority, Settled},
    time::Instant,
};

use crate::setup::BREAKERS;

/// With 32-bit words stamps are milliseconds.
pub const STAMP_MICROS: u64 = if cfg!(weirpool_narrow) { 1000 } else { 1 };

/// What happened so far, as far as contexts know: each writes in the same step in which its operation returned.
#[derive(Default)]
pub struct Ledger {
    /// Numbers the beginnings and ends of operations.
    pub ticks: u64,
    /// The time on which the clocks of all contexts are based.
    pub time: u64,
    /// The latest time that a submission was given.
    pub latest: u64,
    pub jobs: Vec<Job>,
    pub suspects: Vec<Suspect>,
    pub settled: HashMap<Handle, Settled>,
    /// Who first delayed a job whose submitter has not heard of its handle yet.
    pub delayed_early: HashMap<Handle, Span>,
    pub contexts: Vec<Doing>,
    /// What a level is worth, in stamps.
    pub ageing: Option<u64>,
    /// For how long a job is put off for others' deadlines, in stamps; `None` is first in, first out.
    pub horizon: Option<u64>,
    /// The highest limits that were set.
    pub limit: u16,
    pub max_in_flight: Option<u32>,
    /// How many probes of each breaker may be out at once.
    pub probes: [usize; BREAKERS],
    pub refused: u64,
    pub started: u64,
    pub retried: u64,
    pub stale: u64,
    pub completed: u64,
    pub failed: u64,
    pub timed_out: u64,
    pub cancelled: u64,
}

/// A submission.
#[derive(Clone, Debug)]
pub struct Job {
    pub priority: Priority,
    pub at: u64,
    /// When its time-out is due while it waits, and once it has been tried; `u64::MAX` for never.
    pub due: u64,
    pub total_due: u64,
    /// How many attempts began.
    pub attempts: u32,
    pub submitted: Span,
    pub handle: Option<Handle>,
    /// No stamp that was given before its submission returned is above this.
    pub ceiling: u64,
    /// The operation that first took it out of the queue.
    pub removed: Option<Span>,
}

/// A job that was passed over, if it waited all the time while an operation went on.
pub struct Suspect {
    pub job: usize,
    pub during: Span,
    pub but: String,
}

/// When an operation began and ended, in ticks.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub begin: u64,
    pub end: u64,
}

/// What a context is about.
#[derive(Clone, Copy, Default, Debug)]
pub struct Doing {
    /// The operation it is in.
    pub inside: Option<Operation>,
    /// The job it runs.
    pub runs: Option<Handle>,
    /// The half-open generation of each breaker that its job's permits are of, where it was seen.
    pub probes: [Option<u32>; BREAKERS],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    Submit,
    Take,
    Finish,
    Cancel,
    Poll,
    Abort,
    /// One that touches no job.
    Other,
}

impl Job {
    pub fn steps_below_top(&self) -> u64 {
        3 - self.priority as u64
    }
}

impl Ledger {
    pub fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    pub fn busy(&self, which: impl Fn(Operation) -> bool) -> usize {
        let is = |doing: &&Doing| doing.inside.is_some_and(&which);
        self.contexts.iter().filter(is).count()
    }

    pub fn settle(&mut self, handle: Handle, result: Settled) {
        let before = self.settled.insert(handle, result);
        assert_eq!(before, None, "{handle:?} is settled again, as {result:?}");
        *match result {
            Settled::Completed => &mut self.completed,
            Settled::Failed(_) => &mut self.failed,
            Settled::TimedOut(_) => &mut self.timed_out,
            Settled::Cancelled => &mut self.cancelled,
        } += 1;
    }

    /// A job left the queue, perhaps not for the first time. Its handle is one and the same wherever it is seen.
    pub fn remove(&mut self, job: u64, handle: Handle, span: Span, by_order: bool) {
        let job = &mut self.jobs[job as usize];
        assert!(
            job.handle.is_none_or(|known| known == handle),
            "{job:?} as {handle:?}"
        );
        // Of one that was delayed and taken by somebody else the latter may know first.
        let first = job.removed.filter(|removed| removed.begin < span.begin);
        job.removed = Some(first.unwrap_or(span));
        if by_order {
            // Law 7, by the documentation of `Config::ageing`.
            let (job, ageing, horizon) = (job.clone(), self.ageing, self.horizon);
            self.suspect(span, |other| {
                let after = other.submitted.end < job.submitted.begin;
                let steps = (job.steps_below_top(), other.steps_below_top());
                let latest = other.ceiling + horizon.unwrap_or(0);
                let too_much = match ageing {
                    None => {
                        steps.0 > steps.1 || steps.0 == steps.1 && job.at / STAMP_MICROS > latest
                    }
                    Some(ageing) => {
                        job.at / STAMP_MICROS + steps.0 * ageing > latest + steps.1 * ageing
                    }
                };
                let first_out = horizon.is_none() && after && steps.0 >= steps.1;
                (too_much || first_out).then(|| format!("was overtaken by {job:?}"))
            });
        }
    }

    /// Nothing was due at this time, and nothing will be before the next.
    pub fn remind(&mut self, span: Span, now: Option<Instant>, next: Option<Instant>) {
        let next = next.map_or(u64::MAX, Instant::as_micros);
        self.suspect(span, |other| {
            let missed = now.is_some_and(|now| other.due <= now.as_micros()) || other.due < next;
            (other.due != u64::MAX && missed)
                .then(|| format!("{now:?} the next is said to be {next}"))
        });
    }

    /// Notes those who may have waited during an operation and were passed over.
    pub fn suspect(&mut self, during: Span, why: impl Fn(&Job) -> Option<String>) {
        for (job, other) in self.jobs.iter().enumerate() {
            if other.removed.is_none()
                && other.submitted.end < during.begin
                && let Some(but) = why(other)
            {
                self.suspects.push(Suspect { job, during, but });
            }
        }
    }

    /// An attempt of a job begins: each does so once.
    pub fn start(&mut self, job: u64, handle: Handle, attempt: u32, span: Span) {
        self.remove(job, handle, span, true);
        let job = &mut self.jobs[job as usize];
        assert_eq!(attempt, job.attempts + 1, "{job:?}");
        job.attempts = attempt;
        job.due = job.total_due;
        self.started += 1;
    }

    pub fn remove_settled(&mut self, done: Completion<u64>, span: Span, by_order: bool) {
        assert_eq!(done.attempt, self.jobs[done.job as usize].attempts);
        self.remove(done.job, done.handle, span, by_order);
        self.settle(done.handle, done.result);
    }

    /// Running jobs are within the highest limit so far, and probes within those of their generation.
    pub fn check_limits(&self) {
        // Of one that is finishing, the permit may be back.
        let runs = self
            .contexts
            .iter()
            .filter(|doing| doing.runs.is_some() && doing.inside != Some(Operation::Finish));
        assert!(runs.count() <= usize::from(self.limit), "above the limit");
        for (breaker, &most) in self.probes.iter().enumerate() {
            let probes = self
                .contexts
                .iter()
                .filter_map(|doing| doing.probes[breaker]);
            for generation in probes.clone() {
                let at_once = probes.clone().filter(|&other| other == generation).count();
                assert!(at_once <= most, "{at_once} probes at once");
            }
        }
    }
}
