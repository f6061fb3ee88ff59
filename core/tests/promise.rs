//! The promise: the bound holds at every point after the cast to the stored type, special values come back bit for
//! bit, whatever the type, byte order, shape, bound and preset; no stream is larger than its chunk by more than 64
//! bytes or exactly as long.

#![allow(clippy::unwrap_used)]

use augur_core::dtype::DTYPES;
use augur_core::params::{KeyFrames, Windows};
use augur_core::{
    decode, decode_with, encode, encode_with, inspect, Bound, ByteOrder, Decoding, Dtype, Memory, Method,
    Params, Preset,
};
use half::f16;
use proptest::prelude::*;

/// Value of the number of type `dtype` at the start of `b`.
fn value(dtype: Dtype, order: ByteOrder, b: &[u8]) -> f64 {
    let mut b = b.to_vec();
    if order == ByteOrder::Big {
        b.reverse();
    }
    match dtype {
        Dtype::F16 => f16::from_le_bytes(b.try_into().unwrap()).to_f64(),
        Dtype::F32 => f32::from_le_bytes(b.try_into().unwrap()).into(),
        Dtype::F64 => f64::from_le_bytes(b.try_into().unwrap()),
        Dtype::I8 => i8::from_le_bytes(b.try_into().unwrap()).into(),
        Dtype::U8 => b[0].into(),
        Dtype::I16 => i16::from_le_bytes(b.try_into().unwrap()).into(),
        Dtype::U16 => u16::from_le_bytes(b.try_into().unwrap()).into(),
        Dtype::I32 => i32::from_le_bytes(b.try_into().unwrap()).into(),
        Dtype::U32 => u32::from_le_bytes(b.try_into().unwrap()).into(),
    }
}

/// Bytes of `v` as `dtype`; integers saturate.
fn bytes(dtype: Dtype, order: ByteOrder, v: f64) -> Vec<u8> {
    let mut b = match dtype {
        Dtype::F16 => f16::from_f64(v).to_le_bytes().to_vec(),
        Dtype::F32 => (v as f32).to_le_bytes().to_vec(),
        Dtype::F64 => v.to_le_bytes().to_vec(),
        Dtype::I8 => (v as i8).to_le_bytes().to_vec(),
        Dtype::U8 => (v as u8).to_le_bytes().to_vec(),
        Dtype::I16 => (v as i16).to_le_bytes().to_vec(),
        Dtype::U16 => (v as u16).to_le_bytes().to_vec(),
        Dtype::I32 => (v as i32).to_le_bytes().to_vec(),
        Dtype::U32 => (v as u32).to_le_bytes().to_vec(),
    };
    if order == ByteOrder::Big {
        b.reverse();
    }
    b
}

fn pack(dtype: Dtype, order: ByteOrder, values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|&v| bytes(dtype, order, v)).collect()
}

/// A field that moves in time, with noise, from integers only so that it is the same everywhere.
fn field(shape: &[usize], amplitude: f64, offset: f64, noise: f64, seed: u64) -> Vec<f64> {
    let n: usize = shape.iter().product();
    let width = *shape.last().unwrap();
    let frame = width * if shape.len() > 1 { shape[shape.len() - 2] } else { 1 };
    let mut state = seed | 1;
    (0..n)
        .map(|i| {
            let (t, y, x) = ((i / frame) as f64, (i % frame / width) as f64, (i % width) as f64);
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let random = (state >> 33) as f64 / (1u64 << 31) as f64 - 0.5;
            offset + amplitude * ((0.11 * x + 0.07 * y - 0.2 * t).sin() * (0.05 * y).cos() + noise * random)
        })
        .collect()
}

fn is_special(v: f64) -> bool {
    let conventional = [1e20, 1e34, 9.969209968386869e36];
    !v.is_finite() || conventional.iter().any(|c: &f64| (v.abs() / c - 1.0).abs() < 1e-6)
}

/// Largest |error| / bound at valid points, after checking that special ones are exact. Infinity where a point that must
/// be exact is not.
fn check(params: &Params, raw: &[u8], decoded: &[u8], is_special: impl Fn(f64) -> bool) -> f64 {
    let size = params.dtype.size();
    let read = |b: &[u8]| value(params.dtype, params.order, b);
    let valid = || raw.chunks_exact(size).map(read).filter(|v| !is_special(*v));
    let range = valid().fold(f64::MIN, f64::max) - valid().fold(f64::MAX, f64::min);
    let mut worst = 0f64;
    for (a, b) in raw.chunks_exact(size).zip(decoded.chunks_exact(size)) {
        let (x, y) = (read(a), read(b));
        if is_special(x) {
            assert_eq!(a, b, "special value {x} changed to {y}");
            continue;
        }
        let allowed = match params.bound {
            Bound::Lossless => 0.0,
            Bound::Absolute(e) => e,
            Bound::Relative { rel, range: r } => rel * r.unwrap_or(range),
            Bound::AbsRel { abs, rel } => abs.min(rel * range),
            Bound::PointwiseRelative { rel, floor } => {
                if x.abs() < floor || x == 0.0 {
                    assert_eq!(a, b, "{x} below the floor changed to {y}");
                }
                assert_eq!(x.is_sign_negative(), y.is_sign_negative(), "{x} became {y}");
                rel * x.abs()
            }
            Bound::Psnr(_) => f64::INFINITY,
        };
        let error = (x - y).abs();
        worst = worst.max(if error == 0.0 { 0.0 } else { error / allowed });
    }
    worst
}

fn round_trip(params: &Params, raw: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let stream = encode(params, raw).unwrap();
    assert!(stream.len() <= raw.len() + 64, "{} bytes became {}", raw.len(), stream.len());
    assert_ne!(stream.len(), raw.len());
    let decoded = decode(&stream, Some(raw.len()), 1).unwrap();
    (stream, decoded)
}

fn any_bound() -> impl Strategy<Value = Bound> {
    prop_oneof![
        Just(Bound::Lossless),
        (-6f64..2.0).prop_map(|e| Bound::Absolute(10f64.powf(e))),
        (-7f64..0.5).prop_map(|e| Bound::Relative { rel: 10f64.powf(e), range: None }),
        (-5f64..-1.0).prop_map(|e| Bound::Relative { rel: 10f64.powf(e), range: Some(50.0) }),
        (-5f64..1.0, -5f64..-1.0).prop_map(|(a, r)| Bound::AbsRel { abs: 10f64.powf(a), rel: 10f64.powf(r) }),
        (-5f64..-0.1, prop_oneof![Just(0.0), Just(0.5)])
            .prop_map(|(r, floor)| Bound::PointwiseRelative { rel: 10f64.powf(r), floor }),
        (20f64..120.0).prop_map(Bound::Psnr),
    ]
}

fn any_windows() -> impl Strategy<Value = Windows> {
    let keys = prop_oneof![
        Just(KeyFrames::First),
        (2u8..9).prop_map(KeyFrames::Every),
        (-30f64..0.0).prop_map(|t| KeyFrames::Beyond(2f64.powf(t))),
    ];
    (keys, 0u8..8, any::<bool>()).prop_map(|(keys, warm_up, open_loop)| Windows { keys, warm_up, open_loop })
}

fn any_shape() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        prop::collection::vec(1usize..7, 1..6),
        prop::collection::vec(1usize..14, 3..4),
        (1usize..6, 1usize..40, 1usize..40).prop_map(|(t, y, x)| vec![t, y, x]),
        (1usize..300).prop_map(|n| vec![n]),
        (1usize..40, 1usize..40).prop_map(|(y, x)| vec![y, x]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn bound_holds_for_every_type_shape_and_bound(
        dtype in prop::sample::select(&DTYPES[..]),
        big in any::<bool>(),
        shape in any_shape(),
        axis in 0usize..5,
        bound in any_bound(),
        preset in prop::sample::select(&[Preset::Balanced, Preset::Fast, Preset::Tezip, Preset::TezipPlus, Preset::AeSz, Preset::AeSzPlus, Preset::Cae][..]),
        windows in any_windows(),
        amplitude in -3f64..4.0,
        offset in prop_oneof![Just(0.0), Just(300.0), Just(-40.0)],
        noise in prop_oneof![Just(0.0), Just(0.01), Just(2.0)],
        specials in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&[
            f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 9.969209968386869e36, 1e20, -1e34, 1e-41, 5e-324, 1e308,
        ][..])), 0..9),
        seed in any::<u64>(),
    ) {
        let mut params = Params::new(dtype, &shape, bound);
        params.order = if big { ByteOrder::Big } else { ByteOrder::Little };
        params.time_axis = axis % shape.len();
        params.preset = preset;
        params.windows = windows;
        let mut values = field(&shape, 10f64.powf(amplitude), offset, noise, seed);
        for (at, v) in specials {
            let n = values.len();
            values[at.index(n)] = v;
        }
        let raw = pack(dtype, params.order, &values);
        let (_, decoded) = round_trip(&params, &raw);
        // Values far out count towards the range here but may not there: the allowed error is larger here.
        let worst = check(&params, &raw, &decoded, is_special);
        // Rounding of the test's own range and quotient.
        prop_assert!(worst <= 1.0 + 1e-9, "error {worst} times the bound");
    }

    #[test]
    fn decoded_values_encode_to_themselves(
        dtype in prop::sample::select(&[Dtype::F32, Dtype::F64, Dtype::F16, Dtype::U8, Dtype::I16, Dtype::I32][..]),
        rel in -5f64..-1.0,
        mode in 0usize..3,
        noise in prop_oneof![Just(0.0), Just(0.05), Just(1.0)],
        seed in any::<u64>(),
    ) {
        let shape = [5, 24, 31];
        let range = 200.0;
        let rel = 10f64.powf(rel);
        let bound = match mode {
            0 => Bound::Absolute(rel * range),
            1 => Bound::Relative { rel, range: Some(range) },
            _ => Bound::PointwiseRelative { rel, floor: 0.0 },
        };
        let params = Params::new(dtype, &shape, bound);
        let raw = pack(dtype, params.order, &field(&shape, 50.0, 60.0, noise, seed));
        let (_, once) = round_trip(&params, &raw);
        let (_, twice) = round_trip(&params, &once);
        prop_assert!(once == twice);
    }
}

/// Writes a chunk step by step, decoding and encoding it again for each step, as HDF5 does when the chunk does not stay in
/// its cache. Returns the final stream and what it decodes to.
fn fill_step_by_step(params: &Params, raw: &[u8], fill: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let memory = Memory::new();
    let step = raw.len() / params.shape[0];
    let mut chunk: Vec<u8> = fill.iter().copied().cycle().take(raw.len()).collect();
    let mut stream = vec![];
    for t in 0..params.shape[0] {
        if t > 0 {
            chunk = decode_with(
                &stream,
                &Decoding { expected_len: Some(raw.len()), memory: Some(&memory), ..Decoding::default() },
            )
            .unwrap();
        }
        chunk[t * step..(t + 1) * step].copy_from_slice(&raw[t * step..(t + 1) * step]);
        stream = encode_with(params, &chunk, &memory).unwrap();
    }
    let decoded = decode(&stream, Some(raw.len()), 1).unwrap();
    (stream, decoded)
}

#[test]
fn bound_holds_against_the_originals_when_a_chunk_is_filled_step_by_step() {
    let shape = [16, 48, 40];
    let presets = [Preset::Balanced, Preset::Tezip, Preset::AeSz];
    for (dtype, preset) in [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::U8, Dtype::I16]
        .into_iter()
        .flat_map(|dtype| presets.map(|preset| (dtype, preset)))
    {
        for rel in [1e-1, 1e-2, 1e-3, 1e-4] {
            for fill in [0.0, 9.969209968386869e36] {
                let mut params = Params::new(dtype, &shape, Bound::Absolute(rel * 200.0));
                params.preset = preset;
                let fill = bytes(dtype, params.order, fill);
                let mut padded = [0; 8];
                padded[..fill.len()].copy_from_slice(&fill);
                params.fill = Some(padded);
                params.unwritten = Some(padded);
                let raw = pack(dtype, params.order, &field(&shape, 50.0, 60.0, 0.02, 3));
                let (stream, decoded) = fill_step_by_step(&params, &raw, &fill);
                let worst = check(&params, &raw, &decoded, is_special);
                assert!(worst <= 1.0, "{dtype:?} at {rel}: {worst} times the bound");
                let at_once = encode(&params, &raw).unwrap();
                assert!(
                    preset != Preset::Balanced || stream.len() as f64 <= 1.15 * at_once.len() as f64,
                    "{dtype:?} at {rel}: {} bytes step by step, {} at once",
                    stream.len(),
                    at_once.len()
                );
            }
        }
    }
}

#[test]
fn bound_holds_against_the_originals_when_steps_of_a_full_chunk_are_rewritten() {
    let shape = [8, 40, 36];
    for dtype in [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::U8, Dtype::I16] {
        for bound in [
            Bound::Absolute(20.0),
            Bound::Absolute(2.0),
            Bound::Absolute(0.05),
            Bound::Relative { rel: 1e-2, range: Some(150.0) },
            Bound::PointwiseRelative { rel: 1e-2, floor: 0.0 },
        ] {
            let params = Params::new(dtype, &shape, bound);
            let mut truth = pack(dtype, params.order, &field(&shape, 50.0, 60.0, 0.05, 5));
            let step = truth.len() / shape[0];
            let mut stream = encode(&params, &truth).unwrap();
            for round in 0..20u64 {
                let t = (round * 5 % 8) as usize;
                let mut chunk = decode(&stream, None, 1).unwrap();
                let new = pack(dtype, params.order, &field(&shape[1..], 45.0, 65.0, 0.05, round));
                chunk[t * step..(t + 1) * step].copy_from_slice(&new);
                truth[t * step..(t + 1) * step].copy_from_slice(&new);
                stream = encode(&params, &chunk).unwrap();
                let decoded = decode(&stream, None, 1).unwrap();
                let worst = check(&params, &truth, &decoded, is_special);
                assert!(worst <= 1.0, "{dtype:?} {bound:?} after {round} rewrites: {worst} times the bound");
            }
        }
    }
}

/// Range of the values of a chunk.
fn range(params: &Params, raw: &[u8]) -> f64 {
    let values = || raw.chunks_exact(params.dtype.size()).map(|b| value(params.dtype, params.order, b));
    values().fold(f64::MIN, f64::max) - values().fold(f64::MAX, f64::min)
}

#[test]
fn unchanged_steps_keep_their_values_whatever_happens_to_the_range() {
    let shape = [8, 40, 36];
    for dtype in [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::U8, Dtype::I16] {
        for (bound, preset) in [
            Bound::Relative { rel: 1e-2, range: None },
            Bound::AbsRel { abs: 5.0, rel: 1e-2 },
            Bound::Psnr(50.0),
            Bound::Absolute(30.0),
        ]
        .into_iter()
        .flat_map(|bound| [Preset::Balanced, Preset::Tezip, Preset::AeSz].map(|preset| (bound, preset)))
        {
            let params = Params { preset, ..Params::new(dtype, &shape, bound) };
            let memory = Memory::new();
            let first = pack(dtype, params.order, &field(&shape, 20.0, 60.0, 0.05, 5));
            let step = first.len() / shape[0];
            let mut truth = first.clone();
            let mut stream = encode_with(&params, &first, &memory).unwrap();
            let mut before =
                decode_with(&stream, &Decoding { memory: Some(&memory), ..Decoding::default() }).unwrap();
            for (round, scale) in [1.0, 40.0, 0.01, 3.0, 40.0, 1.0].into_iter().enumerate() {
                let t = round * 3 % 8;
                let new =
                    pack(dtype, params.order, &field(&shape[1..], 20.0 * scale, 60.0, 0.05, round as u64));
                before[t * step..(t + 1) * step].copy_from_slice(&new);
                truth[t * step..(t + 1) * step].copy_from_slice(&new);
                stream = encode_with(&params, &before, &memory).unwrap();
                let after =
                    decode_with(&stream, &Decoding { memory: Some(&memory), ..Decoding::default() }).unwrap();
                let allowed = match bound {
                    Bound::Relative { rel, .. } => rel * range(&params, &before),
                    Bound::AbsRel { abs, rel } => abs.min(rel * range(&params, &before)),
                    Bound::Absolute(e) => e,
                    _ => f64::INFINITY,
                };
                for s in 0..shape[0] {
                    let part = s * step..(s + 1) * step;
                    // A step that was exact so far may be rounded now; one that was rounded may not again.
                    let unchanged = s != t && before[part.clone()] == after[part.clone()];
                    let read = |bytes: &[u8]| -> Vec<f64> {
                        bytes.chunks_exact(dtype.size()).map(|b| value(dtype, params.order, b)).collect()
                    };
                    let (written, now) = (read(&truth[part.clone()]), read(&after[part]));
                    let worst = written.iter().zip(&now).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                    assert!(
                        unchanged || worst <= allowed * (1.0 + 1e-9),
                        "{dtype:?} {bound:?}: step {s} is off by {worst} in round {round}, {allowed} allowed"
                    );
                }
                before = after;
            }
        }
    }
}

#[test]
fn series_appended_value_by_value_keep_the_bound() {
    for (shape, fill) in [(vec![100], 0.0), (vec![20, 7], 0.0), (vec![100], f64::NAN)] {
        for e in [1e-1, 1e-3] {
            let mut params = Params::new(Dtype::F32, &shape, Bound::Absolute(e));
            let fill = bytes(params.dtype, params.order, fill);
            let mut padded = [0; 8];
            padded[..4].copy_from_slice(&fill);
            params.unwritten = Some(padded);
            let raw = pack(params.dtype, params.order, &field(&shape, 5.0, 1.0, 0.1, 3));
            let (_, decoded) = fill_step_by_step(&params, &raw, &fill);
            let worst = check(&params, &raw, &decoded, is_special);
            assert!(worst <= 1.0, "{shape:?}, bound {e}: {worst} times the bound");
        }
    }
}

#[test]
fn encoding_again_loses_nothing_and_stays_lossy() {
    for dtype in [Dtype::F32, Dtype::F64] {
        for e in [20.0, 2.0, 0.2, 0.02] {
            for noise in [0.0, 0.02, 1.0] {
                let params = Params::new(dtype, &[6, 64, 64], Bound::Absolute(e));
                let raw = pack(dtype, params.order, &field(&params.shape, 500.0, 60.0, noise, 5));
                let (_, once) = round_trip(&params, &raw);
                let (stream, twice) = round_trip(&params, &once);
                assert!(once == twice, "{dtype:?}, bound {e}, noise {noise}");
                let method = inspect(&stream).unwrap().header.method;
                assert_eq!(method, Method::Predicted, "{dtype:?}, bound {e}, noise {noise}");
            }
        }
    }
}

#[test]
fn damaged_streams_are_errors_never_numbers() {
    let shape = [3, 12, 11];
    let mut params = Params::new(Dtype::F32, &shape, Bound::Absolute(0.1));
    params.preset = Preset::Balanced;
    let mut values = field(&shape, 5.0, 0.0, 0.1, 9);
    values[17] = f64::NAN;
    let raw = pack(Dtype::F32, params.order, &values);
    let (stream, _) = round_trip(&params, &raw);
    assert_eq!(inspect(&stream).unwrap().header.method, Method::Predicted);
    for n in 0..stream.len() {
        assert!(decode(&stream[..n], None, 1).is_err(), "cut to {n} bytes");
        assert!(inspect(&stream[..n]).is_err(), "cut to {n} bytes");
    }
    for bit in 0..stream.len() * 8 {
        let mut bad = stream.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&bad, None, 1).is_err(), "bit {bit}");
    }
    assert!(decode(&stream, Some(raw.len() + 4), 1).is_err());
}

#[test]
fn streams_do_not_depend_on_threads() {
    let shape = [16, 256, 257];
    let raw = pack(Dtype::F32, ByteOrder::Little, &field(&shape, 5.0, 0.0, 0.01, 1));
    let mut params = Params::new(Dtype::F32, &shape, Bound::Absolute(0.01));
    let one = encode(&params, &raw).unwrap();
    for threads in [2, 5] {
        params.threads = threads;
        assert!(encode(&params, &raw).unwrap() == one);
        assert!(decode(&one, None, threads).unwrap() == decode(&one, None, 1).unwrap());
    }
}

#[test]
fn constant_and_special_chunks_are_small_and_exact() {
    let shape = [16, 64, 64];
    for v in [0.0, -0.0, 3.25, f64::NAN, f64::INFINITY, 1e20, 9.969209968386869e36] {
        for bound in [Bound::Absolute(1e-3), Bound::Relative { rel: 1e-3, range: None }, Bound::Psnr(60.0)] {
            let params = Params::new(Dtype::F32, &shape, bound);
            let raw = pack(Dtype::F32, params.order, &vec![v; 16 * 64 * 64]);
            let (stream, decoded) = round_trip(&params, &raw);
            assert!(stream.len() < 600, "{v} {bound:?}: {} bytes", stream.len());
            if v != 3.25 {
                assert!(decoded == raw, "{v} {bound:?}");
            }
        }
    }
}

#[test]
fn negative_zero_is_kept_by_pointwise_relative_bounds() {
    let params = Params::new(Dtype::F32, &[64], Bound::PointwiseRelative { rel: 0.1, floor: 0.0 });
    let values: Vec<f64> = (0..64).map(|i| if i % 9 == 0 { -0.0 } else { f64::from(i) - 30.0 }).collect();
    let raw = pack(Dtype::F32, params.order, &values);
    let (_, decoded) = round_trip(&params, &raw);
    assert!(check(&params, &raw, &decoded, is_special) <= 1.0);
}

#[test]
fn psnr_is_reached() {
    let shape = [16, 64, 64];
    for db in [40.0, 60.0, 90.0] {
        let params = Params::new(Dtype::F32, &shape, Bound::Psnr(db));
        let raw = pack(Dtype::F32, params.order, &field(&shape, 5.0, 1.0, 0.02, 4));
        let (_, decoded) = round_trip(&params, &raw);
        let read = |b: &[u8]| value(Dtype::F32, ByteOrder::Little, b);
        let (mut sum, mut min, mut max) = (0.0, f64::MAX, f64::MIN);
        for (a, b) in raw.chunks_exact(4).zip(decoded.chunks_exact(4)) {
            sum += (read(a) - read(b)).powi(2);
            min = f64::min(min, read(a));
            max = f64::max(max, read(a));
        }
        let psnr = 20.0 * (max - min).log10() - 10.0 * (sum / (raw.len() / 4) as f64).log10();
        assert!(psnr >= db, "{psnr} dB instead of {db}");
    }
}
