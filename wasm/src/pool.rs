//! `SharedPool`: a pool in shared memory, called by the page and by its workers.

use std::sync::atomic::{AtomicI32, AtomicU32, Ordering, fence};

use weirpool_core::breaker::Breaker;
use weirpool_core::error::ConfigError;
use weirpool_core::pool::{
    Cancel, Carried, Completion, Config, Failure, Finish, Handle, Kind, Lost, Outcome,
    Phase as Limit, Poll, Pool, Refused, Running, Settled, Submit,
};
use weirpool_core::time::Instant;

use crate::handout::HandedOut;
use crate::list::TakeAllList;
use crate::progress::Progress;
use crate::record::{Fields, OutcomeCode, Phase, Record, Token};
use crate::retries::{Failed, Notice, Retries};
use crate::runners::Runners;
use crate::threads::Threads;
use crate::{clock, runner};

/// The most workers of a pool.
pub const MAX_WORKERS: usize = 64;
/// The most that there may be while some of them are on their way out.
pub const WORKER_IDS: usize = 4 * MAX_WORKERS;
/// The core's slots: a power of its tournament's arity, for one more slot would cost every job another
/// level. The largest capacity is this less `MAX_WORKERS`.
pub const SLOTS: usize = 4096;
/// More than slots: a settled job's record is in use until the page has read it.
const TOKENS: usize = 2 * SLOTS;
/// The most jobs, by name, that may have breakers of their own: as many as the core can have.
const KINDS: usize = 127;
/// The core of a pool.
pub type Core = Pool<Token, SLOTS, KINDS>;
/// What the doorbell is set to where only a message wakes the page.
const BY_MESSAGE: i32 = 2;

/// A pool in shared memory.
pub struct SharedPool {
    pub core: Core,
    /// Whether the core's limit changes by itself.
    pub adapts: bool,
    /// Whether each handler has a breaker of its own.
    by_kind: bool,
    pub records: Box<[Record]>,
    /// Tokens on their way back to the page.
    pub completions: Apart<TakeAllList>,
    /// News of delayed jobs for the page.
    pub retries: Apart<Retries>,
    /// 1 while the page sleeps in `Atomics.waitAsync`, `BY_MESSAGE` while it waits in a browser without that; whoever
    /// turns it to 0 wakes the page.
    pub doorbell: AtomicI32,
    /// The number of the newest threads (see [`Runners`]): runners of older ones take no more jobs. `HALTED` once the
    /// page has given this memory up. Written by the page.
    pub generation: AtomicU32,
    /// The most runners, one a worker; 0 where the page hands the jobs out. Written by the page.
    most: AtomicU32,
    /// Runner tasks that exist. The page counts one up before it spawns it; a runner counts itself
    /// down when it finds nothing to do, and then looks once more (see `wake`).
    pub runners: Apart<Runners>,
    /// What each worker is at, for the page's watchdog.
    pub workers: Box<[WorkerState]>,
    pub threads: Threads,
    pub handed_out: HandedOut,
    /// Which token holds a slot of the core. Written and read by the page's thread alone.
    token_of_slot: Box<[AtomicU32]>,
}

/// No generation's number.
const HALTED: u32 = u32::MAX;

/// A word on a cache line of its own, so that whoever reads its neighbours is not held up by its writers.
#[repr(align(64))]
pub struct Apart<T>(pub T);

/// What a worker is at. Written by the worker alone, read by the page.
#[repr(C)]
#[derive(Default)]
pub struct WorkerState {
    /// Token + 1 of the job it runs, or 0.
    pub token: AtomicU32,
    /// When it started that job: ms on the page's clock, modulo 2³².
    pub started: AtomicU32,
    /// Jobs it has run, modulo 2³².
    pub done: AtomicU32,
    /// An [`Activity`].
    pub activity: AtomicU32,
    pub progress: Progress,
}

impl WorkerState {
    pub fn set_activity(&self, activity: Activity) {
        self.activity.store(activity as u32, Ordering::Relaxed);
    }

    /// Notes the arrival of a worker: another one may have had the number before.
    pub fn enter(&self) {
        self.done.store(0, Ordering::Relaxed);
        self.set_activity(Activity::Idle);
    }

    /// Notes that the worker looks at the pool no more.
    pub fn leave(&self) {
        // Release: the page may free the pool when it sees this.
        self.activity
            .store(Activity::Left as u32, Ordering::Release);
    }

    /// Notes the start of a job at `now` (µs).
    pub fn begin(&self, token: Token, now: f64) {
        self.started
            .store((now / 1000.0) as u64 as u32, Ordering::Relaxed);
        // Release: who sees the token sees its start.
        self.token.store(token + 1, Ordering::Release);
    }

    /// Notes the end of a job.
    pub fn end(&self) {
        self.token.store(0, Ordering::Relaxed);
        let done = self.done.load(Ordering::Relaxed).wrapping_add(1);
        self.done.store(done, Ordering::Relaxed);
    }
}

/// A worker's life.
#[repr(u32)]
pub enum Activity {
    Never = 0,
    Idle = 1,
    Busy = 2,
    Left = 3,
}

impl SharedPool {
    /// A pool that knows `workers` workers by number.
    pub fn new(config: Config, workers: usize) -> Result<Self, ConfigError> {
        Ok(Self {
            core: Pool::try_new(config)?,
            adapts: config.adaptive.is_some(),
            by_kind: config.kind_breaker.is_some(),
            records: (0..TOKENS).map(|_| Record::new()).collect(),
            completions: Apart(TakeAllList::new()),
            retries: Apart(Retries::new()),
            doorbell: AtomicI32::new(0),
            generation: AtomicU32::new(0),
            most: AtomicU32::new(0),
            runners: Apart(Runners::new()),
            workers: (0..workers).map(|_| WorkerState::default()).collect(),
            threads: Threads::new(),
            handed_out: HandedOut::new(),
            token_of_slot: (0..SLOTS).map(|_| AtomicU32::new(0)).collect(),
        })
    }

    /// Submits the job that the page wrote into the token's record.
    pub fn submit(&'static self, token: Token, now: f64) -> Result<(), Refused<Token>> {
        let record = &self.records[token as usize];
        // SAFETY: the page holds the token.
        let fields = unsafe { record.fields() };
        fields.submitted = now;
        record.set_phase(Phase::Queued);
        let handle = self
            .core
            .submit(token, self.options(fields), clock::instant(now))
            .inspect_err(|_| record.set_phase(Phase::Free))?;
        self.admitted(token, handle);
        Ok(())
    }

    /// Takes a job over from before a reset: no gates, its age and its attempts are kept. False when there is no room.
    pub fn adopt(&'static self, token: Token) -> bool {
        let record = &self.records[token as usize];
        // SAFETY: the page holds the token.
        let fields = unsafe { record.fields() };
        record.set_phase(Phase::Queued);
        let carried = carried(fields);
        let now = clock::instant(clock::now());
        match self.core.adopt(token, self.options(fields), carried, now) {
            Ok(handle) => {
                self.admitted(token, handle);
                true
            }
            Err(_) => {
                record.set_phase(Phase::Free);
                false
            }
        }
    }

    /// When a job is tried again that was lost in a reset; the page wrote into the token's record what `adopt` takes.
    /// `None`: not at all, and that is counted.
    pub fn retry_lost(&self, token: Token, lost: Lost) -> Option<Instant> {
        // SAFETY: the page holds the token.
        let fields = unsafe { self.records[token as usize].fields() };
        let (options, now) = (self.options(fields), clock::instant(clock::now()));
        let again = self.core.retry_lost(lost, options, carried(fields), now);
        if again.is_none() {
            self.core.note_lost(lost, options.kind, now);
        }
        Some(again?.not_before)
    }

    fn options(&self, fields: &Fields) -> Submit {
        let limit = |us: f64| {
            us.is_finite()
                .then(|| core::time::Duration::from_micros(us as u64))
        };
        Submit {
            priority: fields.terms.priority(),
            queue_timeout: limit(fields.queue_timeout),
            run_timeout: limit(fields.run_timeout),
            total_timeout: limit(fields.total_timeout),
            retry: fields.terms.retry(fields.wait, fields.run),
            kind: self.kind(fields.handler),
        }
    }

    /// What the jobs of a handler share a breaker by.
    pub fn kind(&self, handler: u32) -> Option<Kind> {
        self.by_kind.then_some(Kind(handler as u8))
    }

    /// The breaker of a handler's jobs: the pool's, unless each handler has its own.
    pub fn breaker(&self, handler: u32) -> &Breaker {
        self.kind(handler)
            .and_then(|kind| self.core.kind_breaker(kind))
            .unwrap_or_else(|| self.core.breaker())
    }

    fn admitted(&'static self, token: Token, handle: Handle) {
        // The record may be a worker's by now: the handle stays on the page's side of it.
        self.token_of_slot[handle.index()].store(token, Ordering::Relaxed);
        self.records[token as usize].set_handle(handle);
        self.wake();
    }

    /// Spawns a runner if a job waits and a worker is free for it.
    ///
    /// No wake-up is lost within a generation: a submission pushes its job and then reads `runners`; a runner that found
    /// nothing lowers `runners` and then reads the queue. `Pool::wants_worker` begins with the fence
    /// that lets one of them see the other.
    pub fn wake(&'static self) {
        // Relaxed, here and in `wake_all`: these words are the page's own.
        let generation = self.generation.load(Ordering::Relaxed);
        if self.enlist(generation) {
            self.threads
                .spawn(move |team| runner::run(self, team, generation));
        }
    }

    /// As `wake`, after something that lets several jobs run at once.
    pub fn wake_all(&'static self) {
        for _ in 0..self.most.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    /// Counts one more runner of `generation`, if that is the newest, a job may run and not all workers have one.
    pub fn enlist(&self, generation: u32) -> bool {
        // Relaxed: a runner that does not see that there may be more of them leaves it to the page, which has changed
        // it and then wakes as many as are needed.
        let most = self.most.load(Ordering::Relaxed);
        // This fence stands for the one in `wants_worker` where all workers have a runner: the usual case in a busy
        // pool, which then reads no word that the workers write at every job.
        fence(Ordering::SeqCst);
        self.runners.0.has_room(generation, most)
            && self.core.wants_worker()
            && !self.is_halted()
            && self.runners.0.join(generation, most)
    }

    /// Whether the page has given this memory up.
    pub fn is_halted(&self) -> bool {
        self.generation.load(Ordering::Relaxed) == HALTED
    }

    /// Puts `workers` of the threads that were built last in charge. The workers of the others leave: at once, if no
    /// runner is among them, else when their runners' jobs have ended. With `at_rest`, only if there is no runner:
    /// false, and nothing is done, if there is one.
    pub fn switch(&'static self, workers: u32, at_rest: bool) -> Result<bool, ConfigError> {
        let Some(generation) = self.runners.0.advance(at_rest) else {
            return Ok(false);
        };
        self.generation.store(generation, Ordering::Relaxed);
        self.threads.switch();
        self.resize(workers, workers)?;
        Ok(true)
    }

    /// So many `workers` of the newest threads run jobs from now on, and all together at most `limit` at once.
    pub fn resize(&'static self, workers: u32, limit: u32) -> Result<(), ConfigError> {
        self.core.set_limit(limit.min(u32::from(u16::MAX)) as u16)?;
        self.most.store(workers, Ordering::Relaxed);
        self.wake_all();
        Ok(())
    }

    /// Cancels a job. `None`: it is settled already.
    pub fn cancel(&self, token: Token) -> Option<Cancelled> {
        let record = &self.records[token as usize];
        match self
            .core
            .cancel(record.handle(), clock::instant(clock::now()))
        {
            Cancel::Removed(_) => {
                record.set_phase(Phase::Free);
                Some(Cancelled::Removed)
            }
            Cancel::Signalled => {
                record.set_cancelled();
                Some(Cancelled::Signalled)
            }
            Cancel::Stale => None,
        }
    }

    /// Settles what is due, and wakes workers for delayed jobs whose time has come. Returns the token of a running job
    /// that passed its deadline, if there is one; queued jobs go on the completions list.
    pub fn poll(&'static self) -> Result<(Token, OutcomeCode), f64> {
        let now = clock::instant(clock::now());
        loop {
            match self.core.poll(now) {
                Poll::Settled(completion) => self.settle(completion),
                Poll::TimedOut(expired) => {
                    let token = self.token_of_slot[expired.handle.index()].load(Ordering::Relaxed);
                    self.records[token as usize].set_cancelled();
                    return Ok((token, timeout_code(expired.phase)));
                }
                Poll::Promoted(_) => self.wake(),
                Poll::Idle { next } => {
                    return Err(next.map_or(f64::INFINITY, |at| at.as_micros() as f64));
                }
            }
        }
    }

    /// Removes one queued job, as cancelled.
    pub fn abort_next(&self) -> Option<Token> {
        let completion = self.core.abort_next(clock::instant(clock::now()))?;
        self.records[completion.job as usize].set_phase(Phase::Free);
        Some(completion.job)
    }

    /// Sends a settled job back to the page. The caller holds its token.
    pub fn settle(&self, completion: Completion<Token>) {
        self.note_end(&completion);
        self.give_back(completion.job);
    }

    /// Writes into the record how its job ended. The caller holds the token.
    pub fn note_end(&self, completion: &Completion<Token>) {
        let token = completion.job;
        let record = &self.records[token as usize];
        // SAFETY: the caller holds the token.
        let fields = unsafe { record.fields() };
        match completion.result {
            Settled::Completed => fields.outcome = OutcomeCode::Completed as u32,
            // The runner wrote which kind of failure it was, beside its output.
            Settled::Failed(Failure::CircuitOpen { retry_after }) => {
                fields.outcome = OutcomeCode::CircuitOpen as u32;
                fields.retry_after = clock::micros(retry_after);
            }
            Settled::Failed(_) => {}
            Settled::TimedOut(phase) => fields.outcome = timeout_code(phase) as u32,
            Settled::Cancelled => fields.outcome = OutcomeCode::Cancelled as u32,
        }
        fields.wait = completion.wait.as_micros() as f64;
        fields.run = completion.run.as_micros() as f64;
        fields.total = completion.total.as_micros() as f64;
        fields.attempt = completion.attempt;
    }

    /// Sends a token back to the page whose job was settled before.
    pub fn release(&self, token: Token) {
        let record = &self.records[token as usize];
        // SAFETY: the caller holds the token.
        unsafe {
            record.free_output();
            record.fields().outcome = OutcomeCode::Released as u32;
        }
        self.give_back(token);
    }

    fn give_back(&self, token: Token) {
        self.records[token as usize].complete(token, &self.completions.0);
        self.ring();
    }

    /// Wakes the page if it sleeps.
    ///
    /// The page arms the doorbell and then looks at the list once more; a worker pushes and then
    /// looks at the doorbell. The swap and the page's `Atomics` are sequentially consistent, so one
    /// of them sees the other.
    fn ring(&self) {
        fence(Ordering::SeqCst);
        let bell = self.doorbell.load(Ordering::Relaxed);
        // The page is awake when it completes something itself, and looks afterwards.
        if bell == 0 || (bell == BY_MESSAGE && !crate::threads::may_message()) {
            return;
        }
        match self.doorbell.swap(0, Ordering::SeqCst) {
            0 => {}
            BY_MESSAGE => crate::threads::message_page(),
            _ => crate::threads::notify(&self.doorbell),
        }
    }

    /// Ends an attempt. The caller holds the token, and gives it up.
    ///
    /// The page hears of an attempt that failed before anybody can have the job for the next one: so whatever becomes of
    /// the job later, its news come after these. That it waits the page hears once it does: before, to look for it when
    /// its time comes might be in vain.
    pub fn finish(&self, running: Running<Token>, outcome: Outcome, now: Instant) {
        let (token, handle, attempt) = (*running.job(), running.handle(), running.attempt());
        let record = &self.records[token as usize];
        let finish = self.end(running, outcome, now, &mut |at| {
            // The record is made ready for another attempt: afterwards it may be anybody's.
            record.set_phase(Phase::Queued);
            // SAFETY: until this returns the caller holds the token, and no borrow of the fields is alive.
            let failed = unsafe {
                if outcome == Outcome::Success {
                    // After its time-out: nobody wants what it returned.
                    record.free_output();
                    record.fields().outcome = OutcomeCode::Completed as u32;
                }
                Failed {
                    token,
                    attempt,
                    outcome: record.fields().outcome,
                    output: record.take_output(),
                }
            };
            let at = at.as_micros() as f64;
            self.retries.0.push(Notice::new(handle, at, Some(failed)));
        });
        match finish {
            Finish::Settled(completion) => self.settle(completion),
            Finish::Stale(token) => self.release(token),
            Finish::Retry { at } => self.delayed(handle, at),
        }
    }

    /// [`Core::finish_with`], once for all that call it.
    pub fn end(
        &self,
        running: Running<Token>,
        outcome: Outcome,
        now: Instant,
        before: &mut dyn FnMut(Instant),
    ) -> Finish<Token> {
        self.core.finish_with(running, outcome, now, before)
    }

    /// Tells the page that a job waits now.
    pub fn delayed(&self, handle: Handle, at: Instant) {
        let notice = Notice::new(handle, at.as_micros() as f64, None);
        self.retries.0.push(notice);
        self.ring();
    }

    /// What the page has not heard yet of jobs that are tried again, oldest first; not of those whose tokens are others'
    /// by now.
    pub fn delayed_jobs(&self) -> impl Iterator<Item = (Token, Notice)> {
        self.retries.0.take().into_iter().filter_map(|notice| {
            let token = match &notice.failed {
                // Its slot may be another job's before the page has seen its end.
                Some(failed) => failed.token,
                None => self.token_of_slot[notice.handle.index()].load(Ordering::Relaxed),
            };
            if self.records[token as usize].handle() == notice.handle {
                return Some((token, notice));
            }
            if let Some(failed) = notice.failed {
                failed.output.free();
            }
            None
        })
    }
}

/// What a cancellation did.
pub enum Cancelled {
    /// The job was queued; its token is the page's again.
    Removed,
    /// The job runs; its token comes back when its handler has returned.
    Signalled,
}

/// What a job brings along over a reset.
fn carried(fields: &Fields) -> Carried {
    Carried {
        submitted: clock::instant(fields.submitted),
        attempts: fields.attempt,
        not_before: clock::instant(fields.started),
    }
}

fn timeout_code(phase: Limit) -> OutcomeCode {
    match phase {
        Limit::Queue => OutcomeCode::TimedOutQueue,
        Limit::Run => OutcomeCode::TimedOutRun,
        Limit::Total => OutcomeCode::TimedOutTotal,
    }
}
