//! Sorting bytes by class and back with AVX-512 VBMI2: compressions and expansions of 64 bytes. The scalar functions of
//! [`super::sift`] define what these do.

use super::quiet::CLASSES;
use crate::bytes64::{lanes, load, store, WIDTH};
use crate::machine::compresses_bytes;
use std::arch::x86_64::*;

/// See [`super::sift::classify`].
///
/// # Panics
/// If the machine lacks the instructions, see [`compresses_bytes`].
pub fn classify(
    table: &[u8; 256],
    contexts: &[u8],
    classes: &mut [u8],
    lists: &mut [Vec<u8>; CLASSES],
) -> [usize; CLASSES] {
    assert!(compresses_bytes());
    // SAFETY: the machine has the instructions.
    unsafe { classify_vbmi2(table, contexts, classes, lists) }
}

/// See [`super::sift::split`].
///
/// # Panics
/// As [`classify`].
pub fn split(classes: &[u8], bytes: &[u8], lists: &mut [Vec<u8>; CLASSES]) {
    assert!(compresses_bytes());
    // SAFETY: the machine has the instructions.
    unsafe { split_vbmi2(classes, bytes, lists) }
}

/// See [`super::sift::join`].
///
/// # Panics
/// As [`classify`].
pub fn join(classes: &[u8], lists: &[Vec<u8>; CLASSES], bytes: &mut [u8]) {
    assert!(compresses_bytes());
    // SAFETY: the machine has the instructions.
    unsafe { join_vbmi2(classes, lists, bytes) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2,popcnt")]
fn classify_vbmi2(
    table: &[u8; 256],
    contexts: &[u8],
    classes: &mut [u8],
    lists: &mut [Vec<u8>; CLASSES],
) -> [usize; CLASSES] {
    let [a, b, c, d] = [0, 1, 2, 3].map(|i| load(&table[WIDTH * i..][..WIDTH]));
    let mut counts = [0; CLASSES];
    for (contexts, classes) in contexts.chunks(WIDTH).zip(classes.chunks_mut(WIDTH)) {
        let x = load(contexts);
        let low = _mm512_permutex2var_epi8(a, x, b);
        let high = _mm512_permutex2var_epi8(c, x, d);
        let class = _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(x), high);
        store(classes, class);
        append(class, x, lanes(contexts), lists, &mut counts);
    }
    counts
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
fn split_vbmi2(classes: &[u8], bytes: &[u8], lists: &mut [Vec<u8>; CLASSES]) {
    let mut counts = [0; CLASSES];
    for (classes, bytes) in classes.chunks(WIDTH).zip(bytes.chunks(WIDTH)) {
        append(load(classes), load(bytes), lanes(classes), lists, &mut counts);
    }
}

/// Puts bytes behind the others of their class.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
fn append(
    classes: __m512i,
    bytes: __m512i,
    lanes: __mmask64,
    lists: &mut [Vec<u8>; CLASSES],
    counts: &mut [usize; CLASSES],
) {
    for (q, (list, n)) in lists.iter_mut().zip(counts).enumerate() {
        let mask = _mm512_cmpeq_epi8_mask(classes, _mm512_set1_epi8(q as i8)) & lanes;
        // Without a branch where it could not be foreseen.
        store(&mut list[*n..][..WIDTH], _mm512_maskz_compress_epi8(mask, bytes));
        *n += mask.count_ones() as usize;
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
fn join_vbmi2(classes: &[u8], lists: &[Vec<u8>; CLASSES], bytes: &mut [u8]) {
    let mut counts = [0; CLASSES];
    for (classes, bytes) in classes.chunks(WIDTH).zip(bytes.chunks_mut(WIDTH)) {
        let c = load(classes);
        let mut b = _mm512_setzero_si512();
        for (q, (list, n)) in lists.iter().zip(&mut counts).enumerate() {
            let mask = _mm512_cmpeq_epi8_mask(c, _mm512_set1_epi8(q as i8)) & lanes(classes);
            b = _mm512_mask_expand_epi8(b, mask, load(&list[*n..][..WIDTH]));
            *n += mask.count_ones() as usize;
        }
        store(bytes, b);
    }
}
