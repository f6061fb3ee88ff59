//! Really decoded pieces of fields, so that a network is trained on the errors that it will see.
//!
//! What a decoder knows of a frame is not the frame with white noise: where the bound is wide, nearly all residuals are
//! zero and the error is that of the prediction, smooth and correlated from frame to frame. So pieces as long as a
//! chunk are encoded and decoded at random bounds, with the network so far, and renewed now and then, as in dataset
//! aggregation (Ross et al. 2011): the network is trained on the states that it brings about itself.

use crate::design::Design;
use crate::field::{batch, Batch, Field, Scales, Window};
use crate::interpolator;
use crate::sequence::{self, Place, Span};
use crate::train::{Schedule, Source};
use augur_core::{decode_with, encode, Bound, Decoding, Dtype, Model, Params, Preset};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Deserialize;
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Steps of a piece: those of a usual chunk.
const STEPS: i64 = 16;
/// Rows and columns of a piece, at most.
const SIDE: i64 = 128;
/// Points of a step of a piece, at most, unless one level has more.
const AREA: i64 = 32_768;
/// Pieces of each field.
const PIECES: usize = 24;
/// Held-out pieces of each field.
const HELD_OUT: usize = 6;
/// Optimiser steps after which a piece is renewed.
const EVERY: u64 = 8;
/// Optimiser steps before the network is good enough to decode with.
const READY: u64 = 400;
/// Times that a piece without any change is drawn again.
const TRIES: usize = 20;

/// What a network does with decoded frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    #[default]
    /// The next frame from those before it.
    Forecaster,
    /// The middle frame from one on either side.
    Interpolator,
}

impl Role {
    /// The graph's name in a model file.
    pub fn graph(self) -> &'static str {
        match self {
            Role::Forecaster => "forecaster",
            Role::Interpolator => "interpolator",
        }
    }
}

/// A piece of a field and what it decodes to.
#[derive(Debug)]
struct Piece {
    /// The original.
    field: Field,
    /// Steps, levels, rows and columns like it.
    decoded: Tensor,
    /// Absolute bound.
    bound: f64,
    /// Statistics of each channel, for a network that remembers.
    scales: Vec<Scales>,
}

/// Pieces of every field.
#[derive(Debug)]
pub struct Decoded {
    design: Design,
    pieces: RefCell<Vec<Vec<Piece>>>,
    held_out: Vec<Vec<Piece>>,
    models: RefCell<Vec<Taken>>,
}

/// The network as it was before some step, to decode with from then on.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The step.
    pub step: u64,
    /// A model file.
    pub model: Arc<Model>,
}

impl Decoded {
    /// Decodes pieces of all sources without a network, for a start.
    ///
    /// # Errors
    /// A field in which nothing changes.
    pub fn new(design: &Design, sources: &[Source], schedule: &Schedule) -> Result<Self, String> {
        let mut rng = StdRng::seed_from_u64(schedule.seed ^ 0x0dec_0ded);
        let (mut pieces, mut held_out) = (vec![], vec![]);
        let count = (PIECES / sources.len().max(1)).max(4);
        for source in sources {
            let mut some = |steps: &Range<i64>, n: usize| -> Result<Vec<Piece>, String> {
                // Bounds spread evenly, so that few pieces hold all kinds.
                let share = |i: usize, rng: &mut StdRng| (i as f64 + rng.random::<f64>()) / n as f64;
                (0..n)
                    .map(|i| {
                        let share = share(i, &mut rng);
                        piece(design, &source.field, steps, at(schedule.bounds, share), None, &mut rng)
                    })
                    .collect()
            };
            pieces.push(some(&source.train, count)?);
            let enough = source.held_out.end - source.held_out.start >= 4;
            held_out.push(if enough { some(&source.held_out, HELD_OUT)? } else { vec![] });
        }
        Ok(Self {
            design: design.clone(),
            pieces: RefCell::new(pieces),
            held_out,
            models: RefCell::new(vec![]),
        })
    }

    /// Whether the network so far is wanted before step `step`.
    pub fn wants_model(&self, step: u64) -> bool {
        step >= READY && step.is_multiple_of(READY)
    }

    /// Takes the network as it is before step `step`, as a model file's bytes.
    ///
    /// # Errors
    /// What the codec says to it.
    pub fn take_model(&self, step: u64, bytes: &[u8]) -> Result<(), String> {
        let model = Arc::new(Model::from_bytes(bytes).map_err(|e| e.to_string())?);
        let mut models = self.models.borrow_mut();
        models.push(Taken { step, model });
        // All that any of the pieces may have been decoded with.
        let oldest = step.saturating_sub(self.turns() * EVERY);
        let unused = models.iter().rposition(|m| m.step <= oldest).unwrap_or(0);
        models.drain(..unused);
        Ok(())
    }

    /// The networks that the pieces were decoded with: what a run needs to be resumed.
    pub fn models(&self) -> Vec<Taken> {
        self.models.borrow().clone()
    }

    /// Turns until every piece was renewed.
    fn turns(&self) -> u64 {
        self.pieces.borrow().iter().map(Vec::len).sum::<usize>() as u64
    }

    /// Renews a piece now and then: each in its turn, at random but the same for the same step.
    ///
    /// # Errors
    /// What the codec says.
    pub fn renew(&self, step: u64, sources: &[Source], schedule: &Schedule) -> Result<(), String> {
        if step == 0 || !step.is_multiple_of(EVERY) {
            return Ok(());
        }
        let turn = step / EVERY;
        let seed = schedule.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(turn ^ 0x0dec_0ded);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut pieces = self.pieces.borrow_mut();
        let (fields, count) = (pieces.len(), pieces.first().map_or(0, Vec::len));
        if count == 0 {
            return Ok(());
        }
        let place = turn as usize % (fields * count);
        let (of, which) = (place % fields, place / fields);
        let share = (which as f64 + rng.random::<f64>()) / count as f64;
        let models = self.models.borrow();
        let model = models.iter().rev().find(|m| m.step <= step).map(|m| Arc::clone(&m.model));
        let source = &sources[of];
        let bound = at(schedule.bounds, share);
        pieces[of][which] = piece(&self.design, &source.field, &source.train, bound, model, &mut rng)?;
        Ok(())
    }

    /// Renews what was renewed before step `step` by a run that is resumed, with the models that it took.
    ///
    /// # Errors
    /// What the codec says.
    pub fn resume(&self, step: u64, sources: &[Source], schedule: &Schedule) -> Result<(), String> {
        let turns = step.div_ceil(EVERY);
        (turns.saturating_sub(self.turns())..turns)
            .try_for_each(|turn| self.renew(turn * EVERY, sources, schedule))
    }

    /// A batch of crops of the pieces of a source, all of one size; `vary`: of those to train on, and with amplitudes
    /// that seem to differ by up to so much, a power of two.
    ///
    /// # Errors
    /// No piece.
    pub fn draw(
        &self,
        schedule: &Schedule,
        source: usize,
        vary: Option<f64>,
        rng: &mut StdRng,
    ) -> Result<Batch, String> {
        let borrowed = self.pieces.borrow();
        let pieces = if vary.is_some() { &borrowed[source] } else { &self.held_out[source] };
        let first = pieces.first().ok_or("there are no steps to judge by")?;
        let multiple = self.design.multiple();
        let side = |n: i64| {
            let n = n.min(schedule.crop);
            (n - n % multiple).max(n.min(multiple))
        };
        let [steps, levels, height, width] = first.field.size;
        let size = (side(height), side(width));
        let drawn = |rng: &mut StdRng| {
            let piece = &pieces[rng.random_range(0..pieces.len())];
            let channels = self.design.channels();
            let level = rng.random_range(0..levels / channels) * channels;
            let corner = (rng.random_range(0..=height - size.0), rng.random_range(0..=width - size.1));
            let mut factor = || vary.map_or(1.0, |v| 2f64.powf(rng.random_range(-v..v)));
            let factors = (factor(), factor());
            (piece, level, corner, factors)
        };
        if let Design::Recurrent(plan) = &self.design {
            let span = match vary {
                Some(_) => Span::random(steps, rng),
                None => Span::whole(0, steps),
            };
            let samples = (0..schedule.samples).map(|_| {
                let (piece, level, corner, (amplitude, speed)) = drawn(rng);
                let varied = |s: &Scales| Scales {
                    deviation: s.deviation * amplitude,
                    change: s.change * speed,
                    ..*s
                };
                let scales: Vec<Scales> = piece.scales.iter().map(varied).collect();
                let place = (span, Place { level, corner, size });
                sequence::sample(plan, &piece.field, &piece.decoded, place, &scales, piece.bound)
            });
            return Ok(sequence::batch(samples.collect()));
        }
        let mut samples = Vec::with_capacity(schedule.samples);
        for _ in 0..schedule.samples {
            let (piece, z, corner, (amplitude, speed)) = drawn(rng);
            let mut scales =
                piece.field.scales(0, steps as usize).ok_or("nothing changes in a piece of this field")?;
            scales.deviation *= amplitude;
            match &self.design {
                Design::Frame(Role::Interpolator, _) => {
                    let between = interpolator::places(steps);
                    let place = between[rng.random_range(0..between.len())];
                    let lag = place.lag();
                    scales.change =
                        interpolator::change(&piece.field, lag).ok_or("nothing changes in a piece")? * speed;
                    let window = Window { at: (place.middle, z), corner, size };
                    samples.push(interpolator::sample(
                        &piece.field,
                        &piece.decoded,
                        &window,
                        place,
                        &scales,
                        piece.bound,
                    ));
                }
                Design::Frame(Role::Forecaster, plan) => {
                    scales.change *= speed;
                    let window = Window { at: (rng.random_range(2.min(steps - 1)..steps), z), corner, size };
                    let decoded = Some(&piece.decoded);
                    samples.push(piece.field.sample(plan, &window, &scales, piece.bound, decoded));
                }
                Design::Recurrent(_) => {}
            }
        }
        Ok(batch(samples))
    }
}

/// The bound at a share of the way from the least to the greatest.
pub fn at((low, high): (f64, f64), share: f64) -> f64 {
    low * (high / low).powf(share)
}

/// A random piece of `steps`, encoded with the relative `bound` and decoded.
fn piece(
    design: &Design,
    whole: &Field,
    steps: &Range<i64>,
    bound: f64,
    model: Option<Arc<Model>>,
    rng: &mut StdRng,
) -> Result<Piece, String> {
    let (original, field) = cut(whole, steps, design.channels(), false, rng)?;
    let size = field.size;
    let bound = bound * whole.range;
    let decoded = through_codec(design, &original, size, bound, model)?;
    let decoded = Field::new(&decoded, size, field.frames.device()).frames;
    let scales = match design {
        Design::Recurrent(plan) => sequence::scales(&field, plan.channels),
        Design::Frame(..) => vec![],
    };
    Ok(Piece { field, decoded, bound, scales })
}

/// A random piece of `steps`, perhaps mirrored, in which something changes: its values, NaN where they are missing, and the
/// field that they are. Its levels are groups of `channels`.
///
/// # Errors
/// None was found.
pub fn cut(
    whole: &Field,
    steps: &Range<i64>,
    channels: i64,
    mirror: bool,
    rng: &mut StdRng,
) -> Result<(Vec<f32>, Field), String> {
    let length = STEPS.min(steps.end - steps.start);
    let (height, width) = (SIDE.min(whole.size[2]), SIDE.min(whole.size[3]));
    let levels = (AREA / (height * width)).max(3).min(whole.size[1]);
    let levels = (levels / channels).max(1) * channels;
    let size = [length, levels, height, width];
    for _ in 0..TRIES {
        let mut from = [0; 4];
        for (k, from) in from.iter_mut().enumerate() {
            let range = if k == 0 { steps.clone() } else { 0..whole.size[k] };
            *from = rng.random_range(range.start..=range.end - size[k]);
        }
        from[1] -= from[1] % channels;
        let cut = |x: &Tensor| (0..4).fold(x.shallow_clone(), |x, k| x.narrow(k as i64, from[k], size[k]));
        let mut frames = cut(&whole.frames);
        if let Some(mask) = &whole.mask {
            frames = frames.where_scalarother(&cut(mask).ge(0.5), f64::NAN);
        }
        for axis in [-2, -1] {
            if mirror && rng.random::<bool>() {
                frames = frames.flip([axis]);
            }
        }
        let original = numbers(&frames)?;
        let field = Field::new(&original, size, frames.device());
        if field.scales(0, length as usize).is_some() {
            return Ok((original, field));
        }
    }
    Err("nothing changes in this field: there is nothing to learn".into())
}

/// What the codec gives back of values.
fn through_codec(
    design: &Design,
    values: &[f32],
    size: [i64; 4],
    bound: f64,
    model: Option<Arc<Model>>,
) -> Result<Vec<f32>, String> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let shape: Vec<usize> = size.iter().map(|&n| n as usize).collect();
    let mut params = Params::new(Dtype::F32, &shape, Bound::Absolute(bound));
    params.preset = if model.is_some() { design.preset() } else { Preset::Balanced };
    params.model = model;
    let stream = encode(&params, &bytes).map_err(|e| e.to_string())?;
    let decoding = Decoding {
        expected_len: Some(bytes.len()),
        threads: 1,
        models: &params.model,
        ..Decoding::default()
    };
    let decoded = decode_with(&stream, &decoding).map_err(|e| e.to_string())?;
    Ok(decoded.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

fn numbers(x: &Tensor) -> Result<Vec<f32>, String> {
    let flat = x.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().reshape([-1]);
    Vec::<f32>::try_from(flat).map_err(|e| e.to_string())
}
