//! Up to 64 bytes as a vector of AVX-512: what kernels that compress and expand bytes begin and end with.

use std::arch::x86_64::*;

/// Bytes of a vector.
pub const WIDTH: usize = 64;

/// A lane for each of at most 64 bytes.
pub fn lanes(bytes: &[u8]) -> __mmask64 {
    if bytes.len() >= WIDTH {
        !0
    } else {
        (1 << bytes.len()) - 1
    }
}

/// The first bytes, at most 64.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub fn load(bytes: &[u8]) -> __m512i {
    // SAFETY: the mask has as many lanes as there are bytes.
    unsafe { _mm512_maskz_loadu_epi8(lanes(bytes), bytes.as_ptr().cast()) }
}

/// Stores as many bytes as there is place, at most 64.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub fn store(place: &mut [u8], v: __m512i) {
    // SAFETY: the mask has as many lanes as there is place.
    unsafe { _mm512_mask_storeu_epi8(place.as_mut_ptr().cast(), lanes(place), v) };
}
