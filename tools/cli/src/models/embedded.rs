//! Models inside an HDF5 file: `/_augur/models/<SHA-256>`, and the attribute by which a dataset names one.

use super::find::{self, Located};
use crate::failure::{Failure, Result};
use crate::h5::{attribute, bytes, c_string, dataset, link, object, Id};
use crate::output;
use augur_core::network::{Digest, Model};
use std::ffi::{CStr, CString};

/// Groups below the root that hold the models.
const GROUPS: [&CStr; 2] = [c"_augur", c"models"];
/// Largest model file, in bytes.
pub const MOST: usize = 256 << 20;
/// Attribute with which a dataset names its model.
pub const ATTRIBUTE: &CStr = c"augur_model";

/// What a file holds as a model.
pub struct Embedded {
    /// Its name in the group: the SHA-256.
    pub name: CString,
    /// Whether it is a dataset, which may be removed when nothing needs it.
    pub is_dataset: bool,
    /// Bytes that it takes in the file.
    pub stored: u64,
    /// The model, or why what is there is none.
    pub model: std::result::Result<Model, String>,
}

impl Embedded {
    /// Its name, for people.
    pub fn shown(&self) -> String {
        output::plain(&self.name.to_string_lossy())
    }

    /// The digest that its name states.
    pub fn stated(&self) -> Option<Digest> {
        self.name.to_str().ok()?.parse().ok()
    }
}

/// Path of a model in the file that holds it.
pub fn path(digest: &Digest) -> String {
    format!("/_augur/models/{digest}")
}

/// Whether a path leads into the part of a file that belongs to Augur.
pub fn is_own(path: &CStr) -> bool {
    path.to_bytes().starts_with(b"/_augur/")
}

/// The group that holds the models; `None` where the file has none.
fn group(file: &Id) -> Result<Option<Id>> {
    let mut at = object::open(file, c"/")?.id;
    for name in GROUPS {
        if !link::exists(&at, name)? {
            return Ok(None);
        }
        let next = object::open(&at, name)?;
        if next.kind != object::Kind::Group {
            return Ok(None);
        }
        at = next.id;
    }
    Ok(Some(at))
}

/// Everything that the file holds as a model, by name.
///
/// # Errors
/// When the file is damaged.
pub fn list(file: &Id) -> Result<Vec<Embedded>> {
    let Some(group) = group(file)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in link::list(&group)? {
        let opened = match entry.target {
            link::Target::Hard => dataset::open(&group, &entry.name, None),
            _ => Err(Failure::new("it is a link to something else")),
        };
        let stored = opened.as_ref().map_or(0, dataset::Dataset::stored_bytes);
        let is_dataset = opened.is_ok();
        let model = opened.and_then(|set| read(&set, &entry.name)).map_err(|e| e.to_string());
        found.push(Embedded { name: entry.name, is_dataset, stored, model });
    }
    Ok(found)
}

fn read(set: &dataset::Dataset, name: &CStr) -> Result<Model> {
    let model = Model::from_bytes(&bytes::read(set, MOST)?)?;
    let digest = model.digest().to_string();
    if digest.as_bytes() != name.to_bytes() {
        return Err(Failure::new(format!("its SHA-256 is {digest}, not its name: it is damaged")));
    }
    Ok(model)
}

/// The model at a path of the file that is not one of the usual ones, or of a model file.
///
/// # Errors
/// When neither holds a model.
pub fn other(file: &Id, path: &str) -> Result<Located> {
    let name = c_string(path)?;
    if !dataset::exists(file, &name) {
        return find::one(path, &[]);
    }
    let model = Model::from_bytes(&bytes::read(&dataset::open(file, &name, None)?, MOST)?)?;
    Ok(Located { model, place: path.to_string() })
}

/// Puts a model into the file unless it is there; whether it is new.
///
/// # Errors
/// When something else has its name, or HDF5 refuses.
pub fn put(file: &Id, model: &Model) -> Result<bool> {
    let mut at = object::open(file, c"/")?.id;
    for name in GROUPS {
        at = object::group(&at, name)?;
    }
    let name = c_string(model.digest().to_string())?;
    if link::exists(&at, &name)? {
        let there = dataset::open(&at, &name, None).and_then(|set| read(&set, &name));
        return match there {
            Ok(_) => Ok(false),
            Err(e) => Err(Failure::new(format!(
                "the file holds something else as {}: {e}; `augur models gc` removes it",
                path(&model.digest())
            ))),
        };
    }
    bytes::write(file, &at, &name, model.bytes())?;
    Ok(true)
}

/// Makes the dataset name this model of its file.
///
/// # Errors
/// When HDF5 refuses.
pub fn attach(set: &Id, digest: &Digest) -> Result<()> {
    attribute::set_text(set, ATTRIBUTE, &path(digest))
}

/// What the dataset names as its model; `None` without the attribute, empty where that is no text.
///
/// # Errors
/// When the dataset is damaged.
pub fn named(set: &Id) -> Result<Option<String>> {
    if !attribute::exists(set, ATTRIBUTE)? {
        return Ok(None);
    }
    Ok(Some(attribute::open(set, ATTRIBUTE)?.text().unwrap_or_default()))
}

/// Removes these models from the file, and the groups when nothing is left in them.
///
/// # Errors
/// When HDF5 refuses.
pub fn remove(file: &Id, names: &[&CStr]) -> Result<()> {
    let Some(group) = group(file)? else { return Ok(()) };
    for name in names {
        link::remove(&group, name)?;
    }
    let root = object::open(file, c"/")?.id;
    let own = object::open(&root, GROUPS[0])?.id;
    if link::list(&group)?.is_empty() {
        link::remove(&own, GROUPS[1])?;
        if link::list(&own)?.is_empty() {
            link::remove(&root, GROUPS[0])?;
        }
    }
    Ok(())
}
