//! Breaker.
#![forbid(unsafe_code)]
use crate::{sync::const_fn, time::Instant};
use core::time::Duration;
/// Config.
#[derive(Clone, Copy, Debug)]
pub struct Config {}
/// Permit.
#[derive(Clone, Copy, Debug)]
pub struct Permit {
    generation: u32,
}
impl Permit {
    pub(crate) fn to_bits(self) -> u32 {
        self.generation
    }
    pub(crate) fn from_bits(generation: u32) -> Self {
        Self { generation }
    }
}
/// Verdict.
#[derive(Clone, Copy, Debug)]
pub enum Verdict {
    /// ok
    Success,
    /// bad
    Failure,
}
/// Breaker.
#[derive(Debug)]
pub struct Breaker {}
impl Breaker {
    const_fn! {
        /// New.
        pub const fn try_new(_config: Config) -> Result<Self, crate::error::ConfigError> { Ok(Self {}) }
        /// Disabled.
        pub const fn disabled() -> Self { Self {} }
    }
    /// Check.
    pub fn check(&self, _now: Instant) -> Result<(), Duration> {
        Ok(())
    }
    /// Acquire.
    pub fn acquire(&self, _now: Instant) -> Result<Permit, Duration> {
        Ok(Permit { generation: 0 })
    }
    /// Record.
    pub fn record(&self, _permit: Permit, _verdict: Verdict, _run: Duration, _now: Instant) {}
    /// Release.
    pub fn release(&self, _permit: Permit, _now: Instant) {}
}
