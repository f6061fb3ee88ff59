//! The presets `tezip` and `tezip+`: recurrent networks, key frames, runs and ranks, with a bound that holds.

#![allow(clippy::unwrap_used)]

#[path = "support/forecasts.rs"]
mod forecasts;
#[path = "support/oracle.rs"]
mod oracle;

use augur_core::params::{KeyFrames, Windows};
use augur_core::{
    decode_with, encode, encode_with, inspect, predictions, Bound, ByteOrder, Decoding, Dtype, Header,
    Memory, Method, Model, Params, Preset,
};
use forecasts::{mover, moving, recurrent};
use std::sync::Arc;

fn pack(dtype: Dtype, values: &[f64]) -> Vec<u8> {
    let mut out = vec![];
    values.iter().for_each(|v| oracle::push(&mut out, dtype, ByteOrder::Little, *v));
    out
}

/// The moving picture as counts of an integer type, or as it is.
fn picture(dtype: Dtype, steps: usize, levels: usize, height: usize, width: usize) -> Vec<u8> {
    let (low, scale) = match dtype {
        Dtype::U8 => (10.0, 250.0),
        Dtype::U16 | Dtype::I16 => (10.0, 30_000.0),
        _ => (0.0, 1.0),
    };
    let values: Vec<f64> = moving(steps, levels, height, width)
        .iter()
        .map(|v| ((f64::from(*v) - low) * scale).max(0.0))
        .collect();
    pack(dtype, &values)
}

fn params(dtype: Dtype, shape: &[usize], bound: Bound, model: Option<Arc<Model>>) -> Params {
    let mut params = Params::new(dtype, shape, bound);
    params.preset = Preset::Tezip;
    params.model = model;
    params
}

/// Encodes, decodes with several numbers of threads, checks every point; gives the stream.
fn round_trip(params: &Params, raw: &[u8]) -> Vec<u8> {
    let stream = encode(params, raw).unwrap();
    for threads in [1, 3] {
        assert_eq!(encode(&Params { threads, ..params.clone() }, raw).unwrap(), stream);
        let decoding = Decoding { threads, models: &params.model, ..Decoding::default() };
        let back = decode_with(&stream, &decoding).unwrap();
        oracle::check(params, raw, &back).unwrap();
    }
    stream
}

fn description(stream: &[u8]) -> String {
    inspect(stream).unwrap().description
}

#[test]
fn the_bound_holds_in_every_mode_for_images_and_floats() {
    let shape = [7, 40, 50];
    for dtype in [Dtype::U8, Dtype::U16, Dtype::F32] {
        let raw = picture(dtype, 7, 1, 40, 50);
        let unit = match dtype {
            Dtype::U8 => 1.0,
            Dtype::U16 => 120.0,
            _ => 0.004,
        };
        for bound in [
            Bound::Absolute(7.5 * unit),
            Bound::Absolute(0.7 * unit),
            Bound::Relative { rel: 0.031, range: None },
            Bound::AbsRel { abs: 12.3 * unit, rel: 0.02 },
            Bound::PointwiseRelative { rel: 0.1, floor: 0.0 },
            Bound::PointwiseRelative { rel: 0.0371, floor: 9.0 * unit },
            Bound::Psnr(40.0),
            Bound::Lossless,
        ] {
            for model in
                [None, Some(recurrent(3, 4, 1, false)), Some(recurrent(3, 4, 1, true)), Some(mover(3, 4, 2))]
            {
                let stream = round_trip(&params(dtype, &shape, bound, model), &raw);
                let direct = description(&stream).starts_with("direct");
                let lossless = Header::read(&stream).unwrap().0.method == Method::Lossless;
                assert!(direct || lossless, "{dtype:?} {bound:?}: {}", description(&stream));
            }
        }
    }
}

#[test]
fn a_recurrent_network_predicts_what_the_frame_before_does_not() {
    for (levels, channels) in [(1, 1), (3, 3), (4, 2), (3, 1)] {
        for changes in [false, true] {
            let model = Some(recurrent(3, 4, channels, changes));
            let raw = picture(Dtype::F32, 9, levels, 40, 52);
            let shape = [9, levels, 40, 52];
            let with = params(Dtype::F32, &shape, Bound::Absolute(0.05), model);
            let stream = round_trip(&with, &raw);
            let plain = round_trip(&Params { model: None, ..with.clone() }, &raw);
            // From the third frame on there is next to nothing left.
            // But at the borders, where the picture comes in.
            assert!(
                stream.len() * 4 < plain.len() * 3,
                "{} {} {levels} {changes}",
                stream.len(),
                plain.len()
            );
            assert!(description(&stream).contains("by a recurrent network"), "{}", description(&stream));
            assert_eq!(Header::read(&stream).unwrap().0.model, with.model.as_ref().map(|m| m.digest()));
            let plus = Params { preset: Preset::TezipPlus, ..with.clone() };
            let reference = round_trip(&plus, &raw);
            let balanced = round_trip(&Params { preset: Preset::Balanced, model: None, ..with }, &raw);
            assert!(reference.len() * 4 < balanced.len() * 3, "{} {}", reference.len(), balanced.len());
            assert!(description(&reference).contains("multiscale"), "{}", description(&reference));
        }
    }
}

#[test]
fn key_frames_come_where_they_are_asked_for() {
    let shape = [12, 30, 40];
    let raw = picture(Dtype::U8, 12, 1, 30, 40);
    let mut with = params(Dtype::U8, &shape, Bound::Absolute(9.0), Some(recurrent(3, 4, 1, true)));
    let mut keys = |keys, warm_up, open_loop| {
        with.windows = Windows { keys, warm_up, open_loop };
        let text = description(&round_trip(&with, &raw));
        let count = text.strip_prefix("direct with ").unwrap().split(' ').next().unwrap().to_string();
        assert_eq!(text.contains("open loop"), open_loop, "{text}");
        count.parse::<usize>().unwrap()
    };
    for open_loop in [false, true] {
        assert_eq!(keys(KeyFrames::First, 0, open_loop), 1);
        assert_eq!(keys(KeyFrames::First, 3, open_loop), 3);
        assert_eq!(keys(KeyFrames::Every(4), 1, open_loop), 3);
        assert_eq!(keys(KeyFrames::Every(5), 2, open_loop), 4);
        // Never, and always but where the forecast is right.
        assert_eq!(keys(KeyFrames::Beyond(1.0), 1, open_loop), 1);
        assert_eq!(keys(KeyFrames::Beyond(2f64.powi(-30)), 1, open_loop), 12);
    }
    // A warm-up longer than the chunk.
    assert_eq!(keys(KeyFrames::First, 7, false), 7);
    let short = [4, 30, 40];
    let with =
        Params { shape: short.to_vec(), windows: Windows { warm_up: 7, ..Windows::default() }, ..with };
    round_trip(&with, &raw[..4 * 1200]);
}

#[test]
fn a_new_scene_begins_with_a_key_frame() {
    let (first, second) =
        (picture(Dtype::U8, 1, 1, 30, 40), picture(Dtype::U8, 3, 1, 30, 40)[..1200].to_vec());
    let raw = [first.repeat(5), second.repeat(4)].concat();
    let mut with = params(Dtype::U8, &[9, 30, 40], Bound::Absolute(3.0), None);
    let whole = round_trip(&with, &raw);
    assert!(description(&whole).starts_with("direct with 1 key frame(s) of 9"));
    with.windows.keys = KeyFrames::Beyond(0.01);
    let text = description(&round_trip(&with, &raw));
    assert!(text.starts_with("direct with 2 key frame(s) of 9"), "{text}");
}

#[test]
fn black_frames_single_frames_and_odd_sizes_come_back() {
    for (steps, levels, height, width) in
        [(1, 1, 30, 40), (2, 1, 1, 7), (5, 3, 17, 23), (6, 1, 1, 1), (2, 2, 5, 1)]
    {
        for black in [0, 1, 2] {
            let mut raw = picture(Dtype::U8, steps, levels, height, width);
            let area = levels * height * width;
            let from = (black * area).min(raw.len());
            let to = (from + area).min(raw.len());
            raw[from..to].fill(0);
            for bound in [Bound::Absolute(3.7), Bound::PointwiseRelative { rel: 0.3, floor: 0.0 }] {
                for changes in [false, true] {
                    let model = Some(recurrent(3, 4, 1, changes));
                    round_trip(&params(Dtype::U8, &[steps, levels, height, width], bound, model), &raw);
                }
            }
        }
    }
}

#[test]
fn special_values_are_exact() {
    let shape = [5, 31, 37];
    let mut values: Vec<f64> = moving(5, 1, 31, 37).into_iter().map(f64::from).collect();
    for (i, v) in values.iter_mut().enumerate().filter(|(i, _)| i % 5 == 0 || i % 37 > 30) {
        *v = [f64::NAN, f64::INFINITY, 1e20, f64::NEG_INFINITY][i % 4];
    }
    let raw = pack(Dtype::F32, &values);
    for windows in [Windows::default(), Windows { open_loop: true, keys: KeyFrames::Every(3), warm_up: 2 }] {
        let mut with = params(Dtype::F32, &shape, Bound::Absolute(0.02), Some(recurrent(3, 4, 1, true)));
        with.windows = windows;
        round_trip(&with, &raw);
    }
}

#[test]
fn models_for_other_channels_are_not_used() {
    let raw = picture(Dtype::F32, 6, 2, 20, 24);
    let with = params(Dtype::F32, &[6, 2, 20, 24], Bound::Absolute(0.05), Some(recurrent(3, 4, 3, true)));
    let stream = round_trip(&with, &raw);
    assert_eq!(Header::read(&stream).unwrap().0.model, None);
    assert_eq!(stream, round_trip(&Params { model: None, ..with }, &raw));
}

#[test]
fn counts_that_were_rounded_once_are_not_rounded_again() {
    let shape = [6, 24, 30];
    let raw = picture(Dtype::U8, 6, 1, 24, 30);
    for bound in [Bound::Absolute(9.5), Bound::PointwiseRelative { rel: 0.2, floor: 0.0 }] {
        let with = params(Dtype::U8, &shape, bound, None);
        let memory = Memory::new();
        let decoding = Decoding { memory: Some(&memory), ..Decoding::default() };
        let mut truth = raw.clone();
        let mut stream = encode_with(&with, &truth, &memory).unwrap();
        for round in 0..12u8 {
            let mut chunk = decode_with(&stream, &decoding).unwrap();
            let t = usize::from(round) % 6;
            let new: Vec<u8> = (0..720).map(|i| (i * 7 + usize::from(round) * 31) as u8).collect();
            chunk[t * 720..][..720].copy_from_slice(&new);
            truth[t * 720..][..720].copy_from_slice(&new);
            stream = encode_with(&with, &chunk, &memory).unwrap();
            let back = decode_with(&stream, &decoding).unwrap();
            oracle::check(&with, &truth, &back).unwrap_or_else(|e| panic!("{bound:?} round {round}: {e}"));
        }
    }
}

#[test]
fn damaged_streams_are_errors() {
    let model = Some(recurrent(3, 4, 1, true));
    let with = params(Dtype::U8, &[5, 20, 24], Bound::Absolute(7.0), model);
    let stream = encode(&with, &picture(Dtype::U8, 5, 1, 20, 24)).unwrap();
    assert!(Header::read(&stream).unwrap().0.model.is_some());
    let decoding = Decoding { models: &with.model, ..Decoding::default() };
    for at in 0..stream.len().min(500) {
        assert!(decode_with(&stream[..at], &decoding).is_err());
        let mut bad = stream.clone();
        bad[at] ^= 0x24;
        assert!(decode_with(&bad, &decoding).is_err(), "byte {at}");
    }
}

#[test]
fn predictions_can_be_looked_at() {
    let model = Some(recurrent(3, 4, 1, false));
    let raw = picture(Dtype::U8, 6, 1, 30, 40);
    let with = params(Dtype::U8, &[6, 30, 40], Bound::Absolute(2.0), model);
    let stream = round_trip(&with, &raw);
    let decoding = Decoding { models: &with.model, ..Decoding::default() };
    let predicted = predictions(&stream, &decoding).unwrap();
    assert_eq!(predicted.len(), raw.len());
    assert!(predicted[..1200].iter().all(|v| *v == predicted[0]));
    // Where the picture came from in the last frame, the network knows it.
    let at = |y: usize, x: usize| 5 * 1200 + y * 40 + x;
    let far = (12..30).flat_map(|y| (16..40).map(move |x| at(y, x)));
    assert!(far.clone().all(|i| predicted[i].abs_diff(raw[i]) <= 4));
    let balanced = encode(&Params { preset: Preset::Balanced, ..with }, &raw).unwrap();
    assert!(predictions(&balanced, &Decoding::default()).is_err());
}

#[test]
fn parts_of_frames_that_were_rounded_once_are_not_rounded_again() {
    for (dtype, unit) in [(Dtype::U8, 1.0), (Dtype::U16, 50.0)] {
        for bound in [
            Bound::Absolute(7.5 * unit),
            Bound::Absolute(2.2),
            Bound::Relative { rel: 0.1, range: None },
            Bound::PointwiseRelative { rel: 0.2, floor: 0.0 },
        ] {
            let with = params(dtype, &[6, 24, 30], bound, None);
            let memory = Memory::new();
            let decoding = Decoding { memory: Some(&memory), ..Decoding::default() };
            let mut truth = picture(dtype, 6, 1, 24, 30);
            let size = dtype.size();
            let mut stream = encode_with(&with, &truth, &memory).unwrap();
            for round in 0..9usize {
                let mut chunk = decode_with(&stream, &decoding).unwrap();
                // A patch in every frame; other chunks are decoded in between.
                for (t, y, x) in
                    (0..6).flat_map(|t| (4..11).flat_map(move |y| (5..9).map(move |x| (t, y, x))))
                {
                    let at = ((t * 24 + y + round) * 30 + x + 2 * round) * size;
                    let new = (t * 31 + y * 7 + x * 13 + round * 57) as u8;
                    chunk[at..at + size].fill(new);
                    truth[at..at + size].fill(new);
                }
                let other = picture(dtype, 6, 1, 30, 24);
                decode_with(&encode_with(&with, &other, &memory).unwrap(), &decoding).unwrap();
                stream = encode_with(&with, &chunk, &memory).unwrap();
                let back = decode_with(&stream, &decoding).unwrap();
                oracle::check(&with, &truth, &back)
                    .unwrap_or_else(|e| panic!("{dtype:?} {bound:?} round {round}: {e}"));
            }
        }
    }
}
