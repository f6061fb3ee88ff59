//! The decoder's half.

use super::parts::{part_count, Line, Part};
use super::{units, Blockwise};
use crate::chunk::Frames;
use crate::entropy::bits::unzigzag;
use crate::entropy::huffman::{self, Code, Decoder, Symbols, ESCAPE};
use crate::error::{Error, Result};
use crate::grid::Mapping;
use crate::network::Model;
use crate::number::Number;
use crate::predict::blockwise::{self, Mode, Plane, Points, Prediction, Quanta};
use crate::predicted::side::{FrameKind, Side};
use crate::scratch::Buffer;
use crate::stream::parts::Reader;
use crate::threads::parallel;
use std::sync::Arc;

/// The decoder's half of a block.
struct Decode<'a> {
    symbols: Symbols<'a>,
    escapes: std::slice::Iter<'a, i32>,
    /// Escapes that there are none of.
    missing: usize,
    part: &'a Part,
    side: &'a Side,
    area: usize,
    step: i32,
    mask: Option<&'a [u8]>,
}

impl Points for Decode<'_> {
    fn row(&mut self, start: usize, width: usize) {
        let at = self.part.in_chunk(start);
        self.mask = self.side.mask().map(|m| &m[at..]);
        self.step = units(&self.side.kinds, self.area, at..at + width, self.side.scale.step);
    }

    #[inline(always)]
    fn point(&mut self, x: usize, predicted: i32) -> i32 {
        if self.mask.is_some_and(|m| m[x] != 0) {
            return predicted;
        }
        let q = match self.symbols.next_symbol() {
            ESCAPE => self.escapes.next().copied().unwrap_or_else(|| {
                self.missing += 1;
                0
            }),
            symbol => unzigzag(symbol.into()),
        };
        predicted.wrapping_add(q.wrapping_mul(self.step))
    }
}

/// Decodes what follows the side information to `raw`.
pub fn decode<N: Number>(
    r: &mut Reader,
    side: &Side,
    blockwise: &Blockwise,
    frames: &Frames,
    (mapping, model): (Mapping, Option<&Arc<Model>>),
    threads: usize,
    raw: &mut [u8],
) -> Result<()> {
    let shape = blockwise.shape;
    if side.bands > part_count(shape, frames).max(1) {
        return Err(Error::corruption(format!(
            "the stream states {} parts, which its blocks do not make",
            side.bands
        )));
    }
    let code = Decoder::new(&Code::read(r)?);
    let parts = Part::all(shape, frames, side.bands);
    let outputs = match &blockwise.latent {
        Some(latent) => latent.reconstruct(model.map(|m| &**m), shape, threads)?,
        None => vec![],
    };
    let quanta = Quanta::new(shape.size(), side.scale.step);
    let planes: Vec<Plane> = blockwise
        .planes
        .iter()
        .map(|[base, slopes @ ..]| Plane::of(&quanta, *base, *slopes))
        .chain(blockwise.means.iter().map(|mean| Plane::of(&quanta, *mean, [0; 3])))
        .collect();
    if !planes.iter().all(Plane::is_small) {
        return Err(Error::corruption("a block's mean or slope is beyond the grid"));
    }
    let (planes, means) = planes.split_at(blockwise.planes.len());
    let memory = Part::memory(&parts, raw, frames, N::SIZE);
    let mut work = vec![];
    // What each part's blocks take of the lists.
    let (mut modes, mut means, mut planes) = (&blockwise.modes[..], means, planes);
    let mut outputs = &outputs[..];
    for (part, memory) in parts.iter().zip(memory) {
        let own;
        (own, modes) = modes.split_at(part.blocks.count().min(modes.len()));
        let count = |mode| own.iter().filter(|m| **m == mode).count();
        let (own_means, own_planes, own_outputs);
        (own_means, means) = means.split_at(count(Mode::Mean));
        (own_planes, planes) = planes.split_at(count(Mode::Plane));
        (own_outputs, outputs) = outputs.split_at(count(Mode::Network) * shape.points());
        let payload = r.bytes()?;
        let escapes = huffman::read_escapes(r, part.points)?;
        work.push((part, memory, own, own_means, own_planes, own_outputs, payload, escapes));
    }
    let limits = (side.scale.low, side.scale.high);
    let normal = blockwise.latent.as_ref().map(|l| l.normal);
    let done =
        parallel(work, threads, |(part, mut memory, modes, means, planes, outputs, payload, escapes)| {
            let mut values = Buffer::arbitrary(part.points);
            let mut points = Decode {
                symbols: code.symbols(payload, part.points)?,
                escapes: escapes.iter(),
                missing: 0,
                part,
                side,
                area: frames.area(),
                step: 1,
                mask: None,
            };
            let (mut means, mut planes) = (means.iter(), planes.iter());
            let mut outputs = outputs.chunks_exact(shape.points());
            for (block, mode) in modes.iter().enumerate() {
                let prediction = match mode {
                    Mode::Lorenzo => Some(Prediction::Lorenzo),
                    Mode::Mean => means.next().map(|p| Prediction::Plane(*p)),
                    Mode::Plane => planes.next().map(|p| Prediction::Plane(*p)),
                    Mode::Network => {
                        outputs.next().zip(normal.as_ref()).map(|(o, n)| Prediction::Network(o, n))
                    }
                };
                // Each list has as many as there are blocks that need one.
                let Some(prediction) = prediction else { break };
                blockwise::code(&part.blocks, block, prediction, limits, &mut values, &mut points);
            }
            if points.missing > 0 || points.escapes.next().is_some() {
                return Err(Error::corruption("the list of large residuals has not one for each escape"));
            }
            points.symbols.finish()?;
            for Line { local, chunk, len, segment, offset } in part.lines() {
                let half = side.kinds[chunk / frames.area()] == FrameKind::Provisional;
                let negative = side.negative.as_deref().map(|n| &n[chunk..chunk + len]);
                let to = &mut memory[segment][offset * N::SIZE..][..len * N::SIZE];
                mapping.write_values::<N>(&values[local..local + len], side.offset, half, negative, to);
            }
            Ok(())
        });
    done.into_iter().collect()
}
