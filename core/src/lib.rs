//! A bounded job pool that keeps control: priorities, deadlines, cancellation, limits, circuit breaking, retries and
//! metrics.
//!
//! It is the part that decides: which job is let in, which one runs next, what its end means. It runs nothing itself.
//! There is no allocation, no clock, no thread and no lock in it: time is an argument, every operation goes through
//! `&self`, takes a number of steps that does not depend on how many jobs wait, and waits for nobody. One pool in a
//! `static` serves threads, interrupts and a browser's page that may not block.
//!
//! ```
//! use std::time::Duration;
//! use weirpool_core::pool::{Config, Finish, Outcome, Pool, Priority, Settled, Submit, Take, WorkerId};
//! use weirpool_core::time::Instant;
//!
//! static POOL: Pool<u32, 20> = Pool::new(Config { capacity: 16, limit: 4, most_running: 4, ..Config::DEFAULT });
//!
//! let now = Instant::from_millis(1000);
//! let timeout = Some(Duration::from_secs(30));
//! POOL.submit(1, Submit { run_timeout: timeout, ..Submit::DEFAULT }, now).unwrap();
//! POOL.submit(2, Submit { priority: Priority::High, ..Submit::DEFAULT }, now).unwrap();
//!
//! // A worker's loop; `run` is the caller's.
//! # let run = |job: &u32| if *job == 2 { Ok(()) } else { Err(()) };
//! # let mut results = vec![];
//! while let Take::Job(running) = POOL.take(WorkerId(0), now) {
//!     let outcome = if run(running.job()).is_ok() { Outcome::Success } else { Outcome::Failure };
//!     if let Finish::Settled(done) = POOL.finish(running, outcome, now) {
//!         results.push((done.job, done.result == Settled::Completed));
//!     }
//! }
//! assert_eq!(results, [(2, true), (1, false)]);
//! ```
//!
//! # The parts
//! [`pool`] composes the others, and its documentation has the laws that hold. Each of the others works alone:
//! [`breaker`], [`rate`], [`concurrency`], [`adaptive`], [`retry`], [`histogram`], [`metrics`] and [`time`].
//!
//! The four usual pools are configurations of one, each with an example in `examples/`: `basic` (a bounded queue and a
//! fixed number of workers), `dynamic` (a limit that changes while jobs run), `priority` (lanes that age) and `advanced`
//! (rate, breakers for kinds of jobs, retries, deadlines and a limit that adapts itself).
//!
//! # When not to use it
//! Where jobs only wait for input and output, an async runtime with a semaphore is simpler. Where jobs must outlive the
//! process or outgrow the machine, use a queue that is made for it, and a pool like this inside its workers. Where one
//! thread owns everything, a `VecDeque` will do.
//!
//! # Targets
//! Words of 64 bits where the target has such atomics, else of 32; limits that differ say so. Targets without
//! compare-and-swap need the feature `portable-atomic`, and the final binary chooses that crate's
//! `unsafe-assume-single-core` or `critical-section`.
#![no_std]
#![deny(missing_docs)]
#![cfg_attr(
    any(weirpool_narrow, not(target_has_atomic = "64")),
    allow(
        clippy::unnecessary_cast,
        clippy::useless_conversion,
        reason = "they are needed where words are wide"
    )
)]

pub mod adaptive;
pub mod breaker;
pub mod concurrency;
pub mod error;
pub mod histogram;
pub mod metrics;
pub mod pool;
pub mod rate;
pub mod retry;
pub mod time;

mod attempt;
mod breakers;
mod config;
mod control;
mod countdown;
mod gate;
mod job;
mod key;
mod ledger;
mod queue;
mod schedule;
mod sync;
mod table;
mod terms;
