//! The multiscale predictor: a frame is refined from a coarse lattice to the full one; each pass predicts its
//! points from the lattice points already known and from patches of the references, by weights that were fitted
//! to the chunk ([`super::fit`]). The coarsest lattice is predicted from the references or, in a frame without
//! any, from its own points already decoded (W + N - NW).
//!
//! Interpolation from coarse to fine follows SZ3 (Zhao et al., ICDE 2021) and its ancestors; weights fitted per
//! chunk and references in time as taps of the same filter are Augur's.

use super::fit::{class_index, levels, sent_classes, slot, slot_kind, ROOT_SLOT};
use super::kernel::{contexts, smooth, weighted_sum, Thresholds, CONTEXTS};
use super::plane::{interleave_row, phase_size, Phases, Plane};
use super::taps::{taps, Gather, Kind, Site, Tap, PASSES};
use super::weights::{Sent, Tying};
use super::{Band, RowAt, RowCoder, Scale};
use crate::reference::{released, Step, CLASSES, MAX_REFERENCES};
use arrayvec::ArrayVec;

/// Groups of contexts: finest or coarser passes, without or with references, for either kind of frame, and the roots
/// without and with references.
pub const GROUPS: usize = 10;

/// A decoded frame as a reference: its values and the activity around each point, by phases of the full lattice.
pub struct Decoded {
    values: Phases<i32>,
    activity: Phases<u8>,
}

/// What prediction needs to know besides the data.
pub struct Model {
    scale: Scale,
    weights: Vec<Vec<(Tap, i32)>>,
    thresholds: Thresholds,
}

/// Thresholds for residuals of `step` grid units. The context rises with the logarithms of the activity and of the
/// spread, three levels per octave of the former and 1.4 of the latter.
fn thresholds(step: i32) -> Thresholds {
    let spread = [3, 6, 10, 16, 25, 40, 64, 110, 200, 400];
    Thresholds {
        activity: [1, 2, 3, 4, 6, 8, 11, 15, 21, 30, 45, 70, 120, 240],
        // Eighths of a step, summed over four neighbours.
        spread: spread.map(|s: i32| s.saturating_mul(step).saturating_add(3) / 4),
    }
}

impl Model {
    /// The model of a chunk from the weights that were sent for this coding order.
    pub fn new(scale: Scale, plan: &[Step], sent: &[Sent]) -> Self {
        let mut weights = vec![vec![]; CLASSES * super::fit::SLOTS];
        let mut last: Vec<((usize, bool, usize), Sent)> = vec![];
        for ((class, slot, references), s) in sent_classes(plan).into_iter().zip(sent) {
            let kind = slot_kind(slot);
            let tap_list = taps(kind, references);
            let key = (kind.phase(), kind == Kind::Root, references);
            let effective = match s.tying {
                Tying::Repeat => last.iter().rev().find(|l| l.0 == key).map_or(s, |l| &l.1).clone(),
                _ => s.clone(),
            };
            weights[class_index(class, slot)] = effective.expand(kind, &tap_list, scale.shift);
            if !matches!(s.tying, Tying::Default | Tying::Repeat) {
                last.push((key, effective));
            }
        }
        Self { scale, weights, thresholds: thresholds(scale.step) }
    }
}

/// Rows that the walk works in.
#[derive(Default)]
struct Scratch {
    predicted: Vec<i32>,
    contexts: Vec<u8>,
    reference: Vec<u8>,
    gather: Gather,
}

/// Codes all frames of a band with `coder`. `fine[frame]` says that a frame is coded in steps of one grid unit,
/// with contexts of its own.
pub fn walk(model: &Model, plan: &[Step], band: &Band, fine: &[bool], coder: &mut impl RowCoder) {
    let release = released(plan);
    let mut decoded: Vec<Option<Decoded>> = (0..plan.len()).map(|_| None).collect();
    let mut scratch = Scratch::default();
    for (step, release) in plan.iter().zip(release) {
        if coder.failed() {
            return;
        }
        let references: Vec<&Decoded> = step.references.iter().filter_map(|&r| decoded[r].as_ref()).collect();
        let frame = walk_frame(model, step, band, fine[step.frame], &references, &mut scratch, coder);
        decoded[step.frame] = Some(frame);
        for frame in release {
            decoded[frame] = None;
        }
    }
}

fn walk_frame(
    model: &Model,
    step: &Step,
    band: &Band,
    fine: bool,
    references: &[&Decoded],
    scratch: &mut Scratch,
    coder: &mut impl RowCoder,
) -> Decoded {
    let top = levels(band.height, band.width);
    let lattice = |level: usize| (band.height.div_ceil(1 << level), band.width.div_ceil(1 << level));
    let size = lattice(top);
    let (mut coarse, mut coarse_activity) =
        (Plane::<i32>::new(size.0, size.1), Plane::<u8>::new(size.0, size.1));
    let mut pass = Pass { model, step, fine, references, scratch, coder };
    if references.is_empty() {
        pass.plain_roots(1 << top, &mut coarse, &mut coarse_activity);
    } else {
        for i in 0..size.0 {
            let site = Site::new(Kind::Root, 1 << top, i, size.1);
            let mut values = std::mem::take(&mut coarse);
            let mut activity = std::mem::take(&mut coarse_activity);
            pass.row(&site, top, None, values.row_mut(i), activity.row_mut(i));
            (coarse, coarse_activity) = (values, activity);
        }
    }
    for level in (0..top).rev() {
        let size = lattice(level);
        let mut values: Phases<i32> = Default::default();
        let mut activity: Phases<u8> = Default::default();
        coarse.fill_halo(size, (0, 0));
        coarse_activity.fill_halo(size, (0, 0));
        (values[0], activity[0]) = (coarse, coarse_activity);
        for kind in PASSES {
            let p = kind.phase();
            let (h, w) = phase_size(size, p);
            let (mut v, mut a) = (Plane::new(h, w), Plane::new(h, w));
            if !v.is_empty() {
                for i in 0..h {
                    let site = Site::new(kind, 1 << level, i, w);
                    pass.row(&site, level, Some((&values, &activity)), v.row_mut(i), a.row_mut(i));
                }
            }
            v.fill_halo(size, kind.parity());
            a.fill_halo(size, kind.parity());
            (values[p], activity[p]) = (v, a);
        }
        if level == 0 {
            pass.coder.frame(step.frame, &mut |y, out: &mut [i32]| interleave_row(&values, y, out));
            return Decoded { activity: smooth_phases(&activity, size), values };
        }
        (coarse, coarse_activity) = (Plane::new(size.0, size.1), Plane::new(size.0, size.1));
        for y in 0..size.0 {
            interleave_row(&values, y, coarse.row_mut(y));
            interleave_row(&activity, y, coarse_activity.row_mut(y));
        }
    }
    unreachable!("there is always a finest level")
}

/// Activity around each point of the full lattice.
fn smooth_phases(activity: &Phases<u8>, lattice: (usize, usize)) -> Phases<u8> {
    let mut out: Phases<u8> = Default::default();
    for (p, plane) in out.iter_mut().enumerate() {
        let (a, b) = (p >> 1, p & 1);
        let own = &activity[p];
        *plane = Plane::new(own.height, own.width);
        let pick = |q: usize| if activity[q].is_empty() { own } else { &activity[q] };
        let (beside, beyond) = (pick(p ^ 1), pick(p ^ 2));
        for i in 0..own.height {
            let r = i as isize;
            // Neighbours have the other parity: at the same index and, by the side of the parity, one before or after.
            let (up, down) = if a == 0 { (r - 1, r) } else { (r, r + 1) };
            let (left, right) = if b == 0 { (-1, 0) } else { (0, 1) };
            smooth(
                beyond.from(up, 0),
                beside.from(r, left),
                own.from(r, 0),
                beside.from(r, right),
                beyond.from(down, 0),
                plane.row_mut(i),
            );
        }
        plane.fill_halo(lattice, (a, b));
    }
    out
}

/// One pass over a frame.
struct Pass<'a, C: RowCoder> {
    model: &'a Model,
    step: &'a Step,
    fine: bool,
    references: &'a [&'a Decoded],
    scratch: &'a mut Scratch,
    coder: &'a mut C,
}

impl<C: RowCoder> Pass<'_, C> {
    /// First context of the pass.
    fn base(&self, kind: Kind, level: usize) -> u8 {
        let inter = usize::from(!self.references.is_empty());
        let group = match kind {
            Kind::Root => 8 + inter,
            _ => usize::from(level > 0) + 2 * inter + 4 * usize::from(self.fine),
        };
        group as u8 * CONTEXTS
    }

    /// Predicts and codes one row of a pass.
    fn row(
        &mut self,
        site: &Site,
        level: usize,
        known: Option<(&Phases<i32>, &Phases<u8>)>,
        values: &mut [i32],
        activity: &mut [u8],
    ) {
        let n = site.width;
        let base = self.base(site.kind, level);
        let Scratch { predicted, contexts: context_row, reference, gather } = &mut *self.scratch;
        predicted.resize(n, 0);
        context_row.resize(n, 0);
        let phases: ArrayVec<&Phases<i32>, MAX_REFERENCES> =
            self.references.iter().map(|r| &r.values).collect();
        let slot = if site.kind == Kind::Root { ROOT_SLOT } else { slot(site.kind, level) };
        let weighted = &self.model.weights[class_index(self.step.class, slot)];
        let scale = &self.model.scale;
        let rows = gather.rows(site, weighted, known.map(|k| k.0), &phases);
        weighted_sum(&rows, scale.shift, scale.low, scale.high, predicted);
        reference_activity(self.references, site, reference);
        match known {
            Some((lattice, known_activity)) => {
                let near = nearest(site, lattice);
                let around = nearest(site, known_activity);
                contexts(near, predicted, around, reference, &self.model.thresholds, base, context_row);
            }
            None => {
                let same = &predicted[..];
                let around = &reference[..];
                contexts(
                    [same; 4],
                    predicted,
                    [around; 4],
                    reference,
                    &self.model.thresholds,
                    base,
                    context_row,
                );
            }
        }
        let at = RowAt {
            frame: self.step.frame,
            y: site.y as usize,
            x: site.x as usize,
            stride: site.stride as usize,
        };
        self.coder.row(at, predicted, context_row, values, activity);
    }

    /// Codes the coarsest lattice of a frame without references, point by point.
    fn plain_roots(&mut self, spacing: usize, values: &mut Plane<i32>, activity: &mut Plane<u8>) {
        let base = self.base(Kind::Root, 0);
        let (low, high) = (self.model.scale.low, self.model.scale.high);
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
                let before = if j > 0 { activity.row(i)[j - 1] } else { 255 };
                let level = (8 - before.leading_zeros()) as u8;
                let at = RowAt { frame: self.step.frame, y: i * spacing, x: j * spacing, stride: spacing };
                let (v, a) = (&mut values.row_mut(i)[j..=j], &mut activity.row_mut(i)[j..=j]);
                self.coder.row(at, &[predicted], &[base + level], v, a);
            }
        }
    }
}

/// The rows of the four nearest known points of a pass, in `phases`.
fn nearest<'a, T: Copy + Default>(site: &Site, phases: &'a Phases<T>) -> [&'a [T]; 4] {
    let i = site.i;
    let first = phases[0].from(i, 0);
    let or_first = |p: usize, i: isize, j: isize| {
        if phases[p].is_empty() {
            first
        } else {
            phases[p].from(i, j)
        }
    };
    match site.kind {
        Kind::Centre => [first, phases[0].from(i, 1), phases[0].from(i + 1, 0), phases[0].from(i + 1, 1)],
        Kind::Vertical => [first, phases[0].from(i + 1, 0), or_first(3, i, -1), or_first(3, i, 0)],
        Kind::Horizontal => [first, phases[0].from(i, 1), or_first(3, i - 1, 0), or_first(3, i, 0)],
        Kind::Root => [first; 4],
    }
}

/// Mean activity of the first two references at the points of a row.
fn reference_activity(references: &[&Decoded], site: &Site, out: &mut Vec<u8>) {
    out.clear();
    let row = |r: &'_ Decoded, out: &mut Vec<u8>| {
        let plane = &r.activity[(2 * (site.y & 1) + (site.x & 1)) as usize];
        let step = (site.stride / 2) as usize;
        let row = plane.from(site.y >> 1, site.x >> 1);
        if step == 1 {
            out.extend_from_slice(&row[..site.width]);
        } else {
            out.extend((0..site.width).map(|j| row[j * step]));
        }
    };
    match references {
        [] => out.resize(site.width, 0),
        [one] => row(one, out),
        [first, second, ..] => {
            row(first, out);
            let plane = &second.activity[(2 * (site.y & 1) + (site.x & 1)) as usize];
            let step = (site.stride / 2) as usize;
            let other = plane.from(site.y >> 1, site.x >> 1).iter().step_by(step);
            for (o, b) in out.iter_mut().zip(other) {
                *o = ((u16::from(*o) + u16::from(*b)) >> 1) as u8;
            }
        }
    }
}
