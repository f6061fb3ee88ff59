//! Models in HDF5 files: what a dataset's attribute names, what is embedded, and which files there are.

use super::objects::Looker;
use super::store;
use super::wanted::{Named, Wanted};
use super::{ATTRIBUTE, GROUP};
use crate::h5types::Hid;
use augur_core::Digest;
use std::collections::HashSet;
use std::ffi::CString;
use std::path::{Path, PathBuf};

/// Most numbers that are tried for the blocks of a virtual dataset with numbered source files.
const MOST_BLOCKS: usize = 256;

/// A model file and where it was.
pub struct Found {
    /// Where, for people.
    pub place: String,
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// The file.
    pub bytes: Vec<u8>,
}

impl Found {
    fn new(place: String, bytes: Vec<u8>) -> Self {
        Self { place, digest: Digest::of(&bytes), bytes }
    }
}

impl Looker<'_> {
    /// A dataset for people: its path and its file.
    pub fn describe(&self, dataset: Hid) -> String {
        let name = self.name(dataset).unwrap_or_else(|| "a dataset without a name".to_string());
        format!("{name} in {}", self.describe_file(dataset))
    }

    fn describe_file(&self, at: Hid) -> String {
        self.file_name(at).map_or_else(|| "a file without a name".to_string(), |n| n.display().to_string())
    }

    /// What the attribute of a dataset names; `None` where it has none.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn named(&self, dataset: Hid) -> Result<Option<Named>, String> {
        let name = CString::new(ATTRIBUTE).map_err(|e| e.to_string())?;
        let Some(text) = self.text(dataset, &name)? else { return Ok(None) };
        Named::parse(&text).map(Some).map_err(|e| e.to_string())
    }

    /// The file that the attribute of `dataset` names, which is no digest.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn resolve(&self, dataset: Hid, named: &Named) -> Result<Found, String> {
        match named {
            Named::Digest(digest) => Err(format!("sha256:{digest} is no path")),
            Named::Absolute(path) if self.exists(dataset, path) => {
                let place = format!("{path} in {}", self.describe_file(dataset));
                let bytes = self.bytes(dataset, path).map_err(|why| format!("{place}: {why}"))?;
                Ok(Found::new(place, bytes))
            }
            Named::Absolute(path) if !Path::new(path).exists() => {
                Err(format!("{path} is neither in {} nor a file", self.describe_file(dataset)))
            }
            Named::Absolute(path) => outside(Path::new(path)),
            Named::Relative(path) => {
                let beside = self.file_name(dataset).and_then(|n| Some(n.parent()?.join(path)));
                outside(&beside.unwrap_or_else(|| PathBuf::from(path)))
            }
        }
    }

    /// The wanted model among those that the file of `at` holds, or what is there instead.
    pub fn embedded(&self, at: Hid, wanted: &Wanted) -> Result<Found, String> {
        let place = format!("{GROUP} in {}", self.describe_file(at));
        let names = match wanted {
            Wanted::Digest(digest) => vec![digest.to_string()],
            Wanted::Prefix(_) if self.exists(at, GROUP) => self.links(at, GROUP),
            Wanted::Prefix(_) => vec![],
        };
        let mut why = format!("{place} (not there)");
        for name in names {
            let path = format!("{GROUP}/{name}");
            if !name.parse().is_ok_and(|digest| wanted.is(&digest)) || !self.exists(at, &path) {
                continue;
            }
            match self.bytes(at, &path) {
                Ok(bytes) if wanted.is(&Digest::of(&bytes)) => return Ok(Found::new(place, bytes)),
                Ok(_) => why = format!("{place} (its SHA-256 is not its name: it is damaged)"),
                Err(reason) => why = format!("{place} ({reason})"),
            }
        }
        Err(why)
    }

    /// Files in which a chunk's model may be, apart from that of its own dataset: those that virtual datasets read, by
    /// their names, and those that are open.
    pub fn others(&self) -> (Vec<PathBuf>, Vec<Hid>) {
        let mut sources = vec![];
        for dataset in self.open_datasets() {
            for name in self.virtual_sources(dataset) {
                sources.extend(self.source_paths(dataset, &name));
            }
        }
        let mut seen = HashSet::new();
        sources.retain(|path| seen.insert(path.clone()));
        (sources, self.open_files())
    }

    /// Where HDF5 looks for the source file of a virtual dataset: with the prefix that `HDF5_VDS_PREFIX` sets, beside
    /// the virtual dataset's file, in the working directory.
    fn source_paths(&self, dataset: Hid, name: &str) -> Vec<PathBuf> {
        if name == "." {
            return vec![]; // the file itself
        }
        let beside =
            self.file_name(dataset).and_then(|n| n.parent().map(Path::to_path_buf)).unwrap_or_default();
        let prefix =
            std::env::var("HDF5_VDS_PREFIX").ok().map(|prefix| match prefix.strip_prefix("${ORIGIN}") {
                Some(rest) => beside.join(rest.trim_start_matches('/')),
                None => PathBuf::from(prefix),
            });
        let names: Vec<String> = match name.contains("%b") {
            true => (0..MOST_BLOCKS).map(|block| name.replace("%b", &block.to_string())).collect(),
            false => vec![name.to_string()],
        };
        let mut paths = vec![];
        for name in names {
            paths.extend(prefix.iter().map(|p| p.join(&name)));
            paths.extend([beside.join(&name), PathBuf::from(&name)]);
        }
        paths.retain(|path| path.is_file());
        paths
    }
}

/// A model file outside of HDF5 files.
fn outside(path: &Path) -> Result<Found, String> {
    let bytes = store::read_file(path).map_err(|e| e.to_string())?;
    Ok(Found::new(path.display().to_string(), bytes))
}
