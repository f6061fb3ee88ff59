//! Chunks that are predicted block by block: AE-SZ (Liu et al., CLUSTER 2021) with its networks as integer networks; without a model
//! what SZ2 does (Liang et al., IEEE Big Data 2018).
//!
//! Each block is coded in every way that there is, and the one of the fewest bits is kept; with [`Selection::Distance`] that of the
//! smallest sum of absolute differences, as AE-SZ has it. Latents are stored for the blocks that use them. Residuals go through a
//! Huffman code and zstd. Large chunks are cut into *parts*, which are coded at the same time ([`parts`]).

mod decode;
mod encode;
mod parts;
mod prices;

pub use decode::decode;
pub use encode::encode;

use super::choose::Choice;
use super::side::{FrameKind, Predictor};
use crate::chunk::Frames;
use crate::entropy::bits::{unzigzag, zigzag};
use crate::error::{Error, Result};
use crate::params::{Params, Preset};
use crate::predict::blockwise::{Mode, MODES};
use crate::reference::autoencoder::Autoencoder;
use crate::reference::blocks::{Blocks, Shape};
use crate::reference::latents::Latent;
use crate::reference::TimeOrder;
use crate::stream::parts::{Reader, Writer};
use std::ops::Range;

/// How the blocks of a chunk are predicted. Blocks are listed part by part.
#[derive(Clone, Debug, PartialEq)]
pub struct Blockwise {
    /// What blocks are.
    pub shape: Shape,
    /// Of each block.
    pub modes: Vec<Mode>,
    /// Means, in quanta.
    pub means: Vec<i32>,
    /// Values at the first point, and slopes, of planes, in quanta.
    pub planes: Vec<[i32; 4]>,
    /// The latents of the blocks that a network predicts.
    pub latent: Option<Latent>,
}

impl Blockwise {
    /// With these blocks, nothing being known of them yet.
    fn new(shape: Shape) -> Self {
        Self { shape, modes: vec![], means: vec![], planes: vec![], latent: None }
    }

    /// How many blocks are predicted so.
    pub fn count(&self, mode: Mode) -> usize {
        self.modes.iter().filter(|m| **m == mode).count()
    }

    /// The bytes in the side information.
    pub fn bytes(&self) -> Vec<u8> {
        let mut w = Writer::default();
        self.shape.write(&mut w);
        w.packed(&self.modes.iter().map(|m| m.code()).collect::<Vec<_>>());
        let planes = (0..4).map(|k| self.planes.iter().map(|p| p[k]).collect());
        for list in std::iter::once(self.means.clone()).chain(planes) {
            w.packed(&changes(&list));
        }
        if let Some(latent) = &self.latent {
            latent.write(&mut w);
        }
        w.out
    }

    /// Inverse of [`Blockwise::bytes`] for a chunk of these frames.
    pub fn read(bytes: &[u8], frames: &Frames) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let shape = Shape::read(&mut r)?;
        let blocks = Blocks::new(shape, frames);
        let count = blocks.count();
        let codes = r.packed(count)?;
        let modes: Option<Vec<Mode>> = codes.iter().map(|c| MODES.get(usize::from(*c)).copied()).collect();
        let modes = modes
            .ok_or_else(|| Error::compatibility("a block is predicted in a way unknown to this build"))?;
        if modes.len() != count {
            return Err(Error::corruption(format!(
                "the stream tells of {} blocks, {count} expected",
                modes.len()
            )));
        }
        let mut out = Self { modes, ..Self::new(shape) };
        out.means = from_changes(&mut r, out.count(Mode::Mean))?;
        let planes = out.count(Mode::Plane);
        let mut lists = vec![];
        for _ in 0..4 {
            lists.push(from_changes(&mut r, planes)?);
        }
        out.planes = (0..planes).map(|i| std::array::from_fn(|k| lists[k][i])).collect();
        let predicted = out.count(Mode::Network);
        if predicted > 0 {
            out.latent = Some(Latent::read(&mut r, &blocks, predicted)?);
        }
        r.finish()?;
        Ok(out)
    }
}

/// Numbers as differences from the one before.
fn changes(list: &[i32]) -> Vec<u8> {
    let mut w = Writer::default();
    let mut before = 0i32;
    for &v in list {
        w.number(zigzag(v.wrapping_sub(before)).into());
        before = v;
    }
    w.out
}

/// Inverse of [`changes`] for so many numbers.
fn from_changes(r: &mut Reader, count: usize) -> Result<Vec<i32>> {
    let packed = r.packed(5 * count)?;
    let mut r = Reader::new(&packed);
    let mut sum = 0i32;
    let mut out = Vec::with_capacity(count.min(packed.len()));
    for _ in 0..count {
        sum =
            sum.wrapping_add(unzigzag(r.at_most(u32::MAX.into(), "as the mean or slope of a block")? as u32));
        out.push(sum);
    }
    r.finish()?;
    Ok(out)
}

/// Blocks without a model: SZ2's, nearly.
const CUBE: usize = 8;
const SQUARE: usize = 16;

/// Blockwise prediction for a chunk.
pub fn choose(frames: &Frames, params: &Params) -> Choice {
    let model = params.model.as_ref().and_then(|m| Autoencoder::of(m).ok().flatten());
    let default = match params.preset {
        Preset::Cae => Shape::Run(CUBE * CUBE * CUBE),
        _ if frames.steps >= CUBE / 2 => Shape::InTime([CUBE; 3]),
        _ if frames.levels >= CUBE / 2 => Shape::InSpace([CUBE; 3]),
        _ => Shape::InTime([1, SQUARE, SQUARE]),
    };
    let shape = model.map_or(default, |m| m.shape);
    let predictor = Predictor::Blockwise(Blockwise::new(shape));
    Choice { predictor, order: TimeOrder::Independent, forecasts: None, corrections: None, bits: 0.0 }
}

/// Units per quantisation step of some points in a row: `step` where all their frames are normal. Points of frames that are
/// not, which may be decoded values, must come back as they are.
fn units(kinds: &[FrameKind], area: usize, points: Range<usize>, step: i32) -> i32 {
    let frames = points.start / area..points.end.div_ceil(area);
    if kinds[frames].iter().all(|k| *k == FrameKind::Normal) {
        step
    } else {
        1
    }
}
