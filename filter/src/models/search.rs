//! The search for a chunk's model, on write and on read.

use super::files::Found;
use super::objects::Looker;
use super::wanted::{Named, Wanted};
use super::{cache, store, ATTRIBUTE};
use crate::cd_values::Settings;
use crate::h5types::Hid;
use crate::host::Host;
use crate::{open, report};
use augur_core::{Digest, Error, Model, Models, Preset, Result};
use std::cell::Cell;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Looks for the models of one dataset's chunks.
pub struct Search<'a> {
    host: Option<&'static Host>,
    words: &'a [u32],
}

thread_local! {
    /// A search is reading HDF5 files, which may call the filter again.
    static READING: Cell<bool> = const { Cell::new(false) };
}

/// Marks that this thread reads files for a search.
struct Reading;

impl Reading {
    fn start() -> Option<Self> {
        (!READING.replace(true)).then_some(Reading)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        READING.set(false);
    }
}

/// Where a model was looked for in vain.
type Places = Vec<String>;

impl<'a> Search<'a> {
    /// A search for models of the dataset with these (expanded) cd_values.
    ///
    /// # Safety
    /// Called in a callback of the host, if there is one, and used on its thread only, before the callback ends.
    pub unsafe fn new(host: Option<&'static Host>, words: &'a [u32]) -> Self {
        Self { host, words }
    }

    /// The model to write a chunk with: that of the settings, else that of the attribute. Without one the user is warned,
    /// once for each dataset.
    pub fn for_writing(&self, settings: &Settings) -> Option<Arc<Model>> {
        if !settings.preset.uses_model() {
            return None;
        }
        let found = match settings.model {
            Some(prefix) => self.wanted(&Wanted::Prefix(prefix)).map_err(|e| e.to_string()),
            None => self.by_attribute(),
        };
        let usable = |m: Arc<Model>| match augur_core::check_model(settings.preset, &m) {
            Ok(()) => Ok(m),
            Err(e) => Err(format!("the model sha256:{} cannot be used: {e}", m.digest())),
        };
        let found = found.and_then(usable);
        found.map_err(|why| self.warn(settings.preset, &why)).ok()
    }

    /// The model with this name.
    ///
    /// # Errors
    /// `InvalidArgument` that names the model and every place that was looked at.
    pub fn wanted(&self, wanted: &Wanted) -> Result<Arc<Model>> {
        if let Some(model) = cache::get(wanted) {
            return Ok(model);
        }
        let mut places = vec![];
        let found = self.in_files(wanted, &mut places).or_else(|| in_folders(wanted, &mut places));
        found.ok_or_else(|| {
            Error::invalid(format!(
                "the model {wanted} was found nowhere; looked at: {}. Put its file into one of these folders",
                places.join("; ")
            ))
        })
    }

    /// The model in HDF5 files, or one that the attribute names.
    fn in_files(&self, wanted: &Wanted, places: &mut Places) -> Option<Arc<Model>> {
        let (_reading, looker) = match self.looker() {
            Ok(both) => both,
            Err(why) => {
                places.push(why);
                return None;
            }
        };
        let datasets = self.datasets();
        for &dataset in &datasets {
            if let Some(model) = by_named_file(&looker, dataset, wanted, places) {
                return Some(model);
            }
        }
        let embedded = |at: Hid, places: &mut Places| match looker.embedded(at, wanted) {
            Ok(found) => accept(found, places),
            Err(why) => {
                // Several datasets and ids of one file.
                if !places.contains(&why) {
                    places.push(why);
                }
                None
            }
        };
        if let Some(model) = datasets.iter().find_map(|&dataset| embedded(dataset, places)) {
            return Some(model);
        }
        let (sources, files) = looker.others();
        files
            .into_iter()
            .find_map(|file| embedded(file, places))
            .or_else(|| sources.iter().find_map(|path| looker.with_file(path, |file| embedded(file, places))))
    }

    /// The model that the attribute names, or why there is none.
    fn by_attribute(&self) -> std::result::Result<Arc<Model>, String> {
        let (dataset, named) = {
            let (_reading, looker) = self.looker()?;
            let (dataset, named) = self.attribute(&looker)?;
            if named.digest().is_none() {
                return resolve(&looker, dataset, &named);
            }
            (looker.describe(dataset), named)
        };
        let digest = named.digest().ok_or("its attribute names no model")?;
        self.wanted(&Wanted::Digest(digest)).map_err(|e| format!("{e} (named by the attribute of {dataset})"))
    }

    /// The dataset's attribute. While a program copies datasets before their attributes, as h5repack does, the one that
    /// is copied has it: it has the same path in another file.
    fn attribute(&self, looker: &Looker) -> std::result::Result<(Hid, Named), String> {
        let datasets = self.datasets();
        if datasets.is_empty() {
            return Err(format!(
                "the dataset was not found among the open ones, so that its attribute {ATTRIBUTE} cannot be read; name \
                 the model in the cd_values"
            ));
        }
        let names: Vec<_> = datasets.iter().filter_map(|&id| looker.name(id)).collect();
        let namesakes = || {
            let others = looker.open_datasets().into_iter().filter(|id| !datasets.contains(id));
            others.filter(|&id| looker.name(id).is_some_and(|name| names.contains(&name)))
        };
        let mut wrong = None;
        for dataset in datasets.iter().copied().chain(namesakes()) {
            match looker.named(dataset) {
                Ok(Some(named)) => return Ok((dataset, named)),
                Ok(None) => (),
                Err(why) => wrong = wrong.or(Some(format!("of its attribute {ATTRIBUTE}: {why}"))),
            }
        }
        Err(wrong.unwrap_or_else(|| format!("its attribute {ATTRIBUTE} is not there")))
    }

    fn looker(&self) -> std::result::Result<(Reading, Looker<'static>), String> {
        let host = self.host.ok_or("no HDF5 file (the program does not export HDF5's functions)")?;
        let reading =
            Reading::start().ok_or("no HDF5 file (the chunk belongs to a model that is being looked for)")?;
        // SAFETY: in a callback of the host and on its thread, as was promised to `new`.
        let looker = unsafe { Looker::new(host) };
        Ok((reading, looker.ok_or("no HDF5 file (the program's HDF5 lacks functions)")?))
    }

    /// The open datasets that may be the chunk's.
    fn datasets(&self) -> Vec<Hid> {
        match self.host {
            // SAFETY: in a callback of the host, as was promised to `new`.
            Some(host) if !self.words.is_empty() => unsafe { open::with_words(host, self.words) },
            _ => vec![],
        }
    }

    fn warn(&self, preset: Preset, why: &str) {
        let mut hasher = DefaultHasher::new();
        self.words.hash(&mut hasher);
        if !cache::first_warning(hasher.finish()) {
            return;
        }
        let described = self.looker().ok().and_then(|(_reading, looker)| {
            let dataset = self.datasets().first().copied()?;
            Some(looker.describe(dataset))
        });
        let dataset = described.unwrap_or_else(|| "a dataset".to_string());
        report::warn(&format!(
            "{dataset} has the preset {}, but no model: {why}. Its chunks are {}",
            preset.name(),
            preset.without_model()
        ));
    }
}

impl Models for Search<'_> {
    fn find(&self, digest: &Digest) -> Result<Arc<Model>> {
        self.wanted(&Wanted::Digest(*digest))
    }
}

/// Checks a model file and keeps the model.
fn accept(found: Found, places: &mut Places) -> Option<Arc<Model>> {
    match keep(found) {
        Ok(model) => Some(model),
        Err(why) => {
            places.push(why);
            None
        }
    }
}

fn keep(found: Found) -> std::result::Result<Arc<Model>, String> {
    if let Some(model) = cache::get(&Wanted::Digest(found.digest)) {
        return Ok(model);
    }
    let model = Model::from_bytes(&found.bytes)
        .map_err(|e| format!("{} (sha256:{} cannot be used: {e})", found.place, found.digest))?;
    let model = Arc::new(model);
    cache::insert(&model);
    Ok(model)
}

/// The model that a dataset's attribute names by a path, if it is the wanted one.
fn by_named_file(looker: &Looker, dataset: Hid, wanted: &Wanted, places: &mut Places) -> Option<Arc<Model>> {
    let attribute = || format!("the attribute {ATTRIBUTE} of {}", looker.describe(dataset));
    match looker.named(dataset) {
        Ok(None) => places.push(format!("{} (not there)", attribute())),
        Err(why) => places.push(format!("{} ({why})", attribute())),
        Ok(Some(Named::Digest(digest))) => places.push(format!("{} (sha256:{digest})", attribute())),
        Ok(Some(named)) => match looker.resolve(dataset, &named) {
            Ok(found) if wanted.is(&found.digest) => return accept(found, places),
            Ok(found) => {
                places.push(format!(
                    "{} (leads to {}, which is sha256:{})",
                    attribute(),
                    found.place,
                    found.digest
                ));
            }
            Err(why) => places.push(format!("{} ({why})", attribute())),
        },
    }
    None
}

/// The model that a dataset's attribute names by a path, whichever it is.
fn resolve(looker: &Looker, dataset: Hid, named: &Named) -> std::result::Result<Arc<Model>, String> {
    looker
        .resolve(dataset, named)
        .and_then(keep)
        .map_err(|why| format!("what its attribute {ATTRIBUTE} names cannot be used: {why}"))
}

/// The model in the folders of the search path and in the user's store.
fn in_folders(wanted: &Wanted, places: &mut Places) -> Option<Arc<Model>> {
    let path = store::search_path();
    if path.is_empty() {
        places.push(format!("{} (not set)", store::PATH_VARIABLE));
    }
    for folder in path {
        if let Some(model) = in_folder(&folder, wanted, places) {
            return Some(model);
        }
        places.push(format!("{} ({})", folder.display(), store::PATH_VARIABLE));
    }
    let Some(user) = store::Store::of_user() else {
        places.push("the user's store (no home directory)".to_string());
        return None;
    };
    let model = in_folder(user.folder(), wanted, places);
    if model.is_none() {
        places.push(format!("{} (the user's store)", user.folder().display()));
    }
    model
}

fn in_folder(folder: &std::path::Path, wanted: &Wanted, places: &mut Places) -> Option<Arc<Model>> {
    let (path, bytes) = store::find_in(folder, wanted)?;
    accept(Found { place: path.display().to_string(), digest: Digest::of(&bytes), bytes }, places)
}
