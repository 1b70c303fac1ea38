//! The known defects of the classic pool, each shown to be absent, as far as they concern the core.
#![cfg(not(loom))]

mod hands;

use std::{
    sync::atomic::{AtomicU32, Ordering::*},
    thread,
    time::Duration,
};

use weirpool_core::{
    breaker,
    pool::{
        Cancel, Config, Failure, Finish, Outcome, Poll, Pool, Refused, Settled, State, Submit,
        Take, WorkerId,
    },
    rate::Quota,
    time::Instant,
};

use hands::{at, take};

type Small = Pool<u32, 16>;

const CONFIG: Config = Config {
    capacity: 10,
    limit: 5,
    most_running: 5,
    ..Config::DEFAULT
};
const BREAKER: breaker::Config = breaker::Config {
    consecutive: Some(5),
    failure_rate: None,
    pause: Duration::from_secs(300),
    max_pause: Duration::from_secs(300),
    probes: 1,
    ..breaker::Config::DEFAULT
};

fn submit(pool: &Small, job: u32, now: Instant) {
    pool.submit(job, Submit::DEFAULT, now).unwrap();
}

fn run(pool: &Small, outcome: Outcome, now: Instant) {
    submit(pool, 0, now);
    let Finish::Settled(_) = pool.finish(take(pool, now), outcome, now) else {
        panic!("nobody else settles")
    };
}

/// There: stopping closes the result channel under running workers, which crash when they send.
#[test]
fn closing_under_a_running_job_still_takes_its_result() {
    let pool = Small::new(CONFIG);
    submit(&pool, 1, at(0));
    let running = take(&pool, at(0));
    pool.close();
    assert_eq!(pool.state(), State::Draining);
    let Finish::Settled(done) = pool.finish(running, Outcome::Success, at(5)) else {
        panic!("it is settled here")
    };
    assert_eq!((done.job, done.result), (1, Settled::Completed));
    assert_eq!(pool.state(), State::Closed);
}

/// There: a closed job queue feeds empty jobs to the workers.
#[test]
fn a_closed_queue_hands_out_what_waits_and_then_nothing() {
    let pool = Small::new(CONFIG);
    submit(&pool, 7, at(0));
    pool.close();
    assert_eq!(
        pool.submit(8, Submit::DEFAULT, at(0)),
        Err(Refused::Closed(8))
    );
    let running = take(&pool, at(1));
    assert_eq!(*running.job(), 7);
    let _ = pool.finish(running, Outcome::Success, at(1));
    for _ in 0..10 {
        assert!(matches!(
            pool.take(WorkerId(0), at(2)),
            Take::Empty { next: None }
        ));
    }
}

/// There: the wait for the workers never ends, since their counter is never decremented.
#[test]
fn the_wait_for_the_last_job_ends() {
    let pool = Small::new(CONFIG);
    thread::scope(|scope| {
        for job in 0..10 {
            submit(&pool, job, at(0));
        }
        pool.close();
        for worker in 0..5 {
            let pool = &pool;
            scope.spawn(move || {
                while pool.state() != State::Closed {
                    if let Take::Job(running) = pool.take(WorkerId(worker), at(1)) {
                        let _ = pool.finish(running, Outcome::Success, at(2));
                    }
                }
            });
        }
    });
    assert_eq!(pool.snapshot().completed, 10);
}

/// There: completed, active and average are never updated.
#[test]
fn every_figure_moves() {
    let pool = Small::new(CONFIG);
    submit(&pool, 1, at(0));
    submit(&pool, 2, at(0));
    let running = take(&pool, at(10));
    let seen = pool.snapshot();
    assert_eq!(
        (seen.submitted, seen.queued, seen.running, seen.completed),
        (2, 1, 1, 0)
    );
    let _ = pool.finish(running, Outcome::Success, at(30));
    let seen = pool.snapshot();
    assert_eq!(
        (seen.queued, seen.running, seen.completed, seen.started),
        (1, 0, 1, 1)
    );
    assert_eq!(
        (seen.wait.mean, seen.run.mean, seen.total.mean),
        (10_000, 20_000, 30_000)
    );
}

/// There: the "rate limit" limits no rate.
#[test]
fn the_rate_is_limited_however_fast_jobs_end() {
    let pool = Small::new(Config {
        rate: Some(Quota::new(10, Duration::from_secs(1)).unwrap()),
        ..CONFIG
    });
    let mut accepted = 0;
    for millis in 0..10_000 {
        match pool.submit(1, Submit::DEFAULT, at(millis)) {
            Ok(_) => {
                accepted += 1;
                let running = take(&pool, at(millis));
                let _ = pool.finish(running, Outcome::Success, at(millis));
            }
            Err(Refused::Limited { job, retry_after }) => {
                assert!(job == 1 && retry_after <= Duration::from_millis(100));
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(accepted, 10 + 99, "a burst of 10, then 10 a second");
}

/// Opens the breaker, and says when its pause is over: with 32-bit words that is a little more than what was asked.
fn open(pool: &Small) -> Instant {
    for _ in 0..5 {
        run(pool, Outcome::Failure, at(0));
    }
    let Err(Refused::Open { retry_after, .. }) = pool.submit(0, Submit::DEFAULT, at(0)) else {
        panic!("it is open");
    };
    assert!(
        (300_000..300_100).contains(&retry_after.as_millis()),
        "{retry_after:?}"
    );
    at(0).saturating_add(retry_after)
}

/// There: half-open lets everyone through.
#[test]
fn half_open_lets_only_the_probe_through() {
    let pool = Small::new(Config {
        breaker: Some(BREAKER),
        ..CONFIG
    });
    let now = open(&pool);
    for job in 1..=3 {
        submit(&pool, job, now);
    }
    let probe = take(&pool, now);
    let Take::Settled(refused) = pool.take(WorkerId(1), now) else {
        panic!("one probe is out")
    };
    assert!(matches!(
        refused.result,
        Settled::Failed(Failure::CircuitOpen { .. })
    ));
    assert_eq!(
        pool.snapshot().failed,
        6,
        "our own gate is no failure of the job's, but the job failed"
    );
    let _ = pool.finish(probe, Outcome::Success, now);
    let running = take(&pool, now);
    assert_eq!(*running.job(), 3, "the probe's success closed it");
    let _ = pool.finish(running, Outcome::Success, now);
}

/// There: a success while closed does not clear the failure count.
#[test]
fn a_success_clears_the_failures_in_a_row() {
    let pool = Small::new(Config {
        breaker: Some(BREAKER),
        ..CONFIG
    });
    for _ in 0..20 {
        for _ in 0..4 {
            run(&pool, Outcome::Failure, at(0));
        }
        run(&pool, Outcome::Success, at(0));
    }
    assert_eq!(pool.breaker().state(at(0)), breaker::State::Closed);
}

/// There: late results count for the wrong period.
#[test]
fn a_late_result_counts_for_no_other_period() {
    let pool = Small::new(Config {
        breaker: Some(BREAKER),
        ..CONFIG
    });
    submit(&pool, 1, at(0));
    let late = take(&pool, at(0));
    let now = open(&pool);
    submit(&pool, 2, now);
    let probe = take(&pool, now);
    let _ = pool.finish(late, Outcome::Success, now);
    assert_eq!(
        pool.breaker().state(now),
        breaker::State::HalfOpen,
        "the late success closes nothing"
    );
    let _ = pool.finish(probe, Outcome::Failure, now);
    assert!(matches!(pool.breaker().state(now), breaker::State::Open));
}

/// There: a panicking job takes everything down. Whoever runs jobs catches; the pool goes on.
#[test]
fn a_panic_is_one_job_s_failure() {
    let pool = Small::new(CONFIG);
    submit(&pool, 1, at(0));
    submit(&pool, 2, at(0));
    let running = take(&pool, at(0));
    let outcome = match std::panic::catch_unwind(|| panic!("a job's own")) {
        Ok(()) => Outcome::Success,
        Err(_) => Outcome::Panic,
    };
    let Finish::Settled(done) = pool.finish(running, outcome, at(1)) else {
        panic!("it is settled here")
    };
    assert_eq!(done.result, Settled::Failed(Failure::Panic));
    let seen = pool.snapshot();
    assert_eq!((seen.failed, seen.panicked), (1, 1));
    assert_eq!(*take(&pool, at(1)).job(), 2);
}

/// There: nobody reading the results blocks the workers.
#[test]
fn a_result_that_nobody_reads_blocks_nobody() {
    let pool = Small::new(CONFIG);
    for job in 0..10_000 {
        submit(&pool, job, at(0));
        let _ = pool.finish(take(&pool, at(0)), Outcome::Success, at(0));
    }
    assert_eq!(pool.snapshot().completed, 10_000);
}

/// There: a submission that times out counts as a failure of what the jobs work with.
#[test]
fn a_full_queue_is_no_failure_to_the_breaker() {
    let pool = Small::new(Config {
        breaker: Some(BREAKER),
        ..CONFIG
    });
    for job in 0..10 {
        submit(&pool, job, at(0));
    }
    for job in 0..100 {
        assert_eq!(
            pool.submit(job, Submit::DEFAULT, at(0)),
            Err(Refused::Full(job))
        );
        pool.note_refused(weirpool_core::pool::Refusal::Timeout, None, at(0));
    }
    assert_eq!(pool.breaker().snapshot(at(0)).failure_rate, 0);
    assert_eq!(pool.breaker().state(at(0)), breaker::State::Closed);
}

/// There: the example waits with a sleep, since nothing says when there is something to do.
#[test]
fn the_pool_says_when_there_is_something_to_do() {
    let pool = Small::new(Config { limit: 1, ..CONFIG });
    assert!(!pool.wants_worker());
    let options = Submit {
        queue_timeout: Some(Duration::from_millis(50)),
        ..Submit::DEFAULT
    };
    pool.submit(1, options, at(0)).unwrap();
    pool.submit(2, options, at(10)).unwrap();
    assert!(pool.wants_worker());
    let running = take(&pool, at(20));
    assert!(!pool.wants_worker(), "the limit is reached");
    let Take::Empty { next: Some(next) } = pool.take(WorkerId(1), at(20)) else {
        panic!("the limit is reached")
    };
    assert_eq!(next, at(60));
    assert!(matches!(pool.poll(at(59)), Poll::Idle { next: Some(then) } if then == next));
    assert!(matches!(pool.poll(next), Poll::Settled(done) if done.job == 2));
    assert!(matches!(pool.poll(next), Poll::Idle { next: None }));
    let _ = pool.finish(running, Outcome::Success, next);
}

/// A time-out there stops nobody: the job runs on and its place is taken. Here its permit comes back exactly when its
/// handler returns, and its result is nobody's.
#[test]
fn a_job_past_its_time_holds_its_permit_until_it_returns() {
    let pool = Small::new(Config { limit: 1, ..CONFIG });
    let options = Submit {
        run_timeout: Some(Duration::from_millis(5)),
        ..Submit::DEFAULT
    };
    let handle = pool.submit(1, options, at(0)).unwrap();
    submit(&pool, 2, at(0));
    let running = take(&pool, at(0));
    assert!(matches!(pool.poll(at(5)), Poll::TimedOut(expired) if expired.handle == handle));
    assert!(!pool.is_live(handle));
    assert_eq!(pool.snapshot().abandoned, 1);
    assert!(matches!(pool.take(WorkerId(1), at(6)), Take::Empty { .. }));
    assert!(matches!(pool.cancel(handle, at(6)), Cancel::Stale));
    assert!(matches!(
        pool.finish(running, Outcome::Success, at(9)),
        Finish::Stale(1)
    ));
    let seen = pool.snapshot();
    assert_eq!(
        (seen.abandoned, seen.timed_out, seen.completed, seen.stale),
        (0, 1, 0, 1)
    );
    assert_eq!(*take(&pool, at(9)).job(), 2);
}

/// Jobs that were dropped with their pool are dropped, not leaked; jobs in a static pool are just there.
#[test]
fn what_waits_in_a_dropped_pool_is_dropped() {
    static DROPS: AtomicU32 = AtomicU32::new(0);
    #[derive(Debug)]
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPS.fetch_add(1, SeqCst);
        }
    }
    let pool: Pool<Counted, 8> = Pool::new(Config {
        capacity: 4,
        ..Config::DEFAULT
    });
    for _ in 0..3 {
        pool.submit(Counted, Submit::DEFAULT, at(0)).unwrap();
    }
    drop(pool.abort_next(at(0)));
    assert_eq!(DROPS.load(SeqCst), 1);
    drop(pool);
    assert_eq!(DROPS.load(SeqCst), 3);
}
