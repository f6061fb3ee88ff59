//! TIFF and BigTIFF, of one page or many: grey and RGB, integers and floats of 8 to 64 bits, in strips or tiles, by pixel
//! or by plane.

use super::{Look, LARGEST};
use crate::failure::{Failure, Result};
use crate::h5::element::Element;
use std::fs::File;
use std::io::BufReader;
use tiff::decoder::{Decoder, DecodingSampleType as Sample, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

/// Values of the tag ExtraSamples that stand for opacity.
const ALPHA: [u16; 2] = [1, 2];

/// An open TIFF file, at one of its pages, and its length.
pub struct Tiff(Decoder<BufReader<File>>, u64);

impl Tiff {
    pub(super) fn open(reader: BufReader<File>, length: u64) -> Result<Self> {
        let mut limits = Limits::default();
        limits.decoding_buffer_size = LARGEST as usize;
        limits.intermediate_buffer_size = LARGEST as usize;
        // The offsets of a page's strips: enough for a million of them.
        limits.ifd_value_size = 16 << 20;
        Ok(Self(Decoder::new(reader).map_err(failed)?.with_limits(limits), length))
    }

    /// Whether a page follows.
    pub fn has_more(&self) -> bool {
        self.0.more_images()
    }

    /// Goes on to the page that follows.
    ///
    /// # Errors
    /// A damaged file.
    pub fn next(&mut self) -> Result<()> {
        self.0.next_image().map_err(failed)
    }

    /// Goes to a page, counted from 0.
    ///
    /// # Errors
    /// A damaged file.
    pub fn seek(&mut self, page: usize) -> Result<()> {
        self.0.seek_to_image(page).map_err(failed)
    }

    /// How many frames ImageJ says to have put behind each other as one page, as it does beyond 4 GB.
    pub fn hidden_frames(&mut self) -> Option<usize> {
        let text = self.0.find_tag(Tag::ImageDescription).ok()??.into_string().ok()?;
        if !text.starts_with("ImageJ=") || self.has_more() {
            return None;
        }
        let stated = text.lines().find_map(|l| l.strip_prefix("images="))?.trim().parse().ok()?;
        (stated > 1).then_some(stated)
    }

    pub(super) fn look(&mut self) -> Result<Look> {
        let (width, height) = self.0.dimensions().map_err(failed)?;
        let colour = self.0.colortype().map_err(failed)?;
        let (channels, alpha) = match colour {
            ColorType::Gray(_) => (1, false),
            ColorType::RGB(_) => (3, false),
            ColorType::RGBA(_) => (3, true),
            ColorType::Multiband { num_samples: 2, .. } if self.last_is_alpha() => (1, true),
            other => {
                return Err(Failure::new(format!(
                    "its pixels are of a kind that is not taken ({other:?}): store it as grey or RGB"
                )))
            }
        };
        let layout = self.0.image_buffer_layout().map_err(failed)?;
        let (element, bits) = match layout.sample_type {
            Some(Sample::U8) => (Element::U8, 8),
            Some(Sample::U16) => (Element::U16, 16),
            Some(Sample::U32) => (Element::U32, 32),
            Some(Sample::U64) => (Element::U64, 64),
            Some(Sample::I8) => (Element::I8, 8),
            Some(Sample::I16) => (Element::I16, 16),
            Some(Sample::I32) => (Element::I32, 32),
            Some(Sample::I64) => (Element::I64, 64),
            Some(Sample::F16) => (Element::F16, 16),
            Some(Sample::F32) => (Element::F32, 32),
            Some(Sample::F64) => (Element::F64, 64),
            None => return Err(Failure::new("its values are of a type that is not known")),
        };
        if colour.bit_depth() != bits {
            return Err(Failure::new(format!(
                "its values have {} bits: store it with 8 or 16",
                colour.bit_depth()
            )));
        }
        let look = Look { width: width as usize, height: height as usize, channels, alpha, element }
            .checked(self.1)?;
        let expected = (channels + usize::from(alpha)) * width as usize * height as usize * element.size();
        if layout.complete_len != expected {
            return Err(Failure::new("its pixels are laid out in a way that is not taken"));
        }
        Ok(look)
    }

    fn last_is_alpha(&mut self) -> bool {
        let extra = self.0.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples).ok().flatten();
        extra.is_some_and(|e| e.last().is_some_and(|last| ALPHA.contains(last)))
    }

    /// Decodes the page; whether its values are plane after plane.
    pub(super) fn decode(&mut self, pixels: &mut [u8]) -> Result<bool> {
        let planes = self.0.image_buffer_layout().map_err(failed)?.planes;
        self.0.read_image_bytes(pixels).map_err(failed)?;
        Ok(planes > 1)
    }
}

fn failed(e: TiffError) -> Failure {
    Failure::new(format!("it is damaged or not readable: {e}"))
}
