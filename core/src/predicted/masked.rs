//! The special points of the frame that is being walked, plane by plane: land is the same in every frame, and some frames have
//! none.

use crate::marks;
use crate::predict::plane::Pyramid;
use crate::predict::RunAt;
use std::ops::Range;

/// The special points of a frame.
#[derive(Default)]
pub struct Masked<'a> {
    /// Marks of all points of the chunk, if any point is special.
    all: Option<&'a [u8]>,
    /// Those of the frame.
    frame: &'a [u8],
    any: bool,
    /// Those of its planes, if there are any.
    planes: Pyramid<u8>,
}

impl<'a> Masked<'a> {
    /// Of the chunk with these marks.
    pub fn new(all: Option<&'a [u8]>) -> Self {
        Self { all, ..Self::default() }
    }

    /// Turns to the frame of these points, in rows of `width`.
    pub fn begin(&mut self, points: Range<usize>, width: usize) {
        let Some(frame) = self.all.map(|all| &all[points]) else { return };
        if frame == self.frame {
            return;
        }
        self.frame = frame;
        self.any = marks::runs(frame).next().is_some();
        if self.any {
            self.planes.fill(frame, width);
        }
    }

    /// Marks of `n` points of a run, its rows one after the other in memory, if the frame has any.
    pub fn of(&self, at: RunAt, first: usize, n: usize) -> Option<&[u8]> {
        self.any.then(|| {
            let plane = &self.planes.levels[at.level][at.phase];
            &plane.from(0, 0)[at.row * plane.stride() + at.column + first..][..n]
        })
    }
}
