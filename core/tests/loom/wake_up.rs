//! Workers that end when there is nothing to do.

use loom::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use super::{Small, finish, model, small, submit, take};

/// The protocol of `Pool::wants_worker`: a job is never left waiting with no worker about.
#[test]
fn no_wake_up_is_lost() {
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
