//! A limit on how many things run at once, changeable while they run.
//!
//! ```
//! use weirpool_core::concurrency::ConcurrencyLimit;
//!
//! static LIMIT: ConcurrencyLimit = ConcurrencyLimit::new(1);
//! assert!(LIMIT.try_acquire());
//! assert!(!LIMIT.try_acquire());
//! LIMIT.set(2);
//! assert!(LIMIT.try_acquire());
//! LIMIT.release();
//! assert_eq!(LIMIT.in_flight(), 1);
//! ```
#![forbid(unsafe_code)]

use crate::sync::{AtomicU32, Ordering, const_fn};

const IN_FLIGHT: u32 = 0xffff;
const LIMIT_SHIFT: u32 = 16;

/// A counting limit: [`try_acquire`](Self::try_acquire) takes a place, [`release`](Self::release) gives it back.
///
/// Every operation is lock-free and takes constant time; a retry means that another context changed the word. What was
/// done before a release is visible after the acquire that takes the place.
#[derive(Debug)]
#[repr(C)]
pub struct ConcurrencyLimit {
    /// `[limit:16 | in_flight:16]` in one word, so that a change of the limit and an admission cannot miss each other.
    /// `in_flight` is above `limit` only while places taken under an older, higher limit are still out.
    word: AtomicU32,
}

impl ConcurrencyLimit {
    const_fn! {
        /// A limit with nothing in flight. A limit of 0 admits nothing.
        pub const fn new(limit: u16) -> Self {
            Self { word: AtomicU32::new((limit as u32) << LIMIT_SHIFT) }
        }
    }

    /// Takes a place if fewer than the limit are in flight.
    #[must_use = "a place that was taken must be released"]
    pub fn try_acquire(&self) -> bool {
        // Acquire, paired with the release in `release`: who takes a place sees what its last holder gave back before.
        let mut word = self.word.load(Ordering::Relaxed);
        while word & IN_FLIGHT < word >> LIMIT_SHIFT {
            // `in_flight` < `limit` ≤ 65 535: the sum cannot carry into the limit.
            match self.word.compare_exchange_weak(
                word,
                word + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(seen) => word = seen,
            }
        }
        false
    }

    /// Gives a place back. One that nobody holds is ignored (and fails a debug assertion).
    pub fn release(&self) {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & IN_FLIGHT != 0 {
            match self.word.compare_exchange_weak(
                word,
                word - 1,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(seen) => word = seen,
            }
        }
        debug_assert!(false, "released a place that was not taken");
    }

    /// Changes the limit. Places that are out stay out: under a lower limit nothing is admitted until enough came back.
    pub fn set(&self, limit: u16) {
        self.adjust(|_| limit);
    }

    /// Whether nothing would be admitted.
    #[inline]
    pub fn is_full(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        word & IN_FLIGHT >= word >> LIMIT_SHIFT
    }

    /// Changes the limit to a function of it.
    pub(crate) fn adjust(&self, change: impl Fn(u16) -> u16) {
        // Relaxed: the limit tells nothing about any other memory.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let limit = change((word >> LIMIT_SHIFT) as u16);
            let next = u32::from(limit) << LIMIT_SHIFT | word & IN_FLIGHT;
            if next == word {
                return;
            }
            match self
                .word
                .compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(seen) => word = seen,
            }
        }
    }

    /// The limit.
    pub fn limit(&self) -> u16 {
        (self.word.load(Ordering::Relaxed) >> LIMIT_SHIFT) as u16
    }

    /// How many places are out.
    pub fn in_flight(&self) -> u16 {
        (self.word.load(Ordering::Relaxed) & IN_FLIGHT) as u16
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn admits_exactly_the_limit() {
        for limit in [0, 1, 7, u16::MAX] {
            let places = ConcurrencyLimit::new(limit);
            for _ in 0..limit {
                assert!(places.try_acquire());
            }
            assert!(!places.try_acquire());
            assert_eq!((places.limit(), places.in_flight()), (limit, limit));
            for _ in 0..limit {
                places.release();
            }
            assert_eq!(places.in_flight(), 0);
        }
    }

    #[test]
    fn a_lower_limit_waits_for_places_to_come_back() {
        let places = ConcurrencyLimit::new(3);
        assert!((0..3).all(|_| places.try_acquire()));
        places.set(1);
        for left in [2, 1, 0] {
            assert!(!places.try_acquire());
            places.release();
            assert_eq!(places.in_flight(), left);
        }
        assert!(places.try_acquire());
        assert!(!places.try_acquire());
    }

    #[test]
    fn one_word() {
        assert_eq!(size_of::<ConcurrencyLimit>(), 4);
    }
}
