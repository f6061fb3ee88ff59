//! Layers whose values depend on the values of the same point and channel alone.

use super::super::fields::Fields;
use super::super::graph::{Element, Node, Op};
use super::super::plain::requantised;
use super::{clamped, Loader};
use crate::error::{Error, Result};

impl Loader<'_> {
    /// A node of two inputs of the same shape, as the first is, and the second of them.
    fn pair(&self, fields: &Fields, op: Op) -> Result<(Node, usize)> {
        let inputs = self.sources(fields, 2)?;
        let second = inputs[1];
        self.same_size(inputs[0], second)?;
        let node = Node { op, ..self.like(inputs) };
        let b = &self.nodes[second];
        if b.channels != node.channels {
            return Err(Error::invalid(format!(
                "its inputs have {} and {} channels",
                node.channels, b.channels
            )));
        }
        Ok((node, second))
    }

    pub(super) fn add_values(&self, fields: &Fields) -> Result<Node> {
        let (mut node, b) = self.pair(fields, Op::Add)?;
        let b = &self.nodes[b];
        let same = b.element == node.element;
        node.element = fields.element(same.then_some(node.element))?;
        let sums = (node.range.0 + b.range.0, node.range.1 + b.range.1);
        node.range = clamped(fields.clamp(node.element)?, sums);
        Ok(node)
    }

    pub(super) fn subtract(&self, fields: &Fields) -> Result<Node> {
        let shift = fields.integer_or("shift", 0, 15, 0)? as u8;
        let (mut node, b) = self.pair(fields, Op::Subtract { shift })?;
        node.element = fields.element(Some(node.element))?;
        let (low, high) = self.nodes[b].range;
        let of = |d: i32| (d + ((1 << shift) >> 1)) >> shift;
        let differences = (of(node.range.0 - high), of(node.range.1 - low));
        node.range = clamped(fields.clamp(node.element)?, differences);
        Ok(node)
    }

    pub(super) fn multiply(&self, fields: &Fields) -> Result<Node> {
        let shift = fields.integer("shift", 1, 30)? as u8;
        let (mut node, b) = self.pair(fields, Op::Multiply { shift })?;
        node.element = fields.element(Some(node.element))?;
        let (a, b) = (node.range, self.nodes[b].range);
        let ends = [a.0 * b.0, a.0 * b.1, a.1 * b.0, a.1 * b.1].map(|p| (p + (1 << (shift - 1))) >> shift);
        let products = ends.iter().fold((i32::MAX, i32::MIN), |(l, h), p| (l.min(*p), h.max(*p)));
        node.range = clamped(fields.clamp(node.element)?, products);
        Ok(node)
    }

    pub(super) fn rescale(&self, fields: &Fields) -> Result<Node> {
        let multiplier = fields.integer("multiplier", 1, 32767)? as i32;
        let shift = fields.integer("shift", 1, 46)? as u8;
        let mut node = self.like_first(fields, Op::Rescale { multiplier, shift })?;
        node.element = fields.element(Some(node.element))?;
        let clamp = fields.clamp(node.element)?;
        let of = |v: i32| requantised(v, multiplier, shift, clamp);
        node.range = (of(node.range.0), of(node.range.1));
        Ok(node)
    }

    pub(super) fn quantise(&self, fields: &Fields) -> Result<Node> {
        let step = fields.integer("step", 1, 32767)? as i32;
        let mut node = self.like_first(fields, Op::Quantise { step })?;
        let (low, high) = node.element.range();
        let to = |v: i32| (v + step / 2).div_euclid(step) * step;
        let limit = (-(-low / step * step), high / step * step);
        node.range = (to(node.range.0).clamp(limit.0, limit.1), to(node.range.1).clamp(limit.0, limit.1));
        Ok(node)
    }

    pub(super) fn table(&self, fields: &Fields) -> Result<Node> {
        let table = self.tensors.i8(fields.text("table")?, &[256])?;
        let mut node = self.like_first(fields, Op::Table(vec![]))?;
        if node.element != Element::I8 {
            return Err(Error::invalid("its input is of type i16, i8 expected"));
        }
        let at = |v: i32| (v + 128) as usize;
        let reached = table[at(node.range.0)..=at(node.range.1)].iter().map(|v| i32::from(*v));
        node.range = (reached.clone().min().unwrap_or(-128), reached.max().unwrap_or(127));
        node.op = Op::Table(table);
        Ok(node)
    }
}
