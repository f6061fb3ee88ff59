//! Objects of a file: groups, datasets and named types, with their identity and creation properties.

use super::{check, error, link, plist, Id};
use crate::failure::{Failure, Result};
use hdf5_sys::h5d::H5Dget_create_plist;
use hdf5_sys::h5g::{H5Gcreate2, H5Gget_create_plist};
#[allow(deprecated)] // Comments are deprecated, files that have them are not.
use hdf5_sys::h5o::H5Oset_comment;
use hdf5_sys::h5o::{
    H5O_info2_t, H5O_type_t, H5Ocopy, H5Oget_comment, H5Oget_info3, H5Olink, H5Oopen,
    H5O_COPY_WITHOUT_ATTR_FLAG, H5O_INFO_BASIC,
};
use hdf5_sys::h5p::{H5Pget_attr_creation_order, H5P_DEFAULT};
use hdf5_sys::h5t::H5Tget_create_plist;
use std::ffi::CStr;

/// Identity of an object in its file.
pub type Token = [u8; 16];

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A group.
    Group,
    /// A dataset.
    Dataset,
    /// A named datatype.
    Type,
}

/// An open object.
#[derive(Debug)]
pub struct Object {
    /// Its identifier.
    pub id: Id,
    /// What it is.
    pub kind: Kind,
    /// Its identity in the file.
    pub token: Token,
}

/// Opens the object that `path` leads to.
///
/// # Errors
/// When there is none, or it is of a kind that HDF5 files do not hold.
pub fn open(at: &Id, path: &CStr) -> Result<Object> {
    // SAFETY: a valid location and C string.
    let raw = unsafe { H5Oopen(at.raw(), path.as_ptr(), H5P_DEFAULT) };
    let id = Id::take(raw, || format!("opening {}", path.to_string_lossy()))?;
    identify(id)
}

/// Kind and identity of an open object.
///
/// # Errors
/// When HDF5 does not tell.
pub fn identify(id: Id) -> Result<Object> {
    // SAFETY: plain numbers, for which zero is valid (the type 0 is a group).
    let mut info: H5O_info2_t = unsafe { std::mem::zeroed() };
    // SAFETY: a valid object and pointer.
    check(unsafe { H5Oget_info3(id.raw(), &mut info, H5O_INFO_BASIC) }, || "reading an object".into())?;
    let kind = match info.type_ {
        H5O_type_t::H5O_TYPE_GROUP => Kind::Group,
        H5O_type_t::H5O_TYPE_DATASET => Kind::Dataset,
        H5O_type_t::H5O_TYPE_NAMED_DATATYPE => Kind::Type,
        other => return Err(Failure::new(format!("an object has the unknown type {other:?}"))),
    };
    // SAFETY: H5O_token_t is `repr(C)` around exactly these 16 bytes.
    let token = unsafe { std::mem::transmute::<hdf5_sys::h5o::H5O_token_t, Token>(info.token) };
    Ok(Object { id, kind, token })
}

/// Identity of an open object, a named type for instance.
///
/// # Errors
/// When HDF5 does not tell.
pub fn token(object: &Id) -> Result<Token> {
    identify(object.again()).map(|o| o.token)
}

/// How an object was created.
///
/// # Errors
/// When HDF5 does not tell.
pub fn creation_plist(object: &Id, kind: Kind) -> Result<Id> {
    // SAFETY: a valid object of that kind.
    let raw = unsafe {
        match kind {
            Kind::Group => H5Gget_create_plist(object.raw()),
            Kind::Dataset => H5Dget_create_plist(object.raw()),
            Kind::Type => H5Tget_create_plist(object.raw()),
        }
    };
    Id::take(raw, || "reading creation properties".into())
}

/// Whether the object keeps the order in which its attributes were made.
///
/// # Errors
/// When HDF5 does not tell.
pub fn tracks_attribute_order(object: &Id, kind: Kind) -> Result<bool> {
    let plist = creation_plist(object, kind)?;
    let mut flags = 0;
    // SAFETY: a valid property list and pointer.
    check(unsafe { H5Pget_attr_creation_order(plist.raw(), &mut flags) }, || {
        "reading an object's attribute order".into()
    })?;
    Ok(flags & 1 != 0)
}

/// Creates a group like `model` (order tracking, storage limits).
///
/// # Errors
/// When HDF5 refuses.
pub fn create_group_like(parent: &Id, name: &CStr, utf8: bool, model: &Id) -> Result<Id> {
    let gcpl = plist::group_creation_like(&creation_plist(model, Kind::Group)?)?;
    let lcpl = plist::link_creation(utf8)?;
    // SAFETY: valid identifiers and a C string.
    let raw = unsafe { H5Gcreate2(parent.raw(), name.as_ptr(), lcpl.raw(), gcpl.raw(), H5P_DEFAULT) };
    Id::take(raw, || format!("creating the group {}", name.to_string_lossy()))
}

/// Opens the group `name` of `parent`, or creates it like `parent`.
///
/// # Errors
/// When the name belongs to something else, or HDF5 refuses.
pub fn group(parent: &Id, name: &CStr) -> Result<Id> {
    if link::exists(parent, name)? {
        let there = open(parent, name)?;
        if there.kind != Kind::Group {
            return Err(Failure::new(format!("{} is no group in this file", name.to_string_lossy())));
        }
        return Ok(there.id);
    }
    create_group_like(parent, name, false, parent)
}

/// Copies the object `name` of `from` as it is stored, without its attributes.
///
/// # Errors
/// When HDF5 refuses, a full disk for instance.
pub fn copy_without_attributes(from: &Id, name: &CStr, to: &Id, utf8: bool) -> Result<()> {
    let ocpypl = plist::object_copy(H5O_COPY_WITHOUT_ATTR_FLAG)?;
    let lcpl = plist::link_creation(utf8)?;
    // SAFETY: valid identifiers and a C string.
    let status =
        unsafe { H5Ocopy(from.raw(), name.as_ptr(), to.raw(), name.as_ptr(), ocpypl.raw(), lcpl.raw()) };
    check(status, || format!("copying {}", name.to_string_lossy()))
}

/// Gives an object that has no name yet its first one.
///
/// # Errors
/// When HDF5 refuses.
pub fn link(object: &Id, parent: &Id, name: &CStr, utf8: bool) -> Result<()> {
    let lcpl = plist::link_creation(utf8)?;
    // SAFETY: valid identifiers and a C string.
    let status = unsafe { H5Olink(object.raw(), parent.raw(), name.as_ptr(), lcpl.raw(), H5P_DEFAULT) };
    check(status, || format!("linking {}", name.to_string_lossy()))
}

/// Copies the comment that old programs attach to objects.
///
/// # Errors
/// When HDF5 refuses.
#[allow(deprecated)]
pub fn copy_comment(from: &Id, to: &Id) -> Result<()> {
    // SAFETY: a null buffer of size 0 only asks for the length.
    let len = unsafe { H5Oget_comment(from.raw(), std::ptr::null_mut(), 0) };
    if len <= 0 {
        return if len < 0 { Err(error("reading a comment")) } else { Ok(()) };
    }
    let mut text = vec![0u8; len as usize + 1];
    // SAFETY: the buffer has the size that is passed; HDF5 ends the text with 0.
    let status = unsafe {
        H5Oget_comment(from.raw(), text.as_mut_ptr().cast(), text.len());
        H5Oset_comment(to.raw(), text.as_ptr().cast())
    };
    check(status, || "writing a comment".into())
}
