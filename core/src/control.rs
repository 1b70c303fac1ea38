//! Control: what an operator sets and sees while a pool works.
#![forbid(unsafe_code)]

use crate::{
    breaker::Breaker,
    error::ConfigError,
    gate::{MAX_COUNT, Mode},
    job::Kind,
    metrics::Snapshot,
    pool::Pool,
    rate::Quota,
    sync::Ordering,
    time::Instant,
};

/// What a pool does at its two ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// Admits and hands out.
    Running,
    /// Admits; hands nothing out.
    Paused,
    /// Closed, with jobs that are not settled.
    Draining,
    /// Closed, every job settled.
    Closed,
}

impl<T, const SLOTS: usize, const KINDS: usize> Pool<T, SLOTS, KINDS> {
    /// Hands out nothing until [`resume`](Self::resume). Jobs that run go on; a closed pool is not paused.
    pub fn pause(&self) {
        self.gate.set_mode(Mode::Paused);
    }

    /// Ends a pause. Ask [`wants_worker`](Self::wants_worker) afterwards.
    pub fn resume(&self) {
        self.gate.set_mode(Mode::Open);
    }

    /// Admits nothing any more, for good. What waits is still handed out, also by a pool that was paused.
    pub fn close(&self) {
        self.gate.set_mode(Mode::Closed);
    }

    /// What the pool does at its two ends.
    pub fn state(&self) -> State {
        let admission = self.gate.load();
        match admission.mode() {
            Mode::Open => State::Running,
            Mode::Paused => State::Paused,
            Mode::Closed if admission.in_flight() > 0 => State::Draining,
            Mode::Closed => State::Closed,
        }
    }

    /// How many jobs may run at once from now on. Those that run go on. An adaptive limit is lowered to this at once, and
    /// grows to it as runs allow. Ask [`wants_worker`](Self::wants_worker) afterwards.
    ///
    /// # Errors
    /// If it is zero or above `most_running`.
    pub fn set_limit(&self, limit: u16) -> Result<(), ConfigError> {
        if limit == 0 || limit > self.most_running {
            return Err(ConfigError::new(
                "the limit is zero or above the most running",
            ));
        }
        self.permits.set_maximum(limit);
        Ok(())
    }

    /// The rate limit from now on.
    pub fn set_quota(&self, quota: Option<Quota>, now: Instant) {
        self.ledger.rate.set(quota, now);
    }

    /// Most jobs in flight from now on.
    ///
    /// # Errors
    /// If it is zero.
    pub fn set_max_in_flight(&self, max: Option<u32>) -> Result<(), ConfigError> {
        if max == Some(0) {
            return Err(ConfigError::new("no job could be in flight"));
        }
        // Relaxed: nothing else is published with it.
        self.max_in_flight
            .store(max.unwrap_or(MAX_COUNT), Ordering::Relaxed);
        Ok(())
    }

    /// The circuit breaker of the pool.
    pub fn breaker(&self) -> &Breaker {
        &self.ledger.breakers.pool
    }

    /// The circuit breaker of a kind; `None` if the pool has none for it, which is one of `KINDS` or above.
    pub fn kind_breaker(&self, kind: Kind) -> Option<&Breaker> {
        self.ledger.breakers.of(Some(kind))
    }

    /// Counters, gauges and histograms, read one after the other: exact when nobody else is at work.
    pub fn snapshot(&self) -> Snapshot {
        let admission = self.gate.load();
        let (limit, active) = (self.permits.limit(), self.permits.in_flight());
        let delayed = self.schedule.delayed_jobs();
        Snapshot {
            queued: admission.waiting().saturating_sub(delayed),
            delayed,
            // A job that is cancelled between its claim and its start leaves the two counts in this order.
            running: admission.in_flight().saturating_sub(admission.waiting()),
            abandoned: self.abandoned.load(Ordering::Relaxed),
            active_workers: active.into(),
            limit: limit.into(),
            capacity: self.capacity,
            utilization: (u64::from(active) * 1_000_000 / u64::from(limit.max(1))) as u32,
            ..self.ledger.metrics.snapshot()
        }
    }
}
