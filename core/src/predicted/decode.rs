//! The decoder's half: residuals from the entropy-coded bands, values from residuals.

use super::blockwise;
use super::choose::numbers;
use super::direct::{self, Wanted};
use super::masked::Masked;
use super::side::{read_tables, FrameKind, Predictor, Side};
use super::{band_rows, bands};
use crate::chunk::Frames;
use crate::entropy::bits::unzigzag;
use crate::entropy::bits::BitReader;
use crate::entropy::rans::Decoder;
use crate::entropy::slots::DecodeTables;
use crate::entropy::{join_large, plain_bits, DIRECT_SYMBOLS};
use crate::error::{Error, Result};
use crate::grid::Mapping;
use crate::marks::{keep, put_back};
use crate::network::Model;
use crate::number::Number;
use crate::place::{announce, put, written, Place};
use crate::predict::corrector::{Corrections, Corrector};
use crate::predict::kernel::{copy_rows, find_large, reconstruct};
use crate::predict::multiscale::{self, Weights};
use crate::predict::{lorenzo, Band, Coder, RunAt};
use crate::reference::autoencoder::Reconstruction;
use crate::reference::forecast::Forecasts;
use crate::scratch::{recycle, Buffer};
use crate::stream::parts::Reader;
use crate::threads::parallel;
use std::sync::Arc;

/// What the decoding of every band shares.
struct Shared<'a> {
    side: &'a Side,
    tables: &'a DecodeTables,
    frames: &'a Frames,
    mapping: Mapping,
    forecasts: Option<&'a Forecasts>,
    corrections: Option<&'a Corrections>,
    /// Threads for each band.
    inner: usize,
}

/// Decodes a payload to little-endian values, time first, or what they were predicted to be, and writes them to all of `out`,
/// which has their size; `model` is the one that the header names. Says which frames are final: those of chunks that are not
/// full yet may be rounded later.
///
/// # Errors
/// `Corruption` for damaged payloads, `Compatibility` for methods of newer versions.
pub fn decode<N: Number>(
    payload: &[u8],
    frames: &Frames,
    mapping: Mapping,
    model: Option<&Arc<Model>>,
    wanted: Wanted,
    threads: usize,
    out: &mut Place,
) -> Result<Vec<bool>> {
    let mut r = Reader::new(payload);
    let side = Side::read(&mut r, frames, N::SIZE)?;
    let finals = side.kinds.iter().map(|kind| *kind != FrameKind::Provisional).collect();
    if let Predictor::Direct(direct) = &side.predictor {
        let whole = Band { top: 0, height: frames.height, width: frames.width };
        let forecaster = forecasts(&side, model, frames, threads)?
            .map(|f| f.forecaster(numbers(&side.scale, frames), frames, &whole, threads))
            .transpose()?;
        let mut raw = Buffer::arbitrary(frames.count() * frames.area() * N::SIZE).into_vec();
        direct::decode::<N>(&mut r, &side, direct, frames, mapping, forecaster, wanted, &mut raw)?;
        r.finish()?;
        if wanted == Wanted::Values {
            side.put_exact::<N>(&mut raw);
        }
        put(out, &raw);
        recycle(raw);
        return Ok(finals);
    }
    if wanted == Wanted::Predictions {
        return Err(Error::invalid(
            "only the preset tezip has predictions of whole frames, and the chunk has another one",
        ));
    }
    if let Predictor::Blockwise(blockwise) = &side.predictor {
        let mut raw = Buffer::arbitrary(frames.count() * frames.area() * N::SIZE).into_vec();
        blockwise::decode::<N>(&mut r, &side, blockwise, frames, (mapping, model), threads, &mut raw)?;
        r.finish()?;
        side.put_exact::<N>(&mut raw);
        put(out, &raw);
        recycle(raw);
        return Ok(finals);
    }
    let tables = read_tables(&mut r)?;
    let forecasts = forecasts(&side, model, frames, threads)?;
    let mut parts = vec![];
    for band in bands(frames, side.bands) {
        if band.height == 0 {
            return Err(Error::corruption("the stream states a band without rows"));
        }
        parts.push((band, r.bytes()?, r.bytes()?));
    }
    r.finish()?;
    let inner = (threads / side.bands).max(1);
    let forecasts = forecasts.as_ref();
    let corrections = corrections(&side, model)?;
    let corrections = corrections.as_ref();
    let shared = Shared { side: &side, tables: &tables, frames, mapping, forecasts, corrections, inner };
    let cut: Vec<Band> = parts.iter().map(|part| part.0).collect();
    let rows = band_rows(out, frames, &cut, N::SIZE);
    let work = parts.into_iter().zip(rows).collect();
    let decoded = parallel(work, threads, |((band, residuals, plain), values)| {
        decode_band::<N>(&shared, &band, residuals, plain, values)
    });
    decoded.into_iter().collect::<Result<()>>()?;
    // SAFETY: the bands share the rows of a frame without a gap, and each band has decoded all frames, or failed.
    let raw = unsafe { written(out) };
    side.put_exact::<N>(raw);
    Ok(finals)
}

/// What the forecasts of the order are made with, if it has any.
fn forecasts(
    side: &Side,
    model: Option<&Arc<Model>>,
    frames: &Frames,
    threads: usize,
) -> Result<Option<Forecasts>> {
    let named = || model.ok_or_else(|| Error::corruption("the stream has forecasts but names no model"));
    if let Some(normal) = &side.normal {
        return Ok(Some(Forecasts::Network(Arc::clone(named()?), normal.clone())));
    }
    let Some((shape, latent)) = &side.latent else { return Ok(None) };
    let made = Reconstruction::read(latent.clone(), *shape, frames, Some(named()?), threads)?;
    Ok(Some(Forecasts::Given(named()?.digest(), Arc::new(made))))
}

/// What the corrections are made with, if there are any.
fn corrections(side: &Side, model: Option<&Arc<Model>>) -> Result<Option<Corrections>> {
    let Some(classes) = side.corrected else { return Ok(None) };
    let model = model.ok_or_else(|| Error::corruption("the stream has corrections but names no model"))?;
    Ok(Some(Corrections { model: Some(Arc::clone(model)), classes }))
}

/// Points of a frame that are written at a time, unless a row has more.
const WRITTEN_POINTS: usize = 256;

/// Decodes a band to `values`, a slice of rows for each frame.
fn decode_band<N: Number>(
    shared: &Shared,
    band: &Band,
    residuals: &[u8],
    plain: &[u8],
    values: Vec<&mut Place>,
) -> Result<()> {
    let side = shared.side;
    let plan = side.plan(shared.frames);
    let mut runs = DecodeRuns::<N> {
        shared,
        band,
        residuals: Decoder::new(residuals)?,
        plain: BitReader::new(plain),
        failure: None,
        values,
        masked: Masked::new(side.mask()),
        symbols: vec![],
        contexts: vec![],
        spread: vec![],
        line: vec![],
        bytes: vec![],
        written: 0,
        number: std::marker::PhantomData,
    };
    match &side.predictor {
        Predictor::Multiscale(sent) => {
            let weights = Weights::new(side.scale, &plan, sent);
            let fine: Vec<bool> = side.kinds.iter().map(|k| *k != FrameKind::Normal).collect();
            let numbers = numbers(&side.scale, shared.frames);
            let made = shared.forecasts.map(|f| f.forecaster(numbers, shared.frames, band, shared.inner));
            let forecaster = made.transpose()?;
            let size = (band.height, band.width);
            let corrector = shared.corrections.map(|c| Corrector::new(c, &side.scale, size)).transpose()?;
            multiscale::walk(&weights, &plan, band, &fine, (forecaster, corrector), &mut runs);
        }
        Predictor::Lorenzo(neighbours) => lorenzo::walk(*neighbours, &plan, band, &mut runs),
        // Decoded by themselves.
        Predictor::Direct(_) | Predictor::Blockwise(_) => {}
    }
    if let Some(e) = runs.failure {
        return Err(e);
    }
    if runs.written != shared.frames.count() * band.height {
        // Never, or the caller would take for written what is not.
        return Err(Error::corruption("not all frames of a chunk were decoded"));
    }
    runs.residuals.finish()?;
    Ok(())
}

struct DecodeRuns<'a, N> {
    shared: &'a Shared<'a>,
    band: &'a Band,
    residuals: Decoder<'a>,
    plain: BitReader<'a>,
    failure: Option<Error>,
    /// Decoded values: the band's rows of each frame.
    values: Vec<&'a mut Place>,
    /// Rows that were written of all frames.
    written: usize,
    /// The special points of the frame that is being decoded.
    masked: Masked<'a>,
    /// Symbols in the order of the stream, and their contexts.
    symbols: Vec<u8>,
    contexts: Vec<u8>,
    /// Symbols in the order of the plane.
    spread: Vec<u8>,
    line: Vec<i32>,
    bytes: Vec<u8>,
    number: std::marker::PhantomData<N>,
}

impl<N: Number> DecodeRuns<'_, N> {
    /// Index in the chunk of the first point of a row.
    fn index(&self, frame: usize, y: usize) -> usize {
        (frame * self.shared.frames.height + self.band.top + y) * self.band.width
    }

    /// Units per quantisation step of a frame.
    fn step(&self, frame: usize) -> i32 {
        match self.shared.side.kinds[frame] {
            FrameKind::Normal => self.shared.side.scale.step,
            _ => 1,
        }
    }

    /// Decodes the symbols of the contexts in `self.contexts`; says whether there are large ones.
    fn symbols(&mut self) -> bool {
        let n = self.contexts.len();
        self.symbols.resize(n.max(self.symbols.len()), 0);
        let symbols = &mut self.symbols[..n];
        self.residuals.row(&self.contexts, self.shared.tables, symbols);
        symbols.iter().fold(0, |m, s| (*s).max(m)) >= DIRECT_SYMBOLS as u8
    }
}

/// The residual of a symbol.
#[inline]
fn residual(symbol: u8, plain: &mut BitReader, failure: &mut Option<Error>) -> i32 {
    if symbol < DIRECT_SYMBOLS as u8 {
        return unzigzag(u32::from(symbol));
    }
    match plain.get(plain_bits(symbol).min(31)) {
        Ok(bits) => join_large(symbol, bits),
        Err(e) => {
            *failure = Some(e);
            0
        }
    }
}

impl<N: Number> Coder for DecodeRuns<'_, N> {
    fn begin(&mut self, frame: usize) {
        let points = self.index(frame, 0)..self.index(frame, self.band.height);
        self.masked.begin(points, self.band.width);
    }

    fn run(
        &mut self,
        at: RunAt,
        predicted: &[i32],
        contexts: &[u8],
        values: &mut [i32],
        activity: &mut [u8],
    ) {
        let n = at.span();
        let step = self.step(at.frame);
        let rows = || (0..n).step_by(at.stride).map(|r| r..r + at.width);
        self.spread.resize(n.max(self.spread.len()), 0);
        let masked = std::mem::take(&mut self.masked);
        let special = masked.of(at, 0, n);
        match special {
            None => {
                self.contexts.resize(at.width * at.rows, 0);
                copy_rows((contexts, at.stride), (&mut self.contexts, at.width), at.width, at.rows);
            }
            Some(m) => {
                self.contexts.clear();
                rows().for_each(|row| {
                    keep(&m[row.clone()], &contexts[row], &mut self.contexts);
                });
            }
        }
        let large = self.symbols();
        match special {
            None => {
                let to = (&mut self.spread[..n], at.stride);
                copy_rows((&self.symbols, at.width), to, at.width, at.rows);
            }
            Some(m) => {
                // One more, as the last place is looked at when nothing is left.
                self.symbols.resize(self.symbols.len().max(self.contexts.len() + 1), 0);
                let mut from = &self.symbols[..];
                for row in rows() {
                    from = &from[put_back(&m[row.clone()], from, &mut self.spread[row])..];
                }
            }
        }
        self.masked = masked;
        reconstruct(predicted, &self.spread[..n], step, values, activity);
        if large {
            for row in rows() {
                find_large(&self.spread[row.clone()], DIRECT_SYMBOLS as u8, |j| {
                    let j = row.start + j;
                    let q = residual(self.spread[j], &mut self.plain, &mut self.failure);
                    values[j] = predicted[j].wrapping_add(q.wrapping_mul(step));
                    activity[j] = q.unsigned_abs().min(255) as u8;
                });
            }
        }
    }

    fn row(
        &mut self,
        frame: usize,
        y: usize,
        running: bool,
        base: &[i32],
        contexts: &[u8],
        values: &mut [i32],
        activity: &mut [u8],
    ) {
        let start = self.index(frame, y);
        let mask = self.shared.side.mask().map(|m| &m[start..start + contexts.len()]);
        self.contexts.clear();
        match mask {
            None => self.contexts.extend_from_slice(contexts),
            Some(m) => self.contexts.extend(contexts.iter().zip(m).filter(|(_, m)| **m == 0).map(|(c, _)| c)),
        }
        self.symbols();
        let mut symbols = self.symbols.iter();
        let mut above_base = 0i32;
        for (j, ((v, a), b)) in values.iter_mut().zip(activity).zip(base).enumerate() {
            let mut q = 0;
            if mask.is_none_or(|m| m[j] == 0) {
                q = residual(symbols.next().copied().unwrap_or(0), &mut self.plain, &mut self.failure);
            }
            *v = b.wrapping_add(above_base).wrapping_add(q);
            if running {
                above_base = above_base.wrapping_add(q);
            }
            *a = q.unsigned_abs().min(255) as u8;
        }
    }

    fn failed(&self) -> bool {
        self.failure.is_some()
    }

    fn is_last(&self) -> bool {
        true
    }

    fn frame(&mut self, frame: usize, row: &mut dyn FnMut(usize, &mut [i32])) {
        let (height, width) = (self.band.height, self.band.width);
        let side = self.shared.side;
        let half = side.kinds[frame] == FrameKind::Provisional;
        let negative = side.negative.as_deref();
        // Short rows by the dozen: each call takes its time.
        let most = (WRITTEN_POINTS / width).clamp(1, height);
        self.line.resize(most * width, 0);
        self.bytes.resize(most * width * N::SIZE, 0);
        announce(&self.values[frame][..most * width * N::SIZE]);
        for y in (0..height).step_by(most) {
            let rows = most.min(height - y);
            let line = &mut self.line[..rows * width];
            line.chunks_exact_mut(width).zip(y..).for_each(|(line, y)| row(y, line));
            let at = (frame * self.shared.frames.height + self.band.top + y) * width;
            let negative = negative.map(|n| &n[at..at + rows * width]);
            let bytes = &mut self.bytes[..rows * width * N::SIZE];
            self.shared.mapping.write_values::<N>(line, side.offset, half, negative, bytes);
            let (own, next) = self.values[frame][y * width * N::SIZE..].split_at_mut(bytes.len());
            put(own, bytes);
            announce(&next[..next.len().min(bytes.len())]);
            self.written += rows;
        }
    }
}
