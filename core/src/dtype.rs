//! The number types that a chunk can hold, and their two byte orders.

use crate::error::{Error, Result};

/// Type of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE binary16.
    F16,
    /// IEEE binary32.
    F32,
    /// IEEE binary64.
    F64,
    /// Signed 8-bit integer.
    I8,
    /// Unsigned 8-bit integer.
    U8,
    /// Signed 16-bit integer.
    I16,
    /// Unsigned 16-bit integer.
    U16,
    /// Signed 32-bit integer.
    I32,
    /// Unsigned 32-bit integer.
    U32,
}

/// Byte order in which the values lie in memory and in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// Every type, in the order of its code (codes start at 1).
pub const DTYPES: [Dtype; 9] = [
    Dtype::F16,
    Dtype::F32,
    Dtype::F64,
    Dtype::I8,
    Dtype::U8,
    Dtype::I16,
    Dtype::U16,
    Dtype::I32,
    Dtype::U32,
];

impl Dtype {
    /// Number of the type in cd_values and streams, 1 to 9.
    pub fn code(self) -> u8 {
        DTYPES.iter().position(|&d| d == self).map_or(0, |i| i as u8 + 1)
    }

    /// The type with this code.
    ///
    /// # Errors
    /// `InvalidArgument` for an unknown code.
    pub fn from_code(code: u8) -> Result<Self> {
        (code as usize).checked_sub(1).and_then(|i| DTYPES.get(i).copied()).ok_or_else(|| {
            Error::invalid(format!("dtype code {code} is unknown, expected 1 to {}", DTYPES.len()))
        })
    }

    /// Bytes of one value.
    pub fn size(self) -> usize {
        match self {
            Dtype::I8 | Dtype::U8 => 1,
            Dtype::F16 | Dtype::I16 | Dtype::U16 => 2,
            Dtype::F32 | Dtype::I32 | Dtype::U32 => 4,
            Dtype::F64 => 8,
        }
    }

    /// Whether the type is a floating-point one.
    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F16 | Dtype::F32 | Dtype::F64)
    }

    /// Name as NumPy writes it.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F16 => "float16",
            Dtype::F32 => "float32",
            Dtype::F64 => "float64",
            Dtype::I8 => "int8",
            Dtype::U8 => "uint8",
            Dtype::I16 => "int16",
            Dtype::U16 => "uint16",
            Dtype::I32 => "int32",
            Dtype::U32 => "uint32",
        }
    }
}
