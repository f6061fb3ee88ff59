//! Gray-Scott reaction-diffusion on a periodic grid (Gray and Scott 1984; Pearson 1993), explicit Euler steps.
//!
//! Additions and multiplications only, in a fixed order: the same bits on every machine, and the same as
//! `examples/c/gray_scott.c`.

const DIFFUSION_U: f64 = 0.16;
const DIFFUSION_V: f64 = 0.08;
const FEED: f64 = 0.035;
const KILL: f64 = 0.06;

/// The concentrations of both substances, row by row.
pub struct State {
    ny: usize,
    nx: usize,
    /// Concentration of the substance that is fed.
    pub u: Vec<f64>,
    /// Concentration of the substance that grows from it.
    pub v: Vec<f64>,
}

impl State {
    /// u = 1 and v = 0, with square spots of v at places from a small generator of integers.
    pub fn start(ny: usize, nx: usize) -> Self {
        let mut state = Self { ny, nx, u: vec![1.0; ny * nx], v: vec![0.0; ny * nx] };
        let mut seed = 12345u32;
        for _ in 0..8 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (y0, x0) = ((seed >> 8) as usize % ny, (seed >> 20) as usize % nx);
            for (y, x) in (0..6).flat_map(|y| (0..6).map(move |x| (y, x))) {
                let p = (y0 + y) % ny * nx + (x0 + x) % nx;
                state.u[p] = 0.5;
                state.v[p] = 0.25;
            }
        }
        state
    }

    /// The state that a checkpoint holds: `ny * nx` values each.
    pub fn resume(ny: usize, nx: usize, u: Vec<f64>, v: Vec<f64>) -> Self {
        Self { ny, nx, u, v }
    }

    /// One time step of length 1.
    pub fn iterate(&mut self) {
        let (ny, nx) = (self.ny, self.nx);
        let (u, v) = (&self.u, &self.v);
        let (mut next_u, mut next_v) = (Vec::with_capacity(ny * nx), Vec::with_capacity(ny * nx));
        for y in 0..ny {
            let (up, down, row) = ((y + ny - 1) % ny * nx, (y + 1) % ny * nx, y * nx);
            for x in 0..nx {
                let (left, right) = ((x + nx - 1) % nx, (x + 1) % nx);
                let laplacian = |f: &[f64]| {
                    ((f[up + x] + f[down + x]) + (f[row + left] + f[row + right])) - 4.0 * f[row + x]
                };
                let (here_u, here_v) = (u[row + x], v[row + x]);
                let uvv = here_u * here_v * here_v;
                next_u.push(here_u + (DIFFUSION_U * laplacian(u) - uvv + FEED * (1.0 - here_u)));
                next_v.push(here_v + (DIFFUSION_V * laplacian(v) + uvv - (FEED + KILL) * here_v));
            }
        }
        self.u = next_u;
        self.v = next_v;
    }
}
