//! A circuit breaker.
#![no_std]
#![no_main]

use core::{hint::black_box, time::Duration};

use weirpool_core::{
    breaker::{Breaker, Config, Verdict},
    time::Instant,
};
use weirpool_sizes as _;

static BREAKER: Breaker = Breaker::new(Config::DEFAULT);

#[cortex_m_rt::entry]
fn main() -> ! {
    loop {
        let now = black_box(Instant::ZERO);
        if let Ok(permit) = black_box(&BREAKER).acquire(now) {
            let verdict = black_box(Verdict::Success);
            black_box(BREAKER.record(permit, verdict, black_box(Duration::ZERO), now));
        }
    }
}
