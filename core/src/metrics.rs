//! What a pool counts.
//!
//! ```
//! use core::time::Duration;
//! use weirpool_core::metrics::Metrics;
//! use weirpool_core::pool::{Refusal, Settled};
//!
//! static METRICS: Metrics = Metrics::new();
//! METRICS.accepted();
//! METRICS.refused(Refusal::Full);
//! METRICS.started(Duration::from_micros(20));
//! METRICS.settled(&Settled::Completed);
//! METRICS.ran(Duration::from_micros(300));
//! METRICS.took(Duration::from_micros(320));
//!
//! let seen = METRICS.snapshot();
//! assert_eq!((seen.submitted, seen.accepted, seen.refused_full, seen.completed), (2, 1, 1, 1));
//! assert_eq!((seen.wait.max, seen.run.max, seen.total.max), (20, 300, 320));
//! ```
//!
//! Every counter is one relaxed addition. Counters are 64 bits; with 32-bit words they are 32 and wrap.
#![forbid(unsafe_code)]

use core::time::Duration;

use crate::{
    histogram::{Histogram, Summary},
    pool::{Failure, Refusal, Settled},
    sync::{Apart, AtomicWord, Ordering, const_fn},
    time::micros,
};

/// Counters and histograms of a pool, grouped by who writes them: with wide words the groups are on cache lines of their
/// own, so that submitters and workers do not contend for them.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Metrics {
    submission: Submission,
    execution: Execution,
    wait: Apart<Histogram>,
    run: Apart<Histogram>,
    total: Apart<Histogram>,
}

impl Metrics {
    const_fn! {
        /// All zero.
        pub const fn new() -> Self {
            Self {
                submission: Submission::new(),
                execution: Execution::new(),
                wait: Apart(Histogram::new()),
                run: Apart(Histogram::new()),
                total: Apart(Histogram::new()),
            }
        }
    }

    /// Counts a job that was accepted.
    #[inline]
    pub fn accepted(&self) {
        self.submission.accepted.add();
    }

    /// Counts a job that was refused.
    pub fn refused(&self, refusal: Refusal) {
        let submission = &self.submission;
        match refusal {
            Refusal::Full => &submission.refused_full,
            Refusal::Rate => &submission.refused_rate,
            Refusal::Breaker => &submission.refused_breaker,
            Refusal::InFlight => &submission.refused_in_flight,
            Refusal::Closed => &submission.refused_closed,
            Refusal::Timeout => &submission.refused_timeout,
            Refusal::Abort => &submission.refused_abort,
            Refusal::Input => &submission.refused_input,
        }
        .add();
    }

    /// Counts an attempt that a worker began, and how long the job had waited for it.
    #[inline]
    pub fn started(&self, wait: Duration) {
        self.execution.started.add();
        self.wait.record(micros(wait));
    }

    /// Counts a job that settled.
    #[inline]
    pub fn settled(&self, result: &Settled) {
        let execution = &self.execution;
        match result {
            Settled::Completed => &execution.completed,
            Settled::Failed(failure) => {
                if *failure == Failure::Panic {
                    execution.panicked.add();
                }
                &execution.failed
            }
            Settled::TimedOut(_) => &execution.timed_out,
            Settled::Cancelled => &execution.cancelled,
        }
        .add();
    }

    /// Records how long an attempt ran.
    #[inline]
    pub fn ran(&self, run: Duration) {
        self.run.record(micros(run));
    }

    /// Records how long a job that ran took from its submission to its settlement.
    #[inline]
    pub fn took(&self, total: Duration) {
        self.total.record(micros(total));
    }

    /// Counts a failed attempt that is followed by another.
    pub fn retried(&self) {
        self.execution.retried.add();
    }

    /// Counts a result that came after its job had settled.
    pub fn stale(&self) {
        self.execution.stale.add();
    }

    /// Counts a job that was lost because another one took its worker down.
    pub fn worker_crashed(&self) {
        self.execution.worker_crashes.add();
    }

    /// Counts a move to a fresh memory.
    pub fn reset(&self) {
        self.execution.resets.add();
    }

    /// Everything, read one after the other: exact when nobody else is at work. The gauges, which are the pool's, are 0.
    pub fn snapshot(&self) -> Snapshot {
        let Self {
            submission,
            execution,
            wait,
            run,
            total,
        } = self;
        let mut snapshot = Snapshot {
            submitted: 0,
            accepted: submission.accepted.get(),
            refused_full: submission.refused_full.get(),
            refused_rate: submission.refused_rate.get(),
            refused_breaker: submission.refused_breaker.get(),
            refused_in_flight: submission.refused_in_flight.get(),
            refused_closed: submission.refused_closed.get(),
            refused_timeout: submission.refused_timeout.get(),
            refused_abort: submission.refused_abort.get(),
            refused_input: submission.refused_input.get(),
            started: execution.started.get(),
            completed: execution.completed.get(),
            failed: execution.failed.get(),
            timed_out: execution.timed_out.get(),
            cancelled: execution.cancelled.get(),
            retried: execution.retried.get(),
            panicked: execution.panicked.get(),
            stale: execution.stale.get(),
            worker_crashes: execution.worker_crashes.get(),
            resets: execution.resets.get(),
            queued: 0,
            running: 0,
            delayed: 0,
            abandoned: 0,
            active_workers: 0,
            limit: 0,
            capacity: 0,
            utilization: 0,
            wait: wait.snapshot().summary(),
            run: run.snapshot().summary(),
            total: total.snapshot().summary(),
        };
        snapshot.submitted = snapshot.accepted + snapshot.refused();
        snapshot
    }
}

/// What a pool counted up to one time. Plain data; times in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Snapshot {
    /// Jobs that were accepted or refused.
    pub submitted: u64,
    /// Jobs that were accepted.
    pub accepted: u64,
    /// Refused because the queue was full.
    pub refused_full: u64,
    /// Refused by the rate limit.
    pub refused_rate: u64,
    /// Refused by the circuit breaker.
    pub refused_breaker: u64,
    /// Refused because too many jobs were in flight.
    pub refused_in_flight: u64,
    /// Refused because the pool was closed.
    pub refused_closed: u64,
    /// Given up after waiting for room for too long.
    pub refused_timeout: u64,
    /// Aborted while waiting for room.
    pub refused_abort: u64,
    /// Refused for their input or kind.
    pub refused_input: u64,
    /// Attempts that began.
    pub started: u64,
    /// Jobs whose handler returned a result.
    pub completed: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs whose time-out passed.
    pub timed_out: u64,
    /// Jobs that were cancelled.
    pub cancelled: u64,
    /// Failed attempts that were followed by another.
    pub retried: u64,
    /// Jobs that failed by a panic; they are in `failed` too.
    pub panicked: u64,
    /// Results that came after their job had settled.
    pub stale: u64,
    /// Jobs that were lost because another one took their worker down; they are in `failed` too.
    pub worker_crashes: u64,
    /// Moves to a fresh memory.
    pub resets: u64,
    /// Gauge: jobs that wait in line.
    pub queued: u32,
    /// Gauge: jobs that wait for their next attempt's time.
    pub delayed: u32,
    /// Gauge: jobs that run and are not settled.
    pub running: u32,
    /// Gauge: jobs that are settled and whose handlers still run.
    pub abandoned: u32,
    /// Gauge: permits that are out, for jobs that run and abandoned ones.
    pub active_workers: u32,
    /// Gauge: most jobs that run at once.
    pub limit: u32,
    /// Gauge: most jobs that wait.
    pub capacity: u32,
    /// Gauge: `active_workers ÷ limit` in millionths; above a million while a lowered limit is not reached yet.
    pub utilization: u32,
    /// Of every attempt, from when it could begin (the submission or the end of the backoff) to its start.
    pub wait: Summary,
    /// Of every attempt, from its start to its end or its deadline; those of jobs that were cancelled are left out.
    pub run: Summary,
    /// Of every job that an attempt's end or deadline settled, from its submission until then.
    pub total: Summary,
}

impl Snapshot {
    /// Jobs that were refused, for whatever reason.
    pub const fn refused(&self) -> u64 {
        self.refused_full
            + self.refused_rate
            + self.refused_breaker
            + self.refused_in_flight
            + self.refused_closed
            + self.refused_timeout
            + self.refused_abort
            + self.refused_input
    }

    /// Jobs that were accepted and are settled.
    pub const fn settled(&self) -> u64 {
        self.completed + self.failed + self.timed_out + self.cancelled
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
#[repr(transparent)]
struct Counter(AtomicWord);

impl Counter {
    const_fn! {
        const fn new() -> Self {
            Self(AtomicWord::new(0))
        }
    }

    #[inline(always)]
    fn add(&self) {
        // Relaxed: a counter tells nothing about any other memory.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        #[allow(clippy::useless_conversion, reason = "a word may be 32 bits")]
        self.0.load(Ordering::Relaxed).into()
    }
}

/// A group of counters that the same contexts write.
macro_rules! counters {
    ($(#[$meta:meta])* struct $group:ident { $($counter:ident,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        #[cfg_attr(all(target_has_atomic = "64", not(weirpool_narrow)), repr(C, align(64)))]
        #[cfg_attr(not(all(target_has_atomic = "64", not(weirpool_narrow))), repr(C))]
        struct $group {
            $($counter: Counter,)*
        }

        impl $group {
            const_fn! {
                const fn new() -> Self {
                    Self { $($counter: Counter::new(),)* }
                }
            }
        }
    };
}

counters! {
    /// Written by who submits.
    struct Submission {
        accepted,
        refused_full,
        refused_rate,
        refused_breaker,
        refused_in_flight,
        refused_closed,
        refused_timeout,
        refused_abort,
        refused_input,
    }
}

counters! {
    /// Written by workers, and by who polls and cancels.
    struct Execution {
        started,
        completed,
        failed,
        timed_out,
        cancelled,
        retried,
        panicked,
        stale,
        worker_crashes,
        resets,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_counter() {
        let metrics = Metrics::new();
        let all = [
            Refusal::Full,
            Refusal::Rate,
            Refusal::Breaker,
            Refusal::InFlight,
            Refusal::Closed,
            Refusal::Timeout,
            Refusal::Abort,
            Refusal::Input,
        ];
        for (times, refusal) in (1..).zip(all) {
            for _ in 0..times {
                metrics.refused(refusal);
            }
        }
        let seen = metrics.snapshot();
        let counts = [
            seen.refused_full,
            seen.refused_rate,
            seen.refused_breaker,
            seen.refused_in_flight,
            seen.refused_closed,
            seen.refused_timeout,
            seen.refused_abort,
            seen.refused_input,
        ];
        assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!((seen.refused(), seen.submitted), (36, 36));
    }

    #[test]
    fn a_panic_is_a_failure_too() {
        let metrics = Metrics::new();
        metrics.settled(&Settled::Failed(Failure::Panic));
        metrics.settled(&Settled::Failed(Failure::Error));
        metrics.settled(&Settled::Cancelled);
        let seen = metrics.snapshot();
        assert_eq!(
            (seen.failed, seen.panicked, seen.cancelled, seen.settled()),
            (2, 1, 1, 3)
        );
    }
}
