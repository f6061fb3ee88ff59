//! Predictors: from the references and the points already decoded to a prediction of each point.
//!
//! A predictor walks over the points of a chunk row by row and hands each row, with its predictions and
//! contexts, to a [`RowCoder`]: the encoder's quantises and records, the decoder's decodes. Both walk the same
//! way because it is the same code.

pub mod cost;
pub mod fit;
pub mod gram;
pub mod kernel;
pub mod lorenzo;
pub mod multiscale;
pub mod plane;
pub mod taps;
pub mod weights;

/// Where a row of points lies in its frame.
#[derive(Clone, Copy, Debug)]
pub struct RowAt {
    /// Frame of the chunk.
    pub frame: usize,
    /// Row within the band.
    pub y: usize,
    /// Column of the first point.
    pub x: usize,
    /// Columns from one point to the next.
    pub stride: usize,
}

/// What turns predictions into values: the encoder's half or the decoder's.
pub trait RowCoder {
    /// Codes the points of a row: sets `values` and `activity` (the magnitudes of the residuals) from the
    /// predictions and contexts. All slices have the length of the row.
    fn row(&mut self, at: RowAt, predicted: &[i32], contexts: &[u8], values: &mut [i32], activity: &mut [u8]);
    /// Codes a row whose prediction runs along it: value = base + (value - base of the point before) + residual.
    fn running_row(
        &mut self,
        at: RowAt,
        base: &[i32],
        contexts: &[u8],
        values: &mut [i32],
        activity: &mut [u8],
    );
    /// Whether something went wrong, so that there is no use in going on.
    fn failed(&self) -> bool {
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
