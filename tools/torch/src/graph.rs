//! The graph of a network, as a model file states it, and how its convolutions are trained.
//!
//! Training, export and integer evaluation walk the same list of nodes, so that an architecture is described once.

use augur_core::network::Element;

/// Units of 16-bit inputs and outputs per unit of the training's floating-point numbers.
pub const WIDE: f64 = 1024.0;
/// Units of 8-bit activations.
pub const NARROW: f64 = 32.0;
/// Units of 8-bit values between -1 and 1: gates, and what tanh gives.
pub const UNIT: f64 = 128.0;

/// Units per 1.0 of activations of a type.
pub fn scale(element: Element) -> f64 {
    match element {
        Element::I8 => NARROW,
        Element::I16 => WIDE,
    }
}

/// What the weights of a convolution are at first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// Random, for rectified activations (He et al. 2015).
    Rectified,
    /// Random, for what goes into a sigmoid or tanh (Glorot and Bengio 2010), times a factor; and the biases' value.
    Random(f64, f64),
    /// Nothing.
    Zero,
    /// Each output channel is the input channel that lies so many after it, times a factor.
    Passing(i64, f64),
}

/// How the integers of a node become values: type, units per 1.0, least and greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Values {
    /// Type.
    pub element: Element,
    /// Units per 1.0, a power of 2.
    pub unit: f64,
    /// Least and greatest integer.
    pub clamp: (i32, i32),
}

/// Range of 16-bit values, the same on both sides.
pub const WIDE_RANGE: (i32, i32) = (-32767, 32767);
/// Range of activations after a rectifier.
pub const RECTIFIED: (i32, i32) = (0, 127);
/// Range of 8-bit values, the same on both sides.
pub const NARROW_RANGE: (i32, i32) = (-127, 127);

impl Values {
    /// Rectified activations.
    pub const HIDDEN: Self = Self { element: Element::I8, unit: NARROW, clamp: RECTIFIED };
    /// Of 16 bits.
    pub const LINEAR: Self = Self { element: Element::I16, unit: WIDE, clamp: WIDE_RANGE };
    /// Gates: 0 to just below 1.
    pub const GATE: Self = Self { element: Element::I8, unit: UNIT, clamp: RECTIFIED };
    /// What goes into a tanh.
    pub const BEFORE_TANH: Self = Self { element: Element::I8, unit: NARROW, clamp: NARROW_RANGE };
    /// Between -1 and 1.
    pub const AROUND_ZERO: Self = Self { element: Element::I8, unit: UNIT, clamp: NARROW_RANGE };

    /// Least and greatest value.
    pub fn range(&self) -> (f64, f64) {
        (f64::from(self.clamp.0) / self.unit, f64::from(self.clamp.1) / self.unit)
    }
}

/// One operation. `from` is the number of the node that it reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// What goes in.
    Input {
        /// Channels.
        channels: i64,
        /// Its lattice is so many times halved.
        down: u8,
        /// Its values.
        values: Values,
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
        /// What comes out.
        values: Values,
        /// The weights at first.
        start: Start,
    },
    /// Each value four times.
    Upsample(usize),
    /// The greatest of 2 x 2 values.
    MaxPool(usize),
    /// Blocks of 2 x 2 points become four channels.
    SpaceToDepth(usize),
    /// The inverse.
    DepthToSpace(usize),
    /// Channels of nodes of one type, one after another; the units are those of the first.
    Concat(Vec<usize>),
    /// Some channels: the first, and how many.
    Slice(usize, i64, i64),
    /// Saturating sum of two nodes of one unit, the first of 16 bits.
    Add(usize, usize),
    /// Difference of two nodes of one unit, by 2^shift.
    Subtract {
        /// The two nodes.
        of: [usize; 2],
        /// Power of 2 that it is divided by, in integers.
        shift: u8,
        /// What comes out; its unit is that of the nodes over 2^shift.
        values: Values,
    },
    /// Product of two nodes, by 2^shift.
    Multiply {
        /// The two nodes.
        of: [usize; 2],
        /// Power of 2 that it is divided by, in integers.
        shift: u8,
        /// What comes out; its unit is that of the nodes together over 2^shift.
        values: Values,
    },
    /// The same value with a unit 2^shift times smaller.
    Rescale {
        /// The node.
        from: usize,
        /// The power of 2.
        shift: u8,
        /// What comes out.
        values: Values,
    },
    /// The hyperbolic tangent of an 8-bit node.
    Tanh(usize),
}

/// What each node's values are.
pub fn values(nodes: &[Node]) -> Vec<Values> {
    let mut all: Vec<Values> = vec![];
    for node in nodes {
        all.push(match node {
            Node::Input { values, .. }
            | Node::Conv { values, .. }
            | Node::Subtract { values, .. }
            | Node::Multiply { values, .. }
            | Node::Rescale { values, .. } => *values,
            Node::Tanh(_) => Values::AROUND_ZERO,
            Node::Add(a, _) => Values { clamp: WIDE_RANGE, ..all[*a] },
            Node::Concat(of) => all[of[0]],
            Node::Upsample(k)
            | Node::MaxPool(k)
            | Node::SpaceToDepth(k)
            | Node::DepthToSpace(k)
            | Node::Slice(k, ..) => all[*k],
        });
    }
    all
}

/// Units of a tanh's output for each of its inputs of `unit`, from -128 on.
pub fn tanh_table(unit: f64) -> Vec<i8> {
    let at = |x: i32| (f64::from(x) / unit).tanh() * UNIT;
    (-128..128).map(|x| at(x).round_ties_even().clamp(-127.0, 127.0) as i8).collect()
}

/// Nodes and which of them are the outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Numbers of those that are outputs.
    pub outputs: Vec<usize>,
}

/// Puts a graph together node by node; each method returns the new node's number.
#[derive(Debug, Default)]
pub struct Builder {
    nodes: Vec<Node>,
    values: Vec<Values>,
    channels: Vec<i64>,
}

impl Builder {
    /// A graph that starts with a 16-bit input of `channels`.
    pub fn new(channels: i64) -> Self {
        let mut builder = Self::default();
        builder.input(channels, 0, Values::LINEAR);
        builder
    }

    fn push(&mut self, node: Node, channels: i64) -> usize {
        self.nodes.push(node);
        self.channels.push(channels);
        self.values = values(&self.nodes);
        self.nodes.len() - 1
    }

    /// One more input.
    pub fn input(&mut self, channels: i64, down: u8, values: Values) -> usize {
        self.push(Node::Input { channels, down, values }, channels)
    }

    /// A convolution.
    pub fn conv(
        &mut self,
        from: usize,
        outputs: i64,
        size: i64,
        stride: i64,
        values: Values,
        start: Start,
    ) -> usize {
        let inputs = self.channels[from];
        self.push(Node::Conv { from, inputs, outputs, size, stride, values, start }, outputs)
    }

    /// Convolution and rectifier, to 8 bits.
    pub fn hidden(&mut self, from: usize, out: i64, size: i64, stride: i64) -> usize {
        self.conv(from, out, size, stride, Values::HIDDEN, Start::Rectified)
    }

    /// Convolution to 16 bits that gives 0 at first.
    pub fn linear(&mut self, from: usize, out: i64, size: i64) -> usize {
        self.conv(from, out, size, 1, Values::LINEAR, Start::Zero)
    }

    /// Convolution to 16 bits that gives `factor` times the channels from `first` on at first.
    pub fn passing(&mut self, from: usize, out: i64, first: i64, factor: f64) -> usize {
        self.conv(from, out, 3, 1, Values::LINEAR, Start::Passing(first, factor))
    }

    /// Twice the height and width.
    pub fn upsample(&mut self, from: usize) -> usize {
        self.push(Node::Upsample(from), self.channels[from])
    }

    /// Half the height and width, the greatest values.
    pub fn maxpool(&mut self, from: usize) -> usize {
        self.push(Node::MaxPool(from), self.channels[from])
    }

    /// Half the height and width, four times the channels.
    pub fn space_to_depth(&mut self, from: usize) -> usize {
        self.push(Node::SpaceToDepth(from), self.channels[from] * 4)
    }

    /// Twice the height and width, a quarter of the channels.
    pub fn depth_to_space(&mut self, from: usize) -> usize {
        self.push(Node::DepthToSpace(from), self.channels[from] / 4)
    }

    /// The channels of all, which are of one type.
    pub fn concat(&mut self, of: &[usize]) -> usize {
        let channels = of.iter().map(|k| self.channels[*k]).sum();
        self.push(Node::Concat(of.to_vec()), channels)
    }

    /// So many channels from `first` on.
    pub fn slice(&mut self, from: usize, first: i64, channels: i64) -> usize {
        self.push(Node::Slice(from, first, channels), channels)
    }

    /// The sum of two nodes of one unit, the first of 16 bits.
    pub fn add(&mut self, a: usize, b: usize) -> usize {
        self.push(Node::Add(a, b), self.channels[a])
    }

    /// The rectified difference of two nodes of one unit, to 8 bits; integers are divided by 2^shift.
    pub fn rectified_difference(&mut self, a: usize, b: usize, shift: u8) -> usize {
        let unit = self.values[a].unit / f64::from(shift).exp2();
        let values = Values { element: Element::I8, unit, clamp: RECTIFIED };
        self.push(Node::Subtract { of: [a, b], shift, values }, self.channels[a])
    }

    /// The product of two nodes; integers are divided by 2^shift.
    pub fn multiply(&mut self, a: usize, b: usize, shift: u8, element: Element) -> usize {
        let unit = self.values[a].unit * self.values[b].unit / f64::from(shift).exp2();
        let clamp = match element {
            Element::I8 => NARROW_RANGE,
            Element::I16 => WIDE_RANGE,
        };
        let values = Values { element, unit, clamp };
        self.push(Node::Multiply { of: [a, b], shift, values }, self.channels[a])
    }

    /// The same value in 8 bits; integers are divided by 2^shift.
    pub fn narrow(&mut self, from: usize, shift: u8) -> usize {
        let unit = self.values[from].unit / f64::from(shift).exp2();
        let values = Values { element: Element::I8, unit, clamp: NARROW_RANGE };
        self.push(Node::Rescale { from, shift, values }, self.channels[from])
    }

    /// The hyperbolic tangent of an 8-bit node.
    pub fn tanh(&mut self, from: usize) -> usize {
        self.push(Node::Tanh(from), self.channels[from])
    }

    /// Channels of a node.
    pub fn channels(&self, node: usize) -> i64 {
        self.channels[node]
    }

    /// The graph; the last node is the output.
    pub fn finish(self) -> Graph {
        let last = self.nodes.len() - 1;
        self.finish_with(vec![last])
    }

    /// The graph with these outputs.
    pub fn finish_with(self, outputs: Vec<usize>) -> Graph {
        Graph { nodes: self.nodes, outputs }
    }
}

impl Graph {
    /// Points of each node over those of the full lattice.
    pub fn areas(&self) -> Vec<f64> {
        let mut areas: Vec<f64> = vec![];
        for node in &self.nodes {
            areas.push(match node {
                Node::Input { down, .. } => 0.25f64.powi(i32::from(*down)),
                Node::Conv { from, stride, .. } => areas[*from] / (stride * stride) as f64,
                Node::Upsample(k) | Node::DepthToSpace(k) => areas[*k] * 4.0,
                Node::SpaceToDepth(k) | Node::MaxPool(k) => areas[*k] / 4.0,
                Node::Add(k, _) | Node::Slice(k, ..) | Node::Rescale { from: k, .. } | Node::Tanh(k) => {
                    areas[*k]
                }
                Node::Concat(of) => areas[of[0]],
                Node::Subtract { of, .. } | Node::Multiply { of, .. } => areas[of[0]],
            });
        }
        areas
    }

    /// Channels and halvings of each input after the first: what is remembered.
    pub fn states(&self) -> Vec<(i64, u8)> {
        let of = |node: &Node| match *node {
            Node::Input { channels, down, .. } => Some((channels, down)),
            _ => None,
        };
        self.nodes.iter().filter_map(of).skip(1).collect()
    }

    /// Multiply-adds per point of the full lattice.
    pub fn operations(&self) -> f64 {
        let of = |(node, area): (&Node, f64)| match *node {
            Node::Conv { inputs, outputs, size, .. } => area * (inputs * outputs * size * size) as f64,
            _ => 0.0,
        };
        self.nodes.iter().zip(self.areas()).map(of).sum()
    }

    /// Number of weights and biases.
    pub fn parameters(&self) -> i64 {
        let of = |node: &Node| match *node {
            Node::Conv { inputs, outputs, size, .. } => outputs * (inputs * size * size + 1),
            _ => 0,
        };
        self.nodes.iter().map(of).sum()
    }
}
