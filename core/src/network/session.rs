//! Runs a graph on planes of one size, again and again.

use super::graph::{Graph, Op};
use super::plain::{self, Planes};
use crate::error::{Error, Result};
use crate::threads::parallel;
use std::sync::Arc;

/// Most bytes of memory that a session takes.
pub const MAX_SESSION: usize = 1 << 30;

/// A graph with memory for its values at one size.
pub struct Session {
    graph: Arc<Graph>,
    size: [usize; 3],
    /// Values of each node.
    values: Vec<Vec<i16>>,
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
        let (levels, plane) = (graph.multiple_of_levels(), graph.multiple());
        let fits = size[0].is_multiple_of(levels) && size[1..].iter().all(|n| n.is_multiple_of(plane));
        if size.contains(&0) || !fits {
            return Err(Error::invalid(format!(
                "the network reads {levels} x {plane} x {plane} levels, rows and columns or multiples of them, not {size:?}"
            )));
        }
        let mut total = 0usize;
        for node in &graph.nodes {
            let points = node.size(size).iter().try_fold(node.channels * 2, |n, s| n.checked_mul(*s));
            total =
                points.and_then(|n| n.checked_add(total)).filter(|n| *n <= MAX_SESSION).ok_or_else(|| {
                    Error::invalid(format!("the network takes more than {MAX_SESSION} bytes for {size:?}"))
                })?;
        }
        let values = graph.nodes.iter().map(|n| vec![0; n.channels * n.size(size).iter().product::<usize>()]);
        let values = values.collect();
        Ok(Self { graph: Arc::clone(graph), size, values })
    }

    /// Bytes of memory that the session takes.
    pub fn bytes(&self) -> usize {
        self.values.iter().map(|v| 2 * v.len()).sum()
    }

    /// The values of input `index`: \[channel\]\[level\]\[row\]\[column\]. They are kept until they are changed. Inputs of
    /// type i8 take values of -128 to 127; others are limited.
    ///
    /// # Panics
    /// If there is no such input.
    pub fn input_mut(&mut self, index: usize) -> &mut [i16] {
        &mut self.values[self.graph.inputs[index]]
    }

    /// Computes the outputs from the inputs, on at most `threads` threads: the same bits for any number.
    pub fn run(&mut self, threads: usize) {
        for (k, node) in self.graph.nodes.iter().enumerate() {
            let size = node.size(self.size);
            let (before, rest) = self.values.split_at_mut(k);
            let out = &mut rest[0];
            if let Op::Input(_) = node.op {
                let (low, high) = node.element.range();
                out.iter_mut().for_each(|v| *v = (*v).clamp(low as i16, high as i16));
                continue;
            }
            let inputs: Vec<Planes> = node
                .inputs
                .iter()
                .map(|&i| Planes { size: self.graph.nodes[i].size(self.size), values: &before[i] })
                .collect();
            let channels = out.chunks_exact_mut(size.iter().product()).enumerate().collect();
            parallel(channels, threads, |(c, out)| plain::channel(node, size, &inputs, c, out));
        }
    }

    /// The values of output `index`: \[channel\]\[level\]\[row\]\[column\].
    ///
    /// # Panics
    /// If there is no such output.
    pub fn output(&self, index: usize) -> &[i16] {
        &self.values[self.graph.outputs[index]]
    }
}
