//! The schedule: the slots with their jobs, and the three orders in which these are looked for.
//!
//! | order | who plays | key |
//! |---|---|---|
//! | lanes | `Queued` | the job's turn, given at its submission |
//! | delayed | `Delayed` | when it may be tried again |
//! | timers | `Queued`, `Delayed`, `Armed` with a time-out | when that is due |
//!
//! # A job that comes back
//! Who has the job changes its slot to `Moving`, sets the keys, moves the job into the cell and shows it as `Delayed`, in
//! the slot's next lap. A cancellation may land at any moment of that: before, it makes the first change fail, during it
//! the last, and after it finds a job that waits. In the first two cases the mover still has the job and frees the slot.
//!
//! When the time has come anybody *promotes* it, by one compare-and-swap to `Queued`, a sweep of the lanes and a sweep of
//! the delayed, in this order: as long as the delayed may name the job, whoever meets it there sweeps the lanes for it. So
//! a promoter that is stopped half-way hides no job. Its last sweep may come late, even after the job has left the slot
//! and the next one has come; who sets a key among the delayed therefore sweeps first.
//!
//! A retry keeps its turn, which is the age of its submission.
#![forbid(unsafe_code)]

use crate::{
    job::{Entry, Handle},
    key::Key,
    queue::{Config, Queue, Rank},
    sync::{AtomicU32, Ordering, const_fn},
    table::{Mark, Stage, Vacant},
    time::Instant,
    tournament::Tournament,
};

/// Jobs in slots, by their turn, by when they may be tried again and by when their time-outs are due.
#[derive(Debug)]
pub(crate) struct Schedule<T, const SLOTS: usize> {
    /// How many jobs are delayed: at least as many as the order of the delayed names, so that with 0 nobody need look.
    /// Relaxed: who must see a delayed job has heard from who delayed it.
    delayed_jobs: AtomicU32,
    queue: Queue<Entry<T>, SLOTS>,
    delayed: Tournament<SLOTS>,
    timers: Tournament<SLOTS>,
}

/// A job as it was seen at the head of an order.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) index: usize,
    pub(crate) mark: Mark,
    /// Its key among the delayed, where it was seen there; else when its time-out is due.
    pub(crate) due: Key,
}

impl Seen {
    pub(crate) fn handle(&self) -> Handle {
        Handle::new(self.index, self.mark)
    }
}

/// A job whose slot was taken from under who has it: it is free now.
#[derive(Debug)]
pub(crate) enum Gone {
    /// By a cancellation.
    Cancelled,
    /// By its deadline.
    Expired,
    /// The slot never was, or has not been for long, that of this job.
    Unknown,
}

impl<T, const SLOTS: usize> Schedule<T, SLOTS> {
    const_fn! {
        pub(crate) const fn new(config: Config) -> Self {
            Self {
                delayed_jobs: AtomicU32::new(0),
                queue: Queue::build(config),
                delayed: Tournament::new(),
                timers: Tournament::new(),
            }
        }
    }

    /// A slot for a job that was given a place.
    pub(crate) fn reserve(&self) -> Vacant<'_, Entry<T>, SLOTS> {
        self.queue
            .table
            .reserve()
            .expect("a place is given only while a slot is free")
    }

    /// Puts a job into its slot, in line or not before a time.
    pub(crate) fn insert(
        &self,
        vacant: Vacant<'_, Entry<T>, SLOTS>,
        entry: Entry<T>,
        rank: Rank,
        submitted: Instant,
        due: Key,
        not_before: Option<Key>,
    ) -> Handle {
        let index = vacant.index();
        self.queue.assign(&vacant, rank, submitted);
        self.timers.set_key(index, due);
        if let Some(at) = not_before {
            self.set_delayed_key(index, at);
            self.delayed_jobs.fetch_add(1, Ordering::Relaxed);
        }
        let mark = vacant.publish(entry, not_before.is_some());
        match not_before {
            Some(_) => self.sweep_delayed(index),
            None => self.queue.sweep(index),
        }
        if due != Key::NEVER {
            self.sweep_timers(index);
        }
        Handle::new(index, mark)
    }

    /// The state of a handle's slot, if it still is of the handle's generation.
    pub(crate) fn mark(&self, handle: Handle) -> Option<Mark> {
        self.queue.mark(handle)
    }

    /// Whether the lanes are empty.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many jobs are delayed.
    #[inline(always)]
    pub(crate) fn delayed_jobs(&self) -> u32 {
        self.delayed_jobs.load(Ordering::Relaxed)
    }

    /// The queued job whose turn is next.
    pub(crate) fn next_queued(&self) -> Option<Seen> {
        let (index, mark) = self.queue.next()?;
        let due = self.timers.key(index);
        Some(Seen { index, mark, due })
    }

    /// The delayed job whose time comes next.
    pub(crate) fn next_delayed(&self) -> Option<Seen> {
        loop {
            let least = self.delayed.least()?;
            let index = least.index;
            let mark = self.queue.table.state(index);
            let due = self.delayed.key(index);
            match mark.stage() {
                Stage::Delayed if self.delayed.is_still(least) => {
                    return Some(Seen { index, mark, due });
                }
                Stage::Delayed => {}
                stage => {
                    if stage == Stage::Queued {
                        self.queue.sweep(index);
                    }
                    self.sweep_delayed(index);
                }
            }
        }
    }

    /// The job whose time-out is due next.
    pub(crate) fn next_timer(&self) -> Option<Seen> {
        loop {
            let least = self.timers.least()?;
            let index = least.index;
            let mark = self.queue.table.state(index);
            let due = self.timers.key(index);
            if !mark.is_timed() {
                self.sweep_timers(index);
            } else if self.timers.is_still(least) {
                return Some(Seen { index, mark, due });
            }
        }
    }

    /// Puts a delayed job in line.
    pub(crate) fn promote(&self, seen: Seen) -> bool {
        if !self.queue.table.promote(seen.index, seen.mark) {
            return false;
        }
        self.queue.sweep(seen.index);
        self.sweep_delayed(seen.index);
        self.delayed_jobs.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Moves a waiting job out of its slot and out of all orders; the slot is then `Held` or `Running`.
    #[inline(always)]
    pub(crate) fn claim(&self, index: usize, mark: Mark, to: Stage) -> Option<Entry<T>> {
        let entry = self.queue.table.claim(index, mark, to);
        if entry.is_some() {
            self.withdraw(index, mark);
        }
        entry
    }

    /// Takes a slot whose job was claimed out of all orders.
    fn withdraw(&self, index: usize, mark: Mark) {
        if mark.stage() == Stage::Delayed {
            self.sweep_delayed(index);
            self.delayed_jobs.fetch_sub(1, Ordering::Relaxed);
        } else {
            self.queue.sweep(index);
        }
        if self.timers.key(index) != Key::NEVER {
            self.sweep_timers(index);
        }
    }

    /// Frees a slot whose job was claimed as `Held`.
    pub(crate) fn free_held(&self, index: usize, mark: Mark) {
        self.queue.table.free(index, mark.at(Stage::Held));
    }

    /// Watches the deadline of a job that was claimed to run. Nothing happens if it was cancelled meanwhile.
    pub(crate) fn arm(&self, index: usize, mark: Mark, due: Key) {
        self.timers.set_key(index, due);
        if self
            .queue
            .table
            .shift(index, mark.at(Stage::Running), Stage::Armed)
        {
            self.sweep_timers(index);
        }
    }

    /// Settles a job that is with a worker as `Cancelled` or `Expired`, if its slot still is as it was seen.
    pub(crate) fn take_away(&self, index: usize, mark: Mark, to: Stage) -> bool {
        let won = self.queue.table.shift(index, mark, to);
        if won && mark.stage() == Stage::Armed {
            self.sweep_timers(index);
        }
        won
    }

    /// Frees the slot of a job that was claimed to run and is over.
    ///
    /// # Errors
    /// If it was settled before.
    pub(crate) fn release(&self, handle: Handle) -> Result<(), Gone> {
        let index = handle.index();
        while let Some(mark) = self.mark(handle) {
            match mark.stage() {
                Stage::Running => {
                    if self.queue.table.free(index, mark) {
                        return Ok(());
                    }
                }
                Stage::Armed => {
                    if self.queue.table.shift(index, mark, Stage::Held) {
                        self.sweep_timers(index);
                        self.free_held(index, mark);
                        return Ok(());
                    }
                }
                _ => return Err(self.gone(index, mark)),
            }
        }
        Err(Gone::Unknown)
    }

    /// Puts a job that was claimed to run back into its slot until a time. Its time-out is watched as `due` says, or as
    /// before it was claimed. Calls `before` when nobody but a cancellation can prevent it, and nobody can see it yet.
    ///
    /// # Errors
    /// The job, if it was settled before or meanwhile.
    pub(crate) fn delay(
        &self,
        handle: Handle,
        entry: Entry<T>,
        at: Key,
        due: Option<Key>,
        before: impl FnOnce(),
    ) -> Result<(), (Entry<T>, Gone)> {
        let index = handle.index();
        loop {
            let Some(mark) = self.mark(handle) else {
                return Err((entry, Gone::Unknown));
            };
            if !matches!(mark.stage(), Stage::Running | Stage::Armed) {
                return Err((entry, self.gone(index, mark)));
            }
            let Some(moving) = self.queue.table.recall(index, mark) else {
                continue;
            };
            if mark.stage() == Stage::Armed {
                self.sweep_timers(index);
            }
            if let Some(due) = due {
                self.timers.set_key(index, due);
            }
            self.set_delayed_key(index, at);
            self.delayed_jobs.fetch_add(1, Ordering::Relaxed);
            before();
            return match moving.publish(entry) {
                Ok(()) => {
                    self.sweep_delayed(index);
                    if self.timers.key(index) != Key::NEVER {
                        self.sweep_timers(index);
                    }
                    Ok(())
                }
                Err((entry, held)) => {
                    self.delayed_jobs.fetch_sub(1, Ordering::Relaxed);
                    self.queue.table.free(index, held);
                    Err((entry, Gone::Cancelled))
                }
            };
        }
    }

    /// Frees the slot of a job that was settled while a worker had it.
    fn gone(&self, index: usize, mark: Mark) -> Gone {
        let gone = match mark.stage() {
            Stage::Cancelled => Gone::Cancelled,
            Stage::Expired => Gone::Expired,
            _ => return Gone::Unknown,
        };
        // Who settled it may not have swept yet, and the slot is about to be used again.
        if self.timers.key(index) != Key::NEVER {
            self.sweep_timers(index);
        }
        self.queue.table.free(index, mark);
        gone
    }

    /// Sets the key among the delayed of a slot whose job is not one of them.
    fn set_delayed_key(&self, index: usize, at: Key) {
        // Who promoted the last job of this slot may not have swept yet.
        self.sweep_delayed(index);
        self.delayed.set_key(index, at);
    }

    #[inline(always)]
    fn sweep_delayed(&self, index: usize) {
        self.delayed.sweep(
            index,
            |slot| self.queue.table.state(slot).stage() == Stage::Delayed,
            |_, _| false,
        );
    }

    #[inline(always)]
    fn sweep_timers(&self, index: usize) {
        self.timers.sweep(
            index,
            |slot| self.queue.table.state(slot).is_timed(),
            |_, _| false,
        );
    }
}
