//! A trained network as the integers that a model file holds, and their evaluation.
//!
//! The evaluation is a second implementation of the codec's: sums as products of matrices of float64, exact below
//! 2^53 in any order (never through a convolution, which a library may turn into a Fourier or Winograd transform), so that it
//! gives the same integers on a CPU and on a GPU.

use crate::graph::{Kind as Width, Node, WIDE};
use crate::net::{channel_scale, Net};
use safetensors::tensor::{Dtype, View};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use tch::{no_grad, Device, Kind, Tensor};

/// Least multiplier of a requantisation; twice it is too large.
const MULTIPLIER: f64 = 16384.0;

/// A tensor of a model file.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    dtype: Dtype,
    shape: Vec<usize>,
    values: Vec<i64>,
}

impl View for &Values {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        let size = self.data_len() / self.values.len().max(1);
        self.values.iter().flat_map(|v| v.to_le_bytes()[..size].to_vec()).collect::<Vec<_>>().into()
    }
    fn data_len(&self) -> usize {
        self.values.len() * if self.dtype == Dtype::I32 { 4 } else { 1 }
    }
}

/// A network of integers.
#[derive(Clone, Debug, PartialEq)]
pub struct Integers {
    /// What it does.
    pub nodes: Vec<Node>,
    tensors: BTreeMap<String, Values>,
}

/// Type of each node's values.
fn kinds(nodes: &[Node]) -> Vec<Width> {
    let mut kinds: Vec<Width> = vec![];
    for node in nodes {
        let kind = match node {
            Node::Input { kind, .. } | Node::Conv2d { kind, .. } => *kind,
            Node::Upsample { from } | Node::SpaceToDepth { from } | Node::DepthToSpace { from } => kinds[from[0]],
            Node::Concat { from } => kinds[from[0]],
            Node::Add { from, .. } => kinds[from[0]],
        };
        kinds.push(kind);
    }
    kinds
}

impl Integers {
    /// Rounds a network's weights.
    pub fn of(net: &Net) -> Self {
        let kinds = kinds(&net.nodes);
        let mut out = BTreeMap::new();
        for node in &net.nodes {
            let Node::Conv2d { from, tensors, kind, shape: [_, o, _], .. } = node else { continue };
            let weight = net.get(&tensors.weight).detach().to_device(Device::Cpu);
            let scale = channel_scale(&weight);
            let list = |t: &Tensor| -> Vec<f64> {
                Vec::try_from(t.to_kind(Kind::Double).reshape([-1])).unwrap_or_default()
            };
            let integers = list(&(&weight / &scale).round()).into_iter().map(|v| v as i64).collect();
            let (scales, biases) = (list(&scale), list(&net.get(&tensors.bias).detach().to_device(Device::Cpu)));
            let read = kinds[from[0]].scale();
            let (mut bias, mut multiplier, mut shift) = (vec![], vec![], vec![]);
            for (s, b) in scales.iter().zip(biases) {
                bias.push((b * read / s).round().clamp(-(1i64 << 30) as f64, (1i64 << 30) as f64) as i64);
                let (m, n) = requantisation(s * kind.scale() / read);
                multiplier.push(m);
                shift.push(n);
            }
            let outputs = *o as usize;
            let size: Vec<usize> = weight.size().iter().map(|&n| n as usize).collect();
            let mut put = |name: &String, dtype, shape: Vec<usize>, values| {
                out.insert(name.clone(), Values { dtype, shape, values });
            };
            put(&tensors.weight, Dtype::I8, size, integers);
            put(&tensors.bias, Dtype::I32, vec![outputs], bias);
            put(&tensors.multiplier, Dtype::I32, vec![outputs], multiplier);
            put(&tensors.shift, Dtype::U8, vec![outputs], shift);
        }
        Self { nodes: net.nodes.clone(), tensors: out }
    }

    /// The model file, with `metadata` beside the graph.
    ///
    /// # Errors
    /// What the format refuses, in words.
    pub fn file(&self, graph: &serde_json::Value, mut metadata: HashMap<String, String>) -> Result<Vec<u8>, String> {
        metadata.insert("format".into(), "augur-model".into());
        metadata.insert("version".into(), "1".into());
        metadata.insert("graphs".into(), serde_json::json!({ "forecaster": graph }).to_string());
        let tensors = self.tensors.iter().map(|(name, values)| (name.as_str(), values));
        safetensors::serialize(tensors, Some(metadata)).map_err(|e| format!("the model cannot be written: {e}"))
    }

    fn tensor(&self, name: &str, device: Device) -> Tensor {
        let Some(values) = self.tensors.get(name) else { return Tensor::new() };
        let shape: Vec<i64> = values.shape.iter().map(|&n| n as i64).collect();
        Tensor::from_slice(&values.values).view(shape.as_slice()).to_device(device)
    }

    /// Output for integer planes of shape [n, channels, height, width].
    pub fn evaluate(&self, input: &Tensor) -> Tensor {
        no_grad(|| {
            let mut values: Vec<Tensor> = Vec::with_capacity(self.nodes.len());
            for node in &self.nodes {
                let value = match node {
                    Node::Input { .. } => input.to_kind(Kind::Int64),
                    Node::Conv2d { tensors, from, stride, clamp, shape: [_, _, size], .. } => {
                        let get = |name| self.tensor(name, input.device());
                        let sums = convolve(&values[from[0]], &get(&tensors.weight), *size, *stride);
                        let column = |name| get(name).view([1, -1, 1, 1]);
                        let shift = column(&tensors.shift);
                        let half = Tensor::from(1i64).to_device(input.device()).bitwise_left_shift(&(&shift - 1));
                        let product = (sums + column(&tensors.bias)) * column(&tensors.multiplier) + half;
                        product.bitwise_right_shift(&shift).clamp(clamp[0], clamp[1])
                    }
                    Node::Upsample { from } => values[from[0]].repeat_interleave_self_int(2, 2, None).repeat_interleave_self_int(2, 3, None),
                    Node::SpaceToDepth { from } => values[from[0]].pixel_unshuffle(2),
                    Node::DepthToSpace { from } => values[from[0]].pixel_shuffle(2),
                    Node::Concat { from } => {
                        Tensor::cat(&from.iter().map(|&k| &values[k]).collect::<Vec<_>>(), 1)
                    }
                    Node::Add { from, clamp } => (&values[from[0]] + &values[from[1]]).clamp(clamp[0], clamp[1]),
                };
                values.push(value);
            }
            values.pop().unwrap_or_else(Tensor::new)
        })
    }
}

/// Multiplier of 15 bits and shift whose quotient is nearest to `factor`; shifts reach from 1 to 46.
fn requantisation(factor: f64) -> (i64, i64) {
    let mut shift = (2.0 * MULTIPLIER / factor).log2().floor().clamp(1.0, 46.0);
    let mut multiplier = (factor * shift.exp2()).round();
    if multiplier > 2.0 * MULTIPLIER - 1.0 && shift > 1.0 {
        shift -= 1.0;
        multiplier = (factor * shift.exp2()).round();
    }
    (multiplier.clamp(1.0, 2.0 * MULTIPLIER - 1.0) as i64, shift as i64)
}

/// Sums of a convolution with replicated edges, exactly.
fn convolve(x: &Tensor, weight: &Tensor, size: i64, stride: i64) -> Tensor {
    let (n, _, h, w) = x.size4().unwrap_or((0, 0, 0, 0));
    let x = x.to_kind(Kind::Double).replication_pad2d([size / 2; 4]);
    let columns = x.im2col([size; 2], [1; 2], [0; 2], [stride; 2]);
    let rows = weight.to_kind(Kind::Double).flatten(1, -1);
    let sums = rows.unsqueeze(0).matmul(&columns);
    sums.view([n, -1, (h + stride - 1) / stride, (w + stride - 1) / stride]).to_kind(Kind::Int64)
}

/// Planes in the units of 16-bit inputs.
pub fn to_wide(planes: &Tensor) -> Tensor {
    (planes * WIDE).round().to_kind(Kind::Int64)
}
