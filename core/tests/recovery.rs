//! A pool whose memory is given up: its ledger moves, its waiting jobs are adopted, its lost ones are counted.
#![cfg(not(loom))]

mod hands;

use std::time::Duration;

use weirpool_core::{
    adaptive, breaker,
    pool::{
        Carried, Config, Finish, Kind, Ledger, Lost, Outcome, Phase, Policy, Poll, Pool, Priority,
        Refused, Retry, Settled, State, Submit, Take, WorkerId,
    },
    rate::Quota,
};

use hands::{at, take};

type Small = Pool<u32, 16>;

fn new() -> Small {
    Pool::new(Config {
        capacity: 8,
        limit: 4,
        most_running: 4,
        max_in_flight: Some(8),
        rate: Some(Quota::new(8, Duration::from_secs(1)).unwrap()),
        breaker: Some(breaker::Config {
            consecutive: Some(2),
            probes: 1,
            ..breaker::Config::DEFAULT
        }),
        ..Config::DEFAULT
    })
}

/// What the owner of a lost memory does: it copies the ledger's bytes, and calls nothing of the old pool.
fn carry<const KINDS: usize>(old: &Pool<u32, 16, KINDS>, new: &Pool<u32, 16, KINDS>) {
    let (from, to): (*const Ledger<KINDS>, *const Ledger<KINDS>) = (old.ledger(), new.ledger());
    // SAFETY: a ledger is words only; nobody else uses either pool here.
    unsafe {
        to.cast_mut()
            .cast::<u8>()
            .copy_from(from.cast(), size_of::<Ledger<KINDS>>())
    };
    new.recovered();
}

#[test]
fn counters_and_gates_survive_and_waiting_jobs_keep_their_turns() {
    let old = new();
    let low = Submit {
        priority: Priority::Low,
        queue_timeout: Some(Duration::from_millis(500)),
        ..Submit::DEFAULT
    };
    old.submit(1, low, at(100)).unwrap();
    old.submit(2, Submit::DEFAULT, at(100)).unwrap();
    old.submit(
        3,
        Submit {
            priority: Priority::Critical,
            ..Submit::DEFAULT
        },
        at(100),
    )
    .unwrap();
    old.submit(4, Submit::DEFAULT, at(110)).unwrap();
    let culprit = take(&old, at(120));
    assert_eq!(*culprit.job(), 3);
    let bystander = take(&old, at(120));
    assert_eq!(*bystander.job(), 2);

    let pool = new();
    carry(&old, &pool);
    pool.note_lost(Lost::Trapped, None, at(130));
    pool.note_lost(Lost::Crashed, None, at(130));
    pool.adopt(1, low, Carried::new(at(100)), at(130)).unwrap();
    pool.adopt(4, Submit::DEFAULT, Carried::new(at(110)), at(130))
        .unwrap();

    let seen = pool.snapshot();
    assert_eq!(
        (seen.accepted, seen.started, seen.failed, seen.queued),
        (4, 2, 2, 2)
    );
    assert_eq!((seen.panicked, seen.worker_crashes, seen.resets), (1, 1, 1));
    assert_eq!(
        seen.accepted,
        seen.settled() + u64::from(seen.queued + seen.running)
    );

    // The rate limit remembers its four grants.
    for job in 5..9 {
        pool.submit(job, Submit::DEFAULT, at(130)).unwrap();
    }
    assert!(matches!(
        pool.submit(9, Submit::DEFAULT, at(130)),
        Err(Refused::Limited { job: 9, .. })
    ));

    // The time-out counts from the first submission.
    assert!(matches!(pool.poll(at(599)), Poll::Idle { next: Some(next) } if next == at(600)));
    let Poll::Settled(done) = pool.poll(at(600)) else {
        panic!("it is due")
    };
    assert_eq!(
        (done.job, done.result, done.wait),
        (
            1,
            Settled::TimedOut(Phase::Queue),
            Duration::from_millis(500)
        )
    );
    let running = take(&pool, at(610));
    assert_eq!(
        (*running.job(), running.submitted()),
        (4, at(110)),
        "it goes before what came later"
    );

    // One more failure in a row, after the trap: two open the breaker.
    let Finish::Settled(_) = pool.finish(running, Outcome::Failure, at(620)) else {
        panic!("it is settled here")
    };
    assert_eq!(pool.breaker().state(at(620)), breaker::State::Open);
    drop((culprit, bystander));
}

#[test]
fn an_open_breaker_stays_open() {
    let old = new();
    for job in 0..2 {
        old.submit(job, Submit::DEFAULT, at(0)).unwrap();
        let _ = old.finish(take(&old, at(0)), Outcome::Failure, at(0));
    }
    let pool = new();
    carry(&old, &pool);
    let Err(Refused::Open { retry_after, .. }) = pool.submit(3, Submit::DEFAULT, at(4_000)) else {
        panic!("it is open")
    };
    // With 32-bit words the pause is longer by up to 1/4096 of the longest.
    assert!(
        (6_000..6_020).contains(&retry_after.as_millis()),
        "{retry_after:?}"
    );
}

#[test]
fn adoption_passes_every_gate_but_the_capacity() {
    let pool = new();
    pool.breaker().trip(at(0));
    pool.close();
    for job in 0..8 {
        pool.adopt(job, Submit::DEFAULT, Carried::new(at(0)), at(1))
            .unwrap();
    }
    assert_eq!(
        pool.adopt(8, Submit::DEFAULT, Carried::new(at(0)), at(1)),
        Err(8)
    );
    assert_eq!(pool.state(), State::Draining);
    while pool.abort_next(at(2)).is_some() {}
    assert_eq!(pool.state(), State::Closed);
    assert_eq!(
        (pool.snapshot().accepted, pool.snapshot().cancelled),
        (0, 8)
    );
}

#[test]
fn the_breakers_of_kinds_survive_and_learn_of_lost_jobs() {
    let new = || {
        Pool::<u32, 16, 2>::new(Config {
            capacity: 8,
            kind_breaker: Some(breaker::Config {
                consecutive: Some(2),
                ..breaker::Config::DEFAULT
            }),
            ..Config::DEFAULT
        })
    };
    let state = |pool: &Pool<u32, 16, 2>, kind| pool.kind_breaker(kind).unwrap().state(at(1));
    let (old, kinds) = (new(), [Kind(0), Kind(1)]);
    for kind in kinds {
        old.note_lost(Lost::Killed, Some(kind), at(1));
    }
    old.note_lost(Lost::Trapped, Some(Kind(0)), at(1));
    let pool = new();
    carry(&old, &pool);
    let states = kinds.map(|kind| state(&pool, kind));
    assert_eq!(states, [breaker::State::Open, breaker::State::Closed]);

    pool.note_lost(Lost::Crashed, Some(Kind(1)), at(1));
    assert_eq!(state(&pool, Kind(1)), breaker::State::Closed);
    let options = Submit {
        kind: Some(Kind(1)),
        retry: Retry::Policy(Policy::DEFAULT.after_panics()),
        ..Submit::DEFAULT
    };
    let again = pool.retry_lost(Lost::Trapped, options, Carried::new(at(0)), at(1));
    assert!(again.is_some());
    assert_eq!(
        state(&pool, Kind(1)),
        breaker::State::Open,
        "it remembers one"
    );
}

#[test]
fn a_lost_job_is_tried_again_as_its_policy_says() {
    let pool = new();
    let with = |policy| Submit {
        total_timeout: Some(Duration::from_secs(1)),
        retry: Retry::Policy(policy),
        ..Submit::DEFAULT
    };
    let options = with(Policy::DEFAULT);
    let carried = Carried {
        attempts: 1,
        ..Carried::new(at(100))
    };
    let retry = |lost, options, carried| pool.retry_lost(lost, options, carried, at(130));

    // As errors, not as panics or time-outs; and by another's fault in any case.
    for lost in [Lost::Killed, Lost::Trapped, Lost::Cancelled] {
        assert_eq!(retry(lost, options, carried), None);
    }
    assert_eq!(retry(Lost::Crashed, Submit::DEFAULT, carried), None);
    let again = retry(Lost::Crashed, options, carried).expect("it did nothing wrong");
    assert!((at(180)..=at(230)).contains(&again.not_before));
    assert_eq!((again.submitted, again.attempts), (at(100), 1));
    let panics = with(Policy::DEFAULT.after_panics());
    assert!(retry(Lost::Trapped, panics, carried).is_some());
    assert_eq!(pool.breaker().snapshot(at(130)).opened, 0);
    let timeouts = with(Policy::DEFAULT.after_timeouts());
    assert!(retry(Lost::Killed, timeouts, carried).is_some());
    assert_eq!(pool.breaker().snapshot(at(130)).opened, 1, "two failures");
    pool.breaker().reset(at(130));

    // Not more often than it may be, and not past its deadline.
    let last = Carried {
        attempts: 3,
        ..carried
    };
    assert_eq!(retry(Lost::Crashed, options, last), None);
    let late = pool.retry_lost(Lost::Crashed, options, carried, at(1_060));
    assert_eq!(late, None);
    assert_eq!(pool.snapshot().retried, 3);

    // It waits for its time.
    pool.adopt(1, options, again, at(130)).unwrap();
    assert_eq!(pool.snapshot().delayed, 1);
    let Take::Empty { next: Some(due) } = pool.take(WorkerId(0), at(130)) else {
        panic!("it is delayed")
    };
    assert!(due >= again.not_before);
    let running = take(&pool, due);
    assert_eq!((running.attempt(), running.submitted()), (2, at(100)));
    let Finish::Settled(done) = pool.finish(running, Outcome::Success, at(300)) else {
        panic!("it is settled here")
    };
    assert_eq!((done.attempt, done.total), (2, Duration::from_millis(200)));
    assert_eq!(done.wait, due.saturating_since(again.not_before));
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let good = Config {
        capacity: 12,
        limit: 4,
        most_running: 4,
        ..Config::DEFAULT
    };
    assert!(Small::try_new(good).is_ok());
    let bad = [
        Config {
            capacity: 0,
            ..good
        },
        Config {
            capacity: 13,
            ..good
        },
        Config {
            most_running: 17,
            ..good
        },
        Config { limit: 0, ..good },
        Config { limit: 5, ..good },
        Config {
            max_in_flight: Some(0),
            ..good
        },
        Config {
            ageing: Some(Duration::from_secs(4 * 24 * 3600)),
            ..good
        },
        Config {
            breaker: Some(breaker::Config {
                probes: 0,
                ..breaker::Config::DEFAULT
            }),
            ..good
        },
        Config {
            adaptive: Some(adaptive::Config {
                min: 5,
                ..adaptive::Config::DEFAULT
            }),
            ..good
        },
    ];
    for config in bad {
        let error = Small::try_new(config).expect_err("it cannot work");
        assert!(!error.message().is_empty(), "{config:?}");
    }
    let pool = Small::new(good);
    assert!(pool.set_limit(0).is_err() && pool.set_limit(5).is_err() && pool.set_limit(1).is_ok());
    assert!(pool.set_max_in_flight(Some(0)).is_err() && pool.set_max_in_flight(None).is_ok());
}
