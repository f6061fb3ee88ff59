//! The direct predictor: a frame is predicted by one reference, the forecast of a network or the frame before, and by
//! nothing else. What is left is made of runs of equal numbers, whose ranks are coded.
//!
//! This is TEZip's method (Roy et al., CCGrid 2021; for its windows and key frames section III): neighbouring differences
//! whose tolerances have a number in common become that number. Key frames are coded so, too, without a prediction,
//! instead of whole. The tolerances are those of the grid's integers, and every value is checked as it is decoded: the
//! bound holds at every point, which TEZip's own does not.

use super::choose::{numbers, scale, Choice};
use super::encode::{Encoded, Shared};
use super::mapped::Mapped;
use super::side::{FrameKind, Predictor, Side};
use crate::bound::Bound;
use crate::checksum::checksum_on;
use crate::chunk::Frames;
use crate::entropy::rank;
use crate::error::{Error, Result};
use crate::grid::Mapping;
use crate::number::Number;
use crate::params::{KeyFrames, Params, Windows};
use crate::predict::Band;
use crate::reference::forecast::{self, Forecaster, Forecasts};
use crate::reference::normal::Normal;
use crate::reference::window::Window;
use crate::reference::{coding_order, Step, TimeOrder};
use crate::scratch::Buffer;
use crate::stream::parts::{Reader, Writer};
use std::sync::Arc;

/// Time steps that forecasts look back to.
const SEEN: usize = 4;

/// Which time steps are key frames, and what forecasts are made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direct {
    /// Of each time step.
    pub keys: Vec<bool>,
    /// Key frames at the start from which the network goes on.
    pub warm_up: u8,
    /// Forecasts are made from forecasts until the next key frame.
    pub open_loop: bool,
}

impl Direct {
    /// The bytes in the side information: flags, and a bit for each time step.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0; 1 + self.keys.len().div_ceil(8)];
        out[0] = self.warm_up | u8::from(self.open_loop) << 3;
        for (t, _) in self.keys.iter().enumerate().filter(|(_, key)| **key) {
            out[1 + t / 8] |= 1 << (t % 8);
        }
        out
    }

    /// Inverse of [`Direct::bytes`] for so many time steps.
    pub fn read(bytes: &[u8], steps: usize) -> Result<Self> {
        let wrong = |what: &str| Err(Error::corruption(format!("the stream's key frames {what}")));
        let Some((flags, bits)) = bytes.split_first().filter(|(_, b)| b.len() == steps.div_ceil(8)) else {
            return wrong("have not one bit for each time step");
        };
        let keys: Vec<bool> = (0..steps).map(|t| bits[t / 8] >> (t % 8) & 1 != 0).collect();
        let warm_up = flags & 7;
        let out = Self { keys, warm_up, open_loop: flags & 8 != 0 };
        if *flags > 15 || warm_up == 0 {
            return wrong("are of an unknown kind");
        }
        if !out.keys.iter().take(warm_up.into()).all(|k| *k) {
            return wrong("do not begin with the warm-up");
        }
        Ok(out)
    }

    fn is_warm_up(&self, t: usize) -> bool {
        t < usize::from(self.warm_up)
    }
}

/// The predictions of the frames of one time step after the other.
struct Predictions<'a> {
    plan: &'a [Step],
    frames: &'a Frames,
    forecaster: Option<Forecaster>,
    /// What forecasts of the next steps are made from, of the last few steps.
    seen: Vec<Vec<i32>>,
    /// Predictions of a step.
    out: Vec<i32>,
}

impl<'a> Predictions<'a> {
    fn new(plan: &'a [Step], frames: &'a Frames, forecaster: Option<Forecaster>) -> Self {
        let points = frames.levels * frames.area();
        let kept = SEEN.min(frames.steps);
        Self { plan, frames, forecaster, seen: vec![vec![0; points]; kept], out: vec![0; points] }
    }

    /// Predicts the frames of step `t` from what was seen.
    fn predict(&mut self, t: usize) {
        let Frames { levels, width, .. } = *self.frames;
        let (area, kept, seen) = (self.frames.area(), self.seen.len(), &self.seen);
        let place = |frame: usize| &seen[frame / levels % kept][frame % levels * area..][..area];
        for (step, out) in self.plan[t * levels..][..levels].iter().zip(self.out.chunks_exact_mut(area)) {
            let forecaster = self.forecaster.as_mut().filter(|_| step.has_forecast());
            match (forecaster, step.references.first()) {
                (Some(forecaster), _) => out.copy_from_slice(forecaster.run(step, &mut |k, y, row| {
                    row.copy_from_slice(&place(step.forecast[k])[y * width..][..width]);
                })),
                (None, Some(&before)) if before / levels < t => out.copy_from_slice(place(before)),
                _ => out.fill(0),
            }
        }
    }

    /// Predicts nothing: the step is a key frame. What came before is forgotten, but in the warm-up.
    fn predict_nothing(&mut self, warm_up: bool) {
        self.out.fill(0);
        if let Some(forecaster) = self.forecaster.as_mut().filter(|_| !warm_up) {
            forecaster.restart();
        }
    }

    /// Takes what step `t` was decoded to; with `open`, forecasts go on from its prediction.
    fn take(&mut self, t: usize, decoded: &[i32], open: bool) {
        let kept = self.seen.len();
        self.seen[t % kept].copy_from_slice(if open { &self.out } else { decoded });
    }
}

/// The direct predictor for a chunk, with forecasts where the model makes any for it.
pub fn choose(mapped: &Mapped, frames: &Frames, scale: &crate::predict::Scale, params: &Params) -> Choice {
    let forecasts = params.model.as_ref().filter(|_| frames.steps > 1).and_then(|model| {
        let usable = |window: &Window| -> Option<Normal> {
            // A frame between others comes after them; here all come in the order of time.
            if *window == Window::Between {
                return None;
            }
            let normal = Normal::of(&mapped.grid, mapped.mask.as_deref(), frames, *window)?;
            let size = (frames.height, frames.width);
            match Forecaster::new(model, &normal, numbers(scale, frames), size, 1) {
                Ok(_) => Some(normal),
                Err(e) => {
                    log::warn!("the model sha256:{} is not used: {e}", model.digest());
                    None
                }
            }
        };
        let windows = forecast::windows(model).unwrap_or_else(|e| {
            log::warn!("the model sha256:{} is not used: {e}", model.digest());
            vec![]
        });
        // Those that remember come last, and first here.
        windows
            .iter()
            .rev()
            .find_map(usable)
            .map(|normal| (normal.window, Forecasts::Network(Arc::clone(model), normal)))
    });
    let order = match &forecasts {
        Some((window, _)) => TimeOrder::Forecast(*window),
        None if frames.steps > 1 => TimeOrder::Previous,
        None => TimeOrder::Independent,
    };
    let Windows { warm_up, open_loop, .. } = params.windows;
    let direct = Direct { keys: vec![], warm_up: warm_up.max(1), open_loop };
    let forecasts = forecasts.map(|(_, forecasts)| forecasts);
    Choice { predictor: Predictor::Direct(direct), order, forecasts, corrections: None, bits: 0.0 }
}

/// Whether step `t` is a key frame, before its prediction is known.
fn is_key(windows: &Windows, direct: &Direct, t: usize) -> bool {
    direct.is_warm_up(t) || matches!(windows.keys, KeyFrames::Every(n) if t.is_multiple_of(usize::from(n)))
}

/// How far decoded integers may be from the true ones.
enum Tolerance {
    /// All so far.
    Same(i32),
    /// This share of the value, which is the integer and this number; nothing below that magnitude.
    Share(f64, i64, f64),
}

/// What of a frame is not as usual.
#[derive(Clone, Copy, Default)]
struct Apart<'a> {
    /// Special points, not 0: they tolerate everything.
    special: Option<&'a [u8]>,
    /// Points that were rounded before, not 0: they tolerate nothing.
    held: Option<&'a [u8]>,
}

impl Tolerance {
    fn of(&self, v: i32) -> i32 {
        match *self {
            Self::Same(t) => t,
            Self::Share(share, offset, least) => {
                let value = (i64::from(v) + offset).unsigned_abs() as f64;
                // The product may have been rounded up to a whole number.
                let most = share * value * (1.0 - 2.0 * f64::EPSILON);
                if value < least {
                    0
                } else {
                    most.min(1e9) as i32
                }
            }
        }
    }
}

/// Encodes a chunk with the direct predictor of `choice`.
pub fn encode<N: Number>(shared: &Shared, choice: Choice, mut direct: Direct) -> Result<Encoded> {
    let &Shared { params, frames, raw, mapped, grid, error, .. } = shared;
    let plan = coding_order(choice.order, frames);
    let scale = scale(mapped, grid);
    let whole = Band { top: 0, height: frames.height, width: frames.width };
    let forecaster = choice
        .forecasts
        .as_ref()
        .map(|f| f.forecaster(numbers(&scale, frames), frames, &whole, params.threads));
    let mut predictions = Predictions::new(&plan, frames, forecaster.transpose()?);
    let (area, width) = (frames.area(), frames.width);
    let points = frames.levels * area;
    let tolerance = match params.bound {
        Bound::PointwiseRelative { rel, floor } if matches!(grid.mapping, Mapping::Linear(_)) => {
            Tolerance::Share(rel, mapped.offset, floor)
        }
        _ => Tolerance::Same(scale.step / 2),
    };
    let mut merged = vec![0; mapped.grid.len()];
    let mut decoded = Buffer::arbitrary(raw.len());
    let mut patches = vec![];
    let mut window = Squares::default();
    for (t, target) in mapped.grid.chunks_exact(points).enumerate() {
        let mut key = is_key(&params.windows, &direct, t);
        let warm_up = direct.is_warm_up(t);
        if !key || warm_up && t > 0 {
            predictions.predict(t);
        }
        if let (KeyFrames::Beyond(threshold), false) = (params.windows.keys, key) {
            let mask = mapped.mask.as_deref().map(|m| &m[t * points..][..points]);
            window.add(target, &predictions.out, mask);
            key = window.mean() > threshold * (f64::from(scale.high) - f64::from(scale.low)).powi(2);
        }
        if key {
            window = Squares::default();
            predictions.predict_nothing(warm_up);
        }
        direct.keys.push(key);
        let differences = &mut merged[t * points..][..points];
        for (z, out) in differences.chunks_exact_mut(area).enumerate() {
            let frame = t * frames.levels + z;
            let place = z * area..(z + 1) * area;
            let exact = Tolerance::Same(0);
            let tolerance = if mapped.kinds[frame] == FrameKind::Normal { &tolerance } else { &exact };
            let apart = Apart {
                special: mapped.mask.as_deref().map(|m| &m[frame * area..][..area]),
                held: shared.held.map(|m| &m[frame * area..][..area]),
            };
            merge(&target[place.clone()], &predictions.out[place], apart, tolerance, scale.step, out);
        }
        let values = add(&predictions.out, differences, (scale.low, scale.high));
        for (y, line) in values.chunks_exact(width).enumerate() {
            let at = t * points + y * width;
            let out = &mut decoded[at * N::SIZE..][..width * N::SIZE];
            shared.write::<N>(at / area, at, line, out, &mut patches);
        }
        predictions.take(t, &values, direct.open_loop && !key);
        // Neighbours that belong to one run differ by nothing.
        differences.chunks_exact_mut(area).for_each(differentiate);
    }
    let choice = Choice { predictor: Predictor::Direct(direct), ..choice };
    let (side, model) = shared.side::<N>(choice, patches, 1, &mut decoded);
    let mut w = Writer::default();
    side.write(&mut w, frames, N::SIZE);
    rank::write(&mut w, &merged);
    let decoded_sum = checksum_on(&decoded, shared.params.threads);
    let keeps = mapped.kinds.contains(&FrameKind::Fine);
    Ok(Encoded { payload: w.out, error, mapping: grid.mapping, decoded, decoded_sum, keeps, model })
}

/// What is to be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The values.
    Values,
    /// What they were predicted to be.
    Predictions,
}

/// Decodes what follows the side information to `raw`.
#[allow(clippy::too_many_arguments)]
pub fn decode<N: Number>(
    r: &mut Reader,
    side: &Side,
    direct: &Direct,
    frames: &Frames,
    mapping: Mapping,
    forecaster: Option<Forecaster>,
    wanted: Wanted,
    raw: &mut [u8],
) -> Result<()> {
    let plan = side.plan(frames);
    let (area, width) = (frames.area(), frames.width);
    let points = frames.levels * area;
    let mut merged = rank::read(r, frames.count() * area)?;
    let mut predictions = Predictions::new(&plan, frames, forecaster);
    for (t, differences) in merged.chunks_exact_mut(points).enumerate() {
        let (key, warm_up) = (direct.keys[t], direct.is_warm_up(t));
        if !key || warm_up && t > 0 {
            predictions.predict(t);
        }
        if key {
            predictions.predict_nothing(warm_up);
        }
        differences.chunks_exact_mut(area).for_each(integrate);
        let values = add(&predictions.out, differences, (side.scale.low, side.scale.high));
        let shown = if wanted == Wanted::Values { &values } else { &predictions.out };
        for (y, line) in shown.chunks_exact(width).enumerate() {
            let at = t * points + y * width;
            let half = side.kinds[at / area] == FrameKind::Provisional;
            let negative = side.negative.as_deref().map(|n| &n[at..at + width]);
            let out = &mut raw[at * N::SIZE..][..width * N::SIZE];
            mapping.write_values::<N>(line, side.offset, half, negative, out);
        }
        predictions.take(t, &values, direct.open_loop && !key);
    }
    Ok(())
}

/// Squares of what was predicted wrongly since the last key frame.
#[derive(Default)]
struct Squares {
    sum: f64,
    count: f64,
}

impl Squares {
    fn add(&mut self, target: &[i32], predicted: &[i32], mask: Option<&[u8]>) {
        for (i, (v, p)) in target.iter().zip(predicted).enumerate() {
            if mask.is_none_or(|m| m[i] == 0) {
                self.sum += (f64::from(*v) - f64::from(*p)).powi(2);
                self.count += 1.0;
            }
        }
    }

    fn mean(&self) -> f64 {
        self.sum / f64::max(self.count, 1.0)
    }
}

/// Runs of differences: as long as their tolerances have a number in common, all are that number.
fn merge(target: &[i32], predicted: &[i32], apart: Apart, tolerance: &Tolerance, step: i32, out: &mut [i32]) {
    let (mut low, mut high, mut first) = (i32::MIN, i32::MAX, 0);
    for (i, (v, p)) in target.iter().zip(predicted).enumerate() {
        if apart.special.is_some_and(|m| m[i] != 0) {
            continue;
        }
        let held = apart.held.is_some_and(|m| m[i] != 0);
        let (difference, around) = (v.wrapping_sub(*p), if held { 0 } else { tolerance.of(*v) });
        let own = (difference.saturating_sub(around), difference.saturating_add(around));
        let common = (low.max(own.0), high.min(own.1));
        if common.0 > common.1 {
            out[first..i].fill(simplest(low, high, step));
            first = i;
            (low, high) = own;
        } else {
            (low, high) = common;
        }
    }
    out[first..].fill(simplest(low, high, step));
}

/// The number from `low` to `high` that is likely to occur elsewhere: zero, or a multiple of the step near it.
fn simplest(low: i32, high: i32, step: i32) -> i32 {
    if low <= 0 && high >= 0 {
        return 0;
    }
    let (nearest, farthest) = if low > 0 { (low, high) } else { (-high, -low) };
    let multiple = (nearest - 1) / step * step + step;
    let magnitude = if multiple <= farthest { multiple } else { nearest };
    if low > 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// Predictions with their differences, within the limits.
fn add(predicted: &[i32], differences: &[i32], (low, high): (i32, i32)) -> Vec<i32> {
    predicted.iter().zip(differences).map(|(p, d)| p.wrapping_add(*d).clamp(low, high)).collect()
}

/// Each number less the one before.
fn differentiate(values: &mut [i32]) {
    let mut before = 0;
    for v in values {
        let own = *v;
        *v = own.wrapping_sub(before);
        before = own;
    }
}

/// Inverse of [`differentiate`].
fn integrate(values: &mut [i32]) {
    let mut sum = 0i32;
    for v in values {
        sum = sum.wrapping_add(*v);
        *v = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_stay_within_their_tolerances(
            points in prop::collection::vec((-1000i32..1000, -1000i32..1000, any::<bool>()), 1..200),
            half in 0i32..40,
        ) {
            let target: Vec<i32> = points.iter().map(|p| p.0).collect();
            let predicted: Vec<i32> = points.iter().map(|p| p.1).collect();
            let mask: Vec<u8> = points.iter().map(|p| u8::from(p.2)).collect();
            for tolerance in [Tolerance::Same(half), Tolerance::Share(0.01 * f64::from(half), 500, 20.0)] {
                let mut out = vec![0; points.len()];
                let held: Vec<u8> = (0..points.len()).map(|i| u8::from(i % 7 == 3)).collect();
                let apart = Apart { special: Some(&mask), held: Some(&held) };
                merge(&target, &predicted, apart, &tolerance, 2 * half + 1, &mut out);
                for (i, d) in out.iter().enumerate().filter(|(i, _)| mask[*i] == 0) {
                    let most = if held[i] != 0 { 0 } else { tolerance.of(target[i]) };
                    prop_assert!((predicted[i] + d - target[i]).abs() <= most);
                }
                let mut again = out.clone();
                differentiate(&mut again);
                integrate(&mut again);
                prop_assert_eq!(again, out);
            }
        }

        #[test]
        fn key_frames_come_back(keys in prop::collection::vec(any::<bool>(), 1..40), warm_up in 1u8..8, open_loop: bool) {
            let mut direct = Direct { keys, warm_up, open_loop };
            direct.keys.iter_mut().take(warm_up.into()).for_each(|k| *k = true);
            prop_assert_eq!(Direct::read(&direct.bytes(), direct.keys.len()).unwrap(), direct.clone());
            prop_assert!(Direct::read(&direct.bytes(), direct.keys.len() + 8).is_err());
        }
    }

    #[test]
    fn runs_become_multiples_of_the_step_where_they_can() {
        assert_eq!(simplest(-3, 2, 7), 0);
        assert_eq!(simplest(3, 9, 7), 7);
        assert_eq!(simplest(-9, -3, 7), -7);
        assert_eq!(simplest(8, 13, 7), 8);
        assert_eq!(simplest(7, 7, 7), 7);
        assert_eq!(simplest(-20, -15, 7), -15);
        assert_eq!(simplest(i32::MIN, i32::MAX, 7), 0);
    }
}
