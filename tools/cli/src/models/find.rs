//! Where models are: files, HDF5 files, the folders of `AUGUR_MODEL_PATH`, the user's store.

use super::embedded;
use crate::failure::{Failure, Result};
use crate::h5::file;
use augur_core::network::{Digest, Model};
use augur_filter::models::store::{self, Store};
use augur_filter::models::Wanted;
use std::path::{Path, PathBuf};

/// Fewest digits of a SHA-256 that name a model.
const FEWEST_DIGITS: usize = 8;

/// A model and where it was found.
#[derive(Debug)]
pub struct Located {
    /// The model.
    pub model: Model,
    /// The place, for people.
    pub place: String,
}

/// A file in a folder of models.
#[derive(Debug)]
pub struct Filed {
    /// The file.
    pub path: PathBuf,
    /// The model, or why it does not count.
    pub model: std::result::Result<Model, String>,
}

/// A folder in which models are looked for.
#[derive(Debug)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is the user's store, where the names are digests.
    pub is_store: bool,
}

/// The folders in which models are looked for, in this order.
pub fn folders() -> Vec<Folder> {
    let path = store::search_path().into_iter().map(|path| Folder { path, is_store: false });
    let store = Store::of_user().map(|s| Folder { path: s.folder().to_path_buf(), is_store: true });
    path.chain(store).collect()
}

impl Folder {
    /// How it came to be one, for people.
    pub fn role(&self) -> &'static str {
        if self.is_store {
            "store"
        } else {
            store::PATH_VARIABLE
        }
    }

    /// The files that should be models, by name; `None` where there is no such folder.
    pub fn files(&self) -> Option<Vec<Filed>> {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(&self.path)
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.to_str().is_some_and(|p| p.ends_with(store::SUFFIX)))
            .collect();
        paths.sort();
        let read = |path: PathBuf| Filed { model: self.check(&path).map_err(|e| e.to_string()), path };
        Some(paths.into_iter().map(read).collect())
    }

    fn check(&self, path: &Path) -> Result<Model> {
        let model = Model::from_bytes(&store::read_file(path)?)?;
        let stated = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(store::SUFFIX));
        let digest = model.digest().to_string();
        if self.is_store && stated != Some(digest.as_str()) {
            return Err(Failure::new(format!("its SHA-256 is {digest}, not its name")));
        }
        Ok(model)
    }
}

/// The digits of a SHA-256, whole or its beginning, that a text states.
pub fn digits(text: &str) -> Option<String> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let digits = digits.strip_prefix("/_augur/models/").unwrap_or(digits);
    let known = (FEWEST_DIGITS..=64).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    known.then(|| digits.to_ascii_lowercase())
}

/// The model that a text means: a model file, an HDF5 file that holds one, or the beginning of a SHA-256, looked for in
/// `files` (HDF5), `AUGUR_MODEL_PATH` and the user's store.
///
/// # Errors
/// No such model, several, or one that is not valid; the message names every place that was looked at.
pub fn one(text: &str, files: &[PathBuf]) -> Result<Located> {
    let path = Path::new(text);
    match digits(text) {
        Some(digits) if !path.exists() => by_digits(&digits, files),
        _ => in_file(path),
    }
}

/// The first half of a model's digest, which stands in cd_values. The model need not be there where all of its digest
/// is given.
///
/// # Errors
/// As [`one`].
pub fn prefix(text: &str, files: &[PathBuf]) -> Result<[u8; 16]> {
    if let (Some(digits), false) = (digits(text), Path::new(text).exists()) {
        if digits.len() == 64 {
            return Ok(digits.parse::<Digest>()?.prefix());
        }
    }
    Ok(one(text, files)?.model.digest().prefix())
}

/// The first half of a digest in hexadecimal.
pub fn half(prefix: &[u8; 16]) -> String {
    prefix.iter().map(|b| format!("{b:02x}")).collect()
}

/// Where the model that a dataset of `file` needs is found: in the file, a folder of `AUGUR_MODEL_PATH`, the store.
pub fn wanted(held: &[embedded::Embedded], wanted: &Wanted) -> Option<Located> {
    let inside = held.iter().filter_map(|e| e.model.as_ref().ok()).find(|m| wanted.is(&m.digest()));
    if let Some(model) = inside {
        let model = Model::from_bytes(model.bytes()).ok()?;
        return Some(Located { place: embedded::path(&model.digest()), model });
    }
    folders().into_iter().find_map(|folder| {
        let (path, bytes) = store::find_in(&folder.path, wanted)?;
        Some(Located { model: Model::from_bytes(&bytes).ok()?, place: path.display().to_string() })
    })
}

fn in_file(path: &Path) -> Result<Located> {
    let shown = path.display();
    if !path.exists() {
        return Err(Failure::new(format!(
            "{shown}: no such file, nor {FEWEST_DIGITS} or more digits of a model's SHA-256"
        )));
    }
    if !file::is_hdf5(path) {
        let model = Model::from_bytes(&store::read_file(path)?)
            .map_err(|e| Failure::new(format!("{shown} is no model: {e}")))?;
        return Ok(Located { model, place: shown.to_string() });
    }
    let mut held = in_hdf5(path, |_| true)?;
    if held.len() > 1 {
        let names: Vec<String> = held.iter().map(|l| l.model.digest().to_string()).collect();
        return Err(Failure::new(format!(
            "{shown} holds {} models; name one of them by its SHA-256: {}",
            held.len(),
            names.join(", ")
        )));
    }
    held.pop().ok_or_else(|| Failure::new(format!("{shown} holds no model")))
}

/// The valid models of an HDF5 file that are wanted.
fn in_hdf5(path: &Path, wanted: impl Fn(&Digest) -> bool) -> Result<Vec<Located>> {
    let held = embedded::list(&file::open(path)?).map_err(|e| e.while_doing(path.display()))?;
    let models = held.into_iter().filter_map(|e| e.model.ok()).filter(|m| wanted(&m.digest()));
    Ok(models
        .map(|model| Located {
            place: format!("{}:{}", path.display(), embedded::path(&model.digest())),
            model,
        })
        .collect())
}

fn by_digits(digits: &str, files: &[PathBuf]) -> Result<Located> {
    let is_it = |digest: &Digest| digest.to_string().starts_with(digits);
    let mut found = Vec::new();
    for path in files {
        found.extend(in_hdf5(path, is_it)?);
    }
    for folder in folders() {
        for filed in folder.files().unwrap_or_default() {
            match filed.model {
                Ok(model) if is_it(&model.digest()) => {
                    found.push(Located { model, place: filed.path.display().to_string() });
                }
                _ => {}
            }
        }
    }
    let mut names: Vec<String> = found.iter().map(|l| l.model.digest().to_string()).collect();
    names.sort();
    names.dedup();
    if names.len() > 1 {
        return Err(Failure::new(format!(
            "several models begin with {digits}: {}; give more digits",
            names.join(", ")
        )));
    }
    match found.into_iter().next() {
        Some(first) => Ok(first),
        None => Err(Failure::new(format!(
            "no model whose SHA-256 begins with {digits} was found; looked in {}",
            looked_in(files)
        ))),
    }
}

/// Every place where a digest is looked for.
pub fn looked_in(files: &[PathBuf]) -> String {
    let mut places: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    if store::search_path().is_empty() {
        places.push(format!("{} (not set)", store::PATH_VARIABLE));
    }
    for folder in folders() {
        let missing = if folder.path.is_dir() { "" } else { ", which does not exist" };
        places.push(format!("{} ({}{missing})", folder.path.display(), folder.role()));
    }
    places.join(", ")
}
