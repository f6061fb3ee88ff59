//! `augur models gc`: removing models that nothing needs.

use super::uses::Uses;
use super::{embedded, find, manage};
use crate::failure::{Failure, Result};
use crate::h5::file;
use crate::output;
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Remove models that nothing needs from an HDF5 file, or what is damaged from the user's store
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  augur models gc run.h5 --dry-run
  augur models gc run.h5
  augur models gc --store

From FILE go the models that no chunk needs and no dataset's parameters or attribute name. Every chunk may have to be
read for that; when one is damaged nothing is removed. HDF5 keeps the space for what is written next; h5repack gives it
back.

From the store go files that cannot count: those whose SHA-256 is not their name, and what interrupted copies left. It
cannot be known which models of the store some file needs; augur models remove takes single ones out.")]
pub struct Gc {
    /// HDF5 or netCDF-4 file
    #[arg(value_name = "FILE", required_unless_present = "store")]
    file: Option<PathBuf>,
    /// Look at the user's store instead
    #[arg(long, conflicts_with = "file")]
    store: bool,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Something that goes, and why.
struct Removed {
    what: String,
    reason: String,
    bytes: u64,
}

/// Removes what nothing needs.
///
/// # Errors
/// A file that cannot be read or changed; a chunk of which it is not known what it needs.
pub fn run(options: &Gc) -> Result<()> {
    let (removed, kept) = match &options.file {
        Some(path) => from_file(path, options)?,
        None => from_store(options.dry_run)?,
    };
    if options.json {
        output::json(&json!({
            "dry_run": options.dry_run,
            "removed": removed.iter().map(|r| json!({
                "what": r.what, "reason": r.reason, "bytes": r.bytes,
            })).collect::<Vec<_>>(),
            "kept": kept,
        }));
        return Ok(());
    }
    let verb = if options.dry_run { "would remove" } else { "removed" };
    for r in &removed {
        println!("{verb} {} ({}, {})", r.what, r.reason, output::bytes(r.bytes));
    }
    for name in &kept {
        println!("kept {name}");
    }
    if removed.is_empty() {
        println!("nothing to remove");
    }
    Ok(())
}

fn from_file(path: &Path, options: &Gc) -> Result<(Vec<Removed>, Vec<String>)> {
    let shown = path.display();
    let opened = if options.dry_run { file::open(path)? } else { file::open_to_change(path)? };
    let held = embedded::list(&opened).map_err(|e| e.while_doing(&shown))?;
    let nothing_removed = |e: Failure| e.while_doing(format!("{shown}: nothing was removed"));
    let mut uses = Uses::stated(&opened).map_err(nothing_removed)?;
    // What is no dataset or has another name than a digest is not ours.
    let stays = |uses: &Uses, e: &embedded::Embedded| {
        !e.is_dataset || e.stated().is_none_or(|digest| uses.refer_to(&digest))
    };
    if !held.iter().all(|e| stays(&uses, e)) {
        uses.add_chunks(&opened, options.json).map_err(nothing_removed)?;
    }
    let (kept, gone): (Vec<_>, Vec<_>) = held.iter().partition(|e| stays(&uses, e));
    if !options.dry_run && !gone.is_empty() {
        let names: Vec<_> = gone.iter().map(|e| e.name.as_c_str()).collect();
        embedded::remove(&opened, &names).map_err(|e| e.while_doing(&shown))?;
        file::flush(&opened)?;
    }
    let removed = gone.iter().map(|e| Removed {
        what: e.shown(),
        reason: match &e.model {
            Ok(_) => "nothing needs it".into(),
            Err(problem) => format!("nothing needs it, and {problem}"),
        },
        bytes: e.stored,
    });
    Ok((removed.collect(), kept.into_iter().map(embedded::Embedded::shown).collect()))
}

fn from_store(dry_run: bool) -> Result<(Vec<Removed>, Vec<String>)> {
    let store = manage::user_store()?;
    let (mut removed, mut kept) = (Vec::new(), Vec::new());
    let folder = find::Folder { path: store.folder().to_path_buf(), is_store: true };
    let mut ill: Vec<(PathBuf, String)> = Vec::new();
    for filed in folder.files().unwrap_or_default() {
        match filed.model {
            Ok(model) => kept.push(model.digest().to_string()),
            Err(problem) => ill.push((filed.path, problem)),
        }
    }
    ill.extend(leftovers(store.folder()).into_iter().map(|p| (p, "a copy that was interrupted".into())));
    for (path, reason) in ill {
        let bytes = std::fs::metadata(&path).map_or(0, |m| m.len());
        if !dry_run {
            std::fs::remove_file(&path)
                .map_err(|e| Failure::new(format!("{} cannot be removed: {e}", path.display())))?;
        }
        removed.push(Removed { what: path.display().to_string(), reason, bytes });
    }
    Ok((removed, kept))
}

/// Files that an interrupted copy into the store left: `<SHA-256>.<process>.part` of a process that is gone.
fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
            let mut parts = name.split('.');
            let (digest, process, end) = (parts.next(), parts.next(), parts.next());
            let is_part = end == Some("part") && digest.is_some_and(|d| find::digits(d).is_some());
            is_part
                && process.and_then(|p| p.parse::<i32>().ok()).is_some_and(|id| {
                    // SAFETY: signal 0 only asks whether the process is there.
                    id > 0 && unsafe { libc::kill(id, 0) } != 0
                })
        })
        .collect()
}
