//! A network as a graph of integer layers.
//!
//! Every node has channels of integers (`i8` or `i16`) on a lattice of points, computed from nodes before it. What each
//! layer computes is defined in [`plain`](super::plain); `docs/models.md` says the same in words.

use super::backend::Elsewhere;
use super::weights::Packed;
use serde_json::{Map, Value};

/// Most nodes of a graph.
pub const MAX_NODES: usize = 256;
/// Most channels of a node.
pub const MAX_CHANNELS: usize = 1024;
/// Longest side of a convolution's kernel.
pub const MAX_KERNEL: usize = 15;
/// Most weights of a graph, in bytes, counted at every use.
pub const MAX_WEIGHTS: usize = 64 << 20;
/// Most multiply-adds per point.
pub const MAX_MACS_PER_POINT: f64 = 1048576.0;
/// Smallest lattice relative to the full one: a point for 2^6 in each direction.
pub const MAX_DOWN: u8 = 6;

/// Type of a node's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// -128 to 127
    I8,
    /// -32768 to 32767
    I16,
}

impl Element {
    /// Smallest and largest value.
    pub fn range(self) -> (i32, i32) {
        match self {
            Self::I8 => (i32::from(i8::MIN), i32::from(i8::MAX)),
            Self::I16 => (i32::from(i16::MIN), i32::from(i16::MAX)),
        }
    }

    /// The name in model files.
    pub fn name(self) -> &'static str {
        match self {
            Self::I8 => "i8",
            Self::I16 => "i16",
        }
    }
}

/// What is given to, or comes out of, a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Number of channels.
    pub channels: usize,
    /// Type of the values.
    pub element: Element,
    /// Base-2 logarithm of how many times shorter each side is than that of the full lattice.
    pub down: u8,
    /// Whether it has levels beside height and width.
    pub levels: bool,
}

/// Sums that become values again: y = clamp((sum * multiplier + 2^(shift-1)) >> shift), per output channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requantise {
    /// Start of the sum.
    pub bias: Vec<i32>,
    /// 1 to 32767.
    pub multiplier: Vec<i32>,
    /// 1 to 46.
    pub shift: Vec<u8>,
}

/// A convolution, also the transposed one and the dense layer (a kernel of one point).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Levels, rows, columns; odd.
    pub kernel: [usize; 3],
    /// In levels, rows, columns.
    pub stride: [usize; 3],
    /// Whether the stride lies between the points of the output.
    pub transposed: bool,
    /// \[output\]\[input\]\[level\]\[row\]\[column\]
    pub weight: Vec<i8>,
    /// How the sums become values.
    pub requantise: Requantise,
}

/// Divisive normalisation, or its inverse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gdn {
    /// Positive, of each channel.
    pub beta: Vec<i32>,
    /// \[output\]\[input\], not negative.
    pub gamma: Vec<i8>,
    /// Positive.
    pub multiplier: Vec<i32>,
    /// Shifts of the inverse.
    pub inverse: Option<Vec<u8>>,
}

/// A layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The place among the inputs.
    Input(usize),
    /// Weighted sums.
    Conv(Conv),
    /// Every point twice in each direction, levels included.
    Upsample,
    /// Blocks of 2 x 2 points become four channels.
    SpaceToDepth,
    /// Four channels become blocks of 2 x 2 points.
    DepthToSpace,
    /// The channels of all inputs.
    Concat,
    /// a + b
    Add,
    /// (a - b + half) >> shift
    Subtract {
        /// 0 to 15
        shift: u8,
    },
    /// (a * b + half) >> shift
    Multiply {
        /// 1 to 30
        shift: u8,
    },
    /// (x * multiplier + half) >> shift
    Rescale {
        /// 1 to 32767
        multiplier: i32,
        /// 1 to 46
        shift: u8,
    },
    /// The first of the channels that are taken.
    Slice(usize),
    /// The largest of 2 x 2 points, and of two levels where there are any.
    MaxPool,
    /// Values of -128 to 127.
    Table(Vec<i8>),
    /// Divided by, or multiplied with, what the channels of a point amount to.
    Gdn(Gdn),
    /// The nearest multiple.
    Quantise {
        /// 1 to 32767
        step: i32,
    },
}

/// A layer with the nodes it reads and the values it gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// Nodes before this one.
    pub inputs: Vec<usize>,
    /// Number of channels.
    pub channels: usize,
    /// Type of the values.
    pub element: Element,
    /// Every value is in here, by a clamp where need be.
    pub range: (i32, i32),
    /// As in [`Port`]; levels, then rows and columns.
    pub down: [u8; 2],
    /// As in [`Port`].
    pub levels: bool,
}

impl Node {
    fn port(&self) -> Port {
        Port { channels: self.channels, element: self.element, down: self.down[1], levels: self.levels }
    }

    /// Multiply-adds per point of the node.
    fn macs(&self) -> f64 {
        match &self.op {
            // Of the transposed one three quarters meet no value.
            Op::Conv(c) if c.transposed => c.weight.len() as f64 / 4.0,
            Op::Conv(c) => c.weight.len() as f64,
            Op::Gdn(g) => g.gamma.len() as f64,
            _ => 0.0,
        }
    }

    /// Levels, rows and columns where the full lattice has `full`.
    pub fn size(&self, full: [usize; 3]) -> [usize; 3] {
        let depth = if self.levels { full[0] >> self.down[0] } else { 1 };
        [depth, full[1] >> self.down[1], full[2] >> self.down[1]]
    }
}

/// A network that was read and checked.
#[derive(Clone, Debug)]
pub struct Graph {
    pub(super) nodes: Vec<Node>,
    /// Input nodes in their order.
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: Vec<usize>,
    pub(super) extra: Map<String, Value>,
    /// What the fast kernels read of each node that they can compute; nothing of others.
    pub(super) packed: Vec<Vec<Packed>>,
    pub(super) elsewhere: Elsewhere,
}

impl Graph {
    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// Input `index`, in the order of the input nodes.
    pub fn input(&self, index: usize) -> Option<Port> {
        Some(self.nodes[*self.inputs.get(index)?].port())
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.outputs.len()
    }

    /// Output `index`.
    pub fn output(&self, index: usize) -> Option<Port> {
        Some(self.nodes[*self.outputs.get(index)?].port())
    }

    /// The layers, each after those that it reads.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes that are inputs, and those that are outputs, in their orders.
    pub fn ends(&self) -> (&[usize], &[usize]) {
        (&self.inputs, &self.outputs)
    }

    /// Height and width of the planes must be multiples of this.
    pub fn multiple(&self) -> usize {
        1 << self.nodes.iter().map(|n| n.down[1]).max().unwrap_or(0)
    }

    /// The number of levels must be a multiple of this.
    pub fn multiple_of_levels(&self) -> usize {
        1 << self.nodes.iter().map(|n| n.down[0]).max().unwrap_or(0)
    }

    /// Keys beside the nodes and outputs, which say how the graph is to be used.
    pub fn extra(&self) -> &Map<String, Value> {
        &self.extra
    }

    /// The whole number that stands under `key` beside the nodes.
    pub fn integer(&self, key: &str) -> Option<i64> {
        self.extra.get(key)?.as_i64()
    }

    /// Multiply-adds per point of the full lattice.
    pub fn macs_per_point(&self) -> f64 {
        let of = |n: &Node| n.macs() / f64::from(1u32 << (2 * n.down[1] + n.down[0]));
        self.nodes.iter().map(of).sum()
    }

    /// Number of parameters: weights, biases and what else was trained.
    pub fn parameters(&self) -> usize {
        let of = |n: &Node| match &n.op {
            Op::Conv(c) => c.weight.len() + c.requantise.bias.len(),
            Op::Gdn(g) => g.gamma.len() + g.beta.len(),
            _ => 0,
        };
        self.nodes.iter().map(of).sum()
    }
}
