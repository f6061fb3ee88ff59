//! The codec's stages one by one, for the benchmarks (feature `bench`): no part of the interface.

use crate::chunk::Frames;
use crate::entropy::bits::{BitReader, BitWriter};
use crate::entropy::quiet::{Coded, Quiet};
use crate::entropy::slots::{DecodeTables, EncodeTables};
use crate::entropy::{rans, tables};
use crate::grid::{Extent, Grid};
use crate::predict::effort;
use crate::predict::fit::{fit, Pyramids, Samples};
use crate::predict::multiscale::{self, Weights};
use crate::predict::weights::Sent;
use crate::predict::{lorenzo, Band, Coder, RunAt, Scale};
use crate::predicted::band::{CodedBand, Encoder};
use crate::predicted::encode::Shared;
use crate::predicted::mapped::{map, Mapped, Writing};
use crate::predicted::side::CONTEXT_COUNT;
use crate::reference::{coding_order, Step, TimeOrder};
use crate::special::Special;
use crate::{lossless, Bound, Dtype, Params, Result};

pub use crate::lossless::compress;
pub use crate::machine::{instruction_set, portably, InstructionSet};
pub use crate::predict::lorenzo::Neighbours;
pub use crate::predict::{contexts, dot, gram, kernel, weighted};

/// A chunk of float32 with what the stages before each stage made of it.
pub struct Stages {
    params: Params,
    raw: Vec<u8>,
    frames: Frames,
    special: Special,
    extent: Extent,
    grid: Grid,
    mapped: Mapped,
    plan: Vec<Step>,
    scale: Scale,
    sent: Vec<Sent>,
    coded: CodedBand,
    arranged: Coded,
    tables: (EncodeTables, DecodeTables),
}

/// The encoder without the check of every value.
struct Unchecked<'a>(Encoder<'a, f32>);

impl Coder for Unchecked<'_> {
    fn begin(&mut self, frame: usize) {
        self.0.begin(frame);
    }

    fn run(
        &mut self,
        at: RunAt,
        predicted: &[i32],
        contexts: &[u8],
        values: &mut [i32],
        activity: &mut [u8],
    ) {
        self.0.run(at, predicted, contexts, values, activity);
    }

    fn row(
        &mut self,
        frame: usize,
        y: usize,
        running: bool,
        base: &[i32],
        contexts: &[u8],
        values: &mut [i32],
        activity: &mut [u8],
    ) {
        self.0.row(frame, y, running, base, contexts, values, activity);
    }

    fn frame(&mut self, _frame: usize, _row: &mut dyn FnMut(usize, &mut [i32])) {}
}

impl Stages {
    /// Prepares every stage of a little-endian float32 chunk of shape (time, y, x) at an absolute bound; `None` where
    /// the grid cannot hold it.
    pub fn new(raw: &[u8], shape: [usize; 3], error: f64) -> Option<Self> {
        let frames = Frames::new(&shape, 0);
        let mut special = Special::new::<f32>(&Bound::Absolute(error), None);
        let extent = special.survey::<f32>(raw, 1)?;
        let grid = Grid::choose::<f32>(error, &extent, false)?;
        let mapped = map_chunk(raw, &frames, &grid, &special, &extent);
        let plan = coding_order(TimeOrder::Previous, &frames);
        let scale = Scale { step: grid.step, shift: grid.shift, low: mapped.low, high: mapped.high };
        let mut stages = Self {
            params: Params::new(Dtype::F32, &shape, Bound::Absolute(error)),
            raw: raw.to_vec(),
            frames,
            special,
            extent,
            grid,
            mapped,
            plan,
            scale,
            sent: vec![],
            coded: CodedBand::default(),
            arranged: Coded::default(),
            tables: Default::default(),
        };
        stages.sent = stages.weights(false);
        stages.coded = stages.predicted();
        let coded = &stages.coded;
        let mut histograms = tables::histograms(&coded.symbols, &coded.contexts, CONTEXT_COUNT);
        let quiet = Quiet::choose(&histograms);
        stages.arranged = quiet.arrange(&coded.symbols, &coded.contexts, &coded.runs);
        histograms.clone_from(&stages.arranged.histograms);
        let mut bits = BitWriter::default();
        stages.tables.0 = tables::write(&histograms, &quiet, &mut bits);
        stages.tables.1 = tables::read(&mut BitReader::new(&bits.finish()), CONTEXT_COUNT).ok()?;
        Some(stages)
    }

    /// Special points and extent of the chunk, then its values on the grid; returns a grid value.
    pub fn grid(&self) -> i32 {
        let mut special = Special::new::<f32>(&Bound::Lossless, None);
        let extent = special.survey::<f32>(&self.raw, 1).unwrap_or(self.extent);
        let mapped = map_chunk(&self.raw, &self.frames, &self.grid, &self.special, &extent);
        mapped.grid.last().copied().unwrap_or(0)
    }

    fn weights(&self, fast: bool) -> Vec<Sent> {
        let pyramids = Pyramids::default();
        let samples = Samples {
            grid: &self.mapped.grid,
            mask: None,
            frames: self.frames,
            decoded: None,
            forecasts: None,
            pyramids: &pyramids,
        };
        let effort = if fast { &effort::FAST } else { &effort::BALANCED };
        let fit = |effort, earlier| fit(&samples, &self.plan, &self.scale, (effort, earlier), 1);
        let quick = effort.quick();
        let sketch = fit(&quick, None);
        fit(effort, Some(&sketch)).sent
    }

    /// Fits the weights of the multiscale predictor; returns the number of classes.
    pub fn fit(&self, fast: bool) -> usize {
        self.weights(fast).len()
    }

    /// What `walk` codes with the encoder.
    fn coded(&self, walk: impl FnOnce(&Band, &mut Unchecked)) -> CodedBand {
        let band = Band { top: 0, height: self.frames.height, width: self.frames.width };
        let shared = Shared {
            params: &self.params,
            frames: &self.frames,
            raw: &self.raw,
            mapped: &self.mapped,
            grid: &self.grid,
            error: 0.0,
            known: &[],
            held: None,
            shown: None,
        };
        let mut coder = Unchecked(Encoder::new(&shared, &band, vec![]));
        walk(&band, &mut coder);
        coder.0.finish()
    }

    fn predicted(&self) -> CodedBand {
        let model = Weights::new(self.scale, &self.plan, &self.sent);
        let fine = vec![false; self.frames.count()];
        self.coded(|band, coder| multiscale::walk(&model, &self.plan, band, &fine, (None, None), coder))
    }

    /// Multiscale prediction, quantisation and reconstruction of the chunk, symbols counted; returns their number.
    pub fn multiscale(&self) -> usize {
        self.predicted().symbols.len()
    }

    /// The same with the Lorenzo predictor.
    pub fn lorenzo(&self, neighbours: Neighbours) -> usize {
        self.coded(|band, coder| lorenzo::walk(neighbours, &self.plan, band, coder)).symbols.len()
    }

    /// Entropy-codes the residuals of the multiscale predictor, once they were arranged.
    pub fn entropy_encode(&self) -> Vec<u8> {
        let coded = &self.arranged;
        rans::encode(&coded.symbols, &coded.contexts, &coded.rows, &self.tables.0)
    }

    /// The same without wide instructions.
    pub fn entropy_encode_scalar(&self) -> Vec<u8> {
        let coded = &self.arranged;
        rans::encode_by(rans::encode_row, &coded.symbols, &coded.contexts, &coded.rows, &self.tables.0)
    }

    /// Counts and arranges the residuals and makes their tables; returns the number of symbols that are left.
    pub fn entropy_tables(&self) -> usize {
        let coded = &self.coded;
        let histograms = tables::histograms(&coded.symbols, &coded.contexts, CONTEXT_COUNT);
        let quiet = Quiet::choose(&histograms);
        let mut bits = BitWriter::default();
        if quiet.any() {
            let arranged = quiet.arrange(&coded.symbols, &coded.contexts, &coded.runs);
            tables::write(&arranged.histograms, &quiet, &mut bits);
            arranged.symbols.len()
        } else {
            tables::write(&histograms, &quiet, &mut bits);
            coded.symbols.len()
        }
    }

    /// Decodes the rows of what [`Stages::entropy_encode`] made as they were arranged, perhaps without wide instructions;
    /// says whether they are the same.
    pub fn entropy_decode_rows(&self, stream: &[u8], scalar: bool) -> bool {
        let Ok(mut decoder) = rans::Decoder::new(stream) else { return false };
        let coded = &self.arranged;
        let mut symbols = vec![0u8; coded.symbols.len()];
        let mut at = 0;
        for &row in &coded.rows {
            let (contexts, out) = (&coded.contexts[at..][..row as usize], &mut symbols[at..][..row as usize]);
            if scalar {
                decoder.scalar_row(contexts, &self.tables.1, out);
            } else {
                decoder.plain_row(contexts, &self.tables.1, out);
            }
            at += row as usize;
        }
        decoder.finish().is_ok() && symbols == coded.symbols
    }

    /// Decodes what [`Stages::entropy_encode`] made; says whether it is the same.
    pub fn entropy_decode(&self, stream: &[u8]) -> bool {
        let Ok(mut decoder) = rans::Decoder::new(stream) else { return false };
        let mut symbols = vec![0u8; self.coded.symbols.len()];
        let mut at = 0;
        for &row in &self.coded.runs {
            let end = at + row as usize;
            decoder.row(&self.coded.contexts[at..end], &self.tables.1, &mut symbols[at..end]);
            at = end;
        }
        decoder.finish().is_ok() && symbols == *self.coded.symbols
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
    map::<f32>(raw, frames, grid, special, extent, writing, 1)
}
