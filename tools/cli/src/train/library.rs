//! libaugur_torch, which holds training and is opened only here.
//!
//! libtorch is opened before it, so that one can say clearly what is missing or of the wrong version; CUDA's part of it must come
//! right after, or CUDA stays off for the process.

use crate::failure::{Failure, Result};
use libloading::os::unix::{Library, Symbol, RTLD_GLOBAL, RTLD_NOW};
use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::path::{Path, PathBuf};

/// Version of the functions that this build calls.
const ABI: u64 = 1;
/// libtorch's own version number, less its patch.
const LIBTORCH: u64 = 0x020b;
const NAME: &str = "libaugur_torch.so";

/// Frames of a field: as in `tools/torch/src/abi.rs`.
#[repr(C)]
pub struct Frames {
    values: *const f32,
    size: [i64; 4],
    train: i64,
}

#[repr(C)]
struct Answer {
    text: *mut c_char,
    model: *mut u8,
    model_len: usize,
}

type Tell = unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int;
type Train =
    unsafe extern "C" fn(*const c_char, *const Frames, usize, Tell, *mut c_void, *mut Answer) -> c_int;

/// A field's values, near 1 in magnitude and NaN where they are missing.
pub struct Part {
    /// In the order steps, levels, rows, columns.
    pub values: Vec<f32>,
    /// Steps, levels, rows, columns.
    pub size: [usize; 4],
    /// Steps to train on; the others are held out.
    pub train: usize,
}

/// The open library.
pub struct Trainer {
    train: Symbol<Train>,
    release: Symbol<unsafe extern "C" fn(*mut Answer)>,
    /// Last, so that they outlive the functions.
    _libraries: Vec<Library>,
}

/// Opens the library; with what CUDA needs where it is asked for.
///
/// # Errors
/// What is missing, and what to do.
pub fn open(cuda: bool) -> Result<Trainer> {
    let path = find()?;
    let libtorch = std::env::var_os("AUGUR_LIBTORCH")
        .map(PathBuf::from)
        .or_else(|| Some(path.parent()?.join("torch")).filter(|p| p.join("lib").is_dir()));
    let mut libraries = vec![];
    let open = |path: &Path| {
        // SAFETY: libraries of this project and of libtorch; their initialisers may run in any process.
        unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }
            .map_err(|e| Failure::new(format!("{} cannot be opened: {e}", path.display())))
    };
    if let Some(folder) = libtorch {
        let cpu = open(&folder.join("lib/libtorch_cpu.so"))?;
        // SAFETY: the function takes nothing and gives a number, in every version that has it.
        let version = unsafe {
            cpu.get::<unsafe extern "C" fn() -> u64>(b"aoti_torch_abi_version\0")
                .map_or(0, |version| version())
        };
        if version >> 48 != LIBTORCH {
            return Err(Failure::new(format!(
                "{} is libtorch {}.{}, training was built for {}.{}",
                folder.display(),
                version >> 56,
                version >> 48 & 255,
                LIBTORCH >> 8,
                LIBTORCH & 255
            )));
        }
        libraries.push(cpu);
        if cuda {
            libraries.push(open(&folder.join("lib/libtorch_cuda.so"))?);
        }
    }
    let own = open(&path)?;
    // SAFETY: the signatures are those of tools/torch/src/abi.rs at this version, which is checked first.
    let trainer = unsafe {
        let wrong = |e: libloading::Error| Failure::new(format!("{}: {e}", path.display()));
        let version =
            own.get::<unsafe extern "C" fn() -> *const c_char>(b"augur_torch_version\0").map_err(wrong)?;
        let text = CStr::from_ptr(version()).to_bytes();
        let version: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
        if version["abi"] != ABI {
            return Err(Failure::new(format!(
                "{} is of another version than this command: run make torch again",
                path.display()
            )));
        }
        (own.get(b"augur_torch_train\0").map_err(wrong)?, own.get(b"augur_torch_release\0").map_err(wrong)?)
    };
    libraries.push(own);
    Ok(Trainer { train: trainer.0, release: trainer.1, _libraries: libraries })
}

fn find() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("AUGUR_TORCH") {
        return Ok(path.into());
    }
    let beside = std::env::current_exe().ok().and_then(|p| p.canonicalize().ok());
    let beside = beside.as_deref().and_then(|p| p.parent()?.parent());
    beside.map(|folder| folder.join("lib").join(NAME)).filter(|p| p.exists()).ok_or_else(|| {
        Failure::new(format!(
            "training needs {NAME}, which is not there: run `make torch` (it downloads libtorch, 540 MB), or name \
             the library in AUGUR_TORCH"
        ))
    })
}

impl Trainer {
    /// Trains as `request` says. `tell` gets a message after each step and stops the training by `false`.
    ///
    /// Gives the report and, where there is one, the model file.
    ///
    /// # Errors
    /// What the trainer says.
    pub fn train(
        &self,
        request: &serde_json::Value,
        parts: &[Part],
        tell: &mut dyn FnMut(&serde_json::Value) -> bool,
    ) -> Result<(serde_json::Value, Option<Vec<u8>>)> {
        let request = CString::new(request.to_string())
            .map_err(|_| Failure::new("a name holds a NUL byte, training cannot use it"))?;
        let frames: Vec<Frames> = parts
            .iter()
            .map(|p| Frames {
                values: p.values.as_ptr(),
                size: p.size.map(|n| n as i64),
                train: p.train as i64,
            })
            .collect();
        let mut tell = tell;
        let mut answer = Answer { text: std::ptr::null_mut(), model: std::ptr::null_mut(), model_len: 0 };
        // SAFETY: the pointers are valid until the function returns, the lengths are those of the values, and
        // `step` takes the pointer to `tell` for what it is.
        let status = unsafe {
            let user = (&raw mut tell).cast::<c_void>();
            (self.train)(request.as_ptr(), frames.as_ptr(), frames.len(), step, user, &raw mut answer)
        };
        // SAFETY: the function wrote a C string and a file of this length, or no file.
        let (text, model) = unsafe {
            let text = CStr::from_ptr(answer.text).to_string_lossy().into_owned();
            let model = (!answer.model.is_null())
                .then(|| std::slice::from_raw_parts(answer.model, answer.model_len).to_vec());
            (self.release)(&raw mut answer);
            (text, model)
        };
        if status != 0 {
            return Err(Failure::new(text));
        }
        let report =
            serde_json::from_str(&text).map_err(|e| Failure::new(format!("the trainer's report: {e}")))?;
        Ok((report, model))
    }
}

unsafe extern "C" fn step(user: *mut c_void, message: *const c_char) -> c_int {
    // SAFETY: `user` is what `Trainer::train` handed over, the message a C string.
    let (tell, text) =
        unsafe { (&mut *user.cast::<&mut dyn FnMut(&serde_json::Value) -> bool>(), CStr::from_ptr(message)) };
    let message = serde_json::from_slice(text.to_bytes()).unwrap_or_default();
    c_int::from(!tell(&message))
}
