//! Graphs of blocks: what they have beside, or otherwise than, those of planes.

use super::super::fields::{self, Fields};
use super::super::graph::{Node, Op, MAX_BLOCK};
use super::Loader;
use crate::error::{Error, Result};
use serde_json::Value;

/// Levels, rows and columns of a block.
pub fn block(value: &Value) -> Result<[usize; 3]> {
    fields::points("block", value, MAX_BLOCK)
}

/// Stride and points of a convolution of `points`, with a kernel of `rank` - 2 axes.
pub fn convolved(
    points: [usize; 3],
    rank: usize,
    strided: bool,
    transposed: bool,
) -> Result<([usize; 3], Option<[usize; 3]>)> {
    if rank == 4 && points[0] > 1 {
        return Err(Error::invalid(format!(
            "its input has {} levels, 1 expected: a convolution of them is a \"conv3d\"",
            points[0]
        )));
    }
    let stride = match (strided, rank) {
        (false, _) => [1; 3],
        (true, 5) => [2; 3],
        (true, _) => [1, 2, 2],
    };
    let mut to = points;
    for (n, s) in to.iter_mut().zip(stride) {
        if transposed {
            *n *= s;
        } else if n.is_multiple_of(s) {
            *n /= s;
        } else {
            return Err(Error::invalid(format!(
                "its input has {points:?} points, which cannot be halved: even numbers expected"
            )));
        }
    }
    let all: usize = to.iter().product();
    if all > MAX_BLOCK {
        return Err(Error::invalid(format!("it has {all} points, at most {MAX_BLOCK} expected")));
    }
    Ok((stride, Some(to)))
}

impl Loader<'_> {
    /// The size that an input states, or that of the block.
    pub(super) fn size(&self, fields: &Fields, block: [usize; 3]) -> Result<[usize; 3]> {
        Ok(fields.points("size", MAX_BLOCK)?.unwrap_or(block))
    }

    /// A node that is as its only input is, and the points of that.
    fn of_points(&self, fields: &Fields, op: Op) -> Result<(Node, [usize; 3])> {
        let node = self.like_first(fields, op)?;
        match node.points {
            Some(points) => Ok((node, points)),
            None => Err(Error::invalid("only a graph of blocks can have this layer")),
        }
    }

    pub(super) fn flatten(&self, fields: &Fields) -> Result<Node> {
        let (mut node, points) = self.of_points(fields, Op::Flatten)?;
        node.channels *= points.iter().product::<usize>();
        node.points = Some([1; 3]);
        Ok(node)
    }

    pub(super) fn unflatten(&self, fields: &Fields) -> Result<Node> {
        let (mut node, points) = self.of_points(fields, Op::Unflatten)?;
        if points != [1; 3] {
            return Err(Error::invalid(format!("its input has {points:?} points, one expected")));
        }
        let size = fields.points("size", MAX_BLOCK)?;
        let size = size.ok_or_else(|| Error::invalid("it has no \"size\""))?;
        let all = size.iter().product();
        if !node.channels.is_multiple_of(all) {
            return Err(Error::invalid(format!(
                "its input has {} channels, a multiple of {all} expected",
                node.channels
            )));
        }
        node.channels /= all;
        node.points = Some(size);
        Ok(node)
    }
}
