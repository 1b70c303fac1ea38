//! Retries: how often and when a job is tried again, and a budget that keeps retries from becoming a storm.
//!
//! ```
//! use core::time::Duration;
//! use weirpool_core::retry::{Allowance, Budget, Policy};
//!
//! const POLICY: Policy = Policy::DEFAULT;
//! static BUDGET: Budget = Budget::new(Allowance { percent: 20, reserve: 2 });
//!
//! // After the first attempt: from 50 to 100 ms, as the seed has it. After the second: twice that.
//! let pause = POLICY.backoff(1, 0x5EED);
//! assert!(pause >= Duration::from_millis(50) && pause <= Duration::from_millis(100));
//! assert!(POLICY.backoff(2, 0x5EED) >= Duration::from_millis(100));
//!
//! // Two retries are saved up; every five successes earn another.
//! assert!(BUDGET.withdraw() && BUDGET.withdraw() && !BUDGET.withdraw());
//! for _ in 0..5 {
//!     BUDGET.deposit();
//! }
//! assert!(BUDGET.withdraw() && !BUDGET.withdraw());
//! ```
//!
//! # Algorithms
//! *Backoff* is exponential with equal jitter (M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog
//! 2015): half of the pause is fixed, so that a retry never comes at once, and half is random, so that jobs that failed
//! together do not come back together. There is no source of randomness here: the caller gives a seed, which is mixed by
//! the finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
//!
//! The *budget* is a token bucket that successes fill, as in Finagle's `RetryBudget`: while most calls succeed every
//! failure may be retried, and when what the jobs work with is down the retries end with what was saved up, instead of
//! multiplying the load by the number of attempts.
#![forbid(unsafe_code)]

use core::time::Duration;

use crate::{
    error::ConfigError,
    sync::{AtomicU32, Ordering, const_fn},
    time::micros,
};

/// How often a job is tried, how long it pauses between two attempts, and after which ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Pause after the first attempt, and the longest, in microseconds.
    first: u32,
    longest: u32,
    attempts: u8,
    panics: bool,
    timeouts: bool,
}

impl Policy {
    /// Three attempts, 100 ms doubling to 10 s, after errors only.
    pub const DEFAULT: Self = Self {
        first: 100_000,
        longest: 10_000_000,
        attempts: 3,
        panics: false,
        timeouts: false,
    };

    /// The longest pause there may be.
    pub const MAX_BACKOFF: Duration = Duration::from_secs(60 * 60);

    /// `attempts` in all, the first included; after the first a pause of `first`, then twice as long each time up to
    /// `longest` (both cut to whole microseconds), after errors only.
    ///
    /// # Errors
    /// If there is no attempt, or not `first` ≤ `longest` ≤ [`Policy::MAX_BACKOFF`].
    pub const fn new(
        attempts: u8,
        first: Duration,
        longest: Duration,
    ) -> Result<Self, ConfigError> {
        if attempts == 0 {
            return Err(ConfigError::new("a job has at least one attempt"));
        }
        let (first, longest) = (micros(first), micros(longest));
        if first > longest || longest > micros(Self::MAX_BACKOFF) {
            return Err(ConfigError::new(
                "the first backoff is at most the longest, and that at most an hour",
            ));
        }
        Ok(Self {
            first: first as u32,
            longest: longest as u32,
            attempts,
            ..Self::DEFAULT
        })
    }

    /// The same, also after panics.
    pub const fn after_panics(self) -> Self {
        Self {
            panics: true,
            ..self
        }
    }

    /// The same, also when the run time-out has passed.
    ///
    /// A job is in its handler's hands until that returns. So of an attempt that is not the last, the time-out settles
    /// nothing: it takes effect when the handler returns, which [`Running::deadline`](crate::pool::Running::deadline)
    /// tells it to do. A result that comes after the deadline, or after the job's total time-out, does not count, nor
    /// does an error: the attempt timed out. (A handler that saw that its time was up may have given up half-way, so its
    /// result cannot be trusted.) A panic and an error that is permanent count as what they are.
    pub const fn after_timeouts(self) -> Self {
        Self {
            timeouts: true,
            ..self
        }
    }

    /// Most attempts in all.
    pub const fn attempts(&self) -> u8 {
        self.attempts
    }

    /// Whether panics are retried.
    pub const fn retries_panics(&self) -> bool {
        self.panics
    }

    /// Whether run time-outs are retried.
    pub const fn retries_timeouts(&self) -> bool {
        self.timeouts
    }

    pub(crate) const fn to_words(self) -> [u32; 3] {
        let rules = (self.timeouts as u32) << 9 | (self.panics as u32) << 8 | self.attempts as u32;
        [self.first, self.longest, rules]
    }

    pub(crate) const fn from_words([first, longest, rules]: [u32; 3]) -> Self {
        Self {
            first,
            longest,
            attempts: rules as u8,
            panics: rules & 1 << 8 != 0,
            timeouts: rules & 1 << 9 != 0,
        }
    }

    /// The pause after an attempt (from 1): between half and the whole of `min(first × 2^(attempt − 1), longest)`, the
    /// same for the same seed.
    pub const fn backoff(&self, attempt: u32, seed: u64) -> Duration {
        let doublings = attempt.saturating_sub(1);
        // A pause has 32 bits: after as many doublings it is the longest, or zero.
        let doublings = if doublings > 31 { 31 } else { doublings };
        let whole = (self.first as u64) << doublings;
        let whole = if whole > self.longest as u64 {
            self.longest as u64
        } else {
            whole
        };
        let random = whole / 2;
        // The upper half of the mix as a fraction of 2^32: no division, and no more bias than 2^-32.
        let jitter = ((mix(seed) >> 32) * (random + 1)) >> 32;
        Duration::from_micros(whole - random + jitter)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How many retries successes pay for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowance {
    /// Retries per hundred successes in the long run.
    pub percent: u16,
    /// How many retries can be saved up, and are there at the beginning. With none there is never a retry.
    pub reserve: u16,
}

impl Allowance {
    /// 20 retries per hundred successes, ten saved up.
    pub const DEFAULT: Self = Self {
        percent: 20,
        reserve: 10,
    };
}

impl Default for Allowance {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// An account of retries: successes [`deposit`](Self::deposit), each retry [`withdraw`](Self::withdraw)s.
///
/// Every operation is lock-free and takes constant time; a retry of one means that another changed the balance. A full
/// account is not written to by a deposit. The type orders no memory of its callers.
#[derive(Debug)]
#[repr(C)]
pub struct Budget {
    /// What there is, in hundredths of a retry, at most `most`.
    balance: AtomicU32,
    most: u32,
    percent: u32,
}

impl Budget {
    /// What a retry costs, in hundredths of it.
    const RETRY: u32 = 100;

    const_fn! {
        /// An account with its whole reserve.
        pub const fn new(allowance: Allowance) -> Self {
            let most = allowance.reserve as u32 * Self::RETRY;
            Self { balance: AtomicU32::new(most), most, percent: allowance.percent as u32 }
        }
    }

    /// Pays in a success.
    #[inline]
    pub fn deposit(&self) {
        self.add(self.percent);
    }

    /// Takes out a retry if there is one.
    #[must_use = "false means that there is no retry"]
    pub fn withdraw(&self) -> bool {
        let mut balance = self.balance.load(Ordering::Relaxed);
        while let Some(rest) = balance.checked_sub(Self::RETRY) {
            match self.balance.compare_exchange_weak(
                balance,
                rest,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(seen) => balance = seen,
            }
        }
        false
    }

    /// Gives back a retry that was taken out and not made.
    pub fn refund(&self) {
        self.add(Self::RETRY);
    }

    /// How many retries there are.
    pub fn available(&self) -> u32 {
        self.balance.load(Ordering::Relaxed) / Self::RETRY
    }

    #[inline]
    fn add(&self, hundredths: u32) {
        let mut balance = self.balance.load(Ordering::Relaxed);
        while balance < self.most {
            // At most 2 × 65 535 × 100: no overflow.
            let sum = (balance + hundredths).min(self.most);
            match self.balance.compare_exchange_weak(
                balance,
                sum,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(seen) => balance = seen,
            }
        }
    }
}

/// SplitMix64's finaliser: a permutation in which every bit of the input reaches every bit of the output.
pub(crate) const fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn policies_have_bounds() {
        assert!(Policy::new(0, MS(1), MS(1)).is_err());
        assert!(Policy::new(1, MS(2), MS(1)).is_err());
        assert!(Policy::new(255, Duration::ZERO, Policy::MAX_BACKOFF).is_ok());
        assert!(Policy::new(1, MS(1), Policy::MAX_BACKOFF + MS(1)).is_err());
        let policy = Policy::new(5, MS(1), MS(2)).unwrap().after_timeouts();
        assert_eq!((policy.attempts(), policy.retries_panics()), (5, false));
        assert!(policy.retries_timeouts() && policy.after_panics().retries_panics());
        for policy in [policy, policy.after_panics(), Policy::DEFAULT] {
            assert_eq!(Policy::from_words(policy.to_words()), policy);
        }
    }

    #[test]
    fn a_pause_doubles_up_to_the_longest_and_is_never_below_half() {
        let policy = Policy::DEFAULT;
        for (attempt, whole) in [(1, 100), (2, 200), (3, 400), (7, 6_400), (8, 10_000)] {
            for seed in 0..1_000 {
                let pause = policy.backoff(attempt, seed);
                assert!(pause >= MS(whole) / 2 && pause <= MS(whole), "{pause:?}");
            }
        }
        for attempt in [0, 40, u32::MAX] {
            assert!(policy.backoff(attempt, 1) <= MS(10_000));
        }
    }

    /// Half of the pause is spread evenly: a thousand seeds that follow each other fill every tenth of it.
    #[test]
    fn jitter_spreads_jobs_that_failed_together() {
        let mut tenths = [0; 10];
        for seed in 0..1_000 {
            let over = Policy::DEFAULT.backoff(1, seed) - MS(50);
            tenths[(over.as_micros() * 10 / 50_001) as usize] += 1;
        }
        assert!(tenths.iter().all(|&count| count > 60), "{tenths:?}");
    }

    #[test]
    fn no_pause_is_no_pause_and_an_odd_one_is_whole() {
        let none = Policy::new(3, Duration::ZERO, Duration::ZERO).unwrap();
        assert_eq!(none.backoff(9, 3), Duration::ZERO);
        let one = Duration::from_micros(1);
        assert_eq!(Policy::new(3, one, one).unwrap().backoff(1, 3), one);
    }

    #[test]
    fn a_fifth_of_the_successes_is_retried_in_the_long_run() {
        let budget = Budget::new(Allowance::DEFAULT);
        let mut retries = 0;
        for _ in 0..10_000 {
            budget.deposit();
            retries += u32::from(budget.withdraw());
        }
        // A full account takes no deposit: the first ten retries come from the reserve.
        assert!((2_000..=2_010).contains(&retries), "{retries}");
    }

    #[test]
    fn no_more_is_saved_up_than_the_reserve() {
        let budget = Budget::new(Allowance {
            percent: u16::MAX,
            reserve: 3,
        });
        for _ in 0..1_000 {
            budget.deposit();
        }
        assert_eq!(budget.available(), 3);
        assert!(budget.withdraw() && budget.withdraw() && budget.withdraw());
        assert!(!budget.withdraw());
        budget.refund();
        assert!(budget.withdraw() && !budget.withdraw());
        let none = Budget::new(Allowance {
            percent: 100,
            reserve: 0,
        });
        none.deposit();
        assert!(!none.withdraw());
    }
}
