//! Datasets: shape, storage, and reading and writing of boxes of elements.

use super::{check, object, plist, types, Id};
use crate::failure::Result;
use hdf5_sys::h5d::{
    H5D_fill_time_t, H5D_fill_value_t, H5D_layout_t, H5Dcreate2, H5Dget_space, H5Dget_storage_size,
    H5Dget_type, H5Dopen2, H5Dread, H5Dwrite,
};
use hdf5_sys::h5p::{
    H5Pcreate, H5Pfill_value_defined, H5Pget_attr_creation_order, H5Pget_attr_phase_change, H5Pget_chunk,
    H5Pget_fill_time, H5Pget_fill_value, H5Pget_layout, H5Pget_obj_track_times, H5Pset_attr_creation_order,
    H5Pset_attr_phase_change, H5Pset_chunk, H5Pset_fill_time, H5Pset_fill_value, H5Pset_obj_track_times,
    H5P_CLS_DATASET_CREATE, H5P_DEFAULT,
};
use hdf5_sys::h5s::{
    H5S_class_t, H5S_seloper_t, H5Screate_simple, H5Sget_simple_extent_dims, H5Sget_simple_extent_ndims,
    H5Sget_simple_extent_type, H5Sselect_hyperslab, H5S_UNLIMITED,
};
use std::ffi::{c_void, CStr};

/// How a dataset's elements are stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Layout {
    /// In the object's header.
    Compact,
    /// In one piece.
    Contiguous,
    /// In chunks of this shape.
    Chunked(Vec<usize>),
    /// In other datasets.
    Virtual,
}

/// An open dataset and what does not change about it.
#[derive(Debug)]
pub struct Dataset {
    /// Its identifier.
    pub id: Id,
    /// Type of its elements in memory.
    pub dtype: Id,
    /// Its dataspace.
    pub space: Id,
    /// How it was created.
    pub dcpl: Id,
    /// Extents; empty for a single value.
    pub shape: Vec<usize>,
    /// Largest extents; `None` for an axis without a limit.
    pub max_shape: Vec<Option<usize>>,
    /// Whether the dataset is an array (not a single value, not an empty dataspace).
    pub is_array: bool,
    /// How its elements are stored.
    pub layout: Layout,
}

/// Opens the dataset at `path`, with a chunk cache of `cache` bytes where one is given.
///
/// # Errors
/// When it is missing or damaged.
pub fn open(at: &Id, path: &CStr, cache: Option<usize>) -> Result<Dataset> {
    let dapl = cache.map(plist::chunk_cache).transpose()?;
    // SAFETY: a valid location, C string and property list.
    let raw = unsafe { H5Dopen2(at.raw(), path.as_ptr(), dapl.as_ref().map_or(H5P_DEFAULT, Id::raw)) };
    describe(Id::take(raw, || format!("opening the dataset {}", path.to_string_lossy()))?)
}

/// Whether `path` leads to a dataset.
pub fn exists(at: &Id, path: &CStr) -> bool {
    object::open(at, path).is_ok_and(|o| o.kind == object::Kind::Dataset)
}

/// What does not change about an open dataset.
///
/// # Errors
/// When it is damaged.
pub fn describe(id: Id) -> Result<Dataset> {
    let what = || "reading a dataset's description".to_string();
    // SAFETY: a valid dataset.
    let (dtype, space) =
        unsafe { (Id::take(H5Dget_type(id.raw()), what)?, Id::take(H5Dget_space(id.raw()), what)?) };
    let dcpl = object::creation_plist(&id, object::Kind::Dataset)?;
    // SAFETY: a valid dataspace; the buffers hold its rank.
    let (is_array, dims, max) = unsafe {
        let is_array = H5Sget_simple_extent_type(space.raw()) == H5S_class_t::H5S_SIMPLE;
        let rank = H5Sget_simple_extent_ndims(space.raw()).max(0) as usize;
        let (mut dims, mut max) = (vec![0; rank], vec![0; rank]);
        check(H5Sget_simple_extent_dims(space.raw(), dims.as_mut_ptr(), max.as_mut_ptr()), what)?;
        (is_array, dims, max)
    };
    // SAFETY: a valid property list; the buffer holds the rank of a chunk.
    let layout = unsafe {
        match H5Pget_layout(dcpl.raw()) {
            H5D_layout_t::H5D_COMPACT => Layout::Compact,
            H5D_layout_t::H5D_CHUNKED => {
                let mut chunk = vec![0; dims.len().max(1)];
                check(H5Pget_chunk(dcpl.raw(), chunk.len() as i32, chunk.as_mut_ptr()), what)?;
                Layout::Chunked(chunk.iter().map(|&n| n as usize).collect())
            }
            H5D_layout_t::H5D_VIRTUAL => Layout::Virtual,
            _ => Layout::Contiguous,
        }
    };
    Ok(Dataset {
        id,
        dtype,
        space,
        dcpl,
        shape: dims.iter().map(|&n| n as usize).collect(),
        max_shape: max.iter().map(|&n| (n != H5S_UNLIMITED).then_some(n as usize)).collect(),
        is_array,
        layout,
    })
}

impl Dataset {
    /// Number of elements.
    pub fn points(&self) -> u64 {
        self.shape.iter().map(|&n| n as u64).product()
    }

    /// Bytes of all elements in memory.
    pub fn raw_bytes(&self) -> u64 {
        self.points().saturating_mul(types::size(&self.dtype) as u64)
    }

    /// Bytes that the elements take in the file.
    pub fn stored_bytes(&self) -> u64 {
        // SAFETY: a valid dataset.
        unsafe { H5Dget_storage_size(self.id.raw()) }
    }

    /// Reads the box that starts at `start` with extents `count`, as the elements lie in the file's type.
    ///
    /// # Errors
    /// A damaged chunk, a missing filter; the message is HDF5's.
    pub fn read(&self, start: &[usize], count: &[usize], bytes: &mut Vec<u8>) -> Result<()> {
        let points: usize = count.iter().product();
        bytes.clear();
        bytes.resize(points * types::size(&self.dtype), 0);
        if bytes.is_empty() {
            return Ok(());
        }
        let (memory, file) = self.select(start, count)?;
        // SAFETY: the buffer holds every selected element of this type.
        let status = unsafe {
            H5Dread(
                self.id.raw(),
                self.dtype.raw(),
                memory.as_ref().map_or(0, Id::raw),
                file.as_ref().map_or(0, Id::raw),
                H5P_DEFAULT,
                bytes.as_mut_ptr().cast::<c_void>(),
            )
        };
        check(status, || format!("reading {}", box_name(start, count)))
    }

    /// Writes the box that starts at `start` with extents `count`.
    ///
    /// # Errors
    /// A full disk, a filter that fails; the message is HDF5's.
    pub fn write(&self, start: &[usize], count: &[usize], bytes: &[u8]) -> Result<()> {
        debug_assert_eq!(bytes.len(), count.iter().product::<usize>() * types::size(&self.dtype));
        if bytes.is_empty() {
            return Ok(());
        }
        let (memory, file) = self.select(start, count)?;
        // SAFETY: the buffer holds every selected element of this type.
        let status = unsafe {
            H5Dwrite(
                self.id.raw(),
                self.dtype.raw(),
                memory.as_ref().map_or(0, Id::raw),
                file.as_ref().map_or(0, Id::raw),
                H5P_DEFAULT,
                bytes.as_ptr().cast::<c_void>(),
            )
        };
        check(status, || format!("writing {}", box_name(start, count)))
    }

    /// Releases what elements of variable length, read by [`Dataset::read`], point to.
    pub fn reclaim(&self, count: &[usize], bytes: &mut [u8]) {
        if let Ok((memory, _)) = self.select(&vec![0; count.len()], count) {
            let space = memory.as_ref().unwrap_or(&self.space);
            // SAFETY: the elements were read by HDF5 with this type and number.
            unsafe {
                hdf5_sys::h5t::H5Treclaim(
                    self.dtype.raw(),
                    space.raw(),
                    H5P_DEFAULT,
                    bytes.as_mut_ptr().cast::<c_void>(),
                )
            };
        }
    }

    /// Dataspaces in memory and file for a box; none for a single value.
    fn select(&self, start: &[usize], count: &[usize]) -> Result<(Option<Id>, Option<Id>)> {
        if count.is_empty() {
            return Ok((None, None));
        }
        let what = || format!("selecting {}", box_name(start, count));
        let (start, count) = (plist::extents(start), plist::extents(count));
        // SAFETY: the buffers hold the rank of the dataspace.
        unsafe {
            let memory =
                Id::take(H5Screate_simple(count.len() as i32, count.as_ptr(), std::ptr::null()), what)?;
            let file = Id::take(H5Dget_space(self.id.raw()), what)?;
            let status = H5Sselect_hyperslab(
                file.raw(),
                H5S_seloper_t::H5S_SELECT_SET,
                start.as_ptr(),
                std::ptr::null(),
                count.as_ptr(),
                std::ptr::null(),
            );
            check(status, what)?;
            Ok((Some(memory), Some(file)))
        }
    }
}

fn box_name(start: &[usize], count: &[usize]) -> String {
    let ranges: Vec<String> = start.iter().zip(count).map(|(s, n)| format!("{s}:{}", s + n)).collect();
    format!("[{}]", ranges.join(", "))
}

/// Creates a dataset in `parent`.
///
/// # Errors
/// When HDF5 or a filter refuses; the message says why.
pub fn create(
    parent: &Id,
    name: &CStr,
    utf8: bool,
    dtype: &Id,
    space: &Id,
    dcpl: &Id,
    cache: usize,
) -> Result<Dataset> {
    let lcpl = plist::link_creation(utf8)?;
    let dapl = plist::chunk_cache(cache)?;
    // SAFETY: valid identifiers and a C string.
    let raw = unsafe {
        H5Dcreate2(parent.raw(), name.as_ptr(), dtype.raw(), space.raw(), lcpl.raw(), dcpl.raw(), dapl.raw())
    };
    describe(Id::take(raw, || format!("creating the dataset {}", name.to_string_lossy()))?)
}

/// Creates a contiguous dataset of little-endian 32-bit floats and writes it.
///
/// # Errors
/// When HDF5 refuses, a full disk for instance.
pub fn write_floats(file: &Id, name: &CStr, shape: &[usize], bytes: &[u8]) -> Result<()> {
    let what = || format!("creating the dataset {}", name.to_string_lossy());
    let extents = plist::extents(shape);
    // SAFETY: valid identifiers and a C string; the buffer holds the rank.
    let id = unsafe {
        let space = Id::take(H5Screate_simple(shape.len() as i32, extents.as_ptr(), std::ptr::null()), what)?;
        let dtype = *hdf5_sys::h5t::H5T_IEEE_F32LE;
        let (lcpl, dcpl, dapl) = (H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        Id::take(H5Dcreate2(file.raw(), name.as_ptr(), dtype, space.raw(), lcpl, dcpl, dapl), what)?
    };
    describe(id)?.write(&vec![0; shape.len()], shape, bytes)
}

/// Creation properties of a chunked dataset without filters that is otherwise like `model`: fill value,
/// attribute order, times.
///
/// # Errors
/// When HDF5 refuses the chunk shape.
pub fn chunked_like(model: &Dataset, chunk: &[usize]) -> Result<Id> {
    let what = || "preparing a dataset".to_string();
    let from = model.dcpl.raw();
    // SAFETY: valid property lists and types; buffers hold one element or the rank.
    unsafe {
        let dcpl = Id::take(H5Pcreate(*H5P_CLS_DATASET_CREATE), what)?;
        let extents = plist::extents(chunk);
        check(H5Pset_chunk(dcpl.raw(), extents.len() as i32, extents.as_ptr()), || {
            format!("setting the chunk shape {chunk:?}")
        })?;
        let mut defined = H5D_fill_value_t::H5D_FILL_VALUE_DEFAULT;
        check(H5Pfill_value_defined(from, &mut defined), what)?;
        match defined {
            H5D_fill_value_t::H5D_FILL_VALUE_USER_DEFINED => {
                let mut value = vec![0u8; types::size(&model.dtype)];
                check(H5Pget_fill_value(from, model.dtype.raw(), value.as_mut_ptr().cast()), what)?;
                check(H5Pset_fill_value(dcpl.raw(), model.dtype.raw(), value.as_ptr().cast()), what)?;
            }
            H5D_fill_value_t::H5D_FILL_VALUE_UNDEFINED => {
                check(H5Pset_fill_value(dcpl.raw(), model.dtype.raw(), std::ptr::null()), what)?;
            }
            _ => {}
        }
        let mut when = H5D_fill_time_t::H5D_FILL_TIME_IFSET;
        check(H5Pget_fill_time(from, &mut when), what)?;
        check(H5Pset_fill_time(dcpl.raw(), when), what)?;
        let (mut order, mut compact, mut dense, mut times) = (0, 0, 0, 0);
        check(H5Pget_attr_creation_order(from, &mut order), what)?;
        check(H5Pset_attr_creation_order(dcpl.raw(), order), what)?;
        check(H5Pget_attr_phase_change(from, &mut compact, &mut dense), what)?;
        check(H5Pset_attr_phase_change(dcpl.raw(), compact, dense), what)?;
        check(H5Pget_obj_track_times(from, &mut times), what)?;
        check(H5Pset_obj_track_times(dcpl.raw(), times), what)?;
        Ok(dcpl)
    }
}

/// Whether the elements lie in other files, of which the dataset only holds the names.
pub fn is_external(dataset: &Dataset) -> bool {
    // SAFETY: a valid property list.
    unsafe { hdf5_sys::h5p::H5Pget_external_count(dataset.dcpl.raw()) > 0 }
}

/// The fill value that a user gave the dataset, as its bytes in the dataset's type.
pub fn user_fill(dataset: &Dataset) -> Option<Vec<u8>> {
    let mut defined = H5D_fill_value_t::H5D_FILL_VALUE_DEFAULT;
    let mut value = vec![0u8; types::size(&dataset.dtype)];
    // SAFETY: a valid property list and type; the buffer holds one element.
    unsafe {
        if H5Pfill_value_defined(dataset.dcpl.raw(), &mut defined) < 0
            || defined != H5D_fill_value_t::H5D_FILL_VALUE_USER_DEFINED
            || H5Pget_fill_value(dataset.dcpl.raw(), dataset.dtype.raw(), value.as_mut_ptr().cast()) < 0
        {
            return None;
        }
    }
    Some(value)
}
