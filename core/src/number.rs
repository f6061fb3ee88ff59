//! The stored number types: reading, writing, and the cast from the decoder's arithmetic.

use half::f16;

/// A stored number type. Bytes are little-endian here; big-endian chunks are swapped beforehand.
pub trait Number: Copy + PartialOrd + Send + Sync + 'static {
    /// The value's bits as an unsigned number of its own size, so that comparisons of bits vectorise as well as those
    /// of values.
    type Bits: Copy + Eq + Ord + Send;
    /// Bytes of one value.
    const SIZE: usize;
    /// Whether values carry a fraction.
    const FLOAT: bool;
    /// Significand bits including the hidden one; 0 for integers.
    const PRECISION: i32;
    /// Reads the value at the start of `bytes`, which has SIZE bytes.
    fn read(bytes: &[u8]) -> Self;
    /// Writes the value to `bytes`, which has SIZE bytes.
    fn write(self, bytes: &mut [u8]);
    /// The value; exact for every supported type.
    fn to_f64(self) -> f64;
    /// `v` as this type: the nearest floating-point number; integers are cut off towards zero and saturate.
    fn cast(v: f64) -> Self;
    /// The value's bits, zero-extended.
    fn bits(self) -> u64;
    /// The value's bits.
    fn own_bits(self) -> Self::Bits;
    /// The value's bits without the sign of a floating-point number: they order finite magnitudes, infinity and NaN.
    fn magnitude(self) -> Self::Bits;
    /// The low bits of `bits` as this type's.
    fn narrow(bits: u64) -> Self::Bits;
}

macro_rules! number {
    ($t:ty, $bits:ty, $float:expr, $precision:expr, $to:expr, $from:expr, $raw:expr) => {
        impl Number for $t {
            type Bits = $bits;
            const SIZE: usize = size_of::<$t>();
            const FLOAT: bool = $float;
            const PRECISION: i32 = $precision;
            #[inline(always)]
            fn read(bytes: &[u8]) -> Self {
                let mut b = [0; size_of::<$t>()];
                b.copy_from_slice(&bytes[..size_of::<$t>()]);
                <$t>::from_le_bytes(b)
            }
            #[inline(always)]
            fn write(self, bytes: &mut [u8]) {
                bytes[..size_of::<$t>()].copy_from_slice(&self.to_le_bytes());
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                $to(self)
            }
            #[inline(always)]
            fn cast(v: f64) -> Self {
                $from(v)
            }
            #[inline(always)]
            fn bits(self) -> u64 {
                u64::from($raw(self) as $bits)
            }
            #[inline(always)]
            fn own_bits(self) -> $bits {
                $raw(self) as $bits
            }
            #[inline(always)]
            fn magnitude(self) -> $bits {
                $raw(self) as $bits & if $float { <$bits>::MAX >> 1 } else { <$bits>::MAX }
            }
            #[inline(always)]
            fn narrow(bits: u64) -> $bits {
                bits as $bits
            }
        }
    };
}

number!(f16, u16, true, 11, f16::to_f64_const, f16::from_f64_const, f16::to_bits);
number!(f32, u32, true, 24, f64::from, |v| v as f32, f32::to_bits);
number!(f64, u64, true, 53, |v| v, |v| v, f64::to_bits);
number!(i8, u8, false, 0, f64::from, |v: f64| v as i8, |v| v);
number!(u8, u8, false, 0, f64::from, |v: f64| v as u8, |v| v);
number!(i16, u16, false, 0, f64::from, |v: f64| v as i16, |v| v);
number!(u16, u16, false, 0, f64::from, |v: f64| v as u16, |v| v);
number!(i32, u32, false, 0, f64::from, |v: f64| v as i32, |v| v);
number!(u32, u32, false, 0, f64::from, |v: f64| v as u32, |v| v);

/// Runs `$body` with `$t` as the Rust type of `$dtype`.
macro_rules! with_number {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::dtype::Dtype::F16 => {
                type $t = half::f16;
                $body
            }
            $crate::dtype::Dtype::F32 => {
                type $t = f32;
                $body
            }
            $crate::dtype::Dtype::F64 => {
                type $t = f64;
                $body
            }
            $crate::dtype::Dtype::I8 => {
                type $t = i8;
                $body
            }
            $crate::dtype::Dtype::U8 => {
                type $t = u8;
                $body
            }
            $crate::dtype::Dtype::I16 => {
                type $t = i16;
                $body
            }
            $crate::dtype::Dtype::U16 => {
                type $t = u16;
                $body
            }
            $crate::dtype::Dtype::I32 => {
                type $t = i32;
                $body
            }
            $crate::dtype::Dtype::U32 => {
                type $t = u32;
                $body
            }
        }
    };
}
pub(crate) use with_number;
