//! Time as an argument.
#![forbid(unsafe_code)]
pub use core::time::Duration;
/// Microseconds since an epoch of the caller's choice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(u64);
impl Instant {
    /// The epoch.
    pub const ZERO: Self = Self(0);
    /// The latest.
    pub const MAX: Self = Self(u64::MAX);
    /// From µs.
    pub const fn from_micros(us: u64) -> Self {
        Self(us)
    }
    /// From ms.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1000))
    }
    /// In µs.
    pub const fn as_micros(self) -> u64 {
        self.0
    }
    /// Later by.
    pub const fn saturating_add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(micros(d)))
    }
    /// Since.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}
pub(crate) const fn micros(d: Duration) -> u64 {
    let us = d.as_micros();
    if us > u64::MAX as u128 {
        u64::MAX
    } else {
        us as u64
    }
}
