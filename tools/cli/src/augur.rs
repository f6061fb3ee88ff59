//! What a file says about its Augur datasets: the settings in the cd_values, and each chunk's stream.

use crate::failure::{Failure, Result};
use crate::h5::chunks::{self, Chunk};
use crate::h5::dataset::{self, Dataset};
use crate::h5::pipeline::{self, Filter};
use crate::h5::types;
use augur_core::{ByteOrder, Info};
use augur_filter::cd_values::CdValues;
use augur_filter::Settings;

/// Bytes that fletcher32 appends to a chunk.
const FLETCHER32: (i32, usize) = (3, 4);

/// The pipeline of a dataset with Augur in it.
pub struct Augur {
    /// The whole pipeline.
    pub filters: Vec<Filter>,
    /// Augur's place in it.
    pub at: usize,
    /// What was asked for.
    pub settings: Settings,
}

/// Reads a dataset's pipeline; `None` where Augur is not part of it.
///
/// # Errors
/// cd_values that this build cannot read.
pub fn of(set: &Dataset) -> Result<Option<Augur>> {
    let filters = pipeline::list(&set.dcpl)?;
    let Some(at) = filters.iter().position(Filter::is_augur) else { return Ok(None) };
    let settings = match CdValues::from_words(&filters[at].words)? {
        CdValues::User(settings) => settings,
        CdValues::Expanded(expanded) => expanded.settings,
    };
    Ok(Some(Augur { filters, at, settings }))
}

impl Augur {
    /// Bits of the value that marks missing data, as a number.
    pub fn fill_bits(&self, set: &Dataset) -> Option<u64> {
        let (dtype, order) = types::numeric(&set.dtype)?;
        let bytes = match self.settings.fill {
            Some(fill) => fill.to_bytes(dtype, order).ok()?[..dtype.size()].to_vec(),
            None => dataset::user_fill(set)?,
        };
        let join = |bits: u64, &byte: &u8| bits << 8 | u64::from(byte);
        Some(match order {
            ByteOrder::Big => bytes.iter().fold(0, join),
            ByteOrder::Little => bytes.iter().rev().fold(0, join),
        })
    }

    /// What a chunk's stream says; `None` where the filter was skipped for that chunk.
    ///
    /// # Errors
    /// A damaged stream, or one that other filters changed after Augur.
    pub fn inspect(&self, set: &Dataset, chunk: &Chunk) -> Result<Option<Info>> {
        if chunk.skipped >> self.at & 1 == 1 {
            return Ok(None);
        }
        let bytes = chunks::read(set, chunk)?;
        let mut stream = bytes.as_slice();
        for (i, filter) in self.filters.iter().enumerate().skip(self.at + 1).rev() {
            if chunk.skipped >> i & 1 == 1 {
                continue;
            }
            if filter.id != FLETCHER32.0 {
                return Err(Failure::new(format!("{} was applied after Augur", filter.label())));
            }
            stream = &stream[..stream.len().saturating_sub(FLETCHER32.1)];
        }
        Ok(Some(augur_core::inspect(stream)?))
    }
}
