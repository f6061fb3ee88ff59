//! The C types, constants and function types of HDF5's public headers that a filter needs.
//!
//! Written out here because the bindings crate `hdf5-metno-sys` looks for an installed libhdf5 when it
//! is built and links it; a plugin must do neither (it is called by whatever libhdf5 the host has).
//! Layouts and numbers are those of HDF5 1.10 to 2.2, where they never changed.

use std::ffi::{c_char, c_int, c_uint, c_void};

/// Identifier of an HDF5 object (`hid_t`).
pub type Hid = i64;
/// Status: negative for failure (`herr_t`).
pub type Herr = c_int;
/// Truth value: negative for failure (`htri_t`).
pub type Htri = c_int;
/// Extent of a dataspace (`hsize_t`).
pub type Hsize = u64;

/// `H5Z_CLASS_T_VERS`.
pub const H5Z_CLASS_T_VERS: c_int = 1;
/// `H5Z_FLAG_REVERSE`: the filter is called to decode.
pub const H5Z_FLAG_REVERSE: c_uint = 0x0100;
/// `H5PL_TYPE_FILTER`.
pub const H5PL_TYPE_FILTER: c_int = 0;
/// `H5D_FILL_VALUE_DEFAULT` of `H5D_fill_value_t`: zeros.
pub const H5D_FILL_VALUE_DEFAULT: c_int = 1;
/// `H5D_FILL_VALUE_USER_DEFINED` of `H5D_fill_value_t`.
pub const H5D_FILL_VALUE_USER_DEFINED: c_int = 2;
/// Largest rank of a dataspace (`H5S_MAX_RANK`).
pub const H5S_MAX_RANK: usize = 32;
/// The current error stack (`H5E_DEFAULT`).
pub const H5E_DEFAULT: Hid = 0;
/// `H5E_MAJOR` of `H5E_type_t`.
pub const H5E_MAJOR: c_int = 0;
/// `H5E_MINOR` of `H5E_type_t`.
pub const H5E_MINOR: c_int = 1;

/// `H5Z_can_apply_func_t` and `H5Z_set_local_func_t`: (dcpl, type, space).
pub type Prelude = unsafe extern "C" fn(Hid, Hid, Hid) -> c_int;
/// `H5Z_func_t`: (flags, number of cd_values, cd_values, bytes, size of the buffer, buffer).
pub type Filter =
    unsafe extern "C" fn(c_uint, usize, *const c_uint, usize, *mut usize, *mut *mut c_void) -> usize;

/// `H5Z_class2_t`.
#[repr(C)]
pub struct H5ZClass2 {
    /// `H5Z_CLASS_T_VERS`.
    pub version: c_int,
    /// Filter id.
    pub id: c_int,
    /// Whether the filter encodes.
    pub encoder_present: c_uint,
    /// Whether the filter decodes.
    pub decoder_present: c_uint,
    /// Name for people.
    pub name: *const c_char,
    /// Whether the filter suits a dataset.
    pub can_apply: Option<Prelude>,
    /// Fits the cd_values to a dataset.
    pub set_local: Option<Prelude>,
    /// Encodes and decodes.
    pub filter: Option<Filter>,
}

// SAFETY: the struct is never written; its pointers lead to constants and functions.
unsafe impl Sync for H5ZClass2 {}

/// `H5F_OBJ_ALL`, as the file: objects of every open file.
pub const H5F_OBJ_ALL: Hid = 0x1f;
/// `H5F_OBJ_FILE`.
pub const H5F_OBJ_FILE: c_uint = 0x01;
/// `H5F_OBJ_DATASET`.
pub const H5F_OBJ_DATASET: c_uint = 0x02;

/// `H5P_DEFAULT`.
pub const H5P_DEFAULT: Hid = 0;
/// `H5S_ALL`.
pub const H5S_ALL: Hid = 0;
/// `H5F_ACC_RDONLY`.
pub const H5F_ACC_RDONLY: c_uint = 0;
/// `H5D_VIRTUAL` of `H5D_layout_t`.
pub const H5D_VIRTUAL: c_int = 3;
/// `H5T_INTEGER` of `H5T_class_t`.
pub const H5T_INTEGER: c_int = 0;
/// `H5T_STRING` of `H5T_class_t`.
pub const H5T_STRING: c_int = 3;
/// `H5T_DIR_DEFAULT` of `H5T_direction_t`.
pub const H5T_DIR_DEFAULT: c_int = 0;
/// `H5_INDEX_NAME` of `H5_index_t`.
pub const H5_INDEX_NAME: c_int = 0;
/// `H5_ITER_INC` of `H5_iter_order_t`.
pub const H5_ITER_INC: c_int = 1;

/// `H5E_auto2_t`, which may be null: (stack, data).
pub type ErrorPrinter = Option<unsafe extern "C" fn(Hid, *mut c_void) -> Herr>;

/// `H5G_info_t`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct GroupInfo {
    /// How links are stored.
    pub storage: c_int,
    /// Number of links.
    pub links: Hsize,
    /// Largest creation order.
    pub order: i64,
    /// Whether a file is mounted here.
    pub mounted: bool,
}

macro_rules! table {
    ($(#[$doc:meta])* $table:ident { $($name:ident: fn($($arg:ty),*) -> $ret:ty;)* }) => {
        $(#[$doc])*
        #[allow(non_snake_case)]
        #[derive(Clone, Copy)]
        pub struct $table {
            $(#[doc = concat!("`", stringify!($name), "`")]
            pub $name: unsafe extern "C" fn($($arg),*) -> $ret,)*
        }

        impl $table {
            /// Looks every function up; `None` as soon as one is missing.
            ///
            /// # Safety
            /// `find` returns the address of the libhdf5 function of the name it is given, or `None`.
            pub unsafe fn resolve(find: impl Fn(&std::ffi::CStr) -> Option<*mut c_void>) -> Option<Self> {
                Some(Self {
                    $($name: {
                        const NAME: &[u8] = concat!(stringify!($name), "\0").as_bytes();
                        let address = find(std::ffi::CStr::from_bytes_with_nul(NAME).ok()?)?;
                        // SAFETY: the address is that of the function of this name, whose C type this is.
                        unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($arg),*) -> $ret>(address) }
                    },)*
                })
            }
        }
    };
}

table! {
    /// The functions of one libhdf5 that the filter calls. A table is complete or absent.
    Api {
        H5Tencode: fn(Hid, *mut c_void, *mut usize) -> Herr;
        H5Sget_simple_extent_ndims: fn(Hid) -> c_int;
        H5Sget_simple_extent_dims: fn(Hid, *mut Hsize, *mut Hsize) -> c_int;
        H5Pget_chunk: fn(Hid, c_int, *mut Hsize) -> c_int;
        H5Pget_nfilters: fn(Hid) -> c_int;
        H5Pget_filter2: fn(Hid, c_uint, *mut c_uint, *mut usize, *mut c_uint, usize, *mut c_char, *mut c_uint) -> c_int;
        H5Pmodify_filter: fn(Hid, c_int, c_uint, usize, *const c_uint) -> Herr;
        H5Pfill_value_defined: fn(Hid, *mut c_int) -> Herr;
        H5Pget_fill_value: fn(Hid, Hid, *mut c_void) -> Herr;
        H5allocate_memory: fn(usize, c_uint) -> *mut c_void;
        H5free_memory: fn(*mut c_void) -> Herr;
        H5Eregister_class: fn(*const c_char, *const c_char, *const c_char) -> Hid;
        H5Ecreate_msg: fn(Hid, c_int, *const c_char) -> Hid;
    }
}

table! {
    /// The functions of one libhdf5 that look at its open datasets.
    OpenDatasets {
        H5Fget_obj_count: fn(Hid, c_uint) -> isize;
        H5Fget_obj_ids: fn(Hid, c_uint, usize, *mut Hid) -> isize;
        H5Dget_create_plist: fn(Hid) -> Hid;
        H5Dget_space: fn(Hid) -> Hid;
        H5Sclose: fn(Hid) -> Herr;
        H5Pclose: fn(Hid) -> Herr;
    }
}

table! {
    /// The functions of one libhdf5 that find and read models in its files.
    Objects {
        H5Iget_name: fn(Hid, *mut c_char, usize) -> isize;
        H5Fget_name: fn(Hid, *mut c_char, usize) -> isize;
        H5Fopen: fn(*const c_char, c_uint, Hid) -> Hid;
        H5Fclose: fn(Hid) -> Herr;
        H5Lexists: fn(Hid, *const c_char, Hid) -> Htri;
        H5Lget_name_by_idx: fn(Hid, *const c_char, c_int, c_int, Hsize, *mut c_char, usize, Hid) -> isize;
        H5Gget_info_by_name: fn(Hid, *const c_char, *mut GroupInfo, Hid) -> Herr;
        H5Dopen2: fn(Hid, *const c_char, Hid) -> Hid;
        H5Dget_type: fn(Hid) -> Hid;
        H5Dread: fn(Hid, Hid, Hid, Hid, Hid, *mut c_void) -> Herr;
        H5Dclose: fn(Hid) -> Herr;
        H5Aexists: fn(Hid, *const c_char) -> Htri;
        H5Aopen: fn(Hid, *const c_char, Hid) -> Hid;
        H5Aget_type: fn(Hid) -> Hid;
        H5Aget_space: fn(Hid) -> Hid;
        H5Aread: fn(Hid, Hid, *mut c_void) -> Herr;
        H5Aclose: fn(Hid) -> Herr;
        H5Tget_native_type: fn(Hid, c_int) -> Hid;
        H5Tget_class: fn(Hid) -> c_int;
        H5Tget_size: fn(Hid) -> usize;
        H5Tis_variable_str: fn(Hid) -> Htri;
        H5Tclose: fn(Hid) -> Herr;
        H5Sget_simple_extent_npoints: fn(Hid) -> i64;
        H5Pget_layout: fn(Hid) -> c_int;
        H5Pget_virtual_count: fn(Hid, *mut usize) -> Herr;
        H5Pget_virtual_filename: fn(Hid, usize, *mut c_char, usize) -> isize;
        H5Eget_auto2: fn(Hid, *mut ErrorPrinter, *mut *mut c_void) -> Herr;
        H5Eset_auto2: fn(Hid, ErrorPrinter, *mut c_void) -> Herr;
        H5Eclear2: fn(Hid) -> Herr;
    }
}

/// `H5Epush2`: (stack, file, function, line, class, major, minor, format, ...).
pub type H5Epush2 = unsafe extern "C" fn(
    Hid,
    *const c_char,
    *const c_char,
    c_uint,
    Hid,
    Hid,
    Hid,
    *const c_char,
    ...
) -> Herr;
