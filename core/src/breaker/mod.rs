//! A circuit breaker: it stops calls to what keeps failing, and tries again by a few probes.
//!
//! ```
//! use core::time::Duration;
//! use weirpool_core::breaker::{Breaker, Config, Recorded, State, Verdict};
//! use weirpool_core::time::Instant;
//!
//! static BREAKER: Breaker = Breaker::new(Config { consecutive: Some(2), probes: 1, ..Config::DEFAULT });
//! let run = Duration::from_millis(3);
//!
//! let now = Instant::from_millis(1);
//! for expected in [Recorded::Counted, Recorded::Opened] {
//!     let permit = BREAKER.acquire(now).unwrap();
//!     assert_eq!(BREAKER.record(permit, Verdict::Failure, run, now), expected);
//! }
//! let pause = BREAKER.acquire(now).unwrap_err();
//!
//! let later = now.saturating_add(pause);
//! let probe = BREAKER.acquire(later).unwrap();
//! assert!(BREAKER.acquire(later).is_err());
//! assert_eq!(BREAKER.record(probe, Verdict::Success, run, later), Recorded::Closed);
//! assert_eq!(BREAKER.state(later), State::Closed);
//! ```
//!
//! # States
//! ```text
//!        consecutive, failure rate, slow rate            ┌─ lease over ─┐
//!     ┌───────────────────────────────────────┐          ▼              │
//!  Closed                                   Open ── pause over ──▶ HalfOpen     tripped ─▶ ForcedOpen
//!     ▲                                       ▲                      │  │       disabled ─▶ Disabled
//!     │                                       └──── probe failed ────┘  │          reset ─▶ Closed
//!     └───────────────────── probes succeeded ──────────────────────────┘       (from every state)
//! ```
//! *Closed* lets everything pass and counts outcomes; at a threshold of its [`Config`] it *opens*. *Open* refuses for a
//! pause. The first call after the pause makes it *half-open*: that call and a few others pass as probes. When all
//! probes have succeeded it closes; when one fails it opens for twice as long, up to a maximum. Probes that never
//! report are given up when their lease has run out: new ones pass in their place. An operator may force it open
//! ([`trip`](Breaker::trip)), [`disable`](Breaker::disable) it or [`reset`](Breaker::reset) it.
//!
//! What each call does, for a breaker of generation `g` and a permit of `p`; a change of state begins generation `g + 1`
//! and is noted with its [`Cause`]:
//!
//! | state | call | if | then | answer |
//! |---|---|---|---|---|
//! | Closed, Disabled | `acquire` | | | permit of `g` |
//! | Open | `acquire` | the pause runs | | wait for its rest |
//! | | | the pause is over | HalfOpen, 1 probe out | permit of `g + 1` |
//! | HalfOpen | `acquire` | fewer probes are out than `probes` | 1 more out | permit of `g` |
//! | | | the lease runs | | wait for its rest |
//! | | | the lease is over | HalfOpen, 1 probe out | permit of `g + 1` |
//! | ForcedOpen | `acquire` | | | wait for ever |
//! | any | `record`, `release` | `p` is not `g` | | `Stale` |
//! | Closed | `record` | no threshold is reached | the window moves | `Counted` |
//! | | | a threshold is reached | Open | `Opened` |
//! | HalfOpen | `record` | no probe is out (a second report) | | `Stale` |
//! | | | a failure, or slow | Open, twice the pause | `Opened` |
//! | | | a success before the last | 1 more succeeded | `Counted` |
//! | | | the last success | Closed, windows empty | `Closed` |
//! | | `release` | | 1 fewer out | `Counted` |
//! | Closed, Disabled | `release` | | | `Counted` |
//! | Disabled | `record` | | | `Counted` |
//!
//! The pattern is that of M. Nygard, *Release It!* (2007). Rates over a sliding window of counts and slow calls are as
//! in resilience4j, generations that turn late results away as in sony/gobreaker. Neither gives lost probes up by
//! itself, and a breaker that waits for them stays half-open for ever: hence the lease.
//!
//! # Generations
//! Every period between two changes of state has a *generation*. It stands in the state word and in each permit; a
//! result whose permit is of another generation is [`Recorded::Stale`] and changes nothing. To be mistaken, a permit
//! would have to outlive exactly 2^14 changes of state.
//!
//! # Orderings
//! One compare-and-swap of the state word decides every race. The countdown and the windows carry the generation that
//! they belong to, so a change of state needs no second step: whoever first finds one without its generation starts it
//! anew. They are released and acquired so that whoever sees the tag of a newer generation sees its state word too;
//! nothing else is ordered.
#![forbid(unsafe_code)]

use core::time::Duration;

use crate::{
    countdown::{Countdown, Left},
    error::ConfigError,
    sync::{Apart, AtomicU32, Ordering, const_fn},
    time::{Instant, micros},
};

use config::Rules;
use log::Log;
use phase::Phase;
use window::{History, Window};

pub use config::Config;
pub use log::{Cause, LOG_LENGTH, Transition};

mod config;
mod log;
mod phase;
mod window;

/// A circuit breaker that any number of contexts use at once.
///
/// Ask [`acquire`](Self::acquire) before a call and give its permit to exactly one of [`record`](Self::record) and
/// [`release`](Self::release) after it. Every operation is lock-free and takes constant time; a retry means that
/// another context changed the state. While closed, `acquire` is one load.
#[derive(Debug)]
#[repr(C)]
pub struct Breaker {
    /// When the pause (open) or the lease (half-open) of a generation ends.
    countdown: Countdown,
    /// The last outcomes of the last closed generation, 1 for a failure. It changes with every result, and the words
    /// beside it only with the state.
    failures: Apart<Window>,
    /// The same with 1 for a slow call.
    slow: Apart<Window>,
    log: Log,
    /// The state; the layout is [`Phase`]'s.
    phase: AtomicU32,
    /// How often it opened, modulo 2^32.
    opened: AtomicU32,
    /// How many results were stale, modulo 2^32.
    stale: AtomicU32,
    rules: Rules,
}

impl Breaker {
    const_fn! {
        /// A closed breaker.
        ///
        /// # Panics
        /// Where [`try_new`](Self::try_new) would fail; in a `static` that is an error of compilation.
        pub const fn new(config: Config) -> Self {
            match Self::try_new(config) {
                Ok(breaker) => breaker,
                Err(error) => panic!("{}", error.message()),
            }
        }

        /// A closed breaker, or the rule that its configuration breaks.
        pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
            match config.rules() {
                Ok(rules) => Ok(Self::build(rules, State::Closed)),
                Err(error) => Err(error),
            }
        }

        /// A breaker that lets everything pass. If it is reset, it works by [`Config::DEFAULT`].
        pub const fn disabled() -> Self {
            match Config::DEFAULT.rules() {
                Ok(rules) => Self::build(rules, State::Disabled),
                Err(_) => unreachable!(),
            }
        }

        const fn build(rules: Rules, state: State) -> Self {
            Self {
                countdown: Countdown::new(),
                failures: Apart(Window::new()),
                slow: Apart(Window::new()),
                log: Log::new(),
                phase: AtomicU32::new(Phase::first(state).0),
                opened: AtomicU32::new(0),
                stale: AtomicU32::new(0),
                rules,
            }
        }
    }

    /// Whether a call would be let through now. It takes nothing, so that calls can be refused long before they run.
    ///
    /// # Errors
    /// As for [`acquire`](Self::acquire).
    #[inline]
    pub fn check(&self, now: Instant) -> Result<(), Duration> {
        match self.refusal(self.phase(), now) {
            Some(retry_after) => Err(retry_after),
            None => Ok(()),
        }
    }

    /// Asks to make a call.
    ///
    /// # Errors
    /// How long to wait. While open that is the rest of the pause: after exactly that time a call is let through, and
    /// not a microsecond sooner (with 32-bit words the pause may be longer by up to a 2048th of the longest). While
    /// half-open it is the rest of the lease, though a result may come sooner; forced open, [`Duration::MAX`].
    #[inline]
    pub fn acquire(&self, now: Instant) -> Result<Permit, Duration> {
        let phase = self.phase();
        match phase.state() {
            State::Closed | State::Disabled => Ok(Permit::of(phase)),
            _ => self.acquire_probe(phase, now),
        }
    }

    /// Reports how a permitted call ended, and how long it ran. While closed, a success that follows
    /// [`Config::MAX_WINDOW`] others is three loads; any other outcome is a read-modify-write.
    #[inline]
    pub fn record(
        &self,
        permit: Permit,
        verdict: Verdict,
        run: Duration,
        now: Instant,
    ) -> Recorded {
        let phase = self.phase();
        let failure = verdict == Verdict::Failure;
        let watches_slow = self.rules.slow_rate != 0;
        let slow = watches_slow && micros(run) > self.rules.slow_call;
        let generation = permit.generation;
        let changes_nothing = match phase.state() {
            State::Closed => {
                !(failure || slow)
                    && self.failures.is_clean(generation)
                    && (!watches_slow || self.slow.is_clean(generation))
            }
            State::Disabled => true,
            _ => false,
        };
        if changes_nothing && phase.generation() == generation {
            return Recorded::Counted;
        }
        self.record_change(phase, permit, failure, slow, now)
    }

    /// Gives a permit back without an outcome (the call was not made, or says nothing): a probe's place is free again.
    pub fn release(&self, permit: Permit) -> Recorded {
        let mut phase = self.phase();
        loop {
            if phase.generation() != permit.generation {
                return self.stale();
            }
            if phase.state() != State::HalfOpen {
                return Recorded::Counted;
            }
            if phase.succeeded() >= phase.issued() {
                return self.stale();
            }
            match self.adjust(phase, phase.unissue()) {
                Ok(_) => return Recorded::Counted,
                Err(seen) => phase = seen,
            }
        }
    }

    /// Forces it open until [`reset`](Self::reset). Results of calls that run are stale.
    pub fn trip(&self, now: Instant) {
        let before = self.force(Cause::Tripped, now);
        if !matches!(before, State::Open | State::ForcedOpen) {
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Closes it, with empty windows and the first pause. Results of calls that run are stale.
    pub fn reset(&self, now: Instant) {
        self.force(Cause::Reset, now);
    }

    /// Lets everything pass and counts nothing until [`reset`](Self::reset). Results of calls that run are stale.
    pub fn disable(&self, now: Instant) {
        self.force(Cause::Disabled, now);
    }

    /// The state. Open with its pause run out reads half-open, since the next call will be a probe.
    pub fn state(&self, now: Instant) -> State {
        self.state_of(self.phase(), now)
    }

    /// Everything there is to show, read one after the other: exact when nobody else is at work.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let phase = self.phase();
        let failures = self.failures.last().recent(self.rules.window);
        let slow = self.slow.last().recent(self.rules.window);
        Snapshot {
            state: self.state_of(phase, now),
            generation: phase.generation(),
            failure_rate: failures.per_million(),
            slow_rate: slow.per_million(),
            opened: self.opened.load(Ordering::Relaxed),
            stale: self.stale.load(Ordering::Relaxed),
            retry_after: self.refusal(phase, now),
        }
    }

    /// The last changes of state, oldest first. One that is being noted at this moment, or that was overwritten during
    /// the call, is left out.
    ///
    /// With 32-bit words their times are whole milliseconds. Times are right if they are within 198 days of `now`.
    pub fn transitions(&self, now: Instant) -> heapless::Vec<Transition, LOG_LENGTH> {
        let present = self.phase().generation();
        (0..LOG_LENGTH as u32)
            .rev()
            .filter_map(|back| self.log.read(Phase::generation_before(present, back), now))
            .collect()
    }

    #[inline(always)]
    fn phase(&self) -> Phase {
        Phase(self.phase.load(Ordering::Relaxed))
    }

    /// Whether a generation is the present one.
    #[inline(always)]
    fn is_present(&self, generation: u32) -> bool {
        self.phase().generation() == generation
    }

    /// Begins the next generation: the one step of every change of state. The countdown and the windows follow; until
    /// they do, their tags are of the past.
    #[cold]
    fn begin(&self, from: Phase, cause: Cause, now: Instant) -> Result<Phase, Phase> {
        let phase = self.adjust(from, from.enter(cause.to()))?;
        let generation = phase.generation();
        self.log.write(generation, from.state(), cause, now);
        // Not left to the first observer alone, so that no tag survives until its number comes round again.
        self.left(phase, now);
        if phase.state() == State::Closed {
            self.failures
                .begin(generation, || self.is_present(generation));
            self.slow.begin(generation, || self.is_present(generation));
        }
        Ok(phase)
    }

    /// Replaces the state word, if it still is as seen; else what it is now.
    fn adjust(&self, from: Phase, to: Phase) -> Result<Phase, Phase> {
        match self
            .phase
            .compare_exchange(from.0, to.0, Ordering::Relaxed, Ordering::Relaxed)
        {
            Ok(_) => Ok(to),
            Err(seen) => Err(Phase(seen)),
        }
    }

    /// Asks to make a call while not every call is let through.
    #[cold]
    fn acquire_probe(&self, mut phase: Phase, now: Instant) -> Result<Permit, Duration> {
        loop {
            let changed = match phase.state() {
                State::Closed | State::Disabled => return Ok(Permit::of(phase)),
                State::ForcedOpen => return Err(Duration::MAX),
                State::HalfOpen if phase.issued() < self.rules.probes => {
                    self.adjust(phase, phase.issue())
                }
                state => match self.left(phase, now) {
                    Left::Some(left) => return Err(left),
                    Left::None if state == State::Open => self.begin(phase, Cause::PauseOver, now),
                    Left::None => self.begin(phase, Cause::LeaseOver, now),
                    Left::Stale => Err(self.phase()),
                },
            };
            match changed {
                Ok(phase) => return Ok(Permit::of(phase)),
                Err(seen) => phase = seen,
            }
        }
    }

    /// Reports an outcome that may change something.
    fn record_change(
        &self,
        phase: Phase,
        permit: Permit,
        failure: bool,
        slow: bool,
        now: Instant,
    ) -> Recorded {
        if phase.generation() != permit.generation {
            return self.stale();
        }
        if phase.state() != State::Closed {
            // A slow probe has not shown that calls are fast again.
            return self.record_probe(phase, failure || slow, now);
        }
        match self.count(phase, failure, slow) {
            Count::Below => Recorded::Counted,
            // Closed, the state word changes only with the generation.
            Count::Reached(cause) => match self.open(phase, cause, now) {
                Ok(opened) => opened,
                Err(_) => self.stale(),
            },
            Count::Stale => self.stale(),
        }
    }

    /// Reports how a probe ended.
    #[cold]
    fn record_probe(&self, mut phase: Phase, bad: bool, now: Instant) -> Recorded {
        let generation = phase.generation();
        loop {
            // Else it is a second report for one permit: no probe is out. (No permit is ever of an open generation.)
            if phase.state() != State::HalfOpen || phase.succeeded() >= phase.issued() {
                return self.stale();
            }
            let recorded = if bad {
                self.open(phase, Cause::ProbeFailed, now)
            } else if phase.succeeded() + 1 >= self.rules.probes {
                self.begin(phase, Cause::ProbesSucceeded, now)
                    .map(|_| Recorded::Closed)
            } else {
                self.adjust(phase, phase.succeed())
                    .map(|_| Recorded::Counted)
            };
            match recorded {
                Ok(recorded) => return recorded,
                Err(seen) if seen.generation() == generation => phase = seen,
                Err(_) => return self.stale(),
            }
        }
    }

    /// Opens it, unless its state has changed.
    #[cold]
    fn open(&self, phase: Phase, cause: Cause, now: Instant) -> Result<Recorded, Phase> {
        self.begin(phase, cause, now)?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Recorded::Opened)
    }

    fn force(&self, cause: Cause, now: Instant) -> State {
        let mut phase = self.phase();
        loop {
            match self.begin(phase, cause, now) {
                Ok(_) => return phase.state(),
                Err(seen) => phase = seen,
            }
        }
    }

    fn stale(&self) -> Recorded {
        self.stale.fetch_add(1, Ordering::Relaxed);
        Recorded::Stale
    }

    fn state_of(&self, phase: Phase, now: Instant) -> State {
        match phase.state() {
            State::Open if self.refusal(phase, now).is_none() => State::HalfOpen,
            state => state,
        }
    }

    /// How long a call would have to wait; writes nothing.
    #[inline(always)]
    fn refusal(&self, phase: Phase, now: Instant) -> Option<Duration> {
        match phase.state() {
            State::Closed | State::Disabled => None,
            State::ForcedOpen => Some(Duration::MAX),
            State::HalfOpen if phase.issued() < self.rules.probes => None,
            State::Open | State::HalfOpen => {
                let span = self.rules.span(phase);
                self.countdown.peek(phase.generation(), span, now)
            }
        }
    }

    /// What is left of the phase's pause or lease, which starts now if nobody has started it.
    fn left(&self, phase: Phase, now: Instant) -> Left {
        let (generation, span) = (phase.generation(), self.rules.span(phase));
        self.countdown
            .left(generation, span, now, || self.is_present(generation))
    }

    /// Counts an outcome in the windows of a closed phase.
    #[inline(always)]
    fn count(&self, phase: Phase, failure: bool, slow: bool) -> Count {
        let rules = &self.rules;
        let generation = phase.generation();
        let is_present = || self.is_present(generation);
        let (mut failures, mut slows) = (History::NONE, History::NONE);
        if rules.consecutive != 0 || rules.failure_rate != 0 {
            let Some(history) = self.failures.push(failure, generation, is_present) else {
                return Count::Stale;
            };
            failures = history;
        }
        if rules.slow_rate != 0 {
            let Some(history) = self.slow.push(slow, generation, is_present) else {
                return Count::Stale;
            };
            slows = history;
        }
        // A share rises by a bad outcome alone, and counts from the outcome on that makes up the minimum: no other
        // outcome can reach a threshold.
        let minimum = u32::from(rules.minimum_calls);
        if failure || slow || failures.len() == minimum || slows.len() == minimum {
            self.reached(failures, slows)
                .map_or(Count::Below, Count::Reached)
        } else {
            Count::Below
        }
    }

    /// The threshold that is reached, of several the first in the order of [`Cause`].
    fn reached(&self, failures: History, slows: History) -> Option<Cause> {
        let Rules {
            consecutive,
            failure_rate,
            slow_rate,
            window,
            minimum_calls,
            ..
        } = self.rules;
        if consecutive != 0 && failures.consecutive() >= consecutive {
            Some(Cause::Consecutive)
        } else if failures.recent(window).reaches(failure_rate, minimum_calls) {
            Some(Cause::FailureRate)
        } else if slows.recent(window).reaches(slow_rate, minimum_calls) {
            Some(Cause::SlowRate)
        } else {
            None
        }
    }
}

/// What an outcome did to the windows.
enum Count {
    /// No threshold is reached.
    Below,
    /// This threshold is reached.
    Reached(Cause),
    /// The phase is over.
    Stale,
}

/// The right to make one call. Give it to exactly one of [`Breaker::record`] and [`Breaker::release`]; one that is lost
/// costs nothing while closed, and a lease while half-open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a permit must be recorded or released"]
pub struct Permit {
    generation: u32,
}

impl Permit {
    const fn of(phase: Phase) -> Self {
        Self {
            generation: phase.generation(),
        }
    }

    /// Its generation: 14 bits.
    pub(crate) const fn to_bits(self) -> u32 {
        self.generation
    }

    pub(crate) const fn from_bits(generation: u32) -> Self {
        Self { generation }
    }
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It did what it should.
    Success,
    /// It did not.
    Failure,
}

/// What a report did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recorded {
    /// The state stays as it is.
    Counted,
    /// This report opened the breaker; no other report says so for the same change.
    Opened,
    /// This report closed the breaker.
    Closed,
    /// The permit is of an earlier period: nothing changed.
    Stale,
}

/// The state of a breaker.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum State {
    /// Calls pass and are counted.
    Closed = 0,
    /// Calls are refused until the pause has run out.
    Open = 1,
    /// A few calls pass as probes.
    HalfOpen = 2,
    /// Calls are refused until an operator resets it.
    ForcedOpen = 3,
    /// Calls pass and are not counted.
    Disabled = 4,
}

impl State {
    #[inline(always)]
    const fn from_bits(bits: u32) -> Self {
        match bits & 7 {
            0 => Self::Closed,
            1 => Self::Open,
            2 => Self::HalfOpen,
            3 => Self::ForcedOpen,
            _ => Self::Disabled,
        }
    }
}

/// What there is to show of a breaker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The state, as [`Breaker::state`] has it.
    pub state: State,
    /// The number of changes of state, modulo 2^14.
    pub generation: u32,
    /// Failures in a million outcomes of the window, of the last closed period; 0 if there are none.
    pub failure_rate: u32,
    /// Slow calls in a million of the window, of the last closed period; 0 if there are none.
    pub slow_rate: u32,
    /// How often it opened, by itself or by an operator, modulo 2^32.
    pub opened: u32,
    /// How many results came too late to count, modulo 2^32.
    pub stale: u32,
    /// How long a call would have to wait; `None` if it would pass.
    pub retry_after: Option<Duration>,
}
