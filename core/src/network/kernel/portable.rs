//! Plain Rust: eight columns, the twin that defines what the other instruction sets do.

use super::conv::{self, Job, Lanes};
use crate::network::weights::{Narrow, Wide};
use std::array::from_fn;
use std::ops::Range;

struct Portable;

/// # Safety
/// The job was checked with these rows.
pub unsafe fn convolve(job: &Job, rows: Range<usize>, out: &mut [u32]) {
    // SAFETY: as the caller promises.
    unsafe { conv::convolve::<Portable>(job, rows, out) }
}

impl Lanes for Portable {
    type V = [u32; 8];
    const N: usize = 8;
    const HALVES: bool = false;

    #[inline(always)]
    unsafe fn splat(v: u32) -> Self::V {
        [v; 8]
    }

    #[inline(always)]
    unsafe fn load(from: *const u32) -> Self::V {
        // SAFETY: as the trait asks of the caller.
        unsafe { from.cast::<Self::V>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_even(from: *const u32) -> Self::V {
        // SAFETY: as the trait asks of the caller.
        let both = unsafe { from.cast::<[u32; 16]>().read_unaligned() };
        from_fn(|i| both[2 * i])
    }

    #[inline(always)]
    unsafe fn store(to: *mut u32, v: Self::V) {
        // SAFETY: as the trait asks of the caller.
        unsafe { to.cast::<Self::V>().write_unaligned(v) }
    }

    #[inline(always)]
    unsafe fn xor(a: Self::V, b: Self::V) -> Self::V {
        from_fn(|i| a[i] ^ b[i])
    }

    #[inline(always)]
    unsafe fn dot8(sums: Self::V, a: Self::V, w: Self::V) -> Self::V {
        from_fn(|i| {
            let (a, w) = (a[i].to_le_bytes(), w[i].to_le_bytes());
            let product = |k: usize| i32::from(a[k]) * i32::from(w[k] as i8);
            sums[i].wrapping_add((product(0) + product(1) + product(2) + product(3)) as u32)
        })
    }

    #[inline(always)]
    unsafe fn dot8_full(sums: Self::V, a: Self::V, w: Self::V) -> Self::V {
        // SAFETY: no instructions are needed.
        unsafe { Self::dot8(sums, a, w) }
    }

    #[inline(always)]
    unsafe fn halves(a: Self::V) -> [Self::V; 2] {
        let of = |v: u32| v as i8 as u16 as u32 | ((v >> 16) as i8 as u16 as u32) << 16;
        [from_fn(|i| of(a[i])), from_fn(|i| of(a[i] >> 8))]
    }

    #[inline(always)]
    unsafe fn dot16(sums: Self::V, a: Self::V, w: Self::V) -> Self::V {
        from_fn(|i| {
            let low = (a[i] as i16 as i32).wrapping_mul(w[i] as i16 as i32);
            let high = (a[i] as i32 >> 16).wrapping_mul(w[i] as i32 >> 16);
            sums[i].wrapping_add(low as u32).wrapping_add(high as u32)
        })
    }

    #[inline(always)]
    unsafe fn narrow(sums: Self::V, n: &Narrow) -> Self::V {
        from_fn(|i| {
            let kept = (sums[i] as i32).clamp(n.window.0, n.window.1);
            (kept.wrapping_mul(n.multiplier).wrapping_add(n.half) >> n.shift) as u32
        })
    }

    #[inline(always)]
    unsafe fn split(sums: Self::V, w: &Wide) -> Self::V {
        let half = 1 << (w.shift - 17);
        from_fn(|i| {
            let (upper, lower) = (sums[i] as i32 >> 16, (sums[i] & 0xffff) as i32);
            let v = (upper * w.multiplier + ((lower * w.multiplier) >> 16) + half) >> (w.shift - 16);
            v.clamp(w.clamp.0, w.clamp.1) as u32
        })
    }

    #[inline(always)]
    unsafe fn wide(sums: Self::V, w: &Wide) -> Self::V {
        from_fn(|i| {
            let v = (i64::from(sums[i] as i32) * i64::from(w.multiplier) + (1 << (w.shift - 1))) >> w.shift;
            (v as i32).clamp(w.clamp.0, w.clamp.1) as u32
        })
    }

    #[inline(always)]
    unsafe fn join8(v: [Self::V; 4]) -> Self::V {
        from_fn(|i| u32::from_le_bytes([v[0][i] as u8, v[1][i] as u8, v[2][i] as u8, v[3][i] as u8]))
    }

    #[inline(always)]
    unsafe fn join16(a: Self::V, b: Self::V) -> Self::V {
        from_fn(|i| (a[i] & 0xffff) | b[i] << 16)
    }
}
