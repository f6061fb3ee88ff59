//! The encoder's half: each block in every way that there is, the best kept.

use super::parts::{part_count, Line, Part};
use super::prices::Prices;
use super::{units, Blockwise};
use crate::checksum::checksum_on;
use crate::entropy::huffman::{self, Code, Counts, ESCAPE};
use crate::error::Result;
use crate::number::Number;
use crate::params::Selection;
use crate::predict::blockwise::{self, Mode, Plane, Points, Prediction, Quanta};
use crate::predict::Scale;
use crate::predicted::choose::{scale, Choice};
use crate::predicted::encode::{Encoded, Shared};
use crate::predicted::latent;
use crate::predicted::side::{FrameKind, Predictor};
use crate::reference::autoencoder::{Normalisation, Reconstruction};
use crate::reference::blocks::Blocks;
use crate::reference::latents::Latent;
use crate::scratch::Buffer;
use crate::stream::parts::Writer;
use crate::threads::parallel;

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
    // The checksum of what was decoded is one more piece of work, which is shared by those who are done with theirs.
    let mut streams = parallel((0..=coded.len()).collect(), params.threads, |i| match coded.get(i) {
        None => (vec![], checksum_on(&decoded, params.threads)),
        Some(c) => (encoder.encode(&c.symbols), 0),
    });
    let decoded_sum = streams.pop().map_or(0, |s| s.1);
    for (coded, (stream, _)) in coded.iter().zip(streams) {
        w.bytes(&stream);
        huffman::write_escapes(&mut w, &coded.escapes);
    }
    let keeps = mapped.kinds.contains(&FrameKind::Fine);
    Ok(Encoded { payload: w.out, error, mapping: grid.mapping, decoded, decoded_sum, keeps, model })
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
