//! One run of a session: the steps of its plan, tile by tile.

use super::graph::{Graph, Op};
use super::kernel::{Job, Kernel, Rows};
use super::moves;
use super::normalise::Normalise;
use super::packed::{self, Layout};
use super::plain::{self, Planes};
use super::plan::{Piece, Plan, Step, Way};
use super::pointwise::Pointwise;
use super::room::{Room, Rooms};
use super::shared::Shared;
use super::source::{Part, Source};
use super::transpose;
use super::weights::Packed;
use crate::threads::parallel;

/// Work of a tile: multiply-adds, and what the other layers do per word counted as so many of them.
const TILE: usize = if cfg!(test) { 1 << 10 } else { 1 << 20 };
const PER_WORD: usize = 32;

/// What a run reads and writes.
///
/// Who writes where: each tile of a step has rows (of an output, a channel) of its own. A step writes to the memory of its
/// node only, which is not that of a node that it reads: the plan gives memory away only after it was read for the last
/// time. Steps do not overlap in time.
pub struct Runner<'a> {
    pub graph: &'a Graph,
    pub kernel: Kernel,
    pub plan: &'a Plan,
    pub inputs: &'a [Vec<i16>],
    pub buffers: Vec<Shared<'a, u32>>,
    pub outputs: Vec<Shared<'a, i16>>,
    pub rooms: &'a Rooms,
    /// For layers that are computed by definition.
    pub threads: usize,
}

impl Runner<'_> {
    /// Tiles of a step.
    pub fn tiles(&self, step: &Step) -> usize {
        let layout = &self.plan.layouts[step.node];
        match step.way {
            Way::Plain => 1,
            Way::DepthToSpace(_) | Way::Output(_) => layout.channels,
            _ => layout.rows().div_ceil(self.tile_rows(step)),
        }
    }

    /// Rows of a tile.
    fn tile_rows(&self, step: &Step) -> usize {
        let layout = &self.plan.layouts[step.node];
        let weights = |p: &Packed| p.weights.len() * packed::per_word(p.input);
        let all: usize = self.graph.packed[step.node].iter().map(weights).sum();
        let points = match step.way {
            Way::Convolve | Way::Normalise => layout.size[2] * all,
            Way::Transpose => layout.size[2] * all / 4,
            _ => layout.row() * PER_WORD,
        };
        let rows = match self.graph.block() {
            // Many rows of blocks use what is near. So one thread takes all.
            Some(_) => layout.rows().div_ceil(if self.threads > 1 { 2 * self.threads } else { 1 }),
            None => (TILE / points.max(1)).clamp(1, layout.rows().max(1)),
        };
        // Rows of a transposed convolution come in pairs.
        if step.way == Way::Transpose {
            rows.next_multiple_of(2)
        } else {
            rows
        }
    }

    /// Computes a tile of a step.
    pub fn tile(&self, step: &Step, tile: usize) {
        let layout = &self.plan.layouts[step.node];
        let points = layout.size.iter().product::<usize>();
        if let Way::DepthToSpace(output) | Way::Output(output) = step.way {
            // SAFETY: see `Runner`: a tile is a channel of its own.
            let plane = unsafe { self.outputs[output].write(tile * points, points) };
            if step.way == Way::Output(output) {
                self.plane(step.node, tile, plane);
            } else {
                let from = self.graph.nodes[step.node].inputs[0];
                let from = self.plan.parts[from][0].node;
                moves::depth_to_space(&self.plan.layouts[from], self.words(from), tile, plane);
            }
            return;
        }
        let Some(slot) = self.plan.slots[step.node] else { return };
        let (first, rows) = match step.way {
            Way::Plain => (0, layout.rows()),
            _ => {
                let rows = self.tile_rows(step);
                (tile * rows, rows.min(layout.rows() - tile * rows))
            }
        };
        // SAFETY: see `Runner`: a tile is rows of its own.
        let out = unsafe { self.buffers[slot].write(first * layout.row(), rows * layout.row()) };
        self.rooms.enter(|room| self.rows_of(step, first, layout, room, out));
        for row in out.chunks_exact_mut(layout.row()) {
            packed::repeat_ends(layout, row, self.plan.border);
        }
    }

    /// Computes rows of a node from row `first` on.
    fn rows_of(&self, step: &Step, first: usize, layout: &Layout, room: &mut Room, out: &mut [u32]) {
        let n = &self.graph.nodes[step.node];
        let row = layout.row();
        let last = first + out.len() / row;
        let rows = out.chunks_exact_mut(row).zip(first..);
        match (step.way, &n.op) {
            (Way::Pack, Op::Input(input)) => {
                rows.for_each(|(out, r)| packed::pack_row(layout, &self.inputs[*input], r, out));
            }
            (Way::SpaceToDepth, _) => {
                if let Op::Input(input) = self.graph.nodes[n.inputs[0]].op {
                    rows.for_each(|(out, r)| moves::space_to_depth_row(&self.inputs[input], layout, r, out));
                }
            }
            (Way::Upsample, _) => {
                let from = self.source(n.inputs[0]);
                rows.for_each(|(out, r)| moves::upsample_row(&from, n.levels, layout, r, out));
            }
            (Way::MaxPool, _) => {
                let (from, mut room) = (self.source(n.inputs[0]), vec![]);
                rows.for_each(|(out, r)| moves::pool_row(&from, n.levels, layout, r, &mut room, out));
            }
            (Way::Gather(first), _) => {
                let inputs: Vec<Source> = n.inputs.iter().map(|&i| self.source(i)).collect();
                rows.for_each(|(out, r)| moves::gather_row(&inputs, first, layout, r, out));
            }
            (Way::Reshape, _) => {
                let from = self.source(n.inputs[0]);
                rows.for_each(|(out, r)| moves::reshape_row(&from, layout, r, out));
            }
            (Way::Pointwise, _) => {
                let inputs = n.inputs.iter().map(|&i| self.source(i)).collect();
                let mut layer = Pointwise::new(n, *layout, inputs, room);
                rows.for_each(|(out, r)| layer.row(r, out));
            }
            (Way::Convolve, _) => {
                let [packed] = &self.graph.packed[step.node][..] else { return };
                let from = self.source(n.inputs[0]);
                let rows = match (self.graph.nodes[n.inputs[0]].points, n.points) {
                    (Some(from), Some(to)) => Rows::Blocks { from, to },
                    _ => Rows::Planes { shift: 0 },
                };
                let job = Job { packed, parts: &from.parts, out: *layout, rows };
                self.kernel.convolve(&job, first..last, out);
            }
            (Way::Transpose, _) => {
                let [a, b, c, d] = &self.graph.packed[step.node][..] else { return };
                let from = self.source(n.inputs[0]);
                transpose::rows(self.kernel, [a, b, c, d], &from, layout, first..last, out);
            }
            (Way::Normalise, Op::Gdn(gdn)) => {
                let [packed] = &self.graph.packed[step.node][..] else { return };
                let from = self.source(n.inputs[0]);
                let mut layer = Normalise::new(self.kernel, packed, (gdn, n.range), &from, layout, room);
                rows.for_each(|(out, r)| layer.row(r, out));
            }
            _ => {
                let mut planes = vec![0; layout.values()];
                self.define(step.node, &mut planes);
                rows.for_each(|(out, r)| packed::pack_row(layout, &planes, r, out));
            }
        }
    }

    /// The channels of a node.
    fn source(&self, node: usize) -> Source<'_> {
        let part = |p: &Piece| {
            let (layout, n) = (p.layout, packed::per_word(p.layout.element));
            Part { words: self.words(p.node), layout, from: p.from / n, groups: p.channels.div_ceil(n) }
        };
        let layout = &self.plan.layouts[node];
        Source {
            parts: self.plan.parts[node].iter().map(part).collect(),
            element: layout.element,
            channels: layout.channels,
        }
    }

    /// Words of a node that has memory of its own.
    fn words(&self, node: usize) -> &[u32] {
        // SAFETY: see `Runner`. One that has none fails a check of lengths before it is read.
        self.plan.slots[node].map_or(&[], |slot| unsafe { self.buffers[slot].read() })
    }

    /// Computes a node by its definition.
    fn define(&self, node: usize, out: &mut [i16]) {
        let n = &self.graph.nodes[node];
        let lattice = |node: usize| match (self.graph.nodes[node].points, self.plan.layouts[node].size) {
            (Some(points), [.., lanes]) => (points, lanes),
            (None, size) => (size, 1),
        };
        let source = |&i: &usize| -> Vec<i16> {
            let layout = &self.plan.layouts[i];
            let mut planes = vec![0; layout.values()];
            let points = layout.size.iter().product::<usize>();
            planes.chunks_exact_mut(points).enumerate().for_each(|(c, plane)| self.plane(i, c, plane));
            planes
        };
        let sources: Vec<Vec<i16>> = n.inputs.iter().map(source).collect();
        let pairs = n.inputs.iter().zip(&sources);
        let inputs: Vec<Planes> = pairs
            .map(|(&i, values)| (lattice(i), values))
            .map(|((size, lanes), values)| Planes { size, lanes, values })
            .collect();
        let (size, lanes) = lattice(node);
        let channels = out.chunks_exact_mut(size.iter().product::<usize>() * lanes).enumerate().collect();
        parallel(channels, self.threads, |(c, out)| plain::channel(n, size, &inputs, c, out));
    }

    /// Channel `c` of a node as a plane.
    fn plane(&self, node: usize, mut c: usize, out: &mut [i16]) {
        for part in &self.plan.parts[node] {
            if c >= part.channels {
                c -= part.channels;
                continue;
            }
            let c = part.from + c;
            match self.graph.nodes[part.node].op {
                Op::Input(input) => out.copy_from_slice(&self.inputs[input][c * out.len()..][..out.len()]),
                _ => packed::unpack_channel(&part.layout, self.words(part.node), c, out),
            }
            return;
        }
    }
}
