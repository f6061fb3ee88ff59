//! What networks bring to a chunk that was coded without: forecasts or reconstructions as one more reference, and
//! corrections of the prediction. Each is really coded, and kept where it saves bytes.

use super::choose::{
    choose_forecasts, choose_reconstruction, effort, fitted, scale, Choice, FORECAST_GAIN, NAME_BYTES,
    REFIT_POINTS,
};
use super::encode::{code_as, code_measured, Encoded, Shared};
use super::mapped::Mapped;
use super::side::FrameKind;
use crate::number::Number;
use crate::params::Preset;
use crate::predict::corrector::{self, Classes, Corrections, Corrector};
use std::sync::Arc;

/// How much larger a chunk must be without corrections for them to be used: reading them takes several times as long.
const CORRECTION_GAIN: f64 = 1.005;

/// The smallest of what the networks of the model make of a chunk, and of `encoded`, which is coded without them as `choice`
/// says; and how it was chosen. `again` gives the integers of decoded values.
pub fn with_networks<N: Number>(
    shared: &Shared,
    choice: Choice,
    encoded: Encoded,
    again: impl Fn(&[u8]) -> Mapped,
) -> (Encoded, Choice) {
    let preset = shared.params.preset;
    let learned = preset.uses_model() && shared.params.model.is_some();
    if !learned || shared.mapped.kinds.contains(&FrameKind::Provisional) {
        return (encoded, choice);
    }
    let (encoded, choice) = with_references::<N>(shared, choice, encoded, again);
    if preset.uses_forecasts() {
        with_corrections::<N>(shared, choice, encoded)
    } else {
        (encoded, choice)
    }
}

/// With forecasts or reconstructions as references, where that is smaller.
fn with_references<N: Number>(
    shared: &Shared,
    plain: Choice,
    encoded: Encoded,
    again: impl Fn(&[u8]) -> Mapped,
) -> (Encoded, Choice) {
    let preset = shared.params.preset;
    if preset.uses_forecasts() && shared.frames.steps < 3 {
        return (encoded, plain);
    }
    // What is decoded has other errors than noise: where most residuals are zero, what the predictor misses. Only
    // really decoded frames tell what a network makes of them.
    let decoded = again(&encoded.decoded).grid;
    let found = match preset {
        Preset::AeSzPlus => choose_reconstruction(shared, &plain, &decoded, encoded.payload.len()),
        _ => choose_forecasts(shared, &decoded, encoded.payload.len()),
    };
    let Some(mut choice) = found else {
        return (encoded, plain);
    };
    drop(decoded);
    let mut forecast = code_as::<N>(shared, choice.clone());
    if forecast.payload.len() < shared.mapped.grid.len() / REFIT_POINTS {
        // Forecasts change what is missed; weights that allow for it are worth their time where little else is left.
        let decoded = again(&forecast.decoded).grid;
        let Shared { params, frames, mapped, grid, .. } = *shared;
        let trial = (choice.order, choice.forecasts.as_ref(), Some(&decoded[..]));
        let again = fitted(trial, mapped, frames, grid, effort(params), params.threads);
        drop(decoded);
        let refitted = code_as::<N>(shared, again.clone());
        if refitted.payload.len() < forecast.payload.len() {
            (forecast, choice) = (refitted, again);
        }
    }
    let size = forecast.payload.len() as f64 * FORECAST_GAIN + NAME_BYTES as f64;
    if size < encoded.payload.len() as f64 {
        (forecast, choice)
    } else {
        (encoded, plain)
    }
}

/// With corrections in the classes in which they pay, where that is smaller.
fn with_corrections<N: Number>(shared: &Shared, plain: Choice, encoded: Encoded) -> (Encoded, Choice) {
    let Some(mut corrections) = corrections(shared) else { return (encoded, plain) };
    let with = |corrections: &Corrections| Choice { corrections: Some(corrections.clone()), ..plain.clone() };
    let mut choice = with(&corrections);
    let (mut corrected, gains) = code_measured::<N>(shared, choice.clone());
    let paying = gains.classes(CORRECTION_GAIN);
    if paying.is_empty() {
        return (encoded, plain);
    }
    if paying != gains.classes(0.0) {
        // Where they do not pay they may cost a third.
        corrections.classes = paying;
        let fewer = with(&corrections);
        let again = code_as::<N>(shared, fewer.clone());
        if again.payload.len() < corrected.payload.len() {
            (corrected, choice) = (again, fewer);
        }
    }
    let named = if encoded.model.is_some() { 0 } else { NAME_BYTES };
    let size = corrected.payload.len() as f64 * CORRECTION_GAIN + named as f64;
    if size < encoded.payload.len() as f64 {
        (corrected, choice)
    } else {
        (encoded, plain)
    }
}

/// Corrections by the model, if it has a network for them, wherever there can be some.
fn corrections(shared: &Shared) -> Option<Corrections> {
    let Shared { params, frames, mapped, grid, .. } = *shared;
    let model = params.model.as_ref()?;
    let usable = || {
        if corrector::graph(model)?.is_none() {
            return Ok(None);
        }
        let corrections = Corrections { model: Some(Arc::clone(model)), classes: Classes::ALL };
        // Bands are no larger than the frames that this is tried on.
        Corrector::new(&corrections, &scale(mapped, grid), (frames.height, frames.width))?;
        Ok::<_, crate::Error>(Some(corrections))
    };
    usable().unwrap_or_else(|e| {
        log::warn!("the corrector of the model sha256:{} is not used: {e}", model.digest());
        None
    })
}
