//! Pictures as frames of a dataset: PNG, JPEG and TIFF (of several pages) decoded to planes of grey or of red,
//! green and blue, and written from them.
//!
//! What a file states is not believed before it is checked: nothing is allocated beyond [`LARGEST`], and an
//! image that ends too early is an error, not grey.

mod jpeg;
mod png;
pub mod tiff;
pub mod write;

use crate::failure::{Failure, Result};
use crate::h5::element::{Element, NATIVE};
use crate::output;
use augur_core::ByteOrder;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Most bytes of one decoded frame.
pub const LARGEST: u64 = 4 << 30;

/// Most bytes of a frame that a byte of its file stands for, and bytes of a frame that need no such proof. What the formats
/// can do at best is about 2,700 (LZW), 1,032 (deflate) and 1,000 (JPEG).
const DENSEST: (u64, u64) = (4096, 64 << 20);

/// What a picture's header says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Pixels along a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// Whether each pixel says how opaque it is, after its colours.
    pub alpha: bool,
    /// Type of a pixel's values.
    pub element: Element,
}

impl Look {
    /// Bytes of the frame without opacity.
    pub fn bytes(&self) -> usize {
        self.width * self.height * self.channels * self.element.size()
    }

    /// Whether frames of both kinds may stand in one dataset.
    pub fn is_like(&self, other: &Self) -> bool {
        Self { alpha: false, ..*self } == Self { alpha: false, ..*other }
    }

    /// Extents of a frame: rows and columns, behind channels where there are several.
    pub fn shape(&self) -> Vec<usize> {
        match self.channels {
            1 => vec![self.height, self.width],
            n => vec![n, self.height, self.width],
        }
    }

    /// The same, with the checks that every format needs; `length` is that of the file.
    fn checked(self, length: u64) -> Result<Self> {
        let samples = self.channels as u64 + u64::from(self.alpha);
        let bytes = (self.width as u64)
            .checked_mul(self.height as u64)
            .and_then(|n| n.checked_mul(samples * self.element.size() as u64));
        match bytes {
            Some(0) => Err(Failure::new("it has no pixels")),
            Some(n) if n <= LARGEST && n <= DENSEST.1.max(length.saturating_mul(DENSEST.0)) => Ok(self),
            Some(n) if n <= LARGEST => Err(Failure::new(format!(
                "it is damaged: it says that it has {} x {} pixels, which a file of {} cannot hold",
                self.width,
                self.height,
                output::bytes(length)
            ))),
            _ => Err(Failure::new(format!(
                "it says that it has {} x {} pixels, more than {} of values",
                self.width,
                self.height,
                output::bytes(LARGEST)
            ))),
        }
    }
}

impl std::fmt::Display for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let colour = if self.channels == 1 { "grey" } else { "RGB" };
        write!(f, "{} x {} pixels, {colour}, {}", self.width, self.height, self.element.name())
    }
}

/// An open picture file.
pub enum Picture {
    /// PNG.
    Png(Box<png::Png>),
    /// JPEG.
    Jpeg(jpeg::Jpeg),
    /// TIFF, of one or more pages.
    Tiff(Box<tiff::Tiff>),
}

impl Picture {
    /// Opens a picture; its first bytes say of which format it is.
    ///
    /// # Errors
    /// A file that is missing, of another format, or damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Failure::new(e.to_string()))?;
        let length = match file.metadata() {
            Ok(meta) if meta.is_file() => meta.len(),
            _ => return Err(Failure::new("it is no file")),
        };
        let mut magic = vec![];
        (&file).take(8).read_to_end(&mut magic).map_err(|e| Failure::new(e.to_string()))?;
        let reader = BufReader::new(File::open(path).map_err(|e| Failure::new(e.to_string()))?);
        match magic.as_slice() {
            [0x89, b'P', b'N', b'G', ..] => png::Png::open(reader, length).map(|png| Self::Png(png.into())),
            [0xff, 0xd8, 0xff, ..] => jpeg::Jpeg::open(reader, length).map(Self::Jpeg),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => {
                tiff::Tiff::open(reader, length).map(|tiff| Self::Tiff(tiff.into()))
            }
            [] => Err(Failure::new("it is empty")),
            [0x89, b'H', b'D', b'F', ..] => Err(Failure::new("it is an HDF5 file, no picture")),
            _ => Err(Failure::new("it is no PNG, TIFF or JPEG picture")),
        }
    }

    /// What its first page looks like.
    ///
    /// # Errors
    /// A kind of picture that cannot become a frame.
    pub fn look(&mut self) -> Result<Look> {
        match self {
            Self::Png(png) => png.look(),
            Self::Jpeg(jpeg) => jpeg.look(),
            Self::Tiff(tiff) => tiff.look(),
        }
    }

    /// Decodes the current page into `plane` after `plane` of little-endian values, which `out` is as long as. Whether every
    /// pixel is opaque.
    ///
    /// # Errors
    /// A damaged picture; one that is not like `expected`.
    pub fn decode(&mut self, expected: &Look, out: &mut [u8]) -> Result<bool> {
        let look = self.look()?;
        if !look.is_like(expected) {
            return Err(Failure::new(format!("it changed: {look}, just now {expected}")));
        }
        let samples = look.channels + usize::from(look.alpha);
        let size = look.element.size();
        let mut pixels = vec![0; look.width * look.height * samples * size];
        let is_planar = match self {
            Self::Png(png) => png.decode(&mut pixels).map(|()| false)?,
            Self::Jpeg(jpeg) => jpeg.decode(&mut pixels).map(|()| false)?,
            Self::Tiff(tiff) => tiff.decode(&mut pixels)?,
        };
        if NATIVE == ByteOrder::Big {
            pixels.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        let plane = look.width * look.height * size;
        if is_planar || samples == 1 {
            out.copy_from_slice(&pixels[..out.len()]);
            return Ok(!look.alpha || all_opaque(&pixels[out.len()..], 1, 0, look.element));
        }
        for (channel, out) in out.chunks_exact_mut(plane).enumerate() {
            split(&pixels, samples, channel, size, out);
        }
        Ok(!look.alpha || all_opaque(&pixels, samples, look.channels, look.element))
    }
}

/// Copies one of the `samples` of each pixel.
fn split(pixels: &[u8], samples: usize, sample: usize, size: usize, out: &mut [u8]) {
    match size {
        // Pictures of a byte a sample are the usual ones.
        1 => out.iter_mut().zip(pixels[sample..].iter().step_by(samples)).for_each(|(o, p)| *o = *p),
        _ => {
            let from = pixels.chunks_exact(samples * size);
            out.chunks_exact_mut(size)
                .zip(from)
                .for_each(|(o, p)| o.copy_from_slice(&p[sample * size..(sample + 1) * size]));
        }
    }
}

/// Whether this sample of every pixel is as large as can be.
fn all_opaque(pixels: &[u8], samples: usize, sample: usize, element: Element) -> bool {
    let size = element.size();
    let full: Vec<u8> = match element {
        Element::F16 => vec![0, 0x3c],
        Element::F32 => 1f32.to_le_bytes().to_vec(),
        Element::F64 => 1f64.to_le_bytes().to_vec(),
        Element::U8 | Element::U16 | Element::U32 | Element::U64 => vec![0xff; size],
        _ => [vec![0xff; size - 1], vec![0x7f]].concat(),
    };
    pixels.chunks_exact(samples * size).all(|p| p[sample * size..(sample + 1) * size] == full)
}

/// Planes as pixels, each with its values side by side: what formats store.
pub fn interleave(planes: &[u8], channels: usize, size: usize) -> Vec<u8> {
    let plane = planes.len() / channels;
    let mut pixels = vec![0; planes.len()];
    for (channel, values) in planes.chunks_exact(plane).enumerate() {
        let to = pixels.chunks_exact_mut(channels * size);
        to.zip(values.chunks_exact(size))
            .for_each(|(p, v)| p[channel * size..(channel + 1) * size].copy_from_slice(v));
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_and_pixels_are_the_same_values() {
        for size in [1, 2, 4] {
            let planes: Vec<u8> = (0..3 * 10 * size as u8).collect();
            let pixels = interleave(&planes, 3, size);
            assert_ne!(pixels, planes);
            for channel in 0..3 {
                let mut plane = vec![0; 10 * size];
                split(&pixels, 3, channel, size, &mut plane);
                assert_eq!(plane, planes[channel * 10 * size..(channel + 1) * 10 * size]);
            }
        }
    }

    #[test]
    fn opacity_is_the_largest_value() {
        assert!(all_opaque(&[1, 255, 2, 255], 2, 1, Element::U8));
        assert!(!all_opaque(&[1, 255, 2, 254], 2, 1, Element::U8));
        assert!(all_opaque(&[0xff, 0x7f], 1, 0, Element::I16));
        assert!(!all_opaque(&[0xff, 0xff], 1, 0, Element::I16));
    }

    #[test]
    fn sizes_that_no_memory_holds_are_refused() {
        let look = Look { width: 1 << 31, height: 1 << 31, channels: 3, alpha: true, element: Element::U16 };
        assert!(look.checked(1 << 40).is_err_and(|e| e.to_string().contains("more than 4.29 GB")));
        assert!(Look { width: 0, ..look }.checked(1 << 40).is_err());
        assert!(Look { width: 1 << 15, height: 1 << 15, ..look }.checked(1 << 40).is_err());
        let large = Look { width: 1 << 15, height: 1 << 14, ..look };
        assert!(large.checked(1 << 20).is_ok());
        assert!(large
            .checked(1 << 10)
            .is_err_and(|e| e.to_string().contains("a file of 1.02 kB cannot hold")));
    }
}
