//! Values that were packed or rounded before: they come back exactly where the bound is finer than their steps, are not
//! taken for decoded ones where it is coarser, and keep the bound when steps of a chunk are written again. And chunks
//! without loss.

#![allow(clippy::unwrap_used)]

use augur_core::{
    decode, decode_with, encode, encode_with, inspect, Bound, Decoding, Dtype, Memory, Method, Params, Preset,
};

const SHAPE: [usize; 3] = [6, 40, 50];

/// Waves that move, and a little noise.
fn field(t: usize, amplitude: f64) -> Vec<f64> {
    let area = SHAPE[1] * SHAPE[2];
    let mut state = t as u64 * 77 + 1;
    (0..area)
        .map(|i| {
            let (y, x) = ((i / SHAPE[2]) as f64, (i % SHAPE[2]) as f64);
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let noise = (state >> 33) as f64 / (1u64 << 31) as f64 - 0.5;
            amplitude * ((0.11 * x + 0.07 * y - 0.2 * t as f64).sin() * (0.05 * y).cos() + 0.02 * noise)
        })
        .collect()
}

fn chunk(write: impl Fn(f64) -> f64, amplitude: f64) -> Vec<f64> {
    (0..SHAPE[0]).flat_map(|t| field(t, amplitude)).map(write).collect()
}

fn pack(dtype: Dtype, values: &[f64]) -> Vec<u8> {
    let size = dtype.size();
    let bytes = |v: &f64| match dtype {
        Dtype::F32 => (*v as f32).to_le_bytes().to_vec(),
        Dtype::F64 => v.to_le_bytes().to_vec(),
        _ => (*v as i64).to_le_bytes()[..size].to_vec(),
    };
    values.iter().flat_map(bytes).collect()
}

fn unpack(dtype: Dtype, raw: &[u8]) -> Vec<f64> {
    let value = |b: &[u8]| match dtype {
        Dtype::F32 => f64::from(f32::from_le_bytes(b.try_into().unwrap())),
        Dtype::F64 => f64::from_le_bytes(b.try_into().unwrap()),
        Dtype::I16 => f64::from(i16::from_le_bytes(b.try_into().unwrap())),
        _ => f64::from(b[0]),
    };
    raw.chunks_exact(dtype.size()).map(value).collect()
}

type Rounding = fn(f64) -> f64;

/// Ways in which values are rounded, with their step.
const ROUNDINGS: [(&str, f64, Rounding); 5] = [
    ("decimals", 0.1, |v| (v * 10.0).round() / 10.0),
    ("multiples", 0.1, |v| (v * 10.0).round() * 0.1),
    ("quarters", 0.25, |v| (v * 4.0).round() / 4.0),
    ("scale and offset", 0.012_345_67, |v| (v / 0.012_345_67).round() * 0.012_345_67 + 273.162_5),
    ("tens and three", 10.0, |v| (v / 10.0).round() * 10.0 + 3.0),
];

#[test]
fn steps_wider_than_the_bins_come_back_exactly() {
    for (name, step, rounding) in ROUNDINGS {
        for dtype in [Dtype::F32, Dtype::F64, Dtype::I16] {
            if dtype == Dtype::I16 && step < 1.0 {
                continue;
            }
            let raw = pack(dtype, &chunk(rounding, 100.0 * step));
            for preset in [Preset::Fast, Preset::Balanced] {
                let sizes = [0.3, 0.01].map(|share| {
                    let params =
                        Params { preset, ..Params::new(dtype, &SHAPE, Bound::Absolute(share * step)) };
                    let stream = encode(&params, &raw).unwrap();
                    let decoded = decode(&stream, Some(raw.len()), 1).unwrap();
                    let off = unpack(dtype, &decoded)
                        .iter()
                        .zip(unpack(dtype, &raw))
                        .fold(0f64, |m, (a, b)| m.max((a - b).abs()));
                    assert!(off <= step * 1e-9, "{name} {dtype:?}: {off}");
                    assert_eq!(
                        inspect(&stream).unwrap().header.method,
                        Method::Predicted,
                        "{name} {dtype:?}"
                    );
                    stream.len()
                });
                assert!(sizes[0] == sizes[1], "{name} {dtype:?}: finer bounds cost nothing: {sizes:?}");
            }
        }
    }
}

#[test]
fn steps_narrower_than_the_bins_are_not_taken_for_decoded_values() {
    for (name, step, rounding) in ROUNDINGS {
        for dtype in [Dtype::F32, Dtype::F64, Dtype::I16] {
            if dtype == Dtype::I16 && step < 1.0 {
                continue;
            }
            let raw = pack(dtype, &chunk(rounding, 40.0 * step));
            for e in [1.0, 1.7, 2.9, 5.1, 9.3] {
                let params = Params::new(dtype, &SHAPE, Bound::Absolute(e * step));
                let stream = encode(&params, &raw).unwrap();
                let description = inspect(&stream).unwrap().description;
                assert!(!description.contains("kept"), "{name} {dtype:?} at {e}: {description}");
                let decoded = decode(&stream, Some(raw.len()), 1).unwrap();
                for (a, b) in unpack(dtype, &decoded).iter().zip(unpack(dtype, &raw)) {
                    assert!((a - b).abs() <= e * step, "{name} {dtype:?} at {e}");
                }
            }
        }
    }
}

/// Steps of a chunk of lattice values are replaced by other ones, on the lattice or not, and back.
#[test]
fn rewritten_steps_keep_the_bound() {
    let step_len = SHAPE[1] * SHAPE[2];
    for (name, step, rounding) in ROUNDINGS {
        for dtype in [Dtype::F32, Dtype::F64, Dtype::I16] {
            if dtype == Dtype::I16 && step < 1.0 {
                continue;
            }
            for share in [0.4, 1.0, 3.3] {
                for remember in [false, true] {
                    let memory = Memory::new();
                    let e = share * step;
                    let params = Params::new(dtype, &SHAPE, Bound::Absolute(e));
                    let mut truth = unpack(dtype, &pack(dtype, &chunk(rounding, 60.0 * step)));
                    let mut now = pack(dtype, &truth);
                    for round in 0..8 {
                        let stream = if remember {
                            encode_with(&params, &now, &memory).unwrap()
                        } else {
                            encode(&params, &now).unwrap()
                        };
                        now = if remember {
                            decode_with(&stream, &Decoding { memory: Some(&memory), ..Decoding::default() })
                                .unwrap()
                        } else {
                            decode(&stream, None, 1).unwrap()
                        };
                        let allowed = if dtype == Dtype::I16 { e.floor() } else { e };
                        for (a, b) in unpack(dtype, &now).iter().zip(&truth) {
                            let off = (a - b).abs();
                            assert!(off <= allowed, "{name} {dtype:?} {share}, round {round}: {off}");
                        }
                        let t = round * 3 % SHAPE[0];
                        let new: Vec<f64> = field(t + 20 + round, 55.0 * step)
                            .into_iter()
                            .map(|v| if round % 2 == 0 { v + 0.3 * step } else { rounding(v) })
                            .collect();
                        let bytes = pack(dtype, &new);
                        let at = t * step_len;
                        truth[at..at + step_len].copy_from_slice(&unpack(dtype, &bytes));
                        now[at * dtype.size()..][..bytes.len()].copy_from_slice(&bytes);
                    }
                }
            }
        }
    }
}

#[test]
fn nothing_is_lost_without_a_bound_and_prediction_is_smaller() {
    for (name, _, rounding) in ROUNDINGS {
        for dtype in [Dtype::F32, Dtype::F64, Dtype::U8, Dtype::I16] {
            let mut values = chunk(rounding, 100.0);
            if matches!(dtype, Dtype::U8) {
                values = chunk(|v| v + 128.0, 100.0);
            }
            // The sign of zero counts, too.
            values[5] = -0.0;
            values[9] = if dtype.is_float() { f64::NAN } else { 0.0 };
            let raw = pack(dtype, &values);
            for params in [
                Params::new(dtype, &SHAPE, Bound::Lossless),
                Params { preset: Preset::Lossless, ..Params::new(dtype, &SHAPE, Bound::Absolute(1.0)) },
            ] {
                let stream = encode(&params, &raw).unwrap();
                assert!(decode(&stream, Some(raw.len()), 1).unwrap() == raw, "{name} {dtype:?}");
                let header = inspect(&stream).unwrap().header;
                assert_eq!((header.bound, header.error), (Bound::Lossless, 0.0));
                // How a float was computed cannot always be found out to the last bit.
                if name != "scale and offset" {
                    assert_eq!(header.method, Method::Predicted, "{name} {dtype:?}");
                }
            }
        }
    }
}

/// Mean square of the errors as PSNR.
fn psnr(truth: &[f64], decoded: &[f64]) -> f64 {
    let (min, max) = truth.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
    let sum: f64 = truth.iter().zip(decoded).map(|(a, b)| (a - b).powi(2)).sum();
    20.0 * (max - min).log10() - 10.0 * (sum / truth.len() as f64).log10()
}

#[test]
fn targets_of_psnr_are_reached_and_hardly_more() {
    for dtype in [Dtype::F32, Dtype::F64, Dtype::I16] {
        for amplitude in [1.0, 3000.0] {
            if dtype == Dtype::I16 && amplitude < 100.0 {
                continue;
            }
            let raw = pack(dtype, &chunk(|v| v, amplitude));
            let truth = unpack(dtype, &raw);
            for db in [30.0, 40.0, 60.0, 80.0, 100.0] {
                for preset in [Preset::Fast, Preset::Balanced] {
                    let params = Params { preset, ..Params::new(dtype, &SHAPE, Bound::Psnr(db)) };
                    let stream = encode(&params, &raw).unwrap();
                    let decoded = unpack(dtype, &decode(&stream, Some(raw.len()), 1).unwrap());
                    let (reached, bound) = (psnr(&truth, &decoded), inspect(&stream).unwrap().header.error);
                    let worst = truth.iter().zip(&decoded).fold(0f64, |m, (a, b)| m.max((a - b).abs()));
                    assert!(worst <= bound, "{dtype:?} {db} dB: an error of {worst}, {bound} stated");
                    assert!(reached >= db, "{dtype:?} {db} dB: {reached}");
                    // Whole counts leave few bounds to choose from; zeros that come true at low targets, too.
                    let more = match (dtype, db) {
                        (Dtype::I16, 60.0..) => f64::INFINITY,
                        (Dtype::I16, 40.0..) => 1.0,
                        (_, ..=30.0) => 4.0,
                        (_, ..=40.0) => 0.3,
                        _ => 0.15,
                    };
                    assert!(reached <= db + more, "{dtype:?} {db} dB: {reached}");
                }
            }
        }
    }
}

#[test]
fn a_value_that_many_points_have_comes_back_without_error() {
    let calm = -0.2;
    // Waves on the right, and the same value everywhere else.
    let write = |(i, v): (usize, f64)| if i % SHAPE[2] < 24 { calm } else { v };
    let values: Vec<f64> = chunk(|v| v, 1.0).into_iter().enumerate().map(write).collect();
    let error = 0.17;
    for preset in [Preset::Balanced, Preset::Fast] {
        let params = Params { preset, ..Params::new(Dtype::F32, &SHAPE, Bound::Absolute(error)) };
        let raw = pack(Dtype::F32, &values);
        let stream = encode(&params, &raw).unwrap();
        let decoded = unpack(Dtype::F32, &decode(&stream, Some(raw.len()), 1).unwrap());
        let far = |i: usize| i % SHAPE[2] < 8;
        for (i, (a, b)) in values.iter().zip(&decoded).enumerate() {
            assert!(
                (a - b).abs() <= if far(i) { error / 10.0 } else { error },
                "{preset:?}, point {i}: {a}, {b}"
            );
        }
    }
}

#[test]
fn spikes_that_no_grid_holds_come_back_exactly_and_the_rest_is_predicted() {
    let spiky = |(i, v): (usize, f64)| match i % 397 {
        5 => 1e9 + i as f64,
        11 => -7e12 * v,
        _ => v,
    };
    let values: Vec<f64> = chunk(|v| v, 1.0).into_iter().enumerate().map(spiky).collect();
    // Magnitudes that grow by many powers of ten: most lie below the bound.
    let steep: Vec<f64> = chunk(|v| (16.0 * v - 8.0).exp2().powi(4), 1.0);
    for (dtype, values, error) in [
        (Dtype::F32, &values, 0.01),
        (Dtype::F64, &values, 0.001),
        (Dtype::F32, &steep, 1.0),
        (Dtype::F64, &steep, 1e-3),
    ] {
        for bound in [Bound::Absolute(error), Bound::AbsRel { abs: error, rel: 0.1 }] {
            for preset in [Preset::Balanced, Preset::Fast, Preset::Tezip, Preset::AeSz] {
                let params = Params { preset, ..Params::new(dtype, &SHAPE, bound) };
                let raw = pack(dtype, values);
                let stream = encode(&params, &raw).unwrap();
                let decoded = unpack(dtype, &decode(&stream, Some(raw.len()), 1).unwrap());
                for (i, (a, b)) in unpack(dtype, &raw).iter().zip(&decoded).enumerate() {
                    let most = if a.abs() > 1e8 * error { 0.0 } else { error };
                    assert!((a - b).abs() <= most, "{dtype:?} {preset:?}, point {i}: {a}, {b}");
                }
                let ratio = raw.len() as f64 / stream.len() as f64;
                assert!(ratio > 2.0, "{dtype:?} {preset:?} {error}: {ratio}");
            }
        }
    }
}
