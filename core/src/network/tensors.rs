//! Tensors of a model file, checked for type and shape as they are read.

use crate::error::{Error, Result};
use safetensors::tensor::{Metadata, TensorView};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;

/// The tensors of a model file.
pub struct Tensors<'a> {
    file: SafeTensors<'a>,
    metadata: Metadata,
}

impl<'a> Tensors<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        let wrong = |e| Error::invalid(format!("the model is no safetensors file: {e}"));
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(wrong)?;
        Ok(Self { file: SafeTensors::deserialize(bytes).map_err(wrong)?, metadata })
    }

    /// Texts that stand beside the tensors.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        self.metadata.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    fn get(&self, name: &str, dtype: Dtype) -> Result<TensorView<'a>> {
        let view = self
            .file
            .tensor(name)
            .map_err(|_| Error::invalid(format!("the tensor \"{name}\" is missing")))?;
        if view.dtype() != dtype {
            return Err(Error::invalid(format!(
                "the tensor \"{name}\" is of type {}, {dtype} expected",
                view.dtype()
            )));
        }
        Ok(view)
    }

    /// The shape of the tensor of 8-bit integers, which has `rank` axes.
    pub fn shape_i8(&self, name: &str, rank: usize) -> Result<Vec<usize>> {
        let shape = self.get(name, Dtype::I8)?.shape().to_vec();
        if shape.len() != rank {
            return Err(Error::invalid(format!(
                "the tensor \"{name}\" has the shape {shape:?}, {rank} axes expected"
            )));
        }
        Ok(shape)
    }

    fn data(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<&'a [u8]> {
        let view = self.get(name, dtype)?;
        if view.shape() != shape {
            let found = view.shape();
            return Err(Error::invalid(format!(
                "the tensor \"{name}\" has the shape {found:?}, {shape:?} expected"
            )));
        }
        Ok(view.data())
    }

    pub fn i8(&self, name: &str, shape: &[usize]) -> Result<Vec<i8>> {
        Ok(self.data(name, Dtype::I8, shape)?.iter().map(|b| *b as i8).collect())
    }

    /// Values that are all within `low..=high`.
    pub fn u8_within(&self, name: &str, shape: &[usize], low: u8, high: u8) -> Result<Vec<u8>> {
        let data = self.data(name, Dtype::U8, shape)?;
        within(name, data.iter().map(|v| i64::from(*v)), low.into(), high.into())?;
        Ok(data.to_vec())
    }

    /// Values that are all within `low..=high`.
    pub fn i32_within(&self, name: &str, shape: &[usize], low: i32, high: i32) -> Result<Vec<i32>> {
        let data = self.data(name, Dtype::I32, shape)?;
        let values: Vec<i32> =
            data.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        within(name, values.iter().map(|v| i64::from(*v)), low.into(), high.into())?;
        Ok(values)
    }
}

fn within(name: &str, mut values: impl Iterator<Item = i64>, low: i64, high: i64) -> Result<()> {
    match values.find(|v| !(low..=high).contains(v)) {
        Some(v) => {
            Err(Error::invalid(format!("the tensor \"{name}\" has the value {v}, {low} to {high} expected")))
        }
        None => Ok(()),
    }
}
