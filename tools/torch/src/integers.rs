//! A trained network as the integers that a model file holds, and their evaluation.
//!
//! The evaluation is a second implementation of the codec's: sums as products of matrices of float64, exact below
//! 2^53 in any order (never through a convolution, which a library may turn into a Fourier or Winograd transform), so that it
//! gives the same integers on a CPU and on a GPU.

use crate::graph::{self, Graph, Node, Values, WIDE, WIDE_RANGE};
use crate::net::{channel_scale, Net};
use augur_core::network::build::{GraphBuilder, Weights};
use safetensors::SafeTensors;
use serde_json::json;
use tch::{no_grad, Device, Kind, Tensor};

/// Least multiplier of a requantisation; twice it is too large.
const MULTIPLIER: f64 = 16384.0;
/// Most shift of a requantisation.
const SHIFT: f64 = 46.0;
/// Greatest bias, in units of the sums.
pub const BIAS: f64 = (1 << 30) as f64;

/// A network of integers.
#[derive(Clone, Debug, PartialEq)]
pub struct Integers {
    graph: Graph,
    values: Vec<Values>,
    layers: Vec<Option<Weights>>,
}

/// All values of a tensor.
pub fn list(t: &Tensor) -> Vec<f64> {
    let t = t.detach().to_device(Device::Cpu).to_kind(Kind::Double).reshape([-1]);
    Vec::try_from(t).unwrap_or_default()
}

impl Integers {
    /// Rounds a network's weights.
    pub fn of(net: &Net) -> Self {
        let values = graph::values(&net.graph.nodes);
        let layers = net.graph.nodes.iter().zip(&net.layers).map(|(node, layer)| {
            let (Node::Conv { from, values: made, .. }, Some(layer)) = (node, layer) else { return None };
            let scales = channel_scale(&layer.weight);
            let read = values[*from].unit;
            let mut weights = Weights {
                shape: layer.weight.size().iter().map(|&n| n as usize).collect(),
                weight: list(&(&layer.weight / &scales).round()).into_iter().map(|v| v as i8).collect(),
                bias: vec![],
                multiplier: vec![],
                shift: vec![],
            };
            for (s, b) in list(&scales).into_iter().zip(list(&layer.bias)) {
                weights.bias.push((b * read / s).round().clamp(-BIAS, BIAS) as i32);
                let (multiplier, shift) = requantisation(s * made.unit / read);
                weights.multiplier.push(multiplier);
                weights.shift.push(shift);
            }
            Some(weights)
        });
        Self { layers: layers.collect(), graph: net.graph.clone(), values }
    }

    /// The integers of the graph `name` in a model file, which must have the same layers as `graph`.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn read(graph: &Graph, name: &str, file: &[u8]) -> Result<Self, String> {
        // Checks all that a model file states.
        let model = augur_core::network::Model::from_bytes(file).map_err(|e| e.to_string())?;
        let other = "it is of another architecture or size";
        if model.graph(name).is_none_or(|g| g.macs_per_point() != graph.operations()) {
            return Err(other.into());
        }
        let tensors = SafeTensors::deserialize(file).map_err(|e| e.to_string())?;
        let mut layers = vec![];
        for (k, node) in graph.nodes.iter().enumerate() {
            let Node::Conv { inputs, outputs, size, .. } = *node else {
                layers.push(None);
                continue;
            };
            let shape = [outputs, inputs, size, size].map(|n| n as usize).to_vec();
            let get = |what: &str, shape: &[usize]| {
                let tensor =
                    tensors.tensor(&format!("{name}.{k}.{what}")).ok().filter(|t| t.shape() == shape);
                tensor.ok_or(other)
            };
            let ints = |what| -> Result<Vec<i32>, String> {
                let bytes = get(what, &shape[..1])?.data();
                Ok(bytes.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
            };
            layers.push(Some(Weights {
                weight: get("weight", &shape)?.data().iter().map(|&b| b as i8).collect(),
                bias: ints("bias")?,
                multiplier: ints("multiplier")?,
                shift: get("shift", &shape[..1])?.data().to_vec(),
                shape,
            }));
        }
        Ok(Self { graph: graph.clone(), values: graph::values(&graph.nodes), layers })
    }

    /// Gives a network in training these weights, up to their rounding.
    pub fn restore(&self, net: &Net) {
        let mut values = vec![];
        for (node, layer) in self.graph.nodes.iter().zip(&self.layers) {
            let (Node::Conv { from, values: made, .. }, Some(w)) = (node, layer) else { continue };
            let read = self.values[*from].unit;
            let scales: Vec<f64> = (w.multiplier.iter().zip(&w.shift))
                .map(|(&m, &s)| f64::from(m) / f64::from(s).exp2() * read / made.unit)
                .collect();
            let shape: Vec<i64> = w.shape.iter().map(|&n| n as i64).collect();
            let weight = Tensor::from_slice(&w.weight).to_kind(Kind::Double).view(shape.as_slice());
            values.push(weight * Tensor::from_slice(&scales).view([-1, 1, 1, 1]));
            let bias = w.bias.iter().zip(&scales).map(|(&b, s)| f64::from(b) * s / read);
            values.push(Tensor::from_slice(&bias.collect::<Vec<f64>>()));
        }
        net.restore(&values);
    }

    /// The graph for a model file.
    pub fn graph(&self, name: &str) -> GraphBuilder {
        let mut graph = GraphBuilder::new(name);
        for (k, (node, layer)) in self.graph.nodes.iter().zip(&self.layers).enumerate() {
            let clamp = |v: &Values| [v.clamp.0, v.clamp.1];
            match (node, layer) {
                (Node::Conv { from, stride, values, .. }, Some(weights)) => {
                    let more = json!({ "stride": stride });
                    graph.conv("conv2d", *from, weights, values.clamp, values.element, more)
                }
                (Node::Upsample(k), _) => graph.layer("upsample", &[*k]),
                (Node::MaxPool(k), _) => graph.layer("maxpool", &[*k]),
                (Node::SpaceToDepth(k), _) => graph.layer("space_to_depth", &[*k]),
                (Node::DepthToSpace(k), _) => graph.layer("depth_to_space", &[*k]),
                (Node::Concat(of), _) => graph.layer("concat", of),
                (Node::Slice(k, first, channels), _) => graph.node(json!({
                    "op": "slice", "in": [k], "from": first, "channels": channels,
                })),
                (Node::Add(a, b), _) => {
                    graph.node(json!({ "op": "add", "in": [a, b], "clamp": [WIDE_RANGE.0, WIDE_RANGE.1] }))
                }
                (Node::Subtract { of, shift, values }, _) => graph.node(json!({
                    "op": "subtract", "in": of, "shift": shift, "type": values.element.name(),
                    "clamp": clamp(values),
                })),
                (Node::Multiply { of, shift, values }, _) => graph.node(json!({
                    "op": "multiply", "in": of, "shift": shift, "type": values.element.name(),
                    "clamp": clamp(values),
                })),
                (Node::Rescale { from, shift, values }, _) => graph.node(json!({
                    "op": "rescale", "in": [from], "multiplier": 1, "shift": shift,
                    "type": values.element.name(), "clamp": clamp(values),
                })),
                (Node::Tanh(from), _) => {
                    let table = graph::tanh_table(self.values[*from].unit);
                    let table = graph.tensor(&format!("{k}.table"), &[table.len()], &table);
                    graph.node(json!({ "op": "table", "in": [from], "table": table }))
                }
                (Node::Input { channels, down, values }, _) => graph.node(json!({
                    "op": "input", "channels": channels, "type": values.element.name(), "down": down,
                })),
                (Node::Conv { .. }, None) => k,
            };
        }
        if self.graph.outputs != [self.graph.nodes.len() - 1] {
            graph.key("outputs", self.graph.outputs.clone());
        }
        graph
    }

    /// The first output for integer planes of shape [n, channels, height, width].
    pub fn evaluate(&self, input: &Tensor) -> Tensor {
        self.run(&[input.shallow_clone()]).swap_remove(0)
    }

    /// Outputs for integers of shape [n, channels, height, width].
    pub fn run(&self, inputs: &[Tensor]) -> Vec<Tensor> {
        let all = self.nodes(inputs);
        self.graph.outputs.iter().map(|k| all[*k].shallow_clone()).collect()
    }

    /// What all nodes give.
    pub fn nodes(&self, inputs: &[Tensor]) -> Vec<Tensor> {
        let mut inputs = inputs.iter();
        no_grad(|| {
            let mut all: Vec<Tensor> = Vec::with_capacity(self.layers.len());
            for k in 0..self.layers.len() {
                let value = match &self.graph.nodes[k] {
                    Node::Input { .. } => inputs.next().map(|x| x.to_kind(Kind::Int64)).unwrap_or_default(),
                    node => self.layer(k, node, &all),
                };
                all.push(value);
            }
            all
        })
    }

    fn layer(&self, k: usize, node: &Node, all: &[Tensor]) -> Tensor {
        let (low, high) = self.values[k].clamp;
        let limited = |x: Tensor| x.clamp(i64::from(low), i64::from(high));
        let shifted = |x: Tensor, shift: u8| match shift {
            0 => limited(x),
            n => limited((x + (1i64 << (n - 1))).bitwise_right_shift_tensor_scalar(i64::from(n))),
        };
        match node {
            Node::Conv { from, stride, .. } => self.layers[k]
                .as_ref()
                .map(|weights| limited(convolution(&all[*from], weights, *stride)))
                .unwrap_or_default(),
            Node::Upsample(k) => {
                all[*k].repeat_interleave_self_int(2, 2, None).repeat_interleave_self_int(2, 3, None)
            }
            Node::MaxPool(k) => all[*k].pixel_unshuffle(2).unflatten(1, [-1, 4]).amax([2], false),
            Node::SpaceToDepth(k) => all[*k].pixel_unshuffle(2),
            Node::DepthToSpace(k) => all[*k].pixel_shuffle(2),
            Node::Concat(of) => Tensor::cat(&of.iter().map(|k| &all[*k]).collect::<Vec<_>>(), 1),
            Node::Slice(k, first, channels) => all[*k].narrow(1, *first, *channels),
            Node::Add(a, b) => limited(&all[*a] + &all[*b]),
            Node::Subtract { of: [a, b], shift, .. } => shifted(&all[*a] - &all[*b], *shift),
            Node::Multiply { of: [a, b], shift, .. } => shifted(&all[*a] * &all[*b], *shift),
            Node::Rescale { from, shift, .. } => shifted(all[*from].shallow_clone(), *shift),
            Node::Tanh(k) => {
                let table = graph::tanh_table(self.values[*k].unit);
                let table = Tensor::from_slice(&table).to_kind(Kind::Int64).to_device(all[*k].device());
                table.take(&(&all[*k] + 128))
            }
            Node::Input { .. } => Tensor::default(),
        }
    }
}

/// Multiplier of 15 bits and shift whose quotient is nearest to `factor`; shifts reach from 1 to 46.
pub fn requantisation(factor: f64) -> (i32, u8) {
    multiplied(factor, SHIFT)
}

/// The same with shifts of up to `most`.
pub fn multiplied(factor: f64, most: f64) -> (i32, u8) {
    let mut shift = (2.0 * MULTIPLIER / factor).log2().floor().clamp(1.0, most);
    let multiplier = |shift: f64| (factor * shift.exp2()).round();
    if multiplier(shift) > 2.0 * MULTIPLIER - 1.0 && shift > 1.0 {
        shift -= 1.0;
    }
    (multiplier(shift).clamp(1.0, 2.0 * MULTIPLIER - 1.0) as i32, shift as u8)
}

/// A convolution with replicated edges and its requantisation without limits, exactly.
fn convolution(x: &Tensor, weights: &Weights, stride: i64) -> Tensor {
    let device = x.device();
    let (n, _, h, w) = x.size4().unwrap_or((0, 0, 0, 0));
    let size = weights.shape[2] as i64;
    let x = x.to_kind(Kind::Double).replication_pad2d([size / 2; 4]);
    let patches = x.im2col([size; 2], [1; 2], [0; 2], [stride; 2]);
    let rows = Tensor::from_slice(&weights.weight).to_kind(Kind::Double).to_device(device);
    let sums = rows.view([1, weights.bias.len() as i64, -1]).matmul(&patches).to_kind(Kind::Int64);
    let sums = sums.view([n, -1, (h + stride - 1) / stride, (w + stride - 1) / stride]);
    let column = |v: Vec<i64>| Tensor::from_slice(&v).to_device(device).view([1, -1, 1, 1]);
    let wide = |v: &[i32]| column(v.iter().map(|&b| i64::from(b)).collect());
    let shift = column(weights.shift.iter().map(|&s| i64::from(s)).collect());
    let half = column(weights.shift.iter().map(|&s| 1 << (s - 1)).collect());
    let product = (sums + wide(&weights.bias)) * wide(&weights.multiplier) + half;
    product.bitwise_right_shift(&shift)
}

/// Planes in the units of 16-bit inputs.
pub fn to_wide(planes: &Tensor) -> Tensor {
    (planes * WIDE).round().to_kind(Kind::Int64)
}
