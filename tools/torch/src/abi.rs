//! The functions that the library exports. They take JSON and pointers, and no panic leaves them.

use crate::infer::{self, Evaluation, Network};
use crate::job::{self, Frames};
use crate::request::Request;
use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

/// Changes whenever a function here does.
pub const ABI: u32 = 2;

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
    concat!("{\"abi\": 2, \"augur\": \"", env!("CARGO_PKG_VERSION"), "\", \"libtorch\": \"2.11.0\"}\0")
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
    let (status, text, model) = match guarded(work) {
        Ok((text, model)) => (0, text, model),
        Err(text) => (1, text, None),
    };
    // SAFETY: the caller's promise.
    unsafe { answered(answer, &text, model) };
    status
}

/// Runs `work`; a panic becomes an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
        let text = text.unwrap_or_default();
        // libtorch adds where in its sources it happened.
        Err(format!("libtorch failed: {}", text.lines().next().unwrap_or("without saying why")))
    })
}

/// Writes an answer.
///
/// # Safety
/// `answer` may be written.
unsafe fn answered(answer: *mut Answer, text: &str, model: Option<Vec<u8>>) {
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default().into_raw();
    let (model, model_len) = model.map_or((std::ptr::null_mut(), 0), |m| {
        let m = Box::leak(m.into_boxed_slice());
        (m.as_mut_ptr(), m.len())
    });
    // SAFETY: the caller's promise.
    unsafe { answer.write(Answer { text, model, model_len }) };
}

/// Releases an answer.
///
/// # Safety
/// `answer` was written by a function of this library and is released once.
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

/// Values of an input or an output: \[channel\]\[level\]\[row\]\[column\].
#[repr(C)]
#[derive(Debug)]
pub struct Values {
    /// The first of them; those of inputs are not written.
    pub values: *mut i16,
    /// Their number.
    pub len: usize,
}

/// Makes the graph of a model file ready on a device (`cpu`, `cuda`, or `auto`: CUDA where it is there). Returns what
/// [`augur_torch_unload`] takes; null with an error in `answer`, which is written only then.
///
/// # Safety
/// `model` leads to `len` bytes, `graph` and `device` are C strings, `answer` may be written.
#[no_mangle]
pub unsafe extern "C" fn augur_torch_load(
    model: *const u8,
    len: usize,
    graph: *const c_char,
    device: *const c_char,
    answer: *mut Answer,
) -> *mut c_void {
    let work = || {
        // SAFETY: the caller's promise.
        let (model, graph, device) = unsafe {
            (std::slice::from_raw_parts(model, len), CStr::from_ptr(graph), CStr::from_ptr(device))
        };
        let device = infer::device(&device.to_string_lossy())?;
        Ok(Arc::new(Network::new(model, &graph.to_string_lossy(), device)?))
    };
    // SAFETY: the caller's promise.
    unsafe { handed(guarded(work), answer) }
}

/// Makes an evaluation of what [`augur_torch_load`] gave, for `size` levels, rows and columns. Returns what
/// [`augur_torch_close`] takes; null with an error in `answer`, which is written only then.
///
/// # Safety
/// `network` was loaded and not unloaded, `size` leads to three numbers, `answer` may be written.
#[no_mangle]
pub unsafe extern "C" fn augur_torch_open(
    network: *const c_void,
    size: *const usize,
    answer: *mut Answer,
) -> *mut c_void {
    let work = || {
        // SAFETY: the caller's promise; `handed` made the pointer.
        let (network, size) = unsafe { (&*network.cast::<Arc<Network>>(), *size.cast::<[usize; 3]>()) };
        Evaluation::new(network, size)
    };
    // SAFETY: the caller's promise.
    unsafe { handed(guarded(work), answer) }
}

/// Computes the outputs from the inputs, on at most `threads` threads of the processor. Where `fed` is not 0, an input is
/// the output of the same number that the last run of this evaluation gave, and is not read. Returns 0, or 1 with an error
/// in `answer`, which is written only then.
///
/// # Safety
/// `evaluation` was opened and not closed, and no other thread uses it; `inputs` and `fed` have `inputs_len`, `outputs`
/// `outputs_len` members, whose values may be read, or written; `answer` may be written.
#[no_mangle]
pub unsafe extern "C" fn augur_torch_run(
    evaluation: *mut c_void,
    inputs: *const Values,
    fed: *const u8,
    inputs_len: usize,
    outputs: *const Values,
    outputs_len: usize,
    threads: usize,
    answer: *mut Answer,
) -> c_int {
    let work = || {
        // SAFETY: the caller's promise; `handed` made the pointer.
        unsafe {
            let evaluation = &mut *evaluation.cast::<Evaluation>();
            let inputs = std::slice::from_raw_parts(inputs, inputs_len).iter();
            let inputs: Vec<&[i16]> = inputs.map(|v| std::slice::from_raw_parts(v.values, v.len)).collect();
            let fed: Vec<bool> =
                std::slice::from_raw_parts(fed, inputs_len).iter().map(|&f| f != 0).collect();
            let outputs = std::slice::from_raw_parts(outputs, outputs_len).iter();
            let mut outputs: Vec<&mut [i16]> =
                outputs.map(|v| std::slice::from_raw_parts_mut(v.values, v.len)).collect();
            evaluation.run(&inputs, &fed, &mut outputs, threads)
        }
    };
    let Err(text) = guarded(work) else { return 0 };
    // SAFETY: the caller's promise.
    unsafe { answered(answer, &text, None) };
    1
}

/// Releases what [`augur_torch_open`] gave.
///
/// # Safety
/// It was opened and is closed once.
#[no_mangle]
pub unsafe extern "C" fn augur_torch_close(evaluation: *mut c_void) {
    let _ = guarded(|| {
        // SAFETY: the caller's promise; `handed` made the pointer.
        drop(unsafe { Box::from_raw(evaluation.cast::<Evaluation>()) });
        Ok(())
    });
}

/// Releases what [`augur_torch_load`] gave. Evaluations of it go on.
///
/// # Safety
/// It was loaded and is unloaded once.
#[no_mangle]
pub unsafe extern "C" fn augur_torch_unload(network: *mut c_void) {
    let _ = guarded(|| {
        // SAFETY: the caller's promise; `handed` made the pointer.
        drop(unsafe { Box::from_raw(network.cast::<Arc<Network>>()) });
        Ok(())
    });
}

/// Hands a value to the caller, or the error in an answer.
///
/// # Safety
/// `answer` may be written.
unsafe fn handed<T>(made: Result<T, String>, answer: *mut Answer) -> *mut c_void {
    match made {
        Ok(value) => Box::into_raw(Box::new(value)).cast(),
        Err(text) => {
            // SAFETY: the caller's promise.
            unsafe { answered(answer, &text, None) };
            std::ptr::null_mut()
        }
    }
}
