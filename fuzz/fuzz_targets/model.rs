//! Any bytes as a model file, and any graph with tensors that its bytes fill: refused, or run with the same result by the
//! definition and by the machine's kernels.
#![no_main]

use augur_core::network::build::{GraphBuilder, ModelBuilder};
use augur_core::network::Session;
use augur_core::Model;

/// Multiply-adds for which a graph is run.
const MOST: f64 = 3e6;

/// Blocks that are computed side by side.
const LANES: usize = 3;

fn check(bytes: &[u8]) {
    let Ok(model) = Model::from_bytes(bytes) else { return };
    assert_eq!(model.bytes(), bytes);
    for (_, graph) in model.graphs() {
        let size = match graph.block() {
            Some([levels, rows, columns]) => [levels, rows, LANES * columns],
            None => [graph.multiple_of_levels(), graph.multiple(), 3 * graph.multiple()],
        };
        let points = size.iter().product::<usize>() as f64;
        if graph.macs_per_point() * points > MOST {
            continue;
        }
        let sessions = match graph.block() {
            Some(_) => (Session::plain_of_blocks(graph, LANES), Session::of_blocks(graph, LANES)),
            None => (Session::plain(graph, size), Session::with_levels(graph, size)),
        };
        let (Ok(mut plain), Ok(mut fast)) = sessions else { continue };
        for k in 0..graph.inputs() {
            let fill = |(i, v): (usize, &mut i16)| *v = ((i as u32).wrapping_mul(2654435761) >> 13) as i16;
            plain.input_mut(k).iter_mut().enumerate().for_each(fill);
            let values = plain.input_mut(k).to_vec();
            fast.input_mut(k).copy_from_slice(&values);
        }
        plain.run(1);
        fast.run(1);
        for k in 0..graph.outputs() {
            assert_eq!(plain.output(k), fast.output(k));
        }
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // Behind a zero byte: nodes as JSON, then the contents of tensors of several types.
    let mut parts = bytes.splitn(2, |b| *b == 0);
    let (Some(text), Some(data)) = (parts.next(), parts.next()) else { return };
    let Ok(serde_json::Value::Array(nodes)) = serde_json::from_slice(text) else { return };
    let mut g = GraphBuilder::new("g");
    let at = |i: usize| data.get(i % data.len().max(1)).copied().unwrap_or(1);
    for c in [1usize, 2, 3, 4, 5, 8] {
        let small: Vec<i8> = (0..c * c * 9).map(|i| at(i) as i8).collect();
        g.tensor(&format!("w{c}"), &[c, c, 3, 3], &small);
        g.tensor(&format!("d{c}"), &[c, c], &small[..c * c]);
        g.tensor(&format!("z{c}"), &[c, c, 3, 1, 3], &small);
        g.tensor(&format!("b{c}"), &[c], &small[..c].iter().map(|v| i32::from(*v) << 8).collect::<Vec<i32>>());
        g.tensor(&format!("m{c}"), &[c], &small[..c].iter().map(|v| 1 + i32::from(v.unsigned_abs())).collect::<Vec<i32>>());
        g.tensor(&format!("s{c}"), &[c], &small[..c].iter().map(|v| 1 + v.unsigned_abs() % 30).collect::<Vec<u8>>());
    }
    g.tensor("t", &[256], &(0..256).map(|i| at(i) as i8).collect::<Vec<i8>>());
    // The first value says whether it is a graph of blocks.
    if let Some(side @ 1..=8) = data.first().map(|v| usize::from(*v)) {
        g.block([side / 3 + 1, side, 8]);
    }
    nodes.into_iter().take(40).for_each(|node| _ = g.node(node));
    if let Ok(bytes) = ModelBuilder::new().graph("g", g).to_bytes() {
        check(&bytes);
    }
});
