//! Copying a file object by object: links, attributes and references keep their meaning, and the chosen
//! datasets are made anew.
//!
//! HDF5's own H5Ocopy cannot do it alone: references between files lose their target, named types are
//! duplicated, and a dataset is either copied with its filters or not at all. So groups, links and
//! attributes are recreated in their order, datasets that stay as they are go through H5Ocopy, and what
//! holds references is filled in at the end, when everything that it may refer to has its place.

use super::data;
use super::plan::Choice;
use crate::failure::{Failure, Result};
use crate::h5::dataset::{self, Layout};
use crate::h5::link::{self, Link, Target};
use crate::h5::object::{self, Kind, Object, Token};
use crate::h5::reference::{translate, Translation};
use crate::h5::{attribute, c_string, pipeline, types, Id};
use crate::models::embedded;
use crate::walk::join;
use indicatif::ProgressBar;
use std::collections::HashMap;
use std::ffi::CString;

/// Bytes of chunk cache for reading: covers the chunks that two neighbouring boxes share.
const READ_CACHE: usize = 64 << 20;

/// What holds references and waits for its values until everything has its place.
enum Pending {
    Attribute { object: CString, name: CString },
    Dataset { path: CString },
}

/// What the user should know of a copy that is complete.
#[derive(Debug, Clone, Copy, Default)]
pub struct Notes {
    /// References that led nowhere, and became null.
    pub lost: usize,
    /// Links and datasets that name other files.
    pub outside: usize,
}

/// A copy under way.
pub struct Copy<'a> {
    source: &'a Id,
    copy: &'a Id,
    chosen: &'a HashMap<Token, Choice>,
    bar: &'a ProgressBar,
    /// Path in the copy of every source object that is already there.
    placed: HashMap<Token, CString>,
    /// The copy's named types by the source's; they may not have a name yet.
    named_types: HashMap<Token, Id>,
    pending: Vec<Pending>,
    outside: usize,
}

/// Copies everything below the root of `source` to the empty file `copy`.
///
/// # Errors
/// What HDF5 reports, with the object's path.
pub fn copy(source: &Id, copy: &Id, chosen: &HashMap<Token, Choice>, bar: &ProgressBar) -> Result<Notes> {
    let root = object::open(source, c"/")?;
    let new_root = object::open(copy, c"/")?;
    let placed = HashMap::from([(root.token, c"/".to_owned())]);
    let mut work = Copy {
        source,
        copy,
        chosen,
        bar,
        placed,
        named_types: HashMap::new(),
        pending: Vec::new(),
        outside: 0,
    };
    work.attributes(&root.id, Kind::Group, &new_root.id, c"/")?;
    work.group(&root.id, &new_root.id, b"")?;
    work.fill_in_references()
}

impl Copy<'_> {
    fn group(&mut self, from: &Id, to: &Id, path: &[u8]) -> Result<()> {
        for entry in link::list(from)? {
            let here = c_string(join(path, entry.name.as_bytes()))?;
            self.entry(from, to, &entry, &here).map_err(|e| e.while_doing(here.to_string_lossy()))?;
        }
        Ok(())
    }

    fn entry(&mut self, from: &Id, to: &Id, entry: &Link, here: &CString) -> Result<()> {
        self.outside += usize::from(matches!(entry.target, Target::External { .. }));
        if entry.target != Target::Hard {
            return link::create(to, entry);
        }
        let old = object::open(from, &entry.name)?;
        // Models were put there before everything else.
        let is_own = here.as_bytes() == b"/_augur" || embedded::is_own(here);
        if is_own && link::exists(to, &entry.name)? {
            self.placed.insert(old.token, here.clone());
            let new = object::open(to, &entry.name)?;
            return match (old.kind, new.kind) {
                (Kind::Group, Kind::Group) => {
                    self.attributes(&old.id, old.kind, &new.id, here)?;
                    self.group(&old.id, &new.id, here.as_bytes())
                }
                (Kind::Dataset, Kind::Dataset) => Ok(()),
                _ => Err(Failure::new("it is where a model has to be put; rename it first")),
            };
        }
        if let Some(path) = self.placed.get(&old.token) {
            return link::create_hard(to, entry, self.copy, path);
        }
        self.placed.insert(old.token, here.clone());
        match old.kind {
            Kind::Group => {
                let new = object::create_group_like(to, &entry.name, entry.utf8, &old.id)?;
                self.attributes(&old.id, old.kind, &new, here)?;
                self.group(&old.id, &new, here.as_bytes())
            }
            Kind::Type => {
                let new = self.named_type(&old.id)?;
                object::link(&new, to, &entry.name, entry.utf8)?;
                self.attributes(&old.id, old.kind, &new, here)
            }
            Kind::Dataset => self.dataset(from, to, entry, &old, here),
        }
    }

    fn dataset(&mut self, from: &Id, to: &Id, entry: &Link, old: &Object, here: &CString) -> Result<()> {
        let source = dataset::open(from, &entry.name, Some(READ_CACHE))?;
        let references = types::has_references(&source.dtype);
        if let Some(choice) = self.chosen.get(&old.token) {
            let dcpl = dataset::chunked_like(&source, &choice.chunk)?;
            pipeline::add_augur(&dcpl, &choice.words)?;
            let dtype = self.type_in_copy(&source.dtype)?;
            // No chunk cache: every box is made of whole chunks, and an error shows where it happens.
            let new = dataset::create(to, &entry.name, entry.utf8, &dtype, &source.space, &dcpl, 0)?;
            self.attributes(&old.id, old.kind, &new.id, here)?;
            if let Some(model) = &choice.model {
                embedded::attach(&new.id, &model.digest())?;
            }
            self.bar.set_message(here.to_string_lossy().into_owned());
            return data::copy(&source, &new, self.bar, |_, _| Ok(()));
        }
        self.outside += usize::from(source.layout == Layout::Virtual);
        // H5Ocopy leaves the fill value of strings and sequences pointing into the source file.
        let plain = !references && !types::has_variable_length(&source.dtype);
        if plain && !types::is_named(&source.dtype) {
            object::copy_without_attributes(from, &entry.name, to, entry.utf8)?;
            let new = object::open(to, &entry.name)?;
            self.bar.inc(source.stored_bytes());
            return self.attributes(&old.id, old.kind, &new.id, here);
        }
        let dtype = self.type_in_copy(&source.dtype)?;
        let new =
            dataset::create(to, &entry.name, entry.utf8, &dtype, &source.space, &source.dcpl, READ_CACHE)?;
        self.attributes(&old.id, old.kind, &new.id, here)?;
        if source.layout == Layout::Virtual || dataset::is_external(&source) {
            return Ok(());
        }
        if references {
            self.pending.push(Pending::Dataset { path: here.clone() });
            return Ok(());
        }
        match source.layout {
            Layout::Chunked(_) if !types::has_variable_length(&source.dtype) => {
                data::copy_stored(&source, &new, self.bar)
            }
            _ => data::copy(&source, &new, self.bar, |_, _| Ok(())),
        }
    }

    fn attributes(&mut self, from: &Id, kind: Kind, to: &Id, path: &std::ffi::CStr) -> Result<()> {
        for name in attribute::names(from, kind)? {
            let old = attribute::open(from, &name)?;
            let dtype = self.type_in_copy(&old.dtype)?;
            let new = attribute::create_like(to, &name, &old, &dtype)?;
            if types::has_references(&old.dtype) {
                self.pending.push(Pending::Attribute { object: path.to_owned(), name });
            } else {
                new.write(&old.read()?.bytes)?;
            }
        }
        object::copy_comment(from, to)
    }

    /// The copy's type for a type of the source: the named type of the same role, or the type itself.
    fn type_in_copy(&mut self, dtype: &Id) -> Result<Id> {
        if types::is_named(dtype) {
            self.named_type(dtype)
        } else {
            types::copy(dtype)
        }
    }

    fn named_type(&mut self, dtype: &Id) -> Result<Id> {
        let token = object::token(dtype)?;
        if let Some(known) = self.named_types.get(&token) {
            return Ok(known.again());
        }
        let new = types::commit_unnamed(self.copy, dtype)?;
        let result = new.again();
        self.named_types.insert(token, new);
        Ok(result)
    }

    fn fill_in_references(self) -> Result<Notes> {
        let path_of = |token: &Token| self.placed.get(token).cloned();
        let mut with = Translation { source: self.source, copy: self.copy, path_of: &path_of, lost: 0 };
        for pending in &self.pending {
            match pending {
                Pending::Attribute { object, name } => {
                    let doing = |e: Failure| {
                        e.while_doing(format!(
                            "{}, attribute {}",
                            object.to_string_lossy(),
                            name.to_string_lossy()
                        ))
                    };
                    let (from, to) = (object::open(self.source, object)?, object::open(self.copy, object)?);
                    let (old, new) = (attribute::open(&from.id, name)?, attribute::open(&to.id, name)?);
                    let mut values = old.read().map_err(doing)?;
                    translate(&mut values.bytes, &old.dtype, old.len(), &mut with).map_err(doing)?;
                    new.write(&values.bytes).map_err(doing)?;
                }
                Pending::Dataset { path } => {
                    let old = dataset::open(self.source, path, Some(READ_CACHE))?;
                    let new = dataset::open(self.copy, path, Some(READ_CACHE))?;
                    data::copy(&old, &new, self.bar, |bytes, n| translate(bytes, &old.dtype, n, &mut with))
                        .map_err(|e| e.while_doing(path.to_string_lossy()))?;
                }
            }
        }
        Ok(Notes { lost: with.lost, outside: self.outside })
    }
}
