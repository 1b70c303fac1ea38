//! A job on its way: how it is submitted, refused, run and settled. Plain data, all of it.
#![forbid(unsafe_code)]

use core::{fmt, time::Duration};

#[cfg(doc)]
use crate::pool::Pool;
use crate::{breaker, table::Mark, time::Instant};

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

/// How one job is submitted. A time-out of `Duration::MAX` is none; with 32-bit words one over 12 days counts as 12.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Submit {
    /// Which jobs it goes before.
    pub priority: Priority,
    /// Longest wait in the queue.
    pub queue_timeout: Option<Duration>,
    /// Longest run.
    pub run_timeout: Option<Duration>,
    /// Longest time from submission to settlement.
    pub total_timeout: Option<Duration>,
}

impl Submit {
    /// Normal priority, no time-out.
    pub const DEFAULT: Self = Self {
        priority: Priority::Normal,
        queue_timeout: None,
        run_timeout: None,
        total_timeout: None,
    };
}

/// The name of an accepted job. A copy outlives the job without harm: it carries the generation of its slot.
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
    /// The circuit breaker is open.
    Open {
        /// The job.
        job: T,
        /// When it will let a probe through.
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
    /// Nothing to run now: no job waits, the limit is reached or the pool is paused.
    Empty {
        /// When [`Pool::poll`] has something to do, if ever.
        next: Option<Instant>,
    },
}

/// A job that runs: plain data. It holds a permit and a slot of its pool until [`Pool::finish`]; dropped, they are lost.
#[derive(Debug)]
#[must_use = "a job that is not finished keeps its permit and its slot for ever"]
pub struct Running<T> {
    pub(crate) job: T,
    pub(crate) handle: Handle,
    pub(crate) attempt: u32,
    pub(crate) worker: WorkerId,
    pub(crate) submitted: Instant,
    pub(crate) started: Instant,
    pub(crate) deadline: Option<Instant>,
    pub(crate) permit: breaker::Permit,
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
        self.attempt
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

    /// When it will be settled as timed out unless it finishes before.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

/// How a handler ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// It returned a result.
    Success,
    /// It returned an error: the breaker counts it.
    Failure,
    /// It returned an error that says nothing about the health of what it works with: the breaker does not count it.
    Ignored,
    /// It panicked: the breaker counts it.
    Panic,
}

/// What [`Pool::finish`] did.
#[derive(Debug)]
#[must_use]
pub enum Finish<T> {
    /// The job is settled by this call.
    Settled(Completion<T>),
    /// It was settled before, by a cancellation or at its deadline. The job is handed back; nothing else happened.
    Stale(T),
}

/// What [`Pool::cancel`] did.
#[derive(Debug)]
#[must_use]
pub enum Cancel<T> {
    /// The job waited; it is settled and its place is free.
    Removed(Completion<T>),
    /// The job runs; it is settled now, and its `finish` will be stale. Its handler may ask [`Pool::is_live`].
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
    /// Nothing is due.
    Idle {
        /// When to poll next, if ever.
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
    /// How long it waited.
    pub wait: Duration,
    /// How long it has run.
    pub run: Duration,
    /// Both together.
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
    /// From submission to start (or to settlement, if it never ran).
    pub wait: Duration,
    /// From start to settlement; zero if it never ran.
    pub run: Duration,
    /// From submission to settlement.
    pub total: Duration,
    /// The last attempt, from 1; 0 if it never ran.
    pub attempt: u32,
    /// Who ran it.
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
    /// [`Outcome::Failure`].
    Error,
    /// [`Outcome::Ignored`].
    Ignored,
    /// [`Outcome::Panic`].
    Panic,
    /// The breaker was open when its turn came.
    CircuitOpen {
        /// When the breaker will let a probe through.
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
