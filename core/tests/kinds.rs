//! Jobs of several kinds in one pool, each with a breaker of its own beside the pool's.
#![cfg(not(loom))]

mod hands;

use std::time::Duration;

use weirpool_core::{
    breaker::{self, State},
    pool::{
        Config, Failure, Finish, Kind, Outcome, Policy, Pool, Refusal, Refused, Retry, Settled,
        Submit, Take, WorkerId,
    },
    time::Instant,
};

use hands::{at, take};

type Kinds = Pool<u32, 12, 2>;

/// Two failures in a row open a kind's breaker, four the pool's, which pauses for half the time.
const CONFIG: Config = Config {
    capacity: 8,
    limit: 4,
    most_running: 4,
    breaker: Some(breaker::Config {
        consecutive: Some(4),
        pause: Duration::from_millis(5),
        ..KIND_BREAKER
    }),
    kind_breaker: Some(KIND_BREAKER),
    ..Config::DEFAULT
};
const KIND_BREAKER: breaker::Config = breaker::Config {
    consecutive: Some(2),
    failure_rate: None,
    pause: Duration::from_millis(10),
    max_pause: Duration::from_millis(40),
    probes: 1,
    lease: Duration::from_millis(40),
    ..breaker::Config::DEFAULT
};

const A: Option<Kind> = Some(Kind(0));
const B: Option<Kind> = Some(Kind(1));
/// One that the pool has no breaker for.
const OTHER: Option<Kind> = Some(Kind(2));

fn of(kind: Option<Kind>) -> Submit {
    Submit {
        kind,
        ..Submit::DEFAULT
    }
}

fn run(pool: &Kinds, kind: Option<Kind>, outcome: Outcome, now: Instant) {
    pool.submit(0, of(kind), now).unwrap();
    let finished = pool.finish(take(pool, now), outcome, now);
    assert!(matches!(finished, Finish::Settled(_)));
}

/// What keeps a job of this kind out.
fn refusal(pool: &Kinds, kind: Option<Kind>, now: Instant) -> Duration {
    match pool.submit(9, of(kind), now) {
        Err(Refused::Open {
            job: 9,
            retry_after,
        }) => retry_after,
        other => panic!("a breaker is open: {other:?}"),
    }
}

#[test]
fn a_kind_that_fails_does_not_shut_the_others_out() {
    let pool = Kinds::new(CONFIG);
    for _ in 0..2 {
        run(&pool, A, Outcome::Failure, at(0));
    }
    let breaker = pool.kind_breaker(Kind(0)).unwrap();
    assert_eq!(breaker.state(at(1)), State::Open);
    let wait = refusal(&pool, A, at(1));
    assert_eq!(Err(wait), breaker.check(at(1)));
    assert_eq!(pool.snapshot().refused_breaker, 1);

    assert!(pool.kind_breaker(Kind(2)).is_none());
    for kind in [B, None, OTHER] {
        run(&pool, kind, Outcome::Success, at(1));
    }
    assert_eq!(pool.breaker().state(at(1)), State::Closed);

    // After the pause a probe decides about the kind.
    let later = at(1).saturating_add(wait);
    run(&pool, A, Outcome::Success, later);
    assert_eq!(breaker.state(later), State::Closed);
}

#[test]
fn of_two_breakers_that_are_open_the_longer_wait_counts() {
    let pool = Kinds::new(CONFIG);
    for kind in [A, A, B, B] {
        run(&pool, kind, Outcome::Failure, at(0));
    }
    let wait_of = |breaker: &breaker::Breaker, now| breaker.check(now).unwrap_err();
    let breaker = pool.kind_breaker(Kind(0)).unwrap();
    let (wait, shorter) = (wait_of(breaker, at(1)), wait_of(pool.breaker(), at(1)));
    assert!(wait > shorter);
    assert_eq!(refusal(&pool, A, at(1)), wait);
    assert_eq!(refusal(&pool, None, at(1)), shorter);
    // The pool's pause is over.
    assert_eq!(refusal(&pool, A, at(7)), wait_of(breaker, at(7)));
    run(&pool, None, Outcome::Failure, at(7));
    // And it is open again, for twice as long.
    let longer = wait_of(pool.breaker(), at(8));
    assert!(longer > wait_of(breaker, at(8)));
    assert_eq!(refusal(&pool, A, at(8)), longer);
}

#[test]
fn jobs_in_line_fail_or_wait_when_the_breaker_of_their_kind_opens() {
    let pool = Kinds::new(CONFIG);
    let patient = Submit {
        retry: Retry::Policy(Policy::DEFAULT),
        ..of(A)
    };
    for (job, options) in (1..).zip([of(A), of(A), of(A), patient, of(B)]) {
        pool.submit(job, options, at(0)).unwrap();
    }
    for running in [take(&pool, at(0)), take(&pool, at(0))] {
        let finished = pool.finish(running, Outcome::Failure, at(0));
        assert!(matches!(finished, Finish::Settled(_)));
    }
    let breaker = pool.kind_breaker(Kind(0)).unwrap();
    let retry_after = breaker.check(at(1)).unwrap_err();
    let Take::Settled(done) = pool.take(WorkerId(0), at(1)) else {
        panic!("the breaker is open")
    };
    let failure = Settled::Failed(Failure::CircuitOpen { retry_after });
    assert_eq!((done.job, done.result), (3, failure));
    let Take::Delayed { at: due, .. } = pool.take(WorkerId(0), at(1)) else {
        panic!("it has a policy")
    };
    assert_eq!(due, at(1).saturating_add(retry_after));
    assert_eq!(*take(&pool, at(1)).job(), 5, "of the other kind");
    // It is the probe then, in its first attempt.
    let due = pool.poll_at(at(1)).unwrap();
    let probe = take(&pool, due);
    assert_eq!((*probe.job(), probe.attempt()), (4, 1));
    assert_eq!(breaker.state(due), State::HalfOpen);
    assert!(breaker.check(due).is_err(), "there is one probe");
}

#[test]
fn submissions_that_come_too_late_count_for_their_kind_too() {
    let pool = Kinds::new(Config {
        count_submit_timeouts: true,
        ..CONFIG
    });
    for _ in 0..2 {
        pool.note_refused(Refusal::Timeout, B, at(0));
    }
    assert_eq!(
        pool.kind_breaker(Kind(1)).unwrap().state(at(0)),
        State::Open
    );
    // That one is open, and the pool's goes on counting.
    for _ in 0..2 {
        pool.note_refused(Refusal::Timeout, B, at(0));
    }
    assert_eq!(pool.breaker().state(at(0)), State::Open);
}

#[test]
fn breakers_of_kinds_are_checked_and_may_be_off() {
    let error = |config| Kinds::try_new(config).map(|_| ()).unwrap_err();
    let kind_breaker = Some(breaker::Config {
        probes: 0,
        ..KIND_BREAKER
    });
    let bad = Config {
        kind_breaker,
        ..CONFIG
    };
    assert!(error(bad).message().contains("probes"));
    let without = Pool::<u32, 12>::try_new(CONFIG).map(|_| ()).unwrap_err();
    assert!(without.message().contains("without kinds"));

    let off = Kinds::new(Config {
        kind_breaker: None,
        ..CONFIG
    });
    for _ in 0..3 {
        run(&off, A, Outcome::Failure, at(0));
    }
    assert_eq!(
        off.kind_breaker(Kind(0)).unwrap().state(at(0)),
        State::Disabled
    );
    run(&off, A, Outcome::Failure, at(0));
    assert_eq!(
        off.breaker().state(at(0)),
        State::Open,
        "the pool's counts them"
    );
}
