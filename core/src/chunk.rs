//! The chunk as a sequence of frames: axes of extent 1 dropped, time first, the last two axes the frame.

/// Extents of a chunk as the predictors see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// Time steps.
    pub steps: usize,
    /// Frames per time step (vertical levels, channels).
    pub levels: usize,
    /// Rows of a frame.
    pub height: usize,
    /// Columns of a frame.
    pub width: usize,
}

impl Frames {
    /// Frames of a chunk of shape `shape` whose axis `time_axis` is time. A chunk of two extents is one
    /// frame, a chunk of one extent one frame of one row.
    pub fn new(shape: &[usize], time_axis: usize) -> Self {
        let mut axes: Vec<usize> = vec![shape[time_axis]];
        axes.extend(shape.iter().enumerate().filter(|(i, _)| *i != time_axis).map(|(_, &n)| n));
        axes.retain(|&n| n > 1);
        let width = axes.pop().unwrap_or(1);
        let height = axes.pop().unwrap_or(1);
        let steps = if axes.is_empty() { 1 } else { axes.remove(0) };
        Self { steps, levels: axes.iter().product(), height, width }
    }

    /// Number of frames.
    pub fn count(&self) -> usize {
        self.steps * self.levels
    }

    /// Points of one frame.
    pub fn area(&self) -> usize {
        self.height * self.width
    }
}

/// Copies an array so that axis `axis` comes first. `size` is the bytes of a value.
pub fn axis_first(raw: &[u8], size: usize, shape: &[usize], axis: usize) -> Vec<u8> {
    let mut out = vec![0; raw.len()];
    move_axis(shape, axis, size, |there, here, n| {
        out[there..there + n].copy_from_slice(&raw[here..here + n])
    });
    out
}

/// Inverse of [`axis_first`].
pub fn axis_back(raw: &[u8], size: usize, shape: &[usize], axis: usize) -> Vec<u8> {
    let mut out = vec![0; raw.len()];
    move_axis(shape, axis, size, |there, here, n| {
        out[here..here + n].copy_from_slice(&raw[there..there + n])
    });
    out
}

/// Calls `copy(offset with the axis first, offset in the original, bytes)` for every contiguous run.
fn move_axis(shape: &[usize], axis: usize, size: usize, mut copy: impl FnMut(usize, usize, usize)) {
    let before: usize = shape[..axis].iter().product();
    let run: usize = shape[axis + 1..].iter().product::<usize>() * size;
    let n = shape[axis];
    for t in 0..n {
        for b in 0..before {
            copy((t * before + b) * run, (b * n + t) * run, run);
        }
    }
}

/// Reverses the bytes of every value in place.
pub fn swap_bytes(raw: &mut [u8], size: usize) {
    if size > 1 {
        raw.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_drop_extents_of_one_and_put_time_first() {
        let f = |shape: &[usize], axis| {
            let f = Frames::new(shape, axis);
            (f.steps, f.levels, f.height, f.width)
        };
        assert_eq!(f(&[7], 0), (1, 1, 1, 7));
        assert_eq!(f(&[1, 1], 0), (1, 1, 1, 1));
        assert_eq!(f(&[5, 7], 0), (1, 1, 5, 7));
        assert_eq!(f(&[16, 5, 7], 0), (16, 1, 5, 7));
        assert_eq!(f(&[5, 7, 16], 2), (16, 1, 5, 7));
        assert_eq!(f(&[1, 9, 5, 7], 0), (9, 1, 5, 7));
        assert_eq!(f(&[16, 9, 5, 7], 0), (16, 9, 5, 7));
        assert_eq!(f(&[16, 2, 9, 5, 7], 0), (16, 18, 5, 7));
    }

    #[test]
    fn moving_an_axis_is_undone() {
        let shape = [3, 4, 5];
        let raw: Vec<u8> = (0..120).collect();
        for axis in 0..3 {
            let moved = axis_first(&raw, 2, &shape, axis);
            assert_eq!(axis_back(&moved, 2, &shape, axis), raw);
        }
        assert_eq!(axis_first(&raw, 2, &shape, 2)[2..4], raw[10..12]);
    }
}
