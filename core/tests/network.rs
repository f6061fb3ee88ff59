//! Integer networks from model files: known answers of each layer, and files that are refused.

use augur_core::network::build::{GraphBuilder, ModelBuilder, Weights};
use augur_core::network::{Element, Graph, Session};
use augur_core::{ErrorKind, Model};
use serde_json::{json, Value};
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

/// What is said of a model whose node 1 is `node`, after an input of 2 channels of `element`.
fn refusal(element: &str, node: Value, tensors: impl Fn(&mut GraphBuilder)) -> (ErrorKind, String) {
    let mut g = GraphBuilder::new("g");
    g.node(json!({"op": "input", "channels": 2, "type": element}));
    tensors(&mut g);
    g.node(node);
    let bytes = ModelBuilder::new().graph("g", g).to_bytes().unwrap();
    let error = Model::from_bytes(&bytes).expect_err("a model that must be refused");
    (error.kind(), error.message().to_owned())
}

/// A convolution with some of its keys replaced (`null`: left out).
fn conv(replaced: Value) -> Value {
    let mut node = json!({
        "op": "conv2d", "in": [0], "type": "i8", "clamp": [0, 127],
        "weight": "g.w", "bias": "g.b", "multiplier": "g.m", "shift": "g.s",
    });
    for (key, value) in replaced.as_object().unwrap() {
        match value {
            Value::Null => drop(node.as_object_mut().unwrap().remove(key)),
            value => node[key] = value.clone(),
        }
    }
    node
}

fn tensors(g: &mut GraphBuilder) {
    g.tensor("w", &[1, 2, 3, 3], &[100i8; 18]);
    g.tensor("b", &[1], &[1i32]);
    g.tensor("m", &[1], &[20000i32]);
    g.tensor("s", &[1], &[20u8]);
    // Others that are wrong in some way.
    g.tensor("w.even", &[1, 2, 2, 3], &[1i8; 12]);
    g.tensor("w.long", &[1, 2, 1, 17], &[1i8; 34]);
    g.tensor("w.three", &[1, 3, 1, 1], &[1i8; 3]);
    g.tensor("w.float", &[1, 2, 1, 1], &[f32::NAN; 2]);
    g.tensor("w.flat", &[2], &[1i8; 2]);
    g.tensor("w.none", &[0, 2, 1, 1], &[0i8; 0]);
    g.tensor("b.two", &[2], &[1i32; 2]);
    g.tensor("b.large", &[1], &[i32::MIN]);
    g.tensor("m.float", &[1], &[f32::NAN]);
    g.tensor("m.zero", &[1], &[0i32]);
    g.tensor("m.large", &[1], &[32768i32]);
    g.tensor("s.zero", &[1], &[0u8]);
    g.tensor("s.large", &[1], &[47u8]);
}

#[test]
fn wrong_layers_are_refused_with_the_reason() {
    let cases = [
        (json!({"weight": null}), "it has no \"weight\""),
        (json!({"weight": "g.x"}), "the tensor \"g.x\" is missing"),
        (json!({"weight": "g.w.float"}), "the tensor \"g.w.float\" is of type F32, I8 expected"),
        (json!({"weight": "g.w.even"}), "odd sides"),
        (json!({"weight": "g.w.long"}), "odd sides of 1 to 15 expected"),
        (json!({"weight": "g.w.three"}), "its weights are for 3 input channels and its input has 2"),
        (json!({"weight": "g.w.flat"}), "4 axes expected"),
        (json!({"weight": "g.w.none"}), "[0] expected"),
        (json!({"weight": 3}), "its \"weight\" is 3, a text expected"),
        (json!({"bias": "g.b.two"}), "the tensor \"g.b.two\" has the shape [2], [1] expected"),
        (json!({"bias": "g.b.large"}), "an accumulator could overflow"),
        (json!({"multiplier": "g.m.float"}), "is of type F32, I32 expected"),
        (json!({"multiplier": "g.m.zero"}), "has the value 0, 1 to 32767 expected"),
        (json!({"multiplier": "g.m.large"}), "has the value 32768, 1 to 32767 expected"),
        (json!({"shift": "g.s.zero"}), "has the value 0, 1 to 46 expected"),
        (json!({"shift": "g.s.large"}), "has the value 47, 1 to 46 expected"),
        (json!({"clamp": [5, 4]}), "two rising numbers"),
        (json!({"clamp": [0, 128]}), "two rising numbers in -128 to 127"),
        (json!({"clamp": [0]}), "a list of two numbers"),
        (json!({"type": "f32"}), "\"i8\" or \"i16\" expected"),
        (json!({"type": null}), "it has no \"type\""),
        (json!({"stride": 3}), "its \"stride\" is 3, 1 to 2 expected"),
        (json!({"in": [1]}), "it reads node 1, one of the 1 before it expected"),
        (json!({"in": [-1]}), "it reads node -1"),
        (json!({"in": [0, 0]}), "it has 2 inputs, 1 expected"),
        (json!({"in": []}), "a list of nodes"),
        (json!({"op": "conv3d"}), "5 axes expected"),
        (json!({"op": "conv2d_transposed"}), "more points than the full lattice"),
        (json!({"op": "gdn", "gamma": "g.x"}), "the tensor \"g.x\" is missing"),
    ];
    for (replaced, expected) in cases {
        let (kind, message) = refusal("i8", conv(replaced.clone()), tensors);
        assert!(message.contains(expected), "{replaced}: {message}");
        assert!(message.contains("the model's graph \"g\": node 1 ("), "{message}");
        assert_eq!(kind, ErrorKind::InvalidArgument);
    }
    // Nothing of the above was refused for another reason.
    let mut g = GraphBuilder::new("g");
    g.input(2, Element::I8);
    tensors(&mut g);
    g.node(conv(json!({"note": "fine"})));
    loaded(g);
    for node in [conv(json!({"dilation": 2})), json!({"op": "attention", "in": [0]})] {
        let (kind, message) = refusal("i8", node, tensors);
        assert!(message.contains("needs a newer one"), "{message}");
        assert_eq!(kind, ErrorKind::Compatibility);
    }
}

#[test]
fn other_wrong_layers_are_refused_too() {
    let cases = [
        ("i8", json!({"op": "upsample", "in": [0]}), "more points than the full lattice"),
        ("i8", json!({"op": "depth_to_space", "in": [0]}), "a multiple of 4 expected"),
        ("i16", json!({"op": "table", "in": [0], "table": "g.t"}), "is of type i16, i8 expected"),
        ("i8", json!({"op": "table", "in": [0], "table": "g.b"}), "is of type I32, I8 expected"),
        ("i8", json!({"op": "quantise", "in": [0], "step": 0}), "its \"step\" is 0, 1 to 32767 expected"),
        ("i8", json!({"op": "multiply", "in": [0, 0], "shift": 31}), "its \"shift\" is 31, 1 to 30 expected"),
        ("i8", json!({"op": "add", "in": [0]}), "it has 1 inputs, 2 expected"),
        ("i8", json!({"op": "add", "in": [0, 0], "type": "i16"}), "not of one type"),
        ("i8", json!({"op": "input", "channels": 0, "type": "i8"}), "1 to 1024 expected"),
        ("i8", json!({"op": "input", "channels": 4.5, "type": "i8"}), "1 to 1024 expected"),
        ("i8", json!({"op": "concat", "in": vec![0; 256], "x": 1}), "does not know its key \"x\""),
        ("i8", json!({"op": "concat", "in": vec![0; 257]}), "a list of nodes expected"),
        ("i8", json!(7), "it is no JSON object"),
        ("i8", json!({"in": [0]}), "it has no \"op\""),
        (
            "i16",
            json!({"op": "gdn", "in": [0], "type": "i8", "gamma": "g.gamma", "beta": "g.b", "multiplier": "g.b"}),
            "an accumulator could overflow",
        ),
        (
            "i8",
            json!({"op": "gdn", "in": [0], "type": "i8", "gamma": "g.minus", "beta": "g.b", "multiplier": "g.b"}),
            "has a negative value",
        ),
    ];
    let tensors = |g: &mut GraphBuilder| {
        g.tensor("t", &[256], &[1i8; 256]);
        g.tensor("b", &[2], &[1i32; 2]);
        g.tensor("gamma", &[2, 2], &[127i8; 4]);
        g.tensor("minus", &[2, 2], &[-1i8; 4]);
    };
    for (element, node, expected) in cases {
        let (_, message) = refusal(element, node.clone(), tensors);
        assert!(message.contains(expected), "{node}: {message}");
    }
}

#[test]
fn graphs_that_take_too_much_are_refused() {
    let refused = |g: GraphBuilder| {
        let bytes = ModelBuilder::new().graph("g", g).to_bytes().unwrap();
        Model::from_bytes(&bytes).expect_err("a graph that must be refused").message().to_owned()
    };
    let with = |nodes: usize, node: Value| {
        let mut g = GraphBuilder::new("g");
        g.input(1024, Element::I8);
        g.tensor("w", &[1024, 1024, 1, 1], &vec![1i8; 1 << 20]);
        g.tensor("b", &[1024], &[0i32; 1024]);
        g.tensor("m", &[1024], &[1i32; 1024]);
        g.tensor("s", &[1024], &[1u8; 1024]);
        (0..nodes).for_each(|_| assert!(g.node(node.clone()) > 0));
        g
    };
    assert!(refused(with(256, json!({"op": "concat", "in": [0]}))).contains("257 nodes, 1 to 256 expected"));
    // One tensor, used again and again.
    assert!(refused(with(70, conv(json!({})))).contains("the weights have more than"));
    assert!(refused(with(2, conv(json!({})))).contains("multiply-adds per point"));
    assert!(refused(with(1, json!({"op": "concat", "in": [0, 0]}))).contains("it has 2048 channels"));
    assert!(refused(with(1, json!({"op": "space_to_depth", "in": [0]}))).contains("it has 4096 channels"));
    let mut g = GraphBuilder::new("g");
    g.input(1, Element::I8);
    (0..7).for_each(|k| assert_eq!(g.layer("maxpool", &[k]), k + 1));
    assert!(refused(g).contains("coarser than one point for 64"));
    let mut g = GraphBuilder::new("g");
    g.tensor("t", &[256], &[1i8; 256]);
    assert!(refused(g).contains("it has 0 nodes"));
}

#[test]
fn outputs_are_nodes_and_none_twice() {
    for outputs in [json!([0, 0]), json!([1]), json!([]), json!([-1]), json!("0"), json!([0.5])] {
        let mut g = GraphBuilder::new("g");
        g.input(1, Element::I8);
        g.key("outputs", outputs.clone());
        let bytes = ModelBuilder::new().graph("g", g).to_bytes().unwrap();
        let error = Model::from_bytes(&bytes).expect_err("outputs that must be refused");
        let expected = if outputs == json!([0, 0]) { "stands twice" } else { "its outputs are" };
        assert!(error.message().contains(expected), "{outputs}: {error}");
    }
}

#[test]
fn files_that_are_no_models_are_refused() {
    let mut g = GraphBuilder::new("g");
    g.input(1, Element::I8);
    let mut builder = ModelBuilder::new();
    let good = builder.metadata("name", "example").graph("g", g).to_bytes().unwrap();
    let model = Model::from_bytes(&good).unwrap();
    assert_eq!(model.metadata()["name"], "example");
    assert_eq!(good, builder.to_bytes().unwrap());
    for n in 0..good.len() {
        assert!(Model::from_bytes(&good[..n]).is_err(), "{n} bytes");
    }
    let changed = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let mut bytes = good.clone();
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        let error = Model::from_bytes(&bytes).unwrap_err();
        (error.kind(), error.message().to_owned())
    };
    assert!(changed("augur-model", "other-model").1.contains("is no Augur model"));
    assert_eq!(changed("\"version\":\"1\"", "\"version\":\"2\"").0, ErrorKind::Compatibility);
    assert!(changed("\"graphs\"", "\"grafts\"").1.contains("no graphs"));
    assert!(changed("nodes", "knots").1.contains("no list of nodes"));
    let mut long = (u64::MAX / 2).to_le_bytes().to_vec();
    long.extend(&good[8..]);
    assert!(Model::from_bytes(&long).unwrap_err().message().contains("header has"));
}
