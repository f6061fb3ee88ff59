//! A folder under construction: next to its destination, gone when the work fails or is interrupted.

use crate::failure::{Failure, Result};
use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};

/// The signal that asked for the end; 0 before.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// A folder for many files, which get their place together.
pub struct Folder {
    path: PathBuf,
    destination: PathBuf,
}

impl Folder {
    /// Makes a hidden folder next to `destination`, which must not exist, or be an empty folder; or hold files of which
    /// `force` allows to replace those of the same names.
    ///
    /// # Errors
    /// What is in the way.
    pub fn beside(destination: &Path, force: bool) -> Result<Self> {
        let shown = destination.display();
        let refused = |e: std::io::Error| Failure::new(format!("{shown} cannot be created: {e}"));
        if destination.exists() {
            if !destination.is_dir() {
                return Err(Failure::new(format!("{shown} exists and is no folder; give another name")));
            }
            if std::fs::read_dir(destination).map_err(refused)?.next().is_some() && !force {
                return Err(Failure::new(format!(
                    "{shown} is not empty; give another name, or --force to put files beside and in place of those in it"
                )));
            }
        }
        let absolute = std::path::absolute(destination).map_err(refused)?;
        let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Err(Failure::new(format!("{shown} is no name for a folder")));
        };
        if !parent.is_dir() {
            return Err(Failure::new(format!(
                "{shown} cannot be created: there is no directory {}",
                destination.parent().unwrap_or(parent).display()
            )));
        }
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".augur-{}.tmp", std::process::id()));
        let path = parent.join(hidden);
        std::fs::create_dir(&path).map_err(refused)?;
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            let handler: extern "C" fn(c_int) = remember;
            // SAFETY: the handler only stores a number.
            unsafe { libc::signal(signal, handler as libc::sighandler_t) };
        }
        Ok(Self { path, destination: absolute })
    }

    /// Where a file of this name is to be written.
    ///
    /// # Errors
    /// As [`Folder::check`].
    pub fn file(&self, name: &str) -> Result<PathBuf> {
        self.check().map(|()| self.path.join(name))
    }

    /// Whether the work may go on.
    ///
    /// # Errors
    /// When a signal asked for the end.
    pub fn check(&self) -> Result<()> {
        match SIGNAL.load(Ordering::SeqCst) {
            0 => Ok(()),
            signal => Err(Failure::interrupted(signal as u8)),
        }
    }

    /// Gives all files their place.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn place(self) -> Result<()> {
        let place = || {
            if !self.destination.exists() || std::fs::remove_dir(&self.destination).is_ok() {
                return std::fs::rename(&self.path, &self.destination);
            }
            for entry in std::fs::read_dir(&self.path)? {
                let entry = entry?;
                std::fs::rename(entry.path(), self.destination.join(entry.file_name()))?;
            }
            Ok(())
        };
        place().map_err(|e: std::io::Error| {
            Failure::new(format!("{} cannot be written: {e}", self.destination.display()))
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Gone already where it was renamed.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

extern "C" fn remember(signal: c_int) {
    SIGNAL.store(signal, Ordering::SeqCst);
}
