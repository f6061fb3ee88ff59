//! Model files in folders: the search path `AUGUR_MODEL_PATH` and the user's store.
//!
//! A folder of the search path holds model files under any name that ends in `.safetensors`. In the user's store the
//! name is the file's SHA-256. Either way a file counts only if its SHA-256 is the one looked for.

use super::wanted::Wanted;
use super::MOST_BYTES;
use augur_core::{Digest, Error, Model, Result};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

/// How the names of model files end.
pub const SUFFIX: &str = ".safetensors";
/// The environment variable that names folders with models, separated as in `PATH`.
pub const PATH_VARIABLE: &str = "AUGUR_MODEL_PATH";
/// The environment variable that names the user's store.
pub const STORE_VARIABLE: &str = "AUGUR_MODEL_STORE";
/// Most files of one folder that are looked at.
const MOST_FILES: usize = 4096;

/// The folders that `AUGUR_MODEL_PATH` names; empty entries are left out.
pub fn search_path() -> Vec<PathBuf> {
    let value = std::env::var_os(PATH_VARIABLE).unwrap_or_default();
    std::env::split_paths(&value).filter(|p| !p.as_os_str().is_empty()).collect()
}

/// Reads a model file: a regular file of at most [`MOST_BYTES`] bytes. What it holds is not looked at.
///
/// # Errors
/// `InvalidArgument` that names the file and what is wrong.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let failed =
        |why: &dyn std::fmt::Display| Error::invalid(format!("cannot read {}: {why}", path.display()));
    // Opening a pipe or a device could wait for ever.
    let metadata = fs::metadata(path).map_err(|e| failed(&e))?;
    if !metadata.is_file() {
        return Err(failed(&"it is no regular file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| failed(&e))?;
    file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
    if bytes.len() > MOST_BYTES {
        return Err(failed(&format!("it has more than {MOST_BYTES} bytes")));
    }
    Ok(bytes)
}

/// The model file in `folder` that is wanted; `None` where none is.
pub fn find_in(folder: &Path, wanted: &Wanted) -> Option<(PathBuf, Vec<u8>)> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_str().is_some_and(|p| p.ends_with(SUFFIX)))
        .take(MOST_FILES)
        .collect();
    // Files that are named after their digest first; the others only have to be looked into when those are not it.
    files.sort_by_key(|path| !named(path).is_some_and(|digest| wanted.is(&digest)));
    files.into_iter().find_map(|path| {
        if !wanted.is(&digest_of(&path)?) {
            return None;
        }
        let bytes = read_file(&path).ok()?;
        // The file may have changed since its digest was remembered.
        wanted.is(&Digest::of(&bytes)).then_some((path, bytes))
    })
}

/// The digest that a file's name states.
fn named(path: &Path) -> Option<Digest> {
    path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.parse().ok()
}

/// A file's length and time of change with its digest.
type Seen = HashMap<PathBuf, (u64, Option<SystemTime>, Digest)>;

/// SHA-256 of a file; remembered as long as its length and time stay the same.
fn digest_of(path: &Path) -> Option<Digest> {
    static SEEN: Mutex<Option<Seen>> = Mutex::new(None);
    let metadata = fs::metadata(path).ok().filter(|m| m.is_file() && m.len() <= MOST_BYTES as u64)?;
    let (len, time) = (metadata.len(), metadata.modified().ok());
    // Only ever tried: after a fork another thread's lock would never open.
    if let Ok(seen) = SEEN.try_lock() {
        let known = seen.as_ref().and_then(|seen| seen.get(path)).filter(|s| (s.0, s.1) == (len, time));
        if let Some(known) = known.filter(|_| time.is_some()) {
            return Some(known.2);
        }
    }
    let digest = Digest::of(&read_file(path).ok()?);
    if let Ok(mut seen) = SEEN.try_lock() {
        let seen = seen.get_or_insert_default();
        if seen.len() >= MOST_FILES {
            seen.clear();
        }
        seen.insert(path.to_path_buf(), (len, time, digest));
    }
    Some(digest)
}

/// A folder whose files are models named `<sha256>.safetensors`.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    folder: PathBuf,
}

/// A model in a store.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name.
    pub digest: Digest,
    /// The file.
    pub path: PathBuf,
    /// Bytes of the file.
    pub len: u64,
}

impl Store {
    /// The user's store: `$AUGUR_MODEL_STORE`, else `$XDG_DATA_HOME/augur/models`, else `~/.local/share/augur/models`;
    /// `None` without a home directory. It need not exist.
    pub fn of_user() -> Option<Self> {
        let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let folder = variable(STORE_VARIABLE).or_else(|| {
            // Relative paths are to be ignored here (XDG Base Directory Specification).
            let data = variable("XDG_DATA_HOME").filter(|p| p.is_absolute());
            let data = data.or_else(|| Some(variable("HOME")?.join(".local").join("share")))?;
            Some(data.join("augur").join("models"))
        })?;
        Some(Self { folder })
    }

    /// The store in a folder, which need not exist.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where the models lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the model with this digest lies, or would.
    pub fn path_of(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{digest}{SUFFIX}"))
    }

    /// Adds a model file's bytes, once they were found to be a model. Adding it again changes nothing.
    ///
    /// # Errors
    /// `InvalidArgument` when they are no model, or the folder cannot be written.
    pub fn add(&self, bytes: &[u8]) -> Result<Entry> {
        let digest = Model::from_bytes(bytes)?.digest();
        let path = self.path_of(&digest);
        let entry = Entry { digest, path: path.clone(), len: bytes.len() as u64 };
        if digest_of(&path) == Some(digest) {
            return Ok(entry);
        }
        let failed = |e: std::io::Error| Error::invalid(format!("cannot write {}: {e}", path.display()));
        fs::create_dir_all(&self.folder).map_err(failed)?;
        // Readers see the whole file or none; its temporary name ends in something else.
        let part = self.folder.join(format!("{digest}.{}.part", std::process::id()));
        let written = File::create(&part)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&part, &path));
        written.map_err(|e| {
            let _ = fs::remove_file(&part);
            failed(e)
        })?;
        Ok(entry)
    }

    /// The models in the store, in the order of their names. What is named otherwise is left out.
    ///
    /// # Errors
    /// `InvalidArgument` when the folder exists and cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let failed =
            |e: std::io::Error| Error::invalid(format!("cannot read {}: {e}", self.folder.display()));
        let files = match fs::read_dir(&self.folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
            files => files.map_err(failed)?,
        };
        let mut entries = vec![];
        for file in files {
            let file = file.map_err(failed)?;
            let Some(digest) = named(&file.path()) else { continue };
            let metadata = fs::metadata(file.path()).map_err(failed)?;
            if metadata.is_file() {
                entries.push(Entry { digest, path: file.path(), len: metadata.len() });
            }
        }
        entries.sort_by_key(|e| e.digest);
        Ok(entries)
    }

    /// Removes a model; says whether it was there.
    ///
    /// # Errors
    /// `InvalidArgument` when the file cannot be removed.
    pub fn remove(&self, digest: &Digest) -> Result<bool> {
        let path = self.path_of(digest);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::invalid(format!("cannot remove {}: {e}", path.display()))),
        }
    }

    /// The model file that is wanted.
    pub fn find(&self, wanted: &Wanted) -> Option<(PathBuf, Vec<u8>)> {
        find_in(&self.folder, wanted)
    }
}
