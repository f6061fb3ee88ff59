//! The corrector's architecture, and what it learns from: a small network that is asked at each point of the finest passes
//! what the linear prediction misses.
//!
//! Inputs and targets are handed out by the encoder itself while it codes pieces of fields (`augur_core::lessons`), so that
//! nothing of the predictor is imitated here.

use crate::decoded::{self, at};
use crate::graph::{Builder, Graph, WIDE};
use crate::net::Net;
use crate::train::{Schedule, Source};
use augur_core::lessons::{lessons, Lesson, CHANNELS, OUTPUT_ONE};
use augur_core::{Bound, Dtype, Model, Params, Preset};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use tch::{no_grad, Device, Kind, Tensor};

/// The sizes that users choose from: channels of the hidden layers.
pub const SIZES: [(&str, i64); 3] = [("small", 16), ("medium", 32), ("large", 64)];

/// Pieces that are coded to learn from, and how many points of each are taken.
const PIECES: usize = 96;
const POINTS: usize = 6000;
/// Points on either side whose residuals tell how large one is to be expected.
const AROUND: usize = 8;
/// Points that are judged at a time.
const AT_A_TIME: i64 = 1 << 15;
/// What is added to their mean, in quantisation steps.
const LEAST_AROUND: f64 = 0.1;
/// The same of each field for judging.
const HELD_OUT: usize = 10;
const JUDGED: usize = 4000;

/// The graph: dense layers.
pub fn graph(width: i64) -> Graph {
    let mut net = Builder::new(CHANNELS as i64);
    let first = net.hidden(0, width, 1, 1);
    let second = net.hidden(first, width, 1, 1);
    net.linear(second, 1, 1);
    net.finish()
}

/// Steps of a training for one of a forecaster's.
pub const STEPS: u64 = 8;

/// How to train it.
pub fn schedule() -> Schedule {
    let frames = Schedule::default();
    Schedule { steps: frames.steps * STEPS, every: frames.every * STEPS, ..frames }
}

/// What it is, in words.
pub fn words(size: &str) -> String {
    let width = SIZES.iter().find(|s| s.0 == size).map_or(0, |s| s.1);
    format!("corrector: {CHANNELS} inputs, two layers of {width}")
}

/// Points with what is asked of a corrector there.
#[derive(Debug)]
pub struct Points {
    /// [n, channels], integers.
    inputs: Tensor,
    /// [n]: what the linear prediction misses, in the network's floating-point units.
    target: Tensor,
    /// [n]: quantisation steps in such a unit.
    steps: Tensor,
    /// [n]: mean of what is missed around, in quantisation steps.
    around: Tensor,
    /// [n]: number of the group that is corrected as a whole or not at all: a weight class of a piece.
    group: Tensor,
    /// How many groups there are.
    groups: i64,
}

/// What was collected so far.
#[derive(Default)]
struct Collected {
    inputs: Vec<i16>,
    target: Vec<f32>,
    steps: Vec<f32>,
    around: Vec<f32>,
    group: Vec<i64>,
    /// Groups of the pieces before, and of this one by their classes.
    before: i64,
    classes: BTreeMap<usize, i64>,
}

impl Collected {
    /// Ends a piece: the classes of the next one are other groups.
    fn end_piece(&mut self) {
        self.before += self.classes.len() as i64;
        self.classes.clear();
    }

    /// Adds the `k`-th point of a lesson.
    fn add(&mut self, lesson: &Lesson, k: usize) {
        let j = lesson.points[k];
        let (first, last) = (k.saturating_sub(AROUND), (k + AROUND).min(lesson.points.len() - 1));
        let near = lesson.points[first..=last].iter();
        let sum: f64 = near.map(|&j| f64::from(lesson.missed[j]).abs()).sum();
        let new = self.before + self.classes.len() as i64;
        self.group.push(*self.classes.entry(lesson.class).or_insert(new));
        self.around.push((sum / (last - first + 1) as f64 / f64::from(lesson.step)) as f32);
        let (spread, missed) = (f64::from(lesson.spread[j]), f64::from(lesson.missed[j]));
        // A unit of the output is 1 / OUTPUT_ONE of the spread, and WIDE of them are 1 to the network.
        let unit = spread * WIDE / f64::from(OUTPUT_ONE);
        self.inputs.extend((0..CHANNELS).map(|c| lesson.inputs[c * lesson.stride + j]));
        self.target.push((missed / unit) as f32);
        self.steps.push((unit / f64::from(lesson.step)) as f32);
    }
}

impl Points {
    /// Points of pieces of all sources, `pieces` of them in all: of the steps to train on, or those held out. `model` is what
    /// they are coded with.
    ///
    /// # Errors
    /// What the codec says, or a field in which nothing changes.
    pub fn new(
        sources: &[Source],
        schedule: &Schedule,
        held_out: bool,
        model: Option<&Arc<Model>>,
        device: Device,
    ) -> Result<Self, String> {
        let mut rng =
            StdRng::seed_from_u64(schedule.seed ^ if held_out { 0xc0_44ec_7e57 } else { 0xc0_44ec });
        let count = (PIECES / sources.len().max(1)).max(12);
        let (count, points) = if held_out { (HELD_OUT, JUDGED) } else { (count, POINTS) };
        let mut all = Collected::default();
        for source in sources {
            let steps = if held_out { &source.held_out } else { &source.train };
            if held_out && steps.end - steps.start < 4 {
                continue;
            }
            // Bounds spread evenly, so that few pieces hold all kinds.
            for k in 0..count {
                let share = (k as f64 + rng.random::<f64>()) / count as f64;
                let bound = at(schedule.bounds, share);
                piece(source, steps, bound, schedule.mirror, model, points, &mut rng, &mut all)?;
            }
        }
        let n = all.target.len() as i64;
        let inputs = Tensor::from_slice(&all.inputs).view([n, CHANNELS as i64]).to_device(device);
        let [target, steps, around] =
            [&all.target, &all.steps, &all.around].map(|v| Tensor::from_slice(v).to_device(device));
        let group = Tensor::from_slice(&all.group).to_device(device);
        Ok(Self { inputs, target, steps, around, group, groups: all.before })
    }

    /// Number of points.
    pub fn len(&self) -> i64 {
        self.target.size()[0]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Planes of one row for the points with these numbers, in floating-point units.
    pub fn planes(&self, which: &Tensor) -> Tensor {
        let rows = self.inputs.index_select(0, which).to_kind(Kind::Float) / WIDE;
        rows.transpose(0, 1).contiguous().view([1, CHANNELS as i64, 1, -1])
    }

    /// Bits of what an output, or nothing, leaves of each of these points, in a logistic distribution whose scale is that of
    /// what the linear prediction misses around.
    pub fn bits(&self, which: &Tensor, output: Option<&Tensor>) -> Tensor {
        let mut left = self.target.index_select(0, which);
        if let Some(output) = output {
            left -= output.reshape([-1]);
        }
        let left = left.abs() * self.steps.index_select(0, which);
        // The mean magnitude of a logistic distribution is 2 ln 2 of its scale; what is rounded away has some, too.
        let scale = (self.around.index_select(0, which) + LEAST_AROUND) / (2.0 * std::f64::consts::LN_2);
        // sigmoid(b) - sigmoid(a) = (1 - exp(a - b)) sigmoid(b) sigmoid(-a), which stays exact far from the middle.
        let (a, b) = ((&left - 0.5) / &scale, (&left + 0.5) / &scale);
        let inside = -(-scale.reciprocal()).exp() + 1.0;
        let nats = -(inside.log() + b.log_sigmoid() + (-a).log_sigmoid());
        nats / std::f64::consts::LN_2
    }

    /// Mean bits of all points without corrections, and with those of `net` in the groups in which they save bits; `None`
    /// without points.
    pub fn judged(&self, net: &Net) -> Option<(f64, f64)> {
        let sums = || Tensor::zeros([self.groups], (Kind::Double, self.inputs.device()));
        let (mut without, mut with) = (sums(), sums());
        for first in (0..self.len()).step_by(AT_A_TIME as usize) {
            let last = (first + AT_A_TIME).min(self.len());
            let which = Tensor::arange_start(first, last, (Kind::Int64, self.inputs.device()));
            let group = self.group.index_select(0, &which);
            let output = no_grad(|| net.forward(&self.planes(&which)));
            for (sums, output) in [(&mut without, None), (&mut with, Some(&output))] {
                let _ = sums.index_add_(0, &group, &self.bits(&which, output).to_kind(Kind::Double));
            }
        }
        let mean = |sums: &Tensor| sums.sum(Kind::Double).double_value(&[]) / self.len() as f64;
        (!self.is_empty()).then(|| (mean(&without), mean(&with.minimum(&without))))
    }
}

/// Codes a random piece of a field and takes points of it.
#[allow(clippy::too_many_arguments)]
fn piece(
    source: &Source,
    steps: &Range<i64>,
    bound: f64,
    mirror: bool,
    model: Option<&Arc<Model>>,
    points: usize,
    rng: &mut StdRng,
    all: &mut Collected,
) -> Result<(), String> {
    let (values, field) = decoded::cut(&source.field, steps, 1, mirror, rng)?;
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let shape: Vec<usize> = field.size.iter().map(|&n| n as usize).collect();
    let mut params = Params::new(Dtype::F32, &shape, Bound::Absolute(bound * source.field.range));
    if let Some(model) = model {
        (params.preset, params.model) = (Preset::Learned, Some(Arc::clone(model)));
    }
    // One thread shows them in the order of coding.
    let share = (points as f64 / values.len() as f64).min(1.0);
    let state = Mutex::new((StdRng::seed_from_u64(rng.random()), std::mem::take(all)));
    let show = |lesson: &Lesson| {
        let Ok(mut state) = state.lock() else { return };
        let (rng, all) = &mut *state;
        for k in 0..lesson.points.len() {
            if rng.random::<f64>() < share {
                all.add(lesson, k);
            }
        }
    };
    let coded = lessons(&params, &raw, &show);
    *all = state.into_inner().map_err(|_| "a thread failed".to_string())?.1;
    all.end_piece();
    coded.map(|_| ()).map_err(|e| e.to_string())
}
