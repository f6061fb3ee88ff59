//! The checkpoint file: /u and /v with an unlimited time axis, compressed by Augur, and /time.

use augur_filter::FILTER_ID;
use hdf5::{Dataset, File, FileBuilder, H5Type};
use ndarray::{ArrayView1, ArrayView3};
use std::path::Path;

/// Names of the two fields, in the order in which steps hold them.
pub const FIELDS: [&str; 2] = ["u", "v"];

/// Shape of the datasets and how they are stored.
pub struct Layout {
    /// Grid rows.
    pub ny: usize,
    /// Grid columns.
    pub nx: usize,
    /// Time steps in a chunk.
    pub chunk: usize,
    /// cd_values of the Augur filter.
    pub cd_values: Vec<u32>,
}

/// An open checkpoint file.
pub struct Output {
    file: File,
    fields: [Dataset; 2],
    /// Extended last, so its length is the number of complete steps.
    time: Dataset,
}

/// Creates the file with empty datasets of `T`.
///
/// # Errors
/// What HDF5 reports; also when it does not find the plugin.
pub fn create<T: H5Type>(path: &Path, layout: &Layout) -> Result<(), String> {
    let say = |e: hdf5::Error| format!("{} cannot be created: {e}", path.display());
    if !hdf5::filters::Filter::user(FILTER_ID, &[]).is_available() {
        return Err(format!(
            "HDF5 does not find filter {FILTER_ID} (Augur); set HDF5_PLUGIN_PATH to the folder that holds libh5z_augur.so"
        ));
    }
    let file = File::create(path).map_err(say)?;
    for name in FIELDS {
        file.new_dataset::<T>()
            .chunk((layout.chunk, layout.ny, layout.nx))
            .shape((0.., layout.ny, layout.nx))
            .add_filter(FILTER_ID, &layout.cd_values)
            .create(name)
            .map_err(say)?;
    }
    file.new_dataset::<f64>().chunk(1024).shape(0..).create("time").map_err(say)?;
    file.close().map_err(say)
}

impl Output {
    /// Opens the file for writing; `cache` is the chunk cache of each dataset in bytes.
    ///
    /// # Errors
    /// What HDF5 reports.
    pub fn open(path: &Path, cache: Option<usize>) -> Result<Self, String> {
        let say = |e: hdf5::Error| format!("{} cannot be opened: {e}", path.display());
        let mut builder = FileBuilder::new();
        if let Some(bytes) = cache {
            builder.with_fapl(|p| p.chunk_cache(521, bytes, 0.75));
        }
        let file = builder.open_rw(path).map_err(say)?;
        let dataset = |name: &str| file.dataset(name).map_err(say);
        Ok(Self { fields: [dataset(FIELDS[0])?, dataset(FIELDS[1])?], time: dataset("time")?, file })
    }

    /// Number of complete steps.
    pub fn steps(&self) -> usize {
        self.time.shape().first().copied().unwrap_or(0)
    }

    /// Grid of the fields: rows and columns.
    ///
    /// # Errors
    /// When /u is no three-dimensional dataset.
    pub fn grid(&self) -> Result<(usize, usize), String> {
        match *self.fields[0].shape() {
            [_, ny, nx] => Ok((ny, nx)),
            ref other => Err(format!("/u has the shape {other:?}, expected three axes: time, y, x")),
        }
    }

    /// Bytes of one stored value.
    ///
    /// # Errors
    /// What HDF5 reports.
    pub fn value_size(&self) -> Result<usize, String> {
        self.fields[0].dtype().map(|t| t.size()).map_err(|e| format!("the type of /u is unreadable: {e}"))
    }

    /// Reads both fields of a step.
    ///
    /// # Errors
    /// When the step is not in the file, or what HDF5 reports.
    pub fn read(&self, step: usize) -> Result<[Vec<f64>; 2], String> {
        if step >= self.steps() {
            return Err(format!(
                "step {step} is not in the file, which holds {} complete steps",
                self.steps()
            ));
        }
        let read = |d: &Dataset| {
            d.read_slice::<f64, _, ndarray::Ix2>((step, .., ..))
                .map(|a| a.into_raw_vec_and_offset().0)
                .map_err(|e| format!("the checkpoint of step {step} cannot be read: {e}"))
        };
        Ok([read(&self.fields[0])?, read(&self.fields[1])?])
    }

    /// Writes `times.len()` steps from `step` on, extending the datasets where they are too short, and flushes the
    /// file. Each field holds its steps one after the other.
    ///
    /// # Errors
    /// What HDF5 reports.
    pub fn write<T: H5Type>(&self, step: usize, fields: [&[T]; 2], times: &[f64]) -> Result<(), String> {
        let say = |e: hdf5::Error| format!("step {step} cannot be written: {e}");
        let (ny, nx) = self.grid()?;
        let end = step + times.len();
        for (dataset, values) in self.fields.iter().zip(fields) {
            let view = ArrayView3::from_shape((times.len(), ny, nx), values)
                .map_err(|e| format!("step {step} has another size than the grid {ny} x {nx}: {e}"))?;
            if dataset.shape()[0] < end {
                dataset.resize((end, ny, nx)).map_err(say)?;
            }
            dataset.write_slice(view, (step..end, .., ..)).map_err(say)?;
        }
        if self.steps() < end {
            self.time.resize(end).map_err(say)?;
        }
        self.time.write_slice(ArrayView1::from(times), step..end).map_err(say)?;
        self.file.flush().map_err(say)
    }

    /// Bytes that each field takes in the file.
    pub fn stored(&self) -> [u64; 2] {
        [self.fields[0].storage_size(), self.fields[1].storage_size()]
    }

    /// Closes the file. Chunks that are still in the cache are compressed and written here.
    ///
    /// # Errors
    /// What HDF5 reports.
    pub fn close(self) -> Result<(), String> {
        self.file.flush().map_err(|e| format!("the last steps cannot be written: {e}"))?;
        drop(self.fields);
        drop(self.time);
        self.file.close().map_err(|e| format!("the file cannot be closed: {e}"))
    }
}
