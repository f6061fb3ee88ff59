//! The channels that a layer reads, wherever they lie.

use super::graph::Element;
use super::packed::{per_word, Layout, BEFORE};

/// Neighbouring groups of channels of one node.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// What [`Buffer::words`](super::packed::Buffer::words) gives.
    pub words: &'a [u32],
    pub layout: Layout,
    /// The first group of channels.
    pub from: usize,
    pub groups: usize,
}

/// The channels of a node, one part after the other, each of whole words.
pub struct Source<'a> {
    pub parts: Vec<Part<'a>>,
    pub element: Element,
    pub channels: usize,
}

impl<'a> Source<'a> {
    /// Columns of group `g` in row `r`, if there is such a group.
    pub fn group(&self, r: usize, mut g: usize) -> Option<&'a [u32]> {
        for part in &self.parts {
            if g < part.groups {
                let layout = &part.layout;
                let at = r * layout.row() + (part.from + g) * layout.stride() + BEFORE;
                return Some(&part.words[at..at + layout.size[2]]);
            }
            g -= part.groups;
        }
        None
    }

    /// Channel `c` in row `r`: the words that it lies in, and at which bit.
    pub fn channel(&self, r: usize, c: usize) -> Option<(&'a [u32], u32)> {
        let n = per_word(self.element);
        Some((self.group(r, c / n)?, (c % n * 32 / n) as u32))
    }
}
