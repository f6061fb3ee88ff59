//! `augur inspect`: what is compressed, how, and how well.

use crate::augur::{self, Augur};
use crate::failure::{Failure, Result};
use crate::h5::chunks;
use crate::h5::dataset::{self, Dataset, Layout};
use crate::h5::pipeline::{self, Filter};
use crate::h5::{file, types, Id};
use crate::models::{embedded, find, show, Located};
use crate::options::{bound_json, bound_text, matches, preset_text, windows_json};
use crate::{output, walk};
use augur_filter::models::{Named, Wanted};
use clap::Args;
use serde_json::{json, Value};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Say which datasets are compressed, how, and how well
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  augur inspect small.nc
  augur inspect small.h5 -d velocity --chunks
  augur inspect small.h5 --json

With --chunks every chunk's header and checksums are read (not its values), and with that which models
reading needs.

Exit status: 0; 1 when --chunks finds a damaged chunk; 2 for everything else.")]
pub struct Inspect {
    /// HDF5 or netCDF-4 file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only these datasets; repeatable, patterns as for convert
    #[arg(short, long = "dataset", value_name = "PATTERN")]
    datasets: Vec<String>,
    /// Also list every chunk: stored bytes, ratio, method
    #[arg(long)]
    chunks: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A chunk's line.
struct ChunkRow {
    offset: Vec<usize>,
    stored: u64,
    raw: u64,
    /// Method and description, or what is wrong with it.
    state: std::result::Result<(String, String), String>,
}

/// What is known of a dataset.
struct Row {
    path: String,
    set: Dataset,
    filters: Vec<Filter>,
    /// `None` without Augur; an error where its parameters cannot be read.
    augur: Option<std::result::Result<Augur, String>>,
    chunks: Vec<ChunkRow>,
    /// The models that it names and that its chunks need.
    models: Vec<Use>,
}

/// A model of a dataset.
struct Use {
    /// What says so: parameters, attribute, chunks.
    by: &'static str,
    /// As it is said there.
    named: String,
    /// Where it is found; `None` where it is not.
    found: Option<Located>,
}

/// Lists the file's datasets.
///
/// # Errors
/// A file that cannot be read (status 2), a damaged chunk (status 1).
pub fn run(options: &Inspect) -> Result<()> {
    let file = file::open(&options.file)?;
    let shown = options.file.display();
    let found = walk::datasets(&file).map_err(|e| e.while_doing(&shown))?;
    for pattern in &options.datasets {
        if !found.iter().any(|f| matches(pattern, &f.shown())) {
            return Err(Failure::new(format!("no dataset of {shown} matches \"{pattern}\"")));
        }
    }
    let held = embedded::list(&file).map_err(|e| e.while_doing(&shown))?;
    let rows = found
        .iter()
        .filter(|f| options.datasets.is_empty() || options.datasets.iter().any(|p| matches(p, &f.shown())))
        .map(|f| look(&file, f, options, &held).map_err(|e| e.while_doing(f.shown())))
        .collect::<Result<Vec<Row>>>()?;
    if options.json {
        output::json(&json!({
            "file": options.file.display().to_string(),
            "datasets": rows.iter().map(row_json).collect::<Vec<_>>(),
        }));
    } else {
        print(&rows, options);
    }
    let damaged: usize = rows.iter().map(|r| r.chunks.iter().filter(|c| c.state.is_err()).count()).sum();
    if damaged > 0 {
        return Err(Failure::broken(format!("{damaged} chunks of {shown} are damaged")));
    }
    Ok(())
}

fn look(file: &Id, found: &walk::Found, options: &Inspect, held: &[embedded::Embedded]) -> Result<Row> {
    let set = dataset::open(file, &found.path, None)?;
    let filters = pipeline::list(&set.dcpl)?;
    let augur = augur::of(&set).map_err(|e| e.to_string()).transpose();
    let mut rows = Vec::new();
    let mut models = Vec::new();
    let mut needed = BTreeSet::new();
    if let Some(Ok(augur)) = &augur {
        models.extend(named(&set, augur, held, &options.file)?);
    }
    if let (true, Some(Ok(augur)), Layout::Chunked(extents)) = (options.chunks, &augur, &set.layout) {
        let raw = extents.iter().product::<usize>() as u64 * types::size(&set.dtype) as u64;
        for chunk in chunks::list(&set)? {
            let state = match augur.inspect(&set, &chunk) {
                Ok(Some(info)) => {
                    needed.extend(info.header.model);
                    Ok((info.header.method.name().to_string(), info.description))
                }
                Ok(None) => Ok(("stored".into(), "Augur was skipped for this chunk".into())),
                Err(e) => Err(e.to_string()),
            };
            rows.push(ChunkRow { offset: chunk.offset, stored: chunk.stored as u64, raw, state });
        }
    }
    models.extend(needed.into_iter().map(|digest| Use {
        by: "chunks",
        named: format!("sha256:{digest}"),
        found: find::wanted(held, &Wanted::Digest(digest)),
    }));
    Ok(Row { path: found.shown(), set, filters, augur, chunks: rows, models })
}

/// The models that a dataset's parameters and its attribute name.
fn named(set: &Dataset, augur: &Augur, held: &[embedded::Embedded], file: &Path) -> Result<Vec<Use>> {
    let mut uses = Vec::new();
    if let Some(prefix) = augur.settings.model {
        let wanted = Wanted::Prefix(prefix);
        uses.push(Use { by: "cd_values", named: wanted.to_string(), found: find::wanted(held, &wanted) });
    }
    if let Some(text) = embedded::named(&set.id)? {
        let found = match Named::parse(&text) {
            Ok(named) => match (named.digest(), named) {
                (Some(digest), _) => find::wanted(held, &Wanted::Digest(digest)),
                (None, Named::Relative(path)) => {
                    let path = file.parent().unwrap_or(Path::new("")).join(path);
                    find::one(&path.to_string_lossy(), &[]).ok()
                }
                _ => file::open(file).and_then(|f| embedded::other(&f, &text)).ok(),
            },
            Err(_) => None,
        };
        uses.push(Use { by: "attribute", named: text, found });
    }
    Ok(uses)
}

fn filters_text(filters: &[Filter]) -> String {
    if filters.is_empty() {
        return "-".into();
    }
    filters.iter().map(Filter::label).collect::<Vec<_>>().join(", ")
}

fn layout_text(set: &Dataset) -> String {
    match &set.layout {
        Layout::Chunked(chunk) => output::shape(chunk),
        Layout::Contiguous => "contiguous".into(),
        Layout::Compact => "compact".into(),
        Layout::Virtual => "virtual".into(),
    }
}

fn print(rows: &[Row], options: &Inspect) {
    if rows.is_empty() {
        println!("{} holds no datasets.", options.file.display());
        return;
    }
    let common = |row: &Row| {
        vec![
            row.path.clone(),
            output::shape(&row.set.shape),
            types::name(&row.set.dtype),
            layout_text(&row.set),
        ]
    };
    let sizes = |row: &Row| {
        let (raw, stored) = (row.set.raw_bytes(), row.set.stored_bytes());
        vec![output::bytes(stored), output::ratio(raw, stored)]
    };
    let with: Vec<Vec<String>> = rows
        .iter()
        .filter_map(|row| {
            let (bound, preset) = match row.augur.as_ref()? {
                Ok(a) => (bound_text(&a.settings.bound), preset_text(&a.settings)),
                Err(e) => (e.clone(), "?".into()),
            };
            Some([common(row), vec![bound, preset], sizes(row)].concat())
        })
        .collect();
    let without: Vec<Vec<String>> = rows
        .iter()
        .filter(|row| row.augur.is_none() && !row.path.starts_with("/_augur/"))
        .map(|row| [common(row), vec![filters_text(&row.filters)], sizes(row)].concat())
        .collect();
    if with.is_empty() {
        println!("No dataset is compressed with Augur.");
    } else {
        println!("Compressed with Augur:");
        output::table(&["dataset", "shape", "type", "chunk", "bound", "preset", "stored", "ratio"], &with);
    }
    if !without.is_empty() {
        println!("\nOther datasets:");
        output::table(&["dataset", "shape", "type", "chunk", "filters", "stored", "ratio"], &without);
    }
    let uses: Vec<Vec<String>> = rows
        .iter()
        .flat_map(|row| uses_text(&row.models).into_iter().map(|u| [vec![row.path.clone()], u].concat()))
        .collect();
    if !uses.is_empty() {
        println!("\nModels:");
        output::table(&["dataset", "model", "named by", "found in", "what"], &uses);
    }
    for row in rows.iter().filter(|r| !r.chunks.is_empty()) {
        println!("\nChunks of {}:", row.path);
        let lines: Vec<Vec<String>> = row
            .chunks
            .iter()
            .map(|c| {
                let (method, description) = match &c.state {
                    Ok((method, description)) => (method.clone(), description.clone()),
                    Err(e) => ("DAMAGED".into(), e.clone()),
                };
                let at = c.offset.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
                vec![at, output::bytes(c.stored), output::ratio(c.raw, c.stored), method, description]
            })
            .collect();
        output::table(&["at", "stored", "ratio", "method", "description"], &lines);
    }
}

/// One line for each model, with everything that names it.
fn uses_text(uses: &[Use]) -> Vec<Vec<String>> {
    let mut lines: Vec<Vec<String>> = Vec::new();
    for one in uses {
        let (model, place, what) = match &one.found {
            Some(Located { model, place }) => {
                let place = if place.starts_with("/_augur/") { "this file" } else { place };
                (
                    format!("sha256:{}", &model.digest().to_string()[..16]),
                    place.to_string(),
                    show::title(model),
                )
            }
            None => {
                let named = if one.named.is_empty() { "(no text)".into() } else { output::plain(&one.named) };
                (named, "NOT FOUND".into(), "-".into())
            }
        };
        match lines.iter_mut().find(|l| l[0] == model && l[2] == place) {
            Some(line) => line[1] = format!("{}, {}", line[1], one.by),
            None => lines.push(vec![model, one.by.into(), place, what]),
        }
    }
    lines
}

fn row_json(row: &Row) -> Value {
    let set = &row.set;
    let (raw, stored) = (set.raw_bytes(), set.stored_bytes());
    let chunk = match &set.layout {
        Layout::Chunked(chunk) => json!(chunk),
        _ => Value::Null,
    };
    let augur = row.augur.as_ref().map(|a| match a {
        Ok(a) => json!({
            "bound": bound_json(&a.settings.bound),
            "preset": a.settings.preset.name(),
            "windows": windows_json(&a.settings),
            "time_axis": a.settings.time_axis,
            "cd_values": a.filters[a.at].words,
            "strict": a.settings.strict,
            "models": row.models.iter().map(|u| json!({
                "by": u.by, "named": u.named, "found": u.found.as_ref().map(|l| &l.place),
                "sha256": u.found.as_ref().map(|l| l.model.digest().to_string()),
            })).collect::<Vec<_>>(),
        }),
        Err(e) => json!({ "problem": e }),
    });
    let mut value = json!({
        "path": row.path,
        "shape": set.shape,
        "dtype": types::name(&set.dtype),
        "chunk": chunk,
        "filters": row.filters.iter().map(|f| json!({ "id": f.id, "name": f.label() })).collect::<Vec<_>>(),
        "augur": augur,
        "raw_bytes": raw,
        "stored_bytes": stored,
        "ratio": output::ratio_json(raw, stored),
    });
    if !row.chunks.is_empty() {
        value["chunks"] = row.chunks.iter().map(chunk_json).collect();
    }
    value
}

fn chunk_json(chunk: &ChunkRow) -> Value {
    let mut value = json!({
        "offset": chunk.offset, "stored_bytes": chunk.stored, "ratio": output::ratio_json(chunk.raw, chunk.stored),
    });
    match &chunk.state {
        Ok((method, description)) => {
            value["method"] = json!(method);
            value["description"] = json!(description);
        }
        Err(e) => value["problem"] = json!(e),
    }
    value
}
