//! Quantised latents of an autoencoder in a stream: component by component, as residuals of rANS with a table for each.
//!
//! A component whose values are like those of the block before is coded as differences from it.

use super::autoencoder::{Autoencoder, Normalisation, MAX_COMPONENTS};
use super::blocks::{Blocks, Shape};
use crate::entropy::bits::{unzigzag, zigzag, BitReader, BitWriter};
use crate::entropy::quiet::Quiet;
use crate::entropy::rans::{self, Decoder};
use crate::entropy::tables::{self, histograms};
use crate::entropy::{join_large, plain_bits, split_large, DIRECT_SYMBOLS};
use crate::error::{Error, Result};
use crate::network::Model;
use crate::stream::parts::{Reader, Writer};

/// Quantised latents with what makes integers of the chunk of what they become.
#[derive(Clone, Debug, PartialEq)]
pub struct Latent {
    /// The chunk's range.
    pub normal: Normalisation,
    /// Quantisation step of the latents, in the network's units.
    pub step: u16,
    /// \[component\]\[block\]
    pub values: Vec<Vec<i32>>,
}

impl Latent {
    /// Appends the latents.
    pub fn write(&self, w: &mut Writer) {
        self.normal.write(w);
        w.number(self.step.into());
        w.number(self.values.len() as u64);
        write(w, &self.values);
    }

    /// Reads the latents of `used` of the blocks.
    ///
    /// # Errors
    /// `Corruption` where they are damaged.
    pub fn read(r: &mut Reader, blocks: &Blocks, used: usize) -> Result<Self> {
        if blocks.are_mostly_beyond() {
            return Err(Error::corruption(format!("{} lie mostly beyond the chunk", blocks.shape.name())));
        }
        let normal = Normalisation::read(r)?;
        let step = r.at_most(i16::MAX as u64, "as the step of the latents")? as u16;
        let most = MAX_COMPONENTS.min(blocks.shape.points());
        let components = r.at_most(most as u64, "latents of a block")? as usize;
        if step == 0 || components == 0 {
            return Err(Error::corruption("the stream states no latents, or a step of 0"));
        }
        Ok(Self { normal, step, values: read(r, components, used)? })
    }

    /// What the latents become with the model that the stream names: the points of one block after the other.
    ///
    /// # Errors
    /// `Corruption` where the model makes other blocks of other latents.
    pub fn reconstruct(&self, model: Option<&Model>, shape: Shape, threads: usize) -> Result<Vec<i16>> {
        let model = model.ok_or_else(|| Error::corruption("the stream has latents but names no model"))?;
        let found = Autoencoder::of(model)?.filter(|a| a.shape == shape && a.components == self.values.len());
        let autoencoder = found.ok_or_else(|| {
            Error::corruption(format!(
                "the stream has {} latents for each of its {}, which the model sha256:{} does not make",
                self.values.len(),
                shape.name(),
                model.digest()
            ))
        })?;
        autoencoder.reconstruct(&self.values, self.step, threads)
    }
}

/// Most tables; further components share them.
const TABLES: usize = 64;

/// The table of a component, of `components` in all.
fn table(component: usize, components: usize) -> u8 {
    (component * TABLES.min(components) / components.max(1)) as u8
}

/// Bits that numbers cost, about: what tells whether differences are smaller.
fn cost(values: impl Iterator<Item = i32>) -> u64 {
    values.map(|v| u64::from(33 - v.unsigned_abs().leading_zeros())).sum()
}

/// Differences from the number before; the first one remains.
fn differences(values: &[i32]) -> Vec<i32> {
    let before = std::iter::once(0).chain(values.iter().copied());
    values.iter().zip(before).map(|(v, b)| v.wrapping_sub(b)).collect()
}

/// Appends latents, \[component\]\[block\].
fn write(w: &mut Writer, latents: &[Vec<i32>]) {
    let components = latents.len();
    let (mut symbols, mut contexts, mut runs) = (vec![], vec![], vec![]);
    let (mut flags, mut plain) = (BitWriter::default(), BitWriter::default());
    for (c, values) in latents.iter().enumerate() {
        let changes = differences(values);
        let differ = cost(changes.iter().copied()) < cost(values.iter().copied());
        flags.put(u32::from(differ), 1);
        for &v in if differ { &changes } else { values } {
            let mut symbol = zigzag(v).min(u32::from(u8::MAX)) as u8;
            if usize::from(symbol) >= DIRECT_SYMBOLS {
                let (large, bits, n) = split_large(v);
                plain.put(bits, n);
                symbol = large;
            }
            symbols.push(symbol);
        }
        contexts.resize(symbols.len(), table(c, components));
        runs.push(values.len() as u32);
    }
    w.bytes(&flags.finish());
    let counts = histograms(&symbols, &contexts, TABLES.min(components));
    let mut bits = BitWriter::default();
    let tables = tables::write(&counts, &Quiet::default(), &mut bits);
    w.bytes(&bits.finish());
    w.bytes(&rans::encode(&symbols, &contexts, &runs, &tables));
    w.bytes(&plain.finish());
}

/// Reads the latents of so many blocks.
///
/// # Errors
/// `Corruption` where they are damaged.
fn read(r: &mut Reader, components: usize, blocks: usize) -> Result<Vec<Vec<i32>>> {
    let flags = r.bytes()?;
    if flags.len() != components.div_ceil(8) {
        return Err(Error::corruption("the latents have not one flag for each component"));
    }
    let mut flags = BitReader::new(flags);
    let tables = tables::read(&mut BitReader::new(r.bytes()?), TABLES.min(components))?;
    if tables.quiet.is_some() {
        return Err(Error::corruption("latents have no quiet contexts"));
    }
    let mut residuals = Decoder::new(r.bytes()?)?;
    let mut plain = BitReader::new(r.bytes()?);
    let mut out = vec![];
    let mut symbols = vec![0; blocks];
    for c in 0..components {
        residuals.row(&vec![table(c, components); blocks], &tables, &mut symbols);
        let mut values = Vec::with_capacity(blocks);
        for &symbol in &symbols {
            values.push(match usize::from(symbol) < DIRECT_SYMBOLS {
                true => unzigzag(u32::from(symbol)),
                false => join_large(symbol, plain.get(plain_bits(symbol).min(31))?),
            });
        }
        if flags.get(1)? == 1 {
            let mut sum = 0i32;
            values.iter_mut().for_each(|v| {
                sum = sum.wrapping_add(*v);
                *v = sum;
            });
        }
        out.push(values);
    }
    residuals.finish()?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn latents_come_back(
            components in 1usize..90,
            blocks in 0usize..50,
            width in 0u32..31,
            seed: u32,
        ) {
            let value = |i: usize| ((i as u32 + 1).wrapping_mul(seed | 1).wrapping_mul(2_654_435_761) as i32) >> width;
            let latents: Vec<Vec<i32>> = (0..components)
                .map(|c| (0..blocks).map(|b| if c % 3 == 0 { b as i32 * 50 } else { value(c * blocks + b) }).collect())
                .collect();
            let mut w = Writer::default();
            write(&mut w, &latents);
            let mut r = Reader::new(&w.out);
            prop_assert_eq!(read(&mut r, components, blocks).unwrap(), latents);
            prop_assert!(r.finish().is_ok());
        }

        #[test]
        fn damage_is_an_error_or_other_latents(at in any::<prop::sample::Index>(), to: u8) {
            let latents: Vec<Vec<i32>> = (0..5).map(|c| (0..40).map(|b| (b * c) % 7 - 90 * (b % 2)).collect()).collect();
            let mut w = Writer::default();
            write(&mut w, &latents);
            let at = at.index(w.out.len());
            w.out[at] = to;
            let _ = read(&mut Reader::new(&w.out), 5, 40);
            let _ = read(&mut Reader::new(&w.out[..at]), 5, 40).unwrap_err();
        }
    }
}
