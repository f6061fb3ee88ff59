//! The graph of a network, as a model file states it, and how its convolutions are trained.
//!
//! Training, export and integer evaluation walk the same list of nodes, so that an architecture is described once.

use serde::{Deserialize, Serialize};

/// Units of 16-bit inputs and outputs per unit of the training's floating-point numbers.
pub const WIDE: f64 = 1024.0;
/// Units of 8-bit activations.
pub const NARROW: f64 = 32.0;

/// Type of a node's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// 8 bits, signed.
    #[serde(rename = "i8")]
    I8,
    /// 16 bits, signed.
    #[serde(rename = "i16")]
    I16,
}

impl Kind {
    /// Units per 1.0.
    pub fn scale(self) -> f64 {
        match self {
            Kind::I8 => NARROW,
            Kind::I16 => WIDE,
        }
    }
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Node {
    /// What goes in.
    Input {
        /// Channels.
        channels: i64,
        /// Their type.
        #[serde(rename = "type")]
        kind: Kind,
    },
    /// Convolution over y and x with replicated edges.
    Conv2d {
        /// The node read.
        #[serde(rename = "in")]
        from: [usize; 1],
        /// Names of the tensors.
        #[serde(flatten)]
        tensors: Tensors,
        /// 1 or 2.
        stride: i64,
        /// Least and greatest output.
        clamp: [i64; 2],
        /// Type of the output.
        #[serde(rename = "type")]
        kind: Kind,
        /// Channels in, channels out, width of the kernel: known to the training only, the tensors state them.
        #[serde(skip)]
        shape: [i64; 3],
    },
    /// Each value four times.
    Upsample {
        /// The node read.
        #[serde(rename = "in")]
        from: [usize; 1],
    },
    /// Blocks of 2 x 2 points become four channels.
    SpaceToDepth {
        /// The node read.
        #[serde(rename = "in")]
        from: [usize; 1],
    },
    /// The inverse.
    DepthToSpace {
        /// The node read.
        #[serde(rename = "in")]
        from: [usize; 1],
    },
    /// Channels of several nodes, one after another.
    Concat {
        /// The nodes read.
        #[serde(rename = "in")]
        from: Vec<usize>,
    },
    /// Saturating sum.
    Add {
        /// The nodes read.
        #[serde(rename = "in")]
        from: [usize; 2],
        /// Least and greatest output.
        clamp: [i64; 2],
    },
}

/// Names of a convolution's tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tensors {
    /// i8, [out, in, height, width].
    pub weight: String,
    /// i32, [out].
    pub bias: String,
    /// i32, [out].
    pub multiplier: String,
    /// u8, [out].
    pub shift: String,
}

impl Tensors {
    fn of(graph: &str, node: usize) -> Self {
        let name = |what| format!("{graph}.{node}.{what}");
        Self {
            weight: name("weight"),
            bias: name("bias"),
            multiplier: name("multiplier"),
            shift: name("shift"),
        }
    }
}

/// Range of 16-bit values, the same on both sides.
pub const WIDE_RANGE: [i64; 2] = [-32767, 32767];
/// Range of activations after a rectifier.
pub const RECTIFIED: [i64; 2] = [0, 127];

/// Puts a graph together node by node; each method returns the new node's number.
#[derive(Debug)]
pub struct Builder {
    name: &'static str,
    nodes: Vec<Node>,
    channels: Vec<i64>,
}

impl Builder {
    /// A graph that starts with an input of `channels`.
    pub fn new(name: &'static str, channels: i64) -> Self {
        Self { name, nodes: vec![Node::Input { channels, kind: Kind::I16 }], channels: vec![channels] }
    }

    fn push(&mut self, node: Node, channels: i64) -> usize {
        self.nodes.push(node);
        self.channels.push(channels);
        self.nodes.len() - 1
    }

    fn conv(&mut self, from: usize, out: i64, size: i64, stride: i64, clamp: [i64; 2], kind: Kind) -> usize {
        let tensors = Tensors::of(self.name, self.nodes.len());
        let shape = [self.channels[from], out, size];
        self.push(Node::Conv2d { from: [from], tensors, stride, clamp, kind, shape }, out)
    }

    /// Convolution and rectifier, to 8 bits.
    pub fn hidden(&mut self, from: usize, out: i64, size: i64, stride: i64) -> usize {
        self.conv(from, out, size, stride, RECTIFIED, Kind::I8)
    }

    /// Convolution to 16 bits.
    pub fn linear(&mut self, from: usize, out: i64, size: i64) -> usize {
        self.conv(from, out, size, 1, WIDE_RANGE, Kind::I16)
    }

    /// Twice the height and width.
    pub fn upsample(&mut self, from: usize) -> usize {
        self.push(Node::Upsample { from: [from] }, self.channels[from])
    }

    /// Half the height and width, four times the channels.
    pub fn space_to_depth(&mut self, from: usize) -> usize {
        self.push(Node::SpaceToDepth { from: [from] }, self.channels[from] * 4)
    }

    /// Twice the height and width, a quarter of the channels.
    pub fn depth_to_space(&mut self, from: usize) -> usize {
        self.push(Node::DepthToSpace { from: [from] }, self.channels[from] / 4)
    }

    /// Both nodes' channels.
    pub fn concat(&mut self, a: usize, b: usize) -> usize {
        self.push(Node::Concat { from: vec![a, b] }, self.channels[a] + self.channels[b])
    }

    /// The sum of two 16-bit nodes.
    pub fn add(&mut self, a: usize, b: usize) -> usize {
        self.push(Node::Add { from: [a, b], clamp: WIDE_RANGE }, self.channels[a])
    }

    /// The nodes; the last one is the output.
    pub fn finish(self) -> Vec<Node> {
        self.nodes
    }
}

/// Multiply-adds per point of the input plane.
pub fn operations(nodes: &[Node]) -> f64 {
    let mut scale: Vec<f64> = vec![];
    let mut sum = 0.0;
    for node in nodes {
        let area = match node {
            Node::Input { .. } => 1.0,
            Node::Conv2d { from, stride, shape: [i, o, k], .. } => {
                let area = scale[from[0]] / (stride * stride) as f64;
                sum += area * (i * o * k * k) as f64;
                area
            }
            Node::Upsample { from } | Node::DepthToSpace { from } => scale[from[0]] * 4.0,
            Node::SpaceToDepth { from } => scale[from[0]] / 4.0,
            Node::Concat { from } => scale[from[0]],
            Node::Add { from, .. } => scale[from[0]],
        };
        scale.push(area);
    }
    sum
}

/// Number of weights.
pub fn weights(nodes: &[Node]) -> i64 {
    nodes.iter().map(|n| if let Node::Conv2d { shape: [i, o, k], .. } = n { i * o * k * k + o } else { 0 }).sum()
}
