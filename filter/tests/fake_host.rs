//! The filter function as a host calls it: through its pointer, with buffers from malloc. This program has
//! no libhdf5, like a host that was linked statically and exports nothing.

use augur_core::{Bound, ByteOrder, Dtype};
use augur_filter::cd_values::{Expanded, Settings};
use augur_filter::h5types::H5Z_FLAG_REVERSE;
use std::ffi::c_void;

/// A buffer of malloc's, as HDF5 passes it.
struct Buffer {
    data: *mut c_void,
    size: usize,
}

impl Buffer {
    fn new(bytes: &[u8], size: usize) -> Self {
        // SAFETY: at least one byte is asked for, and `size` is at least the length.
        let data = unsafe { libc::malloc(size.max(1)) };
        assert!(!data.is_null() && size >= bytes.len());
        // SAFETY: the new buffer has room for the bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), data.cast(), bytes.len()) };
        Self { data, size }
    }

    fn bytes(&self, n: usize) -> &[u8] {
        assert!(n <= self.size, "{n} bytes in a buffer of {}", self.size);
        // SAFETY: the filter states that so many bytes are there.
        unsafe { std::slice::from_raw_parts(self.data.cast(), n) }
    }

    /// Calls the filter; returns its result.
    fn run(&mut self, flags: u32, words: &[u32], n: usize) -> usize {
        let filter = augur_filter::class().filter.expect("a filter function");
        // SAFETY: as HDF5 calls it.
        unsafe { filter(flags, words.len(), words.as_ptr(), n, &mut self.size, &mut self.data) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: malloc's or the filter's, which uses malloc here.
        unsafe { libc::free(self.data) };
    }
}

fn words(dtype: Dtype, shape: &[usize]) -> [u32; 16] {
    let settings = Settings::new(Bound::Absolute(1e-3));
    let expanded = Expanded {
        settings,
        own_fill: None,
        dtype,
        order: ByteOrder::Little,
        shape: shape.to_vec(),
        time_axis: 0,
        preceded: false,
        nonce: 1,
    };
    expanded.to_words().expect("words")
}

fn raw(n: usize) -> Vec<u8> {
    (0..n).flat_map(|i| ((i as f32 * 0.01).sin()).to_le_bytes()).collect()
}

#[test]
fn a_host_without_symbols_writes_lossless_and_reads() {
    let raw = raw(1000);
    for words in [&words(Dtype::F32, &[10, 100])[..], &[1, 1, 0, 0x3ff0_0000], &[]] {
        let mut buffer = Buffer::new(&raw, raw.len());
        let n = buffer.run(0, words, raw.len());
        assert!(n > 0 && n != raw.len() && n <= raw.len() + 64);
        let stream = buffer.bytes(n).to_vec();
        // HDF5 reads the stream into a buffer of just its size.
        let mut buffer = Buffer::new(&stream, n);
        let n = buffer.run(H5Z_FLAG_REVERSE, words, n);
        assert_eq!(buffer.bytes(n), raw);
    }
}

#[test]
fn incompressible_chunks_grow_into_a_new_buffer() {
    let mut state = 1u64;
    let noise: Vec<u8> = (0..4000)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        })
        .collect();
    let mut buffer = Buffer::new(&noise, noise.len());
    let n = buffer.run(0, &words(Dtype::F32, &[10, 100]), noise.len());
    assert!(n > noise.len() && n <= noise.len() + 64 && buffer.size >= n);
    let n = buffer.run(H5Z_FLAG_REVERSE, &words(Dtype::F32, &[10, 100]), n);
    assert_eq!(buffer.bytes(n), noise);
}

#[test]
fn failures_return_zero_and_leave_the_buffer_alone() {
    let w = words(Dtype::F32, &[10, 100]);
    let raw = raw(1000);
    let mut buffer = Buffer::new(&raw, raw.len());
    let n = buffer.run(0, &w, raw.len());
    let stream = buffer.bytes(n).to_vec();
    for cut in [1, 3, 10, n / 2, n - 1] {
        let mut buffer = Buffer::new(&stream[..cut], cut);
        let (data, size) = (buffer.data, buffer.size);
        assert_eq!(buffer.run(H5Z_FLAG_REVERSE, &w, cut), 0, "cut to {cut}");
        assert_eq!((buffer.data, buffer.size), (data, size));
        assert_eq!(buffer.bytes(cut), &stream[..cut]);
    }
    let mut garbage = Buffer::new(&raw, raw.len());
    assert_eq!(garbage.run(H5Z_FLAG_REVERSE, &w, raw.len()), 0);
    assert_eq!(garbage.bytes(raw.len()), raw);
}

#[test]
fn nonsense_from_the_host_is_a_failure() {
    let mut buffer = Buffer::new(&[1, 2, 3], 3);
    assert_eq!(buffer.run(0, &[1], 0), 0);
    let filter = augur_filter::class().filter.expect("a filter function");
    let mut size = 3;
    let mut none: *mut c_void = std::ptr::null_mut();
    // SAFETY: null pointers are refused before they are used.
    unsafe {
        assert_eq!(filter(0, 0, std::ptr::null(), 3, &mut size, &mut none), 0);
        assert_eq!(filter(0, 0, std::ptr::null(), 3, std::ptr::null_mut(), &mut none), 0);
        assert_eq!(filter(0, 0, std::ptr::null(), 3, &mut size, std::ptr::null_mut()), 0);
    }
}

#[test]
fn many_threads_may_call_at_once() {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for n in 1..40 {
                    let raw = raw(n);
                    let mut buffer = Buffer::new(&raw, raw.len());
                    let w = words(Dtype::F32, &[n]);
                    let len = buffer.run(0, &w, raw.len());
                    let len = buffer.run(H5Z_FLAG_REVERSE, &w, len);
                    assert_eq!(buffer.bytes(len), raw);
                }
            });
        }
    });
}
