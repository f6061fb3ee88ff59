//! Frequency tables in the forms in which range ANS needs them, all tables of a stream in flat memory of a fixed
//! size, so that an index made of a context (8 bits) and a slot or symbol is always within it.

use super::quiet::Quiet;
use super::SYMBOLS;
use std::sync::Mutex;

/// Frequencies of a table sum to 2^TOTAL_BITS.
pub const TOTAL_BITS: u32 = 12;
/// Number of slots of a table.
pub const TOTAL: u32 = 1 << TOTAL_BITS;
/// Most tables of a stream.
pub const MAX_TABLES: usize = 256;
/// Symbols per table, rounded up to a power of two.
pub const STRIDE: usize = 128;
const _: () = assert!(SYMBOLS <= STRIDE);
/// Size of all slot tables, with room for reading four bytes at the last slot.
pub const SLOTS: usize = (MAX_TABLES << TOTAL_BITS) + 4;
/// Size of all tables by symbol.
pub const ENTRIES: usize = MAX_TABLES * STRIDE;
/// Bytes that are filled at once: most symbols have few slots.
const FILL: usize = 16;

/// Tables for decoding. A context without a table decodes to some symbol of frequency 0: only damaged streams do it.
pub struct DecodeTables {
    slots: Vec<u8>,
    entries: Vec<u32>,
    /// Contexts with a table.
    known: Vec<u8>,
    /// Contexts whose zeros are coded apart, if any.
    pub quiet: Option<Quiet>,
}

/// The memory of tables that nobody uses: symbols of slots as they were, and no frequencies.
static KEPT: Mutex<Option<(Vec<u8>, Vec<u32>)>> = Mutex::new(None);
/// The same of tables for encoding: frequencies and reciprocals, all 0.
static KEPT_ENCODING: Mutex<Option<(Vec<u32>, Vec<u64>)>> = Mutex::new(None);

/// Gives back the memory that is kept from one chunk to the next.
pub fn release_tables() {
    if let Ok(mut kept) = KEPT.lock() {
        *kept = None;
    }
    if let Ok(mut kept) = KEPT_ENCODING.lock() {
        *kept = None;
    }
}

impl Default for DecodeTables {
    fn default() -> Self {
        // Who has to wait had better take fresh memory, as in `scratch`.
        let kept = KEPT.try_lock().ok().and_then(|mut kept| kept.take());
        let (slots, entries) = kept.unwrap_or_else(|| (vec![0; SLOTS], vec![0; ENTRIES]));
        Self { slots, entries, known: vec![], quiet: None }
    }
}

impl Drop for DecodeTables {
    fn drop(&mut self) {
        for context in self.known.iter().map(|&c| usize::from(c)) {
            self.entries[context * STRIDE..][..STRIDE].fill(0);
        }
        if let Ok(mut kept) = KEPT.try_lock() {
            *kept = Some((std::mem::take(&mut self.slots), std::mem::take(&mut self.entries)));
        }
    }
}

impl DecodeTables {
    /// Sets the table of a context: frequencies of symbols 0, 1, ... that sum to [`TOTAL`].
    pub fn set(&mut self, context: u8, freqs: &[u32]) {
        self.known.push(context);
        let base = usize::from(context) << TOTAL_BITS;
        let slots = &mut self.slots[base..base + TOTAL as usize];
        let entries = &mut self.entries[usize::from(context) * STRIDE..][..STRIDE];
        let mut start = 0;
        for (s, (&f, entry)) in freqs.iter().zip(entries).enumerate().filter(|(_, (&f, _))| f > 0) {
            *entry = f | (start as u32) << 16;
            let end = start + f as usize;
            // What is too much is overwritten by the next symbol.
            if let Some(few) = slots.get_mut(start..start + FILL) {
                few.fill(s as u8);
                if end > start + FILL {
                    slots[start + FILL..end].fill(s as u8);
                }
            } else {
                slots[start..end].fill(s as u8);
            }
            start = end;
        }
    }

    /// Symbol of each slot of each context, at context * 2^TOTAL_BITS + slot.
    #[inline]
    pub fn slots(&self) -> Option<&[u8; SLOTS]> {
        self.slots.first_chunk()
    }

    /// Frequency (low half) and first slot (high half) of each symbol, at context * STRIDE + symbol.
    #[inline]
    pub fn entries(&self) -> Option<&[u32; ENTRIES]> {
        self.entries.first_chunk()
    }
}

/// Tables for encoding.
pub struct EncodeTables {
    entries: Vec<u32>,
    reciprocals: Vec<u64>,
    /// Contexts with a table.
    known: Vec<u8>,
}

impl Default for EncodeTables {
    fn default() -> Self {
        // As for decoding.
        let kept = KEPT_ENCODING.try_lock().ok().and_then(|mut kept| kept.take());
        let (entries, reciprocals) = kept.unwrap_or_else(|| (vec![0; ENTRIES], vec![0; ENTRIES]));
        Self { entries, reciprocals, known: vec![] }
    }
}

impl Drop for EncodeTables {
    fn drop(&mut self) {
        for context in self.known.iter().map(|&c| usize::from(c)) {
            self.entries[context * STRIDE..][..STRIDE].fill(0);
            self.reciprocals[context * STRIDE..][..STRIDE].fill(0);
        }
        if let Ok(mut kept) = KEPT_ENCODING.try_lock() {
            *kept = Some((std::mem::take(&mut self.entries), std::mem::take(&mut self.reciprocals)));
        }
    }
}

impl EncodeTables {
    /// Sets the table of a context, as [`DecodeTables::set`] does.
    pub fn set(&mut self, context: u8, freqs: &[u32]) {
        self.known.push(context);
        let base = usize::from(context) * STRIDE;
        let entries = self.entries[base..].iter_mut().zip(&mut self.reciprocals[base..]).take(STRIDE);
        let mut start = 0;
        for (&f, (entry, reciprocal)) in freqs.iter().zip(entries).filter(|(&f, _)| f > 0) {
            *entry = f | start << 16;
            *reciprocal = u64::MAX / u64::from(f);
            start += f;
        }
    }

    /// Frequency (low half) and first slot (high half) of each symbol, at context * STRIDE + symbol.
    #[inline]
    pub fn entries(&self) -> Option<&[u32; ENTRIES]> {
        self.entries.first_chunk()
    }

    /// floor((2^64 - 1) / frequency) of each symbol, likewise: the high half of x + 1 times it is x / frequency for every
    /// 32-bit x.
    #[inline]
    pub fn reciprocals(&self) -> Option<&[u64; ENTRIES]> {
        self.reciprocals.first_chunk()
    }
}
