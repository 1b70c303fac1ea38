//! The models of the limit on running jobs, of the rate limit and of the budget of the retries.

use std::time::Duration;

use weirpool_core::{adaptive, pool::Allowance};

use super::time::micros;

/// The limit on running jobs: a number that is set or, with rules, one that adapts up to it.
pub struct LimitModel {
    pub rules: Option<adaptive::Config>,
    pub limit: u16,
    pub maximum: u16,
    /// When the present window ends; it begins with its first run.
    pub until: Option<u64>,
    pub runs: u32,
    pub overloads: u32,
    pub reached: bool,
}

impl LimitModel {
    pub fn new(limit: u16, rules: Option<adaptive::Config>) -> Self {
        Self {
            rules,
            limit,
            maximum: limit,
            until: None,
            runs: 0,
            overloads: 0,
            reached: false,
        }
    }

    pub fn set(&mut self, maximum: u16) {
        self.maximum = maximum;
        self.limit = match self.rules {
            Some(_) => self.limit.min(maximum),
            None => maximum,
        };
    }

    /// A run ends while so many are in flight, itself included.
    pub fn observe(&mut self, run: Duration, in_flight: usize, now: u64) {
        let Some(rules) = self.rules else {
            return;
        };
        let window = micros(rules.window);
        let until = *self.until.get_or_insert(now.saturating_add(window));
        self.runs += 1;
        self.overloads += u32::from(run > rules.target);
        self.reached |= in_flight >= usize::from(self.limit);
        // An end further off than twice the window is of another clock.
        let is_over = !(1..=2 * window).contains(&until.saturating_sub(now));
        if !is_over || self.runs < 10 {
            return;
        }
        if self.overloads * 10 > self.runs {
            let lower = self.limit - self.limit.div_ceil(8);
            self.limit = lower.max(rules.min).min(self.limit);
        } else if self.reached && self.limit < self.maximum {
            self.limit += 1;
        }
        *self = Self {
            limit: self.limit,
            maximum: self.maximum,
            ..Self::new(0, self.rules)
        };
    }
}

/// The rate limit of 100 a second with a burst of as many, as the time at which it would be idle.
pub struct RateModel {
    pub on: bool,
    pub idle_at: u64,
}

impl RateModel {
    pub const EACH: u64 = 10_000;
    pub const AHEAD: u64 = 99 * Self::EACH;

    pub fn check(&mut self, now: u64) -> Result<(), Duration> {
        if !self.on {
            return Ok(());
        }
        let ahead = self.idle_at.saturating_sub(now);
        if ahead > Self::AHEAD {
            return Err(Duration::from_micros(ahead - Self::AHEAD));
        }
        self.idle_at = now + ahead + Self::EACH;
        Ok(())
    }

    pub fn refund(&mut self, now: u64) {
        if self.on && self.idle_at > now {
            self.idle_at = self.idle_at.saturating_sub(Self::EACH).max(now);
        }
    }

    /// Takes a token that is not there yet.
    pub fn reserve(&mut self, now: u64) -> Duration {
        let ahead = self.idle_at.saturating_sub(now);
        self.idle_at = now + ahead + Self::EACH;
        Duration::from_micros(ahead.saturating_sub(Self::AHEAD))
    }
}

/// What successes have paid in and retries taken out, in hundredths of a retry.
pub struct BudgetModel {
    allowance: Allowance,
    balance: u32,
}

impl BudgetModel {
    pub fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            balance: u32::from(allowance.reserve) * 100,
        }
    }

    pub fn deposit(&mut self) {
        let most = u32::from(self.allowance.reserve) * 100;
        self.balance = (self.balance + u32::from(self.allowance.percent)).min(most);
    }

    pub fn withdraw(&mut self) -> bool {
        let enough = self.balance >= 100;
        self.balance -= if enough { 100 } else { 0 };
        enough
    }
}
