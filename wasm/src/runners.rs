//! `Runners`: how many runner tasks there are on the newest of a pool's rayon pools.
//!
//! A rayon pool cannot change its size: a resize builds another one, a new *generation*. The runners of older ones end
//! with their present jobs and are counted no more, so that the new threads need not wait for them.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU32, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering};

const COUNT_BITS: u32 = 8;
const COUNT: u32 = (1 << COUNT_BITS) - 1;
/// Generations count modulo this.
const GENERATIONS: u32 = 1 << (32 - COUNT_BITS);

/// The count of runners, and the generation that it is of. Every operation is lock-free.
pub struct Runners {
    /// `[generation:24 | count:8]` in one word, so that a runner of an older generation cannot change the count of a
    /// newer one. The generation is written by the page alone, the count by the page and the runners.
    ///
    /// Relaxed throughout: what a runner works on is published by the queue, and the fences around these operations
    /// (`SharedPool::enlist`, `Pool::wants_worker`) order them against it.
    word: AtomicU32,
}

impl Runners {
    /// None, of generation 0.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
        }
    }

    /// None, of generation 0.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
        }
    }

    /// Whether `generation` is the newest and has fewer than `most`.
    #[inline]
    pub fn has_room(&self, generation: u32, most: u32) -> bool {
        room(self.word.load(Ordering::Relaxed), generation, most)
    }

    /// Counts one more, if `generation` is the newest and has fewer than `most`.
    #[inline]
    pub fn join(&self, generation: u32, most: u32) -> bool {
        self.change(|word| room(word, generation, most).then(|| word + 1))
            .is_some()
    }

    /// Counts one less of `generation`, unless there is a newer one.
    #[inline]
    pub fn leave(&self, generation: u32) {
        self.change(|word| (word >> COUNT_BITS == generation).then(|| word - 1));
    }

    /// Begins the next generation, with none; returns its number. With `at_rest`, only if the present one has none:
    /// it then never has one again.
    pub fn advance(&self, at_rest: bool) -> Option<u32> {
        let next = |word: u32| ((word >> COUNT_BITS) + 1) % GENERATIONS;
        self.change(|word| (!at_rest || word & COUNT == 0).then(|| next(word) << COUNT_BITS))
            .map(next)
    }

    /// Replaces the word by `change` of it, unless that is none; returns the word before.
    #[inline]
    fn change(&self, change: impl Fn(u32) -> Option<u32>) -> Option<u32> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let next = change(word)?;
            match self
                .word
                .compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(before) => return Some(before),
                Err(now) => word = now,
            }
        }
    }
}

impl Default for Runners {
    fn default() -> Self {
        Self::new()
    }
}

fn room(word: u32, generation: u32, most: u32) -> bool {
    word >> COUNT_BITS == generation && word & COUNT < most
}
