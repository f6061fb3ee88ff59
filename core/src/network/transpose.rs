//! Transposed convolutions of stride 2 as four convolutions: one each for even and odd rows and columns of the output.
//!
//! Outside of the input there is nothing here, where other convolutions have its border go on: so they read a copy of some
//! rows with zeros around them.

use super::kernel::{Job, Kernel, Rows};
use super::packed::{Buffer, Layout, BEFORE};
use super::source::{Part, Source};
use super::weights::Packed;
use crate::machine::for_this_machine;
use std::ops::Range;

/// Rows `rows` of the output, from an even one on; `quarters` are those of even rows and columns, even rows and odd columns,
/// odd rows and even columns, and odd ones.
pub fn rows(
    kernel: Kernel,
    quarters: [&Packed; 4],
    from: &Source,
    to: &Layout,
    rows: Range<usize>,
    out: &mut [u32],
) {
    let (height, width) = (to.size[1] / 2, to.size[2] / 2);
    let above = quarters.iter().map(|q| q.origin[1]).max().unwrap_or(0);
    let below = quarters.iter().map(|q| q.kernel[1].saturating_sub(q.origin[1] + 1)).max().unwrap_or(0);
    let parts =
        |width: usize, channels: usize, rows: usize| Layout { channels, size: [1, rows, width], ..*to };
    let mut row = rows.start;
    while row < rows.end {
        // Rows of one level.
        let (level, first) = (row / to.size[1], row % to.size[1] / 2);
        let count = (height - first).min((rows.end - row) / 2);
        let copy = Layout {
            channels: from.channels,
            element: from.element,
            size: [1, above + count + below, width],
        };
        let mut buffer = Buffer::new(copy.len());
        for (k, row) in buffer.words()[..copy.len()].chunks_exact_mut(copy.row()).enumerate() {
            let Some(y) = (first + k).checked_sub(above).filter(|y| *y < height) else { continue };
            for (g, group) in row.chunks_exact_mut(copy.stride()).enumerate() {
                if let Some(words) = from.group(level * height + y, g) {
                    group[BEFORE..BEFORE + width].copy_from_slice(words);
                }
            }
        }
        let part = [Part { words: buffer.words(), layout: copy, from: 0, groups: copy.groups() }];
        let half = parts(width, to.channels, count);
        let mut sides = [vec![0; half.len()], vec![0; half.len()]];
        for (a, pair) in quarters.chunks_exact(2).enumerate() {
            for (quarter, side) in pair.iter().zip(&mut sides) {
                // Rows of the copy begin earlier than those that the first output meets.
                let rows = Rows::Planes { shift: above };
                let job = Job { packed: quarter, parts: &part, out: half, rows };
                kernel.convolve(&job, 0..count, side);
            }
            for p in 0..count {
                let at = row - rows.start + 2 * p + a;
                for (g, out) in out[at * to.row()..][..to.row()].chunks_exact_mut(to.stride()).enumerate() {
                    let at = p * half.row() + g * half.stride() + BEFORE;
                    let [even, odd] = [0, 1].map(|b: usize| &sides[b][at..at + width]);
                    interleave(even, odd, &mut out[BEFORE..BEFORE + 2 * width]);
                }
            }
        }
        row += 2 * count;
    }
}

for_this_machine! {
    /// Words of even and of odd columns as a row.
    pub fn interleave(even: &[u32], odd: &[u32], out: &mut [u32]) {
        for ((pair, e), o) in out.chunks_exact_mut(2).zip(even).zip(odd) {
            pair[0] = *e;
            pair[1] = *o;
        }
    }
}
