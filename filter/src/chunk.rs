//! A chunk on its way through the filter: which parameters the codec gets, and what the stream must be.
//!
//! Three forms of stream leave the filter:
//! - *typed*: dtype, byte order and shape as the expanded cd_values say;
//! - *preceded*: bytes of shape (1, n), lossless. Another filter came first (shuffle, a checksum), so that
//!   the input is no array of values any more;
//! - *untyped*: bytes of shape (1, 1, n), lossless. The cd_values were never expanded, or not for this
//!   chunk: HDF5's functions could not be found in a statically linked host.
//!
//! Merged shapes never hold an extent of 1 beside others, so the forms cannot be confused.

use crate::cd_values::{CdValues, Expanded};
use crate::layout;
use crate::models::begins_model;
use augur_core::{
    Bound, ByteOrder, Decoding, Dtype, Error, Header, Memory, Model, Models, NoModels, Params, Preset, Result,
};
use std::mem::MaybeUninit;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Gives the number of steps in a dataset's last chunk along time; 0 where that is full or not known.
pub type Tail<'a> = &'a dyn Fn(&Expanded) -> usize;

/// What is asked about the dataset of a chunk that is written.
pub struct Surroundings<'a> {
    /// Its last chunk along time.
    pub tail: Tail<'a>,
    /// Its model, if the preset uses one and it can be found.
    pub model: &'a dyn Fn(&Expanded) -> Option<Arc<Model>>,
}

/// Memory that the codec needs at most, in chunks.
const CODEC_CHUNKS: usize = 3;

/// The steps that this process decoded: HDF5 decodes a chunk here before it changes a part of it.
fn memory() -> &'static Memory {
    static MEMORY: OnceLock<Memory> = OnceLock::new();
    MEMORY.get_or_init(Memory::new)
}

/// Whether reading gives predictions.
static PREDICTIONS: AtomicBool = AtomicBool::new(false);

/// From now on datasets read as what their values were predicted to be, in this process: for programs that show how well the
/// preset `tezip` predicts. Chunks of other presets cannot be read then.
pub fn read_predictions() {
    PREDICTIONS.store(true, Ordering::SeqCst);
}

/// Encodes a chunk as [`encode_within`] does, without a model.
///
/// # Errors
/// As there.
pub fn encode(words: &[u32], tail: Option<Tail>, raw: &[u8], threads: usize) -> Result<Vec<u8>> {
    let around = tail.map(|tail| Surroundings { tail, model: &|_| None });
    encode_within(words, around.as_ref(), raw, threads)
}

/// Encodes a chunk of `raw.len()` bytes as the cd_values say.
///
/// `around` gives the number of steps in the last chunk along time (0: all, or not known), asked only for chunks that
/// are partly filled, and the model, asked only for chunks that hold more than one value. `None` says that set_local
/// cannot have looked at the dataset: the words may stem from another one then, and the chunk is stored lossless. So it is
/// whatever goes wrong in the codec.
///
/// # Errors
/// Only when even lossless storage fails (for want of memory).
pub fn encode_within(
    words: &[u32],
    around: Option<&Surroundings>,
    raw: &[u8],
    threads: usize,
) -> Result<Vec<u8>> {
    check_memory(raw.len())?;
    let mut stream = match (CdValues::from_words(words), around) {
        (Ok(CdValues::Expanded(expanded)), Some(around)) => encode_expanded(&expanded, around, raw, threads)?,
        _ => stored(&[1, 1, raw.len()], raw)?,
    };
    if stream.len() == raw.len() {
        // HDF5 takes a result as long as its input for a skipped filter. Decoding allows for this byte.
        stream.push(0);
    }
    Ok(stream)
}

fn encode_expanded(
    expanded: &Expanded,
    around: &Surroundings,
    raw: &[u8],
    threads: usize,
) -> Result<Vec<u8>> {
    if expanded.preceded {
        return stored(&[1, raw.len()], raw);
    }
    if expanded.raw_len() != Some(raw.len()) {
        return stored(&[1, 1, raw.len()], raw);
    }
    if expanded.dtype.size() == 1 && expanded.shape.len() == 1 && begins_model(raw) {
        // Somebody compresses a whole file, the models in it included.
        return lossless(expanded, raw, threads);
    }
    let (size, shape, time) = (expanded.dtype.size(), &expanded.shape, expanded.time_axis);
    let partial = layout::last_step_is_constant(raw, size, shape, time);
    let tail = if partial { (around.tail)(expanded) } else { 0 };
    let varied = raw[size..] != raw[..raw.len() - size];
    // A panic in the search ends there, too.
    let model = match expanded.settings.preset {
        preset if varied && preset.uses_model() => guarded(|| Ok((around.model)(expanded))).unwrap_or(None),
        _ => None,
    };
    let attempt = |model: Option<Arc<Model>>| {
        let params = Params { model, ..expanded.params(tail, threads)? };
        guarded(|| augur_core::encode_with(&params, raw, memory()))
    };
    let with_model = model.is_some();
    let first = attempt(model).or_else(|e| if with_model { attempt(None) } else { Err(e) });
    first.or_else(|e| {
        crate::report::warn(&format!("a chunk is stored lossless because the codec failed: {e}"));
        lossless(expanded, raw, threads)
    })
}

/// `raw` as what it is, lossless; as bytes if even that fails.
fn lossless(expanded: &Expanded, raw: &[u8], threads: usize) -> Result<Vec<u8>> {
    let mut params = expanded.params(0, threads).unwrap_or_else(|_| Params {
        order: expanded.order,
        ..Params::new(expanded.dtype, &expanded.shape, Bound::Lossless)
    });
    params.bound = Bound::Lossless;
    params.preset = Preset::Lossless;
    guarded(|| augur_core::encode(&params, raw)).or_else(|_| stored(&[1, 1, raw.len()], raw))
}

/// `raw` as bytes of this shape, lossless.
fn stored(shape: &[usize], raw: &[u8]) -> Result<Vec<u8>> {
    if u32::try_from(raw.len()).is_err() {
        return Err(Error::invalid(format!(
            "a chunk of {} bytes cannot be stored as bytes, at most {} expected; choose smaller chunks",
            raw.len(),
            u32::MAX
        )));
    }
    let params = Params { preset: Preset::Lossless, ..Params::new(Dtype::U8, shape, Bound::Lossless) };
    guarded(|| augur_core::encode(&params, raw))
}

/// Decodes a stream as [`decode_with`] does, without models.
///
/// # Errors
/// As there.
pub fn decode(words: &[u32], stream: &[u8], threads: usize) -> Result<(Vec<u8>, usize)> {
    decode_with(words, stream, threads, &NoModels)
}

/// Decodes `stream`, which belongs to a dataset with these cd_values and may need one of `models`. Returns the chunk,
/// and the number of bytes that a host may expect in the buffer whatever the stream says (0 if unknown).
///
/// # Errors
/// As [`augur_core::decode_with`], and `InvalidArgument` for a stream that was made for another kind of dataset.
pub fn decode_with(
    words: &[u32],
    stream: &[u8],
    threads: usize,
    models: &dyn Models,
) -> Result<(Vec<u8>, usize)> {
    let mut raw: Vec<MaybeUninit<u8>> = vec![];
    let slot = &mut raw;
    let (_, least) = decode_to(words, stream, threads, models, move |len, _| {
        let place = slot;
        place.resize(len, MaybeUninit::new(0));
        Ok(&mut place[..])
    })?;
    // SAFETY: every byte was written, at the latest when the vector was made.
    let raw = raw.into_iter().map(|b| unsafe { b.assume_init() }).collect();
    Ok((raw, least))
}

/// [`decode_with`], to the memory that `place` gives for so many bytes, of which the host may expect the second number at
/// least. All of it was written where this succeeds; returns both numbers.
///
/// # Errors
/// As there, and those of `place`.
pub fn decode_to<'a>(
    words: &[u32],
    stream: &[u8],
    threads: usize,
    models: &dyn Models,
    place: impl FnOnce(usize, usize) -> Result<&'a mut [MaybeUninit<u8>]>,
) -> Result<(usize, usize)> {
    // Words that this build cannot read do not make the chunk unreadable: the stream describes itself.
    let expanded = match CdValues::from_words(words) {
        Ok(CdValues::Expanded(expanded)) => Some(expanded),
        _ => None,
    };
    let header = guarded(|| Header::read(stream))?.0;
    let Some(expanded) = expanded else {
        // Nobody has said how long the chunk is: what the stream says is believed only as far as is plausible.
        augur_core::check_length(stream)?;
        check_memory(header.raw_len())?;
        let decoding = Decoding { threads, models, ..Decoding::default() };
        let out = place(header.raw_len(), 0)?;
        guarded(|| augur_core::decode_to(stream, &decoding, out))?;
        return Ok((header.raw_len(), 0));
    };
    let chunk_len = expanded.raw_len();
    let expected = check(&expanded, &header)?.then_some(chunk_len).flatten();
    match expected {
        Some(n) if n != header.raw_len() => {
            return Err(Error::invalid(format!(
                "the stream holds a chunk of {} bytes, expected {n}",
                header.raw_len()
            )))
        }
        Some(_) => {}
        None => augur_core::check_length(stream)?,
    }
    check_memory(header.raw_len())?;
    let least = if expanded.preceded { 0 } else { chunk_len.unwrap_or(0) };
    let out = place(header.raw_len(), least)?;
    guarded(|| {
        let decoding = Decoding { expected_len: expected, threads, memory: Some(memory()), models };
        if PREDICTIONS.load(Ordering::SeqCst) {
            let predictions = augur_core::predictions(stream, &decoding)?;
            out.iter_mut().zip(predictions).for_each(|(o, b)| {
                o.write(b);
            });
            return Ok(());
        }
        augur_core::decode_to(stream, &decoding, out)
    })?;
    Ok((header.raw_len(), least))
}

/// Checks that a stream is of a form that this dataset can hold; says whether it is typed.
fn check(expanded: &Expanded, header: &Header) -> Result<bool> {
    let bytes = header.dtype == Dtype::U8 && header.order == ByteOrder::Little;
    if bytes && header.shape.len() == 3 && header.shape[..2] == [1, 1] {
        return Ok(false);
    }
    if expanded.preceded {
        if bytes && header.shape.len() == 2 && header.shape[0] == 1 {
            return Ok(false);
        }
        return Err(Error::invalid(format!(
            "the stream holds {} of shape {:?}, but in this dataset another filter comes before augur, which then \
             stores bytes; the chunk was written for another dataset",
            header.dtype.name(),
            header.shape
        )));
    }
    if header.dtype == expanded.dtype && header.order == expanded.order && header.shape == expanded.shape {
        return Ok(true);
    }
    let order = |o| if o == ByteOrder::Big { "big-endian " } else { "" };
    Err(Error::invalid(format!(
        "the stream holds {}{} of shape {:?}, but the dataset's chunks are {}{} of shape {:?} (extents of 1 left out); \
         the chunk was written for another dataset",
        order(header.order),
        header.dtype.name(),
        header.shape,
        order(expanded.order),
        expanded.dtype.name(),
        expanded.shape
    )))
}

/// Asks for the memory that the codec will need and gives it back: Rust ends the process, and with it the
/// host, when memory is refused in the middle of the work.
fn check_memory(chunk: usize) -> Result<()> {
    let bytes = chunk.saturating_mul(CODEC_CHUNKS);
    let mut probe: Vec<u8> = Vec::new();
    let granted = probe.try_reserve_exact(bytes).is_ok();
    // The optimiser would leave out an allocation that nobody looks at.
    std::hint::black_box(&probe);
    if granted {
        return Ok(());
    }
    Err(Error::insufficient(format!("no memory for {bytes} bytes, which a chunk of {chunk} bytes needs")))
}

/// Runs the codec; a panic becomes an error.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = crate::callbacks::panic_text(panic.as_ref());
        Err(Error::corruption(format!("the codec failed unexpectedly ({text}); please report this")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_no_machine_has_is_an_error() {
        assert!(check_memory(1 << 20).is_ok());
        for chunk in [usize::MAX / 4, 1 << 61] {
            assert!(check_memory(chunk).unwrap_err().message().contains("no memory"));
        }
    }

    #[test]
    fn a_panic_in_the_codec_is_an_error() {
        let e = guarded(|| -> Result<()> { panic!("index {} is out of range", 5) }).unwrap_err();
        assert!(e.message().contains("index 5 is out of range"));
    }
}
