//! Graphs evaluated elsewhere than by this crate's kernels: by libtorch, say, on a GPU.
//!
//! Integer networks give the same values wherever they are computed, so that no stream shows where one was. A backend is
//! held to that: it counts for a graph only after it gave the kernels' values on a small plane, and the first time that it
//! fails, or gives others, it is done with: one warning, and the kernels compute the same run from the same inputs.

use super::graph::Graph;
use super::session::Session;
use crate::error::{Error, Result};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Least rows and columns of the plane on which a backend is compared.
const PROOF: usize = 16;

/// Something that evaluates graphs.
pub trait Backend: Send + Sync {
    /// Makes a graph ready; once for each graph that is read.
    ///
    /// # Errors
    /// What stands against it; the kernels go on then.
    fn load(&self, model: &[u8], graph: &str) -> Result<Box<dyn Network>>;
}

/// A graph that a [`Backend`] made ready.
pub trait Network: Send + Sync {
    /// What evaluates it for `size` levels, rows and columns.
    ///
    /// # Errors
    /// As [`Backend::load`].
    fn open(&self, size: [usize; 3]) -> Result<Box<dyn Evaluation>>;
}

/// A graph at one size.
pub trait Evaluation: Send {
    /// Computes all outputs, \[channel\]\[level\]\[row\]\[column\] as the inputs are, on at most `threads` threads of the
    /// processor. Inputs have values of their type only. Where `fed` says so, an input is the output of the same number
    /// that the last run gave, and need not be read.
    ///
    /// # Errors
    /// As [`Backend::load`]. What is in the outputs then is of no use.
    fn run(
        &mut self,
        inputs: &[Vec<i16>],
        fed: &[bool],
        outputs: &mut [Vec<i16>],
        threads: usize,
    ) -> Result<()>;
}

/// Gives the backend of this process, or none. It is called once, when the first session is made.
pub type Provider = fn() -> Option<Box<dyn Backend>>;

static PROVIDER: OnceLock<Provider> = OnceLock::new();
static BACKEND: OnceLock<Option<Box<dyn Backend>>> = OnceLock::new();
/// Whether the backend failed.
static ABANDONED: AtomicBool = AtomicBool::new(false);

/// States where the backend of this process comes from; only the first statement counts.
pub fn provide(provider: Provider) {
    // Libraries that share this crate in one process state the same.
    let _ = PROVIDER.set(provider);
}

/// Whether a backend was asked for, is there, and has not failed.
pub fn in_use() -> bool {
    backend().is_some()
}

fn backend() -> Option<&'static dyn Backend> {
    let provider = PROVIDER.get()?;
    if ABANDONED.load(Ordering::Acquire) {
        return None;
    }
    BACKEND.get_or_init(provider).as_deref()
}

/// No session asks the backend any more.
fn abandon(error: &Error) {
    if !ABANDONED.swap(true, Ordering::AcqRel) {
        log::warn!("networks are computed by the processor's own kernels from here on: {error}");
    }
}

/// A graph's file, and what the backend made of it.
#[derive(Clone, Default)]
pub(super) struct Elsewhere {
    file: Option<(Arc<[u8]>, String)>,
    network: OnceLock<Option<Arc<dyn Network>>>,
}

impl Elsewhere {
    /// For the graph of this name in a model file.
    pub fn new(model: &Arc<[u8]>, name: &str) -> Self {
        Self { file: Some((Arc::clone(model), name.to_owned())), network: OnceLock::new() }
    }
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:?}", self.file.as_ref().map(|(_, name)| name))
    }
}

/// The evaluation of a graph by this process's backend, where there is one that can.
pub(super) fn evaluation(graph: &Arc<Graph>, size: [usize; 3]) -> Option<Box<dyn Evaluation>> {
    let backend = backend()?;
    let (model, name) = graph.elsewhere.file.as_ref()?;
    let load = || {
        let network = backend.load(model, name)?;
        proven(network.as_ref(), graph)?;
        Ok(Arc::from(network))
    };
    let usable = |loaded: Result<_>| loaded.map_err(|e| abandon(&e)).ok();
    let network = graph.elsewhere.network.get_or_init(|| usable(load())).as_ref()?;
    network.open(size).map_err(|e| abandon(&e)).ok()
}

/// Runs an evaluation; `false` says that the kernels have to.
pub(super) fn ran(
    evaluation: &mut dyn Evaluation,
    inputs: &[Vec<i16>],
    fed: &[bool],
    outputs: &mut [Vec<i16>],
    threads: usize,
) -> bool {
    // Another session may have found out that its answers are wrong.
    if ABANDONED.load(Ordering::Acquire) {
        return false;
    }
    evaluation.run(inputs, fed, outputs, threads).map_err(|e| abandon(&e)).is_ok()
}

/// Compares a network with the kernels on a small plane.
///
/// # Errors
/// What the network says, or that its values are others.
pub fn proven(network: &dyn Network, graph: &Arc<Graph>) -> Result<()> {
    let side = PROOF.next_multiple_of(graph.multiple());
    let size = [graph.multiple_of_levels(), side, side];
    let mut native = Session::native(graph, size)?;
    let mut evaluation = network.open(size)?;
    let mut random = 1u64;
    for turn in 0..3 {
        // Small values, mixed ones, and whatever the type holds.
        for k in 0..graph.inputs() {
            for v in native.input_mut(k) {
                random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let small = [9, (random >> 60) as u32, 0][turn];
                *v = (random >> 40) as i16 >> small;
            }
        }
        native.run(1);
        let (inputs, expected) = native.values();
        let mut found: Vec<Vec<i16>> = expected.iter().map(|v| vec![0; v.len()]).collect();
        evaluation.run(inputs, &vec![false; inputs.len()], &mut found, 1)?;
        if let Some(output) = (0..found.len()).find(|&k| found[k] != expected[k]) {
            let at = found[output].iter().zip(&expected[output]).position(|(a, b)| a != b).unwrap_or(0);
            return Err(Error::invalid(format!(
                "the backend gives {} where {} is right (value {at} of output {output})",
                found[output][at], expected[output][at]
            )));
        }
    }
    Ok(())
}
