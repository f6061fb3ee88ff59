//! The codec's stages one by one, for the benchmarks (feature `bench`): no part of the interface.

use crate::chunk::Frames;
use crate::entropy::bits::zigzag;
use crate::entropy::tables::{Histogram, Table};
use crate::entropy::{rans, split_large, DIRECT};
use crate::grid::{Extent, Grid};
use crate::predict::fit::{self, fit, Samples};
use crate::predict::kernel::{quantise, reconstruct};
use crate::predict::multiscale::{self, Model};
use crate::predict::weights::Sent;
use crate::predict::{lorenzo, Band, RowAt, RowCoder, Scale};
use crate::predicted::mapped::{map, Mapped, Writing};
use crate::predicted::side::CONTEXT_COUNT;
use crate::reference::{coding_order, Step, TimeOrder};
use crate::special::Special;
use crate::{lossless, Bound, Result};

pub use crate::lossless::compress;
pub use crate::predict::kernel;
pub use crate::predict::lorenzo::Neighbours;

/// A chunk of float32 with what the stages before each stage made of it.
pub struct Stages {
    raw: Vec<u8>,
    frames: Frames,
    special: Special,
    extent: Extent,
    grid: Grid,
    mapped: Mapped,
    plan: Vec<Step>,
    scale: Scale,
    sent: Vec<Sent>,
    coded: Recorder,
    tables: Vec<Table>,
}

/// Quantises and records, as the encoder does, without its checks.
#[derive(Clone, Default)]
struct Recorder {
    grid: Vec<i32>,
    frames: Option<Frames>,
    step: i32,
    symbols: Vec<u8>,
    contexts: Vec<u8>,
    rows: Vec<u32>,
    value: Vec<i32>,
    q: Vec<i32>,
}

impl Recorder {
    fn record(&mut self, contexts: &[u8]) {
        for (q, c) in self.q.iter().zip(contexts) {
            self.symbols.push(if q.unsigned_abs() <= DIRECT { zigzag(*q) as u8 } else { split_large(*q).0 });
            self.contexts.push(*c);
        }
        self.rows.push(contexts.len() as u32);
    }
}

impl RowCoder for Recorder {
    fn row(
        &mut self,
        at: RowAt,
        predicted: &[i32],
        contexts: &[u8],
        values: &mut [i32],
        activity: &mut [u8],
    ) {
        let Some(frames) = self.frames else { return };
        let start = (at.frame * frames.height + at.y) * frames.width + at.x;
        self.value.clear();
        self.value.extend(self.grid[start..].iter().step_by(at.stride).take(contexts.len()));
        self.q.resize(contexts.len(), 0);
        quantise(&self.value, predicted, self.step, &mut self.q);
        self.record(contexts);
        reconstruct(predicted, &self.q, self.step, values, activity);
    }

    fn running_row(
        &mut self,
        at: RowAt,
        base: &[i32],
        contexts: &[u8],
        values: &mut [i32],
        activity: &mut [u8],
    ) {
        let Some(frames) = self.frames else { return };
        let start = (at.frame * frames.height + at.y) * frames.width + at.x;
        let mut before = 0i32;
        self.q.resize(contexts.len(), 0);
        for (j, b) in base.iter().enumerate() {
            values[j] = self.grid[start + j * at.stride];
            self.q[j] = values[j].wrapping_sub(*b).wrapping_sub(before);
            before = before.wrapping_add(self.q[j]);
            activity[j] = self.q[j].unsigned_abs().min(255) as u8;
        }
        self.record(contexts);
    }

    fn frame(&mut self, _frame: usize, _row: &mut dyn FnMut(usize, &mut [i32])) {}
}

impl Stages {
    /// Prepares every stage of a little-endian float32 chunk of shape (time, y, x) at an absolute bound; `None` where
    /// the grid cannot hold it.
    pub fn new(raw: &[u8], shape: [usize; 3], error: f64) -> Option<Self> {
        let frames = Frames::new(&shape, 0);
        let mut special = Special::new::<f32>(&Bound::Absolute(error), None);
        let extent = special.survey::<f32>(raw)?;
        let grid = Grid::choose::<f32>(error, &extent, false)?;
        let mapped = map_chunk(raw, &frames, &grid, &special, &extent);
        let plan = coding_order(TimeOrder::Previous, &frames);
        let scale = Scale { step: grid.step, shift: grid.shift, low: mapped.low, high: mapped.high };
        let mut stages = Self {
            raw: raw.to_vec(),
            frames,
            special,
            extent,
            grid,
            mapped,
            plan,
            scale,
            sent: vec![],
            coded: Recorder::default(),
            tables: vec![],
        };
        stages.sent = stages.weights(false);
        stages.coded = stages.predict_recorded();
        let mut histograms = vec![Histogram::default(); CONTEXT_COUNT];
        for (s, c) in stages.coded.symbols.iter().zip(&stages.coded.contexts) {
            histograms[*c as usize].add(*s);
        }
        stages.tables = histograms.iter().map(|h| Table::counted(h).1).collect();
        Some(stages)
    }

    /// Special points and extent of the chunk, then its values on the grid; returns a grid value.
    pub fn grid(&self) -> i32 {
        let mut special = Special::new::<f32>(&Bound::Lossless, None);
        let extent = special.survey::<f32>(&self.raw).unwrap_or(self.extent);
        let mapped = map_chunk(&self.raw, &self.frames, &self.grid, &self.special, &extent);
        mapped.grid.last().copied().unwrap_or(0)
    }

    fn weights(&self, fast: bool) -> Vec<Sent> {
        let samples = Samples { grid: &self.mapped.grid, mask: None, frames: self.frames };
        fit(&samples, &self.plan, &self.scale, if fast { &fit::FAST } else { &fit::BALANCED }).0
    }

    /// Fits the weights of the multiscale predictor; returns the number of classes.
    pub fn fit(&self, fast: bool) -> usize {
        self.weights(fast).len()
    }

    fn recorder(&self) -> Recorder {
        let points = self.mapped.grid.len();
        Recorder {
            grid: self.mapped.grid.clone(),
            frames: Some(self.frames),
            step: self.grid.step,
            symbols: Vec::with_capacity(points),
            contexts: Vec::with_capacity(points),
            ..Recorder::default()
        }
    }

    fn band(&self) -> Band {
        Band { top: 0, height: self.frames.height, width: self.frames.width }
    }

    fn predict_recorded(&self) -> Recorder {
        let mut recorder = self.recorder();
        let model = Model::new(self.scale, &self.plan, &self.sent);
        let fine = vec![false; self.frames.count()];
        multiscale::walk(&model, &self.plan, &self.band(), &fine, &mut recorder);
        recorder
    }

    /// Multiscale prediction, quantisation and reconstruction of the chunk; returns the number of residuals.
    pub fn multiscale(&self) -> usize {
        self.predict_recorded().symbols.len()
    }

    /// The same with the Lorenzo predictor.
    pub fn lorenzo(&self, neighbours: Neighbours) -> usize {
        let mut recorder = self.recorder();
        lorenzo::walk(neighbours, &self.plan, &self.band(), &mut recorder);
        recorder.symbols.len()
    }

    /// Entropy-codes the residuals of the multiscale predictor.
    pub fn entropy_encode(&self) -> Vec<u8> {
        rans::encode(&self.coded.symbols, &self.coded.contexts, &self.coded.rows, &self.tables)
    }

    /// Decodes what [`Stages::entropy_encode`] made; says whether it is the same.
    pub fn entropy_decode(&self, stream: &[u8]) -> bool {
        let Ok(mut decoder) = rans::Decoder::new(stream) else { return false };
        let mut symbols = vec![0u8; self.coded.symbols.len()];
        let mut at = 0;
        for &row in &self.coded.rows {
            let end = at + row as usize;
            decoder.row(&self.coded.contexts[at..end], &self.tables, &mut symbols[at..end]);
            at = end;
        }
        decoder.finish().is_ok() && symbols == self.coded.symbols
    }
}

/// Inverse of [`compress`].
///
/// # Errors
/// `Corruption` for anything else.
pub fn decompress(payload: &[u8], size: usize, len: usize) -> Result<Vec<u8>> {
    lossless::decompress(payload, size, len)
}

fn map_chunk(raw: &[u8], frames: &Frames, grid: &Grid, special: &Special, extent: &Extent) -> Mapped {
    let known = vec![false; frames.count()];
    let writing = Writing { points: raw.len() / 4, provisional: false, known: &known, fresh: false };
    map::<f32>(raw, frames, grid, special, extent, writing)
}
