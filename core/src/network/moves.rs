//! Layers that only move or add values, on packed rows.

use super::packed::{Layout, BEFORE};
use crate::predict::kernel::{for_this_machine, InstructionSet};

/// The values of group `g` in row `r` of `words`.
fn group<'a>(layout: &Layout, words: &'a [u32], r: usize, g: usize) -> &'a [u32] {
    &words[r * layout.row() + g * layout.stride() + BEFORE..][..layout.size[2]]
}

/// Row `r` of what is twice as high and wide as `from`.
pub fn upsample_row(from: &Layout, words: &[u32], to: &Layout, r: usize, out: &mut [u32]) {
    let (level, y) = (r / to.size[1], r % to.size[1]);
    for (g, out) in out.chunks_exact_mut(to.stride()).enumerate() {
        let row = group(from, words, level * from.size[1] + y / 2, g);
        double(row, &mut out[BEFORE..BEFORE + to.size[2]]);
    }
}

for_this_machine! {
    /// Every word twice.
    pub fn double(row: &[u32], out: &mut [u32]) {
        for (pair, v) in out.chunks_exact_mut(2).zip(row) {
            pair[0] = *v;
            pair[1] = *v;
        }
    }
}

/// Row `r` of the blocks of 2 x 2 points of 16-bit planes as channels: two neighbours are a word.
pub fn space_to_depth_row(planes: &[i16], to: &Layout, r: usize, out: &mut [u32]) {
    let (w, points) = (to.size[2], 4 * to.size.iter().product::<usize>());
    for (g, out) in out.chunks_exact_mut(to.stride()).enumerate() {
        let at = g / 2 * points + (2 * r + g % 2) * 2 * w;
        pairs(&planes[at..at + 2 * w], &mut out[BEFORE..BEFORE + w]);
    }
}

for_this_machine! {
    /// Neighbouring values as words.
    pub fn pairs(row: &[i16], out: &mut [u32]) {
        for (o, pair) in out.iter_mut().zip(row.chunks_exact(2)) {
            *o = u32::from(pair[0] as u16) | u32::from(pair[1] as u16) << 16;
        }
    }
}

/// The plane of channel `c` whose blocks of 2 x 2 points are channels of 16 bits here.
pub fn depth_to_space(from: &Layout, words: &[u32], c: usize, plane: &mut [i16]) {
    for (y, row) in plane.chunks_exact_mut((2 * from.size[2]).max(1)).enumerate() {
        apart(group(from, words, y / 2, 2 * c + y % 2), row);
    }
}

for_this_machine! {
    /// Inverse of [`pairs`].
    pub fn apart(words: &[u32], row: &mut [i16]) {
        for (pair, v) in row.chunks_exact_mut(2).zip(words) {
            pair[0] = *v as i16;
            pair[1] = (*v >> 16) as i16;
        }
    }
}

for_this_machine! {
    /// Sums of 16-bit values within `low..=high`, whatever lies beside the rows included.
    pub fn add_16(a: &[u32], b: &[u32], low: i32, high: i32, out: &mut [u32]) {
        for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
            let first = (i32::from(*a as i16) + i32::from(*b as i16)).max(low).min(high);
            let second = ((*a as i32 >> 16) + (*b as i32 >> 16)).max(low).min(high);
            *o = (first as u32 & 0xffff) | (second as u32) << 16;
        }
    }
}

for_this_machine! {
    /// [`add_16`] for 8-bit values.
    pub fn add_8(a: &[u32], b: &[u32], low: i32, high: i32, out: &mut [u32]) {
        for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
            let mut word = 0;
            for shift in [0, 8, 16, 24] {
                let sum = i32::from((*a >> shift) as i8) + i32::from((*b >> shift) as i8);
                word |= (sum.max(low).min(high) as u32 & 0xff) << shift;
            }
            *o = word;
        }
    }
}
