//! Integer networks: model files and the layers that they are made of.
//!
//! A model file is data that was trained elsewhere; its SHA-256 is its name. All that a network computes is integer
//! arithmetic, so that it gives the same bits on every machine.

pub mod backend;
pub mod build;
mod digest;
mod fields;
mod graph;
mod kernel;
pub mod layers;
mod load;
mod model;
mod moves;
mod normalise;
mod packed;
mod plain;
mod plan;
mod pointwise;
mod room;
mod runner;
mod session;
mod shared;
mod source;
mod team;
mod tensors;
#[cfg(test)]
mod tests;
mod transpose;
mod views;
mod weights;

pub use digest::Digest;
pub use graph::{
    Element, Graph, Op, Port, MAX_BLOCK, MAX_BLOCK_CHANNELS, MAX_CHANNELS, MAX_DOWN, MAX_KERNEL,
    MAX_MACS_PER_POINT, MAX_NODES, MAX_WEIGHTS,
};
pub use model::{Model, MAX_MODEL_LEN};
pub use session::{Session, MAX_SESSION};

use crate::error::{Error, Result};
use std::sync::Arc;

/// Where models are found by their names.
pub trait Models {
    /// The model with this digest.
    ///
    /// # Errors
    /// An error that names the digest and every place that was looked at.
    fn find(&self, digest: &Digest) -> Result<Arc<Model>>;
}

/// One model, or none.
impl Models for Option<Arc<Model>> {
    fn find(&self, digest: &Digest) -> Result<Arc<Model>> {
        self.clone().filter(|m| m.digest() == *digest).map_or_else(|| NoModels.find(digest), Ok)
    }
}

/// No models at all.
pub struct NoModels;

impl Models for NoModels {
    fn find(&self, digest: &Digest) -> Result<Arc<Model>> {
        Err(Error::invalid(format!("the chunk needs the model sha256:{digest}, and none was given")))
    }
}
