//! Layers of which each value depends on the values of the same point and channel alone, on packed rows.
//!
//! Where all values have one type, words are seen as rows of values. Otherwise all are brought to 16 bits, and what comes
//! out is brought to 8 bits again where it has to be. Any function of one 8-bit value is a table.

use super::graph::{Element, Node, Op};
use super::kernel::lookup;
use super::packed::{Layout, BEFORE};
use super::plain::requantised;
use super::room::Room;
use super::source::Source;
use super::views::{bytes, bytes_mut, halves, halves_mut};
use crate::machine::for_this_machine;

/// A layer that is computed row by row.
pub struct Pointwise<'a> {
    node: &'a Node,
    layout: Layout,
    inputs: Vec<Source<'a>>,
    /// The values for -128 to 127, where it is a function of one 8-bit value.
    table: Option<[i8; 256]>,
    /// Rows of words: two operands, and the two halves of what comes out.
    rows: [&'a mut [u32]; 4],
}

impl<'a> Pointwise<'a> {
    /// Whether the layer is one.
    pub fn has(op: &Op) -> bool {
        matches!(
            op,
            Op::Add
                | Op::Subtract { .. }
                | Op::Multiply { .. }
                | Op::Rescale { .. }
                | Op::Table(_)
                | Op::Quantise { .. }
        )
    }

    /// The layer `node` of the inputs.
    pub fn new(node: &'a Node, layout: Layout, inputs: Vec<Source<'a>>, room: &'a mut Room) -> Self {
        let small = layout.element == Element::I8 && inputs.iter().all(|i| i.element == Element::I8);
        let range = node.range;
        let table = match &node.op {
            Op::Table(table) => table.first_chunk().copied(),
            Op::Rescale { multiplier, shift } if small => {
                Some(std::array::from_fn(|i| requantised(i as i32 - 128, *multiplier, *shift, range) as i8))
            }
            Op::Quantise { step } if small => {
                let of = |v: i32| ((v + step / 2).div_euclid(*step) * step).clamp(range.0, range.1) as i8;
                Some(std::array::from_fn(|i| of(i as i32 - 128)))
            }
            _ => None,
        };
        let (.., rows) = room.take(0, 0, layout.size[2]);
        Self { node, layout, inputs, table, rows }
    }

    /// Computes row `r`.
    pub fn row(&mut self, r: usize, out: &mut [u32]) {
        for (g, out) in out.chunks_exact_mut(self.layout.stride()).enumerate() {
            let out = &mut out[BEFORE..BEFORE + self.layout.size[2]];
            if !self.of_bytes(r, g, out) {
                self.of_halves(r, g, out);
            }
        }
    }

    /// Group `g` of row `r`, if nothing has more than 8 bits, not even on the way.
    fn of_bytes(&self, r: usize, g: usize, out: &mut [u32]) -> bool {
        let group = |k: usize| self.inputs.get(k)?.group(r, g);
        let (Some(a), out) = (group(0), bytes_mut(out)) else { return false };
        if let Some(table) = &self.table {
            lookup(table, bytes(a), out);
            return true;
        }
        let all = self.inputs.iter().all(|i| i.element == Element::I8) && self.layout.element == Element::I8;
        let (Some(b), true) = (group(1), all) else { return false };
        let (low, high) = (self.node.range.0 as i16, self.node.range.1 as i16);
        match self.node.op {
            Op::Add => add_bytes(bytes(a), bytes(b), low, high, out),
            Op::Subtract { shift } => subtract_bytes(bytes(a), bytes(b), shift.into(), low, high, out),
            // The product and what it is rounded by have 16 bits.
            Op::Multiply { shift } if shift <= 14 => {
                multiply_bytes(bytes(a), bytes(b), shift.into(), low, high, out);
            }
            _ => return false,
        }
        true
    }

    /// Group `g` of row `r`.
    fn of_halves(&mut self, r: usize, g: usize, out: &mut [u32]) {
        let [a, b, first, second] = &mut self.rows;
        let mut one = |g: usize, out: &mut [u32]| {
            let Some(x) = widened(&self.inputs[0], r, g, a) else { return };
            let (x, out, (low, high)) = (halves(x), halves_mut(out), self.node.range);
            match self.node.op {
                // Less than 1/2 in any case.
                Op::Rescale { shift, .. } if shift > 30 => out.fill(0.clamp(low, high) as i16),
                Op::Rescale { multiplier, shift } => rescale(x, multiplier, shift.into(), low, high, out),
                Op::Quantise { step } => quantise(x, step, low, high, out),
                _ => {
                    let Some(y) = self.inputs.get(1).and_then(|input| widened(input, r, g, b)) else {
                        return;
                    };
                    let y = halves(y);
                    match self.node.op {
                        Op::Subtract { shift } => subtract(x, y, shift.into(), low, high, out),
                        Op::Multiply { shift } => multiply(x, y, shift.into(), low, high, out),
                        _ => add(x, y, low, high, out),
                    }
                }
            }
        };
        match self.layout.element {
            Element::I16 => one(g, out),
            Element::I8 => {
                one(2 * g, first);
                one(2 * g + 1, second);
                narrow(first, second, out);
            }
        }
    }
}

/// The two channels of group `g` as 16-bit values, in `room` if they are not.
fn widened<'b>(source: &Source<'b>, r: usize, g: usize, room: &'b mut [u32]) -> Option<&'b [u32]> {
    match source.element {
        Element::I16 => source.group(r, g),
        Element::I8 => {
            widen(source.group(r, g / 2)?, (g % 2 * 16) as u32, room);
            Some(room)
        }
    }
}

for_this_machine! {
    /// The two 8-bit values from bit `first` on as 16-bit ones.
    pub fn widen(words: &[u32], first: u32, out: &mut [u32]) {
        for (o, v) in out.iter_mut().zip(words) {
            let v = *v >> first;
            *o = (v as i8 as u32 & 0xffff) | (((v << 16) as i32 >> 8) as u32 & 0xffff_0000);
        }
    }
}

for_this_machine! {
    /// The low bytes of four 16-bit values.
    pub fn narrow(first: &[u32], second: &[u32], out: &mut [u32]) {
        for ((o, a), b) in out.iter_mut().zip(first).zip(second) {
            *o = (a & 0xff) | (a >> 8 & 0xff00) | (b & 0xff) << 16 | (b << 8 & 0xff00_0000);
        }
    }
}

for_this_machine! {
    pub fn add_bytes(a: &[i8], b: &[i8], low: i16, high: i16, out: &mut [i8]) {
        for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
            *o = (i16::from(*a) + i16::from(*b)).max(low).min(high) as i8;
        }
    }
}

for_this_machine! {
    pub fn subtract_bytes(a: &[i8], b: &[i8], shift: u32, low: i16, high: i16, out: &mut [i8]) {
        let half = (1i16 << shift) >> 1;
        let half = if shift == 15 { 1 << 14 } else { half };
        for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
            *o = ((i16::from(*a) - i16::from(*b) + half) >> shift).max(low).min(high) as i8;
        }
    }
}

for_this_machine! {
    /// `shift` is at most 14.
    pub fn multiply_bytes(a: &[i8], b: &[i8], shift: u32, low: i16, high: i16, out: &mut [i8]) {
        let half = 1i16 << (shift - 1);
        for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
            *o = ((i16::from(*a) * i16::from(*b) + half) >> shift).max(low).min(high) as i8;
        }
    }
}

for_this_machine! {
    pub fn add(a: &[i16], b: &[i16], low: i32, high: i32, out: &mut [i16]) {
        for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
            *o = (i32::from(*a) + i32::from(*b)).max(low).min(high) as i16;
        }
    }
}

for_this_machine! {
    pub fn subtract(a: &[i16], b: &[i16], shift: u32, low: i32, high: i32, out: &mut [i16]) {
        let half = (1 << shift) >> 1;
        for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
            *o = ((i32::from(*a) - i32::from(*b) + half) >> shift).max(low).min(high) as i16;
        }
    }
}

for_this_machine! {
    pub fn multiply(a: &[i16], b: &[i16], shift: u32, low: i32, high: i32, out: &mut [i16]) {
        let half = 1 << (shift - 1);
        for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
            *o = ((i32::from(*a) * i32::from(*b) + half) >> shift).max(low).min(high) as i16;
        }
    }
}

for_this_machine! {
    /// `shift` is at most 30: then nothing has more than 32 bits.
    pub fn rescale(x: &[i16], multiplier: i32, shift: u32, low: i32, high: i32, out: &mut [i16]) {
        let half = 1 << (shift - 1);
        for (o, v) in out.iter_mut().zip(x) {
            *o = ((i32::from(*v) * multiplier + half) >> shift).max(low).min(high) as i16;
        }
    }
}

for_this_machine! {
    pub fn quantise(x: &[i16], step: i32, low: i32, high: i32, out: &mut [i16]) {
        // Quotients in floating point, 17 bits by 15: off by less than the distance to the next integer.
        let (half, divisor) = (step / 2, step as f32);
        for (o, v) in out.iter_mut().zip(x) {
            let q = ((i32::from(*v) + half) as f32 / divisor).floor() as i32;
            *o = q.wrapping_mul(step).max(low).min(high) as i16;
        }
    }
}
