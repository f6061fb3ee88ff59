//! Speed of autoencoders of blocks, in megabytes of float32 per second on one core: whole encoders and decoders, and what they
//! spend their time on. A table of minima of interleaved runs first, for the best kernels within `AUGUR_CPU` (`portable`,
//! `avx2`); then criterion measures the same, and the definition beside it.

use augur_core::network::build::{GraphBuilder, ModelBuilder, Weights};
use augur_core::network::{Element, Graph, Session};
use augur_core::Model;
use criterion::{criterion_group, Criterion, Throughput};
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs of each loop of the table.
const RUNS: usize = 15;
/// Blocks at a time.
const LANES: usize = 64;
const I8: (i32, i32) = (-128, 127);
const I16: (i32, i32) = (-32768, 32767);

/// A graph with the kinds of its nodes.
struct Made {
    g: GraphBuilder,
    ops: Vec<String>,
    state: u64,
}

impl Made {
    fn new(block: [usize; 3]) -> Self {
        let mut g = GraphBuilder::new("g");
        g.block(block);
        Self { g, ops: vec![], state: 1 }
    }

    fn next(&mut self) -> i32 {
        self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.state >> 33) as i32
    }

    fn input(&mut self, channels: usize, points: [usize; 3]) -> usize {
        self.ops.push("input".into());
        self.g.input_of(channels, Element::I16, points)
    }

    fn layer(&mut self, op: &str, inputs: &[usize], more: Value) -> usize {
        self.ops.push(op.into());
        self.g.with(op, inputs, more)
    }

    fn conv(&mut self, op: &str, from: usize, shape: &[usize], to: Element, more: Value) -> usize {
        let (outputs, inputs) = (shape[0], shape[1]);
        let stride = if more.get("stride").is_some() { " stride 2" } else { "" };
        self.ops.push(format!("{op} {inputs}->{outputs}{stride}"));
        let n: usize = shape.iter().product();
        let w = Weights {
            shape: shape.to_vec(),
            weight: (0..n).map(|_| (self.next() % 128) as i8).collect(),
            bias: (0..outputs).map(|_| self.next() % 1000).collect(),
            multiplier: (0..outputs).map(|_| (1 << 14) + self.next() % (1 << 14)).collect(),
            shift: vec![if to == Element::I8 { 23 } else { 17 }; outputs],
        };
        self.g.conv(op, from, &w, if to == Element::I8 { I8 } else { I16 }, to, more)
    }

    fn gdn(&mut self, x: usize, c: usize, inverse: bool) -> usize {
        let k = self.ops.len();
        let mut node = json!({
            "beta": self.g.tensor(&format!("{k}.beta"), &[c], &vec![1000i32; c]),
            "gamma": self.g.tensor(&format!("{k}.gamma"), &[c, c], &vec![7i8; c * c]),
            "multiplier": self.g.tensor(&format!("{k}.m"), &[c], &vec![20000i32; c]),
            "type": "i8",
        });
        if inverse {
            node["shift"] = json!(self.g.tensor(&format!("{k}.s"), &[c], &vec![30u8; c]));
        }
        let op = if inverse { "igdn" } else { "gdn" };
        let node = self.layer(op, &[x], node);
        self.ops[k] = format!("{op} {c}");
        node
    }

    fn loaded(self) -> (Arc<Graph>, Vec<String>) {
        let bytes = ModelBuilder::new().graph("g", self.g).to_bytes().expect("a model");
        let model = Model::from_bytes(&bytes).expect("a model that can be read");
        (Arc::clone(model.graph("g").expect("its graph")), self.ops)
    }
}

fn sides(block: [usize; 3]) -> (&'static [usize], [&'static str; 2]) {
    match block[0] {
        1 => (&[3, 3], ["conv2d", "conv2d_transposed"]),
        _ => (&[3, 3, 3], ["conv3d", "conv3d_transposed"]),
    }
}

/// The smallest lattice, with as many halvings as there are channels.
fn least(block: [usize; 3], c: &[usize]) -> [usize; 3] {
    block.map(|n| (n >> c.len()).max(1))
}

fn encoder(block: [usize; 3], c: &[usize], latents: usize) -> Made {
    let (kernel, [conv, _]) = sides(block);
    let shape = |to: usize, from: usize| [&[to, from][..], kernel].concat();
    let mut m = Made::new(block);
    let mut x = m.input(1, block);
    let mut from = 1;
    for &to in c {
        x = m.conv(conv, x, &shape(from, from), Element::I8, json!({}));
        x = m.conv(conv, x, &shape(to, from), Element::I8, json!({"stride": 2}));
        x = m.gdn(x, to, false);
        from = to;
    }
    x = m.layer("flatten", &[x], json!({}));
    let flat = from * least(block, c).iter().product::<usize>();
    m.conv("dense", x, &[latents, flat], Element::I16, json!({}));
    m
}

fn decoder(block: [usize; 3], c: &[usize], latents: usize) -> Made {
    let (kernel, [conv, up]) = sides(block);
    let shape = |to: usize, from: usize| [&[to, from][..], kernel].concat();
    let mut m = Made::new(block);
    let x = m.input(latents, [1, 1, 1]);
    let small = least(block, c);
    let mut from = c[c.len() - 1];
    let x = m.conv("dense", x, &[from * small.iter().product::<usize>(), latents], Element::I8, json!({}));
    let mut x = m.layer("unflatten", &[x], json!({ "size": small }));
    for &to in c.iter().rev().skip(1).chain(&[1]) {
        x = m.gdn(x, from, true);
        x = m.conv(up, x, &shape(to, from), Element::I8, json!({}));
        let element = if to == 1 { Element::I16 } else { Element::I8 };
        x = m.conv(conv, x, &shape(to, to), element, json!({}));
        from = to;
    }
    m
}

/// Seven layers of a run of n values, each of an eighth of the channels, or of eight times as many.
fn dense(n: usize, decoder: bool) -> Made {
    let mut m = Made::new([1, 1, n]);
    let mut channels = [n, n / 8, n / 64, n / 512];
    if decoder {
        channels.reverse();
    }
    let table: Vec<i8> = (0..256).map(|i: i32| ((i - 128) * 3 / 4) as i8).collect();
    let mut x = m.input(channels[0], [1, 1, 1]);
    for (k, pair) in channels.windows(2).enumerate() {
        let last = k + 2 == channels.len();
        let element = if last { Element::I16 } else { Element::I8 };
        x = m.conv("dense", x, &[pair[1], pair[0]], element, json!({}));
        if !last {
            let name = m.g.tensor(&format!("{k}.sigmoid"), &[256], &table);
            x = m.layer("table", &[x], json!({ "table": name }));
        }
    }
    m
}

fn all() -> Vec<(&'static str, usize, Made)> {
    let (deep, flat) = ([8, 8, 8], [1, 32, 32]);
    vec![
        ("swae 8x8x8 encoder", 512, encoder(deep, &[32, 64, 128], 16)),
        ("swae 8x8x8 decoder", 512, decoder(deep, &[32, 64, 128], 16)),
        ("swae 32x32 encoder", 1024, encoder(flat, &[32, 64, 128, 256], 16)),
        ("swae 32x32 decoder", 1024, decoder(flat, &[32, 64, 128, 256], 16)),
        ("cae 512 encoder", 512, dense(512, false)),
        ("cae 512 decoder", 512, dense(512, true)),
    ]
}

fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn filled(mut session: Session) -> Session {
    let fill = |(i, v): (usize, &mut i16)| *v = ((i as u32).wrapping_mul(2654435761) >> 18) as i16 - 8192;
    session.input_mut(0).iter_mut().enumerate().for_each(fill);
    session.run(1);
    session
}

fn show(name: &str, points: usize, made: Made) {
    let (graph, ops) = made.loaded();
    let mut session = filled(Session::of_blocks(&graph, LANES).expect("a session"));
    let mut nodes = vec![f64::INFINITY; ops.len()];
    let mut whole = f64::INFINITY;
    for _ in 0..RUNS {
        whole = whole.min(timed(|| session.run(1)));
        for (k, time) in nodes.iter_mut().enumerate() {
            *time = time.min(timed(|| session.run_node(k, 1)));
        }
    }
    let points = (points * LANES) as f64;
    println!(
        "{name}: {:.1} MB/s, {:.0} multiply-adds per point, {:.1} G/s",
        4.0 * points / whole / 1e6,
        graph.macs_per_point(),
        graph.macs_per_point() * points / whole / 1e9
    );
    let mut kinds: BTreeMap<&str, f64> = BTreeMap::new();
    for (op, time) in ops.iter().zip(&nodes) {
        *kinds.entry(op).or_default() += time;
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by(|a, b| b.1.total_cmp(&a.1));
    let sum: f64 = nodes.iter().sum();
    let share = |t: f64| 100.0 * t / whole;
    let text: Vec<String> =
        kinds.iter().filter(|k| share(k.1) > 0.5).map(|(op, t)| format!("{op} {:.1} %", share(*t))).collect();
    println!("    {}, outputs {:.1} %", text.join(", "), share(whole - sum));
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("blocks");
    group.measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(200)).sample_size(10);
    for (name, points, made) in all() {
        let (graph, _) = made.loaded();
        let mut session = filled(Session::of_blocks(&graph, LANES).expect("a session"));
        group.throughput(Throughput::Bytes((4 * points * LANES) as u64));
        group.bench_function(name, |b| b.iter(|| session.run(1)));
        let mut session = filled(Session::plain_of_blocks(&graph, 4).expect("a session"));
        group.throughput(Throughput::Bytes((16 * points) as u64));
        group.bench_function(format!("{name} by definition"), |b| b.iter(|| session.run(1)));
    }
    group.finish();
}

criterion_group!(criterion, benches);

fn main() {
    for (name, points, made) in all() {
        show(name, points, made);
    }
    if std::env::var_os("AUGUR_TABLE_ONLY").is_none() {
        criterion();
        Criterion::default().configure_from_args().final_summary();
    }
}
