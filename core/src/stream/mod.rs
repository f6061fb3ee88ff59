//! The stream: a checksummed header, then the payload of the method that it names.
//!
//! `docs/format.md` describes both bit by bit.

pub mod header;
pub(crate) mod parts;
