//! `TakeAllList`: a lock-free list that many threads push to and one takes whole.
//!
//! Used wherever something must travel to another thread that must not wait: settled jobs to the
//! page, freed blocks to the heap they came from. The items are plain `u32` names (a job's token, a
//! block's address) whose link the caller stores beside the item.
//!
//! Treiber's stack (R. K. Treiber, *Systems Programming: Coping with Parallelism*, IBM RJ 5118,
//! 1986) without its `pop`: taking the whole list at once needs no version counter, for there is no
//! moment at which a stale head is compared with a list that has changed behind it.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU32, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering};

/// A lock-free list with `push` from any thread and `take_all` by its owner.
///
/// `push` is lock-free (a retry means that another push or take succeeded), `take_all` is wait-free.
#[repr(transparent)]
pub struct TakeAllList {
    /// The newest item, or 0 when the list is empty. Written by every pusher and by `take_all`.
    head: AtomicU32,
}

impl TakeAllList {
    /// An empty list.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            head: AtomicU32::new(0),
        }
    }

    /// An empty list.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self {
            head: AtomicU32::new(0),
        }
    }

    /// Puts `item` (not 0) on the list. `link` stores the given next item beside `item`; it may run
    /// several times, the last call counts.
    pub fn push(&self, item: u32, link: impl Fn(u32)) {
        debug_assert_ne!(item, 0, "0 means an empty list");
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            link(head);
            // Release: whoever takes the list sees the link and everything written to the item.
            match self
                .head
                .compare_exchange_weak(head, item, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes all items; returns the newest, or 0. The older ones hang on its link.
    pub fn take_all(&self) -> u32 {
        if self.is_empty() {
            return 0;
        }
        // Acquire: pairs with the Release of every push in the chain (each CAS continues the
        // release sequence of the ones before it).
        self.head.swap(0, Ordering::Acquire)
    }

    /// Whether nothing is on the list at this moment; a hint, nothing is ordered by it.
    pub fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed) == 0
    }

    /// The address of the head word, for the page, which takes the list by `Atomics.exchange`.
    #[cfg(target_arch = "wasm32")]
    pub fn address(&self) -> u32 {
        core::ptr::from_ref(&self.head).addr() as u32
    }
}

impl Default for TakeAllList {
    fn default() -> Self {
        Self::new()
    }
}
