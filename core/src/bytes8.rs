//! Eight bytes at a time on machines with AVX2: a table says for each mask of eight lanes how what it keeps is shuffled
//! together or apart.

use crate::machine::{instruction_set, InstructionSet};
use std::arch::x86_64::*;

/// Bytes that are shuffled at a time.
pub const WIDTH: usize = 8;
/// Index of a byte that becomes 0.
const NONE: u8 = 0x80;

/// Where the lanes of a mask are shuffled to.
#[derive(Clone, Copy)]
pub enum Way {
    /// Together, from the first lane on.
    Front,
    /// Together, up to the last lane.
    Back,
    /// Apart: inverse of `Front`.
    Apart,
}

/// The shuffle of each mask of eight lanes, which have `BYTES` bytes together; all others become 0.
pub const fn shuffles<const BYTES: usize>(way: Way) -> [[u8; BYTES]; 256] {
    let size = BYTES / WIDTH;
    let mut all = [[NONE; BYTES]; 256];
    let mut mask = 0usize;
    while mask < 256 {
        let mut n = if matches!(way, Way::Back) { WIDTH - mask.count_ones() as usize } else { 0 };
        let mut lane = 0;
        while lane < WIDTH {
            if mask >> lane & 1 == 1 {
                let (from, to) = if matches!(way, Way::Apart) { (n, lane) } else { (lane, n) };
                let mut byte = 0;
                while byte < size {
                    all[mask][to * size + byte] = (from * size + byte) as u8;
                    byte += 1;
                }
                n += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    all
}

/// For each mask, the lanes that it keeps, one behind the other.
static KEPT: [[u8; WIDTH]; 256] = shuffles(Way::Front);
/// For each mask, which of the kept bytes a lane gets.
static PLACED: [[u8; WIDTH]; 256] = shuffles(Way::Apart);

/// Whether this machine has the instructions.
#[inline]
pub fn available() -> bool {
    instruction_set() != InstructionSet::Portable && is_x86_feature_detected!("popcnt")
}

/// Eight bytes in the lower half of a vector.
#[inline]
#[target_feature(enable = "avx2")]
pub fn vector(bytes: &[u8; WIDTH]) -> __m128i {
    _mm_cvtsi64_si128(i64::from_le_bytes(*bytes))
}

/// The lower half of a vector.
#[inline]
#[target_feature(enable = "avx2")]
pub fn bytes(vector: __m128i) -> [u8; WIDTH] {
    _mm_cvtsi128_si64(vector).to_le_bytes()
}

/// The lanes, of eight, that have this value.
#[inline]
#[target_feature(enable = "avx2")]
pub fn lanes(vector: __m128i, value: u8) -> usize {
    _mm_movemask_epi8(_mm_cmpeq_epi8(vector, _mm_set1_epi8(value as i8))) as usize & 0xff
}

/// The bytes of these lanes, one behind the other; 0 behind them.
#[inline]
#[target_feature(enable = "avx2")]
pub fn kept(bytes: __m128i, lanes: usize) -> __m128i {
    _mm_shuffle_epi8(bytes, vector(&KEPT[lanes]))
}

/// Inverse of [`kept`]; 0 in all other lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub fn placed(bytes: __m128i, lanes: usize) -> __m128i {
    _mm_shuffle_epi8(bytes, vector(&PLACED[lanes]))
}
