//! The whole path of an empty job (submit, take, finish) by one thread, with every gate on.

use std::{hint::black_box, time::Duration};

use criterion::Criterion;
use weirpool_core::{
    breaker,
    pool::{Config, Outcome, Pool, Submit, Take, WorkerId},
    rate::Quota,
    time::Instant,
};

/// Most jobs that run at once.
pub(crate) const RUNNING: u16 = 16;

const TIMED: Submit = Submit {
    queue_timeout: Some(Duration::from_secs(60)),
    run_timeout: Some(Duration::from_secs(30)),
    total_timeout: Some(Duration::from_secs(90)),
    ..Submit::DEFAULT
};

/// Every gate on, and none ever shut.
pub(crate) fn every_gate(slots: usize) -> Config {
    Config {
        capacity: slots - usize::from(RUNNING),
        limit: RUNNING,
        most_running: RUNNING,
        ageing: Some(Duration::from_secs(1)),
        max_in_flight: Some(slots as u32),
        rate: Some(Quota::per_second(10_000_000)),
        breaker: Some(breaker::Config {
            slow_rate: Some(50),
            slow_call: Some(Duration::from_secs(1)),
            ..breaker::Config::DEFAULT
        }),
        ..Config::DEFAULT
    }
}

pub(crate) fn bench(criterion: &mut Criterion) {
    size::<64>(criterion);
    size::<4096>(criterion);
}

fn size<const SLOTS: usize>(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("every gate on, {SLOTS} slots"));
    let waiting = SLOTS / 2;
    for (name, options, waiting) in [
        ("no job waits".into(), Submit::DEFAULT, 0),
        (format!("{waiting} wait"), Submit::DEFAULT, waiting),
        ("three time-outs, no job waits".into(), TIMED, 0),
        (format!("three time-outs, {waiting} wait"), TIMED, waiting),
    ] {
        group.bench_function(name, |bencher| {
            let pool = Box::new(Pool::<u32, SLOTS>::new(every_gate(SLOTS)));
            let mut now = 1_000_000;
            for job in 0..waiting {
                now += 1;
                let _ = pool.submit(job as u32, options, Instant::from_micros(now));
            }
            bencher.iter(|| {
                // A million a second, which is under the quota.
                now += 1;
                job(&pool, options, Instant::from_micros(now));
            });
        });
    }
}

#[inline(always)]
fn job<const SLOTS: usize>(pool: &Pool<u32, SLOTS>, options: Submit, now: Instant) {
    let _ = black_box(pool.submit(black_box(7), options, now));
    let Take::Job(running) = pool.take(WorkerId(0), now) else {
        panic!("a job waits and nothing holds it back")
    };
    let _ = black_box(pool.finish(running, Outcome::Success, now));
}
