//! What a running handler may ask about its job, and how it reports an error.

use core::fmt;

/// A running job's view of itself.
pub struct Context<'a> {
    pub(crate) cancelled: &'a dyn Fn() -> bool,
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
    /// pool is gone. A handler asks about every millisecond and returns early; what it returns then
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
    },
}

impl JobError {
    /// A plain failure.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed {
            name: "Error",
            message: message.into(),
        }
    }

    /// What a handler returns when it sees that it was cancelled.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::Failed {
            name: "AbortError",
            message: "the handler stopped because its job was cancelled".into(),
        }
    }

    /// What a handler returns when memory for its result is not to be had.
    #[must_use]
    pub fn out_of_memory(bytes: usize) -> Self {
        Self::Failed {
            name: "RangeError",
            message: format!("out of memory: {bytes} bytes are not to be had"),
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
