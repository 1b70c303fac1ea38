//! A histogram that is only recorded in.
#![no_std]
#![no_main]

use core::hint::black_box;

use weirpool_core::histogram::Histogram;
use weirpool_sizes as _;

static HISTOGRAM: Histogram = Histogram::new();

#[cortex_m_rt::entry]
fn main() -> ! {
    loop {
        black_box(&HISTOGRAM).record(black_box(0));
    }
}
