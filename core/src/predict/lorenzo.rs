//! The Lorenzo predictor (Ibarria et al., 2003) on values that were rounded to the grid first, as cuSZ does it
//! (Tian et al., PACT 2020): each point from its neighbours to the west, north and in the frame before. All sums
//! are of exact grid values, so the encoder needs no feedback and the decoder is a running sum.

use super::cost::Cost;
use super::kernel::{activity_levels, smooth};
use super::{Band, Coder};
use crate::chunk::Frames;
use crate::reference::{released, Step};

/// Which neighbours predict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbours {
    /// The same frame: W + N - NW.
    Space,
    /// The frame before, same place.
    Time,
    /// Both: the change since the frame before, predicted in space.
    SpaceTime,
}

/// Every choice in the order of its number in the stream.
pub const NEIGHBOURS: [Neighbours; 3] = [Neighbours::Space, Neighbours::Time, Neighbours::SpaceTime];

impl Neighbours {
    /// Name for reports.
    pub fn name(self) -> &'static str {
        match self {
            Neighbours::Space => "space",
            Neighbours::Time => "time",
            Neighbours::SpaceTime => "space and time",
        }
    }
}

/// Contexts of frames without a frame before; then come those of the others.
const CONTEXTS: u8 = 22;

/// A frame already coded.
struct Known {
    values: Vec<i32>,
    /// Activity with one column on either side and one row above and below.
    activity: Vec<u8>,
}

/// Codes all frames of a band with `coder`.
pub fn walk(neighbours: Neighbours, plan: &[Step], band: &Band, coder: &mut impl Coder) {
    let release = released(plan);
    let mut known: Vec<Option<Known>> = (0..plan.len()).map(|_| None).collect();
    for (step, release) in plan.iter().zip(release) {
        if coder.failed() {
            return;
        }
        let before = match neighbours {
            Neighbours::Space => None,
            _ => step.references.first().and_then(|&r| known[r].as_ref()),
        };
        let frame = walk_frame(neighbours, step.frame, band, before, coder);
        known[step.frame] = Some(frame);
        for frame in release {
            known[frame] = None;
        }
    }
}

fn walk_frame(
    neighbours: Neighbours,
    frame: usize,
    band: &Band,
    before: Option<&Known>,
    coder: &mut impl Coder,
) -> Known {
    let (h, w) = (band.height, band.width);
    let pitch = w + 2;
    let mut values = vec![0i32; h * w];
    let mut activity = vec![0u8; pitch * (h + 2)];
    let (mut base, mut context_row, mut reference) = (vec![0i32; w], vec![0u8; w], vec![0u8; w]);
    let zeros = vec![0u8; pitch];
    // Without a frame before, time alone has nothing to predict from.
    let along_rows = neighbours != Neighbours::Time || before.is_none();
    let base_context = if before.is_some() { CONTEXTS } else { 0 };
    for y in 0..h {
        let (above, rest) = values.split_at_mut(y * w);
        let north = (y > 0 && along_rows).then(|| &above[(y - 1) * w..]);
        for (x, b) in base.iter_mut().enumerate() {
            let n = north.map_or(0, |n| n[x]);
            let p = before.map_or(0, |k| k.values[y * w + x]);
            let pn = if y > 0 && along_rows { before.map_or(0, |k| k.values[(y - 1) * w + x]) } else { 0 };
            *b = n.wrapping_add(p).wrapping_sub(pn);
        }
        match before {
            Some(k) => {
                let a = &k.activity[y * pitch..];
                smooth(
                    &a[1..],
                    &a[pitch..],
                    &a[pitch + 1..],
                    &a[pitch + 2..],
                    &a[2 * pitch + 1..],
                    &mut reference,
                );
            }
            None => reference.fill(0),
        }
        let up = &activity[y * pitch..][..pitch];
        let up2 = if y > 0 { &activity[(y - 1) * pitch..][..pitch] } else { &zeros[..] };
        let around = [&up[..w], &up[1..=w], &up[2..], &up2[1..=w], &reference];
        activity_levels(around, base_context, CONTEXTS - 1, &mut context_row);
        let own = &mut activity[(y + 1) * pitch + 1..][..w];
        coder.row(frame, y, along_rows, &base, &context_row, &mut rest[..w], own);
    }
    coder.frame(frame, &mut |y, out: &mut [i32]| out.copy_from_slice(&values[y * w..][..w]));
    Known { values, activity }
}

/// The neighbours that predict best, with the estimated bits of the chunk, on a sample of rows. `step` is the number
/// of grid units per quantisation step: the predictor works on values rounded to it.
pub fn estimate(grid: &[i32], mask: Option<&[u8]>, frames: &Frames, step: i32) -> (Neighbours, f64) {
    let (area, w) = (frames.area(), frames.width);
    let mut costs: [Cost; 3] = Default::default();
    let rows = frames.count() * frames.height;
    let every = (rows * w / SAMPLES).max(POINTS_PER_SAMPLE) | 1;
    // The row, the one above, and both in the frame before; with a zero to the west.
    let mut lines: [Vec<i32>; 4] = std::array::from_fn(|_| vec![0; w + 1]);
    let round = |out: &mut [i32], row: Option<&[i32]>| match row {
        // Steps of floating-point grids are powers of two.
        Some(row) if step.count_ones() == 1 => {
            let shift = step.trailing_zeros();
            out[1..].iter_mut().zip(row).for_each(|(o, v)| *o = v >> shift);
        }
        Some(row) => out[1..].iter_mut().zip(row).for_each(|(o, v)| *o = v.div_euclid(step)),
        None => out.fill(0),
    };
    for r in (0..rows).step_by(every) {
        let (frame, y) = (r / frames.height, r % frames.height);
        let before = frame.checked_sub(frames.levels);
        let row = |f: Option<usize>, up: usize| {
            let start = f? * area + y.checked_sub(up)? * w;
            Some(&grid[start..start + w])
        };
        for (line, (f, up)) in
            lines.iter_mut().zip([(Some(frame), 0), (Some(frame), 1), (before, 0), (before, 1)])
        {
            round(line, row(f, up));
        }
        let [own, above, past, past_above] = &lines;
        costs.iter_mut().for_each(Cost::start_run);
        for x in 0..w {
            if mask.is_some_and(|m| m[frame * area + y * w + x] != 0) {
                continue;
            }
            let in_space = own[x + 1] - own[x] - above[x + 1] + above[x];
            let past_space = past[x + 1] - past[x] - past_above[x + 1] + past_above[x];
            let (in_time, in_both) = match before {
                Some(_) => (own[x + 1] - past[x + 1], in_space - past_space),
                None => (in_space, in_space),
            };
            for (c, d) in costs.iter_mut().zip([in_space, in_time, in_both]) {
                c.add(d);
            }
        }
    }
    let bits = costs.map(|c| c.bits_per_residual());
    let choices = if frames.count() > frames.levels { 3 } else { 1 };
    let best = (0..choices).min_by(|&a, &b| bits[a].total_cmp(&bits[b])).unwrap_or(0);
    (NEIGHBOURS[best], (bits[best] + SCATTERED) * (frames.count() * area) as f64)
}

/// Bits of a point by which windows of residuals fall short of what is coded: where nearly all are zero, those that are not
/// come one by one.
const SCATTERED: f64 = 0.05;
/// Points that the estimate looks at, at most.
const SAMPLES: usize = 1 << 15;
/// Points of a chunk for each that it looks at, at least.
const POINTS_PER_SAMPLE: usize = 16;
