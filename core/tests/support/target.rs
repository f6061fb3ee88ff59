//! What each fuzz target does with its bytes. A target panics where a promise is broken.

use super::input::Input;
use super::models::Known;
use super::{case, damage, oracle};
use augur_core::{decode_with, encode, encode_with, inspect, Decoding, Header, Memory, Params, Result};

/// Chunks above this are only decoded as a host would: it knows that its chunks are smaller.
const MOST: usize = 1 << 20;

/// Decodes where the models of the cases are known.
fn decode(stream: &[u8], expected_len: Option<usize>, threads: usize) -> Result<Vec<u8>> {
    decode_with(stream, &Decoding { expected_len, threads, models: &Known, ..Decoding::default() })
}

/// Reads bytes that claim to be a stream: an error or a chunk of the size that the header states, the same with any
/// number of threads, and never a panic.
pub fn read_hostile(stream: &[u8]) {
    let Ok((header, _)) = Header::read(stream) else {
        assert!(decode(stream, None, 1).is_err(), "a stream without a header was decoded");
        return;
    };
    if header.raw_len() > MOST {
        assert!(decode(stream, Some(MOST), 1).is_err(), "a chunk of another size than expected was decoded");
        return;
    }
    let described = inspect(stream);
    let one = decode(stream, Some(header.raw_len()), 1);
    let three = decode(stream, None, 3);
    assert_eq!(one.is_ok(), three.is_ok());
    if let (Ok(one), Ok(three)) = (one, three) {
        assert_eq!(one.len(), header.raw_len());
        assert!(one == three, "decoded values depend on the number of threads");
        assert!(described.is_ok(), "a stream that decodes cannot be described: {described:?}");
    }
}

/// Arbitrary bytes as a stream: as they are, and behind right checksums.
pub fn stream(bytes: &[u8]) {
    read_hostile(bytes);
    let mut repaired = bytes.to_vec();
    damage::repair(&mut repaired);
    read_hostile(&repaired);
}

/// A stream of the encoder's with damage that its checksums do not show.
pub fn damaged(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let params = case::params(&mut input);
    let raw = case::data(&mut input, &params);
    let Ok(mut stream) = encode(&params, &raw) else { return };
    loop {
        damage::damage(&mut stream, &mut input);
        read_hostile(&stream);
        if input.is_empty() {
            break;
        }
    }
}

/// Encodes and decodes one chunk and checks every promise about it; returns its stream.
fn round_trip(params: &Params, raw: &[u8]) -> Vec<u8> {
    let stream = encode(params, raw).unwrap_or_else(|e| panic!("{e}: {params:?}"));
    assert!(stream.len() <= raw.len() + 64, "{} bytes became {}: {params:?}", raw.len(), stream.len());
    assert_ne!(stream.len(), raw.len(), "{params:?}");
    let decoded =
        decode(&stream, Some(raw.len()), params.threads).unwrap_or_else(|e| panic!("{e}: {params:?}"));
    oracle::check(params, raw, &decoded).unwrap_or_else(|e| panic!("{e}: {params:?}"));
    stream
}

/// Any parameters, any data: refused with an error, or kept within the bound.
pub fn bounds(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let params = case::params(&mut input);
    let raw = case::data(&mut input, &params);
    if params.validate().is_err() {
        assert!(encode(&params, &raw).is_err(), "wrong parameters were taken: {params:?}");
        return;
    }
    let stream = round_trip(&params, &raw);
    let info = inspect(&stream).unwrap_or_else(|e| panic!("{e}: {params:?}"));
    assert_eq!((info.raw_len, info.stream_len), (raw.len(), stream.len()));
    if params.threads > 1 {
        let one = Params { threads: 1, ..params.clone() };
        assert!(encode(&one, &raw).is_ok_and(|s| s == stream), "the stream depends on threads: {params:?}");
    }
}

/// A chunk whose steps are written one at a time, in any order and again, decoded and encoded in between as HDF5 does it:
/// the bound holds against what was written.
pub fn rewrites(bytes: &[u8]) {
    use augur_core::Bound;
    let mut input = Input::new(bytes);
    let mut params = case::params(&mut input);
    params.time_axis = 0;
    // The bounds that mean the same for every content of the chunk.
    let shared = match params.bound {
        Bound::Absolute(_) | Bound::Relative { range: Some(_), .. } | Bound::PointwiseRelative { .. } => true,
        _ => params.bound == Bound::Lossless,
    };
    if !shared || params.validate().is_err() {
        return;
    }
    let mut truth = case::data(&mut input, &params);
    let steps = params.shape[0];
    let step = truth.len() / steps;
    if input.one_in(2) {
        // Starts empty: steps that were never written hold the dataset's own fill value.
        let size = params.dtype.size();
        let unwritten = params.unwritten.unwrap_or([0; 8]);
        params.unwritten = Some(unwritten);
        truth = unwritten[..size].iter().copied().cycle().take(truth.len()).collect();
    }
    let memory = Memory::new();
    let mut stream = encode_with(&params, &truth, &memory).unwrap_or_else(|e| panic!("{e}: {params:?}"));
    for _ in 0..1 + input.below(6) {
        let source = case::data(&mut input, &params);
        let at = input.below(65536) % steps * step;
        truth[at..at + step].copy_from_slice(&source[at..at + step]);
        let mut chunk = decode_with(
            &stream,
            &Decoding {
                expected_len: Some(truth.len()),
                memory: Some(&memory),
                models: &Known,
                ..Decoding::default()
            },
        )
        .unwrap_or_else(|e| panic!("{e}: {params:?}"));
        chunk[at..at + step].copy_from_slice(&source[at..at + step]);
        stream = encode_with(&params, &chunk, &memory).unwrap_or_else(|e| panic!("{e}: {params:?}"));
        let decoded = decode(&stream, Some(truth.len()), 1).unwrap_or_else(|e| panic!("{e}: {params:?}"));
        oracle::check(&params, &truth, &decoded)
            .unwrap_or_else(|e| panic!("after a rewrite: {e}: {params:?}"));
    }
}
