//! What stays with a slot while its job is away: what `poll` must know to settle it, and what a retry must know again.
//!
//! Both could be read from the job itself, but a worker has that. Carrying them there and back would cost every job, though
//! few have a time-out and fewer fail.
#![forbid(unsafe_code)]

use crate::{
    breakers::Permits,
    job::{Course, Expired, Handle, Phase, WorkerId},
    retry::Policy,
    sync::{AtomicU32, Loose64, Ordering, array, const_fn},
    time::Instant,
};

/// What a retry must know again. Written by who owns the slot, at the submission of a job with a policy; of other jobs it
/// says nothing.
///
/// All of it relaxed: the changes of the slot's state order one owner after the other.
#[derive(Debug)]
pub(crate) struct Terms {
    /// [`Policy::to_words`].
    policy: [AtomicU32; 3],
    /// In microseconds; `u64::MAX` for none.
    run_timeout: Loose64,
    total_deadline: Loose64,
    /// Since when it could run: its submission, or the end of its last backoff.
    ready: Loose64,
}

impl Terms {
    const_fn! {
        pub(crate) const fn new() -> Self {
            Self {
                policy: array!(|_i| AtomicU32::new(0); 3),
                run_timeout: Loose64::new(0),
                total_deadline: Loose64::new(0),
                ready: Loose64::new(0),
            }
        }
    }

    pub(crate) fn set(&self, policy: Option<Policy>, run_timeout: u64, total: Instant) {
        if let Some(policy) = policy {
            for (word, value) in self.policy.iter().zip(policy.to_words()) {
                word.store(value, Ordering::Relaxed);
            }
        }
        self.run_timeout.store(run_timeout);
        self.total_deadline.store(total.as_micros());
    }

    pub(crate) fn set_ready(&self, at: Instant) {
        self.ready.store(at.as_micros());
    }

    /// The policy of a job that has come so far.
    pub(crate) fn policy(&self, course: Course) -> Option<Policy> {
        course.has_policy.then(|| {
            let [first, longest, rules] = &self.policy;
            let words = [first, longest, rules].map(|word| word.load(Ordering::Relaxed));
            Policy::from_words(words)
        })
    }

    /// Whether the run time-out of a job's present attempt is left to its handler, since another attempt may follow.
    pub(crate) fn is_lenient(&self, course: Course) -> bool {
        self.policy(course)
            .is_some_and(|policy| policy.retries_timeouts() && course.attempts < policy.attempts())
    }

    pub(crate) fn run_timeout(&self) -> u64 {
        self.run_timeout.load()
    }

    pub(crate) fn total_deadline(&self) -> Instant {
        Instant::from_micros(self.total_deadline.load())
    }

    /// Since when a job could run its present or next attempt.
    pub(crate) fn ready(&self, submitted: Instant, is_retry: bool) -> Instant {
        if is_retry {
            Instant::from_micros(self.ready.load())
        } else {
            submitted
        }
    }
}

/// What `poll` must know of a running job to settle it. Written by the taker before the slot is `Armed`, read before
/// winning the change out of `Armed` of the same lap, which proves that it was not overwritten meanwhile.
#[derive(Debug)]
pub(crate) struct Watch {
    submitted: Loose64,
    started: Loose64,
    /// The permits of the breakers; see [`Permits::to_bits`].
    permits: AtomicU32,
    /// `[kind code: 7 | total first: 1 | attempt: 8 | worker: 16]`.
    detail: AtomicU32,
}

impl Watch {
    const ATTEMPT_SHIFT: u32 = 16;
    const TOTAL_FIRST: u32 = 1 << 24;
    const KIND_SHIFT: u32 = 25;

    const_fn! {
        pub(crate) const fn new() -> Self {
            Self {
                submitted: Loose64::new(0),
                started: Loose64::new(0),
                permits: AtomicU32::new(0),
                detail: AtomicU32::new(0),
            }
        }
    }

    pub(crate) fn set(
        &self,
        submitted: Instant,
        started: Instant,
        phase: Phase,
        attempts: u8,
        worker: WorkerId,
        permits: Permits,
    ) {
        self.submitted.store(submitted.as_micros());
        self.started.store(started.as_micros());
        let total_first = if phase == Phase::Total {
            Self::TOTAL_FIRST
        } else {
            0
        };
        let attempt = u32::from(attempts) << Self::ATTEMPT_SHIFT;
        // Relaxed: published by the change to `Armed`.
        self.permits.store(permits.to_bits(), Ordering::Relaxed);
        let kind = permits.kind_code() << Self::KIND_SHIFT;
        let detail = kind | total_first | attempt | u32::from(worker.0);
        self.detail.store(detail, Ordering::Relaxed);
    }

    /// What is reported if the job expires now.
    pub(crate) fn expired(
        &self,
        handle: Handle,
        terms: &Terms,
        now: Instant,
    ) -> (Expired, Permits) {
        let at = |word: &Loose64| Instant::from_micros(word.load());
        let started = at(&self.started);
        let submitted = at(&self.submitted);
        let detail = self.detail.load(Ordering::Relaxed);
        let phase = if detail & Self::TOTAL_FIRST == 0 {
            Phase::Run
        } else {
            Phase::Total
        };
        let attempt = detail >> Self::ATTEMPT_SHIFT & 0xff;
        let run = now.saturating_since(started);
        let expired = Expired {
            handle,
            phase,
            worker: WorkerId(detail as u16),
            wait: started.saturating_since(terms.ready(submitted, attempt > 1)),
            run,
            total: now.saturating_since(submitted).max(run),
            attempt,
        };
        let permits = self.permits.load(Ordering::Relaxed);
        let permits = Permits::from_bits(permits, detail >> Self::KIND_SHIFT);
        (expired, permits)
    }
}
