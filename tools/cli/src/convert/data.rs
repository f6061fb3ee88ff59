//! Moving a dataset's elements, a few chunks at a time.

use crate::boxes;
use crate::failure::Result;
use crate::h5::chunks;
use crate::h5::dataset::{Dataset, Layout};
use crate::h5::types;
use indicatif::ProgressBar;

/// Copies all elements from `source` to `copy`, which have the same type and shape. Elements pass
/// through `change` on their way.
///
/// # Errors
/// What reading, `change` or writing reports.
pub fn copy(
    source: &Dataset,
    copy: &Dataset,
    bar: &ProgressBar,
    mut change: impl FnMut(&mut [u8], usize) -> Result<()>,
) -> Result<()> {
    if source.points() == 0 || source.stored_bytes() == 0 && source.layout != Layout::Virtual {
        // Nothing was ever written; the fill value stands for it in the copy as well.
        bar.inc(source.raw_bytes());
        return Ok(());
    }
    let size = types::size(&source.dtype);
    let chunk = match &copy.layout {
        Layout::Chunked(chunk) => chunk.clone(),
        _ => vec![1; source.shape.len()],
    };
    let source_chunk = match &source.layout {
        Layout::Chunked(chunk) => Some(chunk.as_slice()),
        _ => None,
    };
    let variable = types::has_variable_length(&source.dtype);
    let mut bytes = Vec::new();
    let step = boxes::step(&source.shape, &chunk, source_chunk, size);
    for (start, count) in boxes::cover(&source.shape, &step) {
        source.read(&start, &count, &mut bytes)?;
        let points = count.iter().product();
        let written = change(&mut bytes, points).and_then(|()| copy.write(&start, &count, &bytes));
        if variable {
            source.reclaim(&count, &mut bytes);
        }
        written?;
        bar.inc(bytes.len() as u64);
    }
    Ok(())
}

/// Copies all chunks from `source` to `copy` as they are stored.
///
/// # Errors
/// What reading or writing reports.
pub fn copy_stored(source: &Dataset, copy: &Dataset, bar: &ProgressBar) -> Result<()> {
    for chunk in chunks::list(source)? {
        let bytes = chunks::read(source, &chunk)?;
        chunks::write(copy, &chunk, &bytes)?;
        bar.inc(bytes.len() as u64);
    }
    Ok(())
}
