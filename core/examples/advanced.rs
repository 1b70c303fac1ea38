//! The advanced pool: a rate limit, circuit breakers, retries, the earliest deadline first, and a limit that follows how
//! long jobs run. What the jobs of one kind call is slow and fails from 1 s to 3 s; those of the other kind go on. Time is an
//! argument, so here it is made up.
//!
//! `cargo run -p weirpool-core --example advanced`

use std::time::Duration;

use weirpool_core::{
    adaptive, breaker,
    pool::{Config, Kind, Order, Outcome, Policy, Poll, Pool, Running, Submit, Take, WorkerId},
    rate::Quota,
    time::Instant,
};

/// Jobs of two kinds, each with a breaker of its own, and one for all that opens later.
static POOL: Pool<(u64, Kind), 24, 2> = Pool::new(Config {
    order: Order::Deadline { horizon: LONGEST },
    limit: 8,
    most_running: 8,
    adaptive: Some(adaptive::Config {
        target: Duration::from_millis(20),
        window: Duration::from_millis(100),
        ..adaptive::Config::DEFAULT
    }),
    rate: Some(Quota::per_second(160).with_burst(20)),
    breaker: Some(breaker::Config {
        consecutive: Some(20),
        failure_rate: None,
        ..breaker::Config::DEFAULT
    }),
    kind_breaker: Some(breaker::Config {
        pause: Duration::from_millis(200),
        ..breaker::Config::DEFAULT
    }),
    retry: Some(Policy::DEFAULT),
    ..Config::DEFAULT
});
const LONGEST: Duration = Duration::from_secs(2);
const KINDS: [Kind; 2] = [Kind(0), Kind(1)];

fn main() {
    let mut running = Vec::new();
    for millis in (0..=5_000).step_by(10) {
        let now = Instant::from_millis(millis);
        let is_down = |kind| kind == KINDS[0] && (1_000..3_000).contains(&millis);
        // A job takes 10 ms, and 50 where its kind is down.
        let done = running.extract_if(.., |job: &mut Running<(u64, Kind)>| {
            let took = now.saturating_since(job.started());
            took >= Duration::from_millis(if is_down(job.job().1) { 50 } else { 10 })
        });
        for job in done {
            let outcome = if is_down(job.job().1) {
                Outcome::Failure
            } else {
                Outcome::Success
            };
            let _ = POOL.finish(job, outcome, now);
        }
        for kind in KINDS {
            let options = Submit {
                total_timeout: Some(LONGEST),
                kind: Some(kind),
                ..Submit::DEFAULT
            };
            let _ = POOL.submit((millis, kind), options, now);
        }
        while !matches!(POOL.poll(now), Poll::Idle { .. }) {}
        loop {
            match POOL.take(WorkerId(0), now) {
                Take::Job(job) => running.push(job),
                Take::Empty { .. } => break,
                _ => {}
            }
        }
        if millis % 500 == 0 {
            let seen = POOL.snapshot();
            let breaker = |kind| POOL.kind_breaker(kind).expect("one for each");
            let [first, second] = KINDS.map(|kind| breaker(kind).state(now));
            let (done, again, limit) = (seen.completed, seen.retried, seen.limit);
            let refused = seen.refused();
            println!(
                "{millis} ms: {done} done, {again} retried, {refused} refused, {limit} at once, {first:?} and {second:?}"
            );
        }
    }
}
