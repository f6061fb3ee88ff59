//! Adam (Kingma and Ba 2015), with a state that can be written down.

use tch::{no_grad, Tensor};

/// Decay of the mean of gradients and of their squares.
const DECAY: (f64, f64) = (0.9, 0.999);
const SMALL: f64 = 1e-8;

/// The optimiser.
#[derive(Debug)]
pub struct Adam {
    variables: Vec<Tensor>,
    /// Means of the gradients, then of their squares.
    state: Vec<Tensor>,
    steps: u64,
}

impl Adam {
    /// For these variables.
    pub fn new(variables: Vec<Tensor>) -> Self {
        let state = variables.iter().chain(&variables).map(|v| v.detach().zeros_like()).collect();
        Self { variables, state, steps: 0 }
    }

    /// The state: tensors like the variables, twice.
    pub fn state(&self) -> &[Tensor] {
        &self.state
    }

    /// Takes over a state after so many steps.
    pub fn restore(&mut self, state: Vec<Tensor>, steps: u64) {
        (self.state, self.steps) = (state, steps);
    }

    /// A step down the gradient of `loss`, which is limited to a norm of `limit`.
    pub fn step(&mut self, loss: &Tensor, rate: f64, limit: f64) {
        for v in &mut self.variables {
            v.zero_grad();
        }
        loss.backward();
        self.steps += 1;
        no_grad(|| {
            let norms: f64 = self.variables.iter().map(|v| v.grad().norm().double_value(&[]).powi(2)).sum();
            let factor = (limit / norms.sqrt().max(1e-12)).min(1.0);
            let left = |decay: f64| 1.0 - decay.powi(self.steps.min(1 << 20) as i32);
            let (first, second) = self.state.split_at_mut(self.variables.len());
            for ((v, m), s) in self.variables.iter_mut().zip(first).zip(second) {
                let g = v.grad() * factor;
                *m = &*m * DECAY.0 + &g * (1.0 - DECAY.0);
                *s = &*s * DECAY.1 + g.square() * (1.0 - DECAY.1);
                let step = (&*m / left(DECAY.0)) / ((&*s / left(DECAY.1)).sqrt() + SMALL);
                let _ = v.g_sub_(&(step * rate));
            }
        });
    }
}
