//! What a job costs the pool: submit, take and finish by one thread, at several sizes and depths.
//!
//! `cargo run --release -p weirpool-core --example speed`

use std::time::{Duration, Instant as Wall};

use weirpool_core::{
    pool::{Config, Outcome, Pool, Submit, Take, WorkerId},
    time::Instant,
};

const JOBS: u64 = 1_000_000;

fn main() {
    println!("ns a job (submit + take + finish), every gate on, best of 5");
    for depth in [1, 16, 48] {
        println!(
            "  64 slots, {depth:>4} waiting: {:6.1}",
            measure::<64>(depth, Submit::DEFAULT)
        );
    }
    for depth in [1, 256, 4000] {
        println!(
            "4096 slots, {depth:>4} waiting: {:6.1}",
            measure::<4096>(depth, Submit::DEFAULT)
        );
    }
    let timed = Submit {
        run_timeout: Some(Duration::from_secs(30)),
        ..Submit::DEFAULT
    };
    println!(
        "4096 slots,  256 waiting, with a run time-out: {:6.1}",
        measure::<4096>(256, timed)
    );
}

fn measure<const SLOTS: usize>(depth: u64, options: Submit) -> f64 {
    let pool: &'static Pool<u32, SLOTS> = Box::leak(Box::new(Pool::new(Config {
        capacity: SLOTS - 16,
        limit: 16,
        most_running: 16,
        max_in_flight: Some(SLOTS as u32),
        rate: None,
        breaker: None,
        ..Config::DEFAULT
    })));
    let mut now = 1_000_000;
    for job in 1..depth {
        pool.submit(job as u32, options, Instant::from_micros(now))
            .unwrap();
        now += 1;
    }
    (0..5)
        .map(|_| round(pool, options, &mut now))
        .fold(f64::MAX, f64::min)
}

fn round<const SLOTS: usize>(pool: &Pool<u32, SLOTS>, options: Submit, now: &mut u64) -> f64 {
    let start = Wall::now();
    for job in 0..JOBS {
        *now += 1;
        let now = Instant::from_micros(*now);
        pool.submit(job as u32, options, now).unwrap();
        let Take::Job(running) = pool.take(WorkerId(0), now) else {
            panic!("a job waits")
        };
        let _ = pool.finish(running, Outcome::Success, now);
    }
    start.elapsed().as_nanos() as f64 / JOBS as f64
}
