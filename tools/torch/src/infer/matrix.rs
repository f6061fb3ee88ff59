//! Sums of products that are exact, as products of matrices.
//!
//! A sum of integers comes out exactly in floating point, in whatever order it is taken, where no sum of a part of its terms
//! leaves the range of the significand: 2^24 in float32, 2^53 in float64. Convolutions are therefore written out as
//! patches times weights; a library's own convolution may be a Winograd or Fourier transform, which rounds. The rows of
//! the matrix are cut where float32 would leave its range, and the pieces added as integers.
//!
//! Float32 is taken only for factors that 8 bits hold: also the shorter formats, which a program may allow libtorch to
//! use for float32 (TF32, bfloat16), have them exactly, and add in float32.

use augur_core::network::layers::Conv;
use tch::{Device, Kind, Tensor};

/// Largest sum in float32.
const EXACT: i64 = 1 << 24;
/// Largest factor that goes into a product in float32.
const SHORT: i32 = 256;
/// Most bytes of patches at a time, on a CPU and on a GPU.
const PATCHES: [i64; 2] = [16 << 20, 512 << 20];

/// A convolution, also the transposed one and the dense layer, with its requantisation.
#[derive(Debug)]
pub struct Sums {
    kernel: [i64; 3],
    stride: [i64; 3],
    transposed: bool,
    kind: Kind,
    /// For each level of the kernel.
    pieces: Vec<Vec<Piece>>,
    bias: Tensor,
    multiplier: Tensor,
    shift: Tensor,
    half: Tensor,
}

/// Columns of the matrix of weights, as many as are exact together.
#[derive(Debug)]
struct Piece {
    from: i64,
    /// \[1\]\[output\]\[column\]
    weight: Tensor,
}

/// Numbers of each channel.
pub fn column(values: impl Iterator<Item = i64>, device: Device) -> Tensor {
    Tensor::from_slice(&values.collect::<Vec<i64>>()).view([1, -1, 1, 1]).to_device(device)
}

impl Sums {
    /// For inputs in `range`.
    pub fn new(conv: &Conv, range: (i32, i32), device: Device) -> Self {
        let [depth, height, width] = conv.kernel;
        let outputs = conv.requantise.bias.len();
        let inputs = conv.weight.len() / (outputs * depth * height * width).max(1);
        let plane = height * width;
        let short = range.0.abs().max(range.1.abs()) <= SHORT;
        let kind = if short { Kind::Float } else { Kind::Double };
        let columns = inputs * plane;
        let pieces = (0..depth).map(|level| {
            let at = |output: usize, column: usize| {
                let (input, point) = (column / plane, column % plane);
                // The transposed one is a convolution with the kernel turned around.
                let point = if conv.transposed { plane - 1 - point } else { point };
                conv.weight[((output * inputs + input) * depth + level) * plane + point]
            };
            let ends = cuts(outputs, columns, range, if short { EXACT } else { i64::MAX }, &at);
            let piece = |(i, &end): (usize, &usize)| {
                let from = if i == 0 { 0 } else { ends[i - 1] };
                let values: Vec<i8> = (0..outputs)
                    .flat_map(|o| (from..end).map(move |c| (o, c)))
                    .map(|(o, c)| at(o, c))
                    .collect();
                let weight = Tensor::from_slice(&values).to_device(device).to_kind(kind);
                Piece { from: from as i64, weight: weight.view([1, outputs as i64, -1]) }
            };
            ends.iter().enumerate().map(piece).collect()
        });
        let r = &conv.requantise;
        Self {
            kernel: conv.kernel.map(|n| n as i64),
            stride: conv.stride.map(|n| n as i64),
            transposed: conv.transposed,
            kind,
            pieces: pieces.collect(),
            bias: column(r.bias.iter().map(|&v| v.into()), device),
            multiplier: column(r.multiplier.iter().map(|&v| v.into()), device),
            shift: column(r.shift.iter().map(|&v| v.into()), device),
            half: column(r.shift.iter().map(|&v| 1 << (v - 1)), device),
        }
    }

    /// Number of matrices in float32 and in float64.
    pub fn matrices(&self) -> [usize; 2] {
        let n = self.pieces.iter().map(Vec::len).sum();
        if self.kind == Kind::Float {
            [n, 0]
        } else {
            [0, n]
        }
    }

    /// The layer's values, within `range`.
    pub fn of(&self, x: &Tensor, range: (i32, i32)) -> Tensor {
        let [_, height, width] = self.kernel;
        // Each level of the kernel sees the planes some levels before or behind.
        let planes: Vec<Tensor> =
            (0..self.kernel[0]).map(|k| self.padded(&self.levels(x, k).to_kind(self.kind))).collect();
        let [levels, channels, rows, columns] = super::sizes(&planes[0]);
        // After padding: as many as the kernel finds place.
        let step = if self.transposed { 1 } else { self.stride[1] };
        let (rows, columns) = ((rows - height) / step + 1, (columns - width) / step + 1);
        let bytes = if self.kind == Kind::Float { 4 } else { 8 };
        let most = PATCHES[usize::from(x.device().is_cuda())];
        let row = levels * channels * height * width * columns * bytes;
        let strip = (most / row.max(1)).clamp(1, rows);
        let strips = (0..rows).step_by(strip as usize).map(|from| {
            let count = strip.min(rows - from);
            let mut sums = self.bias.shallow_clone();
            for (plane, pieces) in planes.iter().zip(&self.pieces) {
                let part = plane.narrow(2, from * step, (count - 1) * step + height);
                let patches = if [height, width, step] == [1; 3] {
                    part.reshape([levels, channels, count * columns])
                } else {
                    part.im2col([height, width], [1, 1], [0, 0], [step, step])
                };
                for piece in pieces {
                    let length = piece.weight.size()[2];
                    let product = piece.weight.matmul(&patches.narrow(1, piece.from, length));
                    sums = product.to_kind(Kind::Int64).view([levels, -1, count, columns]) + sums;
                }
            }
            let values = (sums * &self.multiplier + &self.half).bitwise_right_shift(&self.shift);
            values.clamp(i64::from(range.0), i64::from(range.1)).to_kind(Kind::Int16)
        });
        let mut strips: Vec<Tensor> = strips.collect();
        if strips.len() == 1 {
            return strips.remove(0);
        }
        Tensor::cat(&strips, 2)
    }

    /// The levels that level `k` of the kernel sees; outside, the first and the last go on.
    fn levels(&self, x: &Tensor, k: i64) -> Tensor {
        if self.kernel[0] == 1 && self.stride[0] == 1 {
            return x.shallow_clone();
        }
        let levels = x.size()[0];
        let seen = (0..levels / self.stride[0])
            .map(|z| (z * self.stride[0] + k - self.kernel[0] / 2).clamp(0, levels - 1));
        x.index_select(0, &Tensor::from_slice(&seen.collect::<Vec<i64>>()).to_device(x.device()))
    }

    /// Planes with what the kernel sees around them: their border, or zeros between and around the points.
    fn padded(&self, x: &Tensor) -> Tensor {
        let (y, x_) = (self.kernel[1] / 2, self.kernel[2] / 2);
        if self.transposed {
            let [l, c, h, w] = super::sizes(x);
            let apart = x.reshape([l, c, h, 1, w, 1]).constant_pad_nd([0, 1, 0, 0, 0, 1]);
            return apart.reshape([l, c, 2 * h, 2 * w]).constant_pad_nd([x_, x_, y, y]);
        }
        if (y, x_) == (0, 0) {
            return x.shallow_clone();
        }
        x.replication_pad2d([x_, x_, y, y])
    }
}

/// Where the columns of a matrix of weights are cut, so that for inputs in `range` no sum over a part of a piece
/// leaves -`most` to `most`.
fn cuts(
    outputs: usize,
    columns: usize,
    (low, high): (i32, i32),
    most: i64,
    at: &dyn Fn(usize, usize) -> i8,
) -> Vec<usize> {
    let mut ends = vec![];
    // The least and the greatest sum that a part of the columns so far can have.
    let mut sums = vec![(0i64, 0i64); outputs];
    for column in 0..columns {
        let reach = |(output, sum): (usize, &(i64, i64))| {
            let w = i64::from(at(output, column));
            let (a, b) = (w * i64::from(low), w * i64::from(high));
            (sum.0 + a.min(b).min(0), sum.1 + a.max(b).max(0))
        };
        let mut next: Vec<(i64, i64)> = sums.iter().enumerate().map(reach).collect();
        if next.iter().any(|s| s.0 < -most || s.1 > most) {
            ends.push(column);
            sums.fill((0, 0));
            next = sums.iter().enumerate().map(reach).collect();
        }
        sums = next;
    }
    ends.push(columns);
    ends
}

#[cfg(test)]
mod tests {
    use super::cuts;

    #[test]
    fn matrices_are_cut_before_float32_rounds() {
        let most = 1 << 24;
        // 127 * 127 * 1040 is just below 2^24.
        assert_eq!(cuts(1, 3000, (0, 127), most, &|_, _| 127), [1040, 2080, 3000]);
        // Terms of both signs never add up; with both signs of the input they may.
        let mixed = |_: usize, c: usize| if c.is_multiple_of(2) { 127 } else { -127 };
        assert_eq!(cuts(1, 2080, (0, 127), most, &mixed), [2080]);
        assert_eq!(cuts(1, 2080, (-127, 127), most, &mixed), [1040, 2080]);
        // The output that reaches furthest decides.
        assert_eq!(cuts(2, 1500, (0, 127), most, &|o, _| if o == 0 { 1 } else { 127 }), [1040, 1500]);
        assert_eq!(cuts(1, 5000, (-32768, 32767), i64::MAX, &|_, _| -128), [5000]);
    }
}
