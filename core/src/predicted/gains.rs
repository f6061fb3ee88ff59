//! What corrections save in each weight class, from a sample of the residuals with and without them.

use crate::predict::corrector::Classes;
use crate::predict::cost::Cost;
use std::collections::BTreeMap;

/// Points of a sampled window, and from one window to the next: neighbours are alike.
pub const WINDOW: usize = 16;
/// See [`WINDOW`].
pub const EVERY: usize = 48;

/// Residuals of a class.
#[derive(Clone, Default)]
struct Class {
    linear: Cost,
    corrected: Cost,
}

/// Residuals of each class, by the classes' indices.
#[derive(Clone, Default)]
pub struct Gains(BTreeMap<usize, Class>);

impl Gains {
    /// Adds residuals, in quantisation steps, of neighbouring points of a class: those of the linear and of the corrected
    /// prediction.
    pub fn add(&mut self, class: usize, residuals: impl Iterator<Item = (i32, i32)>) {
        let class = self.0.entry(class).or_default();
        for (linear, corrected) in residuals {
            class.linear.add(linear);
            class.corrected.add(corrected);
        }
        class.linear.start_run();
        class.corrected.start_run();
    }

    /// Adds what others measured.
    pub fn join(&mut self, other: &Self) {
        for (class, found) in &other.0 {
            let class = self.0.entry(*class).or_default();
            class.linear.join(&found.linear);
            class.corrected.join(&found.corrected);
        }
    }

    /// The classes that take at least `gain` times as many bits without corrections.
    pub fn classes(&self, gain: f64) -> Classes {
        let mut out = Classes::default();
        for (class, found) in &self.0 {
            if found.linear.bits_per_residual() >= gain * found.corrected.bits_per_residual() {
                out.insert(*class);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_pay_whose_residuals_become_smaller() {
        let mut gains = Gains::default();
        let residual = |i: i32, scale: i32| scale * (i * 7919 % 9 - 4);
        for run in 0..20 {
            gains.add(3, (0..16).map(|i| (residual(16 * run + i, 3), residual(16 * run + i, 2))));
            let mut other = Gains::default();
            other.add(7, (0..16).map(|i| (residual(16 * run + i, 2), residual(16 * run + i, 3))));
            gains.join(&other);
        }
        let paying = gains.classes(1.005);
        assert!(paying.has(3) && !paying.has(7) && !paying.has(5));
        let all = gains.classes(0.0);
        assert!(all.has(3) && all.has(7) && !all.has(5));
        assert!(Gains::default().classes(0.0).is_empty());
    }
}
