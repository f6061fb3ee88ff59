//! Layers that only move values or choose among them, on packed rows.

use super::graph::Element;
use super::packed::{per_word, Layout, BEFORE};
use super::source::Source;
use super::views::{bytes, bytes_mut, halves, halves_mut};
use crate::machine::for_this_machine;

/// The values of group `g` in row `r` of `words`.
fn group<'a>(layout: &Layout, words: &'a [u32], r: usize, g: usize) -> &'a [u32] {
    &words[r * layout.row() + g * layout.stride() + BEFORE..][..layout.size[2]]
}

/// Row `r` of what is twice as high and wide as `from`, and has twice as many levels if `levels`.
pub fn upsample_row(from: &Source, levels: bool, to: &Layout, r: usize, out: &mut [u32]) {
    let (z, y) = (r / to.size[1], r % to.size[1]);
    let z = if levels { z / 2 } else { z };
    for (g, out) in out.chunks_exact_mut(to.stride()).enumerate() {
        if let Some(row) = from.group(z * (to.size[1] / 2) + y / 2, g) {
            double(row, &mut out[BEFORE..BEFORE + to.size[2]]);
        }
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

/// Row `r` of channels `first`, `first` + 1, ... of all inputs' channels one after the other, wherever they lie in words.
pub fn gather_row(inputs: &[Source], mut first: usize, to: &Layout, r: usize, out: &mut [u32]) {
    let mut inputs = inputs.iter();
    let mut input = inputs.next();
    let next = |_| {
        while input.is_some_and(|i| first >= i.channels) {
            first -= input.map_or(0, |i| i.channels);
            input = inputs.next();
        }
        first += 1;
        input?.channel(r, first - 1)
    };
    put_row(next, to, out);
}

/// Row `r` of the points of blocks as channels of one point, or of these as the points of blocks again.
pub fn reshape_row(input: &Source, to: &Layout, r: usize, out: &mut [u32]) {
    let (n, first) = (input.channels, r * to.channels);
    put_row(|c| input.channel((first + c) / n, (first + c) % n), to, out);
}

/// A row of the channels that `at` finds, one after the other.
fn put_row<'a>(mut at: impl FnMut(usize) -> Option<(&'a [u32], u32)>, to: &Layout, out: &mut [u32]) {
    let n = per_word(to.element);
    for (g, out) in out.chunks_exact_mut(to.stride()).enumerate() {
        let out = &mut out[BEFORE..BEFORE + to.size[2]];
        out.fill(0);
        for k in 0..n.min(to.channels - g * n) {
            let Some((words, from)) = at(g * n + k) else { return };
            put(words, from, (32 / n * k) as u32, u32::MAX >> (32 - 32 / n), out);
        }
    }
}

for_this_machine! {
    /// Puts the values at bit `from` to bit `to`.
    pub fn put(words: &[u32], from: u32, to: u32, mask: u32, out: &mut [u32]) {
        for (o, v) in out.iter_mut().zip(words) {
            *o |= (*v >> from & mask) << to;
        }
    }
}

/// Row `r` of the largest values of blocks of 2 x 2 points, and two levels if `levels`. `room` is made as long as it has to
/// be.
pub fn pool_row(from: &Source, levels: bool, to: &Layout, r: usize, room: &mut Vec<u32>, out: &mut [u32]) {
    let w = to.size[2];
    let (z, y) = (r / to.size[1], r % to.size[1]);
    room.resize(4 * w, 0);
    let (rows, sides) = room.split_at_mut(2 * w);
    let (even, odd) = sides.split_at_mut(w);
    for (g, out) in out.chunks_exact_mut(to.stride()).enumerate() {
        let row = |level: usize, y: usize| from.group(level * 2 * to.size[1] + y, g);
        let first = if levels { 2 * z } else { z };
        for level in first..first + 1 + usize::from(levels) {
            let (Some(a), Some(b)) = (row(level, 2 * y), row(level, 2 * y + 1)) else { return };
            if level == first {
                larger(to.element, a, b, rows);
            } else {
                enlarge(to.element, a, rows);
                enlarge(to.element, b, rows);
            }
        }
        halve(rows, even, odd);
        larger(to.element, even, odd, &mut out[BEFORE..BEFORE + w]);
    }
}

/// The larger value of two.
fn larger(element: Element, a: &[u32], b: &[u32], out: &mut [u32]) {
    match element {
        Element::I8 => larger_bytes(bytes(a), bytes(b), bytes_mut(out)),
        Element::I16 => larger_halves(halves(a), halves(b), halves_mut(out)),
    }
}

/// [`larger`] in place.
fn enlarge(element: Element, a: &[u32], out: &mut [u32]) {
    match element {
        Element::I8 => enlarge_bytes(bytes(a), bytes_mut(out)),
        Element::I16 => enlarge_halves(halves(a), halves_mut(out)),
    }
}

for_this_machine! {
    pub fn larger_bytes(a: &[i8], b: &[i8], out: &mut [i8]) {
        out.iter_mut().zip(a).zip(b).for_each(|((o, a), b)| *o = *a.max(b));
    }
}

for_this_machine! {
    pub fn larger_halves(a: &[i16], b: &[i16], out: &mut [i16]) {
        out.iter_mut().zip(a).zip(b).for_each(|((o, a), b)| *o = *a.max(b));
    }
}

for_this_machine! {
    pub fn enlarge_bytes(a: &[i8], out: &mut [i8]) {
        out.iter_mut().zip(a).for_each(|(o, a)| *o = *a.max(o));
    }
}

for_this_machine! {
    pub fn enlarge_halves(a: &[i16], out: &mut [i16]) {
        out.iter_mut().zip(a).for_each(|(o, a)| *o = *a.max(o));
    }
}

for_this_machine! {
    /// Words of even and of odd columns.
    pub fn halve(row: &[u32], even: &mut [u32], odd: &mut [u32]) {
        for ((pair, e), o) in row.chunks_exact(2).zip(even).zip(odd) {
            *e = pair[0];
            *o = pair[1];
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
