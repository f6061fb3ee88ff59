//! A field to train on, and samples of it as the codec will show them to the network.
//!
//! What a sample holds is the contract between trainer and codec (docs/models.md): position and differences scaled by
//! statistics of a chunk, and the quantisation step beside the typical difference.

use crate::forecaster::Plan;
use crate::graph::WIDE;
use crate::net::Net;
use crate::sequence;
use augur_core::{Bound, Dtype, Params};
use rand::rngs::StdRng;
use rand::Rng;
use tch::{Device, Kind, Tensor};

/// Standard deviation of the position channel.
pub const POSITION: f64 = 4.0;
/// Frames of a chunk, for its statistics.
const CHUNK: usize = 16;

/// Frames of one field.
#[derive(Debug)]
pub struct Field {
    /// [steps, levels, height, width], missing points filled.
    pub frames: Tensor,
    /// 1 where a point counts, 0 where it is missing; `None`: all count.
    pub mask: Option<Tensor>,
    /// Largest minus smallest value.
    pub range: f64,
    /// Steps, levels, height, width.
    pub size: [i64; 4],
    /// Of each step: number of points, their sum, sum of squares, sum of squares of the difference to the step before.
    sums: Vec<[f64; 4]>,
}

/// Statistics that the encoder would measure on a chunk.
#[derive(Clone, Copy, Debug)]
pub struct Scales {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub deviation: f64,
    /// Root mean square of the difference of consecutive frames.
    pub change: f64,
}

/// A batch: input planes, and what is needed to judge the output.
#[derive(Debug)]
pub struct Batch {
    /// [n, channels, height, width]; for a network that remembers [runs, n, channels, height, width].
    pub input: Tensor,
    /// What the output should be: [n, 1, height, width], the change in units of the typical change; for a network that
    /// remembers [forecasts times n, channels, height, width].
    pub target: Tensor,
    /// The bound in the same units, [n, 1, 1, 1] (or as many as the target has).
    pub bound: Tensor,
    /// 1 where a point counts.
    pub mask: Option<Tensor>,
}

impl Batch {
    /// What a network gives.
    pub fn output(&self, net: &Net) -> Tensor {
        if self.input.dim() == 4 {
            return net.forward(&self.input);
        }
        sequence::run(net, &self.input, self.target.size()[0] / self.input.size()[1])
    }

    /// The same, mirrored along an axis, counted from the last one by -1.
    pub fn mirrored(&self, axis: i64) -> Self {
        let flip = |x: &Tensor| x.flip([axis]);
        Self {
            input: flip(&self.input),
            target: flip(&self.target),
            bound: self.bound.shallow_clone(),
            mask: self.mask.as_ref().map(flip),
        }
    }
}

/// The part of a field that a sample shows.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Step and level to forecast.
    pub at: (i64, i64),
    /// First row and column.
    pub corner: (i64, i64),
    /// Rows and columns.
    pub size: (i64, i64),
}

impl Field {
    /// A field of `values` in the order steps, levels, rows, columns; NaN where they are missing.
    pub fn new(values: &[f32], size: [i64; 4], device: Device) -> Self {
        let raw = Tensor::from_slice(values).view(size);
        let valid = raw.isfinite();
        let all = i64::try_from(&valid.all()).unwrap_or(0) != 0;
        let (frames, mask) =
            if all { (raw, None) } else { (fill(&raw, &valid), Some(valid.to_kind(Kind::Float))) };
        let present = frames.masked_select(&valid);
        let range = if present.numel() == 0 {
            0.0
        } else {
            f64::try_from(present.max() - present.min()).unwrap_or(0.0)
        };
        let mut sums = Vec::new();
        let mut before: Option<Tensor> = None;
        for t in 0..size[0] {
            let m = mask.as_ref().map(|m| m.get(t).to_kind(Kind::Double));
            let f = frames.get(t).to_kind(Kind::Double);
            let total = |x: &Tensor| -> f64 {
                let x = m.as_ref().map_or_else(|| x.shallow_clone(), |m| x * m);
                f64::try_from(x.sum(Kind::Double)).unwrap_or(0.0)
            };
            let change = before.as_ref().map_or(0.0, |b| total(&(&f - b).square()));
            sums.push([total(&f.ones_like()), total(&f), total(&f.square()), change]);
            before = Some(f);
        }
        let mask = mask.map(|m| m.to_device(device));
        Self { frames: frames.to_device(device), mask, range, size, sums }
    }

    /// The frames `steps` as the codec gives them back when each point may be off by `bound`, in chunks of
    /// 16 steps; what the network will read.
    ///
    /// # Errors
    /// What the codec says.
    pub fn decode(&self, steps: std::ops::Range<i64>, bound: f64, threads: usize) -> Result<Tensor, String> {
        let mut parts = vec![];
        let mut t = steps.start;
        while t < steps.end {
            let count = (CHUNK as i64).min(steps.end - t);
            let frames = self.frames.narrow(0, t, count);
            let flat = frames.to_device(Device::Cpu).reshape([-1]);
            let values = Vec::<f32>::try_from(flat).map_err(|e: tch::TchError| e.to_string())?;
            let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let shape = [count, self.size[1], self.size[2], self.size[3]].map(|n| n as usize);
            let mut params = Params::new(Dtype::F32, &shape, Bound::Absolute(bound));
            params.threads = threads;
            let decoded = augur_core::encode(&params, &raw)
                .and_then(|stream| augur_core::decode(&stream, Some(raw.len()), threads))
                .map_err(|e| e.to_string())?;
            let values = decoded.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            let values: Vec<f32> = values.collect();
            parts.push(
                Tensor::from_slice(&values).view(frames.size().as_slice()).to_device(self.frames.device()),
            );
            t += count;
        }
        Ok(Tensor::cat(&parts, 0))
    }

    /// Some of its steps, as a field.
    pub fn steps(&self, steps: std::ops::Range<i64>) -> Self {
        let count = steps.end - steps.start;
        let cut = |x: &Tensor| x.narrow(0, steps.start, count);
        let [_, levels, height, width] = self.size;
        let mut sums = self.sums[steps.start as usize..steps.end as usize].to_vec();
        if let Some(first) = sums.first_mut() {
            first[3] = 0.0;
        }
        Self {
            frames: cut(&self.frames),
            mask: self.mask.as_ref().map(cut),
            range: self.range,
            size: [count, levels, height, width],
            sums,
        }
    }

    /// Statistics of the steps `from..to`; `None` where nothing changes.
    pub fn scales(&self, from: usize, to: usize) -> Option<Scales> {
        let mut s = [0.0; 4];
        for (k, sums) in self.sums[from..to].iter().enumerate() {
            for (i, s) in s.iter_mut().enumerate() {
                *s += if i == 3 && k == 0 { 0.0 } else { sums[i] };
            }
        }
        let pairs: f64 = self.sums[from + 1..to].iter().map(|s| s[0]).sum();
        let mean = s[1] / s[0];
        let deviation = (s[2] / s[0] - mean * mean).max(0.0).sqrt();
        let change = (s[3] / pairs).sqrt();
        (deviation > 0.0 && change > 0.0).then_some(Scales { mean, deviation, change })
    }

    /// Statistics of a chunk that step `t` may be in; the chunk lies anywhere around it, within `steps`.
    pub fn scales_around(&self, t: i64, steps: std::ops::Range<i64>, rng: &mut StdRng) -> Option<Scales> {
        let length = (CHUNK as i64).min(steps.end - steps.start);
        let first = (t + 1 - length).max(steps.start);
        let last = (t - 2).min(steps.end - length).max(first);
        let from = rng.random_range(first..=last);
        self.scales(from as usize, (from + length) as usize)
    }

    fn cut(&self, t: i64, z: i64, w: &Window) -> Tensor {
        cut(&self.frames, t, z, w)
    }

    /// Input planes, target, bound and mask of one sample. `decoded` are the frames that the network sees: with noise
    /// of the size of the bound where none are given.
    pub fn sample(
        &self,
        plan: &Plan,
        window: &Window,
        scales: &Scales,
        bound: f64,
        decoded: Option<&Tensor>,
    ) -> (Tensor, Tensor, f64, Option<Tensor>) {
        let (t, z) = window.at;
        let seen = |t: i64, z: i64| match decoded {
            Some(frames) => cut(frames, t, z, window),
            None => {
                let frame = self.cut(t, z, window);
                let noise = (frame.rand_like() - 0.5) * (2.0 * bound);
                frame + noise
            }
        };
        let first = seen(t - 1, z);
        let second = seen(t - 2, z);
        let difference = |x: Tensor| wide(&(x / scales.change));
        let mut planes = vec![
            wide(&((&first - scales.mean) * (POSITION / scales.deviation))),
            difference(&first - &second),
        ];
        if plan.frames == 3 {
            planes.push(difference(&second - seen((t - 3).max(0), z)));
        }
        if plan.levels == 1 {
            for side in [(z - 1).max(0), (z + 1).min(self.size[1] - 1)] {
                planes.push(difference(seen(t - 1, side) - &first));
            }
        }
        planes.push(first.full_like(step_channel(2.0 * bound / scales.change)));
        let target = (self.cut(t, z, window) - &first) / scales.change;
        let mask = self.mask.as_ref().map(|m| cut(m, t, z, window));
        (Tensor::stack(&planes, 0), target.unsqueeze(0), bound / scales.change, mask.map(|m| m.unsqueeze(0)))
    }
}

/// A window of a frame.
pub fn cut(frames: &Tensor, t: i64, z: i64, w: &Window) -> Tensor {
    frames.get(t).get(z).narrow(0, w.corner.0, w.size.0).narrow(1, w.corner.1, w.size.1)
}

/// A value of 16 bits, as the codec rounds it.
pub fn wide(x: &Tensor) -> Tensor {
    (x * WIDE).round().clamp(-32767.0, 32767.0) / WIDE
}

/// The last channel: a logarithm of the quantisation step over the typical change, in integers as the codec computes it.
pub fn step_channel(step: f64) -> f64 {
    let q = (step * WIDE).round().clamp(1.0, 32767.0) as i64;
    let n = i64::from(q.ilog2());
    (256 * n + (((q << 8) >> n) - 256) - 2560) as f64 / WIDE
}

/// Puts samples together.
pub fn batch(samples: Vec<(Tensor, Tensor, f64, Option<Tensor>)>) -> Batch {
    let input = Tensor::stack(&samples.iter().map(|s| &s.0).collect::<Vec<_>>(), 0);
    let target = Tensor::stack(&samples.iter().map(|s| &s.1).collect::<Vec<_>>(), 0);
    let bounds: Vec<f32> = samples.iter().map(|s| s.2 as f32).collect();
    let bound = Tensor::from_slice(&bounds).view([-1, 1, 1, 1]).to_device(input.device());
    let mask = samples.iter().any(|s| s.3.is_some()).then(|| {
        let masks: Vec<Tensor> = samples
            .iter()
            .map(|s| s.3.as_ref().map_or_else(|| s.1.ones_like(), Tensor::shallow_clone))
            .collect();
        Tensor::stack(&masks, 0)
    });
    Batch { input, target, bound, mask }
}

/// Missing points take the mean of their neighbours, again and again, and what is far from all values the mean of all.
fn fill(raw: &Tensor, valid: &Tensor) -> Tensor {
    let mut known = valid.to_kind(Kind::Float);
    let mean = raw.masked_select(valid).mean(Kind::Double);
    let mean = f64::try_from(mean).unwrap_or(0.0);
    let mut values = (raw - mean).where_scalarother(valid, 0.0);
    let size = raw.size();
    let flat = [size[0], size[1], size[2], size[3]];
    for _ in 0..4 {
        let blur = |x: &Tensor| x.avg_pool2d([3, 3], [1, 1], [1, 1], false, true, None).view(flat);
        let (sum, weight) = (blur(&(&values * &known)), blur(&known));
        let new = weight.gt(0.0).to_kind(Kind::Float);
        let around = &sum / weight.clamp_min(1e-6);
        values = &values * &known + (new.ones_like() - &known) * &new * around;
        known = new;
    }
    values + mean
}
