//! What is trained: architecture, size and what goes with them.

use super::autoencoder::{self, Autoencoder, Plan};
use super::data::Source;
use super::outcome::Way;
use crate::failure::{Failure, Result};
use augur_core::{Dtype, Preset};
use clap::Args;
use serde_json::{json, Value};

/// Options of a network's architecture.
#[derive(Debug, Args)]
pub struct Architecture {
    /// What to train: learned, prednet, convlstm, swae or cae
    #[arg(long, value_name = "NAME", default_value = "learned", value_parser = ["learned", "prednet", "convlstm", "swae", "cae"])]
    architecture: String,
    /// Size of the network: small, medium or large (learned), or small, medium or tezip (prednet, convlstm)
    /// [default: medium; small for prednet and convlstm]
    #[arg(long, value_name = "SIZE", value_parser = ["small", "medium", "large", "tezip"])]
    size: Option<String>,
    /// learned: forecaster, of the next frame, or interpolator, of the frame between two
    #[arg(long, value_name = "ROLE", default_value = "forecaster", value_parser = ["forecaster", "interpolator"])]
    role: String,
    /// learned: which networks to train: forecaster (or interpolator), of whole frames; corrector, of what the prediction of
    /// each point misses, behind the forecaster that was trained before or that --init has [default: forecaster,corrector]
    #[arg(long, value_name = "PARTS", value_delimiter = ',', value_parser = ["forecaster", "corrector"])]
    parts: Vec<String>,
    /// prednet, convlstm: levels (colours, variables) that are forecast together, up to 16 [default: all of 2 to 4, else 1];
    /// swae: channels after each halving of a block, as 32,64,128 (the default for 8x8x8)
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=512))]
    channels: Vec<u32>,
    /// prednet, convlstm: whether the next frame or its change is forecast [default: change; frame for --size tezip with
    /// 8-bit integers]
    #[arg(long, value_name = "WHAT", value_parser = ["frame", "change"])]
    planes: Option<String>,
    /// What is minimised: bits (an estimate of what the codec will store), or l0 (TEZip's mean absolute error, with its
    /// learning rates)
    #[arg(long, value_name = "LOSS", default_value = "bits", value_parser = ["bits", "l0"])]
    loss: String,
    #[command(flatten)]
    autoencoder: Autoencoder,
    /// swae, cae: which blocks a --proportion takes: the first ones, at equal distances, or random ones [default: strided]
    #[arg(long, value_name = "WHICH", value_parser = ["first", "strided", "random"])]
    sampling: Option<String>,
}

/// What a network for a preset is compared with.
const LEARNED: [Way; 2] = [
    Way { name: "balanced", preset: Preset::Balanced, model: false },
    Way { name: "learned", preset: Preset::Learned, model: true },
];
const SWAE: [Way; 3] = [
    Way { name: "balanced", preset: Preset::Balanced, model: false },
    Way { name: "ae-sz+", preset: Preset::AeSzPlus, model: true },
    Way { name: "ae-sz", preset: Preset::AeSz, model: true },
];
const CAE: [Way; 2] = [
    Way { name: "balanced", preset: Preset::Balanced, model: false },
    Way { name: "cae", preset: Preset::Cae, model: true },
];
const RECURRENT: [Way; 4] = [
    Way { name: "balanced", preset: Preset::Balanced, model: false },
    Way { name: "tezip+", preset: Preset::TezipPlus, model: true },
    Way { name: "tezip without model", preset: Preset::Tezip, model: false },
    Way { name: "tezip", preset: Preset::Tezip, model: true },
];

impl Architecture {
    /// Whether the network remembers.
    fn is_recurrent(&self) -> bool {
        matches!(self.architecture.as_str(), "prednet" | "convlstm")
    }

    /// What autoencoder is asked for; `None`: none.
    ///
    /// # Errors
    /// Options that do not fit together.
    pub fn autoencoder(&self) -> Result<Option<Plan>> {
        let kind = &self.architecture;
        autoencoder::KINDS
            .contains(&kind.as_str())
            .then(|| self.autoencoder.plan(kind, &self.channels))
            .transpose()
    }

    /// Whether the first blocks are taken, where not all are.
    pub fn takes_first(&self) -> bool {
        self.sampling() == "first"
    }

    fn sampling(&self) -> &str {
        self.sampling.as_deref().unwrap_or("strided")
    }

    fn size(&self) -> &str {
        let default = if self.is_recurrent() { "small" } else { "medium" };
        self.size.as_deref().unwrap_or(default)
    }

    /// The ways in which held-out steps are stored, to see what the model is worth.
    pub fn presets(&self) -> &'static [Way] {
        match self.architecture.as_str() {
            "swae" => &SWAE,
            "cae" => &CAE,
            _ if self.is_recurrent() => &RECURRENT,
            _ => &LEARNED,
        }
    }

    /// Checks that the options fit together.
    ///
    /// # Errors
    /// Those that do not.
    pub fn check(&self) -> Result<()> {
        let name = &self.architecture;
        let wrong = |option: &str| Err(Failure::new(format!("--architecture {name} has no {option}")));
        if let Some(option) = self.autoencoder.unfit(name) {
            return wrong(option);
        }
        if name != "learned" && !self.parts.is_empty() {
            return wrong("--parts");
        }
        if self.autoencoder()?.is_some() {
            return match (&self.size, self.role.as_str(), &self.planes, self.loss.as_str()) {
                (Some(_), ..) => wrong("--size: --block, --channels and --latent say what it is like"),
                (_, "interpolator", ..) => wrong("--role"),
                (_, _, Some(_), _) => wrong("--planes"),
                (.., "l0") => wrong("--loss"),
                _ => Ok(()),
            };
        }
        if self.sampling.is_some() {
            return wrong("--sampling: it takes pieces of the time");
        }
        match (self.is_recurrent(), self.size()) {
            (true, "large") => return wrong("--size large: small, medium or tezip are possible"),
            (false, "tezip") => return wrong("--size tezip: small, medium or large are possible"),
            _ => {}
        }
        if self.is_recurrent() && self.role != "forecaster" {
            return wrong("--role: it forecasts");
        }
        if !self.is_recurrent() && !self.channels.is_empty() {
            return wrong("--channels: its levels are forecast one by one");
        }
        if self.channels.len() > 1 || self.channels.iter().any(|c| *c > 16) {
            return wrong("such --channels: one number of 1 to 16 is possible");
        }
        if !self.is_recurrent() && self.planes.is_some() {
            return wrong("--planes: it forecasts changes");
        }
        Ok(())
    }

    /// Adds what is asked for to a request to the trainer, and to what the model says of itself. `pieces` are
    /// chunks and shares of the blocks of what an autoencoder is trained on.
    ///
    /// # Errors
    /// Fields that do not fit.
    pub fn complete(
        &self,
        sources: &[Source],
        pieces: Vec<Value>,
        request: &mut Value,
        metadata: &mut Value,
    ) -> Result<()> {
        if let Some(plan) = self.autoencoder()? {
            let mut asked = self.autoencoder.request(&plan, sources)?;
            asked["pieces"] = Value::from(pieces);
            asked["sampling"] = json!(self.sampling());
            request["autoencoder"] = asked;
            metadata["size"] = json!(plan.size());
            metadata["sampling"] = json!(self.sampling());
            return Ok(());
        }
        request["size"] = json!(self.size());
        request["loss"] = json!(self.loss);
        if !self.is_recurrent() {
            request["role"] = json!(self.role);
            let both = || vec!["forecaster".to_string(), "corrector".to_string()];
            request["parts"] = json!(if self.parts.is_empty() { both() } else { self.parts.clone() });
            return Ok(());
        }
        let bytes = sources.iter().all(|s| matches!(s.dtype.0, Dtype::I8 | Dtype::U8));
        let frames = match self.planes.as_deref() {
            Some(what) => what == "frame",
            None => self.size() == "tezip" && bytes,
        };
        request["architecture"] = json!(self.architecture);
        request["planes"] = json!(if frames { 1 } else { 2 });
        request["channels"] = json!(self.channels.first());
        metadata["loss"] = json!(self.loss);
        Ok(())
    }
}
