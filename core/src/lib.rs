//! Error-bounded compression of fields that change over time.
//!
//! A *chunk* is an array of numbers of shape (time, z, y, x) or (time, y, x). [`encode`] turns it into a
//! self-describing, checksummed stream, [`decode`] turns the stream back into numbers that differ from
//! the originals by no more than the [`Bound`], at every point. NaN, infinities and fill values come
//! back bit for bit. Everything that decides a decoded value is integer arithmetic, so that a stream
//! decodes to the same bits on every machine, with every instruction set and number of threads.
//!
//! The crate knows neither HDF5 nor files: `augur-filter` puts it behind HDF5's filter interface.

pub mod bound;
#[cfg(target_arch = "x86_64")]
mod bytes64;
#[cfg(target_arch = "x86_64")]
mod bytes8;
mod checksum;
mod chunk;
pub mod dtype;
pub mod error;
mod grid;
pub mod lessons;
mod lossless;
mod machine;
mod marks;
pub mod memory;
pub mod network;
mod number;
pub mod params;
mod place;
mod predict;
mod predicted;
mod reference;
mod scan;
mod scratch;
mod special;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod stages;
pub mod stream;
mod threads;

pub use bound::Bound;
pub use dtype::{ByteOrder, Dtype};
pub use error::{Error, ErrorKind, Result};
pub use memory::{decode_to, decode_with, encode_with, Decoding, Memory};
pub use network::{Digest, Model, Models, NoModels};
pub use params::{Params, Preset};
pub use scratch::{recycle, release_memory};
pub use stream::header::{Header, Method};

mod codec;
mod entropy;
pub use codec::{check_length, check_model, decode, encode, inspect, predictions, Info};
