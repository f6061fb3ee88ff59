//! A trained network over blocks as the integers that a model file holds, and their evaluation: as in [`integers`](crate::integers),
//! sums are products of matrices of float64, exact in any order.

use super::net::{self, Net};
use super::{sigmoid_table, Chain, Layer, Op, KERNEL};
use crate::graph::Values;
use crate::integers::{list, multiplied, requantisation, BIAS};
use crate::net::channel_scale;
use augur_core::network::build::{GraphBuilder, Weights};
use safetensors::SafeTensors;
use serde_json::json;
use tch::{no_grad, Kind, Tensor};

/// Roots count in 2^-8.
const ROOT: f64 = 256.0;
/// Most shift of an inverse normalisation.
const SHIFT: f64 = 62.0;

/// Integers of a layer.
#[derive(Clone, Debug, PartialEq)]
enum Stored {
    /// Of a convolution or a dense layer.
    Weights(Weights),
    /// Of a normalisation or its inverse.
    Norm { beta: Vec<i32>, gamma: Vec<i8>, multiplier: Vec<i32>, shift: Vec<u8> },
    /// Nothing.
    Nothing,
}

/// A network of integers.
#[derive(Clone, Debug, PartialEq)]
pub struct Integers {
    chain: Chain,
    layers: Vec<Stored>,
}

impl Integers {
    /// Rounds a network's weights.
    pub fn of(net: &Net) -> Self {
        let chain = net.chain.clone();
        let of = |k: usize| {
            let (read, made) = (chain.read(k), chain.layers[k].values);
            match (chain.layers[k].op, net.variables[k].as_slice()) {
                (Op::Gdn, [beta, gamma]) => normalisation(beta, gamma, (read, made), false),
                (Op::Igdn, [beta, gamma]) => normalisation(beta, gamma, (read, made), true),
                (_, [weight, bias]) => Stored::Weights(weights(weight, bias, (read, made))),
                _ => Stored::Nothing,
            }
        };
        let layers = (0..chain.layers.len()).map(of).collect();
        Self { chain, layers }
    }

    /// The integers of the graph `name` in a model file, which must have the same layers as `chain`.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn read(chain: &Chain, name: &str, file: &[u8]) -> Result<Self, String> {
        // Checks all that a model file states.
        let model = augur_core::network::Model::from_bytes(file).map_err(|e| e.to_string())?;
        let other = "it is of another architecture or size";
        model.graph(name).ok_or(other)?;
        let tensors = SafeTensors::deserialize(file).map_err(|e| e.to_string())?;
        let mut layers = vec![];
        for (k, layer) in chain.layers.iter().enumerate() {
            let get = |what: &str, shape: &[usize]| {
                // Node 0 is the input.
                let tensor =
                    tensors.tensor(&format!("{name}.{}.{what}", k + 1)).ok().filter(|t| t.shape() == shape);
                tensor.ok_or(other).map(|t| t.data().to_vec())
            };
            let signed = |bytes: Vec<u8>| bytes.into_iter().map(|b| b as i8).collect();
            let channels = [layer.channels as usize];
            let ints = |what| -> Result<Vec<i32>, &str> {
                let bytes = get(what, &channels)?;
                Ok(bytes.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
            };
            layers.push(match layer.op {
                Op::Gdn | Op::Igdn => Stored::Norm {
                    beta: ints("beta")?,
                    gamma: signed(get("gamma", &[channels[0]; 2])?),
                    multiplier: ints("multiplier")?,
                    shift: if layer.op == Op::Igdn { get("shift", &channels)? } else { vec![] },
                },
                _ if layer.is_weighted() => {
                    let shape = shape(layer);
                    Stored::Weights(Weights {
                        weight: signed(get("weight", &shape)?),
                        bias: ints("bias")?,
                        multiplier: ints("multiplier")?,
                        shift: get("shift", &channels)?,
                        shape,
                    })
                }
                _ => Stored::Nothing,
            });
        }
        Ok(Self { chain: chain.clone(), layers })
    }

    /// Gives a network in training these weights, up to their rounding.
    pub fn restore(&self, net: &Net) {
        no_grad(|| {
            for (k, stored) in self.layers.iter().enumerate() {
                let (read, made) = (self.chain.read(k).unit, self.chain.layers[k].values.unit);
                let values = match stored {
                    Stored::Weights(w) => {
                        let scales = factors(&w.multiplier, &w.shift, read / made);
                        let weight = Tensor::from_slice(&w.weight).to_kind(Kind::Double);
                        let weight = weight.view([scales.len() as i64, -1]);
                        let bias = w.bias.iter().zip(&scales).map(|(&b, s)| f64::from(b) * s / read);
                        let bias = Tensor::from_slice(&bias.collect::<Vec<f64>>());
                        vec![weight * Tensor::from_slice(&scales).view([-1, 1]), bias]
                    }
                    Stored::Norm { beta, gamma, multiplier, shift } => {
                        // Of squared values in units of the sums, from the multipliers.
                        let scale: Vec<f64> = if shift.is_empty() {
                            let of = |&m: &i32| (f64::from(m) * read / (ROOT * made)).powi(2);
                            multiplier.iter().map(of).collect()
                        } else {
                            let of = |f: f64| (made / (read * ROOT * f)).powi(2);
                            factors(multiplier, shift, 1.0).into_iter().map(of).collect()
                        };
                        let beta =
                            beta.iter().zip(&scale).map(|(&b, s)| f64::from(b) / s).collect::<Vec<_>>();
                        let gamma = Tensor::from_slice(gamma).to_kind(Kind::Double);
                        let gamma = gamma.view([scale.len() as i64, -1]) * (read * read)
                            / Tensor::from_slice(&scale).view([-1, 1]);
                        vec![Tensor::from_slice(&beta).sqrt(), gamma.sqrt()]
                    }
                    Stored::Nothing => vec![],
                };
                for (variable, value) in net.variables[k].iter().zip(values) {
                    let value = value.view(variable.size().as_slice());
                    variable.shallow_clone().copy_(&value);
                }
            }
        });
    }

    /// The graph for a model file, for blocks of these levels, rows and columns.
    pub fn graph(&self, name: &str, block: [i64; 3]) -> GraphBuilder {
        let mut graph = GraphBuilder::new(name);
        let chain = &self.chain;
        let mut last = graph.node(json!({
            "op": "input", "channels": chain.channels, "type": chain.values.element.name(), "size": chain.size,
        }));
        for (layer, stored) in chain.layers.iter().zip(&self.layers) {
            let values = &layer.values;
            let clamp = [values.clamp.0, values.clamp.1];
            let k = last + 1;
            last = match (layer.op, stored) {
                (op, Stored::Weights(weights)) => {
                    let (name, more) = match (op, layer.plane) {
                        (Op::Dense, _) => ("dense", json!({})),
                        (Op::Up, true) => ("conv2d_transposed", json!({})),
                        (Op::Up, false) => ("conv3d_transposed", json!({})),
                        (Op::Conv(stride), true) => ("conv2d", json!({ "stride": stride })),
                        (Op::Conv(stride), _) => ("conv3d", json!({ "stride": stride })),
                        _ => ("", json!({})),
                    };
                    graph.conv(name, last, weights, values.clamp, values.element, more)
                }
                (op, Stored::Norm { beta, gamma, multiplier, shift }) => {
                    let c = beta.len();
                    let mut node = json!({
                        "beta": graph.tensor(&format!("{k}.beta"), &[c], beta),
                        "gamma": graph.tensor(&format!("{k}.gamma"), &[c, c], gamma),
                        "multiplier": graph.tensor(&format!("{k}.multiplier"), &[c], multiplier),
                        "type": values.element.name(), "clamp": clamp,
                    });
                    if op == Op::Igdn {
                        node["shift"] = json!(graph.tensor(&format!("{k}.shift"), &[c], shift));
                    }
                    graph.with(if op == Op::Igdn { "igdn" } else { "gdn" }, &[last], node)
                }
                (Op::Sigmoid, _) => {
                    let table = sigmoid_table(chain.read(k - 1).unit);
                    let table = graph.tensor(&format!("{k}.table"), &[table.len()], &table);
                    graph.with("table", &[last], json!({ "table": table }))
                }
                (Op::Rescale(shift), _) => graph.with(
                    "rescale",
                    &[last],
                    json!({ "multiplier": 1, "shift": shift, "type": values.element.name(), "clamp": clamp }),
                ),
                (Op::Unflatten, _) => graph.with("unflatten", &[last], json!({ "size": layer.size })),
                (_, Stored::Nothing) => graph.layer("flatten", &[last]),
            };
        }
        graph.key("block", block.to_vec());
        graph
    }

    /// What comes out for integers of shape [blocks, channels, (levels, rows, columns)].
    pub fn evaluate(&self, input: &Tensor) -> Tensor {
        no_grad(|| {
            let mut x = input.to_kind(Kind::Int64);
            for k in 0..self.layers.len() {
                x = self.layer(k, &x);
            }
            x
        })
    }

    fn layer(&self, k: usize, x: &Tensor) -> Tensor {
        let layer = &self.chain.layers[k];
        let (low, high) = layer.values.clamp;
        let y = match (layer.op, &self.layers[k]) {
            (_, Stored::Weights(w)) => requantised(&sums(layer, x, w), w),
            (_, Stored::Norm { beta, gamma, multiplier, shift }) => {
                let ints = |v: &[i32]| Tensor::from_slice(v).to_kind(Kind::Int64).view([1, -1, 1]);
                let (n, c) = (x.size()[0], layer.channels);
                let flat = x.view([n, c, -1]);
                let gamma = Tensor::from_slice(gamma).to_kind(Kind::Double).view([c, c]);
                let squares = (&flat * &flat).to_kind(Kind::Double);
                let sums = gamma.matmul(&squares).to_kind(Kind::Int64) + ints(beta);
                // Below 2^47: the root in double precision is exact once it is rounded down.
                let root = (sums * 65536).to_kind(Kind::Double).sqrt().floor().to_kind(Kind::Int64);
                let product = &flat * ints(multiplier);
                let y = if shift.is_empty() {
                    (product * 2 + &root).divide_tensor_mode(&(root * 2), "floor")
                } else {
                    let shift = Tensor::from_slice(shift).to_kind(Kind::Int64).view([1, -1, 1]);
                    let half = Tensor::ones([1], (Kind::Int64, x.device())).bitwise_left_shift(&(&shift - 1));
                    (product * root + half).bitwise_right_shift(&shift)
                };
                y.view(x.size().as_slice())
            }
            (Op::Sigmoid, _) => {
                let table = sigmoid_table(self.chain.read(k).unit);
                let table = Tensor::from_slice(&table).to_kind(Kind::Int64).to_device(x.device());
                return table.take(&(x + 128));
            }
            (Op::Rescale(n), _) => (x + (1i64 << (n - 1))).bitwise_right_shift_tensor_scalar(i64::from(n)),
            (Op::Unflatten, _) => return net::unflatten(layer, x),
            _ => return net::flatten(x),
        };
        y.clamp(i64::from(low), i64::from(high))
    }
}

/// Shape of a layer's weights.
fn shape(layer: &Layer) -> Vec<usize> {
    let shape = [&[layer.channels, layer.inputs][..], &layer.kernel()].concat();
    shape.into_iter().map(|n| n as usize).collect()
}

/// Products of multipliers and powers of 2, times `by`.
fn factors(multiplier: &[i32], shift: &[u8], by: f64) -> Vec<f64> {
    multiplier.iter().zip(shift).map(|(&m, &s)| f64::from(m) / f64::from(s).exp2() * by).collect()
}

fn weights(weight: &Tensor, bias: &Tensor, (read, made): (Values, Values)) -> Weights {
    let scales = channel_scale(weight);
    let mut out = Weights {
        shape: weight.size().iter().map(|&n| n as usize).collect(),
        weight: list(&(weight / &scales).round()).into_iter().map(|v| v as i8).collect(),
        bias: vec![],
        multiplier: vec![],
        shift: vec![],
    };
    for (s, b) in list(&scales).into_iter().zip(list(bias)) {
        out.bias.push((b * read.unit / s).round().clamp(-BIAS, BIAS) as i32);
        let (multiplier, shift) = requantisation(s * made.unit / read.unit);
        out.multiplier.push(multiplier);
        out.shift.push(shift);
    }
    out
}

/// `beta` and `gamma` are their roots, as they are trained.
fn normalisation(beta: &Tensor, gamma: &Tensor, (read, made): (Values, Values), inverse: bool) -> Stored {
    let (beta, gamma) = (beta.detach().square() + net::LEAST, gamma.detach().square());
    let scales = net::gamma_scale(&beta, &gamma, read);
    let gamma = list(&(&gamma / &scales).round()).into_iter().map(|v| v as i8).collect();
    let (mut all, mut multipliers, mut shifts) = (vec![], vec![], vec![]);
    for (b, s) in list(&beta).into_iter().zip(list(&scales)) {
        let scale = read.unit * read.unit / s;
        all.push((b * scale).round().clamp(1.0, net::GREATEST_BETA) as i32);
        if inverse {
            let (multiplier, shift) = multiplied(made.unit / (read.unit * ROOT * scale.sqrt()), SHIFT);
            multipliers.push(multiplier);
            shifts.push(shift);
        } else {
            let multiplier = ROOT * scale.sqrt() * made.unit / read.unit;
            multipliers.push(multiplier.round().clamp(1.0, f64::from(i32::MAX)) as i32);
        }
    }
    Stored::Norm { beta: all, gamma, multiplier: multipliers, shift: shifts }
}

/// The sums of a layer, each point of the kernel a product of matrices.
fn sums(layer: &Layer, x: &Tensor, weights: &Weights) -> Tensor {
    let double = x.to_kind(Kind::Double);
    let weight = Tensor::from_slice(&weights.weight).to_kind(Kind::Double).to_device(x.device());
    let (n, outputs) = (x.size()[0], layer.channels);
    let kernel = layer.kernel();
    if kernel.is_empty() {
        return double.matmul(&weight.view([outputs, -1]).transpose(0, 1)).to_kind(Kind::Int64);
    }
    // In three dimensions; of a plane only the middle level of the kernel is there.
    let weight = match kernel.len() {
        2 => weight.view([outputs, -1, 1, KERNEL, KERNEL]),
        _ => weight.view([outputs, -1, KERNEL, KERNEL, KERNEL]),
    };
    let deep = weight.size()[2];
    let [d, h, w] = layer.from;
    let double = double.view([n, -1, d, h, w]);
    let (stride, double, weight) = match layer.op {
        // Zeros between the points, and the kernel mirrored.
        Op::Up => {
            let [d, h, w] = layer.size;
            let spread = Tensor::zeros([n, layer.inputs, d, h, w], (Kind::Double, x.device()));
            let level = if deep == 1 { 1 } else { 2 };
            let mut places = spread.slice(2, 0, d, level).slice(3, 0, h, 2).slice(4, 0, w, 2);
            places.copy_(&double);
            (1, spread, weight.flip([2, 3, 4]))
        }
        Op::Conv(stride) => (stride, double, weight),
        _ => (1, double, weight),
    };
    let around = if deep == 1 { 0 } else { 1 };
    let padded = double.constant_pad_nd([1, 1, 1, 1, around, around]);
    let [d, h, w] = layer.size;
    let level = if deep == 1 { 1 } else { stride };
    let mut total = Tensor::zeros([n, outputs, d * h * w], (Kind::Double, x.device()));
    for k in 0..deep * KERNEL * KERNEL {
        let (z, y, c) = (k / (KERNEL * KERNEL), k / KERNEL % KERNEL, k % KERNEL);
        let part = |x: &Tensor, axis: i64, from: i64, count: i64, step: i64| {
            x.slice(axis, from, from + (count - 1) * step + 1, step)
        };
        let seen = part(&part(&part(&padded, 2, z, d, level), 3, y, h, stride), 4, c, w, stride);
        let tap = weight.select(4, c).select(3, y).select(2, z);
        total += tap.matmul(&seen.reshape([n, -1, d * h * w]));
    }
    let total = total.to_kind(Kind::Int64);
    match kernel.len() {
        2 => total.view([n, outputs, h, w]),
        _ => total.view([n, outputs, d, h, w]),
    }
}

/// Sums and bias as values, before the clamp.
fn requantised(sums: &Tensor, weights: &Weights) -> Tensor {
    let mut shape = vec![1; sums.dim()];
    shape[1] = -1;
    let column = |v: Vec<i64>| Tensor::from_slice(&v).to_device(sums.device()).view(shape.as_slice());
    let wide = |v: &[i32]| column(v.iter().map(|&b| i64::from(b)).collect());
    let shift = column(weights.shift.iter().map(|&s| i64::from(s)).collect());
    let half = column(weights.shift.iter().map(|&s| 1 << (s - 1)).collect());
    ((sums + wide(&weights.bias)) * wide(&weights.multiplier) + half).bitwise_right_shift(&shift)
}
