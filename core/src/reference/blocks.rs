//! A chunk cut into blocks: boxes of rows and columns, and of time steps or levels, or runs of values.
//!
//! Blocks are counted in the order of the chunk: the axis that they do not cross, their first axis, rows, columns. Those at the
//! ends of an axis may lie partly beyond it; there the last values go on.

use crate::chunk::Frames;
use crate::error::{Error, Result};
use crate::stream::parts::{Reader, Writer};

/// Most points of a block.
pub const MAX_POINTS: usize = 1 << 16;

/// Points of all blocks for each of the chunk, at most, where a network is used.
const MOST_BEYOND: usize = 8;
/// Points that blocks may have in any case.
const ALWAYS: usize = 4 * MAX_POINTS;

/// What blocks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Time steps, rows and columns of one level.
    InTime([usize; 3]),
    /// Levels, rows and columns of one time step.
    InSpace([usize; 3]),
    /// So many values of the chunk, one after the other.
    Run(usize),
}

impl Shape {
    /// Extents of a block.
    pub fn size(self) -> [usize; 3] {
        match self {
            Self::InTime(size) | Self::InSpace(size) => size,
            Self::Run(n) => [1, 1, n],
        }
    }

    /// Points of a block.
    pub fn points(self) -> usize {
        self.size().iter().product()
    }

    /// Name for reports.
    pub fn name(self) -> String {
        match self {
            Self::InTime([1, h, w]) | Self::InSpace([1, h, w]) => format!("blocks of {h} x {w}"),
            Self::InTime([d, h, w]) => format!("blocks of {d} steps x {h} x {w}"),
            Self::InSpace([d, h, w]) => format!("blocks of {d} levels x {h} x {w}"),
            Self::Run(n) => format!("runs of {n}"),
        }
    }

    /// Appends the shape.
    pub fn write(self, w: &mut Writer) {
        let [d, h, n] = self.size();
        w.byte(match self {
            Self::InTime(_) => 0,
            Self::InSpace(_) => 1,
            Self::Run(_) => 2,
        });
        if !matches!(self, Self::Run(_)) {
            w.number(d as u64);
            w.number(h as u64);
        }
        w.number(n as u64);
    }

    /// Reads what [`Shape::write`] wrote.
    ///
    /// # Errors
    /// `Corruption` for blocks that there are not, `Compatibility` for unknown ones.
    pub fn read(r: &mut Reader) -> Result<Self> {
        let kind = r.byte()?;
        let mut extent =
            || r.at_most(MAX_POINTS as u64, "points along a side of a block").map(|n| n as usize);
        let shape = match kind {
            0 => Self::InTime([extent()?, extent()?, extent()?]),
            1 => Self::InSpace([extent()?, extent()?, extent()?]),
            2 => Self::Run(extent()?),
            _ => return Err(Error::compatibility("blocks are of a kind unknown to this build")),
        };
        let points = shape.size().iter().try_fold(1usize, |n, s| n.checked_mul(*s));
        if points.is_none_or(|n| n == 0 || n > MAX_POINTS) {
            return Err(Error::corruption(format!(
                "the stream states {}, with 1 to {MAX_POINTS} points expected",
                shape.name()
            )));
        }
        Ok(shape)
    }
}

/// A row of a block that lies in the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Place of its first point in the block.
    pub at: usize,
    /// Index of that point in the chunk.
    pub start: usize,
    /// Points that lie in the chunk; the others repeat the last one.
    pub width: usize,
    /// Whether the row itself lies in the chunk; otherwise it repeats another one.
    pub own: bool,
}

/// The blocks of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// What they are.
    pub shape: Shape,
    /// Extents of the axis that they do not cross, of their first axis, rows and columns.
    pub extent: [usize; 4],
    /// Points from one to the next of each.
    pub stride: [usize; 4],
}

impl Blocks {
    /// The blocks of a chunk of these frames.
    pub fn new(shape: Shape, frames: &Frames) -> Self {
        let Frames { steps, levels, height, width } = *frames;
        let area = height * width;
        let (extent, stride) = match shape {
            Shape::InTime(_) => ([levels, steps, height, width], [area, levels * area, width, 1]),
            Shape::InSpace(_) => ([steps, levels, height, width], [levels * area, area, width, 1]),
            Shape::Run(_) => {
                let points = frames.count() * area;
                ([1, 1, 1, points], [points, points, points, 1])
            }
        };
        Self { shape, extent, stride }
    }

    /// Blocks along each axis; one point of the first makes a block.
    pub fn counts(&self) -> [usize; 4] {
        let size = self.shape.size();
        let along = |axis: usize| self.extent[axis + 1].div_ceil(size[axis]);
        [self.extent[0], along(0), along(1), along(2)]
    }

    /// Number of blocks.
    pub fn count(&self) -> usize {
        self.counts().iter().product()
    }

    /// Whether blocks are so much larger than the chunk that a network would work for what lies beyond it, and a stream that
    /// asks for that would take far more memory than the chunk.
    pub fn are_mostly_beyond(&self) -> bool {
        let points: usize = self.extent.iter().product();
        self.count().saturating_mul(self.shape.points()) > MOST_BEYOND * points + ALWAYS
    }

    /// Where a block begins, in points along each axis.
    pub fn origin(&self, block: usize) -> [usize; 4] {
        let [_, a, b, c] = self.counts();
        let size = self.shape.size();
        [block / (a * b * c), block / (b * c) % a * size[0], block / c % b * size[1], block % c * size[2]]
    }

    /// The rows of a block.
    pub fn rows(&self, block: usize) -> impl Iterator<Item = Row> + '_ {
        let origin = self.origin(block);
        let [depth, height, width] = self.shape.size();
        (0..depth * height).map(move |k| {
            let inside = [origin[1] + k / height, origin[2] + k % height];
            let near = [inside[0].min(self.extent[1] - 1), inside[1].min(self.extent[2] - 1)];
            Row {
                at: k * width,
                start: origin[0] * self.stride[0]
                    + near[0] * self.stride[1]
                    + near[1] * self.stride[2]
                    + origin[3],
                width: width.min(self.extent[3] - origin[3]),
                own: near == inside,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shapes() -> impl Strategy<Value = Shape> {
        let size = || prop::array::uniform3(1usize..6);
        prop_oneof![
            size().prop_map(Shape::InTime),
            size().prop_map(Shape::InSpace),
            (1usize..40).prop_map(Shape::Run)
        ]
    }

    proptest! {
        #[test]
        fn every_point_is_in_one_block(shape in shapes(), extent in prop::array::uniform4(1usize..8)) {
            let [steps, levels, height, width] = extent;
            let blocks = Blocks::new(shape, &Frames { steps, levels, height, width });
            let mut seen = vec![0; steps * levels * height * width];
            for block in 0..blocks.count() {
                let mut places = vec![false; shape.points()];
                for row in blocks.rows(block) {
                    prop_assert!(row.width > 0);
                    places[row.at..row.at + shape.size()[2]].fill(true);
                    let own = &mut seen[row.start..row.start + row.width];
                    own.iter_mut().for_each(|n| *n += i32::from(row.own));
                }
                prop_assert!(places.iter().all(|p| *p));
            }
            prop_assert!(seen.iter().all(|n| *n == 1));
        }

        #[test]
        fn shapes_come_back(shape in shapes()) {
            let mut w = Writer::default();
            shape.write(&mut w);
            let mut r = Reader::new(&w.out);
            prop_assert_eq!(Shape::read(&mut r).unwrap(), shape);
            prop_assert!(r.finish().is_ok());
        }
    }

    #[test]
    fn impossible_blocks_are_refused() {
        for bytes in
            [&[0, 1, 0, 1][..], &[2, 0], &[0, 128, 8, 128, 8, 1], &[1, 128, 128, 4, 2, 1], &[9, 1], &[2]]
        {
            assert!(Shape::read(&mut Reader::new(bytes)).is_err(), "{bytes:?}");
        }
    }
}
