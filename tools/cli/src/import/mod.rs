//! `augur import`: pictures or raw numbers as a chunked dataset of a new HDF5 file.

mod frames;
mod inputs;
mod raw;
mod source;

use crate::convert::chunking;
use crate::convert::temporary::Temporary;
use crate::failure::{Failure, Result};
use crate::h5::element::Element;
use crate::h5::{c_string, file, new};
use crate::models::{embedded, find};
use crate::options::{bound_text, BoundOptions, HOW};
use crate::{boxes, output, spec};
use augur_core::{ByteOrder, Model};
use augur_filter::Settings;
use clap::Args;
use frames::Frames;
use raw::{Raw, Shape};
use source::Source;
use std::path::{Path, PathBuf};

/// Name of the dataset that is made when none is given.
const DATASET: &str = "/data";
/// Heading of the help for raw numbers.
const RAW: &str = "Raw numbers";

/// Make a dataset of a series of images or of raw binary numbers
#[derive(Debug, Args)]
// The new dataset has neither a fill value nor an attribute of its own.
#[command(mut_args(|arg| match arg.get_id().as_str() {
    "model" => arg.help("Trained model to predict with: a model file, an HDF5 file that holds one, or 8 or more digits of a SHA-256"),
    "fill_value" => arg.help("Value that marks missing data, kept exactly"),
    "time_axis" => arg.help("Axis of the dataset that is time, counted from 0 [default: 0]"),
    _ => arg,
}))]
#[command(after_help = "\
Examples:
  augur import frames/ -o frames.h5
  augur import frames/ -o frames.h5:/camera/left --absolute 2
  augur import stack.tif -o stack.h5 --lossless
  augur import U.bin -o u.h5:/U --shape 100,500,500 --dtype f32 --relative 1e-3
  augur import step*.raw -o u.h5:/U --shape 500,500 --dtype f64 --big-endian

Images are PNG, JPEG, or TIFF of one or more pages: grey becomes (time, y, x), RGB becomes (time, 3, y, x), in the
images' type (8 or 16 bits; TIFF also 32 and 64 and floats). Palettes become RGB; an opacity that is 100 % everywhere
is left out. Files come in the order of the numbers in their names (img2 before img10), pages in their own.

With --shape and --dtype the input is plain numbers, last axis fastest, no header, as in SDRBench. A single FILE holds
all steps, and --shape all extents; of several FILES, or those of a folder, each is one step, and --shape a step's extents.

Without a bound the dataset is stored as it is, in chunks; with one it is compressed as augur convert would.
FILE.h5 appears only when it is complete. Exit status: 0, or 2 when something is wrong.")]
pub struct Import {
    /// Folder of images, images, or files of raw numbers
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,
    /// File to make, and the dataset in it [default: /data]
    #[arg(short, long, value_name = "FILE.h5[:/DATASET]")]
    output: String,
    /// Take the inputs in the order in which they are named
    #[arg(long)]
    keep_order: bool,
    /// Import the colours alone of images that are partly transparent
    #[arg(long, conflicts_with = "shape")]
    drop_alpha: bool,
    /// Extents of each file, slowest axis first, as in 100,500,500
    #[arg(long, value_name = "N,N,...", requires = "dtype", help_heading = RAW)]
    shape: Option<Shape>,
    /// Type of the numbers: f16, f32, f64, i8, u8, i16, u16, i32, u32, i64 or u64
    #[arg(long, value_name = "TYPE", requires = "shape", value_parser = Element::parse, help_heading = RAW)]
    dtype: Option<Element>,
    /// The numbers have their high byte first
    #[arg(long, requires = "shape", help_heading = RAW)]
    big_endian: bool,
    #[command(flatten)]
    bound: BoundOptions,
    /// Chunk shape, slowest axis first, as in 16,256,256 [default: suggested from shape and type]
    #[arg(long, alias = "chunks", value_name = "N,N,...", value_delimiter = ',', help_heading = HOW)]
    chunk: Option<Vec<usize>>,
    /// Replace FILE.h5 if it exists
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Makes the file.
///
/// # Errors
/// Wrong input, by its name; a full disk. FILE.h5 is not touched then.
pub fn run(options: &Import) -> Result<()> {
    let (path, dataset) = spec::split(&options.output);
    let (path, dataset) = (Path::new(path), dataset.unwrap_or(DATASET));
    if dataset.split('/').skip(1).any(|name| name.is_empty() || name == ".") {
        return Err(Failure::new(format!(
            "{dataset} is no name for a dataset: expected /NAME or /GROUP/NAME"
        )));
    }
    let (settings, model) = settings(options)?;
    check_output(path, options.force)?;
    let inputs = inputs::collect(&options.inputs, options.shape.is_some(), options.keep_order)?;
    let (files, left_out) = (inputs.files.len(), inputs.left_out);
    let mut had_alpha = false;
    let mut source: Box<dyn Source> = match (&options.shape, options.dtype) {
        (Some(shape), Some(element)) => {
            let order = if options.big_endian { ByteOrder::Big } else { ByteOrder::Little };
            Box::new(Raw::open(inputs.files, inputs.is_single, shape, element, order)?)
        }
        _ => {
            let frames = Frames::open(inputs.files, options.drop_alpha)?;
            had_alpha = frames.had_alpha;
            Box::new(frames)
        }
    };
    let element = source.element().0;
    if settings.is_some() && !element.is_compressible() {
        return Err(Failure::new(format!(
            "Augur takes integers of up to 32 bits, no {}: leave the bound out to store them as they are",
            element.name()
        )));
    }
    let chunk = chunk(options, source.shape(), element.size())?;
    let temporary = Temporary::beside(path)?;
    let made = Made { dataset, chunk: &chunk, settings: settings.as_ref(), model: model.as_ref() };
    let stored = write(&mut *source, &made, temporary.path(), options.json)
        .map_err(|e| e.while_doing(format!("{} was not made", path.display())))?;
    temporary.place(path)?;
    report(options, &*source, &made, &Counts { files, left_out, had_alpha, stored });
    Ok(())
}

/// What is asked of the codec; nothing where the dataset is to be stored as it is.
fn settings(options: &Import) -> Result<(Option<Settings>, Option<Model>)> {
    if !options.bound.is_given() {
        return Ok((None, None));
    }
    let model = options.bound.model().map(|text| find::one(text, &[])).transpose()?.map(|l| l.model);
    let settings = options.bound.settings(model.as_ref().map(|m| m.digest().prefix()))?;
    // Some methods do without a model, too.
    if settings.preset.uses_model() && !settings.preset.does_without_model() && model.is_none() {
        return Err(Failure::new(
            "a new dataset names no model: --model has to say which one to predict with",
        ));
    }
    Ok((Some(settings), model))
}

fn check_output(path: &Path, force: bool) -> Result<()> {
    let shown = path.display();
    if path.is_dir() {
        return Err(Failure::new(format!("{shown} is a directory, expected the name of the file to make")));
    }
    if path.exists() && !force {
        return Err(Failure::new(format!("{shown} exists; give another name, or --force to replace it")));
    }
    Ok(())
}

fn chunk(options: &Import, shape: &[usize], size: usize) -> Result<Vec<usize>> {
    let rank = shape.len();
    let time = options.bound.time_axis().unwrap_or(0);
    if time >= rank {
        return Err(Failure::new(format!(
            "--time-axis {time} does not exist, the dataset has {rank} axes (counted from 0)"
        )));
    }
    let Some(chunk) = &options.chunk else {
        let limits: Vec<_> = shape.iter().map(|&n| Some(n)).collect();
        return Ok(chunking::suggest(shape, &limits, size, time));
    };
    if chunk.len() != rank {
        return Err(Failure::new(format!(
            "--chunk gives {} extents, the dataset has {rank} axes ({})",
            chunk.len(),
            output::shape(shape)
        )));
    }
    for (axis, (&c, &n)) in chunk.iter().zip(shape).enumerate() {
        if c == 0 || c > n {
            return Err(Failure::new(format!(
                "--chunk asks for {c} elements along axis {axis}, expected 1 to {n}"
            )));
        }
    }
    Ok(chunk.clone())
}

/// What becomes of the source.
struct Made<'a> {
    dataset: &'a str,
    chunk: &'a [usize],
    settings: Option<&'a Settings>,
    model: Option<&'a Model>,
}

/// Writes the new file; the bytes that the dataset takes in it.
fn write(source: &mut dyn Source, made: &Made<'_>, path: &Path, quiet: bool) -> Result<u64> {
    let file = file::create(path)?;
    if let Some(model) = made.model {
        embedded::put(&file, model)?;
    }
    let words = made.settings.map(Settings::to_words).transpose()?;
    let (element, order) = source.element();
    let (shape, dtype) = (source.shape().to_vec(), element.dtype(order)?);
    let name = c_string(made.dataset)?;
    let set = new::chunked(&file, &name, &dtype, &shape, made.chunk, words.as_deref())?;
    if let Some(model) = made.model {
        embedded::attach(&set.id, &model.digest())?;
    }
    let bar = output::progress(set.raw_bytes(), quiet);
    bar.set_message(made.dataset.to_string());
    let mut bytes = Vec::new();
    for (start, count) in boxes::cover(&shape, &source.step(made.chunk)) {
        bytes.resize(count.iter().product::<usize>() * element.size(), 0);
        source.read(&start, &count, &mut bytes)?;
        set.write(&start, &count, &bytes)?;
        bar.inc(bytes.len() as u64);
    }
    bar.finish_and_clear();
    file::flush(&file)?;
    Ok(set.stored_bytes())
}

struct Counts {
    files: usize,
    left_out: usize,
    had_alpha: bool,
    stored: u64,
}

fn report(options: &Import, source: &dyn Source, made: &Made<'_>, counts: &Counts) {
    let (element, order) = source.element();
    let path = Path::new(spec::split(&options.output).0);
    let raw = source.shape().iter().product::<usize>() as u64 * element.size() as u64;
    if options.json {
        output::json(&serde_json::json!({
            "output": path.display().to_string(),
            "dataset": made.dataset,
            "files": counts.files,
            "left_out": counts.left_out,
            "shape": source.shape(),
            "dtype": element.name(),
            "byte_order": byte_order(order),
            "chunk": made.chunk,
            "bound": made.settings.map(|s| crate::options::bound_json(&s.bound)),
            "preset": made.settings.map(|s| s.preset.name()),
            "model": made.model.map(|m| m.digest().to_string()),
            "raw_bytes": raw,
            "stored_bytes": counts.stored,
            "ratio": output::ratio_json(raw, counts.stored),
            "dropped_alpha": counts.had_alpha,
        }));
        return;
    }
    output::table(
        &["dataset", "shape", "type", "chunk", "raw", "stored", "ratio"],
        &[vec![
            made.dataset.to_string(),
            output::shape(source.shape()),
            element.name().to_string(),
            output::shape(made.chunk),
            output::bytes(raw),
            output::bytes(counts.stored),
            output::ratio(raw, counts.stored),
        ]],
    );
    let how = match made.settings {
        Some(settings) => format!("{}, preset {}", bound_text(&settings.bound), settings.preset.name()),
        None => "not compressed".to_string(),
    };
    let plural = if counts.files == 1 { "" } else { "s" };
    println!("{}: from {} file{plural}, {how}.", path.display(), counts.files);
    if counts.left_out > 0 {
        println!("{} files that are no PNG, TIFF or JPEG were left out.", counts.left_out);
    }
    if counts.had_alpha {
        println!("The pictures' opacity was left out.");
    }
}

/// A byte order for people and programs.
pub fn byte_order(order: ByteOrder) -> &'static str {
    match order {
        ByteOrder::Little => "little",
        ByteOrder::Big => "big",
    }
}
