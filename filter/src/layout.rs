//! The shape in which the codec gets a chunk: extents of 1 left out, leading ones merged.

use crate::cd_values::MAX_EXTENTS;
use crate::h5types::Hsize;
use augur_core::{Error, Result};

/// A chunk as the codec gets it.
#[derive(Debug, PartialEq)]
pub struct Layout {
    /// Extents other than 1, at most [`MAX_EXTENTS`], at least one.
    pub shape: Vec<usize>,
    /// Axis of `shape` that is time; 0 where there is none.
    pub time_axis: usize,
    /// Whether the axis of time is among `shape`, not of extent 1 and not merged.
    pub timed: bool,
}

impl Layout {
    /// The layout of chunks of shape `chunk`, whose axis `time_axis` is time.
    ///
    /// # Errors
    /// `InvalidArgument` for a time axis that does not exist and for extents of 0 or beyond 32 bits.
    pub fn of(chunk: &[Hsize], time_axis: usize) -> Result<Self> {
        if time_axis >= chunk.len() {
            return Err(Error::invalid(format!(
                "word 1 states time axis {time_axis} (bits 20 to 23), but the dataset has rank {}; expected 0 to {}",
                chunk.len(),
                chunk.len().saturating_sub(1)
            )));
        }
        if chunk.contains(&0) {
            return Err(Error::invalid(format!("the chunk shape {chunk:?} has an extent of 0")));
        }
        let kept: Vec<usize> = (0..chunk.len()).filter(|&i| chunk[i] != 1).collect();
        // Merging a single extent would change nothing.
        let merged = Some(kept.len().saturating_sub(MAX_EXTENTS - 1)).filter(|&n| n > 1).unwrap_or(0);
        let mut extents: Vec<Hsize> = kept[merged..].iter().map(|&i| chunk[i]).collect();
        if merged > 0 {
            let product = kept[..merged].iter().try_fold(1, |p: Hsize, &i| p.checked_mul(chunk[i]));
            extents.insert(0, product.unwrap_or(Hsize::MAX));
        }
        if extents.is_empty() {
            extents.push(1);
        }
        if extents.iter().any(|&n| n > Hsize::from(u32::MAX)) {
            return Err(Error::invalid(format!(
                "the chunk shape {chunk:?} is too large; choose smaller chunks"
            )));
        }
        let at = kept.iter().position(|&i| i == time_axis).filter(|&at| at >= merged);
        Ok(Self {
            shape: extents.into_iter().map(|n| n as usize).collect(),
            time_axis: at.map_or(0, |at| at + usize::from(merged > 0) - merged),
            timed: at.is_some(),
        })
    }
}

/// Steps in the last chunk along an axis of `dim` steps and at most `max`, in chunks of `chunk`; 0 where the
/// last chunk is full or the axis may still grow.
pub fn tail(dim: Hsize, max: Hsize, chunk: Hsize) -> usize {
    if dim == max && chunk > 0 {
        usize::try_from(dim % chunk).unwrap_or(0)
    } else {
        0
    }
}

/// Whether the last step of a chunk holds one value only, as steps do that were never written.
///
/// `size` is the bytes of a value; `raw` holds the whole chunk.
pub fn last_step_is_constant(raw: &[u8], size: usize, shape: &[usize], time_axis: usize) -> bool {
    let run = shape[time_axis + 1..].iter().product::<usize>() * size;
    let steps = shape[time_axis];
    let mut runs = raw.chunks_exact(run * steps).map(|block| &block[run * (steps - 1)..]);
    let Some(first) = runs.next() else { return false };
    let value = &first[..size];
    let constant = |run: &[u8]| &run[..size] == value && run[size..] == run[..run.len() - size];
    constant(first) && runs.all(constant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(chunk: &[Hsize], time: usize) -> (Vec<usize>, usize, bool) {
        let l = Layout::of(chunk, time).unwrap();
        (l.shape, l.time_axis, l.timed)
    }

    #[test]
    fn ones_are_left_out_and_leading_extents_merged() {
        assert_eq!(layout(&[16, 64, 64], 0), (vec![16, 64, 64], 0, true));
        assert_eq!(layout(&[16, 1, 64, 64], 0), (vec![16, 64, 64], 0, true));
        assert_eq!(layout(&[1, 16, 64, 64], 1), (vec![16, 64, 64], 0, true));
        assert_eq!(layout(&[1, 16, 64, 64], 0), (vec![16, 64, 64], 0, false));
        assert_eq!(layout(&[64, 16], 1), (vec![64, 16], 1, true));
        assert_eq!(layout(&[5, 5, 5, 3], 3), (vec![5, 5, 5, 3], 3, true));
        assert_eq!(layout(&[4, 5, 6, 7, 8], 0), (vec![20, 6, 7, 8], 0, false));
        assert_eq!(layout(&[4, 5, 6, 7, 8], 2), (vec![20, 6, 7, 8], 1, true));
        assert_eq!(layout(&[2; 7], 6), (vec![16, 2, 2, 2], 3, true));
        assert_eq!(layout(&[1, 1], 0), (vec![1], 0, false));
    }

    #[test]
    fn what_fits_no_words_is_refused() {
        assert!(Layout::of(&[4, 4], 2).unwrap_err().message().contains("rank 2"));
        assert!(Layout::of(&[], 0).is_err());
        assert!(Layout::of(&[4, 0], 0).is_err());
        assert!(Layout::of(&[1 << 20, 1 << 20, 2, 2, 2], 0).is_err());
    }

    #[test]
    fn tails_are_known_only_of_axes_that_cannot_grow() {
        assert_eq!(tail(20, 20, 8), 4);
        assert_eq!(tail(16, 16, 8), 0);
        assert_eq!(tail(20, Hsize::MAX, 8), 0);
        assert_eq!(tail(20, 24, 8), 0);
        assert_eq!(tail(0, 0, 8), 0);
    }

    #[test]
    fn a_constant_last_step_is_found_on_every_axis() {
        let shape = [2, 3, 4];
        for axis in 0..3 {
            let index = |i: usize| [i / 12, i / 4 % 3, i % 4][axis];
            let value = |i: usize| if index(i) == shape[axis] - 1 { 7u16 } else { i as u16 };
            let raw: Vec<u8> = (0..24).flat_map(|i| value(i).to_le_bytes()).collect();
            assert!(last_step_is_constant(&raw, 2, &shape, axis), "axis {axis}");
            for i in (0..24).filter(|&i| index(i) == shape[axis] - 1) {
                let mut other = raw.clone();
                other[2 * i + 1] ^= 1;
                assert!(!last_step_is_constant(&other, 2, &shape, axis), "axis {axis}, point {i}");
            }
        }
    }
}
