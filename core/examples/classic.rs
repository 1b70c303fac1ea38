//! The classic worker pool: 5 workers, room for 10, at most 10 in flight, a time-out of 30 s, and 50 jobs with random
//! durations up to a second, submitted at once from many threads. Results are printed as they come, metrics at the end.
//!
//! `cargo run -p weirpool-core --example classic`

use std::{
    sync::{Condvar, Mutex, mpsc},
    thread,
    time::{Duration, Instant as Wall},
};

use weirpool_core::{
    breaker,
    metrics::Snapshot,
    pool::{
        Completion, Config, Finish, Outcome, Poll, Pool, Refusal, Settled, State, Submit, Take,
        WorkerId,
    },
    time::Instant,
};

const WORKERS: u16 = 5;
const TIMEOUT: Duration = Duration::from_secs(30);

/// The demo job: it sleeps for its duration.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Its number.
    pub id: u32,
    /// How long it sleeps.
    pub duration: Duration,
}

#[allow(dead_code, reason = "the test of the same scenario has its own main")]
fn main() {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let jobs = (1..=50).map(|id| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        Job {
            id,
            duration: Duration::from_millis(random % 1000),
        }
    });
    let seen = run(jobs.collect(), |done| {
        println!(
            "job {:2}: {:?} after {:?} by worker {}",
            done.job.id,
            done.result,
            done.run,
            done.worker.unwrap().0
        );
    });
    println!("{}", report(&seen));
}

/// Runs the jobs and gives the metrics at the end. Every result is shown as it comes.
pub fn run(jobs: Vec<Job>, mut show: impl FnMut(Completion<Job>)) -> Snapshot {
    let scene = Scene {
        pool: Pool::new(Config {
            capacity: 10,
            limit: WORKERS,
            most_running: WORKERS,
            max_in_flight: Some(10),
            breaker: Some(breaker::Config {
                consecutive: Some(5),
                failure_rate: None,
                ..breaker::Config::DEFAULT
            }),
            ..Config::DEFAULT
        }),
        begun: Wall::now(),
        lock: Mutex::new(()),
        changed: Condvar::new(),
    };
    let (results, collector) = mpsc::channel();
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (scene, results) = (&scene, results.clone());
            scope.spawn(move || scene.work(WorkerId(worker), &results));
        }
        drop(results);
        let submitters: Vec<_> = jobs
            .into_iter()
            .map(|job| {
                let scene = &scene;
                scope.spawn(move || scene.submit(job))
            })
            .collect();
        let stop = scope.spawn(|| {
            for submitter in submitters {
                submitter.join().unwrap();
            }
            scene.pool.close();
            scene.notify();
        });
        // Ends when the last worker has left.
        collector.iter().for_each(&mut show);
        stop.join().unwrap();
    });
    scene.pool.snapshot()
}

struct Scene {
    pool: Pool<Job, 15>,
    begun: Wall,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Scene {
    fn now(&self) -> Instant {
        Instant::from_micros(self.begun.elapsed().as_micros() as u64)
    }

    fn notify(&self) {
        drop(self.lock.lock().unwrap());
        self.changed.notify_all();
    }

    /// Submits a job, waiting for room until the time-out.
    fn submit(&self, mut job: Job) {
        let options = Submit {
            run_timeout: Some(TIMEOUT),
            ..Submit::DEFAULT
        };
        let deadline = Wall::now() + TIMEOUT;
        let mut guard = self.lock.lock().unwrap();
        loop {
            match self.pool.submit(job, options, self.now()) {
                Ok(_) => break,
                Err(refused) => job = refused.into_inner(),
            }
            let left = deadline.saturating_duration_since(Wall::now());
            if left.is_zero() {
                self.pool.note_refused(Refusal::Timeout, None, self.now());
                eprintln!("job {}: no room in time", job.id);
                break;
            }
            guard = self.changed.wait_timeout(guard, left).unwrap().0;
        }
        drop(guard);
        self.changed.notify_all();
    }

    /// Runs jobs until the pool is closed and drained.
    fn work(&self, worker: WorkerId, results: &mpsc::Sender<Completion<Job>>) {
        let mut guard = self.lock.lock().unwrap();
        while self.pool.state() != State::Closed {
            loop {
                match self.pool.poll(self.now()) {
                    Poll::Settled(done) => _ = results.send(done),
                    // Its worker still has the job, and its `finish` will be stale.
                    Poll::TimedOut(_) | Poll::Promoted(_) => {}
                    Poll::Idle { .. } => break,
                }
            }
            match self.pool.take(worker, self.now()) {
                Take::Job(running) => {
                    drop(guard);
                    thread::sleep(running.job().duration);
                    if let Finish::Settled(done) =
                        self.pool.finish(running, Outcome::Success, self.now())
                    {
                        _ = results.send(done);
                    }
                    guard = self.lock.lock().unwrap();
                    self.changed.notify_all();
                }
                Take::Settled(done) => _ = results.send(done),
                Take::Delayed { .. } | Take::Stale(_) => {}
                Take::Empty { .. } => guard = self.changed.wait(guard).unwrap(),
            }
        }
    }
}

/// The metrics in words.
pub fn report(seen: &Snapshot) -> String {
    assert_eq!(seen.settled(), seen.accepted, "every accepted job settled");
    format!(
        "accepted {}, refused {}, completed {}, failed {}, timed out {}, cancelled {}\n\
         wait: mean {} ms, p99 {} ms; run: mean {} ms, p99 {} ms",
        seen.accepted,
        seen.refused(),
        seen.completed,
        seen.failed,
        seen.timed_out,
        seen.cancelled,
        seen.wait.mean / 1000,
        seen.wait.p99 / 1000,
        seen.run.mean / 1000,
        seen.run.p99 / 1000,
    )
}

/// Whether a result is a success.
pub fn ok(done: &Completion<Job>) -> bool {
    done.result == Settled::Completed
}
