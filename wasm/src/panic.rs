//! Panics of handlers: caught, with message and place.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};

/// What a panic said, and where.
pub struct Panic {
    pub message: String,
    /// `file:line:column`
    pub location: String,
}

thread_local! {
    /// The last panic of this thread, between the hook and `catch`.
    static LAST: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

/// Installs the hook that remembers panics instead of printing them. Once in a memory's life.
pub fn install_hook() {
    panic::set_hook(Box::new(|info| {
        let message = info
            .payload_as_str()
            .unwrap_or("a value that is not a string");
        let location = info.location().map(ToString::to_string);
        LAST.set(Some(Panic {
            message: message.to_owned(),
            location: location.unwrap_or_default(),
        }));
    }));
}

/// Runs `work`; a panic in it is its error.
pub fn catch<R>(work: impl FnOnce() -> R) -> Result<R, Panic> {
    // A handler's data dies with it: nothing broken is seen afterwards.
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|_| {
        LAST.take().unwrap_or(Panic {
            message: "the panic left no message".to_owned(),
            location: String::new(),
        })
    })
}
