//! How good a forecast is on steps that were not trained on.

use crate::field::{batch, Field, Window};
use crate::forecaster::{Plan, MULTIPLE};
use crate::loss::PASSES;
use crate::net::Net;
use rand::rngs::StdRng;
use serde::Serialize;
use tch::{no_grad, Kind, Tensor};

/// Mean errors of forecasts in units of the bound, and estimated bits per point.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Score {
    /// The bound, over the range.
    pub bound: f64,
    /// Mean error of the network's forecast.
    pub forecast: f64,
    /// Mean error of the last frame taken as the forecast.
    pub persistence: f64,
    /// Mean error of the last frame and its last change.
    pub extrapolation: f64,
    /// Bits per point of a least-squares prediction from neighbours and the last two frames.
    pub bits_without: f64,
    /// The same with the forecast.
    pub bits_with: f64,
}

/// Points that a fit looks at, at most.
const POINTS: i64 = 200_000;

/// Scores on `steps` (the last of them first, at most `count`) at the relative `bound`.
pub fn score(
    net: &Net,
    plan: &Plan,
    field: &Field,
    steps: std::ops::Range<i64>,
    count: i64,
    bound: f64,
    rng: &mut StdRng,
) -> Score {
    let absolute = bound * field.range;
    let mut score = Score { bound, ..Score::default() };
    let mut rows: Vec<[Tensor; 3]> = vec![];
    let first = (steps.start + 2).max(plan.frames);
    let every = ((steps.end - first) / count).max(1);
    let Ok(decoded) = field.decode(0..steps.end, absolute, 1) else { return score };
    let mut seen = 0.0;
    let mut t = steps.end - 1;
    while t >= first && seen < count as f64 {
        let z = (t * 7) % field.size[1];
        let Some(scales) = field.scales_around(t, steps.clone(), rng) else { break };
        let window = Window { at: (t, z), corner: (0, 0), size: (field.size[2], field.size[3]) };
        let b = batch(vec![field.sample(plan, &window, &scales, absolute, Some(&decoded))]);
        let output = no_grad(|| net.forward(&pad(&b.input))).narrow(2, 0, field.size[2]).narrow(3, 0, field.size[3]);
        let unit = absolute / scales.change;
        let mean = |e: Tensor| -> f64 {
            let e = match &b.mask {
                Some(m) => (e.abs() * m).sum(Kind::Double) / m.sum(Kind::Double),
                None => e.abs().mean(Kind::Double),
            };
            f64::try_from(e).unwrap_or(f64::NAN) / unit
        };
        score.forecast += mean(&output - &b.target);
        score.persistence += mean(b.target.shallow_clone());
        score.extrapolation += mean(&b.target - b.input.narrow(1, 1, 1));
        seen += 1.0;
        // In units of the quantisation step from here on: F1, F2, forecast less F1, target less F1.
        let steps_per_unit = 0.5 / unit;
        rows.push([
            b.input.narrow(1, 1, 1) * steps_per_unit,
            output * steps_per_unit,
            b.target * steps_per_unit,
        ]);
        t -= every;
    }
    if seen > 0.0 {
        for sum in [&mut score.forecast, &mut score.persistence, &mut score.extrapolation] {
            *sum /= seen;
        }
        score.bits_without = coded(&rows, false);
        score.bits_with = coded(&rows, true);
    }
    score
}

/// Repeats the last row and column up to a multiple of what the network halves.
pub fn pad(planes: &Tensor) -> Tensor {
    let (_, _, h, w) = planes.size4().unwrap_or((0, 0, 0, 0));
    let more = |n: i64| (MULTIPLE - n % MULTIPLE) % MULTIPLE;
    planes.replication_pad2d([0, more(w), 0, more(h)])
}

/// Bits per point of residuals after least squares on the target's neighbours (with the quantiser's noise) and patches
/// of the references, for each pass.
fn coded(rows: &[[Tensor; 3]], forecast: bool) -> f64 {
    let patch = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)];
    let (mut bits, mut shares) = (0.0, 0.0);
    for pass in PASSES.iter().flatten() {
        let reach = pass.neighbours[0].0.abs();
        // All as differences from the last frame's value, which takes that frame's own point out of the fit.
        let mut columns: Vec<Vec<Tensor>> = vec![];
        let mut targets = vec![];
        for [change, output, target] in rows {
            let (_, _, h, w) = target.size4().unwrap_or((0, 0, 0, 0));
            if h < 4 * reach || w < 4 * reach {
                return bits / f64::max(shares, 1e-9);
            }
            let at = |x: &Tensor, (dy, dx): (i64, i64)| {
                let inner = x.narrow(2, reach + dy, h - 2 * reach).narrow(3, reach + dx, w - 2 * reach);
                inner.reshape([-1]).to_kind(Kind::Double)
            };
            let known = target + (target.rand_like() - 0.5);
            let mut row: Vec<Tensor> = pass.neighbours.iter().map(|&o| at(&known, o)).collect();
            row.extend(patch.iter().map(|&o| at(change, o)));
            if forecast {
                row.extend(patch[..5].iter().map(|&o| at(output, o)));
            }
            columns.push(row);
            targets.push(at(target, (0, 0)));
        }
        let stacked: Vec<Tensor> = (0..columns[0].len())
            .map(|i| Tensor::cat(&columns.iter().map(|r| &r[i]).collect::<Vec<_>>(), 0))
            .collect();
        let a = Tensor::stack(&stacked, 1);
        let y = Tensor::cat(&targets, 0).unsqueeze(1);
        let every = (a.size()[0] / POINTS).max(1);
        let some = |x: &Tensor| x.slice(0, 0, None, every);
        let (sa, sy) = (some(&a), some(&y));
        let n = a.size()[1];
        let gram = sa.tr().matmul(&sa) + Tensor::eye(n, (Kind::Double, a.device())) * 1e-3;
        let Ok(weights) = Tensor::f_linalg_solve(&gram, &sa.tr().matmul(&sy), true) else { return f64::NAN };
        let q = (y - a.matmul(&weights)).round().squeeze();
        let (_, _, h, w) = rows[0][0].size4().unwrap_or((0, 0, 0, 0));
        bits += pass.share * entropy(&q, (h - 2 * reach) as usize, (w - 2 * reach) as usize, reach as usize);
        shares += pass.share;
    }
    bits / shares
}

/// Entropy of integers given how large those `s` points beside them are.
fn entropy(q: &Tensor, h: usize, w: usize, s: usize) -> f64 {
    let q: Vec<f64> = Vec::try_from(q.to_device(tch::Device::Cpu).reshape([-1])).unwrap_or_default();
    let mut counts = vec![std::collections::HashMap::<i32, u32>::new(); 24];
    for plane in q.chunks_exact(h * w) {
        for y in s..h.saturating_sub(s) {
            for x in s..w.saturating_sub(s) {
                let i = y * w + x;
                let around = [i - s, i + s, i - s * w, i + s * w].iter().map(|&k| plane[k].abs()).sum::<f64>();
                let context = (2.0 * (1.0 + around).log2()) as usize;
                *counts[context.min(23)].entry(plane[i].clamp(-2e9, 2e9) as i32).or_default() += 1;
            }
        }
    }
    let (mut bits, mut total) = (0.0, 0.0);
    for context in &counts {
        let n: u32 = context.values().sum();
        total += f64::from(n);
        bits += context.values().map(|&c| f64::from(c) * (f64::from(n) / f64::from(c)).log2()).sum::<f64>();
    }
    bits / f64::max(total, 1.0)
}
