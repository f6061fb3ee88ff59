//! Frames written as pictures.

use super::{interleave, Look};
use crate::failure::{Failure, Result};
use crate::h5::element::Element;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;
use std::rc::Rc;
use tiff::encoder::colortype as kind;
use tiff::encoder::{
    Compression, DeflateLevel, Predictor, TiffEncoder, TiffKind, TiffKindBig, TiffKindStandard,
};
use tiff::{TiffError, TiffResult};

// The fast levels of deflate write ten times as fast as the usual ones (measured on 16-bit frames), for files a
// quarter larger.

/// Bytes of pixels from which on a stack needs the 64-bit offsets of BigTIFF; a margin is left for what
/// does not compress.
const BIG: u64 = 3_900_000_000;

/// A format of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lossless, 8 and 16 bits unsigned.
    Png,
    /// Lossless, nearly every type.
    Tiff,
    /// Lossy, 8 bits, with this quality of 1 to 100.
    Jpeg(u8),
}

impl Format {
    /// What names of files end with.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Tiff => "tif",
            Self::Jpeg(_) => "jpg",
        }
    }

    /// Whether it holds values of this type.
    pub fn holds(self, channels: usize, element: Element) -> bool {
        use Element::{F16, I16, I32, I64, I8, U16, U8};
        match self {
            Self::Png => matches!(element, U8 | U16),
            Self::Jpeg(_) => element == U8,
            Self::Tiff if channels == 1 => element != F16,
            Self::Tiff => !matches!(element, F16 | I8 | I16 | I32 | I64),
        }
    }

    /// Which types it holds, for people.
    pub fn types(self) -> &'static str {
        match self {
            Self::Png => "PNG holds uint8 and uint16",
            Self::Tiff => "TIFF holds integers, float32 and float64, and in RGB no signed integers",
            Self::Jpeg(_) => "JPEG holds uint8",
        }
    }
}

/// Writes one picture from planes of values in this machine's byte order.
///
/// # Errors
/// What the disk or the format refuses.
pub fn picture(format: Format, look: &Look, planes: &[u8], path: &Path) -> Result<()> {
    if format == Format::Tiff {
        let mut stack = Stack::create(path, look, look.bytes() as u64)?;
        return stack.page(planes).and_then(|()| stack.finish());
    }
    let pixels = match look.channels {
        1 => planes.to_vec(),
        n => interleave(planes, n, look.element.size()),
    };
    let colour = match (look.channels, look.element) {
        (1, Element::U8) => ExtendedColorType::L8,
        (1, _) => ExtendedColorType::L16,
        (_, Element::U8) => ExtendedColorType::Rgb8,
        _ => ExtendedColorType::Rgb16,
    };
    let size = extents(look)?;
    let mut file = create(path)?;
    let encoded = match format {
        Format::Jpeg(quality) => {
            JpegEncoder::new_with_quality(&mut file, quality).write_image(&pixels, size.0, size.1, colour)
        }
        _ => PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive)
            .write_image(&pixels, size.0, size.1, colour),
    };
    encoded.map_err(|e| Failure::new(e.to_string()))?;
    file.flush().map_err(|e| Failure::new(e.to_string()))
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    File::create(path).map(BufWriter::new).map_err(|e| Failure::new(e.to_string()))
}

fn extents(look: &Look) -> Result<(u32, u32)> {
    match (u32::try_from(look.width), u32::try_from(look.height)) {
        (Ok(width), Ok(height)) => Ok((width, height)),
        _ => Err(Failure::new(format!("{look}: no format of pictures holds that many"))),
    }
}

/// A TIFF file, to which page after page is written.
pub struct Stack {
    encoder: Encoder,
    file: Shared,
    look: Look,
}

enum Encoder {
    Standard(TiffEncoder<Shared, TiffKindStandard>),
    Big(TiffEncoder<Shared, TiffKindBig>),
}

/// A file that can still be flushed, and asked whether that went well, when an encoder has it for good.
#[derive(Clone)]
struct Shared(Rc<RefCell<BufWriter<File>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}

impl Seek for Shared {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.borrow_mut().seek(to)
    }
}

impl Stack {
    /// Creates the file for pages that look like this, of `bytes` together.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn create(path: &Path, look: &Look, bytes: u64) -> Result<Self> {
        use Element::{F32, F64};
        let how = Compression::Deflate(DeflateLevel::Fast);
        // Differences along the rows have no meaning for the bits of floats.
        let is_float = matches!(look.element, F32 | F64);
        let predictor = if is_float { Predictor::None } else { Predictor::Horizontal };
        let file = Shared(Rc::new(RefCell::new(create(path)?)));
        let encoder = match bytes < BIG {
            true => TiffEncoder::new(file.clone())
                .map(|e| Encoder::Standard(e.with_compression(how).with_predictor(predictor))),
            false => TiffEncoder::new_big(file.clone())
                .map(|e| Encoder::Big(e.with_compression(how).with_predictor(predictor))),
        };
        Ok(Self { encoder: encoder.map_err(failed)?, file, look: *look })
    }

    /// Appends a page from planes of values in this machine's byte order.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn page(&mut self, planes: &[u8]) -> Result<()> {
        match &mut self.encoder {
            Encoder::Standard(encoder) => page(encoder, &self.look, planes),
            Encoder::Big(encoder) => page(encoder, &self.look, planes),
        }
    }

    /// Writes what is left to the file.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn finish(mut self) -> Result<()> {
        self.file.flush().map_err(|e| Failure::new(e.to_string()))
    }
}

fn page<W: Write + Seek, K: TiffKind>(
    encoder: &mut TiffEncoder<W, K>,
    look: &Look,
    planes: &[u8],
) -> Result<()> {
    let pixels = match look.channels {
        1 => planes.to_vec(),
        n => interleave(planes, n, look.element.size()),
    };
    let (w, h) = extents(look)?;
    macro_rules! write {
        ($number:ty, $grey:ty, $rgb:ty) => {{
            let (whole, _) = pixels.as_chunks();
            let values: Vec<$number> = whole.iter().map(|b| <$number>::from_ne_bytes(*b)).collect();
            match look.channels {
                1 => encoder.write_image::<$grey>(w, h, &values),
                _ => encoder.write_image::<$rgb>(w, h, &values),
            }
        }};
        ($number:ty, $grey:ty) => {{
            let (whole, _) = pixels.as_chunks();
            let values: Vec<$number> = whole.iter().map(|b| <$number>::from_ne_bytes(*b)).collect();
            match look.channels {
                1 => encoder.write_image::<$grey>(w, h, &values),
                _ => Err(unheld()),
            }
        }};
    }
    let written: TiffResult<()> = match look.element {
        Element::U8 => write!(u8, kind::Gray8, kind::RGB8),
        Element::U16 => write!(u16, kind::Gray16, kind::RGB16),
        Element::U32 => write!(u32, kind::Gray32, kind::RGB32),
        Element::U64 => write!(u64, kind::Gray64, kind::RGB64),
        Element::F32 => write!(f32, kind::Gray32Float, kind::RGB32Float),
        Element::F64 => write!(f64, kind::Gray64Float, kind::RGB64Float),
        Element::I8 => write!(i8, kind::GrayI8),
        Element::I16 => write!(i16, kind::GrayI16),
        Element::I32 => write!(i32, kind::GrayI32),
        Element::I64 => write!(i64, kind::GrayI64),
        Element::F16 => Err(unheld()),
    };
    written.map_err(failed)
}

fn unheld() -> TiffError {
    TiffError::IoError(io::Error::other(Format::Tiff.types()))
}

fn failed(e: TiffError) -> Failure {
    Failure::new(e.to_string())
}
