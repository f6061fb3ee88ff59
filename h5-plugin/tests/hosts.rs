//! The plugin in C programs: with a shared libhdf5, a static one whose functions the program exports, and a
//! static one whose functions nobody finds. Needs the compiler wrapper `h5cc` (Debian: libhdf5-dev); without
//! it the tests say so and check nothing.
#![cfg(target_os = "linux")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Ways to link a host, as arguments of h5cc.
const LINKS: [(&str, &[&str]); 3] = [("shared", &["-shlib"]), ("exporting", &["-rdynamic"]), ("static", &[])];
const EXPANDED: u32 = 1 << 16;
const PRECEDED: u32 = 1 << 20;

/// The hosts and the plugin, and a directory for one test's files.
struct Hosts {
    programs: &'static Path,
    dir: PathBuf,
}

/// What hosts print of a dataset.
struct Figures {
    /// Largest error over the bound.
    error: f64,
    /// Number of cd_values.
    words: usize,
    /// The first of them.
    first: u32,
    /// Bytes in the file.
    bytes: usize,
}

/// What a run printed.
struct Output {
    stdout: String,
    stderr: String,
}

/// Builds the hosts; `None` without h5cc.
fn build() -> Option<PathBuf> {
    if Command::new("h5cc").arg("-showconfig").output().is_err() {
        eprintln!("skipped: h5cc was not found; install libhdf5-dev");
        return None;
    }
    let dir = common::scratch("hosts");
    std::fs::create_dir(dir.join("plugins")).expect("a directory");
    let plugin = common::plugin();
    let name = plugin.file_name().expect("a file name");
    std::fs::copy(&plugin, dir.join("plugins").join(name)).expect("a copy of the plugin");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/host.c");
    for (link, args) in LINKS {
        // h5cc leaves an object file where it runs.
        let mut h5cc = Command::new("h5cc");
        h5cc.args(args).arg(&source).arg("-o").arg(dir.join(link)).arg("-lm").current_dir(&dir);
        let out = h5cc.output().expect("h5cc runs");
        assert!(out.status.success(), "h5cc: {}", String::from_utf8_lossy(&out.stderr));
    }
    Some(dir)
}

impl Hosts {
    /// The hosts for a test; `None` without h5cc.
    fn get(test: &str) -> Option<Self> {
        static PROGRAMS: OnceLock<Option<PathBuf>> = OnceLock::new();
        let programs = PROGRAMS.get_or_init(build).as_deref()?;
        Some(Self { programs, dir: common::scratch(test) })
    }

    /// Runs a host; it must succeed.
    fn run(&self, link: &str, mode: &str, file: &str) -> Output {
        let out = Command::new(self.programs.join(link))
            .arg(mode)
            .arg(self.dir.join(file))
            .env("HDF5_PLUGIN_PATH", self.programs.join("plugins"))
            .env("AUGUR_NUM_THREADS", "2")
            .output()
            .expect("the host runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&out.stdout), text(&out.stderr));
        assert!(out.status.success(), "{link} {mode}: {stdout}{stderr}");
        Output { stdout, stderr }
    }

    /// Runs a host that prints figures.
    fn figures(&self, link: &str, mode: &str, file: &str) -> Figures {
        let out = self.run(link, mode, file).stdout;
        let line = out.lines().last().expect("a line");
        let parts: Vec<&str> = line.split(' ').collect();
        assert_eq!(parts.len(), 4, "\"{line}\"");
        let number = |i: usize| parts[i].parse().unwrap_or_else(|_| panic!("\"{line}\", part {i}"));
        Figures {
            error: parts[0].parse().expect("an error"),
            words: number(1),
            first: number(2) as u32,
            bytes: number(3),
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn every_way_of_linking_writes_within_the_bound_what_every_other_reads() {
    let Some(hosts) = Hosts::get("links") else { return };
    for (writer, _) in LINKS {
        let file = format!("{writer}.h5");
        let Figures { error, words, first, .. } = hosts.figures(writer, "write", &file);
        assert!(error <= 1.0, "{writer}: {error}");
        if writer == "static" {
            // set_local cannot look at the dataset: its words stay, chunks are lossless.
            assert_eq!((error, words, first), (0.0, 4, 1));
        } else {
            assert_eq!((words, first & EXPANDED), (16, EXPANDED), "{writer}");
        }
        for (reader, _) in LINKS {
            assert_eq!(hosts.figures(reader, "read", &file).error, error, "{reader} reads {writer}'s");
        }
    }
}

#[test]
fn bytes_of_filters_before_it_come_back_exactly() {
    let Some(hosts) = Hosts::get("preceded") else { return };
    for (link, _) in LINKS {
        for mode in ["shuffled", "checksummed"] {
            let Figures { error, first, .. } = hosts.figures(link, mode, "x.h5");
            assert_eq!(error, 0.0, "{link} {mode}");
            assert_eq!(first & PRECEDED != 0, link != "static", "{link} {mode}");
        }
    }
}

#[test]
fn types_that_cannot_be_coded_are_refused_with_the_reason() {
    let Some(hosts) = Hosts::get("refused") else { return };
    for link in ["shared", "exporting"] {
        let out = hosts.run(link, "refused", "x.h5");
        assert_eq!(out.stdout.trim(), "0 of 11 accepted");
        for reason in ["integers of 64 bits", "strings", "17 bits", "8 bits of exponent", "a compound type"] {
            // Once in the line of the plugin, once in the error stack that HDF5 prints.
            assert!(out.stderr.matches(reason).count() >= 2, "{link}: \"{reason}\" in {}", out.stderr);
        }
        assert!(out.stderr.contains("augur: the filter cannot be used"), "{}", out.stderr);
    }
}

#[test]
fn a_chunk_of_another_dataset_is_an_error() {
    let Some(hosts) = Hosts::get("foreign") else { return };
    for link in ["shared", "exporting"] {
        let out = hosts.run(link, "foreign", "x.h5");
        assert_eq!(out.stdout.trim(), "refused");
        assert!(out.stderr.contains("written for another dataset"), "{}", out.stderr);
    }
}

#[test]
fn it_works_on_both_sides_of_a_fork() {
    let Some(hosts) = Hosts::get("forked") else { return };
    for (link, _) in LINKS {
        let Figures { error, .. } = hosts.figures(link, "forked", "x.h5");
        assert!(error <= 1.0, "{link}: {error}");
    }
}

#[test]
fn the_last_chunk_of_a_dataset_that_cannot_grow_counts_as_complete() {
    let Some(hosts) = Hosts::get("tail") else { return };
    for link in ["shared", "exporting"] {
        // The last chunk of 8 steps holds 4. In the dataset that can grow these are kept finer, for the rest to come.
        let fixed = hosts.figures(link, "write", "fixed.h5");
        let growing = hosts.figures(link, "growing", "growing.h5");
        assert!(fixed.error <= 1.0 && growing.error <= 1.0);
        assert!(fixed.bytes < growing.bytes, "{link}: {} and {} bytes", fixed.bytes, growing.bytes);
    }
}
