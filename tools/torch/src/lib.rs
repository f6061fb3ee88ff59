//! Training of Augur's integer networks with libtorch.
pub mod field;
pub mod forecaster;
pub mod graph;
pub mod held_out;
pub mod loss;
pub mod net;
pub mod train;
