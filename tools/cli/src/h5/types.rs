//! Datatypes: which ones the codec takes, and what others are made of.

use super::{check, Id};
use crate::failure::{Failure, Result};
use augur_core::{ByteOrder, Dtype};
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5p::H5P_DEFAULT;
use hdf5_sys::h5t::*;

extern "C" {
    // The bindings crate does not declare the two half-precision types.
    static H5T_IEEE_F16LE_g: hid_t;
    static H5T_IEEE_F16BE_g: hid_t;
}

/// The library's little-endian half-precision type.
pub(super) fn half() -> hid_t {
    // SAFETY: the library is initialised, and with that its predefined types.
    unsafe { H5T_IEEE_F16LE_g }
}

/// Type and byte order of plain numbers that the codec takes; `None` for every other type.
pub fn numeric(dtype: &Id) -> Option<(Dtype, ByteOrder)> {
    use ByteOrder::{Big, Little};
    // SAFETY: the library is initialised, and with that its predefined types.
    let (half_le, half_be) = unsafe { (H5T_IEEE_F16LE_g, H5T_IEEE_F16BE_g) };
    let known = [
        (Dtype::F32, Little, *H5T_IEEE_F32LE),
        (Dtype::F64, Little, *H5T_IEEE_F64LE),
        (Dtype::F16, Little, half_le),
        (Dtype::I8, Little, *H5T_STD_I8LE),
        (Dtype::U8, Little, *H5T_STD_U8LE),
        (Dtype::I16, Little, *H5T_STD_I16LE),
        (Dtype::U16, Little, *H5T_STD_U16LE),
        (Dtype::I32, Little, *H5T_STD_I32LE),
        (Dtype::U32, Little, *H5T_STD_U32LE),
        (Dtype::F32, Big, *H5T_IEEE_F32BE),
        (Dtype::F64, Big, *H5T_IEEE_F64BE),
        (Dtype::F16, Big, half_be),
        (Dtype::I8, Big, *H5T_STD_I8BE),
        (Dtype::U8, Big, *H5T_STD_U8BE),
        (Dtype::I16, Big, *H5T_STD_I16BE),
        (Dtype::U16, Big, *H5T_STD_U16BE),
        (Dtype::I32, Big, *H5T_STD_I32BE),
        (Dtype::U32, Big, *H5T_STD_U32BE),
    ];
    // SAFETY: valid type identifiers.
    known.iter().find(|k| unsafe { H5Tequal(dtype.raw(), k.2) } > 0).map(|k| (k.0, k.1))
}

/// Name of a type for people: as NumPy writes it, or its class.
pub fn name(dtype: &Id) -> String {
    if let Some((d, order)) = numeric(dtype) {
        let big = if order == ByteOrder::Big && d.size() > 1 { " (big-endian)" } else { "" };
        return format!("{}{big}", d.name());
    }
    let bits = 8 * size(dtype);
    match class(dtype) {
        H5T_class_t::H5T_INTEGER => format!("int{bits}"),
        H5T_class_t::H5T_FLOAT => format!("float{bits}"),
        H5T_class_t::H5T_STRING => "string".into(),
        H5T_class_t::H5T_COMPOUND => "compound".into(),
        H5T_class_t::H5T_ENUM => "enum".into(),
        H5T_class_t::H5T_VLEN => "variable-length".into(),
        H5T_class_t::H5T_ARRAY => "array".into(),
        H5T_class_t::H5T_OPAQUE => "opaque".into(),
        H5T_class_t::H5T_REFERENCE => "reference".into(),
        H5T_class_t::H5T_BITFIELD => "bitfield".into(),
        H5T_class_t::H5T_COMPLEX => "complex".into(),
        _ => "other".into(),
    }
}

/// Class of a type.
pub fn class(dtype: &Id) -> H5T_class_t {
    // SAFETY: a valid type identifier.
    unsafe { H5Tget_class(dtype.raw()) }
}

/// Bytes of one element in memory.
pub fn size(dtype: &Id) -> usize {
    // SAFETY: a valid type identifier.
    unsafe { H5Tget_size(dtype.raw()) }
}

/// Whether references occur anywhere in the type.
pub fn has_references(dtype: &Id) -> bool {
    // SAFETY: a valid type identifier.
    unsafe { H5Tdetect_class(dtype.raw(), H5T_class_t::H5T_REFERENCE) > 0 }
}

/// Whether elements hold pointers to data of variable length.
pub fn has_variable_length(dtype: &Id) -> bool {
    // SAFETY: a valid type identifier.
    let sequences = unsafe { H5Tdetect_class(dtype.raw(), H5T_class_t::H5T_VLEN) > 0 };
    sequences || has_variable_strings(dtype)
}

fn has_variable_strings(dtype: &Id) -> bool {
    match class(dtype) {
        // SAFETY: a valid type identifier.
        H5T_class_t::H5T_STRING => unsafe { H5Tis_variable_str(dtype.raw()) > 0 },
        H5T_class_t::H5T_COMPOUND => {
            members(dtype).map(|m| m.iter().any(|(_, member)| has_variable_strings(member))).unwrap_or(true)
        }
        H5T_class_t::H5T_ARRAY => base(dtype).map(|b| has_variable_strings(&b)).unwrap_or(true),
        _ => false,
    }
}

/// Whether the type is stored in the file as an object of its own.
pub fn is_named(dtype: &Id) -> bool {
    // SAFETY: a valid type identifier.
    unsafe { H5Tcommitted(dtype.raw()) > 0 }
}

/// Offsets in bytes and types of a compound type's members.
///
/// # Errors
/// When HDF5 does not tell.
pub fn members(dtype: &Id) -> Result<Vec<(usize, Id)>> {
    // SAFETY: a valid type identifier; the indices run over its members.
    unsafe {
        let n = H5Tget_nmembers(dtype.raw()).max(0) as u32;
        (0..n)
            .map(|i| {
                let member =
                    Id::take(H5Tget_member_type(dtype.raw(), i), || "reading a compound type".into())?;
                Ok((H5Tget_member_offset(dtype.raw(), i), member))
            })
            .collect()
    }
}

/// Type of an array's, a sequence's or an enumeration's elements.
///
/// # Errors
/// When HDF5 does not tell.
pub fn base(dtype: &Id) -> Result<Id> {
    // SAFETY: a valid type identifier.
    Id::take(unsafe { H5Tget_super(dtype.raw()) }, || "reading a type's elements".into())
}

/// A copy of the type that belongs to no file.
///
/// # Errors
/// When memory runs out.
pub fn copy(dtype: &Id) -> Result<Id> {
    copy_of(dtype.raw())
}

/// A copy of one of the library's types.
///
/// # Errors
/// When memory runs out.
pub fn copy_of(dtype: hid_t) -> Result<Id> {
    // SAFETY: a valid type identifier.
    Id::take(unsafe { H5Tcopy(dtype) }, || "copying a type".into())
}

/// Stores a copy of `dtype` in `file` as an object that has no name yet.
///
/// # Errors
/// When HDF5 refuses.
pub fn commit_unnamed(file: &Id, dtype: &Id) -> Result<Id> {
    let named = copy(dtype)?;
    let tcpl = super::object::creation_plist(dtype, super::object::Kind::Type)?;
    // SAFETY: valid identifiers.
    let status = unsafe { H5Tcommit_anon(file.raw(), named.raw(), tcpl.raw(), H5P_DEFAULT) };
    check(status, || "storing a named type".into())?;
    Ok(named)
}

/// Which of HDF5's reference types a reference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// `H5T_STD_REF_OBJ`.
    Object,
    /// `H5T_STD_REF_DSETREG`.
    Region,
    /// `H5T_STD_REF`, of HDF5 1.12.
    General,
}

/// Which reference type this is.
///
/// # Errors
/// For a reference type that this build does not know.
pub fn reference(dtype: &Id) -> Result<Reference> {
    // SAFETY: valid type identifiers.
    let is = |known: hid_t| unsafe { H5Tequal(dtype.raw(), known) > 0 };
    if is(*H5T_STD_REF_OBJ) {
        Ok(Reference::Object)
    } else if is(*H5T_STD_REF_DSETREG) {
        Ok(Reference::Region)
    } else if is(*H5T_STD_REF) {
        Ok(Reference::General)
    } else {
        Err(Failure::new("a reference is of a kind that this build does not know"))
    }
}

/// One number of type `dtype`, whose bytes are given, as a double.
///
/// # Errors
/// When HDF5 cannot convert.
pub fn read_double(bytes: &[u8], dtype: &Id) -> Result<f64> {
    let mut buffer = vec![0u8; bytes.len().max(8)];
    buffer[..bytes.len()].copy_from_slice(bytes);
    // SAFETY: the buffer holds one element of either type.
    let status = unsafe {
        H5Tconvert(
            dtype.raw(),
            *H5T_NATIVE_DOUBLE,
            1,
            buffer.as_mut_ptr().cast(),
            std::ptr::null_mut(),
            H5P_DEFAULT,
        )
    };
    check(status, || "converting a value".into())?;
    let mut double = [0u8; 8];
    double.copy_from_slice(&buffer[..8]);
    Ok(f64::from_ne_bytes(double))
}
