//! How much time a preset gives to the fit of weights.

use super::taps::Tap;
use super::weights::Tying;

/// How hard to look for good weights.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Points to sample per pass and class of references; half of that on the second lattice, and so on.
    pub samples: usize,
    /// At least one point in so many of a sampled frame is left out.
    pub every: usize,
    /// Frames sampled per class.
    pub frames: usize,
    /// Tyings to try, the first the one of most weights: weights of the others are shared by several of its.
    pub tyings: &'static [Tying],
    /// Squared distance of the farthest taps to try; of further references one less.
    pub reach: i32,
    /// Bits per point that a tap must save to be worth the time that it takes: near ones and those beyond [`NEAR`].
    pub tap_costs: [f64; 2],
    /// Points of a class from which on it has weights of its own; others take those of such points before.
    pub fewest: f64,
    /// Only so large a share of the samples is taken: one in so many.
    pub share: usize,
    /// Whether to estimate what the weights found make of the chunk; otherwise the earlier estimate stands.
    pub estimates: bool,
}

/// Squared distance of the farthest taps that are near.
const NEAR: i32 = 2;

impl Effort {
    /// Bits per point that a tap must save.
    pub fn cost(&self, tap: &Tap) -> f64 {
        self.tap_costs[usize::from(tap.dy * tap.dy + tap.dx * tap.dx > NEAR)]
    }

    /// What tells which of two coding orders is better, and which points are hard to predict.
    pub fn quick(&self) -> Self {
        Self {
            fewest: 900.0,
            share: 4,
            frames: self.frames.min(3),
            tyings: &[Tying::Axial],
            reach: self.reach.min(10),
            ..*self
        }
    }
}

/// Everything `balanced` tries.
pub const BALANCED: Effort = Effort {
    samples: 5000,
    every: 2,
    frames: 6,
    tyings: &[Tying::Directed, Tying::Axial, Tying::Radial],
    reach: 100,
    tap_costs: [0.001; 2],
    fewest: 0.0,
    share: 1,
    estimates: true,
};

/// Few taps, far ones only where they save much: less to fit and less to add up.
pub const FAST: Effort = Effort {
    samples: 900,
    every: 4,
    frames: 3,
    tyings: &[Tying::Axial, Tying::Radial],
    reach: 10,
    tap_costs: [0.002, 0.02],
    fewest: 0.0,
    share: 1,
    estimates: true,
};
