//! Links of a group: names that lead to objects, paths or other files.

use super::{c_string, check, error, plist, Id};
use crate::failure::{Failure, Result};
use hdf5_sys::h5::{herr_t, H5_index_t, H5_iter_order_t};
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5l::{
    H5L_info2_t, H5L_type_t, H5Lcreate_external, H5Lcreate_hard, H5Lcreate_soft, H5Ldelete, H5Lexists,
    H5Lget_info2, H5Lget_val, H5Literate2, H5Lunpack_elink_val,
};
use hdf5_sys::h5p::{H5Pget_link_creation_order, H5P_DEFAULT};
use hdf5_sys::h5t::H5T_cset_t;
use std::ffi::{c_char, c_void, CStr, CString};

/// Where a link leads.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// To an object of this file.
    Hard,
    /// To a path that is looked up when used.
    Soft(CString),
    /// To a path in another file.
    External {
        /// The other file's name.
        file: CString,
        /// The path in it.
        path: CString,
    },
    /// A kind that only some application knows.
    UserDefined,
}

/// One link.
#[derive(Debug, Clone)]
pub struct Link {
    /// Its name in the group.
    pub name: CString,
    /// Whether the name is UTF-8 (otherwise ASCII).
    pub utf8: bool,
    /// Where it leads.
    pub target: Target,
}

/// The links of a group, in creation order where the group keeps it, otherwise by name.
///
/// # Errors
/// When the group is damaged.
pub fn list(group: &Id) -> Result<Vec<Link>> {
    let gcpl = super::object::creation_plist(group, super::object::Kind::Group)?;
    let mut flags = 0;
    // SAFETY: a valid property list and a valid pointer.
    let tracked = unsafe { H5Pget_link_creation_order(gcpl.raw(), &mut flags) } >= 0 && flags & 1 != 0;
    let index = if tracked { H5_index_t::H5_INDEX_CRT_ORDER } else { H5_index_t::H5_INDEX_NAME };
    let mut names: Vec<CString> = Vec::new();
    let mut at = 0;
    // SAFETY: `remember` has the signature that H5Literate2 expects and `names` outlives the call.
    let status = unsafe {
        H5Literate2(
            group.raw(),
            index,
            H5_iter_order_t::H5_ITER_INC,
            &mut at,
            Some(remember),
            (&raw mut names).cast::<c_void>(),
        )
    };
    check(status, || "listing a group".into())?;
    names.into_iter().map(|name| describe(group, name)).collect()
}

extern "C" fn remember(_: hid_t, name: *const c_char, _: *const H5L_info2_t, data: *mut c_void) -> herr_t {
    // SAFETY: HDF5 passes a C string, and `data` is the vector that `list` handed over.
    unsafe { (*data.cast::<Vec<CString>>()).push(CStr::from_ptr(name).to_owned()) };
    0
}

fn describe(group: &Id, name: CString) -> Result<Link> {
    let shown = name.to_string_lossy().into_owned();
    let mut info = H5L_info2_t::default();
    // SAFETY: a valid group, C string and pointer.
    let status = unsafe { H5Lget_info2(group.raw(), name.as_ptr(), &mut info, H5P_DEFAULT) };
    check(status, || format!("reading the link {shown}"))?;
    let utf8 = info.cset == H5T_cset_t::H5T_CSET_UTF8;
    let value = || -> Result<Vec<u8>> {
        // SAFETY: soft and external links hold the size of their value in this field.
        let size = unsafe { *info.u.clone().val_size() };
        let mut bytes = vec![0u8; size.max(1)];
        // SAFETY: the buffer has the size that is passed.
        let status = unsafe {
            H5Lget_val(group.raw(), name.as_ptr(), bytes.as_mut_ptr().cast(), bytes.len(), H5P_DEFAULT)
        };
        check(status, || format!("reading the value of the link {shown}"))?;
        Ok(bytes)
    };
    let target = match info.type_ {
        H5L_type_t::H5L_TYPE_HARD => Target::Hard,
        H5L_type_t::H5L_TYPE_SOFT => {
            let mut bytes = value()?;
            bytes.truncate(bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len()));
            Target::Soft(c_string(bytes)?)
        }
        H5L_type_t::H5L_TYPE_EXTERNAL => unpack_external(&value()?, &shown)?,
        _ => Target::UserDefined,
    };
    Ok(Link { name, utf8, target })
}

fn unpack_external(value: &[u8], shown: &str) -> Result<Target> {
    let (mut flags, mut file, mut path) = (0, std::ptr::null(), std::ptr::null());
    // SAFETY: the value is as long as stated; the pointers that come back point into it.
    let status =
        unsafe { H5Lunpack_elink_val(value.as_ptr().cast(), value.len(), &mut flags, &mut file, &mut path) };
    if status < 0 || file.is_null() || path.is_null() {
        return Err(error(&format!("reading the external link {shown}")));
    }
    // SAFETY: HDF5 checked that both are C strings inside `value`.
    let (file, path) = unsafe { (CStr::from_ptr(file).to_owned(), CStr::from_ptr(path).to_owned()) };
    Ok(Target::External { file, path })
}

/// Whether the group has a link of this name.
///
/// # Errors
/// When the group is damaged.
pub fn exists(group: &Id, name: &CStr) -> Result<bool> {
    // SAFETY: a valid group and C string.
    let known = unsafe { H5Lexists(group.raw(), name.as_ptr(), H5P_DEFAULT) };
    check(known, || format!("looking for {}", name.to_string_lossy()))?;
    Ok(known > 0)
}

/// Removes a link, and with the last one its object.
///
/// # Errors
/// When there is none, or HDF5 refuses.
pub fn remove(group: &Id, name: &CStr) -> Result<()> {
    // SAFETY: a valid group and C string.
    let status = unsafe { H5Ldelete(group.raw(), name.as_ptr(), H5P_DEFAULT) };
    check(status, || format!("removing {}", name.to_string_lossy()))
}

/// Makes a soft or external link named and encoded like `link`.
///
/// # Errors
/// A kind of link that cannot be made, or one that HDF5 refuses.
pub fn create(group: &Id, link: &Link) -> Result<()> {
    let lcpl = plist::link_creation(link.utf8)?;
    let name = link.name.as_ptr();
    // SAFETY: a valid group, valid C strings and a valid property list.
    let status = unsafe {
        match &link.target {
            Target::Soft(path) => H5Lcreate_soft(path.as_ptr(), group.raw(), name, lcpl.raw(), H5P_DEFAULT),
            Target::External { file, path } => {
                H5Lcreate_external(file.as_ptr(), path.as_ptr(), group.raw(), name, lcpl.raw(), H5P_DEFAULT)
            }
            Target::Hard | Target::UserDefined => {
                return Err(Failure::new(format!(
                    "the link {} is of a user-defined kind that only its application can copy",
                    link.name.to_string_lossy()
                )))
            }
        }
    };
    check(status, || format!("creating the link {}", link.name.to_string_lossy()))
}

/// Makes `name` in `group` one more hard link to the object at `path` of the same file.
///
/// # Errors
/// When HDF5 refuses.
pub fn create_hard(group: &Id, link: &Link, file: &Id, path: &CStr) -> Result<()> {
    let lcpl = plist::link_creation(link.utf8)?;
    // SAFETY: valid identifiers, C strings and property list.
    let status = unsafe {
        H5Lcreate_hard(file.raw(), path.as_ptr(), group.raw(), link.name.as_ptr(), lcpl.raw(), H5P_DEFAULT)
    };
    check(status, || format!("linking {}", link.name.to_string_lossy()))
}
