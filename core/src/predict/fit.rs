//! Least-squares weights for a chunk, on a sample of its points.
//!
//! Predictions are made from decoded values, so each tap carries quantisation noise; the noise enters the
//! normal equations as its variance (ridge regression in terms of the effective weights). Among the tyings and
//! precisions of the weights the one of the shortest description is taken: bits for the residuals plus bits
//! for the weights.

use super::cost::Cost;
use super::kernel::weighted_sum;
use super::gram::{Gram, Sample, RUN};
use super::plane::{levels, phase_size, Pyramid};
use super::taps::{base_taps, tap_rows, taps, Kind, Source, Tap, PASSES};
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
    /// Squared distance of the farthest taps to try; of further references one less.
    pub reach: i32,
    /// Lattices to fit, the finest first; the others get no weights.
    pub levels: usize,
}

/// Points of a chunk for each that is sampled per pass and class.
const POINTS_PER_SAMPLE: usize = 80;
/// Points of a sampled segment: neighbours lie side by side in memory, but tell little that is new.
const SEGMENT: usize = 16;
/// Fewest points to sample per pass and class.
const MIN_SAMPLES: usize = 1000;

impl Effort {
    /// What tells which of two coding orders is better.
    pub fn quick(&self) -> Self {
        Self {
            samples: self.samples / 4,
            frames: self.frames.div_ceil(2),
            tyings: &[Tying::Axial],
            levels: 9,
            ..*self
        }
    }
}

/// Everything `balanced` tries.
pub const BALANCED: Effort =
    Effort { samples: 5000, every: 2, frames: 6, tyings: &[Tying::Radial, Tying::Axial, Tying::Free], reach: 100, levels: 9 };

/// Few taps: less to fit and less to add up.
pub const FAST: Effort =
    Effort { samples: 1200, every: 4, frames: 3, tyings: &[Tying::Radial, Tying::Axial], reach: 2, levels: 9 };

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
    let mut pyramids: HashMap<usize, Pyramid<i32>> = HashMap::new();
    let mut candidates: HashMap<(usize, usize), Candidates> = HashMap::new();
    for (_, slot, references) in sent_classes(plan) {
        let kind = slot_kind(slot);
        candidates.entry((kind.phase(), references)).or_insert_with(|| Candidates::new(kind, references, effort));
    }
    let mut grams: HashMap<usize, Gram> = HashMap::new();
    let mut points: HashMap<usize, f64> = HashMap::new();
    for (class, references) in class_references(plan).into_iter().enumerate() {
        if references.is_none() {
            continue;
        }
        let members: Vec<&Step> = plan.iter().filter(|s| s.class == class).collect();
        // Levels differ more than times.
        let picked = members.len().min(if frames.levels > 1 { 2 * effort.frames } else { effort.frames });
        for k in 0..picked {
            let step = members[(2 * k + 1) * members.len() / (2 * picked)];
            for &f in step.references.iter().chain([&step.frame]) {
                pyramids.entry(f).or_insert_with(|| {
                    let mut pyramid = Pyramid::default();
                    pyramid.fill(&samples.grid[f * area..][..area], width);
                    pyramid
                });
            }
            let pick = |slot: usize| &candidates[&(slot_kind(slot).phase(), step.references.len())].near[..];
            sample_frame(samples, step, &pyramids, effort, picked, &pick, &mut |slot, sample| {
                let base = base_taps(slot_kind(slot));
                let gram = grams
                    .entry(class_index(step.class, slot))
                    .or_insert_with(|| Gram::new(sample.rows.len(), base, scale.step));
                gram.add(&sample);
            });
        }
        for slot in 0..SLOTS {
            points.insert(class_index(class, slot), members.len() as f64 * slot_points(frames, top, slot));
        }
    }
    grams.values_mut().for_each(Gram::flush);
    // Values coded in steps of one unit are decoded as they are.
    let noise = if scale.step > 1 { 0.7 / 12.0 } else { 0.0 };
    let mut side = 0.0;
    let mut chosen: HashMap<usize, Vec<(Tap, i32)>> = HashMap::new();
    let mut sent = vec![];
    let mut last: HashMap<(usize, usize), Sent> = HashMap::new();
    for (class, slot, references) in sent_classes(plan) {
        let kind = slot_kind(slot);
        let index = class_index(class, slot);
        let own = &candidates[&(kind.phase(), references)];
        let empty = Gram::new(own.near.len(), base_taps(kind), scale.step);
        let gram = grams.get(&index).unwrap_or(&empty);
        // The phases of the four kinds differ.
        let key = (kind.phase(), references);
        let best = choose(gram, own, points[&index], scale, noise, last.get(&key));
        side += f64::from(best.bits());
        let effective = if best.tying == Tying::Repeat { last.get(&key).unwrap_or(&best) } else { &best };
        chosen.insert(index, effective.expand(kind, &own.all, scale.shift));
        if !matches!(best.tying, Tying::Default | Tying::Repeat) {
            last.insert(key, best.clone());
        }
        sent.push(best);
    }
    // The chosen weights on the sample again: bits of the residuals, whatever their distribution.
    let mut costs: HashMap<(usize, usize), Cost> = HashMap::new();
    let effort = &Effort { samples: effort.samples / 2, ..*effort };
    let again: Vec<&Step> =
        plan.iter().filter(|s| s.references.iter().chain([&s.frame]).all(|f| pyramids.contains_key(f))).collect();
    for step in &again {
        let picked = 2 * again.iter().filter(|s| s.class == step.class).count();
        let pick = |slot: usize| &chosen[&class_index(step.class, slot)][..];
        sample_frame(samples, step, &pyramids, effort, picked, &pick, &mut |slot, sample| {
            let cost = costs.entry((step.class, slot)).or_default();
            sample_cost(&sample, scale, noise, cost);
        });
    }
    let total: f64 = costs
        .iter()
        .map(|((class, slot), cost)| {
            cost.bits_per_residual() * points[&class_index(*class, *slot)]
        })
        .sum();
    (sent, side + total)
}

/// Taps that have the same value as the point where the field is constant.
const CONSTANT: usize = 6;

/// Adds the residuals of a sample to `cost`.
fn sample_cost(sample: &Sample<i32>, scale: &Scale, noise: f64, cost: &mut Cost) {
    // Decoded taps carry noise that the sample's do not: spread it evenly with its variance.
    let one = f64::from(1 << scale.shift);
    let square: f64 = sample.rows.iter().map(|(_, w)| (f64::from(*w) / one).powi(2)).sum();
    let reach = (12.0 * noise * square).sqrt();
    let mut predicted = [0; RUN];
    let predicted = &mut predicted[..sample.target.len()];
    weighted_sum(&sample.rows, scale.shift, scale.low, scale.high, predicted);
    let step = f64::from(scale.step);
    for (j, (t, p)) in sample.target.iter().zip(predicted).enumerate() {
        if sample.skip.is_some_and(|s| s[j] != 0) {
            continue;
        }
        let constant = sample.rows.iter().take(CONSTANT).all(|(r, _)| r[j] == *t);
        let dither = if constant { 0.0 } else { ((j as f64 * 0.618_033_988_75).fract() - 0.5) * reach };
        cost.add((f64::from(*t - *p) / step + dither).round() as i32);
    }
    cost.start_run();
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

/// Calls `visit` for runs of about `count` points of every pass of one frame.
fn sample_frame<'t, C: Copy + 't>(
    samples: &Samples,
    step: &Step,
    pyramids: &HashMap<usize, Pyramid<i32>>,
    effort: &Effort,
    picked: usize,
    pick: &dyn Fn(usize) -> &'t [(Tap, C)],
    visit: &mut dyn FnMut(usize, Sample<C>),
) {
    let (area, width) = (samples.frames.area(), samples.frames.width);
    let mask = samples.mask.map(|m| &m[step.frame * area..][..area]);
    let own = &pyramids[&step.frame];
    let references: Vec<&Pyramid<i32>> = step.references.iter().map(|f| &pyramids[f]).collect();
    let top = own.levels.len() - 1;
    let mut values = vec![];
    let passes = (0..=top).flat_map(|l| PASSES.map(|k| (k, l))).chain([(Kind::Root, top)]);
    for (kind, level) in passes {
        if level >= effort.levels || kind == Kind::Root && references.is_empty() {
            continue;
        }
        let target = &own.levels[level][kind.phase()];
        let (rows, columns, stride) = (target.height, target.width, target.stride());
        if rows == 0 || columns == 0 {
            continue;
        }
        let slot = if kind == Kind::Root { ROOT_SLOT } else { slot(kind, level) };
        let found = tap_rows(kind, level, pick(slot), Some(&own.levels[level]), &references);
        let length = columns.min(SEGMENT);
        // Coarse passes have few points; theirs are worth no more time than their share of the bits.
        let count = (rows * columns / effort.every).min((effort.samples >> level.min(2)) / picked).max(1);
        let wanted = count.div_ceil(length).min(rows * columns.div_ceil(length));
        let (a, b) = kind.parity();
        // Segments spread evenly over the rows, by the golden ratio over the columns.
        let place = |k: usize| {
            let scattered = (k as f64 * 0.618_033_988_75 + step.frame as f64 * 0.377).fract();
            ((2 * k + 1) * rows / (2 * wanted), (scattered * (columns - length + 1) as f64) as usize)
        };
        for first in (0..wanted).step_by(RUN / SEGMENT) {
            let places = (first..wanted.min(first + RUN / SEGMENT)).map(place);
            let places: ArrayVec<(usize, usize), { RUN / SEGMENT }> = places.collect();
            let n = places.len() * length;
            values.clear();
            for row in found.iter().map(|(row, _)| *row).chain([target.from(0, 0)]) {
                for (i, j) in &places {
                    values.extend_from_slice(&row[i * stride + j..][..length]);
                }
            }
            let (taken, own_values) = values.split_at(found.len() * n);
            let special = |k: usize| {
                let (i, j) = places[k / length];
                let (y, x) = (2 * i + a, 2 * (j + k % length) + b);
                mask.map_or(0, |m| m[(y << level) * width + (x << level)])
            };
            let sample = Sample {
                rows: taken.chunks_exact(n).zip(&found).map(|(row, (_, c))| (row, *c)).collect(),
                target: own_values,
                skip: mask.map(|_| std::array::from_fn(|k| if k < n { special(k) } else { 1 })),
            };
            visit(slot, sample);
        }
    }
}

/// The taps of a kind that are worth a try, and how they may share weights.
struct Candidates {
    near: Vec<(Tap, ())>,
    all: Vec<Tap>,
    /// For each tying the number of the weight of each near tap, and which of the tying's weights these are.
    tyings: Vec<(Tying, Vec<usize>, Vec<usize>)>,
}

impl Candidates {
    fn new(kind: Kind, references: usize, effort: &Effort) -> Self {
        let all = taps(kind, references);
        let is_near = |t: &Tap| {
            let far = matches!(t.source, Source::Reference(1..));
            t.dy * t.dy + t.dx * t.dx <= effort.reach - i32::from(far)
        };
        let tyings = effort.tyings.iter().map(|&tying| {
            let (groups, _) = tying.groups(&all);
            let near: Vec<usize> = all.iter().zip(&groups).filter(|(t, _)| is_near(t)).map(|(_, g)| *g).collect();
            let mut used = near.clone();
            used.sort_unstable();
            used.dedup();
            (tying, near.iter().map(|g| used.partition_point(|u| u < g)).collect(), used)
        });
        let tyings = tyings.collect();
        Self { near: all.iter().filter(|t| is_near(t)).map(|t| (*t, ())).collect(), all, tyings }
    }
}

/// Bits of a weight, roughly.
const BITS_PER_WEIGHT: f64 = 7.0;

/// The weights of shortest description for one class.
#[allow(clippy::too_many_arguments)]
fn choose(
    gram: &Gram,
    candidates: &Candidates,
    points: f64,
    scale: &Scale,
    noise: f64,
    last: Option<&Sent>,
) -> Sent {
    let bits = |error: f64| points * bits_per_point(error);
    let mut best = Sent::none(Tying::Default);
    if gram.samples == 0.0 {
        return best;
    }
    // What was fitted to the sample predicts other points less well: Akaike's final prediction error.
    let penalty = |k: usize| {
        let fitted = (k as f64 / gram.samples).min(0.9);
        (1.0 + fitted) / (1.0 - fitted)
    };
    let mut least = f64::INFINITY;
    let mut tried = vec![];
    for (tying, groups, used) in &candidates.tyings {
        let equations = gram.equations(groups, used.len(), noise);
        let factor = equations.factor();
        let estimate = |k: usize| {
            let side = 20.0 + BITS_PER_WEIGHT * (used[k] + 1) as f64;
            bits(penalty(k + 1) * factor.errors[k]) + side
        };
        let most = factor.errors.len().min((gram.samples / 2.0) as usize);
        let Some(k) = (0..most).min_by(|&a, &b| estimate(a).total_cmp(&estimate(b))) else { continue };
        tried.push((estimate(k), k + 1, tying, equations, used, factor));
    }
    tried.sort_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, k, tying, equations, used, factor)) = tried.first() {
        least = bits(equations.square) + 3.0;
        let w = factor.weights(*k);
        let spread = |w: &[f64]| {
            let mut out = vec![0.0; used[*k - 1] + 1];
            used.iter().zip(w).for_each(|(g, w)| out[*g] = *w);
            out
        };
        let all_weights = spread(&w);
        let mut precision = MAX_PRECISION.min(scale.shift);
        let mut before = f64::INFINITY;
        while precision >= 4 {
            let unit = f64::from(1u32 << precision);
            let limit = f64::from(1 << 20);
            let round = |v: &f64| (v * unit).round().clamp(-limit, limit);
            let rounded: Vec<f64> = w.iter().map(|v| round(v) / unit).collect();
            let sent =
                Sent { tying: **tying, precision, values: all_weights.iter().map(|v| round(v) as i32).collect() };
            let b = bits(penalty(*k) * equations.error(&rounded)) + f64::from(sent.bits());
            if b < least {
                least = b;
                best = sent;
            }
            if b > before {
                break;
            }
            before = b;
            precision -= 2;
        }
    }
    if let (Some(last), Some((_, _, _, equations, used, _))) = (last, tried.iter().find(|t| Some(*t.2) == last.map(|l| l.tying))) {
        let unit = f64::from(1u32 << last.precision);
        let w: Vec<f64> =
            used.iter().map(|g| f64::from(last.values.get(*g).copied().unwrap_or(0)) / unit).collect();
        if bits(equations.error(&w)) + 3.0 < least {
            best = Sent::none(Tying::Repeat);
        }
    }
    best
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
}
