//! Least-squares weights for a chunk, on a sample of its points.
//!
//! Predictions are made from decoded values, so each tap carries quantisation noise; the noise enters the
//! normal equations as its variance (ridge regression in terms of the effective weights).

use super::choice::{solve, Candidates, Solved};
use super::classes::{
    class_index, sent_classes, slot_kind, slot_levels, slot_points, weighted_taps, Class, WeightedTaps, SLOTS,
};
use super::cost::Cost;
use super::effort::Effort;
use super::gram::{Gram, Sample, RUN};
use super::plane::Pyramid;
use super::taps::{tap_rows, Tap, TapRows};
use super::weighted::weighted_sum;
use super::weights::{Sent, Tying};
use super::{Band, Scale};
use crate::chunk::Frames;
use crate::error::Result;
use crate::machine::for_this_machine;
use crate::reference::forecast::{Forecasts, Numbers};
use crate::reference::{Step, CLASSES, MAX_REFERENCES};
use crate::threads::parallel;
use arrayvec::ArrayVec;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// Points of a chunk for each that is sampled per pass and class.
const POINTS_PER_SAMPLE: usize = 80;
/// Points of a sampled segment: neighbours lie side by side in memory, but tell little that is new.
const SEGMENT: usize = 16;
/// Fewest points to sample per pass and class.
const MIN_SAMPLES: usize = 1000;

/// The chunk on the grid, as the fit sees it.
pub struct Samples<'a> {
    /// Grid values of all frames.
    pub grid: &'a [i32],
    /// Which points are special (not 0), if any.
    pub mask: Option<&'a [u8]>,
    /// Extents.
    pub frames: Frames,
    /// Values as an earlier coding of the chunk decodes to them: what predictions are made from. Without, they are made
    /// from the values themselves, with the noise that decoding would add.
    pub decoded: Option<&'a [i32]>,
    /// What makes forecasts, where the coding order has them.
    pub forecasts: Option<&'a Forecasts>,
    /// Pyramids of what predictions are made from.
    pub pyramids: &'a Pyramids,
}

/// Pyramids of frames by their number, kept from one fit to the next.
#[derive(Default)]
pub struct Pyramids(Mutex<HashMap<usize, Arc<Pyramid<i32>>>>);

impl Pyramids {
    /// Those of some frames of the grid, made on at most `threads` threads where they are not there yet.
    fn of(
        &self,
        grid: &[i32],
        frames: &Frames,
        wanted: &BTreeSet<usize>,
        threads: usize,
    ) -> HashMap<usize, Arc<Pyramid<i32>>> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let missing: Vec<usize> = {
            let there = lock();
            wanted.iter().filter(|f| !there.contains_key(f)).copied().collect()
        };
        let area = frames.area();
        let made = parallel(missing, threads, |f: usize| {
            (f, Arc::new(Pyramid::of(&grid[f * area..][..area], frames.width)))
        });
        let mut there = lock();
        there.extend(made);
        wanted.iter().filter_map(|f| Some((*f, Arc::clone(there.get(f)?)))).collect()
    }
}

/// Fitted weights.
#[derive(Clone)]
pub struct Fitted {
    /// Those of each class, in sending order.
    pub sent: Vec<Sent>,
    /// Estimated bits of a point of each class.
    pub costs: Vec<f64>,
    /// Estimated bits of the whole chunk.
    pub bits: f64,
}

/// What the classes of a coding order are fitted to.
struct Fitting<'a> {
    samples: &'a Samples<'a>,
    scale: &'a Scale,
    effort: Effort,
    /// What may be sent for each kind, by its phase, with so many references.
    candidates: HashMap<(usize, usize), Candidates>,
    /// Sampled steps of each class.
    picked: [Vec<&'a Step>; CLASSES],
    pyramids: HashMap<usize, Arc<Pyramid<i32>>>,
    /// The sampled frames as they are to be, where `pyramids` are decoded ones.
    targets: HashMap<usize, Arc<Pyramid<i32>>>,
    /// Forecasts of the sampled frames.
    forecasts: HashMap<usize, Pyramid<i32>>,
    /// Weights that an earlier fit found, by class index, and the squared miss of theirs below which points count alike: what
    /// they miss typically, as a sketch misses some points by little only by chance. None where they miss too little for it to
    /// matter where.
    earlier: Vec<(WeightedTaps, Option<f64>)>,
    /// Variance of the noise of decoded values, in squares of quantisation steps.
    noise: f64,
}

/// Bits of a point below which it does not matter much which points are hard to predict: most are coded as zero.
const CALM: f64 = 0.2;
/// Squared miss below which points count alike, in squares of quantisation steps: it is coded as zero.
const ZERO: f64 = 0.15;

/// Mean magnitude of residuals of so many bits.
fn typical(bits: f64) -> f64 {
    bits.exp2() / (2.0 * std::f64::consts::E)
}

/// Fits the weights of every class of the coding order on at most `threads` threads. What those of an earlier fit miss tells
/// which points matter.
pub fn fit(
    samples: &Samples,
    plan: &[Step],
    scale: &Scale,
    (effort, earlier): (&Effort, Option<&Fitted>),
    threads: usize,
) -> Fitted {
    let frames = &samples.frames;
    let area = frames.area();
    // Small chunks are worth less time.
    let enough = (frames.count() * area / POINTS_PER_SAMPLE).max(MIN_SAMPLES);
    let effort = Effort { samples: effort.samples.min(enough) / effort.share, ..*effort };
    let mut picked: [Vec<&Step>; CLASSES] = Default::default();
    let (mut wanted, mut targets) = (BTreeSet::new(), BTreeSet::new());
    let mut members = [0f64; CLASSES];
    for (class, picked) in picked.iter_mut().enumerate() {
        let all: Vec<&Step> = plan.iter().filter(|s| s.class == class).collect();
        members[class] = all.len() as f64;
        // Levels differ more than times.
        let n = all.len().min(if frames.levels > 1 { 2 * effort.frames } else { effort.frames });
        picked.extend((0..n).map(|k| all[(2 * k + 1) * all.len() / (2 * n)]));
        wanted.extend(picked.iter().flat_map(|step| step.references.iter().chain([&step.frame]).copied()));
        targets.extend(picked.iter().map(|step| step.frame));
    }
    let pyramids = samples.pyramids.of(samples.decoded.unwrap_or(samples.grid), frames, &wanted, threads);
    let targets = match samples.decoded {
        Some(_) => Pyramids::default().of(samples.grid, frames, &targets, threads),
        None => HashMap::new(),
    };
    // Values coded in steps of one unit are decoded as they are.
    let noise = if scale.step > 1 && samples.decoded.is_none() { 0.7 / 12.0 } else { 0.0 };
    let Ok(forecasts) = forecasts(samples, plan, &picked, scale, threads) else {
        // Nothing that could be chosen.
        return Fitted { sent: vec![], costs: vec![], bits: f64::INFINITY };
    };
    let classes = sent_classes(plan);
    let mut found = vec![(vec![], None); CLASSES * SLOTS];
    if let Some(earlier) = earlier {
        let mut taps = weighted_taps(plan, &earlier.sent, scale.shift);
        for (class, cost) in classes.iter().zip(&earlier.costs) {
            let index = class_index(class.class, class.slot);
            let floor = (*cost >= CALM).then(|| ZERO + typical(*cost).powi(2));
            found[index] = (std::mem::take(&mut taps[index]), floor);
        }
    }
    let mut candidates = HashMap::new();
    for class in &classes {
        let kind = slot_kind(class.slot);
        let make = || Candidates::new(kind, class.references, &effort);
        candidates.entry((kind.phase(), class.references)).or_insert_with(make);
    }
    let fitting = Fitting {
        samples,
        scale,
        effort,
        candidates,
        picked,
        pyramids,
        targets,
        forecasts,
        earlier: found,
        noise,
    };
    let points = |class: &Class| members[class.class] * slot_points(frames, class.slot);
    let solved = parallel(classes.clone(), threads, |class| fitting.solve(&class, points(&class)));
    let mut sent = vec![];
    let mut last: HashMap<(usize, usize), Sent> = HashMap::new();
    for (class, solved) in classes.iter().zip(solved) {
        // The phases of the four kinds differ.
        let key = (slot_kind(class.slot).phase(), class.references);
        let best = solved.or_repeat(last.get(&key));
        if !matches!(best.tying, Tying::Default | Tying::Repeat) {
            last.insert(key, best.clone());
        }
        sent.push(best);
    }
    if let (false, Some(earlier)) = (effort.estimates, earlier) {
        return Fitted { sent, costs: earlier.costs.clone(), bits: earlier.bits };
    }
    let side: f64 = sent.iter().map(|s| f64::from(s.bits())).sum();
    let taps = weighted_taps(plan, &sent, scale.shift);
    let costs = parallel(classes.clone(), threads, |class| {
        fitting.cost(&class, &taps[class_index(class.class, class.slot)])
    });
    let bits: f64 = classes.iter().zip(&costs).map(|(class, cost)| points(class) * cost).sum();
    Fitted { sent, costs, bits: side + bits }
}

/// Forecasts of the sampled frames, from decoded values where there are any.
fn forecasts(
    samples: &Samples,
    plan: &[Step],
    picked: &[Vec<&Step>],
    scale: &Scale,
    threads: usize,
) -> Result<HashMap<usize, Pyramid<i32>>> {
    let mut out = HashMap::new();
    let wanted: BTreeSet<usize> =
        picked.iter().flatten().filter(|s| s.has_forecast()).map(|s| s.frame).collect();
    let (Some(makes), false) = (samples.forecasts, wanted.is_empty()) else { return Ok(out) };
    let Frames { height, width, levels, .. } = samples.frames;
    let numbers = Numbers { step: scale.step, limits: (scale.low, scale.high), levels };
    let whole = Band { top: 0, height, width };
    let mut forecaster = makes.forecaster(numbers, &samples.frames, &whole, threads)?;
    let mut missing = wanted.len();
    for step in plan.iter().filter(|s| s.has_forecast()) {
        let picked = wanted.contains(&step.frame);
        if !picked && (missing == 0 || !forecaster.remembers()) {
            continue;
        }
        let forecast = forecaster.run(step, &mut |k, y, row| {
            let frame = step.forecast[k];
            let start = (frame * height + y) * width;
            row.copy_from_slice(&samples.decoded.unwrap_or(samples.grid)[start..start + width]);
        });
        if picked {
            out.insert(step.frame, Pyramid::of(forecast, width));
            missing -= 1;
        }
    }
    Ok(out)
}

impl Fitting<'_> {
    /// Fits the weights of a class of so many points.
    fn solve(&self, class: &Class, points: f64) -> Solved {
        if points < self.effort.fewest {
            return Solved::unknown();
        }
        let kind = slot_kind(class.slot);
        let (earlier, floor) = &self.earlier[class_index(class.class, class.slot)];
        let candidates = &self.candidates[&(kind.phase(), class.references)];
        let mut gram = Gram::new(&candidates.sizes, &candidates.base, self.scale.step);
        if let Some(floor) = floor {
            let weight = |tap: &Tap| earlier.iter().find(|(t, _)| t == tap).map_or(0, |(_, w)| *w);
            let taps: Vec<(Tap, i32)> = candidates.near.iter().map(|(tap, ())| (*tap, weight(tap))).collect();
            self.sample(class, &taps, self.effort.samples, 0.0, &mut |sample| {
                gram.add(&sample, Some(&missed(&sample, self.scale, *floor as f32)));
            });
        } else {
            self.sample(class, &candidates.near, self.effort.samples, 0.0, &mut |sample| {
                gram.add(&sample, None);
            });
        }
        gram.flush();
        solve(&gram, candidates, points, self.scale, self.noise)
    }

    /// Estimated bits per point of a class with these weights: those of the residuals of another, smaller sample, whatever
    /// their distribution.
    fn cost(&self, class: &Class, weights: &[(Tap, i32)]) -> f64 {
        let mut cost = Cost::default();
        self.sample(class, weights, self.effort.samples / 2, 0.5, &mut |sample| {
            sample_cost(&sample, self.scale, self.noise, &mut cost);
        });
        cost.bits_per_residual()
    }

    /// Calls `visit` for samples of about `count` points of each pass of a class, less on coarse lattices; `seed`, from 0
    /// to 1, says where they lie.
    fn sample<C: Copy>(
        &self,
        class: &Class,
        taps: &[(Tap, C)],
        count: usize,
        seed: f64,
        visit: &mut dyn FnMut(Sample<C>),
    ) {
        let kind = slot_kind(class.slot);
        let (area, width) = (self.samples.frames.area(), self.samples.frames.width);
        let picked = &self.picked[class.class];
        let mut values = vec![0; (taps.len() + 1) * RUN];
        for step in picked {
            let mask = self.samples.mask.map(|m| &m[step.frame * area..][..area]);
            let own = &*self.pyramids[&step.frame];
            let truth = self.targets.get(&step.frame).map_or(own, |t| &**t);
            let decoded = step.references.iter().map(|f| &*self.pyramids[f]);
            let references: ArrayVec<&Pyramid<i32>, MAX_REFERENCES> =
                self.forecasts.get(&step.frame).into_iter().chain(decoded).collect();
            for level in slot_levels(class.slot, own.levels.len()) {
                let target = &truth.levels[level][kind.phase()];
                let (rows, columns, stride) = (target.height, target.width, target.stride());
                if target.is_empty() {
                    continue;
                }
                let mut found = TapRows::new();
                found.extend(tap_rows(kind, level, taps, Some(&own.levels[level]), &references));
                let length = columns.min(SEGMENT);
                // Coarse passes have few points; theirs are worth no more time than their share of the bits.
                let all = rows * columns;
                let count = (all / self.effort.every).min((count >> level.min(2)) / picked.len()).max(1);
                let wanted = count.div_ceil(length).min(rows * columns.div_ceil(length));
                // Segments spread evenly over the rows, by the golden ratio over the columns.
                let place = |k: usize| {
                    let scattered = (k as f64 * 0.618_033_988_75 + step.frame as f64 * 0.377 + seed).fract();
                    ((2 * k + 1) * rows / (2 * wanted), (scattered * (columns - length + 1) as f64) as usize)
                };
                for first in (0..wanted).step_by(RUN / SEGMENT) {
                    let places: ArrayVec<(usize, usize), { RUN / SEGMENT }> =
                        (first..wanted.min(first + RUN / SEGMENT)).map(place).collect();
                    let n = places.len() * length;
                    let rows = found.iter().map(|(row, _)| *row).chain([target.from(0, 0)]);
                    for (row, values) in rows.zip(values.chunks_exact_mut(n)) {
                        for ((i, j), to) in places.iter().zip(values.chunks_exact_mut(length)) {
                            let from = &row[i * stride + j..][..length];
                            match (
                                <&[i32; SEGMENT]>::try_from(from),
                                <&mut [i32; SEGMENT]>::try_from(&mut *to),
                            ) {
                                (Ok(from), Ok(to)) => *to = *from,
                                _ => to.copy_from_slice(from),
                            }
                        }
                    }
                    let (taken, own_values) = values[..(found.len() + 1) * n].split_at(found.len() * n);
                    let special = |mask: &[u8], k: usize| {
                        let ((i, j), (a, b)) = (places[k / length], kind.parity());
                        // Roots are the points of the coarsest lattice's first phase.
                        let (y, x) = (2 * i + a, 2 * (j + k % length) + b);
                        mask[(y << level) * width + (x << level)]
                    };
                    visit(Sample {
                        length,
                        rows: taken.chunks_exact(n).zip(&found).map(|(row, (_, c))| (row, *c)).collect(),
                        target: own_values,
                        skip: mask.map(|m| std::array::from_fn(|k| if k < n { special(m, k) } else { 1 })),
                    });
                }
            }
        }
    }
}

/// Taps that have the same value as the point where the field is constant.
const CONSTANT: usize = 6;

/// Points on either side over which a miss is averaged.
const THEREABOUTS: usize = 3;

/// What the weights of a sample miss around each of its points, squared, in quantisation steps, above `floor`.
fn missed(sample: &Sample<i32>, scale: &Scale, floor: f32) -> [f32; RUN] {
    let n = sample.target.len();
    let rows: TapRows<i32> = sample.rows.iter().filter(|(_, w)| *w != 0).copied().collect();
    let mut predicted = [0; RUN];
    weighted_sum(&rows, scale.rounding(), &mut predicted[..n]);
    let mut missed = [1f32; RUN];
    let segments = sample.target.chunks(sample.length).zip(predicted.chunks(sample.length));
    for ((target, predicted), missed) in segments.zip(missed.chunks_mut(sample.length)) {
        missed_near(target, predicted, 1.0 / scale.step as f32, floor, missed);
    }
    missed
}

for_this_machine! {
    /// missed[j] = floor + mean of the squares of (target - predicted) * unit from [`THEREABOUTS`] points before to as many
    /// behind, as far as there are points: at most [`SEGMENT`].
    pub fn missed_near(target: &[i32], predicted: &[i32], unit: f32, floor: f32, missed: &mut [f32]) {
        let n = target.len();
        let mut squares = [0f32; SEGMENT + 2 * THEREABOUTS];
        for ((s, t), p) in squares[THEREABOUTS..].iter_mut().zip(target).zip(predicted) {
            *s = (t.wrapping_sub(*p) as f32 * unit).powi(2);
        }
        let mut sums = [0f32; SEGMENT];
        for d in 0..=2 * THEREABOUTS {
            for j in 0..SEGMENT {
                sums[j] += squares[j + d];
            }
        }
        for (j, (m, sum)) in missed.iter_mut().zip(sums).enumerate().take(n) {
            let near = (j + THEREABOUTS + 1).min(n) - j.saturating_sub(THEREABOUTS);
            *m = floor + sum / near as f32;
        }
    }
}

/// Adds the residuals of a sample to `cost`.
fn sample_cost(sample: &Sample<i32>, scale: &Scale, noise: f64, cost: &mut Cost) {
    // Decoded taps carry noise that the sample's do not: spread it evenly with its variance.
    let one = f64::from(1 << scale.shift);
    let square: f64 = sample.rows.iter().map(|(_, w)| (f64::from(*w) / one).powi(2)).sum();
    let reach = (12.0 * noise * square).sqrt();
    let mut predicted = [0; RUN];
    let predicted = &mut predicted[..sample.target.len()];
    weighted_sum(&sample.rows, scale.rounding(), predicted);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::effort::{BALANCED, FAST};
    use crate::reference::{coding_order, TimeOrder};

    fn fitted(
        grid: &[i32],
        frames: Frames,
        scale: &Scale,
        order: TimeOrder,
        from: (&Effort, Option<&Fitted>),
    ) -> Fitted {
        let pyramids = Pyramids::default();
        let samples =
            Samples { grid, mask: None, frames, decoded: None, forecasts: None, pyramids: &pyramids };
        fit(&samples, &coding_order(order, &frames), scale, from, 1)
    }

    #[test]
    fn misses_are_averaged_over_the_points_around() {
        for n in [1, 2, 5, SEGMENT - 1, SEGMENT] {
            let target: Vec<i32> = (0..n as i32).map(|j| 100 * (j * 7 % 5)).collect();
            let predicted: Vec<i32> = (0..n as i32).map(|j| 60 * (j * 3 % 4)).collect();
            let mut found = [0f32; SEGMENT];
            missed_near(&target, &predicted, 0.25, 2.0, &mut found);
            for (j, missed) in found.iter().enumerate().take(n) {
                let near = j.saturating_sub(3)..(j + 4).min(n);
                let square = |k: usize| (f64::from(target[k] - predicted[k]) / 4.0).powi(2);
                let expected = 2.0 + near.clone().map(square).sum::<f64>() / near.len() as f64;
                assert!((f64::from(*missed) / expected - 1.0).abs() < 1e-6, "{n} points, point {j}");
            }
            assert!(found[n..].iter().all(|m| *m == 0.0));
        }
    }

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
        let bits = |order| fitted(&grid, frames, &scale, order, (&BALANCED, None)).bits;
        let (with, without) = (bits(TimeOrder::Previous), bits(TimeOrder::Independent));
        assert!(with < without, "{with} bits with references, {without} without");
    }

    #[test]
    fn calm_beside_a_front_is_predicted_better_where_a_sketch_tells_of_it() {
        // Long waves on one side of a front that moves, short ones right behind it.
        let frames = Frames { steps: 6, levels: 1, height: 96, width: 96 };
        let grid: Vec<i32> = (0..6 * 96 * 96)
            .map(|i| {
                let (t, y, x) = ((i / 9216) as f64, (i / 96 % 96) as f64, (i % 96) as f64);
                let front = 30.0 + 2.0 * t + 5.0 * (y / 15.0).sin();
                let behind = (0.0f64).max(1.0 - (x - front).abs() / 8.0);
                let calm = 40_000.0 * ((x + t) / 40.0).sin() * (y / 50.0).cos();
                (calm + 9000.0 * behind * (1.9 * x + 1.3 * y).sin()) as i32
            })
            .collect();
        let scale = Scale { step: 64, shift: 12, low: -60_000, high: 60_000 };
        let fit = |effort: &Effort, sketch: Option<&Fitted>| {
            fitted(&grid, frames, &scale, TimeOrder::Previous, (effort, sketch))
        };
        for effort in [BALANCED, FAST] {
            let sketch = fit(&effort.quick(), None);
            let (with, without) = (fit(&effort, Some(&sketch)).bits, fit(&effort, None).bits);
            assert!(with < 0.98 * without, "{with} bits with a sketch, {without} without");
        }
    }
}
