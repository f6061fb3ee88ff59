//! A ConvLSTM encoder and forecaster (Shi, Chen, Wang, Yeung, Wong, Woo: Convolutional LSTM Network: A Machine Learning Approach for
//! Precipitation Nowcasting, NIPS 2015, section 3.3) as a graph that is run once for each frame.
//!
//! The encoder's cells lie above each other, each on half the lattice of the one below. As one frame is forecast at a time, the
//! forecaster needs no memory of its own: it reads the cells' states from the coarsest to the finest one. A linear branch
//! from the input is added, which starts as the last frame (or some of its last change).

use crate::cell::{cell, remembered};
use crate::graph::{Builder, Graph};
use crate::recurrent::Plan;

/// The graph: input 0 and output 0 as the plan says, then of each cell hidden state and memory.
pub fn graph(plan: &Plan) -> Graph {
    let mut net = Builder::new(plan.channels * plan.planes);
    let before: Vec<_> =
        plan.widths.iter().enumerate().map(|(l, width)| remembered(&mut net, *width, l as u8)).collect();
    let mut after = vec![];
    let mut below = 0;
    for (l, (width, memory)) in plan.widths.iter().zip(before).enumerate() {
        let read = net.hidden(below, *width, 3, if l == 0 { 1 } else { 2 });
        let memory = cell(&mut net, &[read], memory);
        below = memory.hidden;
        after.push(memory);
    }
    let mut known = below;
    for (memory, width) in after.iter().zip(&plan.widths).rev().skip(1) {
        let up = net.upsample(known);
        let both = net.concat(&[up, memory.hidden]);
        known = net.hidden(both, *width, 3, 1);
    }
    let correction = net.linear(known, plan.channels, 3);
    let passed = plan.passing(&mut net);
    let forecast = net.add(correction, passed);
    let states = after.iter().flat_map(|m| [m.hidden, m.cell]);
    let outputs = std::iter::once(forecast).chain(states).collect();
    net.finish_with(outputs)
}
