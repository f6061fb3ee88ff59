//! Graphs of blocks: known answers of each layer, what they say about themselves, and sessions that are refused.

use augur_core::network::build::{GraphBuilder, ModelBuilder, Weights};
use augur_core::network::{Element, Graph, Session};
use augur_core::{ErrorKind, Model};
use serde_json::{json, Value};
use std::sync::Arc;

const I8: (i32, i32) = (-128, 127);
const I16: (i32, i32) = (-32768, 32767);

/// The graph after a way through a model file.
fn loaded(graph: GraphBuilder) -> Arc<Graph> {
    let bytes = ModelBuilder::new().graph("g", graph).to_bytes().expect("a model");
    let model = Model::from_bytes(&bytes).expect("a model that can be read");
    Arc::clone(model.graph("g").expect("the graph"))
}

/// Output 0, computed fast and by definition, for the values of the input.
fn run(graph: GraphBuilder, lanes: usize, input: &[i16]) -> Vec<i16> {
    let graph = loaded(graph);
    let of = |session: augur_core::Result<Session>| {
        let mut session = session.expect("a session");
        session.input_mut(0).copy_from_slice(input);
        session.run(1);
        session.output(0).to_vec()
    };
    let found = of(Session::of_blocks(&graph, lanes));
    assert_eq!(found, of(Session::plain_of_blocks(&graph, lanes)));
    found
}

/// A graph of blocks with one input of one channel.
fn blocks(block: [usize; 3]) -> GraphBuilder {
    let mut g = GraphBuilder::new("g");
    g.block(block);
    g.input(1, Element::I16);
    g
}

/// Weights of one output that halves the sums.
fn halves(shape: &[usize], weight: &[i8], bias: i32) -> Weights {
    Weights {
        shape: shape.to_vec(),
        weight: weight.to_vec(),
        bias: vec![bias],
        multiplier: vec![1],
        shift: vec![1],
    }
}

fn conv(g: &mut GraphBuilder, op: &str, weights: &Weights, more: Value) {
    g.conv(op, 0, weights, I16, Element::I16, more);
}

#[test]
fn outside_of_blocks_there_is_nothing() {
    let w = halves(&[1, 1, 3, 3], &[0, 0, 0, 1, 2, 4, 0, 0, 8], 1);
    let of = |stride: usize, size: [usize; 3]| {
        let mut g = blocks(size);
        conv(&mut g, "conv2d", &w, json!({ "stride": stride }));
        g
    };
    // Two blocks, of 1, 2, 3 above 4, 5, 6 and of tens of these.
    let x: Vec<i16> = (1..7).flat_map(|v| [v, 10 * v]).collect();
    // (0, 0): 1 + 2 * 1 + 4 * 2 + 8 * 5 = 51, halved 26; (1, 2): 1 + 5 + 2 * 6 = 18.
    let expected = [26, 251, 33, 326, 5, 41, 15, 141, 20, 191, 9, 86];
    assert_eq!(run(of(1, [1, 2, 3]), 2, &x), expected);
    // Centred at columns 0 and 2 of row 0.
    let x = [1, 2, 3, 3, 4, 5, 6, 6];
    assert_eq!(run(of(2, [1, 2, 4]), 1, &x), [26, 35]);
}

#[test]
fn three_dimensional_convolutions_go_over_levels() {
    let mut g = blocks([2, 1, 1]);
    conv(&mut g, "conv3d", &halves(&[1, 1, 3, 1, 3], &[1, 3, 0, 0, 2, 0, 9, 4, 9], 0), json!({}));
    // (2 * 2 + 4 * 4) / 2, (3 * 2 + 2 * 4) / 2.
    assert_eq!(run(g, 1, &[2, 4]), [10, 7]);
    let mut g = blocks([4, 2, 2]);
    conv(&mut g, "conv3d", &halves(&[1, 1, 1, 1, 1], &[2], 0), json!({"stride": 2}));
    assert_eq!(run(g, 1, &(0..16).collect::<Vec<i16>>()), [0, 8]);
}

#[test]
fn transposed_convolutions_spread_what_they_read() {
    let mut g = blocks([1, 1, 2]);
    conv(&mut g, "conv2d_transposed", &halves(&[1, 1, 1, 3], &[2, 4, 6], 10), json!({}));
    let expected = [(10 + 4) / 2, (10 + 6 + 20) / 2, (10 + 40) / 2, (10 + 60) / 2, 5, 5, 5, 5];
    assert_eq!(run(g, 1, &[1, 10]), expected);
    // One point adds its value times the weights to those around the first of two in each direction.
    let mut g = GraphBuilder::new("g");
    g.block([2, 2, 2]);
    g.input_of(1, Element::I16, [1, 1, 1]);
    let weights: Vec<i8> = (0..27).map(|k| 2 * k).collect();
    conv(&mut g, "conv3d_transposed", &halves(&[1, 1, 3, 3, 3], &weights, 0), json!({}));
    assert_eq!(run(g, 1, &[5]), [13, 14, 16, 17, 22, 23, 25, 26].map(|w| 5 * w));
}

#[test]
fn points_become_channels_and_back() {
    for (channels, element) in [(1, Element::I16), (2, Element::I16), (4, Element::I8), (3, Element::I8)] {
        let n = channels * 12;
        let mut g = GraphBuilder::new("g");
        g.block([1, 2, 3]);
        g.input(channels, element);
        g.layer("flatten", &[0]);
        g.key("outputs", json!([1]));
        let x: Vec<i16> = (0..n as i16).collect();
        let found = run(g.clone(), 2, &x);
        for (at, v) in found.iter().enumerate() {
            let (lane, c, p) = (at % 2, at / 2 % channels, at / 2 / channels);
            assert_eq!(usize::try_from(*v), Ok((c * 6 + p) * 2 + lane));
        }
        g.unflatten(1, [1, 2, 3]);
        g.key("outputs", json!([2]));
        assert_eq!(run(g, 2, &x), x);
    }
}

#[test]
fn graphs_of_blocks_say_what_they_are() {
    let mut g = blocks([4, 4, 4]);
    g.key("kind", "swae");
    let w = |shape: &[usize]| Weights {
        shape: shape.to_vec(),
        weight: vec![1; shape.iter().product()],
        bias: vec![0; shape[0]],
        multiplier: vec![1; shape[0]],
        shift: vec![1; shape[0]],
    };
    let a = g.conv("conv3d", 0, &w(&[4, 1, 3, 3, 3]), I8, Element::I8, json!({"stride": 2}));
    let flat = g.layer("flatten", &[a]);
    let latents = g.conv("dense", flat, &w(&[6, 32]), I16, Element::I16, json!({}));
    let back = g.conv("dense", latents, &w(&[8, 6]), I8, Element::I8, json!({}));
    let up = g.unflatten(back, [1, 2, 2]);
    g.conv("conv3d_transposed", up, &w(&[1, 2, 3, 1, 3]), I16, Element::I16, json!({}));
    g.key("outputs", json!([latents, 6]));
    let graph = loaded(g);
    assert_eq!(graph.block(), Some([4, 4, 4]));
    assert_eq!(graph.extra()["kind"], "swae");
    assert!(!graph.extra().contains_key("block"));
    assert_eq!(graph.input(0).unwrap().points, Some([4, 4, 4]));
    let port = graph.output(0).unwrap();
    assert_eq!((port.channels, port.points), (6, Some([1, 1, 1])));
    let port = graph.output(1).unwrap();
    assert_eq!((port.channels, port.points), (1, Some([2, 4, 4])));
    // Outputs around points 0 and 2 of four meet 2 and 3 inputs; transposed, the first of a pair meets one and the second
    // two, of which the last lies outside.
    let macs = 4 * 5 * 5 * 5 + 6 * 32 + 8 * 6 + 2 * 2 * 2 * 5;
    assert_eq!(graph.macs_per_point(), f64::from(macs) / 64.0);
    assert_eq!(graph.parameters(), 4 * 28 + 33 * 6 + 7 * 8 + 19);
}

#[test]
fn sessions_that_do_not_fit_are_refused() {
    let mut g = blocks([1, 2, 2]);
    g.layer("flatten", &[0]);
    let graph = loaded(g);
    let refused = |session: augur_core::Result<Session>| {
        let error = session.err().expect("a session that must be refused");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        error.message().to_owned()
    };
    assert!(refused(Session::new(&graph, 2, 2)).contains("for blocks of [1, 2, 2] points, not for planes"));
    assert!(refused(Session::with_levels(&graph, [1, 2, 2])).contains("not for planes"));
    assert!(refused(Session::plain(&graph, [1, 2, 2])).contains("not for planes"));
    refused(Session::of_blocks(&graph, 0));
    for lanes in [1 << 30, 1 << 40, usize::MAX] {
        assert!(refused(Session::of_blocks(&graph, lanes)).contains("more than"));
        assert!(refused(Session::plain_of_blocks(&graph, lanes)).contains("more than"));
    }
    let mut g = GraphBuilder::new("g");
    g.input(1, Element::I16);
    assert!(refused(Session::of_blocks(&loaded(g), 4)).contains("for planes, not for blocks"));
}
