//! Model files that are refused, with the reason.

use augur_core::network::build::{GraphBuilder, ModelBuilder};
use augur_core::network::Element;
use augur_core::{ErrorKind, Model};
use serde_json::{json, Value};

/// What is said of a model whose node 1 is `node`, after an input of 2 channels of `element`.
fn refusal(element: &str, node: Value, tensors: impl Fn(&mut GraphBuilder)) -> (ErrorKind, String) {
    let mut g = GraphBuilder::new("g");
    g.node(json!({"op": "input", "channels": 2, "type": element}));
    tensors(&mut g);
    g.node(node);
    let bytes = ModelBuilder::new().graph("g", g).to_bytes().expect("a file");
    let error = Model::from_bytes(&bytes).expect_err("a model that must be refused");
    (error.kind(), error.message().to_owned())
}

/// A convolution with some of its keys replaced (`null`: left out).
fn conv(replaced: Value) -> Value {
    let mut node = json!({
        "op": "conv2d", "in": [0], "type": "i8", "clamp": [0, 127],
        "weight": "g.w", "bias": "g.b", "multiplier": "g.m", "shift": "g.s",
    });
    for (key, value) in replaced.as_object().into_iter().flatten() {
        match value {
            Value::Null => _ = node.as_object_mut().map(|n| n.remove(key)),
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
        (json!({"weight": "g.w.none"}), "it has 0 channels, 1 to 1024 expected"),
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
    Model::from_bytes(&ModelBuilder::new().graph("g", g).to_bytes().unwrap()).unwrap();
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
        ("i8", json!({"op": "add", "in": [0, 0], "type": "u8"}), "\"i8\" or \"i16\" expected"),
        ("i8", json!({"op": "add", "in": [0, 1]}), "it reads node 1, one of the 1 before it expected"),
        ("i8", json!({"op": "add", "in": [0, 0], "clamp": [0, 128]}), "two rising numbers in -128 to 127"),
        ("i8", json!({"op": "subtract", "in": [0]}), "it has 1 inputs, 2 expected"),
        ("i8", json!({"op": "subtract", "in": [0, 0], "shift": 16}), "its \"shift\" is 16, 0 to 15 expected"),
        ("i8", json!({"op": "subtract", "in": [0, 0], "shift": -1}), "its \"shift\" is -1, 0 to 15 expected"),
        ("i8", json!({"op": "subtract", "in": [0, 0], "step": 1}), "does not know its key \"step\""),
        ("i8", json!({"op": "rescale", "in": [0], "shift": 3}), "it has no \"multiplier\""),
        ("i8", json!({"op": "rescale", "in": [0], "multiplier": 3}), "it has no \"shift\""),
        ("i8", json!({"op": "rescale", "in": [0], "multiplier": 0, "shift": 3}), "1 to 32767 expected"),
        ("i8", json!({"op": "rescale", "in": [0], "multiplier": 32768, "shift": 3}), "1 to 32767 expected"),
        ("i8", json!({"op": "rescale", "in": [0], "multiplier": 1, "shift": 0}), "1 to 46 expected"),
        ("i8", json!({"op": "rescale", "in": [0], "multiplier": 1, "shift": 47}), "1 to 46 expected"),
        ("i8", json!({"op": "rescale", "in": [0], "multiplier": "m", "shift": 1}), "1 to 32767 expected"),
        ("i8", json!({"op": "rescale", "in": [0, 0], "multiplier": 1, "shift": 1}), "1 expected"),
        ("i8", json!({"op": "slice", "in": [0], "channels": 1}), "it has no \"from\""),
        ("i8", json!({"op": "slice", "in": [0], "from": 0}), "it has no \"channels\""),
        ("i8", json!({"op": "slice", "in": [0], "from": 0, "channels": 0}), "1 to 1024 expected"),
        ("i8", json!({"op": "slice", "in": [0], "from": -1, "channels": 1}), "0 to 1024 expected"),
        (
            "i8",
            json!({"op": "slice", "in": [0], "from": 1, "channels": 2}),
            "channels 1 to 2, and its input has 2",
        ),
        (
            "i8",
            json!({"op": "slice", "in": [0], "from": 2, "channels": 1}),
            "channels 2 to 2, and its input has 2",
        ),
        (
            "i8",
            json!({"op": "slice", "in": [0], "from": u64::MAX, "channels": u64::MAX}),
            "0 to 1024 expected",
        ),
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
fn pairs_that_do_not_fit_are_refused() {
    let refused = |layer: Value, second: Value| {
        let mut g = GraphBuilder::new("g");
        g.input(2, Element::I16);
        g.node(second);
        g.node(layer);
        let bytes = ModelBuilder::new().graph("g", g).to_bytes().unwrap();
        Model::from_bytes(&bytes).expect_err("a layer that must be refused").message().to_owned()
    };
    let input = |channels: usize, element: &str, down: u8| json!({"op": "input", "channels": channels, "type": element, "down": down});
    for op in ["add", "subtract", "multiply"] {
        let layer = json!({"op": op, "in": [0, 1], "type": "i16", "shift": 1});
        assert!(refused(layer.clone(), input(3, "i16", 0)).contains("have 2 and 3 channels"));
        assert!(refused(layer, input(2, "i16", 1)).contains("not of one size"));
    }
    // What the sum of two types is has to be said.
    assert!(refused(json!({"op": "add", "in": [0, 1]}), input(2, "i8", 0)).contains("it has no \"type\""));
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

#[test]
fn wrong_graphs_of_blocks_are_refused() {
    let refused = |block: Value, nodes: &[Value]| {
        let mut g = GraphBuilder::new("g");
        g.key("block", block);
        tensors(&mut g);
        g.tensor("w.deep", &[1, 2, 3, 3, 3], &[1i8; 54]);
        g.tensor("w.dense", &[1, 2], &[1i8; 2]);
        nodes.iter().for_each(|node| _ = g.node(node.clone()));
        let bytes = ModelBuilder::new().graph("g", g).to_bytes().unwrap();
        let error = Model::from_bytes(&bytes).expect_err("a graph that must be refused");
        (error.kind(), error.message().to_owned())
    };
    let input = json!({"op": "input", "channels": 2, "type": "i8"});
    for block in [
        json!([8, 8]),
        json!([0, 8, 8]),
        json!([1, 256, 257]),
        json!([u64::MAX, u64::MAX, 1]),
        json!([8, 8, 8.5]),
        json!(512),
        json!(null),
    ] {
        let (kind, message) = refused(block.clone(), std::slice::from_ref(&input));
        assert!(message.contains("its \"block\" is"), "{block}: {message}");
        assert!(message.contains("at most 65536 points"), "{message}");
        assert_eq!(kind, ErrorKind::InvalidArgument);
    }
    let layer = |op: &str| json!({"op": op, "in": [0]});
    let deep = |more: Value| {
        let mut node = conv(more);
        if node["op"] == "conv2d" {
            node["op"] = json!("conv3d");
        }
        node["weight"] = json!("g.w.deep");
        node
    };
    let sized = |channels: usize, size: Value| json!({"op": "input", "channels": channels, "type": "i8", "size": size});
    let with = |op: &str, more: Value| {
        let mut node = layer(op);
        node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        node
    };
    let cases = [
        ([1, 4, 4], input.clone(), layer("upsample"), "cannot have this layer"),
        ([1, 4, 4], input.clone(), layer("maxpool"), "cannot have this layer"),
        ([1, 4, 4], input.clone(), layer("space_to_depth"), "cannot have this layer"),
        ([1, 4, 4], input.clone(), layer("depth_to_space"), "cannot have this layer"),
        ([2, 4, 4], input.clone(), conv(json!({})), "its input has 2 levels, 1 expected"),
        ([1, 4, 4], input.clone(), deep(json!({})), "has no levels"),
        ([1, 4, 5], input.clone(), conv(json!({"stride": 2})), "[1, 4, 5] points, which cannot be halved"),
        ([3, 4, 4], input.clone(), deep(json!({"stride": 2})), "[3, 4, 4] points, which cannot be halved"),
        (
            [1, 256, 128],
            input.clone(),
            conv(json!({"op": "conv2d_transposed"})),
            "131072 points, at most 65536",
        ),
        (
            [64, 64, 8],
            input.clone(),
            deep(json!({"op": "conv3d_transposed"})),
            "262144 points, at most 65536",
        ),
        (
            [1, 4, 4],
            input.clone(),
            conv(json!({"op": "dense", "weight": "g.w.dense", "stride": 1})),
            "\"stride\"",
        ),
        ([1, 4, 4], sized(2, json!([1, 0, 4])), layer("flatten"), "its \"size\" is [1,0,4]"),
        ([1, 4, 4], sized(2, json!([1, 4])), layer("flatten"), "numbers of levels, rows and columns"),
        ([1, 4, 4], sized(16385, json!([1, 1, 1])), layer("flatten"), "1 to 16384 expected"),
        ([1, 256, 256], input.clone(), layer("flatten"), "it has 131072 channels, 1 to 16384 expected"),
        ([1, 4, 4], input.clone(), layer("unflatten"), "its input has [1, 4, 4] points, one expected"),
        ([1, 4, 4], sized(6, json!([1, 1, 1])), layer("unflatten"), "it has no \"size\""),
        (
            [1, 4, 4],
            sized(6, json!([1, 1, 1])),
            with("unflatten", json!({"size": [1, 2, 2]})),
            "has 6 channels, a multiple of 4 expected",
        ),
        (
            [1, 4, 4],
            sized(6, json!([1, 1, 1])),
            with("unflatten", json!({"size": [u64::MAX, 2, 2]})),
            "at most 65536 points",
        ),
    ];
    for (block, first, second, expected) in cases {
        let (kind, message) = refused(json!(block), &[first, second.clone()]);
        assert!(message.contains(expected), "{second}: {message}");
        assert_ne!(kind, ErrorKind::Corruption);
    }
    // Of other points.
    let nodes = [input.clone(), sized(2, json!([1, 2, 2])), json!({"op": "add", "in": [0, 1]})];
    assert!(refused(json!([1, 4, 4]), &nodes).1.contains("not of one size"));
    // What planes have, and what they have not.
    let down = json!({"op": "input", "channels": 2, "type": "i8", "down": 1});
    assert!(refused(json!([1, 4, 4]), &[down]).1.contains("does not know its key \"down\""));
    for op in ["flatten", "unflatten"] {
        let (_, message) = refusal("i8", with(op, json!({})), tensors);
        assert!(message.contains("only a graph of blocks can have this layer"), "{message}");
    }
    let (_, message) =
        refusal("i8", json!({"op": "input", "channels": 1, "type": "i8", "size": [1, 1, 1]}), tensors);
    assert!(message.contains("does not know its key \"size\""), "{message}");
}
