//! Where a new dataset's elements come from.

use crate::boxes;
use crate::failure::Result;
use crate::h5::element::Element;
use augur_core::ByteOrder;

/// An array that can be read box by box.
pub trait Source {
    /// Its extents.
    fn shape(&self) -> &[usize];

    /// Type of its elements, and the byte order in which [`Source::read`] gives them.
    fn element(&self) -> (Element, ByteOrder);

    /// Extents, in whole chunks, of the boxes that it is best read in.
    fn step(&self, chunk: &[usize]) -> Vec<usize> {
        boxes::step(self.shape(), chunk, None, self.element().0.size())
    }

    /// Reads the box at `start` with extents `count` into `out`, which is as long as it.
    ///
    /// # Errors
    /// What cannot be read, by its name.
    fn read(&mut self, start: &[usize], count: &[usize], out: &mut [u8]) -> Result<()>;
}
