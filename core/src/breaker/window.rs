//! The last outcomes of a closed period, in one word.
#![forbid(unsafe_code)]

use crate::sync::{AtomicWord, Ordering, Word, const_fn};

/// A sliding window over outcomes, 1 for each that is bad.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Window {
    /// The layout is [`History`]'s. A tag of an earlier generation stands for an empty window. It is released and
    /// acquired: whoever sees the tag of a newer generation also sees that generation's state word.
    word: AtomicWord,
}

impl Window {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self { word: AtomicWord::new(0) }
        }
    }

    /// What is in it, of whichever generation.
    pub(super) fn last(&self) -> History {
        History(self.word.load(Ordering::Relaxed))
    }

    /// Whether it is that of a generation and full of successes: another one would change nothing.
    #[inline(always)]
    pub(super) fn is_clean(&self, generation: u32) -> bool {
        // Relaxed: a tag of any other generation is left to `push`.
        self.word.load(Ordering::Relaxed) == History::clean(generation).0
    }

    /// Adds an outcome to the window of a generation; `None` if that generation is over. `is_present` tells whether it
    /// is the present one, by a look at the state word.
    #[inline(always)]
    pub(super) fn push(
        &self,
        outcome: bool,
        generation: u32,
        is_present: impl Fn() -> bool,
    ) -> Option<History> {
        self.update(generation, is_present, |history| history.push(outcome))
    }

    /// Empties it for a generation that begins, unless somebody has used it or the generation is over.
    pub(super) fn begin(&self, generation: u32, is_present: impl Fn() -> bool) {
        self.update(generation, is_present, |history| history);
    }

    #[inline(always)]
    fn update(
        &self,
        generation: u32,
        is_present: impl Fn() -> bool,
        change: impl Fn(History) -> History,
    ) -> Option<History> {
        let mut seen = self.word.load(Ordering::Acquire);
        loop {
            let history = if History(seen).is_of(generation) {
                History(seen)
            } else if is_present() {
                // The tag is of the past: had it been newer, this look would have seen its generation.
                History::empty(generation)
            } else {
                return None;
            };
            let next = change(history);
            // A full window of successes stays as it is: the usual case writes nothing.
            if next.0 == seen {
                return Some(next);
            }
            match self.word.compare_exchange_weak(
                seen,
                next.0,
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(next),
                Err(now) => seen = now,
            }
        }
    }
}

/// `[tag:14 | spare:4 | length:6 | outcomes:40]`, or `[tag:7 | length:5 | outcomes:20]` with 32-bit words. The tag is
/// the generation modulo its bits. The newest outcome is the lowest bit; bits above the length are 0.
#[derive(Clone, Copy)]
pub(super) struct History(Word);

impl History {
    pub(super) const LENGTH: u32 = if Word::BITS == 64 { 40 } else { 20 };
    const TAG_SHIFT: u32 = if Word::BITS == 64 { 50 } else { 25 };
    const ONE: Word = 1 << Self::LENGTH;
    const OUTCOMES: Word = Self::ONE - 1;

    /// That of a window that is not kept.
    pub(super) const NONE: Self = Self(0);

    fn empty(generation: u32) -> Self {
        Self(Word::from(generation) << Self::TAG_SHIFT)
    }

    fn clean(generation: u32) -> Self {
        Self(Self::empty(generation).0 + Word::from(Self::LENGTH) * Self::ONE)
    }

    fn is_of(self, generation: u32) -> bool {
        self.0 >> Self::TAG_SHIFT == Self::empty(generation).0 >> Self::TAG_SHIFT
    }

    /// How many outcomes are known.
    pub(super) fn len(self) -> u32 {
        #[allow(clippy::unnecessary_cast, reason = "a word may be 64 bits")]
        let length = ((self.0 & ((1 << Self::TAG_SHIFT) - 1)) >> Self::LENGTH) as u32;
        length
    }

    fn push(self, outcome: bool) -> Self {
        let head = self.0 & !Self::OUTCOMES;
        let head = if self.len() < Self::LENGTH {
            head + Self::ONE
        } else {
            head
        };
        Self(head | (self.0 << 1 | Word::from(outcome)) & Self::OUTCOMES)
    }

    /// How many of the newest outcomes are 1 in a row.
    pub(super) fn consecutive(self) -> u32 {
        (self.0 & Self::OUTCOMES).trailing_ones()
    }

    /// The newest outcomes, at most `window` of them.
    pub(super) fn recent(self, window: u8) -> Share {
        let mask = (1 << window) - 1;
        Share {
            ones: (self.0 & mask).count_ones(),
            of: self.len().min(u32::from(window)),
        }
    }
}

/// A number out of a number of outcomes.
#[derive(Clone, Copy)]
pub(super) struct Share {
    ones: u32,
    of: u32,
}

impl Share {
    pub(super) fn reaches(self, percent: u8, minimum: u8) -> bool {
        percent != 0
            && self.of >= u32::from(minimum)
            && self.ones * 100 >= u32::from(percent) * self.of
    }

    pub(super) fn per_million(self) -> u32 {
        (self.ones * 1_000_000).checked_div(self.of).unwrap_or(0)
    }
}
