//! The algorithm that all instruction sets share.

use super::rows::{Chunk, Rows, Tap};
use crate::network::graph::Element;
use crate::network::packed::{per_word, Layout, BEFORE, COLUMNS};
use crate::network::source::Part;
use crate::network::weights::{Finish, Narrow, Packed, Wide, OUTPUTS};
use std::ops::Range;

/// A convolution to be computed.
pub struct Job<'a> {
    pub packed: &'a Packed,
    /// The input's channels one after the other, each part with whole words.
    pub parts: &'a [Part<'a>],
    pub out: Layout,
    pub rows: Rows,
}

impl Job<'_> {
    /// What the kernels rely on.
    pub fn check(&self, rows: &Range<usize>, out: &[u32]) {
        let p = self.packed;
        let outputs = p.ends.len();
        assert!(rows.end <= self.out.rows() && out.len() == rows.len() * self.out.row());
        let groups = match p.output {
            Some(element) => {
                assert_eq!(self.out.element, element);
                OUTPUTS / per_word(element)
            }
            None => OUTPUTS,
        };
        assert_eq!(self.out.groups().div_ceil(groups), outputs);
        assert_eq!(p.weights.len(), outputs * p.groups * p.kernel.iter().product::<usize>() * OUTPUTS);
        assert_eq!(p.more.len(), if p.signed { outputs * (p.places() + 1) } else { 0 });
        assert_eq!(self.parts.iter().map(|p| p.groups).sum::<usize>(), p.groups);
        let columns = match self.rows {
            Rows::Planes { .. } => {
                assert!(p.origin[2] <= BEFORE && p.kernel[2].saturating_sub(p.origin[2]) <= BEFORE + 1);
                assert!(p.stride[2] == 1 || p.stride[2] == 2);
                p.stride[2]
            }
            Rows::Blocks { to, .. } => {
                assert_eq!(to.iter().product::<usize>(), self.out.rows());
                1
            }
        };
        for part in self.parts {
            let size = part.layout.size;
            assert!(size[0] > 0 && size[1] > 0 && size == self.parts[0].layout.size);
            if let Rows::Blocks { from, .. } = self.rows {
                assert_eq!(from.iter().product::<usize>(), part.layout.rows());
            }
            assert_eq!(size[2].div_ceil(columns), self.out.size[2]);
            assert_eq!(part.layout.element, p.input);
            assert!(part.from + part.groups <= part.layout.groups());
            // The last step of columns of the last row reads at most this far (buffers have room behind them).
            assert!(part.words.len() >= part.layout.len() + 2 * COLUMNS + BEFORE);
        }
    }
}

/// What a vector of words can do. All arithmetic wraps.
///
/// # Safety
/// The machine must have the instructions; pointers must be readable (writable) for a vector, or two.
pub trait Lanes {
    /// A vector.
    type V: Copy;
    /// Columns in it.
    const N: usize;
    /// Whether signed bytes are best multiplied as 16-bit numbers.
    const HALVES: bool;
    unsafe fn splat(v: u32) -> Self::V;
    unsafe fn load(from: *const u32) -> Self::V;
    /// Every second of two vectors' words.
    unsafe fn load_even(from: *const u32) -> Self::V;
    unsafe fn store(to: *mut u32, v: Self::V);
    unsafe fn xor(a: Self::V, b: Self::V) -> Self::V;
    /// sums + products of four bytes of `a`, 0 to 127, with signed ones of `w`.
    unsafe fn dot8(sums: Self::V, a: Self::V, w: Self::V) -> Self::V;
    /// The same where the bytes of `a` are 0 to 255.
    unsafe fn dot8_full(sums: Self::V, a: Self::V, w: Self::V) -> Self::V;
    /// The signed bytes as 16-bit numbers: the first and the third, the second and the fourth.
    unsafe fn halves(a: Self::V) -> [Self::V; 2];
    /// sums + products of two signed 16-bit numbers.
    unsafe fn dot16(sums: Self::V, a: Self::V, w: Self::V) -> Self::V;
    /// Values of sums.
    unsafe fn narrow(sums: Self::V, n: &Narrow) -> Self::V;
    /// Values of sums, for shifts of 17 or more.
    unsafe fn split(sums: Self::V, w: &Wide) -> Self::V;
    /// Values of sums.
    unsafe fn wide(sums: Self::V, w: &Wide) -> Self::V;
    /// Words of four bytes each, of which the lowest counts.
    unsafe fn join8(v: [Self::V; 4]) -> Self::V;
    /// Words of two 16-bit numbers, of which the low halves count.
    unsafe fn join16(a: Self::V, b: Self::V) -> Self::V;
}

/// Input of 8 bits, 0 to 127.
const PLAIN8: u8 = 0;
/// Input of 8 bits, signed: taken as 128 larger, or as 16-bit numbers.
const SIGNED8: u8 = 1;
/// Input of 16 bits.
const PLAIN16: u8 = 2;

/// Bytes of weights that leave room for values in a core's nearest cache.
const NEAR: usize = 16 << 10;

/// Computes rows of the output.
///
/// # Safety
/// The machine has the instructions of `L`, and the job was checked with these rows.
#[inline(always)]
pub unsafe fn convolve<L: Lanes>(job: &Job, rows: Range<usize>, out: &mut [u32]) {
    // SAFETY: as the caller promises.
    unsafe {
        match (job.packed.input, job.packed.signed) {
            (Element::I8, false) => rows_of::<L, PLAIN8>(job, rows, out),
            (Element::I8, true) => rows_of::<L, SIGNED8>(job, rows, out),
            (Element::I16, _) => rows_of::<L, PLAIN16>(job, rows, out),
        }
    }
}

#[inline(always)]
unsafe fn rows_of<L: Lanes, const KIND: u8>(job: &Job, rows: Range<usize>, out: &mut [u32]) {
    let packed = job.packed;
    let Some(size) = job.parts.first().map(|p| p.layout.size) else { return };
    let width = job.out.size[2].next_multiple_of(L::N);
    let strided = matches!(job.rows, Rows::Planes { .. }) && packed.stride[2] == 2;
    let single = job.out.channels == 1 && packed.output.is_some() && !strided;
    let weights = match KIND {
        SIGNED8 if L::HALVES => packed.halves(),
        _ => &packed.weights,
    };
    // Where the nearest cache does not hold all weights, those of four outputs stay there while many rows' values pass.
    let most = if 4 * weights.len() > NEAR { usize::MAX - rows.end } else { 1 };
    let mut chunk = Chunk::default();
    let (mut row, mut out) = (rows.start, out);
    while row < rows.end {
        let count = chunk.find(packed, job.rows, size, &job.out, row..rows.end.min(row + most));
        let (first, rest) = out.split_at_mut(count * job.out.row());
        let mut x = 0;
        while x < width {
            macro_rules! tiles {
                ($stride:literal, $o:literal, $r:literal) => {{
                    for quad in 0..packed.ends.len() {
                        for (taps, out) in chunk.taps().zip(first.chunks_exact_mut(job.out.row())) {
                            // SAFETY: as the caller promises; the columns lie within the row, weights and taps are the job's.
                            unsafe { tile::<L, KIND, $stride, $o, $r>(job, weights, taps, quad, x, out) }
                        }
                    }
                    $r
                }};
            }
            // Vectors of sixteen columns come with the registers for more of them.
            let vectors = match (width - x) / L::N {
                3 if single => 2,
                3 | 5 | 6 if L::N > 8 => 3,
                4.. if L::N > 8 || single => 4,
                left => left.min(2),
            };
            x += L::N
                * match (strided, single, vectors) {
                    (true, _, 1) => tiles!(2, 4, 1),
                    (true, _, 3) if L::N > 8 => tiles!(2, 4, 3),
                    (true, _, 4) if L::N > 8 => tiles!(2, 4, 4),
                    (true, ..) => tiles!(2, 4, 2),
                    (false, true, 1) => tiles!(1, 1, 1),
                    (false, true, 4) => tiles!(1, 1, 4),
                    (false, true, _) => tiles!(1, 1, 2),
                    (false, false, 1) => tiles!(1, 4, 1),
                    (false, false, 3) if L::N > 8 => tiles!(1, 4, 3),
                    (false, false, 4) if L::N > 8 => tiles!(1, 4, 4),
                    (false, false, _) => tiles!(1, 4, 2),
                };
        }
        (row, out) = (row + count, rest);
    }
}

/// O outputs, the first of four or all of them, at R vectors of columns.
///
/// # Safety
/// As [`convolve`]; `taps` are those of the row, `weights` the job's for this kind, and column `x` and the R vectors from there
/// on lie within the output's row.
#[inline(always)]
unsafe fn tile<L: Lanes, const KIND: u8, const STRIDE: usize, const O: usize, const R: usize>(
    job: &Job,
    weights: &[u32],
    taps: &[Tap],
    quad: usize,
    x: usize,
    out: &mut [u32],
) {
    let packed = job.packed;
    let (starts, finish) = &packed.ends[quad];
    let places = packed.places();
    // In planes a tap is a row of the kernel; in blocks it is a place.
    let (columns, origin) = match job.rows {
        Rows::Planes { .. } => (packed.kernel[2], packed.origin[2]),
        Rows::Blocks { .. } => (1, 0),
    };
    let halves = KIND == SIGNED8 && L::HALVES;
    // Words of weights for each place of the kernel and group.
    let each = if halves { 2 * OUTPUTS } else { OUTPUTS };
    // SAFETY: `Job::check` compared all lengths with what is read here, and the caller promises the rest.
    unsafe {
        let mut weights = weights.as_ptr().add(quad * packed.groups * places * each);
        let more = if KIND == SIGNED8 && !halves { packed.more(quad, taps, columns) } else { [0; OUTPUTS] };
        let mut sums = [[L::splat(0); R]; O];
        for (o, sums) in sums.iter_mut().enumerate() {
            *sums = [L::splat(starts[o].wrapping_sub(more[o]) as u32); R];
        }
        let flip = L::splat(0x8080_8080);
        for part in job.parts {
            let layout = &part.layout;
            let (stride, row) = (layout.stride(), layout.row());
            let first = part.words.as_ptr().add(BEFORE + STRIDE * x - origin + part.from * stride);
            for tap in taps {
                for column in 0..columns {
                    let mut from = first.add(tap.row as usize * row + column);
                    let mut weights = weights.add((tap.place as usize + column) * packed.groups * each);
                    for _ in 0..part.groups {
                        let mut a = [L::splat(0); R];
                        for (r, a) in a.iter_mut().enumerate() {
                            let at = from.add(r * L::N * STRIDE);
                            *a = if STRIDE == 2 { L::load_even(at) } else { L::load(at) };
                            if KIND == SIGNED8 && !halves {
                                *a = L::xor(*a, flip);
                            }
                        }
                        if halves {
                            let mut odd = a;
                            for (a, odd) in a.iter_mut().zip(&mut odd) {
                                [*a, *odd] = L::halves(*a);
                            }
                            for (o, sums) in sums.iter_mut().enumerate() {
                                let (w, v) =
                                    (L::splat(*weights.add(2 * o)), L::splat(*weights.add(2 * o + 1)));
                                for ((sum, a), odd) in sums.iter_mut().zip(a).zip(odd) {
                                    *sum = L::dot16(L::dot16(*sum, a, w), odd, v);
                                }
                            }
                        } else {
                            for (o, sums) in sums.iter_mut().enumerate() {
                                let w = L::splat(*weights.add(o));
                                for (sum, a) in sums.iter_mut().zip(a) {
                                    *sum = match KIND {
                                        PLAIN8 => L::dot8(*sum, a, w),
                                        SIGNED8 => L::dot8_full(*sum, a, w),
                                        _ => L::dot16(*sum, a, w),
                                    };
                                }
                            }
                        }
                        weights = weights.add(each);
                        from = from.add(stride);
                    }
                }
            }
            // The inputs of the next part.
            weights = weights.wrapping_add(part.groups * each);
        }
        // Each written out, as an array that is indexed by a variable would have to lie in memory all the time.
        let stride = job.out.stride();
        let first = match packed.output {
            Some(Element::I8) => quad,
            Some(Element::I16) => 2 * quad,
            None => OUTPUTS * quad,
        };
        let out = &mut out[first * stride..];
        macro_rules! column {
            ($r:literal) => {
                if R > $r {
                    // Of one output alone the others' values are 0.
                    let of = |o: usize| if o < O { sums[o][$r] } else { L::splat(0) };
                    let v = [of(0), of(1), of(2), of(3)];
                    let at = BEFORE + x + $r * L::N;
                    match packed.output {
                        Some(element) => store::<L>(finished::<L, O>(finish, v), element, out, stride, at),
                        None => store_sums::<L>(v, out, stride, at),
                    }
                }
            };
        }
        column!(0);
        column!(1);
        column!(2);
        column!(3);
    }
}

/// Values of the sums of four outputs.
///
/// # Safety
/// The machine has the instructions of `L`.
#[inline(always)]
unsafe fn finished<L: Lanes, const O: usize>(
    finish: &Finish,
    [a, b, c, d]: [L::V; OUTPUTS],
) -> [L::V; OUTPUTS] {
    // SAFETY: as the caller promises.
    unsafe {
        match finish {
            Finish::Narrow(n) if O == 1 => [L::narrow(a, &n[0]), b, c, d],
            Finish::Split(w) if O == 1 => [L::split(a, &w[0]), b, c, d],
            Finish::Wide(w) if O == 1 => [L::wide(a, &w[0]), b, c, d],
            Finish::Narrow(n) => {
                [L::narrow(a, &n[0]), L::narrow(b, &n[1]), L::narrow(c, &n[2]), L::narrow(d, &n[3])]
            }
            Finish::Split(w) => {
                [L::split(a, &w[0]), L::split(b, &w[1]), L::split(c, &w[2]), L::split(d, &w[3])]
            }
            Finish::Sums => [a, b, c, d],
            Finish::Wide(w) => [L::wide(a, &w[0]), L::wide(b, &w[1]), L::wide(c, &w[2]), L::wide(d, &w[3])],
        }
    }
}

/// Puts the values of four outputs into the words of one group or of two at `at`, the second `stride` words later, if
/// there is one.
///
/// # Safety
/// The machine has the instructions of `L`; a vector fits at `at`.
#[inline(always)]
unsafe fn store<L: Lanes>(v: [L::V; OUTPUTS], element: Element, out: &mut [u32], stride: usize, at: usize) {
    let second = stride + at;
    // SAFETY: as the caller promises; the second vector is checked.
    unsafe {
        match element {
            Element::I8 => L::store(out.as_mut_ptr().add(at), L::join8(v)),
            Element::I16 => {
                L::store(out.as_mut_ptr().add(at), L::join16(v[0], v[1]));
                if second + L::N <= out.len() {
                    L::store(out.as_mut_ptr().add(second), L::join16(v[2], v[3]));
                }
            }
        }
    }
}

/// Puts the sums of four outputs into the words of four groups, of those that there are.
///
/// # Safety
/// As [`store`].
#[inline(always)]
unsafe fn store_sums<L: Lanes>(v: [L::V; OUTPUTS], out: &mut [u32], stride: usize, at: usize) {
    for (k, v) in v.into_iter().enumerate() {
        if k * stride + at + L::N <= out.len() {
            // SAFETY: as was checked.
            unsafe { L::store(out.as_mut_ptr().add(k * stride + at), v) };
        }
    }
}
