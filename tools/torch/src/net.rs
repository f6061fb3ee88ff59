//! A network in training: floating-point weights that are rounded on the way, so that the integers lose nothing.
//!
//! Each convolution uses its weights rounded to eight bits with one scale per output channel, and rounds and clamps
//! its output as the integers will be; gradients pass the rounding unchanged (straight-through, Bengio et al. 2013;
//! quantisation-aware training as in Jacob et al. 2018, section 3).

use crate::graph::{scale, Node};
use augur_core::network::Element;
use tch::{no_grad, Device, Kind, Tensor};

/// Greatest magnitude of a weight.
pub const GREATEST: f64 = 127.0;
/// Least scale of a channel's weights.
const LEAST: f64 = 1e-9;

/// Weights and biases of a convolution.
#[derive(Debug)]
pub struct Layer {
    /// Of shape (out, in, rows, columns).
    pub weight: Tensor,
    /// Of each output channel.
    pub bias: Tensor,
}

/// A network in training.
#[derive(Debug)]
pub struct Net {
    /// What it does.
    pub nodes: Vec<Node>,
    /// The weights of each node that has some.
    pub layers: Vec<Option<Layer>>,
    /// Whether to round; off only to see what rounding costs.
    pub rounded: bool,
}

/// `rounded`, with the gradient of `x`.
fn straight(x: &Tensor, rounded: Tensor) -> Tensor {
    x + (rounded - x).detach()
}

/// Scale of each output channel's weights.
pub fn channel_scale(weight: &Tensor) -> Tensor {
    (weight.detach().abs().amax([1, 2, 3], true) / GREATEST).clamp_min(LEAST)
}

impl Net {
    /// A network with random hidden layers (He et al. 2015) and outputs that start at zero: persistence.
    pub fn new(nodes: Vec<Node>, device: Device) -> Self {
        let layers = nodes.iter().map(|node| {
            let Node::Conv { inputs, outputs, size, element, .. } = *node else { return None };
            let shape = [outputs, inputs, size, size];
            let weight = match element {
                Element::I8 => {
                    let spread = (2.0 / (inputs * size * size) as f64).sqrt();
                    Tensor::randn(shape, (Kind::Float, Device::Cpu)) * spread
                }
                Element::I16 => Tensor::zeros(shape, (Kind::Float, Device::Cpu)),
            };
            let bias = Tensor::zeros([outputs], (Kind::Float, device)).set_requires_grad(true);
            Some(Layer { weight: weight.to_device(device).set_requires_grad(true), bias })
        });
        let layers = layers.collect();
        Self { nodes, layers, rounded: true }
    }

    /// All that is trained.
    pub fn variables(&self) -> Vec<Tensor> {
        let of = |l: &Layer| [l.weight.shallow_clone(), l.bias.shallow_clone()];
        self.layers.iter().flatten().flat_map(of).collect()
    }

    /// A copy of all that is trained.
    pub fn snapshot(&self) -> Vec<Tensor> {
        self.variables().iter().map(|v| v.detach().copy()).collect()
    }

    /// Takes over values from a [`snapshot`](Self::snapshot), or a checkpoint.
    pub fn restore(&self, values: &[Tensor]) {
        no_grad(|| {
            for (mut variable, value) in self.variables().into_iter().zip(values) {
                variable.copy_(value);
            }
        });
    }

    /// Output for planes of shape [batch, channels, height, width] in floating-point units.
    pub fn forward(&self, input: &Tensor) -> Tensor {
        let mut values: Vec<Tensor> = Vec::with_capacity(self.nodes.len());
        for (node, layer) in self.nodes.iter().zip(&self.layers) {
            let value = match (node, layer) {
                (Node::Conv { from, size, stride, clamp, element, .. }, Some(layer)) => {
                    let unit = scale(*element);
                    let x = values[*from].replication_pad2d([size / 2; 4]);
                    let weight = self.weight(layer);
                    let y = x.conv2d(&weight, Some(&layer.bias), [*stride; 2], [0; 2], [1; 2], 1);
                    let y = if self.rounded { straight(&y, (&y * unit).round() / unit) } else { y };
                    y.clamp(f64::from(clamp.0) / unit, f64::from(clamp.1) / unit)
                }
                (Node::Upsample(k), _) => twice(&values[*k]),
                (Node::SpaceToDepth(k), _) => values[*k].pixel_unshuffle(2),
                (Node::DepthToSpace(k), _) => values[*k].pixel_shuffle(2),
                (Node::Concat(a, b), _) => Tensor::cat(&[&values[*a], &values[*b]], 1),
                (Node::Add(a, b), _) => &values[*a] + &values[*b],
                _ => input.shallow_clone(),
            };
            values.push(value);
        }
        values.pop().unwrap_or_default()
    }

    fn weight(&self, layer: &Layer) -> Tensor {
        if !self.rounded {
            return layer.weight.shallow_clone();
        }
        let scale = channel_scale(&layer.weight);
        straight(&layer.weight, (&layer.weight / &scale).round() * scale)
    }
}

/// Twice the height and width by repetition.
pub fn twice(x: &Tensor) -> Tensor {
    let (_, _, h, w) = x.size4().unwrap_or((0, 0, 0, 0));
    x.upsample_nearest2d([2 * h, 2 * w], None, None)
}
