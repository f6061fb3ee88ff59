//! `augur verify`: does the copy keep the bound that was asked for, everywhere?

mod compare;

use crate::augur::{self, Augur};
use crate::failure::{Failure, Result};
use crate::h5::dataset::{self, Dataset, Layout};
use crate::h5::{chunks, file, types, Id};
use crate::options::{bound_json, bound_text, matches};
use crate::walk::Found as Path;
use crate::{boxes, output, walk};
use augur_core::Bound;
use clap::Args;
use compare::{compare, is_chunkwise, worst, Elements, Found};
use indicatif::ProgressBar;
use serde_json::{json, Value};
use std::path::PathBuf;

/// Bytes of chunk cache for the original, whose chunks may lie across the copy's.
const CACHE: usize = 128 << 20;

/// Compare a compressed file with its original, against the error bound
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  augur verify winds.nc small.nc
  augur verify run.h5 small.h5 -d velocity --json

For every dataset of COMPRESSED that Augur compressed: the bound that was asked for, the largest
error, that error as a fraction of what the bound allows (at most 1 when it holds), the PSNR, the
ratio, and whether NaN, infinities and fill values are the same bits. Relative and PSNR bounds refer
to each chunk's own value range.

Exit status: 0 when every bound holds; 1 when one is broken; 2 when something cannot be compared.")]
pub struct Verify {
    /// The file as it was
    #[arg(value_name = "ORIGINAL")]
    original: PathBuf,
    /// The file that Augur compressed
    #[arg(value_name = "COMPRESSED")]
    compressed: PathBuf,
    /// Only these datasets; repeatable, patterns as for convert. Datasets without Augur are compared too
    #[arg(short, long = "dataset", value_name = "PATTERN")]
    datasets: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came out for one dataset.
struct Row {
    path: String,
    bound: Option<Bound>,
    found: Found,
    /// Where the largest error is.
    at: Vec<usize>,
    raw: u64,
    stored: u64,
}

/// Compares the files.
///
/// # Errors
/// A broken bound (status 1); what cannot be compared (status 2).
pub fn run(options: &Verify) -> Result<()> {
    let original = file::open(&options.original)?;
    let compressed = file::open(&options.compressed)?;
    let shown = options.compressed.display();
    let found = walk::datasets(&compressed).map_err(|e| e.while_doing(&shown))?;
    for pattern in &options.datasets {
        if !found.iter().any(|f| matches(pattern, &f.shown())) {
            return Err(Failure::new(format!("no dataset of {shown} matches \"{pattern}\"")));
        }
    }
    let mut wanted = Vec::new();
    for one in &found {
        let set = dataset::open(&compressed, &one.path, None)?;
        let named = options.datasets.iter().any(|p| matches(p, &one.shown()));
        let is_augur = augur::of(&set).map_err(|e| e.while_doing(one.shown()))?.is_some();
        if named || options.datasets.is_empty() && is_augur {
            wanted.push((one.clone(), set.raw_bytes()));
        }
    }
    if wanted.is_empty() {
        return Err(Failure::new(format!(
            "{shown} holds no dataset that Augur compressed; name datasets with --dataset to compare them anyway"
        )));
    }
    let bar = output::progress(wanted.iter().map(|w| w.1).sum(), options.json);
    let results: Vec<(String, Result<Row>)> =
        wanted.iter().map(|(one, _)| (one.shown(), check(&original, &compressed, one, &bar))).collect();
    bar.finish_and_clear();
    report(options, &results);
    let broken: Vec<&str> = results
        .iter()
        .filter(|(_, r)| r.as_ref().is_ok_and(|row| row.bound.is_some() && !row.found.holds()))
        .map(|(path, _)| path.as_str())
        .collect();
    if !broken.is_empty() {
        return Err(Failure::broken(format!("the error bound is broken in {}", broken.join(", "))));
    }
    let failed = results.iter().filter(|(_, r)| r.is_err()).count();
    if failed > 0 {
        return Err(Failure::new(format!("{failed} of {} datasets could not be compared", results.len())));
    }
    Ok(())
}

/// Paths of the datasets among `paths` whose bound `compressed` breaks.
///
/// # Errors
/// What cannot be compared.
pub fn broken_among(original: &Id, compressed: &Id, paths: &[&Path], quiet: bool) -> Result<Vec<String>> {
    let mut total = 0;
    for one in paths {
        total += dataset::open(compressed, &one.path, None)?.raw_bytes();
    }
    let bar = output::progress(total, quiet);
    let mut broken = Vec::new();
    for one in paths {
        let row = check(original, compressed, one, &bar).map_err(|e| e.while_doing(one.shown()))?;
        if !row.found.holds() {
            broken.push(row.path);
        }
    }
    bar.finish_and_clear();
    Ok(broken)
}

fn check(original: &Id, compressed: &Id, one: &Path, bar: &ProgressBar) -> Result<Row> {
    bar.set_message(one.shown());
    let copy = dataset::open(compressed, &one.path, None)?;
    if !dataset::exists(original, &one.path) {
        return Err(Failure::new("the original has no dataset of this name"));
    }
    let source = dataset::open(original, &one.path, Some(CACHE))?;
    if source.shape != copy.shape {
        return Err(Failure::new(format!(
            "the original is {}, the copy {}",
            output::shape(&source.shape),
            output::shape(&copy.shape)
        )));
    }
    let kinds = (types::numeric(&source.dtype), types::numeric(&copy.dtype));
    let (Some((dtype, from)), Some((copied, to))) = kinds else {
        return Err(Failure::new(format!("{} values cannot be compared", types::name(&copy.dtype))));
    };
    if dtype != copied {
        return Err(Failure::new(format!(
            "the original holds {}, the copy {}; a bound only speaks about values of the same type",
            dtype.name(),
            copied.name()
        )));
    }
    let augur = augur::of(&copy)?;
    let bound = augur.as_ref().map(|a| a.settings.bound);
    let fill = augur.as_ref().and_then(|a| a.fill_bits(&copy));
    let size = dtype.size();
    let chunk = match &copy.layout {
        Layout::Chunked(chunk) => chunk.clone(),
        _ => vec![1; copy.shape.len()],
    };
    let by_chunk = bound.as_ref().is_some_and(is_chunkwise);
    let mut row = Row {
        path: one.shown(),
        bound,
        found: Found::default(),
        at: vec![0; copy.shape.len()],
        raw: copy.raw_bytes(),
        stored: copy.stored_bytes(),
    };
    let mut chunk_list = None;
    let (mut a, mut b) = (Vec::new(), Vec::new());
    let step = if by_chunk { chunk } else { boxes::step(&copy.shape, &chunk, None, size) };
    for (start, count) in boxes::cover(&copy.shape, &step) {
        source.read(&start, &count, &mut a)?;
        copy.read(&start, &count, &mut b)?;
        let (x, y) = (Elements::new(&a, dtype, from), Elements::new(&b, dtype, to));
        let mut found = compare(&x, &y, bound.as_ref(), fill);
        if let (true, false, Some(augur), Some(bound)) = (by_chunk, found.holds(), &augur, &bound) {
            let known = match &chunk_list {
                Some(list) => list,
                None => chunk_list.insert(chunks::list(&copy)?),
            };
            if let Some(stated) = stated_worst(&found, augur, &copy, known, &start, bound) {
                let wide = compare(&x, &y, Some(bound), None);
                // Whether a fill value counts to the range is the encoder's choice, within the wider of both.
                found.worst = stated.max(worst(&found, bound, wide.range()));
            }
        }
        if row.found.add(&found) {
            row.at = position(found.largest_at, &start, &count);
        }
        bar.inc(a.len() as u64);
    }
    Ok(row)
}

/// The error of a chunk as a fraction of what its header allows.
fn stated_worst(
    found: &Found,
    augur: &Augur,
    copy: &Dataset,
    known: &[chunks::Chunk],
    start: &[usize],
    bound: &Bound,
) -> Option<f64> {
    if matches!(bound, Bound::Psnr(_)) {
        return None;
    }
    let at = known.binary_search_by(|c| c.offset.as_slice().cmp(start)).ok()?;
    let info = augur.inspect(copy, &known[at]).ok()??;
    (info.header.error > 0.0).then(|| found.largest / info.header.error)
}

/// Coordinates in the dataset of element `index` of a box.
fn position(mut index: usize, start: &[usize], count: &[usize]) -> Vec<usize> {
    let mut at = start.to_vec();
    for axis in (0..count.len()).rev() {
        at[axis] += index % count[axis];
        index /= count[axis];
    }
    at
}

fn report(options: &Verify, results: &[(String, Result<Row>)]) {
    if options.json {
        let rows: Vec<Value> = results.iter().map(|(path, r)| row_json(path, r)).collect();
        output::json(&json!({
            "original": options.original.display().to_string(),
            "compressed": options.compressed.display().to_string(),
            "datasets": rows,
        }));
        return;
    }
    let rows: Vec<Vec<String>> = results
        .iter()
        .map(|(path, r)| match r {
            Ok(row) => row_text(row),
            Err(e) => vec![path.clone(), format!("not compared: {e}")],
        })
        .collect();
    let heading =
        ["dataset", "bound", "largest error", "of allowed", "PSNR", "ratio", "special values", "result"];
    output::table(&heading, &rows);
    for row in results.iter().filter_map(|(_, r)| r.as_ref().ok()) {
        if row.bound.is_some() && row.found.worst > 1.0 {
            println!("{}: the largest error is at {:?}", row.path, row.at);
        }
    }
}

fn row_text(row: &Row) -> Vec<String> {
    let found = &row.found;
    let lossless = row.bound == Some(Bound::Lossless);
    vec![
        row.path.clone(),
        row.bound.as_ref().map_or("none".into(), bound_text),
        output::number(found.largest),
        if lossless || row.bound.is_none() { "-".into() } else { format!("{:.3}", found.worst) },
        if found.squares == 0.0 { "exact".into() } else { format!("{:.1} dB", found.psnr()) },
        output::ratio(row.raw, row.stored),
        match (found.inexact, found.special) {
            (0, 0) => "none".into(),
            (0, n) => format!("{n} exact"),
            (n, _) => format!("{n} CHANGED"),
        },
        match (row.bound.is_some(), found.holds()) {
            (false, _) => "no bound".into(),
            (true, true) => "holds".into(),
            (true, false) => "BROKEN".into(),
        },
    ]
}

/// A number for programs; JSON has no infinity.
fn finite(v: f64) -> Value {
    if v.is_finite() {
        json!(v)
    } else {
        Value::Null
    }
}

fn row_json(path: &str, result: &Result<Row>) -> Value {
    let row = match result {
        Ok(row) => row,
        Err(e) => return json!({ "path": path, "problem": e.to_string() }),
    };
    let found = &row.found;
    json!({
        "path": path,
        "bound": row.bound.as_ref().map(bound_json),
        "holds": row.bound.map(|_| found.holds()),
        "largest_error": finite(found.largest),
        "largest_error_at": row.at,
        "error_over_bound": row.bound.map(|_| finite(found.worst)),
        "psnr_db": finite(found.psnr()),
        "compared": found.compared,
        "special": found.special,
        "inexact": found.inexact,
        "raw_bytes": row.raw,
        "stored_bytes": row.stored,
        "ratio": output::ratio_json(row.raw, row.stored),
    })
}
