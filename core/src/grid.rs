//! The grid: values as integers times a unit, and which values it cannot hold.
//!
//! With the error e and quantisation steps of D units the unit is a little less than 2e / (D + 2): mapping to the
//! grid errs by at most half a unit, a residual in whole steps by at most D/2 units, and another half unit is
//! kept for values that were moved once before (see *provisional* below) and for the cast to the stored type.
//!
//! A chunk that HDF5 decodes, changes in one step and encodes again must not lose precision a second time. Two
//! properties of the grid see to that, without any memory of earlier calls:
//! - *Decoded values are grid points.* Values that were decoded before lie exactly on the grid, other values do so
//!   by chance only; the unit is no round number, so that data in decimal steps do not. A frame with more grid
//!   points than chance explains is coded *fine*, in steps of one unit: its values come back unchanged.
//! - *Provisional frames.* A chunk whose last frames are not written yet is stored on the grid shifted by half a
//!   unit, in steps of one unit. When it is complete these values, no grid points, are quantised as if they had
//!   just been written.

pub mod lattice;

use crate::bound::Bound;
use crate::number::Number;
use crate::scan::{self, Line, Linear};

/// Grid points lie in -LIMIT..=LIMIT around the chunk's middle.
pub const LIMIT: i64 = 1 << 28;
/// Grids to choose from, best first: units per quantisation step, and the unit as a share of the error. With steps of
/// one unit decoded values encode to themselves, so that room need be left for the cast alone.
///
/// The last factor of each share leaves room for rounding and for provisional values of a finer grid. It is irregular,
/// so that data that were rounded to decimals do not fall on the grid, and another for each grid, so that the points of
/// one do not fall on the others.
const GRIDS: [(i32, f64); 7] = [
    (256, 2.0 / 258.0 * 0.990_137_6),
    (64, 2.0 / 66.0 * 0.988_735_521),
    (16, 2.0 / 18.0 * 0.987_412_967),
    (4, 2.0 / 6.0 * 0.986_076_113),
    (1, 1.75 * 0.999_613_87),
    (1, 1.55 * 0.999_127_43),
    (1, 1.25 * 0.998_892_16),
];
/// Provisional frames are on this grid, whichever the complete chunk takes: its half unit fits into what every grid
/// leaves free.
pub const PROVISIONAL: usize = 0;
/// The first grid with steps of one unit, for predictors that know no others.
const SINGLE: usize = 4;
/// Units per step of integers, where the bound allows as many: few enough for residuals to be small numbers, many enough
/// to lose nothing by whole numbers.
const INTEGER_STEP: f64 = 257.0;
/// Fraction bits of the unit of logarithms.
pub const LOG_BITS: u32 = 40;

/// How integers become values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mapping {
    /// value = integer x unit.
    Linear(f64),
    /// |value| = 2^(integer x unit / 2^LOG_BITS), unit even.
    Logarithmic(i64),
    /// value = integer x unit + origin, for lattices.
    Affine {
        /// Distance of neighbouring values.
        unit: f64,
        /// Value of integer 0.
        origin: f64,
    },
    /// value = integer / divisor, for lattices of decimals.
    Quotient(f64),
}

/// How far a decoded value may be from the truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Allowed {
    /// So far.
    Absolute(f64),
    /// This share of the value.
    Relative(f64),
}

impl Allowed {
    /// Whether `decoded` is near enough to `truth`; NaN never is.
    #[inline(always)]
    pub fn holds(&self, truth: f64, decoded: f64) -> bool {
        let most = match *self {
            Allowed::Absolute(e) => e,
            Allowed::Relative(r) => r * truth.abs(),
        };
        (decoded - truth).abs() <= most
    }
}

/// A mapping and how it is quantised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Integers to values.
    pub mapping: Mapping,
    /// Units per quantisation step.
    pub step: i32,
    /// Fraction bits of predictors' weights that cannot overflow.
    pub shift: u32,
    /// Share of values that lie on the grid by chance.
    pub chance: f64,
}

/// What a chunk's valid values are like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Extent {
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// One that many of them are, if there is one.
    pub frequent: Option<f64>,
}

impl Extent {
    /// Largest minus smallest.
    pub fn range(&self) -> f64 {
        self.max - self.min
    }
}

/// Largest error that the bound allows in a chunk of this extent; of the base-2 logarithm for pointwise relative
/// bounds. `None`: lossless.
pub fn allowed_error(bound: &Bound, extent: &Extent) -> Option<f64> {
    let e = match *bound {
        Bound::Lossless => return None,
        Bound::Absolute(e) => e,
        Bound::Relative { rel, range } => rel * range.unwrap_or(extent.range()),
        Bound::AbsRel { abs, rel } => abs.min(rel * extent.range()),
        // 1 + rel upwards allows less in the logarithm than 1 - rel downwards.
        Bound::PointwiseRelative { rel, .. } => rel.ln_1p() / std::f64::consts::LN_2,
        // Errors of a uniform quantiser are spread evenly: their mean square is e^2 / 3.
        Bound::Psnr(db) => extent.range() * 10f64.powf(-db / 20.0) * 3f64.sqrt(),
    };
    (e.is_finite() && e > 0.0).then_some(e)
}

/// Distance of neighbouring numbers of this precision around `v`.
fn spacing(v: f64, precision: i32) -> f64 {
    if v == 0.0 {
        return 0.0;
    }
    2f64.powi((v.abs().log2().floor() as i32).max(-1022) - (precision - 1))
}

/// Fraction bits for weights so that sums over values of this range stay in 32 bits.
fn weight_bits(range_in_units: f64, step: i32) -> u32 {
    let bits = (range_in_units + 2.0 * f64::from(step) + 2.0).log2().ceil() as i32;
    (30 - bits).clamp(0, 12) as u32
}

/// Unit and units per step (odd) of whole numbers that make the most of a window of so many counts, at least 9.
fn parts(window: f64) -> (f64, i32) {
    let least = (window / INTEGER_STEP).floor().max(3.0);
    let most = (window / 3.0).floor().min(least + 16.0);
    let units = (0..=(most - least) as i32).map(|k| least + f64::from(k));
    let parts = units.map(|unit| {
        // Values in the middle of two grid points of an even unit are half a unit off.
        let reach = if unit % 2.0 == 0.0 { window - 1.0 } else { window };
        (unit, 2.0 * ((reach / unit - 1.0) / 2.0).floor() + 1.0)
    });
    // What a wider step saves, less what rounded predictions cost.
    let gain = |(unit, step): (f64, f64)| unit * step * (1.0 - 0.125 / (step * step));
    let best = parts.max_by(|a, b| gain(*a).total_cmp(&gain(*b))).unwrap_or((window, 1.0));
    (best.0, best.1 as i32)
}

impl Grid {
    /// The grid for the numbers N in `extent` (of logarithms for a logarithmic mapping) that keeps the error `e`;
    /// `None` if the numbers are too coarse or their range too wide for one.
    pub fn choose<N: Number>(e: f64, extent: &Extent, logarithmic: bool) -> Option<Self> {
        if !N::FLOAT && !logarithmic {
            return Self::whole(e, extent, false);
        }
        Self::all::<N>(e, extent, logarithmic).into_iter().flatten().find(|grid| match grid.step {
            1 => true,
            64.. => grid.chance <= 1.0 / 8.0 && grid.shift >= 10,
            _ => grid.chance <= 1.0 / 8.0 && grid.shift >= 8,
        })
    }

    /// The grid with steps of one unit, for predictors that work on rounded values.
    pub fn single<N: Number>(e: f64, extent: &Extent, logarithmic: bool) -> Option<Self> {
        Self::all::<N>(e, extent, logarithmic).into_iter().skip(SINGLE).flatten().next()
    }

    /// Every grid of the numbers N; `None` in place of those that cannot hold them.
    ///
    /// The units depend on nothing but the error, so that a chunk that changes keeps its grid.
    pub fn all<N: Number>(e: f64, extent: &Extent, logarithmic: bool) -> Vec<Option<Self>> {
        let fine = match (logarithmic, N::FLOAT) {
            (false, _) => spacing(extent.min.abs().max(extent.max.abs()), N::PRECISION),
            (true, true) => 1.45 * 2f64.powi(1 - N::PRECISION),
            // Integers this small are exact (see `Special`), so that rounding takes 1/16 of the bound.
            (true, false) => e / 8.0,
        };
        let grid = |(step, share): (i32, f64)| {
            let unit = share * e;
            // Half a unit and half a spacing of the stored type must fit into the error.
            if step == 1 && 0.5 * (unit + fine) > e * (1.0 - 1e-9) {
                return None;
            }
            let mapping = if logarithmic {
                let scaled = (unit * 2f64.powi(LOG_BITS as i32 - 1)).floor() as i64 * 2;
                (scaled >= 2).then_some(Mapping::Logarithmic(scaled))?
            } else {
                Mapping::Linear(unit)
            };
            let range = extent.range() / unit;
            let holds = range < LIMIT as f64 && extent.min.abs().max(extent.max.abs()) / unit < 2f64.powi(52);
            let shift = weight_bits(range, step);
            holds.then(|| Self { mapping, step, shift, chance: (fine / unit).min(1.0) })
        };
        GRIDS.into_iter().map(grid).collect()
    }

    /// The grid for integers: whole numbers as units. `exact` keeps every count.
    pub fn whole(e: f64, extent: &Extent, exact: bool) -> Option<Self> {
        let window = if exact { 1.0 } else { 2.0 * e.min(1e9).floor() + 1.0 };
        // Wide windows get units of three counts or more: only a third of the counts or fewer are on the grid by
        // chance, so that decoded frames are recognised.
        let (unit, step) = if window < 27.0 { (window, 1) } else { parts(window) };
        let range = extent.range() / unit;
        (range < LIMIT as f64).then(|| Self {
            mapping: Mapping::Linear(unit),
            step,
            shift: weight_bits(range, step),
            chance: 1.0 / unit,
        })
    }

    /// The grid for integers that the direct predictor works on, whose runs need some room: units as small as decoded frames
    /// are recognised with, of three counts, wherever steps of several of them are left. `None` where the range is too wide.
    pub fn narrow(e: f64, extent: &Extent) -> Option<Self> {
        let steps = ((2.0 * e.min(1e8).floor() + 1.0) / 3.0).floor();
        let step = 2.0 * ((steps - 1.0) / 2.0).floor() + 1.0;
        if step < 3.0 {
            return Self::whole(e, extent, false);
        }
        let range = extent.range() / 3.0;
        (range < LIMIT as f64).then(|| Self {
            mapping: Mapping::Linear(3.0),
            step: step as i32,
            shift: weight_bits(range, step as i32),
            chance: 1.0 / 3.0,
        })
    }

    /// The grid for integers whose unit is a count and of which only the encoder knows how far they may be off; `None` where
    /// their range is too wide.
    pub fn counts(extent: &Extent) -> Option<Self> {
        let range = extent.range();
        (range < LIMIT as f64).then(|| Self {
            mapping: Mapping::Linear(1.0),
            step: 2,
            shift: weight_bits(range, 2),
            chance: 1.0,
        })
    }

    /// The grid around `middle` for the loops over blocks; `None` for logarithmic grids.
    pub fn linear(&self, middle: f64) -> Option<Linear> {
        match self.mapping {
            Mapping::Logarithmic(_) => None,
            Mapping::Affine { unit, origin } => Some(Linear { unit, scale: 1.0 / unit, middle, origin }),
            m => Some(Linear { unit: m.quantum(), scale: m.steps(1.0), middle, origin: 0.0 }),
        }
    }

    /// Position of `v` (its logarithm for a logarithmic mapping) on the grid, in units.
    #[inline(always)]
    pub fn position(&self, v: f64) -> f64 {
        self.mapping.steps(v)
    }

    /// The grid whose points are those of a lattice, in steps of one unit.
    pub fn on_lattice(mapping: Mapping, extent: &Extent) -> Option<Self> {
        let range = extent.range() / mapping.quantum();
        let far = mapping.steps(extent.min).abs().max(mapping.steps(extent.max).abs());
        (range < LIMIT as f64 && far < 2f64.powi(50)).then(|| Self {
            mapping,
            step: 1,
            shift: weight_bits(range, 1),
            chance: 1.0,
        })
    }
}

impl Mapping {
    /// Position of `v` (its logarithm for a logarithmic mapping) in units.
    #[inline(always)]
    pub fn steps(&self, v: f64) -> f64 {
        match *self {
            Mapping::Linear(unit) => v / unit,
            Mapping::Logarithmic(unit) => v * (2f64.powi(LOG_BITS as i32) / unit as f64),
            Mapping::Affine { unit, origin } => (v - origin) / unit,
            Mapping::Quotient(divisor) => v * divisor,
        }
    }

    /// Distance of neighbouring values (of their logarithms).
    pub fn quantum(&self) -> f64 {
        match *self {
            Mapping::Linear(unit) | Mapping::Affine { unit, .. } => unit,
            Mapping::Logarithmic(unit) => unit as f64 / 2f64.powi(LOG_BITS as i32),
            Mapping::Quotient(divisor) => 1.0 / divisor,
        }
    }

    /// Value of grid point `k`, or of the point half a unit above it.
    #[inline(always)]
    pub fn value(&self, k: i64, half: bool) -> f64 {
        match *self {
            Mapping::Linear(unit) => {
                if half {
                    (2 * k + 1) as f64 * (0.5 * unit)
                } else {
                    k as f64 * unit
                }
            }
            Mapping::Logarithmic(unit) => {
                exp2_fixed(k.wrapping_mul(unit).wrapping_add(if half { unit / 2 } else { 0 }))
            }
            // Values of lattices are exact: there is nothing between them.
            Mapping::Affine { unit, origin } => k as f64 * unit + origin,
            Mapping::Quotient(divisor) => k as f64 / divisor,
        }
    }

    /// Values of the grid points `k` + `offset`, or of the points half a unit above them, as numbers of the stored type,
    /// little-endian in `out`. Points that are not 0 in `negative` change their sign.
    pub fn write_values<N: Number>(
        &self,
        k: &[i32],
        offset: i64,
        half: bool,
        negative: Option<&[u8]>,
        out: &mut [u8],
    ) {
        if let (Some(line), None) = (self.line(offset, half), negative) {
            return scan::values::<N>(k, &line, out);
        }
        for (i, (o, k)) in out.chunks_exact_mut(N::SIZE).zip(k).enumerate() {
            let v = self.value(i64::from(*k).wrapping_add(offset), half);
            N::cast(if negative.is_some_and(|n| n[i] != 0) { -v } else { v }).write(o);
        }
    }

    /// [`Mapping::write_values`], and whether all of them are within `allowed` of the values that `truth` holds, but for
    /// those with a mark, where there are `marks`.
    pub fn write_within<N: Number>(
        &self,
        k: &[i32],
        (offset, half): (i64, bool),
        negative: Option<&[u8]>,
        (truth, marks): (&[u8], Option<&[u8]>),
        allowed: Allowed,
        out: &mut [u8],
    ) -> bool {
        if let (Some(line), None, Allowed::Absolute(e)) = (self.line(offset, half), negative, allowed) {
            return scan::values_within::<N>(k, &line, truth, marks, e, out);
        }
        self.write_values::<N>(k, offset, half, negative, out);
        let pairs = truth.chunks_exact(N::SIZE).zip(out.chunks_exact(N::SIZE)).enumerate();
        pairs.fold(true, |all, (i, (a, b))| {
            let within = allowed.holds(N::read(a).to_f64(), N::read(b).to_f64());
            all & (within | marks.is_some_and(|m| m[i] != 0))
        })
    }

    /// The mapping in a form that vectorises; `None` where there is none that gives the same bits.
    fn line(&self, offset: i64, half: bool) -> Option<Line> {
        let (scale, add, unit, origin) = match *self {
            Mapping::Linear(unit) if half => (2.0, 1.0, 0.5 * unit, 0.0),
            Mapping::Linear(unit) => (1.0, 0.0, unit, 0.0),
            Mapping::Affine { unit, origin } => (1.0, 0.0, unit, origin),
            Mapping::Logarithmic(_) | Mapping::Quotient(_) => return None,
        };
        // Sums below 2^53 are exact, so that this is `value`; adding 0 to a product of no -0 changes nothing.
        let add = scale * offset as f64 + add;
        (offset.unsigned_abs() < 1 << 51).then_some(Line { scale, add, unit, origin })
    }

    /// Number of the formula in streams.
    pub fn code(&self) -> u8 {
        match self {
            Mapping::Linear(_) => 0,
            Mapping::Logarithmic(_) => 1,
            Mapping::Affine { .. } => 2,
            Mapping::Quotient(_) => 3,
        }
    }

    /// The unit or divisor, and the origin (0 without one), as streams hold them.
    pub fn parameters(&self) -> (f64, f64) {
        match *self {
            Mapping::Linear(unit) | Mapping::Quotient(unit) => (unit, 0.0),
            Mapping::Logarithmic(unit) => (unit as f64, 0.0),
            Mapping::Affine { unit, origin } => (unit, origin),
        }
    }

    /// Inverse of [`Mapping::code`] and [`Mapping::parameters`]; `None` for what no encoder writes.
    pub fn from_parameters(code: u8, unit: f64, origin: f64) -> Option<Self> {
        let whole = unit as i64;
        match code {
            1 => (whole as f64 == unit && (2..1 << 52).contains(&whole)).then_some(Self::Logarithmic(whole)),
            _ if !(unit.is_finite() && unit > 0.0 && origin.is_finite()) => None,
            0 => Some(Self::Linear(unit)),
            2 => Some(Self::Affine { unit, origin }),
            3 => Some(Self::Quotient(unit)),
            _ => None,
        }
    }

    /// Whether the values are those of a lattice, as good as exact.
    pub fn is_lattice(&self) -> bool {
        matches!(self, Mapping::Affine { .. } | Mapping::Quotient(_))
    }
}

/// 2^(2^-j) - 1 in units of 2^-62 for j = 1..=40, the factors of [`exp2_fixed`].
const ROOTS: [u64; LOG_BITS as usize] = roots();

/// Square roots of 2, each from the one before it, by integer square root.
const fn roots() -> [u64; LOG_BITS as usize] {
    let mut out = [0u64; LOG_BITS as usize];
    // 2 in units of 2^-62; the square root of x * 2^62 is the root of x in the same units.
    let mut x: u128 = 1 << 63;
    let mut j = 0;
    while j < LOG_BITS as usize {
        x = isqrt(x << 62);
        out[j] = (x - (1 << 62)) as u64;
        j += 1;
    }
    out
}

const fn isqrt(n: u128) -> u128 {
    // Newton's iteration from above.
    let mut x: u128 = 1 << 64;
    loop {
        let y = (x + n / x) / 2;
        if y >= x {
            return x;
        }
        x = y;
    }
}

/// 2^(e / 2^LOG_BITS) in integer arithmetic, then one conversion: the same bits on every machine. Relative error
/// below 2^-50; 0 or infinity beyond the range of f64.
pub fn exp2_fixed(e: i64) -> f64 {
    let whole = e >> LOG_BITS;
    let fraction = (e as u64) & ((1 << LOG_BITS) - 1);
    let mut m: u64 = 1 << 62;
    for (j, root) in ROOTS.iter().enumerate() {
        if fraction >> (LOG_BITS as usize - 1 - j) & 1 == 1 {
            m += ((u128::from(m) * u128::from(*root)) >> 62) as u64;
        }
    }
    // m lies in 1..2 times 2^62. Scaling by powers of two is exact for normal results.
    let scaled = whole - 62;
    if scaled > 1100 {
        return f64::INFINITY;
    }
    if scaled < -1200 {
        return 0.0;
    }
    let half = scaled / 2;
    m as f64 * power_of_two(half) * power_of_two(scaled - half)
}

/// 2^n for -1022 <= n <= 1023.
fn power_of_two(n: i64) -> f64 {
    f64::from_bits(((n + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_units_make_the_most_of_every_window() {
        for e in 13..5000 {
            let window = f64::from(2 * e + 1);
            let (unit, step) = parts(window);
            assert!(unit >= 3.0 && step % 2 == 1 && step > 3, "{e}: {unit} x {step}");
            // Half a unit to the grid, rounded down to counts, and half a step to the value that is coded.
            let most = (unit / 2.0).floor() + unit * f64::from(step / 2);
            assert!(most <= f64::from(e), "{e}: {unit} x {step}");
            assert!(unit * f64::from(step) >= 0.92 * window, "{e}: {unit} x {step}");
        }
    }

    proptest! {
        #[test]
        fn integer_exponential_is_accurate(e in -(100i64 << LOG_BITS)..100 << LOG_BITS) {
            let expected = (e as f64 / 2f64.powi(LOG_BITS as i32)).exp2();
            prop_assert!((exp2_fixed(e) / expected - 1.0).abs() < 1e-13);
        }

        #[test]
        fn grid_and_steps_keep_the_error(e in 1e-6f64..10.0, v in -1000f64..1000.0, p in -20000i64..20000) {
            let extent = Extent { min: -1000.0, max: 1000.0, frequent: None };
            if let Some(grid) = Grid::choose::<f32>(e, &extent, false) {
                let v = f64::from(v as f32);
                let k = grid.position(v).round() as i64;
                let step = i64::from(grid.step);
                let q = (k - p + step / 2).div_euclid(step);
                let decoded = f64::from(grid.mapping.value(p + q * step, false) as f32);
                prop_assert!((decoded - v).abs() <= e, "{v} became {decoded} with error {e}");
                // Provisional first, then final: still within the bound.
                let first = f64::from(grid.mapping.value(grid.position(v).floor() as i64, true) as f32);
                let k = grid.position(first).round() as i64;
                let q = (k - p + step / 2).div_euclid(step);
                let decoded = f64::from(grid.mapping.value(p + q * step, false) as f32);
                prop_assert!(grid.step == 1 || (decoded - v).abs() <= e, "{v}: {first} then {decoded}, error {e}");
            }
        }
    }

    #[test]
    fn exponential_saturates() {
        assert_eq!(exp2_fixed(i64::MAX), f64::INFINITY);
        assert_eq!(exp2_fixed(i64::MIN), 0.0);
        assert_eq!(exp2_fixed(0), 1.0);
        assert_eq!(exp2_fixed(-1074 << LOG_BITS), f64::from_bits(1));
    }
}
