//! The built-in handlers, each behind a cargo feature of its name.

use crate::context::{Context, JobError};
use crate::value::Value;

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
