//! Normal equations of least squares over a sample of points: sums of products of the taps' deviations, and their
//! solution with noise on the taps.
//!
//! Deviations are small integers, so that the sums are exact: the same on every machine, in whichever order they are
//! added up. Points that are hard to predict, or lie among neighbours that differ much, count less: a residual costs the logarithm
//! of its size, not its square.

use super::dot::{self, products, BLOCK, TILE};
use super::taps::{TapRows, MAX_TAPS};
use crate::machine::for_this_machine;
use arrayvec::ArrayVec;

/// A run of sampled points of one pass.
pub struct Sample<'a, C> {
    /// The values of each tap, with a companion each.
    pub rows: TapRows<'a, C>,
    /// The values to predict.
    pub target: &'a [i32],
    /// Points that lie side by side, again and again.
    pub length: usize,
    /// Not 0 at points that do not count.
    pub skip: Option<[u8; RUN]>,
}

/// Points of a sampled run.
pub const RUN: usize = 64;
/// A deviation of a quantisation step, in units of the integers that are multiplied.
const UNIT: f32 = 8.0;
/// Largest deviation, as [`products`] wants it.
const LIMIT: f32 = dot::LIMIT as f32;
/// Spread of the nearest neighbours in quantisation steps beyond which points count less.
const ROUGH: f32 = 2.0;
/// How much farther from the base the farthest taps may lie than its own values: no point's deviations may be cut off.
const STEEP: f32 = 5.0;

for_this_machine! {
    /// How far the mean of each group of rows lies from the mean of the rows `base`, in units of `scale`, times what the
    /// point counts; group g at out[g * BLOCK..]. `sizes` gives the rows of each group, which follow each other in `rows`.
    /// Points count less where the base's values lie far apart or, with `missed`, where that is large: what a prediction
    /// misses thereabouts, squared, in quantisation steps, above 0. `factor` is what each point's deviations were multiplied with.
    pub fn deviations(
        rows: &[&[i32]],
        sizes: &[usize],
        base: &[&[i32]],
        scale: f32,
        missed: Option<&[f32; RUN]>,
        factor: &mut [f32; RUN],
        out: &mut [i16],
    ) {
        let n = rows.first().map_or(0, |r| r.len()).min(RUN);
        // All values relative to one of them: small numbers, which floating point holds exactly.
        let origin = &base[0][..n];
        let mut mean = [0f32; RUN];
        for row in base {
            let row = &row[..n];
            for j in 0..n {
                mean[j] += row[j].wrapping_sub(origin[j]) as f32;
            }
        }
        let share = 1.0 / base.len() as f32;
        mean.iter_mut().for_each(|m| *m *= share);
        let mut energy = [0f32; RUN];
        for row in base {
            let row = &row[..n];
            for j in 0..n {
                let d = (row[j].wrapping_sub(origin[j]) as f32 - mean[j]) * scale;
                energy[j] += d * d;
            }
        }
        if let Some(missed) = missed {
            let steep = share * STEEP * STEEP;
            for j in 0..n {
                let most = LIMIT * LIMIT / (1.0 + energy[j] * steep);
                factor[j] = (1.0 / missed[j]).min(most).sqrt();
            }
        } else {
            let rough = share / (UNIT * UNIT * ROUGH * ROUGH);
            for j in 0..n {
                // The fourth root.
                factor[j] = 1.0 / (1.0 + energy[j] * rough).sqrt().sqrt();
            }
        }
        let mut rows = rows.iter();
        for (size, out) in sizes.iter().zip(out.chunks_mut(BLOCK)) {
            let mut sum = [0f32; RUN];
            for row in rows.by_ref().take(*size) {
                let row = &row[..n];
                for j in 0..n {
                    sum[j] += row[j].wrapping_sub(origin[j]) as f32;
                }
            }
            let (share, out) = (1.0 / *size as f32, &mut out[..n]);
            for j in 0..n {
                let d = (sum[j] * share - mean[j]) * scale * factor[j];
                // Rounded to nearest by way of an addition that pushes the fraction out.
                const ROUND: f32 = 12_582_912.0;
                let d = (d.clamp(-LIMIT, LIMIT) + ROUND).to_bits() as i32 - ROUND.to_bits() as i32;
                out[j] = d as i16;
            }
        }
    }
}

/// Sums of products of deviations from the mean of the base taps: those of the means of groups of taps, and the target's.
pub struct Gram {
    /// Taps of each group, and the one target.
    sizes: Vec<usize>,
    /// Taps that are the base, by their number.
    base: Vec<usize>,
    scale: f32,
    sums: Vec<i64>,
    /// Points added.
    pub samples: f64,
    /// The same, those that count less for less.
    weight: f64,
    /// The part of it where the field is not constant.
    noisy: f64,
    /// Deviations whose products are not taken yet: a row of BLOCK for each group and the target.
    waiting: Vec<i16>,
    count: usize,
}

impl Gram {
    /// Sums for groups of so many taps, which follow each other, at quantisation steps of `step` units; `base` are the
    /// numbers of the taps that are the base.
    pub fn new(sizes: &[usize], base: &[usize], step: i32) -> Self {
        let m = sizes.len() + 1;
        Self {
            sizes: sizes.iter().copied().chain([1]).collect(),
            base: base.to_vec(),
            scale: UNIT / step as f32,
            sums: vec![0; m * m],
            samples: 0.0,
            weight: 0.0,
            noisy: 0.0,
            waiting: vec![0; m.next_multiple_of(TILE) * BLOCK],
            count: 0,
        }
    }

    /// Adds the points of a sample, which count by what a prediction misses there, if that is known.
    pub fn add<C>(&mut self, sample: &Sample<C>, missed: Option<&[f32; RUN]>) {
        let run = sample.target.len().min(RUN);
        if self.count + run > BLOCK {
            self.flush();
        }
        let rows = sample.rows.iter().map(|(row, _)| *row).chain([sample.target]);
        let all: ArrayVec<&[i32], { MAX_TAPS + 1 }> = rows.map(|r| &r[..run]).collect();
        let base: ArrayVec<&[i32], MAX_TAPS> = self.base.iter().map(|i| all[*i]).collect();
        let mut factor = [0f32; RUN];
        deviations(
            &all,
            &self.sizes,
            &base,
            self.scale,
            missed,
            &mut factor,
            &mut self.waiting[self.count..],
        );
        let target = (self.sizes.len() - 1) * BLOCK + self.count;
        for (j, factor) in factor[..run].iter().enumerate() {
            if sample.skip.is_some_and(|s| s[j] != 0) {
                self.waiting.iter_mut().skip(self.count + j).step_by(BLOCK).for_each(|d| *d = 0);
            } else {
                self.samples += 1.0;
                let weight = f64::from(factor * factor);
                self.weight += weight;
                // Where the field is constant there is nothing to round.
                if self.waiting[target + j] != 0 || base.iter().any(|row| row[j] != base[0][j]) {
                    self.noisy += weight;
                }
            }
        }
        self.count += run;
    }

    /// Takes the products of what waits.
    pub fn flush(&mut self) {
        if self.count > 0 {
            for row in self.waiting.chunks_exact_mut(BLOCK) {
                row[self.count..].fill(0);
            }
            products(&self.waiting, self.sizes.len(), &mut self.sums);
            self.count = 0;
        }
    }

    /// Mean products of the deviations.
    pub fn products(&self) -> Products {
        let unit = 1.0 / (f64::from(UNIT * UNIT) * self.weight.max(1e-9));
        let m = self.sizes.len();
        let mut sums = vec![0.0; m * m];
        for i in 0..m {
            for j in i..m {
                let mean = self.sums[i * m + j] as f64 * unit;
                sums[i * m + j] = mean;
                sums[j * m + i] = mean;
            }
        }
        let mut in_base = vec![0.0; m];
        let mut end = 0;
        for (size, n) in self.sizes.iter().zip(&mut in_base) {
            *n = self.base.iter().filter(|i| (end..end + size).contains(*i)).count() as f64;
            end += size;
        }
        let sizes = self.sizes.iter().map(|n| *n as f64).collect();
        Products {
            sizes,
            in_base,
            base: self.base.len() as f64,
            sums,
            noisy: self.noisy / self.weight.max(1e-9),
        }
    }
}

/// Mean products of two deviations, in squares of quantisation steps; the target's are the last ones.
pub struct Products {
    sizes: Vec<f64>,
    in_base: Vec<f64>,
    base: f64,
    sums: Vec<f64>,
    noisy: f64,
}

impl Products {
    /// The equations for groups that share weights: `shared` gives the number, below `count`, of each group's weight,
    /// which is the sum of its taps' weights. Taps have noise of this variance, in squares of steps, where the field is
    /// not constant.
    pub fn equations(&self, shared: &[usize], count: usize, noise: f64) -> Equations {
        let noise = noise * self.noisy;
        let (n, m) = (shared.len(), self.sizes.len());
        let b = 1.0 / self.base;
        let mut taps = vec![0.0; count];
        let mut in_base = vec![0.0; count];
        for ((&g, size), base) in shared.iter().zip(&self.sizes).zip(&self.in_base) {
            taps[g] += size;
            in_base[g] += base;
        }
        let part: Vec<f64> = shared.iter().zip(&self.sizes).map(|(&g, size)| size / taps[g]).collect();
        let mut a = vec![0.0; count * count];
        let mut v = vec![0.0; count];
        for (i, &g) in shared.iter().enumerate() {
            let sums = &self.sums[i * m..][..m];
            v[g] += part[i] * sums[n];
            let row = &mut a[g * count..][..count];
            for ((&h, s), p) in shared.iter().zip(sums).zip(&part) {
                row[h] += part[i] * p * s;
            }
        }
        // With weights w of the deviations the base taps have (1 - sum of w) / base more; the noise of the prediction is
        // that of the taps times the sum of their weights' squares.
        for g in 0..count {
            v[g] += noise * b * (1.0 - in_base[g] / taps[g]);
            for h in 0..count {
                let same = if g == h { 1.0 / taps[g] } else { 0.0 };
                a[g * count + h] += noise * (same - b * (in_base[g] / taps[g] + in_base[h] / taps[h]) + b);
            }
        }
        Equations { count, a, v, square: self.sums[n * m + n] + noise * b, taps }
    }
}

/// Normal equations of some weights: error(w) = square - 2 v w + w a w.
pub struct Equations {
    count: usize,
    a: Vec<f64>,
    v: Vec<f64>,
    /// Mean squared error without any weights.
    pub square: f64,
    /// Taps of each weight.
    pub taps: Vec<f64>,
}

impl Equations {
    /// Mean squared error with the leading weights `w`, the others 0.
    pub fn error(&self, w: &[f64]) -> f64 {
        let mut e = self.square;
        for (i, wi) in w.iter().enumerate() {
            let row = &self.a[i * self.count..][..w.len()];
            let g: f64 = row.iter().zip(w).map(|(a, w)| a * w).sum();
            e += wi * (g - 2.0 * self.v[i]);
        }
        e.max(0.0)
    }

    /// Solves the equations for every number of leading weights at once.
    pub fn factor(&self) -> Factor {
        let n = self.count;
        let mut a = self.a.clone();
        let trace: f64 = (0..n).map(|i| a[i * n + i]).sum();
        for i in 0..n {
            a[i * n + i] += 1e-9 * trace / n as f64 + 1e-9;
        }
        let mut rank = 0;
        cholesky(&mut a, n, &mut rank);
        let mut z = vec![0.0; rank];
        let mut errors = vec![];
        let mut e = self.square;
        for i in 0..rank {
            let known: f64 = a[i * n..].iter().zip(&z[..i]).map(|(a, z)| a * z).sum();
            z[i] = (self.v[i] - known) / a[i * n + i];
            e -= z[i] * z[i];
            errors.push(e.max(0.0));
        }
        Factor { n, a, z, errors }
    }
}

/// Solutions of [`Equations`].
pub struct Factor {
    n: usize,
    a: Vec<f64>,
    z: Vec<f64>,
    /// Mean squared error with the first, the first two, ... weights; ends where the equations have no more solutions.
    pub errors: Vec<f64>,
}

impl Factor {
    /// The best `k` leading weights.
    pub fn weights(&self, k: usize) -> Vec<f64> {
        let mut w = self.z[..k].to_vec();
        for i in (0..k).rev() {
            for j in i + 1..k {
                w[i] -= self.a[j * self.n + i] * w[j];
            }
            w[i] /= self.a[i * self.n + i];
        }
        w
    }
}

for_this_machine! {
    /// Replaces the lower triangle of a matrix of n rows by its Cholesky factor, as far as it is positive definite: the
    /// first `rank` rows and columns.
    pub fn cholesky(a: &mut [f64], n: usize, rank: &mut usize) {
        let mut column = vec![0.0; n];
        *rank = n;
        for j in 0..n {
            let pivot = a[j * n + j];
            if pivot <= 0.0 || !pivot.is_finite() {
                *rank = j;
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved_for_every_number_of_weights() {
        let e = Equations {
            count: 2,
            a: vec![4.0, 1.0, 1.0, 3.0],
            v: vec![1.0, 2.0],
            square: 2.0,
            taps: vec![1.0; 2],
        };
        let f = e.factor();
        let w = f.weights(2);
        assert!((w[0] - 1.0 / 11.0).abs() < 1e-6 && (w[1] - 7.0 / 11.0).abs() < 1e-6);
        assert!((f.errors[1] - e.error(&w)).abs() < 1e-6 && (f.errors[0] - e.error(&[0.25])).abs() < 1e-6);
    }

    #[test]
    fn sums_tell_the_weights_of_a_field() {
        // The target is a weighted sum of four base taps and another one.
        let rows: Vec<Vec<i32>> = (0..5)
            .map(|t| (0..RUN as i32).map(|j| (j * 7919 + t * 104_729) % 1013 - 500).collect())
            .collect();
        let target: Vec<i32> = (0..RUN).map(|j| (rows[0][j] + rows[1][j] + 2 * rows[4][j]) / 4).collect();
        let mut gram = Gram::new(&[1; 5], &[0, 1, 2, 3], 16);
        let sample = Sample {
            rows: rows.iter().map(|r| (&r[..], ())).collect(),
            target: &target,
            length: RUN,
            skip: None,
        };
        gram.add(&sample, None);
        gram.flush();
        let w = gram.products().equations(&[0, 1, 2, 3, 4], 5, 0.0).factor().weights(5);
        // The weights of the base taps are relative to what is left for them.
        let rest = (1.0 - w.iter().sum::<f64>()) / 4.0;
        let all: Vec<f64> = w.iter().enumerate().map(|(i, v)| if i < 4 { v + rest } else { *v }).collect();
        for (found, expected) in all.iter().zip([0.25, 0.25, 0.0, 0.0, 0.5]) {
            assert!((found - expected).abs() < 0.01, "{all:?}");
        }
    }
}
