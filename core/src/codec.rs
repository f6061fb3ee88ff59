//! The codec as a whole: chooses how a chunk is stored, and reads any stream.

use crate::bound::Bound;
use crate::checksum::{checksum, checksum_on};
use crate::chunk::{axis_back, axis_first, swap_bytes, Frames};
use crate::dtype::ByteOrder;
use crate::error::{Error, Result};
use crate::grid::{allowed_error, Extent, Mapping};
use crate::lossless;
use crate::memory::{Decoding, Memory};
use crate::network::Model;
use crate::number::with_number;
use crate::params::{Params, Preset};
use crate::place::{filled, put, written, Place};
use crate::predict::corrector;
use crate::predicted::{self, Given, Shown, Wanted};
use crate::reference::autoencoder::Autoencoder;
use crate::reference::forecast;
use crate::stream::header::{Header, Method};
use crate::threads::team;
use std::borrow::Cow;

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
    encode_known(params, raw, None)
}

/// [`encode`], keeping exactly the time steps that `memory` knows as decoded.
pub(crate) fn encode_known(params: &Params, raw: &[u8], memory: Option<&Memory>) -> Result<Vec<u8>> {
    encode_shown(params, raw, memory, None)
}

/// [`encode_known`], for those who look on as [`lessons`](crate::lessons) says.
pub(crate) fn encode_shown(
    params: &Params,
    raw: &[u8],
    memory: Option<&Memory>,
    shown: Shown,
) -> Result<Vec<u8>> {
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
    let lossless = |params, raw| Ok(encode_lossless(params, raw));
    let exact = params.preset == Preset::Lossless || params.bound == Bound::Lossless;
    let exactly = exact.then(|| Params { bound: Bound::Lossless, ..params.clone() });
    let params = exactly.as_ref().unwrap_or(params);
    match team(|| encode_predicted(params, raw, memory, shown)) {
        // Values that were decoded before stay on their grid, and so do the new ones beside them. Stored lossless, the new
        // ones would leave the old ones in the minority, until these are not recognised any more.
        Some((stream, true)) if stream.len() <= raw.len() => Ok(stream),
        // A predicted stream that saves little may be larger than shuffle and zstd.
        Some((stream, _)) if stream.len() * LOSSLESS_RATIO <= raw.len() => Ok(stream),
        Some((stream, _)) => {
            let other = encode_lossless(params, raw);
            Ok(if other.len() < stream.len() { other } else { stream })
        }
        None => lossless(params, raw),
    }
}

/// No stream is smaller than its chunk by more than this; together with the length below, memory that a stream of which
/// nothing else is known can claim.
const PLAUSIBLE_RATIO: u64 = 1 << 17;
/// Chunks of up to this length are believed.
const PLAUSIBLE_LEN: u64 = 1 << 26;

/// Bytes of a chunk from which on its checksum is worth another thread.
const SHARED_SUM: usize = 1 << 22;

/// Compression ratio that shuffle and zstd do not reach where a predictor does not.
const LOSSLESS_RATIO: usize = 4;

/// The chunk with its bytes in little-endian order and time first.
fn canonical<'a>(params: &Params, raw: &'a [u8]) -> Cow<'a, [u8]> {
    let size = params.dtype.size();
    let mut bytes = Cow::Borrowed(raw);
    if params.order == ByteOrder::Big {
        swap_bytes(bytes.to_mut(), size);
    }
    if params.time_axis != 0 {
        bytes = Cow::Owned(axis_first(&bytes, size, &params.shape, params.time_axis));
    }
    bytes
}

/// The points of a chunk that are as they were decoded, where single steps are not remembered.
fn held(memory: &Memory, params: &Params, raw: &[u8]) -> Option<Vec<u8>> {
    let size = params.dtype.size();
    if params.preset == Preset::Tezip && !params.dtype.is_float() {
        // Integers on a grid of counts are like any others, and those of three counts in frames of few points. Where a chunk
        // that was read is written anew, many of its points are as they were decoded by chance.
        let least = if matches!(params.bound, Bound::PointwiseRelative { .. }) { 16 } else { 2 };
        return memory.unchanged(raw, size, least, None);
    }
    if Memory::remembers_steps(raw.len() / params.shape[params.time_axis]) {
        return None;
    }
    // Of the same bound only: what is written with a wider one is to be smaller.
    let same = match params.bound {
        Bound::Absolute(_) | Bound::Relative { range: Some(_), .. } | Bound::PointwiseRelative { .. } => {
            allowed_error(&params.bound, &Extent::default())
        }
        _ => None,
    };
    memory.unchanged(raw, size, 16, Some(same?))
}

/// The predicted stream, and whether it keeps values as they were decoded before.
fn encode_predicted(
    params: &Params,
    raw: &[u8],
    memory: Option<&Memory>,
    shown: Shown,
) -> Option<(Vec<u8>, bool)> {
    let frames = Frames::new(&params.shape, params.time_axis);
    let bytes = canonical(params, raw);
    let mut params = params.clone();
    if params.order == ByteOrder::Big {
        for value in [&mut params.fill, &mut params.unwritten].into_iter().flatten() {
            value[..params.dtype.size()].reverse();
        }
    }
    let known = memory.map_or(vec![], |m| m.recall(&bytes, params.shape[params.time_axis]));
    let held = memory.and_then(|m| held(m, &params, &bytes));
    // Integers have few values: those of many images are on a grid more often than chance would have it.
    let decoded = params.dtype.is_float() || memory.is_none_or(|m| m.knows_integers(raw.len()));
    let given = Given { known: &known, held: held.as_deref(), decoded, shown };
    let encoded = with_number!(params.dtype, N => predicted::encode::<N>(&params, &frames, &bytes, given))?;
    let (unit, origin) = encoded.mapping.parameters();
    let mut header = Header {
        method: Method::Predicted,
        dtype: params.dtype,
        order: params.order,
        shape: params.shape.clone(),
        time_axis: params.time_axis,
        bound: params.bound,
        error: encoded.error,
        formula: encoded.mapping.code(),
        unit,
        origin,
        model: encoded.model,
        payload_len: encoded.payload.len() as u64,
        reconstruction_sum: 0,
        payload_sum: 0,
    };
    let decoded = host_order(&header, Cow::Borrowed(&encoded.decoded));
    header.reconstruction_sum = match &decoded {
        Cow::Borrowed(_) => encoded.decoded_sum,
        Cow::Owned(moved) => checksum_on(moved, params.threads),
    };
    // Of large chunks the tests of memory would see it.
    debug_assert!(
        raw.len() > 1 << 20
            || decoded_method(
                &header,
                &encoded.payload,
                &Decoding { models: &params.model, ..Decoding::default() }
            )
            .is_ok_and(|again| *again == *decoded)
    );
    Some((assemble(header, &encoded.payload, raw.len()), encoded.keeps))
}

/// Writes the values of a predicted payload, little-endian and time first, or what they were predicted to be, to all of
/// `out`; says how integers become values, and which frames are final.
fn decode_payload(
    header: &Header,
    payload: &[u8],
    decoding: &Decoding,
    wanted: Wanted,
    out: &mut Place,
) -> Result<(Mapping, Vec<bool>)> {
    let Decoding { threads, models, .. } = *decoding;
    let frames = Frames::new(&header.shape, header.time_axis);
    let (unit, origin) = (header.unit, header.origin);
    let mapping =
        Mapping::from_parameters(header.formula, unit, origin).ok_or_else(|| match header.formula {
            0..=3 => Error::corruption(format!("the header states an impossible unit of {unit}")),
            f => Error::compatibility(format!("formula {f} is unknown to this build")),
        })?;
    let model = header.model.map(|digest| models.find(&digest)).transpose()?;
    if model.as_ref().is_some_and(|m| Some(m.digest()) != header.model) {
        return Err(Error::invalid("a model with another digest than asked for was given"));
    }
    let model = model.as_ref();
    let finals = with_number!(header.dtype, N => predicted::decode::<N>(payload, &frames, mapping, model, wanted, threads, out))?;
    Ok((mapping, finals))
}

/// Decodes a predicted payload to all of `out`.
fn decode_predicted(header: &Header, payload: &[u8], decoding: &Decoding, out: &mut Place) -> Result<()> {
    if header.time_axis == 0 && header.order == ByteOrder::Little {
        return decode_canonical(header, payload, decoding, out);
    }
    // SAFETY: where it succeeds, decoding has written all.
    let bytes = unsafe { filled(header.raw_len(), |out| decode_canonical(header, payload, decoding, out)) }?;
    put(out, &host_order(header, Cow::Owned(bytes)));
    Ok(())
}

/// Decodes a predicted payload to all of `out`, little-endian and time first.
fn decode_canonical(header: &Header, payload: &[u8], decoding: &Decoding, out: &mut Place) -> Result<()> {
    let memory = decoding.memory;
    let (mapping, finals) = decode_payload(header, payload, decoding, Wanted::Values, out)?;
    // SAFETY: all of it was written.
    let bytes = unsafe { written(out) };
    // Lattices and integers on a grid of single counts lost nothing: they may be rounded later.
    let counts = !header.dtype.is_float() && header.unit == 1.0 && !predicted::is_direct(payload);
    let exact = header.error == 0.0 || mapping.is_lattice() || counts;
    if let (Some(memory), false) = (memory, exact) {
        if !header.dtype.is_float() {
            memory.remember_integers(bytes.len());
        }
        let steps = header.shape[header.time_axis];
        let kept = predicted::final_steps(&finals, steps);
        let counted = predicted::is_direct(payload) && !header.dtype.is_float();
        if counted || !Memory::remembers_steps(bytes.len() / steps) {
            memory.remember_whole(bytes, kept.clone(), header.error);
        }
        let errors: Vec<_> = kept.into_iter().map(|is_final| is_final.then_some(header.error)).collect();
        memory.remember(bytes, &errors);
    }
    Ok(())
}

/// Little-endian values, time first, in the order and byte order of the chunk.
fn host_order<'a>(header: &Header, mut bytes: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
    let size = header.dtype.size();
    if header.time_axis != 0 {
        bytes = Cow::Owned(axis_back(&bytes, size, &header.shape, header.time_axis));
    }
    if header.order == ByteOrder::Big {
        swap_bytes(bytes.to_mut(), size);
    }
    bytes
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
        formula: 0,
        unit: 0.0,
        origin: 0.0,
        model: None,
        payload_len: 0,
        reconstruction_sum: checksum_on(raw, params.threads),
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
    decode_as(stream, &Decoding { expected_len, threads, ..Decoding::default() })
}

/// [`decode`], with a memory and models.
pub(crate) fn decode_as(stream: &[u8], decoding: &Decoding) -> Result<Vec<u8>> {
    let expected_len = decoding.expected_len;
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
    if expected_len.is_none() {
        plausible(&header, stream)?;
    }
    decoded_method(&header, payload, decoding)
}

/// Checks that a stream may hold a chunk as long as it says, before memory is asked for: for those who do not know how long
/// the chunk is.
///
/// # Errors
/// `Corruption` if it cannot, and as [`decode`] for a stream without a header.
pub fn check_length(stream: &[u8]) -> Result<()> {
    plausible(&Header::read(stream)?.0, stream)
}

fn plausible(header: &Header, stream: &[u8]) -> Result<()> {
    let len = header.raw_len();
    if len as u64 > PLAUSIBLE_LEN + PLAUSIBLE_RATIO * stream.len() as u64 {
        return Err(Error::corruption(format!(
            "a stream of {} bytes states a chunk of {len} bytes, more than any stream of this length holds",
            stream.len()
        )));
    }
    Ok(())
}

/// [`decode_as`] to memory of the chunk's size, all of it.
pub(crate) fn decode_to(stream: &[u8], decoding: &Decoding, out: &mut Place) -> Result<()> {
    let (header, payload) = split(stream)?;
    let len = header.raw_len();
    if let Some(other) = [Some(out.len()), decoding.expected_len].into_iter().flatten().find(|n| *n != len) {
        return Err(Error::invalid(format!("the stream holds a chunk of {len} bytes, expected {other}")));
    }
    team(|| decode_method(&header, payload, decoding, out))
}

/// The chunk, whatever the method.
fn decoded_method(header: &Header, payload: &[u8], decoding: &Decoding) -> Result<Vec<u8>> {
    // SAFETY: where it succeeds, decoding has written all.
    unsafe { filled(header.raw_len(), |out| team(|| decode_method(header, payload, decoding, out))) }
}

/// Decodes a payload, whatever the method, to all of `out`, which has the size of the chunk.
fn decode_method(header: &Header, payload: &[u8], decoding: &Decoding, out: &mut Place) -> Result<()> {
    let len = out.len();
    match header.method {
        Method::Raw if payload.len() == len => put(out, payload),
        Method::Raw => {
            return Err(Error::corruption(format!(
                "the raw payload has {} bytes, expected {len}",
                payload.len()
            )))
        }
        Method::Lossless => put(out, &lossless::decompress(payload, header.dtype.size(), len)?),
        Method::Predicted => decode_predicted(header, payload, decoding, out)?,
    }
    // SAFETY: each method has written all.
    let raw = unsafe { written(out) };
    let threads = if raw.len() < SHARED_SUM { 1 } else { decoding.threads };
    if checksum_on(raw, threads) != header.reconstruction_sum {
        return Err(Error::corruption(
            "the decoded values do not match their checksum: the stream is damaged or this build decodes wrongly",
        ));
    }
    Ok(())
}

/// Checks that a model is one for a preset: that it has the graphs that are looked for, of the shapes that their names promise.
///
/// # Errors
/// `InvalidArgument` that names the graph that is wrong, or those that are looked for.
pub fn check_model(preset: Preset, model: &Model) -> Result<()> {
    if preset.uses_autoencoder() {
        return match Autoencoder::of(model)? {
            Some(_) => Ok(()),
            None => Err(Error::invalid(format!(
                "the model sha256:{} has no graphs encoder and decoder, which the preset {} needs",
                model.digest(),
                preset.name()
            ))),
        };
    }
    let corrector = corrector::graph(model)?.is_some();
    if forecast::windows(model)?.is_empty() && (!corrector || preset == Preset::Tezip) {
        return Err(Error::invalid(format!(
            "the model sha256:{} has none of the graphs forecaster, interpolator and recurrent{}",
            model.digest(),
            if corrector { ", and the preset tezip needs one" } else { ", and no corrector" }
        )));
    }
    Ok(())
}

/// What the values of a chunk of the preset `tezip` were predicted to be: by the network, or by the frame before; key frames
/// by one value for all points. Types, shapes and byte order are those of the chunk.
///
/// # Errors
/// As [`decode`], and `InvalidArgument` for a stream of another preset.
pub fn predictions(stream: &[u8], decoding: &Decoding) -> Result<Vec<u8>> {
    let (header, payload) = split(stream)?;
    if decoding.expected_len.is_some_and(|n| n != header.raw_len()) || header.method != Method::Predicted {
        return Err(Error::invalid(format!(
            "the stream holds {} bytes by the method {}, which has no predictions of whole frames",
            header.raw_len(),
            header.method.name()
        )));
    }
    if decoding.expected_len.is_none() {
        plausible(&header, stream)?;
    }
    let fill =
        |out: &mut Place| decode_payload(&header, payload, decoding, Wanted::Predictions, out).map(|_| ());
    // SAFETY: where it succeeds, decoding has written all.
    let bytes = unsafe { filled(header.raw_len(), fill) }?;
    Ok(host_order(&header, Cow::Owned(bytes)).into_owned())
}

/// What `stream` says about itself, from its header and side information.
///
/// # Errors
/// As [`decode`], except for what only decoding finds.
pub fn inspect(stream: &[u8]) -> Result<Info> {
    let (header, payload) = split(stream)?;
    plausible(&header, stream)?;
    let raw_len = header.raw_len();
    let mut description = header.method.name().to_string();
    if header.method == Method::Predicted {
        let frames = Frames::new(&header.shape, header.time_axis);
        description = predicted::describe(payload, &frames, header.dtype.size())?;
    }
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
            let raw: Vec<u8> = (0..n).map(|i| ((i * i * 37) >> 3) as u8).collect();
            let stream = encode(&Params::new(Dtype::U8, &[n], Bound::Lossless), &raw).unwrap();
            assert_ne!(stream.len(), n);
            assert!(stream.len() <= n + 64);
            assert_eq!(decode(&stream, Some(n), 1).unwrap(), raw);
        }
    }
}
