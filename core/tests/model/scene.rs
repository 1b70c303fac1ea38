//! The pool and its model side by side: what they do in turn, and that they agree.

use std::{collections::BTreeMap, time::Duration};

use weirpool_core::{
    pool::{
        Completion, Config, Failure, Handle, Kind, Outcome, Poll, Pool, Running, Settled, State,
    },
    time::Instant,
};

use super::{
    KINDS, SLOTS, STEPS,
    breakers::{BreakerModel, BreakersModel},
    job::{Counts, Delayed, Job, Run},
    limits::{BudgetModel, LimitModel, RateModel},
    order::OrderModel,
    random::Random,
    time::{due, is_due, since},
};

pub struct Scene {
    pub pool: Pool<u64, SLOTS, KINDS>,
    pub random: Random,
    pub config: Config,
    pub now: u64,
    pub state: State,
    pub waiting: BTreeMap<u64, Job>,
    pub delayed: BTreeMap<u64, Delayed>,
    pub running: BTreeMap<u64, Run>,
    /// What the handlers hold, by handle.
    pub held: BTreeMap<u64, Running<u64>>,
    /// Handles of settled jobs.
    pub stale: Vec<Handle>,
    pub counts: Counts,
    pub next_id: u64,
    pub order: OrderModel,
    pub breakers: BreakersModel,
    pub limit: LimitModel,
    pub rate: RateModel,
    pub budget: BudgetModel,
}

impl Scene {
    pub fn new(config: Config, random: Random) -> Self {
        Self {
            pool: Pool::new(config),
            random,
            config,
            now: 50_000_000,
            state: State::Running,
            waiting: BTreeMap::new(),
            delayed: BTreeMap::new(),
            running: BTreeMap::new(),
            held: BTreeMap::new(),
            stale: Vec::new(),
            counts: Counts::default(),
            next_id: 0,
            order: OrderModel::new(config.ageing, config.order),
            breakers: BreakersModel {
                pool: BreakerModel::new(config.breaker),
                kinds: [(); KINDS].map(|()| BreakerModel::new(config.kind_breaker)),
            },
            limit: LimitModel::new(config.limit, config.adaptive),
            rate: RateModel {
                on: config.rate.is_some(),
                idle_at: 0,
            },
            budget: BudgetModel::new(config.retry_budget),
        }
    }

    pub fn play(mut self) {
        for step in 0..STEPS {
            if self.random.is_over() {
                break;
            }
            self.pass_time();
            match self.random.below(100) {
                0..35 => self.submit(),
                35..60 => self.take(),
                60..80 => self.finish(),
                80..86 => self.cancel(),
                86..95 => self.poll(),
                95 => self.switch(step),
                96 => self.abort_next(),
                97 => self.limits(),
                98 if self.random.below(4) == 0 => self.submit_too_late(),
                _ => self.ask(),
            }
            self.compare();
        }
        self.end();
    }

    pub fn pass_time(&mut self) {
        self.now = match self.random.below(1000) {
            0..500 => self.now,
            500..900 => self.now + self.random.below(3_000),
            900..940 => self.now + self.random.below(200_000),
            940..995 => self.now - self.random.below(5_000).min(self.now),
            995..998 => self.now + 60_000_000,
            _ => self.now - self.random.below(20_000_000).min(self.now),
        };
    }

    /// Every counter and gauge, and law 1.
    pub fn compare(&mut self) {
        if matches!(self.state, State::Draining | State::Closed) {
            self.state = if self.in_flight() == 0 {
                State::Closed
            } else {
                State::Draining
            };
        }
        assert_eq!(self.pool.state(), self.state);
        let seen = self.pool.snapshot();
        assert_eq!(
            (seen.limit, seen.active_workers as usize),
            (self.limit.limit.into(), self.running.len())
        );
        for kind in 0..KINDS {
            let breaker = self.pool.kind_breaker(Kind(kind as u8));
            let expected = self.breakers.kinds[kind].expected_state(self.now);
            assert_eq!(
                breaker.unwrap().state(self.at()),
                expected,
                "of kind {kind}"
            );
        }
        let expected = self.breakers.pool.expected_state(self.now);
        assert_eq!(self.pool.breaker().state(self.at()), expected);
        let counts = &self.counts;
        assert_eq!(
            [
                seen.accepted,
                seen.refused(),
                seen.started,
                seen.completed,
                seen.failed,
                seen.timed_out
            ],
            [
                counts.accepted,
                counts.refused,
                counts.started,
                counts.completed,
                counts.failed,
                counts.timed_out
            ],
        );
        assert_eq!(seen.submitted, seen.accepted + seen.refused());
        assert_eq!(
            [seen.cancelled, seen.retried, seen.panicked, seen.stale],
            [
                counts.cancelled,
                counts.retried,
                counts.panicked,
                counts.stale
            ]
        );
        let abandoned = self
            .running
            .values()
            .filter(|run| run.settled.is_some())
            .count();
        assert_eq!(
            [
                seen.queued as usize,
                seen.delayed as usize,
                seen.running as usize,
                seen.abandoned as usize
            ],
            [
                self.waiting.len(),
                self.delayed.len(),
                self.running.len() - abandoned,
                abandoned
            ]
        );
        assert_eq!(
            seen.accepted,
            seen.completed
                + seen.failed
                + seen.timed_out
                + seen.cancelled
                + u64::from(seen.queued + seen.delayed + seen.running)
        );
    }

    /// Lets everything end: nothing may be left, and every slot must be free again.
    pub fn end(mut self) {
        while let Some(bits) = self.random.key_of(&self.held) {
            self.finish_one(bits, Outcome::Success);
        }
        while !self.waiting.is_empty() || !self.delayed.is_empty() {
            self.abort_next();
        }
        self.abort_next();
        self.compare();
        assert_eq!(self.pool.poll(Instant::MAX).next(), None);
    }

    pub fn settled_waiting(
        &mut self,
        done: &Completion<u64>,
        bits: u64,
        job: &Job,
        result: Settled,
    ) {
        if job.token {
            self.rate.refund(self.now);
        }
        let expected = Completion {
            job: job.id,
            handle: Handle::from_bits(bits),
            result,
            wait: since(self.now, job.ready),
            run: Duration::ZERO,
            total: since(self.now, job.submitted),
            attempt: job.attempts,
            worker: None,
        };
        assert_eq!(*done, expected);
        self.settled(bits, result);
    }

    pub fn settled(&mut self, bits: u64, result: Settled) {
        match result {
            Settled::Completed => self.counts.completed += 1,
            Settled::Failed(failure) => {
                self.counts.failed += 1;
                self.counts.panicked += u64::from(failure == Failure::Panic);
            }
            Settled::TimedOut(_) => self.counts.timed_out += 1,
            Settled::Cancelled => self.counts.cancelled += 1,
        }
        self.stale.push(Handle::from_bits(bits));
    }

    /// The timer that is due first; of equal ones that of the first slot.
    pub fn first_timer(&self) -> Option<(u64, u64)> {
        let waiting = self
            .waiting
            .iter()
            .map(|(&bits, job)| (job.waiting_due().0, bits));
        let delayed = self
            .delayed
            .iter()
            .map(|(&bits, delayed)| (delayed.job.waiting_due().0, bits));
        let running = self.running.iter().filter(|(_, run)| run.settled.is_none());
        let running = running.map(|(&bits, run)| (due(run.watched), bits));
        waiting
            .chain(delayed)
            .chain(running)
            .filter(|&(at, _)| at != u64::MAX)
            .min_by_key(|&(at, bits)| (at, Handle::from_bits(bits).index()))
    }

    /// The delayed job whose time comes first; of equal ones that of the first slot.
    pub fn first_delayed(&self) -> Option<(u64, u64)> {
        let delayed = self.delayed.iter();
        delayed
            .map(|(&bits, delayed)| (due(delayed.at), bits))
            .min_by_key(|&(at, bits)| (at, Handle::from_bits(bits).index()))
    }

    /// The first delayed job goes in line if its time has come.
    pub fn promote(&mut self) -> Option<Handle> {
        let (_, bits) = self
            .first_delayed()
            .filter(|&(at, _)| is_due(at, self.now))?;
        let job = self.delayed.remove(&bits).unwrap().job;
        self.waiting.insert(bits, job);
        Some(Handle::from_bits(bits))
    }

    pub fn next_due(&self) -> Option<Instant> {
        let (timer, delayed) = (self.first_timer(), self.first_delayed());
        let next = timer.into_iter().chain(delayed).map(|(at, _)| at).min();
        next.map(Instant::from_micros)
    }

    /// A job that waits, in line or for a time, is gone.
    pub fn remove_waiting(&mut self, bits: u64) -> Option<Job> {
        let delayed = || Some(self.delayed.remove(&bits)?.job);
        self.waiting.remove(&bits).or_else(delayed)
    }

    pub fn in_flight(&self) -> usize {
        self.waiting.len()
            + self.delayed.len()
            + self
                .running
                .values()
                .filter(|run| run.settled.is_none())
                .count()
    }

    pub fn at(&self) -> Instant {
        Instant::from_micros(self.now)
    }
}

trait Next {
    fn next(self) -> Option<Instant>;
}

impl Next for Poll<u64> {
    fn next(self) -> Option<Instant> {
        let Poll::Idle { next } = self else {
            panic!("{self:?} at the end")
        };
        next
    }
}
