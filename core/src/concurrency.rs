//! Concurrency limit.
#![forbid(unsafe_code)]
use crate::sync::{AtomicU32, Ordering, const_fn};
/// A limit.
#[derive(Debug)]
pub struct ConcurrencyLimit {
    word: AtomicU32,
}
impl ConcurrencyLimit {
    const_fn! {
        /// New.
        pub const fn new(limit: u16) -> Self { Self { word: AtomicU32::new((limit as u32) << 16) } }
    }
    /// Acquire.
    pub fn try_acquire(&self) -> bool {
        self.word
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |w| {
                (w & 0xFFFF < w >> 16).then(|| w + 1)
            })
            .is_ok()
    }
    /// Release.
    pub fn release(&self) {
        self.word.fetch_sub(1, Ordering::SeqCst);
    }
    /// Set.
    pub fn set(&self, limit: u16) {
        let _ = self
            .word
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |w| {
                Some(w & 0xFFFF | u32::from(limit) << 16)
            });
    }
    /// Limit.
    pub fn limit(&self) -> u16 {
        (self.word.load(Ordering::SeqCst) >> 16) as u16
    }
    /// In flight.
    pub fn in_flight(&self) -> u16 {
        self.word.load(Ordering::SeqCst) as u16
    }
}
