//! A concurrency limit.
#![no_std]
#![no_main]

use core::hint::black_box;

use weirpool_core::concurrency::ConcurrencyLimit;
use weirpool_sizes as _;

static LIMIT: ConcurrencyLimit = ConcurrencyLimit::new(4);

#[cortex_m_rt::entry]
fn main() -> ! {
    loop {
        if black_box(&LIMIT).try_acquire() {
            LIMIT.release();
        }
    }
}
