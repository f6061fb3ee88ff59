//! What a model's graphs consist of: layers, their shapes, their weights and what they cost.

use augur_core::network::layers::Node;
use augur_core::network::{self, Model};
use safetensors::SafeTensors;
use serde_json::{json, Map, Value};
use std::sync::Arc;

/// One node of a graph.
pub struct Layer {
    /// What it does, with its kernel and stride.
    pub what: String,
    /// Nodes that it reads.
    pub inputs: Vec<usize>,
    /// Channels that it gives.
    pub channels: usize,
    /// `i8` or `i16`.
    pub element: String,
    /// Base-2 logarithm of how many times shorter rows and columns are than those of the frame.
    pub down: u32,
    /// Whether it has levels.
    pub levels: bool,
    /// Levels, rows and columns in a graph of blocks.
    pub points: Option<[usize; 3]>,
    /// Shape of its weights; empty without.
    pub weight: Vec<usize>,
    /// Bytes of its tensors.
    pub bytes: usize,
    /// Multiply-adds per point of the frame, or of the block.
    pub macs: f64,
}

/// One graph of a model.
pub struct Graph {
    /// Its role: `forecaster`, `corrector`.
    pub name: String,
    /// What it says beside its layers.
    pub keys: Map<String, Value>,
    /// Its nodes in order.
    pub layers: Vec<Layer>,
}

impl Graph {
    /// Multiply-adds per point of the frame, or of the block.
    pub fn macs(&self) -> f64 {
        self.layers.iter().map(|l| l.macs).sum()
    }

    /// Bytes of its tensors, counted at every use.
    pub fn bytes(&self) -> usize {
        self.layers.iter().map(|l| l.bytes).sum()
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "name": self.name,
            "keys": self.keys,
            "multiply_adds_per_point": self.macs(),
            "bytes": self.bytes(),
            "layers": self.layers.iter().map(|l| json!({
                "op": l.what, "inputs": l.inputs, "channels": l.channels, "type": l.element, "down": l.down,
                "points": l.points, "weight": l.weight, "bytes": l.bytes, "multiply_adds_per_point": l.macs,
            })).collect::<Vec<_>>(),
        })
    }
}

impl Layer {
    /// Shape of its output: channels at a fraction of the frame's height and width, or at so many points of a block.
    pub fn shape(&self) -> String {
        if let Some([levels, rows, columns]) = self.points {
            return format!("{} x {levels}x{rows}x{columns}", self.channels);
        }
        let levels = if self.levels { ", levels" } else { "" };
        match self.down {
            0 => format!("{} x frame{levels}", self.channels),
            d => format!("{} x frame/{}{levels}", self.channels, 1u64 << d.min(63)),
        }
    }
}

/// The graphs of a model.
pub fn graphs(model: &Model) -> Vec<Graph> {
    let text = model.metadata().get("graphs").map_or("{}", String::as_str);
    let all: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let tensors = SafeTensors::deserialize(model.bytes()).ok();
    let graph = |(name, read): (&str, &Arc<network::Graph>)| {
        let mut keys = all.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
        let nodes = match keys.remove("nodes") {
            Some(Value::Array(nodes)) => nodes,
            _ => vec![],
        };
        let layer = |(node, text): (&Node, &Value)| {
            let macs = read.macs_of(node);
            layer(node, text, macs, tensors.as_ref())
        };
        Graph { name: name.to_owned(), keys, layers: read.nodes().iter().zip(&nodes).map(layer).collect() }
    };
    model.graphs().map(graph).collect()
}

/// A node as it was read, with what the file says of it.
fn layer(node: &Node, text: &Value, macs: f64, tensors: Option<&SafeTensors<'_>>) -> Layer {
    let op = text["op"].as_str().unwrap_or("?");
    let tensor = |key: &str| tensors?.tensor(text[key].as_str()?).ok();
    let bytes = text
        .as_object()
        .map(|fields| fields.keys().filter_map(|key| tensor(key)).map(|t| t.data().len()).sum())
        .unwrap_or(0);
    let weight = tensor("weight").or_else(|| tensor("gamma")).map(|t| t.shape().to_vec()).unwrap_or_default();
    let what = match op.strip_prefix("conv") {
        Some(_) => {
            let kernel: Vec<String> = weight.iter().skip(2).map(usize::to_string).collect();
            let strided = text["stride"].as_u64() == Some(2);
            format!("{op} {}{}", kernel.join("x"), if strided { " stride 2" } else { "" })
        }
        None => op.to_owned(),
    };
    Layer {
        what,
        inputs: node.inputs.clone(),
        channels: node.channels,
        element: node.element.name().to_owned(),
        down: node.down[1].into(),
        levels: node.levels,
        points: node.points,
        weight,
        bytes,
        macs,
    }
}
