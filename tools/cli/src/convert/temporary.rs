//! The file under construction: next to its destination, gone when the work fails or is interrupted.

use crate::failure::{Failure, Result};
use std::ffi::{c_char, c_int, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicPtr, Ordering};

/// Name of the file that a signal removes; null when there is none.
static UNDER_WORK: AtomicPtr<c_char> = AtomicPtr::new(std::ptr::null_mut());

/// A temporary file that is removed unless it is put in its place.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    placed: bool,
}

impl Temporary {
    /// A name next to `destination` that nothing has yet.
    ///
    /// # Errors
    /// When the destination's directory does not exist.
    pub fn beside(destination: &Path) -> Result<Self> {
        let shown = destination.display();
        let name = destination.file_name().ok_or_else(|| {
            Failure::new(format!("{shown} is no file name, expected the name of the file to make"))
        })?;
        let directory = match destination.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if !directory.is_dir() {
            return Err(Failure::new(format!(
                "{shown} cannot be created: there is no directory {}",
                directory.display()
            )));
        }
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".augur-{}.tmp", std::process::id()));
        let path = directory.join(hidden);
        // A try, so that the error names the destination and not a name that the user never gave.
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|_| std::fs::remove_file(&path))
            .map_err(|e| Failure::new(format!("{shown} cannot be created: {e}")))?;
        remove_on_signal(&path);
        Ok(Self { path, placed: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes it to disk and gives it the destination's name.
    ///
    /// # Errors
    /// When the disk or the directory refuses.
    pub fn place(mut self, destination: &Path) -> Result<()> {
        let placed = std::fs::File::open(&self.path)
            .and_then(|f| f.sync_all())
            .and_then(|()| std::fs::rename(&self.path, destination));
        placed.map_err(|e| Failure::new(format!("{} cannot be written: {e}", destination.display())))?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        UNDER_WORK.store(std::ptr::null_mut(), Ordering::SeqCst);
        if !self.placed {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn remove_on_signal(path: &Path) {
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else { return };
    // Leaked on purpose: the handler may read it until the process ends.
    UNDER_WORK.store(name.into_raw(), Ordering::SeqCst);
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let handler: extern "C" fn(c_int) = interrupted;
        // SAFETY: the handler only makes calls that are allowed in one.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

extern "C" fn interrupted(signal: c_int) {
    let name = UNDER_WORK.load(Ordering::SeqCst);
    // SAFETY: unlink and _exit may be called in a signal handler; the name is never freed.
    unsafe {
        if !name.is_null() {
            libc::unlink(name);
        }
        libc::_exit(128 + signal);
    }
}
