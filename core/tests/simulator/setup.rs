//! What a run is made of.

use std::time::Duration;

use weirpool_core::{
    adaptive, breaker,
    pool::{Allowance, Config, Order, Policy},
    rate::Quota,
};

use crate::random::Random;

/// The kinds of jobs that have breakers.
pub const KINDS: usize = 2;
/// The pool's breaker, and those of its kinds after it.
pub const BREAKERS: usize = 1 + KINDS;

/// How each breaker is set up.
pub fn breakers(config: &Config) -> [Option<breaker::Config>; BREAKERS] {
    let mut breakers = [config.kind_breaker; BREAKERS];
    breakers[0] = config.breaker;
    breakers
}

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub config: Config,
    pub submitters: usize,
    pub workers: usize,
    pub cancellers: usize,
    pub pollers: usize,
    pub operators: usize,
    /// When so many jobs are settled, it is over.
    pub jobs: usize,
    pub seed: u64,
}

impl Setup {
    pub fn new(random: &mut Random, slots: usize) -> Self {
        let most_running = 1 + random.below(4.min(slots as u64 - 1)) as u16;
        let places = slots - usize::from(most_running);
        let limit = 1 + random.below(u64::from(most_running)) as u16;
        let config = Config {
            capacity: random.one_of([1, places.min(3), places]),
            limit,
            most_running,
            adaptive: random.one_of([None, Some(adaptive(1)), Some(adaptive(limit.min(2)))]),
            ageing: random.one_of([
                None,
                Some(Duration::ZERO),
                Some(Duration::from_millis(1)),
                Some(Duration::from_secs(1)),
            ]),
            max_in_flight: random.one_of([None, None, Some(3)]),
            rate: random.one_of([
                None,
                None,
                None,
                Some(Quota::per_second(10_000).with_burst(5)),
            ]),
            breaker: random.one_of([None, Some(breaker_with(1)), Some(breaker_with(2))]),
            kind_breaker: random.one_of([None, Some(breaker_with(1)), Some(breaker_with(2))]),
            order: random.one_of([
                Order::Fifo,
                Order::Fifo,
                Order::Deadline {
                    horizon: Duration::from_millis(1),
                },
            ]),
            retry: random.one_of([None, Some(policy()), Some(policy().after_timeouts())]),
            retry_budget: random.one_of([
                Allowance::DEFAULT,
                Allowance {
                    percent: 100,
                    reserve: 1000,
                },
            ]),
            ..Config::DEFAULT
        };
        Self {
            config,
            submitters: 1 + random.below(3) as usize,
            workers: 1 + random.below(4) as usize,
            cancellers: random.below(3) as usize,
            pollers: random.below(3) as usize,
            operators: random.below(2) as usize,
            jobs: 20 + random.below(80) as usize,
            seed: random.next(),
        }
    }

    pub fn contexts(&self) -> usize {
        self.submitters + self.workers + self.cancellers + self.pollers + self.operators
    }
}

fn policy() -> Policy {
    let pauses = (Duration::from_micros(200), Duration::from_millis(1));
    let policy = Policy::new(3, pauses.0, pauses.1);
    policy.expect("it is within the bounds").after_panics()
}

fn breaker_with(probes: u8) -> breaker::Config {
    breaker::Config {
        consecutive: Some(2),
        pause: Duration::from_micros(300),
        max_pause: Duration::from_millis(1),
        probes,
        lease: Duration::from_millis(3),
        ..breaker::Config::DEFAULT
    }
}

fn adaptive(min: u16) -> adaptive::Config {
    adaptive::Config {
        target: Duration::from_micros(500),
        window: Duration::from_millis(1),
        min,
    }
}
