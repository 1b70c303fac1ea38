//! A job on its way: how it is submitted, refused, run and settled. Plain data, all of it.
#![forbid(unsafe_code)]

use core::{fmt, time::Duration};

#[cfg(doc)]
use crate::pool::{Config, Pool};
use crate::{breakers::Permits, retry, table::Mark, time::Instant};

/// A job's priority.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Priority {
    /// Three levels below the top.
    Low,
    /// Two levels below the top.
    #[default]
    Normal,
    /// One level below the top.
    High,
    /// The top.
    Critical,
}

impl Priority {
    /// How many levels there are.
    pub const LEVELS: usize = 4;

    pub(crate) const fn steps_below_top(self) -> u64 {
        3 - self as u64
    }
}

/// What a job does or works with, as a number of the caller's choice below the pool's `KINDS`: jobs of one kind share a
/// circuit breaker of their own ([`Config::kind_breaker`]), so that what ails one kind does not shut the others out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Kind(pub u8);

/// How one job is submitted. A time-out of `Duration::MAX` is none; with 32-bit words one over 12 days counts as 12.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Submit {
    /// Which jobs it goes before.
    pub priority: Priority,
    /// Longest wait for its first start.
    pub queue_timeout: Option<Duration>,
    /// Longest run of one attempt; takes effect in [`Pool::poll`].
    pub run_timeout: Option<Duration>,
    /// Longest time from submission to settlement. No attempt starts after it.
    pub total_timeout: Option<Duration>,
    /// Whether it is tried again.
    pub retry: Retry,
    /// Whose breaker it passes besides the pool's. Without a kind, or with one that is not below the pool's `KINDS`, it
    /// passes the pool's alone.
    pub kind: Option<Kind>,
}

impl Submit {
    /// Normal priority, no time-out.
    pub const DEFAULT: Self = Self {
        priority: Priority::Normal,
        queue_timeout: None,
        run_timeout: None,
        total_timeout: None,
        retry: Retry::Pool,
        kind: None,
    };
}

/// Whether a job is tried again, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Retry {
    /// As the pool's configuration has it.
    #[default]
    Pool,
    /// It is not.
    Off,
    /// By a policy of its own, out of the pool's budget.
    Policy(retry::Policy),
}

/// What a job brings along when it is carried over from a lost memory; see [`Pool::adopt`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Carried {
    /// When it was submitted, which is what its age and its time-outs count from.
    pub submitted: Instant,
    /// How many attempts it has had.
    pub attempts: u32,
    /// Before when its next attempt must not start.
    pub not_before: Instant,
}

impl Carried {
    /// A job that was submitted then and has not been tried yet.
    pub const fn new(submitted: Instant) -> Self {
        Self {
            submitted,
            attempts: 0,
            not_before: Instant::ZERO,
        }
    }
}

/// The name of an accepted job, or of an item in a [queue](crate::queue). A copy outlives the job without harm: it carries
/// the generation of its slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Handle(u64);

impl Handle {
    /// The handle as a number: the slot in the low 16 bits, the generation above.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The handle that [`to_bits`](Self::to_bits) was called on. Any other number makes a handle that is stale.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The job's slot, below the pool's `SLOTS`; no two unsettled jobs share one.
    pub const fn index(self) -> usize {
        (self.0 & 0xFFFF) as usize
    }

    /// How often the slot was used before.
    pub const fn generation(self) -> u64 {
        self.0 >> 16
    }

    pub(crate) fn new(index: usize, mark: Mark) -> Self {
        Self(mark.generation() << 16 | index as u64)
    }
}

/// Who takes jobs: a number for reports, of the caller's choice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WorkerId(pub u16);

/// A submission that was not accepted, with the job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Refused<T> {
    /// `capacity` jobs wait.
    Full(T),
    /// The pool was closed.
    Closed(T),
    /// The rate limit; the same submission may pass after this time.
    Limited {
        /// The job.
        job: T,
        /// When a token will be free.
        retry_after: Duration,
    },
    /// The circuit breaker of the pool or of the job's kind is open.
    Open {
        /// The job.
        job: T,
        /// When it will let a probe through; of two the later.
        retry_after: Duration,
    },
    /// `max_in_flight` jobs are unsettled.
    InFlight(T),
}

impl<T> Refused<T> {
    /// The job.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(job) | Self::Closed(job) | Self::InFlight(job) => job,
            Self::Limited { job, .. } | Self::Open { job, .. } => job,
        }
    }

    /// Why, without the job.
    pub fn reason(&self) -> Refusal {
        match self {
            Self::Full(_) => Refusal::Full,
            Self::Closed(_) => Refusal::Closed,
            Self::Limited { .. } => Refusal::Rate,
            Self::Open { .. } => Refusal::Breaker,
            Self::InFlight(_) => Refusal::InFlight,
        }
    }

    /// When another try makes sense, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match *self {
            Self::Limited { retry_after, .. } | Self::Open { retry_after, .. } => Some(retry_after),
            _ => None,
        }
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason().fmt(f)
    }
}

impl<T: fmt::Debug> core::error::Error for Refused<T> {}

/// Why a submission was refused. The last three are decided by the caller ([`Pool::note_refused`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// The queue is full.
    Full,
    /// The rate limit.
    Rate,
    /// The circuit breaker.
    Breaker,
    /// Too many jobs in flight.
    InFlight,
    /// The pool is closed.
    Closed,
    /// The wait for room took too long.
    Timeout,
    /// The wait for room was aborted.
    Abort,
    /// The job's input or kind was not acceptable.
    Input,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the queue is full",
            Self::Rate => "over the rate limit",
            Self::Breaker => "the circuit breaker is open",
            Self::InFlight => "too many jobs are in flight",
            Self::Closed => "the pool is closed",
            Self::Timeout => "the wait for room took too long",
            Self::Abort => "the wait for room was aborted",
            Self::Input => "the input is not acceptable",
        })
    }
}

/// What [`Pool::take`] found.
#[derive(Debug)]
#[must_use]
pub enum Take<T> {
    /// A job to run. Every one must come back by [`Pool::finish`].
    Job(Running<T>),
    /// A job that was settled instead of run: its time had passed or the breaker is open. Take again.
    Settled(Completion<T>),
    /// A job with retries has to wait: the breaker is open, or the rate limit has no token yet. Take again.
    Delayed {
        /// Which job.
        handle: Handle,
        /// Until when.
        at: Instant,
    },
    /// A job that was cancelled just when the breaker or the rate limit turned it away. It is handed back as by
    /// [`Finish::Stale`]. Take again.
    Stale(T),
    /// Nothing to run now: no job waits, the limit is reached or the pool is paused.
    Empty {
        /// As [`Pool::poll_at`].
        next: Option<Instant>,
    },
}

/// What a slot's cell holds of a job that waits.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) job: T,
    pub(crate) submitted: Instant,
    /// In microseconds, `u64::MAX` for none.
    pub(crate) run_timeout: u64,
    /// `Instant::MAX` for none.
    pub(crate) total_deadline: Instant,
    pub(crate) course: Course,
    /// Whether the time-out that is watched while it waits is the total one.
    pub(crate) total_first: bool,
    /// Whether a rate token is reserved for its next attempt.
    pub(crate) token: bool,
    /// Its kind, if the pool has a breaker for that.
    pub(crate) kind: Option<Kind>,
}

/// How far a job has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    /// Attempts that began.
    pub(crate) attempts: u8,
    /// Whether it has a policy, which its slot's [`Terms`](crate::terms::Terms) know.
    pub(crate) has_policy: bool,
}

impl<T> Entry<T> {
    /// Which time-out is watched while it waits.
    pub(crate) fn waiting_phase(&self) -> Phase {
        if self.total_first {
            Phase::Total
        } else {
            Phase::Queue
        }
    }
}

/// A job that runs: plain data. It holds a permit and a slot of its pool until [`Pool::finish`]; dropped, they are lost.
#[derive(Debug)]
#[must_use = "a job that is not finished keeps its permit and its slot for ever"]
pub struct Running<T> {
    pub(crate) job: T,
    pub(crate) handle: Handle,
    pub(crate) course: Course,
    pub(crate) worker: WorkerId,
    pub(crate) submitted: Instant,
    pub(crate) started: Instant,
    /// `Instant::MAX` for none.
    pub(crate) deadline: Instant,
    pub(crate) permits: Permits,
}

impl<T> Running<T> {
    /// The job.
    pub fn job(&self) -> &T {
        &self.job
    }

    /// The job, to be changed while it runs.
    pub fn job_mut(&mut self) -> &mut T {
        &mut self.job
    }

    /// Its name.
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.course.attempts.into()
    }

    /// Who took it.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// When it was submitted.
    pub fn submitted(&self) -> Instant {
        self.submitted
    }

    /// When it was taken.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// When its time is up: it will be settled as timed out unless it finishes before, or the attempt counts as timed out
    /// ([`retry::Policy::after_timeouts`]).
    pub fn deadline(&self) -> Option<Instant> {
        (self.deadline != Instant::MAX).then_some(self.deadline)
    }
}

/// How a handler ended. After the time-out of an attempt that may be repeated, the first three are that time-out: see
/// [`retry::Policy::after_timeouts`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// It returned a result.
    Success,
    /// It returned an error: the breaker counts it, and another attempt may follow.
    Failure,
    /// It returned an error that says nothing about the health of what it works with: the breaker does not count it.
    /// Another attempt may follow.
    Ignored,
    /// It returned an error that another attempt would only repeat.
    Permanent {
        /// Whether the breaker does not count it.
        ignored: bool,
    },
    /// It panicked: the breaker counts it. Another attempt follows only if the policy says so.
    Panic,
}

/// What [`Pool::finish`] did.
#[derive(Debug)]
#[must_use]
pub enum Finish<T> {
    /// The job is settled by this call.
    Settled(Completion<T>),
    /// It failed and will be tried again.
    Retry {
        /// Not before this time; [`Pool::poll`] or [`Pool::take`] then brings it up.
        at: Instant,
    },
    /// It was settled before, by a cancellation or at its deadline. The job is handed back; nothing else happened.
    Stale(T),
}

/// What [`Pool::cancel`] did.
#[derive(Debug)]
#[must_use]
pub enum Cancel<T> {
    /// The job waited, in line or for its time; it is settled and its place is free.
    Removed(Completion<T>),
    /// The job is with a worker; it is settled now, and its `finish` (or, rarely, the `take` that has it) hands it back as
    /// stale. Its handler may ask [`Pool::is_live`].
    Signalled,
    /// It is not known (any more).
    Stale,
}

/// What [`Pool::poll`] did.
#[derive(Debug)]
#[must_use]
pub enum Poll<T> {
    /// A waiting job's time-out passed; it is settled. Poll again.
    Settled(Completion<T>),
    /// A running job's deadline passed; it is settled, its `finish` will be stale. Poll again.
    TimedOut(Expired),
    /// A delayed job's time has come; it waits in its lane now. Poll again.
    Promoted(Handle),
    /// Nothing is due. After promotions ask [`Pool::wants_worker`].
    Idle {
        /// As [`Pool::poll_at`].
        next: Option<Instant>,
    },
}

/// A running job that passed its deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expired {
    /// Which job.
    pub handle: Handle,
    /// [`Phase::Run`] or [`Phase::Total`].
    pub phase: Phase,
    /// Who runs it.
    pub worker: WorkerId,
    /// As [`Completion::wait`].
    pub wait: Duration,
    /// How long the attempt has run.
    pub run: Duration,
    /// From submission until now; never less than `run`.
    pub total: Duration,
    /// Which attempt, from 1.
    pub attempt: u32,
}

/// A settled job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Completion<T> {
    /// The job.
    pub job: T,
    /// Its name, now stale.
    pub handle: Handle,
    /// How it ended.
    pub result: Settled,
    /// From when it could run (its submission or, of a retry, the end of the backoff) to the start of its last attempt, or
    /// to its settlement if it was waiting for one.
    pub wait: Duration,
    /// From the start of its last attempt to its settlement; zero if it was waiting for one.
    pub run: Duration,
    /// From submission to settlement: all attempts and pauses; never less than `run`.
    pub total: Duration,
    /// The last attempt that began, from 1; 0 if none did.
    pub attempt: u32,
    /// Who ran it when it was settled.
    pub worker: Option<WorkerId>,
}

/// How a job ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// Its handler returned a result.
    Completed,
    /// It failed.
    Failed(Failure),
    /// A time-out passed.
    TimedOut(Phase),
    /// It was cancelled.
    Cancelled,
}

/// Why a job failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// An error that the breaker counts.
    Error,
    /// An error that the breaker does not count.
    Ignored,
    /// [`Outcome::Panic`].
    Panic,
    /// The breaker of the pool or of its kind was open when its turn came.
    CircuitOpen {
        /// When it will let a probe through; of two the later.
        retry_after: Duration,
    },
}

/// Which time-out passed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    /// The longest wait.
    Queue,
    /// The longest run.
    Run,
    /// The longest time in all.
    Total,
}
