//! Memory that is kept from one chunk to the next: fresh pages cost more time than what is computed on them.

use crate::entropy::slots::release_tables;
use crate::predict::multiscale::release_workspaces;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

/// Most bytes that are kept of each type.
const LIMIT: usize = 32 << 20;

/// What buffers are made of.
pub trait Pooled: Copy + Default + 'static {
    /// The buffers that nobody uses.
    fn kept() -> &'static Mutex<Vec<Vec<Self>>>;
}

macro_rules! pooled {
    ($($t:ty),*) => {$(
        impl Pooled for $t {
            fn kept() -> &'static Mutex<Vec<Vec<Self>>> {
                static KEPT: Mutex<Vec<Vec<$t>>> = Mutex::new(vec![]);
                &KEPT
            }
        }
    )*};
}
pooled!(u8, i32);

/// Gives back the working memory that is kept from one chunk to the next.
pub fn release_memory() {
    fn release<T: Pooled>() {
        if let Ok(mut kept) = T::kept().lock() {
            *kept = vec![];
        }
    }
    release::<u8>();
    release::<i32>();
    release_tables();
    release_workspaces();
}

/// Keeps the memory of decoded values, or of a stream, that the caller has copied, for the next chunk.
pub fn recycle(bytes: Vec<u8>) {
    drop(Buffer(bytes));
}

/// A vector whose memory goes to the next one when it is dropped.
#[derive(Default)]
pub struct Buffer<T: Pooled>(Vec<T>);

impl<T: Pooled> Buffer<T> {
    /// A buffer with room for `capacity` elements that holds what it held before.
    fn take(capacity: usize) -> Self {
        // Who has to wait had better take fresh memory; so does a fork of a process that was just in here.
        let kept = T::kept().try_lock().ok().and_then(|mut kept| {
            let fits = kept.iter().enumerate().filter(|(_, v)| v.capacity() >= capacity);
            let (i, _) = fits.min_by_key(|(_, v)| v.capacity())?;
            Some(kept.swap_remove(i))
        });
        Self(kept.unwrap_or_else(|| Vec::with_capacity(capacity)))
    }

    /// An empty buffer with room for `capacity` elements.
    pub fn with_capacity(capacity: usize) -> Self {
        let mut buffer = Self::take(capacity);
        buffer.clear();
        buffer
    }

    /// The vector itself, whose memory comes back only through [`recycle`].
    pub fn into_vec(mut self) -> Vec<T> {
        std::mem::take(&mut self.0)
    }

    /// A buffer of arbitrary values, for those who set them all.
    pub fn arbitrary(len: usize) -> Self {
        let mut buffer = Self::take(len);
        buffer.resize(len, T::default());
        buffer
    }

    /// Each element as `of` makes it of one of these.
    pub fn of(elements: &[T], of: impl Fn(T) -> T) -> Self {
        let mut buffer = Self::arbitrary(elements.len());
        buffer.iter_mut().zip(elements).for_each(|(o, e)| *o = of(*e));
        buffer
    }
}

impl<T: Pooled> Deref for Buffer<T> {
    type Target = Vec<T>;
    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T: Pooled> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}

impl<T: Pooled> Drop for Buffer<T> {
    fn drop(&mut self) {
        let size = size_of::<T>();
        if self.0.capacity() == 0 {
            return;
        }
        if let Ok(mut kept) = T::kept().try_lock() {
            kept.push(std::mem::take(&mut self.0));
            while kept.iter().map(|v| v.capacity() * size).sum::<usize>() > LIMIT {
                kept.remove(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_as_they_say_and_little_is_kept() {
        for len in [1000, 10, 1 << 20, 500] {
            let mut buffer = Buffer::<i32>::arbitrary(len);
            assert!(buffer.len() == len);
            buffer.fill(7);
            assert!(Buffer::<i32>::with_capacity(len).is_empty());
        }
        let many: Vec<Buffer<i32>> = (0..5).map(|_| Buffer::arbitrary(LIMIT / 8)).collect();
        drop(many);
        let kept = <i32 as Pooled>::kept().lock().map_or(0, |k| k.iter().map(Vec::capacity).sum::<usize>());
        assert!(kept * 4 <= LIMIT);
    }
}
