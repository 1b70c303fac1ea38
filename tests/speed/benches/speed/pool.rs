//! A native pool on this core, every gate on, beside the classic pool in Go: from the first submission to the last
//! result, so many workers as there are cores.
//!
//! It works as the wasm crate does: a rayon task for every running permit takes jobs until there is none. One thread
//! submits and receives the results; while the queue is full it sleeps until there is room for half a queue.

use std::{
    hint::black_box,
    sync::{
        atomic::{AtomicU32, AtomicU64, Ordering, fence},
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, Thread},
    time::{Duration, Instant as Wall},
};

use criterion::{Criterion, SamplingMode};
use rayon::{ThreadPool, ThreadPoolBuilder};
use weirpool_core::{
    pool::{Completion, Finish, Outcome, Pool, Submit, Take, WorkerId},
    time::Instant,
};

use crate::{
    go::Go,
    path::{RUNNING, every_gate},
};

/// As many as Go's channels hold.
const ROOM: u64 = 1024;
const SLOTS: usize = ROOM as usize + RUNNING as usize;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut go = Go::start();
    for (name, micros) in [("pool, empty jobs", 0), ("pool, jobs of 10 µs", 10)] {
        let mut group = criterion.benchmark_group(name);
        group.sampling_mode(SamplingMode::Flat);
        let (executor, results) = Executor::start(Duration::from_micros(micros));
        group.bench_function("weirpool on rayon", |bencher| {
            bencher.iter_custom(|jobs| executor.run(jobs, &results));
        });
        if let Some(go) = &mut go {
            for (name, contender) in [
                ("Go, channels of twice the workers", "plain"),
                ("Go, channels of 1024", "roomy"),
                ("Go, channels of 1024, with gates", "advanced"),
            ] {
                group.bench_function(name, |bencher| {
                    bencher.iter_custom(|jobs| go.run(contender, jobs, micros));
                });
            }
        }
    }
}

struct Executor {
    pool: Pool<u64, SLOTS>,
    work: Duration,
    epoch: Wall,
    threads: ThreadPool,
    /// Tasks that take jobs: at most one a thread.
    runners: AtomicU32,
    results: Sender<Completion<u64>>,
    /// Jobs that ended.
    done: AtomicU64,
    /// At how many of them the submitter is to be woken.
    wake_at: AtomicU64,
    submitter: Thread,
}

impl Executor {
    fn start(work: Duration) -> (&'static Self, Receiver<Completion<u64>>) {
        let (results, receiver) = channel();
        let threads = ThreadPoolBuilder::new().build().unwrap();
        // It lives as long as the program: that is what rayon's tasks need.
        let executor = Box::leak(Box::new(Self {
            pool: Pool::new(every_gate(SLOTS)),
            work,
            epoch: Wall::now(),
            threads,
            runners: AtomicU32::new(0),
            results,
            done: AtomicU64::new(0),
            wake_at: AtomicU64::new(0),
            submitter: thread::current(),
        }));
        (executor, receiver)
    }

    /// Runs so many jobs; by one thread at a time.
    fn run(&'static self, jobs: u64, results: &Receiver<Completion<u64>>) -> Duration {
        let begun = Wall::now();
        let first = self.done.load(Ordering::Relaxed);
        let mut received = 0;
        for job in 0..jobs {
            while self.pool.submit(job, Submit::DEFAULT, self.now()).is_err() {
                self.sleep_until(self.done.load(Ordering::Relaxed) + ROOM / 2);
                received += results.try_iter().map(black_box).count() as u64;
            }
            self.wake();
        }
        self.sleep_until(first + jobs);
        received += results.try_iter().map(black_box).count() as u64;
        let elapsed = begun.elapsed();
        assert_eq!(received, jobs);
        elapsed
    }

    /// Sleeps until so many jobs have ended.
    fn sleep_until(&self, done: u64) {
        // SeqCst here and in `take_jobs`: either this thread sees the last job, or that job's thread sees the wish.
        self.wake_at.store(done, Ordering::SeqCst);
        while self.done.load(Ordering::SeqCst) < done {
            thread::park();
        }
    }

    fn wake(&'static self) {
        if self.enlist() {
            self.threads.spawn(|| self.take_jobs());
        }
    }

    /// Counts one more runner, if there is something for it to do and a thread to run it.
    fn enlist(&self) -> bool {
        let most = self.threads.current_num_threads() as u32;
        // It stands for the fence in `wants_worker` while every thread has a runner, which is usual in a busy pool: then
        // no word is read that the runners write at every job.
        fence(Ordering::SeqCst);
        let one_more = |runners| (runners < most).then_some(runners + 1);
        self.runners.load(Ordering::Relaxed) < most
            && self.pool.wants_worker()
            && self
                .runners
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
                .is_ok()
    }

    fn take_jobs(&self) {
        let worker = WorkerId(rayon::current_thread_index().unwrap_or(0) as u16);
        let mut now = self.now();
        loop {
            match self.pool.take(worker, now) {
                Take::Job(running) => {
                    self.work();
                    now = self.now();
                    let Finish::Settled(done) = self.pool.finish(running, Outcome::Success, now)
                    else {
                        panic!("nobody else settles jobs")
                    };
                    self.results.send(done).unwrap();
                    let done = self.done.fetch_add(1, Ordering::SeqCst) + 1;
                    if done == self.wake_at.load(Ordering::SeqCst) {
                        self.submitter.unpark();
                    }
                }
                Take::Empty { .. } => {
                    self.runners.fetch_sub(1, Ordering::Relaxed);
                    if !self.enlist() {
                        return;
                    }
                    now = self.now();
                }
                other => panic!("no gate is shut: {other:?}"),
            }
        }
    }

    fn work(&self) {
        if !self.work.is_zero() {
            let begun = Wall::now();
            // Busy, as a job for a worker pool is.
            while begun.elapsed() < self.work {}
        }
    }

    fn now(&self) -> Instant {
        Instant::from_micros(self.epoch.elapsed().as_micros() as u64)
    }
}
