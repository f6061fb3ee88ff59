//! What is trained: a network that reads a few decoded frames, or one that remembers.

use crate::decoded::Role;
use crate::forecaster;
use crate::graph::Graph;
use crate::integers::Integers;
use crate::interpolator;
use crate::net::Net;
use crate::recurrent;
use augur_core::network::build::GraphBuilder;
use augur_core::Preset;
use tch::Device;

/// The architecture of a network and what it is for.
#[derive(Clone, Debug)]
pub enum Design {
    /// One frame from a few others.
    Frame(Role, forecaster::Plan),
    /// Each frame from the one before and what is remembered.
    Recurrent(recurrent::Plan),
}

impl Design {
    /// A network at the start of training.
    pub fn net(&self, device: Device) -> Net {
        match self {
            Self::Frame(Role::Forecaster, plan) => plan.net(device),
            Self::Frame(Role::Interpolator, plan) => plan.interpolator(device),
            Self::Recurrent(plan) => Net::new(plan.graph(), device),
        }
    }

    /// The layers.
    pub fn graph(&self) -> Graph {
        match self {
            Self::Frame(Role::Forecaster, plan) => plan.graph(),
            Self::Frame(Role::Interpolator, plan) => plan.graph_for(interpolator::CHANNELS),
            Self::Recurrent(plan) => plan.graph(),
        }
    }

    /// The graph's name in a model file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Frame(role, _) => role.graph(),
            Self::Recurrent(_) => recurrent::GRAPH,
        }
    }

    /// The graph for a model file.
    pub fn describe(&self, net: &Net) -> GraphBuilder {
        match self {
            Self::Recurrent(plan) => plan.describe(net),
            Self::Frame(role, plan) => {
                let mut graph = Integers::of(net).graph(self.name());
                if *role == Role::Forecaster {
                    graph.key("frames", plan.frames).key("levels", plan.levels);
                }
                graph
            }
        }
    }

    /// What it is, in words.
    pub fn words(&self) -> String {
        match self {
            Self::Recurrent(plan) => plan.words(),
            Self::Frame(role, plan) => {
                let above = plan.levels == 1 && *role == Role::Forecaster;
                let space = if above { ", levels above and below" } else { "" };
                let (kind, width, frames) = (role.graph(), plan.width, plan.frames);
                format!("{kind}: U-Net of {width} channels, {frames} frames{space}")
            }
        }
    }

    /// Decoded frames that a forecast reads, at least.
    pub fn frames(&self) -> i64 {
        match self {
            Self::Frame(_, plan) => plan.frames,
            Self::Recurrent(_) => 2,
        }
    }

    /// Frames of a time step that are forecast together.
    pub fn channels(&self) -> i64 {
        match self {
            Self::Frame(..) => 1,
            Self::Recurrent(plan) => plan.channels,
        }
    }

    /// Rows and columns of planes are multiples of this.
    pub fn multiple(&self) -> i64 {
        match self {
            Self::Frame(..) => forecaster::MULTIPLE,
            Self::Recurrent(plan) => plan.multiple(),
        }
    }

    /// What the codec does with it.
    pub fn preset(&self) -> Preset {
        match self {
            Self::Frame(..) => Preset::Learned,
            Self::Recurrent(_) => Preset::TezipPlus,
        }
    }
}
