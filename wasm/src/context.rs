//! What a running handler may ask about its job, and how it reports an error.

use core::fmt;

/// A running job's view of itself.
pub struct Context<'a> {
    pub(crate) cancelled: &'a dyn Fn() -> bool,
    pub(crate) progress: &'a dyn Fn(f64, f64),
    pub(crate) now: fn() -> f64,
    /// µs on the page's clock.
    pub(crate) deadline: f64,
    pub(crate) attempt: u32,
    /// Whether this thread may sleep; the page's may not.
    #[cfg_attr(
        not(feature = "simulate"),
        expect(dead_code, reason = "no other handler sleeps")
    )]
    pub(crate) may_block: bool,
}

impl Context<'_> {
    /// Whether nobody waits for the result any more: the job was cancelled or timed out, or the
    /// pool is gone; or, with retries after time-outs, whether the attempt has timed out. A handler asks about every millisecond and returns early; what it returns then
    /// is dropped.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        (self.cancelled)()
    }

    /// Milliseconds until the job's deadline (0 when it has passed), infinite without one.
    #[must_use]
    pub fn remaining(&self) -> f64 {
        ((self.deadline - (self.now)()) / 1000.0).max(0.0)
    }

    /// Tells whoever watches the job that `done` of `total` are done, in any unit. It costs a few stores; only the last
    /// report counts.
    pub fn progress(&self, done: f64, total: f64) {
        (self.progress)(done, total);
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

/// Why a handler failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JobError {
    /// The input is not what the handler takes: `ERR_DATA` at the caller. Not a failure to the
    /// circuit breaker.
    BadInput(String),
    /// The job failed: `ERR_JOB_FAILED` at the caller, with this error as its cause.
    Failed {
        /// The error's class, such as `Error`.
        name: &'static str,
        /// What went wrong.
        message: String,
        /// Whether another attempt would only repeat it: then none is made.
        permanent: bool,
        /// Whether it says nothing about the health of what the job works with: then the circuit breaker does not
        /// count it.
        ignored: bool,
    },
}

impl JobError {
    /// A plain failure.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::named("Error", message.into())
    }

    /// The same, if it is a failure, as one that another attempt would only repeat.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        if let Self::Failed { permanent, .. } = &mut self {
            *permanent = true;
        }
        self
    }

    /// The same, if it is a failure, as one that the circuit breaker does not count.
    #[must_use]
    pub fn ignored(mut self) -> Self {
        if let Self::Failed { ignored, .. } = &mut self {
            *ignored = true;
        }
        self
    }

    /// What a handler returns when it sees that it was cancelled.
    #[must_use]
    pub fn cancelled() -> Self {
        let message = "the handler stopped because its job was cancelled";
        Self::named("AbortError", message.into())
    }

    /// What a handler returns when memory for its result is not to be had.
    #[must_use]
    pub fn out_of_memory(bytes: usize) -> Self {
        let message = format!("out of memory: {bytes} bytes are not to be had");
        Self::named("RangeError", message)
    }

    const fn named(name: &'static str, message: String) -> Self {
        Self::Failed {
            name,
            message,
            permanent: false,
            ignored: false,
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadInput(message) | Self::Failed { message, .. } => f.write_str(message),
        }
    }
}

impl core::error::Error for JobError {}
