//! Keys: what the tournaments order by, and the clock that stamps submissions.
#![forbid(unsafe_code)]

use core::time::Duration;

use crate::{
    queue::{Config, Order, Rank},
    sync::{Ordering, const_fn},
    time::{Instant, micros},
};

/// The longest ageing and the longest horizon, about three days: keys of 32-bit words wrap after 24 days of waiting and
/// of both together.
pub(crate) const MAX_STEP: Duration = Duration::from_micros(1 << 38);

/// A job's turn: its key and, where keys may be equal, a ticket by which those go.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    pub(crate) key: Key,
    pub(crate) ticket: Option<u32>,
}

/// A place in an order: lesser goes first.
///
/// With wide words it is one number. With narrow ones it is `[milliseconds | ticket]`, two wrapping halves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key(pub(crate) u64);

impl Key {
    /// After everything: a slot with this key is not in the order.
    pub(crate) const NEVER: Self = Self(u64::MAX);
}

#[cfg(all(target_has_atomic = "64", not(weirpool_narrow)))]
mod wide {
    use super::*;
    use crate::sync::{AtomicU32, AtomicU64};

    /// Stamps to a microsecond: so many submissions in each keep their stamps at the pace of time.
    const STAMPS: u64 = 16;
    /// Later times (2 283 years) count as this one.
    const LAST: u64 = 1 << 56;

    impl Key {
        /// When a time-out is due.
        pub(crate) fn due(at: Instant, _now: Instant) -> Self {
            Self(at.as_micros())
        }

        /// The moment a due key stands for; exact.
        pub(crate) fn at(self, _now: Instant) -> Instant {
            Instant::from_micros(self.0)
        }

        /// Whether a due key's moment has come.
        #[inline(always)]
        pub(crate) fn is_due(self, now: Instant) -> bool {
            self != Self::NEVER && self.0 <= now.as_micros()
        }

        #[inline(always)]
        pub(crate) fn before(self, other: Self) -> bool {
            self.0 < other.0
        }
    }

    /// Gives every submission a stamp greater than all before it, at the pace of time where time runs forwards.
    #[derive(Debug)]
    pub(crate) struct Clock {
        /// The last stamp, in sixteenths of a microsecond.
        last: AtomicU64,
        /// The next ticket, wrapping; for deadlines only, since stamps are never equal.
        ticket: AtomicU32,
    }

    impl Clock {
        const_fn! {
            pub(crate) const fn new() -> Self {
                Self { last: AtomicU64::new(0), ticket: AtomicU32::new(0) }
            }
        }

        /// The turn of a job submitted now.
        pub(crate) fn turn(&self, now: Instant, rank: Rank, config: Config) -> Turn {
            let time = now.as_micros().min(LAST) * STAMPS;
            let mut last = self.last.load(Ordering::Relaxed);
            // Relaxed: stamps grow in the order of this one word, which happens-before respects.
            let stamp = loop {
                let stamp = time.max(last + 1);
                match self.last.compare_exchange_weak(
                    last,
                    stamp,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => break stamp,
                    Err(now) => last = now,
                }
            };
            let (place, ticket) = match config.order {
                Order::Fifo => (stamp, None),
                Order::Deadline { horizon } => {
                    let first = stamp / STAMPS;
                    let due = rank.deadline.as_micros();
                    let due = due.clamp(first, first + micros(horizon));
                    // Relaxed: as for the stamps.
                    let ticket = self.ticket.fetch_add(1, Ordering::Relaxed);
                    (due * STAMPS, Some(ticket))
                }
            };
            let steps = rank.priority.steps_below_top();
            let key = Key(match config.ageing {
                Some(ageing) => (place + steps * micros(ageing) * STAMPS) << 2 | steps,
                None => steps << 62 | place,
            });
            Turn { key, ticket }
        }
    }
}
#[cfg(all(target_has_atomic = "64", not(weirpool_narrow)))]
pub(crate) use wide::Clock;

#[cfg(not(all(target_has_atomic = "64", not(weirpool_narrow))))]
mod narrow {
    use super::*;
    use crate::sync::AtomicU32;

    /// A due time further away than this (12 days) is taken as this far, since 32-bit milliseconds wrap.
    const HORIZON: u64 = 1 << 30;

    impl Key {
        /// When a time-out is due: in milliseconds, rounded up.
        pub(crate) fn due(at: Instant, now: Instant) -> Self {
            if at == Instant::MAX {
                return Self::NEVER;
            }
            let at = at
                .as_micros()
                .div_ceil(1000)
                .min(now.as_micros() / 1000 + HORIZON);
            Self::of(at as u32, 0)
        }

        /// The moment a due key stands for, if it is within 24 days of now.
        pub(crate) fn at(self, now: Instant) -> Instant {
            let now = now.as_micros() / 1000;
            let ahead = self.high().wrapping_sub(now as u32) as i32;
            Instant::from_millis(now.saturating_add_signed(i64::from(ahead)))
        }

        /// Whether a due key's moment has come.
        pub(crate) fn is_due(self, now: Instant) -> bool {
            let now = (now.as_micros() / 1000) as u32;
            self != Self::NEVER && now.wrapping_sub(self.high()) as i32 >= 0
        }

        pub(crate) fn before(self, other: Self) -> bool {
            if other == Self::NEVER || self == Self::NEVER {
                return self != other && other == Self::NEVER;
            }
            let high = self.high().wrapping_sub(other.high()) as i32;
            high < 0 || high == 0 && (self.low().wrapping_sub(other.low()) as i32) < 0
        }

        fn of(high: u32, low: u32) -> Self {
            Self(u64::from(high) << 32 | u64::from(low))
        }

        fn high(self) -> u32 {
            (self.0 >> 32) as u32
        }

        fn low(self) -> u32 {
            self.0 as u32
        }
    }

    /// Gives every submission a time that never runs backwards and a ticket.
    #[derive(Debug)]
    pub(crate) struct Clock {
        /// The latest time seen, in milliseconds, wrapping.
        time: AtomicU32,
        /// The next ticket, wrapping: equal times are ordered right unless 2^31 jobs were submitted between.
        ticket: AtomicU32,
    }

    impl Clock {
        const_fn! {
            pub(crate) const fn new() -> Self {
                Self { time: AtomicU32::new(0), ticket: AtomicU32::new(0) }
            }
        }

        /// The turn of a job submitted now.
        pub(crate) fn turn(&self, now: Instant, rank: Rank, config: Config) -> Turn {
            let millis = now.as_micros() / 1000;
            let now = millis as u32;
            // Relaxed: both words are monotone in their own order, which happens-before respects.
            let mut time = self.time.load(Ordering::Relaxed);
            while (now.wrapping_sub(time) as i32) > 0 {
                match self.time.compare_exchange_weak(
                    time,
                    now,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => time = now,
                    Err(other) => time = other,
                }
            }
            let ticket = self.ticket.fetch_add(1, Ordering::Relaxed);
            let place = match config.order {
                Order::Fifo => time,
                Order::Deadline { horizon } => {
                    // How far the clock's time is ahead of this context's.
                    let lag = u64::from(time.wrapping_sub(now));
                    let due = rank.deadline.as_micros().div_ceil(1000);
                    let left = due.saturating_sub(millis).saturating_sub(lag);
                    time.wrapping_add(left.min(micros(horizon) / 1000) as u32)
                }
            };
            let steps = rank.priority.steps_below_top();
            let key = match (config.ageing, config.order) {
                (Some(ageing), _) => Key::of(
                    place.wrapping_add((steps * (micros(ageing) / 1000)) as u32),
                    ticket,
                ),
                (None, Order::Fifo) => Key::of(steps as u32, ticket),
                (None, Order::Deadline { .. }) => Key::of(steps as u32, place),
            };
            Turn {
                key,
                // Only the last of these has no ticket in its key.
                ticket: Some(ticket),
            }
        }
    }
}
#[cfg(not(all(target_has_atomic = "64", not(weirpool_narrow))))]
pub(crate) use narrow::Clock;
