//! The scheduler of the simulator: it interleaves contexts step by step, and makes some stop where they are.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

use crate::random::Random;

/// A scheduler for one run. A step is what a context does up to its next access to an atomic word.
///
/// The first task is the *observer*. It runs between two steps of the contexts, now and then and when no context can
/// run, and nobody else runs until it yields: whatever it does is one step for all others.
pub struct Adversary {
    random: Random,
    control: Arc<Control>,
    /// An adversary is good for one run.
    started: bool,
    /// Steps at which the context whose turn it is goes down, latest first.
    falls: Vec<u64>,
    /// Until which step each context stalls.
    stalled: Vec<u64>,
    /// One in so many steps changes the context, begins a stall, or is observed.
    switch: u64,
    stall: u64,
    observe: u64,
}

/// What the scheduler and those it schedules tell each other. All of them run on one thread.
#[derive(Default)]
pub struct Control {
    /// Steps of contexts so far.
    steps: AtomicU64,
    /// The step at which a context last completed an operation.
    progress: AtomicU64,
    /// The most steps of contexts without a completed operation.
    longest: AtomicU64,
    /// Steps of the observer so far.
    observed: AtomicU64,
    /// Whether no context can run: each has ended or is down.
    quiet: AtomicBool,
    /// Contexts that stopped for good, at least until the observer wakes them.
    down: Mutex<Vec<usize>>,
    falls: AtomicU64,
}

const OBSERVER: usize = 0;

/// More steps than all contexts at once need for one operation each, with a retry for each success of another.
const MOST_IDLE: u64 = 2_000;

impl Adversary {
    /// `falls` is the steps at which some context goes down.
    pub fn new(mut random: Random, mut falls: Vec<u64>, control: Arc<Control>) -> Self {
        falls.sort_unstable_by(|a, b| b.cmp(a));
        Self {
            switch: random.one_of([1, 2, 3, 10, 50]),
            stall: random.one_of([20, 200, 2_000]),
            observe: random.one_of([500, 2_000]),
            random,
            control,
            started: false,
            falls,
            stalled: Vec::new(),
        }
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.random.below(times) == 0
    }

    /// The next context among those that are not down.
    fn choose(&mut self, up: &[usize], current: usize, now: u64) -> usize {
        let stalled = |context: usize| self.stalled.get(context).copied().unwrap_or(0);
        let awake: Vec<usize> = up.iter().copied().filter(|&c| stalled(c) <= now).collect();
        if awake.is_empty() {
            // Time for the stalled goes by when nobody else is there.
            return *up.iter().min_by_key(|&&c| stalled(c)).expect("some are up");
        }
        if awake.contains(&current) && self.switch > 1 && !self.one_in(self.switch) {
            return current;
        }
        awake[self.random.below(awake.len() as u64) as usize]
    }
}

impl Scheduler for Adversary {
    fn new_execution(&mut self) -> Option<Schedule> {
        (!std::mem::replace(&mut self.started, true)).then(|| Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let current = current.map_or(OBSERVER, usize::from);
        let ids = runnable.iter().map(|task| usize::from(task.id()));
        let observer = ids.clone().any(|id| id == OBSERVER);
        if observer && current == OBSERVER && !is_yielding {
            self.control.observed.fetch_add(1, Relaxed);
            return Some(OBSERVER.into());
        }
        let now = self.control.steps.fetch_add(1, Relaxed);
        let mut down = self.control.down.lock().unwrap();
        if current != OBSERVER && self.falls.last().is_some_and(|&fall| fall <= now) {
            self.falls.pop();
            down.push(current);
            self.control.falls.fetch_add(1, Relaxed);
        }
        let up: Vec<usize> = ids
            .filter(|id| *id != OBSERVER && !down.contains(id))
            .collect();
        drop(down);
        self.control.quiet.store(up.is_empty(), Relaxed);
        if observer && (up.is_empty() || self.one_in(self.observe)) {
            return Some(OBSERVER.into());
        }
        if up.is_empty() {
            // The observer has ended, and only those that are down for ever are left.
            return None;
        }
        let idle = now - self.control.progress.load(Relaxed);
        self.control.longest.fetch_max(idle, Relaxed);
        // Law 3: whoever stopped where, those that are up get something done.
        assert!(idle < MOST_IDLE, "{idle} steps and no operation is done");
        if current != OBSERVER && self.one_in(self.stall) {
            self.stalled.resize(self.stalled.len().max(current + 1), 0);
            self.stalled[current] = now + self.random.below(self.stall * 20);
        }
        Some(self.choose(&up, current, now).into())
    }

    fn next_u64(&mut self) -> u64 {
        self.random.next()
    }
}

impl Control {
    /// To be called by a context that has completed an operation.
    pub fn progressed(&self) {
        self.progress.store(self.steps.load(Relaxed), Relaxed);
    }

    /// Contexts that stopped in the middle of what they did, numbered from 1 in the order in which they were spawned.
    pub fn down(&self) -> Vec<usize> {
        self.down.lock().unwrap().clone()
    }

    /// Lets those that are down go on.
    pub fn wake(&self) {
        self.down.lock().unwrap().clear();
        self.progressed();
    }

    pub fn is_quiet(&self) -> bool {
        self.quiet.load(Relaxed)
    }

    pub fn steps(&self) -> u64 {
        self.steps.load(Relaxed)
    }

    pub fn observer_steps(&self) -> u64 {
        self.observed.load(Relaxed)
    }

    /// How often a context stopped for good.
    pub fn falls(&self) -> u64 {
        self.falls.load(Relaxed)
    }

    pub fn longest_without_progress(&self) -> u64 {
        self.longest.load(Relaxed)
    }
}
