//! A forecast as a reference: what a small convolutional network makes of the frames before.
//!
//! The network reads the last decoded frames as 16-bit integers, normalised by the chunk's own mean, spread and
//! typical change, and gives a correction to the last one. Whatever the unit and the offset of a field, a network
//! sees the same numbers. How a network is trained for that: docs/models.md.
//!
//! Forecasts of decoded frames as predictions follow TEZip (Roy et al., IEEE BigData 2021); that they are one
//! reference among others, weighted by least squares, is Augur's.

use crate::chunk::Frames;
use crate::error::{Error, Result};
use crate::network::{Element, Graph, Model, Port, Session};
use crate::predict::kernel::{for_this_machine, InstructionSet};
use crate::stream::parts::{Reader, Writer};
use serde_json::Value;
use std::sync::Arc;

/// Name of the graph in a model file.
const GRAPH: &str = "forecaster";

/// Most decoded frames that a forecast reads.
const MAX_WINDOW: u8 = 3;

/// Most frames that a forecast reads, neighbouring levels among them.
pub const MAX_FRAMES: usize = MAX_WINDOW as usize + 2;

/// Which decoded frames a forecast is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Time steps before the frame: 2 or 3.
    steps: u8,
    /// Whether the levels above and below of the last step are read, too.
    levels: bool,
}

impl Window {
    /// The window of so many time steps; `None` unless 2 or 3.
    pub fn new(steps: u64, levels: bool) -> Option<Self> {
        let steps = u8::try_from(steps).ok().filter(|s| (2..=MAX_WINDOW).contains(s))?;
        Some(Self { steps, levels })
    }

    /// The window as a byte of the stream.
    pub fn code(self) -> u8 {
        self.steps | u8::from(self.levels) << 4
    }

    /// The window of this byte.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::new(u64::from(code & 15), code >> 4 & 1 == 1).filter(|w| w.code() == code)
    }

    /// The frames that the forecast of step `t`, level `z` is made from: the last steps, latest first, then the
    /// neighbouring levels.
    pub fn frames(self, t: usize, z: usize, frames: &Frames) -> Vec<usize> {
        let at = |t: usize, z: usize| t * frames.levels + z;
        let mut out: Vec<usize> = (1..=usize::from(self.steps)).map(|k| at(t.saturating_sub(k), z)).collect();
        if self.levels {
            out.extend([at(t - 1, z.saturating_sub(1)), at(t - 1, (z + 1).min(frames.levels - 1))]);
        }
        out
    }

    /// Planes that the network reads: position, changes, neighbouring levels, and how large a quantisation step is.
    fn channels(self) -> usize {
        usize::from(self.steps) + if self.levels { 2 } else { 0 } + 1
    }
}

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

/// What turns the integers of a chunk into inputs of a network, and its output into integers of the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Normal {
    /// Which frames are read.
    pub window: Window,
    /// The mean.
    centre: i32,
    /// Differences from the mean.
    position: Factor,
    /// Changes from frame to frame.
    change: Factor,
    /// The network's output as a change.
    output: Factor,
}

impl Normal {
    /// The statistics of a chunk; `None` where nothing changes. `mask` is not 0 at special points.
    pub fn of(grid: &[i32], mask: Option<&[u8]>, frames: &Frames, window: Window) -> Option<Self> {
        let (area, width) = (frames.area(), frames.width);
        let mut position = Moments::default();
        let mut change = Moments::default();
        let before = area * frames.levels;
        for row in (0..grid.len()).step_by(width).step_by(2) {
            let at = row..row + width;
            position.add(&grid[at.clone()], None, mask.map(|m| [&m[at.clone()]; 2]));
            if row >= before {
                let earlier = row - before..row - before + width;
                let special = mask.map(|m| [&m[at.clone()], &m[earlier.clone()]]);
                change.add(&grid[at], Some(&grid[earlier]), special);
            }
        }
        let typical = change.square().sqrt();
        let deviation = (position.square() - position.mean().powi(2)).max(0.0).sqrt();
        Some(Self {
            window,
            centre: position.mean().round() as i32,
            position: Factor::near(DEVIATION / deviation)?,
            change: Factor::near(CHANGE / typical)?,
            output: Factor::near(typical / CHANGE)?,
        })
    }

    /// Appends the numbers to a payload.
    pub fn write(&self, w: &mut Writer) {
        w.byte(self.window.code());
        w.signed(i64::from(self.centre));
        [self.position, self.change, self.output].iter().for_each(|f| f.write(w));
    }

    /// Reads what [`Normal::write`] wrote.
    pub fn read(r: &mut Reader) -> Result<Self> {
        let window = Window::from_code(r.byte()?)
            .ok_or_else(|| Error::compatibility("forecasts are made in a way unknown to this build"))?;
        let centre = i32::try_from(r.signed()?).ok().filter(|c| c.unsigned_abs() <= 1 << 29);
        let centre = centre.ok_or_else(|| Error::corruption("the stream states a mean beyond the grid"))?;
        Ok(Self {
            window,
            centre,
            position: Factor::read(r)?,
            change: Factor::read(r)?,
            output: Factor::read(r)?,
        })
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

/// The graph of a model that makes forecasts, if it has one.
pub fn graph(model: &Model) -> Option<&Arc<Graph>> {
    model.graph(GRAPH)
}

/// The window that a forecaster is trained for.
///
/// # Errors
/// `InvalidArgument` where the graph is no forecaster.
pub fn window(graph: &Graph) -> Result<Window> {
    let key = |name: &str, default| graph.extra().get(name).map_or(Some(default), Value::as_u64);
    let window = key("frames", 2).zip(key("levels", 0)).and_then(|(n, levels)| Window::new(n, levels != 0));
    let window = window.ok_or_else(|| Error::invalid("the forecaster reads an unknown number of frames"))?;
    let port = |channels| Some(Port { channels, element: Element::I16, down: 0, levels: false });
    let one = (graph.inputs(), graph.outputs()) == (1, 1);
    if !one || graph.input(0) != port(window.channels()) || graph.output(0) != port(1) {
        return Err(Error::invalid(format!(
            "a forecaster that reads {} frames has one input of {} channels and one output of 1, all i16 and of full size, \
             not {:?} and {:?}",
            window.channels() - 1,
            window.channels(),
            graph.input(0),
            graph.output(0)
        )));
    }
    Ok(window)
}

/// Makes forecasts of the frames of a band.
pub struct Forecaster {
    normal: Normal,
    /// Grid units per quantisation step.
    step: i32,
    /// Smallest and largest value of the grid.
    limits: (i32, i32),
    session: Session,
    /// Rows and columns of the network's planes.
    planes: [usize; 2],
    size: (usize, usize),
    threads: usize,
    /// The latest frame, to which the correction is added.
    last: Vec<i32>,
    /// A row of the mean, then the same row of the other frames of the window.
    rows: Vec<Vec<i32>>,
}

impl Forecaster {
    /// The forecaster of frames of this size; `step` and `limits` are the chunk's grid units per quantisation step and its
    /// smallest and largest value.
    ///
    /// # Errors
    /// `InvalidArgument` where the network is no forecaster, reads another window or is too large for the frames.
    pub fn new(
        graph: &Arc<Graph>,
        normal: Normal,
        step: i32,
        limits: (i32, i32),
        (height, width): (usize, usize),
        threads: usize,
    ) -> Result<Self> {
        if window(graph)? != normal.window {
            return Err(Error::invalid("the forecaster reads other frames than the stream says"));
        }
        let planes = [height, width].map(|n| n.next_multiple_of(graph.multiple()));
        let session = Session::new(graph, planes[0], planes[1])?;
        let mut rows = vec![vec![0; width]; normal.window.channels() - 1];
        rows[0].fill(normal.centre);
        Ok(Self {
            normal,
            step,
            limits,
            session,
            planes,
            size: (height, width),
            threads,
            last: vec![0; height * width],
            rows,
        })
    }

    /// Forecasts a frame: `source(k, y, row)` gives row `y` of the `k`-th frame of the window.
    pub fn run(&mut self, source: &mut dyn FnMut(usize, usize, &mut [i32])) -> &[i32] {
        let (height, width) = self.size;
        let Normal { window, position, change, output, .. } = self.normal;
        let [rows, columns] = self.planes;
        let steps = usize::from(window.steps);
        let (read, constant) =
            self.session.input_mut(0).split_at_mut((window.channels() - 1) * rows * columns);
        for y in 0..height {
            let last = &mut self.last[y * width..][..width];
            source(0, y, last);
            for (k, plane) in read.chunks_exact_mut(rows * columns).enumerate() {
                let (before, own) = self.rows.split_at_mut(k);
                let own = &mut own[0];
                if k > 0 {
                    source(k, y, own);
                }
                let (row, beyond) = plane[y * columns..][..columns].split_at_mut(width);
                match k {
                    0 => normalise(last, own, position, row),
                    1 => normalise(last, own, change, row),
                    _ if k < steps => normalise(&before[k - 1], own, change, row),
                    // A neighbouring level.
                    _ => normalise(own, last, change, row),
                }
                beyond.fill(row[width - 1]);
            }
        }
        for plane in read.chunks_exact_mut(rows * columns) {
            for y in height..rows {
                plane.copy_within((y - 1) * columns..y * columns, y * columns);
            }
        }
        constant.fill(step_level(change, self.step));
        self.session.run(self.threads);
        let correction = self.session.output(0).chunks_exact(columns);
        for (last, correction) in self.last.chunks_exact_mut(width).zip(correction) {
            correct(last, &correction[..width], output, self.limits);
        }
        &self.last
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
