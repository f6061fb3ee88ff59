//! Points that are marked by bytes, not 0 at each: special values, negative ones. What is marked mostly lies together (land,
//! the outside of a scan), so that eight points at a time are looked at.

use std::ops::Range;

pub mod coded;
#[cfg(target_arch = "x86_64")]
mod narrow;
#[cfg(target_arch = "x86_64")]
mod wide;

const ONES: u64 = 0x0101_0101_0101_0101;
const WORD: usize = 8;

/// Eight bytes, the first of them lowest.
#[inline]
fn word(bytes: &[u8; WORD]) -> u64 {
    u64::from_le_bytes(*bytes)
}

/// 1 in each byte that is not 0.
#[inline]
fn marked(word: u64) -> u64 {
    const LOW: u64 = 0x7f * ONES;
    (((word & LOW) + LOW) | word) >> 7 & ONES
}

/// How many are marked.
pub fn count(marks: &[u8]) -> usize {
    let (words, rest) = marks.as_chunks::<WORD>();
    let whole: usize = words.iter().map(|w| marked(word(w)).count_ones() as usize).sum();
    whole + rest.iter().filter(|m| **m != 0).count()
}

/// Marks that [`runs`] looks at together.
const MANY: usize = u64::BITS as usize;

/// A bit for each of the points from block `block` of [`MANY`] on that are marked, as many as there are.
#[inline]
fn bits(marks: &[u8], block: usize) -> u64 {
    /// Gathers the lowest bits of eight bytes in the highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let rest = &marks[block * MANY..];
    let few = |marks: &[u8]| marks.iter().rev().fold(0, |bits, m| bits << 1 | u64::from(*m != 0));
    let Some(many) = rest.first_chunk::<MANY>() else { return few(rest) };
    let (words, _) = many.as_chunks::<WORD>();
    words.iter().rev().fold(0, |bits, w| bits << 8 | marked(word(w)).wrapping_mul(GATHER) >> 56)
}

/// The runs of marked points.
pub fn runs(marks: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let blocks = marks.len().div_ceil(MANY);
    // The marked points of this block that no run had yet.
    let (mut block, mut left) = (0, if blocks > 0 { bits(marks, 0) } else { 0 });
    std::iter::from_fn(move || {
        while left == 0 {
            block += 1;
            if block >= blocks {
                return None;
            }
            left = bits(marks, block);
        }
        let first = left.trailing_zeros();
        let start = block * MANY + first as usize;
        // Points beyond the run's first one that end it.
        let mut ends = !(left | ((1 << first) - 1));
        while ends == 0 {
            block += 1;
            if block >= blocks {
                left = 0;
                return Some(start..marks.len());
            }
            left = bits(marks, block);
            ends = !left;
        }
        let end = ends.trailing_zeros();
        left &= !((1 << end) - 1);
        Some(start..(block * MANY + end as usize).min(marks.len()))
    })
}

/// Appends the elements of a row that are not marked, as many as there are marks; says how many.
pub fn keep(marks: &[u8], row: &[u8], out: &mut Vec<u8>) -> usize {
    let (start, row) = (out.len(), &row[..marks.len()]);
    out.resize(start + row.len(), 0);
    let to = &mut out[start..];
    let n = 'kept: {
        #[cfg(target_arch = "x86_64")]
        if crate::machine::compresses_bytes() {
            break 'kept wide::keep(marks, row, to);
        }
        #[cfg(target_arch = "x86_64")]
        if narrow::available() {
            break 'kept narrow::keep(marks, row, to);
        }
        keep_scalar(marks, row, to)
    };
    out.truncate(start + n);
    n
}

/// This defines what [`keep`] does; `to` is as long as the row.
fn keep_scalar(marks: &[u8], row: &[u8], to: &mut [u8]) -> usize {
    let mut n = 0;
    let mut scalar = |row: &[u8], marks: &[u8], n: &mut usize| {
        for (v, m) in row.iter().zip(marks) {
            // Written in any case, so that there is no branch.
            to[*n] = *v;
            *n += usize::from(*m == 0);
        }
    };
    let ((words, rest), (of, of_rest)) = (row.as_chunks::<WORD>(), marks[..row.len()].as_chunks::<WORD>());
    for (row, marks) in words.iter().zip(of) {
        // Whole words are the rule.
        if word(marks) != 0 {
            if marked(word(marks)) != ONES {
                scalar(row, marks, &mut n);
            }
            continue;
        }
        scalar(row, &[0; WORD], &mut n);
    }
    scalar(rest, of_rest, &mut n);
    n
}

/// Inverse of [`keep`]: the next of `kept` where nothing is marked, 0 elsewhere; says how many were used. `kept` has one more
/// than are used.
pub fn put_back(marks: &[u8], kept: &[u8], row: &mut [u8]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if crate::machine::compresses_bytes() {
        return wide::put_back(marks, kept, row);
    }
    #[cfg(target_arch = "x86_64")]
    if narrow::available() {
        return narrow::put_back(marks, kept, row);
    }
    put_back_scalar(marks, kept, row)
}

/// This defines what [`put_back`] does.
fn put_back_scalar(marks: &[u8], kept: &[u8], row: &mut [u8]) -> usize {
    let mut n = 0;
    let scalar = |row: &mut [u8], marks: &[u8], n: &mut usize| {
        for (v, m) in row.iter_mut().zip(marks) {
            let here = *m == 0;
            *v = if here { kept[*n] } else { 0 };
            *n += usize::from(here);
        }
    };
    let (of, of_rest) = marks[..row.len()].as_chunks::<WORD>();
    let (words, rest) = row.as_chunks_mut::<WORD>();
    for (row, marks) in words.iter_mut().zip(of) {
        let whole = kept.get(n..).and_then(|k| k.first_chunk::<WORD>());
        match (marked(word(marks)), whole) {
            (0, Some(next)) => {
                *row = *next;
                n += WORD;
            }
            (ONES, _) => *row = [0; WORD],
            _ => scalar(row, marks, &mut n),
        }
    }
    scalar(rest, of_rest, &mut n);
    n
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Marks that lie together, or not.
    fn marks() -> impl Strategy<Value = Vec<u8>> {
        let run = (prop_oneof![Just(0u8), Just(0), 1u8..=255], 1usize..30);
        prop::collection::vec(run, 0..20)
            .prop_map(|runs| runs.into_iter().flat_map(|(m, n)| std::iter::repeat_n(m, n)).collect())
    }

    proptest! {
        #[test]
        fn runs_are_those_of_marked_points(marks in marks()) {
            let mut found = vec![0; marks.len()];
            let mut last = None;
            for run in runs(&marks) {
                prop_assert!(!run.is_empty() && last.is_none_or(|l| l < run.start));
                last = Some(run.end);
                found[run].fill(1);
            }
            prop_assert_eq!(count(&marks), marks.iter().filter(|m| **m != 0).count());
            prop_assert_eq!(found, marks.iter().map(|m| u8::from(*m != 0)).collect::<Vec<_>>());
        }

        #[test]
        fn kept_elements_are_put_back(marks in marks(), seed in any::<u8>()) {
            let values: Vec<u8> = (0..marks.len()).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect();
            let (mut kept, mut back) = (vec![7], vec![9; values.len()]);
            let n = keep(&marks, &values, &mut kept);
            let expected: Vec<u8> = values.iter().zip(&marks).filter(|(_, m)| **m == 0).map(|(v, _)| *v).collect();
            prop_assert_eq!(&kept[1..], &expected[..]);
            prop_assert_eq!(kept.len(), n + 1);
            let mut scalar = vec![0; values.len()];
            let count = keep_scalar(&marks, &values, &mut scalar);
            prop_assert_eq!(&scalar[..count], &expected[..]);
            kept.push(0);
            let mut back_scalar = vec![9; values.len()];
            prop_assert_eq!(put_back_scalar(&marks, &kept[1..], &mut back_scalar), n);
            prop_assert_eq!(put_back(&marks, &kept[1..], &mut back), n);
            for ((b, v), m) in back.iter().zip(&values).zip(&marks) {
                prop_assert_eq!(*b, if *m == 0 { *v } else { 0 });
            }
            prop_assert_eq!(&back, &back_scalar);
            #[cfg(target_arch = "x86_64")]
            if narrow::available() {
                let (mut kept_narrow, mut back) = (vec![0; values.len()], vec![9; values.len()]);
                prop_assert_eq!(narrow::keep(&marks, &values, &mut kept_narrow), n);
                prop_assert_eq!(&kept_narrow[..n], &expected[..]);
                prop_assert_eq!(narrow::put_back(&marks, &kept[1..], &mut back), n);
                prop_assert_eq!(back, back_scalar);
            }
        }
    }
}
