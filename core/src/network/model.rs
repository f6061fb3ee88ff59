//! A model file: tensors and how they are put together.

use super::Digest;
use crate::error::{Error, Result};
use safetensors::SafeTensors;
use std::collections::BTreeMap;

/// Largest model file, in bytes.
pub const MAX_MODEL_LEN: usize = 256 << 20;

/// A model that was read and checked.
#[derive(Debug)]
pub struct Model {
    digest: Digest,
    bytes: Vec<u8>,
    metadata: BTreeMap<String, String>,
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
        let (_, header) = SafeTensors::read_metadata(bytes)
            .map_err(|e| Error::invalid(format!("the model is no safetensors file: {e}")))?;
        let metadata: BTreeMap<String, String> =
            header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        if metadata.get("format").map(String::as_str) != Some("augur-model") {
            return Err(Error::invalid(
                "the safetensors file is no Augur model (format \"augur-model\" expected)",
            ));
        }
        Ok(Self { digest: Digest::of(bytes), bytes: bytes.to_vec(), metadata })
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
