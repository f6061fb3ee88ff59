//! HDF5 files with everything that a copy must keep, made with bare HDF5 calls.

use hdf5_sys::h5::hsize_t;
use hdf5_sys::h5i::{hid_t, H5Idec_ref};
use hdf5_sys::{
    h5a::*, h5d::*, h5e::*, h5f::*, h5g::*, h5l::*, h5o::*, h5p::*, h5r::*, h5s::*, h5t::*, h5z::*,
};
use std::ffi::{c_void, CStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

/// libhdf5 may be used by one thread at a time; each test holds this while it calls HDF5.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// An identifier that is checked when it is made and released at the end.
pub struct Id(pub hid_t);

impl Id {
    pub fn new(raw: hid_t) -> Self {
        assert!(raw >= 0, "HDF5 refused");
        Self(raw)
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        // SAFETY: a valid identifier with this one owner.
        unsafe { H5Idec_ref(self.0) };
    }
}

/// An open file, and the right to use HDF5 while it is open: a test opens one file at a time.
pub struct File {
    pub id: Id,
    _alone: MutexGuard<'static, ()>,
}

fn alone() -> MutexGuard<'static, ()> {
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    // SAFETY: no callback; lists are read until HDF5 refuses, which is no news for the terminal.
    unsafe { H5Eset_auto2(H5E_DEFAULT, None, std::ptr::null_mut()) };
    // SAFETY: the class is a constant; registering twice is allowed.
    assert!(unsafe { H5Zregister(std::ptr::from_ref(augur_filter::class()).cast::<c_void>()) } >= 0);
    guard
}

fn c_path(path: &Path) -> std::ffi::CString {
    std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// No file locks: a command that another test starts at the same moment would inherit them.
fn unlocked() -> Id {
    // SAFETY: a valid property list.
    unsafe {
        let fapl = Id::new(H5Pcreate(*H5P_CLS_FILE_ACCESS));
        assert!(H5Pset_file_locking(fapl.0, 0, 1) >= 0);
        fapl
    }
}

pub fn create(path: &Path) -> File {
    let guard = alone();
    // SAFETY: a valid C string and property list; the flags keep the order of links and attributes.
    unsafe {
        let fcpl = Id::new(H5Pcreate(*H5P_CLS_FILE_CREATE));
        assert!(H5Pset_link_creation_order(fcpl.0, 3) >= 0);
        assert!(H5Pset_attr_creation_order(fcpl.0, 3) >= 0);
        let id = Id::new(H5Fcreate(c_path(path).as_ptr(), H5F_ACC_TRUNC, fcpl.0, unlocked().0));
        File { id, _alone: guard }
    }
}

pub fn open(path: &Path) -> File {
    let guard = alone();
    // SAFETY: a valid C string.
    let id = Id::new(unsafe { H5Fopen(c_path(path).as_ptr(), H5F_ACC_RDONLY, unlocked().0) });
    File { id, _alone: guard }
}

/// Opens a file to change it.
pub fn change(path: &Path) -> File {
    let guard = alone();
    // SAFETY: a valid C string.
    let id = Id::new(unsafe { H5Fopen(c_path(path).as_ptr(), H5F_ACC_RDWR, unlocked().0) });
    File { id, _alone: guard }
}

/// Removes a link.
pub fn unlink(file: &File, path: &CStr) {
    // SAFETY: a valid file and C string.
    assert!(unsafe { H5Ldelete(file.id.0, path.as_ptr(), H5P_DEFAULT) } >= 0);
}

/// Removes an attribute.
pub fn unset(file: &File, at: &CStr, name: &CStr) {
    // SAFETY: a valid file and C strings.
    assert!(unsafe { H5Adelete_by_name(file.id.0, at.as_ptr(), name.as_ptr(), H5P_DEFAULT) } >= 0);
}

/// Attaches a text.
pub fn text(file: &File, at: &CStr, name: &CStr, value: &str) {
    // SAFETY: valid identifiers and C strings; the buffer holds as many bytes as the type has.
    unsafe {
        let object = Id::new(H5Oopen(file.id.0, at.as_ptr(), H5P_DEFAULT));
        let kind = Id::new(H5Tcopy(*H5T_C_S1));
        assert!(H5Tset_size(kind.0, value.len()) >= 0);
        let (space, default) = (Id::new(H5Screate(H5S_class_t::H5S_SCALAR)), H5P_DEFAULT);
        let attr = Id::new(H5Acreate2(object.0, name.as_ptr(), kind.0, space.0, default, default));
        assert!(H5Awrite(attr.0, kind.0, value.as_ptr().cast()) >= 0);
    }
}

/// A dataset to be made.
pub struct Plan<'a> {
    pub shape: &'a [u64],
    pub chunk: Option<&'a [u64]>,
    pub unlimited: bool,
    pub gzip: bool,
    pub fill: Option<f32>,
}

impl<'a> Plan<'a> {
    pub fn contiguous(shape: &'a [u64]) -> Self {
        Self { shape, chunk: None, unlimited: false, gzip: false, fill: None }
    }
}

/// Makes a dataset of 32-bit floats below `at`, which is an open object.
pub fn floats(at: hid_t, name: &CStr, plan: &Plan<'_>, values: &[f32]) -> Id {
    assert_eq!(values.len() as u64, plan.shape.iter().product::<u64>());
    // SAFETY: valid identifiers, C strings and buffers of the rank or the number of values.
    unsafe {
        let dcpl = Id::new(H5Pcreate(*H5P_CLS_DATASET_CREATE));
        if let Some(chunk) = plan.chunk {
            assert!(H5Pset_chunk(dcpl.0, chunk.len() as i32, chunk.as_ptr()) >= 0);
        }
        if plan.gzip {
            assert!(H5Pset_shuffle(dcpl.0) >= 0 && H5Pset_deflate(dcpl.0, 4) >= 0);
        }
        if let Some(fill) = plan.fill {
            assert!(H5Pset_fill_value(dcpl.0, *H5T_NATIVE_FLOAT, (&raw const fill).cast()) >= 0);
        }
        assert!(H5Pset_attr_creation_order(dcpl.0, 3) >= 0);
        let mut most: Vec<hsize_t> = plan.shape.to_vec();
        if plan.unlimited {
            most[0] = H5S_UNLIMITED;
        }
        let space = Id::new(H5Screate_simple(plan.shape.len() as i32, plan.shape.as_ptr(), most.as_ptr()));
        let set = Id::new(H5Dcreate2(
            at,
            name.as_ptr(),
            *H5T_IEEE_F32LE,
            space.0,
            H5P_DEFAULT,
            dcpl.0,
            H5P_DEFAULT,
        ));
        let all = H5S_ALL;
        assert!(H5Dwrite(set.0, *H5T_NATIVE_FLOAT, all, all, H5P_DEFAULT, values.as_ptr().cast()) >= 0);
        set
    }
}

/// Reads a dataset of 32-bit floats.
pub fn read_floats(file: &File, path: &CStr) -> Vec<f32> {
    // SAFETY: a valid file and C string; the buffer holds every element.
    unsafe {
        let set = Id::new(H5Dopen2(file.id.0, path.as_ptr(), H5P_DEFAULT));
        let space = Id::new(H5Dget_space(set.0));
        let mut values = vec![0f32; H5Sget_simple_extent_npoints(space.0) as usize];
        let all = H5S_ALL;
        let status = H5Dread(set.0, *H5T_NATIVE_FLOAT, all, all, H5P_DEFAULT, values.as_mut_ptr().cast());
        assert!(status >= 0, "reading {path:?}");
        values
    }
}

/// Makes a group below `at`, which is an open object.
pub fn group(at: hid_t, name: &CStr) -> Id {
    let d = H5P_DEFAULT;
    // SAFETY: a valid object and C string.
    Id::new(unsafe { H5Gcreate2(at, name.as_ptr(), d, d, d) })
}

/// Attaches one 32-bit integer.
pub fn number(to: hid_t, name: &CStr, value: i32) {
    // SAFETY: valid identifiers and C string; the buffer holds the one value.
    unsafe {
        let space = Id::new(H5Screate(H5S_class_t::H5S_SCALAR));
        let (kind, default) = (*H5T_NATIVE_INT, H5P_DEFAULT);
        let attr = Id::new(H5Acreate2(to, name.as_ptr(), kind, space.0, default, default));
        assert!(H5Awrite(attr.0, kind, (&raw const value).cast()) >= 0);
    }
}

/// Attaches one 32-bit integer to the object at a path.
pub fn number_at(file: &File, at: &CStr, name: &CStr, value: i32) {
    // SAFETY: a valid file and C string.
    let object = Id::new(unsafe { H5Oopen(file.id.0, at.as_ptr(), H5P_DEFAULT) });
    number(object.0, name, value);
}

/// Attaches an object reference to `path`.
pub fn reference(to: hid_t, name: &CStr, file: &File, path: &CStr) {
    // SAFETY: valid identifiers and C strings; the buffer holds the one reference.
    unsafe {
        let mut value: hobj_ref_t = 0;
        let at = (&raw mut value).cast::<c_void>();
        assert!(H5Rcreate(at, file.id.0, path.as_ptr(), H5R_type_t::H5R_OBJECT1, -1) >= 0);
        let space = Id::new(H5Screate(H5S_class_t::H5S_SCALAR));
        let (kind, default) = (*H5T_STD_REF_OBJ, H5P_DEFAULT);
        let attr = Id::new(H5Acreate2(to, name.as_ptr(), kind, space.0, default, default));
        assert!(H5Awrite(attr.0, kind, at) >= 0);
    }
}

/// Path of the object that the reference attribute `name` of `at` leads to.
pub fn referred(file: &File, at: &CStr, name: &CStr) -> String {
    // SAFETY: valid identifiers and C strings; the buffers have the sizes that are passed.
    unsafe {
        let object = Id::new(H5Oopen(file.id.0, at.as_ptr(), H5P_DEFAULT));
        let attr = Id::new(H5Aopen(object.0, name.as_ptr(), H5P_DEFAULT));
        let mut value: hobj_ref_t = 0;
        let to = (&raw mut value).cast::<c_void>();
        assert!(H5Aread(attr.0, *H5T_STD_REF_OBJ, to) >= 0);
        let mut text = [0u8; 256];
        let len = H5Rget_name(file.id.0, H5R_type_t::H5R_OBJECT1, to, text.as_mut_ptr().cast(), text.len());
        assert!(len > 0, "the reference leads nowhere");
        String::from_utf8(text[..len as usize].to_vec()).unwrap()
    }
}

/// Names of an object's attributes in creation order.
pub fn attribute_names(file: &File, at: &CStr) -> Vec<String> {
    // SAFETY: valid identifiers and C strings; the buffer has the size that is passed.
    unsafe {
        let object = Id::new(H5Oopen(file.id.0, at.as_ptr(), H5P_DEFAULT));
        let (index, order) =
            (hdf5_sys::h5::H5_index_t::H5_INDEX_CRT_ORDER, hdf5_sys::h5::H5_iter_order_t::H5_ITER_INC);
        let mut names = Vec::new();
        for n in 0.. {
            let attr = H5Aopen_by_idx(object.0, c".".as_ptr(), index, order, n, H5P_DEFAULT, H5P_DEFAULT);
            if attr < 0 {
                break;
            }
            let attr = Id::new(attr);
            let mut text = [0u8; 256];
            let len = H5Aget_name(attr.0, text.len(), text.as_mut_ptr().cast());
            names.push(String::from_utf8(text[..len as usize].to_vec()).unwrap());
        }
        names
    }
}

/// Names of a group's links in creation order.
pub fn link_names(file: &File, at: &CStr) -> Vec<String> {
    // SAFETY: valid identifiers and C strings; the buffer has the size that is passed.
    unsafe {
        let group = Id::new(H5Oopen(file.id.0, at.as_ptr(), H5P_DEFAULT));
        let (index, order) =
            (hdf5_sys::h5::H5_index_t::H5_INDEX_CRT_ORDER, hdf5_sys::h5::H5_iter_order_t::H5_ITER_INC);
        let mut names = Vec::new();
        for n in 0.. {
            let mut text = [0u8; 256];
            let at = text.as_mut_ptr().cast();
            let len =
                H5Lget_name_by_idx(group.0, c".".as_ptr(), index, order, n, at, text.len(), H5P_DEFAULT);
            if len < 0 {
                break;
            }
            names.push(String::from_utf8(text[..len as usize].to_vec()).unwrap());
        }
        names
    }
}

/// Ids of a dataset's filters.
pub fn filters(file: &File, path: &CStr) -> Vec<i32> {
    // SAFETY: valid identifiers and C string; nothing but the id is asked for.
    unsafe {
        let set = Id::new(H5Dopen2(file.id.0, path.as_ptr(), H5P_DEFAULT));
        let dcpl = Id::new(H5Dget_create_plist(set.0));
        (0..H5Pget_nfilters(dcpl.0) as u32)
            .map(|i| {
                let (mut flags, mut n, mut config) = (0, 0, 0);
                let none = std::ptr::null_mut();
                H5Pget_filter2(dcpl.0, i, &mut flags, &mut n, none, 0, std::ptr::null_mut(), &mut config)
            })
            .collect()
    }
}

/// Largest extents of a dataset; `None` for an axis without limit.
pub fn limits(file: &File, path: &CStr) -> Vec<Option<u64>> {
    // SAFETY: valid identifiers and C string; the buffers hold the rank.
    unsafe {
        let set = Id::new(H5Dopen2(file.id.0, path.as_ptr(), H5P_DEFAULT));
        let space = Id::new(H5Dget_space(set.0));
        let rank = H5Sget_simple_extent_ndims(space.0) as usize;
        let (mut dims, mut most) = (vec![0; rank], vec![0; rank]);
        H5Sget_simple_extent_dims(space.0, dims.as_mut_ptr(), most.as_mut_ptr());
        most.into_iter().map(|n| (n != H5S_UNLIMITED).then_some(n)).collect()
    }
}

/// Whether two paths lead to one object.
pub fn same_object(file: &File, a: &CStr, b: &CStr) -> bool {
    // SAFETY: valid identifiers and C strings; the structs are plain numbers.
    unsafe {
        let info = |path: &CStr| {
            let object = Id::new(H5Oopen(file.id.0, path.as_ptr(), H5P_DEFAULT));
            let mut info: H5O_info2_t = std::mem::zeroed();
            assert!(H5Oget_info3(object.0, &mut info, H5O_INFO_BASIC) >= 0);
            info.token
        };
        info(a) == info(b)
    }
}

/// A field that moves over a plane, with a little structure at every scale.
pub fn wave(shape: [u64; 3]) -> Vec<f32> {
    let [t, y, x] = shape;
    (0..t * y * x)
        .map(|i| {
            let (t, y, x) = ((i / (y * x)) as f32, (i / x % y) as f32, (i % x) as f32);
            (0.1 * t + 0.05 * x).sin() * (0.04 * y).cos() + 0.01 * (1.7 * x + 2.3 * y + 0.9 * t).sin()
        })
        .collect()
}

/// Shape of `/u` in [`sample`].
pub const SHAPE: [u64; 3] = [40, 30, 35];

/// A file with a compressible dataset `/u` and one of everything else that a copy must keep.
pub fn sample(path: &Path) {
    let file = create(path);
    let root = file.id.0;
    let mut values = wave(SHAPE);
    values[17] = -999.0;
    values[18] = f32::NAN;
    values[19] = f32::INFINITY;
    let plan =
        Plan { shape: &SHAPE, chunk: Some(&[1, 30, 35]), unlimited: true, gzip: true, fill: Some(-999.0) };
    let u = floats(root, c"u", &plan, &values);
    number(u.0, c"zulu", 1);
    number(u.0, c"alpha", 2);
    // SAFETY: valid identifiers and C strings.
    let group = unsafe {
        let gcpl = Id::new(H5Pcreate(*H5P_CLS_GROUP_CREATE));
        H5Pset_link_creation_order(gcpl.0, 3);
        Id::new(H5Gcreate2(root, c"group".as_ptr(), H5P_DEFAULT, gcpl.0, H5P_DEFAULT))
    };
    floats(group.0, c"v", &Plan::contiguous(&SHAPE), &wave(SHAPE));
    let small = Plan { chunk: Some(&[10]), gzip: true, ..Plan::contiguous(&[20]) };
    floats(group.0, c"small", &small, &[1.5; 20]);
    let d = H5P_DEFAULT;
    // SAFETY: valid identifiers and C strings.
    unsafe {
        assert!(H5Lcreate_soft(c"/u".as_ptr(), group.0, c"soft".as_ptr(), d, d) >= 0);
        assert!(
            H5Lcreate_external(c"other.h5".as_ptr(), c"/x".as_ptr(), group.0, c"external".as_ptr(), d, d)
                >= 0
        );
        assert!(H5Lcreate_hard(root, c"/u".as_ptr(), group.0, c"again".as_ptr(), d, d) >= 0);
        assert!(H5Lcreate_hard(root, c"/group".as_ptr(), group.0, c"loop".as_ptr(), d, d) >= 0);
        let named = Id::new(H5Tcopy(*H5T_NATIVE_INT));
        assert!(H5Tcommit2(root, c"named".as_ptr(), named.0, d, d, d) >= 0);
        let space = Id::new(H5Screate(H5S_class_t::H5S_SCALAR));
        let set = Id::new(H5Dcreate2(root, c"of_named".as_ptr(), named.0, space.0, d, d, d));
        let value = 7i32;
        assert!(H5Dwrite(set.0, *H5T_NATIVE_INT, H5S_ALL, H5S_ALL, d, (&raw const value).cast()) >= 0);
    }
    reference(root, c"to_u", &file, c"/u");
    reference(u.0, c"to_v", &file, c"/group/v");
}

/// Attaches the three kinds of references of HDF5 1.12: to an object, a region and an attribute.
pub fn general_references(to: hid_t, name: &CStr, file: &File, path: &CStr, attribute: &CStr) {
    // SAFETY: valid identifiers and C strings; the buffer holds the three references.
    unsafe {
        let d = H5P_DEFAULT;
        let mut values = [H5R_ref_t::default(); 3];
        let set = Id::new(H5Dopen2(file.id.0, path.as_ptr(), d));
        let region = Id::new(H5Dget_space(set.0));
        let (start, count) = ([1u64, 2, 3], [2u64, 3, 4]);
        let none = std::ptr::null();
        let select = H5S_seloper_t::H5S_SELECT_SET;
        assert!(H5Sselect_hyperslab(region.0, select, start.as_ptr(), none, count.as_ptr(), none) >= 0);
        assert!(H5Rcreate_object(file.id.0, path.as_ptr(), d, &mut values[0]) >= 0);
        assert!(H5Rcreate_region(file.id.0, path.as_ptr(), region.0, d, &mut values[1]) >= 0);
        assert!(H5Rcreate_attr(file.id.0, path.as_ptr(), attribute.as_ptr(), d, &mut values[2]) >= 0);
        let three = 3u64;
        let space = Id::new(H5Screate_simple(1, &three, std::ptr::null()));
        let attr = Id::new(H5Acreate2(to, name.as_ptr(), *H5T_STD_REF, space.0, d, d));
        assert!(H5Awrite(attr.0, *H5T_STD_REF, values.as_ptr().cast()) >= 0);
        for value in &mut values {
            H5Rdestroy(value);
        }
    }
}

/// Checks what [`general_references`] made: paths, selected elements and the attribute's name.
pub fn general_referred(file: &File, at: &CStr, name: &CStr) -> (Vec<String>, i64, String) {
    // SAFETY: valid identifiers and C strings; the buffers have the sizes that are passed.
    unsafe {
        let d = H5P_DEFAULT;
        let object = Id::new(H5Oopen(file.id.0, at.as_ptr(), d));
        let attr = Id::new(H5Aopen(object.0, name.as_ptr(), d));
        let mut values = [H5R_ref_t::default(); 3];
        assert!(H5Aread(attr.0, *H5T_STD_REF, values.as_mut_ptr().cast()) >= 0);
        let text = |get: &dyn Fn(*mut std::ffi::c_char, usize) -> isize| {
            let mut text = [0u8; 256];
            let len = get(text.as_mut_ptr().cast(), text.len());
            assert!(len > 0, "the reference leads nowhere");
            String::from_utf8(text[..len as usize].to_vec()).unwrap()
        };
        let paths = values.iter().map(|v| text(&|at, n| H5Rget_obj_name(v, d, at, n))).collect();
        let region = Id::new(H5Ropen_region(&values[1], d, d));
        let selected = H5Sget_select_npoints(region.0);
        let attribute = text(&|at, n| H5Rget_attr_name(&values[2], at, n));
        for value in &mut values {
            H5Rdestroy(value);
        }
        (paths, selected, attribute)
    }
}
