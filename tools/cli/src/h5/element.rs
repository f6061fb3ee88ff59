//! Number types that plain files, pictures and datasets have in common, by the names that NumPy and SDRBench
//! give them.

use super::{check, types, Id};
use crate::failure::Result;
use augur_core::ByteOrder;
use hdf5_sys::h5t::{
    H5T_order_t, H5Tequal, H5Tset_order, H5T_IEEE_F32LE, H5T_IEEE_F64LE, H5T_STD_I16LE, H5T_STD_I32LE,
    H5T_STD_I64LE, H5T_STD_I8LE, H5T_STD_U16LE, H5T_STD_U32LE, H5T_STD_U64LE, H5T_STD_U8LE,
};

/// The byte order of this machine.
pub const NATIVE: ByteOrder = if cfg!(target_endian = "big") { ByteOrder::Big } else { ByteOrder::Little };

/// Type of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// IEEE half precision.
    F16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 16 bits.
    I16,
    /// Unsigned, 16 bits.
    U16,
    /// Signed, 32 bits.
    I32,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 64 bits.
    I64,
    /// Unsigned, 64 bits.
    U64,
}

use Element::{F16, F32, F64, I16, I32, I64, I8, U16, U32, U64, U8};

/// All of them.
const ALL: [Element; 11] = [F16, F32, F64, I8, U8, I16, U16, I32, U32, I64, U64];

impl Element {
    /// Its name as NumPy writes it.
    pub fn name(self) -> &'static str {
        match self {
            F16 => "float16",
            F32 => "float32",
            F64 => "float64",
            I8 => "int8",
            U8 => "uint8",
            I16 => "int16",
            U16 => "uint16",
            I32 => "int32",
            U32 => "uint32",
            I64 => "int64",
            U64 => "uint64",
        }
    }

    /// Its name as Rust and SDRBench write it.
    pub fn short(self) -> &'static str {
        match self {
            F16 => "f16",
            F32 => "f32",
            F64 => "f64",
            I8 => "i8",
            U8 => "u8",
            I16 => "i16",
            U16 => "u16",
            I32 => "i32",
            U32 => "u32",
            I64 => "i64",
            U64 => "u64",
        }
    }

    /// Bytes of one.
    pub fn size(self) -> usize {
        match self {
            I8 | U8 => 1,
            F16 | I16 | U16 => 2,
            F32 | I32 | U32 => 4,
            F64 | I64 | U64 => 8,
        }
    }

    /// The one of this name, short or long.
    ///
    /// # Errors
    /// Another name.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        ALL.into_iter().find(|e| e.name() == text || e.short() == text).ok_or_else(|| {
            format!("one of {} expected (or as NumPy has it: float32)", ALL.map(Self::short).join(", "))
        })
    }

    /// Whether the codec takes it.
    pub fn is_compressible(self) -> bool {
        !matches!(self, I64 | U64)
    }

    /// The HDF5 type.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn dtype(self, order: ByteOrder) -> Result<Id> {
        let dtype = types::copy_of(match self {
            F16 => types::half(),
            F32 => *H5T_IEEE_F32LE,
            F64 => *H5T_IEEE_F64LE,
            I8 => *H5T_STD_I8LE,
            U8 => *H5T_STD_U8LE,
            I16 => *H5T_STD_I16LE,
            U16 => *H5T_STD_U16LE,
            I32 => *H5T_STD_I32LE,
            U32 => *H5T_STD_U32LE,
            I64 => *H5T_STD_I64LE,
            U64 => *H5T_STD_U64LE,
        })?;
        if order == ByteOrder::Big {
            // SAFETY: a type of our own.
            check(unsafe { H5Tset_order(dtype.raw(), H5T_order_t::H5T_ORDER_BE) }, || {
                "setting a type's byte order".into()
            })?;
        }
        Ok(dtype)
    }

    /// The element and byte order of an HDF5 type; `None` for every type that is no plain number.
    pub fn of(dtype: &Id) -> Option<(Self, ByteOrder)> {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            for element in ALL {
                let known = element.dtype(order).ok()?;
                // SAFETY: valid type identifiers.
                if unsafe { H5Tequal(dtype.raw(), known.raw()) } > 0 {
                    return Some((element, order));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_kinds_are_known() {
        for element in ALL {
            assert_eq!(Element::parse(element.name()), Ok(element));
            assert_eq!(Element::parse(element.short()), Ok(element));
            assert!(element.short().ends_with(&(8 * element.size()).to_string()));
        }
        assert!(Element::parse("f128").is_err_and(|e| e.contains("f16, f32, f64, i8")));
    }

    #[test]
    fn types_of_hdf5_are_told_apart() {
        crate::h5::start().unwrap();
        for element in ALL {
            for order in [ByteOrder::Little, ByteOrder::Big] {
                let dtype = element.dtype(order).unwrap();
                assert_eq!(Element::of(&dtype), Some((element, order)));
                assert_eq!(types::size(&dtype), element.size());
            }
        }
    }
}
