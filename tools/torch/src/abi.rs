//! The functions that the library exports. They take JSON and pointers, and no panic leaves them.

use crate::job::{self, Frames};
use crate::request::Request;
use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Changes whenever a function here does.
pub const ABI: u32 = 1;

/// Frames of a field.
#[repr(C)]
#[derive(Debug)]
pub struct CFrames {
    /// Steps x levels x rows x columns values, NaN where they are missing.
    pub values: *const f32,
    /// Steps, levels, rows, columns.
    pub size: [i64; 4],
    /// Steps that may be trained on.
    pub train: i64,
}

/// Called after each step with a message in JSON; anything but 0 stops the training.
pub type Tell = unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int;

/// What a call gives back; [`augur_torch_release`] takes it.
#[repr(C)]
#[derive(Debug)]
pub struct Answer {
    /// A report in JSON, or what went wrong in words.
    pub text: *mut c_char,
    /// The model file; null where there is none.
    pub model: *mut u8,
    /// Its bytes.
    pub model_len: usize,
}

/// Version of these functions, of the crate and of the libtorch that it was made for, in JSON.
#[no_mangle]
pub extern "C" fn augur_torch_version() -> *const c_char {
    concat!("{\"abi\": 1, \"augur\": \"", env!("CARGO_PKG_VERSION"), "\", \"libtorch\": \"2.11.0\"}\0")
        .as_ptr()
        .cast()
}

/// Trains a model. Returns 0 with a report and perhaps a model, 1 with an error, in `answer`.
///
/// # Safety
/// `request` is a C string; `fields` are `count` fields whose values are as many as their sizes say; `tell` may be called
/// with `user` until the function returns; `answer` may be written.
#[no_mangle]
pub unsafe extern "C" fn augur_torch_train(
    request: *const c_char,
    fields: *const CFrames,
    count: usize,
    tell: Tell,
    user: *mut c_void,
    answer: *mut Answer,
) -> c_int {
    let work = || -> Result<(String, Option<Vec<u8>>), String> {
        // SAFETY: the caller's promise.
        let (request, fields) =
            unsafe { (CStr::from_ptr(request), std::slice::from_raw_parts(fields, count)) };
        let request: Request = serde_json::from_slice(request.to_bytes()).map_err(|e| {
            format!("the request is not understood: {e} (augur and libaugur_torch of one version?)")
        })?;
        let frames = fields.iter().map(|f| {
            let length = f.size.iter().try_fold(1usize, |n, &s| n.checked_mul(usize::try_from(s).ok()?));
            let length = length.filter(|n| *n > 0).ok_or("a field has no points")?;
            // SAFETY: the caller's promise.
            let values = unsafe { std::slice::from_raw_parts(f.values, length) };
            Ok(Frames { values, size: f.size, train: f.train })
        });
        let frames = frames.collect::<Result<Vec<_>, String>>()?;
        let (report, model) = job::train(&request, &frames, |message| {
            let text = serde_json::to_string(message).unwrap_or_default();
            let Ok(text) = CString::new(text) else { return true };
            // SAFETY: the caller's promise; the text lives until the call returns.
            unsafe { tell(user, text.as_ptr()) == 0 }
        })?;
        Ok((serde_json::to_string(&report).map_err(|e| e.to_string())?, model))
    };
    let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
        let text = text.unwrap_or_default();
        // libtorch adds where in its sources it happened.
        Err(format!("libtorch failed: {}", text.lines().next().unwrap_or("without saying why")))
    });
    let (status, text, model) = match done {
        Ok((text, model)) => (0, text, model),
        Err(text) => (1, text, None),
    };
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default().into_raw();
    let (model, model_len) = model.map_or((std::ptr::null_mut(), 0), |m| {
        let m = Box::leak(m.into_boxed_slice());
        (m.as_mut_ptr(), m.len())
    });
    // SAFETY: the caller's promise.
    unsafe { answer.write(Answer { text, model, model_len }) };
    status
}

/// Releases what [`augur_torch_train`] gave.
///
/// # Safety
/// `answer` was written by it and is released once.
#[no_mangle]
pub unsafe extern "C" fn augur_torch_release(answer: *mut Answer) {
    // SAFETY: the pointers come from `CString::into_raw` and a leaked box of this length.
    unsafe {
        let answer = answer.read();
        drop(CString::from_raw(answer.text));
        if !answer.model.is_null() {
            drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(answer.model, answer.model_len)));
        }
    }
}
