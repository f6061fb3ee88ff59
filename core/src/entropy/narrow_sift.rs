//! Sorting bytes by class and back on machines with AVX2, eight at a time. The scalar functions of [`super::sift`] define what these do.

use super::quiet::CLASSES;
use super::sift;
pub use crate::bytes8::available;
use crate::bytes8::{bytes as eight, kept, lanes, placed, vector, WIDTH};
use std::arch::x86_64::{_mm_or_si128, _mm_setzero_si128};

/// See [`super::sift::classify`].
///
/// # Panics
/// If the machine lacks the instructions, see [`available`].
pub fn classify(
    table: &[u8; 256],
    contexts: &[u8],
    classes: &mut [u8],
    lists: &mut [Vec<u8>; CLASSES],
) -> [usize; CLASSES] {
    for (class, context) in classes.iter_mut().zip(contexts) {
        *class = table[usize::from(*context)];
    }
    split(classes, contexts, lists)
}

/// See [`super::sift::split`]; returns how many bytes there are of each class.
///
/// # Panics
/// As [`classify`].
pub fn split(classes: &[u8], bytes: &[u8], lists: &mut [Vec<u8>; CLASSES]) -> [usize; CLASSES] {
    assert!(available());
    // SAFETY: the machine has the instructions.
    unsafe { split_avx2(classes, bytes, lists) }
}

/// See [`super::sift::join`].
///
/// # Panics
/// As [`classify`].
pub fn join(classes: &[u8], lists: &[Vec<u8>; CLASSES], bytes: &mut [u8]) {
    assert!(available());
    // SAFETY: the machine has the instructions.
    unsafe { join_avx2(classes, lists, bytes) }
}

#[target_feature(enable = "avx2,popcnt")]
fn split_avx2(classes: &[u8], bytes: &[u8], lists: &mut [Vec<u8>; CLASSES]) -> [usize; CLASSES] {
    let mut counts = [0; CLASSES];
    let mut lists = lists.each_mut().map(|l| &mut l[..]);
    let (few, rest) = classes.as_chunks::<WIDTH>();
    let (few_bytes, rest_bytes) = bytes.as_chunks::<WIDTH>();
    for (c, b) in few.iter().zip(few_bytes) {
        let (c, b) = (vector(c), vector(b));
        for (q, (list, n)) in lists.iter_mut().zip(&mut counts).enumerate() {
            let mask = lanes(c, q as u8);
            list[*n..][..WIDTH].copy_from_slice(&eight(kept(b, mask)));
            *n += mask.count_ones() as usize;
        }
    }
    for (c, b) in rest.iter().zip(rest_bytes) {
        sift::append(&mut lists, &mut counts, *c, *b);
    }
    counts
}

#[target_feature(enable = "avx2,popcnt")]
fn join_avx2(classes: &[u8], lists: &[Vec<u8>; CLASSES], bytes: &mut [u8]) {
    let mut counts = [0; CLASSES];
    let lists = lists.each_ref().map(|l| &l[..]);
    let (few, rest) = classes.as_chunks::<WIDTH>();
    let (few_bytes, rest_bytes) = bytes.as_chunks_mut::<WIDTH>();
    for (c, b) in few.iter().zip(few_bytes) {
        let c = vector(c);
        let mut all = _mm_setzero_si128();
        for (q, (list, n)) in lists.iter().zip(&mut counts).enumerate() {
            let mask = lanes(c, q as u8);
            let from = list[*n..].first_chunk().map_or(all, |b| vector(b));
            all = _mm_or_si128(all, placed(from, mask));
            *n += mask.count_ones() as usize;
        }
        *b = eight(all);
    }
    for (c, b) in rest.iter().zip(rest_bytes) {
        *b = sift::take(&lists, &mut counts, *c);
    }
}
