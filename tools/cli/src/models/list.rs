//! `augur models list`: which models are there.

use super::{embedded, find};
use crate::failure::Result;
use crate::h5::file;
use crate::output;
use augur_core::network::Model;
use clap::Args;
use serde_json::{json, Value};
use std::path::PathBuf;

/// List the models of the user's store, of AUGUR_MODEL_PATH and of HDF5 files
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  augur models list
  augur models list run1.h5 run2.h5
  augur models list --json

The user's store is $AUGUR_MODEL_STORE, else $XDG_DATA_HOME/augur/models, else ~/.local/share/augur/models.
AUGUR_MODEL_PATH names further folders, separated by colons.")]
pub struct List {
    /// HDF5 files whose models to list, too
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A line of the list.
struct Row {
    /// `store`, `AUGUR_MODEL_PATH` or `file`.
    role: &'static str,
    place: String,
    bytes: u64,
    model: std::result::Result<Model, String>,
}

/// Prints the list.
///
/// # Errors
/// An HDF5 file that cannot be read.
pub fn run(options: &List) -> Result<()> {
    let mut rows = Vec::new();
    for path in &options.files {
        let held = embedded::list(&file::open(path)?).map_err(|e| e.while_doing(path.display()))?;
        rows.extend(held.into_iter().map(|e| Row {
            role: "file",
            place: format!("{}:/_augur/models/{}", path.display(), e.shown()),
            bytes: e.stored,
            model: e.model,
        }));
    }
    let folders = find::folders();
    for folder in &folders {
        for filed in folder.files().unwrap_or_default() {
            rows.push(Row {
                role: folder.role(),
                bytes: std::fs::metadata(&filed.path).map_or(0, |m| m.len()),
                place: filed.path.display().to_string(),
                model: filed.model,
            });
        }
    }
    if options.json {
        output::json(&json!({
            "models": rows.iter().map(row_json).collect::<Vec<_>>(),
            "folders": folders.iter().map(|f| json!({
                "path": f.path.display().to_string(), "role": f.role(), "exists": f.path.is_dir(),
            })).collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    if rows.is_empty() {
        println!("There are no models in {}.", find::looked_in(&options.files));
        return Ok(());
    }
    let lines: Vec<Vec<String>> = rows.iter().map(row_text).collect();
    output::table(&["sha256", "name", "architecture", "size", "bytes", "place"], &lines);
    Ok(())
}

/// What the metadata say under `key`, without characters that a terminal would obey.
fn said<'a>(model: &'a Model, key: &str) -> Option<&'a str> {
    model.metadata().get(key).map(String::as_str).filter(|v| !v.contains(char::is_control))
}

fn row_text(row: &Row) -> Vec<String> {
    let model = match &row.model {
        Ok(model) => model,
        Err(e) => {
            let dash = || "-".to_string();
            let place = format!("{} DOES NOT COUNT: {e}", row.place);
            return vec!["?".into(), dash(), dash(), dash(), row.bytes.to_string(), place];
        }
    };
    let text = |key| said(model, key).unwrap_or("-").to_string();
    vec![
        model.digest().to_string()[..16].to_string(),
        text("name"),
        text("architecture"),
        text("size"),
        row.bytes.to_string(),
        row.place.clone(),
    ]
}

fn row_json(row: &Row) -> Value {
    let mut value = json!({ "role": row.role, "place": row.place, "stored_bytes": row.bytes });
    match &row.model {
        Ok(model) => {
            value["sha256"] = json!(model.digest().to_string());
            value["bytes"] = json!(model.bytes().len());
            for key in ["name", "architecture", "size"] {
                value[key] = json!(said(model, key));
            }
        }
        Err(e) => value["problem"] = json!(e),
    }
    value
}
