//! What travels between a caller and a handler: bytes with a kind.

use std::borrow::Cow;

/// What the bytes of a [`Value`] are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// Bytes as they are.
    Bytes = 0,
    /// A string in UTF-8.
    Text = 1,
    /// Any other value, as JSON.
    Json = 2,
    /// No value (`undefined`); no bytes.
    None = 3,
}

impl Kind {
    #[cfg(any(test, target_arch = "wasm32"))]
    pub(crate) fn from_code(code: u32) -> Self {
        match code {
            1 => Self::Text,
            2 => Self::Json,
            3 => Self::None,
            _ => Self::Bytes,
        }
    }
}

/// A job's input or its result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value<'a> {
    /// What the bytes are.
    pub kind: Kind,
    /// The bytes; borrowed where nothing had to be copied.
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> Value<'a> {
    /// Bytes as they are; a result borrowed from the input is not copied.
    pub fn bytes(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self {
            kind: Kind::Bytes,
            bytes: bytes.into(),
        }
    }

    /// A string.
    #[must_use]
    pub fn text(text: String) -> Self {
        Self {
            kind: Kind::Text,
            bytes: Cow::Owned(text.into_bytes()),
        }
    }

    /// Any other value, as JSON text.
    #[must_use]
    pub fn json(json: String) -> Self {
        Self {
            kind: Kind::Json,
            bytes: Cow::Owned(json.into_bytes()),
        }
    }

    /// No value.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            kind: Kind::None,
            bytes: Cow::Borrowed(&[]),
        }
    }
}
