//! Weights of a convolution as the fast kernels read them, and how their sums become values.

use super::graph::{Conv, Element, Gdn, Node, Op};
use super::kernel::Tap;
use super::packed::per_word;
use std::sync::OnceLock;

/// Output channels that are computed together: those of one word.
pub const OUTPUTS: usize = 4;

/// Least shift of [`Finish::Split`].
const SPLIT: i32 = 17;

/// Sums of which 16 bits are enough to say what value they give: within a window, value = (sum * multiplier + half) >>
/// shift in 32 bits. The sums are kept less the middle of the window (their start takes that into account).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Narrow {
    /// Ends of the window, less its middle: -32768 to 32767.
    pub window: (i32, i32),
    /// 1 to 32767
    pub multiplier: i32,
    /// What is added before the shift, the middle of the window times the multiplier included.
    pub half: i32,
    pub shift: i32,
}

/// Any sums: value = clamp((sum * multiplier + 2^(shift-1)) >> shift) in 64 bits; before the clamp it fits 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wide {
    pub multiplier: i32,
    pub shift: i32,
    pub clamp: (i32, i32),
}

/// How the sums of four outputs become values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    Narrow([Narrow; OUTPUTS]),
    /// Shifts of 17 or more: of the products of the lower halves of the sums the lower 16 bits do not matter, and 32 bits hold all
    /// the rest.
    Split([Wide; OUTPUTS]),
    Wide([Wide; OUTPUTS]),
    /// They do not: they are given as they are, in words.
    Sums,
}

/// A convolution, a quarter of a transposed one, or a dense layer, for the fast kernels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Levels, rows and columns of the kernel. May be 0 in a quarter of a transposed convolution.
    pub kernel: [usize; 3],
    /// The place in the kernel of the point that an output is centred at: in levels, rows, columns.
    pub origin: [usize; 3],
    /// In levels, rows, columns; that of the columns is 1 or 2.
    pub stride: [usize; 3],
    /// Whether the stride lies between the points of the output. In planes there are quarters instead.
    pub transposed: bool,
    /// Type of the input.
    pub input: Element,
    /// Whether inputs of 8 bits may be negative.
    pub signed: bool,
    /// Type of the output; sums have none.
    pub output: Option<Element>,
    /// Groups of input channels.
    pub groups: usize,
    /// Four outputs after the other: \[level\]\[row\]\[column\]\[group of inputs\]\[output\], each with the weights of a word's
    /// inputs.
    pub weights: Vec<u32>,
    /// What the sums of four outputs after the other begin with less where signed inputs are taken as 128 larger: for each
    /// place of the kernel, and for all together.
    pub more: Vec<[i32; OUTPUTS]>,
    /// The weights of signed inputs as 16-bit numbers, for those who ask.
    halves: OnceLock<Vec<u32>>,
    /// Starts of the sums and how they end, for four outputs after the other.
    pub ends: Vec<([i32; OUTPUTS], Finish)>,
}

impl Packed {
    /// The node's weights, if the fast kernels can compute it from inputs of `range` and type `input`: those of a
    /// convolution, of the four quarters of one that is transposed in planes, or of the sums of a normalisation of 8-bit values.
    pub fn new(node: &Node, input: Element, range: (i32, i32)) -> Vec<Self> {
        let found = match &node.op {
            Op::Conv(conv) if conv.transposed && node.points.is_none() => [[0, 0], [0, 1], [1, 0], [1, 1]]
                .map(|at| Self::quarter(conv, at, node, input, range))
                .into_iter()
                .collect(),
            Op::Conv(conv) => {
                let origin = conv.kernel.map(|k| k / 2);
                Self::of(conv, origin, node, input, range).map(|p| vec![p])
            }
            Op::Gdn(gdn) if input == Element::I8 => Some(vec![Self::sums(gdn)]),
            _ => None,
        };
        found.unwrap_or_default()
    }

    fn of(conv: &Conv, origin: [usize; 3], node: &Node, input: Element, range: (i32, i32)) -> Option<Self> {
        let n = per_word(input);
        let channels = conv.requantise.bias.len();
        let points: usize = conv.kernel.iter().product();
        let inputs = conv.weight.len() / channels / points.max(1);
        let signed = input == Element::I8 && range.0 < 0;
        let at = |o: usize, i: usize, k: usize| match o < channels && i < inputs {
            true => conv.weight[(o * inputs + i) * points + k],
            false => 0,
        };
        let quads = channels.div_ceil(OUTPUTS);
        let groups = inputs.div_ceil(n);
        let ends = (0..quads).map(|quad| Self::end(conv, node.range, quad, range)).collect::<Option<_>>()?;
        let more = |quad: usize| {
            let of = |k: usize| {
                let sum =
                    |o: usize| (0..inputs).map(|i| i32::from(at(quad * OUTPUTS + o, i, k))).sum::<i32>();
                std::array::from_fn(|o| sum(o).wrapping_mul(128))
            };
            let mut each: Vec<[i32; OUTPUTS]> = (0..points).map(of).collect();
            let add =
                |a: [i32; OUTPUTS], b: &[i32; OUTPUTS]| std::array::from_fn(|o| a[o].wrapping_add(b[o]));
            each.push(each.iter().fold([0; OUTPUTS], add));
            each
        };
        let more = if signed { (0..quads).flat_map(more).collect() } else { vec![] };
        Some(Self {
            kernel: conv.kernel,
            origin,
            stride: conv.stride,
            transposed: conv.transposed,
            input,
            signed,
            output: Some(node.element),
            groups,
            weights: words(quads, groups, points, n, at),
            more,
            halves: OnceLock::new(),
            ends,
        })
    }

    /// The part of a transposed convolution that gives the outputs of rows 2 p + a and columns 2 q + b. Along an axis, output
    /// 2 p + a meets input p + d where a + kernel / 2 - k = 2 d.
    fn quarter(
        conv: &Conv,
        [a, b]: [usize; 2],
        node: &Node,
        input: Element,
        range: (i32, i32),
    ) -> Option<Self> {
        let taps = |axis: usize, a: usize| -> Vec<usize> {
            let half = conv.kernel[axis] / 2;
            // From the largest k to the smallest, d rises from one tap to the next.
            (0..conv.kernel[axis]).rev().filter(|k| (a + half + k).is_multiple_of(2)).collect()
        };
        // How far the first tap lies before output p.
        let before = |axis: usize, a: usize, taps: &[usize]| {
            taps.first().map_or(0, |k| (k.saturating_sub(a + conv.kernel[axis] / 2)) / 2)
        };
        let (rows, columns) = (taps(1, a), taps(2, b));
        let (height, width) = (conv.kernel[1], conv.kernel[2]);
        let weight = conv.weight.chunks_exact(height * width).flat_map(|kernel| {
            let row = |k: &usize| columns.iter().map(move |l| kernel[k * width + l]).collect::<Vec<_>>();
            rows.iter().flat_map(row).collect::<Vec<i8>>()
        });
        let part = Conv {
            kernel: [1, rows.len(), columns.len()],
            stride: [1; 3],
            transposed: false,
            weight: weight.collect(),
            requantise: conv.requantise.clone(),
        };
        Self::of(&part, [0, before(1, a, &rows), before(2, b, &columns)], node, input, range).map(|found| {
            Self {
                // Where there are no taps, the number of inputs cannot be told from them.
                groups: (conv.weight.len() / conv.requantise.bias.len() / (height * width))
                    .div_ceil(per_word(input)),
                ..found
            }
        })
    }

    /// The sums of a divisive normalisation, of squares of 16 bits.
    fn sums(gdn: &Gdn) -> Self {
        let c = gdn.beta.len();
        let at = |o: usize, i: usize, _: usize| if o < c && i < c { gdn.gamma[o * c + i] } else { 0 };
        let quads = c.div_ceil(OUTPUTS);
        let groups = c.div_ceil(2);
        let start = |o: usize| gdn.beta.get(o).copied().unwrap_or(0);
        Self {
            kernel: [1; 3],
            origin: [0; 3],
            stride: [1; 3],
            transposed: false,
            input: Element::I16,
            signed: false,
            output: None,
            groups,
            weights: words(quads, groups, 1, 2, at),
            more: vec![],
            halves: OnceLock::new(),
            ends: (0..quads)
                .map(|q| (std::array::from_fn(|k| start(q * OUTPUTS + k)), Finish::Sums))
                .collect(),
        }
    }

    /// Places of the kernel.
    pub fn places(&self) -> usize {
        self.kernel.iter().product()
    }

    /// What the sums of the outputs of `quad` begin with less, with taps of so many columns.
    #[inline]
    pub fn more(&self, quad: usize, taps: &[Tap], columns: usize) -> [i32; OUTPUTS] {
        let places = self.places();
        let more = &self.more[quad * (places + 1)..][..places + 1];
        if taps.len() * columns == places {
            return more[places];
        }
        let mut sums = [0i32; OUTPUTS];
        for tap in taps {
            for more in &more[tap.place as usize..][..columns] {
                sums.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.wrapping_add(*more));
            }
        }
        sums
    }

    /// The weights as 16-bit numbers: two words for each of those of four bytes, of its first and third, and of its second
    /// and fourth.
    pub fn halves(&self) -> &[u32] {
        let of = |w: u32| w as i8 as u16 as u32 | ((w >> 16) as i8 as u16 as u32) << 16;
        self.halves.get_or_init(|| self.weights.iter().flat_map(|&w| [of(w), of(w >> 8)]).collect())
    }

    /// Starts and ends of the sums of four outputs.
    fn end(
        conv: &Conv,
        clamp: (i32, i32),
        quad: usize,
        range: (i32, i32),
    ) -> Option<([i32; OUTPUTS], Finish)> {
        let r = &conv.requantise;
        let channels = r.bias.len();
        let each = conv.weight.len() / channels;
        let mut starts = [0i32; OUTPUTS];
        let (mut narrow, mut wide) = ([None; OUTPUTS], [Wide::default(); OUTPUTS]);
        for k in 0..OUTPUTS {
            let c = quad * OUTPUTS + k;
            if c >= channels {
                // Nobody reads it.
                narrow[k] = Some((Narrow { shift: 1, ..Narrow::default() }, 0));
                wide[k] = Wide { multiplier: 0, shift: SPLIT, clamp: (0, 0) };
                continue;
            }
            let weights = &conv.weight[c * each..(c + 1) * each];
            let (m, shift) = (i64::from(r.multiplier[c]), r.shift[c]);
            let largest = i64::from(range.0.abs().max(range.1.abs()));
            let sum: i64 = weights.iter().map(|w| i64::from(w.unsigned_abs())).sum();
            let bound = sum * largest + i64::from(r.bias[c]).abs();
            if (bound * m + (1 << (shift - 1))) >> shift >= 1 << 31 {
                return None;
            }
            starts[k] = r.bias[c];
            narrow[k] = window(bound, m, shift, clamp);
            wide[k] = Wide { multiplier: m as i32, shift: shift.into(), clamp };
        }
        if let [Some(a), Some(b), Some(c), Some(d)] = narrow {
            let found = [a, b, c, d];
            for (start, (_, middle)) in starts.iter_mut().zip(found) {
                *start = start.wrapping_sub(middle);
            }
            return Some((starts, Finish::Narrow(found.map(|(n, _)| n))));
        }
        let split = wide.iter().all(|w| w.shift >= SPLIT);
        Some((starts, if split { Finish::Split(wide) } else { Finish::Wide(wide) }))
    }
}

/// Weights, `at` (output, input, place in the kernel), in words of `n`.
fn words(
    quads: usize,
    groups: usize,
    points: usize,
    n: usize,
    at: impl Fn(usize, usize, usize) -> i8,
) -> Vec<u32> {
    let mut weights = Vec::with_capacity(quads * groups * points * OUTPUTS);
    for quad in 0..quads {
        for k in 0..points {
            for g in 0..groups {
                for o in (0..OUTPUTS).map(|o| quad * OUTPUTS + o) {
                    let word = |word: u32, i: usize| match n {
                        4 => word | u32::from(at(o, g * n + i, k) as u8) << (8 * i),
                        _ => word | u32::from(i16::from(at(o, g * n + i, k)) as u16) << (16 * i),
                    };
                    weights.push((0..n).fold(0, word));
                }
            }
        }
    }
    weights
}

/// The window of sums outside of which the value is the clamp's, and its middle, where 16 bits are enough for it and 32
/// for the products.
fn window(bound: i64, m: i64, shift: u8, clamp: (i32, i32)) -> Option<(Narrow, i32)> {
    let half = 1i64 << (shift - 1);
    let value = |sum: i64| (sum * m + half) >> shift;
    let (low, high) = (i64::from(clamp.0), i64::from(clamp.1));
    // The smallest sum of this value or a larger one: sum * m + half >= value << shift.
    let least = |value: i64| ((value << shift) - half + m - 1).div_euclid(m);
    let first = least(low).clamp(-bound, bound);
    let last = least(high).clamp(-bound, bound).max(first);
    // Sums outside of the window have the values of its ends.
    let reached = (first == -bound && value(first) >= low) || value(first) == low;
    let reached = reached && ((last == bound && value(last) <= high) || value(last) == high);
    let fits = |sum: i64| i32::try_from(sum * m + half).is_ok();
    let middle = first + 32768;
    let ok = shift < 32
        && last - first <= 65535
        && reached
        && fits(first)
        && fits(last)
        && bound + middle.abs() < 1 << 31
        && m <= 32767;
    let narrow = Narrow {
        window: (-32768, (last - middle) as i32),
        multiplier: m as i32,
        // In 32 bits that may wrap: the sum with the product does not.
        half: (half + middle * m) as i32,
        shift: shift.into(),
    };
    ok.then_some((narrow, middle as i32))
}

#[cfg(test)]
mod tests {
    use super::super::plain::requantised;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn windows_give_the_same_values(
            multiplier in 1i32..32768,
            shift in 1u8..47,
            bound in 0i64..1 << 30,
            clamp in prop_oneof![Just((0, 127)), Just((-128, 127)), Just((3, 3)), Just((-32768, 32767))],
            sums in prop::collection::vec(any::<i32>(), 50),
        ) {
            if let Some((n, middle)) = window(bound, multiplier.into(), shift, clamp) {
                for sum in sums.into_iter().flat_map(|s| [s, s >> 12, s >> 18]).filter(|s| i64::from(*s).abs() <= bound) {
                    let kept = (sum - middle).clamp(n.window.0, n.window.1);
                    let found = kept.wrapping_mul(n.multiplier).wrapping_add(n.half) >> n.shift;
                    prop_assert_eq!(found, requantised(sum, multiplier, shift, clamp));
                }
            }
        }
    }

    #[test]
    fn ordinary_layers_have_windows() {
        assert!(window(2_000_000, 20000, 22, (0, 127)).is_some());
        assert!(window(2_000_000, 20000, 27, (0, 127)).is_none());
    }
}
