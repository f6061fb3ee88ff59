//! AVX-512 with VNNI: sixteen columns, dot products in one instruction.

use super::conv::{self, Job, Lanes};
use crate::network::weights::{Narrow, Wide};
use std::arch::x86_64::*;
use std::ops::Range;

struct Avx512;

/// # Safety
/// The machine has the instructions, and the job was checked with these rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub unsafe fn convolve(job: &Job, rows: Range<usize>, out: &mut [u32]) {
    // SAFETY: as the caller promises.
    unsafe { conv::convolve::<Avx512>(job, rows, out) }
}

// SAFETY of all that follows: as the trait asks of the caller.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Lanes for Avx512 {
    type V = __m512i;
    const N: usize = 16;
    const HALVES: bool = false;

    #[inline(always)]
    unsafe fn splat(v: u32) -> __m512i {
        unsafe { _mm512_set1_epi32(v as i32) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u32) -> __m512i {
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_even(from: *const u32) -> __m512i {
        unsafe {
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            _mm512_permutex2var_epi32(Self::load(from), even, Self::load(from.add(16)))
        }
    }

    #[inline(always)]
    unsafe fn store(to: *mut u32, v: __m512i) {
        unsafe { _mm512_storeu_si512(to.cast(), v) }
    }

    #[inline(always)]
    unsafe fn xor(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_xor_si512(a, b) }
    }

    #[inline(always)]
    unsafe fn dot8(sums: __m512i, a: __m512i, w: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sums, a, w) }
    }

    #[inline(always)]
    unsafe fn dot8_full(sums: __m512i, a: __m512i, w: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sums, a, w) }
    }

    #[inline(always)]
    unsafe fn halves(a: __m512i) -> [__m512i; 2] {
        unsafe { [_mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(a)), _mm512_srai_epi16::<8>(a)] }
    }

    #[inline(always)]
    unsafe fn dot16(sums: __m512i, a: __m512i, w: __m512i) -> __m512i {
        unsafe { _mm512_dpwssd_epi32(sums, a, w) }
    }

    // No closures: they would be functions without the instructions.
    #[inline(always)]
    unsafe fn narrow(sums: __m512i, n: &Narrow) -> __m512i {
        unsafe {
            let (low, high) = (_mm512_set1_epi32(n.window.0), _mm512_set1_epi32(n.window.1));
            let kept = _mm512_min_epi32(_mm512_max_epi32(sums, low), high);
            // The upper halves meet a multiplier of 0.
            let all = _mm512_dpwssd_epi32(_mm512_set1_epi32(n.half), kept, _mm512_set1_epi32(n.multiplier));
            _mm512_sra_epi32(all, _mm_cvtsi32_si128(n.shift))
        }
    }

    #[inline(always)]
    unsafe fn split(sums: __m512i, w: &Wide) -> __m512i {
        unsafe {
            let half = _mm512_set1_epi32(1 << (w.shift - 17));
            let upper = _mm512_dpwssd_epi32(half, sums, _mm512_set1_epi32(w.multiplier << 16));
            let lower = _mm512_mulhi_epu16(sums, _mm512_set1_epi32(w.multiplier));
            let all = _mm512_sra_epi32(_mm512_add_epi32(upper, lower), _mm_cvtsi32_si128(w.shift - 16));
            let (low, high) = (_mm512_set1_epi32(w.clamp.0), _mm512_set1_epi32(w.clamp.1));
            _mm512_min_epi32(_mm512_max_epi32(all, low), high)
        }
    }

    #[inline(always)]
    unsafe fn wide(sums: __m512i, w: &Wide) -> __m512i {
        unsafe {
            let m = _mm512_set1_epi64(w.multiplier.into());
            let (half, shift) = (_mm512_set1_epi64(1 << (w.shift - 1)), _mm_cvtsi32_si128(w.shift));
            let even = _mm512_add_epi64(_mm512_mul_epi32(sums, m), half);
            let odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64::<32>(sums), m), half);
            let (even, odd) = (_mm512_sra_epi64(even, shift), _mm512_sra_epi64(odd, shift));
            let all = _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64::<32>(odd));
            let (low, high) = (_mm512_set1_epi32(w.clamp.0), _mm512_set1_epi32(w.clamp.1));
            _mm512_min_epi32(_mm512_max_epi32(all, low), high)
        }
    }

    #[inline(always)]
    unsafe fn join8([a, b, c, d]: [__m512i; 4]) -> __m512i {
        unsafe {
            let byte = _mm512_set1_epi32(0xff);
            let low = _mm512_and_si512(a, byte);
            let b = _mm512_slli_epi32::<8>(_mm512_and_si512(b, byte));
            let c = _mm512_slli_epi32::<16>(_mm512_and_si512(c, byte));
            _mm512_or_si512(_mm512_or_si512(low, b), _mm512_or_si512(c, _mm512_slli_epi32::<24>(d)))
        }
    }

    #[inline(always)]
    unsafe fn join16(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_mask_blend_epi16(0xaaaa_aaaa, a, _mm512_slli_epi32::<16>(b)) }
    }
}
