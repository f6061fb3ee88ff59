//! Parts of a payload: numbers of variable length and byte strings with their lengths, read with every length
//! checked.

use crate::error::{Error, Result};
use crate::lossless;

/// Collects a payload.
#[derive(Default)]
pub struct Writer {
    /// The bytes so far.
    pub out: Vec<u8>,
}

impl Writer {
    /// Appends a number, seven bits a byte, low ones first.
    pub fn number(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.out.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.out.push(v as u8);
    }

    /// Appends a signed number.
    pub fn signed(&mut self, v: i64) {
        self.number(((v << 1) ^ (v >> 63)) as u64);
    }

    /// Appends a byte.
    pub fn byte(&mut self, v: u8) {
        self.out.push(v);
    }

    /// Appends bytes with their number.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// Appends bytes compressed by zstd.
    pub fn packed(&mut self, bytes: &[u8]) {
        self.bytes(&lossless::deflate(bytes));
    }
}

/// Reads what [`Writer`] wrote.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn short() -> Error {
        Error::corruption("the payload ends inside its side information")
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.rest.split_first().ok_or_else(Self::short)?;
        self.rest = rest;
        Ok(*first)
    }

    /// The next number.
    pub fn number(&mut self) -> Result<u64> {
        let mut v = 0;
        for shift in (0..64).step_by(7) {
            let b = self.byte()?;
            v |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Ok(v);
            }
        }
        Err(Error::corruption("a number in the side information has too many bytes"))
    }

    /// The next signed number.
    pub fn signed(&mut self) -> Result<i64> {
        let v = self.number()?;
        Ok((v >> 1) as i64 ^ -((v & 1) as i64))
    }

    /// The next number, which must not exceed `most`; `what` names it in the error.
    pub fn at_most(&mut self, most: u64, what: &str) -> Result<u64> {
        let v = self.number()?;
        if v > most {
            return Err(Error::corruption(format!(
                "the stream states {v} {what}, at most {most} are possible"
            )));
        }
        Ok(v)
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or_else(Self::short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next byte string.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let n = usize::try_from(self.number()?).map_err(|_| Self::short())?;
        self.take(n)
    }

    /// The next compressed byte string, which must hold at most `limit` bytes.
    pub fn packed(&mut self, limit: usize) -> Result<Vec<u8>> {
        lossless::inflate(self.bytes()?, limit)
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Checks that nothing is left.
    pub fn finish(self) -> Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(Error::corruption(format!("{} bytes follow the payload's last part", self.rest.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_come_back(numbers in prop::collection::vec(any::<i64>(), 0..20), bytes in prop::collection::vec(any::<u8>(), 0..99)) {
            let mut w = Writer::default();
            for &n in &numbers {
                w.signed(n);
                w.number(n as u64);
            }
            w.bytes(&bytes);
            w.packed(&bytes);
            let mut r = Reader::new(&w.out);
            for &n in &numbers {
                prop_assert_eq!(r.signed().unwrap(), n);
                prop_assert_eq!(r.number().unwrap(), n as u64);
            }
            prop_assert_eq!(r.bytes().unwrap(), &bytes[..]);
            prop_assert_eq!(r.packed(99).unwrap(), bytes);
            r.finish().unwrap();
        }
    }
}
