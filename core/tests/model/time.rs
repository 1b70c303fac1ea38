//! Times as numbers of microseconds, and as the pool keeps them.

use std::time::Duration;

use super::order::NARROW;

/// With 32-bit words time-outs are kept in milliseconds, rounded up.
const TICK: u64 = if NARROW { 1000 } else { 1 };

pub fn after(now: u64, timeout: Option<Duration>) -> u64 {
    timeout.map_or(u64::MAX, |timeout| {
        now.saturating_add(u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX))
    })
}

pub fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}

pub fn since(now: u64, earlier: u64) -> Duration {
    Duration::from_micros(now.saturating_sub(earlier))
}

/// A deadline as the timers keep it.
pub fn due(at: u64) -> u64 {
    if at == u64::MAX {
        at
    } else {
        at.div_ceil(TICK) * TICK
    }
}

pub fn is_due(at: u64, now: u64) -> bool {
    at != u64::MAX && at <= now / TICK * TICK
}
