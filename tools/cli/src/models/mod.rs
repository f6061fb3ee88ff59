//! `augur models`: trained models, in files of their own, in HDF5 files, and in the user's store.
//!
//! A model is a safetensors file whose SHA-256 is its name; `docs/models.md` describes it.

pub mod embedded;
pub mod find;
mod gc;
mod layers;
mod list;
mod manage;
pub mod show;
mod uses;

use crate::failure::Result;
use clap::{Args, Subcommand};
pub use find::Located;

/// List, show, embed, extract, add and remove trained models
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  augur models show wind.safetensors
  augur models embed wind.safetensors run.h5 -d wind
  augur models list run.h5

A model is known by the SHA-256 of its file. Writing and reading look for it in this order: the HDF5 file itself
(/_augur/models), the folders of AUGUR_MODEL_PATH, the user's store.

Exit status: 0, or 2 for wrong usage and everything else.")]
pub struct Models {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    List(list::List),
    Show(show::Show),
    Embed(manage::Embed),
    Extract(manage::Extract),
    Add(manage::Add),
    Remove(manage::Remove),
    Gc(gc::Gc),
}

/// Runs one of the subcommands.
///
/// # Errors
/// As the subcommand.
pub fn run(options: &Models) -> Result<()> {
    match &options.what {
        What::List(options) => list::run(options),
        What::Show(options) => show::run(options),
        What::Embed(options) => manage::embed(options),
        What::Extract(options) => manage::extract(options),
        What::Add(options) => manage::add(options),
        What::Remove(options) => manage::remove(options),
        What::Gc(options) => gc::run(options),
    }
}
