//! `gzip` and `gunzip`: RFC 1952 compression of bytes.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::context::{Context, JobError};
use crate::value::Value;

/// Bytes processed between two looks at the cancellation: about a millisecond of compression.
const CHUNK: usize = 16 * 1024;

/// Compresses its input at the default level.
pub fn gzip<'a>(input: &'a Value<'a>, context: &Context<'_>) -> Result<Value<'a>, JobError> {
    // Deflate's bound: stored blocks cost 5 bytes in 16 KiB; gzip's header and trailer 18.
    let bound = input.bytes.len() + input.bytes.len() / 16_384 * 5 + 64;
    let mut output = Vec::new();
    output
        .try_reserve_exact(bound)
        .map_err(|_| JobError::out_of_memory(bound))?;
    let mut encoder = GzEncoder::new(output, Compression::default());
    for (nth, chunk) in input.bytes.chunks(CHUNK).enumerate() {
        if context.cancelled() {
            return Err(JobError::cancelled());
        }
        context.progress((nth * CHUNK) as f64, input.bytes.len() as f64);
        encoder.write_all(chunk).map_err(failed)?;
    }
    let mut output = encoder.finish().map_err(failed)?;
    output.shrink_to_fit();
    Ok(Value::bytes(output))
}

/// Decompresses its input, which may be several gzip members in a row.
pub fn gunzip<'a>(input: &'a Value<'a>, context: &Context<'_>) -> Result<Value<'a>, JobError> {
    let mut decoder = MultiGzDecoder::new(&*input.bytes);
    let mut output = Vec::new();
    let mut chunk = [0; CHUNK];
    loop {
        if context.cancelled() {
            return Err(JobError::cancelled());
        }
        // Up to what it has read ahead.
        let done = input.bytes.len() - decoder.get_ref().len();
        context.progress(done as f64, input.bytes.len() as f64);
        let read = decoder.read(&mut chunk).map_err(failed)?;
        if read == 0 {
            output.shrink_to_fit();
            return Ok(Value::bytes(output));
        }
        // Input chooses the size here: memory that is not to be had must not be an abort.
        output
            .try_reserve(read)
            .map_err(|_| JobError::out_of_memory(output.len() + read))?;
        output.extend_from_slice(&chunk[..read]);
    }
}

fn failed(error: std::io::Error) -> JobError {
    JobError::failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context<'static> {
        Context {
            cancelled: &|| false,
            progress: &|_, _| {},
            now: || 0.0,
            deadline: f64::INFINITY,
            attempt: 1,
            may_block: true,
        }
    }

    #[test]
    fn gunzip_undoes_gzip() {
        for size in [0, 1, 100, CHUNK, CHUNK + 1, 300_000] {
            let bytes: Vec<u8> = (0..size).map(|i| (i * i / 7) as u8).collect();
            let plain = Value::bytes(bytes.clone());
            let packed = Value::bytes(gzip(&plain, &context()).unwrap().bytes.into_owned());
            assert_eq!(gunzip(&packed, &context()).unwrap().bytes, bytes);
        }
    }

    #[test]
    fn bytes_that_are_not_gzip_fail() {
        let noise = Value::bytes(vec![7; 100]);
        assert!(matches!(
            gunzip(&noise, &context()),
            Err(JobError::Failed { .. })
        ));
    }
}
