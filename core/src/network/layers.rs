//! The layers of a graph as they were read and checked, for those who compute them elsewhere.
//!
//! What each computes is defined in `docs/models.md` and, in code, in `network/plain.rs`.

pub use super::graph::{Conv, Gdn, Node, Op, Requantise};
