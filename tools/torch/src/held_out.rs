//! How good a forecast is on steps that were not trained on.

use crate::decoded::Role;
use crate::design::Design;
use crate::field::{batch, Batch, Field, Window};
use crate::forecasting::Forecasting;
use crate::loss;
use crate::recurrent;
use crate::sequence::{self, Place, Span};
use crate::train::Source;
use augur_core::{encode, Bound, Dtype, Model, Params};
use rand::rngs::StdRng;
use serde::Serialize;
use std::sync::Arc;
use tch::{no_grad, Device, Kind, Tensor};

/// Mean errors of forecasts in units of the bound, and bits per point.
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
    /// Bits per point in the codec's `balanced`.
    pub bits_without: f64,
    /// Bits per point with the model: in `learned`, or in `tezip+`.
    pub bits_with: f64,
    /// Bits per point of what the network leaves, as the loss estimates them; 0 where it is not estimated.
    pub estimate: f64,
    /// The same of what the last frame leaves.
    pub persistence_estimate: f64,
}

/// Steps, levels, and rows and columns that are coded, at most.
const STEPS: i64 = 16;
const LEVELS: i64 = 4;
const SIDE: i64 = 256;

/// Scores on the held-out steps of a source (the last of them first, at most `count`) at the relative `bound`.
pub fn score(
    task: &Forecasting,
    model: &Arc<Model>,
    source: &Source,
    count: i64,
    bound: f64,
    rng: &mut StdRng,
) -> Score {
    let (net, field, steps) = (task.net, &source.field, source.held_out.clone());
    let absolute = bound * field.range;
    let mut score = Score { bound, ..Score::default() };
    let plan = match task.design {
        Design::Frame(Role::Forecaster, plan) => plan,
        other => {
            // Frames of an interpolator depend on the codec's order; what counts are the bits.
            if let Design::Recurrent(plan) = other {
                remembering(&mut score, task, plan, source, absolute);
            }
            let bits = coded(task.design, field, &steps, absolute, model);
            (score.bits_without, score.bits_with) = bits.unwrap_or((f64::NAN, f64::NAN));
            return score;
        }
    };
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
        let output = no_grad(|| net.forward(&pad(&b.input, task.design.multiple())))
            .narrow(2, 0, field.size[2])
            .narrow(3, 0, field.size[3]);
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
        t -= every;
    }
    if seen > 0.0 {
        for sum in [&mut score.forecast, &mut score.persistence, &mut score.extrapolation] {
            *sum /= seen;
        }
        if let Ok((without, with)) = coded(task.design, field, &steps, absolute, model) {
            (score.bits_without, score.bits_with) = (without, with);
        }
    }
    score
}

/// The forecasts of a network that remembers, over the last held-out steps.
fn remembering(
    score: &mut Score,
    task: &Forecasting,
    plan: &recurrent::Plan,
    source: &Source,
    absolute: f64,
) {
    let (field, net) = (&source.field, task.net);
    let from = (source.held_out.end - STEPS).max(source.held_out.start);
    let Ok(decoded) = field.decode(from..source.held_out.end, absolute, 1) else { return };
    let field = field.steps(from..source.held_out.end);
    let [steps, levels, h, w] = field.size;
    let scales = sequence::scales(&field, plan.channels);
    let level = levels / plan.channels / 2 * plan.channels;
    let place = Place { level, corner: (0, 0), size: (h, w) };
    let at = (Span::whole(0, steps), place);
    let b = sequence::batch(vec![sequence::sample(plan, &field, &decoded, at, &scales, absolute)]);
    let input = pad(&b.input.squeeze_dim(1), task.design.multiple()).unsqueeze(1);
    let runs = input.size()[0];
    let output = no_grad(|| sequence::run(net, &input, runs)).narrow(2, 0, h).narrow(3, 0, w);
    let last = sequence::persistence(plan, &b);
    let mean = |e: Tensor| -> f64 {
        let e = e.abs() / &b.bound;
        let e = match &b.mask {
            Some(m) => (e * m).sum(Kind::Double) / m.sum(Kind::Double),
            None => e.mean(Kind::Double),
        };
        f64::try_from(e).unwrap_or(f64::NAN)
    };
    score.forecast = mean(&output - &b.target);
    score.persistence = mean(&last - &b.target);
    // The last frame and its last change: from the second forecast on, as the first has none.
    let change = match plan.planes {
        2 => input.select(1, 0).narrow(1, plan.channels, plan.channels).narrow(2, 0, h).narrow(3, 0, w),
        _ => Tensor::cat(
            &[last.narrow(0, 0, 1).zeros_like(), last.diff(1, 0, None::<Tensor>, None::<Tensor>)],
            0,
        ),
    };
    score.extrapolation = mean(&last + change - &b.target);
    let bits = |output: &Tensor, b: &Batch| no_grad(|| loss::bits(output, b)).double_value(&[]);
    score.estimate = bits(&output, &b);
    score.persistence_estimate = bits(&last, &b);
}

/// Repeats the last row and column up to a multiple of what the network halves.
pub fn pad(planes: &Tensor, multiple: i64) -> Tensor {
    let (_, _, h, w) = planes.size4().unwrap_or((0, 0, 0, 0));
    let more = |n: i64| (multiple - n % multiple) % multiple;
    planes.replication_pad2d([0, more(w), 0, more(h)])
}

/// Bits per point of the last held-out steps in the codec, without and with the model.
///
/// # Errors
/// What the codec says.
fn coded(
    design: &Design,
    field: &Field,
    steps: &std::ops::Range<i64>,
    bound: f64,
    model: &Arc<Model>,
) -> Result<(f64, f64), String> {
    let count = (steps.end - steps.start).min(STEPS);
    let mut frames = field.frames.narrow(0, steps.end - count, count);
    for (axis, most) in [(1, LEVELS), (2, SIDE), (3, SIDE)] {
        let n = field.size[axis as usize];
        let most = if axis == 1 { most / design.channels().min(most) * design.channels() } else { most };
        let kept = n.min(most.max(design.channels()));
        let first = (n - kept) / 2;
        let first = if axis == 1 { first / design.channels() * design.channels() } else { first };
        frames = frames.narrow(axis, first, kept);
    }
    let shape: Vec<usize> = frames.size().iter().map(|&n| n as usize).collect();
    let flat = frames.to_device(Device::Cpu).reshape([-1]);
    let values = Vec::<f32>::try_from(flat).map_err(|e: tch::TchError| e.to_string())?;
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let mut params = Params::new(Dtype::F32, &shape, Bound::Absolute(bound));
    let bits = |params: &Params| {
        let stream = encode(params, &raw).map_err(|e| e.to_string())?;
        Ok::<f64, String>(8.0 * stream.len() as f64 / values.len() as f64)
    };
    let without = bits(&params)?;
    params.preset = design.preset();
    params.model = Some(Arc::clone(model));
    Ok((without, bits(&params)?))
}
