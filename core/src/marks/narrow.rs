//! Leaving out marked bytes and putting them back with AVX2, eight at a time. The scalar functions beside it define what these
//! do.

use super::{keep_scalar, put_back_scalar};
pub use crate::bytes8::available;
use crate::bytes8::{bytes, kept, lanes, placed, vector, WIDTH};

/// See [`super::keep`]; `out` is as long as `row`.
///
/// # Panics
/// If the machine lacks the instructions, or lengths differ.
pub fn keep(marks: &[u8], row: &[u8], out: &mut [u8]) -> usize {
    assert!(available() && marks.len() == row.len() && out.len() == row.len());
    // SAFETY: the machine has the instructions.
    unsafe { keep_avx2(marks, row, out) }
}

/// See [`super::put_back`].
///
/// # Panics
/// As [`keep`].
pub fn put_back(marks: &[u8], kept: &[u8], row: &mut [u8]) -> usize {
    assert!(available() && marks.len() == row.len());
    // SAFETY: the machine has the instructions.
    unsafe { put_back_avx2(marks, kept, row) }
}

#[target_feature(enable = "avx2,popcnt")]
fn keep_avx2(marks: &[u8], row: &[u8], out: &mut [u8]) -> usize {
    let mut n = 0;
    let ((few_marks, rest_marks), (few, rest)) = (marks.as_chunks(), row.as_chunks::<WIDTH>());
    for (marks, row) in few_marks.iter().zip(few) {
        let here = lanes(vector(marks), 0);
        out[n..][..WIDTH].copy_from_slice(&bytes(kept(vector(row), here)));
        n += here.count_ones() as usize;
    }
    n + keep_scalar(rest_marks, rest, &mut out[n..])
}

#[target_feature(enable = "avx2,popcnt")]
fn put_back_avx2(marks: &[u8], kept: &[u8], row: &mut [u8]) -> usize {
    let mut n = 0;
    let ((few_marks, rest_marks), (few, rest)) = (marks.as_chunks(), row.as_chunks_mut::<WIDTH>());
    for (marks, row) in few_marks.iter().zip(few) {
        let here = lanes(vector(marks), 0);
        if let Some(next) = kept[n..].first_chunk() {
            *row = bytes(placed(vector(next), here));
            n += here.count_ones() as usize;
        } else {
            n += put_back_scalar(marks, &kept[n..], row);
        }
    }
    n + put_back_scalar(rest_marks, &kept[n..], rest)
}
