//! `Terms`: how a job is to be run, as the page writes it into the job's record.

use std::time::Duration;

use weirpool_core::pool::{Policy, Priority, Retry};

/// Priority and retries in one word, so that the page's usual job costs one store:
/// `[attempts: 8 | unused: 2 | after time-outs: 1 | after panics: 1 | whose policy: 2 | priority: 2]`, where the policy
/// is 0 none, 1 the pool's or 2 the job's own. `wasm/ts/retry.ts` writes it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Terms(u32);

impl Terms {
    const PANICS: u32 = 1 << 4;
    const TIMEOUTS: u32 = 1 << 5;

    /// Normal priority, no retries.
    pub const DEFAULT: Self = Self(1);

    pub const fn priority(self) -> Priority {
        match self.0 & 3 {
            0 => Priority::Low,
            1 => Priority::Normal,
            2 => Priority::High,
            _ => Priority::Critical,
        }
    }

    /// What the core is told; a policy of the job's own has these backoffs (µs).
    pub fn retry(self, first: f64, longest: f64) -> Retry {
        match self.0 >> 2 & 3 {
            0 => Retry::Off,
            1 => Retry::Pool,
            _ => self
                .policy(first, longest)
                .map_or(Retry::Off, Retry::Policy),
        }
    }

    fn policy(self, first: f64, longest: f64) -> Option<Policy> {
        let [first, longest] = [first, longest].map(|us| Duration::from_micros(us as u64));
        let mut policy = Policy::new(self.attempts() as u8, first, longest).ok()?;
        if self.0 & Self::PANICS != 0 {
            policy = policy.after_panics();
        }
        if self.retries_timeouts() {
            policy = policy.after_timeouts();
        }
        Some(policy)
    }

    /// Most attempts; 0 without retries.
    const fn attempts(self) -> u32 {
        self.0 >> 8 & 0xff
    }

    /// Whether the job may be tried again: then its input must last.
    pub const fn has_retries(self) -> bool {
        self.attempts() > 1
    }

    pub const fn retries_timeouts(self) -> bool {
        self.0 & Self::TIMEOUTS != 0
    }

    /// Whether the run time-out of this attempt is left to its handler, since another one may follow.
    pub const fn is_lenient(self, attempt: u32) -> bool {
        self.retries_timeouts() && attempt < self.attempts()
    }

    #[cfg(test)]
    pub const fn with_retries(attempts: u8) -> Self {
        Self((attempts as u32) << 8 | 2 << 2 | 1)
    }
}
