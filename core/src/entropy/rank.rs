//! Ranks: numbers replaced by their place in a table of how often each occurs, then zstd.
//!
//! Small ranks are frequent, which is what a general coder makes good use of. This is how TEZip codes differences (Roy
//! et al., CCGrid 2021, section III). Numbers that have no place in the table are listed apart.

use super::bits::{unzigzag, zigzag};
use crate::error::{Error, Result};
use crate::lossless::deflate;
use crate::stream::parts::{Reader, Writer};
use std::collections::HashMap;

/// Most numbers that have a rank: two bytes tell one from another, and those that have none.
const MAX_RANKS: usize = u16::MAX as usize;
/// Most numbers whose ranks are one byte.
const SMALL: usize = u8::MAX as usize;
/// Numbers up to this magnitude are counted in a table, others in a map.
const NEAR: i32 = 1 << 15;
/// Longest form of a number in bytes.
const NUMBER: usize = 5;

/// How often each number occurs.
struct Counts {
    near: Vec<u32>,
    far: HashMap<i32, u32>,
}

/// The rank of each number.
struct Ranks {
    near: Vec<u16>,
    far: HashMap<i32, u16>,
}

/// Place of a number in the tables of those near zero.
fn place(v: i32) -> Option<usize> {
    (-NEAR..NEAR).contains(&v).then(|| (v + NEAR) as usize)
}

impl Counts {
    fn of(values: &[i32]) -> Self {
        let mut out = Self { near: vec![0; 2 * NEAR as usize], far: HashMap::new() };
        for &v in values {
            match place(v) {
                Some(at) => out.near[at] += 1,
                None => *out.far.entry(v).or_default() += 1,
            }
        }
        out
    }

    /// The numbers that get a rank, the most frequent first; of equal ones the smallest.
    fn ranked(&self) -> Vec<i32> {
        let near = self.near.iter().enumerate().filter(|(_, n)| **n > 0);
        let mut all: Vec<(i32, u32)> = near.map(|(at, n)| (at as i32 - NEAR, *n)).collect();
        all.extend(self.far.iter().map(|(v, n)| (*v, *n)));
        all.sort_unstable_by_key(|&(v, n)| (u32::MAX - n, v));
        let mut most = all.len().min(MAX_RANKS);
        // What occurs once costs as much in the table as in the list.
        if most > SMALL {
            let often = all.partition_point(|(_, n)| *n > 1);
            most = most.min(often.max(SMALL));
        }
        all.truncate(most);
        all.into_iter().map(|(v, _)| v).collect()
    }
}

impl Ranks {
    /// Ranks in this order; the number of them is that of all others.
    fn new(ranked: &[i32]) -> Self {
        let none = ranked.len() as u16;
        let mut out = Self { near: vec![none; 2 * NEAR as usize], far: HashMap::new() };
        for (rank, &v) in ranked.iter().enumerate() {
            match place(v) {
                Some(at) => out.near[at] = rank as u16,
                None => {
                    out.far.insert(v, rank as u16);
                }
            }
        }
        out
    }

    fn of(&self, v: i32, none: u16) -> u16 {
        match place(v) {
            Some(at) => self.near[at],
            None => self.far.get(&v).copied().unwrap_or(none),
        }
    }
}

/// Appends numbers.
pub fn write(w: &mut Writer, values: &[i32]) {
    let ranked = Counts::of(values).ranked();
    let ranks = Ranks::new(&ranked);
    let none = ranked.len() as u16;
    let wide = ranked.len() > SMALL;
    let mut planes = vec![0u8; values.len() << u32::from(wide)];
    let (low, high) = planes.split_at_mut(values.len());
    let mut others = Writer::default();
    for (i, &v) in values.iter().enumerate() {
        let rank = ranks.of(v, none);
        low[i] = rank as u8;
        if wide {
            high[i] = (rank >> 8) as u8;
        }
        if rank == none {
            others.number(u64::from(zigzag(v)));
        }
    }
    let mut table = Writer::default();
    ranked.iter().for_each(|v| table.number(u64::from(zigzag(*v))));
    w.number(ranked.len() as u64);
    for part in [&table.out, &others.out, &planes] {
        w.bytes(&deflate(part));
    }
}

/// Reads `count` numbers.
///
/// # Errors
/// `Corruption` for what [`write`] does not write.
pub fn read(r: &mut Reader, count: usize) -> Result<Vec<i32>> {
    let size = r.at_most(MAX_RANKS as u64, "ranks")? as usize;
    let number = |r: &mut Reader| -> Result<i32> {
        Ok(unzigzag(r.at_most(u32::MAX.into(), "as a difference")? as u32))
    };
    let packed = r.packed(size * NUMBER)?;
    let mut table = Reader::new(&packed);
    let ranked = (0..size).map(|_| number(&mut table)).collect::<Result<Vec<i32>>>()?;
    table.finish()?;
    let packed = r.packed(count.saturating_mul(NUMBER))?;
    let mut others = Reader::new(&packed);
    let wide = size > SMALL;
    let planes = r.packed(count << u32::from(wide))?;
    if planes.len() != count << u32::from(wide) {
        return Err(Error::corruption(format!("{} bytes of ranks for {count} differences", planes.len())));
    }
    let (low, high) = planes.split_at(count);
    let mut out = Vec::with_capacity(count);
    for i in 0..count {
        let rank = usize::from(low[i]) | if wide { usize::from(high[i]) << 8 } else { 0 };
        out.push(match ranked.get(rank) {
            Some(v) => *v,
            None if rank == size => number(&mut others)?,
            None => return Err(Error::corruption(format!("rank {rank} of {size} does not exist"))),
        });
    }
    others.finish()?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[i32]) -> Vec<u8> {
        let mut w = Writer::default();
        write(&mut w, values);
        let mut r = Reader::new(&w.out);
        assert_eq!(read(&mut r, values.len()).unwrap(), values);
        r.finish().unwrap();
        w.out
    }

    proptest! {
        #[test]
        fn numbers_come_back(few in prop::collection::vec(-3i32..3, 0..500), any in prop::collection::vec(any::<i32>(), 0..300)) {
            round_trip(&few);
            round_trip(&any);
            round_trip(&[few, any].concat());
        }

        #[test]
        fn damage_is_an_error_or_other_numbers(values in prop::collection::vec(-300i32..300, 1..400), at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut w = Writer::default();
            write(&mut w, &values);
            let at = at.index(w.out.len());
            w.out[at] = to;
            let _ = read(&mut Reader::new(&w.out), values.len());
            let _ = read(&mut Reader::new(&w.out[..at]), values.len()).unwrap_err();
        }
    }

    #[test]
    fn tables_of_every_size_come_back() {
        for distinct in [1, 2, 254, 255, 256, 257, 65_534, 65_535, 65_536, 70_000] {
            let values: Vec<i32> = (0..2 * distinct).map(|i| (i % distinct) * 3 - 100_000).collect();
            round_trip(&values);
        }
        assert!(round_trip(&[7; 100_000]).len() < 100);
    }
}
