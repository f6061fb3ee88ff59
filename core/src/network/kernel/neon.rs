//! NEON: eight columns in two registers; dot products in one instruction where the machine has those, else in five.

use super::conv::{self, Job, Lanes};
use crate::network::weights::{Narrow, Wide};
use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

struct Neon<const DOT: bool>;

/// # Safety
/// The job was checked with these rows. (Every 64-bit Arm has NEON.)
pub unsafe fn convolve(job: &Job, rows: Range<usize>, out: &mut [u32]) {
    // SAFETY: as the caller promises.
    unsafe { conv::convolve::<Neon<false>>(job, rows, out) }
}

/// # Safety
/// The machine has the instructions, and the job was checked with these rows.
#[target_feature(enable = "dotprod")]
pub unsafe fn convolve_dot(job: &Job, rows: Range<usize>, out: &mut [u32]) {
    // SAFETY: as the caller promises.
    unsafe { conv::convolve::<Neon<true>>(job, rows, out) }
}

/// sums + products of four signed bytes each.
///
/// # Safety
/// With `DOT` the machine has the instruction.
#[inline(always)]
unsafe fn dot<const DOT: bool>(sums: int32x4_t, a: int8x16_t, w: int8x16_t) -> int32x4_t {
    if DOT {
        let mut sums = sums;
        // SAFETY: the caller's machine has the instruction, which only changes this register. (The intrinsic is not stable.)
        unsafe {
            asm!(
                "sdot {0:v}.4s, {1:v}.16b, {2:v}.16b",
                inout(vreg) sums, in(vreg) a, in(vreg) w,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        return sums;
    }
    // SAFETY: every machine has these.
    unsafe {
        // No product is beyond 2^14, no pair beyond 2^15 - 1 in 32 bits.
        let low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(w)));
        let high = vpaddlq_s16(vmull_high_s8(a, w));
        vaddq_s32(sums, vpaddq_s32(low, high))
    }
}

/// sums + products of two signed 16-bit numbers each.
#[inline(always)]
fn dot16(sums: int32x4_t, a: int16x8_t, w: int16x8_t) -> int32x4_t {
    // SAFETY: every machine has these.
    unsafe {
        let low = vmull_s16(vget_low_s16(a), vget_low_s16(w));
        vaddq_s32(sums, vpaddq_s32(low, vmull_high_s16(a, w)))
    }
}

/// What a multiplier, a half and a shift make of sums.
#[inline(always)]
fn wide(sums: int32x4_t, w: &Wide) -> int32x4_t {
    // SAFETY: every machine has these.
    unsafe {
        let (half, shift) = (vdupq_n_s64(1 << (w.shift - 1)), vdupq_n_s64(-i64::from(w.shift)));
        let low = vmull_s32(vget_low_s32(sums), vdup_n_s32(w.multiplier));
        let high = vmull_high_s32(sums, vdupq_n_s32(w.multiplier));
        let (low, high) = (vshlq_s64(vaddq_s64(low, half), shift), vshlq_s64(vaddq_s64(high, half), shift));
        clamp(vcombine_s32(vmovn_s64(low), vmovn_s64(high)), w.clamp)
    }
}

#[inline(always)]
fn clamp(v: int32x4_t, (low, high): (i32, i32)) -> int32x4_t {
    // SAFETY: every machine has these.
    unsafe { vminq_s32(vmaxq_s32(v, vdupq_n_s32(low)), vdupq_n_s32(high)) }
}

type Pair = [int32x4_t; 2];

// SAFETY of all that follows: as the trait asks of the caller.
#[allow(clippy::undocumented_unsafe_blocks)]
impl<const DOT: bool> Lanes for Neon<DOT> {
    type V = Pair;
    const N: usize = 8;
    const HALVES: bool = false;

    #[inline(always)]
    unsafe fn splat(v: u32) -> Pair {
        unsafe { [vdupq_n_s32(v as i32); 2] }
    }

    #[inline(always)]
    unsafe fn load(from: *const u32) -> Pair {
        unsafe { [vld1q_s32(from.cast()), vld1q_s32(from.add(4).cast())] }
    }

    #[inline(always)]
    unsafe fn load_even(from: *const u32) -> Pair {
        unsafe {
            let ([a, b], [c, d]) = (Self::load(from), Self::load(from.add(8)));
            [vuzp1q_s32(a, b), vuzp1q_s32(c, d)]
        }
    }

    #[inline(always)]
    unsafe fn store(to: *mut u32, [a, b]: Pair) {
        unsafe {
            vst1q_s32(to.cast(), a);
            vst1q_s32(to.add(4).cast(), b);
        }
    }

    #[inline(always)]
    unsafe fn xor(a: Pair, b: Pair) -> Pair {
        unsafe { [veorq_s32(a[0], b[0]), veorq_s32(a[1], b[1])] }
    }

    #[inline(always)]
    unsafe fn dot8(sums: Pair, a: Pair, w: Pair) -> Pair {
        unsafe {
            let w = w.map(|w| vreinterpretq_s8_s32(w));
            [
                dot::<DOT>(sums[0], vreinterpretq_s8_s32(a[0]), w[0]),
                dot::<DOT>(sums[1], vreinterpretq_s8_s32(a[1]), w[1]),
            ]
        }
    }

    #[inline(always)]
    unsafe fn dot8_full(sums: Pair, a: Pair, w: Pair) -> Pair {
        unsafe {
            // The products are of signed bytes: those of `a` less 128, and 128 times the weights, which are the same for
            // all columns.
            let flip = Self::splat(0x8080_8080);
            let less = Self::dot8(Self::splat(0), flip, w);
            let sums = Self::dot8(sums, Self::xor(a, flip), w);
            [vsubq_s32(sums[0], less[0]), vsubq_s32(sums[1], less[1])]
        }
    }

    #[inline(always)]
    unsafe fn halves(a: Pair) -> [Pair; 2] {
        unsafe {
            let of = a.map(|a| vreinterpretq_s16_s32(a));
            [
                of.map(|a| vreinterpretq_s32_s16(vshrq_n_s16::<8>(vshlq_n_s16::<8>(a)))),
                of.map(|a| vreinterpretq_s32_s16(vshrq_n_s16::<8>(a))),
            ]
        }
    }

    #[inline(always)]
    unsafe fn dot16(sums: Pair, a: Pair, w: Pair) -> Pair {
        unsafe {
            let (a, w) = (a.map(|a| vreinterpretq_s16_s32(a)), w.map(|w| vreinterpretq_s16_s32(w)));
            [dot16(sums[0], a[0], w[0]), dot16(sums[1], a[1], w[1])]
        }
    }

    #[inline(always)]
    unsafe fn narrow(sums: Pair, n: &Narrow) -> Pair {
        unsafe {
            let shift = vdupq_n_s32(-n.shift);
            sums.map(|v| {
                let all = vmlaq_n_s32(vdupq_n_s32(n.half), clamp(v, n.window), n.multiplier);
                vshlq_s32(all, shift)
            })
        }
    }

    #[inline(always)]
    unsafe fn split(sums: Pair, w: &Wide) -> Pair {
        unsafe {
            let (half, shift) = (vdupq_n_s32(1 << (w.shift - 17)), vdupq_n_s32(16 - w.shift));
            sums.map(|v| {
                let upper = vmlaq_n_s32(half, vshrq_n_s32::<16>(v), w.multiplier);
                let lower = vmulq_n_s32(vandq_s32(v, vdupq_n_s32(0xffff)), w.multiplier);
                clamp(vshlq_s32(vsraq_n_s32::<16>(upper, lower), shift), w.clamp)
            })
        }
    }

    #[inline(always)]
    unsafe fn wide(sums: Pair, w: &Wide) -> Pair {
        sums.map(|v| wide(v, w))
    }

    #[inline(always)]
    unsafe fn join8([a, b, c, d]: [Pair; 4]) -> Pair {
        unsafe {
            let join = |i: usize| {
                // Each inserted above the bits of those before.
                let ab = vsliq_n_s32::<8>(a[i], b[i]);
                let abc = vsliq_n_s32::<16>(ab, c[i]);
                vsliq_n_s32::<24>(abc, d[i])
            };
            [join(0), join(1)]
        }
    }

    #[inline(always)]
    unsafe fn join16(a: Pair, b: Pair) -> Pair {
        unsafe { [vsliq_n_s32::<16>(a[0], b[0]), vsliq_n_s32::<16>(a[1], b[1])] }
    }
}
