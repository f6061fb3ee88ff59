//! Contexts with AVX-512. The functions in [`super::contexts`] define what this does.

use super::contexts::{Thresholds, LEVELS, MAX_ROWS, SPREADS};
use crate::machine::{instruction_set, InstructionSet};
use arrayvec::ArrayVec;
use std::arch::x86_64::*;

/// Points of a vector of bytes.
const POINTS: usize = 64;
/// Points of a vector of 32-bit numbers.
const NUMBERS: usize = 16;
/// Most pairs of rows.
const PAIRS: usize = MAX_ROWS.div_ceil(2);
/// See [`super::contexts::contexts`]; weights and thresholds are small.
///
/// # Panics
/// If the machine lacks the instructions.
pub fn contexts(
    activities: &[(&[u8], u16)],
    near: [&[i32]; 4],
    predicted: &[i32],
    thresholds: &Thresholds,
    base: u8,
    out: &mut [u8],
) {
    let n = out.len();
    assert!(instruction_set() == InstructionSet::Avx512);
    assert!(activities.iter().all(|a| a.0.len() >= n) && near.iter().all(|row| row.len() >= n));
    assert!(predicted.len() >= n && activities.len() <= 2 * PAIRS);
    // SAFETY: the machine has the instructions, and every row as many points as there are contexts.
    unsafe { avx512(activities, near, predicted, thresholds, base, out) };
}

/// Rows of activities, two and two, with their weights side by side.
type Pairs = ArrayVec<(*const u8, *const u8, __m512i), PAIRS>;

/// # Safety
/// The machine has the instructions, and every row at least as many points as `out`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn avx512(
    activities: &[(&[u8], u16)],
    near: [&[i32]; 4],
    predicted: &[i32],
    thresholds: &Thresholds,
    base: u8,
    out: &mut [u8],
) {
    let pair = |rows: &[(&[u8], u16)]| {
        let (first, second) = (rows[0], rows.get(1).map_or((rows[0].0, 0), |r| *r));
        (first.0.as_ptr(), second.0.as_ptr(), _mm512_set1_epi16((second.1 << 8 | first.1) as i16))
    };
    let pairs: Pairs = activities.chunks(2).map(pair).collect();
    let rows = (near.map(|row| row.as_ptr()), predicted.as_ptr());
    let limits = thresholds.map(|t| _mm512_set1_epi16(t as i16));
    let (whole, rest) = out.as_chunks_mut::<POINTS>();
    let at = whole.len() * POINTS;
    for (k, out) in whole.iter_mut().enumerate() {
        // SAFETY: the rows have as many points.
        unsafe { block::<true>(&pairs, rows, limits, base, k * POINTS, out) };
    }
    if !rest.is_empty() {
        // SAFETY: as above.
        unsafe { block::<false>(&pairs, rows, limits, base, at, rest) };
    }
}

/// The contexts of the points from `at` on, [`POINTS`] if they are a `WHOLE` vector.
///
/// # Safety
/// The machine has the instructions, and every row as many points as `out` from `at` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn block<const WHOLE: bool>(
    pairs: &Pairs,
    (near, predicted): ([*const i32; 4], *const i32),
    limits: [__m512i; SPREADS - 1],
    base: u8,
    at: usize,
    out: &mut [u8],
) {
    let zero = _mm512_setzero_si512();
    let there = if WHOLE { !0 } else { !0u64 >> (POINTS - out.len()) };
    let bytes = |row: *const u8| {
        // SAFETY: the mask leaves only points before the end of `out`, and the rows are as long.
        unsafe {
            match WHOLE {
                true => _mm512_loadu_si512(row.add(at).cast()),
                false => _mm512_maskz_loadu_epi8(there, row.add(at).cast()),
            }
        }
    };
    let (mut low, mut high) = (zero, zero);
    for (first, second, weights) in pairs {
        let (a, b) = (bytes(*first), bytes(*second));
        low = _mm512_add_epi16(low, _mm512_maddubs_epi16(_mm512_unpacklo_epi8(a, b), *weights));
        high = _mm512_add_epi16(high, _mm512_maddubs_epi16(_mm512_unpackhi_epi8(a, b), *weights));
    }
    let spread = |quarter: usize| {
        let first = quarter * NUMBERS;
        let numbers = |row: *const i32| {
            // SAFETY: as above.
            unsafe {
                match WHOLE {
                    true => _mm512_loadu_si512(row.add(at + first).cast()),
                    false => _mm512_maskz_loadu_epi32((there >> first) as u16, row.wrapping_add(at + first)),
                }
            }
        };
        let predicted = numbers(predicted);
        near.iter().fold(zero, |sum, row| {
            let distance = _mm512_abs_epi32(_mm512_sub_epi32(numbers(*row), predicted));
            _mm512_add_epi32(sum, _mm512_min_epu32(distance, _mm512_set1_epi32(1 << 28)))
        })
    };
    let one = _mm512_set1_epi16(1);
    let steps = |a, b| {
        let spreads = _mm512_packus_epi32(a, b);
        limits.iter().fold(zero, |steps, limit| {
            _mm512_mask_add_epi16(steps, _mm512_cmpge_epu16_mask(spreads, *limit), steps, one)
        })
    };
    let steps = _mm512_packus_epi16(steps(spread(0), spread(1)), steps(spread(2), spread(3)));
    // Packing stays within 16 bytes, which have four points of each quarter now.
    let order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    let mut context = _mm512_add_epi8(_mm512_set1_epi8(base as i8), _mm512_permutexvar_epi32(order, steps));
    // At wide bounds nearly all residuals are zero.
    let any = _mm512_or_si512(low, high);
    if _mm512_test_epi8_mask(any, any) != 0 {
        // The exponent, of 1.5 times a power of two on the next one: half a unit of the last place carries into it.
        let exponents = |sums| {
            let bits = _mm512_castps_si512(_mm512_cvtepi32_ps(sums));
            _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(1 << 22)), 23)
        };
        let few = |sums| {
            let (a, b) = (_mm512_unpacklo_epi16(sums, zero), _mm512_unpackhi_epi16(sums, zero));
            _mm512_packus_epi32(exponents(a), exponents(b))
        };
        // In the order of the points: what was unpacked within 16 bytes is packed there.
        let exponents = _mm512_packus_epi16(few(low), few(high));
        let level = _mm512_subs_epu8(exponents, _mm512_set1_epi8(-128));
        let some = _mm512_test_epi8_mask(exponents, exponents);
        let level = _mm512_mask_max_epu8(level, some, level, _mm512_set1_epi8(1));
        let level = _mm512_min_epu8(level, _mm512_set1_epi8(LEVELS as i8 - 1));
        const { assert!(SPREADS == 4) };
        let twice = _mm512_add_epi8(level, level);
        context = _mm512_add_epi8(context, _mm512_add_epi8(twice, twice));
    }
    // SAFETY: the mask has as many lanes as there is place.
    unsafe { _mm512_mask_storeu_epi8(out.as_mut_ptr().cast(), there, context) };
}
