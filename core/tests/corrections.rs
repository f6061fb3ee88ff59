//! The preset `learned`: corrections of the linear prediction by a network.

#![allow(clippy::unwrap_used)]

#[path = "support/corrections.rs"]
mod corrections;
#[path = "support/forecasts.rs"]
mod forecasts;

use augur_core::lessons::{lessons, Lesson, CHANNELS, ONE, OUTPUT_ONE};
use augur_core::network::build::{GraphBuilder, ModelBuilder};
use augur_core::network::Element;
use augur_core::{
    check_model, decode, decode_with, encode, inspect, Bound, Decoding, Dtype, Header, Model, Params, Preset,
};
use corrections::{bent, corrector, dense, model};
use std::sync::{Arc, Mutex};

const BOUND: f64 = 0.01;

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn params(shape: &[usize], model: Option<Arc<Model>>) -> Params {
    let mut params = Params::new(Dtype::F32, shape, Bound::Absolute(BOUND));
    params.preset = Preset::Learned;
    params.model = model;
    params
}

/// Encodes, decodes, checks the bound; gives the stream, the same for any number of threads.
fn round_trip(params: &Params, values: &[f32]) -> Vec<u8> {
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

#[test]
fn a_corrector_predicts_what_no_linear_filter_can() {
    for (height, width) in [(64, 80), (37, 131), (9, 400)] {
        let shape = [6, height, width];
        let values = bent(6, height, width);
        let plain = round_trip(&params(&shape, None), &values);
        let good = model(corrector(1));
        let stream = round_trip(&params(&shape, Some(Arc::clone(&good))), &values);
        assert!(stream.len() * 4 < plain.len() * 3, "{} {}", stream.len(), plain.len());
        assert_eq!(Header::read(&stream).unwrap().0.model, Some(good.digest()));
        assert!(inspect(&stream).unwrap().description.contains("corrected by a network"));
        // One that is always wrong is not used; neither is a good one by `balanced`.
        assert_eq!(round_trip(&params(&shape, Some(model(corrector(-1)))), &values), plain);
        let balanced = Params { preset: Preset::Balanced, ..params(&shape, Some(good)) };
        assert_eq!(encode(&balanced, &bytes(&values)).unwrap(), plain);
    }
}
