//! The decoder's half: residuals from the entropy-coded bands, values from residuals.

use super::side::{read_tables, FrameKind, Predictor, Side};
use super::{bands, parallel};
use crate::chunk::Frames;
use crate::entropy::bits::unzigzag;
use crate::entropy::bits::BitReader;
use crate::entropy::rans::Decoder;
use crate::entropy::slots::DecodeTables;
use crate::entropy::{join_large, plain_bits, DIRECT_SYMBOLS};
use crate::error::{Error, Result};
use crate::grid::Mapping;
use crate::number::Number;
use crate::predict::kernel::reconstruct;
use crate::predict::multiscale::{self, Model};
use crate::predict::{lorenzo, Band, RowAt, RowCoder};
use crate::stream::parts::Reader;

/// What the decoding of every band shares.
struct Shared<'a> {
    side: &'a Side,
    tables: &'a DecodeTables,
    frames: &'a Frames,
    mapping: Mapping,
}

/// Decodes a payload to little-endian values, time first.
///
/// # Errors
/// `Corruption` for damaged payloads, `Compatibility` for methods of newer versions.
pub fn decode<N: Number>(
    payload: &[u8],
    frames: &Frames,
    mapping: Mapping,
    threads: usize,
) -> Result<Vec<u8>> {
    let mut r = Reader::new(payload);
    let side = Side::read(&mut r, frames, N::SIZE)?;
    let tables = read_tables(&mut r)?;
    let mut parts = vec![];
    for band in bands(frames, side.bands) {
        if band.height == 0 {
            return Err(Error::corruption("the stream states a band without rows"));
        }
        parts.push((band, r.bytes()?, r.bytes()?));
    }
    r.finish()?;
    let shared = Shared { side: &side, tables: &tables, frames, mapping };
    let decoded = parallel(&parts, threads, |(band, residuals, plain)| {
        decode_band::<N>(&shared, band, residuals, plain)
    });
    let mut done = vec![];
    for ((band, _, _), values) in parts.iter().zip(decoded) {
        done.push((*band, values?));
    }
    let mut raw = match (done.len(), done.pop()) {
        // A single band is the chunk.
        (1, Some((_, values))) => values,
        (_, last) => {
            done.extend(last);
            join_bands(&done, frames, N::SIZE)
        }
    };
    put_exact::<N>(&mut raw, side.mask.as_deref(), &side.specials, &side.patches);
    Ok(raw)
}

/// Puts the special values and the patches where they belong.
pub fn put_exact<N: Number>(raw: &mut [u8], mask: Option<&[u8]>, specials: &[u8], patches: &[(u64, u64)]) {
    let special = mask.into_iter().flatten().enumerate().filter(|(_, &m)| m != 0);
    for ((i, _), b) in special.zip(specials.chunks_exact(N::SIZE)) {
        raw[i * N::SIZE..][..N::SIZE].copy_from_slice(b);
    }
    for &(at, bits) in patches {
        raw[at as usize * N::SIZE..][..N::SIZE].copy_from_slice(&bits.to_le_bytes()[..N::SIZE]);
    }
}

/// Puts the bands' values, frame after frame, into the chunk.
pub fn join_bands(parts: &[(Band, Vec<u8>)], frames: &Frames, value_size: usize) -> Vec<u8> {
    let mut raw = vec![0u8; frames.count() * frames.area() * value_size];
    for (band, values) in parts {
        let run = band.height * band.width * value_size;
        for frame in 0..frames.count() {
            let at = (frame * frames.area() + band.top * band.width) * value_size;
            raw[at..at + run].copy_from_slice(&values[frame * run..][..run]);
        }
    }
    raw
}

fn decode_band<N: Number>(shared: &Shared, band: &Band, residuals: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let side = shared.side;
    let plan = side.plan(shared.frames);
    let mut rows = DecodeRows::<N> {
        shared,
        band,
        residuals: Decoder::new(residuals)?,
        plain: BitReader::new(plain),
        failure: None,
        values: vec![0; shared.frames.count() * band.height * band.width * N::SIZE],
        symbols: vec![],
        contexts: vec![],
        q: vec![],
        line: vec![0; band.width],
        number: std::marker::PhantomData,
    };
    match &side.predictor {
        Predictor::Multiscale(sent) => {
            let model = Model::new(side.scale, &plan, sent);
            let fine: Vec<bool> = side.kinds.iter().map(|k| *k != FrameKind::Normal).collect();
            multiscale::walk(&model, &plan, band, &fine, &mut rows);
        }
        Predictor::Lorenzo(neighbours) => lorenzo::walk(*neighbours, &plan, band, &mut rows),
    }
    if let Some(e) = rows.failure {
        return Err(e);
    }
    rows.residuals.finish()?;
    Ok(rows.values)
}

struct DecodeRows<'a, N> {
    shared: &'a Shared<'a>,
    band: &'a Band,
    residuals: Decoder<'a>,
    plain: BitReader<'a>,
    failure: Option<Error>,
    values: Vec<u8>,
    symbols: Vec<u8>,
    contexts: Vec<u8>,
    q: Vec<i32>,
    line: Vec<i32>,
    number: std::marker::PhantomData<N>,
}

impl<N: Number> DecodeRows<'_, N> {
    /// Whether the points of a row are special, if the chunk has any.
    fn mask(&self, at: RowAt) -> Option<impl Fn(usize) -> bool + '_> {
        let start = (at.frame * self.shared.frames.height + self.band.top + at.y) * self.band.width + at.x;
        self.shared.side.mask.as_ref().map(|m| move |j: usize| m[start + j * at.stride] != 0)
    }

    /// Decodes the residuals of a row to `self.q`; special points have none.
    fn residuals(&mut self, at: RowAt, contexts: &[u8]) {
        let n = contexts.len();
        self.q.resize(n, 0);
        self.symbols.resize(n, 0);
        let mut kept = std::mem::take(&mut self.contexts);
        let special = self.mask(at).map(|special| {
            kept.clear();
            kept.extend(contexts.iter().enumerate().filter(|(j, _)| !special(*j)).map(|(_, &c)| c));
            (0..n).map(special).collect::<Vec<bool>>()
        });
        let coded = if special.is_some() { &kept[..] } else { contexts };
        let m = coded.len();
        self.residuals.row(coded, self.shared.tables, &mut self.symbols[..m]);
        let mut large = false;
        for (q, &s) in self.q.iter_mut().zip(&self.symbols[..m]) {
            *q = unzigzag(u32::from(s));
            large |= s >= DIRECT_SYMBOLS as u8;
        }
        if large {
            for (q, &s) in self.q.iter_mut().zip(&self.symbols[..m]) {
                if s >= DIRECT_SYMBOLS as u8 {
                    match self.plain.get(plain_bits(s).min(31)) {
                        Ok(bits) => *q = join_large(s, bits),
                        Err(e) => self.failure = Some(e),
                    }
                }
            }
        }
        if let Some(special) = special {
            let mut from = m;
            for j in (0..n).rev() {
                if special[j] {
                    self.q[j] = 0;
                } else {
                    from -= 1;
                    self.q[j] = self.q[from];
                }
            }
        }
        self.contexts = kept;
    }
}

impl<N: Number> RowCoder for DecodeRows<'_, N> {
    fn row(
        &mut self,
        at: RowAt,
        predicted: &[i32],
        contexts: &[u8],
        values: &mut [i32],
        activity: &mut [u8],
    ) {
        self.residuals(at, contexts);
        let step = match self.shared.side.kinds[at.frame] {
            FrameKind::Normal => self.shared.side.scale.step,
            _ => 1,
        };
        reconstruct(predicted, &self.q, step, values, activity);
    }

    fn running_row(
        &mut self,
        at: RowAt,
        base: &[i32],
        contexts: &[u8],
        values: &mut [i32],
        activity: &mut [u8],
    ) {
        self.residuals(at, contexts);
        let mut above_base = 0i32;
        for (((v, a), b), q) in values.iter_mut().zip(activity).zip(base).zip(&self.q) {
            above_base = above_base.wrapping_add(*q);
            *v = b.wrapping_add(above_base);
            *a = q.unsigned_abs().min(255) as u8;
        }
    }

    fn failed(&self) -> bool {
        self.failure.is_some()
    }

    fn frame(&mut self, frame: usize, row: &mut dyn FnMut(usize, &mut [i32])) {
        let (height, width) = (self.band.height, self.band.width);
        let side = self.shared.side;
        let half = side.kinds[frame] == FrameKind::Provisional;
        let negative = side.negative.as_deref();
        for y in 0..height {
            row(y, &mut self.line);
            let out = &mut self.values[(frame * height + y) * width * N::SIZE..][..width * N::SIZE];
            let at = (frame * self.shared.frames.height + self.band.top + y) * width;
            let negative = negative.map(|n| &n[at..at + width]);
            self.shared.mapping.write_values::<N>(&self.line, side.offset, half, negative, out);
        }
    }
}
