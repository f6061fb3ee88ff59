//! Runs of zeros: contexts in which nearly all symbols are 0 are *quiet*. The symbols of a row that stand in quiet
//! contexts are put together, by class of quietness, and cut into blocks of [`BLOCK`]; one symbol says how many zeros a
//! block begins with. What follows in the block, and all other symbols, are coded as ever. Because symbols of one class
//! are alike, this loses next to nothing where zeros are independent of each other and gains where they are not; and
//! regions of zeros are decoded by filling memory.

use super::bits::{BitReader, BitWriter};
use super::sift::{classify, join, split};
use super::tables::{histograms, Histogram};
use crate::error::{Error, Result};

/// Symbols of a block.
pub const BLOCK: usize = 32;
/// Classes of contexts: 0 is not quiet.
pub const CLASSES: usize = 3;
/// Tables behind those of the contexts: of the zeros that a block begins with, for each quiet class, and of the symbols
/// that end them.
pub const TABLES: usize = CLASSES;
/// Share of zeros from which on a context is quiet, most quiet first, in thousandths.
const SHARES: [u64; CLASSES - 1] = [998, 980];
/// Symbols from which on it pays to look.
const FEW: u64 = 256;

/// Which contexts are quiet.
#[derive(Clone, Debug, PartialEq)]
pub struct Quiet {
    /// Class of each context.
    classes: [u8; 256],
    /// Number of contexts.
    count: usize,
}

impl Default for Quiet {
    fn default() -> Self {
        Self { classes: [0; 256], count: 0 }
    }
}

/// Symbols in the order in which they are coded.
#[derive(Default)]
pub struct Coded {
    /// Symbols.
    pub symbols: Vec<u8>,
    /// Contexts, and tables behind them.
    pub contexts: Vec<u8>,
    /// Lengths of the rows.
    pub rows: Vec<u32>,
    /// Histogram of each context and of the tables behind them.
    pub histograms: Vec<Histogram>,
}

impl Quiet {
    /// Classes for these histograms of contexts; none where too few symbols are in quiet ones to pay.
    pub fn choose(histograms: &[Histogram]) -> Self {
        let mut quiet = Self { count: histograms.len(), ..Self::default() };
        let (mut all, mut zeros) = (0, 0);
        for (h, class) in histograms.iter().zip(&mut quiet.classes) {
            let (total, zero) = (h.total(), u64::from(h.counts[0]));
            let shares = SHARES.iter().position(|share| 1000 * zero >= share * total);
            if let Some(s) = shares.filter(|_| total >= FEW) {
                *class = 1 + s as u8;
                zeros += zero;
            }
            all += total;
        }
        if 5 * zeros < 3 * all {
            quiet.classes.fill(0);
        }
        quiet
    }

    /// Whether any context is quiet.
    #[inline]
    pub fn any(&self) -> bool {
        self.classes.iter().any(|&c| c > 0)
    }

    /// Table of the zeros that blocks of a quiet class begin with.
    #[inline]
    pub fn zeros_table(&self, class: usize) -> u8 {
        (self.count + class - 1) as u8
    }

    /// Table of the symbols that end them.
    #[inline]
    pub fn end_table(&self) -> u8 {
        self.zeros_table(CLASSES)
    }

    /// Appends the classes: runs of contexts of the same one.
    pub fn write(&self, w: &mut BitWriter) {
        w.put(u32::from(self.any()), 1);
        if self.any() {
            let mut rest = &self.classes[..self.count];
            while let Some((&class, _)) = rest.split_first() {
                let n = rest.iter().take_while(|&&c| c == class).count();
                w.put(u32::from(class), 2);
                w.put_golomb(n as u32 - 1, 2);
                rest = &rest[n..];
            }
        }
    }

    /// Reads the classes of `count` contexts.
    pub fn read(r: &mut BitReader, count: usize) -> Result<Self> {
        let mut quiet = Self { count, ..Self::default() };
        if r.get(1)? == 1 {
            let mut at = 0;
            while at < count {
                let class = r.get(2)? as u8;
                if usize::from(class) >= CLASSES {
                    return Err(Error::corruption("a context is quieter than any can be"));
                }
                let n = r.get_golomb(2)? as usize + 1;
                let run = quiet.classes[..count]
                    .get_mut(at..at.saturating_add(n))
                    .ok_or_else(|| Error::corruption("more contexts are quiet than there are"))?;
                run.fill(class);
                at += n;
            }
        }
        Ok(quiet)
    }

    /// Brings the symbols of rows in the order in which they are coded.
    pub fn arrange(&self, symbols: &[u8], contexts: &[u8], rows: &[u32]) -> Coded {
        let mut out = Coded::default();
        let mut room = Arranging::default();
        let mut rest = (symbols, contexts);
        for &n in rows {
            let (symbols, contexts);
            ((symbols, rest.0), (contexts, rest.1)) =
                (rest.0.split_at(n as usize), rest.1.split_at(n as usize));
            if room.contexts.sift(self, contexts) {
                room.symbols.room(symbols.len());
                split(&room.contexts.classes, symbols, &mut room.symbols.lists);
                self.arrange_row(&mut room, &mut out);
            } else {
                out.add(symbols, contexts);
            }
        }
        out.histograms =
            histograms(&out.symbols, &out.contexts, self.count + if self.any() { TABLES } else { 0 });
        out
    }

    fn arrange_row(&self, room: &mut Arranging, out: &mut Coded) {
        let Arranging { symbols, contexts, ends, main_symbols, main_contexts } = room;
        ends.clear();
        main_contexts.clear();
        main_contexts.extend_from_slice(contexts.list(0));
        main_symbols.clear();
        main_symbols.extend_from_slice(&symbols.lists[0][..main_contexts.len()]);
        let before = out.symbols.len();
        for class in 1..CLASSES {
            let contexts = contexts.list(class);
            let (blocks, tail) = symbols.lists[class][..contexts.len()].as_chunks::<BLOCK>();
            let (block_contexts, tail_contexts) = contexts.as_chunks::<BLOCK>();
            out.contexts.resize(out.contexts.len() + blocks.len(), self.zeros_table(class));
            for (s, c) in blocks.iter().zip(block_contexts) {
                if *s == [0; BLOCK] {
                    out.symbols.push(0);
                } else if let Some(k) = s.iter().position(|&s| s != 0) {
                    out.symbols.push(k as u8 + 1);
                    ends.push(s[k]);
                    main_symbols.extend_from_slice(&s[k + 1..]);
                    main_contexts.extend_from_slice(&c[k + 1..]);
                }
            }
            main_symbols.extend_from_slice(tail);
            main_contexts.extend_from_slice(tail_contexts);
        }
        out.rows.push((out.symbols.len() - before) as u32);
        out.symbols.extend_from_slice(ends);
        out.contexts.resize(out.symbols.len(), self.end_table());
        out.rows.push(ends.len() as u32);
        out.add(main_symbols, main_contexts);
    }
}

/// What arranging a row needs.
#[derive(Default)]
struct Arranging {
    symbols: Sifted,
    contexts: Sifted,
    ends: Vec<u8>,
    main_symbols: Vec<u8>,
    main_contexts: Vec<u8>,
}

impl Coded {
    fn add(&mut self, symbols: &[u8], contexts: &[u8]) {
        self.symbols.extend_from_slice(symbols);
        self.contexts.extend_from_slice(contexts);
        self.rows.push(symbols.len() as u32);
    }
}

/// The bytes of a row by class.
#[derive(Default)]
pub struct Sifted {
    /// Class of each.
    pub classes: Vec<u8>,
    /// Those of each class, with room behind.
    pub lists: [Vec<u8>; CLASSES],
    /// How many of each class there are.
    pub counts: [usize; CLASSES],
}

impl Sifted {
    /// Bytes of room behind the lists.
    const ROOM: usize = 64;

    /// Makes room for a row of `n`.
    pub fn room(&mut self, n: usize) {
        for list in &mut self.lists {
            if list.len() < n + Self::ROOM {
                list.resize(n + Self::ROOM, 0);
            }
        }
    }

    /// Sifts the contexts of a row; whether there is a block of quiet ones.
    pub fn sift(&mut self, quiet: &Quiet, contexts: &[u8]) -> bool {
        if contexts.len() < BLOCK {
            return false;
        }
        self.room(contexts.len());
        self.classes.resize(contexts.len(), 0);
        self.counts = classify(&quiet.classes, contexts, &mut self.classes, &mut self.lists);
        self.counts[1..].iter().any(|&n| n >= BLOCK)
    }

    /// Those of one class.
    pub fn list(&self, class: usize) -> &[u8] {
        &self.lists[class][..self.counts[class]]
    }
}

/// What decoding a row with quiet contexts needs.
#[derive(Default)]
pub struct Room {
    /// The row's contexts by class.
    pub sifted: Sifted,
    contexts: Vec<u8>,
    zeros: Vec<u8>,
    ends: Vec<u8>,
    main: Vec<u8>,
}

impl Room {
    /// Decodes the row whose contexts were sifted; `plain` decodes the symbols for contexts that it is given.
    pub fn decode(&mut self, quiet: &Quiet, mut plain: impl FnMut(&[u8], &mut [u8]), symbols: &mut [u8]) {
        let sifted = &mut self.sifted;
        let contexts = &mut self.contexts;
        contexts.clear();
        for class in 1..CLASSES {
            contexts.resize(contexts.len() + sifted.counts[class] / BLOCK, quiet.zeros_table(class));
        }
        self.zeros.resize(contexts.len(), 0);
        plain(contexts, &mut self.zeros);

        contexts.clear();
        contexts.resize(self.zeros.iter().filter(|&&z| z != 0).count(), quiet.end_table());
        self.ends.resize(contexts.len(), 0);
        plain(contexts, &mut self.ends);

        contexts.clear();
        contexts.extend_from_slice(sifted.list(0));
        let mut zeros = &self.zeros[..];
        for class in 1..CLASSES {
            let (blocks, tail) = sifted.list(class).as_chunks::<BLOCK>();
            let (of_class, rest) = zeros.split_at(blocks.len());
            zeros = rest;
            for (block, z) in blocks.iter().zip(of_class) {
                if *z != 0 {
                    // Damaged streams may state more zeros than there are.
                    contexts.extend_from_slice(&block[usize::from(*z).min(BLOCK)..]);
                }
            }
            contexts.extend_from_slice(tail);
        }
        self.main.resize(contexts.len(), 0);
        plain(contexts, &mut self.main);

        let (first, mut main) = self.main.split_at(sifted.counts[0]);
        sifted.lists[0][..first.len()].copy_from_slice(first);
        let (mut zeros, mut ends) = (self.zeros.iter(), self.ends.iter());
        for class in 1..CLASSES {
            let list = &mut sifted.lists[class][..sifted.counts[class]];
            list.fill(0);
            let (blocks, tail) = list.as_chunks_mut::<BLOCK>();
            for (block, z) in blocks.iter_mut().zip(&mut zeros) {
                if *z != 0 {
                    let (head, place) = block.split_at_mut(usize::from(*z).min(BLOCK));
                    if let (Some(last), Some(end)) = (head.last_mut(), ends.next()) {
                        *last = *end;
                    }
                    let (here, rest) = main.split_at(place.len());
                    place.copy_from_slice(here);
                    main = rest;
                }
            }
            let (here, rest) = main.split_at(tail.len());
            tail.copy_from_slice(here);
            main = rest;
        }
        join(&sifted.classes, &sifted.lists, symbols);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::rans::{encode, Decoder};
    use crate::entropy::tables;
    use proptest::prelude::*;

    /// Rows with runs of zeros and of contexts.
    fn rows() -> impl Strategy<Value = Vec<Vec<(u8, u8)>>> {
        let run = (0u8..6, 1usize..90, any::<bool>(), prop::collection::vec((0u8..4, 0u8..6), 0..5));
        let runs = prop::collection::vec(run, 0..8).prop_map(|runs| {
            let mut row = vec![];
            for (context, n, calm, noise) in runs {
                row.extend((0..n).map(|i| (if calm { 0 } else { (i % 7 / 5) as u8 }, context)));
                row.extend(noise);
            }
            row
        });
        prop::collection::vec(runs, 1..12)
    }

    proptest! {
        #[test]
        fn rows_with_quiet_contexts_come_back(rows in rows(), classes in prop::collection::vec(0u8..CLASSES as u8, 6)) {
            let mut quiet = Quiet { count: 6, ..Quiet::default() };
            quiet.classes[..6].copy_from_slice(&classes);
            let (symbols, contexts): (Vec<u8>, Vec<u8>) = rows.iter().flatten().copied().unzip();
            let lengths: Vec<u32> = rows.iter().map(|r| r.len() as u32).collect();
            let coded = quiet.arrange(&symbols, &contexts, &lengths);
            // At worst every block begins with a symbol that is not 0.
            prop_assert!(coded.symbols.len() <= symbols.len() + symbols.len() / BLOCK);
            let mut w = BitWriter::default();
            let tables = tables::write(&coded.histograms, &quiet, &mut w);
            let stream = encode(&coded.symbols, &coded.contexts, &coded.rows, &tables);
            let back = tables::read(&mut BitReader::new(&w.finish()), 6).unwrap();
            prop_assert_eq!(&back.quiet, &quiet.any().then_some(quiet));
            let mut decoder = Decoder::new(&stream).unwrap();
            let mut at = 0;
            for n in lengths {
                let n = n as usize;
                let mut out = vec![77; n];
                decoder.row(&contexts[at..at + n], &back, &mut out);
                prop_assert_eq!(&out[..], &symbols[at..at + n]);
                at += n;
            }
            decoder.finish().unwrap();
        }

        #[test]
        fn damaged_rows_decode_to_something(
            bytes in prop::collection::vec(any::<u8>(), 120..400),
            tables in prop::collection::vec(any::<u8>(), 0..100),
            contexts in prop::collection::vec(0u8..6, 0..200),
        ) {
            let mut w = BitWriter::default();
            Quiet { count: 6, classes: std::array::from_fn(|i| u8::from(i < 4)) }.write(&mut w);
            let mut bits = w.finish();
            bits.extend(tables);
            if let (Ok(tables), Ok(mut decoder)) = (tables::read(&mut BitReader::new(&bits), 6), Decoder::new(&bytes)) {
                let mut out = vec![0; contexts.len()];
                decoder.row(&contexts, &tables, &mut out);
            }
        }
    }

    #[test]
    fn contexts_of_zeros_are_quiet() {
        let mut histograms = vec![Histogram::default(); 4];
        histograms[0].counts[..2].copy_from_slice(&[99_900, 100]);
        histograms[1].counts[..2].copy_from_slice(&[9_850, 150]);
        histograms[2].counts[..2].copy_from_slice(&[900, 100]);
        histograms[3].counts[0] = 10;
        assert_eq!(Quiet::choose(&histograms).classes[..4], [1, 2, 0, 0]);
        histograms[2].counts[1] = 200_000;
        assert!(!Quiet::choose(&histograms).any());
    }
}
