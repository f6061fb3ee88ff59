//! The promise as an outsider would check it: what must be exact is, everything else is within the bound. It shares no
//! code with the codec.

use augur_core::{Bound, ByteOrder, Dtype, Params};
use half::f16;

/// Magnitudes that data formats use for "no value".
const CONVENTIONAL: [f64; 6] = [9.969209968386869e36, 1e20, 1e30, 1e34, 1e35, 1e36];

/// Value of the number of type `dtype` at the start of `b`.
pub fn value(dtype: Dtype, order: ByteOrder, b: &[u8]) -> f64 {
    let mut le = [0u8; 8];
    le[..dtype.size()].copy_from_slice(&b[..dtype.size()]);
    if order == ByteOrder::Big {
        le[..dtype.size()].reverse();
    }
    let bits = u64::from_le_bytes(le);
    match dtype {
        Dtype::F16 => f16::from_bits(bits as u16).to_f64(),
        Dtype::F32 => f32::from_bits(bits as u32).into(),
        Dtype::F64 => f64::from_bits(bits),
        Dtype::I8 => (bits as i8).into(),
        Dtype::U8 => (bits as u8).into(),
        Dtype::I16 => (bits as i16).into(),
        Dtype::U16 => (bits as u16).into(),
        Dtype::I32 => (bits as i32).into(),
        Dtype::U32 => (bits as u32).into(),
    }
}

/// Appends `v` as `dtype`; integers saturate.
pub fn push(out: &mut Vec<u8>, dtype: Dtype, order: ByteOrder, v: f64) {
    let at = out.len();
    match dtype {
        Dtype::F16 => out.extend_from_slice(&f16::from_f64(v).to_le_bytes()),
        Dtype::F32 => out.extend_from_slice(&(v as f32).to_le_bytes()),
        Dtype::F64 => out.extend_from_slice(&v.to_le_bytes()),
        Dtype::I8 => out.extend_from_slice(&(v as i8).to_le_bytes()),
        Dtype::U8 => out.push(v as u8),
        Dtype::I16 => out.extend_from_slice(&(v as i16).to_le_bytes()),
        Dtype::U16 => out.extend_from_slice(&(v as u16).to_le_bytes()),
        Dtype::I32 => out.extend_from_slice(&(v as i32).to_le_bytes()),
        Dtype::U32 => out.extend_from_slice(&(v as u32).to_le_bytes()),
    }
    if order == ByteOrder::Big {
        out[at..].reverse();
    }
}

/// Whether a floating-point value is "no value" by convention.
fn is_conventional(dtype: Dtype, bytes: &[u8], v: f64) -> bool {
    dtype.is_float()
        && CONVENTIONAL.iter().any(|c| {
            let mut other = vec![];
            push(&mut other, dtype, ByteOrder::Little, c.copysign(v));
            let mut own = vec![];
            push(&mut own, dtype, ByteOrder::Little, v);
            own == other && !bytes.is_empty()
        })
}

/// Checks `decoded` against `raw`; says what is wrong.
pub fn check(params: &Params, raw: &[u8], decoded: &[u8]) -> Result<(), String> {
    let size = params.dtype.size();
    if decoded.len() != raw.len() {
        return Err(format!("{} bytes became {}", raw.len(), decoded.len()));
    }
    let read = |b: &[u8]| value(params.dtype, params.order, b);
    // A fill value of zero is a number like any other.
    let fill = params.fill.map(|f| f[..size].to_vec()).filter(|f| f.iter().any(|&b| b != 0));
    let exact = |b: &[u8]| {
        let v = read(b);
        !v.is_finite() || is_conventional(params.dtype, b, v) || fill.as_deref() == Some(b)
    };
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    for b in raw.chunks_exact(size).filter(|b| !exact(b)) {
        (min, max) = (min.min(read(b)), max.max(read(b)));
    }
    let range = max - min;
    let (mut squares, mut count) = (0f64, 0f64);
    for (i, (a, b)) in raw.chunks_exact(size).zip(decoded.chunks_exact(size)).enumerate() {
        let (x, y) = (read(a), read(b));
        if exact(a) {
            if a != b {
                return Err(format!("point {i}: special value {a:02x?} ({x:e}) became {b:02x?} ({y:e})"));
            }
            continue;
        }
        let allowed = match params.bound {
            Bound::Lossless => 0.0,
            Bound::Absolute(e) => e,
            Bound::Relative { rel, range: r } => rel * r.unwrap_or(range),
            Bound::AbsRel { abs, rel } => abs.min(rel * range),
            Bound::PointwiseRelative { rel, floor } => {
                if x.is_sign_negative() != y.is_sign_negative() || ((x == 0.0 || x.abs() < floor) && a != b) {
                    return Err(format!("point {i}: {x:e} became {y:e}: sign, zero or floor lost"));
                }
                rel * x.abs()
            }
            // The mean square is looked at below; the stream says which error it keeps at each point.
            Bound::Psnr(_) => f64::INFINITY,
        };
        let error = (x - y).abs();
        // The allowance is rounding of the oracle's own range.
        if a != b && (error.is_nan() || error > allowed * (1.0 + 1e-12)) {
            return Err(format!("point {i}: {x:e} became {y:e}, error {error:e}, allowed {allowed:e}"));
        }
        // In units of the range: the square of a large error overflows.
        squares += (error / range).powi(2);
        count += 1.0;
    }
    if let Bound::Psnr(db) = params.bound {
        let reached = -10.0 * (squares / f64::max(count, 1.0)).log10();
        if count > 0.0 && range > 0.0 && range.is_finite() && reached < db - 1e-6 {
            return Err(format!("PSNR of {reached:.2} dB, {db} dB asked"));
        }
    }
    Ok(())
}
