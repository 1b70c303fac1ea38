//! Breaker, rate limit and histogram beside their peers.

use std::{
    cell::Cell,
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use criterion::Criterion;
use failsafe::{backoff, failure_policy};
use governor::{clock::Clock, nanos::Nanos};
use weirpool_core::{
    breaker::{self, Breaker, Verdict},
    histogram::Histogram,
    rate::{Quota, RateLimit},
    time::Instant,
};

use crate::threads::compete;

pub(crate) fn bench(criterion: &mut Criterion) {
    for threads in [1, 2] {
        breaker(criterion, threads, "breaker, calls succeed", |_| false);
        let name = "breaker, one call in eight fails";
        breaker(criterion, threads, name, |call| call % 8 == 0);
        let quota = (10_000_000, u32::MAX);
        rate(criterion, threads, "rate check, granted", quota, true);
        rate(criterion, threads, "rate check, denied", (1, 1), false);
        rate_wait(criterion, threads);
        histogram(criterion, threads);
    }
}

/// A permit and the record of its outcome; the breakers stay closed.
fn breaker(
    criterion: &mut Criterion,
    threads: u64,
    name: &str,
    fails: impl Fn(u64) -> bool + Sync,
) {
    let mut group = criterion.benchmark_group(name);
    let ours = Breaker::new(breaker::Config::DEFAULT);
    compete(&mut group, threads, "weirpool", |call| {
        let now = Instant::from_micros(call);
        let permit = ours.acquire(now).unwrap();
        let verdict = if fails(call) {
            Verdict::Failure
        } else {
            Verdict::Success
        };
        let _ = black_box(ours.record(permit, verdict, Duration::ZERO, now));
    });
    let in_a_row = failure_policy::consecutive_failures(
        5,
        backoff::exponential(Duration::from_secs(10), Duration::from_secs(60)),
    );
    let theirs = failsafe::Config::new().failure_policy(in_a_row).build();
    compete(&mut group, threads, "failsafe, in a row only", |call| {
        failsafe_call(&theirs, fails(call));
    });
    let theirs = failsafe::Config::new().build();
    compete(&mut group, threads, "failsafe", |call| {
        failsafe_call(&theirs, fails(call));
    });
    let theirs = recloser::Recloser::custom().closed_len(20).build();
    compete(&mut group, threads, "recloser", |call| {
        let outcome = || if fails(call) { Err(()) } else { Ok(()) };
        let _ = black_box(theirs.call(outcome));
    });
}

#[inline(always)]
fn failsafe_call(breaker: &failsafe::StateMachine<impl failsafe::FailurePolicy, ()>, fails: bool) {
    assert!(breaker.is_call_permitted());
    if fails {
        breaker.on_error();
    } else {
        breaker.on_success();
    }
}

/// A check. Its time is given to both, a microsecond later at every check.
fn rate(criterion: &mut Criterion, threads: u64, name: &str, quota: (u32, u32), granted: bool) {
    let mut group = criterion.benchmark_group(name);
    let (ours, theirs) = limits(quota);
    compete(&mut group, threads, "weirpool", |check| {
        let passed = ours.check(Instant::from_micros(time(check, granted)));
        assert_eq!(passed.is_ok(), granted);
    });
    compete(&mut group, threads, "governor", |check| {
        MICROS.set(time(check, granted));
        assert_eq!(theirs.check().is_ok(), granted);
    });
}

/// A check that is denied, and how long to wait then, which ours tells anyway.
fn rate_wait(criterion: &mut Criterion, threads: u64) {
    let mut group = criterion.benchmark_group("rate check, denied until when");
    let (ours, theirs) = limits((1, 1));
    compete(&mut group, threads, "weirpool", |check| {
        let denied = ours.check(Instant::from_micros(time(check, false)));
        black_box(denied.unwrap_err());
    });
    compete(&mut group, threads, "governor", |check| {
        MICROS.set(time(check, false));
        let denied = theirs.check().unwrap_err();
        black_box(denied.wait_time_from(GivenTime.now()));
    });
}

/// So many a second and so many at once, the first of them taken.
fn limits((limit, burst): (u32, u32)) -> (RateLimit, Governor) {
    let quota = Quota::new(limit, Duration::from_secs(1)).unwrap();
    let ours = RateLimit::new(Some(quota.with_burst(burst)));
    let _ = ours.check(Instant::ZERO);
    let quota = governor::Quota::per_second(limit.try_into().unwrap())
        .allow_burst(burst.try_into().unwrap());
    let theirs = governor::RateLimiter::direct_with_clock(quota, GivenTime);
    let _ = theirs.check();
    (ours, theirs)
}

type Governor = governor::RateLimiter<
    governor::state::NotKeyed,
    governor::state::InMemoryState,
    GivenTime,
    governor::middleware::NoOpMiddleware<Nanos>,
>;

/// Time stands still where every check is to be denied.
fn time(check: u64, granted: bool) -> u64 {
    if granted { check } else { 0 }
}

thread_local! {
    static MICROS: Cell<u64> = const { Cell::new(0) };
}

/// The clock that governor reads.
#[derive(Clone)]
struct GivenTime;

impl Clock for GivenTime {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(MICROS.get() * 1_000)
    }
}

/// A record of a value up to 67 ms in microseconds, which is what a job's time may be.
fn histogram(criterion: &mut Criterion, threads: u64) {
    let mut group = criterion.benchmark_group("histogram record");
    let value = |record: u64| record.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
    let ours = Histogram::new();
    compete(&mut group, threads, "weirpool", |record| {
        ours.record(value(record));
    });
    // The same precision and range as ours; it keeps neither a sum nor a maximum.
    let theirs = histogram::AtomicHistogram::new(3, 32).unwrap();
    compete(&mut group, threads, "histogram, atomic", |record| {
        theirs.increment(value(record)).unwrap();
    });
    // What it takes to tell the same of the values as ours does.
    let (sum, max) = (AtomicU64::new(0), AtomicU64::new(0));
    let name = "histogram, atomic, and sum and maximum";
    compete(&mut group, threads, name, |record| {
        let value = value(record);
        theirs.increment(value).unwrap();
        sum.fetch_add(value, Ordering::Relaxed);
        if value > max.load(Ordering::Relaxed) {
            max.fetch_max(value, Ordering::Relaxed);
        }
    });
    // It is not for several threads without a lock.
    let theirs = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 1 << 32, 1).unwrap();
    let theirs = parking_lot::Mutex::new(theirs);
    compete(&mut group, threads, "hdrhistogram in a mutex", |record| {
        theirs.lock().saturating_record(value(record));
    });
}
