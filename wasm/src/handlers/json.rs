//! JSON inputs of the built-in handlers, read by the host.
//!
//! The page wrote them by `JSON.stringify`: `JSON.parse` reads each number as it was, and the module ships no parser
//! (an exact one for numbers has a table of 10 KB).

use js_sys::{JSON, Reflect};
use wasm_bindgen::JsValue;

use crate::context::JobError;
use crate::value::{Kind, Value};

/// A JSON object that a handler takes.
pub struct Input {
    object: JsValue,
    takes: &'static str,
}

impl Input {
    /// Reads a handler's input; `takes` says what it must be.
    pub fn read(input: &Value<'_>, takes: &'static str) -> Result<Self, JobError> {
        let text = std::str::from_utf8(&input.bytes).unwrap_or_default();
        let object = JSON::parse(text).unwrap_or_default();
        if input.kind != Kind::Json || !object.is_object() {
            return Err(JobError::BadInput(format!("expected {takes}")));
        }
        Ok(Self { object, takes })
    }

    /// A field that must be a number.
    pub fn number(&self, name: &str) -> Result<f64, JobError> {
        let number = self.field(name).as_f64();
        number.ok_or_else(|| self.wrong(name))
    }

    /// A field that must be a whole number from 0 to 2³² − 1.
    pub fn whole(&self, name: &str) -> Result<u32, JobError> {
        let number = self.number(name)?;
        let whole = number as u32;
        if f64::from(whole) == number {
            Ok(whole)
        } else {
            Err(self.wrong(name))
        }
    }

    /// A field that may be missing; `undefined` then.
    pub fn field(&self, name: &str) -> JsValue {
        Reflect::get(&self.object, &name.into()).unwrap_or_default()
    }

    /// The error of a field that is not what it must be.
    pub fn wrong(&self, name: &str) -> JobError {
        JobError::BadInput(format!("expected {}: {name} is something else", self.takes))
    }
}
