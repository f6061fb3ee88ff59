//! Chunks that are predicted block by block: AE-SZ (Liu et al., CLUSTER 2021) with its networks as integer networks; without a model
//! what SZ2 does (Liang et al., IEEE Big Data 2018).
//!
//! Each block is coded in every way that there is, and the one of the fewest bits is kept; with [`Selection::Distance`] that of the
//! smallest sum of absolute differences, as AE-SZ has it. Latents are stored for the blocks that use them. Residuals go through a
//! Huffman code and zstd. Large chunks are cut into *parts*, which are coded at the same time: bands of rows or, of runs, pieces.

use super::choose::{scale, Choice};
use super::encode::{Encoded, Shared};
use super::latent;
use super::side::{FrameKind, Predictor, Side, MAX_BANDS};
use super::{band_rows, BAND_POINTS, BAND_ROWS};
use crate::chunk::Frames;
use crate::entropy::bits::{unzigzag, zigzag};
use crate::entropy::huffman::{self, Code, Counts, Decoder, Symbols, ESCAPE};
use crate::error::{Error, Result};
use crate::grid::Mapping;
use crate::network::Model;
use crate::number::Number;
use crate::params::{Params, Preset, Selection};
use crate::predict::blockwise::{self, Mode, Plane, Points, Prediction, Quanta, MODES};
use crate::predict::{Band, Scale};
use crate::reference::autoencoder::{Autoencoder, Normalisation, Reconstruction};
use crate::reference::blocks::{Blocks, Shape};
use crate::reference::latents::Latent;
use crate::reference::TimeOrder;
use crate::scratch::Buffer;
use crate::stream::header::checksum;
use crate::stream::parts::{Reader, Writer};
use crate::threads::parallel;
use std::ops::Range;
use std::sync::Arc;

/// How the blocks of a chunk are predicted. Blocks are listed part by part.
#[derive(Clone, Debug, PartialEq)]
pub struct Blockwise {
    /// What blocks are.
    pub shape: Shape,
    /// Of each block.
    pub modes: Vec<Mode>,
    /// Means, in quanta.
    pub means: Vec<i32>,
    /// Values at the first point, and slopes, of planes, in quanta.
    pub planes: Vec<[i32; 4]>,
    /// The latents of the blocks that a network predicts.
    pub latent: Option<Latent>,
}

impl Blockwise {
    /// With these blocks, nothing being known of them yet.
    fn new(shape: Shape) -> Self {
        Self { shape, modes: vec![], means: vec![], planes: vec![], latent: None }
    }

    /// How many blocks are predicted so.
    pub fn count(&self, mode: Mode) -> usize {
        self.modes.iter().filter(|m| **m == mode).count()
    }

    /// The bytes in the side information.
    pub fn bytes(&self) -> Vec<u8> {
        let mut w = Writer::default();
        self.shape.write(&mut w);
        w.packed(&self.modes.iter().map(|m| m.code()).collect::<Vec<_>>());
        let planes = (0..4).map(|k| self.planes.iter().map(|p| p[k]).collect());
        for list in std::iter::once(self.means.clone()).chain(planes) {
            w.packed(&changes(&list));
        }
        if let Some(latent) = &self.latent {
            latent.write(&mut w);
        }
        w.out
    }

    /// Inverse of [`Blockwise::bytes`] for a chunk of these frames.
    pub fn read(bytes: &[u8], frames: &Frames) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let shape = Shape::read(&mut r)?;
        let blocks = Blocks::new(shape, frames);
        let count = blocks.count();
        let codes = r.packed(count)?;
        let modes: Option<Vec<Mode>> = codes.iter().map(|c| MODES.get(usize::from(*c)).copied()).collect();
        let modes = modes
            .ok_or_else(|| Error::compatibility("a block is predicted in a way unknown to this build"))?;
        if modes.len() != count {
            return Err(Error::corruption(format!(
                "the stream tells of {} blocks, {count} expected",
                modes.len()
            )));
        }
        let mut out = Self { modes, ..Self::new(shape) };
        out.means = from_changes(&mut r, out.count(Mode::Mean))?;
        let planes = out.count(Mode::Plane);
        let mut lists = vec![];
        for _ in 0..4 {
            lists.push(from_changes(&mut r, planes)?);
        }
        out.planes = (0..planes).map(|i| std::array::from_fn(|k| lists[k][i])).collect();
        let predicted = out.count(Mode::Network);
        if predicted > 0 {
            out.latent = Some(Latent::read(&mut r, &blocks, predicted)?);
        }
        r.finish()?;
        Ok(out)
    }
}

/// Numbers as differences from the one before.
fn changes(list: &[i32]) -> Vec<u8> {
    let mut w = Writer::default();
    let mut before = 0i32;
    for &v in list {
        w.number(zigzag(v.wrapping_sub(before)).into());
        before = v;
    }
    w.out
}

/// Inverse of [`changes`] for so many numbers.
fn from_changes(r: &mut Reader, count: usize) -> Result<Vec<i32>> {
    let packed = r.packed(5 * count)?;
    let mut r = Reader::new(&packed);
    let mut sum = 0i32;
    let mut out = Vec::with_capacity(count.min(packed.len()));
    for _ in 0..count {
        sum =
            sum.wrapping_add(unzigzag(r.at_most(u32::MAX.into(), "as the mean or slope of a block")? as u32));
        out.push(sum);
    }
    r.finish()?;
    Ok(out)
}

/// Blocks without a model: SZ2's, nearly.
const CUBE: usize = 8;
const SQUARE: usize = 16;

/// Blockwise prediction for a chunk.
pub fn choose(frames: &Frames, params: &Params) -> Choice {
    let model = params.model.as_ref().and_then(|m| Autoencoder::of(m).ok().flatten());
    let default = match params.preset {
        Preset::Cae => Shape::Run(CUBE * CUBE * CUBE),
        _ if frames.steps >= CUBE / 2 => Shape::InTime([CUBE; 3]),
        _ if frames.levels >= CUBE / 2 => Shape::InSpace([CUBE; 3]),
        _ => Shape::InTime([1, SQUARE, SQUARE]),
    };
    let shape = model.map_or(default, |m| m.shape);
    let predictor = Predictor::Blockwise(Blockwise::new(shape));
    Choice { predictor, order: TimeOrder::Independent, forecasts: None, bits: 0.0 }
}

/// Number of parts of a chunk.
fn part_count(shape: Shape, frames: &Frames) -> usize {
    let wanted = frames.count() * frames.area() / BAND_POINTS;
    let most = match shape {
        Shape::Run(n) => frames.count() * frames.area() / n,
        _ => frames.height / BAND_ROWS.max(shape.size()[1]),
    };
    wanted.min(most).clamp(1, MAX_BANDS)
}

/// A row of a part, or a piece of one.
struct Line {
    /// Index of its first point in the part and in the chunk.
    local: usize,
    chunk: usize,
    len: usize,
    /// In which piece of the part's memory it lies, and where.
    segment: usize,
    offset: usize,
}

/// A part of a chunk.
struct Part {
    /// Its own blocks.
    blocks: Blocks,
    /// Points of the part.
    points: usize,
    /// Blocks along the axis that is cut before this part's.
    first: usize,
    /// Rows before it or, of runs, points.
    top: usize,
    frames: Frames,
}

impl Part {
    /// The parts of a chunk.
    fn all(shape: Shape, frames: &Frames, count: usize) -> Vec<Self> {
        let whole = Blocks::new(shape, frames);
        let (axis, size) = match shape {
            Shape::Run(n) => (3, n),
            _ => (2, shape.size()[1]),
        };
        let (along, extent) = (whole.counts()[axis], whole.extent[axis]);
        let part = |i: usize| {
            let ends = [i * along / count, (i + 1) * along / count];
            let [top, end] = ends.map(|b| (b * size).min(extent));
            let own = match shape {
                Shape::Run(_) => Frames { steps: 1, levels: 1, height: 1, width: end - top },
                _ => Frames { height: end - top, ..*frames },
            };
            let points = own.count() * own.area();
            Self { blocks: Blocks::new(shape, &own), points, first: ends[0], top, frames: *frames }
        };
        (0..count).map(part).collect()
    }

    /// The number in the chunk of one of the part's blocks.
    fn global(&self, block: usize, whole: &Blocks) -> usize {
        let [_, a, b, c] = whole.counts();
        let [_, _, own, columns] = self.blocks.counts();
        match self.blocks.shape {
            Shape::Run(_) => self.first + block,
            _ => {
                let (slab, rest) = (block / (own * columns), block % (own * columns));
                debug_assert!(columns == c && slab < whole.extent[0] * a);
                slab * b * c + self.first * c + rest
            }
        }
    }

    /// Index in the chunk of a point of the part.
    fn in_chunk(&self, local: usize) -> usize {
        match self.blocks.shape {
            Shape::Run(_) => self.top + local,
            _ => {
                let (width, rows) = (self.frames.width, self.blocks.extent[2]);
                let (frame, rest) = (local / (rows * width), local % (rows * width));
                (frame * self.frames.height + self.top) * width + rest
            }
        }
    }

    /// Its rows.
    fn lines(&self) -> Vec<Line> {
        let width = self.frames.width;
        let mut out = vec![];
        let mut local = 0;
        while local < self.points {
            let chunk = self.in_chunk(local);
            let len = (width - chunk % width).min(self.points - local);
            let (segment, offset) = match self.blocks.shape {
                Shape::Run(_) => (0, local),
                _ => {
                    let own = self.blocks.extent[2] * width;
                    (local / own, local % own)
                }
            };
            out.push(Line { local, chunk, len, segment, offset });
            local += len;
        }
        out
    }

    /// The memory of each part in the values of a chunk.
    fn memory<'a>(parts: &[Self], raw: &'a mut [u8], frames: &Frames, size: usize) -> Vec<Vec<&'a mut [u8]>> {
        if let Some(Shape::Run(_)) = parts.first().map(|p| p.blocks.shape) {
            let mut rest = raw;
            let mut out = vec![];
            for part in parts {
                let (own, next) = rest.split_at_mut(part.points * size);
                out.push(vec![own]);
                rest = next;
            }
            return out;
        }
        let cut: Vec<Band> = parts
            .iter()
            .map(|p| Band { top: p.top, height: p.blocks.extent[2], width: frames.width })
            .collect();
        band_rows(raw, frames, &cut, size)
    }
}

/// What the coding of every part shares.
struct Work<'a> {
    shared: &'a Shared<'a>,
    scale: Scale,
    quanta: Quanta,
    brought: Option<&'a Reconstruction>,
}

/// A part that was coded.
struct CodedPart {
    modes: Vec<Mode>,
    means: Vec<i32>,
    planes: Vec<[i32; 4]>,
    symbols: Vec<u16>,
    escapes: Vec<i32>,
    patches: Vec<(u64, u64)>,
}

/// Encodes a chunk block by block.
pub fn encode<N: Number>(shared: &Shared, choice: Choice, blockwise: Blockwise) -> Result<Encoded> {
    let &Shared { params, frames, raw, mapped, grid, error, .. } = shared;
    let shape = blockwise.shape;
    let scale = scale(mapped, grid);
    let brought = latent::network(params, mapped, frames, &scale, false);
    let count = part_count(shape, frames);
    let parts = Part::all(shape, frames, count);
    let whole = Blocks::new(shape, frames);
    let mut decoded = Buffer::arbitrary(raw.len());
    let memory = Part::memory(&parts, &mut decoded, frames, N::SIZE);
    let quanta = Quanta::new(shape.size(), scale.step);
    let work = Work { shared, scale, quanta, brought: brought.as_ref() };
    let coded = parallel(parts.iter().zip(memory).collect(), params.threads, |(part, memory)| {
        work.part::<N>(part, &whole, memory)
    });
    let mut out = blockwise;
    let mut counts = Counts::new();
    let (mut patches, mut used) = (vec![], vec![]);
    for (part, coded) in parts.iter().zip(&coded) {
        let network = coded.modes.iter().enumerate().filter(|(_, m)| **m == Mode::Network);
        used.extend(network.map(|(b, _)| part.global(b, &whole)));
        out.modes.extend(&coded.modes);
        out.means.extend(&coded.means);
        out.planes.extend(&coded.planes);
        patches.extend(&coded.patches);
        counts.add(&coded.symbols);
    }
    patches.sort_unstable();
    patches.dedup();
    out.latent = brought.as_ref().filter(|_| !used.is_empty()).map(|b| {
        let of = |values: &Vec<i32>| used.iter().map(|block| values[*block]).collect();
        Latent { values: b.latent.values.iter().map(of).collect(), ..b.latent.clone() }
    });
    let model = params.model.as_ref().filter(|_| out.latent.is_some()).map(|m| m.digest());
    let choice = Choice { predictor: Predictor::Blockwise(out), ..choice };
    let (side, _) = shared.side::<N>(choice, patches, count, &mut decoded);
    let mut w = Writer::default();
    side.write(&mut w, frames, N::SIZE);
    let code = Code::of(&counts);
    code.write(&mut w);
    let encoder = code.encoder();
    // The checksum of what was decoded is one more piece of work.
    let mut streams = parallel((0..=coded.len()).rev().collect(), params.threads, |i| match coded.get(i) {
        None => (vec![], checksum(&decoded)),
        Some(c) => (encoder.encode(&c.symbols), 0),
    });
    streams.reverse();
    let decoded_sum = streams.pop().map_or(0, |s| s.1);
    for (coded, (stream, _)) in coded.iter().zip(streams) {
        w.bytes(&stream);
        huffman::write_escapes(&mut w, &coded.escapes);
    }
    let keeps = mapped.kinds.contains(&FrameKind::Fine);
    Ok(Encoded { payload: w.out, error, mapping: grid.mapping, decoded, decoded_sum, keeps, model })
}

/// Bits of residuals: of their symbols' Huffman codes, about, as residuals before them tell. In 1/256.
struct Prices {
    counts: [u32; Self::CLASSES],
    /// Of the magnitudes below [`Self::TABLE`].
    table: [u32; Self::TABLE],
    /// Of the other classes.
    far: [u32; Self::CLASSES],
    since: usize,
}

impl Prices {
    /// Magnitudes that have a count of their own; larger ones share one for each power of two.
    const NEAR: u32 = 16;
    const CLASSES: usize = Self::NEAR as usize + 32;
    const TABLE: usize = 256;
    /// Residuals after which prices are made anew.
    const OFTEN: usize = 4096;

    fn new() -> Self {
        let counts = std::array::from_fn(|k| 4096 >> k.min(12));
        let mut out = Self { counts, table: [0; Self::TABLE], far: [0; Self::CLASSES], since: 0 };
        out.renew();
        out
    }

    fn class(magnitude: u32) -> usize {
        if magnitude < Self::NEAR {
            magnitude as usize
        } else {
            Self::NEAR as usize + (magnitude.ilog2() - Self::NEAR.ilog2()) as usize
        }
    }

    fn renew(&mut self) {
        let sum: u32 = self.counts.iter().sum();
        for ((k, bits), count) in (0u32..).zip(&mut self.far).zip(&self.counts) {
            // Signs, and which of the magnitudes of a power of two it is.
            let more = match k {
                0 => 0,
                k if k < Self::NEAR => 1,
                k => 1 + Self::NEAR.ilog2() + k - Self::NEAR,
            };
            *bits = (256.0 * ((f64::from(sum) / f64::from(*count)).log2() + f64::from(more))) as u32;
        }
        self.table = std::array::from_fn(|m| self.far[Self::class(m as u32)]);
    }

    #[inline(always)]
    fn of(&self, q: i32) -> u32 {
        let magnitude = q.unsigned_abs();
        match self.table.get(magnitude as usize) {
            Some(price) => *price,
            None => self.far[Self::class(magnitude)],
        }
    }

    fn learn(&mut self, residuals: &[i32]) {
        residuals.iter().for_each(|q| self.counts[Self::class(q.unsigned_abs())] += 1);
        self.since += residuals.len();
        if self.since >= Self::OFTEN {
            self.since = 0;
            self.renew();
            if self.counts[0] > 1 << 24 {
                self.counts.iter_mut().for_each(|c| *c = c.div_ceil(2));
            }
        }
    }
}

/// Units per quantisation step of some points in a row: `step` where all their frames are normal. Points of frames that are
/// not, which may be decoded values, must come back as they are.
fn units(kinds: &[FrameKind], area: usize, points: Range<usize>, step: i32) -> i32 {
    let frames = points.start / area..points.end.div_ceil(area);
    if kinds[frames].iter().all(|k| *k == FrameKind::Normal) {
        step
    } else {
        1
    }
}

/// The encoder's half of a block: quantises, and keeps the residuals.
struct Quantise<'a> {
    shared: &'a Shared<'a>,
    part: &'a Part,
    prices: &'a Prices,
    /// Units per step where frames are normal.
    step: i32,
    target: &'a [i32],
    mask: Option<&'a [u8]>,
    /// Units per step, and how to divide by them if they are a power of two.
    own: (i32, Option<u32>),
    residuals: &'a mut Vec<i32>,
    /// What the block costs so far: 1/256 of a bit, or differences.
    cost: u64,
}

impl Points for Quantise<'_> {
    fn row(&mut self, start: usize, width: usize) {
        let at = self.part.in_chunk(start);
        let mapped = self.shared.mapped;
        self.target = &mapped.grid[at..];
        self.mask = mapped.mask.as_deref().map(|m| &m[at..]);
        let step = units(&mapped.kinds, self.shared.frames.area(), at..at + width, self.step);
        self.own = (step, (step.count_ones() == 1).then(|| step.trailing_zeros()));
    }

    #[inline(always)]
    fn point(&mut self, x: usize, predicted: i32) -> i32 {
        if self.mask.is_some_and(|m| m[x] != 0) {
            return predicted;
        }
        let missed = self.target[x].wrapping_sub(predicted);
        let (step, shift) = self.own;
        let raised = missed.wrapping_add(step / 2);
        let q = match shift {
            Some(shift) => raised >> shift,
            None => raised.div_euclid(step),
        };
        self.cost += u64::from(match self.shared.params.selection {
            Selection::Length => self.prices.of(q),
            Selection::Distance => missed.unsigned_abs(),
        });
        self.residuals.push(q);
        predicted.wrapping_add(q.wrapping_mul(step))
    }
}

impl Work<'_> {
    /// Codes a part.
    fn part<N: Number>(&self, part: &Part, whole: &Blocks, mut memory: Vec<&mut [u8]>) -> CodedPart {
        let shared = self.shared;
        let blocks = &part.blocks;
        let mut values = Buffer::arbitrary(part.points);
        let mut out = CodedPart {
            modes: vec![],
            means: vec![],
            planes: vec![],
            symbols: Vec::with_capacity(part.points),
            escapes: vec![],
            patches: vec![],
        };
        let mut prices = Prices::new();
        let limits = (self.scale.low, self.scale.high);
        // The residuals of the best way, and of the one that is tried.
        let (mut kept, mut tried) = (vec![], vec![]);
        for block in 0..blocks.count() {
            let outputs = self.brought.map(|b| (b.block(part.global(block, whole)), &b.latent.normal));
            let fitted = self.fit(part, block);
            let last = (out.means.last().copied().unwrap_or(0), out.planes.last().copied().unwrap_or([0; 4]));
            let mut best: Option<(f64, Mode)> = None;
            let mut written = None;
            // Lorenzo's predictor, which needs what it decodes, comes last and most often.
            for mode in [Mode::Network, Mode::Mean, Mode::Plane, Mode::Lorenzo] {
                let Some(prediction) = self.prediction(mode, &fitted, outputs) else { continue };
                tried.clear();
                let mut coder = self.coder(part, &prices, &mut tried);
                blockwise::code(blocks, block, prediction, limits, &mut values, &mut coder);
                written = Some(mode);
                let side = match mode {
                    Mode::Mean => number_bits(fitted[0][0].wrapping_sub(last.0)),
                    Mode::Plane => {
                        fitted[1].iter().zip(last.1).map(|(a, b)| number_bits(a.wrapping_sub(b))).sum()
                    }
                    Mode::Network => self.brought.map_or(0.0, |b| b.bits),
                    Mode::Lorenzo => 0.0,
                };
                let cost = match shared.params.selection {
                    Selection::Length => coder.cost as f64 / 256.0 + side,
                    Selection::Distance => coder.cost as f64,
                };
                if best.is_none_or(|b| cost < b.0) {
                    best = Some((cost, mode));
                    std::mem::swap(&mut kept, &mut tried);
                }
            }
            let Some((_, mode)) = best else { continue };
            if written != Some(mode) {
                if let Some(prediction) = self.prediction(mode, &fitted, outputs) {
                    tried.clear();
                    let mut coder = self.coder(part, &prices, &mut tried);
                    blockwise::code(blocks, block, prediction, limits, &mut values, &mut coder);
                }
            }
            match mode {
                Mode::Mean => out.means.push(fitted[0][0]),
                Mode::Plane => out.planes.push(fitted[1]),
                _ => {}
            }
            out.modes.push(mode);
            prices.learn(&kept);
            out.symbols.extend(kept.iter().map(|q| huffman::symbol(*q)));
            out.escapes.extend(kept.iter().filter(|q| huffman::symbol(**q) == ESCAPE));
        }
        for Line { local, chunk, len, segment, offset } in part.lines() {
            let to = &mut memory[segment][offset * N::SIZE..][..len * N::SIZE];
            let frame = chunk / shared.frames.area();
            shared.write::<N>(frame, chunk, &values[local..local + len], to, &mut out.patches);
        }
        out
    }

    fn coder<'a>(&'a self, part: &'a Part, prices: &'a Prices, residuals: &'a mut Vec<i32>) -> Quantise<'a> {
        let (step, own) = (self.scale.step, (1, Some(0)));
        Quantise { shared: self.shared, part, prices, step, target: &[], mask: None, own, residuals, cost: 0 }
    }

    /// The prediction of a block, if it can be predicted so.
    fn prediction<'a>(
        &self,
        mode: Mode,
        fitted: &[[i32; 4]; 2],
        outputs: Option<(&'a [i16], &'a Normalisation)>,
    ) -> Option<Prediction<'a>> {
        let plane = |[base, slopes @ ..]: [i32; 4]| {
            Some(Plane::of(&self.quanta, base, slopes)).filter(Plane::is_small).map(Prediction::Plane)
        };
        match mode {
            Mode::Mean => plane([fitted[0][0], 0, 0, 0]),
            Mode::Plane => plane(fitted[1]),
            Mode::Lorenzo => Some(Prediction::Lorenzo),
            Mode::Network => outputs.map(|(values, normal)| Prediction::Network(values, normal)),
        }
    }

    /// The mean of a block, and the plane through it by least squares: on a lattice each slope for itself.
    fn fit(&self, part: &Part, block: usize) -> [[i32; 4]; 2] {
        let blocks = &part.blocks;
        let [_, height, width] = blocks.shape.size();
        let own: Vec<_> = blocks.rows(block).filter(|r| r.own).collect();
        let rows = own.iter().map(|r| [r.at / (height * width), r.at / width % height]);
        let most = |axis: usize| rows.clone().map(|p| p[axis]).max().unwrap_or(0);
        let extent = [most(0) + 1, most(1) + 1, own.first().map_or(1, |r| r.width)];
        let middle = extent.map(|n| 0.5 * (n - 1) as f64);
        let (mut sum, mut moments) = (0.0, [0.0; 3]);
        for (row, place) in own.iter().zip(rows.clone()) {
            let values = &self.shared.mapped.grid[part.in_chunk(row.start)..][..row.width];
            let (mut along, mut all) = (0.0, 0.0);
            for (x, v) in values.iter().enumerate() {
                all += f64::from(*v);
                along += (x as f64 - middle[2]) * f64::from(*v);
            }
            sum += all;
            moments[0] += (place[0] as f64 - middle[0]) * all;
            moments[1] += (place[1] as f64 - middle[1]) * all;
            moments[2] += along;
        }
        let points: f64 = extent.iter().map(|n| *n as f64).product();
        let mean = sum / points;
        let limited = |v: f64| v.round().clamp(-1e9, 1e9) as i32;
        let mut plane = [0; 4];
        let mut base = mean;
        for axis in 0..3 {
            let n = extent[axis] as f64;
            if n > 1.0 {
                // Sum of squares of the distances from the middle: that of one line, for all lines.
                let squares = n * (n * n - 1.0) / 12.0 * points / n;
                let slope = 256.0 * moments[axis] / squares;
                plane[axis + 1] = limited(slope / self.quanta.slopes[axis] as f64);
                base -= f64::from(plane[axis + 1]) * self.quanta.slopes[axis] as f64 / 256.0 * middle[axis];
            }
        }
        plane[0] = limited(base / self.quanta.value as f64);
        [[limited(mean / self.quanta.value as f64), 0, 0, 0], plane]
    }
}

/// Bits of a number, about.
fn number_bits(v: i32) -> f64 {
    1.0 + 2.0 * f64::from(32 - v.unsigned_abs().leading_zeros())
}

/// The decoder's half of a block.
struct Decode<'a> {
    symbols: Symbols<'a>,
    escapes: std::slice::Iter<'a, i32>,
    /// Escapes that there are none of.
    missing: usize,
    part: &'a Part,
    side: &'a Side,
    area: usize,
    step: i32,
    mask: Option<&'a [u8]>,
}

impl Points for Decode<'_> {
    fn row(&mut self, start: usize, width: usize) {
        let at = self.part.in_chunk(start);
        self.mask = self.side.mask.as_deref().map(|m| &m[at..]);
        self.step = units(&self.side.kinds, self.area, at..at + width, self.side.scale.step);
    }

    #[inline(always)]
    fn point(&mut self, x: usize, predicted: i32) -> i32 {
        if self.mask.is_some_and(|m| m[x] != 0) {
            return predicted;
        }
        let q = match self.symbols.next_symbol() {
            ESCAPE => self.escapes.next().copied().unwrap_or_else(|| {
                self.missing += 1;
                0
            }),
            symbol => unzigzag(symbol.into()),
        };
        predicted.wrapping_add(q.wrapping_mul(self.step))
    }
}

/// Decodes what follows the side information to `raw`.
pub fn decode<N: Number>(
    r: &mut Reader,
    side: &Side,
    blockwise: &Blockwise,
    frames: &Frames,
    (mapping, model): (Mapping, Option<&Arc<Model>>),
    threads: usize,
    raw: &mut [u8],
) -> Result<()> {
    let shape = blockwise.shape;
    if side.bands > part_count(shape, frames).max(1) {
        return Err(Error::corruption(format!(
            "the stream states {} parts, which its blocks do not make",
            side.bands
        )));
    }
    let code = Decoder::new(&Code::read(r)?);
    let parts = Part::all(shape, frames, side.bands);
    let outputs = match &blockwise.latent {
        Some(latent) => latent.reconstruct(model.map(|m| &**m), shape, threads)?,
        None => vec![],
    };
    let quanta = Quanta::new(shape.size(), side.scale.step);
    let planes: Vec<Plane> = blockwise
        .planes
        .iter()
        .map(|[base, slopes @ ..]| Plane::of(&quanta, *base, *slopes))
        .chain(blockwise.means.iter().map(|mean| Plane::of(&quanta, *mean, [0; 3])))
        .collect();
    if !planes.iter().all(Plane::is_small) {
        return Err(Error::corruption("a block's mean or slope is beyond the grid"));
    }
    let (planes, means) = planes.split_at(blockwise.planes.len());
    let memory = Part::memory(&parts, raw, frames, N::SIZE);
    let mut work = vec![];
    // What each part's blocks take of the lists.
    let (mut modes, mut means, mut planes) = (&blockwise.modes[..], means, planes);
    let mut outputs = &outputs[..];
    for (part, memory) in parts.iter().zip(memory) {
        let own;
        (own, modes) = modes.split_at(part.blocks.count().min(modes.len()));
        let count = |mode| own.iter().filter(|m| **m == mode).count();
        let (own_means, own_planes, own_outputs);
        (own_means, means) = means.split_at(count(Mode::Mean));
        (own_planes, planes) = planes.split_at(count(Mode::Plane));
        (own_outputs, outputs) = outputs.split_at(count(Mode::Network) * shape.points());
        let payload = r.bytes()?;
        let escapes = huffman::read_escapes(r, part.points)?;
        work.push((part, memory, own, own_means, own_planes, own_outputs, payload, escapes));
    }
    let limits = (side.scale.low, side.scale.high);
    let normal = blockwise.latent.as_ref().map(|l| l.normal);
    let done =
        parallel(work, threads, |(part, mut memory, modes, means, planes, outputs, payload, escapes)| {
            let mut values = Buffer::arbitrary(part.points);
            let mut points = Decode {
                symbols: code.symbols(payload, part.points)?,
                escapes: escapes.iter(),
                missing: 0,
                part,
                side,
                area: frames.area(),
                step: 1,
                mask: None,
            };
            let (mut means, mut planes) = (means.iter(), planes.iter());
            let mut outputs = outputs.chunks_exact(shape.points());
            for (block, mode) in modes.iter().enumerate() {
                let prediction = match mode {
                    Mode::Lorenzo => Some(Prediction::Lorenzo),
                    Mode::Mean => means.next().map(|p| Prediction::Plane(*p)),
                    Mode::Plane => planes.next().map(|p| Prediction::Plane(*p)),
                    Mode::Network => {
                        outputs.next().zip(normal.as_ref()).map(|(o, n)| Prediction::Network(o, n))
                    }
                };
                // Each list has as many as there are blocks that need one.
                let Some(prediction) = prediction else { break };
                blockwise::code(&part.blocks, block, prediction, limits, &mut values, &mut points);
            }
            if points.missing > 0 || points.escapes.next().is_some() {
                return Err(Error::corruption("the list of large residuals has not one for each escape"));
            }
            points.symbols.finish()?;
            for Line { local, chunk, len, segment, offset } in part.lines() {
                let half = side.kinds[chunk / frames.area()] == FrameKind::Provisional;
                let negative = side.negative.as_deref().map(|n| &n[chunk..chunk + len]);
                let to = &mut memory[segment][offset * N::SIZE..][..len * N::SIZE];
                mapping.write_values::<N>(&values[local..local + len], side.offset, half, negative, to);
            }
            Ok(())
        });
    done.into_iter().collect()
}
