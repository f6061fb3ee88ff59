//! A model file: tensors and how they are put together.

use super::backend::Elsewhere;
use super::graph::Graph;
use super::tensors::Tensors;
use super::{load, Digest};
use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Largest model file, in bytes.
pub const MAX_MODEL_LEN: usize = 256 << 20;
/// Longest header of a model file, in bytes: it is read before anything is known of it.
const MAX_HEADER: u64 = 4 << 20;
/// Most graphs of a model.
const MAX_GRAPHS: usize = 16;

/// A model that was read and checked.
#[derive(Debug)]
pub struct Model {
    digest: Digest,
    bytes: Arc<[u8]>,
    metadata: BTreeMap<String, String>,
    graphs: BTreeMap<String, Arc<Graph>>,
}

/// Models of one name are one model.
impl PartialEq for Model {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Model {
    /// Reads a model file and checks all that it states.
    ///
    /// # Errors
    /// `InvalidArgument` that names what is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_MODEL_LEN {
            return Err(Error::invalid(format!(
                "the model file has {} bytes, at most {MAX_MODEL_LEN} expected",
                bytes.len()
            )));
        }
        let header = bytes.first_chunk().map_or(0, |n| u64::from_le_bytes(*n));
        if header > MAX_HEADER {
            return Err(Error::invalid(format!(
                "the model's header has {header} bytes, at most {MAX_HEADER} expected"
            )));
        }
        let tensors = Tensors::new(bytes)?;
        let metadata = tensors.metadata();
        let text = |key: &str| metadata.get(key).map(String::as_str);
        if text("format") != Some("augur-model") {
            return Err(Error::invalid(
                "the safetensors file is no Augur model (format \"augur-model\" expected)",
            ));
        }
        match text("version") {
            Some("1") => {}
            Some(v) => {
                return Err(Error::compatibility(format!(
                    "the model is of version {v}, this build reads version 1"
                )))
            }
            None => return Err(Error::invalid("the model states no version")),
        }
        let graphs = text("graphs").ok_or_else(|| Error::invalid("the model states no graphs"))?;
        let graphs: Map<String, Value> = serde_json::from_str(graphs)
            .map_err(|e| Error::invalid(format!("the model's graphs are no JSON object: {e}")))?;
        if graphs.len() > MAX_GRAPHS {
            return Err(Error::invalid(format!(
                "the model has {} graphs, at most {MAX_GRAPHS} expected",
                graphs.len()
            )));
        }
        let file: Arc<[u8]> = Arc::from(bytes);
        let read = |(name, value): (&String, &Value)| {
            let mut graph = load::graph(value, &tensors)
                .map_err(|e| load::within(&format!("the model's graph \"{name}\""), &e))?;
            graph.elsewhere = Elsewhere::new(&file, name);
            Ok((name.clone(), Arc::new(graph)))
        };
        let graphs = graphs.iter().map(read).collect::<Result<_>>()?;
        Ok(Self { digest: Digest::of(bytes), bytes: file, metadata, graphs })
    }

    /// The graph with this role: `forecaster`, `corrector`.
    pub fn graph(&self, name: &str) -> Option<&Arc<Graph>> {
        self.graphs.get(name)
    }

    /// Names and graphs.
    pub fn graphs(&self) -> impl Iterator<Item = (&str, &Arc<Graph>)> {
        self.graphs.iter().map(|(name, graph)| (name.as_str(), graph))
    }

    /// SHA-256 of the file, its name.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the file says about itself: architecture, training data, date, licence.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}
