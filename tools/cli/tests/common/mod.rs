//! What the tests of the command share: a scratch directory, running the real binary, and small HDF5
//! files that are made and read through HDF5 itself.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

pub mod files;
pub mod models;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A directory that is removed with everything in it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Names of the files in it, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a run of the command left.
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Asserts success; the standard output.
    pub fn ok(self) -> String {
        assert_eq!(self.status, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self.out
    }

    /// Asserts this exit status and that standard error holds each of `parts`; no trace of a panic.
    pub fn fails(self, status: i32, parts: &[&str]) {
        assert_eq!(self.status, status, "stdout: {}\nstderr: {}", self.out, self.err);
        for part in parts {
            assert!(self.err.contains(part), "\"{part}\" expected in: {}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }

    pub fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

/// Runs `command` to its end.
pub fn finish(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The command, in `dir`, without plugins from outside.
pub fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_augur"));
    command.current_dir(dir).env_remove("HDF5_PLUGIN_PATH").env_remove("HDF5_PLUGIN_PRELOAD");
    // The store of who runs the tests is none of their business.
    command.env_remove("AUGUR_MODEL_PATH").env("AUGUR_MODEL_STORE", dir.join("store"));
    command
}

/// Runs the command with these arguments in `dir`.
pub fn augur(dir: &Path, arguments: &[&str]) -> Ran {
    finish(command(dir).args(arguments))
}
