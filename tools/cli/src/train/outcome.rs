//! What a model is worth: sizes and times on held-out steps, through the codec itself.

use super::data::Source;
use crate::failure::Result;
use augur_core::{decode_with, encode, Bound, Decoding, Digest, Error, Model, Models, Params, Preset};
use std::sync::Arc;
use std::time::Instant;

/// Bytes that are looked at, at most.
const BYTES: usize = 64 << 20;

/// Bytes and seconds of all chunks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Stored bytes.
    pub stored: u64,
    /// Seconds to write.
    pub write: f64,
    /// Seconds to read.
    pub read: f64,
}

/// A way to store held-out steps.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Its name: that of the preset, and what differs from it.
    pub name: &'static str,
    /// The preset.
    pub preset: Preset,
    /// Whether with the model.
    pub model: bool,
}

/// Held-out steps, stored in several ways.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Bytes before.
    pub raw: u64,
    /// Each way and what it costs: first without the model, then with it.
    pub costs: Vec<(Way, Cost)>,
}

impl Outcome {
    /// Nothing stored so far.
    pub fn new(ways: &[Way]) -> Self {
        Self { raw: 0, costs: ways.iter().map(|way| (*way, Cost::default())).collect() }
    }

    /// Bytes of a field from which on a model of `bytes` in the file is made up for.
    pub fn pays_from(&self, bytes: usize) -> Option<u64> {
        let [(_, without), (_, with), ..] = self.costs.as_slice() else { return None };
        let saved = without.stored.checked_sub(with.stored).filter(|s| *s > 0)?;
        Some((bytes as f64 * self.raw as f64 / saved as f64).ceil() as u64)
    }
}

/// The only model that there is.
struct One<'a>(&'a Arc<Model>);

impl Models for One<'_> {
    fn find(&self, digest: &Digest) -> augur_core::Result<Arc<Model>> {
        (self.0.digest() == *digest)
            .then(|| Arc::clone(self.0))
            .ok_or_else(|| Error::invalid(format!("the model sha256:{digest} was not asked for")))
    }
}

/// Stores the held-out steps of `source` as its chunks with `bound` in all ways, and adds what it costs to `out`.
///
/// # Errors
/// What cannot be read or coded.
pub fn measure(
    source: &Source,
    bound: Bound,
    fill: Option<[u8; 8]>,
    model: &Arc<Model>,
    out: &mut Outcome,
) -> Result<()> {
    let set = &source.set;
    let (dtype, order) = source.dtype;
    let mut step = source.chunk();
    let split = source.split;
    step[split] = step[split].min(set.shape[split] - source.held_out);
    let most = out.raw + BYTES as u64;
    // The last whole chunks along that axis that are held out.
    let count = ((set.shape[split] - source.held_out) / step[split]).max(1);
    let mut shape = set.shape.clone();
    shape[split] = count * step[split];
    let first = set.shape[split] - shape[split];
    let mut raw = vec![];
    let one = One(model);
    for (mut start, count) in crate::boxes::cover(&shape, &step) {
        start[split] += first;
        set.read(&start, &count, &mut raw)?;
        let mut params = Params::new(dtype, &count, bound);
        (params.order, params.time_axis, params.fill) = (order, source.time, fill);
        out.raw += raw.len() as u64;
        for (way, cost) in &mut out.costs {
            params.preset = way.preset;
            params.model = way.model.then(|| Arc::clone(model));
            let begun = Instant::now();
            let stream = encode(&params, &raw)?;
            cost.write += begun.elapsed().as_secs_f64();
            cost.stored += stream.len() as u64;
            let begun = Instant::now();
            let decoding = Decoding { expected_len: Some(raw.len()), models: &one, ..Decoding::default() };
            decode_with(&stream, &decoding)?;
            cost.read += begun.elapsed().as_secs_f64();
        }
        if out.raw > most {
            break;
        }
    }
    Ok(())
}
