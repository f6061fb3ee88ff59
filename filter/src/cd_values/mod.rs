//! cd_values: the up to 16 words of 32 bits that HDF5 stores with a dataset for its filter.
//!
//! | word | user form | filled by set_local |
//! |---|---|---|
//! | 0 | bits 0-7 layout version, 8-15 preset, 17 `FILL_GIVEN`, 26 `STRICT`, 27-29 warm-up, 30 `OPEN_LOOP` or `BY_DISTANCE` | 16 `EXPANDED`, 18 `FILL_AUTO`, 19 `BIG_ENDIAN`, 20 `PRECEDED`, 21-22 time axis among the extents, 23-25 place of the own fill value |
//! | 1 | bits 0-7 bound mode, 20-23 time axis of the dataset, 24-31 key frames | 8-15 dtype, 16-19 rank of words 12-15 |
//! | 2, 3 | first bound parameter (double, low word first) | |
//! | 4, 5 | second bound parameter, or the fill value (`FILL_GIVEN`) | the dataset's fill value (`FILL_AUTO`) |
//! | 6-9 | first 128 bits of the model's SHA-256, the first byte lowest; 0: no model, or the attribute names it | the fill value (place 5) |
//! | 10, 11 | 0 | nonce of the dataset, or its fill value (place 4) |
//! | 12-15 | 0 | chunk extents other than 1, leading ones merged |
//!
//! Words that are left out count as 0. [`Settings`] is the user form, [`Expanded`] the whole.

mod expanded;

pub use expanded::Expanded;

use crate::fill::Fill;
use augur_core::params::{KeyFrames, Selection, Windows};
use augur_core::{Bound, Error, Preset, Result};

/// Version of this layout.
pub const LAYOUT: u32 = 1;
/// Most words: older h5py reads them into a buffer of 16.
pub const WORDS: usize = 16;
/// Words of the user form.
pub const USER_WORDS: usize = 10;
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
/// Word 0: a model that is found nowhere is refused when the dataset is created.
pub const STRICT: u32 = 1 << 26;
/// Word 0: where the number of warm-up steps starts, 3 bits (preset `tezip`).
const WARM_UP_SHIFT: u32 = 27;
/// Word 0: forecasts are made from forecasts (preset `tezip`).
pub const OPEN_LOOP: u32 = 1 << 30;
/// Word 0: blocks are predicted in the way of the smallest differences (presets `ae-sz` and `cae`).
pub const BY_DISTANCE: u32 = OPEN_LOOP;
/// Bits of word 0 that have a meaning.
const KNOWN: u32 = (1 << 31) - 1;
/// Bits of word 0 that users set.
const USER_BITS: u32 = 0xffff | FILL_GIVEN | STRICT | 7 << WARM_UP_SHIFT | OPEN_LOOP;
/// Word 1: where the key frames start (preset `tezip`): 0 the first step only, 2 to 127 every so many, 128 + k a threshold
/// of 2^(-k/4).
const KEYS_SHIFT: u32 = 24;

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
    /// First 128 bits of the SHA-256 of the model that the preset uses; without them the dataset's attribute `augur_model`
    /// names it.
    pub model: Option<[u8; 16]>,
    /// Whether a model that is found nowhere is refused when the dataset is created. Otherwise, and where only the
    /// attribute can say which model it is, chunks are stored without one and a warning says so.
    pub strict: bool,
    /// Key frames of the preset `tezip`; its threshold is rounded to a power of 2 to a quarter.
    pub windows: Windows,
    /// How the presets `ae-sz` and `cae` choose between predictions.
    pub selection: Selection,
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
    /// Settings with this bound and the defaults: preset `balanced`, time first, the dataset's fill value, no model.
    pub fn new(bound: Bound) -> Self {
        Self {
            preset: Preset::default(),
            bound,
            fill: None,
            time_axis: 0,
            model: None,
            strict: false,
            windows: Windows::default(),
            selection: Selection::default(),
        }
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
        let uses_model = self.preset.uses_model();
        if self.model.is_some() && !uses_model {
            return Err(Error::invalid(format!(
                "words 6 to 9 name a model, which the preset {} does not use; choose the preset learned (word 0, bits 8 to \
                 15: {}), tezip, tezip+, ae-sz, ae-sz+ or cae, or leave the model out",
                self.preset.name(),
                Preset::Learned.code()
            )));
        }
        self.windows.validate()?;
        if self.windows != Windows::default() && self.preset != Preset::Tezip {
            return Err(Error::invalid(format!(
                "word 0, bits 27 to 30, or word 1, bits 24 to 31, state key frames or a warm-up, which the preset {} does not \
                 have: they go with the preset tezip",
                self.preset.name()
            )));
        }
        if self.selection != Selection::default() && !self.preset.is_blockwise() {
            return Err(Error::invalid(format!(
                "word 0, bit 30, asks to choose predictions by their differences, which the preset {} does not do: that goes \
                 with the presets ae-sz and cae",
                self.preset.name()
            )));
        }
        if self.model == Some([0; 16]) {
            return Err(Error::invalid(
                "words 6 to 9 cannot name a model whose SHA-256 begins with 16 zeros",
            ));
        }
        if self.strict && !uses_model {
            return Err(Error::invalid(format!(
                "word 0 asks to be strict about the model (bit 26), but the preset {} uses none",
                self.preset.name()
            )));
        }
        Ok(())
    }

    /// The user form: 10 words, fewer where the last ones are 0.
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
        if self.strict {
            words[0] |= STRICT;
        }
        words[0] |= u32::from(self.windows.warm_up) << WARM_UP_SHIFT;
        words[0] |= if self.windows.open_loop { OPEN_LOOP } else { 0 };
        words[0] |= if self.selection == Selection::Distance { BY_DISTANCE } else { 0 };
        words[1] |= keys_code(self.windows.keys) << KEYS_SHIFT;
        if let Some(digest) = self.model {
            let bits = u128::from_le_bytes(digest);
            put(&mut words, 6, bits as u64);
            put(&mut words, 8, (bits >> 64) as u64);
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
        Expanded::read(&words, settings).map(CdValues::Expanded)
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
    let settings = Settings {
        preset,
        bound,
        fill: (words[0] & FILL_GIVEN != 0).then(|| Fill::from_bits(get(words, 4))),
        time_axis: (words[1] >> 20 & 15) as usize,
        model: expanded::model_words(words).then(|| digest(words)),
        strict: words[0] & STRICT != 0,
        windows: Windows {
            keys: keys_from(words[1] >> KEYS_SHIFT),
            warm_up: (words[0] >> WARM_UP_SHIFT & 7) as u8,
            open_loop: words[0] & OPEN_LOOP != 0 && !preset.is_blockwise(),
        },
        selection: match words[0] & BY_DISTANCE != 0 && preset.is_blockwise() {
            true => Selection::Distance,
            false => Selection::Length,
        },
    };
    settings.validate()?;
    Ok(settings)
}

/// Key frames as 8 bits.
fn keys_code(keys: KeyFrames) -> u32 {
    match keys {
        KeyFrames::First => 0,
        KeyFrames::Every(n) => n.into(),
        KeyFrames::Beyond(t) => 128 + (-4.0 * t.log2()).round().clamp(0.0, 124.0) as u32,
    }
}

/// Inverse of [`keys_code`].
fn keys_from(code: u32) -> KeyFrames {
    match code {
        0 => KeyFrames::First,
        1..128 => KeyFrames::Every(code as u8),
        _ => KeyFrames::Beyond(2f64.powf(-0.25 * f64::from(code - 128))),
    }
}

/// The digest's first 128 bits.
fn digest(words: &[u32; WORDS]) -> [u8; 16] {
    (u128::from(get(words, 6)) | u128::from(get(words, 8)) << 64).to_le_bytes()
}

/// Checks that a user form leaves alone what set_local fills.
fn user_form_only(words: &[u32; WORDS]) -> Result<()> {
    let filled = words[0] & !USER_BITS;
    if filled != 0 {
        return Err(Error::invalid(format!(
            "word 0 ({:#x}) sets bits that only set_local sets: {filled:#x}",
            words[0]
        )));
    }
    let filled = words[1] & 0x000f_ff00;
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

/// The 64 bits in words `at` and `at + 1`, low word first.
fn get(words: &[u32; WORDS], at: usize) -> u64 {
    u64::from(words[at]) | u64::from(words[at + 1]) << 32
}

/// Stores 64 bits in words `at` and `at + 1`, low word first.
fn put(words: &mut [u32; WORDS], at: usize, bits: u64) {
    words[at] = bits as u32;
    words[at + 1] = (bits >> 32) as u32;
}
