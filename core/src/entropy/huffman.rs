//! Huffman codes of quantised residuals, then zstd, as SZ and AE-SZ have it (Tao et al., IPDPS 2017, section III; Liu et al.,
//! CLUSTER 2021, section IV).
//!
//! A residual has a symbol of its own up to a magnitude of 2^15 - 1 (their 65,536 bins); others are an escape, with the
//! number in a list. Codes are canonical (Schwartz and Kallick, Communications of the ACM 1964): their lengths tell them.
//! Bits are read from the least significant one of each byte on, codes from their first bit on.

use super::bits::{unzigzag, zigzag, BitWriter};
use crate::error::{Error, Result};
use crate::lossless::{deflate, inflate};
use crate::stream::parts::{Reader, Writer};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Symbol of residuals that have none; the symbols below are residuals in zigzag form.
pub const ESCAPE: u16 = u16::MAX;
/// Number of symbols.
const SYMBOLS: usize = ESCAPE as usize + 1;
/// Longest code. With as many points as a chunk can have none would be longer than 47; shorter ones lose nothing.
const LONGEST: u32 = 30;
/// Bits that are looked up at once.
const LOOK: u32 = 11;

/// The symbol of a residual.
#[inline]
pub fn symbol(q: i32) -> u16 {
    zigzag(q).min(u32::from(ESCAPE)) as u16
}

/// How often each symbol occurs.
pub struct Counts(Vec<u32>);

impl Counts {
    /// Nothing so far.
    pub fn new() -> Self {
        Self(vec![0; SYMBOLS])
    }

    /// Counts symbols.
    pub fn add(&mut self, symbols: &[u16]) {
        symbols.iter().for_each(|s| self.0[usize::from(*s)] += 1);
    }
}

/// A code: symbols with the lengths of their codes, ordered by length, then symbol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Code {
    symbols: Vec<(u8, u16)>,
}

impl Code {
    /// The best code for these counts.
    pub fn of(counts: &Counts) -> Self {
        let mut counts: Vec<(u64, u16)> = counts
            .0
            .iter()
            .zip(0..=u16::MAX)
            .filter(|(n, _)| **n > 0)
            .map(|(n, s)| (u64::from(*n), s))
            .collect();
        loop {
            let lengths = lengths(&counts);
            if lengths.iter().all(|l| *l <= LONGEST) {
                let mut symbols: Vec<(u8, u16)> =
                    lengths.iter().zip(&counts).map(|(l, (_, s))| (*l as u8, *s)).collect();
                symbols.sort_unstable();
                return Self { symbols };
            }
            // Less uneven counts have shorter codes.
            counts.iter_mut().for_each(|(n, _)| *n = n.div_ceil(2));
        }
    }

    /// Appends the code: symbols as differences and lengths, compressed.
    pub fn write(&self, w: &mut Writer) {
        let mut sorted: Vec<(u16, u8)> = self.symbols.iter().map(|(l, s)| (*s, *l)).collect();
        sorted.sort_unstable();
        let mut table = Writer::default();
        let mut next = 0;
        for (s, l) in sorted {
            table.number(u64::from(s) - next);
            table.byte(l);
            next = u64::from(s) + 1;
        }
        w.number(self.symbols.len() as u64);
        w.packed(&table.out);
    }

    /// Reads what [`Code::write`] wrote.
    ///
    /// # Errors
    /// `Corruption` where it is no complete code.
    pub fn read(r: &mut Reader) -> Result<Self> {
        let count = r.at_most(SYMBOLS as u64, "symbols of a Huffman code")? as usize;
        let packed = r.packed(4 * count)?;
        let mut table = Reader::new(&packed);
        let mut symbols = Vec::with_capacity(count.min(packed.len()));
        let mut next = 0u64;
        // Shares of all codes, in units of the longest one's.
        let mut shares = 0u64;
        for _ in 0..count {
            let s = next.saturating_add(table.number()?);
            let l = table.byte()?;
            let s16 = u16::try_from(s).ok().filter(|_| u32::from(l) <= LONGEST && (l > 0 || count == 1));
            let Some(s16) = s16 else {
                return Err(Error::corruption(format!("a Huffman code gives symbol {s} {l} bits")));
            };
            shares += 1 << (LONGEST - u32::from(l));
            symbols.push((l, s16));
            next = s + 1;
        }
        table.finish()?;
        if count > 0 && shares != 1 << LONGEST {
            return Err(Error::corruption("a Huffman code is not complete"));
        }
        symbols.sort_unstable();
        Ok(Self { symbols })
    }

    /// The codes in their order with their lengths and symbols. The first bit of a code is its most significant one.
    fn codes(&self) -> impl Iterator<Item = (u32, u8, u16)> + '_ {
        let (mut code, mut length) = (0u64, 0);
        self.symbols.iter().map(move |&(l, s)| {
            code <<= l - length;
            length = l;
            code += 1;
            (code as u32 - 1, l, s)
        })
    }

    /// What encoding looks up.
    pub fn encoder(&self) -> Encoder {
        let mut codes = vec![(0, 0); SYMBOLS];
        for (code, l, s) in self.codes() {
            codes[usize::from(s)] = (reversed(code, l), l);
        }
        Encoder { codes }
    }
}

/// The last `length` bits of `code`, from the last one to the first.
fn reversed(code: u32, length: u8) -> u32 {
    code.reverse_bits().checked_shr(32 - u32::from(length)).unwrap_or(0)
}

/// Lengths of the codes for counts (Huffman, Proceedings of the IRE 1952). One symbol alone needs no bits.
fn lengths(counts: &[(u64, u16)]) -> Vec<u32> {
    let n = counts.len();
    // Leaves, then inner nodes, each with its parent.
    let mut parents = vec![0; (2 * n).saturating_sub(1)];
    let mut heap: BinaryHeap<Reverse<(u64, usize)>> =
        counts.iter().enumerate().map(|(i, (c, _))| Reverse((*c, i))).collect();
    for node in n..parents.len() {
        let (Some(Reverse(a)), Some(Reverse(b))) = (heap.pop(), heap.pop()) else { break };
        (parents[a.1], parents[b.1]) = (node, node);
        heap.push(Reverse((a.0 + b.0, node)));
    }
    let mut depths = vec![0u32; parents.len()];
    for node in (0..parents.len().saturating_sub(1)).rev() {
        depths[node] = depths[parents[node]] + 1;
    }
    depths.truncate(n);
    depths
}

/// Codes by symbol, their first bit the least significant one, with their lengths.
pub struct Encoder {
    codes: Vec<(u32, u8)>,
}

impl Encoder {
    /// The symbols' codes, compressed.
    pub fn encode(&self, symbols: &[u16]) -> Vec<u8> {
        let mut bits = BitWriter::default();
        for s in symbols {
            let (code, length) = self.codes[usize::from(*s)];
            bits.put(code, length.into());
        }
        deflate(&bits.finish())
    }
}

/// What decoding looks up.
pub struct Decoder {
    /// By the next bits: symbol and length of the code that they begin with; no length where it is longer.
    look: Vec<(u16, u8)>,
    /// For each length the first code of it, and the place of its symbol; the codes below `ends` have no more bits.
    firsts: Vec<(u32, usize)>,
    ends: Vec<u32>,
    symbols: Vec<(u8, u16)>,
}

impl Decoder {
    /// The decoder of a code.
    pub fn new(code: &Code) -> Self {
        let longest = code.symbols.last().map_or(0, |s| usize::from(s.0));
        let mut out = Self {
            look: vec![(0, 0); 1 << LOOK],
            firsts: vec![(0, 0); longest + 1],
            ends: vec![0; longest + 1],
            symbols: code.symbols.clone(),
        };
        for (place, (code, l, s)) in code.codes().enumerate() {
            let length = usize::from(l);
            if out.ends[length] == 0 {
                out.firsts[length] = (code, place);
            }
            out.ends[length] = code + 1;
            if u32::from(l) <= LOOK {
                let step = 1 << l;
                out.look[reversed(code, l) as usize..].iter_mut().step_by(step).for_each(|e| *e = (s, l));
            }
        }
        out
    }

    /// Symbols from `payload`; there are `most` of them at most.
    ///
    /// # Errors
    /// `Corruption` where it is damaged.
    pub fn symbols(&self, payload: &[u8], most: usize) -> Result<Symbols<'_>> {
        let bytes = inflate(payload, most.saturating_mul(LONGEST as usize).div_ceil(8))?;
        Ok(Symbols { decoder: self, bytes, at: 0, word: 0, left: 0, over: 0 })
    }
}

/// The symbols of a payload, one after the other. Beyond its end bits are zeros, which [`Symbols::finish`] finds.
pub struct Symbols<'a> {
    decoder: &'a Decoder,
    bytes: Vec<u8>,
    /// Bytes that were taken.
    at: usize,
    /// Bits that were taken from them and not read yet.
    word: u64,
    left: u32,
    /// Bytes that were wanted beyond the end.
    over: usize,
}

impl Symbols<'_> {
    #[inline]
    fn refill(&mut self) {
        if let Some(word) = self.bytes[self.at.min(self.bytes.len())..].first_chunk::<8>() {
            self.word |= u64::from_le_bytes(*word) << self.left;
            let taken = (63 - self.left) / 8;
            self.at += taken as usize;
            self.left += 8 * taken;
            // What is beyond the whole bytes that were taken comes again.
            self.word &= u64::MAX >> (64 - self.left);
            return;
        }
        while self.left <= 56 {
            match self.bytes.get(self.at) {
                Some(b) => self.word |= u64::from(*b) << self.left,
                None => self.over += 1,
            }
            self.at += 1;
            self.left += 8;
        }
    }

    /// The next symbol.
    #[inline]
    pub fn next_symbol(&mut self) -> u16 {
        if self.left < LONGEST {
            self.refill();
        }
        let (symbol, length) = self.decoder.look[(self.word & ((1 << LOOK) - 1)) as usize];
        if length > 0 {
            self.word >>= length;
            self.left -= u32::from(length);
            return symbol;
        }
        self.long()
    }

    /// The next symbol bit by bit: a long one, or one that has no bits.
    #[cold]
    fn long(&mut self) -> u16 {
        let mut code = 0u32;
        let decoder = self.decoder;
        for (length, ((first, place), end)) in decoder.firsts.iter().zip(&decoder.ends).enumerate() {
            if length > 0 {
                code = code << 1 | (self.word & 1) as u32;
                self.word >>= 1;
                self.left -= 1;
            }
            if *end > 0 && code < *end && code >= *first {
                return decoder.symbols[place + (code - first) as usize].1;
            }
        }
        // There is no code at all.
        self.over += 8;
        0
    }

    /// Checks that all bits, and no more than there are, were read.
    ///
    /// # Errors
    /// `Corruption` where they were not.
    pub fn finish(self) -> Result<()> {
        // Bits behind the last symbol fill its byte.
        let read = self.at * 8 - self.left as usize;
        if read > self.bytes.len() * 8 || self.bytes.len() * 8 - read >= 8 {
            return Err(Error::corruption("the Huffman codes do not end where the symbols do"));
        }
        Ok(())
    }
}

/// Appends the numbers of the escapes.
pub fn write_escapes(w: &mut Writer, escapes: &[i32]) {
    let mut numbers = Writer::default();
    escapes.iter().for_each(|q| numbers.number(u64::from(zigzag(*q))));
    w.packed(&numbers.out);
}

/// Reads what [`write_escapes`] wrote, `most` numbers at most.
///
/// # Errors
/// `Corruption` where it is damaged.
pub fn read_escapes(r: &mut Reader, most: usize) -> Result<Vec<i32>> {
    let packed = r.packed(most.saturating_mul(5))?;
    let mut numbers = Reader::new(&packed);
    let mut out = vec![];
    while !numbers.rest().is_empty() {
        out.push(unzigzag(numbers.at_most(u32::MAX.into(), "as a residual")? as u32));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(symbols: &[u16]) -> usize {
        let mut counts = Counts::new();
        counts.add(symbols);
        let code = Code::of(&counts);
        let mut w = Writer::default();
        code.write(&mut w);
        let payload = code.encoder().encode(symbols);
        assert_eq!(Code::read(&mut Reader::new(&w.out)).unwrap(), code);
        let decoder = Decoder::new(&code);
        let mut found = decoder.symbols(&payload, symbols.len()).unwrap();
        for s in symbols {
            assert_eq!(found.next_symbol(), *s);
        }
        found.finish().unwrap();
        if !symbols.is_empty() && code.symbols.len() > 1 {
            let mut more = decoder.symbols(&payload, symbols.len()).unwrap();
            (0..symbols.len() + 16 * 8).for_each(|_| _ = more.next_symbol());
            assert!(more.finish().is_err());
        }
        payload.len()
    }

    proptest! {
        #[test]
        fn symbols_come_back(few in prop::collection::vec(0u16..5, 0..300), any in prop::collection::vec(any::<u16>(), 0..300)) {
            round_trip(&few);
            round_trip(&any);
            round_trip(&[few, any].concat());
        }

        #[test]
        fn damage_is_an_error_or_other_symbols(symbols in prop::collection::vec(0u16..400, 1..300), at in any::<prop::sample::Index>(), to: u8) {
            let mut counts = Counts::new();
            counts.add(&symbols);
            let code = Code::of(&counts);
            let mut w = Writer::default();
            code.write(&mut w);
            let at = at.index(w.out.len());
            w.out[at] = to;
            let code = Code::read(&mut Reader::new(&w.out)).unwrap_or(code);
            let decoder = Decoder::new(&code);
            if let Ok(mut found) = decoder.symbols(&code.encoder().encode(&symbols), symbols.len()) {
                symbols.iter().for_each(|_| _ = found.next_symbol());
                let _ = found.finish();
            }
        }

        #[test]
        fn escapes_come_back(numbers in prop::collection::vec(any::<i32>(), 0..100)) {
            let mut w = Writer::default();
            write_escapes(&mut w, &numbers);
            prop_assert_eq!(read_escapes(&mut Reader::new(&w.out), numbers.len()).unwrap(), numbers);
        }
    }

    #[test]
    fn uneven_counts_have_codes_that_are_not_too_long() {
        // Counts like Fibonacci's make the longest codes.
        let mut counts = Counts::new();
        let (mut a, mut b) = (1u32, 1u32);
        for s in 0..44 {
            counts.0[s] = a;
            (a, b) = (b, a.saturating_add(b));
        }
        let code = Code::of(&counts);
        assert!(code.symbols.iter().all(|(l, _)| u32::from(*l) <= LONGEST));
        let mut w = Writer::default();
        code.write(&mut w);
        assert_eq!(Code::read(&mut Reader::new(&w.out)).unwrap(), code);
        let symbols: Vec<u16> = (0..44).chain((0..44).rev()).collect();
        let decoder = Decoder::new(&code);
        let payload = code.encoder().encode(&symbols);
        let mut found = decoder.symbols(&payload, symbols.len()).unwrap();
        assert!(symbols.iter().all(|s| found.next_symbol() == *s));
        found.finish().unwrap();
    }

    #[test]
    fn one_symbol_needs_no_bits() {
        assert!(round_trip(&[7; 100_000]) < 20);
        assert_eq!(symbol(0), 0);
        assert_eq!(symbol(32767), 65534);
        assert_eq!(symbol(-32768), ESCAPE);
        assert_eq!(symbol(i32::MIN), ESCAPE);
    }
}
