//! Opening and creating HDF5 files.

use super::{c_string, check, plist, Id};
use crate::failure::{Failure, Result};
use hdf5_sys::h5f::{
    H5F_libver_t, H5F_scope_t, H5Fcreate, H5Fflush, H5Fget_create_plist, H5Fis_accessible, H5Fopen,
    H5F_ACC_EXCL, H5F_ACC_RDONLY, H5F_ACC_RDWR,
};
use hdf5_sys::h5p::{
    H5Pget_attr_creation_order, H5Pget_link_creation_order, H5Pget_userblock, H5Pset_attr_creation_order,
    H5Pset_libver_bounds, H5Pset_link_creation_order, H5P_DEFAULT,
};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

fn c_path(path: &Path) -> Result<CString> {
    c_string(path.as_os_str().as_bytes())
}

/// Opens a file for reading.
///
/// # Errors
/// A file that is missing, not readable or no HDF5 file; the message says which.
pub fn open(path: &Path) -> Result<Id> {
    open_as(path, H5F_ACC_RDONLY)
}

/// Opens a file for changing it.
///
/// # Errors
/// As [`open`], and a file that may not be written.
pub fn open_to_change(path: &Path) -> Result<Id> {
    open_as(path, H5F_ACC_RDWR)
}

/// Whether the file is one that HDF5 reads.
pub fn is_hdf5(path: &Path) -> bool {
    let Ok(name) = c_path(path) else { return false };
    // SAFETY: `name` is a valid C string.
    let known = path.is_file() && unsafe { H5Fis_accessible(name.as_ptr(), H5P_DEFAULT) } > 0;
    let _ = super::error("");
    known
}

fn open_as(path: &Path, flags: std::ffi::c_uint) -> Result<Id> {
    let shown = path.display();
    let meta = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Failure::new(format!("{shown}: no such file")),
        _ => Failure::new(format!("{shown}: {e}")),
    })?;
    if meta.is_dir() {
        return Err(Failure::new(format!("{shown} is a directory, expected an HDF5 or netCDF-4 file")));
    }
    let first = std::fs::File::open(path)
        .and_then(|mut f| {
            let mut bytes = [0u8; 4];
            let n = std::io::Read::read(&mut f, &mut bytes)?;
            Ok(bytes[..n].to_vec())
        })
        .map_err(|e| Failure::new(format!("{shown}: {e}")))?;
    let name = c_path(path)?;
    // SAFETY: `name` is a valid C string.
    let known = unsafe { H5Fis_accessible(name.as_ptr(), H5P_DEFAULT) };
    if known <= 0 {
        let _ = super::error("");
        let hint = match first.as_slice() {
            [b'C', b'D', b'F', 1 | 2 | 5] => {
                ": it is a netCDF-3 file; make a netCDF-4 file of it first (nccopy -k nc4 IN OUT)"
            }
            [] => ": it is empty",
            [0x89, b'H', b'D', b'F'] => ": it is damaged or was cut off",
            _ => "",
        };
        return Err(Failure::new(format!("{shown} is not an HDF5 or netCDF-4 file{hint}")));
    }
    // SAFETY: `name` is a valid C string.
    let raw = unsafe { H5Fopen(name.as_ptr(), flags, H5P_DEFAULT) };
    Id::take(raw, || format!("{shown} cannot be opened")).map_err(|e| {
        if !e.to_string().contains("unable to lock file") {
            return e;
        }
        Failure::new(match flags {
            H5F_ACC_RDONLY => format!(
                "{shown} cannot be opened: a program has it open for writing; wait until that is done, or set \
                 HDF5_USE_FILE_LOCKING=FALSE to read it as it is now"
            ),
            _ => format!("{shown} cannot be changed: a program has it open; wait until that is done"),
        })
    })
}

/// Bytes of the block in front of the HDF5 data that belongs to someone else.
///
/// # Errors
/// When HDF5 does not tell.
pub fn userblock(file: &Id) -> Result<u64> {
    // SAFETY: a valid file identifier.
    let fcpl = Id::take(unsafe { H5Fget_create_plist(file.raw()) }, || "reading file properties".into())?;
    let mut size = 0;
    // SAFETY: a valid property list and a valid pointer.
    check(unsafe { H5Pget_userblock(fcpl.raw(), &mut size) }, || "reading the userblock's size".into())?;
    Ok(size)
}

/// Creates `path` as a file like `source`: same superblock class, file space strategy and root group order.
///
/// # Errors
/// When the file exists or cannot be made.
pub fn create_like(path: &Path, source: &Id, source_root: &Id, superblock: u8) -> Result<Id> {
    // SAFETY: a valid file identifier.
    let fcpl = Id::take(unsafe { H5Fget_create_plist(source.raw()) }, || "reading file properties".into())?;
    let gcpl = super::object::creation_plist(source_root, super::object::Kind::Group)?;
    let mut flags = 0;
    // SAFETY: valid property lists and a valid pointer in each call.
    unsafe {
        if H5Pget_link_creation_order(gcpl.raw(), &mut flags) >= 0 {
            H5Pset_link_creation_order(fcpl.raw(), flags);
        }
        if H5Pget_attr_creation_order(gcpl.raw(), &mut flags) >= 0 {
            H5Pset_attr_creation_order(fcpl.raw(), flags);
        }
    }
    let fapl = plist::file_access()?;
    // Readers that could open the source shall be able to open the copy.
    let low = match superblock {
        0 | 1 => H5F_libver_t::H5F_LIBVER_EARLIEST,
        2 => H5F_libver_t::H5F_LIBVER_V18,
        _ => H5F_libver_t::H5F_LIBVER_V110,
    };
    // SAFETY: a valid property list.
    check(unsafe { H5Pset_libver_bounds(fapl.raw(), low, H5F_libver_t::H5F_LIBVER_V200) }, || {
        "setting the file format".into()
    })?;
    let name = c_path(path)?;
    // SAFETY: a valid C string and valid property lists.
    let raw = unsafe { H5Fcreate(name.as_ptr(), H5F_ACC_EXCL, fcpl.raw(), fapl.raw()) };
    Id::take(raw, || format!("{} cannot be created", path.display()))
}

/// Creates an empty file in the oldest format.
///
/// # Errors
/// When the file exists or cannot be made.
pub fn create(path: &Path) -> Result<Id> {
    let fapl = plist::file_access()?;
    let (low, high) = (H5F_libver_t::H5F_LIBVER_EARLIEST, H5F_libver_t::H5F_LIBVER_V200);
    // SAFETY: a valid property list.
    check(unsafe { H5Pset_libver_bounds(fapl.raw(), low, high) }, || "setting the file format".into())?;
    let name = c_path(path)?;
    // SAFETY: a valid C string and property list.
    let raw = unsafe { H5Fcreate(name.as_ptr(), H5F_ACC_EXCL, H5P_DEFAULT, fapl.raw()) };
    Id::take(raw, || format!("{} cannot be created", path.display()))
}

/// Version of the superblock, which tells how old a reader of the file may be.
pub fn superblock_version(path: &Path, userblock: u64) -> u8 {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> std::io::Result<u8> {
        let mut f = std::fs::File::open(path)?;
        f.seek(SeekFrom::Start(userblock))?;
        let mut head = [0u8; 9];
        f.read_exact(&mut head)?;
        Ok(head[8])
    };
    read().unwrap_or(2)
}

/// Writes everything to disk.
///
/// # Errors
/// A full disk, for instance.
pub fn flush(file: &Id) -> Result<()> {
    // SAFETY: a valid file identifier.
    check(unsafe { H5Fflush(file.raw(), H5F_scope_t::H5F_SCOPE_LOCAL) }, || "writing the file".into())
}
