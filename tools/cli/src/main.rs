//! The `augur` command: files in HDF5 and netCDF-4 with Augur, from the command line.
//!
//! Exit status of every subcommand: 0 when all is well, 1 when a promise is broken (an error bound, a
//! damaged chunk, a program that cannot use the plugin), 2 for wrong usage and everything else.

// First, as its macros are used in the others.
#[macro_use]
mod output;

mod augur;
mod boxes;
mod cd_values;
mod convert;
mod doctor;
mod export;
mod failure;
mod h5;
mod import;
mod inspect;
mod models;
mod options;
mod pictures;
mod spec;
mod strided;
mod train;
mod verify;
mod walk;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Error-bounded compression of fields that change over time, in HDF5 and netCDF-4 files
#[derive(Debug, Parser)]
#[command(name = "augur", version, arg_required_else_help = true)]
#[command(after_help = "\
Exit status: 0 when all is well; 1 when a promise is broken (an error bound, a damaged chunk, a program
that cannot use the plugin); 2 for wrong usage and everything else.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    CdValues(cd_values::CdValues),
    Convert(convert::Convert),
    Import(import::Import),
    Export(export::Export),
    Inspect(inspect::Inspect),
    Verify(verify::Verify),
    Train(Box<train::Train>),
    Models(models::Models),
    Doctor(doctor::Doctor),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = h5::start().and_then(|()| match &cli.command {
        Command::CdValues(options) => cd_values::run(options),
        Command::Convert(options) => convert::run(options),
        Command::Import(options) => import::run(options),
        Command::Export(options) => export::run(options),
        Command::Inspect(options) => inspect::run(options),
        Command::Verify(options) => verify::run(options),
        Command::Train(options) => train::run(options),
        Command::Models(options) => models::run(options),
        Command::Doctor(options) => doctor::run(options),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("augur: {failure}");
            ExitCode::from(failure.status())
        }
    }
}
