//! weirpool's core on a rayon thread pool in web workers: the wasm half of the npm package.
//!
//! - [`handlers`], [`Value`], [`Context`], [`JobError`]: what a job is to the function that runs it.
//! - `chunk`: several values in one job.
//! - `record`, `terms`, `list`: a job's place in shared memory and how it comes back to the page.
//! - `retries`, `progress`: what the page hears of a job before its end.
//! - `pool`, `runner`, `runners`, `threads`: the pool, the task that works for it, how many of them there are, the
//!   threads under it.
//! - `handout`, `solo`: the two ends of a job that runs outside the pool's memory.
//! - `heap`, `clock`, `panic`: allocation without a lock on the page, time, caught panics.
//! - `stats`: the metrics as numbers with names.
//! - `api`: what the page and the workers call.
#![cfg_attr(target_arch = "wasm32", feature(stdarch_wasm_atomic_wait))]
// What leaves this crate goes by `api`, to JavaScript.
#![allow(unreachable_pub)]

#[cfg(target_arch = "wasm32")]
mod api;
#[cfg(any(test, target_arch = "wasm32"))]
mod chunk;
#[cfg(target_arch = "wasm32")]
mod clock;
mod context;
pub mod handlers;
#[cfg(target_arch = "wasm32")]
mod handout;
#[cfg(target_arch = "wasm32")]
mod heap;
pub mod list;
#[cfg(target_arch = "wasm32")]
mod panic;
#[cfg(target_arch = "wasm32")]
mod pool;
pub mod progress;
#[cfg(target_arch = "wasm32")]
mod record;
#[cfg(target_arch = "wasm32")]
mod retries;
#[cfg(target_arch = "wasm32")]
mod runner;
pub mod runners;
#[cfg(target_arch = "wasm32")]
mod solo;
#[cfg(target_arch = "wasm32")]
mod stats;
#[cfg(target_arch = "wasm32")]
mod terms;
#[cfg(all(test, target_arch = "wasm32"))]
mod tests;
#[cfg(target_arch = "wasm32")]
mod threads;
mod value;

pub use context::{Context, JobError};
pub use handlers::{Handler, Handlers, register};
pub use value::{Kind, Value};
