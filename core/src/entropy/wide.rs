//! Range ANS with AVX-512: the states of sixteen lanes are one vector, table entries are gathered, and the words go to
//! the lanes that want one by an expansion, or come from those that give one off by a compression.
//! [`super::rans::decode`] and [`super::rans::encode_row`] define what it does.

use super::rans::{Words, LANES, LOW, MASK};
use super::slots::{EncodeTables, ENTRIES, SLOTS, STRIDE, TOTAL_BITS};
use crate::machine::{instruction_set, InstructionSet};
use std::arch::x86_64::*;

/// Lanes per vector.
const HALF: usize = 16;
const _: () = assert!(LANES == 2 * HALF && STRIDE == 128);

/// Whether this machine has the instructions.
#[inline]
pub fn available() -> bool {
    instruction_set() == InstructionSet::Avx512 && is_x86_feature_detected!("popcnt")
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
    unsafe { decode_avx512(states, words, slots, entries, contexts, symbols) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,popcnt")]
fn decode_avx512(
    states: &mut [u32; LANES],
    words: &mut &[u8],
    slots: &[u8; SLOTS],
    entries: &[u32; ENTRIES],
    contexts: &[u8],
    symbols: &mut [u8],
) {
    let (low, high) = states.split_at_mut(HALF);
    // SAFETY: each half is sixteen u32.
    let (mut x0, mut x1) =
        unsafe { (_mm512_loadu_epi32(low.as_ptr().cast()), _mm512_loadu_epi32(high.as_ptr().cast())) };
    let mut left = *words;
    let (whole, rest) = contexts.as_chunks::<LANES>();
    let (whole_out, rest_out) = symbols.as_chunks_mut::<LANES>();
    for (c, out) in whole.iter().zip(whole_out) {
        // SAFETY: `c` and `out` are 32 bytes, of which each half is read and written.
        let (c0, c1) =
            unsafe { (_mm_loadu_epi8(c.as_ptr().cast()), _mm_loadu_epi8(c[HALF..].as_ptr().cast())) };
        let s0 = step::<true>(&mut x0, c0, !0, slots, entries, &mut left);
        let s1 = step::<true>(&mut x1, c1, !0, slots, entries, &mut left);
        // SAFETY: as above.
        unsafe {
            _mm_storeu_epi8(out.as_mut_ptr().cast(), s0);
            _mm_storeu_epi8(out[HALF..].as_mut_ptr().cast(), s1);
        }
    }
    let mut halves = [(&mut x0, rest), (&mut x1, &[])];
    let (mut first_out, mut second_out): (&mut [u8], &mut [u8]) = (rest_out, &mut []);
    if rest.len() > HALF {
        (halves[0].1, halves[1].1) = rest.split_at(HALF);
        (first_out, second_out) = first_out.split_at_mut(HALF);
    }
    for ((x, c), out) in halves.into_iter().zip([first_out, second_out]) {
        if c.is_empty() {
            break;
        }
        let lanes = !0 >> (HALF - c.len());
        // SAFETY: the mask has as many lanes as `c` and `out` have bytes, at most sixteen.
        let c = unsafe { _mm_maskz_loadu_epi8(lanes, c.as_ptr().cast()) };
        let s = step::<false>(x, c, lanes, slots, entries, &mut left);
        // SAFETY: as above.
        unsafe { _mm_mask_storeu_epi8(out.as_mut_ptr().cast(), lanes, s) };
    }
    *words = left;
    // SAFETY: as for the loads.
    unsafe {
        _mm512_storeu_epi32(low.as_mut_ptr().cast(), x0);
        _mm512_storeu_epi32(high.as_mut_ptr().cast(), x1);
    }
}

/// Decodes a symbol in each of `lanes` (all of them if `ALL`), sixteen bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,popcnt")]
fn step<const ALL: bool>(
    states: &mut __m512i,
    contexts: __m128i,
    lanes: __mmask16,
    slots: &[u8; SLOTS],
    entries: &[u32; ENTRIES],
    words: &mut &[u8],
) -> __m128i {
    let x = *states;
    let context = _mm512_cvtepu8_epi32(contexts);
    let slot = _mm512_and_si512(x, _mm512_set1_epi32(MASK as i32));
    let at = _mm512_or_si512(_mm512_slli_epi32::<{ TOTAL_BITS }>(context), slot);
    // SAFETY: a context is below 256 and a slot below 2^TOTAL_BITS; SLOTS leaves room for four bytes at the last one.
    let symbol = unsafe { _mm512_i32gather_epi32::<1>(at, slots.as_ptr().cast()) };
    let symbol = _mm512_and_si512(symbol, _mm512_set1_epi32(STRIDE as i32 - 1));
    let at = _mm512_or_si512(_mm512_slli_epi32::<7>(context), symbol);
    // SAFETY: a context is below 256 and a symbol below STRIDE.
    let entry = unsafe { _mm512_i32gather_epi32::<4>(at, entries.as_ptr().cast()) };
    let freq = _mm512_and_si512(entry, _mm512_set1_epi32(0xffff));
    let offset = _mm512_sub_epi32(slot, _mm512_srli_epi32::<16>(entry));
    let y = _mm512_add_epi32(_mm512_mullo_epi32(freq, _mm512_srli_epi32::<{ TOTAL_BITS }>(x)), offset);
    let mut wanting = _mm512_cmplt_epu32_mask(y, _mm512_set1_epi32(LOW as i32));
    if !ALL {
        wanting &= lanes;
    }
    let mut n = wanting.count_ones() as usize;
    let next = if words.len() >= 2 * HALF {
        // SAFETY: sixteen words are there.
        unsafe { _mm256_loadu_epi16(words.as_ptr().cast()) }
    } else {
        let have = words.len() / 2;
        while n > have {
            // The last lanes get none.
            wanting ^= 1 << (15 - wanting.leading_zeros());
            n -= 1;
        }
        // SAFETY: the mask has as many lanes as there are words.
        unsafe { _mm256_maskz_loadu_epi16((1 << have) - 1, words.as_ptr().cast()) }
    };
    let next = _mm512_maskz_expand_epi32(wanting, _mm512_cvtepu16_epi32(next));
    let y = _mm512_mask_or_epi32(y, wanting, _mm512_slli_epi32::<16>(y), next);
    *states = if ALL { y } else { _mm512_mask_mov_epi32(x, lanes, y) };
    *words = &words[2 * n..];
    _mm512_cvtepi32_epi8(symbol)
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
    unsafe { encode_avx512(states, words, entries, contexts, symbols) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,popcnt")]
fn encode_avx512(
    states: &mut [u32; LANES],
    words: &mut Words,
    entries: &[u32; ENTRIES],
    contexts: &[u8],
    symbols: &[u8],
) {
    let (low, high) = states.split_at_mut(HALF);
    // SAFETY: each half is sixteen u32.
    let mut x =
        unsafe { [_mm512_loadu_epi32(low.as_ptr().cast()), _mm512_loadu_epi32(high.as_ptr().cast())] };
    let (whole, rest) = contexts.as_chunks::<LANES>();
    let (whole_symbols, rest_symbols) = symbols.as_chunks::<LANES>();
    let halves = rest.chunks(HALF).zip(rest_symbols.chunks(HALF)).enumerate();
    for (half, (c, s)) in halves.rev() {
        let lanes = !0 >> (HALF - c.len());
        // SAFETY: the mask has as many lanes as `c` and `s` have bytes, at most sixteen.
        let (c, s) = unsafe {
            (_mm_maskz_loadu_epi8(lanes, c.as_ptr().cast()), _mm_maskz_loadu_epi8(lanes, s.as_ptr().cast()))
        };
        push::<false>(&mut x[half], c, s, lanes, entries, words);
    }
    let [mut x0, mut x1] = x;
    for (c, s) in whole.iter().zip(whole_symbols).rev() {
        // SAFETY: `c` and `s` are 32 bytes, of which each half is read.
        let (c0, c1, s0, s1) = unsafe {
            (
                _mm_loadu_epi8(c.as_ptr().cast()),
                _mm_loadu_epi8(c[HALF..].as_ptr().cast()),
                _mm_loadu_epi8(s.as_ptr().cast()),
                _mm_loadu_epi8(s[HALF..].as_ptr().cast()),
            )
        };
        push::<true>(&mut x1, c1, s1, !0, entries, words);
        push::<true>(&mut x0, c0, s0, !0, entries, words);
    }
    // SAFETY: as for the loads.
    unsafe {
        _mm512_storeu_epi32(low.as_mut_ptr().cast(), x0);
        _mm512_storeu_epi32(high.as_mut_ptr().cast(), x1);
    }
}

/// Codes a symbol in each of `lanes` (all of them if `ALL`).
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,popcnt")]
fn push<const ALL: bool>(
    states: &mut __m512i,
    contexts: __m128i,
    symbols: __m128i,
    lanes: __mmask16,
    entries: &[u32; ENTRIES],
    words: &mut Words,
) {
    let context = _mm512_cvtepu8_epi32(contexts);
    let symbol = _mm512_and_si512(_mm512_cvtepu8_epi32(symbols), _mm512_set1_epi32(STRIDE as i32 - 1));
    let at = _mm512_or_si512(_mm512_slli_epi32::<7>(context), symbol);
    // SAFETY: a context is below 256 and a symbol below STRIDE.
    let entry = unsafe { _mm512_i32gather_epi32::<4>(at, entries.as_ptr().cast()) };
    let freq = _mm512_and_si512(entry, _mm512_set1_epi32(0xffff));
    let start = _mm512_srli_epi32::<16>(entry);
    let given = _mm512_cmpge_epu32_mask(_mm512_srli_epi32::<{ 32 - TOTAL_BITS }>(*states), freq);
    let given = if ALL { given } else { given & lanes };
    let word = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(given, *states));
    let room = words.room(given.count_ones() as usize);
    // SAFETY: the mask has as many lanes as there is room.
    unsafe { _mm256_mask_storeu_epi16(room.as_mut_ptr().cast(), ((1u32 << room.len()) - 1) as u16, word) };
    let x = _mm512_mask_srli_epi32::<16>(*states, given, *states);
    // An approximate quotient, off by one at most; the remainder tells.
    let f = _mm512_cvtepu32_ps(freq);
    let near = _mm512_rcp14_ps(f);
    let near = _mm512_mul_ps(near, _mm512_fnmadd_ps(f, near, _mm512_set1_ps(2.0)));
    let q = _mm512_cvttps_epu32(_mm512_mul_ps(_mm512_cvtepu32_ps(x), near));
    let remainder = _mm512_sub_epi32(x, _mm512_mullo_epi32(q, freq));
    let much = _mm512_cmplt_epi32_mask(remainder, _mm512_setzero_si512());
    let few = _mm512_cmpge_epi32_mask(remainder, freq);
    let one = _mm512_set1_epi32(1);
    let q = _mm512_mask_sub_epi32(_mm512_mask_add_epi32(q, few, q, one), much, q, one);
    let remainder = _mm512_mask_sub_epi32(remainder, few, remainder, freq);
    let remainder = _mm512_mask_add_epi32(remainder, much, remainder, freq);
    let y = _mm512_add_epi32(_mm512_slli_epi32::<{ TOTAL_BITS }>(q), _mm512_add_epi32(start, remainder));
    *states = if ALL { y } else { _mm512_mask_mov_epi32(x, lanes, y) };
}
