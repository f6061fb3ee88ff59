//! Corrections of the linear prediction by a small network, point by point.
//!
//! Where a field moves, bends or breaks, the best weights differ from place to place; one linear filter for a whole class
//! of points cannot follow. The network reads what a point is predicted from, as differences from the linear prediction in
//! units of their own local spread, and answers with a correction in the same units. So it is indifferent to the field's
//! offset, amplitude and unit, and one network serves many bounds: it is told how large the quantisation step is beside
//! the spread. The points of a pass do not depend on each other, so that a run of them is computed at once.

use super::classes::{class_index, ROOT_SLOT};
use super::inputs::{inputs, InputRows};
use super::taps::{taps, Kind, Source, Tap, TapRows};
use super::{Coder, RunAt, Scale};
use crate::error::{Error, Result};
use crate::network::{Element, Graph, Model, Op, Port, Session};
use crate::reference::Step;
use arrayvec::ArrayVec;
use std::sync::Arc;

/// Name of the graph in a model file.
pub const GRAPH: &str = "corrector";

/// Weight classes of slots below this are corrected: the passes over the two finest lattices, which hold 15 of 16 points.
pub const CORRECTED_SLOTS: usize = 6;

/// Neighbours that are read: those in space, and patches of the first three references.
pub const NEIGHBOURS: usize = 16 + 21 + 13 + 13;
/// Numbers that describe the point: the step beside the spread, and what kind of point it is.
const DESCRIPTION: usize = 8;
/// Inputs of the network.
pub const CHANNELS: usize = NEIGHBOURS + DESCRIPTION;
/// What stands for 1 among the inputs.
pub const ONE: i16 = 1024;
/// Base-2 logarithm of the units of the output in a spread.
pub const OUTPUT_BITS: u32 = 12;

/// Most points that the network is run on at a time: few enough for their inputs to stay near.
const TILE: usize = 1024;

/// Which weight classes are corrected: a bit for each [`class_index`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u128);

const _: () = assert!(crate::reference::CLASSES * super::classes::SLOTS <= 128);

impl Classes {
    /// All that can be.
    pub const ALL: Self = Self(u128::MAX);

    /// Adds a class.
    pub fn insert(&mut self, index: usize) {
        self.0 |= 1 << index;
    }

    /// Whether a class is among them.
    pub fn has(self, index: usize) -> bool {
        self.0 >> index & 1 == 1
    }

    /// How many there are.
    pub fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Corrections as a stream has them.
#[derive(Clone, Debug)]
pub struct Corrections {
    /// What makes them; without, the inputs are made and nothing is corrected.
    pub model: Option<Arc<Model>>,
    /// Where.
    pub classes: Classes,
}

/// The graph of a model that makes corrections, if it has one.
///
/// # Errors
/// `InvalidArgument` where it is not what its name says.
pub fn graph(model: &Model) -> Result<Option<&Arc<Graph>>> {
    let Some(graph) = model.graph(GRAPH) else { return Ok(None) };
    let wrong = |what: String| {
        Err(Error::invalid(format!("the {GRAPH} of the model sha256:{} {what}", model.digest())))
    };
    let port =
        |channels| Some(Port { channels, element: Element::I16, down: 0, levels: false, points: None });
    if (graph.inputs(), graph.outputs()) != (1, 1)
        || graph.input(0) != port(CHANNELS)
        || graph.output(0) != port(1)
    {
        return wrong(format!(
            "must have one input of {CHANNELS} channels and one output of one, both i16 and of full size; it has {} inputs, \
             the first {:?}, and {} outputs, the first {:?}",
            graph.inputs(),
            graph.input(0),
            graph.outputs(),
            graph.output(0)
        ));
    }
    // Points are computed in no particular arrangement.
    for (k, node) in graph.nodes().iter().enumerate() {
        let alone = match &node.op {
            Op::Conv(conv) => conv.kernel == [1; 3] && conv.stride == [1; 3],
            Op::Upsample | Op::SpaceToDepth | Op::DepthToSpace | Op::MaxPool => false,
            _ => true,
        };
        if !alone {
            return wrong(format!("must look at each point alone, but its node {k} looks at others"));
        }
    }
    Ok(Some(graph))
}

/// What a network reads of some points, and the linear prediction that it corrects.
pub struct Reading<'a> {
    /// \[channel\]\[point\]: the points of a channel follow each other, `stride` from one channel to the next.
    pub inputs: &'a [i16],
    /// See `inputs`.
    pub stride: usize,
    /// The unit of a correction, in grid units.
    pub spread: &'a [i32],
    /// Linear predictions.
    pub linear: &'a [i32],
    /// Corrected ones.
    pub corrected: &'a [i32],
    /// Where the points lie in the run that they are of.
    pub first: usize,
    /// Their weight class, as [`class_index`] counts.
    pub class: usize,
}

/// Corrects the predictions of a band.
pub struct Corrector {
    classes: Classes,
    session: Option<Session>,
    /// Points of a tile.
    tile: usize,
    /// Inputs where there is no session.
    inputs: Vec<i16>,
    spread: Vec<i32>,
    linear: Vec<i32>,
    limits: (i32, i32),
}

impl Corrector {
    /// The corrector of frames of this size.
    ///
    /// # Errors
    /// `InvalidArgument` where the model makes no corrections.
    pub fn new(corrections: &Corrections, scale: &Scale, size: (usize, usize)) -> Result<Self> {
        // The finest passes have about a quarter of the points, in rows with a halo.
        let all = (size.0.div_ceil(2) * (size.1.div_ceil(2) + 2 * super::plane::HALO)).next_multiple_of(64);
        let tile = TILE.min(all);
        let session = match &corrections.model {
            None => None,
            Some(model) => {
                let graph = graph(model)?.ok_or_else(|| {
                    Error::invalid(format!("the model sha256:{} has no graph \"{GRAPH}\"", model.digest()))
                })?;
                Some(Session::native(graph, [1, 1, tile])?)
            }
        };
        let inputs = if session.is_some() { vec![] } else { vec![0; CHANNELS * tile] };
        Ok(Self {
            classes: corrections.classes,
            session,
            tile,
            inputs,
            spread: vec![0; tile],
            linear: vec![0; tile],
            limits: (scale.low, scale.high),
        })
    }

    /// The class of a pass, if it is corrected.
    pub fn class(&self, step: &Step, slot: usize) -> Option<usize> {
        let class = class_index(step.class, slot);
        (slot < CORRECTED_SLOTS.min(ROOT_SLOT) && self.classes.has(class)).then_some(class)
    }

    /// Corrects the predictions of a run; `rows` are the neighbours of its points and `about` describes them.
    pub fn correct(
        &mut self,
        rows: &NeighbourRows,
        about: &About,
        at: RunAt,
        predicted: &mut [i32],
        coder: &mut impl Coder,
    ) {
        let (low, high) = self.limits;
        for first in (0..predicted.len()).step_by(self.tile) {
            let n = self.tile.min(predicted.len() - first);
            let predicted = &mut predicted[first..first + n];
            let (spread, linear) = (&mut self.spread[..n], &mut self.linear[..n]);
            linear.copy_from_slice(predicted);
            let room = match &mut self.session {
                Some(session) => session.input_mut(0),
                None => &mut self.inputs,
            };
            let to = (&mut *room, self.tile);
            inputs(&rows.0, first, linear, about.step, &about.constants, to, spread);
            let inputs = match &mut self.session {
                Some(session) => {
                    session.run(1);
                    apply(session.output(0), linear, spread, low, high, predicted);
                    session.input(0)
                }
                None => &self.inputs,
            };
            let class = about.class;
            let reading =
                Reading { inputs, stride: self.tile, spread, linear, corrected: predicted, first, class };
            coder.corrected(at, &reading);
        }
    }
}

crate::machine::for_this_machine! {
    /// corrected[j] = linear[j] + output[j] * spread[j] / 2^OUTPUT_BITS, rounded, in low..=high.
    pub fn apply(output: &[i16], linear: &[i32], spread: &[i32], low: i32, high: i32, corrected: &mut [i32]) {
        let n = corrected.len();
        let (output, linear, spread) = (&output[..n], &linear[..n], &spread[..n]);
        for j in 0..n {
            let product = i64::from(output[j]) * i64::from(spread[j]) + (1 << (OUTPUT_BITS - 1));
            // Spreads are below 2^24, outputs have 16 bits.
            let correction = (product >> OUTPUT_BITS) as i32;
            corrected[j] = linear[j].wrapping_add(correction).max(low).min(high);
        }
    }
}

/// What a network is told of the points of a pass.
pub struct About {
    /// Grid units per quantisation step.
    step: i32,
    /// The last inputs, the same for all points of the pass.
    constants: [i16; DESCRIPTION - 1],
    class: usize,
}

impl About {
    /// Points of a kind, on a level, in a frame that is coded in steps of `step` units, of weight class `class`.
    pub fn new(kind: Kind, level: usize, step: &Step, units: i32, class: usize) -> Self {
        let (a, b) = kind.parity();
        let (levels, distance) = (step.class / 5, step.class % 5);
        let yes = |is: bool| if is { ONE } else { 0 };
        let later = step.references.iter().any(|r| *r > step.frame);
        let constants = [
            yes(a == 1),
            yes(b == 1),
            yes(level > 0),
            yes(step.has_forecast()),
            yes(later),
            yes(levels > 0),
            ONE / 4 * distance as i16,
        ];
        Self { step: units, constants, class }
    }
}

/// The neighbours of the points of a pass, from the next run on.
pub struct NeighbourRows<'a>(InputRows<'a>);

impl<'a> NeighbourRows<'a> {
    /// The taps that are read of a kind of points with so many references, with their places among the inputs.
    pub fn taps(kind: Kind, references: usize) -> ArrayVec<(Tap, usize), { super::taps::MAX_TAPS }> {
        let mut places = [16, 37, 50, NEIGHBOURS];
        let mut space = 0;
        let placed = taps(kind, references).iter().map(|tap| {
            let place = match tap.source {
                Source::Space { .. } => &mut space,
                Source::Reference(r) => &mut places[r],
            };
            *place += 1;
            (*tap, *place - 1)
        });
        placed.filter(|(_, place)| *place < NEIGHBOURS).collect()
    }

    /// From the rows of these taps.
    pub fn new(rows: &TapRows<'a, usize>) -> Self {
        let mut out = [None; NEIGHBOURS];
        rows.iter().for_each(|(row, place)| out[*place] = Some(*row));
        Self(out)
    }

    /// On by so many values.
    pub fn advance(&mut self, by: usize) {
        self.0.iter_mut().flatten().for_each(|row| *row = row.get(by..).unwrap_or_default());
    }
}
