//! Training and evaluation of Augur's integer networks with libtorch.
//!
//! The `augur` command and the filter open this library on demand, so that nothing else needs libtorch. [`abi`] holds the functions
//! that it calls; the rest is there for them.

pub mod abi;
pub mod adam;
pub mod autoencoder;
pub mod block;
pub mod cell;
pub mod convlstm;
pub mod correcting;
pub mod corrector;
pub mod decoded;
pub mod design;
pub mod field;
pub mod forecaster;
pub mod forecasting;
pub mod graph;
pub mod held_out;
pub mod infer;
pub mod integers;
pub mod interpolator;
pub mod job;
pub mod loss;
pub mod net;
pub mod prednet;
pub mod recurrent;
pub mod request;
pub mod sequence;
pub mod train;
