//! One that uses the pool.

use std::{sync::Arc, time::Duration};

use shuttle::{sync::atomic::Ordering, thread};
use weirpool_core::{
    breaker::State,
    pool::{
        Cancel, Finish, Handle, Kind, Outcome, Poll, Pool, Priority, Retry, Running, Settled,
        Submit, Take, WorkerId,
    },
    rate::Quota,
    time::Instant,
};

use crate::{
    ledger::{Job, Ledger, Operation, STAMP_MICROS, Span},
    random::Random,
    setup::{BREAKERS, KINDS, breakers},
    world::World,
};

/// One that uses the pool: a context, or the observer.
pub struct Actor<const SLOTS: usize> {
    pub world: Arc<World<SLOTS>>,
    pub context: usize,
    pub random: Random,
    pub running: Option<Running<u64>>,
}

impl<const SLOTS: usize> Actor<SLOTS> {
    pub fn is_over(&self) -> bool {
        let ledger = self.world.ledger.lock().unwrap();
        let jobs = self.world.setup.jobs;
        // Some never come so far: paused by an operator who is dead, or with no worker left.
        ledger.settled.len() >= jobs || ledger.ticks >= 100 * jobs as u64
    }

    /// This context's time: a little later than the last of all, or earlier, or far off.
    pub fn now(&mut self) -> Instant {
        let time = {
            let mut ledger = self.world.ledger.lock().unwrap();
            ledger.time += self.random.below(100);
            ledger.time
        };
        Instant::from_micros(match self.random.below(200) {
            0..20 => time - self.random.below(3_000),
            20 => time - self.random.below(8_000_000),
            21 => time + self.random.below(8_000_000),
            _ => time,
        })
    }

    /// Performs an operation and then, in its last step, notes its result.
    pub fn perform<R, N>(
        &mut self,
        operation: Operation,
        perform: impl FnOnce(&Pool<u64, SLOTS, KINDS>) -> R,
        note: impl FnOnce(&mut Ledger, R, Span) -> N,
    ) -> N {
        let world = self.world.clone();
        let begin = {
            let mut ledger = world.ledger.lock().unwrap();
            ledger.contexts[self.context].inside = Some(operation);
            ledger.tick()
        };
        let steps = world.control.observer_steps();
        let result = perform(&world.pool);
        let solo = world.control.observer_steps() - steps;
        assert!(
            self.context != 0 || solo <= most_steps(SLOTS, world.control.down().len()),
            "{operation:?} took {solo} steps with nobody else about"
        );
        let mut ledger = world.ledger.lock().unwrap();
        ledger.contexts[self.context].inside = None;
        world.control.progressed();
        let end = ledger.tick();
        note(&mut ledger, result, Span { begin, end })
    }

    /// Takes some steps that touch nothing of the pool.
    pub fn pass_time(&mut self, most: u64) {
        for _ in 0..self.random.below(most) {
            self.world.work.load(Ordering::Relaxed);
            self.world.control.progressed();
        }
    }

    pub fn submit(&mut self) {
        let mut timeout =
            || (self.random.below(6) == 0).then(|| Duration::from_micros(self.random.below(3_000)));
        let (queue_timeout, run_timeout, total_timeout) = (timeout(), timeout(), timeout());
        let options = Submit {
            priority: self.random.one_of([
                Priority::Low,
                Priority::Normal,
                Priority::Normal,
                Priority::Critical,
            ]),
            queue_timeout,
            run_timeout,
            total_timeout,
            retry: self.random.one_of([Retry::Pool, Retry::Pool, Retry::Off]),
            // The last is one that the pool has no breaker for.
            kind: self
                .random
                .one_of([None, Some(Kind(0)), Some(Kind(1)), Some(Kind(2))]),
        };
        if self.submit_with(options).is_none() {
            thread::yield_now();
        }
    }

    pub fn submit_with(&mut self, options: Submit) -> Option<Handle> {
        let now = self.now();
        let job = {
            let mut ledger = self.world.ledger.lock().unwrap();
            ledger.latest = ledger.latest.max(now.as_micros());
            let begin = ledger.tick();
            ledger.jobs.push(Job {
                priority: options.priority,
                at: now.as_micros(),
                due: due(&options, now),
                total_due: due_after(options.total_timeout, now),
                attempts: 0,
                submitted: Span {
                    begin,
                    end: u64::MAX,
                },
                handle: None,
                ceiling: u64::MAX,
                removed: None,
            });
            ledger.jobs.len() - 1
        };
        self.perform(
            Operation::Submit,
            |pool| pool.submit(job as u64, options, now),
            |ledger, result, span| match result {
                Ok(handle) => {
                    // A stamp is at most the latest time and one more for each submission.
                    let ceiling = ledger.latest / STAMP_MICROS + ledger.jobs.len() as u64 / 16 + 1;
                    let early = ledger.delayed_early.remove(&handle);
                    let job = &mut ledger.jobs[job];
                    job.submitted.end = span.end;
                    job.ceiling = ceiling;
                    job.handle = Some(handle);
                    job.removed = job.removed.or(early);
                    Some(handle)
                }
                Err(refused) => {
                    assert_eq!(refused.into_inner(), job as u64);
                    ledger.refused += 1;
                    None
                }
            },
        )
    }

    /// A worker takes a job, or goes on with the one it has.
    pub fn work(&mut self) {
        let Some(running) = &self.running else {
            if !self.take() {
                thread::yield_now();
            }
            return;
        };
        let (handle, now) = (running.handle(), running.started());
        self.perform(
            Operation::Other,
            |pool| pool.is_live(handle),
            |ledger, live, _| {
                assert!(
                    !live || !ledger.settled.contains_key(&handle),
                    "live, but settled"
                )
            },
        );
        // Bad times and good ones, so that the breaker opens and closes.
        let outcome = if now.as_micros() >> 12 & 1 == 1 {
            self.random
                .one_of([Outcome::Failure, Outcome::Failure, Outcome::Panic])
        } else {
            self.random
                .one_of([Outcome::Success, Outcome::Success, Outcome::Ignored])
        };
        self.finish(outcome);
    }

    /// Takes a job or settles one; whether there was one.
    pub fn take(&mut self) -> bool {
        let now = self.now();
        let (context, worker) = (self.context, WorkerId(self.context as u16));
        let world = self.world.clone();
        let (found, running) = self.perform(
            Operation::Take,
            |pool| {
                let answer = pool.take(worker, now);
                let probes = match &answer {
                    Take::Job(running) => world.probes_of(running, now),
                    _ => [None; BREAKERS],
                };
                (answer, probes)
            },
            |ledger, (answer, probes), span| match answer {
                Take::Job(running) => {
                    ledger.contexts[context].runs = Some(running.handle());
                    ledger.contexts[context].probes = probes;
                    let (job, handle) = (*running.job(), running.handle());
                    ledger.start(job, handle, running.attempt(), span);
                    ledger.check_limits();
                    (true, Some(running))
                }
                Take::Settled(done) => {
                    ledger.remove_settled(done, span, true);
                    (true, None)
                }
                Take::Delayed { handle, .. } => {
                    let is = |job: &Job| job.handle == Some(handle);
                    match ledger.jobs.iter().position(is) {
                        Some(job) => ledger.remove(job as u64, handle, span, true),
                        None => _ = ledger.delayed_early.entry(handle).or_insert(span),
                    }
                    (true, None)
                }
                Take::Stale(job) => {
                    if let Some(handle) = ledger.jobs[job as usize].handle {
                        ledger.remove(job, handle, span, true);
                    }
                    ledger.stale += 1;
                    (true, None)
                }
                Take::Empty { next } => {
                    ledger.remind(span, None, next);
                    (false, None)
                }
            },
        );
        self.running = running;
        found
    }

    pub fn finish(&mut self, outcome: Outcome) {
        let Some(running) = self.running.take() else {
            return;
        };
        let (context, job, handle) = (self.context, *running.job(), running.handle());
        // Its permits may come back at any step of the call.
        self.world.ledger.lock().unwrap().contexts[context].probes = [None; BREAKERS];
        let now = self.now();
        self.perform(
            Operation::Finish,
            |pool| pool.finish(running, outcome, now),
            |ledger, result, _| {
                ledger.contexts[context].runs = None;
                match result {
                    Finish::Settled(done) => {
                        assert_eq!((done.job, done.handle), (job, handle));
                        ledger.settle(handle, done.result);
                    }
                    Finish::Retry { .. } => ledger.retried += 1,
                    Finish::Stale(stale) => {
                        assert_eq!(stale, job);
                        ledger.stale += 1;
                    }
                }
            },
        );
    }

    /// Cancels one of the jobs that were accepted last, which may be settled already.
    pub fn cancel_some(&mut self) {
        let handle = {
            let ledger = self.world.ledger.lock().unwrap();
            let mut recent = ledger.jobs.iter().rev().filter_map(|job| job.handle);
            recent.nth(self.random.below(8) as usize)
        };
        match handle {
            Some(handle) => _ = self.cancel(handle),
            None => self.other(|pool| _ = pool.state()),
        }
    }

    /// Cancels; whether this settled the job.
    pub fn cancel(&mut self, handle: Handle) -> bool {
        let now = self.now();
        self.perform(
            Operation::Cancel,
            |pool| pool.cancel(handle, now),
            |ledger, result, span| match result {
                Cancel::Removed(done) => {
                    assert_eq!(done.handle, handle);
                    ledger.remove_settled(done, span, false);
                    true
                }
                Cancel::Signalled => {
                    ledger.settle(handle, Settled::Cancelled);
                    true
                }
                Cancel::Stale => false,
            },
        )
    }

    /// Polls, by a clock that is so many microseconds ahead; whether something was due.
    pub fn poll(&mut self, ahead: u64) -> bool {
        let now = self.now().saturating_add(Duration::from_micros(ahead));
        self.perform(
            Operation::Poll,
            |pool| pool.poll(now),
            |ledger, result, span| match result {
                Poll::Settled(done) => {
                    ledger.remove_settled(done, span, false);
                    true
                }
                Poll::TimedOut(expired) => {
                    ledger.settle(expired.handle, Settled::TimedOut(expired.phase));
                    true
                }
                Poll::Promoted(_) => true,
                Poll::Idle { next } => {
                    ledger.remind(span, Some(now), next);
                    false
                }
            },
        )
    }

    pub fn abort_next(&mut self) -> bool {
        let now = self.now();
        self.perform(
            Operation::Abort,
            |pool| pool.abort_next(now),
            |ledger, result, span| match result {
                Some(done) => {
                    assert_eq!(done.result, Settled::Cancelled);
                    ledger.remove_settled(done, span, true);
                    true
                }
                None => false,
            },
        )
    }

    /// Changes what may be changed while the pool works.
    pub fn operate(&mut self) {
        let now = self.now();
        let most_running = self.world.setup.config.most_running;
        let limit = 1 + self.random.below(u64::from(most_running)) as u16;
        match self.random.below(20) {
            0 => _ = self.abort_next(),
            1 => {
                let mut ledger = self.world.ledger.lock().unwrap();
                ledger.limit = ledger.limit.max(limit);
                drop(ledger);
                self.other(|pool| pool.set_limit(limit).unwrap());
            }
            2 => self.other(Pool::pause),
            3..6 => self.other(Pool::resume),
            6..18 => self.other(|pool| _ = pool.wants_worker()),
            18 => {
                let which = self.random.below(BREAKERS as u64) as usize;
                let world = self.world.clone();
                if breakers(&world.setup.config)[which].is_some() {
                    self.other(|_| world.breakers()[which].reset(now));
                }
            }
            _ => self.other(|pool| pool.set_quota(Some(Quota::per_second(5_000)), now)),
        }
    }

    pub fn other(&mut self, operation: impl FnOnce(&Pool<u64, SLOTS, KINDS>)) {
        self.perform(Operation::Other, operation, |_, (), _| ());
    }
}

/// When the time-out of a waiting job is due, as the pool says it: to a stamp, rounded up.
pub fn due(options: &Submit, now: Instant) -> u64 {
    due_after(options.queue_timeout, now).min(due_after(options.total_timeout, now))
}

fn due_after(timeout: Option<Duration>, now: Instant) -> u64 {
    timeout.map_or(u64::MAX, |timeout| {
        let due = now.saturating_add(timeout).as_micros();
        due.next_multiple_of(STAMP_MICROS)
    })
}

impl<const SLOTS: usize> World<SLOTS> {
    /// The generations of a job's permits, of the breakers that show these generations as half-open.
    fn probes_of(&self, running: &Running<u64>, now: Instant) -> [Option<u32>; BREAKERS] {
        // Only its text shows them.
        let text = format!("{running:?}");
        let number_after = |label| {
            let (_, rest) = text.split_once(label)?;
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            rest[..end].parse::<u32>().ok()
        };
        let pool = number_after(" pool: ").expect("a permit of the pool");
        let kind = number_after("Some(Kind(");
        let of_kind = number_after(" of_kind: ").expect("a number");
        let breakers = self.breakers();
        std::array::from_fn(|breaker| {
            let generation = match breaker.checked_sub(1) {
                None => pool,
                of if of == kind.map(|kind| kind as usize) => of_kind,
                _ => return None,
            };
            let seen = breakers[breaker].snapshot(now);
            (seen.state == State::HalfOpen && seen.generation == generation).then_some(generation)
        })
    }
}

/// The most steps of an operation while so many others are down: sweeps of one path of the tournaments, a few of its
/// own and one for each of those that left a dead winner, and some twenty words beside them.
pub fn most_steps(slots: usize, down: usize) -> u64 {
    let levels = slots.next_power_of_two().ilog2().div_ceil(3).max(1);
    let sweep = 20 * u64::from(levels);
    (4 + 2 * down as u64) * sweep + 60
}
