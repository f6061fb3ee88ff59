//! The datasets of a file, each once, under the first path that leads to it.

use crate::failure::Result;
use crate::h5::object::{self, Kind, Token};
use crate::h5::{c_string, link, Id};
use std::collections::HashSet;
use std::ffi::CString;

/// A dataset and where it is.
#[derive(Debug, Clone)]
pub struct Found {
    /// Path from the root, as HDF5 takes it.
    pub path: CString,
    /// Identity in the file.
    pub token: Token,
}

impl Found {
    /// The path for people.
    pub fn shown(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

/// Every dataset that hard links lead to from the root.
///
/// # Errors
/// When the file is damaged.
pub fn datasets(file: &Id) -> Result<Vec<Found>> {
    let root = object::open(file, c"/")?;
    let mut found = Vec::new();
    let mut seen = HashSet::from([root.token]);
    visit(&root.id, b"", &mut seen, &mut found)?;
    Ok(found)
}

fn visit(group: &Id, path: &[u8], seen: &mut HashSet<Token>, found: &mut Vec<Found>) -> Result<()> {
    for entry in link::list(group)? {
        if entry.target != link::Target::Hard {
            continue;
        }
        let here = join(path, entry.name.as_bytes());
        let opened = object::open(group, &entry.name)
            .map_err(|e| e.while_doing(String::from_utf8_lossy(&here).into_owned()))?;
        if !seen.insert(opened.token) {
            continue;
        }
        match opened.kind {
            Kind::Group => visit(&opened.id, &here, seen, found)?,
            Kind::Dataset => found.push(Found { path: c_string(&here)?, token: opened.token }),
            Kind::Type => {}
        }
    }
    Ok(())
}

/// The path of `name` in the group at `path` (empty for the root).
pub fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    [path, b"/", name].concat()
}
