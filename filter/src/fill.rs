//! The fill value that a user states: a number, to be cast to the dataset's type.

use augur_core::{ByteOrder, Dtype, Error, Result};

/// A fill value in the 64 bits that cd_values have for it.
///
/// Normally these are an IEEE double. A program that holds the value in the dataset's own type of 4
/// bytes or fewer may store its little-endian bytes with zeros above instead: as a double that would be a
/// subnormal of 1e-314 or less, which no type of 4 bytes can hold, so the two never collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill(u64);

impl Fill {
    /// The fill value `value`; it is cast to the dataset's type when the dataset is known.
    pub fn value(value: f64) -> Self {
        Self(value.to_bits())
    }

    /// A fill value by its 64 bits in cd_values.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64 bits in cd_values.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// The value's bytes in the given type and order, zeros after them.
    ///
    /// # Errors
    /// `InvalidArgument` when the type cannot hold the value.
    pub fn to_bytes(self, dtype: Dtype, order: ByteOrder) -> Result<[u8; 8]> {
        let size = dtype.size();
        let own_bits = self.0 != 0 && self.0 >> 32 == 0 && size <= 4;
        let le = if own_bits { self.0.to_le_bytes() } else { cast(f64::from_bits(self.0), dtype)? };
        if le[size..].iter().any(|&b| b != 0) {
            return Err(Error::invalid(format!(
                "the fill value's bits {:#x} need more than the {size} bytes of {}",
                self.0,
                dtype.name()
            )));
        }
        Ok(in_order(u64::from_le_bytes(le), dtype, order))
    }
}

/// The little-endian bytes of `value` in `dtype`, as a C cast gives them.
fn cast(value: f64, dtype: Dtype) -> Result<[u8; 8]> {
    let refuse = |why: &str| {
        Err(Error::invalid(format!(
            "the fill value {value} {why} {}; leave fill_value out, the dataset's own is used then",
            dtype.name()
        )))
    };
    let (low, high) = match dtype {
        Dtype::F64 => return Ok(value.to_le_bytes()),
        Dtype::F32 => {
            let v = value as f32;
            if v.is_infinite() && value.is_finite() {
                return refuse("is beyond the range of");
            }
            return Ok(u64::from(v.to_bits()).to_le_bytes());
        }
        Dtype::F16 => {
            let bits = half::f16::from_f64(value);
            if bits.is_infinite() && value.is_finite() {
                return refuse("is beyond the range of");
            }
            return Ok(u64::from(bits.to_bits()).to_le_bytes());
        }
        Dtype::I8 => (f64::from(i8::MIN), f64::from(i8::MAX)),
        Dtype::U8 => (0.0, f64::from(u8::MAX)),
        Dtype::I16 => (f64::from(i16::MIN), f64::from(i16::MAX)),
        Dtype::U16 => (0.0, f64::from(u16::MAX)),
        Dtype::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
        Dtype::U32 => (0.0, f64::from(u32::MAX)),
    };
    if !(low..=high).contains(&value) || value.fract() != 0.0 {
        return refuse("is no value of");
    }
    let mut out = [0; 8];
    let size = dtype.size();
    out[..size].copy_from_slice(&(value as i64).to_le_bytes()[..size]);
    Ok(out)
}

/// The fill values that most datasets have: zero, netCDF's default of the type, NaN. Their places in this
/// list are part of the cd_values.
pub(crate) const COMMON: [fn(Dtype, ByteOrder) -> [u8; 8]; 3] = [
    |_, _| [0; 8],
    |dtype, order| in_order(netcdf_default(dtype), dtype, order),
    |dtype, order| in_order(quiet_nan(dtype), dtype, order),
];

/// netCDF's `NC_FILL_*` of the type; all ones where netCDF has no such type.
fn netcdf_default(dtype: Dtype) -> u64 {
    const REAL: f64 = 9.969_209_968_386_869e36;
    match dtype {
        Dtype::F16 => 0xffff,
        Dtype::F32 => u64::from((REAL as f32).to_bits()),
        Dtype::F64 => REAL.to_bits(),
        Dtype::I8 => u64::from(-127i8 as u8),
        Dtype::U8 => u64::from(u8::MAX),
        Dtype::I16 => u64::from(-32767i16 as u16),
        Dtype::U16 => u64::from(u16::MAX),
        Dtype::I32 => u64::from(-2_147_483_647i32 as u32),
        Dtype::U32 => u64::from(u32::MAX),
    }
}

/// NumPy's NaN of a float type; all ones for integers, which have none.
fn quiet_nan(dtype: Dtype) -> u64 {
    match dtype {
        Dtype::F16 => 0x7e00,
        Dtype::F32 => 0x7fc0_0000,
        Dtype::F64 => 0x7ff8_0000_0000_0000,
        Dtype::I8 | Dtype::U8 => 0xff,
        Dtype::I16 | Dtype::U16 => 0xffff,
        Dtype::I32 | Dtype::U32 => 0xffff_ffff,
    }
}

/// The bytes of a value whose bits are the low ones of `bits`.
fn in_order(bits: u64, dtype: Dtype, order: ByteOrder) -> [u8; 8] {
    let mut bytes = bits.to_le_bytes();
    if order == ByteOrder::Big {
        bytes[..dtype.size()].reverse();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_becomes_the_bytes_that_c_would_store() {
        let le = |f: f64, d| Fill::value(f).to_bytes(d, ByteOrder::Little).unwrap();
        assert_eq!(le(9.969_209_968_386_869e36, Dtype::F32)[..4], 9.969_21e36f32.to_le_bytes());
        assert_eq!(le(1e20, Dtype::F32)[..4], 1e20f32.to_le_bytes());
        assert_eq!(le(-0.0, Dtype::F32)[..4], (-0.0f32).to_le_bytes());
        assert_eq!(le(-1e34, Dtype::F64), (-1e34f64).to_le_bytes());
        assert_eq!(le(-32768.0, Dtype::I16)[..2], i16::MIN.to_le_bytes());
        assert_eq!(le(4294967295.0, Dtype::U32)[..4], u32::MAX.to_le_bytes());
        assert_eq!(le(-999.0, Dtype::F16)[..2], half::f16::from_f64(-999.0).to_le_bytes());
        assert!(f32::from_le_bytes(le(f64::NAN, Dtype::F32)[..4].try_into().unwrap()).is_nan());
    }

    #[test]
    fn big_endian_data_get_big_endian_bytes() {
        let be = Fill::value(-999.0).to_bytes(Dtype::F32, ByteOrder::Big).unwrap();
        assert_eq!(be, [0xc4, 0x79, 0xc0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn own_bits_of_a_small_type_are_taken_as_they_are() {
        let bits = u64::from((-999.0f32).to_bits());
        let fill = Fill::from_bits(bits).to_bytes(Dtype::F32, ByteOrder::Little).unwrap();
        assert_eq!(fill[..4], (-999.0f32).to_le_bytes());
        assert!(Fill::from_bits(0x12345).to_bytes(Dtype::I16, ByteOrder::Little).is_err());
    }

    #[test]
    fn what_the_type_cannot_hold_is_refused() {
        for (value, dtype) in [
            (1e20, Dtype::I16),
            (0.5, Dtype::I32),
            (-1.0, Dtype::U8),
            (f64::NAN, Dtype::U16),
            (1e39, Dtype::F32),
            (1e6, Dtype::F16),
        ] {
            let e = Fill::value(value).to_bytes(dtype, ByteOrder::Little).unwrap_err();
            assert!(e.message().contains(dtype.name()), "{e}");
        }
    }
}
