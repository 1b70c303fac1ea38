//! A concurrency limit that finds its own value: additive increase, multiplicative decrease, once a window.
//!
//! ```
//! use core::time::Duration;
//! use weirpool_core::adaptive::{AdaptiveLimit, Config};
//! use weirpool_core::time::Instant;
//!
//! // At most 8 at once, and fewer while more than a tenth of the runs take longer than 50 ms.
//! static LIMIT: AdaptiveLimit = AdaptiveLimit::new(8, Some(Config { target: Duration::from_millis(50), ..Config::DEFAULT }));
//!
//! let slow = Duration::from_millis(80);
//! for run in 0..20 {
//!     assert!(LIMIT.try_acquire());
//!     LIMIT.observe(slow, Instant::from_millis(1_000 + 80 * run));
//!     LIMIT.release();
//! }
//! assert_eq!((LIMIT.limit(), LIMIT.maximum()), (7, 8));
//! ```
//!
//! # Algorithm
//! Runs are counted in windows. A window begins with the first run that is observed in it and is over with the first
//! one after its time, and at least ten of them. Then,
//! - if more than a tenth of its runs were overloads, the limit goes down to 7/8, at least to the minimum;
//! - else, if the limit was reached in it, the limit goes up by 1, at most to the maximum;
//! - else it stays: work that does not fill the limit says nothing about a greater one.
//!
//! Since a window begins with a run, idle time decides nothing.
//!
//! An *overload* is a run that took longer than the target: on a machine with more jobs than processors, memory or
//! disks can serve, each takes longer, whatever it returns. A time-out of a run is reported as one of
//! [`Duration::MAX`]. An error is none: what fails fast is the circuit breaker's affair, and running fewer jobs at once
//! would not mend it. So the target bounds the ninetieth percentile, and one straggler in ten runs cuts nothing.
//!
//! It is the AIMD limit with the window and the guard against idle increase of Netflix's concurrency-limits, in
//! integers; the rule itself is that of TCP (D. Chiu, R. Jain, 1989: the increase and decrease that converge to a fair
//! share). Limits that compare with a least duration (Vegas, gradient) need jobs that are alike, which a pool's are not.
#![forbid(unsafe_code)]

use core::{num::NonZeroU16, time::Duration};

use crate::{
    concurrency::ConcurrencyLimit,
    countdown::{Countdown, Left, Span},
    error::ConfigError,
    sync::{AtomicU32, Ordering, const_fn},
    time::{Instant, micros},
};

/// A limit on how many things run at once, which adapts to how long they run, if it is told to.
///
/// [`try_acquire`](Self::try_acquire) takes a place; after the run [`observe`](Self::observe) tells how long it took,
/// and [`release`](Self::release) gives the place back. A run that is not observed teaches nothing. Every operation is
/// lock-free and takes constant time; a retry means that another context changed a word.
#[derive(Debug)]
pub struct AdaptiveLimit {
    places: ConcurrencyLimit,
    /// What the limit may grow to. Who raises the limit looks at this word once more afterwards, and who changes this
    /// word looks at the limit afterwards, both by read-modify-writes here: of the two at least the later one sees
    /// what the other did, and lowers the limit. Unused where nothing adapts.
    maximum: AtomicU32,
    /// The present window; the layout is [`Window`]'s. Who ends a window by a change of this word applies its verdict.
    window: AtomicU32,
    /// When the window ends.
    countdown: Countdown,
    rules: Option<Rules>,
}

impl AdaptiveLimit {
    const_fn! {
        /// A limit with nothing in flight, which begins at its maximum; `None` is one that stays as it is set.
        ///
        /// # Panics
        /// Where [`try_new`](Self::try_new) would fail; in a `static` that is an error of compilation.
        pub const fn new(maximum: u16, config: Option<Config>) -> Self {
            match Self::try_new(maximum, config) {
                Ok(limit) => limit,
                Err(error) => panic!("{}", error.message()),
            }
        }

        /// A limit with nothing in flight, or the rule that its configuration breaks.
        pub const fn try_new(maximum: u16, config: Option<Config>) -> Result<Self, ConfigError> {
            let rules = match config {
                None => None,
                Some(config) => match config.rules(maximum) {
                    Ok(rules) => Some(rules),
                    Err(error) => return Err(error),
                },
            };
            Ok(Self {
                places: ConcurrencyLimit::new(maximum),
                maximum: AtomicU32::new(maximum as u32),
                window: AtomicU32::new(Window::FIRST.0),
                countdown: Countdown::new(),
                rules,
            })
        }
    }

    /// Takes a place if fewer than the limit are in flight.
    #[inline]
    #[must_use = "a place that was taken must be released"]
    pub fn try_acquire(&self) -> bool {
        self.places.try_acquire()
    }

    /// Gives a place back. One that nobody holds is ignored (and fails a debug assertion).
    #[inline]
    pub fn release(&self) {
        self.places.release();
    }

    /// Tells how long a run took, before its place is given back; a run that timed out counts as [`Duration::MAX`].
    #[inline]
    pub fn observe(&self, run: Duration, now: Instant) {
        if let Some(rules) = &self.rules {
            self.count(rules, micros(run) > rules.target, now);
        }
    }

    /// Changes the maximum: the limit is lowered to it at once, and grows to it only as runs allow. A limit that does
    /// not adapt is changed to it. Places that are out stay out.
    ///
    /// A maximum under the configured minimum holds. A window that ends at the same time may raise the limit to one
    /// above the new maximum (never above the old one), and lowers it again before its `observe` returns.
    pub fn set_maximum(&self, maximum: u16) {
        if self.rules.is_none() {
            return self.places.set(maximum);
        }
        // Acquire and release: see the field.
        self.maximum.swap(maximum.into(), Ordering::AcqRel);
        self.places.adjust(|limit| limit.min(maximum));
    }

    /// The limit as it is now.
    pub fn limit(&self) -> u16 {
        self.places.limit()
    }

    /// What the limit may grow to.
    pub fn maximum(&self) -> u16 {
        if self.rules.is_some() {
            self.maximum.load(Ordering::Relaxed) as u16
        } else {
            self.places.limit()
        }
    }

    /// How many places are out.
    pub fn in_flight(&self) -> u16 {
        self.places.in_flight()
    }

    /// Whether no place is left.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.places.is_full()
    }

    /// Counts a run in the present window, and applies the window's verdict if this run ends it.
    /// Cold, so that a limit that does not adapt pays for a test and no more.
    #[cold]
    fn count(&self, rules: &Rules, overload: bool, now: Instant) {
        // The first release after the limit was reached comes from a full limit, so looking here misses none.
        let reached = self.places.is_full();
        let mut seen = Window(self.window.load(Ordering::Relaxed));
        loop {
            let number = seen.number();
            let is_present = || Window(self.window.load(Ordering::Relaxed)).number() == number;
            let over = match self.countdown.left(number, rules.span(), now, is_present) {
                Left::Some(_) => false,
                Left::None => true,
                Left::Stale => {
                    seen = Window(self.window.load(Ordering::Relaxed));
                    continue;
                }
            };
            let counted = seen.count(overload, reached);
            let ends = over && counted.runs() >= Window::LEAST_RUNS;
            let next = if ends { counted.next() } else { counted };
            match self.window.compare_exchange_weak(
                seen.0,
                next.0,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) if ends => return self.adapt(rules, counted),
                Ok(_) => return,
                Err(now) => seen = Window(now),
            }
        }
    }

    /// Applies the verdict of a window that this context ended. The next one may end meanwhile: both are applied, in
    /// whatever order.
    fn adapt(&self, rules: &Rules, window: Window) {
        if window.is_overloaded() {
            let min = rules.min.get();
            self.places
                .adjust(|limit| (limit - limit.div_ceil(8)).max(min).min(limit));
        } else if window.is_reached() {
            let maximum = self.maximum.load(Ordering::Relaxed) as u16;
            self.places
                .adjust(|limit| if limit < maximum { limit + 1 } else { limit });
            // It may have been lowered meanwhile. Acquire and release: see the field.
            let maximum = self.maximum.fetch_or(0, Ordering::AcqRel) as u16;
            self.places.adjust(|limit| limit.min(maximum));
        }
    }
}

/// How a limit adapts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// What nine of ten runs should not exceed, at least 1 µs.
    pub target: Duration,
    /// How long a window is, from the target to [`Config::MAX_WINDOW`]: in a shorter one a decrease could not show
    /// before the next. With 32-bit words it may be longer by up to a 2048th.
    pub window: Duration,
    /// What the limit does not fall below, from 1 to the maximum at first.
    pub min: u16,
}

impl Config {
    /// A target of 1 s in windows of 1 s, down to 1.
    pub const DEFAULT: Self = Self {
        target: Duration::from_secs(1),
        window: Duration::from_secs(1),
        min: 1,
    };

    /// The longest window.
    pub const MAX_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

    const fn rules(&self, maximum: u16) -> Result<Rules, ConfigError> {
        let (target, window) = (micros(self.target), micros(self.window));
        if target == 0 || window < target || window > micros(Self::MAX_WINDOW) {
            return Err(ConfigError::new(
                "an adaptive limit's target is from 1 µs to its window, which is at most 24 hours",
            ));
        }
        match NonZeroU16::new(self.min) {
            Some(min) if min.get() <= maximum => Ok(Rules {
                target,
                window,
                min,
            }),
            _ => Err(ConfigError::new(
                "an adaptive limit's minimum is from 1 to its maximum",
            )),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A checked [`Config`], in microseconds.
#[derive(Clone, Copy, Debug)]
struct Rules {
    target: u64,
    window: u64,
    min: NonZeroU16,
}

impl Rules {
    fn span(&self) -> Span {
        Span {
            length: self.window,
            longest: self.window,
        }
    }
}

/// The window word: `[number:8 | spare:1 | reached:1 | runs:11 | overloads:11]`.
///
/// `reached` tells whether the limit was. When `runs` is full, both counts are halved.
#[derive(Clone, Copy)]
struct Window(u32);

impl Window {
    /// Not the one that the countdown begins with.
    const FIRST: Self = Self(1 << Self::NUMBER_SHIFT);
    /// A window is not over before.
    const LEAST_RUNS: u32 = 10;

    const NUMBER_SHIFT: u32 = 24;
    const REACHED: u32 = 1 << 22;
    const RUNS_SHIFT: u32 = 11;
    const MOST: u32 = (1 << Self::RUNS_SHIFT) - 1;

    const fn number(self) -> u32 {
        self.0 >> Self::NUMBER_SHIFT
    }

    const fn is_reached(self) -> bool {
        self.0 & Self::REACHED != 0
    }

    const fn runs(self) -> u32 {
        self.0 >> Self::RUNS_SHIFT & Self::MOST
    }

    const fn overloads(self) -> u32 {
        self.0 & Self::MOST
    }

    const fn is_overloaded(self) -> bool {
        self.overloads() * 10 > self.runs()
    }

    /// With one more run.
    const fn count(self, overload: bool, reached: bool) -> Self {
        let (mut runs, mut overloads) = (self.runs(), self.overloads());
        if runs == Self::MOST {
            (runs, overloads) = (runs / 2, overloads / 2);
        }
        let kept = self.0 & !(Self::MOST << Self::RUNS_SHIFT | Self::MOST);
        let reached = if reached { Self::REACHED } else { 0 };
        overloads += overload as u32;
        Self(kept | reached | (runs + 1) << Self::RUNS_SHIFT | overloads)
    }

    /// The next window, empty.
    const fn next(self) -> Self {
        Self((self.number() + 1) << Self::NUMBER_SHIFT)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_keeps_its_share() {
        let mut window = Window::FIRST;
        for run in 0..100_000 {
            window = window.count(run % 4 == 0, run == 7);
            let share = window.overloads() * 100 / window.runs();
            assert!(
                run < 100 || (24..=26).contains(&share),
                "{share} % after {run}"
            );
            assert_eq!(window.is_reached(), run >= 7);
            assert_eq!(window.number(), 1);
        }
        assert!(window.runs() > 1_000);
    }

    #[test]
    fn the_last_number_is_followed_by_the_first() {
        let mut window = Window::FIRST;
        for _ in 0..255 {
            window = window.count(true, true).next();
        }
        assert_eq!(window.0, 0);
    }

    #[test]
    fn small() {
        assert!(size_of::<AdaptiveLimit>() <= 48);
    }
}
