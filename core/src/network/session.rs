//! Runs a graph on planes of one size, again and again.

use super::graph::{Graph, Node, Op};
use super::kernel::{Job, Kernel, Part};
use super::moves;
use super::packed::{self, Buffer, Layout};
use super::plain::{self, Planes};
use super::plan::{Plan, Step, Way};
use crate::error::{Error, Result};
use crate::threads::parallel;
use std::sync::Arc;

/// Most bytes of memory that a session takes.
pub const MAX_SESSION: usize = 1 << 30;
/// Work (multiply-adds, or words moved) that is worth a thread.
const WORTH_A_THREAD: usize = if cfg!(test) { 1 << 8 } else { 1 << 21 };

/// A graph with memory for its values at one size.
pub struct Session {
    graph: Arc<Graph>,
    kernel: Kernel,
    plan: Plan,
    buffers: Vec<Buffer>,
    inputs: Vec<Vec<i16>>,
    outputs: Vec<Vec<i16>>,
}

impl Session {
    /// A session for planes of `height` and `width`, each a multiple of [`Graph::multiple`].
    ///
    /// # Errors
    /// `InvalidArgument` if they are not, or the values of all layers take more than [`MAX_SESSION`] bytes.
    pub fn new(graph: &Arc<Graph>, height: usize, width: usize) -> Result<Self> {
        Self::with_levels(graph, [1, height, width])
    }

    /// A session for values of `size` levels, rows and columns.
    ///
    /// # Errors
    /// As [`Session::new`]; the levels are a multiple of [`Graph::multiple_of_levels`].
    pub fn with_levels(graph: &Arc<Graph>, size: [usize; 3]) -> Result<Self> {
        Self::made(graph, size, Some(Kernel::best()))
    }

    /// A session that computes every layer by its definition, one channel at a time: slow, for comparisons.
    ///
    /// # Errors
    /// As [`Session::with_levels`].
    pub fn plain(graph: &Arc<Graph>, size: [usize; 3]) -> Result<Self> {
        Self::made(graph, size, None)
    }

    /// A session with these kernels, or none.
    pub(super) fn made(graph: &Arc<Graph>, size: [usize; 3], kernel: Option<Kernel>) -> Result<Self> {
        let (levels, plane) = (graph.multiple_of_levels(), graph.multiple());
        let fits = size[0].is_multiple_of(levels) && size[1..].iter().all(|n| n.is_multiple_of(plane));
        if size.contains(&0) || !fits {
            return Err(Error::invalid(format!(
                "the network reads {levels} x {plane} x {plane} levels, rows and columns or multiples of them, not {size:?}"
            )));
        }
        let large =
            || Error::invalid(format!("the network takes more than {MAX_SESSION} bytes for {size:?}"));
        let points = size.iter().try_fold(1usize, |n, s| n.checked_mul(*s)).ok_or_else(large)?;
        if points > MAX_SESSION {
            return Err(large());
        }
        let plan = Plan::new(graph, size, kernel.is_none());
        let of = |nodes: &[usize]| -> Vec<usize> {
            nodes.iter().map(|&k| values(&graph.nodes[k], size)).collect()
        };
        let (inputs, outputs) = (of(&graph.inputs), of(&graph.outputs));
        // Layers that are computed by definition have their planes beside.
        let planes = |step: &Step| match step.way {
            Way::Plain => of(&graph.nodes[step.node].inputs).iter().sum::<usize>() + of(&[step.node])[0],
            _ => 0,
        };
        let beside = plan.steps.iter().map(planes).max().unwrap_or(0);
        let bytes = plan.lengths.iter().fold(0usize, |n, l| n.saturating_add(4 * l))
            + 2 * (inputs.iter().chain(&outputs).sum::<usize>() + beside);
        if bytes > MAX_SESSION {
            return Err(large());
        }
        Ok(Self {
            graph: Arc::clone(graph),
            kernel: kernel.unwrap_or(Kernel::Portable),
            buffers: plan.lengths.iter().map(|l| Buffer::new(*l)).collect(),
            inputs: inputs.into_iter().map(|n| vec![0; n]).collect(),
            outputs: outputs.into_iter().map(|n| vec![0; n]).collect(),
            plan,
        })
    }

    /// Bytes of memory that the session keeps.
    pub fn bytes(&self) -> usize {
        self.buffers.iter().map(Buffer::bytes).sum::<usize>()
            + self.inputs.iter().chain(&self.outputs).map(|v| 2 * v.len()).sum::<usize>()
    }

    /// The values of input `index`: \[channel\]\[level\]\[row\]\[column\]. They are kept until they are changed. Values that
    /// the input's type does not have are limited to it.
    ///
    /// # Panics
    /// If there is no such input.
    pub fn input_mut(&mut self, index: usize) -> &mut [i16] {
        &mut self.inputs[index]
    }

    /// The values of output `index`: \[channel\]\[level\]\[row\]\[column\].
    ///
    /// # Panics
    /// If there is no such output.
    pub fn output(&self, index: usize) -> &[i16] {
        &self.outputs[index]
    }

    /// Computes the outputs from the inputs, on at most `threads` threads: the same bits for any number.
    pub fn run(&mut self, threads: usize) {
        for (input, &k) in self.inputs.iter_mut().zip(&self.graph.inputs) {
            let (low, high) = self.graph.nodes[k].element.range();
            if low > i32::from(i16::MIN) {
                input.iter_mut().for_each(|v| *v = (*v).clamp(low as i16, high as i16));
            }
        }
        for at in 0..self.plan.steps.len() {
            let Step { node, way } = self.plan.steps[at];
            if let Way::DepthToSpace(output) = way {
                let mut planes = std::mem::take(&mut self.outputs[output]);
                self.join(node, &mut planes, threads);
                self.outputs[output] = planes;
            } else if let Some(slot) = self.plan.slots[node] {
                let mut buffer = std::mem::take(&mut self.buffers[slot]);
                self.step(node, way, &mut buffer, threads);
                self.buffers[slot] = buffer;
            }
        }
        for (o, &k) in self.graph.outputs.iter().enumerate() {
            let joined = |s: &Step| s.way == Way::DepthToSpace(o);
            if !self.plan.steps.iter().any(joined) {
                let mut planes = std::mem::take(&mut self.outputs[o]);
                self.planes(k, &mut planes);
                self.outputs[o] = planes;
            }
        }
    }

    /// A session with the kernels of this name; `None` if the machine has none.
    #[cfg(feature = "bench")]
    #[doc(hidden)]
    pub fn with_kernel(graph: &Arc<Graph>, size: [usize; 3], name: &str) -> Option<Result<Self>> {
        let kernel = Kernel::all().into_iter().find(|k| format!("{k:?}").eq_ignore_ascii_case(name))?;
        Some(Self::made(graph, size, Some(kernel)))
    }

    /// Computes one node, from whatever lies in the memory of those before it.
    #[cfg(feature = "bench")]
    #[doc(hidden)]
    pub fn run_node(&mut self, node: usize, threads: usize) {
        let step = self.plan.steps.iter().find(|s| s.node == node).map(|s| s.way);
        if let (Some(way), Some(slot)) = (step, self.plan.slots[node]) {
            let mut buffer = std::mem::take(&mut self.buffers[slot]);
            self.step(node, way, &mut buffer, threads);
            self.buffers[slot] = buffer;
        }
    }

    /// Depth to space, straight to the planes of an output.
    fn join(&self, node: usize, planes: &mut [i16], threads: usize) {
        let from = self.graph.nodes[node].inputs[0];
        let (layout, words) = (self.plan.layouts[from], self.words(from));
        let points = self.plan.layouts[node].size.iter().product::<usize>();
        let threads = if planes.len() < 2 * WORTH_A_THREAD { 1 } else { threads };
        let channels = planes.chunks_exact_mut(points).enumerate().collect();
        parallel(channels, threads, |(c, plane)| moves::depth_to_space(&layout, words, c, plane));
    }

    /// Computes a node into its memory.
    fn step(&self, node: usize, way: Way, buffer: &mut Buffer, threads: usize) {
        let n = &self.graph.nodes[node];
        let layout = &self.plan.layouts[node];
        let out = buffer.write(layout.len());
        match (way, &n.op) {
            (Way::Pack, Op::Input(input)) => {
                let planes = &self.inputs[*input];
                self.rows(layout, out, 1, threads, |r, row| packed::pack_row(layout, planes, r, row));
            }
            (Way::SpaceToDepth, _) => {
                if let Op::Input(input) = self.graph.nodes[n.inputs[0]].op {
                    let planes = &self.inputs[input];
                    self.rows(layout, out, 1, threads, |r, row| {
                        moves::space_to_depth_row(planes, layout, r, row)
                    });
                }
            }
            (Way::Upsample, _) => {
                let (from, words) = (&self.plan.layouts[n.inputs[0]], self.words(n.inputs[0]));
                self.rows(layout, out, 1, threads, |r, row| moves::upsample_row(from, words, layout, r, row));
            }
            (Way::Add, _) => {
                let (a, b) = (self.words(n.inputs[0]), self.words(n.inputs[1]));
                let add = if packed::per_word(n.element) == 4 { moves::add_8 } else { moves::add_16 };
                let of =
                    |words, r: usize| -> &[u32] { &(words as &[u32])[r * layout.row()..][..layout.row()] };
                self.rows(layout, out, 1, threads, |r, row| {
                    add(of(a, r), of(b, r), n.range.0, n.range.1, row)
                });
            }
            (Way::Convolve, _) => self.convolve(node, out, threads),
            _ => {
                let mut planes = vec![0; values_of(layout)];
                self.define(node, &mut planes, threads);
                self.rows(layout, out, 1, threads, |r, row| packed::pack_row(layout, &planes, r, row));
            }
        }
    }

    /// Words of a node that has memory of its own.
    fn words(&self, node: usize) -> &[u32] {
        // One that is empty fails a check of lengths before it is read.
        let node = self.plan.parts[node][0];
        self.plan.slots[node].map_or(&[], |slot| self.buffers[slot].read())
    }

    fn convolve(&self, node: usize, out: &mut [u32], threads: usize) {
        let Some(packed) = &self.graph.packed[node] else { return };
        let layout = self.plan.layouts[node];
        let sources = &self.plan.parts[self.graph.nodes[node].inputs[0]];
        let part = |&k: &usize| Part { words: self.words(k), layout: self.plan.layouts[k] };
        let parts: Vec<Part> = sources.iter().map(part).collect();
        let job = Job { packed, parts: &parts, out: layout };
        let work = packed.weights.len() * packed::per_word(packed.input) / layout.groups().max(1);
        self.tiles(&layout, out, work, threads, |first, tile| {
            let rows = first..first + tile.len() / layout.row();
            self.kernel.convolve(&job, rows, tile);
            tile.chunks_exact_mut(layout.row())
                .for_each(|row| packed::repeat_ends(&layout, row, self.plan.border));
        });
    }

    /// Calls `work` with each row.
    fn rows(
        &self,
        layout: &Layout,
        out: &mut [u32],
        each: usize,
        threads: usize,
        work: impl Fn(usize, &mut [u32]) + Sync,
    ) {
        self.tiles(layout, out, each, threads, |first, tile| {
            for (r, row) in tile.chunks_exact_mut(layout.row()).enumerate() {
                work(first + r, row);
                packed::repeat_ends(layout, row, self.plan.border);
            }
        });
    }

    /// Calls `work` with the first row and the words of each of several tiles. `each` is the work per word.
    fn tiles(
        &self,
        layout: &Layout,
        out: &mut [u32],
        each: usize,
        threads: usize,
        work: impl Fn(usize, &mut [u32]) + Sync,
    ) {
        let total = out.len().saturating_mul(each);
        let tiles = if threads < 2 || total < 2 * WORTH_A_THREAD { 1 } else { 2 * threads };
        let rows = layout.rows().div_ceil(tiles).max(1);
        let tiles = out.chunks_mut(rows * layout.row()).enumerate().collect();
        parallel(tiles, threads, |(i, tile)| work(i * rows, tile));
    }

    /// Computes a node by its definition.
    fn define(&self, node: usize, out: &mut [i16], threads: usize) {
        let n = &self.graph.nodes[node];
        let size = self.plan.layouts[node].size;
        let sources: Vec<Vec<i16>> = n
            .inputs
            .iter()
            .map(|&i| {
                let mut planes = vec![0; values_of(&self.plan.layouts[i])];
                self.planes(i, &mut planes);
                planes
            })
            .collect();
        let inputs: Vec<Planes> = n
            .inputs
            .iter()
            .zip(&sources)
            .map(|(&i, values)| Planes { size: self.plan.layouts[i].size, values })
            .collect();
        let channels = out.chunks_exact_mut(size.iter().product()).enumerate().collect();
        parallel(channels, threads, |(c, out)| plain::channel(n, size, &inputs, c, out));
    }

    /// The values of a node as planes.
    fn planes(&self, node: usize, out: &mut [i16]) {
        let points = self.plan.layouts[node].size.iter().product::<usize>();
        let mut out = out.chunks_exact_mut(points);
        for &part in &self.plan.parts[node] {
            let layout = &self.plan.layouts[part];
            if let Op::Input(input) = self.graph.nodes[part].op {
                self.inputs[input]
                    .chunks_exact(points)
                    .zip(&mut out)
                    .for_each(|(v, out)| out.copy_from_slice(v));
                continue;
            }
            let words = self.words(part);
            for (c, out) in (0..layout.channels).zip(&mut out) {
                packed::unpack_channel(layout, words, c, out);
            }
        }
    }
}

/// Number of values.
fn values(node: &Node, size: [usize; 3]) -> usize {
    node.channels * node.size(size).iter().product::<usize>()
}

fn values_of(layout: &Layout) -> usize {
    layout.channels * layout.size.iter().product::<usize>()
}
