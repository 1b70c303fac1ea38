//! Chunks: several values that travel as one, and that a handler gets one after another.
//!
//! Of each value its kind and its length, 32-bit little-endian words, and then its bytes. `wasm/ts/value.ts` reads and
//! writes the same.
#![forbid(unsafe_code)]

use crate::context::JobError;
use crate::value::{Kind, Value};

/// What the page takes for the kind of a chunk. No handler sees one.
#[cfg(target_arch = "wasm32")]
pub const KIND: u32 = 4;

/// The results of `run` for each value of a chunk, as the bytes of another; or its first error.
pub fn each(
    mut chunk: &[u8],
    run: impl for<'a> Fn(&'a Value<'a>) -> Result<Value<'a>, JobError>,
) -> Result<Value<'static>, JobError> {
    let mut results = Vec::new();
    while let Some((&head, rest)) = chunk.split_first_chunk() {
        let head = u64::from_le_bytes(head);
        let (bytes, rest) = rest.split_at((head >> 32) as usize);
        let value = Value {
            kind: Kind::from_code(head as u32),
            bytes: bytes.into(),
        };
        let result = run(&value)?;
        // Memory that is not to be had must not be an abort.
        results
            .try_reserve(size_of::<u64>() + result.bytes.len())
            .map_err(|_| JobError::out_of_memory(results.len() + result.bytes.len()))?;
        let head = (result.bytes.len() as u64) << 32 | result.kind as u64;
        results.extend_from_slice(&head.to_le_bytes());
        results.extend_from_slice(&result.bytes);
        chunk = rest;
    }
    Ok(Value::bytes(results))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: &[u8] = &[
        1, 0, 0, 0, 2, 0, 0, 0, b'a', b'b', // "ab"
        3, 0, 0, 0, 0, 0, 0, 0, // nothing
        0, 0, 0, 0, 1, 0, 0, 0, 7,
    ];

    #[test]
    fn each_value_in_turn() {
        let echoed = each(CHUNK, |value| Ok(value.clone()));
        assert_eq!(echoed, Ok(Value::bytes(CHUNK)));
        let lengths = each(CHUNK, |value| {
            Ok(Value::bytes(vec![value.bytes.len() as u8; 1]))
        });
        let expected = [2, 0, 1].map(|length| [0, 0, 0, 0, 1, 0, 0, 0, length]);
        assert_eq!(lengths, Ok(Value::bytes(expected.concat())));
        assert_eq!(each(&[], |_| unreachable!()), Ok(Value::bytes(vec![])));
    }

    #[test]
    fn the_first_error_ends_it() {
        let run = |value: &Value<'_>| match value.kind {
            Kind::None => Err(JobError::BadInput("nothing".into())),
            Kind::Text => Ok(Value::none()),
            _ => unreachable!(),
        };
        assert_eq!(
            each(CHUNK, |value| run(value)),
            Err(JobError::BadInput("nothing".into()))
        );
    }
}
