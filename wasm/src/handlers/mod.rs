//! The handlers: the built-in ones, each behind a cargo feature of its name, and those of the crate that this one is
//! linked into.

use std::sync::OnceLock;

use crate::context::{Context, JobError};
use crate::value::Value;

#[cfg(any(feature = "gzip", feature = "sha256"))]
mod bytes;
#[cfg(feature = "echo")]
mod echo;
#[cfg(feature = "gzip")]
mod gzip;
#[cfg(any(feature = "simulate", feature = "mandelbrot"))]
mod json;
#[cfg(feature = "mandelbrot")]
mod mandelbrot;
#[cfg(feature = "sha256")]
mod sha256;
#[cfg(feature = "simulate")]
mod simulate;

/// A function that runs on a worker: input in, result out. It may borrow its result from its input.
pub type Handler = for<'a> fn(&'a Value<'a>, &Context<'_>) -> Result<Value<'a>, JobError>;

/// The built-in handlers by name; the position is the handler's number.
pub const BUILT_IN: &[(&str, Handler)] = &[
    #[cfg(feature = "echo")]
    ("echo", echo::echo),
    #[cfg(feature = "simulate")]
    ("simulate", simulate::simulate),
    #[cfg(feature = "sha256")]
    ("sha256", sha256::sha256),
    #[cfg(feature = "gzip")]
    ("gzip", gzip::gzip),
    #[cfg(feature = "gzip")]
    ("gunzip", gzip::gunzip),
    #[cfg(feature = "mandelbrot")]
    ("mandelbrot", mandelbrot::mandelbrot),
];

/// The handlers of [`register`]; their numbers follow the built-in ones.
///
/// Set before anything else runs in this memory, by the page; a worker that comes later only finds that it is set. So
/// nobody ever waits here, which the page may not.
static OWN: OnceLock<Handlers> = OnceLock::new();

/// Handlers by name.
pub type Handlers = &'static [(&'static str, Handler)];

/// Adds a crate's own handlers to the built-in ones: to be called by its start function, which runs in every thread.
/// Only the first call counts. The name of a built-in handler may be given to another one.
///
/// ```no_run,ignore-wasm32
/// use wasm_bindgen::prelude::*;
/// use weirpool_wasm::{Context, JobError, Value};
///
/// #[wasm_bindgen(start)]
/// fn start() {
///     weirpool_wasm::register(&[("count", count)]);
/// }
///
/// fn count<'a>(input: &'a Value<'a>, _: &Context<'_>) -> Result<Value<'a>, JobError> {
///     Ok(Value::json(input.bytes.len().to_string()))
/// }
/// ```
pub fn register(handlers: Handlers) {
    // The same table from another thread.
    let _ = OWN.set(handlers);
}

/// All handlers, by number.
#[cfg_attr(not(target_arch = "wasm32"), expect(dead_code))]
pub(crate) fn all() -> impl Iterator<Item = (&'static str, Handler)> {
    BUILT_IN.iter().chain(own()).copied()
}

/// The handler of that number, or `None`: it is one in JavaScript.
#[cfg_attr(not(target_arch = "wasm32"), expect(dead_code))]
pub(crate) fn get(number: usize) -> Option<Handler> {
    let found = BUILT_IN
        .get(number)
        .or_else(|| own().get(number - BUILT_IN.len()))?;
    Some(found.1)
}

fn own() -> Handlers {
    OWN.get().copied().unwrap_or_default()
}
