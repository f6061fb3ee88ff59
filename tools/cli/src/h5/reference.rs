//! References: elements that name an object, a region of a dataset or an attribute of their own file.
//!
//! Their bytes are addresses, which mean nothing in another file. [`translate`] replaces each by one
//! to the object of the same role in the copy.

use super::types::{self, Reference};
use super::{c_string, check, object, Id};
use crate::failure::Result;
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5p::H5P_DEFAULT;
use hdf5_sys::h5r::{
    H5R_ref_t, H5R_type_t, H5Rcreate, H5Rcreate_attr, H5Rcreate_object, H5Rcreate_region, H5Rdereference2,
    H5Rdestroy, H5Rget_attr_name, H5Rget_region, H5Rget_type, H5Ropen_object, H5Ropen_region,
};
use hdf5_sys::h5t::{hvl_t, H5T_class_t};
use std::ffi::{c_void, CStr, CString};

/// Where references are translated from and to.
pub struct Translation<'a> {
    /// An object of the source file.
    pub source: &'a Id,
    /// The copy.
    pub copy: &'a Id,
    /// Path in the copy of the object with this identity in the source.
    pub path_of: &'a dyn Fn(&object::Token) -> Option<CString>,
    /// References that could not be followed and became null.
    pub lost: usize,
}

/// Translates every reference among `count` elements of type `dtype` in `bytes`, also nested ones.
///
/// # Errors
/// When HDF5 cannot make a reference.
pub fn translate(bytes: &mut [u8], dtype: &Id, count: usize, with: &mut Translation<'_>) -> Result<()> {
    debug_assert!(bytes.len() >= count * types::size(dtype));
    // SAFETY: the elements lie in `bytes` and were read by HDF5 with this type.
    unsafe { elements(bytes.as_mut_ptr(), dtype, count, with) }
}

/// # Safety
/// `at` points to `count` elements of type `dtype` as HDF5 lays them out in memory.
unsafe fn elements(at: *mut u8, dtype: &Id, count: usize, with: &mut Translation<'_>) -> Result<()> {
    if !types::has_references(dtype) {
        return Ok(());
    }
    let size = types::size(dtype);
    match types::class(dtype) {
        H5T_class_t::H5T_REFERENCE => {
            let kind = types::reference(dtype)?;
            for i in 0..count {
                // SAFETY: inside the elements, by the caller's promise.
                unsafe { one(at.add(i * size), size, kind, with)? };
            }
        }
        H5T_class_t::H5T_COMPOUND => {
            for (offset, member) in types::members(dtype)? {
                for i in 0..count {
                    // SAFETY: a member lies at its offset in each element.
                    unsafe { elements(at.add(i * size + offset), &member, 1, with)? };
                }
            }
        }
        H5T_class_t::H5T_ARRAY => {
            let base = types::base(dtype)?;
            let per_element = size / types::size(&base).max(1);
            // SAFETY: an array element is its elements in a row.
            unsafe { elements(at, &base, count * per_element, with)? };
        }
        H5T_class_t::H5T_VLEN => {
            let base = types::base(dtype)?;
            for i in 0..count {
                // SAFETY: a sequence in memory is an hvl_t, which may lie unaligned in a compound.
                let sequence = unsafe { at.add(i * size).cast::<hvl_t>().read_unaligned() };
                if !sequence.p.is_null() {
                    // SAFETY: HDF5 allocated `len` elements there.
                    unsafe { elements(sequence.p.cast(), &base, sequence.len, with)? };
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// # Safety
/// `at` points to a reference of this kind and size.
unsafe fn one(at: *mut u8, size: usize, kind: Reference, with: &mut Translation<'_>) -> Result<()> {
    // SAFETY: by the caller's promise.
    if unsafe { std::slice::from_raw_parts(at, size) }.iter().all(|&b| b == 0) {
        return Ok(());
    }
    // SAFETY: by the caller's promise; a null result is written over the reference's own bytes.
    unsafe {
        let done = match kind {
            Reference::Object => old(at, H5R_type_t::H5R_OBJECT1, with)?,
            Reference::Region => old(at, H5R_type_t::H5R_DATASET_REGION1, with)?,
            Reference::General => general(at.cast::<H5R_ref_t>(), with)?,
        };
        if !done {
            std::ptr::write_bytes(at, 0, size);
            with.lost += 1;
        }
    }
    Ok(())
}

/// Path in the copy of an open source object.
fn path_of(raw: hid_t, with: &Translation<'_>) -> Option<CString> {
    let opened = Id::take(raw, String::new).and_then(object::identify).ok()?;
    (with.path_of)(&opened.token)
}

/// References of before HDF5 1.12; false when it leads nowhere.
///
/// # Safety
/// `at` points to one, of type `kind`.
unsafe fn old(at: *mut u8, kind: H5R_type_t, with: &Translation<'_>) -> Result<bool> {
    let at = at.cast::<c_void>();
    // SAFETY: a valid source object and reference.
    let target = unsafe { H5Rdereference2(with.source.raw(), H5P_DEFAULT, kind, at) };
    let Some(path) = path_of(target, with) else { return Ok(false) };
    let region = match kind {
        H5R_type_t::H5R_DATASET_REGION1 => {
            // SAFETY: a valid source object and region reference.
            let raw = unsafe { H5Rget_region(with.source.raw(), kind, at) };
            Some(Id::take(raw, || "reading a region reference".into())?)
        }
        _ => None,
    };
    // SAFETY: room for a reference of this kind; -1 stands for "no dataspace".
    let status =
        unsafe { H5Rcreate(at, with.copy.raw(), path.as_ptr(), kind, region.as_ref().map_or(-1, Id::raw)) };
    check(status, || format!("referring to {}", path.to_string_lossy()))?;
    Ok(true)
}

/// References of HDF5 1.12 and later; false when it leads nowhere.
///
/// # Safety
/// `at` points to one.
unsafe fn general(at: *mut H5R_ref_t, with: &Translation<'_>) -> Result<bool> {
    // SAFETY: `at` points to a reference that HDF5 read.
    let (kind, target) = unsafe { (H5Rget_type(at), H5Ropen_object(at, H5P_DEFAULT, H5P_DEFAULT)) };
    let Some(path) = path_of(target, with) else {
        // SAFETY: the reference is released and then overwritten by the caller.
        unsafe { H5Rdestroy(at) };
        return Ok(false);
    };
    let mut made = H5R_ref_t::default();
    // SAFETY: valid references, identifiers and C strings.
    let status = unsafe {
        match kind {
            H5R_type_t::H5R_DATASET_REGION2 => {
                let region = Id::take(H5Ropen_region(at, H5P_DEFAULT, H5P_DEFAULT), || {
                    "reading a region reference".into()
                })?;
                H5Rcreate_region(with.copy.raw(), path.as_ptr(), region.raw(), H5P_DEFAULT, &mut made)
            }
            H5R_type_t::H5R_ATTR => {
                let name = attribute_name(at)?;
                H5Rcreate_attr(with.copy.raw(), path.as_ptr(), name.as_ptr(), H5P_DEFAULT, &mut made)
            }
            _ => H5Rcreate_object(with.copy.raw(), path.as_ptr(), H5P_DEFAULT, &mut made),
        }
    };
    check(status, || format!("referring to {}", path.to_string_lossy()))?;
    // SAFETY: the old reference is released before its place is taken by the new one.
    unsafe {
        H5Rdestroy(at);
        at.write_unaligned(made);
    }
    Ok(true)
}

/// # Safety
/// `at` points to an attribute reference.
unsafe fn attribute_name(at: *const H5R_ref_t) -> Result<CString> {
    let mut text = vec![0u8; 65_536];
    // SAFETY: the buffer has the size that is passed.
    unsafe { H5Rget_attr_name(at, text.as_mut_ptr().cast(), text.len()) };
    let name = CStr::from_bytes_until_nul(&text).map(CStr::to_bytes).unwrap_or_default();
    c_string(name)
}
