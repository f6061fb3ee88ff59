//! Which grid serves a chunk: that of its own lattice, the one on which frames of it were decoded before, or the best.

use super::mapped::{decoded_grids, written_steps};
use crate::bound::Bound;
use crate::grid::{allowed_error, lattice, Extent, Grid, PROVISIONAL};
use crate::number::Number;
use crate::params::{Params, Preset};
use crate::special::Special;

/// What is known of a chunk before it is mapped.
pub struct Surveyed {
    /// Which values are special.
    pub special: Special,
    /// Extent of the others, but for those that only a grid has no room for: the range that bounds are relative to.
    pub extent: Extent,
    /// Extent of those that are not special.
    pub domain: Extent,
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
    let written = &raw[..points * N::SIZE];
    let domain = within_reach::<N>(bound, written, &mut special, &extent, params.threads).unwrap_or(extent);
    (extent.range() > 0.0).then_some(Surveyed { special, extent, domain, points, provisional })
}

/// Share of the points that may lie beyond what a good grid holds.
const FEW: f64 = 0.01;
/// Share of the points that may lie beyond what any grid holds.
const MOST: f64 = 0.5;
/// Errors, as a power of two, that any value may be away from 0 for a grid to have room for weights.
const NEAR: i32 = 16;
/// The same for a grid to hold it.
const FAR: i32 = 26;

/// Where the values span too much for a grid that keeps the bound, because of spikes or as magnitudes grow by many powers of ten:
/// makes those special that lie far away, and says what extent the others have.
fn within_reach<N: Number>(
    bound: &Bound,
    raw: &[u8],
    special: &mut Special,
    extent: &Extent,
    threads: usize,
) -> Option<Extent> {
    let linear = matches!(bound, Bound::Absolute(_) | Bound::Relative { .. } | Bound::AbsRel { .. });
    let error = allowed_error(bound, extent).filter(|_| linear && N::FLOAT)?;
    let grid = Grid::choose::<N>(error, extent, false);
    if grid.is_some_and(|grid| grid.shift >= WEIGHT_BITS) {
        return None;
    }
    // Beyond these a number is coarser than the grids.
    let near = error * 2f64.powi(NEAR.min(N::PRECISION - 7));
    let far = error * 2f64.powi(FAR.min(N::PRECISION - 2));
    let (mut all, mut beyond_near, mut beyond_far) = (0u64, 0u64, 0u64);
    for v in raw.chunks_exact(N::SIZE).map(N::read).filter(|v| !special.is(*v)) {
        let x = v.to_f64().abs();
        all += 1;
        beyond_near += u64::from(x > near);
        beyond_far += u64::from(x > far);
    }
    let share = |beyond: u64| beyond as f64 / all.max(1) as f64;
    let most = match share(beyond_near) {
        ..=FEW => near,
        _ if grid.is_none() && share(beyond_far) <= MOST => far,
        _ => return None,
    };
    let mut limited = special.clone();
    limited.limit::<N>(most);
    let mut domain = limited.extent::<N>(raw, threads).filter(|e| e.range() > 0.0)?;
    domain.frequent = extent.frequent.filter(|x| x.abs() <= most);
    *special = limited;
    Some(domain)
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
