//! Frames read from a dataset: as they are for pictures, or scaled to what eyes can see.

use super::Scale;
use crate::failure::{Failure, Result};
use crate::h5::dataset::{self, Dataset, Layout};
use crate::h5::element::{Element, NATIVE};
use crate::h5::{c_string, Id};
use crate::output;
use crate::pictures::{Look, LARGEST};
use augur_core::ByteOrder;
use std::ops::Range;

/// Most bytes of decoded chunks that are kept for the frames that follow.
const CACHE: usize = 1 << 30;
/// Magnitudes from here on mark missing values in many formats (1e20, 9.97e36, 1e34).
const MISSING: f64 = 9.9e19;

/// A dataset, and which of its axes is time.
pub struct Steps {
    /// The dataset.
    pub set: Dataset,
    /// Type of its elements.
    pub element: Element,
    /// Their byte order in the file.
    pub order: ByteOrder,
    /// Axis of time; none where the dataset is one frame.
    pub time: Option<usize>,
    /// Steps to export.
    pub range: Range<usize>,
}

impl Steps {
    /// Opens a dataset with a cache for the chunks that the frames of one share.
    ///
    /// # Errors
    /// A dataset that is missing, or holds no array of plain numbers; steps or an axis that it has not.
    pub fn open(file: &Id, path: &str, time: Option<usize>, asked: &super::Asked) -> Result<Self> {
        let name = c_string(path)?;
        let set = dataset::open(file, &name, None)?;
        let (rank, shape) = (set.shape.len(), &set.shape);
        let (element, order) =
            Element::of(&set.dtype).filter(|_| set.is_array && rank > 0).ok_or_else(|| {
                let what = crate::h5::types::name(&set.dtype);
                Failure::new(format!(
                    "{path} holds {} of {what}, expected an array of numbers",
                    output::shape(shape)
                ))
            })?;
        // Extents may be anything; those of a file that was made to harm as well.
        if shape.iter().try_fold(8u64, |n, &extent| n.checked_mul(extent as u64)).is_none() {
            return Err(Failure::new(format!("{path} is too large ({})", output::shape(shape))));
        }
        if shape.contains(&0) {
            return Err(Failure::new(format!("{path} is empty ({})", output::shape(shape))));
        }
        if let Some(axis) = time.filter(|&a| a >= rank) {
            return Err(Failure::new(format!(
                "--time-axis {axis} does not exist, {path} has {rank} axes (counted from 0)"
            )));
        }
        let time = time.or((rank > 2).then_some(0));
        let range = asked.of(time.map_or(1, |t| shape[t]))?;
        // All chunks of a row of them, so that each is decoded once.
        let cache = match (&set.layout, time) {
            (Layout::Chunked(chunk), Some(t)) => (0..rank)
                .map(|a| if a == t { chunk[t] } else { shape[a].div_ceil(chunk[a]).saturating_mul(chunk[a]) })
                .fold(element.size(), usize::saturating_mul),
            _ => 0,
        };
        // Datasets that are open at once share the first one's cache.
        drop(set);
        let set = dataset::open(file, &name, Some(cache.min(CACHE)))?;
        Ok(Self { set, element, order, time, range })
    }

    /// Extents of one frame.
    pub fn frame(&self) -> Vec<usize> {
        let axes = 0..self.set.shape.len();
        axes.filter(|&a| Some(a) != self.time).map(|a| self.set.shape[a]).collect()
    }

    /// Start and extents of these steps.
    pub fn part(&self, steps: &Range<usize>) -> (Vec<usize>, Vec<usize>) {
        let (mut start, mut count) = (vec![0; self.set.shape.len()], self.set.shape.clone());
        if let Some(t) = self.time {
            (start[t], count[t]) = (steps.start, steps.len());
        }
        (start, count)
    }
}

/// Frames as pictures.
pub struct Pictures {
    steps: Steps,
    /// What each looks like.
    pub look: Look,
    /// Whether the three colours are the last axis, and not the first.
    is_interleaved: bool,
    /// Values that become black and white.
    pub scale: Option<(f64, f64)>,
}

impl Pictures {
    /// The frames of a dataset; with a scale they have 8 bits.
    ///
    /// # Errors
    /// Frames that are neither grey nor RGB.
    pub fn new(mut steps: Steps, scaled: bool) -> Result<Self> {
        let (channels, height, width, is_interleaved) = match steps.frame().as_slice() {
            &[1, y, x] | &[y, x] => (1, y, x, false),
            &[3, y, x] => (3, y, x, false),
            &[y, x, 1] => (1, y, x, false),
            &[y, x, 3] => (3, y, x, true),
            other => {
                return Err(Failure::new(format!(
                    "a frame is {}: pictures are (y, x), or (3, y, x) in RGB; --format raw writes anything",
                    output::shape(other)
                )))
            }
        };
        let size = if scaled { Element::F64 } else { steps.element }.size();
        if (channels * height * width) as u64 > LARGEST / size as u64 {
            return Err(Failure::new(format!(
                "a frame is {}: too large for a picture, --format raw writes anything",
                output::shape(&steps.frame())
            )));
        }
        let element = if scaled { Element::U8 } else { steps.element };
        // HDF5 converts: to this machine's byte order, or to doubles that are scaled here.
        steps.set.dtype = if scaled { Element::F64 } else { element }.dtype(NATIVE)?;
        let look = Look { width, height, channels, alpha: false, element };
        Ok(Self { steps, look, is_interleaved, scale: None })
    }

    /// The steps.
    pub fn range(&self) -> Range<usize> {
        self.steps.range.clone()
    }

    /// Finds the smallest and the largest value, unless they are given.
    ///
    /// # Errors
    /// What cannot be read, no value at all, and what `each` reports after each frame.
    pub fn measure(&mut self, scale: Scale, mut each: impl FnMut() -> Result<()>) -> Result<()> {
        let Scale::Auto = scale else {
            if let Scale::Given(low, high) = scale {
                self.scale = Some((low, high));
            }
            return Ok(());
        };
        let fill = match dataset::user_fill(&self.steps.set) {
            Some(bytes) => {
                Some(f64::from_ne_bytes(bytes.try_into().unwrap_or_default())).filter(|f| *f != 0.0)
            }
            None => None,
        };
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut bytes = vec![];
        for step in self.range() {
            self.read(step, &mut bytes)?;
            for v in doubles(&bytes).filter(|v| v.abs() < MISSING && Some(*v) != fill) {
                (low, high) = (low.min(v), high.max(v));
            }
            each()?;
        }
        if low > high {
            return Err(Failure::new("no value is finite: there is nothing to show"));
        }
        self.scale = Some((low, high));
        Ok(())
    }

    fn read(&self, step: usize, bytes: &mut Vec<u8>) -> Result<()> {
        let (start, count) = self.steps.part(&(step..step + 1));
        self.steps.set.read(&start, &count, bytes)
    }

    /// One frame as planes in this machine's byte order.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn frame(&self, step: usize, planes: &mut Vec<u8>) -> Result<()> {
        let mut bytes = vec![];
        self.read(step, &mut bytes)?;
        if let Some((low, high)) = self.scale {
            // What is not a number stays black, and so does a field of one value.
            let factor = if high > low { 255.0 / (high - low) } else { 0.0 };
            bytes = doubles(&bytes).map(|v| ((v - low) * factor).round() as u8).collect();
        }
        if self.is_interleaved {
            let size = self.look.element.size();
            *planes =
                (0..3).flat_map(|c| bytes.chunks_exact(size).skip(c).step_by(3)).flatten().copied().collect();
        } else {
            *planes = bytes;
        }
        Ok(())
    }
}

fn doubles(bytes: &[u8]) -> impl Iterator<Item = f64> + '_ {
    let (whole, _) = bytes.as_chunks();
    whole.iter().map(|b| f64::from_ne_bytes(*b))
}
