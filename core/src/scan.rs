//! The loops that look at every value of a chunk: extent, marks of special values, positions on the grid, values of
//! grid points and their comparison with the truth.
//!
//! Each is plain Rust over blocks that fit the nearest cache, in a form that compilers vectorise, and is compiled for
//! several instruction sets as the predictors' loops are (`machine`). All arithmetic is of single operations
//! that IEEE 754 defines, so that the results are the same bits.

use crate::grid::Mapping;
use crate::number::Number;

/// As `for_this_machine!`, for functions that are generic and return something.
macro_rules! number_kernel {
    ($(#[$doc:meta])* pub fn $name:ident[$($generic:tt)*][$($given:tt)*]($($arg:ident: $t:ty),* $(,)?) -> $r:ty $body:block) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        pub fn $name<$($generic)*>($($arg: $t),*) -> $r {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn portable<$($generic)*>($($arg: $t),*) -> $r $body
            #[cfg(target_arch = "x86_64")]
            {
                use $crate::machine::{instruction_set, InstructionSet};
                #[target_feature(enable = "avx2")]
                #[allow(clippy::too_many_arguments)]
                fn avx2<$($generic)*>($($arg: $t),*) -> $r { portable::<$($given)*>($($arg),*) }
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
                #[allow(clippy::too_many_arguments)]
                fn avx512<$($generic)*>($($arg: $t),*) -> $r { portable::<$($given)*>($($arg),*) }
                match instruction_set() {
                    // SAFETY: the machine has these instructions, `instruction_set` asked it.
                    InstructionSet::Avx512 => return unsafe { avx512::<$($given)*>($($arg),*) },
                    // SAFETY: as above.
                    InstructionSet::Avx2 => return unsafe { avx2::<$($given)*>($($arg),*) },
                    InstructionSet::Portable => {}
                }
            }
            portable::<$($given)*>($($arg),*)
        }
    };
}

/// Values that are looked at together.
pub const BLOCK: usize = 2048;
/// Accumulators of a reduction, so that one does not wait for the other.
const LANES: usize = 32;

/// Smallest and largest value of a block; the largest magnitude, as bits.
#[derive(Clone, Copy)]
pub struct Range<N: Number> {
    /// Smallest.
    pub low: N,
    /// Largest.
    pub high: N,
    /// Largest magnitude; that of NaN is larger than that of infinity.
    pub top: N::Bits,
}

impl<N: Number> Range<N> {
    /// Of no values.
    pub fn empty() -> Self {
        Self { low: N::cast(f64::INFINITY), high: N::cast(f64::NEG_INFINITY), top: N::narrow(0) }
    }

    #[inline(always)]
    fn add(&mut self, v: N) {
        self.low = if v < self.low { v } else { self.low };
        self.high = if v > self.high { v } else { self.high };
        self.top = self.top.max(v.magnitude());
    }

    /// With the values of another one.
    pub fn merge(&mut self, other: &Self) {
        self.low = if other.low < self.low { other.low } else { self.low };
        self.high = if other.high > self.high { other.high } else { self.high };
        self.top = self.top.max(other.top);
    }
}

number_kernel! {
    /// Range of the values; without meaning, but for `top`, where NaN is among them.
    pub fn range[N: Number][N](raw: &[u8]) -> Range<N> {
        // An array for each accumulator: together they would be put in order and out of it again at each step.
        let none = Range::<N>::empty();
        let (mut low, mut high, mut top) = ([none.low; LANES], [none.high; LANES], [none.top; LANES]);
        let mut rows = raw.chunks_exact(LANES * N::SIZE);
        for row in &mut rows {
            for i in 0..LANES {
                let v = N::read(&row[i * N::SIZE..][..N::SIZE]);
                low[i] = if v < low[i] { v } else { low[i] };
                high[i] = if v > high[i] { v } else { high[i] };
                top[i] = top[i].max(v.magnitude());
            }
        }
        let mut all = none;
        rows.remainder().chunks_exact(N::SIZE).for_each(|b| all.add(N::read(b)));
        for ((low, high), top) in low.into_iter().zip(high).zip(top) {
            all.merge(&Range { low, high, top });
        }
        all
    }
}

number_kernel! {
    /// Range of the values whose mark is 0, but for `top`.
    pub fn range_unmarked[N: Number][N](raw: &[u8], marks: &[u8]) -> Range<N> {
        let none = Range::<N>::empty();
        let (mut low, mut high) = ([none.low; LANES], [none.high; LANES]);
        let mut add = |i: usize, v: N, mark: u8| {
            let (least, most) = if mark == 0 { (v, v) } else { (none.low, none.high) };
            low[i] = if least < low[i] { least } else { low[i] };
            high[i] = if most > high[i] { most } else { high[i] };
        };
        let (mut rows, mut of_rows) = (raw.chunks_exact(LANES * N::SIZE), marks.chunks_exact(LANES));
        for (row, marks) in (&mut rows).zip(&mut of_rows) {
            for i in 0..LANES {
                add(i, N::read(&row[i * N::SIZE..][..N::SIZE]), marks[i]);
            }
        }
        for (b, m) in rows.remainder().chunks_exact(N::SIZE).zip(of_rows.remainder()) {
            add(0, N::read(b), *m);
        }
        let mut all = none;
        for (low, high) in low.into_iter().zip(high) {
            all.merge(&Range { low, high, top: none.top });
        }
        all
    }
}

number_kernel! {
    /// Whether a value has these bits.
    pub fn any_equal[N: Number][N](raw: &[u8], bits: N::Bits) -> bool {
        raw.chunks_exact(N::SIZE).fold(false, |any, b| any | (N::read(b).own_bits() == bits))
    }
}

number_kernel! {
    /// Whether a value lies between the two, and is neither.
    pub fn any_between[N: Number][N](raw: &[u8], low: N, high: N) -> bool {
        raw.chunks_exact(N::SIZE).map(N::read).fold(false, |any, v| any | ((v > low) & (v < high)))
    }
}

number_kernel! {
    /// Marks the values of a magnitude of at least `least`, and no others.
    pub fn mark_large[N: Number][N](raw: &[u8], least: N::Bits, marks: &mut [u8]) -> () {
        for (m, b) in marks.iter_mut().zip(raw.chunks_exact(N::SIZE)) {
            *m = u8::from(N::read(b).magnitude() >= least);
        }
    }
}

number_kernel! {
    /// Whether all values of a magnitude of at least `least` have this one.
    pub fn large_are[N: Number][N](raw: &[u8], least: N::Bits, magnitude: N::Bits) -> bool {
        raw.chunks_exact(N::SIZE).map(|b| N::read(b).magnitude()).fold(true, |all, m| all & ((m < least) | (m == magnitude)))
    }
}

number_kernel! {
    /// Marks the values of a magnitude below `least`, too.
    pub fn mark_small[N: Number][N](raw: &[u8], least: f64, marks: &mut [u8]) -> () {
        for (m, b) in marks.iter_mut().zip(raw.chunks_exact(N::SIZE)) {
            *m |= u8::from(N::read(b).to_f64().abs() < least);
        }
    }
}

number_kernel! {
    /// Marks the values of a magnitude above `most`, too.
    pub fn mark_beyond[N: Number][N](raw: &[u8], most: f64, marks: &mut [u8]) -> () {
        for (m, b) in marks.iter_mut().zip(raw.chunks_exact(N::SIZE)) {
            *m |= u8::from(N::read(b).to_f64().abs() > most);
        }
    }
}

number_kernel! {
    /// Marks the values of this magnitude, too.
    pub fn mark_magnitude[N: Number][N](raw: &[u8], magnitude: N::Bits, marks: &mut [u8]) -> () {
        for (m, b) in marks.iter_mut().zip(raw.chunks_exact(N::SIZE)) {
            *m |= u8::from(N::read(b).magnitude() == magnitude);
        }
    }
}

number_kernel! {
    /// Marks the values of these bits, too.
    pub fn mark_equal[N: Number][N](raw: &[u8], bits: N::Bits, marks: &mut [u8]) -> () {
        for (m, b) in marks.iter_mut().zip(raw.chunks_exact(N::SIZE)) {
            *m |= u8::from(N::read(b).own_bits() == bits);
        }
    }
}

/// A linear grid around the middle of a chunk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear {
    /// Value of the grid point `middle`.
    pub unit: f64,
    /// 1 / unit.
    pub scale: f64,
    /// Subtracted from every position, a whole number below 2^52.
    pub middle: f64,
    /// Value at position 0.
    pub origin: f64,
}

/// What the mapping of a block finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Smallest position.
    pub low: i32,
    /// Largest position.
    pub high: i32,
}

/// 1.5 * 2^52: adding it rounds to an integer, which then stands in the low bits, without a function call.
pub const ROUND: f64 = 6_755_399_441_055_744.0;

number_kernel! {
    /// Positions of the values on the grid.
    pub fn positions[N: Number][N](raw: &[u8], grid: &Linear, k: &mut [i32]) -> Found {
        for (k, b) in k.iter_mut().zip(raw.chunks_exact(N::SIZE)) {
            let rounded = (N::read(b).to_f64() - grid.origin) * grid.scale - grid.middle + ROUND;
            *k = rounded.to_bits() as i32;
        }
        let mut found = Found { low: i32::MAX, high: i32::MIN };
        for &k in k.iter() {
            found.low = found.low.min(k);
            found.high = found.high.max(k);
        }
        found
    }
}

number_kernel! {
    /// The next grid point at or below each value.
    pub fn floors[N: Number][N](raw: &[u8], grid: &Linear, k: &mut [i32]) -> () {
        for (k, b) in k.iter_mut().zip(raw.chunks_exact(N::SIZE)) {
            let floor = ((N::read(b).to_f64() - grid.origin) * grid.scale - grid.middle).floor();
            *k = (floor + ROUND).to_bits() as i32;
        }
    }
}

number_kernel! {
    /// Sets the marked positions to 0; range of the others.
    pub fn clear_marked[][](marks: &[u8], k: &mut [i32]) -> Found {
        let mut found = Found { low: i32::MAX, high: i32::MIN };
        for (k, m) in k.iter_mut().zip(marks) {
            let valid = *m == 0;
            found.low = found.low.min(if valid { *k } else { i32::MAX });
            found.high = found.high.max(if valid { *k } else { i32::MIN });
            *k = if valid { *k } else { 0 };
        }
        found
    }
}

number_kernel! {
    /// How many values say whether they were decoded before, and how many of these are what their position decodes
    /// to. Zero is on every grid, a repeated value no more evidence than one, and integers at the limits of their type
    /// may have been cut off there, away from the grid.
    pub fn on_grid[N: Number][N](raw: &[u8], grid: &Linear, k: &[i32], marks: &[u8]) -> (usize, usize) {
        let (mut counted, mut same) = (0u32, 0u32);
        if raw.len() <= N::SIZE {
            return (0, 0);
        }
        let (lowest, highest) = (N::cast(f64::NEG_INFINITY).own_bits(), N::cast(f64::INFINITY).own_bits());
        let pairs = raw.chunks_exact(N::SIZE).zip(raw[N::SIZE..].chunks_exact(N::SIZE));
        for (((before, b), k), m) in pairs.zip(&k[1..]).zip(&marks[1..]) {
            let v = N::read(b);
            let cut_off = !N::FLOAT & ((v.own_bits() == lowest) | (v.own_bits() == highest));
            let counts = (*m == 0)
                & (v.to_f64() != 0.0)
                & (N::read(before).own_bits() != v.own_bits())
                & !cut_off;
            let back = N::cast((f64::from(*k) + grid.middle) * grid.unit + grid.origin);
            counted += u32::from(counts);
            same += u32::from(counts & (back.own_bits() == v.own_bits()));
        }
        (counted as usize, same as usize)
    }
}

number_kernel! {
    /// Number of unmarked values that a lattice (no logarithmic mapping) does not give back within `slack`.
    pub fn off_lattice[N: Number][N](raw: &[u8], mapping: &Mapping, slack: f64, marks: &[u8]) -> usize {
        let quotient = matches!(mapping, Mapping::Quotient(_));
        let (unit, origin) = mapping.parameters();
        let mut missed = 0u32;
        if quotient {
            for (b, m) in raw.chunks_exact(N::SIZE).zip(marks) {
                let x = N::read(b).to_f64();
                let k = x * unit + ROUND - ROUND;
                let off = (N::cast(k / unit).to_f64() - x).abs();
                missed += u32::from((*m == 0) & (off > slack));
            }
        } else {
            let scale = 1.0 / unit;
            for (b, m) in raw.chunks_exact(N::SIZE).zip(marks) {
                let x = N::read(b).to_f64();
                let k = (x - origin) * scale + ROUND - ROUND;
                let off = (N::cast(k * unit + origin).to_f64() - x).abs();
                missed += u32::from((*m == 0) & (off > slack));
            }
        }
        missed as usize
    }
}

number_kernel! {
    /// How many of the values (numbers N) are what a point of the linear grid with this unit decodes to.
    pub fn grid_points[N: Number][N](values: &[f64], unit: f64) -> usize {
        let scale = 1.0 / unit;
        let count = values.iter().fold(0u64, |n, x| {
            let k = x * scale + ROUND - ROUND;
            n + u64::from(N::cast(k * unit).to_f64() == *x)
        });
        count as usize
    }
}

/// Grid points as values: (scale * k + add) * unit + origin. The inner sum is exact for integers below 2^52.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// 1, or 2 for points half a unit above the grid's.
    pub scale: f64,
    /// Scaled offset and half unit.
    pub add: f64,
    /// Unit, or half of it.
    pub unit: f64,
    /// Value at 0.
    pub origin: f64,
}

impl Line {
    #[inline(always)]
    fn value<N: Number>(&self, k: i32) -> N {
        N::cast((self.scale * f64::from(k) + self.add) * self.unit + self.origin)
    }
}

number_kernel! {
    /// Values of the grid points.
    pub fn values[N: Number][N](k: &[i32], line: &Line, out: &mut [u8]) -> () {
        for (o, k) in out.chunks_exact_mut(N::SIZE).zip(k) {
            line.value::<N>(*k).write(o);
        }
    }
}

number_kernel! {
    /// [`values`], and whether each is within `allowed` of the truth, or has a mark where there are any.
    pub fn values_within[N: Number][N](
        k: &[i32],
        line: &Line,
        truth: &[u8],
        marks: Option<&[u8]>,
        allowed: f64,
        out: &mut [u8],
    ) -> bool {
        let mut all = true;
        let values = out.chunks_exact_mut(N::SIZE).zip(k).zip(truth.chunks_exact(N::SIZE));
        // NaN fails the comparison.
        let within = |v: N, b: &[u8]| (v.to_f64() - N::read(b).to_f64()).abs() <= allowed;
        if let Some(marks) = marks {
            for (((o, k), b), m) in values.zip(marks) {
                let v = line.value::<N>(*k);
                all &= within(v, b) | (*m != 0);
                v.write(o);
            }
        } else {
            for ((o, k), b) in values {
                let v = line.value::<N>(*k);
                all &= within(v, b);
                v.write(o);
            }
        }
        all
    }
}

number_kernel! {
    /// Sum of the squares of the differences, times `scale`, at points without a mark.
    pub fn squares[N: Number][N](truth: &[u8], decoded: &[u8], marks: &[u8], scale: f64) -> f64 {
        let mut lanes = [0f64; LANES];
        let size = LANES * N::SIZE;
        for ((a, b), m) in truth.chunks(size).zip(decoded.chunks(size)).zip(marks.chunks(LANES)) {
            let pairs = a.chunks_exact(N::SIZE).zip(b.chunks_exact(N::SIZE));
            for (((a, b), m), lane) in pairs.zip(m).zip(&mut lanes) {
                let d = (N::read(a).to_f64() - N::read(b).to_f64()) * scale;
                *lane += if *m == 0 { d * d } else { 0.0 };
            }
        }
        lanes.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bound::Bound;
    use crate::special::Special;
    use half::f16;
    use proptest::prelude::*;

    fn bytes<N: Number>(values: &[N]) -> Vec<u8> {
        let mut raw = vec![0; values.len() * N::SIZE];
        raw.chunks_exact_mut(N::SIZE).zip(values).for_each(|(b, v)| v.write(b));
        raw
    }

    /// Each loop against its definition, one value at a time.
    fn as_defined<N: Number>(values: &[N], fill: N, unit: f64, allowed: f64) -> Result<(), TestCaseError> {
        let raw = bytes(values);
        let mut special = Special::new::<N>(&Bound::Absolute(1.0), Some(fill.bits()));
        let extent = special.survey::<N>(&raw, 1);
        let valid: Vec<N> = values.iter().copied().filter(|v| !special.is(*v)).collect();
        prop_assert_eq!(extent.is_none(), valid.is_empty());
        let Some(extent) = extent else { return Ok(()) };
        let least = valid.iter().fold(f64::INFINITY, |m, v| m.min(v.to_f64()));
        let most = valid.iter().fold(f64::NEG_INFINITY, |m, v| m.max(v.to_f64()));
        prop_assert_eq!((extent.min, extent.max), (least, most));
        let mut limited = special.clone();
        limited.limit::<N>(40.0);
        let mut marks = vec![7; values.len()];
        limited.mark::<N>(&raw, &mut marks);
        for (m, v) in marks.iter().zip(values) {
            prop_assert_eq!(*m != 0, limited.is(*v));
            prop_assert_eq!(*m != 0, special.is(*v) || v.to_f64().abs() > 40.0);
        }
        let inside = limited.extent::<N>(&raw, 1);
        let most =
            valid.iter().map(|v| v.to_f64()).filter(|x| x.abs() <= 40.0).fold(f64::NEG_INFINITY, f64::max);
        prop_assert_eq!(inside.map_or(f64::NEG_INFINITY, |e| e.max), most);
        let mut marks = vec![7; values.len()];
        let any = special.mark::<N>(&raw, &mut marks);
        for (m, v) in marks.iter().zip(values) {
            prop_assert_eq!(*m != 0, special.is(*v));
        }
        prop_assert_eq!(any, marks.contains(&1));

        let grid = Linear { unit, scale: 1.0 / unit, middle: (least / unit).round(), origin: 0.0 };
        let mut k = vec![0; values.len()];
        positions::<N>(&raw, &grid, &mut k);
        let found = clear_marked(&marks, &mut k);
        let expected = |v: &N| (v.to_f64() * grid.scale - grid.middle).round_ties_even() as i32;
        for ((k, m), v) in k.iter().zip(&marks).zip(values) {
            prop_assert_eq!(*k, if *m == 0 { expected(v) } else { 0 });
        }
        prop_assert_eq!(found.low, valid.iter().map(expected).min().unwrap_or(0));
        prop_assert_eq!(found.high, valid.iter().map(expected).max().unwrap_or(0));
        let mut floored = vec![0; values.len()];
        floors::<N>(&raw, &grid, &mut floored);
        for ((k, m), v) in floored.iter().zip(&marks).zip(values) {
            let floor = (v.to_f64() * grid.scale - grid.middle).floor() as i32;
            prop_assert!(*m != 0 || *k == floor);
        }

        let line = Line { scale: 1.0, add: grid.middle, unit, origin: 0.0 };
        let mut out = vec![0; raw.len()];
        let within = values_within::<N>(&k, &line, &raw, None, allowed, &mut out);
        let mut again = vec![0; raw.len()];
        let unmarked_within = values_within::<N>(&k, &line, &raw, Some(&marks), allowed, &mut again);
        prop_assert_eq!(&out, &again);
        super::values::<N>(&k, &line, &mut again);
        prop_assert_eq!(&out, &again);
        let (mut all, mut unmarked, mut counted, mut same) = (true, true, 0, 0);
        for (i, (k, v)) in k.iter().zip(values).enumerate() {
            let decoded = N::cast((f64::from(*k) + grid.middle) * unit);
            prop_assert_eq!(decoded.bits(), N::read(&out[i * N::SIZE..]).bits());
            all &= (decoded.to_f64() - v.to_f64()).abs() <= allowed;
            unmarked &= (decoded.to_f64() - v.to_f64()).abs() <= allowed || marks[i] != 0;
            let limits = [f64::INFINITY, f64::NEG_INFINITY].map(|v| N::cast(v).bits());
            let cut_off = !N::FLOAT && limits.contains(&v.bits());
            let repeated = i == 0 || values[i - 1].bits() == v.bits();
            if marks[i] == 0 && v.to_f64() != 0.0 && !repeated && !cut_off {
                counted += 1;
                same += usize::from(decoded.bits() == v.bits());
            }
        }
        prop_assert_eq!((within, unmarked_within), (all, unmarked));
        prop_assert_eq!(on_grid::<N>(&raw, &grid, &k, &marks), (counted, same));
        Ok(())
    }

    /// Whole numbers, so that the sum in `Special` and here is the same, with values of every special kind.
    fn any_values() -> impl Strategy<Value = Vec<f64>> {
        let odd = [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e20,
            -1e34,
            9.969_209_968_386_869e36,
            -9999.0,
            -0.0,
        ];
        let one = prop_oneof![
            20 => (-120i32..120).prop_map(f64::from),
            1 => prop::sample::select(odd.to_vec()),
        ];
        let same =
            (prop::sample::select(odd.to_vec()), prop::collection::vec((0u8..5, -120i32..120), 1..200))
                .prop_map(|(odd, all)| {
                    all.iter().map(|(k, v)| if *k == 0 { odd } else { f64::from(*v) }).collect()
                });
        prop_oneof![
            prop::collection::vec(one, 1..200),
            same,
            prop::collection::vec((-120i32..120).prop_map(f64::from), 1..3000),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn loops_do_what_they_say(values in any_values(), fill in -130i32..130, allowed in 0.0f64..1.0) {
            let fill = f64::from(fill);
            macro_rules! check {
                ($($t:ty),*) => {$(
                    let typed: Vec<$t> = values.iter().map(|v| <$t as Number>::cast(*v)).collect();
                    as_defined::<$t>(&typed, <$t as Number>::cast(fill), if <$t>::FLOAT { 0.75 } else { 3.0 }, allowed)?;
                )*};
            }
            check!(f16, f32, f64, i8, u8, i16, u16, i32, u32);
        }
    }
}
