//! `libh5z_augur`: the two functions by which HDF5 recognises a filter plugin, and nothing else.
//!
//! The library links no libhdf5. It finds the one that called it, so that a single copy serves several
//! HDF5 libraries in one process (`augur_filter::host`).

use augur_filter::h5types::{H5ZClass2, H5PL_TYPE_FILTER};
use std::ffi::c_int;

/// Says that this plugin is a filter (`H5PL_TYPE_FILTER`).
#[no_mangle]
pub extern "C" fn H5PLget_plugin_type() -> c_int {
    H5PL_TYPE_FILTER
}

/// The filter's class, an `H5Z_class2_t` that lives as long as the process.
#[no_mangle]
pub extern "C" fn H5PLget_plugin_info() -> *const H5ZClass2 {
    augur_filter::log_to_stderr();
    augur_filter::class()
}
