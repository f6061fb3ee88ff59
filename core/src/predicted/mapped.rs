//! A chunk on its grid: integers relative to the middle, special points apart, frames by kind.

use super::holes::fill_holes;
use super::side::FrameKind;
use crate::chunk::Frames;
use crate::grid::{Extent, Grid, Mapping};
use crate::number::Number;
use crate::scan::{self, BLOCK, ROUND};
use crate::scratch::Buffer;
use crate::special::Special;
use crate::threads::parallel;

/// The chunk on its grid.
pub struct Mapped {
    /// Grid values minus `offset`; special points hold a neighbour's.
    pub grid: Buffer<i32>,
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

/// How far the chunk is written.
#[derive(Clone, Copy, Debug)]
pub struct Writing<'a> {
    /// Leading points that are written; the others hold the fill value and must keep it.
    pub points: usize,
    /// Whether more will come.
    pub provisional: bool,
    /// Frames that are known to have been decoded.
    pub known: &'a [bool],
    /// Whether no others were.
    pub fresh: bool,
}

/// Maps the chunk on at most `threads` threads. `extent` is that of the mapped quantity (logarithms for logarithmic
/// grids).
pub fn map<N: Number>(
    raw: &[u8],
    frames: &Frames,
    grid: &Grid,
    special: &Special,
    extent: &Extent,
    writing: Writing,
    threads: usize,
) -> Mapped {
    let mut offset = grid.position(0.5 * (extent.min + extent.max)).round();
    if let (Some(v), Some(_)) = (extent.frequent, grid.linear(0.0)) {
        // A whole number of steps away, where values that continue each other come back as they are: calm regions have no
        // error then, whatever the bound is.
        let step = f64::from(grid.step);
        let away = grid.position(v).round() - offset;
        offset += away - step * (away / step).round();
    }
    let area = frames.area();
    let count = raw.len() / N::SIZE;
    // Every frame sets its own.
    let mut positions = Buffer::arbitrary(count);
    let mapping = MapFrame { raw, area, grid, special, writing, offset };
    let work = positions.chunks_exact_mut(area).enumerate().collect();
    let found = parallel(work, threads, |(frame, k): (usize, &mut [i32])| mapping.frame::<N>(frame, k));
    let joined = |part: &dyn Fn(&MappedFrame) -> Option<&Vec<u8>>| {
        found.iter().any(|f| part(f).is_some()).then(|| {
            let mut all = vec![0; count];
            for (all, f) in all.chunks_exact_mut(area).zip(&found) {
                if let Some(own) = part(f) {
                    all.copy_from_slice(own);
                }
            }
            all
        })
    };
    let mut out = Mapped {
        mask: joined(&|f| f.mask.as_ref()),
        negative: joined(&|f| f.negative.as_ref()),
        grid: positions,
        offset: offset as i64,
        kinds: found.iter().map(|f| f.kind).collect(),
        low: found.iter().map(|f| f.low).min().unwrap_or(i32::MAX),
        high: found.iter().map(|f| f.high).max().unwrap_or(i32::MIN),
    };
    if let Some(mask) = &out.mask {
        fill_holes(&mut out.grid, mask, frames);
    }
    out
}

/// What the mapping of every frame shares.
struct MapFrame<'a> {
    raw: &'a [u8],
    area: usize,
    grid: &'a Grid,
    special: &'a Special,
    writing: Writing<'a>,
    offset: f64,
}

/// What mapping found in a frame, besides its positions.
struct MappedFrame {
    mask: Option<Vec<u8>>,
    negative: Option<Vec<u8>>,
    kind: FrameKind,
    low: i32,
    high: i32,
}

impl MapFrame<'_> {
    /// Maps a frame; `out` takes its positions.
    fn frame<N: Number>(&self, frame: usize, out: &mut [i32]) -> MappedFrame {
        let Self { raw, area, grid, special, writing, offset } = *self;
        let start = frame * area;
        let mut own = MappedFrame {
            mask: None,
            negative: None,
            kind: FrameKind::Normal,
            low: i32::MAX,
            high: i32::MIN,
        };
        if start >= writing.points {
            out.fill(0);
            own.mask = Some(vec![1; area]);
            return own;
        }
        let linear = grid.linear(offset);
        let look = grid.step > 1 && !writing.fresh;
        let bytes = &raw[start * N::SIZE..][..area * N::SIZE];
        let (mut valid, mut on_grid) = (0usize, 0usize);
        let mut marks = [0u8; BLOCK];
        for (i, block) in bytes.chunks(BLOCK * N::SIZE).enumerate() {
            let at = i * BLOCK;
            let n = block.len() / N::SIZE;
            let marks = &mut marks[..n];
            // Points that are not written have values that were not surveyed.
            let written = n.min(writing.points.saturating_sub(start + at));
            let mut marked = special.mark::<N>(&block[..written * N::SIZE], &mut marks[..written]);
            marks[written..].fill(1);
            marked |= written < n;
            let k = &mut out[at..at + n];
            let mut found;
            if let Some(linear) = &linear {
                found = scan::positions::<N>(block, linear, k);
                if look {
                    let (a, b) = scan::on_grid::<N>(block, linear, k, marks);
                    valid += a;
                    on_grid += b;
                }
            } else {
                let negative = logarithmic_positions::<N>(block, grid, offset, marks, k);
                if negative.contains(&1) {
                    own.negative.get_or_insert_with(|| vec![0; area])[at..at + n].copy_from_slice(&negative);
                }
                if look {
                    let (a, b) = logarithmic_on_grid::<N>(block, grid, offset as i64, marks, k);
                    valid += a;
                    on_grid += b;
                }
                marked = true;
                found = scan::Found { low: 0, high: 0 };
            }
            if marked {
                found = scan::clear_marked(marks, k);
                if marks.contains(&1) {
                    own.mask.get_or_insert_with(|| vec![0; area])[at..at + n].copy_from_slice(marks);
                }
            }
            own.low = own.low.min(found.low);
            own.high = own.high.max(found.high);
        }
        if grid.step > 1 {
            // A frame of few values could not be told from one that was never decoded when it comes back. It is as small in
            // units as in steps, and moves by no more than half a unit, which every grid leaves free.
            let few = N::FLOAT && !writing.provisional && is_sparse::<N>(bytes, special, grid.chance);
            let decoded = writing.known[frame] || was_decoded(valid, on_grid, grid.chance);
            own.kind = if decoded || few {
                FrameKind::Fine
            } else if writing.provisional {
                FrameKind::Provisional
            } else {
                FrameKind::Normal
            };
        }
        if own.kind == FrameKind::Provisional && N::FLOAT {
            match &linear {
                Some(linear) => scan::floors::<N>(bytes, linear, out),
                None => logarithmic_floors::<N>(bytes, grid, offset, out),
            }
            let zeros = vec![0; if own.mask.is_some() { 0 } else { area }];
            let found = scan::clear_marked(own.mask.as_deref().unwrap_or(&zeros), out);
            own.low = own.low.min(found.low);
            own.high = own.high.max(found.high);
        }
        own
    }
}

/// Positions of the values' magnitudes on a logarithmic grid; 1 for each value that is negative.
fn logarithmic_positions<N: Number>(
    raw: &[u8],
    grid: &Grid,
    offset: f64,
    marks: &[u8],
    k: &mut [i32],
) -> Vec<u8> {
    let scale = grid.position(1.0);
    let mut negative = vec![0; k.len()];
    for (((k, b), m), n) in k.iter_mut().zip(raw.chunks_exact(N::SIZE)).zip(marks).zip(&mut negative) {
        if *m == 0 {
            let x = N::read(b).to_f64();
            *k = (x.abs().log2() * scale - offset + ROUND).to_bits() as i32;
            *n = u8::from(x < 0.0);
        }
    }
    negative
}

/// As `scan::floors` for logarithmic grids.
fn logarithmic_floors<N: Number>(raw: &[u8], grid: &Grid, offset: f64, k: &mut [i32]) {
    let scale = grid.position(1.0);
    for (k, b) in k.iter_mut().zip(raw.chunks_exact(N::SIZE)) {
        *k = (N::read(b).to_f64().abs().log2() * scale - offset).floor() as i32;
    }
}

/// As `scan::on_grid` for logarithmic grids.
fn logarithmic_on_grid<N: Number>(
    raw: &[u8],
    grid: &Grid,
    offset: i64,
    marks: &[u8],
    k: &[i32],
) -> (usize, usize) {
    let (mut valid, mut on_grid) = (0, 0);
    let mut before = None;
    for ((b, k), m) in raw.chunks_exact(N::SIZE).zip(k).zip(marks) {
        let v = N::read(b);
        let repeated = before.replace(v.bits()) == Some(v.bits());
        if *m == 0 && !repeated {
            let back = grid.mapping.value(i64::from(*k) + offset, false).copysign(v.to_f64());
            valid += 1;
            on_grid += usize::from(N::cast(back).bits() == v.bits());
        }
    }
    (valid, on_grid)
}

/// The indices of the grids on which frames of the chunk were decoded before; `raw` holds the frames that are written,
/// `grids` are the grids to look for, on at most `threads` threads.
pub fn decoded_grids<N: Number>(
    raw: &[u8],
    area: usize,
    grids: &[Option<Grid>],
    special: &Special,
    threads: usize,
) -> Vec<usize> {
    let every = area.div_ceil(SAMPLES) | 1;
    let found = parallel(raw.chunks(area * N::SIZE).collect(), threads, |bytes: &[u8]| {
        let mut samples = Vec::with_capacity(SAMPLES);
        let mut before = None;
        for v in bytes.chunks_exact(N::SIZE).step_by(every).map(N::read) {
            let repeated = before.replace(v.bits()) == Some(v.bits());
            if v.to_f64() != 0.0 && !repeated && !special.is(v) {
                samples.push(v.to_f64());
            }
        }
        let decoded = |grid: &Grid| {
            let on_grid = match grid.mapping {
                Mapping::Linear(unit) => scan::grid_points::<N>(&samples, unit),
                _ => samples.iter().filter(|x| is_grid_point::<N>(**x, grid)).count(),
            };
            was_decoded(samples.len(), on_grid, grid.chance)
        };
        grids.iter().map(|grid| grid.as_ref().is_some_and(decoded)).collect::<Vec<bool>>()
    });
    (0..grids.len()).filter(|&i| found.iter().any(|frame| frame[i])).collect()
}

/// Points of a frame that [`decoded_grids`] looks at.
const SAMPLES: usize = 600;

/// Whether the number `x` is what a point of a logarithmic grid decodes to.
fn is_grid_point<N: Number>(x: f64, grid: &Grid) -> bool {
    let k = grid.position(x.abs().log2()).round();
    N::cast(grid.mapping.value(k as i64, false).copysign(x)).to_f64() == x
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

/// Whether a frame has some values that tell decoded frames from others, but too few to be sure.
fn is_sparse<N: Number>(raw: &[u8], special: &Special, chance: f64) -> bool {
    let needed = (1.5 * EVIDENCE / -chance.log2()).ceil() as usize;
    let mut before = 0;
    let counts = raw.chunks_exact(N::SIZE).map(N::read).filter(|v| {
        let repeated = std::mem::replace(&mut before, v.bits()) == v.bits();
        !repeated && v.to_f64() != 0.0 && !special.is(*v)
    });
    let found = counts.take(needed).count();
    found > 0 && found < needed
}

/// See [`was_decoded`].
const EVIDENCE: f64 = 20.0;

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
