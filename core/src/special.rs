//! Values that are no numbers of the field: NaN, infinities, fill values. They are stored bit for bit, apart.

use crate::bound::Bound;
use crate::grid::Extent;
use crate::number::Number;
use crate::scan::{self, Range, BLOCK};
use crate::threads::parallel;

/// Magnitudes that data formats use for "no value": netCDF's default fill, CF and CMIP's 1e20, Ferret's 1e34, and
/// other common ones.
const CONVENTIONAL: [f64; 6] = [9.969_209_968_386_869e36, 1e20, 1e30, 1e34, 1e35, 1e36];
/// Smaller than each of them, in every type.
const LARGE: f64 = 9.9e19;
/// A value that repeats more often than one in so many points, far from all others, is taken for a fill value.
const RARE: usize = 1000;
/// Blocks that are surveyed at a time.
const SURVEY_BLOCKS: usize = 64;
/// Values that are looked at for a frequent one.
const LOOKED_AT: usize = 500;
/// How far from all others, in ranges of the others.
const FAR: f64 = 4.0;

/// Says which values are special.
#[derive(Clone, Debug)]
pub struct Special {
    fill: Option<u64>,
    outliers: Vec<u64>,
    /// Smallest magnitude that is not special (pointwise relative bounds).
    smallest: f64,
    /// Largest magnitude that is not special.
    largest: f64,
    floats: bool,
    /// Bits of the magnitudes of "no value".
    conventional: Vec<u64>,
    /// Whether the survey met no special value.
    none: bool,
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
        let finite = |v: &N| v.magnitude() < N::cast(f64::INFINITY).magnitude();
        // Doubles may have been floats once.
        let rounded = CONVENTIONAL.map(|c| N::cast(f64::from(c as f32)));
        let mut conventional: Vec<u64> = vec![];
        if N::FLOAT {
            conventional =
                CONVENTIONAL.map(N::cast).into_iter().chain(rounded).filter(finite).map(N::bits).collect();
            conventional.sort_unstable();
            conventional.dedup();
        }
        // A fill value of zero is a number like any other: the default of HDF5, not a mark.
        let fill = fill.filter(|&f| f != zero);
        Self {
            fill,
            outliers: vec![],
            smallest,
            largest: f64::INFINITY,
            floats: N::FLOAT,
            conventional,
            none: false,
        }
    }

    /// The same, and a value besides.
    pub fn with(&self, value: u64) -> Self {
        let mut more = self.clone();
        more.outliers.push(value);
        more.none = false;
        more
    }

    /// Makes values of a magnitude beyond about `most` special, too.
    pub fn limit<N: Number>(&mut self, most: f64) {
        self.largest = N::cast(most).to_f64();
        self.none = false;
    }

    /// Whether `v` is special.
    #[inline(always)]
    pub fn is<N: Number>(&self, v: N) -> bool {
        let x = v.to_f64();
        if self.floats && (!x.is_finite() || x.abs() >= LARGE && self.is_conventional(v)) {
            return true;
        }
        x.abs() < self.smallest
            || x.abs() > self.largest
            || self.fill == Some(v.bits())
            || self.outliers.contains(&v.bits())
    }

    #[cold]
    fn is_conventional<N: Number>(&self, v: N) -> bool {
        self.conventional.iter().any(|&c| v.magnitude() == N::narrow(c))
    }

    /// Marks the special values of a block in `marks`; says whether there are any.
    pub fn mark<N: Number>(&self, raw: &[u8], marks: &mut [u8]) -> bool {
        if self.none {
            marks.fill(0);
            return false;
        }
        self.mark_all::<N>(raw, marks)
    }

    /// [`Special::mark`], whatever the survey met.
    fn mark_all<N: Number>(&self, raw: &[u8], marks: &mut [u8]) -> bool {
        // Integers reach no infinity, but their largest value.
        let least = if N::FLOAT { N::cast(LARGE).magnitude() } else { N::narrow(u64::MAX) };
        scan::mark_large::<N>(raw, least, marks);
        if !N::FLOAT {
            marks.fill(0);
        } else if let Some(first) = marks.iter().position(|m| *m != 0) {
            // Nearly always all are the same, in whichever way a format says "no value".
            let one = N::read(&raw[first * N::SIZE..]);
            if scan::large_are::<N>(raw, least, one.magnitude()) {
                if one.to_f64().is_finite() && !self.is_conventional(one) {
                    marks.fill(0);
                }
            } else {
                self.mark_conventional::<N>(raw, marks);
            }
        }
        if self.smallest > 0.0 {
            scan::mark_small::<N>(raw, self.smallest, marks);
        }
        if self.largest < f64::INFINITY {
            scan::mark_beyond::<N>(raw, self.largest, marks);
        }
        for &bits in self.fill.iter().chain(&self.outliers) {
            scan::mark_equal::<N>(raw, N::narrow(bits), marks);
        }
        marks.iter().fold(0, |any, m| any | m) != 0
    }

    /// Marks infinities, NaN and the conventional values.
    #[cold]
    fn mark_conventional<N: Number>(&self, raw: &[u8], marks: &mut [u8]) {
        scan::mark_large::<N>(raw, N::cast(f64::INFINITY).magnitude(), marks);
        for &c in &self.conventional {
            scan::mark_magnitude::<N>(raw, N::narrow(c), marks);
        }
    }

    /// Extent of the values of `raw` that are not special; marks isolated, frequent extremes as special on the way.
    /// `None` when every value is special. Afterwards the values of `raw`, and only these, can be marked.
    pub fn survey<N: Number>(&mut self, raw: &[u8], threads: usize) -> Option<Extent> {
        let mut extent = self.extent::<N>(raw, threads)?;
        if self.smallest > 0.0 || !self.floats {
            return Some(extent);
        }
        for _ in 0..2 {
            let Some(outlier) = self.isolated_extreme::<N>(raw, &extent) else { break };
            self.outliers.push(outlier);
            self.none = false;
            extent = self.extent::<N>(raw, threads)?;
        }
        extent.frequent = self.frequent::<N>(raw);
        Some(extent)
    }

    /// A value that at least a quarter of the values that are not special have, judged by some of them.
    fn frequent<N: Number>(&self, raw: &[u8]) -> Option<f64> {
        let values = raw.chunks_exact(N::SIZE);
        let apart = (values.len() / LOOKED_AT).max(1);
        let mut some: Vec<N> = values.step_by(apart).map(N::read).filter(|v| !self.is(*v)).collect();
        some.sort_unstable_by_key(|v| v.bits());
        let most = some.chunk_by(|a, b| a.bits() == b.bits()).max_by_key(|run| run.len())?;
        (4 * most.len() >= some.len()).then(|| most[0].to_f64())
    }

    /// Extent of the values that are not special; `None` where every one is.
    pub fn extent<N: Number>(&mut self, raw: &[u8], threads: usize) -> Option<Extent> {
        let parts = raw.chunks(SURVEY_BLOCKS * BLOCK * N::SIZE).collect();
        let mut all = Range::<N>::empty();
        self.none = true;
        for (range, none) in parallel(parts, threads, |part| self.range::<N>(part)) {
            all.merge(&range);
            self.none &= none;
        }
        let extent = Extent { min: all.low.to_f64(), max: all.high.to_f64(), frequent: None };
        // Integers have no infinity to begin with, but then every value is one.
        (extent.min <= extent.max).then_some(extent)
    }

    /// The range of the values that are not special, and whether no other was met.
    fn range<N: Number>(&self, raw: &[u8]) -> (Range<N>, bool) {
        let mut all = Range::<N>::empty();
        let mut none = true;
        let large = N::cast(LARGE).magnitude();
        let mut marks = [0u8; BLOCK];
        for block in raw.chunks(BLOCK * N::SIZE) {
            let range = scan::range::<N>(block);
            let plain = (!N::FLOAT || range.top < large)
                && self.smallest == 0.0
                && self.largest == f64::INFINITY
                && self.outliers.is_empty()
                && !self.fill.is_some_and(|f| scan::any_equal::<N>(block, N::narrow(f)));
            let marks = &mut marks[..block.len() / N::SIZE];
            if plain || !self.mark_all::<N>(block, marks) {
                all.merge(&range);
            } else {
                all.merge(&scan::range_unmarked::<N>(block, marks));
                none = false;
            }
        }
        (all, none)
    }

    /// Whether a value shows that neither extreme can be isolated: others are near to each of them.
    fn is_spread_out<N: Number>(&self, raw: &[u8], extent: &Extent) -> bool {
        // An isolated minimum is FAR / (1 + FAR) of the range below the next value; less, for rounding.
        let far = 0.99 * FAR / (1.0 + FAR) * extent.range();
        let near_least = (N::cast(extent.min), N::cast(extent.min + far));
        let near_most = (N::cast(extent.max - far), N::cast(extent.max));
        let shows = |(low, high): (N, N)| {
            raw.chunks(BLOCK * N::SIZE).any(|block| {
                let within = |v: N| v > low && v < high && !self.is(v);
                scan::any_between::<N>(block, low, high)
                    && block.chunks_exact(N::SIZE).any(|b| within(N::read(b)))
            })
        };
        shows(near_least) && shows(near_most)
    }

    /// Bits of the largest or smallest value if it repeats and lies far from all others.
    fn isolated_extreme<N: Number>(&self, raw: &[u8], extent: &Extent) -> Option<u64> {
        if self.is_spread_out::<N>(raw, extent) {
            return None;
        }
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
        let clean =
            Special::new::<f32>(&Bound::Absolute(1e-3), None).survey::<f32>(&bytes(&values), 2).unwrap();
        for (i, v) in [f32::NAN, f32::INFINITY, -1e34, 1e20, 9.96921e36].into_iter().enumerate() {
            values[i * 7 + 1] = v;
        }
        for v in values.iter_mut().skip(500).step_by(9) {
            *v = -9999.0;
        }
        let mut special = Special::new::<f32>(&Bound::Absolute(1e-3), None);
        let extent = special.survey::<f32>(&bytes(&values), 2).unwrap();
        assert!(extent.min >= clean.min - 1e-6 && extent.max <= clean.max + 1e-6, "{extent:?}");
        assert!(special.is(-9999f32) && special.is(1e20f32) && special.is(-1e34f32) && !special.is(0f32));
    }

    #[test]
    fn large_values_are_numbers_unless_formats_use_them() {
        let special = Special::new::<f64>(&Bound::Absolute(1e-3), None);
        let marked = |values: &[f64]| {
            let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let mut marks = vec![7; values.len()];
            assert_eq!(special.mark::<f64>(&raw, &mut marks), marks.contains(&1));
            marks
        };
        assert_eq!(marked(&[1.0, 2e20, 3.0, -2e20]), [0, 0, 0, 0]);
        assert_eq!(marked(&[1.0, 1e20, 3.0, -1e20]), [0, 1, 0, 1]);
        assert_eq!(marked(&[2e20, 1e20, f64::NAN, -f64::INFINITY]), [0, 1, 1, 1]);
        assert_eq!(marked(&[f64::INFINITY, 0.0, f64::NEG_INFINITY]), [1, 0, 1]);
    }
}
