//! Blockwise prediction: each block by its mean, by a plane through it, by Lorenzo's predictor, or by what an autoencoder makes of
//! it, as SZ2 (Liang et al., IEEE Big Data 2018, section V) and AE-SZ (Liu et al., CLUSTER 2021, section IV) have it.
//!
//! Blocks follow each other in the order of the chunk, points in the order of the block. Lorenzo's predictor (Ibarria et al.,
//! 2003) reads decoded points, also of blocks before; nothing lies outside of the values. All is integer arithmetic; means and
//! planes are multiples of quanta that depend on the quantisation step.

use crate::reference::autoencoder::Normalisation;
use crate::reference::blocks::Blocks;

/// How a block is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By one value.
    Mean,
    /// From the points before.
    Lorenzo,
    /// By a linear function of the place (linear regression).
    Plane,
    /// By an autoencoder.
    Network,
}

/// Every mode in the order of its number in the stream.
pub const MODES: [Mode; 4] = [Mode::Mean, Mode::Lorenzo, Mode::Plane, Mode::Network];

impl Mode {
    /// Number in the stream.
    pub fn code(self) -> u8 {
        MODES.iter().position(|m| *m == self).unwrap_or(0) as u8
    }

    /// Name for reports.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Mean => "mean",
            Mode::Lorenzo => "Lorenzo",
            Mode::Plane => "linear regression",
            Mode::Network => "network",
        }
    }
}

/// Fraction bits of the slopes of planes.
const FRACTION: u32 = 8;
/// Parts of a quantisation step that a mean, or a slope over the whole block, is a multiple of.
const PARTS: i64 = 4;
/// Largest magnitude of a mean, or a slope in parts of 2^-[`FRACTION`]: no sum over a block overflows.
pub const MAX_COEFFICIENT: i64 = 1 << 44;

/// What means and the slopes of planes are multiples of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quanta {
    /// Of values.
    pub value: i64,
    /// Of slopes along each axis, in parts of 2^-8.
    pub slopes: [i64; 3],
}

impl Quanta {
    /// For blocks of this size and quantisation steps of so many units.
    pub fn new(size: [usize; 3], step: i32) -> Self {
        let value = (i64::from(step) / PARTS).max(1);
        Self { value, slopes: size.map(|n| ((value << FRACTION) / n as i64).max(1)) }
    }
}

/// A linear function of the place in a block, or a constant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plane {
    /// At the block's first point.
    pub base: i64,
    /// Along each axis, in parts of 2^-8.
    pub slopes: [i64; 3],
}

impl Plane {
    /// The plane of these multiples of the quanta.
    pub fn of(quanta: &Quanta, base: i32, slopes: [i32; 3]) -> Self {
        let slope = |axis: usize| i64::from(slopes[axis]).saturating_mul(quanta.slopes[axis]);
        Self { base: i64::from(base).saturating_mul(quanta.value), slopes: [slope(0), slope(1), slope(2)] }
    }

    /// Whether sums of it cannot overflow.
    pub fn is_small(&self) -> bool {
        self.base.abs() <= MAX_COEFFICIENT && self.slopes.iter().all(|s| s.abs() <= MAX_COEFFICIENT)
    }
}

/// The prediction of a block.
#[derive(Clone, Copy, Debug)]
pub enum Prediction<'a> {
    /// A mean or a plane.
    Plane(Plane),
    /// Lorenzo's.
    Lorenzo,
    /// The outputs of a network for the points of the block.
    Network(&'a [i16], &'a Normalisation),
}

/// What turns the predictions of points into values: the encoder's half or the decoder's.
pub trait Points {
    /// Announces the row of points whose first has this index.
    fn row(&mut self, start: usize);
    /// The value of the `x`-th point of the row.
    fn point(&mut self, x: usize, predicted: i32) -> i32;
}

/// Codes a block of `values`; predictions lie within `limits`.
pub fn code(
    blocks: &Blocks,
    block: usize,
    prediction: Prediction,
    limits: (i32, i32),
    values: &mut [i32],
    points: &mut impl Points,
) {
    let width = blocks.shape.size()[2];
    let height = blocks.shape.size()[1];
    let [_, first_at, row_at, column] = blocks.origin(block);
    for row in blocks.rows(block).filter(|r| r.own) {
        points.row(row.start);
        let (before, rest) = values.split_at_mut(row.start);
        let own = &mut rest[..row.width];
        let place = [row.at / (height * width), row.at / width % height];
        match prediction {
            Prediction::Plane(plane) => {
                let mut sum = place[0] as i64 * plane.slopes[0] + place[1] as i64 * plane.slopes[1];
                sum += 1 << (FRACTION - 1);
                for (x, v) in own.iter_mut().enumerate() {
                    *v = points.point(x, limited(plane.base + (sum >> FRACTION), limits));
                    sum += plane.slopes[2];
                }
            }
            Prediction::Network(outputs, normal) => {
                for (x, (v, output)) in own.iter_mut().zip(&outputs[row.at..]).enumerate() {
                    *v = points.point(x, normal.value(*output, limits));
                }
            }
            Prediction::Lorenzo => {
                let west = usize::from(column > 0);
                let line = |back: usize| &before[row.start - back - west..row.start - back + row.width];
                let (above, earlier) = (row_at + place[1] > 0, first_at + place[0] > 0);
                let [_, first, down, _] = blocks.stride;
                let lines = [
                    above.then(|| line(down)),
                    earlier.then(|| line(first)),
                    (above && earlier).then(|| line(first + down)),
                ];
                lorenzo(own, (west > 0).then(|| before[row.start - 1]), lines, limits, points);
            }
        }
    }
}

/// A row by Lorenzo's predictor from the value to the west of it, and `lines`: the row above, the one before along the first
/// axis, and that one's row above. Where there is a value to the west, they begin with those above it.
#[inline(always)]
fn lorenzo(
    own: &mut [i32],
    west: Option<i32>,
    lines: [Option<&[i32]>; 3],
    limits: (i32, i32),
    points: &mut impl Points,
) {
    // What the neighbours in the other rows amount to.
    let around = |x: usize| {
        let [above, before, both] = lines.map(|line| line.map_or(0, |l| l[x]));
        above.wrapping_add(before).wrapping_sub(both)
    };
    let mut last = west.map_or(0, |w| w.wrapping_sub(around(0)));
    let first = usize::from(west.is_some());
    for (x, v) in own.iter_mut().enumerate() {
        let around = around(first + x);
        *v = points.point(x, last.wrapping_add(around).clamp(limits.0, limits.1));
        last = v.wrapping_sub(around);
    }
}

#[inline(always)]
fn limited(v: i64, (low, high): (i32, i32)) -> i32 {
    v.clamp(low.into(), high.into()) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Frames;
    use crate::reference::blocks::Shape;

    /// Residuals of all points, as they come.
    struct Record<'a> {
        target: &'a [i32],
        start: usize,
        residuals: Vec<i32>,
    }

    impl Points for Record<'_> {
        fn row(&mut self, start: usize) {
            self.start = start;
        }
        fn point(&mut self, x: usize, predicted: i32) -> i32 {
            let v = self.target[self.start + x];
            self.residuals.push(v - predicted);
            v
        }
    }

    fn residuals(blocks: &Blocks, target: &[i32], prediction: Prediction) -> Vec<i32> {
        let mut values = vec![0; target.len()];
        let mut points = Record { target, start: 0, residuals: vec![] };
        for block in 0..blocks.count() {
            code(blocks, block, prediction, (-1 << 28, 1 << 28), &mut values, &mut points);
        }
        assert_eq!(values, target);
        points.residuals
    }

    #[test]
    fn lorenzo_foresees_sums_of_functions_of_two_axes() {
        let frames = Frames { steps: 5, levels: 3, height: 7, width: 11 };
        for shape in [Shape::InTime([2, 3, 4]), Shape::InSpace([2, 4, 5]), Shape::InTime([1, 5, 5])] {
            let blocks = Blocks::new(shape, &frames);
            let mut target = vec![0; 5 * 3 * 77];
            let [outer, first, rows, columns] = blocks.extent;
            for (o, a, y, x) in (0..outer).flat_map(|o| {
                (0..first)
                    .flat_map(move |a| (0..rows).flat_map(move |y| (0..columns).map(move |x| (o, a, y, x))))
            }) {
                // What lies outside is 0: the sums begin there.
                let v = (a * a * 7 + y) * (y + 1) + x * x * (y + 3) + 5 * a * x + o;
                let at = o * blocks.stride[0] + a * blocks.stride[1] + y * blocks.stride[2] + x;
                target[at] = v as i32;
            }
            let misses = residuals(&blocks, &target, Prediction::Lorenzo).iter().filter(|r| **r != 0).count();
            // Nothing is known before the first points of each axis; a single frame of a block has the one before as well.
            let inside = outer * first.saturating_sub(1) * (rows - 1) * (columns - 1);
            assert!(
                misses <= target.len() - inside,
                "{shape:?}: {misses} of {}, {inside} inside",
                target.len()
            );
        }
    }

    #[test]
    fn planes_are_planes() {
        let blocks =
            Blocks::new(Shape::InTime([4, 4, 4]), &Frames { steps: 4, levels: 1, height: 4, width: 4 });
        let quanta = Quanta::new([4, 4, 4], 64);
        assert_eq!(quanta, Quanta { value: 16, slopes: [1024; 3] });
        let plane = Plane::of(&quanta, -3, [2, -1, 5]);
        let target: Vec<i32> = (0..64).map(|i| -48 + 8 * (i / 16) - 4 * (i / 4 % 4) + 20 * (i % 4)).collect();
        assert!(residuals(&blocks, &target, Prediction::Plane(plane)).iter().all(|r| *r == 0));
        assert!(!Plane::of(&Quanta::new([1; 3], 1 << 30), i32::MAX, [i32::MIN; 3]).is_small());
    }
}
