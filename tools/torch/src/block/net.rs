//! A network over blocks in training: floating-point weights that are rounded on the way, as in [`net`](crate::net).

use super::{Chain, Layer, Op, Size, KERNEL};
use crate::graph::Values;
use crate::net::{channel_scale, quantised, straight};
use tch::{no_grad, Device, Kind, Tensor};

/// Coupling of each channel with itself, and with others, at first, in units of its own.
const COUPLING: (f64, f64) = (0.1, 0.001);
/// Greatest `beta` of an integer normalisation.
pub const GREATEST_BETA: f64 = (1u64 << 30) as f64;
/// Pairs of points up to which a convolution is written out.
const FEW: i64 = 64;
/// Least value of what is divided by.
pub const LEAST: f64 = 1e-6;

/// A network in training.
#[derive(Debug)]
pub struct Net {
    /// What it does.
    pub chain: Chain,
    /// Of each layer: weights and biases; roots of beta and gamma; or nothing.
    pub variables: Vec<Vec<Tensor>>,
}

impl Net {
    /// A network with random weights, for inputs of the standard deviation `spread`, whose values all keep about that of 1.
    pub fn new(chain: Chain, spread: f64, device: Device) -> Self {
        let mut spread = spread;
        let cpu = (Kind::Float, Device::Cpu);
        let of = |layer: &Layer| -> Vec<Tensor> {
            let leaf = |x: Tensor| x.to_device(device).set_requires_grad(true);
            match layer.op {
                Op::Conv(_) | Op::Up | Op::Dense => {
                    let shape = [&[layer.channels, layer.inputs][..], &layer.kernel()].concat();
                    let points: i64 = layer.size.iter().product();
                    let terms = (layer.inputs * layer.taps()) as f64 / points as f64;
                    // From one channel to one, the middle of the kernel: nothing is lost.
                    let weight = if (layer.inputs, layer.channels) == (1, 1) && !layer.kernel().is_empty() {
                        let weight = Tensor::zeros(shape.as_slice(), cpu);
                        let _ = weight.view(-1).get(shape.iter().product::<i64>() / 2).fill_(1.0);
                        weight + Tensor::randn(shape.as_slice(), cpu) * 0.02
                    } else {
                        let factor = 1.0 / (spread * terms.sqrt());
                        spread = 1.0;
                        Tensor::randn(shape.as_slice(), cpu) * factor
                    };
                    vec![leaf(weight), leaf(Tensor::zeros([layer.channels], cpu))]
                }
                Op::Gdn | Op::Igdn => {
                    let c = layer.channels;
                    let others = Tensor::full([c, c], COUPLING.1, cpu);
                    let gamma = others + Tensor::eye(c, cpu) * COUPLING.0;
                    vec![leaf(Tensor::ones([c], cpu)), leaf(gamma.sqrt())]
                }
                Op::Sigmoid | Op::Flatten | Op::Unflatten | Op::Rescale(_) => vec![],
            }
        };
        let variables = chain.layers.iter().map(of).collect();
        Self { chain, variables }
    }

    /// Multiplies the weights of the last layer that has more than one input channel by `factor`.
    pub fn quieten(&self, factor: f64) {
        let layers = self.chain.layers.iter().zip(&self.variables).rev();
        if let Some((_, variables)) = layers.into_iter().find(|(l, _)| l.is_weighted() && l.inputs > 1) {
            no_grad(|| {
                let _ = variables[0].shallow_clone().g_mul_scalar_(factor);
            });
        }
    }

    /// All that is trained.
    pub fn all(&self) -> impl Iterator<Item = &Tensor> {
        self.variables.iter().flatten()
    }

    /// What comes out for inputs in floating-point units: [blocks, channels, (levels, rows, columns)].
    pub fn forward(&self, input: &Tensor) -> Tensor {
        let mut x = input.shallow_clone();
        for k in 0..self.variables.len() {
            x = self.layer(k, &x);
        }
        x
    }

    /// What each layer gives.
    pub fn each(&self, input: &Tensor) -> Vec<Tensor> {
        let mut all: Vec<Tensor> = vec![];
        for k in 0..self.variables.len() {
            let x = self.layer(k, all.last().unwrap_or(input));
            all.push(x);
        }
        all
    }

    fn layer(&self, k: usize, x: &Tensor) -> Tensor {
        let layer = &self.chain.layers[k];
        let values = &layer.values;
        match (layer.op, self.variables[k].as_slice()) {
            (Op::Conv(_) | Op::Up | Op::Dense, [weight, bias]) => {
                let scale = channel_scale(weight);
                let weight = straight(weight, (weight / &scale).round() * scale);
                rounded(&weighted(layer, x, &weight, bias), values)
            }
            (Op::Gdn | Op::Igdn, [beta, gamma]) => {
                let (beta, gamma) = (beta.square() + LEAST, gamma.square());
                let scale = gamma_scale(&beta, &gamma, self.chain.read(k));
                let gamma = straight(&gamma, (&gamma / &scale).round() * scale);
                let (n, c) = (x.size()[0], layer.channels);
                let flat = x.view([n, c, -1]);
                let sums = gamma.matmul(&flat.square()) + beta.view([1, c, 1]);
                let y = if layer.op == Op::Gdn { flat * sums.rsqrt() } else { flat * sums.sqrt() };
                rounded(&y.view(x.size().as_slice()), values)
            }
            (Op::Sigmoid, _) => rounded(&x.sigmoid(), values),
            (Op::Rescale(_), _) => rounded(x, values),
            (Op::Flatten, _) => flatten(x),
            (Op::Unflatten, _) => unflatten(layer, x),
            _ => x.shallow_clone(),
        }
    }
}

/// Scale of each row of `gamma` as 8-bit integers.
pub fn gamma_scale(beta: &Tensor, gamma: &Tensor, read: Values) -> Tensor {
    let greatest = gamma.detach().amax([1], true);
    // The sums count in 127 units per greatest gamma and squared unit of the values.
    let beta = beta.detach().view([-1, 1]) * (read.unit * read.unit / GREATEST_BETA);
    (greatest / crate::net::GREATEST).maximum(&beta).clamp_min(1e-12)
}

/// The sums of a layer: [blocks, channels, points...].
fn weighted(layer: &Layer, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    let bias_of = Some(bias);
    match (layer.op, layer.plane) {
        (Op::Dense, _) => x.linear(weight, bias_of),
        _ if layer.from.iter().chain(&layer.size).product::<i64>() <= FEW => {
            written_out(layer, x, weight, bias)
        }
        (Op::Conv(stride), true) => x.conv2d(weight, bias_of, [stride; 2], [1; 2], [1; 2], 1),
        (Op::Conv(stride), false) => x.conv3d(weight, bias_of, [stride; 3], [1; 3], [1; 3], 1),
        (_, true) => {
            let weight = weight.transpose(0, 1);
            x.conv_transpose2d(&weight, bias_of, [2; 2], [1; 2], [1; 2], 1, [1; 2])
        }
        (_, false) => {
            let weight = weight.transpose(0, 1);
            x.conv_transpose3d(&weight, bias_of, [2; 3], [1; 3], [1; 3], 1, [1; 3])
        }
    }
}

/// A convolution between few points as one product with a matrix of all weights between them, which is a few times faster.
fn written_out(layer: &Layer, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    let (inputs, outputs) = (layer.inputs, layer.channels);
    let points = |size: Size| -> Vec<Size> {
        let [d, h, w] = size;
        (0..d * h * w).map(|i| [i / (h * w), i / w % h, i % w]).collect()
    };
    let (from, to) = (points(layer.from), points(layer.size));
    let kernel: i64 = layer.kernel().iter().product();
    // The place in the kernel along each side by which an input reaches an output.
    let along = |k: usize, i: i64, o: i64| match layer.op {
        _ if k == 0 && layer.plane => Some(0),
        Op::Conv(stride) => Some(i - stride * o + 1).filter(|t| (0..KERNEL).contains(t)),
        _ => Some(o - 2 * i + 1).filter(|t| (0..KERNEL).contains(t)),
    };
    let tap = |i: &Size, o: &Size| {
        let place = |k: usize| along(k, i[k], o[k]);
        // Behind the kernel stands a weight of 0.
        let all = (place(0), place(1), place(2));
        if let (Some(z), Some(y), Some(x)) = all {
            (z * KERNEL + y) * KERNEL + x
        } else {
            kernel
        }
    };
    let taps: Vec<i64> = to.iter().flat_map(|o| from.iter().map(move |i| tap(i, o))).collect();
    let taps = Tensor::from_slice(&taps).to_device(x.device());
    let weight = weight.view([outputs, inputs, kernel]).constant_pad_nd([0, 1]).index_select(2, &taps);
    let (from, to) = (from.len() as i64, to.len() as i64);
    let weight = weight.view([outputs, inputs, to, from]).permute([0, 2, 1, 3]);
    let weight = weight.reshape([outputs * to, inputs * from]);
    let sums = x.flatten(1, -1).linear(&weight, Some(bias.repeat_interleave_self_int(to, 0, outputs * to)));
    let [d, h, w] = layer.size;
    let n = x.size()[0];
    if layer.plane {
        sums.view([n, outputs, h, w])
    } else {
        sums.view([n, outputs, d, h, w])
    }
}

/// Points as channels: channel p C + c is channel c of point p.
pub fn flatten(x: &Tensor) -> Tensor {
    x.flatten(2, -1).transpose(1, 2).flatten(1, 2)
}

/// The inverse, to the layer's points.
pub fn unflatten(layer: &Layer, x: &Tensor) -> Tensor {
    let [d, h, w] = layer.size;
    let n = x.size()[0];
    let points = x.view([n, -1, layer.channels]).transpose(1, 2);
    if layer.plane {
        points.reshape([n, layer.channels, h, w])
    } else {
        points.reshape([n, layer.channels, d, h, w])
    }
}

/// Rounded to integers and limited to their range; gradients pass within it.
fn rounded(x: &Tensor, values: &Values) -> Tensor {
    quantised(x, values.unit, values.clamp)
}
