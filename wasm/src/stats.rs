//! A pool's metrics as a row of numbers with names, for the page.

use weirpool_core::histogram::Summary;
use weirpool_core::time::Instant;

use crate::clock;
use crate::pool::Core;

/// The names of `numbers`, in their order, separated by commas.
pub const NAMES: &str = "submitted,accepted,refused_full,refused_rate,refused_breaker,refused_in_flight,\
    refused_closed,refused_timeout,refused_abort,refused_input,started,completed,failed,timed_out,cancelled,\
    retried,panicked,stale,worker_crashes,resets,queued,delayed,running,abandoned,limit,\
    wait_count,wait_mean,wait_max,wait_p50,wait_p90,wait_p99,wait_p999,\
    run_count,run_mean,run_max,run_p50,run_p90,run_p99,run_p999,\
    total_count,total_mean,total_max,total_p50,total_p90,total_p99,total_p999,\
    breaker_state,breaker_generation,breaker_failure_rate,breaker_slow_rate,breaker_opened,\
    breaker_stale,breaker_retry_after";
const COUNTS: usize = 25;
const BREAKER: usize = 7;

// As many names as numbers.
const _: () = {
    let (mut names, mut at) = (1, 0);
    while at < NAMES.len() {
        names += (NAMES.as_bytes()[at] == b',') as usize;
        at += 1;
    }
    assert!(names == COUNTS + 3 * 7 + BREAKER);
};

/// Counts and gauges, then wait, run and total in µs, then the breaker (its rates as fractions).
pub fn numbers(pool: &Core, now: Instant) -> Vec<f64> {
    let all = pool.snapshot();
    let counts: [u64; COUNTS] = [
        all.submitted,
        all.accepted,
        all.refused_full,
        all.refused_rate,
        all.refused_breaker,
        all.refused_in_flight,
        all.refused_closed,
        all.refused_timeout,
        all.refused_abort,
        all.refused_input,
        all.started,
        all.completed,
        all.failed,
        all.timed_out,
        all.cancelled,
        all.retried,
        all.panicked,
        all.stale,
        all.worker_crashes,
        all.resets,
        all.queued.into(),
        all.delayed.into(),
        all.running.into(),
        all.abandoned.into(),
        all.limit.into(),
    ];
    let mut numbers: Vec<f64> = counts.map(|count| count as f64).into();
    for Summary {
        count,
        mean,
        max,
        p50,
        p90,
        p99,
        p999,
    } in [all.wait, all.run, all.total]
    {
        numbers.extend([count, mean, max, p50, p90, p99, p999].map(|number| number as f64));
    }
    let breaker = pool.breaker().snapshot(now);
    let fraction = |per_million: u32| f64::from(per_million) / 1e6;
    let breaker: [f64; BREAKER] = [
        f64::from(breaker.state as u32),
        breaker.generation.into(),
        fraction(breaker.failure_rate),
        fraction(breaker.slow_rate),
        breaker.opened.into(),
        breaker.stale.into(),
        breaker.retry_after.map_or(0.0, clock::micros),
    ];
    numbers.extend(breaker);
    numbers
}
