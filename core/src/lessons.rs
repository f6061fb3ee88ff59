//! What a corrector would read in a chunk, for those who train one.
//!
//! What the codec has before it while it codes is not what the original values would give: decoded neighbours carry errors
//! that depend on the bound, on the fitted weights and on forecasts. So the encoder itself hands out inputs and targets, at
//! the points where a corrector would be asked.

use crate::codec;
use crate::error::Result;
use crate::params::Params;
pub use crate::predict::corrector::{CHANNELS, GRAPH, ONE};

/// What stands for 1 in the units of a correction among a corrector's outputs.
pub const OUTPUT_ONE: i32 = 1 << crate::predict::corrector::OUTPUT_BITS;

/// What is asked of a corrector at some points.
pub struct Lesson<'a> {
    /// \[channel\]\[point\]; the points of a channel follow each other, `stride` from one channel to the next.
    pub inputs: &'a [i16],
    /// See `inputs`.
    pub stride: usize,
    /// The unit of a correction at each point, in grid units.
    pub spread: &'a [i32],
    /// What the linear prediction misses at each point, in grid units.
    pub missed: &'a [i32],
    /// The points that count, ascending; what stands at others is without meaning.
    pub points: &'a [usize],
    /// Grid units per quantisation step.
    pub step: i32,
    /// Their weight class: the encoder corrects all points of one in a chunk, or none.
    pub class: usize,
}

/// Encodes a chunk as [`encode`](crate::encode) does, and shows what a corrector would be asked, run by run, perhaps from
/// several threads: nothing where the chunk is not predicted by the multiscale predictor.
///
/// # Errors
/// As [`encode`](crate::encode).
pub fn lessons(params: &Params, raw: &[u8], show: &(dyn Fn(&Lesson) + Sync)) -> Result<Vec<u8>> {
    codec::encode_shown(params, raw, None, Some(show))
}
