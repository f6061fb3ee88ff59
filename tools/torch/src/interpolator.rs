//! The interpolator: the middle frame between two decoded ones, as the codec's hierarchical order asks for it.
//!
//! Its input channels are the contract between trainer and codec (docs/models.md): the mean of the two frames, their
//! difference, the quantisation step, the distance of the frames and where between them the wanted one lies.

use crate::field::{cut, step_channel, wide, Field, Scales, Window, POSITION};
use crate::graph::WIDE;
use tch::{Kind, Tensor};

/// Channels of the input.
pub const CHANNELS: i64 = 5;
/// Greatest distance of two frames between which a frame is interpolated.
pub const WIDEST: i64 = 4;

/// A frame between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The decoded frame before.
    pub before: i64,
    /// The frame.
    pub middle: i64,
    /// The decoded frame after.
    pub after: i64,
}

impl Place {
    /// Distance of the decoded frames.
    pub fn span(&self) -> i64 {
        self.after - self.before
    }

    /// Steps between frames whose typical difference is the unit of this place's changes.
    pub fn lag(&self) -> i64 {
        if self.span() <= 2 {
            2
        } else {
            4
        }
    }
}

/// The frames of a chunk that are interpolated from near ones.
pub fn places(steps: i64) -> Vec<Place> {
    let mut places = vec![];
    let mut spans = vec![(0, steps - 1)];
    while let Some((before, after)) = spans.pop() {
        if after - before < 2 {
            continue;
        }
        let middle = (before + after) / 2;
        if after - before <= WIDEST {
            places.push(Place { before, middle, after });
        }
        spans.extend([(before, middle), (middle, after)]);
    }
    places
}

/// Root mean square of the difference of frames at a distance of `lag` steps, or of as many as there are; `None`
/// where nothing changes.
pub fn change(field: &Field, lag: i64) -> Option<f64> {
    let lag = lag.min(field.size[0] - 1);
    let left = field.size[0] - lag;
    let mut square = (field.frames.narrow(0, lag, left) - field.frames.narrow(0, 0, left)).square();
    let mut points = square.numel() as f64;
    if let Some(mask) = &field.mask {
        let both = mask.narrow(0, lag, left) * mask.narrow(0, 0, left);
        points = f64::try_from(both.sum(Kind::Double)).ok()?;
        square *= both;
    }
    let sum = f64::try_from(square.sum(Kind::Double)).ok()?;
    (sum > 0.0 && points > 0.0).then(|| (sum / points).sqrt())
}

/// Input planes, target, bound and mask of one sample; `scales.change` is the [`change`] at the place's lag.
pub fn sample(
    field: &Field,
    decoded: &Tensor,
    window: &Window,
    place: Place,
    scales: &Scales,
    bound: f64,
) -> (Tensor, Tensor, f64, Option<Tensor>) {
    let z = window.at.1;
    let before = cut(decoded, place.before, z, window);
    let after = cut(decoded, place.after, z, window);
    let base = (&before + &after) * 0.5;
    let constant = |x: f64| base.full_like(x);
    let span = place.span();
    let planes = [
        wide(&((&base - scales.mean) * (POSITION / scales.deviation))),
        wide(&((after - before) / scales.change)),
        constant(step_channel(2.0 * bound / scales.change)),
        constant((1024 * span - 3072) as f64 / WIDE),
        constant(((4096 * (place.middle - place.before)).div_euclid(span) - 2048) as f64 / WIDE),
    ];
    let target = (cut(&field.frames, place.middle, z, window) - &base) / scales.change;
    let mask = field.mask.as_ref().map(|m| cut(m, place.middle, z, window).unsqueeze(0));
    (Tensor::stack(&planes, 0), target.unsqueeze(0), bound / scales.change, mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_steps_hold_eleven_near_places() {
        let mut places: Vec<_> = places(16).iter().map(|p| (p.before, p.middle, p.after)).collect();
        places.sort_unstable();
        let expected = [
            (0, 1, 3),
            (1, 2, 3),
            (3, 4, 5),
            (3, 5, 7),
            (5, 6, 7),
            (7, 8, 9),
            (7, 9, 11),
            (9, 10, 11),
            (11, 12, 13),
            (11, 13, 15),
            (13, 14, 15),
        ];
        assert_eq!(places, expected);
    }
}
