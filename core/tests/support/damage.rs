//! Damage to streams that passes their checksums: the parsers behind the checksums must stand on their own, as
//! checksums stop accidents, not intentions.

use super::input::Input;
use xxhash_rust::xxh3::xxh3_64;

/// Extents and other 32-bit words that overflow something.
const WORDS: [u32; 10] = [0, 1, 2, 3, 255, 4096, 1 << 20, 1 << 31, u32::MAX - 1, u32::MAX];
/// Reals that break arithmetic.
const REALS: [f64; 8] = [0.0, 5e-324, 1e-300, 1.0, 2.0, 4503599627370496.0, 1e300, f64::MAX];

/// Length of the header that the first bytes state, without looking at its checksum (format version 1).
fn header_len(stream: &[u8]) -> Option<usize> {
    let rank = usize::from(stream.get(7)? & 15);
    let shape = 8 + 4 * rank;
    let bound = if is_predicted(stream) { 33 } else { 0 };
    let origin = if bound > 0 && stream.get(shape)? >> 4 == 2 { 8 } else { 0 };
    let model = if stream[5] == 3 { 32 } else { 0 };
    let len = shape + bound + origin + model + 20;
    (stream.len() >= len).then_some(len)
}

/// Whether the method is prediction, with or without a model.
fn is_predicted(stream: &[u8]) -> bool {
    stream[5] == 2 || stream[5] == 3
}

/// Sets the payload's length and the checksums of payload and header to what they should be.
pub fn repair(stream: &mut [u8]) {
    let Some(len) = header_len(stream) else { return };
    let payload = (stream.len() - len) as u64;
    stream[len - 20..len - 12].copy_from_slice(&payload.to_le_bytes());
    repair_sums(stream);
}

fn repair_sums(stream: &mut [u8]) {
    let Some(len) = header_len(stream) else { return };
    let payload = xxh3_64(&stream[len..]) as u32;
    stream[len - 8..len - 4].copy_from_slice(&payload.to_le_bytes());
    let header = xxh3_64(&stream[..len - 4]) as u32;
    stream[len - 4..len].copy_from_slice(&header.to_le_bytes());
}

/// Damages a stream in a few places as `input` says and makes its checksums right again.
pub fn damage(stream: &mut Vec<u8>, input: &mut Input) {
    for _ in 0..1 + input.below(4) {
        let Some(len) = header_len(stream) else { break };
        match input.below(8) {
            0 => header_field(stream, input),
            1 | 2 => inside_packed(stream, len, input),
            3 => side_information(stream, len, input),
            _ => anywhere(stream, len, input),
        }
    }
    if input.one_in(16) {
        repair_sums(stream);
    } else {
        repair(stream);
    }
}

fn header_field(stream: &mut [u8], input: &mut Input) {
    match input.below(5) {
        0 => stream[4 + input.below(4)] = input.byte(),
        1 => stream[6] ^= 1 << input.below(8),
        2 | 3 if is_predicted(stream) => {
            let at = 8 + 4 * usize::from(stream[7] & 15) + 1 + 8 * input.below(5);
            let v = if input.one_in(2) { input.pick(&REALS) } else { f64::from_bits(input.long()) };
            stream[at..at + 8].copy_from_slice(&v.to_le_bytes());
        }
        _ => {
            let rank = usize::from(stream[7] & 15).max(1);
            let at = 8 + 4 * input.below(rank);
            let word = if input.one_in(4) { u32::from_le_bytes(input.array()) } else { input.pick(&WORDS) };
            // Small changes, too: they keep the chunk in memory.
            let old = u32::from_le_bytes([stream[at], stream[at + 1], stream[at + 2], stream[at + 3]]);
            let word =
                if input.one_in(2) { word } else { old.wrapping_add(input.below(5) as u32).wrapping_sub(2) };
            stream[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
    }
}

/// Changes a byte near the start of the payload, where the numbers stand.
fn side_information(stream: &mut [u8], len: usize, input: &mut Input) {
    let n = (stream.len() - len).min(48);
    if n > 0 {
        let at = len + input.below(n);
        stream[at] = if input.one_in(2) { input.byte() } else { stream[at] ^ 1 << input.below(8) };
    }
}

fn anywhere(stream: &mut Vec<u8>, len: usize, input: &mut Input) {
    let n = stream.len() - len;
    if n == 0 {
        return;
    }
    let at = len + input.below(65536) % n;
    match input.below(6) {
        0 => stream[at] ^= 1 << input.below(8),
        1 => stream[at] = input.byte(),
        2 => stream.truncate(at),
        3 => {
            stream.splice(at..at, input.array::<8>().into_iter().take(1 + input.below(8))).for_each(drop);
        }
        4 => {
            let end = (at + 1 + input.below(20)).min(stream.len());
            stream.drain(at..end);
        }
        _ => {
            let end = (at + 1 + input.below(20)).min(stream.len());
            let from = len + input.below(65536) % n;
            let copy: Vec<u8> = stream[from..].iter().copied().take(end - at).collect();
            stream[at..at + copy.len()].copy_from_slice(&copy);
        }
    }
}

/// Changes what a zstd frame inside the payload holds, and the length before it.
fn inside_packed(stream: &mut Vec<u8>, len: usize, input: &mut Input) {
    let magic = zstd::zstd_safe::MAGICNUMBER.to_le_bytes();
    let frames: Vec<usize> = (len..stream.len()).filter(|&at| stream[at..].starts_with(&magic)).collect();
    if frames.is_empty() {
        return anywhere(stream, len, input);
    }
    let at = frames[input.below(frames.len())];
    let Ok(size) = zstd::zstd_safe::find_frame_compressed_size(&stream[at..]) else { return };
    let Ok(mut inner) = zstd::bulk::decompress(&stream[at..at + size], 1 << 20) else { return };
    match input.below(4) {
        0 => inner.truncate(input.below(65536) % (inner.len() + 1)),
        1 => inner.extend(std::iter::repeat_n(input.byte(), input.below(300))),
        _ => {
            for _ in 0..1 + input.below(6) {
                if !inner.is_empty() {
                    let i = input.below(65536) % inner.len();
                    inner[i] = if input.one_in(2) { input.byte() } else { inner[i] ^ 1 << input.below(8) };
                }
            }
        }
    }
    let Ok(packed) = zstd::bulk::compress(&inner, 1) else { return };
    // Side information states the length before the frame (seven bits a byte); lossless payloads do not.
    let start =
        (at.saturating_sub(4).max(len)..at).find(|&s| number(&stream[s..at]) == Some(size)).unwrap_or(at);
    let mut new = vec![];
    if start < at {
        let mut v = packed.len();
        while v >= 0x80 {
            new.push(v as u8 | 0x80);
            v >>= 7;
        }
        new.push(v as u8);
    }
    new.extend_from_slice(&packed);
    stream.splice(start..at + size, new).for_each(drop);
}

/// The number that these bytes are, all of them.
fn number(bytes: &[u8]) -> Option<usize> {
    let (last, first) = bytes.split_last()?;
    if *last >= 0x80 || first.iter().any(|&b| b < 0x80) {
        return None;
    }
    Some(bytes.iter().enumerate().map(|(i, &b)| usize::from(b & 0x7f) << (7 * i)).sum())
}
