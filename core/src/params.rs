//! What the encoder is told: type, shape, bound and preset of a chunk.

use crate::bound::Bound;
use crate::dtype::{ByteOrder, Dtype};
use crate::error::{Error, Result};
use crate::network::Model;
use std::sync::Arc;

/// Largest rank of a chunk.
pub const MAX_RANK: usize = 5;

/// A named composition of reference, predictor and entropy coder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Preset {
    /// Multiscale prediction over space and time with weights fitted to the chunk.
    #[default]
    Balanced,
    /// Fewer taps and no search: faster, somewhat larger.
    Fast,
    /// Shuffle and zstd, nothing lost.
    Lossless,
    /// As balanced, with what a trained model adds.
    Learned,
    /// TEZip's method: each frame predicted by a network or the frame before alone, runs of differences, ranks and zstd.
    Tezip,
    /// TEZip's networks as references of what balanced does.
    TezipPlus,
    /// AE-SZ's method: each block by its mean, a plane, Lorenzo's predictor or an autoencoder, Huffman codes and zstd.
    AeSz,
    /// AE-SZ's autoencoders as references of what balanced does.
    AeSzPlus,
    /// Runs of values by a fully connected autoencoder, coded as AE-SZ does.
    Cae,
}

/// Every preset with its name, in the order of its code (codes start at 0).
pub const PRESETS: [(Preset, &str); 9] = [
    (Preset::Balanced, "balanced"),
    (Preset::Fast, "fast"),
    (Preset::Lossless, "lossless"),
    (Preset::Learned, "learned"),
    (Preset::Tezip, "tezip"),
    (Preset::TezipPlus, "tezip+"),
    (Preset::AeSz, "ae-sz"),
    (Preset::AeSzPlus, "ae-sz+"),
    (Preset::Cae, "cae"),
];

impl Preset {
    /// Number of the preset in cd_values.
    pub fn code(self) -> u8 {
        PRESETS.iter().position(|p| p.0 == self).map_or(0, |i| i as u8)
    }

    /// The preset with this code.
    ///
    /// # Errors
    /// `InvalidArgument` for an unknown code.
    pub fn from_code(code: u8) -> Result<Self> {
        PRESETS.get(code as usize).map(|p| p.0).ok_or_else(|| {
            Error::invalid(format!("preset {code} is unknown, expected 0 to {}", PRESETS.len() - 1))
        })
    }

    /// Whether a trained model helps to predict.
    pub fn uses_model(self) -> bool {
        self.uses_forecasts() || self.uses_autoencoder()
    }

    /// Whether that is a model that makes forecasts.
    pub fn uses_forecasts(self) -> bool {
        matches!(self, Preset::Learned | Preset::Tezip | Preset::TezipPlus)
    }

    /// Whether that is an autoencoder.
    pub fn uses_autoencoder(self) -> bool {
        matches!(self, Preset::AeSz | Preset::AeSzPlus | Preset::Cae)
    }

    /// Whether it predicts block by block, with a model or without.
    pub fn is_blockwise(self) -> bool {
        matches!(self, Preset::AeSz | Preset::Cae)
    }

    /// Whether chunks are something else than with `balanced` without it, too.
    pub fn does_without_model(self) -> bool {
        self == Preset::Tezip || self.is_blockwise()
    }

    /// What chunks are without the model that the preset uses, in words.
    pub fn without_model(self) -> &'static str {
        match self {
            Preset::Tezip => "predicted by the frame before alone",
            Preset::AeSz | Preset::Cae => "predicted by means, planes and Lorenzo's predictor alone",
            _ => "stored as by the preset balanced",
        }
    }

    /// Name as users type it.
    pub fn name(self) -> &'static str {
        PRESETS[self.code() as usize].1
    }

    /// The preset of this name.
    ///
    /// # Errors
    /// `InvalidArgument` for an unknown name; the message lists the known ones.
    pub fn from_name(name: &str) -> Result<Self> {
        PRESETS.iter().find(|p| p.1 == name).map(|p| p.0).ok_or_else(|| {
            let known: Vec<_> = PRESETS.iter().map(|p| p.1).collect();
            Error::invalid(format!("preset \"{name}\" is unknown, expected one of {}", known.join(", ")))
        })
    }
}

/// Which time steps are key frames, coded without any other.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum KeyFrames {
    /// The first one.
    #[default]
    First,
    /// Every so many, at least 2 (TEZip's static window).
    Every(u8),
    /// Where the mean square of what was predicted wrongly since the last one exceeds this share of the chunk's squared
    /// range (TEZip's dynamic window).
    Beyond(f64),
}

/// How the preset `tezip` predicts from frame to frame.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Windows {
    /// Key frames.
    pub keys: KeyFrames,
    /// Time steps at the start that are key frames, too, from which the network only learns what goes on; 0 counts as 1.
    pub warm_up: u8,
    /// Whether forecasts are made from forecasts until the next key frame, as TEZip does it, instead of from what was
    /// decoded.
    pub open_loop: bool,
}

/// By what the presets `ae-sz` and `cae` choose how a block is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Selection {
    /// By the bits that it takes, estimated.
    #[default]
    Length,
    /// By the sum of absolute differences, as in AE-SZ.
    Distance,
}

/// Type, shape and bound of a chunk, and how hard to try.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Type of the values.
    pub dtype: Dtype,
    /// Byte order of the values.
    pub order: ByteOrder,
    /// Extents, slowest first; 1 to [`MAX_RANK`] of them, none 0.
    pub shape: Vec<usize>,
    /// Which axis of `shape` is time (default 0).
    pub time_axis: usize,
    /// What may be lost.
    pub bound: Bound,
    /// How to predict and code.
    pub preset: Preset,
    /// Bytes of the fill value (the first `dtype.size()` of them count, in `order`): points that hold it are exact.
    pub fill: Option<[u8; 8]>,
    /// Bytes of the value that time steps hold which are not written yet; `None`: any value, if it is the same
    /// everywhere in the step.
    pub unwritten: Option<[u8; 8]>,
    /// Number of frames that are written in the last chunk along time, when that is known and not all of
    /// them; 0 otherwise. A chunk with just so many frames counts as complete.
    pub tail: usize,
    /// Most threads to use; the stream does not depend on it.
    pub threads: usize,
    /// The model that the presets `learned`, `tezip+` and `ae-sz+` predict with; without one they do what `balanced` does, `tezip`
    /// predicts by the frame before, `ae-sz` and `cae` by means, planes and Lorenzo's predictor.
    pub model: Option<Arc<Model>>,
    /// How the preset `tezip` goes from frame to frame.
    pub windows: Windows,
    /// How the presets `ae-sz` and `cae` choose between predictions.
    pub selection: Selection,
}

impl Params {
    /// Parameters with the defaults: little-endian, time first, preset `balanced`, one thread.
    pub fn new(dtype: Dtype, shape: &[usize], bound: Bound) -> Self {
        Self {
            dtype,
            order: ByteOrder::Little,
            shape: shape.to_vec(),
            time_axis: 0,
            bound,
            preset: Preset::default(),
            fill: None,
            unwritten: None,
            tail: 0,
            threads: 1,
            model: None,
            windows: Windows::default(),
            selection: Selection::default(),
        }
    }

    /// Number of values in the chunk.
    pub fn points(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes of the raw chunk.
    pub fn raw_len(&self) -> usize {
        self.points() * self.dtype.size()
    }

    /// Checks rank, extents, time axis and bound.
    ///
    /// # Errors
    /// `InvalidArgument` that names what is wrong.
    pub fn validate(&self) -> Result<()> {
        check_shape(&self.shape, self.dtype)?;
        if self.time_axis >= self.shape.len() {
            return Err(Error::invalid(format!(
                "time axis {} does not exist in a chunk of rank {}",
                self.time_axis,
                self.shape.len()
            )));
        }
        self.windows.validate()?;
        self.bound.validate()
    }
}

impl Windows {
    /// Most time steps of the warm-up.
    pub const MAX_WARM_UP: u8 = 7;
    /// Longest static window.
    pub const MAX_EVERY: u8 = 127;

    /// Checks the windows.
    ///
    /// # Errors
    /// `InvalidArgument` for a static window outside 2 to 127, a threshold outside 2^-31 to 1, and a warm-up of more than 7
    /// steps.
    pub fn validate(&self) -> Result<()> {
        match self.keys {
            KeyFrames::Every(n) if !(2..=Self::MAX_EVERY).contains(&n) => {
                return Err(Error::invalid(format!(
                    "a key frame every {n} steps was asked for, 2 to 127 expected"
                )));
            }
            KeyFrames::Beyond(t) if !(2f64.powi(-31)..=1.0).contains(&t) => {
                return Err(Error::invalid(format!(
                    "the threshold of key frames is {t}, 2^-31 to 1 of the squared range expected"
                )));
            }
            _ => {}
        }
        if self.warm_up > Self::MAX_WARM_UP {
            return Err(Error::invalid(format!(
                "a warm-up of {} steps was asked for, at most {} expected",
                self.warm_up,
                Self::MAX_WARM_UP
            )));
        }
        Ok(())
    }
}

/// Checks rank and extents and that the raw size fits memory; returns the number of points.
pub(crate) fn check_shape(shape: &[usize], dtype: Dtype) -> Result<usize> {
    if shape.is_empty() || shape.len() > MAX_RANK {
        return Err(Error::invalid(format!(
            "a chunk of rank {} was given, expected 1 to {MAX_RANK}",
            shape.len()
        )));
    }
    let mut points = 1usize;
    for &n in shape {
        if n == 0 {
            return Err(Error::invalid(format!("the chunk shape {shape:?} has an extent of 0")));
        }
        points = points
            .checked_mul(n)
            .filter(|p| *p <= (1 << 40))
            .ok_or_else(|| Error::invalid(format!("the chunk shape {shape:?} is too large")))?;
    }
    points
        .checked_mul(dtype.size())
        .filter(|b| *b <= isize::MAX as usize)
        .ok_or_else(|| Error::invalid(format!("the chunk shape {shape:?} does not fit memory")))?;
    Ok(points)
}
