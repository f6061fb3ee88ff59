//! The presets `ae-sz`, `ae-sz+` and `cae`: blocks, networks that know them, and what no network knows.

#![allow(clippy::unwrap_used)]

#[path = "support/autoencoders.rs"]
mod autoencoders;
#[path = "support/forecasts.rs"]
mod forecasts;

use augur_core::{decode, decode_with, encode, inspect, Bound, Decoding, Dtype, Model, Params, Preset};
use autoencoders::{in_boxes, patterned, patterns};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

fn bytes(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect()
}

/// Encodes and decodes, checks the bound, and that threads change nothing; the stream.
fn checked(params: &Params, raw: &[u8], absolute: f64) -> Vec<u8> {
    let stream = encode(params, raw).unwrap();
    let parallel = Params { threads: 3, ..params.clone() };
    assert_eq!(encode(&parallel, raw).unwrap(), stream);
    let decoding = |threads| Decoding { threads, models: &params.model, ..Decoding::default() };
    let decoded = decode_with(&stream, &decoding(1)).unwrap();
    assert_eq!(decode_with(&stream, &decoding(2)).unwrap(), decoded);
    let value = |b: &[u8]| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    for (i, (a, b)) in raw.chunks_exact(4).zip(decoded.chunks_exact(4)).enumerate() {
        let near = (value(a) - value(b)).abs() <= absolute;
        assert!(near || a == b, "point {i}: {} became {}", value(a), value(b));
    }
    stream
}

fn params(shape: &[usize], preset: Preset, model: Option<Arc<Model>>) -> Params {
    Params { preset, model, ..Params::new(Dtype::F32, shape, Bound::Absolute(0.1)) }
}

#[test]
fn networks_are_used_where_they_know_the_field() {
    let shape = [16, 40, 48];
    let cases = [
        (Preset::AeSz, [1, 8, 8], "swae", None),
        (Preset::AeSz, [4, 8, 8], "swae", Some("time")),
        (Preset::AeSzPlus, [4, 8, 8], "swae", None),
        (Preset::Cae, [1, 1, 64], "cae", None),
    ];
    for (preset, block, kind, third) in cases {
        let model = patterns(block, kind, third);
        let values = match kind {
            "cae" => patterned(shape.iter().product(), 0.1, |i| (i / 64, i % 64)),
            _ => patterned(shape.iter().product(), 0.1, in_boxes(shape, block)),
        };
        let raw = bytes(&values);
        let with = checked(&params(&shape, preset, Some(model)), &raw, 0.1);
        let without = checked(&params(&shape, preset, None), &raw, 0.1);
        let info = inspect(&with).unwrap();
        assert!(info.header.model.is_some(), "{preset:?} {block:?}: {}", info.description);
        assert!(
            3 * with.len() < without.len(),
            "{preset:?} {block:?}: {} beside {}",
            with.len(),
            without.len()
        );
        let word = if preset == Preset::AeSzPlus { "reconstructions" } else { "by network" };
        assert!(info.description.contains(word), "{}", info.description);
    }
}

#[test]
fn levels_are_the_third_axis_where_the_model_says_so() {
    let values = patterned(2 * 8 * 24 * 24, 0.1, in_boxes([16, 24, 24], [4, 8, 8]));
    let raw = bytes(&values);
    let model = |third| Some(patterns([4, 8, 8], "swae", Some(third)));
    for preset in [Preset::AeSz, Preset::AeSzPlus] {
        let right = checked(&params(&[2, 8, 24, 24], preset, model("level")), &raw, 0.1);
        let wrong = checked(&params(&[2, 8, 24, 24], preset, model("time")), &raw, 0.1);
        assert!(2 * right.len() < wrong.len(), "{preset:?}: {} beside {}", right.len(), wrong.len());
    }
}

#[test]
fn blocks_of_any_chunk_keep_the_bound() {
    let model = patterns([4, 8, 8], "swae", None);
    let runs = patterns([1, 1, 64], "cae", None);
    for shape in
        [&[1, 8, 8][..], &[5, 7, 13], &[3, 1, 17], &[17], &[2, 3, 5, 11], &[1, 1, 1, 2], &[4, 200, 3]]
    {
        for (preset, model) in [
            (Preset::AeSz, Some(&model)),
            (Preset::AeSzPlus, Some(&model)),
            (Preset::Cae, Some(&runs)),
            (Preset::AeSz, None),
            (Preset::Cae, None),
        ] {
            let points: usize = shape.iter().product();
            let mut values = patterned(points, 0.3, |i| (i / 64, i % 64));
            checked(&params(shape, preset, model.cloned()), &bytes(&values), 0.1);
            // Special values of every kind within blocks.
            for (i, v) in
                [f64::NAN, f64::INFINITY, -9999.0, 9.969209968386869e36, 0.0].into_iter().enumerate()
            {
                values.iter_mut().skip(3 * i).step_by(11).for_each(|x| *x = v);
            }
            checked(&params(shape, preset, model.cloned()), &bytes(&values), 0.1);
        }
    }
}

#[test]
fn reconstructions_never_cost_more_than_their_name() {
    // A field that the model does not know.
    let shape = [8, 40, 40];
    let values: Vec<f64> = (0..8 * 1600)
        .map(|i| 5.0 * ((i % 40) as f64 * 0.2 + (i / 1600) as f64 * 0.3).sin() + (i / 40 % 40) as f64)
        .collect();
    let plain = checked(&params(&shape, Preset::Balanced, None), &bytes(&values), 0.1);
    let model = patterns([4, 8, 8], "swae", None);
    let with = checked(&params(&shape, Preset::AeSzPlus, Some(model)), &bytes(&values), 0.1);
    assert!(with.len() <= plain.len() + 48);
}

#[test]
fn large_chunks_are_coded_in_parts() {
    let shape = [8, 300, 512];
    let values = patterned(shape.iter().product(), 0.1, in_boxes(shape, [4, 8, 8]));
    let raw = bytes(&values);
    for (preset, model) in [
        (Preset::AeSz, patterns([4, 8, 8], "swae", None)),
        (Preset::AeSzPlus, patterns([4, 8, 8], "swae", None)),
        (Preset::Cae, patterns([1, 1, 64], "cae", None)),
    ] {
        let stream = checked(&params(&shape, preset, Some(model)), &raw, 0.1);
        let description = inspect(&stream).unwrap().description;
        assert!(description.contains("2 band(s)"), "{description}");
    }
}

#[test]
fn decoded_steps_stay_as_they_are_where_blocks_reach_into_others() {
    // Runs of 512 values in steps of 300.
    let shape = [8, 15, 20];
    let values: Vec<f64> = (0..8 * 300).map(|i| ((i * i) % 1009) as f64 * 0.37 + (i % 20) as f64).collect();
    for preset in [Preset::AeSz, Preset::Cae] {
        let params = params(&shape, preset, None);
        let mut raw = decode(&encode(&params, &bytes(&values)).unwrap(), None, 1).unwrap();
        // Another process, which remembers nothing, writes one step again.
        let first = bytes(&values.iter().skip(7).take(300).map(|v| v + 3.1).collect::<Vec<_>>());
        let at = 3 * 4 * 300;
        raw[at..at + 1200].copy_from_slice(&first);
        let again = decode(&checked(&params, &raw, 0.1), None, 1).unwrap();
        assert!(again[..at] == raw[..at] && again[at + 1200..] == raw[at + 1200..], "{preset:?}");
    }
}

#[test]
fn models_that_are_no_autoencoders_are_left_out() {
    let values = patterned(8 * 24 * 24, 0.1, in_boxes([8, 24, 24], [4, 8, 8]));
    let raw = bytes(&values);
    for preset in [Preset::AeSz, Preset::AeSzPlus, Preset::Cae] {
        let other = forecasts::mover(3, 4, 2);
        let with = checked(&params(&[8, 24, 24], preset, Some(other)), &raw, 0.1);
        assert_eq!(with, checked(&params(&[8, 24, 24], preset, None), &raw, 0.1));
    }
}

/// The stream with the checksums of its payload and header made right.
fn repaired(mut stream: Vec<u8>, header: usize) -> Vec<u8> {
    let payload = xxh3_64(&stream[header..]) as u32;
    let len = (stream.len() - header) as u64;
    stream[header - 20..header - 12].copy_from_slice(&len.to_le_bytes());
    stream[header - 8..header - 4].copy_from_slice(&payload.to_le_bytes());
    let sum = xxh3_64(&stream[..header - 4]) as u32;
    stream[header - 4..header].copy_from_slice(&sum.to_le_bytes());
    stream
}

#[test]
fn damaged_blocks_and_latents_are_errors() {
    let shape = [4, 24, 32];
    let mut seed = 1u32;
    let mut random = move |n: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % n
    };
    for (preset, model) in [
        (Preset::AeSz, patterns([4, 8, 8], "swae", None)),
        (Preset::AeSzPlus, patterns([4, 8, 8], "swae", None)),
        (Preset::Cae, patterns([1, 1, 64], "cae", None)),
    ] {
        // Some blocks that the network knows, and others.
        let mut values = match preset {
            Preset::Cae => patterned(4 * 24 * 32, 0.1, |i| (i / 64, i % 64)),
            _ => patterned(4 * 24 * 32, 0.1, in_boxes(shape, [4, 8, 8])),
        };
        let other = |i: usize| match preset {
            Preset::AeSz => i % 32 >= 24,
            Preset::Cae => i / 64 % 4 == 3,
            _ => false,
        };
        values
            .iter_mut()
            .enumerate()
            .filter(|(i, _)| other(*i))
            .for_each(|(i, v)| *v = 86.0 + (i % 29) as f64);
        let params = params(&shape, preset, Some(model));
        let stream = checked(&params, &bytes(&values), 0.1);
        let info = inspect(&stream).unwrap();
        assert!(info.header.model.is_some(), "{}", info.description);
        let header = 8 + 4 * 3 + 33 + 32 + 20;
        let len = stream.len() - header;
        for _ in 0..400 {
            let mut bad = stream.clone();
            let at = header + random(len);
            match random(5) {
                0 => bad.truncate(at),
                1 => bad.insert(at, random(256) as u8),
                2 => _ = bad.remove(at),
                3 => bad[at] = random(256) as u8,
                _ => bad[at] ^= 1 << random(8),
            }
            if bad == stream {
                continue;
            }
            let bad = repaired(bad, header);
            let _ = inspect(&bad);
            // The checksum of what is decoded tells where nothing else does; few bits mean nothing.
            let decoding = Decoding { models: &params.model, ..Decoding::default() };
            if let Ok(raw) = decode_with(&bad, &decoding) {
                assert_eq!(raw, decode_with(&stream, &decoding).unwrap(), "{preset:?} {at}");
            }
        }
    }
}
