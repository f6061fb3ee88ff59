//! The preset `learned`: corrections of the linear prediction by a network.

#![allow(clippy::unwrap_used)]

#[path = "support/corrections.rs"]
mod corrections;
#[path = "support/learned.rs"]
mod learned;

use augur_core::lessons::{lessons, Lesson, CHANNELS};
use augur_core::network::build::GraphBuilder;
use augur_core::network::Element;
use augur_core::{check_model, decode, encode, inspect, Header, Params, Preset};
use corrections::{bent, corrector, dense, model};
use learned::{bytes, params, round_trip};
use std::sync::{Arc, Mutex};

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

#[test]
fn what_is_no_corrector_is_refused_and_not_used() {
    let values = bent(4, 20, 24);
    let plain = round_trip(&params(&[4, 20, 24], None), &values);
    let of = |channels: usize| {
        let mut graph = GraphBuilder::new("corrector");
        let input = graph.input(channels, Element::I16);
        dense(&mut graph, input, &[(vec![1; channels], 0)], (16384, 14), (-32768, 32767));
        model(graph)
    };
    assert!(check_model(Preset::Learned, &of(CHANNELS)).is_ok());
    let wrong = of(CHANNELS - 1);
    let why = check_model(Preset::Learned, &wrong).unwrap_err().to_string();
    assert!(why.contains("corrector") && why.contains("71 channels"), "{why}");
    assert_eq!(round_trip(&params(&[4, 20, 24], Some(wrong)), &values), plain);
}

#[test]
fn a_stream_with_corrections_needs_its_model() {
    let values = bent(6, 64, 80);
    let stream = round_trip(&params(&[6, 64, 80], Some(model(corrector(1)))), &values);
    let why = decode(&stream, None, 1).unwrap_err().to_string();
    assert!(why.contains(&model(corrector(1)).digest().to_string()), "{why}");
}

#[test]
fn lessons_are_what_the_predictor_misses() {
    let shape = [6, 64, 80];
    let values = bent(6, 64, 80);
    let params = params(&shape, None);
    let seen = Mutex::new((0, 0.0));
    let show = |lesson: &Lesson| {
        let mut seen = seen.lock().unwrap();
        for &j in lesson.points {
            assert!(lesson.spread[j] > 0 && lesson.inputs.len() >= (CHANNELS - 1) * lesson.stride + j);
            seen.0 += 1;
            seen.1 += f64::from(lesson.missed[j].abs()) / f64::from(lesson.step);
        }
    };
    // Those who look on change nothing.
    assert_eq!(lessons(&params, &bytes(&values), &show).unwrap(), encode(&params, &bytes(&values)).unwrap());
    let (count, missed) = *seen.lock().unwrap();
    let points = values.len();
    assert!((points * 9 / 10..=points).contains(&count), "15 of 16 points, {count} of {points}");
    assert!(missed / count as f64 > 1.0, "in quantisation steps: {}", missed / count as f64);
}
