//! What a corrector reads of a point: differences of its neighbours from the linear prediction, divided by their spread.

use super::corrector::NEIGHBOURS;
use crate::machine::for_this_machine;

/// The neighbours, row by row; those that there are none of are 0 to the network.
pub type InputRows<'a> = [Option<&'a [i32]>; NEIGHBOURS];

/// Most grid units that a difference counts: sums of them are exact in single precision, which gives the logarithm.
const FARTHEST: i32 = 1 << 23;
/// Neighbours in space that the spread is of where there are references; without, it is of all.
const NEAR: usize = 8;
/// Neighbours in space.
const SPACE: usize = 16;
/// Neighbours in the first reference that the spread is of: the place itself and the four around it.
const AROUND: usize = 5;
/// Base-2 logarithm of the share of the sum that is the spread.
const SHARE_BITS: u32 = 4;
/// Fraction bits of the reciprocal of a spread.
const RECIPROCAL_BITS: u32 = 27;
/// Base-2 logarithm of [`super::corrector::ONE`].
const ONE_BITS: u32 = 10;
/// Spreads that a difference is limited to.
const MOST_SPREADS: i32 = 8;

/// Points that are worked on at a time.
const BLOCK: usize = 64;

/// 256 times the base-2 logarithm of 1 <= `x` < 2^24: its whole part and, linearly, what is between powers of 2; and
/// something constant.
#[inline(always)]
fn level(x: i32) -> i32 {
    // The conversion is exact; exponent and first bits of the mantissa are the number.
    ((x as f32).to_bits() >> 15) as i32
}

for_this_machine! {
    /// The inputs of the points of `linear`, whose neighbours are those of `rows` from `first` on: the neighbours, the
    /// logarithm of the step over the spread, and `constants`. `out.1` is the distance from one channel to the next.
    pub fn inputs(
        rows: &[Option<&[i32]>; NEIGHBOURS],
        first: usize,
        linear: &[i32],
        step: i32,
        constants: &[i16],
        out: (&mut [i16], usize),
        spread: &mut [i32],
    ) {
        let (out, stride) = out;
        let n = linear.len();
        for at in (0..n).step_by(BLOCK) {
            // The last few again, some of them for the second time, where there are enough.
            let at = at.min(n.saturating_sub(BLOCK));
            if n - at >= BLOCK {
                block::<BLOCK>(rows, first, at, linear, step, out, stride, spread);
            } else {
                (at..n).for_each(|at| block::<1>(rows, first, at, linear, step, out, stride, spread));
            }
        }
        for (k, constant) in constants.iter().enumerate() {
            out[(NEIGHBOURS + 1 + k) * stride..][..n].fill(*constant);
        }
    }
}

/// [`inputs`] of `N` points. That their number is known keeps sums in registers.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn block<const N: usize>(
    rows: &[Option<&[i32]>; NEIGHBOURS],
    first: usize,
    at: usize,
    linear: &[i32],
    step: i32,
    out: &mut [i16],
    stride: usize,
    spread: &mut [i32],
) {
    let Some(p) = linear[at..].first_chunk::<N>() else { return };
    let Some(spread) = spread[at..].first_chunk_mut::<N>() else { return };
    let values = |k: usize| rows[k].and_then(|row| row[first + at..].first_chunk::<N>());
    let step = step.min(FARTHEST);
    let near = if rows[SPACE].is_some() { NEAR } else { SPACE };
    let mut sums = [step; N];
    for k in (0..near).chain(SPACE..SPACE + AROUND) {
        let Some(v) = values(k) else { continue };
        for j in 0..N {
            sums[j] += v[j].wrapping_sub(p[j]).clamp(-FARTHEST, FARTHEST).abs();
        }
    }
    let mut reciprocal = [0i32; N];
    for j in 0..N {
        spread[j] = (sums[j] >> SHARE_BITS) + 1;
        // Quotients of such integers in floating point are off by less than the distance to the next integer.
        reciprocal[j] = (f64::from(1 << RECIPROCAL_BITS) / f64::from(spread[j])) as i32;
    }
    const HALF: i32 = 1 << (RECIPROCAL_BITS - ONE_BITS - 1);
    for k in 0..NEIGHBOURS {
        let Some(out) = out[k * stride + at..].first_chunk_mut::<N>() else { return };
        match values(k) {
            None => *out = [0; N],
            Some(v) => {
                for j in 0..N {
                    let most = MOST_SPREADS * spread[j];
                    let d = v[j].wrapping_sub(p[j]).max(-most).min(most);
                    out[j] = ((d * reciprocal[j] + HALF) >> (RECIPROCAL_BITS - ONE_BITS)) as i16;
                }
            }
        }
    }
    let Some(out) = out[NEIGHBOURS * stride + at..].first_chunk_mut::<N>() else { return };
    for j in 0..N {
        out[j] = (level(step.max(1)) - level(spread[j])) as i16;
    }
}
