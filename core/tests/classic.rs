//! The scenario of the example `classic`, twenty times as fast.
#![cfg(not(loom))]

#[path = "../examples/classic.rs"]
mod classic;

mod random;

use std::{collections::BTreeSet, time::Duration};

use classic::Job;

#[test]
fn fifty_jobs_on_five_workers() {
    let mut random = random::Random::new(random::seed());
    let jobs: Vec<_> = (1..=50)
        .map(|id| Job {
            id,
            duration: Duration::from_micros(random.below(1_000_000) / 20),
        })
        .collect();
    let expected: BTreeSet<_> = jobs.iter().map(|job| job.id).collect();
    let (mut seen, mut workers) = (BTreeSet::new(), BTreeSet::new());
    let metrics = classic::run(jobs, |done| {
        assert!(classic::ok(&done), "{done:?}");
        assert!(seen.insert(done.job.id), "job {} came twice", done.job.id);
        assert!(done.run >= done.job.duration && done.total >= done.run);
        workers.insert(done.worker.unwrap());
    });
    assert_eq!(seen, expected);
    assert_eq!(workers.len(), 5, "everybody worked");
    assert_eq!(
        (metrics.accepted, metrics.completed, metrics.started),
        (50, 50, 50)
    );
    assert_eq!(
        (
            metrics.queued,
            metrics.running,
            metrics.abandoned,
            metrics.stale
        ),
        (0, 0, 0, 0)
    );
    assert!(metrics.run.max <= metrics.total.max && metrics.run.count == 50);
    assert!(classic::report(&metrics).starts_with("accepted 50, "));
}
