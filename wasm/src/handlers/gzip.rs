//! `gzip` and `gunzip`: RFC 1952 compression of bytes.
//!
//! `miniz_oxide` does the compression and `crc` the checksums; only the frame around them is written here. `flate2`,
//! which has all three, ships its checksum's table of 16 KiB, more than the rest of this file; here the table is
//! made when it is first needed.

use std::sync::LazyLock;

use crc::{CRC_32_ISO_HDLC, Crc, Table};
use miniz_oxide::deflate::CompressionLevel;
use miniz_oxide::deflate::core::CompressorOxide;
use miniz_oxide::deflate::stream::deflate;
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

use super::bytes::{bytes, bytes_or_text};
use crate::context::{Context, JobError};
use crate::value::Value;

/// Bytes processed between two looks at the cancellation: about a millisecond of compression.
const CHUNK: usize = 16 * 1024;

/// A member's header without options: deflate, no time, of an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

static CRC: LazyLock<Crc<u32, Table<16>>> =
    LazyLock::new(|| Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC));

/// Compresses bytes, or a string's UTF-8, at the default level.
pub fn gzip<'a>(input: &'a Value<'a>, context: &Context<'_>) -> Result<Value<'a>, JobError> {
    let mut rest = bytes_or_text(input)?;
    let total = rest.len();
    // Deflate's bound: stored blocks cost 5 bytes in 16 KiB; gzip's header and trailer 18.
    let bound = total + total / 16_384 * 5 + 64;
    let mut output = Vec::new();
    output
        .try_reserve_exact(bound)
        .map_err(|_| JobError::out_of_memory(bound))?;
    output.extend(HEADER);
    let mut encoder = Box::new(CompressorOxide::with_format_and_level(
        DataFormat::Raw,
        CompressionLevel::DefaultLevel,
    ));
    let mut checksum = CRC.digest();
    let mut buffer = [0; CHUNK];
    loop {
        if context.cancelled() {
            return Err(JobError::cancelled());
        }
        context.progress((total - rest.len()) as f64, total as f64);
        let (chunk, later) = rest.split_at(rest.len().min(CHUNK));
        let flush = if later.is_empty() {
            MZFlush::Finish
        } else {
            MZFlush::None
        };
        let result = deflate(&mut encoder, chunk, &mut buffer, flush);
        let (read, more) = rest.split_at(result.bytes_consumed);
        checksum.update(read);
        rest = more;
        append(&mut output, &buffer[..result.bytes_written])?;
        match result.status {
            Ok(MZStatus::StreamEnd) => break,
            Ok(_) => {}
            Err(_) => return Err(JobError::failed("the compression failed")),
        }
    }
    append(&mut output, &checksum.finalize().to_le_bytes())?;
    append(&mut output, &(total as u32).to_le_bytes())?;
    output.shrink_to_fit();
    Ok(Value::bytes(output))
}

/// Decompresses bytes, which may be several gzip members in a row.
pub fn gunzip<'a>(input: &'a Value<'a>, context: &Context<'_>) -> Result<Value<'a>, JobError> {
    let mut rest = bytes(input)?;
    let total = rest.len();
    let mut output = Vec::new();
    loop {
        rest = member(rest, &mut output, total, context)?;
        if rest.is_empty() {
            output.shrink_to_fit();
            return Ok(Value::bytes(output));
        }
    }
}

/// Decompresses the member at the start of `input`, the rest of `total` bytes; returns what follows it.
fn member<'a>(
    input: &'a [u8],
    output: &mut Vec<u8>,
    total: usize,
    context: &Context<'_>,
) -> Result<&'a [u8], JobError> {
    let mut rest = after_header(input).ok_or_else(|| JobError::failed("this is not gzip"))?;
    let mut decoder = InflateState::new_boxed(DataFormat::Raw);
    let mut checksum = CRC.digest();
    let mut length = 0_u32;
    let mut buffer = [0; CHUNK];
    loop {
        if context.cancelled() {
            return Err(JobError::cancelled());
        }
        // Up to what was read.
        context.progress((total - rest.len()) as f64, total as f64);
        let result = inflate(&mut decoder, rest, &mut buffer, MZFlush::None);
        rest = &rest[result.bytes_consumed..];
        let piece = &buffer[..result.bytes_written];
        checksum.update(piece);
        // The trailer holds the length modulo 2³².
        length = length.wrapping_add(piece.len() as u32);
        append(output, piece)?;
        match result.status {
            Ok(MZStatus::StreamEnd) => break,
            Ok(_) => {}
            Err(MZError::Buf) => return Err(JobError::failed("the gzip data ends too early")),
            Err(_) => return Err(JobError::failed("the gzip data is damaged")),
        }
    }
    let (trailer, rest) = rest
        .split_first_chunk::<8>()
        .ok_or_else(|| JobError::failed("the gzip data ends too early"))?;
    let wanted = u64::from(checksum.finalize()) | u64::from(length) << 32;
    if u64::from_le_bytes(*trailer) != wanted {
        return Err(JobError::failed(
            "the gzip data is damaged: its checksum differs",
        ));
    }
    Ok(rest)
}

/// What follows a member's header (RFC 1952, section 2.3).
fn after_header(input: &[u8]) -> Option<&[u8]> {
    const HEADER_CRC: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    const RESERVED: u8 = 0xe0;
    let (&[0x1f, 0x8b, 8, flags, ..], mut rest) = input.split_first_chunk::<10>()? else {
        return None;
    };
    if flags & RESERVED != 0 {
        return None;
    }
    if flags & EXTRA != 0 {
        let (length, extra) = rest.split_first_chunk()?;
        rest = extra.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & HEADER_CRC != 0 {
        let header = &input[..input.len() - rest.len()];
        let (crc, after) = rest.split_first_chunk()?;
        if u16::from_le_bytes(*crc) != CRC.checksum(header) as u16 {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

/// Input chooses the output's size: memory that is not to be had must not be an abort.
fn append(output: &mut Vec<u8>, bytes: &[u8]) -> Result<(), JobError> {
    output
        .try_reserve(bytes.len())
        .map_err(|_| JobError::out_of_memory(output.len() + bytes.len()))?;
    output.extend_from_slice(bytes);
    Ok(())
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

    fn packed(plain: &[u8]) -> Vec<u8> {
        let plain = Value::bytes(plain.to_vec());
        gzip(&plain, &context()).unwrap().bytes.into_owned()
    }

    fn unpacked(packed: &[u8]) -> Result<Vec<u8>, JobError> {
        let packed = Value::bytes(packed.to_vec());
        gunzip(&packed, &context()).map(|value| value.bytes.into_owned())
    }

    #[test]
    fn gunzip_undoes_gzip() {
        for size in [0, 1, 100, CHUNK, CHUNK + 1, 300_000] {
            let bytes: Vec<u8> = (0..size).map(|i: usize| (i * i / 7) as u8).collect();
            assert_eq!(unpacked(&packed(&bytes)).unwrap(), bytes);
        }
    }

    #[test]
    fn members_in_a_row_are_one_stream() {
        let both = [packed(b"to be "), packed(b""), packed(b"or not")].concat();
        assert_eq!(unpacked(&both).unwrap(), b"to be or not");
    }

    #[test]
    fn every_part_of_a_header_is_skipped() {
        let body = &packed(b"abc")[HEADER.len()..];
        let mut header = HEADER.to_vec();
        header[3] = 2 | 4 | 8 | 16;
        header.extend(b"\x03\x00xyzname\0comment\0");
        let crc = (CRC.checksum(&header) as u16).to_le_bytes();
        assert_eq!(
            unpacked(&[&header, &crc[..], body].concat()).unwrap(),
            b"abc"
        );
        let wrong = [crc[0], crc[1] ^ 1];
        assert!(unpacked(&[&header, &wrong[..], body].concat()).is_err());
    }

    #[test]
    fn what_is_not_gzip_or_is_damaged_fails() {
        let good = packed(&[7; 100]);
        assert!(unpacked(&[7; 100]).is_err());
        for length in 0..good.len() {
            assert!(unpacked(&good[..length]).is_err(), "cut to {length}");
        }
        for place in (0..good.len()).filter(|place| !(4..10).contains(place)) {
            let mut bad = good.clone();
            bad[place] ^= 0x40;
            // A bit that means nothing may differ: those that fill up the last byte.
            let seen = unpacked(&bad).map_or(true, |plain| plain == [7; 100]);
            assert!(seen, "byte {place}");
        }
        assert!(unpacked(&[&good[..], b"more"].concat()).is_err());
    }

    #[test]
    fn other_values_are_no_bytes() {
        let refused =
            |result: Result<Value<'_>, JobError>| matches!(result, Err(JobError::BadInput(_)));
        for other in [Value::none(), Value::json("{}".into())] {
            assert!(refused(gzip(&other, &context())));
            assert!(refused(gunzip(&other, &context())));
        }
        let text = Value::text("größer".into());
        let packed = gzip(&text, &context()).unwrap();
        assert_eq!(unpacked(&packed.bytes).unwrap(), "größer".as_bytes());
        assert!(refused(gunzip(&text, &context())));
    }
}
