//! Memory that a caller brings for decoded values, which holds nothing until it is written.

use crate::error::Result;
use crate::scratch::Buffer;
use std::mem::MaybeUninit;

/// Bytes that may not be read before they are written.
pub type Place = [MaybeUninit<u8>];

/// Writes `bytes` to the beginning of `place`, which is at least as long.
pub fn put(place: &mut Place, bytes: &[u8]) {
    let place = &mut place[..bytes.len()];
    // SAFETY: as many bytes as `place` has, which borrows them alone.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), place.as_mut_ptr().cast(), bytes.len()) };
}

/// Tells the machine that `place` is written soon: otherwise stores wait for the cache lines of memory that was not near.
#[inline]
pub fn announce(place: &Place) {
    #[cfg(target_arch = "x86_64")]
    for line in place.chunks(64) {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_ET0};
        // SAFETY: a hint that reads and writes nothing, of an address in `place`.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// The bytes of `place`.
///
/// # Safety
/// All of them were written.
pub unsafe fn written(place: &mut Place) -> &mut [u8] {
    // SAFETY: the same memory, borrowed for as long; a written byte is a u8.
    unsafe { std::slice::from_raw_parts_mut(place.as_mut_ptr().cast(), place.len()) }
}

/// A vector of `len` bytes that `fill` writes.
///
/// # Safety
/// Where it succeeds `fill` has written all bytes.
pub unsafe fn filled(len: usize, fill: impl FnOnce(&mut Place) -> Result<()>) -> Result<Vec<u8>> {
    let mut out = Buffer::<u8>::with_capacity(len).into_vec();
    fill(&mut out.spare_capacity_mut()[..len])?;
    // SAFETY: there is room for as many, and they were written.
    unsafe { out.set_len(len) };
    Ok(out)
}
