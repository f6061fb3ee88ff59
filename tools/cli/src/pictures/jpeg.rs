//! JPEG: grey and colour of 8 bits.

use super::png::{failed, look};
use super::Look;
use crate::failure::{Failure, Result};
use image::codecs::jpeg::JpegDecoder;
use image::ImageDecoder;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};

/// A JPEG file's bytes, and what they show.
pub struct Jpeg(Vec<u8>, Look);

impl Jpeg {
    pub(super) fn open(mut reader: BufReader<File>, length: u64) -> Result<Self> {
        let mut bytes = vec![];
        reader.read_to_end(&mut bytes).map_err(|e| Failure::new(e.to_string()))?;
        let look = look(&JpegDecoder::new(Cursor::new(bytes.as_slice())).map_err(failed)?, length)?;
        // The decoder fills up with grey what is missing.
        if !is_complete(&bytes) {
            return Err(Failure::new("it is damaged or not readable: it ends before the picture does"));
        }
        Ok(Self(bytes, look))
    }

    pub(super) fn look(&self) -> Result<Look> {
        Ok(self.1)
    }

    pub(super) fn decode(&mut self, pixels: &mut [u8]) -> Result<()> {
        let decoder = JpegDecoder::new(Cursor::new(self.0.as_slice())).map_err(failed)?;
        decoder.read_image(pixels).map_err(failed)
    }
}

/// Whether the end of the image (FF D9) follows its last scan (FF DA); neither occurs in coded pixels.
fn is_complete(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|w| w == [0xff, marker]);
    matches!((last(0xda), last(0xd9)), (Some(scan), Some(end)) if scan < end)
}
