//! The graph of a network, as a model file states it, and how its convolutions are trained.
//!
//! Training, export and integer evaluation walk the same list of nodes, so that an architecture is described once.

use augur_core::network::Element;

/// Units of 16-bit inputs and outputs per unit of the training's floating-point numbers.
pub const WIDE: f64 = 1024.0;
/// Units of 8-bit activations.
pub const NARROW: f64 = 32.0;

/// Units per 1.0 of values of a type.
pub fn scale(element: Element) -> f64 {
    match element {
        Element::I8 => NARROW,
        Element::I16 => WIDE,
    }
}

/// One operation. `from` is the number of the node that it reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// What goes in: 16-bit planes.
    Input {
        /// Channels.
        channels: i64,
    },
    /// Convolution over y and x with replicated edges.
    Conv {
        /// The node read.
        from: usize,
        /// Channels in.
        inputs: i64,
        /// Channels out.
        outputs: i64,
        /// Rows and columns of the kernel, odd.
        size: i64,
        /// 1 or 2.
        stride: i64,
        /// Least and greatest output.
        clamp: (i32, i32),
        /// Type of the output.
        element: Element,
    },
    /// Each value four times.
    Upsample(usize),
    /// Blocks of 2 x 2 points become four channels.
    SpaceToDepth(usize),
    /// The inverse.
    DepthToSpace(usize),
    /// Channels of two nodes, one after another.
    Concat(usize, usize),
    /// Saturating sum of two 16-bit nodes.
    Add(usize, usize),
}

/// Type of each node's values.
pub fn elements(nodes: &[Node]) -> Vec<Element> {
    let mut elements: Vec<Element> = vec![];
    for node in nodes {
        elements.push(match *node {
            Node::Input { .. } => Element::I16,
            Node::Conv { element, .. } => element,
            Node::Upsample(k)
            | Node::SpaceToDepth(k)
            | Node::DepthToSpace(k)
            | Node::Concat(k, _)
            | Node::Add(k, _) => elements[k],
        });
    }
    elements
}

/// Range of 16-bit values, the same on both sides.
pub const WIDE_RANGE: (i32, i32) = (-32767, 32767);
/// Range of activations after a rectifier.
pub const RECTIFIED: (i32, i32) = (0, 127);

/// Puts a graph together node by node; each method returns the new node's number.
#[derive(Debug)]
pub struct Builder {
    nodes: Vec<Node>,
    channels: Vec<i64>,
}

impl Builder {
    /// A graph that starts with an input of `channels`.
    pub fn new(channels: i64) -> Self {
        Self { nodes: vec![Node::Input { channels }], channels: vec![channels] }
    }

    fn push(&mut self, node: Node, channels: i64) -> usize {
        self.nodes.push(node);
        self.channels.push(channels);
        self.nodes.len() - 1
    }

    fn conv(
        &mut self,
        from: usize,
        outputs: i64,
        size: i64,
        stride: i64,
        clamp: (i32, i32),
        element: Element,
    ) -> usize {
        let inputs = self.channels[from];
        self.push(Node::Conv { from, inputs, outputs, size, stride, clamp, element }, outputs)
    }

    /// Convolution and rectifier, to 8 bits.
    pub fn hidden(&mut self, from: usize, out: i64, size: i64, stride: i64) -> usize {
        self.conv(from, out, size, stride, RECTIFIED, Element::I8)
    }

    /// Convolution to 16 bits.
    pub fn linear(&mut self, from: usize, out: i64, size: i64) -> usize {
        self.conv(from, out, size, 1, WIDE_RANGE, Element::I16)
    }

    /// Twice the height and width.
    pub fn upsample(&mut self, from: usize) -> usize {
        self.push(Node::Upsample(from), self.channels[from])
    }

    /// Half the height and width, four times the channels.
    pub fn space_to_depth(&mut self, from: usize) -> usize {
        self.push(Node::SpaceToDepth(from), self.channels[from] * 4)
    }

    /// Twice the height and width, a quarter of the channels.
    pub fn depth_to_space(&mut self, from: usize) -> usize {
        self.push(Node::DepthToSpace(from), self.channels[from] / 4)
    }

    /// Both nodes' channels.
    pub fn concat(&mut self, a: usize, b: usize) -> usize {
        self.push(Node::Concat(a, b), self.channels[a] + self.channels[b])
    }

    /// The sum of two 16-bit nodes.
    pub fn add(&mut self, a: usize, b: usize) -> usize {
        self.push(Node::Add(a, b), self.channels[a])
    }

    /// The nodes; the last one is the output.
    pub fn finish(self) -> Vec<Node> {
        self.nodes
    }
}

/// Multiply-adds per point of the input plane.
pub fn operations(nodes: &[Node]) -> f64 {
    let mut areas: Vec<f64> = vec![];
    let mut sum = 0.0;
    for node in nodes {
        areas.push(match *node {
            Node::Input { .. } => 1.0,
            Node::Conv { from, inputs, outputs, size, stride, .. } => {
                let area = areas[from] / (stride * stride) as f64;
                sum += area * (inputs * outputs * size * size) as f64;
                area
            }
            Node::Upsample(k) | Node::DepthToSpace(k) => areas[k] * 4.0,
            Node::SpaceToDepth(k) => areas[k] / 4.0,
            Node::Concat(k, _) | Node::Add(k, _) => areas[k],
        });
    }
    sum
}

/// Number of weights and biases.
pub fn parameters(nodes: &[Node]) -> i64 {
    let of = |node: &Node| match *node {
        Node::Conv { inputs, outputs, size, .. } => outputs * (inputs * size * size + 1),
        _ => 0,
    };
    nodes.iter().map(of).sum()
}
