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
//! let timeout = Some(Duration::from_secs(30)); // only seen by `poll`: see below
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
//! # Time-outs
//! Nothing happens because time passes: somebody has to call [`poll`](pool::Pool::poll), at the time that
//! [`poll_at`](pool::Pool::poll_at) names. `take` sees the time-out of a job that waits when its turn comes; *that of a job
//! that runs takes effect in `poll` alone*. With a run time-out of 10 ms, jobs that take 0 to 19 ms and nobody who polls,
//! all of them complete. So let a timer, a thread or an idle worker poll, not a worker that may be busy then. (Only an
//! attempt that may be repeated after its time-out has it without `poll`, when its handler returns: see
//! [`Policy::after_timeouts`](pool::Policy::after_timeouts).)
//!
//! ```
//! # use std::time::Duration;
//! # use weirpool_core::pool::{Config, Finish, Outcome, Poll, Pool, Settled, Submit, Take, WorkerId};
//! # use weirpool_core::time::Instant;
//! static POOL: Pool<&str, 20> = Pool::new(Config::DEFAULT);
//! let options = Submit { run_timeout: Some(Duration::from_millis(10)), ..Submit::DEFAULT };
//! let ms = Instant::from_millis;
//!
//! // Nobody polls: it runs for 19 ms and completes.
//! POOL.submit("slow", options, ms(0)).unwrap();
//! let Take::Job(running) = POOL.take(WorkerId(0), ms(0)) else { panic!("a job waits") };
//! let Finish::Settled(done) = POOL.finish(running, Outcome::Success, ms(19)) else { panic!("nobody polled") };
//! assert_eq!(done.result, Settled::Completed);
//!
//! // Somebody polls when it is due: it is settled then, and its result is stale.
//! POOL.submit("slow", options, ms(20)).unwrap();
//! let Take::Job(running) = POOL.take(WorkerId(0), ms(20)) else { panic!("a job waits") };
//! assert_eq!(POOL.poll_at(ms(20)), Some(ms(30)));
//! assert!(matches!(POOL.poll(ms(30)), Poll::TimedOut(_)));
//! assert!(matches!(POOL.finish(running, Outcome::Success, ms(39)), Finish::Stale("slow")));
//! ```
//!
//! # The parts
//! [`pool`] composes the others, and its documentation has the laws that hold. Each of the others works alone:
//! [`queue`], [`breaker`], [`rate`], [`concurrency`], [`adaptive`], [`retry`], [`histogram`], [`metrics`] and [`time`].
//!
//! The four usual pools are configurations of one, each with an example in `examples/`: `basic` (a bounded queue and a
//! fixed number of workers), `dynamic` (a limit that changes while jobs run), `priority` (lanes that age) and `advanced`
//! (rate, breakers for kinds of jobs, retries, deadlines and a limit that adapts itself).
//!
//! # Complexity
//! A job's way through the pool, and an item's through the queue, takes a fixed number of *sweeps*: two for an item or a
//! plain job, six for a job with time-outs, at most ten more for each retry. A sweep is at most two tries on each of
//! `⌈log₈ slots⌉` levels (two at 64 slots, four at 4096), each a look at eight words. The other parts take a constant number
//! of steps, a snapshot of a histogram one for each of its 240 buckets. What is done over again beyond that is done
//! because another context made progress meanwhile.
//!
//! # What was decided against
//! - *A ring for the queue*, such as `heapless::mpmc` or `crossbeam_queue::ArrayQueue`: whoever is stopped between taking
//!   a position and filling it holds the others up (an interrupt would spin for ever), or makes them see a queue that is
//!   full and empty at once. And an item that is cancelled behind a waiting head keeps its place until the head is gone.
//! - *A word of ready bits for each lane*: exact and short, but who looks for the next of `n` items looks at `n` keys; it
//!   ends at a word's 32 slots, and deadlines, delays and time-outs would each want a structure of their own. The tournament
//!   is one for all four. It costs a plain queue's speed.
//! - *A heap or a list in a critical section*: interrupts would wait for the longest operation, and other cores and a
//!   browser's page, which may not block, would have to spin.
//! - *A lane for each level of priority that is served by turns or weights*: the bound on a job's wait would depend on what
//!   else is queued. The age in one key gives a bound in time, whatever comes.
//! - *A clock*: there is none that is right for an interrupt, a page and a test. Time as an argument also replays.
//! - *64-bit words everywhere*: where a target lacks them they are emulated under a lock that an interrupt can find taken.
//! - *Futures and wakers*: a waker is a call into code that may lock or allocate. [`poll_at`](pool::Pool::poll_at) and
//!   [`wants_worker`](pool::Pool::wants_worker) say when and whom to wake, by whatever means there are.
//!
//! # When not to use it
//! Where jobs only wait for input and output, an async runtime with a semaphore is simpler. Where jobs must outlive the
//! process or outgrow the machine, use a queue that is made for it, and a pool like this inside its workers. Where one
//! thread owns everything, a `VecDeque` will do.
//!
//! # Targets
//! Words of 64 bits where the target has such atomics, else of 32; limits that differ say so. Targets without
//! compare-and-swap (Cortex-M0 and M0+, RISC-V without the extension A) need the feature `portable-atomic`, and the final
//! binary chooses that crate's `unsafe-assume-single-core` or `critical-section`.
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
pub mod queue;
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
mod schedule;
mod sync;
mod table;
mod terms;
mod tournament;
