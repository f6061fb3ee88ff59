//! The few HDF5 calls that the command needs, safe to use: identifiers that release themselves, and
//! errors that carry HDF5's own explanation.
//!
//! libhdf5 is linked statically and used from one thread only. `unsafe` stays inside this module.

pub mod attribute;
pub mod bytes;
pub mod chunks;
pub mod dataset;
pub mod element;
pub mod file;
pub mod link;
pub mod new;
pub mod object;
pub mod pipeline;
pub mod plist;
pub mod reference;
pub mod types;

use crate::failure::{Failure, Result};
use hdf5_sys::h5::herr_t;
use hdf5_sys::h5e::{H5E_direction_t, H5E_error2_t, H5Eclear2, H5Eset_auto2, H5Ewalk2, H5E_DEFAULT};
use hdf5_sys::h5i::{hid_t, H5Idec_ref, H5Iinc_ref};
use std::ffi::{c_uint, c_void, CStr, CString};

/// An HDF5 identifier, released when it goes out of scope.
#[derive(Debug)]
pub struct Id(hid_t);

impl Id {
    /// Takes over an identifier that HDF5 returned; a negative one is an error that says `what` failed.
    pub(crate) fn take(raw: hid_t, what: impl FnOnce() -> String) -> Result<Self> {
        if raw < 0 {
            return Err(error(&what()));
        }
        Ok(Self(raw))
    }

    /// One more identifier of the same thing.
    pub(crate) fn again(&self) -> Self {
        // SAFETY: the identifier is valid; the count that goes up here goes down when the new one is dropped.
        unsafe { H5Iinc_ref(self.0) };
        Self(self.0)
    }

    /// The bare identifier.
    pub(crate) fn raw(&self) -> hid_t {
        self.0
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        // SAFETY: the identifier is valid and this is its only owner; H5Idec_ref closes what it stands for.
        unsafe { H5Idec_ref(self.0) };
    }
}

/// Turns a negative status into an error that says `what` failed.
pub(crate) fn check(status: herr_t, what: impl FnOnce() -> String) -> Result<()> {
    if status < 0 {
        return Err(error(&what()));
    }
    Ok(())
}

/// `what` with the explanation on HDF5's error stack, which is cleared.
pub(crate) fn error(what: &str) -> Failure {
    let mut reasons: Vec<String> = Vec::new();
    // SAFETY: `collect` has the signature that H5Ewalk2 expects and `reasons` outlives the call.
    unsafe {
        H5Ewalk2(
            H5E_DEFAULT,
            H5E_direction_t::H5E_WALK_UPWARD,
            Some(collect),
            (&raw mut reasons).cast::<c_void>(),
        );
        H5Eclear2(H5E_DEFAULT);
    }
    // The innermost entry is the cause; the entries above it only retell it. A filter's own words and a
    // missing filter say more than what HDF5 met while looking for plugins.
    let best = reasons.iter().position(|r| r.contains("required filter")).unwrap_or(0);
    match reasons.into_iter().nth(best) {
        Some(cause) => Failure::new(format!("{what}: {cause}")),
        None => Failure::new(what),
    }
}

extern "C" fn collect(_: c_uint, entry: *const H5E_error2_t, data: *mut c_void) -> herr_t {
    // SAFETY: HDF5 passes a valid entry, and `data` is the vector that `error` handed to H5Ewalk2.
    let (entry, reasons) = unsafe { (&*entry, &mut *data.cast::<Vec<String>>()) };
    if !entry.desc.is_null() {
        // SAFETY: `desc` is a C string that lives as long as the error stack.
        let text = unsafe { CStr::from_ptr(entry.desc) };
        reasons.push(text.to_string_lossy().into_owned());
    }
    0
}

/// Prepares the library: no error printing by HDF5 itself, the Augur filter registered, and no plugin
/// directory that only existed where the command was built.
///
/// # Errors
/// When HDF5 refuses the filter.
pub fn start() -> Result<()> {
    // SAFETY: no callback and no data; only switches the automatic printing off.
    unsafe { H5Eset_auto2(H5E_DEFAULT, None, std::ptr::null_mut()) };
    pipeline::drop_build_directory_from_plugin_path();
    pipeline::register_augur()
}

/// A C string of `text`.
///
/// # Errors
/// When the text holds a NUL byte.
pub(crate) fn c_string(text: impl AsRef<[u8]>) -> Result<CString> {
    CString::new(text.as_ref()).map_err(|_| {
        Failure::new(format!(
            "the name \"{}\" holds a NUL byte, HDF5 cannot use it",
            String::from_utf8_lossy(text.as_ref())
        ))
    })
}
