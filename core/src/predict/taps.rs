//! The neighbours that a point of each pass is predicted from.
//!
//! A lattice is refined in three passes: its points fall into four phases by the parities of row and column;
//! phase (0,0) is the coarser lattice. First the centres (1,1) from the coarse points around them, then (1,0),
//! then (0,1), each also from the phases before it. References give patches around the same place.

use super::plane::Phases;
use arrayvec::ArrayVec;

/// What a point is in the pass that codes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Phase (1,1): between four coarse points.
    Centre,
    /// Phase (1,0): coarse points above and below, centres left and right.
    Vertical,
    /// Phase (0,1): coarse points left and right, centres above and below.
    Horizontal,
    /// A point of the coarsest lattice.
    Root,
}

/// The passes of a lattice, in order.
pub const PASSES: [Kind; 3] = [Kind::Centre, Kind::Vertical, Kind::Horizontal];

impl Kind {
    /// Parities of row and column within the lattice.
    pub fn parity(self) -> (usize, usize) {
        match self {
            Kind::Centre => (1, 1),
            Kind::Vertical => (1, 0),
            Kind::Horizontal => (0, 1),
            Kind::Root => (0, 0),
        }
    }

    /// Index of the phase.
    pub fn phase(self) -> usize {
        let (a, b) = self.parity();
        2 * a + b
    }
}

/// Where a neighbour is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In a phase of the lattice that is being refined, at this distance in rows and columns of that phase.
    Space {
        /// Index of the phase.
        phase: usize,
        /// Rows.
        di: isize,
        /// Columns.
        dj: isize,
    },
    /// In this reference.
    Reference(usize),
}

/// One neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// Where it is found.
    pub source: Source,
    /// Distance in rows: of the lattice in space, of the full frame in references.
    pub dy: i32,
    /// Distance in columns.
    pub dx: i32,
}

/// Phase and distance in rows and columns of that phase.
type Offsets = [(usize, isize, isize)];

/// Spatial neighbours of centres, the four nearest first.
const CENTRE: [(usize, isize, isize); 16] = [
    (0, 0, 0),
    (0, 0, 1),
    (0, 1, 0),
    (0, 1, 1),
    (0, -1, -1),
    (0, -1, 0),
    (0, -1, 1),
    (0, -1, 2),
    (0, 0, -1),
    (0, 0, 2),
    (0, 1, -1),
    (0, 1, 2),
    (0, 2, -1),
    (0, 2, 0),
    (0, 2, 1),
    (0, 2, 2),
];

/// Spatial neighbours of phase (1,0), the four nearest first.
const VERTICAL: [(usize, isize, isize); 16] = [
    (0, 0, 0),
    (0, 1, 0),
    (3, 0, -1),
    (3, 0, 0),
    (0, 0, -1),
    (0, 0, 1),
    (0, 1, -1),
    (0, 1, 1),
    (3, -1, -1),
    (3, -1, 0),
    (3, 1, -1),
    (3, 1, 0),
    (0, -1, 0),
    (0, 2, 0),
    (3, 0, -2),
    (3, 0, 1),
];

/// Spatial neighbours of phase (0,1), the four nearest first; all eight around are known.
const HORIZONTAL: [(usize, isize, isize); 16] = [
    (0, 0, 0),
    (0, 0, 1),
    (3, -1, 0),
    (3, 0, 0),
    (2, -1, 0),
    (2, -1, 1),
    (2, 0, 0),
    (2, 0, 1),
    (0, 0, -1),
    (0, 0, 2),
    (3, -2, 0),
    (3, 1, 0),
    (3, -1, -1),
    (3, -1, 1),
    (3, 0, -1),
    (3, 0, 1),
];

/// Half width of a reference's patch, in |dy| + |dx|, by the number of the reference.
const PATCH: [i32; 3] = [3, 2, 2];

/// Most taps of a point.
pub const MAX_TAPS: usize = 16 + 21 + 13 + 13;

/// The neighbours of a point of this kind with this number of references. Spatial ones come first, the nearest
/// four leading.
pub fn taps(kind: Kind, references: usize) -> Vec<Tap> {
    let space: &Offsets = match kind {
        Kind::Centre => &CENTRE,
        Kind::Vertical => &VERTICAL,
        Kind::Horizontal => &HORIZONTAL,
        Kind::Root => &[],
    };
    let (a, b) = kind.parity();
    let mut out: Vec<Tap> = space
        .iter()
        .map(|&(phase, di, dj)| Tap {
            source: Source::Space { phase, di, dj },
            dy: 2 * di as i32 + (phase >> 1) as i32 - a as i32,
            dx: 2 * dj as i32 + (phase & 1) as i32 - b as i32,
        })
        .collect();
    for (r, &reach) in PATCH.iter().enumerate().take(references) {
        let mut patch: Vec<(i32, i32)> = (-2..=2)
            .flat_map(|dy: i32| (-2..=2).map(move |dx: i32| (dy, dx)))
            .filter(|(dy, dx)| dy.abs() + dx.abs() <= reach)
            .collect();
        patch.sort_by_key(|(dy, dx)| dy * dy + dx * dx);
        out.extend(patch.into_iter().map(|(dy, dx)| Tap { source: Source::Reference(r), dy, dx }));
    }
    out
}

/// Number of taps whose mean the weights refer to: the nearest in space or, at roots, the references' own place.
pub fn base_taps(kind: Kind) -> usize {
    if kind == Kind::Root {
        1
    } else {
        4
    }
}

/// A row of points of one pass: where it lies in the lattice and in the frame.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// Kind of the points.
    pub kind: Kind,
    /// Row within the phase.
    pub i: isize,
    /// Column of the first point within the phase.
    pub j: isize,
    /// Row in the frame.
    pub y: isize,
    /// Column of the first point in the frame.
    pub x: isize,
    /// Columns of the frame from one point to the next.
    pub stride: isize,
    /// Points in the row.
    pub width: usize,
}

impl Site {
    /// Row `i` of a pass over the lattice whose points are `spacing` apart.
    pub fn new(kind: Kind, spacing: usize, i: usize, width: usize) -> Self {
        let (a, b) = kind.parity();
        let s = spacing as isize;
        let i = i as isize;
        if kind == Kind::Root {
            return Self { kind, i, j: 0, y: i * s, x: 0, stride: s, width };
        }
        Self { kind, i, j: 0, y: s * (2 * i + a as isize), x: s * b as isize, stride: 2 * s, width }
    }

    /// The `width` points from the `start`th on.
    pub fn run(&self, start: usize, width: usize) -> Self {
        let start = start as isize;
        Self { j: self.j + start, x: self.x + start * self.stride, width, ..*self }
    }
}

/// The row of values of each tap, with a companion each.
pub type TapRows<'a, C> = ArrayVec<(&'a [i32], C), MAX_TAPS>;

/// Memory for neighbours that do not lie contiguous.
#[derive(Default)]
pub struct Gather {
    values: Vec<i32>,
}

impl Gather {
    /// The row of values of each of `taps`, which comes with an arbitrary companion.
    ///
    /// A tap in a phase without points (frames of one row or column) reads the first spatial tap, or its
    /// reference's own place, instead.
    pub fn rows<'a, C: Copy>(
        &'a mut self,
        site: &Site,
        taps: &[(Tap, C)],
        lattice: Option<&'a Phases<i32>>,
        references: &[&'a Phases<i32>],
    ) -> TapRows<'a, C> {
        // Where a tap starts in a reference: phase, row and column in it.
        let place = |dy: i32, dx: i32| {
            let (y, x) = (site.y + dy as isize, site.x + dx as isize);
            ((2 * (y & 1) + (x & 1)) as usize, y >> 1, x >> 1)
        };
        let find = |r: usize, tap: &Tap| {
            let found = place(tap.dy, tap.dx);
            let found = if references[r][found.0].is_empty() { place(0, 0) } else { found };
            references[r][found.0].from(found.1, found.2)
        };
        let step = (site.stride / 2) as usize;
        if step > 1 {
            self.values.clear();
            for (tap, _) in taps {
                if let Source::Reference(r) = tap.source {
                    let row = find(r, tap);
                    self.values.extend((0..site.width).map(|j| row[j * step]));
                }
            }
        }
        let mut gathered = &self.values[..];
        let mut out = TapRows::new();
        for (tap, companion) in taps {
            let row = match (tap.source, lattice) {
                (Source::Space { phase, di, dj }, Some(planes)) if !planes[phase].is_empty() => {
                    planes[phase].from(site.i + di, site.j + dj)
                }
                (Source::Space { .. }, Some(planes)) => planes[0].from(site.i, site.j),
                (Source::Space { .. }, None) => &[],
                (Source::Reference(_), _) if step > 1 => {
                    let (row, rest) = gathered.split_at(site.width);
                    gathered = rest;
                    row
                }
                (Source::Reference(r), _) => find(r, tap),
            };
            out.push((row, *companion));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::plane::{phase_size, Plane};

    /// Phases of the function v(y, x) at `spacing`, with halos that continue the function.
    fn phases(h: usize, w: usize) -> Phases<i32> {
        let mut out: Phases<i32> = Default::default();
        for (p, plane) in out.iter_mut().enumerate() {
            let (ph, pw) = phase_size((h, w), p);
            *plane = Plane::new(ph, pw);
            for i in 0..ph {
                for (j, v) in plane.row_mut(i).iter_mut().enumerate() {
                    *v = (1000 * (2 * i + (p >> 1)) + 2 * j + (p & 1)) as i32;
                }
            }
            plane.fill_halo((h, w), (p >> 1, p & 1));
        }
        out
    }

    #[test]
    fn taps_lie_where_their_distances_say() {
        let (h, w) = (40, 44);
        let lattice = phases(h, w);
        let reference = phases(h, w);
        for kind in PASSES {
            let taps: Vec<(Tap, ())> = taps(kind, 1).into_iter().map(|t| (t, ())).collect();
            let (ph, pw) = phase_size((h, w), kind.phase());
            for i in 2..ph - 2 {
                let site = Site::new(kind, 1, i, pw);
                let mut gather = Gather::default();
                let rows = gather.rows(&site, &taps, Some(&lattice), &[&reference]);
                for ((row, ()), (tap, ())) in rows.iter().zip(&taps) {
                    for j in 2..pw - 2 {
                        let y = site.y as i32 + tap.dy;
                        let x = (site.x + j as isize * site.stride) as i32 + tap.dx;
                        assert_eq!(row[j], 1000 * y + x, "{kind:?} {tap:?}");
                    }
                }
            }
        }
        // Coarser lattices read references at full resolution.
        let taps: Vec<(Tap, ())> = taps(Kind::Root, 1).into_iter().map(|t| (t, ())).collect();
        let site = Site::new(Kind::Root, 8, 2, 5);
        let mut gather = Gather::default();
        let rows = gather.rows(&site, &taps, None, &[&reference]);
        for ((row, ()), (tap, ())) in rows.iter().zip(&taps) {
            for j in 1..5 {
                assert_eq!(row[j], 1000 * (16 + tap.dy) + 8 * j as i32 + tap.dx);
            }
        }
    }

    #[test]
    fn nearest_taps_come_first() {
        for kind in PASSES {
            let taps = taps(kind, 3);
            assert!(taps.len() <= MAX_TAPS);
            assert!(taps[..4].iter().all(|t| t.dy.abs() <= 1 && t.dx.abs() <= 1));
        }
    }
}
