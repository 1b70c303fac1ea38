//! A bounded queue that orders by priority and age or by deadline, and lets go of any item by its handle.
//!
//! It is the part of the pool that jobs wait in, alone: lanes of priority that age, or strict ones; first in, first out
//! inside a lane, or the earliest deadline first. It is lock-free, keeps its items in `N` slots of its own and takes any
//! number of pushing and popping contexts, interrupts among them.
//!
//! ```
//! use weirpool_core::queue::{Config, Priority, Queue, Rank};
//! use weirpool_core::time::Instant;
//!
//! static QUEUE: Queue<&str, 3> = Queue::new(Config::DEFAULT);
//!
//! let now = Instant::from_millis(1);
//! let urgent = Rank { priority: Priority::Critical, ..Rank::DEFAULT };
//! let sweep = QUEUE.push("sweep the floor", Rank::DEFAULT, now).unwrap();
//! QUEUE.push("water the plants", Rank::DEFAULT, now).unwrap();
//! QUEUE.push("put out the fire", urgent, now).unwrap();
//! assert_eq!(QUEUE.push("one too many", urgent, now), Err("one too many"));
//!
//! assert_eq!(QUEUE.cancel(sweep), Some("sweep the floor"));
//! assert_eq!(QUEUE.cancel(sweep), None);
//! assert_eq!(QUEUE.pop(), Some("put out the fire"));
//! assert_eq!(QUEUE.pop(), Some("water the plants"));
//! assert_eq!(QUEUE.pop(), None);
//! ```
//!
//! # Complexity
//! A push, a pop and a cancellation each take a slot or give one back, and *sweep* the tournament of least keys from the
//! slot to its root: at most two tries on each of `⌈log₈ N⌉` levels, each a look at eight words. How many items wait does
//! not matter. A retry beyond that means that another context made progress.
//!
//! # When it is full, and when it is empty
//! A push takes a place and then shows its item; a pop or a cancellation takes the item and then gives the place back. Each
//! step takes effect at one moment between the call and its return. So *full* and *empty* are exact: an item whose push
//! has returned is found, and so is a place whose pop has returned, and neither answer is given because another
//! context was stopped half-way, except that it keeps the one place or item that it has in its hands.
//!
//! # When not to use it
//! Where neither order nor cancellation matters, a ring is several times faster: it has no order to keep.
#![forbid(unsafe_code)]

use core::time::Duration;

use crate::{
    error::ConfigError,
    key::{Clock, MAX_STEP},
    sync::{Apart, const_fn},
    table::{Mark, Stage, Table, Vacant},
    time::Instant,
    tournament::Tournament,
};

pub use crate::{
    config::Order,
    job::{Handle, Priority},
};

/// How a queue orders its items.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// What a step of priority is worth, at most about three days; `None` is strict priority. An item counts as pushed this
    /// much later for every level that it is below the top: see [`pool::Config::ageing`](crate::pool::Config::ageing)
    /// for the bound that follows.
    pub ageing: Option<Duration>,
    /// What goes first inside a level of priority.
    pub order: Order,
}

impl Config {
    /// Ageing one level a second; first in, first out.
    pub const DEFAULT: Self = Self {
        ageing: Some(Duration::from_millis(1000)),
        order: Order::Fifo,
    };

    pub(crate) const fn check(&self) -> Result<(), ConfigError> {
        if let Some(ageing) = self.ageing
            && ageing.as_micros() > MAX_STEP.as_micros()
        {
            return Err(ConfigError::new("the ageing is over three days"));
        }
        if let Order::Deadline { horizon } = self.order
            && horizon.as_micros() > MAX_STEP.as_micros()
        {
            return Err(ConfigError::new("the horizon is over three days"));
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What an item's turn depends on, beside when it was pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rank {
    /// Its level.
    pub priority: Priority,
    /// When it is due, for [`Order::Deadline`]; [`Instant::MAX`] is never. The queue drops nothing that is overdue.
    pub deadline: Instant,
}

impl Rank {
    /// Normal priority, no deadline.
    pub const DEFAULT: Self = Self {
        priority: Priority::Normal,
        deadline: Instant::MAX,
    };
}

impl Default for Rank {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A bounded queue of at most `N` items, 1 to 65 535 (8 191 with 32-bit words).
///
/// Besides its items it takes 28 bytes a slot (20 with 32-bit words).
#[derive(Debug)]
pub struct Queue<T, const N: usize> {
    /// Written by who pushes.
    clock: Apart<Clock>,
    lanes: Tournament<N>,
    pub(crate) table: Table<T, N>,
    config: Config,
}

impl<T, const N: usize> Queue<T, N> {
    const_fn! {
        /// An empty queue.
        ///
        /// # Panics
        /// Where [`try_new`](Self::try_new) would fail; in a `static` that is an error of compilation.
        pub const fn new(config: Config) -> Self {
            match config.check() {
                Ok(()) => Self::build(config),
                Err(error) => panic!("{}", error.message()),
            }
        }

        /// An empty queue.
        ///
        /// # Errors
        /// If the ageing or the horizon is out of its range.
        pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
            match config.check() {
                Ok(()) => Ok(Self::build(config)),
                Err(error) => Err(error),
            }
        }

        /// An empty queue whose configuration was checked.
        pub(crate) const fn build(config: Config) -> Self {
            Self {
                clock: Apart(Clock::new()),
                lanes: Tournament::new(),
                table: Table::new(),
                config,
            }
        }
    }

    /// Puts an item in line.
    ///
    /// # Errors
    /// The item, if all places are taken.
    pub fn push(&self, item: T, rank: Rank, now: Instant) -> Result<Handle, T> {
        let Some(vacant) = self.table.reserve() else {
            return Err(item);
        };
        self.assign(&vacant, rank, now);
        let index = vacant.index();
        let mark = vacant.publish(item, false);
        self.sweep(index);
        Ok(Handle::new(index, mark))
    }

    /// Takes the item out whose turn was next at one moment during the call; `None` if none waited then.
    pub fn pop(&self) -> Option<T> {
        loop {
            let (index, mark) = self.next()?;
            // Else another context took it.
            if let Some(item) = self.remove(index, mark) {
                return Some(item);
            }
        }
    }

    /// Takes an item out wherever it stands; `None` if it is not in line any more. Its place is free when this returns.
    pub fn cancel(&self, handle: Handle) -> Option<T> {
        let mark = self.mark(handle)?;
        self.remove(handle.index(), mark)
    }

    /// Whether no item waits.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    fn remove(&self, index: usize, mark: Mark) -> Option<T> {
        let item = self.table.claim(index, mark, Stage::Held)?;
        self.sweep(index);
        self.table.free(index, mark.at(Stage::Held));
        Some(item)
    }

    /// Gives the item that will be put into a slot its turn, by when it was pushed.
    #[inline(always)]
    pub(crate) fn assign(&self, vacant: &Vacant<'_, T, N>, rank: Rank, pushed: Instant) {
        let turn = self.clock.turn(pushed, rank, self.config);
        self.lanes.set_key(vacant.index(), turn.key);
        if let Some(ticket) = turn.ticket {
            vacant.set_ticket(ticket);
        }
    }

    /// The state of a handle's slot, if it still is of the handle's generation.
    #[inline(always)]
    pub(crate) fn mark(&self, handle: Handle) -> Option<Mark> {
        let index = handle.index();
        if index >= N {
            return None;
        }
        let mark = self.table.state(index);
        (mark.generation() == handle.generation()).then_some(mark)
    }

    /// The slot of the item whose turn is next, and its state.
    #[inline(always)]
    pub(crate) fn next(&self) -> Option<(usize, Mark)> {
        loop {
            let least = self.lanes.least()?;
            let mark = self.table.state(least.index);
            if mark.stage() != Stage::Queued {
                self.sweep(least.index);
            } else if self.lanes.is_still(least) {
                return Some((least.index, mark));
            }
        }
    }

    /// Brings a change of one slot into the order.
    #[inline(always)]
    pub(crate) fn sweep(&self, index: usize) {
        if matches!(self.config.order, Order::Deadline { .. }) {
            return self.sweep_by_ticket(index);
        }
        self.lanes
            .sweep(index, |slot| self.is_present(slot), |_, _| false);
    }

    /// Not inline: the way of a queue without deadlines stays short.
    #[inline(never)]
    fn sweep_by_ticket(&self, index: usize) {
        // Tickets wrap: of any two that wait at once the earlier is less than half a turn behind.
        let earlier = |slot, other| {
            let ahead = self
                .table
                .ticket(slot)
                .wrapping_sub(self.table.ticket(other));
            (ahead as i32) < 0
        };
        self.lanes
            .sweep(index, |slot| self.is_present(slot), earlier);
    }

    #[inline(always)]
    fn is_present(&self, slot: usize) -> bool {
        self.table.state(slot).stage() == Stage::Queued
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    extern crate std;

    use std::{rc::Rc, vec::Vec};

    use super::*;

    const NOW: Instant = Instant::from_millis(5);

    fn at(priority: Priority) -> Rank {
        Rank {
            priority,
            ..Rank::DEFAULT
        }
    }

    fn drain<T, const N: usize>(queue: &Queue<T, N>) -> Vec<T> {
        core::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn as_many_fit_as_it_has_slots_and_come_out_in_order() {
        fn check<const N: usize>() {
            let queue = Queue::<usize, N>::new(Config::DEFAULT);
            for _ in 0..3 {
                assert!(queue.is_empty());
                for item in 0..N {
                    assert!(queue.push(item, Rank::DEFAULT, NOW).is_ok());
                }
                assert_eq!(queue.push(N, Rank::DEFAULT, NOW), Err(N));
                assert!(drain(&queue).into_iter().eq(0..N));
            }
        }
        check::<1>();
        check::<2>();
        check::<9>();
        check::<65>();
        check::<513>();
    }

    #[test]
    fn a_cancelled_item_leaves_its_place_at_once() {
        let queue = Queue::<u32, 3>::new(Config::DEFAULT);
        let handles = [1, 2, 3].map(|item| queue.push(item, Rank::DEFAULT, NOW).unwrap());
        assert_eq!(queue.cancel(handles[1]), Some(2));
        let fourth = queue.push(4, Rank::DEFAULT, NOW).unwrap();
        assert_eq!(fourth.index(), handles[1].index(), "it has the place");
        assert_eq!(queue.cancel(handles[1]), None, "not by the old handle");
        assert_eq!(drain(&queue), [1, 3, 4]);
        assert_eq!(queue.cancel(fourth), None);
        assert_eq!(queue.cancel(Handle::from_bits(u64::MAX)), None);
    }

    #[test]
    fn lanes_age_unless_they_are_strict() {
        let later = NOW.saturating_add(Duration::from_millis(1500));
        let order = |ageing| {
            let config = Config {
                ageing,
                ..Config::DEFAULT
            };
            let queue = Queue::<&str, 4>::new(config);
            queue.push("low", at(Priority::Low), NOW).unwrap();
            queue.push("normal", at(Priority::Normal), later).unwrap();
            queue.push("high", at(Priority::High), later).unwrap();
            drain(&queue)
        };
        assert_eq!(
            order(Some(Duration::from_secs(1))),
            ["high", "low", "normal"]
        );
        assert_eq!(order(None), ["high", "normal", "low"]);
    }

    #[test]
    fn deadlines_go_first_and_equal_ones_in_order() {
        let queue = Queue::<u32, 8>::new(Config {
            order: Order::Deadline {
                horizon: Duration::from_secs(1),
            },
            ..Config::DEFAULT
        });
        let due = |millis| Rank {
            deadline: Instant::from_millis(millis),
            ..Rank::DEFAULT
        };
        // The last two are past the horizon, which makes them equal.
        for (item, rank) in [(4, due(300)), (1, due(20)), (2, due(20)), (5, due(5_000))] {
            queue.push(item, rank, NOW).unwrap();
        }
        queue.push(6, Rank::DEFAULT, NOW).unwrap();
        queue.push(3, due(20), NOW).unwrap();
        assert_eq!(drain(&queue), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_dropped_queue_drops_its_items() {
        let item = Rc::new(());
        let queue = Queue::<Rc<()>, 3>::new(Config::DEFAULT);
        for _ in 0..3 {
            queue.push(item.clone(), Rank::DEFAULT, NOW).unwrap();
        }
        drop(queue.pop());
        assert_eq!(Rc::strong_count(&item), 3);
        drop(queue);
        assert_eq!(Rc::strong_count(&item), 1);
    }

    #[test]
    fn a_setting_out_of_its_range_is_refused() {
        let long = MAX_STEP + Duration::from_micros(1);
        let ageing = Config {
            ageing: Some(long),
            ..Config::DEFAULT
        };
        assert!(Queue::<(), 1>::try_new(ageing).is_err());
        let horizon = Config {
            order: Order::Deadline { horizon: long },
            ..Config::DEFAULT
        };
        assert!(Queue::<(), 1>::try_new(horizon).is_err());
        assert!(Queue::<(), 1>::try_new(Config::DEFAULT).is_ok());
    }

    /// What the documentation of the type says.
    #[test]
    fn a_slot_takes_a_known_size() {
        const fn size<const N: usize>() -> usize {
            size_of::<Queue<u64, N>>()
        }
        let a_slot = if cfg!(any(weirpool_narrow, not(target_has_atomic = "64"))) {
            20
        } else {
            28
        };
        assert_eq!(size::<128>() - size::<64>(), 64 * (8 + a_slot));
    }
}
