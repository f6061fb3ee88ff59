//! PNG: grey and RGB of 8 and 16 bits; palettes and fewer bits are expanded to 8.

use super::{Look, LARGEST};
use crate::failure::{Failure, Result};
use crate::h5::element::Element;
use image::codecs::png::PngDecoder;
use image::{ColorType, ImageDecoder, Limits};
use std::fs::File;
use std::io::BufReader;

/// An open PNG file.
pub struct Png(Option<PngDecoder<BufReader<File>>>, Look);

impl Png {
    pub(super) fn open(reader: BufReader<File>, length: u64) -> Result<Self> {
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(LARGEST);
        let decoder = PngDecoder::with_limits(reader, limits).map_err(failed)?;
        if decoder.is_apng().map_err(failed)? {
            return Err(Failure::new("it is an animation: make a picture of each of its frames"));
        }
        let look = look(&decoder, length)?;
        Ok(Self(Some(decoder), look))
    }

    pub(super) fn look(&self) -> Result<Look> {
        Ok(self.1)
    }

    pub(super) fn decode(&mut self, pixels: &mut [u8]) -> Result<()> {
        let decoder = self.0.take().ok_or_else(|| Failure::new("it was read already"))?;
        decoder.read_image(pixels).map_err(failed)
    }
}

/// What `image` says of a picture that it decodes.
pub(super) fn look(decoder: &impl ImageDecoder, length: u64) -> Result<Look> {
    let (width, height) = decoder.dimensions();
    let colour = decoder.color_type();
    let element = match colour {
        ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8 => Element::U8,
        ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16 => Element::U16,
        other => return Err(Failure::new(format!("its pixels are of a kind that is not taken: {other:?}"))),
    };
    Look {
        width: width as usize,
        height: height as usize,
        channels: if colour.has_color() { 3 } else { 1 },
        alpha: colour.has_alpha(),
        element,
    }
    .checked(length)
}

pub(super) fn failed(e: image::ImageError) -> Failure {
    Failure::new(format!("it is damaged or not readable: {e}"))
}
