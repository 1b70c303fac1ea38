//! What holds without interrupts: the pool's edges, order and gates, and the single parts.

use core::time::Duration;

use weirpool_core::{
    breaker::{self, Breaker, Recorded, Verdict},
    concurrency::ConcurrencyLimit,
    histogram::Histogram,
    pool::{
        Cancel, Config, Finish, Outcome, Phase, Policy, Poll, Pool, Priority, Refused, Retry,
        Running, Settled, Submit, Take, WorkerId,
    },
    rate::{Quota, RateLimit},
    time::Instant,
};

use crate::now;

const BREAKER: breaker::Config = breaker::Config {
    consecutive: Some(2),
    failure_rate: None,
    pause: Duration::from_millis(5),
    max_pause: Duration::from_millis(10),
    probes: 1,
    lease: Duration::from_millis(5),
    ..breaker::Config::DEFAULT
};

static POOL: Pool<u32, 5> = Pool::new(Config {
    capacity: 4,
    limit: 1,
    most_running: 1,
    breaker: Some(BREAKER),
    ..Config::DEFAULT
});

fn submit(job: u32) -> Result<(), Refused<u32>> {
    POOL.submit(job, Submit::DEFAULT, now()).map(drop)
}

fn take() -> Option<Running<u32>> {
    match POOL.take(WorkerId(0), now()) {
        Take::Job(running) => Some(running),
        _ => None,
    }
}

/// Runs the next job.
fn run(outcome: Outcome) -> Option<u32> {
    match POOL.finish(take()?, outcome, now()) {
        Finish::Settled(completion) => Some(completion.job),
        Finish::Retry { .. } | Finish::Stale(_) => None,
    }
}

fn wait_until(due: Instant) {
    while now() < due {
        cortex_m::asm::nop();
    }
}

/// Everything that was accepted is settled.
fn assert_settled() {
    assert_eq!(run(Outcome::Success), None, "the queue is empty");
    let seen = POOL.snapshot();
    assert_eq!(seen.accepted, seen.settled());
    assert_eq!((seen.queued, seen.running, seen.abandoned), (0, 0, 0));
}

pub(crate) fn full_and_empty_are_exact() {
    assert_eq!(run(Outcome::Success), None);
    let handles: [_; 4] =
        core::array::from_fn(|job| POOL.submit(job as u32, Submit::DEFAULT, now()).unwrap());
    assert_eq!(submit(4), Err(Refused::Full(4)));

    let Cancel::Removed(removed) = POOL.cancel(handles[1], now()) else {
        panic!("it waits")
    };
    assert_eq!((removed.job, removed.result), (1, Settled::Cancelled));
    assert_eq!(submit(4), Ok(()), "its place is free at once");
    assert_eq!(submit(5), Err(Refused::Full(5)));

    let running = take().unwrap();
    assert_eq!(*running.job(), 0);
    assert!(take().is_none(), "the limit is one");
    assert_eq!(submit(5), Ok(()), "who runs has left the queue");
    assert_eq!(submit(6), Err(Refused::Full(6)));
    assert!(matches!(
        POOL.cancel(running.handle(), now()),
        Cancel::Signalled
    ));
    assert!(take().is_none(), "its handler still runs");
    assert!(matches!(
        POOL.finish(running, Outcome::Success, now()),
        Finish::Stale(0)
    ));
    for job in 2..6 {
        assert_eq!(run(Outcome::Success), Some(job));
    }
    assert_settled();
}

pub(crate) fn priorities_and_order_are_kept() {
    let lanes = [
        Priority::Low,
        Priority::Normal,
        Priority::Critical,
        Priority::Normal,
    ];
    for (job, priority) in (0..).zip(lanes) {
        let options = Submit {
            priority,
            ..Submit::DEFAULT
        };
        POOL.submit(job, options, now()).unwrap();
    }
    for job in [2, 1, 3, 0] {
        assert_eq!(run(Outcome::Success), Some(job));
    }
    assert_settled();
}

pub(crate) fn a_time_out_comes_with_its_tick() {
    let options = Submit {
        queue_timeout: Some(Duration::from_millis(3)),
        ..Submit::DEFAULT
    };
    let submitted = now();
    let due = submitted.saturating_add(Duration::from_millis(3));
    POOL.submit(1, options, submitted).unwrap();
    assert!(matches!(POOL.poll(submitted), Poll::Idle { next: Some(next) } if next == due));
    wait_until(due);
    let Poll::Settled(done) = POOL.poll(now()) else {
        panic!("it is due")
    };
    assert_eq!(
        (done.job, done.result),
        (1, Settled::TimedOut(Phase::Queue))
    );
    assert_settled();
}

pub(crate) fn a_failed_job_is_tried_again_after_its_backoff() {
    let backoff = Duration::from_millis(4);
    let policy = Policy::new(2, backoff, backoff).unwrap();
    let options = Submit {
        retry: Retry::Policy(policy),
        ..Submit::DEFAULT
    };
    POOL.submit(1, options, now()).unwrap();
    let Finish::Retry { at } = POOL.finish(take().unwrap(), Outcome::Failure, now()) else {
        panic!("it has an attempt left")
    };
    assert!(at > now());
    assert_eq!(POOL.snapshot().delayed, 1);
    // The promise is kept to a tick.
    wait_until(POOL.poll_at(now()).unwrap());
    assert!(matches!(POOL.poll(now()), Poll::Promoted(_)));
    let running = take().unwrap();
    assert_eq!(running.attempt(), 2);
    assert!(matches!(
        POOL.finish(running, Outcome::Success, now()),
        Finish::Settled(done) if done.result == Settled::Completed
    ));
    assert_settled();
}

pub(crate) fn the_pools_gates_follow_the_ticks() {
    for job in 0..2 {
        submit(job).unwrap();
        assert_eq!(run(Outcome::Failure), Some(job));
    }
    let Err(Refused::Open {
        job: 2,
        retry_after,
    }) = submit(2)
    else {
        panic!("two failures in a row open it")
    };
    wait_until(now().saturating_add(retry_after));
    assert_eq!(submit(2), Ok(()));
    assert_eq!(run(Outcome::Success), Some(2));
    assert_eq!(POOL.breaker().state(now()), breaker::State::Closed);

    // One at once, and the next ten ticks later.
    POOL.set_quota(Some(Quota::per_second(100).with_burst(1)), now());
    assert_eq!(submit(3), Ok(()));
    let Err(Refused::Limited {
        job: 4,
        retry_after,
    }) = submit(4)
    else {
        panic!("the burst is one")
    };
    wait_until(now().saturating_add(retry_after));
    assert_eq!(submit(4), Ok(()));
    POOL.set_quota(None, now());
    assert_eq!(submit(5), Ok(()));
    for job in 3..6 {
        assert_eq!(run(Outcome::Success), Some(job));
    }
    assert_settled();
}

pub(crate) fn the_breaker_opens_and_recovers() {
    static ALONE: Breaker = Breaker::new(BREAKER);
    let at = Instant::from_millis;
    let report = |verdict, now| {
        let permit = ALONE.acquire(now).unwrap();
        ALONE.record(permit, verdict, Duration::ZERO, now)
    };
    let late = ALONE.acquire(at(0)).unwrap();
    assert_eq!(report(Verdict::Failure, at(0)), Recorded::Counted);
    assert_eq!(report(Verdict::Failure, at(0)), Recorded::Opened);
    let wait = ALONE.acquire(at(1)).unwrap_err();
    assert!(wait >= Duration::from_millis(4), "{wait:?}");
    let probe = ALONE.acquire(at(1).saturating_add(wait)).unwrap();
    assert_eq!(
        ALONE.record(late, Verdict::Failure, Duration::ZERO, at(6)),
        Recorded::Stale
    );
    assert_eq!(
        ALONE.record(probe, Verdict::Success, Duration::ZERO, at(6)),
        Recorded::Closed
    );
}

pub(crate) fn the_rate_limit_is_exact() {
    static LIMIT: RateLimit = RateLimit::new(Some(Quota::per_second(1_000).with_burst(3)));
    let start = Instant::from_millis(1_000);
    for _ in 0..3 {
        assert_eq!(LIMIT.check(start), Ok(()));
    }
    let wait = LIMIT.check(start).unwrap_err();
    assert_eq!(wait, Duration::from_millis(1));
    let sooner = Instant::from_micros(1_000_999);
    assert_eq!(LIMIT.check(sooner), Err(Duration::from_micros(1)));
    assert_eq!(LIMIT.check(start.saturating_add(wait)), Ok(()));
}

pub(crate) fn the_concurrency_limit_is_exact() {
    static LIMIT: ConcurrencyLimit = ConcurrencyLimit::new(2);
    assert!(LIMIT.try_acquire() && LIMIT.try_acquire() && !LIMIT.try_acquire());
    LIMIT.set(3);
    assert!(LIMIT.try_acquire() && !LIMIT.try_acquire());
    LIMIT.set(1);
    LIMIT.release();
    LIMIT.release();
    assert!(!LIMIT.try_acquire());
    LIMIT.release();
    assert!(LIMIT.try_acquire());
}

pub(crate) fn the_histogram_counts() {
    static HISTOGRAM: Histogram = Histogram::new();
    for value in 1..=1_000 {
        HISTOGRAM.record(value);
    }
    // The sum carries into its upper half.
    HISTOGRAM.record(u64::from(u32::MAX));
    HISTOGRAM.record(u64::from(u32::MAX));
    let seen = HISTOGRAM.snapshot();
    assert_eq!(seen.count(), 1_002);
    assert_eq!(seen.sum(), 500_500 + 2 * u64::from(u32::MAX));
    assert_eq!(seen.max(), u64::from(u32::MAX));
    let [median, p90] = seen.quantiles([500_000, 900_000]);
    // A bucket is an eighth of its power of two.
    assert!((501..=501 + 63).contains(&median), "{median}");
    assert!((902..=902 + 63).contains(&p90), "{p90}");
}
