//! Chunk shapes: what suits a dataset's extents and type when the user does not say.
//!
//! A chunk should hold several time steps, because that is what there is to gain; be whole in space as
//! long as it stays a few megabytes, because every border costs prediction; and leave little padding,
//! because HDF5 stores partial chunks whole.

/// Time steps of a chunk, where the field is neither tiny nor huge.
const STEPS: usize = 16;
/// Most time steps, for small fields.
const MOST_STEPS: usize = 64;
/// Bytes below which a chunk takes more time steps.
const SMALL: usize = 1 << 20;
/// Bytes above which a field is split.
const LARGE: usize = 8 << 20;

/// A chunk shape for a dataset of these extents, `None` in `max_shape` standing for an axis without limit.
///
/// `size` is the bytes of one element. The result has the rank of `shape`, each extent at least 1 and, on
/// axes with a limit, at most that limit.
pub fn suggest(shape: &[usize], max_shape: &[Option<usize>], size: usize, time_axis: usize) -> Vec<usize> {
    let rank = shape.len();
    let mut chunk: Vec<usize> = shape.iter().map(|&n| n.max(1)).collect();
    if rank == 0 {
        return chunk;
    }
    let time = time_axis.min(rank - 1);
    let limit = |axis: usize| max_shape.get(axis).copied().flatten();
    let steps = limit(time).unwrap_or(usize::MAX).max(1);
    chunk[time] = 1;
    let field: usize = chunk.iter().product::<usize>().saturating_mul(size);
    // Series and profiles have no field to speak of: their chunks may be as long as it takes.
    let most = if rank <= 2 { usize::MAX } else { MOST_STEPS };
    let wanted = STEPS.max((SMALL / field.max(1)).min(most)).min(steps);
    // Where time has no limit and hardly began, chunks are as long as they will want to be; otherwise what
    // is there is cut into equal parts, so that the last chunk is not mostly padding.
    let begun = limit(time).is_some() || shape[time] >= STEPS;
    chunk[time] = if begun { even(shape[time].max(1), wanted) } else { STEPS };

    let mut parts = vec![1usize; rank];
    while chunk.iter().product::<usize>().saturating_mul(size) > LARGE {
        // Split the longest axis in space; time only when there is no space left to split.
        let longest = (0..rank).filter(|&a| a != time && chunk[a] > 1).max_by_key(|&a| chunk[a]);
        match longest {
            Some(axis) => {
                parts[axis] += 1;
                chunk[axis] = shape[axis].max(1).div_ceil(parts[axis]);
            }
            None if chunk[time] > 1 => chunk[time] = chunk[time].div_ceil(2),
            None => break,
        }
    }
    chunk
}

/// The extent, at most `wanted`, that cuts `n` into equal parts with the least padding.
fn even(n: usize, wanted: usize) -> usize {
    n.div_ceil(n.div_ceil(wanted.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(shape: &[usize]) -> Vec<Option<usize>> {
        shape.iter().map(|&n| Some(n)).collect()
    }

    #[test]
    fn usual_fields_get_sixteen_steps_of_the_whole_field() {
        assert_eq!(suggest(&[128, 180, 360], &fixed(&[128, 180, 360]), 4, 0), [16, 180, 360]);
        assert_eq!(suggest(&[96, 128, 128], &fixed(&[96, 128, 128]), 4, 0), [16, 128, 128]);
    }

    #[test]
    fn small_fields_get_more_steps_and_large_ones_are_split() {
        assert_eq!(suggest(&[640, 16, 16], &fixed(&[640, 16, 16]), 4, 0), [64, 16, 16]);
        let big = suggest(&[365, 50, 721, 1440], &fixed(&[365, 50, 721, 1440]), 4, 0);
        assert_eq!(big[0], 16);
        let bytes = big.iter().product::<usize>() * 4;
        assert!((1 << 20..=LARGE).contains(&bytes), "{big:?}");
    }

    #[test]
    fn extents_that_do_not_divide_are_cut_evenly() {
        assert_eq!(suggest(&[17, 200, 200], &fixed(&[17, 200, 200]), 4, 0)[0], 9);
        assert_eq!(suggest(&[7, 200, 200], &fixed(&[7, 200, 200]), 4, 0)[0], 7);
        assert_eq!(suggest(&[20, 1999, 1999], &fixed(&[20, 1999, 1999]), 4, 0)[0], 10);
    }

    #[test]
    fn an_axis_without_limit_keeps_full_chunks_for_what_will_come() {
        assert_eq!(suggest(&[3, 200, 200], &[None, Some(200), Some(200)], 4, 0), [16, 200, 200]);
        assert_eq!(suggest(&[0, 200, 200], &[None, Some(200), Some(200)], 4, 0), [16, 200, 200]);
        assert_eq!(suggest(&[40, 60, 70], &[None, Some(60), Some(70)], 4, 0), [40, 60, 70]);
    }

    #[test]
    fn every_shape_gets_a_chunk_that_hdf5_accepts() {
        for shape in
            [vec![1], vec![1_000_003], vec![5, 1], vec![1, 1, 1, 1, 9_999_991], vec![2, 3, 5, 7, 11, 13]]
        {
            for time in 0..shape.len() {
                let chunk = suggest(&shape, &fixed(&shape), 8, time);
                assert_eq!(chunk.len(), shape.len());
                assert!(chunk.iter().zip(&shape).all(|(c, n)| (1..=*n).contains(c)), "{shape:?}: {chunk:?}");
                assert!(chunk.iter().product::<usize>() * 8 <= LARGE);
            }
        }
    }

    #[test]
    fn a_long_series_gets_a_megabyte() {
        let n = suggest(&[10_000_000], &fixed(&[10_000_000]), 4, 0)[0];
        assert!((SMALL / 8..=SMALL / 4).contains(&n), "{n}");
    }
}
