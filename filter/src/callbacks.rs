//! The three functions that HDF5 calls, behind their trampolines ([`crate::trampoline`]).
//!
//! No panic leaves them, and errors are reported twice (see `report`). The filter function
//! leaves the host's buffer alone until it has succeeded.

use crate::cd_values::Expanded;
use crate::chunk::Surroundings;
use crate::h5types::{H5ZClass2, Hid, H5Z_CLASS_T_VERS, H5Z_FLAG_REVERSE};
use crate::host::Host;
use crate::models::{Search, Wanted};
use crate::{chunk, dataset, open, report, FILTER_ID};
use augur_core::{Error, Result};
use std::any::Any;
use std::ffi::{c_int, c_uint, c_void};
use std::mem::MaybeUninit;
use std::panic::catch_unwind;

/// The filter's class, for `H5Zregister` and the plugin interface. It lives as long as the process.
pub fn class() -> &'static H5ZClass2 {
    static CLASS: H5ZClass2 = H5ZClass2 {
        version: H5Z_CLASS_T_VERS,
        id: FILTER_ID,
        encoder_present: 1,
        decoder_present: 1,
        name: c"augur".as_ptr(),
        can_apply: Some(crate::trampoline::can_apply),
        set_local: Some(crate::trampoline::set_local),
        filter: Some(crate::trampoline::filter),
    };
    &CLASS
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_string()
}

/// Runs a callback's work; a panic or an error is reported and gives `failure`.
fn guarded<T>(host: Option<&'static Host>, what: &str, failure: T, work: impl FnOnce() -> Result<T>) -> T {
    // The state that a panic might leave behind is atomic counters and the host's own objects.
    let result = catch_unwind(std::panic::AssertUnwindSafe(work));
    let message = match result {
        Ok(Ok(value)) => return value,
        Ok(Err(e)) => e.message().to_string(),
        Err(panic) => format!("unexpected failure ({}); please report this", panic_text(panic.as_ref())),
    };
    let _ = catch_unwind(|| report::error(host, &format!("{what}: {message}")));
    failure
}

/// `can_apply`: checks dataset and settings, so that a filter that cannot work fails when the dataset is
/// created. Returns 1, or -1: HDF5 would ignore 0 for optional filters.
///
/// # Safety
/// Called by HDF5 (through the trampoline) with ids of its own.
pub(crate) unsafe extern "C" fn can_apply(dcpl: Hid, dtype: Hid, space: Hid, from: *const c_void) -> c_int {
    // SAFETY: the arguments are passed on.
    unsafe { prelude(dcpl, dtype, space, from, false) }
}

/// `set_local`: writes the expanded cd_values into the property list. Returns 0, or -1 for a refusal.
///
/// # Safety
/// Called by HDF5 (through the trampoline) with ids of its own.
pub(crate) unsafe extern "C" fn set_local(dcpl: Hid, dtype: Hid, space: Hid, from: *const c_void) -> c_int {
    // SAFETY: the arguments are passed on.
    unsafe { prelude(dcpl, dtype, space, from, true) }
}

unsafe fn prelude(dcpl: Hid, dtype: Hid, space: Hid, from: *const c_void, store: bool) -> c_int {
    let host = catch_unwind(|| Host::of_caller(from)).ok().flatten();
    guarded(host, "the filter cannot be used for this dataset", -1, || {
        let Some(api) = host.and_then(Host::api) else {
            // A statically linked host that exports nothing: chunks will be stored lossless.
            return Ok(if store { 0 } else { 1 });
        };
        // SAFETY: the table is that of the library that called, which passes its own ids.
        let (expanded, flags) = unsafe { dataset::expand(api, dcpl, dtype, space, store) }?;
        let words = expanded.to_words()?;
        if !store {
            return Ok(1);
        }
        if let Some(prefix) = expanded.settings.model {
            // SAFETY: in a callback of the host. The dataset is not open yet, its file is.
            let search = unsafe { Search::new(host, &[]) };
            // Once found, it is at hand when chunks are written, without a look into the file (parallel programs write
            // chunks at times of their own).
            let found = search.wanted(&Wanted::Prefix(prefix));
            if expanded.settings.strict {
                augur_core::check_model(expanded.settings.preset, &*found?)?;
            }
        }
        // SAFETY: as above; the words are copied.
        let status = unsafe { (api.H5Pmodify_filter)(dcpl, FILTER_ID, flags, words.len(), words.as_ptr()) };
        if status < 0 {
            return Err(Error::invalid("HDF5 did not take the expanded cd_values (H5Pmodify_filter failed)"));
        }
        Ok(0)
    })
}

/// The filter function: encodes or decodes the chunk in `*buffer`. Returns the number of bytes that are in
/// `*buffer` then, or 0 for failure, with the buffer as it was.
///
/// # Safety
/// Called by HDF5 (through the trampoline): `values` leads to `words` words, `*buffer` to `*size` bytes from
/// the host's allocator, of which `bytes` hold data.
pub(crate) unsafe extern "C" fn filter(
    flags: c_uint,
    words: usize,
    values: *const c_uint,
    bytes: usize,
    size: *mut usize,
    buffer: *mut *mut c_void,
    from: *const c_void,
) -> usize {
    let host = catch_unwind(|| Host::of_caller(from)).ok().flatten();
    let reading = flags & H5Z_FLAG_REVERSE != 0;
    let what = if reading { "cannot read a chunk" } else { "cannot write a chunk" };
    guarded(host, what, 0, || {
        if size.is_null() || buffer.is_null() || bytes == 0 {
            return Err(Error::invalid("HDF5 passed no data"));
        }
        // SAFETY: not null, and the host's own variables.
        let (mut data, mut room) = unsafe { (*buffer, *size) };
        if data.is_null() {
            return Err(Error::invalid("HDF5 passed no data"));
        }
        let cd: &[u32] = if words == 0 || values.is_null() {
            &[]
        } else {
            // SAFETY: the host states that many words there.
            unsafe { std::slice::from_raw_parts(values, words) }
        };
        // SAFETY: the host states that many bytes there; the slice ends before the buffer is changed.
        let input = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), bytes) };
        let threads = crate::threads();
        // SAFETY: in a callback of the host; used below only.
        let search = unsafe { Search::new(host, cd) };
        if reading {
            let (new, filled, needed) =
                decoded(host, |place| chunk::decode_to(cd, input, threads, &search, place))?;
            // SAFETY: the old buffer came from the host's allocator and is not used any more; the variables are the host's.
            unsafe {
                release(host, data);
                *buffer = new;
                *size = needed;
            }
            return Ok(filled);
        }
        let tail = |expanded: &Expanded| {
            // SAFETY: in a callback of the host.
            host.map_or(0, |h| unsafe { open::tail_of(h, cd, expanded.settings.time_axis) })
        };
        let model = |expanded: &Expanded| search.for_writing(&expanded.settings);
        let around = Surroundings { tail: &tail, model: &model };
        let output = chunk::encode_within(cd, host.is_some().then_some(&around), input, threads)?;
        let needed = output.len();
        if needed > room {
            let new = allocate(host, needed)
                .ok_or_else(|| Error::insufficient(format!("no memory for {needed} bytes")))?;
            // SAFETY: the old buffer came from the host's allocator and is not used any more.
            unsafe { release(host, data) };
            (data, room) = (new, needed);
        }
        // SAFETY: `data` has room for `needed` bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(output.as_ptr(), data.cast::<u8>(), needed);
            *buffer = data;
            *size = room;
        }
        let filled = output.len();
        augur_core::recycle(output);
        Ok(filled)
    })
}

/// A buffer of the host's that `decode` has written to, how many bytes, and its size: `decode` is given what makes it. The
/// bytes are decoded where they stay, as a copy costs as much as some stages of decoding.
fn decoded(
    host: Option<&Host>,
    decode: impl FnOnce(MakePlace) -> Result<(usize, usize)>,
) -> Result<(*mut c_void, usize, usize)> {
    let mut new = std::ptr::null_mut::<c_void>();
    let result = decode(&mut |len, least| {
        let needed = len.max(least).max(1);
        new = allocate(host, needed)
            .ok_or_else(|| Error::insufficient(format!("no memory for {needed} bytes")))?;
        // SAFETY: the buffer has room for so many bytes, nobody else uses it before this function returns, and nobody reads
        // what was not written.
        Ok(unsafe { std::slice::from_raw_parts_mut(new.cast(), len) })
    });
    match result {
        Ok((filled, least)) => {
            let needed = filled.max(least).max(1);
            // SAFETY: the buffer has room for `needed` bytes, of which the first `filled` were written.
            unsafe { std::ptr::write_bytes(new.cast::<u8>().add(filled), 0, needed - filled) };
            Ok((new, filled, needed))
        }
        Err(e) => {
            if !new.is_null() {
                // SAFETY: it came from there, and nobody has it.
                unsafe { release(host, new) };
            }
            Err(e)
        }
    }
}

/// Makes the memory for a chunk of so many bytes, with at least so many in all.
type MakePlace<'a> = &'a mut dyn FnMut(usize, usize) -> Result<&'static mut [MaybeUninit<u8>]>;

/// Memory from the host's allocator; HDF5's is malloc's unless it was built for debugging.
fn allocate(host: Option<&Host>, bytes: usize) -> Option<*mut c_void> {
    let new = match host.and_then(Host::api) {
        // SAFETY: a plain request for memory that is not to be cleared.
        Some(api) => unsafe { (api.H5allocate_memory)(bytes, 0) },
        // SAFETY: a plain request for memory.
        None => unsafe { libc::malloc(bytes) },
    };
    (!new.is_null()).then_some(new)
}

/// Gives a buffer back to the allocator that [`allocate`] uses.
///
/// # Safety
/// The buffer came from that allocator and is not used any more.
unsafe fn release(host: Option<&Host>, buffer: *mut c_void) {
    match host.and_then(Host::api) {
        Some(api) => {
            // SAFETY: as the caller promises. A failure would only leak the buffer.
            let _ = unsafe { (api.H5free_memory)(buffer) };
        }
        // SAFETY: as the caller promises.
        None => unsafe { libc::free(buffer) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_and_errors_stop_at_the_callback() {
        assert_eq!(guarded(None, "test", -1, || panic!("on purpose")), -1);
        assert_eq!(guarded(None, "test", -1, || std::panic::panic_any(5)), -1);
        assert_eq!(guarded(None, "test", 0, || Err(Error::invalid("on purpose"))), 0);
        assert_eq!(guarded(None, "test", 0, || Ok(3)), 3);
    }

    #[test]
    fn preludes_without_a_host_let_the_dataset_pass() {
        let class = class();
        // SAFETY: without libhdf5 the ids are not used.
        unsafe {
            assert_eq!(class.can_apply.map(|f| f(1, 2, 3)), Some(1));
            assert_eq!(class.set_local.map(|f| f(1, 2, 3)), Some(0));
        }
    }
}
