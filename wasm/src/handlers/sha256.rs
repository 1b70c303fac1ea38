//! `sha256`: the SHA-256 digest of bytes.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::bytes::bytes_or_text;
use crate::context::{Context, JobError};
use crate::value::Value;

/// Bytes hashed between two looks at the cancellation: about a quarter of a millisecond.
const CHUNK: usize = 64 * 1024;

/// The digest in lower-case hexadecimal; a string is hashed as its UTF-8.
pub fn sha256<'a>(input: &'a Value<'a>, context: &Context<'_>) -> Result<Value<'a>, JobError> {
    let bytes = bytes_or_text(input)?;
    let mut hash = Sha256::new();
    for (nth, chunk) in bytes.chunks(CHUNK).enumerate() {
        if context.cancelled() {
            return Err(JobError::cancelled());
        }
        context.progress((nth * CHUNK) as f64, bytes.len() as f64);
        hash.update(chunk);
    }
    let mut digest = String::with_capacity(64);
    for byte in hash.finalize() {
        write!(digest, "{byte:02x}").expect("a String takes all");
    }
    Ok(Value::text(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(input: &Value<'_>) -> Result<String, JobError> {
        let context = Context {
            cancelled: &|| false,
            progress: &|_, _| {},
            now: || 0.0,
            deadline: f64::INFINITY,
            attempt: 1,
            may_block: true,
        };
        let digest = sha256(input, &context)?.bytes.into_owned();
        Ok(String::from_utf8(digest).unwrap())
    }

    #[test]
    fn matches_the_standards_vectors() {
        let digest = |bytes: &[u8]| digest_of(&Value::bytes(bytes)).unwrap();
        // FIPS 180-4, and NIST's example of one million times 'a'.
        assert_eq!(
            digest(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            digest(&vec![b'a'; 1_000_000]),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        );
    }

    #[test]
    fn takes_bytes_and_text_only() {
        let text = digest_of(&Value::text("größer".into())).unwrap();
        assert_eq!(text, digest_of(&Value::bytes("größer".as_bytes())).unwrap());
        for other in [Value::none(), Value::json("{}".into())] {
            assert!(matches!(digest_of(&other), Err(JobError::BadInput(_))));
        }
    }
}
