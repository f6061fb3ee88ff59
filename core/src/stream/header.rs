//! The header of a stream: what it holds, how it was made, and checksums over everything.

use crate::bound::Bound;
use crate::checksum::checksum;
use crate::dtype::{ByteOrder, Dtype};
use crate::error::{Error, Result};
use crate::network::Digest;
use crate::params::{check_shape, MAX_RANK};

/// First bytes of every stream; the first one is not ASCII so that text is never taken for a stream.
pub const MAGIC: [u8; 4] = [0x89, b'A', b'G', b'R'];
/// Version of the format that this build writes.
pub const VERSION: u8 = 1;
/// Bytes before the extents: magic, version, method, dtype, rank and time axis.
const FIXED: usize = 8;
/// Bytes that only predicted streams have: bound mode and formula, two parameters, kept error, unit.
const BOUND: usize = 1 + 4 * 8;
/// Bytes after those where the formula has an origin.
const ORIGIN: usize = 8;
/// Bytes after those where a model is named.
const MODEL: usize = 32;
/// Method of predicted streams that name a model.
const LEARNED: u8 = 3;
/// Bytes after those: payload length and checksums of reconstruction, payload and header.
const TRAILER: usize = 8 + 4 + 4 + 4;
/// Longest header of a raw or lossless stream: the most by which a stream exceeds its raw chunk.
pub const MAX_LOSSLESS_LEN: usize = FIXED + 4 * MAX_RANK + TRAILER;
const _: () = assert!(MAX_LOSSLESS_LEN < 64);

/// How the payload was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// The raw bytes.
    Raw,
    /// Byte shuffle, then zstd.
    Lossless,
    /// Predicted, quantised and entropy-coded.
    Predicted,
}

/// Decoded header of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// How the payload was made.
    pub method: Method,
    /// Type of the values.
    pub dtype: Dtype,
    /// Byte order of the values.
    pub order: ByteOrder,
    /// Extents, slowest first.
    pub shape: Vec<usize>,
    /// Which axis is time.
    pub time_axis: usize,
    /// The bound that was asked for; `Lossless` where nothing was lost.
    pub bound: Bound,
    /// Absolute error that the payload keeps (for pointwise relative bounds, of the base-2 logarithm); 0
    /// where nothing was lost.
    pub error: f64,
    /// Formula that makes values of integers: 0 integer x unit, 1 logarithmic, 2 integer x unit + origin, 3 integer /
    /// unit.
    pub formula: u8,
    /// Grid unit; 0 for lossless methods.
    pub unit: f64,
    /// Value of integer 0; 0 for formulas without it.
    pub origin: f64,
    /// The model that the payload needs, if any.
    pub model: Option<Digest>,
    /// Bytes of the payload.
    pub payload_len: u64,
    /// xxh3 (low 32 bits) of the decoded bytes.
    pub reconstruction_sum: u32,
    /// xxh3 (low 32 bits) of the payload.
    pub payload_sum: u32,
}

impl Method {
    fn code(self) -> u8 {
        match self {
            Method::Raw => 0,
            Method::Lossless => 1,
            Method::Predicted => 2,
        }
    }

    /// Name for reports.
    pub fn name(self) -> &'static str {
        match self {
            Method::Raw => "raw",
            Method::Lossless => "lossless",
            Method::Predicted => "predicted",
        }
    }
}

/// Whether the header states an origin for this formula.
fn has_origin(formula: u8) -> bool {
    formula == 2
}

impl Header {
    /// Bytes of the decoded chunk.
    pub fn raw_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }

    /// Appends the header's bytes.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.push(if self.model.is_some() { LEARNED } else { self.method.code() });
        out.push(self.dtype.code() | if self.order == ByteOrder::Big { 0x80 } else { 0 });
        out.push(self.shape.len() as u8 | (self.time_axis as u8) << 4);
        for &n in &self.shape {
            out.extend_from_slice(&(n as u32).to_le_bytes());
        }
        if self.method == Method::Predicted {
            let (first, second) = self.bound.parameters();
            out.push(self.bound.mode() | self.formula << 4);
            for v in [first, second, self.error, self.unit] {
                out.extend_from_slice(&v.to_le_bytes());
            }
            if has_origin(self.formula) {
                out.extend_from_slice(&self.origin.to_le_bytes());
            }
            if let Some(Digest(model)) = &self.model {
                out.extend_from_slice(model);
            }
        }
        out.extend_from_slice(&self.payload_len.to_le_bytes());
        out.extend_from_slice(&self.reconstruction_sum.to_le_bytes());
        out.extend_from_slice(&self.payload_sum.to_le_bytes());
        let sum = checksum(&out[start..]);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// Reads and checks the header at the start of `stream`; returns it and its length in bytes.
    ///
    /// # Errors
    /// `InsufficientData` when the stream ends inside the header, `Corruption` when it is none or damaged,
    /// `Compatibility` when a newer version wrote it.
    pub fn read(stream: &[u8]) -> Result<(Self, usize)> {
        let short = |need: usize| {
            Error::insufficient(format!(
                "the stream ends in its header: {} of at least {need} bytes",
                stream.len()
            ))
        };
        let fixed = stream.get(..FIXED).ok_or_else(|| {
            if !MAGIC.starts_with(&stream[..stream.len().min(4)]) {
                return Error::corruption("this is not an Augur stream (wrong first bytes)");
            }
            short(FIXED)
        })?;
        if fixed[..4] != MAGIC {
            return Err(Error::corruption("this is not an Augur stream (wrong first bytes)"));
        }
        if fixed[4] != VERSION {
            return Err(Error::compatibility(format!(
                "the stream has format version {}, this build reads version {VERSION}; a newer Augur may read it",
                fixed[4]
            )));
        }
        let rank = (fixed[7] & 15) as usize;
        if rank == 0 || rank > MAX_RANK {
            return Err(Error::corruption(format!(
                "the header states rank {rank}, expected 1 to {MAX_RANK}"
            )));
        }
        let learned = fixed[5] == LEARNED;
        let predicted = learned || fixed[5] == Method::Predicted.code();
        let mut len = FIXED + 4 * rank + TRAILER;
        if predicted {
            let modes = *stream.get(FIXED + 4 * rank).ok_or_else(|| short(len + BOUND))?;
            len += BOUND + if has_origin(modes >> 4) { ORIGIN } else { 0 };
            len += if learned { MODEL } else { 0 };
        }
        let bytes = stream.get(..len).ok_or_else(|| short(len))?;
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if checksum(&bytes[..len - 4]) != word(len - 4) {
            return Err(Error::corruption("the header's checksum does not match: the stream is damaged"));
        }
        let method = match fixed[5] {
            0 => Method::Raw,
            1 => Method::Lossless,
            2 | LEARNED => Method::Predicted,
            m => return Err(Error::compatibility(format!("method {m} is unknown to this build"))),
        };
        let damaged = |e: Error| Error::corruption(format!("the header is damaged: {e}"));
        let dtype = Dtype::from_code(fixed[6] & 0x7f).map_err(damaged)?;
        let order = if fixed[6] & 0x80 != 0 { ByteOrder::Big } else { ByteOrder::Little };
        let shape: Vec<usize> = (0..rank).map(|i| word(FIXED + 4 * i) as usize).collect();
        check_shape(&shape, dtype).map_err(damaged)?;
        let time_axis = (fixed[7] >> 4) as usize;
        if time_axis >= rank {
            return Err(Error::corruption(format!("the header states time axis {time_axis} at rank {rank}")));
        }
        let mut at = FIXED + 4 * rank;
        let (mut bound, mut error, mut unit) = (Bound::Lossless, 0.0, 0.0);
        let (mut formula, mut origin) = (0, 0.0);
        if predicted {
            let real = |i: usize| f64::from_bits(long(at + 1 + 8 * i));
            bound = Bound::from_parameters(bytes[at] & 15, real(0), real(1)).map_err(damaged)?;
            formula = bytes[at] >> 4;
            (error, unit) = (real(2), real(3));
            if !(error.is_finite() && error >= 0.0 && unit.is_finite() && unit > 0.0) {
                return Err(Error::corruption(format!("the header states error {error} and unit {unit}")));
            }
            if has_origin(formula) {
                origin = real(4);
                at += ORIGIN;
            }
            at += BOUND;
        }
        let mut model = None;
        if learned {
            let mut digest = [0; MODEL];
            digest.copy_from_slice(&bytes[at..at + MODEL]);
            model = Some(Digest(digest));
            at += MODEL;
        }
        let header = Self {
            method,
            dtype,
            order,
            shape,
            time_axis,
            bound,
            error,
            formula,
            unit,
            origin,
            model,
            payload_len: long(at),
            reconstruction_sum: word(at + 8),
            payload_sum: word(at + 12),
        };
        Ok((header, len))
    }
}
