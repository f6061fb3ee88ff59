//! cd_values: the up to 16 words of 32 bits that HDF5 stores with a dataset for its filter.
//!
//! | word | user form | filled by set_local |
//! |---|---|---|
//! | 0 | bits 0-7 layout version, 8-15 preset, 17 `FILL_GIVEN` | 16 `EXPANDED`, 18 `FILL_AUTO`, 19 `BIG_ENDIAN`, 20 `PRECEDED`, 21-22 time axis among the extents, 23-25 place of the own fill value |
//! | 1 | bits 0-7 bound mode, 20-23 time axis of the dataset | 8-15 dtype, 16-19 rank of words 12-15 |
//! | 2, 3 | first bound parameter (double, low word first) | |
//! | 4, 5 | second bound parameter, or the fill value (`FILL_GIVEN`) | the dataset's fill value (`FILL_AUTO`) |
//! | 6-9 | model digest, 0 | |
//! | 10, 11 | 0 | nonce of the dataset, or its fill value (place 4) |
//! | 12-15 | 0 | chunk extents other than 1, leading ones merged |
//!
//! Words that are left out count as 0. [`Settings`] is the user form, [`Expanded`] the whole.

use crate::fill::{Fill, COMMON};
use augur_core::{Bound, ByteOrder, Dtype, Error, Params, Preset, Result};

/// Version of this layout.
pub const LAYOUT: u32 = 1;
/// Most words: older h5py reads them into a buffer of 16.
pub const WORDS: usize = 16;
/// Words of the user form.
pub const USER_WORDS: usize = 6;
/// Most extents that the words can hold.
pub const MAX_EXTENTS: usize = 4;

/// Word 0: set_local filled in what it fills in.
pub const EXPANDED: u32 = 1 << 16;
/// Word 0: words 4 and 5 hold the user's fill value.
pub const FILL_GIVEN: u32 = 1 << 17;
/// Word 0: words 4 and 5 hold the bytes of the dataset's fill value.
pub const FILL_AUTO: u32 = 1 << 18;
/// Word 0: the data are big-endian.
pub const BIG_ENDIAN: u32 = 1 << 19;
/// Word 0: another filter works before this one, so that its input is bytes, not values.
pub const PRECEDED: u32 = 1 << 20;
/// Word 0: where the axis of time among the extents starts.
const AXIS_SHIFT: u32 = 21;
/// Bits of word 0 that have a meaning.
const KNOWN: u32 = (1 << 26) - 1;
/// Word 0: where the place of the dataset's own fill value starts, for when words 4 and 5 are taken by the
/// user's fill value or the second bound parameter. 0: it has none or `FILL_AUTO` is set; 1 to 3: one of the
/// common values; [`IN_NONCE`].
const PLACE_SHIFT: u32 = 23;
/// Place of a fill value in words 10 and 11, instead of the nonce.
const IN_NONCE: u32 = 4;

/// What a user asks for: the user form of cd_values.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How to predict and code.
    pub preset: Preset,
    /// What may be lost, in the unit of the data.
    pub bound: Bound,
    /// Fill value, where it is not the one that the dataset states itself.
    pub fill: Option<Fill>,
    /// Axis of the dataset that is time, counted from 0; at most 15.
    pub time_axis: usize,
}

/// What set_local makes of the settings and a dataset: all that encoding needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Expanded {
    /// What the user asked for.
    pub settings: Settings,
    /// Bytes of the dataset's own fill value in the file's byte order, where it has one: what is read where
    /// nothing was written.
    pub own_fill: Option<[u8; 8]>,
    /// Type of the values.
    pub dtype: Dtype,
    /// Byte order of the values.
    pub order: ByteOrder,
    /// Chunk extents other than 1, leading ones merged; 1 to 4 of them.
    pub shape: Vec<usize>,
    /// Axis of `shape` that is time; 0 where time has the extent 1 or was merged.
    pub time_axis: usize,
    /// Another filter works before this one.
    pub preceded: bool,
    /// A number that tells the datasets of a process apart; 0 where its words hold the fill value.
    pub nonce: u64,
}

/// cd_values in one of their two forms.
#[derive(Clone, Debug, PartialEq)]
pub enum CdValues {
    /// As users write them.
    User(Settings),
    /// As set_local leaves them.
    Expanded(Expanded),
}

impl Default for Settings {
    /// Lossless, with the preset `balanced`.
    fn default() -> Self {
        Self::new(Bound::Lossless)
    }
}

impl Settings {
    /// Settings with this bound and the defaults: preset `balanced`, time first, the dataset's fill value.
    pub fn new(bound: Bound) -> Self {
        Self { preset: Preset::default(), bound, fill: None, time_axis: 0 }
    }

    /// Checks the bound and that the settings fit their words.
    ///
    /// # Errors
    /// `InvalidArgument` that names what is wrong.
    pub fn validate(&self) -> Result<()> {
        self.bound.validate()?;
        let (_, second) = self.bound.parameters();
        if self.fill.is_some() && second != 0.0 {
            return Err(Error::invalid(format!(
                "words 4 and 5 hold either a fill value or the bound's second parameter ({second} here): give only one; \
                 the dataset's own fill value needs no words"
            )));
        }
        if self.time_axis > 15 {
            return Err(Error::invalid(format!(
                "word 1 holds a time axis of 0 to 15, not {}",
                self.time_axis
            )));
        }
        Ok(())
    }

    /// The user form: 6 words, fewer where the last ones are 0.
    ///
    /// # Errors
    /// As [`Settings::validate`].
    pub fn to_words(&self) -> Result<Vec<u32>> {
        let mut words = self.words()?[..USER_WORDS].to_vec();
        while words.len() > 1 && words.last() == Some(&0) {
            words.pop();
        }
        Ok(words)
    }

    fn words(&self) -> Result<[u32; WORDS]> {
        self.validate()?;
        let mut words = [0; WORDS];
        let (first, second) = self.bound.parameters();
        words[0] = LAYOUT | u32::from(self.preset.code()) << 8;
        words[1] = u32::from(self.bound.mode()) | (self.time_axis as u32) << 20;
        put(&mut words, 2, first.to_bits());
        put(&mut words, 4, second.to_bits());
        if let Some(fill) = self.fill {
            words[0] |= FILL_GIVEN;
            put(&mut words, 4, fill.to_bits());
        }
        Ok(words)
    }

    /// The settings in words of either form.
    ///
    /// # Errors
    /// `InvalidArgument` or `Compatibility`; the message names the word and what was expected.
    pub fn from_words(words: &[u32]) -> Result<Self> {
        Ok(match CdValues::from_words(words)? {
            CdValues::User(settings) => settings,
            CdValues::Expanded(expanded) => expanded.settings,
        })
    }
}

impl CdValues {
    /// Reads cd_values of either form.
    ///
    /// # Errors
    /// `InvalidArgument` or `Compatibility`; the message names the word and what was expected.
    pub fn from_words(given: &[u32]) -> Result<Self> {
        if given.is_empty() {
            return Ok(CdValues::User(Settings::default()));
        }
        if given.len() > WORDS {
            return Err(Error::invalid(format!(
                "{} cd_values were given, at most {WORDS} expected",
                given.len()
            )));
        }
        let mut words = [0; WORDS];
        words[..given.len()].copy_from_slice(given);
        let settings = settings(&words)?;
        if words[0] & EXPANDED == 0 {
            user_form_only(&words)?;
            return Ok(CdValues::User(settings));
        }
        if given.len() != WORDS {
            return Err(Error::invalid(format!(
                "word 0 says that set_local filled the words (bit 16), but {} of {WORDS} were given",
                given.len()
            )));
        }
        expanded(&words, settings).map(CdValues::Expanded)
    }
}

/// The part of the words that users write.
fn settings(words: &[u32; WORDS]) -> Result<Settings> {
    let named = |word: &str| {
        let word = word.to_string();
        move |e: Error| Error::invalid(format!("{word}: {e}"))
    };
    let version = words[0] & 0xff;
    if version != LAYOUT {
        let text = format!(
            "word 0 ({:#x}) states layout version {version} of the cd_values, this build knows version {LAYOUT}",
            words[0]
        );
        return Err(if version > LAYOUT { Error::compatibility(text) } else { Error::invalid(text) });
    }
    if words[0] & !KNOWN != 0 {
        return Err(Error::invalid(format!(
            "word 0 ({:#x}) sets bits that have no meaning: {:#x}",
            words[0],
            words[0] & !KNOWN
        )));
    }
    if words[0] & FILL_GIVEN != 0 && words[0] & FILL_AUTO != 0 {
        return Err(Error::invalid(
            "word 0 sets both bits 17 and 18: words 4 and 5 hold one fill value, the user's or the dataset's",
        ));
    }
    let preset = Preset::from_code((words[0] >> 8) as u8).map_err(named("word 0, bits 8 to 15"))?;
    let mode = words[1] as u8;
    let has_fill = words[0] & (FILL_GIVEN | FILL_AUTO) != 0;
    let first = f64::from_bits(get(words, 2));
    let second = if has_fill { 0.0 } else { f64::from_bits(get(words, 4)) };
    let bound = Bound::from_parameters(mode, first, second).map_err(named("words 1 to 5"))?;
    for (used, at, value) in [(bound.parameters().0, 2, first), (bound.parameters().1, 4, second)] {
        if used.to_bits() != value.to_bits() {
            return Err(Error::invalid(format!(
                "words {at} and {} hold {value:e}, but bound mode {mode} has no such parameter; 0 expected",
                at + 1
            )));
        }
    }
    if let Some(at) = (6..10).find(|&i| words[i] != 0) {
        return Err(Error::compatibility(format!(
            "word {at} is {:#x}: words 6 to 9 name a model, and this build has no presets with models; 0 expected",
            words[at]
        )));
    }
    let fill = (words[0] & FILL_GIVEN != 0).then(|| Fill::from_bits(get(words, 4)));
    Ok(Settings { preset, bound, fill, time_axis: (words[1] >> 20 & 15) as usize })
}

/// Checks that a user form leaves alone what set_local fills.
fn user_form_only(words: &[u32; WORDS]) -> Result<()> {
    let filled = words[0] & !(0xffff | FILL_GIVEN);
    if filled != 0 {
        return Err(Error::invalid(format!(
            "word 0 ({:#x}) sets bits that only set_local sets: {filled:#x}",
            words[0]
        )));
    }
    let filled = words[1] & 0xff0f_ff00;
    if filled != 0 {
        return Err(Error::invalid(format!(
            "word 1 ({:#x}) sets bits that only set_local sets: {filled:#x}",
            words[1]
        )));
    }
    if let Some(at) = (10..WORDS).find(|&i| words[i] != 0) {
        return Err(Error::invalid(format!(
            "word {at} is {}, but words 10 to 15 are for set_local to fill; leave them out",
            words[at]
        )));
    }
    Ok(())
}

/// The part of the words that set_local fills.
fn expanded(words: &[u32; WORDS], settings: Settings) -> Result<Expanded> {
    let dtype = Dtype::from_code((words[1] >> 8) as u8)
        .map_err(|e| Error::invalid(format!("word 1, bits 8 to 15: {e}")))?;
    let rank = (words[1] >> 16 & 15) as usize;
    if rank == 0 || rank > MAX_EXTENTS {
        return Err(Error::invalid(format!(
            "word 1, bits 16 to 19: {rank} extents, expected 1 to {MAX_EXTENTS}"
        )));
    }
    let shape: Vec<usize> = words[12..12 + rank].iter().map(|&n| n as usize).collect();
    if let Some(at) = (12..WORDS).find(|&i| (words[i] == 0) == (i < 12 + rank)) {
        return Err(Error::invalid(format!(
            "word {at} is {}, expected {} at {rank} extents",
            words[at],
            if at < 12 + rank { "an extent" } else { "0" }
        )));
    }
    if words[1] >> 24 != 0 {
        return Err(Error::invalid(format!(
            "word 1 ({:#x}) sets bits that have no meaning: 24 to 31",
            words[1]
        )));
    }
    let time_axis = (words[0] >> AXIS_SHIFT & 3) as usize;
    if time_axis >= rank {
        return Err(Error::invalid(format!(
            "word 0, bits 21 and 22: time axis {time_axis} of {rank} extents"
        )));
    }
    let order = if words[0] & BIG_ENDIAN != 0 { ByteOrder::Big } else { ByteOrder::Little };
    let place = words[0] >> PLACE_SHIFT & 7;
    let own_fill = match (words[0] & FILL_AUTO != 0, place) {
        (true, 0) => Some(get(words, 4).to_le_bytes()),
        (false, 0) => None,
        (false, IN_NONCE) => Some(get(words, 10).to_le_bytes()),
        (false, 1..IN_NONCE) => Some(COMMON[place as usize - 1](dtype, order)),
        _ => {
            return Err(Error::invalid(format!(
                "word 0 ({:#x}) states place {place} of the dataset's fill value, expected 0 to {IN_NONCE}, and 0 with \
                 bit 18",
                words[0]
            )))
        }
    };
    Ok(Expanded {
        settings,
        own_fill,
        dtype,
        order,
        shape,
        time_axis,
        preceded: words[0] & PRECEDED != 0,
        nonce: if place == IN_NONCE { 0 } else { get(words, 10) },
    })
}

impl Expanded {
    /// The 16 words.
    ///
    /// # Errors
    /// `InvalidArgument` when something does not fit its words.
    pub fn to_words(&self) -> Result<[u32; WORDS]> {
        let mut words = self.settings.words()?;
        let rank = self.shape.len();
        let fits = (1..=MAX_EXTENTS).contains(&rank)
            && self.shape.iter().all(|&n| n > 0 && u32::try_from(n).is_ok())
            && self.time_axis < rank;
        if !fits {
            return Err(Error::invalid(format!(
                "a chunk of shape {:?} (time axis {}) does not fit the cd_values: 1 to {MAX_EXTENTS} extents \
                 below 2^32 expected",
                self.shape, self.time_axis
            )));
        }
        words[0] |= EXPANDED | (self.time_axis as u32) << AXIS_SHIFT;
        if self.order == ByteOrder::Big {
            words[0] |= BIG_ENDIAN;
        }
        if self.preceded {
            words[0] |= PRECEDED;
        }
        put(&mut words, 10, self.nonce);
        if let Some(fill) = self.own_fill {
            let taken = words[0] & FILL_GIVEN != 0 || get(&words, 4) != 0;
            let common = COMMON.iter().position(|value| value(self.dtype, self.order) == fill);
            match common {
                _ if !taken => {
                    words[0] |= FILL_AUTO;
                    put(&mut words, 4, u64::from_le_bytes(fill));
                }
                Some(i) => words[0] |= (i as u32 + 1) << PLACE_SHIFT,
                None => {
                    words[0] |= IN_NONCE << PLACE_SHIFT;
                    put(&mut words, 10, u64::from_le_bytes(fill));
                }
            }
        }
        words[1] |= u32::from(self.dtype.code()) << 8 | (rank as u32) << 16;
        for (word, &n) in words[12..].iter_mut().zip(&self.shape) {
            *word = n as u32;
        }
        Ok(words)
    }

    /// Bytes of the raw chunk.
    pub fn raw_len(&self) -> Option<usize> {
        self.shape.iter().try_fold(self.dtype.size(), |n, &extent| n.checked_mul(extent))
    }

    /// The codec's parameters for a chunk of this dataset, whose last chunk along time holds `tail` steps (0: all, or
    /// not known).
    ///
    /// # Errors
    /// `InvalidArgument` when the type cannot hold the user's fill value.
    pub fn params(&self, tail: usize, threads: usize) -> Result<Params> {
        let fill = match self.settings.fill {
            Some(fill) => Some(fill.to_bytes(self.dtype, self.order)?),
            None => self.own_fill,
        };
        Ok(Params {
            order: self.order,
            time_axis: self.time_axis,
            preset: self.settings.preset,
            fill,
            unwritten: self.own_fill,
            tail,
            threads,
            ..Params::new(self.dtype, &self.shape, self.settings.bound)
        })
    }
}

/// The 64 bits in words `at` and `at + 1`, low word first.
fn get(words: &[u32; WORDS], at: usize) -> u64 {
    u64::from(words[at]) | u64::from(words[at + 1]) << 32
}

/// Stores 64 bits in words `at` and `at + 1`, low word first.
fn put(words: &mut [u32; WORDS], at: usize, bits: u64) {
    words[at] = bits as u32;
    words[at + 1] = (bits >> 32) as u32;
}
