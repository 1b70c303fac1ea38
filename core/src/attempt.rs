//! Attempts: how one ends, and whether, when and how its job is tried again.
#![forbid(unsafe_code)]

use core::time::Duration;

use crate::{
    breaker::Verdict,
    job::{Course, Entry, Failure, Handle, Kind, Outcome, Phase, Retry, Settled, Take},
    key::Key,
    pool::Pool,
    retry::{Policy, mix},
    schedule::{Gone, Seen},
    sync::Ordering,
    terms::Terms,
    time::{Instant, micros},
};

/// How an attempt ended.
pub(crate) struct Attempt {
    pub(crate) result: Settled,
    /// What the breakers are told; `None` is that they get their permits back.
    pub(crate) verdict: Option<Verdict>,
    pub(crate) may_be_retried: bool,
}

impl Attempt {
    pub(crate) fn ended(
        outcome: Outcome,
        course: Course,
        terms: &Terms,
        run: Duration,
        now: Instant,
    ) -> Self {
        let failure = |counted: bool, may_be_retried: bool| Self {
            result: Settled::Failed(if counted {
                Failure::Error
            } else {
                Failure::Ignored
            }),
            verdict: counted.then_some(Verdict::Failure),
            may_be_retried,
        };
        // The phase whose time is up, where the handler was left to see that by itself.
        let late = match outcome {
            _ if !terms.is_lenient(course) => None,
            Outcome::Panic | Outcome::Permanent { .. } => None,
            // As `poll` would have it.
            _ if now >= terms.total_deadline() => Some(Phase::Total),
            _ => (micros(run) >= terms.run_timeout()).then_some(Phase::Run),
        };
        if let Some(phase) = late {
            return Self {
                result: Settled::TimedOut(phase),
                ..failure(true, phase == Phase::Run)
            };
        }
        match outcome {
            Outcome::Success => Self {
                result: Settled::Completed,
                verdict: Some(Verdict::Success),
                may_be_retried: false,
            },
            Outcome::Failure => failure(true, true),
            Outcome::Ignored => failure(false, true),
            Outcome::Permanent { ignored } => failure(!ignored, false),
            Outcome::Panic => {
                let policy = terms.policy(course);
                Self {
                    result: Settled::Failed(Failure::Panic),
                    ..failure(true, policy.is_some_and(|policy| policy.retries_panics()))
                }
            }
        }
    }
}

/// Why a job that was claimed does not run yet.
pub(crate) enum Wait {
    /// The rate limit has no token before this time; one may be reserved for it.
    Token { at: Instant, reserved: bool },
    /// A breaker is open.
    Breaker { retry_after: Duration },
}

impl<T, const SLOTS: usize, const KINDS: usize> Pool<T, SLOTS, KINDS> {
    /// A token for a retry that was just claimed, unless it has one; else how long it must wait, if it can with a token
    /// reserved for it.
    #[cold]
    pub(crate) fn take_token(&self, has_token: bool, due: Key, now: Instant) -> Result<(), Wait> {
        let rate = &self.ledger.rate;
        if has_token || rate.check(now).is_ok() {
            return Ok(());
        }
        let (at, reserved) = match rate.reserve(now) {
            Ok(wait) => (now.saturating_add(wait), true),
            // Too many are reserved: without one it asks again then.
            Err(wait) => (now.saturating_add(wait), false),
        };
        let reserved = if reserved && due.is_due(at) {
            // It will time out first.
            rate.refund(now);
            false
        } else {
            reserved
        };
        Err(Wait::Token { at, reserved })
    }

    /// What becomes of a job that was just claimed and may not run yet: it is delayed if it can wait, else it fails. It has
    /// its place still.
    #[cold]
    pub(crate) fn put_off(
        &self,
        seen: Seen,
        mut entry: Entry<T>,
        wait: Wait,
        now: Instant,
    ) -> Take<T> {
        let handle = seen.handle();
        let (at, refusal) = match wait {
            Wait::Token { at, reserved } => {
                entry.token = reserved;
                (at, None)
            }
            Wait::Breaker { retry_after } => {
                let policy = self.terms[seen.index].policy(entry.course);
                let wait = policy.map_or(Duration::MAX, |policy| {
                    self.wait_for_breakers(policy, handle, entry.kind, now)
                });
                let at = now.saturating_add(wait);
                // Forced open it says "never".
                let waits = at != Instant::MAX && !seen.due.is_due(at);
                (at, (!waits).then_some(Failure::CircuitOpen { retry_after }))
            }
        };
        let Some(failure) = refusal else {
            let delayed = self
                .schedule
                .delay(handle, entry, delay_key(at, now), None, || ());
            return match delayed {
                Ok(()) => Take::Delayed { handle, at },
                Err((entry, gone)) => self.lose(entry, gone, now),
            };
        };
        let ready = self.ready(seen, &entry);
        match self.schedule.release(handle) {
            Ok(()) => {
                let result = Settled::Failed(failure);
                Take::Settled(self.complete_waiting(handle, entry, ready, result, now))
            }
            Err(gone) => self.lose(entry, gone, now),
        }
    }

    /// How long a job waits that a breaker turned away.
    fn wait_for_breakers(
        &self,
        policy: Policy,
        handle: Handle,
        kind: Option<Kind>,
        now: Instant,
    ) -> Duration {
        let pause = backoff(policy, 1, handle.to_bits(), now);
        // It asks again, but not without a pause.
        let pause = pause.max(Duration::from_millis(1));
        self.ledger.breakers.wait(kind, pause, now)
    }

    /// Hands back a job that was cancelled between its claim and its start.
    pub(crate) fn lose(&self, entry: Entry<T>, gone: Gone, now: Instant) -> Take<T> {
        self.gate.start();
        if entry.token {
            self.ledger.rate.refund(now);
        }
        if !matches!(gone, Gone::Unknown) {
            self.abandoned.fetch_sub(1, Ordering::Relaxed);
            self.ledger.metrics.stale();
        }
        Take::Stale(entry.job)
    }

    /// Delays a job whose attempt failed; calls `before` when that is decided and nobody can see it yet.
    pub(crate) fn delay(
        &self,
        handle: Handle,
        entry: Entry<T>,
        at: Instant,
        now: Instant,
        before: impl FnOnce(),
    ) -> Result<(), (Entry<T>, Gone)> {
        // Before it is shown, since who takes it gives the place up; and before the permit is released (see `gate`).
        self.gate.wait_again();
        self.terms[handle.index()].set_ready(at);
        let due = Key::due(entry.total_deadline, now);
        let delayed = self
            .schedule
            .delay(handle, entry, delay_key(at, now), Some(due), before);
        if delayed.is_err() {
            self.gate.start();
        }
        delayed
    }

    /// The policy of a job that was submitted so.
    pub(crate) fn policy(&self, retry: Retry) -> Option<Policy> {
        match retry {
            Retry::Pool => self.retry,
            Retry::Off => None,
            Retry::Policy(policy) => Some(policy),
        }
    }

    /// When a job that has had so many attempts is tried again, if at all; that is paid for then.
    pub(crate) fn next_attempt(
        &self,
        policy: Policy,
        attempts: u32,
        total_deadline: Instant,
        seed: u64,
        now: Instant,
    ) -> Option<Instant> {
        if attempts >= policy.attempts().into() {
            return None;
        }
        let at = now.saturating_add(backoff(policy, attempts, seed, now));
        (at < total_deadline && self.ledger.budget.withdraw()).then_some(at)
    }
}

/// The pause after so many attempts.
fn backoff(policy: Policy, attempts: u32, seed: u64, now: Instant) -> Duration {
    // Mixed in turn: slots and times that grow together must not cancel out.
    let seed = mix(seed.wrapping_add(mix(now.as_micros())));
    policy.backoff(attempts, seed.wrapping_add(attempts.into()))
}

/// The key of a delay. What would never end ends at the last moment but one.
pub(crate) fn delay_key(at: Instant, now: Instant) -> Key {
    Key::due(at.min(Instant::from_micros(u64::MAX - 1)), now)
}
