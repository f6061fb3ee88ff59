//! What tests of the preset `learned` share.

// Each test binary uses a part of it.
#![allow(clippy::unwrap_used, dead_code)]

use augur_core::{decode_with, encode, Bound, Decoding, Dtype, Model, Params, Preset};
use std::sync::Arc;

const BOUND: f64 = 0.01;

/// Values as a chunk has them.
pub fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// The preset `learned` with this model.
pub fn params(shape: &[usize], model: Option<Arc<Model>>) -> Params {
    let mut params = Params::new(Dtype::F32, shape, Bound::Absolute(BOUND));
    params.preset = Preset::Learned;
    params.model = model;
    params
}

/// Encodes, decodes, checks the bound; gives the stream, the same for any number of threads.
pub fn round_trip(params: &Params, values: &[f32]) -> Vec<u8> {
    let raw = bytes(values);
    let stream = encode(params, &raw).unwrap();
    for threads in [1, 2, 3] {
        assert_eq!(encode(&Params { threads, ..params.clone() }, &raw).unwrap(), stream);
        let decoding = Decoding { threads, models: &params.model, ..Decoding::default() };
        let back = decode_with(&stream, &decoding).unwrap();
        for (v, b) in values.iter().zip(back.chunks_exact(4)) {
            let b = f32::from_le_bytes(b.try_into().unwrap());
            assert!((f64::from(*v) - f64::from(b)).abs() <= BOUND || v.to_bits() == b.to_bits(), "{v} {b}");
        }
    }
    stream
}
