//! The inner loops of the predictors. Each is written once, in plain Rust that defines the result (wrapping
//! integer arithmetic), and compiled for several instruction sets (`machine`). The results are the same bits.

use crate::machine::for_this_machine;

/// Twice the base-2 logarithm of `x` < 2^24, rounded down to a whole number in the sense that 2 and 3 give 3 and 4, and
/// 4, 6 and 8 give 5, 6 and 7; 0 for 0.
#[inline(always)]
pub fn half_octaves(x: i32) -> i32 {
    // The conversion is exact; exponent and first bit of the mantissa are the number.
    (((x as f32).to_bits() >> 22) as i32 - (127 * 2 - 1)).max(0)
}

for_this_machine! {
    /// context[j] = base + min(half octaves of the sum of five activities, most).
    pub fn activity_levels(activities: [&[u8]; 5], base: u8, most: u8, out: &mut [u8]) {
        let n = out.len();
        let activities = activities.map(|row| &row[..n]);
        for j in 0..n {
            let sum = activities.iter().map(|row| i32::from(row[j])).sum();
            out[j] = base + half_octaves(sum).min(i32::from(most)) as u8;
        }
    }
}

for_this_machine! {
    /// The decoder's half of coding residuals: value[j] = predicted[j] + step * q[j] in wrapping arithmetic, where q[j] is
    /// the zigzag number symbols[j]; activity[j] = |q[j]|.
    pub fn reconstruct(predicted: &[i32], symbols: &[u8], step: i32, value: &mut [i32], activity: &mut [u8]) {
        for (((v, a), p), s) in value.iter_mut().zip(activity.iter_mut()).zip(predicted).zip(symbols) {
            let q = i32::from(*s >> 1) ^ -i32::from(*s & 1);
            *v = p.wrapping_add(q.wrapping_mul(step));
            *a = q.unsigned_abs() as u8;
        }
    }
}

/// Stands for every residual that is too large for a symbol of its own until its class is known; no symbol is larger.
pub const LARGE: u8 = 127;

/// Calls `visit` for the places of the symbols of a row, all at most [`LARGE`], that are at least `least`.
#[inline]
pub fn find_large(row: &[u8], least: u8, mut visit: impl FnMut(usize)) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let blocks = row.chunks_exact(8);
    let rest = row.len() - blocks.remainder().len();
    for (i, block) in blocks.enumerate() {
        let word = block.iter().rev().fold(0, |w, b| w << 8 | u64::from(*b));
        // The sum has the top bit of each byte that is large enough.
        let mut found = (word + ONES * u64::from(LARGE + 1 - least)) & (ONES << 7);
        while found != 0 {
            visit(8 * i + found.trailing_zeros() as usize / 8);
            found &= found - 1;
        }
    }
    for (j, s) in row.iter().enumerate().skip(rest) {
        if *s >= least {
            visit(j);
        }
    }
}

for_this_machine! {
    /// The encoder's half: q[j] = (target[j] - predicted[j]) / step, rounded to nearest; then value[j] = predicted[j] +
    /// step * q[j], activity[j] = min(|q[j]|, 255) and symbols[j] = min(zigzag number of q[j], LARGE). `step` is 1, even a
    /// power of two, or odd.
    pub fn quantise(
        target: &[i32],
        predicted: &[i32],
        step: i32,
        value: &mut [i32],
        activity: &mut [u8],
        symbols: &mut [u8],
    ) {
        let n = value.len();
        let (target, predicted) = (&target[..n], &predicted[..n]);
        let (activity, symbols) = (&mut activity[..n], &mut symbols[..n]);
        let mut put = |j: usize, q: i32| {
            value[j] = predicted[j].wrapping_add(q.wrapping_mul(step));
            activity[j] = q.unsigned_abs().min(255) as u8;
            symbols[j] = (((q << 1) ^ (q >> 31)) as u32).min(u32::from(LARGE)) as u8;
        };
        if step == 1 {
            for j in 0..n {
                put(j, target[j].wrapping_sub(predicted[j]));
            }
        } else if step.count_ones() == 1 {
            let (shift, half) = (step.trailing_zeros(), step >> 1);
            for j in 0..n {
                put(j, target[j].wrapping_sub(predicted[j]).wrapping_add(half) >> shift);
            }
        } else {
            // Quotients of 32-bit integers in floating point: off by less than the distance to the next integer.
            let (half, divisor) = (step >> 1, f64::from(step));
            for j in 0..n {
                let d = target[j].wrapping_sub(predicted[j]).wrapping_add(half);
                put(j, (f64::from(d) / divisor).floor() as i32);
            }
        }
    }
}

for_this_machine! {
    /// Adds to `bits` those that the values have besides their sign and what repeats it.
    pub fn used_bits(values: &[i32], bits: &mut i32) {
        *bits = values.iter().fold(*bits, |bits, v| bits | (v ^ (v >> 31)));
    }
}

for_this_machine! {
    /// Where `mask` is not 0 there is no residual: value[j] = predicted[j], activity[j] = 0, symbol[j] = 0.
    pub fn leave_out(mask: &[u8], predicted: &[i32], value: &mut [i32], activity: &mut [u8], symbols: &mut [u8]) {
        for ((v, p), m) in value.iter_mut().zip(predicted).zip(mask) {
            *v = if *m == 0 { *v } else { *p };
        }
        for ((a, s), m) in activity.iter_mut().zip(symbols.iter_mut()).zip(mask) {
            *a = if *m == 0 { *a } else { 0 };
            *s = if *m == 0 { *s } else { 0 };
        }
    }
}

/// Bytes that [`copy_rows`] copies at a time.
const PIECE: usize = 32;

/// Copies rows of `width` bytes that lie `from.1` bytes apart in `from.0` to where they lie `to.1` bytes apart in `to.0`.
/// The rows are short, so that calls of a general copy would take longer than the copying: whole pieces are copied, and
/// what that leaves behind a row is arbitrary, except behind the last.
#[inline]
pub fn copy_rows(from: (&[u8], usize), to: (&mut [u8], usize), width: usize, rows: usize) {
    let end = rows.saturating_sub(1) * to.1 + width;
    let to = (&mut to.0[..end], to.1);
    for i in 0..rows {
        let (from, to) = (&from.0[i * from.1..], &mut to.0[i * to.1..]);
        for at in (0..width).step_by(PIECE) {
            let piece = (from[at..].first_chunk::<PIECE>(), to[at..].first_chunk_mut::<PIECE>());
            match piece {
                (Some(from), Some(to)) if at + PIECE <= width || i + 1 < rows => *to = *from,
                _ => {
                    let end = width.min(at + PIECE);
                    to[at..end].copy_from_slice(&from[at..end]);
                }
            }
        }
    }
}

for_this_machine! {
    /// Spreads a row over those of the even and the odd columns. `odd` may be empty for a row of one point.
    pub fn deinterleave(row: &[i32], even: &mut [i32], odd: &mut [i32]) {
        let pairs = row.chunks_exact(2);
        if let ([last], Some(e)) = (pairs.remainder(), even.last_mut()) {
            *e = *last;
        }
        for ((pair, e), o) in pairs.zip(even.iter_mut()).zip(odd.iter_mut()) {
            *e = pair[0];
            *o = pair[1];
        }
    }
}

for_this_machine! {
    /// [`deinterleave`] for bytes.
    pub fn deinterleave_bytes(row: &[u8], even: &mut [u8], odd: &mut [u8]) {
        let pairs = row.chunks_exact(2);
        if let ([last], Some(e)) = (pairs.remainder(), even.last_mut()) {
            *e = *last;
        }
        for ((pair, e), o) in pairs.zip(even.iter_mut()).zip(odd.iter_mut()) {
            *e = pair[0];
            *o = pair[1];
        }
    }
}

for_this_machine! {
    /// Inverse of [`deinterleave`].
    pub fn interleave(even: &[i32], odd: &[i32], row: &mut [i32]) {
        interleave_blocks::<i32, 16, 32>(even, odd, row);
    }
}

for_this_machine! {
    /// [`interleave`] for bytes.
    pub fn interleave_bytes(even: &[u8], odd: &[u8], row: &mut [u8]) {
        interleave_blocks::<u8, 32, 64>(even, odd, row);
    }
}

/// [`interleave`] in blocks of `N` pairs, `M` values, the last of which begins where it ends with the row: rows are short,
/// and what whole blocks leave behind would take as long as they do.
#[inline(always)]
fn interleave_blocks<T: Copy, const N: usize, const M: usize>(even: &[T], odd: &[T], row: &mut [T]) {
    let pairs = (row.len() / 2).min(odd.len());
    for at in (0..pairs).step_by(N) {
        let at = at.min(pairs.saturating_sub(N));
        let blocks = (
            even[at..].first_chunk::<N>(),
            odd[at..].first_chunk::<N>(),
            row[2 * at..].first_chunk_mut::<M>(),
        );
        if let (Some(even), Some(odd), Some(row)) = blocks {
            for j in 0..N {
                row[2 * j] = even[j];
                row[2 * j + 1] = odd[j];
            }
        } else {
            for j in at..pairs {
                row[2 * j] = even[j];
                row[2 * j + 1] = odd[j];
            }
        }
    }
    if let (1, Some(last), Some(e)) = (row.len() % 2, row.last_mut(), even.last()) {
        *last = *e;
    }
}

for_this_machine! {
    /// Activity around each point: twice its own plus its four neighbours' (rows above, here with one column before
    /// and after, below), at most 255.
    pub fn smooth(above: &[u8], left: &[u8], here: &[u8], right: &[u8], below: &[u8], out: &mut [u8]) {
        let n = out.len();
        let (above, left, here, right, below) = (&above[..n], &left[..n], &here[..n], &right[..n], &below[..n]);
        for j in 0..n {
            let sum = 2 * u16::from(here[j])
                + u16::from(above[j]) + u16::from(below[j])
                + u16::from(left[j]) + u16::from(right[j]);
            out[j] = sum.min(255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn half_octaves_are_whole_numbers() {
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7, 8, 12].map(half_octaves), [0, 1, 3, 4, 5, 5, 6, 6, 7, 8]);
        for x in 1i32..1 << 12 {
            let expected = 2 * x.ilog2() as i32 + 1 + ((x << 1 >> x.ilog2()) & 1);
            assert_eq!(half_octaves(x), expected, "{x}");
        }
    }

    proptest! {
        #[test]
        fn residuals_reconstruct_within_half_a_step(
            pairs in prop::collection::vec((-(1i32 << 28)..1 << 28, -(1i32 << 28)..1 << 28), 1..100),
            near in prop::collection::vec(-1000i32..1000, 1..100),
            step in prop_oneof![Just(1), Just(4), Just(64), Just(256), Just(3), Just(5), Just(27)],
        ) {
            let (mut v, mut p): (Vec<i32>, Vec<i32>) = pairs.into_iter().unzip();
            for d in near {
                p.push(v[0]);
                v.push(v[0] + d);
            }
            let n = v.len();
            let (mut r, mut a, mut s) = (vec![0; n], vec![0; n], vec![0; n]);
            quantise(&v, &p, step, &mut r, &mut a, &mut s);
            let (mut again, mut activity) = (vec![0; n], vec![0; n]);
            reconstruct(&p, &s, step, &mut again, &mut activity);
            for j in 0..n {
                prop_assert!((v[j] - r[j]).abs() <= step / 2);
                let q = (r[j] - p[j]) / step;
                prop_assert_eq!(u32::from(a[j]), q.unsigned_abs().min(255));
                prop_assert_eq!(u32::from(s[j]), crate::entropy::bits::zigzag(q).min(u32::from(LARGE)));
                if s[j] < LARGE {
                    prop_assert_eq!((again[j], activity[j]), (r[j], a[j]));
                }
            }
        }

        #[test]
        fn large_symbols_are_found(row in prop::collection::vec(0..=LARGE, 0..100), least in 1..=LARGE) {
            let mut found = vec![];
            find_large(&row, least, |j| found.push(j));
            prop_assert_eq!(found, (0..row.len()).filter(|&j| row[j] >= least).collect::<Vec<_>>());
        }

        #[test]
        fn rows_are_copied(
            bytes in prop::collection::vec(any::<u8>(), 300),
            width in 1usize..70,
            strides in (0usize..6, 0usize..6),
            rows in 1usize..5,
        ) {
            let (from, to) = (width + strides.0, width + strides.1);
            let bytes = &bytes[..300.min((rows - 1) * from + width + 7)];
            let rows = rows.min((bytes.len() - width) / from + 1);
            let mut out = vec![0; (rows - 1) * to + width + 3];
            copy_rows((bytes, from), (&mut out, to), width, rows);
            for i in 0..rows {
                prop_assert_eq!(&out[i * to..][..width], &bytes[i * from..][..width]);
            }
            prop_assert_eq!(&out[(rows - 1) * to + width..], &[0; 3]);
        }

        #[test]
        fn interleaving_is_undone(row in prop::collection::vec(any::<i32>(), 1..200)) {
            let (n, bytes) = (row.len(), row.iter().map(|v| *v as u8).collect::<Vec<u8>>());
            let (mut even, mut odd, mut back) = (vec![0; n.div_ceil(2)], vec![0; n / 2], vec![0; n]);
            deinterleave(&row, &mut even, &mut odd);
            prop_assert!(even.iter().enumerate().all(|(j, v)| *v == row[2 * j]));
            interleave(&even, &odd, &mut back);
            prop_assert_eq!(back, row);
            let (mut even, mut odd, mut back) = (vec![0; n.div_ceil(2)], vec![0; n / 2], vec![0; n]);
            deinterleave_bytes(&bytes, &mut even, &mut odd);
            interleave_bytes(&even, &odd, &mut back);
            prop_assert_eq!(back, bytes);
        }
    }
}
