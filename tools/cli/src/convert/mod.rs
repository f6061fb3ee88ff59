//! `augur convert`: the same file, with chosen datasets compressed.

pub mod chunking;
mod data;
mod plan;
pub mod temporary;
mod tree;

use crate::augur;
use crate::failure::{Failure, Result};
use crate::h5::{chunks, dataset, file, object, Id};
use crate::models::{embedded, find};
use crate::options::{BoundOptions, HOW};
use crate::{output, verify, walk};
use clap::Args;
use plan::{Choice, Skipped, Wish};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use temporary::Temporary;
use tree::Notes;

/// Most datasets that are named one by one when they are left alone.
const MOST_TOLD: usize = 20;

/// Compress datasets of an HDF5 or netCDF-4 file; everything else is kept
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  augur convert winds.nc small.nc --relative 1e-3
  augur convert run.h5 small.h5 -d velocity -d 'fields/*' --absolute 0.01 --verify
  augur convert run.h5 small.h5 --absolute 0.01 --chunk 16,256,256 --preset fast
  augur convert run.h5 small.h5 --absolute 0.01 --model wind.safetensors
  augur convert film.h5 small.h5 --relative 0.02 --preset tezip --window 8 --model film.safetensors
  augur convert run.h5 small.h5 --relative 1e-3 --dry-run

Without --dataset every numeric dataset of at least 16 KiB is compressed, except coordinates of
dimensions and what Augur compressed before. Groups, attributes, links, references, dimension
scales, other datasets and their filters stay as they are.

With --model, OUT holds the model once, and the attribute augur_model of what was compressed names it.
With --model attribute, so it is with the models that the datasets of IN name; those that name none are
compressed with the preset balanced, or with --preset tezip predicted by the frame before.

OUT appears only when it is complete. Exit status: 0; 1 when --verify finds a bound broken (OUT is
not made then); 2 for everything else.")]
pub struct Convert {
    /// File to read
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// File to make
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Dataset to compress; repeatable. A path (/group/u), a name at any depth (u), or a pattern
    /// with * ? and ** (which crosses slashes)
    #[arg(short, long = "dataset", value_name = "PATTERN")]
    datasets: Vec<String>,
    #[command(flatten)]
    bound: BoundOptions,
    /// Chunk shape, slowest axis first, as in 16,256,256 [default: suggested from shape and type]
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', help_heading = HOW)]
    chunk: Option<Vec<usize>>,
    /// Replace OUT if it exists
    #[arg(long)]
    force: bool,
    /// Read everything back and compare before OUT is made
    #[arg(long)]
    verify: bool,
    /// Only say what would be compressed, and in which chunks
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Converts the file.
///
/// # Errors
/// Wrong input, a full disk, a broken bound; OUT is not touched then.
pub fn run(options: &Convert) -> Result<()> {
    let here = std::slice::from_ref(&options.input);
    let model = options.bound.model().map(|text| find::one(text, here)).transpose()?.map(|l| l.model);
    let settings = options.bound.settings(model.as_ref().map(|m| m.digest().prefix()))?;
    if options.chunk.as_ref().is_some_and(|c| c.contains(&0)) {
        return Err(Failure::new("--chunk holds a 0, every extent must be at least 1"));
    }
    let source = file::open(&options.input)?;
    check_output(options)?;
    let found = walk::datasets(&source).map_err(|e| e.while_doing(options.input.display()))?;
    let wish = Wish {
        patterns: &options.datasets,
        chunk: options.chunk.as_deref(),
        time_axis: options.bound.time_axis(),
        settings: &settings,
        model: model.map(Arc::new),
        input: &options.input,
    };
    let (chosen, skipped) = plan::decide(&source, &found, &wish)?;
    if options.dry_run {
        report_plan(options, &chosen, &skipped);
        return Ok(());
    }
    let temporary = Temporary::beside(&options.output)?;
    let by_token: HashMap<object::Token, Choice> =
        chosen.iter().map(|(i, c)| (found[*i].token, c.clone())).collect();
    let notes = write(options, &source, &by_token, temporary.path())
        .map_err(|e| e.while_doing(format!("{} was not made", options.output.display())))?;
    let copy = file::open(temporary.path())?;
    if options.verify {
        let names: Vec<_> = chosen.iter().map(|(i, _)| &found[*i]).collect();
        let broken = verify::broken_among(&source, &copy, &names, options.json)?;
        if !broken.is_empty() {
            return Err(Failure::broken(format!(
                "{} was not made: the error bound is broken in {}",
                options.output.display(),
                broken.join(", ")
            )));
        }
    }
    let rows = measure(&copy, &found, &chosen)?;
    drop(copy);
    temporary.place(&options.output)?;
    report(options, &rows, &skipped, notes);
    Ok(())
}

fn check_output(options: &Convert) -> Result<()> {
    let shown = options.output.display();
    if options.output.is_dir() {
        return Err(Failure::new(format!("{shown} is a directory, expected the name of the file to make")));
    }
    if options.output.exists() && !options.force && !options.dry_run {
        return Err(Failure::new(format!("{shown} exists; give another name, or --force to replace it")));
    }
    Ok(())
}

/// Makes the copy at `path`.
fn write(
    options: &Convert,
    source: &Id,
    chosen: &HashMap<object::Token, Choice>,
    path: &Path,
) -> Result<Notes> {
    let userblock = file::userblock(source)?;
    let version = file::superblock_version(&options.input, userblock);
    let root = object::open(source, c"/")?;
    let copy = file::create_like(path, source, &root.id, version)?;
    // Before the data, whose chunks are coded as they are written.
    let models: BTreeMap<_, _> =
        chosen.values().filter_map(|c| c.model.as_ref()).map(|m| (m.digest(), m)).collect();
    for model in models.values() {
        embedded::put(&copy, model)?;
    }
    let total = chosen.values().map(|c| c.raw_bytes).sum();
    let bar = output::progress(total, options.json);
    let notes = tree::copy(source, &copy, chosen, &bar).and_then(|n| file::flush(&copy).map(|()| n));
    bar.finish_and_clear();
    let notes = notes?;
    drop(copy);
    copy_userblock(&options.input, path, userblock)?;
    Ok(notes)
}

/// The bytes before the HDF5 data belong to another program, which wants them back.
fn copy_userblock(from: &Path, to: &Path, len: u64) -> Result<()> {
    if len == 0 {
        return Ok(());
    }
    use std::io::Read;
    let copied = std::fs::File::open(from).and_then(|f| {
        let mut to = std::fs::OpenOptions::new().write(true).open(to)?;
        std::io::copy(&mut f.take(len), &mut to)
    });
    copied.map(|_| ()).map_err(|e| Failure::new(format!("copying the userblock: {e}")))
}

struct Row {
    path: String,
    model: Option<String>,
    /// Chunks that need it, and all.
    needed: (usize, usize),
    chunk: Vec<usize>,
    raw: u64,
    stored: u64,
}

fn measure(copy: &Id, found: &[walk::Found], chosen: &[(usize, Choice)]) -> Result<Vec<Row>> {
    chosen
        .iter()
        .map(|(i, c)| {
            let set = dataset::open(copy, &found[*i].path, None)?;
            let needed = if c.model.is_some() { chunks_with_a_model(&set)? } else { (0, 0) };
            Ok(Row {
                path: c.path.clone(),
                needed,
                model: c.model.as_ref().map(|m| m.digest().to_string()),
                chunk: c.chunk.clone(),
                raw: c.raw_bytes,
                stored: set.stored_bytes(),
            })
        })
        .collect()
}

/// How many chunks need a model, and how many there are.
fn chunks_with_a_model(set: &dataset::Dataset) -> Result<(usize, usize)> {
    let Some(augur) = augur::of(set)? else { return Ok((0, 0)) };
    let all = chunks::list(set)?;
    let mut needed = 0;
    for chunk in &all {
        needed += usize::from(augur.inspect(set, chunk)?.is_some_and(|info| info.header.model.is_some()));
    }
    Ok((needed, all.len()))
}

fn size_of_file(path: &Path) -> u64 {
    std::fs::metadata(path).map(|m| m.len()).unwrap_or(0)
}

fn report(options: &Convert, rows: &[Row], skipped: &[Skipped], notes: Notes) {
    let (before, after) = (size_of_file(&options.input), size_of_file(&options.output));
    if options.json {
        output::json(&serde_json::json!({
            "input": options.input.display().to_string(),
            "output": options.output.display().to_string(),
            "input_bytes": before,
            "output_bytes": after,
            "datasets": rows.iter().map(|r| serde_json::json!({
                "path": r.path, "chunk": r.chunk, "raw_bytes": r.raw, "stored_bytes": r.stored,
                "ratio": output::ratio_json(r.raw, r.stored), "model": r.model,
                "chunks_with_model": r.model.as_ref().map(|_| r.needed.0),
            })).collect::<Vec<_>>(),
            "copied": skipped_json(skipped),
            "null_references": notes.lost,
            "names_other_files": notes.outside,
        }));
        return;
    }
    let table: Vec<Vec<String>> = rows
        .iter()
        .map(|r| {
            vec![
                r.path.clone(),
                output::shape(&r.chunk),
                output::bytes(r.raw),
                output::bytes(r.stored),
                output::ratio(r.raw, r.stored),
            ]
        })
        .collect();
    if table.is_empty() {
        println!("No dataset was compressed.");
    } else {
        output::table(&["dataset", "chunk", "raw", "stored", "ratio"], &table);
    }
    print_skipped(skipped, "Copied as they are");
    if notes.lost > 0 {
        println!("{} references lead nowhere in {} and are null now.", notes.lost, options.input.display());
    }
    let directory = |path: &Path| path.canonicalize().ok().and_then(|p| p.parent().map(Path::to_path_buf));
    if notes.outside > 0 && directory(&options.input) != directory(&options.output) {
        println!(
            "{} external links or virtual datasets name other files; relative names now count from the directory of {}.",
            notes.outside,
            options.output.display()
        );
    }
    println!(
        "{}: {}, {}: {}",
        options.input.display(),
        output::bytes(before),
        options.output.display(),
        output::bytes(after)
    );
    print_models(options, rows);
    if options.verify && !rows.is_empty() {
        println!("Verified: every bound holds.");
    }
}

/// What became of the models.
fn print_models(options: &Convert, rows: &[Row]) {
    let mut models: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (row, model) in rows.iter().filter_map(|r| Some((r, r.model.as_deref()?))) {
        let sum = models.entry(model).or_default();
        *sum = (sum.0 + row.needed.0, sum.1 + row.needed.1);
    }
    for (model, (needed, all)) in models {
        let gain = match needed {
            0 if options.bound.does_without_model() => ": it cannot be used here, or gains nothing",
            0 => ": it gains nothing here, the preset balanced does as well",
            _ => "",
        };
        println!(
            "{} holds the model sha256:{model}, which {needed} of {all} chunks need{gain}.",
            options.output.display()
        );
    }
    // Where something else is done without a model the filter tells itself.
    if options.bound.is_learned() && !options.bound.does_without_model() {
        for row in rows.iter().filter(|r| r.model.is_none()) {
            println!("{} names no model; the preset balanced was used.", row.path);
        }
    }
}

fn skipped_json(skipped: &[Skipped]) -> Vec<serde_json::Value> {
    skipped.iter().map(|s| serde_json::json!({ "path": s.path, "reason": s.reason })).collect()
}

/// Names what is left alone, unless the user left it out himself.
fn print_skipped(skipped: &[Skipped], heading: &str) {
    let told: Vec<&Skipped> = skipped.iter().filter(|s| s.reason != plan::NOT_ASKED).collect();
    if !told.is_empty() {
        println!("{heading}:");
        for s in told.iter().take(MOST_TOLD) {
            println!("  {} ({})", s.path, s.reason);
        }
        if told.len() > MOST_TOLD {
            println!("  and {} more (--json lists all)", told.len() - MOST_TOLD);
        }
    }
}

fn report_plan(options: &Convert, chosen: &[(usize, Choice)], skipped: &[Skipped]) {
    if options.json {
        output::json(&serde_json::json!({
            "datasets": chosen.iter().map(|(_, c)| serde_json::json!({
                "path": c.path, "chunk": c.chunk, "raw_bytes": c.raw_bytes, "cd_values": c.words,
                "model": c.model.as_ref().map(|m| m.digest().to_string()),
            })).collect::<Vec<_>>(),
            "copied": skipped_json(skipped),
        }));
        return;
    }
    let rows: Vec<Vec<String>> = chosen
        .iter()
        .map(|(_, c)| vec![c.path.clone(), output::shape(&c.chunk), output::bytes(c.raw_bytes)])
        .collect();
    if rows.is_empty() {
        println!("No dataset would be compressed.");
    } else {
        output::table(&["dataset", "chunk", "raw"], &rows);
    }
    print_skipped(skipped, "Would be copied as they are");
}
