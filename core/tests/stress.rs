//! More threads than cores on one pool: nothing is lost, nothing doubled, full and empty never lie.
#![cfg(not(loom))]

mod random;

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*},
    },
    thread,
    time::Duration,
};

use random::Random;
use weirpool_core::{
    pool::{
        Allowance, Cancel, Config, Finish, Handle, Outcome, Policy, Poll, Pool, Priority, State,
        Submit, Take, WorkerId,
    },
    time::Instant,
};

const PER_THREAD: u64 = if cfg!(debug_assertions) {
    5_000
} else {
    50_000
};

/// Submitters, workers that fail at times, a canceller and a poller at once. Every accepted job settles exactly once,
/// retried or not.
#[test]
fn every_accepted_job_settles_exactly_once() {
    const SUBMITTERS: u64 = 4;
    const WORKERS: u16 = 4;
    static POOL: Pool<u64, 40> = Pool::new(Config {
        capacity: 32,
        limit: 4,
        most_running: 8,
        retry: Some(RETRY),
        retry_budget: Allowance {
            percent: 100,
            reserve: 1000,
        },
        ..Config::DEFAULT
    });
    /// The clock goes by one microsecond a call.
    const RETRY: Policy = match Policy::new(3, Duration::from_micros(20), Duration::from_micros(90))
    {
        Ok(policy) => policy,
        Err(_) => panic!("it is in range"),
    };
    let seed = random::seed();
    println!("WEIRPOOL_SEED={seed}");
    let settled: Vec<AtomicU32> = (0..SUBMITTERS * PER_THREAD)
        .map(|_| AtomicU32::new(0))
        .collect();
    let accepted: Vec<AtomicBool> = settled.iter().map(|_| AtomicBool::new(false)).collect();
    let handles: Vec<AtomicU64> = (0..64).map(|_| AtomicU64::new(u64::MAX)).collect();
    // Jobs whose handle alone is known when they are settled.
    let by_handle = AtomicU64::new(0);
    let (clock, done) = (AtomicU64::new(1_000), AtomicBool::new(false));
    let settle = |job: u64| {
        assert_eq!(
            settled[job as usize].fetch_add(1, AcqRel),
            0,
            "job {job} settled twice"
        )
    };
    let now = || Instant::from_micros(clock.fetch_add(1, Relaxed));
    thread::scope(|scope| {
        let submitters: Vec<_> = (0..SUBMITTERS)
            .map(|submitter| {
                let (accepted, handles) = (&accepted, &handles);
                scope.spawn(move || {
                    let mut random = Random::new(seed ^ submitter);
                    for job in submitter * PER_THREAD..(submitter + 1) * PER_THREAD {
                        let timeout = |random: &mut Random| {
                            (random.below(4) == 0).then(|| Duration::from_micros(random.below(200)))
                        };
                        let options = Submit {
                            priority: random.one_of([
                                Priority::Low,
                                Priority::Normal,
                                Priority::High,
                            ]),
                            queue_timeout: timeout(&mut random),
                            run_timeout: timeout(&mut random),
                            total_timeout: timeout(&mut random),
                            ..Submit::DEFAULT
                        };
                        match POOL.submit(job, options, now()) {
                            Ok(handle) => {
                                accepted[job as usize].store(true, Release);
                                handles[random.below(64) as usize].store(handle.to_bits(), Release);
                            }
                            Err(refused) => {
                                assert_eq!(refused.into_inner(), job);
                                thread::yield_now();
                            }
                        }
                    }
                })
            })
            .collect();
        for worker in 0..WORKERS {
            let (settle, done) = (&settle, &done);
            scope.spawn(move || {
                let mut random = Random::new(seed ^ 0xF00 ^ u64::from(worker));
                loop {
                    match POOL.take(WorkerId(worker), now()) {
                        Take::Job(running) => {
                            let job = *running.job();
                            if random.below(4) == 0 {
                                thread::yield_now();
                            }
                            let outcome = random.one_of([
                                Outcome::Success,
                                Outcome::Success,
                                Outcome::Failure,
                                Outcome::Permanent { ignored: true },
                            ]);
                            match POOL.finish(running, outcome, now()) {
                                Finish::Settled(completion) => settle(completion.job),
                                Finish::Retry { .. } => {}
                                Finish::Stale(stale) => assert_eq!(stale, job),
                            }
                        }
                        Take::Settled(completion) => settle(completion.job),
                        other @ (Take::Delayed { .. } | Take::Stale(_)) => {
                            panic!("no gate delays: {other:?}")
                        }
                        Take::Empty { .. } if done.load(Acquire) => break,
                        Take::Empty { .. } => thread::yield_now(),
                    }
                }
            });
        }
        {
            let (settle, done, handles, by_handle) = (&settle, &done, &handles, &by_handle);
            scope.spawn(move || {
                let mut random = Random::new(seed ^ 0xCA);
                while !done.load(Acquire) {
                    let bits = handles[random.below(64) as usize].load(Acquire);
                    match POOL.cancel(Handle::from_bits(bits), now()) {
                        Cancel::Removed(completion) => settle(completion.job),
                        Cancel::Signalled => _ = by_handle.fetch_add(1, AcqRel),
                        Cancel::Stale => thread::yield_now(),
                    }
                }
            });
            scope.spawn(move || {
                while !done.load(Acquire) {
                    match POOL.poll(now()) {
                        Poll::Settled(completion) => settle(completion.job),
                        Poll::TimedOut(_) => _ = by_handle.fetch_add(1, AcqRel),
                        Poll::Promoted(_) => {}
                        Poll::Idle { .. } => thread::yield_now(),
                    }
                    let state = POOL.snapshot();
                    let waiting = state.queued + state.delayed;
                    assert!(waiting <= 32 + 8, "{waiting} wait");
                }
            });
        }
        for submitter in submitters {
            submitter.join().unwrap();
        }
        POOL.close();
        while POOL.state() != State::Closed {
            thread::yield_now();
        }
        done.store(true, Release);
    });
    let accepted = accepted
        .iter()
        .filter(|accepted| accepted.load(Acquire))
        .count() as u64;
    let settled: u64 = settled
        .iter()
        .map(|settled| u64::from(settled.load(Acquire)))
        .sum();
    let seen = POOL.snapshot();
    println!(
        "{accepted} accepted of {}, {} stale, {} retried",
        SUBMITTERS * PER_THREAD,
        seen.stale,
        seen.retried
    );
    assert_eq!(accepted, settled + by_handle.load(Acquire));
    assert_eq!(seen.accepted, accepted);
    assert_eq!(
        seen.accepted,
        seen.completed + seen.failed + seen.timed_out + seen.cancelled
    );
    assert_eq!(
        seen.stale,
        by_handle.load(Acquire),
        "every abandoned job came back late"
    );
    assert_eq!(
        (seen.queued, seen.delayed, seen.running, seen.abandoned),
        (0, 0, 0, 0)
    );
    assert!(seen.retried > 0 && seen.started <= seen.accepted + seen.retried);
    assert!(matches!(POOL.poll(Instant::MAX), Poll::Idle { next: None }));
}

/// Half as many threads as places push and then take: there is always room for the one and a job for the other.
/// A queue that is "full" or "empty" while somebody is in the middle of something fails this.
#[test]
fn full_and_empty_never_lie() {
    fn check<const SLOTS: usize>(capacity: usize, threads: usize) {
        let pool: Pool<u64, SLOTS> = Pool::new(Config {
            capacity,
            limit: threads as u16,
            most_running: threads as u16,
            ..Config::DEFAULT
        });
        let barrier = Barrier::new(threads);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    barrier.wait();
                    for job in 0..PER_THREAD {
                        pool.submit(job, Submit::DEFAULT, Instant::ZERO)
                            .expect("each thread has its own place");
                        let Take::Job(running) = pool.take(WorkerId(0), Instant::ZERO) else {
                            panic!("at least as many jobs wait as threads are here")
                        };
                        let Finish::Settled(_) =
                            pool.finish(running, Outcome::Success, Instant::ZERO)
                        else {
                            panic!("nobody else settles")
                        };
                    }
                });
            }
        });
        assert_eq!(pool.snapshot().completed, PER_THREAD * threads as u64);
    }
    check::<4>(2, 2);
    check::<16>(8, 8);
    check::<100>(8, 8);
}

/// Jobs of one submitter leave in their order, whoever else submits.
#[test]
fn one_submitter_s_jobs_stay_in_order() {
    static POOL: Pool<(usize, u64), 80> = Pool::new(Config {
        capacity: 64,
        limit: 1,
        most_running: 1,
        ..Config::DEFAULT
    });
    let left = AtomicU32::new(4);
    thread::scope(|scope| {
        for submitter in 0..4 {
            let left = &left;
            scope.spawn(move || {
                for job in 0..PER_THREAD {
                    // The clocks of the submitters differ, and run backwards now and then.
                    let now =
                        Instant::from_micros(10_000 + job / 7 - job % 3 * 100 * submitter as u64);
                    while POOL.submit((submitter, job), Submit::DEFAULT, now).is_err() {
                        thread::yield_now();
                    }
                }
                left.fetch_sub(1, AcqRel);
            });
        }
        let mut next = [0; 4];
        loop {
            let over = left.load(Acquire) == 0;
            match POOL.take(WorkerId(0), Instant::ZERO) {
                Take::Job(running) => {
                    let (submitter, job) = *running.job();
                    assert_eq!(job, next[submitter], "of submitter {submitter}");
                    next[submitter] += 1;
                    let _ = POOL.finish(running, Outcome::Success, Instant::ZERO);
                }
                Take::Empty { .. } if over => break,
                _ => thread::yield_now(),
            }
        }
        assert_eq!(next, [PER_THREAD; 4]);
    });
}
