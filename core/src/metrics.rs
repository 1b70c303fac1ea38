//! Metrics.
#![forbid(unsafe_code)]
use crate::{
    pool::{Refusal, Settled},
    sync::const_fn,
    time::Duration,
};
/// Metrics.
#[derive(Debug)]
pub struct Metrics {}
/// Snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {}
impl Metrics {
    const_fn! {
        /// New.
        pub const fn new() -> Self { Self {} }
    }
    pub(crate) fn accepted(&self) {}
    pub(crate) fn refused(&self, _refusal: Refusal) {}
    pub(crate) fn started(&self, _wait: Duration) {}
    pub(crate) fn settled(&self, _result: &Settled) {}
    pub(crate) fn ran(&self, _run: Duration, _total: Duration) {}
    pub(crate) fn stale(&self) {}
    pub(crate) fn worker_crashed(&self) {}
    pub(crate) fn reset(&self) {}
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {}
    }
}
