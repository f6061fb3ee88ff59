//! Runs a graph on planes of one size, again and again.

use super::backend::{self, Evaluation};
use super::graph::{Graph, Node};
use super::kernel::Kernel;
use super::packed::Buffer;
use super::plan::{Plan, Step, Way};
use super::room::Rooms;
use super::runner::Runner;
use super::shared::Shared;
use super::team::together;
use crate::error::{Error, Result};
use std::sync::Arc;

/// Most bytes of memory that a session takes.
pub const MAX_SESSION: usize = 1 << 30;

/// A graph with memory for its values at one size.
pub struct Session {
    graph: Arc<Graph>,
    kernel: Kernel,
    plan: Plan,
    buffers: Vec<Buffer>,
    rooms: Rooms,
    inputs: Vec<Vec<i16>>,
    outputs: Vec<Vec<i16>>,
    /// Of the process's backend, while that does not fail.
    evaluation: Option<Box<dyn Evaluation>>,
    /// Which inputs are the outputs of the last run.
    fed: Vec<bool>,
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
        of_planes(graph)?;
        let mut session = Self::native(graph, size)?;
        session.evaluation = backend::evaluation(graph, size);
        Ok(session)
    }

    /// A session that no backend has a part in.
    pub(crate) fn native(graph: &Arc<Graph>, size: [usize; 3]) -> Result<Self> {
        Self::made(graph, size, Some(Kernel::best()))
    }

    /// A session that computes every layer by its definition, one channel at a time: slow, for comparisons.
    ///
    /// # Errors
    /// As [`Session::with_levels`].
    pub fn plain(graph: &Arc<Graph>, size: [usize; 3]) -> Result<Self> {
        of_planes(graph)?;
        Self::made(graph, size, None)
    }

    /// A session for `lanes` blocks at a time, of the size [`Graph::block`]. All values lie as
    /// \[channel\]\[level\]\[row\]\[column\]\[block\]. No backend has a part in it.
    ///
    /// # Errors
    /// `InvalidArgument` if the graph is none of blocks, there are no lanes, or the values of all layers take more than
    /// [`MAX_SESSION`] bytes.
    pub fn of_blocks(graph: &Arc<Graph>, lanes: usize) -> Result<Self> {
        of_blocks(graph)?;
        Self::made(graph, [1, 1, lanes], Some(Kernel::best()))
    }

    /// [`Session::plain`] for blocks.
    ///
    /// # Errors
    /// As [`Session::of_blocks`].
    pub fn plain_of_blocks(graph: &Arc<Graph>, lanes: usize) -> Result<Self> {
        of_blocks(graph)?;
        Self::made(graph, [1, 1, lanes], None)
    }

    /// A session with these kernels, or none. In a graph of blocks the columns of `size` are blocks.
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
        // No node of a block may have more values either, so that nothing overflows below.
        let values_of = |n: &Node| n.channels.saturating_mul(n.size(size).iter().product());
        if points > MAX_SESSION
            || (graph.block.is_some() && graph.nodes.iter().any(|n| values_of(n) > MAX_SESSION))
        {
            return Err(large());
        }
        let plan = Plan::new(graph, size, kernel.is_none());
        let of = |nodes: &[usize]| -> Vec<usize> {
            nodes.iter().map(|&k| values(&graph.nodes[k], size)).collect()
        };
        let (inputs, outputs) = (of(&graph.inputs), of(&graph.outputs));
        // Layers that are computed by definition have their planes beside, others some rows.
        let planes = |step: &Step| match step.way {
            Way::Plain => of(&graph.nodes[step.node].inputs).iter().sum::<usize>() + of(&[step.node])[0],
            // One row of squares and sums; some rows of what is read and what comes out.
            Way::Normalise => 4 * plan.layouts[step.node].channels * size[2],
            Way::Transpose => {
                let from = graph.nodes[step.node].inputs[0];
                16 * (plan.layouts[from].channels + plan.layouts[step.node].channels) * size[2]
            }
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
            rooms: Rooms::default(),
            evaluation: None,
            fed: vec![false; inputs.len()],
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
        self.fed[index] = false;
        &mut self.inputs[index]
    }

    /// The values of input `index`, as they were given.
    ///
    /// # Panics
    /// If there is no such input.
    pub fn input(&self, index: usize) -> &[i16] {
        &self.inputs[index]
    }

    /// The values of output `index`: \[channel\]\[level\]\[row\]\[column\].
    ///
    /// # Panics
    /// If there is no such output.
    pub fn output(&self, index: usize) -> &[i16] {
        &self.outputs[index]
    }

    /// Makes output `index` input `index`, as what a network remembers.
    ///
    /// # Panics
    /// If there is none of the two, or they have not equal sizes.
    pub fn feed_back(&mut self, index: usize) {
        self.inputs[index].copy_from_slice(&self.outputs[index]);
        self.fed[index] = true;
    }

    /// All inputs and all outputs.
    pub(super) fn values(&self) -> (&[Vec<i16>], &[Vec<i16>]) {
        (&self.inputs, &self.outputs)
    }

    /// Computes the outputs from the inputs, on at most `threads` threads: the same bits for any number.
    pub fn run(&mut self, threads: usize) {
        for (input, &k) in self.inputs.iter_mut().zip(&self.graph.inputs) {
            let (low, high) = self.graph.nodes[k].element.range();
            if low > i32::from(i16::MIN) {
                input.iter_mut().for_each(|v| *v = (*v).clamp(low as i16, high as i16));
            }
        }
        if let Some(evaluation) = &mut self.evaluation {
            if backend::ran(evaluation.as_mut(), &self.inputs, &self.fed, &mut self.outputs, threads) {
                return;
            }
            self.evaluation = None;
        }
        let runner = self.runner(threads);
        let steps = &runner.plan.steps;
        let tiles: Vec<usize> = steps.iter().map(|s| runner.tiles(s)).collect();
        together(&tiles, threads, |step, tile| runner.tile(&steps[step], tile));
    }

    fn runner(&mut self, threads: usize) -> Runner<'_> {
        Runner {
            graph: &self.graph,
            kernel: self.kernel,
            plan: &self.plan,
            inputs: &self.inputs,
            buffers: self.buffers.iter_mut().map(|b| Shared::new(b.words())).collect(),
            outputs: self.outputs.iter_mut().map(|v| Shared::new(v)).collect(),
            rooms: &self.rooms,
            threads,
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
        let runner = self.runner(threads);
        if let Some(step) = runner.plan.steps.iter().find(|s| s.node == node) {
            together(&[runner.tiles(step)], threads, |_, tile| runner.tile(step, tile));
        }
    }
}

fn of_planes(graph: &Graph) -> Result<()> {
    match graph.block {
        Some(block) => Err(Error::invalid(format!(
            "the network is computed for blocks of {block:?} points, not for planes"
        ))),
        None => Ok(()),
    }
}

fn of_blocks(graph: &Graph) -> Result<()> {
    match graph.block {
        Some(_) => Ok(()),
        None => Err(Error::invalid("the network is computed for planes, not for blocks")),
    }
}

/// Number of values.
fn values(node: &Node, size: [usize; 3]) -> usize {
    node.channels * node.size(size).iter().product::<usize>()
}
