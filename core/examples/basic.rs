//! The basic pool: a bounded queue and a fixed number of workers.
//!
//! `cargo run -p weirpool-core --example basic`

use std::{
    thread::{self, Thread},
    time::{Duration, Instant as Wall},
};

use weirpool_core::{
    pool::{Config, Finish, Outcome, Pool, Refused, State, Submit, Take, WorkerId},
    time::Instant,
};

/// 16 wait, 4 run.
static POOL: Pool<u32, 20> = Pool::new(Config::DEFAULT);

fn main() {
    let start = Wall::now();
    let now = move || Instant::from_micros(start.elapsed().as_micros() as u64);
    thread::scope(|scope| {
        let spawn = |worker| scope.spawn(move || work(WorkerId(worker), now));
        let workers: Vec<Thread> = (0..4).map(|n| spawn(n).thread().clone()).collect();
        for mut job in 1..=40 {
            // When the queue is full the job comes back: here it waits at the door.
            while let Err(Refused::Full(back)) = POOL.submit(job, Submit::DEFAULT, now()) {
                job = back;
                thread::sleep(Duration::from_millis(1));
            }
            workers.iter().for_each(Thread::unpark);
        }
        POOL.close();
        workers.iter().for_each(Thread::unpark);
    });
    let seen = POOL.snapshot();
    println!("{} completed, waits: {:?}", seen.completed, seen.wait);
}

fn work(worker: WorkerId, now: impl Fn() -> Instant) {
    loop {
        match POOL.take(worker, now()) {
            Take::Job(running) => {
                thread::sleep(Duration::from_millis(5));
                if let Finish::Settled(done) = POOL.finish(running, Outcome::Success, now()) {
                    println!(
                        "job {:2} by worker {} after {:?}",
                        done.job, worker.0, done.total
                    );
                }
            }
            Take::Empty { .. } if POOL.state() != State::Running => return,
            Take::Empty { .. } => thread::park(),
            // No job has a time-out and there is no breaker.
            other => unreachable!("{other:?}"),
        }
    }
}
