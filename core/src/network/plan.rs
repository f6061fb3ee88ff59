//! In what order the nodes of a graph are computed, how, and where their values lie.

use super::graph::{Element, Graph, Op};
use super::packed::{per_word, Layout};
use super::pointwise::Pointwise;

/// How a node is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// An input's planes are packed.
    Pack,
    /// A convolution by the fast kernels.
    Convolve,
    /// A transposed convolution as four others.
    Transpose,
    /// Divisive normalisation, or its inverse.
    Normalise,
    /// Planes of an input to channels of packed values.
    SpaceToDepth,
    /// Packed values to the planes of this output.
    DepthToSpace(usize),
    Upsample,
    MaxPool,
    /// Each value from those of the same point and channel.
    Pointwise,
    /// Channels of its inputs, from this one on, put into words of its own.
    Gather(usize),
    /// The same of channels that are points in its input, or the reverse.
    Reshape,
    /// By the layer's definition, from and to planes.
    Plain,
    /// No computation: its values become the planes of this output.
    Output(usize),
}

/// A node to be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub node: usize,
    pub way: Way,
}

/// Channels of a node that are taken as they lie: from the start of a word on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub node: usize,
    /// What the memory of that node is seen as.
    pub layout: Layout,
    /// The first of them.
    pub from: usize,
    pub channels: usize,
}

/// What is done with a graph at one size.
#[derive(Clone, Debug)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub layouts: Vec<Layout>,
    /// Where a node's channels lie, one piece after the other: in its own memory, or in that of what it puts together. All
    /// but the last are whole words.
    pub parts: Vec<Vec<Piece>>,
    /// The memory of each node that has any.
    pub slots: Vec<Option<usize>>,
    /// Words of each piece of memory.
    pub lengths: Vec<usize>,
    /// How often the ends of rows are repeated.
    pub border: usize,
}

impl Plan {
    /// A plan for values of `size`; all by definition if `plain`.
    pub fn new(graph: &Graph, size: [usize; 3], plain: bool) -> Self {
        let nodes = &graph.nodes;
        let layouts: Vec<Layout> = nodes
            .iter()
            .map(|n| Layout { channels: n.channels, element: n.element, size: n.size(size) })
            .collect();
        let mut needed = vec![false; nodes.len()];
        graph.outputs.iter().for_each(|&k| needed[k] = true);
        for k in (0..nodes.len()).rev().filter(|&k| !matches!(nodes[k].op, Op::Input(_))) {
            if needed[k] {
                nodes[k].inputs.iter().for_each(|&i| needed[i] = true);
            }
        }
        let mut plan = Self {
            steps: vec![],
            parts: (0..nodes.len())
                .map(|node| {
                    vec![Piece { node, layout: layouts[node], from: 0, channels: nodes[node].channels }]
                })
                .collect(),
            layouts,
            slots: vec![None; nodes.len()],
            lengths: vec![],
            border: match graph.block {
                None => graph.packed.iter().flatten().map(|p| p.kernel[2] / 2).max().unwrap_or(0),
                // Columns are blocks.
                Some(_) => 0,
            },
        };
        // Those whose packed values are read, which for inputs need not be so.
        let mut read = vec![false; nodes.len()];
        let mut ways = vec![None; nodes.len()];
        for k in 0..nodes.len() {
            if !needed[k] {
                continue;
            }
            let way = if plain { Some(Way::Plain) } else { plan.way(graph, k) };
            if !matches!(way, None | Some(Way::Plain | Way::SpaceToDepth | Way::Output(_))) {
                for &i in &nodes[k].inputs {
                    plan.parts[i].iter().for_each(|p| read[p.node] = true);
                }
            }
            ways[k] = way;
        }
        for (k, way) in ways.into_iter().enumerate() {
            match (&nodes[k].op, way) {
                (_, None) => {}
                (Op::Input(_), Some(_)) if !read[k] => {}
                (Op::Input(_), Some(_)) => plan.steps.push(Step { node: k, way: Way::Pack }),
                (_, Some(way)) => plan.steps.push(Step { node: k, way }),
            }
        }
        for (o, &node) in graph.outputs.iter().enumerate() {
            if !plan.steps.iter().any(|s| s.way == Way::DepthToSpace(o)) {
                plan.steps.push(Step { node, way: Way::Output(o) });
            }
        }
        plan.place(graph);
        plan
    }

    /// How a node is computed, if at all.
    fn way(&mut self, graph: &Graph, k: usize) -> Option<Way> {
        let node = &graph.nodes[k];
        let first = node.inputs.first().copied().unwrap_or(0);
        let whole = |plan: &Self, i: usize| match plan.parts[i][..] {
            [p] if (p.from, p.channels) == (0, p.layout.channels) => Some(p),
            _ => None,
        };
        Some(match &node.op {
            Op::Input(_) => Way::Pack,
            Op::Conv(conv) if !graph.packed[k].is_empty() => {
                if conv.transposed && node.points.is_none() {
                    Way::Transpose
                } else {
                    Way::Convolve
                }
            }
            Op::Gdn(_) if !graph.packed[k].is_empty() => Way::Normalise,
            Op::SpaceToDepth
                if node.element == Element::I16 && matches!(graph.nodes[first].op, Op::Input(_)) =>
            {
                Way::SpaceToDepth
            }
            Op::DepthToSpace if node.element == Element::I16 && whole(self, first).is_some() => {
                let used = graph.nodes.iter().any(|n| n.inputs.contains(&k));
                match graph.outputs.iter().position(|&o| o == k) {
                    Some(output) if !used => Way::DepthToSpace(output),
                    _ => Way::Plain,
                }
            }
            Op::Flatten | Op::Unflatten => {
                // Channels of a point, or of each point, that fill words: the words lie as they have to.
                let fill =
                    node.channels.min(graph.nodes[first].channels).is_multiple_of(per_word(node.element));
                match whole(self, first) {
                    Some(piece) if fill && !matches!(graph.nodes[piece.node].op, Op::Input(_)) => {
                        let layout = self.layouts[k];
                        self.parts[k] = vec![Piece { layout, channels: layout.channels, ..piece }];
                        return None;
                    }
                    _ => Way::Reshape,
                }
            }
            Op::Upsample => Way::Upsample,
            Op::MaxPool => Way::MaxPool,
            op if Pointwise::has(op) => Way::Pointwise,
            Op::Concat => {
                let parts: Vec<Piece> =
                    node.inputs.iter().flat_map(|&i| self.parts[i].iter().copied()).collect();
                let (_, before) = parts.split_last()?;
                let n = per_word(node.element);
                if before.iter().any(|p| !p.channels.is_multiple_of(n)) {
                    return Some(Way::Gather(0));
                }
                self.parts[k] = parts;
                return None;
            }
            Op::Slice(from) => match self.cut(first, *from, node.channels) {
                Some(parts) => {
                    self.parts[k] = parts;
                    return None;
                }
                None => Way::Gather(*from),
            },
            _ => Way::Plain,
        })
    }

    /// Channels of a node as pieces, if they begin where words do.
    fn cut(&self, node: usize, mut from: usize, mut channels: usize) -> Option<Vec<Piece>> {
        let mut found = vec![];
        for piece in &self.parts[node] {
            if from >= piece.channels {
                from -= piece.channels;
            } else if channels > 0 {
                let n = per_word(piece.layout.element);
                if !from.is_multiple_of(n) {
                    return None;
                }
                let taken = channels.min(piece.channels - from);
                found.push(Piece { from: piece.from + from, channels: taken, ..*piece });
                channels -= taken;
                from = 0;
            }
        }
        Some(found)
    }

    /// Gives every node memory, that of others again where nobody reads them any more.
    fn place(&mut self, graph: &Graph) {
        let count = self.steps.len();
        let mut last = vec![0; graph.nodes.len()];
        for (at, step) in self.steps.iter().enumerate() {
            let read = match step.way {
                Way::Output(_) => std::slice::from_ref(&step.node),
                _ => &graph.nodes[step.node].inputs,
            };
            for &i in read {
                self.parts[i].iter().for_each(|p| last[p.node] = at);
            }
        }
        let mut free: Vec<usize> = vec![];
        for at in 0..count {
            let Step { node, way } = self.steps[at];
            if !matches!(way, Way::DepthToSpace(_) | Way::Output(_)) {
                let len = self.layouts[node].len();
                // The smallest that is large enough, or the largest of all, made larger.
                let best = free.iter().enumerate().min_by_key(|(_, &s)| match self.lengths[s] {
                    has if has >= len => (0, has),
                    has => (1, usize::MAX - has),
                });
                let slot = match best.map(|(i, _)| i) {
                    Some(i) => free.swap_remove(i),
                    None => {
                        self.lengths.push(0);
                        self.lengths.len() - 1
                    }
                };
                self.lengths[slot] = self.lengths[slot].max(len);
                self.slots[node] = Some(slot);
            }
            for k in (0..graph.nodes.len()).filter(|&k| last[k] == at) {
                // Also what is read by nobody, such as an output that is read by nobody else.
                if let Some(slot) = self.slots[k] {
                    if !free.contains(&slot) {
                        free.push(slot);
                    }
                }
            }
        }
    }
}
