//! The golden streams: what their writer encodes, and the models that some of them name.

#[path = "autoencoders.rs"]
mod autoencoders;
#[path = "corrections.rs"]
mod corrections;
#[path = "fields.rs"]
mod fields;
#[path = "forecasts.rs"]
mod forecasts;

use augur_core::network::build::ModelBuilder;
use augur_core::params::{KeyFrames, Selection, Windows};
use augur_core::{decode, encode, inspect, Bound, ByteOrder, Dtype, Method, Model, Params, Preset};
use autoencoders::{in_boxes, patterned, patterns};
use corrections::{bent_moving, corrector};
use fields::{bytes, noise, plane, trend, wave};
use forecasts::{bridge, mover, mover_graph, moving, recurrent};
use std::sync::Arc;

/// Streams of recurrent networks: name, levels, channels, changes, preset.
const RECURRENT: [(&str, usize, usize, bool, Preset); 4] = [
    ("recurrent-frame", 1, 1, false, Preset::TezipPlus),
    ("recurrent-change", 4, 2, true, Preset::TezipPlus),
    ("recurrent-levels", 3, 1, true, Preset::Tezip),
    ("recurrent-together", 3, 3, false, Preset::Tezip),
];

/// Streams with corrections: name, chunk, by how many rows and columns the field moves in a step, which is forecast.
const CORRECTED: [(&str, [usize; 4], (isize, isize)); 3] = [
    ("corrected", [5, 1, 25, 30], (0, 0)),
    ("corrected-levels", [3, 4, 16, 20], (0, 0)),
    ("corrected-forecasts", [5, 1, 33, 40], (3, 4)),
];

/// The model of such a stream.
fn correcting((dy, dx): (isize, isize)) -> Arc<Model> {
    let mut others = ModelBuilder::new();
    if dy != 0 {
        others.graph("forecaster", mover_graph(dy as i32, dx as i32, 2));
    }
    corrections::with(others, corrector(1))
}

type AutoencoderCase = (&'static str, [usize; 4], [usize; 3], &'static str, Option<&'static str>, Preset);

/// Streams of autoencoders: name, chunk, block, kind, third axis, preset.
const AUTOENCODERS: [AutoencoderCase; 5] = [
    ("blocks-in-time", [8, 1, 24, 32], [4, 8, 8], "swae", Some("time"), Preset::AeSz),
    ("blocks-in-levels", [2, 8, 11, 32], [4, 8, 8], "swae", Some("level"), Preset::AeSz),
    ("blocks-in-runs", [4, 1, 24, 32], [1, 1, 64], "cae", None, Preset::Cae),
    ("reconstructed", [4, 1, 24, 32], [1, 8, 8], "swae", None, Preset::AeSzPlus),
    ("reconstructed-levels", [3, 4, 16, 32], [4, 8, 8], "swae", Some("level"), Preset::AeSzPlus),
];

/// A field whose columns are, in turns, what the autoencoder knows, noise, planes and something smooth.
fn of_all_kinds([steps, levels, height, width]: [usize; 4], block: [usize; 3]) -> Vec<f64> {
    let count = steps * levels * height * width;
    let known = match block {
        [1, 1, n] => patterned(count, 0.1, |i| (i / n, i % n)),
        _ => patterned(count, 0.1, in_boxes([steps * levels, height, width], block)),
    };
    let kind = |i: usize, x: usize| match block {
        [1, 1, n] => i / n % 4,
        _ => x / 8 % 4,
    };
    (0..count)
        .map(|i| {
            let (t, y, x) = (i / (height * width), i / width % height, i % width);
            let ups = noise(i, 100) as f64 * 1e-3;
            match kind(i, x) {
                0 => known[i],
                1 => 100.0 + 5.0 * ups,
                2 => 90.0 + ((t * 13 + y * 5 + x * 7) % 64) as f64 / 8.0 + ups,
                _ => 95.0 + (x * x * (y % 5)) as f64 / 256.0 + (t * y) as f64 / 16.0,
            }
        })
        .collect()
}

/// The models that the streams name.
pub fn models() -> Vec<Arc<Model>> {
    let recurrents = RECURRENT.map(|(_, _, channels, changes, _)| recurrent(3, 4, channels, changes));
    let autoencoders = AUTOENCODERS.map(|(_, _, block, kind, third, _)| patterns(block, kind, third));
    let forecasters = [mover(3, 4, 2), mover(3, 4, 3), bridge(3, 4)].into_iter().chain(recurrents);
    let correctors = CORRECTED.map(|(_, _, by)| correcting(by));
    forecasters.chain(autoencoders).chain(correctors).collect()
}

/// Every golden stream with its name.
pub fn streams() -> Vec<(String, Vec<u8>)> {
    let mut out = vec![];
    let forecasts = [
        ("forecast-2d", 4, 1, mover(3, 4, 2)),
        ("forecast-3d", 4, 2, mover(3, 4, 3)),
        ("interpolation", 6, 1, bridge(3, 4)),
    ];
    for (name, steps, levels, model) in forecasts {
        let shape = [steps, levels, 25, 30];
        let mut params = Params::new(Dtype::F32, &shape, Bound::Absolute(0.01));
        params.preset = Preset::Learned;
        params.model = Some(model);
        let values: Vec<f64> = moving(steps, levels, 25, 30).into_iter().map(f64::from).collect();
        out.push((name.to_string(), encode(&params, &bytes(&params, &values)).unwrap()));
    }
    for (name, levels, channels, changes, preset) in RECURRENT {
        let shape = [5, levels, 16, 19];
        let mut params = Params::new(Dtype::F32, &shape, Bound::Absolute(0.02));
        params.preset = preset;
        params.model = Some(recurrent(3, 4, channels, changes));
        let values: Vec<f64> = moving(5, levels, 16, 19).into_iter().map(f64::from).collect();
        out.push((name.to_string(), encode(&params, &bytes(&params, &values)).unwrap()));
    }
    for (name, shape, by) in CORRECTED {
        let mut params = Params::new(Dtype::F32, &shape, Bound::Absolute(0.01));
        params.preset = Preset::Learned;
        params.model = Some(correcting(by));
        let values = bent_moving(shape[0], shape[1] * shape[2], shape[3], by);
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        out.push((name.to_string(), encode(&params, &bytes(&params, &values)).unwrap()));
    }
    for (name, shape, block, kind, third, preset) in AUTOENCODERS {
        let mut params = Params::new(Dtype::F32, &shape, Bound::Absolute(0.25));
        params.preset = preset;
        params.model = Some(patterns(block, kind, third));
        let mut values = match preset {
            Preset::AeSzPlus => patterned(
                shape.iter().product(),
                0.1,
                in_boxes([shape[0] * shape[1], shape[2], shape[3]], block),
            ),
            _ => of_all_kinds(shape, block),
        };
        if name == "blocks-in-time" {
            values.iter_mut().skip(50).step_by(97).for_each(|v| *v = f64::NAN);
        }
        out.push((name.to_string(), encode(&params, &bytes(&params, &values)).unwrap()));
    }
    let mut blocks = Params::new(Dtype::U16, &[3, 2, 33, 21], Bound::Absolute(30.0));
    blocks.preset = Preset::AeSz;
    let values: Vec<f64> =
        of_all_kinds([3, 2, 33, 21], [1, 8, 8]).iter().map(|v| (v * 300.0).trunc()).collect();
    out.push(("blocks-of-counts".into(), encode(&blocks, &bytes(&blocks, &values)).unwrap()));
    blocks = Params::new(Dtype::F64, &[700], Bound::PointwiseRelative { rel: 0.01, floor: 0.0 });
    blocks.preset = Preset::Cae;
    blocks.selection = Selection::Distance;
    let values = of_all_kinds([1, 1, 1, 700], [1, 1, 64]);
    out.push(("blocks-of-runs".into(), encode(&blocks, &bytes(&blocks, &values)).unwrap()));
    let direct = [
        ("direct-counts", Dtype::U8, Bound::Absolute(7.5), KeyFrames::Beyond(0.04), 1, true, 1),
        (
            "direct-shares",
            Dtype::U16,
            Bound::PointwiseRelative { rel: 0.1, floor: 9.0 },
            KeyFrames::Every(3),
            2,
            false,
            2,
        ),
        ("direct-before", Dtype::I16, Bound::Absolute(30.0), KeyFrames::Every(4), 0, false, 3),
        ("direct-fill", Dtype::F32, Bound::Absolute(0.5), KeyFrames::First, 3, true, 1),
    ];
    for (name, dtype, bound, keys, warm_up, open_loop, levels) in direct {
        let shape = [5, levels, 16, 19];
        let mut params = Params::new(dtype, &shape, bound);
        params.preset = Preset::Tezip;
        params.windows = Windows { keys, warm_up, open_loop };
        params.model = Some(recurrent(3, 4, 1, levels == 2)).filter(|_| levels < 3);
        let mut values: Vec<f64> =
            moving(5, levels, 16, 19).into_iter().map(|v| ((f64::from(v) - 10.0) * 200.0).max(0.0)).collect();
        if dtype == Dtype::F32 {
            values.iter_mut().step_by(7).for_each(|v| *v = f64::NAN);
        }
        out.push((name.to_string(), encode(&params, &bytes(&params, &values)).unwrap()));
    }
    let mut add = |name: &str, params: &Params, values: &[f64]| {
        let raw = bytes(params, values);
        out.push((name.to_string(), encode(params, &raw).unwrap()));
    };
    let all = [
        Dtype::F16,
        Dtype::F32,
        Dtype::F64,
        Dtype::I8,
        Dtype::U8,
        Dtype::I16,
        Dtype::U16,
        Dtype::I32,
        Dtype::U32,
    ];
    for dtype in all {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let shape = [5, 13, 17];
            let mut params =
                Params { order, ..Params::new(dtype, &shape, Bound::Relative { rel: 0.01, range: None }) };
            // One byte has room for a bound of one or two counts.
            let scale = match dtype {
                Dtype::I8 | Dtype::U8 => 1.0 / 32.0,
                Dtype::F16 | Dtype::F32 | Dtype::F64 => 1.0 / 256.0,
                _ => 4.0,
            };
            let lift = if matches!(dtype, Dtype::U8 | Dtype::U16 | Dtype::U32) { 3000.0 } else { 0.0 };
            let values: Vec<f64> = wave(&shape, 3).iter().map(|v| ((v + lift) * scale).trunc()).collect();
            let values = if dtype.size() == 1 {
                values
            } else {
                wave(&shape, 3).iter().map(|v| (v + lift) * scale).collect()
            };
            if dtype.size() == 1 {
                params.bound = Bound::Absolute(2.0);
            }
            add(
                &format!("{}-{}", dtype.name(), if order == ByteOrder::Big { "big" } else { "little" }),
                &params,
                &values,
            );
        }
    }
    let f32s = |shape: &[usize], bound| Params::new(Dtype::F32, shape, bound);
    let abs = Bound::Absolute;
    let bounds = [
        ("absolute", abs(20.0)),
        ("relative-range", Bound::Relative { rel: 1e-3, range: Some(20_000.0) }),
        ("absrel", Bound::AbsRel { abs: 100.0, rel: 0.005 }),
        ("pointwise", Bound::PointwiseRelative { rel: 0.01, floor: 100.0 }),
        ("psnr", Bound::Psnr(50.0)),
    ];
    for (name, bound) in bounds {
        add(name, &f32s(&[4, 16, 20], bound), &wave(&[4, 16, 20], 2));
    }
    let pointwise = Bound::PointwiseRelative { rel: 0.02, floor: 0.0 };
    add("pointwise-int32", &Params::new(Dtype::I32, &[4, 16, 20], pointwise), &wave(&[4, 16, 20], 2));
    for (name, shape, axis) in [
        ("rank-1", &[1500][..], 0),
        ("rank-2", &[40, 50][..], 0),
        ("rank-4", &[4, 3, 12, 17][..], 0),
        ("rank-5", &[2, 5, 2, 9, 11][..], 1),
        ("time-last", &[12, 19, 6][..], 2),
        ("tiny-frames", &[60, 2, 3][..], 0),
        ("deep", &[2, 70, 3][..], 0),
        ("single-steps", &[1, 33, 1, 47][..], 0),
    ] {
        add(name, &Params { time_axis: axis, ..f32s(shape, abs(20.0)) }, &wave(shape, 2));
    }
    let fast = Params { preset: Preset::Fast, ..f32s(&[6, 20, 24], abs(10.0)) };
    add("fast", &fast, &wave(&[6, 20, 24], 2));
    let mut drift = |name: &str, shape: &[usize]| add(name, &f32s(shape, abs(40.0)), &trend(shape));
    drift("trend", &[9, 16, 18]);
    drift("trend-levels", &[9, 2, 12, 14]);
    // Bounds far below the range: Lorenzo.
    let fine = |shape: &[usize]| Params::new(Dtype::F64, shape, abs(2f64.powi(-14)));
    let ridges =
        |t: usize, y: usize, x: usize| noise(t * 131 + y, 60_000) + noise(7000 + t * 131 + x, 60_000);
    add("lorenzo-space", &fine(&[3, 14, 21]), &plane(&[3, 14, 21], ridges));
    let stone = |_: usize, y: usize, x: usize| noise(y * 64 + x, 60_000);
    add(
        "lorenzo-time",
        &fine(&[6, 14, 21]),
        &plane(&[6, 14, 21], |t, y, x| stone(0, y, x) + noise(t * 3000 + y * 64 + x, 4)),
    );
    add(
        "lorenzo-both",
        &fine(&[6, 14, 21]),
        &plane(&[6, 14, 21], |t, y, x| stone(t, y, x) + (t * t * (3 * y + 5 * x)) as i64),
    );
    // Values so far from zero that their positions on the grid are rounded: some miss the bound and are stored.
    let spacing = 2f64.powi(-32);
    let far: Vec<f64> = wave(&[4, 15, 19], 2).iter().map(|v| 2f64.powi(20) + v.trunc() * spacing).collect();
    add("patches", &Params::new(Dtype::F64, &[4, 15, 19], abs(4.4 * spacing)), &far);
    special_streams(&mut out);
    apart_streams(&mut out);
    stepwise_streams(&mut out);
    storage_streams(&mut out);
    lattice_streams(&mut out);
    out
}

/// Values in steps as wide as the bins, and chunks without loss.
fn lattice_streams(out: &mut Vec<(String, Vec<u8>)>) {
    let shape = [5, 14, 19];
    let steps = || wave(&shape, 2).into_iter().map(f64::trunc);
    let fine = Bound::Absolute(2f64.powi(-8));
    let mut add = |name: &str, dtype, bound, values: Vec<f64>| {
        let params = Params::new(dtype, &shape, bound);
        out.push((name.into(), encode(&params, &bytes(&params, &values)).unwrap()));
    };
    add("lattice-decimals", Dtype::F32, fine, steps().map(|v| v / 10.0).collect());
    add("lattice-offset", Dtype::F64, fine, steps().map(|v| v * 0.03125 + 273.15).collect());
    add("lattice-counts", Dtype::I16, Bound::Absolute(1.0), steps().map(|v| 5.0 * v + 2.0).collect());
    add("lossless-counts", Dtype::U16, Bound::Lossless, steps().map(|v| v + 3000.0).collect());
}

/// Special values, and points that are stored exactly.
fn special_streams(out: &mut Vec<(String, Vec<u8>)>) {
    let shape = [4, 16, 20];
    for (name, bound) in [
        ("specials", Bound::Absolute(20.0)),
        ("specials-pointwise", Bound::PointwiseRelative { rel: 0.01, floor: 0.0 }),
        ("specials-lorenzo", Bound::Absolute(2f64.powi(-12))),
    ] {
        let mut params = Params::new(Dtype::F32, &shape, bound);
        params.fill = Some([0, 0, 0x80, 0xc0, 0, 0, 0, 0]); // -4
        let mut raw = bytes(&params, &wave(&shape, 2));
        let odd = [
            0x7fc0_1234u32,
            0xff80_0001,
            0x7f80_0000,
            0xff80_0000,
            0x7cf0_bdc2,
            0x60ad_78ec,
            0xc080_0000,
            0x8000_0000,
        ];
        for (i, bits) in odd.into_iter().enumerate() {
            for at in [37 * i + 11, 640 + 29 * i, 900 + i] {
                raw[4 * at..][..4].copy_from_slice(&bits.to_le_bytes());
            }
        }
        out.push((name.into(), encode(&params, &raw).unwrap()));
    }
}

/// Values that stand apart: calm within a disc that moves, saturation in a corner, land, and odd ones.
fn apart_streams(out: &mut Vec<(String, Vec<u8>)>) {
    let shape = [4, 2, 40, 45];
    let field = |of_disc: f64, of_corner: f64, of_land: f64| -> Vec<f64> {
        (0..4 * 2 * 40 * 45usize)
            .map(|i| {
                let (f, y, x) = (i / 1800, (i / 45 % 40) as i64, (i % 45) as i64);
                let t = (f / 2) as i64;
                match (y - 15 - t).pow(2) + (x - 18 - 2 * t).pow(2) {
                    ..150 => of_disc,
                    _ if x + y > 70 => of_corner,
                    _ if x < 5 + y % 3 => of_land,
                    d => (100 + d % 37 + noise(i, 9)) as f64,
                }
            })
            .collect()
    };
    let counts = Params::new(Dtype::U8, &shape, Bound::Lossless);
    out.push(("apart-counts".into(), encode(&counts, &bytes(&counts, &field(0.0, 255.0, 120.0))).unwrap()));
    let params = Params::new(Dtype::F32, &shape, Bound::Absolute(0.4));
    let mut raw = bytes(&params, &field(0.0, -80.0, f64::NAN));
    for (i, at) in (0..14_000).step_by(700).enumerate() {
        raw[4 * at..][..4].copy_from_slice(&(0x7fc0_0001 + i as u32).to_le_bytes());
    }
    out.push(("apart-land".into(), encode(&params, &raw).unwrap()));
}

/// Chunks that are filled step by step.
fn stepwise_streams(out: &mut Vec<(String, Vec<u8>)>) {
    for (name, bound, scale) in [
        ("", Bound::Absolute(20.0), 1.0),
        ("-pointwise", Bound::PointwiseRelative { rel: 0.05, floor: 0.0 }, 1.0),
    ] {
        let shape = [6, 8, 11];
        let params = Params::new(Dtype::F32, &shape, bound);
        let values: Vec<f64> = wave(&shape, 2).iter().map(|v| v * scale + 0.5).collect();
        let frame = 4 * 8 * 11;
        let whole = bytes(&params, &values);
        let mut raw = whole.clone();
        raw[4 * frame..].fill(0);
        let partly = encode(&params, &raw).unwrap();
        let mut raw = decode(&partly, None, 1).unwrap();
        raw[4 * frame..].copy_from_slice(&whole[4 * frame..]);
        let full = encode(&params, &raw).unwrap();
        let mut raw = decode(&full, None, 1).unwrap();
        raw[2 * frame..3 * frame].copy_from_slice(&whole[3 * frame..4 * frame]);
        let rewritten = encode(&params, &raw).unwrap();
        for (part, stream) in [("provisional", partly), ("completed", full), ("rewritten", rewritten)] {
            out.push((format!("{part}{name}"), stream));
        }
    }
    // Integers keep every count.
    let params = Params::new(Dtype::I32, &[6, 12, 14], Bound::Absolute(40.0));
    let mut raw = bytes(&params, &wave(&[6, 12, 14], 4));
    raw[4 * 4 * 12 * 14..].fill(0);
    out.push(("provisional-int32".into(), encode(&params, &raw).unwrap()));
}

/// Raw, lossless and padded streams, and one of two bands.
fn storage_streams(out: &mut Vec<(String, Vec<u8>)>) {
    let exact = Params::new(Dtype::F32, &[3, 8, 10], Bound::Lossless);
    out.push(("lossless".into(), encode(&exact, &bytes(&exact, &wave(&[3, 8, 10], 2))).unwrap()));
    let hash = |i: usize| noise(i, 256) as f64;
    let raw = Params { order: ByteOrder::Big, ..Params::new(Dtype::U16, &[150], Bound::Lossless) };
    let values: Vec<f64> = (0..150).map(|i| 256.0 * (hash(i) + 128.0) + hash(i + 1000) + 128.0).collect();
    out.push(("raw".into(), encode(&raw, &bytes(&raw, &values)).unwrap()));
    // Header and payload exactly as long as the chunk: a byte is added.
    let padded = (100..4000).find_map(|n| {
        let params = Params::new(Dtype::U8, &[n], Bound::Lossless);
        let values: Vec<f64> = (0..n).map(|i| if i % 400 < 340 { hash(i) + 128.0 } else { 7.0 }).collect();
        let stream = encode(&params, &bytes(&params, &values)).unwrap();
        let lossless = inspect(&stream).unwrap().header.method == Method::Lossless;
        (lossless && stream.len() == n + 1).then_some(stream)
    });
    out.push(("padded".into(), padded.expect("some length needs padding")));
    let shape = [8, 256, 512];
    let params = Params::new(Dtype::U8, &shape, Bound::Absolute(1.0));
    let values: Vec<f64> = wave(&shape, 0).iter().map(|v| ((v + 3000.0) / 100.0).trunc()).collect();
    out.push(("bands".into(), encode(&params, &bytes(&params, &values)).unwrap()));
}
