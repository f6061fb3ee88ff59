//! Integer networks from model files: known answers of each layer.

use augur_core::network::build::{GraphBuilder, ModelBuilder, Weights};
use augur_core::network::{Element, Graph, Session};
use augur_core::{ErrorKind, Model};
use serde_json::{json, Value};
use std::sync::Arc;

/// The graph after a way through a model file.
fn loaded(graph: GraphBuilder) -> Arc<Graph> {
    let bytes = ModelBuilder::new().graph("g", graph).to_bytes().expect("a model");
    let model = Model::from_bytes(&bytes).expect("a model that can be read");
    Arc::clone(model.graph("g").expect("the graph"))
}

/// Output 0 for the values of all inputs.
fn run(graph: GraphBuilder, size: [usize; 3], inputs: &[&[i16]]) -> Vec<i16> {
    let mut session = Session::with_levels(&loaded(graph), size).expect("a session");
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
const I8: (i32, i32) = (-128, 127);

/// A graph of one input and one layer of it.
fn one(channels: usize, element: Element, layer: Value) -> GraphBuilder {
    let mut g = GraphBuilder::new("g");
    g.input(channels, element);
    g.node(layer);
    g
}

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

#[test]
fn values_are_clamped_after_the_multiplier() {
    let w =
        Weights { multiplier: vec![3, 32767], shift: vec![2, 1], ..weights(&[2, 1], &[1, -2], &[0, 5], 1) };
    let mut g = GraphBuilder::new("g");
    let input = g.input(1, Element::I8);
    g.conv("dense", input, &w, (-5, 60), Element::I8, json!({}));
    // Channel 0: (3 x + 2) >> 2. Channel 1: (5 - 2 x) * 16383.5, beyond the clamp but for nothing.
    assert_eq!(run(g, [1, 1, 4], &[&[10, -7, 100, -128]]), [8, -5, 60, -5, -5, 60, -5, 60]);
}

#[test]
fn inputs_are_limited_to_their_type() {
    assert_eq!(
        run(one(1, Element::I8, json!({"op": "concat", "in": [0]})), [1, 1, 2], &[&[300, -300]]),
        [127, -128]
    );
}

#[test]
fn three_dimensional_convolutions_go_over_levels() {
    let mut g = GraphBuilder::new("g");
    let input = g.node(json!({"op": "input", "channels": 1, "type": "i16", "rank": 3}));
    let weight = [1, 0, 0, 2, 0, 0, 4, 0, 0];
    let w = weights(&[1, 1, 3, 1, 3], &weight, &[0], 1);
    g.conv("conv3d", input, &w, I16, Element::I16, json!({}));
    // Levels 2 and 4 in one column: (1 * 2 + 2 * 2 + 4 * 4) / 2, (1 * 2 + 2 * 4 + 4 * 4) / 2.
    assert_eq!(run(g, [2, 1, 1], &[&[2, 4]]), [11, 13]);
    let mut g = GraphBuilder::new("g");
    let input = g.node(json!({"op": "input", "channels": 1, "type": "i16", "rank": 3}));
    let w = weights(&[1, 1, 1, 1, 1], &[2], &[0], 1);
    g.conv("conv3d", input, &w, I16, Element::I16, json!({"stride": 2}));
    let x: Vec<i16> = (0..16).collect();
    assert_eq!(run(g, [4, 2, 2], &[&x]), [0, 8]);
}

#[test]
fn transposed_convolutions_spread_what_they_read() {
    let mut g = GraphBuilder::new("g");
    let input = g.node(json!({"op": "input", "channels": 1, "type": "i16", "down": 1}));
    let w = weights(&[1, 1, 1, 3], &[2, 4, 6], &[10], 1);
    g.conv("conv2d_transposed", input, &w, I16, Element::I16, json!({}));
    // Row 0: input p adds 2, 4 and 6 times itself to 2 p - 1, 2 p and 2 p + 1, what lies outside is left out; row 1 is the
    // bias alone.
    let expected = [(10 + 4) / 2, (10 + 6 + 20) / 2, (10 + 40) / 2, (10 + 60) / 2, 5, 5, 5, 5];
    assert_eq!(run(g, [1, 2, 4], &[&[1, 10]]), expected);
}

#[test]
fn points_become_channels_and_back() {
    let x: Vec<i16> = (0..8).map(|v| v * 10).collect();
    let apart = [0, 20, 10, 30, 40, 60, 50, 70];
    for element in [Element::I8, Element::I16] {
        let g = one(1, element, json!({"op": "space_to_depth", "in": [0]}));
        assert_eq!(run(g, [1, 2, 4], &[&x]), apart);
        let mut g = one(1, element, json!({"op": "space_to_depth", "in": [0]}));
        g.layer("depth_to_space", &[1]);
        assert_eq!(run(g, [1, 2, 4], &[&x]), x[..]);
    }
}

#[test]
fn planes_grow_and_shrink() {
    let g = one(1, Element::I8, json!({"op": "maxpool", "in": [0]}));
    assert_eq!(run(g, [1, 2, 4], &[&[1, 5, -3, -4, 2, 3, -9, -2]]), [5, -2]);
    let mut g = one(1, Element::I8, json!({"op": "maxpool", "in": [0]}));
    g.layer("upsample", &[1]);
    assert_eq!(run(g, [1, 2, 4], &[&[1, 5, -3, -4, 2, 3, -9, -2]]), [5, 5, -2, -2, 5, 5, -2, -2]);
    let mut g = GraphBuilder::new("g");
    g.node(json!({"op": "input", "channels": 1, "type": "i8", "rank": 3}));
    g.layer("maxpool", &[0]);
    g.layer("upsample", &[1]);
    assert_eq!(run(g, [2, 2, 2], &[&[1, 2, 3, 4, 5, 8, 7, 6]]), [8; 8]);
}

#[test]
fn values_are_added_and_multiplied() {
    let two = |layer: Value| {
        let mut g = GraphBuilder::new("g");
        g.input(1, Element::I16);
        g.input(1, Element::I16);
        g.node(layer);
        g
    };
    let (a, b): (&[i16], &[i16]) = (&[30000, -30000, 5, -5], &[10000, -10000, 3, 2]);
    let g = two(json!({"op": "add", "in": [0, 1]}));
    assert_eq!(run(g, [1, 1, 4], &[a, b]), [32767, -32768, 8, -3]);
    let g = two(json!({"op": "add", "in": [0, 1], "clamp": [-2, 7]}));
    assert_eq!(run(g, [1, 1, 4], &[a, b]), [7, -2, 7, -2]);
    let g = two(json!({"op": "multiply", "in": [0, 1], "shift": 2, "type": "i8"}));
    assert_eq!(run(g, [1, 1, 4], &[a, b]), [127, 127, 4, -2]);
}

#[test]
fn values_of_two_types_meet() {
    let two = |first: Element, layer: Value| {
        let mut g = GraphBuilder::new("g");
        g.input(1, first);
        g.input(1, Element::I8);
        g.node(layer);
        g
    };
    let (a, b): (&[i16], &[i16]) = (&[3000, -3000, 5, -5], &[100, -100, 3, 2]);
    let g = two(Element::I16, json!({"op": "add", "in": [0, 1], "type": "i16"}));
    assert_eq!(run(g, [1, 1, 4], &[a, b]), [3100, -3100, 8, -3]);
    let g = two(Element::I16, json!({"op": "add", "in": [1, 0], "type": "i8"}));
    assert_eq!(run(g, [1, 1, 4], &[a, b]), [127, -128, 8, -3]);
    let g = two(Element::I8, json!({"op": "add", "in": [1, 0], "type": "i16", "clamp": [-300, 220]}));
    assert_eq!(run(g, [1, 1, 4], &[a, b]), [220, -228, 8, -3]);
    let g = two(Element::I16, json!({"op": "subtract", "in": [1, 0]}));
    assert_eq!(run(g, [1, 1, 4], &[a, b]), [-128, 127, -2, 7]);
    let g = two(Element::I16, json!({"op": "subtract", "in": [0, 1], "type": "i8", "clamp": [0, 127]}));
    assert_eq!(run(g, [1, 1, 4], &[a, b]), [127, 0, 2, 0]);
    // Halves go up: 2, -7 and 2900 in units of 4.
    let g = two(Element::I16, json!({"op": "subtract", "in": [0, 1], "shift": 2}));
    assert_eq!(run(g, [1, 1, 4], &[a, b]), [725, -725, 1, -2]);
    let g = two(Element::I16, json!({"op": "multiply", "in": [1, 0], "shift": 4, "type": "i16"}));
    assert_eq!(run(g, [1, 1, 4], &[a, b]), [18750, 18750, 1, -1]);
}

#[test]
fn values_change_their_scale() {
    let x: &[i16] = &[32767, -32768, 5, -5];
    let layer = |more: Value| {
        let mut g = GraphBuilder::new("g");
        let input = g.input(1, Element::I16);
        g.with("rescale", &[input], more);
        run(g, [1, 1, 4], &[x])
    };
    assert_eq!(layer(json!({"multiplier": 1, "shift": 8, "type": "i8"})), [127, -128, 0, 0]);
    // 32767^2 in units of 2^30; 5 * 32767 / 2^17 = 1.25.
    assert_eq!(layer(json!({"multiplier": 32767, "shift": 30})), [1, -1, 0, 0]);
    assert_eq!(layer(json!({"multiplier": 32767, "shift": 17})), [8192, -8192, 1, -1]);
    assert_eq!(layer(json!({"multiplier": 3, "shift": 1, "clamp": [-7, 20000]})), [20000, -7, 8, -7]);
}

#[test]
fn some_channels_are_taken() {
    let mut g = GraphBuilder::new("g");
    let input = g.input(5, Element::I8);
    let a = g.slice(input, 4, 1);
    let b = g.slice(input, 1, 3);
    let again = g.slice(b, 1, 2);
    g.layer("concat", &[a, again]);
    assert_eq!(run(g, [1, 1, 2], &[&[0, 1, 10, 11, 20, 21, 30, 31, 40, 41]]), [40, 41, 20, 21, 30, 31]);
}

#[test]
fn tables_give_what_stands_in_them() {
    let mut g = GraphBuilder::new("g");
    g.input(1, Element::I8);
    let table: Vec<i8> = (0..256).map(|i| (i / 2) as i8).collect();
    let name = g.tensor("table", &[256], &table);
    g.node(json!({"op": "table", "in": [0], "table": name}));
    assert_eq!(run(g, [1, 1, 4], &[&[-128, -127, 0, 127]]), [0, 0, 64, 127]);
}

#[test]
fn divisive_normalisation_and_its_inverse() {
    let layer = |op: &str, multiplier: i32| {
        let mut g = GraphBuilder::new("g");
        g.input(2, Element::I8);
        let mut node = json!({
            "op": op, "in": [0], "type": "i16",
            "beta": g.tensor("beta", &[2], &[1i32, 100]),
            "gamma": g.tensor("gamma", &[2, 2], &[1i8, 1, 0, 3]),
            "multiplier": g.tensor("multiplier", &[2], &[multiplier; 2]),
        });
        if op == "igdn" {
            node["shift"] = json!(g.tensor("shift", &[2], &[10u8, 20]));
            node["clamp"] = json!([-20000, 20000]);
        }
        g.node(node);
        run(g, [1, 1, 3], &[&[30, -40, 0, 40, 30, 0]])
    };
    // Roots of 2501, 2501 and 1, and of 100 + 3 * 40^2, 100 + 3 * 30^2 and 100, times 256 and rounded down: 12802, 12802 and
    // 256; 17920, 13546 and 2560. Then x * 12800 / root: 29.995, -39.99, 0; 28.57, 28.35, 0.
    assert_eq!(layer("gdn", 12800), [30, -40, 0, 29, 28, 0]);
    // x * root * 32 / 2^10: 12001.9, -16002.5; x * root * 32 / 2^20: 21.875, 12.40.
    assert_eq!(layer("igdn", 32), [12002, -16002, 0, 22, 12, 0]);
}

#[test]
fn latents_are_multiples_of_their_step() {
    let g = one(1, Element::I8, json!({"op": "quantise", "in": [0], "step": 10}));
    assert_eq!(run(g, [1, 1, 6], &[&[4, 5, -5, -6, 127, -128]]), [0, 10, 0, -10, 120, -120]);
}

#[test]
fn graphs_say_what_they_are() {
    let mut g = GraphBuilder::new("g");
    g.key("frames", 3).key("levels", 1).key("outputs", json!([2, 1]));
    let x = g.input(2, Element::I16);
    let a = g.conv(
        "conv2d",
        x,
        &weights(&[4, 2, 3, 3], &[1; 72], &[0; 4], 1),
        I8,
        Element::I8,
        json!({"stride": 2}),
    );
    g.conv("conv2d", a, &weights(&[4, 4, 1, 1], &[1; 16], &[0; 4], 1), I8, Element::I8, json!({}));
    let graph = loaded(g);
    assert_eq!(
        (graph.integer("frames"), graph.integer("levels"), graph.integer("width")),
        (Some(3), Some(1), None)
    );
    assert_eq!((graph.inputs(), graph.outputs(), graph.multiple()), (1, 2, 2));
    assert_eq!(graph.macs_per_point(), (72.0 + 16.0) / 4.0);
    assert_eq!(graph.parameters(), 72 + 4 + 16 + 4);
    let port = graph.output(0).unwrap();
    assert_eq!((port.channels, port.element, port.down), (4, Element::I8, 1));
    assert!(graph.input(1).is_none());
    for (height, width) in [(3, 4), (4, 7), (0, 2)] {
        let error = Session::new(&graph, height, width).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    for (height, width) in [(1 << 40, 2), (usize::MAX - 1, usize::MAX - 1), (1 << 20, 1 << 12), (1 << 30, 2)]
    {
        let error = Session::new(&graph, height, width).err().unwrap();
        assert!(error.message().contains("more than"), "{error}");
    }
    let session = Session::new(&graph, 64, 64).unwrap();
    assert!(session.bytes() >= 64 * 64 * 2 * 2 && session.bytes() < 200_000, "{}", session.bytes());
}
