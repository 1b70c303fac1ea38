//! Inputs of the built-in handlers that are bytes.

use crate::context::JobError;
use crate::value::{Kind, Value};

/// The bytes of an input that must be bytes.
#[cfg(feature = "gzip")]
pub fn bytes<'a>(input: &'a Value<'_>) -> Result<&'a [u8], JobError> {
    match input.kind {
        Kind::Bytes => Ok(&input.bytes),
        _ => Err(expected("bytes")),
    }
}

/// The bytes of an input that must be bytes or a string, which is its UTF-8 then.
pub fn bytes_or_text<'a>(input: &'a Value<'_>) -> Result<&'a [u8], JobError> {
    match input.kind {
        Kind::Bytes | Kind::Text => Ok(&input.bytes),
        _ => Err(expected("bytes or a string")),
    }
}

fn expected(takes: &str) -> JobError {
    JobError::BadInput(format!("expected {takes}"))
}
