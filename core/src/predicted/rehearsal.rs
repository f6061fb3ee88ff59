//! A part of the chunk coded in one order of time and another, to tell which takes fewer bits. Estimates from samples cannot
//! tell what becomes of errors from frame to frame: at wide bounds most points keep the error that their prediction had, which
//! hides from a sample of residuals and costs bits in the frames after.

use super::choose::scale;
use super::mapped::Mapped;
use super::masked::Masked;
use super::side::FrameKind;
use crate::chunk::Frames;
use crate::entropy::{split_large, DIRECT, DIRECT_SYMBOLS};
use crate::grid::Grid;
use crate::marks;
use crate::predict::kernel::{leave_out, quantise};
use crate::predict::multiscale::{walk, Weights, CONTEXT_COUNT};
use crate::predict::plane::Pyramid;
use crate::predict::weights::Sent;
use crate::predict::{Band, Coder, RunAt};
use crate::reference::{coding_order, TimeOrder};

/// Share of the columns that is coded, as one strip: it crosses what lies in bands, such as climates and layers.
const SHARE: f64 = 0.12;
/// Fewest columns.
const LEAST: usize = 24;
/// Most levels.
const LEVELS: usize = 4;
/// Largest share of the chunk that is worth its time.
const WORTH: f64 = 0.2;
/// Symbols that are told apart.
const SYMBOLS: usize = 128;

/// The same part of every step.
pub struct Part {
    frames: Frames,
    grid: Vec<i32>,
    mask: Option<Vec<u8>>,
    fine: Vec<bool>,
    /// Points that are not special.
    points: usize,
}

impl Part {
    /// Of the strips that are looked at the one of the fewest special points; `None` where there are no others, or where
    /// it is too large a part of the chunk.
    pub fn of(mapped: &Mapped, frames: &Frames) -> Option<Self> {
        let width = ((SHARE * frames.width as f64) as usize).max(LEAST).min(frames.width);
        let levels = frames.levels.min(LEVELS);
        let part = Frames { levels, width, ..*frames };
        let count = part.count() * part.area();
        if count as f64 > WORTH * mapped.grid.len() as f64 {
            return None;
        }
        let first = (frames.levels - levels) / 2;
        let frame = move |f: usize| f / levels * frames.levels + first + f % levels;
        let rows = |left: usize| {
            let row = move |f: usize| move |y: usize| (f * frames.height + y) * frames.width + left;
            (0..part.count()).flat_map(move |f| (0..frames.height).map(row(frame(f))))
        };
        let mask = mapped.mask.as_deref();
        let special = |left: &usize| -> usize {
            mask.map_or(0, |mask| rows(*left).step_by(7).map(|at| marks::count(&mask[at..][..width])).sum())
        };
        let rest = frames.width - width;
        let left = [rest / 2, rest / 4, rest - rest / 4].map(|at| at & !1).into_iter().min_by_key(special)?;
        let mut grid = Vec::with_capacity(count);
        rows(left).for_each(|at| grid.extend_from_slice(&mapped.grid[at..][..width]));
        let mask = mask.map(|mask| {
            let mut own = Vec::with_capacity(count);
            rows(left).for_each(|at| own.extend_from_slice(&mask[at..][..width]));
            own
        });
        let points = count - mask.as_deref().map_or(0, marks::count);
        let fine = (0..part.count()).map(|f| mapped.kinds[frame(f)] != FrameKind::Normal).collect();
        (points > 0).then_some(Self { frames: part, grid, mask, fine, points })
    }

    /// Bits of a point where the part is coded in this order with these weights.
    pub fn bits(&self, mapped: &Mapped, grid: &Grid, order: TimeOrder, sent: &[Sent]) -> f64 {
        let plan = coding_order(order, &self.frames);
        let weights = Weights::new(scale(mapped, grid), &plan, sent);
        let band = Band { top: 0, height: self.frames.height, width: self.frames.width };
        let mut rehearsal = Rehearsal {
            part: self,
            step: grid.step,
            source: Pyramid::default(),
            masked: Masked::new(self.mask.as_deref()),
            symbols: vec![],
            counts: vec![[0; SYMBOLS]; CONTEXT_COUNT],
            plain: 0.0,
        };
        walk(&weights, &plan, &band, &self.fine, (None, None), &mut rehearsal);
        rehearsal.bits() / self.points as f64
    }
}

/// Codes the part and counts its symbols.
struct Rehearsal<'a> {
    part: &'a Part,
    step: i32,
    source: Pyramid<i32>,
    masked: Masked<'a>,
    symbols: Vec<u8>,
    counts: Vec<[u32; SYMBOLS]>,
    /// Bits of large residuals beside their symbols.
    plain: f64,
}

impl Rehearsal<'_> {
    fn bits(&self) -> f64 {
        let of_context = |counts: &[u32; SYMBOLS]| {
            let total: u32 = counts.iter().sum();
            let each = counts.iter().filter(|n| **n > 0).map(|n| f64::from(*n));
            each.map(|n| n * (f64::from(total) / n).log2()).sum::<f64>()
        };
        self.plain + self.counts.iter().map(of_context).sum::<f64>()
    }
}

impl Coder for Rehearsal<'_> {
    fn begin(&mut self, frame: usize) {
        let area = self.part.frames.area();
        let points = frame * area..(frame + 1) * area;
        self.source.fill(&self.part.grid[points.clone()], self.part.frames.width);
        self.masked.begin(points, self.part.frames.width);
    }

    fn run(
        &mut self,
        at: RunAt,
        predicted: &[i32],
        contexts: &[u8],
        values: &mut [i32],
        activity: &mut [u8],
    ) {
        let n = at.span();
        let step = if self.part.fine[at.frame] { 1 } else { self.step };
        let plane = &self.source.levels[at.level][at.phase];
        let start = at.row * plane.stride() + at.column;
        self.symbols.resize(n.max(self.symbols.len()), 0);
        let symbols = &mut self.symbols[..n];
        quantise(&plane.from(0, 0)[start..start + n], predicted, step, values, activity, symbols);
        let special = self.masked.of(at, 0, n);
        if let Some(mask) = special {
            leave_out(mask, predicted, values, activity, symbols);
        }
        for row in (0..n).step_by(at.stride).map(|r| r..r + at.width) {
            for j in row {
                if special.is_some_and(|m| m[j] != 0) {
                    continue;
                }
                let mut symbol = symbols[j];
                if usize::from(symbol) >= DIRECT_SYMBOLS {
                    let q = values[j].wrapping_sub(predicted[j]) / step;
                    let (class, _, bits) = split_large(q.unsigned_abs().max(DIRECT + 1) as i32);
                    self.plain += f64::from(bits);
                    symbol = class;
                }
                self.counts[usize::from(contexts[j]).min(CONTEXT_COUNT - 1)]
                    [usize::from(symbol) % SYMBOLS] += 1;
            }
        }
    }

    fn row(&mut self, _: usize, _: usize, _: bool, _: &[i32], _: &[u8], _: &mut [i32], _: &mut [u8]) {}

    fn is_last(&self) -> bool {
        true
    }

    fn frame(&mut self, _: usize, _: &mut dyn FnMut(usize, &mut [i32])) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Buffer;
    use crate::{encode, inspect, Bound, Dtype, Params, Preset};

    #[test]
    fn slow_waves_at_wide_bounds_are_coded_from_both_sides_in_time() {
        // From frame to frame errors stay and samples see nothing of them: they take a frame for predicted that is not.
        let (steps, height, width) = (16, 64, 256);
        let wave = |(t, y, x): (f64, f64, f64), i: f64| {
            let (k, sign) = (0.08 * (1.0 + 0.3 * i), if i % 2.0 == 0.0 { 1.0 } else { -1.0 });
            let along = x * (2.4 * i).cos() + y * (2.4 * i).sin();
            (k * along + 0.05 * (1.0 + 0.7 * i) * t * sign + i).sin()
        };
        let raw: Vec<u8> = (0..steps * height * width)
            .flat_map(|p| {
                let at = ((p / (height * width)) as f64, (p / width % height) as f64, (p % width) as f64);
                ((0..7).map(|i| wave(at, f64::from(i))).sum::<f64>() as f32).to_le_bytes()
            })
            .collect();
        for error in [1.0, 0.2] {
            let mut params = Params::new(Dtype::F32, &[steps, height, width], Bound::Absolute(error));
            params.preset = Preset::Balanced;
            let description = inspect(&encode(&params, &raw).unwrap()).unwrap().description;
            assert!(description.contains("hierarchical"), "{error}: {description}");
        }
    }

    #[test]
    fn the_part_is_where_most_points_count() {
        let frames = Frames { steps: 2, levels: 6, height: 30, width: 200 };
        let count = frames.count() * frames.area();
        let special = |at: &dyn Fn(usize) -> bool| {
            let mask = (0..count).map(|i| u8::from(at(i % 200))).collect();
            let grid: Vec<i32> = (0..count as i32).collect();
            let kinds = (0..frames.count()).map(|f| [FrameKind::Normal, FrameKind::Fine][f % 2]).collect();
            let grid = Buffer::of(&grid, |v| v);
            Mapped { grid, mask: Some(mask), negative: None, offset: 0, kinds, low: 0, high: count as i32 }
        };
        let part = Part::of(&special(&|x| x < 130), &frames).unwrap();
        assert_eq!((part.frames.width, part.frames.levels), (24, 4));
        // Of the levels the four in the middle, of the columns those from three quarters on.
        assert_eq!(part.grid[0], 200 * 30 + 132);
        assert_eq!(part.points, part.grid.len());
        assert_eq!(part.fine[..4], [true, false, true, false]);
        assert!(Part::of(&special(&|_| true), &frames).is_none());
        // Frames that are hardly wider than a strip are not worth it.
        let narrow = Frames { levels: 1, height: 60, width: 100, ..frames };
        let mapped = Mapped { mask: None, ..special(&|_| false) };
        assert!(
            Part::of(&Mapped { grid: Buffer::of(&vec![0; 2 * 6000], |v| v), ..mapped }, &narrow).is_none()
        );
    }
}
