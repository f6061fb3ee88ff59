//! Estimated bits of residuals from a sample of them: their entropy given the size of the ones before, as a stand-in
//! for the coder's contexts.

/// Residuals beyond this share a bin and pay for the bits of their magnitude.
const CLIP: usize = 24;
/// Contexts: the sum of the two residuals before is 0, 1, 2, ... or larger.
const CONTEXTS: usize = 8;

/// Collects a sample of residuals.
#[derive(Clone)]
pub struct Cost {
    bins: [[f64; 2 * CLIP + 1]; CONTEXTS],
    extra: f64,
    count: f64,
    before: (u32, u32),
}

impl Default for Cost {
    fn default() -> Self {
        Self { bins: [[0.0; 2 * CLIP + 1]; CONTEXTS], extra: 0.0, count: 0.0, before: (0, 0) }
    }
}

impl Cost {
    /// Adds a residual in quantisation steps.
    #[inline]
    pub fn add(&mut self, q: i32) {
        let m = q.unsigned_abs();
        let activity = self.before.0.saturating_add(self.before.1);
        let context = if activity < 4 { activity } else { 34 - activity.min(63).leading_zeros() } as usize;
        let clipped = q.clamp(-(CLIP as i32), CLIP as i32);
        self.bins[context.min(CONTEXTS - 1)][(clipped + CLIP as i32) as usize] += 1.0;
        if m as usize > CLIP {
            self.extra += f64::from(2 * (m / CLIP as u32).ilog2() + 1);
        }
        self.count += 1.0;
        self.before = (self.before.1, m);
    }

    /// Forgets the residuals before: the next one starts a new run.
    pub fn start_run(&mut self) {
        self.before = (0, 0);
    }

    /// Residuals added so far.
    pub fn count(&self) -> f64 {
        self.count
    }

    /// Estimated bits per residual; 0 without any.
    pub fn bits_per_residual(&self) -> f64 {
        let mut bits = self.extra;
        for bins in &self.bins {
            let total: f64 = bins.iter().sum();
            let used = bins.iter().filter(|n| **n > 0.0).count();
            // Miller and Madow: the entropy of a small sample is too small by half a nat per bin.
            bits += 0.5 * std::f64::consts::LOG2_E * used.saturating_sub(1) as f64;
            for &n in bins.iter().filter(|n| **n > 0.0) {
                bits -= n * (n / total).log2();
            }
        }
        bits / self.count.max(1.0)
    }
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
        assert_eq!(cost(&|_| 0), 0.0);
        let (sparse, dense, wild) =
            (cost(&|i| i32::from(i % 17 == 0)), cost(&|i| i * 7919 % 9 - 4), cost(&|i| i * 7919 % 999));
        assert!(0.0 < sparse && sparse < dense && dense < wild, "{sparse} {dense} {wild}");
    }
}
