//! Memory that several threads read and write at places that are not the same.

use std::marker::PhantomData;

/// A slice that was lent for writing, in the hands of several threads.
pub struct Shared<'a, T> {
    at: *mut T,
    len: usize,
    lent: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a slice that nobody else has; who reads and writes where is the users' promise below.
unsafe impl<T: Send + Sync> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { at: slice.as_mut_ptr(), len: slice.len(), lent: PhantomData }
    }

    /// All of it.
    ///
    /// # Safety
    /// Nobody writes to it while the result lives.
    pub unsafe fn read(&self) -> &[T] {
        // SAFETY: the slice is as long, and the caller promises the rest.
        unsafe { std::slice::from_raw_parts(self.at, self.len) }
    }

    /// `len` elements from `start` on.
    ///
    /// # Safety
    /// Nobody else reads or writes these while the result lives.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn write(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start <= self.len && len <= self.len - start);
        // SAFETY: they lie within the slice, and the caller promises the rest.
        unsafe { std::slice::from_raw_parts_mut(self.at.add(start), len) }
    }
}
