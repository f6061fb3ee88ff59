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
/// Most channels of a node in graphs of blocks, where the points of a block may become channels.
pub const MAX_BLOCK_CHANNELS: usize = 16384;
/// Most points of a block, and of a node in a graph of blocks.
pub const MAX_BLOCK: usize = 65536;
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
    /// Levels, rows and columns in a graph of blocks, where there is no full lattice.
    pub points: Option<[usize; 3]>,
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

impl Conv {
    /// The input that output `i` meets at place `k` of the kernel along an axis of `size` points, where outside of them
    /// there is nothing.
    pub fn meets(&self, axis: usize, i: usize, k: usize, size: usize) -> Option<usize> {
        let (half, stride) = (self.kernel[axis] / 2, self.stride[axis]);
        let met = if self.transposed {
            // Where i = stride * p + k - kernel / 2.
            let at = (i + half).checked_sub(k)?;
            at.is_multiple_of(stride).then_some(at / stride)
        } else {
            (i * stride + k).checked_sub(half)
        };
        met.filter(|p| *p < size)
    }

    /// How often an output, of `to`, meets one of `from` inputs along an axis.
    fn met(&self, axis: usize, to: usize, from: usize) -> usize {
        let of =
            |i: usize| (0..self.kernel[axis]).filter(|&k| self.meets(axis, i, k, from).is_some()).count();
        (0..to).map(of).sum()
    }
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
    /// The points of a block as channels of one point.
    Flatten,
    /// Channels of one point as the points of a block.
    Unflatten,
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
    /// As in [`Port`].
    pub points: Option<[usize; 3]>,
}

impl Node {
    fn port(&self) -> Port {
        let Self { channels, element, levels, points, .. } = *self;
        Port { channels, element, down: self.down[1], levels, points }
    }

    /// Multiply-adds per point of the full lattice, or of each block of a graph of blocks.
    fn macs(&self, input: Option<&Node>) -> f64 {
        let share = 1.0 / f64::from(1u32 << (2 * self.down[1] + self.down[0]));
        let points = self.points.map_or(share, |p| p.iter().product::<usize>() as f64);
        match (&self.op, self.points, input) {
            // Of the places of the kernel those count that meet a value.
            (Op::Conv(c), Some(to), Some(from)) => {
                let places: usize = c.kernel.iter().product();
                let met = (0..3).map(|axis| c.met(axis, to[axis], from.points.unwrap_or(to)[axis]) as f64);
                (c.weight.len() / places.max(1)) as f64 * met.product::<f64>()
            }
            // Of the transposed one three quarters meet no value.
            (Op::Conv(c), ..) if c.transposed => points * c.weight.len() as f64 / 4.0,
            (Op::Conv(c), ..) => points * c.weight.len() as f64,
            (Op::Gdn(g), ..) => points * g.gamma.len() as f64,
            _ => 0.0,
        }
    }

    /// Levels, rows and columns where the full lattice has `full`. In graphs of blocks the columns are blocks and the rows
    /// their points.
    pub fn size(&self, full: [usize; 3]) -> [usize; 3] {
        if let Some(points) = self.points {
            return [1, points.iter().product(), full[2]];
        }
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
    pub(super) block: Option<[usize; 3]>,
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

    /// Levels, rows and columns of the blocks, each for itself, that it is computed for; none where it is computed for planes.
    pub fn block(&self) -> Option<[usize; 3]> {
        self.block
    }

    /// Multiply-adds per point of the full lattice, or of the block.
    pub fn macs_per_point(&self) -> f64 {
        self.nodes.iter().map(|n| self.macs_of(n)).sum()
    }

    /// Multiply-adds of one of its nodes per point of the full lattice, or of the block.
    pub fn macs_of(&self, node: &Node) -> f64 {
        let input = node.inputs.first().and_then(|&i| self.nodes.get(i));
        node.macs(input) / self.block.map_or(1.0, |b| b.iter().product::<usize>() as f64)
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
