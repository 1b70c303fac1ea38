//! What a retry does in a pool, one rule a test. The model (`model`) has all of them together.
#![cfg(not(loom))]

mod hands;

use std::time::Duration;

use weirpool_core::{
    breaker,
    pool::{
        Allowance, Cancel, Completion, Config, Failure, Finish, Outcome, Phase, Policy, Poll, Pool,
        Refused, Retry, Running, Settled, State, Submit, Take, WorkerId,
    },
    rate::Quota,
    time::Instant,
};

use hands::{at, take};

type Small = Pool<u32, 8>;

const CONFIG: Config = Config {
    capacity: 4,
    limit: 2,
    most_running: 4,
    retry: Some(Policy::DEFAULT),
    ..Config::DEFAULT
};

fn retried(pool: &Small, running: Running<u32>, outcome: Outcome, now: Instant) -> Instant {
    match pool.finish(running, outcome, now) {
        Finish::Retry { at } => at,
        other => panic!("it is tried again: {other:?}"),
    }
}

fn settled(pool: &Small, running: Running<u32>, outcome: Outcome, now: Instant) -> Completion<u32> {
    match pool.finish(running, outcome, now) {
        Finish::Settled(done) => done,
        other => panic!("it is over: {other:?}"),
    }
}

#[test]
fn a_job_that_fails_is_tried_three_times_by_default() {
    let pool = Small::new(CONFIG);
    let handle = pool.submit(7, Submit::DEFAULT, at(0)).unwrap();
    let mut now = at(0);
    for pause in [100, 200] {
        let running = take(&pool, now);
        let due = retried(&pool, running, Outcome::Failure, now);
        let waits = due.saturating_since(now);
        assert!(waits >= Duration::from_millis(pause / 2) && waits <= Duration::from_millis(pause));
        let seen = pool.snapshot();
        assert_eq!((seen.queued, seen.delayed, seen.running), (0, 1, 0));
        assert!(pool.is_live(handle) && !pool.wants_worker());
        // With 32-bit words its time is rounded up to a millisecond.
        now = pool.poll_at(now).unwrap();
        assert!(now.saturating_since(due) < Duration::from_millis(1));
    }
    let running = take(&pool, now);
    assert_eq!((running.handle(), running.attempt()), (handle, 3));
    let done = settled(&pool, running, Outcome::Failure, now);
    assert_eq!(
        (done.result, done.attempt),
        (Settled::Failed(Failure::Error), 3)
    );
    assert_eq!(done.total, now.saturating_since(at(0)));
    let seen = pool.snapshot();
    assert_eq!(
        (seen.accepted, seen.started, seen.retried, seen.failed),
        (1, 3, 2, 1)
    );
}

#[test]
fn what_another_attempt_would_not_help_is_not_retried() {
    for outcome in [
        Outcome::Success,
        Outcome::Permanent { ignored: false },
        Outcome::Permanent { ignored: true },
        Outcome::Panic,
    ] {
        let pool = Small::new(CONFIG);
        pool.submit(1, Submit::DEFAULT, at(0)).unwrap();
        let _ = settled(&pool, take(&pool, at(0)), outcome, at(1));
    }
    let pool = Small::new(CONFIG);
    for (retry, again) in [
        (Retry::Off, false),
        (Retry::Policy(Policy::DEFAULT.after_panics()), true),
    ] {
        let options = Submit {
            retry,
            ..Submit::DEFAULT
        };
        pool.submit(1, options, at(0)).unwrap();
        let finish = pool.finish(take(&pool, at(0)), Outcome::Panic, at(1));
        assert_eq!(matches!(finish, Finish::Retry { .. }), again);
    }
}

/// When everything fails, the retries end with what was saved up.
#[test]
fn an_outage_costs_no_more_retries_than_the_budget() {
    let pool = Small::new(Config {
        retry_budget: Allowance {
            percent: 20,
            reserve: 2,
        },
        ..CONFIG
    });
    for job in 0..10 {
        pool.submit(job, Submit::DEFAULT, at(0)).unwrap();
        let finish = pool.finish(take(&pool, at(0)), Outcome::Failure, at(0));
        assert_eq!(matches!(finish, Finish::Retry { .. }), job < 2);
    }
    assert_eq!(pool.snapshot().retried, 2);
}

#[test]
fn no_attempt_begins_past_the_total_deadline() {
    let pool = Small::new(CONFIG);
    let within = |millis| Submit {
        total_timeout: Some(Duration::from_millis(millis)),
        ..Submit::DEFAULT
    };
    // The backoff is at least 50 ms.
    pool.submit(1, within(50), at(0)).unwrap();
    let _ = settled(&pool, take(&pool, at(0)), Outcome::Failure, at(0));
    // It is at most 100 ms; then all workers are busy until the deadline.
    pool.submit(2, within(101), at(0)).unwrap();
    let due = retried(&pool, take(&pool, at(0)), Outcome::Failure, at(0));
    assert!(due < at(101));
    let Poll::Settled(done) = pool.poll(at(101)) else {
        panic!("its time is up")
    };
    assert_eq!(
        (done.job, done.result, done.attempt),
        (2, Settled::TimedOut(Phase::Total), 1)
    );
}

#[test]
fn a_run_time_out_that_is_retried_takes_effect_when_the_handler_returns() {
    let pool = Small::new(CONFIG);
    let policy = Policy::new(2, Duration::ZERO, Duration::ZERO).unwrap();
    let options = Submit {
        run_timeout: Some(Duration::from_millis(10)),
        retry: Retry::Policy(policy.after_timeouts()),
        ..Submit::DEFAULT
    };
    pool.submit(1, options, at(0)).unwrap();
    let running = take(&pool, at(0));
    assert_eq!(running.deadline(), Some(at(10)));
    assert!(matches!(pool.poll(at(20)), Poll::Idle { next: None }));
    assert_eq!(retried(&pool, running, Outcome::Ignored, at(20)), at(20));
    // The last attempt is settled at its deadline.
    let running = take(&pool, at(20));
    let Poll::TimedOut(expired) = pool.poll(at(30)) else {
        panic!("its time is up")
    };
    assert_eq!((expired.phase, expired.attempt), (Phase::Run, 2));
    assert!(matches!(
        pool.finish(running, Outcome::Success, at(31)),
        Finish::Stale(1)
    ));
}

/// What comes after the time-out of an attempt that may be repeated.
#[test]
fn a_late_result_is_a_time_out_and_a_late_panic_or_permanent_error_is_not() {
    let policy = Policy::new(2, Duration::ZERO, Duration::ZERO).unwrap();
    let finish = |policy: Policy, outcome, ran, budget| {
        let pool = Small::new(Config {
            retry_budget: Allowance {
                percent: 100,
                reserve: budget,
            },
            ..CONFIG
        });
        let options = Submit {
            run_timeout: Some(Duration::from_millis(10)),
            retry: Retry::Policy(policy.after_timeouts()),
            ..Submit::DEFAULT
        };
        pool.submit(1, options, at(0)).unwrap();
        match pool.finish(take(&pool, at(0)), outcome, at(ran)) {
            Finish::Settled(done) => Some(done.result),
            Finish::Retry { .. } => {
                assert_eq!(pool.snapshot().retried, 1);
                None
            }
            Finish::Stale(_) => panic!("nobody else settles it"),
        }
    };
    for outcome in [Outcome::Success, Outcome::Failure, Outcome::Ignored] {
        assert_eq!(finish(policy, outcome, 10, 1), None, "{outcome:?}");
        // There is no budget for another.
        let timed_out = Some(Settled::TimedOut(Phase::Run));
        assert_eq!(finish(policy, outcome, 10, 0), timed_out, "{outcome:?}");
    }
    let success = finish(policy, Outcome::Success, 9, 1);
    assert_eq!(success, Some(Settled::Completed), "in time");
    for (ignored, failure) in [(false, Failure::Error), (true, Failure::Ignored)] {
        let permanent = finish(policy, Outcome::Permanent { ignored }, 10, 1);
        assert_eq!(permanent, Some(Settled::Failed(failure)));
    }
    let panicked = Some(Settled::Failed(Failure::Panic));
    assert_eq!(finish(policy, Outcome::Panic, 10, 1), panicked);
    let again = finish(policy.after_panics(), Outcome::Panic, 10, 1);
    assert_eq!(again, None);
    let given_up = finish(policy.after_panics(), Outcome::Panic, 10, 0);
    assert_eq!(given_up, panicked, "a panic, and no time-out");
}

/// Its handler watches the time by itself, and sees the total time-out as it sees the run time-out.
#[test]
fn a_result_after_the_total_time_out_of_such_an_attempt_does_not_count_either() {
    let policy = Policy::new(2, Duration::ZERO, Duration::ZERO).unwrap();
    for (policy, ran, result) in [
        (policy.after_timeouts(), 9, Settled::Completed),
        (policy.after_timeouts(), 10, Settled::TimedOut(Phase::Total)),
        (policy, 10, Settled::Completed),
    ] {
        let pool = Small::new(CONFIG);
        let options = Submit {
            total_timeout: Some(Duration::from_millis(10)),
            retry: Retry::Policy(policy),
            ..Submit::DEFAULT
        };
        pool.submit(1, options, at(0)).unwrap();
        let done = settled(&pool, take(&pool, at(0)), Outcome::Success, at(ran));
        assert_eq!(done.result, result);
    }
}

/// A result that does not count earns no retries.
#[test]
fn a_late_result_is_a_failure_to_the_breaker_and_adds_nothing_to_the_budget() {
    let policy = Policy::new(2, Duration::ZERO, Duration::ZERO).unwrap();
    let pool = Small::new(Config {
        breaker: Some(breaker::Config {
            consecutive: Some(2),
            ..breaker::Config::DEFAULT
        }),
        retry: Some(policy.after_timeouts()),
        retry_budget: Allowance {
            percent: 100,
            reserve: 0,
        },
        ..CONFIG
    });
    let options = Submit {
        run_timeout: Some(Duration::from_millis(10)),
        ..Submit::DEFAULT
    };
    for job in 0..2 {
        pool.submit(job, options, at(0)).unwrap();
        let done = settled(&pool, take(&pool, at(0)), Outcome::Success, at(10));
        assert_eq!(done.result, Settled::TimedOut(Phase::Run));
    }
    let refused = pool.submit(2, options, at(10));
    assert!(matches!(refused, Err(Refused::Open { .. })), "{refused:?}");
}

#[test]
fn a_job_waits_for_an_open_breaker_if_it_may_be_retried() {
    let pool = Small::new(Config {
        breaker: Some(breaker::Config {
            consecutive: Some(1),
            pause: Duration::from_millis(500),
            probes: 1,
            ..breaker::Config::DEFAULT
        }),
        ..CONFIG
    });
    let never = Submit {
        retry: Retry::Off,
        ..Submit::DEFAULT
    };
    for (job, options) in [(1, never), (2, never), (3, Submit::DEFAULT)] {
        pool.submit(job, options, at(0)).unwrap();
    }
    let _ = settled(&pool, take(&pool, at(0)), Outcome::Failure, at(0));
    let Take::Settled(done) = pool.take(WorkerId(0), at(100)) else {
        panic!("the breaker is open")
    };
    assert!(matches!(
        done.result,
        Settled::Failed(Failure::CircuitOpen { .. })
    ));
    let Take::Delayed { at: due, .. } = pool.take(WorkerId(0), at(100)) else {
        panic!("it can wait")
    };
    assert!(due >= at(500));
    // No attempt was made and no retry paid for.
    let running = take(&pool, pool.poll_at(at(100)).unwrap());
    assert_eq!((*running.job(), running.attempt()), (3, 1));
    assert_eq!(pool.snapshot().retried, 0);
}

#[test]
fn a_retry_waits_for_a_token_once() {
    let pool = Small::new(Config {
        rate: Some(Quota::new(1, Duration::from_secs(1)).unwrap()),
        ..CONFIG
    });
    pool.submit(1, Submit::DEFAULT, at(0)).unwrap();
    let due = retried(&pool, take(&pool, at(0)), Outcome::Failure, at(0));
    assert!(due <= at(100));
    let Take::Delayed { at: due, .. } = pool.take(WorkerId(0), at(100)) else {
        panic!("there is no token yet")
    };
    assert_eq!(due, at(1000));
    // That token is its own: who comes at the same moment has to wait for the next.
    let late = pool.submit(2, Submit::DEFAULT, at(1000));
    assert!(matches!(late, Err(Refused::Limited { job: 2, .. })));
    assert_eq!(take(&pool, at(1000)).attempt(), 2);
}

#[test]
fn retries_may_exceed_the_capacity_and_nothing_is_admitted_until_they_left() {
    let pool = Small::new(Config { limit: 4, ..CONFIG });
    let mut running = Vec::new();
    for job in 0..4 {
        pool.submit(job, Submit::DEFAULT, at(0)).unwrap();
        running.push(take(&pool, at(0)));
    }
    for job in 4..8 {
        pool.submit(job, Submit::DEFAULT, at(0)).unwrap();
    }
    for running in running {
        retried(&pool, running, Outcome::Failure, at(0));
    }
    let seen = pool.snapshot();
    assert_eq!((seen.queued, seen.delayed, seen.capacity), (4, 4, 4));
    let submit = || pool.submit(9, Submit::DEFAULT, at(0));
    for _ in 0..5 {
        assert_eq!(submit(), Err(Refused::Full(9)));
        pool.abort_next(at(0)).unwrap();
    }
    assert!(submit().is_ok(), "three of four places are taken");
}

#[test]
fn a_pool_that_drains_goes_on_with_its_retries() {
    let pool = Small::new(CONFIG);
    let handle = pool.submit(1, Submit::DEFAULT, at(0)).unwrap();
    pool.submit(2, Submit::DEFAULT, at(0)).unwrap();
    pool.close();
    for _ in 0..2 {
        retried(&pool, take(&pool, at(0)), Outcome::Failure, at(0));
    }
    assert_eq!(pool.state(), State::Draining);
    let Cancel::Removed(done) = pool.cancel(handle, at(1)) else {
        panic!("it is delayed")
    };
    assert_eq!((done.job, done.attempt), (1, 1));
    let _ = settled(&pool, take(&pool, at(101)), Outcome::Success, at(102));
    assert_eq!(pool.state(), State::Closed);
}
