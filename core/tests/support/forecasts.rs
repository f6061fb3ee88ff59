//! A network that forecasts, made by hand, and a field that it forecasts.

// Each test binary uses a part of it.
#![allow(clippy::unwrap_used, dead_code)]

use augur_core::network::build::{GraphBuilder, ModelBuilder, Weights};
use augur_core::network::Element;
use augur_core::Model;
use serde_json::json;
use std::sync::Arc;

/// A network that forecasts a picture of uncorrelated noise which moves by (`dy`, `dx`) points a step: farther than the
/// linear predictor's patches reach. The mean change of such noise is its deviation times the root of 2.
pub fn mover(dy: i32, dx: i32, frames: usize) -> Arc<Model> {
    model("forecaster", mover_graph(dy, dx, frames))
}

/// A model of this graph alone.
fn model(name: &str, graph: GraphBuilder) -> Arc<Model> {
    let bytes = ModelBuilder::new().graph(name, graph).to_bytes().unwrap();
    Arc::new(Model::from_bytes(&bytes).unwrap())
}

/// The graph of [`mover`].
pub fn mover_graph(dy: i32, dx: i32, frames: usize) -> GraphBuilder {
    let mut g = GraphBuilder::new("forecaster");
    let side = 9;
    let channels = frames + 1;
    let mut weight = vec![0i8; channels * side * side];
    let at = |y: i32, x: i32| ((4 + y) * side as i32 + 4 + x) as usize;
    weight[at(-dy, -dx)] = 64;
    weight[at(0, 0)] = -64;
    let input = g.input(channels, Element::I16);
    // 1024 / (4096 sqrt 2) / 64
    let w = Weights {
        shape: vec![1, channels, side, side],
        weight,
        bias: vec![0],
        multiplier: vec![23170],
        shift: vec![23],
    };
    g.conv("conv2d", input, &w, (-32768, 32767), Element::I16, json!({"stride": 1}));
    g.key("frames", frames).key("levels", 0);
    g
}

/// A network that interpolates the same picture in the middle of two steps: the earlier frame moved by (`dy`, `dx`), which
/// is the mean of both less half of their difference.
pub fn bridge(dy: i32, dx: i32) -> Arc<Model> {
    let mut g = GraphBuilder::new("interpolator");
    let side = 9;
    let mut weight = vec![0i8; 5 * side * side];
    let at = |y: i32, x: i32| ((4 + y) * side as i32 + 4 + x) as usize;
    // Positions are a quarter as long as changes, and the root of 2 less: 35 is to 99 as that is to a half.
    weight[at(-dy, -dx)] = 35;
    weight[at(0, 0)] = -35;
    weight[side * side + at(-dy, -dx)] = -99;
    let input = g.input(5, Element::I16);
    let w = Weights {
        shape: vec![1, 5, side, side],
        weight,
        bias: vec![0],
        multiplier: vec![21185],
        shift: vec![22],
    };
    g.conv("conv2d", input, &w, (-32768, 32767), Element::I16, json!({"stride": 1}));
    model("interpolator", g)
}

/// A recurrent network for the same picture, of `channels` frames a step. With `changes` it gives the change, and from
/// what it remembers: its only state is the moved position that it read last, which it moves once more; half of that and
/// half of the moved new one are the forecast.
pub fn recurrent(dy: i32, dx: i32, channels: usize, changes: bool) -> Arc<Model> {
    let mut g = GraphBuilder::new("recurrent");
    let (side, planes) = (9, channels << usize::from(changes));
    let points = side * side;
    let at = |y: i32, x: i32| ((4 + y) * side as i32 + 4 + x) as usize;
    let input = g.input(planes, Element::I16);
    let state = g.input(channels, Element::I16);
    let both = g.layer("concat", &[input, state]);
    let count = planes + channels;
    let conv = |fill: &dyn Fn(usize, &mut [i8]), multiplier: i32, shift: u8| {
        let mut weight = vec![0i8; channels * count * points];
        for (c, own) in weight.chunks_exact_mut(count * points).enumerate() {
            fill(c, own);
        }
        Weights {
            shape: vec![channels, count, side, side],
            weight,
            bias: vec![0; channels],
            multiplier: vec![multiplier; channels],
            shift: vec![shift; channels],
        }
    };
    // 1024 / (4096 sqrt 2) / 64 for changes, 1 / 64 for positions.
    let (multiplier, shift) = if changes { (23170, 23) } else { (16384, 20) };
    let forecast = |c: usize, own: &mut [i8]| {
        own[c * points + at(-dy, -dx)] = 32;
        own[(planes + c) * points + at(-dy, -dx)] = 32;
        if changes {
            own[c * points + at(0, 0)] = -64;
        }
    };
    let remember = |c: usize, own: &mut [i8]| own[c * points + at(-dy, -dx)] = 64;
    let wide = (-32768, 32767);
    let out =
        g.conv("conv2d", both, &conv(&forecast, multiplier, shift), wide, Element::I16, json!({"stride": 1}));
    let next = g.conv("conv2d", both, &conv(&remember, 16384, 20), wide, Element::I16, json!({"stride": 1}));
    g.key("channels", channels).key("planes", 1 + usize::from(changes)).key("outputs", vec![out, next]);
    model("recurrent", g)
}

/// Noise that moves by (3, 4) points a step, with something of its own at each step.
pub fn moving(steps: usize, levels: usize, height: usize, width: usize) -> Vec<f32> {
    let noise = |seed: usize| {
        let mut z = (seed as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z >> 40) as f32) / (1 << 24) as f32
    };
    let mut out = vec![];
    for t in 0..steps {
        for z in 0..levels {
            for y in 0..height {
                for x in 0..width {
                    let (sy, sx) = (y + 3 * (steps - t), x + 4 * (steps - t));
                    out.push(10.0 + noise((z * 1000 + sy) * 1000 + sx) + 0.01 * noise(out.len() + (1 << 40)));
                }
            }
        }
    }
    out
}
