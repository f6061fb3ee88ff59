//! The neighbours that a point of each pass is predicted from.
//!
//! A lattice is refined in three passes: its points fall into four phases by the parities of row and column;
//! phase (0,0) is the coarser lattice. First the centres (1,1) from the coarse points around them, then (1,0),
//! then (0,1), each also from the phases before it. References give patches around the same place.

use super::plane::{Phases, Pyramid};
use crate::reference::MAX_REFERENCES;
use arrayvec::ArrayVec;
use std::sync::OnceLock;

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
    /// Distance in rows of the lattice that is being refined.
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
const PATCH: [i32; MAX_REFERENCES] = [3, 2, 2, 2];

/// Most taps of a point.
pub const MAX_TAPS: usize = 16 + 21 + 13 + 13 + 13;

/// The neighbours of a point of this kind with this number of references. Spatial ones come first, the nearest
/// four leading.
pub fn taps(kind: Kind, references: usize) -> &'static [Tap] {
    static TAPS: [[OnceLock<Vec<Tap>>; MAX_REFERENCES + 1]; 4] =
        [const { [const { OnceLock::new() }; MAX_REFERENCES + 1] }; 4];
    TAPS[kind.phase()][references].get_or_init(|| list(kind, references))
}

fn list(kind: Kind, references: usize) -> Vec<Tap> {
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

/// The values of each tap from the first point of a pass on, with a companion each.
pub type TapRows<'a, C> = ArrayVec<(&'a [i32], C), MAX_TAPS>;

/// The values that each of `taps`, which comes with an arbitrary companion, has for the points of a pass over the
/// lattice of `level`: those of the pass's plane, row after row as they lie in memory. Roots are the first phase of the
/// coarsest lattice.
///
/// A tap in a phase without points (frames of one row or column) reads the first spatial tap, or its reference's own
/// place, instead.
pub fn tap_rows<'a, 'b, C: Copy>(
    kind: Kind,
    level: usize,
    taps: &'b [(Tap, C)],
    lattice: Option<&'a Phases<i32>>,
    references: &'b [&'a Pyramid<i32>],
) -> impl Iterator<Item = (&'a [i32], C)> + use<'a, 'b, C> {
    let (a, b) = kind.parity();
    taps.iter().map(move |(tap, companion)| {
        let row = match (tap.source, lattice) {
            (Source::Space { phase, di, dj }, Some(planes)) if !planes[phase].is_empty() => {
                planes[phase].from(di, dj)
            }
            (Source::Space { .. }, Some(planes)) => planes[0].from(0, 0),
            (Source::Space { .. }, None) => &[],
            (Source::Reference(r), _) => {
                let planes = &references[r].levels[level];
                if kind == Kind::Root {
                    planes[0].from(tap.dy as isize, tap.dx as isize)
                } else {
                    let (y, x) = (a as isize + tap.dy as isize, b as isize + tap.dx as isize);
                    let plane = &planes[(2 * (y & 1) + (x & 1)) as usize];
                    if plane.is_empty() {
                        planes[kind.phase()].from(0, 0)
                    } else {
                        plane.from(y >> 1, x >> 1)
                    }
                }
            }
        };
        (row, *companion)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_lie_where_their_distances_say() {
        let (h, w) = (40usize, 44usize);
        let frame: Vec<i32> = (0..h * w).map(|i| (1000 * (i / w) + i % w) as i32).collect();
        let mut pyramid = Pyramid::default();
        pyramid.fill(&frame, w);
        let references = [&pyramid];
        for level in 0..2 {
            let spacing = 1 << level;
            for kind in PASSES {
                let taps: Vec<(Tap, ())> = taps(kind, 1).iter().map(|t| (*t, ())).collect();
                let plane = &pyramid.levels[level][kind.phase()];
                let rows = tap_rows(kind, level, &taps, Some(&pyramid.levels[level]), &references);
                let (a, b) = kind.parity();
                for ((row, ()), (tap, ())) in rows.zip(&taps) {
                    for i in 2..plane.height - 2 {
                        for j in 2..plane.width - 2 {
                            let y = spacing * ((2 * i + a) as i32 + tap.dy);
                            let x = spacing * ((2 * j + b) as i32 + tap.dx);
                            assert_eq!(row[i * plane.stride() + j], 1000 * y + x, "{kind:?} {tap:?}");
                        }
                    }
                }
            }
        }
        let top = pyramid.levels.len() - 1;
        let spacing = 2 << top;
        let taps: Vec<(Tap, ())> = taps(Kind::Root, 1).iter().map(|t| (*t, ())).collect();
        let rows = tap_rows(Kind::Root, top, &taps, None, &references);
        for ((row, ()), (tap, ())) in rows.zip(&taps).filter(|(_, (t, ()))| t.dy >= 0 && t.dx >= 0) {
            assert_eq!(row[0], spacing * (1000 * tap.dy + tap.dx));
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
