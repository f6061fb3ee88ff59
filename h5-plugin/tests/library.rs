//! The plugin as a shared library: what it exports, what it needs, how fast it loads.
#![cfg(target_os = "linux")]

mod common;

use std::ffi::{c_char, c_int, c_void, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

extern "C" {
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlclose(handle: *mut c_void) -> c_int;
}
const RTLD_NOW: c_int = 2;
const RTLD_NOLOAD: c_int = 4;

fn output(program: &str, args: &[&str], file: &Path) -> String {
    let out = Command::new(program).args(args).arg(file).output().expect("binutils are installed");
    assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text")
}

fn open(file: &Path, flags: c_int) -> *mut c_void {
    let name = CString::new(file.as_os_str().as_bytes()).expect("a path without zeros");
    // SAFETY: the name ends in 0; the library's initialisers do nothing but set up Rust's runtime.
    unsafe { dlopen(name.as_ptr(), flags) }
}

#[test]
fn it_exports_the_two_functions_that_hdf5_asks_for_and_nothing_else() {
    let symbols = output("nm", &["-D", "--defined-only"], &common::plugin());
    let mut names: Vec<_> = symbols.lines().filter_map(|l| l.split_whitespace().nth(2)).collect();
    names.sort_unstable();
    assert_eq!(names, ["H5PLget_plugin_info", "H5PLget_plugin_type"]);
}

#[test]
fn it_needs_no_libhdf5_and_stays_loaded() {
    let dynamic = output("readelf", &["-d"], &common::plugin());
    for line in dynamic.lines().filter(|l| l.contains("NEEDED")) {
        let known = ["libc.so", "libgcc_s.so", "ld-linux", "libm.so", "libdl.so", "libpthread.so"];
        assert!(known.iter().any(|k| line.contains(k)), "{line}");
    }
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
    let undefined = output("nm", &["-D", "--undefined-only"], &common::plugin());
    assert!(!undefined.contains(" H5"), "{undefined}");
}

#[test]
fn it_gives_the_class_of_a_filter_and_survives_dlclose() {
    let path = common::plugin();
    let handle = open(&path, RTLD_NOW);
    assert!(!handle.is_null());
    // SAFETY: the functions have these types in HDF5's plugin interface.
    let (kind, info) = unsafe {
        let kind: extern "C" fn() -> c_int =
            std::mem::transmute(dlsym(handle, c"H5PLget_plugin_type".as_ptr()));
        let info: extern "C" fn() -> *const augur_filter::h5types::H5ZClass2 =
            std::mem::transmute(dlsym(handle, c"H5PLget_plugin_info".as_ptr()));
        (kind, info)
    };
    assert_eq!(kind(), 0);
    // SAFETY: the class lives as long as the library, which is never unloaded.
    let class = unsafe { &*info() };
    assert_eq!((class.version, class.id), (1, augur_filter::FILTER_ID));
    assert_eq!((class.encoder_present, class.decoder_present), (1, 1));
    assert!(class.can_apply.is_some() && class.set_local.is_some() && class.filter.is_some());
    assert_eq!(info(), std::ptr::from_ref(class), "the same class at every call");
    // SAFETY: a handle of dlopen, closed once.
    unsafe { dlclose(handle) };
    assert!(!open(&path, RTLD_NOW | RTLD_NOLOAD).is_null(), "the library was unloaded");
}

#[test]
fn it_loads_in_less_than_five_milliseconds() {
    let dir = common::scratch("load");
    let time = |i: usize| {
        // A copy is another library to the loader, so that it is loaded afresh.
        let copy = dir.join(format!("copy{i}.so"));
        std::fs::copy(common::plugin(), &copy).expect("a copy of the plugin");
        let start = Instant::now();
        let handle = open(&copy, RTLD_NOW);
        let time = start.elapsed();
        assert!(!handle.is_null());
        time
    };
    let best = (0..7).map(time).min().expect("seven times");
    let _ = std::fs::remove_dir_all(&dir);
    assert!(best < Duration::from_millis(5), "{best:?}");
}
