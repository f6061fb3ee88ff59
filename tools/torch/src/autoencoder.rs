//! Autoencoders: what they are built of, and their contract with the codec (docs/models.md).
//!
//! An encoder makes a few latents of a block of a field, a decoder the block of latents. `swae` is that of AE-SZ (Liu et al.:
//! Exploring Autoencoder-based Error-bounded Compression for Scientific Data, IEEE CLUSTER 2021): convolutions over a block,
//! trained as a sliced Wasserstein autoencoder. `cae` is fully connected (T. Liu, Wang, Q. Liu et al.: High-ratio lossy compression:
//! exploring the autoencoder to compress scientific data, IEEE Transactions on Big Data 2021) over runs of values.

pub mod blocks;
pub mod held_out;
pub mod job;
pub mod loss;
pub mod training;

use crate::block::integers::Integers;
use crate::block::net::Net;
use crate::block::{halved, Chain, Size, BEFORE_SIGMOID, HIDDEN};
use crate::graph::{Values, WIDE_RANGE};
use augur_core::network::build::GraphBuilder;
use augur_core::network::Element;
use serde::Deserialize;
use tch::Device;

/// Names of the two graphs in a model file.
pub const GRAPHS: [&str; 2] = ["encoder", "decoder"];
/// Units of a field's values per half of their range.
pub const FIELD: f64 = 16384.0;
/// Units of latents per standard deviation.
pub const LATENT: f64 = 2048.0;
/// Most points of a block, channels of a layer, channels that are normalised together, and latents.
const MOST_POINTS: i64 = 65536;
const MOST_CHANNELS: i64 = 16384;
const MOST_NORMALISED: i64 = 512;
const MOST_LATENTS: i64 = 256;
/// Standard deviation of a field's values, about.
const SPREAD: f64 = 0.35;
/// What a block is reconstructed as at first, over what random weights would make of it.
const QUIET: f64 = 0.1;
/// Greatest sum of a dense layer of 16-bit values.
const GREATEST_SUM: i64 = 1 << 30;

/// 16-bit values of a field.
const FIELD_VALUES: Values = Values { element: Element::I16, unit: FIELD, clamp: WIDE_RANGE };
/// Latents.
const LATENT_VALUES: Values = Values { element: Element::I16, unit: LATENT, clamp: WIDE_RANGE };

/// What kind of autoencoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Convolutions and divisive normalisation, with latents of a normal distribution.
    Swae,
    /// Dense layers and sigmoids.
    Cae,
}

/// What the first axis of a block of three is in the chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Third {
    /// Time.
    #[default]
    Time,
    /// Levels.
    Level,
}

/// What an autoencoder is built of.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Its kind.
    pub kind: Kind,
    /// Levels, rows and columns of a block; of `cae` 1, 1 and the values of a run.
    pub block: Size,
    /// What the first axis of a block is.
    #[serde(default)]
    pub third: Third,
    /// Channels after each level of a `swae`; widths of the layers of a `cae`, the last of which are the latents.
    pub channels: Vec<i64>,
    /// Latents of a block.
    pub latent: i64,
}

impl Plan {
    /// Checks that the codec can compute it.
    ///
    /// # Errors
    /// What cannot be, in words.
    pub fn check(&self) -> Result<(), String> {
        let [d, h, w] = self.block;
        let shape = format!("blocks of {d} x {h} x {w} points");
        let points = d.checked_mul(h).and_then(|n| n.checked_mul(w)).unwrap_or(0);
        if self.block.iter().any(|n| *n < 1) || !(2..=MOST_POINTS).contains(&points) {
            return Err(format!("{shape} are not possible: 2 to {MOST_POINTS} points are"));
        }
        if self.channels.is_empty() || self.channels.iter().any(|c| !(1..=MOST_CHANNELS).contains(c)) {
            return Err(format!("layers have 1 to {MOST_CHANNELS} channels"));
        }
        if !(1..=MOST_LATENTS).contains(&self.latent) || self.latent > points {
            return Err(format!(
                "{} latents are not possible, 1 to {} are",
                self.latent,
                MOST_LATENTS.min(points)
            ));
        }
        if self.kind == Kind::Cae {
            return match (d, h) {
                (1, 1) => Ok(()),
                _ => Err("cae works on runs of values: a block is one number of values".into()),
            };
        }
        if self.channels.iter().any(|c| *c > MOST_NORMALISED) {
            return Err(format!("swae has 1 to {MOST_NORMALISED} channels in a layer"));
        }
        let part = 1 << self.channels.len().min(16);
        let halves = |n: i64| n % part == 0;
        if !(halves(h) && halves(w) && (d == 1 || halves(d))) {
            return Err(format!(
                "{shape} cannot be halved {} times, once for each of the channels {}",
                self.channels.len(),
                list(&self.channels)
            ));
        }
        let flat = self.coarsest().iter().product::<i64>() * self.channels[self.channels.len() - 1];
        if flat > MOST_CHANNELS {
            return Err(format!(
                "{flat} values would be left before the latents, at most {MOST_CHANNELS} are possible: give more levels \
                 of --channels"
            ));
        }
        Ok(())
    }

    /// Points after the last level.
    fn coarsest(&self) -> Size {
        self.channels.iter().fold(self.block, |size, _| halved(size))
    }

    /// The layers of the encoder.
    pub fn encoder(&self) -> Chain {
        if self.kind == Kind::Cae {
            let n = self.block[2];
            let mut chain = Chain::new(n, [1; 3], true, FIELD_VALUES);
            // As many bits as no sum of all can overflow with.
            let most = GREATEST_SUM / (127 * n);
            let shift = (1..15u8).find(|s| (FIELD as i64) >> s <= most).unwrap_or(15);
            let limit = FIELD as i32 >> shift;
            chain = chain.rescale(shift, (-limit, limit));
            for &c in &self.channels[..self.channels.len() - 1] {
                chain = chain.dense(c, BEFORE_SIGMOID).sigmoid();
            }
            return chain.dense(self.latent, LATENT_VALUES);
        }
        let mut chain = Chain::new(1, self.block, self.block[0] == 1, FIELD_VALUES);
        let mut before = 1;
        for &c in &self.channels {
            chain = chain.conv(before, 1, if before == 1 { FIELD_VALUES } else { HIDDEN });
            chain = chain.conv(c, 2, HIDDEN).gdn();
            before = c;
        }
        chain.flatten().dense(self.latent, LATENT_VALUES)
    }

    /// The layers of the decoder.
    pub fn decoder(&self) -> Chain {
        let mut chain = Chain::new(self.latent, [1; 3], self.block[0] == 1, LATENT_VALUES);
        if self.kind == Kind::Cae {
            for &c in self.channels[..self.channels.len() - 1].iter().rev() {
                chain = chain.dense(c, BEFORE_SIGMOID).sigmoid();
            }
            return chain.dense(self.block[2], FIELD_VALUES);
        }
        let last = self.channels[self.channels.len() - 1];
        let coarsest = self.coarsest();
        chain = chain.dense(last * coarsest.iter().product::<i64>(), HIDDEN).unflatten(coarsest);
        for (level, _) in self.channels.iter().enumerate().rev() {
            let size = self.channels[..level].iter().fold(self.block, |size, _| halved(size));
            let (c, values) = match level {
                0 => (1, FIELD_VALUES),
                _ => (self.channels[level - 1], HIDDEN),
            };
            chain = chain.igdn().up(c, size, values).conv(c, 1, values);
        }
        chain
    }

    /// Points of a block.
    pub fn points(&self) -> i64 {
        self.block.iter().product()
    }

    /// Multiply-adds of encoder and decoder per point of a block.
    pub fn operations(&self) -> f64 {
        (self.encoder().operations() + self.decoder().operations()) as f64 / self.points() as f64
    }

    /// What it is, in words.
    pub fn words(&self) -> String {
        let [d, h, w] = self.block;
        match self.kind {
            Kind::Cae => format!("cae: runs of {w} values, layers of {}", list(&self.channels)),
            Kind::Swae => {
                let block = match (d, self.third) {
                    (1, _) => format!("{h} x {w}"),
                    (_, Third::Time) => format!("{d} (time) x {h} x {w}"),
                    (_, Third::Level) => format!("{d} (levels) x {h} x {w}"),
                };
                format!("swae: blocks of {block}, {} channels, {} latents", list(&self.channels), self.latent)
            }
        }
    }
}

fn list(numbers: &[i64]) -> String {
    numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
}

/// Encoder and decoder in training.
#[derive(Debug)]
pub struct Autoencoder {
    /// What it is built of.
    pub plan: Plan,
    /// Makes latents.
    pub encoder: Net,
    /// Makes blocks.
    pub decoder: Net,
}

impl Autoencoder {
    /// With random weights.
    pub fn new(plan: &Plan, device: Device) -> Self {
        let encoder = Net::new(plan.encoder(), SPREAD, device);
        let decoder = Net::new(plan.decoder(), 1.0, device);
        decoder.quieten(QUIET);
        Self { plan: plan.clone(), encoder, decoder }
    }

    /// The graphs for a model file, with their names.
    pub fn describe(&self) -> [(&'static str, GraphBuilder); 2] {
        let of = |net: &Net, name: &'static str| {
            let mut graph = Integers::of(net).graph(name, self.plan.block);
            graph.key("kind", if self.plan.kind == Kind::Swae { "swae" } else { "cae" });
            if self.plan.block[0] > 1 {
                graph.key("third", if self.plan.third == Third::Time { "time" } else { "level" });
            }
            (name, graph)
        };
        [of(&self.encoder, GRAPHS[0]), of(&self.decoder, GRAPHS[1])]
    }

    /// Takes over the weights of a model file.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn start_from(&self, file: &[u8]) -> Result<(), String> {
        for (net, name) in [&self.encoder, &self.decoder].into_iter().zip(GRAPHS) {
            Integers::read(&net.chain, name, file)?.restore(net);
        }
        Ok(())
    }

    /// Numbers that are trained.
    pub fn parameters(&self) -> i64 {
        self.encoder.chain.parameters() + self.decoder.chain.parameters()
    }
}
