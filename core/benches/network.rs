//! Speed of the integer networks: each shape of layer that matters, beside the core's peak of 8-bit multiply-adds, and
//! whole forecasters of the sizes `small`, `medium` and `large`.
//!
//! First a table is printed, of minima of interleaved runs; it is what `docs/models.md` states. `AUGUR_CPU` (`portable`,
//! `avx2`) keeps wider instructions unused. Then criterion measures the same.

use augur_core::network::build::{GraphBuilder, ModelBuilder, Weights};
use augur_core::network::{Element, Graph, Session};
use augur_core::Model;
use criterion::{criterion_group, Criterion, Throughput};
use serde_json::json;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs of each loop of the table.
const RUNS: usize = 30;

/// Input channels and type, output channels and type, side of the kernel, stride, side of the input plane.
type Shape = (usize, Element, usize, Element, usize, usize, usize);

const SHAPES: [Shape; 14] = [
    (16, Element::I16, 16, Element::I8, 3, 1, 256),
    (16, Element::I8, 16, Element::I8, 3, 1, 256),
    (16, Element::I8, 16, Element::I8, 3, 1, 64),
    (48, Element::I8, 16, Element::I8, 3, 1, 256),
    (16, Element::I8, 32, Element::I8, 3, 2, 256),
    (32, Element::I8, 32, Element::I8, 3, 1, 128),
    (32, Element::I8, 32, Element::I8, 3, 1, 32),
    (16, Element::I8, 4, Element::I16, 3, 1, 256),
    (16, Element::I16, 4, Element::I16, 3, 1, 256),
    (8, Element::I8, 8, Element::I8, 3, 1, 256),
    (32, Element::I8, 32, Element::I8, 3, 1, 256),
    (64, Element::I8, 64, Element::I8, 3, 1, 128),
    (32, Element::I8, 32, Element::I8, 1, 1, 256),
    (128, Element::I8, 128, Element::I8, 1, 1, 128),
];

/// Weights as training makes them.
fn weights(inputs: usize, outputs: usize, side: usize) -> Weights {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as i32
    };
    Weights {
        shape: vec![outputs, inputs, side, side],
        weight: (0..outputs * inputs * side * side).map(|_| (next() % 128) as i8).collect(),
        bias: (0..outputs).map(|_| next() % 1000).collect(),
        multiplier: (0..outputs).map(|_| (1 << 14) + next() % (1 << 14)).collect(),
        shift: vec![23; outputs],
    }
}

fn conv(
    g: &mut GraphBuilder,
    from: usize,
    inputs: usize,
    outputs: usize,
    side: usize,
    stride: usize,
    to: Element,
) -> usize {
    let clamp = if to == Element::I8 { (0, 127) } else { (-32768, 32767) };
    g.conv("conv2d", from, &weights(inputs, outputs, side), clamp, to, json!({ "stride": stride }))
}

fn loaded(g: GraphBuilder) -> Arc<Graph> {
    let bytes = ModelBuilder::new().graph("g", g).to_bytes().expect("a model");
    let model = Model::from_bytes(&bytes).expect("a model that can be read");
    Arc::clone(model.graph("g").expect("its graph"))
}

/// A graph whose node 2 is the layer, after one that gives values from 0 on.
fn layer(&(inputs, from, outputs, to, side, stride, _): &Shape) -> Arc<Graph> {
    let mut g = GraphBuilder::new("g");
    let input = g.input(inputs, Element::I16);
    let before = conv(&mut g, input, inputs, inputs, 1, 1, from);
    conv(&mut g, before, inputs, outputs, side, stride, to);
    loaded(g)
}

/// The forecaster of `docs/models.md` with `c` channels.
fn forecaster(c: usize) -> Arc<Graph> {
    let mut g = GraphBuilder::new("g");
    let input = g.input(4, Element::I16);
    let x = g.layer("space_to_depth", &[input]);
    let a = conv(&mut g, x, 16, c, 3, 1, Element::I8);
    let a = conv(&mut g, a, c, c, 3, 1, Element::I8);
    let b = conv(&mut g, a, c, 2 * c, 3, 2, Element::I8);
    let b = conv(&mut g, b, 2 * c, 2 * c, 3, 1, Element::I8);
    let u = g.layer("upsample", &[b]);
    let d = g.layer("concat", &[u, a]);
    let d = conv(&mut g, d, 3 * c, c, 3, 1, Element::I8);
    let o = conv(&mut g, d, c, 4, 3, 1, Element::I16);
    let skip = conv(&mut g, x, 16, 4, 3, 1, Element::I16);
    let sum = g.node(json!({"op": "add", "in": [o, skip], "clamp": [-32768, 32767]}));
    g.layer("depth_to_space", &[sum]);
    loaded(g)
}

/// A session with something in its inputs.
fn session(graph: &Arc<Graph>, side: usize) -> Session {
    let mut session = Session::new(graph, side, side).expect("a session");
    let fill = |(i, v): (usize, &mut i16)| *v = ((i as u32).wrapping_mul(2654435761) >> 19) as i16 - 4096;
    session.input_mut(0).iter_mut().enumerate().for_each(fill);
    session.run(1);
    session
}

/// 8-bit multiply-adds of a loop over registers, as many as a core can do.
#[cfg(target_arch = "x86_64")]
fn peak() -> f64 {
    use std::arch::x86_64::*;
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn wide(times: usize) -> usize {
        let (mut sums, a, w) =
            ([_mm512_setzero_si512(); 16], black_box(_mm512_set1_epi32(5)), black_box(_mm512_set1_epi32(7)));
        for _ in 0..times {
            for s in &mut sums {
                *s = _mm512_dpbusd_epi32(*s, a, w);
            }
        }
        black_box(sums);
        16 * 64 * times
    }
    #[target_feature(enable = "avx2")]
    fn narrow(times: usize) -> usize {
        let (mut sums, a, w) =
            ([_mm256_setzero_si256(); 12], black_box(_mm256_set1_epi32(5)), black_box(_mm256_set1_epi32(7)));
        let one = black_box(_mm256_set1_epi16(1));
        for _ in 0..times {
            for s in &mut sums {
                *s = _mm256_add_epi32(*s, _mm256_madd_epi16(_mm256_maddubs_epi16(*s, w), one));
            }
        }
        black_box((sums, a));
        12 * 32 * times
    }
    let limit = std::env::var("AUGUR_CPU").unwrap_or_default();
    let all = is_x86_feature_detected!("avx512vnni") && limit.is_empty();
    let start = Instant::now();
    // SAFETY: the machine has the instructions.
    let done = unsafe {
        match (all, is_x86_feature_detected!("avx2")) {
            (true, _) => wide(40000),
            (false, true) => narrow(40000),
            _ => return f64::NAN,
        }
    };
    done as f64 / start.elapsed().as_secs_f64()
}

#[cfg(not(target_arch = "x86_64"))]
fn peak() -> f64 {
    f64::NAN
}

fn name(&(inputs, from, outputs, to, side, stride, plane): &Shape) -> String {
    let stride = if stride == 2 { " stride 2" } else { "" };
    format!(
        "{side}x{side} {inputs} ({}) -> {outputs} ({}){stride}, {plane} x {plane}",
        from.name(),
        to.name()
    )
}

/// Multiply-adds of a shape.
fn macs(&(inputs, _, outputs, _, side, stride, plane): &Shape) -> f64 {
    (inputs * outputs * side * side * (plane / stride).pow(2)) as f64
}

fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn table() {
    let mut layers: Vec<_> = SHAPES.iter().map(|s| (s, session(&layer(s), s.6), f64::INFINITY)).collect();
    let mut whole: Vec<_> = [(8, 256), (16, 256), (16, 512), (32, 256)]
        .map(|(c, side)| (c, side, session(&forecaster(c), side), [f64::INFINITY; 2]))
        .into();
    let mut best = 0f64;
    for _ in 0..RUNS {
        best = best.max(peak());
        for (_, session, time) in &mut layers {
            *time = time.min(timed(|| session.run_node(2, 1)));
        }
        for (_, _, session, times) in &mut whole {
            for (threads, time) in times.iter_mut().enumerate() {
                *time = time.min(timed(|| session.run(threads + 1)));
            }
        }
    }
    println!("peak of one core: {:.0} G 8-bit multiply-adds per second", best / 1e9);
    for (shape, _, time) in &layers {
        let rate = macs(shape) / time;
        println!(
            "{:48} {:6.1} G/s {:4.0} %  {:.0} us",
            name(shape),
            rate / 1e9,
            100.0 * rate / best,
            time * 1e6
        );
    }
    for (c, side, _, times) in &whole {
        let graph = forecaster(*c);
        let points = (side * side) as f64;
        let rate = graph.macs_per_point() * points / times[0];
        println!(
            "forecaster c = {c}, {side} x {side}: {:.0} multiply-adds per point, {:.1} M points/s, {:.0} % of the peak, two threads {:.2} times as fast",
            graph.macs_per_point(), points / times[0] / 1e6, 100.0 * rate / best, times[0] / times[1]
        );
    }
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("layer");
    group.measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(200));
    for shape in &SHAPES {
        let mut session = session(&layer(shape), shape.6);
        group.throughput(Throughput::Elements(macs(shape) as u64));
        group.bench_function(name(shape), |b| b.iter(|| session.run_node(2, 1)));
    }
    group.finish();
    let mut group = c.benchmark_group("forecaster");
    for (size, c) in [("small", 8), ("medium", 16), ("large", 32)] {
        let mut session = session(&forecaster(c), 256);
        group.throughput(Throughput::Elements(256 * 256));
        group.bench_function(size, |b| b.iter(|| session.run(1)));
    }
    group.finish();
}

criterion_group!(criterion, benches);

fn main() {
    table();
    if std::env::var_os("AUGUR_TABLE_ONLY").is_none() {
        criterion();
        Criterion::default().configure_from_args().final_summary();
    }
}
