//! Which rows of its input a row of a convolution is made of.

use crate::network::graph::MAX_KERNEL;
use crate::network::packed::Layout;
use crate::network::weights::Packed;
use arrayvec::ArrayVec;
use std::ops::Range;

/// What the rows are.
#[derive(Clone, Copy, Debug)]
pub enum Rows {
    /// Those of planes, whose border goes on outside.
    Planes {
        /// How many more rows the input begins before those that the first output row is centred at.
        shift: usize,
    },
    /// The points of blocks, in these levels, rows and columns of the input and of the output; outside there is nothing.
    Blocks { from: [usize; 3], to: [usize; 3] },
}

/// A row of the input, and the place of the kernel that its first column meets.
#[derive(Clone, Copy, Debug)]
pub struct Tap {
    pub row: u32,
    pub place: u32,
}

/// Most taps, and most rows, of a chunk.
const TAPS: usize = MAX_KERNEL.pow(3);
const ROWS: usize = 128;

/// Points along an axis, and the places of the kernel that they meet.
type Met = ArrayVec<(u32, u32), MAX_KERNEL>;

/// Some rows of the output, with what each is made of.
#[derive(Default)]
pub struct Chunk {
    taps: ArrayVec<Tap, TAPS>,
    /// Where the taps of each row end.
    ends: ArrayVec<u16, ROWS>,
    /// In which row of a block, counted over its levels, the last one lies, and what it meets.
    last: Option<usize>,
    levels: Met,
    rows: Met,
}

impl Chunk {
    /// The taps of each row.
    pub fn taps(&self) -> impl Iterator<Item = &[Tap]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.taps[start.into()..(*end).into()])
    }

    /// Takes the first of `rows`, of `out`, where each part of the input has `size`, and as many more as there is room for;
    /// gives their number.
    pub fn find(
        &mut self,
        packed: &Packed,
        what: Rows,
        size: [usize; 3],
        out: &Layout,
        rows: Range<usize>,
    ) -> usize {
        self.taps.clear();
        self.ends.clear();
        for row in rows {
            if self.ends.is_full() || self.taps.remaining_capacity() < packed.places() {
                break;
            }
            match what {
                Rows::Planes { shift } => self.plane(packed, shift, size, out, row),
                Rows::Blocks { from, to } => self.block(packed, from, to, row),
            }
            self.ends.push(self.taps.len() as u16);
        }
        self.ends.len()
    }

    fn plane(&mut self, packed: &Packed, shift: usize, size: [usize; 3], out: &Layout, row: usize) {
        let [depth, height, width] = packed.kernel;
        let near = |axis: usize, i: usize, k: usize| {
            (packed.stride[axis] * i + k).saturating_sub(packed.origin[axis]).min(size[axis] - 1)
        };
        let (level, y) = (row / out.size[1], row % out.size[1]);
        for kz in 0..depth {
            for ky in 0..height {
                let row = near(0, level, kz) * size[1] + near(1, y, ky + shift);
                self.taps.push(Tap { row: row as u32, place: ((kz * height + ky) * width) as u32 });
            }
        }
    }

    fn block(&mut self, packed: &Packed, from: [usize; 3], to: [usize; 3], row: usize) {
        let [_, height, width] = packed.kernel.map(|k| k as u32);
        let (plane, x) = (row / to[2], row % to[2]);
        // Mostly the column alone is another than that of the row before.
        if self.last != Some(plane) {
            self.last = Some(plane);
            self.levels = met(packed, 0, plane / to[1], from[0]);
            self.rows = met(packed, 1, plane % to[1], from[1]);
        }
        let columns = met(packed, 2, x, from[2]);
        for (p, kz) in &self.levels {
            for (q, ky) in &self.rows {
                let (row, place) = ((p * from[1] as u32 + q) * from[2] as u32, (kz * height + ky) * width);
                self.taps.extend(columns.iter().map(|(r, kx)| Tap { row: row + r, place: place + kx }));
            }
        }
    }
}

const _: () = assert!(TAPS <= u16::MAX as usize);

/// The points, of `size` along an axis, that output `i` meets, and at which places of the kernel.
fn met(packed: &Packed, axis: usize, i: usize, size: usize) -> Met {
    // A stride of 2 is a shift by 1.
    let (two, origin) = (packed.stride[axis] == 2, packed.origin[axis]);
    let places = 0..packed.kernel[axis];
    let of = |k: usize| match packed.transposed {
        true if two => (i + origin).checked_sub(k).filter(|p| p % 2 == 0).map(|p| p / 2),
        true => (i + origin).checked_sub(k),
        false => ((i << u32::from(two)) + k).checked_sub(origin),
    };
    places.filter_map(|k| Some((of(k).filter(|p| *p < size)? as u32, k as u32))).collect()
}
