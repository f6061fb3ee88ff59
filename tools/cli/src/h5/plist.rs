//! Property lists that are not read from a file.

use super::{check, Id};
use crate::failure::Result;
use hdf5_sys::h5::hsize_t;
use hdf5_sys::h5i::hid_t;
use hdf5_sys::h5p::{
    H5Pcreate, H5Pget_attr_creation_order, H5Pget_attr_phase_change, H5Pget_est_link_info,
    H5Pget_link_creation_order, H5Pget_link_phase_change, H5Pset_attr_creation_order,
    H5Pset_attr_phase_change, H5Pset_char_encoding, H5Pset_chunk_cache, H5Pset_copy_object,
    H5Pset_est_link_info, H5Pset_link_creation_order, H5Pset_link_phase_change, H5P_CLS_DATASET_ACCESS,
    H5P_CLS_FILE_ACCESS, H5P_CLS_GROUP_CREATE, H5P_CLS_LINK_CREATE, H5P_CLS_OBJECT_COPY,
};
use hdf5_sys::h5t::H5T_cset_t;

fn create(class: hid_t) -> Result<Id> {
    // SAFETY: a property list class of the library.
    Id::take(unsafe { H5Pcreate(class) }, || "creating a property list".into())
}

/// File access properties, at their defaults.
pub fn file_access() -> Result<Id> {
    create(*H5P_CLS_FILE_ACCESS)
}

/// Dataset access properties with a chunk cache of `bytes`.
pub fn chunk_cache(bytes: usize) -> Result<Id> {
    let dapl = create(*H5P_CLS_DATASET_ACCESS)?;
    // A prime number of slots, as HDF5 advises; w0 = 1 lets go of chunks that were read or written whole.
    // SAFETY: a valid property list.
    check(unsafe { H5Pset_chunk_cache(dapl.raw(), 12_421, bytes, 1.0) }, || {
        "setting the chunk cache".into()
    })?;
    Ok(dapl)
}

/// Link creation properties with the link's character set.
pub fn link_creation(utf8: bool) -> Result<Id> {
    let lcpl = create(*H5P_CLS_LINK_CREATE)?;
    let cset = if utf8 { H5T_cset_t::H5T_CSET_UTF8 } else { H5T_cset_t::H5T_CSET_ASCII };
    // SAFETY: a valid property list.
    check(unsafe { H5Pset_char_encoding(lcpl.raw(), cset) }, || "setting a link's character set".into())?;
    Ok(lcpl)
}

/// Group creation properties with the orders and storage limits of `model`.
///
/// The list that H5Gget_create_plist returns cannot be used itself: it also holds the addresses at which the
/// model stores its links.
pub fn group_creation_like(model: &Id) -> Result<Id> {
    let what = || "preparing a group".to_string();
    let gcpl = create(*H5P_CLS_GROUP_CREATE)?;
    let (mut flags, mut compact, mut dense, mut entries, mut name_len) = (0, 0, 0, 0, 0);
    let (from, to) = (model.raw(), gcpl.raw());
    // SAFETY: valid property lists and pointers in each call.
    unsafe {
        check(H5Pget_link_creation_order(from, &mut flags), what)?;
        check(H5Pset_link_creation_order(to, flags), what)?;
        check(H5Pget_attr_creation_order(from, &mut flags), what)?;
        check(H5Pset_attr_creation_order(to, flags), what)?;
        check(H5Pget_link_phase_change(from, &mut compact, &mut dense), what)?;
        check(H5Pset_link_phase_change(to, compact, dense), what)?;
        check(H5Pget_attr_phase_change(from, &mut compact, &mut dense), what)?;
        check(H5Pset_attr_phase_change(to, compact, dense), what)?;
        check(H5Pget_est_link_info(from, &mut entries, &mut name_len), what)?;
        check(H5Pset_est_link_info(to, entries, name_len), what)?;
    }
    Ok(gcpl)
}

/// Object copy properties: `flags` of H5Pset_copy_object.
pub fn object_copy(flags: u32) -> Result<Id> {
    let ocpypl = create(*H5P_CLS_OBJECT_COPY)?;
    // SAFETY: a valid property list.
    check(unsafe { H5Pset_copy_object(ocpypl.raw(), flags) }, || "setting copy properties".into())?;
    Ok(ocpypl)
}

/// Extents as HDF5 takes them.
pub fn extents(shape: &[usize]) -> Vec<hsize_t> {
    shape.iter().map(|&n| n as hsize_t).collect()
}
