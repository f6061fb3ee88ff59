//! Sorting bytes by class and back on machines with AVX2: eight bytes at a time are shuffled by a table of what a mask
//! of eight lanes keeps. The scalar functions of [`super::sift`] define what these do.

use super::quiet::CLASSES;
use super::sift;
use crate::machine::{instruction_set, InstructionSet};
use std::arch::x86_64::*;

/// Bytes that are shuffled at a time.
const WIDTH: usize = 8;
/// Index of a byte that becomes 0.
const NONE: u8 = 0x80;

/// For each mask, the lanes that it keeps, one behind the other.
static KEPT: [[u8; WIDTH]; 256] = {
    let mut all = [[NONE; WIDTH]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut n) = (0, 0);
        while lane < WIDTH {
            if mask >> lane & 1 == 1 {
                all[mask][n] = lane as u8;
                n += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    all
};

/// For each mask, which of the kept bytes a lane gets.
static PLACED: [[u8; WIDTH]; 256] = {
    let mut all = [[NONE; WIDTH]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut n) = (0, 0);
        while lane < WIDTH {
            if mask >> lane & 1 == 1 {
                all[mask][lane] = n;
                n += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    all
};

/// Whether this machine has the instructions.
#[inline]
pub fn available() -> bool {
    instruction_set() != InstructionSet::Portable && is_x86_feature_detected!("popcnt")
}

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

#[inline]
#[target_feature(enable = "avx2")]
fn vector(bytes: &[u8; WIDTH]) -> __m128i {
    _mm_cvtsi64_si128(i64::from_le_bytes(*bytes))
}

/// The lanes that are of a class.
#[inline]
#[target_feature(enable = "avx2")]
fn lanes(classes: __m128i, class: usize) -> usize {
    _mm_movemask_epi8(_mm_cmpeq_epi8(classes, _mm_set1_epi8(class as i8))) as usize & 0xff
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
            let mask = lanes(c, q);
            let kept = _mm_cvtsi128_si64(_mm_shuffle_epi8(b, vector(&KEPT[mask])));
            list[*n..][..WIDTH].copy_from_slice(&kept.to_le_bytes());
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
        let mut placed = _mm_setzero_si128();
        for (q, (list, n)) in lists.iter().zip(&mut counts).enumerate() {
            let mask = lanes(c, q);
            let from = list[*n..].first_chunk().map_or(placed, |b| vector(b));
            placed = _mm_or_si128(placed, _mm_shuffle_epi8(from, vector(&PLACED[mask])));
            *n += mask.count_ones() as usize;
        }
        *b = _mm_cvtsi128_si64(placed).to_le_bytes();
    }
    for (c, b) in rest.iter().zip(rest_bytes) {
        *b = sift::take(&lists, &mut counts, *c);
    }
}
