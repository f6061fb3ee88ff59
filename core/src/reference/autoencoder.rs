//! Autoencoders: a block of the chunk becomes a few latents, and these, quantised, become the block again, nearly.
//!
//! The convolutional one with a sliced-Wasserstein loss is AE-SZ's (Liu et al., CLUSTER 2021, section IV), the fully connected
//! one CAE's (Liu et al., IEEE Transactions on Big Data 2021). Here both networks are integer networks, and a reconstruction is
//! a reference: what it misses is predicted and coded like anything else. How they are trained: docs/models.md.

use super::blocks::{Blocks, Shape, MAX_POINTS};
use super::latents::Latent;
use super::normal::Factor;
use crate::chunk::Frames;
use crate::error::{Error, Result};
use crate::network::{Element, Graph, Model, Session};
use crate::stream::parts::{Reader, Writer};
use crate::threads::parallel;

use std::ops::Range;
use std::sync::Arc;

/// Value of half the range in the networks' inputs and outputs.
const HALF: f64 = 16384.0;
/// Most latents of a block.
pub const MAX_COMPONENTS: usize = 1024;
/// Blocks that a network computes together.
const LANES: usize = 64;

/// The two networks of a model.
pub struct Autoencoder<'a> {
    encoder: &'a Arc<Graph>,
    decoder: &'a Arc<Graph>,
    /// Its blocks.
    pub shape: Shape,
    /// Latents of a block.
    pub components: usize,
}

impl<'a> Autoencoder<'a> {
    /// The autoencoder of a model, if it has one.
    ///
    /// # Errors
    /// `InvalidArgument` where a graph is not what its name says.
    pub fn of(model: &'a Model) -> Result<Option<Self>> {
        let (encoder, decoder) = match (model.graph("encoder"), model.graph("decoder")) {
            (None, None) => return Ok(None),
            (Some(encoder), Some(decoder)) => (encoder, decoder),
            _ => {
                return Err(Error::invalid(format!(
                    "the model sha256:{} has one of the graphs encoder and decoder, both expected",
                    model.digest()
                )))
            }
        };
        let wrong = |what: String| {
            Error::invalid(format!("the autoencoder of the model sha256:{} {what}", model.digest()))
        };
        let size = match (encoder.block(), decoder.block()) {
            (Some(a), Some(b)) if a == b => a,
            (a, b) => return Err(wrong(format!("reads blocks of {a:?} and makes such of {b:?}"))),
        };
        let shape = shape(decoder, size).map_err(wrong)?;
        if shape != self::shape(encoder, size).map_err(wrong)? {
            return Err(wrong("has an encoder for other blocks than its decoder".into()));
        }
        let points = shape.points();
        // Channels times points: a block may be the channels of one point.
        let values = |graph: &Graph, output: bool| -> Option<usize> {
            let (count, port) = match output {
                true => (graph.outputs(), graph.output(0)?),
                false => (graph.inputs(), graph.input(0)?),
            };
            let points: usize = port.points?.iter().product();
            (count == 1 && port.element == Element::I16).then_some(port.channels * points)
        };
        let ends = [(encoder, false), (encoder, true), (decoder, false), (decoder, true)];
        let [read, components, latents, made] = ends.map(|(graph, output)| values(graph, output));
        if read != Some(points) || made != Some(points) || latents != components || components.is_none() {
            return Err(wrong(format!(
                "must read and make one i16 value for each of {points} points, and have i16 latents in between; \
                 its encoder reads {read:?} and gives {components:?}, its decoder reads {latents:?} and gives {made:?}"
            )));
        }
        let components = components.unwrap_or(0);
        let most = MAX_COMPONENTS.min(points);
        if components > most {
            return Err(wrong(format!(
                "has {components} latents of blocks of {points} points, at most {most} expected"
            )));
        }
        Ok(Some(Self { encoder, decoder, shape, components }))
    }

    /// The latents of some blocks of a chunk's integers: \[component\]\[block\].
    ///
    /// # Errors
    /// `InvalidArgument` where the network is too large.
    pub fn latents(
        &self,
        (blocks, chosen): (&Blocks, &[usize]),
        grid: &[i32],
        normal: &Normalisation,
        threads: usize,
    ) -> Result<Vec<Vec<i32>>> {
        let width = self.shape.size()[2];
        let parts = in_parts(self.encoder, chosen.len(), threads, |session, batch| {
            let input = session.input_mut(0);
            for (lane, block) in chosen[batch.clone()].iter().enumerate() {
                for row in blocks.rows(*block) {
                    let values = &grid[row.start..row.start + row.width];
                    let mut last = 0;
                    for (x, to) in
                        input[row.at * LANES + lane..].iter_mut().step_by(LANES).take(width).enumerate()
                    {
                        if let Some(v) = values.get(x) {
                            last = normal.input(*v);
                        }
                        *to = last;
                    }
                }
            }
            session.run(1);
            take_lanes(session.output(0), batch.len())
        })?;
        // From the latents of each block to the blocks of each latent.
        let all = parts.concat();
        Ok((0..self.components)
            .map(|c| all.iter().skip(c).step_by(self.components).map(|l| i32::from(*l)).collect())
            .collect())
    }

    /// What quantised latents, \[component\]\[block\], become: the points of one block after the other.
    ///
    /// # Errors
    /// `InvalidArgument` where the network is too large.
    pub fn reconstruct(&self, latents: &[Vec<i32>], step: u16, threads: usize) -> Result<Vec<i16>> {
        let count = latents.first().map_or(0, Vec::len);
        let parts = in_parts(self.decoder, count, threads, |session, batch| {
            for (values, input) in latents.iter().zip(session.input_mut(0).chunks_exact_mut(LANES)) {
                for (to, q) in input.iter_mut().zip(&values[batch.clone()]) {
                    *to = q.saturating_mul(step.into()).clamp(i16::MIN.into(), i16::MAX.into()) as i16;
                }
            }
            session.run(1);
            take_lanes(session.output(0), batch.len())
        })?;
        Ok(parts.concat())
    }
}

/// What the blocks of a graph are.
fn shape(graph: &Graph, size: [usize; 3]) -> std::result::Result<Shape, String> {
    let text = |key: &str| graph.extra().get(key).map(|v| v.as_str().unwrap_or("?"));
    let points: usize = size.iter().product();
    if points == 0 || points > MAX_POINTS {
        return Err(format!("has blocks of {points} points, 1 to {MAX_POINTS} expected"));
    }
    match (text("kind"), text("third"), size) {
        (Some("swae"), None | Some("time"), _) => Ok(Shape::InTime(size)),
        (Some("swae"), Some("level"), _) => Ok(Shape::InSpace(size)),
        (Some("cae"), None, [1, 1, n]) => Ok(Shape::Run(n)),
        (kind, third, _) => Err(format!(
            "is of kind {} with blocks of {size:?} whose third axis is {}; expected are swae with time or level, and cae \
             with 1 x 1 x n",
            kind.unwrap_or("(none)"),
            third.unwrap_or("(none)")
        )),
    }
}

/// Runs a graph on batches of blocks, on several threads; what `run` gives for the parts of the blocks, in their order.
fn in_parts(
    graph: &Arc<Graph>,
    count: usize,
    threads: usize,
    run: impl Fn(&mut Session, Range<usize>) -> Vec<i16> + Sync,
) -> Result<Vec<Vec<i16>>> {
    let batches = count.div_ceil(LANES);
    // More parts than threads would cost memory; fewer would leave some without work.
    let parts = threads.clamp(1, batches.max(1));
    let ranges = (0..parts).map(|p| p * batches / parts..(p + 1) * batches / parts).collect();
    let done = parallel(ranges, threads, |batches: Range<usize>| -> Result<Vec<i16>> {
        let mut session = Session::of_blocks(graph, LANES)?;
        let mut out = vec![];
        for batch in batches {
            out.extend(run(&mut session, batch * LANES..count.min((batch + 1) * LANES)));
        }
        Ok(out)
    });
    done.into_iter().collect()
}

/// The values of each of the first `count` lanes, one lane after the other.
fn take_lanes(values: &[i16], count: usize) -> Vec<i16> {
    let each = values.len() / LANES;
    let mut out = vec![0; each * count];
    for (k, lanes) in values.chunks_exact(LANES).enumerate() {
        for (v, to) in lanes.iter().zip(out[k..].iter_mut().step_by(each)) {
            *to = *v;
        }
    }
    out
}

/// What an autoencoder makes of a chunk.
pub struct Reconstruction {
    /// The chunk's blocks.
    pub blocks: Blocks,
    /// The latents of all blocks.
    pub latent: Latent,
    /// What they become, the points of one block after the other.
    pub values: Vec<i16>,
    /// Bits that the latents of a block take, about; only encoders know.
    pub bits: f64,
}

impl Reconstruction {
    /// The reconstruction of a chunk that a stream tells of.
    ///
    /// # Errors
    /// As [`Latent::reconstruct`].
    pub fn read(
        latent: Latent,
        shape: Shape,
        frames: &Frames,
        model: Option<&Arc<Model>>,
        threads: usize,
    ) -> Result<Self> {
        let values = latent.reconstruct(model.map(|m| &**m), shape, threads)?;
        Ok(Self { blocks: Blocks::new(shape, frames), latent, values, bits: 0.0 })
    }

    /// The outputs for the points of a block.
    pub fn block(&self, block: usize) -> &[i16] {
        let points = self.blocks.shape.points();
        &self.values[block * points..][..points]
    }

    /// The integers of a row, or a part of it, from point `start` of the chunk on.
    pub fn row(&self, start: usize, limits: (i32, i32), out: &mut [i32]) {
        let [depth, height, width] = self.blocks.shape.size();
        let [_, a, b, c] = self.blocks.counts();
        let [outer, first, y, mut x] =
            std::array::from_fn(|axis| start / self.blocks.stride[axis] % self.blocks.extent[axis]);
        let line = ((outer * a + first / depth) * b + y / height) * c;
        let mut rest = out;
        while !rest.is_empty() {
            let at = (first % depth * height + y % height) * width + x % width;
            let (own, next) = rest.split_at_mut((width - x % width).min(rest.len()));
            for (v, output) in own.iter_mut().zip(&self.block(line + x / width)[at..]) {
                *v = self.latent.normal.value(*output, limits);
            }
            x += own.len();
            rest = next;
        }
    }
}

/// What turns the integers of a chunk into inputs of the encoder, and outputs of the decoder into integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Normalisation {
    /// The middle of the range.
    centre: i32,
    /// From outputs to differences from it.
    output: Factor,
    /// From differences to inputs.
    input: Factor,
}

impl Normalisation {
    /// The normalisation of values from `low` to `high`; `None` where they are too near to each other or too far apart.
    pub fn of((low, high): (i32, i32)) -> Option<Self> {
        let (low, high) = (i64::from(low), i64::from(high));
        let half = 0.5 * (high - low) as f64;
        let (input, output) = (Factor::near(HALF / half)?, Factor::near(half / HALF)?);
        Some(Self { centre: ((low + high) >> 1) as i32, input, output })
    }

    fn input(&self, v: i32) -> i16 {
        self.input.normalise(v.wrapping_sub(self.centre))
    }

    /// The integer of an output, within the limits.
    #[inline]
    pub fn value(&self, output: i16, (low, high): (i32, i32)) -> i32 {
        let v = i64::from(self.centre) + self.output.times(output.into());
        v.clamp(low.into(), high.into()) as i32
    }

    /// Appends what the decoder needs.
    pub fn write(&self, w: &mut Writer) {
        w.signed(self.centre.into());
        self.output.write(w);
    }

    /// Reads what [`Normalisation::write`] wrote.
    ///
    /// # Errors
    /// `Corruption` for numbers that there are not.
    pub fn read(r: &mut Reader) -> Result<Self> {
        let centre = i32::try_from(r.signed()?).ok().filter(|c| c.unsigned_abs() <= 1 << 29);
        let centre = centre.ok_or_else(|| Error::corruption("the stream states a middle beyond the grid"))?;
        Ok(Self { centre, output: Factor::read(r)?, input: Factor::NOTHING })
    }
}
