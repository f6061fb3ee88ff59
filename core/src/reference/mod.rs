//! Which decoded frames a frame is predicted from, and in which order frames are coded.
//!
//! *Previous*: frame t from t-1 and t-2, as video coders' P frames. *Hierarchical*: the first frame, the last
//! one, then always the middle of two known frames from both sides, as B pyramids. A frame of a chunk with
//! vertical levels has the level above at the same time besides. *Forecast*: as one of these, and a network's forecast
//! of the frame is one more reference, the first one ([`forecast`]).

pub mod autoencoder;
pub mod blocks;
pub mod forecast;
pub mod latents;
pub mod normal;
mod plain;
mod recurrent;
pub mod window;

use crate::chunk::Frames;
use window::Window;

/// Most references of a frame.
pub const MAX_REFERENCES: usize = 4;

/// Number of [`TimeOrder::Forecast`] in the stream.
pub const FORECAST: u8 = 3;

/// Order in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeOrder {
    /// Each frame from the two before it.
    Previous,
    /// Each frame from one on either side, at distances that halve.
    Hierarchical,
    /// Each frame for itself.
    Independent,
    /// As previous or, where it is made from both sides, hierarchical, with forecasts from this window.
    Forecast(Window),
    /// As previous or hierarchical, with what an autoencoder makes of each frame.
    Reconstructed {
        /// Whether frames are made from both sides.
        hierarchical: bool,
    },
}

impl TimeOrder {
    /// Number in the stream.
    pub fn code(self) -> u8 {
        match self {
            TimeOrder::Previous => 0,
            TimeOrder::Hierarchical => 1,
            TimeOrder::Independent => 2,
            TimeOrder::Forecast(_) => FORECAST,
            TimeOrder::Reconstructed { hierarchical } => 4 + u8::from(hierarchical),
        }
    }

    /// Whether frames are made from both sides.
    pub fn is_hierarchical(self) -> bool {
        matches!(
            self,
            TimeOrder::Hierarchical
                | TimeOrder::Forecast(Window::Between)
                | TimeOrder::Reconstructed { hierarchical: true }
        )
    }

    /// The order with this number, unless it is [`FORECAST`], which needs a window.
    pub fn from_code(code: u8) -> Option<Self> {
        let reconstructed = |hierarchical| TimeOrder::Reconstructed { hierarchical };
        [TimeOrder::Previous, TimeOrder::Hierarchical, TimeOrder::Independent]
            .into_iter()
            .chain([reconstructed(false), reconstructed(true)])
            .find(|o| o.code() == code)
    }
}

/// One step of the coding order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Frame to code.
    pub frame: usize,
    /// Decoded frames to predict it from, all coded before.
    pub references: Vec<usize>,
    /// Decoded frames that a forecast is made from, which is the first reference then; empty: none.
    pub forecast: Vec<usize>,
    /// Whether the first reference is what an autoencoder makes of the frame.
    pub reconstructed: bool,
    /// Frames whose references stand alike share this class, and with it their weights.
    pub class: usize,
}

impl Step {
    /// Whether a network makes the first reference.
    pub fn has_forecast(&self) -> bool {
        self.reconstructed || !self.forecast.is_empty()
    }

    /// Number of references, that of a network among them.
    pub fn reference_count(&self) -> usize {
        self.references.len() + usize::from(self.has_forecast())
    }
}

/// Number of classes that [`coding_order`] gives out; class 0 has no decoded reference.
pub const CLASSES: usize = 12;

/// The frames of a chunk in coding order.
pub fn coding_order(order: TimeOrder, frames: &Frames) -> Vec<Step> {
    let z_count = frames.levels;
    let at = |t: usize, z: usize| t * z_count + z;
    // Time steps first: (step, references in time, class of the distance).
    let mut times: Vec<(usize, Vec<usize>, usize)> = vec![(0, vec![], 0)];
    let last = frames.steps - 1;
    match order {
        TimeOrder::Independent => times.extend((1..=last).map(|t| (t, vec![], 0))),
        TimeOrder::Previous | TimeOrder::Reconstructed { hierarchical: false } => {
            times.extend((1..=last).map(|t| (t, vec![t - 1, t.max(2) - 2], 1)));
        }
        TimeOrder::Forecast(Window::Past { .. } | Window::Recurrent { .. }) => {
            times.extend((1..=last).map(|t| (t, vec![t - 1, t.max(2) - 2], if t > 1 { 2 } else { 1 })));
        }
        TimeOrder::Hierarchical
        | TimeOrder::Forecast(Window::Between)
        | TimeOrder::Reconstructed { hierarchical: true } => {
            if last > 0 {
                times.push((last, vec![0, 0], 4));
            }
            // Breadth first, so that equal distances follow each other and few frames stay open.
            let mut spans = vec![(0, last)];
            while !spans.is_empty() {
                let mut next = vec![];
                for (a, b) in spans {
                    if b - a >= 2 {
                        let middle = (a + b) / 2;
                        times.push((
                            middle,
                            vec![a, b],
                            if b - a <= 2 {
                                1
                            } else if b - a <= 4 {
                                2
                            } else {
                                3
                            },
                        ));
                        next.extend([(a, middle), (middle, b)]);
                    }
                }
                spans = next;
            }
        }
    }
    let mut steps = Vec::with_capacity(frames.count());
    for (t, from, distance) in times {
        for z in 0..z_count {
            let mut references: Vec<usize> = from.iter().map(|&r| at(r, z)).collect();
            let class = match (references.is_empty(), z) {
                (true, 0) => 0,
                (true, _) => {
                    references = vec![at(t, z - 1), at(t, z.max(2) - 2)];
                    5
                }
                (false, 0) => distance,
                (false, _) => {
                    if !order.is_hierarchical() {
                        // The level above at both times tells how this level changes.
                        references = vec![at(from[0], z), at(t, z - 1), at(from[0], z - 1)];
                    } else {
                        references.push(at(t, z - 1));
                    }
                    5 + distance
                }
            };
            let forecast = match order {
                TimeOrder::Forecast(window) => window.frames(t, &from, z, frames),
                _ => vec![],
            };
            let reconstructed = matches!(order, TimeOrder::Reconstructed { .. });
            steps.push(Step { frame: at(t, z), references, forecast, reconstructed, class });
        }
    }
    steps
}

/// For each step, the frames that no later step refers to.
pub fn released(steps: &[Step]) -> Vec<Vec<usize>> {
    let mut last_use = vec![0; steps.len()];
    for (i, s) in steps.iter().enumerate() {
        last_use[s.frame] = last_use[s.frame].max(i);
        for &r in s.references.iter().chain(&s.forecast) {
            last_use[r] = i;
        }
    }
    let mut out = vec![vec![]; steps.len()];
    for (frame, i) in last_use.into_iter().enumerate() {
        out[i].push(frame);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_coded_once_after_its_references() {
        let window = |frames, levels| TimeOrder::Forecast(Window::past(frames, levels).unwrap());
        let plain = [TimeOrder::Previous, TimeOrder::Hierarchical, TimeOrder::Independent];
        for order in plain.into_iter().chain([
            window(2, false),
            window(3, false),
            window(3, true),
            TimeOrder::Forecast(Window::recurrent(1, 2).unwrap()),
            TimeOrder::Forecast(Window::recurrent(2, 2).unwrap()),
            TimeOrder::Forecast(Window::recurrent(3, 1).unwrap()),
            TimeOrder::Forecast(Window::Between),
            TimeOrder::Reconstructed { hierarchical: false },
            TimeOrder::Reconstructed { hierarchical: true },
        ]) {
            for steps in 1..20 {
                for levels in 1..4 {
                    let frames = Frames { steps, levels, height: 1, width: 1 };
                    let mut known = vec![false; frames.count()];
                    let plan = coding_order(order, &frames);
                    for s in &plan {
                        let mut read = s.references.iter().chain(&s.forecast);
                        assert!(read.all(|&r| known[r]), "{order:?} {steps} {levels} {s:?}");
                        assert!(
                            !known[s.frame] && s.class < CLASSES && s.reference_count() <= MAX_REFERENCES
                        );
                        assert_eq!(s.class == 0, s.references.is_empty());
                        known[s.frame] = true;
                    }
                    assert!(known.iter().all(|&k| k));
                    let mut freed: Vec<usize> = released(&plan).concat();
                    freed.sort_unstable();
                    assert_eq!(freed, (0..frames.count()).collect::<Vec<_>>());
                }
            }
        }
    }
}
