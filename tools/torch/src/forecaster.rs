//! The forecaster's architecture: a small U-shaped network at half resolution beside a linear one.
//!
//! After Ronneberger et al. 2015 (U-Net), with the input's 2 x 2 blocks as channels (pixel unshuffle, Shi et al. 2016), which
//! makes a layer four times cheaper; the linear branch can extrapolate at 16 bits.

use crate::graph::{Builder, Graph};
use crate::interpolator;
use crate::net::Net;
use serde::{Deserialize, Serialize};
use tch::{no_grad, Device};

/// Share of the last change that is added at first.
const EXTRAPOLATION: f64 = 0.7;

/// What a forecaster is built of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Channels of the first layers.
    pub width: i64,
    /// Decoded frames read: 2 or 3.
    pub frames: i64,
    /// Whether neighbours in z are read: 0 or 1.
    pub levels: i64,
    /// Layers at half resolution before going down.
    pub depth: i64,
    /// Layers at quarter resolution.
    pub deep: i64,
    /// Layers at an eighth of the resolution.
    pub third: i64,
    /// Whether the first layers work at full resolution.
    pub fine: bool,
}

/// The sizes that users choose from.
pub const SIZES: [(&str, Plan); 3] = [
    ("small", Plan { width: 4, frames: 2, levels: 0, depth: 1, deep: 2, third: 1, fine: true }),
    ("medium", Plan { width: 8, frames: 2, levels: 0, depth: 2, deep: 2, third: 2, fine: true }),
    ("large", Plan { width: 16, frames: 2, levels: 0, depth: 2, deep: 2, third: 2, fine: true }),
];

/// Planes are padded to multiples of this.
pub const MULTIPLE: i64 = 8;

impl Plan {
    /// Channels of the input.
    pub fn channels(&self) -> i64 {
        self.frames + 2 * self.levels + 1
    }

    /// A network with random weights that starts as a damped extrapolation.
    pub fn net(&self, device: Device) -> Net {
        let net = Net::new(self.graph(), device);
        // The last layer is the linear one; channels 4 to 7 of what it reads are the last change.
        if let Some(linear) = net.layers.iter().flatten().last() {
            no_grad(|| {
                let n = if self.fine { 1 } else { 4 };
                for o in 0..n {
                    let _ = linear.weight.get(o).get(n + o).get(1).get(1).fill_(EXTRAPOLATION);
                }
            });
        }
        net
    }

    /// An interpolator with random weights that starts as the mean of the two frames.
    pub fn interpolator(&self, device: Device) -> Net {
        Net::new(self.graph_for(interpolator::CHANNELS), device)
    }

    /// The graph.
    pub fn graph(&self) -> Graph {
        self.graph_for(self.channels())
    }

    /// The graph with so many input channels.
    pub fn graph_for(&self, channels: i64) -> Graph {
        let c = self.width;
        let mut net = Builder::new(channels);
        let x = if self.fine { 0 } else { net.space_to_depth(0) };
        let o = if self.fine { 1 } else { 4 };
        let mut a = x;
        for _ in 0..self.depth {
            a = net.hidden(a, c, 3, 1);
        }
        let mut d = a;
        if self.deep > 0 {
            let mut b = net.hidden(a, 2 * c, 3, 2);
            for _ in 1..self.deep {
                b = net.hidden(b, 2 * c, 3, 1);
            }
            if self.third > 0 {
                let mut e = net.hidden(b, 2 * c, 3, 2);
                for _ in 1..self.third {
                    e = net.hidden(e, 2 * c, 3, 1);
                }
                let up = net.upsample(e);
                let both = net.concat(&[up, b]);
                b = net.hidden(both, 2 * c, 3, 1);
            }
            let up = net.upsample(b);
            let both = net.concat(&[up, a]);
            d = net.hidden(both, c, 3, 1);
        }
        let curved = net.linear(d, o, 3);
        let linear = net.linear(x, o, 3);
        let sum = net.add(curved, linear);
        if !self.fine {
            net.depth_to_space(sum);
        }
        net.finish()
    }
}
