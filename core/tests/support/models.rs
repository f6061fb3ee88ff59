//! Models for cases of the preset `learned`, and values that they predict.

use super::{corrections, forecasts};
use augur_core::network::build::ModelBuilder;
use augur_core::network::Digest;
use augur_core::{Model, Models, Result};
use std::sync::{Arc, OnceLock};

/// How [`values`] move in a step: farther than the linear predictor's patches reach.
const BY: (isize, isize) = (3, 4);

/// Knows the models of this module.
pub struct Known;

impl Models for Known {
    fn find(&self, digest: &Digest) -> Result<Arc<Model>> {
        all().iter().find(|m| m.digest() == *digest).cloned().map_or_else(|| None.find(digest), Ok)
    }
}

/// A corrector, a forecaster with a corrector, an interpolator.
pub fn all() -> &'static [Arc<Model>; 3] {
    static MODELS: OnceLock<[Arc<Model>; 3]> = OnceLock::new();
    MODELS.get_or_init(|| {
        let mut forecaster = ModelBuilder::new();
        let (dy, dx) = (BY.0 as i32, BY.1 as i32);
        forecaster.graph("forecaster", forecasts::mover_graph(dy, dx, 2));
        [
            corrections::model(corrections::corrector(1)),
            corrections::with(forecaster, corrections::corrector(1)),
            forecasts::bridge(dy, dx),
        ]
    })
}

/// Steps of a field that the networks predict, where they move at all; `None` where frames are too small for that.
pub fn values(steps: usize, height: usize, width: usize, moving: bool) -> Option<Vec<f32>> {
    let by = if moving { BY } else { (0, 0) };
    (height.min(width) > 3).then(|| corrections::bent_moving(steps, height, width, by))
}
