//! A rate limit: so many in a time, with bursts, and an exact answer to "when may I come again?".
//!
//! ```
//! use core::time::Duration;
//! use weirpool_core::rate::{Quota, RateLimit};
//! use weirpool_core::time::Instant;
//!
//! // Ten a second, at most two of them at once.
//! const QUOTA: Quota = Quota::per_second(10).with_burst(2);
//! static LIMIT: RateLimit = RateLimit::new(Some(QUOTA));
//!
//! let now = Instant::from_millis(500);
//! assert_eq!(LIMIT.check(now), Ok(()));
//! assert_eq!(LIMIT.check(now), Ok(()));
//! let wait = LIMIT.check(now).unwrap_err();
//! assert_eq!(wait, Duration::from_millis(100));
//! assert_eq!(LIMIT.check(now.saturating_add(wait)), Ok(()));
//! ```
//!
//! # Algorithm
//! The generic cell rate algorithm (ITU-T I.371, virtual scheduling): one word holds the *theoretical arrival time* of
//! the next token. A token is granted if that time is at most `tolerance = (burst − 1) × spacing` ahead of now, and
//! moves it one `spacing = interval ÷ limit` further, from now if it has passed.
//!
//! Times are kept in *units* finer than a microsecond, so that the spacing of ten million a second fits. With 64-bit
//! words a unit is a ten-millionth of a microsecond; the spacing is rounded up to it, so the rate is never exceeded and
//! falls short by less than one part in a million. With 32-bit words the unit is chosen by the first quota so that its
//! spacing is whole if that is possible; else it is rounded up by less than a unit, which is a tenth of a microsecond or
//! at most a `2^26`th of the time in which the burst comes back, whichever is longer: bursts of millions cost precision.
//!
//! # Wrap-around
//! The word wraps (21 days with 64-bit words). A second word holds the *era*, an eighth of a wrap, of the last grant:
//! when that is two or more eras off, the arrival time cannot be near and counts as passed, after whatever time idle.
//! A clock that has gone back by that much counts as a new clock.
#![forbid(unsafe_code)]

use core::time::Duration;

use crate::{
    error::ConfigError,
    sync::{AtomicU32, AtomicWord, Ordering, Word, const_fn},
    time::{Instant, micros},
};

/// How many tokens are granted in how much time, and how many of them at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    limit: u32,
    interval: u64,
    burst: u32,
}

impl Quota {
    /// The highest rate: ten a microsecond.
    pub const MAX_PER_MICROSECOND: u64 = 10;
    /// The longest time in which a spent burst may come back, `burst × interval ÷ limit`.
    pub const MAX_REFILL: Duration = Duration::from_secs(24 * 60 * 60);

    /// `limit` in every `interval` (cut to whole microseconds), all of them at once if they come so.
    ///
    /// # Errors
    /// If the limit or the interval is zero, the interval is over [`Quota::MAX_REFILL`] or the rate over
    /// [`Quota::MAX_PER_MICROSECOND`].
    pub const fn new(limit: u32, interval: Duration) -> Result<Self, ConfigError> {
        Self {
            limit,
            interval: micros(interval),
            burst: limit,
        }
        .check()
    }

    /// `limit` a second, all of them at once if they come so.
    ///
    /// # Panics
    /// If the limit is zero or over ten million.
    pub const fn per_second(limit: u32) -> Self {
        match Self::new(limit, Duration::from_secs(1)) {
            Ok(quota) => quota,
            Err(error) => panic!("{}", error.message()),
        }
    }

    /// The same rate with at most `burst` at once.
    ///
    /// # Errors
    /// If the burst is zero or takes longer than [`Quota::MAX_REFILL`] to come back.
    pub const fn try_with_burst(self, burst: u32) -> Result<Self, ConfigError> {
        Self { burst, ..self }.check()
    }

    /// The same rate with at most `burst` at once.
    ///
    /// # Panics
    /// Where [`try_with_burst`](Self::try_with_burst) would fail.
    pub const fn with_burst(self, burst: u32) -> Self {
        match self.try_with_burst(burst) {
            Ok(quota) => quota,
            Err(error) => panic!("{}", error.message()),
        }
    }

    /// Tokens per [`interval`](Self::interval).
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// The time in which [`limit`](Self::limit) tokens are granted.
    pub const fn interval(&self) -> Duration {
        Duration::from_micros(self.interval)
    }

    /// Most tokens at once.
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    const fn check(self) -> Result<Self, ConfigError> {
        if self.limit == 0 || self.burst == 0 {
            return Err(ConfigError::new(
                "a quota's limit and burst are at least one",
            ));
        }
        let max = micros(Self::MAX_REFILL);
        if self.interval == 0 || self.interval > max {
            return Err(ConfigError::new(
                "a quota's interval is from one microsecond to 24 hours",
            ));
        }
        if self.limit as u64 > self.interval * Self::MAX_PER_MICROSECOND {
            return Err(ConfigError::new(
                "a quota's rate is at most ten million a second",
            ));
        }
        if self.burst as u128 * self.interval as u128 > self.limit as u128 * max as u128 {
            return Err(ConfigError::new(
                "a quota's burst comes back within 24 hours",
            ));
        }
        Ok(self)
    }
}

/// A rate limit that any number of contexts ask at once.
///
/// Every operation is lock-free and takes constant time; a retry means that another context took a token. A denied
/// check writes nothing. The type orders no memory of its callers.
#[derive(Debug)]
#[repr(C)]
pub struct RateLimit {
    /// The theoretical arrival time in units, modulo the word. It only means something within two eras of `era`.
    arrival: AtomicWord,
    /// Units between two tokens; 0 without a limit. Written by `set` alone.
    spacing: AtomicWord,
    /// `(burst − 1) × spacing`. Written by `set` alone; a check beside `set` may see one new and one old of the two,
    /// which touches that one decision.
    tolerance: AtomicWord,
    /// The era of the last grant, modulo 2^32. It is written before the grant, so that whoever sees the grant's
    /// arrival time sees its era.
    era: AtomicU32,
    unit: Unit,
}

impl RateLimit {
    const_fn! {
        /// A limit with its whole burst at hand; `None` lets everything pass.
        ///
        /// With 32-bit words this quota also fixes the unit of time for later ones, see [`set`](Self::set).
        pub const fn new(quota: Option<Quota>) -> Self {
            let unit = Unit::of(quota);
            let (spacing, tolerance) = unit.measure(quota);
            Self {
                arrival: AtomicWord::new(0),
                spacing: AtomicWord::new(spacing),
                tolerance: AtomicWord::new(tolerance),
                // No instant is near this era until 2^31 eras have passed: the first check finds the burst whole.
                era: AtomicU32::new(1 << 31),
                unit,
            }
        }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// How long to wait: after exactly that time a check succeeds if nobody else took the token, and not a microsecond
    /// sooner.
    #[inline]
    pub fn check(&self, now: Instant) -> Result<(), Duration> {
        self.check_many(1, now)
    }

    /// Takes `count` tokens at once, or none.
    ///
    /// # Errors
    /// How long to wait, as for [`check`](Self::check); [`Duration::MAX`] if `count` is above the burst, so that they
    /// can never be had at once.
    #[inline]
    pub fn check_many(&self, count: u32, now: Instant) -> Result<(), Duration> {
        // Relaxed: set alone writes these two, and a check beside it may use either.
        let spacing = self.spacing.load(Ordering::Relaxed);
        if spacing == 0 || count == 0 {
            return Ok(());
        }
        let tolerance = self.tolerance.load(Ordering::Relaxed);
        // The last of the tokens arrives this much after the first.
        let Some(room) = (Word::from(count) - 1)
            .checked_mul(spacing)
            .and_then(|rest| tolerance.checked_sub(rest))
        else {
            return Err(Duration::MAX);
        };
        let position = self.unit.position(now);
        match self.grant(position, Word::from(count) * spacing, room) {
            Ok(_) => Ok(()),
            Err(ahead) => Err(self.unit.wait(ahead - room, position)),
        }
    }

    /// Takes the next token although it may not be there yet, and says when it will be: for work that waits instead of
    /// coming back, and is not to be overtaken by what comes later.
    ///
    /// # Errors
    /// As for [`check`](Self::check), if so many tokens are reserved that half an era is full: with 64-bit words more
    /// than a day's, with 32-bit words at least a whole burst beyond the burst.
    pub fn reserve(&self, now: Instant) -> Result<Duration, Duration> {
        let spacing = self.spacing.load(Ordering::Relaxed);
        let tolerance = self.tolerance.load(Ordering::Relaxed);
        let position = self.unit.position(now);
        let wait = |ahead| {
            if ahead > tolerance {
                self.unit.wait(ahead - tolerance, position)
            } else {
                Duration::ZERO
            }
        };
        if spacing == 0 {
            return Ok(Duration::ZERO);
        }
        self.grant(position, spacing, MAX_AHEAD)
            .map(wait)
            .map_err(wait)
    }

    /// Gives back a token that was taken and not used, at most up to the whole burst.
    pub fn refund(&self, now: Instant) {
        let spacing = self.spacing.load(Ordering::Relaxed);
        self.adjust(now, |ahead| ahead.saturating_sub(spacing));
    }

    /// Changes the quota. Tokens that are owed stay owed, counted in tokens and at most the new burst.
    ///
    /// With 32-bit words the unit of time stays that of the first quota: another quota's spacing is rounded up to it,
    /// and a burst that would take longer to come back than the word can hold, or is over 2^27 tokens, is cut to what
    /// it can.
    pub fn set(&self, quota: Option<Quota>, now: Instant) {
        let (spacing, tolerance) = self.unit.measure(quota);
        // Relaxed: see the fields. Concurrent changes each scale by their own ratio, whose product is the same in any
        // order.
        self.tolerance.store(tolerance, Ordering::Relaxed);
        let old = self.spacing.swap(spacing, Ordering::Relaxed);
        self.adjust(now, |ahead| {
            if old == 0 {
                return 0;
            }
            let owed = ahead.div_ceil(old);
            owed.checked_mul(spacing)
                .map_or(tolerance + spacing, |ahead| ahead.min(tolerance + spacing))
        });
    }

    /// How many tokens could be taken at once; `u32::MAX` without a limit.
    pub fn available(&self, now: Instant) -> u32 {
        let spacing = self.spacing.load(Ordering::Relaxed);
        if spacing == 0 {
            return u32::MAX;
        }
        let tolerance = self.tolerance.load(Ordering::Relaxed);
        let arrival = self.arrival.load(Ordering::Acquire);
        let ahead = self
            .unit
            .position(now)
            .ahead(arrival, self.era.load(Ordering::Relaxed))
            .unwrap_or(0);
        u32::try_from((tolerance + spacing).saturating_sub(ahead) / spacing).unwrap_or(u32::MAX)
    }

    /// Moves the arrival time by so many units if it is at most `room` ahead: how far ahead it was, either way.
    #[inline]
    fn grant(&self, position: Position, units: Word, room: Word) -> Result<Word, Word> {
        // Acquire: pairs with the release of a grant, so that an arrival time never comes with an older era.
        let mut arrival = self.arrival.load(Ordering::Acquire);
        loop {
            let era = self.era.load(Ordering::Relaxed);
            let (from, ahead) = match position.ahead(arrival, era) {
                Some(ahead) if ahead > room => return Err(ahead),
                Some(ahead) => (arrival, ahead),
                None => (position.next(), 0),
            };
            // A clock that lags leaves the era alone, unless it is a new clock.
            let newer = position.era.wrapping_sub(era);
            if newer != 0 && newer != u32::MAX {
                self.era.store(position.era, Ordering::Relaxed);
            }
            let next = from.wrapping_add(units);
            // Release: publishes the era; acquire on failure as at the load.
            match self.arrival.compare_exchange_weak(
                arrival,
                next,
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(ahead),
                Err(seen) => arrival = seen,
            }
        }
    }

    /// Moves an arrival time that is still ahead.
    fn adjust(&self, now: Instant, change: impl Fn(Word) -> Word) {
        let position = self.unit.position(now);
        let mut arrival = self.arrival.load(Ordering::Acquire);
        loop {
            let era = self.era.load(Ordering::Relaxed);
            let Some(ahead) = position.ahead(arrival, era) else {
                return;
            };
            let next = position.units.wrapping_add(change(ahead));
            // Orderings as in `check_many`.
            match self.arrival.compare_exchange_weak(
                arrival,
                next,
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => return,
                Err(seen) => arrival = seen,
            }
        }
    }
}

/// The bits of an era in a word of units: eight eras a wrap.
const ERA_SHIFT: u32 = Word::BITS - 3;

/// Longest `tolerance + spacing`, and how far ahead tokens are reserved: half an era, so that no grant's arrival time is
/// more than an era ahead of it.
const MAX_AHEAD: Word = 1 << (ERA_SHIFT - 1);

/// The unit of time: `2^shift ÷ per_micro` microseconds.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Unit {
    per_micro: u32,
    shift: u32,
}

impl Unit {
    /// With wide words always a ten-millionth of a microsecond: 24 hours are 2^59.6 units.
    const WIDE: Self = Self {
        per_micro: 10_000_000,
        shift: 0,
    };

    /// The largest `per_micro` with narrow words: keeps `shift` within 32 for every valid quota.
    const MAX_PER_MICRO: u64 = 1 << 20;

    const fn of(quota: Option<Quota>) -> Self {
        if Word::BITS == 64 {
            return Self::WIDE;
        }
        let Some(Quota {
            limit,
            interval,
            burst,
        }) = quota
        else {
            return Self {
                per_micro: 1,
                shift: 0,
            };
        };
        // The spacing is interval ÷ limit: whole in units of 1 ÷ (reduced limit).
        let per_micro = limit as u64 / gcd(limit as u64, interval);
        let per_micro = if per_micro > Self::MAX_PER_MICRO {
            Quota::MAX_PER_MICROSECOND
        } else {
            per_micro
        };
        let whole = (burst as u128 * interval as u128 * per_micro as u128).div_ceil(limit as u128);
        let mut shift = 0;
        // Half of what fits: the rounding up of the spacing must fit too.
        while whole >> shift > MAX_AHEAD as u128 / 2 {
            shift += 1;
        }
        Self {
            per_micro: per_micro as u32,
            shift,
        }
    }

    /// Spacing and tolerance of a quota.
    const fn measure(&self, quota: Option<Quota>) -> (Word, Word) {
        let Some(Quota {
            limit,
            interval,
            burst,
        }) = quota
        else {
            return (0, 0);
        };
        let whole = interval as u128 * self.per_micro as u128;
        let spacing = whole.div_ceil((limit as u128) << self.shift);
        let spacing = if spacing > MAX_AHEAD as u128 {
            MAX_AHEAD
        } else {
            spacing as Word
        };
        let most = MAX_AHEAD / spacing;
        let burst = if burst as u128 > most as u128 {
            most
        } else {
            burst as Word
        };
        (spacing, (burst - 1) * spacing)
    }

    #[inline]
    fn position(&self, now: Instant) -> Position {
        let now = now.as_micros();
        if Word::BITS == 64 {
            let product = u128::from(now) * u128::from(Self::WIDE.per_micro);
            return Position {
                units: product as Word,
                part: 0,
                era: (product >> ERA_SHIFT) as u32,
            };
        }
        // now × per_micro is up to 96 bits: `high` is the product over 2^32, `low` its lowest 32 bits.
        let low = (now & 0xffff_ffff) * u64::from(self.per_micro);
        let high = (now >> 32) * u64::from(self.per_micro) + (low >> 32);
        let low = low & 0xffff_ffff;
        let product = high << 32 | low;
        let over = self.shift + ERA_SHIFT;
        let era = if over >= 32 {
            high >> (over - 32)
        } else {
            high << (32 - over) | low >> over
        };
        Position {
            units: (product >> self.shift) as Word,
            part: product & ((1 << self.shift) - 1),
            era: era as u32,
        }
    }

    /// The least time after which the clock is `units`, at least one, further than `position`.
    #[inline]
    fn wait(&self, units: Word, position: Position) -> Duration {
        // With wide words by constants, so that nothing is divided and an answer that nobody asks for costs nothing.
        let Self { per_micro, shift } = if Word::BITS == 64 { Self::WIDE } else { *self };
        #[allow(clippy::unnecessary_cast, reason = "a word may be 32 bits")]
        let parts = ((units as u64) << shift) - position.part;
        // Rounded up: there is at least one unit, of which the position is a part, so at least one part is left.
        Duration::from_micros((parts - 1) / u64::from(per_micro) + 1)
    }
}

/// An instant in units.
#[derive(Clone, Copy)]
struct Position {
    /// Modulo the word.
    units: Word,
    /// What is left below a unit, in 2^-shift of one.
    part: u64,
    era: u32,
}

impl Position {
    /// From a moment between two units the next one counts: else a token would come early by a part of a unit.
    #[inline]
    fn next(&self) -> Word {
        self.units.wrapping_add(Word::from(self.part != 0))
    }

    /// How far an arrival time is ahead, given the era of the grant that set it; `None` if it has passed.
    #[inline]
    fn ahead(&self, arrival: Word, era: u32) -> Option<Word> {
        // One era to either side; the arrival time is then at most two eras off, which has a sign in eight.
        if self.era.wrapping_sub(era).wrapping_add(1) > 2 {
            return None;
        }
        let ahead = arrival.wrapping_sub(self.units);
        (ahead.cast_signed() > 0).then_some(ahead)
    }
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn quotas_have_bounds() {
        assert!(Quota::new(0, S).is_err());
        assert!(Quota::new(1, Duration::from_nanos(999)).is_err());
        assert!(Quota::new(10_000_000, S).is_ok());
        assert!(Quota::new(10_000_001, S).is_err());
        assert!(Quota::new(10, Duration::from_micros(1)).is_ok());
        assert!(Quota::new(1, Quota::MAX_REFILL).is_ok());
        assert!(
            Quota::new(1, Quota::MAX_REFILL)
                .unwrap()
                .try_with_burst(2)
                .is_err()
        );
        assert!(Quota::per_second(1).try_with_burst(86_400).is_ok());
        assert!(Quota::per_second(1).try_with_burst(86_401).is_err());
        assert!(Quota::per_second(1).try_with_burst(0).is_err());
    }

    #[test]
    fn ten_million_a_second() {
        let limit = RateLimit::new(Some(Quota::per_second(10_000_000).with_burst(10)));
        let mut granted = 0;
        for now in 1..=1_000 {
            while limit.check(Instant::from_micros(now)).is_ok() {
                granted += 1;
            }
        }
        // The burst and ten for each microsecond after the first.
        assert_eq!(granted, 10 + 999 * 10);
    }

    #[test]
    fn the_burst_is_whole_at_first_at_any_time() {
        for now in [0, 1, u64::from(u32::MAX), 1 << 40, 1 << 60, u64::MAX] {
            let limit = RateLimit::new(Some(Quota::per_second(3)));
            let now = Instant::from_micros(now);
            assert_eq!(limit.available(now), 3);
            assert!(limit.check_many(3, now).is_ok());
            assert_eq!(limit.available(now), 0);
            assert_eq!(limit.check(now), Err(Duration::from_micros(333_334)));
        }
    }

    #[test]
    fn idle_for_any_time_fills_the_burst() {
        let mut idle = 1_000_000;
        while idle < 1 << 60 {
            let limit = RateLimit::new(Some(Quota::per_second(1_000)));
            assert!(limit.check_many(1_000, Instant::from_micros(7)).is_ok());
            assert_eq!(
                limit.available(Instant::from_micros(7 + idle)),
                1_000,
                "idle for {idle}"
            );
            idle += idle / 8;
        }
    }

    #[test]
    fn a_change_keeps_what_is_owed_in_tokens() {
        let now = Instant::from_micros(9);
        let limit = RateLimit::new(Some(Quota::new(100, Duration::from_secs(60)).unwrap()));
        assert!(limit.check_many(60, now).is_ok());
        limit.set(Some(Quota::per_second(1_000).with_burst(80)), now);
        assert_eq!(limit.available(now), 20);
        limit.set(Some(Quota::per_second(1_000).with_burst(10)), now);
        assert_eq!(limit.available(now), 0);
        assert_eq!(limit.check(now), Err(Duration::from_millis(1)));
        limit.set(None, now);
        assert_eq!(limit.available(now), u32::MAX);
        assert!(limit.check_many(u32::MAX, now).is_ok());
        limit.set(Some(Quota::per_second(5)), now);
        assert_eq!(limit.available(now), 5);
    }

    #[test]
    fn reserved_tokens_come_one_after_the_other_and_before_any_other() {
        let limit = RateLimit::new(Some(Quota::per_second(10).with_burst(2)));
        let at = |millis: u64| Instant::from_millis(1_000 + millis);
        let ms = Duration::from_millis;
        assert_eq!(limit.reserve(at(0)), Ok(Duration::ZERO));
        assert_eq!(limit.reserve(at(0)), Ok(Duration::ZERO));
        assert_eq!(limit.reserve(at(0)), Ok(ms(100)));
        assert_eq!(limit.reserve(at(50)), Ok(ms(150)));
        assert_eq!(limit.check(at(200)), Err(ms(100)), "both are spoken for");
        limit.refund(at(200));
        assert_eq!(limit.check(at(200)), Ok(()));
        assert_eq!(RateLimit::new(None).reserve(at(0)), Ok(Duration::ZERO));
    }

    /// Reservations end where the arrival time would be too far ahead to be told from a past one.
    #[test]
    fn reservations_have_an_end() {
        let limit = RateLimit::new(Some(Quota::new(1, Quota::MAX_REFILL).unwrap()));
        let now = Instant::from_millis(7);
        let mut last = Duration::ZERO;
        let mut reserved = 0;
        while let Ok(wait) = limit.reserve(now) {
            assert!(reserved == 0 || wait > last);
            (last, reserved) = (wait, reserved + 1);
            assert!(reserved < 10_000);
        }
        assert!(reserved > 1, "{reserved}");
        assert!(limit.check(now).unwrap_err() > last);
        assert!(limit.check(now.saturating_add(last)).is_err());
    }

    #[test]
    fn more_than_the_burst_never_fits() {
        let limit = RateLimit::new(Some(Quota::per_second(5)));
        assert_eq!(limit.check_many(6, Instant::ZERO), Err(Duration::MAX));
        assert_eq!(
            limit.check_many(u32::MAX, Instant::ZERO),
            Err(Duration::MAX)
        );
        assert_eq!(limit.check_many(5, Instant::ZERO), Ok(()));
    }
}
