//! Integer networks from model files: known answers of each layer.

use augur_core::network::build::{GraphBuilder, ModelBuilder, Weights};
use augur_core::network::{Element, Graph, Session};
use augur_core::Model;
use serde_json::json;
use std::sync::Arc;

/// The graph after a way through a model file.
fn loaded(graph: GraphBuilder) -> Arc<Graph> {
    let bytes = ModelBuilder::new().graph("g", graph).to_bytes().unwrap();
    let model = Model::from_bytes(&bytes).unwrap();
    Arc::clone(model.graph("g").unwrap())
}

/// Output 0 for the values of all inputs.
fn run(graph: GraphBuilder, size: [usize; 3], inputs: &[&[i16]]) -> Vec<i16> {
    let mut session = Session::with_levels(&loaded(graph), size).unwrap();
    for (k, values) in inputs.iter().enumerate() {
        session.input_mut(k).copy_from_slice(values);
    }
    session.run(1);
    session.output(0).to_vec()
}

/// A layer that multiplies by 1 / 2^shift.
fn weights(shape: &[usize], weight: &[i8], bias: &[i32], shift: u8) -> Weights {
    let n = bias.len();
    Weights {
        shape: shape.to_vec(),
        weight: weight.to_vec(),
        bias: bias.to_vec(),
        multiplier: vec![1; n],
        shift: vec![shift; n],
    }
}

const I16: (i32, i32) = (-32768, 32767);

#[test]
fn convolutions_repeat_the_border_and_round_halves_up() {
    let w = weights(&[1, 1, 3, 3], &[0, 0, 0, 1, 2, 4, 0, 0, 8], &[1], 1);
    let conv = |stride: usize| {
        let mut g = GraphBuilder::new("g");
        let input = g.input(1, Element::I16);
        g.conv("conv2d", input, &w, I16, Element::I16, json!({ "stride": stride }));
        g
    };
    // (0, 0): 1 + 1 * 1 + 2 * 1 + 4 * 2 + 8 * 5 = 52, halved 26; (1, 2): 1 + 5 + 2 * 6 + 4 * 6 + 8 * 6 = 90.
    assert_eq!(run(conv(1), [1, 2, 3], &[&[1, 2, 3, 4, 5, 6]]), [26, 33, 35, 37, 44, 45]);
    // Centred at columns 0 and 2.
    assert_eq!(run(conv(2), [1, 2, 4], &[&[1, 2, 3, 3, 4, 5, 6, 6]]), [26, 35]);
    // Halves go up: 1 - 15 * 4 = -59, halved -29.5, -29.
    assert_eq!(run(conv(1), [1, 1, 1], &[&[-4]])[0], -29);
}
