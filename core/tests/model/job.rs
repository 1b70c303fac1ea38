//! Jobs as the model knows them, and what is counted of them.

use std::time::Duration;

use weirpool_core::pool::{Kind, Phase, Policy, Settled, WorkerId};

use super::time::due;

/// A job as the model knows it.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: u64,
    /// Its turn: least first.
    pub turn: (u64, u64, u64),
    pub submitted: u64,
    pub policy: Option<Policy>,
    pub kind: Option<Kind>,
    /// How many began.
    pub attempts: u32,
    /// Since when it could run.
    pub ready: u64,
    /// Whether a rate token is reserved for it.
    pub token: bool,
    pub run_timeout: Option<Duration>,
    /// When it must have started, and when it must be over; `u64::MAX` for never.
    pub queue_deadline: u64,
    pub total_deadline: u64,
}

impl Job {
    /// When it is due while it waits, and as what.
    pub fn waiting_due(&self) -> (u64, Phase) {
        if self.total_deadline <= self.queue_deadline {
            (due(self.total_deadline), Phase::Total)
        } else {
            (due(self.queue_deadline), Phase::Queue)
        }
    }

    /// Whether its run time-out is left to its handler.
    pub fn is_lenient(&self) -> bool {
        self.policy.is_some_and(|policy| {
            policy.retries_timeouts() && self.attempts < policy.attempts().into()
        })
    }
}

/// A job that waits for a time.
#[derive(Clone, Debug)]
pub struct Delayed {
    pub job: Job,
    pub at: u64,
}

/// A job that runs, as the model knows it.
#[derive(Debug)]
pub struct Run {
    pub job: Job,
    pub worker: WorkerId,
    pub started: u64,
    /// What the pool watches, and as what.
    pub watched: u64,
    pub phase: Phase,
    /// Whether it was cancelled or timed out meanwhile, and by what.
    pub settled: Option<Settled>,
    pub permits: [u64; 2],
}

/// What is counted.
#[derive(Default)]
pub struct Counts {
    pub accepted: u64,
    pub refused: u64,
    pub started: u64,
    pub completed: u64,
    pub failed: u64,
    pub timed_out: u64,
    pub cancelled: u64,
    pub retried: u64,
    pub panicked: u64,
    pub stale: u64,
}
