//! Weighted sums of rows of neighbours: the prediction itself, and the loop that decoding spends most time in.

#[cfg_attr(not(target_arch = "x86_64"), allow(unused_imports))]
use crate::machine::{instruction_set, InstructionSet};

/// A row of neighbour values and its weight.
pub type WeightedRow<'a> = (&'a [i32], i32);

/// How a sum becomes a prediction.
#[derive(Clone, Copy, Debug)]
pub struct Rounding {
    /// Fraction bits of the weights.
    pub shift: u32,
    /// Smallest prediction.
    pub low: i32,
    /// Largest prediction.
    pub high: i32,
}

/// out[j] = clamp((sum of weight * row[j] + 2^(shift-1)) >> shift, low, high), in wrapping arithmetic. Every row has at
/// least as many values as `out`.
pub fn weighted_sum(rows: &[WeightedRow], rounding: Rounding, out: &mut [i32]) {
    assert!(rows.iter().all(|(row, _)| row.len() >= out.len()));
    match instruction_set() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine has these instructions, and the rows are long enough.
        InstructionSet::Avx512 => unsafe { avx512(rows, rounding, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        InstructionSet::Avx2 => unsafe { avx2(rows, rounding, out) },
        _ => portable(rows, rounding, 0, out),
    }
}

/// [`weighted_sum`] of values that all fit into 16 bits, as they do at wide bounds: two products at a time.
pub fn narrow_sum(rows: &[WeightedRow], rounding: Rounding, out: &mut [i32]) {
    #[cfg(target_arch = "x86_64")]
    if instruction_set() == InstructionSet::Avx512 && rows.iter().all(|(_, w)| i16::try_from(*w).is_ok()) {
        assert!(rows.iter().all(|(row, _)| row.len() >= out.len()));
        // SAFETY: the machine has these instructions, and the rows are long enough.
        return unsafe { narrow_avx512(rows, rounding, out) };
    }
    weighted_sum(rows, rounding, out);
}

/// The definition, for the places from `first` on.
pub fn portable(rows: &[WeightedRow], rounding: Rounding, first: usize, out: &mut [i32]) {
    let Rounding { shift, low, high } = rounding;
    let half = (1i32 << shift) >> 1;
    out[first..].fill(half);
    for (row, weight) in rows {
        for (o, v) in out[first..].iter_mut().zip(&row[first..]) {
            *o = o.wrapping_add(v.wrapping_mul(*weight));
        }
    }
    for o in &mut out[first..] {
        *o = (*o >> shift).max(low).min(high);
    }
}

/// # Safety
/// The machine has the instructions, and every row at least as many values as `out`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn avx512(rows: &[WeightedRow], rounding: Rounding, out: &mut [i32]) {
    use std::arch::x86_64::*;
    let Rounding { shift, low, high } = rounding;
    let half = _mm512_set1_epi32((1i32 << shift) >> 1);
    let (low, high) = (_mm512_set1_epi32(low), _mm512_set1_epi32(high));
    let count = _mm_cvtsi32_si128(shift as i32);
    let finish = |sum| _mm512_min_epi32(_mm512_max_epi32(_mm512_sra_epi32(sum, count), low), high);
    let n = out.len();
    let mut at = 0;
    while at + 64 <= n {
        let (mut a, mut b, mut c, mut d) = (half, half, half, half);
        for (row, weight) in rows {
            let w = _mm512_set1_epi32(*weight);
            // SAFETY: the row has at least n values, so that 64 from `at` on are there.
            let load = |k: usize| unsafe { _mm512_loadu_si512(row.as_ptr().add(at + 16 * k).cast()) };
            a = _mm512_add_epi32(a, _mm512_mullo_epi32(load(0), w));
            b = _mm512_add_epi32(b, _mm512_mullo_epi32(load(1), w));
            c = _mm512_add_epi32(c, _mm512_mullo_epi32(load(2), w));
            d = _mm512_add_epi32(d, _mm512_mullo_epi32(load(3), w));
        }
        for (k, sum) in [a, b, c, d].into_iter().enumerate() {
            // SAFETY: `out` has n values.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(at + 16 * k).cast(), finish(sum)) };
        }
        at += 64;
    }
    while at < n {
        let mask = if n - at < 16 { (1u16 << (n - at)) - 1 } else { u16::MAX };
        let mut a = half;
        for (row, weight) in rows {
            // SAFETY: the mask leaves only values before n.
            let v = unsafe { _mm512_maskz_loadu_epi32(mask, row.as_ptr().add(at)) };
            a = _mm512_add_epi32(a, _mm512_mullo_epi32(v, _mm512_set1_epi32(*weight)));
        }
        // SAFETY: as above.
        unsafe { _mm512_mask_storeu_epi32(out.as_mut_ptr().add(at), mask, finish(a)) };
        at += 16;
    }
}

/// # Safety
/// The machine has the instructions, and every row at least as many values as `out`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn narrow_avx512(rows: &[WeightedRow], rounding: Rounding, out: &mut [i32]) {
    let (whole, rest) = out.as_chunks_mut::<64>();
    let at = 64 * whole.len();
    for (k, out) in whole.iter_mut().enumerate() {
        // SAFETY: the rows have as many values.
        unsafe { narrow_group::<4>(rows, rounding, 64 * k, out) };
    }
    for (k, out) in rest.chunks_mut(16).enumerate() {
        // SAFETY: as above.
        unsafe { narrow_group::<1>(rows, rounding, at + 16 * k, out) };
    }
}

/// The sums of `V` vectors from `at` on, all whole if they are more than one.
///
/// # Safety
/// The machine has the instructions, and every row as many values as `out` from `at` on.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn narrow_group<const V: usize>(rows: &[WeightedRow], rounding: Rounding, at: usize, out: &mut [i32]) {
    use std::arch::x86_64::*;
    debug_assert!(out.len() == 16 * V || V == 1 && !out.is_empty() && out.len() < 16);
    let left = if V > 1 { 16 } else { out.len() };
    let points = !0u16 >> (16 - left);
    // The upper halves of the same numbers.
    let upper = 0xaaaa_aaaa & !0u32 >> (32 - 2 * left);
    let mut sums = [_mm512_set1_epi32((1i32 << rounding.shift) >> 1); V];
    let (pairs, last) = rows.as_chunks::<2>();
    for [(a, wa), (b, wb)] in pairs {
        let w = _mm512_set1_epi32(wb << 16 | wa & 0xffff);
        for (k, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the masks leave only values that are there. The lower half of each number of the second row, where it
            // is read, goes to the upper half.
            let both = unsafe {
                let first = _mm512_maskz_loadu_epi32(points, a.as_ptr().add(at + 16 * k));
                let second = b.as_ptr().add(at + 16 * k).cast::<i16>().wrapping_sub(1);
                _mm512_mask_loadu_epi16(first, upper, second)
            };
            *sum = _mm512_add_epi32(*sum, _mm512_madd_epi16(both, w));
        }
    }
    for (a, wa) in last {
        let w = _mm512_set1_epi32(wa & 0xffff);
        for (k, sum) in sums.iter_mut().enumerate() {
            // SAFETY: as above.
            let first = unsafe { _mm512_maskz_loadu_epi32(points, a.as_ptr().add(at + 16 * k)) };
            *sum = _mm512_add_epi32(*sum, _mm512_madd_epi16(first, w));
        }
    }
    let (low, high) = (_mm512_set1_epi32(rounding.low), _mm512_set1_epi32(rounding.high));
    let count = _mm_cvtsi32_si128(rounding.shift as i32);
    for (k, sum) in sums.into_iter().enumerate() {
        let sum = _mm512_min_epi32(_mm512_max_epi32(_mm512_sra_epi32(sum, count), low), high);
        // SAFETY: the mask leaves only places of `out`.
        unsafe { _mm512_mask_storeu_epi32(out.as_mut_ptr().add(16 * k), points, sum) };
    }
}

/// # Safety
/// The machine has the instructions, and every row at least as many values as `out`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn avx2(rows: &[WeightedRow], rounding: Rounding, out: &mut [i32]) {
    use std::arch::x86_64::*;
    let Rounding { shift, low, high } = rounding;
    let half = _mm256_set1_epi32((1i32 << shift) >> 1);
    let (low, high) = (_mm256_set1_epi32(low), _mm256_set1_epi32(high));
    let count = _mm_cvtsi32_si128(shift as i32);
    let finish = |sum| _mm256_min_epi32(_mm256_max_epi32(_mm256_sra_epi32(sum, count), low), high);
    let n = out.len();
    let mut at = 0;
    while at + 32 <= n {
        let (mut a, mut b, mut c, mut d) = (half, half, half, half);
        for (row, weight) in rows {
            let w = _mm256_set1_epi32(*weight);
            // SAFETY: the row has at least n values, so that 32 from `at` on are there.
            let load = |k: usize| unsafe { _mm256_loadu_si256(row.as_ptr().add(at + 8 * k).cast()) };
            a = _mm256_add_epi32(a, _mm256_mullo_epi32(load(0), w));
            b = _mm256_add_epi32(b, _mm256_mullo_epi32(load(1), w));
            c = _mm256_add_epi32(c, _mm256_mullo_epi32(load(2), w));
            d = _mm256_add_epi32(d, _mm256_mullo_epi32(load(3), w));
        }
        for (k, sum) in [a, b, c, d].into_iter().enumerate() {
            // SAFETY: `out` has n values.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(at + 8 * k).cast(), finish(sum)) };
        }
        at += 32;
    }
    while at < n && n >= 8 {
        // The last vector ends where the row does: some sums are computed twice.
        at = at.min(n - 8);
        let mut a = half;
        for (row, weight) in rows {
            // SAFETY: as above, 8 values.
            let v = unsafe { _mm256_loadu_si256(row.as_ptr().add(at).cast()) };
            a = _mm256_add_epi32(a, _mm256_mullo_epi32(v, _mm256_set1_epi32(*weight)));
        }
        // SAFETY: as above.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(at).cast(), finish(a)) };
        at += 8;
    }
    portable(rows, rounding, at, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_instruction_set_gives_the_same(
            values in prop::collection::vec(any::<i32>(), 11..300),
            weights in prop::collection::vec(any::<i32>(), 1..8),
            shift in 0u32..13,
        ) {
            let n = values.len() - 10;
            let rows: Vec<WeightedRow> = weights.iter().enumerate().map(|(i, &w)| (&values[i..], w)).collect();
            let rounding = Rounding { shift, low: -1_000_000, high: 1_000_000 };
            let mut expected = vec![0; n];
            portable(&rows, rounding, 0, &mut expected);
            for j in 0..n {
                let sum = rows.iter().fold((1i32 << shift) >> 1, |s, (r, w)| s.wrapping_add(r[j].wrapping_mul(*w)));
                prop_assert_eq!(expected[j], (sum >> shift).clamp(-1_000_000, 1_000_000));
            }
            let mut out = vec![0; n];
            weighted_sum(&rows, rounding, &mut out);
            prop_assert_eq!(&out, &expected);
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                let mut out = vec![0; n];
                // SAFETY: the machine has the instructions, the rows are longer than `out`.
                unsafe { avx2(&rows, rounding, &mut out) };
                prop_assert_eq!(&out, &expected);
            }
        }

        #[test]
        fn sums_of_narrow_values_are_the_same(
            values in prop::collection::vec(any::<i16>().prop_map(i32::from), 11..300),
            weights in prop::collection::vec(-40_000i32..40_000, 1..8),
            narrow in any::<bool>(),
            shift in 0u32..13,
        ) {
            let n = values.len() - 10;
            let weights = weights.iter().map(|w| if narrow { w / 2 } else { *w });
            let rows: Vec<WeightedRow> = weights.enumerate().map(|(i, w)| (&values[i..], w)).collect();
            let rounding = Rounding { shift, low: -1_000_000, high: 1_000_000 };
            let (mut expected, mut out) = (vec![0; n], vec![0; n]);
            portable(&rows, rounding, 0, &mut expected);
            narrow_sum(&rows, rounding, &mut out);
            prop_assert_eq!(out, expected);
        }
    }
}
