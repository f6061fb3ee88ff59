//! The same for graphs of blocks, for several numbers of lanes.

use super::{normalised, weights, Random};
use crate::network::build::{GraphBuilder, ModelBuilder};
use crate::network::kernel::Kernel;
use crate::network::{Element, Graph, Model, Session};
use proptest::prelude::*;
use serde_json::json;
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq)]
struct Known {
    channels: usize,
    element: Element,
    points: [usize; 3],
}

/// A convolution with a kernel of three axes where the block has levels, otherwise of two.
fn conv(g: &mut GraphBuilder, random: &mut Random, i: usize, k: Known, deep: bool) -> Option<Known> {
    let outputs = [1, 1, 2, 4, 7, 16, 21][random.below(7)];
    let mut kernel = [[3, 3, 3], [1, 1, 1], [3, 1, 5], [1, 5, 3], [5, 3, 1], [1, 1, 7]][random.below(6)];
    kernel[0] = if deep { kernel[0] } else { 1 };
    if k.element == Element::I16 && k.channels * kernel.iter().product::<usize>() > 450 {
        // Sums could overflow.
        kernel = [1; 3];
    }
    let (transposed, even) = (random.below(4) == 0, k.points.map(|n| n % 2 == 0));
    let axes = if deep { 0 } else { 1 };
    let strided = !transposed && random.below(3) > 0 && even[axes..].iter().all(|e| *e);
    let mut points = k.points;
    for n in &mut points[axes..] {
        *n = if transposed { 2 * *n } else { *n >> usize::from(strided) };
    }
    if (k.element == Element::I16 && k.channels > 450)
        || points.iter().product::<usize>() > 600
        || (!deep && k.points[0] > 1)
    {
        return None;
    }
    let element = random.element();
    let gain = if element == Element::I16 { 6 } else { usize::from(k.element == Element::I8) };
    let mut w = weights(random, outputs, k.channels * kernel[0], [kernel[1], kernel[2]], gain);
    w.shape = [&[outputs, k.channels][..], &kernel[axes..]].concat();
    let op = ["conv2d", "conv3d", "conv2d_transposed", "conv3d_transposed"];
    let op = op[2 * usize::from(transposed) + usize::from(deep)];
    let more = if transposed { json!({}) } else { json!({ "stride": 1 + usize::from(strided) }) };
    let (low, high) = element.range();
    let clamp = [(low, high), (0, high), (-5, 9)][random.below(3)];
    g.conv(op, i, &w, clamp, element, more);
    Some(Known { channels: outputs, element, points })
}

/// A graph of what networks of blocks consist of, with one or two outputs.
fn graph(seed: u64) -> Arc<Graph> {
    let mut random = Random(seed);
    let mut g = GraphBuilder::new("g");
    let deep = random.below(2) == 0;
    let block = match deep {
        true => [[4, 4, 4], [2, 4, 6], [8, 8, 8], [2, 3, 5]][random.below(4)],
        false => [[1, 8, 8], [1, 4, 12], [1, 16, 16], [1, 1, 40], [1, 5, 3]][random.below(5)],
    };
    g.block(block);
    let mut known: Vec<Known> = vec![];
    for _ in 0..1 + random.below(2) {
        let (channels, element) = ([1, 1, 4, 7][random.below(4)], random.element());
        let points = [block, block.map(|n| n.div_ceil(2)), [1; 3]][random.below(3)];
        g.input_of(channels, element, points);
        known.push(Known { channels, element, points });
    }
    let mut tries = 0;
    while known.len() < 12 && tries < 200 {
        tries += 1;
        let i = known.len() - 1 - random.below(known.len().min(3));
        let k = known[i];
        let all: usize = k.points.iter().product();
        let other = (0..i).rev().find(|&j| Known { channels: k.channels, ..known[j] } == k);
        let new = match random.below(14) {
            0..=4 => match conv(&mut g, &mut random, i, k, deep) {
                Some(new) => new,
                None => continue,
            },
            5 | 6 if all > 1 && all * k.channels <= 1500 => {
                g.layer("flatten", &[i]);
                Known { channels: all * k.channels, points: [1; 3], ..k }
            }
            7 if all == 1 && k.channels.is_multiple_of(4) => {
                let size = [[1, 2, 2], [4, 1, 1], [2, 1, 2]][if deep { random.below(3) } else { 0 }];
                g.unflatten(i, size);
                Known { channels: k.channels / 4, points: size, ..k }
            }
            8 if k.element == Element::I8 || k.channels < 400 => {
                let (outputs, element) = (1 + random.below(40), random.element());
                let mut w = weights(&mut random, outputs, k.channels, [1, 1], 1);
                w.shape.truncate(2);
                g.conv("dense", i, &w, element.range(), element, json!({}));
                Known { channels: outputs, element, ..k }
            }
            9 if k.element == Element::I8 && k.channels < 100 => {
                Known { element: normalised(&mut g, &mut random, known.len(), i, k.channels), ..k }
            }
            10 => match other {
                Some(j) => {
                    g.layer("concat", &[i, j]);
                    Known { channels: k.channels + known[j].channels, ..k }
                }
                None => continue,
            },
            11 if k.channels > 1 => {
                let channels = 1 + random.below(k.channels - 1);
                let from = random.below(k.channels - channels + 1) & [!3, !0][random.below(2)];
                g.slice(i, from, channels);
                Known { channels, ..k }
            }
            12 if k.element == Element::I8 => {
                let table: Vec<i8> = (0..256).map(|_| random.next() as i8).collect();
                let name = g.tensor(&format!("table{}", known.len()), &[256], &table);
                g.with("table", &[i], json!({ "table": name }));
                k
            }
            13 => {
                g.with("quantise", &[i], json!({"step": 1 + random.below(300)}));
                k
            }
            _ => continue,
        };
        known.push(new);
    }
    if random.below(2) == 0 && known.len() > 1 {
        g.key("outputs", json!([known.len() - 1, random.below(known.len() - 1)]));
    }
    let bytes = ModelBuilder::new().graph("g", g).to_bytes().unwrap();
    Arc::clone(Model::from_bytes(&bytes).unwrap().graph("g").unwrap())
}

fn run(graph: &Arc<Graph>, kernel: Option<Kernel>, lanes: usize, seed: u64, threads: usize) -> Vec<Vec<i16>> {
    super::run(graph, kernel, [1, 1, lanes], seed, threads)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(debug_assertions) { 15 } else { 400 }, ..Default::default() })]
    #[test]
    fn every_kernel_gives_the_defined_bits(seed: u64, lanes in prop::sample::select(vec![1usize, 3, 16, 17, 64])) {
        let graph = graph(seed);
        let expected = run(&graph, None, lanes, seed, 1);
        for kernel in Kernel::all() {
            for threads in [1, 3] {
                let found = run(&graph, Some(kernel), lanes, seed, threads);
                prop_assert!(found == expected, "{:?}, {} threads, {:?}", kernel, threads, graph.nodes);
            }
        }
    }

    #[test]
    fn blocks_do_not_know_of_each_other(seed: u64) {
        let graph = graph(seed);
        let mut all = Session::of_blocks(&graph, 5).unwrap();
        let mut one = Session::of_blocks(&graph, 1).unwrap();
        let mut random = Random(seed);
        for k in 0..graph.inputs() {
            all.input_mut(k).iter_mut().for_each(|v| *v = random.next() as i16);
        }
        all.run(1);
        for lane in 0..5 {
            for k in 0..graph.inputs() {
                let values: Vec<i16> = all.input_mut(k).iter().skip(lane).step_by(5).copied().collect();
                one.input_mut(k).copy_from_slice(&values);
            }
            one.run(1);
            for k in 0..graph.outputs() {
                let values: Vec<i16> = all.output(k).iter().skip(lane).step_by(5).copied().collect();
                prop_assert_eq!(&values[..], one.output(k));
            }
        }
    }
}
