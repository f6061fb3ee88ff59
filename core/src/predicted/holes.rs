//! Values for special points that continue their surroundings, as the decoder's will that predicts them, so that the weights
//! are fitted to something smooth.

use crate::chunk::Frames;
use crate::machine::for_this_machine;
use crate::marks;

/// Fills the points of the grid that are marked. Where there is a step before (or a level above), half of what the row's
/// valid points changed since then is added to its value; in the first frame the row is continued.
pub fn fill_holes(grid: &mut [i32], mask: &[u8], frames: &Frames) {
    let (area, width) = (frames.area(), frames.width);
    let mut change = vec![0; width];
    for (frame, mask) in mask.chunks_exact(area).enumerate() {
        if marks::runs(mask).next().is_none() {
            continue;
        }
        let (before, rest) = grid.split_at_mut(frame * area);
        let grid = &mut rest[..area];
        match frame.checked_sub(frames.levels).or(frame.checked_sub(1)) {
            Some(reference) => fill_frame(grid, mask, &before[reference * area..][..area], &mut change),
            None => fill_first(grid, mask, width),
        }
    }
}

for_this_machine! {
    /// Fills the holes of a frame from another; `change` has room for a row.
    pub fn fill_frame(grid: &mut [i32], mask: &[u8], before: &[i32], change: &mut [i32]) {
        let width = change.len();
        let rows = grid.chunks_exact_mut(width).zip(mask.chunks_exact(width));
        for ((row, mask), before) in rows.zip(before.chunks_exact(width)) {
            if marks::runs(mask).next().is_none() {
                continue;
            }
            for ((d, v), k) in change.iter_mut().zip(&*row).zip(before) {
                *d = v.wrapping_sub(*k);
            }
            if !fill_row(change, mask) {
                change.fill(0);
            }
            for (((v, k), d), m) in row.iter_mut().zip(before).zip(&*change).zip(mask) {
                *v = if *m == 0 { *v } else { k.wrapping_add(d / 2) };
            }
        }
    }
}

/// Continues the valid points of each row; rows without any take what the row above or below has.
fn fill_first(grid: &mut [i32], mask: &[u8], width: usize) {
    let mut last: Option<usize> = None;
    for (y, mask) in mask.chunks_exact(width).enumerate() {
        let (above, row) = grid.split_at_mut(y * width);
        let row = &mut row[..width];
        if fill_row(row, mask) {
            if last.is_none() {
                above.chunks_exact_mut(width).for_each(|r| r.copy_from_slice(row));
            }
            last = Some(y);
        } else if last.is_some() {
            row.copy_from_slice(&above[(y - 1) * width..]);
        }
    }
}

/// Fills the holes of one row, on the line between the valid points on either side; `false` if it has none.
#[inline(always)]
fn fill_row(row: &mut [i32], mask: &[u8]) -> bool {
    for hole in marks::runs(mask) {
        let before = hole.start.checked_sub(1).map(|i| row[i]);
        match (before, row.get(hole.end).copied()) {
            (None, None) => return false,
            (Some(edge), None) | (None, Some(edge)) => row[hole].fill(edge),
            (Some(from), Some(to)) => {
                let slope = (f64::from(to) - f64::from(from)) / (hole.len() + 1) as f64;
                for (j, v) in (1..).zip(&mut row[hole]) {
                    *v = (f64::from(from) + slope * f64::from(j)) as i32;
                }
            }
        }
    }
    true
}
