//! Leaving out marked bytes and putting them back with AVX-512 VBMI2: compressions and expansions of 64 bytes. The scalar
//! functions beside it define what these do.

use crate::bytes64::{lanes, load, store, WIDTH};
use crate::machine::compresses_bytes;
use std::arch::x86_64::*;

/// See [`super::keep`]; `out` is as long as `row`.
///
/// # Panics
/// If the machine lacks the instructions, or lengths differ.
pub fn keep(marks: &[u8], row: &[u8], out: &mut [u8]) -> usize {
    assert!(compresses_bytes() && marks.len() == row.len() && out.len() == row.len());
    // SAFETY: the machine has the instructions.
    unsafe { keep_vbmi2(marks, row, out) }
}

/// See [`super::put_back`].
///
/// # Panics
/// As [`keep`].
pub fn put_back(marks: &[u8], kept: &[u8], row: &mut [u8]) -> usize {
    assert!(compresses_bytes() && marks.len() == row.len());
    // SAFETY: the machine has the instructions.
    unsafe { put_back_vbmi2(marks, kept, row) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
fn keep_vbmi2(marks: &[u8], row: &[u8], out: &mut [u8]) -> usize {
    let mut n = 0;
    for (marks, row) in marks.chunks(WIDTH).zip(row.chunks(WIDTH)) {
        let kept = !_mm512_test_epi8_mask(load(marks), _mm512_set1_epi8(-1)) & lanes(marks);
        store(&mut out[n..], _mm512_maskz_compress_epi8(kept, load(row)));
        n += kept.count_ones() as usize;
    }
    n
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
fn put_back_vbmi2(marks: &[u8], kept: &[u8], row: &mut [u8]) -> usize {
    let mut n = 0;
    for (marks, row) in marks.chunks(WIDTH).zip(row.chunks_mut(WIDTH)) {
        let here = !_mm512_test_epi8_mask(load(marks), _mm512_set1_epi8(-1)) & lanes(marks);
        store(row, _mm512_maskz_expand_epi8(here, load(&kept[n..])));
        n += here.count_ones() as usize;
    }
    n
}
