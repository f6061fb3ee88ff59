//! Model files, written.

use super::graph::Element;
use crate::error::{Error, Result};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{json, Map, Value};
use std::collections::BTreeMap;

/// A model file in the making: metadata, tensors and graphs.
///
/// Nothing is checked here; reading it with [`Model::from_bytes`](super::Model::from_bytes) does that. Equal parts give
/// equal bytes.
#[derive(Clone, Debug, Default)]
pub struct ModelBuilder {
    metadata: BTreeMap<String, String>,
    graphs: Map<String, Value>,
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
}

/// A graph in the making. Nodes are counted from 0 in the order in which they are added; each call gives its node's
/// number.
#[derive(Clone, Debug, Default)]
pub struct GraphBuilder {
    prefix: String,
    nodes: Vec<Value>,
    extra: Map<String, Value>,
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
}

/// What a convolution or a dense layer was trained to: see `docs/models.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Output channels, input channels and the sides of the kernel.
    pub shape: Vec<usize>,
    /// In this order, the last axis fastest.
    pub weight: Vec<i8>,
    /// Of each output channel, in units of the sums.
    pub bias: Vec<i32>,
    /// Of each output channel, 1 to 32767.
    pub multiplier: Vec<i32>,
    /// Of each output channel, 1 to 46.
    pub shift: Vec<u8>,
}

impl ModelBuilder {
    /// A model without graphs.
    pub fn new() -> Self {
        Self::default()
    }

    /// States something about the model: `name`, `architecture`, `data`, `date`, ...
    pub fn metadata(&mut self, key: &str, value: impl Into<String>) -> &mut Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Adds a graph.
    pub fn graph(&mut self, name: &str, graph: GraphBuilder) -> &mut Self {
        let mut map = graph.extra;
        map.insert("nodes".into(), Value::Array(graph.nodes));
        self.graphs.insert(name.into(), Value::Object(map));
        self.tensors.extend(graph.tensors);
        self
    }

    /// The file.
    ///
    /// # Errors
    /// `InvalidArgument` if a tensor's values do not fill its shape.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let wrong = |e: safetensors::SafeTensorError| Error::invalid(format!("no model can be written: {e}"));
        let mut views = BTreeMap::new();
        for (name, (dtype, shape, data)) in &self.tensors {
            views.insert(name, TensorView::new(*dtype, shape.clone(), data).map_err(wrong)?);
        }
        let file = safetensors::serialize(views, None).map_err(wrong)?;
        // The header once more with the metadata: the keys in order, so that the bytes do not depend on chance.
        let (n, _) = safetensors::SafeTensors::read_metadata(&file).map_err(wrong)?;
        let json = |e: serde_json::Error| Error::invalid(format!("no model can be written: {e}"));
        let mut header: BTreeMap<String, Value> = serde_json::from_slice(&file[8..8 + n]).map_err(json)?;
        let mut metadata = self.metadata.clone();
        metadata.insert("format".into(), "augur-model".into());
        metadata.entry("version".into()).or_insert_with(|| "1".into());
        metadata.insert("graphs".into(), Value::Object(self.graphs.clone()).to_string());
        header.insert("__metadata__".into(), json!(metadata));
        let mut text = serde_json::to_vec(&header).map_err(json)?;
        text.resize(text.len().next_multiple_of(8), b' ');
        let mut out = (text.len() as u64).to_le_bytes().to_vec();
        out.extend(text);
        out.extend(&file[8 + n..]);
        Ok(out)
    }
}

impl GraphBuilder {
    /// A graph whose tensors' names begin with `prefix`.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into(), ..Self::default() }
    }

    /// States something about the graph: `frames`, `levels`, `outputs`, ...
    pub fn key(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        self.extra.insert(key.into(), value.into());
        self
    }

    /// Adds any node.
    pub fn node(&mut self, node: Value) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Adds an input.
    pub fn input(&mut self, channels: usize, element: Element) -> usize {
        self.node(json!({"op": "input", "channels": channels, "type": element.name()}))
    }

    /// Makes it a graph of blocks of so many levels, rows and columns.
    pub fn block(&mut self, points: [usize; 3]) -> &mut Self {
        self.key("block", points.to_vec())
    }

    /// Adds an input of other points than the block, in a graph of blocks.
    pub fn input_of(&mut self, channels: usize, element: Element, points: [usize; 3]) -> usize {
        self.node(json!({"op": "input", "channels": channels, "type": element.name(), "size": points}))
    }

    /// Adds the layer that makes channels of one point the points of a block.
    pub fn unflatten(&mut self, input: usize, points: [usize; 3]) -> usize {
        self.with("unflatten", &[input], json!({ "size": points }))
    }

    /// Adds a layer that only reads others: `upsample`, `flatten`, `concat`, `add`, ...
    pub fn layer(&mut self, op: &str, inputs: &[usize]) -> usize {
        self.node(json!({"op": op, "in": inputs}))
    }

    /// Adds a layer that reads others and has the keys of `more` beside: `multiply`, `rescale`, ...
    pub fn with(&mut self, op: &str, inputs: &[usize], more: Value) -> usize {
        let mut node = json!({"op": op, "in": inputs});
        if let (Some(node), Value::Object(more)) = (node.as_object_mut(), more) {
            node.extend(more);
        }
        self.node(node)
    }

    /// Adds the layer of channels `from` to `from + channels - 1` of another.
    pub fn slice(&mut self, input: usize, from: usize, channels: usize) -> usize {
        self.with("slice", &[input], json!({"from": from, "channels": channels}))
    }

    /// Adds `conv2d`, `conv3d`, `conv2d_transposed`, `conv3d_transposed` or `dense`, with the keys of `more` (`stride`) beside its own.
    pub fn conv(
        &mut self,
        op: &str,
        input: usize,
        weights: &Weights,
        clamp: (i32, i32),
        element: Element,
        more: Value,
    ) -> usize {
        let k = self.nodes.len();
        let channels = weights.bias.len();
        let mut node = json!({
            "op": op, "in": [input], "clamp": [clamp.0, clamp.1], "type": element.name(),
            "weight": self.tensor(&format!("{k}.weight"), &weights.shape, &weights.weight),
            "bias": self.tensor(&format!("{k}.bias"), &[channels], &weights.bias),
            "multiplier": self.tensor(&format!("{k}.multiplier"), &[channels], &weights.multiplier),
            "shift": self.tensor(&format!("{k}.shift"), &[channels], &weights.shift),
        });
        if let (Some(node), Value::Object(more)) = (node.as_object_mut(), more) {
            node.extend(more);
        }
        self.node(node)
    }

    /// Adds a tensor; gives its full name.
    pub fn tensor<T: TensorElement>(&mut self, name: &str, shape: &[usize], values: &[T]) -> String {
        let name = format!("{}.{name}", self.prefix);
        let bytes = values.iter().flat_map(|v| v.bytes()).collect();
        self.tensors.insert(name.clone(), (T::DTYPE, shape.to_vec(), bytes));
        name
    }
}

/// What tensors of model files are made of.
pub trait TensorElement: Copy {
    /// The type in the file.
    const DTYPE: Dtype;
    /// Little-endian.
    fn bytes(self) -> Vec<u8>;
}

macro_rules! tensor_element {
    ($($t:ty: $dtype:ident),*) => {$(
        impl TensorElement for $t {
            const DTYPE: Dtype = Dtype::$dtype;
            fn bytes(self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }
        }
    )*};
}
tensor_element!(i8: I8, u8: U8, i32: I32, f32: F32);
