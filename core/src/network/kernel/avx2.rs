//! AVX2: eight columns; dot products in three instructions, or in one where the machine has AVX-VNNI.

use super::conv::{self, Job, Lanes};
use crate::network::weights::{Narrow, Wide};
use std::arch::x86_64::*;
use std::ops::Range;

struct Avx2<const VNNI: bool>;

/// # Safety
/// The machine has the instructions, and the job was checked with these rows.
#[target_feature(enable = "avx2")]
pub unsafe fn convolve(job: &Job, rows: Range<usize>, out: &mut [u32]) {
    // SAFETY: as the caller promises.
    unsafe { conv::convolve::<Avx2<false>>(job, rows, out) }
}

/// # Safety
/// The machine has the instructions, and the job was checked with these rows.
#[target_feature(enable = "avx2,avxvnni")]
pub unsafe fn convolve_vnni(job: &Job, rows: Range<usize>, out: &mut [u32]) {
    // SAFETY: as the caller promises.
    unsafe { conv::convolve::<Avx2<true>>(job, rows, out) }
}

// SAFETY of all that follows: as the trait asks of the caller.
#[allow(clippy::undocumented_unsafe_blocks)]
impl<const VNNI: bool> Lanes for Avx2<VNNI> {
    type V = __m256i;
    const N: usize = 8;
    const HALVES: bool = !VNNI;

    #[inline(always)]
    unsafe fn splat(v: u32) -> __m256i {
        unsafe { _mm256_set1_epi32(v as i32) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u32) -> __m256i {
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_even(from: *const u32) -> __m256i {
        unsafe {
            let a = _mm256_castsi256_ps(Self::load(from));
            let b = _mm256_castsi256_ps(Self::load(from.add(8)));
            _mm256_permute4x64_epi64::<0b1101_1000>(_mm256_castps_si256(_mm256_shuffle_ps::<0b1000_1000>(
                a, b,
            )))
        }
    }

    #[inline(always)]
    unsafe fn store(to: *mut u32, v: __m256i) {
        unsafe { _mm256_storeu_si256(to.cast(), v) }
    }

    #[inline(always)]
    unsafe fn xor(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_xor_si256(a, b) }
    }

    #[inline(always)]
    unsafe fn dot8(sums: __m256i, a: __m256i, w: __m256i) -> __m256i {
        unsafe {
            if VNNI {
                return _mm256_dpbusd_avx_epi32(sums, a, w);
            }
            // Pairs of products reach 2 * 127 * 128 at most: they do not saturate.
            let pairs = _mm256_maddubs_epi16(a, w);
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    unsafe fn dot8_full(sums: __m256i, a: __m256i, w: __m256i) -> __m256i {
        unsafe {
            // Pairs of products would saturate: without VNNI such bytes are taken as 16-bit numbers.
            debug_assert!(VNNI);
            _mm256_dpbusd_avx_epi32(sums, a, w)
        }
    }

    #[inline(always)]
    unsafe fn halves(a: __m256i) -> [__m256i; 2] {
        unsafe { [_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(a)), _mm256_srai_epi16::<8>(a)] }
    }

    #[inline(always)]
    unsafe fn dot16(sums: __m256i, a: __m256i, w: __m256i) -> __m256i {
        unsafe {
            if VNNI {
                return _mm256_dpwssd_avx_epi32(sums, a, w);
            }
            _mm256_add_epi32(sums, _mm256_madd_epi16(a, w))
        }
    }

    // No closures: they would be functions without the instructions.
    #[inline(always)]
    unsafe fn narrow(sums: __m256i, n: &Narrow) -> __m256i {
        unsafe {
            let (low, high) = (_mm256_set1_epi32(n.window.0), _mm256_set1_epi32(n.window.1));
            let kept = _mm256_min_epi32(_mm256_max_epi32(sums, low), high);
            // The upper halves meet a multiplier of 0.
            let products = _mm256_madd_epi16(kept, _mm256_set1_epi32(n.multiplier));
            let all = _mm256_add_epi32(products, _mm256_set1_epi32(n.half));
            _mm256_sra_epi32(all, _mm_cvtsi32_si128(n.shift))
        }
    }

    #[inline(always)]
    unsafe fn split(sums: __m256i, w: &Wide) -> __m256i {
        unsafe {
            let upper = _mm256_madd_epi16(sums, _mm256_set1_epi32(w.multiplier << 16));
            let lower = _mm256_mulhi_epu16(sums, _mm256_set1_epi32(w.multiplier));
            let half = _mm256_set1_epi32(1 << (w.shift - 17));
            let all = _mm256_add_epi32(_mm256_add_epi32(upper, half), lower);
            let all = _mm256_sra_epi32(all, _mm_cvtsi32_si128(w.shift - 16));
            let (low, high) = (_mm256_set1_epi32(w.clamp.0), _mm256_set1_epi32(w.clamp.1));
            _mm256_min_epi32(_mm256_max_epi32(all, low), high)
        }
    }

    #[inline(always)]
    unsafe fn wide(sums: __m256i, w: &Wide) -> __m256i {
        unsafe {
            // Shifts of 64-bit numbers bring in zeros: a multiple of 2^shift makes all of them positive and goes
            // again afterwards.
            let more = 1i64 << 50;
            let m = _mm256_set1_epi64x(w.multiplier.into());
            let half = _mm256_set1_epi64x((1 << (w.shift - 1)) + more);
            let shift = _mm_cvtsi32_si128(w.shift);
            let even = _mm256_add_epi64(_mm256_mul_epi32(sums, m), half);
            let odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64::<32>(sums), m), half);
            let (even, odd) = (_mm256_srl_epi64(even, shift), _mm256_srl_epi64(odd, shift));
            let all = _mm256_blend_epi32::<0b1010_1010>(even, _mm256_slli_epi64::<32>(odd));
            let all = _mm256_sub_epi32(all, _mm256_set1_epi32((more >> w.shift) as i32));
            let (low, high) = (_mm256_set1_epi32(w.clamp.0), _mm256_set1_epi32(w.clamp.1));
            _mm256_min_epi32(_mm256_max_epi32(all, low), high)
        }
    }

    #[inline(always)]
    unsafe fn join8([a, b, c, d]: [__m256i; 4]) -> __m256i {
        unsafe {
            let byte = _mm256_set1_epi32(0xff);
            let low = _mm256_and_si256(a, byte);
            let b = _mm256_slli_epi32::<8>(_mm256_and_si256(b, byte));
            let c = _mm256_slli_epi32::<16>(_mm256_and_si256(c, byte));
            _mm256_or_si256(_mm256_or_si256(low, b), _mm256_or_si256(c, _mm256_slli_epi32::<24>(d)))
        }
    }

    #[inline(always)]
    unsafe fn join16(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_blend_epi16::<0b1010_1010>(a, _mm256_slli_epi32::<16>(b)) }
    }
}
