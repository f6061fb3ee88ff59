//! Divisive normalisation of 8-bit values, and its inverse, on packed rows: squares of 16 bits, their weighted sums by the
//! kernels of convolutions, and a root and a quotient for each value, near enough in single precision that integers of 32
//! bits tell what they are exactly.

use super::graph::{Element, Gdn};
use super::kernel::{Job, Kernel, Rows};
use super::packed::{per_word, Buffer, Layout, BEFORE};
use super::pointwise::widen;
use super::room::Room;
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
    squares: (Layout, &'a mut Buffer),
    /// One row of sums, a channel in a group, and its memory.
    sums: (Layout, &'a mut [u32]),
    /// A row of 16-bit values.
    row: &'a mut [u32],
}

impl<'a> Normalise<'a> {
    pub fn new(
        kernel: Kernel,
        packed: &'a Packed,
        (gdn, range): (&'a Gdn, (i32, i32)),
        from: &'a Source<'a>,
        layout: &Layout,
        room: &'a mut Room,
    ) -> Self {
        let size = [1, 1, layout.size[2]];
        let squares = Layout { channels: layout.channels, element: Element::I16, size };
        let sums = Layout { channels: 2 * layout.channels, ..squares };
        let (values, words, [row, ..]) = room.take(squares.len(), sums.len(), layout.size[2]);
        Self {
            kernel,
            packed,
            gdn,
            range,
            from,
            layout: *layout,
            squares: (squares, values),
            sums: (sums, words),
            row,
        }
    }

    /// Computes row `r`.
    pub fn row(&mut self, r: usize, out: &mut [u32]) {
        let w = self.layout.size[2];
        let (squares, buffer) = &mut self.squares;
        for (g, row) in buffer.words()[..squares.len()].chunks_exact_mut(squares.stride()).enumerate() {
            if let Some(words) = self.from.group(r, g / 2) {
                widen(words, (g % 2 * 16) as u32, self.row);
                square(halves(self.row), halves_mut(&mut row[BEFORE..BEFORE + w]));
            }
        }
        let parts = [Part { words: buffer.words(), layout: *squares, from: 0, groups: squares.groups() }];
        let (layout, sums) = &mut self.sums;
        let rows = Rows::Planes { shift: 0 };
        self.kernel.convolve(&Job { packed: self.packed, parts: &parts, out: *layout, rows }, 0..1, sums);
        let n = per_word(self.layout.element);
        let (low, high) = self.range;
        let mask = u32::MAX >> (32 - 32 / n);
        for (g, out) in out.chunks_exact_mut(self.layout.stride()).enumerate() {
            let out = &mut out[BEFORE..BEFORE + w];
            out.fill(0);
            for k in 0..n.min(self.layout.channels - g * n) {
                let (c, to) = (g * n + k, (32 / n * k) as u32);
                let Some((words, first)) = self.from.channel(r, c) else { return };
                let sums = &sums[c * layout.stride() + BEFORE..][..w];
                let m = self.gdn.multiplier[c];
                match self.gdn.inverse.as_ref().map(|shifts| u32::from(shifts[c])) {
                    None => divide(words, first, sums, m, low, high, to, mask, out),
                    Some(shift @ 17..=47) => {
                        multiply(words, first, sums, m, shift, low, high, to, mask, out);
                    }
                    Some(shift) => multiply_any(words, first, sums, m, shift, low, high, to, mask, out),
                }
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

/// Root of sum * 2^16, rounded down, for sums of 1 to 2^31 - 1.
///
/// The sum in single precision is off by 2^-24 of it at most, its root by half of that and what it is rounded by, in all by
/// less than 1.5 * 2^-24 of it (and a little): by 0.75 where 256 times it is below 2^23, and by 1.07 above, where it is an
/// integer. So it is 1 too small at most, or 2 too large. How far its square is from the true one, less than 2^26, says
/// which: 32 bits of it are enough.
#[inline(always)]
fn root(sum: u32) -> i32 {
    // SAFETY: it is below 2^24.
    let near: i32 = unsafe { ((sum as i32 as f32).sqrt() * 256.0).to_int_unchecked() };
    let more = (sum << 16).wrapping_sub((near as u32).wrapping_mul(near as u32)) as i32;
    near + i32::from(more > 2 * near) - i32::from(more < 0) - i32::from(more < 1 - 2 * near)
}

for_this_machine! {
    /// (2 x m + root) / (2 root), rounded down, for the bytes at bit `first`, put to bit `to`.
    ///
    /// In single precision quotients that the clamp leaves are off by less than 2^15 * 4 * 2^-24; without what follows their
    /// point they are off by 1 at most. What remains of the numerator, less than 2^26 then, says whether they are: 32 bits of
    /// it are enough. Where the clamp changes the quotient it says nothing, but that changes the quotient by 1 at most, and
    /// the quotient is 1 beyond the clamp.
    pub fn divide(
        words: &[u32], first: u32, sums: &[u32], m: i32, low: i32, high: i32, to: u32, mask: u32, out: &mut [u32]
    ) {
        let (factor, least, most) = (m as f32, (low - 1) as f32, (high + 1) as f32);
        for ((o, v), sum) in out.iter_mut().zip(words).zip(sums) {
            let (x, root) = (i32::from((*v >> first) as i8), root(*sum));
            let quotient = (x as f32 * factor / root as f32).max(least).min(most);
            // SAFETY: it has 17 bits.
            let near: i32 = unsafe { quotient.to_int_unchecked() };
            let left = x.wrapping_mul(m).wrapping_sub(root.wrapping_mul(near)).wrapping_mul(2).wrapping_add(root);
            let y = near + i32::from(left >= 2 * root) - i32::from(left < 0);
            *o |= (y.max(low).min(high) as u32 & mask) << to;
        }
    }
}

for_this_machine! {
    /// (x root m + 2^(shift-1)) >> shift for the bytes at bit `first`, put to bit `to`, for shifts of 17 to 47.
    ///
    /// x root has 31 bits. Its lower 16 bits times m have 31 bits, of which the lower 16 do not matter; its upper ones times m
    /// have 30.
    pub fn multiply(
        words: &[u32], first: u32, sums: &[u32], m: i32, shift: u32, low: i32, high: i32, to: u32, mask: u32,
        out: &mut [u32]
    ) {
        let (half, shift) = (1 << (shift - 17), shift - 16);
        for ((o, v), sum) in out.iter_mut().zip(words).zip(sums) {
            let product = i32::from((*v >> first) as i8) * root(*sum);
            let y = ((product >> 16) * m + (((product & 0xffff) * m) >> 16) + half) >> shift;
            *o |= (y.max(low).min(high) as u32 & mask) << to;
        }
    }
}

for_this_machine! {
    /// The same for any shift.
    pub fn multiply_any(
        words: &[u32], first: u32, sums: &[u32], m: i32, shift: u32, low: i32, high: i32, to: u32, mask: u32,
        out: &mut [u32]
    ) {
        let (half, low, high) = (1i64 << (shift - 1), i64::from(low), i64::from(high));
        for ((o, v), sum) in out.iter_mut().zip(words).zip(sums) {
            let product = i64::from(i32::from((*v >> first) as i8) * root(*sum));
            let y = ((product * i64::from(m) + half) >> shift).max(low).min(high);
            *o |= (y as u32 & mask) << to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both layers for one value by the definition's arithmetic, for the shift of the inverse.
    fn defined(x: i8, sum: u32, m: i32, shift: u32, (low, high): (i32, i32)) -> [i64; 2] {
        let (x, root, m) = (i64::from(x), (u64::from(sum) << 16).isqrt() as i64, i64::from(m));
        let inverse = (x * root * (m & 0x7fff) + (1 << (shift - 1))) >> shift;
        [(2 * x * m + root).div_euclid(2 * root), inverse].map(|y| y.clamp(low.into(), high.into()))
    }

    fn found(x: i8, sum: u32, m: i32, shift: u32, (low, high): (i32, i32)) -> [i64; 2] {
        // The value is the second byte of a word, and comes out as its upper half.
        let (words, sums, factor) = ([u32::from(x as u8) << 8 | 0xff00_00ff], [sum], m & 0x7fff);
        let (mut quotient, mut product) = ([0], [0]);
        divide(&words, 8, &sums, m, low, high, 16, 0xffff, &mut quotient);
        match shift {
            17..=47 => multiply(&words, 8, &sums, factor, shift, low, high, 16, 0xffff, &mut product),
            _ => multiply_any(&words, 8, &sums, factor, shift, low, high, 16, 0xffff, &mut product),
        }
        [quotient, product].map(|[y]| i64::from((y >> 16) as i16))
    }

    #[test]
    fn quotients_and_products_are_those_of_the_definition() {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as u32
        };
        for _ in 0..if cfg!(debug_assertions) { 100_000 } else { 2_000_000 } {
            let (x, sum) = ((next() >> 9) as i8, (next() >> (next() % 31)).max(1));
            let clamp = [(-128, 127), (-32768, 32767), (0, 127), (-5, 9), (3, 3)][next() as usize % 5];
            // Any multiplier, or one for which the quotient lies just above or below a half.
            let root = (u64::from(sum) << 16).isqrt() as i64;
            let half = root * i64::from(2 * (next() % 32768) + 1) / (2 * i64::from(x).abs().max(1));
            let any = i64::from(next() >> (next() % 31));
            let m = [any, half, half + 1][next() as usize % 3].clamp(1, i32::MAX.into()) as i32;
            let shift = 1 + next() % 62;
            assert_eq!(
                found(x, sum, m, shift, clamp),
                defined(x, sum, m, shift, clamp),
                "x {x}, sum {sum}, multiplier {m}, shift {shift}, clamp {clamp:?}"
            );
        }
    }

    #[test]
    fn roots_are_rounded_down() {
        // Around squares, where it is hardest.
        for k in (1u64..11_000_000).step_by(997).chain([256, 257, 46340 * 250, 11_863_283]) {
            let sum = (k * k) >> 16;
            for sum in [sum, sum + 1].into_iter().filter(|s| *s < 1 << 31 && *s > 0) {
                assert_eq!(root(sum as u32) as u64, (sum << 16).isqrt(), "{sum}");
            }
        }
        for sum in [1, 2, 3, 4, 65535, 65536, (1 << 31) - 1, 46340 * 46340, 46340 * 46340 - 1] {
            assert_eq!(root(sum) as u64, (u64::from(sum) << 16).isqrt());
        }
    }
}
