//! Sorting bytes by class and back on machines with AVX2: 32 at a time where they are of one class, else eight. The scalar
//! functions of [`super::sift`] define what these do.

use super::quiet::CLASSES;
use super::sift;
pub use crate::bytes8::available;
use crate::bytes8::{bytes as eight, kept, placed, vector, WIDTH};
use std::arch::x86_64::*;

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
    assert!(available());
    // SAFETY: the machine has the instructions.
    unsafe { look_up(table, contexts, classes) };
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

/// Bytes that are looked at together: where all is quiet they are of one class.
const MANY: usize = 32;

/// The lanes of a class.
#[inline]
#[target_feature(enable = "avx2")]
fn of_class(classes: &[u8; MANY], class: usize) -> u32 {
    // SAFETY: 32 bytes are read.
    let classes = unsafe { _mm256_loadu_si256(classes.as_ptr().cast()) };
    _mm256_movemask_epi8(_mm256_cmpeq_epi8(classes, _mm256_set1_epi8(class as i8))) as u32
}

/// The lanes of all classes, and the class of all bytes, if it is the same.
#[inline]
#[target_feature(enable = "avx2")]
fn masks(classes: &[u8; MANY]) -> ([u32; CLASSES], Option<usize>) {
    const { assert!(CLASSES == 3) };
    let (one, two) = (of_class(classes, 1), of_class(classes, 2));
    let all = [!(one | two), one, two];
    (all, all.iter().position(|lanes| *lanes == !0))
}

#[target_feature(enable = "avx2,popcnt")]
fn split_avx2(classes: &[u8], bytes: &[u8], lists: &mut [Vec<u8>; CLASSES]) -> [usize; CLASSES] {
    let mut counts = [0; CLASSES];
    let mut lists = lists.each_mut().map(|l| &mut l[..]);
    let (many, rest) = classes.as_chunks::<MANY>();
    let (many_bytes, rest_bytes) = bytes.as_chunks::<MANY>();
    for (c, b) in many.iter().zip(many_bytes) {
        let (masks, same) = masks(c);
        if let Some(class) = same {
            lists[class][counts[class]..][..MANY].copy_from_slice(b);
            counts[class] += MANY;
            continue;
        }
        for (k, b) in b.as_chunks::<WIDTH>().0.iter().enumerate() {
            let b = vector(b);
            for ((list, n), mask) in lists.iter_mut().zip(&mut counts).zip(masks) {
                let mask = (mask >> (WIDTH * k)) as usize & 0xff;
                list[*n..][..WIDTH].copy_from_slice(&eight(kept(b, mask)));
                *n += mask.count_ones() as usize;
            }
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
    let (many, rest) = classes.as_chunks::<MANY>();
    let (many_bytes, rest_bytes) = bytes.as_chunks_mut::<MANY>();
    for (c, b) in many.iter().zip(many_bytes) {
        let (masks, same) = masks(c);
        if let Some(class) = same {
            b.copy_from_slice(&lists[class][counts[class]..][..MANY]);
            counts[class] += MANY;
            continue;
        }
        for (k, b) in b.as_chunks_mut::<WIDTH>().0.iter_mut().enumerate() {
            let mut all = _mm_setzero_si128();
            for ((list, n), mask) in lists.iter().zip(&mut counts).zip(masks) {
                let mask = (mask >> (WIDTH * k)) as usize & 0xff;
                let from = list[*n..].first_chunk().map_or(all, |b| vector(b));
                all = _mm_or_si128(all, placed(from, mask));
                *n += mask.count_ones() as usize;
            }
            *b = eight(all);
        }
    }
    for (c, b) in rest.iter().zip(rest_bytes) {
        *b = sift::take(&lists, &mut counts, *c);
    }
}

/// Contexts of a run lie within so many.
const NEAR: usize = 64;

/// The class of each context.
#[target_feature(enable = "avx2")]
fn look_up(table: &[u8; 256], contexts: &[u8], classes: &mut [u8]) {
    let (many, rest) = contexts.as_chunks::<MANY>();
    let (many_classes, rest_classes) = classes.as_chunks_mut::<MANY>();
    // SAFETY: 32 bytes are read.
    let load = |bytes: &[u8; MANY]| unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
    let (mut least, mut most) = (_mm256_set1_epi8(-1), _mm256_setzero_si256());
    for c in many {
        (least, most) = (_mm256_min_epu8(least, load(c)), _mm256_max_epu8(most, load(c)));
    }
    let (mut low, mut high) = ([0u8; MANY], [0u8; MANY]);
    // SAFETY: 32 bytes are written to each.
    unsafe {
        _mm256_storeu_si256(low.as_mut_ptr().cast(), least);
        _mm256_storeu_si256(high.as_mut_ptr().cast(), most);
    }
    let (low, high) = (low.into_iter().fold(255, u8::min), high.into_iter().fold(0, u8::max));
    let scalar = |contexts: &[u8], classes: &mut [u8]| {
        for (class, context) in classes.iter_mut().zip(contexts) {
            *class = table[usize::from(*context)];
        }
    };
    if usize::from(high) >= usize::from(low) + NEAR {
        return scalar(contexts, classes);
    }
    scalar(rest, rest_classes);
    if many.is_empty() {
        return;
    }
    let first = usize::from(low).min(table.len() - NEAR);
    // Sixteen classes each, twice.
    let tables: [__m256i; NEAR / 16] = std::array::from_fn(|k| {
        // SAFETY: 16 bytes from there on are there.
        _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(table[first + 16 * k..][..16].as_ptr().cast()) })
    });
    for (c, out) in many.iter().zip(many_classes) {
        let near = _mm256_sub_epi8(load(c), _mm256_set1_epi8(first as u8 as i8));
        let mut classes = _mm256_setzero_si256();
        for (k, table) in tables.into_iter().enumerate() {
            // Those of other tables get the top bit, for which a shuffle gives 0.
            let at = _mm256_sub_epi8(near, _mm256_set1_epi8(16 * k as i8));
            let at = _mm256_adds_epu8(at, _mm256_set1_epi8(0x70));
            classes = _mm256_or_si256(classes, _mm256_shuffle_epi8(table, at));
        }
        // SAFETY: 32 bytes are written.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), classes) };
    }
}
