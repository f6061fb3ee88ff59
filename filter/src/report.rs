//! Errors on their way to the user: the host's error stack, and one line through `log` or on stderr.
//!
//! Several hosts drop the error stack (h5py shows "filter returned failure", netCDF "HDF error"), hence
//! the line. An identical line is shown only a few times: a damaged file has many chunks.

use crate::host::Host;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// How often an identical line is shown.
const REPEATS: u32 = 3;
/// Number of different lines that are counted; a later line shares a counter with an earlier one.
const SLOTS: usize = 64;

/// Shows an error and, where the host's library is known, pushes it on its error stack.
pub fn error(host: Option<&Host>, line: &str) {
    show(log::Level::Error, line);
    if let Some(host) = host {
        host.push_error(&format!("augur: {line}"));
    }
}

/// Shows a warning.
pub fn warn(line: &str) {
    show(log::Level::Warn, line);
}

fn show(level: log::Level, line: &str) {
    if OWN.load(Ordering::Acquire) || log::max_level() == log::LevelFilter::Off {
        print(level, line);
    } else if let Some(more) = again(line) {
        log::log!(target: "augur", level, "{line}{more}");
    }
}

/// Whether the program's logger is [`Stderr`].
static OWN: AtomicBool = AtomicBool::new(false);

/// Puts warnings and errors of this filter and of the codec on stderr, where no other logger was installed. For the
/// plugin, which is a program of its own as to loggers: what the codec logs would be lost.
pub fn log_to_stderr() {
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
        OWN.store(true, Ordering::Release);
    }
}

struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.level() <= log::Level::Warn && metadata.target().starts_with("augur")
    }

    fn log(&self, record: &log::Record) {
        if self.enabled(record.metadata()) {
            print(record.level(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

fn print(level: log::Level, line: &str) {
    let Some(more) = again(line) else { return };
    let word = if level == log::Level::Error { "error" } else { "warning" };
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "augur: {word}: {line}{more}");
}

/// What is to be added to a line; `None` when it was shown often enough.
fn again(line: &str) -> Option<&'static str> {
    match count(line) {
        n if n > REPEATS => None,
        REPEATS => Some(" (further lines like this are not shown)"),
        _ => Some(""),
    }
}

/// How often this line was asked for, this time included. Counters instead of a locked map: a lock that
/// another thread holds while the process forks would never open in the child.
fn count(line: &str) -> u32 {
    static KEYS: [AtomicU64; SLOTS] = [const { AtomicU64::new(0) }; SLOTS];
    static COUNTS: [AtomicU32; SLOTS] = [const { AtomicU32::new(0) }; SLOTS];
    let mut hasher = DefaultHasher::new();
    line.hash(&mut hasher);
    let key = hasher.finish() | 1;
    for i in 0..SLOTS {
        let held = KEYS[i].compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed);
        if held.is_ok() || held == Err(key) {
            return COUNTS[i].fetch_add(1, Ordering::Relaxed).saturating_add(1);
        }
    }
    COUNTS[(key >> 1) as usize % SLOTS].fetch_add(1, Ordering::Relaxed).saturating_add(1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn identical_lines_are_counted_together() {
        assert_eq!(super::count("a line"), 1);
        assert_eq!(super::count("another line"), 1);
        assert_eq!(super::count("a line"), 2);
    }
}
