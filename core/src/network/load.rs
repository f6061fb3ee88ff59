//! Graphs as they stand in model files: every size, type and range is checked, and that no sum can overflow.

mod blocks;
mod pointwise;

use super::fields::Fields;
use super::graph::{
    Conv, Gdn, Graph, Node, Op, Requantise, MAX_BLOCK_CHANNELS, MAX_CHANNELS, MAX_DOWN, MAX_KERNEL,
    MAX_MACS_PER_POINT, MAX_NODES, MAX_WEIGHTS,
};
use super::tensors::Tensors;
use super::weights::Packed;
use crate::error::{Error, ErrorKind, Result};
use serde_json::Value;

/// Most inputs, and most outputs, of a graph.
const MAX_PORTS: usize = 64;

/// Reads a graph.
pub fn graph(value: &Value, tensors: &Tensors) -> Result<Graph> {
    let Some(map) = value.as_object() else {
        return Err(Error::invalid("it is no JSON object"));
    };
    let Some(list) = map.get("nodes").and_then(Value::as_array) else {
        return Err(Error::invalid("it has no list of nodes"));
    };
    if list.is_empty() || list.len() > MAX_NODES {
        return Err(Error::invalid(format!("it has {} nodes, 1 to {MAX_NODES} expected", list.len())));
    }
    let block = map.get("block").map(blocks::block).transpose()?;
    let mut loader = Loader { tensors, block, nodes: vec![], inputs: vec![], weights: 0 };
    for (k, value) in list.iter().enumerate() {
        let name = || value.get("op").and_then(Value::as_str).unwrap_or("?").to_owned();
        loader.add(value).map_err(|e| within(&format!("node {k} ({})", name()), &e))?;
    }
    let Loader { nodes, inputs, .. } = loader;
    if inputs.is_empty() || inputs.len() > MAX_PORTS {
        return Err(Error::invalid(format!("it has {} inputs, 1 to {MAX_PORTS} expected", inputs.len())));
    }
    let outputs = outputs(map.get("outputs"), nodes.len())?;
    let known = ["nodes", "outputs", "block"];
    let extra = map.iter().filter(|(k, _)| !known.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone()));
    let packed = nodes.iter().map(|n| match n.inputs.first() {
        Some(&input) => Packed::new(n, nodes[input].element, nodes[input].range),
        None => vec![],
    });
    let packed = packed.collect();
    let (extra, elsewhere) = (extra.collect(), Default::default());
    let graph = Graph { nodes, inputs, outputs, extra, block, packed, elsewhere };
    let macs = graph.macs_per_point();
    if macs > MAX_MACS_PER_POINT {
        return Err(Error::invalid(format!(
            "it takes {macs} multiply-adds per point, at most {MAX_MACS_PER_POINT} expected"
        )));
    }
    Ok(graph)
}

/// The error with where it was found.
pub fn within(place: &str, error: &Error) -> Error {
    let message = format!("{place}: {error}");
    match error.kind() {
        ErrorKind::Compatibility => Error::compatibility(message),
        _ => Error::invalid(message),
    }
}

/// The nodes that are outputs: those that are named, or the last.
fn outputs(value: Option<&Value>, nodes: usize) -> Result<Vec<usize>> {
    let Some(value) = value else { return Ok(vec![nodes - 1]) };
    let wrong = || Error::invalid(format!("its outputs are {value}, a list of nodes below {nodes} expected"));
    let list = value.as_array().filter(|l| (1..=MAX_PORTS).contains(&l.len())).ok_or_else(wrong)?;
    let mut found = vec![];
    for value in list {
        let k = value.as_u64().filter(|k| *k < nodes as u64).ok_or_else(wrong)? as usize;
        if found.contains(&k) {
            return Err(Error::invalid(format!("node {k} stands twice among its outputs")));
        }
        found.push(k);
    }
    Ok(found)
}

/// What was read of a graph.
struct Loader<'a> {
    tensors: &'a Tensors<'a>,
    /// Levels, rows and columns of the blocks that it is computed for, if it is.
    block: Option<[usize; 3]>,
    nodes: Vec<Node>,
    inputs: Vec<usize>,
    /// Bytes of weights so far.
    weights: usize,
}

impl Loader<'_> {
    /// Reads the next node.
    fn add(&mut self, value: &Value) -> Result<()> {
        let fields = Fields::new(value)?;
        let op = fields.text("op")?;
        let node = match op {
            "input" => self.input(&fields)?,
            "conv2d" | "conv3d" | "conv2d_transposed" | "conv3d_transposed" | "dense" => {
                self.conv(op, &fields)?
            }
            "flatten" => self.flatten(&fields)?,
            "unflatten" => self.unflatten(&fields)?,
            "upsample" | "space_to_depth" | "depth_to_space" | "maxpool" if self.block.is_some() => {
                return Err(Error::invalid("a graph of blocks cannot have this layer"))
            }
            "upsample" => {
                let mut node = self.like_first(&fields, Op::Upsample)?;
                for (k, down) in node.down.iter_mut().enumerate().filter(|(k, _)| *k == 1 || node.levels) {
                    *down = down.checked_sub(1).ok_or_else(|| beyond(k))?;
                }
                node
            }
            "space_to_depth" => {
                let mut node = self.like_first(&fields, Op::SpaceToDepth)?;
                node.channels *= 4;
                node.down[1] += 1;
                node
            }
            "depth_to_space" => {
                let mut node = self.like_first(&fields, Op::DepthToSpace)?;
                if !node.channels.is_multiple_of(4) {
                    return Err(Error::invalid(format!(
                        "its input has {} channels, a multiple of 4 expected",
                        node.channels
                    )));
                }
                node.channels /= 4;
                node.down[1] = node.down[1].checked_sub(1).ok_or_else(|| beyond(1))?;
                node
            }
            "concat" => self.concat(&fields)?,
            "slice" => {
                let from = fields.integer("from", 0, self.most() as i64)? as usize;
                let channels = fields.integer("channels", 1, self.most() as i64)? as usize;
                let mut node = self.like_first(&fields, Op::Slice(from))?;
                if from + channels > node.channels {
                    return Err(Error::invalid(format!(
                        "it takes channels {from} to {}, and its input has {}",
                        from + channels - 1,
                        node.channels
                    )));
                }
                node.channels = channels;
                node
            }
            "add" => self.add_values(&fields)?,
            "subtract" => self.subtract(&fields)?,
            "multiply" => self.multiply(&fields)?,
            "rescale" => self.rescale(&fields)?,
            "quantise" => self.quantise(&fields)?,
            "maxpool" => {
                let mut node = self.like_first(&fields, Op::MaxPool)?;
                node.down[1] += 1;
                node.down[0] += u8::from(node.levels);
                node
            }
            "table" => self.table(&fields)?,
            "gdn" | "igdn" => self.gdn(op == "igdn", &fields)?,
            _ => {
                return Err(Error::compatibility(
                    "this version knows no such layer: the model needs a newer one",
                ))
            }
        };
        fields.all_known()?;
        self.few(node.channels)?;
        if node.down.iter().any(|d| *d > MAX_DOWN) {
            return Err(Error::invalid(format!(
                "it is coarser than one point for {} in each direction",
                1 << MAX_DOWN
            )));
        }
        self.nodes.push(node);
        Ok(())
    }

    /// Most channels of a node.
    fn most(&self) -> usize {
        match self.block {
            Some(_) => MAX_BLOCK_CHANNELS,
            None => MAX_CHANNELS,
        }
    }

    /// Refuses nodes of too many channels.
    fn few(&self, channels: usize) -> Result<()> {
        let most = self.most();
        match (1..=most).contains(&channels) {
            true => Ok(()),
            false => Err(Error::invalid(format!("it has {channels} channels, 1 to {most} expected"))),
        }
    }

    fn input(&mut self, fields: &Fields) -> Result<Node> {
        let channels = fields.integer("channels", 1, self.most() as i64)? as usize;
        let element = fields.element(None)?;
        let (points, levels, down) = match self.block {
            Some(block) => (Some(self.size(fields, block)?), block[0] > 1, 0),
            None => (
                None,
                fields.integer_or("rank", 2, 3, 2)? == 3,
                fields.integer_or("down", 0, i64::from(MAX_DOWN), 0)? as u8,
            ),
        };
        let index = self.inputs.len();
        self.inputs.push(self.nodes.len());
        Ok(Node {
            op: Op::Input(index),
            inputs: vec![],
            channels,
            element,
            range: element.range(),
            down: [if levels { down } else { 0 }, down],
            levels,
            points,
        })
    }

    /// The nodes that a node reads.
    fn sources(&self, fields: &Fields, count: usize) -> Result<Vec<usize>> {
        let list = fields.sources(self.nodes.len())?;
        if list.len() != count {
            return Err(Error::invalid(format!("it has {} inputs, {count} expected", list.len())));
        }
        Ok(list)
    }

    /// A node that is as its only input is.
    fn like_first(&self, fields: &Fields, op: Op) -> Result<Node> {
        let inputs = self.sources(fields, 1)?;
        Ok(Node { op, ..self.like(inputs) })
    }

    /// A node that is as the first of its inputs is.
    fn like(&self, inputs: Vec<usize>) -> Node {
        let first = &self.nodes[inputs[0]];
        Node {
            op: Op::Concat,
            channels: first.channels,
            element: first.element,
            range: first.range,
            down: first.down,
            levels: first.levels,
            points: first.points,
            inputs,
        }
    }

    fn same_size(&self, a: usize, b: usize) -> Result<()> {
        let (a, b) = (&self.nodes[a], &self.nodes[b]);
        if (a.down, a.levels, a.points) != (b.down, b.levels, b.points) {
            return Err(Error::invalid("its inputs are not of one size"));
        }
        Ok(())
    }

    fn concat(&self, fields: &Fields) -> Result<Node> {
        let inputs = fields.sources(self.nodes.len())?;
        let mut node = self.like(inputs);
        node.channels = 0;
        for &k in &node.inputs {
            self.same_size(node.inputs[0], k)?;
            let part = &self.nodes[k];
            if part.element != node.element {
                return Err(Error::invalid("its inputs are of several types"));
            }
            node.channels += part.channels;
            node.range = (node.range.0.min(part.range.0), node.range.1.max(part.range.1));
        }
        Ok(node)
    }

    /// Counts weights before they are read.
    fn take_weights(&mut self, bytes: usize) -> Result<()> {
        self.weights = self.weights.saturating_add(bytes);
        if self.weights > MAX_WEIGHTS {
            return Err(Error::invalid(format!("the weights have more than {MAX_WEIGHTS} bytes")));
        }
        Ok(())
    }

    fn conv(&mut self, op: &str, fields: &Fields) -> Result<Node> {
        let mut node = self.like_first(fields, Op::Concat)?;
        let rank = match op {
            "dense" => 2,
            "conv3d" | "conv3d_transposed" => 5,
            _ => 4,
        };
        let name = fields.text("weight")?;
        let shape = self.tensors.shape_i8(name, rank)?;
        let mut kernel = [1; 3];
        kernel[5 - rank..].copy_from_slice(&shape[2..]);
        if kernel.iter().any(|k| *k % 2 == 0 || *k > MAX_KERNEL) {
            return Err(Error::invalid(format!(
                "its kernel is {:?}, odd sides of 1 to {MAX_KERNEL} expected",
                &shape[2..]
            )));
        }
        if shape[1] != node.channels {
            return Err(Error::invalid(format!(
                "its weights are for {} input channels and its input has {}",
                shape[1], node.channels
            )));
        }
        node.channels = shape[0];
        self.few(node.channels)?;
        if rank == 5 && !node.levels {
            return Err(Error::invalid("its input has no levels (rank 3 expected)"));
        }
        let transposed = matches!(op, "conv2d_transposed" | "conv3d_transposed");
        let mut stride = [1; 3];
        if let Some(points) = node.points {
            let strided = transposed || (rank > 2 && fields.integer_or("stride", 1, 2, 1)? == 2);
            (stride, node.points) = blocks::convolved(points, rank, strided, transposed)?;
        } else if op == "conv3d_transposed" {
            return Err(Error::invalid("only a graph of blocks can have this layer"));
        } else if transposed {
            stride = [1, 2, 2];
            node.down[1] = node.down[1].checked_sub(1).ok_or_else(|| beyond(1))?;
        } else if rank > 2 && fields.integer_or("stride", 1, 2, 1)? == 2 {
            stride = if rank == 5 { [2; 3] } else { [1, 2, 2] };
            node.down[1] += 1;
            node.down[0] += u8::from(rank == 5);
        }
        self.take_weights(shape.iter().product())?;
        let weight = self.tensors.i8(name, &shape)?;
        let requantise = self.requantise(fields, node.channels)?;
        node.element = fields.element(None)?;
        let input = self.nodes[node.inputs[0]].range;
        let each = weight.len() / node.channels.max(1);
        let mut sums = (i64::MAX, i64::MIN);
        for (c, weights) in weight.chunks_exact(each.max(1)).enumerate() {
            let (low, high) = requantise.proven(c, weights, input)?;
            sums = (sums.0.min(low), sums.1.max(high));
        }
        let limit = |v: i64| v.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        node.range = clamped(fields.clamp(node.element)?, (limit(sums.0), limit(sums.1)));
        node.op = Op::Conv(Conv { kernel, stride, transposed, weight, requantise });
        Ok(node)
    }

    fn requantise(&mut self, fields: &Fields, channels: usize) -> Result<Requantise> {
        self.take_weights(9 * channels)?;
        let t = &self.tensors;
        Ok(Requantise {
            bias: t.i32_within(fields.text("bias")?, &[channels], i32::MIN, i32::MAX)?,
            multiplier: t.i32_within(fields.text("multiplier")?, &[channels], 1, 32767)?,
            shift: t.u8_within(fields.text("shift")?, &[channels], 1, 46)?,
        })
    }

    fn gdn(&mut self, inverse: bool, fields: &Fields) -> Result<Node> {
        let mut node = self.like_first(fields, Op::Concat)?;
        let c = node.channels;
        self.take_weights(c * c + 9 * c)?;
        let name = fields.text("gamma")?;
        let gamma = self.tensors.i8(name, &[c, c])?;
        if gamma.iter().any(|g| *g < 0) {
            return Err(Error::invalid(format!(
                "the tensor \"{name}\" has a negative value, 0 to 127 expected"
            )));
        }
        let beta = self.tensors.i32_within(fields.text("beta")?, &[c], 1, i32::MAX)?;
        let largest = i64::from(node.range.0.abs().max(node.range.1.abs()));
        for (k, (b, row)) in beta.iter().zip(gamma.chunks_exact(c)).enumerate() {
            let sum: i64 = row.iter().map(|g| i64::from(*g) * largest * largest).sum();
            if sum + i64::from(*b) >= 1 << 31 {
                return Err(overflow(k, sum + i64::from(*b)));
            }
        }
        let highest = if inverse { 32767 } else { i32::MAX };
        let multiplier = self.tensors.i32_within(fields.text("multiplier")?, &[c], 1, highest)?;
        let inverse = match inverse {
            true => Some(self.tensors.u8_within(fields.text("shift")?, &[c], 1, 62)?),
            false => None,
        };
        node.element = fields.element(None)?;
        node.range = fields.clamp(node.element)?;
        node.op = Op::Gdn(Gdn { beta, gamma, multiplier, inverse });
        Ok(node)
    }
}

impl Requantise {
    /// The smallest and the largest value before the clamp that channel `c` can have.
    fn proven(&self, c: usize, weights: &[i8], input: (i32, i32)) -> Result<(i64, i64)> {
        let largest = i64::from(input.0.abs().max(input.1.abs()));
        let sum: i64 = weights.iter().map(|w| i64::from(w.unsigned_abs())).sum();
        let bound = sum * largest + i64::from(self.bias[c]).abs();
        if bound >= 1 << 31 {
            return Err(overflow(c, bound));
        }
        let of =
            |sum: i64| (sum * i64::from(self.multiplier[c]) + (1 << (self.shift[c] - 1))) >> self.shift[c];
        Ok((of(-bound), of(bound)))
    }
}

/// The range that is left of `found` by a clamp.
fn clamped(clamp: (i32, i32), found: (i32, i32)) -> (i32, i32) {
    (found.0.clamp(clamp.0, clamp.1), found.1.clamp(clamp.0, clamp.1))
}

fn overflow(channel: usize, sum: i64) -> Error {
    Error::invalid(format!(
        "the sums of channel {channel} may reach {sum}, less than 2^31 expected: an accumulator could overflow"
    ))
}

fn beyond(axis: usize) -> Error {
    let what = if axis == 0 { "levels" } else { "points" };
    Error::invalid(format!("it has more {what} than the full lattice"))
}
