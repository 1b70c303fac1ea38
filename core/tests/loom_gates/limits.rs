//! The limits on running jobs and on the rate.

use std::time::Duration;

use loom::{
    model,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};
use weirpool_core::{
    adaptive::{self, AdaptiveLimit},
    concurrency::ConcurrencyLimit,
    pool::{self, Finish, Outcome, Pool, Running, Submit, Take, WorkerId},
    rate::{Quota, RateLimit},
};

use super::{RUN, at, model_pool};

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

/// The protocol of `Pool::wants_worker` with a limit that rises: of who finished its job, took the next and looks, and who
/// submitted one more and looks, one starts the second worker.
#[test]
fn a_limit_that_rises_starts_a_worker() {
    type Small = Pool<u32, 4>;

    fn start_worker(pool: &Small, workers: &AtomicU32) {
        if pool.wants_worker() && workers.load(Ordering::Relaxed) < 2 {
            workers.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take(pool: &Small) -> Running<u32> {
        match pool.take(WorkerId(0), at(0)) {
            Take::Job(running) => running,
            other => panic!("a job waits: {other:?}"),
        }
    }

    model_pool(|| {
        let pool = Arc::new(Small::new(pool::Config {
            capacity: 2,
            limit: 1,
            most_running: 2,
            adaptive: Some(adaptive::Config {
                target: Duration::from_micros(100),
                window: Duration::from_millis(1),
                min: 1,
            }),
            ..pool::Config::DEFAULT
        }));
        // The maximum; the limit follows as runs allow.
        pool.set_limit(2).unwrap();
        let submit = |pool: &Small| pool.submit(7, Submit::DEFAULT, at(0)).unwrap();
        for _ in 0..9 {
            submit(&pool);
            let _ = pool.finish(take(&pool), Outcome::Success, at(0));
        }
        submit(&pool);
        let running = take(&pool);
        submit(&pool);
        let workers = Arc::new(AtomicU32::new(1));
        let submitter = {
            let (pool, workers) = (pool.clone(), workers.clone());
            thread::spawn(move || {
                submit(&pool);
                start_worker(&pool, &workers);
            })
        };
        // The tenth run ends the window, and the limit rises.
        let finished = pool.finish(running, Outcome::Success, at(1));
        assert!(matches!(finished, Finish::Settled(_)));
        let _running = take(&pool);
        start_worker(&pool, &workers);
        submitter.join().unwrap();
        assert_eq!(pool.snapshot().limit, 2);
        let workers = workers.load(Ordering::Relaxed);
        assert!(
            workers >= 2,
            "a job waits, a place is free, and one worker works"
        );
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
