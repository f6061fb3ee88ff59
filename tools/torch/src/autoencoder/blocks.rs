//! Blocks of fields as the codec will show them to an encoder: of a chunk, in shares of its range.

use super::FIELD;
use crate::job::Frames;
use rand::rngs::StdRng;
use rand::Rng;
use std::ops::Range;
use tch::{Device, Tensor};

/// Steps of a chunk, at most, where the dataset has longer ones.
const STEPS: usize = 16;
/// Times that a block without any value is drawn again.
const TRIES: usize = 100;
/// Least amplitude that a chunk may seem to have.
const AMPLITUDE: f32 = 0.7;

/// Points of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Steps, levels, rows, columns.
    Box([usize; 4]),
    /// So many values of a chunk, one after another.
    Run(usize),
}

impl Shape {
    fn points(self) -> usize {
        match self {
            Self::Box(sides) => sides.iter().product(),
            Self::Run(n) => n,
        }
    }
}

/// Part of a field, a chunk of the file: first steps, levels, rows, columns, and how many.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Chunk {
    from: [usize; 4],
    size: [usize; 4],
    /// Middle and half of the range.
    range: (f32, f32),
}

/// A block: its first point (of a run: the place in the last), and whether rows and columns are mirrored.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    chunk: Chunk,
    at: [usize; 4],
    mirrored: [bool; 2],
}

/// Blocks as an encoder reads them.
#[derive(Debug)]
pub struct Batch {
    /// [blocks, points], in halves of the chunk's range.
    pub values: Tensor,
    /// 1 where a point counts.
    pub mask: Option<Tensor>,
}

/// A field and its chunks.
#[derive(Debug)]
pub struct Source<'a> {
    frames: Frames<'a>,
    /// Share of the blocks to train on.
    pub share: f64,
    size: [usize; 4],
    chunk: [usize; 4],
    shape: Shape,
    /// Chunks in levels, rows, columns.
    grid: [usize; 3],
    /// Least and greatest value of each step and part of a chunk.
    ranges: Vec<(f32, f32)>,
}

impl<'a> Source<'a> {
    /// A field that is stored in chunks of so many steps, levels, rows and columns, and the share of its blocks to train on.
    ///
    /// # Errors
    /// Too few steps.
    pub fn new(frames: Frames<'a>, chunk: [usize; 4], share: f64, shape: Shape) -> Result<Self, String> {
        let size = frames.size.map(|n| n.max(0) as usize);
        let mut chunk = chunk;
        for (k, c) in chunk.iter_mut().enumerate() {
            *c = (*c).clamp(1, size[k].max(1));
        }
        let train = frames.train.max(0) as usize;
        let deep = match shape {
            Shape::Box(sides) => sides[0],
            Shape::Run(_) => 1,
        };
        chunk[0] = chunk[0].min(STEPS.max(deep)).min(train.max(1));
        if frames.values.is_empty() || train < 1 || train > size[0] {
            return Err(format!("a field of {} steps ({train} of them to train on) is too small", size[0]));
        }
        let grid = [1, 2, 3].map(|k| size[k].div_ceil(chunk[k]));
        let mut source = Self { frames, share, size, chunk, shape, grid, ranges: vec![] };
        let count = size[0] * grid.iter().product::<usize>();
        source.ranges = vec![(f32::INFINITY, f32::NEG_INFINITY); count];
        for (i, row) in frames.values.chunks_exact(size[3]).enumerate() {
            let (t, z, y) = (i / (size[1] * size[2]), i / size[2] % size[1], i % size[2]);
            for (k, part) in row.chunks(chunk[3]).enumerate() {
                let of = ((t * grid[0] + z / chunk[1]) * grid[1] + y / chunk[2]) * grid[2] + k;
                let range = &mut source.ranges[of];
                for &v in part.iter().filter(|v| !v.is_nan()) {
                    *range = (range.0.min(v), range.1.max(v));
                }
            }
        }
        Ok(source)
    }

    /// Steps that are trained on.
    pub fn train(&self) -> Range<usize> {
        0..self.frames.train as usize
    }

    /// Steps that are held out.
    pub fn held_out(&self) -> Range<usize> {
        self.frames.train as usize..self.size[0]
    }

    /// Chunk `k` in space of the steps from `t` on, at most up to `end`; `None` where it holds only one value.
    fn chunk(&self, t: usize, end: usize, k: usize) -> Option<Chunk> {
        let steps = self.chunk[0].min(end - t);
        let count: usize = self.grid.iter().product();
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for step in t..t + steps {
            let (l, h) = self.ranges[step * count + k];
            (low, high) = (low.min(l), high.max(h));
        }
        let [_, gy, gx] = self.grid;
        let place = [k / (gy * gx), k / gx % gy, k % gx];
        let mut from = [t, 0, 0, 0];
        let mut size = [steps, 0, 0, 0];
        for axis in 1..4 {
            from[axis] = place[axis - 1] * self.chunk[axis];
            size[axis] = self.chunk[axis].min(self.size[axis] - from[axis]);
        }
        (low < high).then_some(Chunk { from, size, range: (0.5 * (low + high), 0.5 * (high - low)) })
    }

    /// All blocks of the chunks of some steps, as the codec cuts them, in the order of the file.
    pub fn all(&self, steps: Range<usize>) -> Vec<Place> {
        let mut all = vec![];
        let count: usize = self.grid.iter().product();
        let mut t = steps.start;
        while t < steps.end {
            for chunk in (0..count).filter_map(|k| self.chunk(t, steps.end, k)) {
                let cut = |axis: usize, side: usize| chunk.size[axis].div_ceil(side);
                let numbers = match self.shape {
                    Shape::Box(sides) => [0, 1, 2, 3].map(|k| cut(k, sides[k])),
                    Shape::Run(n) => [1, 1, 1, chunk.size.iter().product::<usize>().div_ceil(n)],
                };
                for i in 0..numbers.iter().product() {
                    let place = places(i, numbers);
                    let at = match self.shape {
                        Shape::Box(sides) => [0, 1, 2, 3].map(|k| place[k] * sides[k]),
                        Shape::Run(n) => [0, 0, 0, place[3] * n],
                    };
                    all.push(Place { chunk, at, mirrored: [false; 2] });
                }
            }
            t += self.chunk[0];
        }
        all
    }

    /// A block of any chunk that `steps` could be cut into: half of the time as the codec cuts it, otherwise anywhere.
    ///
    /// # Errors
    /// A field without values.
    pub fn any(&self, steps: Range<usize>, rng: &mut StdRng) -> Result<Place, String> {
        let count: usize = self.grid.iter().product();
        let length = self.chunk[0].min(steps.end - steps.start);
        for _ in 0..TRIES {
            let t = rng.random_range(steps.start..=steps.end - length);
            let Some(chunk) = self.chunk(t, t + length, rng.random_range(0..count)) else { continue };
            let aligned = rng.random::<bool>();
            let mut along = |length: usize, side: usize| {
                if aligned || length <= side {
                    rng.random_range(0..length.div_ceil(side)) * side
                } else {
                    rng.random_range(0..=length - side)
                }
            };
            let at = match self.shape {
                Shape::Box(sides) => [0, 1, 2, 3].map(|k| along(chunk.size[k], sides[k])),
                Shape::Run(n) => [0, 0, 0, along(chunk.size.iter().product(), n)],
            };
            let place = Place { chunk, at, mirrored: [false; 2] };
            if !self.is_empty(&place) {
                return Ok(place);
            }
        }
        Err("a field holds too few values that differ: there is nothing to learn".into())
    }

    /// The number of point `i` of a block in the field; what is beyond the chunk is its last one.
    fn point(&self, place: &Place, i: usize) -> usize {
        let chunk = &place.chunk;
        let inside = match self.shape {
            Shape::Box(sides) => {
                let mut at = places(i, sides);
                for (k, mirrored) in place.mirrored.iter().enumerate() {
                    if *mirrored {
                        at[2 + k] = sides[2 + k] - 1 - at[2 + k];
                    }
                }
                [0, 1, 2, 3].map(|k| (place.at[k] + at[k]).min(chunk.size[k] - 1))
            }
            Shape::Run(_) => {
                let last = chunk.size.iter().product::<usize>() - 1;
                places((place.at[3] + i).min(last), chunk.size)
            }
        };
        let [t, z, y, x] = [0, 1, 2, 3].map(|k| chunk.from[k] + inside[k]);
        ((t * self.size[1] + z) * self.size[2] + y) * self.size[3] + x
    }

    /// Whether a block holds no value.
    pub fn is_empty(&self, place: &Place) -> bool {
        (0..self.shape.points()).all(|i| self.frames.values[self.point(place, i)].is_nan())
    }

    /// Puts the values of a block in halves of the chunk's range, times `amplitude`; NaN where they are missing.
    pub fn put(&self, place: &Place, amplitude: f32, out: &mut Vec<f32>) {
        let (middle, half) = place.chunk.range;
        let of = |i| (self.frames.values[self.point(place, i)] - middle) / half * amplitude;
        out.extend((0..self.shape.points()).map(of));
    }

    /// Half the range of the chunk of a block.
    pub fn half(place: &Place) -> f64 {
        f64::from(place.chunk.range.1)
    }
}

/// Coordinates of number `i` in sides of so many.
fn places(i: usize, sides: [usize; 4]) -> [usize; 4] {
    let [_, b, c, d] = sides;
    [i / (b * c * d), i / (c * d) % b, i / d % c, i % d]
}

impl Place {
    /// Mirrored at random.
    pub fn mirrored(self, rng: &mut StdRng) -> Self {
        Self { mirrored: rng.random(), ..self }
    }
}

/// An amplitude at random.
pub fn amplitude(rng: &mut StdRng) -> f32 {
    rng.random_range(AMPLITUDE..=1.0)
}

/// Puts blocks of so many points together; missing points take the mean of the block.
pub fn batch(mut values: Vec<f32>, points: usize, device: Device) -> Batch {
    let mut mask = None;
    if values.iter().any(|v| v.is_nan()) {
        mask = Some(values.iter().map(|v| if v.is_nan() { 0.0 } else { 1.0 }).collect::<Vec<f32>>());
        for block in values.chunks_exact_mut(points) {
            let (mut n, mut sum) = (0.0, 0.0);
            for v in block.iter().filter(|v| !v.is_nan()) {
                (n, sum) = (n + 1.0, sum + v);
            }
            let mean = if n > 0.0 { sum / n } else { 0.0 };
            block.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = mean);
        }
    }
    let unit = FIELD as f32;
    values.iter_mut().for_each(|v| *v = (*v * unit).round() / unit);
    let tensor = |v: &[f32]| Tensor::from_slice(v).view([-1, points as i64]).to_device(device);
    Batch { values: tensor(&values), mask: mask.map(|m| tensor(&m)) }
}
