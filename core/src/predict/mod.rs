//! Predictors: from the references and the points already decoded to a prediction of each point.
//!
//! A predictor walks over the points of a chunk run by run and hands each run, with its predictions and
//! contexts, to a [`Coder`]: the encoder's quantises and records, the decoder's decodes. Both walk the same
//! way because it is the same code.

pub mod blockwise;
mod choice;
pub mod classes;
pub mod contexts;
#[cfg(target_arch = "x86_64")]
mod contexts_narrow;
#[cfg(target_arch = "x86_64")]
mod contexts_wide;
pub mod corrector;
pub mod cost;
pub mod dot;
pub mod effort;
pub mod fit;
pub mod gram;
mod inputs;
pub mod kernel;
pub mod lorenzo;
pub mod multiscale;
pub mod plane;
pub mod taps;
pub mod weighted;
pub mod weights;

use corrector::Reading;

/// Where a run of points lies: rows of a plane of the frame's pyramid.
#[derive(Clone, Copy, Debug)]
pub struct RunAt {
    /// Frame of the chunk.
    pub frame: usize,
    /// Level of the pyramid.
    pub level: usize,
    /// Phase of the level's lattice.
    pub phase: usize,
    /// First row of the plane.
    pub row: usize,
    /// First column of the plane.
    pub column: usize,
    /// Number of rows.
    pub rows: usize,
    /// Points of each row.
    pub width: usize,
    /// From one row to the next in the slices that come with the run.
    pub stride: usize,
}

impl RunAt {
    /// Length of the slices that come with the run: up to the last point of the last row.
    pub fn span(&self) -> usize {
        (self.rows - 1) * self.stride + self.width
    }
}

/// Most points of a run, unless a row has more: few enough for what is computed on the way to stay near.
pub const RUN_POINTS: usize = 4096;

/// What turns predictions into values: the encoder's half or the decoder's.
pub trait Coder {
    /// Announces the frame whose runs follow.
    fn begin(&mut self, frame: usize);
    /// Codes the points of a run: sets `values` and `activity` (the magnitudes of the residuals, at most 255) from the
    /// predictions and contexts. What the slices hold between the rows is without meaning.
    fn run(&mut self, at: RunAt, predicted: &[i32], contexts: &[u8], values: &mut [i32], activity: &mut [u8]);
    /// Codes row `y` of a frame. With `running` the prediction runs along it: value = base + (value - base of the point
    /// before) + residual; otherwise base is the prediction.
    #[allow(clippy::too_many_arguments)]
    fn row(
        &mut self,
        frame: usize,
        y: usize,
        running: bool,
        base: &[i32],
        contexts: &[u8],
        values: &mut [i32],
        activity: &mut [u8],
    );
    /// Sees what a network corrected, before the points are coded.
    fn corrected(&mut self, at: RunAt, reading: &Reading) {
        let _ = (at, reading);
    }
    /// Whether something went wrong, so that there is no use in going on.
    fn failed(&self) -> bool {
        false
    }
    /// Whether the walk is the last that is done with the chunk. Otherwise what follows is to have its memory.
    fn is_last(&self) -> bool {
        false
    }
    /// Takes the finished frame: `row(y, out)` gives its rows.
    fn frame(&mut self, frame: usize, row: &mut dyn FnMut(usize, &mut [i32]));
}

/// A band of rows of every frame, coded on its own so that bands can be coded at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// First row in the frame.
    pub top: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// Numbers of the prediction that hold for the whole chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Grid units per quantisation step.
    pub step: i32,
    /// Fraction bits of the weights.
    pub shift: u32,
    /// Smallest and largest value of the grid that occur; predictions are clamped to them.
    pub low: i32,
    /// See `low`.
    pub high: i32,
}

impl Scale {
    /// How sums of weighted neighbours become predictions.
    pub fn rounding(&self) -> weighted::Rounding {
        weighted::Rounding { shift: self.shift, low: self.low, high: self.high }
    }
}
