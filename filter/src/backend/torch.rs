//! libaugur_torch as a backend of the codec: its functions behind the codec's traits.

use super::library::{Cuda, Library};
use augur_core::network::backend::{Backend, Evaluation, Network};
use augur_core::{Error, Result};
use std::ffi::{c_char, c_int, c_void, CStr, CString};

/// As in `tools/torch/src/abi.rs`.
#[repr(C)]
struct Answer {
    text: *mut c_char,
    model: *mut u8,
    model_len: usize,
}

/// As there.
#[repr(C)]
struct Values {
    values: *mut i16,
    len: usize,
}

type Load = unsafe extern "C" fn(*const u8, usize, *const c_char, *const c_char, *mut Answer) -> *mut c_void;
type Open = unsafe extern "C" fn(*const c_void, *const usize, *mut Answer) -> *mut c_void;
type Run = unsafe extern "C" fn(
    *mut c_void,
    *const Values,
    *const u8,
    usize,
    *const Values,
    usize,
    usize,
    *mut Answer,
) -> c_int;
type Close = unsafe extern "C" fn(*mut c_void);
type Release = unsafe extern "C" fn(*mut Answer);

/// The functions of a library that stays open for ever.
#[derive(Clone, Copy)]
struct Functions {
    load: Load,
    open: Open,
    run: Run,
    close: Close,
    unload: Close,
    release: Release,
    /// libtorch's threads and devices do not outlive a fork: the child must not call it.
    process: u32,
}

/// libtorch on a device.
pub struct Torch {
    functions: Functions,
    device: &'static CStr,
}

impl Torch {
    /// Opens the library for a device.
    ///
    /// # Errors
    /// As [`Library::open`].
    pub fn open(device: &'static CStr) -> Result<Self> {
        let cuda = match device.to_bytes() {
            b"cpu" => Cuda::No,
            b"cuda" => Cuda::Yes,
            _ => Cuda::Maybe,
        };
        let library = Library::open(cuda)?;
        // SAFETY: the types are those of tools/torch/src/abi.rs at this version, which was checked.
        let functions = unsafe {
            Functions {
                load: library.get(c"augur_torch_load")?,
                open: library.get(c"augur_torch_open")?,
                run: library.get(c"augur_torch_run")?,
                close: library.get(c"augur_torch_close")?,
                unload: library.get(c"augur_torch_unload")?,
                release: library.get(c"augur_torch_release")?,
                process: std::process::id(),
            }
        };
        Ok(Self { functions, device })
    }
}

impl Functions {
    /// Whether this is the process that opened the library.
    fn ours(&self) -> bool {
        self.process == std::process::id()
    }

    /// Calls a function, unless the process was forked; `failed` tells from its result whether it wrote an answer.
    fn call<T>(&self, work: impl FnOnce(*mut Answer) -> T, failed: impl FnOnce(&T) -> bool) -> Result<T> {
        if !self.ours() {
            return Err(Error::invalid(
                "libtorch cannot be used in a process that was forked from one with it",
            ));
        }
        let mut answer = Answer { text: std::ptr::null_mut(), model: std::ptr::null_mut(), model_len: 0 };
        let result = work(&raw mut answer);
        if !failed(&result) {
            return Ok(result);
        }
        // SAFETY: where it fails, the function wrote a C string into the answer, which is released once.
        let text = unsafe {
            let text = CStr::from_ptr(answer.text).to_string_lossy().into_owned();
            (self.release)(&raw mut answer);
            text
        };
        Err(Error::invalid(format!("libaugur_torch: {text}")))
    }
}

impl Backend for Torch {
    fn load(&self, model: &[u8], graph: &str) -> Result<Box<dyn Network>> {
        let functions = self.functions;
        let name = CString::new(graph).map_err(|_| Error::invalid("a graph's name holds a NUL byte"))?;
        let device = self.device.as_ptr();
        // SAFETY: bytes and strings that live until the function returns.
        let load =
            |answer| unsafe { (functions.load)(model.as_ptr(), model.len(), name.as_ptr(), device, answer) };
        let handle = functions.call(load, |p| p.is_null())?;
        Ok(Box::new(Loaded { functions, handle }))
    }
}

/// A graph whose weights are on the device.
struct Loaded {
    functions: Functions,
    handle: *mut c_void,
}

// SAFETY: the library only reads what it loaded, from any thread.
unsafe impl Send for Loaded {}
// SAFETY: as above.
unsafe impl Sync for Loaded {}

impl Network for Loaded {
    fn open(&self, size: [usize; 3]) -> Result<Box<dyn Evaluation>> {
        let functions = self.functions;
        // SAFETY: loaded, and unloaded when this is dropped.
        let open = |answer| unsafe { (functions.open)(self.handle, size.as_ptr(), answer) };
        let handle = functions.call(open, |p| p.is_null())?;
        Ok(Box::new(Opened { functions, handle }))
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if self.functions.ours() {
            // SAFETY: loaded, and unloaded only here.
            unsafe { (self.functions.unload)(self.handle) }
        }
    }
}

/// A graph at one size.
struct Opened {
    functions: Functions,
    handle: *mut c_void,
}

// SAFETY: the library keeps nothing of the thread that opened it.
unsafe impl Send for Opened {}

impl Evaluation for Opened {
    fn run(
        &mut self,
        inputs: &[Vec<i16>],
        fed: &[bool],
        outputs: &mut [Vec<i16>],
        threads: usize,
    ) -> Result<()> {
        let functions = self.functions;
        let inputs: Vec<Values> =
            inputs.iter().map(|v| Values { values: v.as_ptr().cast_mut(), len: v.len() }).collect();
        let outputs: Vec<Values> =
            outputs.iter_mut().map(|v| Values { values: v.as_mut_ptr(), len: v.len() }).collect();
        let fed: Vec<u8> = fed.iter().map(|&f| u8::from(f)).collect();
        if fed.len() != inputs.len() {
            return Err(Error::invalid("as many inputs as marks expected"));
        }
        // SAFETY: opened, and used by this thread alone; all values live until the function returns, and those of inputs
        // are not written.
        let run = |answer| unsafe {
            (functions.run)(
                self.handle,
                inputs.as_ptr(),
                fed.as_ptr(),
                inputs.len(),
                outputs.as_ptr(),
                outputs.len(),
                threads,
                answer,
            )
        };
        functions.call(run, |status| *status != 0).map(|_| ())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.functions.ours() {
            // SAFETY: opened, and closed only here.
            unsafe { (self.functions.close)(self.handle) }
        }
    }
}
