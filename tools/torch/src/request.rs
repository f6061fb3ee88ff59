//! What the `augur` command asks for and is told: JSON, so that the two need not be built together.

use crate::decoded::Role;
use crate::loss::Loss;
use crate::recurrent::Kind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A training to be done.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The kind of a network that remembers; `None`: one that reads a few frames.
    #[serde(default)]
    pub architecture: Option<Kind>,
    /// An autoencoder, instead of a network that forecasts.
    #[serde(default)]
    pub autoencoder: Option<crate::autoencoder::job::Asked>,
    /// `small`, `medium` or `large`; `small`, `medium` or `tezip` for a network that remembers.
    #[serde(default)]
    pub size: String,
    /// What a network that reads a few frames is to do.
    #[serde(default)]
    pub role: Role,
    /// Levels that a network that remembers forecasts together; `None`: all of 2 to 4, else each for itself.
    #[serde(default)]
    pub channels: Option<i64>,
    /// What a network that remembers forecasts: 1, frames, or 2, changes (the default).
    #[serde(default)]
    pub planes: Option<i64>,
    /// Which networks of a model to train, of one that reads a few frames.
    #[serde(default = "forecaster_alone")]
    pub parts: Vec<Part>,
    /// What is minimised.
    #[serde(default)]
    pub loss: Loss,
    /// Bounds over each field's range, least and greatest, that the model is to serve.
    pub bounds: (f64, f64),
    /// Optimiser steps; `None`: 2000.
    #[serde(default)]
    pub steps: Option<u64>,
    /// Samples (pieces of frames, or blocks) of a step; `None`: as many as the architecture is trained with.
    #[serde(default)]
    pub batch: Option<usize>,
    /// Seconds after which to end at the latest.
    #[serde(default)]
    pub max_seconds: Option<f64>,
    /// Seed.
    #[serde(default)]
    pub seed: u64,
    /// `cpu` or `cuda`.
    pub device: String,
    /// Threads.
    pub threads: usize,
    /// Model to start from.
    #[serde(default)]
    pub init: Option<PathBuf>,
    /// Where to write the state now and then.
    #[serde(default)]
    pub checkpoint: Option<PathBuf>,
    /// State to go on from.
    #[serde(default)]
    pub resume: Option<PathBuf>,
    /// Whether to go on where there seems to be nothing to forecast.
    #[serde(default)]
    pub insist: bool,
    /// What the model file says about itself.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// A network of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Predicts whole frames.
    Forecaster,
    /// Corrects the prediction of points.
    Corrector,
}

fn forecaster_alone() -> Vec<Part> {
    vec![Part::Forecaster]
}

/// Where a training is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Message {
    /// What is being trained; nothing where a model has one network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Steps done.
    pub step: u64,
    /// Steps in all, if time suffices.
    pub steps: u64,
    /// Share done, 0 to 1.
    pub done: f64,
    /// The loss: bits per point, or an autoencoder's errors.
    pub loss: f64,
    /// The same on held-out steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out: Option<f64>,
}

/// What came of a training.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `done`, `early`, `stopped` or [`Report::HOPELESS`].
    pub end: &'static str,
    /// Steps done.
    pub steps: u64,
    /// Steps, and seconds of training, until the weights that were kept.
    pub best: u64,
    /// The same in seconds.
    pub seconds_to_best: f64,
    /// Multiply-adds per point.
    pub operations: f64,
    /// Weights and biases.
    pub parameters: i64,
    /// Seconds.
    pub seconds: f64,
    /// On held-out steps, for a few bounds.
    pub scores: Vec<crate::held_out::Score>,
    /// Of a corrector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrector: Option<Corrected>,
    /// Of an autoencoder, on held-out blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconstruction: Option<crate::autoencoder::held_out::Reconstruction>,
}

/// What came of the training of a corrector.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Corrected {
    /// `done`, `early` or `stopped`.
    pub end: &'static str,
    /// Steps done.
    pub steps: u64,
    /// Steps until the weights that were kept.
    pub best: u64,
    /// Multiply-adds per point.
    pub operations: f64,
    /// Weights and biases.
    pub parameters: i64,
    /// Estimated bits per held-out point of the finest passes without corrections; 0 where nothing is held out.
    pub bits_without: f64,
    /// The same with them.
    pub bits_with: f64,
    /// Whether it is in the model.
    pub kept: bool,
}

impl Report {
    /// How a training ends that learns nothing.
    pub const HOPELESS: &str = "hopeless";
}
