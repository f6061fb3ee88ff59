//! Interleaved range asymmetric numeral systems (rANS: J. Duda, arXiv:1311.2540; interleaving: F. Giesen,
//! arXiv:1402.3392): [`LANES`] 32-bit states share one stream of 16-bit words. Symbols come in rows; symbol j
//! of a row belongs to lane j mod LANES, so that a row decodes in independent steps.
//!
//! A state that falls below 2^16 takes a word, as long as there are any: the last symbols of a stream are coded in the
//! room that the states have, which saves most of the bytes that so many states would cost.

use super::bits::{BitReader, BitWriter};
use super::quiet::Room;
use super::slots::{DecodeTables, EncodeTables, ENTRIES, SLOTS, STRIDE, TOTAL_BITS};
use crate::error::{Error, Result};

/// Number of interleaved states.
pub const LANES: usize = 32;
/// States lie in LOW..2^32 between symbols, as long as there are words.
pub const LOW: u32 = 1 << 16;
/// Mask of the slot in a state.
pub const MASK: u32 = (1 << TOTAL_BITS) - 1;

/// The words of a stream, put together from the last to the first.
pub struct Words {
    buffer: Vec<u16>,
    front: usize,
}

impl Words {
    /// With room for a first few words of so many symbols: most have far fewer words.
    fn with_room(symbols: usize) -> Self {
        let room = symbols / 4 + LANES;
        Self { buffer: vec![0; room], front: room }
    }

    /// Doubles the room.
    #[cold]
    fn grow(&mut self, n: usize) {
        let more = self.buffer.len().max(n);
        let mut buffer = vec![0; more + self.front];
        buffer.extend_from_slice(self.get());
        self.front += more;
        self.buffer = buffer;
    }

    /// Room for `n` words before all others, to be filled.
    #[inline]
    pub fn room(&mut self, n: usize) -> &mut [u16] {
        if self.front < n {
            self.grow(n);
        }
        let end = self.front;
        self.front -= n;
        &mut self.buffer[self.front..end]
    }

    /// Puts the last `n` of some words before all others.
    #[inline]
    pub fn put_last<const N: usize>(&mut self, words: &[u16; N], n: usize) {
        if self.front < N {
            self.grow(N);
        }
        // What is before them is arbitrary.
        if let Some(room) = self.buffer[..self.front].last_chunk_mut() {
            *room = *words;
        }
        self.front -= n;
    }

    /// The words so far.
    fn get(&self) -> &[u16] {
        &self.buffer[self.front..]
    }
}

/// Takes one symbol into a state; the word that the state gives off, if the second is true.
#[inline(always)]
fn push(state: &mut u32, entry: u32, reciprocal: u64) -> (u16, bool) {
    let (freq, start) = (entry & 0xffff, entry >> 16);
    let word = *state as u16;
    let full = *state >> (32 - TOTAL_BITS) >= freq;
    let x = if full { *state >> 16 } else { *state };
    let quotient = (((u128::from(x) + 1) * u128::from(reciprocal)) >> 64) as u32;
    *state = x.wrapping_add(start).wrapping_add(quotient.wrapping_mul((1 << TOTAL_BITS) - freq));
    (word, full)
}

/// Index of a symbol's entries.
#[inline(always)]
pub fn index(symbol: u8, context: u8) -> usize {
    usize::from(context) * STRIDE + usize::from(symbol) % STRIDE
}

/// Codes one row into the states and puts its words before all others.
pub type EncodeRow = fn(&mut [u32; LANES], &mut Words, &EncodeTables, &[u8], &[u8]);

/// Codes the rows of (symbol, context) pairs; `rows` gives the length of each row. The table of each context must know
/// each of its symbols.
pub fn encode(symbols: &[u8], contexts: &[u8], rows: &[u32], tables: &EncodeTables) -> Vec<u8> {
    #[cfg(target_arch = "x86_64")]
    if super::wide::available() {
        return encode_by(super::wide::encode_row, symbols, contexts, rows, tables);
    }
    #[cfg(target_arch = "x86_64")]
    if super::narrow::available() {
        return encode_by(super::narrow::encode_row, symbols, contexts, rows, tables);
    }
    encode_by(encode_row, symbols, contexts, rows, tables)
}

/// [`encode`] with this kernel.
pub fn encode_by(
    encode_row: EncodeRow,
    symbols: &[u8],
    contexts: &[u8],
    rows: &[u32],
    tables: &EncodeTables,
) -> Vec<u8> {
    let mut words = Words::with_room(symbols.len());
    let mut states = first_states(symbols, contexts, rows, tables);
    // Decoding runs forwards, so encoding runs backwards.
    let mut end = symbols.len();
    for &row in rows.iter().rev() {
        let start = end - row as usize;
        encode_row(&mut states, &mut words, tables, &contexts[start..end], &symbols[start..end]);
        end = start;
    }
    let mut head = BitWriter::default();
    for s in states {
        // Never 0: they start from 1 or more and do not fall below.
        let n = s.max(1).ilog2();
        head.put(n, 5);
        head.put(s ^ 1 << n, n);
    }
    let mut out = head.finish();
    let words = words.get();
    out.reserve_exact(2 * words.len());
    out.extend(words.iter().flat_map(|w| w.to_le_bytes()));
    out
}

/// Codes one row; this defines what [`super::wide::encode_row`] and [`super::narrow::encode_row`] do.
pub fn encode_row(
    states: &mut [u32; LANES],
    words: &mut Words,
    tables: &EncodeTables,
    contexts: &[u8],
    symbols: &[u8],
) {
    let (Some(entries), Some(reciprocals)) = (tables.entries(), tables.reciprocals()) else { return };
    for (s, c) in symbols.chunks(LANES).zip(contexts.chunks(LANES)).rev() {
        let mut given = [0u16; LANES];
        let mut first = LANES;
        for ((state, &s), &c) in states.iter_mut().zip(s).zip(c).rev() {
            let at = index(s, c);
            let (word, full) = push(state, entries[at], reciprocals[at]);
            given[(first - 1) % LANES] = word;
            first -= usize::from(full);
        }
        words.room(LANES - first).copy_from_slice(&given[first..]);
    }
}

/// States to start from, powers of two of at most LOW: 1 where the state reaches LOW before any lane gives off the first
/// word, more where it needs help. (The decoder takes a word for every state below LOW until there are none.)
fn first_states(symbols: &[u8], contexts: &[u8], rows: &[u32], tables: &EncodeTables) -> [u32; LANES] {
    /// Attempts to find such states, and symbols that each may look at.
    const ATTEMPTS: usize = 8;
    const SYMBOLS: usize = 1 << 11;
    let all_low = [LOW; LANES];
    let (Some(entries), Some(reciprocals)) = (tables.entries(), tables.reciprocals()) else { return all_low };
    let mut starts = [1; LANES];
    for _ in 0..ATTEMPTS {
        let mut states = starts;
        let (mut seen, mut given) = (0, false);
        let mut end = symbols.len();
        'all: for &row in rows.iter().rev() {
            let start = end - row as usize;
            for j in (start..end).rev() {
                let at = index(symbols[j], contexts[j]);
                given = push(&mut states[(j - start) % LANES], entries[at], reciprocals[at]).1;
                seen += 1;
                if given || seen == SYMBOLS {
                    break 'all;
                }
            }
            end = start;
        }
        if !given && seen < SYMBOLS {
            // There are no words at all.
            return starts;
        }
        // The state that has just given off a word was at least LOW before.
        let mut changed = false;
        for (start, state) in starts.iter_mut().zip(states) {
            if state < LOW && *start < LOW {
                *start = (*start << (17 - state.max(1).ilog2())).min(LOW);
                changed = true;
            }
        }
        if !changed {
            return starts;
        }
    }
    all_low
}

/// Decoder of one stream.
pub struct Decoder<'a> {
    lanes: Lanes<'a>,
    room: Room,
}

/// The states of a decoder and what they have not read yet.
struct Lanes<'a> {
    states: [u32; LANES],
    words: &'a [u8],
}

impl Lanes<'_> {
    /// Decodes one row without quiet contexts.
    #[inline]
    fn row(&mut self, contexts: &[u8], tables: &DecodeTables, symbols: &mut [u8]) {
        let (Some(slots), Some(entries)) = (tables.slots(), tables.entries()) else { return };
        #[cfg(target_arch = "x86_64")]
        if super::wide::available() {
            return super::wide::decode(&mut self.states, &mut self.words, slots, entries, contexts, symbols);
        }
        #[cfg(target_arch = "x86_64")]
        if super::narrow::available() {
            return super::narrow::decode(
                &mut self.states,
                &mut self.words,
                slots,
                entries,
                contexts,
                symbols,
            );
        }
        decode(&mut self.states, &mut self.words, slots, entries, contexts, symbols);
    }
}

impl<'a> Decoder<'a> {
    /// Reads the states at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        let mut head = BitReader::new(bytes);
        let mut states = [0; LANES];
        for s in &mut states {
            let n = head.get(5)?;
            *s = 1 << n | head.get(n)?;
        }
        Ok(Self { lanes: Lanes { states, words: head.rest() }, room: Room::default() })
    }

    /// Decodes one row: the symbol for each of `contexts`, which index `tables`.
    #[inline]
    pub fn row(&mut self, contexts: &[u8], tables: &DecodeTables, symbols: &mut [u8]) {
        let symbols = &mut symbols[..contexts.len()];
        let Self { lanes, room } = self;
        match &tables.quiet {
            Some(quiet) if room.sifted.sift(quiet, contexts) => {
                room.decode(quiet, |contexts, symbols| lanes.row(contexts, tables, symbols), symbols);
            }
            _ => lanes.row(contexts, tables, symbols),
        }
    }

    /// [`Decoder::plain_row`] without vectors.
    #[cfg(feature = "bench")]
    pub fn scalar_row(&mut self, contexts: &[u8], tables: &DecodeTables, symbols: &mut [u8]) {
        let (Some(slots), Some(entries)) = (tables.slots(), tables.entries()) else { return };
        decode(&mut self.lanes.states, &mut self.lanes.words, slots, entries, contexts, symbols);
    }

    /// Decodes one row without quiet contexts.
    #[cfg(feature = "bench")]
    pub fn plain_row(&mut self, contexts: &[u8], tables: &DecodeTables, symbols: &mut [u8]) {
        self.lanes.row(contexts, tables, symbols);
    }

    /// Checks that the stream was used up and that the states may be those of its start.
    pub fn finish(self) -> Result<()> {
        if !self.lanes.words.is_empty() || self.lanes.states.iter().any(|&s| !s.is_power_of_two() || s > LOW)
        {
            return Err(Error::corruption("an entropy-coded part does not end where its symbols do"));
        }
        Ok(())
    }
}

/// Decodes one row; this defines what [`super::wide::decode`] and [`super::narrow::decode`] do.
pub fn decode(
    states: &mut [u32; LANES],
    words: &mut &[u8],
    slots: &[u8; SLOTS],
    entries: &[u32; ENTRIES],
    contexts: &[u8],
    symbols: &mut [u8],
) {
    /// Bytes of the words that a group of lanes may take.
    const WINDOW: usize = 2 * LANES;
    let pull = |x: u32, context: u8| {
        let slot = x & MASK;
        let symbol = slots[usize::from(context) << TOTAL_BITS | slot as usize];
        let e = entries[usize::from(context) * STRIDE + usize::from(symbol) % STRIDE];
        ((e & 0xffff).wrapping_mul(x >> TOTAL_BITS).wrapping_add(slot).wrapping_sub(e >> 16), symbol)
    };
    for (contexts, symbols) in contexts.chunks(LANES).zip(symbols.chunks_mut(LANES)) {
        let group = states.iter_mut().zip(contexts).zip(symbols);
        if let Some(window) = words.first_chunk::<WINDOW>() {
            let mut at = 0;
            for ((state, &context), symbol) in group {
                let (x, s) = pull(*state, context);
                *symbol = s;
                let word = u16::from_le_bytes([window[at % WINDOW], window[(at + 1) % WINDOW]]);
                // Without a branch: no one can foresee it.
                let wanting = u32::from(x < LOW);
                *state = x << (16 * wanting) | u32::from(word) & wanting.wrapping_neg();
                at += 2 * wanting as usize;
            }
            *words = &words[at..];
        } else {
            for ((state, &context), symbol) in group {
                (*state, *symbol) = pull(*state, context);
                if *state < LOW {
                    if let Some((word, rest)) = words.split_first_chunk() {
                        *state = *state << 16 | u32::from(u16::from_le_bytes(*word));
                        *words = rest;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::tables::{counted, Histogram};
    use proptest::prelude::*;

    /// Decodes one row.
    #[cfg(target_arch = "x86_64")]
    type DecodeRow = fn(&mut [u32; LANES], &mut &[u8], &[u8; SLOTS], &[u32; ENTRIES], &[u8], &mut [u8]);

    /// Rows of symbols, skewed in some contexts, and their tables.
    fn rows() -> impl Strategy<Value = Vec<Vec<(u8, u8)>>> {
        let pair = (0u8..60, prop::sample::select(vec![0u8, 1, 7, 255])).prop_map(|(s, c)| match c {
            0 => (s / 59, c),
            1 => (s / 30, c),
            _ => (s, c),
        });
        prop::collection::vec(prop::collection::vec(pair, 0..150), 1..20)
    }

    fn tables(rows: &[Vec<(u8, u8)>]) -> (EncodeTables, DecodeTables) {
        let (mut encoder, mut decoder) = (EncodeTables::default(), DecodeTables::default());
        for context in [0, 1, 7, 255] {
            let mut h = Histogram::default();
            rows.iter().flatten().filter(|p| p.1 == context).for_each(|p| h.add(p.0));
            if h.total() > 0 {
                encoder.set(context, &counted(&h));
                decoder.set(context, &counted(&h));
            }
        }
        (encoder, decoder)
    }

    proptest! {
        #[test]
        fn rows_come_back(rows in rows()) {
            let (encoder, decoder) = tables(&rows);
            let (symbols, contexts): (Vec<u8>, Vec<u8>) = rows.iter().flatten().copied().unzip();
            let lengths: Vec<u32> = rows.iter().map(|r| r.len() as u32).collect();
            let bytes = encode(&symbols, &contexts, &lengths, &encoder);
            let mut d = Decoder::new(&bytes).unwrap();
            let mut at = 0;
            for n in lengths {
                let n = n as usize;
                let mut out = vec![0; n];
                d.row(&contexts[at..at + n], &decoder, &mut out);
                prop_assert_eq!(&out[..], &symbols[at..at + n]);
                at += n;
            }
            d.finish().unwrap();
        }

        #[cfg(target_arch = "x86_64")]
        #[test]
        fn encoding_with_vectors_is_what_scalar_encoding_is(
            rows in rows(),
            states in prop::array::uniform32(1u32..),
        ) {
            let (tables, _) = tables(&rows);
            let room = rows.iter().map(Vec::len).sum();
            let [mut a, mut b, mut c] = [room; 3].map(|room| (states, Words::with_room(room)));
            for row in rows {
                let (symbols, contexts): (Vec<u8>, Vec<u8>) = row.into_iter().unzip();
                encode_row(&mut a.0, &mut a.1, &tables, &contexts, &symbols);
                for (there, encode_row, other) in [
                    (super::super::wide::available(), super::super::wide::encode_row as EncodeRow, &mut b),
                    (super::super::narrow::available(), super::super::narrow::encode_row, &mut c),
                ] {
                    if there {
                        encode_row(&mut other.0, &mut other.1, &tables, &contexts, &symbols);
                        prop_assert_eq!(a.0, other.0);
                        prop_assert_eq!(a.1.get(), other.1.get());
                    }
                }
            }
        }

        #[test]
        fn divisions_are_exact(x in any::<u32>(), f in 1u32..=4096, q in 0u32..1 << 20) {
            for x in [x, q * f, q * f + f - 1, (q * f).wrapping_sub(1)] {
                let mut state = x;
                let entry = f | 7 << 16;
                let before = x >> 20 >= f;
                let y = if before { x >> 16 } else { x };
                push(&mut state, entry, u64::MAX / u64::from(f));
                prop_assert_eq!(state, ((y / f) << 12).wrapping_add(y % f).wrapping_add(7));
            }
        }

        #[cfg(target_arch = "x86_64")]
        #[test]
        fn decoding_with_vectors_is_what_scalar_decoding_is(
            rows in rows(),
            states in prop::array::uniform32(any::<u32>()),
            words in prop::collection::vec(any::<u8>(), 0..1500),
        ) {
            let (_, tables) = tables(&rows);
            let (slots, entries) = (tables.slots().unwrap(), tables.entries().unwrap());
            let [mut a, mut b, mut c] = [(states, &words[..]); 3];
            for row in rows {
                // Some contexts have no table.
                let contexts: Vec<u8> = row.iter().map(|p| if p.0 == 59 { 9 } else { p.1 }).collect();
                let mut x = vec![0; contexts.len()];
                decode(&mut a.0, &mut a.1, slots, entries, &contexts, &mut x);
                for (there, decode, other) in [
                    (super::super::wide::available(), super::super::wide::decode as DecodeRow, &mut b),
                    (super::super::narrow::available(), super::super::narrow::decode, &mut c),
                ] {
                    if there {
                        let mut y = vec![0; contexts.len()];
                        decode(&mut other.0, &mut other.1, slots, entries, &contexts, &mut y);
                        prop_assert_eq!(&x, &y);
                        prop_assert_eq!(a, *other);
                    }
                }
            }
        }
    }
}
