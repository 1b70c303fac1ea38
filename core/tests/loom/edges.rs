//! Submissions, takes and cancellations where the queue is full or empty.

use loom::{sync::Arc, thread};
use weirpool_core::pool::{Cancel, Config, Finish, Outcome, Pool, State, Submit, Take, WorkerId};

use super::{NOW, check_quiet, drain, finish, model, small, submit, take};

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
