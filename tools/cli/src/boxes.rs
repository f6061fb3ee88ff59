//! Walking over a large array a box at a time, within memory.

/// Bytes of a box, unless a single chunk is larger.
const STEP: usize = 64 << 20;
/// Bytes up to which a box is widened so that no source chunk is read twice.
const WIDE: usize = 256 << 20;

/// Extents of the boxes for an array of `shape` with elements of `size` bytes: whole chunks, and, where
/// memory allows, also whole chunks of the source, so that none is decoded twice.
pub fn step(shape: &[usize], chunk: &[usize], source_chunk: Option<&[usize]>, size: usize) -> Vec<usize> {
    let mut step: Vec<usize> = chunk.to_vec();
    let bytes = |s: &[usize]| s.iter().product::<usize>().saturating_mul(size);
    let round = |n: usize, unit: usize| n.div_ceil(unit).saturating_mul(unit);
    if let Some(source) = source_chunk {
        for axis in (0..step.len()).rev() {
            let mut wider = step.clone();
            wider[axis] = round(source[axis].min(shape[axis].max(1)).max(step[axis]), chunk[axis]);
            if bytes(&wider) <= WIDE {
                step = wider;
            }
        }
    }
    for axis in (0..step.len()).rev() {
        let whole = round(shape[axis].max(1), step[axis]);
        let times = (STEP / bytes(&step).max(1)).max(1).min(whole / step[axis]);
        step[axis] *= times;
        if step[axis] < shape[axis] {
            break;
        }
    }
    step
}

/// Origin and extents of every box of `step` (less at the borders) that an array of `shape` falls into.
pub fn cover(shape: &[usize], step: &[usize]) -> impl Iterator<Item = (Vec<usize>, Vec<usize>)> {
    let counts: Vec<usize> = shape.iter().zip(step).map(|(&n, &s)| n.div_ceil(s)).collect();
    let total: usize = counts.iter().product();
    let (shape, step) = (shape.to_vec(), step.to_vec());
    (0..total).map(move |mut index| {
        let mut start = vec![0; shape.len()];
        for axis in (0..shape.len()).rev() {
            start[axis] = index % counts[axis] * step[axis];
            index /= counts[axis];
        }
        let count = (0..shape.len()).map(|a| step[a].min(shape[a] - start[a])).collect();
        (start, count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_cover_every_element_once() {
        for (shape, chunk, source) in [
            (vec![7, 5], vec![3, 2], None),
            (vec![1000, 90, 91], vec![16, 45, 46], Some(vec![1, 90, 91])),
            (vec![300, 300], vec![16, 300], Some(vec![300, 1])),
            (vec![1], vec![1], None),
        ] {
            let mut seen = vec![0u8; shape.iter().product()];
            for (start, count) in cover(&shape, &step(&shape, &chunk, source.as_deref(), 4096)) {
                assert!(start.iter().zip(&chunk).all(|(s, c)| s % c == 0), "a box starts inside a chunk");
                let mut at = vec![0; shape.len()];
                for _ in 0..count.iter().product() {
                    let index = (0..shape.len()).fold(0, |i, a| i * shape[a] + start[a] + at[a]);
                    seen[index] += 1;
                    for a in (0..shape.len()).rev() {
                        at[a] += 1;
                        if at[a] < count[a] {
                            break;
                        }
                        at[a] = 0;
                    }
                }
            }
            assert!(seen.iter().all(|&n| n == 1), "{shape:?}");
        }
    }

    #[test]
    fn boxes_stay_within_memory() {
        let step = step(&[10_000, 721, 1440], &[16, 181, 360], Some(&[1, 721, 1440]), 4);
        assert!(step.iter().product::<usize>() * 4 <= WIDE);
        assert_eq!(step[1..], [724, 1440], "a source chunk is read once");
    }
}
