//! Values as the fast kernels read them: channels interleaved, four 8-bit or two 16-bit ones in a 32-bit word.
//!
//! Words lie as \[level, row\]\[group of channels\]\[column\]. Rows have room on both sides in which their first and last
//! values are repeated, so that kernels need not look where a row ends.

use super::graph::{Element, MAX_KERNEL};

/// Words before a row.
pub const BEFORE: usize = MAX_KERNEL / 2;
/// Columns are computed in steps of this many.
pub const COLUMNS: usize = 16;
/// Words before and after a row together, beside what fills up its last step.
const AROUND: usize = COLUMNS;
/// Words behind everything that may be read.
const BEHIND: usize = 4 * COLUMNS;

const _: () = assert!(2 * BEFORE <= AROUND);

/// Channels in a word.
pub fn per_word(element: Element) -> usize {
    match element {
        Element::I8 => 4,
        Element::I16 => 2,
    }
}

/// How the values of a node lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub channels: usize,
    pub element: Element,
    /// Levels, rows, columns.
    pub size: [usize; 3],
}

impl Layout {
    /// Words per row of points.
    pub fn groups(&self) -> usize {
        self.channels.div_ceil(per_word(self.element))
    }

    /// Words from one group to the next.
    pub fn stride(&self) -> usize {
        self.size[2].next_multiple_of(COLUMNS) + AROUND
    }

    /// Words from one row to the next.
    pub fn row(&self) -> usize {
        self.groups() * self.stride()
    }

    /// Rows of all levels.
    pub fn rows(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Values of all channels.
    pub fn values(&self) -> usize {
        self.channels * self.size.iter().product::<usize>()
    }

    /// Words of all rows.
    pub fn len(&self) -> usize {
        self.rows() * self.row()
    }
}

/// Memory for values; what lies in it is said by a [`Layout`].
#[derive(Clone, Debug, Default)]
pub struct Buffer {
    words: Vec<u32>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// Room for `len` words.
    pub fn new(len: usize) -> Self {
        let words = vec![0; len + BEHIND + 2 * COLUMNS];
        // The first value of each row at a multiple of 64 bytes, for speed only.
        let at = words.as_ptr() as usize / 4 + BEFORE;
        let start = at.next_multiple_of(COLUMNS) - at;
        Self { words, start, len }
    }

    /// Makes room for `len` words where there is less.
    pub fn grow(&mut self, len: usize) {
        if self.len < len || self.words.is_empty() {
            *self = Self::new(len);
        }
    }

    pub fn bytes(&self) -> usize {
        self.words.len() * 4
    }

    /// The words and some more behind them that may be read.
    pub fn words(&mut self) -> &mut [u32] {
        &mut self.words[self.start..self.start + self.len + BEHIND]
    }
}

/// Repeats the first and the last value of each of the groups in `row` on both sides, `border` times.
pub fn repeat_ends(layout: &Layout, row: &mut [u32], border: usize) {
    let (w, border) = (layout.size[2], border.min(BEFORE));
    if border == 0 {
        return;
    }
    for group in row.chunks_exact_mut(layout.stride()) {
        let (first, last) = (group[BEFORE], group[BEFORE + w - 1]);
        group[BEFORE - border..BEFORE].fill(first);
        group[BEFORE + w..BEFORE + w + border].fill(last);
    }
}

/// Puts row `r` of planes into words.
pub fn pack_row(layout: &Layout, planes: &[i16], r: usize, out: &mut [u32]) {
    let (w, n, points) = (layout.size[2], per_word(layout.element), layout.size.iter().product::<usize>());
    for (g, words) in out.chunks_exact_mut(layout.stride()).enumerate() {
        let words = &mut words[BEFORE..BEFORE + w];
        let plane = |k: usize| {
            let c = g * n + k;
            (c < layout.channels).then(|| &planes[c * points + r * w..][..w])
        };
        for k in 0..n {
            let (shift, mask) = if n == 4 { (8 * k, 0xff) } else { (16 * k, 0xffff) };
            match (k, plane(k)) {
                (0, Some(from)) => words.iter_mut().zip(from).for_each(|(o, v)| *o = *v as u32 & mask),
                (_, Some(from)) => {
                    words.iter_mut().zip(from).for_each(|(o, v)| *o |= (*v as u32 & mask) << shift)
                }
                (_, None) => {}
            }
        }
    }
}

/// Takes channel `c` of all rows out of words, from the part of them that holds it.
pub fn unpack_channel(layout: &Layout, words: &[u32], c: usize, out: &mut [i16]) {
    let (w, n) = (layout.size[2], per_word(layout.element));
    let (g, k) = (c / n, c % n);
    for (r, row) in out.chunks_exact_mut(w.max(1)).enumerate() {
        let from = &words[r * layout.row() + g * layout.stride() + BEFORE..][..w];
        if n == 4 {
            row.iter_mut().zip(from).for_each(|(o, v)| *o = i16::from((*v >> (8 * k)) as i8));
        } else {
            row.iter_mut().zip(from).for_each(|(o, v)| *o = (*v >> (16 * k)) as i16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn planes_come_back(channels in 1usize..7, wide: bool, size in prop::array::uniform3(1usize..20), seed: u32) {
            let element = if wide { Element::I16 } else { Element::I8 };
            let layout = Layout { channels, element, size };
            let points: usize = size.iter().product();
            let values: Vec<i16> = (0..channels * points)
                .map(|i| (i as u32).wrapping_mul(seed | 1).wrapping_mul(2654435761) >> 16)
                .map(|v| if wide { v as i16 } else { i16::from(v as i8) })
                .collect();
            let mut buffer = Buffer::new(layout.len());
            for (r, row) in buffer.words()[..layout.len()].chunks_exact_mut(layout.row()).enumerate() {
                pack_row(&layout, &values, r, row);
                repeat_ends(&layout, row, BEFORE);
                prop_assert_eq!(row[0], row[BEFORE]);
                prop_assert_eq!(row[BEFORE + size[2] + BEFORE - 1], row[BEFORE + size[2] - 1]);
            }
            for (c, plane) in values.chunks_exact(points).enumerate() {
                let mut back = vec![0; points];
                unpack_channel(&layout, buffer.words(), c, &mut back);
                prop_assert_eq!(&back, plane);
            }
        }
    }
}
