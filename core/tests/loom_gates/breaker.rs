//! One breaker: its changes of state, its probes, its log.

use std::time::Duration;

use loom::{model, sync::Arc, thread};
use weirpool_core::{
    breaker::{Breaker, Cause, Config, Recorded, State, Transition, Verdict},
    time::Instant,
};

use super::{RUN, TOUCHY, at};

fn touchy() -> Arc<Breaker> {
    Arc::new(Breaker::new(TOUCHY))
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
