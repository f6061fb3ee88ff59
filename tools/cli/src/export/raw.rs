//! Elements as they are stored, in plain files.

use super::frames::Steps;
use crate::boxes;
use crate::failure::{Failure, Result};
use crate::h5::dataset::Layout;
use crate::strided;
use std::fs::OpenOptions;
use std::ops::Range;
use std::path::Path;

/// Writes these steps to a new file, a box of chunks at a time.
///
/// # Errors
/// What cannot be read or written.
pub fn write(steps: &Steps, range: &Range<usize>, path: &Path, mut each: impl FnMut(u64)) -> Result<()> {
    let failed = |e: std::io::Error| Failure::new(e.to_string());
    let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    let (origin, shape) = steps.part(range);
    let chunk: Vec<usize> = match &steps.set.layout {
        Layout::Chunked(chunk) => chunk.iter().zip(&shape).map(|(&c, &n)| c.min(n)).collect(),
        _ => vec![1; shape.len()],
    };
    let size = steps.element.size();
    let mut bytes = vec![];
    for (start, count) in boxes::cover(&shape, &boxes::step(&shape, &chunk, None, size)) {
        let from: Vec<usize> = start.iter().zip(&origin).map(|(s, o)| s + o).collect();
        steps.set.read(&from, &count, &mut bytes)?;
        strided::write(&file, &shape, size, &start, &count, &bytes).map_err(failed)?;
        each(bytes.len() as u64);
    }
    Ok(())
}
