//! Normal equations of least squares over a sample of points: sums of products of the taps' deviations, and their
//! solution with noise on the taps.

use super::kernel::{for_this_machine, InstructionSet};
use super::taps::{Kind, MAX_TAPS};
use arrayvec::ArrayVec;

/// A run of sampled points of one pass.
pub struct Sample<'a> {
    /// Weight class of the pass.
    pub slot: usize,
    /// Kind of the points.
    pub kind: Kind,
    /// The row of values of each tap.
    pub rows: ArrayVec<&'a [i32], MAX_TAPS>,
    /// The values to predict.
    pub target: Vec<i32>,
    /// Which points do not count.
    pub skip: &'a dyn Fn(usize) -> bool,
}

/// Points of a sampled run.
pub const RUN: usize = 64;
/// Points whose products are taken at a time.
const BLOCK: usize = 256;
/// Partial sums of a product, so that it adds up in an order that suits every instruction set.
const PARTS: usize = 8;
/// Rows that are multiplied with another one at a time, so that it is read less often.
const TILE: usize = 4;

for_this_machine! {
    /// Adds the products of all pairs of the `m` rows of BLOCK values to the upper triangle of `sums`. The number of
    /// rows that are there is a multiple of TILE.
    pub fn products(rows: &[f64], m: usize, sums: &mut [f64]) {
        for i in (0..m).step_by(TILE) {
            let a: [&[f64]; TILE] = std::array::from_fn(|t| &rows[(i + t) * BLOCK..(i + t + 1) * BLOCK]);
            for j in i..m {
                let b = &rows[j * BLOCK..(j + 1) * BLOCK];
                let mut parts = [[0f64; PARTS]; TILE];
                for k in (0..BLOCK).step_by(PARTS) {
                    let b: &[f64] = &b[k..k + PARTS];
                    for t in 0..TILE {
                        let a = &a[t][k..k + PARTS];
                        for l in 0..PARTS {
                            parts[t][l] += a[l] * b[l];
                        }
                    }
                }
                for (t, p) in parts.iter().enumerate() {
                    if i + t <= j {
                        sums[(i + t) * m + j] += ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]));
                    }
                }
            }
        }
    }
}

/// Sums of products of the taps' deviations from the base and of the target's.
pub struct Gram {
    n: usize,
    sums: Vec<f64>,
    /// Points added.
    pub samples: f64,
    /// Deviations whose products are not taken yet: a row of BLOCK for each tap and the target.
    waiting: Vec<f64>,
    count: usize,
}

impl Gram {
    /// Sums for `n` taps.
    pub fn new(n: usize) -> Self {
        let rows = (n + 1).next_multiple_of(TILE);
        Self {
            n,
            sums: vec![0.0; (n + 1) * (n + 1)],
            samples: 0.0,
            waiting: vec![0.0; rows * BLOCK],
            count: 0,
        }
    }

    /// Adds the points of a sample.
    pub fn add(&mut self, sample: &Sample, base: usize) {
        let run = sample.target.len();
        if self.count + run > BLOCK {
            self.flush();
        }
        let mut mean = [0f64; RUN];
        for row in &sample.rows[..base] {
            for (a, v) in mean.iter_mut().zip(&row[..run]) {
                *a += f64::from(*v);
            }
        }
        mean.iter_mut().for_each(|a| *a /= base as f64);
        let rows = sample.rows.iter().copied().chain([&sample.target[..]]);
        for (d, row) in self.waiting.chunks_exact_mut(BLOCK).zip(rows) {
            for ((d, v), a) in d[self.count..].iter_mut().zip(&row[..run]).zip(&mean) {
                *d = f64::from(*v) - a;
            }
        }
        for j in 0..run {
            if (sample.skip)(j) {
                self.waiting.iter_mut().skip(self.count + j).step_by(BLOCK).for_each(|d| *d = 0.0);
            } else {
                self.samples += 1.0;
            }
        }
        self.count += run;
    }

    /// Takes the products of what waits.
    pub fn flush(&mut self) {
        if self.count > 0 {
            for row in self.waiting.chunks_exact_mut(BLOCK) {
                row[self.count..].fill(0.0);
            }
            products(&self.waiting, self.n + 1, &mut self.sums);
            self.count = 0;
        }
    }

    fn at(&self, i: usize, j: usize) -> f64 {
        self.sums[i.min(j) * (self.n + 1) + i.max(j)]
    }

    /// Mean squared error with the weights `w` (of the deviations) on taps with noise of this variance.
    pub fn error(&self, w: &[f64], base: usize, noise: f64) -> f64 {
        let n = self.n;
        let mut e = self.at(n, n);
        for i in 0..n {
            if w[i] != 0.0 {
                let mut g = -2.0 * self.at(i, n);
                for (j, wj) in w.iter().enumerate() {
                    g += wj * self.at(i, j);
                }
                e += w[i] * g;
            }
        }
        let rest = (1.0 - w.iter().sum::<f64>()) / base as f64;
        let square: f64 =
            w.iter().enumerate().map(|(i, v)| if i < base { v + rest } else { *v }).map(|v| v * v).sum();
        e.max(0.0) / self.samples.max(1.0) + noise * square
    }

    /// Weights per group that minimise the error.
    pub fn solve(&self, groups: &[Option<usize>], count: usize, base: usize, noise: f64) -> Option<Vec<f64>> {
        let n = self.n;
        let total = noise * self.samples;
        let b = 1.0 / base as f64;
        let is_base = |i: usize| if i < base { b } else { 0.0 };
        let mut a = vec![0.0; count * count];
        let mut v = vec![0.0; count];
        for (i, gi) in groups.iter().enumerate() {
            let Some(gi) = *gi else { continue };
            v[gi] += self.at(i, n) - total * (is_base(i) - b);
            for (j, gj) in groups.iter().enumerate() {
                let Some(gj) = *gj else { continue };
                let same = if i == j { 1.0 } else { 0.0 };
                a[gi * count + gj] += self.at(i, j) + total * (same - is_base(i) - is_base(j) + b);
            }
        }
        let trace: f64 = (0..count).map(|i| a[i * count + i]).sum();
        for i in 0..count {
            a[i * count + i] += 1e-9 * trace / count as f64 + 1e-6;
        }
        cholesky_solve(&mut a, &mut v, count).then_some(v)
    }
}

for_this_machine! {
    /// Replaces the lower triangle of a matrix of n rows by its Cholesky factor; `positive` says whether it has one.
    pub fn cholesky(a: &mut [f64], n: usize, positive: &mut bool) {
        let mut column = vec![0.0; n];
        for j in 0..n {
            let pivot = a[j * n + j];
            if pivot <= 0.0 || !pivot.is_finite() {
                *positive = false;
                return;
            }
            let root = pivot.sqrt();
            for i in j..n {
                column[i] = a[i * n + j] / root;
                a[i * n + j] = column[i];
            }
            for i in j + 1..n {
                let factor = column[i];
                for (x, c) in a[i * n + j + 1..=i * n + i].iter_mut().zip(&column[j + 1..=i]) {
                    *x -= factor * c;
                }
            }
        }
        *positive = true;
    }
}

/// Solves a x = v in place for a positive definite matrix of n rows; false when it is not.
fn cholesky_solve(a: &mut [f64], v: &mut [f64], n: usize) -> bool {
    let mut positive = false;
    cholesky(a, n, &mut positive);
    if !positive {
        return false;
    }
    for i in 0..n {
        for k in 0..i {
            v[i] -= a[i * n + k] * v[k];
        }
        v[i] /= a[i * n + i];
    }
    for i in (0..n).rev() {
        for k in i + 1..n {
            v[i] -= a[k * n + i] * v[k];
        }
        v[i] /= a[i * n + i];
    }
    v.iter().all(|x| x.is_finite())
}

/// Weights of the taps themselves, from those of their deviations from the base.
pub fn effective_weights(w: &[f64], base: usize) -> Vec<f64> {
    let rest = (1.0 - w.iter().sum::<f64>()) / base as f64;
    w.iter().enumerate().map(|(i, v)| if i < base { v + rest } else { *v }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved() {
        let mut a = vec![4.0, 1.0, 1.0, 3.0];
        let mut v = vec![1.0, 2.0];
        assert!(cholesky_solve(&mut a, &mut v, 2));
        assert!((v[0] - 1.0 / 11.0).abs() < 1e-12 && (v[1] - 7.0 / 11.0).abs() < 1e-12);
    }
}
