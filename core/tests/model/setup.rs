//! What the pool is set up with.

use std::time::Duration;

use weirpool_core::{
    adaptive, breaker,
    pool::{Allowance, Config, Order, Policy},
    rate::Quota,
};

use super::{CAPACITY, MOST_RUNNING, order::NARROW, random::Random};

pub fn random_config(random: &mut Random) -> Config {
    let limit = 1 + random.below(u64::from(MOST_RUNNING)) as u16;
    // With 32-bit words the gates round times up; their own tests know how.
    pub fn gate<T>(config: Option<T>) -> Option<T> {
        config.filter(|_| !NARROW)
    }
    Config {
        capacity: 1 + random.below(CAPACITY as u64) as usize,
        limit,
        most_running: MOST_RUNNING,
        adaptive: gate(random.one_of([None, Some(adaptive(1)), Some(adaptive(limit.min(3)))])),
        ageing: random.one_of([
            None,
            Some(Duration::ZERO),
            Some(Duration::from_millis(5)),
            Some(Duration::from_secs(1)),
        ]),
        max_in_flight: random.one_of([None, None, Some(1), Some(7)]),
        rate: gate(random.one_of([None, None, Some(Quota::per_second(100))])),
        breaker: gate(random.one_of([None, Some(BREAKER)])),
        kind_breaker: gate(random.one_of([None, Some(KIND_BREAKER)])),
        order: random.one_of([
            Order::Fifo,
            Order::Fifo,
            Order::Deadline {
                horizon: Duration::from_millis(30),
            },
            Order::Deadline {
                horizon: Duration::ZERO,
            },
        ]),
        count_submit_timeouts: random.below(2) == 0,
        retry: random.one_of([None, Some(QUICK), Some(SLOW)]),
        retry_budget: random.one_of([
            Allowance::DEFAULT,
            Allowance {
                percent: 50,
                reserve: 1,
            },
            Allowance {
                percent: 1000,
                reserve: u16::MAX,
            },
        ]),
    }
}

/// After errors only, at once.
pub const QUICK: Policy = policy(2, Duration::ZERO, Duration::ZERO);
/// After everything.
pub const SLOW: Policy = policy(
    4,
    Duration::from_micros(SLOW_FIRST),
    Duration::from_micros(SLOW_LONGEST),
)
.after_panics()
.after_timeouts();
pub const SLOW_FIRST: u64 = 4_000;
pub const SLOW_LONGEST: u64 = 10_000;

pub const fn policy(attempts: u8, first: Duration, longest: Duration) -> Policy {
    match Policy::new(attempts, first, longest) {
        Ok(policy) => policy,
        Err(_) => panic!("it is within the bounds"),
    }
}

/// The longest pause after an attempt; the shortest is half of it.
pub fn longest_backoff(policy: Policy, attempt: u32) -> u64 {
    if policy == QUICK {
        0
    } else {
        (SLOW_FIRST << (attempt - 1)).min(SLOW_LONGEST)
    }
}

pub const BREAKER: breaker::Config = breaker::Config {
    consecutive: Some(3),
    failure_rate: None,
    slow_rate: None,
    slow_call: None,
    pause: Duration::from_millis(20),
    max_pause: Duration::from_millis(60),
    probes: 2,
    lease: Duration::from_millis(50),
    ..breaker::Config::DEFAULT
};

pub const KIND_BREAKER: breaker::Config = breaker::Config {
    consecutive: Some(2),
    pause: Duration::from_millis(5),
    max_pause: Duration::from_millis(40),
    probes: 1,
    lease: Duration::from_millis(30),
    ..BREAKER
};

pub const fn adaptive(min: u16) -> adaptive::Config {
    adaptive::Config {
        target: Duration::from_millis(3),
        window: Duration::from_millis(4),
        min,
    }
}
