//! A corrector made by hand, and a field whose steps no linear filter predicts: to each value comes half of how far its
//! neighbours in a row lie apart in the step before, less half of that of its neighbours in a column.

// Each test binary uses a part of it.
#![allow(clippy::unwrap_used, dead_code)]

use augur_core::lessons::{CHANNELS, GRAPH};
use augur_core::network::build::{GraphBuilder, ModelBuilder, Weights};
use augur_core::network::Element;
use augur_core::Model;
use serde_json::json;
use std::sync::Arc;

/// Channels of the first reference: the place itself, above, left, right and below.
const AROUND: [usize; 5] = [16, 17, 18, 19, 20];

/// A dense layer with these rows of weights, whose sums become values by the factor `multiplier` / 2^`shift`.
pub fn dense(
    graph: &mut GraphBuilder,
    from: usize,
    rows: &[(Vec<i8>, i32)],
    (multiplier, shift): (i32, u8),
    clamp: (i32, i32),
) -> usize {
    let weights = Weights {
        shape: vec![rows.len(), rows[0].0.len()],
        weight: rows.iter().flat_map(|r| r.0.clone()).collect(),
        bias: rows.iter().map(|r| r.1).collect(),
        multiplier: vec![multiplier; rows.len()],
        shift: vec![shift; rows.len()],
    };
    graph.conv("dense", from, &weights, clamp, Element::I16, json!({}))
}

/// The corrector's graph; with another `sign` it says the opposite.
pub fn corrector(sign: i8) -> GraphBuilder {
    let mut graph = GraphBuilder::new(GRAPH);
    let input = graph.input(CHANNELS, Element::I16);
    let difference = |a: usize, b: Option<usize>| {
        let mut row = vec![0; CHANNELS];
        row[a] = 1;
        b.into_iter().for_each(|b| row[b] = -1);
        row
    };
    let [here, above, left, right, below] = AROUND;
    let rows = [
        (difference(left, Some(right)), 0),
        (difference(right, Some(left)), 0),
        (difference(above, Some(below)), 0),
        (difference(below, Some(above)), 0),
        (difference(here, None), 8192),
    ];
    let hidden = dense(&mut graph, input, &rows, (16384, 14), (0, 32767));
    let last = [2, 2, -2, -2, 4].map(|w| sign * w).to_vec();
    dense(&mut graph, hidden, &[(last, i32::from(sign) * -32768)], (16384, 14), (-32768, 32767));
    graph
}

/// A model of this graph alone.
pub fn model(graph: GraphBuilder) -> Arc<Model> {
    with(ModelBuilder::new(), graph)
}

/// A model of the graphs of another and of this one.
pub fn with(mut others: ModelBuilder, graph: GraphBuilder) -> Arc<Model> {
    let bytes = others.graph(GRAPH, graph).to_bytes().unwrap();
    Arc::new(Model::from_bytes(&bytes).unwrap())
}

/// A number from -1 to 1 for each seed.
fn unit(seed: usize) -> f64 {
    let mut z = (seed as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ z >> 31) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// Steps of the field, each of this many rows and columns.
pub fn bent(steps: usize, height: usize, width: usize) -> Vec<f32> {
    bent_moving(steps, height, width, (0, 0))
}

/// The same, and each step is moved by so many rows and columns besides.
pub fn bent_moving(steps: usize, height: usize, width: usize, (dy, dx): (isize, isize)) -> Vec<f32> {
    let mut frame: Vec<f64> = (0..height * width).map(unit).collect();
    let mut out = vec![];
    for _ in 0..steps {
        out.extend(frame.iter().map(|v| *v as f32));
        let at = |y: isize, x: isize| {
            // Reflected at the first and last point.
            let inside = |i: isize, n: usize| {
                let n = n as isize - 1;
                (n - (n - i.abs()).abs()) as usize
            };
            frame[inside(y, height) * width + inside(x, width)]
        };
        let next = (0..height * width).map(|i| {
            let (y, x) = ((i / width) as isize - dy, (i % width) as isize - dx);
            let row = (at(y, x - 1) - at(y, x + 1)).abs();
            let column = (at(y - 1, x) - at(y + 1, x)).abs();
            at(y, x) + 0.5 * (row - column)
        });
        frame = next.collect();
    }
    out
}
