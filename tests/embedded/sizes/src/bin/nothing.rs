//! A program that does nothing.
#![no_std]
#![no_main]

use weirpool_sizes as _;

#[cortex_m_rt::entry]
fn main() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
