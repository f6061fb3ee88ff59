//! What an autoencoder is trained on: blocks of fields, and latents that are rounded as coarsely as the codec may do it.

use super::blocks::{self, Batch, Place, Source};
use super::{loss, Autoencoder, Kind};
use crate::train::{Schedule, Task};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde::Deserialize;
use tch::{no_grad, Device, Kind as Type, Tensor};

/// Weights of the squared error (beside the absolute one) and of the distance of the latents from a normal distribution.
const SQUARED: f64 = 1.0;
const PRIOR: f64 = 0.02;
/// Steps to which latents are rounded, in standard deviations: least and greatest.
const STEPS: (f64, f64) = (0.01, 1.0);
/// The one at which held-out blocks are judged.
const JUDGED: f64 = 0.05;
/// Held-out blocks that are judged, at most.
const HELD_OUT: usize = 512;
/// Samples per step, optimiser steps between looks, and learning rate.
const SAMPLES: usize = 64;
const EVERY: u64 = 100;
const RATE: f64 = 2e-3;
const DEFAULT_STEPS: u64 = 6000;

/// Which blocks are trained on, where not all are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// The first ones of the file.
    #[default]
    First,
    /// At equal distances.
    Strided,
    /// Any.
    Random,
}

impl Sampling {
    /// A share of blocks that stand in the order of the file.
    pub fn of(self, mut all: Vec<Place>, share: f64, seed: u64) -> Vec<Place> {
        let count = ((all.len() as f64 * share).ceil() as usize).clamp(1.min(all.len()), all.len());
        match self {
            Self::First => all.truncate(count),
            Self::Strided => {
                let n = all.len();
                all = (0..count).map(|i| all[(2 * i + 1) * n / (2 * count)]).collect();
            }
            Self::Random => {
                all.shuffle(&mut StdRng::seed_from_u64(seed ^ 0x0b10_c425));
                all.truncate(count);
            }
        }
        all
    }
}

/// How autoencoders are trained, where nothing else is said.
pub fn schedule() -> Schedule {
    Schedule { steps: DEFAULT_STEPS, samples: SAMPLES, every: EVERY, rate: RATE, ..Schedule::default() }
}

/// An autoencoder in training.
#[derive(Debug)]
pub struct Training<'a> {
    /// The networks.
    pub nets: &'a Autoencoder,
    /// The fields.
    pub sources: &'a [Source<'a>],
    /// Of each field, the blocks to train on; `None`: any.
    chosen: Vec<Option<Vec<Place>>>,
    /// Held-out blocks.
    pub held_out: Vec<Batch>,
    schedule: &'a Schedule,
    device: Device,
}

impl<'a> Training<'a> {
    /// On the shares of the blocks that the sources say.
    ///
    /// # Errors
    /// Fields without values.
    pub fn new(
        nets: &'a Autoencoder,
        sources: &'a [Source<'a>],
        sampling: Sampling,
        schedule: &'a Schedule,
        device: Device,
    ) -> Result<Self, String> {
        let filled = |s: &Source, steps| -> Vec<Place> {
            s.all(steps).into_iter().filter(|place| !s.is_empty(place)).collect()
        };
        let chosen = |s: &Source| -> Result<_, String> {
            if s.share >= 1.0 {
                s.any(s.train(), &mut StdRng::seed_from_u64(0))?;
                return Ok(None);
            }
            let blocks = sampling.of(filled(s, s.train()), s.share, schedule.seed);
            if blocks.is_empty() {
                return Err("a field holds too few values that differ: there is nothing to learn".into());
            }
            Ok(Some(blocks))
        };
        let chosen = sources.iter().map(chosen).collect::<Result<_, _>>()?;
        let points = nets.plan.points() as usize;
        let mut rng = StdRng::seed_from_u64(schedule.seed ^ 0x005e_ed0f_7e57);
        let mut held_out = vec![];
        let most = (HELD_OUT / sources.len().max(1)).max(16);
        for source in sources {
            let mut blocks = filled(source, source.held_out());
            blocks.shuffle(&mut rng);
            blocks.truncate(most);
            let mut values = vec![];
            blocks.iter().for_each(|place| source.put(place, 1.0, &mut values));
            if !values.is_empty() {
                held_out.push(blocks::batch(values, points, device));
            }
        }
        Ok(Self { nets, sources, chosen, held_out, schedule, device })
    }

    /// The blocks of a step.
    fn batch(&self, rng: &mut StdRng) -> Result<Batch, String> {
        let mut values = vec![];
        for _ in 0..self.schedule.samples {
            let k = rng.random_range(0..self.sources.len());
            let source = &self.sources[k];
            let mut place = match &self.chosen[k] {
                Some(blocks) => blocks[rng.random_range(0..blocks.len())],
                None => source.any(source.train(), rng)?,
            };
            if self.schedule.mirror {
                place = place.mirrored(rng);
            }
            source.put(&place, blocks::amplitude(rng), &mut values);
        }
        Ok(blocks::batch(values, self.nets.plan.points() as usize, self.device))
    }
}

impl Autoencoder {
    /// Latents of blocks [blocks, points].
    pub fn encode(&self, values: &Tensor) -> Tensor {
        let [d, h, w] = self.plan.block;
        match (self.plan.kind, d) {
            (Kind::Cae, _) => self.encoder.forward(values),
            (Kind::Swae, 1) => self.encoder.forward(&values.view([-1, 1, h, w])),
            (Kind::Swae, _) => self.encoder.forward(&values.view([-1, 1, d, h, w])),
        }
    }

    /// Blocks [blocks, points] of latents.
    pub fn decode(&self, latents: &Tensor) -> Tensor {
        self.decoder.forward(latents).view([-1, self.plan.points()])
    }

    /// Latents as the codec gives them to the decoder, in multiples of a step.
    pub fn quantised(latents: &Tensor, step: f64) -> Tensor {
        (latents / step).round() * step
    }
}

impl Task for Training<'_> {
    fn variables(&self) -> Vec<Tensor> {
        self.nets.encoder.all().chain(self.nets.decoder.all()).map(Tensor::shallow_clone).collect()
    }

    fn loss(&self, step: u64) -> Result<Tensor, String> {
        let seed = self.schedule.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(step);
        tch::manual_seed(seed as i64);
        let mut rng = StdRng::seed_from_u64(seed);
        let batch = self.batch(&mut rng)?;
        let latents = self.nets.encode(&batch.values);
        let (low, high) = (STEPS.0.ln(), STEPS.1.ln());
        let n = latents.size()[0];
        let steps = (Tensor::rand([n, 1], (Type::Float, self.device)) * (high - low) + low).exp();
        let noise = (latents.rand_like() - 0.5) * steps;
        let output = self.nets.decode(&(&latents + noise));
        let (absolute, squared) = loss::errors(&output, &batch);
        let prior = match self.nets.plan.kind {
            Kind::Swae => loss::sliced_wasserstein(&latents),
            Kind::Cae => loss::moments(&latents),
        };
        Ok(absolute + squared * SQUARED + prior * PRIOR)
    }

    fn judge(&self) -> Option<f64> {
        let of = |batch: &Batch| {
            let latents = Autoencoder::quantised(&self.nets.encode(&batch.values), JUDGED);
            let (absolute, squared) = loss::errors(&self.nets.decode(&latents), batch);
            (absolute + squared * SQUARED).double_value(&[])
        };
        let all: Vec<f64> = no_grad(|| self.held_out.iter().map(of).collect());
        (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
    }
}
