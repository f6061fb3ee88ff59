//! Sums of blocks with vectors of 256 and of 512 bits. [`super::sum_stripes`] defines what they do.

use super::{Lanes, BLOCK, KEY, STRIPE};
use std::arch::x86_64::*;

macro_rules! kernel {
    ($name:ident, $features:literal, $words:literal, $zero:ident, $load:ident, $store:ident, $xor:ident, $high:ident,
     $multiply:ident, $swap:ident, $add:ident) => {
        /// What the stripes of each block add to the accumulators.
        #[target_feature(enable = $features)]
        pub fn $name(blocks: &[[u8; BLOCK]], sums: &mut [Lanes]) {
            const VECTORS: usize = STRIPE / 8 / $words;
            for (block, sums) in blocks.iter().zip(sums) {
                let (mut products, mut words) = ([$zero(); VECTORS], [$zero(); VECTORS]);
                for (n, stripe) in block.as_chunks::<STRIPE>().0.iter().enumerate() {
                    let key = &KEY[n..][..STRIPE / 8];
                    for v in 0..VECTORS {
                        // SAFETY: vector `v` of a stripe and of the eight words of its key.
                        let (word, key) = unsafe {
                            (
                                $load(stripe.as_ptr().add(8 * $words * v).cast()),
                                $load(key.as_ptr().add($words * v).cast()),
                            )
                        };
                        let keyed = $xor(word, key);
                        words[v] = $add(words[v], word);
                        products[v] = $add(products[v], $multiply(keyed, $high::<32>(keyed)));
                    }
                }
                for v in 0..VECTORS {
                    // Each word goes to its neighbour.
                    let sum = $add(products[v], $swap::<0x4e>(words[v]));
                    // SAFETY: vector `v` of eight words.
                    unsafe { $store(sums.as_mut_ptr().add($words * v).cast(), sum) };
                }
            }
        }
    };
}

kernel!(
    avx2,
    "avx2",
    4,
    _mm256_setzero_si256,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    _mm256_xor_si256,
    _mm256_srli_epi64,
    _mm256_mul_epu32,
    _mm256_shuffle_epi32,
    _mm256_add_epi64
);
kernel!(
    avx512,
    "avx512f",
    8,
    _mm512_setzero_si512,
    _mm512_loadu_si512,
    _mm512_storeu_si512,
    _mm512_xor_si512,
    _mm512_srli_epi64,
    _mm512_mul_epu32,
    _mm512_shuffle_epi32,
    _mm512_add_epi64
);
