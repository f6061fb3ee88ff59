//! The codec as a whole: chooses how a chunk is stored, and reads any stream.

use crate::bound::Bound;
use crate::error::{Error, Result};
use crate::lossless;
use crate::params::Params;
use crate::stream::header::{checksum, Header, Method};

/// What a stream says about itself, without decoding it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Info {
    /// The decoded header.
    pub header: Header,
    /// Bytes of the whole stream.
    pub stream_len: usize,
    /// Bytes of the decoded chunk.
    pub raw_len: usize,
    /// The composition in words, for people: predictor, time order, special points.
    pub description: String,
}

/// Compresses the chunk `raw`, whose type, shape and bound `params` gives.
///
/// The stream is at most 64 bytes longer than `raw` and never exactly as long.
///
/// # Errors
/// `InvalidArgument` when the parameters are wrong or `raw` has not the size that they state.
pub fn encode(params: &Params, raw: &[u8]) -> Result<Vec<u8>> {
    params.validate()?;
    if raw.len() != params.raw_len() {
        return Err(Error::invalid(format!(
            "the chunk has {} bytes, {} of shape {:?} need {}",
            raw.len(),
            params.dtype.name(),
            params.shape,
            params.raw_len()
        )));
    }
    Ok(encode_lossless(params, raw))
}

fn encode_lossless(params: &Params, raw: &[u8]) -> Vec<u8> {
    let mut header = Header {
        method: Method::Raw,
        dtype: params.dtype,
        order: params.order,
        shape: params.shape.clone(),
        time_axis: params.time_axis,
        bound: Bound::Lossless,
        error: 0.0,
        unit: 0.0,
        payload_len: 0,
        reconstruction_sum: checksum(raw),
        payload_sum: 0,
    };
    match lossless::compress(raw, params.dtype.size()) {
        Some(payload) => {
            header.method = Method::Lossless;
            assemble(header, &payload, raw.len())
        }
        None => assemble(header, raw, raw.len()),
    }
}

/// Header and payload as one stream that is never exactly as long as the raw chunk: HDF5 would take a
/// filter result of that length for a skipped filter.
fn assemble(mut header: Header, payload: &[u8], raw_len: usize) -> Vec<u8> {
    header.payload_len = payload.len() as u64;
    header.payload_sum = checksum(payload);
    let mut out = Vec::with_capacity(payload.len() + 128);
    header.write(&mut out);
    out.extend_from_slice(payload);
    if out.len() == raw_len {
        out.push(0);
    }
    out
}

/// Splits a stream into its header and payload and checks lengths and checksums.
fn split(stream: &[u8]) -> Result<(Header, &[u8])> {
    let (header, at) = Header::read(stream)?;
    let rest = &stream[at..];
    let payload = usize::try_from(header.payload_len).ok().and_then(|n| rest.get(..n)).ok_or_else(|| {
        Error::insufficient(format!(
            "the stream ends in its payload: {} of {} bytes",
            rest.len(),
            header.payload_len
        ))
    })?;
    let padded = header.raw_len() + 1 == stream.len() && rest.len() == payload.len() + 1;
    if !(rest.len() == payload.len() || padded && rest[payload.len()] == 0) {
        return Err(Error::corruption(format!(
            "{} bytes follow the end of the stream",
            rest.len() - payload.len()
        )));
    }
    if checksum(payload) != header.payload_sum {
        return Err(Error::corruption("the payload's checksum does not match: the stream is damaged"));
    }
    Ok((header, payload))
}

/// Decodes a stream to the bytes of its chunk, in the chunk's byte order.
///
/// `expected` gives what the caller knows about the chunk (its size in bytes); memory is allocated only
/// after it was compared. Values are the same whatever `threads` is.
///
/// # Errors
/// `InsufficientData` for a stream that ends early, `Corruption` for a damaged one, `Compatibility` for one
/// of a newer version, `InvalidArgument` for one of another size than `expected_len`.
pub fn decode(stream: &[u8], expected_len: Option<usize>, threads: usize) -> Result<Vec<u8>> {
    let _ = threads;
    let (header, payload) = split(stream)?;
    let len = header.raw_len();
    if expected_len.is_some_and(|n| n != len) {
        return Err(Error::invalid(format!(
            "the stream holds a chunk of {len} bytes ({} of shape {:?}), expected {}",
            header.dtype.name(),
            header.shape,
            expected_len.unwrap_or(0)
        )));
    }
    let raw = match header.method {
        Method::Raw if payload.len() == len => payload.to_vec(),
        Method::Raw => {
            return Err(Error::corruption(format!(
                "the raw payload has {} bytes, expected {len}",
                payload.len()
            )))
        }
        Method::Lossless => lossless::decompress(payload, header.dtype.size(), len)?,
        Method::Predicted => return Err(Error::compatibility("predicted streams are not known yet")),
    };
    if checksum(&raw) != header.reconstruction_sum {
        return Err(Error::corruption(
            "the decoded values do not match their checksum: the stream is damaged or this build decodes wrongly",
        ));
    }
    Ok(raw)
}

/// What `stream` says about itself, from its header and side information.
///
/// # Errors
/// As [`decode`], except for what only decoding finds.
pub fn inspect(stream: &[u8]) -> Result<Info> {
    let (header, _) = split(stream)?;
    let raw_len = header.raw_len();
    let description = header.method.name().to_string();
    Ok(Info { header, stream_len: stream.len(), raw_len, description })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::Dtype;

    #[test]
    fn every_truncation_and_bit_flip_is_an_error() {
        let raw: Vec<u8> = (0..60u32).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let stream = encode(&Params::new(Dtype::F32, &[3, 4, 5], Bound::Lossless), &raw).unwrap();
        assert_eq!(decode(&stream, Some(raw.len()), 1).unwrap(), raw);
        for n in 0..stream.len() {
            assert!(decode(&stream[..n], None, 1).is_err(), "cut to {n} bytes");
        }
        for bit in 0..stream.len() * 8 {
            let mut bad = stream.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bad, None, 1).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn stream_never_has_the_raw_length() {
        for n in 1..200usize {
            let raw: Vec<u8> = (0..n).map(|i| (i * i * 37 >> 3) as u8).collect();
            let stream = encode(&Params::new(Dtype::U8, &[n], Bound::Lossless), &raw).unwrap();
            assert_ne!(stream.len(), n);
            assert!(stream.len() <= n + 64);
            assert_eq!(decode(&stream, Some(n), 1).unwrap(), raw);
        }
    }
}
