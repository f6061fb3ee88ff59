//! Frames from pictures: one of each PNG and JPEG, one of each page of a TIFF.

use super::source::Source;
use crate::failure::{Failure, Result};
use crate::h5::element::Element;
use crate::pictures::{Look, Picture};
use augur_core::ByteOrder;
use std::path::{Path, PathBuf};

/// Bytes of frames that are held at once; where a row of chunks needs more, its frames are decoded once for
/// each band of rows.
const MEMORY: usize = 1 << 30;

/// Pictures in the order of their time steps, all of one look.
pub struct Frames {
    files: Vec<PathBuf>,
    /// File and page of each frame.
    frames: Vec<(usize, usize)>,
    look: Look,
    shape: Vec<usize>,
    drop_alpha: bool,
    /// The file that is open, and its page.
    open: Option<(usize, usize, Picture)>,
    /// Whether an opaque layer of opacity was left out.
    pub had_alpha: bool,
}

impl Frames {
    /// Looks at every picture.
    ///
    /// # Errors
    /// A file that is no picture or damaged, by its name; two frames that differ, by the names of both.
    pub fn open(files: Vec<PathBuf>, drop_alpha: bool) -> Result<Self> {
        let mut first: Option<(Look, String)> = None;
        let mut frames = vec![];
        let mut had_alpha = false;
        for (index, path) in files.iter().enumerate() {
            let doing = |e: Failure| e.while_doing(path.display());
            let mut picture = Picture::open(path).map_err(doing)?;
            let mut page = 0;
            loop {
                let here = || name(path, page, page > 0);
                let look = picture.look().map_err(|e| e.while_doing(here()))?;
                had_alpha |= look.alpha;
                match &first {
                    Some((known, whose)) if !known.is_like(&look) => {
                        return Err(Failure::new(format!(
                            "the pictures differ: {} has {look}, but {whose} has {known}; all frames of a dataset are alike",
                            here()
                        )))
                    }
                    Some(_) => {}
                    None => first = Some((look, here())),
                }
                frames.push((index, page));
                let Picture::Tiff(tiff) = &mut picture else { break };
                if let (0, Some(hidden)) = (page, tiff.hidden_frames()) {
                    return Err(Failure::new(format!(
                        "{}: ImageJ put its {hidden} frames behind each other without pages; import them as raw \
                         numbers (--shape, --dtype), or store the stack as BigTIFF",
                        path.display()
                    )));
                }
                if !tiff.has_more() {
                    break;
                }
                page += 1;
                tiff.next().map_err(|e| e.while_doing(name(path, page, true)))?;
            }
        }
        let (look, _) = first.ok_or_else(|| Failure::new("there is no picture to import"))?;
        let shape = [vec![frames.len()], look.shape()].concat();
        Ok(Self { files, frames, look, shape, drop_alpha, open: None, had_alpha })
    }

    /// Decodes one frame.
    fn decode(&mut self, frame: usize, out: &mut [u8]) -> Result<()> {
        let (file, page) = self.frames[frame];
        let path = &self.files[file];
        let failed = |e: Failure| e.while_doing(name(path, page, page > 0));
        let picture = match &mut self.open {
            // A TIFF gives page after page, and the same again; the others are decoded once.
            Some((f, p, picture @ Picture::Tiff(_))) if *f == file => {
                if let (true, Picture::Tiff(tiff)) = (*p != page, &mut *picture) {
                    tiff.seek(page).map_err(failed)?;
                    *p = page;
                }
                picture
            }
            open => {
                let mut picture = Picture::open(path).map_err(failed)?;
                if let (true, Picture::Tiff(tiff)) = (page > 0, &mut picture) {
                    tiff.seek(page).map_err(failed)?;
                }
                &mut open.insert((file, page, picture)).2
            }
        };
        let opaque = picture.decode(&self.look, out).map_err(failed)?;
        if !opaque && !self.drop_alpha {
            return Err(failed(Failure::new(
                "some of its pixels are transparent, for which a dataset of grey or RGB has no place; --drop-alpha imports their colours alone",
            )));
        }
        Ok(())
    }
}

fn name(path: &Path, page: usize, many: bool) -> String {
    match many {
        true => format!("{} (page {})", path.display(), page + 1),
        false => path.display().to_string(),
    }
}

impl Source for Frames {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn element(&self) -> (Element, ByteOrder) {
        (self.look.element, ByteOrder::Little)
    }

    /// All of a row of chunks, or as many rows of pixels as memory allows.
    fn step(&self, chunk: &[usize]) -> Vec<usize> {
        let mut step = self.shape.clone();
        step[0] = chunk[0];
        let rows = step.len() - 2;
        let row = step.iter().product::<usize>() / step[rows] * self.look.element.size();
        step[rows] = step[rows].min((MEMORY / row.max(1) / chunk[rows]).max(1) * chunk[rows]);
        step
    }

    fn read(&mut self, start: &[usize], count: &[usize], out: &mut [u8]) -> Result<()> {
        let bytes = self.look.bytes();
        let rows = count.len() - 2;
        let is_whole = count[rows] == self.shape[rows];
        let mut frame = if is_whole { vec![] } else { vec![0; bytes] };
        for (i, out) in out.chunks_exact_mut(bytes / self.shape[rows] * count[rows]).enumerate() {
            if is_whole {
                self.decode(start[0] + i, out)?;
                continue;
            }
            self.decode(start[0] + i, &mut frame)?;
            let (row, channels) = (self.look.width * self.look.element.size(), self.look.channels);
            let (plane, band) = (frame.len() / channels, out.len() / channels);
            for (from, to) in frame.chunks_exact(plane).zip(out.chunks_exact_mut(band)) {
                to.copy_from_slice(&from[start[rows] * row..][..band]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_frames_are_read_in_bands() {
        let look = Look { width: 30_000, height: 20_000, channels: 3, alpha: false, element: Element::U16 };
        let shape = vec![40, 3, 20_000, 30_000];
        let frames = Frames {
            files: vec![],
            frames: vec![],
            look,
            shape,
            drop_alpha: false,
            open: None,
            had_alpha: false,
        };
        let step = frames.step(&[16, 1, 250, 600]);
        assert_eq!(step, [16, 3, 250, 30_000]);
        assert!(step.iter().product::<usize>() * 2 <= MEMORY);
        assert_eq!(frames.step(&[1, 1, 250, 600])[2] % 250, 0);
    }
}
