//! Products of rows of 16-bit integers, summed: the part of the normal equations that takes the time.

#[cfg_attr(not(target_arch = "x86_64"), allow(unused_imports))]
use crate::machine::{instruction_set, InstructionSet};

/// Values of a row.
pub const BLOCK: usize = 256;
/// Rows that are multiplied with another one at a time, so that it is read less often.
pub const TILE: usize = 4;
/// Largest magnitude of a value: the sum of BLOCK products stays below 2^31.
pub const LIMIT: i16 = 2895;

/// Adds the sums of products of all pairs of the first `m` of `rows`, of BLOCK values each, to the upper triangle of
/// `sums`. The number of rows that are there is a multiple of TILE.
pub fn products(rows: &[i16], m: usize, sums: &mut [i64]) {
    assert!(rows.len() >= m.next_multiple_of(TILE) * BLOCK && sums.len() >= m * m);
    match instruction_set() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine has these instructions.
        InstructionSet::Avx512 => unsafe { products_avx512(rows, m, sums) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        InstructionSet::Avx2 => unsafe { products_avx2(rows, m, sums) },
        _ => products_with(rows, m, sums, dots),
    }
}

/// The loop over the tiles; `dots` gives the products of the four rows `a` with `b`.
#[inline(always)]
fn products_with(rows: &[i16], m: usize, sums: &mut [i64], dots: impl Fn(&[i16], &[i16]) -> [i32; TILE]) {
    for i in (0..m).step_by(TILE) {
        let a = &rows[i * BLOCK..(i + TILE) * BLOCK];
        for j in i..m {
            let found = dots(a, &rows[j * BLOCK..(j + 1) * BLOCK]);
            for (t, d) in found.iter().enumerate() {
                if i + t <= j {
                    sums[(i + t) * m + j] += i64::from(*d);
                }
            }
        }
    }
}

/// Products of TILE rows with one, in plain Rust.
#[inline(always)]
fn dots(a: &[i16], b: &[i16]) -> [i32; TILE] {
    std::array::from_fn(|t| {
        let row = &a[t * BLOCK..(t + 1) * BLOCK];
        row.iter().zip(b).map(|(x, y)| i32::from(*x) * i32::from(*y)).fold(0, i32::wrapping_add)
    })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn products_avx512(rows: &[i16], m: usize, sums: &mut [i64]) {
    use std::arch::x86_64::*;
    products_with(rows, m, sums, |a, b| {
        let mut sum = [_mm512_setzero_si512(); TILE];
        for (k, y) in b.chunks_exact(32).enumerate() {
            // SAFETY: the slice has the 32 values that are read.
            let y = unsafe { _mm512_loadu_si512(y.as_ptr().cast()) };
            for (t, s) in sum.iter_mut().enumerate() {
                let x = &a[t * BLOCK + 32 * k..][..32];
                // SAFETY: as above.
                let x = unsafe { _mm512_loadu_si512(x.as_ptr().cast()) };
                *s = _mm512_add_epi32(*s, _mm512_madd_epi16(x, y));
            }
        }
        sum.map(|s| _mm512_reduce_add_epi32(s))
    });
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn products_avx2(rows: &[i16], m: usize, sums: &mut [i64]) {
    use std::arch::x86_64::*;
    products_with(rows, m, sums, |a, b| {
        let mut sum = [_mm256_setzero_si256(); TILE];
        for (k, y) in b.chunks_exact(16).enumerate() {
            // SAFETY: the slice has the 16 values that are read.
            let y = unsafe { _mm256_loadu_si256(y.as_ptr().cast()) };
            for (t, s) in sum.iter_mut().enumerate() {
                let x = &a[t * BLOCK + 16 * k..][..16];
                // SAFETY: as above.
                let x = unsafe { _mm256_loadu_si256(x.as_ptr().cast()) };
                *s = _mm256_add_epi32(*s, _mm256_madd_epi16(x, y));
            }
        }
        sum.map(|s| {
            let half = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256::<1>(s));
            let quarter = _mm_add_epi32(half, _mm_shuffle_epi32::<0b0100_1110>(half));
            _mm_cvtsi128_si32(_mm_add_epi32(quarter, _mm_shuffle_epi32::<0b1011_0001>(quarter)))
        })
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_instruction_set_gives_the_same(seed in prop::collection::vec(-LIMIT..=LIMIT, 64), m in 1usize..9) {
            let rows: Vec<i16> = (0..m.next_multiple_of(TILE) * BLOCK)
                .map(|i| if i % 7 == 0 { LIMIT } else { seed[(i * 31 + i / 64) % 64] })
                .collect();
            let mut expected = vec![0; m * m];
            products_with(&rows, m, &mut expected, dots);
            let mut found = vec![0; m * m];
            products(&rows, m, &mut found);
            prop_assert_eq!(&found, &expected);
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                let mut found = vec![0; m * m];
                // SAFETY: the machine has the instructions.
                unsafe { products_avx2(&rows, m, &mut found) };
                prop_assert_eq!(&found, &expected);
            }
        }
    }
}
