//! Networks that remember: what they are built of, and their contract with the codec (docs/models.md).
//!
//! A network is run once for each frame and gives a forecast of the next one. It reads `channels` frames of a time step at once (levels,
//! colours, variables): their positions, and with two planes of each their last changes; it gives the next positions, or with two planes
//! the next changes.

use crate::graph::{Builder, Graph};
use crate::integers::Integers;
use crate::net::Net;
use crate::{convlstm, prednet};
use augur_core::network::build::GraphBuilder;
use serde::Deserialize;

/// The graph's name in a model file.
pub const GRAPH: &str = "recurrent";
/// Most frames of a time step that are read at once.
pub const MOST_CHANNELS: i64 = 16;
/// Share of the last change that is added to the last frame at first.
const EXTRAPOLATION: f64 = 0.5;

/// What kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// PredNet.
    PredNet,
    /// ConvLSTM encoder and forecaster.
    ConvLstm,
}

/// What a network that remembers is built of.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Its kind.
    pub kind: Kind,
    /// Frames of a time step that are read at once.
    pub channels: i64,
    /// 1: positions; 2: positions and changes.
    pub planes: i64,
    /// Channels of the cells, from the full lattice on, each half as fine as the one before.
    pub widths: Vec<i64>,
    /// Channels of features of the input that PredNet's lowest level reads beside its errors.
    pub context: i64,
}

impl Plan {
    /// The plan of a size; `None` where there is no such size.
    pub fn new(kind: Kind, size: &str, channels: i64, planes: i64) -> Option<Self> {
        let (widths, context): (&[i64], i64) = match (kind, size) {
            (Kind::PredNet, "small") => (&[4, 4, 8], 4),
            (Kind::PredNet, "medium") => (&[8, 12, 16], 8),
            (Kind::PredNet, "tezip") => (&[channels, 48, 96, 192], 0),
            (Kind::ConvLstm, "small") => (&[4, 8, 8], 0),
            (Kind::ConvLstm, "medium") => (&[8, 16, 32], 0),
            (Kind::ConvLstm, "tezip") => (&[32, 64, 64, 64], 0),
            _ => return None,
        };
        Some(Self { kind, channels, planes, widths: widths.to_vec(), context })
    }

    /// Rows and columns of planes are multiples of this.
    pub fn multiple(&self) -> i64 {
        1 << (self.widths.len() - 1)
    }

    /// The layers.
    pub fn graph(&self) -> Graph {
        match self.kind {
            Kind::PredNet => prednet::graph(self),
            Kind::ConvLstm => convlstm::graph(self),
        }
    }

    /// Adds the linear branch: the last frame, or some of its last change.
    pub fn passing(&self, net: &mut Builder) -> usize {
        let c = self.channels;
        match self.planes {
            1 => net.passing(0, c, 0, 1.0),
            _ => net.passing(0, c, c, EXTRAPOLATION),
        }
    }

    /// The graph for a model file.
    pub fn describe(&self, net: &Net) -> GraphBuilder {
        let mut graph = Integers::of(net).graph(GRAPH);
        graph.key("channels", self.channels).key("planes", self.planes);
        graph
    }

    /// What it is, in words.
    pub fn words(&self) -> String {
        let widths: Vec<String> = self.widths.iter().map(i64::to_string).collect();
        let kind = match self.kind {
            Kind::PredNet => "prednet",
            Kind::ConvLstm => "convlstm",
        };
        let what = if self.planes == 1 { "frames" } else { "changes" };
        format!(
            "{kind}: cells of {} channels, {} forecast together, {what}",
            widths.join(", "),
            self.channels
        )
    }
}
