//! Training by libaugur_torch.

use crate::failure::{Failure, Result};
use augur_filter::backend::library::{Cuda, Library};
use std::ffi::{c_char, c_int, c_void, CStr, CString};

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

/// Functions of the library, which stays open.
pub struct Trainer {
    train: Train,
    release: unsafe extern "C" fn(*mut Answer),
}

/// Opens the library; with what CUDA needs where it is asked for.
///
/// # Errors
/// What is missing, and what to do.
pub fn open(cuda: bool) -> Result<Trainer> {
    // What a trained model gives is measured by the codec.
    augur_filter::backend::provide();
    let wrong = |e: augur_core::Error| Failure::new(format!("training needs libtorch: {e}"));
    let library = Library::open(if cuda { Cuda::Yes } else { Cuda::No }).map_err(wrong)?;
    // SAFETY: the signatures are those of tools/torch/src/abi.rs at this version, which was checked.
    unsafe {
        Ok(Trainer {
            train: library.get(c"augur_torch_train").map_err(wrong)?,
            release: library.get(c"augur_torch_release").map_err(wrong)?,
        })
    }
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
