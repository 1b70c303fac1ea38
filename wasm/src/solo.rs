//! Running built-in jobs without a pool: one at a time on this instance's only thread, for a pool in another memory
//! or, on the page, in this one.

use crate::clock;
use crate::context::Context;
use crate::record::{OutcomeCode, Record};
use crate::runner;

/// The job. Whoever calls writes its handler, kind and input, and reads its outcome and output, by the offsets of
/// `record.rs`.
pub static RECORD: Record = Record::new();

/// Runs the job. `remaining` is in µs.
pub fn run(remaining: f64, attempt: u32, may_block: bool) {
    let context = Context {
        // Nobody else runs who could cancel it.
        cancelled: &|| false,
        now: clock::now,
        deadline: clock::now() + remaining,
        attempt,
        may_block,
    };
    // SAFETY: only this thread uses the record, and no borrow of it is alive.
    unsafe { RECORD.fields() }.outcome = OutcomeCode::Completed as u32;
    // It has no token: only handlers in JavaScript would need one, and they do not come this way.
    let _ = runner::execute(&RECORD, u32::MAX, &context);
}

/// Frees the output.
pub fn clear() {
    // SAFETY: only this thread uses the record.
    unsafe { RECORD.free_output() };
}
