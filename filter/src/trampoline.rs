//! The callbacks' first instructions: they add the return address to the arguments.
//!
//! The return address tells which library called ([`crate::host`]). Rust has no stable way to ask for it, so
//! the functions that HDF5 gets are a few instructions of assembly that pass it on as one more argument. On
//! processors without such instructions here it is null, and the program's own symbols are searched.

use crate::h5types::Hid;
use std::ffi::{c_int, c_uint, c_void};

/// Defines a callback that HDF5 calls: it passes its arguments and its return address on to `$inner`.
macro_rules! trampoline {
    ($(#[$doc:meta])* three $name:ident => $inner:path) => {
        #[cfg(all(unix, target_arch = "x86_64"))]
        #[unsafe(naked)]
        $(#[$doc])*
        pub(crate) unsafe extern "C" fn $name(dcpl: Hid, dtype: Hid, space: Hid) -> c_int {
            // The return address as fourth argument; the stack is as at our own entry.
            std::arch::naked_asm!("mov rcx, [rsp]", "jmp {inner}", inner = sym $inner)
        }

        #[cfg(all(unix, target_arch = "aarch64"))]
        #[unsafe(naked)]
        $(#[$doc])*
        pub(crate) unsafe extern "C" fn $name(dcpl: Hid, dtype: Hid, space: Hid) -> c_int {
            std::arch::naked_asm!("mov x3, x30", "b {inner}", inner = sym $inner)
        }

        #[cfg(not(all(unix, any(target_arch = "x86_64", target_arch = "aarch64"))))]
        $(#[$doc])*
        pub(crate) unsafe extern "C" fn $name(dcpl: Hid, dtype: Hid, space: Hid) -> c_int {
            // SAFETY: the caller's own arguments.
            unsafe { $inner(dcpl, dtype, space, std::ptr::null()) }
        }
    };
    ($(#[$doc:meta])* filter $name:ident => $inner:path) => {
        #[cfg(all(unix, target_arch = "x86_64"))]
        #[unsafe(naked)]
        $(#[$doc])*
        pub(crate) unsafe extern "C" fn $name(
            flags: c_uint, words: usize, values: *const c_uint, bytes: usize,
            size: *mut usize, buffer: *mut *mut c_void,
        ) -> usize {
            // All six registers for arguments are taken: the seventh goes on the stack, which this push
            // also aligns to 16 bytes for the call.
            std::arch::naked_asm!("push qword ptr [rsp]", "call {inner}", "add rsp, 8", "ret", inner = sym $inner)
        }

        #[cfg(all(unix, target_arch = "aarch64"))]
        #[unsafe(naked)]
        $(#[$doc])*
        pub(crate) unsafe extern "C" fn $name(
            flags: c_uint, words: usize, values: *const c_uint, bytes: usize,
            size: *mut usize, buffer: *mut *mut c_void,
        ) -> usize {
            std::arch::naked_asm!("mov x6, x30", "b {inner}", inner = sym $inner)
        }

        #[cfg(not(all(unix, any(target_arch = "x86_64", target_arch = "aarch64"))))]
        $(#[$doc])*
        pub(crate) unsafe extern "C" fn $name(
            flags: c_uint, words: usize, values: *const c_uint, bytes: usize,
            size: *mut usize, buffer: *mut *mut c_void,
        ) -> usize {
            // SAFETY: the caller's own arguments.
            unsafe { $inner(flags, words, values, bytes, size, buffer, std::ptr::null()) }
        }
    };
}

trampoline! {
    /// `can_apply` of the filter class.
    three can_apply => crate::callbacks::can_apply
}
trampoline! {
    /// `set_local` of the filter class.
    three set_local => crate::callbacks::set_local
}
trampoline! {
    /// The filter function of the filter class.
    filter filter => crate::callbacks::filter
}
