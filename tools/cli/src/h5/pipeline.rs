//! Filters: the Augur filter itself, and the pipelines of datasets.

use super::{check, Id};
use crate::failure::Result;
use augur_filter::FILTER_ID;
use hdf5_sys::h5p::{H5Pget_filter2, H5Pget_nfilters, H5Pset_filter};
use hdf5_sys::h5pl::{H5PLget, H5PLremove, H5PLsize};
use hdf5_sys::h5z::{H5Zfilter_avail, H5Zregister, H5Z_FLAG_OPTIONAL};
use std::ffi::{c_void, CStr};

/// One filter of a dataset's pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// Its id.
    pub id: i32,
    /// Its name, where the file or the library tells one.
    pub name: String,
    /// Its parameters.
    pub words: Vec<u32>,
    /// Whether data may be stored without it when it fails.
    pub optional: bool,
}

impl Filter {
    /// Name for people, with the id where there is no name.
    pub fn label(&self) -> String {
        match self.id {
            1 => self.words.first().map_or("gzip".into(), |level| format!("gzip-{level}")),
            2 => "shuffle".into(),
            3 => "fletcher32".into(),
            4 => "szip".into(),
            5 => "nbit".into(),
            6 => "scaleoffset".into(),
            _ if self.name.is_empty() => format!("filter {}", self.id),
            _ => format!("{} ({})", self.name, self.id),
        }
    }

    /// Whether it is Augur.
    pub fn is_augur(&self) -> bool {
        self.id == FILTER_ID
    }
}

/// The filters of a dataset, in the order in which they are applied when writing.
///
/// # Errors
/// When HDF5 does not tell.
pub fn list(dcpl: &Id) -> Result<Vec<Filter>> {
    // SAFETY: a valid property list.
    let n = unsafe { H5Pget_nfilters(dcpl.raw()) };
    check(n, || "reading a dataset's filters".into())?;
    (0..n as u32)
        .map(|i| {
            let (mut flags, mut count, mut config) = (0, 0, 0);
            let mut name = [0u8; 256];
            let mut read = |words: &mut Vec<u32>, name: &mut [u8; 256]| {
                count = words.len();
                // SAFETY: both buffers have the sizes that are passed.
                let id = unsafe {
                    H5Pget_filter2(
                        dcpl.raw(),
                        i,
                        &mut flags,
                        &mut count,
                        words.as_mut_ptr(),
                        name.len(),
                        name.as_mut_ptr().cast(),
                        &mut config,
                    )
                };
                check(id, || "reading a dataset's filter".into()).map(|()| (id, count))
            };
            let mut words = vec![0u32; 32];
            let (mut id, mut count) = read(&mut words, &mut name)?;
            if count > words.len() {
                words.resize(count, 0);
                (id, count) = read(&mut words, &mut name)?;
            }
            words.truncate(count);
            let name = CStr::from_bytes_until_nul(&name)
                .map(|c| c.to_string_lossy().into_owned())
                .unwrap_or_default();
            Ok(Filter { id, name, words, optional: flags & H5Z_FLAG_OPTIONAL != 0 })
        })
        .collect()
}

/// Appends the Augur filter with these cd_values to the pipeline, as one that must not be skipped.
///
/// # Errors
/// When HDF5 refuses.
pub fn add_augur(dcpl: &Id, words: &[u32]) -> Result<()> {
    // SAFETY: a valid property list; the words are copied.
    let status = unsafe { H5Pset_filter(dcpl.raw(), FILTER_ID, 0, words.len(), words.as_ptr()) };
    check(status, || "adding the Augur filter".into())
}

/// Whether HDF5 has this filter or finds a plugin for it.
pub fn is_available(id: i32) -> bool {
    // SAFETY: any number may be asked for.
    let known = unsafe { H5Zfilter_avail(id) } > 0;
    if !known {
        let _ = super::error("");
    }
    known
}

/// Registers the Augur filter, so that it needs no plugin here.
pub(super) fn register_augur() -> Result<()> {
    keep_host_functions();
    let class: *const c_void = std::ptr::from_ref(augur_filter::class()).cast();
    // SAFETY: the class is a constant that lives as long as the process.
    check(unsafe { H5Zregister(class) }, || "registering the Augur filter".into())
}

/// The library's default plugin path names the directory it was built for, which is a temporary one here.
pub(super) fn drop_build_directory_from_plugin_path() {
    if std::env::var_os("HDF5_PLUGIN_PATH").is_some() {
        return;
    }
    let mut count = 0;
    // SAFETY: valid pointers; indices run below the count that HDF5 states, from the last one down.
    unsafe {
        if H5PLsize(&mut count) < 0 {
            return;
        }
        for i in (0..count).rev() {
            let mut path = [0u8; 4096];
            let len = H5PLget(i, path.as_mut_ptr().cast(), path.len());
            let path = &path[..len.clamp(0, 4095) as usize];
            if path.windows(7).any(|w| w == b"/build/") {
                H5PLremove(i);
            }
        }
    }
}

/// The filter looks these functions up by name in whatever called it. Here that is the executable
/// itself, which holds only what something refers to: this table does.
fn keep_host_functions() {
    use hdf5_sys::{h5, h5a, h5d, h5e, h5f, h5g, h5i, h5l, h5p, h5s, h5t};
    let functions: [*const c_void; 49] = [
        h5t::H5Tencode as *const c_void,
        h5t::H5Tget_class as *const c_void,
        h5t::H5Tget_size as *const c_void,
        h5t::H5Tget_native_type as *const c_void,
        h5t::H5Tis_variable_str as *const c_void,
        h5t::H5Tclose as *const c_void,
        h5s::H5Sget_simple_extent_ndims as *const c_void,
        h5s::H5Sget_simple_extent_dims as *const c_void,
        h5s::H5Sget_simple_extent_npoints as *const c_void,
        h5s::H5Sclose as *const c_void,
        h5p::H5Pget_chunk as *const c_void,
        h5p::H5Pget_nfilters as *const c_void,
        h5p::H5Pget_filter2 as *const c_void,
        h5p::H5Pmodify_filter as *const c_void,
        h5p::H5Pfill_value_defined as *const c_void,
        h5p::H5Pget_fill_value as *const c_void,
        h5p::H5Pget_layout as *const c_void,
        h5p::H5Pget_virtual_count as *const c_void,
        h5p::H5Pget_virtual_filename as *const c_void,
        h5p::H5Pclose as *const c_void,
        h5f::H5Fget_obj_count as *const c_void,
        h5f::H5Fget_obj_ids as *const c_void,
        h5f::H5Fget_name as *const c_void,
        h5f::H5Fopen as *const c_void,
        h5f::H5Fclose as *const c_void,
        h5d::H5Dopen2 as *const c_void,
        h5d::H5Dget_create_plist as *const c_void,
        h5d::H5Dget_space as *const c_void,
        h5d::H5Dget_type as *const c_void,
        h5d::H5Dread as *const c_void,
        h5d::H5Dclose as *const c_void,
        h5a::H5Aexists as *const c_void,
        h5a::H5Aopen as *const c_void,
        h5a::H5Aget_type as *const c_void,
        h5a::H5Aget_space as *const c_void,
        h5a::H5Aread as *const c_void,
        h5a::H5Aclose as *const c_void,
        h5l::H5Lexists as *const c_void,
        h5l::H5Lget_name_by_idx as *const c_void,
        h5g::H5Gget_info_by_name as *const c_void,
        h5i::H5Iget_name as *const c_void,
        h5::H5allocate_memory as *const c_void,
        h5::H5free_memory as *const c_void,
        h5e::H5Eregister_class as *const c_void,
        h5e::H5Ecreate_msg as *const c_void,
        h5e::H5Epush2 as *const c_void,
        h5e::H5Eget_auto2 as *const c_void,
        h5e::H5Eset_auto2 as *const c_void,
        h5e::H5Eclear2 as *const c_void,
    ];
    std::hint::black_box(functions);
}
