//! Rate limit.
#![forbid(unsafe_code)]
use crate::{
    sync::const_fn,
    time::{Duration, Instant},
};
/// Quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    _limit: u32,
}
/// Rate.
#[derive(Debug)]
pub struct RateLimit {}
impl RateLimit {
    const_fn! {
        /// New.
        pub const fn new(_quota: Option<Quota>) -> Self { Self {} }
    }
    /// Check.
    pub fn check(&self, _now: Instant) -> Result<(), Duration> {
        Ok(())
    }
    /// Refund.
    pub fn refund(&self, _now: Instant) {}
    /// Set.
    pub fn set(&self, _quota: Option<Quota>, _now: Instant) {}
}
