//! Boxes of an array that lies in a plain file, last axis fastest, without header: read and written piece
//! by piece, so that neither the array nor a whole frame has to fit into memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Where the parts of a box that lie in one piece are: offset in the array and in the box, both in bytes,
/// and their length.
fn pieces<'a>(
    shape: &'a [usize],
    size: usize,
    start: &'a [usize],
    count: &'a [usize],
) -> impl Iterator<Item = (u64, usize, usize)> + 'a {
    // The axes behind the last one that the box cuts are whole: they make one piece.
    let cut = (0..shape.len()).rev().find(|&a| count[a] != shape[a]).unwrap_or(0);
    let length = count.iter().skip(cut).product::<usize>() * size;
    let pieces: usize = count[..cut].iter().product();
    (0..pieces).map(move |piece| {
        let (mut rest, mut offset, mut stride) = (piece, 0u64, size as u64);
        for axis in (0..shape.len()).rev() {
            let at = if axis < cut { rest % count[axis] } else { 0 };
            if axis < cut {
                rest /= count[axis];
            }
            offset += (start[axis] + at) as u64 * stride;
            stride *= shape[axis] as u64;
        }
        (offset, piece * length, length)
    })
}

/// Reads the box at `start` with extents `count` of an array of `shape`, elements of `size` bytes.
///
/// # Errors
/// What the file reports; one that is too short.
pub fn read(
    file: &File,
    shape: &[usize],
    size: usize,
    start: &[usize],
    count: &[usize],
    bytes: &mut [u8],
) -> io::Result<()> {
    for (offset, at, length) in pieces(shape, size, start, count) {
        file.read_exact_at(&mut bytes[at..at + length], offset)?;
    }
    Ok(())
}

/// Writes a box, as [`read`] reads it.
///
/// # Errors
/// What the file reports, a full disk for instance.
pub fn write(
    file: &File,
    shape: &[usize],
    size: usize,
    start: &[usize],
    count: &[usize],
    bytes: &[u8],
) -> io::Result<()> {
    for (offset, at, length) in pieces(shape, size, start, count) {
        file.write_all_at(&bytes[at..at + length], offset)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_a_box_in_its_order() {
        let shape = [5, 4, 6];
        for (start, count) in
            [([0, 0, 0], [5, 4, 6]), ([1, 0, 0], [3, 4, 6]), ([1, 1, 0], [2, 2, 6]), ([2, 1, 3], [2, 3, 2])]
        {
            let mut offsets = vec![];
            let mut next = 0;
            for (offset, at, length) in pieces(&shape, 2, &start, &count) {
                assert_eq!(at, next);
                next += length;
                offsets.extend((0..length).map(|i| offset as usize + i));
            }
            let mut expected = vec![];
            for t in start[0]..start[0] + count[0] {
                for y in start[1]..start[1] + count[1] {
                    for x in start[2]..start[2] + count[2] {
                        let element = (t * shape[1] + y) * shape[2] + x;
                        expected.extend([2 * element, 2 * element + 1]);
                    }
                }
            }
            assert_eq!(offsets, expected, "{start:?} {count:?}");
        }
        assert_eq!(pieces(&shape, 4, &[1, 0, 0], &[3, 4, 6]).count(), 1, "whole frames are one piece");
    }
}
