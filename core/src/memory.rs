//! What was decoded lately, so that the encoder knows values again that a user did not write.
//!
//! HDF5 changes a part of a chunk by decoding it, changing the part and encoding the whole. The steps that did not
//! change must not lose precision once more. Most grids tell decoded values by themselves (`grid`); where the grid
//! itself depends on the data of the chunk, and for integers, this memory does: a hash of each decoded time step
//! with the error that its stream keeps. HDF5 decodes in the process that encodes again, so it need not last longer.

use crate::error::Result;
use crate::network::{Models, NoModels};
use std::collections::{HashMap, HashSet, VecDeque};
use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard};
use twox_hash::XxHash3_64;

/// Time steps remembered; the oldest are forgotten first. 24 bytes each.
const CAPACITY: usize = 1 << 17;
/// Smaller steps are not remembered: they would crowd out others.
const SMALLEST: usize = 64;

/// Bytes of a long step that are hashed together, and one in how many parts of that size is.
const LOOKED_AT: usize = 512;
/// See [`LOOKED_AT`].
const SKIPPED: usize = 8;

/// Most bytes of whole chunks that are remembered, and most chunks.
const WHOLE: usize = 128 << 20;
/// See [`WHOLE`].
const CHUNKS: usize = 64;
/// Most lengths that are remembered; with as many, all are known.
const LENGTHS: usize = 1 << 12;
/// Points of a chunk that are looked at before all are compared.
const SAMPLED: usize = 256;

/// Hashes of decoded time steps with the error that they were decoded with.
///
/// Where that does not do, whole chunks are remembered: where decoded values are like any others and may be kept in a part of
/// a frame of which the rest changes (integers that the direct predictor rounded), and where steps are of a few bytes.
///
/// Also the lengths of chunks of integers that were decoded: in others none are taken for decoded ones.
#[derive(Default)]
pub struct Memory {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    errors: HashMap<u64, f64>,
    order: VecDeque<u64>,
    chunks: VecDeque<Whole>,
    /// Lengths of chunks of integers.
    integers: HashSet<usize>,
}

/// A decoded chunk.
struct Whole {
    raw: Vec<u8>,
    /// Which steps are final: others are rounded later.
    finals: Vec<bool>,
    error: f64,
}

/// Hash of a step: of all of it where it is short, otherwise of one part in [`SKIPPED`]. A step that another one is taken
/// for, as they are alike in those parts, only comes back exactly, too.
fn hash(step: &[u8]) -> u64 {
    if step.len() < SKIPPED * LOOKED_AT {
        return XxHash3_64::oneshot(step);
    }
    let parts =
        step.chunks(SKIPPED * LOOKED_AT).map(|part| XxHash3_64::oneshot(&part[..part.len().min(LOOKED_AT)]));
    parts
        .fold(step.len() as u64, |sum, part| (sum ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29))
}

impl Memory {
    /// An empty memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// The lock; `None` if it stays taken, as after a fork while another thread held it: then nothing is known.
    fn lock(&self) -> Option<MutexGuard<'_, Known>> {
        for _ in 0..200 {
            match self.known.try_lock() {
                Ok(guard) => return Some(guard),
                Err(std::sync::TryLockError::Poisoned(p)) => return Some(p.into_inner()),
                Err(std::sync::TryLockError::WouldBlock) => {
                    std::thread::sleep(std::time::Duration::from_millis(1))
                }
            }
        }
        None
    }

    /// Remembers the steps of `raw` (little-endian, time first) for which `errors` gives an error.
    pub(crate) fn remember(&self, raw: &[u8], errors: &[Option<f64>]) {
        let size = raw.len() / errors.len().max(1);
        if size < SMALLEST {
            return;
        }
        let Some(mut known) = self.lock() else { return };
        for (step, error) in raw.chunks_exact(size).zip(errors) {
            if let Some(error) = error {
                let hash = hash(step);
                if known.errors.insert(hash, *error).is_none() {
                    known.order.push_back(hash);
                }
            }
        }
        while known.order.len() > CAPACITY {
            if let Some(oldest) = known.order.pop_front() {
                known.errors.remove(&oldest);
            }
        }
    }

    /// Remembers that a chunk of so many bytes was decoded that holds rounded integers.
    pub(crate) fn remember_integers(&self, len: usize) {
        let Some(mut known) = self.lock() else { return };
        if known.integers.len() < LENGTHS {
            known.integers.insert(len);
        }
    }

    /// Whether a chunk of so many bytes may have been decoded that holds rounded integers.
    pub(crate) fn knows_integers(&self, len: usize) -> bool {
        self.lock().is_none_or(|known| known.integers.len() >= LENGTHS || known.integers.contains(&len))
    }

    /// Whether steps of this size are remembered one by one.
    pub(crate) fn remembers_steps(size: usize) -> bool {
        size >= SMALLEST
    }

    /// Remembers a whole chunk that was decoded with this error, and which of its steps are final.
    pub(crate) fn remember_whole(&self, raw: &[u8], finals: Vec<bool>, error: f64) {
        let Some(mut known) = self.lock() else { return };
        known.chunks.retain(|chunk| chunk.raw != raw);
        known.chunks.push_back(Whole { raw: raw.to_vec(), finals, error });
        while known.chunks.len() > CHUNKS
            || known.chunks.iter().map(|c| c.raw.len() + c.finals.len()).sum::<usize>() > WHOLE
        {
            known.chunks.pop_front();
        }
    }

    /// The points of `raw`, values of `size` bytes, that are as in the final steps of the remembered chunk that is most like
    /// it: not 0 at each of them. `None` where no chunk has one in `least` of the points in common. Only chunks of this error
    /// count, where one is given.
    pub(crate) fn unchanged(
        &self,
        raw: &[u8],
        size: usize,
        least: usize,
        error: Option<f64>,
    ) -> Option<Vec<u8>> {
        let known = self.lock()?;
        let points = raw.len() / size;
        let alike = |chunk: &Whole, every: usize| -> usize {
            let values = chunk.raw.chunks_exact(size).zip(raw.chunks_exact(size));
            values.step_by(every).filter(|(a, b)| a == b).count()
        };
        let every = (points / SAMPLED).max(1);
        let same =
            known.chunks.iter().filter(|c| c.raw.len() == raw.len() && error.is_none_or(|e| e == c.error));
        let (_, best) = same.map(|chunk| (alike(chunk, every), chunk)).max_by_key(|(count, _)| *count)?;
        let step = points / best.finals.len().max(1);
        (alike(best, 1) * least >= points).then(|| {
            let values = best.raw.chunks_exact(size).zip(raw.chunks_exact(size)).enumerate();
            values.map(|(i, (a, b))| u8::from(a == b && best.finals[i / step])).collect()
        })
    }

    /// For each of the `steps` of `raw` the error that it was decoded with, if it was.
    pub(crate) fn recall(&self, raw: &[u8], steps: usize) -> Vec<Option<f64>> {
        let size = raw.len() / steps.max(1);
        if size < SMALLEST {
            return vec![None; steps];
        }
        let Some(known) = self.lock() else { return vec![None; steps] };
        if known.errors.is_empty() {
            return vec![None; steps];
        }
        raw.chunks_exact(size).map(|s| known.errors.get(&hash(s)).copied()).collect()
    }
}

/// Encodes as [`crate::encode`] does; time steps that `memory` knows as decoded come back bit for bit.
///
/// # Errors
/// As [`crate::encode`].
pub fn encode_with(params: &crate::Params, raw: &[u8], memory: &Memory) -> Result<Vec<u8>> {
    crate::codec::encode_known(params, raw, Some(memory))
}

/// How a stream is to be decoded.
#[derive(Clone, Copy)]
pub struct Decoding<'a> {
    /// Bytes of the chunk, where they are known: memory is allocated only after they were compared.
    pub expected_len: Option<usize>,
    /// Most threads to use; values are the same whatever it is.
    pub threads: usize,
    /// What is to remember the time steps.
    pub memory: Option<&'a Memory>,
    /// Where models are found.
    pub models: &'a dyn Models,
}

impl Default for Decoding<'_> {
    fn default() -> Self {
        Self { expected_len: None, threads: 1, memory: None, models: &NoModels }
    }
}

/// Decodes as [`crate::decode`] does, with a memory and models.
///
/// # Errors
/// As [`crate::decode`], and those of [`Models::find`].
pub fn decode_with(stream: &[u8], decoding: &Decoding) -> Result<Vec<u8>> {
    crate::codec::decode_as(stream, decoding)
}

/// Decodes as [`decode_with`] does to memory of the chunk's size, which need not hold anything yet. Where it succeeds all of
/// `out` was written, where it fails perhaps a part.
///
/// # Errors
/// As [`decode_with`], and `InvalidArgument` for memory of another size.
pub fn decode_to(stream: &[u8], decoding: &Decoding, out: &mut [MaybeUninit<u8>]) -> Result<()> {
    crate::codec::decode_to(stream, decoding, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_known_by_the_length_of_their_chunk() {
        let memory = Memory::new();
        assert!(!memory.knows_integers(100));
        memory.remember_integers(100);
        assert!(memory.knows_integers(100) && !memory.knows_integers(101));
        (0..LENGTHS).for_each(|i| memory.remember_integers(200 + i));
        assert!(memory.knows_integers(101));
    }

    #[test]
    fn steps_are_known_until_others_crowd_them_out() {
        let memory = Memory::new();
        let raw = vec![7u8; 200];
        memory.remember(&raw, &[Some(0.5), None]);
        // Equal steps are one step.
        assert_eq!(memory.recall(&raw, 2), [Some(0.5), Some(0.5)]);
        assert_eq!(memory.recall(&raw, 1), [None]);
        for i in 0..CAPACITY as u64 {
            memory.remember(&[i.to_le_bytes(); 8].concat(), &[Some(1.0)]);
        }
        assert_eq!(memory.recall(&raw, 2), [None, None]);
    }
}
