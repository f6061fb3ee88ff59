//! The multiscale predictor: a frame is refined from a coarse lattice to the full one; each pass predicts its
//! points from the lattice points already known and from patches of the references, by weights that were fitted
//! to the chunk ([`super::fit`]). The coarsest lattice is predicted from the references or, in a frame without
//! any, from its own points already decoded (W + N - NW).
//!
//! Interpolation from coarse to fine follows SZ3 (Zhao et al., ICDE 2021) and its ancestors; weights fitted per
//! chunk and references in time as taps of the same filter are Augur's.

use super::classes::{class_index, slot, slot_points, weighted_taps, WeightedTaps, ROOT_SLOT, SLOTS};
use super::contexts::{activity_rows, contexts, thresholds, Thresholds, CONTEXTS};
use super::corrector::{About, Corrector, NeighbourRows};
use super::kernel::{smooth, used_bits};
use super::plane::{interleave_row, refine, Phases, Plane, Pyramid};
use super::taps::{tap_rows, Kind, TapRows, PASSES};
use super::weighted::{narrow_sum, weighted_sum};
use super::weights::Sent;
use super::{Band, Coder, RunAt, Scale, RUN_POINTS};
use crate::chunk::Frames;
use crate::reference::forecast::Forecaster;
use crate::reference::window::MAX_FRAMES;
use crate::reference::{released, Step, MAX_REFERENCES};
use arrayvec::ArrayVec;
use std::sync::Mutex;

/// Groups of contexts: finest or coarser passes, without or with references.
const GROUPS: u8 = 4;
/// First context of the roots of frames without references.
const ROOTS: u8 = GROUPS * CONTEXTS;
/// Number of contexts: those of the groups, and for roots without references the number of bits of the activity to the
/// west, or 9 levels up where there is none.
pub const CONTEXT_COUNT: usize = ROOTS as usize + 10;

/// A decoded frame as a reference: its values and the activity around each point.
#[derive(Default)]
struct Decoded {
    values: Pyramid<i32>,
    /// Whether all values fit into 16 bits.
    narrow: bool,
    activity: Pyramid<u8>,
}

/// What a walk works in.
#[derive(Default)]
struct Workspace {
    /// Frames that are no reference any more; the next ones take their memory.
    free: Vec<Decoded>,
    scratch: Scratch,
    forecast: Pyramid<i32>,
}

/// Workspaces that nobody uses: chunks are alike, and fresh pages cost more time than what is computed on them.
static KEPT: Mutex<Vec<Workspace>> = Mutex::new(vec![]);
/// Most bytes that are kept.
const MOST_KEPT: usize = 16 << 20;

impl Workspace {
    fn take() -> Self {
        // As in `scratch`, nobody waits.
        KEPT.try_lock().ok().and_then(|mut kept| kept.pop()).unwrap_or_default()
    }

    fn keep(self) {
        if let Ok(mut kept) = KEPT.try_lock() {
            kept.push(self);
            while kept.iter().map(Self::bytes).sum::<usize>() > MOST_KEPT {
                kept.remove(0);
            }
        }
    }

    fn bytes(&self) -> usize {
        let frames: usize = self.free.iter().map(|f| f.values.bytes() + f.activity.bytes()).sum();
        frames + self.scratch.activity.bytes() + self.forecast.bytes()
    }
}

/// Gives back the memory that is kept from one walk to the next.
pub fn release_workspaces() {
    if let Ok(mut kept) = KEPT.lock() {
        *kept = vec![];
    }
}

/// What prediction needs to know besides the data.
pub struct Weights {
    scale: Scale,
    taps: Vec<WeightedTaps>,
    /// Thresholds of the spread in normal frames and in those that are coded in steps of one grid unit.
    thresholds: [Thresholds; 2],
}

impl Weights {
    /// The model of a chunk from the weights that were sent for this coding order.
    pub fn new(scale: Scale, plan: &[Step], sent: &[Sent]) -> Self {
        let taps = weighted_taps(plan, sent, scale.shift);
        Self { scale, taps, thresholds: [scale.step, 1].map(thresholds) }
    }

    /// Multiply-adds per point of the chunk.
    pub fn mean_taps(&self, plan: &[Step], frames: &Frames) -> f64 {
        let taps = |class, slot| self.taps[class_index(class, slot)].len() as f64 * slot_points(frames, slot);
        let sum: f64 = plan.iter().flat_map(|s| (0..SLOTS).map(|slot| taps(s.class, slot))).sum();
        sum / (plan.len() * frames.area()).max(1) as f64
    }
}

/// Codes all frames of a band with `coder`. `fine[frame]` says that a frame is coded in steps of one grid unit,
/// with contexts of its own; `forecaster` makes the forecasts that the coding order has, `corrector` corrects predictions.
pub fn walk(
    weights: &Weights,
    plan: &[Step],
    band: &Band,
    fine: &[bool],
    (mut forecaster, mut corrector): (Option<Forecaster>, Option<Corrector>),
    coder: &mut impl Coder,
) {
    let release = released(plan);
    let mut decoded: Vec<Option<Decoded>> = (0..plan.len()).map(|_| None).collect();
    let Workspace { mut free, mut scratch, mut forecast } = Workspace::take();
    for (step, release) in plan.iter().zip(release) {
        if coder.failed() {
            return;
        }
        let mut frame = free.pop().unwrap_or_default();
        frame.values.reset(band.height, band.width);
        frame.activity.reset(band.height, band.width);
        let references: ArrayVec<&Decoded, MAX_REFERENCES> =
            step.references.iter().filter_map(|&r| decoded[r].as_ref()).collect();
        let forecast = match &mut forecaster {
            Some(forecaster) if step.has_forecast() => {
                let window: ArrayVec<&Decoded, MAX_FRAMES> =
                    step.forecast.iter().filter_map(|&f| decoded[f].as_ref()).collect();
                let values = forecaster.run(step, &mut |k, y, row: &mut [i32]| {
                    interleave_row(&window[k].values.levels[0], y, row);
                });
                forecast.fill(values, band.width);
                Some(&forecast)
            }
            _ => None,
        };
        coder.begin(step.frame);
        let size = (band.height, band.width);
        let fine = fine[step.frame];
        let narrow = forecast.is_none() && references.iter().all(|r| r.narrow);
        let scratch = &mut scratch;
        let corrector = corrector.as_mut();
        Walk { weights, step, size, fine, references, narrow, bits: 0, forecast, corrector, scratch, coder }
            .frame(&mut frame);
        coder.frame(step.frame, &mut |y, out: &mut [i32]| interleave_row(&frame.values.levels[0], y, out));
        decoded[step.frame] = Some(frame);
        free.extend(release.into_iter().filter_map(|f| decoded[f].take()));
    }
    if coder.is_last() {
        free.extend(decoded.into_iter().flatten());
        Workspace { free, scratch, forecast }.keep();
    }
}

/// Whether values that use these bits fit into 16.
fn is_narrow(bits: i32) -> bool {
    bits >> 15 == 0
}

/// Rows that the walk works in.
#[derive(Default)]
struct Scratch {
    predicted: Vec<i32>,
    contexts: Vec<u8>,
    /// The activity of a frame before it is smoothed.
    activity: Pyramid<u8>,
}

/// The walk over one frame.
struct Walk<'a, C: Coder> {
    weights: &'a Weights,
    step: &'a Step,
    /// Rows and columns of the frame.
    size: (usize, usize),
    /// Whether the frame is coded in steps of one grid unit.
    fine: bool,
    references: ArrayVec<&'a Decoded, MAX_REFERENCES>,
    /// Whether the values of all references fit into 16 bits.
    narrow: bool,
    /// Bits that the values of the frame use so far.
    bits: i32,
    forecast: Option<&'a Pyramid<i32>>,
    corrector: Option<&'a mut Corrector>,
    scratch: &'a mut Scratch,
    coder: &'a mut C,
}

impl<C: Coder> Walk<'_, C> {
    fn frame(&mut self, frame: &mut Decoded) {
        let values = &mut frame.values;
        let mut activity = std::mem::take(&mut self.scratch.activity);
        activity.reset(self.size.0, self.size.1);
        let top = values.levels.len() - 1;
        let (mut v, mut a) = (values.take(top, 0), activity.take(top, 0));
        if self.references.is_empty() && self.forecast.is_none() {
            self.plain_roots(top, &mut v, &mut a);
        } else {
            self.pass(Kind::Root, top, None, &mut v, &mut a);
        }
        values.put(top, 0, v);
        activity.put(top, 0, a);
        for level in (0..=top).rev() {
            if level < top {
                let (mut v, mut a) = (values.take(level, 0), activity.take(level, 0));
                refine(&values.levels[level + 1], &mut v);
                refine(&activity.levels[level + 1], &mut a);
                values.put(level, 0, v);
                activity.put(level, 0, a);
            }
            for kind in PASSES {
                let p = kind.phase();
                let (mut v, mut a) = (values.take(level, p), activity.take(level, p));
                if !v.is_empty() {
                    let known = (&values.levels[level], &activity.levels[level]);
                    self.pass(kind, level, Some(known), &mut v, &mut a);
                }
                values.put(level, p, v);
                activity.put(level, p, a);
            }
            for p in 0..4 {
                if p > 0 || level == top {
                    let mut plane = frame.activity.take(level, p);
                    smooth_plane(&activity.levels[level][p], &mut plane);
                    frame.activity.put(level, p, plane);
                }
            }
        }
        self.scratch.activity = activity;
        frame.narrow = is_narrow(self.bits);
    }

    /// Predicts and codes the points of a pass, run by run.
    fn pass(
        &mut self,
        kind: Kind,
        level: usize,
        known: Option<(&Phases<i32>, &Phases<u8>)>,
        values: &mut Plane<i32>,
        activity: &mut Plane<u8>,
    ) {
        let group = u8::from(level > 0) + 2 * u8::from(!self.references.is_empty());
        let thresholds = &self.weights.thresholds[usize::from(self.fine)];
        let p = kind.phase();
        let (width, stride) = (values.width, values.stride());
        let slot = if kind == Kind::Root { ROOT_SLOT } else { slot(kind, level) };
        let weighted = &self.weights.taps[class_index(self.step.class, slot)];
        let pyramids: ArrayVec<&Pyramid<i32>, MAX_REFERENCES> =
            self.forecast.into_iter().chain(self.references.iter().map(|r| &r.values)).collect();
        let mut taps = TapRows::new();
        taps.extend(tap_rows(kind, level, weighted, known.map(|k| k.0), &pyramids));
        let active: ArrayVec<&[u8], MAX_REFERENCES> =
            self.references.iter().map(|r| r.activity.levels[level][p].from(0, 0)).collect();
        let mut activities = activity_rows(kind, level, known.map(|k| k.1), &active);
        let near = known.map(|k| nearest(kind, k.0));
        let class = self.corrector.as_ref().and_then(|c| c.class(self.step, slot));
        let mut corrected = class.map(|class| {
            let all = NeighbourRows::taps(kind, self.step.reference_count());
            let mut rows = TapRows::new();
            rows.extend(tap_rows(kind, level, &all, known.map(|k| k.0), &pyramids));
            let units = if self.fine { 1 } else { self.weights.scale.step };
            (NeighbourRows::new(&rows), About::new(kind, level, self.step, units, class))
        });
        let Scratch { predicted, contexts: context, .. } = &mut *self.scratch;
        let rows = (RUN_POINTS / stride).max(1);
        let most = (rows.min(values.height) - 1) * stride + width;
        predicted.resize(most, 0);
        context.resize(most, 0);
        let rounding = self.weights.scale.rounding();
        let narrow = self.narrow && is_narrow(self.bits);
        for first in (0..values.height).step_by(rows) {
            let rows = rows.min(values.height - first);
            let at =
                RunAt { frame: self.step.frame, level, phase: p, row: first, column: 0, rows, width, stride };
            let (n, start) = (at.span(), first * stride);
            let (predicted, context) = (&mut predicted[..n], &mut context[..n]);
            if narrow {
                narrow_sum(&taps, rounding, predicted);
            } else {
                weighted_sum(&taps, rounding, predicted);
            }
            if let (Some(corrector), Some((rows, about))) = (&mut self.corrector, &mut corrected) {
                corrector.correct(rows, about, at, predicted, self.coder);
                rows.advance(at.rows * stride);
            }
            let near = near.map_or([&*predicted; 4], |v| v.map(|v| &v[start..start + n]));
            contexts(&activities, near, predicted, thresholds, group * CONTEXTS, context);
            let (v, a) = (values.rows_mut(first), activity.rows_mut(first));
            self.coder.run(at, predicted, context, &mut v[..n], &mut a[..n]);
            if is_narrow(self.bits) {
                used_bits(&v[..n], &mut self.bits);
            }
            // On to the next run.
            taps.iter_mut().for_each(|(row, _)| *row = row.get(rows * stride..).unwrap_or_default());
            activities.iter_mut().for_each(|(row, _)| *row = row.get(rows * stride..).unwrap_or_default());
        }
    }

    /// Codes the coarsest lattice of a frame without references, point by point.
    fn plain_roots(&mut self, level: usize, values: &mut Plane<i32>, activity: &mut Plane<u8>) {
        let (low, high) = (self.weights.scale.low, self.weights.scale.high);
        for i in 0..values.height {
            for j in 0..values.width {
                let west = (j > 0).then(|| values.row(i)[j - 1]);
                let north = (i > 0).then(|| values.row(i - 1)[j]);
                let predicted = match (west, north) {
                    (Some(w), Some(n)) => w.wrapping_add(n).wrapping_sub(values.row(i - 1)[j - 1]),
                    (Some(v), None) | (None, Some(v)) => v,
                    (None, None) => 0,
                }
                .clamp(low, high);
                // Steps from point to point are the only sign of how rough the field is.
                let context =
                    ROOTS + if j > 0 { 8 - activity.row(i)[j - 1].leading_zeros() as u8 } else { 9 };
                let frame = self.step.frame;
                let at = RunAt { frame, level, phase: 0, row: i, column: j, rows: 1, width: 1, stride: 1 };
                let (v, a) = (&mut values.row_mut(i)[j..=j], &mut activity.row_mut(i)[j..=j]);
                self.coder.run(at, &[predicted], &[context], v, a);
                used_bits(v, &mut self.bits);
            }
        }
    }
}

/// Activity around each point of a plane, from those of the same plane: passes differ in how well they are predicted.
fn smooth_plane(activity: &Plane<u8>, out: &mut Plane<u8>) {
    if out.is_empty() {
        return;
    }
    let n = (out.height - 1) * out.stride() + out.width;
    let from = |di, dj| activity.from(di, dj);
    smooth(from(-1, 0), from(0, -1), from(0, 0), from(0, 1), from(1, 0), &mut out.rows_mut(0)[..n]);
}

/// The four nearest known points of each point of a pass, in `phases`.
fn nearest<T: Copy + Default>(kind: Kind, phases: &Phases<T>) -> [&[T]; 4] {
    let first = phases[0].from(0, 0);
    let or_first =
        |p: usize, di: isize, dj: isize| if phases[p].is_empty() { first } else { phases[p].from(di, dj) };
    match kind {
        Kind::Centre => [first, phases[0].from(0, 1), phases[0].from(1, 0), phases[0].from(1, 1)],
        Kind::Vertical => [first, phases[0].from(1, 0), or_first(3, 0, -1), or_first(3, 0, 0)],
        Kind::Horizontal => [first, phases[0].from(0, 1), or_first(3, -1, 0), or_first(3, 0, 0)],
        Kind::Root => [first; 4],
    }
}
