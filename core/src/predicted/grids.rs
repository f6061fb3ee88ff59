//! Which grid serves a chunk: that of its own lattice, the one on which frames of it were decoded before, or the best.

use super::mapped::{decoded_grids, written_steps};
use crate::bound::Bound;
use crate::grid::{lattice, Extent, Grid, PROVISIONAL};
use crate::number::Number;
use crate::params::{Params, Preset};
use crate::special::Special;

/// What is known of a chunk before it is mapped.
pub struct Surveyed {
    /// Which values are special.
    pub special: Special,
    /// Extent of the others.
    pub extent: Extent,
    /// Leading points that are written.
    pub points: usize,
    /// Whether more will come.
    pub provisional: bool,
}

/// Surveys a chunk. `None` for constants: perhaps with special points, they are small and exact without prediction.
pub fn survey<N: Number>(params: &Params, raw: &[u8]) -> Option<Surveyed> {
    let bits = |value: [u8; 8]| u64::from_le_bytes(value) & (u64::MAX >> (64 - 8 * N::SIZE as u32));
    // The direct predictor codes shares of small integers, too.
    let counts = params.preset == Preset::Tezip && !N::FLOAT;
    let bound = if counts { &Bound::Lossless } else { &params.bound };
    let mut special = Special::new::<N>(bound, params.fill.map(bits));
    let steps = params.shape[params.time_axis];
    let written = written_steps::<N>(raw, steps, params.unwritten.map(bits));
    let provisional = written < steps && written != params.tail;
    let points = raw.len() / N::SIZE / steps * written;
    let extent = special.survey::<N>(&raw[..points * N::SIZE], params.threads)?;
    (extent.range() > 0.0).then_some(Surveyed { special, extent, points, provisional })
}

/// The grid of a lattice with a quantum of at least `least` on which the values lie.
pub fn exact_grid<N: Number>(
    raw: &[u8],
    special: &Special,
    extent: &Extent,
    least: f64,
    slack: f64,
) -> Option<Grid> {
    if let Some(mapping) = lattice::find::<N>(raw, special, least, slack) {
        // As many steps as a float32 has, or more, are no fewer bits than its own.
        let pays = extent.range() / mapping.quantum() < f64::from(1 << 24) || !N::FLOAT;
        return Grid::on_lattice(mapping, extent).filter(|_| pays);
    }
    // Integers lie on one in any case.
    (!N::FLOAT && least <= 1.0).then(|| Grid::whole(0.0, extent, true))?
}

/// A quantum of this share of the bins, or more, is coded as it is.
pub const LATTICE: f64 = 0.9;

/// The grid for floating-point numbers: the one on which frames were decoded before, if any were, so that they stay as
/// they are; otherwise the best one. `None` where only lossless storage does both.
pub fn float_grid<N: Number>(
    raw: &[u8],
    area: usize,
    special: &Special,
    error: f64,
    domain: &Extent,
    (logarithmic, provisional): (bool, bool),
    threads: usize,
) -> Option<Grid> {
    let grids = Grid::all::<N>(error, domain, logarithmic);
    let mut decoded = decoded_grids::<N>(raw, area, &grids, special, threads);
    let units: Vec<f64> = decoded.iter().flat_map(|&i| grids[i]).map(|g| g.mapping.quantum()).collect();
    if !units.is_empty() && !logarithmic && lattice::is_unrelated::<N>(raw, special, &units) {
        decoded.clear();
    }
    let roomy = |g: &Grid| g.step == 1 || g.shift >= WEIGHT_BITS;
    match decoded[..] {
        [] if provisional => grids[PROVISIONAL].filter(|g| g.chance <= 0.25 && roomy(g)),
        [] => Grid::choose::<N>(error, domain, logarithmic),
        [PROVISIONAL] => grids[PROVISIONAL].filter(roomy),
        [one] if !provisional => grids[one].filter(roomy),
        _ => None,
    }
}

/// Fewest fraction bits of weights with which the multiscale predictor is worth a try.
pub const WEIGHT_BITS: u32 = 6;

/// Extent of the base-2 logarithms of the magnitudes.
pub fn logarithms<N: Number>(raw: &[u8], special: &Special) -> Option<Extent> {
    let (mut min, mut max) = (f64::INFINITY, 0f64);
    for v in raw.chunks_exact(N::SIZE).map(N::read) {
        if !special.is(v) {
            min = min.min(v.to_f64().abs());
            max = max.max(v.to_f64().abs());
        }
    }
    (max > 0.0 && min > 0.0).then(|| Extent { min: min.log2(), max: max.log2(), frequent: None })
}
