//! A countdown in one word, for periods that have a number: it starts when somebody first looks at it.
//!
//! Whoever begins a period changes one word of its own, with the period's number in it, and need not start a countdown
//! in a second step: a countdown that bears another number has not been started, and its first observer starts it. One
//! that comes late cannot touch the countdown of a newer period.
#![forbid(unsafe_code)]

use core::time::Duration;

use crate::{
    sync::{AtomicWord, Ordering, Word, const_fn},
    time::Instant,
};

/// The time left of the present period.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Countdown {
    /// `[period:14 | end:50]` in microseconds, or `[period:8 | end:24]` in ticks with 32-bit words, both modulo their
    /// bits. It begins as if period 0 had ended.
    ///
    /// It is released and acquired: whoever sees the number of a newer period then also sees the owner's word that
    /// made it the present one.
    word: AtomicWord,
}

/// How long a period lasts, and the longest that any period of this countdown lasts; in microseconds, up to 2^48.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) length: u64,
    pub(crate) longest: u64,
}

/// What is left of a period.
pub(crate) enum Left {
    Some(Duration),
    None,
    /// The period is not the present one any more.
    Stale,
}

impl Countdown {
    /// With narrow words the longest span is at most 2^12 ticks: an end that nobody observed looks like a future one
    /// for one of 2048 wraps at most.
    const TICKS_BITS: u32 = 12;

    const_fn! {
        pub(crate) const fn new() -> Self {
            Self { word: AtomicWord::new(0) }
        }
    }

    /// What is left, `None` if nothing. It starts nothing: before the start the whole time is left.
    #[inline]
    pub(crate) fn peek(&self, period: u32, span: Span, now: Instant) -> Option<Duration> {
        // Relaxed: a countdown of another period counts as one that was not started.
        let end = End(self.word.load(Ordering::Relaxed));
        if end.is_of(period) {
            end.left(span, now)
        } else {
            Some(Duration::from_micros(span.length))
        }
    }

    /// What is left; it starts now if nobody has started it. `is_present` tells whether the period is the present one,
    /// by a look at the owner's word.
    pub(crate) fn left(
        &self,
        period: u32,
        span: Span,
        now: Instant,
        is_present: impl Fn() -> bool,
    ) -> Left {
        let mut end = End(self.word.load(Ordering::Acquire));
        while !end.is_of(period) {
            // If the number were of a newer period, this look would see that period.
            if !is_present() {
                return Left::Stale;
            }
            let fresh = End::new(period, span, now);
            match self
                .word
                .compare_exchange(end.0, fresh.0, Ordering::Release, Ordering::Acquire)
            {
                Ok(_) => end = fresh,
                Err(seen) => end = End(seen),
            }
        }
        match end.left(span, now) {
            Some(left) => Left::Some(left),
            None => Left::None,
        }
    }
}

/// One value of the word.
#[derive(Clone, Copy)]
struct End(Word);

impl End {
    const BITS: u32 = if Word::BITS == 64 { 50 } else { 24 };
    const MASK: u64 = (1 << Self::BITS) - 1;

    fn new(period: u32, span: Span, now: Instant) -> Self {
        let tick_shift = span.tick_shift();
        let end = now.as_micros().saturating_add(span.length);
        // Rounded up: never too short.
        let ticks = (end >> tick_shift) + u64::from(end & ((1 << tick_shift) - 1) != 0);
        Self(Word::from(period) << Self::BITS | (ticks & Self::MASK) as Word)
    }

    fn is_of(self, period: u32) -> bool {
        self.0 >> Self::BITS == Word::from(period) << Self::BITS >> Self::BITS
    }

    /// The time to the end; `None` if it has passed. An end that is further off than twice the longest span is one that
    /// passed long ago, or was set by another clock.
    fn left(self, span: Span, now: Instant) -> Option<Duration> {
        let now = now.as_micros();
        let tick_shift = span.tick_shift();
        #[allow(clippy::unnecessary_cast, reason = "a word may be 32 bits")]
        let ahead = (self.0 as u64).wrapping_sub(now >> tick_shift) & Self::MASK;
        if ahead == 0 || ahead > 2 * span.longest.div_ceil(1 << tick_shift) {
            return None;
        }
        let part = now & ((1 << tick_shift) - 1);
        Some(Duration::from_micros((ahead << tick_shift) - part))
    }
}

impl Span {
    /// A tick is 2^this microseconds; with wide words one.
    #[inline(always)]
    fn tick_shift(self) -> u32 {
        if Word::BITS == 64 {
            return 0;
        }
        let bits = u64::BITS - self.longest.leading_zeros();
        bits.saturating_sub(Countdown::TICKS_BITS)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const SPAN: Span = Span {
        length: 1_000,
        longest: 3_000,
    };

    fn left(countdown: &Countdown, period: u32, now: u64) -> Option<u64> {
        match countdown.left(period, SPAN, Instant::from_micros(now), || true) {
            Left::Some(left) => Some(left.as_micros() as u64),
            Left::None => None,
            Left::Stale => unreachable!("it was said to be present"),
        }
    }

    #[test]
    fn the_first_observer_starts_it() {
        let countdown = Countdown::new();
        assert_eq!(
            countdown.peek(1, SPAN, Instant::from_micros(70)),
            Some(Duration::from_micros(1_000))
        );
        assert_eq!(left(&countdown, 1, 100), Some(1_000));
        assert_eq!(left(&countdown, 1, 1_099), Some(1));
        assert_eq!(left(&countdown, 1, 1_100), None);
        assert_eq!(left(&countdown, 2, 1_200), Some(1_000), "another period");
    }

    #[test]
    fn a_period_that_is_over_starts_nothing() {
        let countdown = Countdown::new();
        assert_eq!(left(&countdown, 2, 100), Some(1_000));
        let late = countdown.left(1, SPAN, Instant::from_micros(900), || false);
        assert!(matches!(late, Left::Stale));
        assert_eq!(left(&countdown, 2, 600), Some(500));
    }

    #[test]
    fn time_may_run_backwards_or_jump() {
        let countdown = Countdown::new();
        let start = (1 << 40) + 77_777;
        assert_eq!(left(&countdown, 1, start), Some(1_000));
        assert_eq!(
            left(&countdown, 1, start - 500),
            Some(1_500),
            "a little back: longer"
        );
        assert_eq!(left(&countdown, 1, start - 100_000), None, "another clock");
        assert_eq!(left(&countdown, 1, u64::MAX), None);
        assert_eq!(left(&countdown, 2, u64::MAX), None, "the end of time");
    }

    #[test]
    fn a_tick_is_as_fine_as_the_longest_span_allows() {
        for (longest, shift) in [
            (0, 0),
            (1, 0),
            (4_095, 0),
            (4_096, 1),
            (8_191, 1),
            (1 << 37, 26),
        ] {
            let expected = if Word::BITS == 64 { 0 } else { shift };
            assert_eq!(Span { length: 0, longest }.tick_shift(), expected);
        }
    }
}
