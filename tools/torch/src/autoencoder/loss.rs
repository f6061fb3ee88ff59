//! What is minimised: how far a block is from its reconstruction, and how far latents are from a normal distribution.
//!
//! The latter as a sliced Wasserstein distance (Kolouri, Pope, Martin, Rohde: Sliced-Wasserstein Autoencoders, 2018): latents
//! and as many samples of the normal distribution are projected on random directions, in each of which the distance of two
//! sorted lists is that of the distributions.

use super::blocks::Batch;
use tch::{Kind, Tensor};

/// Directions.
const PROJECTIONS: i64 = 200;

/// Mean absolute and mean squared error, in halves of the range.
pub fn errors(output: &Tensor, batch: &Batch) -> (Tensor, Tensor) {
    let error = output - &batch.values;
    let mean = |x: Tensor| match &batch.mask {
        Some(mask) => (x * mask).sum(Kind::Float) / mask.sum(Kind::Float).clamp_min(1.0),
        None => x.mean(Kind::Float),
    };
    (mean(error.abs()), mean(error.square()))
}

/// The squared sliced Wasserstein distance of latents [blocks, latents] to a normal distribution.
pub fn sliced_wasserstein(latents: &Tensor) -> Tensor {
    let (n, count) = (latents.size()[0], latents.size()[1]);
    let options = (Kind::Float, latents.device());
    let directions = Tensor::randn([count, PROJECTIONS], options);
    let directions =
        &directions / directions.square().sum_dim_intlist([0].as_slice(), true, Kind::Float).sqrt();
    let sorted = |x: &Tensor| x.matmul(&directions).sort(0, false).0;
    let normal = Tensor::randn([n, count], options);
    (sorted(latents) - sorted(&normal)).square().mean(Kind::Float)
}

/// How far mean and variance of each latent are from 0 and 1.
pub fn moments(latents: &Tensor) -> Tensor {
    let mean = latents.mean_dim([0].as_slice(), false, Kind::Float);
    let square = latents.square().mean_dim([0].as_slice(), false, Kind::Float);
    (mean.square() + (square - 1.0).square()).mean(Kind::Float)
}
