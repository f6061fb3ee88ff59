//! Instruction sets: which this machine has, and functions that are compiled for several of them.
//!
//! A function is written once, in plain Rust that defines the result, or with intrinsics beside a twin in plain Rust; the
//! widest form that the machine can run is taken at run time. All give the same bits.

/// Defines a function that runs its body compiled for the machine's instruction set.
macro_rules! for_this_machine {
    ($(#[$doc:meta])* pub fn $name:ident($($arg:ident: $t:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        pub fn $name($($arg: $t),*) {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn portable($($arg: $t),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                #[allow(clippy::too_many_arguments)]
                fn avx2($($arg: $t),*) { portable($($arg),*) }
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
                #[allow(clippy::too_many_arguments)]
                fn avx512($($arg: $t),*) { portable($($arg),*) }
                match $crate::machine::instruction_set() {
                    // SAFETY: the machine has these instructions, `instruction_set` asked it.
                    $crate::machine::InstructionSet::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::machine::InstructionSet::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::machine::InstructionSet::Portable => {}
                }
            }
            portable($($arg),*)
        }
    };
}
pub(crate) use for_this_machine;

/// Instruction sets that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionSet {
    /// What every machine of the architecture has.
    Portable,
    /// x86-64 with AVX2.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL and DQ.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Avx512,
}

/// The widest instruction set of this machine. The environment variable `AUGUR_CPU` (`portable`, `avx2`) keeps
/// wider ones unused, for tests.
#[inline]
pub fn instruction_set() -> InstructionSet {
    static FOUND: std::sync::OnceLock<InstructionSet> = std::sync::OnceLock::new();
    let found = *FOUND.get_or_init(|| {
        let limit = limit();
        #[cfg(target_arch = "x86_64")]
        if limit != "portable" {
            let wide = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq");
            if wide && limit != "avx2" {
                return InstructionSet::Avx512;
            }
            if is_x86_feature_detected!("avx2") {
                return InstructionSet::Avx2;
            }
        }
        let _ = limit;
        InstructionSet::Portable
    });
    #[cfg(feature = "bench")]
    if PORTABLE.load(std::sync::atomic::Ordering::Relaxed) {
        return InstructionSet::Portable;
    }
    found
}

/// Whether this machine compresses and expands vectors of bytes (AVX-512 VBMI2).
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn compresses_bytes() -> bool {
    instruction_set() == InstructionSet::Avx512
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512vbmi2")
        && is_x86_feature_detected!("popcnt")
}

/// What `AUGUR_CPU` says.
fn limit() -> String {
    std::env::var("AUGUR_CPU").unwrap_or_default()
}

/// Whether only the twins in plain Rust are to be used.
pub fn portable_only() -> bool {
    limit() == "portable"
}

/// Whether the machine's newer instructions of 256 bits are to be left unused, too.
pub fn no_newer_than_avx2() -> bool {
    limit() == "avx2"
}

#[cfg(feature = "bench")]
static PORTABLE: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Runs `twin` with every kernel's portable twin, on this and all other threads, for benchmarks.
#[cfg(feature = "bench")]
pub fn portably<T>(twin: impl FnOnce() -> T) -> T {
    PORTABLE.store(true, std::sync::atomic::Ordering::Relaxed);
    let out = twin();
    PORTABLE.store(false, std::sync::atomic::Ordering::Relaxed);
    out
}
