//! Binary arithmetic coding with chances that adapt: a decision costs what it surprises, given what was decided in the same
//! context before. A range coder (Martin 1979) as in LZMA, with chances of 16 bits and learning rates of 1 / (n + 1.5).

/// Decisions of a context after which old ones begin to be forgotten.
const LIMIT: u32 = 255;
/// Bits of the count in a [`Chance`].
const COUNT_BITS: u32 = 10;
/// One, as a probability of 22 bits.
const ONE: u32 = 1 << (32 - COUNT_BITS);
/// No decision is taken to be more certain than this, in units of 2^-16.
const SUREST: u32 = 32;
/// What one decision counts for after n others, in units of 2^-16.
const RATES: [i64; LIMIT as usize + 1] = {
    let mut rates = [0; LIMIT as usize + 1];
    let mut n = 0;
    while n < rates.len() {
        rates[n] = (1 << 17) / (2 * n as i64 + 3);
        n += 1;
    }
    rates
};
/// Ranges are kept at least so wide.
const NARROW: u32 = 1 << 24;

/// Chance of a yes in a context: a probability of 22 bits above the number of decisions.
#[derive(Clone, Copy, Debug)]
pub struct Chance(u32);

impl Default for Chance {
    /// One half, and nothing seen.
    fn default() -> Self {
        Self((ONE / 2) << COUNT_BITS)
    }
}

impl Chance {
    /// In units of 2^-16, neither never nor always.
    #[inline(always)]
    fn get(self) -> u32 {
        (self.0 >> 16).clamp(SUREST, (1 << 16) - SUREST)
    }

    #[inline(always)]
    fn learn(&mut self, yes: bool) {
        let (p, n) = (self.0 >> COUNT_BITS, self.0 & ((1 << COUNT_BITS) - 1));
        let aim = if yes { i64::from(ONE - 1) } else { 0 };
        let moved = i64::from(p) + (((aim - i64::from(p)) * RATES[n as usize]) >> 16);
        self.0 = (moved as u32) << COUNT_BITS | (n + 1).min(LIMIT);
    }
}

/// Either half of the coder, so that one walk through what is to be decided serves both.
pub trait Decide {
    /// The width of what is possible.
    fn range(&mut self) -> &mut u32;

    /// Moves to the part below `bound` for a yes, above it for a no, and says which; `actual` is asked by the encoder only.
    fn part(&mut self, bound: u32, actual: impl FnOnce() -> bool) -> bool;

    /// Moves to the next byte.
    fn shift(&mut self);

    /// Decides, and learns from it. What the decision is, is asked by the encoder only.
    #[inline(always)]
    fn decide(&mut self, chance: &mut Chance, actual: impl FnOnce() -> bool) -> bool {
        let bound = (*self.range() >> 16) * chance.get();
        let yes = self.part(bound, actual);
        *self.range() = if yes { bound } else { *self.range() - bound };
        while *self.range() < NARROW {
            *self.range() <<= 8;
            self.shift();
        }
        chance.learn(yes);
        yes
    }
}

/// The encoder's half.
pub struct Encoder {
    low: u64,
    range: u32,
    /// The byte that a carry can still reach, if there is one, and how many of 255 follow it.
    held: Option<u8>,
    full: usize,
    out: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { low: 0, range: u32::MAX, held: None, full: 0, out: vec![] }
    }
}

impl Encoder {
    /// The bytes: the shortest that say it, as zeros follow them for ever.
    pub fn finish(mut self) -> Vec<u8> {
        let end = self.low + u64::from(self.range);
        let rounded = |n: u32| (self.low + (1 << n) - 1) >> n << n;
        self.low = (0..=32).rev().map(rounded).find(|v| *v < end).unwrap_or(self.low);
        (0..5).for_each(|_| self.shift());
        let used = self.out.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        self.out.truncate(used);
        self.out
    }
}

impl Decide for Encoder {
    #[inline(always)]
    fn range(&mut self) -> &mut u32 {
        &mut self.range
    }

    #[inline(always)]
    fn part(&mut self, bound: u32, actual: impl FnOnce() -> bool) -> bool {
        let yes = actual();
        if !yes {
            self.low += u64::from(bound);
        }
        yes
    }

    /// Moves the highest byte out.
    fn shift(&mut self) {
        let carry = (self.low >> 32) as u8;
        let top = (self.low >> 24) as u8;
        if carry == 0 && top == 255 {
            self.full += 1;
        } else {
            // The very first byte would only ever be a carry, which never comes: the code is below one.
            self.out.extend(self.held.map(|b| b.wrapping_add(carry)));
            self.out.extend(std::iter::repeat_n(255u8.wrapping_add(carry), self.full));
            (self.held, self.full) = (Some(top), 0);
        }
        self.low = (self.low & 0x00ff_ffff) << 8;
    }
}

/// The decoder's half.
pub struct Decoder<'a> {
    rest: &'a [u8],
    code: u32,
    range: u32,
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut new = Self { rest: bytes, code: 0, range: u32::MAX };
        (0..4).for_each(|_| new.shift());
        new
    }

    /// Whether all bytes were used.
    pub fn is_done(&self) -> bool {
        self.rest.is_empty()
    }
}

impl Decide for Decoder<'_> {
    #[inline(always)]
    fn range(&mut self) -> &mut u32 {
        &mut self.range
    }

    #[inline(always)]
    fn part(&mut self, bound: u32, _: impl FnOnce() -> bool) -> bool {
        let yes = self.code < bound;
        if !yes {
            self.code -= bound;
        }
        yes
    }

    /// Moves the next byte in.
    #[inline(always)]
    fn shift(&mut self) {
        let next = match self.rest {
            [first, rest @ ..] => {
                self.rest = rest;
                *first
            }
            [] => 0,
        };
        self.code = self.code << 8 | u32::from(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn coded(decisions: &[(bool, u8)]) -> Vec<u8> {
        let (mut encoder, mut chances) = (Encoder::default(), [Chance::default(); 4]);
        for (yes, context) in decisions {
            encoder.decide(&mut chances[usize::from(*context)], || *yes);
        }
        encoder.finish()
    }

    proptest! {
        #[test]
        fn decisions_come_back(decisions in prop::collection::vec((any::<bool>(), 0u8..4), 0..3000), odd in 1usize..40) {
            // Rare ones, too: long runs make bytes of 255 and carries.
            for decisions in [decisions.clone(), decisions.iter().enumerate().map(|(i, d)| (d.0 && i % odd == 0, d.1 / 3)).collect()] {
                let bytes = coded(&decisions);
                let (mut decoder, mut chances) = (Decoder::new(&bytes), [Chance::default(); 4]);
                for (yes, context) in &decisions {
                    prop_assert_eq!(decoder.decide(&mut chances[usize::from(*context)], || !yes), *yes);
                }
                prop_assert!(decoder.is_done());
            }
        }

        #[test]
        fn any_bytes_are_decisions(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            let (mut decoder, mut chance) = (Decoder::new(&bytes), Chance::default());
            (0..1000).for_each(|_| { decoder.decide(&mut chance, || false); });
        }
    }

    #[test]
    fn decisions_cost_what_they_surprise() {
        let rare = |n: u32| {
            coded(
                &(0..100_000u32)
                    .map(|i| (i.wrapping_mul(2_654_435_769) < u32::MAX / n, 0))
                    .collect::<Vec<_>>(),
            )
        };
        for n in [2, 10, 100, 1000] {
            let p = 1.0 / f64::from(n);
            let entropy = -(p * p.log2() + (1.0 - p) * (1.0 - p).log2()) * 100_000.0 / 8.0;
            let size = rare(n).len() as f64;
            assert!(size < 1.06 * entropy + 20.0, "{size} bytes for {entropy}");
        }
        assert!(coded(&[]).is_empty());
        // What is always no is nearly free.
        assert!(coded(&vec![(false, 0); 100_000]).len() < 20);
    }
}
