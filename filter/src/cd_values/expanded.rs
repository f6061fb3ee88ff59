//! The words as set_local leaves them: the settings and what the codec must know of the dataset.

use super::{get, put, Settings, BIG_ENDIAN, EXPANDED, FILL_AUTO, FILL_GIVEN, MAX_EXTENTS, PRECEDED, WORDS};
use crate::fill::COMMON;
use augur_core::{ByteOrder, Dtype, Error, Params, Result};

/// Word 0: where the axis of time among the extents starts.
const AXIS_SHIFT: u32 = 21;
/// Word 0: where the place of the dataset's own fill value starts, for when words 4 and 5 are taken by the
/// user's fill value or the second bound parameter. 0: it has none or `FILL_AUTO` is set; 1 to 3: one of the
/// common values; [`IN_NONCE`]; [`IN_MODEL`].
const PLACE_SHIFT: u32 = 23;
/// Place of a fill value in words 10 and 11, instead of the nonce.
const IN_NONCE: u32 = 4;
/// Place of a fill value in words 6 and 7, instead of a digest: where the attribute names the model, the nonce is needed
/// and the digest is not.
const IN_MODEL: u32 = 5;

/// Whether words 6 to 9 hold the digest of a model.
pub(super) fn model_words(words: &[u32; WORDS]) -> bool {
    let fill = words[0] & EXPANDED != 0 && words[0] >> PLACE_SHIFT & 7 == IN_MODEL;
    !fill && words[6..10].iter().any(|&w| w != 0)
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

impl Expanded {
    /// The part of the words that set_local fills.
    pub(super) fn read(words: &[u32; WORDS], settings: Settings) -> Result<Self> {
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
        let time_axis = (words[0] >> AXIS_SHIFT & 3) as usize;
        if time_axis >= rank {
            return Err(Error::invalid(format!(
                "word 0, bits 21 and 22: time axis {time_axis} of {rank} extents"
            )));
        }
        let place = words[0] >> PLACE_SHIFT & 7;
        if place == IN_MODEL && (!settings.preset.uses_model() || get(words, 8) != 0) {
            return Err(Error::invalid(format!(
                "word 0 ({:#x}) states that words 6 and 7 hold a fill value (place {IN_MODEL}): a preset with a model and \
                 zeros in words 8 and 9 expected",
                words[0]
            )));
        }
        let order = if words[0] & BIG_ENDIAN != 0 { ByteOrder::Big } else { ByteOrder::Little };
        let own_fill = match (words[0] & FILL_AUTO != 0, place) {
            (true, 0) => Some(get(words, 4).to_le_bytes()),
            (false, 0) => None,
            (false, IN_NONCE) => Some(get(words, 10).to_le_bytes()),
            (false, IN_MODEL) => Some(get(words, 6).to_le_bytes()),
            (false, 1..IN_NONCE) => Some(COMMON[place as usize - 1](dtype, order)),
            _ => {
                return Err(Error::invalid(format!(
                    "word 0 ({:#x}) states place {place} of the dataset's fill value, expected 0 to {IN_MODEL}, and 0 with \
                     bit 18",
                    words[0]
                )))
            }
        };
        Ok(Self {
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
                // The nonce finds the dataset, whose attribute names the model.
                None if self.settings.preset.uses_model() && self.settings.model.is_none() => {
                    words[0] |= IN_MODEL << PLACE_SHIFT;
                    put(&mut words, 6, u64::from_le_bytes(fill));
                }
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
    /// not known), without a model.
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
            windows: self.settings.windows,
            selection: self.settings.selection,
            ..Params::new(self.dtype, &self.shape, self.settings.bound)
        })
    }
}
