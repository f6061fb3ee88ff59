//! checkpoint: a reaction-diffusion simulation that checkpoints into HDF5 through Augur
//!
//! Every checkpoint appends one step to the datasets /u and /v, which have an unlimited time axis and chunks of 16
//! steps, and flushes the file. A restart reads the last step back and goes on, in the middle of a chunk as well.
//! HDF5 is linked statically; the plugin is loaded from HDF5_PLUGIN_PATH as in any other program.
//!
//! Build and run (CMake 3.26 or later builds HDF5; the plugin is made by `make build`):
//!
//! ```sh
//! cargo build --release -p augur-checkpoint-example
//! export HDF5_PLUGIN_PATH=$PWD/dist/plugins
//! target/release/checkpoint run.h5 --steps 40 --bound 1e-3
//! target/release/checkpoint run.h5 --steps 24 --restart
//! ```
//!
//! With `--raw` it also writes what it handed to HDF5 into a plain binary file (for each step u, then v), against
//! which the error bound can be checked.

mod output;
mod simulation;

use augur_core::{Bound, Preset};
use augur_filter::Settings;
use clap::Parser;
use hdf5::H5Type;
use output::{Layout, Output, FIELDS};
use simulation::State;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Simulates reaction and diffusion, and writes checkpoints that Augur compresses.
#[derive(Parser)]
struct Options {
    /// Checkpoint file.
    file: PathBuf,
    /// Checkpoints to write.
    #[arg(long, default_value_t = 32)]
    steps: usize,
    /// Solver iterations between two checkpoints.
    #[arg(long, default_value_t = 10)]
    every: usize,
    /// Grid, NYxNX.
    #[arg(long, default_value = "64x64", value_parser = grid)]
    grid: (usize, usize),
    /// Time steps in a chunk.
    #[arg(long, default_value_t = 16)]
    chunk: usize,
    /// Absolute error bound; 0: lossless.
    #[arg(long, default_value_t = 1e-3, allow_negative_numbers = true)]
    bound: f64,
    /// Preset: balanced, fast or lossless.
    #[arg(long, default_value = "balanced", value_parser = |s: &str| Preset::from_name(s))]
    preset: Preset,
    /// Store 64-bit floats instead of 32-bit ones.
    #[arg(long)]
    double: bool,
    /// Chunk cache of each dataset in bytes (default: HDF5's).
    #[arg(long)]
    cache: Option<usize>,
    /// Close and open the file for each step.
    #[arg(long)]
    reopen: bool,
    /// Go on from the last step in the file.
    #[arg(long)]
    restart: bool,
    /// Go on from this step in the file, overwriting those after it.
    #[arg(long)]
    rewind: Option<usize>,
    /// Write all steps in one call at the end.
    #[arg(long)]
    at_once: bool,
    /// Also write u and v of each step to this plain binary file.
    #[arg(long)]
    raw: Option<PathBuf>,
}

fn grid(text: &str) -> Result<(usize, usize), String> {
    text.split_once('x')
        .and_then(|(ny, nx)| Some((ny.parse().ok()?, nx.parse().ok()?)))
        .filter(|&(ny, nx)| ny > 0 && nx > 0)
        .ok_or_else(|| format!("\"{text}\" is no grid, expected NYxNX, for instance 64x64"))
}

/// A type that fields can be stored in.
trait Stored: H5Type + Copy {
    fn of(value: f64) -> Self;
    fn put(self, out: &mut Vec<u8>);
}

impl Stored for f32 {
    fn of(value: f64) -> Self {
        value as f32
    }
    fn put(self, out: &mut Vec<u8>) {
        out.extend(self.to_ne_bytes());
    }
}

impl Stored for f64 {
    fn of(value: f64) -> Self {
        value
    }
    fn put(self, out: &mut Vec<u8>) {
        out.extend(self.to_ne_bytes());
    }
}

/// Writes one step to its place in the side file.
fn write_raw<T: Stored>(path: &Path, step: usize, fields: [&[T]; 2]) -> Result<(), String> {
    let mut bytes = Vec::new();
    fields.iter().flat_map(|f| f.iter()).for_each(|&v| v.put(&mut bytes));
    let write = || {
        let mut file = File::options().write(true).create(true).truncate(false).open(path)?;
        file.seek(SeekFrom::Start((step * bytes.len()) as u64))?;
        file.write_all(&bytes)
    };
    write().map_err(|e| format!("{} cannot be written: {e}", path.display()))
}

/// Runs the simulation from `state`, whose next checkpoint is number `first`.
fn simulate<T: Stored>(o: &Options, mut state: State, first: usize) -> Result<(), String> {
    let mut output = Output::open(&o.file, o.cache)?;
    let (mut all_u, mut all_v, mut times) = (Vec::<T>::new(), Vec::<T>::new(), Vec::new());
    for step in first..first + o.steps {
        (0..o.every).for_each(|_| state.iterate());
        if !o.at_once {
            all_u.clear();
            all_v.clear();
            times.clear();
        }
        let (u, v) = (all_u.len(), all_v.len());
        all_u.extend(state.u.iter().map(|&x| T::of(x)));
        all_v.extend(state.v.iter().map(|&x| T::of(x)));
        times.push(((step + 1) * o.every) as f64);
        if let Some(path) = &o.raw {
            write_raw(path, step, [&all_u[u..], &all_v[v..]])?;
        }
        if o.at_once {
            continue;
        }
        output.write(step, [&all_u, &all_v], &times)?;
        if o.reopen && step + 1 < first + o.steps {
            output.close()?;
            output = Output::open(&o.file, o.cache)?;
        }
    }
    if o.at_once {
        output.write(first, [&all_u, &all_v], &times)?;
    }
    for (name, bytes) in FIELDS.iter().zip(output.stored()) {
        println!("/{name}: {bytes} bytes for steps up to {}", first + o.steps - 1);
    }
    output.close()
}

fn run(o: &Options) -> Result<(), String> {
    if o.steps == 0 || o.chunk == 0 {
        return Err("--steps and --chunk must be at least 1".into());
    }
    let (state, first, size) = if o.restart || o.rewind.is_some() {
        let output = Output::open(&o.file, o.cache)?;
        let (ny, nx) = output.grid()?;
        let last = output.steps().checked_sub(1).ok_or("the file holds no complete step to restart from")?;
        let step = o.rewind.unwrap_or(last);
        let [u, v] = output.read(step)?;
        let size = output.value_size()?;
        output.close()?;
        (State::resume(ny, nx, u, v), step + 1, size)
    } else {
        let bound = if o.bound == 0.0 { Bound::Lossless } else { Bound::Absolute(o.bound) };
        let settings = Settings { preset: o.preset, ..Settings::new(bound) };
        let cd_values = settings.to_words().map_err(|e| e.to_string())?;
        let (ny, nx) = o.grid;
        let layout = Layout { ny, nx, chunk: o.chunk, cd_values };
        if o.double {
            output::create::<f64>(&o.file, &layout)?;
        } else {
            output::create::<f32>(&o.file, &layout)?;
        }
        (State::start(ny, nx), 0, if o.double { 8 } else { 4 })
    };
    if size == 8 {
        simulate::<f64>(o, state, first)
    } else {
        simulate::<f32>(o, state, first)
    }
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("checkpoint: {message}");
            ExitCode::FAILURE
        }
    }
}
