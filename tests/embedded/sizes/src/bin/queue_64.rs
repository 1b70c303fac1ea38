//! A queue of 64 places.
#![no_std]
#![no_main]

use core::hint::black_box;

use weirpool_core::queue::{Config, Queue, Rank};
use weirpool_core::time::Instant;
use weirpool_sizes as _;

static QUEUE: Queue<u32, 64> = Queue::new(Config::DEFAULT);

#[cortex_m_rt::entry]
fn main() -> ! {
    let queue = black_box(&QUEUE);
    loop {
        let now = Instant::from_micros(black_box(1));
        if let Ok(handle) = queue.push(black_box(1), Rank::DEFAULT, now) {
            black_box(queue.cancel(handle));
        }
        black_box(queue.pop());
    }
}
