//! Which decoded frames a network reads for a forecast.

use crate::chunk::Frames;

/// Most frames before the one that is forecast.
const MAX_PAST: u8 = 3;
/// Most frames of a time step that a recurrent network predicts together.
pub const MAX_CHANNELS: u8 = 16;
/// Most frames that a forecast reads: those of two steps, or some of the past with neighbouring levels.
pub const MAX_FRAMES: usize = 2 * MAX_CHANNELS as usize;

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
    /// The last one, and what the network remembers of those before.
    Recurrent {
        /// Frames of a time step (levels, colours, variables) that are predicted together.
        channels: u8,
        /// Whether the change since the frame before is read, too, and the next change predicted; otherwise it is the
        /// frame itself.
        changes: bool,
    },
}

/// Longest span of time steps between the frames on either side.
pub const LONGEST_SPAN: usize = 4;

impl Window {
    /// The window of so many time steps; `None` unless 2 or 3.
    pub fn past(steps: u64, levels: bool) -> Option<Self> {
        let steps = u8::try_from(steps).ok().filter(|s| (2..=MAX_PAST).contains(s))?;
        Some(Self::Past { steps, levels })
    }

    /// The window of a recurrent network; `planes` for each of the channels are read. `None` for numbers that there are
    /// not.
    pub fn recurrent(channels: u64, planes: u64) -> Option<Self> {
        let channels = u8::try_from(channels).ok().filter(|c| (1..=MAX_CHANNELS).contains(c))?;
        (1..=2).contains(&planes).then_some(Self::Recurrent { channels, changes: planes == 2 })
    }

    /// The window as a byte of the stream.
    pub fn code(self) -> u8 {
        match self {
            Self::Past { steps, levels } => steps | u8::from(levels) << 4,
            Self::Between => 0,
            Self::Recurrent { channels, changes } => 0x40 | u8::from(changes) << 4 | (channels - 1),
        }
    }

    /// The window of this byte.
    pub fn from_code(code: u8) -> Option<Self> {
        let window = match code {
            0 => Some(Self::Between),
            0x40.. => Self::recurrent(u64::from(code & 15) + 1, u64::from(code >> 4 & 1) + 1),
            _ => Self::past(u64::from(code & 15), code >> 4 & 1 == 1),
        };
        window.filter(|w| w.code() == code)
    }

    /// Name of the graph in a model file.
    pub fn graph(self) -> &'static str {
        match self {
            Self::Past { .. } => "forecaster",
            Self::Between => "interpolator",
            Self::Recurrent { .. } => "recurrent",
        }
    }

    /// The frames that the forecast of level `z` at time `t` is made from, which has the decoded times `from` as
    /// references: the latest first, then the neighbouring levels; of a recurrent network those of all its channels.
    /// None where no forecast is made.
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
            (Self::Recurrent { channels, changes }, _) if t >= 1 && self.fits(frames.levels) => {
                let count = usize::from(channels);
                let first = z / count * count;
                let times = [t - 1, t.max(2) - 2];
                let times = &times[..if changes { 2 } else { 1 }];
                times.iter().flat_map(|t| (first..first + count).map(|z| at(*t, z))).collect()
            }
            _ => vec![],
        }
    }

    /// Whether frames of so many levels have such forecasts.
    pub fn fits(self, levels: usize) -> bool {
        match self {
            Self::Recurrent { channels, .. } => levels.is_multiple_of(usize::from(channels)),
            _ => true,
        }
    }

    /// Planes that the network reads.
    pub fn planes(self) -> usize {
        match self {
            // Position, changes, neighbouring levels, and how large a quantisation step is.
            Self::Past { steps, levels } => usize::from(steps) + if levels { 2 } else { 0 } + 1,
            // Position, change, step, span, place within it.
            Self::Between => 5,
            Self::Recurrent { channels, changes } => usize::from(channels) << u8::from(changes),
        }
    }

    /// Frames that are predicted together.
    pub fn channels(self) -> usize {
        match self {
            Self::Recurrent { channels, .. } => channels.into(),
            _ => 1,
        }
    }

    /// Typical changes that are measured: at which distances in time. At no distance it is that from the mean.
    pub fn distances(self) -> &'static [usize] {
        match self {
            Self::Past { .. } | Self::Recurrent { changes: true, .. } => &[1],
            Self::Between => &[2, LONGEST_SPAN],
            Self::Recurrent { changes: false, .. } => &[0],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_one_window_or_none() {
        let known = (0..=255u8).filter_map(Window::from_code).inspect(|w| {
            assert!(
                w.frames(3, &[2, 4], 0, &Frames { steps: 9, levels: w.channels(), height: 1, width: 1 })
                    .len()
                    <= MAX_FRAMES
            );
        });
        assert_eq!(known.count(), 1 + 4 + 32);
    }
}
