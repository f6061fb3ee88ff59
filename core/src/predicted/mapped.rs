//! A chunk on its grid: integers relative to the middle, special points apart, frames by kind.

use super::side::FrameKind;
use crate::chunk::Frames;
use crate::grid::{Extent, Grid, Mapping};
use crate::number::Number;
use crate::special::{Special, BLOCK};

/// The chunk on its grid.
pub struct Mapped {
    /// Grid values minus `offset`; special points hold a neighbour's.
    pub grid: Vec<i32>,
    /// Not 0 at special points.
    pub mask: Option<Vec<u8>>,
    /// Not 0 at negative points, for logarithmic grids.
    pub negative: Option<Vec<u8>>,
    /// Added to every grid value.
    pub offset: i64,
    /// Kind of each frame.
    pub kinds: Vec<FrameKind>,
    /// Smallest and largest grid value of valid points.
    pub low: i32,
    /// See `low`.
    pub high: i32,
}

/// 1.5 * 2^52: adding it rounds to an integer, which then stands in the low bits, without a function call.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// How far the chunk is written.
#[derive(Clone, Copy, Debug)]
pub struct Writing<'a> {
    /// Leading points that are written; the others hold the fill value and must keep it.
    pub points: usize,
    /// Whether more will come.
    pub provisional: bool,
    /// Frames that are known to have been decoded.
    pub known: &'a [bool],
}

/// Maps the chunk. `extent` is that of the mapped quantity (logarithms for logarithmic grids).
pub fn map<N: Number>(
    raw: &[u8],
    frames: &Frames,
    grid: &Grid,
    special: &Special,
    extent: &Extent,
    writing: Writing,
) -> Mapped {
    let offset = grid.position(0.5 * (extent.min + extent.max)).round();
    let middle = offset as i64;
    let area = frames.area();
    let logarithmic = matches!(grid.mapping, Mapping::Logarithmic(_));
    let scale = grid.position(1.0);
    let (lowest, highest) = (N::cast(f64::NEG_INFINITY), N::cast(f64::INFINITY));
    let mut out = Mapped {
        grid: vec![0; raw.len() / N::SIZE],
        mask: None,
        negative: None,
        offset: middle,
        kinds: vec![FrameKind::Normal; frames.count()],
        low: i32::MAX,
        high: i32::MIN,
    };
    for frame in 0..frames.count() {
        let bytes = &raw[frame * area * N::SIZE..][..area * N::SIZE];
        let (mut valid, mut on_grid) = (0usize, 0usize);
        let points = frame * area..(frame + 1) * area;
        if points.start >= writing.points {
            out.mask.get_or_insert_with(|| vec![0; raw.len() / N::SIZE])[points].fill(1);
            continue;
        }
        let mut count = |v: N, before: Option<N>, k: i32| {
            let x = v.to_f64();
            // Zero is on every grid, a repeated value no more evidence than one, and integers at the limits of their
            // type may have been cut off there, away from the grid.
            let repeated = before.is_some_and(|b| b.bits() == v.bits());
            let cut_off = !N::FLOAT && (v.bits() == lowest.bits() || v.bits() == highest.bits());
            let counts = (x != 0.0) & !repeated & !cut_off;
            let back = grid.mapping.value(i64::from(k) + middle, false);
            let same = N::cast(if logarithmic { back.copysign(x) } else { back }).bits() == v.bits();
            valid += usize::from(counts);
            on_grid += usize::from(counts & same);
        };
        let blocks = out.grid[points.clone()].chunks_mut(BLOCK).zip(bytes.chunks(BLOCK * N::SIZE));
        for (i, (k, block)) in blocks.enumerate() {
            let first = points.start + i * BLOCK;
            let before = |j: usize| j.checked_sub(1).map(|j| N::read(&block[j * N::SIZE..]));
            if !logarithmic && first + k.len() <= writing.points && special.none_in::<N>(block) {
                // The usual block: plain numbers, in a form that vectorises.
                for (k, b) in k.iter_mut().zip(block.chunks_exact(N::SIZE)) {
                    let rounded = N::read(b).to_f64() * scale - offset + ROUND;
                    *k = rounded.to_bits() as i32;
                }
                if grid.step > 1 {
                    for (j, (k, b)) in k.iter().zip(block.chunks_exact(N::SIZE)).enumerate() {
                        count(N::read(b), before(j), *k);
                    }
                }
                continue;
            }
            for (j, (k, b)) in k.iter_mut().zip(block.chunks_exact(N::SIZE)).enumerate() {
                let v = N::read(b);
                if special.is(v) || first + j >= writing.points {
                    out.mask.get_or_insert_with(|| vec![0; raw.len() / N::SIZE])[first + j] = 1;
                    continue;
                }
                let x = v.to_f64();
                let t = if logarithmic { x.abs().log2() } else { x } * scale - offset;
                *k = (t + ROUND).to_bits() as i32;
                if logarithmic && x < 0.0 {
                    out.negative.get_or_insert_with(|| vec![0; raw.len() / N::SIZE])[first + j] = 1;
                }
                if grid.step > 1 {
                    count(v, before(j), *k);
                }
            }
        }
        if grid.step > 1 {
            out.kinds[frame] = if writing.known[frame] || was_decoded(valid, on_grid, grid.chance) {
                FrameKind::Fine
            } else if writing.provisional {
                FrameKind::Provisional
            } else {
                FrameKind::Normal
            };
        }
        if out.kinds[frame] == FrameKind::Provisional && N::FLOAT {
            for (k, b) in out.grid[points].iter_mut().zip(bytes.chunks_exact(N::SIZE)) {
                let v = N::read(b);
                if !special.is(v) {
                    let x = v.to_f64();
                    let t = if logarithmic { x.abs().log2() } else { x } * scale - offset;
                    *k = t.floor() as i32;
                }
            }
        }
    }
    let mask = out.mask.as_deref();
    for (i, &k) in out.grid.iter().enumerate() {
        if mask.is_none_or(|m| m[i] == 0) {
            out.low = out.low.min(k);
            out.high = out.high.max(k);
        }
    }
    if out.mask.is_some() {
        fill_holes(&mut out, area);
    }
    out
}

/// The indices of the grids on which frames of the chunk were decoded before; `raw` holds the frames that are written, `grids` are the grids
/// to look for.
pub fn decoded_grids<N: Number>(
    raw: &[u8],
    area: usize,
    grids: &[Option<Grid>],
    special: &Special,
) -> Vec<usize> {
    let every = area.div_ceil(SAMPLES) | 1;
    let on = |grid: &Grid| {
        raw.chunks(area * N::SIZE).any(|bytes| {
            let (mut valid, mut on_grid) = (0, 0);
            let mut before = None;
            for v in bytes.chunks_exact(N::SIZE).step_by(every).map(N::read) {
                let x = v.to_f64();
                let repeated = before.replace(v.bits()) == Some(v.bits());
                if x != 0.0 && !repeated && !special.is(v) {
                    valid += 1;
                    on_grid += usize::from(is_grid_point(v, grid));
                }
            }
            was_decoded(valid, on_grid, grid.chance)
        })
    };
    (0..grids.len()).filter(|&i| grids[i].as_ref().is_some_and(&on)).collect()
}

/// Points of a frame that [`decoded_grids`] looks at.
const SAMPLES: usize = 600;

/// Whether `v` is what a grid point decodes to.
fn is_grid_point<N: Number>(v: N, grid: &Grid) -> bool {
    let x = v.to_f64();
    let logarithmic = matches!(grid.mapping, Mapping::Logarithmic(_));
    let k = grid.position(if logarithmic { x.abs().log2() } else { x }).round();
    let back = grid.mapping.value(k as i64, false);
    N::cast(if logarithmic { back.copysign(x) } else { back }).bits() == v.bits()
}

/// Whether a frame was decoded before: more of its values lie on the grid than chance explains. Chernoff's bound on the
/// tail of the binomial distribution: as many by chance have a probability below 2^-EVIDENCE.
fn was_decoded(valid: usize, on_grid: usize, chance: f64) -> bool {
    let (n, m) = (valid as f64, on_grid as f64);
    if m <= n * chance || chance <= 0.0 {
        // No chance at all is one of values that are all zero.
        return false;
    }
    let misses = if on_grid == valid { 0.0 } else { (n - m) * ((n - m) / (n * (1.0 - chance))).log2() };
    m * (m / (n * chance)).log2() + misses > EVIDENCE
}

/// See [`was_decoded`].
const EVIDENCE: f64 = 20.0;

/// Gives special points the value of the last valid point in their row, or of the frame before, so that the weights
/// are fitted to something smooth.
fn fill_holes(mapped: &mut Mapped, area: usize) {
    let Some(mask) = &mapped.mask else { return };
    let mut last = 0;
    for (i, m) in mask.iter().enumerate() {
        if *m == 0 {
            last = mapped.grid[i];
        } else if i >= area {
            mapped.grid[i] = mapped.grid[i - area];
        } else {
            mapped.grid[i] = last;
        }
    }
}

/// Number of leading time steps, of `steps` in all, that hold more than the value of unwritten ones. All of them when
/// none does.
pub fn written_steps<N: Number>(raw: &[u8], steps: usize, unwritten: Option<u64>) -> usize {
    let size = raw.len() / steps;
    if unwritten.is_none() && size == N::SIZE {
        // A single value is always the same everywhere.
        return steps;
    }
    let constant = unwritten.unwrap_or_else(|| N::read(&raw[raw.len() - N::SIZE..]).bits());
    let holds_more = |t: &usize| {
        raw[t * size..(t + 1) * size].chunks_exact(N::SIZE).any(|b| N::read(b).bits() != constant)
    };
    (0..steps).rev().find(holds_more).map_or(steps, |t| t + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoded_frames_are_recognised() {
        assert!(was_decoded(1000, 1000, 0.1));
        assert!(was_decoded(10, 10, 0.1));
        assert!(!was_decoded(5, 5, 0.1));
        assert!(!was_decoded(10_000, 1100, 0.1));
        assert!(was_decoded(10_000, 100, 0.000_1));
        assert!(was_decoded(1000, 995, 1.0 / 3.0));
        assert!(!was_decoded(1000, 360, 1.0 / 3.0));
        assert!(was_decoded(5, 4, 0.002) && !was_decoded(2, 1, 0.002));
        assert!(!was_decoded(0, 0, 0.1));
    }
}
