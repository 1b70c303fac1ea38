//! What must hold when no context runs: each has ended, or stopped for ever in the middle of what it did.

use std::{collections::HashSet, sync::Arc};

use weirpool_core::{
    breaker,
    pool::{Handle, Outcome, Refused, Running, State, Submit},
    time::Instant,
};

use crate::{
    actor::Actor,
    ledger::{Doing, Job, Ledger, Operation, Span},
    world::World,
};

impl<const SLOTS: usize> World<SLOTS> {
    /// What must hold when no context runs: each has ended or is down in the middle of what it did. What they took with
    /// them is bounded, and beside that the pool does all that it did when it was new.
    pub fn check_quiet(self: &Arc<Self>) {
        self.observe();
        let down = self.control.down();
        let doing: Vec<Doing> = {
            let ledger = self.ledger.lock().unwrap();
            down.iter()
                .map(|&context| ledger.contexts[context])
                .collect()
        };
        let inside = |operations: &[Operation]| {
            let is = |doing: &&Doing| {
                doing
                    .inside
                    .is_some_and(|inside| operations.contains(&inside))
            };
            doing.iter().filter(is).count()
        };
        use Operation::{Abort, Cancel, Finish, Poll, Submit, Take};
        let lost = Lost {
            // Of `Finish` that of a retry: a job that ran has none.
            places: inside(&[Submit, Take, Finish, Cancel, Poll, Abort]),
            permits: inside(&[Take]) + doing.iter().filter(|doing| doing.runs.is_some()).count(),
            claims: inside(&[Take]),
            jobs: inside(&[Take, Finish, Cancel, Poll, Abort]),
            down: down.len(),
        };
        let mut observer = self.actor(0);
        if down.is_empty() {
            observer.check_probes();
        }
        observer.open_all_gates();
        observer.settle_what_is_due(lost);
        observer.settle_jobs_of_the_dead(&doing);
        observer.drain(lost);
        if self.pool.state() == State::Running {
            observer.fill_and_drain(lost);
        }
        self.check_sums(lost);
        self.check_suspects(lost);
    }

    /// Closes the pool when all have ended; it must come to its end.
    pub fn check_close(self: &Arc<Self>) {
        self.pool.close();
        let mut observer = self.actor(0);
        observer.drain(Lost::default());
        assert_eq!(self.pool.state(), State::Closed);
        assert!(matches!(
            self.pool.submit(0, Submit::DEFAULT, Instant::ZERO),
            Err(Refused::Closed(0))
        ));
    }

    /// Law 1: what was accepted and what was settled is the same, except for what the dead took with them.
    fn check_sums(&self, lost: Lost) {
        let seen = self.pool.snapshot();
        let ledger = self.ledger.lock().unwrap();
        let accepted: Vec<Handle> = ledger.jobs.iter().filter_map(|job| job.handle).collect();
        let vanished = accepted
            .iter()
            .filter(|handle| !ledger.settled.contains_key(handle))
            .count();
        let unnamed = ledger.settled.len() + vanished - accepted.len();
        assert!(
            vanished <= lost.jobs,
            "{vanished} jobs vanished, {lost:?}: {:?}",
            ledger.contexts
        );
        assert!(
            unnamed <= lost.places,
            "{unnamed} settled that nobody submitted, {lost:?}"
        );
        assert!(
            (seen.queued + seen.delayed) as usize <= lost.places + lost.down
                && seen.abandoned as usize <= lost.down,
            "{seen:?} with {lost:?}"
        );
        assert!(
            (seen.queued + seen.delayed + seen.running) as usize
                <= lost.jobs + lost.places + lost.down,
            "{seen:?} with {lost:?}"
        );
        if lost.down == 0 {
            assert_eq!(seen.accepted, accepted.len() as u64);
            assert_eq!(
                [seen.completed, seen.failed, seen.timed_out, seen.cancelled],
                [
                    ledger.completed,
                    ledger.failed,
                    ledger.timed_out,
                    ledger.cancelled
                ]
            );
            assert_eq!(
                [seen.started, seen.retried, seen.stale, seen.refused()],
                [ledger.started, ledger.retried, ledger.stale, ledger.refused]
            );
            assert_eq!(seen.delayed, 0);
        }
    }

    /// Nobody who waited all the time was passed over.
    fn check_suspects(&self, lost: Lost) {
        let mut ledger = self.ledger.lock().unwrap();
        let mut doubtful = HashSet::new();
        for suspect in std::mem::take(&mut ledger.suspects) {
            let job = &ledger.jobs[suspect.job];
            // Else it was on its way out, or vanished with a dead context.
            let waited = |removed: Span| removed.begin > suspect.during.end;
            if job.removed.is_some_and(waited) {
                // A worker that is down may have delayed a job, and nobody knows of it.
                doubtful.insert(suspect.job);
                assert!(
                    doubtful.len() <= lost.claims,
                    "{job:?} waited, but {}",
                    suspect.but
                );
            }
        }
    }
}

/// An end after which a job is not tried again, however late it comes.
const OVER: Outcome = Outcome::Permanent { ignored: true };

/// What contexts that are down may have taken with them, at most.
#[derive(Clone, Copy, Default, Debug)]
struct Lost {
    places: usize,
    permits: usize,
    /// Jobs that are on their way from the queue to a worker.
    claims: usize,
    jobs: usize,
    down: usize,
}

impl<const SLOTS: usize> Actor<SLOTS> {
    fn open_all_gates(&mut self) {
        let now = self.now();
        let most_running = self.world.setup.config.most_running;
        let mut ledger = self.world.ledger.lock().unwrap();
        (ledger.limit, ledger.max_in_flight) = (most_running, None);
        drop(ledger);
        let world = self.world.clone();
        self.other(|pool| {
            pool.set_limit(most_running).unwrap();
            pool.set_max_in_flight(None).unwrap();
            pool.set_quota(None, now);
            for breaker in world.breakers() {
                breaker.disable(now);
            }
            pool.resume();
        });
    }

    /// No job runs, so no probe is out: a breaker that is half-open lets one through.
    fn check_probes(&mut self) {
        let now = self.now();
        for breaker in self.world.breakers() {
            if breaker.state(now) == breaker::State::HalfOpen {
                assert_eq!(breaker.check(now), Ok(()), "a probe is lost: {breaker:?}");
            }
        }
    }

    /// How many jobs may run, as the limit is now: if it adapts, its maximum is not reached at once.
    fn limit(&self) -> usize {
        self.world.pool.snapshot().limit as usize
    }

    /// No time-out is missed, whoever stopped in the middle of a change of the timers.
    fn settle_what_is_due(&mut self, lost: Lost) {
        const LATER: u64 = 60_000_000;
        while self.poll(LATER) {}
        let world = self.world.clone();
        let missed: Vec<Handle> = {
            let ledger = world.ledger.lock().unwrap();
            // Those that wait, delayed ones included. Only the dead still run some.
            let runs = |job: &Job| ledger.contexts.iter().any(|doing| doing.runs == job.handle);
            let waits = |job: &&Job| job.due != u64::MAX && !runs(job);
            let waiting = ledger.jobs.iter().filter(waits);
            waiting.filter_map(|job| job.handle).collect()
        };
        let missed = missed
            .into_iter()
            .filter(|&handle| world.pool.is_live(handle));
        assert!(missed.count() <= lost.claims, "a time-out was missed");
    }

    /// A job whose handler is dead is settled at its deadline, or by a cancellation.
    fn settle_jobs_of_the_dead(&mut self, doing: &[Doing]) {
        for doing in doing {
            let (Some(handle), None | Some(Operation::Other)) = (doing.runs, doing.inside) else {
                continue;
            };
            let settled = self.cancel(handle);
            let ledger = self.world.ledger.lock().unwrap();
            let settler_is_down =
                doing_to(&ledger, Operation::Cancel) || doing_to(&ledger, Operation::Poll);
            assert!(
                settled || ledger.settled.contains_key(&handle) || settler_is_down,
                "{handle:?} of a dead worker cannot be settled"
            );
        }
    }

    /// Empties the pool. As long as the dead have not taken all permits, every job can be run.
    fn drain(&mut self, lost: Lost) {
        while self.take() {
            self.finish(OVER);
        }
        let left = self.abort_next();
        assert!(
            !left || lost.permits >= self.limit(),
            "jobs wait, permits are free, and nothing can be taken: {lost:?}"
        );
        while self.abort_next() {}
    }

    /// Law 2: the places and permits that the dead have not taken are all there, a cancelled job's place is free at
    /// once, and slots suffice when all is full.
    fn fill_and_drain(&mut self, lost: Lost) {
        let (mut waiting, config) = (self.fill(), self.world.setup.config);
        assert!(
            waiting.len() + lost.places >= config.capacity,
            "{} of {} places, {lost:?}",
            waiting.len(),
            config.capacity
        );
        if let Some(index) = self.random.index_of(&waiting) {
            let handle = waiting.remove(index);
            assert!(self.cancel(handle), "it waits");
            let next = self.submit_with(Submit::DEFAULT);
            waiting.push(next.expect("the place of the cancelled is free"));
            assert_eq!(self.submit_with(Submit::DEFAULT), None);
        }
        let permits = self.limit().saturating_sub(lost.permits);
        let expected = permits.min(waiting.len());
        let mut order = waiting.into_iter().peekable();
        let mut workers = Vec::new();
        loop {
            let mut worker = self.world.actor(0);
            if !worker.take() {
                break;
            }
            let Some(handle) = worker.running.as_ref().map(Running::handle) else {
                continue;
            };
            if order.next_if_eq(&handle).is_none() {
                // First in, first out. But the sweeps of others may find what a submitter left that died before it
                // could sweep. (It may also be due, and was settled above.)
                let ledger = self.world.ledger.lock().unwrap();
                let named = |job: &Job| job.handle == Some(handle);
                assert!(
                    !ledger.jobs.iter().any(named),
                    "{handle:?} is out of its order"
                );
            }
            workers.push(worker);
        }
        assert!(
            (expected..=usize::from(config.most_running)).contains(&workers.len()),
            "{} run, {config:?}, {lost:?}",
            workers.len()
        );
        self.fill();
        for mut worker in workers {
            worker.finish(OVER);
        }
        self.drain(lost);
    }

    /// Submits until it is full.
    fn fill(&mut self) -> Vec<Handle> {
        let capacity = self.world.setup.config.capacity;
        let filled: Vec<Handle> =
            std::iter::from_fn(|| self.submit_with(Submit::DEFAULT)).collect();
        let seen = self.world.pool.snapshot();
        let waiting = (seen.queued + seen.delayed) as usize;
        assert!(waiting >= capacity, "full, but not full");
        filled
    }
}

fn doing_to(ledger: &Ledger, operation: Operation) -> bool {
    ledger.busy(|inside| inside == operation) > 0
}
