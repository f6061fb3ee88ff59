//! Which models a file's datasets need or name.

use super::embedded;
use crate::augur::{self, Augur};
use crate::failure::{Failure, Result};
use crate::h5::dataset::{self, Dataset};
use crate::h5::{chunks, Id};
use crate::output;
use crate::walk::{self, Found};
use augur_core::network::Digest;
use std::collections::HashSet;

/// What datasets refer to.
#[derive(Debug, Default)]
pub struct Uses {
    prefixes: HashSet<[u8; 16]>,
    digests: HashSet<Digest>,
    /// Texts of attributes.
    texts: HashSet<String>,
}

impl Uses {
    /// What the datasets' parameters and attributes refer to; no chunk is read.
    ///
    /// # Errors
    /// A dataset that cannot be read, so that it is not known what it needs.
    pub fn stated(file: &Id) -> Result<Self> {
        let mut uses = Self::default();
        for one in own_excluded(file)? {
            let set = dataset::open(file, &one.path, None)?;
            uses.texts.extend(embedded::named(&set.id).map_err(|e| e.while_doing(one.shown()))?);
            if let Some(augur) = augur_of(&set, &one)? {
                uses.prefixes.extend(augur.settings.model);
            }
        }
        Ok(uses)
    }

    /// Adds what the chunks need; every one is read.
    ///
    /// # Errors
    /// A chunk that cannot be read, so that it is not known what it needs.
    pub fn add_chunks(&mut self, file: &Id, quiet: bool) -> Result<()> {
        let sets = own_excluded(file)?;
        let bar = output::progress(0, quiet);
        for one in &sets {
            let set = dataset::open(file, &one.path, None)?;
            let Some(augur) = augur_of(&set, one)? else { continue };
            bar.inc_length(set.stored_bytes());
            bar.set_message(one.shown());
            for chunk in chunks::list(&set)? {
                let info = augur
                    .inspect(&set, &chunk)
                    .map_err(|e| e.while_doing(format!("{}, chunk at {:?}", one.shown(), chunk.offset)))?;
                self.digests.extend(info.and_then(|i| i.header.model));
                bar.inc(chunk.stored as u64);
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Whether something refers to the model of this name in the file.
    pub fn refer_to(&self, digest: &Digest) -> bool {
        let path = embedded::path(digest);
        self.digests.contains(digest)
            || self.prefixes.contains(&digest.prefix())
            || self
                .texts
                .iter()
                .any(|t| t.strip_prefix("sha256:").unwrap_or(t).eq_ignore_ascii_case(&digest.to_string()))
            || self.texts.iter().any(|t| t.trim_start_matches('/') == path.trim_start_matches('/'))
    }
}

fn own_excluded(file: &Id) -> Result<Vec<Found>> {
    Ok(walk::datasets(file)?.into_iter().filter(|one| !embedded::is_own(&one.path)).collect())
}

fn augur_of(set: &Dataset, one: &Found) -> Result<Option<Augur>> {
    augur::of(set).map_err(|e: Failure| e.while_doing(one.shown()))
}
