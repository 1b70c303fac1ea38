//! `simulate`: the demo job. It takes a while and ends as it is told.

use std::thread;
use std::time::Duration;

use super::json::Input;
use crate::context::{Context, JobError};
use crate::value::Value;

const TAKES: &str =
    "{ duration: ms, outcome?: 'success' | 'error' | 'panic' | 'trap' | 'runaway' }";

#[derive(Clone, Copy)]
enum End {
    Success,
    Error,
    Panic,
    Trap,
    Runaway,
}

impl End {
    /// By its name; a success if there is none.
    fn read(input: &Input) -> Result<Self, JobError> {
        let name = input.field("outcome");
        if name.is_undefined() {
            return Ok(Self::Success);
        }
        match name.as_string().as_deref() {
            Some("success") => Ok(Self::Success),
            Some("error") => Ok(Self::Error),
            Some("panic") => Ok(Self::Panic),
            Some("trap") => Ok(Self::Trap),
            Some("runaway") => Ok(Self::Runaway),
            _ => Err(input.wrong("outcome")),
        }
    }
}

/// Sleeps for `duration` (on a thread that may not, it spins), then succeeds, fails, panics or traps; a
/// runaway never ends by itself and ignores its cancellation.
pub fn simulate<'a>(input: &'a Value<'a>, context: &Context<'_>) -> Result<Value<'a>, JobError> {
    let input = Input::read(input, TAKES)?;
    let (duration, outcome) = (input.number("duration")?, End::read(&input)?);
    if !(0.0..=86_400_000.0).contains(&duration) {
        return Err(JobError::BadInput(
            "duration must be from 0 to 86400000 ms".into(),
        ));
    }
    let end = (context.now)() + duration * 1000.0;
    loop {
        let left = end - (context.now)();
        if left <= 0.0 {
            break;
        }
        if context.cancelled() {
            return Err(JobError::cancelled());
        }
        context.progress(duration - left / 1000.0, duration);
        if context.may_block {
            // Not `thread::sleep`: it counts down across its wait, and code of V8 11 (Chrome 113, Node 20) that is not
            // optimised yet forgets the count there, and sleeps for ever.
            thread::park_timeout(Duration::from_micros(left.min(1000.0) as u64));
        } else {
            std::hint::spin_loop();
        }
    }
    match outcome {
        End::Success => Ok(Value::none()),
        End::Error => Err(JobError::failed("simulated failure")),
        End::Panic => panic!("simulated panic"),
        End::Trap => trap(),
        End::Runaway => loop {
            std::hint::spin_loop();
        },
    }
}

#[cfg(target_arch = "wasm32")]
fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

#[cfg(not(target_arch = "wasm32"))]
fn trap() -> ! {
    std::process::abort()
}
