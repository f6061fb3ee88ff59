//! Special points in the stream: which they are, and their values, bit for bit. Most of them have one of few values (a fill
//! value, a field's floor); where each of these lies is told by a mask among the special points.

use crate::chunk::Frames;
use crate::error::{Error, Result};
use crate::marks::{self, coded};
use crate::number::Number;
use crate::scratch::Buffer;
use crate::stream::parts::{Reader, Writer};
use std::fmt;

/// Most values with a mask of their own that a reader accepts.
const MOST_LISTED: u8 = 8;
/// Most that a writer makes.
const LISTED: usize = 4;
/// Different values that are counted.
const COUNTED: usize = 16;
/// Points that a value must have to be listed.
const WORTH: usize = 64;
/// Flag: other values follow.
const HAS_OTHERS: u8 = 0x80;
/// Mark of points with a value that is not listed.
const OTHER: u8 = u8::MAX;

/// The special points of a chunk.
pub struct Exact {
    /// 0 at points that are not special, 1 at those with the first listed value, 2 with the second, ..., `OTHER` with others.
    pub marks: Buffer<u8>,
    /// Bits of the listed values, the rarest first.
    listed: Vec<u64>,
    /// The other values, little-endian one after the other.
    others: Vec<u8>,
}

impl Exact {
    /// The values of `raw` at the points that are marked in `mask`.
    pub fn of<N: Number>(mask: &[u8], raw: &[u8]) -> Self {
        let mut marks = Buffer::of(mask, |m| m);
        // First each value by its place among those counted.
        let mut counts: Vec<(u64, usize)> = vec![];
        let mut last = 0;
        for run in marks::runs(mask) {
            let values = raw[run.start * N::SIZE..run.end * N::SIZE].chunks_exact(N::SIZE);
            if let Some((bits, count)) = counts.get_mut(last) {
                // Mostly all of them are the same.
                if values.clone().fold(0, |differ, v| differ | (N::read(v).bits() ^ *bits)) == 0 {
                    *count += run.len();
                    marks[run].fill(last as u8 + 1);
                    continue;
                }
            }
            for (mark, v) in marks[run].iter_mut().zip(values) {
                let bits = N::read(v).bits();
                if counts.get(last).is_none_or(|c| c.0 != bits) {
                    last = counts.iter().position(|c| c.0 == bits).unwrap_or(counts.len());
                    if last == counts.len() && last < COUNTED {
                        counts.push((bits, 0));
                    }
                }
                *mark = match counts.get_mut(last) {
                    Some(c) => {
                        c.1 += 1;
                        last as u8 + 1
                    }
                    None => OTHER,
                };
            }
        }
        let few = counts.len() == 1;
        let mut order: Vec<usize> = (0..counts.len()).filter(|i| few || counts[*i].1 >= WORTH).collect();
        order.sort_by_key(|i| std::cmp::Reverse(counts[*i].1));
        order.truncate(LISTED);
        order.reverse();
        let mut place = [OTHER; 1 << u8::BITS];
        place[0] = 0;
        order.iter().zip(1..).for_each(|(i, n)| place[i + 1] = n);
        marks.iter_mut().for_each(|m| *m = place[usize::from(*m)]);
        let listed = order.iter().map(|i| counts[*i].0).collect();
        let mut others = vec![];
        if order.len() < counts.len() || marks.contains(&OTHER) {
            let all = marks.iter().zip(raw.chunks_exact(N::SIZE));
            all.filter(|(m, _)| **m == OTHER).for_each(|(_, v)| others.extend_from_slice(v));
        }
        Self { marks, listed, others }
    }

    /// Puts the values where they belong.
    pub fn put<N: Number>(&self, raw: &mut [u8]) {
        let mut others = &self.others[..];
        for run in marks::runs(&self.marks) {
            let values = &mut raw[run.start * N::SIZE..run.end * N::SIZE];
            if let ([only], []) = (&self.listed[..], &self.others[..]) {
                fill::<N>(values, *only);
                continue;
            }
            let mut at = 0;
            for same in self.marks[run].chunk_by(|a, b| a == b) {
                let values = &mut values[at * N::SIZE..][..same.len() * N::SIZE];
                at += same.len();
                match self.listed.get(usize::from(same[0]) - 1) {
                    Some(bits) => fill::<N>(values, *bits),
                    None => {
                        let (here, rest) = others.split_at_checked(values.len()).unwrap_or((others, &[]));
                        values[..here.len()].copy_from_slice(here);
                        others = rest;
                    }
                }
            }
        }
    }

    /// Appends the points and their values of `size` bytes.
    pub fn write(&self, w: &mut Writer, frames: &Frames, size: usize) {
        w.bytes(&coded::encode(&self.marks, None, frames));
        w.byte(self.listed.len() as u8 | if self.others.is_empty() { 0 } else { HAS_OTHERS });
        for (value, mark) in self.listed.iter().zip(1..) {
            w.out.extend_from_slice(&value.to_le_bytes()[..size]);
            // The last one is wherever no other is.
            if usize::from(mark) < self.listed.len() || !self.others.is_empty() {
                let own = Buffer::of(&self.marks, |m| u8::from(m == mark));
                let left = Buffer::of(&self.marks, |m| u8::from(m >= mark));
                w.bytes(&coded::encode(&own, Some(&left), frames));
            }
        }
        if !self.others.is_empty() {
            w.packed(&self.others);
        }
    }

    /// Inverse of [`Exact::write`].
    ///
    /// # Errors
    /// More or fewer values than special points.
    pub fn read(r: &mut Reader, frames: &Frames, size: usize) -> Result<Self> {
        let mut marks = coded::decode(r.bytes()?, None, frames)?;
        let kinds = r.byte()?;
        let (count, has_others) = (kinds & !HAS_OTHERS, kinds & HAS_OTHERS != 0);
        if count > MOST_LISTED || count == 0 && !has_others {
            return Err(Error::compatibility(format!(
                "special values of {kinds} kinds are unknown to this build"
            )));
        }
        let mut listed = vec![];
        for mark in 1..=count {
            let mut bits = [0; 8];
            bits[..size].copy_from_slice(r.take(size)?);
            listed.push(u64::from_le_bytes(bits));
            if mark < count || has_others {
                // Marks of those that are left become those of the next.
                let left = Buffer::of(&marks, |m| u8::from(m == mark));
                let own = coded::decode(r.bytes()?, Some(&left), frames)?;
                let next = if mark < count { mark + 1 } else { OTHER };
                for ((m, left), own) in marks.iter_mut().zip(&*left).zip(&*own) {
                    if left > own {
                        *m = next;
                    }
                }
            }
        }
        let mut others = vec![];
        if has_others {
            if count == 0 {
                marks.iter_mut().filter(|m| **m != 0).for_each(|m| *m = OTHER);
            }
            let left = marks.iter().filter(|m| **m == OTHER).count() * size;
            others = r.packed(left)?;
            if others.len() != left {
                return Err(Error::corruption("the special values do not match their mask"));
            }
        }
        Ok(Self { marks, listed, others })
    }
}

fn fill<N: Number>(values: &mut [u8], bits: u64) {
    let bytes = bits.to_le_bytes();
    values.chunks_exact_mut(N::SIZE).for_each(|v| v.copy_from_slice(&bytes[..N::SIZE]));
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} special points ({} values listed", marks::count(&self.marks), self.listed.len())?;
        let others = self.marks.iter().filter(|m| **m == OTHER).count();
        if others > 0 {
            write!(f, ", {others} others")?;
        }
        write!(f, ")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn special_points_come_back(
            runs in prop::collection::vec((0usize..30, 1usize..40, 0u8..40), 1..40), kinds in 1u8..40
        ) {
            let frames = Frames { steps: 3, levels: 2, height: 5, width: 20 };
            let (mut mask, mut raw) = (vec![], vec![]);
            for (apart, n, value) in runs {
                mask.extend(std::iter::repeat_n(0, apart).chain(std::iter::repeat_n(3, n)));
                raw.extend(std::iter::repeat_n([9, 9], apart).chain(std::iter::repeat_n([value % kinds, 200], n)));
            }
            mask.resize(600, 0);
            raw.resize(600, [7, 7]);
            mask[599] = 1;
            let raw = raw.concat();
            let exact = Exact::of::<u16>(&mask, &raw);
            let mut w = Writer::default();
            exact.write(&mut w, &frames, 2);
            let mut r = Reader::new(&w.out);
            let back = Exact::read(&mut r, &frames, 2).unwrap();
            r.finish().unwrap();
            prop_assert_eq!(&back.marks[..], &exact.marks[..]);
            for exact in [exact, back] {
                let mut values = vec![1; raw.len()];
                exact.put::<u16>(&mut values);
                for ((v, r), m) in values.chunks(2).zip(raw.chunks(2)).zip(&mask) {
                    prop_assert_eq!(v, if *m != 0 { r } else { &[1, 1] });
                }
            }
        }
    }

    #[test]
    fn a_value_of_all_points_takes_no_room() {
        let frames = Frames { steps: 4, levels: 1, height: 8, width: 16 };
        let mask: Vec<u8> = (0..512).map(|i| u8::from(i % 16 < 5)).collect();
        let raw: Vec<u8> =
            mask.iter().flat_map(|m| (if *m != 0 { f32::NAN } else { 1.0 }).to_le_bytes()).collect();
        let mut w = Writer::default();
        Exact::of::<f32>(&mask, &raw).write(&mut w, &frames, 4);
        assert!(w.out.len() < 24, "{} bytes", w.out.len());
    }
}
