//! Numbers in plain files, as SDRBench has them: last axis fastest, no header.

use super::source::Source;
use crate::failure::{Failure, Result};
use crate::h5::element::Element;
use crate::{output, strided};
use augur_core::ByteOrder;
use std::fs::File;
use std::path::PathBuf;

/// Most axes of an HDF5 dataset.
const MOST_AXES: usize = 32;

/// Extents as in `100,500,500` or `100x500x500`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape(pub Vec<usize>);

impl std::str::FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let extents: std::result::Result<Vec<usize>, _> =
            text.split([',', 'x']).map(|n| n.trim().parse::<usize>()).collect();
        match extents {
            Ok(shape) if shape.contains(&0) => Err("every extent must be at least 1".into()),
            Ok(shape) if shape.len() >= MOST_AXES => {
                Err(format!("at most {} extents expected", MOST_AXES - 1))
            }
            Ok(shape) => Ok(Self(shape)),
            Err(_) => Err("extents expected, slowest axis first, as in 100,500,500".into()),
        }
    }
}

/// One file with all steps, or a file for each.
pub struct Raw {
    files: Vec<PathBuf>,
    shape: Vec<usize>,
    /// Whether the first axis counts the files.
    is_stack: bool,
    element: Element,
    order: ByteOrder,
    open: Option<(usize, File)>,
}

impl Raw {
    /// Checks that every file is as long as `shape` asks for.
    ///
    /// # Errors
    /// A file of another length, by its name, with both lengths.
    pub fn open(
        files: Vec<PathBuf>,
        is_single: bool,
        shape: &Shape,
        element: Element,
        order: ByteOrder,
    ) -> Result<Self> {
        let shape = &shape.0;
        let bytes = shape.iter().try_fold(element.size() as u64, |n, &extent| n.checked_mul(extent as u64));
        let all = bytes.and_then(|n| n.checked_mul(files.len() as u64)).filter(|&n| n < 1 << 62);
        let (Some(expected), Some(_)) = (bytes, all) else {
            return Err(Failure::new(format!(
                "--shape {} is more than any file holds",
                output::shape(shape)
            )));
        };
        for path in &files {
            let shown = path.display();
            let meta = std::fs::metadata(path).map_err(|e| Failure::new(format!("{shown}: {e}")))?;
            if !meta.is_file() {
                return Err(Failure::new(format!("{shown} is no file")));
            }
            if meta.len() != expected {
                return Err(Failure::new(format!(
                    "{shown} has {} bytes, expected {expected} ({} of {}, {} bytes each){}",
                    meta.len(),
                    output::shape(shape),
                    element.name(),
                    element.size(),
                    hint(shape, meta.len(), expected, is_single)
                )));
            }
        }
        let shape = if is_single { shape.clone() } else { [&[files.len()], shape.as_slice()].concat() };
        Ok(Self { files, shape, is_stack: !is_single, element, order, open: None })
    }

    fn file(&mut self, index: usize) -> Result<&File> {
        let path = &self.files[index];
        let file = match self.open.take() {
            Some((i, file)) if i == index => file,
            _ => File::open(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?,
        };
        Ok(&self.open.insert((index, file)).1)
    }
}

/// What may be meant instead.
fn hint(shape: &[usize], found: u64, expected: u64, is_single: bool) -> String {
    let points: u64 = shape.iter().map(|&n| n as u64).product();
    let mut hints = vec![];
    if is_single && found > expected && found.is_multiple_of(expected) {
        let extents: Vec<String> = shape.iter().map(usize::to_string).collect();
        let steps = found / expected;
        hints.push(format!("{steps} steps of that shape would be --shape {steps},{}", extents.join(",")));
    }
    if found.is_multiple_of(points) && [1, 2, 4, 8].contains(&(found / points)) {
        hints.push(format!("a --dtype of {} bytes would fit", found / points));
    }
    hints.iter().map(|h| format!("; {h}")).collect()
}

impl Source for Raw {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn element(&self) -> (Element, ByteOrder) {
        (self.element, self.order)
    }

    fn read(&mut self, start: &[usize], count: &[usize], out: &mut [u8]) -> Result<()> {
        let (shape, size, is_stack) = (self.shape.clone(), self.element.size(), self.is_stack);
        let from = usize::from(is_stack);
        let steps = if is_stack { start[0]..start[0] + count[0] } else { 0..1 };
        let part = out.len() / steps.len();
        for (file, out) in steps.zip(out.chunks_exact_mut(part)) {
            let open = self.file(file)?;
            strided::read(open, &shape[from..], size, &start[from..], &count[from..], out)
                .map_err(|e| Failure::new(format!("{}: {e}", self.files[file].display())))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_as_people_write_them() {
        for (text, shape) in [
            ("100,500,500", vec![100, 500, 500]),
            ("100x500", vec![100, 500]),
            ("7", vec![7]),
            ("1, 2", vec![1, 2]),
        ] {
            assert_eq!(text.parse(), Ok(Shape(shape)));
        }
        for text in ["", "1,,2", "a", "-1,2", "0,2", "99999999999999999999999", "1.5"] {
            assert!(text.parse::<Shape>().is_err(), "{text}");
        }
        assert!(vec!["2"; 32].join(",").parse::<Shape>().is_err());
    }

    #[test]
    fn a_wrong_length_says_what_may_be_meant() {
        assert!(hint(&[5, 5], 300, 100, true).contains("--shape 3,5,5"));
        assert_eq!(hint(&[5, 5], 200, 100, false), "; a --dtype of 8 bytes would fit");
        assert!(hint(&[5, 5], 200, 100, true).contains("--shape 2,5,5"));
        assert_eq!(hint(&[5, 5], 101, 100, true), "");
        assert_eq!(hint(&[5, 5], 0, 100, true), "");
    }
}
