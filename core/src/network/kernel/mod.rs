//! Convolutions of packed values, for several instruction sets: one algorithm, and what a vector can do in each.
//!
//! A vector holds a word of several neighbouring columns. The products of four 8-bit (two 16-bit) inputs with their
//! weights are added to the sums of one output in each column at once; four outputs and several vectors of columns
//! are computed together, so that what is loaded is used often. Their values make one word again.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod conv;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod rows;
mod table;

pub use conv::Job;
pub use rows::{Rows, Tap};
pub use table::lookup;

use crate::machine::{instruction_set, no_newer_than_avx2, portable_only, InstructionSet};

/// Instruction sets that there are kernels for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code)] // each architecture has its own
pub enum Kernel {
    Portable,
    Avx2,
    /// AVX2 with the dot products of AVX-VNNI.
    AvxVnni,
    /// AVX-512 with VNNI.
    Avx512Vnni,
    /// NEON, as every 64-bit Arm has it.
    Neon,
    /// NEON with dot products.
    NeonDot,
}

impl Kernel {
    /// Those of this machine, the best last.
    pub fn all() -> Vec<Self> {
        #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(unused_mut))]
        let mut found = vec![Self::Portable];
        #[cfg(target_arch = "aarch64")]
        {
            found.push(Self::Neon);
            if std::arch::is_aarch64_feature_detected!("dotprod") {
                found.push(Self::NeonDot);
            }
        }
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                found.push(Self::Avx2);
                if is_x86_feature_detected!("avxvnni") {
                    found.push(Self::AvxVnni);
                }
            }
            let wide = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq");
            if wide && is_x86_feature_detected!("avx512vnni") {
                found.push(Self::Avx512Vnni);
            }
        }
        found
    }

    /// The best of this machine within the limit that `AUGUR_CPU` sets.
    pub fn best() -> Self {
        static FOUND: std::sync::OnceLock<Kernel> = std::sync::OnceLock::new();
        let best = *FOUND.get_or_init(|| Self::all().last().copied().unwrap_or(Self::Portable));
        match (instruction_set(), best) {
            (_, best @ (Self::Neon | Self::NeonDot)) if !portable_only() => best,
            (InstructionSet::Portable, _) => Self::Portable,
            (InstructionSet::Avx2, _) if no_newer_than_avx2() => Self::Avx2,
            _ => best,
        }
    }

    /// Computes rows `rows` of the output, which `out` holds.
    pub fn convolve(self, job: &Job, rows: std::ops::Range<usize>, out: &mut [u32]) {
        job.check(&rows, out);
        // SAFETY: the machine has the instructions (`all` asked it), and the job was checked.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Self::Avx512Vnni => avx512::convolve(job, rows, out),
                #[cfg(target_arch = "x86_64")]
                Self::AvxVnni => avx2::convolve_vnni(job, rows, out),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => avx2::convolve(job, rows, out),
                #[cfg(target_arch = "aarch64")]
                Self::NeonDot => neon::convolve_dot(job, rows, out),
                #[cfg(target_arch = "aarch64")]
                Self::Neon => neon::convolve(job, rows, out),
                _ => portable::convolve(job, rows, out),
            }
        }
    }
}
