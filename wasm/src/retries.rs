//! `Retries`: how the page hears of jobs that are tried again.
//!
//! Whoever delays a job has no claim to its record afterwards: the next one to take it may be at work already. So the
//! news travel in blocks of their own. They come in two parts (see `SharedPool::finish`):
//!
//! 1. An attempt has *failed*. That is told before the core shows the job, hence before anybody can end it: the page,
//!    which looks for ended jobs first and for news after, has heard of all failed attempts of a job whose end it sees.
//! 2. The job *waits*. That is told once the core shows it: a page that looks when the time has come then finds it.
//!
//! News of a job that is over are dropped: of the second kind, or of a job that was cancelled.

use std::cell::Cell;

use weirpool_core::pool::Handle;

use crate::list::TakeAllList;
use crate::record::{Output, Token};

/// What the page hears of a job that is tried again.
pub struct Notice {
    /// Link on the list: the next notice's address, or 0. Belongs to whoever holds the notice.
    next: Cell<u32>,
    pub handle: Handle,
    /// Not before this time (µs).
    pub at: f64,
    /// `None`: the job waits until then.
    pub failed: Option<Failed>,
}

/// An attempt that failed.
pub struct Failed {
    pub token: Token,
    pub attempt: u32,
    /// An `OutcomeCode`; `Completed` is a result that came after the attempt's time-out.
    pub outcome: u32,
    /// The error, if it has one. Whoever takes the notice frees it.
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
