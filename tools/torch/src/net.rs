//! A network in training: floating-point weights that are rounded on the way, so that the integers lose nothing.
//!
//! Each convolution uses its weights rounded to eight bits with one scale per output channel, and rounds and clamps
//! its output as the integers will be; gradients pass the rounding unchanged (straight-through, Bengio et al. 2013;
//! quantisation-aware training as in Jacob et al. 2018, section 3).

use crate::graph::{Kind, Node};
use tch::nn::{self, Init, VarStore};
use tch::{Device, Tensor};

/// Greatest magnitude of a weight.
pub const GREATEST: f64 = 127.0;
/// Least scale of a channel's weights.
const LEAST: f64 = 1e-9;

/// A network in training.
#[derive(Debug)]
pub struct Net {
    /// What it does.
    pub nodes: Vec<Node>,
    /// Its variables: `weight` and `bias` of each convolution, by their names.
    pub store: VarStore,
    /// Whether to round (off only to see what rounding costs).
    pub rounded: bool,
}

/// `x` rounded, with the gradient of `x`.
fn straight(x: &Tensor, rounded: Tensor) -> Tensor {
    x + (rounded - x).detach()
}

/// Scale of each output channel's weights.
pub fn channel_scale(weight: &Tensor) -> Tensor {
    (weight.detach().abs().amax([1, 2, 3], true) / GREATEST).clamp_min(LEAST)
}

impl Net {
    /// A network with random hidden layers and outputs that start at zero: persistence.
    pub fn new(nodes: Vec<Node>, device: Device) -> Self {
        let store = VarStore::new(device);
        let root = store.root();
        for node in &nodes {
            if let Node::Conv2d { tensors, shape: [i, o, k], kind, .. } = node {
                let size = [*o, *i, *k, *k];
                let spread = (2.0 / (i * k * k) as f64).sqrt();
                let start = match kind {
                    Kind::I8 => Init::Randn { mean: 0.0, stdev: spread },
                    Kind::I16 => Init::Const(0.0),
                };
                let path: nn::Path = root.clone();
                let _ = path.var(&variable(&tensors.weight), &size, start);
                let _ = path.var(&variable(&tensors.bias), &[*o], Init::Const(0.0));
            }
        }
        Self { nodes, store, rounded: true }
    }

    /// A variable, by the name of its tensor.
    pub fn get(&self, name: &str) -> Tensor {
        let name = variable(name);
        self.store.variables_.lock().map_or_else(
            |_| Tensor::new(),
            |v| v.named_variables.get(&name).map_or_else(Tensor::new, Tensor::shallow_clone),
        )
    }

    /// Output for planes of shape [batch, channels, height, width] in floating-point units.
    pub fn forward(&self, input: &Tensor) -> Tensor {
        let mut values: Vec<Tensor> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let value = match node {
                Node::Input { .. } => input.shallow_clone(),
                Node::Conv2d { from, tensors, stride, clamp, kind, shape: [_, _, size] } => {
                    let weight = self.get(&tensors.weight);
                    let weight = if self.rounded {
                        let scale = channel_scale(&weight);
                        straight(&weight, (&weight / &scale).round() * scale)
                    } else {
                        weight
                    };
                    let half = size / 2;
                    let x = values[from[0]].replication_pad2d([half; 4]);
                    let y = x.conv2d(&weight, Some(self.get(&tensors.bias)), [*stride; 2], [0; 2], [1; 2], 1);
                    let y = if self.rounded {
                        straight(&y, (&y * kind.scale()).round() / kind.scale())
                    } else {
                        y
                    };
                    y.clamp(clamp[0] as f64 / kind.scale(), clamp[1] as f64 / kind.scale())
                }
                Node::Upsample { from } => twice(&values[from[0]]),
                Node::SpaceToDepth { from } => values[from[0]].pixel_unshuffle(2),
                Node::DepthToSpace { from } => values[from[0]].pixel_shuffle(2),
                Node::Concat { from } => {
                    Tensor::cat(&from.iter().map(|&k| &values[k]).collect::<Vec<_>>(), 1)
                }
                Node::Add { from, clamp } => (&values[from[0]] + &values[from[1]])
                    .clamp(clamp[0] as f64 / Kind::I16.scale(), clamp[1] as f64 / Kind::I16.scale()),
            };
            values.push(value);
        }
        values.pop().unwrap_or_else(Tensor::new)
    }
}

/// Twice the height and width by repetition.
pub fn twice(x: &Tensor) -> Tensor {
    let (_, _, h, w) = x.size4().unwrap_or((0, 0, 0, 0));
    x.upsample_nearest2d([2 * h, 2 * w], None, None)
}

/// libtorch takes no dots in names.
fn variable(name: &str) -> String {
    name.replace('.', "|")
}
