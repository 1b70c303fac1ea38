//! Every interleaving of small scenes at the gates, checked by loom.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 cargo test -p weirpool-core --release --test loom_gates`
//!
//! Under loom a breaker remembers two changes of state, so that few calls overwrite one.
#![cfg(loom)]

use loom::{model, sync::Arc, thread};
use std::time::Duration;
use weirpool_core::{
    adaptive::{self, AdaptiveLimit},
    breaker::{Breaker, Cause, Config, Recorded, State, Transition, Verdict},
    concurrency::ConcurrencyLimit,
    histogram::Histogram,
    rate::{Quota, RateLimit},
    time::Instant,
};

const NARROW: bool = cfg!(any(weirpool_narrow, not(target_has_atomic = "64")));
const RUN: Duration = Duration::from_micros(1);

/// A millisecond is the unit of the scenes' times.
fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// Opens for 1 ms at the first failure, closes after the first probe, whose lease is 3 ms: short enough that narrow
/// words round nothing.
fn touchy() -> Arc<Breaker> {
    Arc::new(Breaker::new(Config {
        consecutive: Some(1),
        failure_rate: None,
        probes: 1,
        pause: Duration::from_millis(1),
        max_pause: Duration::from_millis(4),
        lease: Duration::from_millis(3),
        ..Config::DEFAULT
    }))
}

/// One that opened at 0 ms.
fn open() -> Arc<Breaker> {
    let breaker = touchy();
    let permit = breaker.acquire(at(0)).unwrap();
    assert_eq!(
        breaker.record(permit, Verdict::Failure, RUN, at(0)),
        Recorded::Opened
    );
    breaker
}

fn causes(breaker: &Breaker) -> Vec<Cause> {
    let log = breaker.transitions(at(100));
    log.iter().map(|change| change.cause).collect()
}

/// Of two failures that reach the threshold one opens it, and the other counts for nothing.
#[test]
fn it_opens_once() {
    model(|| {
        let breaker = touchy();
        let fail = |breaker: &Breaker| {
            let permit = breaker.acquire(at(1)).ok()?;
            Some(breaker.record(permit, Verdict::Failure, RUN, at(1)))
        };
        let other = {
            let breaker = breaker.clone();
            thread::spawn(move || fail(&breaker))
        };
        let mine = fail(&breaker);
        let theirs = other.join().unwrap();
        let answers = [mine, theirs];
        assert!(answers.contains(&Some(Recorded::Opened)));
        assert!(answers.contains(&Some(Recorded::Stale)) || answers.contains(&None));
        assert_eq!(breaker.snapshot(at(1)).opened, 1);
        assert_eq!(breaker.acquire(at(1)), Err(Duration::from_millis(1)));
        assert_eq!(causes(&breaker), [Cause::Consecutive]);
    });
}

/// The failure that reaches the threshold opens it, also when a success comes between its count and the change of
/// state.
#[test]
fn a_success_does_not_hide_the_last_failure() {
    model(|| {
        let breaker = Arc::new(Breaker::new(Config {
            consecutive: Some(2),
            failure_rate: None,
            ..Config::DEFAULT
        }));
        let report = |breaker: &Breaker, verdict| {
            let permit = breaker.acquire(at(1)).unwrap();
            move |breaker: &Breaker| breaker.record(permit, verdict, RUN, at(1))
        };
        let _ = report(&breaker, Verdict::Failure)(&breaker);
        let success = report(&breaker, Verdict::Success);
        let failure = report(&breaker, Verdict::Failure);
        let other = {
            let breaker = breaker.clone();
            thread::spawn(move || success(&breaker))
        };
        let mine = failure(&breaker);
        let theirs = other.join().unwrap();
        match mine {
            // The success came first.
            Recorded::Counted => assert_eq!(theirs, Recorded::Counted),
            Recorded::Opened => assert!(matches!(theirs, Recorded::Counted | Recorded::Stale)),
            other => panic!("{other:?}"),
        }
        let opened = breaker.snapshot(at(1)).opened;
        assert_eq!(opened == 1, mine == Recorded::Opened);
    });
}

#[test]
fn one_call_becomes_the_probe() {
    model(|| {
        let breaker = open();
        let other = {
            let breaker = breaker.clone();
            thread::spawn(move || breaker.acquire(at(1)))
        };
        let mine = breaker.acquire(at(1));
        let theirs = other.join().unwrap();
        assert!(mine.is_ok() ^ theirs.is_ok());
        assert_eq!(mine.or(theirs).map(|_| ()), Ok(()));
        assert_eq!(causes(&breaker), [Cause::Consecutive, Cause::PauseOver]);
    });
}

/// The lease of a probe is over: its late result either still counts or is stale, and never both it and a new probe's.
#[test]
fn a_late_result_against_the_end_of_its_lease() {
    for verdict in [Verdict::Success, Verdict::Failure] {
        model(move || {
            let breaker = open();
            let late = breaker.acquire(at(1)).unwrap();
            let reporter = {
                let breaker = breaker.clone();
                thread::spawn(move || breaker.record(late, verdict, RUN, at(4)))
            };
            let mine = breaker.acquire(at(4));
            let theirs = reporter.join().unwrap();
            let state = breaker.state(at(4));
            let last = *causes(&breaker).last().unwrap();
            match (theirs, mine) {
                // The lease ended first: only the new probe decides.
                (Recorded::Stale, Ok(probe)) => {
                    assert_eq!((state, last), (State::HalfOpen, Cause::LeaseOver));
                    assert_eq!(
                        breaker.record(probe, Verdict::Success, RUN, at(5)),
                        Recorded::Closed
                    );
                }
                (Recorded::Closed, Ok(permit)) => {
                    assert_eq!((state, last), (State::Closed, Cause::ProbesSucceeded));
                    assert_eq!(
                        breaker.record(permit, Verdict::Success, RUN, at(5)),
                        Recorded::Counted
                    );
                }
                (Recorded::Opened, Err(pause)) => {
                    assert_eq!((state, last), (State::Open, Cause::ProbeFailed));
                    assert_eq!(pause, Duration::from_millis(2));
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(
                breaker.record(late, verdict, RUN, at(5)),
                Recorded::Stale,
                "it was reported"
            );
        });
    }
}

/// Who opened it and comes late to start the pause does not touch the pause of a newer generation.
#[test]
fn a_pause_is_started_once() {
    model(|| {
        let breaker = touchy();
        let permit = breaker.acquire(at(0)).unwrap();
        let other = {
            let breaker = breaker.clone();
            thread::spawn(move || breaker.record(permit, Verdict::Failure, RUN, at(0)))
        };
        breaker.reset(at(0));
        let permit = breaker.acquire(at(0)).unwrap();
        assert_eq!(
            breaker.record(permit, Verdict::Failure, RUN, at(0)),
            Recorded::Opened
        );
        let theirs = other.join().unwrap();
        assert!(matches!(theirs, Recorded::Opened | Recorded::Stale));
        assert!(
            breaker.acquire(at(1)).is_ok(),
            "the pause began at its change, and is over"
        );
    });
}

/// What is read of the log was written so by one writer; and at the end the newest changes are there, whoever was late.
#[test]
fn the_log_is_never_torn() {
    /// Far apart, so that both halves of a time differ where words are narrow.
    fn times(cause: Cause) -> Instant {
        at(match cause {
            Cause::Tripped => 1,
            Cause::Reset => 1 << 22,
            Cause::Disabled => 1 << 23,
            other => panic!("nobody did that: {other:?}"),
        })
    }

    fn check(log: &[Transition]) {
        for change in log {
            assert_eq!(change.at, times(change.cause));
            assert_eq!(change.to, change.cause.to());
        }
        for pair in log.windows(2) {
            let newer = pair[0].generation < pair[1].generation;
            assert!(newer, "oldest first");
        }
    }

    model(|| {
        let breaker = touchy();
        let tripper = {
            let breaker = breaker.clone();
            thread::spawn(move || breaker.trip(times(Cause::Tripped)))
        };
        let other = {
            let breaker = breaker.clone();
            // Two changes: with the other thread's three, so that one entry is written twice.
            thread::spawn(move || {
                breaker.reset(times(Cause::Reset));
                breaker.disable(times(Cause::Disabled));
            })
        };
        // A thread of its own: the main one only waits, which costs none of the preemptions.
        let reader = {
            let breaker = breaker.clone();
            thread::spawn(move || breaker.transitions(at(1 << 22)))
        };
        tripper.join().unwrap();
        other.join().unwrap();
        let early = reader.join().unwrap();
        check(&early);
        let log = breaker.transitions(at(1 << 22));
        check(&log);
        let [older, newer] = log.as_slice() else {
            panic!("both are there: {log:?}")
        };
        assert_eq!((older.generation, newer.generation), (2, 3));
        for change in &early {
            let later = log.iter().find(|seen| seen.generation == change.generation);
            assert!(later.is_none_or(|later| later == change));
        }
        assert_eq!(newer.from, older.to);
        assert_eq!(newer.to, breaker.state(at(1 << 22)));
    });
}

/// A limit of at most 3 whose present window began at 0 ms, has nine runs and lasts 1 ms.
fn nine_runs(run: Duration) -> Arc<AdaptiveLimit> {
    let limit = AdaptiveLimit::new(
        3,
        Some(adaptive::Config {
            target: Duration::from_micros(100),
            window: Duration::from_millis(1),
            min: 1,
        }),
    );
    for _ in 0..9 {
        limit.observe(run, at(0));
    }
    Arc::new(limit)
}

const SLOW: Duration = Duration::MAX;

/// Two runs come after the end of a window: one of them ends it, and the other one begins the next.
#[test]
fn a_window_ends_once() {
    model(|| {
        let limit = nine_runs(SLOW);
        let other = {
            let limit = limit.clone();
            thread::spawn(move || limit.observe(SLOW, at(1)))
        };
        limit.observe(SLOW, at(1));
        other.join().unwrap();
        assert_eq!(limit.limit(), 2, "one step down from 3");
        for _ in 0..8 {
            limit.observe(SLOW, at(1));
        }
        assert_eq!(limit.limit(), 2, "the next window began at 1 ms");
        limit.observe(SLOW, at(2));
        assert_eq!(limit.limit(), 1, "and counted the second of the two runs");
    });
}

/// A window raises the limit while its maximum is lowered: it does not stay above.
#[test]
fn a_raise_against_a_lower_maximum() {
    model(|| {
        let limit = nine_runs(SLOW);
        limit.observe(SLOW, at(1));
        assert!(limit.try_acquire() && limit.try_acquire() && !limit.try_acquire());
        for _ in 0..9 {
            limit.observe(RUN, at(1));
        }
        let other = {
            let limit = limit.clone();
            thread::spawn(move || limit.observe(RUN, at(2)))
        };
        let operator = {
            let limit = limit.clone();
            thread::spawn(move || limit.set_maximum(2))
        };
        other.join().unwrap();
        operator.join().unwrap();
        assert_eq!((limit.limit(), limit.maximum()), (2, 2));
        assert_eq!(limit.in_flight(), 2);
    });
}

/// A limit is lowered and raised again under two takers: whoever was let in is counted, and the limit holds.
#[test]
fn a_limit_that_moves_counts_exactly() {
    model(|| {
        let limit = Arc::new(ConcurrencyLimit::new(1));
        let takers: Vec<_> = (0..2)
            .map(|_| {
                let limit = limit.clone();
                thread::spawn(move || limit.try_acquire())
            })
            .collect();
        limit.set(0);
        limit.set(2);
        let taken: u16 = takers
            .into_iter()
            .map(|taker| u16::from(taker.join().unwrap()))
            .sum();
        assert_eq!((limit.in_flight(), limit.limit()), (taken, 2));
        for _ in taken..2 {
            assert!(limit.try_acquire());
        }
        assert!(!limit.try_acquire() && limit.is_full());
        limit.set(1);
        limit.release();
        assert!(!limit.try_acquire(), "one is out still");
        limit.release();
        assert!(limit.try_acquire());
    });
}

/// Contexts that come at once after a long time find the burst whole, and each token once.
#[test]
fn every_token_is_given_once() {
    model(|| {
        let limit = Arc::new(RateLimit::new(Some(Quota::per_second(1).with_burst(2))));
        let check = |limit: &RateLimit| limit.check(at(1)).is_ok();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let limit = limit.clone();
                thread::spawn(move || check(&limit))
            })
            .collect();
        let mine = check(&limit);
        let granted = others.into_iter().map(|other| other.join().unwrap());
        assert_eq!(granted.filter(|&ok| ok).count() + usize::from(mine), 2);
        assert_eq!(limit.available(at(1)), 0);
    });
}

/// A snapshot that has a value has a maximum and, with wide words, a sum that cover it.
#[test]
fn a_snapshot_covers_what_it_counts() {
    let mut model = loom::model::Builder::new();
    // A snapshot is 240 loads.
    model.max_branches = 10_000;
    model.check(|| {
        const VALUES: [u64; 2] = [40, 300];
        let histogram = Arc::new(Histogram::new());
        let others = VALUES.map(|value| {
            let histogram = histogram.clone();
            thread::spawn(move || histogram.record(value))
        });
        let seen = histogram.snapshot();
        let possible: &[u64] = match seen.count() {
            0 => &[0],
            1 => &VALUES,
            _ => &[340],
        };
        if NARROW {
            assert!(possible.iter().any(|&sum| seen.sum() >= sum));
        } else {
            assert!(possible.contains(&seen.sum()), "{seen:?}");
        }
        assert!(seen.count() == 0 || seen.max() >= 40);
        // The buckets are at most an eighth wide: only the greater value reaches this.
        let [greatest] = seen.quantiles([1_000_000]);
        assert!(greatest <= 44 || greatest == 300, "{greatest}");
        assert!(seen.count() < 2 || greatest == 300);
        for other in others {
            other.join().unwrap();
        }
        let seen = histogram.snapshot();
        assert_eq!((seen.count(), seen.sum(), seen.max()), (2, 340, 300));
    });
}
