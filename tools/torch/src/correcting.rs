//! A corrector in training.

use crate::corrector::Points;
use crate::net::Net;
use crate::train::{Schedule, Source, Task};
use augur_core::Model;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Points of a batch for each sample that is asked for.
const POINTS: usize = 1024;

/// A corrector in training.
#[derive(Debug)]
pub struct Correcting<'a> {
    /// The network.
    pub net: &'a Net,
    schedule: &'a Schedule,
    points: Points,
    held_out: Points,
    device: Device,
}

impl<'a> Correcting<'a> {
    /// Codes pieces of all sources, with `model` where there is one, and takes what a corrector would be asked.
    ///
    /// # Errors
    /// What the codec says, or a field in which nothing changes.
    pub fn new(
        net: &'a Net,
        sources: &[Source],
        schedule: &'a Schedule,
        model: Option<&Arc<Model>>,
        device: Device,
    ) -> Result<Self, String> {
        let points = Points::new(sources, schedule, false, model, device)?;
        if points.is_empty() {
            return Err(
                "these fields are coded without the multiscale predictor: there is nothing to correct".into(),
            );
        }
        let held_out = Points::new(sources, schedule, true, model, device)?;
        Ok(Self { net, schedule, points, held_out, device })
    }

    /// Mean bits of the held-out points without and with corrections; `None` without such points.
    pub fn bits(&self) -> Option<(f64, f64)> {
        self.held_out.judged(self.net)
    }
}

impl Task for Correcting<'_> {
    fn variables(&self) -> Vec<Tensor> {
        self.net.variables()
    }

    fn loss(&self, step: u64) -> Result<Tensor, String> {
        let seed = self.schedule.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(step);
        let mut rng = StdRng::seed_from_u64(seed);
        let n = self.points.len();
        let which: Vec<i64> = (0..POINTS * self.schedule.samples).map(|_| rng.random_range(0..n)).collect();
        let which = Tensor::from_slice(&which).to_device(self.device);
        let output = self.net.forward(&self.points.planes(&which));
        Ok(self.points.bits(&which, Some(&output)).mean(Kind::Float))
    }

    fn judge(&self) -> Option<f64> {
        self.bits().map(|(_, with)| with)
    }
}
