//! Range ANS with AVX2: the states of eight lanes are one vector. Table entries are loaded one by one, as gathers take a third
//! longer (Zen 3); words go to the lanes that want one, and come from those that give one off, by shuffles from a table.
//! [`super::rans::decode`] and [`super::rans::encode_row`] define what it does.

use super::rans::{self, Words, LANES, LOW, MASK};
use super::slots::{EncodeTables, ENTRIES, SLOTS, STRIDE, TOTAL_BITS};
pub use crate::bytes8::available;
use crate::bytes8::{self, Way};
use std::arch::x86_64::*;

/// Lanes per vector.
const EIGHT: usize = bytes8::WIDTH;
/// Vectors.
const VECTORS: usize = LANES / EIGHT;
const _: () = assert!(LOW == 1 << 16 && STRIDE == 128 && ENTRIES.is_power_of_two());
/// Bytes of the words that all lanes may take.
const WINDOW: usize = 2 * LANES;

/// A shuffle of the bytes of eight words.
type Shuffle = [u8; 2 * EIGHT];

/// For each mask of lanes, which of the next words each lane gets.
static TAKEN: [Shuffle; 256] = bytes8::shuffles(Way::Apart);
/// For each mask of lanes, their words, one behind the other, at the end of the vector.
static GIVEN: [Shuffle; 256] = bytes8::shuffles(Way::Back);

/// The lanes of a vector that are in use, where `n` lanes from its first one on are.
fn lanes(n: usize) -> usize {
    0xff >> (EIGHT - n.min(EIGHT))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(states: &[u32; LANES]) -> [__m256i; VECTORS] {
    // SAFETY: eight states from each place on are there.
    std::array::from_fn(|v| unsafe { _mm256_loadu_si256(states[EIGHT * v..].as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(vectors: [__m256i; VECTORS], states: &mut [u32; LANES]) {
    for (of, vector) in states.as_chunks_mut::<EIGHT>().0.iter_mut().zip(vectors) {
        // SAFETY: eight states are there.
        unsafe { _mm256_storeu_si256(of.as_mut_ptr().cast(), vector) };
    }
}

/// Eight bytes as numbers.
#[inline]
#[target_feature(enable = "avx2")]
fn numbers(bytes: &[u8; EIGHT]) -> __m256i {
    _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(*bytes)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn shuffled(words: __m128i, by: &Shuffle) -> __m128i {
    // SAFETY: a shuffle is sixteen bytes.
    _mm_shuffle_epi8(words, unsafe { _mm_loadu_si128(by.as_ptr().cast()) })
}

/// The entries at eight places.
#[inline]
#[target_feature(enable = "avx2")]
fn entries_at(entries: &[u32; ENTRIES], at: [usize; EIGHT]) -> __m256i {
    let [a, b, c, d, e, f, g, h] = at.map(|at| entries[at % ENTRIES] as i32);
    _mm256_setr_epi32(a, b, c, d, e, f, g, h)
}

/// Decodes one row of symbols; takes words from the front of `words`.
///
/// # Panics
/// If the machine lacks the instructions, see [`available`].
pub fn decode(
    states: &mut [u32; LANES],
    words: &mut &[u8],
    slots: &[u8; SLOTS],
    entries: &[u32; ENTRIES],
    contexts: &[u8],
    symbols: &mut [u8],
) {
    assert!(available() && contexts.len() == symbols.len());
    // SAFETY: the machine has the instructions.
    unsafe { decode_avx2(states, words, (slots, entries), contexts, symbols) }
}

/// Tables for decoding: [`super::slots::DecodeTables::slots`] and entries.
type Tables<'a> = (&'a [u8; SLOTS], &'a [u32; ENTRIES]);

#[target_feature(enable = "avx2,popcnt")]
fn decode_avx2(
    states: &mut [u32; LANES],
    words: &mut &[u8],
    tables: Tables,
    contexts: &[u8],
    symbols: &mut [u8],
) {
    let (whole, rest) = contexts.as_chunks::<LANES>();
    let (whole_out, rest_out) = symbols.as_chunks_mut::<LANES>();
    let mut x = load(states);
    let mut left = *words;
    for (contexts, symbols) in whole.iter().zip(whole_out) {
        if let Some(window) = left.first_chunk::<WINDOW>() {
            let mut used = 0;
            let (contexts, symbols) = (contexts.as_chunks().0, symbols.as_chunks_mut().0);
            // Not a loop, so that the states stay in registers.
            const { assert!(VECTORS == 4) };
            macro_rules! each {
                ($($v:literal)*) => {
                    $(let mask;
                    (x[$v], mask) = pull(x[$v], tables, &contexts[$v], &mut symbols[$v], window, used);
                    used += 2 * mask.count_ones() as usize;)*
                };
            }
            each!(0 1 2 3);
            left = &left[used..];
        } else {
            (x, left) = few(x, left, tables, contexts, symbols);
        }
    }
    if !rest.is_empty() {
        (x, left) = few(x, left, tables, rest, rest_out);
    }
    *words = left;
    store(x, states);
}

/// Decodes a symbol in each of the first lanes, as many as there are contexts, and near the end of the words.
#[inline(never)]
#[target_feature(enable = "avx2,popcnt")]
fn few<'a>(
    x: [__m256i; VECTORS],
    words: &'a [u8],
    tables: Tables,
    contexts: &[u8],
    symbols: &mut [u8],
) -> ([__m256i; VECTORS], &'a [u8]) {
    let n = contexts.len();
    let (mut next, mut used) = (x, 0);
    let mut padded = [0; WINDOW];
    if words.len() < WINDOW {
        padded[..words.len()].copy_from_slice(words);
    }
    let window = words.first_chunk().unwrap_or(&padded);
    let (mut eights, mut found) = ([[0; EIGHT]; VECTORS], [[0; EIGHT]; VECTORS]);
    eights.as_flattened_mut()[..n].copy_from_slice(contexts);
    for v in 0..n.div_ceil(EIGHT) {
        let here = lanes(n - EIGHT * v);
        let (y, mask) = pull(x[v], tables, &eights[v], &mut found[v], window, used);
        // Lanes behind the last symbol keep their states; what they take is behind all that others do.
        next[v] = _mm256_blendv_epi8(x[v], y, mask_of(here));
        used += 2 * (mask & here).count_ones() as usize;
    }
    if used <= words.len() {
        symbols.copy_from_slice(&found.as_flattened()[..n]);
        return (next, &words[used..]);
    }
    // The last lanes get no word.
    let (mut states, mut left) = ([0; LANES], words);
    store(x, &mut states);
    rans::decode(&mut states, &mut left, tables.0, tables.1, contexts, symbols);
    (load(&states), left)
}

/// Decodes a symbol in each of eight lanes, which take words from the window, of which `used` bytes were used before; gives
/// their states and which of them took a word.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn pull(
    x: __m256i,
    (slots, entries): Tables,
    contexts: &[u8; EIGHT],
    symbols: &mut [u8; EIGHT],
    window: &[u8; WINDOW],
    used: usize,
) -> (__m256i, usize) {
    let slot = _mm256_and_si256(x, _mm256_set1_epi32(MASK as i32));
    let context = numbers(contexts);
    let (mut at, mut of) = ([0u32; EIGHT], [0u32; EIGHT]);
    // SAFETY: both are eight numbers.
    unsafe {
        let slot = _mm256_or_si256(_mm256_slli_epi32::<{ TOTAL_BITS as i32 }>(context), slot);
        _mm256_storeu_si256(at.as_mut_ptr().cast(), slot);
        _mm256_storeu_si256(of.as_mut_ptr().cast(), _mm256_slli_epi32::<7>(context));
    }
    let of = std::array::from_fn(|j| {
        // SAFETY: references are valid. The compiler would take the numbers out of the vectors again, which takes longer.
        let (at, of) = unsafe { (std::ptr::read_volatile(&at[j]), std::ptr::read_volatile(&of[j])) };
        // SAFETY: a context is below 256 and a slot below 2^TOTAL_BITS.
        let found = unsafe { *slots.get_unchecked(at as usize) };
        symbols[j] = found;
        of as usize + usize::from(found)
    });
    let entry = entries_at(entries, of);
    let freq = _mm256_and_si256(entry, _mm256_set1_epi32(0xffff));
    let offset = _mm256_sub_epi32(slot, _mm256_srli_epi32::<16>(entry));
    let y = _mm256_mullo_epi32(freq, _mm256_srli_epi32::<{ TOTAL_BITS as i32 }>(x));
    let y = _mm256_add_epi32(y, offset);
    // Below LOW.
    let low = _mm256_cmpeq_epi32(_mm256_srli_epi32::<16>(y), _mm256_setzero_si256());
    let mask = _mm256_movemask_ps(_mm256_castsi256_ps(low)) as usize;
    // SAFETY: the three vectors before have used at most sixteen bytes each.
    let next = unsafe { _mm_loadu_si128(window.as_ptr().add(used).cast()) };
    let next = _mm256_cvtepu16_epi32(shuffled(next, &TAKEN[mask]));
    let shifted = _mm256_sllv_epi32(y, _mm256_and_si256(low, _mm256_set1_epi32(16)));
    (_mm256_or_si256(shifted, next), mask)
}

/// All bits of the lanes of a mask.
#[inline]
#[target_feature(enable = "avx2")]
fn mask_of(lanes: usize) -> __m256i {
    let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(lanes as i32), bits), bits)
}

/// Codes one row of symbols; puts words to the front of `words`.
///
/// # Panics
/// If the machine lacks the instructions, see [`available`].
pub fn encode_row(
    states: &mut [u32; LANES],
    words: &mut Words,
    tables: &EncodeTables,
    contexts: &[u8],
    symbols: &[u8],
) {
    assert!(available() && contexts.len() == symbols.len());
    let Some(entries) = tables.entries() else { return };
    // SAFETY: the machine has the instructions.
    unsafe { encode_avx2(states, words, entries, contexts, symbols) }
}

#[target_feature(enable = "avx2,popcnt")]
fn encode_avx2(
    states: &mut [u32; LANES],
    words: &mut Words,
    entries: &[u32; ENTRIES],
    contexts: &[u8],
    symbols: &[u8],
) {
    let (whole, rest) = contexts.as_chunks::<LANES>();
    let (whole_symbols, rest_symbols) = symbols.as_chunks::<LANES>();
    let mut x = load(states);
    for (v, (c, s)) in rest.chunks(EIGHT).zip(rest_symbols.chunks(EIGHT)).enumerate().rev() {
        let (mut contexts, mut symbols) = ([0; EIGHT], [0; EIGHT]);
        contexts[..c.len()].copy_from_slice(c);
        symbols[..s.len()].copy_from_slice(s);
        push::<false>(&mut x[v], &contexts, &symbols, lanes(c.len()), entries, words);
    }
    for (c, s) in whole.iter().zip(whole_symbols).rev() {
        let (contexts, symbols) = (c.as_chunks::<EIGHT>().0, s.as_chunks::<EIGHT>().0);
        for (x, (c, s)) in x.iter_mut().zip(contexts.iter().zip(symbols)).rev() {
            push::<true>(x, c, s, 0xff, entries, words);
        }
    }
    store(x, states);
}

/// Codes a symbol in each of `lanes` (all of them if `ALL`).
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn push<const ALL: bool>(
    states: &mut __m256i,
    contexts: &[u8; EIGHT],
    symbols: &[u8; EIGHT],
    lanes: usize,
    entries: &[u32; ENTRIES],
    words: &mut Words,
) {
    let x = *states;
    let at = std::array::from_fn(|j| rans::index(symbols[j], contexts[j]));
    let entry = entries_at(entries, at);
    let freq = _mm256_and_si256(entry, _mm256_set1_epi32(0xffff));
    let start = _mm256_srli_epi32::<16>(entry);
    let few = _mm256_cmpgt_epi32(freq, _mm256_srli_epi32::<{ 32 - TOTAL_BITS as i32 }>(x));
    let mut mask = !_mm256_movemask_ps(_mm256_castsi256_ps(few)) as usize & 0xff;
    if !ALL {
        mask &= lanes;
    }
    let low = _mm256_and_si256(x, _mm256_set1_epi32(0xffff));
    let eight = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256::<1>(low));
    let mut given = [0u16; EIGHT];
    // SAFETY: `given` is eight words.
    unsafe { _mm_storeu_si128(given.as_mut_ptr().cast(), shuffled(eight, &GIVEN[mask])) };
    words.put_last(&given, mask.count_ones() as usize);
    let x = _mm256_srlv_epi32(x, _mm256_andnot_si256(few, _mm256_set1_epi32(16)));
    // An approximate quotient, off by one at most; the remainder tells.
    let high = _mm256_cvtepi32_ps(_mm256_srli_epi32::<16>(x));
    let low = _mm256_cvtepi32_ps(_mm256_and_si256(x, _mm256_set1_epi32(0xffff)));
    let number = _mm256_add_ps(_mm256_mul_ps(high, _mm256_set1_ps(65536.0)), low);
    let f = _mm256_cvtepi32_ps(freq);
    let near = _mm256_rcp_ps(f);
    let near = _mm256_mul_ps(near, _mm256_sub_ps(_mm256_set1_ps(2.0), _mm256_mul_ps(f, near)));
    let q = _mm256_cvttps_epi32(_mm256_mul_ps(number, near));
    let remainder = _mm256_sub_epi32(x, _mm256_mullo_epi32(q, freq));
    // All ones, which is -1, where the quotient is too large or too small.
    let much = _mm256_cmpgt_epi32(_mm256_setzero_si256(), remainder);
    let little = _mm256_andnot_si256(_mm256_cmpgt_epi32(freq, remainder), _mm256_set1_epi32(-1));
    let q = _mm256_sub_epi32(_mm256_add_epi32(q, much), little);
    let remainder = _mm256_add_epi32(remainder, _mm256_and_si256(much, freq));
    let remainder = _mm256_sub_epi32(remainder, _mm256_and_si256(little, freq));
    let y = _mm256_slli_epi32::<{ TOTAL_BITS as i32 }>(q);
    let y = _mm256_add_epi32(y, _mm256_add_epi32(start, remainder));
    *states = if ALL { y } else { _mm256_blendv_epi8(*states, y, mask_of(lanes)) };
}
