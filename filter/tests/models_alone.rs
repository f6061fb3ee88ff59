//! A host without symbols (linked statically, exporting nothing) reads chunks that need a model, from the user's store.
//!
//! One test: it sets environment variables of the process.

mod support;

use augur_core::{Bound, ByteOrder, Digest, Dtype, Header, Model, Params, Preset};
use augur_filter::cd_values::{Expanded, Settings};
use augur_filter::h5types::H5Z_FLAG_REVERSE;
use augur_filter::models::store::{Store, PATH_VARIABLE, STORE_VARIABLE};
use std::ffi::c_void;
use std::path::Path;
use std::sync::Arc;
use support::model;

const SHAPE: [usize; 3] = [6, 40, 41];

/// Noise that moves by 3 rows and 4 columns per step.
fn travelling() -> Vec<f32> {
    let [steps, height, width] = SHAPE;
    let noise = |y: usize, x: usize| {
        let mixed = (y * 1_000_003 + x).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) as f64 / u64::MAX as f64
    };
    let point = |t: usize, y: usize, x: usize| noise(y + 3 * (steps - t), x + 4 * (steps - t)) as f32;
    let (area, points) = (height * width, steps * height * width);
    (0..points).map(|i| point(i / area, i / width % height, i % width)).collect()
}

/// What the filter makes of the stream; `None` where it fails.
fn read(words: &[u32], stream: &[u8]) -> Option<Vec<u8>> {
    let filter = augur_filter::class().filter.expect("a filter function");
    let mut size = stream.len();
    // SAFETY: a buffer of malloc's with the stream, as HDF5 passes it; the filter puts the chunk there, or in a buffer
    // of its own, of at least as many bytes as it returns.
    unsafe {
        let mut data: *mut c_void = libc::malloc(size);
        assert!(!data.is_null());
        std::ptr::copy_nonoverlapping(stream.as_ptr(), data.cast(), size);
        let n = filter(H5Z_FLAG_REVERSE, words.len(), words.as_ptr(), stream.len(), &mut size, &mut data);
        let chunk = (n > 0).then(|| std::slice::from_raw_parts(data.cast::<u8>(), n).to_vec());
        libc::free(data);
        chunk
    }
}

#[test]
fn a_host_without_symbols_finds_models_in_folders() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("alone");
    let _ = std::fs::remove_dir_all(&folder);
    std::env::set_var(STORE_VARIABLE, folder.join("store"));
    std::env::set_var(PATH_VARIABLE, folder.join("searched"));
    let bytes = model("alone");
    let (values, bound) = (travelling(), Bound::Absolute(1e-2));
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let params = Params {
        preset: Preset::Learned,
        model: Some(Arc::new(Model::from_bytes(&bytes).expect("a model"))),
        ..Params::new(Dtype::F32, &SHAPE, bound)
    };
    let stream = augur_core::encode(&params, &raw).expect("a stream");
    let digest = Digest::of(&bytes);
    assert_eq!(Header::read(&stream).expect("a header").0.model, Some(digest));
    let words = Expanded {
        settings: Settings { preset: Preset::Learned, ..Settings::new(bound) },
        own_fill: None,
        dtype: Dtype::F32,
        order: ByteOrder::Little,
        shape: SHAPE.to_vec(),
        time_axis: 0,
        preceded: false,
        nonce: 1,
    };
    let words = words.to_words().expect("words");
    assert_eq!(read(&words, &stream), None, "the model is nowhere");
    let store = Store::of_user().expect("a store");
    assert_eq!(store.folder(), folder.join("store"));
    store.add(&bytes).expect("room");
    let chunk = read(&words, &stream).expect("the model is in the store");
    let found = chunk.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes")));
    assert!(found.zip(&values).all(|(found, v)| (found - v).abs() <= 1e-2));
    // From now on the process has it, and whatever the words say.
    assert!(store.remove(&digest).expect("removed"));
    assert_eq!(read(&[], &stream), Some(chunk));
}
