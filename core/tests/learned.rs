//! The preset `learned`: forecasts by a network as references.

#![allow(clippy::unwrap_used)]

#[path = "support/forecasts.rs"]
mod forecasts;
#[path = "support/learned.rs"]
mod learned;

use augur_core::network::build::{GraphBuilder, ModelBuilder};
use augur_core::network::Element;
use augur_core::{decode, decode_with, encode, inspect, Decoding, Header, Model, Params, Preset};
use forecasts::{bridge, mover, moving};
use learned::{bytes, params, round_trip};
use std::sync::Arc;

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
fn an_interpolation_predicts_the_middle_of_two_frames() {
    for (shape, levels) in [(vec![9, 40, 52], 1), (vec![9, 3, 37, 45], 3)] {
        let (height, width) = (shape[shape.len() - 2], shape[shape.len() - 1]);
        let values = moving(9, levels, height, width);
        let plain = round_trip(&params(&shape, None), &values);
        let stream = round_trip(&params(&shape, Some(bridge(3, 4))), &values);
        // Four of nine frames are in the middle of two steps.
        assert!(stream.len() * 100 < plain.len() * 92, "{} {} {shape:?}", stream.len(), plain.len());
        assert!(inspect(&stream).unwrap().description.contains("interpolation"));
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
    assert!(inspect(&stream).unwrap().description.contains("4 band"));
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
