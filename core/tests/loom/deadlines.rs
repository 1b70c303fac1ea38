//! A deadline against whatever else may settle the job.

use std::time::Duration;

use loom::{sync::Arc, thread};
use weirpool_core::{
    pool::{Cancel, Poll, Running, Submit, Take, WorkerId},
    time::Instant,
};

use super::{LATER, NOW, Small, check_quiet, drain, finish, model, small, submit, take};

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
