//! The training loop.

use crate::field::{batch, Batch, Field, Window};
use crate::forecaster::{Plan, MULTIPLE};
use crate::loss;
use crate::net::Net;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::ops::Range;
use std::time::Instant;
use tch::nn::{self, OptimizerConfig};
use tch::Tensor;

/// How to train.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Optimiser steps.
    pub steps: u64,
    /// Samples per step.
    pub samples: usize,
    /// Rows and columns of a sample, at most.
    pub crop: i64,
    /// Learning rate at the start.
    pub rate: f64,
    /// Relative bounds, least and greatest.
    pub bounds: (f64, f64),
    /// Whether samples are mirrored.
    pub mirror: bool,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            steps: 2000,
            samples: 8,
            crop: 96,
            rate: 3e-3,
            bounds: (5e-5, 2e-2),
            mirror: true,
        }
    }
}

/// Draws samples from fields.
#[derive(Debug)]
pub struct Sampler<'a> {
    /// The fields.
    pub fields: &'a [Field],
    /// Steps of each that may be looked at.
    pub steps: Vec<Range<i64>>,
    /// Random numbers.
    pub rng: StdRng,
}

impl Sampler<'_> {
    /// A batch of crops, all of one size.
    pub fn batch(&mut self, plan: &Plan, schedule: &Schedule) -> Option<Batch> {
        let which = self.rng.random_range(0..self.fields.len());
        let (field, steps) = (&self.fields[which], self.steps[which].clone());
        let side = |n: i64| {
            let n = n.min(schedule.crop);
            (n - n % MULTIPLE).max(n.min(MULTIPLE))
        };
        let (h, w) = (side(field.size[2]), side(field.size[3]));
        let mut samples = Vec::with_capacity(schedule.samples);
        for _ in 0..schedule.samples {
            let t = self.rng.random_range((steps.start + plan.frames).min(steps.end - 1)..steps.end);
            let z = self.rng.random_range(0..field.size[1]);
            let corner =
                (self.rng.random_range(0..=field.size[2] - h), self.rng.random_range(0..=field.size[3] - w));
            let mut scales = field.scales_around(t, steps.clone(), &mut self.rng)?;
            // A run with another amplitude, or one that changes faster elsewhere.
            scales.deviation *= 2f64.powf(self.rng.random_range(-0.3..0.3));
            scales.change *= 2f64.powf(self.rng.random_range(-0.3..0.3));
            let (low, high) = schedule.bounds;
            let bound = (low.ln() + self.rng.random::<f64>() * (high / low).ln()).exp() * field.range;
            samples.push(field.sample(plan, &Window { at: (t, z), corner, size: (h, w) }, &scales, bound, None));
        }
        let mut b = batch(samples);
        if schedule.mirror {
            for axis in [2, 3] {
                if self.rng.random::<bool>() {
                    let flip = |x: &Tensor| x.flip([axis]);
                    (b.input, b.target, b.mask) = (flip(&b.input), flip(&b.target), b.mask.as_ref().map(flip));
                }
            }
        }
        Some(b)
    }
}

/// Trains for all steps, calling `tell` with step, loss; stops when it says so.
pub fn run(
    net: &Net,
    plan: &Plan,
    sampler: &mut Sampler,
    schedule: &Schedule,
    mut tell: impl FnMut(u64, f64) -> bool,
) -> Option<()> {
    let mut optimiser = nn::Adam::default().build(&net.store, schedule.rate).ok()?;
    let mut mean = f64::NAN;
    let _ = Instant::now();
    for step in 0..schedule.steps {
        let done = step as f64 / schedule.steps as f64;
        let warm = (step as f64 / 50.0).min(1.0);
        optimiser.set_lr(schedule.rate * warm * (0.5 + 0.5 * (std::f64::consts::PI * done).cos()) + 1e-5);
        let b = sampler.batch(plan, schedule)?;
        let loss = loss::bits(&net.forward(&b.input), &b);
        optimiser.backward_step_clip_norm(&loss, 1.0);
        let value = f64::try_from(&loss).unwrap_or(f64::NAN);
        mean = if mean.is_nan() { value } else { 0.98 * mean + 0.02 * value };
        if !tell(step + 1, mean) {
            break;
        }
    }
    Some(())
}

/// Random numbers of a run.
pub fn seeded(seed: u64) -> StdRng {
    tch::manual_seed(seed as i64);
    StdRng::seed_from_u64(seed)
}
