//! Parameters and data of a chunk, made from bytes.

use super::input::{Input, Random};
use super::models;
use super::oracle::push;
use augur_core::dtype::DTYPES;
use augur_core::params::{KeyFrames, Selection, Windows};
use augur_core::{Bound, ByteOrder, Dtype, Params, Preset};
use std::sync::Arc;

/// Most points of a chunk: small, so that many are tried.
const MOST_POINTS: usize = 6000;

/// Values that formats and programs find hard.
const EXTREMES: [f64; 20] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    0.0,
    -0.0,
    9.969209968386869e36,
    -9.969209968386869e36,
    1e20,
    -1e34,
    1e36,
    -9999.0,
    5e-324,
    1e-41,
    6e-8,
    1e308,
    -1e308,
    3.4e38,
    65504.0,
    2147483647.0,
    -32768.0,
];

/// A magnitude between 10^low and 10^high, or anything at all.
fn magnitude(input: &mut Input, low: f64, high: f64) -> f64 {
    if input.one_in(32) {
        return f64::from_bits(input.long());
    }
    let x = f64::from(u16::from_le_bytes(input.array())) / 65535.0;
    10f64.powf(low + x * (high - low))
}

/// Any bound, sometimes none that can be kept.
pub fn bound(input: &mut Input) -> Bound {
    match input.below(12) {
        0 => Bound::Lossless,
        1..=3 => Bound::Absolute(magnitude(input, -7.0, 3.0)),
        4 | 5 => Bound::Relative { rel: magnitude(input, -7.0, 0.5), range: None },
        6 => {
            let rel = magnitude(input, -6.0, 0.0);
            Bound::Relative { rel, range: Some(magnitude(input, -3.0, 4.0)) }
        }
        7 => {
            let abs = magnitude(input, -7.0, 3.0);
            Bound::AbsRel { abs, rel: magnitude(input, -6.0, 0.0) }
        }
        8 | 9 => {
            let rel = magnitude(input, -6.0, -0.01);
            Bound::PointwiseRelative {
                rel,
                floor: if input.one_in(2) { magnitude(input, -6.0, 2.0) } else { 0.0 },
            }
        }
        _ => Bound::Psnr(magnitude(input, 0.5, 2.4)),
    }
}

fn shape(input: &mut Input) -> Vec<usize> {
    let mut shape: Vec<usize> = match input.below(4) {
        0 => (0..1 + input.below(5)).map(|_| 1 + input.below(6)).collect(),
        1 => vec![1 + input.below(9), 1 + input.below(40), 1 + input.below(40)],
        2 => vec![1 + input.below(60), 1 + input.below(60)],
        _ => vec![1 + input.below(3000)],
    };
    while shape.iter().product::<usize>() > MOST_POINTS {
        if let Some(n) = shape.iter_mut().max() {
            *n = n.div_ceil(2);
        }
    }
    shape
}

/// Parameters of a small chunk.
pub fn params(input: &mut Input) -> Params {
    let dtype = input.pick(&DTYPES);
    let flags = input.byte();
    let shape = shape(input);
    let mut params = Params::new(dtype, &shape, bound(input));
    params.order = if flags & 1 != 0 { ByteOrder::Big } else { ByteOrder::Little };
    params.preset = if flags & 2 != 0 { Preset::Fast } else { Preset::Balanced };
    params.time_axis = if flags & 4 != 0 { input.below(shape.len()) } else { 0 };
    params.fill = (flags & 24 == 8).then(|| bits(input, dtype, params.order));
    params.unwritten = match flags >> 5 & 3 {
        1 => params.fill,
        2 => Some([0; 8]),
        _ => None,
    };
    params.tail = if flags >> 5 == 7 { input.below(8) } else { 0 };
    params.threads = 1 + usize::from(flags >> 7) * 2;
    match input.below(6) {
        4 => {
            params.preset = Preset::Tezip;
            params.windows = windows(input);
        }
        5 => {
            params.preset = input.pick(&[Preset::AeSz, Preset::Cae]);
            params.selection = input.pick(&[Selection::Length, Selection::Distance]);
        }
        // The bits that say of a fill value what 0 and 16 do, too.
        _ if flags & 24 == 24 => {
            params.preset = Preset::Learned;
            params.model = Some(Arc::clone(&models::all()[input.below(3)]));
            if input.one_in(2) {
                // Such as models serve.
                params.dtype = input.pick(&[Dtype::F32, Dtype::F64]);
                params.shape = vec![4 + input.below(3), 16 + input.below(16), 16 + input.below(16)];
                params.time_axis = 0;
                params.bound = Bound::Absolute(magnitude(input, -3.5, -1.0));
            }
        }
        _ => {}
    }
    params
}

/// Windows of the preset tezip.
fn windows(input: &mut Input) -> Windows {
    let keys = match input.below(3) {
        0 => KeyFrames::First,
        1 => KeyFrames::Every(2 + input.below(5) as u8),
        _ => KeyFrames::Beyond(magnitude(input, -9.0, 0.0)),
    };
    Windows { keys, warm_up: input.below(8) as u8, open_loop: input.one_in(2) }
}

/// Bytes of some value, padded.
fn bits(input: &mut Input, dtype: Dtype, order: ByteOrder) -> [u8; 8] {
    let mut bytes = vec![];
    if input.one_in(4) {
        bytes.extend_from_slice(&input.array::<8>()[..dtype.size()]);
    } else {
        push(&mut bytes, dtype, order, input.pick(&EXTREMES));
    }
    bytes.resize(8, 0);
    std::array::from_fn(|i| bytes[i])
}

/// Data for these parameters: fields, noise, lattices, constants, bit patterns, with special values in places.
pub fn data(input: &mut Input, params: &Params) -> Vec<u8> {
    let (dtype, order) = (params.dtype, params.order);
    let kind = input.below(8);
    let mut random = Random(input.long());
    let amplitude = magnitude(input, -4.0, 5.0);
    let offset = if input.one_in(2) { magnitude(input, -3.0, 5.0) } else { 0.0 };
    let noise = [0.0, 0.001, 0.1, 3.0][input.below(4)];
    let n = params.points();
    let width = params.shape.last().copied().unwrap_or(1);
    let frame = n / params.shape[0];
    let learned = (params.preset == Preset::Learned && kind < 6)
        .then(|| models::values(params.shape[0], frame / width.min(frame), width, kind > 1))
        .flatten();
    let mut raw = Vec::with_capacity(n * dtype.size());
    let mut walk = 0.0;
    for i in 0..n {
        let (t, y, x) = ((i / frame) as f64, (i % frame / width) as f64, (i % width) as f64);
        let r = random.unit() - 0.5;
        walk += r;
        let v = match (&learned, kind) {
            (Some(values), _) => f64::from(values[i]) + 0.01 * noise * r,
            (_, 0 | 1) => {
                let wave = (0.11 * x + 0.07 * y - 0.2 * t).sin() * (0.05 * y).cos();
                // A floor that stands apart, and saturation.
                match wave {
                    ..-0.2 if kind == 1 => -3.0,
                    0.8.. if kind == 1 && noise < 0.1 => 2.0,
                    _ => wave + noise * r,
                }
            }
            (_, 2) => walk * 0.1,
            (_, 3) => ((r * 9.0).round() + 0.5 * (x / 7.0).floor()) * 0.1,
            (_, 4) => f64::from(u8::from(r > 0.49)) + noise * r * f64::from(u8::from(x > y)),
            (_, 5) => (r * 30.0).exp2() * if random.next() & 1 == 0 { 1.0 } else { -1.0 },
            (_, 6) => {
                raw.extend_from_slice(&random.next().to_le_bytes()[..dtype.size()]);
                continue;
            }
            _ => f64::from(input.byte()) / 256.0,
        };
        push(&mut raw, dtype, order, offset + if learned.is_some() { 1.0 } else { amplitude } * v);
    }
    let size = dtype.size();
    for _ in 0..input.below(12) {
        let value = bits(input, dtype, order);
        let value = if let (Some(fill), true) = (params.fill, input.one_in(3)) { fill } else { value };
        let at = input.below(65536) % n;
        let run = if input.one_in(3) { 1 + input.below(400) } else { 1 };
        let every = 1 + input.below(3);
        for b in raw.chunks_exact_mut(size).skip(at).step_by(every).take(run) {
            b.copy_from_slice(&value[..size]);
        }
    }
    raw
}
