//! Tables of 256 bytes, looked up for many bytes at once.

#[cfg(target_arch = "aarch64")]
use crate::machine::portable_only;
#[cfg(target_arch = "x86_64")]
use crate::machine::{instruction_set, InstructionSet};

/// out\[i\] = table\[x\[i\] + 128\].
pub fn lookup(table: &[i8; 256], x: &[i8], out: &mut [i8]) {
    #[cfg(target_arch = "x86_64")]
    match instruction_set() {
        InstructionSet::Avx512 if is_x86_feature_detected!("avx512vbmi") => {
            // SAFETY: the machine has the instructions.
            return unsafe { x86::vbmi(table, x, out) };
        }
        // SAFETY: as above; AVX-512 has AVX2.
        InstructionSet::Avx512 | InstructionSet::Avx2 => return unsafe { x86::avx2(table, x, out) },
        InstructionSet::Portable => {}
    }
    #[cfg(target_arch = "aarch64")]
    if !portable_only() {
        return neon(table, x, out);
    }
    portable(table, x, out);
}

/// The twin that defines what the others do.
fn portable(table: &[i8; 256], x: &[i8], out: &mut [i8]) {
    for (o, v) in out.iter_mut().zip(x) {
        *o = table[usize::from(*v as u8 ^ 0x80)];
    }
}

/// The table in sixteen vectors, of which one instruction searches four: an index beyond these leaves what was found before.
#[cfg(target_arch = "aarch64")]
fn neon(table: &[i8; 256], x: &[i8], out: &mut [i8]) {
    use std::arch::aarch64::*;
    let ((from, rest), (to, to_rest)) = (x.as_chunks::<16>(), out.as_chunks_mut::<16>());
    // SAFETY: the table has as many bytes, and so have the chunks.
    unsafe {
        let t: [uint8x16x4_t; 4] = std::array::from_fn(|k| vld1q_u8_x4(table.as_ptr().add(64 * k).cast()));
        for (from, to) in from.iter().zip(to) {
            let index = veorq_u8(vld1q_u8(from.as_ptr().cast()), vdupq_n_u8(0x80));
            let mut found = vqtbl4q_u8(t[0], index);
            for (k, t) in t.iter().enumerate().skip(1) {
                found = vqtbx4q_u8(found, *t, vsubq_u8(index, vdupq_n_u8(64 * k as u8)));
            }
            vst1q_u8(to.as_mut_ptr().cast(), found);
        }
    }
    portable(table, rest, to_rest);
}

#[cfg(all(test, target_arch = "aarch64"))]
mod tests {
    #[test]
    fn every_byte_is_found() {
        let table: [i8; 256] = std::array::from_fn(|i| (i * 37 + i / 16 * 11) as u8 as i8);
        let x: Vec<i8> = (0..1000).map(|i| (i * 7 + i / 256) as u8 as i8).collect();
        for n in [0, 1, 15, 17, 64, 130, 1000] {
            let (mut expected, mut found) = (vec![0; n], vec![0; n]);
            super::portable(&table, &x[..n], &mut expected);
            super::neon(&table, &x[..n], &mut found);
            assert_eq!(found, expected);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// The table in four vectors, of which one instruction searches two.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    pub fn vbmi(table: &[i8; 256], x: &[i8], out: &mut [i8]) {
        // SAFETY: the table has as many bytes.
        let t: [__m512i; 4] =
            std::array::from_fn(|k| unsafe { _mm512_loadu_si512(table.as_ptr().add(64 * k).cast()) });
        let (from, to) = (x.chunks_exact(64), out.chunks_exact_mut(64));
        let rest = from.remainder();
        for (from, to) in from.zip(to) {
            // SAFETY: both have 64 bytes.
            unsafe {
                let v = _mm512_loadu_si512(from.as_ptr().cast());
                // The lower seven bits count. Negative ones lie in the first half.
                let (first, second) =
                    (_mm512_permutex2var_epi8(t[0], v, t[1]), _mm512_permutex2var_epi8(t[2], v, t[3]));
                let found = _mm512_mask_blend_epi8(_mm512_movepi8_mask(v), second, first);
                _mm512_storeu_si512(to.as_mut_ptr().cast(), found);
            }
        }
        let done = x.len() - rest.len();
        super::portable(table, rest, &mut out[done..]);
    }

    /// The table in sixteen vectors of 16 bytes. A shuffle gives 0 for negative indices. From one vector to the next the
    /// index falls by 16; each vector holds what the entries differ in from those of the one before (exclusive or), so that
    /// an index ends up with the entry of the last vector for which it was not negative.
    #[target_feature(enable = "avx2")]
    pub fn avx2(table: &[i8; 256], x: &[i8], out: &mut [i8]) {
        let mut t = [_mm256_setzero_si256(); 16];
        for (k, t) in t.iter_mut().enumerate() {
            // SAFETY: the table has as many bytes.
            let load = |k: usize| unsafe { _mm_loadu_si128(table.as_ptr().add(16 * k).cast()) };
            let before = if k % 8 == 0 { _mm_setzero_si128() } else { load(k - 1) };
            *t = _mm256_broadcastsi128_si256(_mm_xor_si128(load(k), before));
        }
        let (from, to) = (x.chunks_exact(32), out.chunks_exact_mut(32));
        let rest = from.remainder();
        let sixteen = _mm256_set1_epi8(16);
        for (from, to) in from.zip(to) {
            // SAFETY: both have 32 bytes.
            let v = unsafe { _mm256_loadu_si256(from.as_ptr().cast()) };
            let mut index = [_mm256_xor_si256(v, _mm256_set1_epi8(-128)), v];
            let mut found = [_mm256_setzero_si256(); 2];
            for k in 0..8 {
                for h in 0..2 {
                    found[h] = _mm256_xor_si256(found[h], _mm256_shuffle_epi8(t[8 * h + k], index[h]));
                    index[h] = _mm256_subs_epi8(index[h], sixteen);
                }
            }
            // SAFETY: as above.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm256_or_si256(found[0], found[1])) };
        }
        let done = x.len() - rest.len();
        super::portable(table, rest, &mut out[done..]);
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn every_byte_is_found() {
            let table: [i8; 256] = std::array::from_fn(|i| (i * 37 + i / 16 * 11) as u8 as i8);
            let x: Vec<i8> = (0..1000).map(|i| (i * 7 + i / 256) as u8 as i8).collect();
            for n in [0, 1, 31, 33, 64, 130, 1000] {
                let (mut expected, mut found) = (vec![0; n], vec![0; n]);
                super::super::portable(&table, &x[..n], &mut expected);
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the machine has the instructions.
                    unsafe { avx2(&table, &x[..n], &mut found) };
                    assert_eq!(found, expected);
                }
                if is_x86_feature_detected!("avx512vbmi") && is_x86_feature_detected!("avx512bw") {
                    found.fill(0);
                    // SAFETY: as above.
                    unsafe { vbmi(&table, &x[..n], &mut found) };
                    assert_eq!(found, expected);
                }
            }
        }
    }
}
