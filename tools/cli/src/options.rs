//! Options that several subcommands share: what may be lost, and which datasets are meant.

use crate::failure::{Failure, Result};
use augur_core::params::{KeyFrames, Selection, Windows};
use augur_core::{Bound, Preset};
use augur_filter::{Fill, Settings};
use clap::{ArgGroup, Args};

/// Heading of the help for bounds.
const LOSS: &str = "What may be lost (one of them)";
/// Heading of the help for everything else about compressing.
pub const HOW: &str = "How to compress";

/// Stands for the model that a dataset's attribute names.
const ATTRIBUTE: &str = "attribute";

/// What may be lost and how hard to try.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("bound").multiple(false))]
pub struct BoundOptions {
    /// Every value within E of the original, in the unit of the data
    #[arg(long, value_name = "E", group = "bound", allow_negative_numbers = true, help_heading = LOSS)]
    absolute: Option<f64>,
    /// Every value within E times the value range of its chunk
    #[arg(long, value_name = "E", group = "bound", allow_negative_numbers = true, help_heading = LOSS)]
    relative: Option<f64>,
    /// Value range (largest minus smallest) that --relative refers to, for all chunks alike
    #[arg(long, value_name = "R", requires = "relative", allow_negative_numbers = true, help_heading = LOSS)]
    range: Option<f64>,
    /// Both bounds at once: within ABS, and within REL times the chunk's value range
    #[arg(long, num_args = 2, value_names = ["ABS", "REL"], group = "bound", allow_negative_numbers = true, help_heading = LOSS)]
    absrel: Option<Vec<f64>>,
    /// Every value within E times itself; sign and zero are kept
    #[arg(long, value_name = "E", group = "bound", allow_negative_numbers = true, help_heading = LOSS)]
    pointwise_relative: Option<f64>,
    /// Magnitude below which --pointwise-relative keeps values exactly
    #[arg(long, value_name = "F", requires = "pointwise_relative", allow_negative_numbers = true, help_heading = LOSS)]
    floor: Option<f64>,
    /// Each chunk's peak signal-to-noise ratio is at least DB decibels
    #[arg(long, value_name = "DB", group = "bound", allow_negative_numbers = true, help_heading = LOSS)]
    psnr: Option<f64>,
    /// Nothing is lost
    #[arg(long, group = "bound", help_heading = LOSS)]
    lossless: bool,
    /// How to predict and code: balanced, fast, lossless, learned, tezip (TEZip's method: by a model alone, or by the
    /// frame before), tezip+ (as learned, with models that remember), ae-sz (AE-SZ's method: block by block, by an
    /// autoencoder where that pays), ae-sz+ (balanced, with what an autoencoder makes of each frame) or cae (as ae-sz, with
    /// runs of values) [default: balanced; learned with --model]
    #[arg(long, value_parser = preset, help_heading = HOW)]
    preset: Option<Preset>,
    /// Trained model to predict with: a model file, an HDF5 file that holds one, 8 or more digits of a SHA-256, or
    /// "attribute" for the one that each dataset's attribute augur_model names
    #[arg(long, value_name = "MODEL", help_heading = HOW)]
    model: Option<String>,
    /// Refuse to create a dataset whose model is found nowhere, instead of storing it without one
    #[arg(long, help_heading = HOW)]
    strict: bool,
    /// Value that marks missing data, kept exactly [default: the dataset's own fill value]
    #[arg(long, value_name = "V", allow_negative_numbers = true, help_heading = HOW)]
    fill_value: Option<f64>,
    /// Axis of the dataset that is time, counted from 0 [default: 0; convert: the only unlimited axis]
    #[arg(long, value_name = "N", help_heading = HOW)]
    time_axis: Option<usize>,
    /// With --preset tezip: a key frame every N time steps of a chunk, 2 to 127 [default: only the first]
    #[arg(long, value_name = "N", conflicts_with = "threshold", allow_negative_numbers = true, help_heading = HOW)]
    window: Option<i64>,
    /// With --preset tezip: a key frame where the mean squared error of the predictions since the last one exceeds T
    /// times the chunk's squared value range; T is rounded to a power of 2 to a quarter
    #[arg(long, value_name = "T", allow_negative_numbers = true, help_heading = HOW)]
    threshold: Option<f64>,
    /// With --preset tezip: key frames at the start of each chunk, from which a model learns what goes on, at most 7
    /// [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = HOW)]
    warm_up: Option<i64>,
    /// With --preset tezip: make forecasts from forecasts until the next key frame, as TEZip does, instead of from
    /// what was decoded
    #[arg(long, help_heading = HOW)]
    open_loop: bool,
    /// With --preset ae-sz or cae: how to choose the prediction of each block: by its length, estimated, or by the sum of
    /// its absolute differences, as AE-SZ does [default: length]
    #[arg(long, value_name = "BY", value_parser = ["length", "distance"], help_heading = HOW)]
    selection: Option<String>,
}

fn preset(name: &str) -> std::result::Result<Preset, String> {
    Preset::from_name(name).map_err(|e| e.to_string())
}

impl BoundOptions {
    /// The axis of time, where it was given.
    pub fn time_axis(&self) -> Option<usize> {
        self.time_axis
    }

    /// The model, where one was given and it is not the attribute that names it.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref().filter(|m| *m != ATTRIBUTE)
    }

    /// Whether anything says that, or how, to compress.
    pub fn is_given(&self) -> bool {
        let bound = [self.absolute, self.relative, self.pointwise_relative, self.psnr];
        bound.iter().any(Option::is_some)
            || self.absrel.is_some()
            || self.lossless
            || self.strict
            || self.preset.is_some()
            || self.model.is_some()
            || self.fill_value.is_some()
            || self.window.is_some()
            || self.threshold.is_some()
            || self.warm_up.is_some()
            || self.open_loop
            || self.selection.is_some()
    }

    /// Whether models are asked for.
    pub fn is_learned(&self) -> bool {
        self.model.is_some() || self.preset.is_some_and(Preset::uses_model)
    }

    /// Whether the preset does more than balanced without a model, too.
    pub fn does_without_model(&self) -> bool {
        self.preset.is_some_and(Preset::does_without_model)
    }

    /// The value that marks missing data, where it was given.
    pub fn fill_value(&self) -> Option<f64> {
        self.fill_value
    }

    /// The settings that the options state, checked; `model` is the first half of the digest of [`Self::model`].
    ///
    /// # Errors
    /// No bound at all, or one that cannot be kept.
    pub fn settings(&self, model: Option<[u8; 16]>) -> Result<Settings> {
        let preset = match (self.preset, &self.model) {
            (None, Some(_)) => Preset::Learned,
            (Some(preset), Some(_)) if !preset.uses_model() => {
                return Err(Failure::new(format!(
                    "--preset {} uses no model: drop --model, or ask for --preset learned, tezip, tezip+, ae-sz, ae-sz+ or cae",
                    preset.name()
                )))
            }
            (preset, _) => preset.unwrap_or_default(),
        };
        if self.strict && !preset.uses_model() {
            return Err(Failure::new("--strict is about models: it goes with --model or --preset learned"));
        }
        let windows = self.windows(preset)?;
        if self.selection.is_some() && !preset.is_blockwise() {
            return Err(Failure::new(format!(
                "--selection goes with --preset ae-sz or cae, not with the preset {}",
                preset.name()
            )));
        }
        let selection = match self.selection.as_deref() {
            Some("distance") => Selection::Distance,
            _ => Selection::Length,
        };
        let absrel = match self.absrel.as_deref() {
            Some(&[abs, rel]) => Some(Bound::AbsRel { abs, rel }),
            _ => None,
        };
        let asked = absrel
            .or(self.absolute.map(Bound::Absolute))
            .or(self.relative.map(|rel| Bound::Relative { rel, range: self.range }))
            .or(self
                .pointwise_relative
                .map(|rel| Bound::PointwiseRelative { rel, floor: self.floor.unwrap_or(0.0) }))
            .or(self.psnr.map(Bound::Psnr))
            .or((self.lossless || self.preset == Some(Preset::Lossless)).then_some(Bound::Lossless));
        let bound = asked.ok_or_else(|| {
            Failure::new(
                "say what may be lost: give one of --absolute E, --relative E, --absrel ABS REL, \
                 --pointwise-relative E, --psnr DB or --lossless",
            )
        })?;
        if self.range == Some(0.0) {
            return Err(Failure::new(
                "--range is 0, it must be greater than 0; leave it out to use each chunk's range",
            ));
        }
        if self.preset == Some(Preset::Lossless) && bound != Bound::Lossless {
            return Err(Failure::new(
                "--preset lossless loses nothing, a bound has no meaning with it: drop one of the two",
            ));
        }
        if self.fill_value.is_some() && bound.parameters().1 != 0.0 {
            return Err(Failure::new(
                "--fill-value cannot be given together with --range, --absrel or --floor: the filter's parameters \
                 have room for one of them; the fill value that the dataset states itself needs no option",
            ));
        }
        if let Some(axis) = self.time_axis.filter(|&a| a > 15) {
            return Err(Failure::new(format!("--time-axis is {axis}, it must be 0 to 15")));
        }
        let settings = Settings {
            preset,
            model,
            strict: self.strict,
            fill: self.fill_value.map(Fill::value),
            time_axis: self.time_axis.unwrap_or(0),
            windows,
            selection,
            ..Settings::new(bound)
        };
        settings.validate()?;
        Ok(settings)
    }

    /// Key frames and warm-up, for the preset that has them; the threshold is what the filter's parameters can hold.
    fn windows(&self, preset: Preset) -> Result<Windows> {
        let given = [
            (self.window.is_some(), "--window"),
            (self.threshold.is_some(), "--threshold"),
            (self.warm_up.is_some(), "--warm-up"),
            (self.open_loop, "--open-loop"),
        ];
        if let Some((_, name)) = given.iter().find(|(given, _)| *given && preset != Preset::Tezip) {
            let preset = preset.name();
            return Err(Failure::new(format!(
                "{name} goes with --preset tezip, not with the preset {preset}"
            )));
        }
        let count = |name: &str, value: i64, least: u8, most: u8| {
            u8::try_from(value).ok().filter(|n| (least..=most).contains(n)).ok_or_else(|| {
                Failure::new(format!("{name} is {value}, it must be {least} to {most} time steps"))
            })
        };
        let keys = match (self.window, self.threshold) {
            (Some(n), _) => KeyFrames::Every(count("--window", n, 2, Windows::MAX_EVERY)?),
            (None, Some(t)) if !(2f64.powi(-31)..=1.0).contains(&t) => {
                return Err(Failure::new(format!("--threshold is {t}, it must be 2^-31 to 1")));
            }
            (None, Some(t)) => KeyFrames::Beyond(t),
            (None, None) => KeyFrames::First,
        };
        let warm_up = self.warm_up.map(|n| count("--warm-up", n, 0, Windows::MAX_WARM_UP)).transpose()?;
        Ok(Windows { keys, warm_up: warm_up.unwrap_or(0), open_loop: self.open_loop })
    }
}

/// A preset in a few words, with its windows where they are not the default.
pub fn preset_text(settings: &Settings) -> String {
    let Windows { keys, warm_up, open_loop } = settings.windows;
    let keys = match keys {
        KeyFrames::First => None,
        KeyFrames::Every(n) => Some(format!("key frame every {n} steps")),
        KeyFrames::Beyond(t) => Some(format!("key frame beyond {t:.3e}")),
    };
    let warm_up = (warm_up > 1).then(|| format!("warm-up {warm_up} steps"));
    let selection = (settings.selection == Selection::Distance).then(|| "selection by distance".into());
    let open_loop = open_loop.then(|| "open loop".into());
    let parts = [Some(settings.preset.name().to_string()), keys, warm_up, open_loop, selection];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Windows for programs; null where the preset has none.
pub fn windows_json(settings: &Settings) -> serde_json::Value {
    if settings.preset != Preset::Tezip {
        return serde_json::Value::Null;
    }
    let Windows { keys, warm_up, open_loop } = settings.windows;
    let (window, threshold) = match keys {
        KeyFrames::First => (None, None),
        KeyFrames::Every(n) => (Some(n), None),
        KeyFrames::Beyond(t) => (None, Some(t)),
    };
    serde_json::json!({
        "window": window, "threshold": threshold, "warm_up": warm_up.max(1), "open_loop": open_loop,
    })
}

/// A bound in a few words.
pub fn bound_text(bound: &Bound) -> String {
    match *bound {
        Bound::Lossless => "lossless".into(),
        Bound::Absolute(e) => format!("absolute {e}"),
        Bound::Relative { rel, range: None } => format!("relative {rel}"),
        Bound::Relative { rel, range: Some(r) } => format!("relative {rel} of range {r}"),
        Bound::AbsRel { abs, rel } => format!("absolute {abs} and relative {rel}"),
        Bound::PointwiseRelative { rel, floor: 0.0 } => format!("pointwise relative {rel}"),
        Bound::PointwiseRelative { rel, floor } => format!("pointwise relative {rel}, exact below {floor}"),
        Bound::Psnr(db) => format!("PSNR {db} dB"),
    }
}

/// A bound for programs.
pub fn bound_json(bound: &Bound) -> serde_json::Value {
    let (first, second) = bound.parameters();
    let kind = match bound {
        Bound::Lossless => "lossless",
        Bound::Absolute(_) => "absolute",
        Bound::Relative { .. } => "relative",
        Bound::AbsRel { .. } => "absrel",
        Bound::PointwiseRelative { .. } => "pointwise_relative",
        Bound::Psnr(_) => "psnr",
    };
    serde_json::json!({ "mode": kind, "parameters": [first, second] })
}

/// Whether `path` (from the root, without the first slash) is meant by `pattern`.
///
/// `*` and `?` stay within a name, `**` runs over slashes. A pattern without a slash is compared with
/// the last name of the path only.
pub fn matches(pattern: &str, path: &str) -> bool {
    let path = path.trim_start_matches('/');
    if !pattern.contains('/') {
        let name = path.rsplit('/').next().unwrap_or(path);
        return glob(pattern.as_bytes(), name.as_bytes());
    }
    glob(pattern.trim_start_matches('/').as_bytes(), path.as_bytes())
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|i| glob(rest, &text[i..])),
        [b'*', rest @ ..] => {
            let end = text.iter().position(|&c| c == b'/').unwrap_or(text.len());
            (0..=end).any(|i| glob(rest, &text[i..]))
        }
        [b'?', rest @ ..] => text.first().is_some_and(|&c| c != b'/') && glob(rest, &text[1..]),
        [c, rest @ ..] => text.first() == Some(c) && glob(rest, &text[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_datasets_as_a_shell_would() {
        for (pattern, path, meant) in [
            ("u", "/u", true),
            ("u", "/a/u", true),
            ("/u", "/a/u", false),
            ("a/u", "/a/u", true),
            ("a/*", "/a/b/u", false),
            ("a/**", "/a/b/u", true),
            ("**/u", "/a/b/u", true),
            ("t?mp", "/temp", true),
            ("*", "/a/b/c", true),
            ("u*", "/a/velocity", false),
        ] {
            assert_eq!(matches(pattern, path), meant, "{pattern} against {path}");
        }
    }
}
