//! A network in training: floating-point weights that are rounded on the way, so that the integers lose nothing.
//!
//! Each convolution uses its weights rounded to eight bits with one scale per output channel, and every layer rounds and
//! clamps its output as the integers will be; gradients pass the rounding unchanged (straight-through, Bengio et al. 2013;
//! quantisation-aware training as in Jacob et al. 2018, section 3).

use crate::graph::{self, Graph, Node, Start, Values};
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
    pub graph: Graph,
    /// The weights of each node that has some.
    pub layers: Vec<Option<Layer>>,
    /// Whether to round; off only to see what rounding costs.
    pub rounded: bool,
}

/// `rounded`, exactly, with the gradient of `x`.
pub fn straight(x: &Tensor, rounded: Tensor) -> Tensor {
    rounded + (x - x.detach())
}

/// Values that are integers in `1 / unit`, from the least to the greatest one, with the gradient of those that round into
/// this range.
///
/// PyTorch's fake quantisation does the same one number at a time, and so do gradients of its clamp: a third of a training.
pub fn quantised(x: &Tensor, unit: f64, (low, high): (i32, i32)) -> Tensor {
    let (low, high) = (f64::from(low), f64::from(high));
    let rounded = no_grad(|| (x * unit).round_().clamp_(low, high) / unit);
    let (middle, half) = ((low + high) / (2.0 * unit), (high - low + 1.0) / (2.0 * unit));
    straight(&(((x - middle) / half).hardtanh() * half), rounded)
}

/// Scale of each output channel's weights.
pub fn channel_scale(weight: &Tensor) -> Tensor {
    let each: Vec<i64> = (1..weight.dim() as i64).collect();
    (weight.detach().abs().amax(each.as_slice(), true) / GREATEST).clamp_min(LEAST)
}

/// Weights of a convolution at first.
fn weights(start: Start, shape: [i64; 4]) -> Tensor {
    let [outputs, inputs, h, w] = shape;
    let random = |spread: f64| Tensor::randn(shape, (Kind::Float, Device::Cpu)) * spread;
    match start {
        Start::Rectified => random((2.0 / (inputs * h * w) as f64).sqrt()),
        Start::Random(factor, _) => random(factor * (2.0 / ((inputs + outputs) * h * w) as f64).sqrt()),
        Start::Zero => Tensor::zeros(shape, (Kind::Float, Device::Cpu)),
        Start::Passing(first, factor) => {
            let weight = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
            for o in 0..outputs {
                let _ = weight.get(o).get(first + o).get(h / 2).get(w / 2).fill_(factor);
            }
            weight
        }
    }
}

impl Net {
    /// A network with random hidden layers and outputs that start at zero.
    pub fn new(graph: Graph, device: Device) -> Self {
        let layers = graph.nodes.iter().map(|node| {
            let Node::Conv { inputs, outputs, size, start, .. } = *node else { return None };
            let weight = weights(start, [outputs, inputs, size, size]);
            let bias = match start {
                Start::Random(_, bias) => bias,
                _ => 0.0,
            };
            let bias = Tensor::full([outputs], bias, (Kind::Float, device)).set_requires_grad(true);
            Some(Layer { weight: weight.to_device(device).set_requires_grad(true), bias })
        });
        let layers = layers.collect();
        Self { graph, layers, rounded: true }
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

    /// The weights as they are used, for one or more runs: rounded, with the gradient of those that are trained.
    pub fn prepared(&self) -> Prepared<'_> {
        let of = |layer: &Option<Layer>| layer.as_ref().map(|layer| self.weight(layer));
        let values = graph::values(&self.graph.nodes);
        Prepared { net: self, weights: self.layers.iter().map(of).collect(), values }
    }

    /// The first output for planes of shape [batch, channels, height, width] in floating-point units.
    pub fn forward(&self, input: &Tensor) -> Tensor {
        self.prepared().run(&[input.shallow_clone()]).swap_remove(0)
    }

    fn weight(&self, layer: &Layer) -> Tensor {
        if !self.rounded {
            return layer.weight.shallow_clone();
        }
        let scale = channel_scale(&layer.weight);
        straight(&layer.weight, (&layer.weight / &scale).round() * scale)
    }
}

/// A network whose weights are rounded already.
#[derive(Debug)]
pub struct Prepared<'a> {
    net: &'a Net,
    weights: Vec<Option<Tensor>>,
    values: Vec<Values>,
}

impl Prepared<'_> {
    /// States of zeros for planes like `input`.
    pub fn zeros(&self, input: &Tensor) -> Vec<Tensor> {
        let (n, _, h, w) = input.size4().unwrap_or((0, 0, 0, 0));
        let of = |(channels, down): (i64, u8)| {
            Tensor::zeros([n, channels, h >> down, w >> down], (Kind::Float, input.device()))
        };
        self.net.graph.states().into_iter().map(of).collect()
    }

    /// Outputs for inputs of shape [batch, channels, height, width] in floating-point units.
    pub fn run(&self, inputs: &[Tensor]) -> Vec<Tensor> {
        let mut inputs = inputs.iter();
        let mut all: Vec<Tensor> = Vec::with_capacity(self.values.len());
        for (k, node) in self.net.graph.nodes.iter().enumerate() {
            let value = match node {
                Node::Input { .. } => inputs.next().map(Tensor::shallow_clone).unwrap_or_default(),
                _ => self.node(k, &all),
            };
            all.push(value);
        }
        self.net.graph.outputs.iter().map(|k| all[*k].shallow_clone()).collect()
    }

    /// What node `k`, no input, makes of the nodes before it.
    pub fn node(&self, k: usize, all: &[Tensor]) -> Tensor {
        match &self.net.graph.nodes[k] {
            Node::Concat(of) => self.concat(of, all),
            node => self.layer(k, node, all),
        }
    }

    fn layer(&self, k: usize, node: &Node, all: &[Tensor]) -> Tensor {
        let values = &self.values[k];
        match node {
            Node::Conv { from, size, stride, .. } => {
                let x = match size / 2 {
                    0 => all[*from].shallow_clone(),
                    around => all[*from].replication_pad2d([around; 4]),
                };
                let weight = self.weights[k].as_ref();
                let bias = self.net.layers[k].as_ref().map(|l| &l.bias);
                let sum = weight.map(|w| x.conv2d(w, bias, [*stride; 2], [0; 2], [1; 2], 1));
                self.limited(&sum.unwrap_or_default(), values)
            }
            Node::Upsample(k) => twice(&all[*k]),
            Node::MaxPool(k) => all[*k].max_pool2d([2; 2], [2; 2], [0; 2], [1; 2], false),
            Node::SpaceToDepth(k) => all[*k].pixel_unshuffle(2),
            Node::DepthToSpace(k) => all[*k].pixel_shuffle(2),
            Node::Slice(k, first, channels) => all[*k].narrow(1, *first, *channels),
            Node::Add(a, b) => {
                let (low, high) = values.range();
                (&all[*a] + &all[*b]).clamp(low, high)
            }
            Node::Subtract { of: [a, b], shift: 0, .. } => {
                let (low, high) = values.range();
                (&all[*a] - &all[*b]).clamp(low, high)
            }
            Node::Subtract { of: [a, b], .. } => {
                let finer = self.values[*a].unit;
                self.limited(&(&all[*a] - &all[*b] + upwards(finer)), values)
            }
            Node::Multiply { of: [a, b], .. } => {
                let finer = self.values[*a].unit * self.values[*b].unit;
                let start = Tensor::from(upwards(finer) as f32).to_device(all[*a].device());
                self.limited(&start.addcmul(&all[*a], &all[*b]), values)
            }
            Node::Rescale { from, .. } => {
                self.limited(&(&all[*from] + upwards(self.values[*from].unit)), values)
            }
            Node::Tanh(k) => self.limited(&all[*k].tanh(), values),
            Node::Input { .. } | Node::Concat(_) => Tensor::default(),
        }
    }

    /// Channels one after another: as integers they are what they were, so that the values count in the first one's unit.
    fn concat(&self, of: &[usize], all: &[Tensor]) -> Tensor {
        let unit = self.values[of[0]].unit;
        let of = of.iter().map(|k| match self.values[*k].unit / unit {
            1.0 => all[*k].shallow_clone(),
            factor => &all[*k] * factor,
        });
        Tensor::cat(&of.collect::<Vec<_>>(), 1)
    }

    /// Rounded to integers and limited to their range.
    fn limited(&self, x: &Tensor, values: &Values) -> Tensor {
        if !self.net.rounded {
            let (low, high) = values.range();
            return x.clamp(low, high);
        }
        quantised(x, values.unit, values.clamp)
    }
}

/// What moves a value of `unit` that lies between two coarser ones to the upper one, and no other.
fn upwards(unit: f64) -> f64 {
    0.25 / unit
}

/// Twice the height and width by repetition.
pub fn twice(x: &Tensor) -> Tensor {
    let (_, _, h, w) = x.size4().unwrap_or((0, 0, 0, 0));
    x.upsample_nearest2d([2 * h, 2 * w], None, None)
}
