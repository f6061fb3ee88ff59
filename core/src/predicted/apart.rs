//! Values that stand apart: many points have exactly such a value, and what lies beside them is far from it, as rain beside
//! none, ice beside open water, the saturated sky beside a roof. No prediction across such an edge is any good, so that these
//! points are special ones where their mask takes fewer bits than the edges would.

use super::choose::Outline;
use super::mapped::Mapped;
use crate::chunk::Frames;
use crate::marks::{self, coded};
use crate::number::Number;
use crate::predict::cost::CERTAIN;
use crate::scan;
use crate::special::Special;

/// Values that are looked at for frequent ones.
const LOOKED_AT: usize = 1000;
/// Fewest of them that a value must have.
const FREQUENT: usize = 10;
/// Most values of a chunk that stand apart.
const MOST: usize = 2;
/// Points that are looked at for edges.
const SAMPLED: usize = 1 << 15;
/// Time steps whose mask is coded for what the mask of all would take.
const CODED_STEPS: usize = 4;
/// Bits of a mask's and its value's lengths.
const SIDE: f64 = 128.0;

/// A share of the bits of a mask that edges must seem to take for the chunk to be looked at without them.
const WORTH_A_LOOK: f64 = 0.5;
/// How much smaller a chunk must seem to be: special points cost time.
const GAIN: f64 = 1.005;
/// What a bit of a mask that changes counts for where time does.
const FAST_MASK: f64 = 4.0;

/// The chunk and what it may be predicted with, which `outline` tells: as it is mapped or, where that seems to take fewer bits,
/// with more special points, which are said then. `map` maps it anew, `error` is the one that its values are kept to, `fast`
/// says that masks are to be worth their time.
pub fn outlined<N: Number>(
    raw: &[u8],
    frames: &Frames,
    mapped: Mapped,
    (special, error, fast): (&Special, f64, bool),
    map: impl Fn(&Special) -> Mapped,
    outline: impl Fn(&Mapped) -> Outline,
) -> (Mapped, Outline, Option<Special>) {
    let first = outline(&mapped);
    let (mut mapped, mut best, mut more) = (mapped, first, None);
    let mut masks = 0.0;
    for value in if best.skips_special() { frequent::<N>(raw, special) } else { vec![] } {
        let known = more.as_ref().unwrap_or(special);
        let Some(bits) = mask_bits(raw, frames, known, value, error) else { continue };
        let mask = if fast { FAST_MASK * bits } else { bits };
        let with = known.with(value.bits());
        best.slim();
        let other = map(&with);
        if other.low > other.high {
            // Something must remain to be predicted.
            continue;
        }
        let rival = outline(&other);
        if GAIN * (residuals(&other, &rival) + masks + mask) < residuals(&mapped, &best) + masks {
            masks += mask;
            (mapped, best, more) = (other, rival, Some(with));
        }
    }
    (mapped, best, more)
}

/// Estimated bits of the points that are not special, beyond what they take in calm, which is next to nothing.
fn residuals(mapped: &Mapped, outline: &Outline) -> f64 {
    let special = mapped.mask.as_deref().map_or(0, marks::count);
    let all = mapped.grid.len() as f64;
    (outline.bits() - CERTAIN * all).max(0.0) * (all - special as f64) / all
}

/// Values that many points have, the most frequent first.
fn frequent<N: Number>(raw: &[u8], special: &Special) -> Vec<N> {
    let apart = (raw.len() / N::SIZE / LOOKED_AT).max(1) | 1;
    let some = raw.chunks_exact(N::SIZE).step_by(apart).map(N::read);
    let mut some: Vec<N> = some.filter(|v| !special.is(*v)).collect();
    some.sort_unstable_by_key(|v| v.bits());
    let mut runs: Vec<&[N]> =
        some.chunk_by(|a, b| a.bits() == b.bits()).filter(|run| run.len() >= FREQUENT).collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.len()));
    runs.iter().take(MOST).map(|run| run[0]).collect()
}

/// Bits of the mask of a value, about, if its edges take as many that it is worth a look.
fn mask_bits<N: Number>(raw: &[u8], frames: &Frames, special: &Special, value: N, error: f64) -> Option<f64> {
    let edges = edges(raw, frames, special, value, error);
    if edges < SIDE {
        return None;
    }
    let step = frames.levels * frames.area() * N::SIZE;
    let steps = (raw.len() / step).max(1);
    let few = steps.min(CODED_STEPS);
    let first = (steps - few) / 2 * step;
    let bits = |n: usize| {
        let part = &raw[first..][..(n * step).min(raw.len() - first)];
        let mut marks = vec![0; n * step / N::SIZE];
        scan::mark_equal::<N>(part, value.own_bits(), &mut marks[..part.len() / N::SIZE]);
        8.0 * coded::encode(&marks, None, &Frames { steps: n, ..*frames }).len() as f64
    };
    let one = bits(1);
    let all = if few > 1 { bits(few) } else { one };
    let later = (all - one).max(0.0) / (few - 1).max(1) as f64;
    let mask = one + later * (steps - 1) as f64 + SIDE;
    (edges > WORTH_A_LOOK * mask).then_some(mask)
}

/// Bits that the edges between points of the value and others take, about: the logarithm of each jump in bins, less
/// half of what is usual between others.
fn edges<N: Number>(raw: &[u8], frames: &Frames, special: &Special, value: N, error: f64) -> f64 {
    let rows = raw.len() / N::SIZE / frames.width;
    let looked_at = (SAMPLED / frames.width).clamp(1, rows.max(1));
    let row = |y: usize| {
        raw[y * frames.width * N::SIZE..][..frames.width * N::SIZE].chunks_exact(N::SIZE).map(N::read)
    };
    let per_bin = 0.5 / error;
    let (mut across, mut edges, mut others, mut pairs) = (0.0, 0.0, 0.0, 0.0);
    let mut add = |a: N, b: N| {
        if special.is(a) || special.is(b) {
            return;
        }
        let jump = || (1.0 + (a.to_f64() - b.to_f64()).abs() * per_bin).log2();
        match (a.bits() == value.bits(), b.bits() == value.bits()) {
            (true, true) => {}
            (false, false) => {
                others += jump();
                pairs += 1.0;
            }
            _ => {
                across += jump();
                edges += 1.0;
            }
        }
    };
    for k in 0..looked_at.min(rows) {
        let y = (2 * k + 1) * rows / (2 * looked_at);
        row(y).zip(row(y).skip(1)).for_each(|(a, b)| add(a, b));
        if !y.is_multiple_of(frames.height) {
            row(y - 1).zip(row(y)).for_each(|(a, b)| add(a, b));
        }
    }
    let usual = others / f64::max(pairs, 1.0);
    (across - 0.5 * usual * edges) * rows as f64 / looked_at as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bound::Bound;

    /// Showers that drift: where there is none, 0.
    fn showers(floor: f32, peak: f32) -> (Frames, Vec<u8>) {
        let frames = Frames { steps: 6, levels: 1, height: 60, width: 80 };
        let raw = (0..6 * 4800).flat_map(|i| {
            let (t, y, x) = ((i / 4800) as f32, (i / 80 % 60) as f32, (i % 80) as f32);
            let v = ((x - t) / 9.0).sin() * (y / 7.0).cos();
            (if v > 0.2 { floor + peak * v } else { 0.0 }).to_le_bytes()
        });
        (frames, raw.collect())
    }

    #[test]
    fn a_floor_that_others_are_far_from_is_worth_a_look() {
        let special = Special::new::<f32>(&Bound::Absolute(0.01), None);
        let (frames, raw) = showers(1.0, 2.0);
        assert_eq!(frequent::<f32>(&raw, &special), [0.0]);
        let bits = |raw: &[u8], error: f64| mask_bits(raw, &frames, &special, 0f32, error);
        assert!(bits(&raw, 0.01).is_some() && bits(&raw, 0.1).is_some());
        // One that others begin at is not, nor is any value at a bound that makes them all alike.
        let (_, even) = showers(-0.2, 1.0);
        assert!(bits(&even, 0.5).is_none() && bits(&raw, 30.0).is_none());
        let known = special.with(0f32.bits());
        assert!(frequent::<f32>(&raw, &known).is_empty());
    }
}
