//! The last changes of a breaker's state, in fixed memory.
#![forbid(unsafe_code)]

use super::{State, phase::Phase};
use crate::{
    sync::{AtomicWord, Ordering, Word, array, const_fn},
    time::Instant,
};

/// How many changes of state a breaker remembers.
// Under loom two, so that a model reaches the moment when one is overwritten.
pub const LOG_LENGTH: usize = if cfg!(loom) { 2 } else { 8 };

/// One change of a breaker's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transition {
    /// The time of the call that made the change, in whole milliseconds with 32-bit words.
    pub at: Instant,
    /// The state before.
    pub from: State,
    /// The state that it began.
    pub to: State,
    /// The generation that it began, modulo 2^14.
    pub generation: u32,
    /// What made it.
    pub cause: Cause,
}

/// Why a breaker changed its state. Each cause leads to one state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Cause {
    /// Too many failures in a row opened it.
    Consecutive = 0,
    /// The failure rate opened it.
    FailureRate = 1,
    /// The rate of slow calls opened it.
    SlowRate = 2,
    /// A probe that failed or was slow opened it again.
    ProbeFailed = 3,
    /// The pause was over: a call became the first probe.
    PauseOver = 4,
    /// The lease of probes that did not report was over: a call became the first of new ones.
    LeaseOver = 5,
    /// Enough probes succeeded: it closed.
    ProbesSucceeded = 6,
    /// An operator forced it open.
    Tripped = 7,
    /// An operator closed it.
    Reset = 8,
    /// An operator disabled it.
    Disabled = 9,
}

impl Cause {
    /// The state that it leads to.
    pub const fn to(self) -> State {
        match self {
            Self::Consecutive | Self::FailureRate | Self::SlowRate | Self::ProbeFailed => {
                State::Open
            }
            Self::PauseOver | Self::LeaseOver => State::HalfOpen,
            Self::ProbesSucceeded | Self::Reset => State::Closed,
            Self::Tripped => State::ForcedOpen,
            Self::Disabled => State::Disabled,
        }
    }

    const fn from_bits(bits: u64) -> Option<Self> {
        Some(match bits & 15 {
            0 => Self::Consecutive,
            1 => Self::FailureRate,
            2 => Self::SlowRate,
            3 => Self::ProbeFailed,
            4 => Self::PauseOver,
            5 => Self::LeaseOver,
            6 => Self::ProbesSucceeded,
            7 => Self::Tripped,
            8 => Self::Reset,
            9 => Self::Disabled,
            _ => return None,
        })
    }
}

/// The changes that began the last generations, each in the entry `generation % LOG_LENGTH`.
///
/// An entry has one writer for each generation: who won that change of the state word. It is written word by word, and
/// every word names its *round*, `generation / LOG_LENGTH`; an entry whose words are not all of the round that is asked
/// for is being written or was overwritten, and is passed over. A writer that comes late leaves the words of newer
/// rounds alone, so the newest change always wins. Each word speaks for itself, so everything is relaxed.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Log([[Part; PARTS]; LOG_LENGTH]);

/// Words of an entry.
const PARTS: usize = (u64::BITS / Word::BITS) as usize;
/// An entry is `[from:3 | cause:4 | time:46]`, or with 32-bit words `[from:3 | cause:4 | time:35]`.
const TIME_BITS: u32 = PARTS as u32 * Part::BITS - 7;
/// Microseconds of a tick of the time.
const TICK: u64 = if Word::BITS == 64 { 1 } else { 1_000 };

impl Log {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self(array!(|_i| array!(|_j| Part::new(); PARTS); LOG_LENGTH))
        }
    }

    /// Notes the change that began a generation. To be called by who made it.
    pub(super) fn write(&self, generation: u32, from: State, cause: Cause, now: Instant) {
        let time = (now.as_micros() / TICK) & ((1 << TIME_BITS) - 1);
        let value = ((from as u64) << 4 | cause as u64) << TIME_BITS | time;
        for (nth, part) in (0..).zip(self.entry(generation)) {
            part.write(round(generation), (value >> (nth * Part::BITS)) as Word);
        }
    }

    /// The change that began a generation, if it is there. `now` serves to complete its time.
    pub(super) fn read(&self, generation: u32, now: Instant) -> Option<Transition> {
        let mut value = 0;
        for (nth, part) in (0..).zip(self.entry(generation)) {
            #[allow(clippy::useless_conversion, reason = "a word may be 32 bits")]
            let bits: u64 = part.read(round(generation))?.into();
            value |= bits << (nth * Part::BITS);
        }
        let cause = Cause::from_bits(value >> TIME_BITS)?;
        // The time that is nearest to now.
        let now = now.as_micros() / TICK;
        let unused = u64::BITS - TIME_BITS;
        let ahead = (value.wrapping_sub(now) << unused) as i64 >> unused;
        Some(Transition {
            at: Instant::from_micros(now.saturating_add_signed(ahead).saturating_mul(TICK)),
            from: State::from_bits((value >> (TIME_BITS + 4)) as u32),
            to: cause.to(),
            generation,
            cause,
        })
    }

    fn entry(&self, generation: u32) -> &[Part; PARTS] {
        &self.0[generation as usize % LOG_LENGTH]
    }
}

/// The round of a generation.
fn round(generation: u32) -> Word {
    Word::from(generation / LOG_LENGTH as u32)
}

/// A part of an entry: `[round:11 | bits of the entry:53]`, or 21 bits with 32-bit words. It begins with all ones,
/// which is no cause.
#[derive(Debug)]
#[repr(transparent)]
struct Part(AtomicWord);

impl Part {
    const ROUND_BITS: u32 = Phase::GENERATION_BITS - LOG_LENGTH.trailing_zeros();
    /// Bits of the entry.
    const BITS: u32 = Word::BITS - Self::ROUND_BITS;

    const_fn! {
        const fn new() -> Self {
            Self(AtomicWord::new(Word::MAX))
        }
    }

    /// Writes the bits of a round, unless those of a newer one (up to half of all rounds ahead) are there.
    fn write(&self, round: Word, bits: Word) {
        let next = round << Self::BITS | bits & ((1 << Self::BITS) - 1);
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let ahead = (seen >> Self::BITS).wrapping_sub(round) & ((1 << Self::ROUND_BITS) - 1);
            if ahead != 0 && ahead < 1 << (Self::ROUND_BITS - 1) {
                return;
            }
            match self
                .0
                .compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    fn read(&self, round: Word) -> Option<Word> {
        let word = self.0.load(Ordering::Relaxed);
        (word >> Self::BITS == round).then_some(word & ((1 << Self::BITS) - 1))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_millis(1_234);

    #[test]
    fn every_cause_and_state_comes_back() {
        let log = Log::new();
        let mut generation = 0;
        for cause in (0..16).filter_map(Cause::from_bits) {
            for from in (0..5).map(State::from_bits) {
                log.write(generation, from, cause, NOW);
                let expected = Transition {
                    at: NOW,
                    from,
                    to: cause.to(),
                    generation,
                    cause,
                };
                assert_eq!(log.read(generation, NOW), Some(expected));
                generation += 1;
            }
        }
        assert_eq!(generation, 50);
    }

    #[test]
    fn what_was_never_written_is_not_there() {
        let log = Log::new();
        for generation in 0..1 << Phase::GENERATION_BITS {
            assert_eq!(log.read(generation, NOW), None);
        }
    }

    #[test]
    fn the_newer_one_stays() {
        let log = Log::new();
        log.write(9, State::Closed, Cause::Tripped, NOW);
        log.write(1, State::Closed, Cause::Reset, NOW);
        assert_eq!(log.read(1, NOW), None);
        assert_eq!(
            log.read(9, NOW).map(|seen| seen.cause),
            Some(Cause::Tripped)
        );
    }

    #[test]
    fn after_the_last_generation_comes_the_first() {
        let log = Log::new();
        let last = (1 << Phase::GENERATION_BITS) - 7;
        log.write(last, State::Closed, Cause::Disabled, NOW);
        log.write(1, State::Closed, Cause::Reset, NOW);
        log.write(last, State::Closed, Cause::Disabled, NOW);
        assert_eq!(log.read(last, NOW), None);
        assert_eq!(log.read(1, NOW).map(|seen| seen.cause), Some(Cause::Reset));
    }

    #[test]
    fn times_are_those_nearest_to_the_reader() {
        let log = Log::new();
        let day = 24 * 60 * 60 * 1_000_000;
        for written in [0, day, 20_000 * day, 1 << 50, u64::MAX / TICK * TICK] {
            let at = Instant::from_micros(written / TICK * TICK);
            log.write(3, State::Closed, Cause::Tripped, at);
            for now in [
                written,
                written.saturating_sub(190 * day),
                written.saturating_add(190 * day),
            ] {
                let seen = log.read(3, Instant::from_micros(now)).unwrap();
                assert_eq!(seen.at, at, "read at {now}");
            }
        }
    }
}
