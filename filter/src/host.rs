//! The libhdf5 that called: found from the return address of the callback.
//!
//! The wheels of h5py and netCDF4 each carry a libhdf5 of their own; both may live in one process, and one
//! copy of this filter serves both. A call to "the" libhdf5 would reach the wrong one, whose ids mean
//! nothing here. The callback's return address lies in the library that called: `dladdr` names that file,
//! `dlopen` with `RTLD_NOLOAD` opens it, `dlsym` finds its functions. Of a host that was linked statically
//! the functions are found only when it exports them; if it does not there is no [`Host`], and the filter
//! does with what HDF5 passes.

use crate::h5types::{Api, H5Epush2, Hid, Objects, OpenDatasets, H5E_DEFAULT, H5E_MAJOR, H5E_MINOR};
use crate::open::Known;
use std::ffi::{c_void, CStr, CString};
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard};

/// One libhdf5 in this process, with the functions that the filter calls. Lives as long as the process.
pub struct Host {
    /// Where the library is mapped: its identity.
    base: usize,
    functions: Option<Functions>,
    next: *const Host,
}

struct Functions {
    api: Api,
    datasets: Option<OpenDatasets>,
    objects: Option<Objects>,
    /// Which open dataset has which nonce. Only ever tried, never waited for: a fork may leave it locked.
    known: Mutex<Known>,
    push: H5Epush2,
    /// Ids of our class, major and minor in the library's error interface; 0 before their first use.
    error_ids: [AtomicI64; 3],
}

// SAFETY: every field is constant after construction or atomic; `next` leads to leaked, constant hosts.
unsafe impl Sync for Host {}

/// Hosts met so far, newest first. A list that only grows needs no lock, which a fork could leave closed.
static HOSTS: AtomicPtr<Host> = AtomicPtr::new(ptr::null_mut());

impl Host {
    /// The libhdf5 that `return_address` lies in; `None` when its functions cannot be found.
    pub fn of_caller(return_address: *const c_void) -> Option<&'static Host> {
        let base = if return_address.is_null() { 0 } else { object(return_address)?.1 };
        let mut at: *const Host = HOSTS.load(Ordering::Acquire);
        // SAFETY: hosts in the list are leaked boxes, so the pointers stay valid.
        while let Some(host) = unsafe { at.as_ref() } {
            if host.base == base {
                return host.functions.is_some().then_some(host);
            }
            at = host.next;
        }
        let host =
            Box::leak(Box::new(Host { base, functions: find(return_address, base), next: ptr::null() }));
        let mut head = HOSTS.load(Ordering::Acquire);
        loop {
            host.next = head;
            // Two threads may add the same library: harmless, the tables are equal.
            match HOSTS.compare_exchange(head, host, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        host.functions.is_some().then_some(host)
    }

    /// The library's functions.
    pub(crate) fn api(&self) -> Option<&Api> {
        self.functions.as_ref().map(|f| &f.api)
    }

    /// The library's functions that look at open datasets.
    pub(crate) fn datasets(&self) -> Option<(&Api, &OpenDatasets)> {
        let f = self.functions.as_ref()?;
        Some((&f.api, f.datasets.as_ref()?))
    }

    /// The library's functions that find and read models in its files.
    pub(crate) fn objects(&self) -> Option<&Objects> {
        self.functions.as_ref()?.objects.as_ref()
    }

    /// What is known of the open datasets; `None` where another thread uses it.
    pub(crate) fn known(&self) -> Option<MutexGuard<'_, Known>> {
        self.functions.as_ref()?.known.try_lock().ok()
    }

    /// Pushes `message` on the library's error stack.
    pub(crate) fn push_error(&self, message: &str) {
        let Some(f) = &self.functions else { return };
        let Ok(message) = CString::new(message.replace('\0', " ")) else { return };
        let [class, major, minor] = match self.error_ids() {
            Some(ids) => ids,
            None => return,
        };
        // SAFETY: H5Epush2 of the library that called, with ids that it gave and strings that end in 0; the
        // message goes through "%s".
        unsafe {
            (f.push)(
                H5E_DEFAULT,
                c"augur-filter".as_ptr(),
                c"augur".as_ptr(),
                0,
                class,
                major,
                minor,
                c"%s".as_ptr(),
                message.as_ptr(),
            );
        }
    }

    /// Our class and messages in the library's error interface, registered once.
    fn error_ids(&self) -> Option<[Hid; 3]> {
        let f = self.functions.as_ref()?;
        let known = [0, 1, 2].map(|i| f.error_ids[i].load(Ordering::Acquire));
        if known.iter().all(|&id| id > 0) {
            return Some(known);
        }
        // SAFETY: functions of the library that called; the strings end in 0 and are copied.
        let ids = unsafe {
            let class = (f.api.H5Eregister_class)(
                c"Augur".as_ptr(),
                c"augur".as_ptr(),
                concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast(),
            );
            [
                class,
                (f.api.H5Ecreate_msg)(class, H5E_MAJOR, c"Augur filter".as_ptr()),
                (f.api.H5Ecreate_msg)(class, H5E_MINOR, c"Cannot encode, decode or set up a chunk".as_ptr()),
            ]
        };
        if ids.iter().any(|&id| id <= 0) {
            return None;
        }
        for (slot, id) in f.error_ids.iter().zip(ids) {
            slot.store(id, Ordering::Release);
        }
        Some(ids)
    }
}

/// File name and base address of the object that `address` lies in.
pub(crate) fn object(address: *const c_void) -> Option<(*const std::ffi::c_char, usize)> {
    // SAFETY: an all-zero Dl_info is a valid value for dladdr to fill.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: dladdr only looks the address up.
    let found = unsafe { libc::dladdr(address, &mut info) } != 0;
    (found && !info.dli_fbase.is_null()).then_some((info.dli_fname, info.dli_fbase as usize))
}

/// Resolves the functions of the object at `base`, which holds `return_address`.
fn find(return_address: *const c_void, base: usize) -> Option<Functions> {
    let mut handle = ptr::null_mut();
    if let Some((file, _)) = object(return_address).filter(|(file, _)| !file.is_null()) {
        // SAFETY: `file` is the loader's own name of a loaded object; NOLOAD loads nothing. The handle is kept
        // for ever, so that the library stays at its address.
        handle = unsafe { libc::dlopen(file, libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
    }
    if handle.is_null() {
        // The program itself: a statically linked host.
        // SAFETY: a null name asks for the program's own handle.
        handle = unsafe { libc::dlopen(ptr::null(), libc::RTLD_LAZY) };
    }
    if handle.is_null() {
        return None;
    }
    let lookup = |name: &CStr| {
        // SAFETY: a live handle and a string that ends in 0.
        let address = unsafe { libc::dlsym(handle, name.as_ptr()) };
        // A function of another object would be that of another libhdf5.
        let ours = base == 0 || object(address).is_some_and(|(_, at)| at == base);
        (!address.is_null() && ours).then_some(address)
    };
    // SAFETY: `lookup` gives addresses of the functions of the names asked for, in a libhdf5.
    let (api, datasets, objects) =
        unsafe { (Api::resolve(lookup)?, OpenDatasets::resolve(lookup), Objects::resolve(lookup)) };
    let push = lookup(c"H5Epush2")?;
    // SAFETY: the address is H5Epush2's, whose C type this is.
    let push = unsafe { std::mem::transmute::<*mut c_void, H5Epush2>(push) };
    Some(Functions {
        api,
        datasets,
        objects,
        known: Mutex::default(),
        push,
        error_ids: [const { AtomicI64::new(0) }; 3],
    })
}
