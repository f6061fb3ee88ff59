//! What may be lost: the error bound that a user asks for.

use crate::error::{Error, Result};

/// The error bound of a chunk. It holds at every valid point, after the cast to the stored type;
/// NaN, infinities and fill values are always exact. Bounds are in the unit of the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Nothing is lost.
    Lossless,
    /// |x - x'| <= e. For integers e is in counts and rounded down; below 1 means lossless.
    Absolute(f64),
    /// |x - x'| <= rel * range, where the range is the one given or, without one, the largest minus
    /// the smallest valid value of the chunk.
    Relative {
        /// Bound as a fraction of the value range.
        rel: f64,
        /// Value range that all chunks share; `None`: each chunk's own.
        range: Option<f64>,
    },
    /// The smaller of `Absolute(abs)` and `Relative { rel, range: None }`.
    AbsRel {
        /// Absolute bound.
        abs: f64,
        /// Bound as a fraction of the chunk's value range.
        rel: f64,
    },
    /// |x - x'| <= rel * |x|, with sign and zero kept; values with |x| < floor are exact.
    PointwiseRelative {
        /// Bound as a fraction of the value itself, below 1.
        rel: f64,
        /// Magnitude below which values are stored exactly; 0 for none.
        floor: f64,
    },
    /// Peak signal-to-noise ratio of the chunk, in dB, relative to its value range.
    Psnr(f64),
}

impl Bound {
    /// Checks that the bound is one that can be kept.
    ///
    /// # Errors
    /// `InvalidArgument` for a bound that is zero, negative, NaN or infinite, a pointwise relative
    /// bound of 1 or more, a negative floor, or a PSNR outside 1 to 1000 dB.
    pub fn validate(&self) -> Result<()> {
        let positive = |what: &str, v: f64| {
            if v.is_finite() && v > 0.0 {
                return Ok(());
            }
            let hint = if v == 0.0 { "; ask for lossless instead" } else { "" };
            Err(Error::invalid(format!("the {what} is {v}, it must be finite and greater than 0{hint}")))
        };
        match *self {
            Bound::Lossless => Ok(()),
            Bound::Absolute(e) => positive("absolute bound", e),
            Bound::Relative { rel, range } => {
                positive("relative bound", rel)?;
                range.map_or(Ok(()), |r| positive("value range of the relative bound", r))
            }
            Bound::AbsRel { abs, rel } => {
                positive("absolute bound", abs)?;
                positive("relative bound", rel)
            }
            Bound::PointwiseRelative { rel, floor } => {
                positive("pointwise relative bound", rel)?;
                if rel >= 1.0 {
                    return Err(Error::invalid(format!(
                        "the pointwise relative bound is {rel}, it must be below 1 to keep the sign"
                    )));
                }
                if !(floor.is_finite() && floor >= 0.0) {
                    return Err(Error::invalid(format!(
                        "the floor of the pointwise relative bound is {floor}, it must be finite and at least 0"
                    )));
                }
                Ok(())
            }
            Bound::Psnr(db) => {
                if db.is_finite() && (1.0..=1000.0).contains(&db) {
                    return Ok(());
                }
                Err(Error::invalid(format!("the target PSNR is {db} dB, it must lie between 1 and 1000")))
            }
        }
    }

    /// Number of the bound's mode in cd_values and streams.
    pub fn mode(&self) -> u8 {
        match self {
            Bound::Lossless => 0,
            Bound::Absolute(_) => 1,
            Bound::Relative { .. } => 2,
            Bound::AbsRel { .. } => 3,
            Bound::PointwiseRelative { .. } => 4,
            Bound::Psnr(_) => 5,
        }
    }

    /// The two parameters as cd_values and streams hold them; 0 stands for "none".
    pub fn parameters(&self) -> (f64, f64) {
        match *self {
            Bound::Lossless => (0.0, 0.0),
            Bound::Absolute(e) => (e, 0.0),
            Bound::Relative { rel, range } => (rel, range.unwrap_or(0.0)),
            Bound::AbsRel { abs, rel } => (abs, rel),
            Bound::PointwiseRelative { rel, floor } => (rel, floor),
            Bound::Psnr(db) => (db, 0.0),
        }
    }

    /// The bound with this mode and these parameters, as [`Bound::mode`] and [`Bound::parameters`]
    /// gave them, validated.
    ///
    /// # Errors
    /// `InvalidArgument` for an unknown mode or what [`Bound::validate`] refuses.
    pub fn from_parameters(mode: u8, first: f64, second: f64) -> Result<Self> {
        let bound = match mode {
            0 => Bound::Lossless,
            1 => Bound::Absolute(first),
            2 => Bound::Relative { rel: first, range: (second != 0.0).then_some(second) },
            3 => Bound::AbsRel { abs: first, rel: second },
            4 => Bound::PointwiseRelative { rel: first, floor: second },
            5 => Bound::Psnr(first),
            _ => return Err(Error::invalid(format!("bound mode {mode} is unknown, expected 0 to 5"))),
        };
        bound.validate()?;
        Ok(bound)
    }
}
