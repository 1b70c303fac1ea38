//! The page's clock, in every thread.
//!
//! `performance.now()` counts from a `timeOrigin` of its own in every worker; the difference to the
//! page's is added, so that times of different threads can be compared. They may still differ by
//! the timer's resolution: the core takes equal and backward times.

use std::cell::Cell;
use std::time::Duration;

use wasm_bindgen::prelude::*;
use web_sys::Performance;
use weirpool_core::time::Instant;

#[wasm_bindgen]
extern "C" {
    /// Fetched once a thread: looking `performance` up in the global scope at every call takes three
    /// times as long as the call.
    #[wasm_bindgen(thread_local_v2, js_name = performance)]
    static PERFORMANCE: Performance;
}

thread_local! {
    /// What this thread's clock is ahead of the page's by, in µs.
    static OFFSET: Cell<f64> = const { Cell::new(0.0) };
}

/// Sets this thread's clock by the page's `performance.timeOrigin` (ms).
pub fn set_origin(page_origin: f64) {
    let own_origin = PERFORMANCE.with(Performance::time_origin);
    OFFSET.set((own_origin - page_origin) * 1000.0);
}

/// µs on the page's clock.
pub fn now() -> f64 {
    PERFORMANCE.with(Performance::now) * 1000.0 + OFFSET.get()
}

/// µs for the page; the longest duration is endless.
pub fn micros(duration: Duration) -> f64 {
    if duration == Duration::MAX {
        f64::INFINITY
    } else {
        duration.as_micros() as f64
    }
}

/// µs on the page's clock as the core's time; before the epoch is the epoch.
pub fn instant(us: f64) -> Instant {
    Instant::from_micros(us as u64)
}
