//! The advanced pool: a rate limit, a circuit breaker, retries, and the earliest deadline first. What the jobs call is
//! down from 1 s to 3 s. Time is an argument, so here it is made up.
//!
//! `cargo run -p weirpool-core --example advanced`

use std::time::Duration;

use weirpool_core::{
    breaker,
    pool::{Config, Order, Outcome, Policy, Poll, Pool, Submit, Take, WorkerId},
    rate::Quota,
    time::Instant,
};

static POOL: Pool<u64, 20> = Pool::new(Config {
    order: Order::Deadline { horizon: LONGEST },
    rate: Some(Quota::per_second(80).with_burst(20)),
    breaker: Some(breaker::Config {
        pause: Duration::from_millis(200),
        ..breaker::Config::DEFAULT
    }),
    retry: Some(Policy::DEFAULT),
    ..Config::DEFAULT
});
const LONGEST: Duration = Duration::from_secs(2);

fn main() {
    let mut running = Vec::new();
    for millis in (0..=5_000).step_by(10) {
        let now = Instant::from_millis(millis);
        for job in running.drain(..) {
            let outcome = match millis {
                1_000..3_000 => Outcome::Failure,
                _ => Outcome::Success,
            };
            let _ = POOL.finish(job, outcome, now);
        }
        let options = Submit {
            total_timeout: Some(LONGEST),
            ..Submit::DEFAULT
        };
        let _ = POOL.submit(millis, options, now);
        while !matches!(POOL.poll(now), Poll::Idle { .. }) {}
        loop {
            match POOL.take(WorkerId(0), now) {
                Take::Job(job) => running.push(job),
                Take::Empty { .. } => break,
                _ => {}
            }
        }
        if millis % 500 == 0 {
            let (seen, state) = (POOL.snapshot(), POOL.breaker().state(now));
            let (done, again, refused) = (seen.completed, seen.retried, seen.refused());
            println!("{millis} ms: {done} done, {again} retried, {refused} refused, {state:?}");
        }
    }
}
