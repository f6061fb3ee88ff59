//! Side information of a predicted chunk: everything in its payload but the entropy-coded residuals.

use super::blockwise::Blockwise;
use super::direct::Direct;
use super::exact::Exact;
use crate::chunk::Frames;
use crate::entropy::bits::{BitReader, BitWriter};
use crate::entropy::quiet::{self, Quiet};
use crate::entropy::slots::{DecodeTables, EncodeTables};
use crate::entropy::tables;
use crate::error::{Error, Result};
use crate::marks::coded;
use crate::number::Number;
use crate::predict::classes::{class_index, sent_classes, slot_kind};
use crate::predict::corrector::{Classes, CORRECTED_SLOTS};
use crate::predict::lorenzo::{Neighbours, NEIGHBOURS};
pub use crate::predict::multiscale::CONTEXT_COUNT;
use crate::predict::weights::Sent;
use crate::predict::Scale;
use crate::reference::blocks::{Blocks, Shape};
use crate::reference::latents::Latent;
use crate::reference::normal::Normal;
use crate::reference::{coding_order, Step, TimeOrder, FORECAST};
use crate::scratch::Buffer;
use crate::stream::parts::{Reader, Writer};

const _: () = assert!(CONTEXT_COUNT + quiet::TABLES <= 256);

/// Most bands of a chunk.
pub const MAX_BANDS: usize = 256;

/// How a frame is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// In quantisation steps.
    Normal,
    /// In steps of one grid unit: the values were decoded before and come back unchanged.
    Fine,
    /// In steps of one unit on the grid shifted by half a unit: the chunk is not complete yet.
    Provisional,
}

const KINDS: [FrameKind; 3] = [FrameKind::Normal, FrameKind::Fine, FrameKind::Provisional];

/// Which predictor, with what it needs.
#[derive(Clone, Debug, PartialEq)]
pub enum Predictor {
    /// Multiscale, with the weights of each class as sent.
    Multiscale(Vec<Sent>),
    /// Lorenzo.
    Lorenzo(Neighbours),
    /// The reference itself.
    Direct(Direct),
    /// Block by block.
    Blockwise(Blockwise),
}

/// Numbers of the predictors in the stream; those of Lorenzo are the places of its neighbours.
const MULTISCALE: u8 = 3;
/// See [`MULTISCALE`].
pub const DIRECT: u8 = 4;
/// See [`MULTISCALE`].
const BLOCKWISE: u8 = 5;

/// The side information.
pub struct Side {
    /// The predictor.
    pub predictor: Predictor,
    /// Order in time.
    pub order: TimeOrder,
    /// What forecasts are made with, if the order has any.
    pub normal: Option<Normal>,
    /// Blocks and latents of an autoencoder, if the order has its reconstructions.
    pub latent: Option<(Shape, Latent)>,
    /// Step, weights' fraction bits, smallest and largest value.
    pub scale: Scale,
    /// Added to every integer before it is scaled.
    pub offset: i64,
    /// How each frame is coded.
    pub kinds: Vec<FrameKind>,
    /// Special points.
    pub special: Option<Exact>,
    /// Negative points (logarithmic grids): not 0 at each of them.
    pub negative: Option<Buffer<u8>>,
    /// Points that the grid and quantiser miss, with their bits.
    pub patches: Vec<(u64, u64)>,
    /// Weight classes whose predictions a network corrects, if any.
    pub corrected: Option<Classes>,
    /// Number of bands.
    pub bands: usize,
}

/// Flags of the parts that are present.
const HAS_KINDS: u8 = 1;
const HAS_SPECIAL: u8 = 2;
const HAS_NEGATIVE: u8 = 4;
const HAS_PATCHES: u8 = 8;
const HAS_CORRECTIONS: u8 = 16;
/// All of them.
const FLAGS: u8 = 31;

impl Side {
    /// Special points: not 0 at each of them.
    pub fn mask(&self) -> Option<&[u8]> {
        self.special.as_ref().map(|s| &s.marks[..])
    }

    /// Puts the values that are stored exactly where they belong.
    pub fn put_exact<N: Number>(&self, raw: &mut [u8]) {
        if let Some(special) = &self.special {
            special.put::<N>(raw);
        }
        for &(at, bits) in &self.patches {
            raw[at as usize * N::SIZE..][..N::SIZE].copy_from_slice(&bits.to_le_bytes()[..N::SIZE]);
        }
    }

    /// The frames in coding order.
    pub fn plan(&self, frames: &Frames) -> Vec<Step> {
        coding_order(self.order, frames)
    }

    /// Appends the side information.
    pub fn write(&self, w: &mut Writer, frames: &Frames, value_size: usize) {
        let (method, sent): (u8, &[Sent]) = match &self.predictor {
            Predictor::Multiscale(sent) => (MULTISCALE, sent),
            Predictor::Direct(_) => (DIRECT, &[]),
            Predictor::Blockwise(_) => (BLOCKWISE, &[]),
            Predictor::Lorenzo(n) => (NEIGHBOURS.iter().position(|x| x == n).unwrap_or(0) as u8, &[]),
        };
        w.byte(method | self.order.code() << 4);
        let special_kinds = self.kinds.iter().any(|k| *k != FrameKind::Normal);
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        w.byte(
            flag(special_kinds, HAS_KINDS)
                | flag(self.special.is_some(), HAS_SPECIAL)
                | flag(self.negative.is_some(), HAS_NEGATIVE)
                | flag(!self.patches.is_empty(), HAS_PATCHES)
                | flag(self.corrected.is_some(), HAS_CORRECTIONS),
        );
        w.number(self.scale.step as u64);
        w.byte(self.scale.shift as u8);
        w.signed(self.offset);
        w.signed(i64::from(self.scale.low));
        w.signed(i64::from(self.scale.high));
        if let Some(normal) = &self.normal {
            normal.write(w);
        }
        if let Some((shape, latent)) = &self.latent {
            shape.write(w);
            latent.write(w);
        }
        if special_kinds {
            let codes: Vec<u8> =
                self.kinds.iter().map(|k| KINDS.iter().position(|x| x == k).unwrap_or(0) as u8).collect();
            w.packed(&codes);
        }
        if let Some(special) = &self.special {
            special.write(w, frames, value_size);
        }
        if let Some(negative) = &self.negative {
            w.bytes(&coded::encode(negative, None, frames));
        }
        if !self.patches.is_empty() {
            let mut part = Writer::default();
            let mut last = 0;
            for &(at, bits) in &self.patches {
                part.number(at - last);
                part.out.extend_from_slice(&bits.to_le_bytes()[..value_size]);
                last = at;
            }
            w.number(self.patches.len() as u64);
            w.packed(&part.out);
        }
        match &self.predictor {
            Predictor::Direct(direct) => w.bytes(&direct.bytes()),
            Predictor::Blockwise(blockwise) => w.bytes(&blockwise.bytes()),
            _ => {
                let mut bits = BitWriter::default();
                sent.iter().for_each(|s| s.write(&mut bits));
                w.bytes(&bits.finish());
            }
        }
        if let Some(classes) = self.corrected {
            let mut bits = BitWriter::default();
            for class in corrected_classes(&self.plan(frames)) {
                bits.put(u32::from(classes.has(class)), 1);
            }
            w.bytes(&bits.finish());
        }
        w.number(self.bands as u64);
    }

    /// Reads the side information of a chunk of these frames.
    pub fn read(r: &mut Reader, frames: &Frames, value_size: usize) -> Result<Self> {
        let method = r.byte()?;
        let flags = r.byte()?;
        if flags > FLAGS {
            return Err(Error::compatibility(format!("flags {flags} are unknown to this build")));
        }
        let points = frames.count() * frames.area();
        let step = r.at_most(1 << 30, "units per step")? as i32;
        let shift = u32::from(r.byte()?);
        if step == 0 || shift > 12 {
            return Err(Error::corruption(format!("the stream states step {step} and {shift} weight bits")));
        }
        let offset = r.signed()?;
        let bound = |v: i64| {
            i32::try_from(v).ok().filter(|v| v.unsigned_abs() <= 1 << 29).ok_or_else(|| {
                Error::corruption(format!("the stream states a grid value of {v}, beyond the grid"))
            })
        };
        let (low, high) = (bound(r.signed()?)?, bound(r.signed()?)?);
        if low > high || offset.unsigned_abs() > 1 << 60 {
            return Err(Error::corruption("the stream states an impossible range of values"));
        }
        let (order, normal) = match TimeOrder::from_code(method >> 4) {
            Some(order) => (order, None),
            None if method >> 4 == FORECAST => {
                let normal = Normal::read(r)?;
                (TimeOrder::Forecast(normal.window), Some(normal))
            }
            None => {
                let text = format!("time order {} is unknown to this build", method >> 4);
                return Err(Error::compatibility(text));
            }
        };
        let latent = match order {
            TimeOrder::Reconstructed { .. } => {
                let shape = Shape::read(r)?;
                let blocks = Blocks::new(shape, frames);
                Some((shape, Latent::read(r, &blocks, blocks.count())?))
            }
            _ => None,
        };
        let kinds = if flags & HAS_KINDS != 0 {
            let codes = r.packed(frames.count())?;
            if codes.len() != frames.count() {
                return Err(Error::corruption("the list of frame kinds has not one entry per frame"));
            }
            codes
                .iter()
                .map(|&c| KINDS.get(c as usize).copied())
                .collect::<Option<_>>()
                .ok_or_else(|| Error::compatibility("a frame is coded in a way unknown to this build"))?
        } else {
            vec![FrameKind::Normal; frames.count()]
        };
        let special = match flags & HAS_SPECIAL != 0 {
            true => Some(Exact::read(r, frames, value_size)?),
            false => None,
        };
        let negative =
            if flags & HAS_NEGATIVE != 0 { Some(coded::decode(r.bytes()?, None, frames)?) } else { None };
        let patches = if flags & HAS_PATCHES != 0 { read_patches(r, points, value_size)? } else { vec![] };
        let weights = r.bytes()?;
        let predictor =
            match method & 15 {
                MULTISCALE => {
                    let mut bits = BitReader::new(weights);
                    let sent = sent_classes(&coding_order(order, frames))
                        .into_iter()
                        .map(|class| Sent::read(&mut bits, slot_kind(class.slot), class.references))
                        .collect::<Result<_>>()?;
                    Predictor::Multiscale(sent)
                }
                _ if latent.is_some() => {
                    return Err(Error::corruption(
                        "only the multiscale predictor has reconstructions of all frames",
                    ));
                }
                DIRECT if order.is_hierarchical() => {
                    return Err(Error::corruption(
                        "the direct predictor goes from frame to frame, not between them",
                    ));
                }
                DIRECT => Predictor::Direct(Direct::read(weights, frames.steps)?),
                BLOCKWISE => Predictor::Blockwise(Blockwise::read(weights, frames)?),
                m if step != 1 => {
                    return Err(Error::corruption(format!(
                        "predictor {m} comes with steps of {step} units, only 1 is possible"
                    )))
                }
                m => Predictor::Lorenzo(*NEIGHBOURS.get(m as usize).ok_or_else(|| {
                    Error::compatibility(format!("predictor {m} is unknown to this build"))
                })?),
            };
        let corrected = match flags & HAS_CORRECTIONS != 0 {
            true => Some(read_corrected(r, &predictor, &coding_order(order, frames))?),
            false => None,
        };
        let most = match &predictor {
            Predictor::Blockwise(_) => MAX_BANDS,
            _ => frames.height.min(MAX_BANDS),
        };
        let bands = r.at_most(most as u64, "bands")? as usize;
        if bands == 0 || bands > 1 && matches!(predictor, Predictor::Direct(_)) {
            return Err(Error::corruption(format!(
                "the stream states {bands} bands, which its predictor cannot have"
            )));
        }
        let scale = Scale { step, shift, low, high };
        Ok(Self {
            predictor,
            order,
            normal,
            latent,
            scale,
            offset,
            kinds,
            special,
            negative,
            patches,
            corrected,
            bands,
        })
    }
}

/// The weight classes that a network may correct, in the order in which the stream says of each whether it does.
fn corrected_classes(plan: &[Step]) -> impl Iterator<Item = usize> {
    let classes = sent_classes(plan).into_iter().filter(|c| c.slot < CORRECTED_SLOTS);
    classes.map(|c| class_index(c.class, c.slot))
}

fn read_corrected(r: &mut Reader, predictor: &Predictor, plan: &[Step]) -> Result<Classes> {
    if !matches!(predictor, Predictor::Multiscale(_)) {
        return Err(Error::corruption("only the multiscale predictor has corrections"));
    }
    let mut bits = BitReader::new(r.bytes()?);
    let mut classes = Classes::default();
    for class in corrected_classes(plan) {
        if bits.get(1)? == 1 {
            classes.insert(class);
        }
    }
    if classes.is_empty() {
        return Err(Error::corruption("the stream has corrections of nothing"));
    }
    Ok(classes)
}

fn read_patches(r: &mut Reader, points: usize, value_size: usize) -> Result<Vec<(u64, u64)>> {
    let n = r.at_most(points as u64, "patches")? as usize;
    let part = r.packed(n.saturating_mul(10 + value_size))?;
    let mut part = &part[..];
    let mut at = 0u64;
    let mut patches = Vec::with_capacity(n.min(part.len()));
    for _ in 0..n {
        let mut inner = Reader::new(part);
        at = at.saturating_add(inner.number()?);
        let mut bits = [0u8; 8];
        for b in &mut bits[..value_size] {
            *b = inner.byte()?;
        }
        part = inner.rest();
        if at >= points as u64 {
            return Err(Error::corruption("a patch lies outside of the chunk"));
        }
        patches.push((at, u64::from_le_bytes(bits)));
    }
    Ok(patches)
}

/// Writes the frequency tables and returns them.
pub fn write_tables(w: &mut Writer, histograms: &[tables::Histogram], quiet: &Quiet) -> EncodeTables {
    let mut bits = BitWriter::default();
    let tables = tables::write(histograms, quiet, &mut bits);
    w.bytes(&bits.finish());
    tables
}

/// Reads the frequency tables.
pub fn read_tables(r: &mut Reader) -> Result<DecodeTables> {
    tables::read(&mut BitReader::new(r.bytes()?), CONTEXT_COUNT)
}
