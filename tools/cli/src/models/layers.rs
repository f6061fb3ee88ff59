//! What a model's graphs consist of: layers, their shapes, their weights and what they cost.

use augur_core::network::Model;
use safetensors::SafeTensors;
use serde_json::{json, Map, Value};

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
    /// Shape of its weights; empty without.
    pub weight: Vec<usize>,
    /// Bytes of its tensors.
    pub bytes: usize,
    /// Multiply-adds per point of the frame.
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
    /// Multiply-adds per point of the frame.
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
                "weight": l.weight, "bytes": l.bytes, "multiply_adds_per_point": l.macs,
            })).collect::<Vec<_>>(),
        })
    }
}

impl Layer {
    /// Shape of its output: channels at a fraction of the frame's height and width.
    pub fn shape(&self) -> String {
        let levels = if self.levels { ", levels" } else { "" };
        match self.down {
            0 => format!("{} x frame{levels}", self.channels),
            d => format!("{} x frame/{}{levels}", self.channels, 1u64 << d.min(63)),
        }
    }
}

/// The graphs of a model that was read and checked. What this build does not know is left at what it can tell.
pub fn graphs(model: &Model) -> Vec<Graph> {
    let text = model.metadata().get("graphs").map_or("{}", String::as_str);
    let all: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let tensors = SafeTensors::deserialize(model.bytes()).ok();
    all.iter()
        .map(|(name, graph)| {
            let nodes = graph["nodes"].as_array().map_or(&[][..], Vec::as_slice);
            let mut layers: Vec<Layer> = Vec::with_capacity(nodes.len());
            for node in nodes {
                let next = layer(node, &layers, tensors.as_ref());
                layers.push(next);
            }
            let keys = graph.as_object().cloned().unwrap_or_default();
            let keys = keys.into_iter().filter(|(k, _)| k != "nodes").collect();
            Graph { name: name.clone(), keys, layers }
        })
        .collect()
}

fn layer(node: &Value, before: &[Layer], tensors: Option<&SafeTensors<'_>>) -> Layer {
    let op = node["op"].as_str().unwrap_or("?");
    let inputs: Vec<usize> = node["in"]
        .as_array()
        .map(|list| list.iter().filter_map(|v| v.as_u64()).map(|k| k as usize).collect())
        .unwrap_or_default();
    let first = inputs.first().and_then(|&k| before.get(k));
    let number = |key: &str| node[key].as_u64().map(|n| n as usize);
    let tensor = |key: &str| tensors?.tensor(node[key].as_str()?).ok();
    let bytes = node
        .as_object()
        .map(|fields| fields.keys().filter_map(|key| tensor(key)).map(|t| t.data().len()).sum())
        .unwrap_or(0);
    let weight = tensor("weight").or_else(|| tensor("gamma")).map(|t| t.shape().to_vec()).unwrap_or_default();
    let strided = number("stride") == Some(2);
    let mut layer = Layer {
        what: op.to_string(),
        channels: weight.first().copied().or_else(|| first.map(|f| f.channels)).unwrap_or(0),
        element: node["type"]
            .as_str()
            .map(str::to_string)
            .or_else(|| first.map(|f| f.element.clone()))
            .unwrap_or_else(|| "i8".into()),
        down: first.map_or(0, |f| f.down),
        levels: first.is_some_and(|f| f.levels),
        inputs,
        weight,
        bytes,
        macs: 0.0,
    };
    match op {
        "input" => {
            layer.channels = number("channels").unwrap_or(0);
            layer.down = number("down").unwrap_or(0) as u32;
            layer.levels = number("rank") == Some(3);
        }
        "conv2d" | "conv3d" => {
            layer.down += u32::from(strided);
            let kernel: Vec<String> = layer.weight.iter().skip(2).map(usize::to_string).collect();
            layer.what = format!("{op} {}{}", kernel.join("x"), if strided { " stride 2" } else { "" });
        }
        "conv2d_transposed" => layer.down = layer.down.saturating_sub(1),
        "upsample" => layer.down = layer.down.saturating_sub(1),
        "maxpool" => layer.down += 1,
        "space_to_depth" => {
            layer.channels *= 4;
            layer.down += 1;
        }
        "depth_to_space" => {
            layer.channels /= 4;
            layer.down = layer.down.saturating_sub(1);
        }
        "concat" => {
            layer.channels = layer.inputs.iter().filter_map(|&k| before.get(k)).map(|l| l.channels).sum();
        }
        _ => {}
    }
    let weights = if layer.weight.is_empty() { 0 } else { layer.weight.iter().product::<usize>() };
    // Of a transposed convolution three quarters of the taps meet no value; halved levels count as well.
    let share = if op == "conv2d_transposed" { 0.25 } else { 1.0 };
    let axes = if layer.levels { 3 } else { 2 };
    layer.macs = share * weights as f64 / 2f64.powi((axes * layer.down).min(600) as i32);
    layer
}
