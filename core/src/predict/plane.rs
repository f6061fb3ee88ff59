//! Planes: the values of a lattice in four phases, level by level, with a halo of reflected values, so that predictors
//! read neighbours beyond the edge without asking where the edge is.
//!
//! The four planes of a lattice have the same pitch, so that a neighbour lies at the same distance in memory from every
//! point of a plane: a whole plane is predicted in one sweep, its halo along with it, for nothing.

use super::kernel;

/// Rows and columns that a plane can be read beyond its edges.
pub const HALO: usize = 2;

/// The points of a lattice whose rows and columns have the same parities.
#[derive(Clone, Debug, Default)]
pub struct Plane<T> {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// From one row to the next in memory.
    stride: usize,
    /// Distance of neighbours in the next row: 0 where the lattice has one row, of which all others are reflections.
    pitch: usize,
    halo: Halo,
    data: Vec<T>,
}

/// Which values a plane's halo repeats: where to, and where from.
#[derive(Clone, Copy, Debug, Default)]
struct Halo {
    /// Columns, the same in every row. Always as many, so that loops over them are unrolled: some are copied twice.
    columns: [(u32, u32); 2 * HALO + 1],
    /// Rows, none where the lattice has a single one.
    rows: [(u32, u32); 2 * HALO + 1],
}

impl Halo {
    /// Reflects the plane of phase `p` of a lattice, which has points, at the lattice's edges.
    fn of(lattice: (usize, usize), p: usize) -> Self {
        let ((height, width), (rows, columns)) = (phase_size(lattice, p), phase_size(lattice, 0));
        let mirrored = |len: usize, full: usize, lattice, parity| {
            let outside = (-(HALO as isize)..0).chain(len as isize..(full + HALO) as isize).cycle();
            let mut outside = outside
                .map(|i| ((i + HALO as isize) as u32, (HALO + reflect(i, lattice, parity, len)) as u32));
            std::array::from_fn(|_| outside.next().unwrap_or_default())
        };
        let mut halo = Self { columns: mirrored(width, columns, lattice.1, p & 1), rows: Default::default() };
        if lattice.0 > 1 {
            halo.rows = mirrored(height, rows, lattice.0, p >> 1);
        }
        halo
    }
}

/// The four planes of a lattice, by the parities of row and column: (0,0), (0,1), (1,0), (1,1).
pub type Phases<T> = [Plane<T>; 4];

/// Size of the plane of phase `p` of a lattice.
pub fn phase_size(lattice: (usize, usize), p: usize) -> (usize, usize) {
    ((lattice.0 + 1 - (p >> 1)) / 2, (lattice.1 + 1 - (p & 1)) / 2)
}

impl<T: Copy + Default> Plane<T> {
    /// Makes this the plane of phase `p` of a lattice, keeping its memory; the values are arbitrary.
    fn reset(&mut self, lattice: (usize, usize), p: usize) {
        (self.height, self.width) = phase_size(lattice, p);
        let (rows, columns) = phase_size(lattice, 0);
        self.stride = columns + 2 * HALO;
        self.pitch = if lattice.0 > 1 { self.stride } else { 0 };
        let rows = if lattice.0 > 1 { rows + 2 * HALO } else { 1 };
        self.data.resize(if self.is_empty() { 0 } else { self.stride * rows }, T::default());
        self.halo = if self.is_empty() { Halo::default() } else { Halo::of(lattice, p) };
    }

    /// Whether the plane has no points.
    pub fn is_empty(&self) -> bool {
        self.height == 0 || self.width == 0
    }

    /// Distance in memory from one row to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Index of the first point's neighbour at this distance, at most HALO.
    fn start(&self, di: isize, dj: isize) -> usize {
        let halo = HALO as isize;
        (halo + di) as usize * self.pitch + (halo + dj) as usize
    }

    /// The values from the neighbour of the first point at this distance on, row after row.
    #[inline]
    pub fn from(&self, di: isize, dj: isize) -> &[T] {
        &self.data[self.start(di, dj)..]
    }

    /// The values from the first point of row `i` on.
    #[inline]
    pub fn rows_mut(&mut self, i: usize) -> &mut [T] {
        let start = self.start(0, 0) + i * self.pitch;
        &mut self.data[start..]
    }

    /// The points of a row.
    #[inline]
    pub fn row(&self, i: usize) -> &[T] {
        &self.data[self.start(0, 0) + i * self.pitch..][..self.width]
    }

    /// The points of a row, to write.
    #[inline]
    pub fn row_mut(&mut self, i: usize) -> &mut [T] {
        let width = self.width;
        &mut self.rows_mut(i)[..width]
    }

    /// Fills the halo by reflection at the edges of the lattice.
    pub fn fill_halo(&mut self) {
        if self.is_empty() {
            return;
        }
        let Halo { columns, rows } = self.halo;
        let first = if self.pitch > 0 { HALO } else { 0 };
        for row in self.data.chunks_exact_mut(self.stride).skip(first).take(self.height) {
            for (to, from) in columns {
                row[to as usize] = row[from as usize];
            }
        }
        if self.pitch > 0 {
            for (to, from) in rows {
                let from = from as usize * self.stride;
                self.data.copy_within(from..from + self.stride, to as usize * self.stride);
            }
        }
    }
}

/// Index within a plane of `len` points for index `i` outside of it: reflected at the first and last point of the
/// lattice of `lattice` points, clamped where the plane is too short for that.
fn reflect(i: isize, lattice: usize, parity: usize, len: usize) -> usize {
    let (n, p) = (lattice as isize, parity as isize);
    let r = if i < 0 { -p - i } else { n - 1 - p - i };
    r.clamp(0, len as isize - 1) as usize
}

/// A frame as lattices of doubling spacing, the finest first. Phase (0,0) of each holds all points of the next.
#[derive(Clone, Debug, Default)]
pub struct Pyramid<T> {
    /// The lattices.
    pub levels: Vec<Phases<T>>,
    lattices: Vec<(usize, usize)>,
}

impl<T: Copy + Default> Pyramid<T> {
    /// Makes this the pyramid of a frame, keeping its memory; the values are arbitrary.
    pub fn reset(&mut self, height: usize, width: usize) {
        if self.lattices.first() == Some(&(height, width)) {
            return;
        }
        self.lattices = (0..levels(height, width))
            .map(|level| (height.div_ceil(1 << level), width.div_ceil(1 << level)))
            .collect();
        self.levels.resize_with(self.lattices.len(), Default::default);
        for (phases, lattice) in self.levels.iter_mut().zip(&self.lattices) {
            for (p, plane) in phases.iter_mut().enumerate() {
                plane.reset(*lattice, p);
            }
        }
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        self.levels.iter().flatten().map(|plane| plane.data.capacity() * size_of::<T>()).sum()
    }

    /// The lattice of a level and the plane of one of its phases, to fill.
    pub fn take(&mut self, level: usize, p: usize) -> Plane<T> {
        std::mem::take(&mut self.levels[level][p])
    }

    /// Puts a plane back that is filled now, with its halo.
    pub fn put(&mut self, level: usize, p: usize, mut plane: Plane<T>) {
        plane.fill_halo();
        self.levels[level][p] = plane;
    }
}

impl<T: Cell> Pyramid<T> {
    /// The pyramid of a frame.
    pub fn of(frame: &[T], width: usize) -> Self {
        let mut pyramid = Self::default();
        pyramid.fill(frame, width);
        pyramid
    }

    /// Makes this the pyramid of a frame, keeping its memory.
    pub fn fill(&mut self, frame: &[T], width: usize) {
        self.reset(frame.len() / width, width);
        for level in 0..self.levels.len() {
            let (finer, rest) = self.levels.split_at_mut(level);
            let phases = &mut rest[0];
            for a in 0..2 {
                let mut pair = [std::mem::take(&mut phases[2 * a]), std::mem::take(&mut phases[2 * a + 1])];
                for i in 0..pair[0].height {
                    let y = 2 * i + a;
                    let row = finer.last().map_or_else(|| &frame[y * width..][..width], |f| f[0].row(y));
                    let [even, odd] = &mut pair;
                    let odd = if odd.is_empty() { &mut [][..] } else { odd.row_mut(i) };
                    T::deinterleave(row, even.row_mut(i), odd);
                }
                let [even, odd] = pair;
                for (p, mut plane) in [(2 * a, even), (2 * a + 1, odd)] {
                    plane.fill_halo();
                    phases[p] = plane;
                }
            }
        }
    }
}

/// Levels of a frame's pyramid.
pub fn levels(height: usize, width: usize) -> usize {
    (height.max(width).ilog2() as usize).saturating_sub(1).clamp(1, 5)
}

/// Copies the points of all phases of a lattice to phase (0,0) of the next finer one.
pub fn refine<T: Cell>(coarse: &Phases<T>, fine: &mut Plane<T>) {
    for y in 0..fine.height {
        interleave_row(coarse, y, fine.row_mut(y));
    }
}

/// Writes row `y` of the lattice whose phases are given to `out`.
pub fn interleave_row<T: Cell>(phases: &Phases<T>, y: usize, out: &mut [T]) {
    let (even, odd) = (&phases[2 * (y & 1)], &phases[2 * (y & 1) + 1]);
    let odd = if odd.is_empty() { &[][..] } else { odd.row(y / 2) };
    T::interleave(even.row(y / 2), odd, out);
}

/// What planes are made of.
pub trait Cell: Copy + Default {
    /// Spreads a row over those of the even and the odd columns.
    fn deinterleave(row: &[Self], even: &mut [Self], odd: &mut [Self]);
    /// Inverse of [`Cell::deinterleave`].
    fn interleave(even: &[Self], odd: &[Self], row: &mut [Self]);
}

impl Cell for i32 {
    fn deinterleave(row: &[Self], even: &mut [Self], odd: &mut [Self]) {
        kernel::deinterleave(row, even, odd);
    }
    fn interleave(even: &[Self], odd: &[Self], row: &mut [Self]) {
        kernel::interleave(even, odd, row);
    }
}

impl Cell for u8 {
    fn deinterleave(row: &[Self], even: &mut [Self], odd: &mut [Self]) {
        kernel::deinterleave_bytes(row, even, odd);
    }
    fn interleave(even: &[Self], odd: &[Self], row: &mut [Self]) {
        kernel::interleave_bytes(even, odd, row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halos_reflect_the_lattice() {
        for (h, w) in [(1, 7), (1, 8), (7, 9), (8, 6), (2, 2), (3, 1)] {
            let frame: Vec<i32> = (0..h * w).map(|i| (100 * (i / w) + i % w) as i32).collect();
            let mut pyramid = Pyramid::default();
            pyramid.fill(&frame, w);
            let mirror = |v: isize, n: usize| {
                let n = n as isize;
                // All rows beyond a single one are reflections of it.
                let v = if n == 1 { 0 } else { v.abs() };
                if v > n - 1 {
                    2 * (n - 1) - v
                } else {
                    v
                }
            };
            for (p, plane) in pyramid.levels[0].iter().enumerate().filter(|(_, plane)| !plane.is_empty()) {
                let (rows, columns) = (plane.height as isize, plane.width as isize);
                for i in -2..rows + 2 {
                    for j in -2..columns + 2 {
                        let y = mirror(2 * i + (p >> 1) as isize, h);
                        let x = mirror(2 * j + (p & 1) as isize, w);
                        // Lattices shorter than the halo are clamped instead.
                        let short = h < 6 && h > 1 || w < 6;
                        if !short {
                            assert_eq!(
                                plane.from(i.min(0), j.min(0))
                                    [i.max(0) as usize * plane.pitch + j.max(0) as usize]
                                    as isize,
                                100 * y + x
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn pyramids_hold_every_point_at_every_level() {
        for (h, w) in [(1, 1), (1, 6), (5, 1), (4, 7), (7, 4), (33, 50)] {
            let frame: Vec<i32> = (0..(h * w) as i32).collect();
            let mut pyramid = Pyramid::default();
            pyramid.fill(&frame, w);
            let mut coarser: Option<Vec<i32>> = None;
            for (phases, lattice) in pyramid.levels.iter().zip(&pyramid.lattices).rev() {
                let mut rows = vec![0; lattice.0 * lattice.1];
                for (y, row) in rows.chunks_exact_mut(lattice.1).enumerate() {
                    interleave_row(phases, y, row);
                }
                let first: Vec<i32> = (0..phases[0].height).flat_map(|i| phases[0].row(i).to_vec()).collect();
                assert!(coarser.is_none_or(|c| c == first));
                coarser = Some(rows);
            }
            assert!(coarser == Some(frame));
        }
    }
}
