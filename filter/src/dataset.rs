//! What set_local learns of a dataset from HDF5: type, shape, fill value and the other filters.

use crate::cd_values::{CdValues, Expanded, WORDS};
use crate::h5types::{Api, Hid, Hsize, H5D_FILL_VALUE_DEFAULT, H5D_FILL_VALUE_USER_DEFINED, H5S_MAX_RANK};
use crate::layout::Layout;
use crate::{datatype, FILTER_ID, FILTER_NAME};
use augur_core::{Dtype, Error, Result};
use std::ffi::{c_int, c_uint, c_void};
use std::ptr;

/// Room for the words of a filter: more than Augur ever stores, to see when there are too many.
const ROOM: usize = 64;

/// Largest chunk that may pass another filter before this one, which may add to it: it is stored as an array of
/// bytes, whose extent has 32 bits.
const MOST_BYTES: Hsize = u32::MAX as Hsize - 4096;

/// Our entry in the dataset's pipeline.
pub struct Entry {
    /// Mandatory or optional.
    pub flags: c_uint,
    /// The cd_values.
    pub words: Vec<u32>,
    /// Whether another filter comes before it.
    pub preceded: bool,
}

/// The dataset's expanded cd_values and the flags under which they are to be stored.
///
/// # Errors
/// `InvalidArgument` when the dataset or its cd_values are not what the filter can handle.
///
/// `creating` says whether the property list is that of a new dataset (set_local); without it the fill value
/// is left out.
///
/// # Safety
/// `api` is the table of the libhdf5 that owns the three ids: a dataset creation property list with the
/// filter in its pipeline, a datatype and a dataspace.
pub unsafe fn expand(
    api: &Api,
    dcpl: Hid,
    dtype_id: Hid,
    space: Hid,
    creating: bool,
) -> Result<(Expanded, c_uint)> {
    // SAFETY: as the caller promises, for every call in this block.
    let (entry, (dtype, order), chunk) =
        unsafe { (entry(api, dcpl)?, datatype::read(api, dtype_id)?, chunk_shape(api, dcpl, space)?) };
    let settings = match CdValues::from_words(&entry.words)? {
        CdValues::User(settings) => settings,
        CdValues::Expanded(expanded) => expanded.settings,
    };
    let layout = Layout::of(&chunk, settings.time_axis)?;
    let bytes = chunk.iter().try_fold(dtype.size() as Hsize, |n, &extent| n.checked_mul(extent));
    if entry.preceded && bytes.is_none_or(|n| n > MOST_BYTES) {
        return Err(Error::invalid(
            "chunks of 4 GiB or more cannot pass another filter before augur; put augur first or choose smaller chunks",
        ));
    }
    // can_apply is also called for datasets that exist, when they are extended or first written; HDF5 2.0 then
    // crashes in H5Pget_fill_value, because the type of the fill value is not set.
    // SAFETY: as the caller promises; in set_local the property list is complete.
    let own_fill = if creating { unsafe { fill_value(api, dcpl, dtype_id, dtype)? } } else { None };
    let expanded = Expanded {
        settings,
        own_fill,
        dtype,
        order,
        shape: layout.shape,
        time_axis: layout.time_axis,
        preceded: entry.preceded,
        nonce: crate::nonce::draw(),
    };
    expanded.params(0, 1)?.validate()?;
    Ok((expanded, entry.flags))
}

/// Finds the filter in the pipeline.
///
/// # Errors
/// `InvalidArgument` when it is not there or has too many words.
///
/// # Safety
/// `dcpl` is a dataset creation property list of the libhdf5 whose table `api` is.
pub unsafe fn entry(api: &Api, dcpl: Hid) -> Result<Entry> {
    // SAFETY: the caller's property list.
    let count = unsafe { (api.H5Pget_nfilters)(dcpl) };
    for i in 0..count.max(0) {
        let (mut flags, mut config) = (0, 0);
        let mut n = ROOM;
        let mut words = [0; ROOM];
        // SAFETY: every pointer leads to room of the size that is stated; no name is asked for.
        let id = unsafe {
            (api.H5Pget_filter2)(
                dcpl,
                i as c_uint,
                &mut flags,
                &mut n,
                words.as_mut_ptr(),
                0,
                ptr::null_mut(),
                &mut config,
            )
        };
        if id == FILTER_ID {
            if n > WORDS {
                return Err(Error::invalid(format!("{n} cd_values were given, at most {WORDS} expected")));
            }
            return Ok(Entry { flags, words: words[..n].to_vec(), preceded: i > 0 });
        }
    }
    Err(Error::invalid(format!("the filter {FILTER_NAME} ({FILTER_ID}) is not in the dataset's pipeline")))
}

/// Extents of the chunks. The dataspace that HDF5 passes is a chunk's, not the dataset's.
unsafe fn chunk_shape(api: &Api, dcpl: Hid, space: Hid) -> Result<Vec<Hsize>> {
    let mut chunk = [0; H5S_MAX_RANK];
    // SAFETY: the caller's ids; the array holds the largest rank.
    let (rank, chunk_rank) = unsafe {
        (
            (api.H5Sget_simple_extent_ndims)(space),
            (api.H5Pget_chunk)(dcpl, H5S_MAX_RANK as c_int, chunk.as_mut_ptr()),
        )
    };
    if chunk_rank < 1 || rank != chunk_rank {
        return Err(Error::invalid(format!(
            "the dataset has rank {rank} and chunks of rank {chunk_rank}; filters need a chunked layout, expected are \
             chunks of the dataset's rank, at least 1"
        )));
    }
    Ok(chunk[..rank as usize].to_vec())
}

/// Bytes of the dataset's fill value in the file's byte order; `None` where it is undefined.
unsafe fn fill_value(api: &Api, dcpl: Hid, dtype_id: Hid, dtype: Dtype) -> Result<Option<[u8; 8]>> {
    let mut defined = 0;
    // SAFETY: the caller's property list; the pointer leads to one int.
    if unsafe { (api.H5Pfill_value_defined)(dcpl, &mut defined) } < 0 {
        return Err(Error::invalid("the dataset's fill value cannot be read"));
    }
    let mut bytes = [0u8; 8];
    match defined {
        H5D_FILL_VALUE_DEFAULT => Ok(Some(bytes)),
        H5D_FILL_VALUE_USER_DEFINED => {
            debug_assert!(dtype.size() <= bytes.len());
            // SAFETY: the dataset's own type has at most 8 bytes (`datatype` checked it), which is the room.
            if unsafe { (api.H5Pget_fill_value)(dcpl, dtype_id, bytes.as_mut_ptr().cast::<c_void>()) } < 0 {
                return Err(Error::invalid(format!(
                    "the dataset's fill value cannot be read as {}",
                    dtype.name()
                )));
            }
            Ok(Some(bytes))
        }
        _ => Ok(None),
    }
}
