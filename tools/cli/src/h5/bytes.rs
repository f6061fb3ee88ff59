//! Whole files as datasets of bytes.

use super::dataset::{self, Dataset};
use super::{check, link, plist, types, Id};
use crate::failure::{Failure, Result};
use augur_core::Dtype;
use hdf5_sys::h5d::H5Dcreate2;
use hdf5_sys::h5p::{H5Pcreate, H5Pset_chunk, H5Pset_deflate, H5P_CLS_DATASET_CREATE, H5P_DEFAULT};
use hdf5_sys::h5s::H5Screate_simple;
use hdf5_sys::h5t::H5T_STD_U8LE;
use std::ffi::CStr;

/// Bytes that HDF5 takes for the index of a chunked dataset, without which there is no compressing.
const INDEX: usize = 2300;

/// Stores `bytes` as `name` of `group`, compressed where that makes them smaller.
///
/// # Errors
/// When the name is taken, or HDF5 refuses.
pub fn write(file: &Id, group: &Id, name: &CStr, bytes: &[u8]) -> Result<()> {
    let set = create(group, name, bytes, true)?;
    super::file::flush(file)?;
    if set.stored_bytes() as usize + INDEX < bytes.len() {
        return Ok(());
    }
    drop(set);
    link::remove(group, name)?;
    create(group, name, bytes, false).map(drop)
}

fn create(group: &Id, name: &CStr, bytes: &[u8], deflate: bool) -> Result<Dataset> {
    let what = || format!("creating the dataset {}", name.to_string_lossy());
    let lcpl = plist::link_creation(false)?;
    let extents = plist::extents(&[bytes.len()]);
    // SAFETY: valid identifiers and a C string; the buffers hold the rank, which is 1.
    let id = unsafe {
        let space = Id::take(H5Screate_simple(1, extents.as_ptr(), std::ptr::null()), what)?;
        let dcpl = Id::take(H5Pcreate(*H5P_CLS_DATASET_CREATE), what)?;
        if deflate {
            check(H5Pset_chunk(dcpl.raw(), 1, extents.as_ptr()), what)?;
            check(H5Pset_deflate(dcpl.raw(), 9), what)?;
        }
        let (at, dtype) = (group.raw(), *H5T_STD_U8LE);
        let raw = H5Dcreate2(at, name.as_ptr(), dtype, space.raw(), lcpl.raw(), dcpl.raw(), H5P_DEFAULT);
        Id::take(raw, what)?
    };
    let set = dataset::describe(id)?;
    set.write(&[0], &[bytes.len()], bytes)?;
    Ok(set)
}

/// The bytes of a dataset that holds at most `most` of them.
///
/// # Errors
/// Another kind of dataset, a larger one, a damaged one.
pub fn read(set: &Dataset, most: usize) -> Result<Vec<u8>> {
    let is_bytes = types::numeric(&set.dtype).is_some_and(|(dtype, _)| dtype == Dtype::U8);
    if !is_bytes || set.shape.len() != 1 || !set.is_array {
        return Err(Failure::new(format!(
            "it holds {} of {}, expected one row of uint8",
            crate::output::shape(&set.shape),
            types::name(&set.dtype)
        )));
    }
    if set.shape[0] > most {
        return Err(Failure::new(format!("it holds {} bytes, at most {most} expected", set.shape[0])));
    }
    let mut bytes = Vec::new();
    set.read(&[0], &set.shape, &mut bytes)?;
    Ok(bytes)
}
