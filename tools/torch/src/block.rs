//! Networks over blocks: a chain of layers that is computed for many blocks at once, as autoencoders are made of.
//!
//! Training ([`net`]), export and integer evaluation ([`integers`]) walk the same list of layers, so that an architecture is
//! described once. What lies outside of a block is 0. `docs/models.md` defines what each layer computes.

pub mod integers;
pub mod net;

use crate::graph::{Values, NARROW, NARROW_RANGE};
use augur_core::network::Element;

/// Levels, rows and columns of the points of a node.
pub type Size = [i64; 3];

/// Points along each side of a convolution's kernel.
pub const KERNEL: i64 = 3;

/// 8-bit values of either sign, 32 units per 1.
pub const HIDDEN: Values = Values { element: Element::I8, unit: NARROW, clamp: NARROW_RANGE };
/// What goes into a sigmoid: values of up to 8.
pub const BEFORE_SIGMOID: Values = Values { element: Element::I8, unit: 16.0, clamp: NARROW_RANGE };
/// What a sigmoid gives, in 128 units per 1.
pub const SIGMOID: Values = Values { element: Element::I8, unit: 128.0, clamp: (0, 127) };

/// What a layer does with the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A convolution over all sides of the block that have more than one point, of stride 1 or 2.
    Conv(i64),
    /// A transposed convolution of stride 2.
    Up,
    /// All channels of the only point weighted.
    Dense,
    /// Divisive normalisation.
    Gdn,
    /// Its inverse.
    Igdn,
    /// The logistic function of 8-bit values.
    Sigmoid,
    /// All points become channels of one.
    Flatten,
    /// The inverse.
    Unflatten,
    /// The same value with a unit 2^n times smaller.
    Rescale(u8),
}

/// A layer and what it gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer {
    /// What it does.
    pub op: Op,
    /// Channels in.
    pub inputs: i64,
    /// Channels out.
    pub channels: i64,
    /// Points in.
    pub from: Size,
    /// Points out.
    pub size: Size,
    /// Whether all points of the chain lie in planes.
    pub plane: bool,
    /// What comes out.
    pub values: Values,
}

impl Layer {
    /// Whether it has weights that sums are taken with.
    pub fn is_weighted(&self) -> bool {
        matches!(self.op, Op::Conv(_) | Op::Up | Op::Dense)
    }

    /// Sides of the kernel of a convolution: those that have one point only are not convolved.
    pub fn kernel(&self) -> Vec<i64> {
        match self.op {
            Op::Conv(_) | Op::Up if self.plane => vec![KERNEL; 2],
            Op::Conv(_) | Op::Up => vec![KERNEL; 3],
            _ => vec![],
        }
    }

    /// Products of a value with a weight in a block, for each pair of channels: those outside of the block are not taken.
    pub fn taps(&self) -> i64 {
        let along = |k: usize| match self.op {
            _ if k == 0 && self.plane => 1,
            Op::Conv(1) => 3 * self.from[k] - 2,
            Op::Conv(_) => 3 * self.size[k] - 1,
            Op::Up => 3 * self.from[k] - 1,
            _ => 1,
        };
        if self.is_weighted() {
            (0..3).map(along).product()
        } else {
            0
        }
    }

    /// Multiply-adds in a block.
    pub fn operations(&self) -> i64 {
        let pairs = match self.op {
            Op::Gdn | Op::Igdn => self.size.iter().product(),
            _ => self.taps(),
        };
        pairs * self.inputs * self.channels
    }

    /// Weights and the like.
    pub fn parameters(&self) -> i64 {
        match self.op {
            Op::Gdn | Op::Igdn => self.channels * (self.channels + 1),
            _ if self.is_weighted() => {
                self.channels * (self.inputs * self.kernel().iter().product::<i64>() + 1)
            }
            _ => 0,
        }
    }
}

/// A chain of layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// Channels of the input.
    pub channels: i64,
    /// Points of the input.
    pub size: Size,
    /// Whether all points lie in planes.
    pub plane: bool,
    /// What goes in.
    pub values: Values,
    /// The layers, each of which reads the one before.
    pub layers: Vec<Layer>,
}

impl Chain {
    /// A chain without layers, for blocks that are planes or not.
    pub fn new(channels: i64, size: Size, plane: bool, values: Values) -> Self {
        Self { channels, size, plane, values, layers: vec![] }
    }

    /// Channels, points and values of what the last layer gives.
    pub fn end(&self) -> (i64, Size, Values) {
        match self.layers.last() {
            Some(l) => (l.channels, l.size, l.values),
            None => (self.channels, self.size, self.values),
        }
    }

    fn push(mut self, op: Op, channels: i64, size: Size, values: Values) -> Self {
        let (inputs, from, _) = self.end();
        let plane = self.plane;
        self.layers.push(Layer { op, inputs, channels, from, size, plane, values });
        self
    }

    /// A convolution.
    pub fn conv(self, channels: i64, stride: i64, values: Values) -> Self {
        let (_, from, _) = self.end();
        let size = if stride == 2 { halved(from) } else { from };
        self.push(Op::Conv(stride), channels, size, values)
    }

    /// A transposed convolution to points of this size, twice as many along each side of more than one.
    pub fn up(self, channels: i64, size: Size, values: Values) -> Self {
        self.push(Op::Up, channels, size, values)
    }

    /// A dense layer over one point.
    pub fn dense(self, channels: i64, values: Values) -> Self {
        self.push(Op::Dense, channels, [1; 3], values)
    }

    /// Divisive normalisation.
    pub fn gdn(self) -> Self {
        let (channels, size, _) = self.end();
        self.push(Op::Gdn, channels, size, HIDDEN)
    }

    /// Its inverse.
    pub fn igdn(self) -> Self {
        let (channels, size, _) = self.end();
        self.push(Op::Igdn, channels, size, HIDDEN)
    }

    /// The logistic function.
    pub fn sigmoid(self) -> Self {
        let (channels, size, _) = self.end();
        self.push(Op::Sigmoid, channels, size, SIGMOID)
    }

    /// All points as channels of one.
    pub fn flatten(self) -> Self {
        let (channels, size, values) = self.end();
        self.push(Op::Flatten, channels * size.iter().product::<i64>(), [1; 3], values)
    }

    /// Channels of one point as points of this size.
    pub fn unflatten(self, size: Size) -> Self {
        let (channels, _, values) = self.end();
        self.push(Op::Unflatten, channels / size.iter().product::<i64>(), size, values)
    }

    /// The same with a unit 2^`shift` times smaller, within `clamp`.
    pub fn rescale(self, shift: u8, clamp: (i32, i32)) -> Self {
        let (channels, size, values) = self.end();
        let unit = values.unit / f64::from(shift).exp2();
        self.push(Op::Rescale(shift), channels, size, Values { unit, clamp, ..values })
    }

    /// Values that layer `k` reads.
    pub fn read(&self, k: usize) -> Values {
        if k == 0 {
            self.values
        } else {
            self.layers[k - 1].values
        }
    }

    /// Multiply-adds in a block.
    pub fn operations(&self) -> i64 {
        self.layers.iter().map(Layer::operations).sum()
    }

    /// Weights and the like.
    pub fn parameters(&self) -> i64 {
        self.layers.iter().map(Layer::parameters).sum()
    }
}

/// Half the points along each side; a plane stays one.
pub fn halved([d, h, w]: Size) -> Size {
    [if d == 1 { 1 } else { d / 2 }, h / 2, w / 2]
}

/// Units of a sigmoid's output for each of its inputs of `unit`, from -128 on.
pub fn sigmoid_table(unit: f64) -> Vec<i8> {
    let at = |x: i32| SIGMOID.unit / (1.0 + (-f64::from(x) / unit).exp());
    (-128..128).map(|x| at(x).round_ties_even().clamp(0.0, 127.0) as i8).collect()
}
