//! What a chunk is predicted with: the predictor, the order in time, and forecasts where a model brings them.

use super::blockwise;
use super::direct;
use super::encode::Shared;
use super::grids::WEIGHT_BITS;
use super::latent;
use super::mapped::Mapped;
use super::rehearsal::Part;
use super::side::Predictor;
use crate::chunk::Frames;
use crate::error::Result;
use crate::grid::Grid;
use crate::marks;
use crate::network::Model;
use crate::params::{Params, Preset};
use crate::predict::corrector::Corrections;
use crate::predict::effort::{self, Effort};
use crate::predict::fit::{fit, Fitted, Pyramids, Samples};
use crate::predict::{lorenzo, Scale};
use crate::reference::forecast::{self, Forecaster, Forecasts, Numbers};
use crate::reference::normal::Normal;
use crate::reference::window::Window;
use crate::reference::{coding_order, TimeOrder};
use crate::threads::parallel;
use std::sync::Arc;

/// What a chunk is predicted with.
#[derive(Clone)]
pub struct Choice {
    /// The predictor.
    pub predictor: Predictor,
    /// Order in time.
    pub order: TimeOrder,
    /// What the forecasts of the order are made with.
    pub forecasts: Option<Forecasts>,
    /// What corrects predictions, and where.
    pub corrections: Option<Corrections>,
    /// Estimated bits of the chunk.
    pub bits: f64,
}

/// What prediction needs to know of a grid.
pub fn scale(mapped: &Mapped, grid: &Grid) -> Scale {
    Scale { step: grid.step, shift: grid.shift, low: mapped.low, high: mapped.high }
}

/// How hard a preset tries.
pub fn effort(params: &Params) -> &'static Effort {
    if params.preset == Preset::Fast {
        &effort::FAST
    } else {
        &effort::BALANCED
    }
}

/// What makes forecasts of the chunk: the model, if it can, and the numbers for each window.
fn forecasts(
    mapped: &Mapped,
    frames: &Frames,
    grid: &Grid,
    params: &Params,
) -> Option<(Arc<Model>, Vec<Normal>)> {
    let model = params.model.as_ref().filter(|_| params.preset.uses_forecasts())?;
    let numbers = numbers(&scale(mapped, grid), frames);
    let usable = |window| {
        let Some(normal) = Normal::of(&mapped.grid, mapped.mask.as_deref(), frames, window) else {
            return Ok(None);
        };
        // Bands are no larger than the frames that this is tried on.
        Forecaster::new(model, &normal, numbers, (frames.height, frames.width), 1).map(|_| Some(normal))
    };
    match forecast::windows(model).and_then(|w| w.into_iter().map(usable).collect::<Result<Vec<_>>>()) {
        Ok(normals) => Some((Arc::clone(model), normals.into_iter().flatten().collect())),
        Err(e) => {
            log::warn!("the model sha256:{} is not used: {e}", model.digest());
            None
        }
    }
}

/// The numbers of a chunk as forecasts need them.
pub fn numbers(scale: &Scale, frames: &Frames) -> Numbers {
    Numbers { step: scale.step, limits: (scale.low, scale.high), levels: frames.levels }
}

/// Bytes that name a model and what its inputs are.
pub const NAME_BYTES: usize = 48;
/// How much larger a chunk must be without forecasts for them to be used: reading them takes many times as long.
pub const FORECAST_GAIN: f64 = 1.01;
/// Points to a byte from which on weights are fitted once more.
pub const REFIT_POINTS: usize = 10;
/// Bits of a point below which estimates of orders in time are not enough.
const FEW_BITS: f64 = 0.3;
/// How much smaller a chunk must be with the order that has more classes of weights to fit.
const MORE_CLASSES: f64 = 1.01;
/// How much more than another a predictor must seem to take for it not to be looked at again.
const CLOSE: f64 = 1.5;
/// Share by which estimates of forecasts may be too large.
const ESTIMATES: f64 = 1.05;

/// An order with what its forecasts need, and values as an earlier coding decodes to them.
pub type Trial<'a> = (TimeOrder, Option<&'a Forecasts>, Option<&'a [i32]>);

/// The multiscale predictor with weights fitted for an order.
pub fn fitted(
    trial: Trial,
    mapped: &Mapped,
    frames: &Frames,
    grid: &Grid,
    effort: &Effort,
    threads: usize,
) -> Choice {
    let kept = Pyramids::default();
    let sketch = fit_order(trial, mapped, frames, grid, (&effort.quick(), None), &kept, threads);
    let found = fit_order(trial, mapped, frames, grid, (effort, Some(&sketch)), &kept, threads);
    chosen(trial, &found)
}

/// Weights for an order, from a sketch of them if there is one.
fn fit_order(
    (order, forecasts, decoded): Trial,
    mapped: &Mapped,
    frames: &Frames,
    grid: &Grid,
    effort: (&Effort, Option<&Fitted>),
    pyramids: &Pyramids,
    threads: usize,
) -> Fitted {
    let (values, mask) = (&mapped.grid[..], mapped.mask.as_deref());
    let samples = Samples { grid: values, mask, frames: *frames, decoded, forecasts, pyramids };
    fit(&samples, &coding_order(order, frames), &scale(mapped, grid), effort, threads)
}

/// The multiscale predictor with these weights.
fn chosen((order, forecasts, _): Trial, found: &Fitted) -> Choice {
    Choice {
        predictor: Predictor::Multiscale(found.sent.clone()),
        order,
        forecasts: forecasts.cloned(),
        corrections: None,
        bits: found.bits,
    }
}

/// The better of the sketches of two orders. Where points have few bits a part of the chunk is coded with each, which counts
/// the more the fewer they are, and the sketch's own estimate the less.
fn better(
    sketches: Vec<(Choice, Fitted)>,
    mapped: &Mapped,
    frames: &Frames,
    grid: &Grid,
    threads: usize,
) -> Option<(Choice, Fitted)> {
    let all = mapped.grid.len() as f64;
    let least = sketches.iter().fold(f64::INFINITY, |least, (choice, _)| least.min(choice.bits)) / all;
    let part = if sketches.len() > 1 && least < FEW_BITS { Part::of(mapped, frames) } else { None };
    let costs = parallel(sketches.iter().collect(), threads, |(choice, found): &(Choice, Fitted)| {
        let Some(part) = &part else { return choice.bits };
        let special = mapped.mask.as_deref().map_or(0, marks::count);
        let side: f64 = found.sent.iter().map(|s| f64::from(s.bits())).sum();
        let bits = side + (all - special as f64) * part.bits(mapped, grid, choice.order, &found.sent);
        let worth = if choice.order.is_hierarchical() { MORE_CLASSES } else { 1.0 };
        worth * bits * choice.bits.powf((least / FEW_BITS).sqrt())
    });
    let least = sketches.into_iter().zip(costs).min_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(least.0)
}

/// What a chunk may be predicted with, without networks, as a small sample tells.
pub struct Outline {
    best: Choice,
    /// Where weights are to be fitted to a larger sample yet: those of the small one, and frames that it was taken from.
    sketch: Option<(Fitted, Pyramids)>,
    /// Lorenzo's predictor, where it may be used besides.
    rival: Option<Choice>,
}

impl Outline {
    /// `lorenzo` says whether the predictor may be Lorenzo's.
    pub fn of(mapped: &Mapped, frames: &Frames, grid: &Grid, params: &Params, lorenzo: bool) -> Self {
        let only = |best| Self { best, sketch: None, rival: None };
        if params.preset == Preset::Tezip {
            return only(direct::choose(mapped, frames, &scale(mapped, grid), params));
        }
        if params.preset.is_blockwise() {
            return only(blockwise::choose(frames, params));
        }
        let first = if frames.count() == 1 { TimeOrder::Independent } else { TimeOrder::Previous };
        let simple = || {
            let (neighbours, bits) =
                lorenzo::estimate(&mapped.grid, mapped.mask.as_deref(), frames, grid.step);
            let predictor = Predictor::Lorenzo(neighbours);
            Choice { predictor, order: first, forecasts: None, corrections: None, bits }
        };
        if lorenzo && grid.shift < WEIGHT_BITS {
            return only(simple());
        }
        let mut orders = vec![first];
        if frames.steps > 2 && params.preset != Preset::Fast {
            orders.push(TimeOrder::Hierarchical);
        }
        // Small samples tell which order is better, and where it predicts badly; weights are worth a larger one. Lorenzo
        // is one more piece of work.
        let (quick, pyramids) = (effort(params).quick(), Pyramids::default());
        let tries: Vec<Option<TimeOrder>> =
            orders.into_iter().map(Some).chain(lorenzo.then_some(None)).collect();
        let tried = parallel(tries, params.threads, |order| {
            let Some(order) = order else { return (simple(), None) };
            let trial = (order, None, None);
            let found = fit_order(trial, mapped, frames, grid, (&quick, None), &pyramids, params.threads);
            (chosen(trial, &found), Some(found))
        });
        let (mut rival, mut sketches) = (None, vec![]);
        for (choice, found) in tried {
            match found {
                None => rival = Some(choice),
                Some(found) => sketches.push((choice, found)),
            }
        }
        let best = better(sketches, mapped, frames, grid, params.threads);
        match best {
            Some((best, found)) => Self { best, sketch: Some((found, pyramids)), rival },
            None => only(simple()),
        }
    }

    /// Gives back memory that only makes the choice quicker.
    pub fn slim(&mut self) {
        if let Some((_, pyramids)) = &mut self.sketch {
            *pyramids = Pyramids::default();
        }
    }

    /// Estimated bits of the chunk.
    pub fn bits(&self) -> f64 {
        self.rival.as_ref().map_or(self.best.bits, |rival| rival.bits.min(self.best.bits))
    }

    /// Whether points are predicted one by one, so that special ones save bits.
    pub fn skips_special(&self) -> bool {
        matches!(self.best.predictor, Predictor::Multiscale(_) | Predictor::Lorenzo(_))
    }

    /// The predictor of the fewest bits, with weights as good as the preset asks.
    pub fn choice(self, mapped: &Mapped, frames: &Frames, grid: &Grid, params: &Params) -> Choice {
        let mut best = self.best;
        if let Some((sketch, pyramids)) = self.sketch {
            // More of an estimate is worth its time only where there is something to decide.
            let estimates = self.rival.as_ref().is_some_and(|lorenzo| lorenzo.bits < CLOSE * best.bits);
            let effort = Effort { estimates, ..*effort(params) };
            let (trial, from) = ((best.order, None, None), (&effort, Some(&sketch)));
            best = chosen(trial, &fit_order(trial, mapped, frames, grid, from, &pyramids, params.threads));
        }
        match self.rival {
            Some(lorenzo) if lorenzo.bits < best.bits => lorenzo,
            _ => best,
        }
    }
}

/// The predictor and order of the fewest estimated bits, without networks; `lorenzo` says whether it may be Lorenzo's.
pub fn choose(mapped: &Mapped, frames: &Frames, grid: &Grid, params: &Params, lorenzo: bool) -> Choice {
    Outline::of(mapped, frames, grid, params, lorenzo).choice(mapped, frames, grid, params)
}

/// The best order with forecasts, where its estimate is below `bytes`; `decoded` is what an earlier coding decodes to.
pub fn choose_forecasts(shared: &Shared, decoded: &[i32], bytes: usize) -> Option<Choice> {
    let Shared { params, frames, mapped, grid, .. } = *shared;
    let (model, normals) = forecasts(mapped, frames, grid, params)?;
    let made: Vec<(Window, Forecasts)> =
        normals.into_iter().map(|n| (n.window, Forecasts::Network(Arc::clone(&model), n))).collect();
    fn trial<'a>(made: &'a (Window, Forecasts), decoded: &'a [i32]) -> Trial<'a> {
        (TimeOrder::Forecast(made.0), Some(&made.1), Some(decoded))
    }
    let (effort, kept) = (effort(params), Pyramids::default());
    let quick = effort.quick();
    let sketches = parallel(made.iter().collect(), params.threads, |m| {
        (m, fit_order(trial(m, decoded), mapped, frames, grid, (&quick, None), &kept, params.threads))
    });
    let (best, sketch) = sketches.into_iter().min_by(|a, b| a.1.bits.total_cmp(&b.1.bits))?;
    let (best, from) = (trial(best, decoded), (effort, Some(&sketch)));
    let choice = chosen(best, &fit_order(best, mapped, frames, grid, from, &kept, params.threads));
    (choice.bits < 8.0 * ESTIMATES * bytes as f64).then_some(choice)
}

/// The order of `choice` with what an autoencoder makes of the chunk, where its estimate is below `bytes`; `decoded` is what an
/// earlier coding decodes to.
pub fn choose_reconstruction(
    shared: &Shared,
    choice: &Choice,
    decoded: &[i32],
    bytes: usize,
) -> Option<Choice> {
    let Shared { params, frames, mapped, grid, .. } = *shared;
    let model = params.model.as_ref()?;
    let scale = scale(mapped, grid);
    let found = latent::network(params, mapped, frames, &scale, true)?;
    let side = found.bits * found.blocks.count() as f64;
    let forecasts = Forecasts::Given(model.digest(), Arc::new(found));
    let order = TimeOrder::Reconstructed { hierarchical: choice.order.is_hierarchical() };
    let trial = (order, Some(&forecasts), Some(decoded));
    let found = fitted(trial, mapped, frames, grid, effort(params), params.threads);
    (found.bits + side < 8.0 * ESTIMATES * bytes as f64).then_some(found)
}
