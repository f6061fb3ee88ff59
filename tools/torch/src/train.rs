//! The training loop: schedule, checkpoints, and when to stop, whatever is trained.

use crate::adam::Adam;
use crate::design::Design;
use crate::field::Field;
use crate::loss::Loss;
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

/// Name of what a task adds to a checkpoint, before its own.
const MORE: &str = "model-";

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
    /// Mean loss of the last batches: bits per point, or an autoencoder's errors.
    pub loss: f64,
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

impl End {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Early => "early",
            Self::Stopped => "stopped",
        }
    }
}

/// What is trained, and on what.
pub trait Task {
    /// All that is trained.
    fn variables(&self) -> Vec<Tensor>;

    /// Gets ready for a step. `average` are the weights that would be kept now.
    ///
    /// # Errors
    /// What the codec says.
    fn prepare(&self, step: u64, average: &[Tensor]) -> Result<(), String> {
        let _ = (step, average);
        Ok(())
    }

    /// The loss on the batch of a step: the same for the same seed, whatever was before.
    ///
    /// # Errors
    /// Nothing to learn from.
    fn loss(&self, step: u64) -> Result<Tensor, String>;

    /// The loss on what is held out, the same samples throughout a run; `None` where nothing is.
    fn judge(&self) -> Option<f64>;

    /// What it needs to go on, beside the weights, by name.
    fn state(&self) -> Vec<(String, Tensor)> {
        vec![]
    }

    /// Goes on before a step from a [`state`](Self::state).
    ///
    /// # Errors
    /// What does not fit, in words.
    fn resume(&self, step: u64, state: Vec<(String, Tensor)>) -> Result<(), String> {
        let _ = (step, state);
        Ok(())
    }
}

/// A copy of all that is trained.
pub fn snapshot(variables: &[Tensor]) -> Vec<Tensor> {
    variables.iter().map(|v| v.detach().copy()).collect()
}

/// Takes over values from a [`snapshot`], or a checkpoint.
pub fn restore(variables: Vec<Tensor>, values: &[Tensor]) {
    no_grad(|| {
        for (mut variable, value) in variables.into_iter().zip(values) {
            variable.copy_(value);
        }
    });
}

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// How it ended.
    pub end: End,
    /// Steps done, those before it was resumed among them.
    pub steps: u64,
    /// Steps until the weights that did best.
    pub best: u64,
    /// Seconds until then.
    pub seconds: f64,
}

/// The weights that did best.
#[derive(Default)]
struct Best {
    /// On what is held out.
    loss: f64,
    /// Steps and seconds by then.
    step: u64,
    seconds: f64,
    weights: Vec<Tensor>,
}

/// A training run.
#[derive(Debug)]
pub struct Run<'a, T> {
    /// What is trained.
    pub task: &'a T,
    /// How to train.
    pub schedule: &'a Schedule,
}

impl<T: Task> Run<'_, T> {
    /// Trains, telling `tell` where it is after each step; it may stop the run. The network ends with the weights
    /// that did best on the held-out steps.
    ///
    /// # Errors
    /// A checkpoint that cannot be written or does not fit; fields in which nothing changes.
    pub fn run(
        &self,
        resume: Option<&Path>,
        mut tell: impl FnMut(&Progress) -> bool,
    ) -> Result<Ended, String> {
        let variables = || self.task.variables();
        let mut adam = Adam::new(variables());
        let mut average = snapshot(&variables());
        let mut first = 0;
        if let Some(path) = resume {
            (first, average) = self.resume(path, &mut adam)?;
        }
        let (start, mut saved) = (Instant::now(), Instant::now());
        let (mut mean, mut best) = (f64::NAN, Best { loss: f64::INFINITY, ..Best::default() });
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
            self.task.prepare(step, &average)?;
            let loss = self.task.loss(step)?;
            adam.step(&loss, self.schedule.rate(step, done), NORM);
            let loss = loss.double_value(&[]);
            mean = if mean.is_nan() { loss } else { 0.98 * mean + 0.02 * loss };
            step += 1;
            // The mean of the last weights (Polyak and Juditsky 1992) does better than any of them.
            let decay = DECAY.min(step as f64 / (step + 10) as f64);
            no_grad(|| {
                for (a, v) in average.iter_mut().zip(variables()) {
                    *a = &*a * decay + v.detach() * (1.0 - decay);
                }
            });
            let mut held_out = None;
            if step % self.schedule.every == 0 || step == self.schedule.steps {
                held_out = self.look(&average, (step, start), &mut best);
                if best.step < step && step - best.step >= self.patience() {
                    end = End::Early;
                }
            }
            if let Some(path) =
                self.schedule.checkpoint.as_deref().filter(|_| saved.elapsed().as_secs() >= 30)
            {
                self.save(path, &adam, &average, step)?;
                saved = Instant::now();
            }
            if !tell(&Progress { step, done, loss: mean, held_out }) {
                end = End::Stopped;
            }
            if end != End::Done {
                break;
            }
        }
        if let Some(path) = self.schedule.checkpoint.as_deref() {
            self.save(path, &adam, &average, step)?;
        }
        if best.step < step && end != End::Early {
            self.look(&average, (step, start), &mut best);
        }
        restore(variables(), if best.weights.is_empty() { &average } else { &best.weights });
        Ok(Ended { end, steps: step, best: best.step, seconds: best.seconds })
    }

    /// Judges the mean of weights on what is held out, and keeps it where it is the best so far.
    fn look(&self, average: &[Tensor], (step, start): (u64, Instant), best: &mut Best) -> Option<f64> {
        let raw = snapshot(&self.task.variables());
        restore(self.task.variables(), average);
        let held_out = no_grad(|| self.task.judge());
        restore(self.task.variables(), &raw);
        if held_out.is_none_or(|loss| loss < best.loss) {
            let loss = held_out.unwrap_or(f64::INFINITY);
            let seconds = start.elapsed().as_secs_f64();
            *best = Best { loss, step, seconds, weights: snapshot(average) };
        }
        held_out
    }

    /// Steps without gain after which a run ends.
    fn patience(&self) -> u64 {
        (self.schedule.steps / 3).max(4 * self.schedule.every)
    }

    fn save(&self, path: &Path, adam: &Adam, average: &[Tensor], step: u64) -> Result<(), String> {
        let numbers = Tensor::from_slice(&[step as i64, self.schedule.seed as i64]);
        let mut named = vec![("step".to_string(), numbers)];
        let all = snapshot(&self.task.variables())
            .into_iter()
            .chain(adam.state().iter().chain(average).map(Tensor::shallow_clone));
        named.extend(all.enumerate().map(|(i, t)| (format!("{i:04}"), t)));
        named.extend(self.task.state().into_iter().map(|(name, t)| (format!("{MORE}{name}"), t)));
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
        let (more, named): (Vec<_>, Vec<_>) = named.into_iter().partition(|n| n.0.starts_with(MORE));
        let variables = self.task.variables();
        let device = variables.first().map_or(tch::Device::Cpu, Tensor::device);
        let mut tensors: Vec<Tensor> = named.into_iter().map(|n| n.1.to_device(device)).collect();
        let n = variables.len();
        let fits = tensors.len() == 4 * n
            && tensors.iter().enumerate().all(|(i, t)| t.size() == variables[i % n].size());
        if !fits {
            return Err(wrong("it is of another architecture or size"));
        }
        restore(variables, &tensors[..n]);
        let average = tensors.split_off(3 * n);
        let step = u64::try_from(numbers.int64_value(&[0])).map_err(|_| wrong("its step is negative"))?;
        adam.restore(tensors.into_iter().skip(n).collect(), step);
        let more = more.into_iter().map(|(name, t)| (name[MORE.len()..].to_string(), t));
        self.task.resume(step, more.collect()).map_err(|e| wrong(&e))?;
        Ok((step, average))
    }
}
