//! What each layer computes: the definition, one channel at a time, in plain integers.
//!
//! Values lie in planes: \[channel\]\[level\]\[row\]\[column\], as 16-bit integers whatever the node's type; in graphs of
//! blocks those of many blocks side by side: \[channel\]\[level\]\[row\]\[column\]\[block\]. Fast kernels give the same bits and are
//! tested against this.

use super::graph::{Conv, Gdn, Node, Op};

/// Values of a node.
#[derive(Clone, Copy)]
pub struct Planes<'a> {
    /// Levels, rows, columns.
    pub size: [usize; 3],
    /// Values of a point, one of each block; 1 in planes.
    pub lanes: usize,
    pub values: &'a [i16],
}

impl<'a> Planes<'a> {
    fn channel(&self, c: usize) -> &'a [i16] {
        let points = self.size.iter().product::<usize>() * self.lanes;
        &self.values[c * points..(c + 1) * points]
    }

    fn row(&self, c: usize, z: usize, y: usize) -> &'a [i16] {
        let len = self.size[2] * self.lanes;
        let at = ((c * self.size[0] + z) * self.size[1] + y) * len;
        &self.values[at..at + len]
    }
}

/// (v * multiplier + 2^(shift-1)) >> shift within `low..=high`.
pub fn requantised(v: i32, multiplier: i32, shift: u8, (low, high): (i32, i32)) -> i32 {
    let y = (i64::from(v) * i64::from(multiplier) + (1 << (shift - 1))) >> shift;
    y.clamp(low.into(), high.into()) as i32
}

/// Channel `c` of a node of the size `size` from the nodes that it reads. An input has nothing to compute.
pub fn channel(node: &Node, size: [usize; 3], inputs: &[Planes], c: usize, out: &mut [i16]) {
    let x = inputs[0];
    let clamp = |v: i32| v.clamp(node.range.0, node.range.1) as i16;
    match &node.op {
        Op::Input(_) => {}
        Op::Conv(conv) => convolution(conv, node, x, size, c, out),
        Op::Upsample => {
            let halved = |z: usize| if node.levels { z / 2 } else { z };
            for_rows(size, out, |z, y, row| {
                let from = x.row(c, halved(z), y / 2);
                row.iter_mut().enumerate().for_each(|(j, v)| *v = from[j / 2]);
            });
        }
        Op::SpaceToDepth => for_rows(size, out, |z, y, row| {
            let from = x.row(c / 4, z, 2 * y + c % 4 / 2);
            row.iter_mut().enumerate().for_each(|(j, v)| *v = from[2 * j + c % 2]);
        }),
        Op::DepthToSpace => for_rows(size, out, |z, y, row| {
            let from = [0, 1].map(|dx| x.row(4 * c + y % 2 * 2 + dx, z, y / 2));
            row.iter_mut().enumerate().for_each(|(j, v)| *v = from[j % 2][j / 2]);
        }),
        Op::Concat => {
            let mut first = 0;
            for part in inputs {
                let channels = part.values.len() / out.len().max(1);
                if c < first + channels {
                    out.copy_from_slice(part.channel(c - first));
                    return;
                }
                first += channels;
            }
        }
        Op::Add => {
            for ((o, a), b) in out.iter_mut().zip(x.channel(c)).zip(inputs[1].channel(c)) {
                *o = clamp(i32::from(*a) + i32::from(*b));
            }
        }
        Op::Subtract { shift } => {
            let half = (1 << shift) >> 1;
            for ((o, a), b) in out.iter_mut().zip(x.channel(c)).zip(inputs[1].channel(c)) {
                *o = clamp((i32::from(*a) - i32::from(*b) + half) >> shift);
            }
        }
        Op::Rescale { multiplier, shift } => {
            for (o, v) in out.iter_mut().zip(x.channel(c)) {
                *o = requantised(i32::from(*v), *multiplier, *shift, node.range) as i16;
            }
        }
        Op::Slice(from) => out.copy_from_slice(x.channel(from + c)),
        Op::Multiply { shift } => {
            for ((o, a), b) in out.iter_mut().zip(x.channel(c)).zip(inputs[1].channel(c)) {
                *o = clamp((i32::from(*a) * i32::from(*b) + (1 << (shift - 1))) >> shift);
            }
        }
        Op::MaxPool => for_rows(size, out, |z, y, row| {
            let levels = if node.levels { 2 * z..2 * z + 2 } else { z..z + 1 };
            let rows: Vec<&[i16]> =
                levels.flat_map(|z| [x.row(c, z, 2 * y), x.row(c, z, 2 * y + 1)]).collect();
            for (j, v) in row.iter_mut().enumerate() {
                *v = rows.iter().map(|r| r[2 * j].max(r[2 * j + 1])).max().unwrap_or(0);
            }
        }),
        Op::Table(table) => {
            for (o, v) in out.iter_mut().zip(x.channel(c)) {
                *o = i16::from(table[(i32::from(*v) + 128) as usize]);
            }
        }
        Op::Gdn(gdn) => normalised(gdn, node, x, c, out),
        Op::Quantise { step } => {
            for (o, v) in out.iter_mut().zip(x.channel(c)) {
                *o = clamp((i32::from(*v) + step / 2).div_euclid(*step) * step);
            }
        }
        Op::Flatten => {
            let channels = node.channels / x.size.iter().product::<usize>();
            out.copy_from_slice(&x.channel(c % channels)[c / channels * x.lanes..][..x.lanes]);
        }
        Op::Unflatten => {
            for (p, out) in out.chunks_exact_mut(x.lanes).enumerate() {
                out.copy_from_slice(x.channel(p * node.channels + c));
            }
        }
    }
}

/// Calls `work` with level, row and the values of each row.
fn for_rows(size: [usize; 3], out: &mut [i16], mut work: impl FnMut(usize, usize, &mut [i16])) {
    for (i, row) in out.chunks_exact_mut(size[2].max(1)).enumerate() {
        work(i / size[1], i % size[1], row);
    }
}

/// The weights of output `c`: (input, level, row, column of the kernel, weight), those that are not zero.
fn taps(conv: &Conv, c: usize) -> impl Iterator<Item = (usize, [usize; 3], i32)> + '_ {
    let [_, h, w] = conv.kernel;
    let points: usize = conv.kernel.iter().product();
    let each = conv.weight.len() / conv.requantise.bias.len();
    let weights = conv.weight[c * each..(c + 1) * each].iter().enumerate().filter(|(_, w)| **w != 0);
    weights.map(move |(i, weight)| {
        let k = i % points;
        (i / points, [k / (h * w), k / w % h, k % w], i32::from(*weight))
    })
}

fn finish(conv: &Conv, node: &Node, c: usize, sums: &[i32], out: &mut [i16]) {
    let r = &conv.requantise;
    for (o, sum) in out.iter_mut().zip(sums) {
        *o = requantised(*sum, r.multiplier[c], r.shift[c], node.range) as i16;
    }
}

/// The weighted sums of what each output meets. Outside of planes their border goes on; outside of blocks, and between the
/// points that a transposed convolution spreads, there is nothing.
fn convolution(conv: &Conv, node: &Node, x: Planes, size: [usize; 3], c: usize, out: &mut [i16]) {
    let border = !conv.transposed && node.points.is_none();
    let at = |axis: usize, i: usize, k: usize| match border {
        true => Some((i * conv.stride[axis] + k).saturating_sub(conv.kernel[axis] / 2).min(x.size[axis] - 1)),
        false => conv.meets(axis, i, k, x.size[axis]),
    };
    let mut sums = vec![0; size[2] * x.lanes];
    for_rows([size[0], size[1], size[2] * x.lanes], out, |z, y, row| {
        sums.fill(conv.requantise.bias[c]);
        for (input, [kz, ky, kx], weight) in taps(conv, c) {
            let (Some(p), Some(q)) = (at(0, z, kz), at(1, y, ky)) else { continue };
            let from = x.row(input, p, q);
            for (j, sums) in sums.chunks_exact_mut(x.lanes).enumerate() {
                let Some(r) = at(2, j, kx) else { continue };
                for (sum, v) in sums.iter_mut().zip(&from[r * x.lanes..]) {
                    *sum += weight * i32::from(*v);
                }
            }
        }
        finish(conv, node, c, &sums, row);
    });
}

/// With r the square root of (beta + sum of gamma * x^2) * 2^16, rounded down: x * multiplier / r, rounded to the nearest
/// (halves up); inverse: (x * r * multiplier + 2^(shift-1)) >> shift.
fn normalised(gdn: &Gdn, node: &Node, x: Planes, c: usize, out: &mut [i16]) {
    let channels = gdn.beta.len();
    let gamma = &gdn.gamma[c * channels..(c + 1) * channels];
    let (low, high) = (i64::from(node.range.0), i64::from(node.range.1));
    let m = i64::from(gdn.multiplier[c]);
    for (j, o) in out.iter_mut().enumerate() {
        let mut sum = gdn.beta[c];
        for (k, g) in gamma.iter().enumerate() {
            let v = i32::from(x.channel(k)[j]);
            sum += i32::from(*g) * v * v;
        }
        let root = ((sum as u64) << 16).isqrt() as i64;
        let v = i64::from(x.channel(c)[j]);
        let y = match &gdn.inverse {
            Some(shift) => (v * root * m + (1 << (shift[c] - 1))) >> shift[c],
            None => (2 * v * m + root).div_euclid(2 * root),
        };
        *o = y.clamp(low, high) as i16;
    }
}
