//! Divisive normalisation of 8-bit values, and its inverse, on packed rows: squares of 16 bits, their weighted sums by the
//! kernels of convolutions, and a root and a quotient for each value.

use super::graph::{Element, Gdn};
use super::kernel::{Job, Kernel};
use super::packed::{per_word, Buffer, Layout, BEFORE};
use super::pointwise::widen;
use super::source::{Part, Source};
use super::views::{halves, halves_mut};
use super::weights::Packed;
use crate::machine::for_this_machine;

/// The layer, computed row by row.
pub struct Normalise<'a> {
    kernel: Kernel,
    packed: &'a Packed,
    gdn: &'a Gdn,
    range: (i32, i32),
    from: &'a Source<'a>,
    layout: Layout,
    /// One row of squares, and its memory.
    squares: (Layout, Buffer),
    /// One row of sums, a channel in a group, and its memory.
    sums: (Layout, Vec<u32>),
    /// A row of 16-bit values and one of what comes out.
    rows: [Vec<u32>; 2],
}

impl<'a> Normalise<'a> {
    pub fn new(
        kernel: Kernel,
        packed: &'a Packed,
        gdn: &'a Gdn,
        range: (i32, i32),
        from: &'a Source<'a>,
        layout: &Layout,
    ) -> Self {
        let size = [1, 1, layout.size[2]];
        let squares = Layout { channels: layout.channels, element: Element::I16, size };
        let sums = Layout { channels: 2 * layout.channels, ..squares };
        Self {
            kernel,
            packed,
            gdn,
            range,
            from,
            layout: *layout,
            squares: (squares, Buffer::new(squares.len())),
            sums: (sums, vec![0; sums.len()]),
            rows: std::array::from_fn(|_| vec![0; layout.size[2]]),
        }
    }

    /// Computes row `r`.
    pub fn row(&mut self, r: usize, out: &mut [u32]) {
        let (w, [x, y]) = (self.layout.size[2], &mut self.rows);
        let (squares, buffer) = &mut self.squares;
        for (g, row) in buffer.words()[..squares.len()].chunks_exact_mut(squares.stride()).enumerate() {
            if let Some(words) = self.from.group(r, g / 2) {
                widen(words, (g % 2 * 16) as u32, x);
                square(halves(x), halves_mut(&mut row[BEFORE..BEFORE + w]));
            }
        }
        let parts = [Part { words: buffer.words(), layout: *squares, from: 0, groups: squares.groups() }];
        let (layout, sums) = &mut self.sums;
        self.kernel.convolve(&Job { packed: self.packed, parts: &parts, out: *layout, shift: 0 }, 0..1, sums);
        let n = per_word(self.layout.element);
        let (low, high) = (i64::from(self.range.0), i64::from(self.range.1));
        for (g, out) in out.chunks_exact_mut(self.layout.stride()).enumerate() {
            let out = &mut out[BEFORE..BEFORE + w];
            out.fill(0);
            for k in 0..n.min(self.layout.channels - g * n) {
                let c = g * n + k;
                let Some((words, first)) = self.from.channel(r, c) else { return };
                let sums = &sums[c * layout.stride() + BEFORE..][..w];
                let m = i64::from(self.gdn.multiplier[c]);
                match &self.gdn.inverse {
                    None => divide(words, first, sums, m, low, high, y),
                    Some(shift) => multiply(words, first, sums, m, shift[c].into(), low, high, y),
                }
                super::moves::put(y, 0, (32 / n * k) as u32, u32::MAX >> (32 - 32 / n), out);
            }
        }
    }
}

for_this_machine! {
    /// Squares of values of 8 bits.
    pub fn square(x: &[i16], out: &mut [i16]) {
        out.iter_mut().zip(x).for_each(|(o, v)| *o = v.wrapping_mul(*v));
    }
}

/// Root of sum * 2^16, rounded down. The square has less than 52 bits, the root is rounded correctly as IEEE 754 asks for, and
/// the root of a number below a square is further from that square's than it is rounded by.
#[inline(always)]
fn root(sum: u32) -> f64 {
    (f64::from(sum) * 65536.0).sqrt().floor()
}

for_this_machine! {
    /// (2 x m + root) / (2 root), rounded down, for the bytes at bit `first`. Quotients that the clamp leaves have 16 bits and
    /// divisors 25: they are further from the next integer than a double is rounded by; numerators have 40 bits.
    pub fn divide(words: &[u32], first: u32, sums: &[u32], m: i64, low: i64, high: i64, out: &mut [u32]) {
        let (m, low, high) = (2.0 * m as f64, low as f64, high as f64);
        for ((o, v), sum) in out.iter_mut().zip(words).zip(sums) {
            let root = root(*sum);
            let x = f64::from((*v >> first) as i8);
            *o = ((x * m + root) / (2.0 * root)).floor().max(low).min(high) as i32 as u32;
        }
    }
}

for_this_machine! {
    /// (x root m + 2^(shift-1)) >> shift for the bytes at bit `first`.
    pub fn multiply(
        words: &[u32], first: u32, sums: &[u32], m: i64, shift: u32, low: i64, high: i64, out: &mut [u32]
    ) {
        let half = 1i64 << (shift - 1);
        for ((o, v), sum) in out.iter_mut().zip(words).zip(sums) {
            let x = i64::from((*v >> first) as i8);
            *o = ((x * root(*sum) as i64 * m + half) >> shift).max(low).min(high) as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_rounded_down() {
        // Around squares, where it is hardest.
        for k in (1u64..11_000_000).step_by(997).chain([256, 257, 46340 * 250, 11_863_283]) {
            let sum = (k * k) >> 16;
            for sum in [sum, sum + 1].into_iter().filter(|s| *s < 1 << 31 && *s > 0) {
                assert_eq!(root(sum as u32) as u64, (sum << 16).isqrt());
            }
        }
        for sum in [1, 2, 3, 4, 65535, 65536, (1 << 31) - 1, 46340 * 46340, 46340 * 46340 - 1] {
            assert_eq!(root(sum) as u64, (u64::from(sum) << 16).isqrt());
        }
    }
}
