//! The convolutional LSTM cell (Shi et al. 2015, equation 3, without peepholes) in integers.
//!
//! Input, forget and output gates are hard sigmoids: a convolution to 8 bits, whose clamp to 0..127 of 128 units per 1 is the
//! sigmoid's, with its slope in the weights. The cell's memory has 16 bits, what goes out 8.

use crate::graph::{Builder, Start, Values};
use augur_core::network::Element;

/// Units per 1.0 of a cell's memory, which holds values of up to 16.
const MEMORY: f64 = 2048.0;
/// Slope of a hard sigmoid.
const SLOPE: f64 = 0.2;
/// Powers of 2 from a product of a gate and a value to what is kept of it: gate times memory, gate times 8-bit value to memory, gate
/// times 8-bit value; and from memory to what goes into the tanh.
const SHIFTS: [u8; 4] = [7, 3, 7, 6];

/// Nodes of what a cell remembers.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// What goes out.
    pub hidden: usize,
    /// What is kept.
    pub cell: usize,
}

/// The inputs by which a network gets back what a cell of so many `channels` remembered, on a lattice halved `down` times.
pub fn remembered(net: &mut Builder, channels: i64, down: u8) -> Memory {
    let cell = Values { unit: MEMORY, ..Values::LINEAR };
    Memory { hidden: net.input(channels, down, Values::AROUND_ZERO), cell: net.input(channels, down, cell) }
}

/// A cell that reads `from`, 8-bit nodes, and what it remembers; gives what it remembers then.
pub fn cell(net: &mut Builder, from: &[usize], memory: Memory) -> Memory {
    let n = net.channels(memory.hidden);
    let all = net.concat(&[from, &[memory.hidden]].concat());
    let gates = net.conv(all, 3 * n, 3, 1, Values::GATE, Start::Random(SLOPE, 0.5));
    let [input, forget, output] = [0, n, 2 * n].map(|first| net.slice(gates, first, n));
    let new = net.conv(all, n, 3, 1, Values::BEFORE_TANH, Start::Random(1.0, 0.0));
    let new = net.tanh(new);
    let kept = net.multiply(forget, memory.cell, SHIFTS[0], Element::I16);
    let added = net.multiply(input, new, SHIFTS[1], Element::I16);
    let cell = net.add(kept, added);
    let narrow = net.narrow(cell, SHIFTS[3]);
    let shown = net.tanh(narrow);
    Memory { hidden: net.multiply(output, shown, SHIFTS[2], Element::I8), cell }
}
