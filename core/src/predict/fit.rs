//! Least-squares weights for a chunk, on a sample of its points.
//!
//! Predictions are made from decoded values, so each tap carries quantisation noise; the noise enters the
//! normal equations as its variance (ridge regression in terms of the effective weights). Among the tyings and
//! precisions of the weights the one of the shortest description is taken: bits for the residuals plus bits
//! for the weights.

use super::cost::Cost;
use super::kernel::{for_this_machine, InstructionSet};
use super::plane::{phase_size, Phases};
use super::taps::{base_taps, taps, Gather, Kind, Site, Tap, MAX_TAPS, PASSES};
use super::weights::{Sent, Tying, MAX_PRECISION};
use super::Scale;
use crate::chunk::Frames;
use crate::reference::{Step, CLASSES};
use arrayvec::ArrayVec;
use std::collections::HashMap;

/// Weight classes per class of references: three kinds at three groups of spacings, and the roots.
pub const SLOTS: usize = 10;
/// Slot of the roots.
pub const ROOT_SLOT: usize = 9;

/// Slot of a pass over the lattice of the given level (spacing 2^level).
pub fn slot(kind: Kind, level: usize) -> usize {
    match kind {
        Kind::Centre => 3 * level.min(2),
        Kind::Vertical => 3 * level.min(2) + 1,
        Kind::Horizontal => 3 * level.min(2) + 2,
        Kind::Root => ROOT_SLOT,
    }
}

/// Kind of the points of a slot.
pub fn slot_kind(slot: usize) -> Kind {
    if slot == ROOT_SLOT {
        Kind::Root
    } else {
        PASSES[slot % 3]
    }
}

/// Index of a weight class.
pub fn class_index(class: usize, slot: usize) -> usize {
    class * SLOTS + slot
}

/// Levels of a frame: its coarsest lattice has a spacing of 2^levels.
pub fn levels(height: usize, width: usize) -> usize {
    (height.max(width).ilog2() as usize).saturating_sub(1).clamp(1, 5)
}

/// Number of references of each class in this coding order; `None` for classes that do not occur.
pub fn class_references(plan: &[Step]) -> [Option<usize>; CLASSES] {
    let mut out = [None; CLASSES];
    for s in plan {
        out[s.class] = Some(s.references.len());
    }
    out
}

/// The weight classes that a coding order uses, in the order in which they are sent: (class, slot, references).
pub fn sent_classes(plan: &[Step]) -> Vec<(usize, usize, usize)> {
    let mut out = vec![];
    for (class, references) in class_references(plan).into_iter().enumerate() {
        let Some(n) = references else { continue };
        for slot in 0..SLOTS {
            if slot != ROOT_SLOT || n > 0 {
                out.push((class, slot, n));
            }
        }
    }
    out
}

/// Phases of the lattice of every `spacing`-th point of a frame.
pub fn phases_of(frame: &[i32], width: usize, spacing: usize) -> Phases<i32> {
    let height = frame.len() / width;
    let lattice = (height.div_ceil(spacing), width.div_ceil(spacing));
    let mut out: Phases<i32> = Default::default();
    for (p, plane) in out.iter_mut().enumerate() {
        let (h, w) = phase_size(lattice, p);
        plane.reset(h, w);
        for i in 0..h {
            let row = &frame[(2 * i + (p >> 1)) * spacing * width..][..width];
            if w > 0 {
                let from = &row[(p & 1) * spacing..];
                for (v, r) in plane.row_mut(i).iter_mut().zip(from.iter().step_by(2 * spacing)) {
                    *v = *r;
                }
            }
        }
        plane.fill_halo(lattice, (p >> 1, p & 1));
    }
    out
}

/// Points of a sampled run.
const RUN: usize = 64;
/// Points whose products are taken at a time.
const BLOCK: usize = 256;
/// Partial sums of a product, so that it adds up in an order that suits every instruction set.
const PARTS: usize = 8;
/// Rows that are multiplied with another one at a time, so that it is read less often.
const TILE: usize = 4;

for_this_machine! {
    /// Adds the products of all pairs of the `m` rows of BLOCK values to the upper triangle of `sums`. The number of
    /// rows that are there is a multiple of TILE.
    pub fn products(rows: &[f64], m: usize, sums: &mut [f64]) {
        for i in (0..m).step_by(TILE) {
            let a: [&[f64]; TILE] = std::array::from_fn(|t| &rows[(i + t) * BLOCK..(i + t + 1) * BLOCK]);
            for j in i..m {
                let b = &rows[j * BLOCK..(j + 1) * BLOCK];
                let mut parts = [[0f64; PARTS]; TILE];
                for k in (0..BLOCK).step_by(PARTS) {
                    let b: &[f64] = &b[k..k + PARTS];
                    for t in 0..TILE {
                        let a = &a[t][k..k + PARTS];
                        for l in 0..PARTS {
                            parts[t][l] += a[l] * b[l];
                        }
                    }
                }
                for (t, p) in parts.iter().enumerate() {
                    if i + t <= j {
                        sums[(i + t) * m + j] += ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]));
                    }
                }
            }
        }
    }
}

/// Sums of products of the taps' deviations from the base and of the target's.
struct Gram {
    n: usize,
    sums: Vec<f64>,
    samples: f64,
    /// Deviations whose products are not taken yet: a row of BLOCK for each tap and the target.
    waiting: Vec<f64>,
    count: usize,
}

impl Gram {
    fn new(n: usize) -> Self {
        let rows = (n + 1).next_multiple_of(TILE);
        Self {
            n,
            sums: vec![0.0; (n + 1) * (n + 1)],
            samples: 0.0,
            waiting: vec![0.0; rows * BLOCK],
            count: 0,
        }
    }

    /// Adds the points of a sample.
    fn add(&mut self, sample: &Sample, base: usize) {
        let run = sample.target.len();
        if self.count + run > BLOCK {
            self.flush();
        }
        let mut mean = [0f64; RUN];
        for row in &sample.rows[..base] {
            for (a, v) in mean.iter_mut().zip(&row[..run]) {
                *a += f64::from(*v);
            }
        }
        mean.iter_mut().for_each(|a| *a /= base as f64);
        let rows = sample.rows.iter().copied().chain([&sample.target[..]]);
        for (d, row) in self.waiting.chunks_exact_mut(BLOCK).zip(rows) {
            for ((d, v), a) in d[self.count..].iter_mut().zip(&row[..run]).zip(&mean) {
                *d = f64::from(*v) - a;
            }
        }
        for j in 0..run {
            if (sample.skip)(j) {
                self.waiting.iter_mut().skip(self.count + j).step_by(BLOCK).for_each(|d| *d = 0.0);
            } else {
                self.samples += 1.0;
            }
        }
        self.count += run;
    }

    /// Takes the products of what waits.
    fn flush(&mut self) {
        if self.count > 0 {
            for row in self.waiting.chunks_exact_mut(BLOCK) {
                row[self.count..].fill(0.0);
            }
            products(&self.waiting, self.n + 1, &mut self.sums);
            self.count = 0;
        }
    }

    fn at(&self, i: usize, j: usize) -> f64 {
        self.sums[i.min(j) * (self.n + 1) + i.max(j)]
    }

    /// Mean squared error with the weights `w` (of the deviations) on taps with noise of this variance.
    fn error(&self, w: &[f64], base: usize, noise: f64) -> f64 {
        let n = self.n;
        let mut e = self.at(n, n);
        for i in 0..n {
            if w[i] != 0.0 {
                let mut g = -2.0 * self.at(i, n);
                for (j, wj) in w.iter().enumerate() {
                    g += wj * self.at(i, j);
                }
                e += w[i] * g;
            }
        }
        let rest = (1.0 - w.iter().sum::<f64>()) / base as f64;
        let square: f64 =
            w.iter().enumerate().map(|(i, v)| if i < base { v + rest } else { *v }).map(|v| v * v).sum();
        e.max(0.0) / self.samples.max(1.0) + noise * square
    }

    /// Weights per group that minimise the error.
    fn solve(&self, groups: &[Option<usize>], count: usize, base: usize, noise: f64) -> Option<Vec<f64>> {
        let n = self.n;
        let total = noise * self.samples;
        let b = 1.0 / base as f64;
        let is_base = |i: usize| if i < base { b } else { 0.0 };
        let mut a = vec![0.0; count * count];
        let mut v = vec![0.0; count];
        for (i, gi) in groups.iter().enumerate() {
            let Some(gi) = *gi else { continue };
            v[gi] += self.at(i, n) - total * (is_base(i) - b);
            for (j, gj) in groups.iter().enumerate() {
                let Some(gj) = *gj else { continue };
                let same = if i == j { 1.0 } else { 0.0 };
                a[gi * count + gj] += self.at(i, j) + total * (same - is_base(i) - is_base(j) + b);
            }
        }
        let trace: f64 = (0..count).map(|i| a[i * count + i]).sum();
        for i in 0..count {
            a[i * count + i] += 1e-9 * trace / count as f64 + 1e-6;
        }
        cholesky_solve(&mut a, &mut v, count).then_some(v)
    }
}

for_this_machine! {
    /// Replaces the lower triangle of a matrix of n rows by its Cholesky factor; `positive` says whether it has one.
    pub fn cholesky(a: &mut [f64], n: usize, positive: &mut bool) {
        let mut column = vec![0.0; n];
        for j in 0..n {
            let pivot = a[j * n + j];
            if pivot <= 0.0 || !pivot.is_finite() {
                *positive = false;
                return;
            }
            let root = pivot.sqrt();
            for i in j..n {
                column[i] = a[i * n + j] / root;
                a[i * n + j] = column[i];
            }
            for i in j + 1..n {
                let factor = column[i];
                for (x, c) in a[i * n + j + 1..=i * n + i].iter_mut().zip(&column[j + 1..=i]) {
                    *x -= factor * c;
                }
            }
        }
        *positive = true;
    }
}

/// Solves a x = v in place for a positive definite matrix of n rows; false when it is not.
fn cholesky_solve(a: &mut [f64], v: &mut [f64], n: usize) -> bool {
    let mut positive = false;
    cholesky(a, n, &mut positive);
    if !positive {
        return false;
    }
    for i in 0..n {
        for k in 0..i {
            v[i] -= a[i * n + k] * v[k];
        }
        v[i] /= a[i * n + i];
    }
    for i in (0..n).rev() {
        for k in i + 1..n {
            v[i] -= a[k * n + i] * v[k];
        }
        v[i] /= a[i * n + i];
    }
    v.iter().all(|x| x.is_finite())
}

/// Estimated bits per point of residuals with this mean square, in quantisation steps: the entropy of a normal
/// variable where it is wide, falling to 0 where it is narrow.
fn bits_per_point(mean_square: f64) -> f64 {
    0.5 * (1.0 + 17.0 * mean_square).log2()
}

/// How hard to look for good weights.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Points to sample per pass and class of references; half of that on the second lattice, and so on.
    pub samples: usize,
    /// At least one point in so many of a sampled frame is left out.
    pub every: usize,
    /// Frames sampled per class.
    pub frames: usize,
    /// Tyings to try.
    pub tyings: &'static [Tying],
}

/// Points of a chunk for each that is sampled per pass and class.
const POINTS_PER_SAMPLE: usize = 80;
/// Fewest points to sample per pass and class.
const MIN_SAMPLES: usize = 1000;

impl Effort {
    /// A quarter of the samples.
    pub fn quick(&self) -> Self {
        Self { samples: self.samples / 4, frames: self.frames.div_ceil(2), ..*self }
    }
}

/// Everything `balanced` tries.
pub const BALANCED: Effort = Effort {
    samples: 5000,
    every: 2,
    frames: 6,
    tyings: &[Tying::RadialNear, Tying::AxialNear, Tying::FreeNear, Tying::Radial, Tying::Axial, Tying::Free],
};

/// Few taps: less to fit and less to add up.
pub const FAST: Effort =
    Effort { samples: 1200, every: 4, frames: 3, tyings: &[Tying::RadialNear, Tying::AxialNear] };

/// The chunk on the grid, as the fit sees it.
pub struct Samples<'a> {
    /// Grid values of all frames.
    pub grid: &'a [i32],
    /// Which points are special (not 0), if any.
    pub mask: Option<&'a [u8]>,
    /// Extents.
    pub frames: Frames,
}

/// Fits the weights of every class of the coding order; returns them in sending order with the estimated bits of
/// the whole chunk.
pub fn fit(samples: &Samples, plan: &[Step], scale: &Scale, effort: &Effort) -> (Vec<Sent>, f64) {
    let frames = &samples.frames;
    let (area, width) = (frames.area(), frames.width);
    let top = levels(frames.height, width);
    // Small chunks are worth less time.
    let enough = (frames.count() * area / POINTS_PER_SAMPLE).max(MIN_SAMPLES);
    let effort = &Effort { samples: effort.samples.min(enough), ..*effort };
    let mut finest: HashMap<usize, Phases<i32>> = HashMap::new();
    let mut grams: HashMap<usize, Gram> = HashMap::new();
    let mut points: HashMap<usize, f64> = HashMap::new();
    for (class, references) in class_references(plan).into_iter().enumerate() {
        let Some(references) = references else { continue };
        let members: Vec<&Step> = plan.iter().filter(|s| s.class == class).collect();
        // Levels differ more than times.
        let picked = members.len().min(if frames.levels > 1 { 2 * effort.frames } else { effort.frames });
        for k in 0..picked {
            let step = members[(2 * k + 1) * members.len() / (2 * picked)];
            for &f in &step.references {
                finest.entry(f).or_insert_with(|| phases_of(&samples.grid[f * area..][..area], width, 1));
            }
            let known: Vec<&Phases<i32>> = step.references.iter().map(|f| &finest[f]).collect();
            sample_frame(samples, step, &known, top, effort, picked, &mut |sample| {
                let gram = grams
                    .entry(class_index(step.class, sample.slot))
                    .or_insert_with(|| Gram::new(sample.rows.len()));
                gram.add(&sample, base_taps(sample.kind));
            });
        }
        for slot in 0..SLOTS {
            points.insert(class_index(class, slot), members.len() as f64 * slot_points(frames, top, slot));
        }
        let _ = references;
    }
    grams.values_mut().for_each(Gram::flush);
    // Values coded in steps of one unit are decoded as they are.
    let noise = if scale.step > 1 { f64::from(scale.step).powi(2) / 12.0 * 0.7 } else { 0.0 };
    let mut side = 0.0;
    let mut chosen: HashMap<usize, Vec<f64>> = HashMap::new();
    let mut sent = vec![];
    let mut last: HashMap<(Kind2, usize), Sent> = HashMap::new();
    for (class, slot, references) in sent_classes(plan) {
        let kind = slot_kind(slot);
        let index = class_index(class, slot);
        let tap_list = taps(kind, references);
        let empty = Gram::new(tap_list.len());
        let gram = grams.get(&index).unwrap_or(&empty);
        let key = (Kind2::of(kind), references);
        let best = choose(gram, kind, &tap_list, points[&index], scale, noise, effort, last.get(&key));
        side += f64::from(best.bits());
        let effective = if best.tying == Tying::Repeat { last.get(&key).unwrap_or(&best) } else { &best };
        let w = spread(&effective.tying.groups(&tap_list).0, &effective.values, effective.precision);
        chosen.insert(index, effective_weights(&w, base_taps(kind)));
        if !matches!(best.tying, Tying::Default | Tying::Repeat) {
            last.insert(key, best.clone());
        }
        sent.push(best);
    }
    // The chosen weights on the sample again: bits of the residuals, whatever their distribution.
    let mut costs: HashMap<usize, Cost> = HashMap::new();
    let again: Vec<&Step> =
        plan.iter().filter(|s| s.references.iter().all(|f| finest.contains_key(f))).collect();
    for step in &again {
        let picked = 2 * again.iter().filter(|s| s.class == step.class).count();
        let known: Vec<&Phases<i32>> = step.references.iter().map(|f| &finest[f]).collect();
        sample_frame(samples, step, &known, top, effort, picked, &mut |sample| {
            let index = class_index(step.class, sample.slot);
            if let Some(w) = chosen.get(&index) {
                let cost = costs.entry(index).or_default();
                sample_cost(&sample, w, scale.step, noise, cost);
            }
        });
    }
    let total = costs.iter().map(|(i, c)| c.bits_per_residual() * points[i]).sum::<f64>();
    (sent, side + total)
}

/// Adds the residuals of a sample to `cost`.
fn sample_cost(sample: &Sample, w: &[f64], step: i32, noise: f64, cost: &mut Cost) {
    // Decoded taps carry noise that the sample's do not: spread it evenly with its variance.
    let reach = (12.0 * noise * w.iter().map(|v| v * v).sum::<f64>()).sqrt() / f64::from(step);
    cost.start_run();
    for (j, t) in sample.target.iter().enumerate() {
        if (sample.skip)(j) {
            continue;
        }
        let predicted: f64 = w.iter().zip(&sample.rows).map(|(w, r)| w * f64::from(r[j])).sum();
        let dither = ((cost.count() * 0.618_033_988_75).fract() - 0.5) * reach;
        cost.add(((f64::from(*t) - predicted) / f64::from(step) + dither).round() as i32);
    }
}

/// Weights of the taps themselves, from those of their deviations from the base.
fn effective_weights(w: &[f64], base: usize) -> Vec<f64> {
    let rest = (1.0 - w.iter().sum::<f64>()) / base as f64;
    w.iter().enumerate().map(|(i, v)| if i < base { v + rest } else { *v }).collect()
}

/// Kind of the points, as a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind2(usize, bool);

impl Kind2 {
    /// Key of a kind.
    pub fn of(kind: Kind) -> Self {
        Self(kind.phase(), kind == Kind::Root)
    }
}

/// Points of a frame that belong to a slot.
fn slot_points(frames: &Frames, top: usize, slot: usize) -> f64 {
    let lattice = |level: usize| (frames.height.div_ceil(1 << level), frames.width.div_ceil(1 << level));
    if slot == ROOT_SLOT {
        let (h, w) = lattice(top);
        return (h * w) as f64;
    }
    (0..top)
        .filter(|&l| l.min(2) == slot / 3)
        .map(|l| {
            let (h, w) = phase_size(lattice(l), PASSES[slot % 3].phase());
            (h * w) as f64
        })
        .sum()
}

/// A run of sampled points of one pass.
struct Sample<'a> {
    slot: usize,
    kind: Kind,
    /// The row of values of each tap.
    rows: ArrayVec<&'a [i32], MAX_TAPS>,
    target: Vec<i32>,
    /// Which points do not count.
    skip: &'a dyn Fn(usize) -> bool,
}

/// Calls `visit` for runs of about `count` points of every pass of one frame.
fn sample_frame(
    samples: &Samples,
    step: &Step,
    references: &[&Phases<i32>],
    top: usize,
    effort: &Effort,
    picked: usize,
    visit: &mut dyn FnMut(Sample),
) {
    let (area, width) = (samples.frames.area(), samples.frames.width);
    let frame = &samples.grid[step.frame * area..][..area];
    let mask = samples.mask.map(|m| &m[step.frame * area..][..area]);
    let mut gather = Gather::default();
    let passes = (0..top).flat_map(|l| PASSES.map(|k| (k, l))).chain([(Kind::Root, top)]);
    let mut lattice_level = usize::MAX;
    let mut lattice: Phases<i32> = Default::default();
    for (kind, level) in passes {
        if kind == Kind::Root && references.is_empty() {
            continue;
        }
        let spacing = 1usize << level;
        if lattice_level != level {
            lattice = phases_of(frame, width, spacing);
            lattice_level = level;
        }
        let (rows, columns) = if kind == Kind::Root {
            (samples.frames.height.div_ceil(spacing), width.div_ceil(spacing))
        } else {
            let target = &lattice[kind.phase()];
            (target.height, target.width)
        };
        if rows == 0 || columns == 0 {
            continue;
        }
        let tap_list: Vec<(Tap, ())> = taps(kind, references.len()).into_iter().map(|t| (t, ())).collect();
        let run = columns.min(RUN);
        // Coarse passes have few points; theirs are worth no more time than their share of the bits.
        let count = (rows * columns / effort.every).min((effort.samples >> level.min(2)) / picked).max(1);
        let wanted = count.div_ceil(run).min(rows * columns.div_ceil(run));
        for r in 0..wanted {
            // Runs spread evenly over the rows; a multiplicative step scatters them over the columns.
            let i = (2 * r + 1) * rows / (2 * wanted);
            let start = if columns > run { (r * 40503 + step.frame * 9176) % (columns - run + 1) } else { 0 };
            let site = Site::new(kind, spacing, i, columns).run(start, run);
            let found = gather.rows(&site, &tap_list, Some(&lattice), references);
            let at = |j: usize| site.y as usize * width + site.x as usize + j * site.stride as usize;
            visit(Sample {
                slot: slot(kind, level),
                kind,
                rows: found.into_iter().map(|(row, ())| row).collect(),
                target: (0..run).map(|j| frame[at(j)]).collect(),
                skip: &|j| mask.is_some_and(|m| m[at(j)] != 0),
            });
        }
    }
}

/// The weights of shortest description for one class.
#[allow(clippy::too_many_arguments)]
fn choose(
    gram: &Gram,
    kind: Kind,
    taps: &[Tap],
    points: f64,
    scale: &Scale,
    noise: f64,
    effort: &Effort,
    last: Option<&Sent>,
) -> Sent {
    let base = base_taps(kind);
    let square = f64::from(scale.step).powi(2);
    let bits = |error: f64| points * bits_per_point(error / square);
    let mut best = Sent::none(Tying::Default);
    let mut least = bits(gram.error(&vec![0.0; taps.len()], base, noise)) + 3.0;
    if gram.samples == 0.0 {
        return best;
    }
    if let Some(last) = last {
        let (groups, _) = last.tying.groups(taps);
        let w = spread(&groups, &last.values, last.precision);
        let b = bits(gram.error(&w, base, noise)) + 3.0;
        if b < least {
            least = b;
            best = Sent::none(Tying::Repeat);
        }
    }
    for &tying in effort.tyings {
        let (groups, count) = tying.groups(taps);
        let Some(w) = gram.solve(&groups, count, base, noise) else { continue };
        // What was fitted to the sample predicts other points less well: Akaike's final prediction error.
        let fitted = count as f64 / gram.samples;
        if fitted > 0.5 {
            continue;
        }
        let penalty = (1.0 + fitted) / (1.0 - fitted);
        let mut precision = MAX_PRECISION.min(scale.shift);
        while precision >= 4 {
            let unit = f64::from(1u32 << precision);
            let limit = f64::from(1 << 20);
            let values: Vec<i32> = w.iter().map(|v| (v * unit).round().clamp(-limit, limit) as i32).collect();
            let sent = Sent { tying, precision, values };
            let error = penalty * gram.error(&spread(&groups, &sent.values, precision), base, noise);
            let b = bits(error) + f64::from(sent.bits());
            if b < least {
                least = b;
                best = sent;
            }
            precision -= 2;
        }
    }
    best
}

/// Weight of each tap.
fn spread(groups: &[Option<usize>], values: &[i32], precision: u32) -> Vec<f64> {
    let unit = f64::from(1u32 << precision);
    groups.iter().map(|g| g.map_or(0.0, |g| f64::from(values[g]) / unit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{coding_order, TimeOrder};

    #[test]
    fn moving_wave_is_predicted_from_the_frame_before() {
        let frames = Frames { steps: 6, levels: 1, height: 64, width: 64 };
        let grid: Vec<i32> = (0..6 * 64 * 64)
            .map(|i| {
                let (t, y, x) = ((i / 4096) as f64, (i / 64 % 64) as f64, (i % 64) as f64);
                (3000.0 * ((x - 1.5 * t) / 5.0).sin() * (y / 7.0).cos()) as i32
            })
            .collect();
        let scale = Scale { step: 64, shift: 12, low: -4000, high: 4000 };
        let samples = Samples { grid: &grid, mask: None, frames };
        let (_, with) = fit(&samples, &coding_order(TimeOrder::Previous, &frames), &scale, &BALANCED);
        let (_, without) = fit(&samples, &coding_order(TimeOrder::Independent, &frames), &scale, &BALANCED);
        assert!(with < without, "{with} bits with references, {without} without");
    }

    #[test]
    fn equations_are_solved() {
        let mut a = vec![4.0, 1.0, 1.0, 3.0];
        let mut v = vec![1.0, 2.0];
        assert!(cholesky_solve(&mut a, &mut v, 2));
        assert!((v[0] - 1.0 / 11.0).abs() < 1e-12 && (v[1] - 7.0 / 11.0).abs() < 1e-12);
    }
}
