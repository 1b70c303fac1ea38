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
    pool::{
        self, Cancel, Failure, Finish, Kind, Outcome, Poll, Pool, Running, Settled, Submit, Take,
        WorkerId,
    },
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
const TOUCHY: Config = Config {
    consecutive: Some(1),
    failure_rate: None,
    probes: 1,
    pause: Duration::from_millis(1),
    max_pause: Duration::from_millis(4),
    lease: Duration::from_millis(3),
    ..Config::DEFAULT
};

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

/// Two places, two permits to run, and two kinds of jobs.
type Kinds = Pool<u32, 4, 2>;

const KINDS: [Kind; 2] = [Kind(0), Kind(1)];

fn kinds() -> Arc<Kinds> {
    Arc::new(Pool::new(pool::Config {
        capacity: 2,
        limit: 2,
        most_running: 2,
        breaker: Some(TOUCHY),
        kind_breaker: Some(TOUCHY),
        ..pool::Config::DEFAULT
    }))
}

fn submit(pool: &Kinds, kind: Kind, now: Instant) {
    let options = Submit {
        run_timeout: Some(Duration::from_millis(1)),
        kind: Some(kind),
        ..Submit::DEFAULT
    };
    pool.submit(7, options, now).expect("the pauses are over");
}

/// A job to run; `None` is that it failed, since a breaker was open.
fn take(pool: &Kinds, now: Instant) -> Option<Running<u32>> {
    match pool.take(WorkerId(0), now) {
        Take::Job(running) => Some(running),
        Take::Settled(done) => {
            let open = matches!(done.result, Settled::Failed(Failure::CircuitOpen { .. }));
            assert!(open, "{done:?}");
            None
        }
        other => panic!("a job waits: {other:?}"),
    }
}

fn finish(pool: &Kinds, running: Running<u32>, outcome: Outcome, now: Instant) -> bool {
    matches!(pool.finish(running, outcome, now), Finish::Settled(_))
}

/// The breakers of the pool and of the kinds, as they are to a call now.
fn states<const N: usize>(pool: &Kinds, kinds: [Kind; N], now: Instant) -> Vec<State> {
    let of_kinds = kinds.map(|kind| pool.kind_breaker(kind).unwrap());
    let breakers = [pool.breaker()].into_iter().chain(of_kinds);
    breakers
        .map(|breaker| {
            let state = breaker.state(now);
            let passes = state != State::Open;
            assert_eq!(breaker.check(now).is_ok(), passes, "no probe is out");
            state
        })
        .collect()
}

/// The breakers of the pool and of these kinds opened at 0 ms, for one.
fn opened(kinds: &[Kind]) -> Arc<Kinds> {
    let pool = self::kinds();
    let jobs: Vec<_> = kinds
        .iter()
        .map(|&kind| {
            submit(&pool, kind, at(0));
            take(&pool, at(0)).expect("all are closed")
        })
        .collect();
    for running in jobs {
        assert!(finish(&pool, running, Outcome::Failure, at(0)));
    }
    pool
}

/// As `loom::model`, for scenes with a whole pool.
fn model_pool(scene: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    builder.check(scene);
}

/// Two of one kind come when the pauses are over: one is the probe of both breakers, and the other of none.
#[test]
fn one_job_becomes_the_probe_of_its_kind_and_of_the_pool() {
    model_pool(|| {
        let pool = opened(&KINDS[..1]);
        submit(&pool, KINDS[0], at(1));
        submit(&pool, KINDS[0], at(1));
        let other = {
            let pool = pool.clone();
            thread::spawn(move || take(&pool, at(1)))
        };
        let mine = take(&pool, at(1));
        let theirs = other.join().unwrap();
        assert!(mine.is_some() ^ theirs.is_some());
        let probe = mine.or(theirs).unwrap();
        assert!(finish(&pool, probe, Outcome::Success, at(1)));
        let states = states(&pool, [KINDS[0]], at(1));
        assert_eq!(states, [State::Closed, State::Closed]);
    });
}

/// Two kinds, one probe of the pool's: who does not get it gives its kind's back.
#[test]
fn a_probe_that_the_pool_refuses_is_given_back() {
    model_pool(|| {
        let pool = opened(&KINDS);
        for kind in KINDS {
            submit(&pool, kind, at(1));
        }
        let other = {
            let pool = pool.clone();
            thread::spawn(move || take(&pool, at(1)))
        };
        let mine = take(&pool, at(1));
        let theirs = other.join().unwrap();
        assert!(mine.is_some() ^ theirs.is_some());
        let probe = mine.or(theirs).unwrap();
        assert!(finish(&pool, probe, Outcome::Success, at(1)));
        let mut states = states(&pool, KINDS, at(1));
        assert_eq!(states[0], State::Closed);
        states.sort_by_key(|&state| state as u8);
        assert_eq!(states, [State::Closed, State::Closed, State::HalfOpen]);
    });
}

/// The pool's breaker is reset while a job of a kind on probation asks both: whatever it is told, no probe is lost.
#[test]
fn a_reset_of_the_pool_against_a_probe_of_a_kind() {
    model_pool(|| {
        let pool = opened(&KINDS[..1]);
        submit(&pool, KINDS[0], at(1));
        submit(&pool, KINDS[0], at(1));
        pool.breaker().trip(at(1));
        let other = {
            let pool = pool.clone();
            thread::spawn(move || take(&pool, at(1)))
        };
        pool.breaker().reset(at(1));
        let mine = take(&pool, at(1));
        let theirs = other.join().unwrap();
        let runs = [mine, theirs].into_iter().flatten();
        let probes: Vec<_> = runs.collect();
        assert!(probes.len() <= 1, "one probe of the kind");
        let passed = !probes.is_empty();
        for probe in probes {
            assert!(finish(&pool, probe, Outcome::Success, at(1)));
        }
        let expected = if passed {
            State::Closed
        } else {
            State::HalfOpen
        };
        assert_eq!(states(&pool, [KINDS[0]], at(1)), [State::Closed, expected]);
    });
}

/// A job that is a probe of both breakers.
fn probe() -> (Arc<Kinds>, Running<u32>) {
    let pool = opened(&KINDS[..1]);
    submit(&pool, KINDS[0], at(1));
    let probe = take(&pool, at(1)).expect("the pauses are over");
    (pool, probe)
}

/// A cancelled probe is given back to both breakers, a finished one told to both.
#[test]
fn a_probe_of_both_is_cancelled_or_finishes() {
    model_pool(|| {
        let (pool, probe) = probe();
        let handle = probe.handle();
        let canceller = {
            let pool = pool.clone();
            thread::spawn(move || matches!(pool.cancel(handle, at(1)), Cancel::Signalled))
        };
        let finished = finish(&pool, probe, Outcome::Success, at(1));
        assert!(finished ^ canceller.join().unwrap());
        let expected = if finished {
            State::Closed
        } else {
            State::HalfOpen
        };
        let states = states(&pool, [KINDS[0]], at(1));
        assert_eq!(states, [expected, expected]);
    });
}

/// Whoever settles a probe tells both breakers the same: `poll` finds both permits with the slot.
#[test]
fn a_probe_of_both_times_out_or_finishes() {
    model_pool(|| {
        let (pool, probe) = probe();
        let poller = {
            let pool = pool.clone();
            thread::spawn(move || matches!(pool.poll(at(2)), Poll::TimedOut(_)))
        };
        let finished = finish(&pool, probe, Outcome::Success, at(2));
        assert!(finished ^ poller.join().unwrap());
        let expected = if finished { State::Closed } else { State::Open };
        let states = states(&pool, [KINDS[0]], at(2));
        assert_eq!(states, [expected, expected]);
    });
}

/// Of two failures one opens both breakers, or each opens one.
#[test]
fn both_breakers_open_once() {
    model_pool(|| {
        let pool = kinds();
        let jobs = [0, 1].map(|_| {
            submit(&pool, KINDS[0], at(0));
            take(&pool, at(0)).expect("all are closed")
        });
        let [mine, theirs] = jobs;
        let other = {
            let pool = pool.clone();
            thread::spawn(move || assert!(finish(&pool, theirs, Outcome::Failure, at(0))))
        };
        assert!(finish(&pool, mine, Outcome::Failure, at(0)));
        other.join().unwrap();
        for breaker in [pool.breaker(), pool.kind_breaker(KINDS[0]).unwrap()] {
            let seen = breaker.snapshot(at(0));
            assert_eq!((seen.state, seen.opened, seen.stale), (State::Open, 1, 1));
        }
    });
}

/// The protocol of [`Pool::wants_worker`] with a limit that rises: of who finished its job, took the next and looks, and who
/// submitted one more and looks, one starts the second worker.
#[test]
fn a_limit_that_rises_starts_a_worker() {
    use loom::sync::atomic::{AtomicU32, Ordering};

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
