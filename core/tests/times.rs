//! The times of a job whose submitter's clock is ahead of its worker's.
#![cfg(not(loom))]

mod hands;

use std::time::Duration;

use weirpool_core::pool::{Config, Finish, Outcome, Poll, Pool, Submit};

use hands::{at, take};

type Jobs = Pool<u32, 12>;

const CONFIG: Config = Config {
    capacity: 8,
    limit: 4,
    most_running: 4,
    ..Config::DEFAULT
};

#[test]
fn no_job_ran_for_longer_than_it_took() {
    let pool = Jobs::new(CONFIG);
    pool.submit(1, Submit::DEFAULT, at(10)).unwrap();
    let Finish::Settled(done) = pool.finish(take(&pool, at(8)), Outcome::Success, at(11)) else {
        panic!("it has ended");
    };
    assert_eq!(done.wait, Duration::ZERO);
    assert_eq!(done.run, Duration::from_millis(3));
    assert_eq!(done.total, done.run);
}

#[test]
fn nor_one_that_times_out() {
    let pool = Jobs::new(CONFIG);
    let submit = Submit {
        run_timeout: Some(Duration::from_millis(3)),
        ..Submit::DEFAULT
    };
    pool.submit(1, submit, at(10)).unwrap();
    let _running = take(&pool, at(8));
    let Poll::TimedOut(expired) = pool.poll(at(12)) else {
        panic!("its time is up");
    };
    assert_eq!(expired.run, Duration::from_millis(4));
    assert_eq!(expired.total, expired.run);
}
