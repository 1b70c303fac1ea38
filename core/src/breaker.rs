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
//! *Closed* lets everything pass and counts outcomes; at a threshold of its [`Config`] it *opens*. *Open* refuses for a
//! pause. The first call after the pause makes it *half-open*: that call and a few others pass as probes. When all
//! probes have succeeded it closes; when one fails it opens for twice as long, up to a maximum. Probes that never
//! report are given up when their lease has run out: new ones pass in their place. An operator may force it open
//! ([`trip`](Breaker::trip)), disable it or [`reset`](Breaker::reset) it.
//!
//! # Generations
//! Every period between two changes of state has a *generation*. It stands in the state word and in each permit; a
//! result whose permit is of another generation is [`Recorded::Stale`] and changes nothing. To be mistaken, a permit
//! would have to outlive exactly 2^14 changes of state.
//!
//! # Orderings
//! One compare-and-swap of the state word decides every race. The clock and the windows carry the generation that they
//! belong to, so a change of state needs no second step: whoever first finds one without its generation starts it anew.
//! They are released and acquired so that whoever sees the tag of a newer generation sees its state word too; nothing
//! else is ordered.
#![forbid(unsafe_code)]

use core::time::Duration;

use crate::{
    error::ConfigError,
    sync::{Apart, AtomicU32, AtomicWord, Ordering, Word, const_fn},
    time::{Instant, micros},
};

/// A circuit breaker that any number of contexts use at once.
///
/// Ask [`acquire`](Self::acquire) before a call and give its permit to exactly one of [`record`](Self::record) and
/// [`release`](Self::release) after it. Every operation is lock-free and takes constant time; a retry means that
/// another context changed the state. While closed, `acquire` is one load.
#[derive(Debug)]
#[repr(C)]
pub struct Breaker {
    /// `[tag:14 | instant:50]` in microseconds, or `[tag:8 | instant:24]` in ticks with 32-bit words: when the pause
    /// (open) or the lease (half-open) of the generation `tag` ends. Its first observer writes it.
    clock: AtomicWord,
    /// The state; the layout is [`Phase`]'s.
    phase: AtomicU32,
    /// How often it opened, modulo 2^32.
    opened: AtomicU32,
    /// How many results were stale, modulo 2^32.
    stale: AtomicU32,
    rules: Rules,
    /// Written at every result, where the words above only change with the state.
    windows: Apart<Windows>,
}

#[derive(Debug)]
#[repr(C)]
struct Windows {
    /// The last outcomes of the closed generation `tag`, 1 for a failure; the layout is [`History`]'s.
    failures: AtomicWord,
    /// The same with 1 for a slow call.
    slow: AtomicWord,
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
                clock: AtomicWord::new(0),
                phase: AtomicU32::new(Phase::first(state).0),
                opened: AtomicU32::new(0),
                stale: AtomicU32::new(0),
                rules,
                windows: Apart(Windows { failures: AtomicWord::new(0), slow: AtomicWord::new(0) }),
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
    /// not a microsecond sooner (with 32-bit words the pause may be longer by up to 1/4096 of the longest). While
    /// half-open it is the rest of the lease, though a result may come sooner; forced open, [`Duration::MAX`].
    #[inline]
    pub fn acquire(&self, now: Instant) -> Result<Permit, Duration> {
        let mut phase = self.phase();
        loop {
            let next = match phase.state() {
                State::Closed | State::Disabled => {
                    return Ok(Permit {
                        generation: phase.generation(),
                    });
                }
                State::ForcedOpen => return Err(Duration::MAX),
                State::HalfOpen if phase.issued() < self.rules.probes => phase.issue(),
                State::Open | State::HalfOpen => match self.remaining(phase, now) {
                    Remaining::Some(left) => return Err(left),
                    Remaining::None => phase.next(State::HalfOpen).issue(),
                    Remaining::Stale => {
                        phase = self.phase();
                        continue;
                    }
                },
            };
            match self.change(phase, next, now) {
                Ok(()) => {
                    return Ok(Permit {
                        generation: next.generation(),
                    });
                }
                Err(seen) => phase = seen,
            }
        }
    }

    /// Reports how a permitted call ended, and how long it ran.
    pub fn record(
        &self,
        permit: Permit,
        verdict: Verdict,
        run: Duration,
        now: Instant,
    ) -> Recorded {
        let slow = self.rules.slow_rate != 0 && micros(run) > self.rules.slow_call;
        let failure = verdict == Verdict::Failure;
        let mut phase = self.phase();
        loop {
            if phase.generation() != permit.generation {
                return self.stale();
            }
            let (next, recorded) = match phase.state() {
                State::Disabled => return Recorded::Counted,
                State::Closed => match self.count(phase, failure, slow) {
                    None => return self.stale(),
                    Some(false) => return Recorded::Counted,
                    Some(true) => (phase.open(), Recorded::Opened),
                },
                // A second report for one permit: no probe is out.
                State::HalfOpen if phase.succeeded() >= phase.issued() => return self.stale(),
                // A slow probe has not shown that calls are fast again.
                State::HalfOpen if failure || slow => (phase.open(), Recorded::Opened),
                State::HalfOpen if phase.succeeded() + 1 >= self.rules.probes => {
                    (phase.close(), Recorded::Closed)
                }
                State::HalfOpen => (phase.succeed(), Recorded::Counted),
                // No permit is ever of these generations.
                State::Open | State::ForcedOpen => return self.stale(),
            };
            match self.change(phase, next, now) {
                Ok(()) => {
                    if recorded == Recorded::Opened {
                        self.opened.fetch_add(1, Ordering::Relaxed);
                    }
                    return recorded;
                }
                Err(seen) => phase = seen,
            }
        }
    }

    /// Gives a permit back without an outcome (the call was not made, or says nothing): a probe's place is free again.
    pub fn release(&self, permit: Permit, now: Instant) -> Recorded {
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
            match self.change(phase, phase.unissue(), now) {
                Ok(()) => return Recorded::Counted,
                Err(seen) => phase = seen,
            }
        }
    }

    /// Forces it open until [`reset`](Self::reset). Results of calls that run are stale.
    pub fn trip(&self, now: Instant) {
        let before = self.force(State::ForcedOpen, now);
        if !matches!(before, State::Open | State::ForcedOpen) {
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Closes it, with empty windows and the first pause. Results of calls that run are stale.
    pub fn reset(&self, now: Instant) {
        self.force(State::Closed, now);
    }

    /// Lets everything pass and counts nothing until [`reset`](Self::reset). Results of calls that run are stale.
    pub fn disable(&self, now: Instant) {
        self.force(State::Disabled, now);
    }

    /// The state. Open with its pause run out reads half-open, since the next call will be a probe.
    pub fn state(&self, now: Instant) -> State {
        self.state_of(self.phase(), now)
    }

    /// Everything there is to show, read one after the other: exact when nobody else is at work.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let phase = self.phase();
        let failures =
            History(self.windows.failures.load(Ordering::Relaxed)).recent(self.rules.window);
        let slow = History(self.windows.slow.load(Ordering::Relaxed)).recent(self.rules.window);
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

    #[inline(always)]
    fn phase(&self) -> Phase {
        Phase(self.phase.load(Ordering::Relaxed))
    }

    /// The one step of every change. The clock and the windows follow; until they do, their tags are of the past.
    fn change(&self, from: Phase, to: Phase, now: Instant) -> Result<(), Phase> {
        self.phase
            .compare_exchange(from.0, to.0, Ordering::Relaxed, Ordering::Relaxed)
            .map_err(Phase)?;
        if to.generation() != from.generation() {
            // Not left to the first observer alone, so that no tag survives until its number comes round again.
            self.remaining(to, now);
            if to.state() == State::Closed {
                self.update(&self.windows.failures, to, |history| history);
                self.update(&self.windows.slow, to, |history| history);
            }
        }
        Ok(())
    }

    fn force(&self, state: State, now: Instant) -> State {
        let mut phase = self.phase();
        loop {
            let next = match state {
                State::Closed => phase.close(),
                _ => phase.next(state),
            };
            match self.change(phase, next, now) {
                Ok(()) => return phase.state(),
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
                let clock = Clock(self.clock.load(Ordering::Relaxed));
                if clock.is_of(phase) {
                    clock.remaining(&self.rules, now)
                } else {
                    // Not started yet, so the whole time is left.
                    Some(Duration::from_micros(self.rules.span(phase)))
                }
            }
        }
    }

    /// What is left of the phase's pause or lease, which starts now if nobody has started it.
    fn remaining(&self, phase: Phase, now: Instant) -> Remaining {
        let mut clock = Clock(self.clock.load(Ordering::Acquire));
        while !clock.is_of(phase) {
            // If the tag were of a newer generation, this load would see that generation.
            if self.phase().generation() != phase.generation() {
                return Remaining::Stale;
            }
            let fresh = Clock::new(&self.rules, phase, now);
            match self.clock.compare_exchange(
                clock.0,
                fresh.0,
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => clock = fresh,
                Err(seen) => clock = Clock(seen),
            }
        }
        match clock.remaining(&self.rules, now) {
            Some(left) => Remaining::Some(left),
            None => Remaining::None,
        }
    }

    /// Counts an outcome in the windows of a closed phase: whether a threshold is reached, or `None` if the phase is over.
    #[inline(always)]
    fn count(&self, phase: Phase, failure: bool, slow: bool) -> Option<bool> {
        let rules = &self.rules;
        let mut reached = false;
        if rules.consecutive != 0 || rules.failure_rate != 0 {
            let history = self.update(&self.windows.failures, phase, |history| {
                history.push(failure)
            })?;
            reached |= rules.consecutive != 0 && history.consecutive() >= rules.consecutive;
            reached |= history
                .recent(rules.window)
                .reaches(rules.failure_rate, rules.minimum_calls);
        }
        if rules.slow_rate != 0 {
            let history = self.update(&self.windows.slow, phase, |history| history.push(slow))?;
            reached |= history
                .recent(rules.window)
                .reaches(rules.slow_rate, rules.minimum_calls);
        }
        Some(reached)
    }

    /// Changes the window of a phase, which is empty if its tag is of the past; `None` if the phase is over.
    #[inline(always)]
    fn update(
        &self,
        word: &AtomicWord,
        phase: Phase,
        change: impl Fn(History) -> History,
    ) -> Option<History> {
        let mut seen = word.load(Ordering::Acquire);
        loop {
            let history = if History(seen).is_of(phase) {
                History(seen)
            } else if self.phase().generation() == phase.generation() {
                // The tag is of the past: had it been newer, this load would have seen its generation.
                History::empty(phase)
            } else {
                return None;
            };
            let next = change(history);
            // A full window of successes stays as it is: the usual case writes nothing.
            if next.0 == seen {
                return Some(next);
            }
            match word.compare_exchange_weak(seen, next.0, Ordering::Release, Ordering::Acquire) {
                Ok(_) => return Some(next),
                Err(now) => seen = now,
            }
        }
    }
}

/// When a breaker opens, and how it tries again.
///
/// A threshold that is `None` is not watched. The rates look at the last [`window`](Self::window) outcomes of the
/// present closed period, once there are [`minimum_calls`](Self::minimum_calls).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Opens after so many failures in a row, 1 to [`Config::MAX_WINDOW`].
    pub consecutive: Option<u32>,
    /// Opens when so many of a hundred outcomes are failures, 1 to 100.
    pub failure_rate: Option<u8>,
    /// Opens when so many of a hundred calls are slow, 1 to 100. It needs [`slow_call`](Self::slow_call).
    pub slow_rate: Option<u8>,
    /// A call that runs longer than this is slow, in whole microseconds. It needs [`slow_rate`](Self::slow_rate).
    pub slow_call: Option<Duration>,
    /// How many outcomes the rates look at, 1 to [`Config::MAX_WINDOW`].
    pub window: u8,
    /// The least number of outcomes for a rate, 1 to the window.
    pub minimum_calls: u8,
    /// The first pause, at least 1 µs. Every failed probe doubles it.
    pub pause: Duration,
    /// The longest pause, at most [`Config::MAX_PAUSE`].
    pub max_pause: Duration,
    /// How many probes must succeed, and how many are let through for that, 1 to [`Config::MAX_PROBES`].
    pub probes: u8,
    /// How long the probes may take to report before new ones are let through, 1 µs to [`Config::MAX_PAUSE`].
    pub lease: Duration,
}

impl Config {
    /// Five failures in a row or half of the last 20 outcomes (at least 10); 10 s of pause, doubling to 60 s; 3 probes
    /// with a lease of 30 s.
    pub const DEFAULT: Self = Self {
        consecutive: Some(5),
        failure_rate: Some(50),
        slow_rate: None,
        slow_call: None,
        window: 20,
        minimum_calls: 10,
        pause: Duration::from_secs(10),
        max_pause: Duration::from_secs(60),
        probes: 3,
        lease: Duration::from_secs(30),
    };

    /// The longest history of outcomes: 40, or 20 with 32-bit words.
    pub const MAX_WINDOW: u8 = History::LENGTH as u8;
    /// Most probes.
    pub const MAX_PROBES: u8 = Phase::MAX as u8;
    /// The longest pause and lease.
    pub const MAX_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

    const fn rules(&self) -> Result<Rules, ConfigError> {
        let consecutive = match self.consecutive {
            Some(n) if n == 0 || n > Self::MAX_WINDOW as u32 => {
                return Err(ConfigError::new(
                    "consecutive failures are from 1 to the longest window",
                ));
            }
            Some(n) => n,
            None => 0,
        };
        let (Ok(failure_rate), Ok(slow_rate)) =
            (percent(self.failure_rate), percent(self.slow_rate))
        else {
            return Err(ConfigError::new(
                "a breaker's rates are from 1 to 100 percent",
            ));
        };
        let slow_call = match self.slow_call {
            Some(slow_call) if slow_rate != 0 => micros(slow_call),
            None if slow_rate == 0 => u64::MAX,
            _ => {
                return Err(ConfigError::new(
                    "the slow rate and the slow call are given together",
                ));
            }
        };
        if self.window == 0 || self.window > Self::MAX_WINDOW {
            return Err(ConfigError::new(
                "a breaker's window is from 1 to 40 outcomes, or 20 with 32-bit words",
            ));
        }
        if self.minimum_calls == 0 || self.minimum_calls > self.window {
            return Err(ConfigError::new(
                "a breaker's minimum of calls is from 1 to its window",
            ));
        }
        if self.probes == 0 || self.probes > Self::MAX_PROBES {
            return Err(ConfigError::new("a breaker's probes are from 1 to 31"));
        }
        let (pause, max_pause, lease) = (
            micros(self.pause),
            micros(self.max_pause),
            micros(self.lease),
        );
        if pause == 0 || pause > max_pause || max_pause > micros(Self::MAX_PAUSE) {
            return Err(ConfigError::new(
                "a breaker's pause is from 1 µs to its longest, which is at most 24 hours",
            ));
        }
        if lease == 0 || lease > micros(Self::MAX_PAUSE) {
            return Err(ConfigError::new(
                "a breaker's lease is from 1 µs to 24 hours",
            ));
        }
        let longest = if max_pause > lease { max_pause } else { lease };
        Ok(Rules {
            pause,
            max_pause,
            lease,
            slow_call,
            consecutive,
            probes: self.probes as u32,
            tick_shift: Clock::tick_shift(longest),
            window: self.window,
            minimum_calls: self.minimum_calls,
            failure_rate,
            slow_rate,
        })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The right to make one call. Give it to exactly one of [`Breaker::record`] and [`Breaker::release`]; one that is lost
/// costs nothing while closed, and a lease while half-open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a permit must be recorded or released"]
pub struct Permit {
    generation: u32,
}

impl Permit {
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

/// A checked [`Config`]: times in µs, 0 for a threshold that is not watched.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Rules {
    pause: u64,
    max_pause: u64,
    lease: u64,
    slow_call: u64,
    consecutive: u32,
    probes: u32,
    tick_shift: u32,
    window: u8,
    minimum_calls: u8,
    failure_rate: u8,
    slow_rate: u8,
}

impl Rules {
    /// How long the pause or the lease of a phase lasts.
    fn span(&self, phase: Phase) -> u64 {
        match phase.state() {
            State::Open => {
                // At most 2^37 µs times 2^30: no overflow.
                let doublings = phase.trips().saturating_sub(1).min(30);
                (u128::from(self.pause) << doublings).min(u128::from(self.max_pause)) as u64
            }
            State::HalfOpen => self.lease,
            State::Closed | State::ForcedOpen | State::Disabled => 0,
        }
    }

    /// The longest span in ticks, rounded up.
    fn longest(&self) -> u64 {
        self.max_pause
            .max(self.lease)
            .div_ceil(1 << self.tick_shift)
    }
}

/// What is left of a pause or lease.
enum Remaining {
    Some(Duration),
    None,
    /// The phase is over.
    Stale,
}

/// The state word: `[generation:14 | state:3 | trips:5 | issued:5 | succeeded:5]`.
///
/// `trips` is how often it opened since it was closed (up to 31), `issued` how many probes of this generation are out or
/// succeeded, `succeeded` how many of them succeeded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Phase(u32);

impl Phase {
    const GENERATION_SHIFT: u32 = 18;
    const STATE_SHIFT: u32 = 15;
    const TRIPS_SHIFT: u32 = 10;
    const ISSUED: u32 = 1 << 5;
    const SUCCEEDED: u32 = 1;
    /// The largest number in five bits.
    const MAX: u32 = 31;

    const fn first(state: State) -> Self {
        Self((state as u32) << Self::STATE_SHIFT)
    }

    const fn generation(self) -> u32 {
        self.0 >> Self::GENERATION_SHIFT
    }

    #[inline(always)]
    const fn state(self) -> State {
        match self.0 >> Self::STATE_SHIFT & 7 {
            0 => State::Closed,
            1 => State::Open,
            2 => State::HalfOpen,
            3 => State::ForcedOpen,
            _ => State::Disabled,
        }
    }

    const fn trips(self) -> u32 {
        self.0 >> Self::TRIPS_SHIFT & Self::MAX
    }

    const fn issued(self) -> u32 {
        (self.0 / Self::ISSUED) & Self::MAX
    }

    const fn succeeded(self) -> u32 {
        self.0 & Self::MAX
    }

    /// The next generation, in a state, with the same trips and no probes.
    const fn next(self, state: State) -> Self {
        let generation = (self.generation() + 1) << Self::GENERATION_SHIFT;
        Self(generation | (state as u32) << Self::STATE_SHIFT | self.trips() << Self::TRIPS_SHIFT)
    }

    const fn open(self) -> Self {
        let next = self.next(State::Open);
        if self.trips() == Self::MAX {
            next
        } else {
            Self(next.0 + (1 << Self::TRIPS_SHIFT))
        }
    }

    const fn close(self) -> Self {
        let next = self.next(State::Closed);
        Self(next.0 & !(Self::MAX << Self::TRIPS_SHIFT))
    }

    const fn issue(self) -> Self {
        Self(self.0 + Self::ISSUED)
    }

    const fn unissue(self) -> Self {
        Self(self.0 - Self::ISSUED)
    }

    const fn succeed(self) -> Self {
        Self(self.0 + Self::SUCCEEDED)
    }
}

/// The clock word: when the span of the tagged generation ends, in ticks modulo its bits.
#[derive(Clone, Copy)]
struct Clock(Word);

impl Clock {
    const INSTANT_BITS: u32 = if Word::BITS == 64 { 50 } else { 24 };
    const INSTANT: u64 = (1 << Self::INSTANT_BITS) - 1;

    /// A tick is 2^this µs. With wide words a tick is a microsecond; with narrow ones the longest span is at most 4096
    /// ticks, so that an end that was never observed looks like a future one for 1 of 2048 wraps at most.
    const fn tick_shift(longest: u64) -> u32 {
        let mut shift = 0;
        while Word::BITS < 64 && longest >> shift > 4096 {
            shift += 1;
        }
        shift
    }

    fn new(rules: &Rules, phase: Phase, now: Instant) -> Self {
        let end = now.as_micros().saturating_add(rules.span(phase));
        let whole = end >> rules.tick_shift;
        let ticks = if whole << rules.tick_shift == end {
            whole
        } else {
            whole + 1
        };
        Self(Word::from(phase.generation()) << Self::INSTANT_BITS | (ticks & Self::INSTANT) as Word)
    }

    fn is_of(self, phase: Phase) -> bool {
        (self.0 >> Self::INSTANT_BITS)
            == Word::from(phase.generation()) << Self::INSTANT_BITS >> Self::INSTANT_BITS
    }

    /// The time to the end; `None` if it has passed. An end that is further off than twice the longest span is one that
    /// passed long ago, or was set by another clock.
    fn remaining(self, rules: &Rules, now: Instant) -> Option<Duration> {
        let now = now.as_micros();
        #[allow(clippy::unnecessary_cast, reason = "a word may be 32 bits")]
        let ahead = (self.0 as u64).wrapping_sub(now >> rules.tick_shift) & Self::INSTANT;
        if ahead == 0 || ahead > 2 * rules.longest() {
            return None;
        }
        let part = now & ((1 << rules.tick_shift) - 1);
        Some(Duration::from_micros((ahead << rules.tick_shift) - part))
    }
}

/// A window word: `[tag:14 | spare:4 | length:6 | outcomes:40]`, or `[tag:7 | length:5 | outcomes:20]` with 32-bit words.
/// The newest outcome is the lowest bit; bits above the length are 0.
#[derive(Clone, Copy)]
struct History(Word);

impl History {
    const LENGTH: u32 = if Word::BITS == 64 { 40 } else { 20 };
    const TAG_SHIFT: u32 = if Word::BITS == 64 { 50 } else { 25 };
    const ONE: Word = 1 << Self::LENGTH;
    const OUTCOMES: Word = Self::ONE - 1;

    fn empty(phase: Phase) -> Self {
        Self(Word::from(phase.generation()) << Self::TAG_SHIFT)
    }

    fn is_of(self, phase: Phase) -> bool {
        self.0 >> Self::TAG_SHIFT == Self::empty(phase).0 >> Self::TAG_SHIFT
    }

    fn len(self) -> u32 {
        #[allow(clippy::unnecessary_cast, reason = "a word may be 64 bits")]
        let length = ((self.0 & ((1 << Self::TAG_SHIFT) - 1)) >> Self::LENGTH) as u32;
        length
    }

    fn push(self, outcome: bool) -> Self {
        let head = self.0 & !Self::OUTCOMES;
        let head = if self.len() < Self::LENGTH {
            head + Self::ONE
        } else {
            head
        };
        Self(head | (self.0 << 1 | Word::from(outcome)) & Self::OUTCOMES)
    }

    /// How many of the newest outcomes are 1 in a row.
    fn consecutive(self) -> u32 {
        (self.0 & Self::OUTCOMES).trailing_ones()
    }

    fn recent(self, window: u8) -> Share {
        let mask = (1 << window) - 1;
        Share {
            ones: (self.0 & mask).count_ones(),
            of: self.len().min(u32::from(window)),
        }
    }
}

/// A number out of a number of outcomes.
#[derive(Clone, Copy)]
struct Share {
    ones: u32,
    of: u32,
}

impl Share {
    fn reaches(self, percent: u8, minimum: u8) -> bool {
        percent != 0
            && self.of >= u32::from(minimum)
            && self.ones * 100 >= u32::from(percent) * self.of
    }

    fn per_million(self) -> u32 {
        (self.ones * 1_000_000).checked_div(self.of).unwrap_or(0)
    }
}

const fn percent(rate: Option<u8>) -> Result<u8, ()> {
    match rate {
        None => Ok(0),
        Some(rate @ 1..=100) => Ok(rate),
        Some(_) => Err(()),
    }
}
