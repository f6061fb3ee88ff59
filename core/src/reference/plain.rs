//! Forecasts by networks without memory: forecasters and interpolators.

use super::forecast::{Made, Numbers};
use super::normal::{correct, mean, normalise, repeat_last_row, step_level, Change, Statistics};
use super::window::Window;
use super::Step;
use crate::error::Result;
use crate::network::Session;
use arrayvec::ArrayVec;

/// Makes forecasts of the frames of a band, each from its window.
pub struct Plain {
    window: Window,
    statistics: Statistics,
    numbers: Numbers,
    session: Session,
    /// Rows and columns of the network's planes.
    planes: [usize; 2],
    size: (usize, usize),
    threads: usize,
    /// The forecast: first what the correction is added to.
    out: Vec<i32>,
    /// A row of the mean.
    centre: Vec<i32>,
    /// The same row of each frame of the window.
    rows: Vec<Vec<i32>>,
}

impl Plain {
    /// The forecaster.
    ///
    /// # Errors
    /// `InvalidArgument` where the model is too large for the frames.
    pub fn new(made: Made) -> Result<Self> {
        let (session, planes) = made.session()?;
        let Made { normal, numbers, size, threads, .. } = made;
        let (height, width) = size;
        let read = normal.window.planes() + 1;
        let statistics = normal.channels[0].clone();
        Ok(Self {
            window: normal.window,
            centre: vec![statistics.centre; width],
            statistics,
            numbers,
            session,
            planes,
            size,
            threads,
            out: vec![0; height * width],
            rows: vec![vec![0; width]; read],
        })
    }

    /// Makes the forecast of a step: `source(k, y, row)` gives row `y` of the `k`-th frame that it reads.
    pub fn run(&mut self, step: &Step, source: &mut dyn FnMut(usize, usize, &mut [i32])) -> &[i32] {
        let (height, width) = self.size;
        let [rows, columns] = self.planes;
        let window = self.window;
        let (change, constants) = self.constants(step);
        let position = self.statistics.position;
        let read = step.forecast.len();
        let (planes, constant) =
            self.session.input_mut(0).split_at_mut((window.planes() - constants.len()) * rows * columns);
        for y in 0..height {
            let base = &mut self.out[y * width..][..width];
            for (k, row) in self.rows.iter_mut().enumerate().take(read) {
                source(k, y, row);
            }
            let frames = &self.rows;
            match window {
                Window::Between => mean(&frames[0], &frames[1], base),
                _ => base.copy_from_slice(&frames[0]),
            }
            for (k, plane) in planes.chunks_exact_mut(rows * columns).enumerate() {
                let (row, beyond) = plane[y * columns..][..columns].split_at_mut(width);
                match (window, k) {
                    (_, 0) => normalise(base, &self.centre, position, row),
                    (Window::Between, _) => normalise(&frames[1], &frames[0], change.input, row),
                    (Window::Past { steps, .. }, _) if k < usize::from(steps) => {
                        normalise(&frames[k - 1], &frames[k], change.input, row);
                    }
                    // A neighbouring level.
                    _ => normalise(&frames[k], &frames[0], change.input, row),
                }
                beyond.fill(row[width - 1]);
            }
        }
        repeat_last_row(planes, height, [rows, columns]);
        for (plane, value) in constant.chunks_exact_mut(rows * columns).zip(constants) {
            plane.fill(value);
        }
        self.session.run(self.threads);
        let correction = self.session.output(0).chunks_exact(columns);
        for (row, correction) in self.out.chunks_exact_mut(width).zip(correction) {
            correct(row, &correction[..width], change.output, self.numbers.limits);
        }
        &self.out
    }

    /// The typical change that holds for a step, and the planes that are the same everywhere.
    fn constants(&self, step: &Step) -> (Change, ArrayVec<i16, 3>) {
        let mut out = ArrayVec::new();
        let time = |frame: usize| (frame / self.numbers.levels) as i32;
        let Window::Between = self.window else {
            let change = self.statistics.changes[0];
            out.push(step_level(change.input, self.numbers.step));
            return (change, out);
        };
        let (a, b) = (time(step.forecast[0]), time(step.forecast[1]));
        let change = self.statistics.changes[usize::from(b - a > 2)];
        out.push(step_level(change.input, self.numbers.step));
        out.push((1024 * (b - a) - 3072) as i16);
        out.push((4096 * (time(step.frame) - a)).div_euclid(b - a) as i16 - 2048);
        (change, out)
    }
}
