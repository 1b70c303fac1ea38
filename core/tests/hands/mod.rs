//! What the tests of whole pools do by hand.

use weirpool_core::{
    pool::{Pool, Running, Take, WorkerId},
    time::Instant,
};

pub fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// The job whose turn is next, which must be there.
pub fn take<const SLOTS: usize, const KINDS: usize>(
    pool: &Pool<u32, SLOTS, KINDS>,
    now: Instant,
) -> Running<u32> {
    match pool.take(WorkerId(0), now) {
        Take::Job(running) => running,
        other => panic!("a job waits: {other:?}"),
    }
}
