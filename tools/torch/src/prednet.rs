//! PredNet (Lotter, Kreiman, Cox: Deep Predictive Coding Networks for Video Prediction and Unsupervised Learning, ICLR 2017,
//! section 2) as a graph that is run once for each frame.
//!
//! Errors go up: E = [relu(P - A), relu(A - P)] at each level, where P is what was predicted and A of the level above is
//! maxpool(relu(conv(E))). Then predictions go down: a ConvLSTM cell reads E, what it remembers and the cell above, and P = relu(conv(R)).
//! At the lowest level A is the frame. There P has a linear branch from the input besides, which starts as the last frame (or
//! some of its last change), so that training need not learn first that frames resemble each other.

use crate::cell::{cell, remembered, Memory};
use crate::graph::{Builder, Graph, Values};
use crate::recurrent::Plan;

/// Power of 2 from differences of the lowest level, of 16 bits, to its errors of 8.
const FRAME_SHIFT: u8 = 5;

/// What a level remembers.
struct Level {
    predicted: usize,
    memory: Memory,
}

/// The graph: input 0 and output 0 as the plan says, then of each level what was predicted, hidden state and memory.
pub fn graph(plan: &Plan) -> Graph {
    let c = plan.channels;
    let mut net = Builder::new(c * plan.planes);
    let level = |net: &mut Builder, l: usize, width: i64| {
        let (channels, values) = if l == 0 { (c, Values::LINEAR) } else { (width, Values::HIDDEN) };
        let predicted = net.input(channels, l as u8, values);
        Level { predicted, memory: remembered(net, width, l as u8) }
    };
    let before: Vec<Level> = plan.widths.iter().enumerate().map(|(l, w)| level(&mut net, l, *w)).collect();
    let context = (plan.context > 0).then(|| net.hidden(0, plan.context, 3, 1));
    let mut actual = if plan.planes == 2 { net.slice(0, c, c) } else { 0 };
    let mut errors = vec![];
    for (l, level) in before.iter().enumerate() {
        let shift = if l == 0 { FRAME_SHIFT } else { 0 };
        let more = net.rectified_difference(level.predicted, actual, shift);
        let less = net.rectified_difference(actual, level.predicted, shift);
        let mut known = vec![more, less];
        known.extend(context.filter(|_| l == 0));
        errors.push(known.clone());
        if let Some(width) = plan.widths.get(l + 1) {
            let error = net.concat(&known);
            let features = net.hidden(error, *width, 3, 1);
            actual = net.maxpool(features);
        }
    }
    let (mut above, mut after) = (None, vec![]);
    for (l, level) in before.iter().enumerate().rev() {
        let mut known = errors[l].clone();
        known.extend(above.map(|k| net.upsample(k)));
        let memory = cell(&mut net, &known, level.memory);
        above = Some(memory.hidden);
        let predicted = if l > 0 {
            net.hidden(memory.hidden, plan.widths[l], 3, 1)
        } else {
            let correction = net.linear(memory.hidden, c, 3);
            let passed = plan.passing(&mut net);
            net.add(correction, passed)
        };
        after.push([predicted, memory.hidden, memory.cell]);
    }
    let states: Vec<usize> = after.into_iter().rev().flatten().collect();
    // A node is an output once, so the forecast is the prediction's copy.
    let forecast = net.slice(states[0], 0, c);
    net.finish_with([&[forecast], &states[..]].concat())
}
