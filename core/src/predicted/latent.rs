//! What an autoencoder brings to a chunk: quantised latents, and what they become.
//!
//! AE-SZ keeps its latents to a tenth of the bound relative to their range (Liu et al., CLUSTER 2021, section IV-C). That is
//! where the search for the step begins here; the step of the fewest estimated bits, latents and residuals together, is taken.

use super::mapped::Mapped;
use super::side::FrameKind;
use crate::chunk::Frames;
use crate::error::{Error, Result};
use crate::params::Params;
use crate::predict::Scale;
use crate::reference::autoencoder::{Autoencoder, Normalisation, Reconstruction};
use crate::reference::blocks::Blocks;
use crate::reference::latents::Latent;

/// The steps that are tried: the first is AE-SZ's, a tenth of the bound's share of the range as a share of the latents' range.
const STEPS: [f64; 5] = [0.1, 0.4, 1.5, 6.0, 24.0];
/// Blocks on which they are.
const SAMPLE: usize = 128;

/// What the model's autoencoder makes of a chunk that is complete, if it can.
pub fn network(params: &Params, mapped: &Mapped, frames: &Frames, scale: &Scale) -> Option<Reconstruction> {
    let model = params.model.as_ref().filter(|_| !mapped.kinds.contains(&FrameKind::Provisional))?;
    let made = Autoencoder::of(model).and_then(|found| {
        let autoencoder = found.ok_or_else(|| Error::invalid("it has no graphs encoder and decoder"))?;
        bring(&autoencoder, mapped, frames, scale, params.threads)
    });
    made.unwrap_or_else(|e| {
        log::warn!("the model sha256:{} is not used: {e}", model.digest());
        None
    })
}

/// What the autoencoder makes of the chunk; `None` where it can make nothing of it.
///
/// # Errors
/// `InvalidArgument` where the model is too large.
fn bring(
    autoencoder: &Autoencoder,
    mapped: &Mapped,
    frames: &Frames,
    scale: &Scale,
    threads: usize,
) -> Result<Option<Reconstruction>> {
    let Some(normal) = Normalisation::of((scale.low, scale.high)) else { return Ok(None) };
    let blocks = Blocks::new(autoencoder.shape, frames);
    let raw = autoencoder.latents(&blocks, &mapped.grid, &normal, threads)?;
    let (low, high) = raw.iter().flatten().fold((0, 0), |(l, h), v| (l.min(*v), h.max(*v)));
    let share = f64::from(scale.step) / (f64::from(scale.high) - f64::from(scale.low));
    let every = blocks.count().div_ceil(SAMPLE);
    let sampled: Vec<usize> = (every / 2..blocks.count()).step_by(every).collect();
    let of = |step: u16, chosen: &mut dyn Iterator<Item = usize>| -> Vec<Vec<i32>> {
        let chosen: Vec<usize> = chosen.collect();
        let quantised = |values: &Vec<i32>| chosen.iter().map(|b| quantise(values[*b], step)).collect();
        raw.iter().map(quantised).collect()
    };
    let mut best: Option<(f64, u16, f64)> = None;
    let mut last = 0;
    for candidate in STEPS {
        let step = (candidate * share * f64::from(high - low)).round().clamp(1.0, 4096.0) as u16;
        if step == last {
            continue;
        }
        last = step;
        let latents = of(step, &mut sampled.iter().copied());
        let made = autoencoder.reconstruct(&latents, step, threads)?;
        let bits = latent_bits(&latents);
        let missed = residual_bits(&blocks, &sampled, &made, &normal, mapped, scale);
        if best.is_none_or(|b| bits + missed < b.0) {
            best = Some((bits + missed, step, bits / sampled.len().max(1) as f64));
        }
    }
    let Some((_, step, bits)) = best else { return Ok(None) };
    let latent = Latent { normal, step, values: of(step, &mut (0..blocks.count())) };
    let values = autoencoder.reconstruct(&latent.values, step, threads)?;
    Ok(Some(Reconstruction { blocks, latent, values, bits }))
}

/// The multiple of the step that is nearest to a latent.
fn quantise(v: i32, step: u16) -> i32 {
    let step = i32::from(step);
    (v + step / 2).div_euclid(step)
}

/// Bits of latents, if each component has a two-sided geometric distribution.
fn latent_bits(latents: &[Vec<i32>]) -> f64 {
    let of = |values: &Vec<i32>| {
        let n = values.len().max(1) as f64;
        let mean = values.iter().map(|v| f64::from(v.unsigned_abs())).sum::<f64>() / n;
        n * (1.0 + 2.0 * std::f64::consts::E * mean).log2()
    };
    latents.iter().map(of).sum()
}

/// Bits of what the reconstructions of some blocks miss.
fn residual_bits(
    blocks: &Blocks,
    sampled: &[usize],
    made: &[i16],
    normal: &Normalisation,
    mapped: &Mapped,
    scale: &Scale,
) -> f64 {
    let points = blocks.shape.points();
    let mut bits = 0.0;
    for (block, made) in sampled.iter().zip(made.chunks_exact(points)) {
        for row in blocks.rows(*block).filter(|r| r.own) {
            let values = &mapped.grid[row.start..row.start + row.width];
            for (v, output) in values.iter().zip(&made[row.at..]) {
                let missed = v.wrapping_sub(normal.value(*output, (scale.low, scale.high)));
                bits += price(f64::from(missed.unsigned_abs()) / f64::from(scale.step));
            }
        }
    }
    bits
}

/// Bits of a residual of so many steps, about.
fn price(steps: f64) -> f64 {
    0.5 * (1.0 + 17.0 * steps * steps).log2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latents_are_quantised_to_the_nearest_multiple() {
        for v in -50..50i32 {
            for step in 1..9u16 {
                let q = quantise(v, step);
                assert!(2 * (v - q * i32::from(step)).abs() <= i32::from(step), "{v} {step}");
            }
        }
    }
}
