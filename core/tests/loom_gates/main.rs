//! Every interleaving of small scenes at the gates, checked by loom.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 cargo test -p weirpool-core --release --test loom_gates`
//!
//! Under loom a breaker remembers two changes of state, so that few calls overwrite one.
#![cfg(loom)]

mod breaker;
mod histogram;
mod kinds;
mod limits;

use std::time::Duration;

use weirpool_core::{breaker::Config, time::Instant};

const NARROW: bool = cfg!(any(weirpool_narrow, not(target_has_atomic = "64")));
const RUN: Duration = Duration::from_micros(1);

/// A millisecond is the unit of the scenes' times.
fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// Opens for 1 ms at the first failure, closes after the first probe, whose lease is 3 ms: short enough that narrow
/// words round nothing.
const TOUCHY: Config = Config {
    consecutive: Some(1),
    failure_rate: None,
    probes: 1,
    pause: Duration::from_millis(1),
    max_pause: Duration::from_millis(4),
    lease: Duration::from_millis(3),
    ..Config::DEFAULT
};

/// As `loom::model`, for scenes with a whole pool.
fn model_pool(scene: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    builder.check(scene);
}
