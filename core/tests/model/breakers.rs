//! The model of the breakers.

use std::time::Duration;

use weirpool_core::{
    breaker,
    pool::{Kind, Policy},
};

use super::{KINDS, setup::longest_backoff, time::micros};

/// A breaker, closed, open or half-open, opened by failures in a row; without rules it is disabled.
pub struct BreakerModel {
    rules: Option<breaker::Config>,
    generation: u64,
    state: BreakerState,
    failures: u32,
    trips: u32,
}

#[derive(Clone, Copy, PartialEq)]
pub enum BreakerState {
    Closed,
    Open {
        until: u64,
    },
    HalfOpen {
        issued: u8,
        succeeded: u8,
        until: u64,
    },
}

impl BreakerModel {
    pub fn new(rules: Option<breaker::Config>) -> Self {
        Self {
            rules,
            generation: 0,
            state: BreakerState::Closed,
            failures: 0,
            trips: 0,
        }
    }

    pub fn enter(&mut self, state: BreakerState) {
        self.generation += 1;
        self.failures = 0;
        self.state = state;
    }

    /// What keeps a call out at this time. An end further off than twice the longest pause is of another clock.
    pub fn refusal(&self, now: u64) -> Option<u64> {
        let rules = self.rules?;
        let until = match self.state {
            BreakerState::Open { until } => until,
            BreakerState::HalfOpen { issued, until, .. } if issued == rules.probes => until,
            _ => return None,
        };
        let left = until.saturating_sub(now);
        let longest = micros(rules.max_pause.max(rules.lease));
        (1..=2 * longest).contains(&left).then_some(left)
    }

    /// How long a job waits that it refuses, at least and at most.
    pub fn wait(&self, policy: Policy, now: u64) -> (u64, u64) {
        let refusal = self.refusal(now).unwrap_or(0);
        if matches!(self.state, BreakerState::HalfOpen { .. }) {
            let most = longest_backoff(policy, 1);
            (
                refusal.min(1_000.max(most / 2)),
                refusal.min(1_000.max(most)),
            )
        } else {
            (refusal, refusal)
        }
    }

    pub fn acquire(&mut self, now: u64) -> Option<u64> {
        let Some(rules) = self.rules else {
            return Some(self.generation);
        };
        if self.refusal(now).is_some() {
            return None;
        }
        let until = now.saturating_add(micros(rules.lease));
        match &mut self.state {
            BreakerState::Closed => {}
            BreakerState::HalfOpen { issued, .. } if *issued < rules.probes => *issued += 1,
            _ => self.enter(BreakerState::HalfOpen {
                issued: 1,
                succeeded: 0,
                until,
            }),
        }
        Some(self.generation)
    }

    pub fn release(&mut self, permit: u64) {
        if let BreakerState::HalfOpen { issued, .. } = &mut self.state
            && permit == self.generation
        {
            *issued -= 1;
        }
    }

    pub fn record(&mut self, permit: u64, success: bool, now: u64) {
        let Some(rules) = self.rules.filter(|_| permit == self.generation) else {
            return;
        };
        match &mut self.state {
            BreakerState::Closed if success => self.failures = 0,
            BreakerState::Closed => {
                self.failures += 1;
                if Some(self.failures) == rules.consecutive {
                    self.open(rules, now);
                }
            }
            BreakerState::Open { .. } => unreachable!("no permit is given while open"),
            BreakerState::HalfOpen { succeeded, .. } if success => {
                *succeeded += 1;
                if *succeeded == rules.probes {
                    self.trips = 0;
                    self.enter(BreakerState::Closed);
                }
            }
            BreakerState::HalfOpen { .. } => self.open(rules, now),
        }
    }

    pub fn open(&mut self, rules: breaker::Config, now: u64) {
        let pause = micros(rules.pause) << self.trips.min(6);
        self.trips += 1;
        self.enter(BreakerState::Open {
            until: now.saturating_add(pause.min(micros(rules.max_pause))),
        });
    }

    pub fn expected_state(&self, now: u64) -> breaker::State {
        match self.state {
            _ if self.rules.is_none() => breaker::State::Disabled,
            BreakerState::Closed => breaker::State::Closed,
            BreakerState::Open { .. } if self.refusal(now).is_some() => breaker::State::Open,
            _ => breaker::State::HalfOpen,
        }
    }
}

/// The pool's breaker and those of its kinds.
pub struct BreakersModel {
    pub pool: BreakerModel,
    pub kinds: [BreakerModel; KINDS],
}

impl BreakersModel {
    /// That of the kind, if there is one, and that of the pool.
    pub fn of(&mut self, kind: Option<Kind>) -> impl Iterator<Item = &mut BreakerModel> {
        let of_kind = kind.and_then(|kind| self.kinds.get_mut(usize::from(kind.0)));
        of_kind.into_iter().chain([&mut self.pool])
    }

    pub fn refusal(&mut self, kind: Option<Kind>, now: u64) -> Option<Duration> {
        let refusals = self.of(kind).filter_map(|breaker| breaker.refusal(now));
        refusals.max().map(Duration::from_micros)
    }

    /// Permits of both, or of none.
    pub fn acquire(&mut self, kind: Option<Kind>, now: u64) -> Result<[u64; 2], Duration> {
        let refusal = self.refusal(kind, now);
        let mut permits = [0; 2];
        let mut granted = 0;
        for breaker in self.of(kind) {
            let Some(permit) = breaker.acquire(now) else {
                break;
            };
            permits[granted] = permit;
            granted += 1;
        }
        match refusal {
            None => Ok(permits),
            Some(retry_after) => {
                for (breaker, permit) in self.of(kind).zip(permits).take(granted) {
                    breaker.release(permit);
                }
                Err(retry_after)
            }
        }
    }

    pub fn release(&mut self, kind: Option<Kind>, permits: [u64; 2]) {
        for (breaker, permit) in self.of(kind).zip(permits) {
            breaker.release(permit);
        }
    }

    pub fn record(&mut self, kind: Option<Kind>, permits: [u64; 2], success: bool, now: u64) {
        for (breaker, permit) in self.of(kind).zip(permits) {
            breaker.record(permit, success, now);
        }
    }
}
