//! Estimated bits of residuals from a sample of them: in each window the entropy of a two-sided geometric distribution
//! (a discretised Laplace distribution) of their mean magnitude, as a coder whose contexts know the local scale would
//! reach it.

use std::sync::LazyLock;

/// Residuals of a window.
const WINDOW: u32 = 16;
/// Bits of a residual of which it is certain that it is zero, at most.
pub const CERTAIN: f64 = 0.01;

/// Collects a sample of residuals.
#[derive(Clone, Default)]
pub struct Cost {
    bits: f64,
    count: f64,
    sum: u64,
    waiting: u32,
}

impl Cost {
    /// Adds a residual in quantisation steps.
    #[inline]
    pub fn add(&mut self, q: i32) {
        self.sum += u64::from(q.unsigned_abs());
        self.waiting += 1;
        if self.waiting == WINDOW {
            self.start_run();
        }
    }

    /// Ends the window: what follows lies elsewhere.
    pub fn start_run(&mut self) {
        if self.waiting > 0 {
            let n = f64::from(self.waiting);
            let known = ENTROPIES.get(self.sum as usize).filter(|_| self.waiting == WINDOW);
            self.bits += n * known.copied().unwrap_or_else(|| entropy(self.sum as f64 / n)).max(CERTAIN);
            self.count += n;
            (self.sum, self.waiting) = (0, 0);
        }
    }

    /// Adds what another collected.
    pub fn join(&mut self, other: &Self) {
        let mut whole = other.clone();
        whole.start_run();
        self.bits += whole.bits;
        self.count += whole.count;
    }

    /// Estimated bits per residual; 0 without any.
    pub fn bits_per_residual(&self) -> f64 {
        let mut whole = self.clone();
        whole.start_run();
        whole.bits / whole.count.max(1.0)
    }
}

/// [`entropy`] of whole windows, by the sum of their magnitudes.
static ENTROPIES: LazyLock<[f64; 512]> =
    LazyLock::new(|| std::array::from_fn(|sum| entropy(sum as f64 / f64::from(WINDOW))));

/// Entropy of the two-sided geometric distribution of mean magnitude `m`, in bits.
fn entropy(m: f64) -> f64 {
    if m == 0.0 {
        return 0.0;
    }
    let ratio = ((1.0 + m * m).sqrt() - 1.0) / m;
    ((1.0 + ratio) / (1.0 - ratio)).log2() - m * ratio.log2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rough_residuals_cost_more() {
        let cost = |f: &dyn Fn(i32) -> i32| {
            let mut c = Cost::default();
            (0..1000).for_each(|i| c.add(f(i)));
            c.bits_per_residual()
        };
        assert!(cost(&|_| 0) < 1.001 * CERTAIN);
        let (sparse, dense, wild) =
            (cost(&|i| i32::from(i % 17 == 0)), cost(&|i| i * 7919 % 9 - 4), cost(&|i| i * 7919 % 999));
        assert!(CERTAIN < sparse && sparse < dense && dense < wild, "{sparse} {dense} {wild}");
    }

    #[test]
    fn entropy_is_that_of_the_distribution() {
        let ratio: f64 = 0.6;
        let p = |k: i32| (1.0 - ratio) / (1.0 + ratio) * ratio.powi(k.abs());
        let (h, m) = (-200..=200)
            .fold((0.0, 0.0), |(h, m), k| (h - p(k) * p(k).log2(), m + p(k) * f64::from(k.abs())));
        assert!((entropy(m) - h).abs() < 1e-6);
    }
}
