//! Time as an argument: instants in microseconds on the caller's clock.
//!
//! Nothing in this crate reads a clock. The caller chooses the epoch (start of the program, Unix time, …) and passes
//! `now`; between threads it may stand still or run backwards, which no function here takes amiss.
//!
//! ```
//! use core::time::Duration;
//! use weirpool_core::time::Instant;
//!
//! let start = Instant::from_millis(5);
//! let later = start.saturating_add(Duration::from_micros(20));
//! assert_eq!(later.as_micros(), 5_020);
//! assert_eq!(later.saturating_since(start), Duration::from_micros(20));
//! assert_eq!(start.saturating_since(later), Duration::ZERO);
//! ```
#![forbid(unsafe_code)]

use core::time::Duration;

/// A point in time: whole microseconds since an epoch of the caller's choice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Instant(u64);

impl Instant {
    /// The epoch.
    pub const ZERO: Self = Self(0);
    /// The last instant, 584 542 years after the epoch; it serves as "never".
    pub const MAX: Self = Self(u64::MAX);

    /// The instant `micros` microseconds after the epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The instant `millis` milliseconds after the epoch; [`Instant::MAX`] if that is later.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// This instant plus `duration` cut to whole microseconds, at most [`Instant::MAX`].
    pub const fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// The time from `earlier` to this instant; zero if `earlier` is in fact later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Whole microseconds of a duration, at most `u64::MAX`.
pub(crate) const fn micros(duration: Duration) -> u64 {
    let micros = duration.as_micros();
    if micros > u64::MAX as u128 {
        u64::MAX
    } else {
        micros as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saturates_at_both_ends() {
        assert_eq!(Instant::MAX.saturating_add(Duration::MAX), Instant::MAX);
        assert_eq!(Instant::ZERO.saturating_add(Duration::MAX), Instant::MAX);
        assert_eq!(Instant::ZERO.saturating_since(Instant::MAX), Duration::ZERO);
        assert_eq!(Instant::from_millis(u64::MAX), Instant::MAX);
        assert_eq!(
            Instant::MAX.saturating_since(Instant::ZERO),
            Duration::from_micros(u64::MAX)
        );
    }

    #[test]
    fn cuts_to_whole_microseconds() {
        assert_eq!(micros(Duration::from_nanos(1_999)), 1);
        assert_eq!(micros(Duration::MAX), u64::MAX);
    }
}
