//! Every interleaving of small scenes, checked by loom.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 cargo test -p weirpool-core --release --test loom`
//!
//! Under loom a tournament's nodes have two children, so that three slots make two levels.
#![cfg(loom)]

mod deadlines;
mod edges;
mod queue;
mod retry;
mod wake_up;

use loom::sync::Arc;
use weirpool_core::{
    pool::{
        Config, Finish, Handle, Outcome, Pool, Refused, Running, State, Submit, Take, WorkerId,
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
