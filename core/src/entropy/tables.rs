//! Symbol frequencies per context: counted, or a two-sided geometric distribution (the discretised Laplace
//! distribution) with its own probability of zero, whichever costs fewer bits together with the data.
//! Everything here that a decoder runs is integer arithmetic.

use super::bits::{BitReader, BitWriter};
use super::quiet::{self, Quiet};
use super::slots::{DecodeTables, EncodeTables, STRIDE, TOTAL, TOTAL_BITS};
use super::{CLASSES, DIRECT, DIRECT_SYMBOLS, SYMBOLS};
use crate::error::{Error, Result};
use std::sync::LazyLock;

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
    #[cfg(test)]
    pub fn add(&mut self, symbol: u8) {
        self.counts[symbol as usize] += 1;
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (a, b) in self.counts.iter_mut().zip(&other.counts) {
            *a += b;
        }
    }

    /// Number of symbols counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|&c| u64::from(c)).sum()
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

/// Histograms of the contexts 0 to `count` - 1.
pub fn histograms(symbols: &[u8], contexts: &[u8], count: usize) -> Vec<Histogram> {
    /// Symbols that are looked at together, and those that tell whether to look.
    const FEW: usize = 8;
    const MANY: usize = 1024;
    // Neighbours are often alike: counting them in turns keeps one count from waiting for the other.
    let mut counts = vec![[0u32; STRIDE]; 2 * count.max(1)];
    let (even, odd) = counts.split_at_mut(count.max(1));
    let last = even.len() - 1;
    let mut alike = [0u32; 256];
    let add = |half: &mut [[u32; STRIDE]], s: u8, c: u8| {
        half[usize::from(c).min(last)][usize::from(s) % STRIDE] += 1;
    };
    for (symbols, contexts) in symbols.chunks(MANY).zip(contexts.chunks(MANY)) {
        let (groups, mut rest) = symbols.as_chunks::<FEW>();
        let (context_groups, mut context_rest) = contexts.as_chunks::<FEW>();
        let zeros = groups.iter().filter(|&s| *s == [0; FEW]).count();
        if 5 * zeros >= 4 * groups.len() {
            // Where nearly all is 0, most groups are alike.
            for (s, c) in groups.iter().zip(context_groups) {
                if *s == [0; FEW] && *c == [c[0]; FEW] {
                    alike[usize::from(c[0])] += FEW as u32;
                } else {
                    s.iter().zip(c).for_each(|(s, c)| add(even, *s, *c));
                }
            }
        } else {
            let (pairs, context_pairs);
            ((pairs, rest), (context_pairs, context_rest)) =
                (symbols.as_chunks::<2>(), contexts.as_chunks::<2>());
            for (s, c) in pairs.iter().zip(context_pairs) {
                add(even, s[0], c[0]);
                add(odd, s[1], c[1]);
            }
        }
        for (s, c) in rest.iter().zip(context_rest) {
            add(even, *s, *c);
        }
    }
    for (n, c) in alike.into_iter().zip(0..) {
        even[usize::min(c, last)][0] += n;
    }
    let sum =
        |(a, b): (&[u32; STRIDE], &[u32; STRIDE])| Histogram { counts: std::array::from_fn(|s| a[s] + b[s]) };
    even.iter().zip(&*odd).map(sum).take(count).collect()
}

/// The histograms of several parts together.
pub fn merged<'a>(parts: impl Iterator<Item = &'a [Histogram]>) -> Vec<Histogram> {
    let mut all: Vec<Histogram> = vec![];
    for part in parts {
        all.resize(all.len().max(part.len()), Histogram::default());
        for (a, b) in all.iter_mut().zip(part) {
            a.merge(b);
        }
    }
    all
}

/// Frequencies of all symbols.
pub type Freqs = [u32; SYMBOLS];

/// Frequencies as counted.
pub fn counted(h: &Histogram) -> Freqs {
    let used = h.counts.iter().rposition(|&c| c > 0).map_or(0, |s| s + 1);
    let weights = std::array::from_fn(|s| u64::from(h.counts[s]));
    normalise(&weights, used, |s| h.counts[s] > 0)
}

/// Frequencies proportional to the first `used` weights that sum to TOTAL, at least 1 where `allowed`. The weights are
/// below 2^48.
fn normalise(weights: &[u64; SYMBOLS], used: usize, allowed: impl Fn(usize) -> bool) -> Freqs {
    let sum = weights[..used].iter().sum::<u64>().max(1);
    let mut freqs = [0; SYMBOLS];
    for s in (0..used).filter(|&s| allowed(s)) {
        freqs[s] = ((weights[s] * u64::from(TOTAL) / sum) as u32).max(1);
    }
    // Whatever rounding left over or took too much goes to or comes from the largest.
    loop {
        let total: u32 = freqs[..used].iter().sum();
        let largest = (0..used).max_by_key(|&s| (freqs[s], usize::MAX - s)).unwrap_or(0);
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

/// start, start * step, start * step^2, ...
fn powers(start: u64, step: u64) -> [u64; MAX_INDEX as usize + 1] {
    let mut p = start;
    std::array::from_fn(|_| {
        let this = p;
        p = mul(p, step);
        this
    })
}

/// Probability of a nonzero symbol by index.
static NONZERO: LazyLock<[u64; MAX_INDEX as usize + 1]> = LazyLock::new(|| powers(ONE, NONZERO_STEP));
/// Mean magnitude beyond 1 by index.
static MEAN: LazyLock<[u64; MAX_INDEX as usize + 1]> = LazyLock::new(|| powers(ONE >> 6, MEAN_STEP));

/// Frequencies of the geometric distribution with parameter indices `zero` (probability of a nonzero symbol:
/// 2^(-zero/5)) and `mean` (mean magnitude beyond 1 of the nonzero ones: 2^(mean/4 - 6)).
fn geometric(zero: u32, mean: u32, top: u32) -> Freqs {
    let nonzero = NONZERO[zero.min(MAX_INDEX) as usize];
    let m = MEAN[mean.min(MAX_INDEX) as usize];
    let ratio = ((u128::from(m) << 32) / u128::from(m + ONE)) as u64;
    let used = used_symbols(top);
    let mut weights = [0u64; SYMBOLS];
    weights[0] = (ONE - nonzero) << 8;
    let part = |p: u64| mul(p, nonzero) << 7;
    let mut tail = ONE; // ratio^(k-1): the share of magnitudes k and beyond
    for pair in weights[1..used.min(DIRECT_SYMBOLS)].chunks_exact_mut(2) {
        let next = mul(tail, ratio);
        pair.fill(part(tail - next));
        tail = next;
    }
    // ratio^(2^n) and ratio^(2^(n+1) - 1), behind the direct magnitudes.
    let (direct, mut power, mut product) = (tail, ratio, ratio);
    for pair in weights[used.min(DIRECT_SYMBOLS)..used].chunks_exact_mut(2) {
        let next = mul(direct, product).min(tail);
        pair.fill(part(tail - next));
        tail = next;
        power = mul(power, power);
        product = mul(product, power);
    }
    normalise(&weights, used, |_| true)
}

/// Bits for a symbol by its frequency, in units of 2^-16.
static BITS: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let bits = |f: u32| f64::from(TOTAL_BITS) - f64::from(f.max(1)).log2();
    (0..=TOTAL).map(|f| (65536.0 * bits(f)).round() as u32).collect()
});

/// Bits that coding `h` with `freqs` takes, in units of 2^-16.
fn cost(h: &Histogram, freqs: &Freqs, top: u32) -> u64 {
    let bits = &*BITS;
    let used = used_symbols(top);
    h.counts[..used].iter().zip(freqs).map(|(&c, &f)| u64::from(c) * u64::from(bits[f as usize])).sum()
}

/// Chooses and writes the frequencies for `h`; none where nothing was counted.
fn write_one(h: &Histogram, w: &mut BitWriter) -> Option<Freqs> {
    let Some(top) = h.top() else {
        w.put(0, 1);
        return None;
    };
    w.put(1, 1);
    w.put(top, 6);
    let (zero, mean) = fit_geometric(h, top);
    let parametric = geometric(zero, mean, top);
    let counted = counted(h);
    let side = u64::from(counted_bits(&counted, top)) << 16;
    if cost(h, &parametric, top) + (12 << 16) <= cost(h, &counted, top) + side {
        w.put(1, 1);
        w.put(zero, 6);
        w.put(mean, 6);
        Some(parametric)
    } else {
        w.put(0, 1);
        code_counted(&counted, top, |f, k| w.put_golomb(f, k));
        Some(counted)
    }
}

/// Chooses and writes the tables of all contexts, and of those behind them if some are quiet.
pub fn write(histograms: &[Histogram], quiet: &Quiet, w: &mut BitWriter) -> EncodeTables {
    let mut tables = EncodeTables::default();
    quiet.write(w);
    for (h, context) in histograms.iter().zip(0..=u8::MAX) {
        if let Some(freqs) = write_one(h, w) {
            tables.set(context, &freqs);
        }
    }
    tables
}

/// Reads frequencies that [`write_one`] wrote.
fn read_one(r: &mut BitReader) -> Result<Option<Freqs>> {
    if r.get(1)? == 0 {
        return Ok(None);
    }
    let top = r.get(6)?;
    if top > MAX_TOP {
        return Err(Error::corruption(format!(
            "a frequency table goes up to {top}, at most {MAX_TOP} is possible"
        )));
    }
    if r.get(1)? == 1 {
        let (zero, mean) = (r.get(6)?, r.get(6)?);
        Ok(Some(geometric(zero, mean, top)))
    } else {
        read_counted(r, top).map(Some)
    }
}

/// Reads the tables of the contexts 0 to `count` - 1 that [`write`] wrote.
pub fn read(r: &mut BitReader, count: usize) -> Result<DecodeTables> {
    let mut tables = DecodeTables::default();
    let quiet = Quiet::read(r, count)?;
    let behind = if quiet.any() { quiet::TABLES } else { 0 };
    for context in (0..=u8::MAX).take(count + behind) {
        if let Some(freqs) = read_one(r)? {
            tables.set(context, &freqs);
        }
    }
    tables.quiet = quiet.any().then_some(quiet);
    Ok(tables)
}

/// Parameter indices of the geometric distribution nearest to the counts (method of moments).
fn fit_geometric(h: &Histogram, top: u32) -> (u32, u32) {
    let counts = &h.counts[..used_symbols(top)];
    let total: f64 = counts.iter().map(|&c| f64::from(c)).sum();
    let nonzero = (total - f64::from(counts[0])).max(0.25);
    let zero = (-5.0 * (nonzero / total).log2()).round().clamp(0.0, f64::from(MAX_INDEX)) as u32;
    let value = |s: usize| match magnitude(s) {
        m if m <= DIRECT => f64::from(m),
        m => f64::from(DIRECT) + 1.5 * (1u64 << (m - DIRECT - 1)) as f64,
    };
    let sum: f64 = counts.iter().enumerate().skip(1).map(|(s, &c)| f64::from(c) * value(s)).sum();
    let excess = (sum / nonzero - 1.0).max(1.0 / 64.0);
    let mean = (4.0 * (excess.log2() + 6.0)).round().clamp(0.0, f64::from(MAX_INDEX)) as u32;
    (zero, mean)
}

/// Width of the Golomb code for the next frequency, from the last one of the same sign.
fn golomb_width(last: u32) -> u32 {
    (32 - last.leading_zeros()).saturating_sub(2)
}

/// Hands each counted frequency with the parameter of its Golomb code to `put`.
fn code_counted(freqs: &Freqs, top: u32, mut put: impl FnMut(u32, u32)) {
    let mut last = [TOTAL / 2; 2];
    for (s, &f) in freqs[..used_symbols(top)].iter().enumerate() {
        put(f, golomb_width(last[s & 1]));
        last[s & 1] = f;
        if s == 0 {
            last = [f / 2; 2];
        }
    }
}

/// Bits of the counted frequencies.
fn counted_bits(freqs: &Freqs, top: u32) -> u32 {
    let mut bits = 0;
    code_counted(freqs, top, |f, k| bits += 2 * ((f >> k) + 1).ilog2() + 1 + k);
    bits
}

fn read_counted(r: &mut BitReader, top: u32) -> Result<Freqs> {
    let mut freqs = [0; SYMBOLS];
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
            let written = write_one(&h, &mut w);
            let bytes = w.finish();
            prop_assert_eq!(read_one(&mut BitReader::new(&bytes)).unwrap(), written);
            for (s, &c) in counts.iter().enumerate() {
                prop_assert!(c == 0 || written.unwrap()[s] > 0, "symbol {} occurs but cannot be coded", s);
            }
        }

        #[test]
        fn every_symbol_is_counted(pairs in prop::collection::vec((0..SYMBOLS as u8, 0u8..5), 0..300)) {
            let (symbols, contexts): (Vec<u8>, Vec<u8>) = pairs.iter().copied().unzip();
            let mut expected = vec![Histogram::default(); 5];
            pairs.iter().for_each(|(s, c)| expected[usize::from(*c)].add(*s));
            for (a, b) in histograms(&symbols, &contexts, 5).iter().zip(&expected) {
                prop_assert_eq!(a.counts, b.counts);
            }
        }

        #[test]
        fn geometric_tables_sum_to_the_total(zero in 0u32..64, mean in 0u32..64, top in 0u32..=MAX_TOP) {
            prop_assert_eq!(geometric(zero, mean, top).iter().sum::<u32>(), TOTAL);
        }

        #[test]
        fn hostile_tables_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some(freqs)) = read_one(&mut BitReader::new(&bytes)) {
                prop_assert_eq!(freqs.iter().sum::<u32>(), TOTAL);
            }
        }
    }
}
