//! Values that are no numbers of the field: NaN, infinities, fill values. They are stored bit for bit, apart.

use crate::bound::Bound;
use crate::grid::Extent;
use crate::number::Number;

/// Magnitudes that data formats use for "no value": netCDF's default fill, CF and CMIP's 1e20, Ferret's 1e34, and
/// other common ones.
const CONVENTIONAL: [f64; 6] = [9.969_209_968_386_869e36, 1e20, 1e30, 1e34, 1e35, 1e36];
/// A value that repeats more often than one in so many points, far from all others, is taken for a fill value.
const RARE: usize = 1000;
/// Values that are looked at together.
pub const BLOCK: usize = 64;
/// How far from all others, in ranges of the others.
const FAR: f64 = 4.0;

/// Says which values are special.
#[derive(Clone, Debug)]
pub struct Special {
    fill: Option<u64>,
    outliers: Vec<u64>,
    /// Smallest magnitude that is not special (pointwise relative bounds).
    smallest: f64,
    floats: bool,
}

impl Special {
    /// What the bound and the fill value say, before the data are looked at.
    pub fn new<N: Number>(bound: &Bound, fill: Option<u64>) -> Self {
        let zero = N::cast(0.0).bits();
        let smallest = match *bound {
            Bound::PointwiseRelative { rel, floor } => {
                // Integers below 8 / rel would be rounded by more than the grid leaves room for; subnormal floats
                // have too few digits.
                let tiny = if N::FLOAT {
                    2f64.powi(if N::PRECISION == 53 { -1021 } else { smallest_exponent::<N>() })
                } else {
                    8.0 / rel
                };
                floor.max(tiny)
            }
            _ => 0.0,
        };
        // A fill value of zero is a number like any other: the default of HDF5, not a mark.
        Self { fill: fill.filter(|&f| f != zero), outliers: vec![], smallest, floats: N::FLOAT }
    }

    /// Whether `v` is special.
    #[inline(always)]
    pub fn is<N: Number>(&self, v: N) -> bool {
        let x = v.to_f64();
        if self.floats && !x.is_finite() {
            return true;
        }
        if x.abs() < self.smallest {
            return true;
        }
        if self.floats
            && x.abs() >= 1e20
            && CONVENTIONAL.iter().any(|c| v.bits() == N::cast(c.copysign(x)).bits())
        {
            return true;
        }
        // f32's 1e20 is below the f64 constant.
        if self.floats
            && x.abs() > 9.9e19
            && x.abs() < 1.01e20
            && v.bits() == N::cast(1e20f64.copysign(x)).bits()
        {
            return true;
        }
        self.fill == Some(v.bits()) || self.outliers.contains(&v.bits())
    }

    /// Extent of the values of `raw` that are not special; marks isolated, frequent extremes as special on the way.
    /// `None` when every value is special.
    pub fn survey<N: Number>(&mut self, raw: &[u8]) -> Option<Extent> {
        let mut extent = self.extent::<N>(raw)?;
        if self.smallest > 0.0 || !self.floats {
            return Some(extent);
        }
        for _ in 0..2 {
            let Some(outlier) = self.isolated_extreme::<N>(raw, &extent) else { break };
            self.outliers.push(outlier);
            extent = self.extent::<N>(raw)?;
        }
        Some(extent)
    }

    /// Whether none of these values is special; may say no for want of certainty.
    #[inline(always)]
    pub fn none_in<N: Number>(&self, raw: &[u8]) -> bool {
        let fill = self.fill;
        let plain = self.outliers.is_empty() && self.smallest == 0.0;
        let clean = |b: &[u8]| {
            let v = N::read(b);
            // Conventional fill values are larger; NaN is no smaller.
            let finite = !N::FLOAT || v.to_f64().abs() < 9.9e19;
            finite & (fill != Some(v.bits()))
        };
        plain && raw.chunks_exact(N::SIZE).fold(true, |all, b| all & clean(b))
    }

    fn extent<N: Number>(&self, raw: &[u8]) -> Option<Extent> {
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        for block in raw.chunks(BLOCK * N::SIZE) {
            if self.none_in::<N>(block) {
                for x in block.chunks_exact(N::SIZE).map(|b| N::read(b).to_f64()) {
                    min = if x < min { x } else { min };
                    max = if x > max { x } else { max };
                }
                continue;
            }
            for v in block.chunks_exact(N::SIZE).map(N::read) {
                if !self.is(v) {
                    let x = v.to_f64();
                    min = min.min(x);
                    max = max.max(x);
                }
            }
        }
        (min <= max).then_some(Extent { min, max })
    }

    /// Bits of the largest or smallest value if it repeats and lies far from all others.
    fn isolated_extreme<N: Number>(&self, raw: &[u8], extent: &Extent) -> Option<u64> {
        let often = 2 + raw.len() / N::SIZE / RARE;
        let (mut least, mut most) = (0usize, 0usize);
        for x in raw.chunks_exact(N::SIZE).map(|b| N::read(b).to_f64()) {
            least += usize::from(x == extent.min);
            most += usize::from(x == extent.max);
        }
        for (x, count) in [(extent.min, least), (extent.max, most)] {
            if x == 0.0 || count < often {
                continue;
            }
            let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
            for v in raw.chunks_exact(N::SIZE).map(N::read) {
                let y = v.to_f64();
                if y != x && !self.is(v) {
                    min = min.min(y);
                    max = max.max(y);
                }
            }
            let gap = if x == extent.min { min - x } else { x - max };
            if min < max && gap > FAR * (max - min) {
                return Some(N::cast(x).bits());
            }
        }
        None
    }
}

/// Exponent of the smallest normal number of a type below f64.
fn smallest_exponent<N: Number>() -> i32 {
    if N::PRECISION == 24 {
        -126
    } else {
        -14
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn fill_values_do_not_count() {
        let mut values: Vec<f32> = (0..1000).map(|i| (i as f32 / 50.0).sin()).collect();
        let clean = Special::new::<f32>(&Bound::Absolute(1e-3), None).survey::<f32>(&bytes(&values)).unwrap();
        for (i, v) in [f32::NAN, f32::INFINITY, -1e34, 1e20, 9.96921e36].into_iter().enumerate() {
            values[i * 7 + 1] = v;
        }
        for v in values.iter_mut().skip(500).step_by(9) {
            *v = -9999.0;
        }
        let mut special = Special::new::<f32>(&Bound::Absolute(1e-3), None);
        let extent = special.survey::<f32>(&bytes(&values)).unwrap();
        assert!(extent.min >= clean.min - 1e-6 && extent.max <= clean.max + 1e-6, "{extent:?}");
        assert!(special.is(-9999f32) && special.is(1e20f32) && special.is(-1e34f32) && !special.is(0f32));
    }
}
