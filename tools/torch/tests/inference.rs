//! What libtorch computes of a model's graphs is what the codec defines, and no stream shows where they were computed.

use augur_core::network::backend::{self, Backend};
use augur_core::network::build::{GraphBuilder, ModelBuilder, Weights};
use augur_core::network::layers::Op;
use augur_core::network::{Element, Session};
use augur_core::{Bound, Decoding, Digest, Dtype, Error, Model, Params, Preset, Result};
use augur_torch::infer::{device, Evaluation, Network};
use serde_json::{json, Value};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }

    fn element(&mut self) -> Element {
        [Element::I8, Element::I16][self.below(2)]
    }

    fn weights(&mut self, shape: &[usize], shift: usize) -> Weights {
        let n = shape.iter().product();
        let outputs = shape[0];
        Weights {
            shape: shape.to_vec(),
            weight: (0..n).map(|_| [self.next() as i8, -128, 127][self.below(4) % 3]).collect(),
            bias: (0..outputs).map(|_| self.next() as i32 % 20000 - 10000).collect(),
            multiplier: (0..outputs).map(|_| 1 + self.below(32767) as i32).collect(),
            shift: (0..outputs).map(|_| (shift - 2 + self.below(4)) as u8).collect(),
        }
    }
}

/// What is known of a node while a graph is made.
#[derive(Clone, Copy)]
struct Known {
    channels: usize,
    element: Element,
    /// Levels, rows.
    down: [usize; 2],
}

/// A random graph with every node that has a size of its own an output.
fn graph(seed: u64, levels: bool) -> GraphBuilder {
    let mut r = Random(seed);
    let mut g = GraphBuilder::new("g");
    let first = Known { channels: 1 + r.below(5), element: r.element(), down: [0; 2] };
    let rank = if levels { 3 } else { 2 };
    g.node(json!({"op": "input", "channels": first.channels, "type": first.element.name(), "rank": rank}));
    let mut known = vec![first];
    while known.len() < 14 {
        let i = known.len() - 1 - r.below(known.len().min(3));
        let k = known[i];
        let like = |o: &Known| (o.channels, o.down) == (k.channels, k.down);
        let j = (0..known.len()).rev().find(|&j| j != i && like(&known[j])).unwrap_or(i);
        let element = r.element();
        let (low, high) = element.range();
        let clamp = [(low, high), (0, high), (-90, 100)][r.below(3)];
        let more = |more: Value| {
            let mut all = json!({"type": element.name(), "clamp": [clamp.0, clamp.1]});
            all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            all
        };
        let narrow = usize::from(element == Element::I8) * 7;
        let name = |what: &str| format!("{what}{}", known.len());
        let [z, y] = k.down;
        let new = match r.below(17) {
            n @ 0..=4 => {
                let outputs = 1 + r.below(7);
                let op = ["conv2d", "conv2d", "conv3d", "conv2d_transposed", "dense"][n];
                if (op == "conv3d" && !levels) || (op == "conv2d_transposed" && y == 0) {
                    continue;
                }
                let mut shape = vec![outputs, k.channels];
                let plane = [[3, 3], [1, 1], [5, 3], [1, 7], [9, 15]][r.below(5)];
                match op {
                    "dense" => {}
                    "conv3d" => shape.extend([[1, 3, 5][r.below(3)], plane[0], plane[1]]),
                    _ => shape.extend(plane),
                }
                let twice = y < 2 && (z < 2 || op != "conv3d") && r.below(3) == 0;
                let strided = twice && matches!(op, "conv2d" | "conv3d");
                let stride = if strided { json!({"stride": 2}) } else { json!({}) };
                let w = r.weights(&shape, 20 + narrow);
                // Sums of 16 bits may not fit.
                if k.element == Element::I16 && shape[1..].iter().product::<usize>() > 500 {
                    continue;
                }
                g.conv(op, i, &w, clamp, element, stride);
                let down = match op {
                    "conv2d_transposed" => [z, y - 1],
                    "conv3d" => [z + usize::from(strided), y + usize::from(strided)],
                    _ => [z, y + usize::from(strided)],
                };
                Known { channels: outputs, element, down }
            }
            5 if y > 0 && (!levels || z > 0) => {
                g.layer("upsample", &[i]);
                Known { down: [z.saturating_sub(1), y - 1], ..k }
            }
            6 if k.channels < 6 && y < 2 => {
                g.layer("space_to_depth", &[i]);
                Known { channels: 4 * k.channels, down: [z, y + 1], ..k }
            }
            7 if k.channels.is_multiple_of(4) && y > 0 => {
                g.layer("depth_to_space", &[i]);
                Known { channels: k.channels / 4, down: [z, y - 1], ..k }
            }
            8 if known[j].element == k.element => {
                g.layer("concat", &[i, j]);
                Known { channels: 2 * k.channels, ..k }
            }
            9 if k.channels > 1 => {
                let from = r.below(k.channels);
                let channels = 1 + r.below(k.channels - from);
                g.slice(i, from, channels);
                Known { channels, ..k }
            }
            10 => {
                let shift = 14 + narrow + r.below(3);
                g.with("rescale", &[i], more(json!({"multiplier": 1 + r.below(32767), "shift": shift})));
                Known { element, ..k }
            }
            11 => {
                g.with("add", &[i, j], more(json!({})));
                Known { element, ..k }
            }
            12 => {
                g.with("subtract", &[j, i], more(json!({"shift": r.below(4) * 5})));
                Known { element, ..k }
            }
            13 => {
                g.with("multiply", &[i, j], more(json!({"shift": ([7, 1, 8, 15, 30][r.below(5)])})));
                Known { element, ..k }
            }
            14 if k.element == Element::I8 => {
                let table: Vec<i8> = (0..256).map(|_| r.next() as i8).collect();
                let table = g.tensor(&name("table"), &[256], &table);
                g.with("table", &[i], json!({ "table": table }));
                k
            }
            15 if y < 2 && z < 2 => {
                g.layer("maxpool", &[i]);
                Known { down: [z + usize::from(levels), y + 1], ..k }
            }
            16 if k.channels < 9 => match r.below(3) {
                0 => {
                    g.with("quantise", &[i], json!({"step": 1 + r.below(900)}));
                    k
                }
                inverse => {
                    let n = k.channels;
                    // The squares of 16 bits fill the sums alone.
                    let most = if k.element == Element::I16 { 2 } else { 128 };
                    if most == 2 && n > 1 {
                        continue;
                    }
                    let gamma: Vec<i8> = (0..n * n).map(|_| r.below(most) as i8).collect();
                    let beta: Vec<i32> = (0..n).map(|_| 1 + r.below(60000) as i32).collect();
                    let limit = if inverse == 2 { 32767 } else { i32::MAX as usize };
                    let multiplier: Vec<i32> = (0..n).map(|_| 1 + r.below(limit) as i32).collect();
                    let shift: Vec<u8> = (0..n).map(|_| 12 + r.below(24) as u8).collect();
                    let mut keys = json!({
                        "gamma": g.tensor(&name("gamma"), &[n, n], &gamma),
                        "beta": g.tensor(&name("beta"), &[n], &beta),
                        "multiplier": g.tensor(&name("multiplier"), &[n], &multiplier),
                    });
                    if inverse == 2 {
                        keys["shift"] = json!(g.tensor(&name("shift"), &[n], &shift));
                    }
                    g.with(["gdn", "igdn"][inverse - 1], &[i], more(keys));
                    Known { element, ..k }
                }
            },
            _ => continue,
        };
        if new.channels > 40 {
            g.slice(known.len(), 0, 3);
            known.push(new);
            known.push(Known { channels: 3, ..new });
            continue;
        }
        known.push(new);
    }
    g.key("outputs", json!((1..known.len()).collect::<Vec<_>>()));
    g
}

fn file(graph: GraphBuilder) -> Vec<u8> {
    ModelBuilder::new().graph("g", graph).to_bytes().expect("a file")
}

fn network(file: &[u8], name: &str) -> Arc<Network> {
    Arc::new(Network::new(file, name, device("auto").expect("a device")).expect("a network"))
}

/// Outputs for inputs made of `seed`, twice: those of libtorch, and those of the definition.
fn both(network: &Arc<Network>, size: [usize; 3], seed: u64) -> [Vec<Vec<i16>>; 2] {
    let graph = network.graph();
    let mut session = Session::plain(graph, size).expect("a session");
    let mut evaluation = Evaluation::new(network, size).expect("an evaluation");
    let mut random = Random(seed);
    let mut found = vec![];
    for shift in [0, 6] {
        let inputs: Vec<Vec<i16>> = (0..graph.inputs())
            .map(|k| session.input_mut(k).iter().map(|_| random.next() as i16 >> shift).collect())
            .collect();
        for (k, values) in inputs.iter().enumerate() {
            session.input_mut(k).copy_from_slice(values);
        }
        session.run(1);
        found = (0..graph.outputs()).map(|k| vec![0; session.output(k).len()]).collect();
        let inputs: Vec<&[i16]> = inputs.iter().map(Vec::as_slice).collect();
        let mut outputs: Vec<&mut [i16]> = found.iter_mut().map(Vec::as_mut_slice).collect();
        evaluation.run(&inputs, &vec![false; inputs.len()], &mut outputs, 1).expect("outputs");
        if shift == 0 {
            (0..found.len()).for_each(|k| assert!(found[k] == session.output(k), "output {k}, first run"));
        }
    }
    [found, (0..graph.outputs()).map(|k| session.output(k).to_vec()).collect()]
}

#[test]
fn every_layer_computes_the_defined_integers() {
    let (mut seen, mut matrices) = (std::collections::BTreeSet::new(), [0; 2]);
    for seed in 0..150 {
        let levels = seed % 3 == 0;
        let file = file(graph(seed, levels));
        let network = network(&file, "g");
        for node in network.graph().nodes() {
            seen.insert(layer(&node.op));
        }
        let of = network.matrices();
        matrices = [matrices[0] + of[0], matrices[1] + of[1]];
        let size = if levels { [4, 8, 12] } else { [1, 8, 20] };
        let [found, expected] = both(&network, size, seed);
        for (k, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!(found == expected, "seed {seed}, output {k}: {:?}", network.graph().nodes()[k + 1]);
        }
    }
    assert_eq!(seen.len(), 18, "{seen:?}");
    assert!(matrices.iter().all(|&n| n > 20), "{matrices:?} in float32 and float64");
}

/// The name of a layer, those of one kind apart that are computed in other ways.
fn layer(op: &Op) -> String {
    match op {
        Op::Conv(c) if c.transposed => "transposed convolution".into(),
        Op::Conv(c) if c.kernel[0] > 1 => "convolution over levels".into(),
        Op::Gdn(g) if g.inverse.is_some() => "inverse".into(),
        op => format!("{op:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
    }
}

#[test]
fn sums_beyond_float32_and_large_planes_are_exact() {
    // Weights of one sign at the ends of their range: 1,440 terms reach 23 million.
    let mut r = Random(5);
    let mut g = GraphBuilder::new("g");
    let x = g.input(160, Element::I8);
    let w = Weights { weight: vec![127; 2 * 160 * 9], ..r.weights(&[2, 160, 3, 3], 25) };
    let a = g.conv("conv2d", x, &w, (-32768, 32767), Element::I16, json!({}));
    let b = g.conv("conv2d", a, &r.weights(&[3, 2, 15, 15], 28), (-128, 127), Element::I8, json!({}));
    g.key("outputs", json!([a, b]));
    let network = network(&file(g), "g");
    assert_eq!(network.matrices(), [2, 1]);
    // The patches take 16 MiB for 23 rows.
    let size = [1, 64, 128];
    let mut session = Session::plain(network.graph(), size).expect("a session");
    let mut evaluation = Evaluation::new(&network, size).expect("an evaluation");
    let values: Vec<i16> = (0..160 * 64 * 128).map(|_| 120 + r.below(8) as i16).collect();
    session.input_mut(0).copy_from_slice(&values);
    session.run(1);
    let mut found = [vec![0; 2 * 64 * 128], vec![0; 3 * 64 * 128]];
    let mut outputs: Vec<&mut [i16]> = found.iter_mut().map(Vec::as_mut_slice).collect();
    evaluation.run(&[&values], &[false], &mut outputs, 2).expect("outputs");
    assert!(found[0] == session.output(0) && found[1] == session.output(1));
    assert!(found[0].iter().any(|v| *v != found[0][0]));
}

fn golden() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../core/tests/golden/networks")
}

#[test]
fn golden_networks_compute_what_they_always_did() {
    let mut count = 0;
    for entry in std::fs::read_dir(golden()).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let stated: Value = serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("JSON");
        if stated["size"].is_null() {
            // Of blocks, which are left to the kernels.
            continue;
        }
        let size = [0, 1, 2].map(|i| stated["size"][i].as_u64().expect("a number") as usize);
        let model = std::fs::read(path.with_extension("safetensors")).expect("a model");
        let network = network(&model, "g");
        let graph = network.graph();
        // As in core/tests/network_golden.rs.
        let mut session = Session::plain(graph, size).expect("a session");
        let value = |i: usize| ((i as u32).wrapping_mul(2654435761) >> 16) as i16 >> 3;
        let inputs: Vec<Vec<i16>> =
            (0..graph.inputs()).map(|k| (0..session.input_mut(k).len()).map(value).collect()).collect();
        let inputs: Vec<&[i16]> = inputs.iter().map(Vec::as_slice).collect();
        let mut outputs: Vec<Vec<i16>> =
            (0..graph.outputs()).map(|k| vec![0; session.output(k).len()]).collect();
        let mut slices: Vec<&mut [i16]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        let mut evaluation = Evaluation::new(&network, size).expect("an evaluation");
        evaluation.run(&inputs, &vec![false; inputs.len()], &mut slices, 1).expect("outputs");
        let digest = |v: &Vec<i16>| {
            Digest::of(&v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()).to_string()
        };
        assert_eq!(json!(outputs.iter().map(digest).collect::<Vec<_>>()), stated["outputs"], "{path:?}");
        count += 1;
    }
    assert!(count >= 3);
}

#[test]
fn what_remains_on_the_device_is_what_was_given_back() {
    // An integrator of two channels: what it remembers grows by the input at each run.
    let mut g = GraphBuilder::new("g");
    let (x, state) = (g.input(2, Element::I16), g.input(2, Element::I16));
    let less = g.with("rescale", &[x], json!({"multiplier": 1, "shift": 1}));
    let sum = g.layer("add", &[state, x]);
    g.key("outputs", json!([less, sum]));
    let network = network(&file(g), "g");
    let mut evaluation = Evaluation::new(&network, [1, 1, 2]).expect("an evaluation");
    let mut run = |x: &[i16], state: &[i16], fed: bool| {
        let mut found = [vec![0; 4], vec![0; 4]];
        let mut outputs: Vec<&mut [i16]> = found.iter_mut().map(Vec::as_mut_slice).collect();
        evaluation.run(&[x, state], &[false, fed], &mut outputs, 1).map(|()| found)
    };
    assert_eq!(run(&[2, 4, 6, 8], &[1; 4], false), Ok([vec![1, 2, 3, 4], vec![3, 5, 7, 9]]));
    // The values that are given beside are not read.
    assert_eq!(run(&[2, 4, 6, 8], &[99; 4], true), Ok([vec![1, 2, 3, 4], vec![5, 9, 13, 17]]));
    assert_eq!(run(&[2, 4, 6, 8], &[0; 4], false), Ok([vec![1, 2, 3, 4], vec![2, 4, 6, 8]]));
    assert!(run(&[2, 4], &[0; 4], false).expect_err("two values are missing").contains("4 values, 2"));
}

/// libtorch, and how often it ran.
struct Torch;

static RUNS: AtomicUsize = AtomicUsize::new(0);

impl Backend for Torch {
    fn load(&self, model: &[u8], graph: &str) -> Result<Box<dyn backend::Network>> {
        let loaded = Network::new(model, graph, device("auto").map_err(Error::invalid)?);
        Ok(Box::new(Loaded(Arc::new(loaded.map_err(Error::invalid)?))))
    }
}

struct Loaded(Arc<Network>);

impl backend::Network for Loaded {
    fn open(&self, size: [usize; 3]) -> Result<Box<dyn backend::Evaluation>> {
        Ok(Box::new(Opened(Evaluation::new(&self.0, size).map_err(Error::invalid)?)))
    }
}

struct Opened(Evaluation);

impl backend::Evaluation for Opened {
    fn run(
        &mut self,
        inputs: &[Vec<i16>],
        fed: &[bool],
        outputs: &mut [Vec<i16>],
        threads: usize,
    ) -> Result<()> {
        RUNS.fetch_add(1, Ordering::Relaxed);
        let inputs: Vec<&[i16]> = inputs.iter().map(Vec::as_slice).collect();
        let mut outputs: Vec<&mut [i16]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        self.0.run(&inputs, fed, &mut outputs, threads).map_err(Error::invalid)
    }
}

/// Noise, smoothed over rows and columns, that drifts.
fn field([steps, height, width]: [usize; 3]) -> Vec<f32> {
    let wave = |t: usize, y: usize, x: usize| {
        let (t, y, x) = (t as f64, y as f64, x as f64);
        (0.3 * x - 0.5 * t).sin() * (0.2 * y + 0.3 * t).cos() + 0.3 * (0.11 * x * y + t).sin()
    };
    let area = height * width;
    (0..steps * area).map(|i| wave(i / area, i / width % height, i % width) as f32).collect()
}

#[test]
fn streams_do_not_show_where_networks_were_computed() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut cases = vec![(Preset::Learned, models.join("../../examples/models/turbulence.safetensors"))];
    // Recurrent networks, from the golden streams.
    for entry in std::fs::read_dir(models.join("../../core/tests/golden")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let model = path.extension().is_some_and(|e| e == "safetensors");
        let file = std::fs::read(&path).ok().filter(|_| model);
        if file.and_then(|f| Model::from_bytes(&f).ok()).is_some_and(|m| m.graph("recurrent").is_some()) {
            cases.push((Preset::TezipPlus, path));
        }
    }
    assert!(cases.len() > 1);
    let size = [6, 33, 40];
    let raw: Vec<u8> = field(size).iter().flat_map(|v| v.to_le_bytes()).collect();
    let coded = || -> Vec<(Vec<u8>, Vec<u8>)> {
        let each = |(preset, path): &(Preset, std::path::PathBuf)| {
            // Read anew: a graph asks the backend once.
            let model = Model::from_bytes(&std::fs::read(path).expect("a file")).expect("a model");
            let model = Some(Arc::new(model));
            let bound = Bound::Absolute(1e-2);
            let params = Params {
                preset: *preset,
                model: model.clone(),
                threads: 1,
                ..Params::new(Dtype::F32, &size, bound)
            };
            let stream = augur_core::encode(&params, &raw).expect("a stream");
            let decoding = Decoding { models: &model, ..Decoding::default() };
            let decoded = augur_core::decode_with(&stream, &decoding).expect("a chunk");
            (stream, decoded)
        };
        cases.iter().map(each).collect()
    };
    let native = coded();
    assert_eq!(RUNS.load(Ordering::Relaxed), 0);
    backend::provide(|| Some(Box::new(Torch)));
    let torch = coded();
    assert!(backend::in_use());
    assert!(RUNS.load(Ordering::Relaxed) > 10, "{RUNS:?} runs");
    assert!(native == torch);
}
