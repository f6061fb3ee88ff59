//! Contexts with AVX2. The functions in [`super::contexts`] define what this does.

use super::contexts::{Thresholds, LEVELS, MAX_ROWS, SPREADS};
use crate::machine::{instruction_set, InstructionSet};
use arrayvec::ArrayVec;
use std::arch::x86_64::*;

/// Points of a vector of bytes, and the fewest that this is for.
pub const POINTS: usize = 32;
/// Points of a vector of 32-bit numbers.
const NUMBERS: usize = 8;
/// Most pairs of rows.
const PAIRS: usize = MAX_ROWS.div_ceil(2);

/// See [`super::contexts::contexts`]; weights and thresholds are small.
///
/// # Panics
/// If the machine lacks the instructions, or there are fewer than [`POINTS`] points.
pub fn contexts(
    activities: &[(&[u8], u16)],
    near: [&[i32]; 4],
    predicted: &[i32],
    thresholds: &Thresholds,
    base: u8,
    out: &mut [u8],
) {
    let n = out.len();
    assert!(instruction_set() != InstructionSet::Portable && n >= POINTS);
    assert!(activities.iter().all(|a| a.0.len() >= n) && near.iter().all(|row| row.len() >= n));
    assert!(predicted.len() >= n && activities.len() <= 2 * PAIRS);
    // SAFETY: the machine has the instructions, and every row as many points as there are contexts.
    unsafe { avx2(activities, near, predicted, thresholds, base, out) };
}

/// Rows of activities, two and two, with their weights side by side.
type Pairs = ArrayVec<(*const u8, *const u8, __m256i), PAIRS>;

/// # Safety
/// The machine has the instructions, and every row at least as many points as `out`, which has at least [`POINTS`].
#[target_feature(enable = "avx2")]
unsafe fn avx2(
    activities: &[(&[u8], u16)],
    near: [&[i32]; 4],
    predicted: &[i32],
    thresholds: &Thresholds,
    base: u8,
    out: &mut [u8],
) {
    let pair = |rows: &[(&[u8], u16)]| {
        let (first, second) = (rows[0], rows.get(1).map_or((rows[0].0, 0), |r| *r));
        (first.0.as_ptr(), second.0.as_ptr(), _mm256_set1_epi16((second.1 << 8 | first.1) as i16))
    };
    let pairs: Pairs = activities.chunks(2).map(pair).collect();
    let rows = (near.map(|row| row.as_ptr()), predicted.as_ptr());
    let limits = thresholds.map(|t| _mm256_set1_epi16(t as i16));
    let last = out.len() - POINTS;
    // The last vector ends where the points do: some of them are computed twice.
    for at in (0..last).step_by(POINTS).chain([last]) {
        // SAFETY: the rows have as many points as `out`, which has 32 from `at` on.
        unsafe { block(&pairs, rows, limits, base, at, out.as_mut_ptr().add(at)) };
    }
}

/// The contexts of [`POINTS`] points from `at` on.
///
/// # Safety
/// The machine has the instructions, and every row as many points from `at` on as there is room in `out`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn block(
    pairs: &Pairs,
    (near, predicted): ([*const i32; 4], *const i32),
    limits: [__m256i; SPREADS - 1],
    base: u8,
    at: usize,
    out: *mut u8,
) {
    let zero = _mm256_setzero_si256();
    // SAFETY: 32 points from `at` on are there.
    let bytes = |row: *const u8| unsafe { _mm256_loadu_si256(row.add(at).cast()) };
    let (mut low, mut high) = (zero, zero);
    for (first, second, weights) in pairs {
        let (a, b) = (bytes(*first), bytes(*second));
        low = _mm256_add_epi16(low, _mm256_maddubs_epi16(_mm256_unpacklo_epi8(a, b), *weights));
        high = _mm256_add_epi16(high, _mm256_maddubs_epi16(_mm256_unpackhi_epi8(a, b), *weights));
    }
    let spread = |quarter: usize| {
        // SAFETY: as above.
        let numbers = |row: *const i32| unsafe { _mm256_loadu_si256(row.add(at + quarter * NUMBERS).cast()) };
        let predicted = numbers(predicted);
        let distance = |row: *const i32| {
            let distance = _mm256_abs_epi32(_mm256_sub_epi32(numbers(row), predicted));
            _mm256_min_epu32(distance, _mm256_set1_epi32(1 << 28))
        };
        let [a, b, c, d] = near.map(distance);
        _mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d))
    };
    let steps = |a, b| {
        let spreads = _mm256_packus_epi32(a, b);
        limits.iter().fold(zero, |steps, limit| {
            // All ones, which is -1, where the spread is as large.
            let reached = _mm256_cmpeq_epi16(_mm256_max_epu16(spreads, *limit), spreads);
            _mm256_sub_epi16(steps, reached)
        })
    };
    let steps = _mm256_packus_epi16(steps(spread(0), spread(1)), steps(spread(2), spread(3)));
    // Packing stays within 16 bytes, which have four points of each quarter now.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let steps = _mm256_permutevar8x32_epi32(steps, order);
    let mut context = _mm256_add_epi8(_mm256_set1_epi8(base as i8), steps);
    // At wide bounds nearly all residuals are zero.
    let any = _mm256_or_si256(low, high);
    if _mm256_testz_si256(any, any) == 0 {
        // The exponent, of 1.5 times a power of two on the next one: half a unit of the last place carries into it.
        let exponents = |sums| {
            let bits = _mm256_castps_si256(_mm256_cvtepi32_ps(sums));
            _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(1 << 22)), 23)
        };
        let few = |sums| {
            let (a, b) = (_mm256_unpacklo_epi16(sums, zero), _mm256_unpackhi_epi16(sums, zero));
            _mm256_packus_epi32(exponents(a), exponents(b))
        };
        // In the order of the points: what was unpacked within 16 bytes is packed there.
        let exponents = _mm256_packus_epi16(few(low), few(high));
        let some = _mm256_min_epu8(exponents, _mm256_set1_epi8(1));
        let level = _mm256_max_epu8(_mm256_subs_epu8(exponents, _mm256_set1_epi8(-128)), some);
        let level = _mm256_min_epu8(level, _mm256_set1_epi8(LEVELS as i8 - 1));
        const { assert!(SPREADS == 4) };
        let twice = _mm256_add_epi8(level, level);
        context = _mm256_add_epi8(context, _mm256_add_epi8(twice, twice));
    }
    // SAFETY: there is room for 32 contexts.
    unsafe { _mm256_storeu_si256(out.cast(), context) };
}
