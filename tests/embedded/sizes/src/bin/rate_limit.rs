//! A rate limit.
#![no_std]
#![no_main]

use core::hint::black_box;

use weirpool_core::{
    rate::{Quota, RateLimit},
    time::Instant,
};
use weirpool_sizes as _;

static RATE: RateLimit = RateLimit::new(Some(Quota::per_second(100)));

#[cortex_m_rt::entry]
fn main() -> ! {
    loop {
        let _ = black_box(black_box(&RATE).check(black_box(Instant::ZERO)));
    }
}
