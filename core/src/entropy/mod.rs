//! Entropy coding of quantised residuals: a residual becomes a symbol (small ones directly, large ones as
//! a magnitude class whose low bits are sent plain), symbols are coded by interleaved rANS with one table
//! per context.

pub mod binary;
pub mod bits;
pub mod huffman;
#[cfg(target_arch = "x86_64")]
mod narrow;
#[cfg(target_arch = "x86_64")]
mod narrow_sift;
pub mod quiet;
pub mod rank;
pub mod rans;
mod sift;
pub mod slots;
pub mod tables;
#[cfg(target_arch = "x86_64")]
mod wide;
#[cfg(target_arch = "x86_64")]
mod wide_sift;

/// Largest magnitude with a symbol of its own.
pub const DIRECT: u32 = 32;
/// Symbols for 0, -1, 1, ..., -DIRECT, DIRECT.
pub const DIRECT_SYMBOLS: usize = 2 * DIRECT as usize + 1;
/// Magnitude classes beyond: class n holds the 2^n magnitudes from DIRECT + 2^n on.
pub const CLASSES: usize = 31;
/// Size of the alphabet: each class has a symbol for either sign.
pub const SYMBOLS: usize = DIRECT_SYMBOLS + 2 * CLASSES;

const _: () = assert!(SYMBOLS <= 127, "symbols are at most predict::kernel::LARGE");

/// Symbol of a large residual (|q| > DIRECT), its plain bits and their number.
#[inline]
pub fn split_large(q: i32) -> (u8, u32, u32) {
    let excess = q.unsigned_abs() - DIRECT;
    let n = 31 - excess.leading_zeros();
    let symbol = DIRECT_SYMBOLS as u32 + 2 * n + u32::from(q >= 0);
    (symbol as u8, excess ^ (1 << n), n)
}

/// Number of plain bits behind a large symbol.
#[inline]
pub fn plain_bits(symbol: u8) -> u32 {
    (u32::from(symbol) - DIRECT_SYMBOLS as u32) / 2
}

/// Inverse of [`split_large`].
#[inline]
pub fn join_large(symbol: u8, plain: u32) -> i32 {
    let n = plain_bits(symbol);
    let magnitude = (DIRECT.wrapping_add(1 << n | plain)) as i32;
    if (u32::from(symbol) - DIRECT_SYMBOLS as u32) & 1 == 1 {
        magnitude
    } else {
        magnitude.wrapping_neg()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_residuals_come_back() {
        for m in (DIRECT as i32 + 1..5000).chain([1 << 20, (1 << 30) - 1, 1 << 30, i32::MAX]) {
            for q in [m, -m] {
                let (s, plain, n) = split_large(q);
                assert!((s as usize) < SYMBOLS && plain_bits(s) == n);
                assert_eq!(join_large(s, plain), q);
            }
        }
    }
}
