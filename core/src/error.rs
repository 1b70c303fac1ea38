//! The error of a setting that is out of its stated range.
#![forbid(unsafe_code)]

use core::fmt;

/// A setting that is out of its stated range; its text says which rule it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError(&'static str);

impl ConfigError {
    pub(crate) const fn new(rule: &'static str) -> Self {
        Self(rule)
    }

    /// The rule that was broken, in lower case and without a full stop.
    pub const fn message(&self) -> &'static str {
        self.0
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for ConfigError {}
