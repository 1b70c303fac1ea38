//! The same work by one thread or by several at once.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use criterion::{BenchmarkGroup, BenchmarkId, measurement::WallTime};

/// Measures `piece` as one contender of a comparison. It gets numbers that grow from call to call on each thread.
pub(crate) fn compete(
    group: &mut BenchmarkGroup<'_, WallTime>,
    threads: u64,
    name: &str,
    piece: impl Fn(u64) + Sync,
) {
    let mut first = 0;
    group.bench_function(BenchmarkId::new(name, threads), |bencher| {
        bencher.iter_custom(|total| {
            let elapsed = share(threads, total, |pieces| {
                (first..first + pieces).for_each(&piece);
            });
            first += total;
            elapsed
        });
    });
}

/// Shares pieces of work out among threads that start together: the time from the first start to the last end.
fn share(threads: u64, total: u64, work: impl Fn(u64) + Sync) -> Duration {
    let timed = |thread| {
        let start = Instant::now();
        work(total / threads + u64::from(thread < total % threads));
        (start, Instant::now())
    };
    if threads == 1 {
        let (start, end) = timed(0);
        return end - start;
    }
    let barrier = Barrier::new(threads as usize);
    let times: Vec<_> = thread::scope(|scope| {
        let begin = |thread| {
            let (barrier, timed) = (&barrier, &timed);
            scope.spawn(move || {
                barrier.wait();
                timed(thread)
            })
        };
        let begun: Vec<_> = (0..threads).map(begin).collect();
        let ended = begun.into_iter().map(|thread| thread.join().unwrap());
        ended.collect()
    });
    let first = times.iter().map(|&(start, _)| start).min().unwrap();
    let last = times.iter().map(|&(_, end)| end).max().unwrap();
    last - first
}
