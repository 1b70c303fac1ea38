//! Running built-in jobs without a pool: one at a time on this instance's only thread, for a pool in another memory
//! or, on the page, in this one.

use crate::clock;
use crate::context::Context;
use crate::record::{OutcomeCode, Record};
use crate::runner::{self, Marks};

/// The job. Whoever calls writes its handler, kind and input, and reads its outcome and output, by the offsets of
/// `record.rs`.
pub static RECORD: Record = Record::new();

/// Runs the job; returns what its error says about itself. `remaining` is in µs; a `lenient` attempt ends itself when
/// that has passed.
pub fn run(
    remaining: f64,
    attempt: u32,
    lenient: bool,
    may_block: bool,
    progress: &dyn Fn(f64, f64),
) -> Marks {
    let deadline = clock::now() + remaining;
    let context = Context {
        // Nobody else runs who could cancel it.
        cancelled: &|| lenient && clock::now() >= deadline,
        progress,
        now: clock::now,
        deadline,
        attempt,
        may_block,
    };
    // SAFETY: only this thread uses the record, and no borrow of it is alive.
    unsafe { RECORD.fields() }.outcome = OutcomeCode::Completed as u32;
    // It has no token: only handlers in JavaScript would need one, and they do not come this way.
    Marks::of(runner::execute(&RECORD, u32::MAX, &context))
}

/// Frees the output.
pub fn clear() {
    // SAFETY: only this thread uses the record.
    unsafe { RECORD.free_output() };
}
