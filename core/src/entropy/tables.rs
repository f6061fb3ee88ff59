//! Symbol frequencies per context: counted, or a two-sided geometric distribution (the discretised Laplace
//! distribution) with its own probability of zero, whichever costs fewer bits together with the data.
//! Everything here that a decoder runs is integer arithmetic.

use super::bits::{BitReader, BitWriter};
use super::{CLASSES, DIRECT, DIRECT_SYMBOLS, SYMBOLS};
use crate::error::{Error, Result};

/// Frequencies of a table sum to 2^TOTAL_BITS.
pub const TOTAL_BITS: u32 = 12;
const TOTAL: u32 = 1 << TOTAL_BITS;
/// 1.0 in the fixed-point numbers of the geometric distribution.
const ONE: u64 = 1 << 32;
/// 2^(-1/5) and 2^(1/4), steps of the two parameters of the geometric distribution.
const NONZERO_STEP: u64 = 3_738_986_199; // 2^32 * 2^(-1/5)
const MEAN_STEP: u64 = 5_107_605_667; // 2^32 * 2^(1/4)
/// Largest index of either parameter (6 bits each).
const MAX_INDEX: u32 = 63;
/// Largest `top`: all direct magnitudes and all classes.
const MAX_TOP: u32 = DIRECT + CLASSES as u32;

/// How often each symbol occurred in one context.
#[derive(Clone)]
pub struct Histogram {
    /// Occurrences per symbol.
    pub counts: [u32; SYMBOLS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; SYMBOLS] }
    }
}

impl Histogram {
    /// Counts one symbol.
    #[inline]
    pub fn add(&mut self, symbol: u8) {
        self.counts[symbol as usize] += 1;
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (a, b) in self.counts.iter_mut().zip(&other.counts) {
            *a += b;
        }
    }

    /// The largest magnitude (direct) or DIRECT + 1 + class that occurred.
    fn top(&self) -> Option<u32> {
        self.counts.iter().rposition(|&c| c > 0).map(magnitude)
    }
}

/// Rank of a symbol's magnitude: itself if direct, DIRECT + 1 + class otherwise.
fn magnitude(symbol: usize) -> u32 {
    if symbol < DIRECT_SYMBOLS {
        (symbol as u32).div_ceil(2)
    } else {
        DIRECT + 1 + (symbol - DIRECT_SYMBOLS) as u32 / 2
    }
}

/// Number of symbols with a magnitude of at most `top`.
fn used_symbols(top: u32) -> usize {
    if top <= DIRECT {
        2 * top as usize + 1
    } else {
        DIRECT_SYMBOLS + 2 * (top - DIRECT) as usize
    }
}

/// One symbol as the encoder needs it.
#[derive(Clone, Copy, Default)]
pub struct Encode {
    /// ceil(2^64 / freq): the high half of x times it is x / freq for every 32-bit x.
    pub reciprocal: u64,
    /// Frequency, 1 to 2^TOTAL_BITS.
    pub freq: u16,
    /// First slot, plus the correction that freq 1 needs.
    pub bias: u16,
}

/// Frequencies of one context in the forms in which coding needs them.
#[derive(Default)]
pub struct Table {
    /// Per symbol, for encoding.
    pub encode: Vec<Encode>,
    /// Per slot: symbol (8 bits), freq - 1 (12 bits), offset of the slot in its symbol (12 bits).
    slots: Vec<u32>,
}

impl Table {
    /// Entry of a slot below 2^TOTAL_BITS.
    #[inline]
    pub fn slot(&self, slot: u32) -> u32 {
        // An unused context has no slots; a damaged stream that selects it gets symbol 0 of a full table.
        self.slots.get(slot as usize).copied().unwrap_or((TOTAL - 1) << 8 | slot << 20)
    }

    fn from_freqs(freqs: &[u32]) -> Self {
        let mut table =
            Self { encode: vec![Encode::default(); SYMBOLS], slots: Vec::with_capacity(TOTAL as usize) };
        let mut start = 0;
        for (s, &f) in freqs.iter().enumerate().filter(|(_, &f)| f > 0) {
            table.encode[s] = Encode {
                reciprocal: if f == 1 { u64::MAX } else { u64::MAX / u64::from(f) + 1 },
                freq: f as u16,
                // With freq 1 the product yields x - 1; adding TOTAL - 1 mends it.
                bias: (if f == 1 { start + TOTAL - 1 } else { start }) as u16,
            };
            table.slots.extend((0..f).map(|o| s as u32 | (f - 1) << 8 | o << 20));
            start += f;
        }
        table
    }

    /// Table of the counted frequencies, with them.
    pub fn counted(h: &Histogram) -> (Vec<u32>, Self) {
        let weights: Vec<u64> = h.counts.iter().map(|&c| u64::from(c)).collect();
        let freqs = normalise(&weights, |s| h.counts[s] > 0);
        let table = Self::from_freqs(&freqs);
        (freqs, table)
    }
}

/// Frequencies proportional to `weights` that sum to TOTAL, at least 1 where `allowed`.
fn normalise(weights: &[u64], allowed: impl Fn(usize) -> bool) -> Vec<u32> {
    let sum: u128 = weights.iter().map(|&w| u128::from(w)).sum::<u128>().max(1);
    let mut freqs: Vec<u32> =
        (0..weights.len())
            .map(|s| {
                if allowed(s) {
                    ((u128::from(weights[s]) * u128::from(TOTAL) / sum) as u32).max(1)
                } else {
                    0
                }
            })
            .collect();
    // Whatever rounding left over or took too much goes to or comes from the largest.
    loop {
        let total: u32 = freqs.iter().sum();
        let largest = (0..freqs.len()).max_by_key(|&s| (freqs[s], usize::MAX - s)).unwrap_or(0);
        if total <= TOTAL {
            freqs[largest] += TOTAL - total;
            return freqs;
        }
        let take = (total - TOTAL).min(freqs[largest] / 2);
        freqs[largest] -= take;
    }
}

/// x * y of two fixed-point numbers.
fn mul(x: u64, y: u64) -> u64 {
    ((u128::from(x) * u128::from(y)) >> 32) as u64
}

/// base^n by squaring.
fn pow(mut base: u64, mut n: u64) -> u64 {
    let mut p = ONE;
    while n > 0 {
        if n & 1 == 1 {
            p = mul(p, base);
        }
        base = mul(base, base);
        n >>= 1;
    }
    p
}

/// Frequencies of the geometric distribution with parameter indices `zero` (probability of a nonzero symbol:
/// 2^(-zero/5)) and `mean` (mean magnitude beyond 1 of the nonzero ones: 2^(mean/4 - 6)).
fn geometric(zero: u32, mean: u32, top: u32) -> Vec<u32> {
    let nonzero = (0..zero).fold(ONE, |p, _| mul(p, NONZERO_STEP));
    let m = (0..mean).fold(ONE >> 6, |p, _| mul(p, MEAN_STEP));
    let ratio = ((u128::from(m) << 32) / u128::from(m + ONE)) as u64;
    let mut weights = vec![0u64; SYMBOLS];
    weights[0] = (ONE - nonzero) << 8;
    let part = |p: u64| mul(p, nonzero) << 7;
    let mut tail = ONE; // ratio^(k-1): the share of magnitudes k and beyond
    for k in 1..=DIRECT as usize {
        let next = mul(tail, ratio);
        weights[2 * k - 1] = part(tail - next);
        weights[2 * k] = part(tail - next);
        tail = next;
    }
    for n in 0..CLASSES {
        let next = pow(ratio, u64::from(DIRECT) + (1 << (n + 1)) - 1).min(tail);
        weights[DIRECT_SYMBOLS + 2 * n] = part(tail - next);
        weights[DIRECT_SYMBOLS + 2 * n + 1] = part(tail - next);
        tail = next;
    }
    let used = used_symbols(top);
    weights[used..].fill(0);
    normalise(&weights, |s| s < used)
}

/// Bits that coding `h` with `freqs` takes.
fn cost(h: &Histogram, freqs: &[u32]) -> f64 {
    h.counts
        .iter()
        .zip(freqs)
        .filter(|(&c, _)| c > 0)
        .map(|(&c, &f)| f64::from(c) * (f64::from(TOTAL_BITS) - f64::from(f.max(1)).log2()))
        .sum()
}

/// Chooses and writes the table for `h`; returns it with the bits that the data will take.
pub fn write(h: &Histogram, w: &mut BitWriter) -> (Table, f64) {
    let Some(top) = h.top() else {
        w.put(0, 1);
        return (Table::default(), 0.0);
    };
    w.put(1, 1);
    w.put(top, 6);
    let (zero, mean) = fit_geometric(h);
    let parametric = geometric(zero, mean, top);
    let (counted, _) = Table::counted(h);
    let parametric_bits = cost(h, &parametric);
    let counted_bits = cost(h, &counted);
    let side = {
        let mut probe = BitWriter::default();
        write_counted(&counted, top, &mut probe);
        8.0 * probe.finish().len() as f64 - 4.0
    };
    if parametric_bits + 12.0 <= counted_bits + side {
        w.put(1, 1);
        w.put(zero, 6);
        w.put(mean, 6);
        (Table::from_freqs(&parametric), parametric_bits)
    } else {
        w.put(0, 1);
        write_counted(&counted, top, w);
        (Table::from_freqs(&counted), counted_bits)
    }
}

/// Reads a table that [`write`] wrote.
pub fn read(r: &mut BitReader) -> Result<Table> {
    if r.get(1)? == 0 {
        return Ok(Table::default());
    }
    let top = r.get(6)?;
    if top > MAX_TOP {
        return Err(Error::corruption(format!(
            "a frequency table goes up to {top}, at most {MAX_TOP} is possible"
        )));
    }
    let freqs = if r.get(1)? == 1 {
        let zero = r.get(6)?;
        let mean = r.get(6)?;
        geometric(zero, mean, top)
    } else {
        read_counted(r, top)?
    };
    Ok(Table::from_freqs(&freqs))
}

/// Parameter indices of the geometric distribution nearest to the counts (method of moments).
fn fit_geometric(h: &Histogram) -> (u32, u32) {
    let total: f64 = h.counts.iter().map(|&c| f64::from(c)).sum();
    let nonzero = (total - f64::from(h.counts[0])).max(0.25);
    let zero = (-5.0 * (nonzero / total).log2()).round().clamp(0.0, f64::from(MAX_INDEX)) as u32;
    let sum: f64 = (1..SYMBOLS)
        .map(|s| {
            let m = magnitude(s);
            let value = if m <= DIRECT {
                f64::from(m)
            } else {
                f64::from(DIRECT) + 1.5 * 2f64.powi((m - DIRECT - 1) as i32)
            };
            f64::from(h.counts[s]) * value
        })
        .sum();
    let excess = (sum / nonzero - 1.0).max(1.0 / 64.0);
    let mean = (4.0 * (excess.log2() + 6.0)).round().clamp(0.0, f64::from(MAX_INDEX)) as u32;
    (zero, mean)
}

/// Width of the Golomb code for the next frequency, from the last one of the same sign.
fn golomb_width(last: u32) -> u32 {
    (32 - last.leading_zeros()).saturating_sub(2)
}

fn write_counted(freqs: &[u32], top: u32, w: &mut BitWriter) {
    let mut last = [TOTAL / 2, TOTAL / 2];
    for (s, &f) in freqs[..used_symbols(top)].iter().enumerate() {
        w.put_golomb(f, golomb_width(last[s & 1]));
        last[s & 1] = f;
        if s == 0 {
            last[1] = f / 2;
            last[0] = f / 2;
        }
    }
}

fn read_counted(r: &mut BitReader, top: u32) -> Result<Vec<u32>> {
    let mut freqs = vec![0; SYMBOLS];
    let mut last = [TOTAL / 2, TOTAL / 2];
    let mut sum = 0u64;
    for (s, f) in freqs[..used_symbols(top)].iter_mut().enumerate() {
        *f = r.get_golomb(golomb_width(last[s & 1]))?;
        sum += u64::from(*f);
        last[s & 1] = *f;
        if s == 0 {
            last = [*f / 2; 2];
        }
    }
    if sum != u64::from(TOTAL) {
        return Err(Error::corruption(format!("a frequency table sums to {sum}, expected {TOTAL}")));
    }
    Ok(freqs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tables_come_back(counts in prop::collection::vec(prop_oneof![Just(0u32), 0..5u32, 0..100_000u32], SYMBOLS)) {
            let mut h = Histogram::default();
            h.counts.copy_from_slice(&counts);
            let mut w = BitWriter::default();
            let (table, _) = write(&h, &mut w);
            let bytes = w.finish();
            let back = read(&mut BitReader::new(&bytes)).unwrap();
            prop_assert_eq!(&back.slots, &table.slots);
            for (s, &c) in counts.iter().enumerate() {
                prop_assert!(c == 0 || table.encode[s].freq > 0, "symbol {} occurs but cannot be coded", s);
            }
        }

        #[test]
        fn geometric_tables_sum_to_the_total(zero in 0u32..64, mean in 0u32..64, top in 0u32..=MAX_TOP) {
            prop_assert_eq!(geometric(zero, mean, top).iter().sum::<u32>(), TOTAL);
        }

        #[test]
        fn hostile_tables_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(t) = read(&mut BitReader::new(&bytes)) {
                prop_assert!(t.slots.is_empty() || t.slots.len() == TOTAL as usize);
            }
        }
    }
}
