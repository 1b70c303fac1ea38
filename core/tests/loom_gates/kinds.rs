//! The breaker of a kind together with that of the pool.

use std::time::Duration;

use loom::{sync::Arc, thread};
use weirpool_core::{
    breaker::State,
    pool::{
        self, Cancel, Failure, Finish, Kind, Outcome, Poll, Pool, Running, Settled, Submit, Take,
        WorkerId,
    },
    time::Instant,
};

use super::{TOUCHY, at, model_pool};

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
