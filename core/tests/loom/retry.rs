//! A job that comes back to its slot.

use std::time::Duration;

use loom::{cell::Cell, sync::Arc, thread};
use weirpool_core::{
    pool::{
        Cancel, Carried, Config, Finish, Handle, Outcome, Policy, Poll, Retry, Running, Submit,
        Take, WorkerId,
    },
    time::Instant,
};

use super::{LATER, NOW, Small, check_quiet, drain, finish, model, small, submit, take};

/// Two attempts, the second without a pause.
fn with_retry() -> Submit {
    let policy = Policy::new(2, Duration::ZERO, Duration::ZERO).unwrap();
    Submit {
        retry: Retry::Policy(policy),
        ..Submit::DEFAULT
    }
}

/// Job 1 in its first attempt, with a time-out in all or without.
fn first_attempt(total_timeout: Option<Duration>) -> (Arc<Small>, Running<u32>) {
    let pool = small();
    let options = Submit {
        total_timeout,
        ..with_retry()
    };
    pool.submit(1, options, NOW).unwrap();
    let running = take(&pool).unwrap();
    (pool, running)
}

/// Job 1, delayed; its time has come.
fn delayed() -> (Arc<Small>, Handle) {
    let (pool, running) = first_attempt(None);
    let handle = running.handle();
    assert!(fail(&pool, running));
    (pool, handle)
}

/// Whether the job is tried again.
fn fail(pool: &Small, running: Running<u32>) -> bool {
    match pool.finish(running, Outcome::Failure, NOW) {
        Finish::Retry { at } => {
            assert_eq!(at, NOW);
            true
        }
        Finish::Stale(_) => false,
        Finish::Settled(done) => panic!("it has an attempt left: {done:?}"),
    }
}

/// A cancellation lands before, while or after the job is moved back.
#[test]
fn retry_against_cancel() {
    model(|| {
        let (pool, running) = first_attempt(None);
        let handle = running.handle();
        let canceller = {
            let pool = pool.clone();
            thread::spawn(move || match pool.cancel(handle, NOW) {
                Cancel::Removed(done) => {
                    assert_eq!((done.job, done.attempt), (1, 1));
                    true
                }
                Cancel::Signalled => false,
                Cancel::Stale => panic!("nobody else settles it"),
            })
        };
        let delayed = fail(&pool, running);
        let removed = canceller.join().unwrap();
        assert_eq!(delayed, removed, "it was waiting, or is handed back");
        check_quiet(&pool);
    });
}

#[test]
fn retry_against_the_total_deadline() {
    model(|| {
        let (pool, running) = first_attempt(Some(Duration::from_millis(10)));
        let handle = running.handle();
        let poller = {
            let pool = pool.clone();
            thread::spawn(move || match pool.poll(LATER) {
                Poll::TimedOut(_) => Some(false),
                Poll::Settled(done) => {
                    assert_eq!((done.job, done.attempt), (1, 1));
                    Some(true)
                }
                // In the middle of its move it has no time-out.
                Poll::Promoted(_) | Poll::Idle { .. } => None,
            })
        };
        let delayed = fail(&pool, running);
        match poller.join().unwrap() {
            Some(waited) => assert_eq!(delayed, waited),
            None => {
                assert!(delayed && pool.is_live(handle));
                let settled = pool.poll(LATER);
                assert!(matches!(settled, Poll::Settled(_)), "{settled:?}");
            }
        }
        assert!(!pool.is_live(handle));
        assert!(matches!(pool.poll(LATER), Poll::Idle { next: None }));
        check_quiet(&pool);
    });
}

/// Whoever has the job after an attempt that failed comes after what was done before anybody could have it.
#[test]
fn a_failed_attempt_is_told_before_the_next_one_begins() {
    model(|| {
        // Two permits: the next attempt need not wait for the end of `finish`.
        let pool = Arc::new(Small::new(Config {
            capacity: 1,
            limit: 2,
            most_running: 2,
            ..Config::DEFAULT
        }));
        pool.submit(1, with_retry(), NOW).unwrap();
        let running = take(&pool).unwrap();
        let told = Arc::new(Cell::new(false));
        let worker = {
            let (pool, told) = (pool.clone(), told.clone());
            thread::spawn(move || {
                let tell = |_| told.set(true);
                let finish = pool.finish_with(running, Outcome::Failure, NOW, tell);
                assert!(matches!(finish, Finish::Retry { .. }), "{finish:?}");
            })
        };
        let early = take(&pool).map(|running| {
            assert!(told.get());
            finish(&pool, running)
        });
        worker.join().unwrap();
        let late = take(&pool).map(|running| finish(&pool, running));
        assert_eq!(early.or(late), Some(true));
    });
}

/// Who promotes may stop half-way: the job is found all the same, once.
#[test]
fn promote_against_take() {
    model(|| {
        let (pool, handle) = delayed();
        let promoter = {
            let pool = pool.clone();
            thread::spawn(move || match pool.poll(NOW) {
                Poll::Promoted(promoted) => assert_eq!(promoted, handle),
                Poll::Idle { .. } => {}
                other => panic!("{other:?}"),
            })
        };
        let running = take(&pool).expect("its time has come");
        assert_eq!((*running.job(), running.attempt()), (1, 2));
        assert!(finish(&pool, running));
        promoter.join().unwrap();
        check_quiet(&pool);
    });
}

/// A sweep of the delayed that comes late must not hide the slot's next job there.
#[test]
fn a_late_promoter_hides_nobody() {
    model(|| {
        let (pool, handle) = delayed();
        let promoter = {
            let pool = pool.clone();
            thread::spawn(move || drop(pool.poll(NOW)))
        };
        let removed = pool.cancel(handle, NOW);
        assert!(matches!(removed, Cancel::Removed(_)), "{removed:?}");
        // The slot's next job, which is delayed too.
        pool.submit(2, with_retry(), NOW).unwrap();
        let running = take(&pool).expect("it waits");
        assert!(fail(&pool, running));
        let running = take(&pool).expect("its time has come");
        assert_eq!((*running.job(), running.attempt()), (2, 2));
        assert!(finish(&pool, running));
        promoter.join().unwrap();
        check_quiet(&pool);
    });
}

#[test]
fn promote_against_cancel() {
    model(|| {
        let (pool, handle) = delayed();
        let promoter = {
            let pool = pool.clone();
            thread::spawn(move || drop(pool.poll(NOW)))
        };
        let removed = pool.cancel(handle, NOW);
        assert!(matches!(removed, Cancel::Removed(_)), "{removed:?}");
        promoter.join().unwrap();
        assert!(matches!(pool.cancel(handle, NOW), Cancel::Stale));
        check_quiet(&pool);
    });
}

/// Retries take the places of the capacity and more; a slot is always free where a place is.
#[test]
fn retry_against_submit_at_the_full_edge() {
    model(|| {
        let (pool, running) = first_attempt(None);
        submit(&pool, 2).unwrap();
        let submitter = {
            let pool = pool.clone();
            thread::spawn(move || {
                u32::from(submit(&pool, 3).is_some()) + u32::from(submit(&pool, 4).is_some())
            })
        };
        assert!(fail(&pool, running));
        let accepted = submitter.join().unwrap();
        assert!(accepted <= 1, "two places, one of them taken");
        let seen = pool.snapshot();
        assert_eq!((seen.queued, seen.delayed), (1 + accepted, 1));
        assert_eq!(submit(&pool, 5), None, "full");
        assert_eq!(drain(&pool)[0], 1, "a retry keeps its turn");
        check_quiet(&pool);
    });
}

#[test]
fn adopt_with_a_delay_against_take() {
    model(|| {
        let pool = small();
        let adopter = {
            let pool = pool.clone();
            thread::spawn(move || {
                let carried = Carried {
                    attempts: 1,
                    not_before: LATER,
                    ..Carried::new(NOW)
                };
                pool.adopt(1, with_retry(), carried, NOW).unwrap()
            })
        };
        let early = match pool.take(WorkerId(0), LATER) {
            Take::Job(running) => Some(running),
            Take::Empty { .. } => None,
            other => panic!("{other:?}"),
        };
        adopter.join().unwrap();
        let running = early.unwrap_or_else(|| match pool.take(WorkerId(0), LATER) {
            Take::Job(running) => running,
            other => panic!("its time has come: {other:?}"),
        });
        assert_eq!((*running.job(), running.attempt()), (1, 2));
        assert!(finish(&pool, running));
    });
}

/// A job that was promoted and delayed again, with its promoter not through yet, does not stand before an earlier one.
#[test]
fn an_old_key_hides_nobody() {
    const BETWEEN: Instant = Instant::from_millis(50);

    model(|| {
        let (pool, handle) = delayed();
        let carried = Carried {
            attempts: 1,
            not_before: BETWEEN,
            ..Carried::new(NOW)
        };
        pool.adopt(2, with_retry(), carried, NOW).unwrap();
        let promoter = {
            let pool = pool.clone();
            thread::spawn(move || drop(pool.poll(NOW)))
        };
        let worker = {
            let pool = pool.clone();
            thread::spawn(move || {
                let removed = pool.cancel(handle, NOW);
                assert!(matches!(removed, Cancel::Removed(_)), "{removed:?}");
                let carried = Carried {
                    attempts: 1,
                    not_before: LATER,
                    ..Carried::new(NOW)
                };
                pool.adopt(3, with_retry(), carried, NOW).unwrap();
            })
        };
        // In a thread of its own, too: the main one only waits, which costs none of the preemptions.
        let watch = {
            let pool = pool.clone();
            thread::spawn(move || {
                let next = pool.poll_at(NOW);
                assert!(next.is_some_and(|at| at <= BETWEEN), "{next:?}");
            })
        };
        for thread in [promoter, worker, watch] {
            thread.join().unwrap();
        }
        assert_eq!(pool.poll_at(NOW), Some(BETWEEN));
    });
}
