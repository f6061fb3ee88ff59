//! A trained network as the integers that a model file holds, and their evaluation.
//!
//! The evaluation is a second implementation of the codec's: sums as products of matrices of float64, exact below
//! 2^53 in any order (never through a convolution, which a library may turn into a Fourier or Winograd transform), so that it
//! gives the same integers on a CPU and on a GPU.

use crate::graph::{elements, scale, Node, WIDE, WIDE_RANGE};
use crate::net::{channel_scale, Net};
use augur_core::network::build::{GraphBuilder, Weights};
use augur_core::network::Element;
use safetensors::SafeTensors;
use serde_json::json;
use tch::{no_grad, Device, Kind, Tensor};

/// Least multiplier of a requantisation; twice it is too large.
const MULTIPLIER: f64 = 16384.0;
/// Most shift of a requantisation.
const SHIFT: f64 = 46.0;
/// Greatest bias, in units of the sums.
const BIAS: f64 = (1 << 30) as f64;

/// A network of integers.
#[derive(Clone, Debug, PartialEq)]
pub struct Integers {
    nodes: Vec<Node>,
    layers: Vec<Option<Weights>>,
}

/// All values of a tensor.
fn list(t: &Tensor) -> Vec<f64> {
    let t = t.detach().to_device(Device::Cpu).to_kind(Kind::Double).reshape([-1]);
    Vec::try_from(t).unwrap_or_default()
}

impl Integers {
    /// Rounds a network's weights.
    pub fn of(net: &Net) -> Self {
        let elements = elements(&net.nodes);
        let layers = net.nodes.iter().zip(&net.layers).map(|(node, layer)| {
            let (Node::Conv { from, element, .. }, Some(layer)) = (node, layer) else { return None };
            let scales = channel_scale(&layer.weight);
            let read = scale(elements[*from]);
            let mut weights = Weights {
                shape: layer.weight.size().iter().map(|&n| n as usize).collect(),
                weight: list(&(&layer.weight / &scales).round()).into_iter().map(|v| v as i8).collect(),
                bias: vec![],
                multiplier: vec![],
                shift: vec![],
            };
            for (s, b) in list(&scales).into_iter().zip(list(&layer.bias)) {
                weights.bias.push((b * read / s).round().clamp(-BIAS, BIAS) as i32);
                let (multiplier, shift) = requantisation(s * scale(*element) / read);
                weights.multiplier.push(multiplier);
                weights.shift.push(shift);
            }
            Some(weights)
        });
        Self { nodes: net.nodes.clone(), layers: layers.collect() }
    }

    /// The integers of the graph `name` in a model file, which must have the same layers as `nodes`.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn read(nodes: &[Node], name: &str, file: &[u8]) -> Result<Self, String> {
        // Checks all that a model file states.
        augur_core::network::Model::from_bytes(file).map_err(|e| e.to_string())?;
        let tensors = SafeTensors::deserialize(file).map_err(|e| e.to_string())?;
        let mut layers = vec![];
        for (k, node) in nodes.iter().enumerate() {
            let Node::Conv { inputs, outputs, size, .. } = *node else {
                layers.push(None);
                continue;
            };
            let shape = [outputs, inputs, size, size].map(|n| n as usize).to_vec();
            let get = |what: &str, shape: &[usize]| {
                let tensor =
                    tensors.tensor(&format!("{name}.{k}.{what}")).ok().filter(|t| t.shape() == shape);
                tensor.ok_or("it is of another architecture or size")
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
        Ok(Self { nodes: nodes.to_vec(), layers })
    }

    /// Gives a network in training these weights, up to their rounding.
    pub fn restore(&self, net: &Net) {
        let elements = elements(&self.nodes);
        let mut values = vec![];
        for (node, layer) in self.nodes.iter().zip(&self.layers) {
            let (Node::Conv { from, element, .. }, Some(w)) = (node, layer) else { continue };
            let read = scale(elements[*from]);
            let scales: Vec<f64> = (w.multiplier.iter().zip(&w.shift))
                .map(|(&m, &s)| f64::from(m) / f64::from(s).exp2() * read / scale(*element))
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
        for (node, layer) in self.nodes.iter().zip(&self.layers) {
            match (node, layer) {
                (Node::Conv { from, stride, clamp, element, .. }, Some(weights)) => {
                    graph.conv("conv2d", *from, weights, *clamp, *element, json!({ "stride": stride }));
                }
                (Node::Upsample(k), _) => {
                    graph.layer("upsample", &[*k]);
                }
                (Node::SpaceToDepth(k), _) => {
                    graph.layer("space_to_depth", &[*k]);
                }
                (Node::DepthToSpace(k), _) => {
                    graph.layer("depth_to_space", &[*k]);
                }
                (Node::Concat(a, b), _) => {
                    graph.layer("concat", &[*a, *b]);
                }
                (Node::Add(a, b), _) => {
                    graph.node(json!({ "op": "add", "in": [a, b], "clamp": [WIDE_RANGE.0, WIDE_RANGE.1] }));
                }
                (Node::Input { channels }, _) => {
                    graph.input(*channels as usize, Element::I16);
                }
                (Node::Conv { .. }, None) => {}
            }
        }
        graph
    }

    /// Output for integer planes of shape [n, channels, height, width].
    pub fn evaluate(&self, input: &Tensor) -> Tensor {
        no_grad(|| {
            let mut values: Vec<Tensor> = Vec::with_capacity(self.nodes.len());
            for (node, layer) in self.nodes.iter().zip(&self.layers) {
                let value = match (node, layer) {
                    (Node::Conv { from, stride, clamp, .. }, Some(weights)) => {
                        convolution(&values[*from], weights, *stride, *clamp)
                    }
                    (Node::Upsample(k), _) => {
                        let x = &values[*k];
                        x.repeat_interleave_self_int(2, 2, None).repeat_interleave_self_int(2, 3, None)
                    }
                    (Node::SpaceToDepth(k), _) => values[*k].pixel_unshuffle(2),
                    (Node::DepthToSpace(k), _) => values[*k].pixel_shuffle(2),
                    (Node::Concat(a, b), _) => Tensor::cat(&[&values[*a], &values[*b]], 1),
                    (Node::Add(a, b), _) => {
                        (&values[*a] + &values[*b]).clamp(i64::from(WIDE_RANGE.0), i64::from(WIDE_RANGE.1))
                    }
                    _ => input.to_kind(Kind::Int64),
                };
                values.push(value);
            }
            values.pop().unwrap_or_default()
        })
    }
}

/// Multiplier of 15 bits and shift whose quotient is nearest to `factor`; shifts reach from 1 to 46.
fn requantisation(factor: f64) -> (i32, u8) {
    let mut shift = (2.0 * MULTIPLIER / factor).log2().floor().clamp(1.0, SHIFT);
    let multiplier = |shift: f64| (factor * shift.exp2()).round();
    if multiplier(shift) > 2.0 * MULTIPLIER - 1.0 && shift > 1.0 {
        shift -= 1.0;
    }
    (multiplier(shift).clamp(1.0, 2.0 * MULTIPLIER - 1.0) as i32, shift as u8)
}

/// A convolution with replicated edges and its requantisation, exactly.
fn convolution(x: &Tensor, weights: &Weights, stride: i64, clamp: (i32, i32)) -> Tensor {
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
    product.bitwise_right_shift(&shift).clamp(i64::from(clamp.0), i64::from(clamp.1))
}

/// Planes in the units of 16-bit inputs.
pub fn to_wide(planes: &Tensor) -> Tensor {
    (planes * WIDE).round().to_kind(Kind::Int64)
}
