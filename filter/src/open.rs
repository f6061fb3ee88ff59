//! The open dataset that a chunk belongs to.
//!
//! HDF5 tells the filter function nothing about the dataset. Among the host's open datasets it is the one
//! whose property list holds the same cd_values, with the nonce that set_local drew. Copies made by H5Ocopy hold
//! the same, and so do some datasets without a nonce; the one opened last is taken then, which may store a partly
//! filled chunk finer or coarser than it had to be, or with another model, within the bound.

use crate::dataset::entry;
use crate::h5types::{Api, Hid, Hsize, OpenDatasets, H5F_OBJ_ALL, H5F_OBJ_DATASET, H5S_MAX_RANK};
use crate::host::Host;
use crate::layout::{tail, Layout};
use std::collections::{HashMap, HashSet};
use std::ffi::c_int;

/// Most open datasets that are looked at; with more, nothing is known.
const MOST: usize = 4096;

/// Which open dataset has which cd_values. Looking into a property list takes HDF5 long; each is looked into once.
#[derive(Default)]
pub struct Known {
    by_words: HashMap<Vec<u32>, Vec<Hid>>,
    seen: HashSet<Hid>,
}

/// Steps in the last chunk along time of the dataset with these (expanded) cd_values; 0 where
/// that chunk is full, where the dataset may still grow, and where the dataset is not found.
///
/// The answer decides how finely a partly filled chunk is stored, never whether it can be read.
///
/// # Safety
/// Called in a callback of the host.
pub unsafe fn tail_of(host: &Host, words: &[u32], time_axis: usize) -> usize {
    let Some((api, datasets)) = host.datasets() else { return 0 };
    let Some(mut known) = host.known() else { return 0 };
    let looker = Looker { api, datasets };
    // SAFETY: the host's own functions, in its callback.
    unsafe {
        looker.update(&mut known);
        let id = known.by_words.get(words).and_then(|ids| ids.last().copied());
        id.and_then(|id| looker.tail(id, time_axis)).unwrap_or(0)
    }
}

/// The open datasets with these (expanded) cd_values, the one opened last first.
///
/// # Safety
/// Called in a callback of the host.
pub unsafe fn with_words(host: &Host, words: &[u32]) -> Vec<Hid> {
    let Some((api, datasets)) = host.datasets() else { return vec![] };
    let looker = Looker { api, datasets };
    let (mut shared, mut fresh) = (host.known(), Known::default());
    // Where a fork left the lock closed, everything is looked at anew.
    let known = shared.as_deref_mut().unwrap_or(&mut fresh);
    // SAFETY: the host's own functions, in its callback.
    unsafe { looker.update(known) };
    known.by_words.get(words).map(|ids| ids.iter().rev().copied().collect()).unwrap_or_default()
}

/// The functions that look at datasets.
struct Looker<'a> {
    api: &'a Api,
    datasets: &'a OpenDatasets,
}

impl Looker<'_> {
    /// Forgets the datasets that were closed since the last time, and looks into those that were opened.
    unsafe fn update(&self, known: &mut Known) {
        // SAFETY: functions of the library that called.
        let count = unsafe { (self.datasets.H5Fget_obj_count)(H5F_OBJ_ALL, H5F_OBJ_DATASET) };
        let count = usize::try_from(count).unwrap_or(0);
        if count == 0 || count > MOST {
            *known = Known::default();
            return;
        }
        let mut ids = vec![0; count];
        // SAFETY: as above; the buffer holds as many ids as are asked for.
        let found =
            unsafe { (self.datasets.H5Fget_obj_ids)(H5F_OBJ_ALL, H5F_OBJ_DATASET, count, ids.as_mut_ptr()) };
        ids.truncate(usize::try_from(found).unwrap_or(0));
        let open: HashSet<Hid> = ids.iter().copied().collect();
        known.seen.retain(|id| open.contains(id));
        known.by_words.retain(|_, ids| {
            ids.retain(|id| open.contains(id));
            !ids.is_empty()
        });
        // In the order in which they were opened.
        ids.sort_unstable();
        for id in ids {
            if known.seen.insert(id) {
                // SAFETY: an id that the library gave.
                let entry = unsafe { self.with_plist(id, |dcpl| entry(self.api, dcpl).ok()) };
                if let Some(entry) = entry {
                    known.by_words.entry(entry.words).or_default().push(id);
                }
            }
        }
    }

    /// Opens the property list of a dataset for `work`.
    unsafe fn with_plist<T>(&self, id: Hid, work: impl FnOnce(Hid) -> Option<T>) -> Option<T> {
        // SAFETY: the caller's dataset.
        let dcpl = unsafe { (self.datasets.H5Dget_create_plist)(id) };
        if dcpl < 0 {
            return None;
        }
        let result = work(dcpl);
        // SAFETY: opened above.
        unsafe { (self.datasets.H5Pclose)(dcpl) };
        result
    }

    /// Steps in the last chunk along time of a dataset that cannot grow.
    unsafe fn tail(&self, id: Hid, time_axis: usize) -> Option<usize> {
        let mut chunk = [0; H5S_MAX_RANK];
        let (mut dims, mut max) = ([0; H5S_MAX_RANK], [0 as Hsize; H5S_MAX_RANK]);
        // SAFETY: a dataset with this filter, whose layout therefore is chunked; arrays of the largest rank.
        let (rank, space_rank) = unsafe {
            let most = H5S_MAX_RANK as c_int;
            let rank =
                self.with_plist(id, |dcpl| Some((self.api.H5Pget_chunk)(dcpl, most, chunk.as_mut_ptr())))?;
            let space = (self.datasets.H5Dget_space)(id);
            if space < 0 {
                return None;
            }
            let found = (self.api.H5Sget_simple_extent_dims)(space, dims.as_mut_ptr(), max.as_mut_ptr());
            (self.datasets.H5Sclose)(space);
            (rank, found)
        };
        let rank = usize::try_from(rank).ok().filter(|_| rank == space_rank)?;
        let layout = Layout::of(&chunk[..rank], time_axis).ok()?;
        Some(if layout.timed { tail(dims[time_axis], max[time_axis], chunk[time_axis]) } else { 0 })
    }
}
