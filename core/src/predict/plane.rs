//! Planes: two-dimensional arrays with a halo of reflected values, so that predictors read neighbours
//! beyond the edge without asking where the edge is.

/// Rows and columns that a plane can be read beyond its edges.
pub const HALO: usize = 3;

/// A lattice of points that are two apart in each direction of a finer lattice, or all of them.
#[derive(Clone, Default)]
pub struct Plane<T> {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    stride: usize,
    /// From one row to the next: 0 where there is one row, of which all rows of the halo are reflections.
    pitch: usize,
    data: Vec<T>,
}

impl<T: Copy + Default> Plane<T> {
    /// A plane of zeros.
    pub fn new(height: usize, width: usize) -> Self {
        let mut plane = Self::default();
        plane.reset(height, width);
        plane
    }

    /// Gives the plane another size, keeping its memory; the values are arbitrary afterwards.
    pub fn reset(&mut self, height: usize, width: usize) {
        self.height = height;
        self.width = width;
        self.stride = width + 2 * HALO;
        self.pitch = if height > 1 { self.stride } else { 0 };
        let rows = if height > 1 { height + 2 * HALO } else { height };
        self.data.resize(self.stride * rows, T::default());
    }

    /// Whether the plane has no points.
    pub fn is_empty(&self) -> bool {
        self.height == 0 || self.width == 0
    }

    /// The values from (row, column) to the end of the row's halo; -HALO <= row < height + HALO, likewise
    /// for the column.
    #[inline]
    pub fn from(&self, row: isize, column: isize) -> &[T] {
        let start = (row + HALO as isize) as usize * self.pitch;
        &self.data[start + (column + HALO as isize) as usize..start + self.stride]
    }

    /// The points of a row.
    #[inline]
    pub fn row(&self, row: usize) -> &[T] {
        &self.from(row as isize, 0)[..self.width]
    }

    /// The points of a row, to write.
    #[inline]
    pub fn row_mut(&mut self, row: usize) -> &mut [T] {
        let start = (row + HALO) * self.pitch + HALO;
        &mut self.data[start..start + self.width]
    }

    /// Fills the halo by reflection at the edges of the finer lattice of `lattice` rows and columns, in which
    /// this plane's points have the given parities.
    pub fn fill_halo(&mut self, lattice: (usize, usize), parity: (usize, usize)) {
        if self.is_empty() {
            return;
        }
        let (height, width) = (self.height, self.width);
        for row in 0..height {
            let at = (row + HALO) * self.pitch;
            for k in 1..=HALO {
                let left = reflect(-(k as isize), lattice.1, parity.1, width);
                let right = reflect((width + k - 1) as isize, lattice.1, parity.1, width);
                self.data[at + HALO - k] = self.data[at + HALO + left];
                self.data[at + HALO + width + k - 1] = self.data[at + HALO + right];
            }
        }
        for k in 1..=HALO {
            let above = reflect(-(k as isize), lattice.0, parity.0, height) + HALO;
            let below = reflect((height + k - 1) as isize, lattice.0, parity.0, height) + HALO;
            self.copy_row(above, HALO - k);
            self.copy_row(below, HALO + height + k - 1);
        }
    }

    fn copy_row(&mut self, from: usize, to: usize) {
        let from = from * self.pitch;
        self.data.copy_within(from..from + self.stride, to * self.pitch);
    }
}

/// Index within a plane of `len` points for index `i` outside of it: reflected at the first and last point of the
/// finer lattice of `lattice` points, clamped where the plane is too short for that.
fn reflect(i: isize, lattice: usize, parity: usize, len: usize) -> usize {
    let (n, p) = (lattice as isize, parity as isize);
    let r = if i < 0 { -p - i } else { n - 1 - p - i };
    r.clamp(0, len as isize - 1) as usize
}

/// The four planes of a lattice, by the parities of row and column: (0,0), (0,1), (1,0), (1,1).
pub type Phases<T> = [Plane<T>; 4];

/// Size of the plane of phase `p` of a lattice.
pub fn phase_size(lattice: (usize, usize), p: usize) -> (usize, usize) {
    ((lattice.0 + 1 - (p >> 1)) / 2, (lattice.1 + 1 - (p & 1)) / 2)
}

/// Writes row `y` of the lattice whose phases are given to `out`.
pub fn interleave_row<T: Copy + Default>(phases: &Phases<T>, y: usize, out: &mut [T]) {
    let (even, odd) = (&phases[2 * (y & 1)], &phases[2 * (y & 1) + 1]);
    let even = even.row(y / 2);
    if odd.is_empty() {
        out[..even.len()].copy_from_slice(even);
        return;
    }
    let odd = odd.row(y / 2);
    let mut pairs = out.chunks_exact_mut(2);
    for ((o, e), d) in (&mut pairs).zip(even).zip(odd) {
        o[0] = *e;
        o[1] = *d;
    }
    if let [rest] = pairs.into_remainder() {
        *rest = even[even.len() - 1];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halos_reflect_the_finer_lattice() {
        // One row of a lattice of 7 (and of 8) points 0..n; phases hold the even and the odd ones.
        for n in [7usize, 8] {
            for parity in 0..2 {
                let width = (n + 1 - parity) / 2;
                let mut plane = Plane::<i32>::new(1, width);
                for (j, v) in plane.row_mut(0).iter_mut().enumerate() {
                    *v = (2 * j + parity) as i32;
                }
                plane.fill_halo((1, n), (0, parity));
                for j in -(HALO as isize)..(width + HALO) as isize {
                    let g = (2 * j + parity as isize).abs();
                    let g = if g > n as isize - 1 { 2 * (n as isize - 1) - g } else { g };
                    assert_eq!(plane.from(0, j)[0] as isize, g, "n {n} parity {parity} j {j}");
                }
            }
        }
    }

    #[test]
    fn interleaving_restores_the_lattice() {
        for (h, w) in [(1, 1), (1, 6), (5, 1), (4, 7), (7, 4)] {
            let mut phases: Phases<i32> = Default::default();
            for (p, plane) in phases.iter_mut().enumerate() {
                let (ph, pw) = phase_size((h, w), p);
                plane.reset(ph, pw);
                for i in 0..ph {
                    for (j, v) in plane.row_mut(i).iter_mut().enumerate() {
                        *v = ((2 * i + (p >> 1)) * w + 2 * j + (p & 1)) as i32;
                    }
                }
            }
            for y in 0..h {
                let mut out = vec![0; w];
                interleave_row(&phases, y, &mut out);
                assert_eq!(out, (0..w).map(|x| (y * w + x) as i32).collect::<Vec<_>>());
            }
        }
    }
}
