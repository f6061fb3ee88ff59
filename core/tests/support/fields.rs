//! Fields made of integers, the same on every machine.

use augur_core::{ByteOrder, Dtype, Params};

/// The values as bytes of the chunk.
pub fn bytes(params: &Params, values: &[f64]) -> Vec<u8> {
    let size = params.dtype.size();
    let mut raw = Vec::with_capacity(values.len() * size);
    for &v in values {
        match params.dtype {
            Dtype::F16 => raw.extend(half::f16::from_f64(v).to_le_bytes()),
            Dtype::F32 => raw.extend((v as f32).to_le_bytes()),
            Dtype::F64 => raw.extend(v.to_le_bytes()),
            _ => raw.extend_from_slice(&(v as i64).to_le_bytes()[..size]),
        }
    }
    if params.order == ByteOrder::Big && size > 1 {
        raw.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    raw
}

/// A pseudo-random integer in -range/2 .. range/2 for each `i` (splitmix64).
pub fn noise(i: usize, range: i64) -> i64 {
    let z = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) % range as u64) as i64 - range / 2
}

/// A parabola for each half period of 64: from -1024 to 1024.
fn arc(phase: i64) -> i64 {
    let p = phase.rem_euclid(128);
    let half = (p % 64) * (64 - p % 64);
    if p < 64 {
        half
    } else {
        -half
    }
}

/// Waves that move along the axes of `shape`, from about -2000 to 2000, with noise, and digits that repeat nowhere.
pub fn wave(shape: &[usize], roughness: i64) -> Vec<f64> {
    let count: usize = shape.iter().product();
    (0..count)
        .map(|i| {
            let (mut rest, mut a, mut b) = (i, 0i64, 0i64);
            for (axis, &n) in shape.iter().enumerate().rev() {
                let c = (rest % n) as i64;
                rest /= n;
                a += c * (3 + 2 * axis as i64);
                b += c * (5 - axis as i64);
            }
            (arc(a) + arc(b) + noise(i, 1 + 8 * roughness)) as f64
                + noise(i + 1_000_000, 4096) as f64 / 4096.0
        })
        .collect()
}

/// Noise at each place that grows or falls evenly with time: the time between is the mean of before and after.
pub fn trend(shape: &[usize]) -> Vec<f64> {
    let frame: usize = shape[1..].iter().product();
    (0..shape[0] * frame)
        .map(|i| {
            let (t, at) = ((i / frame) as i64, i % frame);
            (noise(at, 4000) + t * noise(at + 100_000, 600)) as f64 + noise(i, 100_000) as f64 / 1024.0
        })
        .collect()
}

/// What `value(t, y, x)` says, in eighths.
pub fn plane(shape: &[usize; 3], value: impl Fn(usize, usize, usize) -> i64) -> Vec<f64> {
    let (h, w) = (shape[1], shape[2]);
    (0..shape[0] * h * w)
        .map(|i| {
            let (t, y, x) = (i / (h * w), i / w % h, i % w);
            value(t, y, x) as f64 / 8.0 + noise(i + 2_000_000, 1 << 20) as f64 / 2f64.powi(34)
        })
        .collect()
}
