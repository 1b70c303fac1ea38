//! A pool's metrics as a row of numbers with names, for the page.

use weirpool_core::histogram::Summary;
use weirpool_core::pool::Pool;
use weirpool_core::time::Instant;

use crate::record::Token;

/// The names of `numbers`, in their order, separated by commas.
pub fn names() -> String {
    const TIMES: [&str; 7] = ["count", "mean", "max", "p50", "p90", "p99", "p999"];
    let mut names: Vec<_> = COUNTS.iter().map(ToString::to_string).collect();
    for time in ["wait", "run", "total"] {
        names.extend(TIMES.map(|part| format!("{time}_{part}")));
    }
    names.extend(BREAKER.map(|part| format!("breaker_{part}")));
    names.join(",")
}

/// Counts and gauges, then wait, run and total in µs, then the breaker (its rates as fractions).
pub fn numbers<const SLOTS: usize>(pool: &Pool<Token, SLOTS>, now: Instant) -> Vec<f64> {
    let all = pool.snapshot();
    let counts: [u64; COUNTS.len()] = [
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
    let breaker: [f64; BREAKER.len()] = [
        f64::from(breaker.state as u32),
        breaker.generation.into(),
        fraction(breaker.failure_rate),
        fraction(breaker.slow_rate),
        breaker.opened.into(),
        breaker.stale.into(),
        breaker
            .retry_after
            .map_or(0.0, |wait| wait.as_micros() as f64),
    ];
    numbers.extend(breaker);
    numbers
}

const COUNTS: [&str; 24] = [
    "submitted",
    "accepted",
    "refused_full",
    "refused_rate",
    "refused_breaker",
    "refused_in_flight",
    "refused_closed",
    "refused_timeout",
    "refused_abort",
    "refused_input",
    "started",
    "completed",
    "failed",
    "timed_out",
    "cancelled",
    "retried",
    "panicked",
    "stale",
    "worker_crashes",
    "resets",
    "queued",
    "delayed",
    "running",
    "abandoned",
];

const BREAKER: [&str; 7] = [
    "state",
    "generation",
    "failure_rate",
    "slow_rate",
    "opened",
    "stale",
    "retry_after",
];
