//! What the host's libhdf5 is asked about files, datasets and attributes while it waits for a callback.

use crate::h5types::*;
use crate::host::Host;
use crate::models::MOST_BYTES;
use std::ffi::{c_char, c_uint, c_void, CStr, CString};
use std::path::PathBuf;
use std::ptr;

/// Most open files or datasets that are looked at.
const MOST_IDS: usize = 4096;
/// Most links of a group that are looked at.
const MOST_LINKS: Hsize = 4096;
/// Most source files of a virtual dataset that are looked at.
const MOST_SOURCES: usize = 256;
/// Longest name or attribute.
const MOST_TEXT: usize = 1 << 16;

/// The functions of the libhdf5 that called. While it lives, HDF5 prints no errors: what is looked for may well be absent.
pub struct Looker<'a> {
    api: &'a Api,
    datasets: &'a OpenDatasets,
    objects: &'a Objects,
    printer: Option<(ErrorPrinter, *mut c_void)>,
}

/// An id that is closed at the end.
struct Open {
    id: Hid,
    close: unsafe extern "C" fn(Hid) -> Herr,
}

impl Open {
    fn new(id: Hid, close: unsafe extern "C" fn(Hid) -> Herr) -> Option<Self> {
        (id >= 0).then_some(Self { id, close })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: an id that the library gave, and its own function for it; the library checks the id.
        unsafe { (self.close)(self.id) };
    }
}

impl Drop for Looker<'_> {
    fn drop(&mut self) {
        // SAFETY: the library's functions, in its callback; the printer is what it was before.
        unsafe {
            (self.objects.H5Eclear2)(H5E_DEFAULT);
            if let Some((printer, data)) = self.printer {
                (self.objects.H5Eset_auto2)(H5E_DEFAULT, printer, data);
            }
        }
    }
}

impl<'a> Looker<'a> {
    /// The functions of `host`; `None` where it lacks some.
    ///
    /// # Safety
    /// Called in a callback of the host, which does not end before the value does, and used on its thread only.
    pub unsafe fn new(host: &'a Host) -> Option<Self> {
        let ((api, datasets), objects) = (host.datasets()?, host.objects()?);
        let (mut printer, mut data) = (None, ptr::null_mut());
        // SAFETY: the library's functions; pointers to variables of the right types.
        let printer = unsafe {
            let known = (objects.H5Eget_auto2)(H5E_DEFAULT, &mut printer, &mut data) >= 0;
            known.then(|| {
                (objects.H5Eset_auto2)(H5E_DEFAULT, None, ptr::null_mut());
                (printer, data)
            })
        };
        Some(Self { api, datasets, objects, printer })
    }

    /// The open files.
    pub fn open_files(&self) -> Vec<Hid> {
        self.open_ids(H5F_OBJ_FILE)
    }

    /// The open datasets.
    pub fn open_datasets(&self) -> Vec<Hid> {
        self.open_ids(H5F_OBJ_DATASET)
    }

    fn open_ids(&self, kind: c_uint) -> Vec<Hid> {
        let mut ids = vec![0; MOST_IDS];
        // SAFETY: the library's function; the buffer holds as many ids as are asked for.
        let n = unsafe { (self.datasets.H5Fget_obj_ids)(H5F_OBJ_ALL, kind, MOST_IDS, ids.as_mut_ptr()) };
        ids.truncate(usize::try_from(n).unwrap_or(0));
        ids
    }

    /// Path of an object within its file.
    pub fn name(&self, id: Hid) -> Option<String> {
        // SAFETY: the library's function with the buffer that `text` gives it.
        text(|buffer, room| unsafe { (self.objects.H5Iget_name)(id, buffer, room) }).filter(|n| !n.is_empty())
    }

    /// Name under which the object's file was opened.
    pub fn file_name(&self, id: Hid) -> Option<PathBuf> {
        // SAFETY: as above.
        text(|buffer, room| unsafe { (self.objects.H5Fget_name)(id, buffer, room) }).map(PathBuf::from)
    }

    /// Whether links lead to this absolute path in the file of `at`.
    pub fn exists(&self, at: Hid, path: &str) -> bool {
        let mut so_far = String::new();
        // HDF5 fails where a link on the way is missing.
        path.split('/').filter(|part| !part.is_empty()).all(|part| {
            so_far = format!("{so_far}/{part}");
            let Ok(so_far) = CString::new(so_far.as_str()) else { return false };
            // SAFETY: the library's function; the string ends in 0.
            unsafe { (self.objects.H5Lexists)(at, so_far.as_ptr(), H5P_DEFAULT) > 0 }
        })
    }

    /// Names of the links in a group, in the file of `at`.
    pub fn links(&self, at: Hid, group: &str) -> Vec<String> {
        let Ok(path) = CString::new(group) else { return vec![] };
        let mut info = GroupInfo::default();
        // SAFETY: the library's function; a string that ends in 0 and a pointer to the struct it fills.
        if unsafe { (self.objects.H5Gget_info_by_name)(at, path.as_ptr(), &mut info, H5P_DEFAULT) } < 0 {
            return vec![];
        }
        let get = &self.objects.H5Lget_name_by_idx;
        (0..info.links.min(MOST_LINKS))
            .filter_map(|i| {
                let (by, order) = (H5_INDEX_NAME, H5_ITER_INC);
                // SAFETY: as above, with the buffer that `text` gives it.
                text(|buffer, room| unsafe {
                    get(at, path.as_ptr(), by, order, i, buffer, room, H5P_DEFAULT)
                })
            })
            .collect()
    }

    /// The bytes of a dataset of 8-bit integers in the file of `at`. The dataset may not be there, or be another thing.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn bytes(&self, at: Hid, path: &str) -> Result<Vec<u8>, String> {
        let (o, d) = (self.objects, self.datasets);
        let path = CString::new(path).map_err(|_| "a path with a zero byte".to_string())?;
        // SAFETY: the library's functions with its ids and a string that ends in 0.
        let (dataset, kind, points) = unsafe {
            let dataset = Open::new((o.H5Dopen2)(at, path.as_ptr(), H5P_DEFAULT), o.H5Dclose)
                .ok_or("it cannot be opened as a dataset")?;
            let kind = Open::new((o.H5Dget_type)(dataset.id), o.H5Tclose).ok_or("its type cannot be read")?;
            let space =
                Open::new((d.H5Dget_space)(dataset.id), d.H5Sclose).ok_or("its extent cannot be read")?;
            if (self.api.H5Sget_simple_extent_ndims)(space.id) != 1 {
                return Err("it has not one dimension".to_string());
            }
            let points = (o.H5Sget_simple_extent_npoints)(space.id);
            (dataset, kind, points)
        };
        // SAFETY: as above.
        if unsafe { (o.H5Tget_class)(kind.id) != H5T_INTEGER || (o.H5Tget_size)(kind.id) != 1 } {
            return Err("its type is not that of bytes".to_string());
        }
        let n = usize::try_from(points).ok().filter(|&n| n <= MOST_BYTES);
        let n = n.ok_or_else(|| format!("it has {points} bytes, at most {MOST_BYTES} expected"))?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(n).map_err(|_| format!("no memory for its {n} bytes"))?;
        bytes.resize(n, 0);
        // SAFETY: all points are read as the bytes that they are in the file, into a buffer of that many.
        let status = unsafe {
            (o.H5Dread)(dataset.id, kind.id, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.as_mut_ptr().cast())
        };
        if status < 0 {
            return Err("it cannot be read".to_string());
        }
        Ok(bytes)
    }

    /// A text attribute with one value; `None` where the object has no such attribute.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn text(&self, at: Hid, name: &CStr) -> Result<Option<String>, String> {
        let (o, d) = (self.objects, self.datasets);
        // SAFETY: the library's functions with its ids and a string that ends in 0.
        let (attribute, kind, points) = unsafe {
            if (o.H5Aexists)(at, name.as_ptr()) <= 0 {
                return Ok(None);
            }
            let attribute = Open::new((o.H5Aopen)(at, name.as_ptr(), H5P_DEFAULT), o.H5Aclose)
                .ok_or("it cannot be opened")?;
            let kind =
                Open::new((o.H5Aget_type)(attribute.id), o.H5Tclose).ok_or("its type cannot be read")?;
            let space =
                Open::new((o.H5Aget_space)(attribute.id), d.H5Sclose).ok_or("its extent cannot be read")?;
            let points = (o.H5Sget_simple_extent_npoints)(space.id);
            (attribute, kind, points)
        };
        // SAFETY: as above.
        if unsafe { (o.H5Tget_class)(kind.id) } != H5T_STRING {
            return Err("it is no string".to_string());
        }
        if points != 1 {
            return Err(format!("it has {points} values, one expected"));
        }
        // SAFETY: as above; the types are those of a string, so the value is of `H5Tget_size` bytes or one pointer.
        let bytes = unsafe {
            let native = Open::new((o.H5Tget_native_type)(kind.id, H5T_DIR_DEFAULT), o.H5Tclose)
                .ok_or("its type is unknown")?;
            if (o.H5Tis_variable_str)(native.id) > 0 {
                self.variable(attribute.id, native.id)
            } else {
                self.fixed(attribute.id, native.id, (o.H5Tget_size)(native.id))
            }
        };
        let bytes = bytes.ok_or("it cannot be read")?;
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        let text = std::str::from_utf8(&bytes[..end]).map_err(|_| "it is no valid text")?;
        Ok(Some(text.trim_end().to_string()))
    }

    /// Reads a string of variable length.
    ///
    /// # Safety
    /// `kind` is the native type of such strings, and the attribute has one of them.
    unsafe fn variable(&self, attribute: Hid, kind: Hid) -> Option<Vec<u8>> {
        let mut value: *mut c_char = ptr::null_mut();
        // SAFETY: the library stores one pointer, to memory of its own that is given back.
        unsafe {
            if (self.objects.H5Aread)(attribute, kind, ptr::from_mut(&mut value).cast()) < 0 {
                return None;
            }
            if value.is_null() {
                return Some(vec![]);
            }
            let bytes = CStr::from_ptr(value).to_bytes();
            let bytes = (bytes.len() <= MOST_TEXT).then(|| bytes.to_vec());
            (self.api.H5free_memory)(value.cast());
            bytes
        }
    }

    /// Reads a string of `size` bytes.
    ///
    /// # Safety
    /// `kind` is the native type of strings of this size, and the attribute has one of them.
    unsafe fn fixed(&self, attribute: Hid, kind: Hid, size: usize) -> Option<Vec<u8>> {
        if size > MOST_TEXT {
            return None;
        }
        let mut value = vec![0u8; size];
        // SAFETY: the buffer has the size of the value.
        let status = unsafe { (self.objects.H5Aread)(attribute, kind, value.as_mut_ptr().cast()) };
        (status >= 0).then_some(value)
    }

    /// Names of the files that a virtual dataset is made of, as it states them; none for other datasets.
    pub fn virtual_sources(&self, dataset: Hid) -> Vec<String> {
        let o = self.objects;
        // SAFETY: the library's functions with its ids; the count goes to a variable of its type.
        let (plist, count) = unsafe {
            let plist = Open::new((self.datasets.H5Dget_create_plist)(dataset), self.datasets.H5Pclose);
            let Some(plist) = plist.filter(|p| (o.H5Pget_layout)(p.id) == H5D_VIRTUAL) else { return vec![] };
            let mut count = 0;
            if (o.H5Pget_virtual_count)(plist.id, &mut count) < 0 {
                return vec![];
            }
            (plist, count)
        };
        let mut names: Vec<String> = (0..count.min(MOST_SOURCES))
            .filter_map(|i| {
                // SAFETY: as above, with the buffer that `text` gives it.
                text(|buffer, room| unsafe { (o.H5Pget_virtual_filename)(plist.id, i, buffer, room) })
            })
            .collect();
        names.dedup();
        names
    }

    /// Opens a file for `work`, to read it.
    pub fn with_file<T>(&self, path: &std::path::Path, work: impl FnOnce(Hid) -> Option<T>) -> Option<T> {
        let path = CString::new(path.to_str()?).ok()?;
        let o = self.objects;
        // SAFETY: the library's function; the string ends in 0.
        let file = unsafe { (o.H5Fopen)(path.as_ptr(), H5F_ACC_RDONLY, H5P_DEFAULT) };
        let file = Open::new(file, o.H5Fclose)?;
        work(file.id)
    }
}

/// A text from a function of HDF5's that fills a buffer and returns the length without the final 0.
fn text(get: impl Fn(*mut c_char, usize) -> isize) -> Option<String> {
    let len = usize::try_from(get(ptr::null_mut(), 0)).ok().filter(|&n| n <= MOST_TEXT)?;
    let mut buffer = vec![0u8; len + 1];
    let again = get(buffer.as_mut_ptr().cast(), buffer.len());
    if usize::try_from(again).ok()? > len {
        return None;
    }
    buffer.truncate(len);
    String::from_utf8(buffer).ok()
}
