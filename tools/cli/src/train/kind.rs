//! What is trained: architecture, size and what goes with them.

use super::data::Source;
use super::outcome::Way;
use crate::failure::{Failure, Result};
use augur_core::{Dtype, Preset};
use clap::Args;
use serde_json::{json, Value};

/// Options of a network's architecture.
#[derive(Debug, Args)]
pub struct Architecture {
    /// What to train: learned, prednet or convlstm
    #[arg(long, value_name = "NAME", default_value = "learned", value_parser = ["learned", "prednet", "convlstm"])]
    architecture: String,
    /// Size of the network: small, medium or large (learned), or small, medium or tezip (prednet, convlstm)
    /// [default: medium; small for prednet and convlstm]
    #[arg(long, value_name = "SIZE", value_parser = ["small", "medium", "large", "tezip"])]
    size: Option<String>,
    /// learned: forecaster, of the next frame, or interpolator, of the frame between two
    #[arg(long, value_name = "ROLE", default_value = "forecaster", value_parser = ["forecaster", "interpolator"])]
    role: String,
    /// prednet, convlstm: levels (colours, variables) that are forecast together, up to 16 [default: all of 2 to 4, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    channels: Option<u32>,
    /// prednet, convlstm: whether the next frame or its change is forecast [default: change; frame for --size tezip with
    /// 8-bit integers]
    #[arg(long, value_name = "WHAT", value_parser = ["frame", "change"])]
    planes: Option<String>,
    /// What is minimised: bits (an estimate of what the codec will store), or l0 (TEZip's mean absolute error, with its
    /// learning rates)
    #[arg(long, value_name = "LOSS", default_value = "bits", value_parser = ["bits", "l0"])]
    loss: String,
}

/// What a network for a preset is compared with.
const LEARNED: [Way; 2] = [
    Way { name: "balanced", preset: Preset::Balanced, model: false },
    Way { name: "learned", preset: Preset::Learned, model: true },
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
        self.architecture != "learned"
    }

    fn size(&self) -> &str {
        let default = if self.is_recurrent() { "small" } else { "medium" };
        self.size.as_deref().unwrap_or(default)
    }

    /// The ways in which held-out steps are stored, to see what the model is worth.
    pub fn presets(&self) -> &'static [Way] {
        if self.is_recurrent() {
            &RECURRENT
        } else {
            &LEARNED
        }
    }

    /// Checks that the options fit together.
    ///
    /// # Errors
    /// Those that do not.
    pub fn check(&self) -> Result<()> {
        let name = &self.architecture;
        let wrong = |option: &str| Err(Failure::new(format!("--architecture {name} has no {option}")));
        match (self.is_recurrent(), self.size()) {
            (true, "large") => return wrong("--size large: small, medium or tezip are possible"),
            (false, "tezip") => return wrong("--size tezip: small, medium or large are possible"),
            _ => {}
        }
        if self.is_recurrent() && self.role != "forecaster" {
            return wrong("--role: it forecasts");
        }
        if !self.is_recurrent() && self.channels.is_some() {
            return wrong("--channels: its levels are forecast one by one");
        }
        if !self.is_recurrent() && self.planes.is_some() {
            return wrong("--planes: it forecasts changes");
        }
        Ok(())
    }

    /// Adds what is asked for to a request to the trainer, and to what the model says of itself.
    pub fn complete(&self, sources: &[Source], request: &mut Value, metadata: &mut Value) {
        request["size"] = json!(self.size());
        request["loss"] = json!(self.loss);
        if !self.is_recurrent() {
            request["role"] = json!(self.role);
            return;
        }
        let bytes = sources.iter().all(|s| matches!(s.dtype.0, Dtype::I8 | Dtype::U8));
        let frames = match self.planes.as_deref() {
            Some(what) => what == "frame",
            None => self.size() == "tezip" && bytes,
        };
        request["architecture"] = json!(self.architecture);
        request["planes"] = json!(if frames { 1 } else { 2 });
        request["channels"] = json!(self.channels);
        metadata["loss"] = json!(self.loss);
    }
}
