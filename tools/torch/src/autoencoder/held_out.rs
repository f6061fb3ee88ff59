//! How good reconstructions are of blocks that were not trained on.

use super::blocks::Batch;
use super::training::Training;
use super::{loss, Autoencoder};
use serde::Serialize;
use tch::{no_grad, Kind, Tensor};

/// What the codec rounds latents to: this share of the bound, as a share of their range.
const STEP: f64 = 0.1;
/// Least step, a unit of the latents.
const LEAST: f64 = 1.0 / super::LATENT;

/// Errors of held-out blocks, of which the chunk's range is the unit.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reconstruction {
    /// Peak signal-to-noise ratio in decibels, the latents not rounded.
    pub psnr: f64,
    /// Mean absolute error.
    pub error: f64,
    /// That of the mean of each block.
    pub mean_error: f64,
    /// For a few bounds.
    pub scores: Vec<Score>,
}

/// Errors at a bound, to which latents are rounded.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Score {
    /// The bound, over the range.
    pub bound: f64,
    /// Step of the latents in standard deviations.
    pub step: f64,
    /// Mean absolute error in bounds.
    pub error: f64,
    /// Share of the points that are off by less than the bound.
    pub within: f64,
}

/// Looks at all held-out blocks, with bounds over the range from the least to the greatest; `None` where there are none.
pub fn reconstruction(task: &Training, (low, high): (f64, f64)) -> Option<Reconstruction> {
    no_grad(|| {
        let nets = task.nets;
        let blocks: f64 = task.held_out.iter().map(|b| b.values.size()[0] as f64).sum();
        let mean = |of: &dyn Fn(&Batch) -> Tensor| -> f64 {
            let sum: f64 =
                task.held_out.iter().map(|b| of(b).double_value(&[]) * b.values.size()[0] as f64).sum();
            sum / blocks
        };
        if task.held_out.is_empty() {
            return None;
        }
        let latents: Vec<Tensor> = task.held_out.iter().map(|b| nets.encode(&b.values)).collect();
        let all = Tensor::cat(&latents, 0);
        let range = (all.max() - all.min()).double_value(&[]);
        let decoded = |b: &Batch, step: f64| {
            let latents = nets.encode(&b.values);
            nets.decode(&if step > 0.0 { Autoencoder::quantised(&latents, step) } else { latents })
        };
        // Values are in halves of the range.
        let error = mean(&|b| loss::errors(&decoded(b, 0.0), b).0) / 2.0;
        let squared = mean(&|b| loss::errors(&decoded(b, 0.0), b).1) / 4.0;
        let flat = |b: &Batch| {
            let values = b.values.mean_dim([1].as_slice(), true, Kind::Float);
            loss::errors(&values, b).0
        };
        let score = |bound: f64| {
            let step = (STEP * bound * range).max(LEAST);
            let within = |b: &Batch| {
                let off = (decoded(b, step) - &b.values).abs();
                off.le(2.0 * bound).to_kind(Kind::Float).mean(Kind::Float)
            };
            let error = mean(&|b| loss::errors(&decoded(b, step), b).0) / 2.0 / bound;
            Score { bound, step, error, within: mean(&within) }
        };
        Some(Reconstruction {
            psnr: -10.0 * squared.log10(),
            error,
            mean_error: mean(&flat) / 2.0,
            scores: [high, (low * high).sqrt(), low].into_iter().map(score).collect(),
        })
    })
}
