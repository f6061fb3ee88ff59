//! `augur models embed`, `extract`, `add` and `remove`: models from one place to another.

use super::{embedded, find};
use crate::failure::{Failure, Result};
use crate::h5::{dataset, file};
use crate::options::matches;
use crate::{output, walk};
use augur_core::network::Model;
use augur_filter::models::store::{self, Store};
use clap::Args;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Put a model into an HDF5 or netCDF-4 file, so that the file can always be read
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  augur models embed wind.safetensors run.h5
  augur models embed 3f9c2a11 run.h5 --dataset wind --dataset 'fields/*'

The file then holds the model as /_augur/models/<SHA-256>, once, however often it is embedded. The attribute
augur_model of the datasets that --dataset names says so; chunks written from then on by programs that ask for the
preset learned without naming a model use it.")]
pub struct Embed {
    /// Model file, HDF5 file that holds one, or 8 or more digits of a SHA-256
    #[arg(value_name = "MODEL")]
    model: String,
    /// HDF5 or netCDF-4 file to put it into
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Dataset whose attribute shall name the model; repeatable, patterns as for convert
    #[arg(short, long = "dataset", value_name = "PATTERN")]
    datasets: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Embeds a model.
///
/// # Errors
/// No such model, file or dataset; a file that cannot be written.
pub fn embed(options: &Embed) -> Result<()> {
    let shown = options.file.display();
    let found = find::one(&options.model, std::slice::from_ref(&options.file))?;
    let into = file::open_to_change(&options.file)?;
    let all = walk::datasets(&into).map_err(|e| e.while_doing(&shown))?;
    let all: Vec<_> = all.into_iter().filter(|d| !embedded::is_own(&d.path)).collect();
    // Before anything is changed.
    for pattern in &options.datasets {
        if !all.iter().any(|d| matches(pattern, &d.shown())) {
            return Err(Failure::new(format!("no dataset of {shown} matches \"{pattern}\"")));
        }
    }
    let digest = found.model.digest();
    let is_new = embedded::put(&into, &found.model).map_err(|e| e.while_doing(&shown))?;
    let mut named = Vec::new();
    for one in all.iter().filter(|d| options.datasets.iter().any(|p| matches(p, &d.shown()))) {
        let set = dataset::open(&into, &one.path, None)?;
        embedded::attach(&set.id, &digest).map_err(|e| e.while_doing(one.shown()))?;
        named.push(one.shown());
    }
    file::flush(&into)?;
    if options.json {
        output::json(&json!({
            "sha256": digest.to_string(), "path": embedded::path(&digest), "new": is_new, "datasets": named,
        }));
        return Ok(());
    }
    let what = if is_new { "now holds" } else { "already held" };
    println!("{shown} {what} {}", embedded::path(&digest));
    for path in named {
        println!("{path} names it");
    }
    Ok(())
}

/// Write a model that an HDF5 file holds to a file of its own
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  augur models extract run.h5
  augur models extract run.h5 3f9c2a11 -o wind.safetensors")]
pub struct Extract {
    /// HDF5 or netCDF-4 file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// 8 or more digits of the model's SHA-256; not needed where the file holds one model
    #[arg(value_name = "SHA256")]
    digest: Option<String>,
    /// File to write [default: the SHA-256 with .safetensors behind it]
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Replace OUT if it exists
    #[arg(long)]
    force: bool,
}

/// Extracts a model.
///
/// # Errors
/// No such model; a file that exists or cannot be written.
pub fn extract(options: &Extract) -> Result<()> {
    let shown = options.file.display();
    let held = embedded::list(&file::open(&options.file)?).map_err(|e| e.while_doing(&shown))?;
    let wanted = match &options.digest {
        Some(text) => find::digits(text).ok_or_else(|| {
            Failure::new(format!("\"{text}\" is no SHA-256: 8 to 64 hexadecimal digits expected"))
        })?,
        None => String::new(),
    };
    let mut fitting: Vec<_> =
        held.into_iter().filter(|e| e.name.to_string_lossy().starts_with(&wanted)).collect();
    if fitting.len() > 1 {
        let names: Vec<_> = fitting.iter().map(embedded::Embedded::shown).collect();
        return Err(Failure::new(format!("{shown} holds several models; name one: {}", names.join(", "))));
    }
    let Some(entry) = fitting.pop() else {
        let which = if wanted.is_empty() { String::new() } else { format!(" that begins with {wanted}") };
        return Err(Failure::new(format!("{shown} holds no model{which}")));
    };
    let path = format!("/_augur/models/{}", entry.shown());
    let model = entry.model.map_err(|e| Failure::new(format!("{shown}: {path} is no model: {e}")))?;
    let to = options.output.clone();
    let to = to.unwrap_or_else(|| PathBuf::from(format!("{}{}", model.digest(), store::SUFFIX)));
    write(&to, &model, options.force)?;
    println!("{}: {} bytes", to.display(), model.bytes().len());
    Ok(())
}

fn write(to: &Path, model: &Model, force: bool) -> Result<()> {
    let mut how = std::fs::OpenOptions::new();
    how.write(true);
    let how = if force { how.create(true).truncate(true) } else { how.create_new(true) };
    let written = how.open(to).and_then(|mut f| f.write_all(model.bytes()));
    written.map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::new(format!(
            "{} exists; give another name with -o, or --force to replace it",
            to.display()
        )),
        _ => Failure::new(format!("{} cannot be written: {e}", to.display())),
    })
}

/// Copy models to the user's store, where every program finds them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  augur models add wind.safetensors
  augur models add run.h5

From an HDF5 file all models are added. The store is $AUGUR_MODEL_STORE, else $XDG_DATA_HOME/augur/models, else
~/.local/share/augur/models.")]
pub struct Add {
    /// Model files, or HDF5 files that hold models
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Adds models to the store.
///
/// # Errors
/// A file that is no model; a store that cannot be written.
pub fn add(options: &Add) -> Result<()> {
    let store = user_store()?;
    for path in &options.files {
        let shown = path.display();
        let mut models = Vec::new();
        if file::is_hdf5(path) {
            for entry in embedded::list(&file::open(path)?).map_err(|e| e.while_doing(&shown))? {
                let name = entry.shown();
                models.push(entry.model.map_err(|e| Failure::new(format!("{shown}: {name}: {e}")))?);
            }
            if models.is_empty() {
                return Err(Failure::new(format!("{shown} holds no model")));
            }
        } else {
            models.push(find::one(&path.to_string_lossy(), &[])?.model);
        }
        for model in models {
            println!("{}", store.add(model.bytes())?.path.display());
        }
    }
    Ok(())
}

/// Remove models from the user's store
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  augur models remove 3f9c2a11

Files whose chunks need the model and do not hold it themselves cannot be read then (augur inspect FILE tells).")]
pub struct Remove {
    /// 8 or more digits of the SHA-256
    #[arg(value_name = "SHA256", required = true)]
    digests: Vec<String>,
}

/// Removes models from the store.
///
/// # Errors
/// No such model, or several.
pub fn remove(options: &Remove) -> Result<()> {
    let store = user_store()?;
    let entries = store.list()?;
    let mut chosen = Vec::new();
    for text in &options.digests {
        let digits = find::digits(text).ok_or_else(|| {
            Failure::new(format!("\"{text}\" is no SHA-256: 8 to 64 hexadecimal digits expected"))
        })?;
        let fitting: Vec<_> = entries.iter().filter(|e| e.digest.to_string().starts_with(&digits)).collect();
        match fitting.as_slice() {
            [one] => chosen.push(one.digest),
            [] => {
                return Err(Failure::new(format!(
                    "{} holds no model whose SHA-256 begins with {digits}",
                    store.folder().display()
                )))
            }
            _ => return Err(Failure::new(format!("several models begin with {digits}; give more digits"))),
        }
    }
    for digest in chosen {
        store.remove(&digest)?;
        println!("removed {}", store.path_of(&digest).display());
    }
    Ok(())
}

/// The user's store.
///
/// # Errors
/// Without a home directory.
pub fn user_store() -> Result<Store> {
    Store::of_user().ok_or_else(|| {
        Failure::new(format!(
            "there is no home directory; set {} to a folder for models",
            store::STORE_VARIABLE
        ))
    })
}
