//! What a network that forecasts is trained on: frames that the codec has decoded.

use crate::decoded::Decoded;
use crate::design::Design;
use crate::field::Batch;
use crate::net::Net;
use crate::train::{restore, snapshot, Schedule, Source, Task};
use augur_core::network::build::ModelBuilder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tch::Tensor;

/// How much the amplitude of a sample may seem to differ: a power of two.
const AMPLITUDE: f64 = 0.3;

/// A network that forecasts, in training.
#[derive(Debug)]
pub struct Forecasting<'a> {
    /// The network.
    pub net: &'a Net,
    /// What it is.
    pub design: &'a Design,
    /// The fields.
    pub sources: &'a [Source],
    decoded: Decoded,
    schedule: &'a Schedule,
    judge: Vec<Batch>,
}

impl<'a> Forecasting<'a> {
    /// Decodes pieces of all sources for a start.
    ///
    /// # Errors
    /// A field in which nothing changes.
    pub fn new(
        net: &'a Net,
        design: &'a Design,
        sources: &'a [Source],
        schedule: &'a Schedule,
    ) -> Result<Self, String> {
        let decoded = Decoded::new(design, sources, schedule)?;
        let mut task = Self { net, design, sources, decoded, schedule, judge: vec![] };
        task.judge = task.held_out()?;
        Ok(task)
    }

    /// A model file of weights.
    fn model(&self, weights: &[Tensor]) -> Result<Vec<u8>, String> {
        let raw = snapshot(&self.net.variables());
        self.net.restore(weights);
        let graph = self.design.describe(self.net);
        restore(self.net.variables(), &raw);
        ModelBuilder::new().graph(self.design.name(), graph).to_bytes().map_err(|e| e.to_string())
    }

    /// The batch of a step: the same for the same seed, whatever was before.
    fn batch(&self, step: u64) -> Result<Batch, String> {
        let seed = self.schedule.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(step);
        tch::manual_seed(seed as i64);
        let mut rng = StdRng::seed_from_u64(seed);
        let which = rng.random_range(0..self.sources.len());
        let mut b = self.decoded.draw(self.schedule, which, Some(AMPLITUDE), &mut rng)?;
        if self.schedule.mirror {
            for axis in [-2, -1] {
                if rng.random::<bool>() {
                    b = b.mirrored(axis);
                }
            }
        }
        Ok(b)
    }

    /// Batches of held-out steps.
    fn held_out(&self) -> Result<Vec<Batch>, String> {
        let mut rng = StdRng::seed_from_u64(self.schedule.seed ^ 0x005e_ed0f_7e57);
        tch::manual_seed(self.schedule.seed as i64);
        let long = |s: &Source| s.held_out.end - s.held_out.start > self.design.frames().max(3);
        let held_out: Vec<_> = self.sources.iter().enumerate().filter(|s| long(s.1)).collect();
        let count = if held_out.is_empty() { 0 } else { 6usize.max(held_out.len()).min(24) };
        (0..count)
            .map(|i| {
                let (which, _) = held_out[i % held_out.len()];
                self.decoded.draw(self.schedule, which, None, &mut rng)
            })
            .collect()
    }
}

impl Task for Forecasting<'_> {
    fn variables(&self) -> Vec<Tensor> {
        self.net.variables()
    }

    fn prepare(&self, step: u64, average: &[Tensor]) -> Result<(), String> {
        if self.decoded.wants_model(step) {
            self.decoded.take_model(step, &self.model(average)?)?;
        }
        self.decoded.renew(step, self.sources, self.schedule)
    }

    fn loss(&self, step: u64) -> Result<Tensor, String> {
        let b = self.batch(step)?;
        Ok(self.schedule.loss.of(&b.output(self.net), &b))
    }

    fn judge(&self) -> Option<f64> {
        let bits = |b: &Batch| self.schedule.loss.of(&b.output(self.net), b).double_value(&[]);
        (!self.judge.is_empty()).then(|| self.judge.iter().map(bits).sum::<f64>() / self.judge.len() as f64)
    }

    /// The networks that pieces were decoded with.
    fn state(&self) -> Vec<(String, Tensor)> {
        let models = self.decoded.models().into_iter();
        models.map(|m| (format!("{:012}", m.step), Tensor::from_slice(m.model.bytes()))).collect()
    }

    fn resume(&self, step: u64, state: Vec<(String, Tensor)>) -> Result<(), String> {
        for (name, bytes) in state {
            let at = name.parse().map_err(|_| "a model in it has no step")?;
            let bytes = Vec::<u8>::try_from(bytes.reshape([-1])).map_err(|e| e.to_string())?;
            self.decoded.take_model(at, &bytes)?;
        }
        self.decoded.resume(step, self.sources, self.schedule)
    }
}
