//! The preset `learned`: forecasts by a network as references.

use augur_core::network::build::{GraphBuilder, ModelBuilder, Weights};
use augur_core::network::Element;
use augur_core::{
    decode, decode_with, encode, inspect, Bound, Decoding, Dtype, Header, Model, Params, Preset,
};
use serde_json::json;
use std::sync::Arc;

/// A network that forecasts a picture of uncorrelated noise which moves by (`dy`, `dx`) points a step: farther than the
/// linear predictor's patches reach. The mean change of such noise is its deviation times the root of 2.
fn mover(dy: i32, dx: i32, frames: usize) -> Arc<Model> {
    let mut g = GraphBuilder::new("forecaster");
    let side = 9;
    let channels = frames + 1;
    let mut weight = vec![0i8; channels * side * side];
    let at = |y: i32, x: i32| ((4 + y) * side as i32 + 4 + x) as usize;
    weight[at(-dy, -dx)] = 64;
    weight[at(0, 0)] = -64;
    let input = g.input(channels, Element::I16);
    // 1024 / (4096 sqrt 2) / 64
    let w = Weights {
        shape: vec![1, channels, side, side],
        weight,
        bias: vec![0],
        multiplier: vec![23170],
        shift: vec![23],
    };
    g.conv("conv2d", input, &w, (-32768, 32767), Element::I16, json!({"stride": 1}));
    g.key("frames", frames).key("levels", 0);
    let bytes = ModelBuilder::new().graph("forecaster", g).to_bytes().unwrap();
    Arc::new(Model::from_bytes(&bytes).unwrap())
}

/// Noise that moves by (3, 4) points a step, with something of its own at each step.
fn moving(steps: usize, levels: usize, height: usize, width: usize) -> Vec<f32> {
    let noise = |seed: usize| {
        let mut z = (seed as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z >> 40) as f32) / (1 << 24) as f32
    };
    let mut out = vec![];
    for t in 0..steps {
        for z in 0..levels {
            for y in 0..height {
                for x in 0..width {
                    let (sy, sx) = (y + 3 * (steps - t), x + 4 * (steps - t));
                    out.push(10.0 + noise((z * 1000 + sy) * 1000 + sx) + 0.01 * noise(out.len() + (1 << 40)));
                }
            }
        }
    }
    out
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn params(shape: &[usize], model: Option<Arc<Model>>) -> Params {
    let mut params = Params::new(Dtype::F32, shape, Bound::Absolute(0.01));
    params.preset = Preset::Learned;
    params.model = model;
    params
}

/// Encodes, decodes, checks the bound; gives the stream.
fn round_trip(params: &Params, values: &[f32]) -> Vec<u8> {
    let raw = bytes(values);
    let stream = encode(params, &raw).unwrap();
    for threads in [1, 2, 3] {
        assert_eq!(encode(&Params { threads, ..params.clone() }, &raw).unwrap(), stream);
        let decoding = Decoding { threads, models: &params.model, ..Decoding::default() };
        let back = decode_with(&stream, &decoding).unwrap();
        for (v, b) in values.iter().zip(back.chunks_exact(4)) {
            let b = f32::from_le_bytes(b.try_into().unwrap());
            assert!((f64::from(*v) - f64::from(b)).abs() <= 0.01 || v.to_bits() == b.to_bits(), "{v} {b}");
        }
    }
    stream
}

#[test]
fn a_forecast_predicts_what_moves_too_fast_for_the_taps() {
    for (shape, levels) in [(vec![8, 40, 52], 1), (vec![8, 3, 37, 45], 3)] {
        let (height, width) = (shape[shape.len() - 2], shape[shape.len() - 1]);
        let values = moving(8, levels, height, width);
        for frames in [2, 3] {
            let model = mover(3, 4, frames);
            let plain = round_trip(&params(&shape, None), &values);
            let stream = round_trip(&params(&shape, Some(Arc::clone(&model))), &values);
            assert!(stream.len() * 4 < plain.len() * 3, "{} {} {shape:?}", stream.len(), plain.len());
            let header = Header::read(&stream).unwrap().0;
            assert_eq!(header.model, Some(model.digest()));
            assert!(inspect(&stream).unwrap().description.contains("forecast"));
            // Balanced, though a model is at hand; and one that forecasts badly is not used.
            let balanced = Params { preset: Preset::Balanced, ..params(&shape, Some(model)) };
            assert_eq!(encode(&balanced, &bytes(&values)).unwrap(), plain);
            let wrong = params(&shape, Some(mover(-4, 1, frames)));
            assert_eq!(Header::read(&round_trip(&wrong, &values)).unwrap().0.model, None);
        }
    }
}

#[test]
fn a_missing_or_wrong_model_is_an_error_that_names_it() {
    let shape = [6, 40, 40];
    let model = mover(3, 4, 2);
    let stream = encode(&params(&shape, Some(Arc::clone(&model))), &bytes(&moving(6, 1, 40, 40))).unwrap();
    let message = decode(&stream, None, 1).unwrap_err().message().to_string();
    assert!(message.contains(&model.digest().to_string()), "{message}");
    let other = Some(mover(1, 1, 2));
    let decoding = Decoding { models: &other, ..Decoding::default() };
    assert!(decode_with(&stream, &decoding).is_err());
}

#[test]
fn special_values_and_bands_go_with_forecasts() {
    let shape = [4, 520, 520];
    let mut values = moving(4, 1, 520, 520);
    for (i, v) in values.iter_mut().enumerate().filter(|(i, _)| i % 520 > 300 && i / 520 % 520 < 100) {
        *v = if i % 3 == 0 { f32::NAN } else { 1e20 };
    }
    let stream = round_trip(&params(&shape, Some(mover(3, 4, 2))), &values);
    assert!(Header::read(&stream).unwrap().0.model.is_some());
    assert!(inspect(&stream).unwrap().description.contains("2 band"));
}

#[test]
fn models_that_are_no_forecasters_leave_the_chunk_balanced() {
    let mut g = GraphBuilder::new("forecaster");
    let input = g.input(5, Element::I16);
    g.layer("space_to_depth", &[input]);
    g.key("frames", 2);
    let bytes_of = ModelBuilder::new().graph("forecaster", g).to_bytes().unwrap();
    let model = Some(Arc::new(Model::from_bytes(&bytes_of).unwrap()));
    let values = moving(6, 1, 30, 30);
    let plain = encode(&params(&[6, 30, 30], None), &bytes(&values)).unwrap();
    assert_eq!(encode(&params(&[6, 30, 30], model), &bytes(&values)).unwrap(), plain);
}

#[test]
fn damaged_streams_with_forecasts_are_errors() {
    let model = Some(mover(3, 4, 2));
    let shape = [4, 24, 28];
    let stream = encode(&params(&shape, model.clone()), &bytes(&moving(4, 1, 24, 28))).unwrap();
    assert!(Header::read(&stream).unwrap().0.model.is_some());
    let decoding = Decoding { models: &model, ..Decoding::default() };
    for at in 0..stream.len().min(400) {
        assert!(decode_with(&stream[..at], &decoding).is_err());
        let mut bad = stream.clone();
        bad[at] ^= 0x11;
        assert!(decode_with(&bad, &decoding).is_err(), "byte {at}");
    }
}
