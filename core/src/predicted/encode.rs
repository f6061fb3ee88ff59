//! The encoder's half: choice of grid, order and predictor, residuals, and the check of every point in the
//! decoder's own arithmetic.

use super::decode::{join_bands, put_exact};
use super::grids::{exact_grid, float_grid, logarithms, survey, Surveyed, LATTICE, WEIGHT_BITS};
use super::mapped::{map, Mapped, Writing};
use super::side::{write_tables, FrameKind, Predictor, Side, CONTEXT_COUNT};
use super::target;
use super::{band_count, bands, parallel};
use crate::bound::Bound;
use crate::chunk::Frames;
use crate::entropy::bits::{zigzag, BitWriter};
use crate::entropy::tables::Histogram;
use crate::entropy::{rans, split_large, DIRECT};
use crate::grid::{allowed_error, lattice, Allowed, Grid, Mapping};
use crate::number::Number;
use crate::params::{Params, Preset};
use crate::predict::fit::{self, fit, Effort, Samples};
use crate::predict::kernel::{quantise, reconstruct};
use crate::predict::lorenzo;
use crate::predict::multiscale::{self, Model};
use crate::predict::{Band, RowAt, RowCoder, Scale};
use crate::reference::{coding_order, TimeOrder};
use crate::stream::parts::Writer;

/// A predicted payload and the numbers that its header states.
pub struct Encoded {
    /// The payload.
    pub payload: Vec<u8>,
    /// The error that it keeps, as [`allowed_error`] gives it.
    pub error: f64,
    /// How its integers become values.
    pub mapping: Mapping,
    /// What it decodes to.
    pub decoded: Vec<u8>,
    /// Whether it keeps frames as they were decoded before.
    pub keeps: bool,
}

/// What a chunk is predicted with.
struct Choice {
    predictor: Predictor,
    order: TimeOrder,
    bits: f64,
}

/// Encodes little-endian values, time first; `None` where only lossless storage keeps the bound or nothing is to be
/// lost.
///
/// `known` gives, for each step of the time axis, the error that it was decoded with if it was: it must come back bit
/// for bit.
pub fn encode<N: Number>(
    params: &Params,
    frames: &Frames,
    raw: &[u8],
    known: &[Option<f64>],
) -> Option<Encoded> {
    let chunk = survey::<N>(params, raw)?;
    let encode = |share| encode_chunk::<N>(params, frames, raw, known, &chunk, share);
    let Bound::Psnr(db) = params.bound else { return encode(1.0) };
    let written = &raw[..chunk.points * N::SIZE];
    let whole = allowed_error(&params.bound, &chunk.extent).filter(|_| !N::FLOAT);
    target::reach::<N>(written, &chunk.special, &chunk.extent, db, whole, |share| {
        let encoded = encode(share)?;
        let free = !encoded.keeps && !chunk.provisional && known.iter().all(Option::is_none);
        Some((encoded, free))
    })
}

/// Encodes a chunk with a share of the error that the bound allows.
fn encode_chunk<N: Number>(
    params: &Params,
    frames: &Frames,
    raw: &[u8],
    known: &[Option<f64>],
    &Surveyed { ref special, extent, points, provisional }: &Surveyed,
    share: f64,
) -> Option<Encoded> {
    let steps = params.shape[params.time_axis];
    let present = &raw[..points * N::SIZE];
    let logarithmic = matches!(params.bound, Bound::PointwiseRelative { .. });
    let allowed = allowed_error(&params.bound, &extent).map(|e| share * e);
    if let (false, true) = (logarithmic, known.iter().all(Option::is_none)) {
        let least = allowed.map_or(0.0, |e| LATTICE * 2.0 * if N::FLOAT { e } else { e.floor() + 0.5 });
        let slack = if N::FLOAT { least * lattice::SLACK } else { 0.0 };
        if let Some(grid) = exact_grid::<N>(present, special, &extent, least, slack) {
            let nothing = vec![false; frames.count()];
            let writing = Writing { points, provisional: false, known: &nothing, fresh: true };
            let mapped = map::<N>(raw, frames, &grid, special, &extent, writing);
            let choice = choose(&mapped, frames, &grid, params);
            // Nothing is to be lost, not even the sign of zero.
            let all = vec![Some(0.0); if allowed.is_none() { steps } else { 0 }];
            return Some(code::<N>(params, frames, raw, &mapped, &grid, choice, slack, &all));
        }
    }
    let domain = if logarithmic { logarithms::<N>(present, special)? } else { extent };
    // The grid of steps that were decoded with a smaller error serves the others, too.
    let error = known.iter().flatten().copied().fold(allowed?, f64::min);
    let grid = if N::FLOAT {
        float_grid::<N>(present, frames.area(), special, error, &domain, logarithmic, provisional)?
    } else if logarithmic {
        // Counts leave no room between them to tell decoded frames by.
        (!provisional).then(|| Grid::choose::<N>(error, &domain, true))??
    } else {
        Grid::whole(error, &extent, provisional || error < 1.0)?
    };
    let provisional = provisional && N::FLOAT && grid.step > 1;
    // A step of the time axis is a whole number of frames or, in chunks of one frame, a part of it.
    let known_frames: Vec<bool> = (0..frames.count())
        .map(|f| known.get(f * steps / frames.count()).is_some_and(Option::is_some))
        .collect();
    let mut writing = Writing { points, provisional, known: &known_frames, fresh: false };
    let mut mapped = map::<N>(raw, frames, &grid, special, &domain, writing);
    let seen = mapped.kinds.iter().zip(&known_frames).any(|(k, known)| *k == FrameKind::Fine && !known);
    if seen && !logarithmic && lattice::is_unrelated::<N>(present, special, &[grid.mapping.quantum()]) {
        writing.fresh = true;
        mapped = map::<N>(raw, frames, &grid, special, &domain, writing);
    }
    let choice = choose(&mapped, frames, &grid, params);
    if matches!(choice.predictor, Predictor::Lorenzo(_)) && grid.step > 1 {
        if mapped.kinds.iter().any(|k| *k != FrameKind::Normal) || !N::FLOAT {
            // Lorenzo knows only steps of one unit; these frames need the finer grid.
            let choice = multiscale_choice(&mapped, frames, &grid, params);
            return Some(code::<N>(params, frames, raw, &mapped, &grid, choice, error, known));
        }
        let grid = Grid::single::<N>(error, &domain, logarithmic)?;
        let mapped =
            map::<N>(raw, frames, &grid, special, &domain, Writing { provisional: false, ..writing });
        return Some(code::<N>(params, frames, raw, &mapped, &grid, choice, error, known));
    }
    Some(code::<N>(params, frames, raw, &mapped, &grid, choice, error, known))
}

fn scale(mapped: &Mapped, grid: &Grid) -> Scale {
    Scale { step: grid.step, shift: grid.shift, low: mapped.low, high: mapped.high }
}

fn effort(params: &Params) -> &'static Effort {
    if params.preset == Preset::Fast {
        &fit::FAST
    } else {
        &fit::BALANCED
    }
}

/// The multiscale predictor in the better order.
fn multiscale_choice(mapped: &Mapped, frames: &Frames, grid: &Grid, params: &Params) -> Choice {
    let mut orders = vec![if frames.count() == 1 { TimeOrder::Independent } else { TimeOrder::Previous }];
    if frames.steps > 2 && params.preset != Preset::Fast {
        orders.push(TimeOrder::Hierarchical);
    }
    let samples = Samples { grid: &mapped.grid, mask: mapped.mask.as_deref(), frames: *frames };
    let fit =
        |order, effort: &Effort| fit(&samples, &coding_order(order, frames), &scale(mapped, grid), effort);
    let effort = effort(params);
    // Small samples tell which order is better; weights are worth a larger one.
    let mut order = orders[0];
    if orders.len() > 1 {
        let quick = effort.quick();
        let bits = parallel(&orders, params.threads, |&order| fit(order, &quick).1);
        if bits[1] < bits[0] {
            order = orders[1];
        }
    }
    let (sent, bits) = fit(order, effort);
    Choice { predictor: Predictor::Multiscale(sent), order, bits }
}

/// The predictor of the fewest estimated bits.
fn choose(mapped: &Mapped, frames: &Frames, grid: &Grid, params: &Params) -> Choice {
    let order = if frames.count() == 1 { TimeOrder::Independent } else { TimeOrder::Previous };
    let lorenzo = lorenzo::estimate(&mapped.grid, mapped.mask.as_deref(), frames, grid.step);
    let simple = Choice { predictor: Predictor::Lorenzo(lorenzo.0), order, bits: lorenzo.1 };
    if grid.shift < WEIGHT_BITS {
        return simple;
    }
    let multiscale = multiscale_choice(mapped, frames, grid, params);
    if simple.bits < multiscale.bits {
        simple
    } else {
        multiscale
    }
}

/// One coded band.
struct CodedBand {
    symbols: Vec<u8>,
    contexts: Vec<u8>,
    rows: Vec<u32>,
    plain: Vec<u8>,
    patches: Vec<(u64, u64)>,
    histograms: Vec<Histogram>,
    /// Decoded values, frame after frame.
    values: Vec<u8>,
}

/// What the coding of every band shares.
struct Shared<'a> {
    params: &'a Params,
    frames: &'a Frames,
    raw: &'a [u8],
    mapped: &'a Mapped,
    grid: &'a Grid,
    error: f64,
    /// Steps of the time axis that must come back bit for bit.
    known: &'a [Option<f64>],
}

#[allow(clippy::too_many_arguments)]
fn code<N: Number>(
    params: &Params,
    frames: &Frames,
    raw: &[u8],
    mapped: &Mapped,
    grid: &Grid,
    choice: Choice,
    error: f64,
    known: &[Option<f64>],
) -> Encoded {
    let shared = Shared { params, frames, raw, mapped, grid, error, known };
    let count = band_count(frames);
    let cut = bands(frames, count);
    let plan = coding_order(choice.order, frames);
    let scale = scale(mapped, grid);
    let mut coded = parallel(&cut, params.threads, |band| {
        let mut rows = EncodeRows::<N>::new(&shared, band);
        match &choice.predictor {
            Predictor::Multiscale(sent) => {
                let fine: Vec<bool> = mapped.kinds.iter().map(|k| *k != FrameKind::Normal).collect();
                multiscale::walk(&Model::new(scale, &plan, sent), &plan, band, &fine, &mut rows);
            }
            Predictor::Lorenzo(neighbours) => lorenzo::walk(*neighbours, &plan, band, &mut rows),
        }
        rows.finish()
    });
    let mut histograms = vec![Histogram::default(); CONTEXT_COUNT];
    let mut patches: Vec<(u64, u64)> = vec![];
    for band in &coded {
        for (a, b) in histograms.iter_mut().zip(&band.histograms) {
            a.merge(b);
        }
        patches.extend(&band.patches);
    }
    patches.sort_unstable();
    patches.dedup();
    let mut specials = vec![];
    if let Some(mask) = &mapped.mask {
        for (m, b) in mask.iter().zip(raw.chunks_exact(N::SIZE)) {
            if *m != 0 {
                specials.extend_from_slice(b);
            }
        }
    }
    let parts: Vec<(Band, Vec<u8>)> =
        cut.iter().copied().zip(coded.iter_mut().map(|b| std::mem::take(&mut b.values))).collect();
    let mut decoded = join_bands(&parts, frames, N::SIZE);
    drop(parts);
    put_exact::<N>(&mut decoded, mapped.mask.as_deref(), &specials, &patches);
    let keeps = mapped.kinds.contains(&FrameKind::Fine);
    let side = Side {
        predictor: choice.predictor,
        order: choice.order,
        scale,
        offset: mapped.offset,
        kinds: mapped.kinds.clone(),
        mask: mapped.mask.clone(),
        specials,
        negative: mapped.negative.clone(),
        patches,
        bands: count,
    };
    let mut w = Writer::default();
    side.write(&mut w, frames, N::SIZE);
    let tables = write_tables(&mut w, &histograms);
    let streams =
        parallel(&coded, params.threads, |b| rans::encode(&b.symbols, &b.contexts, &b.rows, &tables));
    for (band, residuals) in coded.iter().zip(streams) {
        w.bytes(&residuals);
        w.bytes(&band.plain);
    }
    Encoded { payload: w.out, error, mapping: grid.mapping, decoded, keeps }
}

struct EncodeRows<'a, N> {
    shared: &'a Shared<'a>,
    band: &'a Band,
    out: CodedBand,
    bits: BitWriter,
    value: Vec<i32>,
    q: Vec<i32>,
    line: Vec<i32>,
    number: std::marker::PhantomData<N>,
}

impl<'a, N: Number> EncodeRows<'a, N> {
    fn new(shared: &'a Shared<'a>, band: &'a Band) -> Self {
        let points = shared.frames.count() * band.height * band.width;
        Self {
            shared,
            band,
            out: CodedBand {
                symbols: Vec::with_capacity(points),
                contexts: Vec::with_capacity(points),
                rows: vec![],
                plain: vec![],
                patches: vec![],
                histograms: vec![],
                values: vec![0; points * N::SIZE],
            },
            bits: BitWriter::default(),
            value: vec![],
            q: vec![],
            line: vec![0; band.width],
            number: std::marker::PhantomData,
        }
    }

    fn finish(mut self) -> CodedBand {
        self.out.plain = self.bits.finish();
        let mut histograms = vec![Histogram::default(); CONTEXT_COUNT];
        for (s, c) in self.out.symbols.iter().zip(&self.out.contexts) {
            histograms[*c as usize].add(*s);
        }
        self.out.histograms = histograms;
        self.out
    }

    /// Index in the chunk of the first point of a row.
    fn index(&self, at: RowAt) -> usize {
        (at.frame * self.shared.frames.height + self.band.top + at.y) * self.band.width + at.x
    }

    /// Reads the grid values of a row to `self.value`.
    fn load(&mut self, at: RowAt, n: usize) {
        let start = self.index(at);
        let from = &self.shared.mapped.grid[start..start + (n - 1) * at.stride + 1];
        self.value.clear();
        self.value.extend((0..n).map(|j| from[j * at.stride]));
    }

    /// Records the residuals in `self.q`, those of special points as none at all.
    fn record(&mut self, at: RowAt, contexts: &[u8]) {
        let n = contexts.len();
        let mask = self.shared.mapped.mask.as_deref();
        let start = self.index(at);
        let q = &mut self.q[..n];
        if mask.is_none() && q.iter().fold(0, |m, q| m | q.unsigned_abs()) < DIRECT.next_power_of_two() / 2 {
            // The usual row: small residuals everywhere.
            self.out.symbols.extend(q.iter().map(|q| zigzag(*q) as u8));
            self.out.contexts.extend_from_slice(contexts);
            self.out.rows.push(n as u32);
            return;
        }
        let mut count = 0;
        for (j, (q, c)) in self.q[..n].iter_mut().zip(contexts).enumerate() {
            if mask.is_some_and(|m| m[start + j * at.stride] != 0) {
                *q = 0;
                continue;
            }
            let symbol = if q.unsigned_abs() <= DIRECT {
                zigzag(*q) as u8
            } else {
                let (symbol, plain, bits) = split_large(*q);
                self.bits.put(plain, bits);
                symbol
            };
            self.out.symbols.push(symbol);
            self.out.contexts.push(*c);
            count += 1;
        }
        self.out.rows.push(count);
    }
}

impl<N: Number> RowCoder for EncodeRows<'_, N> {
    fn row(
        &mut self,
        at: RowAt,
        predicted: &[i32],
        contexts: &[u8],
        values: &mut [i32],
        activity: &mut [u8],
    ) {
        let n = contexts.len();
        self.load(at, n);
        let step = match self.shared.mapped.kinds[at.frame] {
            FrameKind::Normal => self.shared.grid.step,
            _ => 1,
        };
        self.q.resize(n, 0);
        quantise(&self.value, predicted, step, &mut self.q);
        self.record(at, contexts);
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
        let n = contexts.len();
        self.load(at, n);
        self.q.resize(n, 0);
        let mask = self.shared.mapped.mask.as_deref();
        let start = self.index(at);
        let mut above_base = 0i32;
        for j in 0..n {
            // Special points continue the run.
            if mask.is_some_and(|m| m[start + j * at.stride] != 0) {
                self.q[j] = 0;
            } else {
                self.q[j] = self.value[j].wrapping_sub(base[j]).wrapping_sub(above_base);
            }
            above_base = above_base.wrapping_add(self.q[j]);
            values[j] = base[j].wrapping_add(above_base);
            activity[j] = self.q[j].unsigned_abs().min(255) as u8;
        }
        self.record(at, contexts);
    }

    fn frame(&mut self, frame: usize, row: &mut dyn FnMut(usize, &mut [i32])) {
        let shared = self.shared;
        let mapped = shared.mapped;
        let half = mapped.kinds[frame] == FrameKind::Provisional;
        let allowed = match shared.params.bound {
            Bound::PointwiseRelative { rel, .. } => Allowed::Relative(rel),
            _ => Allowed::Absolute(if N::FLOAT { shared.error } else { shared.error.floor() }),
        };
        let step_points = shared.mapped.grid.len() / shared.known.len().max(1);
        let width = self.band.width;
        for y in 0..self.band.height {
            row(y, &mut self.line);
            let at = (frame * shared.frames.height + self.band.top + y) * width;
            let raw = &shared.raw[at * N::SIZE..][..width * N::SIZE];
            let out =
                &mut self.out.values[(frame * self.band.height + y) * width * N::SIZE..][..width * N::SIZE];
            let negative = mapped.negative.as_deref().map(|n| &n[at..at + width]);
            let place = (mapped.offset, half);
            let mapping = &shared.grid.mapping;
            let all = mapping.write_within::<N>(&self.line, place, negative, raw, allowed, out);
            // Steps that are remembered are no shorter than a row.
            let known = shared.known.get(at / step_points).is_some_and(Option::is_some);
            // Almost always all are.
            if all && (!known || raw == out) {
                continue;
            }
            let within = |a: &[u8], b: &[u8]| {
                allowed.holds(N::read(a).to_f64(), N::read(b).to_f64()) && (!known || a == b)
            };
            for (x, (a, b)) in raw.chunks_exact(N::SIZE).zip(out.chunks_exact(N::SIZE)).enumerate() {
                if !within(a, b) && mapped.mask.as_deref().is_none_or(|m| m[at + x] == 0) {
                    self.out.patches.push(((at + x) as u64, N::read(a).bits()));
                }
            }
        }
    }
}
