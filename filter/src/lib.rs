//! How the Augur codec behaves as an HDF5 filter.
//!
//! HDF5 calls three functions: *can_apply* and *set_local* when a dataset is created, which check type,
//! shape and bound and write what the codec must know into the filter's *cd_values*; and the *filter*
//! function for every chunk that is written or read. [`class`] gives all three in the form that
//! `H5Zregister` and the plugin interface want. [`Settings`] builds and reads the cd_values that users
//! pass. `docs/filter.md` has the table.

pub mod backend;
mod callbacks;
pub mod cd_values;
pub mod chunk;
mod dataset;
mod datatype;
mod fill;
pub mod h5types;
pub mod host;
mod layout;
pub mod models;
mod nonce;
mod open;
mod report;
mod threads;
mod trampoline;

pub use cd_values::{Expanded, Settings};
pub use fill::Fill;
pub use report::log_to_stderr;
pub use threads::threads;

/// The filter's class, for `H5Zregister` and the plugin interface. It lives as long as the process, whose networks are
/// from then on computed where `AUGUR_BACKEND` says ([`backend`]).
pub fn class() -> &'static h5types::H5ZClass2 {
    backend::provide();
    callbacks::class()
}

/// Filter id, of the range for internal use (32768 to 65535) until The HDF Group assigns one.
pub const FILTER_ID: i32 = 49493;
/// Name of the filter in files and error messages.
pub const FILTER_NAME: &str = "augur";
