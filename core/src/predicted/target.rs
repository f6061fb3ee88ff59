//! Error bounds that reach a peak signal-to-noise ratio: found by encoding, as the mean square of the errors depends on
//! how many residuals are zero.

use super::encode::Encoded;
use crate::grid::Extent;
use crate::number::Number;
use crate::scan::{self, BLOCK};
use crate::special::Special;

/// Most encodings of a chunk.
const ENCODINGS: usize = 8;
/// A ratio of mean squares that is near enough: 0.1 dB.
const NEAR: f64 = 0.977;
/// How much longer an encoding may be for being near: who asks for a ratio expects it.
const NEAR_IS_WORTH: f64 = 1.01;
/// Where in that range to aim.
const AIM: f64 = 0.990;
/// Largest step of the bound's logarithm.
const STRIDE: f64 = 2.0;

/// An encoding's share of the first error bound and the mean square that it has, as logarithms.
type Tried = (f64, f64);

/// The smallest of a few encodings that reach `db`, each with an error bound of another share of the first one.
/// `encode` makes an encoding, and says whether its bound may be chosen freely; `whole` is the first bound of integers,
/// of which only the whole counts matter.
pub fn reach<N: Number>(
    raw: &[u8],
    special: &Special,
    extent: &Extent,
    db: f64,
    whole: Option<f64>,
    encode: impl Fn(f64) -> Option<(Encoded, bool)>,
) -> Option<Encoded> {
    // In units of the range: the square of a large error overflows.
    let wanted = 10f64.powf(-db / 10.0);
    let mut share = 1.0f64;
    // Length, as it counts, and share of the best encoding so far; to keep two at a time would take too much memory.
    let mut best: Option<(f64, f64)> = None;
    let (mut reached, mut missed): (Option<Tried>, Option<Tried>) = (None, None);
    let mut last: Option<Tried> = None;
    for _ in 0..ENCODINGS {
        let Some((encoded, free)) = encode(share) else { break };
        let error = mean_square::<N>(raw, &encoded.decoded, special, 1.0 / extent.range());
        let enough = error <= wanted;
        let near = enough && error >= NEAR * wanted;
        let length = encoded.payload.len() as f64 * if near { 1.0 } else { NEAR_IS_WORTH };
        let smaller = enough && best.is_none_or(|b| length < b.0);
        if smaller {
            best = Some((length, share));
        }
        let here = (share.ln(), error.ln());
        if enough {
            reached = Some(reached.filter(|r| r.0 > here.0).unwrap_or(here));
        } else {
            missed = Some(missed.filter(|m| m.0 < here.0).unwrap_or(here));
        }
        // What was decoded before keeps its error, and what is exact has no other.
        let done = !free || error == 0.0 || near;
        let next = next_share((AIM * wanted).ln(), here, last, (reached, missed), whole);
        let Some(next) = next.filter(|s| !done && s.is_finite() && *s > 0.0) else {
            if smaller {
                return Some(encoded);
            }
            break;
        };
        (share, last) = (next, Some(here));
    }
    // No error is larger than the bound: where no encoding reached enough, the root of the mean square is the bound.
    let share = best.map_or(3f64.sqrt().recip(), |b| b.1);
    encode(share).map(|(encoded, _)| encoded)
}

/// The share to try after `here`, to come to the logarithm `aim` of the mean square; `None` if there is no better one.
fn next_share(
    aim: f64,
    here: Tried,
    last: Option<Tried>,
    (reached, missed): (Option<Tried>, Option<Tried>),
    whole: Option<f64>,
) -> Option<f64> {
    let slope = |a: Tried, b: Tried| (b.1 - a.1) / (b.0 - a.0);
    let next = match (reached, missed) {
        // Between what reaches too much and what too little.
        (Some(a), Some(b)) if slope(a, b) > 0.0 => a.0 + (aim - a.1) / slope(a, b),
        (Some(a), Some(b)) => 0.5 * (a.0 + b.0),
        // Errors spread evenly grow with the square of the bound, those of zeros that come true more slowly.
        _ => {
            let slope = last.map_or(2.0, |l| slope(l, here)).clamp(0.4, 3.0);
            here.0 + ((aim - here.1) / slope).clamp(-STRIDE, STRIDE)
        }
    };
    let Some(first) = whole else { return Some(next.exp()) };
    // The next count that was not tried yet, if there is one.
    let count = |t: Tried| (t.0.exp() * first + 1e-9).floor();
    let low = reached.map_or(0.0, |r| count(r) + 1.0);
    let high = missed.map_or(f64::INFINITY, |m| count(m) - 1.0);
    let next = (next.exp() * first).floor().max(low).min(high);
    (low <= high && next >= 0.0).then(|| (next + 0.5) / first)
}

/// Mean square of the errors, times `scale`, at points that are not special.
fn mean_square<N: Number>(raw: &[u8], decoded: &[u8], special: &Special, scale: f64) -> f64 {
    let mut marks = [0u8; BLOCK];
    let (mut sum, mut count) = (0.0, 0);
    for (a, b) in raw.chunks(BLOCK * N::SIZE).zip(decoded.chunks(BLOCK * N::SIZE)) {
        let marks = &mut marks[..a.len() / N::SIZE];
        special.mark::<N>(a, marks);
        sum += scan::squares::<N>(a, b, marks, scale);
        count += marks.iter().filter(|m| **m == 0).count();
    }
    sum / count.max(1) as f64
}
