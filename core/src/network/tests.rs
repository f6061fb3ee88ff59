//! Random graphs: every kernel and any number of threads give the bits of the definition.

mod blocks;

use super::build::{GraphBuilder, ModelBuilder, Weights};
use super::kernel::Kernel;
use super::{Element, Graph, Model, Session};
use proptest::prelude::*;
use serde_json::{json, Value};
use std::sync::Arc;

/// Pseudo-random numbers.
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

    /// Mostly any, often the ends of the range.
    fn weight(&mut self) -> i8 {
        match self.below(8) {
            0 => -128,
            1 => 127,
            _ => self.next() as i8,
        }
    }
}

/// What is known of a node while a graph is made.
#[derive(Clone, Copy, PartialEq)]
struct Known {
    channels: usize,
    element: Element,
    down: usize,
    /// The same for levels.
    deep: usize,
}

fn weights(random: &mut Random, outputs: usize, inputs: usize, kernel: [usize; 2], gain: usize) -> Weights {
    let n = outputs * inputs * kernel[0] * kernel[1];
    // About as large as it came in, so that clamps and windows are met now and then.
    let shift = (15.0 + (n as f64 / outputs as f64).sqrt().log2() + 6.5) as usize - gain;
    Weights {
        shape: vec![outputs, inputs, kernel[0], kernel[1]],
        weight: (0..n).map(|_| random.weight()).collect(),
        bias: (0..outputs).map(|_| random.next() as i32 % 20000 - 10000).collect(),
        multiplier: (0..outputs).map(|_| 1 + random.below(32767) as i32).collect(),
        shift: (0..outputs).map(|_| (shift - 2 + random.below(4)).clamp(1, 46) as u8).collect(),
    }
}

/// Both objects' keys.
fn merged(mut a: Value, b: Value) -> Value {
    if let (Some(a), Value::Object(b)) = (a.as_object_mut(), b) {
        a.extend(b);
    }
    a
}

/// Adds a generalised divisive normalisation, or its inverse, of `c` channels, as node `at` over node `i`.
fn normalised(g: &mut GraphBuilder, random: &mut Random, at: usize, i: usize, c: usize) -> Element {
    let (element, inverse) = (random.element(), random.below(2) == 1);
    let name = |what: &str| format!("{what}{at}");
    let beta: Vec<i32> = (0..c).map(|_| 1 + random.below(20000) as i32).collect();
    let gamma: Vec<i8> = (0..c * c).map(|_| random.below(128) as i8).collect();
    let most = if inverse { 32767 } else { i32::MAX as usize };
    let most = most >> random.below(15);
    let multiplier: Vec<i32> = (0..c).map(|_| 1 + random.below(most) as i32).collect();
    let mut node = json!({
        "beta": g.tensor(&name("beta"), &[c], &beta),
        "gamma": g.tensor(&name("gamma"), &[c, c], &gamma),
        "multiplier": g.tensor(&name("m"), &[c], &multiplier),
        "type": element.name(),
    });
    if inverse {
        let shift: Vec<u8> = (0..c).map(|_| 1 + random.below(62) as u8).collect();
        node["shift"] = json!(g.tensor(&name("s"), &[c], &shift));
    }
    g.with(if inverse { "igdn" } else { "gdn" }, &[i], node);
    element
}

/// A graph of convolutions and what stands between them, with one or two outputs.
fn graph(seed: u64) -> Arc<Graph> {
    let mut random = Random(seed);
    let mut g = GraphBuilder::new("g");
    let mut known: Vec<Known> = vec![];
    let levels = random.below(3) == 0;
    for _ in 0..1 + random.below(2) {
        let k = Known { channels: 1 + random.below(9), element: random.element(), down: 0, deep: 0 };
        g.node(json!({
            "op": "input", "channels": k.channels, "type": k.element.name(), "rank": if levels { 3 } else { 2 },
        }));
        known.push(k);
    }
    while known.len() < 12 {
        let i = known.len() - 1 - random.below(known.len().min(4));
        let k = known[i];
        let partner = (0..i).rev().find(|&j| known[j] == k);
        // One of the same shape, of whatever type, or itself.
        let other = (0..known.len()).rev().filter(|&j| Known { element: k.element, ..known[j] } == k);
        let other = other.clone().nth(random.below(other.count()));
        let new = match random.below(19) {
            0..=3 => {
                let outputs = 1 + random.below(20);
                let mut kernel = [[3, 3], [1, 1], [5, 3], [3, 7], [1, 15]][random.below(5)];
                if k.element == Element::I16 && k.channels * kernel[0] * kernel[1] > 500 {
                    // Sums could overflow.
                    kernel = [1, 1];
                }
                let element = random.element();
                let down = usize::from(random.below(3) == 0 && k.down < 3);
                let gain = if element == k.element {
                    0
                } else if element == Element::I16 {
                    7
                } else {
                    1
                };
                let w = weights(&mut random, outputs, k.channels, kernel, gain);
                let (low, high) = element.range();
                let clamp = [(low, high), (0, high), (0, high), (-5, 9)][random.below(4)];
                g.conv("conv2d", i, &w, clamp, element, json!({ "stride": 1 + down }));
                Known { channels: outputs, element, down: k.down + down, ..k }
            }
            4 if k.down > 0 && (!levels || k.deep > 0) => {
                g.layer("upsample", &[i]);
                Known { down: k.down - 1, deep: k.deep - usize::from(levels), ..k }
            }
            5 if k.channels < 10 && k.down < 3 => {
                g.layer("space_to_depth", &[i]);
                Known { channels: 4 * k.channels, down: k.down + 1, ..k }
            }
            6 if k.channels.is_multiple_of(4) && k.down > 0 => {
                g.layer("depth_to_space", &[i]);
                Known { channels: k.channels / 4, down: k.down - 1, ..k }
            }
            7 => match (0..known.len())
                .rev()
                .find(|&j| j != i && Known { channels: k.channels, ..known[j] } == k)
            {
                Some(j) => {
                    g.layer("concat", &[i, j]);
                    Known { channels: k.channels + known[j].channels, ..k }
                }
                None => continue,
            },
            8 => match partner {
                Some(j) => {
                    let clamp = [(-100, 100), (0, 127), (1, 5)][random.below(3)];
                    g.node(json!({"op": "add", "in": [i, j], "clamp": [clamp.0, clamp.1]}));
                    k
                }
                None => continue,
            },
            9 if k.channels > 1 => {
                let channels = 1 + random.below(k.channels - 1);
                // Often where a word begins.
                let from = random.below(k.channels - channels + 1) & [!3, !0][random.below(2)];
                g.slice(i, from, channels);
                Known { channels, ..k }
            }
            10 => {
                let element = random.element();
                let shift = if element == Element::I8 && k.element == Element::I16 { 23 } else { 14 };
                let (low, high) = element.range();
                let clamp = [(low, high), (0, high), (-7, 100)][random.below(3)];
                g.with("rescale", &[i], json!({
                    "multiplier": 1 + random.below(32767), "shift": shift + random.below(3), "type": element.name(),
                    "clamp": [clamp.0, clamp.1],
                }));
                Known { element, ..k }
            }
            11 | 12 => {
                let (Some(j), element) = (other, random.element()) else { continue };
                let (low, high) = element.range();
                let clamp = [(low, high), (0, high), (-100, 90)][random.below(3)];
                let more = json!({"type": element.name(), "clamp": [clamp.0, clamp.1]});
                match random.below(3) {
                    0 => _ = g.with("add", &[i, j], more),
                    1 => {
                        let shift = json!({"shift": random.below(4) * 5});
                        g.with("subtract", &[j, i], merged(more, shift));
                    }
                    _ => {
                        let shift = json!({"shift": ([7, 1, 8, 15, 30][random.below(5)])});
                        g.with("multiply", &[i, j], merged(more, shift));
                    }
                }
                Known { element, ..k }
            }
            13 if k.element == Element::I8 => {
                let table: Vec<i8> = (0..256).map(|_| random.next() as i8).collect();
                let name = g.tensor(&format!("table{}", known.len()), &[256], &table);
                g.with("table", &[i], json!({ "table": name }));
                k
            }
            14 if k.down < 3 && k.deep < 2 => {
                g.layer("maxpool", &[i]);
                Known { down: k.down + 1, deep: k.deep + usize::from(levels), ..k }
            }
            15 if levels && (k.element == Element::I8 || k.channels <= 18) => {
                let (outputs, down) =
                    (1 + random.below(20), usize::from(random.below(3) == 0 && k.down < 3 && k.deep < 2));
                let side = || [3, 3, 3];
                let kernel = if k.element == Element::I8 {
                    [side(), [1, 3, 5], [5, 1, 1]][random.below(3)]
                } else {
                    side()
                };
                let element = random.element();
                let mut w = weights(
                    &mut random,
                    outputs,
                    k.channels * kernel[0],
                    [kernel[1], kernel[2]],
                    usize::from(element == Element::I16) * 6,
                );
                w.shape = vec![outputs, k.channels, kernel[0], kernel[1], kernel[2]];
                g.conv("conv3d", i, &w, element.range(), element, json!({ "stride": 1 + down }));
                Known { channels: outputs, element, down: k.down + down, deep: k.deep + down }
            }
            16 if k.down > 0 && (k.element == Element::I8 || k.channels <= 20) => {
                let (outputs, element) = (1 + random.below(20), random.element());
                let kernel = [[3, 3], [1, 1], [5, 3], [1, 5], [7, 1]][random.below(5)];
                let w = weights(
                    &mut random,
                    outputs,
                    k.channels,
                    kernel,
                    usize::from(element == Element::I16) * 6,
                );
                let clamp = [element.range(), (0, 90)][random.below(2)];
                g.conv("conv2d_transposed", i, &w, clamp, element, json!({}));
                Known { channels: outputs, element, down: k.down - 1, ..k }
            }
            17 if k.element == Element::I8 => {
                let element = normalised(&mut g, &mut random, known.len(), i, k.channels);
                Known { element, ..k }
            }
            18 => {
                g.with("quantise", &[i], json!({"step": 1 + random.below(300)}));
                k
            }
            _ => continue,
        };
        known.push(new);
    }
    if random.below(2) == 0 {
        g.key("outputs", json!([known.len() - 1, random.below(known.len() - 1)]));
    }
    let bytes = ModelBuilder::new().graph("g", g).to_bytes().unwrap();
    Arc::clone(Model::from_bytes(&bytes).unwrap().graph("g").unwrap())
}

/// Sessions with the same values in.
fn run(
    graph: &Arc<Graph>,
    kernel: Option<Kernel>,
    size: [usize; 3],
    seed: u64,
    threads: usize,
) -> Vec<Vec<i16>> {
    let mut session = Session::made(graph, size, kernel).unwrap();
    // Twice, so that memory that is used again is noticed.
    for turn in 0..2 {
        let mut random = Random(seed + turn);
        for k in 0..graph.inputs() {
            session.input_mut(k).iter_mut().for_each(|v| *v = random.next() as i16 >> (random.below(3) * 5));
        }
        session.run(threads);
    }
    (0..graph.outputs()).map(|k| session.output(k).to_vec()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(debug_assertions) { 15 } else { 400 }, ..Default::default() })]
    #[test]
    fn every_kernel_gives_the_defined_bits(seed: u64, rows in 1usize..4, columns in 1usize..14) {
        let graph = graph(seed);
        let levels = graph.input(0).is_some_and(|i| i.levels);
        let size = [if levels { 4 } else { 1 }, 8 * rows, 8 * columns];
        let expected = run(&graph, None, size, seed, 1);
        for kernel in Kernel::all() {
            for threads in [1, 3] {
                let found = run(&graph, Some(kernel), size, seed, threads);
                prop_assert!(found == expected, "{:?}, {} threads, {:?}", kernel, threads, graph.nodes);
            }
        }
    }
}
