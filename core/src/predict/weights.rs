//! Weights of the taps, as the stream carries them: tied by symmetry where that costs little, with as many
//! fraction bits as pay.

use super::taps::{base_taps, taps, Kind, Source, Tap};
use crate::entropy::bits::{unzigzag, zigzag, BitReader, BitWriter};
use crate::error::{Error, Result};
use crate::reference::MAX_REFERENCES;
use std::sync::OnceLock;

/// Which taps of a class share a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tying {
    /// No weights are sent: the mean of the base taps.
    Default,
    /// One weight per distance.
    Radial,
    /// One weight per |dy|, |dx|.
    Axial,
    /// A weight for each tap of a reference around the place itself, so that it may move; one per |dy|, |dx| elsewhere.
    Directed,
    /// The weights of the class that was sent last for the same kind and number of references.
    Repeat,
}

/// Largest squared distance of the taps around a place in a reference.
const AROUND: i32 = 2;

/// Every tying, in the order of its number in the stream (3 bits).
pub const TYINGS: [Tying; 5] = [Tying::Default, Tying::Radial, Tying::Axial, Tying::Directed, Tying::Repeat];

impl Tying {
    /// For each tap of a kind with so many references the number of its weight, and how many there are. Weights are
    /// numbered by the distance of their taps, those of a second reference as if it were farther away.
    pub fn groups(self, kind: Kind, references: usize) -> (&'static [usize], usize) {
        type Table = [[[OnceLock<(Vec<usize>, usize)>; 3]; MAX_REFERENCES + 1]; 4];
        static GROUPS: Table = [const { [const { [const { OnceLock::new() }; 3] }; MAX_REFERENCES + 1] }; 4];
        let number = match self {
            Tying::Default | Tying::Repeat => return (&[], 0),
            Tying::Radial => 0,
            Tying::Axial => 1,
            Tying::Directed => 2,
        };
        let (groups, count) =
            GROUPS[kind.phase()][references][number].get_or_init(|| self.number(taps(kind, references)));
        (groups, *count)
    }

    fn number(self, taps: &[Tap]) -> (Vec<usize>, usize) {
        let key = |t: &Tap| {
            let (source, far) = match t.source {
                Source::Space { .. } => (0, 0),
                Source::Reference(r) => (1 + r as i32, r as i32),
            };
            let distance = t.dy * t.dy + t.dx * t.dx;
            let (dy, dx) = match self {
                Tying::Axial => (t.dy.abs(), t.dx.abs()),
                Tying::Directed if source > 0 && distance <= AROUND => (t.dy, t.dx),
                Tying::Directed => (t.dy.abs(), t.dx.abs()),
                _ => (0, 0),
            };
            (distance + far, source, distance, dy, dx)
        };
        let mut keys: Vec<_> = taps.iter().map(key).collect();
        keys.sort_unstable();
        keys.dedup();
        let groups = taps.iter().map(|t| keys.partition_point(|k| *k < key(t))).collect();
        (groups, keys.len())
    }
}

/// Weights of one class as sent: `values[group]` / 2^`precision`, those of the groups beyond are 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// How the taps are tied.
    pub tying: Tying,
    /// Fraction bits of the values.
    pub precision: u32,
    /// The values of the leading groups, at least one unless the tying has none.
    pub values: Vec<i32>,
}

/// Largest precision of sent weights.
pub const MAX_PRECISION: u32 = 12;
/// Bits for a weight's Golomb parameter.
const GOLOMB_BITS: u32 = 4;
/// Bits for the number of weights, less one.
const COUNT_BITS: u32 = 6;

impl Sent {
    /// The class without weights of its own.
    pub fn none(tying: Tying) -> Self {
        Self { tying, precision: 0, values: vec![] }
    }

    /// Golomb parameter that suits the values.
    fn golomb(&self) -> u32 {
        let n = self.values.len().max(1) as u64;
        let mean = self.values.iter().map(|&v| u64::from(zigzag(v))).sum::<u64>() / n;
        (63 - (mean | 1).leading_zeros()).min((1 << GOLOMB_BITS) - 1)
    }

    /// Bits that [`Sent::write`] takes.
    pub fn bits(&self) -> u32 {
        if self.values.is_empty() {
            return 3;
        }
        let k = self.golomb();
        let golomb = |v: i32| {
            let high = 63 - ((u64::from(zigzag(v)) >> k) + 1).leading_zeros();
            2 * high + 1 + k
        };
        3 + COUNT_BITS + 4 + GOLOMB_BITS + self.values.iter().map(|&v| golomb(v)).sum::<u32>()
    }

    /// Appends the weights to the stream.
    pub fn write(&self, w: &mut BitWriter) {
        w.put(TYINGS.iter().position(|t| *t == self.tying).unwrap_or(0) as u32, 3);
        if self.values.is_empty() {
            return;
        }
        let k = self.golomb();
        w.put(self.values.len() as u32 - 1, COUNT_BITS);
        w.put(self.precision, 4);
        w.put(k, GOLOMB_BITS);
        for &v in &self.values {
            w.put_golomb(zigzag(v), k);
        }
    }

    /// Reads weights for a kind with so many references.
    pub fn read(r: &mut BitReader, kind: Kind, references: usize) -> Result<Self> {
        let code = r.get(3)? as usize;
        let tying = *TYINGS.get(code).ok_or_else(|| {
            Error::compatibility(format!("tying {code} of weights is unknown to this build"))
        })?;
        let (_, groups) = tying.groups(kind, references);
        if groups == 0 {
            return Ok(Self::none(tying));
        }
        let count = r.get(COUNT_BITS)? as usize + 1;
        if count > groups {
            return Err(Error::corruption(format!("{count} weights are stated for {groups} groups of taps")));
        }
        let precision = r.get(4)?;
        if precision > MAX_PRECISION {
            return Err(Error::corruption(format!(
                "weights have {precision} fraction bits, at most {MAX_PRECISION}"
            )));
        }
        let k = r.get(GOLOMB_BITS)?;
        let values = (0..count).map(|_| r.get_golomb(k).map(unzigzag)).collect::<Result<_>>()?;
        Ok(Self { tying, precision, values })
    }

    /// The taps with nonzero weight, with `shift` fraction bits. What the sum of the sent weights lacks to 1 goes
    /// to the base taps in equal parts, so that constants are predicted exactly.
    pub fn expand(&self, kind: Kind, references: usize, shift: u32) -> Vec<(Tap, i32)> {
        let (groups, _) = self.tying.groups(kind, references);
        let taps = taps(kind, references);
        let mut weights = vec![0i32; taps.len()];
        for (w, g) in weights.iter_mut().zip(groups) {
            let v = self.values.get(*g).copied().unwrap_or(0);
            *w = if shift >= self.precision {
                v.wrapping_shl(shift - self.precision)
            } else {
                v >> (self.precision - shift)
            };
        }
        let sum = weights.iter().fold(0i32, |s, w| s.wrapping_add(*w));
        let missing = (1i32 << shift).wrapping_sub(sum);
        let base = base_taps(kind).min(weights.len());
        let part = missing / base as i32;
        for w in &mut weights[..base] {
            *w = w.wrapping_add(part);
        }
        weights[0] = weights[0].wrapping_add(missing.wrapping_sub(part * base as i32));
        taps.iter().copied().zip(weights).filter(|(_, w)| *w != 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::taps::PASSES;

    #[test]
    fn sent_weights_come_back_and_sum_to_one() {
        for kind in PASSES.into_iter().chain([Kind::Root]) {
            for references in 0..=3 {
                let taps = taps(kind, references);
                if taps.is_empty() {
                    continue;
                }
                for tying in TYINGS {
                    let (_, groups) = tying.groups(kind, references);
                    let values: Vec<i32> =
                        (0..groups as i32 * 2 / 3).map(|i| (i * 37 - 200) * (i % 3)).collect();
                    let precision = if values.is_empty() { 0 } else { 9 };
                    let sent = Sent { tying, precision, values };
                    let mut w = BitWriter::default();
                    sent.write(&mut w);
                    let bytes = w.finish();
                    assert_eq!(bytes.len() as u32, sent.bits().div_ceil(8));
                    assert_eq!(Sent::read(&mut BitReader::new(&bytes), kind, references).unwrap(), sent);
                    for shift in [6, 12] {
                        let sum: i32 = sent.expand(kind, references, shift).iter().map(|t| t.1).sum();
                        assert_eq!(sum, 1 << shift);
                    }
                }
            }
        }
    }
}
