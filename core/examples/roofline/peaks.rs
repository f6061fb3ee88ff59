//! What the core can do: its clock, bytes per cycle from each level of memory, multiply-adds per cycle.
//!
//! Every figure is the best of several runs of a small loop over registers or over a buffer.

use std::hint::black_box;
use std::time::Instant;

/// Runs of each loop.
const RUNS: usize = 9;
/// Bytes of a cache line, to which buffers are aligned.
const LINE: usize = 64;

/// Loops of one width of vectors.
struct Loops {
    name: &'static str,
    /// Reads the first `len` bytes from `at` on.
    load: unsafe fn(at: *const u8, len: usize),
    /// Writes them.
    store: unsafe fn(at: *mut u8, len: usize),
    /// Multiplies and adds 32-bit integers so many times in each of 8 vectors, as predictions do; returns the multiplications.
    multiply_32: unsafe fn(times: usize) -> usize,
    /// The same with pairs of 16-bit integers, as the normal equations do.
    multiply_16: unsafe fn(times: usize) -> usize,
}

/// The loops in terms of a vector of $bytes bytes and its instructions.
#[cfg(target_arch = "x86_64")]
macro_rules! loops {
    ($name:ident, $features:literal, $bytes:literal, $zero:ident, $set:ident, $load:ident, $store:ident, $xor:ident,
     $add:ident, $multiply_32:ident, $multiply_16:ident) => {
        mod $name {
            use super::{black_box, Loops};
            use std::arch::x86_64::*;

            pub const LOOPS: Loops = Loops { name: stringify!($name), load, store, multiply_32, multiply_16 };
            const BLOCK: usize = 8 * $bytes;

            #[target_feature(enable = $features)]
            unsafe fn load(at: *const u8, len: usize) {
                let mut sums = [$zero(); 8];
                for block in 0..len / BLOCK {
                    for (i, s) in sums.iter_mut().enumerate() {
                        // SAFETY: the caller's buffer holds `len` bytes.
                        *s = $xor(*s, unsafe { $load(at.add(block * BLOCK + i * $bytes).cast()) });
                    }
                }
                black_box(sums);
            }

            #[target_feature(enable = $features)]
            unsafe fn store(at: *mut u8, len: usize) {
                let value = black_box($set(1));
                for block in 0..len / $bytes {
                    // SAFETY: as above.
                    unsafe { $store(at.add(block * $bytes).cast(), value) };
                }
            }

            #[target_feature(enable = $features)]
            unsafe fn multiply_32(times: usize) -> usize {
                let (mut sums, values) = ([$zero(); 8], black_box([$set(3); 8]));
                let mut factor = black_box($set(5));
                for _ in 0..times {
                    for (s, v) in sums.iter_mut().zip(values) {
                        *s = $add(*s, $multiply_32(v, factor));
                    }
                    factor = $add(factor, values[0]);
                }
                black_box(sums);
                times * 8 * ($bytes / 4)
            }

            #[target_feature(enable = $features)]
            unsafe fn multiply_16(times: usize) -> usize {
                let (mut sums, values) = ([$zero(); 8], black_box([$set(3); 8]));
                let mut factor = black_box($set(5));
                for _ in 0..times {
                    for (s, v) in sums.iter_mut().zip(values) {
                        *s = $add(*s, $multiply_16(v, factor));
                    }
                    factor = $add(factor, values[0]);
                }
                black_box(sums);
                times * 8 * ($bytes / 2)
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
loops!(
    avx2,
    "avx2",
    32,
    _mm256_setzero_si256,
    _mm256_set1_epi32,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    _mm256_xor_si256,
    _mm256_add_epi32,
    _mm256_mullo_epi32,
    _mm256_madd_epi16
);
#[cfg(target_arch = "x86_64")]
loops!(
    avx512,
    "avx512f,avx512bw",
    64,
    _mm512_setzero_si512,
    _mm512_set1_epi32,
    _mm512_loadu_si512,
    _mm512_storeu_si512,
    _mm512_xor_si512,
    _mm512_add_epi32,
    _mm512_mullo_epi32,
    _mm512_madd_epi16
);

/// The same with what every machine has.
mod scalar {
    use super::{black_box, Loops};

    pub const LOOPS: Loops = Loops { name: "scalar", load, store, multiply_32, multiply_16: multiply_32 };

    unsafe fn load(at: *const u8, len: usize) {
        let mut sums = [0u64; 8];
        for block in 0..len / 64 {
            for (i, s) in sums.iter_mut().enumerate() {
                // SAFETY: the caller's buffer holds `len` bytes; volatile, so that no vectors are made of this.
                *s ^= unsafe { at.add(block * 64 + i * 8).cast::<u64>().read_volatile() };
            }
        }
        black_box(sums);
    }

    unsafe fn store(at: *mut u8, len: usize) {
        for block in 0..len / 8 {
            // SAFETY: as above.
            unsafe { at.add(block * 8).cast::<u64>().write_volatile(1) };
        }
    }

    unsafe fn multiply_32(times: usize) -> usize {
        let (mut a, mut b, mut c, mut d) = (1u32, 2u32, 3u32, 4u32);
        let mut factor = black_box(5u32);
        for _ in 0..times {
            // Each sum goes into the next product, which keeps vectors away.
            a = a.wrapping_mul(factor).wrapping_add(1);
            b = b.wrapping_mul(factor).wrapping_add(a);
            c = c.wrapping_mul(factor).wrapping_add(2);
            d = d.wrapping_mul(factor).wrapping_add(3);
            factor = factor.wrapping_add(2);
        }
        black_box((a, b, c, d));
        times * 4
    }
}

/// The loops that this machine can run.
fn sets() -> Vec<Loops> {
    let mut sets = vec![scalar::LOOPS];
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") {
            sets.push(avx2::LOOPS);
        }
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            sets.push(avx512::LOOPS);
        }
    }
    sets
}

/// Seconds of the fastest of several runs.
fn best<R>(mut work: impl FnMut() -> R) -> f64 {
    let mut timed = || {
        let t = Instant::now();
        black_box(work());
        t.elapsed().as_secs_f64()
    };
    (0..RUNS).map(|_| timed()).fold(f64::INFINITY, f64::min)
}

/// Cycles per second: each step of this chain takes three cycles for the product and one for the exclusive or, on all
/// x86-64 cores since 2010 and most others.
fn clock() -> f64 {
    const STEPS: u64 = 10_000_000;
    let factor = black_box(0x9E37_79B9_7F4A_7C15u64);
    let seconds = best(|| (0..STEPS).fold(1u64, |x, _| x.wrapping_mul(factor) ^ factor));
    4.0 * STEPS as f64 / seconds
}

/// Prints all figures, per cycle.
pub fn print() {
    let hertz = clock();
    println!("clock_ghz {:.2}", hertz / 1e9);
    let mut buffer = vec![1u8; (256 << 20) + 2 * LINE];
    let start = buffer.as_ptr().align_offset(LINE);
    for set in sets() {
        for (level, bytes, shift) in [
            ("l1", 16 << 10, 0),
            ("l1_shifted", 16 << 10, 4),
            ("l2", 1 << 20, 0),
            ("l3", 16 << 20, 0),
            ("memory", 256usize << 20, 0),
        ] {
            let at = &mut buffer[start + shift..][..bytes];
            let times = ((128 << 20) / bytes).max(1);
            let per_cycle = |seconds: f64| (times * bytes) as f64 / seconds / hertz;
            // SAFETY: the machine has the instructions, the slice is `bytes` long.
            let seconds =
                best(|| (0..times).for_each(|_| unsafe { (set.load)(black_box(at.as_ptr()), bytes) }));
            println!("{}_{level}_load {:.1}", set.name, per_cycle(seconds));
            // SAFETY: as above.
            let seconds =
                best(|| (0..times).for_each(|_| unsafe { (set.store)(black_box(at.as_mut_ptr()), bytes) }));
            println!("{}_{level}_store {:.1}", set.name, per_cycle(seconds));
        }
        for (name, multiply) in [("32", set.multiply_32), ("16", set.multiply_16)] {
            // SAFETY: the machine has the instructions.
            let run = || unsafe { multiply(1_000_000) };
            let count = run() as f64;
            println!("{}_multiply_{name} {:.1}", set.name, count / best(run) / hertz);
        }
    }
}
