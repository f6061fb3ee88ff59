//! Bit streams, least significant bit first, for side information and for the low bits of large
//! residuals.

use crate::error::{Error, Result};

/// Collects bits.
#[derive(Default)]
pub struct BitWriter {
    out: Vec<u8>,
    word: u64,
    used: u32,
}

impl BitWriter {
    /// Appends the low `n` bits of `value`, n <= 32.
    #[inline]
    pub fn put(&mut self, value: u32, n: u32) {
        debug_assert!(n <= 32 && (n == 32 || value >> n == 0));
        self.word |= u64::from(value) << self.used;
        self.used += n;
        if self.used >= 32 {
            self.out.extend_from_slice(&(self.word as u32).to_le_bytes());
            self.word >>= 32;
            self.used -= 32;
        }
    }

    /// Appends a non-negative number in an Exp-Golomb code with `k` low bits sent plain.
    pub fn put_golomb(&mut self, value: u32, k: u32) {
        let v = (u64::from(value) >> k) + 1;
        let n = 63 - v.leading_zeros();
        self.put(0, n);
        self.put(1, 1);
        self.put((v ^ (1 << n)) as u32, n);
        self.put(value & ((1u64 << k) - 1) as u32, k);
    }

    /// The bytes, the last one padded with zeros.
    pub fn finish(mut self) -> Vec<u8> {
        let bytes = self.used.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.word.to_le_bytes()[..bytes]);
        self.out
    }
}

/// Reads what [`BitWriter`] wrote; the end of the input is an error.
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits read.
    at: usize,
}

impl<'a> BitReader<'a> {
    /// Starts at the first bit of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `n` bits, n <= 32.
    #[inline]
    pub fn get(&mut self, n: u32) -> Result<u32> {
        let rest = &self.bytes[self.at / 8..];
        let word = match rest.first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => {
                if self.at + n as usize > 8 * self.bytes.len() {
                    return Err(Error::corruption("a bit stream ends before all its numbers were read"));
                }
                rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
            }
        };
        let value = (word >> (self.at % 8)) & ((1u64 << n) - 1);
        self.at += n as usize;
        Ok(value as u32)
    }

    /// The bytes behind the one that holds the last bit read.
    pub fn rest(self) -> &'a [u8] {
        self.bytes.get(self.at.div_ceil(8)..).unwrap_or(&[])
    }

    /// A number that [`BitWriter::put_golomb`] wrote.
    pub fn get_golomb(&mut self, k: u32) -> Result<u32> {
        let mut n = 0;
        while self.get(1)? == 0 {
            n += 1;
            if n > 32 {
                return Err(Error::corruption("a number in a bit stream is too large"));
            }
        }
        let high = u64::from(self.get(n.min(32))?) | 1u64 << n;
        let value = ((high - 1) << k) | u64::from(self.get(k)?);
        u32::try_from(value).map_err(|_| Error::corruption("a number in a bit stream is too large"))
    }
}

/// Maps signed to unsigned numbers, small magnitudes first: 0, -1, 1, -2, 2, ...
#[inline]
pub fn zigzag(v: i32) -> u32 {
    ((v << 1) ^ (v >> 31)) as u32
}

/// Inverse of [`zigzag`].
#[inline]
pub fn unzigzag(u: u32) -> i32 {
    (u >> 1) as i32 ^ -((u & 1) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(values in prop::collection::vec((any::<u32>(), 0u32..33, 0u32..20), 0..200)) {
            let mut w = BitWriter::default();
            for &(v, n, k) in &values {
                w.put((u64::from(v) & ((1u64 << n) - 1)) as u32, n);
                w.put_golomb(v, k);
            }
            let bytes = w.finish();
            let mut r = BitReader::new(&bytes);
            for &(v, n, k) in &values {
                prop_assert_eq!(u64::from(r.get(n).unwrap()), u64::from(v) & ((1u64 << n) - 1));
                prop_assert_eq!(r.get_golomb(k).unwrap(), v);
            }
        }

        #[test]
        fn hostile_bits_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), k in 0u32..20) {
            let mut r = BitReader::new(&bytes);
            while r.get_golomb(k).is_ok() {}
        }

        #[test]
        fn zigzag_is_undone(v in any::<i32>()) {
            prop_assert_eq!(unzigzag(zigzag(v)), v);
        }
    }
}
