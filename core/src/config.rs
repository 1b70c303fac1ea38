//! How a pool is set up.
#![forbid(unsafe_code)]

use core::time::Duration;

#[cfg(doc)]
use crate::pool::{Pool, Refusal, Submit};
use crate::{
    adaptive, breaker,
    error::ConfigError,
    key::MAX_STEP,
    rate::Quota,
    retry::{Allowance, Policy},
};

/// How a pool is set up.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Most jobs that wait, delayed ones included. `capacity + most_running` must not exceed the pool's slots.
    ///
    /// Retries keep their slots: they may take what waits beyond the capacity, by at most `most_running`, and nothing is
    /// admitted then until enough have left.
    pub capacity: usize,
    /// Most jobs that run at once, at first; see [`Pool::set_limit`]. Of an adaptive limit the maximum.
    pub limit: u16,
    /// The greatest limit that may ever be set.
    pub most_running: u16,
    /// How the limit follows the time that attempts run, from where it begins: at its maximum. `None` is not at all.
    ///
    /// An attempt that ran into a time-out counts as too long, whenever its handler returns; one that was cancelled does
    /// not count. The limit changes in [`Pool::finish`] and [`Pool::poll`]: see [`Pool::wants_worker`].
    pub adaptive: Option<adaptive::Config>,
    /// What a step of priority is worth, at most about three days; `None` is strict priority.
    ///
    /// A job counts as submitted this much later for every level that it is below the top, and the least such time
    /// goes first (of equal times the higher level). So **a job is overtaken only by jobs of a higher level that were
    /// submitted no later than (difference of levels) × ageing after it**: one worker that needs at most `s` a job
    /// starts even a low job under a steady flood of critical ones within `3 × ageing + capacity × s`. Equal levels
    /// are first in, first out along happens-before, whatever the caller's clock does. With strict priority a flood
    /// of higher jobs starves the lower ones.
    ///
    /// Times go into this to a sixteenth of a microsecond: sixteen submissions in one microsecond each count as a
    /// little later than the one before. (With 32-bit words: to a millisecond, equal ones in order.)
    ///
    /// A retry goes by the time of its job's submission, so the bound holds for it too, from when it is back in line: that
    /// is after its backoff and then at most as many calls of [`Pool::take`] or [`Pool::poll`] as jobs were delayed.
    pub ageing: Option<Duration>,
    /// What goes first inside a level.
    pub order: Order,
    /// Most jobs that are accepted and not settled.
    pub max_in_flight: Option<u32>,
    /// How many jobs are admitted in a time. A retry takes a token too; if there is none it reserves the next one and
    /// waits for that, so it waits for a token once at most.
    pub rate: Option<Quota>,
    /// The circuit breaker of the pool; `None` is a breaker that is disabled.
    pub breaker: Option<breaker::Config>,
    /// The circuit breaker of each kind of jobs ([`Submit::kind`]), all set up alike; `None` is breakers that are disabled.
    /// A job must pass both its kind's and the pool's, and its outcome is told to both. A pool of no kinds has none.
    ///
    /// ```
    /// use weirpool_core::breaker::{self, State};
    /// use weirpool_core::pool::{Config, Kind, Outcome, Pool, Submit, Take, WorkerId};
    /// use weirpool_core::time::Instant;
    ///
    /// static POOL: Pool<&str, 20, 2> = Pool::new(Config {
    ///     kind_breaker: Some(breaker::Config { consecutive: Some(1), ..breaker::Config::DEFAULT }),
    ///     ..Config::DEFAULT
    /// });
    /// let (mail, print) = (Kind(0), Kind(1));
    /// let of = |kind| Submit { kind: Some(kind), ..Submit::DEFAULT };
    /// let now = Instant::from_millis(1);
    /// POOL.submit("a letter", of(mail), now).unwrap();
    /// let Take::Job(letter) = POOL.take(WorkerId(0), now) else { panic!("it waits") };
    /// let _ = POOL.finish(letter, Outcome::Failure, now);
    ///
    /// assert_eq!(POOL.kind_breaker(mail).unwrap().state(now), State::Open);
    /// assert!(POOL.submit("another letter", of(mail), now).is_err());
    /// assert!(POOL.submit("a page", of(print), now).is_ok());
    /// ```
    pub kind_breaker: Option<breaker::Config>,
    /// Whether a submission that waited for room too long ([`Refusal::Timeout`]) counts as a failure for the breakers.
    pub count_submit_timeouts: bool,
    /// How jobs are tried again that say nothing else ([`Submit::retry`]); `None` is not at all.
    pub retry: Option<Policy>,
    /// What all retries together are paid from.
    pub retry_budget: Allowance,
}

/// What goes first inside a level of priority.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Order {
    /// First in, first out.
    #[default]
    Fifo,
    /// Earliest deadline first, by the jobs' total time-outs; equal ones first in, first out.
    ///
    /// A job whose deadline is further off than the horizon, or that has none, counts as due after the horizon: its turn
    /// comes, however many with earlier deadlines follow it. **It is overtaken only by jobs that were submitted no later
    /// than horizon + (difference of levels) × ageing after it** (strict priority is strict here too). So the horizon is
    /// the longest time for which deadlines are told apart, and the longest for which a job is put off for others'. At
    /// most about three days. Deadlines are told apart to a microsecond, with 32-bit words to a millisecond.
    ///
    /// ```
    /// use core::time::Duration;
    /// use weirpool_core::pool::{Config, Order, Pool, Submit, Take, WorkerId};
    /// use weirpool_core::time::Instant;
    ///
    /// static POOL: Pool<&str, 24> = Pool::new(Config {
    ///     order: Order::Deadline { horizon: Duration::from_secs(60) },
    ///     ..Config::DEFAULT
    /// });
    /// let now = Instant::from_millis(1);
    /// let within = |seconds| Submit { total_timeout: Some(Duration::from_secs(seconds)), ..Submit::DEFAULT };
    /// POOL.submit("whenever", Submit::DEFAULT, now).unwrap();
    /// POOL.submit("soon", within(30), now).unwrap();
    /// POOL.submit("at once", within(2), now).unwrap();
    ///
    /// for expected in ["at once", "soon", "whenever"] {
    ///     let Take::Job(running) = POOL.take(WorkerId(0), now) else { panic!("a job waits") };
    ///     assert_eq!(*running.job(), expected);
    /// }
    /// ```
    Deadline {
        /// How far deadlines count.
        horizon: Duration,
    },
}

impl Config {
    /// 16 waiting, 4 running, ageing one level a second, first in, first out, no retries and no other gate.
    pub const DEFAULT: Self = Self {
        capacity: 16,
        limit: 4,
        most_running: 4,
        adaptive: None,
        ageing: Some(Duration::from_millis(1000)),
        order: Order::Fifo,
        max_in_flight: None,
        rate: None,
        breaker: None,
        kind_breaker: None,
        count_submit_timeouts: false,
        retry: None,
        retry_budget: Allowance::DEFAULT,
    };

    /// Whether a pool of so many slots can be set up so, besides its breakers and its adaptive limit.
    pub(crate) const fn check(&self, slots: usize) -> Result<(), ConfigError> {
        let places = slots.saturating_sub(self.most_running as usize);
        if self.capacity == 0 || self.capacity > places {
            return Err(ConfigError::new(
                "the capacity is zero or does not fit in the slots beside the most running",
            ));
        }
        if self.limit == 0 || self.limit > self.most_running {
            return Err(ConfigError::new(
                "the limit is zero or above the most running",
            ));
        }
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
        if let Some(0) = self.max_in_flight {
            return Err(ConfigError::new("no job could be in flight"));
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}
