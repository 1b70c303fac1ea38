//! The job table: `SLOTS` cells, each owned by whoever its state word says. The only module with unsafe code.
//!
//! A state word is `[generation | lap | stage]`; every change of it is one compare-and-swap, and who wins it has won the
//! right that the change stands for. A job that comes back to its slot for a retry keeps the generation and starts
//! another lap. Free slots form a stack of indexes with a tag against ABA.
//!
//! # How far the tags reach
//! A generation has 48 bits where words have 64 (25 of 32): a forgotten handle is mistaken for a live one after
//! exactly 2^48 (2^25) reuses of its one slot, at a million jobs a second through that slot after nine years (half a
//! minute). A lap has 12 (3) bits: who is stopped between looking at a slot and changing it is fooled by exactly a
//! multiple of 4 096 (8) retries of that one job in that pause. The tag of the stack has 48 (19) bits: a pop that is
//! stopped between its two steps is fooled by exactly a multiple of 2^48 (2^19 = 524 288) pushes and pops in that
//! pause, with its own first slot on top again.

use core::mem::MaybeUninit;

use crate::sync::{AtomicU32, AtomicWord, Ordering, UnsafeCell, Word, array, const_fn, newest};

/// Bits of a slot index in a word that also carries a tag or a version.
pub(crate) const INDEX_BITS: u32 = if Word::BITS == 64 { 16 } else { 13 };
pub(crate) const INDEX_MASK: Word = (1 << INDEX_BITS) - 1;
/// The most slots: one code of the index means "none".
pub(crate) const MAX_SLOTS: usize = INDEX_MASK as usize;

const STAGE_BITS: u32 = 4;
const LAP_BITS: u32 = if Word::BITS == 64 { 12 } else { 3 };
/// Where the generation begins, which takes the rest of the word.
const GENERATION_SHIFT: u32 = STAGE_BITS + LAP_BITS;

/// Where a slot's job is in its life.
///
/// ```text
///          ┌────────── Delayed ◀────────── Moving
///          ▼              │                 ▲ │
/// Free ─▶ Queued ─▶ Running ─▶ Armed ───────┤ │
///  ▲        │          ├─────────┤──────────┘ │
///  │        ▼          ▼         ▼            ▼
///  ├─────── Held ◀─────┼─────────┼────────────┤   (Delayed goes to Held too, Running also straight to Free)
///  └────────── Cancelled, Expired
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Stage {
    /// No job; the slot is on the free stack or being filled by who popped it.
    Free = 0,
    /// The cell holds a job that waits.
    Queued = 1,
    /// The job was moved out and is settled; the slot is about to be freed by who moved it.
    Held = 2,
    /// The job was moved out to a worker. No deadline watches it (yet).
    Running = 3,
    /// As `Running`, with a deadline that is watched.
    Armed = 4,
    /// Settled by a cancellation while the handler still runs; the slot comes back at its finish.
    Cancelled = 5,
    /// Settled at its deadline while the handler still runs; the slot comes back at its finish.
    Expired = 6,
    /// The cell holds a job that waits for a time.
    Delayed = 7,
    /// Who has the job is moving it back into the cell. Nobody else may touch the cell, not even a cancellation: it
    /// changes this to `Held`, and the mover finds that and keeps the job.
    Moving = 8,
}

/// One value of a state word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark(Word);

impl Mark {
    #[inline(always)]
    pub(crate) fn stage(self) -> Stage {
        match self.0 & ((1 << STAGE_BITS) - 1) {
            0 => Stage::Free,
            1 => Stage::Queued,
            2 => Stage::Held,
            3 => Stage::Running,
            4 => Stage::Armed,
            5 => Stage::Cancelled,
            6 => Stage::Expired,
            7 => Stage::Delayed,
            _ => Stage::Moving,
        }
    }

    #[inline(always)]
    pub(crate) fn generation(self) -> u64 {
        // Not useless where a word has 32 bits.
        #[allow(clippy::unnecessary_cast)]
        let generation = (self.0 >> GENERATION_SHIFT) as u64;
        generation
    }

    /// The same generation and lap in another stage.
    #[inline(always)]
    pub(crate) fn at(self, stage: Stage) -> Self {
        Self(self.0 >> STAGE_BITS << STAGE_BITS | stage as Word)
    }

    /// Whether the slot takes part in the timers, if its job has a time-out.
    #[inline(always)]
    pub(crate) fn is_timed(self) -> bool {
        matches!(self.stage(), Stage::Queued | Stage::Armed | Stage::Delayed)
    }

    /// Whether the cell holds a job.
    #[inline(always)]
    fn is_filled(self) -> bool {
        matches!(self.stage(), Stage::Queued | Stage::Delayed)
    }

    /// Free, with the next generation, in its first lap.
    #[inline(always)]
    fn freed(self) -> Self {
        Self((self.0 >> GENERATION_SHIFT).wrapping_add(1) << GENERATION_SHIFT)
    }

    /// Delayed, in the next lap.
    #[inline(always)]
    fn delayed(self) -> Self {
        const LAP_MASK: Word = (1 << LAP_BITS) - 1;
        let lap = (self.0 >> STAGE_BITS).wrapping_add(1) & LAP_MASK;
        let generation = self.0 >> GENERATION_SHIFT << GENERATION_SHIFT;
        Self(generation | lap << STAGE_BITS | Stage::Delayed as Word)
    }
}

/// The slots of a pool.
#[derive(Debug)]
pub(crate) struct Table<T, const SLOTS: usize> {
    /// Top of the free stack: `[tag | index]`, index `SLOTS` when empty. The tag grows with every change.
    top: AtomicWord,
    /// Of a free slot the free slot below it, written by who owns the slot before it is pushed. Of any other the ticket
    /// of its job, written before the job is published. (A pop that reads a ticket for a slot fails on the tag.)
    links: [AtomicU32; SLOTS],
    /// `[generation | lap | stage]` of each slot.
    states: [AtomicWord; SLOTS],
    /// A job, initialised exactly while the stage is `Queued` or `Delayed`.
    cells: [UnsafeCell<MaybeUninit<T>>; SLOTS],
}

// SAFETY: a cell is touched only by the one context that owns its slot: who popped it from the free stack, or who won
// the compare-and-swap out of `Queued` or `Delayed` into another stage than these, or into `Moving`. Values only move
// between contexts, so `T: Send` is enough.
unsafe impl<T: Send, const SLOTS: usize> Sync for Table<T, SLOTS> {}

impl<T, const SLOTS: usize> Table<T, SLOTS> {
    const_fn! {
        /// A table of free slots, the first on top.
        pub(crate) const fn new() -> Self {
            const { assert!(SLOTS > 0 && SLOTS <= MAX_SLOTS, "a pool has 1 to 65 535 slots (8 191 with 32-bit words)") };
            Self {
                top: AtomicWord::new(0),
                links: array!(|i| AtomicU32::new(i as u32 + 1); SLOTS),
                states: array!(|_i| AtomicWord::new(0); SLOTS),
                cells: array!(|_i| UnsafeCell::new(MaybeUninit::uninit()); SLOTS),
            }
        }
    }

    /// Takes a slot off the free stack; `None` if there is none.
    ///
    /// A retry means that another context pushed or popped.
    pub(crate) fn reserve(&self) -> Option<Vacant<'_, T, SLOTS>> {
        // Acquire: what the last owner of the slot did (its sweep of the tournaments, its link) is visible.
        let mut top = self.top.load(Ordering::Acquire);
        loop {
            let index = (top & INDEX_MASK) as usize;
            let Some(link) = self.links.get(index) else {
                // That there is none must not rest on an old value: it is what the caller acts on.
                let now = newest(&self.top);
                if now == top {
                    return None;
                }
                top = now;
                continue;
            };
            let below = link.load(Ordering::Relaxed);
            let next = tagged(top, below as usize);
            match self
                .top
                .compare_exchange_weak(top, next, Ordering::Acquire, Ordering::Acquire)
            {
                Ok(_) => return Some(Vacant { table: self, index }),
                Err(now) => top = now,
            }
        }
    }

    /// The newest state of a slot.
    #[inline(always)]
    pub(crate) fn state(&self, index: usize) -> Mark {
        Mark(newest(&self.states[index]))
    }

    /// The ticket of the job in a slot; outdated unless the slot is checked afterwards.
    #[inline(always)]
    pub(crate) fn ticket(&self, index: usize) -> u32 {
        self.links[index].load(Ordering::Relaxed)
    }

    /// Moves a waiting job out, if its slot still is as `seen`; the slot is then in the stage `to`, which is `Held` or
    /// `Running`.
    #[inline(always)]
    pub(crate) fn claim(&self, index: usize, seen: Mark, to: Stage) -> Option<T> {
        if !seen.is_filled()
            || !matches!(to, Stage::Held | Stage::Running)
            || !self.change(index, seen, seen.at(to))
        {
            return None;
        }
        // SAFETY: the cell was filled, so it is initialised and published by that state's release; winning the change
        // makes this context its only owner until the slot is freed and reserved again, or recalled.
        Some(self.cells[index].with_mut(|cell| unsafe { (*cell).assume_init_read() }))
    }

    /// Changes the stage of a slot whose job is with a worker, if it still is as `seen`.
    #[inline]
    pub(crate) fn shift(&self, index: usize, seen: Mark, to: Stage) -> bool {
        let follows = match seen.stage() {
            Stage::Running => matches!(to, Stage::Armed | Stage::Held | Stage::Cancelled),
            Stage::Armed => matches!(to, Stage::Held | Stage::Cancelled | Stage::Expired),
            Stage::Moving => to == Stage::Held,
            _ => false,
        };
        follows && self.change(index, seen, seen.at(to))
    }

    /// Puts a delayed job in line, if its slot still is as `seen`.
    #[inline]
    pub(crate) fn promote(&self, index: usize, seen: Mark) -> bool {
        seen.stage() == Stage::Delayed && self.change(index, seen, seen.at(Stage::Queued))
    }

    /// Starts to move a job back from its worker, if its slot still is as `seen`.
    #[inline]
    pub(crate) fn recall(&self, index: usize, seen: Mark) -> Option<Moving<'_, T, SLOTS>> {
        let mark = seen.at(Stage::Moving);
        let wins =
            matches!(seen.stage(), Stage::Running | Stage::Armed) && self.change(index, seen, mark);
        wins.then_some(Moving {
            table: self,
            index,
            mark,
        })
    }

    /// Frees a slot whose cell is empty, if it still is as `seen`, and with it ends its generation.
    #[inline]
    pub(crate) fn free(&self, index: usize, seen: Mark) -> bool {
        if seen.is_filled() || matches!(seen.stage(), Stage::Free | Stage::Moving) {
            return false;
        }
        let word = &self.states[index];
        if word
            .compare_exchange(seen.0, seen.freed().0, Ordering::SeqCst, Ordering::SeqCst)
            .is_err()
        {
            return false;
        }
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            self.links[index].store((top & INDEX_MASK) as u32, Ordering::Relaxed);
            // Release: pairs with the acquire in `reserve`.
            match self.top.compare_exchange_weak(
                top,
                tagged(top, index),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => top = now,
            }
        }
    }

    // SeqCst: a change of a leaf comes before the sweep of its ancestors in the one order of such operations
    // (see `tournament`). On every target it costs what the compare-and-swap costs anyway.
    #[inline(always)]
    fn change(&self, index: usize, seen: Mark, to: Mark) -> bool {
        self.states[index]
            .compare_exchange(seen.0, to.0, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

impl<T, const SLOTS: usize> Drop for Table<T, SLOTS> {
    fn drop(&mut self) {
        if !core::mem::needs_drop::<T>() {
            return;
        }
        for index in 0..SLOTS {
            let state = self.state(index);
            drop(self.claim(index, state, Stage::Held));
        }
    }
}

/// A reserved slot that is still empty. Forgotten, it is lost to the pool.
#[must_use]
pub(crate) struct Vacant<'a, T, const SLOTS: usize> {
    table: &'a Table<T, SLOTS>,
    index: usize,
}

impl<T, const SLOTS: usize> Vacant<'_, T, SLOTS> {
    #[inline(always)]
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Gives the job that will be published a ticket.
    #[inline(always)]
    pub(crate) fn set_ticket(&self, ticket: u32) {
        // Relaxed: published with the job.
        self.table.links[self.index].store(ticket, Ordering::Relaxed);
    }

    /// Puts a job in and shows it, as `Queued` or `Delayed`: from here on anyone may claim it. Returns the state it was
    /// given.
    #[inline]
    pub(crate) fn publish(self, value: T, delayed: bool) -> Mark {
        let word = &self.table.states[self.index];
        // SAFETY: this context popped the slot from the free stack, where each slot is at most once: it got there by
        // winning the change to `Free`. Until the state below is published nobody else touches the cell, and it is
        // empty, since it was moved out before the slot could be freed.
        self.table.cells[self.index].with_mut(|cell| unsafe { (*cell).write(value) });
        let stage = if delayed {
            Stage::Delayed
        } else {
            Stage::Queued
        };
        let state = Mark(word.load(Ordering::Relaxed)).at(stage);
        // A swap rather than a store for the order explained at `change`; its release publishes the cell and the keys.
        word.swap(state.0, Ordering::SeqCst);
        state
    }
}

/// A slot whose job is being moved back by this context. Forgotten, it is lost to the pool.
#[must_use]
pub(crate) struct Moving<'a, T, const SLOTS: usize> {
    table: &'a Table<T, SLOTS>,
    index: usize,
    mark: Mark,
}

impl<T, const SLOTS: usize> Moving<'_, T, SLOTS> {
    /// Puts the job back and shows it as `Delayed`, in its next lap.
    ///
    /// # Errors
    /// The job, if it was cancelled meanwhile, with the slot's state: it is `Held`, for this context to free.
    pub(crate) fn publish(self, value: T) -> Result<(), (T, Mark)> {
        let Self { table, index, mark } = self;
        let cell = &table.cells[index];
        // SAFETY: this context won the change into `Moving`, out of which only it and a cancellation go; the latter
        // leads to `Held` without touching the cell, and only this context goes on from there. The cell is empty, since
        // the job was moved out before the slot came to a worker.
        cell.with_mut(|cell| unsafe { (*cell).write(value) });
        if table.change(index, mark, mark.delayed()) {
            return Ok(());
        }
        // SAFETY: as above; the cell was written just now, and nobody saw it.
        let value = cell.with_mut(|cell| unsafe { (*cell).assume_init_read() });
        Err((value, mark.at(Stage::Held)))
    }
}

/// A word with the next tag and the given index.
#[inline(always)]
pub(crate) fn tagged(old: Word, index: usize) -> Word {
    ((old >> INDEX_BITS).wrapping_add(1) << INDEX_BITS) | index as Word
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;

    use std::{rc::Rc, vec::Vec};

    use super::*;

    #[test]
    fn every_slot_is_given_once_and_comes_back_in_a_new_generation() {
        let table = Table::<u32, 5>::new();
        for round in 0..3 {
            let marks: Vec<_> = (0..5)
                .map(|job| {
                    let vacant = table.reserve().unwrap();
                    (vacant.index(), vacant.publish(job, false))
                })
                .collect();
            assert!(table.reserve().is_none());
            let mut indexes: Vec<_> = marks.iter().map(|&(index, _)| index).collect();
            indexes.sort_unstable();
            assert_eq!(indexes, [0, 1, 2, 3, 4]);
            for (job, (index, mark)) in (0..).zip(marks) {
                assert_eq!(mark.generation(), round);
                assert_eq!(table.claim(index, mark, Stage::Running), Some(job));
                assert_eq!(
                    table.claim(index, mark, Stage::Running),
                    None,
                    "it was claimed"
                );
                assert!(table.free(index, mark.at(Stage::Running)));
                assert!(!table.free(index, mark.at(Stage::Running)), "it was freed");
            }
        }
    }

    #[test]
    fn a_stage_that_does_not_follow_is_refused() {
        let table = Table::<u32, 1>::new();
        let mark = table.reserve().unwrap().publish(7, false);
        assert!(!table.free(0, mark), "a job waits in it");
        assert!(!table.shift(0, mark, Stage::Cancelled), "it does not run");
        assert_eq!(table.claim(0, mark, Stage::Queued), None);
        assert_eq!(table.claim(0, mark, Stage::Held), Some(7));
        let held = mark.at(Stage::Held);
        assert!(!table.shift(0, held, Stage::Queued) && !table.promote(0, held));
        assert!(table.recall(0, held).is_none());
    }

    #[test]
    fn a_job_that_is_moved_back_starts_a_new_lap() {
        let table = Table::<u32, 1>::new();
        let first = table.reserve().unwrap().publish(7, false);
        let mut mark = first;
        // More often than a lap has numbers with 32-bit words.
        for _ in 0..20 {
            assert_eq!(table.claim(0, mark, Stage::Running), Some(7));
            let moving = table.recall(0, mark.at(Stage::Running)).unwrap();
            assert_eq!(moving.publish(7), Ok(()));
            let delayed = table.state(0);
            assert_eq!(delayed.stage(), Stage::Delayed);
            assert_eq!(delayed.generation(), first.generation());
            assert!(table.claim(0, mark, Stage::Held).is_none(), "of a past lap");
            assert!(table.promote(0, delayed) && !table.promote(0, delayed));
            mark = table.state(0);
        }
        assert_eq!(table.claim(0, mark, Stage::Held), Some(7));
        assert!(table.free(0, mark.at(Stage::Held)));
        let next = table.reserve().unwrap().publish(8, true);
        assert_eq!(next.generation(), first.generation() + 1);
        assert_eq!(table.claim(0, next, Stage::Held), Some(8));
    }

    #[test]
    fn a_job_that_is_cancelled_while_it_is_moved_stays_with_its_mover() {
        let table = Table::<u32, 1>::new();
        let mark = table.reserve().unwrap().publish(7, false);
        assert_eq!(table.claim(0, mark, Stage::Running), Some(7));
        let moving = table.recall(0, mark.at(Stage::Running)).unwrap();
        assert!(!table.free(0, table.state(0)), "it is the mover's");
        assert!(table.shift(0, mark.at(Stage::Moving), Stage::Held));
        let (job, held) = moving.publish(7).unwrap_err();
        assert_eq!((job, held), (7, table.state(0)));
        assert!(table.free(0, held));
    }

    #[test]
    fn a_dropped_table_drops_what_waits_and_nothing_else() {
        let job = Rc::new(());
        let table = Table::<Rc<()>, 4>::new();
        let marks: Vec<_> = (0..3)
            .map(|_| table.reserve().unwrap().publish(job.clone(), false))
            .collect();
        let taken = table.claim(0, marks[0], Stage::Running).unwrap();
        assert_eq!(Rc::strong_count(&job), 4);
        drop(table);
        assert_eq!(Rc::strong_count(&job), 2);
        drop(taken);
        assert_eq!(Rc::strong_count(&job), 1);
    }
}
