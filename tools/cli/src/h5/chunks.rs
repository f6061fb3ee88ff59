//! The chunks of a dataset as they are stored, without decoding.

use super::{check, dataset::Dataset, plist, Id};
use crate::failure::{Failure, Result};
use hdf5_sys::h5::{haddr_t, herr_t, hsize_t};
use hdf5_sys::h5d::{H5Dchunk_iter, H5Dread_chunk, H5Dwrite_chunk};
use hdf5_sys::h5p::H5P_DEFAULT;
use std::ffi::{c_int, c_uint, c_void};

/// One stored chunk.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// First element, in elements from the dataset's origin.
    pub offset: Vec<usize>,
    /// Bytes in the file.
    pub stored: usize,
    /// Bit i is set when filter i of the pipeline was not applied.
    pub skipped: u32,
}

struct Collected {
    rank: usize,
    chunks: Vec<Chunk>,
}

/// Every chunk that is stored, in the file's order.
///
/// # Errors
/// When the index is damaged.
pub fn list(dataset: &Dataset) -> Result<Vec<Chunk>> {
    let mut all = Collected { rank: dataset.shape.len(), chunks: Vec::new() };
    // SAFETY: `collect` has the signature that H5Dchunk_iter expects and `all` outlives the call.
    let status = unsafe {
        H5Dchunk_iter(dataset.id.raw(), H5P_DEFAULT, Some(collect), (&raw mut all).cast::<c_void>())
    };
    check(status, || "listing a dataset's chunks".into())?;
    all.chunks.sort_by(|a, b| a.offset.cmp(&b.offset));
    Ok(all.chunks)
}

unsafe extern "C" fn collect(
    offset: *const hsize_t,
    mask: c_uint,
    _: haddr_t,
    size: hsize_t,
    data: *mut c_void,
) -> c_int {
    // SAFETY: `data` is what `list` handed over; HDF5 passes as many offsets as the dataset has axes.
    unsafe {
        let all = &mut *data.cast::<Collected>();
        let offset = std::slice::from_raw_parts(offset, all.rank);
        all.chunks.push(Chunk {
            offset: offset.iter().map(|&n| n as usize).collect(),
            stored: size as usize,
            skipped: mask,
        });
    }
    let done: herr_t = 0;
    done
}

/// The bytes of a chunk as they are stored.
///
/// # Errors
/// When the file ends before them.
pub fn read(dataset: &Dataset, chunk: &Chunk) -> Result<Vec<u8>> {
    let mut bytes = vec![0u8; chunk.stored];
    let (mut mask, mut size) = (0, bytes.len());
    let offset = plist::extents(&chunk.offset);
    // SAFETY: the buffers hold the rank and the size that are passed.
    let status = unsafe {
        H5Dread_chunk(
            dataset.id.raw(),
            H5P_DEFAULT,
            offset.as_ptr(),
            &mut mask,
            bytes.as_mut_ptr().cast(),
            &mut size,
        )
    };
    check(status, || format!("reading the chunk at {:?}", chunk.offset))?;
    if size != bytes.len() {
        return Err(Failure::new(format!("the chunk at {:?} changed while it was read", chunk.offset)));
    }
    Ok(bytes)
}

/// Stores a chunk's bytes as they are.
///
/// # Errors
/// A full disk, for instance.
pub fn write(dataset: &Dataset, chunk: &Chunk, bytes: &[u8]) -> Result<()> {
    let offset = plist::extents(&chunk.offset);
    let id: &Id = &dataset.id;
    // SAFETY: the buffers hold the rank and the size that are passed.
    let status = unsafe {
        H5Dwrite_chunk(
            id.raw(),
            H5P_DEFAULT,
            chunk.skipped,
            offset.as_ptr(),
            bytes.len(),
            bytes.as_ptr().cast(),
        )
    };
    check(status, || format!("writing the chunk at {:?}", chunk.offset))
}
