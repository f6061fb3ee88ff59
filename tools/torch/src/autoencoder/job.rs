//! A training of an autoencoder from request to model file.

use super::blocks::{Shape, Source};
use super::held_out;
use super::training::{self, Sampling, Training};
use super::{Autoencoder, Kind, Plan};
use crate::job::{self, Frames, Outcome, HOPELESS};
use crate::request::{Message, Report, Request};
use crate::train::{Run, Schedule};
use serde::Deserialize;
use std::time::Instant;
use tch::Device;

/// An autoencoder to be trained.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// What it is built of.
    pub plan: Plan,
    /// Steps, levels, rows and columns of a block; of a `cae` nothing.
    #[serde(default)]
    pub sides: Option<[usize; 4]>,
    /// How each of the fields is taken.
    pub pieces: Vec<Piece>,
    /// Which blocks are trained on, where not all are.
    #[serde(default)]
    pub sampling: Sampling,
}

/// How a field is taken.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// Steps, levels, rows and columns of its chunks.
    pub chunk: [usize; 4],
    /// Share of its blocks to train on.
    pub share: f64,
}

impl Asked {
    fn shape(&self) -> Result<Shape, String> {
        let points = self.plan.points() as usize;
        match (self.plan.kind, self.sides) {
            (Kind::Cae, _) => Ok(Shape::Run(points)),
            (Kind::Swae, Some(sides)) if sides.iter().product::<usize>() == points => Ok(Shape::Box(sides)),
            _ => Err("the sides of a block are not those of the network's".into()),
        }
    }
}

/// Trains. `tell` is called after each step and stops the run by `false`.
///
/// # Errors
/// What is wrong with the request, in words.
pub fn train(
    request: &Request,
    asked: &Asked,
    fields: &[Frames],
    device: Device,
    tell: impl FnMut(&Message) -> bool,
) -> Result<Outcome, String> {
    let start = Instant::now();
    asked.plan.check()?;
    let shape = asked.shape()?;
    if asked.pieces.len() != fields.len() {
        return Err("it is not said of each field what its chunks are".into());
    }
    let pieces = fields.iter().zip(&asked.pieces);
    let sources = pieces.map(|(field, piece)| Source::new(*field, piece.chunk, piece.share, shape));
    let sources = sources.collect::<Result<Vec<_>, _>>()?;
    tch::manual_seed(request.seed as i64);
    let nets = Autoencoder::new(&asked.plan, device);
    if let Some(path) = &request.init {
        let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        nets.start_from(&bytes).map_err(|e| format!("training cannot start from {}: {e}", path.display()))?;
    }
    let schedule = job::schedule(request, training::schedule(), start);
    let schedule = Schedule { mirror: asked.plan.kind == Kind::Swae, ..schedule };
    let task = Training::new(&nets, &sources, asked.sampling, &schedule, device)?;
    let look = || held_out::reconstruction(&task, request.bounds);
    let run = Run { task: &task, schedule: &schedule };
    let nothing_learnt = || look().is_some_and(|r| r.error > HOPELESS * r.mean_error);
    let watched = job::watched(&run, request, None, start, nothing_learnt, tell)?;
    let report = Report {
        operations: asked.plan.operations(),
        parameters: nets.parameters(),
        reconstruction: look(),
        ..watched
    };
    if report.end == Report::HOPELESS {
        return Ok((report, None));
    }
    let mut model = job::stated(request);
    model.metadata("architecture", asked.plan.words()).metadata("steps", report.steps.to_string());
    for (name, graph) in nets.describe() {
        model.graph(name, graph);
    }
    let (bytes, _) = job::accepted(&model)?;
    Ok((report, Some(bytes)))
}
