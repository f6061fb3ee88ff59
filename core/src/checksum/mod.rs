//! XXH3 (Y. Collet) in 64 bits, of which streams keep the low half: the checksum of every part of a stream.
//!
//! A long input is made of stripes of 64 bytes, sixteen to a block. What a stripe adds to the eight accumulators depends
//! on the stripe and on its place in the block alone; only between blocks are they scrambled. So the sums of blocks are
//! vectors' work, and that of several threads; what is left to do in order is little.

use crate::machine::for_this_machine;
#[cfg(target_arch = "x86_64")]
use crate::machine::{instruction_set, InstructionSet};
use crate::threads::parallel;
use twox_hash::XxHash3_64;

#[cfg(target_arch = "x86_64")]
mod wide;

/// Bytes of a stripe, which is one word for each accumulator.
const STRIPE: usize = 64;
/// Bytes of a block.
const BLOCK: usize = 16 * STRIPE;
/// Blocks that are summed before they are taken in.
const FEW: usize = 16;
/// Blocks that are a piece of work for a thread.
const PIECE: usize = 64;
/// Longest input that XXH3 treats in another way.
const SHORT: usize = 240;

/// XXH3's default key. A stripe is keyed by the eight words from that of its number on.
const KEY: [u64; 24] = [
    0xbe4b_a423_396c_feb8,
    0x1cad_21f7_2c81_017c,
    0xdb97_9083_e96d_d4de,
    0x1f67_b3b7_a4a4_4072,
    0x78e5_c0cc_4ee6_79cb,
    0x2172_ffcc_7dd0_5a82,
    0x8e24_43f7_7446_08b8,
    0x4c26_3a81_e690_35e0,
    0xcb00_c391_bb52_283c,
    0xa32e_531b_8b65_d088,
    0x4ef9_0da2_9748_6471,
    0xd8ac_dea9_46ef_1938,
    0x3f34_9ce3_3f76_faa8,
    0x1d4f_0bc7_c7bb_dcf9,
    0x3159_b4cd_4be0_518a,
    0x6473_78d9_c97e_9fc8,
    0xc3eb_d334_83ac_c5ea,
    0xeb63_13fa_ffa0_81c5,
    0x49da_f0b7_51dd_0d17,
    0x9e68_d429_2655_16d3,
    0xfca1_477d_58be_162b,
    0xce31_d07a_d1b8_f88f,
    0x2804_1695_8f3a_cb45,
    0x7e40_4bbb_cafb_d7af,
];
/// The words of the key that scramble.
const SCRAMBLE: usize = 16;
/// Where in the key's bytes the last stripe's key and that of the end begin.
const LAST: usize = 121;
const END: usize = 11;

const PRIME32: [u64; 3] = [0x9E37_79B1, 0x85EB_CA77, 0xC2B2_AE3D];
const PRIME64: [u64; 5] = [
    0x9E37_79B1_85EB_CA87,
    0xC2B2_AE3D_27D4_EB4F,
    0x1656_67B1_9E37_79F9,
    0x85EB_CA77_C2B2_AE63,
    0x27D4_EB2F_1656_67C5,
];

/// The accumulators, or what is added to them.
pub type Lanes = [u64; 8];

const FIRST: Lanes =
    [PRIME32[2], PRIME64[0], PRIME64[1], PRIME64[2], PRIME64[3], PRIME32[1], PRIME64[4], PRIME32[0]];

/// The word of the key at this byte.
const fn key_at(byte: usize) -> u64 {
    let (word, bits) = (byte / 8, 8 * (byte % 8) as u32);
    if bits == 0 {
        KEY[word]
    } else {
        KEY[word] >> bits | KEY[word + 1] << (64 - bits)
    }
}

/// The word of a stripe for accumulator `i`.
#[inline(always)]
fn word(stripe: &[u8; STRIPE], i: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|b| stripe[8 * i + b]))
}

/// The low half of a number times its high half.
#[inline(always)]
fn fold(keyed: u64) -> u64 {
    (keyed & 0xffff_ffff) * (keyed >> 32)
}

/// What the stripes of a block, or its first ones, add to the accumulators.
fn sum_stripes(stripes: &[[u8; STRIPE]]) -> Lanes {
    let (mut products, mut words) = ([0u64; 8], [0u64; 8]);
    for (stripe, key) in stripes.iter().zip(KEY.windows(8)) {
        for i in 0..8 {
            let w = word(stripe, i);
            words[i] = words[i].wrapping_add(w);
            products[i] = products[i].wrapping_add(fold(w ^ key[i]));
        }
    }
    // Each word goes to its neighbour.
    std::array::from_fn(|i| products[i].wrapping_add(words[i ^ 1]))
}

/// [`sum_stripes`] of each block.
fn sum_blocks(blocks: &[[u8; BLOCK]], sums: &mut [Lanes]) {
    #[cfg(target_arch = "x86_64")]
    match instruction_set() {
        // SAFETY: the machine has these instructions, `instruction_set` asked it.
        InstructionSet::Avx512 => return unsafe { wide::avx512(blocks, sums) },
        // SAFETY: as above.
        InstructionSet::Avx2 => return unsafe { wide::avx2(blocks, sums) },
        InstructionSet::Portable => {}
    }
    sums.iter_mut().zip(blocks).for_each(|(sums, block)| *sums = sum_stripes(block.as_chunks().0));
}

for_this_machine! {
    /// Adds the sums of whole blocks to the accumulators, and scrambles them after each.
    pub fn take_in(sums: &[Lanes], lanes: &mut Lanes) {
        let mut all = *lanes;
        for sums in sums {
            for i in 0..8 {
                let sum = all[i].wrapping_add(sums[i]);
                all[i] = (sum ^ sum >> 47 ^ KEY[SCRAMBLE + i]).wrapping_mul(PRIME32[0]);
            }
        }
        *lanes = all;
    }
}

/// The checksum of `bytes`.
pub fn checksum(bytes: &[u8]) -> u32 {
    checksum_on(bytes, 1)
}

/// The checksum of `bytes`, on at most `threads` threads.
pub fn checksum_on(bytes: &[u8], threads: usize) -> u32 {
    if bytes.len() <= SHORT {
        return XxHash3_64::oneshot(bytes) as u32;
    }
    let mut lanes = FIRST;
    // Even a block that ends the input is summed without being scrambled.
    let (blocks, rest) = bytes.split_at((bytes.len() - 1) / BLOCK * BLOCK);
    let blocks = blocks.as_chunks::<BLOCK>().0;
    if threads > 1 && blocks.len() > PIECE {
        let sums = parallel(blocks.chunks(PIECE).collect(), threads, |piece: &[[u8; BLOCK]]| {
            let mut sums = vec![[0; 8]; piece.len()];
            sum_blocks(piece, &mut sums);
            sums
        });
        sums.iter().for_each(|sums| take_in(sums, &mut lanes));
    } else {
        let mut few = [[0; 8]; FEW];
        for part in blocks.chunks(FEW) {
            let few = &mut few[..part.len()];
            sum_blocks(part, few);
            take_in(few, &mut lanes);
        }
    }
    let last = sum_stripes(rest[..rest.len() - 1].as_chunks().0);
    let end = bytes.last_chunk::<STRIPE>().unwrap_or(&[0; STRIPE]);
    for (i, (lane, sum)) in lanes.iter_mut().zip(last).enumerate() {
        let product = fold(word(end, i) ^ key_at(LAST + 8 * i));
        *lane = lane.wrapping_add(sum).wrapping_add(product).wrapping_add(word(end, i ^ 1));
    }
    let mut sum = (bytes.len() as u64).wrapping_mul(PRIME64[0]);
    for (i, pair) in lanes.as_chunks::<2>().0.iter().enumerate() {
        let [a, b] = [0, 1].map(|k| u128::from(pair[k] ^ key_at(END + 16 * i + 8 * k)));
        let product = a * b;
        sum = sum.wrapping_add(product as u64 ^ (product >> 64) as u64);
    }
    sum = (sum ^ sum >> 37).wrapping_mul(0x1656_6791_9E37_79F9);
    (sum ^ sum >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn checksums_are_those_of_the_definition() {
        let mut state = 1u64;
        let bytes: Vec<u8> = (0..5 * PIECE * BLOCK + 77)
            .map(|_| {
                state = state.wrapping_mul(PRIME64[0]).wrapping_add(PRIME64[1]);
                (state >> 56) as u8
            })
            .collect();
        let around = |n: usize| n.saturating_sub(2)..n + 3;
        let lengths = (0..3 * STRIPE)
            .chain(
                [SHORT, BLOCK - STRIPE, BLOCK, 2 * BLOCK, FEW * BLOCK, PIECE * BLOCK, 3 * PIECE * BLOCK]
                    .into_iter()
                    .flat_map(around),
            )
            .chain([bytes.len()]);
        for n in lengths {
            let part = &bytes[bytes.len() - n..];
            let expected = xxh3_64(part) as u32;
            assert_eq!(checksum(part), expected, "of {n} bytes");
            assert_eq!(checksum_on(part, 3), expected, "of {n} bytes on three threads");
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn wide_sums_are_what_plain_sums_are() {
        let block =
            |seed: u64| std::array::from_fn(|i| (seed.wrapping_mul(PRIME64[0] + i as u64) >> 40) as u8);
        let blocks: Vec<[u8; BLOCK]> = (1..6).map(block).chain([[255; BLOCK]]).collect();
        let expected: Vec<Lanes> = blocks.iter().map(|b| sum_stripes(b.as_chunks().0)).collect();
        let mut sums = vec![[0; 8]; blocks.len()];
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the machine has the instructions.
            unsafe { wide::avx2(&blocks, &mut sums) };
            assert_eq!(sums, expected);
        }
        if is_x86_feature_detected!("avx512f") {
            sums.fill([0; 8]);
            // SAFETY: as above.
            unsafe { wide::avx512(&blocks, &mut sums) };
            assert_eq!(sums, expected);
        }
    }
}
