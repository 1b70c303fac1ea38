//! `Retries`: how the page hears of jobs that wait for another attempt.
//!
//! Whoever delays a job has no claim to its record afterwards: the next one to take it may be at work already. So the
//! news travels in a block of its own.

use std::cell::Cell;

use weirpool_core::pool::Handle;

use crate::list::TakeAllList;
use crate::record::Output;

/// What the page hears of a delayed job.
pub struct Notice {
    /// Link on the list: the next notice's address, or 0. Belongs to whoever holds the notice.
    next: Cell<u32>,
    pub handle: Handle,
    /// Not before this time (µs).
    pub at: f64,
    /// `None`: its turn came while the breaker was open, or without a token of the rate limit.
    pub failed: Option<Failed>,
}

/// An attempt that failed.
pub struct Failed {
    pub attempt: u32,
    /// An `OutcomeCode`.
    pub outcome: u32,
    /// The error. Whoever takes the notice frees it.
    pub output: Output,
}

impl Notice {
    pub const fn new(handle: Handle, at: f64, failed: Option<Failed>) -> Self {
        Self {
            next: Cell::new(0),
            handle,
            at,
            failed,
        }
    }
}

/// Notices on their way to the page.
pub struct Retries(TakeAllList);

impl Retries {
    pub const fn new() -> Self {
        Self(TakeAllList::new())
    }

    /// From any thread.
    pub fn push(&self, notice: Notice) {
        let notice = Box::into_raw(Box::new(notice));
        self.0.push(notice.expose_provenance() as u32, |next| {
            // SAFETY: the notice is ours until it is on the list.
            unsafe { &*notice }.next.set(next);
        });
    }

    /// All that there are, oldest first.
    pub fn take(&self) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut address = self.0.take_all();
        while address != 0 {
            let notice = std::ptr::with_exposed_provenance_mut::<Notice>(address as usize);
            // SAFETY: made by `push`, and taken off the list once.
            let notice = unsafe { Box::from_raw(notice) };
            address = notice.next.get();
            notices.push(*notice);
        }
        notices.reverse();
        notices
    }

    /// The address of the list's head.
    pub fn address(&self) -> u32 {
        self.0.address()
    }
}

impl Drop for Retries {
    fn drop(&mut self) {
        for notice in self.take() {
            if let Some(failed) = notice.failed {
                failed.output.free();
            }
        }
    }
}
