//! The dynamic pool: how many jobs run at once follows how many wait, from one to four.
//!
//! `cargo run -p weirpool-core --example dynamic`

use std::{
    thread,
    time::{Duration, Instant as Wall},
};

use weirpool_core::{
    pool::{Config, Outcome, Pool, State, Submit, Take, WorkerId},
    time::Instant,
};

static POOL: Pool<u32, 68> = Pool::new(Config {
    capacity: 64,
    limit: 1,
    most_running: 4,
    ..Config::DEFAULT
});

fn main() {
    let start = Wall::now();
    let now = move || Instant::from_micros(start.elapsed().as_micros() as u64);
    thread::scope(|scope| {
        for worker in 0..4 {
            scope.spawn(move || work(WorkerId(worker), now));
        }
        // A burst, and then a trickle.
        for job in 1..=60 {
            let _ = POOL.submit(job, Submit::DEFAULT, now());
            thread::sleep(Duration::from_millis(if job < 40 { 1 } else { 20 }));
            // More workers as more jobs wait, and fewer when none does.
            let seen = POOL.snapshot();
            let limit = match seen.queued {
                0 => 1,
                waiting => seen.limit.max(1 + waiting / 8).min(4),
            };
            if limit != seen.limit {
                POOL.set_limit(limit as u16).expect("from one to four");
                println!("{} wait: {limit} may run now", seen.queued);
            }
        }
        POOL.close();
    });
    println!("{} completed", POOL.snapshot().completed);
}

fn work(worker: WorkerId, now: impl Fn() -> Instant) {
    while POOL.state() != State::Closed {
        match POOL.take(worker, now()) {
            Take::Job(running) => {
                thread::sleep(Duration::from_millis(10));
                let _ = POOL.finish(running, Outcome::Success, now());
            }
            _ => thread::sleep(Duration::from_millis(1)),
        }
    }
}
