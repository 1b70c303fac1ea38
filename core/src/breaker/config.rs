//! The configuration of a breaker.
#![forbid(unsafe_code)]

use core::time::Duration;

use super::{State, phase::Phase, window::History};
use crate::{countdown::Span, error::ConfigError, time::micros};

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

    pub(super) const fn rules(&self) -> Result<Rules, ConfigError> {
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
        Ok(Rules {
            pause,
            max_pause,
            lease,
            slow_call,
            consecutive,
            probes: self.probes as u32,
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

/// A checked [`Config`]: times in µs, 0 for a threshold that is not watched.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Rules {
    pause: u64,
    max_pause: u64,
    lease: u64,
    pub(super) slow_call: u64,
    pub(super) consecutive: u32,
    pub(super) probes: u32,
    pub(super) window: u8,
    pub(super) minimum_calls: u8,
    pub(super) failure_rate: u8,
    pub(super) slow_rate: u8,
}

impl Rules {
    /// How long the pause or the lease of a phase lasts.
    pub(super) fn span(&self, phase: Phase) -> Span {
        let length = match phase.state() {
            State::Open => {
                // At most 2^37 µs times 2^30: no overflow.
                let doublings = phase.trips().saturating_sub(1).min(30);
                (u128::from(self.pause) << doublings).min(u128::from(self.max_pause)) as u64
            }
            State::HalfOpen => self.lease,
            State::Closed | State::ForcedOpen | State::Disabled => 0,
        };
        Span {
            length,
            longest: self.max_pause.max(self.lease),
        }
    }
}

const fn percent(rate: Option<u8>) -> Result<u8, ()> {
    match rate {
        None => Ok(0),
        Some(rate @ 1..=100) => Ok(rate),
        Some(_) => Err(()),
    }
}
