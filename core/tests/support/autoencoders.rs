//! Autoencoders made by hand, and fields that they know: blocks of two patterns, in amounts that no neighbour tells.

// Each test binary uses a part of it.
#![allow(clippy::unwrap_used, dead_code)]

use augur_core::network::build::{GraphBuilder, ModelBuilder, Weights};
use augur_core::network::Element;
use augur_core::Model;
use serde_json::json;
use std::sync::Arc;

/// Whether a pattern is above or below its mean at a point: one of two that have nothing in common.
fn sign(pattern: usize, point: usize) -> i8 {
    let z = (point as u64 * 2 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let first = if z & 1 == 0 { 1 } else { -1 };
    // The second differs from the first in one half of each pair of points.
    if pattern == 1 && point % 2 == 1 {
        -first
    } else {
        first
    }
}

/// An autoencoder of blocks that are sums of the two patterns: its latents are how much there is of each, 8192 for half the
/// range. `kind` and `third` are as in model files.
pub fn patterns(block: [usize; 3], kind: &str, third: Option<&str>) -> Arc<Model> {
    let points: usize = block.iter().product();
    let dense =
        |g: &mut GraphBuilder, inputs: usize, outputs: usize, weight: Vec<i8>, multiplier: i32, shift: u8| {
            let input = g.node(json!({"op": "input", "channels": inputs, "type": "i16", "size": [1, 1, 1]}));
            let w = Weights {
                shape: vec![outputs, inputs],
                weight,
                bias: vec![0; outputs],
                multiplier: vec![multiplier; outputs],
                shift: vec![shift; outputs],
            };
            g.conv("dense", input, &w, (-32768, 32767), Element::I16, json!({}));
            g.key("block", json!(block)).key("kind", kind);
            if let Some(third) = third {
                g.key("third", third);
            }
        };
    let mut encoder = GraphBuilder::new("encoder");
    let weights = (0..2).flat_map(|k| (0..points).map(move |p| sign(k, p))).collect();
    // The sum over the points is as many times too large, and half the range is 16384.
    let multiplier = (16384.0 / points as f64 * 32.0).round() as i32;
    dense(&mut encoder, points, 2, weights, multiplier, 20);
    let mut decoder = GraphBuilder::new("decoder");
    let weights = (0..points).flat_map(|p| [64 * sign(0, p), 64 * sign(1, p)]).collect();
    dense(&mut decoder, 2, points, weights, 16384, 19);
    let bytes = ModelBuilder::new().graph("encoder", encoder).graph("decoder", decoder).to_bytes().unwrap();
    Arc::new(Model::from_bytes(&bytes).unwrap())
}

/// A number from 0 to 1 for each seed.
fn unit(seed: usize) -> f64 {
    let mut z = (seed as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ z >> 31) >> 11) as f64 / (1u64 << 53) as f64
}

/// A field of which each block is a sum of the two patterns in amounts of its own, with a little noise; `place` tells of each
/// point of the field its block and the point in it.
pub fn patterned(points: usize, noise: f64, place: impl Fn(usize) -> (usize, usize)) -> Vec<f64> {
    (0..points)
        .map(|i| {
            let (block, point) = place(i);
            let amount = |k: usize| unit(block * 2 + k + 77) - 0.5;
            let v = amount(0) * f64::from(sign(0, point)) + amount(1) * f64::from(sign(1, point));
            100.0 + 10.0 * v + noise * (unit(i + (1 << 40)) - 0.5)
        })
        .collect()
}

/// Place of a point of a field (step, row, column) in its blocks.
pub fn in_boxes([_, height, width]: [usize; 3], block: [usize; 3]) -> impl Fn(usize) -> (usize, usize) {
    move |i| {
        let (t, y, x) = (i / (height * width), i / width % height, i % width);
        let [d, h, w] = block;
        let number = (t / d * 1000 + y / h) * 1000 + x / w;
        (number, (t % d * h + y % h) * w + x % w)
    }
}
