//! The queue is linearizable: short histories of two or three threads, each explained by one order of steps.
//!
//! On threads of the host, and step by step under every kind of schedule (a step as in `simulator/main.rs`):
//! `RUSTFLAGS="--cfg shuttle" cargo test -p weirpool-core --release --test linearizable`. `WEIRPOOL_SEED=…` replays a
//! failing run: exactly with shuttle, its operations alone with the host's threads.
//!
//! # The specification
//! A counter of places and a queue, first in, first out; and which jobs run.
//!
//! | operation | its steps |
//! |---|---|
//! | `submit` | takes a place, or all are taken: *full*; the job joins the queue |
//! | `take` | the first job leaves the queue and runs, or there is none: *empty*; its place is free |
//! | `cancel` | its job leaves the queue: *removed*; its place is free. Or it runs: *signalled*. Or neither: *stale* |
//! | `finish` | its job runs no more: *settled*; or it was cancelled: *stale* |
//!
//! Each step takes effect at one moment between the call and the return, the second after the first. So *full* and *empty*
//! are exact: a place that came back before a call is seen by it, and so is a job whose submission returned. (Between its two
//! steps an operation has a place and no job in the queue: to be in both at once would take a lock.) More jobs may run than
//! do, since a taker has a permit while it looks: where these are scarce, *empty* may mean that.
#![cfg(not(loom))]

mod random;

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

#[cfg(shuttle)]
use shuttle::thread;
#[cfg(not(shuttle))]
use std::thread;

use random::Random;
use weirpool_core::{
    pool::{Cancel, Config, Finish, Handle, Outcome, Pool, Running, Submit, Take, WorkerId},
    time::Instant,
};

const CAPACITY: usize = 2;
const MOST_RUNNING: usize = 10;
type Queue = Pool<u32, { CAPACITY + MOST_RUNNING }>;

fn queue() -> Queue {
    Pool::new(Config {
        capacity: CAPACITY,
        limit: MOST_RUNNING as u16,
        most_running: MOST_RUNNING as u16,
        ..Config::DEFAULT
    })
}

const NOW: Instant = Instant::from_millis(1);

/// What an operation did, and when: by a clock that every look at it advances.
#[derive(Clone, Copy, Debug)]
struct Operation {
    call: u64,
    answer: Answer,
    end: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Submitted(u32),
    Full,
    Taken(u32),
    Empty,
    Removed(u32),
    Signalled(u32),
    NotCancelled(u32),
    Settled(u32),
    CameLate(u32),
}

/// The specification's state.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
struct Spec {
    places_taken: usize,
    queue: VecDeque<u32>,
    /// Jobs with workers, and whether they were cancelled.
    running: BTreeMap<u32, bool>,
}

impl Spec {
    fn with(jobs: &[u32]) -> Self {
        Self {
            places_taken: jobs.len(),
            queue: jobs.iter().copied().collect(),
            running: BTreeMap::new(),
        }
    }

    /// Takes the next step of an operation with this answer; `None` if it cannot be taken now.
    fn step(&self, answer: Answer, done: usize) -> Option<Self> {
        let mut next = self.clone();
        let possible = match (answer, done) {
            (Answer::Submitted(_), 0) => {
                next.places_taken += 1;
                next.places_taken <= CAPACITY
            }
            (Answer::Submitted(job), _) => {
                next.queue.push_back(job);
                true
            }
            (Answer::Full, _) => self.places_taken == CAPACITY,
            (Answer::Taken(job), 0) => {
                next.running.insert(job, false);
                next.queue.pop_front() == Some(job)
            }
            (Answer::Empty, _) => self.queue.is_empty(),
            (Answer::Removed(job), 0) => {
                next.queue.retain(|&other| other != job);
                next.queue.len() < self.queue.len()
            }
            (Answer::Taken(_) | Answer::Removed(_), _) => {
                next.places_taken -= 1;
                true
            }
            (Answer::Signalled(job), _) => next.running.insert(job, true) == Some(false),
            (Answer::NotCancelled(job), _) => {
                !self.queue.contains(&job) && self.running.get(&job) != Some(&false)
            }
            (Answer::Settled(job), _) => next.running.remove(&job) == Some(false),
            (Answer::CameLate(job), _) => next.running.remove(&job) == Some(true),
        };
        possible.then_some(next)
    }
}

fn steps_of(answer: Answer) -> usize {
    match answer {
        Answer::Submitted(_) | Answer::Taken(_) | Answer::Removed(_) => 2,
        _ => 1,
    }
}

/// Whether the operations' steps can be put in one order that the specification allows.
///
/// By a search through all orders (J. Wing and C. Gong, "Testing and verifying concurrent objects", 1993) that comes to no
/// state twice (G. Lowe, "Testing for linearizability", 2017).
fn is_linearizable(first: Spec, history: &[Operation]) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![(vec![0; history.len()], first)];
    while let Some((done, spec)) = open.pop() {
        let is_over = |operation: usize| done[operation] == steps_of(history[operation].answer);
        let left = (0..history.len()).filter(|&operation| !is_over(operation));
        // Whoever was called after another one's end comes after all of its steps.
        let Some(first_end) = left.clone().map(|operation| history[operation].end).min() else {
            return true;
        };
        for operation in left.filter(|&operation| history[operation].call < first_end) {
            let Operation { answer, .. } = history[operation];
            if let Some(next) = spec.step(answer, done[operation]) {
                let mut done = done.clone();
                done[operation] += 1;
                if seen.insert((done.clone(), next.clone())) {
                    open.push((done, next));
                }
            }
        }
    }
    false
}

/// One that uses the queue.
struct Actor {
    queue: Arc<Queue>,
    clock: Arc<AtomicU64>,
    random: Random,
    /// Jobs that it may cancel, those that it runs, and the number of its next one.
    known: Vec<(u32, Handle)>,
    held: Vec<Running<u32>>,
    next: u32,
    history: Vec<Operation>,
}

impl Actor {
    fn play(mut self) -> Vec<Operation> {
        for _ in 0..2 + self.random.below(3) {
            match self.random.below(8) {
                0..3 => self.submit(),
                3..6 => self.take(),
                6 => self.cancel(),
                _ => self.finish(),
            }
        }
        self.history
    }

    fn note<R>(&mut self, perform: impl FnOnce(&Queue) -> R, what: impl FnOnce(&R) -> Answer) -> R {
        let call = self.clock.fetch_add(1, SeqCst);
        let returned = perform(&self.queue);
        let end = self.clock.fetch_add(1, SeqCst);
        let answer = what(&returned);
        self.history.push(Operation { call, answer, end });
        returned
    }

    fn submit(&mut self) {
        let job = self.next;
        self.next += 1;
        let answer = self.note(
            |queue| queue.submit(job, Submit::DEFAULT, NOW),
            |answer| match answer {
                Ok(_) => Answer::Submitted(job),
                Err(_) => Answer::Full,
            },
        );
        self.known.extend(answer.ok().map(|handle| (job, handle)));
    }

    fn take(&mut self) {
        let answer = self.note(
            |queue| queue.take(WorkerId(0), NOW),
            |answer| match answer {
                Take::Job(running) => Answer::Taken(*running.job()),
                _ => Answer::Empty,
            },
        );
        if let Take::Job(running) = answer {
            self.held.push(running);
        }
    }

    fn cancel(&mut self) {
        let Some(index) = self.random.index_of(&self.known) else {
            return self.submit();
        };
        let (job, handle) = self.known[index];
        let _ = self.note(
            |queue| queue.cancel(handle, NOW),
            |answer| match answer {
                Cancel::Removed(_) => Answer::Removed(job),
                Cancel::Signalled => Answer::Signalled(job),
                Cancel::Stale => Answer::NotCancelled(job),
            },
        );
    }

    fn finish(&mut self) {
        let Some(running) = self.held.pop() else {
            return self.take();
        };
        let job = *running.job();
        let _ = self.note(
            |queue| queue.finish(running, Outcome::Success, NOW),
            |answer| match answer {
                Finish::Stale(_) => Answer::CameLate(job),
                _ => Answer::Settled(job),
            },
        );
    }
}

/// Plays one history of two or three actors on a queue that holds none, one or two jobs.
fn play(seed: u64) {
    let mut random = Random::new(seed);
    let queue = Arc::new(queue());
    let known: Vec<_> = (0..random.below(CAPACITY as u64 + 1) as u32)
        .map(|job| (job, queue.submit(job, Submit::DEFAULT, NOW).unwrap()))
        .collect();
    let jobs: Vec<u32> = known.iter().map(|&(job, _)| job).collect();
    let clock = Arc::new(AtomicU64::new(0));
    let count = 2 + random.below(2);
    #[cfg(not(shuttle))]
    let start = Arc::new(std::sync::Barrier::new(count as usize));
    let threads: Vec<_> = (1..=count)
        .map(|number| {
            let actor = Actor {
                queue: queue.clone(),
                clock: clock.clone(),
                random: Random::new(random.next()),
                known: known.clone(),
                held: Vec::new(),
                next: 100 * number as u32,
                history: Vec::new(),
            };
            #[cfg(not(shuttle))]
            let start = start.clone();
            thread::spawn(move || {
                #[cfg(not(shuttle))]
                start.wait();
                actor.play()
            })
        })
        .collect();
    let histories = threads.into_iter().map(|thread| thread.join().unwrap());
    let mut history: Vec<Operation> = histories.flatten().collect();
    history.sort_by_key(|operation| operation.call);
    assert!(
        is_linearizable(Spec::with(&jobs), &history),
        "no order explains this, with {jobs:?} in the queue: {history:#?}"
    );
}

#[test]
fn short_histories_have_an_order() {
    let first = random::seed();
    for run in 0..if cfg!(shuttle) { 1_500 } else { 3_000 } {
        let seed = first.wrapping_add(run);
        let outcome = catch_unwind(AssertUnwindSafe(|| explore(seed, 10, move || play(seed))));
        if let Err(panic) = outcome {
            eprintln!("replay by WEIRPOOL_SEED={seed}");
            resume_unwind(panic);
        }
    }
}

/// crossbeam's test of its `ArrayQueue`: who submits, as soon as there is room, and then takes finds a job, its own or
/// another one.
#[test]
fn submit_or_retry_and_then_take_never_fails() {
    let rounds = if cfg!(shuttle) { 8 } else { 20_000 };
    explore(random::seed(), 400, move || {
        let queue = Arc::new(queue());
        let threads: Vec<_> = (0..4)
            .map(|job| {
                let queue = queue.clone();
                thread::spawn(move || {
                    for _ in 0..rounds {
                        while queue.submit(job, Submit::DEFAULT, NOW).is_err() {
                            thread::yield_now();
                        }
                        let Take::Job(running) = queue.take(WorkerId(0), NOW) else {
                            panic!("a job was submitted and is not there")
                        };
                        let _ = queue.finish(running, Outcome::Success, NOW);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// Plays a scene once with the host's threads.
#[cfg(not(shuttle))]
fn explore(_seed: u64, _schedules: usize, scene: impl Fn()) {
    scene();
}

/// Plays a scene by so many schedules: in one half any context may take the next step, in the other few preemptions are
/// placed at random.
#[cfg(shuttle)]
fn explore(seed: u64, schedules: usize, scene: impl Fn() + Send + Sync + Clone + 'static) {
    use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};

    fn run(scheduler: impl Scheduler + 'static, scene: impl Fn() + Send + Sync + 'static) {
        let mut config = shuttle::Config::new();
        // A pool's words are large in this build.
        config.stack_size = 1 << 20;
        // The seed is enough.
        config.failure_persistence = shuttle::FailurePersistence::None;
        config.silence_warnings = true;
        shuttle::Runner::new(scheduler, config).run(scene);
    }

    let half = schedules / 2;
    run(RandomScheduler::new_from_seed(seed, half), scene.clone());
    run(PctScheduler::new_from_seed(seed, 3, half), scene);
}

/// The search tells histories that have an order from such that have none.
#[test]
fn the_search_knows_an_order_when_there_is_one() {
    use Answer::*;

    fn check(jobs: &[u32], operations: &[(u64, Answer, u64)]) -> bool {
        let operation = |&(call, answer, end): &_| Operation { call, answer, end };
        let history: Vec<_> = operations.iter().map(operation).collect();
        is_linearizable(Spec::with(jobs), &history)
    }

    // A job whose submission returned is seen; one whose submission goes on may be.
    assert!(!check(&[], &[(0, Submitted(1), 1), (2, Empty, 3)]));
    assert!(check(&[], &[(0, Submitted(1), 3), (1, Empty, 2)]));
    assert!(check(&[], &[(0, Submitted(1), 3), (1, Taken(1), 2)]));
    assert!(!check(&[], &[(0, Taken(1), 1), (2, Submitted(1), 3)]));
    // First in, first out, and each once.
    assert!(!check(&[1, 2], &[(0, Taken(2), 1), (2, Taken(1), 3)]));
    assert!(check(&[1, 2], &[(0, Taken(2), 3), (1, Taken(1), 2)]));
    assert!(!check(&[1], &[(0, Taken(1), 3), (1, Taken(1), 2)]));
    // A place that came back is there.
    assert!(!check(&[1, 2], &[(0, Taken(1), 1), (2, Full, 3)]));
    assert!(!check(&[1, 2], &[(0, Removed(2), 1), (2, Full, 3)]));
    assert!(check(&[1, 2], &[(0, Taken(1), 3), (1, Full, 2)]));
    assert!(!check(&[1], &[(0, Full, 1)]));
    // A job that is in the middle of its way holds a place and is not in the queue.
    let halfway = [(0, Taken(1), 7), (1, Taken(2), 2), (3, Empty, 4)];
    let (full, submitted) = ((5, Full, 6), (5, Submitted(3), 6));
    assert!(check(
        &[1, 2],
        &[halfway[0], halfway[1], halfway[2], submitted]
    ));
    assert!(!check(&[1, 2], &[halfway[0], halfway[1], halfway[2], full]));
    // One settles it.
    assert!(!check(&[1], &[(0, Removed(1), 3), (1, Taken(1), 2)]));
    let run = [(0, Taken(1), 1), (2, Signalled(1), 5)];
    assert!(check(&[1], &[run[0], run[1], (3, CameLate(1), 4)]));
    assert!(!check(&[1], &[run[0], run[1], (3, Settled(1), 4)]));
    assert!(check(
        &[1],
        &[run[0], (2, NotCancelled(1), 5), (3, Settled(1), 4)]
    ));
    assert!(!check(
        &[1],
        &[run[0], (2, NotCancelled(1), 3), (4, Settled(1), 5)]
    ));
}
