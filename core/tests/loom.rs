//! Every interleaving of small scenes, checked by loom.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 cargo test -p weirpool-core --release --test loom`
//!
//! Under loom a tournament's nodes have two children, so that three slots make two levels.
#![cfg(loom)]

use loom::{sync::Arc, thread};
use std::time::Duration;
use weirpool_core::{
    pool::{
        Cancel, Carried, Config, Finish, Handle, Outcome, Policy, Poll, Pool, Refused, Retry,
        Running, State, Submit, Take, WorkerId,
    },
    time::Instant,
};

/// As `loom::model`; a snapshot of the histograms alone is 700 loads.
fn model(scene: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    builder.check(scene);
}

const NOW: Instant = Instant::from_millis(1);
const LATER: Instant = Instant::from_millis(100);

type Small = Pool<u32, 3>;

/// Two places, one permit, three slots.
fn small() -> Arc<Small> {
    Arc::new(Pool::new(Config {
        capacity: 2,
        limit: 1,
        most_running: 1,
        ..Config::DEFAULT
    }))
}

fn submit(pool: &Small, job: u32) -> Option<Handle> {
    match pool.submit(job, Submit::DEFAULT, NOW) {
        Ok(handle) => Some(handle),
        Err(Refused::Full(back) | Refused::Closed(back)) => {
            assert_eq!(back, job, "a refusal hands back its own job");
            None
        }
        Err(other) => panic!("no such gate: {other}"),
    }
}

fn take(pool: &Small) -> Option<Running<u32>> {
    match pool.take(WorkerId(0), NOW) {
        Take::Job(running) => Some(running),
        Take::Empty { .. } => None,
        other => panic!("nothing is due: {other:?}"),
    }
}

fn finish(pool: &Small, running: Running<u32>) -> bool {
    matches!(
        pool.finish(running, Outcome::Success, LATER),
        Finish::Settled(_)
    )
}

/// Takes and finishes until the pool is empty; the jobs in their order.
fn drain(pool: &Small) -> Vec<u32> {
    std::iter::from_fn(|| {
        let running = take(pool)?;
        let job = *running.job();
        assert!(finish(pool, running));
        Some(job)
    })
    .collect()
}

/// Law 1 and law 2 when all is quiet: nothing is left over, and every place can be used again.
fn check_quiet(pool: &Small) {
    assert_eq!(drain(pool), []);
    let seen = pool.snapshot();
    assert_eq!(
        seen.accepted,
        seen.completed + seen.failed + seen.timed_out + seen.cancelled
    );
    assert_eq!((seen.queued, seen.delayed), (0, 0));
    assert_eq!((seen.running, seen.abandoned), (0, 0));
    if pool.state() == State::Running {
        assert!(
            submit(pool, 100).is_some()
                && submit(pool, 101).is_some()
                && submit(pool, 102).is_none()
        );
        assert_eq!(drain(pool), [100, 101]);
    }
}

#[test]
fn push_push_take_from_empty() {
    model(|| {
        let pool = small();
        let pushers: Vec<_> = [1, 2]
            .map(|job| {
                let pool = pool.clone();
                thread::spawn(move || {
                    assert!(submit(&pool, job).is_some(), "there is room for two")
                })
            })
            .into();
        let mut got = drain(&pool);
        for pusher in pushers {
            pusher.join().unwrap();
        }
        got.extend(drain(&pool));
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
        check_quiet(&pool);
    });
}

#[test]
fn push_push_take_at_the_full_edge() {
    model(|| {
        let pool = small();
        submit(&pool, 0).unwrap();
        submit(&pool, 1).unwrap();
        let pushers: Vec<_> = [2, 3]
            .map(|job| {
                let pool = pool.clone();
                thread::spawn(move || submit(&pool, job).is_some())
            })
            .into();
        let running = take(&pool).expect("two wait");
        assert_eq!(*running.job(), 0, "first in, first out");
        assert!(finish(&pool, running));
        let accepted = pushers
            .into_iter()
            .map(|pusher| pusher.join().unwrap())
            .filter(|&accepted| accepted)
            .count();
        assert!(accepted <= 1, "one place came free");
        assert!(
            accepted == 1 || submit(&pool, 4).is_some(),
            "full is full, and not full is not full"
        );
        let left = drain(&pool);
        assert_eq!((left.len(), left[0]), (2, 1));
        check_quiet(&pool);
    });
}

#[test]
fn take_take_gives_each_job_once_and_the_older_to_somebody() {
    model(|| {
        let pool = Arc::new(Pool::<u32, 4>::new(Config {
            capacity: 2,
            limit: 2,
            most_running: 2,
            ..Config::DEFAULT
        }));
        for job in [1, 2] {
            pool.submit(job, Submit::DEFAULT, NOW).unwrap();
        }
        let take = |pool: &Pool<u32, 4>| {
            let Take::Job(running) = pool.take(WorkerId(0), NOW) else {
                panic!("two jobs, two permits")
            };
            let job = *running.job();
            assert!(matches!(
                pool.finish(running, Outcome::Success, NOW),
                Finish::Settled(_)
            ));
            job
        };
        let other = {
            let pool = pool.clone();
            thread::spawn(move || take(&pool))
        };
        let mine = take(&pool);
        let theirs = other.join().unwrap();
        assert_eq!(mine + theirs, 3);
        assert!(matches!(pool.take(WorkerId(0), NOW), Take::Empty { .. }));
    });
}

#[test]
fn take_against_cancel() {
    model(|| {
        let pool = small();
        let handle = submit(&pool, 1).unwrap();
        submit(&pool, 2).unwrap();
        let canceller = {
            let pool = pool.clone();
            thread::spawn(move || match pool.cancel(handle, NOW) {
                Cancel::Removed(done) => {
                    assert_eq!(done.job, 1);
                    1
                }
                Cancel::Signalled => 1,
                Cancel::Stale => 0,
            })
        };
        let mut settled = 0;
        let running = take(&pool).expect("whoever wins, one job is left for the taker");
        let job = *running.job();
        settled += u32::from(finish(&pool, running));
        let cancelled = canceller.join().unwrap();
        if job == 1 {
            assert_eq!(settled + cancelled, 1, "exactly one settles it");
            assert_eq!(drain(&pool), [2]);
        } else {
            assert_eq!((settled, cancelled), (1, 1));
        }
        assert!(matches!(pool.cancel(handle, NOW), Cancel::Stale));
        check_quiet(&pool);
    });
}

/// A handle must never reach the slot's next job.
#[test]
fn cancel_cancel_and_reuse() {
    model(|| {
        let pool = small();
        let handle = submit(&pool, 1).unwrap();
        let other = {
            let pool = pool.clone();
            thread::spawn(move || matches!(pool.cancel(handle, NOW), Cancel::Removed(_)))
        };
        let mine = matches!(pool.cancel(handle, NOW), Cancel::Removed(_));
        let next = submit(&pool, 2).unwrap();
        let theirs = other.join().unwrap();
        assert!(mine ^ theirs);
        assert!(pool.is_live(next) && !pool.is_live(handle));
        assert_eq!(drain(&pool), [2]);
        check_quiet(&pool);
    });
}

/// A taker may meet a winner that is being cancelled: what waits behind it must not be hidden.
#[test]
fn a_dead_head_hides_nobody() {
    model(|| {
        let pool = small();
        let head = submit(&pool, 1).unwrap();
        submit(&pool, 2).unwrap();
        let canceller = {
            let pool = pool.clone();
            thread::spawn(move || {
                let _ = pool.cancel(head, NOW);
            })
        };
        let pusher = {
            let pool = pool.clone();
            thread::spawn(move || submit(&pool, 3).is_some())
        };
        assert!(
            take(&pool).map(|running| finish(&pool, running)).is_some(),
            "2 was in before all began"
        );
        canceller.join().unwrap();
        let _ = pusher.join().unwrap();
        drain(&pool);
        check_quiet(&pool);
    });
}

/// Empty is empty: what was submitted before is found, whoever sweeps the same nodes meanwhile.
#[test]
fn a_sweep_that_fails_is_covered() {
    model(|| {
        let pool = small();
        let first = submit(&pool, 1).unwrap();
        // Both in threads of their own: the main one only waits, which costs none of the preemptions.
        let canceller = {
            let pool = pool.clone();
            thread::spawn(move || {
                let _ = pool.cancel(first, NOW);
            })
        };
        let other = {
            let pool = pool.clone();
            thread::spawn(move || {
                submit(&pool, 2).unwrap();
                let running = take(&pool).expect("2 is in, or 1 is not out yet");
                let job = *running.job();
                let _ = finish(&pool, running);
                job
            })
        };
        canceller.join().unwrap();
        let job = other.join().unwrap();
        assert_eq!(drain(&pool), if job == 1 { vec![2] } else { vec![] });
        check_quiet(&pool);
    });
}

#[test]
fn close_against_submit() {
    model(|| {
        let pool = small();
        let submitter = {
            let pool = pool.clone();
            thread::spawn(move || {
                u32::from(submit(&pool, 1).is_some()) + u32::from(submit(&pool, 2).is_some())
            })
        };
        pool.close();
        let drained = drain(&pool).len() as u32;
        let was_closed = pool.state() == State::Closed;
        let accepted = submitter.join().unwrap();
        if was_closed {
            assert_eq!(
                accepted, drained,
                "once closed and empty, nothing comes any more"
            );
        }
        assert_eq!(drained + drain(&pool).len() as u32, accepted);
        assert_eq!(pool.state(), State::Closed);
        check_quiet(&pool);
    });
}

fn timed() -> (Arc<Small>, Running<u32>) {
    let pool = small();
    let options = Submit {
        run_timeout: Some(Duration::from_millis(10)),
        ..Submit::DEFAULT
    };
    pool.submit(1, options, NOW).unwrap();
    let running = take(&pool).unwrap();
    (pool, running)
}

#[test]
fn finish_against_the_deadline() {
    model(|| {
        let (pool, running) = timed();
        let poller = {
            let pool = pool.clone();
            thread::spawn(move || match pool.poll(LATER) {
                Poll::TimedOut(expired) => {
                    assert_eq!(expired.run, Duration::from_millis(99));
                    true
                }
                Poll::Idle { next: None } => false,
                other => panic!("{other:?}"),
            })
        };
        let finished = finish(&pool, running);
        // The slot is free: its next job must not be mistaken for the one that was watched.
        let next = submit(&pool, 2).unwrap();
        let timed_out = poller.join().unwrap();
        assert!(finished ^ timed_out);
        assert!(pool.is_live(next));
        assert_eq!(drain(&pool), [2]);
        check_quiet(&pool);
    });
}

#[test]
fn finish_against_cancel() {
    model(|| {
        let (pool, running) = timed();
        let handle = running.handle();
        let canceller = {
            let pool = pool.clone();
            thread::spawn(move || matches!(pool.cancel(handle, NOW), Cancel::Signalled))
        };
        let finished = finish(&pool, running);
        let cancelled = canceller.join().unwrap();
        assert!(finished ^ cancelled);
        assert!(matches!(pool.poll(LATER), Poll::Idle { next: None }));
        check_quiet(&pool);
    });
}

#[test]
fn cancel_against_the_deadline() {
    model(|| {
        let (pool, running) = timed();
        let handle = running.handle();
        let poller = {
            let pool = pool.clone();
            thread::spawn(move || matches!(pool.poll(LATER), Poll::TimedOut(_)))
        };
        let cancelled = matches!(pool.cancel(handle, LATER), Cancel::Signalled);
        let timed_out = poller.join().unwrap();
        assert!(cancelled ^ timed_out);
        assert!(!finish(&pool, running), "settled before");
        check_quiet(&pool);
    });
}

/// Arming a deadline against a cancellation and a look at the timers.
#[test]
fn take_against_poll_of_a_queued_time_out() {
    model(|| {
        let pool = small();
        let options = Submit {
            queue_timeout: Some(Duration::from_millis(10)),
            run_timeout: Some(Duration::from_millis(10)),
            ..Submit::DEFAULT
        };
        pool.submit(1, options, NOW).unwrap();
        let poller = {
            let pool = pool.clone();
            // One look: either it still waits and is due, or it runs, with a later deadline or none yet.
            thread::spawn(move || matches!(pool.poll(Instant::from_millis(11)), Poll::Settled(_)))
        };
        let running = match pool.take(WorkerId(0), Instant::from_millis(10)) {
            Take::Job(running) => Some(running),
            Take::Empty { .. } => None,
            other => panic!("not due by the taker's clock: {other:?}"),
        };
        let expired = poller.join().unwrap();
        assert!(expired ^ running.is_some());
        if let Some(running) = running {
            let Poll::Idle { next } = pool.poll(NOW) else {
                panic!("not due yet")
            };
            assert_eq!(next, Some(Instant::from_millis(20)));
            assert!(finish(&pool, running));
        }
        check_quiet(&pool);
    });
}

/// The protocol of [`Pool::wants_worker`]: a job is never left waiting with no worker about.
#[test]
fn no_wake_up_is_lost() {
    use loom::sync::atomic::{AtomicU32, Ordering};

    fn try_enter(workers: &AtomicU32) -> bool {
        workers
            .compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// A worker of an executor that has at most one: counted in, until there is nothing to do.
    fn work(pool: &Small, workers: &AtomicU32, done: &AtomicU32) {
        loop {
            while let Some(running) = take(pool) {
                assert!(finish(pool, running));
                done.fetch_add(1, Ordering::SeqCst);
            }
            workers.fetch_sub(1, Ordering::SeqCst);
            if !pool.wants_worker() || !try_enter(workers) {
                return;
            }
        }
    }

    model(|| {
        let (pool, workers, done) = (
            small(),
            Arc::new(AtomicU32::new(1)),
            Arc::new(AtomicU32::new(0)),
        );
        submit(&pool, 1).unwrap();
        let worker = {
            let (pool, workers, done) = (pool.clone(), workers.clone(), done.clone());
            thread::spawn(move || work(&pool, &workers, &done))
        };
        submit(&pool, 2).unwrap();
        if pool.wants_worker() && try_enter(&workers) {
            work(&pool, &workers, &done);
        }
        worker.join().unwrap();
        assert_eq!(done.load(Ordering::SeqCst), 2, "both jobs were run");
    });
}

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
