//! Networks that give the same bits for ever: model files in `golden/networks` with the digests of what they compute. The
//! second evaluator (`tests/format/network.py`) is held against the same files.
//!
//! `AUGUR_NETWORKS=write` writes them anew; that is right only before a model of such layers was ever given away.

use augur_core::network::build::{GraphBuilder, ModelBuilder, Weights};
use augur_core::network::{Element, Graph, Session};
use augur_core::{Digest, Model};
use serde_json::{json, Value};
use std::path::{Path, PathBuf};

struct Random(u64);

impl Random {
    fn next(&mut self) -> i32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as i32
    }

    fn weights(&mut self, shape: &[usize], shift: u8) -> Weights {
        let n = shape.iter().product();
        Weights {
            shape: shape.to_vec(),
            weight: (0..n).map(|_| self.next() as i8).collect(),
            bias: (0..shape[0]).map(|_| self.next() % 8192 - 4096).collect(),
            multiplier: (0..shape[0]).map(|_| 16384 + self.next() % 16384).collect(),
            shift: vec![shift; shape[0]],
        }
    }
}

const RELU: (i32, i32) = (0, 127);
const I8: (i32, i32) = (-128, 127);
const I16: (i32, i32) = (-32768, 32767);

/// The forecaster of `docs/models.md` with 8 channels.
fn forecaster() -> GraphBuilder {
    let (mut g, mut r) = (GraphBuilder::new("forecaster"), Random(1));
    g.key("frames", 2).key("levels", 0);
    let input = g.input(3, Element::I16);
    let x = g.layer("space_to_depth", &[input]);
    let a = g.conv("conv2d", x, &r.weights(&[8, 12, 3, 3], 29), RELU, Element::I8, json!({}));
    let a = g.conv("conv2d", a, &r.weights(&[8, 8, 3, 3], 23), RELU, Element::I8, json!({}));
    let b = g.conv("conv2d", a, &r.weights(&[16, 8, 3, 3], 23), RELU, Element::I8, json!({"stride": 2}));
    let b = g.conv("conv2d", b, &r.weights(&[16, 16, 3, 3], 23), RELU, Element::I8, json!({}));
    let u = g.layer("upsample", &[b]);
    let d = g.layer("concat", &[u, a]);
    let d = g.conv("conv2d", d, &r.weights(&[8, 24, 3, 3], 24), RELU, Element::I8, json!({}));
    let o = g.conv("conv2d", d, &r.weights(&[4, 8, 3, 3], 17), I16, Element::I16, json!({}));
    let skip = g.conv("conv2d", x, &r.weights(&[4, 12, 3, 3], 25), I16, Element::I16, json!({}));
    let sum = g.node(json!({"op": "add", "in": [o, skip], "clamp": [-32767, 32767]}));
    g.layer("depth_to_space", &[sum]);
    g
}

/// Every layer that the forecaster has not.
fn layers() -> GraphBuilder {
    let (mut g, mut r) = (GraphBuilder::new("layers"), Random(2));
    let x = g.node(json!({"op": "input", "channels": 3, "type": "i8", "rank": 3}));
    let a = g.conv("conv3d", x, &r.weights(&[5, 3, 3, 3, 3], 22), I8, Element::I8, json!({}));
    let b = g.conv("conv3d", a, &r.weights(&[6, 5, 1, 3, 3], 22), I8, Element::I8, json!({"stride": 2}));
    let name =
        g.tensor("tanh", &[256], &std::array::from_fn::<i8, 256, _>(|i| ((i as i32 - 128) * 3 / 4) as i8));
    let t = g.node(json!({"op": "table", "in": [b], "table": name}));
    let beta = g.tensor("beta", &[6], &[1i32, 2, 30, 400, 5000, 60000]);
    let gamma: Vec<i8> = (0..36).map(|_| (r.next() % 128) as i8).collect();
    let gamma = g.tensor("gamma", &[6, 6], &gamma);
    let m = g.tensor("gdn.multiplier", &[6], &[1 << 20; 6].map(|m: i32| m + 12345));
    let n =
        g.node(json!({"op": "gdn", "in": [t], "type": "i8", "beta": beta, "gamma": gamma, "multiplier": m}));
    let m = g.tensor("igdn.multiplier", &[6], &[20000i32, 300, 20, 1, 7, 32767]);
    let s = g.tensor("igdn.shift", &[6], &[22u8, 20, 18, 16, 14, 30]);
    let i = g.node(json!({"op": "igdn", "in": [n], "type": "i16", "beta": beta, "gamma": gamma,
        "multiplier": m, "shift": s, "clamp": [-30000, 30000]}));
    let gate =
        g.node(json!({"op": "multiply", "in": [i, t], "shift": 7, "type": "i8", "clamp": [-100, 110]}));
    let q = g.node(json!({"op": "quantise", "in": [gate], "step": 7}));
    let dense = g.conv("dense", q, &r.weights(&[4, 6], 22), I8, Element::I8, json!({}));
    let u = g.conv("conv2d_transposed", dense, &r.weights(&[7, 4, 5, 3], 22), I8, Element::I8, json!({}));
    let p = g.layer("maxpool", &[a]);
    let c = g.layer("concat", &[p, dense, q]);
    let e = g.conv("conv2d", c, &r.weights(&[3, 15, 5, 1], 15), I16, Element::I16, json!({}));
    g.key("outputs", json!([u, e, i]));
    g
}

/// What recurrent networks have beside: a cell of a convolutional LSTM behind the error of a forecast.
fn gates() -> GraphBuilder {
    let (mut g, mut r) = (GraphBuilder::new("gates"), Random(3));
    let frame = g.input(3, Element::I16);
    // All inputs begin with the same values here.
    let hat = g.input(4, Element::I16);
    let hat = g.slice(hat, 1, 3);
    let hat = g.with("rescale", &[hat], json!({"multiplier": 25000, "shift": 15}));
    let h = g.input(6, Element::I8);
    let c = g.input(6, Element::I16);
    let relu = json!({"shift": 5, "type": "i8", "clamp": [0, 127]});
    let above = g.with("subtract", &[hat, frame], relu.clone());
    let below = g.with("subtract", &[frame, hat], relu);
    let plain = g.with("subtract", &[hat, frame], json!({}));
    let e = g.layer("concat", &[above, below, h]);
    let gates = g.conv("conv2d", e, &r.weights(&[24, 12, 3, 3], 23), I8, Element::I8, json!({}));
    let [i, f, o, new] = [0, 6, 12, 18].map(|from| g.slice(gates, from, 6));
    let hard = json!({"multiplier": 24576, "shift": 15, "clamp": [0, 127]});
    let [i, f, o] = [i, f, o].map(|gate| g.with("rescale", &[gate], hard.clone()));
    let table = std::array::from_fn::<i8, 256, _>(|i| ((i as i32 - 128).clamp(-90, 90) * 7 / 5) as i8);
    let tanh = g.tensor("tanh", &[256], &table);
    let new = g.with("table", &[new], json!({ "table": tanh }));
    let kept = g.with("multiply", &[f, c], json!({"shift": 7, "type": "i16"}));
    let added = g.with("multiply", &[i, new], json!({"shift": 3, "type": "i16"}));
    let c = g.with("add", &[kept, added], json!({"clamp": [-20000, 20000]}));
    let small = g.with("rescale", &[c], json!({"multiplier": 3, "shift": 6, "type": "i8"}));
    let squashed = g.with("table", &[small], json!({ "table": tanh }));
    let h = g.with("multiply", &[o, squashed], json!({"shift": 7, "type": "i8"}));
    let both = g.with("add", &[h, c], json!({"type": "i16", "clamp": [-3000, 32767]}));
    let less = g.slice(both, 1, 4);
    g.key("outputs", json!([plain, h, c, less]));
    g
}

/// Divisive normalisation of `channels` 8-bit channels, or its inverse.
fn normalised(g: &mut GraphBuilder, r: &mut Random, input: usize, channels: usize, inverse: bool) -> usize {
    let gamma: Vec<i8> = (0..channels * channels).map(|_| (r.next() % 128) as i8).collect();
    let beta: Vec<i32> = (0..channels).map(|_| 1 + r.next() % 100_000).collect();
    let multiplier: Vec<i32> =
        (0..channels).map(|_| if inverse { 16384 + r.next() % 16384 } else { 1 << 18 }).collect();
    let mut node = json!({
        "beta": g.tensor(&format!("{input}.beta"), &[channels], &beta), "type": "i8",
        "gamma": g.tensor(&format!("{input}.gamma"), &[channels, channels], &gamma),
        "multiplier": g.tensor(&format!("{input}.gdn"), &[channels], &multiplier),
    });
    if inverse {
        node["shift"] = json!(g.tensor(&format!("{input}.igdn"), &[channels], &vec![32u8; channels]));
    }
    g.with(if inverse { "igdn" } else { "gdn" }, &[input], node)
}

/// Encoder and decoder of blocks of points: convolutions of stride 2 with 6 and 12 channels, and back.
fn autoencoder(block: [usize; 3]) -> [GraphBuilder; 2] {
    let (mut r, deep) = (Random(4), block[0] > 1);
    let shape =
        |to: usize, from: usize| [&[to, from][..], if deep { &[3, 3, 3][..] } else { &[3, 3] }].concat();
    let [conv, up] = match deep {
        true => ["conv3d", "conv3d_transposed"],
        false => ["conv2d", "conv2d_transposed"],
    };
    let small = block.map(|n| n.div_ceil(4));
    let flat = 12 * small.iter().product::<usize>();
    let mut e = GraphBuilder::new("encoder");
    e.block(block).key("kind", "swae");
    let x = e.input(1, Element::I16);
    let x = e.conv(conv, x, &r.weights(&shape(1, 1), 28), I8, Element::I8, json!({}));
    let x = e.conv(conv, x, &r.weights(&shape(6, 1), 23), I8, Element::I8, json!({"stride": 2}));
    let x = normalised(&mut e, &mut r, x, 6, false);
    let x = e.conv(conv, x, &r.weights(&shape(6, 6), 24), I8, Element::I8, json!({}));
    let x = e.conv(conv, x, &r.weights(&shape(12, 6), 24), I8, Element::I8, json!({"stride": 2}));
    let x = normalised(&mut e, &mut r, x, 12, false);
    let x = e.layer("flatten", &[x]);
    e.conv("dense", x, &r.weights(&[5, flat], 18), I16, Element::I16, json!({}));
    let mut d = GraphBuilder::new("decoder");
    d.block(block).key("kind", "swae");
    let x = d.input_of(5, Element::I16, [1, 1, 1]);
    let x = d.conv("dense", x, &r.weights(&[flat, 5], 28), I8, Element::I8, json!({}));
    let x = d.unflatten(x, small);
    let x = normalised(&mut d, &mut r, x, 12, true);
    let x = d.conv(up, x, &r.weights(&shape(6, 12), 22), I8, Element::I8, json!({}));
    let x = d.conv(conv, x, &r.weights(&shape(6, 6), 24), I8, Element::I8, json!({}));
    let x = normalised(&mut d, &mut r, x, 6, true);
    let x = d.conv(up, x, &r.weights(&shape(1, 6), 22), I8, Element::I8, json!({}));
    d.conv(conv, x, &r.weights(&shape(1, 1), 16), I16, Element::I16, json!({}));
    [e, d]
}

/// Encoder and decoder of runs of values: dense layers with tables between them.
fn dense() -> [GraphBuilder; 2] {
    let mut r = Random(5);
    let sigmoid: Vec<i8> =
        (0..256).map(|i| (127.0 / (1.0 + (f64::from(128 - i) / 20.0).exp())) as i8).collect();
    let layer = |g: &mut GraphBuilder, x: usize, weights: &Weights| {
        let x = g.conv("dense", x, weights, I8, Element::I8, json!({}));
        let table = g.tensor("sigmoid", &[256], &sigmoid);
        g.with("table", &[x], json!({ "table": table }))
    };
    let graph = |prefix: &str, from: usize, to: usize, r: &mut Random| {
        let mut g = GraphBuilder::new(prefix);
        g.block([1, 1, 64]).key("kind", "cae");
        let x = g.input_of(from, Element::I16, [1, 1, 1]);
        let x = layer(&mut g, x, &r.weights(&[16, from], 29));
        g.conv("dense", x, &r.weights(&[to, 16], 16), I16, Element::I16, json!({}));
        g
    };
    [graph("encoder", 64, 4, &mut r), graph("decoder", 4, 64, &mut r)]
}

/// Digests of the outputs, as 16-bit numbers, low byte first, for an input that is made here.
fn digests(graph: &Graph, mut session: Session, threads: usize) -> Vec<String> {
    for k in 0..graph.inputs() {
        let value = |(i, v): (usize, &mut i16)| *v = ((i as u32).wrapping_mul(2654435761) >> 16) as i16 >> 3;
        session.input_mut(k).iter_mut().enumerate().for_each(value);
    }
    session.run(threads);
    let bytes = |k: usize| session.output(k).iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    (0..graph.outputs()).map(|k| Digest::of(&bytes(k)).to_string()).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/networks")
}

fn write() -> bool {
    std::env::var("AUGUR_NETWORKS").is_ok_and(|v| v == "write")
}

#[test]
fn networks_compute_what_they_always_did() {
    let folder = folder();
    let all = [
        ("forecaster", forecaster(), [1, 24, 40]),
        ("layers", layers(), [4, 12, 20]),
        ("gates", gates(), [1, 20, 36]),
    ];
    for (name, graph, size) in all {
        let (file, stated) =
            (folder.join(format!("{name}.safetensors")), folder.join(format!("{name}.json")));
        let outputs = |model: &Model, threads: usize| {
            let graph = model.graph("g").expect("the graph");
            json!(digests(graph, Session::with_levels(graph, size).expect("a session"), threads))
        };
        if write() {
            let bytes = ModelBuilder::new().metadata("name", name).graph("g", graph).to_bytes().unwrap();
            let outputs = outputs(&Model::from_bytes(&bytes).unwrap(), 1);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, bytes).unwrap();
            let text = json!({"size": size, "outputs": outputs}).to_string() + "\n";
            std::fs::write(&stated, text).unwrap();
        }
        let model = Model::from_bytes(&std::fs::read(&file).unwrap()).unwrap();
        let stated: Value = serde_json::from_slice(&std::fs::read(&stated).unwrap()).unwrap();
        assert_eq!(stated["size"], json!(size));
        for threads in [1, 2] {
            assert_eq!(outputs(&model, threads), stated["outputs"], "{name}, {threads} threads");
        }
    }
}

#[test]
fn networks_of_blocks_compute_what_they_always_did() {
    const LANES: usize = 3;
    let all = [
        ("blocks-3d", autoencoder([8, 8, 8])),
        ("blocks-2d", autoencoder([1, 16, 16])),
        ("blocks-dense", dense()),
    ];
    for (name, [encoder, decoder]) in all {
        let (file, stated) =
            (folder().join(format!("{name}.safetensors")), folder().join(format!("{name}.json")));
        let outputs = |model: &Model, threads: usize| {
            let of = |name: &str| {
                let graph = model.graph(name).expect("the graph");
                digests(graph, Session::of_blocks(graph, LANES).expect("a session"), threads)
            };
            json!({"encoder": of("encoder"), "decoder": of("decoder")})
        };
        if write() {
            let mut model = ModelBuilder::new();
            model.metadata("name", name).graph("encoder", encoder).graph("decoder", decoder);
            let bytes = model.to_bytes().unwrap();
            let outputs = outputs(&Model::from_bytes(&bytes).unwrap(), 1);
            std::fs::write(&file, bytes).unwrap();
            let text = json!({"lanes": LANES, "graphs": outputs}).to_string() + "\n";
            std::fs::write(&stated, text).unwrap();
        }
        let model = Model::from_bytes(&std::fs::read(&file).unwrap()).unwrap();
        let stated: Value = serde_json::from_slice(&std::fs::read(&stated).unwrap()).unwrap();
        assert_eq!(stated["lanes"], json!(LANES));
        for threads in [1, 2] {
            assert_eq!(outputs(&model, threads), stated["graphs"], "{name}, {threads} threads");
        }
    }
}
