//! A network's forecast as a reference: what a small convolutional network makes of decoded frames.
//!
//! A *forecaster* reads the last frames and gives a correction to the last one; an *interpolator* reads the frames on
//! either side and gives a correction to their mean. They read 16-bit integers, normalised by the chunk's own mean,
//! spread and typical change. Whatever the unit and the offset of a field, a network sees the same numbers. How a
//! network is trained for that: docs/models.md.
//!
//! Forecasts of decoded frames as predictions follow TEZip (Roy et al., CCGrid 2021); that they are one
//! reference among others, weighted by least squares, is Augur's.

use super::autoencoder::Reconstruction;
use super::normal::Normal;
use super::plain::Plain;
use super::recurrent::Recurrent;
use super::window::Window;
use super::Step;
use crate::chunk::Frames;
use crate::error::{Error, Result};
use crate::network::{Digest, Element, Graph, Model, Port, Session};
use crate::predict::Band;
use serde_json::Value;
use std::sync::Arc;

/// The forecasts that a model makes: windows, with their graphs.
///
/// # Errors
/// `InvalidArgument` where a graph is not what its name says.
pub fn windows(model: &Model) -> Result<Vec<Window>> {
    let mut out = vec![];
    for of in [past, between, recurrent] {
        let Some(window) = of(model)? else { continue };
        graph(model, window)?;
        out.push(window);
    }
    Ok(out)
}

/// A number beside the nodes of a graph.
fn key(graph: &Graph, name: &str, default: u64) -> Option<u64> {
    graph.extra().get(name).map_or(Some(default), Value::as_u64)
}

fn past(model: &Model) -> Result<Option<Window>> {
    let Some(graph) = model.graph("forecaster") else { return Ok(None) };
    let keys = key(graph, "frames", 2).zip(key(graph, "levels", 0));
    let window = keys.and_then(|(n, levels)| Window::past(n, levels != 0));
    window.map(Some).ok_or_else(|| Error::invalid("the forecaster reads an unknown number of frames"))
}

fn between(model: &Model) -> Result<Option<Window>> {
    Ok(model.graph("interpolator").map(|_| Window::Between))
}

fn recurrent(model: &Model) -> Result<Option<Window>> {
    let Some(graph) = model.graph("recurrent") else { return Ok(None) };
    let keys = key(graph, "channels", 1).zip(key(graph, "planes", 1));
    let window = keys.and_then(|(channels, planes)| Window::recurrent(channels, planes));
    window.map(Some).ok_or_else(|| {
        Error::invalid(
            "the recurrent network reads an unknown number of channels (1 to 16) or planes (1 or 2)",
        )
    })
}

/// The graph of a model that makes forecasts from this window.
///
/// # Errors
/// `InvalidArgument` where there is none, or it is not what its name says.
pub fn graph(model: &Model, window: Window) -> Result<&Arc<Graph>> {
    let name = window.graph();
    let graph = model.graph(name).ok_or_else(|| {
        Error::invalid(format!("the model sha256:{} has no graph \"{name}\"", model.digest()))
    })?;
    let port =
        |channels| Some(Port { channels, element: Element::I16, down: 0, levels: false, points: None });
    let states = matches!(window, Window::Recurrent { .. });
    let all = (graph.inputs(), graph.outputs());
    let count = if states { all.0 == all.1 } else { all == (1, 1) };
    if !count
        || graph.input(0) != port(window.planes())
        || graph.output(0) != port(window.channels())
        || (1..all.0).any(|k| graph.input(k) != graph.output(k))
    {
        return Err(Error::invalid(format!(
            "the {name} of the model sha256:{} must have one input of {} channels and one output of {}, all i16 and of \
             full size{}; it has {} inputs, the first {:?}, and {} outputs, the first {:?}",
            model.digest(),
            window.planes(),
            window.channels(),
            if states { ", and as many states behind the one as behind the other, of equal types and sizes" } else { "" },
            all.0,
            graph.input(0),
            all.1,
            graph.output(0)
        )));
    }
    Ok(graph)
}

/// What a chunk's numbers are, as forecasts need them.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Grid units per quantisation step.
    pub step: i32,
    /// Smallest and largest value of the grid.
    pub limits: (i32, i32),
    /// Frames per time step.
    pub levels: usize,
}

/// What the references of a chunk that are no decoded frames are made with.
#[derive(Clone)]
pub enum Forecasts {
    /// A network that reads decoded frames.
    Network(Arc<Model>, Normal),
    /// An autoencoder of this model, which made them all at once.
    Given(Digest, Arc<Reconstruction>),
}

impl Forecasts {
    /// The model.
    pub fn model(&self) -> Digest {
        match self {
            Self::Network(model, _) => model.digest(),
            Self::Given(digest, _) => *digest,
        }
    }

    /// What makes those of the frames of a band.
    ///
    /// # Errors
    /// As [`Forecaster::new`].
    pub fn forecaster(
        &self,
        numbers: Numbers,
        frames: &Frames,
        band: &Band,
        threads: usize,
    ) -> Result<Forecaster> {
        match self {
            Self::Network(model, normal) => {
                Forecaster::new(model, normal, numbers, (band.height, band.width), threads)
            }
            Self::Given(_, reconstruction) => Ok(Forecaster::Given(Given {
                reconstruction: Arc::clone(reconstruction),
                limits: numbers.limits,
                height: frames.height,
                top: band.top,
                width: band.width,
                out: vec![0; band.height * band.width],
            })),
        }
    }
}

/// What an autoencoder makes of the frames of a band.
pub struct Given {
    reconstruction: Arc<Reconstruction>,
    limits: (i32, i32),
    /// Rows of a frame.
    height: usize,
    /// Rows before the band.
    top: usize,
    width: usize,
    out: Vec<i32>,
}

impl Given {
    fn run(&mut self, step: &Step) -> &[i32] {
        for (y, row) in self.out.chunks_exact_mut(self.width).enumerate() {
            let start = (step.frame * self.height + self.top + y) * self.width;
            self.reconstruction.row(start, self.limits, row);
        }
        &self.out
    }
}

/// Makes forecasts of the frames of a band.
pub enum Forecaster {
    /// Each from its window alone.
    Plain(Plain),
    /// Each from what the network remembers.
    Recurrent(Recurrent),
    /// As an autoencoder made them.
    Given(Given),
}

impl Forecaster {
    /// The forecaster of frames of this size.
    ///
    /// # Errors
    /// `InvalidArgument` where the model makes no such forecasts or is too large for the frames.
    pub fn new(
        model: &Model,
        normal: &Normal,
        numbers: Numbers,
        size: (usize, usize),
        threads: usize,
    ) -> Result<Self> {
        let window = normal.window;
        let graph = graph(model, window)?;
        if !windows(model)?.contains(&window) {
            return Err(Error::invalid("the forecaster reads other frames than the stream says"));
        }
        if !window.fits(numbers.levels) {
            return Err(Error::invalid(format!(
                "the model sha256:{} predicts {} frames of a time step together, and the chunk has {} of them",
                model.digest(),
                window.channels(),
                numbers.levels
            )));
        }
        let made = Made { graph, normal: normal.clone(), numbers, size, threads };
        Ok(match window {
            Window::Recurrent { .. } => Self::Recurrent(Recurrent::new(made)?),
            _ => Self::Plain(Plain::new(made)?),
        })
    }

    /// Makes the forecast of a step: `source(k, y, row)` gives row `y` of the `k`-th frame that it reads. Steps come in
    /// the order of coding.
    pub fn run(&mut self, step: &Step, source: &mut dyn FnMut(usize, usize, &mut [i32])) -> &[i32] {
        match self {
            Self::Plain(plain) => plain.run(step, source),
            Self::Recurrent(recurrent) => recurrent.run(step, source),
            Self::Given(given) => given.run(step),
        }
    }

    /// Whether a forecast depends on those before it.
    pub fn remembers(&self) -> bool {
        matches!(self, Self::Recurrent(_))
    }

    /// Forgets what was before.
    pub fn restart(&mut self) {
        if let Self::Recurrent(recurrent) = self {
            recurrent.restart();
        }
    }
}

/// What a forecaster is made of.
pub struct Made<'a> {
    pub graph: &'a Arc<Graph>,
    pub normal: Normal,
    pub numbers: Numbers,
    /// Rows and columns of the frames.
    pub size: (usize, usize),
    pub threads: usize,
}

impl Made<'_> {
    /// A session for planes that hold the frames, and the planes' rows and columns.
    pub fn session(&self) -> Result<(Session, [usize; 2])> {
        let planes = [self.size.0, self.size.1].map(|n| n.next_multiple_of(self.graph.multiple()));
        Ok((Session::new(self.graph, planes[0], planes[1])?, planes))
    }
}
