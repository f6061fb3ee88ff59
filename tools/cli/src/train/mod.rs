//! `augur train`: a small network trained on the user's own fields.
//!
//! Training itself is in libaugur_torch (`tools/torch`); here are reading the fields, watching, and finding out what the model
//! is worth, through the codec as it stores the held-out steps.

mod autoencoder;
mod data;
mod kind;
mod library;
mod outcome;
mod proportion;
mod provenance;

use crate::convert::temporary::Temporary;
use crate::failure::{Failure, Result};
use crate::options::BoundOptions;
use crate::output;
use augur_core::Model;
use clap::Args;
use data::Source;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kind::Architecture;
use library::Part;
use outcome::Outcome;
use proportion::Proportion;
use serde_json::{json, Value};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Train a model on your own fields, for smaller files of the same kind
#[derive(Debug, Args)]
// What of the shared options says how to compress has no meaning here.
#[command(mut_args(|arg| match arg.get_id().as_str() {
    "preset" | "model" | "strict" | "pointwise_relative" | "floor" | "lossless" | "window" | "threshold" | "warm_up"
    | "open_loop" => arg.hide(true),
    "fill_value" => arg.help_heading("Options"),
    "time_axis" => arg.help_heading("Options").help("Axis of the datasets that is time, counted from 0 [default: 0]"),
    _ => arg,
}))]
#[command(after_help = "\
Examples:
  augur train run1.h5:/vorticity --relative 1e-3 -o vorticity.safetensors
  augur train run1.h5:/u run2.h5:/u --absolute 0.01 --size small --max-time 300 -o u.safetensors
  augur convert run3.h5 small.h5 --relative 1e-3 --model vorticity.safetensors
  augur train drive.h5:/images --architecture prednet --relative 0.1 -o drive.safetensors
  augur train run1.h5:/vorticity --architecture swae --block 32x32 --relative 1e-2 -o blocks.safetensors

Architectures: learned is a forecaster of the next frame from the last two, for the preset learned. prednet and convlstm
remember what was before; they are for the presets tezip+ and tezip, and can forecast levels, colours or variables together.
swae and cae are autoencoders, of blocks (ae-sz, ae-sz+) and of runs of values (cae): few numbers stand for many values.

The model is trained for bounds from an eighth of the given one to eight times it. The last 15 % of each dataset's steps
are held out: the weights that do best on them are kept, training ends where they get no better, and in the end the
command says what the model saves on them, what it costs in time, and from which size of a file on it pays.

Training needs libaugur_torch, which `make torch` builds in Augur's sources (with libtorch, 540 MB to download).
Reading and writing with the model do not.

Exit status: 0 with a model; 1 when there is nothing to forecast and no model was written; 2 for everything else.")]
pub struct Train {
    /// Datasets of one kind, each an array of time, rows and columns (and levels between)
    #[arg(value_name = "FILE[:/DATASET]", required = true)]
    fields: Vec<String>,
    #[command(flatten)]
    bound: BoundOptions,
    /// Model file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    architecture: Architecture,
    /// Steps of the optimiser [default: 2000; 1000 for prednet and convlstm, 6000 for swae and cae]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Pieces of frames, or blocks, of a step: more cost a GPU little; the learning rate grows with their root [default: 4; 2
    /// for prednet and convlstm, 64 for swae and cae]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: Option<u32>,
    /// Seconds after which training ends at the latest; the learning rate falls in time for it
    #[arg(long, value_name = "SECONDS", default_value_t = 480.0, value_parser = seconds, allow_negative_numbers = true)]
    max_time: f64,
    /// Share of each dataset to train on, as 0.05 or 5%, or auto: all of it up to 32 million values; for swae and cae what
    /// its coefficient of variation asks for
    #[arg(long, value_name = "P", default_value = "auto", value_parser = proportion::parse)]
    proportion: Proportion,
    /// Model of the same architecture and size to start from
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// Where to train: cpu or cuda
    #[arg(long, value_name = "DEVICE", default_value = "cpu", value_parser = ["cpu", "cuda"])]
    device: String,
    /// Threads; a small network trains fastest with one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: u32,
    /// Seed of all that is random: the same one gives the same model on the same machine
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// File to write the state of the training to, now and then and in the end
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Go on from the state in the file of --checkpoint
    #[arg(long, requires = "checkpoint")]
    resume: bool,
    /// Train on where there seems to be nothing to forecast
    #[arg(long)]
    insist: bool,
    /// Licence of the model, a line that it carries
    #[arg(long, value_name = "TEXT", default_value = "unspecified")]
    license: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    text.parse()
        .ok()
        .filter(|s: &f64| *s > 0.0 && s.is_finite())
        .ok_or_else(|| "a time above 0 expected".into())
}

/// Trains and writes a model.
///
/// # Errors
/// Nothing to forecast (status 1); everything else that stops it (status 2).
pub fn run(options: &Train) -> Result<()> {
    let settings = options.bound.settings(None)?;
    data::bounds(&settings.bound, 1.0)?;
    if options.bound.is_learned() {
        return Err(Failure::new(
            "--model is what to compress with; what to start training from is --init MODEL",
        ));
    }
    options.architecture.check()?;
    let temporary = written(options)?;
    let init = options.init.as_deref().map(provenance::digest).transpose()?;
    let trainer = library::open(options.device == "cuda")?;
    let fill = options.bound.fill_value();
    let (mut sources, mut parts, mut data): (Vec<Source>, Vec<Part>, Vec<Value>) = (vec![], vec![], vec![]);
    let mut bounds = (f64::INFINITY, 0f64);
    let plan = options.architecture.autoencoder()?;
    for spec in &options.fields {
        sources.push(Source::open(spec, settings.time_axis, fill, plan.is_some())?);
    }
    let (share, why) = match &plan {
        Some(_) => share(options, &sources)?,
        None => (1.0, None),
    };
    if let Some(why) = why.filter(|_| !options.json) {
        eprintln!("{why}");
    }
    let mut pieces = vec![];
    for source in &sources {
        let (read, of) = match &plan {
            None => (source.parts(source.proportion(options.proportion.0))?, 1.0),
            Some(plan) => source.blocks(share, options.architecture.takes_first(), plan.depth())?,
        };
        let (low, high) = data::bounds(&settings.bound, read.range)?;
        bounds = (bounds.0.min(low), bounds.1.max(high));
        data.push(json!({ "name": source.name, "sha256": read.digest }));
        let piece = json!({ "chunk": source.chunk_in_order(), "share": of });
        pieces.extend(std::iter::repeat_n(piece, read.parts.len()));
        parts.extend(read.parts);
    }
    let mut metadata = provenance::metadata(options, &data, bounds, init.as_deref());
    let mut request = json!({
        "bounds": [bounds.0, bounds.1], "steps": options.steps, "batch": options.batch,
        "max_seconds": options.max_time, "seed": options.seed, "device": options.device,
        "threads": options.threads, "init": options.init, "checkpoint": options.checkpoint,
        "resume": options.checkpoint.as_ref().filter(|_| options.resume), "insist": options.insist,
    });
    options.architecture.complete(&sources, pieces, &mut request, &mut metadata)?;
    if plan.is_some() {
        metadata["proportion"] = json!(format!("{share} ({})", options.proportion));
    }
    request["metadata"] = metadata;
    let bar = bar(options.json);
    let (report, model) = trainer.train(&request, &parts, &mut |message| {
        show(&bar, message);
        true
    })?;
    bar.finish_and_clear();
    drop(parts);
    let Some(bytes) = model else {
        if options.json {
            output::json(&json!({ "model": null, "training": report }));
        }
        return Err(Failure::broken(format!(
            "after {} steps {} (--insist trains on)",
            report["steps"],
            match plan {
                Some(_) => "held-out blocks are reconstructed no better than by their means: there is nothing to learn",
                None => "what was trained saves nothing on held-out steps: these fields cannot be forecast from the \
                         frames before, nor corrected point by point, and `balanced` serves them as well",
            }
        )));
    };
    let model = Arc::new(Model::from_bytes(&bytes)?);
    std::fs::write(temporary.path(), &bytes)
        .map_err(|e| Failure::new(format!("{} cannot be written: {e}", options.output.display())))?;
    temporary.place(&options.output)?;
    let mut outcome = Outcome::new(options.architecture.presets());
    for source in &sources {
        let fill = settings.fill.map(|f| f.to_bytes(source.dtype.0, source.dtype.1)).transpose()?;
        let fill = fill.or_else(|| {
            let mut out = [0; 8];
            let bytes = source.fill.as_ref()?;
            out.get_mut(..bytes.len())?.copy_from_slice(bytes);
            Some(out)
        });
        outcome::measure(source, settings.bound, fill, &model, &mut outcome)?;
    }
    if options.json {
        output::json(&result(options, &model, &report, &outcome));
    } else {
        print(options, &model, &report, &outcome);
    }
    Ok(())
}

/// The share of all fields to train an autoencoder on, and why where that is not said.
///
/// # Errors
/// What cannot be read.
fn share(options: &Train, sources: &[Source]) -> Result<(f64, Option<String>)> {
    if let Some(share) = options.proportion.0 {
        return Ok((share, None));
    }
    let mut total = [proportion::Spread::default(); 2];
    let mut values = 0.0;
    for source in sources {
        let (spreads, count) = source.spreads()?;
        total.iter_mut().zip(spreads).for_each(|(t, s)| t.join(&s));
        values += count;
    }
    let (share, why) = proportion::choose(&total[0], &total[1], values);
    let part = if share < 1.0 { format!("{:.3} %", 100.0 * share) } else { "all".into() };
    Ok((share, Some(format!("training on {part} of the blocks: {why}"))))
}

/// Where the model is written until it is whole: found out before hours of training.
///
/// # Errors
/// A folder that is not there; a file that would be lost.
fn written(options: &Train) -> Result<Temporary> {
    let real = |path: &Path| path.canonicalize().ok();
    let mut read: Vec<PathBuf> =
        options.fields.iter().filter_map(|spec| real(Path::new(crate::spec::split(spec).0))).collect();
    read.extend(options.init.as_deref().and_then(real));
    for written in std::iter::once(&options.output).chain(&options.checkpoint) {
        if real(written).is_some_and(|w| read.contains(&w)) {
            return Err(Failure::new(format!(
                "{} is read here and would be overwritten: name another file",
                written.display()
            )));
        }
    }
    if let Some(checkpoint) = &options.checkpoint {
        if *checkpoint == options.output {
            return Err(Failure::new(
                "the model and the checkpoint are two files: name another for one of them",
            ));
        }
        if options.resume && !checkpoint.exists() {
            return Err(Failure::new(format!(
                "--resume: there is no checkpoint {} yet",
                checkpoint.display()
            )));
        }
        Temporary::beside(checkpoint)?;
    }
    Temporary::beside(&options.output)
}

fn bar(quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(1), target);
    if let Ok(style) =
        ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} steps {per_sec} {msg} {elapsed}")
    {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

fn show(bar: &ProgressBar, message: &Value) {
    let number = |key: &str| message[key].as_f64().unwrap_or(0.0);
    // The time that is left may end the training before its steps do.
    let steps = (number("step") / number("done").max(1e-9)).min(number("steps"));
    bar.set_length(steps as u64);
    bar.set_position(number("step") as u64);
    bar.set_prefix(
        message["part"]
            .as_str()
            .map_or_else(|| "training".to_string(), |part| format!("training the {part}")),
    );
    if let Some(held_out) = message["held_out"].as_f64() {
        bar.set_message(format!("loss {:.4}, held out {held_out:.4}", number("loss")));
    }
}

fn result(options: &Train, model: &Model, report: &Value, outcome: &Outcome) -> Value {
    let cost = |c: &outcome::Cost| {
        json!({
            "stored": c.stored, "ratio": output::ratio_json(outcome.raw, c.stored),
            "write_seconds_per_mb": c.write / outcome.raw as f64 * 1e6,
            "read_seconds_per_mb": c.read / outcome.raw as f64 * 1e6,
        })
    };
    let mut held_out = json!({ "raw": outcome.raw, "pays_from": outcome.pays_from(model.bytes().len()) });
    for (way, c) in &outcome.costs {
        held_out[way.name] = cost(c);
    }
    json!({
        "model": {
            "file": options.output.display().to_string(), "sha256": model.digest().to_string(),
            "bytes": model.bytes().len(),
        },
        "training": report,
        "held_out": held_out,
    })
}

fn print(options: &Train, model: &Model, report: &Value, outcome: &Outcome) {
    let number = |key: &str| report[key].as_f64().unwrap_or(0.0);
    let size = model.bytes().len();
    println!(
        "{}: {} ({} weights), sha256:{}",
        options.output.display(),
        output::bytes(size as u64),
        report["parameters"],
        model.digest()
    );
    println!(
        "{} steps in {:.0} s ({}); {:.0} multiply-adds per point",
        report["steps"],
        number("seconds"),
        ended(report),
        number("operations")
    );
    errors(report);
    corrector(report);
    reconstruction(report);
    println!("\nOn {} of held-out steps:", output::bytes(outcome.raw));
    let row = |name: &str, c: &outcome::Cost| {
        let milliseconds = |s: f64| format!("{:.1} ms", s / outcome.raw as f64 * 1e9);
        vec![
            name.to_string(),
            output::bytes(c.stored),
            output::ratio(outcome.raw, c.stored),
            milliseconds(c.write),
            milliseconds(c.read),
        ]
    };
    output::table(
        &["preset", "stored", "ratio", "write a MB", "read a MB"],
        &outcome.costs.iter().map(|(way, c)| row(way.name, c)).collect::<Vec<_>>(),
    );
    match outcome.pays_from(size) {
        Some(from) => println!(
            "The model makes up for its own size in a file with {} of such fields and more.",
            output::bytes(from)
        ),
        None => println!("The model saves nothing here: use balanced."),
    }
}

/// How a training ended, in words.
fn ended(report: &Value) -> &'static str {
    match report["end"].as_str() {
        Some("early") => "ended early: the held-out steps got no better",
        Some("stopped") => "stopped",
        Some("hopeless") => "given up",
        _ => "done",
    }
}

/// What a corrector saves, as its trainer estimates.
fn corrector(report: &Value) {
    let found = &report["corrector"];
    let of = |key: &str| found[key].as_f64().unwrap_or(f64::NAN);
    if found.is_object() {
        println!(
            "\nCorrector: {} steps ({}); {:.0} multiply-adds per point of the finest passes, whose held-out points take {:.3} bits \
             without it and {:.3} with it, as estimated{}",
            found["steps"],
            ended(found),
            of("operations"),
            of("bits_without"),
            of("bits_with"),
            if found["kept"] == true { "" } else { ": not worth its weights, left out" }
        );
    }
}

/// How far an autoencoder's reconstructions are off.
fn reconstruction(report: &Value) {
    let of = |value: &Value, key: &str| value[key].as_f64().unwrap_or(f64::NAN);
    let found = &report["reconstruction"];
    let Some(scores) = found["scores"].as_array() else { return };
    println!(
        "\nReconstructions of held-out blocks: PSNR {:.1} dB, mean error {:.2e} of the range (the mean of a block: {:.2e})",
        of(found, "psnr"),
        of(found, "error"),
        of(found, "mean_error")
    );
    let row = |score: &Value| {
        vec![
            format!("{:.2e}", of(score, "bound")),
            format!("{:.3}", of(score, "step")),
            format!("{:.2}", of(score, "error")),
            format!("{:.1} %", 100.0 * of(score, "within")),
        ]
    };
    output::table(
        &["bound / range", "latents in steps of", "mean error in bounds", "points within it"],
        &scores.iter().map(row).collect::<Vec<_>>(),
    );
}

/// How far forecasts are off, where the trainer says so.
fn errors(report: &Value) {
    let scores = report["scores"].as_array().map_or(&[][..], Vec::as_slice);
    let of = |score: &Value, key: &str| score[key].as_f64().filter(|e| *e > 0.0);
    let row = |score: &Value| {
        let mean = |key: &str| Some(format!("{:.2}", of(score, key)?));
        let bound = format!("{:.2e}", of(score, "bound")?);
        Some(vec![bound, mean("forecast")?, mean("persistence")?, mean("extrapolation")?])
    };
    let rows: Vec<Vec<String>> = scores.iter().filter_map(row).collect();
    if !rows.is_empty() {
        println!("\nMean errors of forecasts of held-out steps, in bounds:");
        output::table(&["bound / range", "network", "last frame", "and last change"], &rows);
    }
}
