//! Interleaved range asymmetric numeral systems (rANS: J. Duda, arXiv:1311.2540; interleaving: F. Giesen,
//! arXiv:1402.3392): [`LANES`] 32-bit states share one stream of 16-bit words. Symbols come in rows; symbol j
//! of a row belongs to lane j mod LANES, so that a row decodes in independent steps.

use super::tables::{Table, TOTAL_BITS};
use crate::error::{Error, Result};

/// Number of interleaved states.
pub const LANES: usize = 8;
/// States lie in LOW..2^32 between symbols.
const LOW: u32 = 1 << 16;
const MASK: u32 = (1 << TOTAL_BITS) - 1;

/// Codes the rows of (symbol, context) pairs; `rows` gives the length of each row.
pub fn encode(symbols: &[u8], contexts: &[u8], rows: &[u32], tables: &[Table]) -> Vec<u8> {
    // Decoding runs forwards, so encoding runs backwards, and the words come out in reverse.
    let mut words: Vec<u16> = Vec::with_capacity(symbols.len() / 4 + 32);
    let mut states = [LOW; LANES];
    let mut end = symbols.len();
    for &row in rows.iter().rev() {
        let start = end - row as usize;
        for j in (start..end).rev() {
            let state = &mut states[(j - start) % LANES];
            let e = tables[contexts[j] as usize].encode[symbols[j] as usize];
            let freq = u32::from(e.freq);
            let mut x = *state;
            if x >> (32 - TOTAL_BITS) >= freq {
                words.push(x as u16);
                x >>= 16;
            }
            let quotient = ((u128::from(x) * u128::from(e.reciprocal)) >> 64) as u32;
            *state = x
                .wrapping_add(u32::from(e.bias))
                .wrapping_add(quotient.wrapping_mul((1 << TOTAL_BITS) - freq));
        }
        end = start;
    }
    let mut out = Vec::with_capacity(4 * LANES + 2 * words.len());
    for s in states {
        out.extend_from_slice(&s.to_le_bytes());
    }
    for w in words.iter().rev() {
        out.extend_from_slice(&w.to_le_bytes());
    }
    out
}

/// Decoder of one stream.
pub struct Decoder<'a> {
    states: [u32; LANES],
    words: &'a [u8],
    /// Words wanted beyond the end: the stream is damaged.
    overrun: bool,
}

impl<'a> Decoder<'a> {
    /// Reads the states at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        let head = bytes
            .get(..4 * LANES)
            .ok_or_else(|| Error::corruption("an entropy-coded part ends in its states"))?;
        let mut states = [0; LANES];
        for (s, b) in states.iter_mut().zip(head.chunks_exact(4)) {
            *s = u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        }
        Ok(Self { states, words: &bytes[4 * LANES..], overrun: false })
    }

    /// Decodes one row: the symbol for each of `contexts`, which index `tables`.
    #[inline]
    pub fn row(&mut self, contexts: &[u8], tables: &[Table], symbols: &mut [u8]) {
        let mut states = self.states;
        let mut words = self.words;
        let step = |state: &mut u32, context: u8, symbol: &mut u8, words: &mut &[u8]| {
            let x = *state;
            let e = tables[context as usize].slot(x & MASK);
            *symbol = e as u8;
            let freq = (e >> 8) & 0xfff;
            let offset = e >> 20;
            let freq = freq + 1;
            let mut x = freq.wrapping_mul(x >> TOTAL_BITS).wrapping_add(offset);
            if x < LOW {
                if let Some((w, rest)) = words.split_first_chunk::<2>() {
                    x = x << 16 | u32::from(u16::from_le_bytes(*w));
                    *words = rest;
                } else {
                    // Any state in range keeps the loop going; the caller learns of it in `finish`.
                    x = LOW;
                    return (x, true);
                }
            }
            *state = x;
            (x, false)
        };
        let mut overrun = false;
        let whole = contexts.len() / LANES * LANES;
        let (c8, c1) = contexts.split_at(whole);
        let (s8, s1) = symbols[..contexts.len()].split_at_mut(whole);
        for (c, s) in c8.chunks_exact(LANES).zip(s8.chunks_exact_mut(LANES)) {
            for l in 0..LANES {
                overrun |= step(&mut states[l], c[l], &mut s[l], &mut words).1;
            }
        }
        for (l, (c, s)) in c1.iter().zip(s1).enumerate() {
            overrun |= step(&mut states[l], *c, s, &mut words).1;
        }
        self.states = states;
        self.words = words;
        self.overrun |= overrun;
    }

    /// Whether the stream ended before its symbols did.
    pub fn failed(&self) -> bool {
        self.overrun
    }

    /// Checks that the stream was used up and that the states are back at their start.
    pub fn finish(self) -> Result<()> {
        if self.overrun {
            return Err(Error::corruption("an entropy-coded part ends before all its symbols"));
        }
        if !self.words.is_empty() || self.states != [LOW; LANES] {
            return Err(Error::corruption("an entropy-coded part does not end where its symbols do"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::tables::{Histogram, Table};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_come_back(rows in prop::collection::vec(prop::collection::vec((0u8..60, 0u8..3), 0..70), 1..20)) {
            let mut histograms = vec![Histogram::default(); 3];
            let (mut symbols, mut contexts, mut lengths) = (vec![], vec![], vec![]);
            for row in &rows {
                for &(s, c) in row {
                    // A skewed distribution in one context, a flat one in another.
                    let s = if c == 0 { s / 30 } else { s };
                    histograms[c as usize].add(s);
                    symbols.push(s);
                    contexts.push(c);
                }
                lengths.push(row.len() as u32);
            }
            let tables: Vec<Table> = histograms.iter().map(|h| Table::counted(h).1).collect();
            let bytes = encode(&symbols, &contexts, &lengths, &tables);
            let mut decoder = Decoder::new(&bytes).unwrap();
            let mut at = 0;
            for n in lengths {
                let n = n as usize;
                let mut out = vec![0; n];
                decoder.row(&contexts[at..at + n], &tables, &mut out);
                prop_assert_eq!(&out[..], &symbols[at..at + n]);
                at += n;
            }
            decoder.finish().unwrap();
        }
    }
}
