//! What a recurrent network (PredNet with convolutional LSTMs) and an autoencoder of blocks spend their time on: each node
//! alone, summed by kind of layer, beside a whole run. Minima of interleaved runs; `AUGUR_CPU` (`portable`, `avx2`) keeps wider
//! instructions unused.

use augur_core::network::build::{GraphBuilder, ModelBuilder, Weights};
use augur_core::network::{Element, Graph, Session};
use augur_core::Model;
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Runs of each loop.
const RUNS: usize = 15;

/// A graph with the kinds of its nodes.
struct Made {
    g: GraphBuilder,
    ops: Vec<&'static str>,
    state: u64,
}

impl Made {
    fn new() -> Self {
        Self { g: GraphBuilder::new("g"), ops: vec![], state: 1 }
    }

    fn next(&mut self) -> i32 {
        self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.state >> 33) as i32
    }

    fn input(&mut self, channels: usize, element: Element, more: Value) -> usize {
        self.ops.push("input");
        let mut node = json!({"op": "input", "channels": channels, "type": element.name()});
        if let (Some(node), Value::Object(more)) = (node.as_object_mut(), more) {
            node.extend(more);
        }
        self.g.node(node)
    }

    fn layer(&mut self, op: &'static str, inputs: &[usize], more: Value) -> usize {
        self.ops.push(op);
        self.g.with(op, inputs, more)
    }

    fn conv(
        &mut self,
        op: &'static str,
        from: usize,
        shape: &[usize],
        clamp: (i32, i32),
        to: Element,
        more: Value,
    ) -> usize {
        self.ops.push(op);
        let n: usize = shape.iter().product();
        let w = Weights {
            shape: shape.to_vec(),
            weight: (0..n).map(|_| (self.next() % 128) as i8).collect(),
            bias: (0..shape[0]).map(|_| self.next() % 1000).collect(),
            multiplier: (0..shape[0]).map(|_| (1 << 14) + self.next() % (1 << 14)).collect(),
            shift: vec![23; shape[0]],
        };
        self.g.conv(op, from, &w, clamp, to, more)
    }

    fn table(&mut self, from: usize) -> usize {
        let table: Vec<i8> = (0..256).map(|i: i32| ((i - 128) * 3 / 4) as i8).collect();
        let name = self.g.tensor("tanh", &[256], &table);
        self.layer("table", &[from], json!({ "table": name }))
    }

    fn loaded(self) -> (Arc<Graph>, Vec<&'static str>) {
        let bytes = ModelBuilder::new().graph("g", self.g).to_bytes().expect("a model");
        let model = Model::from_bytes(&bytes).expect("a model that can be read");
        (Arc::clone(model.graph("g").expect("its graph")), self.ops)
    }
}

/// Convolutional LSTMs of `r` channels behind errors of `a` channels, a level each; input 0 has `a[0]` channels of 16 bits.
fn prednet(a: &[usize], r: &[usize]) -> Made {
    const I8: (i32, i32) = (-128, 127);
    let mut m = Made::new();
    let frame = m.input(a[0], Element::I16, json!({}));
    let mut states = vec![];
    for l in 0..a.len() {
        let element = if l == 0 { Element::I16 } else { Element::I8 };
        let of = |m: &mut Made, channels, element| m.input(channels, element, json!({ "down": l }));
        states.push((
            of(&mut m, a[l], element),
            of(&mut m, r[l], Element::I8),
            of(&mut m, r[l], Element::I16),
        ));
    }
    let mut errors = vec![];
    let mut outputs = vec![];
    let mut x = frame;
    for l in 0..a.len() {
        let relu = |m: &mut Made, p, q| {
            let shift = if l == 0 { 6 } else { 0 };
            m.layer("subtract", &[p, q], json!({"shift": shift, "type": "i8", "clamp": [0, 127]}))
        };
        let (above, below) = (relu(&mut m, states[l].0, x), relu(&mut m, x, states[l].0));
        errors.push(m.layer("concat", &[above, below], json!({})));
        if l + 1 < a.len() {
            let next =
                m.conv("conv2d", errors[l], &[a[l + 1], 2 * a[l], 3, 3], (0, 127), Element::I8, json!({}));
            x = m.layer("maxpool", &[next], json!({}));
        }
    }
    let mut above: Option<(usize, usize)> = None;
    for l in (0..a.len()).rev() {
        let (_, h, c) = states[l];
        let mut from = vec![errors[l], h];
        let mut channels = 2 * a[l] + r[l];
        if let Some((node, more)) = above {
            from.push(m.layer("upsample", &[node], json!({})));
            channels += more;
        }
        let from = m.layer("concat", &from, json!({}));
        let gates = m.conv("conv2d", from, &[4 * r[l], channels, 3, 3], I8, Element::I8, json!({}));
        let gate: Vec<usize> =
            (0..4).map(|k| m.layer("slice", &[gates], json!({"from": k * r[l], "channels": r[l]}))).collect();
        let hard = |m: &mut Made, k: usize| {
            m.layer("rescale", &[gate[k]], json!({"multiplier": 24576, "shift": 15, "clamp": [0, 127]}))
        };
        let (i, f, o) = (hard(&mut m, 0), hard(&mut m, 1), hard(&mut m, 2));
        let new = m.table(gate[3]);
        let kept = m.layer("multiply", &[f, c], json!({"shift": 7, "type": "i16"}));
        let added = m.layer("multiply", &[i, new], json!({"shift": 3, "type": "i16"}));
        let c = m.layer("add", &[kept, added], json!({}));
        let small = m.layer("rescale", &[c], json!({"multiplier": 3, "shift": 6, "type": "i8"}));
        let squashed = m.table(small);
        let h = m.layer("multiply", &[o, squashed], json!({"shift": 7, "type": "i8"}));
        above = Some((h, r[l]));
        let element = if l == 0 { Element::I16 } else { Element::I8 };
        let clamp = if l == 0 { (-32768, 32767) } else { (0, 127) };
        let hat = m.conv("conv2d", h, &[a[l], r[l], 3, 3], clamp, element, json!({}));
        outputs.extend([c, h, hat]);
    }
    outputs.reverse();
    m.g.key("outputs", json!(outputs));
    m
}

/// Three 3-D convolutions of stride 2 with divisive normalisation, as encoders of blocks have them, and a decoder of
/// transposed convolutions (in rows and columns).
fn autoencoder(c: &[usize]) -> Made {
    let mut m = Made::new();
    let mut x = m.input(1, Element::I16, json!({"rank": 3}));
    let mut channels = 1;
    let gdn = |m: &mut Made, x: usize, c: usize, inverse: bool| {
        let k = m.ops.len();
        let mut node = json!({
            "beta": m.g.tensor(&format!("{k}.beta"), &[c], &vec![1000i32; c]),
            "gamma": m.g.tensor(&format!("{k}.gamma"), &[c, c], &vec![7i8; c * c]),
            "multiplier": m.g.tensor(&format!("{k}.m"), &[c], &vec![20000i32; c]),
            "type": "i8",
        });
        if inverse {
            node["shift"] = json!(m.g.tensor(&format!("{k}.s"), &[c], &vec![30u8; c]));
        }
        m.layer(if inverse { "igdn" } else { "gdn" }, &[x], node)
    };
    for &n in c {
        x = m.conv("conv3d", x, &[n, channels, 3, 3, 3], (-128, 127), Element::I8, json!({"stride": 2}));
        x = gdn(&mut m, x, n, false);
        channels = n;
    }
    x = m.layer("quantise", &[x], json!({"step": 5}));
    for &n in c.iter().rev().skip(1).chain(&[1]) {
        x = m.conv("conv2d_transposed", x, &[n, channels, 3, 3], (-128, 127), Element::I8, json!({}));
        x = gdn(&mut m, x, n, true);
        channels = n;
    }
    m
}

fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn show(name: &str, made: Made, size: [usize; 3]) {
    let (graph, ops) = made.loaded();
    let runs = if std::env::args().any(|a| a == "--quick") { 3 } else { RUNS };
    let mut session = Session::with_levels(&graph, size).expect("a session");
    for k in 0..graph.inputs() {
        let fill = |(i, v): (usize, &mut i16)| *v = ((i as u32).wrapping_mul(2654435761) >> 24) as i16 - 128;
        session.input_mut(k).iter_mut().enumerate().for_each(fill);
    }
    let mut nodes = vec![f64::INFINITY; ops.len()];
    let mut whole = [f64::INFINITY; 2];
    for _ in 0..runs {
        for (threads, time) in whole.iter_mut().enumerate() {
            *time = time.min(timed(|| session.run(threads + 1)));
        }
        for (k, time) in nodes.iter_mut().enumerate() {
            *time = time.min(timed(|| session.run_node(k, 1)));
        }
    }
    let mut kinds: BTreeMap<&str, f64> = BTreeMap::new();
    for (op, time) in ops.iter().zip(&nodes) {
        *kinds.entry(op).or_default() += time;
    }
    let (points, all) = (size.iter().product::<usize>() as f64, whole[0]);
    let rate = graph.macs_per_point() * points / all / 1e9;
    println!(
        "{name}, {size:?}: {:.0} multiply-adds per point, {:.2} M points/s, {rate:.0} G/s, two threads {:.2} times as fast",
        graph.macs_per_point(), points / all / 1e6, all / whole[1]
    );
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by(|a, b| b.1.total_cmp(&a.1));
    let sum: f64 = nodes.iter().sum();
    let share: Vec<String> = kinds
        .iter()
        .filter(|k| k.1 > 0.002 * all)
        .map(|(op, t)| format!("{op} {:.1} %", 100.0 * t / all))
        .collect();
    println!("    {}, outputs {:.1} %", share.join(", "), 100.0 * (all - sum) / all);
}

fn main() {
    // A filter names criterion's benchmarks, of which there are none here.
    if std::env::args().skip(1).any(|a| !a.starts_with("--")) {
        return;
    }
    for side in [64, 128, 256] {
        show("prednet 8/16/32", prednet(&[2, 16, 32], &[8, 16, 32]), [1, side, side]);
    }
    show("prednet 16/32/64", prednet(&[2, 32, 64], &[16, 32, 64]), [1, 128, 128]);
    show("autoencoder 32/64/128", autoencoder(&[32, 64, 128]), [8, 64, 64]);
    show("autoencoder 8/16/32", autoencoder(&[8, 16, 32]), [8, 128, 128]);
}
