//! A network's forecast as a reference: what a small convolutional network makes of decoded frames.
//!
//! A *forecaster* reads the last frames and gives a correction to the last one; an *interpolator* reads the frames on
//! either side and gives a correction to their mean. They read 16-bit integers, normalised by the chunk's own mean,
//! spread and typical change. Whatever the unit and the offset of a field, a network sees the same numbers. How a
//! network is trained for that: docs/models.md.
//!
//! Forecasts of decoded frames as predictions follow TEZip (Roy et al., CCGrid 2021); that they are one
//! reference among others, weighted by least squares, is Augur's.

use super::Step;
use crate::chunk::Frames;
use crate::error::{Error, Result};
use crate::network::{Element, Graph, Model, Port, Session};
use crate::predict::kernel::{for_this_machine, InstructionSet};
use crate::stream::parts::{Reader, Writer};
use arrayvec::ArrayVec;
use serde_json::Value;
use std::sync::Arc;

/// Most frames before the one that is forecast.
const MAX_PAST: u8 = 3;
/// Most frames that a forecast reads, neighbouring levels among them.
pub const MAX_FRAMES: usize = MAX_PAST as usize + 2;

/// Which decoded frames a forecast is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Those before it.
    Past {
        /// Time steps: 2 or 3.
        steps: u8,
        /// Whether the levels above and below of the last step are read, too.
        levels: bool,
    },
    /// One on either side.
    Between,
}

/// Longest span of time steps between the frames on either side.
pub const LONGEST_SPAN: usize = 4;

impl Window {
    /// The window of so many time steps; `None` unless 2 or 3.
    pub fn past(steps: u64, levels: bool) -> Option<Self> {
        let steps = u8::try_from(steps).ok().filter(|s| (2..=MAX_PAST).contains(s))?;
        Some(Self::Past { steps, levels })
    }

    /// The window as a byte of the stream.
    fn code(self) -> u8 {
        match self {
            Self::Past { steps, levels } => steps | u8::from(levels) << 4,
            Self::Between => 0,
        }
    }

    /// The window of this byte.
    fn from_code(code: u8) -> Option<Self> {
        let window = match code {
            0 => Some(Self::Between),
            _ => Self::past(u64::from(code & 15), code >> 4 & 1 == 1),
        };
        window.filter(|w| w.code() == code)
    }

    /// Name of the graph in a model file.
    fn graph(self) -> &'static str {
        match self {
            Self::Past { .. } => FORECASTER,
            Self::Between => INTERPOLATOR,
        }
    }

    /// The frames that the forecast of level `z` at time `t` is made from, which has the decoded times `from` as
    /// references: the latest first, then the neighbouring levels. None where no forecast is made.
    pub fn frames(self, t: usize, from: &[usize], z: usize, frames: &Frames) -> Vec<usize> {
        let at = |t: usize, z: usize| t * frames.levels + z;
        match (self, from) {
            // A change must be seen first.
            (Self::Past { steps, levels }, _) if t >= 2 => {
                let mut out: Vec<usize> =
                    (1..=usize::from(steps)).map(|k| at(t.saturating_sub(k), z)).collect();
                if levels {
                    out.extend([at(t - 1, z.saturating_sub(1)), at(t - 1, (z + 1).min(frames.levels - 1))]);
                }
                out
            }
            (Self::Between, &[a, b]) if a < t && t < b && b - a <= LONGEST_SPAN => vec![at(a, z), at(b, z)],
            _ => vec![],
        }
    }

    /// Planes that the network reads.
    fn channels(self) -> usize {
        match self {
            // Position, changes, neighbouring levels, and how large a quantisation step is.
            Self::Past { steps, levels } => usize::from(steps) + if levels { 2 } else { 0 } + 1,
            // Position, change, step, span, place within it.
            Self::Between => 5,
        }
    }

    /// Typical changes that are measured: at which distances in time.
    fn distances(self) -> &'static [usize] {
        match self {
            Self::Past { .. } => &[1],
            Self::Between => &[2, LONGEST_SPAN],
        }
    }
}

/// Names of the graphs in model files.
const FORECASTER: &str = "forecaster";
const INTERPOLATOR: &str = "interpolator";

/// Largest magnitude of a normalised value.
const LIMIT: i64 = 32767;
/// Value of a standard deviation in the plane of positions.
const DEVIATION: f64 = 4096.0;
/// Value of the typical change from frame to frame (root mean square) in the planes of changes.
const CHANGE: f64 = 1024.0;
/// What the logarithm of the quantisation step is counted from: 256 log2 of [`CHANGE`].
const STEP_ORIGIN: i32 = 2560;

/// A factor as multiplier and shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor {
    /// Below 2^15.
    multiplier: u16,
    /// 1 to 46.
    shift: u8,
}

impl Factor {
    /// The factor nearest to `value`; `None` where it has none.
    fn near(value: f64) -> Option<Self> {
        // Beyond these no shift is possible, and nothing has a logarithm.
        let value = Some(value).filter(|v| (1e-15..1e15).contains(v))?;
        let exponent = 14 - value.log2().floor() as i32;
        let shift = u8::try_from(exponent).ok().filter(|s| (1..=46).contains(s))?;
        let multiplier = (value * 2f64.powi(exponent)).round().min(32767.0);
        (multiplier >= 1.0).then_some(Self { multiplier: multiplier as u16, shift })
    }

    /// The product, rounded.
    #[inline(always)]
    fn times(self, x: i32) -> i64 {
        (i64::from(x) * i64::from(self.multiplier) + (1 << (self.shift - 1))) >> self.shift
    }

    /// The product as an input of the network.
    #[inline(always)]
    fn normalise(self, x: i32) -> i16 {
        self.times(x).clamp(-LIMIT, LIMIT) as i16
    }

    fn write(self, w: &mut Writer) {
        w.number(u64::from(self.multiplier));
        w.byte(self.shift);
    }

    fn read(r: &mut Reader) -> Result<Self> {
        let multiplier = r.at_most(32767, "a factor of the forecasts")? as u16;
        let shift = r.byte()?;
        if !(1..=46).contains(&shift) {
            return Err(Error::corruption(format!("the stream states a factor with a shift of {shift}")));
        }
        Ok(Self { multiplier, shift })
    }
}

/// The typical change over some distance in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    /// From changes to inputs.
    input: Factor,
    /// From outputs to changes.
    output: Factor,
}

/// What turns the integers of a chunk into inputs of a network, and its output into integers of the chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normal {
    /// Which frames are read.
    pub window: Window,
    /// The mean.
    centre: i32,
    /// Differences from the mean.
    position: Factor,
    /// For each distance of the window.
    changes: Vec<Change>,
}

impl Normal {
    /// The statistics of a chunk; `None` where nothing changes. `mask` is not 0 at special points.
    pub fn of(grid: &[i32], mask: Option<&[u8]>, frames: &Frames, window: Window) -> Option<Self> {
        let (area, width) = (frames.area(), frames.width);
        let sum = |distance: usize| {
            let mut moments = Moments::default();
            let before = area * frames.levels * distance;
            for row in (before..grid.len()).step_by(2 * width) {
                let (at, earlier) = (row..row + width, row - before..row - before + width);
                let special = mask.map(|m| [&m[at.clone()], &m[earlier.clone()]]);
                moments.add(&grid[at], (distance > 0).then(|| &grid[earlier]), special);
            }
            moments
        };
        let position = sum(0);
        let deviation = (position.square() - position.mean().powi(2)).max(0.0).sqrt();
        let change = |distance: &usize| {
            let typical = sum((*distance).min(frames.steps - 1)).square().sqrt();
            Some(Change { input: Factor::near(CHANGE / typical)?, output: Factor::near(typical / CHANGE)? })
        };
        Some(Self {
            window,
            centre: position.mean().round() as i32,
            position: Factor::near(DEVIATION / deviation)?,
            changes: window.distances().iter().map(change).collect::<Option<_>>()?,
        })
    }

    /// Appends the numbers to a payload.
    pub fn write(&self, w: &mut Writer) {
        w.byte(self.window.code());
        w.signed(i64::from(self.centre));
        self.position.write(w);
        for change in &self.changes {
            change.input.write(w);
            change.output.write(w);
        }
    }

    /// Reads what [`Normal::write`] wrote.
    pub fn read(r: &mut Reader) -> Result<Self> {
        let window = Window::from_code(r.byte()?)
            .ok_or_else(|| Error::compatibility("forecasts are made in a way unknown to this build"))?;
        let centre = i32::try_from(r.signed()?).ok().filter(|c| c.unsigned_abs() <= 1 << 29);
        let centre = centre.ok_or_else(|| Error::corruption("the stream states a mean beyond the grid"))?;
        let position = Factor::read(r)?;
        let change = |_: &usize| Ok(Change { input: Factor::read(r)?, output: Factor::read(r)? });
        let changes = window.distances().iter().map(change).collect::<Result<_>>()?;
        Ok(Self { window, centre, position, changes })
    }
}

/// Sums over ordinary points.
#[derive(Default)]
struct Moments {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    /// Adds a row, less another one. The sums are made in the same order on every machine.
    fn add(&mut self, row: &[i32], less: Option<&[i32]>, special: Option<[&[u8]; 2]>) {
        let (mut sum, mut squares, mut count) = (0i64, 0f64, 0u32);
        for (j, v) in row.iter().enumerate() {
            if special.is_some_and(|m| m[0][j] | m[1][j] != 0) {
                continue;
            }
            let v = i64::from(*v) - less.map_or(0, |l| i64::from(l[j]));
            sum += v;
            squares += (v as f64) * (v as f64);
            count += 1;
        }
        self.count += f64::from(count);
        self.sum += sum as f64;
        self.squares += squares;
    }

    fn mean(&self) -> f64 {
        self.sum / self.count.max(1.0)
    }

    fn square(&self) -> f64 {
        self.squares / self.count.max(1.0)
    }
}

/// The forecasts that a model makes: windows, with their graphs.
///
/// # Errors
/// `InvalidArgument` where a graph is not what its name says.
pub fn windows(model: &Model) -> Result<Vec<Window>> {
    let mut out = vec![];
    if let Some(graph) = model.graph(FORECASTER) {
        let key = |name: &str, default| graph.extra().get(name).map_or(Some(default), Value::as_u64);
        let window =
            key("frames", 2).zip(key("levels", 0)).and_then(|(n, levels)| Window::past(n, levels != 0));
        out.push(window.ok_or_else(|| Error::invalid("the forecaster reads an unknown number of frames"))?);
    }
    out.extend(model.graph(INTERPOLATOR).map(|_| Window::Between));
    for window in &out {
        graph(model, *window)?;
    }
    Ok(out)
}

/// The graph of a model that makes forecasts from this window.
///
/// # Errors
/// `InvalidArgument` where there is none, or it is not what its name says.
fn graph(model: &Model, window: Window) -> Result<&Arc<Graph>> {
    let name = window.graph();
    let graph = model.graph(name).ok_or_else(|| {
        Error::invalid(format!("the model sha256:{} has no graph \"{name}\"", model.digest()))
    })?;
    let port = |channels| Some(Port { channels, element: Element::I16, down: 0, levels: false });
    let one = (graph.inputs(), graph.outputs()) == (1, 1);
    if !one || graph.input(0) != port(window.channels()) || graph.output(0) != port(1) {
        return Err(Error::invalid(format!(
            "the {name} of the model sha256:{} must have one input of {} channels and one output of 1, all i16 and of \
             full size; it has {:?} and {:?}",
            model.digest(),
            window.channels(),
            graph.input(0),
            graph.output(0)
        )));
    }
    Ok(graph)
}

/// What a chunk's numbers are, as forecasts need them.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Grid units per quantisation step.
    pub step: i32,
    /// Smallest and largest value of the grid.
    pub limits: (i32, i32),
    /// Frames per time step.
    pub levels: usize,
}

/// Makes forecasts of the frames of a band.
pub struct Forecaster {
    normal: Normal,
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

impl Forecaster {
    /// The forecaster of frames of this size.
    ///
    /// # Errors
    /// `InvalidArgument` where the model makes no such forecasts or is too large for the frames.
    pub fn new(
        model: &Model,
        normal: &Normal,
        numbers: Numbers,
        (height, width): (usize, usize),
        threads: usize,
    ) -> Result<Self> {
        let window = normal.window;
        let graph = graph(model, window)?;
        if !windows(model)?.contains(&window) {
            return Err(Error::invalid("the forecaster reads other frames than the stream says"));
        }
        let planes = [height, width].map(|n| n.next_multiple_of(graph.multiple()));
        let session = Session::new(graph, planes[0], planes[1])?;
        Ok(Self {
            normal: normal.clone(),
            numbers,
            session,
            planes,
            size: (height, width),
            threads,
            out: vec![0; height * width],
            centre: vec![normal.centre; width],
            rows: vec![vec![0; width]; MAX_FRAMES],
        })
    }

    /// Makes the forecast of a step: `source(k, y, row)` gives row `y` of the `k`-th frame that it reads.
    pub fn run(&mut self, step: &Step, source: &mut dyn FnMut(usize, usize, &mut [i32])) -> &[i32] {
        let (height, width) = self.size;
        let [rows, columns] = self.planes;
        let window = self.normal.window;
        let (change, constants) = self.constants(step);
        let position = self.normal.position;
        let read = step.forecast.len();
        let (planes, constant) =
            self.session.input_mut(0).split_at_mut((window.channels() - constants.len()) * rows * columns);
        for y in 0..height {
            let base = &mut self.out[y * width..][..width];
            for (k, row) in self.rows.iter_mut().enumerate().take(read) {
                source(k, y, row);
            }
            let frames = &self.rows;
            match window {
                Window::Past { .. } => base.copy_from_slice(&frames[0]),
                Window::Between => mean(&frames[0], &frames[1], base),
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
        for plane in planes.chunks_exact_mut(rows * columns) {
            for y in height..rows {
                plane.copy_within((y - 1) * columns..y * columns, y * columns);
            }
        }
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
        let Window::Between = self.normal.window else {
            let change = self.normal.changes[0];
            out.push(step_level(change.input, self.numbers.step));
            return (change, out);
        };
        let (a, b) = (time(step.forecast[0]), time(step.forecast[1]));
        let change = self.normal.changes[usize::from(b - a > 2)];
        out.push(step_level(change.input, self.numbers.step));
        out.push((1024 * (b - a) - 3072) as i16);
        out.push((4096 * (time(step.frame) - a)).div_euclid(b - a) as i16 - 2048);
        (change, out)
    }
}

for_this_machine! {
    /// The mean of two rows, rounded down.
    pub fn mean(a: &[i32], b: &[i32], out: &mut [i32]) {
        for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
            *o = ((i64::from(*a) + i64::from(*b)) >> 1) as i32;
        }
    }
}

for_this_machine! {
    /// A row of values less others, as inputs of the network.
    pub fn normalise(row: &[i32], less: &[i32], factor: Factor, out: &mut [i16]) {
        for ((o, v), l) in out.iter_mut().zip(row).zip(less) {
            *o = factor.normalise(v.wrapping_sub(*l));
        }
    }
}

for_this_machine! {
    /// Adds the network's output to a row.
    pub fn correct(row: &mut [i32], output: &[i16], factor: Factor, limits: (i32, i32)) {
        let (low, high) = (i64::from(limits.0), i64::from(limits.1));
        for (v, o) in row.iter_mut().zip(output) {
            *v = (i64::from(*v) + factor.times(i32::from(*o))).clamp(low, high) as i32;
        }
    }
}

/// How large a quantisation step is beside the typical change: 256 times the base-2 logarithm, linear between powers
/// of two.
fn step_level(change: Factor, step: i32) -> i16 {
    let step = change.times(step).clamp(1, LIMIT) as i32;
    let octave = step.ilog2() as i32;
    ((octave << 8) + ((step << 8 >> octave) - 256) - STEP_ORIGIN) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_near_and_come_back() {
        for value in [1e-9, 3e-4, 0.5, 0.99997, 1.0, 7.3, 4096.0, 16000.0] {
            let factor = Factor::near(value).unwrap();
            let x = (20000.0 / value).min(5e8) as i32;
            let product = f64::from(x) * value;
            assert!((factor.times(x) as f64 - product).abs() <= 1.0 + product * 1e-4, "{value} {factor:?}");
            let mut w = Writer::default();
            factor.write(&mut w);
            assert_eq!(Factor::read(&mut Reader::new(&w.out)), Ok(factor));
        }
        for value in [0.0, 1e-12, 1e6, f64::INFINITY, f64::NAN] {
            assert_eq!(Factor::near(value), None, "{value}");
        }
    }

    #[test]
    fn step_levels_follow_the_logarithm() {
        let change = Factor::near(1024.0 / 500.0).unwrap();
        assert_eq!(step_level(change, 500), 0);
        assert_eq!(step_level(change, 1000), 256);
        assert_eq!(step_level(change, 750), 128);
        assert_eq!(step_level(change, 0), -2560);
    }
}
