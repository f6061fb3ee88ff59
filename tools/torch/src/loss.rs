//! What is minimised: an estimate of the bits that the codec will spend on what the forecast leaves.
//!
//! The multiscale predictor refines a frame pass by pass; each pass knows the forecast's error at its lattice
//! neighbours and corrects for it. What costs bits is what differs from the neighbours, in units of the bound; errors below it
//! cost nothing. log2(1 + |e| / bound) has the slope of the code length of a Laplace distribution whose scale follows
//! the error (its entropy is log2 of the scale and a constant).

use crate::field::Batch;
use serde::Deserialize;
use tch::{Kind, Tensor};

/// What is minimised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// The estimate of the bits.
    #[default]
    Bits,
    /// The mean absolute error of the lowest level (Lotter et al. 2017, L0), as TEZip does it.
    L0,
}

impl Loss {
    /// Its value.
    pub fn of(self, output: &Tensor, batch: &Batch) -> Tensor {
        match self {
            Self::Bits => bits(output, batch),
            Self::L0 => {
                let error = (output - &batch.target).abs();
                match &batch.mask {
                    Some(mask) => (error * mask).sum(Kind::Float) / mask.sum(Kind::Float).clamp_min(1.0),
                    None => error.mean(Kind::Float),
                }
            }
        }
    }
}

/// A pass of the multiscale predictor: where the known neighbours are, and its share of a frame's points.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// Offsets (rows, columns) of the four known neighbours.
    pub neighbours: [(i64, i64); 4],
    /// Share of the points.
    pub share: f64,
}

/// The two passes with lattice distance `s`.
const fn passes(s: i64, share: f64) -> [Pass; 2] {
    [
        Pass { neighbours: [(-s, 0), (s, 0), (0, -s), (0, s)], share },
        Pass { neighbours: [(-s, -s), (-s, s), (s, -s), (s, s)], share: share / 2.0 },
    ]
}

/// The finest six passes; a 64th of the points is left to coarser ones.
pub const PASSES: [[Pass; 2]; 3] = [passes(1, 0.5), passes(2, 0.125), passes(4, 0.03125)];
/// Share of the points for which the error itself counts.
pub const REST: f64 = 1.0 / 64.0;
/// Weight of the mean error in units of the typical change, which steadies the training.
const STEADY: f64 = 1.0;
/// Farthest neighbour.
const REACH: i64 = 4;

/// Mean bits per point.
pub fn bits(output: &Tensor, batch: &Batch) -> Tensor {
    let error = output - &batch.target;
    let error = match &batch.mask {
        Some(mask) => error * mask,
        None => error,
    };
    let cost = |e: &Tensor| {
        let bits = (e.abs() / &batch.bound).log1p() / std::f64::consts::LN_2;
        match &batch.mask {
            Some(mask) => (bits * mask).sum(Kind::Float) / mask.sum(Kind::Float).clamp_min(1.0),
            None => bits.mean(Kind::Float),
        }
    };
    let padded = error.replication_pad2d([REACH; 4]);
    let (_, _, h, w) = error.size4().unwrap_or((0, 0, 0, 0));
    let at = |(dy, dx): (i64, i64)| padded.narrow(2, REACH + dy, h).narrow(3, REACH + dx, w);
    let over = |x: Tensor| x.sum_dim_intlist([1, 2, 3].as_slice(), true, Kind::Float);
    let mut sum = cost(&error) * REST + error.abs().mean(Kind::Float) * STEADY;
    for pass in PASSES.iter().flatten() {
        let [a, b, c, d] = pass.neighbours.map(at);
        let mean = (a + b + c + d) * 0.25;
        // The weight that least squares would give the neighbours.
        let weight = (over(&error * &mean) / over(mean.square()).clamp_min(1e-12)).clamp(0.0, 1.0).detach();
        sum += cost(&(&error - weight * mean)) * pass.share;
    }
    sum
}
