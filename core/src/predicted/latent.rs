//! What an autoencoder brings to a chunk: quantised latents, and what they become.
//!
//! AE-SZ keeps its latents to a tenth of the bound relative to their range (Liu et al., CLUSTER 2021, section IV-C). That is
//! where the search for the step begins here; the step of the fewest estimated bits, latents and residuals together, is taken.

use super::mapped::Mapped;
use super::rivals;
use super::side::FrameKind;
use crate::chunk::Frames;
use crate::error::{Error, Result};
use crate::params::Params;
use crate::predict::Scale;
use crate::reference::autoencoder::{Autoencoder, Normalisation, Reconstruction};
use crate::reference::blocks::{Blocks, Row};
use crate::reference::latents::Latent;

/// The steps that are tried: the first is AE-SZ's, a tenth of the bound's share of the range as a share of the latents' range.
const STEPS: [f64; 5] = [0.1, 0.4, 1.5, 6.0, 24.0];
/// Blocks on which they are.
const SAMPLE: usize = 128;

/// What the model's autoencoder makes of a chunk that is complete, if it can and, where each block has other predictions to
/// choose from (`alone` is false), if it is better than those for some of the blocks of a sample.
pub fn network(
    params: &Params,
    mapped: &Mapped,
    frames: &Frames,
    scale: &Scale,
    alone: bool,
) -> Option<Reconstruction> {
    let model = params.model.as_ref().filter(|_| !mapped.kinds.contains(&FrameKind::Provisional))?;
    let made = Autoencoder::of(model).and_then(|found| {
        let autoencoder = found.ok_or_else(|| Error::invalid("it has no graphs encoder and decoder"))?;
        let Some(normal) = Normalisation::of((scale.low, scale.high)) else { return Ok(None) };
        let blocks = Blocks::new(autoencoder.shape, frames);
        if blocks.are_mostly_beyond() {
            return Ok(None);
        }
        Bringing { autoencoder, blocks, normal, grid: &mapped.grid, scale, threads: params.threads }
            .bring(alone)
    });
    made.unwrap_or_else(|e| {
        log::warn!("the model sha256:{} is not used: {e}", model.digest());
        None
    })
}

/// An autoencoder and a chunk.
struct Bringing<'a> {
    autoencoder: Autoencoder<'a>,
    blocks: Blocks,
    normal: Normalisation,
    grid: &'a [i32],
    scale: &'a Scale,
    threads: usize,
}

impl Bringing<'_> {
    /// See [`network`].
    fn bring(self, alone: bool) -> Result<Option<Reconstruction>> {
        let every = self.blocks.count().div_ceil(SAMPLE);
        let sampled: Vec<usize> = (every / 2..self.blocks.count()).step_by(every).collect();
        let raw = self.latents(&sampled)?;
        let (low, high) = raw.iter().flatten().fold((0, 0), |(l, h), v| (l.min(*v), h.max(*v)));
        let share = f64::from(self.scale.step) / (f64::from(self.scale.high) - f64::from(self.scale.low));
        let others = |b: &usize| {
            if alone {
                f64::INFINITY
            } else {
                rivals::bits(&self.blocks, *b, self.grid, self.scale)
            }
        };
        let others: Vec<f64> = sampled.iter().map(others).collect();
        // Bits of the sample, the step, and bits of the latents of a block.
        let mut best: Option<(f64, u16, f64)> = None;
        let mut last = 0;
        for candidate in STEPS {
            let step = (candidate * share * f64::from(high - low)).round().clamp(1.0, 4096.0) as u16;
            if step == last {
                continue;
            }
            last = step;
            let latents = quantised(&raw, step);
            let made = self.autoencoder.reconstruct(&latents, step, self.threads)?;
            let bits = latent_bits(&latents) / sampled.len().max(1) as f64;
            let own = self.missed(&sampled, &made).into_iter().map(|missed| missed + bits);
            if !alone && !own.clone().zip(&others).any(|(own, other)| own < *other) {
                continue;
            }
            let sum = own.zip(&others).map(|(own, other)| own.min(*other)).sum();
            if best.is_none_or(|b| sum < b.0) {
                best = Some((sum, step, bits));
            }
        }
        let Some((_, step, bits)) = best else { return Ok(None) };
        let all: Vec<usize> = (0..self.blocks.count()).collect();
        let latent = Latent { normal: self.normal, step, values: quantised(&self.latents(&all)?, step) };
        let values = self.autoencoder.reconstruct(&latent.values, step, self.threads)?;
        Ok(Some(Reconstruction { blocks: self.blocks, latent, values, bits }))
    }

    fn latents(&self, chosen: &[usize]) -> Result<Vec<Vec<i32>>> {
        self.autoencoder.latents((&self.blocks, chosen), self.grid, &self.normal, self.threads)
    }

    /// Bits of what the reconstructions of some blocks miss, for each of them.
    fn missed(&self, sampled: &[usize], made: &[i16]) -> Vec<f64> {
        let limits = (self.scale.low, self.scale.high);
        let of = |(block, made): (&usize, &[i16])| {
            let rows = self.blocks.rows(*block).filter(|r| r.own);
            let row = |row: Row| -> f64 {
                let pairs = self.grid[row.start..][..row.width].iter().zip(&made[row.at..]);
                pairs
                    .map(|(v, output)| {
                        price(v.wrapping_sub(self.normal.value(*output, limits)), self.scale.step)
                    })
                    .sum()
            };
            rows.map(row).sum()
        };
        sampled.iter().zip(made.chunks_exact(self.blocks.shape.points())).map(of).collect()
    }
}

/// Multiples of the step.
fn quantised(latents: &[Vec<i32>], step: u16) -> Vec<Vec<i32>> {
    latents.iter().map(|values| values.iter().map(|v| quantise(*v, step)).collect()).collect()
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

/// Bits of a residual of so many units, about.
pub fn price(missed: i32, step: i32) -> f64 {
    let steps = f64::from(missed) / f64::from(step);
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
