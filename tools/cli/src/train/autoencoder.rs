//! What of an autoencoder can be chosen: blocks, layers, latents.

use super::data::Source;
use crate::failure::{Failure, Result};
use clap::Args;
use serde_json::{json, Value};

/// Options of autoencoders.
#[derive(Debug, Args)]
pub struct Autoencoder {
    /// swae: points of a block, as 8x8x8, 16x16x16, 16x16, 32x32 or 64x64 [default: 8x8x8]; cae: values of a run [default: 4096]
    #[arg(long, value_name = "POINTS")]
    block: Option<String>,
    /// swae: latents of a block [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    latent: Option<u32>,
    /// swae: what the first side of a block of three is, time or level [default: time, or level where there are fewer than 8 steps]
    #[arg(long, value_name = "AXIS", value_parser = ["time", "level"])]
    third: Option<String>,
    /// cae: layers of encoder and decoder [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8))]
    layers: Option<u32>,
    /// cae: how many times smaller each layer is than the one before [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=64))]
    factor: Option<u32>,
}

/// The kinds.
pub const KINDS: [&str; 2] = ["swae", "cae"];
/// Defaults.
const BLOCK: [i64; 3] = [8, 8, 8];
const LATENT: u32 = 16;
const RUN: i64 = 4096;
const LAYERS: u32 = 3;
const FACTOR: u32 = 8;
/// Channels of the first level, each following one has twice as many.
const CHANNELS: i64 = 32;

/// What the trainer and the model file are told.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    kind: &'static str,
    /// Levels (or steps), rows, columns.
    block: [i64; 3],
    channels: Vec<i64>,
    latent: i64,
}

impl Autoencoder {
    /// An option that is given, of those that `architecture` does not have; `None`: all are fit.
    pub fn unfit(&self, architecture: &str) -> Option<&'static str> {
        let (swae, cae) = (architecture == "swae", architecture == "cae");
        let given = [
            ("--block", self.block.is_some(), swae || cae),
            ("--latent", self.latent.is_some(), swae),
            ("--third", self.third.is_some(), swae),
            ("--layers", self.layers.is_some(), cae),
            ("--factor", self.factor.is_some(), cae),
        ];
        given.into_iter().find(|(_, given, fits)| *given && !fits).map(|(name, ..)| name)
    }

    /// What is asked for.
    ///
    /// # Errors
    /// What does not fit together.
    pub fn plan(&self, architecture: &str, channels: &[u32]) -> Result<Plan> {
        let sides = self.block.as_deref().map(sides).transpose()?;
        if architecture == "cae" {
            return self.runs(sides, channels);
        }
        let block = match sides.as_deref() {
            None => BLOCK,
            Some(&[h, w]) => [1, h, w],
            Some(&[d, h, w]) => [d, h, w],
            Some(_) => {
                return Err(Failure::new("--block: swae has blocks of two or three sides, as 32x32 or 8x8x8"))
            }
        };
        let halvings = |n: i64| n.trailing_zeros();
        let most = block.iter().filter(|n| **n > 1).map(|n| halvings(*n)).min().unwrap_or(0);
        let channels: Vec<i64> = if channels.is_empty() {
            // To blocks of 2 x 2 at least; a cube of 8 is halved to one point.
            let levels = if block == BLOCK { most } else { most.saturating_sub(1).clamp(1, 4) };
            (0..levels).map(|k| CHANNELS << k).collect()
        } else {
            channels.iter().map(|c| i64::from(*c)).collect()
        };
        if channels.is_empty() || channels.len() > most as usize {
            return Err(Failure::new(format!(
                "--block {}: its sides can be halved {most} times, and there are {} --channels, one for each time",
                shown(&block),
                channels.len()
            )));
        }
        let latent = i64::from(self.latent.unwrap_or(LATENT));
        if latent >= block.iter().product() {
            return Err(Failure::new(format!(
                "--latent {latent}: a block has fewer points than {}",
                latent + 1
            )));
        }
        Ok(Plan { kind: "swae", block, channels, latent })
    }

    fn runs(&self, sides: Option<Vec<i64>>, channels: &[u32]) -> Result<Plan> {
        if !channels.is_empty() {
            return Err(Failure::new(
                "--architecture cae has no --channels: --layers and --factor say how it narrows",
            ));
        }
        let n = match sides.as_deref() {
            None => RUN,
            Some(&[n]) => n,
            Some(_) => return Err(Failure::new("--block: cae has runs of values, one number as 4096")),
        };
        let (layers, factor) = (self.layers.unwrap_or(LAYERS), i64::from(self.factor.unwrap_or(FACTOR)));
        let all = factor.checked_pow(layers).filter(|all| *all <= n && n % all == 0);
        if all.is_none() || n > 16384 {
            return Err(Failure::new(format!(
                "--block {n}: {layers} layers that are {factor} times smaller each need a multiple of {factor}^{layers} up to 16384"
            )));
        }
        let channels: Vec<i64> = (1..=layers).map(|k| n / factor.pow(k)).collect();
        let latent = channels[channels.len() - 1];
        Ok(Plan { kind: "cae", block: [1, 1, n], channels, latent })
    }

    /// What the trainer is asked for.
    ///
    /// # Errors
    /// Fields whose axes do not fit the blocks.
    pub fn request(&self, plan: &Plan, sources: &[Source]) -> Result<Value> {
        let mut out = json!({
            "kind": plan.kind, "block": plan.block, "channels": plan.channels, "latent": plan.latent,
        });
        let mut sides = None;
        if plan.kind == "swae" {
            let levels = sources.iter().filter(|s| s.split != s.time).count();
            if levels != 0 && levels != sources.len() {
                return Err(Failure::new(
                    "fields with time and fields without cannot be trained on together",
                ));
            }
            let [d, h, w] = plan.block;
            let third = self.third.as_deref().unwrap_or(if levels > 0 { "level" } else { "time" });
            if d > 1 {
                out["third"] = json!(third);
            }
            sides = Some(if d > 1 && third == "level" && levels == 0 { [1, d, h, w] } else { [d, 1, h, w] });
            for source in sources {
                let wrong = |why: String| Err(Failure::new(format!("{}: {why}", source.name)));
                if third == "time" && d > 1 && levels > 0 {
                    return wrong(format!("it has {} steps: --third level", source.set.shape[source.time]));
                }
                if third == "level" && d > 1 && levels == 0 && source.size[1] == 1 {
                    return wrong("it has no levels: --third time".into());
                }
            }
        }
        Ok(json!({ "plan": out, "sides": sides }))
    }
}

impl Plan {
    /// Its size, in words.
    pub fn size(&self) -> String {
        let channels: Vec<String> = self.channels.iter().map(i64::to_string).collect();
        match self.kind {
            "cae" => format!("{} values, layers of {}", self.block[2], channels.join(", ")),
            _ => format!("{}, channels {}, {} latents", shown(&self.block), channels.join(", "), self.latent),
        }
    }

    /// Steps that blocks take, along the axis of time.
    pub fn depth(&self) -> usize {
        self.block[0] as usize
    }
}

fn shown(block: &[i64; 3]) -> String {
    let sides = if block[0] == 1 { &block[1..] } else { &block[..] };
    sides.iter().map(i64::to_string).collect::<Vec<_>>().join("x")
}

/// The sides of a block.
fn sides(text: &str) -> Result<Vec<i64>> {
    let of = |part: &str| part.parse::<i64>().ok().filter(|n| (2..=65536).contains(n));
    let sides: Option<Vec<i64>> = text.split('x').map(of).collect();
    let fits = |s: &Vec<i64>| s.len() <= 3 && s.iter().product::<i64>() <= 65536;
    sides.filter(fits).ok_or_else(|| {
        Failure::new(format!(
            "--block {text}: sides of 2 points and more expected, 65536 points at most, as 8x8x8, 32x32 or 4096"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(block: Option<&str>) -> Autoencoder {
        let block = block.map(str::to_string);
        Autoencoder { block, latent: None, third: None, layers: None, factor: None }
    }

    #[test]
    fn blocks_have_as_many_levels_as_they_can_be_halved() {
        for (block, channels) in [
            (None, &[32, 64, 128][..]),
            (Some("8x8x8"), &[32, 64, 128]),
            (Some("16x16x16"), &[32, 64, 128]),
            (Some("32x32"), &[32, 64, 128, 256]),
            (Some("64x64"), &[32, 64, 128, 256]),
            (Some("16x16"), &[32, 64, 128]),
        ] {
            assert_eq!(options(block).plan("swae", &[]).unwrap().channels, channels, "{block:?}");
        }
        for (block, channels) in [
            ("8x8", vec![1, 2, 3, 4]),
            ("9x9", vec![]),
            ("8", vec![]),
            ("8x-8", vec![]),
            ("1024x1024", vec![]),
        ] {
            assert!(options(Some(block)).plan("swae", &channels).is_err(), "{block}");
        }
    }

    #[test]
    fn runs_are_multiples_of_what_the_layers_leave() {
        let plan = options(None).plan("cae", &[]).unwrap();
        assert_eq!((plan.block, plan.channels, plan.latent), ([1, 1, 4096], vec![512, 64, 8], 8));
        assert!(options(Some("1000")).plan("cae", &[]).is_err());
        assert!(options(Some("512x512")).plan("cae", &[]).is_err());
        let narrow = Autoencoder { layers: Some(2), factor: Some(4), ..options(Some("64")) };
        assert_eq!(narrow.plan("cae", &[]).unwrap().channels, vec![16, 4]);
    }
}
