//! The plugin's file: where it is, and whether the loader takes it.

use augur_filter::h5types::H5ZClass2;
use augur_filter::FILTER_ID;
use std::ffi::{c_int, CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Name of the plugin's file.
pub const FILE: &str = if cfg!(target_os = "macos") { "libh5z_augur.dylib" } else { "libh5z_augur.so" };

/// Directories of HDF5_PLUGIN_PATH; `None` when it is not set.
pub fn path_from_environment() -> Option<Vec<PathBuf>> {
    let value = std::env::var_os("HDF5_PLUGIN_PATH")?;
    Some(std::env::split_paths(&value).filter(|p| !p.as_os_str().is_empty()).collect())
}

/// The plugin beside this command, where building or installing puts it.
pub fn beside_command() -> Option<PathBuf> {
    let command = std::env::current_exe().ok()?.canonicalize().ok()?;
    let prefix = command.parent()?.parent()?;
    ["plugins", "lib/hdf5/plugin"].iter().map(|d| prefix.join(d)).find(|d| d.join(FILE).is_file())
}

/// Opens the file as HDF5 would and asks it for its filter.
///
/// # Errors
/// What the loader says, or what is wrong with the file.
pub fn load(path: &Path) -> Result<(), String> {
    let name =
        CString::new(path.as_os_str().as_bytes()).map_err(|_| "its path holds a NUL byte".to_string())?;
    // SAFETY: a valid C string; opening runs the file's initialisers, as HDF5 does with every file of this
    // name in its path. The handle stays open: the plugin is never unloaded.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL) };
    if handle.is_null() {
        // SAFETY: dlerror returns null or a C string that lives until the next call.
        let reason = unsafe { libc::dlerror() };
        if reason.is_null() {
            return Err("the loader refuses it".into());
        }
        // SAFETY: not null, see above.
        return Err(unsafe { CStr::from_ptr(reason) }.to_string_lossy().into_owned());
    }
    // SAFETY: an open handle and C strings; the two functions have these types in every HDF5 plugin.
    unsafe {
        let kind = libc::dlsym(handle, c"H5PLget_plugin_type".as_ptr());
        let info = libc::dlsym(handle, c"H5PLget_plugin_info".as_ptr());
        if kind.is_null() || info.is_null() {
            return Err(
                "it does not export H5PLget_plugin_type and H5PLget_plugin_info: it is no HDF5 plugin".into(),
            );
        }
        let info = std::mem::transmute::<*mut libc::c_void, extern "C" fn() -> *const H5ZClass2>(info);
        match info().as_ref() {
            Some(class) if class.id == FILTER_ID as c_int => Ok(()),
            Some(class) => Err(format!("it holds filter {}, expected {FILTER_ID}", class.id)),
            None => Err("it states no filter".into()),
        }
    }
}
