//! Which weights a class sends: among the tyings, the numbers of weights and their precisions the one of the shortest
//! description, bits for the residuals plus bits for the weights.

use super::effort::Effort;
use super::gram::{Equations, Gram};
use super::taps::{base_taps, taps, Kind, Source, Tap};
use super::weights::{Sent, Tying, MAX_PRECISION};
use super::Scale;

/// Estimated bits per point of residuals with this mean square, in quantisation steps: the entropy of a normal
/// variable where it is wide, falling to 0 where it is narrow.
fn bits_per_point(mean_square: f64) -> f64 {
    0.5 * (1.0 + 17.0 * mean_square).log2()
}

/// The taps of a kind that are worth a try, and how they may share weights.
pub struct Candidates {
    /// The taps, by the groups of the first tying.
    pub near: Vec<(Tap, ())>,
    /// Taps of each of these groups.
    pub sizes: Vec<usize>,
    /// Which of the taps are the base.
    pub base: Vec<usize>,
    /// The ways to share weights.
    tyings: Vec<Tied>,
}

/// How the candidates share weights by one tying.
struct Tied {
    tying: Tying,
    /// The number of the weight of each group of the first tying.
    shared: Vec<usize>,
    /// Which of the tying's weights these are.
    used: Vec<usize>,
    /// Bits per point that each tap of these must save.
    costs: Vec<f64>,
}

impl Candidates {
    /// Those that this effort tries.
    pub fn new(kind: Kind, references: usize, effort: &Effort) -> Self {
        let all = taps(kind, references);
        let is_near = |t: &Tap| {
            let far = matches!(t.source, Source::Reference(1..));
            t.dy * t.dy + t.dx * t.dx <= effort.reach - i32::from(far)
        };
        let (finest, count) = effort.tyings[0].groups(kind, references);
        let mut near: Vec<usize> = (0..all.len()).filter(|&i| is_near(&all[i])).collect();
        near.sort_by_key(|&i| finest[i]);
        let mut sizes = vec![0; count];
        near.iter().for_each(|&i| sizes[finest[i]] += 1);
        sizes.retain(|n| *n > 0);
        // The first tap of each group stands for it.
        let first: Vec<usize> =
            near.chunk_by(|&i, &j| finest[i] == finest[j]).map(|group| group[0]).collect();
        let tyings = effort.tyings.iter().map(|&tying| {
            let (groups, _) = tying.groups(kind, references);
            let used: u64 = first.iter().fold(0, |bits, &i| bits | 1 << groups[i]);
            let rank = |&i: &usize| (used & ((1 << groups[i]) - 1)).count_ones() as usize;
            let used: Vec<usize> = (0..64).filter(|g| used >> g & 1 == 1).collect();
            let tap = |g: &usize| first.iter().find(|&&i| groups[i] == *g).map(|&i| &all[i]);
            let costs = used.iter().map(|g| tap(g).map_or(0.0, |tap| effort.cost(tap))).collect();
            Tied { tying, shared: first.iter().map(rank).collect(), used, costs }
        });
        let tyings = tyings.collect();
        let base = near.iter().enumerate().filter(|(_, &i)| i < base_taps(kind)).map(|(at, _)| at).collect();
        Self { sizes, base, tyings, near: near.iter().map(|&i| (all[i], ())).collect() }
    }
}

/// Sampled points that tell as much as one: neighbours are alike.
const ALIKE: f64 = 3.0;

/// Bits of a weight, roughly.
const BITS_PER_WEIGHT: f64 = 7.0;

/// What a class may send: the weights of shortest description of its own, and what tells how those of another would do.
pub struct Solved {
    own: Sent,
    /// Bits with these.
    least: f64,
    /// Points of the class.
    points: f64,
    /// The equations of each tying that was tried.
    tried: Vec<(Tying, Equations, Vec<usize>)>,
}

/// Solves for the weights of one class of so many points.
pub fn solve(gram: &Gram, candidates: &Candidates, points: f64, scale: &Scale, noise: f64) -> Solved {
    let bits = |error: f64| points * bits_per_point(error);
    let mut best = Sent::none(Tying::Default);
    if gram.samples == 0.0 {
        return Solved::unknown();
    }
    // What was fitted to the sample predicts other points less well: Akaike's final prediction error.
    let penalty = |k: usize| {
        let fitted = (k as f64 / (gram.samples / ALIKE)).min(0.9);
        (1.0 + fitted) / (1.0 - fitted)
    };
    let mut least = f64::INFINITY;
    let mut tried = vec![];
    let products = gram.products();
    for Tied { tying, shared, used, costs } in &candidates.tyings {
        let equations = products.equations(shared, used.len(), noise);
        let factor = equations.factor();
        let most = factor.errors.len().min((gram.samples / 2.0) as usize);
        let mut taps = 0.0;
        let estimates = (0..most).map(|k| {
            let side = 20.0 + BITS_PER_WEIGHT * (used[k] + 1) as f64;
            taps += equations.taps[k] * costs[k];
            (bits(penalty(k + 1) * factor.errors[k]) + side + taps * points, k + 1)
        });
        let Some((estimate, k)) = estimates.min_by(|a, b| a.0.total_cmp(&b.0)) else { continue };
        tried.push((estimate, k, *tying, equations, used, factor));
    }
    tried.sort_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, k, tying, equations, used, factor)) = tried.first() {
        least = bits(equations.square) + 3.0;
        let w = factor.weights(*k);
        // The weight of each tap, by the tying's numbers.
        let mut of_taps = vec![0.0; used[*k - 1] + 1];
        for ((g, w), n) in used.iter().zip(&w).zip(&equations.taps) {
            of_taps[*g] = w / n;
        }
        let mut precision = MAX_PRECISION.min(scale.shift);
        let mut before = f64::INFINITY;
        while precision >= 4 {
            let unit = f64::from(1u32 << precision);
            let limit = f64::from(1 << 20);
            let round = |v: &f64| (v * unit).round().clamp(-limit, limit);
            let rounded: Vec<f64> =
                w.iter().zip(&equations.taps).map(|(w, n)| n * round(&(w / n)) / unit).collect();
            let sent =
                Sent { tying: *tying, precision, values: of_taps.iter().map(|v| round(v) as i32).collect() };
            let b = bits(penalty(*k) * equations.error(&rounded)) + f64::from(sent.bits());
            if b < least {
                least = b;
                best = sent;
            }
            if b > before {
                break;
            }
            before = b;
            precision -= 2;
        }
    }
    let tried = tried.into_iter().map(|(_, _, tying, equations, used, _)| (tying, equations, used.clone()));
    Solved { own: best, least, points, tried: tried.collect() }
}

impl Solved {
    /// Of a class of which nothing is known.
    pub fn unknown() -> Self {
        Self { own: Sent::none(Tying::Default), least: f64::INFINITY, points: 0.0, tried: vec![] }
    }

    /// What to send where `last` are the weights that were sent last for such points.
    pub fn or_repeat(self, last: Option<&Sent>) -> Sent {
        let Some(last) = last else { return self.own };
        if self.tried.is_empty() {
            return Sent::none(Tying::Repeat);
        }
        let Some((_, equations, used)) = self.tried.iter().find(|t| t.0 == last.tying) else {
            return self.own;
        };
        let unit = f64::from(1u32 << last.precision);
        let w: Vec<f64> = used
            .iter()
            .zip(&equations.taps)
            .map(|(g, n)| n * f64::from(last.values.get(*g).copied().unwrap_or(0)) / unit)
            .collect();
        if self.points * bits_per_point(equations.error(&w)) + 3.0 < self.least {
            return Sent::none(Tying::Repeat);
        }
        self.own
    }
}
