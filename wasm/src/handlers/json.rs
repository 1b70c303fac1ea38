//! JSON inputs of the built-in handlers.

use serde::de::DeserializeOwned;

use crate::context::JobError;
use crate::value::{Kind, Value};

/// Reads a JSON input, or says what the handler takes.
pub fn input<T: DeserializeOwned>(input: &Value<'_>, takes: &str) -> Result<T, JobError> {
    if input.kind != Kind::Json {
        return Err(JobError::BadInput(format!("expected {takes}")));
    }
    serde_json_core::from_slice(&input.bytes)
        .map(|(value, _)| value)
        .map_err(|error| JobError::BadInput(format!("expected {takes}: {error}")))
}
