//! Contexts: which frequency table codes a residual, by how large the residual is likely to be.
//!
//! Two signs of that are combined: the magnitudes of known residuals, in a weighted sum over the neighbours in space
//! and the same place in the references, and how far the known neighbours lie from the prediction. The weighted sum is
//! the error energy of CALIC (X. Wu, N. Memon, IEEE Transactions on Communications 45, 1997) on a lattice: passes
//! differ in how well they are predicted, so that residuals of the same pass, or of one that is predicted alike,
//! count and the others mislead. Its weights are maximum-likelihood estimates of the scale of a logistic distribution
//! over fields of many kinds and bounds.

use super::kernel::half_octaves;
use super::plane::Phases;
use super::taps::{taps, Kind, Source, Tap};
#[cfg(target_arch = "x86_64")]
use super::{contexts_narrow, contexts_wide};
use crate::machine::for_this_machine;
#[cfg(target_arch = "x86_64")]
use crate::machine::{instruction_set, InstructionSet};
use crate::reference::MAX_REFERENCES;
use arrayvec::ArrayVec;
use std::sync::OnceLock;

/// Levels of the weighted sum of known residuals: 0, and one per octave.
pub const LEVELS: i32 = 13;
/// Levels of the spread of the known neighbours.
pub const SPREADS: usize = 4;
/// Contexts of a group: every pair of a level and a level of the spread.
pub const CONTEXTS: u8 = LEVELS as u8 * SPREADS as u8;

/// Least spreads, summed over four neighbours in grid units, of all levels of the spread but the first.
pub type Thresholds = [i32; SPREADS - 1];

/// Thresholds of the spread for residuals of `step` grid units: in quarters of a step.
pub fn thresholds(step: i32) -> Thresholds {
    [3, 12, 48].map(|s: i32| s.saturating_mul(step).saturating_add(3) / 4)
}

/// Weights of the residuals at the taps of these distances (|dy|, |dx|), then that of the smoothed residuals in two
/// references, in 1/256.
type Weights = (&'static [((i32, i32), u16)], u16);

/// The weights of a kind of points on the finest or a coarser lattice, with so many references.
fn weights(kind: Kind, coarse: bool, references: usize) -> Weights {
    match (kind, coarse, references) {
        (Kind::Centre, false, 0) => (&[((1, 1), 4), ((1, 3), 3), ((3, 1), 3)], 0),
        (Kind::Centre, true, 0) => (&[((1, 1), 22), ((1, 3), 5), ((3, 1), 5)], 0),
        (Kind::Centre, false, 1 | 2) => (&[((1, 1), 6), ((1, 3), 3), ((3, 1), 3)], 4),
        (Kind::Centre, true, 1 | 2) => (&[((1, 1), 11), ((1, 3), 3), ((3, 1), 3)], 3),
        (Kind::Centre, false, _) => (&[((1, 1), 10), ((1, 3), 4), ((3, 1), 4)], 2),
        (Kind::Centre, true, _) => (&[((1, 1), 13), ((1, 3), 4), ((3, 1), 4)], 2),
        (Kind::Vertical, false, 0) => (&[((0, 1), 8), ((2, 1), 3), ((0, 3), 4)], 0),
        (Kind::Vertical, true, 0) => (&[((0, 1), 22), ((2, 1), 3), ((0, 3), 8)], 0),
        (Kind::Vertical, false, 1 | 2) => (&[((0, 1), 3), ((1, 0), 1)], 6),
        (Kind::Vertical, true, 1 | 2) => (&[((0, 1), 6), ((1, 0), 4)], 5),
        (Kind::Vertical, false, _) => (&[((0, 1), 10), ((1, 0), 4), ((2, 1), 3)], 2),
        (Kind::Vertical, true, _) => (&[((0, 1), 18), ((1, 0), 9), ((2, 1), 3)], 2),
        (Kind::Horizontal, false, 0) => (&[((1, 1), 28)], 0),
        (Kind::Horizontal, true, 0) => (&[((1, 1), 37), ((1, 0), 3)], 0),
        (Kind::Horizontal, false, 1 | 2) => (&[((1, 1), 15)], 4),
        (Kind::Horizontal, true, 1 | 2) => (&[((1, 1), 17), ((0, 1), 3)], 4),
        (Kind::Horizontal, false, _) => (&[((1, 1), 13), ((1, 0), 6), ((0, 1), 3)], 2),
        (Kind::Horizontal, true, _) => (&[((1, 1), 8), ((1, 0), 15), ((0, 1), 8)], 2),
        (Kind::Root, _, _) => (&[], 6),
    }
}

/// Phase and distance in rows and columns of that phase, and the weight of the residuals there.
type Weighed = ((usize, isize, isize), u16);

/// The taps in space whose residuals [`weights`] are for.
fn weighed(kind: Kind, coarse: bool, references: usize) -> &'static [Weighed] {
    static ALL: [[[OnceLock<Vec<Weighed>>; MAX_REFERENCES + 1]; 2]; 4] =
        [const { [const { [const { OnceLock::new() }; MAX_REFERENCES + 1] }; 2] }; 4];
    ALL[kind.phase()][usize::from(coarse)][references].get_or_init(|| {
        let (by_distance, _) = weights(kind, coarse, references);
        let of = |tap: &Tap| {
            let weight = by_distance.iter().find(|w| w.0 == (tap.dy.abs(), tap.dx.abs()));
            match (tap.source, weight) {
                (Source::Space { phase, di, dj }, Some((_, weight))) => Some(((phase, di, dj), *weight)),
                _ => None,
            }
        };
        taps(kind, 0).iter().filter_map(of).collect()
    })
}

/// Most rows of activities that are weighed.
pub const MAX_ROWS: usize = 16 + 2;
/// Rows of activities and their weights; all weights together are at most 257, so that sums fit into 16 bits.
pub type ActivityRows<'a> = ArrayVec<(&'a [u8], u16), MAX_ROWS>;

/// The activities that count for a pass, from its first point on: those of the lattice that is being refined and, in
/// `smoothed`, those of all references.
pub fn activity_rows<'a>(
    kind: Kind,
    level: usize,
    lattice: Option<&'a Phases<u8>>,
    smoothed: &[&'a [u8]],
) -> ActivityRows<'a> {
    let mut rows = ActivityRows::new();
    let reference = weights(kind, level > 0, smoothed.len()).1;
    if let Some(planes) = lattice {
        rows.extend(weighed(kind, level > 0, smoothed.len()).iter().map(|&((phase, di, dj), weight)| {
            let plane = &planes[phase];
            (if plane.is_empty() { planes[0].from(0, 0) } else { plane.from(di, dj) }, weight)
        }));
    }
    match smoothed {
        [] => {}
        [one] => rows.push((one, 2 * reference)),
        [one, two, ..] => rows.extend([(*one, reference), (*two, reference)]),
    }
    rows
}

/// Largest weight that vectors are for: the products of two activities with such weights are 16-bit numbers together.
#[cfg(target_arch = "x86_64")]
const HEAVIEST: u16 = 64;
/// Largest threshold that vectors are for: spreads are compared as 16-bit numbers.
#[cfg(target_arch = "x86_64")]
const WIDEST: i32 = u16::MAX as i32;

/// Points that are worked on at a time, and at the end of a run.
const BLOCK: usize = 64;
/// See [`BLOCK`].
const FEW: usize = 16;

/// context[j] = base + SPREADS * level + spread level, from the rows of activities, the four nearest known
/// neighbours and the prediction.
pub fn contexts(
    activities: &[(&[u8], u16)],
    near: [&[i32]; 4],
    predicted: &[i32],
    thresholds: &Thresholds,
    base: u8,
    out: &mut [u8],
) {
    #[cfg(target_arch = "x86_64")]
    if activities.iter().all(|a| a.1 <= HEAVIEST) && thresholds.iter().all(|t| *t <= WIDEST) {
        match instruction_set() {
            InstructionSet::Avx512 => {
                return contexts_wide::contexts(activities, near, predicted, thresholds, base, out);
            }
            InstructionSet::Avx2 if out.len() >= contexts_narrow::POINTS => {
                return contexts_narrow::contexts(activities, near, predicted, thresholds, base, out);
            }
            _ => {}
        }
    }
    plain(activities, near, predicted, thresholds, base, out);
}

for_this_machine! {
    /// [`contexts`] in plain Rust, which defines them.
    pub fn plain(
        activities: &[(&[u8], u16)],
        near: [&[i32]; 4],
        predicted: &[i32],
        thresholds: &Thresholds,
        base: u8,
        out: &mut [u8],
    ) {
        // Numbers of rows that loops are made for; others get rows without weight.
        let mut rows = ActivityRows::new();
        rows.extend(activities.iter().copied());
        if let (1, Some((first, _))) = (rows.len() % 2, activities.first()) {
            rows.push((first, 0));
        }
        macro_rules! of {
            ($($n:literal)*) => {
                $(if let Ok(rows) = <&[(&[u8], u16); $n]>::try_from(&rows[..]) {
                    return all(rows, near, predicted, thresholds, base, out);
                })*
            };
        }
        of!(0 2 4 6 8 10 12 14 16 18);
    }
}

/// [`contexts`] of `R` rows.
#[inline(always)]
fn all<const R: usize>(
    rows: &[(&[u8], u16); R],
    near: [&[i32]; 4],
    predicted: &[i32],
    thresholds: &Thresholds,
    base: u8,
    out: &mut [u8],
) {
    let whole = out.len() / BLOCK * BLOCK;
    for first in (0..whole).step_by(BLOCK) {
        block::<BLOCK, R>(first, rows, near, predicted, thresholds, base, out);
    }
    for first in (whole..out.len()).step_by(FEW) {
        // The last few again, some of them for the second time, where there are enough.
        let first = first.min(out.len().saturating_sub(FEW));
        if out.len() - first >= FEW {
            block::<FEW, R>(first, rows, near, predicted, thresholds, base, out);
        } else {
            (first..out.len()).for_each(|j| block::<1, R>(j, rows, near, predicted, thresholds, base, out));
        }
    }
}

/// [`contexts`] of `N` points from `first` on. That the numbers of points and of rows are known keeps all sums in registers.
#[inline(always)]
fn block<const N: usize, const R: usize>(
    first: usize,
    rows: &[(&[u8], u16); R],
    near: [&[i32]; 4],
    predicted: &[i32],
    thresholds: &Thresholds,
    base: u8,
    out: &mut [u8],
) {
    let mut known = [&[0u8; N]; R];
    for r in 0..R {
        let Some(row) = rows[r].0[first..].first_chunk::<N>() else { return };
        known[r] = row;
    }
    let mut sums = [0u16; N];
    for j in 0..N {
        let mut sum = 0u16;
        for r in 0..R {
            sum = sum.wrapping_add(u16::from(known[r][j]).wrapping_mul(rows[r].1));
        }
        sums[j] = sum;
    }
    let [a, b, c, d] = near;
    let (Some(a), Some(b)) = (a[first..].first_chunk::<N>(), b[first..].first_chunk::<N>()) else { return };
    let (Some(c), Some(d)) = (c[first..].first_chunk::<N>(), d[first..].first_chunk::<N>()) else { return };
    let (Some(predicted), Some(out)) =
        (predicted[first..].first_chunk::<N>(), out[first..].first_chunk_mut::<N>())
    else {
        return;
    };
    let [low, middle, high] = *thresholds;
    for j in 0..N {
        let p = predicted[j];
        // Cut off so that the sum of four cannot overflow.
        let distance = |v: i32| v.wrapping_sub(p).unsigned_abs().min(1 << 28) as i32;
        let spread = distance(a[j]) + distance(b[j]) + distance(c[j]) + distance(d[j]);
        out[j] = base + u8::from(spread >= low) + u8::from(spread >= middle) + u8::from(spread >= high);
    }
    // At wide bounds nearly all residuals are zero.
    if sums.iter().fold(0, |any, sum| any | sum) != 0 {
        for j in 0..N {
            let sum = i32::from(sums[j]);
            let level = ((half_octaves(sum) >> 1) - 1).max(i32::from(sum > 0)).min(LEVELS - 1);
            out[j] += level as u8 * SPREADS as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::plane::Pyramid;
    use crate::predict::taps::PASSES;
    use proptest::prelude::*;

    #[test]
    fn sums_of_activities_fit_into_their_numbers() {
        let pyramid = Pyramid::of(&[255u8; 40 * 40], 40);
        let smoothed = [&[255u8; 4][..]; 3];
        for kind in PASSES.into_iter().chain([Kind::Root]) {
            for (level, references) in [(0, 0), (0, 2), (0, 3), (1, 0), (1, 1), (1, 3)] {
                let lattice = (kind != Kind::Root).then(|| &pyramid.levels[level]);
                let rows = activity_rows(kind, level, lattice, &smoothed[..references]);
                let sum: u32 = rows.iter().map(|(row, w)| u32::from(row[0]) * u32::from(*w)).sum();
                assert!(sum <= u32::from(u16::MAX), "{kind:?} {level} {references}: {sum}");
                assert!(sum > 0 || kind == Kind::Root && references == 0);
            }
        }
    }

    proptest! {
        #[test]
        fn kernels_follow_the_definition(
            n in 0usize..150,
            count in 0usize..=MAX_ROWS,
            weights in prop::array::uniform18(0u16..14),
            heavy in prop::option::of(14u16..150),
            step in prop_oneof![1i32..9, 1000..1500],
            shift in 0u32..30,
            seed in any::<u64>(),
        ) {
            let mut weights = weights;
            if let (Some(heavy), ..9) = (heavy, count) {
                weights[0] = heavy;
            }
            let mut state = seed;
            let mut next = |below: u64| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 33) % below
            };
            let rows: Vec<Vec<u8>> = (0..count).map(|_| (0..n).map(|_| (next(256) >> next(9)) as u8).collect()).collect();
            let near: [Vec<i32>; 4] = std::array::from_fn(|_| (0..n).map(|_| (next(80) as i32 - 40) << next(1 + u64::from(shift))).collect());
            let predicted: Vec<i32> = (0..n).map(|_| (next(80) as i32 - 40) << next(1 + u64::from(shift))).collect();
            let activities: ActivityRows = rows.iter().map(|r| &r[..]).zip(weights).collect();
            let mut out = vec![0; n];
            let mut defined = vec![0; n];
            let near_rows = near.each_ref().map(|v| &v[..]);
            contexts(&activities, near_rows, &predicted, &thresholds(step), 7, &mut out);
            plain(&activities, near_rows, &predicted, &thresholds(step), 7, &mut defined);
            prop_assert_eq!(&out, &defined);
            #[cfg(target_arch = "x86_64")]
            if n >= contexts_narrow::POINTS
                && instruction_set() != InstructionSet::Portable
                && activities.iter().all(|a| a.1 <= HEAVIEST)
                && thresholds(step).iter().all(|t| *t <= WIDEST)
            {
                out.fill(0);
                contexts_narrow::contexts(&activities, near_rows, &predicted, &thresholds(step), 7, &mut out);
                prop_assert_eq!(&out, &defined);
            }
            for j in 0..n {
                let t: u32 = activities.iter().map(|(row, w)| u32::from(row[j]) * u32::from(*w)).sum();
                let octave = t.checked_ilog2().unwrap_or(0);
                let above = octave > 0 && t >> (octave - 1) & 1 == 1;
                let a = if t == 0 { 0 } else { (octave + u32::from(above)).saturating_sub(1).clamp(1, 12) };
                let spread = near.iter().map(|v| v[j].wrapping_sub(predicted[j]).unsigned_abs().min(1 << 28)).sum::<u32>();
                let b = [3, 12, 48].iter().filter(|s| (*s * step + 3) / 4 <= spread as i32).count() as u32;
                prop_assert_eq!(u32::from(out[j]), 7 + 4 * a + b, "{} points, {} rows, point {}", n, count, j);
            }
        }
    }

    #[test]
    fn contexts_grow_with_activity_and_spread() {
        let context = |activity: u8, weight: u16, spread: i32| {
            let n = BLOCK + 3;
            let (row, near, predicted) = (vec![activity; n], vec![100 + spread; n], vec![100; n]);
            let mut out = vec![0; n];
            contexts(&[(&row, weight)], [&near; 4], &predicted, &thresholds(8), CONTEXTS, &mut out);
            assert!(out.iter().all(|c| *c == out[0]));
            out[0] - CONTEXTS
        };
        let levels = [0, 1, 5, 6, 11, 12, 24, 255].map(|a| context(a, 1, 0) / SPREADS as u8);
        assert_eq!(levels, [0, 1, 1, 2, 2, 3, 4, 7]);
        assert_eq!(context(255, 257, 1 << 28), CONTEXTS - 1);
        // The thresholds are 3/16, 3/4 and 3 steps at each of four neighbours.
        assert_eq!([0, 1, 2, 5, 6, 23, -24].map(|s| context(0, 1, s)), [0, 0, 1, 1, 2, 2, 3]);
    }
}
