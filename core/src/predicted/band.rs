//! Coding of a band: quantises, records the residuals and checks every point in the decoder's own arithmetic.

use super::encode::{Shared, Shown};
use super::gains::{self, Gains};
use super::masked::Masked;
use super::side::{FrameKind, CONTEXT_COUNT};
use crate::entropy::bits::{zigzag, BitWriter};
use crate::entropy::tables::{histograms, Histogram};
use crate::entropy::{split_large, DIRECT_SYMBOLS};
use crate::lessons::Lesson;
use crate::marks::keep;
use crate::number::Number;
use crate::predict::corrector::Reading;
use crate::predict::kernel::{copy_rows, find_large, leave_out, quantise, LARGE};
use crate::predict::plane::Pyramid;
use crate::predict::{Band, Coder, RunAt};
use crate::scratch::Buffer;
use arrayvec::ArrayVec;

/// One coded band.
#[derive(Default)]
pub struct CodedBand {
    /// Symbols, run after run.
    pub symbols: Buffer<u8>,
    /// Their contexts.
    pub contexts: Buffer<u8>,
    /// Symbols of each run.
    pub runs: Vec<u32>,
    /// Plain bits of large residuals.
    pub plain: Vec<u8>,
    /// Points that miss the bound, with their bits.
    pub patches: Vec<(u64, u64)>,
    /// How often each symbol occurs in each context.
    pub histograms: Vec<Histogram>,
    /// What corrections saved.
    pub gains: Gains,
}

/// Codes a band: quantises, records the residuals and checks the values.
pub struct Encoder<'a, N> {
    shared: &'a Shared<'a>,
    band: &'a Band,
    out: CodedBand,
    /// Decoded values: the band's rows of each frame.
    values: Vec<&'a mut [u8]>,
    bits: BitWriter,
    /// The frame that is being coded, and its special points.
    source: Pyramid<i32>,
    masked: Masked<'a>,
    symbols: Vec<u8>,
    line: Vec<i32>,
    /// Whom to show what a corrector would be asked.
    pub shown: Shown<'a>,
    number: std::marker::PhantomData<N>,
}

impl<'a, N: Number> Encoder<'a, N> {
    /// The encoder of a band; `values` are the band's rows of each frame, to be decoded to.
    pub fn new(shared: &'a Shared<'a>, band: &'a Band, values: Vec<&'a mut [u8]>) -> Self {
        let points = shared.frames.count() * band.height * band.width;
        Self {
            shared,
            band,
            out: CodedBand {
                symbols: Buffer::with_capacity(points),
                contexts: Buffer::with_capacity(points),
                ..CodedBand::default()
            },
            values,
            bits: BitWriter::default(),
            source: Pyramid::default(),
            masked: Masked::new(shared.mapped.mask.as_deref()),
            symbols: vec![],
            line: vec![0; band.width],
            shown: None,
            number: std::marker::PhantomData,
        }
    }

    /// What was coded, with its symbols counted.
    pub fn finish(mut self) -> CodedBand {
        self.out.plain = self.bits.finish();
        self.out.histograms = histograms(&self.out.symbols, &self.out.contexts, CONTEXT_COUNT);
        self.out
    }

    /// Index in the chunk of the first point of a row.
    fn index(&self, frame: usize, y: usize) -> usize {
        (frame * self.shared.frames.height + self.band.top + y) * self.band.width
    }

    /// Units per quantisation step of a frame.
    fn step(&self, frame: usize) -> i32 {
        match self.shared.mapped.kinds[frame] {
            FrameKind::Normal => self.shared.grid.step,
            _ => 1,
        }
    }
}

/// Replaces the symbols of residuals that are too large for one of their own; `residual` gives those.
fn split_row(symbols: &mut [u8], bits: &mut BitWriter, residual: impl Fn(usize) -> i32) {
    let mut places = ArrayVec::<usize, 64>::new();
    for (block, row) in symbols.chunks_mut(64).enumerate() {
        places.clear();
        find_large(row, DIRECT_SYMBOLS as u8, |j| places.push(j));
        for &j in &places {
            let (symbol, plain, n) = split_large(residual(64 * block + j));
            bits.put(plain, n);
            row[j] = symbol;
        }
    }
}

impl<N: Number> Coder for Encoder<'_, N> {
    fn begin(&mut self, frame: usize) {
        let points = self.index(frame, 0)..self.index(frame, self.band.height);
        self.source.fill(&self.shared.mapped.grid[points.clone()], self.band.width);
        self.masked.begin(points, self.band.width);
    }

    fn run(
        &mut self,
        at: RunAt,
        predicted: &[i32],
        contexts: &[u8],
        values: &mut [i32],
        activity: &mut [u8],
    ) {
        let n = at.span();
        let step = self.step(at.frame);
        let plane = &self.source.levels[at.level][at.phase];
        let start = at.row * plane.stride() + at.column;
        let target = &plane.from(0, 0)[start..start + n];
        self.symbols.resize(n.max(self.symbols.len()), 0);
        let symbols = &mut self.symbols[..n];
        quantise(target, predicted, step, values, activity, symbols);
        let rows = || (0..n).step_by(at.stride).map(|r| r..r + at.width);
        // Special points have no residual.
        let special = self.masked.of(at, 0, n);
        if let Some(mask) = special {
            leave_out(mask, predicted, values, activity, symbols);
        }
        let large = symbols.iter().fold(0, |m, s| (*s).max(m)) >= DIRECT_SYMBOLS as u8;
        for row in rows().filter(|_| large) {
            let residual = |j: usize| values[row.start + j].wrapping_sub(predicted[row.start + j]) / step;
            split_row(&mut symbols[row.clone()], &mut self.bits, residual);
        }
        let mut count = 0;
        match special {
            None => {
                count = at.width * at.rows;
                for (from, to) in [(&*symbols, &mut self.out.symbols), (contexts, &mut self.out.contexts)] {
                    let before = to.len();
                    to.resize(before + count, 0);
                    copy_rows((from, at.stride), (&mut to[before..], at.width), at.width, at.rows);
                }
            }
            Some(mask) => {
                for row in rows() {
                    let mask = &mask[row.clone()];
                    keep(mask, &symbols[row.clone()], &mut self.out.symbols);
                    count += keep(mask, &contexts[row], &mut self.out.contexts);
                }
            }
        }
        self.out.runs.push(count as u32);
    }

    fn corrected(&mut self, at: RunAt, reading: &Reading) {
        let step = self.step(at.frame);
        let n = reading.linear.len();
        let plane = &self.source.levels[at.level][at.phase];
        let start = at.row * plane.stride() + at.column + reading.first;
        let target = &plane.from(0, 0)[start..start + n];
        let special = self.masked.of(at, reading.first, n);
        // Between the rows of a run lies what is no point of the frame.
        let counts =
            |j: &usize| (reading.first + j) % at.stride < at.width && special.is_none_or(|m| m[*j] == 0);
        if let Some(show) = self.shown {
            let points: Vec<usize> = (0..n).filter(counts).collect();
            let missed: Vec<i32> =
                target.iter().zip(reading.linear).map(|(v, p)| v.wrapping_sub(*p)).collect();
            let Reading { inputs, stride, spread, class, .. } = *reading;
            show(&Lesson { inputs, stride, spread, missed: &missed, points: &points, step, class });
            return;
        }
        let residual =
            |j: usize, p: &[i32]| target[j].wrapping_sub(p[j]).wrapping_add(step >> 1).div_euclid(step);
        for from in (0..n).step_by(gains::EVERY) {
            let window = (from..n.min(from + gains::WINDOW)).filter(counts);
            let residuals = window.map(|j| (residual(j, reading.linear), residual(j, reading.corrected)));
            self.out.gains.add(reading.class, residuals);
        }
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
        let n = contexts.len();
        let start = self.index(frame, y);
        let target = &self.shared.mapped.grid[start..start + n];
        let mask = self.shared.mapped.mask.as_deref().map(|m| &m[start..start + n]);
        let first = self.out.symbols.len();
        let mut above_base = 0i32;
        let mut residuals = std::mem::take(&mut self.line);
        residuals.clear();
        for j in 0..n {
            // Special points have no residual: they continue the run.
            let special = mask.is_some_and(|m| m[j] != 0);
            let q = if special { 0 } else { target[j].wrapping_sub(base[j]).wrapping_sub(above_base) };
            values[j] = base[j].wrapping_add(above_base).wrapping_add(q);
            activity[j] = q.unsigned_abs().min(255) as u8;
            if running {
                above_base = above_base.wrapping_add(q);
            }
            if !special {
                self.out.symbols.push(zigzag(q).min(u32::from(LARGE)) as u8);
                self.out.contexts.push(contexts[j]);
                residuals.push(q);
            }
        }
        self.out.runs.push(residuals.len() as u32);
        split_row(&mut self.out.symbols[first..], &mut self.bits, |k| residuals[k]);
        residuals.resize(n, 0);
        self.line = residuals;
    }

    fn frame(&mut self, frame: usize, row: &mut dyn FnMut(usize, &mut [i32])) {
        let width = self.band.width;
        for y in 0..self.band.height {
            row(y, &mut self.line);
            let at = (frame * self.shared.frames.height + self.band.top + y) * width;
            let out = &mut self.values[frame][y * width * N::SIZE..][..width * N::SIZE];
            self.shared.write::<N>(frame, at, &self.line, out, &mut self.out.patches);
        }
    }
}
