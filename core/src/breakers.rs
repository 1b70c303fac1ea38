//! The breakers that a job passes: the pool's, and that of its kind.
//!
//! A job that has a kind runs by two permits. It acquires that of its kind first and that of the pool then; if the pool's
//! breaker refuses, the first is given back. In this order, because a probe that is taken only to be given back keeps
//! others out meanwhile: these are of the same kind here, and the pool refuses them too. Each outcome is recorded in both.
#![forbid(unsafe_code)]

use core::time::Duration;

use crate::{
    breaker::{Breaker, Config, Permit, State, Verdict},
    error::ConfigError,
    job::Kind,
    sync::{array, const_fn},
    time::Instant,
};

/// The breakers of a pool, in words only.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Breakers<const KINDS: usize> {
    pub(crate) pool: Breaker,
    kinds: [Breaker; KINDS],
}

impl<const KINDS: usize> Breakers<KINDS> {
    const_fn! {
        /// Breakers with these configurations, disabled where there is none; or what is wrong with one.
        pub(crate) const fn try_new(pool: Option<Config>, kind: Option<Config>) -> Result<Self, ConfigError> {
            const { assert!(KINDS <= MAX_KINDS, "a pool has at most 127 kinds of jobs") };
            if KINDS == 0 && kind.is_some() {
                return Err(ConfigError::new("a pool without kinds has no breaker for each of them"));
            }
            let pool = match try_one(pool) {
                Ok(breaker) => breaker,
                Err(error) => return Err(error),
            };
            let mut kinds = array!(|_i| Breaker::disabled(); KINDS);
            let mut index = 0;
            while index < KINDS {
                kinds[index] = match try_one(kind) {
                    Ok(breaker) => breaker,
                    Err(error) => return Err(error),
                };
                index += 1;
            }
            Ok(Self { pool, kinds })
        }
    }

    /// The breaker of a kind; `None` without a kind, or with one that the pool has no breaker for.
    #[inline(always)]
    pub(crate) fn of(&self, kind: Option<Kind>) -> Option<&Breaker> {
        self.kinds.get(usize::from(kind?.0))
    }

    /// Whether a job of this kind would be let through now; else the longer of both waits.
    #[inline]
    pub(crate) fn check(&self, kind: Option<Kind>, now: Instant) -> Result<(), Duration> {
        let pool = self.pool.check(now);
        match self.of(kind) {
            None => pool,
            Some(of_kind) => longer(of_kind.check(now), pool),
        }
    }

    /// Asks to run a job of this kind.
    ///
    /// # Errors
    /// As for [`check`](Self::check).
    #[inline]
    pub(crate) fn acquire(&self, kind: Option<Kind>, now: Instant) -> Result<Permits, Duration> {
        match (kind, self.of(kind)) {
            (Some(kind), Some(breaker)) => self.acquire_both(kind, breaker, now),
            _ => Ok(Permits::new(self.pool.acquire(now)?, None)),
        }
    }

    fn acquire_both(
        &self,
        kind: Kind,
        breaker: &Breaker,
        now: Instant,
    ) -> Result<Permits, Duration> {
        let of_kind = match breaker.acquire(now) {
            Ok(permit) => permit,
            Err(retry_after) => return longer(Err(retry_after), self.pool.check(now)),
        };
        match self.pool.acquire(now) {
            Ok(pool) => Ok(Permits::new(pool, Some((kind, of_kind)))),
            Err(retry_after) => {
                let _ = breaker.release(of_kind);
                Err(retry_after)
            }
        }
    }

    /// Reports how an attempt ended, and how long it ran.
    #[inline]
    pub(crate) fn record(&self, permits: Permits, verdict: Verdict, run: Duration, now: Instant) {
        let _ = self.pool.record(permits.pool(), verdict, run, now);
        if let Some(breaker) = self.of(permits.kind) {
            let _ = breaker.record(permits.of_kind(), verdict, run, now);
        }
    }

    /// Gives permits back without an outcome.
    pub(crate) fn release(&self, permits: Permits) {
        let _ = self.pool.release(permits.pool());
        if let Some(breaker) = self.of(permits.kind) {
            let _ = breaker.release(permits.of_kind());
        }
    }

    /// Reports a failure for which no permit was given, to each of the two that would have given one.
    pub(crate) fn record_failure(&self, kind: Option<Kind>, now: Instant) {
        for breaker in [Some(&self.pool), self.of(kind)].into_iter().flatten() {
            if let Ok(permit) = breaker.acquire(now) {
                let _ = breaker.record(permit, Verdict::Failure, Duration::ZERO, now);
            }
        }
    }

    /// How long a job that was refused waits before it asks again: for the rest of a pause, but for at most `pause` while
    /// probes run, which may end long before their lease.
    pub(crate) fn wait(&self, kind: Option<Kind>, pause: Duration, now: Instant) -> Duration {
        let wait = |breaker: &Breaker| match breaker.check(now) {
            Ok(()) => Duration::ZERO,
            Err(lease) if breaker.state(now) == State::HalfOpen => lease.min(pause),
            Err(rest) => rest,
        };
        let of_kind = self.of(kind).map_or(Duration::ZERO, wait);
        of_kind.max(wait(&self.pool))
    }
}

/// Most kinds of jobs that a pool has breakers for: [`Permits::kind_code`] has 7 bits.
const MAX_KINDS: usize = 127;

const_fn! {
    const fn try_one(config: Option<Config>) -> Result<Breaker, ConfigError> {
        match config {
            Some(config) => Breaker::try_new(config),
            None => Ok(Breaker::disabled()),
        }
    }
}

fn longer<T>(of_kind: Result<T, Duration>, pool: Result<(), Duration>) -> Result<T, Duration> {
    match (of_kind, pool) {
        (Err(wait), Err(other)) => Err(wait.max(other)),
        (Ok(_), Err(wait)) => Err(wait),
        (of_kind, Ok(())) => of_kind,
    }
}

/// The permits by which a job runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permits {
    /// The kind of the second; `None` if there is only the pool's.
    kind: Option<Kind>,
    /// [`Permit::to_bits`], which has 14.
    pool: u16,
    of_kind: u16,
}

impl Permits {
    fn new(pool: Permit, of_kind: Option<(Kind, Permit)>) -> Self {
        Self {
            kind: of_kind.map(|(kind, _)| kind),
            pool: pool.to_bits() as u16,
            of_kind: of_kind.map_or(0, |(_, permit)| permit.to_bits() as u16),
        }
    }

    /// The kind of the job, if the pool has a breaker for it.
    pub(crate) fn kind(self) -> Option<Kind> {
        self.kind
    }

    /// Both permits as a number.
    pub(crate) fn to_bits(self) -> u32 {
        u32::from(self.of_kind) << 16 | u32::from(self.pool)
    }

    /// The kind as a number of 7 bits.
    pub(crate) fn kind_code(self) -> u32 {
        self.kind.map_or(0, |kind| u32::from(kind.0) + 1)
    }

    pub(crate) fn from_bits(bits: u32, kind_code: u32) -> Self {
        Self {
            kind: kind_code.checked_sub(1).map(|kind| Kind(kind as u8)),
            pool: bits as u16,
            of_kind: (bits >> 16) as u16,
        }
    }

    fn pool(self) -> Permit {
        Permit::from_bits(self.pool.into())
    }

    fn of_kind(self) -> Permit {
        Permit::from_bits(self.of_kind.into())
    }
}
