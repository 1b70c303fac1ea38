//! Metrics.
#![forbid(unsafe_code)]
use crate::{
    pool::{Failure, Refusal, Settled},
    sync::{AtomicU32, Ordering::Relaxed, const_fn},
};
use core::time::Duration;
/// Metrics.
#[derive(Debug)]
pub struct Metrics {
    accepted: AtomicU32,
    refused: AtomicU32,
    started: AtomicU32,
    completed: AtomicU32,
    failed: AtomicU32,
    timed_out: AtomicU32,
    cancelled: AtomicU32,
    panicked: AtomicU32,
    stale: AtomicU32,
    worker_crashes: AtomicU32,
    resets: AtomicU32,
}
/// Snapshot.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Snapshot {
    pub accepted: u64,
    pub refused: u64,
    pub started: u64,
    pub completed: u64,
    pub failed: u64,
    pub timed_out: u64,
    pub cancelled: u64,
    pub panicked: u64,
    pub stale: u64,
    pub worker_crashes: u64,
    pub resets: u64,
    pub queued: u32,
    pub running: u32,
    pub abandoned: u32,
}
impl Metrics {
    const_fn! {
        /// New.
        pub const fn new() -> Self { Self { accepted: AtomicU32::new(0), refused: AtomicU32::new(0), started: AtomicU32::new(0), completed: AtomicU32::new(0), failed: AtomicU32::new(0), timed_out: AtomicU32::new(0), cancelled: AtomicU32::new(0), panicked: AtomicU32::new(0), stale: AtomicU32::new(0), worker_crashes: AtomicU32::new(0), resets: AtomicU32::new(0),} }
    }
    pub(crate) fn accepted(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }
    pub(crate) fn refused(&self, _refusal: Refusal) {
        self.refused.fetch_add(1, Relaxed);
    }
    pub(crate) fn started(&self, _wait: Duration) {
        self.started.fetch_add(1, Relaxed);
    }
    pub(crate) fn settled(&self, result: &Settled) {
        match result {
            Settled::Completed => &self.completed,
            Settled::Failed(f) => {
                if *f == Failure::Panic {
                    self.panicked.fetch_add(1, Relaxed);
                }
                &self.failed
            }
            Settled::TimedOut(_) => &self.timed_out,
            Settled::Cancelled => &self.cancelled,
        }
        .fetch_add(1, Relaxed);
    }
    pub(crate) fn ran(&self, _run: Duration, _total: Duration) {}
    pub(crate) fn stale(&self) {
        self.stale.fetch_add(1, Relaxed);
    }
    pub(crate) fn worker_crashed(&self) {
        self.worker_crashes.fetch_add(1, Relaxed);
    }
    pub(crate) fn reset(&self) {
        self.resets.fetch_add(1, Relaxed);
    }
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            accepted: u64::from(self.accepted.load(Relaxed)),
            refused: u64::from(self.refused.load(Relaxed)),
            started: u64::from(self.started.load(Relaxed)),
            completed: u64::from(self.completed.load(Relaxed)),
            failed: u64::from(self.failed.load(Relaxed)),
            timed_out: u64::from(self.timed_out.load(Relaxed)),
            cancelled: u64::from(self.cancelled.load(Relaxed)),
            panicked: u64::from(self.panicked.load(Relaxed)),
            stale: u64::from(self.stale.load(Relaxed)),
            worker_crashes: u64::from(self.worker_crashes.load(Relaxed)),
            resets: u64::from(self.resets.load(Relaxed)),
            ..Snapshot::default()
        }
    }
}
