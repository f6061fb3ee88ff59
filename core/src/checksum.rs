//! XXH3 with 64 bits and seed 0 (Y. Collet, <https://github.com/Cyan4973/xxHash>, doc/xxhash_spec.md), the checksum of
//! every part of a stream.
//!
//! The crate that defines it here takes the instructions that it was compiled for. Chunks are long and hashed twice when
//! they are read, so that what is done to every byte of long input is repeated here, for the instructions of the machine.

use crate::machine::for_this_machine;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes that eight accumulators take at a time.
const STRIPE: usize = 64;
/// How far the secret moves from one stripe to the next.
const SECRET_STEP: usize = 8;
/// Stripes after which the accumulators are scrambled.
const STRIPES: usize = (SECRET.len() - STRIPE) / SECRET_STEP;
/// Input that has a form of its own up to this length, and is left to the crate up to a few blocks.
const SHORT: usize = 4096;

const PRIME32: [u64; 3] = [0x9E37_79B1, 0x85EB_CA77, 0xC2B2_AE3D];
const PRIME64: [u64; 5] = [
    0x9E37_79B1_85EB_CA87,
    0xC2B2_AE3D_27D4_EB4F,
    0x1656_67B1_9E37_79F9,
    0x85EB_CA77_C2B2_AE63,
    0x27D4_EB2F_1656_67C5,
];

/// The default secret.
const SECRET: [u8; 192] = [
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c, 0xde,
    0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f, 0xcb, 0x79,
    0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21, 0xb8, 0x08, 0x46,
    0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c, 0x3c, 0x28, 0x52, 0xbb,
    0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3, 0x71, 0x64, 0x48, 0x97, 0xa2,
    0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8, 0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c,
    0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d, 0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59,
    0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64, 0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3,
    0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb, 0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3,
    0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e, 0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8,
    0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce, 0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb,
    0xca, 0xbb, 0x4b, 0x40, 0x7e,
];

/// A 64-bit number of the secret.
#[inline(always)]
fn secret(at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| SECRET[at + i]))
}

for_this_machine! {
    /// Takes whole blocks of [`STRIPES`] stripes into the accumulators, then fewer than that many stripes.
    pub fn accumulate(blocks: &[u8], stripes: &[u8], acc: &mut [u64; 8]) {
        let mut state = *acc;
        for block in blocks.chunks_exact(STRIPES * STRIPE) {
            for (i, stripe) in block.as_chunks::<STRIPE>().0.iter().enumerate() {
                take(stripe, i * SECRET_STEP, &mut state);
            }
            for (i, a) in state.iter_mut().enumerate() {
                *a = (*a ^ *a >> 47 ^ secret(SECRET.len() - STRIPE + 8 * i)).wrapping_mul(PRIME32[0]);
            }
        }
        for (i, stripe) in stripes.as_chunks::<STRIPE>().0.iter().enumerate() {
            take(stripe, i * SECRET_STEP, &mut state);
        }
        *acc = state;
    }
}

/// Takes a stripe into the accumulators, with the secret from `at` on.
#[inline(always)]
fn take(stripe: &[u8; STRIPE], at: usize, acc: &mut [u64; 8]) {
    let (words, _) = stripe.as_chunks::<8>();
    let mut data = [0; 8];
    for (d, w) in data.iter_mut().zip(words) {
        *d = u64::from_le_bytes(*w);
    }
    for i in 0..8 {
        let keyed = data[i] ^ secret(at + 8 * i);
        let product = (keyed & 0xffff_ffff).wrapping_mul(keyed >> 32);
        acc[i] = acc[i].wrapping_add(product).wrapping_add(data[i ^ 1]);
    }
}

/// XXH3-64 of the bytes.
pub fn xxh3(bytes: &[u8]) -> u64 {
    let Some((before, last)) = bytes.split_last_chunk::<STRIPE>().filter(|_| bytes.len() > SHORT) else {
        return xxh3_64(bytes);
    };
    let [p32_1, p32_2, p32_3] = PRIME32;
    let [p64_1, p64_2, p64_3, p64_4, p64_5] = PRIME64;
    let mut acc = [p32_3, p64_1, p64_2, p64_3, p64_4, p32_2, p64_5, p32_1];
    // The last stripe, which may overlap with the one before, is taken apart.
    let whole = (bytes.len() - 1) / (STRIPES * STRIPE) * (STRIPES * STRIPE);
    let rest = (bytes.len() - 1) / STRIPE * STRIPE;
    accumulate(&bytes[..whole], &bytes[whole..rest], &mut acc);
    debug_assert!(before.len() <= rest);
    take(last, SECRET.len() - STRIPE - 7, &mut acc);
    let mut sum = (bytes.len() as u64).wrapping_mul(p64_1);
    for (i, pair) in acc.as_chunks::<2>().0.iter().enumerate() {
        let [a, b] = [0, 8].map(|half| secret(11 + 16 * i + half));
        let product = u128::from(pair[0] ^ a) * u128::from(pair[1] ^ b);
        sum = sum.wrapping_add(product as u64 ^ (product >> 64) as u64);
    }
    sum = (sum ^ sum >> 37).wrapping_mul(0x1656_6791_9E37_79F9);
    sum ^ sum >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_xxh3() {
        let bytes: Vec<u8> = (0..70_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let lengths = (0..300).chain(SHORT - 3..SHORT + 1100).chain([65_535, 65_536, 65_537, 70_000]);
        for n in lengths {
            assert_eq!(xxh3(&bytes[..n]), xxh3_64(&bytes[..n]), "{n} bytes");
            let offset = &bytes[bytes.len() - n..];
            assert_eq!(xxh3(offset), xxh3_64(offset), "{n} bytes");
        }
    }
}
