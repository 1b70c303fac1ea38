//! Every interleaving of small scenes at the gates, checked by loom.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 cargo test -p weirpool-core --release --test loom_gates`
//!
//! Under loom a breaker remembers two changes of state, so that few calls overwrite one.
#![cfg(loom)]

use loom::{model, sync::Arc, thread};
use std::time::Duration;
use weirpool_core::{
    breaker::{Breaker, Cause, Config, Recorded, State, Transition, Verdict},
    time::Instant,
};

const NOW: Instant = Instant::from_millis(1);
const RUN: Duration = Duration::from_micros(1);

/// Opens at the first failure, closes after the first probe.
fn touchy() -> Config {
    Config {
        consecutive: Some(1),
        failure_rate: None,
        probes: 1,
        ..Config::DEFAULT
    }
}

/// A change of state that must read as it was made, whichever one it is.
fn check_whole(seen: &[Transition]) {
    for change in seen {
        // Every test here makes the change of generation g at g seconds.
        assert_eq!(change.at, Instant::from_millis(1000 * u64::from(change.generation)));
        assert_eq!(change.to, change.cause.to());
        match change.cause {
            Cause::Consecutive => assert_eq!(change.from, State::Closed),
            Cause::PauseOver => assert_eq!(change.from, State::Open),
            _ => {}
        }
    }
    assert!(seen.is_sorted_by_key(|change| change.generation));
}
