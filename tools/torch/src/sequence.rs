//! Sequences of frames, as the codec shows them to a network that remembers.
//!
//! The network starts with nothing remembered at some frame and is run over those that follow. Some of the runs only warm
//! it up; gradients go back through those after them (truncated back-propagation through time: Williams and Peng, An Efficient
//! Gradient-Based Algorithm for On-Line Training of Recurrent Network Trajectories, 1990).

use crate::field::{wide, Batch, Field, Scales, POSITION};
use crate::net::Net;
use crate::recurrent::Plan;
use rand::rngs::StdRng;
use rand::Rng;
use tch::{no_grad, Kind, Tensor};

/// Forecasts that gradients go back through, at most.
const FORECASTS: i64 = 9;
/// Least standard deviation and change: where nothing changes everything is 0.
const LEAST: f64 = 1e-30;

/// Which frames of a piece.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The frame at which the network starts.
    pub first: i64,
    /// Runs that only warm up.
    pub warm: i64,
    /// Forecasts after them.
    pub forecasts: i64,
}

impl Span {
    /// A random part of `steps` frames; in half of the cases without warming up.
    pub fn random(steps: i64, rng: &mut StdRng) -> Self {
        let forecasts = FORECASTS.min(steps - 1);
        let spare = steps - 1 - forecasts;
        let warm = if rng.random() { rng.random_range(0..=spare) } else { 0 };
        Self { first: rng.random_range(0..=spare - warm), warm, forecasts }
    }

    /// All frames from `first` on, as the codec runs over a chunk.
    pub fn whole(first: i64, steps: i64) -> Self {
        Self { first, warm: 0, forecasts: steps - 1 - first }
    }
}

/// A part of each frame.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// First level.
    pub level: i64,
    /// First row and column.
    pub corner: (i64, i64),
    /// Rows and columns.
    pub size: (i64, i64),
}

/// Statistics of the frames of each channel, as the codec takes them of a chunk.
pub fn scales(field: &Field, channels: i64) -> Vec<Scales> {
    let [steps, levels, h, w] = field.size;
    let member = |x: &Tensor, c: i64| x.view([steps, levels / channels, channels, h, w]).select(2, c);
    let total = |x: Tensor, mask: Option<Tensor>| -> (f64, f64) {
        let (sum, count) = match mask {
            Some(mask) => ((x * &mask).sum(Kind::Double), mask.sum(Kind::Double)),
            None => (x.sum(Kind::Double), Tensor::from(x.numel() as f64)),
        };
        (sum.double_value(&[]), count.double_value(&[]).max(1.0))
    };
    let of = |c: i64| {
        let frames = member(&field.frames, c);
        let mask = || field.mask.as_ref().map(|m| member(m, c));
        let mean = |x: Tensor, mask: Option<Tensor>| {
            let (sum, count) = total(x, mask);
            sum / count
        };
        let centre = mean(frames.shallow_clone(), mask());
        let square = mean((&frames - centre).square(), mask());
        let part = |x: &Tensor, first: i64| x.narrow(0, first, steps - 1);
        let both = mask().map(|m| part(&m, 1) * part(&m, 0));
        let change = mean((part(&frames, 1) - part(&frames, 0)).square(), both);
        Scales { mean: centre, deviation: square.sqrt().max(LEAST), change: change.sqrt().max(LEAST) }
    };
    (0..channels).map(of).collect()
}

/// What the network reads (\[runs, planes, rows, columns\]), what it should give (\[forecasts, channels, rows, columns\]), the bound of
/// each channel in the same units, and where points count.
pub struct Sample {
    input: Tensor,
    target: Tensor,
    bound: Tensor,
    mask: Option<Tensor>,
}

/// The sample of a field whose `decoded` frames are known.
pub fn sample(
    plan: &Plan,
    field: &Field,
    decoded: &Tensor,
    (span, place): (Span, Place),
    scales: &[Scales],
    bound: f64,
) -> Sample {
    let Span { first, warm, forecasts } = span;
    let runs = warm + forecasts;
    let cut = |x: &Tensor, first: i64, steps: i64| {
        let x = x.narrow(0, first, steps).narrow(1, place.level, plan.channels);
        x.narrow(2, place.corner.0, place.size.0).narrow(3, place.corner.1, place.size.1)
    };
    let device = field.frames.device();
    let column = |of: &dyn Fn(&Scales) -> f64| {
        let all: Vec<f32> = scales.iter().map(|s| of(s) as f32).collect();
        Tensor::from_slice(&all).view([1, -1, 1, 1]).to_device(device)
    };
    // Differences first, so that small ones of large values keep their digits.
    let mean = column(&|s| s.mean);
    let position = |x: Tensor| (x - &mean) * column(&|s| POSITION / s.deviation);
    let change = |x: Tensor| x * column(&|s| 1.0 / s.change);
    let last = cut(decoded, first, runs);
    let next = cut(&field.frames, first + warm + 1, forecasts);
    let mut planes = vec![wide(&position(last.shallow_clone()))];
    let (target, unit) = if plan.planes == 1 {
        (position(next), column(&|s| bound * POSITION / s.deviation))
    } else {
        let before = cut(decoded, first, runs - 1);
        let changes = wide(&change(last.narrow(0, 1, runs - 1) - before));
        planes.push(Tensor::cat(&[changes.narrow(0, 0, 1).zeros_like(), changes], 0));
        (change(next - last.narrow(0, warm, forecasts)), column(&|s| bound / s.change))
    };
    let mask = field.mask.as_ref().map(|m| cut(m, first + warm + 1, forecasts));
    Sample { input: Tensor::cat(&planes, 1), target, bound: unit.repeat([forecasts, 1, 1, 1]), mask }
}

/// Puts samples together: the input is \[runs, samples, planes, rows, columns\], the rest \[forecasts times samples, channels, ...\].
pub fn batch(samples: Vec<Sample>) -> Batch {
    let together = |of: &dyn Fn(&Sample) -> Tensor| {
        let all: Vec<Tensor> = samples.iter().map(of).collect();
        Tensor::stack(&all, 1)
    };
    let flat = |of: &dyn Fn(&Sample) -> Tensor| together(of).flatten(0, 1);
    let mask = samples
        .iter()
        .any(|s| s.mask.is_some())
        .then(|| flat(&|s| s.mask.as_ref().map_or_else(|| s.target.ones_like(), Tensor::shallow_clone)));
    Batch {
        input: together(&|s| s.input.shallow_clone()),
        target: flat(&|s| s.target.shallow_clone()),
        bound: flat(&|s| s.bound.shallow_clone()),
        mask,
    }
}

/// The last `forecasts` forecasts of a network that is run over `input` (\[runs, samples, planes, rows, columns\]).
pub fn run(net: &Net, input: &Tensor, forecasts: i64) -> Tensor {
    let prepared = net.prepared();
    let runs = input.size()[0];
    let mut states = prepared.zeros(&input.get(0));
    let mut all = vec![];
    for t in 0..runs {
        let mut inputs = vec![input.get(t)];
        inputs.append(&mut states);
        let mut outputs =
            if t < runs - forecasts { no_grad(|| prepared.run(&inputs)) } else { prepared.run(&inputs) };
        states = outputs.split_off(1);
        if t >= runs - forecasts {
            all.append(&mut outputs);
        }
    }
    Tensor::cat(&all, 0)
}

/// What a forecast by the last frame alone would be, of the same shape as the target.
pub fn persistence(plan: &Plan, batch: &Batch) -> Tensor {
    if plan.planes == 2 {
        return batch.target.zeros_like();
    }
    let (runs, samples) = (batch.input.size()[0], batch.input.size()[1]);
    let forecasts = batch.target.size()[0] / samples;
    batch.input.narrow(0, runs - forecasts, forecasts).narrow(2, 0, plan.channels).flatten(0, 1)
}
