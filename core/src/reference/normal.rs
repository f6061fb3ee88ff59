//! What turns the integers of a chunk into inputs of a network, and its outputs into integers of the chunk.

use super::window::Window;
use crate::chunk::Frames;
use crate::error::{Error, Result};
use crate::machine::for_this_machine;
use crate::stream::parts::{Reader, Writer};

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
    /// Makes nothing of everything.
    pub const NOTHING: Self = Self { multiplier: 0, shift: 1 };

    /// The factor nearest to `value`; `None` where it has none.
    pub fn near(value: f64) -> Option<Self> {
        // Beyond these no shift is possible, and nothing has a logarithm.
        let value = Some(value).filter(|v| (1e-15..1e15).contains(v))?;
        let exponent = 14 - value.log2().floor() as i32;
        let shift = u8::try_from(exponent).ok().filter(|s| (1..=46).contains(s))?;
        let multiplier = (value * 2f64.powi(exponent)).round().min(32767.0);
        (multiplier >= 1.0).then_some(Self { multiplier: multiplier as u16, shift })
    }

    /// The product, rounded.
    #[inline(always)]
    pub fn times(self, x: i32) -> i64 {
        (i64::from(x) * i64::from(self.multiplier) + (1 << (self.shift - 1))) >> self.shift
    }

    /// The product as an input of the network.
    #[inline(always)]
    pub fn normalise(self, x: i32) -> i16 {
        self.times(x).clamp(-LIMIT, LIMIT) as i16
    }

    /// Appends the factor.
    pub fn write(self, w: &mut Writer) {
        w.number(u64::from(self.multiplier));
        w.byte(self.shift);
    }

    /// Reads what [`Factor::write`] wrote.
    pub fn read(r: &mut Reader) -> Result<Self> {
        let multiplier = r.at_most(32767, "a factor of the forecasts")? as u16;
        let shift = r.byte()?;
        if !(1..=46).contains(&shift) {
            return Err(Error::corruption(format!("the stream states a factor with a shift of {shift}")));
        }
        Ok(Self { multiplier, shift })
    }
}

/// A factor and its inverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// From differences to inputs.
    pub input: Factor,
    /// From outputs to differences.
    pub output: Factor,
}

/// What the values of a channel are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// The mean.
    pub centre: i32,
    /// Differences from the mean.
    pub position: Factor,
    /// For each distance of the window.
    pub changes: Vec<Change>,
}

/// What turns the integers of a chunk into inputs of a network, and its output into integers of the chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normal {
    /// Which frames are read.
    pub window: Window,
    /// For each channel of the window.
    pub channels: Vec<Statistics>,
}

impl Normal {
    /// The statistics of a chunk; `None` where nothing changes. `mask` is not 0 at special points.
    pub fn of(grid: &[i32], mask: Option<&[u8]>, frames: &Frames, window: Window) -> Option<Self> {
        let count = window.channels();
        let sample = Sample { grid, mask, frames, window };
        let found: Vec<Option<Statistics>> = (0..count).map(|c| sample.statistics(c)).collect();
        if found.iter().all(Option::is_none) {
            return None;
        }
        let of = |(c, found): (usize, Option<Statistics>)| found.unwrap_or_else(|| sample.still(c));
        Some(Self { window, channels: found.into_iter().enumerate().map(of).collect() })
    }

    /// Appends the numbers to a payload.
    pub fn write(&self, w: &mut Writer) {
        w.byte(self.window.code());
        for channel in &self.channels {
            w.signed(i64::from(channel.centre));
            channel.position.write(w);
            for change in &channel.changes {
                change.input.write(w);
                change.output.write(w);
            }
        }
    }

    /// Reads what [`Normal::write`] wrote.
    pub fn read(r: &mut Reader) -> Result<Self> {
        let window = Window::from_code(r.byte()?)
            .ok_or_else(|| Error::compatibility("forecasts are made in a way unknown to this build"))?;
        let mut channels = vec![];
        for _ in 0..window.channels() {
            let centre = i32::try_from(r.signed()?).ok().filter(|c| c.unsigned_abs() <= 1 << 29);
            let centre =
                centre.ok_or_else(|| Error::corruption("the stream states a mean beyond the grid"))?;
            let position = Factor::read(r)?;
            let change = |_: &usize| Ok(Change { input: Factor::read(r)?, output: Factor::read(r)? });
            let changes = window.distances().iter().map(change).collect::<Result<_>>()?;
            channels.push(Statistics { centre, position, changes });
        }
        Ok(Self { window, channels })
    }
}

/// What statistics are made of.
struct Sample<'a> {
    grid: &'a [i32],
    mask: Option<&'a [u8]>,
    frames: &'a Frames,
    window: Window,
}

impl Sample<'_> {
    /// Sums over every second row of a channel, or of its changes over `distance` steps.
    fn sums(&self, channel: usize, distance: usize) -> Moments {
        let mut moments = Moments::default();
        let Frames { levels, height, width, .. } = *self.frames;
        let (area, count) = (height * width, self.window.channels());
        let before = area * levels * distance;
        for row in (before..self.grid.len()).step_by(2 * width) {
            if count > 1 && row / area % levels % count != channel {
                continue;
            }
            let (at, earlier) = (row..row + width, row - before..row - before + width);
            let special = self.mask.map(|m| [&m[at.clone()], &m[earlier.clone()]]);
            moments.add(&self.grid[at], (distance > 0).then(|| &self.grid[earlier]), special);
        }
        moments
    }

    /// The statistics of a channel; `None` where nothing changes.
    fn statistics(&self, channel: usize) -> Option<Statistics> {
        let position = self.sums(channel, 0);
        let deviation = (position.square() - position.mean().powi(2)).max(0.0).sqrt();
        let change = |distance: &usize| {
            let (value, typical) = match distance {
                0 => (DEVIATION, deviation),
                _ => (CHANGE, self.sums(channel, (*distance).min(self.frames.steps - 1)).square().sqrt()),
            };
            Some(Change { input: Factor::near(value / typical)?, output: Factor::near(typical / value)? })
        };
        Some(Statistics {
            centre: position.mean().round() as i32,
            position: Factor::near(DEVIATION / deviation)?,
            changes: self.window.distances().iter().map(change).collect::<Option<_>>()?,
        })
    }

    /// The statistics of a channel that does not change beside others that do.
    fn still(&self, channel: usize) -> Statistics {
        let nothing = Change { input: Factor::NOTHING, output: Factor::NOTHING };
        Statistics {
            centre: self.sums(channel, 0).mean().round() as i32,
            position: Factor::NOTHING,
            changes: vec![nothing; self.window.distances().len()],
        }
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

/// Repeats the last row of each plane of `rows` and `columns` that has `height` rows of its own.
pub fn repeat_last_row(planes: &mut [i16], height: usize, [rows, columns]: [usize; 2]) {
    for plane in planes.chunks_exact_mut(rows * columns) {
        for y in height..rows {
            plane.copy_within((y - 1) * columns..y * columns, y * columns);
        }
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
pub fn step_level(change: Factor, step: i32) -> i16 {
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
