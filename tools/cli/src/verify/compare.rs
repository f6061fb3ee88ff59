//! Comparing an original with its copy, against the bound that was asked for.
//!
//! Nothing here trusts what the encoder says about itself: limits follow from the bound and the
//! original's values alone. Special values (NaN, infinities, the fill value) must be the same bits.

use augur_core::{Bound, ByteOrder, Dtype};

/// Bits (as an unsigned number) and value of every element.
pub struct Elements<'a> {
    bytes: &'a [u8],
    dtype: Dtype,
    order: ByteOrder,
}

impl<'a> Elements<'a> {
    /// Elements of this type and order in `bytes`.
    pub fn new(bytes: &'a [u8], dtype: Dtype, order: ByteOrder) -> Self {
        Self { bytes, dtype, order }
    }

    fn bits(&self) -> impl Iterator<Item = u64> + '_ {
        let big = self.order == ByteOrder::Big;
        self.bytes.chunks_exact(self.dtype.size()).map(move |element| {
            let join = |bits: u64, &byte: &u8| bits << 8 | u64::from(byte);
            if big {
                element.iter().fold(0, join)
            } else {
                element.iter().rev().fold(0, join)
            }
        })
    }
}

/// The value of an element's bits. Exact for every type.
fn value(bits: u64, dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F16 => half(bits as u16),
        Dtype::F32 => f64::from(f32::from_bits(bits as u32)),
        Dtype::F64 => f64::from_bits(bits),
        Dtype::I8 => f64::from(bits as u8 as i8),
        Dtype::I16 => f64::from(bits as u16 as i16),
        Dtype::I32 => f64::from(bits as u32 as i32),
        Dtype::U8 | Dtype::U16 | Dtype::U32 => bits as f64,
    }
}

/// IEEE binary16.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    match exponent {
        31 if fraction == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        0 => sign * fraction * 2f64.powi(-24),
        e => sign * (1024.0 + fraction) * 2f64.powi(e - 25),
    }
}

/// What was found in a box of elements, or in many.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Elements that were compared by value.
    pub compared: u64,
    /// Special elements: NaN, infinities, fill values.
    pub special: u64,
    /// Elements that had to be the same bits and are not.
    pub inexact: u64,
    /// Largest absolute error.
    pub largest: f64,
    /// Index of the element with the largest absolute error, within its box.
    pub largest_at: usize,
    /// Largest error as a fraction of what was allowed there; infinite where nothing was.
    pub worst: f64,
    /// Sum of squared errors.
    pub squares: f64,
    /// Smallest value of the original, special ones left out.
    pub low: f64,
    /// Largest value of the original, special ones left out.
    pub high: f64,
}

impl Default for Found {
    fn default() -> Self {
        Self {
            compared: 0,
            special: 0,
            inexact: 0,
            largest: 0.0,
            largest_at: 0,
            worst: 0.0,
            squares: 0.0,
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
        }
    }
}

impl Found {
    /// Whether every promise holds.
    pub fn holds(&self) -> bool {
        self.worst <= 1.0 && self.inexact == 0
    }

    /// Largest minus smallest value; 0 where there is none.
    pub fn range(&self) -> f64 {
        (self.high - self.low).max(0.0)
    }

    /// Peak signal-to-noise ratio in dB; infinite where nothing was lost.
    pub fn psnr(&self) -> f64 {
        if self.squares == 0.0 {
            return f64::INFINITY;
        }
        20.0 * (self.range() / self.rmse()).log10()
    }

    fn rmse(&self) -> f64 {
        (self.squares / self.compared.max(1) as f64).sqrt()
    }

    /// Adds what another box showed; true when that box has the largest error so far.
    pub fn add(&mut self, other: &Found) -> bool {
        let larger = other.largest > self.largest;
        self.compared += other.compared;
        self.special += other.special;
        self.inexact += other.inexact;
        if larger {
            self.largest = other.largest;
            self.largest_at = other.largest_at;
        }
        self.worst = self.worst.max(other.worst);
        self.squares += other.squares;
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
        larger
    }
}

/// Error as a fraction of what is allowed; 0 for no error even where none is allowed.
fn fraction(error: f64, allowed: f64) -> f64 {
    if error == 0.0 {
        0.0
    } else {
        // NaN (an allowance that overflowed) counts as broken.
        let f = error / allowed;
        if f.is_nan() {
            f64::INFINITY
        } else {
            f
        }
    }
}

/// Compares a box of the original with the same box of the copy.
///
/// For bounds that refer to the value range of a chunk the box must be that chunk. `fill` is the fill
/// value's bits as a number.
pub fn compare(
    original: &Elements<'_>,
    copy: &Elements<'_>,
    bound: Option<&Bound>,
    fill: Option<u64>,
) -> Found {
    let dtype = original.dtype;
    let exact = bound == Some(&Bound::Lossless);
    let mut found = Found::default();
    for (i, (a, b)) in original.bits().zip(copy.bits()).enumerate() {
        let x = value(a, dtype);
        if !x.is_finite() || fill == Some(a) {
            found.special += 1;
            found.inexact += u64::from(a != b);
            continue;
        }
        let y = value(b, dtype);
        let error = if y.is_finite() { (x - y).abs() } else { f64::INFINITY };
        found.compared += 1;
        found.low = found.low.min(x);
        found.high = found.high.max(x);
        found.squares += error * error;
        if error > found.largest {
            found.largest = error;
            found.largest_at = i;
        }
        if exact {
            found.inexact += u64::from(a != b);
        }
        if let Some(&Bound::PointwiseRelative { rel, floor }) = bound {
            if x.abs() < floor {
                found.inexact += u64::from(a != b);
            } else {
                found.worst = found.worst.max(fraction(error, rel * x.abs()));
            }
        }
    }
    if let Some(bound) = bound {
        found.worst = found.worst.max(worst(&found, bound, found.range()));
    }
    found
}

/// The largest error of a box as a fraction of what the bound allows there, with this value range.
pub fn worst(found: &Found, bound: &Bound, range: f64) -> f64 {
    match *bound {
        // Both are judged element by element.
        Bound::Lossless | Bound::PointwiseRelative { .. } => found.worst,
        Bound::Absolute(e) => fraction(found.largest, e),
        Bound::Relative { rel, range: Some(r) } => fraction(found.largest, rel * r),
        Bound::Relative { rel, range: None } => fraction(found.largest, rel * range),
        Bound::AbsRel { abs, rel } => fraction(found.largest, abs.min(rel * range)),
        Bound::Psnr(db) => fraction(found.rmse(), range / 10f64.powf(db / 20.0)),
    }
}

/// Whether the bound refers to the value range of each chunk.
pub fn is_chunkwise(bound: &Bound) -> bool {
    matches!(bound, Bound::Relative { range: None, .. } | Bound::AbsRel { .. } | Bound::Psnr(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f32s(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    fn judge(a: &[f32], b: &[f32], bound: Bound) -> Found {
        let (a, b) = (f32s(a), f32s(b));
        let e = |x| Elements::new(x, Dtype::F32, ByteOrder::Little);
        compare(&e(&a), &e(&b), Some(&bound), Some(u64::from((-999f32).to_bits())))
    }

    #[test]
    fn each_bound_is_judged_at_its_edge() {
        for (bound, good, bad) in [
            (Bound::Absolute(0.25), [0.25, 8.25], [0.25, 8.375]),
            (Bound::Relative { rel: 0.125, range: None }, [1.0, 7.0], [1.125, 7.0]),
            (Bound::Relative { rel: 0.125, range: Some(2.0) }, [0.25, 8.0], [0.375, 8.0]),
            (Bound::AbsRel { abs: 1.0, rel: 0.0625 }, [0.5, 8.0], [0.75, 8.0]),
            (Bound::PointwiseRelative { rel: 0.125, floor: 0.0 }, [0.0, 9.0], [0.0, 9.125]),
            (Bound::Lossless, [0.0, 8.0], [-0.0, 8.0]),
        ] {
            assert!(judge(&[0.0, 8.0], &good, bound).holds(), "{bound:?}");
            assert!(!judge(&[0.0, 8.0], &bad, bound).holds(), "{bound:?}");
        }
        assert_eq!(judge(&[0.0, 8.0], &[0.25, 8.0], Bound::Absolute(0.25)).worst, 1.0);
    }

    #[test]
    fn a_zero_and_what_lies_below_the_floor_must_stay() {
        let bound = Bound::PointwiseRelative { rel: 0.5, floor: 1.0 };
        assert!(!judge(&[0.5], &[0.625], bound).holds());
        let bound = Bound::PointwiseRelative { rel: 0.5, floor: 0.0 };
        assert!(!judge(&[0.0], &[1e-30], bound).holds());
        assert!(!judge(&[1.0], &[-1.0], bound).holds());
    }

    #[test]
    fn special_values_must_be_the_same_bits() {
        let bound = Bound::Absolute(1.0);
        assert!(judge(&[f32::NAN, f32::INFINITY, -999.0], &[f32::NAN, f32::INFINITY, -999.0], bound).holds());
        assert!(!judge(&[f32::from_bits(0x7fc0_0001)], &[f32::from_bits(0x7fc0_0002)], bound).holds());
        assert!(!judge(&[f32::INFINITY], &[f32::NEG_INFINITY], bound).holds());
        assert!(!judge(&[-999.0], &[-998.5], bound).holds());
        assert!(!judge(&[1.0], &[f32::NAN], bound).holds());
    }

    #[test]
    fn psnr_is_the_mean_over_the_chunk() {
        // Errors of 0.1 at a range of 10: 40 dB.
        let (a, b) = ([0.0, 10.0, 5.0, 5.0], [0.1, 10.1, 5.1, 4.9]);
        let found = judge(&a, &b, Bound::Psnr(39.9));
        assert!((found.psnr() - 40.0).abs() < 1e-4 && found.holds(), "{found:?}");
        assert!(!judge(&a, &b, Bound::Psnr(40.1)).holds());
    }

    #[test]
    fn every_type_and_order_is_read() {
        for (bits, dtype, expected) in [
            (0x3c00u64, Dtype::F16, 1.0),
            (0x0001, Dtype::F16, 2f64.powi(-24)),
            (0xfbff, Dtype::F16, -65504.0),
            (0xff, Dtype::I8, -1.0),
            (0xff, Dtype::U8, 255.0),
            (0x8000, Dtype::I16, -32768.0),
            (0xffff_ffff, Dtype::U32, 4_294_967_295.0),
            (0xffff_ffff, Dtype::I32, -1.0),
        ] {
            let le = &bits.to_le_bytes()[..dtype.size()];
            let be: Vec<u8> = le.iter().rev().copied().collect();
            for (bytes, order) in [(le, ByteOrder::Little), (be.as_slice(), ByteOrder::Big)] {
                let read: Vec<u64> = Elements::new(bytes, dtype, order).bits().collect();
                assert_eq!(read, [bits]);
            }
            assert_eq!(value(bits, dtype), expected);
        }
    }
}
