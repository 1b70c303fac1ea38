//! The operations: each on the pool and on the model, and the answers compared.

use std::time::Duration;

use weirpool_core::{
    pool::{
        Cancel, Completion, Expired, Failure, Finish, Handle, Kind, Outcome, Phase, Poll, Priority,
        Refusal, Refused, Retry, Settled, State, Submit, Take, WorkerId,
    },
    time::Instant,
};

use super::{
    MOST_RUNNING, STEPS,
    job::{Delayed, Job, Run},
    scene::Scene,
    setup::{QUICK, SLOW, longest_backoff},
    time::{after, is_due, since},
};

impl Scene {
    pub fn submit(&mut self) {
        let mut timeout = || match self.random.below(8) {
            0 => Some(Duration::from_micros(self.random.below(20_000))),
            1 => Some(Duration::from_millis(self.random.below(100))),
            2 if self.random.below(10) == 0 => Some(Duration::MAX),
            _ => None,
        };
        let (queue_timeout, run_timeout, total_timeout) = (timeout(), timeout(), timeout());
        let priority = self.random.one_of([
            Priority::Low,
            Priority::Normal,
            Priority::Normal,
            Priority::High,
            Priority::Critical,
        ]);
        let options = Submit {
            priority,
            queue_timeout,
            run_timeout,
            total_timeout,
            retry: self.random.one_of([
                Retry::Pool,
                Retry::Pool,
                Retry::Off,
                Retry::Policy(QUICK),
                Retry::Policy(SLOW),
            ]),
            // The last is one that the pool has no breaker for.
            kind: self
                .random
                .one_of([None, Some(Kind(0)), Some(Kind(1)), Some(Kind(2))]),
        };
        let id = self.next_id;
        self.next_id += 1;
        let answer = self.pool.submit(id, options, self.at());

        let closed = matches!(self.state, State::Draining | State::Closed);
        let expected = if closed {
            Err(Refused::Closed(id))
        } else if let Some(retry_after) = self.breakers.refusal(options.kind, self.now) {
            Err(Refused::Open {
                job: id,
                retry_after,
            })
        } else if let Err(retry_after) = self.rate.check(self.now) {
            Err(Refused::Limited {
                job: id,
                retry_after,
            })
        } else if self.in_flight() >= self.config.max_in_flight.unwrap_or(u32::MAX) as usize {
            self.rate.refund(self.now);
            Err(Refused::InFlight(id))
        } else if self.waiting.len() + self.delayed.len() >= self.config.capacity {
            self.rate.refund(self.now);
            Err(Refused::Full(id))
        } else {
            Ok(())
        };
        match (answer, expected) {
            (Err(answer), Err(expected)) => {
                assert_eq!(answer, expected);
                self.counts.refused += 1;
            }
            (Ok(handle), Ok(())) => {
                self.counts.accepted += 1;
                let total_deadline = after(self.now, total_timeout);
                let job = Job {
                    id,
                    turn: self.order.turn(priority, total_deadline, id, self.now),
                    submitted: self.now,
                    policy: match options.retry {
                        Retry::Pool => self.config.retry,
                        Retry::Off => None,
                        Retry::Policy(policy) => Some(policy),
                    },
                    kind: options.kind,
                    attempts: 0,
                    ready: self.now,
                    token: false,
                    run_timeout,
                    queue_deadline: after(self.now, queue_timeout),
                    total_deadline,
                };
                let mut used = self.waiting.keys().chain(self.delayed.keys());
                let is_this = |bits: &u64| Handle::from_bits(*bits).index() == handle.index();
                assert!(
                    !used.any(is_this) && !self.running.keys().any(is_this),
                    "the slot is in use"
                );
                assert!(!self.stale.contains(&handle), "the handle was used before");
                self.waiting.insert(handle.to_bits(), job);
            }
            (answer, expected) => panic!("{answer:?} instead of {expected:?}"),
        }
    }

    /// A submission that waited for room too long.
    pub fn submit_too_late(&mut self) {
        let kind = self.random.one_of([None, Some(Kind(0)), Some(Kind(1))]);
        self.pool.note_refused(Refusal::Timeout, kind, self.at());
        self.counts.refused += 1;
        if self.config.count_submit_timeouts {
            for breaker in self.breakers.of(kind) {
                if let Some(permit) = breaker.acquire(self.now) {
                    breaker.record(permit, false, self.now);
                }
            }
        }
    }

    pub fn take(&mut self) {
        let worker = WorkerId(self.random.below(4) as u16);
        let answer = self.pool.take(worker, self.at());
        if self.state != State::Paused {
            let _ = (self.promote(), self.promote());
        }
        let head = self
            .waiting
            .iter()
            .min_by_key(|(_, job)| job.turn)
            .map(|(&bits, _)| bits);
        let free =
            self.running.len() < usize::from(self.limit.limit) && self.state != State::Paused;
        let Some(bits) = head.filter(|_| free) else {
            let Take::Empty { next } = answer else {
                panic!("{answer:?} although nothing may run")
            };
            assert_eq!(next, self.next_due());
            return;
        };
        let mut job = self.waiting.remove(&bits).unwrap();
        let (due_at, phase) = job.waiting_due();
        if is_due(due_at, self.now) {
            let Take::Settled(done) = answer else {
                panic!("{answer:?} although its time-out passed")
            };
            self.settled_waiting(&done, bits, &job, Settled::TimedOut(phase));
            return;
        }
        let permits = match self.breakers.acquire(job.kind, self.now) {
            Ok(permits) => permits,
            Err(retry_after) => {
                let waits = job.policy.map(|policy| {
                    let waits = self.breakers.of(job.kind);
                    let waits = waits.map(|breaker| breaker.wait(policy, self.now));
                    let longer = |(a, b): (u64, u64), (c, d)| (a.max(c), b.max(d));
                    waits.reduce(longer).expect("the pool's")
                });
                match answer {
                    Take::Delayed { handle, at } => {
                        assert_eq!(handle.to_bits(), bits);
                        let (least, most) = waits.expect("a policy");
                        let at = at.as_micros();
                        assert!((self.now + least..=self.now + most).contains(&at), "{at}");
                        assert!(!is_due(due_at, at), "it will time out first");
                        self.delayed.insert(bits, Delayed { job, at });
                    }
                    Take::Settled(done) => {
                        let times_out = |(_, most)| is_due(due_at, self.now + most);
                        assert!(waits.is_none_or(times_out), "it could wait");
                        let failure = Failure::CircuitOpen { retry_after };
                        self.settled_waiting(&done, bits, &job, Settled::Failed(failure));
                    }
                    answer => panic!("{answer:?} although the breaker is open"),
                }
                return;
            }
        };
        if job.attempts > 0 && !std::mem::take(&mut job.token) && self.rate.check(self.now).is_err()
        {
            let expected = self.now + self.rate.reserve(self.now).as_micros() as u64;
            if is_due(due_at, expected) {
                self.rate.refund(self.now);
            } else {
                job.token = true;
            }
            self.breakers.release(job.kind, permits);
            let Take::Delayed { handle, at } = answer else {
                panic!("{answer:?} although there is no token")
            };
            assert_eq!((handle.to_bits(), at.as_micros()), (bits, expected));
            self.delayed.insert(bits, Delayed { job, at: expected });
            return;
        }
        let Take::Job(running) = answer else {
            panic!("{answer:?} instead of {job:?}")
        };
        self.counts.started += 1;
        job.attempts += 1;
        let run_deadline = after(self.now, job.run_timeout);
        let deadline = run_deadline.min(job.total_deadline);
        let (watched, phase) = if job.is_lenient() || job.total_deadline < run_deadline {
            (job.total_deadline, Phase::Total)
        } else {
            (run_deadline, Phase::Run)
        };
        assert_eq!((*running.job(), running.handle().to_bits()), (job.id, bits));
        assert_eq!(
            (running.worker(), running.attempt()),
            (worker, job.attempts)
        );
        assert_eq!(
            (
                running.submitted().as_micros(),
                running.started().as_micros()
            ),
            (job.submitted, self.now)
        );
        assert_eq!(
            running.deadline().map(Instant::as_micros),
            (deadline != u64::MAX).then_some(deadline)
        );
        self.held.insert(bits, running);
        self.running.insert(
            bits,
            Run {
                job,
                worker,
                started: self.now,
                watched,
                phase,
                settled: None,
                permits,
            },
        );
    }

    pub fn finish(&mut self) {
        let Some(bits) = self.random.key_of(&self.held) else {
            return;
        };
        let outcome = self.random.one_of([
            Outcome::Success,
            Outcome::Success,
            Outcome::Success,
            Outcome::Failure,
            Outcome::Failure,
            Outcome::Ignored,
            Outcome::Permanent { ignored: false },
            Outcome::Permanent { ignored: true },
            Outcome::Panic,
        ]);
        self.finish_one(bits, outcome);
    }

    pub fn finish_one(&mut self, bits: u64, outcome: Outcome) {
        let running = self.held.remove(&bits).unwrap();
        let mut told = None;
        let tell = |at| assert_eq!(told.replace(at), None, "told twice");
        let answer = self.pool.finish_with(running, outcome, self.at(), tell);
        let retried = match &answer {
            Finish::Retry { at } => Some(*at),
            _ => None,
        };
        assert_eq!(told, retried);
        let in_flight = self.running.len();
        let run = self.running.remove(&bits).unwrap();
        if let Some(settled) = run.settled {
            let Finish::Stale(job) = answer else {
                panic!("{answer:?} although it was settled")
            };
            assert_eq!(job, run.job.id);
            self.counts.stale += 1;
            if settled == Settled::Cancelled {
                self.breakers.release(run.job.kind, run.permits);
            }
            return;
        }
        let (error, ignored) = (
            Settled::Failed(Failure::Error),
            Settled::Failed(Failure::Ignored),
        );
        let mut job = run.job;
        let ran = since(self.now, run.started);
        let late = match outcome {
            _ if !job.is_lenient() => None,
            _ if self.now >= job.total_deadline => Some(Phase::Total),
            _ => job
                .run_timeout
                .filter(|most| ran >= *most)
                .map(|_| Phase::Run),
        };
        // What it ends as, whether it may be tried again, and what the breaker is told.
        let (result, retryable, verdict) = match (outcome, late) {
            (Outcome::Success | Outcome::Failure | Outcome::Ignored, Some(phase)) => {
                (Settled::TimedOut(phase), phase == Phase::Run, Some(false))
            }
            (Outcome::Success, _) => (Settled::Completed, false, Some(true)),
            (Outcome::Failure, _) => (error, true, Some(false)),
            (Outcome::Ignored, _) => (ignored, true, None),
            (Outcome::Permanent { ignored: false }, _) => (error, false, Some(false)),
            (Outcome::Permanent { ignored: true }, _) => (ignored, false, None),
            (Outcome::Panic, _) => (
                Settled::Failed(Failure::Panic),
                job.policy.is_some_and(|policy| policy.retries_panics()),
                Some(false),
            ),
        };
        let mut tell = |kind| {
            match verdict {
                Some(success) => self.breakers.record(kind, run.permits, success, self.now),
                None => self.breakers.release(kind, run.permits),
            }
            let timed_out = matches!(result, Settled::TimedOut(_));
            let load = if timed_out { Duration::MAX } else { ran };
            self.limit.observe(load, in_flight, self.now);
        };
        if let Finish::Retry { at } = answer {
            let policy = job.policy.expect("a policy");
            assert!(retryable && job.attempts < policy.attempts().into());
            let (at, most) = (at.as_micros(), longest_backoff(policy, job.attempts));
            assert!((self.now + most / 2..=self.now + most).contains(&at));
            assert!(at < job.total_deadline, "past the total deadline");
            assert!(self.budget.withdraw(), "over the budget");
            tell(job.kind);
            self.counts.retried += 1;
            job.ready = at;
            // From here on its total time-out alone counts.
            job.queue_deadline = u64::MAX;
            self.delayed.insert(bits, Delayed { job, at });
            return;
        }
        let Finish::Settled(done) = answer else {
            panic!("{answer:?} although nobody settled it")
        };
        if let Some(policy) = job.policy.filter(|_| retryable)
            && job.attempts < policy.attempts().into()
            && self.now + longest_backoff(policy, job.attempts) < job.total_deadline
        {
            assert!(!self.budget.withdraw(), "it could be tried again");
        }
        tell(job.kind);
        if result == Settled::Completed {
            self.budget.deposit();
        }
        let expected = Completion {
            job: job.id,
            handle: Handle::from_bits(bits),
            result,
            wait: since(run.started, job.ready),
            run: ran,
            total: since(self.now, job.submitted).max(ran),
            attempt: job.attempts,
            worker: Some(run.worker),
        };
        assert_eq!(done, expected);
        self.settled(bits, result);
    }

    pub fn cancel(&mut self) {
        let bits = match self.random.below(4) {
            0 => self.random.key_of(&self.waiting),
            1 => self.random.key_of(&self.delayed),
            2 => self.random.key_of(&self.running),
            _ => self
                .random
                .index_of(&self.stale)
                .map(|index| self.stale[index].to_bits()),
        };
        // A number that was never a handle.
        let bits = bits.unwrap_or(u64::MAX - self.random.below(1 << 20));
        let answer = self.pool.cancel(Handle::from_bits(bits), self.at());
        if let Some(job) = self.remove_waiting(bits) {
            let Cancel::Removed(done) = answer else {
                panic!("{answer:?} although it waits")
            };
            self.settled_waiting(&done, bits, &job, Settled::Cancelled);
        } else if let Some(run) = self.running.get_mut(&bits)
            && run.settled.is_none()
        {
            assert!(
                matches!(answer, Cancel::Signalled),
                "{answer:?} although it runs"
            );
            run.settled = Some(Settled::Cancelled);
            self.settled(bits, Settled::Cancelled);
        } else {
            assert!(
                matches!(answer, Cancel::Stale),
                "{answer:?} although it is settled"
            );
        }
    }

    pub fn poll(&mut self) {
        let answer = self.pool.poll(self.at());
        let Some((at, bits)) = self.first_timer().filter(|&(at, _)| is_due(at, self.now)) else {
            if let Some(promoted) = self.promote() {
                assert!(matches!(answer, Poll::Promoted(handle) if handle == promoted));
                return;
            }
            let Poll::Idle { next } = answer else {
                panic!("{answer:?} although nothing is due")
            };
            assert_eq!(next, self.next_due());
            return;
        };
        if let Some(job) = self.remove_waiting(bits) {
            let Poll::Settled(done) = answer else {
                panic!("{answer:?} although {job:?} is due")
            };
            let phase = job.waiting_due().1;
            self.settled_waiting(&done, bits, &job, Settled::TimedOut(phase));
            return;
        }
        let run = self.running.get_mut(&bits).unwrap();
        let Poll::TimedOut(expired) = answer else {
            panic!("{answer:?} although {run:?} is due at {at}")
        };
        let expected = Expired {
            handle: Handle::from_bits(bits),
            phase: run.phase,
            worker: run.worker,
            wait: since(run.started, run.job.ready),
            run: since(self.now, run.started),
            total: since(self.now, run.job.submitted).max(since(self.now, run.started)),
            attempt: run.job.attempts,
        };
        assert_eq!(expired, expected);
        let result = Settled::TimedOut(run.phase);
        run.settled = Some(result);
        let (kind, permits) = (run.job.kind, run.permits);
        self.breakers.record(kind, permits, false, self.now);
        let in_flight = self.running.len();
        self.limit.observe(Duration::MAX, in_flight, self.now);
        self.settled(bits, result);
    }

    pub fn switch(&mut self, step: usize) {
        let closed = matches!(self.state, State::Draining | State::Closed);
        match self.random.below(8) {
            0..3 => {
                self.pool.pause();
                if !closed {
                    self.state = State::Paused;
                }
            }
            3..7 => {
                self.pool.resume();
                if !closed {
                    self.state = State::Running;
                }
            }
            // Late, so that most of a run is not the drain of a closed pool.
            _ if step > STEPS * 3 / 4 => {
                self.pool.close();
                self.state = State::Draining;
            }
            _ => {}
        }
    }

    pub fn abort_next(&mut self) {
        let answer = self.pool.abort_next(self.at());
        let head = self
            .waiting
            .iter()
            .min_by_key(|(_, job)| job.turn)
            .map(|(&bits, _)| bits)
            .or_else(|| self.first_delayed().map(|(_, bits)| bits));
        match (answer, head) {
            (None, None) => {}
            (Some(done), Some(bits)) => {
                let job = self.remove_waiting(bits).unwrap();
                self.settled_waiting(&done, bits, &job, Settled::Cancelled);
            }
            (answer, head) => panic!("{answer:?} instead of {head:?}"),
        }
    }

    pub fn limits(&mut self) {
        let limit = self.random.below(u64::from(MOST_RUNNING) + 2) as u16;
        let fits = (1..=MOST_RUNNING).contains(&limit);
        assert_eq!(self.pool.set_limit(limit).is_ok(), fits);
        if fits {
            self.limit.set(limit);
        }
        let max = self.random.one_of([None, Some(0), Some(3), Some(10)]);
        assert_eq!(self.pool.set_max_in_flight(max).is_ok(), max != Some(0));
        if max != Some(0) {
            self.config.max_in_flight = max;
        }
    }

    pub fn ask(&mut self) {
        let free =
            self.running.len() < usize::from(self.limit.limit) && self.state != State::Paused;
        assert_eq!(self.pool.wants_worker(), free && !self.waiting.is_empty());
        if let Some(bits) = self.random.key_of(&self.waiting) {
            assert!(self.pool.is_live(Handle::from_bits(bits)));
        }
        if let Some(bits) = self.random.key_of(&self.delayed) {
            assert!(self.pool.is_live(Handle::from_bits(bits)));
        }
        assert_eq!(self.pool.poll_at(self.at()), self.next_due());
        if let Some(bits) = self.random.key_of(&self.running) {
            assert_eq!(
                self.pool.is_live(Handle::from_bits(bits)),
                self.running[&bits].settled.is_none()
            );
        }
        if let Some(index) = self.random.index_of(&self.stale)
            && !self.running.contains_key(&self.stale[index].to_bits())
        {
            assert!(!self.pool.is_live(self.stale[index]));
        }
    }
}
