//! Parts of a chunk, which are coded at the same time: bands of rows of all frames, cut between blocks, or pieces of the sequence
//! of runs. A part is a chunk of its own; here stands where its blocks, points and memory are in the whole one.

use crate::chunk::Frames;
use crate::predict::Band;
use crate::predicted::band_rows;
use crate::predicted::side::MAX_BANDS;
use crate::reference::blocks::{Blocks, Shape};

/// Points of a chunk for each of its parts, and fewest rows of a part: as the format says.
const PART_POINTS: usize = 1 << 19;
const PART_ROWS: usize = 64;

/// Number of parts of a chunk.
pub fn part_count(shape: Shape, frames: &Frames) -> usize {
    let wanted = frames.count() * frames.area() / PART_POINTS;
    let most = match shape {
        Shape::Run(n) => frames.count() * frames.area() / n,
        _ => frames.height / PART_ROWS.max(shape.size()[1]),
    };
    wanted.min(most).clamp(1, MAX_BANDS)
}

/// A row of a part, or a piece of one.
pub struct Line {
    /// Index of its first point in the part and in the chunk.
    pub local: usize,
    pub chunk: usize,
    pub len: usize,
    /// In which piece of the part's memory it lies, and where.
    pub segment: usize,
    pub offset: usize,
}

/// A part of a chunk.
pub struct Part {
    /// Its own blocks.
    pub blocks: Blocks,
    /// Points of the part.
    pub points: usize,
    /// Blocks along the axis that is cut before this part's.
    first: usize,
    /// Rows before it or, of runs, points.
    top: usize,
    frames: Frames,
}

impl Part {
    /// The parts of a chunk.
    pub fn all(shape: Shape, frames: &Frames, count: usize) -> Vec<Self> {
        let whole = Blocks::new(shape, frames);
        let (axis, size) = match shape {
            Shape::Run(n) => (3, n),
            _ => (2, shape.size()[1]),
        };
        let (along, extent) = (whole.counts()[axis], whole.extent[axis]);
        let part = |i: usize| {
            let ends = [i * along / count, (i + 1) * along / count];
            let [top, end] = ends.map(|b| (b * size).min(extent));
            let own = match shape {
                Shape::Run(_) => Frames { steps: 1, levels: 1, height: 1, width: end - top },
                _ => Frames { height: end - top, ..*frames },
            };
            let points = own.count() * own.area();
            Self { blocks: Blocks::new(shape, &own), points, first: ends[0], top, frames: *frames }
        };
        (0..count).map(part).collect()
    }

    /// The number in the chunk of one of the part's blocks.
    pub fn global(&self, block: usize, whole: &Blocks) -> usize {
        let [_, a, b, c] = whole.counts();
        let [_, _, own, columns] = self.blocks.counts();
        match self.blocks.shape {
            Shape::Run(_) => self.first + block,
            _ => {
                let (slab, rest) = (block / (own * columns), block % (own * columns));
                debug_assert!(columns == c && slab < whole.extent[0] * a);
                slab * b * c + self.first * c + rest
            }
        }
    }

    /// Index in the chunk of a point of the part.
    pub fn in_chunk(&self, local: usize) -> usize {
        match self.blocks.shape {
            Shape::Run(_) => self.top + local,
            _ => {
                let (width, rows) = (self.frames.width, self.blocks.extent[2]);
                let (frame, rest) = (local / (rows * width), local % (rows * width));
                (frame * self.frames.height + self.top) * width + rest
            }
        }
    }

    /// Its rows.
    pub fn lines(&self) -> Vec<Line> {
        let width = self.frames.width;
        let mut out = vec![];
        let mut local = 0;
        while local < self.points {
            let chunk = self.in_chunk(local);
            let len = (width - chunk % width).min(self.points - local);
            let (segment, offset) = match self.blocks.shape {
                Shape::Run(_) => (0, local),
                _ => {
                    let own = self.blocks.extent[2] * width;
                    (local / own, local % own)
                }
            };
            out.push(Line { local, chunk, len, segment, offset });
            local += len;
        }
        out
    }

    /// The memory of each part in the values of a chunk.
    pub fn memory<'a>(
        parts: &[Self],
        raw: &'a mut [u8],
        frames: &Frames,
        size: usize,
    ) -> Vec<Vec<&'a mut [u8]>> {
        if let Some(Shape::Run(_)) = parts.first().map(|p| p.blocks.shape) {
            let mut rest = raw;
            let mut out = vec![];
            for part in parts {
                let (own, next) = rest.split_at_mut(part.points * size);
                out.push(vec![own]);
                rest = next;
            }
            return out;
        }
        let cut: Vec<Band> = parts
            .iter()
            .map(|p| Band { top: p.top, height: p.blocks.extent[2], width: frames.width })
            .collect();
        band_rows(raw, frames, &cut, size)
    }
}
