//! The admission word: the pool's mode and how many jobs it has, in one place, so that one compare-and-swap admits.
#![forbid(unsafe_code)]

use crate::sync::{AtomicWord, Ordering, Word, const_fn};

/// Bits of each count.
const COUNT_BITS: u32 = (Word::BITS - 2) / 2;
const COUNT_MASK: Word = (1 << COUNT_BITS) - 1;
const WAITING: Word = 1;
const IN_FLIGHT: Word = 1 << COUNT_BITS;
const MODE_SHIFT: u32 = 2 * COUNT_BITS;

/// The largest limit of jobs in flight that means anything.
pub(crate) const MAX_COUNT: u32 = COUNT_MASK as u32;

/// What the pool does at its two ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Admits and hands out.
    Open = 0,
    /// Admits, hands nothing out.
    Paused = 1,
    /// Admits nothing, hands out what is left. For good.
    Closed = 2,
}

/// One value of the admission word.
#[derive(Clone, Copy)]
pub(crate) struct Admission(Word);

impl Admission {
    pub(crate) fn mode(self) -> Mode {
        match self.0 >> MODE_SHIFT {
            0 => Mode::Open,
            1 => Mode::Paused,
            _ => Mode::Closed,
        }
    }

    /// Jobs that wait in the queue or for their time.
    pub(crate) fn waiting(self) -> u32 {
        (self.0 & COUNT_MASK) as u32
    }

    /// Jobs that are accepted and not settled.
    pub(crate) fn in_flight(self) -> u32 {
        ((self.0 >> COUNT_BITS) & COUNT_MASK) as u32
    }
}

/// Why the gate refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shut {
    Closed,
    InFlight,
    Full,
}

/// The gate of a pool.
///
/// # Why there is always a slot
/// Every slot that is in use is counted as waiting here or by a permit to run, at times by both: a taker acquires the
/// permit before it gives the place up, a retry takes a place before it releases its permit, and an end frees the slot
/// before it gives up either. So slots in use never outnumber places and permits together, and only an admission makes
/// them more. It leaves at most `capacity` places taken, beside at most `most_running` permits: `capacity +
/// most_running` slots suffice. Retries may take the places beyond the capacity, by at most `most_running`, since they
/// bring their slots along; nothing is admitted then until enough have left.
#[derive(Debug)]
pub(crate) struct Gate {
    /// `[mode: 2 | in flight | waiting]`. In flight counts jobs from acceptance until they are settled, waiting those
    /// of them that hold a place of the queue, delayed ones included. A place is taken before a slot is reserved, and
    /// given back after the slot is free again (release, paired with the acquire of the next taker).
    word: AtomicWord,
}

impl Gate {
    const_fn! {
        pub(crate) const fn new() -> Self {
            Self { word: AtomicWord::new(0) }
        }
    }

    /// The word as it is. SeqCst, so that an operator's change and a worker's look at it have one order.
    #[inline(always)]
    pub(crate) fn load(&self) -> Admission {
        Admission(self.word.load(Ordering::SeqCst))
    }

    /// Takes a place for one more job.
    #[inline]
    pub(crate) fn admit(&self, capacity: u32, max_in_flight: u32) -> Result<(), Shut> {
        self.enter(|admission| {
            if admission.mode() == Mode::Closed {
                Err(Shut::Closed)
            } else if admission.in_flight() >= max_in_flight {
                Err(Shut::InFlight)
            } else if admission.waiting() >= capacity {
                Err(Shut::Full)
            } else {
                Ok(())
            }
        })
    }

    /// Takes a place for a job that was admitted before, whatever the mode.
    pub(crate) fn readmit(&self, capacity: u32) -> Result<(), Shut> {
        self.enter(|admission| {
            if admission.waiting() < capacity {
                Ok(())
            } else {
                Err(Shut::Full)
            }
        })
    }

    /// A queued job went to a worker.
    #[inline(always)]
    pub(crate) fn start(&self) {
        self.word.fetch_sub(WAITING, Ordering::Release);
    }

    /// A job with a worker waits again, whatever the capacity and the mode.
    pub(crate) fn wait_again(&self) {
        // Release: as everything that changes the word, since an acquire may read from any of them.
        self.word.fetch_add(WAITING, Ordering::Release);
    }

    /// A job with a worker is settled.
    #[inline(always)]
    pub(crate) fn settle(&self) {
        self.word.fetch_sub(IN_FLIGHT, Ordering::Release);
    }

    /// A queued job is settled.
    #[inline(always)]
    pub(crate) fn settle_queued(&self) {
        self.word.fetch_sub(IN_FLIGHT + WAITING, Ordering::Release);
    }

    /// Changes the mode; a closed gate stays closed.
    pub(crate) fn set_mode(&self, mode: Mode) {
        let mut word = self.word.load(Ordering::Relaxed);
        while Admission(word).mode() != Mode::Closed {
            let next = word & !(3 << MODE_SHIFT) | (mode as Word) << MODE_SHIFT;
            match self
                .word
                .compare_exchange_weak(word, next, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
    }

    #[inline(always)]
    fn enter(&self, check: impl Fn(Admission) -> Result<(), Shut>) -> Result<(), Shut> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            // A refusal must not rest on an old value: it is what the caller acts on.
            if let Err(shut) = check(Admission(word)) {
                let now = self.word.load(Ordering::SeqCst);
                if now == word {
                    return Err(shut);
                }
                word = now;
                continue;
            }
            match self.word.compare_exchange_weak(
                word,
                word + IN_FLIGHT + WAITING,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }
}
