//! Lossless storage: byte shuffle, then zstd, as Blosc and HDF5's shuffle filter do it: bytes of equal
//! significance lie together, where a general coder finds the repetitions.

use crate::error::{Error, Result};

/// zstd level: beyond it the time grows faster than the ratio on floating-point fields.
const LEVEL: i32 = 3;

/// All first bytes of the values, then all second bytes, and so on.
fn shuffle(raw: &[u8], size: usize) -> Vec<u8> {
    let points = raw.len() / size;
    let mut out = vec![0; raw.len()];
    for (b, plane) in out.chunks_exact_mut(points.max(1)).enumerate() {
        for (o, v) in plane.iter_mut().zip(raw.chunks_exact(size)) {
            *o = v[b];
        }
    }
    out
}

/// Inverse of [`shuffle`].
fn unshuffle(planes: &[u8], size: usize) -> Vec<u8> {
    let points = planes.len() / size;
    let mut out = vec![0; planes.len()];
    for (b, plane) in planes.chunks_exact(points.max(1)).enumerate() {
        for (v, o) in out.chunks_exact_mut(size).zip(plane) {
            v[b] = *o;
        }
    }
    out
}

/// Shuffled and compressed bytes; `None` when that is no smaller than `raw`.
pub fn compress(raw: &[u8], size: usize) -> Option<Vec<u8>> {
    let shuffled;
    let bytes = if size == 1 {
        raw
    } else {
        shuffled = shuffle(raw, size);
        &shuffled
    };
    let out = zstd::bulk::compress(bytes, LEVEL).ok()?;
    (out.len() < raw.len()).then_some(out)
}

/// Inverse of [`compress`] for a chunk of `len` bytes; allocates no more than twice that.
pub fn decompress(payload: &[u8], size: usize, len: usize) -> Result<Vec<u8>> {
    let bytes = inflate(payload, len)?;
    if bytes.len() != len {
        return Err(Error::corruption(format!(
            "the lossless payload holds {} bytes, expected {len}",
            bytes.len()
        )));
    }
    Ok(if size == 1 { bytes } else { unshuffle(&bytes, size) })
}

/// Decompresses a zstd frame that holds at most `limit` bytes.
pub fn inflate(payload: &[u8], limit: usize) -> Result<Vec<u8>> {
    // The frame's own statement of its size is checked first, so that hostile input costs no memory.
    match zstd::zstd_safe::get_frame_content_size(payload) {
        Ok(Some(n)) if n <= limit as u64 => zstd::bulk::decompress(payload, n as usize)
            .map_err(|e| Error::corruption(format!("a zstd part is damaged: {e}"))),
        Ok(Some(n)) => {
            Err(Error::corruption(format!("a zstd part states {n} bytes, at most {limit} expected")))
        }
        _ => Err(Error::corruption("a zstd part is damaged: it states no size")),
    }
}

/// Compresses side information with zstd.
pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    // zstd fails only for want of memory or with wrong parameters; an empty frame then makes the
    // encoder's own check fail and the chunk is stored another way.
    zstd::bulk::compress(bytes, 9).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffle_is_undone() {
        for size in [1, 2, 4, 8] {
            let raw: Vec<u8> = (0..size * 37).map(|i| (i * 7) as u8).collect();
            assert_eq!(unshuffle(&shuffle(&raw, size), size), raw);
        }
    }

    #[test]
    fn hostile_sizes_are_refused_before_allocation() {
        let bomb = zstd::bulk::compress(&vec![0; 1 << 20], 3).unwrap();
        assert!(inflate(&bomb, 1000).is_err());
        assert!(inflate(b"", 1000).is_err());
        assert!(inflate(b"garbage", 1000).is_err());
    }
}
