//! The pool: one path from submission to settlement, composed of the gates, the queue and the metrics.
//!
//! ```text
//! submit ─ open? ─ breaker ─ rate ─ in flight ─ capacity ─▶ queue ─▶ take ─ permit ─ expired? ─ breaker ─▶ run ─▶ finish
//! ```
//!
//! # Laws
//! 1. *Every accepted job settles exactly once*: whoever wins its slot's state word settles it. At every quiescent
//!    point `accepted = completed + failed + timed_out + cancelled + queued + running`.
//! 2. *Capacity is fixed and exact*: a job holds one slot from acceptance until its handler has returned. Waiting jobs
//!    are at most `capacity`, permits at most `most_running`, and slots are at least both together.
//! 3. *No context waits for another*: every operation takes a number of steps that depends on the logarithm of the
//!    slots and not on how many jobs wait; a retry means that another context made progress.
//! 4. *A refusal is not a failure*: the pool's own gates teach the breaker nothing, and a later gate that refuses gives
//!    back what an earlier one granted.
//! 5. *Time is an argument*, and may stand still, jump or run backwards: it saturates, nothing panics.
//! 6. *Late results cannot lie*: handles and permits carry generations; what comes late is [`Finish::Stale`].
//! 7. *Nothing starves*: see [`Config::ageing`].
//!
//! # Orderings
//! The state word of a slot is the one place where races are decided. Slots are freed before the counter that bounds
//! them is released, and the counter is acquired before a slot is reserved, so that below the bound a slot is free.
#![forbid(unsafe_code)]

use core::time::Duration;

use crate::{
    breaker::{self, Breaker, Verdict},
    concurrency::ConcurrencyLimit,
    error::ConfigError,
    gate::{Gate, MAX_COUNT, Mode, Shut},
    key::{Clock, Key, MAX_AGEING},
    metrics::{Metrics, Snapshot},
    queue::{Least, Tournament},
    rate::{Quota, RateLimit},
    sync::{Apart, AtomicU32, Loose64, Ordering, array, const_fn, fence},
    table::{Mark, Stage, Table},
    time::Instant,
};

pub use crate::job::{
    Cancel, Completion, Expired, Failure, Finish, Handle, Outcome, Phase, Poll, Priority, Refusal,
    Refused, Running, Settled, Submit, Take, WorkerId,
};

/// A bounded job pool. It holds jobs of type `T` in `SLOTS` slots, runs nothing itself and never blocks.
///
/// Callers [`submit`](Self::submit) jobs; workers [`take`](Self::take) them, run them in whatever way they like and
/// [`finish`](Self::finish) them; somebody calls [`poll`](Self::poll) when time-outs are due. All of it through `&self`
/// and lock-free, so that threads, interrupts and a page that may not block can share one pool in a `static`.
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
pub struct Pool<T, const SLOTS: usize> {
    /// Written by submitters and workers.
    gate: Apart<Gate>,
    /// Written by submitters.
    clock: Apart<Clock>,
    /// Written by workers.
    permits: Apart<ConcurrencyLimit>,
    /// Bound on the jobs in flight.
    max_in_flight: AtomicU32,
    /// Settled jobs whose handlers still run.
    abandoned: AtomicU32,
    /// Queued jobs by their turn.
    order: Tournament<SLOTS>,
    /// Queued and running jobs with a time-out, by when it is due. Others never enter.
    timers: Tournament<SLOTS>,
    table: Table<Entry<T>, SLOTS>,
    watches: [Watch; SLOTS],
    ledger: Ledger,
    capacity: u32,
    most_running: u16,
    ageing: Option<Duration>,
}

impl<T, const SLOTS: usize> Pool<T, SLOTS> {
    const_fn! {
        /// A pool with this configuration.
        ///
        /// # Panics
        /// Where [`try_new`](Self::try_new) would fail; in a `static` that is an error of compilation.
        pub const fn new(config: Config) -> Self {
            match config.check(SLOTS) {
                Ok(breaker) => Self::build(config, breaker),
                Err(error) => panic!("{}", error.message()),
            }
        }

        /// A pool with this configuration, or what is wrong with it.
        pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
            match config.check(SLOTS) {
                Ok(breaker) => Ok(Self::build(config, breaker)),
                Err(error) => Err(error),
            }
        }

        const fn build(config: Config, breaker: Breaker) -> Self {
            let max_in_flight = match config.max_in_flight {
                Some(max) => max,
                None => MAX_COUNT,
            };
            Self {
                gate: Apart(Gate::new()),
                clock: Apart(Clock::new()),
                permits: Apart(ConcurrencyLimit::new(config.limit)),
                max_in_flight: AtomicU32::new(max_in_flight),
                abandoned: AtomicU32::new(0),
                order: Tournament::new(),
                timers: Tournament::new(),
                table: Table::new(),
                watches: array!(|_i| Watch::new(); SLOTS),
                ledger: Ledger { metrics: Metrics::new(), breaker, rate: Apart(RateLimit::new(config.rate)) },
                capacity: config.capacity as u32,
                most_running: config.most_running,
                ageing: config.ageing,
            }
        }
    }

    /// Submits a job. The gates are asked in the order of the picture above; the first that refuses hands it back.
    ///
    /// From acceptance on the job settles exactly once: by `finish`, `cancel`, `poll`, `take` or `abort_next`.
    pub fn submit(&self, job: T, options: Submit, now: Instant) -> Result<Handle, Refused<T>> {
        let Ledger {
            metrics,
            breaker,
            rate,
        } = &self.ledger;
        let refused = if self.gate.load().mode() == Mode::Closed {
            Refused::Closed(job)
        } else if let Err(retry_after) = breaker.check(now) {
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
                    return Ok(self.enqueue(job, options, now, now));
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

    /// Takes in a job that another pool had accepted, when that pool's memory was lost: it passes no gate but the
    /// capacity, is not counted again, and keeps its age. To keep their turns, adopt jobs in the order in which they
    /// were submitted, and before anything new is submitted.
    pub fn adopt(
        &self,
        job: T,
        options: Submit,
        submitted: Instant,
        now: Instant,
    ) -> Result<Handle, T> {
        match self.gate.readmit(self.capacity) {
            Ok(()) => Ok(self.enqueue(job, options, submitted, now)),
            Err(_) => Err(job),
        }
    }

    /// Takes the next job to run.
    ///
    /// The job that comes is the one with the least key at one moment during the call ([`Config::ageing`]). A job
    /// whose time-out has passed, or that the open breaker does not let run, is settled here and comes as
    /// [`Take::Settled`].
    pub fn take(&self, worker: WorkerId, now: Instant) -> Take<T> {
        // Looking first keeps idle workers from writing to shared words.
        if self.gate.load().mode() == Mode::Paused
            || self.order.is_empty()
            || !self.permits.try_acquire()
        {
            return Take::Empty {
                next: self.next_due(now),
            };
        }
        let breaker = &self.ledger.breaker;
        let mut permit = None;
        let settled = loop {
            let Some((least, mark)) = self.next_queued() else {
                break None;
            };
            let index = least.index;
            let due = self.timers.key(index);
            if !self.order.is_still(least) {
                continue;
            }
            if due.is_due(now) {
                let Some(entry) = self.table.claim(index, mark, Stage::Held) else {
                    continue;
                };
                let phase = entry.waiting_phase();
                break Some(self.settle_queued(index, mark, entry, Settled::TimedOut(phase), now));
            }
            if permit.is_none() {
                match breaker.acquire(now) {
                    Ok(granted) => permit = Some(granted),
                    Err(retry_after) => {
                        let Some(entry) = self.table.claim(index, mark, Stage::Held) else {
                            continue;
                        };
                        let result = Settled::Failed(Failure::CircuitOpen { retry_after });
                        break Some(self.settle_queued(index, mark, entry, result, now));
                    }
                }
            }
            let Some(entry) = self.table.claim(index, mark, Stage::Running) else {
                continue;
            };
            if let Some(permit) = permit {
                return Take::Job(self.start(index, mark, entry, permit, worker, now));
            }
        };
        if let Some(permit) = permit {
            let _ = breaker.release(permit);
        }
        self.permits.release();
        match settled {
            Some(completion) => Take::Settled(completion),
            None => Take::Empty {
                next: self.next_due(now),
            },
        }
    }

    /// Ends a job that was taken. Its permit and slot are free when this returns.
    ///
    /// Of this call, a cancellation and a deadline that `poll` sees, exactly one settles the job: the first to change
    /// its state. A result that arrives after the deadline but before anybody polled still counts.
    pub fn finish(&self, running: Running<T>, outcome: Outcome, now: Instant) -> Finish<T> {
        let Ledger {
            metrics, breaker, ..
        } = &self.ledger;
        let Running {
            job,
            handle,
            attempt,
            worker,
            submitted,
            started,
            deadline,
            permit,
        } = running;
        let index = handle.index();
        loop {
            let Some(mark) = self.mark(handle) else {
                return Finish::Stale(job);
            };
            match mark.stage() {
                Stage::Running => {
                    if self.table.free(index, mark) {
                        break;
                    }
                }
                Stage::Armed => {
                    if self.table.shift(index, mark, Stage::Held) {
                        self.sweep_timers(index);
                        self.table.free(index, mark.at(Stage::Held));
                        break;
                    }
                }
                stage @ (Stage::Cancelled | Stage::Expired) => {
                    // Who settled it may not have swept yet, and the slot is about to be used again.
                    if deadline.is_some() {
                        self.sweep_timers(index);
                    }
                    self.table.free(index, mark);
                    self.permits.release();
                    self.abandoned.fetch_sub(1, Ordering::Relaxed);
                    metrics.stale();
                    if stage == Stage::Cancelled {
                        let _ = breaker.release(permit);
                    }
                    return Finish::Stale(job);
                }
                Stage::Free | Stage::Queued | Stage::Held => return Finish::Stale(job),
            }
        }
        let wait = started.saturating_since(submitted);
        let run = now.saturating_since(started);
        let total = now.saturating_since(submitted);
        let _ = match outcome {
            Outcome::Success => breaker.record(permit, Verdict::Success, run, now),
            Outcome::Failure | Outcome::Panic => breaker.record(permit, Verdict::Failure, run, now),
            Outcome::Ignored => breaker.release(permit),
        };
        self.permits.release();
        let result = match outcome {
            Outcome::Success => Settled::Completed,
            Outcome::Failure => Settled::Failed(Failure::Error),
            Outcome::Ignored => Settled::Failed(Failure::Ignored),
            Outcome::Panic => Settled::Failed(Failure::Panic),
        };
        metrics.settled(&result);
        metrics.ran(run, total);
        self.gate.settle();
        Finish::Settled(Completion {
            job,
            handle,
            result,
            wait,
            run,
            total,
            attempt,
            worker: Some(worker),
        })
    }

    /// Cancels a job: one that waits is removed, one that runs is settled now.
    pub fn cancel(&self, handle: Handle, now: Instant) -> Cancel<T> {
        let index = handle.index();
        loop {
            let Some(mark) = self.mark(handle) else {
                return Cancel::Stale;
            };
            match mark.stage() {
                Stage::Queued => {
                    if let Some(entry) = self.table.claim(index, mark, Stage::Held) {
                        return Cancel::Removed(self.settle_queued(
                            index,
                            mark,
                            entry,
                            Settled::Cancelled,
                            now,
                        ));
                    }
                }
                stage @ (Stage::Running | Stage::Armed) => {
                    // Before the change, since the finish that sees the change takes it off again.
                    self.abandoned.fetch_add(1, Ordering::Relaxed);
                    if self.table.shift(index, mark, Stage::Cancelled) {
                        if stage == Stage::Armed {
                            self.sweep_timers(index);
                        }
                        self.ledger.metrics.settled(&Settled::Cancelled);
                        self.gate.settle();
                        return Cancel::Signalled;
                    }
                    self.abandoned.fetch_sub(1, Ordering::Relaxed);
                }
                _ => return Cancel::Stale,
            }
        }
    }

    /// Whether a job waits or runs and is not settled: what a running handler asks to see whether it is still wanted.
    pub fn is_live(&self, handle: Handle) -> bool {
        self.mark(handle).is_some_and(|mark| {
            matches!(mark.stage(), Stage::Queued | Stage::Running | Stage::Armed)
        })
    }

    /// Settles one job whose time-out has passed. Call again until it is [`Poll::Idle`].
    pub fn poll(&self, now: Instant) -> Poll<T> {
        loop {
            let Some((least, mark)) = self.next_timer() else {
                return Poll::Idle { next: None };
            };
            let index = least.index;
            let due = self.timers.key(index);
            let watch = &self.watches[index];
            let (submitted, started) = (watch.submitted.load(), watch.started.load());
            // Relaxed: read between two looks at the state word, which orders them.
            let (permit, detail) = (
                watch.permit.load(Ordering::Relaxed),
                watch.detail.load(Ordering::Relaxed),
            );
            if !self.timers.is_still(least) {
                continue;
            }
            if !due.is_due(now) {
                return Poll::Idle {
                    next: Some(due.at(now)),
                };
            }
            if mark.stage() == Stage::Queued {
                let Some(entry) = self.table.claim(index, mark, Stage::Held) else {
                    continue;
                };
                let phase = entry.waiting_phase();
                return Poll::Settled(self.settle_queued(
                    index,
                    mark,
                    entry,
                    Settled::TimedOut(phase),
                    now,
                ));
            }
            self.abandoned.fetch_add(1, Ordering::Relaxed);
            if !self.table.shift(index, mark, Stage::Expired) {
                self.abandoned.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            self.sweep_timers(index);
            let (submitted, started) = (
                Instant::from_micros(submitted),
                Instant::from_micros(started),
            );
            let expired = Expired {
                handle: Handle::new(index, mark),
                phase: if detail & Watch::TOTAL_FIRST == 0 {
                    Phase::Run
                } else {
                    Phase::Total
                },
                worker: WorkerId(detail as u16),
                wait: started.saturating_since(submitted),
                run: now.saturating_since(started),
                total: now.saturating_since(submitted),
                attempt: 1,
            };
            let permit = breaker::Permit::from_bits(permit);
            let _ = self
                .ledger
                .breaker
                .record(permit, Verdict::Failure, expired.run, now);
            self.ledger
                .metrics
                .settled(&Settled::TimedOut(expired.phase));
            self.ledger.metrics.ran(expired.run, expired.total);
            self.gate.settle();
            return Poll::TimedOut(expired);
        }
    }

    /// Hands out nothing until [`resume`](Self::resume). Jobs that run go on; a closed pool is not paused.
    pub fn pause(&self) {
        self.gate.set_mode(Mode::Paused);
    }

    /// Ends a pause. Ask [`wants_worker`](Self::wants_worker) afterwards.
    pub fn resume(&self) {
        self.gate.set_mode(Mode::Open);
    }

    /// Admits nothing any more, for good. What waits is still handed out, also by a pool that was paused.
    pub fn close(&self) {
        self.gate.set_mode(Mode::Closed);
    }

    /// What the pool does at its two ends.
    pub fn state(&self) -> State {
        let admission = self.gate.load();
        match admission.mode() {
            Mode::Open => State::Running,
            Mode::Paused => State::Paused,
            Mode::Closed if admission.in_flight() > 0 => State::Draining,
            Mode::Closed => State::Closed,
        }
    }

    /// Removes the waiting job whose turn is next, as cancelled. Until `None`, it empties the queue.
    pub fn abort_next(&self, now: Instant) -> Option<Completion<T>> {
        loop {
            let (least, mark) = self.next_queued()?;
            if let Some(entry) = self.table.claim(least.index, mark, Stage::Held) {
                return Some(self.settle_queued(least.index, mark, entry, Settled::Cancelled, now));
            }
        }
    }

    /// Whether a job waits that one more worker could take now: cheap, and exact enough to never lose a wake-up.
    ///
    /// For executors that start a worker per running job and let it end when there is nothing to do, with a count
    /// `workers` of their own:
    /// - after every `submit` (and `resume`, and `set_limit`): `if pool.wants_worker() && workers < limit`, count one
    ///   more and start it;
    /// - a worker that finds [`Take::Empty`]: count one less, then `if pool.wants_worker()`, try to count itself in
    ///   again and go on.
    ///
    /// It begins with a sequentially consistent fence: of "the job is in, then look at the workers" and "the worker is
    /// out, then look at the jobs", at least one sees the other, provided that `workers` is changed by
    /// read-modify-writes and read after the call.
    pub fn wants_worker(&self) -> bool {
        fence(Ordering::SeqCst);
        !self.order.is_empty()
            && self.gate.load().mode() != Mode::Paused
            && self.permits.in_flight() < self.permits.limit()
    }

    /// Counts a refusal that the caller decided.
    pub fn note_refused(&self, refusal: Refusal) {
        self.ledger.metrics.refused(refusal);
    }

    /// Counts the end of a job that was accepted by a pool whose memory was lost, and that is not adopted.
    pub fn note_lost(&self, lost: Lost, now: Instant) {
        let Ledger {
            metrics, breaker, ..
        } = &self.ledger;
        match lost {
            Lost::Killed | Lost::Trapped => {
                if let Ok(permit) = breaker.acquire(now) {
                    let _ = breaker.record(permit, Verdict::Failure, Duration::ZERO, now);
                }
                let failure = if lost == Lost::Trapped {
                    Failure::Panic
                } else {
                    Failure::Error
                };
                metrics.settled(&Settled::Failed(failure));
            }
            Lost::Crashed => {
                metrics.settled(&Settled::Failed(Failure::Ignored));
                metrics.worker_crashed();
            }
            Lost::Cancelled => metrics.settled(&Settled::Cancelled),
        }
    }

    /// Completes the move of a [`Ledger`]'s bytes into this pool, which must still be empty.
    pub fn recovered(&self) {
        self.ledger.metrics.reset();
    }

    /// What outlives the pool's memory.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How many jobs may run at once from now on. Those that run go on.
    ///
    /// # Errors
    /// If it is zero or above `most_running`.
    pub fn set_limit(&self, limit: u16) -> Result<(), ConfigError> {
        if limit == 0 || limit > self.most_running {
            return Err(ConfigError::new(
                "the limit is zero or above the most running",
            ));
        }
        self.permits.set(limit);
        Ok(())
    }

    /// The rate limit from now on.
    pub fn set_quota(&self, quota: Option<Quota>, now: Instant) {
        self.ledger.rate.set(quota, now);
    }

    /// Most jobs in flight from now on.
    ///
    /// # Errors
    /// If it is zero.
    pub fn set_max_in_flight(&self, max: Option<u32>) -> Result<(), ConfigError> {
        if max == Some(0) {
            return Err(ConfigError::new("no job could be in flight"));
        }
        // Relaxed: nothing else is published with it.
        self.max_in_flight
            .store(max.unwrap_or(MAX_COUNT), Ordering::Relaxed);
        Ok(())
    }

    /// The circuit breaker.
    pub fn breaker(&self) -> &Breaker {
        &self.ledger.breaker
    }

    /// Counters, gauges and histograms, read one after the other: exact when nobody else is at work.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let admission = self.gate.load();
        let _ = now;
        Snapshot {
            queued: admission.waiting(),
            // A job that is cancelled between its claim and its start leaves the two counts in this order.
            running: admission.in_flight().saturating_sub(admission.waiting()),
            abandoned: self.abandoned.load(Ordering::Relaxed),
            ..self.ledger.metrics.snapshot()
        }
    }

    /// Fills a slot for a job that has a place, and brings it into the orders.
    fn enqueue(&self, job: T, options: Submit, submitted: Instant, now: Instant) -> Handle {
        let Submit {
            priority,
            queue_timeout,
            run_timeout,
            total_timeout,
        } = options;
        let vacant = self
            .table
            .reserve()
            .expect("a place is given only while a slot is free");
        let index = vacant.index();
        let deadline = |timeout: Option<Duration>| {
            timeout.map_or(Instant::MAX, |t| submitted.saturating_add(t))
        };
        let (queue_deadline, total_deadline) = (deadline(queue_timeout), deadline(total_timeout));
        let total_first = total_deadline <= queue_deadline;
        let due = Key::due(total_deadline.min(queue_deadline), now);
        self.order
            .set_key(index, self.clock.key(submitted, priority, self.ageing));
        self.timers.set_key(index, due);
        let run_timeout = run_timeout.unwrap_or(Duration::MAX);
        let mark = vacant.publish(Entry {
            job,
            submitted,
            run_timeout,
            total_deadline,
            total_first,
        });
        self.sweep_order(index);
        if due != Key::NEVER {
            self.sweep_timers(index);
        }
        Handle::new(index, mark)
    }

    /// Turns a job that was just claimed into a running one.
    fn start(
        &self,
        index: usize,
        mark: Mark,
        entry: Entry<T>,
        permit: breaker::Permit,
        worker: WorkerId,
        now: Instant,
    ) -> Running<T> {
        let Entry {
            job,
            submitted,
            run_timeout,
            total_deadline,
            ..
        } = entry;
        self.sweep_order(index);
        if self.timers.key(index) != Key::NEVER {
            self.sweep_timers(index);
        }
        self.gate.start();
        let run_deadline = now.saturating_add(run_timeout);
        let deadline = run_deadline.min(total_deadline);
        let due = Key::due(deadline, now);
        if due != Key::NEVER {
            let total_first = if total_deadline < run_deadline {
                Watch::TOTAL_FIRST
            } else {
                0
            };
            let watch = &self.watches[index];
            watch.submitted.store(submitted.as_micros());
            watch.started.store(now.as_micros());
            // Relaxed: published by the change to `Armed`.
            watch.permit.store(permit.to_bits(), Ordering::Relaxed);
            watch
                .detail
                .store(total_first | u32::from(worker.0), Ordering::Relaxed);
            self.timers.set_key(index, due);
            // It fails if the job was cancelled meanwhile: then nobody need watch it.
            if self
                .table
                .shift(index, mark.at(Stage::Running), Stage::Armed)
            {
                self.sweep_timers(index);
            }
        }
        self.ledger.metrics.started(now.saturating_since(submitted));
        Running {
            job,
            handle: Handle::new(index, mark),
            attempt: 1,
            worker,
            submitted,
            started: now,
            deadline: (due != Key::NEVER).then_some(deadline),
            permit,
        }
    }

    /// Settles a job that was just claimed from the queue, and frees its place.
    fn settle_queued(
        &self,
        index: usize,
        mark: Mark,
        entry: Entry<T>,
        result: Settled,
        now: Instant,
    ) -> Completion<T> {
        self.sweep_order(index);
        if self.timers.key(index) != Key::NEVER {
            self.sweep_timers(index);
        }
        self.table.free(index, mark.at(Stage::Held));
        self.ledger.metrics.settled(&result);
        self.gate.settle_queued();
        let wait = now.saturating_since(entry.submitted);
        Completion {
            job: entry.job,
            handle: Handle::new(index, mark),
            result,
            wait,
            run: Duration::ZERO,
            total: wait,
            attempt: 0,
            worker: None,
        }
    }

    /// The waiting job whose turn is next, with the state in which it was seen to wait.
    fn next_queued(&self) -> Option<(Least, Mark)> {
        loop {
            let least = self.order.least()?;
            let mark = self.table.state(least.index);
            if mark.stage() != Stage::Queued {
                self.sweep_order(least.index);
            } else if self.order.is_still(least) {
                return Some((least, mark));
            }
        }
    }

    /// The job whose time-out is due next, with the state in which it was seen.
    fn next_timer(&self) -> Option<(Least, Mark)> {
        loop {
            let least = self.timers.least()?;
            let mark = self.table.state(least.index);
            if !mark.is_timed() {
                self.sweep_timers(least.index);
            } else if self.timers.is_still(least) {
                return Some((least, mark));
            }
        }
    }

    /// When `poll` has something to do.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        loop {
            let (least, _) = self.next_timer()?;
            let due = self.timers.key(least.index);
            if self.timers.is_still(least) {
                return Some(due.at(now));
            }
        }
    }

    #[inline(always)]
    fn sweep_order(&self, index: usize) {
        self.order.sweep(index, |slot| {
            self.table.state(slot).stage() == Stage::Queued
        });
    }

    #[inline(always)]
    fn sweep_timers(&self, index: usize) {
        self.timers
            .sweep(index, |slot| self.table.state(slot).is_timed());
    }

    /// The state of a handle's slot, if it still is of the handle's generation.
    fn mark(&self, handle: Handle) -> Option<Mark> {
        let index = handle.index();
        if index >= SLOTS {
            return None;
        }
        let mark = self.table.state(index);
        (mark.generation() == handle.generation()).then_some(mark)
    }
}

/// How a pool is set up.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Most jobs that wait. `capacity + most_running` must not exceed the pool's slots.
    pub capacity: usize,
    /// Most jobs that run at once, at first; see [`Pool::set_limit`].
    pub limit: u16,
    /// The greatest limit that may ever be set.
    pub most_running: u16,
    /// What a step of priority is worth, at most about three days; `None` is strict priority.
    ///
    /// A job counts as submitted this much later for every level that it is below the top, and the least such time
    /// goes first (of equal times the higher level). So **a job is overtaken only by jobs of a higher level that were
    /// submitted no later than (difference of levels) × ageing after it**: one worker that needs at most `s` a job
    /// starts even a low job under a steady flood of critical ones within `3 × ageing + capacity × s`. Equal levels
    /// are first in, first out along happens-before, whatever the caller's clock does. With strict priority a flood
    /// of higher jobs starves the lower ones.
    ///
    /// Times go into this to a sixteenth of a microsecond: sixteen submissions in one microsecond each count as a
    /// little later than the one before. (With 32-bit words: to a millisecond, equal ones in order.)
    pub ageing: Option<Duration>,
    /// Most jobs that are accepted and not settled.
    pub max_in_flight: Option<u32>,
    /// How many jobs are admitted in a time.
    pub rate: Option<Quota>,
    /// The circuit breaker; `None` is a breaker that is disabled.
    pub breaker: Option<breaker::Config>,
}

impl Config {
    /// 16 waiting, 4 running, ageing one level a second, no other gate.
    pub const DEFAULT: Self = Self {
        capacity: 16,
        limit: 4,
        most_running: 4,
        ageing: Some(Duration::from_millis(1000)),
        max_in_flight: None,
        rate: None,
        breaker: None,
    };

    const_fn! {
        /// Whether a pool of so many slots can be set up so; its breaker, or what is wrong.
        const fn check(&self, slots: usize) -> Result<Breaker, ConfigError> {
            let places = match slots.checked_sub(self.most_running as usize) {
                Some(places) => places,
                None => return Err(ConfigError::new("the capacity is zero or does not fit in the slots beside the most running")),
            };
            if self.capacity == 0 || self.capacity > places {
                return Err(ConfigError::new("the capacity is zero or does not fit in the slots beside the most running"));
            }
            if self.limit == 0 || self.limit > self.most_running {
                return Err(ConfigError::new("the limit is zero or above the most running"));
            }
            if let Some(ageing) = self.ageing && ageing.as_micros() > MAX_AGEING.as_micros() {
                return Err(ConfigError::new("the ageing is over three days"));
            }
            if let Some(0) = self.max_in_flight {
                return Err(ConfigError::new("no job could be in flight"));
            }
            match self.breaker {
                Some(config) => match Breaker::try_new(config) {
                    Ok(breaker) => Ok(breaker),
                    Err(error) => Err(error),
                },
                None => Ok(Breaker::disabled()),
            }
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a pool does at its two ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// Admits and hands out.
    Running,
    /// Admits; hands nothing out.
    Paused,
    /// Closed, with jobs that are not settled.
    Draining,
    /// Closed, every job settled.
    Closed,
}

/// A job that was lost with its worker and will never finish; see [`Pool::note_lost`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Lost {
    /// It ran too long and was killed: a failure, also for the breaker.
    Killed,
    /// It brought its worker down: a failure and a panic, also for the breaker.
    Trapped,
    /// Another job brought its worker down: a failure, but nothing for the breaker.
    Crashed,
    /// It was cancelled, or could not be carried over, while there was no pool.
    Cancelled,
}

/// What outlives a pool's memory: counters, breaker and rate limit, in words only.
///
/// When a pool's memory must be given up, these bytes may be copied over those of a new pool with the same `Config` and
/// of the same build before anybody else uses it; [`Pool::recovered`] then completes the move.
#[derive(Debug)]
#[repr(C)]
pub struct Ledger {
    metrics: Metrics,
    breaker: Breaker,
    rate: Apart<RateLimit>,
}

/// What a waiting slot holds.
#[derive(Debug)]
struct Entry<T> {
    job: T,
    submitted: Instant,
    /// `Duration::MAX` for none.
    run_timeout: Duration,
    /// `Instant::MAX` for none.
    total_deadline: Instant,
    /// Whether the time-out that is watched while it waits is the total one.
    total_first: bool,
}

/// What `poll` must know of a running job to settle it. Written by the taker before the slot is `Armed`, read before
/// winning the change out of `Armed`, which proves that it was not overwritten meanwhile.
#[derive(Debug)]
struct Watch {
    submitted: Loose64,
    started: Loose64,
    /// Generation of the breaker's permit.
    permit: AtomicU32,
    /// `[total first: 1 | worker: 16]`.
    detail: AtomicU32,
}

impl<T> Entry<T> {
    /// Which time-out is watched while it waits.
    fn waiting_phase(&self) -> Phase {
        if self.total_first {
            Phase::Total
        } else {
            Phase::Queue
        }
    }
}

impl Watch {
    const TOTAL_FIRST: u32 = 1 << 16;

    const_fn! {
        const fn new() -> Self {
            Self {
                submitted: Loose64::new(0),
                started: Loose64::new(0),
                permit: AtomicU32::new(0),
                detail: AtomicU32::new(0),
            }
        }
    }
}
