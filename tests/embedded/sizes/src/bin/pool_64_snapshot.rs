//! A pool of 64 slots, and what it counted.
#![no_std]
#![no_main]

use core::hint::black_box;

use weirpool_core::pool::Pool;

static POOL: Pool<u32, 64> = weirpool_sizes::pool();

#[cortex_m_rt::entry]
fn main() -> ! {
    loop {
        weirpool_sizes::use_pool(black_box(&POOL));
        black_box(POOL.snapshot());
    }
}
