//! What the programs share. Each uses one part as a program would, hidden from the optimiser by `black_box`, so that the
//! part is in it as it would be there. What it costs is the difference to the program `nothing`.
#![no_std]

use core::hint::black_box;
use core::panic::PanicInfo;

use weirpool_core::{
    pool::{Config, Finish, Outcome, Pool, Submit, Take, WorkerId},
    time::Instant,
};

/// Four jobs run, the other slots wait.
pub const fn pool<const SLOTS: usize>() -> Pool<u32, SLOTS> {
    Pool::new(Config {
        capacity: SLOTS - 4,
        limit: 4,
        most_running: 4,
        ..Config::DEFAULT
    })
}

/// The life of a job.
pub fn use_pool<const SLOTS: usize>(pool: &Pool<u32, SLOTS>) {
    let now = black_box(Instant::ZERO);
    if let Ok(handle) = pool.submit(black_box(1), black_box(Submit::DEFAULT), now) {
        let _ = black_box(pool.cancel(handle, now));
    }
    if let Take::Job(running) = pool.take(WorkerId(0), now)
        && let Finish::Settled(done) = pool.finish(running, black_box(Outcome::Success), now)
    {
        black_box(done);
    }
    let _ = black_box(pool.poll(now));
}

/// Without a message: texts are not what is measured.
#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
