//! A bounded job pool that keeps control: priorities, deadlines, cancellation, limits, circuit breaking, metrics.
#![no_std]
#![warn(missing_docs)]

mod gate;
mod key;

pub mod breaker;
pub mod concurrency;
pub mod error;
pub mod histogram;
pub mod metrics;
pub mod pool;
pub mod rate;
pub mod time;

mod queue;
mod sync;
mod table;
