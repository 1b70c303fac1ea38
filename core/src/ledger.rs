//! Recovery: what of a pool outlives its memory, and how its jobs are carried over.
//!
//! When a memory must be given up (a trap may have left anything in it), its owner makes a new pool with the same
//! [`Config`](crate::pool::Config), copies the old [`Ledger`]'s bytes over the new one's and calls
//! [`Pool::recovered`]. Then, for every job that was accepted and not settled:
//! - one that waited is adopted ([`Pool::adopt`]);
//! - one that ran is lost ([`Pool::note_lost`]), unless it may be tried again ([`Pool::retry_lost`]): then it is
//!   adopted too.
#![forbid(unsafe_code)]

use core::time::Duration;

use crate::{
    breakers::Breakers,
    job::{Carried, Failure, Handle, Kind, Settled, Submit},
    metrics::Metrics,
    pool::Pool,
    rate::RateLimit,
    retry::Budget,
    sync::Apart,
    time::Instant,
};

/// What outlives a pool's memory: counters, breakers, rate limit and retry budget, in words only. (An adaptive limit begins
/// at its maximum again.)
///
/// When a pool's memory must be given up, these bytes may be copied over those of a new pool with the same `Config` and
/// of the same build before anybody else uses it; [`Pool::recovered`] then completes the move.
#[derive(Debug)]
#[repr(C)]
pub struct Ledger<const KINDS: usize = 0> {
    pub(crate) metrics: Metrics,
    pub(crate) breakers: Breakers<KINDS>,
    pub(crate) rate: Apart<RateLimit>,
    pub(crate) budget: Budget,
}

/// A job that was lost with its worker and will never finish; see [`Pool::note_lost`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Lost {
    /// It ran too long and was killed: a failure, also for the breakers.
    Killed,
    /// It brought its worker down: a failure and a panic, also for the breakers.
    Trapped,
    /// Another job brought its worker down: a failure, but nothing for the breakers.
    Crashed,
    /// It was cancelled, or could not be carried over, while there was no pool.
    Cancelled,
}

impl<T, const SLOTS: usize, const KINDS: usize> Pool<T, SLOTS, KINDS> {
    /// Takes in a job that another pool had accepted, when that pool's memory was lost: it passes no gate but the
    /// capacity, is not counted again, and keeps its age. To keep their turns, adopt jobs in the order in which they
    /// were submitted, and before anything new is submitted.
    ///
    /// # Errors
    /// The job, if as many as the capacity wait. (In the lost pool there may have been more, by retries.)
    pub fn adopt(
        &self,
        job: T,
        options: Submit,
        carried: Carried,
        now: Instant,
    ) -> Result<Handle, T> {
        match self.gate.readmit(self.capacity) {
            Ok(()) => Ok(self.enqueue(job, options, carried, now)),
            Err(_) => Err(job),
        }
    }

    /// Counts the end of a job of this kind that was accepted by a pool whose memory was lost, and that is not adopted.
    pub fn note_lost(&self, lost: Lost, kind: Option<Kind>, now: Instant) {
        let metrics = &self.ledger.metrics;
        self.blame(lost, kind, now);
        let failure = match lost {
            Lost::Killed => Failure::Error,
            Lost::Trapped => Failure::Panic,
            Lost::Crashed => {
                metrics.worker_crashed();
                Failure::Ignored
            }
            Lost::Cancelled => return metrics.settled(&Settled::Cancelled),
        };
        metrics.settled(&Settled::Failed(failure));
    }

    /// Whether a job that was running when its pool's memory was lost is tried again: with what to
    /// [`adopt`](Self::adopt) it then. `carried` counts the attempt that was lost.
    ///
    /// A crash that another job caused is retried wherever retries are on; a trap of its own as a panic, and a kill as a
    /// run time-out. `None`: [`note_lost`](Self::note_lost) its end.
    pub fn retry_lost(
        &self,
        lost: Lost,
        options: Submit,
        carried: Carried,
        now: Instant,
    ) -> Option<Carried> {
        let policy = self.policy(options.retry)?;
        let again = match lost {
            Lost::Killed => policy.retries_timeouts(),
            Lost::Trapped => policy.retries_panics(),
            Lost::Crashed => true,
            Lost::Cancelled => false,
        };
        if !again {
            return None;
        }
        let total_deadline = carried
            .submitted
            .saturating_add(options.total_timeout.unwrap_or(Duration::MAX));
        let seed = carried.submitted.as_micros();
        let at = self.next_attempt(policy, carried.attempts, total_deadline, seed, now)?;
        self.blame(lost, options.kind, now);
        self.ledger.metrics.retried();
        Some(Carried {
            not_before: at,
            ..carried
        })
    }

    /// Tells the breakers of a lost job that failed by itself.
    fn blame(&self, lost: Lost, kind: Option<Kind>, now: Instant) {
        if matches!(lost, Lost::Killed | Lost::Trapped) {
            self.ledger.breakers.record_failure(kind, now);
        }
    }

    /// Completes the move of a [`Ledger`]'s bytes into this pool, which must still be empty.
    pub fn recovered(&self) {
        self.ledger.metrics.reset();
    }

    /// What outlives the pool's memory.
    pub fn ledger(&self) -> &Ledger<KINDS> {
        &self.ledger
    }
}
