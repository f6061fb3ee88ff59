//! Forecasts by recurrent networks: PredNet, ConvLSTM, and whatever else keeps a state from frame to frame.
//!
//! At each time step the network reads the last decoded frame (or several: levels, colours, variables) and gives the
//! next one, or how it will differ, and what it remembers. How PredNet and ConvLSTM are such networks: docs/models.md
//! (Lotter et al., ICLR 2017; Shi et al., NIPS 2015; as predictors of compression Roy et al., CCGrid 2021).

use super::forecast::{Made, Numbers};
use super::normal::{correct, normalise, repeat_last_row, Normal};
use super::window::Window;
use super::Step;
use crate::error::Result;
use crate::network::Session;

/// Makes forecasts of the frames of a band in the order of time.
pub struct Recurrent {
    normal: Normal,
    numbers: Numbers,
    session: Session,
    /// Number of states.
    states: usize,
    /// What is remembered of each group of levels, where there are several.
    kept: Vec<Vec<Vec<i16>>>,
    /// Rows and columns of the network's planes.
    planes: [usize; 2],
    size: (usize, usize),
    threads: usize,
    /// The forecasts of a group.
    out: Vec<Vec<i32>>,
    /// A row of two frames.
    rows: [Vec<i32>; 2],
}

impl Recurrent {
    /// The forecaster.
    ///
    /// # Errors
    /// `InvalidArgument` where the model is too large for the frames.
    pub fn new(made: Made) -> Result<Self> {
        let (mut session, planes) = made.session()?;
        let Made { normal, numbers, size, threads, graph } = made;
        let (height, width) = size;
        let states = graph.inputs() - 1;
        let channels = normal.window.channels();
        let groups = numbers.levels / channels;
        let state: Vec<Vec<i16>> = (1..=states).map(|k| vec![0; session.input_mut(k).len()]).collect();
        Ok(Self {
            kept: if groups > 1 { vec![state; groups] } else { vec![] },
            normal,
            numbers,
            session,
            states,
            planes,
            size,
            threads,
            out: vec![vec![0; height * width]; channels],
            rows: [vec![0; width], vec![0; width]],
        })
    }

    /// Forgets what was before.
    pub fn restart(&mut self) {
        for k in 1..=self.states {
            self.session.input_mut(k).fill(0);
        }
        self.kept.iter_mut().flatten().for_each(|state| state.fill(0));
    }

    /// The forecast of a step: that of the first frame of a group makes those of all.
    pub fn run(&mut self, step: &Step, source: &mut dyn FnMut(usize, usize, &mut [i32])) -> &[i32] {
        let channels = self.normal.window.channels();
        let level = step.frame % self.numbers.levels;
        let (group, member) = (level / channels, level % channels);
        if member == 0 {
            self.advance(group, source);
        }
        &self.out[member]
    }

    fn advance(&mut self, group: usize, source: &mut dyn FnMut(usize, usize, &mut [i32])) {
        let ((height, width), [rows, columns]) = (self.size, self.planes);
        let channels = self.normal.window.channels();
        let changes = matches!(self.normal.window, Window::Recurrent { changes: true, .. });
        let planes = self.session.input_mut(0);
        let [last, before] = &mut self.rows;
        for (k, (statistics, out)) in self.normal.channels.iter().zip(&mut self.out).enumerate() {
            for (y, base) in out.chunks_exact_mut(width).enumerate() {
                source(k, y, last);
                base.fill(statistics.centre);
                let mut plane = |k: usize, less: &[i32], factor| {
                    let row = &mut planes[(k * rows + y) * columns..][..columns];
                    let (row, beyond) = row.split_at_mut(width);
                    normalise(last, less, factor, row);
                    beyond.fill(row[width - 1]);
                };
                plane(k, base, statistics.position);
                if changes {
                    source(channels + k, y, before);
                    plane(channels + k, before, statistics.changes[0].input);
                    // Changes are added to the last frame.
                    base.copy_from_slice(last);
                }
            }
        }
        repeat_last_row(planes, height, self.planes);
        if let Some(kept) = self.kept.get(group) {
            for (k, state) in kept.iter().enumerate() {
                self.session.input_mut(k + 1).copy_from_slice(state);
            }
        }
        self.session.run(self.threads);
        for k in 1..=self.states {
            match self.kept.get_mut(group) {
                Some(kept) => kept[k - 1].copy_from_slice(self.session.output(k)),
                None => self.session.feed_back(k),
            }
        }
        let correction = self.session.output(0).chunks_exact(rows * columns);
        for ((statistics, out), correction) in self.normal.channels.iter().zip(&mut self.out).zip(correction)
        {
            let rows = out.chunks_exact_mut(width).zip(correction.chunks_exact(columns));
            for (row, correction) in rows {
                correct(row, &correction[..width], statistics.changes[0].output, self.numbers.limits);
            }
        }
    }
}
