//! Attributes: small named values attached to an object.

use super::{check, object, types, Id};
use crate::failure::Result;
use hdf5_sys::h5::{herr_t, H5_index_t, H5_iter_order_t};
use hdf5_sys::h5a::{
    H5A_info_t, H5Acreate2, H5Adelete, H5Aexists, H5Aget_create_plist, H5Aget_space, H5Aget_type,
    H5Aiterate2, H5Aopen, H5Aread, H5Awrite,
};
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5p::H5P_DEFAULT;
use hdf5_sys::h5s::{H5S_class_t, H5Screate, H5Sget_simple_extent_npoints};
use hdf5_sys::h5t::{
    H5T_class_t, H5T_str_t, H5Tis_variable_str, H5Treclaim, H5Tset_size, H5Tset_strpad, H5T_C_S1,
};
use std::ffi::{c_char, c_void, CStr, CString};

/// Names of an object's attributes, in creation order where the object keeps it, otherwise by name.
///
/// # Errors
/// When the object is damaged.
pub fn names(object: &Id, kind: object::Kind) -> Result<Vec<CString>> {
    let index = if object::tracks_attribute_order(object, kind)? {
        H5_index_t::H5_INDEX_CRT_ORDER
    } else {
        H5_index_t::H5_INDEX_NAME
    };
    let mut names: Vec<CString> = Vec::new();
    let mut at = 0;
    // SAFETY: `remember` has the signature that H5Aiterate2 expects and `names` outlives the call.
    let status = unsafe {
        H5Aiterate2(
            object.raw(),
            index,
            H5_iter_order_t::H5_ITER_INC,
            &mut at,
            Some(remember),
            (&raw mut names).cast::<c_void>(),
        )
    };
    check(status, || "listing attributes".into())?;
    Ok(names)
}

extern "C" fn remember(_: hid_t, name: *const c_char, _: *const H5A_info_t, data: *mut c_void) -> herr_t {
    // SAFETY: HDF5 passes a C string, and `data` is the vector that `names` handed over.
    unsafe { (*data.cast::<Vec<CString>>()).push(CStr::from_ptr(name).to_owned()) };
    0
}

/// An open attribute with its type in memory and its extents.
#[derive(Debug)]
pub struct Attribute {
    /// Its identifier.
    pub id: Id,
    /// Type of its elements.
    pub dtype: Id,
    /// Its dataspace.
    pub space: Id,
}

/// Values of an attribute in memory; what they point to is released with them.
pub struct Values<'a> {
    attribute: &'a Attribute,
    /// The elements.
    pub bytes: Vec<u8>,
}

impl Drop for Values<'_> {
    fn drop(&mut self) {
        // SAFETY: the elements were read by HDF5 with this type and space.
        unsafe {
            H5Treclaim(
                self.attribute.dtype.raw(),
                self.attribute.space.raw(),
                H5P_DEFAULT,
                self.bytes.as_mut_ptr().cast(),
            )
        };
    }
}

/// Whether the object has an attribute `name`.
///
/// # Errors
/// When the object is damaged.
pub fn exists(object: &Id, name: &CStr) -> Result<bool> {
    // SAFETY: a valid object and C string.
    let known = unsafe { H5Aexists(object.raw(), name.as_ptr()) };
    check(known, || format!("looking for the attribute {}", name.to_string_lossy()))?;
    Ok(known > 0)
}

/// Opens the attribute `name`.
///
/// # Errors
/// When there is none.
pub fn open(object: &Id, name: &CStr) -> Result<Attribute> {
    let what = || format!("reading the attribute {}", name.to_string_lossy());
    // SAFETY: valid identifiers and a C string.
    unsafe {
        let id = Id::take(H5Aopen(object.raw(), name.as_ptr(), H5P_DEFAULT), what)?;
        let dtype = Id::take(H5Aget_type(id.raw()), what)?;
        let space = Id::take(H5Aget_space(id.raw()), what)?;
        Ok(Attribute { id, dtype, space })
    }
}

impl Attribute {
    /// Number of elements.
    pub fn len(&self) -> usize {
        // SAFETY: a valid dataspace.
        unsafe { H5Sget_simple_extent_npoints(self.space.raw()) }.max(0) as usize
    }

    /// The elements as they are in memory.
    ///
    /// # Errors
    /// When HDF5 cannot read them.
    pub fn read(&self) -> Result<Values<'_>> {
        let bytes = vec![0u8; self.len() * types::size(&self.dtype)];
        let mut values = Values { attribute: self, bytes };
        if !values.bytes.is_empty() {
            // SAFETY: the buffer holds every element of this type.
            let status =
                unsafe { H5Aread(self.id.raw(), self.dtype.raw(), values.bytes.as_mut_ptr().cast()) };
            check(status, || "reading an attribute".into())?;
        }
        Ok(values)
    }

    /// Writes elements that have this attribute's type and number.
    ///
    /// # Errors
    /// When HDF5 cannot write them.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        debug_assert_eq!(bytes.len(), self.len() * types::size(&self.dtype));
        // SAFETY: the buffer holds every element of this type.
        let status = unsafe { H5Awrite(self.id.raw(), self.dtype.raw(), bytes.as_ptr().cast()) };
        check(status, || "writing an attribute".into())
    }

    /// The first string of a string attribute.
    pub fn text(&self) -> Option<String> {
        if types::class(&self.dtype) != H5T_class_t::H5T_STRING || self.len() == 0 {
            return None;
        }
        let values = self.read().ok()?;
        let size = types::size(&self.dtype);
        // SAFETY: a valid type identifier.
        let variable = unsafe { H5Tis_variable_str(self.dtype.raw()) > 0 };
        if !variable {
            let text = values.bytes.get(..size)?;
            let end = text.iter().position(|&b| b == 0).unwrap_or(size);
            return Some(String::from_utf8_lossy(&text[..end]).into_owned());
        }
        let pointer = usize::from_ne_bytes(values.bytes.get(..size_of::<usize>())?.try_into().ok()?);
        let pointer = pointer as *const c_char;
        if pointer.is_null() {
            return None;
        }
        // SAFETY: HDF5 read a C string there, which lives as long as `values`.
        Some(unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
    }

    /// The only element of a numeric attribute.
    pub fn number(&self) -> Option<f64> {
        let plain = matches!(types::class(&self.dtype), H5T_class_t::H5T_INTEGER | H5T_class_t::H5T_FLOAT);
        if !plain || self.len() != 1 {
            return None;
        }
        types::read_double(&self.read().ok()?.bytes, &self.dtype).ok()
    }
}

/// Creates an attribute like `model`, of type `dtype`, without values.
///
/// # Errors
/// When HDF5 refuses.
pub fn create_like(object: &Id, name: &CStr, model: &Attribute, dtype: &Id) -> Result<Attribute> {
    let what = || format!("creating the attribute {}", name.to_string_lossy());
    // SAFETY: valid identifiers and a C string.
    unsafe {
        let acpl = Id::take(H5Aget_create_plist(model.id.raw()), what)?;
        let raw =
            H5Acreate2(object.raw(), name.as_ptr(), dtype.raw(), model.space.raw(), acpl.raw(), H5P_DEFAULT);
        let id = Id::take(raw, what)?;
        let dtype = Id::take(H5Aget_type(id.raw()), what)?;
        let space = Id::take(H5Aget_space(id.raw()), what)?;
        Ok(Attribute { id, dtype, space })
    }
}

/// Gives the object the attribute `name` with an ASCII text, in place of what it holds now.
///
/// # Errors
/// When HDF5 refuses.
pub fn set_text(object: &Id, name: &CStr, text: &str) -> Result<()> {
    let what = || format!("setting the attribute {}", name.to_string_lossy());
    if exists(object, name)? {
        // SAFETY: a valid object and C string.
        check(unsafe { H5Adelete(object.raw(), name.as_ptr()) }, what)?;
    }
    // SAFETY: valid identifiers, a C string, and as many bytes as the type has.
    unsafe {
        let dtype = types::copy_of(*H5T_C_S1)?;
        check(H5Tset_size(dtype.raw(), text.len().max(1)), what)?;
        check(H5Tset_strpad(dtype.raw(), H5T_str_t::H5T_STR_NULLPAD), what)?;
        let space = Id::take(H5Screate(H5S_class_t::H5S_SCALAR), what)?;
        let (d, to) = (H5P_DEFAULT, object.raw());
        let id = Id::take(H5Acreate2(to, name.as_ptr(), dtype.raw(), space.raw(), d, d), what)?;
        let bytes = if text.is_empty() { b"\0" } else { text.as_bytes() };
        check(H5Awrite(id.raw(), dtype.raw(), bytes.as_ptr().cast()), what)
    }
}
