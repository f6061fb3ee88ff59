//! The training loop: samples, schedule, checkpoints, and when to stop.

use crate::adam::Adam;
use crate::decoded::Decoded;
use crate::design::Design;
use crate::field::{Batch, Field};
use crate::loss::Loss;
use crate::net::Net;
use augur_core::network::build::ModelBuilder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tch::{no_grad, Tensor};

/// Gradients are limited to this norm.
const NORM: f64 = 1.0;
/// Steps until the learning rate is reached.
const WARM: f64 = 50.0;
/// Learning rates of TEZip's first and second half.
const TEZIP_RATES: [f64; 2] = [1e-3, 1e-4];
/// Share of the learning rate that is left at the end.
const LEAST_RATE: f64 = 0.005;
/// Decay of the mean of weights, over steps, that is judged and kept.
const DECAY: f64 = 0.995;
/// How much the amplitude of a sample may seem to differ: a power of two.
const AMPLITUDE: f64 = 0.3;

/// Name of a model in a checkpoint, before its step.
const MODEL: &str = "model-";

/// How to train.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Optimiser steps.
    pub steps: u64,
    /// Samples per step.
    pub samples: usize,
    /// Rows and columns of a sample, at most.
    pub crop: i64,
    /// What is minimised; with TEZip's loss comes its learning rate.
    pub loss: Loss,
    /// Learning rate at the start, for the estimate of the bits.
    pub rate: f64,
    /// Bounds over the field's range, least and greatest.
    pub bounds: (f64, f64),
    /// Whether samples are mirrored.
    pub mirror: bool,
    /// Seed of all that is random.
    pub seed: u64,
    /// When to end at the latest.
    pub most: Option<Duration>,
    /// Steps between looks at the held-out part.
    pub every: u64,
    /// Where to write the state now and then.
    pub checkpoint: Option<PathBuf>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            steps: 2000,
            samples: 4,
            crop: 96,
            loss: Loss::Bits,
            rate: 4e-3,
            bounds: (1e-4, 2e-2),
            mirror: true,
            seed: 1,
            most: None,
            every: 250,
            checkpoint: None,
        }
    }
}

impl Schedule {
    /// The defaults for a design.
    pub fn of(design: &Design) -> Self {
        match design {
            Design::Frame(..) => Self::default(),
            Design::Recurrent(_) => Self { steps: 1000, samples: 2, crop: 64, ..Self::default() },
        }
    }

    /// The learning rate after so many steps, a share `done` of the run.
    fn rate(&self, step: u64, done: f64) -> f64 {
        match self.loss {
            Loss::Bits => {
                let cosine = 0.5 + 0.5 * (std::f64::consts::PI * done).cos();
                self.rate * ((step + 1) as f64 / WARM).min(1.0) * cosine.max(LEAST_RATE)
            }
            Loss::L0 => TEZIP_RATES[usize::from(done >= 0.5)],
        }
    }
}

/// A field, the steps to train on and those held out.
#[derive(Debug)]
pub struct Source {
    /// The field.
    pub field: Field,
    /// Steps that may be trained on.
    pub train: Range<i64>,
    /// Steps that are held out, with those before them that a forecast reads.
    pub held_out: Range<i64>,
}

/// Where a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Share of the run that is done.
    pub done: f64,
    /// Mean bits per point of the last batches, as the loss estimates them.
    pub bits: f64,
    /// The same on held-out steps.
    pub held_out: Option<f64>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All steps or all time are used.
    Done,
    /// The held-out part got no better any more.
    Early,
    /// The caller stopped it.
    Stopped,
}

/// A training run.
#[derive(Debug)]
pub struct Run<'a> {
    /// The network.
    pub net: &'a Net,
    /// What it is.
    pub design: &'a Design,
    /// The fields.
    pub sources: &'a [Source],
    /// Really decoded pieces of the fields, to train on.
    pub decoded: &'a Decoded,
    /// How to train.
    pub schedule: Schedule,
}

impl Run<'_> {
    /// Trains, telling `tell` where it is after each step; it may stop the run. The network ends with the weights
    /// that did best on the held-out steps.
    ///
    /// # Errors
    /// A checkpoint that cannot be written or does not fit; fields in which nothing changes.
    pub fn run(&self, resume: Option<&Path>, mut tell: impl FnMut(&Progress) -> bool) -> Result<End, String> {
        let mut adam = Adam::new(self.net.variables());
        let mut average = self.net.snapshot();
        let mut first = 0;
        if let Some(path) = resume {
            (first, average) = self.resume(path, &mut adam)?;
            self.decoded.resume(first, self.sources, &self.schedule)?;
        }
        let judge = self.judge()?;
        let (start, mut saved) = (Instant::now(), Instant::now());
        let (mut mean, mut best) = (f64::NAN, (f64::INFINITY, 0, self.net.snapshot()));
        let mut end = End::Done;
        let mut step = first;
        while step < self.schedule.steps {
            let mut done = step as f64 / self.schedule.steps as f64;
            if let Some(most) = self.schedule.most {
                done = done.max(start.elapsed().as_secs_f64() / most.as_secs_f64());
                if done >= 1.0 {
                    break;
                }
            }
            if self.decoded.wants_model(step) {
                self.decoded.take_model(step, &self.model(&average)?)?;
            }
            self.decoded.renew(step, self.sources, &self.schedule)?;
            let b = self.batch(step)?;
            let loss = self.schedule.loss.of(&b.output(self.net), &b);
            adam.step(&loss, self.schedule.rate(step, done), NORM);
            let bits = loss.double_value(&[]);
            mean = if mean.is_nan() { bits } else { 0.98 * mean + 0.02 * bits };
            step += 1;
            // The mean of the last weights (Polyak and Juditsky 1992) does better than any of them.
            let decay = DECAY.min(step as f64 / (step + 10) as f64);
            no_grad(|| {
                for (a, v) in average.iter_mut().zip(self.net.variables()) {
                    *a = &*a * decay + v.detach() * (1.0 - decay);
                }
            });
            let mut held_out = None;
            if step % self.schedule.every == 0 || step == self.schedule.steps {
                let raw = self.net.snapshot();
                self.net.restore(&average);
                let bits = no_grad(|| {
                    judge
                        .iter()
                        .map(|b| self.schedule.loss.of(&b.output(self.net), b).double_value(&[]))
                        .sum::<f64>()
                }) / judge.len().max(1) as f64;
                held_out = Some(bits);
                self.net.restore(&raw);
                if bits < best.0 || judge.is_empty() {
                    best = (bits, step, average.iter().map(Tensor::copy).collect());
                } else if step - best.1 >= self.patience() {
                    end = End::Early;
                }
            }
            if let Some(path) =
                self.schedule.checkpoint.as_deref().filter(|_| saved.elapsed().as_secs() >= 30)
            {
                self.save(path, &adam, &average, step)?;
                saved = Instant::now();
            }
            if !tell(&Progress { step, done, bits: mean, held_out }) {
                end = End::Stopped;
            }
            if end != End::Done {
                break;
            }
        }
        if let Some(path) = self.schedule.checkpoint.as_deref() {
            self.save(path, &adam, &average, step)?;
        }
        self.net.restore(if best.1 > 0 { &best.2 } else { &average });
        Ok(end)
    }

    /// A model file of weights.
    fn model(&self, weights: &[Tensor]) -> Result<Vec<u8>, String> {
        let raw = self.net.snapshot();
        self.net.restore(weights);
        let graph = self.design.describe(self.net);
        self.net.restore(&raw);
        ModelBuilder::new().graph(self.design.name(), graph).to_bytes().map_err(|e| e.to_string())
    }

    /// Steps without gain after which a run ends.
    fn patience(&self) -> u64 {
        (self.schedule.steps / 3).max(4 * self.schedule.every)
    }

    /// The batch of a step: the same for the same seed, whatever was before.
    fn batch(&self, step: u64) -> Result<Batch, String> {
        let seed = self.schedule.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(step);
        tch::manual_seed(seed as i64);
        let mut rng = StdRng::seed_from_u64(seed);
        let which = rng.random_range(0..self.sources.len());
        let mut b = self.decoded.draw(&self.schedule, which, Some(AMPLITUDE), &mut rng)?;
        if self.schedule.mirror {
            for axis in [-2, -1] {
                if rng.random::<bool>() {
                    b = b.mirrored(axis);
                }
            }
        }
        Ok(b)
    }

    /// Batches of held-out steps, the same throughout a run.
    fn judge(&self) -> Result<Vec<Batch>, String> {
        let mut rng = StdRng::seed_from_u64(self.schedule.seed ^ 0x005e_ed0f_7e57);
        tch::manual_seed(self.schedule.seed as i64);
        let long = |s: &Source| s.held_out.end - s.held_out.start > self.design.frames().max(3);
        let held_out: Vec<_> = self.sources.iter().enumerate().filter(|s| long(s.1)).collect();
        let count = if held_out.is_empty() { 0 } else { 6usize.max(held_out.len()).min(24) };
        (0..count)
            .map(|i| {
                let (which, _) = held_out[i % held_out.len()];
                self.decoded.draw(&self.schedule, which, None, &mut rng)
            })
            .collect()
    }

    fn save(&self, path: &Path, adam: &Adam, average: &[Tensor], step: u64) -> Result<(), String> {
        let numbers = Tensor::from_slice(&[step as i64, self.schedule.seed as i64]);
        let mut named = vec![("step".to_string(), numbers)];
        let all = self
            .net
            .snapshot()
            .into_iter()
            .chain(adam.state().iter().chain(average).map(Tensor::shallow_clone));
        named.extend(all.enumerate().map(|(i, t)| (format!("{i:04}"), t)));
        for taken in self.decoded.models() {
            named.push((format!("{MODEL}{:012}", taken.step), Tensor::from_slice(taken.model.bytes())));
        }
        let partial = path.with_extension("partial");
        Tensor::write_safetensors(&named, &partial)
            .map_err(|e| e.to_string())
            .and_then(|()| std::fs::rename(&partial, path).map_err(|e| e.to_string()))
            .map_err(|e| format!("the checkpoint {} cannot be written: {e}", path.display()))
    }

    fn resume(&self, path: &Path, adam: &mut Adam) -> Result<(u64, Vec<Tensor>), String> {
        let wrong = |why: &str| format!("the checkpoint {} cannot be used: {why}", path.display());
        let mut named = Tensor::read_safetensors(path).map_err(|e| wrong(&e.to_string()))?;
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let (_, numbers) = named.pop().filter(|n| n.0 == "step").ok_or_else(|| wrong("it states no step"))?;
        let (models, named): (Vec<_>, Vec<_>) = named.into_iter().partition(|n| n.0.starts_with(MODEL));
        for (name, bytes) in models {
            let step = name[MODEL.len()..].parse().map_err(|_| wrong("a model in it has no step"))?;
            let bytes = Vec::<u8>::try_from(bytes.reshape([-1])).map_err(|e| wrong(&e.to_string()))?;
            self.decoded.take_model(step, &bytes).map_err(|e| wrong(&e))?;
        }
        let variables = self.net.variables();
        let device = variables.first().map_or(tch::Device::Cpu, Tensor::device);
        let mut tensors: Vec<Tensor> = named.into_iter().map(|n| n.1.to_device(device)).collect();
        let n = variables.len();
        let fits = tensors.len() == 4 * n
            && tensors.iter().enumerate().all(|(i, t)| t.size() == variables[i % n].size());
        if !fits {
            return Err(wrong("it is of another architecture or size"));
        }
        self.net.restore(&tensors[..n]);
        let average = tensors.split_off(3 * n);
        let step = u64::try_from(numbers.int64_value(&[0])).map_err(|_| wrong("its step is negative"))?;
        adam.restore(tensors.into_iter().skip(n).collect(), step);
        Ok((step, average))
    }
}
