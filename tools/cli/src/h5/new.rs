//! Chunked datasets that are made from nothing, with the groups on the way to them.

use super::dataset::{self, Dataset};
use super::{check, pipeline, plist, Id};
use crate::failure::Result;
use hdf5_sys::h5d::H5Dcreate2;
use hdf5_sys::h5p::{H5Pcreate, H5Pset_chunk, H5Pset_create_intermediate_group, H5P_CLS_DATASET_CREATE};
use hdf5_sys::h5s::H5Screate_simple;
use std::ffi::CStr;

/// Creates the dataset at `path`, compressed with Augur where `words` are given, without a chunk cache: it
/// is to be written in boxes of whole chunks.
///
/// # Errors
/// What HDF5 or the filter refuses.
pub fn chunked(
    file: &Id,
    path: &CStr,
    dtype: &Id,
    shape: &[usize],
    chunk: &[usize],
    words: Option<&[u32]>,
) -> Result<Dataset> {
    let what = || format!("creating the dataset {}", path.to_string_lossy());
    let lcpl = plist::link_creation(true)?;
    let dapl = plist::chunk_cache(0)?;
    let (shape, extents) = (plist::extents(shape), plist::extents(chunk));
    // SAFETY: valid identifiers and a C string; the buffers hold the rank.
    let id = unsafe {
        check(H5Pset_create_intermediate_group(lcpl.raw(), 1), what)?;
        let space = Id::take(H5Screate_simple(shape.len() as i32, shape.as_ptr(), std::ptr::null()), what)?;
        let dcpl = Id::take(H5Pcreate(*H5P_CLS_DATASET_CREATE), what)?;
        check(H5Pset_chunk(dcpl.raw(), extents.len() as i32, extents.as_ptr()), || {
            format!("setting the chunk shape {chunk:?}")
        })?;
        if let Some(words) = words {
            pipeline::add_augur(&dcpl, words)?;
        }
        let (at, name, dtype, space) = (file.raw(), path.as_ptr(), dtype.raw(), space.raw());
        Id::take(H5Dcreate2(at, name, dtype, space, lcpl.raw(), dcpl.raw(), dapl.raw()), what)?
    };
    dataset::describe(id)
}
