//! The pool: one path from submission to settlement, composed of the gates, the queue, the retries and the metrics.
//!
//! ```text
//! submit ─ open? ─ breaker ─ rate ─ in flight ─ capacity ─▶ lane ─▶ take ─ permit ─ expired? ─ breaker ─ token ─▶ run ─▶ finish
//!                                                            ▲                                  │       │               │
//!                                                            └─ due ◀──────────── delayed ◀─────┴───────┴── retry ◀─────┘
//! ```
//! (Only a retry takes a token after its `take`; every first attempt took one at its submission. *Breaker* is two where the
//! job has a kind: see [`Config::kind_breaker`].)
//!
//! # Laws
//! 1. *Every accepted job settles exactly once*: whoever wins its slot's state word settles it. At every quiescent
//!    point `accepted = completed + failed + timed_out + cancelled + queued + delayed + running`.
//! 2. *Capacity is fixed and exact*: a job holds one slot from acceptance until its handler has returned, through all its
//!    attempts. A submission is admitted while fewer than `capacity` jobs wait, in line or for a retry; permits are at
//!    most `most_running`, and slots are at least both together, which is always enough.
//! 3. *No context waits for another*: every operation takes a number of steps that depends on the logarithm of the
//!    slots and not on how many jobs wait; a retry means that another context made progress.
//! 4. *A refusal is not a failure*: the pool's own gates teach the breaker nothing, and a later gate that refuses gives
//!    back what an earlier one granted. ([`Config::count_submit_timeouts`] is the one exception, by request.)
//! 5. *Time is an argument*, and may stand still, jump or run backwards: it saturates, nothing panics. What is due comes
//!    about when somebody calls [`poll`](Pool::poll).
//! 6. *Late results cannot lie*: handles and permits carry generations; what comes late is [`Finish::Stale`].
//! 7. *Nothing starves*: see [`Config::ageing`] and [`Order::Deadline`]. A retry keeps the age of its submission.
//!
//! # Retries
//! A failed attempt is followed by another if the job's [`Policy`] has attempts left, the outcome
//! may be retried, the backoff ends before the total deadline and the [budget](Allowance) pays for it. A
//! job whose turn comes while the breaker is open waits for the breaker instead of failing, if it has a policy; that is no
//! attempt and costs no budget. (It waits for the end of the breaker's pause or, while the breaker tries probes, for one
//! backoff: they may end long before their lease.) Retries go on in a pool that is being drained.
//!
//! ```
//! use weirpool_core::pool::{Config, Finish, Outcome, Policy, Poll, Pool, Submit, Take, WorkerId};
//! use weirpool_core::time::Instant;
//!
//! static POOL: Pool<&str, 20> = Pool::new(Config { retry: Some(Policy::DEFAULT), ..Config::DEFAULT });
//! let now = Instant::from_millis(1);
//! POOL.submit("fetch", Submit::DEFAULT, now).unwrap();
//! let Take::Job(first) = POOL.take(WorkerId(0), now) else { panic!("a job waits") };
//! let Finish::Retry { at } = POOL.finish(first, Outcome::Failure, now) else { panic!("it has two attempts left") };
//!
//! // Between 50 and 100 ms later; with 32-bit words that is rounded up to a millisecond.
//! let due = POOL.poll_at(now).unwrap();
//! assert!(due >= at && due <= Instant::from_millis(101));
//! assert!(matches!(POOL.take(WorkerId(0), now), Take::Empty { next } if next == Some(due)));
//! assert!(matches!(POOL.poll(due), Poll::Promoted(_)));
//! let Take::Job(second) = POOL.take(WorkerId(0), due) else { panic!("its time has come") };
//! assert_eq!(second.attempt(), 2);
//! let Finish::Settled(done) = POOL.finish(second, Outcome::Success, due) else { panic!("nobody else settled it") };
//! assert_eq!(done.attempt, 2);
//! ```
//!
//! # Orderings
//! The state word of a slot is the one place where races are decided. Slots are freed before the counter that bounds
//! them is released, and the counter is acquired before a slot is reserved, so that below the bound a slot is free.
#![forbid(unsafe_code)]

use core::time::Duration;

use crate::{
    adaptive::AdaptiveLimit,
    attempt::{Attempt, Wait, delay_key},
    breaker::Verdict,
    breakers::{Breakers, Permits},
    error::ConfigError,
    gate::{Gate, MAX_COUNT, Mode, Shut},
    job::{Course, Entry},
    key::Key,
    metrics::Metrics,
    queue::Rank,
    rate::RateLimit,
    retry::Budget,
    schedule::{Gone, Schedule, Seen},
    sync::{Apart, AtomicU32, Ordering, array, const_fn, fence},
    table::Stage,
    terms::{Terms, Watch},
    time::{Instant, micros},
};

pub use crate::{
    config::{Config, Order},
    control::State,
    job::{
        Cancel, Carried, Completion, Expired, Failure, Finish, Handle, Kind, Outcome, Phase, Poll,
        Priority, Refusal, Refused, Retry, Running, Settled, Submit, Take, WorkerId,
    },
    ledger::{Ledger, Lost},
    retry::{Allowance, Policy},
};

/// A bounded job pool. It holds jobs of type `T` in `SLOTS` slots, runs nothing itself and never blocks. Beside a
/// [`Breaker`](crate::breaker::Breaker) of its own it has one for each of `KINDS` kinds of jobs, 0 to 127.
///
/// Callers [`submit`](Self::submit) jobs; workers [`take`](Self::take) them, run them in whatever way they like and
/// [`finish`](Self::finish) them; somebody calls [`poll`](Self::poll) when time-outs are due. All of it through `&self`
/// and lock-free, so that threads, interrupts and a page that may not block can share one pool in a `static`.
///
/// The time-out of a running job takes effect in `poll`: where nobody calls that, such a job completes however
/// [late](crate#time-outs).
///
/// ```
/// use weirpool_core::pool::{Config, Finish, Outcome, Pool, Submit, Take, WorkerId};
/// use weirpool_core::time::Instant;
///
/// static POOL: Pool<&str, 8> = Pool::new(Config { capacity: 4, limit: 2, most_running: 4, ..Config::DEFAULT });
///
/// let now = Instant::from_millis(1);
/// POOL.submit("measure", Submit::DEFAULT, now).unwrap();
/// let Take::Job(running) = POOL.take(WorkerId(0), now) else { panic!("a job waits") };
/// assert_eq!(*running.job(), "measure");
/// let Finish::Settled(done) = POOL.finish(running, Outcome::Success, now) else { panic!("nobody else settled it") };
/// assert_eq!(done.job, "measure");
/// ```
#[derive(Debug)]
pub struct Pool<T, const SLOTS: usize, const KINDS: usize = 0> {
    /// Written by submitters and workers.
    pub(crate) gate: Apart<Gate>,
    /// Written by workers.
    pub(crate) permits: Apart<AdaptiveLimit>,
    /// Bound on the jobs in flight.
    pub(crate) max_in_flight: AtomicU32,
    /// Settled jobs whose handlers still run.
    pub(crate) abandoned: AtomicU32,
    pub(crate) schedule: Schedule<T, SLOTS>,
    pub(crate) watches: [Watch; SLOTS],
    pub(crate) terms: [Terms; SLOTS],
    pub(crate) ledger: Ledger<KINDS>,
    pub(crate) capacity: u32,
    pub(crate) most_running: u16,
    pub(crate) count_submit_timeouts: bool,
    pub(crate) retry: Option<Policy>,
}

impl<T, const SLOTS: usize, const KINDS: usize> Pool<T, SLOTS, KINDS> {
    const_fn! {
        /// A pool with this configuration.
        ///
        /// # Panics
        /// Where [`try_new`](Self::try_new) would fail; in a `static` that is an error of compilation.
        pub const fn new(config: Config) -> Self {
            match Self::gates(&config) {
                Ok((breakers, permits)) => Self::build(config, breakers, permits),
                Err(error) => panic!("{}", error.message()),
            }
        }

        /// A pool with this configuration, or what is wrong with it.
        pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
            match Self::gates(&config) {
                Ok((breakers, permits)) => Ok(Self::build(config, breakers, permits)),
                Err(error) => Err(error),
            }
        }

        const fn gates(config: &Config) -> Result<(Breakers<KINDS>, AdaptiveLimit), ConfigError> {
            if let Err(error) = config.check(SLOTS) {
                return Err(error);
            }
            let permits = match AdaptiveLimit::try_new(config.limit, config.adaptive) {
                Ok(permits) => permits,
                Err(error) => return Err(error),
            };
            match Breakers::try_new(config.breaker, config.kind_breaker) {
                Ok(breakers) => Ok((breakers, permits)),
                Err(error) => Err(error),
            }
        }

        const fn build(config: Config, breakers: Breakers<KINDS>, permits: AdaptiveLimit) -> Self {
            let max_in_flight = match config.max_in_flight {
                Some(max) => max,
                None => MAX_COUNT,
            };
            Self {
                gate: Apart(Gate::new()),
                permits: Apart(permits),
                max_in_flight: AtomicU32::new(max_in_flight),
                abandoned: AtomicU32::new(0),
                schedule: Schedule::new(config.queue()),
                watches: array!(|_i| Watch::new(); SLOTS),
                terms: array!(|_i| Terms::new(); SLOTS),
                ledger: Ledger {
                    metrics: Metrics::new(),
                    breakers,
                    rate: Apart(RateLimit::new(config.rate)),
                    budget: Budget::new(config.retry_budget),
                },
                capacity: config.capacity as u32,
                most_running: config.most_running,
                count_submit_timeouts: config.count_submit_timeouts,
                retry: config.retry,
            }
        }
    }

    /// Submits a job. The gates are asked in the order of the picture above; the first that refuses hands it back.
    ///
    /// From acceptance on the job settles exactly once: by `finish`, `cancel`, `poll`, `take` or `abort_next`.
    pub fn submit(&self, job: T, options: Submit, now: Instant) -> Result<Handle, Refused<T>> {
        let Ledger {
            metrics,
            breakers,
            rate,
            ..
        } = &self.ledger;
        let refused = if self.gate.load().mode() == Mode::Closed {
            Refused::Closed(job)
        } else if let Err(retry_after) = breakers.check(options.kind, now) {
            Refused::Open { job, retry_after }
        } else if let Err(retry_after) = rate.check(now) {
            Refused::Limited { job, retry_after }
        } else {
            // Relaxed: a limit that changes during a submission may count for it or not.
            match self
                .gate
                .admit(self.capacity, self.max_in_flight.load(Ordering::Relaxed))
            {
                Ok(()) => {
                    metrics.accepted();
                    return Ok(self.enqueue(job, options, Carried::new(now), now));
                }
                Err(shut) => {
                    rate.refund(now);
                    match shut {
                        Shut::Closed => Refused::Closed(job),
                        Shut::InFlight => Refused::InFlight(job),
                        Shut::Full => Refused::Full(job),
                    }
                }
            }
        };
        metrics.refused(refused.reason());
        Err(refused)
    }

    /// Takes the next job to run.
    ///
    /// The job that comes is the one with the least key at one moment during the call ([`Config::ageing`]), among those in
    /// line; up to two delayed ones whose time has come are put in line first. A job whose time-out has passed, or that
    /// an open breaker does not let run, is settled here and comes as [`Take::Settled`]; with retries it may be
    /// [`Take::Delayed`] instead.
    pub fn take(&self, worker: WorkerId, now: Instant) -> Take<T> {
        let empty = || Take::Empty {
            next: self.poll_at(now),
        };
        if self.gate.load().mode() == Mode::Paused {
            return empty();
        }
        if self.schedule.delayed_jobs() != 0 {
            // Two, so that they get fewer even if every job that is taken comes back.
            for _ in 0..2 {
                self.promote(now);
            }
        }
        // Looking first keeps idle workers from writing to shared words.
        if self.schedule.is_empty() || !self.permits.try_acquire() {
            return empty();
        }
        let breakers = &self.ledger.breakers;
        let taken = loop {
            let Some(seen) = self.schedule.next_queued() else {
                break None;
            };
            let Seen { index, mark, due } = seen;
            if due.is_due(now) {
                let Some(entry) = self.schedule.claim(index, mark, Stage::Held) else {
                    continue;
                };
                let phase = entry.waiting_phase();
                let result = Settled::TimedOut(phase);
                break Some(Take::Settled(self.settle_waiting(seen, entry, result, now)));
            }
            let Some(entry) = self.schedule.claim(index, mark, Stage::Running) else {
                continue;
            };
            let wait = match breakers.acquire(entry.kind, now) {
                Ok(permits) => {
                    // A first attempt took its token at the submission.
                    let token = if entry.course.attempts == 0 {
                        Ok(())
                    } else {
                        self.take_token(entry.token, due, now)
                    };
                    match token {
                        Ok(()) => return Take::Job(self.start(seen, entry, permits, worker, now)),
                        Err(wait) => {
                            breakers.release(permits);
                            wait
                        }
                    }
                }
                Err(retry_after) => Wait::Breaker { retry_after },
            };
            break Some(self.put_off(seen, entry, wait, now));
        };
        self.permits.release();
        taken.unwrap_or_else(empty)
    }

    /// Ends an attempt of a job that was taken: the job is settled, or delayed until its next attempt. Its permit is free
    /// when this returns, and its slot if it is settled.
    ///
    /// Of this call, a cancellation and a deadline that `poll` sees, exactly one decides over the job: the first to change
    /// its state. A result that arrives after the deadline but before anybody polled still counts, unless another attempt
    /// may follow the time-out ([`Policy::after_timeouts`]).
    pub fn finish(&self, running: Running<T>, outcome: Outcome, now: Instant) -> Finish<T> {
        self.finish_with(running, outcome, now, |_| ())
    }

    /// As [`finish`](Self::finish). If another attempt is to follow, it calls `before` with its time first, while nobody
    /// else can take the job yet: what is done there happens before anything that becomes of the job, by whomever.
    ///
    /// That is the place to report the attempt, or to make ready what the next one uses. It is too early to wait for that
    /// time: [`poll`](Self::poll) does not see the job before this returns. A cancellation may still come between: then the
    /// job is [`Finish::Stale`], and no attempt follows. `before` must not panic: the job would be nobody's for ever.
    ///
    /// ```
    /// use weirpool_core::pool::{Config, Finish, Outcome, Policy, Pool, Submit, Take, WorkerId};
    /// use weirpool_core::time::Instant;
    ///
    /// static POOL: Pool<&str, 20> = Pool::new(Config { retry: Some(Policy::DEFAULT), ..Config::DEFAULT });
    /// let now = Instant::from_millis(1);
    /// POOL.submit("fetch", Submit::DEFAULT, now).unwrap();
    /// let Take::Job(first) = POOL.take(WorkerId(0), now) else { panic!("a job waits") };
    /// let mut reported = None;
    /// let finish = POOL.finish_with(first, Outcome::Failure, now, |at| reported = Some(at));
    /// assert!(matches!(finish, Finish::Retry { at } if reported == Some(at)));
    /// ```
    pub fn finish_with(
        &self,
        running: Running<T>,
        outcome: Outcome,
        now: Instant,
        before: impl FnOnce(Instant),
    ) -> Finish<T> {
        let Running {
            job,
            handle,
            course,
            worker,
            submitted,
            started,
            permits,
            ..
        } = running;
        let Some(terms) = self.terms.get(handle.index()) else {
            return Finish::Stale(job);
        };
        let run = now.saturating_since(started);
        let attempt = Attempt::ended(outcome, course, terms, run, now);
        if attempt.may_be_retried
            && let Some(policy) = terms.policy(course)
        {
            let total_deadline = terms.total_deadline();
            let attempts = course.attempts.into();
            let next = self.next_attempt(policy, attempts, total_deadline, handle.to_bits(), now);
            if let Some(at) = next {
                let entry = Entry {
                    job,
                    submitted,
                    run_timeout: terms.run_timeout(),
                    total_deadline,
                    course,
                    total_first: true,
                    token: false,
                    kind: permits.kind(),
                };
                return match self.delay(handle, entry, at, now, || before(at)) {
                    Ok(()) => {
                        self.report(permits, &attempt, run, now);
                        self.permits.release();
                        self.ledger.metrics.retried();
                        self.ledger.metrics.ran(run);
                        Finish::Retry { at }
                    }
                    Err((entry, gone)) => {
                        self.ledger.budget.refund();
                        self.come_late(entry.job, gone, permits)
                    }
                };
            }
        }
        // Read before the slot is another job's.
        let ready = terms.ready(submitted, course.attempts > 1);
        if let Err(gone) = self.schedule.release(handle) {
            return self.come_late(job, gone, permits);
        }
        self.report(permits, &attempt, run, now);
        self.permits.release();
        // The clock of whoever submitted it may be ahead of its worker's.
        let total = now.saturating_since(submitted).max(run);
        let metrics = &self.ledger.metrics;
        metrics.settled(&attempt.result);
        metrics.ran(run);
        metrics.took(total);
        if attempt.result == Settled::Completed {
            self.ledger.budget.deposit();
        }
        self.gate.settle();
        Finish::Settled(Completion {
            job,
            handle,
            result: attempt.result,
            wait: started.saturating_since(ready),
            run,
            total,
            attempt: course.attempts.into(),
            worker: Some(worker),
        })
    }

    /// Cancels a job: one that waits is removed, one that runs is settled now.
    pub fn cancel(&self, handle: Handle, now: Instant) -> Cancel<T> {
        let index = handle.index();
        loop {
            let Some(mark) = self.schedule.mark(handle) else {
                return Cancel::Stale;
            };
            let stage = match mark.stage() {
                Stage::Queued | Stage::Delayed => {
                    if let Some(entry) = self.schedule.claim(index, mark, Stage::Held) {
                        let seen = Seen {
                            index,
                            mark,
                            due: Key::NEVER,
                        };
                        return Cancel::Removed(self.settle_waiting(
                            seen,
                            entry,
                            Settled::Cancelled,
                            now,
                        ));
                    }
                    continue;
                }
                Stage::Running | Stage::Armed => Stage::Cancelled,
                // Who is moving it back will find it so.
                Stage::Moving => Stage::Held,
                Stage::Free | Stage::Held | Stage::Cancelled | Stage::Expired => {
                    return Cancel::Stale;
                }
            };
            // Before the change, since who sees the change takes it off again.
            self.abandoned.fetch_add(1, Ordering::Relaxed);
            if self.schedule.take_away(index, mark, stage) {
                self.ledger.metrics.settled(&Settled::Cancelled);
                self.gate.settle();
                return Cancel::Signalled;
            }
            self.abandoned.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether a job waits or runs and is not settled: what a running handler asks to see whether it is still wanted.
    pub fn is_live(&self, handle: Handle) -> bool {
        self.schedule.mark(handle).is_some_and(|mark| {
            matches!(
                mark.stage(),
                Stage::Queued | Stage::Delayed | Stage::Running | Stage::Armed | Stage::Moving
            )
        })
    }

    /// Does one thing that time alone makes due: settles a job whose time-out has passed, or puts a delayed one in line.
    /// Call again until it is [`Poll::Idle`], and ask [`wants_worker`](Self::wants_worker) then. Nothing else ends a
    /// running job at its time-out.
    pub fn poll(&self, now: Instant) -> Poll<T> {
        while let Some(seen) = self.schedule.next_timer()
            && seen.due.is_due(now)
        {
            if let Some(settled) = self.expire(seen, now) {
                return settled;
            }
        }
        match self.promote(now) {
            Some(handle) => Poll::Promoted(handle),
            None => Poll::Idle {
                next: self.poll_at(now),
            },
        }
    }

    /// When [`poll`](Self::poll) has something to do by time alone: the next time-out, or the end of the next delay. `None`
    /// is never, as far as is known now. Whoever waits for that time should look again after [`Finish::Retry`] and
    /// [`Take::Delayed`], and after submitting a job with a time-out.
    ///
    /// ```
    /// use core::time::Duration;
    /// use weirpool_core::pool::{Config, Poll, Pool, Submit};
    /// use weirpool_core::time::Instant;
    ///
    /// static POOL: Pool<u32, 20> = Pool::new(Config::DEFAULT);
    /// let now = Instant::from_millis(10);
    /// assert_eq!(POOL.poll_at(now), None);
    /// let options = Submit { queue_timeout: Some(Duration::from_millis(5)), ..Submit::DEFAULT };
    /// POOL.submit(1, options, now).unwrap();
    /// assert_eq!(POOL.poll_at(now), Some(Instant::from_millis(15)));
    /// assert!(matches!(POOL.poll(Instant::from_millis(15)), Poll::Settled(done) if done.job == 1));
    /// ```
    pub fn poll_at(&self, now: Instant) -> Option<Instant> {
        let timer = self.schedule.next_timer().map(|seen| seen.due.at(now));
        if self.schedule.delayed_jobs() == 0 {
            return timer;
        }
        let delayed = self.schedule.next_delayed().map(|seen| seen.due.at(now));
        [timer, delayed].into_iter().flatten().min()
    }

    /// Removes the waiting job whose turn is next, or else the delayed one whose time is next, as cancelled. Until `None`,
    /// it empties the queue.
    pub fn abort_next(&self, now: Instant) -> Option<Completion<T>> {
        loop {
            let queued = self.schedule.next_queued();
            let seen = queued.or_else(|| self.schedule.next_delayed())?;
            if let Some(entry) = self.schedule.claim(seen.index, seen.mark, Stage::Held) {
                return Some(self.settle_waiting(seen, entry, Settled::Cancelled, now));
            }
        }
    }

    /// Whether a job waits that one more worker could take now: cheap, and exact enough to never lose a wake-up.
    ///
    /// For executors that start a worker per running job and let it end when there is nothing to do, with a count
    /// `workers` of their own:
    /// - after every `submit` (and `resume`, `set_limit`, and the `poll`s that were due): `if pool.wants_worker() &&
    ///   workers < limit`, count one more and start it;
    /// - with an adaptive limit, a worker after each [`Take::Job`]: the same. The limit may have risen when it finished its
    ///   last job, and no submission may come to tell;
    /// - a worker that finds [`Take::Empty`]: count one less, then `if pool.wants_worker()`, try to count itself in
    ///   again and go on.
    ///
    /// It begins with a sequentially consistent fence: of "the job is in, then look at the workers" and "the worker is
    /// out, then look at the jobs", at least one sees the other, provided that `workers` is changed by
    /// read-modify-writes and read after the call.
    pub fn wants_worker(&self) -> bool {
        fence(Ordering::SeqCst);
        !self.schedule.is_empty()
            && self.gate.load().mode() != Mode::Paused
            && !self.permits.is_full()
    }

    /// Counts a refusal that the caller decided, of a job of this kind. A time-out is a failure to the breakers if the pool
    /// is set up so.
    pub fn note_refused(&self, refusal: Refusal, kind: Option<Kind>, now: Instant) {
        self.ledger.metrics.refused(refusal);
        if refusal == Refusal::Timeout && self.count_submit_timeouts {
            self.ledger.breakers.record_failure(kind, now);
        }
    }

    /// Fills a slot for a job that has a place, and brings it into the orders.
    pub(crate) fn enqueue(
        &self,
        job: T,
        options: Submit,
        carried: Carried,
        now: Instant,
    ) -> Handle {
        let Submit {
            priority,
            queue_timeout,
            run_timeout,
            total_timeout,
            retry,
            kind,
        } = options;
        let Carried {
            submitted,
            attempts,
            not_before,
        } = carried;
        let deadline = |timeout: Option<Duration>| {
            timeout.map_or(Instant::MAX, |t| submitted.saturating_add(t))
        };
        let total_deadline = deadline(total_timeout);
        let queue_deadline = if attempts == 0 {
            deadline(queue_timeout)
        } else {
            Instant::MAX
        };
        let rank = Rank {
            priority,
            deadline: total_deadline,
        };
        let run_timeout = run_timeout.map_or(u64::MAX, micros);
        let policy = self.policy(retry);
        let vacant = self.schedule.reserve();
        if policy.is_some() || attempts > 0 {
            let terms = &self.terms[vacant.index()];
            terms.set(policy, run_timeout, total_deadline);
            terms.set_ready(submitted.max(not_before));
        }
        let entry = Entry {
            job,
            submitted,
            run_timeout,
            total_deadline,
            course: Course {
                attempts: attempts.min(u8::MAX.into()) as u8,
                has_policy: policy.is_some(),
            },
            total_first: total_deadline <= queue_deadline,
            token: false,
            kind: kind.filter(|kind| usize::from(kind.0) < KINDS),
        };
        self.schedule.insert(
            vacant,
            entry,
            rank,
            submitted,
            Key::due(total_deadline.min(queue_deadline), now),
            (not_before > now).then(|| delay_key(not_before, now)),
        )
    }

    /// Turns a job that was just claimed into a running one.
    fn start(
        &self,
        seen: Seen,
        entry: Entry<T>,
        permits: Permits,
        worker: WorkerId,
        now: Instant,
    ) -> Running<T> {
        let Seen { index, mark, .. } = seen;
        let Entry {
            job,
            submitted,
            run_timeout,
            total_deadline,
            mut course,
            ..
        } = entry;
        let terms = &self.terms[index];
        let ready = terms.ready(submitted, course.attempts > 0);
        self.gate.start();
        course.attempts = course.attempts.saturating_add(1);
        let run_deadline = Instant::from_micros(now.as_micros().saturating_add(run_timeout));
        let deadline = run_deadline.min(total_deadline);
        let lenient = terms.is_lenient(course);
        let watched = if lenient { total_deadline } else { deadline };
        let due = Key::due(watched, now);
        if due != Key::NEVER {
            let phase = if lenient || total_deadline < run_deadline {
                Phase::Total
            } else {
                Phase::Run
            };
            let attempts = course.attempts;
            self.watches[index].set(submitted, now, phase, attempts, worker, permits);
            self.schedule.arm(index, mark, due);
        }
        self.ledger.metrics.started(now.saturating_since(ready));
        Running {
            job,
            handle: seen.handle(),
            course,
            worker,
            submitted,
            started: now,
            deadline,
            permits,
        }
    }

    /// Hands back a job that was settled before its handler returned.
    pub(crate) fn come_late(&self, job: T, gone: Gone, permits: Permits) -> Finish<T> {
        if !matches!(gone, Gone::Unknown) {
            self.permits.release();
            self.abandoned.fetch_sub(1, Ordering::Relaxed);
            self.ledger.metrics.stale();
        }
        // At a deadline the breakers were told.
        if matches!(gone, Gone::Cancelled) {
            self.ledger.breakers.release(permits);
        }
        Finish::Stale(job)
    }

    /// Tells the breakers and the limit how an attempt ended.
    #[inline]
    fn report(&self, permits: Permits, attempt: &Attempt, run: Duration, now: Instant) {
        let breakers = &self.ledger.breakers;
        match attempt.verdict {
            Some(verdict) => breakers.record(permits, verdict, run, now),
            None => breakers.release(permits),
        }
        let load = match attempt.result {
            Settled::TimedOut(_) => Duration::MAX,
            _ => run,
        };
        self.permits.observe(load, now);
    }

    /// Settles a job that was just claimed as `Held`, and frees its place.
    fn settle_waiting(
        &self,
        seen: Seen,
        entry: Entry<T>,
        result: Settled,
        now: Instant,
    ) -> Completion<T> {
        let ready = self.ready(seen, &entry);
        self.schedule.free_held(seen.index, seen.mark);
        self.complete_waiting(seen.handle(), entry, ready, result, now)
    }

    /// Since when a job that was just claimed could run. Asked before the slot is free.
    pub(crate) fn ready(&self, seen: Seen, entry: &Entry<T>) -> Instant {
        self.terms[seen.index].ready(entry.submitted, entry.course.attempts > 0)
    }

    /// Settles a job that waited, whose slot is free.
    pub(crate) fn complete_waiting(
        &self,
        handle: Handle,
        entry: Entry<T>,
        ready: Instant,
        result: Settled,
        now: Instant,
    ) -> Completion<T> {
        if entry.token {
            self.ledger.rate.refund(now);
        }
        self.ledger.metrics.settled(&result);
        self.gate.settle_queued();
        Completion {
            job: entry.job,
            handle,
            result,
            wait: now.saturating_since(ready),
            run: Duration::ZERO,
            total: now.saturating_since(entry.submitted),
            attempt: entry.course.attempts.into(),
            worker: None,
        }
    }

    /// Settles a job whose time-out has passed, unless somebody else was first.
    fn expire(&self, seen: Seen, now: Instant) -> Option<Poll<T>> {
        let Seen { index, mark, .. } = seen;
        if mark.stage() != Stage::Armed {
            let entry = self.schedule.claim(index, mark, Stage::Held)?;
            let phase = entry.waiting_phase();
            let result = Settled::TimedOut(phase);
            return Some(Poll::Settled(self.settle_waiting(seen, entry, result, now)));
        }
        // Read before winning the change out of `Armed`, which proves that nobody wrote to it meanwhile.
        let (expired, permits) =
            self.watches[index].expired(seen.handle(), &self.terms[index], now);
        self.abandoned.fetch_add(1, Ordering::Relaxed);
        if !self.schedule.take_away(index, mark, Stage::Expired) {
            self.abandoned.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let attempt = Attempt {
            result: Settled::TimedOut(expired.phase),
            verdict: Some(Verdict::Failure),
            may_be_retried: false,
        };
        self.report(permits, &attempt, expired.run, now);
        let metrics = &self.ledger.metrics;
        metrics.settled(&attempt.result);
        metrics.ran(expired.run);
        metrics.took(expired.total);
        self.gate.settle();
        Some(Poll::TimedOut(expired))
    }

    /// Puts the delayed job in line whose time came first, if it has come.
    fn promote(&self, now: Instant) -> Option<Handle> {
        while let Some(seen) = self.schedule.next_delayed()
            && seen.due.is_due(now)
        {
            if self.schedule.promote(seen) {
                return Some(seen.handle());
            }
        }
        None
    }
}
