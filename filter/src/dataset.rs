//! What set_local learns of a dataset from HDF5: type, shape, fill value and the other filters.

use crate::cd_values::{CdValues, Expanded, MAX_EXTENTS, MAX_TAIL, WORDS};
use crate::h5types::{Api, Hid, Hsize, H5D_FILL_VALUE_DEFAULT, H5D_FILL_VALUE_USER_DEFINED, H5S_MAX_RANK};
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
struct Entry {
    flags: c_uint,
    words: Vec<u32>,
    /// Whether another filter comes before it.
    preceded: bool,
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
    let (entry, (dtype, order), (dims, chunk)) =
        unsafe { (entry(api, dcpl)?, datatype::read(api, dtype_id)?, shape(api, dcpl, space)?) };
    let settings = match CdValues::from_words(&entry.words)? {
        CdValues::User(settings) => settings,
        CdValues::Expanded(expanded) => expanded.settings,
    };
    let layout = Layout::of(&dims, &chunk, settings.time_axis)?;
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
        tail: layout.tail,
        preceded: entry.preceded,
        nonce: crate::nonce::draw(),
    };
    expanded.params(1)?.validate()?;
    Ok((expanded, entry.flags))
}

/// Finds the filter in the pipeline.
unsafe fn entry(api: &Api, dcpl: Hid) -> Result<Entry> {
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

/// Extents of the dataset and of its chunks.
unsafe fn shape(api: &Api, dcpl: Hid, space: Hid) -> Result<(Vec<Hsize>, Vec<Hsize>)> {
    let mut dims = [0; H5S_MAX_RANK];
    let mut chunk = [0; H5S_MAX_RANK];
    // SAFETY: the caller's ids; both arrays hold the largest rank.
    let (rank, chunk_rank) = unsafe {
        let rank = (api.H5Sget_simple_extent_ndims)(space);
        if rank > H5S_MAX_RANK as c_int
            || (api.H5Sget_simple_extent_dims)(space, dims.as_mut_ptr(), ptr::null_mut()) < 0
        {
            return Err(Error::invalid("the dataset's shape cannot be read"));
        }
        (rank, (api.H5Pget_chunk)(dcpl, H5S_MAX_RANK as c_int, chunk.as_mut_ptr()))
    };
    if chunk_rank < 1 || rank != chunk_rank {
        return Err(Error::invalid(format!(
            "the dataset has rank {rank} and chunks of rank {chunk_rank}; filters need a chunked layout, expected are \
             chunks of the dataset's rank, at least 1"
        )));
    }
    let rank = rank as usize;
    Ok((dims[..rank].to_vec(), chunk[..rank].to_vec()))
}

/// A chunk as the codec gets it.
#[derive(Debug, PartialEq)]
struct Layout {
    shape: Vec<usize>,
    time_axis: usize,
    tail: usize,
}

impl Layout {
    /// Leaves out extents of 1 and merges the leading ones down to four.
    fn of(dims: &[Hsize], chunk: &[Hsize], time_axis: usize) -> Result<Self> {
        if time_axis >= chunk.len() {
            return Err(Error::invalid(format!(
                "word 1 states time axis {time_axis} (bits 20 to 23), but the dataset has rank {}; expected 0 to {}",
                chunk.len(),
                chunk.len() - 1
            )));
        }
        if chunk.contains(&0) {
            return Err(Error::invalid(format!("the chunk shape {chunk:?} has an extent of 0")));
        }
        let kept: Vec<usize> = (0..chunk.len()).filter(|&i| chunk[i] != 1).collect();
        let merged = kept.len().saturating_sub(MAX_EXTENTS - 1);
        let merged = if merged > 1 { merged } else { 0 };
        let mut extents: Vec<Hsize> = kept[merged..].iter().map(|&i| chunk[i]).collect();
        if merged > 0 {
            let product = kept[..merged].iter().try_fold(1, |p: Hsize, &i| p.checked_mul(chunk[i]));
            extents.insert(0, product.unwrap_or(Hsize::MAX));
        }
        if extents.is_empty() {
            extents.push(1);
        }
        if extents.iter().any(|&n| n > Hsize::from(u32::MAX)) {
            return Err(Error::invalid(format!(
                "the chunk shape {chunk:?} is too large; choose smaller chunks"
            )));
        }
        let shape = extents.into_iter().map(|n| n as usize).collect();
        let place = kept.iter().position(|&i| i == time_axis).filter(|&at| at >= merged);
        let Some(at) = place else { return Ok(Self { shape, time_axis: 0, tail: 0 }) };
        let tail = usize::try_from(dims[time_axis] % chunk[time_axis]).unwrap_or(usize::MAX);
        Ok(Self {
            shape,
            time_axis: at + usize::from(merged > 0) - merged,
            tail: if tail <= MAX_TAIL { tail } else { 0 },
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(dims: &[Hsize], chunk: &[Hsize], time: usize) -> (Vec<usize>, usize, usize) {
        let l = Layout::of(dims, chunk, time).unwrap();
        (l.shape, l.time_axis, l.tail)
    }

    #[test]
    fn ones_are_left_out_and_leading_extents_merged() {
        assert_eq!(layout(&[100, 64, 64], &[16, 64, 64], 0), (vec![16, 64, 64], 0, 4));
        assert_eq!(layout(&[100, 5, 64, 64], &[16, 1, 64, 64], 0), (vec![16, 64, 64], 0, 4));
        assert_eq!(layout(&[5, 100, 64, 64], &[1, 16, 64, 64], 1), (vec![16, 64, 64], 0, 4));
        assert_eq!(layout(&[64, 100], &[64, 16], 1), (vec![64, 16], 1, 4));
        assert_eq!(layout(&[5, 5, 5, 8], &[5, 5, 5, 3], 3), (vec![5, 5, 5, 3], 3, 2));
        assert_eq!(layout(&[9, 5, 6, 7, 8], &[4, 5, 6, 7, 8], 0), (vec![20, 6, 7, 8], 0, 0));
        assert_eq!(layout(&[9, 5, 7, 7, 8], &[4, 5, 6, 7, 8], 2), (vec![20, 6, 7, 8], 1, 1));
        assert_eq!(layout(&[2, 2, 2, 2, 2, 2, 3], &[2; 7], 6), (vec![16, 2, 2, 2], 3, 1));
        assert_eq!(layout(&[7, 9], &[1, 1], 0), (vec![1], 0, 0));
    }

    #[test]
    fn tails_are_stated_only_where_they_fit_and_the_dataset_is_not_empty() {
        assert_eq!(layout(&[0, 9], &[16, 9], 0).2, 0);
        assert_eq!(layout(&[32, 9], &[16, 9], 0).2, 0);
        assert_eq!(layout(&[33, 9], &[16, 9], 0).2, 1);
        assert_eq!(layout(&[3, 9], &[16, 9], 0).2, 3);
        assert_eq!(layout(&[255, 9], &[1000, 9], 0).2, 255);
        assert_eq!(layout(&[256, 9], &[1000, 9], 0).2, 0);
    }

    #[test]
    fn what_fits_no_words_is_refused() {
        assert!(Layout::of(&[4, 4], &[4, 4], 2).unwrap_err().message().contains("rank 2"));
        assert!(Layout::of(&[4, 0], &[4, 0], 0).is_err());
        assert!(Layout::of(&[9; 5], &[1 << 20, 1 << 20, 2, 2, 2], 0).is_err());
    }
}
